/* array.c - arrays of fixed-size elements that can be frozen, undone, and opened by mapping a file. */
#include "array.h"

#include "buf.h"
#include "bytes.h"

/* A block that left the tree but can still be seen by a version. */
struct retired {
	struct retired *next;
	void *block;
	size_t size;
	uint64_t born; /* versions before this one never saw it */
};

struct version {
	struct version *older, *newer;
	uint64_t name;
	struct retired *retired; /* what this is the newest living version to see */
};

/* Small blocks wait here for their next use: one commit copies a few dozen of them when a reader holds the state. */
enum { SHELVES = 3, SHELF_SIZE = 1024, SHELF_KEPT = 256, RETIRED_PER_BLOCK = 31 };
struct idle {
	struct idle *next;
};

struct retired_block {
	struct retired_block *next;
	struct retired entries[RETIRED_PER_BLOCK];
};

struct vl_pool {
	const struct vl_env *env;
	uint64_t turn;  /* changes at every begin, commit, abort and freeze */
	uint64_t epoch; /* the writer's; versions bear lower numbers */
	struct version *newest, *oldest, *spare;
	bool open; /* between begin and commit or abort */
	struct vl_array *touched;
	struct vl_buf notes;
	struct idle *idle[SHELVES];
	unsigned idle_count[SHELVES];
	struct retired *retired_spare;
	struct retired_block *retired_blocks;
};

/* An undo note lies behind the old bytes it speaks of, so that notes can be read from the end. */
struct note {
	struct vl_array *array;
	uint64_t index, count;
};

/* ---- blocks ---- */

static unsigned shelf_of(size_t size)
{
	unsigned shelf = 0;

	while (shelf < SHELVES && size > (size_t)SHELF_SIZE << shelf)
		shelf++;
	return shelf;
}

static void *block_alloc(struct vl_pool *pool, size_t size)
{
	unsigned shelf = shelf_of(size);
	struct idle *block;

	if (shelf == SHELVES)
		return vl_alloc(pool->env, size);
	block = pool->idle[shelf];
	if (block == NULL)
		return vl_alloc(pool->env, (size_t)SHELF_SIZE << shelf);
	pool->idle[shelf] = block->next;
	pool->idle_count[shelf]--;
	return block;
}

static void block_free(struct vl_pool *pool, void *block, size_t size)
{
	unsigned shelf = shelf_of(size);
	struct idle *idle = block;

	if (block == NULL)
		return;
	if (shelf == SHELVES) {
		vl_release(pool->env, block, size);
	} else if (pool->idle_count[shelf] == SHELF_KEPT) {
		vl_release(pool->env, block, (size_t)SHELF_SIZE << shelf);
	} else {
		idle->next = pool->idle[shelf];
		pool->idle[shelf] = idle;
		pool->idle_count[shelf]++;
	}
}

static struct retired *retired_new(struct vl_pool *pool)
{
	struct retired *retired = pool->retired_spare;

	if (retired == NULL) {
		struct retired_block *block = vl_alloc(pool->env, sizeof(*block));

		if (block == NULL)
			return NULL;
		block->next = pool->retired_blocks;
		pool->retired_blocks = block;
		for (int i = 0; i < RETIRED_PER_BLOCK; i++) {
			block->entries[i].next = retired;
			retired = &block->entries[i];
		}
	}
	pool->retired_spare = retired->next;
	return retired;
}

/* Hands retired to the newest living version at or below version that saw it, or gives its block back. */
static void retire(struct vl_pool *pool, struct retired *retired, struct version *version)
{
	if (version != NULL && version->name >= retired->born) {
		retired->next = version->retired;
		version->retired = retired;
		return;
	}
	block_free(pool, retired->block, retired->size);
	retired->next = pool->retired_spare;
	pool->retired_spare = retired;
}

/* ---- the pool ---- */

