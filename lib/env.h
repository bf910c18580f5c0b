/*
 * env.h - what the machine offers the pure core: memory and the kernels of this CPU.
 *
 * Below the waterline nothing is asked of the world. Whoever stands above it (lib/cpu for the SIMD kernels, the
 * engine, a bare-metal main) fills in one of these and hands it down; it outlives everything made with it.
 */
#ifndef VL_ENV_H
#define VL_ENV_H

#include <stddef.h>
#include <stdint.h>

/*
 * One set of hot loops. Every member computes exactly what its portable twin computes, bit for bit, for every
 * input; tests/unit compares them on extremes. Constant tables, one per instruction set, see blake3.h, sha256.h,
 * crc32c.h, q16.h, code.h, decimal.h for each member's contract.
 */
struct vl_kernels {
	const char *name; /* "portable", "sse4", "avx2", "avx512", "neon" */

	/* blake3.h */
	void (*blake3_compress)(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter,
				uint8_t flags);
	void (*blake3_many)(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8],
			    uint64_t counter, unsigned counter_step, uint8_t flags, uint8_t flags_start,
			    uint8_t flags_end, uint8_t last_block_size, uint8_t *out);
	/* sha256.h */
	void (*sha256_blocks)(uint32_t h[8], const uint8_t *data, size_t blocks);
	/* crc32c.h */
	uint32_t (*crc32c)(uint32_t crc, const uint8_t *data, size_t size);
	/* q16.h */
	uint64_t (*q16_from_f32)(const uint8_t *source, size_t dim, uint8_t *target);
	uint64_t (*q16_norm)(const uint8_t *vector, size_t dim);
	uint64_t (*q16_l2)(const uint8_t *a, const uint8_t *b, size_t dim);
	void (*q16_l2_rows)(const uint8_t *query, const uint8_t *rows, size_t count, size_t dim, uint64_t *out);
	void (*q16_l2_block)(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			     size_t dim, uint64_t *out);
	/* code.h */
	uint32_t (*code_l2)(const uint8_t *a, const uint8_t *b, size_t stride);
	void (*code_l2_rows)(const uint8_t *query, const uint8_t *rows, size_t count, size_t stride, uint32_t *out);
	void (*code_l2_gather)(const uint8_t *query, const uint8_t *base, const uint32_t *numbers, size_t count,
			       size_t stride, uint32_t *out);
	void (*code_l2_block)(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			      size_t stride, uint32_t *out);
	/* decimal.h */
	size_t (*f32s_from_decimals)(const char *text, size_t size, size_t max, uint32_t *out, size_t *count);
};

extern const struct vl_kernels vl_kernels_portable;

struct vl_env {
	/* Returns size bytes aligned to 64, contents undefined, or NULL. */
	void *(*alloc)(void *context, size_t size);
	/* Gives back what alloc returned, with the same size; memory may be NULL. */
	void (*release)(void *context, void *memory, size_t size);
	void *context;
	const struct vl_kernels *kernels;
};

static inline void *vl_alloc(const struct vl_env *env, size_t size)
{
	return env->alloc(env->context, size);
}

static inline void vl_release(const struct vl_env *env, void *memory, size_t size)
{
	if (memory != NULL)
		env->release(env->context, memory, size);
}

#endif
