/* codes_search.c - the certified scan: exact search that reads a byte per component. */
#include "codes.h"
#include "q16.h"

/*
 * A chunk of rows at a time: the distances of its codes to all queries of a pass; then what is not excluded for a query
 * is put aside. When there is no room for more, and at the end, it is compared exactly, nearest code first, until the
 * nearest is out of reach: then so are the others, and nothing was dropped that is not excluded. So the first thousand
 * rows give a good threshold for a few exact distances, and the few candidates of many rows a better one.
 */
enum {
	QUERIES = 64,      /* of a pass */
	CANDIDATES = 1024, /* of a query */
	CHUNK_ROWS = 512,  /* of one query; of several: */
	CHUNK_MANY = 256,
	CHUNK_SIZE = 65536, /* bytes of rows, about, that are still in a near cache for the next queries */
	GROUP = 16,         /* distances looked at together */
	FETCH = 4096        /* bytes of a vector that are asked for ahead */
};
_Static_assert(CHUNK_ROWS <= CANDIDATES, "there is room for a chunk");

/* One query of a pass. */
struct seeker {
	const uint8_t *query;
	valori_hit *heap;
	size_t *hits;
	uint64_t residuals;        /* its own, and the largest of the rows */
	int32_t reach, reach_past; /* see set_reach; -1: nothing is near enough */
	uint64_t *candidates;      /* distance << 32 | row */
	size_t count;              /* of them */
};

struct scan {
	const struct vl_codes *codes;
	const struct vl_state *state;
	const struct vl_filter *filter;
	size_t k, count;
	uint8_t *query_codes;
	uint64_t compared;
	bool is_selective;      /* ask the filter first */
	const uint8_t *records; /* of record_first and behind it, as far as they lie together */
	uint64_t record_first, record_count;
	struct seeker seekers[QUERIES];
	uint32_t *distances;
	uint32_t allowed[CHUNK_ROWS]; /* rows */
};

static bool is_allowed(struct scan *scan, uint32_t row)
{
	uint64_t id = vl_codes_id(scan->codes, row);
	const uint8_t *record;

	if (id - scan->record_first >= scan->record_count) {
		if (id >= vl_state_slots(scan->state, VL_RECORDS))
			return false;
		scan->records = vl_array_run(&scan->state->records.records, id, &scan->record_count);
		scan->record_first = id;
	}
	record = scan->records + (id - scan->record_first) * VL_RECORD_SIZE;
	return record[VL_RECORD_STATUS] == VALORI_LIVE &&
	       vl_get16(record + VL_RECORD_COLLECTION) == scan->filter->collection &&
	       (!scan->filter->has_tag || vl_get64(record + VL_RECORD_TAG) == scan->filter->tag);
}

/*
 * How far to look from now on: codes up to reach are not excluded. A record that is just as far as the worst hit comes
 * before it only when its id is smaller; for the others reach_past is enough. That matters where codes are exact and
 * many records are equal; elsewhere a unit less makes no difference.
 */
static void set_reach(const struct scan *scan, struct seeker *seeker)
{
	uint64_t score = seeker->heap[0].score;

	if (*seeker->hits < scan->k)
		return;
	seeker->reach = seeker->reach_past = (int32_t)vl_codes_reach(scan->codes, score, seeker->residuals);
	if (seeker->residuals == 0)
		seeker->reach_past = score == 0 ? -1 : (int32_t)vl_codes_reach(scan->codes, score - 1, 0);
}

/* Lets the candidate at index sink below nearer ones: a heap, its root the nearest. */
static void sink(uint64_t *candidates, size_t count, size_t index)
{
	uint64_t candidate = candidates[index];

	for (size_t child; (child = 2 * index + 1) < count; index = child) {
		if (child + 1 < count && candidates[child + 1] < candidates[child])
			child++;
		if (candidates[child] >= candidate)
			break;
		candidates[index] = candidates[child];
	}
	candidates[index] = candidate;
}

/* The next one is asked for while this one is compared. */
static void fetch(const struct scan *scan, uint64_t candidate)
{
	const uint8_t *vector = vl_state_vector(scan->state, vl_codes_id(scan->codes, (uint32_t)candidate));

	for (size_t i = 0; vector != NULL && i < (size_t)4 * scan->codes->dim && i < FETCH; i += 64)
		__builtin_prefetch(vector + i);
}