valori_code vl_pool_new(const struct vl_env *env, struct vl_pool **out, valori_error *error)
{
	struct vl_pool *pool = vl_alloc(env, sizeof(*pool));

	*out = NULL;
	if (pool == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	memset(pool, 0, sizeof(*pool));
	pool->env = env;
	pool->turn = pool->epoch = 1;
	vl_buf_init(&pool->notes, env);
	*out = pool;
	return VALORI_OK;
}

void vl_pool_free(struct vl_pool *pool)
{
	if (pool == NULL)
		return;
	while (pool->oldest != NULL)
		vl_pool_release(pool, pool->oldest->name);
	for (struct version *version = pool->spare, *next; version != NULL; version = next) {
		next = version->newer;
		vl_release(pool->env, version, sizeof(*version));
	}
	for (unsigned shelf = 0; shelf < SHELVES; shelf++)
		for (struct idle *block = pool->idle[shelf], *next; block != NULL; block = next) {
			next = block->next;
			vl_release(pool->env, block, (size_t)SHELF_SIZE << shelf);
		}
	for (struct retired_block *block = pool->retired_blocks, *next; block != NULL; block = next) {
		next = block->next;
		vl_release(pool->env, block, sizeof(*block));
	}
	vl_buf_free(&pool->notes);
	vl_release(pool->env, pool, sizeof(*pool));
}

const struct vl_env *vl_pool_env(const struct vl_pool *pool)
{
	return pool->env;
}

uint64_t vl_pool_freeze(struct vl_pool *pool)
{
	struct version *version = pool->spare;

	if (version != NULL)
		pool->spare = version->newer;
	else
		version = vl_alloc(pool->env, sizeof(*version));
	if (version == NULL)
		return 0;
	version->name = pool->epoch++;
	version->retired = NULL;
	version->newer = NULL;
	version->older = pool->newest;
	if (pool->newest != NULL)
		pool->newest->newer = version;
	else
		pool->oldest = version;
	pool->newest = version;
	pool->turn++;
	return version->name;
}

void vl_pool_release(struct vl_pool *pool, uint64_t name)
{
	struct version *version = pool->newest;

	while (version != NULL && version->name > name)
		version = version->older;
	if (version == NULL || version->name != name)
		return;
	if (version->older != NULL)
		version->older->newer = version->newer;
	else
		pool->oldest = version->newer;
	if (version->newer != NULL)
		version->newer->older = version->older;
	else
		pool->newest = version->older;
	for (struct retired *retired = version->retired, *next; retired != NULL; retired = next) {
		next = retired->next;
		retire(pool, retired, version->older);
	}
	version->newer = pool->spare;
	pool->spare = version;
}

void vl_pool_begin(struct vl_pool *pool)
{
	pool->open = true;
	pool->touched = NULL;
	vl_buf_clear(&pool->notes);
	pool->turn++;
}

void vl_pool_commit(struct vl_pool *pool)
{
	pool->open = false;
	pool->touched = NULL;
	vl_buf_clear(&pool->notes);
	pool->turn++;
}

void vl_pool_abort(struct vl_pool *pool)
{
	/* Without notes there is no data, and no address after it. */
	const uint8_t *end = pool->notes.size != 0 ? pool->notes.data + pool->notes.size : pool->notes.data;

	while (end != pool->notes.data) {
		struct note note;
		size_t size;

		memcpy(&note, end - sizeof(note), sizeof(note));
		size = (size_t)note.count * note.array->elem_size;
		end -= sizeof(note) + size;
		/* The chunk became the writer's own when the note was taken, and no version was frozen since. */
		memcpy((uint8_t *)(uintptr_t)vl_array_get(note.array, note.index), end, size);
	}
	for (struct vl_array *array = pool->touched; array != NULL; array = array->touched)
		array->count = array->begun;
	vl_pool_commit(pool);
}

/* ---- arrays ---- */

void vl_array_init(struct vl_array *array, struct vl_pool *pool, uint32_t elem_size, uint32_t chunk_shift)
{
	memset(array, 0, sizeof(*array));
	array->pool = pool;
	array->elem_size = elem_size;
	array->chunk_shift = chunk_shift;
}

static size_t chunk_size(const struct vl_array *array)
{
	return (size_t)array->elem_size << array->chunk_shift;
}

static void free_tree(struct vl_array *array, void *at, uint32_t depth)
{
	struct vl_array_node *node = at;

	if (at == NULL)
		return;
	if (depth == 0) {
		block_free(array->pool, at, chunk_size(array));
		return;
	}
	for (int i = 0; i < VL_ARRAY_FANOUT; i++)
		free_tree(array, node->child[i], depth - 1);
	block_free(array->pool, at, sizeof(*node));
}

void vl_array_free(struct vl_array *array)
{
	if (array->pool == NULL)
		return;
	free_tree(array, array->root, array->depth);
	vl_array_init(array, array->pool, array->elem_size, array->chunk_shift);
}

void vl_array_map(struct vl_array *array, const uint8_t *base, uint64_t count)
{
	array->base = base;
	array->base_count = count;
	array->count = count;
}

void vl_array_map_packed(struct vl_array *array, const uint8_t *base, uint64_t kept_count, const uint8_t *kept,
			 uint64_t count)
{
	vl_array_map(array, base, count);
	array->kept = kept;
	array->kept_count = kept_count;
}

/* Without __builtin_popcountll, which some machines want a library for. */
static unsigned count_bits(uint64_t bits)
{
	bits -= bits >> 1 & UINT64_C(0x5555555555555555);
	bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
	bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)(bits * UINT64_C(0x0101010101010101) >> 56);
}

