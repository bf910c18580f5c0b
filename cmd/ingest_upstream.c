/*
 * ingest_upstream.c - files of the Rust system into a store: twice read, so that nothing is written when anything is
 * wrong.
 *
 * Ids. Every id that was given out there is given out here, in the same order: what cannot be taken over (encrypted
 * records, rows left out, holes of a snapshot) is made and deleted at once. So an id is here what it was there, plus
 * what the store had before. Namespaces become collections: 0 is the default one, others go by the name in the log or
 * in FILE.namespaces.json, or as "ns-N". What the state machine there forgives and ours does not (a second soft
 * deletion, metadata of what is deleted) is left out and counted.
 */
#include "ingest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input.h"
#include "upstream.h"

enum {
	NAMESPACES = 1024,
	HOLES_MAX = 1000000 /* nodes and edges that a snapshot no longer has, and that are made up to keep ids */
};

enum life { ABSENT, LIVE, TOMBSTONE };

/* What became of a record, or a node; absent, too, once its namespace was dropped. */
struct thing {
	uint16_t ns;
	uint8_t life;
	uint32_t drops; /* of the namespace before it was made */
};

struct things {
	struct thing *things;
	size_t count, room;
};

struct tally {
	uint64_t records, nodes, edges, metas, deletes, collections;
	uint64_t encrypted, left_out, repeated, deleted_metadata, dangling, holes;
};

struct import {
	struct ingest *run;
	const char *const *paths;
	size_t paths_count;
	valori_upstream_report report; /* of the first reading */
	uint32_t dim;
	bool checking; /* the first reading: nothing is committed */
	valori_batch *batch;
	struct tally tally;
	struct things records, nodes, edges;
	uint64_t record_base, node_base, edge_base; /* what the store had before */
	uint32_t collections[NAMESPACES], drops[NAMESPACES];
	char names[NAMESPACES][VALORI_NAME_MAX + 1]; /* "": none is known */
	const valori_upstream_event *event;
	uint8_t *zeros; /* a vector */
};

#define NO_COLLECTION UINT32_MAX

/* ---- what is there ---- */

static void remember(struct import *import, struct things *things, uint32_t ns, enum life life)
{
	things->things = tool_grow(things->things, &things->room, things->count + 1, sizeof(*things->things));
	things->things[things->count++] = (struct thing){(uint16_t)ns, (uint8_t)life, import->drops[ns]};
}

static enum life life_of(const struct import *import, const struct things *things, uint64_t id)
{
	const struct thing *thing = id < things->count ? &things->things[id] : NULL;

	if (thing == NULL || thing->drops != import->drops[thing->ns])
		return ABSENT;
	return (enum life)thing->life;
}

static void die(struct things *things, uint64_t id, enum life life)
{
	if (id < things->count)
		things->things[id].life = (uint8_t)life;
}

/* ---- names of namespaces ---- */

static void name_namespace(struct import *import, uint32_t ns, const char *name, size_t size)
{
	bool ok = ns > 0 && ns < NAMESPACES && size >= 1 && size <= VALORI_NAME_MAX;

	for (size_t i = 0; ok && i < size; i++)
		ok = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", name[i]) != NULL &&
		     name[i] != '\0';
	if (!ok || (size == 7 && memcmp(name, "default", 7) == 0))
		return;
	for (uint32_t i = 1; i < NAMESPACES; i++)
		if (strlen(import->names[i]) == size && memcmp(import->names[i], name, size) == 0)
			return; /* two namespaces must not fall into one */
	memcpy(import->names[ns], name, size);
	import->names[ns][size] = '\0';
}

/* {"map":{"NAME":1,...},"next_id":2} */
static void read_names(struct import *import, const char *text, size_t size)
{
	struct json json;
	struct slice name, value;
	uint64_t ns;

	json_init(&json, text, size);
	json_open(&json, '{');
	while (json_more(&json, '}')) {
		json_name(&json, &name);
		if (name.size != 3 || memcmp(name.text, "map", 3) != 0) {
			json_skip(&json, &value);
			continue;
		}
		json_open(&json, '{');
		while (json_more(&json, '}')) {
			json_name(&json, &name);
			if (json_skip(&json, &value) && json_u64(value, &ns) && ns < NAMESPACES)
				name_namespace(import, (uint32_t)ns, name.text, name.size);
		}
	}
}

