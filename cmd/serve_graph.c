/* serve_graph.c - routes about the graph: nodes, edges, what hangs together. */
#include "serve_body.h"

#include <stdlib.h>
#include <string.h>

enum {
	DEPTH_MAX = 16,
	SUBGRAPH_MAX = 100000 /* nodes of an answer */
};

/*
 * Room for one more of what there may be max of. What is on its way is counted, too, so that requests at the same
 * time do not pass the limit together. false: answered with 507.
 */
static bool reserve(struct exchange *x, atomic_ullong *on_its_way, uint64_t live, uint64_t max, const char *what)
{
	if (live + atomic_fetch_add(on_its_way, 1) < max)
		return true;
	atomic_fetch_sub(on_its_way, 1);
	fail_with(x, 507, "full", "%s: %llu are there, and no more are allowed: start the node with a larger --%s-max",
		  what, (unsigned long long)live, what);
	return false;
}

bool serve_reserve(struct exchange *x, uint64_t nodes, uint64_t edges)
{
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	uint64_t nodes_taken = 0, edges_taken = 0;

	if (valori_get_info(x->node->store, &info, &error) != VALORI_OK) {
		fail(x, &error);
		return false;
	}
	while (nodes_taken < nodes &&
	       reserve(x, &x->node->nodes_reserved, info.node_live, x->node->config.nodes_max, "nodes"))
		nodes_taken++;
	while (nodes_taken == nodes && edges_taken < edges &&
	       reserve(x, &x->node->edges_reserved, info.edge_live, x->node->config.edges_max, "edges"))
		edges_taken++;
	if (nodes_taken == nodes && edges_taken == edges)
		return true;
	serve_unreserve(x, nodes_taken, edges_taken);
	return false;
}

void serve_unreserve(struct exchange *x, uint64_t nodes, uint64_t edges)
{
	atomic_fetch_sub(&x->node->nodes_reserved, nodes);
	atomic_fetch_sub(&x->node->edges_reserved, edges);
}

/* ---- nodes ---- */

/*
 * Commits the node or the edge that op makes, with the kind and in the collection of the body, and answers with its id
 * under name.
 */
static void make(struct exchange *x, valori_op *op, const struct body_u64 *kind, const struct body_text *collection,
		 const char *name)
{
	bool is_node = op->kind == VALORI_OP_NODE_CREATE, done;
	struct tool_json *json;
	uint64_t id;

	if (!serve_collection(x, collection->text, collection->size, 404, &op->collection))
		return;
	if (kind->value > UINT8_MAX) {
		fail_with(x, 400, "invalid", "body: kind: must be 0 to 255");
		return;
	}
	op->object_kind = (uint32_t)kind->value;
	if (!serve_reserve(x, is_node, !is_node))
		return;
	done = serve_commit_one(x, op, NULL, &id);
	serve_unreserve(x, is_node, !is_node);
	if (!done || (json = reply_begin(x)) == NULL)
		return;
	tool_json_u64(json, name, id);
	reply_send(x, 200);
}

void route_node_create(struct exchange *x)
{
	struct body_u64 kind = {0}, record = {0};
	struct body_text collection = {0};
	const struct body_member members[] = {
		{"kind", BODY_U64, true, &kind},
		{"record_id", BODY_U64, false, &record},
		{"collection", BODY_TEXT, false, &collection},
	};
	valori_op op = {.kind = VALORI_OP_NODE_CREATE};

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])))
		return;
	if (record.is_there)
		op.target = (valori_ref){.kind = VALORI_REF_ID, .id = record.value};
	make(x, &op, &kind, &collection, "node_id");
}

/* The live node that the path names; false: answered. */
static bool find_node(struct exchange *x, uint64_t id, valori_node *out)
{
	if (exchange_view(x) == NULL)
		return false;
	if (valori_node_get(x->view, id, out, NULL) == VALORI_OK && out->live)
		return true;
	fail_with(x, 404, "not_found", "node %llu: is not there", (unsigned long long)id);
	return false;
}