const uint8_t *vl_array_unpack(const struct vl_array *array, uint64_t index, uint64_t *run)
{
	const uint8_t *group = array->kept + (index >> VL_KEPT_SHIFT) * VL_KEPT_SIZE;
	uint64_t bits = vl_get64(group), place = 0, length = 1;
	unsigned bit = (unsigned)index & ((1 << VL_KEPT_SHIFT) - 1);

	if (bits >> bit & 1) {
		place = 1 + vl_get64(group + 8) + count_bits(bits & ((UINT64_C(1) << bit) - 1));
		if (place >= array->kept_count)
			place = 0;
	}
	if (run != NULL && place > 0)
		while (bit + length < 64 && bits >> (bit + length) & 1 && length < array->kept_count - place &&
		       length < array->base_count - index)
			length++;
	if (run != NULL)
		*run = length;
	return array->base + place * array->elem_size;
}

/* The same of any mapped array, and at most *run of them. */
static const uint8_t *mapped_run(const struct vl_array *array, uint64_t index, uint64_t *run)
{
	const uint8_t *at;
	uint64_t length;

	if (array->kept == NULL)
		return array->base + index * array->elem_size;
	at = vl_array_unpack(array, index, &length);
	if (*run > length)
		*run = length;
	return at;
}

const uint8_t *vl_array_run(const struct vl_array *array, uint64_t index, uint64_t *run)
{
	const void *at = array->root;
	uint64_t chunk = index >> array->chunk_shift, end;
	uint32_t depth = array->depth, shift;

	while (at != NULL && depth > 0) {
		depth--;
		at = ((const struct vl_array_node *)at)
			     ->child[chunk >> depth * VL_ARRAY_FANOUT_SHIFT & (VL_ARRAY_FANOUT - 1)];
	}
	if (at == NULL && array->root == NULL) {
		*run = array->count - index;
		return mapped_run(array, index, run);
	}
	shift = depth * VL_ARRAY_FANOUT_SHIFT + array->chunk_shift;
	end = ((index >> shift) + 1) << shift;
	*run = (end < array->count ? end : array->count) - index;
	if (at == NULL)
		return mapped_run(array, index, run);
	return (const uint8_t *)at + (index - (chunk << array->chunk_shift)) * array->elem_size;
}

/* The first change since a freeze or begin: what was there until now may be seen, or wanted back. */
static void touch(struct vl_array *array)
{
	struct vl_pool *pool = array->pool;

	if (array->epoch != pool->epoch)
		array->frozen = array->count;
	array->begun = 0;
	if (pool->open) {
		array->begun = array->count;
		array->touched = pool->touched;
		pool->touched = array;
	}
	array->epoch = pool->epoch;
	array->turn = pool->turn;
}

