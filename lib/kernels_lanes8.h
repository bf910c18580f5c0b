/* kernels_lanes8.h - eight lanes in 256-bit vectors: words8 and ROTATE8 are what AVX2 and AVX-512 do differently. */
#ifdef ROTATE8

VL_INLINE void transpose8(words8 v[8])
{
	__m256i a[8], b[8];

	VL_UNROLL
	for (unsigned i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_epi32((__m256i)v[i], (__m256i)v[i + 1]);
		a[i + 1] = _mm256_unpackhi_epi32((__m256i)v[i], (__m256i)v[i + 1]);
	}
	VL_UNROLL
	for (unsigned i = 0; i < 8; i += 4) {
		b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	VL_UNROLL
	for (unsigned i = 0; i < 4; i++) {
		v[i] = (words8)_mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
		v[i + 4] = (words8)_mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
	}
}

VL_INLINE void lanes8_load(words8 m[16], const uint8_t *const *inputs, size_t offset)
{
	VL_UNROLL
	for (unsigned i = 0; i < 8; i++) {
		m[i] = (words8)_mm256_loadu_si256((const __m256i *)(inputs[i] + offset));
		m[i + 8] = (words8)_mm256_loadu_si256((const __m256i *)(inputs[i] + offset + 32));
	}
	transpose8(m);
	transpose8(m + 8);
}

VL_INLINE void lanes8_store(const words8 cv[8], uint8_t *out)
{
	words8 rows[8];

	VL_UNROLL
	for (unsigned i = 0; i < 8; i++)
		rows[i] = cv[i];
	transpose8(rows);
	VL_UNROLL
	for (unsigned i = 0; i < 8; i++)
		_mm256_storeu_si256((__m256i *)(out + 32 * i), (__m256i)rows[i]);
}

#define LANES 8
#define NAME(x) lanes8_##x
#define WORDS words8
#define ROTATE(x, n) ROTATE8(x, n)
#define SPREAD(x) ((words8)_mm256_set1_epi32((int)(x)))
#include "kernels_lanes.h"
#endif
