/* snapshot_verify.c - is a snapshot, to the last byte, what a state can be? */
#include "snapshot.h"

#include "bytes.h"
#include "snapshot_format.h"

enum { BATCH = 512 }; /* hashes at a time */

enum { /* elements of state.h */
       META_K = 0,
       META_VALUE_SIZE = 80,
       META_CHAIN = 84,
       META_KEY_SIZE = 88,
       META_LIVE = 89,
       META_SIZE = 96,
       COLLECTION_CHAIN = 40,
       COLLECTION_COUNTS = 44,
       COLLECTION_NAME_SIZE = 56,
       COLLECTION_LIVE = 57,
       COLLECTION_SIZE = 64
};
#define KEY_SPREAD UINT32_C(0x9e3779b1) /* the same key in two collections lies in two buckets */

/* A state of its own that starts with the file. */
struct checked {
	const struct vl_snapshot *snapshot;
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_commitment commitment;
	struct vl_requests requests;
	bool has_state, has_commitment, has_requests;
	uint32_t *live; /* per collection: records, nodes, edges */
	size_t live_size;
	valori_error *error;
};

static valori_code fault(const struct checked *checked, enum vl_section section, uint64_t slot,
			 const char *fact)
{
	const struct vl_part *part = &checked->snapshot->head.parts[vl_part_of(section)];
	char sentence[128];

	vl_format(sentence, sizeof(sentence), "%s: slot %llu: %s", vl_part_name(part->kind),
		  (unsigned long long)slot, fact);
	if (vl_is_packed(&checked->snapshot->head) && section <= VL_SECTION_VECTORS)
		slot = 0; /* it is somewhere in this section */
	return vl_snapshot_damaged(checked->snapshot->path, part->offset + slot * part->elem_size, sentence,
				   checked->error);
}

/* ---- trees ---- */

/* Are these parents those of the children? Both lie in the mapping; the last child may be alone. */
static valori_code check_level(const struct checked *checked, const uint8_t *children, uint64_t child_count,
			       const uint8_t *parents)
{
	const struct vl_kernels *kernels = checked->snapshot->env->kernels;
	uint64_t pairs = child_count / 2;
	uint8_t hashes[BATCH * VL_HASH_SIZE], last[2 * VL_HASH_SIZE] = {0};

	for (uint64_t first = 0; first < (child_count + 1) / 2; first += BATCH) {
		size_t count = pairs - first < BATCH ? (size_t)(pairs - first) : BATCH;
		const uint8_t *pair = children + first * 2 * VL_HASH_SIZE;

		vl_blake3_rows(kernels, VL_HASH_TREE, pair, 2 * VL_HASH_SIZE, 2 * VL_HASH_SIZE, count,
			       hashes);
		for (size_t i = 0; i < count; i++)
			if (vl_is_zero(pair + i * 2 * VL_HASH_SIZE, 2 * VL_HASH_SIZE))
				memset(hashes + i * VL_HASH_SIZE, 0, VL_HASH_SIZE);
		if (count < BATCH && child_count % 2 != 0) {
			memcpy(last, children + (child_count - 1) * VL_HASH_SIZE, VL_HASH_SIZE);
			vl_blake3(kernels, VL_HASH_TREE, last, sizeof(last), hashes + count * VL_HASH_SIZE);
			if (vl_is_zero(last, sizeof(last)))
				memset(hashes + count * VL_HASH_SIZE, 0, VL_HASH_SIZE);
			count++;
		}
		if (memcmp(hashes, parents + first * VL_HASH_SIZE, count * VL_HASH_SIZE) != 0)
			return vl_snapshot_damaged(checked->snapshot->path,
						   (uint64_t)(parents - checked->snapshot->data) +
							   first * VL_HASH_SIZE,
						   "a tree does not follow from its leaves", checked->error);
	}
	return VALORI_OK;
}

