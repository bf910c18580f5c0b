/* test_q16.c - conversion, acceptance and distance, against oracles that may use what the library may not. */
#include <math.h>

#include "bytes.h"
#include "check.h"
#include "cpu.h"
#include "q16.h"

enum { DIM = 130, ROWS = 9 };

static uint32_t f32_bits(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, 4);
	return bits;
}

static float f32_value(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, 4);
	return x;
}

/* x * 65536 + 1/2 is exact in a double for every float that can be in range: at most 24 + 17 bits matter. */
static enum vl_q16_fault oracle(uint32_t bits, int32_t *out)
{
	double x = (double)f32_value(bits) * 65536;
	double rounded = x < 0 ? ceil(x - 0.5) : floor(x + 0.5);

	if (isnan(x))
		return VL_Q16_NAN;
	if (isinf(x))
		return VL_Q16_INFINITE;
	/* Far below a half the addition itself would round, never up to 1: floor(0.5 + tiny) is 0 then too. */
	if (rounded < -2147483648.0 || rounded > 2147483647.0)
		return VL_Q16_RANGE;
	*out = (int32_t)rounded;
	return VL_Q16_OK;
}

static bool converts(uint32_t bits)
{
	int32_t is = 0x5a5a5a5a, should_be = 0x5a5a5a5a;
	enum vl_q16_fault fault = oracle(bits, &should_be);

	return vl_q16_from_f32(bits, &is) == fault && is == should_be;
}

static void test_conversion(void)
{
	unsigned wrong = 0;
	uint64_t seed = 1;

	for (uint32_t exponent = 0; exponent < 512; exponent++)
		for (uint32_t i = 0; i < 24; i++)
			for (uint32_t j = 0; j < 3; j++) {
				wrong += !converts((exponent << 23) + (UINT32_C(1) << i) + j - 1);
				wrong += !converts((exponent << 23) - (UINT32_C(1) << i) + j - 1);
			}
	check(wrong == 0, "every exponent and the patterns around its powers of two convert exactly");
	wrong = 0;
	for (unsigned i = 0; i < 1000000; i++)
		wrong += !converts((uint32_t)check_random(&seed));
	for (unsigned i = 0; i < 1000000; i++) /* near to one unit and to the range's end */
		wrong += !converts((uint32_t)check_random(&seed) % 0x20000000 + 0x30000000);
	for (int32_t i = -70000; i < 70000; i++) /* and halves of units */
		for (int32_t j = -2; j <= 2; j++)
			wrong += !converts(f32_bits((float)i / 131072) + (uint32_t)j);
	check(wrong == 0, "random patterns and halves of units convert exactly, halves away from zero");
	if (!check_long()) {
		check_skip("all 2^32 patterns convert exactly", "only with VALORI_LONG=1");
		return;
	}
	wrong = 0;
	for (uint64_t bits = 0; bits <= UINT32_MAX; bits++)
		wrong += !converts((uint32_t)bits);
	check(wrong == 0, "all 2^32 patterns convert exactly");
}

static bool same_f32(uint32_t a, uint32_t b)
{
	bool a_nan = (a & 0x7fffffff) > 0x7f800000, b_nan = (b & 0x7fffffff) > 0x7f800000;

	return a_nan || b_nan ? a_nan && b_nan : a == b;
}

/* The definition of binary16, in a double. */
static uint32_t f16_oracle(uint16_t bits)
{
	double x = bits & 0x3ff;
	unsigned exponent = bits >> 10 & 0x1f;

	if (exponent == 0x1f)
		x = x == 0 ? INFINITY : NAN;
	else
		x = exponent == 0 ? ldexp(x, -24) : ldexp(x + 1024, (int)exponent - 25);
	return f32_bits((float)(bits & 0x8000 ? -x : x));
}

static bool narrows(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, 8);
	return same_f32(vl_f32_from_f64(bits), f32_bits((float)x));
}

