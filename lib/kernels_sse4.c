/* kernels_sse4.c - kernels for SSE4.2 with PCLMULQDQ, and for the SHA instructions. */
#include "kernels.h"

#if defined(__x86_64__)
#include "decimal_plain.h"
#include "kernels_x86.h"

static void compress(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter, uint8_t flags)
{
	compress_rows(cv, block, block_size, counter, flags);
}

static void many(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8], uint64_t counter,
		 unsigned counter_step, uint8_t flags, uint8_t flags_start, uint8_t flags_end, uint8_t last_block_size,
		 uint8_t *out)
{
	while (count > 1) {
		size_t some = count < 4 ? count : 4;

		lanes4_hash_some(inputs, some, blocks, key, counter, counter_step, flags, flags_start, flags_end,
				 last_block_size, out);
		inputs += some;
		count -= some;
		counter += some * counter_step;
		out += some * 32;
	}
	if (count == 1)
		vl_blake3_one(compress, inputs[0], blocks, key, counter, flags, flags_start, flags_end, last_block_size,
			      out);
}

/*
 * Three streams side by side, for the instruction takes three cycles and can start every cycle. Their remainders are
 * joined by multiplication: moving a remainder by n bytes multiplies it by x^(8n); with the constant
 * x^(8n - 33) mod P, reflected, a carry-less product goes through the instruction itself to be reduced.
 */
static uint32_t crc_move(uint32_t crc, uint32_t constant)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)constant), 0);

	return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static inline uint32_t crc_three(uint32_t crc, const uint8_t *data, size_t size, uint32_t by_one, uint32_t by_two)
{
	uint64_t first = crc, second = 0, third = 0;

	for (size_t i = 0; i < size; i += 8) {
		first = _mm_crc32_u64(first, vl_get64(data + i));
		second = _mm_crc32_u64(second, vl_get64(data + size + i));
		third = _mm_crc32_u64(third, vl_get64(data + 2 * size + i));
	}
	return crc_move((uint32_t)first, by_two) ^ crc_move((uint32_t)second, by_one) ^ (uint32_t)third;
}

uint32_t vl_crc32c_sse4(uint32_t crc, const uint8_t *data, size_t size)
{
	uint64_t rest;

	crc = ~crc;
	for (; size >= 3 * 2048; data += 3 * 2048, size -= 3 * 2048)
		crc = crc_three(crc, data, 2048, 0xa51b6135, 0x82f89c77);
	for (; size >= 3 * 128; data += 3 * 128, size -= 3 * 128)
		crc = crc_three(crc, data, 128, 0x0d3b6092, 0xb9e02b86);
	rest = crc;
	for (; size >= 8; data += 8, size -= 8)
		rest = _mm_crc32_u64(rest, vl_get64(data));
	crc = (uint32_t)rest;
	for (; size > 0; data++, size--)
		crc = _mm_crc32_u8(crc, *data);
	return ~crc;
}

#define SHA_ROUNDS(words, k)                                                               \
	sum = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(vl_sha256_k + (k)))); \
	second = _mm_sha256rnds2_epu32(second, first, sum);                                \
	first = _mm_sha256rnds2_epu32(first, second, _mm_shuffle_epi32(sum, 0x0e));

/* The next four words of the schedule, in the place of the oldest. */
#define SHA_SCHEDULE(a, b, c, d) \
	a = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d);

__attribute__((target("sha"))) void vl_sha256_blocks_sha(uint32_t h[8], const uint8_t *data, size_t blocks)
{
	const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
	__m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1);        /* c d a b */
	__m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b); /* e f g h */
	__m128i first = _mm_alignr_epi8(low, high, 8);                                     /* a b e f */
	__m128i second = _mm_blend_epi16(high, low, 0xf0);                                 /* c d g h */

	for (; blocks > 0; blocks--, data += 64) {
		__m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data), swap);
		__m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16)), swap);
		__m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 32)), swap);
		__m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 48)), swap);
		__m128i first_before = first, second_before = second, sum;

		for (unsigned k = 0; k < 48; k += 16) {
			SHA_ROUNDS(w0, k)
			SHA_ROUNDS(w1, k + 4)
			SHA_ROUNDS(w2, k + 8)
			SHA_ROUNDS(w3, k + 12)
			SHA_SCHEDULE(w0, w1, w2, w3)
			SHA_SCHEDULE(w1, w2, w3, w0)
			SHA_SCHEDULE(w2, w3, w0, w1)
			SHA_SCHEDULE(w3, w0, w1, w2)
	}
		SHA_ROUNDS(w0, 48)
		SHA_ROUNDS(w1, 52)
		SHA_ROUNDS(w2, 56)
		SHA_ROUNDS(w3, 60)
		first = _mm_add_epi32(first, first_before);
		second = _mm_add_epi32(second, second_before);
	}
	low = _mm_shuffle_epi32(first, 0x1b);   /* f e b a from the top: a b e f */
	high = _mm_shuffle_epi32(second, 0xb1); /* d c h g */
	_mm_storeu_si128((__m128i *)h, _mm_blend_epi16(low, high, 0xf0));
	_mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(high, low, 8));
}

