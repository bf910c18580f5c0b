/* state.c - the state, and apply(state, event). */
#include "state.h"

enum {
	META_K = 0,
	META_M = 32,
	META_KEY = 64,
	META_VALUE = 72,
	META_VALUE_SIZE = 80,
	META_CHAIN = 84,
	META_KEY_SIZE = 88,
	META_LIVE = 89,
	META_SIZE = 96,

	COLLECTION_K = 0,
	COLLECTION_NAME = 32,
	COLLECTION_CHAIN = 40,
	COLLECTION_RECORDS = 44,
	COLLECTION_NODES = 48,
	COLLECTION_EDGES = 52,
	COLLECTION_NAME_SIZE = 56,
	COLLECTION_LIVE = 57,
	COLLECTION_SIZE = 64,

	COLLECTIONS_MAX = 65536
};

/* ---- making and freeing ---- */

static valori_code no_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

static struct vl_table meta_table(struct vl_state *state)
{
	return (struct vl_table){.buckets = &state->meta_buckets,
				 .links = &state->meta,
				 .hashes = &state->meta,
				 .link_offset = META_CHAIN,
				 .hash_offset = META_K};
}

static struct vl_table collection_table(struct vl_state *state)
{
	return (struct vl_table){.buckets = &state->collection_buckets,
				 .links = &state->collections,
				 .hashes = &state->collections,
				 .link_offset = COLLECTION_CHAIN,
				 .hash_offset = COLLECTION_K};
}

/* The nodes that name records. */
static struct vl_lists record_nodes(struct vl_state *state)
{
	return (struct vl_lists){.heads = &state->records.places,
				 .items = &state->graph.nodes,
				 .first_offset = VL_PLACE_FIRST_NODE,
				 .next_offset = VL_NODE_NEXT};
}

static bool add_collection(struct vl_state *state, const uint8_t *name, uint32_t name_size,
			   const uint8_t k[VL_HASH_SIZE])
{
	uint64_t slot = state->collections.count, place = 0;
	struct vl_table table = collection_table(state);
	uint8_t *at = vl_array_append(&state->collections);

	if (at == NULL || !vl_heap_replace(&state->records.heap, &place, 0, name, name_size))
		return false;
	memcpy(at + COLLECTION_K, k, VL_HASH_SIZE);
	vl_put64(at + COLLECTION_NAME, place);
	at[COLLECTION_NAME_SIZE] = (uint8_t)name_size;
	at[COLLECTION_LIVE] = 1;
	return vl_table_insert(&table, slot, ++state->totals.collection_live);
}

valori_code vl_state_init(struct vl_state *state, struct vl_pool *pool, uint32_t dim, uint32_t flags,
			  valori_error *error)
{
	static const uint8_t name[] = {'d', 'e', 'f', 'a', 'u', 'l', 't'};
	uint8_t k[VL_HASH_SIZE];

	memset(state, 0, sizeof(*state));
	state->env = vl_pool_env(pool);
	state->pool = pool;
	if (dim == 0 || dim > VALORI_DIM_MAX)
		return vl_fail(error, VALORI_INVALID, "dimension %u: not in 1...%u", dim, VALORI_DIM_MAX);
	state->dim = dim;
	state->flags = flags;
	vl_records_init(&state->records, pool, dim, !(flags & VL_STATE_NO_VECTORS));
	vl_graph_init(&state->graph, pool);
	vl_array_init(&state->meta, pool, META_SIZE, 5);
	vl_array_init(&state->meta_buckets, pool, 4, 9);
	vl_array_init(&state->collections, pool, COLLECTION_SIZE, 5);
	vl_array_init(&state->collection_buckets, pool, 4, 9);
	for (int list = 0; list < VL_LISTS; list++)
		vl_buf_init(&state->dirty.slots[list], state->env);
	vl_blake3(state->env->kernels, VL_HASH_KEY, name, sizeof(name), k);
	if (add_collection(state, name, sizeof(name), k))
		return VALORI_OK;
	vl_state_free(state);
	return no_memory(error);
}

void vl_state_free(struct vl_state *state)
{
	if (state->env == NULL)
		return;
	vl_records_free(&state->records);
	vl_graph_free(&state->graph);
	vl_array_free(&state->meta);
	vl_array_free(&state->meta_buckets);
	vl_array_free(&state->collections);
	vl_array_free(&state->collection_buckets);
	for (int list = 0; list < VL_LISTS; list++)
		vl_buf_free(&state->dirty.slots[list]);
}

/* ---- what a slot is ---- */

static const struct vl_array *list_array(const struct vl_state *state, enum vl_list list)
{
	switch (list) {
	case VL_RECORDS:
		return &state->records.records;
	case VL_NODES:
		return &state->graph.nodes;
	case VL_EDGES:
		return &state->graph.edges;
	case VL_META:
		return &state->meta;
	case VL_COLLECTIONS:
	case VL_LISTS:
		break;
	}
	return &state->collections;
}

uint64_t vl_state_slots(const struct vl_state *state, enum vl_list list)
{
	return list_array(state, list)->count;
}

static bool is_collection_live(const struct vl_state *state, uint64_t id)
{
	return id < state->collections.count && vl_array_get(&state->collections, id)[COLLECTION_LIVE] == 1;
}

static uint8_t status_of(const struct vl_state *state, uint64_t id)
{
	return vl_array_get(&state->records.records, id)[VL_RECORD_STATUS];
}

static uint16_t collection_of(const struct vl_state *state, uint64_t id)
{
	return vl_get16(vl_array_get(&state->records.records, id) + VL_RECORD_COLLECTION);
}

static bool is_record_live(const struct vl_state *state, uint64_t id)
{
	return id < state->records.records.count && status_of(state, id) == VALORI_LIVE &&
	       is_collection_live(state, collection_of(state, id));
}

static uint16_t node_collection(const struct vl_state *state, uint64_t id)
{
	return vl_get16(vl_array_get(&state->graph.nodes, id) + VL_NODE_COLLECTION);
}

static bool is_node_live(const struct vl_state *state, uint64_t id)
{
	return id < state->graph.nodes.count && vl_array_get(&state->graph.nodes, id)[VL_NODE_LIVE] == 1 &&
	       is_collection_live(state, node_collection(state, id));
}

/* The collection of an edge that is in the list of nodes; COLLECTIONS_MAX: of none. */
static uint64_t edge_collection(const struct vl_state *state, uint64_t id)
{
	uint64_t from = vl_get32(vl_array_get(&state->graph.edges, id) + VL_EDGE_FROM);

	return from < state->graph.nodes.count ? node_collection(state, from) : COLLECTIONS_MAX;
}

