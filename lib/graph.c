/* graph.c - nodes, edges, and the lists that run through them. */
#include "graph.h"

/* Reads a link; one that leads out of items leads nowhere. */
static uint32_t link_at(const struct vl_lists *lists, const struct vl_array *array, uint64_t index, uint32_t offset)
{
	uint32_t link = vl_get32(vl_array_get(array, index) + offset);

	return link <= lists->items->count ? link : 0;
}

static bool set_link(struct vl_array *array, uint64_t index, uint32_t offset, uint32_t link)
{
	uint8_t *at = vl_array_edit(array, index);

	if (at != NULL)
		vl_put32(at + offset, link);
	return at != NULL;
}

bool vl_lists_append(const struct vl_lists *lists, uint64_t head, uint64_t item)
{
	uint32_t last = link_at(lists, lists->heads, head, lists->first_offset + 4), link = (uint32_t)item + 1;

	if (last == 0) {
		if (!set_link(lists->heads, head, lists->first_offset, link))
			return false;
	} else if (!set_link(lists->items, last - 1, lists->next_offset, link)) {
		return false;
	}
	return set_link(lists->heads, head, lists->first_offset + 4, link) &&
	       set_link(lists->items, item, lists->next_offset, 0) &&
	       set_link(lists->items, item, lists->next_offset + 4, last);
}

bool vl_lists_remove(const struct vl_lists *lists, uint64_t head, uint64_t item)
{
	uint32_t next = link_at(lists, lists->items, item, lists->next_offset);
	uint32_t previous = link_at(lists, lists->items, item, lists->next_offset + 4);
	bool ok;

	if (previous != 0)
		ok = set_link(lists->items, previous - 1, lists->next_offset, next);
	else
		ok = set_link(lists->heads, head, lists->first_offset, next);
	if (ok && next != 0)
		ok = set_link(lists->items, next - 1, lists->next_offset + 4, previous);
	else if (ok)
		ok = set_link(lists->heads, head, lists->first_offset + 4, previous);
	return ok && set_link(lists->items, item, lists->next_offset, 0) &&
	       set_link(lists->items, item, lists->next_offset + 4, 0);
}

bool vl_lists_next(const struct vl_lists *lists, uint64_t head, uint64_t *cursor)
{
	uint32_t from = *cursor == VALORI_NONE ? 0 : (uint32_t)*cursor + 1, link;

	if (from == 0)
		link = link_at(lists, lists->heads, head, lists->first_offset);
	else if (*cursor < lists->items->count)
		link = link_at(lists, lists->items, *cursor, lists->next_offset);
	else
		return false;
	/* Each item has one previous one: a walk in which all agree can meet none of them again. */
	if (link == 0 || vl_get32(vl_array_get(lists->items, link - 1) + lists->next_offset + 4) != from)
		return false;
	*cursor = link - 1;
	return true;
}

void vl_graph_init(struct vl_graph *graph, struct vl_pool *pool)
{
	vl_array_init(&graph->nodes, pool, VL_NODE_SIZE, 7);
	vl_array_init(&graph->edges, pool, VL_EDGE_SIZE, 7);
}

void vl_graph_free(struct vl_graph *graph)
{
	vl_array_free(&graph->nodes);
	vl_array_free(&graph->edges);
}

struct vl_lists vl_graph_edges(struct vl_graph *graph, bool outgoing)
{
	return (struct vl_lists){.heads = &graph->nodes,
				 .items = &graph->edges,
				 .first_offset = outgoing ? VL_NODE_FIRST_OUT : VL_NODE_FIRST_IN,
				 .next_offset = outgoing ? VL_EDGE_NEXT_OUT : VL_EDGE_NEXT_IN};
}

bool vl_graph_add_edge(struct vl_graph *graph, const struct vl_event *event)
{
	struct vl_lists out = vl_graph_edges(graph, true), in = vl_graph_edges(graph, false);
	uint64_t edge = graph->edges.count;
	uint8_t *at = vl_array_append(&graph->edges);

	if (at == NULL)
		return false;
	vl_put32(at + VL_EDGE_FROM, (uint32_t)event->from);
	vl_put32(at + VL_EDGE_TO, (uint32_t)event->to);
	at[VL_EDGE_KIND] = event->kind;
	at[VL_EDGE_LIVE] = 1;
	return vl_lists_append(&out, event->from, edge) && vl_lists_append(&in, event->to, edge);
}

bool vl_graph_remove_edge(struct vl_graph *graph, uint64_t edge)
{
	struct vl_lists out = vl_graph_edges(graph, true), in = vl_graph_edges(graph, false);
	uint64_t from = vl_get32(vl_array_get(&graph->edges, edge) + VL_EDGE_FROM);
	uint64_t to = vl_get32(vl_array_get(&graph->edges, edge) + VL_EDGE_TO);
	uint8_t *at;

	if (from < graph->nodes.count && !vl_lists_remove(&out, from, edge))
		return false;
	if (to < graph->nodes.count && !vl_lists_remove(&in, to, edge))
		return false;
	at = vl_array_edit(&graph->edges, edge);
	if (at != NULL)
		memset(at, 0, VL_EDGE_SIZE);
	return at != NULL;
}
