/* hnsw_walk.c - one way through the graph, in turns. */
#include "hnsw_private.h"
#include "keys.h"

enum {
	LINE = 64,
	LOG_MAX = 65536, /* rows remembered to be forgotten one by one; with more all bits are cleared */
	OVERFETCH = 8,	 /* with rejected ones a pool holds this times ef */
	RARE = 16,	 /* where one row in so many is allowed, or fewer, two hops cost less than walking through */
	TWO_HOPS = 3	 /* a batch over two hops is cut at this times m for each one expanded */
};

/* ---- memory ---- */

bool vl_room_reserve(struct vl_room *room, const struct vl_env *env, uint64_t size, bool *grew)
{
	void *data;

	if (room->size >= size)
		return true;
	data = size <= SIZE_MAX ? vl_alloc(env, (size_t)size) : NULL;
	if (data == NULL)
		return false;
	vl_release(env, room->data, room->size);
	room->data = data;
	room->size = (size_t)size;
	if (grew != NULL)
		*grew = true;
	return true;
}

void vl_room_free(struct vl_room *room, const struct vl_env *env)
{
	vl_release(env, room->data, room->size);
	*room = (struct vl_room){NULL, 0};
}

bool vl_walk_reserve(struct vl_walk *walk, const struct vl_env *env, uint64_t count, uint32_t m,
		     const struct vl_hnsw_effort *effort, bool is_filtered)
{
	uint64_t batch = (uint64_t)effort->width * 2 * TWO_HOPS * m + VL_WALK_TAKE_MAX;
	uint64_t pool = (uint64_t)effort->ef * (is_filtered ? OVERFETCH : 1) + batch;
	struct vl_room *rooms = walk->rooms;
	bool grew = false;

	if (!vl_room_reserve(&rooms[0], env, (count + 63) / 64 * 8, &grew))
		return false;
	if (grew)
		memset(rooms[0].data, 0, rooms[0].size);
	if (!vl_room_reserve(&rooms[1], env, pool * 8, NULL) || !vl_room_reserve(&rooms[2], env, batch * 16, NULL) ||
	    !vl_room_reserve(&rooms[3], env, (LOG_MAX + batch) * 4, NULL) ||
	    !vl_room_reserve(&rooms[4], env, batch * 4, NULL))
		return false;
	walk->visited = rooms[0].data;
	walk->pool = rooms[1].data;
	walk->fresh = rooms[2].data;
	walk->sorted = walk->fresh + batch;
	walk->rows = rooms[3].data;
	walk->distances = rooms[4].data;
	return true;
}

void vl_walk_free(struct vl_walk *walk, const struct vl_env *env)
{
	for (size_t i = 0; i < sizeof(walk->rooms) / sizeof(walk->rooms[0]); i++)
		vl_room_free(&walk->rooms[i], env);
}

/* ---- asking for memory before it is needed ---- */

static inline void prefetch_code(const struct vl_codes *codes, uint32_t row)
{
	const uint8_t *code = vl_codes_row(codes, row);

	for (uint32_t i = 0; i < codes->stride; i += LINE)
		__builtin_prefetch(code + i, 0, 2);
}

static inline void prefetch_links(const struct vl_walk *walk, uint32_t row)
{
	uint32_t max;
	const uint8_t *links = vl_hnsw_links(walk->graph, walk->layer, row, &max);

	for (uint32_t i = 0; i < max * 4; i += LINE)
		__builtin_prefetch(links + i);
}

/* The links of those that will be expanded, as far as one can know. */
static void prefetch_next(const struct vl_walk *walk)
{
	uint32_t left = walk->effort.width;

	for (uint32_t i = walk->next; i < walk->pool_count && left > 0; i++)
		if (!(walk->pool[i] & VL_WALK_EXPANDED)) {
			prefetch_links(walk, vl_walk_row(walk->pool[i]));
			left--;
		}
}

/* ---- the pool ---- */

static inline bool is_allowed(const uint64_t *allowed, uint32_t row)
{
	return allowed == NULL || (allowed[row / 64] >> row % 64 & 1);
}