/* The same for the leaves of a packed snapshot. */
static valori_code check_packed_leaves(const struct checked *checked, uint64_t count, const uint8_t *parents)
{
	const struct vl_kernels *kernels = checked->snapshot->env->kernels;

	for (uint64_t first = 0; first < count; first += 2) {
		uint8_t pair[2 * VL_HASH_SIZE] = {0}, hash[VL_HASH_SIZE];

		vl_commitment_record_leaf(&checked->commitment, first, pair);
		if (first + 1 < count)
			vl_commitment_record_leaf(&checked->commitment, first + 1, pair + VL_HASH_SIZE);
		vl_blake3(kernels, VL_HASH_TREE, pair, sizeof(pair), hash);
		parents += first > 0 ? VL_HASH_SIZE : 0;
		if (memcmp(hash, parents, VL_HASH_SIZE) != 0)
			return vl_snapshot_damaged(checked->snapshot->path,
						   (uint64_t)(parents - checked->snapshot->data),
						   "a tree does not follow from its leaves", checked->error);
	}
	return VALORI_OK;
}

static valori_code check_trees(const struct checked *checked)
{
	valori_code code = VALORI_OK;

	for (unsigned list = 0; list < VL_LISTS; list++) {
		const uint8_t *at =
			checked->snapshot->data + checked->snapshot->head.parts[VL_PART_TREES + list].offset;
		uint64_t count = vl_state_slots(&checked->state, (enum vl_list)list);

		if (list == VL_RECORDS && vl_is_packed(&checked->snapshot->head) && count > 1) {
			at += checked->snapshot->head.parts[vl_part_of(VL_SECTION_RECORDS)].count * VL_HASH_SIZE;
			code = check_packed_leaves(checked, count, at);
			count = (count + 1) / 2;
		}
		for (; count > 1 && code == VALORI_OK; count = (count + 1) / 2) {
			code = check_level(checked, at, count, at + count * VL_HASH_SIZE);
			at += count * VL_HASH_SIZE;
		}
	}
	return code;
}

/* All content hashed again, and all leaves, up to the root. */
static valori_code check_root(const struct checked *checked)
{
	uint8_t root[VL_HASH_SIZE];
	valori_code code = vl_state_root(&checked->state, true, root, checked->error);

	if (code != VALORI_OK) {
		vl_fail_in(checked->error, code, checked->snapshot->path);
		return code;
	}
	if (memcmp(root, checked->snapshot->head.position.state_root, VL_HASH_SIZE) != 0)
		return vl_fail(checked->error, VALORI_DAMAGED, "%s: the content does not give the state root",
			       checked->snapshot->path);
	return VALORI_OK;
}

/* ---- elements: what no leaf speaks of ---- */

static bool is_live(const struct vl_state *state, uint64_t collection)
{
	return collection < state->collections.count &&
	       vl_array_get(&state->collections, collection)[COLLECTION_LIVE] != 0;
}

/* One more that is live in a collection; the first one is not counted, for nobody drops it. */
static void count_live(const struct checked *checked, uint64_t collection, unsigned kind)
{
	if (collection > 0)
		checked->live[collection * 3 + kind]++;
}

