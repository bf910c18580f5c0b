/* sha256.c - SHA-256 in pieces, its portable compression, and the RFC 6962 frontier. */
#include "sha256.h"

#include <string.h>

static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

const uint32_t vl_sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t get32_big(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32_big(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 24);
	p[1] = (uint8_t)(value >> 16);
	p[2] = (uint8_t)(value >> 8);
	p[3] = (uint8_t)value;
}

/* Pads what is left (below one block) of an input of size bytes, and puts out the hash. */
static void finish(const struct vl_kernels *kernels, uint32_t h[8], const uint8_t *rest, uint64_t size, uint8_t out[32])
{
	uint8_t last[128] = {0};
	size_t rest_size = size % 64;
	size_t last_size = rest_size < 56 ? 64 : 128;

	if (rest_size > 0)
		memcpy(last, rest, rest_size);
	last[rest_size] = 0x80;
	put32_big(last + last_size - 8, (uint32_t)(size >> 29));
	put32_big(last + last_size - 4, (uint32_t)(size << 3));
	kernels->sha256_blocks(h, last, last_size / 64);
	for (unsigned i = 0; i < 8; i++)
		put32_big(out + 4 * i, h[i]);
}

void vl_sha256(const struct vl_kernels *kernels, const void *data, size_t size, uint8_t out[32])
{
	const uint8_t *p = data;
	uint32_t h[8];

	memcpy(h, start, sizeof(h));
	if (size >= 64) {
		kernels->sha256_blocks(h, p, size / 64);
		p += size - size % 64;
	}
	finish(kernels, h, p, size, out);
}

void vl_sha256_init(struct vl_sha256 *hash, const struct vl_kernels *kernels)
{
	hash->kernels = kernels;
	memcpy(hash->h, start, sizeof(hash->h));
	hash->size = 0;
}

void vl_sha256_update(struct vl_sha256 *hash, const void *data, size_t size)
{
	const uint8_t *p = data;
	size_t have = hash->size % 64;

	hash->size += size;
	if (have > 0) {
		size_t some = 64 - have < size ? 64 - have : size;

		if (some > 0)
			memcpy(hash->block + have, p, some);
		if (have + some < 64)
			return;
		hash->kernels->sha256_blocks(hash->h, hash->block, 1);
		p += some;
		size -= some;
	}
	if (size >= 64) {
		hash->kernels->sha256_blocks(hash->h, p, size / 64);
		p += size - size % 64;
		size %= 64;
	}
	if (size > 0)
		memcpy(hash->block, p, size);
}

void vl_sha256_final(const struct vl_sha256 *hash, uint8_t out[32])
{
	uint32_t h[8];

	memcpy(h, hash->h, sizeof(h));
	finish(hash->kernels, h, hash->block, hash->size, out);
}

/* An inner node: SHA-256(0x01 | left | right). out may be left or right. */
static void hash_node(const struct vl_kernels *kernels, const uint8_t left[32], const uint8_t right[32],
		      uint8_t out[32])
{
	uint8_t node[65];

	node[0] = 1;
	memcpy(node + 1, left, 32);
	memcpy(node + 33, right, 32);
	vl_sha256(kernels, node, sizeof(node), out);
}

void vl_frontier_append(struct vl_frontier *frontier, const struct vl_kernels *kernels, const uint8_t leaf[32])
{
	unsigned count = vl_frontier_count(frontier->size);
	uint8_t root[32];

	memcpy(root, leaf, 32);
	for (uint64_t size = frontier->size; size & 1; size >>= 1)
		hash_node(kernels, frontier->roots[--count], root, root);
	memcpy(frontier->roots[count], root, 32);
	frontier->size++;
}

void vl_frontier_root(const struct vl_frontier *frontier, const struct vl_kernels *kernels, uint8_t out[32])
{
	unsigned count = vl_frontier_count(frontier->size);

	if (count == 0) {
		vl_sha256(kernels, NULL, 0, out);
		return;
	}
	memcpy(out, frontier->roots[--count], 32);
	while (count > 0)
		hash_node(kernels, frontier->roots[--count], out, out);
}

static inline uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

void vl_sha256_blocks_portable(uint32_t h[8], const uint8_t *data, size_t blocks)
{
	for (; blocks > 0; blocks--, data += 64) {
		uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], i = h[7];
		uint32_t w[64];

		for (unsigned t = 0; t < 16; t++)
			w[t] = get32_big(data + 4 * t);
		for (unsigned t = 16; t < 64; t++) {
			uint32_t x = w[t - 15], y = w[t - 2];

			w[t] = w[t - 16] + w[t - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
			       (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
		}
		for (unsigned t = 0; t < 64; t++) {
			uint32_t x = i + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
				     vl_sha256_k[t] + w[t];
			uint32_t y = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

			i = g;
			g = f;
			f = e;
			e = d + x;
			d = c;
			c = b;
			b = a;
			a = x + y;
		}
		h[0] += a;
		h[1] += b;
		h[2] += c;
		h[3] += d;
		h[4] += e;
		h[5] += f;
		h[6] += g;
		h[7] += i;
	}
}