/* Compares the candidates exactly, nearest first, as long as they are in reach; then there are none any more. */
static void compare(struct scan *scan, struct seeker *seeker)
{
	uint64_t *candidates = seeker->candidates;
	size_t count = seeker->count, asked = 0, refused = 0;

	for (size_t i = count / 2; i-- > 0;)
		sink(candidates, count, i);
	while (count > 0 && (int64_t)(candidates[0] >> 32) <= seeker->reach) {
		int32_t distance = (int32_t)(candidates[0] >> 32);
		uint32_t row = (uint32_t)candidates[0];
		valori_hit hit = {.id = vl_codes_id(scan->codes, row)};

		candidates[0] = candidates[--count];
		sink(candidates, count, 0);
		if (distance > seeker->reach_past && hit.id > seeker->heap[0].id)
			continue;
		asked++;
		if (!is_allowed(scan, row)) {
			refused++;
			continue;
		}
		if (count > 0 && (int64_t)(candidates[0] >> 32) <= seeker->reach)
			fetch(scan, candidates[0]);
		hit.score = vl_q16_l2(scan->state->env->kernels, seeker->query, vl_state_vector(scan->state, hit.id),
				      scan->codes->dim);
		scan->compared++;
		vl_hits_merge(seeker->heap, seeker->hits, scan->k, &hit, 1);
		set_reach(scan, seeker);
	}
	seeker->count = 0;
	if (refused > GROUP && refused > asked / 2)
		scan->is_selective = true;
}

/* Puts aside what is in reach: those of count distances are of rows numbers[i], or first + i. */
static void collect(struct scan *scan, struct seeker *seeker, const uint32_t *distances, size_t count,
		    const uint32_t *numbers, uint32_t first)
{
	uint64_t *candidates;
	size_t found, i = 0;
	int32_t reach;

	if (seeker->count + count > CANDIDATES)
		compare(scan, seeker);
	candidates = seeker->candidates;
	found = seeker->count;
	reach = seeker->reach_past < seeker->reach && seeker->heap[0].id < vl_codes_id(scan->codes, first)
			? seeker->reach_past
			: seeker->reach;
	while (i < count) {
		size_t end = i + GROUP;

		if (end <= count) {
			uint32_t is_far = UINT32_MAX;

			/* reach - distance is negative when it is farther; mostly all are. */
			for (size_t j = 0; j < GROUP; j++)
				is_far &= (uint32_t)reach - distances[i + j];
			if (is_far >> 31 != 0) {
				i = end;
				continue;
			}
		}
		for (end = end < count ? end : count; i < end; i++)
			if ((int32_t)distances[i] <= reach)
				candidates[found++] = (uint64_t)distances[i] << 32 |
						      (numbers != NULL ? numbers[i] : first + (uint32_t)i);
	}
	seeker->count = found;
}

/* count rows from first on, of which all may be hits; the filter has a word only about candidates. */
static void scan_all(struct scan *scan, uint32_t first, size_t count)
{
	const struct vl_kernels *kernels = scan->state->env->kernels;
	const uint8_t *rows = vl_codes_row(scan->codes, first);

	if (scan->count == 1)
		kernels->code_l2_rows(scan->query_codes, rows, count, scan->codes->stride, scan->distances);
	else
		kernels->code_l2_block(scan->query_codes, scan->count, rows, count, scan->codes->stride,
				       scan->distances);
	for (size_t q = 0; q < scan->count; q++)
		collect(scan, &scan->seekers[q], scan->distances + q * count, count, NULL, first);
}

/* The same where few may be hits: only the codes of these are looked at. */
static void scan_allowed(struct scan *scan, uint32_t first, size_t count)
{
	const struct vl_codes *codes = scan->codes;
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		scan->allowed[found] = first + (uint32_t)i;
		found += is_allowed(scan, first + (uint32_t)i);
	}
	scan->is_selective = found < count - count / 4;
	for (size_t q = 0; q < scan->count && found > 0; q++) {
		scan->state->env->kernels->code_l2_gather(scan->query_codes + q * codes->stride, codes->rows.data,
							  scan->allowed, found, codes->stride, scan->distances);
		collect(scan, &scan->seekers[q], scan->distances, found, scan->allowed, first);
	}
}

