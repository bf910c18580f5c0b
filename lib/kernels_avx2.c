/* kernels_avx2.c - kernels for AVX2. */
#include "kernels.h"

#if defined(__x86_64__)
#include "kernels_x86.h"

typedef uint32_t words8 __attribute__((vector_size(32)));

static inline words8 shuffle_bytes8(words8 x, const uint8_t table[32])
{
	words8 result;

	__asm__("vpshufb %2, %1, %0" : "=x"(result) : "x"(x), "m"(*(const words8 *)table));
	return result;
}

#define ROTATE8(x, n)                                \
	((n) == 16  ? shuffle_bytes8(x, rotation_16) \
	 : (n) == 8 ? shuffle_bytes8(x, rotation_8)  \
		    : (x) >> (n) | (x) << (32 - (n)))
#include "kernels_lanes8.h"

static void compress(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter, uint8_t flags)
{
	compress_rows(cv, block, block_size, counter, flags);
}

static void many(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8], uint64_t counter,
		 unsigned counter_step, uint8_t flags, uint8_t flags_start, uint8_t flags_end, uint8_t last_block_size,
		 uint8_t *out)
{
	while (count > 1) {
		size_t some = count < 8 ? count : 8;

		(some > 4 ? lanes8_hash_some : lanes4_hash_some)(inputs, some, blocks, key, counter, counter_step,
								 flags, flags_start, flags_end, last_block_size, out);
		inputs += some;
		count -= some;
		counter += some * counter_step;
		out += some * 32;
	}
	if (count == 1)
		vl_blake3_one(compress, inputs[0], blocks, key, counter, flags, flags_start, flags_end, last_block_size,
			      out);
}

typedef words8 q_words;
typedef uint64_t q_wide __attribute__((vector_size(32)));
#define Q_LANES 8
#define Q_ROWS 2

static inline q_words q_load(const uint8_t *p)
{
	return (q_words)_mm256_loadu_si256((const __m256i *)p);
}

static inline void q_store(uint8_t *p, q_words x)
{
	_mm256_storeu_si256((__m256i *)p, (__m256i)x);
}

static inline q_words q_distance(q_words x, q_words y)
{
	return (q_words)_mm256_max_epi32((__m256i)x, (__m256i)y) - (q_words)_mm256_min_epi32((__m256i)x, (__m256i)y);
}

static inline q_words q_larger(q_words x, q_words y)
{
	return (q_words)_mm256_max_epu32((__m256i)x, (__m256i)y);
}

static inline q_words q_signed(q_words x, q_words signs)
{
	return (q_words)_mm256_sign_epi32((__m256i)x, (__m256i)(signs | 1));
}

static inline q_words q_shift(q_words x, q_words count)
{
	return (q_words)_mm256_srlv_epi32((__m256i)x, (__m256i)count);
}

static inline void q_squares(q_wide sums[2], q_words x)
{
	q_wide odd = (q_wide)x >> 32;

	sums[0] += (q_wide)_mm256_mul_epu32((__m256i)x, (__m256i)x);
	sums[1] += (q_wide)_mm256_mul_epu32((__m256i)odd, (__m256i)odd);
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
	sum += (q_wide)_mm256_mul_epi32((__m256i)x.even, (__m256i)y.even);
	return sum + (q_wide)_mm256_mul_epi32((__m256i)x.odd, (__m256i)y.odd);
}

static inline uint64_t q_sum(q_wide x)
{
	return x[0] + x[1] + x[2] + x[3];
}

#include "kernels_q16.h"

typedef __m256i c_bytes;
typedef words8 c_sums;
#define C_BYTES 32

static inline c_bytes c_load(const uint8_t *p)
{
	return _mm256_load_si256((const __m256i *)p);
}

/* Bytes at even and at odd places: as words their squares are signed. */
static inline c_sums add(c_sums sums, c_bytes x, c_bytes y)
{
	__m256i distance = _mm256_or_si256(_mm256_subs_epu8(x, y), _mm256_subs_epu8(y, x));
	__m256i even = _mm256_and_si256(distance, _mm256_set1_epi16(0xff)), odd = _mm256_srli_epi16(distance, 8);

	return sums + (c_sums)_mm256_madd_epi16(even, even) + (c_sums)_mm256_madd_epi16(odd, odd);
}

static inline __m128i c_halves(__m256i x)
{
	return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

static inline uint32_t c_sum(c_sums x)
{
	words4 sum = (words4)c_halves((__m256i)x);

	return sum[0] + sum[1] + sum[2] + sum[3];
}

static inline void c_sum4(const c_sums x[4], uint32_t out[4])
{
	__m256i low = _mm256_hadd_epi32((__m256i)x[0], (__m256i)x[1]);
	__m256i high = _mm256_hadd_epi32((__m256i)x[2], (__m256i)x[3]);

	_mm_storeu_si128((__m128i *)out, c_halves(_mm256_hadd_epi32(low, high)));
}

#define C_NAME(x) x
#define C_TARGET
#include "kernels_code.h"

#define AVX2(sha256)                                                                                            \
	{                                                                                                       \
		.name = "avx2", .blake3_compress = compress, .blake3_many = many, .sha256_blocks = sha256,      \
		.crc32c = vl_crc32c_sse4, .q16_from_f32 = q16_from_f32, .q16_norm = q16_norm, .q16_l2 = q16_l2, \
		.q16_l2_rows = q16_l2_rows, .q16_l2_block = q16_l2_block, .code_l2 = code_l2,                   \
		.code_l2_rows = code_l2_rows, .code_l2_gather = code_l2_gather, .code_l2_block = code_l2_block, \
		.f32s_from_decimals = vl_f32s_from_decimals_sse4                                                \
	}

const struct vl_kernels vl_kernels_avx2[2] = {AVX2(vl_sha256_blocks_portable), AVX2(vl_sha256_blocks_sha)};
#endif