/* The first key that is too far: what is from there on is neither expanded nor taken in. */
static uint64_t limit_of(const struct vl_walk *walk)
{
	uint32_t kth = 0, left = walk->effort.k;
	uint64_t distance;

	if (walk->effort.slack == 0 || left == 0 || walk->accepted < left)
		return UINT64_MAX;
	if (walk->allowed == NULL)
		kth = left - 1;
	else
		for (;; kth++)
			if (!(walk->pool[kth] & VL_WALK_REJECTED) && --left == 0)
				break;
	distance = (uint64_t)vl_walk_distance(walk->pool[kth]) * walk->effort.slack >> 10;
	return distance < 0x7fffffff ? (distance + 1) << 33 : UINT64_MAX;
}

/*
 * Sorts count different keys into out. A few by counting who is less: without a branch that depends on them.
 */
static void sort_fresh(uint64_t *keys, size_t count, uint64_t *out)
{
	enum { FEW = 32 };

	if (count > FEW) {
		vl_keys_sort(keys, count);
		memcpy(out, keys, count * 8);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		size_t rank = 0;

		for (size_t j = 0; j < count; j++)
			rank += keys[j] < keys[i];
		out[rank] = keys[i];
	}
}

/* How many of count keys are below key. Without a branch: nobody could guess it. */
static inline uint32_t find(const uint64_t *keys, uint32_t count, uint64_t key)
{
	uint32_t first = 0;

	while (count > 1) {
		uint32_t half = count / 2;

		first += half & -(uint32_t)(keys[first + half - 1] < key);
		count -= half;
	}
	return first + (count == 1 && keys[first] < key);
}

/*
 * Merges the sorted keys in, from the last: each entry moves once. All places are looked for before anything
 * moves, so that no search waits for another.
 */
static void insert(struct vl_walk *walk, const uint64_t *fresh, uint32_t count)
{
	uint32_t end = walk->pool_count, *places = walk->distances;
	uint64_t *pool = walk->pool;

	for (uint32_t i = 0; i < count; i++)
		places[i] = find(pool, end, fresh[i]);
	walk->pool_count += count;
	while (count-- > 0) {
		uint32_t at = places[count];

		memmove(pool + at + count + 1, pool + at, (size_t)(end - at) * 8);
		pool[at + count] = fresh[count];
		end = at;
	}
	if (walk->next > end)
		walk->next = end;
}

/* Down to ef entries that are not rejected; these are the last to be counted. */
static void trim(struct vl_walk *walk)
{
	if (walk->allowed == NULL) {
		if (walk->pool_count > walk->pool_max)
			walk->pool_count = walk->pool_max;
		walk->accepted = walk->pool_count;
	}
	while (walk->pool_count > walk->pool_max || walk->accepted > walk->effort.ef) {
		walk->pool_count--;
		walk->accepted -= !(walk->pool[walk->pool_count] & VL_WALK_REJECTED);
	}
	if (walk->next > walk->pool_count)
		walk->next = walk->pool_count;
}

void vl_walk_take(struct vl_walk *walk, const uint32_t *rows, const uint32_t *distances, size_t count)
{
	uint64_t limit = walk->limit;
	uint32_t fresh = 0;

	if (walk->pool_count == walk->pool_max || walk->accepted == walk->effort.ef) {
		uint64_t last = walk->pool[walk->pool_count - 1];

		limit = last < limit ? last : limit;
	}
	if (walk->allowed == NULL) {
		for (size_t i = 0; i < count; i++) {
			walk->fresh[fresh] = vl_walk_key(distances[i], rows[i]);
			fresh += walk->fresh[fresh] < limit;
		}
		walk->accepted += fresh;
	} else {
		for (size_t i = 0; i < count; i++) {
			bool allowed = is_allowed(walk->allowed, rows[i]);
			uint64_t key = vl_walk_key(distances[i], rows[i]) | (allowed ? 0 : VL_WALK_REJECTED);

			if (key >= limit)
				continue;
			walk->fresh[fresh++] = key;
			walk->accepted += allowed;
		}
	}
	if (fresh == 0)
		return;
	sort_fresh(walk->fresh, fresh, walk->sorted);
	insert(walk, walk->sorted, fresh);
	trim(walk);
}

/* ---- one turn ---- */

