/*
 * ivf.h - inverted lists: the rows of a vl_codes, each in the list of the centroid that it is nearest to.
 *
 * Like the graph (hnsw.h) this knows rows and their codes only, and is the same bytes on every machine, for any
 * number of threads and however it was grown. Below VL_CODES_FIRST rows there is one list of them all. With the
 * first grow that sees so many, centroids are trained: k-means in integers over a sample of 64 rows per list at
 * most, from seeds that a hash chooses, 10 rounds; ties go to the list with the smaller number, and a list that
 * became empty begins anew at a row that a hash chooses. After that rows only come to their lists. Whoever settles
 * the codes anew (codes.h) begins a new vl_ivf: so it is trained whenever the number of rows has doubled, and when
 * too many are gone.
 *
 * The codes of a list lie together once more, in the order of its rows: a search reads them from one end to the other,
 * several times faster than it could gather them.
 *
 * Lists that are asked for are a sixteenth of the rows at most; automatic is the square root of the rows, 16 at
 * least.
 */
#ifndef VL_IVF_H
#define VL_IVF_H

#include "hnsw.h"

struct vl_ivf {
	const struct vl_env *env;
	uint32_t wanted; /* CONFIG parameter 7 of state.h: lists, 0 is automatic */
	uint32_t count, lists; /* rows; lists that there are */
	struct vl_block centroids; /* a code, stride bytes, per list */
	struct vl_block starts; /* u32 little-endian, lists + 1 of them: where in members a list begins */
	struct vl_block members; /* u32 little-endian per row: the rows of a list ascend */
	struct vl_block listed; /* the code of each of members */
};

void vl_ivf_init(struct vl_ivf *ivf, const struct vl_env *env, uint32_t wanted);
void vl_ivf_free(struct vl_ivf *ivf);
/* Another owner of the same lists: what is done to one of the two the other does not see. */
struct vl_ivf vl_ivf_share(const struct vl_ivf *ivf);

/* Takes in rows count...codes->count - 1. OK; NO_MEMORY or (from a snapshot) DAMAGED, then unchanged. */
valori_code vl_ivf_grow(struct vl_ivf *ivf, const struct vl_codes *codes, const struct vl_workers *workers,
			valori_error *error);

/*
 * How to search: through the lists nearest to the query, probes of them (0: the square root of all), and on through
 * the next ones until k rows are found.
 */
struct vl_ivf_effort {
	uint32_t k, ef, probes;
};

/* What one thread needs to search; grows as needed and is used again. */
struct vl_ivf_scratch;
valori_code vl_ivf_scratch_new(struct vl_ivf_scratch **out, const struct vl_env *env, valori_error *error);
void vl_ivf_scratch_free(struct vl_ivf_scratch *scratch);

/*
 * For each of count queries (codes, stride bytes each, aligned to 64): the nearest rows of the lists searched that
 * allowed (NULL: all; a bit per row) has, by code distance, ascending by (distance, row), at most ef of them, into
 * out[count][ef] as distance << 32 | row, and how many into found[count]. Many queries are answered together: a list
 * is fetched once for all who want it. *visited (or NULL) grows by the distances computed. OK or NO_MEMORY.
 */
valori_code vl_ivf_search(const struct vl_ivf *ivf, const struct vl_codes *codes, struct vl_ivf_scratch *scratch,
			  const uint8_t *queries, size_t count, const struct vl_ivf_effort *effort,
			  const uint64_t *allowed, uint64_t *out, size_t *found, uint64_t *visited,
			  valori_error *error);

/*
 * For lists whose fields came from outside (a snapshot), in O(1): do the blocks hold what the counts say? After that
 * any search ends and stays inside, whatever the bytes are. OK or DAMAGED.
 */
valori_code vl_ivf_attach(const struct vl_ivf *ivf, const struct vl_codes *codes, valori_error *error);
/*
 * All of it, for verify: is every row in one list, the one of its nearest centroid, and are there as many lists as
 * there should be? OK, DAMAGED or NO_MEMORY.
 */
valori_code vl_ivf_check(const struct vl_ivf *ivf, const struct vl_codes *codes, const struct vl_workers *workers,
			 valori_error *error);

#endif
