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

/* ---- codes ---- */

typedef __m512i c_bytes;
typedef words16 c_sums;
#define C_BYTES 64

static inline c_bytes c_load(const uint8_t *p)
{
	return _mm512_load_si512(p);
}

static inline uint32_t c_sum(c_sums x)
{
	__m256i sum8 = _mm256_add_epi32(_mm512_castsi512_si256((__m512i)x), _mm512_extracti64x4_epi64((__m512i)x, 1));
	words4 sum = (words4)_mm_add_epi32(_mm256_castsi256_si128(sum8), _mm256_extracti128_si256(sum8, 1));

	return sum[0] + sum[1] + sum[2] + sum[3];
}

static inline void c_sum4(const c_sums x[4], uint32_t out[4])
{
	__m512i low = _mm512_add_epi32(_mm512_unpacklo_epi32((__m512i)x[0], (__m512i)x[1]),
				       _mm512_unpackhi_epi32((__m512i)x[0], (__m512i)x[1]));
	__m512i high = _mm512_add_epi32(_mm512_unpacklo_epi32((__m512i)x[2], (__m512i)x[3]),
					_mm512_unpackhi_epi32((__m512i)x[2], (__m512i)x[3]));
	__m512i sum = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
	__m256i sum8 = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));

	_mm_storeu_si128((__m128i *)out,
			 _mm_add_epi32(_mm256_castsi256_si128(sum8), _mm256_extracti128_si256(sum8, 1)));
}

/* Bytes at even and at odd places: as words their squares are signed. */
static inline c_sums add(c_sums sums, c_bytes x, c_bytes y)
{
	__m512i distance = _mm512_or_si512(_mm512_subs_epu8(x, y), _mm512_subs_epu8(y, x));
	__m512i even = _mm512_and_si512(distance, _mm512_set1_epi16(0xff)), odd = _mm512_srli_epi16(distance, 8);

	return sums + (c_sums)_mm512_madd_epi16(even, even) + (c_sums)_mm512_madd_epi16(odd, odd);
}

#define C_NAME(x) x
#define C_TARGET
#include "kernels_code.h"

/* The same with the dot products of AVX512-VNNI. */
#define VNNI __attribute__((target("avx512vnni")))

VNNI static inline c_sums vnni_add(c_sums sums, c_bytes x, c_bytes y)
{
	__m512i distance = _mm512_or_si512(_mm512_subs_epu8(x, y), _mm512_subs_epu8(y, x));
	__m512i even = _mm512_and_si512(distance, _mm512_set1_epi16(0xff)), odd = _mm512_srli_epi16(distance, 8);

	return (c_sums)_mm512_dpwssd_epi32(_mm512_dpwssd_epi32((__m512i)sums, even, even), odd, odd);
}

#define C_NAME(x) vnni_##x
#define C_TARGET VNNI
#include "kernels_code.h"

/*
 * Many queries: |a - b|^2 = |a|^2 + |b|^2 - 2ab, all modulo 2^32, as one dot product for each pair. Rows are turned, so
 * that a vector holds the same four components of sixteen of them, a lane a row: nothing is added across lanes then. A
 * tile is two such sixteens, so that a query's components are fetched once for both. The instruction multiplies
 * unsigned bytes with signed ones: the rows' are b - 128, and with s the sum of a query's components
 * ab = a(b - 128) + 128s.
 */
enum { TILE_ROWS = 32, TILE_SIZE = 256, TILE_QUERIES = 8, SOME_QUERIES = 32 };

/* By hand: gcc copies the sum there and back around the intrinsic. */
#define ADD_PRODUCTS(sum, x, y) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y))

struct tile {
	__m512i words[TILE_SIZE / 4][2];
	__m512i squares[2]; /* of each row */
};

/* x^2 of all that a lane of some vectors holds: x(x - 128) + 2 * 64x. */
struct squares {
	__m512i shifted, by_64;
};

VNNI VL_INLINE void add_squares(struct squares *squares, __m512i x)
{
	squares->shifted = _mm512_dpbusd_epi32(squares->shifted, x, _mm512_xor_si512(x, _mm512_set1_epi8(-128)));
	squares->by_64 = _mm512_dpbusd_epi32(squares->by_64, x, _mm512_set1_epi8(64));
}

/* x^2 - 256x of some bytes of a query: all that it adds to its distances beside the products. */
VNNI static uint32_t query_part(const uint8_t *query, size_t size)
{
	struct squares squares = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	for (size_t i = 0; i < size; i += 64)
		add_squares(&squares, c_load(query + i));
	return c_sum((c_sums)squares.shifted) - 2 * c_sum((c_sums)squares.by_64);
}

/* Half of a tile: size bytes of each of sixteen rows. The ones that come stride * TILE_ROWS later are asked for. */
VNNI static void turn(const uint8_t *const rows[16], size_t size, size_t ahead, struct tile *tile, unsigned half)
{
	struct squares squares = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	for (size_t i = 0; i < size; i += 64) {
		__m512i part[16];

		VL_UNROLL
		for (unsigned r = 0; r < 16; r++) {
			part[r] = c_load(rows[r] + i);
			__builtin_prefetch(rows[r] + i + ahead);
		}
		transpose16(part);
		VL_UNROLL
		for (unsigned w = 0; w < 16; w++) {
			add_squares(&squares, part[w]);
			tile->words[i / 4 + w][half] = _mm512_xor_si512(part[w], _mm512_set1_epi8(-128));
		}
	}
	tile->squares[half] = _mm512_add_epi32(squares.shifted, _mm512_slli_epi32(squares.by_64, 1));
}

