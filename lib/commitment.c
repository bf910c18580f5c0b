/* commitment.c - the state root, kept up to date by paths, and its oracle. */
#include "commitment.h"

enum {
	HASH = VL_HASH_SIZE,
	LEVEL_SHIFT = 5, /* chunks of 1 KiB: a path copies one on each level while somebody looks */
	BATCH = 256,     /* leaves or nodes hashed together */
	ARITHMETIC = 1,  /* Q16.16 */
	ROOT_PREIMAGE = 8 + HASH + VL_LISTS * (HASH + 8)
};

static valori_code no_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

/* ---- making and freeing ---- */

valori_code vl_commitment_init(struct vl_commitment *commitment, struct vl_pool *pool, valori_error *error)
{
	memset(commitment, 0, sizeof(*commitment));
	commitment->env = vl_pool_env(pool);
	vl_buf_init(&commitment->scratch, commitment->env);
	vl_buf_init(&commitment->slots, commitment->env);
	vl_buf_init(&commitment->hashes, commitment->env);
	for (int list = 0; list < VL_LISTS; list++)
		for (int level = 0; level < VL_LEVELS_MAX; level++)
			vl_array_init(&commitment->trees[list].level[level], pool, HASH, LEVEL_SHIFT);
	/* Asked for once, so that no update fails for it. */
	if (vl_buf_extend(&commitment->scratch, BATCH * VL_LEAF_MAX) == NULL ||
	    vl_buf_extend(&commitment->hashes, BATCH * HASH) == NULL) {
		vl_commitment_free(commitment);
		return no_memory(error);
	}
	return VALORI_OK;
}

void vl_commitment_free(struct vl_commitment *commitment)
{
	if (commitment->env == NULL)
		return;
	for (int list = 0; list < VL_LISTS; list++)
		for (int level = 0; level < VL_LEVELS_MAX; level++)
			vl_array_free(&commitment->trees[list].level[level]);
	vl_buf_free(&commitment->scratch);
	vl_buf_free(&commitment->slots);
	vl_buf_free(&commitment->hashes);
}

/* ---- the changed slots ---- */

/* Sorts count numbers below 2^32, using as many more behind them: a byte at a time, lowest first. */
static void sort(uint64_t *numbers, size_t count)
{
	uint64_t *from = numbers, *to = numbers + count, any = 0;

	for (size_t i = 0; i < count; i++)
		any |= numbers[i];
	for (unsigned shift = 0; shift < 32 && any >> shift != 0; shift += 8) {
		size_t ends[257] = {0};
		uint64_t *swap = from;

		for (size_t i = 0; i < count; i++)
			ends[(from[i] >> shift & 255) + 1]++;
		for (unsigned i = 1; i < 257; i++)
			ends[i] += ends[i - 1];
		for (size_t i = 0; i < count; i++)
			to[ends[from[i] >> shift & 255]++] = from[i];
		from = to;
		to = swap;
	}
	if (from != numbers)
		memcpy(numbers, from, count * sizeof(*numbers));
}

static size_t drop_repeats(uint64_t *numbers, size_t count)
{
	size_t kept = count > 0;

	for (size_t i = 1; i < count; i++)
		if (numbers[i] != numbers[kept - 1])
			numbers[kept++] = numbers[i];
	return kept;
}

/* The changed slots of a list that are below old_slots, ascending, each once. False: out of memory. */
static bool changed_slots(struct vl_commitment *commitment, const struct vl_buf *dirty, uint64_t old_slots,
			  uint64_t **out, size_t *out_count)
{
	size_t all = dirty->size / sizeof(uint64_t), count = 0;
	bool ascending = true;
	uint64_t *slots;

	*out_count = 0;
	if (all == 0)
		return true;
	vl_buf_clear(&commitment->slots);
	slots = (uint64_t *)(void *)vl_buf_extend(&commitment->slots, 2 * dirty->size);
	if (slots == NULL)
		return false;
	for (size_t i = 0; i < all; i++) {
		uint64_t slot;

		memcpy(&slot, dirty->data + i * sizeof(slot), sizeof(slot));
		if (slot >= old_slots)
			continue;
		if (count > 0 && slots[count - 1] > slot)
			ascending = false;
		slots[count++] = slot;
	}
	if (!ascending)
		sort(slots, count);
	*out = slots;
	*out_count = drop_repeats(slots, count);
	return true;
}