static void test_other_floats(void)
{
	unsigned wrong = 0;
	uint64_t seed = 2;

	for (uint32_t bits = 0; bits <= UINT16_MAX; bits++)
		wrong += !same_f32(vl_f32_from_f16((uint16_t)bits), f16_oracle((uint16_t)bits));
	check(wrong == 0, "every binary16 becomes its binary32");
	wrong = 0;
	for (uint64_t exponent = 0; exponent < 4096; exponent++)
		for (unsigned i = 0; i < 52; i++)
			for (unsigned j = 0; j < 3; j++) {
				wrong += !narrows((exponent << 52) + (UINT64_C(1) << i) + j - 1);
				wrong += !narrows((exponent << 52) - (UINT64_C(1) << i) + j - 1);
				wrong += !narrows((exponent << 52) + (UINT64_C(3) << i) + j - 1);
			}
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t random = check_random(&seed);

		wrong += !narrows(random);
		/* binary32's range, and ties: few bits behind the 24th */
		wrong += !narrows((random & UINT64_C(0x8fffffffffffffff)) % (UINT64_C(300) << 52) +
				  (UINT64_C(870) << 52));
		wrong += !narrows((random << 26) % (UINT64_C(300) << 52) + (UINT64_C(870) << 52));
	}
	check(wrong == 0, "binary64 becomes the nearest binary32, ties to even");
}

static void test_faults(const struct vl_kernels *kernels)
{
	static const struct {
		float at_3, at_6;
		enum vl_q16_fault fault;
		size_t component;
	} cases[] = {
		{1, 2, VL_Q16_OK, 0},
		{NAN, INFINITY, VL_Q16_NAN, 3},
		{1, -INFINITY, VL_Q16_INFINITE, 6},
		{32768, NAN, VL_Q16_RANGE, 3},
		{-32769, 0, VL_Q16_RANGE, 3},
		{-32768, 0, VL_Q16_NORM, 3},
		{32767.998f, 0, VL_Q16_OK, 0},
		{32767.998f, 11, VL_Q16_OK, 0},
		{32767.998f, 12, VL_Q16_NORM, 6},
		{23170.477f, -23170.474f, VL_Q16_NORM, 6},
		{23170.474f, -23170.474f, VL_Q16_OK, 0},
		{1, 32768, VL_Q16_RANGE, 6},
		{-1e30f, 1, VL_Q16_RANGE, 3},
	};
	unsigned wrong = 0, raw = 0;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t dim = 7; dim < 100; dim += 13) {
			uint8_t source[400] = {0}, target[400];
			enum vl_q16_fault fault;
			size_t component = 0;

			vl_put32(source + 12, f32_bits(cases[i].at_3));
			vl_put32(source + 24, f32_bits(cases[i].at_6));
			fault = vl_q16_accept_f32(kernels, source, dim, target, &component);
			wrong += fault != cases[i].fault || component != cases[i].component;
			if (fault != VL_Q16_OK && fault != VL_Q16_NORM)
				continue;
			for (size_t c = 0; c < dim; c++) {
				int32_t x = 0;

				vl_q16_from_f32(vl_get32(source + 4 * c), &x);
				vl_put32(target + 4 * c, (uint32_t)x);
			}
			component = 0;
			fault = vl_q16_accept(kernels, target, dim, &component);
			raw += fault != cases[i].fault || component != cases[i].component;
		}
	check(wrong == 0, "%s: a fault is named with its component", kernels->name);
	check(raw == 0, "%s: components that come as Q16.16 obey the same rule", kernels->name);
}

/* The sum of squares, or the limit if it reaches that: in two halves, so that no partial sum is ever too large. */
static uint64_t norm_oracle(const int32_t *x, size_t dim)
{
	uint64_t high = 0, low = 0;

	for (size_t i = 0; i < dim; i++) {
		uint64_t square = (uint64_t)((int64_t)x[i] * x[i]);

		high += square >> 32;
		low += square & UINT32_MAX;
	}
	high += low >> 32;
	return high < VL_Q16_NORM_MAX >> 32 ? high << 32 | (low & UINT32_MAX) : VL_Q16_NORM_MAX;
}