static bool is_edge_live(const struct vl_state *state, uint64_t id)
{
	return id < state->graph.edges.count && vl_array_get(&state->graph.edges, id)[VL_EDGE_LIVE] == 1 &&
	       is_collection_live(state, edge_collection(state, id));
}

/* ---- bookkeeping ---- */

static bool mark(struct vl_state *state, enum vl_list list, uint64_t slot)
{
	struct vl_buf *slots = &state->dirty.slots[list];
	uint8_t *to;

	if (slots->size > 0 && memcmp(slots->data + slots->size - sizeof(slot), &slot, sizeof(slot)) == 0)
		return true;
	to = vl_buf_extend(slots, sizeof(slot));
	if (to != NULL)
		memcpy(to, &slot, sizeof(slot));
	return to != NULL;
}

/*
 * One more or less of something live in a collection. Collection 0 is never dropped: nobody asks how much is
 * in it.
 */
static bool count_in(struct vl_state *state, uint64_t collection, uint32_t offset, uint64_t *total, int change)
{
	uint8_t *at;

	*total += (uint64_t)(int64_t)change;
	if (collection == 0 || collection >= state->collections.count)
		return true;
	at = vl_array_edit(&state->collections, collection);
	if (at != NULL)
		vl_put32(at + offset, vl_get32(at + offset) + (uint32_t)change);
	return at != NULL;
}

void vl_state_begin(struct vl_state *state)
{
	struct vl_dirty *dirty = &state->dirty;

	vl_pool_begin(state->pool);
	state->begun = state->totals;
	for (int list = 0; list < VL_LISTS; list++)
		dirty->begun[list] = dirty->slots[list].size;
	dirty->open = true;
	dirty->cleaned = false;
}

void vl_state_commit(struct vl_state *state)
{
	struct vl_dirty *dirty = &state->dirty;

	vl_pool_commit(state->pool);
	for (int list = 0; dirty->cleaned && list < VL_LISTS; list++) {
		struct vl_buf *slots = &dirty->slots[list];

		slots->size -= dirty->begun[list];
		if (slots->size > 0 && dirty->begun[list] > 0)
			memmove(slots->data, slots->data + dirty->begun[list], slots->size);
	}
	dirty->open = false;
}

void vl_state_abort(struct vl_state *state)
{
	struct vl_dirty *dirty = &state->dirty;

	vl_pool_abort(state->pool);
	state->totals = state->begun;
	for (int list = 0; list < VL_LISTS; list++) {
		dirty->slots[list].size = dirty->begun[list];
		dirty->slots[list].failed = false;
	}
	dirty->open = false;
}

/* Within a bracket what was dirty before it stays: after an abort the trees do not know of it. */
void vl_state_clean(struct vl_state *state)
{
	struct vl_dirty *dirty = &state->dirty;

	for (int list = 0; list < VL_LISTS; list++)
		dirty->slots[list].size = dirty->open ? dirty->begun[list] : 0;
	dirty->cleaned = true;
}

/* ---- apply: records ---- */

static valori_code check_next(const struct vl_event *event, uint64_t slots, uint64_t slots_max, valori_error *error)
{
	const char *name = vl_event_type_name(event->type);

	if (slots >= slots_max)
		return vl_fail(error, VALORI_FULL, "%s: there are %llu slots, and there can be no more", name,
			       (unsigned long long)slots);
	if (event->id != slots)
		return vl_fail(error, VALORI_INVALID, "%s: id %llu is not the next one, %llu", name,
			       (unsigned long long)event->id, (unsigned long long)slots);
	return VALORI_OK;
}

static valori_code not_live(const char *thing, uint64_t id, valori_error *error)
{
	return vl_fail(error, VALORI_NOT_FOUND, "%s %llu: no such live %s", thing, (unsigned long long)id, thing);
}

static valori_code insert(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	valori_code code = check_next(event, state->records.records.count, VL_SLOTS_MAX, error);

	if (code != VALORI_OK)
		return code;
	if (!is_collection_live(state, event->collection))
		return not_live("collection", event->collection, error);
	if (event->key_size > VALORI_KEY_MAX)
		return vl_fail(error, VALORI_INVALID, "key: has %u bytes, the limit is %u", event->key_size,
			       VALORI_KEY_MAX);
	if (event->metadata_size != VL_ABSENT && event->metadata_size > VALORI_METADATA_MAX)
		return vl_fail(error, VALORI_INVALID, "metadata: has %u bytes, the limit is %u", event->metadata_size,
			       VALORI_METADATA_MAX);
	if (event->key_size > 0 &&
	    vl_records_find(&state->records, event->collection, event->key, event->key_size, event->k) != VALORI_NONE)
		return vl_fail(error, VALORI_DUPLICATE, "key %.*s: is taken", (int)event->key_size,
			       (const char *)event->key);
	if (!vl_records_insert(&state->records, event, &state->totals.record_keys) ||
	    !count_in(state, event->collection, COLLECTION_RECORDS, &state->totals.record_live, 1))
		return no_memory(error);
	return VALORI_OK;
}

static valori_code soft_delete(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	if (!is_record_live(state, event->id))
		return not_live("record", event->id, error);
	if (!count_in(state, collection_of(state, event->id), COLLECTION_RECORDS, &state->totals.record_live, -1) ||
	    !vl_records_soft_delete(&state->records, event->id, &state->totals.record_keys) ||
	    !mark(state, VL_RECORDS, event->id))
		return no_memory(error);
	state->totals.record_tombstones++;
	return VALORI_OK;
}

/* The one thing that can be done to a tombstone, and in a dropped collection. */
static valori_code delete (struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	if (event->id >= state->records.records.count || status_of(state, event->id) == VALORI_DELETED)
		return vl_fail(error, VALORI_NOT_FOUND, "record %llu: no such record", (unsigned long long)event->id);
	if (status_of(state, event->id) == VALORI_TOMBSTONE)
		state->totals.record_tombstones--;
	else if (is_record_live(state, event->id) &&
		 !count_in(state, collection_of(state, event->id), COLLECTION_RECORDS, &state->totals.record_live, -1))
		return no_memory(error);
	if (!vl_records_delete(&state->records, event->id, &state->totals.record_keys) ||
	    !mark(state, VL_RECORDS, event->id))
		return no_memory(error);
	state->totals.record_deleted++;
	return VALORI_OK;
}

static valori_code set_metadata(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	if (!is_record_live(state, event->id))
		return not_live("record", event->id, error);
	if (event->metadata_size != VL_ABSENT && event->metadata_size > VALORI_METADATA_MAX)
		return vl_fail(error, VALORI_INVALID, "metadata: has %u bytes, the limit is %u", event->metadata_size,
			       VALORI_METADATA_MAX);
	if (!vl_records_set_metadata(&state->records, event) || !mark(state, VL_RECORDS, event->id))
		return no_memory(error);
	return VALORI_OK;
}

