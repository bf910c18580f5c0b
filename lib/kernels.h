/*
 * kernels.h - the kernel sets of this build, and what they lend each other.
 *
 * One file per instruction set, kernels_ISA.c, which the Makefile compiles for it, and which is empty on other
 * processors. Nothing but its table leaves such a file, so that nobody comes to use an instruction by accident.
 */
#ifndef VL_KERNELS_H
#define VL_KERNELS_H

#include "blake3.h"
#include "code.h"
#include "crc32c.h"
#include "decimal.h"
#include "env.h"
#include "q16.h"
#include "sha256.h"

/*
 * Keeps the compiler from adding in another order: in a + message + b it is b that is waited for, so the message has to
 * be in a before.
 */
#if defined(__aarch64__)
#define VL_HOLD(x) __asm__("" : "+w"(x));
#else
#define VL_HOLD(x) __asm__("" : "+v"(x));
#endif

/*
 * Before a loop over the parts of an array of vectors: unrolled, the array becomes registers. gcc does not see at -O2
 * that it is worth it.
 */
#define VL_UNROLL _Pragma("GCC unroll 16")
/* Likewise for functions that take such an array. */
#define VL_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
/* [1] where the processor has the SHA instructions, which do not come with any of these. */
extern const struct vl_kernels vl_kernels_sse4[2];
extern const struct vl_kernels vl_kernels_avx2[2];
extern const struct vl_kernels vl_kernels_avx512[4]; /* [2 + ...] where it has AVX512-VNNI */

/* Lent by kernels_sse4.c to the others. */
void vl_sha256_blocks_sha(uint32_t h[8], const uint8_t *data, size_t blocks);
uint32_t vl_crc32c_sse4(uint32_t crc, const uint8_t *data, size_t size);
size_t vl_f32s_from_decimals_sse4(const char *text, size_t size, size_t max, uint32_t *out, size_t *count);
#endif

#if defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VL_KERNELS_NEON
extern const struct vl_kernels vl_kernels_neon;
#endif

#endif
