/*
 * kernels_code.h - the kernels of code.h over vectors of any width: a template, included by each kernels_ISA.c.
 *
 * The file that includes it defines C_BYTES, how many of them a vector has (64 is a multiple of it), the types
 * c_bytes and c_sums (uint32_t), and
 *      c_load(p)       C_BYTES bytes, aligned
 *      c_sum(x)        the sum of the lanes
 *      c_sum4(x, out)  the sums of the lanes of four vectors, into out[4]
 * and, anew for each inclusion,
 *      C_NAME(x)       the names of its functions
 *      C_TARGET        an attribute of them all, or nothing
 *      C_NAME(add)(sums, x, y) adds the squares of the differences, each to some lane of sums
 */
#ifdef C_BYTES

/* The sums of a row, in lanes. */
C_TARGET VL_INLINE c_sums C_NAME(row)(const uint8_t *query, const uint8_t *row, size_t stride)
{
	c_sums first = {0}, second = {0};
	size_t i = 0;

	for (; i + 2 * C_BYTES <= stride; i += 2 * C_BYTES) {
		first = C_NAME(add)(first, c_load(query + i), c_load(row + i));
		second = C_NAME(add)(second, c_load(query + i + C_BYTES), c_load(row + i + C_BYTES));
	}
	if (i < stride)
		first = C_NAME(add)(first, c_load(query + i), c_load(row + i));
	return first + second;
}

C_TARGET static uint32_t C_NAME(code_l2)(const uint8_t *a, const uint8_t *b, size_t stride)
{
	return c_sum(C_NAME(row)(a, b, stride));
}

/* Four rows share the additions across lanes. One is read after the other, as memory likes it. */
C_TARGET VL_INLINE void C_NAME(four)(const uint8_t *query, const uint8_t *const rows[4], size_t stride, uint32_t out[4])
{
	c_sums sums[4];

	VL_UNROLL
	for (unsigned r = 0; r < 4; r++)
		sums[r] = C_NAME(row)(query, rows[r], stride);
	c_sum4(sums, out);
}

C_TARGET static void C_NAME(code_l2_rows)(const uint8_t *query, const uint8_t *rows, size_t count, size_t stride,
					  uint32_t *out)
{
	for (; count >= 4; count -= 4, rows += 4 * stride, out += 4) {
		const uint8_t *const group[4] = {rows, rows + stride, rows + 2 * stride, rows + 3 * stride};

		C_NAME(four)(query, group, stride, out);
	}
	for (; count > 0; count--, rows += stride)
		*out++ = C_NAME(code_l2)(query, rows, stride);
}

C_TARGET VL_INLINE void C_NAME(fetch)(const uint8_t *row, size_t stride)
{
	for (size_t i = 0; i < stride && i < VL_CODE_AHEAD; i += 64)
		__builtin_prefetch(row + i);
}

C_TARGET static void C_NAME(code_l2_gather)(const uint8_t *query, const uint8_t *base, const uint32_t *numbers,
					    size_t count, size_t stride, uint32_t *out)
{
	size_t ahead = VL_CODE_AHEAD / stride > 2 ? VL_CODE_AHEAD / stride : 2, i = 0;

	for (size_t j = 0; j < ahead && j < count; j++)
		C_NAME(fetch)(base + (size_t)numbers[j] * stride, stride);
	for (; i + 4 <= count; i += 4) {
		const uint8_t *group[4];

		for (unsigned r = 0; r < 4; r++) {
			group[r] = base + (size_t)numbers[i + r] * stride;
			if (i + r + ahead < count)
				C_NAME(fetch)(base + (size_t)numbers[i + r + ahead] * stride, stride);
		}
		C_NAME(four)(query, group, stride, out + i);
	}
	for (; i < count; i++)
		out[i] = C_NAME(code_l2)(query, base + (size_t)numbers[i] * stride, stride);
}

/* The rows of a group of four stay in the nearest cache while the queries come by. */
C_TARGET static void C_NAME(code_l2_block)(const uint8_t *queries, size_t queries_count, const uint8_t *rows,
					   size_t count, size_t stride, uint32_t *out)
{
	for (size_t i = 0; i < count; i += 4)
		for (size_t q = 0; q < queries_count; q++)
			C_NAME(code_l2_rows)
			(queries + q * stride, rows + i * stride, count - i < 4 ? count - i : 4, stride,
			 out + q * count + i);
}

#undef C_NAME
#undef C_TARGET
#endif