/* ---- trees ---- */

/* Writes the preimages of up to BATCH leaves, one behind the other; returns the size of each. */
static size_t put_leaves(const struct vl_state *state, enum vl_list list, const uint64_t *slots, uint64_t first,
			 size_t count, uint8_t *rows, enum vl_context *context)
{
	size_t size = 0;

	/* A leaf writes VL_LEAF_MAX bytes; those behind its size the next one overwrites. */
	for (size_t i = 0; i < count; i++)
		size = vl_state_leaf(state, list, slots != NULL ? slots[i] : first + i, rows + i * size, context);
	return size;
}

static bool put_hashes(struct vl_array *level, const uint64_t *at, size_t count, const uint8_t *hashes)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t *node = vl_array_edit(level, at[i]);

		if (node == NULL)
			return false;
		memcpy(node, hashes + i * HASH, HASH);
	}
	return true;
}

static bool update_leaves(struct vl_commitment *commitment, const struct vl_state *state, enum vl_list list,
			  const uint64_t *changed, size_t changed_count)
{
	const struct vl_kernels *kernels = commitment->env->kernels;
	struct vl_array *leaves = &commitment->trees[list].level[0];
	uint64_t slots = vl_state_slots(state, list);
	uint8_t *rows = commitment->scratch.data, *hashes = commitment->hashes.data;
	enum vl_context context;
	size_t size;

	for (size_t i = 0; i < changed_count; i += BATCH) {
		size_t count = changed_count - i < BATCH ? changed_count - i : BATCH;

		size = put_leaves(state, list, changed + i, 0, count, rows, &context);
		vl_blake3_rows(kernels, context, rows, size, size, count, hashes);
		if (!put_hashes(leaves, changed + i, count, hashes))
			return false;
	}
	while (leaves->count < slots) {
		uint64_t first = leaves->count, run = slots - first < BATCH ? slots - first : BATCH;
		uint8_t *to = vl_array_extend_raw(leaves, &run);

		if (to == NULL)
			return false;
		size = put_leaves(state, list, NULL, first, (size_t)run, rows, &context);
		vl_blake3_rows(kernels, context, rows, size, size, (size_t)run, to);
	}
	return true;
}

/* What a packed array has as zeros is the leaf of a deleted record. */
static void put_packed_leaf(const struct vl_kernels *kernels, const struct vl_array *leaves, uint64_t slot,
			    uint8_t *out)
{
	uint8_t leaf[VL_LEAF_MAX];
	size_t size;

	memcpy(out, vl_array_get(leaves, slot), HASH);
	if (!vl_is_zero(out, HASH))
		return;
	size = vl_deleted_leaf(slot, leaf);
	vl_blake3(kernels, VL_HASH_RECORD, leaf, size, out);
}

void vl_commitment_record_leaf(const struct vl_commitment *commitment, uint64_t slot, uint8_t out[VL_HASH_SIZE])
{
	const struct vl_array *leaves = &commitment->trees[VL_RECORDS].level[0];

	if (leaves->kept != NULL)
		put_packed_leaf(commitment->env->kernels, leaves, slot, out);
	else
		memcpy(out, vl_array_get(leaves, slot), HASH);
}