/* Forgets the rows that were met. */
static void clear(struct vl_walk *walk)
{
	if (walk->spilled) {
		memset(walk->visited, 0, ((size_t)walk->graph->count + 63) / 64 * 8);
		return;
	}
	for (uint32_t i = 0; i < walk->batch_end; i++)
		walk->visited[walk->rows[i] / 64] = 0;
}

void vl_walk_blank(struct vl_walk *walk, const struct vl_hnsw *graph, const struct vl_codes *codes,
		   const uint8_t *query, const struct vl_hnsw_effort *effort, const uint64_t *allowed)
{
	walk->graph = graph;
	walk->codes = codes;
	walk->query = query;
	walk->allowed = allowed;
	walk->effort = *effort;
	walk->two_hops = allowed != NULL && effort->matches != 0 && effort->matches < graph->count / RARE;
	walk->pool_max = allowed == NULL || walk->two_hops ? effort->ef : effort->ef * OVERFETCH;
	walk->pool_count = walk->accepted = walk->next = 0;
	walk->limit = UINT64_MAX;
	walk->phase = VL_WALK_DONE;
}

void vl_walk_begin(struct vl_walk *walk, const struct vl_hnsw *graph, const struct vl_codes *codes,
		   const uint8_t *query, uint32_t floor, const struct vl_hnsw_effort *effort, const uint64_t *allowed)
{
	vl_walk_blank(walk, graph, codes, query, effort, allowed);
	walk->floor = floor;
	walk->layer = graph->top;
	if (graph->count == 0)
		return;
	walk->visited[graph->entry / 64] |= UINT64_C(1) << graph->entry % 64;
	walk->rows[0] = graph->entry;
	walk->batch = 0;
	walk->batch_end = 1;
	walk->spilled = false;
	walk->expanded = VL_HNSW_NONE;
	walk->phase = VL_WALK_SCORE;
	prefetch_code(codes, graph->entry);
}

void vl_walk_below(struct vl_walk *walk, uint64_t nearest)
{
	uint32_t row = vl_walk_row(nearest);

	walk->layer = --walk->floor;
	walk->pool[0] = nearest & ~(uint64_t)VL_WALK_EXPANDED;
	walk->pool_count = 1;
	walk->accepted = !(nearest & VL_WALK_REJECTED);
	walk->next = 0;
	walk->limit = UINT64_MAX;
	walk->visited[row / 64] |= UINT64_C(1) << row % 64;
	walk->rows[0] = row;
	walk->batch = walk->batch_end = 1;
	walk->spilled = false;
	walk->expanded = VL_HNSW_NONE;
	walk->phase = VL_WALK_EXPAND;
	prefetch_links(walk, row);
}

/* Rows of a list that were not met before, behind the batch; meets them. */
static inline void gather(struct vl_walk *walk, const uint8_t *links, uint32_t max)
{
	uint32_t count = walk->graph->count, end = walk->batch_end;
	uint64_t *visited = walk->visited;
	uint32_t *rows = walk->rows;

	for (uint32_t i = 0; i < max; i++) {
		uint32_t row = vl_get32(links + 4 * i);
		uint64_t bit = UINT64_C(1) << row % 64, word;

		if (row >= count)
			break;
		word = visited[row / 64];
		visited[row / 64] = word | bit;
		rows[end] = row;
		end += (word & bit) == 0;
	}
	walk->batch_end = end;
}

/* Only those that are allowed, or only those that are not; the batch ends at end_max. */
static void gather_some(struct vl_walk *walk, const uint8_t *links, uint32_t max, bool wanted, uint32_t end_max)
{
	uint32_t count = walk->graph->count;

	for (uint32_t i = 0; i < max && walk->batch_end < end_max; i++) {
		uint32_t row = vl_get32(links + 4 * i);
		uint64_t bit = UINT64_C(1) << row % 64;

		if (row >= count)
			break;
		if (is_allowed(walk->allowed, row) != wanted || (walk->visited[row / 64] & bit))
			continue;
		walk->visited[row / 64] |= bit;
		walk->rows[walk->batch_end++] = row;
	}
}

/*
 * Where few are allowed: their neighbours that are, and of those that are not, the neighbours that are. The
 * latter are met, but never compared.
 */