static void load_names(struct import *import)
{
	size_t size = strlen(import->paths[0]) + sizeof(".namespaces.json");
	char *path = tool_alloc(size, 1);
	struct input input;
	valori_error error;

	snprintf(path, size, "%s.namespaces.json", import->paths[0]);
	if (access(path, R_OK) == 0 && input_open(&input, path, &error) == VALORI_OK) {
		if (input_fill(&input, INPUT_ROW_MAX, &error) == VALORI_OK)
			read_names(import, input_data(&input), input.size);
		input_close(&input);
	}
	free(path);
}

/* ---- operations ---- */

static int commit(struct import *import)
{
	struct ingest *run = import->run;
	valori_receipt receipt;
	valori_error error;

	if (valori_batch_count(import->batch) == 0)
		return TOOL_OK;
	if (!import->checking) {
		if (valori_commit(run->store, import->batch, &receipt, NULL, &error) != VALORI_OK)
			return tool_fail(&error);
		run->commits++;
		run->events += receipt.event_count;
	}
	valori_batch_clear(import->batch);
	return TOOL_OK;
}

/* A message that names record and place. */
static int blame(const struct import *import, const valori_error *error)
{
	const valori_upstream_event *event = import->event;

	tool_trouble(TOOL_USAGE, "%s: offset %llu: %s %llu: %s", event->path, (unsigned long long)event->offset,
		     upstream_event_name(event), (unsigned long long)event->event.id, error->message);
	return error->code == VALORI_NO_MEMORY ? TOOL_SYSTEM : TOOL_USAGE;
}

/* Takes the operation, or says false with *status TOOL_OK when it is left out. */
static bool add(struct import *import, const valori_op *op, int *status)
{
	valori_error error;

	*status = TOOL_OK;
	if (valori_batch_add(import->batch, op, &error) == VALORI_OK)
		return true;
	if (!import->run->feed.skip_bad || error.code == VALORI_NO_MEMORY) {
		*status = blame(import, &error);
		return false;
	}
	if (import->checking)
		blame(import, &error);
	import->tally.left_out++;
	import->run->skipped += !import->checking;
	return false;
}

static int add_or_fail(struct import *import, const valori_op *op)
{
	valori_error error;

	return valori_batch_add(import->batch, op, &error) == VALORI_OK ? TOOL_OK : blame(import, &error);
}

static valori_ref by_id(uint64_t base, uint64_t id)
{
	return (valori_ref){.kind = VALORI_REF_ID, .id = base + id};
}

static valori_ref last_op(const struct import *import)
{
	return (valori_ref){.kind = VALORI_REF_OP, .id = valori_batch_count(import->batch) - 1};
}

/* Made and deleted at once: the id is used up. */
static int make_hole(struct import *import)
{
	valori_op insert = {
		.kind = VALORI_OP_INSERT, .vector = import->zeros, .vector_kind = VALORI_Q16LE, .dim = import->dim};
	valori_op delete = {.kind = VALORI_OP_DELETE};
	int status = add_or_fail(import, &insert);

	delete.target = last_op(import);
	if (status == TOOL_OK)
		status = add_or_fail(import, &delete);
	remember(import, &import->records, 0, ABSENT);
	return status;
}

static int make_node_hole(struct import *import)
{
	valori_op create = {.kind = VALORI_OP_NODE_CREATE}, delete = {.kind = VALORI_OP_NODE_DELETE};
	int status = add_or_fail(import, &create);

	delete.from = last_op(import);
	if (status == TOOL_OK)
		status = add_or_fail(import, &delete);
	remember(import, &import->nodes, 0, ABSENT);
	import->tally.holes++;
	return status;
}

/* Of an edge between nodes that are there. */
static int make_edge_hole(struct import *import, uint64_t node)
{
	valori_op create = {.kind = VALORI_OP_EDGE_CREATE, .from = by_id(import->node_base, node)};
	valori_op delete = {.kind = VALORI_OP_EDGE_DELETE};
	int status;

	create.to = create.from;
	status = add_or_fail(import, &create);
	delete.from = last_op(import);
	if (status == TOOL_OK)
		status = add_or_fail(import, &delete);
	remember(import, &import->edges, 0, ABSENT);
	import->tally.holes++;
	return status;
}

