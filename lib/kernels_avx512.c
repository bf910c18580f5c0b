/* kernels_avx512.c - kernels for AVX-512 (F, VL, BW). */
#include "kernels.h"

#if defined(__x86_64__)
#include "kernels_x86.h"

typedef uint32_t words8 __attribute__((vector_size(32)));
typedef uint32_t words16 __attribute__((vector_size(64)));

#define ROTATE8(x, n) ((words8)_mm256_ror_epi32((__m256i)(x), n))
#include "kernels_lanes8.h"

/* Rows become columns: pairs, fours, then the quarters of the vectors change places. */
VL_INLINE void transpose16(__m512i v[16])
{
	__m512i a[16], b[16];

	VL_UNROLL
	for (unsigned i = 0; i < 16; i += 2) {
		a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
		a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
	}
	VL_UNROLL
	for (unsigned i = 0; i < 16; i += 4) {
		b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	/* b[4 * i + j]: words j, j + 4, j + 8, j + 12, each of the inputs 4 * i ... 4 * i + 3. */
	VL_UNROLL
	for (unsigned j = 0; j < 4; j++) {
		__m512i low = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88),
			high = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd);
		__m512i low_2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88);
		__m512i high_2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);

		v[j] = _mm512_shuffle_i32x4(low, low_2, 0x88);
		v[j + 8] = _mm512_shuffle_i32x4(low, low_2, 0xdd);
		v[j + 4] = _mm512_shuffle_i32x4(high, high_2, 0x88);
		v[j + 12] = _mm512_shuffle_i32x4(high, high_2, 0xdd);
	}
}

VL_INLINE void lanes16_load(words16 m[16], const uint8_t *const *inputs, size_t offset)
{
	__m512i rows[16];

	VL_UNROLL
	for (unsigned i = 0; i < 16; i++)
		rows[i] = _mm512_loadu_si512(inputs[i] + offset);
	transpose16(rows);
	VL_UNROLL
	for (unsigned i = 0; i < 16; i++)
		m[i] = (words16)rows[i];
}

VL_INLINE void lanes16_store(const words16 cv[8], uint8_t *out)
{
	__m512i rows[16];

	VL_UNROLL
	for (unsigned i = 0; i < 16; i++)
		rows[i] = i < 8 ? (__m512i)cv[i] : _mm512_setzero_si512();
	transpose16(rows);
	VL_UNROLL
	for (unsigned i = 0; i < 16; i++)
		_mm256_storeu_si256((__m256i *)(out + 32 * i), _mm512_castsi512_si256(rows[i]));
}

#define LANES 16
#define NAME(x) lanes16_##x
#define WORDS words16
#define ROTATE(x, n) ((words16)_mm512_ror_epi32((__m512i)(x), n))
#define SPREAD(x) ((words16)_mm512_set1_epi32((int)(x)))
#include "kernels_lanes.h"

static void compress(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter, uint8_t flags)
{
	compress_rows(cv, block, block_size, counter, flags);
}

static void many(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8], uint64_t counter,
		 unsigned counter_step, uint8_t flags, uint8_t flags_start, uint8_t flags_end, uint8_t last_block_size,
		 uint8_t *out)
{
	while (count > 1) {
		size_t some = count < 16 ? count : 16;

		(some > 8   ? lanes16_hash_some
		 : some > 4 ? lanes8_hash_some
			    : lanes4_hash_some)(inputs, some, blocks, key, counter, counter_step, flags, flags_start,
						flags_end, last_block_size, out);
		inputs += some;
		count -= some;
		counter += some * counter_step;
		out += some * 32;
	}
	if (count == 1)
		vl_blake3_one(compress, inputs[0], blocks, key, counter, flags, flags_start, flags_end, last_block_size,
			      out);
}

typedef words16 q_words;
typedef uint64_t q_wide __attribute__((vector_size(64)));
#define Q_LANES 16
#define Q_ROWS 4
#define Q_MASKS