static valori_code set_tag(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	if (!is_record_live(state, event->id))
		return not_live("record", event->id, error);
	if (!vl_records_set_tag(&state->records, event->id, event->tag) || !mark(state, VL_RECORDS, event->id))
		return no_memory(error);
	return VALORI_OK;
}

/* ---- apply: nodes and edges ---- */

/* May a node of this collection name this record? */
static valori_code check_named(const struct vl_state *state, uint64_t record, uint16_t collection, valori_error *error)
{
	if (record == VALORI_NONE)
		return VALORI_OK;
	if (!is_record_live(state, record))
		return not_live("record", record, error);
	if (collection_of(state, record) != collection)
		return vl_fail(error, VALORI_INVALID, "record %llu: is in collection %u, the node in %u",
			       (unsigned long long)record, (unsigned)collection_of(state, record),
			       (unsigned)collection);
	return VALORI_OK;
}

/* A node stops naming its record, or begins to name one. */
static bool unname(struct vl_state *state, uint64_t node)
{
	struct vl_lists lists = record_nodes(state);
	uint32_t link = vl_get32(vl_array_get(&state->graph.nodes, node) + VL_NODE_RECORD);
	uint8_t *at;

	if (link == 0)
		return true;
	if (link <= state->records.places.count && !vl_lists_remove(&lists, link - 1, node))
		return false;
	at = vl_array_edit(&state->graph.nodes, node);
	if (at != NULL)
		vl_put32(at + VL_NODE_RECORD, 0);
	return at != NULL;
}

static bool name(struct vl_state *state, uint64_t node, uint64_t record)
{
	struct vl_lists lists = record_nodes(state);
	uint8_t *at;

	if (record == VALORI_NONE)
		return true;
	at = vl_array_edit(&state->graph.nodes, node);
	if (at == NULL)
		return false;
	vl_put32(at + VL_NODE_RECORD, (uint32_t)record + 1);
	return vl_lists_append(&lists, record, node);
}

static valori_code node_create(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	uint64_t node = state->graph.nodes.count;
	valori_code code = check_next(event, node, VL_SLOTS_MAX, error);
	uint8_t *at;

	if (code != VALORI_OK)
		return code;
	if (!is_collection_live(state, event->collection))
		return not_live("collection", event->collection, error);
	code = check_named(state, event->record, event->collection, error);
	if (code != VALORI_OK)
		return code;
	at = vl_array_append(&state->graph.nodes);
	if (at == NULL)
		return no_memory(error);
	vl_put16(at + VL_NODE_COLLECTION, event->collection);
	at[VL_NODE_KIND] = event->kind;
	at[VL_NODE_LIVE] = 1;
	if (!name(state, node, event->record) ||
	    !count_in(state, event->collection, COLLECTION_NODES, &state->totals.node_live, 1))
		return no_memory(error);
	return VALORI_OK;
}

static valori_code node_set_record(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	valori_code code;

	if (!is_node_live(state, event->id))
		return not_live("node", event->id, error);
	code = check_named(state, event->record, node_collection(state, event->id), error);
	if (code != VALORI_OK)
		return code;
	if (!unname(state, event->id) || !name(state, event->id, event->record) || !mark(state, VL_NODES, event->id))
		return no_memory(error);
	return VALORI_OK;
}

static bool remove_edge(struct vl_state *state, uint64_t edge)
{
	uint64_t collection = edge_collection(state, edge);

	return vl_graph_remove_edge(&state->graph, edge) && mark(state, VL_EDGES, edge) &&
	       count_in(state, collection, COLLECTION_EDGES, &state->totals.edge_live, -1);
}

static bool remove_edges(struct vl_state *state, uint64_t node, bool outgoing)
{
	struct vl_lists lists = vl_graph_edges(&state->graph, outgoing);
	uint32_t offset = outgoing ? VL_EDGE_FROM : VL_EDGE_TO;

	for (;;) {
		uint64_t edge = VALORI_NONE;
		const uint8_t *at;

		if (!vl_lists_next(&lists, node, &edge))
			return true;
		/*
		 * Only in a damaged file is a list's edge dead or another node's: then the list counts as
		 * ended.
		 */
		at = vl_array_get(&state->graph.edges, edge);
		if (at[VL_EDGE_LIVE] != 1 || vl_get32(at + offset) != node)
			return true;
		if (!remove_edge(state, edge))
			return false;
	}
}

static valori_code node_delete(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	uint8_t *at;

	if (!is_node_live(state, event->id))
		return not_live("node", event->id, error);
	if (!count_in(state, node_collection(state, event->id), COLLECTION_NODES, &state->totals.node_live, -1) ||
	    !remove_edges(state, event->id, true) || !remove_edges(state, event->id, false) ||
	    !unname(state, event->id) || !mark(state, VL_NODES, event->id))
		return no_memory(error);
	at = vl_array_edit(&state->graph.nodes, event->id);
	if (at == NULL)
		return no_memory(error);
	memset(at, 0, VL_NODE_SIZE);
	return VALORI_OK;
}

static valori_code edge_create(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	valori_code code = check_next(event, state->graph.edges.count, VL_SLOTS_MAX, error);
	uint16_t collection;

	if (code != VALORI_OK)
		return code;
	if (!is_node_live(state, event->from))
		return not_live("node", event->from, error);
	if (!is_node_live(state, event->to))
		return not_live("node", event->to, error);
	collection = node_collection(state, event->from);
	if (node_collection(state, event->to) != collection)
		return vl_fail(error, VALORI_INVALID, "edge: node %llu is in collection %u, node %llu in %u",
			       (unsigned long long)event->from, (unsigned)collection, (unsigned long long)event->to,
			       (unsigned)node_collection(state, event->to));
	if (!vl_graph_add_edge(&state->graph, event) ||
	    !count_in(state, collection, COLLECTION_EDGES, &state->totals.edge_live, 1))
		return no_memory(error);
	return VALORI_OK;
}

static valori_code edge_delete(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	if (!is_edge_live(state, event->id))
		return not_live("edge", event->id, error);
	return remove_edge(state, event->id) ? VALORI_OK : no_memory(error);
}

/* ---- apply: meta, collections, config ---- */