/* One component of a kind of row: from tiny to the largest that the rule can bear, and beyond. */
static int32_t component(unsigned kind, size_t dim, size_t i, uint64_t *seed)
{
	int32_t random = (int32_t)check_random(seed);
	/* dim of these have a sum of squares just below 2^62, in which no partial sum is small. */
	double largest = sqrt(ldexp(1, 62) / (double)dim) - 1;
	int32_t limit = largest < INT32_MAX ? (int32_t)largest : INT32_MAX;

	switch (kind) {
	case 0:
		return random >> 12;
	case 1:
		return random / (int32_t)sqrt((double)dim);
	case 2:
		return i % 2 ? limit : -limit;
	case 3:
		return i % 2 ? -limit : limit;
	case 4:
		return i == dim / 2 ? INT32_MAX : 0;
	case 5:
		return i == dim - 1 ? -INT32_MAX : 0;
	case 6:
		return random;
	case 7:
		return i % 2 ? INT32_MIN : INT32_MAX;
	case 8:
		return INT32_MIN;
	case 9:
		return (int32_t)((uint32_t)limit + 1 + (i == 0));
	case 10:
		return random >> 4;
	case 11: /* four squares make 2^64: a sum of every second one wraps to nothing */
		return i % 2 ? INT32_MIN : 0;
	case 12:
		return i % 2 ? 0 : INT32_MIN;
	}
	return (int32_t)(i << 16); /* as data sets with whole numbers have them */
}

enum { KINDS = 14 };

static void test_kernel_dim(const struct vl_kernels *kernels, size_t dim, unsigned wrong[5])
{
	static int32_t x[VL_DIM_MAX], y[VL_DIM_MAX];
	static uint8_t a[VL_DIM_MAX * 4 + 8], b[VL_DIM_MAX * 4 + 8], out[VL_DIM_MAX * 4 + 16],
		twin[VL_DIM_MAX * 4 + 16];
	unsigned step = dim > 200 ? 5 : 1;
	uint64_t seed = dim;

	for (unsigned kind = 0; kind < KINDS; kind++)
		for (unsigned other = 0; other < KINDS; other += step) {
			size_t shift = dim % 5;
			uint64_t sum = 0, difference, is, should_be;

			for (size_t i = 0; i < dim; i++) {
				x[i] = component(kind, dim, i, &seed);
				y[i] = component(other, dim, i, &seed);
				vl_put32(a + shift + 4 * i, (uint32_t)x[i]);
				vl_put32(b + 1 + 4 * i, (uint32_t)y[i]);
				difference = (uint64_t)x[i] - (uint64_t)y[i];
				sum += difference * difference;
			}
			wrong[0] += kernels->q16_l2(a + shift, b + 1, dim) != sum;
			wrong[1] += kernels->q16_norm(a + shift, dim) != norm_oracle(x, dim);

			/* The same row as binary32; those of kind 6 become every pattern there is. */
			for (size_t i = 0; i < dim; i++)
				vl_put32(b + 1 + 4 * i,
					 kind == 6 && i % 64 == 17 ? (uint32_t)x[i] : f32_bits((float)x[i] / 65536));
			memset(out, 0xee, sizeof(out));
			is = kernels->q16_from_f32(b + 1, dim, out + shift);
			should_be = vl_q16_from_f32_portable(b + 1, dim, twin + shift);
			wrong[2] += is != should_be;
			if (is < VL_Q16_NORM_MAX)
				wrong[2] += memcmp(out + shift, twin + shift, dim * 4) != 0;
			for (size_t i = 0; i < 8; i++)
				wrong[3] += out[shift + dim * 4 + i] != 0xee || (i < shift && out[i] != 0xee);
		}
}

