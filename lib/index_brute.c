/* index_brute.c - exact search: every allowed vector is looked at. */
#include "index_brute.h"

#include "q16.h"

enum {
	ROWS = 64,         /* looked at together */
	QUERIES = 32,      /* whose distances to these rows are computed together */
	NEAR_SIZE = 32768, /* bytes of rows that stay in the nearest cache while the queries come by */
	FILTER_MASK = 0xffffff
};

/* ---- the hits of one query: a heap whose root is the worst ---- */

static inline bool is_worse(const valori_hit *a, const valori_hit *b)
{
	return a->score > b->score || (a->score == b->score && a->id > b->id);
}

/* Lets hit sink from index, where it may be better than what is below it. */
static void sink(valori_hit *heap, size_t hits, size_t index, valori_hit hit)
{
	for (size_t child; (child = 2 * index + 1) < hits; index = child) {
		if (child + 1 < hits && is_worse(&heap[child + 1], &heap[child]))
			child++;
		if (!is_worse(&heap[child], &hit))
			break;
		heap[index] = heap[child];
	}
	heap[index] = hit;
}

static void rise(valori_hit *heap, size_t index, valori_hit hit)
{
	for (size_t parent; index > 0; index = parent) {
		parent = (index - 1) / 2;
		if (!is_worse(&hit, &heap[parent]))
			break;
		heap[index] = heap[parent];
	}
	heap[index] = hit;
}

static void take_in(valori_hit *heap, size_t *hits, size_t k, valori_hit hit)
{
	if (*hits < k)
		rise(heap, (*hits)++, hit);
	else if (is_worse(&heap[0], &hit))
		sink(heap, k, 0, hit);
}

void vl_hits_sort(valori_hit *heap, size_t hits)
{
	while (hits > 1) {
		valori_hit worst = heap[0];

		hits--;
		sink(heap, hits, 0, heap[hits]);
		heap[hits] = worst;
	}
}

void vl_hits_merge(valori_hit *heap, size_t *hits, size_t k, const valori_hit *other, size_t other_hits)
{
	for (size_t i = 0; i < other_hits && k > 0; i++)
		take_in(heap, hits, k, other[i]);
}

/* ---- the scan ---- */

struct scan {
	const struct vl_kernels *kernels;
	const uint8_t *queries;
	size_t count, k, dim;
	valori_hit *heaps;
	size_t *hits;
	uint64_t distances[QUERIES * ROWS];
};

/*
 * Which of count records may be hits: their numbers into out, ascending. Status and collection are one
 * comparison.
 */
static size_t allowed(const uint8_t *records, size_t count, const struct vl_filter *filter, uint8_t out[ROWS])
{
	uint32_t wanted = filter->collection | (uint32_t)VALORI_LIVE << 16;
	uint64_t tag = filter->tag, tag_mask = filter->has_tag ? UINT64_MAX : 0;
	size_t found = 0;

	/* Without a branch: whether a record is allowed is anybody's guess. */
	for (size_t i = 0; i < count; i++) {
		const uint8_t *record = records + i * VL_RECORD_SIZE;
		uint32_t other = (vl_get32(record + VL_RECORD_COLLECTION) ^ wanted) & FILTER_MASK;
		uint64_t other_tag = (vl_get64(record + VL_RECORD_TAG) ^ tag) & tag_mask;

		out[found] = (uint8_t)i;
		found += (other | other_tag) == 0;
	}
	return found;
}

/* All queries against count rows that lie behind each other, the first of which is record id. */
static void scan_rows(struct scan *scan, const uint8_t *rows, size_t count, uint64_t id)
{
	size_t row_size = scan->dim * 4;

	for (size_t first = 0; first < scan->count; first += QUERIES) {
		size_t part = scan->count - first < QUERIES ? scan->count - first : QUERIES;

		if (part == 1)
			vl_q16_l2_rows(scan->kernels, scan->queries + first * row_size, rows, count, scan->dim,
				       scan->distances);
		else
			vl_q16_l2_block(scan->kernels, scan->queries + first * row_size, part, rows, count, scan->dim,
					scan->distances);
		for (size_t q = 0; q < part; q++) {
			const uint64_t *distances = scan->distances + q * count;
			valori_hit *heap = scan->heaps + (first + q) * scan->k;
			size_t *hits = &scan->hits[first + q];
			uint64_t limit = *hits < scan->k ? UINT64_MAX : heap[0].score;

			for (size_t i = 0; i < count; i++) {
				if (distances[i] > limit)
					continue;
				take_in(heap, hits, scan->k, (valori_hit){id + i, distances[i]});
				limit = *hits < scan->k ? UINT64_MAX : heap[0].score;
			}
		}
	}
}

valori_code vl_brute_search(const struct vl_state *state, const uint8_t *queries, size_t count, size_t k,
			    const struct vl_filter *filter, uint64_t first, uint64_t last, valori_hit *heaps,
			    size_t *hits, valori_error *error)
{
	struct scan scan; /* large: not to be zeroed each time */
	uint64_t slots = vl_state_slots(state, VL_RECORDS), rows_max = ROWS;
	const uint8_t *name;
	size_t name_size;
	bool live;

	if (state->flags & VL_STATE_NO_VECTORS)
		return vl_fail(error, VALORI_UNKNOWABLE, "search: this store was opened without its vectors");
	if (count == 0 || k == 0 || !vl_collection_get(state, filter->collection, &name, &name_size, &live) || !live)
		return VALORI_OK;
	scan.kernels = state->env->kernels;
	scan.queries = queries;
	scan.count = count;
	scan.k = k;
	scan.dim = state->dim;
	scan.heaps = heaps;
	scan.hits = hits;
	if (count > 1 && rows_max * 4 * scan.dim > NEAR_SIZE)
		rows_max = NEAR_SIZE / (4 * scan.dim) > 4 ? NEAR_SIZE / (4 * scan.dim) : 4;
	last = last < slots ? last : slots;
	while (first < last) {
		uint64_t run = 0, vectors_run = 0;
		const uint8_t *records = vl_array_run(&state->records.records, first, &run);
		const uint8_t *vectors = vl_state_vectors(state, first, &vectors_run);
		uint8_t rows[ROWS];
		size_t found;

		run = run < vectors_run ? run : vectors_run;
		run = run < last - first ? run : last - first;
		run = run < rows_max ? run : rows_max;
		found = allowed(records, (size_t)run, filter, rows);
		/*
		 * Neighbours go together: with nothing filtered out that is one call, with little allowed it
		 * is a few rows.
		 */
		for (size_t i = 0, length; i < found; i += length) {
			for (length = 1; i + length < found && rows[i + length] == rows[i] + length; length++)
				;
			scan_rows(&scan, vectors + rows[i] * scan.dim * 4, length, first + rows[i]);
		}
		first += run;
	}
	return VALORI_OK;
}
