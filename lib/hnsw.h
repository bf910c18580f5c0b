/*
 * hnsw.h - the graph: a hierarchical navigable small world over the rows of a vl_codes, the same bytes on
 * every machine.
 *
 * The graph knows rows only; what is far and near is said by their codes. Levels come from an integer hash
 * of the record's id. Rows are inserted in pieces of clamp(count, 64, 2048), less where there are no more:
 * each row of a piece searches the graph as it was before the piece, then the links are merged in the order
 * of rows. So any number of threads builds the same graph; but grow by grow it is the same only with the same
 * counts after each.
 *
 * Links are little-endian u32 row numbers in rows of fixed size, nearest first as far as they were chosen
 * together, the unused rest VL_HNSW_NONE: on layer 0 2 * m of them, above it m. A number that is no row ends
 * a list: so a search stays inside whatever the bytes are, and there is nothing to check when a graph is
 * mapped but sizes (vl_hnsw_attach).
 */
#ifndef VL_HNSW_H
#define VL_HNSW_H

#include "codes.h"
#include "workers.h"

#define VL_HNSW_NONE UINT32_MAX

/* CONFIG parameters 2, 3, 5, 6 of state.h: part of the graph's definition. */
struct vl_hnsw_parameters {
	uint32_t m, ef_construction, width, slack;
};

struct vl_hnsw {
	const struct vl_env *env;
	struct vl_hnsw_parameters parameters;
	uint32_t count, entry, top; /* rows; where a search starts, and on which level */
	struct vl_block links;	    /* layer 0; blocks may be larger than count says */
	struct vl_block levels;	    /* u8 per row */
	struct vl_block upper;	    /* u32 little-endian per row: the first of its rows in above, or NONE */
	struct vl_block above;	    /* links of layers 1...level of a row, behind each other */
	uint32_t above_count;	    /* rows of m links used */
};

void vl_hnsw_init(struct vl_hnsw *graph, const struct vl_env *env, const struct vl_hnsw_parameters *parameters);
void vl_hnsw_free(struct vl_hnsw *graph);
struct vl_hnsw vl_hnsw_share(const struct vl_hnsw *graph);

/* Inserts rows count...codes->count - 1, in pieces. OK; NO_MEMORY: the graph can only be freed. */
valori_code vl_hnsw_grow(struct vl_hnsw *graph, const struct vl_codes *codes, const struct vl_workers *workers,
			 valori_error *error);
/*
 * After rows were renumbered (codes.h) or when too many are dead: drops rows whose renumbered is GONE, links
 * the ones that lost neighbours anew to the neighbours of those, in a way that depends on nothing but its
 * arguments. OK; NO_MEMORY as above.
 */
valori_code vl_hnsw_repair(struct vl_hnsw *graph, const struct vl_codes *codes, const uint32_t *renumbered,
			   const struct vl_workers *workers, valori_error *error);

/*
 * How to search: width 0 chooses by the size of the codes; slack in 1/1024: end when the next one is farther
 * than slack * the k-th; 0: never. ef is at least 1; it caps the work.
 */
struct vl_hnsw_effort {
	uint32_t k, ef, width, slack;
	uint32_t matches; /* bits set in allowed, as whoever made it counted them: how rare they are; 0: unknown */
};

/* What one thread needs to search; grows as needed and is used again. */
struct vl_hnsw_scratch;
valori_code vl_hnsw_scratch_new(struct vl_hnsw_scratch **out, const struct vl_env *env, valori_error *error);
void vl_hnsw_scratch_free(struct vl_hnsw_scratch *scratch);

/*
 * The nearest rows that allowed (NULL: all; a bit per row) has, by code distance, ascending by (distance,
 * row): at most ef of them into out as distance << 32 | row, *found says how many. Rows that are not allowed
 * are walked through and not returned. visited (or NULL) grows by the distances computed. OK or NO_MEMORY.
 */
valori_code vl_hnsw_search(const struct vl_hnsw *graph, const struct vl_codes *codes, struct vl_hnsw_scratch *scratch,
			   const uint8_t *query, const struct vl_hnsw_effort *effort, const uint64_t *allowed,
			   uint64_t *out, size_t *found, uint64_t *visited, valori_error *error);
/*
 * The same for count queries (codes, stride bytes each), interleaved so that one waits for memory while
 * another computes: out[count][ef], found[count]. The same answers.
 */
valori_code vl_hnsw_search_many(const struct vl_hnsw *graph, const struct vl_codes *codes,
				struct vl_hnsw_scratch *scratch, const uint8_t *queries, size_t count,
				const struct vl_hnsw_effort *effort, const uint64_t *allowed, uint64_t *out,
				size_t *found, uint64_t *visited, valori_error *error);

/*
 * For a graph whose fields came from outside (a snapshot), in O(1): do the parameters lie in their ranges,
 * and do the blocks hold as much as the counts say? After that any search ends and stays inside, whatever the
 * bytes are. OK or DAMAGED.
 */
valori_code vl_hnsw_attach(const struct vl_hnsw *graph, valori_error *error);
/*
 * All of it, for verify: is it a graph as grow and repair leave it? Every link leads to another row that has
 * the layer, no list names one twice or goes on after NONE, levels and above agree. OK, DAMAGED or NO_MEMORY.
 */
valori_code vl_hnsw_check(const struct vl_hnsw *graph, valori_error *error);

#endif