/* The collection of a namespace, made now if it is not there: what follows must know its number. */
static int find_collection(struct import *import, uint32_t ns, uint32_t *out)
{
	valori_op op = {.kind = VALORI_OP_COLLECTION_CREATE};
	valori_view *view;
	valori_error error;
	valori_code code;
	char unnamed[VALORI_NAME_MAX + 1];
	int status;

	*out = import->collections[ns];
	if (*out != NO_COLLECTION)
		return TOOL_OK;
	snprintf(unnamed, sizeof(unnamed), "ns-%u", ns);
	op.key = import->names[ns][0] != '\0' ? import->names[ns] : unnamed;
	op.key_size = (uint32_t)strlen(op.key);
	import->tally.collections++;
	if (import->checking) {
		*out = import->collections[ns] = 0;
		return TOOL_OK;
	}
	status = commit(import);
	if (status != TOOL_OK)
		return status;
	for (int attempt = 0; attempt < 2; attempt++) {
		if (valori_view_open(import->run->store, &view, &error) != VALORI_OK)
			return tool_fail(&error);
		code = valori_collection_find(view, op.key, op.key_size, out, &error);
		valori_view_close(view);
		if (code == VALORI_OK) {
			import->collections[ns] = *out;
			return TOOL_OK;
		}
		if (code != VALORI_NOT_FOUND || attempt == 1)
			break;
		status = add_or_fail(import, &op);
		if (status == TOOL_OK)
			status = commit(import);
		if (status != TOOL_OK)
			return status;
	}
	return tool_fail(&error);
}

/* ---- events ---- */

static int take_insert(struct import *import, const valori_upstream_event *event)
{
	const valori_event *from = &event->event;
	valori_op op = {.kind = VALORI_OP_INSERT,
			.flags = import->run->feed.erasable ? VALORI_OP_SALTED : 0,
			.tag = from->tag,
			.vector = from->vector,
			.vector_kind = VALORI_Q16LE,
			.dim = event->dim,
			.metadata = from->metadata,
			.metadata_size = from->metadata_size};
	valori_op delete = {.kind = VALORI_OP_SOFT_DELETE};
	int status;

	if ((event->flags & VALORI_UPSTREAM_HOLE) != 0)
		return make_hole(import);
	if ((event->flags & (VALORI_UPSTREAM_ENCRYPTED | VALORI_UPSTREAM_SHREDDED)) != 0) {
		import->tally.encrypted++;
		return make_hole(import);
	}
	status = find_collection(import, from->collection, &op.collection);
	if (status != TOOL_OK)
		return status;
	if (!add(import, &op, &status))
		return status != TOOL_OK ? status : make_hole(import);
	import->tally.records++;
	if ((event->flags & VALORI_UPSTREAM_TOMBSTONE) != 0) {
		delete.target = last_op(import);
		status = add_or_fail(import, &delete);
	}
	remember(import, &import->records, from->collection, delete.target.kind != 0 ? TOMBSTONE : LIVE);
	return status;
}

static int take_delete(struct import *import, const valori_upstream_event *event)
{
	uint64_t id = event->event.id;
	bool is_soft = event->event.type == VALORI_EVENT_SOFT_DELETE;
	enum life life = life_of(import, &import->records, id);
	valori_op op = {.kind = is_soft ? VALORI_OP_SOFT_DELETE : VALORI_OP_DELETE,
			.target = by_id(import->record_base, id)};

	if (life == ABSENT || (is_soft && life == TOMBSTONE)) {
		import->tally.repeated++;
		return TOOL_OK;
	}
	import->tally.deletes++;
	die(&import->records, id, is_soft ? TOMBSTONE : ABSENT);
	return add_or_fail(import, &op);
}

static int take_metadata(struct import *import, const valori_upstream_event *event)
{
	valori_op op = {.kind = VALORI_OP_SET_METADATA,
			.flags = import->run->feed.erasable && event->event.metadata != NULL ? VALORI_OP_SALTED : 0,
			.target = by_id(import->record_base, event->event.id),
			.metadata = event->event.metadata,
			.metadata_size = event->event.metadata_size};
	int status;

	if (life_of(import, &import->records, event->event.id) != LIVE) {
		import->tally.deleted_metadata++;
		return TOOL_OK;
	}
	add(import, &op, &status);
	return status;
}

static int take_meta(struct import *import, const valori_upstream_event *event)
{
	valori_op op = {.kind = VALORI_OP_META_SET,
			.key = event->event.key,
			.key_size = event->event.key_size,
			.metadata = event->event.metadata,
			.metadata_size = event->event.metadata_size};
	int status;

	import->tally.metas += add(import, &op, &status);
	return status;
}

