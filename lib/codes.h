/*
 * codes.h - one byte per component: small exact integers to look for neighbours with, and how far they are
 * from the truth.
 *
 * A row is the code of one record: dim bytes, zero padded to stride (a multiple of 64), all rows behind each
 * other in one block. Rows are numbered densely in the order of their records' ids, so ties by row are ties
 * by id. The quantiser is {low, step}: code = clamp(round((x - low) / step), 0, 255) with step a whole
 * number of raw Q16.16 units, so that step^2 * (code distance) is exactly the raw distance of two decoded
 * rows.
 *
 * All of it is a function of the log: rows are appended in rounds; when the number of rows reaches a power
 * of two from 1,024 on, the quantiser is derived anew (the 1/1000 and 999/1000 quantiles of an integer
 * histogram over the live records' components), rows of records that are gone are dropped, and all rows are
 * coded anew into memory for twice as many. It never shrinks on a delete. Before 1,024 rows it is derived
 * from the rows of each round. What lies outside is clipped, and only its block's bound grows.
 *
 * The bound: for the VL_CODES_BLOCK rows of a block, at least the largest |x - decoded(code(x))| in raw
 * units, rounded up with an integer square root. |q - x| >= step * sqrt(code distance) - (q's residual) -
 * (bound): what that excludes need not be looked at.
 */
#ifndef VL_CODES_H
#define VL_CODES_H

#include "block.h"
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
	uint32_t count, capacity; /* rows */
	struct vl_quantiser quantiser;
	struct vl_block rows;   /* capacity * stride bytes */
	struct vl_block ids;    /* u32 little-endian per row: its record */
	struct vl_block bounds; /* u64 little-endian per block of rows */
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
/* The first row whose record is id or later: count when there is none. */
uint32_t vl_codes_find(const struct vl_codes *codes, uint64_t id);

/*
 * Appends rows for records first <= id < last that are LIVE (any collection that is live). Derives the
 * quantiser anew where that is due, and then drops the rows of records that are not live any more:
 * *renumbered (capacity of the old count needed, or NULL) tells where old rows went: VL_ROW_GONE or the new
 * number; *settled says that this happened. OK, or NO_MEMORY / FULL with codes untouched.
 */
#define VL_ROW_GONE UINT32_MAX
valori_code vl_codes_append(struct vl_codes *codes, const struct vl_state *state, uint64_t first, uint64_t last,
			    uint32_t *renumbered, bool *settled, valori_error *error);

/*
 * A query (dim raw little-endian components that satisfy the acceptance rule) to its code (stride bytes,
 * aligned to 64); its residual, rounded up.
 */
uint64_t vl_codes_query(const struct vl_codes *codes, const uint8_t *query, uint8_t *out);

/*
 * The certified scan: like vl_brute_search over the records of rows first <= row < last, and with the same
 * hits, bit for bit; but only what the bound cannot exclude is compared exactly. *compared (or NULL) grows
 * by the number of exact distances.
 */
valori_code vl_codes_search(const struct vl_codes *codes, const struct vl_state *state, const uint8_t *queries,
			    size_t count, size_t k, const struct vl_filter *filter, uint32_t first, uint32_t last,
			    valori_hit *heaps, size_t *hits, uint64_t *compared, valori_error *error);

/*
 * For the kernels. Rows are stride bytes, aligned to 64, stride a multiple of 64 up to 32,768; a distance is
 * the sum of squared differences, below 2^31.
 *
 * code_l2: of two rows.
 * code_l2_rows: query and each of count rows that lie behind each other, into out[count].
 * code_l2_gather: query and rows numbers[i] of base, into out[count]: what a walk through a graph asks for.
 * code_l2_block: each of queries_count queries and count rows behind each other, into
 * out[queries_count][count].
 */
uint32_t vl_code_l2_portable(const uint8_t *a, const uint8_t *b, size_t stride);
void vl_code_l2_rows_portable(const uint8_t *query, const uint8_t *rows, size_t count, size_t stride, uint32_t *out);
void vl_code_l2_gather_portable(const uint8_t *query, const uint8_t *base, const uint32_t *numbers, size_t count,
				size_t stride, uint32_t *out);
void vl_code_l2_block_portable(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			       size_t stride, uint32_t *out);

#endif