static const char *record_fault(const struct checked *checked, uint64_t slot, struct vl_totals *totals)
{
	const struct vl_state *state = &checked->state;
	const uint8_t *record = vl_array_get(&state->records.records, slot);
	const uint8_t *place = vl_array_get(&state->records.places, slot);
	const uint8_t *digest = vl_array_get(&state->records.digests, slot);
	uint16_t collection = vl_get16(record + VL_RECORD_COLLECTION);
	struct vl_record got;

	if (record[VL_RECORD_STATUS] == VALORI_DELETED) {
		totals->record_deleted++;
		if (!vl_is_zero(record, VL_RECORD_STATUS) ||
		    !vl_is_zero(record + VL_RECORD_STATUS + 1, VL_RECORD_SIZE - VL_RECORD_STATUS - 1) ||
		    !vl_is_zero(place, VL_PLACE_FIRST_NODE) || !vl_is_zero(digest, VL_DIGEST_SIZE))
			return "a deleted record is not empty";
		const uint8_t *vector = vl_array_get(&state->records.vectors, slot);
		return vl_is_zero(vector, (size_t)4 * state->dim)
			       ? NULL
			       : "the vector of a deleted record is not empty";
	}
	if (record[VL_RECORD_STATUS] != VALORI_LIVE && record[VL_RECORD_STATUS] != VALORI_TOMBSTONE)
		return "no such status";
	if (collection >= state->collections.count)
		return "no such collection";
	if (place[VL_PLACE_OWN + 6] != 0 || place[VL_PLACE_SALTED] > (VL_SALTED_VECTOR | VL_SALTED_METADATA))
		return "unused bits are not zero";
	if (!vl_record_get(state, slot, &got) || got.key_size != record[VL_RECORD_KEY_SIZE] ||
	    got.metadata_size != vl_get32(place + VL_PLACE_METADATA_SIZE))
		return "a blob lies where it cannot";
	if (got.key_size == 0 &&
	    (vl_get32(record + VL_RECORD_HASH) != 0 || vl_get32(place + VL_PLACE_CHAIN) != 0))
		return "a record without a key has a place in the table of keys";
	if (got.key_size > 0 &&
	    vl_get32(record + VL_RECORD_HASH) != vl_get32(digest + VL_DIGEST_K) + collection * KEY_SPREAD)
		return "the hash of its key is wrong";
	if (record[VL_RECORD_STATUS] == VALORI_TOMBSTONE) {
		totals->record_tombstones++;
		return vl_get32(place + VL_PLACE_CHAIN) == 0 ? NULL : "a tombstone is in the table of keys";
	}
	totals->record_live += is_live(state, collection);
	count_live(checked, collection, 0);
	if (got.key_size == 0)
		return NULL;
	totals->record_keys++;
	return vl_records_find(&state->records, collection, got.key, got.key_size, digest + VL_DIGEST_K) ==
			       slot
		       ? NULL
		       : "its key is not found";
}

static const char *node_fault(const struct checked *checked, uint64_t slot, struct vl_totals *totals)
{
	const struct vl_state *state = &checked->state;
	const uint8_t *node = vl_array_get(&state->graph.nodes, slot);
	uint16_t collection = vl_get16(node + VL_NODE_COLLECTION);

	if (node[VL_NODE_LIVE] == 0)
		return vl_is_zero(node, VL_NODE_SIZE) ? NULL : "a deleted node is not empty";
	if (node[VL_NODE_LIVE] != 1 || collection >= state->collections.count)
		return "a node with a wrong collection or mark";
	if (vl_get32(node + VL_NODE_RECORD) > state->records.records.count)
		return "a node names a record that is not there";
	if (vl_get32(node + VL_NODE_RECORD) == 0 && !vl_is_zero(node + VL_NODE_NEXT, 8))
		return "a node without a record is in a list of one";
	totals->node_live += is_live(state, collection);
	count_live(checked, collection, 1);
	return NULL;
}

static const char *edge_fault(const struct checked *checked, uint64_t slot, struct vl_totals *totals)
{
	const struct vl_state *state = &checked->state;
	const uint8_t *edge = vl_array_get(&state->graph.edges, slot);
	uint16_t collection;

	if (edge[VL_EDGE_LIVE] == 0)
		return vl_is_zero(edge, VL_EDGE_SIZE) ? NULL : "a deleted edge is not empty";
	if (edge[VL_EDGE_LIVE] != 1 || !vl_is_zero(edge + VL_EDGE_LIVE + 1, VL_EDGE_SIZE - VL_EDGE_LIVE - 1))
		return "unused bits are not zero";
	for (unsigned end = 0; end < 2; end++) {
		uint32_t node = vl_get32(edge + (end == 0 ? VL_EDGE_FROM : VL_EDGE_TO));

		if (node >= state->graph.nodes.count ||
		    vl_array_get(&state->graph.nodes, node)[VL_NODE_LIVE] == 0)
			return "an end of an edge is not there";
	}
	collection = vl_get16(vl_array_get(&state->graph.nodes, vl_get32(edge + VL_EDGE_FROM)) +
			      VL_NODE_COLLECTION);
	if (collection !=
	    vl_get16(vl_array_get(&state->graph.nodes, vl_get32(edge + VL_EDGE_TO)) + VL_NODE_COLLECTION))
		return "an edge between two collections";
	totals->edge_live += is_live(state, collection);
	count_live(checked, collection, 2);
	return NULL;
}

