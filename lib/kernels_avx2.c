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

#define AVX2(sha256)                                                                                            \
	{                                                                                                       \
		.name = "avx2", .blake3_compress = compress, .blake3_many = many, .sha256_blocks = sha256,      \
		.crc32c = vl_crc32c_sse4, .q16_from_f32 = q16_from_f32, .q16_norm = q16_norm, .q16_l2 = q16_l2, \
		.q16_l2_rows = q16_l2_rows, .q16_l2_block = q16_l2_block, .code_l2 = vl_code_l2_portable,       \
		.code_l2_rows = vl_code_l2_rows_portable, .code_l2_gather = vl_code_l2_gather_portable,         \
		.code_l2_block = vl_code_l2_block_portable                                                      \
	}

const struct vl_kernels vl_kernels_avx2[2] = {AVX2(vl_sha256_blocks_portable), AVX2(vl_sha256_blocks_sha)};
#endif