typedef words4 q_words;
typedef uint64_t q_wide __attribute__((vector_size(16)));
#define Q_LANES 4
#define Q_ROWS 2

static inline q_words q_load(const uint8_t *p)
{
	return load4(p);
}

static inline void q_store(uint8_t *p, q_words x)
{
	store4(p, x);
}

static inline q_words q_distance(q_words x, q_words y)
{
	return (q_words)_mm_max_epi32((__m128i)x, (__m128i)y) - (q_words)_mm_min_epi32((__m128i)x, (__m128i)y);
}

static inline q_words q_larger(q_words x, q_words y)
{
	return (q_words)_mm_max_epu32((__m128i)x, (__m128i)y);
}

static inline q_words q_signed(q_words x, q_words signs)
{
	return (q_words)_mm_sign_epi32((__m128i)x, (__m128i)(signs | 1));
}

/* There is no shift by a vector: one step for each bit of the count, taken where the bit, moved to the top, is set. */
#define SHIFT_STEP(x, count, bit)                                                                  \
	((q_words)_mm_castps_si128(_mm_blendv_ps(_mm_castsi128_ps((__m128i)(x)),                   \
						 _mm_castsi128_ps((__m128i)((x) >> (1 << (bit)))), \
						 _mm_castsi128_ps((__m128i)((count) << (31 - (bit)))))))

static inline q_words q_shift(q_words x, q_words count)
{
	x = SHIFT_STEP(x, count, 4);
	x = SHIFT_STEP(x, count, 3);
	x = SHIFT_STEP(x, count, 2);
	x = SHIFT_STEP(x, count, 1);
	x = SHIFT_STEP(x, count, 0);
	return x & (q_words)(count < 32);
}

static inline void q_squares(q_wide sums[2], q_words x)
{
	q_wide odd = (q_wide)x >> 32;

	sums[0] += (q_wide)_mm_mul_epu32((__m128i)x, (__m128i)x);
	sums[1] += (q_wide)_mm_mul_epu32((__m128i)odd, (__m128i)odd);
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
	sum += (q_wide)_mm_mul_epi32((__m128i)x.even, (__m128i)y.even);
	return sum + (q_wide)_mm_mul_epi32((__m128i)x.odd, (__m128i)y.odd);
}

static inline uint64_t q_sum(q_wide x)
{
	return x[0] + x[1];
}

#include "kernels_q16.h"

typedef __m128i c_bytes;
typedef words4 c_sums;
#define C_BYTES 16

static inline c_bytes c_load(const uint8_t *p)
{
	return _mm_load_si128((const __m128i *)p);
}

/* Bytes at even and at odd places: as words their squares are signed. */
static inline c_sums add(c_sums sums, c_bytes x, c_bytes y)
{
	__m128i distance = _mm_or_si128(_mm_subs_epu8(x, y), _mm_subs_epu8(y, x));
	__m128i even = _mm_and_si128(distance, _mm_set1_epi16(0xff)), odd = _mm_srli_epi16(distance, 8);

	return sums + (c_sums)_mm_madd_epi16(even, even) + (c_sums)_mm_madd_epi16(odd, odd);
}

static inline uint32_t c_sum(c_sums x)
{
	return x[0] + x[1] + x[2] + x[3];
}

static inline void c_sum4(const c_sums x[4], uint32_t out[4])
{
	__m128i low = _mm_hadd_epi32((__m128i)x[0], (__m128i)x[1]), high = _mm_hadd_epi32((__m128i)x[2], (__m128i)x[3]);

	_mm_storeu_si128((__m128i *)out, _mm_hadd_epi32(low, high));
}

#define C_NAME(x) x
#define C_TARGET
#include "kernels_code.h"

/* Bytes from keep_last + n on: the last n of sixteen stay. */
static const uint8_t keep_last[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
				      255,        255, 255, 255, 255, 255, 255, 255};

/*
 * Sixteen bytes before end, of which the last count are digits, as their number; false when they are none. Neighbours
 * are joined to pairs, fours, eights.
 */