static valori_code meta_set(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	uint64_t slot = vl_meta_find(state, event->key, event->key_size, event->k), place, key_place = 0;
	bool is_new = slot == VALORI_NONE;
	struct vl_table table = meta_table(state);
	valori_code code;
	uint32_t old_size;
	uint8_t *at;

	if (is_new) {
		slot = state->meta.count;
		code = check_next(event, slot, VL_SLOTS_MAX, error);
		if (code != VALORI_OK)
			return code;
	} else if (event->id != slot) {
		return vl_fail(error, VALORI_INVALID, "meta_set: slot %llu: the key has slot %llu",
			       (unsigned long long)event->id, (unsigned long long)slot);
	}
	if (event->key_size == 0 || event->key_size > VALORI_KEY_MAX || event->metadata_size > VALORI_METADATA_MAX)
		return vl_fail(error, VALORI_INVALID, "meta_set: key of %u bytes, value of %u", event->key_size,
			       event->metadata_size);
	if (is_new) {
		at = vl_array_append(&state->meta);
		if (at == NULL || !vl_heap_replace(&state->records.heap, &key_place, 0, event->key, event->key_size))
			return no_memory(error);
		memcpy(at + META_K, event->k, VL_HASH_SIZE);
		vl_put64(at + META_KEY, key_place);
		at[META_KEY_SIZE] = (uint8_t)event->key_size;
		at[META_LIVE] = 1;
		if (!vl_table_insert(&table, slot, ++state->totals.meta_live))
			return no_memory(error);
	} else if (!mark(state, VL_META, slot)) {
		return no_memory(error);
	}
	place = vl_get64(vl_array_get(&state->meta, slot) + META_VALUE);
	old_size = vl_get32(vl_array_get(&state->meta, slot) + META_VALUE_SIZE);
	if (!vl_heap_replace(&state->records.heap, &place, old_size, event->metadata, event->metadata_size))
		return no_memory(error);
	at = vl_array_edit(&state->meta, slot);
	if (at == NULL)
		return no_memory(error);
	memcpy(at + META_M, event->m, VL_HASH_SIZE);
	vl_put64(at + META_VALUE, place);
	vl_put32(at + META_VALUE_SIZE, event->metadata_size);
	return VALORI_OK;
}

static valori_code meta_delete(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	struct vl_array *heap = &state->records.heap;
	struct vl_table table = meta_table(state);
	const uint8_t *old;
	uint8_t *at;

	if (event->id >= state->meta.count || vl_array_get(&state->meta, event->id)[META_LIVE] != 1)
		return not_live("meta", event->id, error);
	old = vl_array_get(&state->meta, event->id);
	if (!vl_heap_wipe(heap, vl_get64(old + META_KEY), old[META_KEY_SIZE]) ||
	    !vl_heap_wipe(heap, vl_get64(old + META_VALUE), vl_get32(old + META_VALUE_SIZE)) ||
	    !vl_table_remove(&table, event->id) || !mark(state, VL_META, event->id))
		return no_memory(error);
	at = vl_array_edit(&state->meta, event->id);
	if (at == NULL)
		return no_memory(error);
	memset(at, 0, META_SIZE);
	state->totals.meta_live--;
	return VALORI_OK;
}

static valori_code collection_create(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	valori_code code = check_next(event, state->collections.count, COLLECTIONS_MAX, error);

	if (code != VALORI_OK)
		return code;
	if (!vl_is_collection_name(event->key, event->key_size))
		return vl_fail(error, VALORI_INVALID, "collection: name is not 1...64 of A-Z a-z 0-9 _ -");
	if (vl_collection_find(state, event->key, event->key_size) != VALORI_NONE)
		return vl_fail(error, VALORI_DUPLICATE, "collection %.*s: exists", (int)event->key_size,
			       (const char *)event->key);
	return add_collection(state, event->key, event->key_size, event->k) ? VALORI_OK : no_memory(error);
}

static valori_code collection_drop(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	struct vl_table table = collection_table(state);
	uint8_t *at;

	if (event->id == 0)
		return vl_fail(error, VALORI_INVALID, "collection 0: cannot be dropped");
	if (!is_collection_live(state, event->id))
		return not_live("collection", event->id, error);
	if (!vl_table_remove(&table, event->id) || !mark(state, VL_COLLECTIONS, event->id))
		return no_memory(error);
	at = vl_array_edit(&state->collections, event->id);
	if (at == NULL)
		return no_memory(error);
	state->totals.record_live -= vl_get32(at + COLLECTION_RECORDS);
	state->totals.node_live -= vl_get32(at + COLLECTION_NODES);
	state->totals.edge_live -= vl_get32(at + COLLECTION_EDGES);
	state->totals.collection_live--;
	memset(at + COLLECTION_RECORDS, 0, COLLECTION_NAME_SIZE - COLLECTION_RECORDS);
	at[COLLECTION_LIVE] = 0;
	return VALORI_OK;
}

static valori_code config(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	static const struct {
		uint32_t least, most;
	} ranges[] = {
		[VL_PARAM_INDEX] = {0, 3},
		[VL_PARAM_HNSW_M] = {2, 256},
		[VL_PARAM_HNSW_EF_CONSTRUCTION] = {1, 65536},
		[VL_PARAM_HNSW_EF_SEARCH] = {1, 65536},
		[VL_PARAM_BUILD_WIDTH] = {1, 64},
		[VL_PARAM_BUILD_SLACK] = {1024, 65536},
		[VL_PARAM_IVF_LISTS] = {0, 1048576},
		[VL_PARAM_IVF_PROBES] = {0, 1048576},
		[VL_PARAM_QUANT] = {0, 2},
	};
	uint32_t p = event->parameter;

	if (p == 0)
		return vl_fail(error, VALORI_INVALID, "config: parameter 0 is none");
	if (p >= sizeof(ranges) / sizeof(*ranges))
		return vl_fail(error, VALORI_NEWER, "config: parameter %u: written by a newer version", p);
	if (event->tag < ranges[p].least || event->tag > ranges[p].most)
		return vl_fail(error, VALORI_INVALID, "config: parameter %u: %llu is not in %u...%u", p,
			       (unsigned long long)event->tag, ranges[p].least, ranges[p].most);
	state->totals.config[p] = event->tag;
	state->totals.config_set |= UINT32_C(1) << p;
	return VALORI_OK;
}