static const char *meta_fault(const struct checked *checked, uint64_t slot, struct vl_totals *totals)
{
	const struct vl_state *state = &checked->state;
	const uint8_t *meta = vl_array_get(&state->meta, slot), *key, *value;
	size_t key_size, value_size;

	if (meta[META_LIVE] == 0)
		return vl_is_zero(meta, META_SIZE) ? NULL : "a deleted slot is not empty";
	if (meta[META_LIVE] != 1 || !vl_is_zero(meta + META_LIVE + 1, META_SIZE - META_LIVE - 1))
		return "unused bits are not zero";
	if (!vl_meta_get(state, slot, &key, &key_size, &value, &value_size) ||
	    key_size != meta[META_KEY_SIZE] || value_size != vl_get32(meta + META_VALUE_SIZE))
		return "a blob lies where it cannot";
	totals->meta_live++;
	return vl_meta_find(state, key, key_size, meta + META_K) == slot ? NULL : "its key is not found";
}

static const char *collection_fault(const struct checked *checked, uint64_t slot, struct vl_totals *totals)
{
	const struct vl_state *state = &checked->state;
	const uint8_t *collection = vl_array_get(&state->collections, slot), *name;
	size_t name_size;
	bool live;

	if (collection[COLLECTION_LIVE] > 1 ||
	    !vl_is_zero(collection + COLLECTION_LIVE + 1, COLLECTION_SIZE - COLLECTION_LIVE - 1))
		return "unused bits are not zero";
	if (!vl_collection_get(state, slot, &name, &name_size, &live) ||
	    name_size != collection[COLLECTION_NAME_SIZE] || !vl_is_collection_name(name, name_size))
		return "its name cannot be";
	for (unsigned kind = 0; kind < 3; kind++)
		if (vl_get32(collection + COLLECTION_COUNTS + (size_t)kind * 4) !=
		    (live ? checked->live[slot * 3 + kind] : 0))
			return "its counts are wrong";
	totals->collection_live += live;
	if (slot == 0 && !live)
		return "the first collection was dropped";
	if (!live)
		return vl_get32(collection + COLLECTION_CHAIN) == 0 ? NULL
								    : "a dropped collection is in the table";
	return vl_collection_find(state, name, name_size) == slot ? NULL : "its name is not found";
}

typedef const char *element_check(const struct checked *checked, uint64_t slot, struct vl_totals *totals);

/* Collections come last: what is live in them has been counted by then. */
static valori_code check_elements(const struct checked *checked, struct vl_totals *totals)
{
	static const struct {
		enum vl_section section;
		element_check *check;
	} lists[] = {
		{VL_SECTION_RECORDS, record_fault},
		{VL_SECTION_NODES, node_fault},
		{VL_SECTION_EDGES, edge_fault},
		{VL_SECTION_META, meta_fault},
		{VL_SECTION_COLLECTIONS, collection_fault},
	};

	for (unsigned i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		uint64_t count = vl_state_section(&checked->state, lists[i].section)->count;

		for (uint64_t slot = 0; slot < count; slot++) {
			const char *fact = lists[i].check(checked, slot, totals);

			if (fact != NULL)
				return fault(checked, lists[i].section, slot, fact);
		}
	}
	return VALORI_OK;
}

static valori_code check_totals(const struct checked *checked, const struct vl_totals *counted)
{
	const struct vl_totals *said = &checked->snapshot->head.totals;

	if (counted->record_live != said->record_live ||
	    counted->record_tombstones != said->record_tombstones ||
	    counted->record_deleted != said->record_deleted || counted->record_keys != said->record_keys ||
	    counted->node_live != said->node_live || counted->edge_live != said->edge_live ||
	    counted->meta_live != said->meta_live || counted->collection_live != said->collection_live)
		return vl_fail(checked->error, VALORI_DAMAGED,
			       "%s: the header's counts are not those of the content",
			       checked->snapshot->path);
	return VALORI_OK;
}

/* ---- tables and lists: everything in them belongs there ---- */

/*
 * How many entries the chains of a table have. All live keys are found (that was looked at); when there are
 * no more entries than keys, there is nothing else in the table.
 */
