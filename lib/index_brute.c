/* index_brute.c - exact search: every allowed vector is looked at. */
#include "index_brute.h"

#include "q16.h"

enum {
	BLOCK_ROWS = 32,   /* vectors that stay in the nearest cache while the queries go over them */
	BLOCK_QUERIES = 16 /* queries whose distances to a block are kept at a time */
};

/* Nearer, or as near with the smaller id. */
static bool is_better(const valori_hit *a, const valori_hit *b)
{
	return a->score < b->score || (a->score == b->score && a->id < b->id);
}

/* Puts hit where it belongs in a heap of hits elements whose root, the worst of all, is free. */
static void sift_down(valori_hit *heap, size_t hits, valori_hit hit)
{
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < hits; at = child) {
		if (child + 1 < hits && is_better(&heap[child], &heap[child + 1]))
			child++;
		if (!is_better(&hit, &heap[child]))
			break;
		heap[at] = heap[child];
	}
	heap[at] = hit;
}

static void offer(valori_hit *heap, size_t *hits, size_t k, valori_hit hit)
{
	size_t at = *hits;

	if (at == k) {
		if (is_better(&hit, &heap[0]))
			sift_down(heap, k, hit);
		return;
	}
	++*hits;
	for (size_t parent; at > 0 && is_better(&heap[parent = (at - 1) / 2], &hit); at = parent)
		heap[at] = heap[parent];
	heap[at] = hit;
}

void vl_hits_sort(valori_hit *heap, size_t hits)
{
	while (hits > 1) {
		valori_hit worst = heap[0];

		hits--;
		sift_down(heap, hits, heap[hits]);
		heap[hits] = worst;
	}
}

void vl_hits_merge(valori_hit *heap, size_t *hits, size_t k, const valori_hit *other, size_t other_hits)
{
	for (size_t i = 0; i < other_hits; i++)
		offer(heap, hits, k, other[i]);
}

/* What one call of vl_brute_search is about. */
struct search {
	const struct vl_kernels *kernels;
	const uint8_t *queries;
	size_t count, k, dim;
	valori_hit *heaps;
	size_t *hits;
};

/* All queries over rows packed vectors, the first of which has number id; rows is at most BLOCK_ROWS. */
static void scan_block(const struct search *search, const uint8_t *vectors, size_t rows, uint64_t id)
{
	uint64_t scores[BLOCK_QUERIES * BLOCK_ROWS];

	for (size_t first = 0; first < search->count; first += BLOCK_QUERIES) {
		size_t count = search->count - first < BLOCK_QUERIES ? search->count - first : BLOCK_QUERIES;

		vl_q16_l2_block(search->kernels, search->queries + first * search->dim * 4, count, vectors, rows,
				search->dim, scores);
		for (size_t query = 0; query < count; query++) {
			valori_hit *heap = search->heaps + (first + query) * search->k;
			size_t *hits = &search->hits[first + query];
			uint64_t worst = *hits == search->k ? heap[0].score : UINT64_MAX;

			for (size_t row = 0; row < rows; row++) {
				uint64_t score = scores[query * rows + row];

				if (score > worst)
					continue;
				offer(heap, hits, search->k, (valori_hit){.id = id + row, .score = score});
				if (*hits == search->k)
					worst = heap[0].score;
			}
		}
	}
}

static bool is_allowed(const uint8_t *record, const struct vl_filter *filter)
{
	return record[VL_RECORD_STATUS] == VALORI_LIVE && vl_get16(record + VL_RECORD_COLLECTION) == filter->collection &&
	       (!filter->has_tag || vl_get64(record + VL_RECORD_TAG) == filter->tag);
}

valori_code vl_brute_search(const struct vl_state *state, const uint8_t *queries, size_t count, size_t k,
			    const struct vl_filter *filter, uint64_t first, uint64_t last, valori_hit *heaps, size_t *hits,
			    valori_error *error)
{
	const struct vl_records *records = &state->records;
	const struct search search = {.kernels = state->env->kernels, .queries = queries, .count = count, .k = k,
				      .dim = state->dim, .heaps = heaps, .hits = hits};
	const uint8_t *name;
	size_t name_size;
	bool live;

	if (!records->has_vectors)
		return vl_fail(error, VALORI_UNKNOWABLE, "the store was opened without vectors");
	if (!vl_collection_get(state, filter->collection, &name, &name_size, &live) || !live)
		return VALORI_OK; /* nothing in it is visible */
	if (last > records->records.count)
		last = records->records.count;
	while (first < last) {
		uint64_t run, vectors_run;
		const uint8_t *record = vl_array_run(&records->records, first, &run);
		const uint8_t *vectors = vl_array_run(&records->vectors, first, &vectors_run);

		if (run > vectors_run)
			run = vectors_run;
		if (run > last - first)
			run = last - first;
		for (uint64_t row = 0; row < run;) {
			uint64_t end = row;

			while (end < run && end - row < BLOCK_ROWS && is_allowed(record + end * VL_RECORD_SIZE, filter))
				end++;
			if (end > row)
				scan_block(&search, vectors + row * state->dim * 4, (size_t)(end - row), first + row);
			else
				end++;
			row = end;
		}
		first += run;
	}
	return VALORI_OK;
}