/* The node above pair number at of level: its right child may be missing. */
static void hash_pair(const struct vl_kernels *kernels, const struct vl_array *level, uint64_t at, uint8_t *out)
{
	const uint8_t *left = vl_array_get(level, 2 * at);
	uint8_t pair[2 * HASH] = {0};

	/* A chunk holds an even number of nodes, so pairs are one piece, unless they are packed. */
	if (level->kept != NULL) {
		put_packed_leaf(kernels, level, 2 * at, pair);
		if (2 * at + 1 < level->count)
			put_packed_leaf(kernels, level, 2 * at + 1, pair + HASH);
		left = pair;
	} else if (2 * at + 1 == level->count) {
		memcpy(pair, left, HASH);
		left = pair;
	}
	vl_blake3(kernels, VL_HASH_TREE, left, sizeof(pair), out);
}

/* The nodes above these pairs of level, into out. Both children of a pair lie below complete, in one piece. */
static void hash_pairs(const struct vl_kernels *kernels, const struct vl_array *level, const uint64_t *pairs,
		       size_t count, uint8_t *out)
{
	const uint8_t *inputs[BATCH];
	size_t last = count;

	while (last > 0 && (level->kept != NULL || 2 * pairs[last - 1] + 1 == level->count)) {
		last--;
		hash_pair(kernels, level, pairs[last], out + last * HASH);
	}
	for (size_t i = 0; i < last; i++)
		inputs[i] = vl_array_get(level, 2 * pairs[i]);
	if (last == 1)
		vl_blake3(kernels, VL_HASH_TREE, inputs[0], 2 * HASH, out);
	else if (last > 1)
		vl_blake3_many(kernels, VL_HASH_TREE, inputs, 2 * HASH, last, out);
}

/* Makes the nodes of above from number first on, which are all behind each other, from level. */
static bool update_range(const struct vl_kernels *kernels, const struct vl_array *level, struct vl_array *above,
			 uint64_t first)
{
	uint64_t count = (level->count + 1) / 2, complete = level->count / 2;

	for (uint64_t at = first; at < count;) {
		uint64_t run = 1, children;
		const uint8_t *pairs = vl_array_run(level, 2 * at, &children);
		uint8_t *to;

		if (at < above->count) {
			to = vl_array_edit(above, at);
		} else {
			run = at < complete ? complete - at : 1; /* new ones: none of them is packed */
			if (run > children / 2 && children > 1)
				run = children / 2;
			to = vl_array_extend_raw(above, &run);
		}
		if (to == NULL)
			return false;
		if (run == 1)
			hash_pair(kernels, level, at, to);
		else
			vl_blake3_rows(kernels, VL_HASH_TREE, pairs, 2 * HASH, 2 * HASH, (size_t)run, to);
		at += run;
	}
	return true;
}

/* Slots changed and slots added; then the nodes above them, level by level. */
static bool update_tree(struct vl_commitment *commitment, const struct vl_state *state, enum vl_list list)
{
	const struct vl_kernels *kernels = commitment->env->kernels;
	struct vl_array *level = commitment->trees[list].level;
	uint64_t first = level[0].count, *changed = NULL;
	size_t count;

	if (!changed_slots(commitment, &state->dirty.slots[list], first, &changed, &count))
		return false;
	if (first == vl_state_slots(state, list)) {
		if (count == 0)
			return true;
		first = UINT64_MAX; /* nothing is new */
	}
	if (!update_leaves(commitment, state, list, changed, count))
		return false;
	for (; level->count > 1; level++) {
		/* All from first on is made anew: that is all of a level that did not exist. */
		first /= 2;
		for (size_t i = 0; i < count; i++)
			changed[i] /= 2;
		count = drop_repeats(changed, count);
		while (count > 0 && changed[count - 1] >= first)
			count--;
		for (size_t i = 0; i < count; i += BATCH) {
			size_t part = count - i < BATCH ? count - i : BATCH;

			hash_pairs(kernels, level, changed + i, part, commitment->hashes.data);
			if (!put_hashes(level + 1, changed + i, part, commitment->hashes.data))
				return false;
		}
		if (!update_range(kernels, level, level + 1, first))
			return false;
	}
	return true;
}

/* ---- roots ---- */

