/*
 * kernels_x86.h - what the x86 kernels have in common: four lanes, one compression, and moving words about.
 *
 * Everything is static: each file that includes this compiles it for its own instruction set. AVX-512 has a rotation
 * and a shuffle of two vectors, the others put theirs together.
 */
#ifndef VL_KERNELS_X86_H
#define VL_KERNELS_X86_H

#if defined(__SSE4_2__)
#include <immintrin.h>

#include "kernels.h"

typedef uint32_t words4 __attribute__((vector_size(16)));

#ifdef __AVX512VL__
#define ROTATE4(x, n) ((words4)_mm_ror_epi32((__m128i)(x), n))
#else
/*
 * Rotations by whole bytes are one shuffle. Its table stays in memory, by force: the compiler would keep it in a
 * register, and sixteen registers are just what the state needs.
 */
static const uint8_t rotation_16[32] __attribute__((aligned(32))) = {
	2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13};
static const uint8_t rotation_8[32] __attribute__((aligned(32))) = {
	1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12};

static inline words4 shuffle_bytes4(words4 x, const uint8_t table[32])
{
#ifdef __AVX__
	words4 result;

	__asm__("vpshufb %2, %1, %0" : "=x"(result) : "x"(x), "m"(*(const words4 *)table));
	return result;
#else
	__asm__("pshufb %1, %0" : "+x"(x) : "m"(*(const words4 *)table));
	return x;
#endif
}

#define ROTATE4(x, n)                                \
	((n) == 16  ? shuffle_bytes4(x, rotation_16) \
	 : (n) == 8 ? shuffle_bytes4(x, rotation_8)  \
		    : (x) >> (n) | (x) << (32 - (n)))
#endif

static inline words4 load4(const void *p)
{
	return (words4)_mm_loadu_si128(p);
}

static inline void store4(void *p, words4 x)
{
	_mm_storeu_si128(p, (__m128i)x);
}

#define SHUFFLE4(x, a, b, c, d) ((words4)_mm_shuffle_epi32((__m128i)(x), _MM_SHUFFLE(d, c, b, a)))

/* Words a and b of x, c and d of y. */
#define SELECT4(x, y, a, b, c, d)                                                                                \
	((words4)_mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps((__m128i)(x)), _mm_castsi128_ps((__m128i)(y)), \
						 _MM_SHUFFLE(d, c, b, a))))

/* Rows become columns. */
VL_INLINE void transpose4(words4 *a, words4 *b, words4 *c, words4 *d)
{
	__m128i ab = _mm_unpacklo_epi32((__m128i)*a, (__m128i)*b),
		ab_high = _mm_unpackhi_epi32((__m128i)*a, (__m128i)*b);
	__m128i cd = _mm_unpacklo_epi32((__m128i)*c, (__m128i)*d),
		cd_high = _mm_unpackhi_epi32((__m128i)*c, (__m128i)*d);

	*a = (words4)_mm_unpacklo_epi64(ab, cd);
	*b = (words4)_mm_unpackhi_epi64(ab, cd);
	*c = (words4)_mm_unpacklo_epi64(ab_high, cd_high);
	*d = (words4)_mm_unpackhi_epi64(ab_high, cd_high);
}

VL_INLINE void lanes4_load(words4 m[16], const uint8_t *const *inputs, size_t offset)
{
	VL_UNROLL
	for (unsigned i = 0; i < 16; i += 4) {
		VL_UNROLL
		for (unsigned lane = 0; lane < 4; lane++)
			m[i + lane] = load4(inputs[lane] + offset + 4 * i);
		transpose4(&m[i], &m[i + 1], &m[i + 2], &m[i + 3]);
	}
}

VL_INLINE void lanes4_store(const words4 cv[8], uint8_t *out)
{
	words4 low[4] = {cv[0], cv[1], cv[2], cv[3]}, high[4] = {cv[4], cv[5], cv[6], cv[7]};

	transpose4(&low[0], &low[1], &low[2], &low[3]);
	transpose4(&high[0], &high[1], &high[2], &high[3]);
	VL_UNROLL
	for (unsigned lane = 0; lane < 4; lane++) {
		store4(out + 32 * lane, low[lane]);
		store4(out + 32 * lane + 16, high[lane]);
	}
}

#define LANES 4
#define NAME(x) lanes4_##x
#define WORDS words4
#define ROTATE(x, n) ROTATE4(x, n)
#define SPREAD(x) ((words4)_mm_set1_epi32((int)(x)))
#include "kernels_lanes.h"

