/* q16.c - binary32 to Q16.16 by integers, the acceptance rule, and the portable kernels. */
#include "q16.h"

#include "bytes.h"

const char *vl_q16_fault_text(enum vl_q16_fault fault)
{
	switch (fault) {
	case VL_Q16_OK:
		return "is fine";
	case VL_Q16_NAN:
		return "is not a number";
	case VL_Q16_INFINITE:
		return "is infinite";
	case VL_Q16_RANGE:
		return "is out of range: components lie between -32768 and 32768";
	case VL_Q16_NORM:
		return "makes the norm too large: it must stay below 32768";
	}
	return "";
}

enum vl_q16_fault vl_q16_from_f32(uint32_t bits, int32_t *out)
{
	uint32_t exponent = bits >> 23 & 0xff, fraction = bits & 0x7fffff, negative = bits >> 31;
	uint32_t significand = fraction | 0x800000;
	uint32_t magnitude;

	if (exponent == 0xff)
		return fraction != 0 ? VL_Q16_NAN : VL_Q16_INFINITE;
	/* The value is significand * 2^(exponent - 150), the component significand * 2^(exponent - 134). */
	if (exponent < 134 - 24) /* below a half; zero and the subnormals too */
		magnitude = 0;
	else if (exponent < 134)
		magnitude = (significand + (UINT32_C(1) << (133 - exponent))) >> (134 - exponent);
	else if (exponent < 134 + 8)
		magnitude = significand << (exponent - 134);
	else if (bits == UINT32_C(0xc7000000)) /* -32768, the only one whose magnitude has 32 bits */
		magnitude = UINT32_C(0x80000000);
	else
		return VL_Q16_RANGE;
	*out = (int32_t)(negative ? 0 - magnitude : magnitude);
	return VL_Q16_OK;
}

uint32_t vl_f32_from_f64(uint64_t bits)
{
	uint32_t sign = (uint32_t)(bits >> 32) & 0x80000000;
	uint32_t exponent = (uint32_t)(bits >> 52) & 0x7ff;
	uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
	uint64_t kept;
	unsigned dropped = 29;

	if (exponent == 0x7ff) {
		if (fraction == 0)
			return sign | 0x7f800000;
		return sign | 0x7fc00000 | (uint32_t)(fraction >> 29);
	}
	if (exponent < 1023 - 150) /* below half of the smallest subnormal */
		return sign;
	if (exponent > 1023 + 127)
		return sign | 0x7f800000;
	if (exponent <= 1023 - 127) { /* subnormal */
		fraction |= UINT64_C(1) << 52;
		dropped += 1023 - 126 - exponent;
		exponent = 1023 - 127;
	}
	kept = fraction >> dropped;
	fraction &= (UINT64_C(1) << dropped) - 1;
	kept += fraction > UINT64_C(1) << (dropped - 1) ||
		(fraction == UINT64_C(1) << (dropped - 1) && (kept & 1) != 0);
	/* A carry out of the fraction goes where it belongs: into the exponent, at the top into infinity. */
	return sign | (uint32_t)(((uint64_t)(exponent - (1023 - 127)) << 23) + kept);
}

uint32_t vl_f32_from_f16(uint16_t bits)
{
	uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
	uint32_t exponent = bits >> 10 & 0x1f;
	uint32_t fraction = bits & 0x3ff;

	if (exponent == 0x1f)
		return sign | 0x7f800000 | (fraction != 0 ? 0x400000 : 0) | fraction << 13;
	if (exponent == 0) {
		if (fraction == 0)
			return sign;
		for (exponent = 1; (fraction & 0x400) == 0; exponent--)
			fraction <<= 1;
		fraction &= 0x3ff;
	}
	return sign | (exponent + 112) << 23 | fraction << 13;
}

static inline uint64_t square(int32_t x)
{
	return (uint64_t)((int64_t)x * x);
}

enum vl_q16_fault vl_q16_accept_f32(const struct vl_kernels *kernels, const uint8_t *source, size_t dim,
				    uint8_t *target, size_t *component)
{
	uint64_t sum = 0;

	if (kernels->q16_from_f32(source, dim, target) < VL_Q16_NORM_MAX)
		return VL_Q16_OK;
	for (size_t i = 0; i < dim; i++) {
		int32_t x;
		enum vl_q16_fault fault = vl_q16_from_f32(vl_get32(source + 4 * i), &x);

		*component = i;
		if (fault != VL_Q16_OK)
			return fault;
		sum += square(x);
		if (sum >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM;
	}
	return VL_Q16_OK; /* not reached: the kernel found a fault */
}

enum vl_q16_fault vl_q16_accept(const struct vl_kernels *kernels, const uint8_t *vector, size_t dim, size_t *component)
{
	uint64_t sum = 0;

	if (kernels->q16_norm(vector, dim) < VL_Q16_NORM_MAX)
		return VL_Q16_OK;
	for (size_t i = 0; i < dim; i++) {
		*component = i;
		sum += square((int32_t)vl_get32(vector + 4 * i));
		if (sum >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM;
	}
	return VL_Q16_OK; /* not reached, as above */
}

uint64_t vl_q16_from_f32_portable(const uint8_t *source, size_t dim, uint8_t *target)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < dim; i++) {
		int32_t x = 0;

		if (vl_q16_from_f32(vl_get32(source + 4 * i), &x) != VL_Q16_OK)
			return VL_Q16_NORM_MAX;
		vl_put32(target + 4 * i, (uint32_t)x);
		sum += square(x); /* below 2^62 + 2^62 */
		if (sum >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM_MAX;
	}
	return sum;
}

uint64_t vl_q16_norm_portable(const uint8_t *vector, size_t dim)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < dim; i++) {
		sum += square((int32_t)vl_get32(vector + 4 * i));
		if (sum >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM_MAX;
	}
	return sum;
}

uint64_t vl_q16_l2_portable(const uint8_t *a, const uint8_t *b, size_t dim)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < dim; i++) {
		int64_t difference = (int64_t)(int32_t)vl_get32(a + 4 * i) - (int32_t)vl_get32(b + 4 * i);

		sum += (uint64_t)difference * (uint64_t)difference;
	}
	return sum;
}

void vl_q16_l2_rows_portable(const uint8_t *query, const uint8_t *rows, size_t count, size_t dim, uint64_t *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = vl_q16_l2_portable(query, rows + i * dim * 4, dim);
}

void vl_q16_l2_block_portable(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			      size_t dim, uint64_t *out)
{
	for (size_t q = 0; q < queries_count; q++)
		vl_q16_l2_rows_portable(queries + q * dim * 4, rows, count, dim, out + q * count);
}
