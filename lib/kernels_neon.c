/* kernels_neon.c - kernels for every AArch64 processor: Advanced SIMD, without the optional instructions. */
#include "kernels.h"

#ifdef VL_KERNELS_NEON
#include <arm_neon.h>

static inline uint32x4_t rotate_16(uint32x4_t x)
{
	return vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(x)));
}

#define ROTATE4(x, n) ((n) == 16 ? rotate_16(x) : vsriq_n_u32(vshlq_n_u32(x, 32 - (n)), x, n))

/* Rows become columns. */
VL_INLINE void transpose4(uint32x4_t v[4])
{
	uint32x4_t ac = vzip1q_u32(v[0], v[2]), ac_high = vzip2q_u32(v[0], v[2]);
	uint32x4_t bd = vzip1q_u32(v[1], v[3]), bd_high = vzip2q_u32(v[1], v[3]);

	v[0] = vzip1q_u32(ac, bd);
	v[1] = vzip2q_u32(ac, bd);
	v[2] = vzip1q_u32(ac_high, bd_high);
	v[3] = vzip2q_u32(ac_high, bd_high);
}

static inline uint32x4_t load4(const uint8_t *p)
{
	return vreinterpretq_u32_u8(vld1q_u8(p));
}

static inline void store4(uint8_t *p, uint32x4_t x)
{
	vst1q_u8(p, vreinterpretq_u8_u32(x));
}

VL_INLINE void lanes4_load(uint32x4_t m[16], const uint8_t *const *inputs, size_t offset)
{
	VL_UNROLL
	for (unsigned i = 0; i < 16; i += 4) {
		VL_UNROLL
		for (unsigned lane = 0; lane < 4; lane++)
			m[i + lane] = load4(inputs[lane] + offset + 4 * i);
		transpose4(m + i);
	}
}

VL_INLINE void lanes4_store(const uint32x4_t cv[8], uint8_t *out)
{
	uint32x4_t v[8];

	VL_UNROLL
	for (unsigned i = 0; i < 8; i++)
		v[i] = cv[i];
	transpose4(v);
	transpose4(v + 4);
	VL_UNROLL
	for (unsigned lane = 0; lane < 4; lane++) {
		store4(out + 32 * lane, v[lane]);
		store4(out + 32 * lane + 16, v[4 + lane]);
	}
}

#define LANES 4
#define NAME(x) lanes4_##x
#define WORDS uint32x4_t
#define ROTATE(x, n) ROTATE4(x, n)
#define SPREAD(x) vdupq_n_u32(x)
#include "kernels_lanes.h"

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
		vl_blake3_one(vl_blake3_compress_portable, inputs[0], blocks, key, counter, flags, flags_start,
			      flags_end, last_block_size, out);
}

typedef uint32x4_t q_words;
typedef uint64x2_t q_wide;
#define Q_LANES 4
#define Q_ROWS 4

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
	return vreinterpretq_u32_s32(vabdq_s32(vreinterpretq_s32_u32(x), vreinterpretq_s32_u32(y)));
}

static inline q_words q_larger(q_words x, q_words y)
{
	return vmaxq_u32(x, y);
}

static inline q_words q_signed(q_words x, q_words signs)
{
	q_words mask = vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(signs), 31));

	return (x ^ mask) - mask;
}

static inline q_words q_shift(q_words x, q_words count)
{
	/* A negative count shifts right; only its lowest byte is looked at. */
	return vshlq_u32(x, vnegq_s32(vreinterpretq_s32_u32(vminq_u32(count, vdupq_n_u32(32)))));
}

static inline void q_squares(q_wide sums[2], q_words x)
{
	sums[0] = vmlal_u32(sums[0], vget_low_u32(x), vget_low_u32(x));
	sums[1] = vmlal_high_u32(sums[1], x, x);
}

typedef int32x4_t q_halves;

static inline q_halves q_split(q_words x)
{
	return vreinterpretq_s32_u32(x);
}

static inline q_wide q_dot(q_wide sum, q_halves x, q_halves y)
{
	int64x2_t low = vmlal_s32(vreinterpretq_s64_u64(sum), vget_low_s32(x), vget_low_s32(y));

	return vreinterpretq_u64_s64(vmlal_high_s32(low, x, y));
}

static inline uint64_t q_sum(q_wide x)
{
	return vaddvq_u64(x);
}

#include "kernels_q16.h"

typedef uint8x16_t c_bytes;
typedef uint32x4_t c_sums;
#define C_BYTES 16

static inline c_bytes c_load(const uint8_t *p)
{
	return vld1q_u8(p);
}

static inline c_sums add(c_sums sums, c_bytes x, c_bytes y)
{
	c_bytes distance = vabdq_u8(x, y);

	sums = vpadalq_u16(sums, vmull_u8(vget_low_u8(distance), vget_low_u8(distance)));
	return vpadalq_u16(sums, vmull_high_u8(distance, distance));
}

static inline uint32_t c_sum(c_sums x)
{
	return vaddvq_u32(x);
}

static inline void c_sum4(const c_sums x[4], uint32_t out[4])
{
	vst1q_u32(out, vpaddq_u32(vpaddq_u32(x[0], x[1]), vpaddq_u32(x[2], x[3])));
}

#define C_NAME(x) x
#define C_TARGET
#include "kernels_code.h"

const struct vl_kernels vl_kernels_neon = {
	.name = "neon",
	.blake3_compress = vl_blake3_compress_portable,
	.blake3_many = many,
	.sha256_blocks = vl_sha256_blocks_portable,
	.crc32c = vl_crc32c_portable,
	.q16_from_f32 = q16_from_f32,
	.q16_norm = q16_norm,
	.q16_l2 = q16_l2,
	.q16_l2_rows = q16_l2_rows,
	.q16_l2_block = q16_l2_block,
	.code_l2 = code_l2,
	.code_l2_rows = code_l2_rows,
	.code_l2_gather = code_l2_gather,
	.code_l2_block = code_l2_block,
	.f32s_from_decimals = vl_f32s_from_decimals_portable,
};
#endif