void vl_commitment_list_root(const struct vl_commitment *commitment, enum vl_list list, uint8_t out[VL_HASH_SIZE])
{
	const struct vl_tree *tree = &commitment->trees[list];
	uint32_t levels = vl_tree_levels(tree);

	if (levels == 0)
		memset(out, 0, HASH);
	else
		memcpy(out, vl_array_get(&tree->level[levels - 1], 0), HASH);
}

/* The state root from the roots of the lists. */
static void hash_state(const struct vl_state *state, uint8_t roots[VL_LISTS][HASH], uint8_t out[VL_HASH_SIZE])
{
	uint8_t preimage[ROOT_PREIMAGE], *p = preimage;

	vl_put32(p, state->dim);
	vl_put32(p + 4, ARITHMETIC);
	vl_state_config_digest(state, p + 8);
	p += 8 + HASH;
	for (int list = 0; list < VL_LISTS; list++, p += HASH)
		memcpy(p, roots[list], HASH);
	for (int list = 0; list < VL_LISTS; list++, p += 8)
		vl_put64(p, vl_state_slots(state, (enum vl_list)list));
	vl_blake3(state->env->kernels, VL_HASH_STATE, preimage, sizeof(preimage), out);
}

valori_code vl_commitment_update(struct vl_commitment *commitment, struct vl_state *state, uint8_t root[VL_HASH_SIZE],
				 valori_error *error)
{
	uint8_t roots[VL_LISTS][HASH];

	for (int list = 0; list < VL_LISTS; list++) {
		if (!update_tree(commitment, state, (enum vl_list)list))
			return no_memory(error);
		vl_commitment_list_root(commitment, (enum vl_list)list, roots[list]);
	}
	vl_state_clean(state);
	hash_state(state, roots, root);
	return VALORI_OK;
}

/* ---- the oracle ---- */

/* What a pass over all slots needs: preimages and hashes of one batch, and the events that its contents would be. */
struct oracle {
	const struct vl_state *state;
	uint8_t *rows;
	struct vl_event *events;
	struct vl_buf scratch;
	uint8_t hashes[BATCH][HASH];
	uint8_t waiting[64][HASH]; /* roots of complete subtrees of 2^i batches */
};

static void hash_two(const struct vl_kernels *kernels, const uint8_t *left, const uint8_t *right, uint8_t *out)
{
	uint8_t pair[2 * HASH];

	memcpy(pair, left, HASH);
	memcpy(pair + HASH, right, HASH);
	if (vl_is_zero(pair, sizeof(pair)))
		memset(out, 0, HASH);
	else
		vl_blake3(kernels, VL_HASH_TREE, pair, sizeof(pair), out);
}

static uint32_t height_of(uint64_t count)
{
	uint32_t height = 0;

	while (count > UINT64_C(1) << height)
		height++;
	return height;
}

static valori_code differs(const char *thing, uint64_t slot, const char *what, valori_error *error)
{
	return vl_fail(error, VALORI_DAMAGED, "%s %llu: %s does not match its digest", thing, (unsigned long long)slot,
		       what);
}

/* A record's content as the event that made it, as far as one event can have made it. */
static bool as_event(const struct vl_state *state, uint64_t slot, struct vl_event *out, struct vl_record *record)
{
	vl_record_get(state, slot, record);
	if (record->status != VALORI_LIVE && record->status != VALORI_TOMBSTONE)
		return false;
	memset(out, 0, sizeof(*out));
	out->type = VALORI_EVENT_INSERT;
	out->flags = record->vector_salt != NULL ? VL_EVENT_SALTED : 0;
	out->salt = record->vector_salt;
	out->vector = vl_state_vector(state, slot);
	if (out->vector == NULL)
		out->type = VALORI_EVENT_SET_METADATA;
	out->id = slot;
	out->key = record->key;
	out->key_size = record->key_size;
	out->metadata_size = VL_ABSENT;
	return true;
}

