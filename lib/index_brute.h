/*
 * index_brute.h - exact search: every allowed vector is looked at. The truth that every other index is
 * measured against.
 */
#ifndef VL_INDEX_BRUTE_H
#define VL_INDEX_BRUTE_H

#include "state.h"

struct vl_filter {
	uint16_t collection;
	bool has_tag;
	uint64_t tag;
};

/*
 * The k nearest visible records of each of count queries (Q16.16 little-endian, dim components each, packed),
 * for slots first <= id < last, nearer meaning smaller (score, id). Adds them to heaps[count][k] with
 * hits[count] elements, so that ranges can be searched one after the other, or by several threads with heaps
 * of their own that are merged afterwards. One pass over the vectors for all queries; only allowed vectors
 * are read. OK, or UNKNOWABLE without vectors.
 */
valori_code vl_brute_search(const struct vl_state *state, const uint8_t *queries, size_t count, size_t k,
			    const struct vl_filter *filter, uint64_t first, uint64_t last, valori_hit *heaps,
			    size_t *hits, valori_error *error);
/* Turns one query's heap into a list, nearest first, equal scores by smaller id. */
void vl_hits_sort(valori_hit *heap, size_t hits);
/*
 * Adds the hits of one heap to another; neither need be sorted, but heap must be a heap (not a sorted list).
 */
void vl_hits_merge(valori_hit *heap, size_t *hits, size_t k, const valori_hit *other, size_t other_hits);

#endif