static inline bool join_sixteen(const char *end, unsigned count, uint64_t *value)
{
	__m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(end - 16)), _mm_set1_epi8('0'));
	uint64_t eights;

	x = _mm_and_si128(x, _mm_loadu_si128((const __m128i *)(const void *)(keep_last + count)));
	if (_mm_testz_si128(_mm_subs_epu8(x, _mm_set1_epi8(9)), _mm_set1_epi8(-1)) == 0)
		return false;
	x = _mm_maddubs_epi16(x, _mm_set1_epi16(10 | 1 << 8));
	x = _mm_madd_epi16(x, _mm_set1_epi32(100 | 1 << 16));
	x = _mm_packus_epi32(x, x);
	x = _mm_madd_epi16(x, _mm_set1_epi32(10000 | 1 << 16));
	eights = (uint64_t)_mm_cvtsi128_si64(x);
	*value = (uint32_t)eights * UINT64_C(100000000) + (eights >> 32);
	return true;
}

/* A number that is a sign or none, a digit, a point and 1 to 19 digits. False: another form, or hard to round. */
static inline bool read_plain(const char *text, const char *end, uint32_t *bits)
{
	unsigned negative = vl_decimal_is(*text, '-');
	const char *p = text + negative;
	unsigned whole = (unsigned)(uint8_t)*p - '0', count = (unsigned)(end - p) - 2;
	uint64_t value, high = 0;

	if (whole > 9 || p[1] != '.' || count - 1 >= VL_DECIMAL_DIGITS)
		return false;
	if (!join_sixteen(end, count < 16 ? count : 16, &value))
		return false;
	if (count > 16) {
		if (whole != 0 || !join_sixteen(end - 16, count - 16, &high))
			return false;
		value += high * UINT64_C(10000000000000000);
	}
	value += whole * vl_decimal_tens[count];
	return vl_decimal_round(value, count, negative, bits);
}

/* Each comma of the 64 bytes at p, and up to seven words behind them that mean nothing. Returns how many they are. */
static inline unsigned find_commas(const char *p, const char **out)
{
	const __m128i comma = _mm_set1_epi8(',');
	uint64_t found = 0;
	unsigned count, i;

	VL_UNROLL
	for (i = 0; i < 4; i++) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));

		found |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, comma)) << 16 * i;
	}
	count = (unsigned)__builtin_popcountll(found);
	for (i = 0; i < count; i += 8) {
		VL_UNROLL
		for (unsigned j = 0; j < 8; j++) {
			out[i + j] = p + __builtin_ctzll(found | UINT64_C(1) << 63);
			found &= found - 1;
		}
	}
	return count;
}

/*
 * First where some dozens of numbers end, then the numbers: nothing waits for the length of the one before, and no
 * branch depends on it.
 */
size_t vl_f32s_from_decimals_sse4(const char *text, size_t size, size_t max, uint32_t *out, size_t *count)
{
	enum { WINDOW = 128 };
	const char *ends[WINDOW + 64], *p = text, *searched = text, *end = text + size;
	size_t total = 0, rest;

	while (end - searched > 64) {
		unsigned found = 0;

		while (end - searched > 64 && found < WINDOW) {
			found += find_commas(searched, ends + found);
			searched += 64;
		}
		for (unsigned i = 0; i < found; i++) {
			if (total == max)
				goto done;
			/* Sixteen bytes before the end are there, but for the first ones of the text. */
			if (ends[i] - text < 32 || !read_plain(p, ends[i], out + total)) {
				size_t used = vl_f32_from_decimal(p, (size_t)(end - p), out + total);

				if (used == 0 || p + used != ends[i])
					goto done;
			}
			total++;
			p = ends[i] + 1;
			p += vl_decimal_is(*p, ' ');
		}
	}
done:
	/* The last ones, and what stopped it. */
	p += vl_f32s_from_decimals_portable(p, (size_t)(end - p), max - total, out + total, &rest);
	*count = total + rest;
	return (size_t)(p - text);
}

#define SSE4(sha256)                                                                                            \
	{                                                                                                       \
		.name = "sse4", .blake3_compress = compress, .blake3_many = many, .sha256_blocks = sha256,      \
		.crc32c = vl_crc32c_sse4, .q16_from_f32 = q16_from_f32, .q16_norm = q16_norm, .q16_l2 = q16_l2, \
		.q16_l2_rows = q16_l2_rows, .q16_l2_block = q16_l2_block, .code_l2 = code_l2,                   \
		.code_l2_rows = code_l2_rows, .code_l2_gather = code_l2_gather, .code_l2_block = code_l2_block, \
		.f32s_from_decimals = vl_f32s_from_decimals_sse4                                                \
	}

const struct vl_kernels vl_kernels_sse4[2] = {SSE4(vl_sha256_blocks_portable), SSE4(vl_sha256_blocks_sha)};
#endif
