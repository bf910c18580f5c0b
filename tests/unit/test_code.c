/* test_code.c - distances of codes: every kernel set against the plainest sum. */
#include "check.h"
#include "code.h"
#include "cpu.h"
#include "kernels.h"

enum { ROWS = 71, QUERIES = 35 };

static uint8_t *rows, *queries;
static uint32_t is[QUERIES * ROWS], should_be[QUERIES * ROWS];

static uint32_t plainly(const uint8_t *a, const uint8_t *b, size_t stride)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < stride; i++)
		sum += (uint32_t)((a[i] - b[i]) * (a[i] - b[i]));
	return sum;
}

/* The extremes, what makes halves of words differ, and anything. */
static void make_codes(uint8_t *codes, size_t count, size_t stride, uint64_t *seed)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < stride; j++) {
			uint64_t r = check_random(seed);
			uint8_t *out = &codes[i * stride + j];

			switch (i % 7) {
			case 0: *out = 0; break;
			case 1: *out = 255; break;
			case 2: *out = j % 2 ? 255 : 0; break;
			case 3: *out = r % 2 ? 255 : 0; break;
			case 4: *out = (uint8_t)(127 + r % 3); break;
			case 5: *out = (uint8_t)(j * 3 + j / 64); break;
			default: *out = (uint8_t)r; break;
			}
		}
}

static unsigned differences(size_t count)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < count; i++)
		wrong += is[i] != should_be[i];
	return wrong;
}

static unsigned compare(const struct vl_kernels *kernels, size_t stride, uint64_t *seed)
{
	static const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, ROWS};
	static const size_t queries_counts[] = {0, 1, 2, 3, 4, 7, 8, 9, 32, QUERIES};
	unsigned wrong = 0;

	make_codes(rows, ROWS, stride, seed);
	make_codes(queries, QUERIES, stride, seed);
	for (size_t q = 0; q < QUERIES; q++)
		wrong += kernels->code_l2(queries + q * stride, rows + q * stride, stride) !=
			 plainly(queries + q * stride, rows + q * stride, stride);
	for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
		size_t count = counts[c];
		uint32_t numbers[ROWS];

		for (size_t i = 0; i < count; i++)
			should_be[i] = plainly(queries, rows + i * stride, stride);
		memset(is, 0xa5, sizeof(is));
		kernels->code_l2_rows(queries, rows, count, stride, is);
		wrong += differences(count) + (is[count] != 0xa5a5a5a5);
		for (size_t i = 0; i < count; i++) {
			numbers[i] = (uint32_t)(check_random(seed) % ROWS);
			should_be[i] = plainly(queries + stride, rows + numbers[i] * stride, stride);
		}
		memset(is, 0xa5, sizeof(is));
		kernels->code_l2_gather(queries + stride, rows, numbers, count, stride, is);
		wrong += differences(count) + (is[count] != 0xa5a5a5a5);
		if (stride > 4096 && count != 17)
			continue;
		for (size_t p = 0; p < sizeof(queries_counts) / sizeof(*queries_counts); p++) {
			size_t some = queries_counts[p];

			for (size_t q = 0; q < some; q++)
				for (size_t i = 0; i < count; i++)
					should_be[q * count + i] =
						plainly(queries + q * stride, rows + i * stride, stride);
			memset(is, 0xa5, sizeof(is));
			kernels->code_l2_block(queries, some, rows, count, stride, is);
			wrong += differences(some * count);
			if (some * count < QUERIES * ROWS)
				wrong += is[some * count] != 0xa5a5a5a5;
		}
	}
	return wrong;
}

static void test_set(const struct vl_kernels *kernels, const char *variant)
{
	static const size_t strides[] = {64, 128, 192, 448, 512, 576, 768, 1088, 4096};
	uint64_t seed = 1;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(strides) / sizeof(*strides); i++)
		wrong += compare(kernels, strides[i], &seed);
	check(wrong == 0, "%s%s: the distances of the plain sum", kernels->name, variant);
	check(compare(kernels, VL_CODE_STRIDE_MAX, &seed) == 0,
	      "%s%s: and of the longest codes, which reach 2^31 nearly", kernels->name, variant);
}

int main(void)
{
	const struct vl_kernels *kernels;

	rows = aligned_alloc(64, (size_t)ROWS * VL_CODE_STRIDE_MAX);
	queries = aligned_alloc(64, (size_t)QUERIES * VL_CODE_STRIDE_MAX);
	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++) {
		test_set(kernels, "");
#if defined(__x86_64__)
		/* What a processor with AVX-512 has without the dot products. */
		if (kernels == &vl_kernels_avx512[2] || kernels == &vl_kernels_avx512[3])
			test_set(&vl_kernels_avx512[0], " without VNNI");
#endif
	}
	free(rows);
	free(queries);
	return check_done();
}