static void reply_record(struct tool_json *json, const char *name, uint64_t record)
{
	if (record == VALORI_NONE)
		tool_json_raw(json, name, "null");
	else
		tool_json_u64(json, name, record);
}

void route_node(struct exchange *x)
{
	struct tool_json *json;
	valori_node node;

	if (!find_node(x, x->id, &node) || (json = reply_begin(x)) == NULL)
		return;
	tool_json_u64(json, "kind", node.kind);
	reply_record(json, "record_id", node.record);
	tool_json_u64(json, "namespace_id", node.collection);
	reply_send(x, 200);
}

void route_node_delete(struct exchange *x)
{
	valori_op op = {.kind = VALORI_OP_NODE_DELETE, .from = {.kind = VALORI_REF_ID, .id = x->id}};

	serve_commit_success(x, &op);
}

void route_nodes(struct exchange *x)
{
	const char *collection = exchange_text(x, "collection");
	uint64_t kind = VALORI_NONE, offset = 0, limit = VALORI_NONE, found = 0;
	valori_info info = {.size = sizeof(info)};
	struct tool_json *json;
	uint32_t wanted;

	if (!exchange_number(x, "kind", 255, &kind) || !exchange_number(x, "offset", VALORI_NONE, &offset) ||
	    !exchange_number(x, "limit", VALORI_NONE, &limit) ||
	    !serve_collection(x, collection, collection != NULL ? strlen(collection) : 0, 404, &wanted) ||
	    exchange_view(x) == NULL || valori_view_info(x->view, &info, NULL) != VALORI_OK ||
	    (json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "nodes");
	for (uint64_t id = 0; id < info.node_slots; id++) {
		valori_node node;

		if (valori_node_get(x->view, id, &node, NULL) != VALORI_OK || !node.live || node.collection != wanted ||
		    (kind != VALORI_NONE && node.kind != kind))
			continue;
		if (found++ < offset || found - 1 - offset >= limit)
			continue;
		tool_json_object(json, NULL);
		tool_json_u64(json, "node_id", node.id);
		tool_json_u64(json, "kind", node.kind);
		reply_record(json, "record_id", node.record);
		tool_json_u64(json, "namespace_id", node.collection);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	tool_json_u64(json, "count", found);
	reply_send(x, 200);
}

/* ---- edges ---- */

void route_edge_create(struct exchange *x)
{
	struct body_u64 from = {0}, to = {0}, kind = {0};
	struct body_text collection = {0};
	const struct body_member members[] = {
		{"from", BODY_U64, true, &from},
		{"to", BODY_U64, true, &to},
		{"kind", BODY_U64, true, &kind},
		{"collection", BODY_TEXT, false, &collection},
	};
	valori_op op = {.kind = VALORI_OP_EDGE_CREATE};

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])))
		return;
	op.from = (valori_ref){.kind = VALORI_REF_ID, .id = from.value};
	op.to = (valori_ref){.kind = VALORI_REF_ID, .id = to.value};
	make(x, &op, &kind, &collection, "edge_id");
}

void route_edge_delete(struct exchange *x)
{
	valori_op op = {.kind = VALORI_OP_EDGE_DELETE, .from = {.kind = VALORI_REF_ID, .id = x->id}};

	serve_commit_success(x, &op);
}