valori_code vl_state_apply(struct vl_state *state, const struct vl_event *event, valori_error *error)
{
	static valori_code (*const appliers[VL_EVENT_TYPES])(struct vl_state *, const struct vl_event *,
							     valori_error *) = {
		[VALORI_EVENT_INSERT] = insert,
		[VALORI_EVENT_SOFT_DELETE] = soft_delete,
		[VALORI_EVENT_DELETE] = delete,
		[VALORI_EVENT_SET_METADATA] = set_metadata,
		[VALORI_EVENT_SET_TAG] = set_tag,
		[VALORI_EVENT_NODE_CREATE] = node_create,
		[VALORI_EVENT_NODE_SET_RECORD] = node_set_record,
		[VALORI_EVENT_NODE_DELETE] = node_delete,
		[VALORI_EVENT_EDGE_CREATE] = edge_create,
		[VALORI_EVENT_EDGE_DELETE] = edge_delete,
		[VALORI_EVENT_META_SET] = meta_set,
		[VALORI_EVENT_META_DELETE] = meta_delete,
		[VALORI_EVENT_COLLECTION_CREATE] = collection_create,
		[VALORI_EVENT_COLLECTION_DROP] = collection_drop,
		[VALORI_EVENT_CONFIG] = config,
	};
	valori_code code;

	if (event->type >= VL_EVENT_TYPES || appliers[event->type] == NULL)
		return vl_fail(error, VALORI_NEWER, "event of type %u: written by a newer version",
			       (unsigned)event->type);
	code = appliers[event->type](state, event, error);
	if (code == VALORI_OK)
		state->totals.height++;
	return code;
}

/* ---- leaves ---- */

static size_t record_leaf(const struct vl_state *state, uint64_t slot, uint8_t *out)
{
	const uint8_t *record = vl_array_get(&state->records.records, slot);

	vl_put64(out + 8, vl_get64(record + VL_RECORD_TAG));
	vl_put16(out + 16, vl_get16(record + VL_RECORD_COLLECTION));
	out[18] = record[VL_RECORD_STATUS];
	/* Of a deleted record all of these are zeros. */
	memcpy(out + 24, vl_array_get(&state->records.digests, slot), VL_DIGEST_SIZE);
	return 24 + VL_DIGEST_SIZE;
}

size_t vl_deleted_leaf(uint64_t id, uint8_t out[VL_LEAF_MAX])
{
	memset(out, 0, VL_LEAF_MAX);
	vl_put64(out, id);
	out[18] = VALORI_DELETED;
	return 24 + VL_DIGEST_SIZE;
}

static uint64_t named_record(const uint8_t *node)
{
	uint32_t link = vl_get32(node + VL_NODE_RECORD);

	return link == 0 ? VALORI_NONE : link - 1;
}

static size_t node_leaf(const struct vl_state *state, uint64_t slot, uint8_t *out)
{
	const uint8_t *node = vl_array_get(&state->graph.nodes, slot);

	if (node[VL_NODE_LIVE] != 0) {
		vl_put64(out + 8, named_record(node));
		vl_put16(out + 16, vl_get16(node + VL_NODE_COLLECTION));
		out[18] = node[VL_NODE_KIND];
		out[19] = node[VL_NODE_LIVE];
	}
	return 24;
}

static size_t edge_leaf(const struct vl_state *state, uint64_t slot, uint8_t *out)
{
	const uint8_t *edge = vl_array_get(&state->graph.edges, slot);

	if (edge[VL_EDGE_LIVE] != 0) {
		vl_put64(out + 8, vl_get32(edge + VL_EDGE_FROM));
		vl_put64(out + 16, vl_get32(edge + VL_EDGE_TO));
		out[24] = edge[VL_EDGE_KIND];
		out[25] = edge[VL_EDGE_LIVE];
	}
	return 32;
}

static size_t meta_leaf(const struct vl_state *state, uint64_t slot, uint8_t *out)
{
	const uint8_t *meta = vl_array_get(&state->meta, slot);

	if (meta[META_LIVE] != 0) {
		out[8] = meta[META_LIVE];
		memcpy(out + 16, meta + META_K, VL_HASH_SIZE);
		memcpy(out + 48, meta + META_M, VL_HASH_SIZE);
	}
	return 80;
}

static size_t collection_leaf(const struct vl_state *state, uint64_t slot, uint8_t *out)
{
	const uint8_t *collection = vl_array_get(&state->collections, slot);

	out[8] = collection[COLLECTION_LIVE];
	memcpy(out + 16, collection + COLLECTION_K, VL_HASH_SIZE);
	return 48;
}

size_t vl_state_leaf(const struct vl_state *state, enum vl_list list, uint64_t slot, uint8_t out[VL_LEAF_MAX],
		     enum vl_context *context)
{
	static const struct {
		size_t (*leaf)(const struct vl_state *, uint64_t, uint8_t *);
		enum vl_context context;
	} kinds[VL_LISTS] = {
		[VL_RECORDS] = {record_leaf, VL_HASH_RECORD},
		[VL_NODES] = {node_leaf, VL_HASH_NODE},
		[VL_EDGES] = {edge_leaf, VL_HASH_EDGE},
		[VL_META] = {meta_leaf, VL_HASH_META},
		[VL_COLLECTIONS] = {collection_leaf, VL_HASH_COLLECTION},
	};

	memset(out, 0, VL_LEAF_MAX);
	vl_put64(out, slot);
	*context = kinds[list].context;
	return kinds[list].leaf(state, slot, out);
}

void vl_state_config_digest(const struct vl_state *state, uint8_t out[VL_HASH_SIZE])
{
	uint8_t all[16 * VL_PARAMETERS];
	size_t size = 0;

	for (uint32_t p = 0; p < VL_PARAMETERS; p++) {
		if (!(state->totals.config_set >> p & 1))
			continue;
		vl_put32(all + size, p);
		vl_put32(all + size + 4, 0);
		vl_put64(all + size + 8, state->totals.config[p]);
		size += 16;
	}
	vl_blake3(state->env->kernels, VL_HASH_CONFIG, all, size, out);
}

/* ---- reading ---- */

bool vl_record_get(const struct vl_state *state, uint64_t id, struct vl_record *out)
{
	const uint8_t *record;
	struct vl_content content;
	uint32_t node;

	if (id >= state->records.records.count)
		return false;
	record = vl_array_get(&state->records.records, id);
	vl_records_content(&state->records, id, &content);
	node = vl_get32(vl_array_get(&state->records.places, id) + VL_PLACE_FIRST_NODE);
	*out = (struct vl_record){
		.id = id,
		.tag = vl_get64(record + VL_RECORD_TAG),
		.collection = vl_get16(record + VL_RECORD_COLLECTION),
		.status = record[VL_RECORD_STATUS],
		.visible = is_record_live(state, id),
		.key_size = content.key_size,
		.metadata_size = content.metadata_size,
		.node = node == 0 || node > state->graph.nodes.count ? VALORI_NONE : node - 1,
		.key = content.key,
		.metadata = content.metadata,
		.vector_salt = content.salted & VL_SALTED_VECTOR ? content.salts : NULL,
		.metadata_salt = content.salted & VL_SALTED_METADATA ? content.salts + VL_SALT_SIZE : NULL,
	};
	return true;
}

