/*
 * code.h - the distance of two codes: strings of bytes, one per component.
 *
 * A code is stride bytes, aligned to 64; stride is a multiple of 64 up to VL_CODE_STRIDE_MAX. A distance is the
 * sum of squared differences: at most 32,768 * 255^2, below 2^31. Codes that belong together lie behind each
 * other. What codes are codes of, codes.h says.
 */
#ifndef VL_CODE_H
#define VL_CODE_H

#include "env.h"

enum {
	VL_CODE_ALIGN = 64,
	VL_CODE_STRIDE_MAX = 32768,
	VL_CODE_AHEAD = 2048 /* bytes of the rows to come that code_l2_gather asks the memory for */
};

/*
 * For the kernels:
 *
 * code_l2: of two codes.
 *
 * code_l2_rows: query and each of count rows, into out[count].
 *
 * code_l2_gather: query and rows numbers[i] of base, into out[count]: what a walk through a graph asks for. The
 * rows that come next are fetched ahead.
 *
 * code_l2_block: each of queries_count queries and count rows, into out[queries_count][count]. As with
 * q16_l2_block: much less work than one query at a time.
 */
uint32_t vl_code_l2_portable(const uint8_t *a, const uint8_t *b, size_t stride);
void vl_code_l2_rows_portable(const uint8_t *query, const uint8_t *rows, size_t count, size_t stride, uint32_t *out);
void vl_code_l2_gather_portable(const uint8_t *query, const uint8_t *base, const uint32_t *numbers, size_t count,
				size_t stride, uint32_t *out);
void vl_code_l2_block_portable(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			       size_t stride, uint32_t *out);

#endif