/* Is there a living version that can see what belongs to the writer since epoch? */
static bool is_seen(const struct vl_pool *pool, uint64_t epoch)
{
	return pool->newest != NULL && pool->newest->name >= epoch;
}

/* Makes *slot the writer's own block of size bytes: as it is, or copied. */
static bool own(struct vl_pool *pool, void **slot, uint64_t *epoch, size_t size)
{
	struct retired *retired;
	void *copy;

	if (!is_seen(pool, *epoch)) {
		*epoch = pool->epoch;
		return true;
	}
	retired = retired_new(pool);
	copy = block_alloc(pool, size);
	if (retired == NULL || copy == NULL) {
		if (retired != NULL) {
			retired->next = pool->retired_spare;
			pool->retired_spare = retired;
		}
		block_free(pool, copy, size);
		return false;
	}
	memcpy(copy, *slot, size);
	*retired = (struct retired){.block = *slot, .size = size, .born = *epoch};
	retire(pool, retired, pool->newest);
	*slot = copy;
	*epoch = pool->epoch;
	return true;
}

/* Levels are added on top until chunk, and all that is mapped, has a place. */
static bool deepen(struct vl_array *array, uint64_t chunk)
{
	if (array->base_count > 0)
		chunk |= (array->base_count - 1) >> array->chunk_shift;
	while (chunk >> array->depth * VL_ARRAY_FANOUT_SHIFT != 0) {
		if (array->root != NULL) {
			struct vl_array_node *node = block_alloc(array->pool, sizeof(*node));

			if (node == NULL)
				return false;
			memset(node, 0, sizeof(*node));
			node->child[0] = array->root;
			node->child_epoch[0] = array->root_epoch;
			array->root = node;
			array->root_epoch = array->pool->epoch;
		}
		array->depth++;
	}
	return true;
}

/*
 * Would filling the gaps on the way to chunk change what a frozen copy reads? A gap is mapped or behind the end; only a
 * gap that begins before what is frozen is looked into by others.
 */
static bool fills_seen_gap(const struct vl_array *array, uint64_t chunk)
{
	const void *at = array->root;
	uint32_t depth = array->depth, shift;

	while (at != NULL && depth > 0) {
		depth--;
		at = ((const struct vl_array_node *)at)
			     ->child[chunk >> depth * VL_ARRAY_FANOUT_SHIFT & (VL_ARRAY_FANOUT - 1)];
	}
	shift = depth * VL_ARRAY_FANOUT_SHIFT;
	return at == NULL && (chunk >> shift << shift) << array->chunk_shift < array->frozen;
}

/* A new chunk with what the mapped file has of it. */
static void *chunk_new(const struct vl_array *array, uint64_t chunk)
{
	uint64_t first = chunk << array->chunk_shift, count = (uint64_t)1 << array->chunk_shift;
	uint8_t *at = block_alloc(array->pool, chunk_size(array));

	if (at != NULL && first < array->base_count && count > array->base_count - first)
		count = array->base_count - first;
	for (uint64_t done = 0, run; at != NULL && first + done < array->base_count && done < count; done += run) {
		const uint8_t *from;

		run = count - done;
		from = mapped_run(array, first + done, &run);
		memcpy(at + done * array->elem_size, from, (size_t)run * array->elem_size);
	}
	return at;
}

/*
 * The chunk that holds element index, for writing. With seen the element can be read by a frozen copy, so whatever a
 * living version can reach on the way is copied first; without, only gaps are filled.
 */