void route_edges(struct exchange *x)
{
	struct tool_json *json;
	uint64_t cursor = 0, incoming = 0;
	valori_node node;
	valori_edge edge;

	if (!exchange_number(x, "incoming", 1, &incoming) || !find_node(x, x->id, &node) ||
	    (json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "edges");
	while (valori_edge_next(x->view, x->id, !incoming, &cursor, &edge) == VALORI_OK) {
		tool_json_object(json, NULL);
		tool_json_u64(json, "edge_id", edge.id);
		if (incoming)
			tool_json_u64(json, "from_node", edge.from);
		tool_json_u64(json, "to_node", edge.to);
		tool_json_u64(json, "kind", edge.kind);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	reply_send(x, 200);
}

/* ---- what hangs together ---- */

static int by_number(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return one < other ? -1 : one > other;
}

struct subgraph {
	uint64_t *nodes; /* in the order in which they were found */
	uint64_t *known; /* a hash table of node + 1; twice as large as nodes */
	size_t count, room;
};

/* true: node was not known. */
static bool meet(struct subgraph *graph, uint64_t node)
{
	size_t mask = 2 * graph->room - 1, at = (size_t)(node * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;

	while (graph->known[at] != 0 && graph->known[at] != node + 1)
		at = (at + 1) & mask;
	if (graph->known[at] != 0 || graph->count == graph->room)
		return false;
	graph->known[at] = node + 1;
	graph->nodes[graph->count++] = node;
	return true;
}

bool reply_subgraph(struct exchange *x, struct tool_json *json, const uint64_t *roots, size_t count, uint64_t depth)
{
	struct subgraph graph = {.room = 1 << 17};
	size_t level = 0;
	uint64_t *sorted;
	valori_node node;
	valori_edge edge;

	graph.nodes = exchange_alloc(x, graph.room, sizeof(*graph.nodes));
	graph.known = exchange_alloc(x, 2 * graph.room, sizeof(*graph.known));
	if (graph.nodes == NULL || graph.known == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
		if (valori_node_get(x->view, roots[i], &node, NULL) == VALORI_OK && node.live)
			meet(&graph, roots[i]);
	for (; depth > 0 && level < graph.count; depth--) {
		size_t end = graph.count;

		for (; level < end; level++)
			for (uint64_t cursor = 0;
			     graph.count < SUBGRAPH_MAX &&
			     valori_edge_next(x->view, graph.nodes[level], 1, &cursor, &edge) == VALORI_OK;)
				meet(&graph, edge.to);
	}
	tool_json_array(json, "nodes");
	for (size_t i = 0; i < graph.count; i++) {
		if (valori_node_get(x->view, graph.nodes[i], &node, NULL) != VALORI_OK)
			continue;
		tool_json_object(json, NULL);
		tool_json_u64(json, "id", node.id);
		tool_json_u64(json, "kind", node.kind);
		reply_record(json, "record", node.record);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	sorted = exchange_alloc(x, graph.count + 1, sizeof(*sorted));
	if (sorted == NULL)
		return false;
	memcpy(sorted, graph.nodes, graph.count * sizeof(*sorted));
	qsort(sorted, graph.count, sizeof(*sorted), by_number);
	/* The edges between nodes of the answer. */
	tool_json_array(json, "edges");
	for (size_t i = 0; i < graph.count; i++)
		for (uint64_t cursor = 0; valori_edge_next(x->view, graph.nodes[i], 1, &cursor, &edge) == VALORI_OK;) {
			if (bsearch(&edge.to, sorted, graph.count, sizeof(*sorted), by_number) == NULL)
				continue;
			tool_json_object(json, NULL);
			tool_json_u64(json, "id", edge.id);
			tool_json_u64(json, "from", edge.from);
			tool_json_u64(json, "to", edge.to);
			tool_json_u64(json, "kind", edge.kind);
			tool_json_object_end(json);
		}
	tool_json_array_end(json);
	return true;
}

void route_subgraph(struct exchange *x)
{
	uint64_t root = VALORI_NONE, depth = 2;
	struct tool_json *json;
	valori_node node;

	if (!exchange_number(x, "root", VALORI_NONE - 1, &root) || !exchange_number(x, "depth", DEPTH_MAX, &depth))
		return;
	if (root == VALORI_NONE) {
		fail_with(x, 400, "invalid", "root: is missing: want ?root=NODE");
		return;
	}
	if (find_node(x, root, &node) && (json = reply_begin(x)) != NULL && reply_subgraph(x, json, &root, 1, depth))
		reply_send(x, 200);
}
