/* f32.c - the scan of floats that others are measured by. */
#include "f32.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpu.h"

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float scan_avx512(const float *rows, size_t count, size_t dim,
							    const float *query)
{
	float best = INFINITY;

	for (size_t r = 0; r < count; r++) {
		const float *row = rows + r * dim;
		__m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
		float distance;
		size_t i = 0;

		for (; i + 64 <= dim; i += 64)
			_Pragma("GCC unroll 4") for (size_t k = 0; k < 4; k++)
			{
				__m512 d = _mm512_sub_ps(_mm512_loadu_ps(query + i + 16 * k),
							 _mm512_loadu_ps(row + i + 16 * k));

				sum[k] = _mm512_fmadd_ps(d, d, sum[k]);
			}
		for (; i < dim; i += 16) {
			__mmask16 mask = dim - i < 16 ? (__mmask16)((1u << (dim - i)) - 1) : (__mmask16)0xffff;
			__m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, query + i),
						 _mm512_maskz_loadu_ps(mask, row + i));

			sum[0] = _mm512_fmadd_ps(d, d, sum[0]);
		}
		distance = _mm512_reduce_add_ps(
			_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
		best = distance < best ? distance : best;
	}
	return best;
}
#endif

typedef float lanes __attribute__((vector_size(32)));

#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
static float
scan_lanes(const float *rows, size_t count, size_t dim, const float *query)
{
	float best = INFINITY;

	for (size_t r = 0; r < count; r++) {
		const float *row = rows + r * dim;
		lanes sum[4] = {{0}, {0}, {0}, {0}};
		float distance = 0;
		size_t i = 0;

		for (; i + 32 <= dim; i += 32)
			_Pragma("GCC unroll 4") for (size_t k = 0; k < 4; k++)
			{
				lanes x, y;

				memcpy(&x, query + i + 8 * k, sizeof(x));
				memcpy(&y, row + i + 8 * k, sizeof(y));
				sum[k] += (x - y) * (x - y);
			}
		for (; i < dim; i++)
			distance += (query[i] - row[i]) * (query[i] - row[i]);
		sum[0] += sum[1] + sum[2] + sum[3];
		for (unsigned k = 0; k < 8; k++)
			distance += sum[0][k];
		best = distance < best ? distance : best;
	}
	return best;
}

float f32_scan(const float *rows, size_t count, size_t dim, const float *query)
{
#if defined(__x86_64__)
	if (strcmp(vl_cpu_kernels(NULL)->name, "avx512") == 0)
		return scan_avx512(rows, count, dim, query);
#endif
	return scan_lanes(rows, count, dim, query);
}
