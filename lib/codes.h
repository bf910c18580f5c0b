/*
 * codes.h - one byte per component: small exact integers to look for neighbours with, and how far they are
 * from the truth.
 *
 * A row is the code (code.h) of one record: dim bytes, zero padded to stride (a multiple of 64), all rows behind
 * each other in one block. Rows are numbered densely in the order of their records' ids, so ties by row are ties
 * by id. The quantiser is {low, step}: a component is first clipped to low ... low + 255 * step, then its code is
 * the number of steps from low, rounded. step is a whole number of raw Q16.16 units, so step^2 * (distance of two
 * codes) is exactly the raw distance of the decoded rows.
 *
 * All of it is a function of the log: rows are appended in rounds. When there are capacity rows (below
 * VL_CODES_FIRST: at every round) the codes are settled: rows of records that are gone are dropped, the quantiser
 * is derived anew from the live records, all rows are coded anew, and capacity becomes the smallest power of two
 * that is at least 1,024 and a quarter above the number of rows; without deletes that is at 1,024, 2,048, ...
 * A delete alone changes nothing.
 *
 * The quantiser: where (almost) all components are multiples of a power of two, and what is between their 1/1000
 * and 999/1000 quantiles has room in 256 of its steps, it has this step, and codes lose nothing. Else the quantiles
 * are the ends of the range. See quantiser_derive in codes.c.
 *
 * The bound. Clipping moves no two vectors apart, so |q - x| >= |clip(q) - clip(x)|; and from clip(x) to the decoded
 * code it is at most the residual, what rounding cost. So
 *
 *	|q - x| >= step * sqrt(distance of the codes) - residual(q) - residual(x)
 *
 * holds for all q and x, however far outside they are: outliers loosen nothing. Of each block of VL_CODES_BLOCK rows
 * the largest residual is kept, rounded up.
 */
#ifndef VL_CODES_H
#define VL_CODES_H

#include "block.h"
#include "code.h"
#include "index_brute.h"

enum {
	VL_CODES_BLOCK = 64,
	VL_CODES_FIRST = 1024 /* rows with which the quantiser is settled for the first time */
};
#define VL_CODES_MAX (UINT32_C(1) << 31) /* rows: their numbers share 32 bits with a mark */

struct vl_quantiser {
	int32_t low;   /* raw Q16.16 */
	uint32_t step; /* raw units per code, at least 1 */
};

struct vl_codes {
	const struct vl_env *env;
	uint32_t dim, stride;
	uint32_t count, capacity; /* rows; with how many they are settled anew */
	struct vl_quantiser quantiser;
	struct vl_block rows;	/* count * stride bytes, and room */
	struct vl_block ids;	/* u32 little-endian per row: its record */
	struct vl_block bounds; /* u64 little-endian per full block of rows: the largest residual */
	uint64_t last_bound;	/* of the rows behind the last full block */
};

void vl_codes_init(struct vl_codes *codes, const struct vl_env *env, uint32_t dim);
void vl_codes_free(struct vl_codes *codes);
/*
 * Another version that shares everything; appending to either (one of them only!) does not disturb the
 * other.
 */
struct vl_codes vl_codes_share(const struct vl_codes *codes);

static inline const uint8_t *vl_codes_row(const struct vl_codes *codes, uint32_t row)
{
	return (const uint8_t *)codes->rows.data + (size_t)row * codes->stride;
}
/* The record of a row. */
uint32_t vl_codes_id(const struct vl_codes *codes, uint32_t row);
/* At least the residual of a row. */
uint64_t vl_codes_bound(const struct vl_codes *codes, uint32_t row);
/* The first row whose record is id or later: count when there is none. */
uint32_t vl_codes_find(const struct vl_codes *codes, uint64_t id);

/*
 * Appends rows for records first <= id < last that are visible (LIVE, in a live collection); first is above the
 * record of every row. Settles where that is due: *renumbered (room for the old count, or NULL) tells where old rows
 * went, VL_ROW_GONE or the new number; *settled says that this happened. OK, NO_MEMORY, FULL or, without vectors,
 * UNKNOWABLE; then with codes untouched.
 */
#define VL_ROW_GONE UINT32_MAX
valori_code vl_codes_append(struct vl_codes *codes, const struct vl_state *state, uint64_t first, uint64_t last,
			    uint32_t *renumbered, bool *settled, valori_error *error);

/*
 * The same without settling, however many rows there are: for codes that are no part of an index. false: out of
 * memory, unchanged.
 */
bool vl_codes_extend(struct vl_codes *codes, const struct vl_state *state, uint64_t first, uint64_t last);

/*
 * A query (dim raw little-endian components that satisfy the acceptance rule) to its code (stride bytes,
 * aligned to 64); its residual, rounded up.
 */
uint64_t vl_codes_query(const struct vl_codes *codes, const uint8_t *query, uint8_t *out);
/*
 * Which codes are near enough: the largest distance of codes that does not rule out an exact distance of score or
 * less, when the residuals of both sides add up to residuals. Never too small; at most INT32_MAX.
 */
uint32_t vl_codes_reach(const struct vl_codes *codes, uint64_t score, uint64_t residuals);

/*
 * The certified scan: like vl_brute_search over the records of rows first <= row < last, and with the same
 * hits, bit for bit; but only what the bound cannot exclude is compared exactly. *compared (or NULL) grows
 * by the number of exact distances. OK, NO_MEMORY (heaps may have grown) or, without vectors, UNKNOWABLE.
 */
valori_code vl_codes_search(const struct vl_codes *codes, const struct vl_state *state, const uint8_t *queries,
			    size_t count, size_t k, const struct vl_filter *filter, uint32_t first, uint32_t last,
			    valori_hit *heaps, size_t *hits, uint64_t *compared, valori_error *error);

#endif
