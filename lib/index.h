/*
 * index.h - the index of a store: codes, and a graph or lists, from which commit to which, and when the next round is
 * due.
 *
 * The index is a function of the log's commits alone. It begins at a commit (`since`: the store's first, the
 * one that changed the configuration, or the snapshot that brought none) and is brought up to date in rounds.
 * The input of a round is the state after one commit, the boundary; whether a round is due is looked at after
 * every commit, and depends on nothing but the state then and the rounds before. So an index that was lived
 * through, replayed, or read from a snapshot and carried on has the same bytes.
 *
 * A round is due
 *   - when the configuration says something else than the index was begun with: it begins anew;
 *   - when the record slots behind the last round are as many as clamp(slots up to it, VL_ROUND_MIN,
 *     VL_ROUND_MAX): their live records get rows, and enter the graph or the lists;
 *   - when more than a quarter of the rows are of records that are gone: all rows that are left are coded
 *     anew, and the graph is repaired, or the lists are begun anew.
 * Records behind the last round are for the exact scan: slots `covered` and up.
 *
 * The graph begins with the round after which there are VL_GRAPH_MIN rows (kind hnsw) or VL_GRAPH_AUTO (auto):
 * below that the certified scan is as fast. Lists (kind ivf) begin with VL_GRAPH_MIN rows, too, and anew whenever the
 * codes are settled.
 */
#ifndef VL_INDEX_H
#define VL_INDEX_H

#include "hnsw.h"
#include "ivf.h"

enum {
	VL_ROUND_MIN = 64,
	VL_ROUND_MAX = 2048,
	VL_GRAPH_MIN = 1024,
	VL_GRAPH_AUTO = 32768,
	VL_INDEX_HEAD = 128
};

enum vl_index_kind {
	VL_INDEX_AUTO,
	VL_INDEX_BRUTE,
	VL_INDEX_HNSW,
	VL_INDEX_IVF,
	VL_INDEX_NONE = 255 /* quantisation is off: nothing but the exact scan */
};

/* What the configuration says of the index's bytes: when it changes the index begins anew. */
struct vl_index_parameters {
	uint32_t kind; /* enum vl_index_kind */
	struct vl_hnsw_parameters graph;
	uint32_t lists; /* of kind ivf: how many; 0 is automatic */
};

/* As the state's CONFIG says, with the defaults for what it does not. */
void vl_index_configured(const struct vl_totals *totals, struct vl_index_parameters *out);
uint32_t vl_index_ef(const struct vl_totals *totals); /* ef_search */
uint32_t vl_index_probes(const struct vl_totals *totals); /* of lists; 0 is automatic */
bool vl_index_is_like(const struct vl_index_parameters *a, const struct vl_index_parameters *b);

/* How far the index is, or will be when all rounds that are due are done. */
struct vl_schedule {
	struct vl_index_parameters parameters;
	uint64_t since, boundary; /* heights */
	uint64_t covered;         /* record slots up to the boundary */
	uint64_t rows;            /* live records that its rounds have seen, and not dropped again */
	uint64_t renewals;        /* rounds that dropped rows because there were too many of the dead */
};

/* An index that begins at this height. */
void vl_schedule_begin(struct vl_schedule *schedule, const struct vl_index_parameters *parameters, uint64_t height);
/*
 * After a commit: is a round due? Then *after is where it leads. parameters: what the index is to be like, as
 * the state says or as somebody wants it.
 */
bool vl_schedule_next(const struct vl_schedule *now, const struct vl_state *state,
		      const struct vl_index_parameters *parameters, struct vl_schedule *after);

struct vl_index {
	const struct vl_env *env;
	uint32_t dim;
	struct vl_schedule schedule; /* the rounds that are done */
	bool has_graph, has_lists; /* not both */
	struct vl_codes codes;
	struct vl_hnsw graph; /* with has_graph */
	struct vl_ivf ivf;    /* with has_lists */
};

void vl_index_init(struct vl_index *index, const struct vl_env *env, uint32_t dim, const struct vl_schedule *begun);
void vl_index_free(struct vl_index *index);
/* Another owner of the same bytes: what is done to one of the two the other does not see. */
struct vl_index vl_index_share(const struct vl_index *index);
/*
 * The round that leads from index->schedule to after, with the state at that commit. OK, NO_MEMORY, FULL:
 * after a failure the index can only be freed.
 */
valori_code vl_index_round(struct vl_index *index, const struct vl_state *state, const struct vl_schedule *after,
			   const struct vl_workers *workers, valori_error *error);

/* ---- searching ---- */

/* Is there something to search that is quicker than a scan? */
bool vl_index_is_quick(const struct vl_index *index);

struct vl_index_counts { /* these grow */
	uint64_t visited;  /* code distances in the graph, or of lists */
	uint64_t scanned;  /* rows and records that a scan went over */
	uint64_t compared; /* exact distances */
};