bool vl_node_get(const struct vl_state *state, uint64_t id, struct vl_node *out)
{
	const uint8_t *node;

	if (id >= state->graph.nodes.count)
		return false;
	node = vl_array_get(&state->graph.nodes, id);
	*out = (struct vl_node){
		.id = id,
		.record = named_record(node),
		.collection = vl_get16(node + VL_NODE_COLLECTION),
		.kind = node[VL_NODE_KIND],
		.live = node[VL_NODE_LIVE] == 1,
		.visible = is_node_live(state, id),
	};
	return true;
}

bool vl_edge_get(const struct vl_state *state, uint64_t id, struct vl_edge *out)
{
	const uint8_t *edge;

	if (id >= state->graph.edges.count)
		return false;
	edge = vl_array_get(&state->graph.edges, id);
	*out = (struct vl_edge){
		.id = id,
		.from = vl_get32(edge + VL_EDGE_FROM),
		.to = vl_get32(edge + VL_EDGE_TO),
		.kind = edge[VL_EDGE_KIND],
		.live = edge[VL_EDGE_LIVE] == 1,
		.visible = is_edge_live(state, id),
	};
	return true;
}

/* Lists and tables are only walked here: so they serve frozen copies, too. */
static struct vl_state *unconst(const struct vl_state *state)
{
	return (struct vl_state *)(uintptr_t)state;
}

bool vl_edge_next(const struct vl_state *state, uint64_t node, bool outgoing, uint64_t *cursor, struct vl_edge *out)
{
	struct vl_lists lists = vl_graph_edges(&unconst(state)->graph, outgoing);

	return node < state->graph.nodes.count && vl_lists_next(&lists, node, cursor) &&
	       vl_edge_get(state, *cursor, out);
}

bool vl_record_node_next(const struct vl_state *state, uint64_t record, uint64_t *cursor)
{
	struct vl_lists lists = record_nodes(unconst(state));

	return record < state->records.places.count && vl_lists_next(&lists, record, cursor);
}

uint64_t vl_record_find(const struct vl_state *state, uint16_t collection, const uint8_t *key, size_t key_size,
			const uint8_t k[VL_HASH_SIZE])
{
	if (key_size == 0 || !is_collection_live(state, collection))
		return VALORI_NONE;
	return vl_records_find(&state->records, collection, key, key_size, k);
}

uint64_t vl_meta_find(const struct vl_state *state, const uint8_t *key, size_t key_size, const uint8_t k[VL_HASH_SIZE])
{
	struct vl_table table = meta_table(unconst(state));
	uint32_t cursor = 0;
	uint64_t steps = 0;

	while (vl_table_next(&table, vl_get32(k), &cursor, &steps)) {
		const uint8_t *meta = vl_array_get(&state->meta, cursor - 1), *text;

		if (meta[META_LIVE] != 1 || meta[META_KEY_SIZE] != key_size ||
		    memcmp(meta + META_K, k, VL_HASH_SIZE) != 0)
			continue;
		text = vl_heap_get(&state->records.heap, vl_get64(meta + META_KEY), meta[META_KEY_SIZE]);
		if (text != NULL && memcmp(text, key, key_size) == 0)
			return cursor - 1;
	}
	return VALORI_NONE;
}

bool vl_meta_get(const struct vl_state *state, uint64_t slot, const uint8_t **key, size_t *key_size,
		 const uint8_t **value, size_t *value_size)
{
	const uint8_t *meta;

	if (slot >= state->meta.count)
		return false;
	meta = vl_array_get(&state->meta, slot);
	if (meta[META_LIVE] != 1)
		return false;
	*key_size = meta[META_KEY_SIZE];
	*value_size = vl_get32(meta + META_VALUE_SIZE);
	*key = vl_heap_get(&state->records.heap, vl_get64(meta + META_KEY), meta[META_KEY_SIZE]);
	*value = vl_heap_get(&state->records.heap, vl_get64(meta + META_VALUE), vl_get32(meta + META_VALUE_SIZE));
	return *key != NULL && *value != NULL;
}

uint64_t vl_collection_find(const struct vl_state *state, const uint8_t *wanted, size_t size)
{
	struct vl_table table = collection_table(unconst(state));
	uint8_t k[VL_HASH_SIZE];
	uint32_t cursor = 0;
	uint64_t steps = 0;

	vl_blake3(state->env->kernels, VL_HASH_KEY, wanted, size, k);
	while (vl_table_next(&table, vl_get32(k), &cursor, &steps)) {
		const uint8_t *text;
		size_t text_size;
		bool live;

		if (vl_collection_get(state, cursor - 1, &text, &text_size, &live) && live && text_size == size &&
		    memcmp(text, wanted, size) == 0)
			return cursor - 1;
	}
	return VALORI_NONE;
}

bool vl_collection_get(const struct vl_state *state, uint64_t id, const uint8_t **text, size_t *size, bool *live)
{
	const uint8_t *collection;

	if (id >= state->collections.count)
		return false;
	collection = vl_array_get(&state->collections, id);
	*live = collection[COLLECTION_LIVE] == 1;
	*size = collection[COLLECTION_NAME_SIZE];
	*text = vl_heap_get(&state->records.heap, vl_get64(collection + COLLECTION_NAME), (uint32_t)*size);
	return *text != NULL;
}

const uint8_t *vl_state_vector(const struct vl_state *state, uint64_t id)
{
	if (!state->records.has_vectors || id >= state->records.vectors.count ||
	    (status_of(state, id) != VALORI_LIVE && status_of(state, id) != VALORI_TOMBSTONE))
		return NULL;
	return vl_array_get(&state->records.vectors, id);
}

const uint8_t *vl_state_vectors(const struct vl_state *state, uint64_t id, uint64_t *run)
{
	if (!state->records.has_vectors || id >= state->records.vectors.count)
		return NULL;
	return vl_array_run(&state->records.vectors, id, run);
}

/* ---- sections ---- */

const char *vl_section_name(enum vl_section section)
{
	static const char *const names[VL_SECTIONS_END] = {
		[VL_SECTION_RECORDS] = "records",
		[VL_SECTION_PLACES] = "places",
		[VL_SECTION_DIGESTS] = "digests",
		[VL_SECTION_VECTORS] = "vectors",
		[VL_SECTION_KEY_BUCKETS] = "key buckets",
		[VL_SECTION_NODES] = "nodes",
		[VL_SECTION_EDGES] = "edges",
		[VL_SECTION_META] = "meta",
		[VL_SECTION_META_BUCKETS] = "meta buckets",
		[VL_SECTION_COLLECTIONS] = "collections",
		[VL_SECTION_COLLECTION_BUCKETS] = "collection buckets",
		[VL_SECTION_HEAP] = "heap",
	};

	return section < VL_SECTIONS_END ? names[section] : NULL;
}