static uint64_t largest_bound(const struct vl_codes *codes, uint32_t first, uint32_t last)
{
	uint64_t largest = 0;

	for (uint64_t row = first; row < last; row = (row / VL_CODES_BLOCK + 1) * VL_CODES_BLOCK) {
		uint64_t bound = vl_codes_bound(codes, (uint32_t)row);

		largest = bound > largest ? bound : largest;
	}
	return largest;
}

/* One pass over the rows for scan->count queries. */
static void pass(struct scan *scan, const uint8_t *queries, valori_hit *heaps, size_t *hits, uint64_t *candidates,
		 uint32_t first, uint32_t last, uint64_t bound)
{
	const struct vl_codes *codes = scan->codes;
	size_t rows_max = CHUNK_SIZE / codes->stride, rows_most = scan->count == 1 ? CHUNK_ROWS : CHUNK_MANY;

	rows_max = rows_max < VL_CODES_BLOCK ? VL_CODES_BLOCK : rows_max < rows_most ? rows_max : rows_most;
	for (size_t q = 0; q < scan->count; q++) {
		struct seeker *seeker = &scan->seekers[q];

		seeker->query = queries + q * codes->dim * 4;
		seeker->heap = heaps + q * scan->k;
		seeker->hits = &hits[q];
		seeker->residuals = bound + vl_codes_query(codes, seeker->query, scan->query_codes + q * codes->stride);
		seeker->reach = seeker->reach_past = INT32_MAX;
		seeker->candidates = candidates + q * CANDIDATES;
		seeker->count = 0;
		set_reach(scan, seeker);
	}
	scan->is_selective = scan->filter->has_tag;
	while (first < last) {
		size_t count = last - first < rows_max ? last - first : rows_max;

		(scan->is_selective ? scan_allowed : scan_all)(scan, first, count);
		first += (uint32_t)count;
	}
	for (size_t q = 0; q < scan->count; q++)
		compare(scan, &scan->seekers[q]);
}

valori_code vl_codes_search(const struct vl_codes *codes, const struct vl_state *state, const uint8_t *queries,
			    size_t count, size_t k, const struct vl_filter *filter, uint32_t first, uint32_t last,
			    valori_hit *heaps, size_t *hits, uint64_t *compared, valori_error *error)
{
	const size_t most = count < QUERIES ? count : QUERIES;
	const size_t codes_size = most * codes->stride, candidates_size = most * CANDIDATES * sizeof(uint64_t);
	const size_t distances_size = (most == 1 ? CHUNK_ROWS : most * CHUNK_MANY) * sizeof(uint32_t);
	const size_t size = codes_size + candidates_size + distances_size + sizeof(struct scan);
	const uint8_t *name;
	uint8_t *memory;
	size_t name_size;
	struct scan *scan;
	uint64_t bound;
	bool live;

	if (state->flags & VL_STATE_NO_VECTORS)
		return vl_fail(error, VALORI_UNKNOWABLE, "search: this store was opened without its vectors");
	last = last < codes->count ? last : codes->count;
	if (count == 0 || k == 0 || first >= last ||
	    !vl_collection_get(state, filter->collection, &name, &name_size, &live) || !live)
		return VALORI_OK;
	/* In this order everything is aligned as it should be; the codes of the queries to 64. */
	memory = vl_alloc(codes->env, size);
	if (memory == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "search: out of memory");
	scan = (struct scan *)(memory + codes_size + candidates_size + distances_size);
	scan->distances = (uint32_t *)(memory + codes_size + candidates_size);
	scan->codes = codes;
	scan->state = state;
	scan->filter = filter;
	scan->k = k;
	scan->query_codes = memory;
	scan->compared = scan->record_first = scan->record_count = 0;
	bound = largest_bound(codes, first, last);
	for (size_t q = 0; q < count; q += scan->count) {
		scan->count = count - q < QUERIES ? count - q : QUERIES;
		pass(scan, queries + q * codes->dim * 4, heaps + q * k, hits + q, (uint64_t *)(memory + codes_size),
		     first, last, bound);
	}
	if (compared != NULL)
		*compared += scan->compared;
	vl_release(codes->env, memory, size);
	return VALORI_OK;
}