static uint8_t *writable(struct vl_array *array, uint64_t index, bool seen)
{
	struct vl_pool *pool = array->pool;
	uint64_t chunk = index >> array->chunk_shift;
	uint64_t *epoch = &array->root_epoch;
	void **slot = &array->root;
	uint32_t depth;

	if (!deepen(array, chunk))
		return NULL;
	seen = seen || fills_seen_gap(array, chunk);
	for (depth = array->depth; depth > 0; depth--) {
		struct vl_array_node *node;
		uint64_t at = chunk >> (depth - 1) * VL_ARRAY_FANOUT_SHIFT & (VL_ARRAY_FANOUT - 1);

		if (*slot == NULL) {
			node = block_alloc(pool, sizeof(*node));
			if (node == NULL)
				return NULL;
			memset(node, 0, sizeof(*node));
			*slot = node;
			*epoch = pool->epoch;
		} else if (seen && !own(pool, slot, epoch, sizeof(*node))) {
			return NULL;
		}
		node = *slot;
		slot = &node->child[at];
		epoch = &node->child_epoch[at];
	}
	if (*slot == NULL) {
		*slot = chunk_new(array, chunk);
		*epoch = pool->epoch;
	} else if (seen && !own(pool, slot, epoch, chunk_size(array))) {
		return NULL;
	}
	if (*slot != NULL && array->tail_chunk == chunk)
		array->tail = *slot;
	return *slot;
}

/* Where element index lies when it can be written in place, else NULL. */
static uint8_t *in_place(const struct vl_array *array, uint64_t index)
{
	uint64_t chunk = index >> array->chunk_shift, epoch = array->root_epoch;
	const void *at = array->root;

	for (uint32_t depth = array->depth; at != NULL && depth > 0; depth--) {
		const struct vl_array_node *node = at;
		uint64_t slot = chunk >> (depth - 1) * VL_ARRAY_FANOUT_SHIFT & (VL_ARRAY_FANOUT - 1);

		at = node->child[slot];
		epoch = node->child_epoch[slot];
	}
	if (at == NULL || (index < array->frozen && is_seen(array->pool, epoch)))
		return NULL;
	return (uint8_t *)(uintptr_t)at + (index - (chunk << array->chunk_shift)) * array->elem_size;
}

static bool take_note(struct vl_array *array, uint64_t index, uint64_t count, const uint8_t *old)
{
	struct note note = {array, index, count};
	size_t size = (size_t)count * array->elem_size;
	uint8_t *to = vl_buf_extend(&array->pool->notes, size + sizeof(note));

	if (to == NULL)
		return false;
	memcpy(to, old, size);
	memcpy(to + size, &note, sizeof(note));
	return true;
}

uint8_t *vl_array_edit_run(struct vl_array *array, uint64_t index, uint64_t count)
{
	uint8_t *at;

	if (array->turn != array->pool->turn)
		touch(array);
	at = in_place(array, index);
	if (at == NULL) {
		at = writable(array, index, index < array->frozen);
		if (at == NULL)
			return NULL;
		at += (index & (((uint64_t)1 << array->chunk_shift) - 1)) * array->elem_size;
	}
	if (index < array->begun && !take_note(array, index, count, at))
		return NULL;
	return at;
}

uint8_t *vl_array_edit(struct vl_array *array, uint64_t index)
{
	return vl_array_edit_run(array, index, 1);
}

uint8_t *vl_array_extend_raw(struct vl_array *array, uint64_t *run)
{
	uint64_t chunk = array->count >> array->chunk_shift;
	uint64_t within = array->count - (chunk << array->chunk_shift);
	uint64_t room = ((uint64_t)1 << array->chunk_shift) - within;
	uint8_t *at;

	if (array->turn != array->pool->turn)
		touch(array);
	if (array->tail == NULL || array->tail_chunk != chunk) {
		at = writable(array, array->count, false);
		if (at == NULL)
			return NULL;
		array->tail = at;
		array->tail_chunk = chunk;
	}
	at = array->tail + within * array->elem_size;
	if (*run > room)
		*run = room;
	array->count += *run;
	return at;
}

uint8_t *vl_array_extend(struct vl_array *array, uint64_t *run)
{
	uint8_t *at = vl_array_extend_raw(array, run);

	if (at != NULL)
		memset(at, 0, (size_t)*run * array->elem_size);
	return at;
}

uint8_t *vl_array_append(struct vl_array *array)
{
	uint64_t run = 1;

	return vl_array_extend(array, &run);
}