const struct vl_array *vl_state_section(const struct vl_state *state, enum vl_section section)
{
	switch (section) {
	case VL_SECTION_RECORDS:
		return &state->records.records;
	case VL_SECTION_PLACES:
		return &state->records.places;
	case VL_SECTION_DIGESTS:
		return &state->records.digests;
	case VL_SECTION_VECTORS:
		return &state->records.vectors;
	case VL_SECTION_KEY_BUCKETS:
		return &state->records.buckets;
	case VL_SECTION_NODES:
		return &state->graph.nodes;
	case VL_SECTION_EDGES:
		return &state->graph.edges;
	case VL_SECTION_META:
		return &state->meta;
	case VL_SECTION_META_BUCKETS:
		return &state->meta_buckets;
	case VL_SECTION_COLLECTIONS:
		return &state->collections;
	case VL_SECTION_COLLECTION_BUCKETS:
		return &state->collection_buckets;
	case VL_SECTION_HEAP:
	case VL_SECTIONS_END:
		break;
	}
	return &state->records.heap;
}

void vl_canon_init(struct vl_canon *canon, const struct vl_state *state)
{
	memset(canon, 0, offsetof(struct vl_canon, piece));
	canon->state = state;
	canon->section = VL_SECTION_RECORDS;
}

/*
 * Blobs in canonical order: of each record own and metadata, of each meta slot key and value, of each
 * collection its name.
 */
enum blob { OWN, METADATA, META_SLOT_KEY, META_SLOT_VALUE, NAME, BLOBS };

/* A blob of size 0 is none. */
static const uint8_t *blob_at(const struct vl_state *state, enum blob blob, uint64_t index, uint32_t *size)
{
	const struct vl_array *heap = &state->records.heap;
	struct vl_content content;
	const uint8_t *at, *data = NULL;

	*size = 0;
	switch (blob) {
	case OWN:
		vl_records_content(&state->records, index, &content);
		*size = content.own_size;
		return content.salts != NULL ? content.salts : content.key;
	case METADATA:
		vl_records_content(&state->records, index, &content);
		if (content.metadata != NULL)
			*size = content.metadata_size;
		return content.metadata;
	case META_SLOT_KEY:
		at = vl_array_get(&state->meta, index);
		*size = at[META_KEY_SIZE];
		data = vl_heap_get(heap, vl_get64(at + META_KEY), *size);
		break;
	case META_SLOT_VALUE:
		at = vl_array_get(&state->meta, index);
		*size = vl_get32(at + META_VALUE_SIZE);
		data = vl_heap_get(heap, vl_get64(at + META_VALUE), *size);
		break;
	case NAME:
		at = vl_array_get(&state->collections, index);
		*size = at[COLLECTION_NAME_SIZE];
		data = vl_heap_get(heap, vl_get64(at + COLLECTION_NAME), *size);
		break;
	case BLOBS:
		break;
	}
	if (data == NULL)
		*size = 0;
	return data;
}

/* Goes to the next blob; false behind the last. part and index start at 0. */
static bool next_blob(const struct vl_state *state, uint32_t *part, uint64_t *index)
{
	static const uint8_t first[BLOBS] = {OWN, OWN, META_SLOT_KEY, META_SLOT_KEY, NAME};
	static const uint8_t last[BLOBS] = {METADATA, METADATA, META_SLOT_VALUE, META_SLOT_VALUE, NAME};
	static const enum vl_list lists[BLOBS] = {VL_RECORDS, VL_RECORDS, VL_META, VL_META, VL_COLLECTIONS};

	if (*part < last[*part]) {
		++*part;
		return true;
	}
	if (++*index < vl_state_slots(state, lists[*part])) {
		*part = first[*part];
		return true;
	}
	*index = 0;
	while (++*part < BLOBS)
		if (*part == first[*part] && vl_state_slots(state, lists[*part]) > 0)
			return true;
	return false;
}

static bool first_blob(const struct vl_state *state, uint32_t *part, uint64_t *index)
{
	*part = OWN;
	*index = 0;
	if (state->records.records.count > 0)
		return true;
	*part = METADATA;
	return next_blob(state, part, index);
}

/* Gives a blob its place behind those laid out so far. */
static uint64_t lay_out(struct vl_canon *canon, enum blob blob, uint64_t index)
{
	uint64_t place;
	uint32_t size;

	if (blob_at(canon->state, blob, index, &size) == NULL || size == 0)
		return 0;
	place = vl_heap_fit(canon->heap_size, size);
	canon->heap_size = place + size;
	return place;
}

/* Writes new places into the copy of an element. */
static void move_places(struct vl_canon *canon, uint64_t index, uint8_t *element)
{
	uint8_t salted;

	switch (canon->section) {
	case VL_SECTION_PLACES:
		salted = element[VL_PLACE_SALTED];
		vl_put64(element + VL_PLACE_OWN, lay_out(canon, OWN, index));
		element[VL_PLACE_SALTED] = salted;
		vl_put64(element + VL_PLACE_METADATA, lay_out(canon, METADATA, index));
		break;
	case VL_SECTION_META:
		vl_put64(element + META_KEY, lay_out(canon, META_SLOT_KEY, index));
		vl_put64(element + META_VALUE, lay_out(canon, META_SLOT_VALUE, index));
		break;
	default:
		vl_put64(element + COLLECTION_NAME, lay_out(canon, NAME, index));
		break;
	}
}

bool vl_state_is_kept(const struct vl_state *state, uint64_t id)
{
	const uint8_t *record = vl_array_get(&state->records.records, id);

	return record[VL_RECORD_STATUS] != VALORI_DELETED ||
	       vl_get32(vl_array_get(&state->records.places, id) + VL_PLACE_FIRST_NODE) != 0;
}

static bool is_left_out(const struct vl_canon *canon, uint64_t index)
{
	return canon->is_packed && canon->section <= VL_SECTION_VECTORS && !vl_state_is_kept(canon->state, index);
}

/* The element that stands for deleted records, as much of it as a piece holds. */
static size_t blank_piece(struct vl_canon *canon, const struct vl_array *array)
{
	size_t size = array->elem_size - canon->blank;

	if (!canon->is_packed || canon->section > VL_SECTION_VECTORS)
		return 0;
	if (size > sizeof(canon->piece))
		size = sizeof(canon->piece);
	memset(canon->piece, 0, size);
	if (canon->section == VL_SECTION_RECORDS && size > 0)
		canon->piece[VL_RECORD_STATUS] = VALORI_DELETED;
	canon->blank += (uint32_t)size;
	return size;
}