static int take_node(struct import *import, const valori_upstream_event *event)
{
	const valori_event *from = &event->event;
	valori_op op = {.kind = VALORI_OP_NODE_CREATE, .object_kind = from->kind};
	int status = find_collection(import, from->collection, &op.collection);

	if (status == TOOL_OK && from->id > import->nodes.count + HOLES_MAX)
		return tool_trouble(TOOL_USAGE, "%s: node %llu: too many before it are missing; import the log instead",
				    event->path, (unsigned long long)from->id);
	while (status == TOOL_OK && import->nodes.count < from->id)
		status = make_node_hole(import);
	if (status != TOOL_OK)
		return status;
	if (from->record != VALORI_NONE) {
		/* Ours names only live records of its own collection. */
		if (life_of(import, &import->records, from->record) == LIVE &&
		    import->records.things[from->record].ns == from->collection)
			op.target = by_id(import->record_base, from->record);
		else
			import->tally.dangling++;
	}
	import->tally.nodes++;
	remember(import, &import->nodes, from->collection, LIVE);
	return add_or_fail(import, &op);
}

static int take_edge(struct import *import, const valori_upstream_event *event)
{
	const valori_event *from = &event->event;
	valori_op op = {.kind = VALORI_OP_EDGE_CREATE,
			.object_kind = from->kind,
			.from = by_id(import->node_base, from->from),
			.to = by_id(import->node_base, from->to)};
	int status = TOOL_OK;

	if (from->id > import->edges.count + HOLES_MAX)
		return tool_trouble(TOOL_USAGE, "%s: edge %llu: too many before it are missing; import the log instead",
				    event->path, (unsigned long long)from->id);
	while (status == TOOL_OK && import->edges.count < from->id)
		status = make_edge_hole(import, from->from);
	import->tally.edges++;
	remember(import, &import->edges, 0, LIVE);
	return status != TOOL_OK ? status : add_or_fail(import, &op);
}

static int take_graph_delete(struct import *import, const valori_upstream_event *event)
{
	bool is_node = event->event.type == VALORI_EVENT_NODE_DELETE;
	valori_op op = {.kind = is_node ? VALORI_OP_NODE_DELETE : VALORI_OP_EDGE_DELETE,
			.from = by_id(is_node ? import->node_base : import->edge_base, event->event.id)};

	import->tally.deletes++;
	if (is_node)
		die(&import->nodes, event->event.id, ABSENT);
	return add_or_fail(import, &op);
}

static int drop_collection(struct import *import, const valori_upstream_event *event)
{
	uint32_t ns = event->event.collection;
	valori_op op = {.kind = VALORI_OP_COLLECTION_DROP, .collection = import->collections[ns]};

	import->drops[ns]++;
	if (import->collections[ns] == NO_COLLECTION)
		return TOOL_OK; /* nothing was ever put into it */
	import->collections[ns] = NO_COLLECTION;
	import->tally.deletes++;
	/* Of the first reading collections have no numbers yet. */
	return import->checking ? TOOL_OK : add_or_fail(import, &op);
}

static int take_event(struct import *import, const valori_upstream_event *event)
{
	uint32_t ignored;

	import->event = event;
	if ((event->flags & VALORI_UPSTREAM_SHRED) != 0)
		return TOOL_OK; /* what it opened was left out */
	switch ((valori_event_type)event->event.type) {
	case VALORI_EVENT_INSERT:
		return take_insert(import, event);
	case VALORI_EVENT_SOFT_DELETE:
	case VALORI_EVENT_DELETE:
		return take_delete(import, event);
	case VALORI_EVENT_SET_METADATA:
		return take_metadata(import, event);
	case VALORI_EVENT_META_SET:
		return take_meta(import, event);
	case VALORI_EVENT_NODE_CREATE:
		return take_node(import, event);
	case VALORI_EVENT_EDGE_CREATE:
		return take_edge(import, event);
	case VALORI_EVENT_NODE_DELETE:
	case VALORI_EVENT_EDGE_DELETE:
		return take_graph_delete(import, event);
	case VALORI_EVENT_COLLECTION_CREATE:
		name_namespace(import, event->event.collection, event->event.key, event->event.key_size);
		return find_collection(import, event->event.collection, &ignored);
	case VALORI_EVENT_COLLECTION_DROP:
		return drop_collection(import, event);
	case VALORI_EVENT_SET_TAG:
	case VALORI_EVENT_NODE_SET_RECORD:
	case VALORI_EVENT_META_DELETE:
	case VALORI_EVENT_CONFIG:
		break;
	}
	return tool_trouble(TOOL_SYSTEM, "%s: an event of another kind than its reader gives", event->path);
}