/* What one thread needs to search; used again and again. */
struct vl_index_scratch;
valori_code vl_index_scratch_new(struct vl_index_scratch **out, const struct vl_env *env, valori_error *error);
void vl_index_scratch_free(struct vl_index_scratch *scratch);

/*
 * Through the graph or the lists (probes of them): the nearest allowed records among its rows, as far as the
 * effort finds them, with their exact distances: re-ranked is what the bound of the codes cannot exclude.
 * Adds them to heaps[count][k], as vl_brute_search does. allowed: a bit per row, or NULL when most rows are.
 * Whatever the bytes of the index are, only records that the filter allows get in, with their true distance.
 * effort->k is k, or more when some of the rows are known not to be allowed.
 */
valori_code vl_index_search(const struct vl_index *index, const struct vl_state *state,
			    struct vl_index_scratch *scratch, const uint8_t *queries, size_t count, size_t k,
			    const struct vl_hnsw_effort *effort, uint32_t probes, const struct vl_filter *filter,
			    const uint64_t *allowed, valori_hit *heaps, size_t *hits, struct vl_index_counts *counts,
			    valori_error *error);
/*
 * Exactly: the nearest of rows list[0...length - 1] (ascending), which all are allowed. Rows that do not exist
 * are passed over.
 */
valori_code vl_index_search_list(const struct vl_index *index, const struct vl_state *state,
				 struct vl_index_scratch *scratch, const uint8_t *queries, size_t count, size_t k,
				 const struct vl_filter *filter, const uint32_t *list, size_t length, valori_hit *heaps,
				 size_t *hits, struct vl_index_counts *counts, valori_error *error);
/* Which rows are of records that the filter allows: bits (64 a word) and how many. */
uint64_t vl_index_allowed(const struct vl_index *index, const struct vl_state *state, const struct vl_filter *filter,
			  uint64_t *bits);

/* ---- bytes ---- */

/* The parts of an index, in the order in which they are hashed and lie in a snapshot. */
enum vl_index_part {
	VL_INDEX_PART_HEAD,
	VL_INDEX_PART_IDS,
	VL_INDEX_PART_CODES,
	VL_INDEX_PART_BOUNDS,
	VL_INDEX_PART_LEVELS,
	VL_INDEX_PART_LINKS,
	VL_INDEX_PART_UPPER,
	VL_INDEX_PART_ABOVE,
	VL_INDEX_PART_CENTROIDS,
	VL_INDEX_PART_STARTS,
	VL_INDEX_PART_MEMBERS,
	VL_INDEX_PART_LISTED,
	VL_INDEX_PARTS
};
const char *vl_index_part_name(enum vl_index_part part);

struct vl_index_bytes {
	const uint8_t *data;
	uint32_t elem_size;
	uint64_t count;
};
/*
 * The head, 128 bytes little-endian:
 *   0 version u32 = 1 | 4 kind u32 | 8 m, 12 ef_construction, 16 width, 20 slack u32 | 24 since, 32 boundary,
 *   40 covered, 48 rows, 56 renewals u64 | 64 low i32 | 68 step u32 | 72 rows of codes u32 | 76 rows of the
 *   graph u32 | 80 entry u32 | 84 top u32 | 88 rows of links above layer 0 u32 | 92 has a graph u8 | 0 x 3
 *   | 96 capacity of codes u32 | 0 x 4 | 104 last bound of codes u64 | 112 lists wanted, 116 lists, 120 rows of the
 *   lists u32 (kind ivf, else 0) | 0 x 4
 */
void vl_index_bytes(const struct vl_index *index, uint8_t head[VL_INDEX_HEAD],
		    struct vl_index_bytes parts[VL_INDEX_PARTS]);
/*
 * Around parts that lie in a file, in O(1): checks the head, and that the sizes fit it, the dimension and the
 * state's slots and height. OK, NEWER, or DAMAGED with a sentence. What else is in the parts is looked at by
 * vl_index_check; a search stays within them whatever it is.
 */
valori_code vl_index_attach(struct vl_index *index, const struct vl_env *env, const struct vl_state *state,
			    const struct vl_index_bytes parts[VL_INDEX_PARTS], valori_error *error);
/*
 * Does the index fit the state: every row of a live record coded as the quantiser says, within its bound, ids
 * ascending, every live record up to the boundary there; the graph sound? OK, NO_MEMORY or DAMAGED.
 */
valori_code vl_index_check(const struct vl_index *index, const struct vl_state *state, valori_error *error);
/*
 * The digest that stands for the whole index: BLAKE3 over the head and the digests of the other parts, those of lists
 * only when there are some.
 */
void vl_index_digest(const struct vl_index *index, uint8_t out[VL_HASH_SIZE]);

#endif