/*
 * One compression: a row of the state in a vector. The second half of a round works on diagonals; rows a, c and d are
 * turned for it, not b, because b is the last to be ready and the first to be needed.
 */
#define MIX_ROWS(message, first, second) \
	a += message;                    \
	VL_HOLD(a)                       \
	a += b;                          \
	d = ROTATE4(d ^ a, first);       \
	c += d;                          \
	b = ROTATE4(b ^ c, second);

#define MIX_ROUND(x, y, z, w)        \
	MIX_ROWS(x, 16, 12)          \
	MIX_ROWS(y, 8, 7)            \
	a = SHUFFLE4(a, 3, 0, 1, 2); \
	d = SHUFFLE4(d, 2, 3, 0, 1); \
	c = SHUFFLE4(c, 1, 2, 3, 0); \
	MIX_ROWS(z, 16, 12)          \
	MIX_ROWS(w, 8, 7)            \
	a = SHUFFLE4(a, 1, 2, 3, 0); \
	d = SHUFFLE4(d, 2, 3, 0, 1); \
	c = SHUFFLE4(c, 3, 0, 1, 2);

#define BLEND4(x, y, mask) ((words4)_mm_blend_epi16((__m128i)(x), (__m128i)(y), mask))

#ifdef __AVX512VL__
/* Words 0...3 are those of x, 4...7 those of y. */
#define GATHER4(x, y, a, b, c, d) \
	((words4)_mm_permutex2var_epi32((__m128i)(x), _mm_setr_epi32(a, b, c, d), (__m128i)(y)))
#endif

static inline void compress_rows(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter,
				 uint8_t flags)
{
	words4 a = load4(cv), b = load4(cv + 4), c = load4(vl_blake3_iv);
	words4 d = {(uint32_t)counter, (uint32_t)(counter >> 32), block_size, flags};
	words4 m0 = load4(block), m4 = load4(block + 16), m8 = load4(block + 32), m12 = load4(block + 48);
	/*
	 * The words of a round in the order of their use are n0...n15. x = 0 2 4 6 and y = 1 3 5 7 are for the
	 * columns; z = 14 8 10 12 and w = 15 9 11 13 for the diagonals, turned as row a is.
	 */
	words4 x = SELECT4(m0, m4, 0, 2, 0, 2), y = SELECT4(m0, m4, 1, 3, 1, 3);
	words4 z = SELECT4(m8, m12, 0, 2, 0, 2), w = SELECT4(m8, m12, 1, 3, 1, 3);

	z = SHUFFLE4(z, 3, 0, 1, 2);
	w = SHUFFLE4(w, 3, 0, 1, 2);
	for (unsigned round = 0;; round++) {
		words4 next_x, next_y, next_z, next_w;

		MIX_ROUND(x, y, z, w)
		if (round == 6)
			break;
			/* The next round uses n2 n6 n3 n10 n7 n0 n4 n13 n1 n11 n12 n5 n9 n14 n15 n8. */
#ifdef __AVX512VL__
		next_x = GATHER4(x, y, 1, 5, 7, 2);
		next_y = BLEND4(GATHER4(x, z, 3, 6, 0, 0), w, 0xc0);
		next_z = GATHER4(GATHER4(w, z, 0, 0, 7, 1), y, 0, 4, 2, 3);
		next_w = BLEND4(GATHER4(z, w, 1, 6, 0, 0), y, 0x30);
#else
		next_x = SELECT4(x, y, 1, 2, 1, 3);
		next_x = SHUFFLE4(next_x, 0, 2, 3, 1);
		next_y = BLEND4(SHUFFLE4(x, 3, 3, 0, 0), SELECT4(z, w, 2, 2, 3, 3), 0xcc);
		next_z = SELECT4(z, w, 3, 3, 1, 1);
		next_z = SELECT4(_mm_unpacklo_epi32((__m128i)w, (__m128i)y), next_z, 0, 1, 0, 2);
		next_w = BLEND4(SHUFFLE4(z, 1, 1, 1, 0), SELECT4(w, y, 2, 2, 2, 2), 0x3c);
#endif
		x = next_x;
		y = next_y;
		z = next_z;
		w = next_w;
	}
	store4(cv, a ^ c);
	store4(cv + 4, b ^ d);
}

#endif

#endif