/* ---- the two readings ---- */

static int new_batch(struct import *import, const valori_upstream_event *event)
{
	valori_error error;

	if (import->batch != NULL)
		return TOOL_OK;
	import->dim = import->run->feed.dim != 0 ? import->run->feed.dim : event != NULL ? event->dim : 0;
	if (import->dim == 0)
		import->dim = import->report.dim;
	import->zeros = tool_alloc(import->dim + 1, sizeof(int32_t));
	return valori_batch_new(import->dim, &import->batch, &error) == VALORI_OK ? TOOL_OK : tool_fail(&error);
}

static int read_through(struct import *import)
{
	const struct ingest *run = import->run;
	valori_upstream *upstream;
	valori_upstream_event event;
	valori_error error;
	valori_code code;
	int status = TOOL_OK;

	if (valori_upstream_open(import->paths, import->paths_count, NULL, &upstream, &error) != VALORI_OK)
		return tool_fail_open(import->paths[0], &error);
	valori_upstream_get_report(upstream, &import->report);
	while (status == TOOL_OK && ingest_stopped == 0 &&
	       (code = valori_upstream_next(upstream, &event, &error)) == VALORI_OK) {
		/* Encrypted records have no components to count. */
		if (import->batch == NULL && event.event.type == VALORI_EVENT_INSERT && event.event.vector == NULL)
			status = new_batch(import, NULL);
		else
			status = new_batch(import, event.event.type == VALORI_EVENT_INSERT ? &event : NULL);
		if (status == TOOL_OK)
			status = take_event(import, &event);
		if (status == TOOL_OK && (valori_batch_count(import->batch) >= run->feed.batch_rows ||
					  valori_batch_size(import->batch) >= run->feed.batch_size))
			status = commit(import);
		if (tool_progress_due())
			tool_progress("%s: %llu events %s", import->paths[0], (unsigned long long)event.event.number,
				      import->checking ? "checked" : "taken in");
	}
	if (status == TOOL_OK && ingest_stopped == 0 && code != VALORI_END)
		status = tool_fail(&error);
	if (status == TOOL_OK && import->batch != NULL)
		status = commit(import);
	valori_upstream_get_report(upstream, &import->report);
	valori_upstream_close(upstream);
	return status;
}

/* As if nothing had been read. */
static void begin(struct import *import, bool checking)
{
	import->checking = checking;
	import->tally = (struct tally){0};
	import->records.count = import->nodes.count = import->edges.count = 0;
	memset(import->drops, 0, sizeof(import->drops));
	memset(import->names, 0, sizeof(import->names));
	for (uint32_t ns = 0; ns < NAMESPACES; ns++)
		import->collections[ns] = ns == 0 ? 0 : NO_COLLECTION;
	valori_batch_free(import->batch);
	import->batch = NULL;
	free(import->zeros);
	import->zeros = NULL;
	load_names(import);
}

static int judge(const struct import *import)
{
	const valori_upstream_report *report = &import->report;

	switch ((valori_upstream_verdict)report->verdict) {
	case VALORI_UPSTREAM_INTACT:
		return TOOL_OK;
	case VALORI_UPSTREAM_TORN:
		tool_warn("%s: %llu bytes at the end are a torn write and count for nothing",
			  import->paths[import->paths_count - 1], (unsigned long long)report->torn_size);
		return TOOL_OK;
	case VALORI_UPSTREAM_INCOMPLETE:
		return tool_trouble(TOOL_UNKNOWABLE, "%s: %s: nothing was imported", import->paths[0],
				    report->sentence);
	case VALORI_UPSTREAM_ALTERED:
	case VALORI_UPSTREAM_REFUSED:
		return tool_trouble(TOOL_NO, "%s: offset %llu: %s: nothing was imported", report->fault_path,
				    (unsigned long long)report->fault_offset, report->sentence);
	case VALORI_UPSTREAM_UNREADABLE:
		return tool_trouble(TOOL_DAMAGED, "%s: offset %llu: %s: nothing was imported", report->fault_path,
				    (unsigned long long)report->fault_offset, report->sentence);
	}
	return TOOL_OK;
}

