/* code.c - the distance of two codes, portable. */
#include "code.h"

uint32_t vl_code_l2_portable(const uint8_t *a, const uint8_t *b, size_t stride)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < stride; i++) {
		int difference = a[i] - b[i];

		sum += (uint32_t)(difference * difference);
	}
	return sum;
}

void vl_code_l2_rows_portable(const uint8_t *query, const uint8_t *rows, size_t count, size_t stride, uint32_t *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = vl_code_l2_portable(query, rows + i * stride, stride);
}

void vl_code_l2_gather_portable(const uint8_t *query, const uint8_t *base, const uint32_t *numbers, size_t count,
				size_t stride, uint32_t *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = vl_code_l2_portable(query, base + (size_t)numbers[i] * stride, stride);
}

void vl_code_l2_block_portable(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			       size_t stride, uint32_t *out)
{
	for (size_t q = 0; q < queries_count; q++)
		vl_code_l2_rows_portable(queries + q * stride, rows, count, stride, out + q * count);
}
