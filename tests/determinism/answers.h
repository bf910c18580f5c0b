/*
 * answers.h - the questions of the determinism matrix, and the digest of what is answered: every id and every exact
 * distance.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "commitment.h"
#include "index_brute.h"
#include "requests.h"

/* splitmix64 */
uint64_t matrix_random(uint64_t *seed);
/*
 * A vector of dim components, as bytes: most lie around one of a few centres, many of them are equal so that
 * distances are, and some are as long as the acceptance rule allows.
 */
void matrix_vector(uint64_t *seed, uint32_t dim, uint8_t *out);

enum { MATRIX_COUNT_MAX = 33, MATRIX_K_MAX = 100 };

/* Searches count queries exactly; hits[count][k], sorted, and their numbers. */
typedef valori_code matrix_search(void *context, const uint8_t *queries, size_t count, size_t k,
				  const struct vl_filter *filter, valori_hit *hits, size_t *hit_counts,
				  valori_error *error);

/* Asks everything. Work space comes from env. */
valori_code matrix_answers(const struct vl_env *env, uint32_t dim, matrix_search *search, void *context,
			   uint8_t out[VL_HASH_SIZE], valori_error *error);

/*
 * The digest of a state as the sections of a snapshot: fed with (kind, bytes, count, BLAKE3 of the bytes) of each, in
 * the order of their kinds.
 */
struct matrix_sections {
	struct vl_blake3 hash;
};
void matrix_sections_add(struct matrix_sections *sections, uint32_t kind, uint64_t size, uint64_t count,
			 const uint8_t digest[VL_HASH_SIZE]);

#endif