static inline q_words q_load(const uint8_t *p)
{
	return (q_words)_mm512_loadu_si512(p);
}

static inline void q_store(uint8_t *p, q_words x)
{
	_mm512_storeu_si512(p, (__m512i)x);
}

static inline q_words q_load_some(const uint8_t *p, size_t count)
{
	return (q_words)_mm512_maskz_loadu_epi32((__mmask16)((1u << count) - 1), p);
}

static inline void q_store_some(uint8_t *p, q_words x, size_t count)
{
	_mm512_mask_storeu_epi32(p, (__mmask16)((1u << count) - 1), (__m512i)x);
}

static inline q_words q_distance(q_words x, q_words y)
{
	return (q_words)_mm512_max_epi32((__m512i)x, (__m512i)y) - (q_words)_mm512_min_epi32((__m512i)x, (__m512i)y);
}

static inline q_words q_larger(q_words x, q_words y)
{
	return (q_words)_mm512_max_epu32((__m512i)x, (__m512i)y);
}

static inline q_words q_signed(q_words x, q_words signs)
{
	__mmask16 negative = _mm512_cmplt_epi32_mask((__m512i)signs, _mm512_setzero_si512());

	return (q_words)_mm512_mask_sub_epi32((__m512i)x, negative, _mm512_setzero_si512(), (__m512i)x);
}

static inline q_words q_shift(q_words x, q_words count)
{
	return (q_words)_mm512_srlv_epi32((__m512i)x, (__m512i)count);
}

static inline void q_squares(q_wide sums[2], q_words x)
{
	q_wide odd = (q_wide)x >> 32;

	sums[0] += (q_wide)_mm512_mul_epu32((__m512i)x, (__m512i)x);
	sums[1] += (q_wide)_mm512_mul_epu32((__m512i)odd, (__m512i)odd);
}

typedef struct {
	q_words even, odd; /* the odd words in the places of the even ones; the others do not matter */
} q_halves;

static inline q_halves q_split(q_words x)
{
	return (q_halves){x, (q_words)((q_wide)x >> 32)};
}

static inline q_wide q_dot(q_wide sum, q_halves x, q_halves y)
{
	sum += (q_wide)_mm512_mul_epi32((__m512i)x.even, (__m512i)y.even);
	return sum + (q_wide)_mm512_mul_epi32((__m512i)x.odd, (__m512i)y.odd);
}

static inline uint64_t q_sum(q_wide x)
{
	/* Not _mm512_reduce_add_epi64: gcc adds signed numbers there, and this sum may wrap. */
	__m256i sum4 = _mm256_add_epi64(_mm512_castsi512_si256((__m512i)x), _mm512_extracti64x4_epi64((__m512i)x, 1));
	__m128i sum2 = _mm_add_epi64(_mm256_castsi256_si128(sum4), _mm256_extracti128_si256(sum4, 1));

	return (uint64_t)_mm_cvtsi128_si64(sum2) + (uint64_t)_mm_extract_epi64(sum2, 1);
}

#include "kernels_q16.h"

#define AVX512(sha256)                                                                                          \
	{                                                                                                       \
		.name = "avx512", .blake3_compress = compress, .blake3_many = many, .sha256_blocks = sha256,    \
		.crc32c = vl_crc32c_sse4, .q16_from_f32 = q16_from_f32, .q16_norm = q16_norm, .q16_l2 = q16_l2, \
		.q16_l2_rows = q16_l2_rows, .q16_l2_block = q16_l2_block, .code_l2 = vl_code_l2_portable,       \
		.code_l2_rows = vl_code_l2_rows_portable, .code_l2_gather = vl_code_l2_gather_portable,         \
		.code_l2_block = vl_code_l2_block_portable                                                      \
	}

const struct vl_kernels vl_kernels_avx512[2] = {AVX512(vl_sha256_blocks_portable), AVX512(vl_sha256_blocks_sha)};
#endif
