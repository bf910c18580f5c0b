/*
 * indexes.h - an index of each kind beside a state that is followed: its rounds, its bytes, and what is found with it.
 */
#ifndef INDEXES_H
#define INDEXES_H

#include "answers.h"
#include "index.h"

enum { MATRIX_INDEXES = 3 }; /* kinds brute, hnsw and ivf, in this order, whatever the log says */

struct matrix_indexes {
	const struct vl_env *env;
	const struct vl_state *state;
	struct vl_index index[MATRIX_INDEXES];
	struct vl_buf parts[MATRIX_INDEXES][VL_INDEX_PARTS]; /* what an attached index lies in */
	valori_code code;				     /* of the first round that failed */
	valori_error error;
};

/* Beginning with this state, which has no commits yet. */
void matrix_indexes_init(struct matrix_indexes *indexes, const struct vl_env *env, const struct vl_state *state);
void matrix_indexes_free(struct matrix_indexes *indexes);
/* After every commit: the rounds that are due. */
void matrix_indexes_applied(struct matrix_indexes *indexes);
/* All are laid out as in a snapshot, dropped, and attached again from there. */
valori_code matrix_indexes_restore(struct matrix_indexes *indexes, valori_error *error);
/*
 * The digest over the digests of all, and the digest over all that is found with each. Kind brute must find what
 * stands in exact; the graph and the lists must be there.
 */
valori_code matrix_indexes_report(struct matrix_indexes *indexes, const uint8_t exact[VL_HASH_SIZE],
				  uint8_t digest[VL_HASH_SIZE], uint8_t found[VL_HASH_SIZE], valori_error *error);

#endif