/* Elements as they lie, as many as are behind each other and not left out. */
static uint64_t plain_run(struct vl_canon *canon, const struct vl_array *array, const uint8_t **data)
{
	uint64_t run = 0, length;

	while (canon->index < array->count && is_left_out(canon, canon->index))
		canon->index++;
	if (canon->index == array->count)
		return 0;
	*data = vl_array_run(array, canon->index, &run);
	if (canon->is_packed && canon->section <= VL_SECTION_VECTORS) {
		for (length = 1; length < run && vl_state_is_kept(canon->state, canon->index + length); length++)
			;
		run = length;
	}
	canon->index += run;
	return run;
}

/* As many elements as fit into a piece. */
static size_t moved_piece(struct vl_canon *canon, const struct vl_array *array)
{
	size_t size = 0;

	for (; canon->index < array->count && size + array->elem_size <= sizeof(canon->piece); canon->index++) {
		if (is_left_out(canon, canon->index))
			continue;
		memcpy(canon->piece + size, vl_array_get(array, canon->index), array->elem_size);
		move_places(canon, canon->index, canon->piece + size);
		size += array->elem_size;
	}
	return size;
}

/* Small blobs and the gaps between blobs are gathered; a large blob is a piece of its own. */
static size_t heap_piece(struct vl_canon *canon, const uint8_t **data)
{
	size_t used = 0, room = sizeof(canon->piece);

	*data = canon->piece;
	while (canon->part < BLOBS) {
		uint32_t size;
		const uint8_t *blob = blob_at(canon->state, (enum blob)canon->part, canon->index, &size);
		uint64_t gap = size == 0 ? 0 : vl_heap_fit(canon->heap_size, size) - canon->heap_size;

		if (gap > room - used)
			gap = room - used;
		if (gap > 0) {
			memset(canon->piece + used, 0, (size_t)gap);
			used += (size_t)gap;
			canon->heap_size += gap;
			if (used == room)
				return used;
		}
		if (size > room - used && used > 0)
			return used;
		canon->heap_size += size;
		if (!next_blob(canon->state, &canon->part, &canon->index))
			canon->part = BLOBS;
		if (size > room) {
			*data = blob;
			return size;
		}
		if (size > 0)
			memcpy(canon->piece + used, blob, size);
		used += size;
	}
	return used;
}

static bool start_section(struct vl_canon *canon, uint32_t section)
{
	canon->section = section;
	canon->index = 0;
	canon->blank = 0;
	if (section != VL_SECTION_HEAP)
		return section < VL_SECTIONS_END;
	canon->heap_size = 0;
	if (!first_blob(canon->state, &canon->part, &canon->index))
		canon->part = BLOBS;
	return true;
}

bool vl_canon_next(struct vl_canon *canon, enum vl_section *section, const uint8_t **data, size_t *size)
{
	while (canon->section < VL_SECTIONS_END) {
		const struct vl_array *array = vl_state_section(canon->state, (enum vl_section)canon->section);

		*section = (enum vl_section)canon->section;
		*data = canon->piece;
		*size = blank_piece(canon, array);
		if (*size > 0)
			return true;
		switch (*section) {
		case VL_SECTION_PLACES:
		case VL_SECTION_META:
		case VL_SECTION_COLLECTIONS:
			*size = moved_piece(canon, array);
			break;
		case VL_SECTION_HEAP:
			*size = heap_piece(canon, data);
			break;
		case VL_SECTION_RECORDS:
		case VL_SECTION_DIGESTS:
		case VL_SECTION_VECTORS:
		case VL_SECTION_KEY_BUCKETS:
		case VL_SECTION_NODES:
		case VL_SECTION_EDGES:
		case VL_SECTION_META_BUCKETS:
		case VL_SECTION_COLLECTION_BUCKETS:
		case VL_SECTIONS_END:
			*size = (size_t)plain_run(canon, array, data) * array->elem_size;
			break;
		}
		if (*size > 0)
			return true;
		start_section(canon, canon->section + 1);
	}
	return false;
}

uint64_t vl_canon_heap_size(const struct vl_state *state)
{
	uint64_t end = 0, index;
	uint32_t part, size;

	if (!first_blob(state, &part, &index))
		return 0;
	do {
		blob_at(state, (enum blob)part, index, &size);
		if (size > 0)
			end = vl_heap_fit(end, size) + size;
	} while (next_blob(state, &part, &index));
	return end;
}

static bool are_counts_sound(const struct vl_state *state, const uint64_t n[VL_SECTIONS_END],
			     const struct vl_totals *totals)
{
	uint64_t records = n[VL_SECTION_RECORDS];

	return records <= VL_SLOTS_MAX && n[VL_SECTION_PLACES] == records && n[VL_SECTION_DIGESTS] == records &&
	       (!state->records.has_vectors || n[VL_SECTION_VECTORS] == records) &&
	       n[VL_SECTION_NODES] <= VL_SLOTS_MAX && n[VL_SECTION_EDGES] <= VL_SLOTS_MAX &&
	       n[VL_SECTION_META] <= VL_SLOTS_MAX && n[VL_SECTION_COLLECTIONS] <= COLLECTIONS_MAX &&
	       n[VL_SECTION_HEAP] <= VL_HEAP_END && n[VL_SECTION_KEY_BUCKETS] <= records &&
	       n[VL_SECTION_META_BUCKETS] <= n[VL_SECTION_META] &&
	       n[VL_SECTION_COLLECTION_BUCKETS] <= n[VL_SECTION_COLLECTIONS] && totals->record_live <= records &&
	       totals->record_tombstones <= records - totals->record_live &&
	       totals->record_deleted <= records - totals->record_live - totals->record_tombstones &&
	       totals->record_keys <= n[VL_SECTION_KEY_BUCKETS] && totals->node_live <= n[VL_SECTION_NODES] &&
	       totals->edge_live <= n[VL_SECTION_EDGES] && totals->meta_live <= n[VL_SECTION_META_BUCKETS] &&
	       totals->collection_live <= n[VL_SECTION_COLLECTION_BUCKETS] && totals->collection_live >= 1;
}

valori_code vl_state_attach(struct vl_state *state, const uint8_t *const base[VL_SECTIONS_END],
			    const uint64_t counts[VL_SECTIONS_END], const struct vl_totals *totals, valori_error *error)
{
	if (!are_counts_sound(state, counts, totals))
		return vl_fail(error, VALORI_DAMAGED, "section counts contradict each other");
	for (unsigned section = VL_SECTION_RECORDS; section < VL_SECTIONS_END; section++) {
		struct vl_array *array =
			(struct vl_array *)(uintptr_t)vl_state_section(state, (enum vl_section)section);

		vl_array_free(array);
		if (section != VL_SECTION_VECTORS || state->records.has_vectors)
			vl_array_map(array, base[section], counts[section]);
	}
	state->totals = *totals;
	return VALORI_OK;
}