/* The products of eight queries with the rows of a tile, from which 128 was taken. */
VNNI VL_INLINE void tile_products(const uint8_t *const queries[TILE_QUERIES], size_t size, const struct tile *tile,
				  __m512i out[TILE_QUERIES][2])
{
	__m512i sums[TILE_QUERIES][2];

	VL_UNROLL
	for (unsigned q = 0; q < TILE_QUERIES; q++)
		sums[q][0] = sums[q][1] = _mm512_setzero_si512();
	for (size_t i = 0; i < size / 4; i++) {
		__m512i low = tile->words[i][0], high = tile->words[i][1];

		VL_UNROLL
		for (unsigned q = 0; q < TILE_QUERIES; q++) {
			__m512i query;
			int word;

			memcpy(&word, queries[q] + 4 * i, 4);
			query = _mm512_set1_epi32(word);
			ADD_PRODUCTS(sums[q][0], query, low);
			ADD_PRODUCTS(sums[q][1], query, high);
		}
	}
	VL_UNROLL
	for (unsigned q = 0; q < TILE_QUERIES; q++) {
		out[q][0] = sums[q][0];
		out[q][1] = sums[q][1];
	}
}

/* Puts what a piece of the components adds to count distances. */
VNNI VL_INLINE void put_distances(uint32_t *out, size_t count, bool is_first, __m512i squares, uint32_t query_part,
				  __m512i products)
{
	const __mmask16 mask = (__mmask16)(count < 16 ? (1u << count) - 1 : 0xffff);
	__m512i sum = _mm512_add_epi32(squares, _mm512_set1_epi32((int)query_part));

	sum = _mm512_sub_epi32(sum, _mm512_slli_epi32(products, 1));
	if (!is_first)
		sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, out));
	_mm512_mask_storeu_epi32(out, mask, sum);
}

/*
 * A piece of the components of some queries, size bytes from offset on, and count <= TILE_ROWS rows. A line of out has
 * width words.
 */
VNNI static void tile_distances(const uint8_t *queries, size_t queries_count, const uint32_t *query_parts,
				const uint8_t *rows, size_t count, size_t stride, size_t offset, size_t size,
				size_t width, uint32_t *out)
{
	struct tile tile;
	__m512i products[TILE_QUERIES][2];

	for (unsigned half = 0; half < 2; half++) {
		const uint8_t *group[16];

		for (size_t r = 0; r < 16; r++)
			group[r] = rows + offset + (16 * half + r < count ? 16 * half + r : 0) * stride;
		turn(group, size, TILE_ROWS * stride, &tile, half);
	}
	for (size_t first = 0; first < queries_count; first += TILE_QUERIES) {
		size_t some = queries_count - first < TILE_QUERIES ? queries_count - first : TILE_QUERIES;
		const uint8_t *group[TILE_QUERIES];

		for (size_t q = 0; q < TILE_QUERIES; q++)
			group[q] = queries + (first + (q < some ? q : 0)) * stride + offset;
		tile_products(group, size, &tile, products);
		for (size_t q = 0; q < some; q++) {
			uint32_t *line = out + (first + q) * width;

			put_distances(line, count, offset == 0, tile.squares[0], query_parts[first + q],
				      products[q][0]);
			if (count > 16)
				put_distances(line + 16, count - 16, offset == 0, tile.squares[1],
					      query_parts[first + q], products[q][1]);
		}
	}
}

/* A piece of the components after the other, so that a tile and the queries stay in the nearest cache. */
VNNI static void vnni_many(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			    size_t stride, uint32_t *out)
{
	uint32_t parts[SOME_QUERIES];

	for (size_t offset = 0; offset < stride; offset += TILE_SIZE) {
		size_t size = stride - offset < TILE_SIZE ? stride - offset : TILE_SIZE;

		for (size_t q = 0; q < queries_count; q++)
			parts[q] = query_part(queries + q * stride + offset, size);
		for (size_t i = 0; i < count; i += TILE_ROWS)
			tile_distances(queries, queries_count, parts, rows + i * stride,
				       count - i < TILE_ROWS ? count - i : TILE_ROWS, stride, offset, size, count,
				       out + i);
	}
}

VNNI static void vnni_block(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			    size_t stride, uint32_t *out)
{
	while (queries_count > 3) {
		size_t some = queries_count < SOME_QUERIES ? queries_count : SOME_QUERIES;

		vnni_many(queries, some, rows, count, stride, out);
		queries += some * stride;
		out += some * count;
		queries_count -= some;
	}
	vnni_code_l2_block(queries, queries_count, rows, count, stride, out);
}

#define AVX512(sha256, rest)                                                                                    \
	{                                                                                                       \
		.name = "avx512", .blake3_compress = compress, .blake3_many = many, .sha256_blocks = sha256,    \
		.crc32c = vl_crc32c_sse4, .q16_from_f32 = q16_from_f32, .q16_norm = q16_norm, .q16_l2 = q16_l2, \
		.q16_l2_rows = q16_l2_rows, .q16_l2_block = q16_l2_block,                                       \
		.f32s_from_decimals = vl_f32s_from_decimals_sse4, rest                                          \
	}
#define CODES                                                                               \
	.code_l2 = code_l2, .code_l2_rows = code_l2_rows, .code_l2_gather = code_l2_gather, \
	.code_l2_block = code_l2_block
#define CODES_VNNI                                                                                         \
	.code_l2 = vnni_code_l2, .code_l2_rows = vnni_code_l2_rows, .code_l2_gather = vnni_code_l2_gather, \
	.code_l2_block = vnni_block

const struct vl_kernels vl_kernels_avx512[4] = {
	AVX512(vl_sha256_blocks_portable, CODES),
	AVX512(vl_sha256_blocks_sha, CODES),
	AVX512(vl_sha256_blocks_portable, CODES_VNNI),
	AVX512(vl_sha256_blocks_sha, CODES_VNNI),
};
#endif