/* The metadata may have come later, with a salt of its own or none. */
static void hash_metadata(const struct vl_kernels *kernels, const struct vl_record *record, uint8_t out[HASH])
{
	struct vl_blake3 hash;

	memset(out, 0, HASH);
	if (record->metadata == NULL)
		return;
	vl_blake3_init(&hash, kernels, VL_HASH_METADATA);
	if (record->metadata_salt != NULL)
		vl_blake3_update(&hash, record->metadata_salt, VL_SALT_SIZE);
	vl_blake3_update(&hash, record->metadata, record->metadata_size);
	vl_blake3_final(&hash, out);
}

static valori_code check_records(struct oracle *oracle, uint64_t first, size_t count, valori_error *error)
{
	const struct vl_state *state = oracle->state;
	const struct vl_kernels *kernels = state->env->kernels;
	size_t events = 0;
	valori_code code;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *digest = vl_array_get(&state->records.digests, first + i);
		struct vl_record record;
		uint8_t m[HASH];

		if (!as_event(state, first + i, &oracle->events[events], &record))
			continue;
		hash_metadata(kernels, &record, m);
		if (memcmp(m, digest + VL_DIGEST_M, HASH) != 0)
			return differs("record", first + i, "metadata", error);
		events++;
	}
	code = vl_event_hash_contents(kernels, oracle->events, events, state->dim, &oracle->scratch, error);
	for (size_t i = 0; i < events && code == VALORI_OK; i++) {
		const struct vl_event *event = &oracle->events[i];
		const uint8_t *digest = vl_array_get(&state->records.digests, event->id);

		/* Without vectors their digests are taken on trust, and keys are looked at alone. */
		if (event->type != VALORI_EVENT_INSERT) {
			uint8_t k[HASH] = {0};

			if (event->key_size > 0)
				vl_blake3(kernels, VL_HASH_KEY, event->key, event->key_size, k);
			if (memcmp(k, digest + VL_DIGEST_K, HASH) != 0)
				code = differs("record", event->id, "key", error);
		} else if (memcmp(event->k, digest + VL_DIGEST_K, HASH) != 0) {
			code = differs("record", event->id, "key", error);
		} else if (memcmp(event->v, digest + VL_DIGEST_V, HASH) != 0) {
			code = differs("record", event->id, "vector", error);
		}
	}
	return code;
}

/* leaf is the preimage, in which the digests of what lies in the heap stand. */
static valori_code check_meta(const struct vl_state *state, uint64_t slot, const uint8_t *leaf, valori_error *error)
{
	const struct vl_kernels *kernels = state->env->kernels;
	const uint8_t *key, *value;
	size_t key_size, value_size;
	uint8_t hash[HASH];

	if (leaf[8] == 0)
		return VALORI_OK;
	if (!vl_meta_get(state, slot, &key, &key_size, &value, &value_size))
		return differs("meta", slot, "place", error);
	vl_blake3(kernels, VL_HASH_KEY, key, key_size, hash);
	if (memcmp(hash, leaf + 16, HASH) != 0)
		return differs("meta", slot, "key", error);
	vl_blake3(kernels, VL_HASH_META_VALUE, value, value_size, hash);
	if (memcmp(hash, leaf + 48, HASH) != 0)
		return differs("meta", slot, "value", error);
	return VALORI_OK;
}

static valori_code check_collection(const struct vl_state *state, uint64_t slot, const uint8_t *leaf,
				    valori_error *error)
{
	const uint8_t *name;
	uint8_t hash[HASH];
	size_t size;
	bool live;

	if (!vl_collection_get(state, slot, &name, &size, &live))
		return differs("collection", slot, "place", error);
	vl_blake3(state->env->kernels, VL_HASH_KEY, name, size, hash);
	return memcmp(hash, leaf + 16, HASH) == 0 ? VALORI_OK : differs("collection", slot, "name", error);
}