static uint64_t count_chained(const struct vl_array *buckets, const struct vl_array *links, uint32_t offset)
{
	uint64_t count = 0;

	for (uint64_t bucket = 0; bucket < buckets->count; bucket++) {
		uint32_t link = vl_get32(vl_array_get(buckets, bucket));

		for (; link != 0 && count <= links->count; count++) {
			if (link > links->count)
				return UINT64_MAX;
			link = vl_get32(vl_array_get(links, link - 1) + offset);
		}
	}
	return count;
}

static valori_code check_tables(const struct checked *checked)
{
	const struct vl_state *state = &checked->state;
	const struct vl_totals *totals = &state->totals;
	const struct {
		enum vl_section section;
		const struct vl_array *links;
		uint32_t offset;
		uint64_t count;
	} tables[] = {
		{VL_SECTION_KEY_BUCKETS, &state->records.places, VL_PLACE_CHAIN, totals->record_keys},
		{VL_SECTION_META_BUCKETS, &state->meta, META_CHAIN, totals->meta_live},
		{VL_SECTION_COLLECTION_BUCKETS, &state->collections, COLLECTION_CHAIN,
		 totals->collection_live},
	};

	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (count_chained(vl_state_section(state, tables[i].section), tables[i].links,
				  tables[i].offset) != tables[i].count)
			return fault(checked, tables[i].section, 0,
				     "the table holds what does not belong there");
	return VALORI_OK;
}

/* Lists of a kind: each head holds first and last, each item next and previous, and the head it belongs to, +
 * add. */
struct lists {
	enum vl_section heads, items;
	uint32_t first, next, owner, add;
	bool ascend;
};

/* Walks the list of one head, end to end, both ways at once. Adds the number of its items to *items. */
static const char *list_fault(const struct vl_state *state, const struct lists *lists, uint64_t slot,
			      uint64_t *items)
{
	const struct vl_array *array = vl_state_section(state, lists->items);
	const uint8_t *head = vl_array_get(vl_state_section(state, lists->heads), slot);
	uint32_t before = 0, link = vl_get32(head + lists->first);

	/* An item has one previous one: who is led back to at every step goes round in no circle. */
	while (link != 0) {
		const uint8_t *item;

		if (link > array->count)
			return "a list leads nowhere";
		item = vl_array_get(array, link - 1);
		if (vl_get32(item + lists->next + 4) != before)
			return "a list does not lead back";
		if (vl_get32(item + lists->owner) != slot + lists->add)
			return "a list holds what belongs elsewhere";
		if (lists->ascend && link <= before)
			return "a list does not ascend";
		before = link;
		link = vl_get32(item + lists->next);
		(*items)++;
	}
	return vl_get32(head + lists->first + 4) == before ? NULL : "a list ends elsewhere";
}

/* Live edges, and nodes that name a record: what the lists must hold together. */
static void count_items(const struct vl_state *state, uint64_t *edges, uint64_t *nodes)
{
	for (uint64_t slot = 0; slot < state->graph.edges.count; slot++)
		*edges += vl_array_get(&state->graph.edges, slot)[VL_EDGE_LIVE];
	for (uint64_t slot = 0; slot < state->graph.nodes.count; slot++)
		*nodes += vl_get32(vl_array_get(&state->graph.nodes, slot) + VL_NODE_RECORD) != 0;
}

static valori_code check_lists(const struct checked *checked)
{
	static const struct lists kinds[] = {
		{VL_SECTION_NODES, VL_SECTION_EDGES, VL_NODE_FIRST_OUT, VL_EDGE_NEXT_OUT, VL_EDGE_FROM, 0,
		 true},
		{VL_SECTION_NODES, VL_SECTION_EDGES, VL_NODE_FIRST_IN, VL_EDGE_NEXT_IN, VL_EDGE_TO, 0, true},
		{VL_SECTION_PLACES, VL_SECTION_NODES, VL_PLACE_FIRST_NODE, VL_NODE_NEXT, VL_NODE_RECORD, 1,
		 false},
	};
	const struct vl_state *state = &checked->state;
	uint64_t edges = 0, nodes = 0;

	count_items(state, &edges, &nodes);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		uint64_t heads = vl_state_section(state, kinds[i].heads)->count, items = 0;

		for (uint64_t slot = 0; slot < heads; slot++) {
			const char *fact = list_fault(state, &kinds[i], slot, &items);

			if (fact != NULL)
				return fault(checked, kinds[i].heads, slot, fact);
		}
		if (items != (kinds[i].items == VL_SECTION_EDGES ? edges : nodes))
			return fault(checked, kinds[i].items, 0, "not all are in their lists");
	}
	return VALORI_OK;
}