static void test_kernels(const struct vl_kernels *kernels)
{
	static const size_t large[] = {255, 256, 384, 768, 1000, 1536, 4097, VL_DIM_MAX - 1, VL_DIM_MAX};
	unsigned wrong[5] = {0};

	for (size_t dim = 1; dim <= DIM; dim++)
		test_kernel_dim(kernels, dim, wrong);
	for (unsigned i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		test_kernel_dim(kernels, large[i], wrong);
	check(wrong[0] == 0, "%s: squared distances are exact on extremes, in every dimension", kernels->name);
	check(wrong[1] == 0, "%s: sums of squares are exact, and none above the limit gets through", kernels->name);
	check(wrong[2] == 0, "%s: rows of binary32 convert like the portable twin's", kernels->name);
	check(wrong[3] == 0, "%s: no byte beside the row is written", kernels->name);
}

/* Each single pattern in each lane: one strange component among ordinary ones is found wherever it stands. */
static void test_lanes(const struct vl_kernels *kernels)
{
	static const uint32_t patterns[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff, 0x47000000,
					    0xc7000000, 0x46ffffff, 0xc6ffffff, 0xc7000001, 0x47800000, 0x4f000000,
					    0x00000001, 0x80000000, 0x37000000, 0x36ffffff, 0xb7000000, 0x37800000,
					    0x37ffffff, 0x37bfffff, 0x37c00000, 0x3f800000, 0x43000001, 0x42ffffff,
					    0x007fffff, 0x7f7fffff, 0x46000001, 0x47000001, 0x457fffff, 0x43800000,
					    0x437fffff, 0x437f8000, 0x437f7fff, 0x437f4000, 0x437fc000, 0x38000001};
	unsigned wrong = 0;
	uint8_t source[4 * 67], out[4 * 67], twin[4 * 67];

	for (size_t dim = 1; dim <= 67; dim += 11)
		for (size_t at = 0; at < dim; at++)
			for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
				uint64_t is, should_be;

				for (size_t i = 0; i < dim; i++)
					vl_put32(source + 4 * i, f32_bits((float)i / 7));
				vl_put32(source + 4 * at, patterns[p]);
				is = kernels->q16_from_f32(source, dim, out);
				should_be = vl_q16_from_f32_portable(source, dim, twin);
				wrong += is != should_be || (is < VL_Q16_NORM_MAX && memcmp(out, twin, 4 * dim) != 0);
			}
	check(wrong == 0, "%s: a strange component is treated alike in every lane", kernels->name);
}

/* Every pattern that a kernel may accept: 64 in a row while 64 of them can be, then each alone. */
static void test_all(const struct vl_kernels *kernels)
{
	const uint32_t together = 0x45800000; /* 4096: 64 squares of 2^28 */
	uint8_t source[256], out[256], twin[256];
	unsigned wrong = 0;

	if (!check_long()) {
		check_skip("rows of all patterns convert like the portable twin's", "only with VALORI_LONG=1");
		return;
	}
	for (uint32_t signs = 0; signs <= 1; signs++)
		for (uint32_t bits = 0, step; bits < 0x47000010; bits += step) {
			uint64_t is, should_be;

			step = bits < together ? 64 : 1;
			for (uint32_t i = 0; i < step; i++)
				vl_put32(source + 4 * i, signs << 31 | (bits + i));
			is = kernels->q16_from_f32(source, step, out);
			should_be = vl_q16_from_f32_portable(source, step, twin);
			wrong += is != should_be || (is < VL_Q16_NORM_MAX && memcmp(out, twin, 4 * step) != 0) ||
				 (step == 64 && is == VL_Q16_NORM_MAX);
		}
	check(wrong == 0, "%s: rows of all patterns convert like the portable twin's", kernels->name);
}

