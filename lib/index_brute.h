/*
 * index_brute.h - exact search: every allowed vector is looked at. The truth that every other index is measured against.
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
 * The k nearest visible records of each of count queries (Q16.16 little-endian, dim components each, packed), for slots first <= id < last, by
 * (score, id). Merges into heaps[count][k], hits[count]: so that ranges can be searched one after the other or by several threads with heaps of their own,
 * and merged by vl_hits_merge. One pass over the vectors for all queries. The scores are exact.
 */
valori_code vl_brute_search(const struct vl_state *state, const uint8_t *queries, size_t count, size_t k,
			    const struct vl_filter *filter, uint64_t first, uint64_t last, valori_hit *heaps, size_t *hits,
			    valori_error *error);
/* Turns one query's heap into a list, nearest first, ties by smaller id. */
void vl_hits_sort(valori_hit *heap, size_t hits);
/* Adds the hits of one heap to another. */
void vl_hits_merge(valori_hit *heap, size_t *hits, size_t k, const valori_hit *other, size_t other_hits);

#endif