/* ---- all of it ---- */

static valori_code checked_init(struct checked *checked, const struct vl_snapshot *snapshot,
				valori_error *error)
{
	const struct vl_env *env = snapshot->env;
	valori_code code;

	memset(checked, 0, sizeof(*checked));
	checked->snapshot = snapshot;
	checked->error = error;
	code = vl_pool_new(env, &checked->pool, error);
	if (code == VALORI_OK)
		code = vl_state_init(&checked->state, checked->pool, snapshot->head.position.dim, 0, error);
	checked->has_state = code == VALORI_OK;
	if (code == VALORI_OK)
		code = vl_commitment_init(&checked->commitment, checked->pool, error);
	checked->has_commitment = code == VALORI_OK;
	if (code == VALORI_OK)
		code = vl_requests_init(&checked->requests, checked->pool, error);
	checked->has_requests = code == VALORI_OK;
	if (code == VALORI_OK)
		code = vl_snapshot_attach(snapshot, &checked->state, &checked->commitment, &checked->requests,
					  error);
	if (code != VALORI_OK)
		return code;
	checked->live_size = (size_t)checked->state.collections.count * 3 * sizeof(*checked->live);
	checked->live = vl_alloc(env, checked->live_size);
	if (checked->live == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", snapshot->path);
	memset(checked->live, 0, checked->live_size);
	return VALORI_OK;
}

static void checked_free(struct checked *checked)
{
	vl_release(checked->snapshot->env, checked->live, checked->live_size);
	if (checked->has_requests)
		vl_requests_free(&checked->requests);
	if (checked->has_commitment)
		vl_commitment_free(&checked->commitment);
	if (checked->has_state)
		vl_state_free(&checked->state);
	vl_pool_free(checked->pool);
}

/* The index, and with it that the file is what would be written. */
static valori_code check_index(const struct checked *checked)
{
	struct vl_index index;
	bool has_index;
	valori_code code =
		vl_snapshot_index(checked->snapshot, &checked->state, &index, &has_index, checked->error);

	if (code != VALORI_OK)
		return code;
	if (has_index) {
		code = vl_index_check(&index, &checked->state, checked->error);
		if (code != VALORI_OK)
			vl_fail_in(checked->error, code, checked->snapshot->path);
	}
	if (code == VALORI_OK)
		code = vl_snapshot_compare(checked->snapshot, &checked->state, &checked->commitment,
					   &checked->requests, has_index ? &index : NULL, checked->error);
	vl_index_free(&index);
	return code;
}

static valori_code check_all(const struct checked *checked)
{
	struct vl_totals counted = {0};
	valori_code code = check_elements(checked, &counted);

	if (code == VALORI_OK)
		code = check_totals(checked, &counted);
	if (code == VALORI_OK)
		code = check_tables(checked);
	if (code == VALORI_OK)
		code = check_lists(checked);
	if (code == VALORI_OK)
		code = check_trees(checked);
	if (code == VALORI_OK)
		code = check_root(checked);
	if (code == VALORI_OK) {
		code = vl_requests_check(&checked->requests, checked->error);
		if (code != VALORI_OK)
			vl_fail_in(checked->error, code, checked->snapshot->path);
	}
	return code == VALORI_OK ? check_index(checked) : code;
}

valori_code vl_snapshot_verify(const struct vl_snapshot *snapshot, valori_error *error)
{
	struct checked *checked = vl_alloc(snapshot->env, sizeof(*checked));
	valori_code code;

	if (checked == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", snapshot->path);
	/* Plain damage is named by its section, before anything is made of the content. */
	code = vl_snapshot_check_bytes(snapshot, error);
	if (code == VALORI_OK) {
		code = checked_init(checked, snapshot, error);
		if (code == VALORI_OK)
			code = check_all(checked);
		checked_free(checked);
	}
	vl_release(snapshot->env, checked, sizeof(*checked));
	return code;
}