static valori_code check_contents(struct oracle *oracle, enum vl_list list, uint64_t first, size_t count, size_t size,
				  valori_error *error)
{
	valori_code code = VALORI_OK;

	if (list == VL_RECORDS)
		return check_records(oracle, first, count, error);
	for (size_t i = 0; i < count && code == VALORI_OK; i++) {
		if (list == VL_META)
			code = check_meta(oracle->state, first + i, oracle->rows + i * size, error);
		else if (list == VL_COLLECTIONS)
			code = check_collection(oracle->state, first + i, oracle->rows + i * size, error);
	}
	return code;
}

/* The root over one batch of leaves, padded with zeros to a tree of this height. */
static void reduce(struct oracle *oracle, size_t count, uint32_t height)
{
	size_t width = (size_t)1 << height;

	memset(oracle->hashes[count], 0, (width - count) * HASH);
	for (; width > 1; width /= 2)
		for (size_t i = 0; i < width / 2; i++)
			hash_two(oracle->state->env->kernels, oracle->hashes[2 * i], oracle->hashes[2 * i + 1],
				 oracle->hashes[i]);
}

static valori_code list_root(struct oracle *oracle, enum vl_list list, bool contents, uint8_t *out, valori_error *error)
{
	static const uint8_t zeros[HASH];
	const struct vl_kernels *kernels = oracle->state->env->kernels;
	uint64_t slots = vl_state_slots(oracle->state, list), batches = 0;
	uint32_t height = height_of(slots), top = height_of((slots + BATCH - 1) / BATCH), level;

	memset(out, 0, HASH);
	for (uint64_t first = 0; first < slots; first += BATCH, batches++) {
		size_t count = slots - first < BATCH ? (size_t)(slots - first) : BATCH;
		enum vl_context context;
		size_t size = put_leaves(oracle->state, list, NULL, first, count, oracle->rows, &context);
		valori_code code = VALORI_OK;

		if (contents)
			code = check_contents(oracle, list, first, count, size, error);
		if (code != VALORI_OK)
			return code;
		vl_blake3_rows(kernels, context, oracle->rows, size, size, count, oracle->hashes[0]);
		reduce(oracle, count, height - top);
		/* As in counting: a batch joins the complete subtrees that end where it begins. */
		for (level = 0; batches >> level & 1; level++)
			hash_two(kernels, oracle->waiting[level], oracle->hashes[0], oracle->hashes[0]);
		memcpy(oracle->waiting[level], oracle->hashes[0], HASH);
	}
	if (slots == 0)
		return VALORI_OK;
	if (batches == UINT64_C(1) << top) {
		memcpy(out, oracle->waiting[top], HASH);
		return VALORI_OK;
	}
	for (level = 0; level < top; level++) {
		if (batches >> level & 1)
			hash_two(kernels, oracle->waiting[level], out, out);
		else
			hash_two(kernels, out, zeros, out);
	}
	return VALORI_OK;
}

valori_code vl_state_root(const struct vl_state *state, bool contents, uint8_t root[VL_HASH_SIZE], valori_error *error)
{
	const struct vl_env *env = state->env;
	struct oracle *oracle = vl_alloc(env, sizeof(*oracle));
	uint8_t roots[VL_LISTS][HASH];
	valori_code code = VALORI_OK;

	if (oracle == NULL)
		return no_memory(error);
	oracle->state = state;
	oracle->rows = vl_alloc(env, BATCH * VL_LEAF_MAX);
	oracle->events = vl_alloc(env, BATCH * sizeof(*oracle->events));
	vl_buf_init(&oracle->scratch, env);
	if (oracle->rows == NULL || oracle->events == NULL)
		code = no_memory(error);
	for (int list = 0; list < VL_LISTS && code == VALORI_OK; list++)
		code = list_root(oracle, (enum vl_list)list, contents, roots[list], error);
	if (code == VALORI_OK)
		hash_state(state, roots, root);
	vl_buf_free(&oracle->scratch);
	vl_release(env, oracle->events, BATCH * sizeof(*oracle->events));
	vl_release(env, oracle->rows, BATCH * VL_LEAF_MAX);
	vl_release(env, oracle, sizeof(*oracle));
	return code;
}