static void gather_two_hops(struct vl_walk *walk, const uint32_t *picked, uint32_t picked_count)
{
	uint32_t m = walk->graph->parameters.m, first = walk->batch_end, hops_end, max;

	for (uint32_t i = 0; i < picked_count; i++) {
		const uint8_t *links = vl_hnsw_links(walk->graph, walk->layer, picked[i], &max);

		gather_some(walk, links, max, false, UINT32_MAX);
	}
	hops_end = walk->batch_end;
	for (uint32_t i = first; i < hops_end; i++)
		prefetch_links(walk, walk->rows[i]);
	walk->batch = hops_end;
	for (uint32_t i = 0; i < picked_count; i++) {
		const uint8_t *links = vl_hnsw_links(walk->graph, walk->layer, picked[i], &max);

		gather_some(walk, links, max, true, UINT32_MAX);
	}
	for (uint32_t i = first; i < hops_end; i++) {
		const uint8_t *links = vl_hnsw_links(walk->graph, walk->layer, walk->rows[i], &max);

		gather_some(walk, links, max, true, walk->batch + picked_count * TWO_HOPS * m);
	}
}

/*
 * The nearest of the pool that are not expanded yet, as many as go together; the first on a layer goes alone:
 * the others of the pool come from the layers above, and are far.
 */
static uint32_t pick(struct vl_walk *walk, uint32_t picked[VL_HNSW_WIDTH_MAX])
{
	uint32_t count = 0, at = walk->next, width = walk->expanded == VL_HNSW_NONE ? 1 : walk->effort.width;

	walk->limit = limit_of(walk);
	for (; at < walk->pool_count && count < width; at++) {
		if (walk->pool[at] & VL_WALK_EXPANDED)
			continue;
		if (walk->pool[at] >= walk->limit)
			break;
		walk->pool[at] |= VL_WALK_EXPANDED;
		picked[count++] = vl_walk_row(walk->pool[at]);
	}
	walk->next = at;
	walk->expanded = 0;
	return count;
}

/* Above the floor: to the nearest, as long as there is a nearer one, then down. */
static uint32_t step(struct vl_walk *walk, uint32_t picked[VL_HNSW_WIDTH_MAX])
{
	picked[0] = vl_walk_row(walk->pool[0]);
	if (picked[0] != walk->expanded) {
		walk->expanded = picked[0];
		walk->limit = limit_of(walk);
		return 1;
	}
	walk->expanded = VL_HNSW_NONE;
	walk->layer--;
	return 0;
}

static void expand(struct vl_walk *walk)
{
	uint32_t picked[VL_HNSW_WIDTH_MAX], count, max;

	do {
		bool is_above = walk->layer > walk->floor;

		if (walk->batch_end > LOG_MAX) {
			walk->batch_end = 0;
			walk->spilled = true;
		}
		count = is_above ? step(walk, picked) : pick(walk, picked);
		if (count == 0 && !is_above) {
			clear(walk);
			walk->phase = VL_WALK_DONE;
			return;
		}
		walk->batch = walk->batch_end;
		if (walk->two_hops && !is_above) {
			gather_two_hops(walk, picked, count);
			continue;
		}
		for (uint32_t i = 0; i < count; i++) {
			const uint8_t *links = vl_hnsw_links(walk->graph, walk->layer, picked[i], &max);

			gather(walk, links, max);
		}
	} while (walk->batch == walk->batch_end);
	for (uint32_t i = walk->batch; i < walk->batch_end; i++)
		prefetch_code(walk->codes, walk->rows[i]);
	prefetch_next(walk);
	walk->phase = VL_WALK_SCORE;
}

static void score(struct vl_walk *walk)
{
	const uint32_t *rows = walk->rows + walk->batch;
	uint32_t count = walk->batch_end - walk->batch;
	const struct vl_codes *codes = walk->codes;

	codes->env->kernels->code_l2_gather(walk->query, codes->rows.data, rows, count, codes->stride, walk->distances);
	walk->compared += count;
	vl_walk_take(walk, rows, walk->distances, count);
	prefetch_next(walk);
	walk->phase = VL_WALK_EXPAND;
}

void vl_walk_turn(struct vl_walk *walk)
{
	if (walk->phase == VL_WALK_SCORE)
		score(walk);
	else
		expand(walk);
}