static const char *ids_text(const struct import *import, char out[128])
{
	if (import->record_base == 0 && import->node_base == 0 && import->edge_base == 0)
		return "kept";
	snprintf(out, 128, "records + %llu, nodes + %llu, edges + %llu", (unsigned long long)import->record_base,
		 (unsigned long long)import->node_base, (unsigned long long)import->edge_base);
	return out;
}

static int print_result(const struct import *import)
{
	const valori_upstream_report *report = &import->report;
	const struct tally *tally = &import->tally;
	valori_info info = {.size = sizeof(info)};
	char upstream_hash[65], chain[65], root[65], ids[128];
	valori_error error;

	if (valori_get_info(import->run->store, &info, &error) != VALORI_OK)
		return tool_fail(&error);
	valori_hash_format(&report->state_hash, upstream_hash);
	valori_hash_format(&report->chain_head, chain);
	valori_hash_format(&info.state_root, root);
	struct tool_fact facts[] = {{"upstream_kind", upstream_kind(report->kind), 0},
				    {"upstream_events", NULL, report->events},
				    {"upstream_state_hash", upstream_hash, 0},
				    {"upstream_chain_head", report->kind == VALORI_UPSTREAM_LOG ? chain : "none", 0},
				    {"records", NULL, tally->records},
				    {"nodes", NULL, tally->nodes},
				    {"edges", NULL, tally->edges},
				    {"meta", NULL, tally->metas},
				    {"deletions", NULL, tally->deletes},
				    {"collections", NULL, tally->collections},
				    {"ids", ids_text(import, ids), 0},
				    {"encrypted_left_out", NULL, tally->encrypted},
				    {"refused_left_out", NULL, tally->left_out},
				    {"repeated_deletions_left_out", NULL, tally->repeated},
				    {"metadata_of_deleted_left_out", NULL, tally->deleted_metadata},
				    {"nodes_without_their_record", NULL, tally->dangling},
				    {"empty_metadata_kept", NULL, report->empty_metadata},
				    {"reordered", NULL, report->reordered},
				    {"torn_size", NULL, report->torn_size + report->torn_inside},
				    {"dry_run", import->run->dry_run ? "yes" : "no", 0},
				    {"height", NULL, info.height},
				    {"state_root", root, 0}};
	if (!tool_quiet)
		tool_print_facts(stdout, facts, sizeof(facts) / sizeof(facts[0]));
	return TOOL_OK;
}

/* Ids that go on from what the store has; the model there forgets records that fell out of a list, ours does not. */
static int write_all(struct import *import)
{
	struct ingest *run = import->run;
	valori_info before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
	uint64_t expected = import->report.record_active - import->report.record_encrypted - import->tally.left_out;
	valori_error error;
	int status = run->store == NULL ? ingest_open(run, import->dim) : TOOL_OK;

	if (status != TOOL_OK)
		return status;
	if (valori_get_info(run->store, &before, &error) != VALORI_OK)
		return tool_fail(&error);
	begin(import, false);
	import->record_base = before.record_slots;
	import->node_base = before.node_slots;
	import->edge_base = before.edge_slots;
	status = read_through(import);
	if (status != TOOL_OK || ingest_stopped != 0)
		return status;
	status = judge(import); /* the file is what it was a moment ago? */
	if (status == TOOL_OK && valori_get_info(run->store, &after, &error) != VALORI_OK)
		status = tool_fail(&error);
	if (status == TOOL_OK && after.record_live - before.record_live != expected && import->tally.left_out == 0)
		tool_warn("%llu records are live, where the Rust system has %llu: its lists had lost the others",
			  (unsigned long long)(after.record_live - before.record_live), (unsigned long long)expected);
	return status == TOOL_OK ? print_result(import) : status;
}

int ingest_upstream(struct ingest *run, const char *const *paths, size_t count)
{
	struct import *import = tool_alloc(1, sizeof(*import));
	int status;

	import->run = run;
	import->paths = paths;
	import->paths_count = count;
	begin(import, true);
	status = read_through(import);
	if (status == TOOL_OK && ingest_stopped == 0)
		status = judge(import);
	if (status == TOOL_OK && ingest_stopped == 0 && import->dim == 0)
		status = tool_trouble(TOOL_USAGE, "%s: is empty", paths[0]);
	if (status == TOOL_OK && ingest_stopped == 0)
		status = write_all(import);
	valori_batch_free(import->batch);
	free(import->zeros);
	free(import->records.things);
	free(import->nodes.things);
	free(import->edges.things);
	free(import);
	return status;
}