/* The largest sum of squares is 2^62 - 1, wherever its four parts stand; one unit more is too much. */
static void test_limit(const struct vl_kernels *kernels)
{
	static const int32_t parts[4] = {INT32_MAX, 65535, 362, 5};
	static uint8_t row[VL_DIM_MAX * 4];
	unsigned wrong = 0;

	for (size_t dim = 5; dim <= VL_DIM_MAX; dim = dim < DIM ? dim + 1 : dim == DIM ? VL_DIM_MAX : dim + 1)
		for (size_t at = 0; at < dim; at += dim <= DIM ? 1 : 1021) {
			memset(row, 0, dim * 4);
			for (size_t i = 0; i < 4; i++)
				vl_put32(row + (at + i * (dim / 4)) % dim * 4,
					 (uint32_t)(i % 2 == at % 2 ? parts[i] : -parts[i]));
			wrong += kernels->q16_norm(row, dim) != VL_Q16_NORM_MAX - 1;
			for (size_t i = 0; i < dim; i++)
				if (vl_get32(row + i * 4) == 0) {
					vl_put32(row + i * 4, i % 2 ? 1 : UINT32_MAX);
					break;
				}
			wrong += kernels->q16_norm(row, dim) < VL_Q16_NORM_MAX;
		}
	check(wrong == 0, "%s: the limit of the norm is met exactly", kernels->name);
}

static void test_rows(const struct vl_kernels *kernels)
{
	static uint8_t rows[ROWS * DIM * 4 + 8], query[DIM * 4 + 8];
	unsigned wrong = 0;
	uint64_t seed = 4;

	for (size_t i = 0; i < sizeof(rows); i++)
		rows[i] = (uint8_t)check_random(&seed);
	for (size_t i = 0; i < sizeof(query); i++)
		query[i] = (uint8_t)check_random(&seed);
	for (size_t dim = 1; dim <= DIM; dim++)
		for (size_t count = 0; count <= ROWS; count++) {
			uint64_t out[ROWS + 1];

			for (size_t i = 0; i <= count && i <= ROWS; i++)
				out[i] = 0xee;
			kernels->q16_l2_rows(query + dim % 4, rows + dim % 3, count, dim, out);
			for (size_t i = 0; i < count; i++)
				wrong += out[i] !=
					 vl_q16_l2_portable(query + dim % 4, rows + dim % 3 + i * dim * 4, dim);
			wrong += out[count] != 0xee;
		}
	check(wrong == 0, "%s: distances to rows are the distances to each", kernels->name);
	wrong = 0;
	for (size_t dim = 1; dim <= DIM; dim++)
		for (size_t queries = 0; queries <= 67; queries += queries < 5 || queries > 63 ? 1 : 29)
			for (size_t count = 0; count <= ROWS; count++) {
				static uint8_t many[67 * DIM * 4];
				uint64_t out[67 * ROWS + 1];

				for (size_t i = 0; i < queries * dim; i++)
					vl_put32(many + 4 * i, i % 7 == 0   ? 0x80000000
							       : i % 7 == 1 ? 0x7fffffff
									    : (uint32_t)check_random(&seed));
				out[queries * count] = 0xee;
				kernels->q16_l2_block(many, queries, rows + dim % 3, count, dim, out);
				for (size_t i = 0; i<queries * count; i += count> 0 ? 1 + dim % 5 : 1)
					wrong +=
						out[i] != vl_q16_l2_portable(many + i / count * dim * 4,
									     rows + dim % 3 + i % count * dim * 4, dim);
				wrong += out[queries * count] != 0xee;
			}
	check(wrong == 0, "%s: distances of many queries are those of each", kernels->name);
}

int main(void)
{
	const struct vl_kernels *kernels;
	int32_t half = 0, minus_half = 0;

	check(vl_q16_from_f32(f32_bits(1.5f / 65536), &half) == VL_Q16_OK && half == 2 &&
		      vl_q16_from_f32(f32_bits(-1.5f / 65536), &minus_half) == VL_Q16_OK && minus_half == -2,
	      "halves are rounded away from zero");
	test_conversion();
	test_other_floats();
	for (enum vl_q16_fault fault = VL_Q16_OK; fault <= VL_Q16_NORM; fault++)
		check(vl_q16_fault_text(fault)[0] != '\0', "fault %d has words", (int)fault);
	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++) {
		test_faults(kernels);
		test_kernels(kernels);
		test_lanes(kernels);
		test_limit(kernels);
		test_rows(kernels);
		test_all(kernels);
	}
	return check_done();
}
