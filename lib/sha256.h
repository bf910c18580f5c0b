/*
 * sha256.h - SHA-256 (FIPS 180-4) and the RFC 6962 frontier: the log tree's arithmetic.
 */
#ifndef VL_SHA256_H
#define VL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

void vl_sha256(const struct vl_kernels *kernels, const void *data, size_t size, uint8_t out[32]);

struct vl_sha256 {
	const struct vl_kernels *kernels;
	uint32_t h[8];
	uint64_t size; /* bytes so far */
	uint8_t block[64];
};

void vl_sha256_init(struct vl_sha256 *hash, const struct vl_kernels *kernels);
void vl_sha256_update(struct vl_sha256 *hash, const void *data, size_t size);
void vl_sha256_final(const struct vl_sha256 *hash, uint8_t out[32]);

/*
 * The Merkle tree of RFC 6962 section 2.1 over leaves that come one after the other, as its frontier: the roots of
 * the complete subtrees, largest first; there are popcount(size) of them. Enough to append and to give the root.
 */
struct vl_frontier {
	uint64_t size; /* leaves */
	uint8_t roots[64][32];
};

static inline unsigned vl_frontier_count(uint64_t size)
{
	unsigned count = 0;

	for (; size != 0; size &= size - 1)
		count++;
	return count;
}

/* leaf is a leaf *hash*: SHA-256(0x00 | leaf data). */
void vl_frontier_append(struct vl_frontier *frontier, const struct vl_kernels *kernels, const uint8_t leaf[32]);
/* The tree's root; of the empty tree SHA-256 of nothing, as the RFC says. */
void vl_frontier_root(const struct vl_frontier *frontier, const struct vl_kernels *kernels, uint8_t out[32]);

/*
 * For the kernels. sha256_blocks: the compression function over blocks blocks of 64 bytes, one after the other; h is
 * replaced by the next state.
 */
extern const uint32_t vl_sha256_k[64];

void vl_sha256_blocks_portable(uint32_t h[8], const uint8_t *data, size_t blocks);

#endif
