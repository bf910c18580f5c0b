/* blake3.c - BLAKE3: the tree over chunks, the derived keys, and the portable compression function. */
#include "blake3.h"

#include <string.h>

#include "bytes.h"

enum { LANES = 16, SUBTREE = 64, LANES_DEPTH = 12 };

const uint32_t vl_blake3_iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/*
 * A context's key is the hash of its string in the mode for contexts; it starts every hash made under it, in the
 * place of vl_blake3_iv.
 */
static const struct {
	const char *string;
	uint32_t key[8];
} contexts[VL_HASH_CONTEXTS] = {
	{NULL, {0}},
	{"valori vector v1",
	 {0xe3582e96, 0x66218004, 0x0946c0a4, 0x5d0cc687, 0xa4b8e237, 0x92268e0b, 0xbe600ba8, 0x73923ced}},
	{"valori metadata v1",
	 {0x101e77b1, 0x4536d6a8, 0x00ef4f59, 0xa4155b4f, 0xa543f7aa, 0xecdd9f5d, 0x814f141e, 0x5c1f5529}},
	{"valori key v1",
	 {0x18ede906, 0x833c9778, 0x48af8908, 0x3f09274c, 0xfd85a712, 0xecf1d126, 0x57d11f2b, 0x77a381da}},
	{"valori event v1",
	 {0x0a7df14f, 0xff05a6d6, 0x25cd7974, 0xbbbae194, 0xbe75b806, 0x3e52980b, 0x6d80e6c3, 0x55d54fd5}},
	{"valori events v1",
	 {0xb7b9ce6a, 0x822ead5c, 0xb8dc6a5d, 0x326d45d2, 0x7f1096d7, 0x1d0f4753, 0x2c568866, 0x2952777c}},
	{"valori tree v1",
	 {0xa2226a3d, 0xae4a8226, 0x8f834dd8, 0x85df4cd3, 0x83a8d7b0, 0x077adaf9, 0x78310439, 0xd5be0379}},
	{"valori record v1",
	 {0x9513c638, 0x0a6a1aac, 0x1abf6371, 0xa5f37d13, 0xf11ddb2c, 0x214d6b19, 0x8050c760, 0xc448e0ce}},
	{"valori node v1",
	 {0xfedeefe0, 0x58b07157, 0x755da568, 0x4d7f447a, 0x2969a828, 0xfc1f901f, 0x83195191, 0x01acc2cd}},
	{"valori edge v1",
	 {0x9c0fda4b, 0xe21107ba, 0xa00985c3, 0x04ab7ef4, 0xf73c04e7, 0xdb085fc4, 0xfb5440a9, 0x73cc40d5}},
	{"valori meta v1",
	 {0xa4ff9955, 0xbc509642, 0x222bc61e, 0x7a177d3b, 0x9160d1fc, 0xee136089, 0x65656221, 0x5b92d4fb}},
	{"valori meta value v1",
	 {0x052a12f0, 0xdda81c8e, 0xe5fdecf5, 0x2e487090, 0x29ff3c2c, 0x2e3d9b57, 0x01a10de4, 0x44873b47}},
	{"valori collection v1",
	 {0x6abaaa56, 0xe7caed03, 0xcc1a890d, 0x95a047bf, 0x1cbe9f73, 0xddbbd30b, 0x2b3c5e7e, 0xf905024b}},
	{"valori config v1",
	 {0x525e1d09, 0x53237536, 0x57f8c189, 0xae72f340, 0xec89d5c3, 0xa1ce1fc2, 0x50023046, 0xa12fce0d}},
	{"valori state v1",
	 {0x47cea673, 0xb0fda8d2, 0x3fc85f25, 0x31369e20, 0xf0319e60, 0x34c1b78f, 0x1c026058, 0x0ddb59ae}},
	{"valori index v1",
	 {0xcf2ec21f, 0xc8b2b053, 0x6a172c99, 0x1f71a4da, 0x9650b701, 0x8d4b1e59, 0xf56f690e, 0x895e4163}},
};

const char *vl_blake3_context(enum vl_context context)
{
	return contexts[context].string;
}

static const uint32_t *context_key(enum vl_context context)
{
	return context == VL_HASH_PLAIN ? vl_blake3_iv : contexts[context].key;
}

static uint8_t context_flags(enum vl_context context)
{
	return context == VL_HASH_PLAIN ? 0 : VL_BLAKE3_DERIVE_KEY_MATERIAL;
}

/* The hash of at most one chunk, as the whole input. */
static void hash_chunk(const struct vl_kernels *kernels, const uint32_t key[8], uint8_t flags, const uint8_t *data,
		       size_t size, uint8_t out[32])
{
	uint32_t cv[8];
	uint8_t block[64] = {0};
	uint8_t start = VL_BLAKE3_CHUNK_START;

	memcpy(cv, key, sizeof(cv));
	for (; size > 64; data += 64, size -= 64) {
		kernels->blake3_compress(cv, data, 64, 0, flags | start);
		start = 0;
	}
	if (size != 64) {
		if (size != 0)
			memcpy(block, data, size);
		data = block;
	}
	kernels->blake3_compress(cv, data, (uint8_t)size, 0, flags | start | VL_BLAKE3_CHUNK_END | VL_BLAKE3_ROOT);
	vl_blake3_put(out, cv);
}

void vl_blake3(const struct vl_kernels *kernels, enum vl_context context, const void *data, size_t size,
	       uint8_t out[VL_HASH_SIZE])
{
	struct vl_blake3 hash;

	if (size <= VL_BLAKE3_CHUNK) {
		hash_chunk(kernels, context_key(context), context_flags(context), data, size, out);
		return;
	}
	vl_blake3_init(&hash, kernels, context);
	vl_blake3_update(&hash, data, size);
	vl_blake3_final(&hash, out);
}

/*
 * Inputs of more than one chunk, at most LANES of them: they are all cut alike, so chunk c of each is hashed in the
 * lanes together, and their trees are folded together. pairs is the stack of complete subtrees that wait for their
 * right sibling: the left half of each pair, with room for the sibling, so that a pair is a parent's block.
 */
static void hash_trees(const struct vl_kernels *kernels, const uint32_t key[8], uint8_t flags,
		       const uint8_t *const *inputs, size_t size, size_t count, uint8_t *out)
{
	uint8_t pairs[LANES_DEPTH + 1][LANES][64];
	const uint8_t *pointers[LANES];
	size_t chunks = (size - 1) / VL_BLAKE3_CHUNK + 1;
	size_t last_size = size - (chunks - 1) * VL_BLAKE3_CHUNK;
	size_t depth = 0;

	for (size_t chunk = 0; chunk < chunks; chunk++) {
		uint8_t values[LANES][32];
		size_t chunk_size = chunk + 1 < chunks ? VL_BLAKE3_CHUNK : last_size;
		size_t blocks = (chunk_size - 1) / 64 + 1;

		for (size_t i = 0; i < count; i++)
			pointers[i] = inputs[i] + chunk * VL_BLAKE3_CHUNK;
		kernels->blake3_many(pointers, count, blocks, key, chunk, 0, flags, VL_BLAKE3_CHUNK_START,
				     VL_BLAKE3_CHUNK_END, (uint8_t)(chunk_size - (blocks - 1) * 64), values[0]);
		/* The last chunk folds everything that waits, and the last fold is the root. */
		for (size_t left = chunk + 1; chunk + 1 == chunks ? depth > 0 : (left & 1) == 0; left >>= 1) {
			bool root = chunk + 1 == chunks && depth == 1;

			depth--;
			for (size_t i = 0; i < count; i++) {
				memcpy(pairs[depth][i] + 32, values[i], 32);
				pointers[i] = pairs[depth][i];
			}
			kernels->blake3_many(pointers, count, 1, key, 0, 0,
					     flags | VL_BLAKE3_PARENT | (root ? VL_BLAKE3_ROOT : 0), 0, 0, 64,
					     values[0]);
		}
		if (chunk + 1 == chunks) {
			memcpy(out, values, count * 32);
			return;
		}
		for (size_t i = 0; i < count; i++)
			memcpy(pairs[depth][i], values[i], 32);
		depth++;
	}
}

void vl_blake3_many(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *const *inputs,
		    size_t size, size_t count, uint8_t *out)
{
	const uint32_t *key = context_key(context);
	uint8_t flags = context_flags(context);

	if (size <= VL_BLAKE3_CHUNK) {
		size_t blocks = size == 0 ? 1 : (size - 1) / 64 + 1;

		kernels->blake3_many(inputs, count, blocks, key, 0, 0, flags, VL_BLAKE3_CHUNK_START,
				     VL_BLAKE3_CHUNK_END | VL_BLAKE3_ROOT, (uint8_t)(size - (blocks - 1) * 64), out);
		return;
	}
	if (count == 1 || (size - 1) / VL_BLAKE3_CHUNK >= (size_t)1 << LANES_DEPTH) {
		for (size_t i = 0; i < count; i++)
			vl_blake3(kernels, context, inputs[i], size, out + i * 32);
		return;
	}
	for (size_t i = 0; i < count; i += LANES)
		hash_trees(kernels, key, flags, inputs + i, size, count - i < LANES ? count - i : LANES, out + i * 32);
}

void vl_blake3_rows(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *data, size_t stride,
		    size_t size, size_t count, uint8_t *out)
{
	const uint8_t *inputs[8 * LANES];

	while (count > 0) {
		size_t some = count < 8 * LANES ? count : 8 * LANES;

		for (size_t i = 0; i < some; i++)
			inputs[i] = data + i * stride;
		vl_blake3_many(kernels, context, inputs, size, some, out);
		count -= some;
		/* Only when more follows: a pointer beyond the end of the caller's memory may not even be made. */
		if (count > 0)
			data += some * stride;
		out += some * 32;
	}
}

void vl_blake3_init(struct vl_blake3 *hash, const struct vl_kernels *kernels, enum vl_context context)
{
	hash->kernels = kernels;
	memcpy(hash->key, context_key(context), sizeof(hash->key));
	memcpy(hash->cv, hash->key, sizeof(hash->cv));
	hash->chunk = 0;
	hash->block_size = 0;
	hash->blocks = 0;
	hash->flags = context_flags(context);
	hash->stack_count = 0;
}

static uint8_t start_flag(const struct vl_blake3 *hash)
{
	return hash->blocks == 0 ? VL_BLAKE3_CHUNK_START : 0;
}

static void compress_parent(const struct vl_blake3 *hash, const uint8_t pair[64], uint8_t root, uint8_t out[32])
{
	uint32_t cv[8];

	memcpy(cv, hash->key, sizeof(cv));
	hash->kernels->blake3_compress(cv, pair, 64, 0, hash->flags | VL_BLAKE3_PARENT | root);
	vl_blake3_put(out, cv);
}

/*
 * Adds the chaining value of a subtree of chunks chunks (a power of two that divides the number of those before it)
 * when more input follows it. The stack holds one value for every bit of the number of chunks before.
 */
static void push_subtree(struct vl_blake3 *hash, const uint8_t value[32], uint64_t chunks)
{
	memcpy(hash->stack[hash->stack_count++], value, 32);
	hash->chunk += chunks;
	for (uint64_t count = hash->chunk / chunks; (count & 1) == 0; count >>= 1) {
		hash->stack_count--;
		compress_parent(hash, hash->stack[hash->stack_count - 1], 0, hash->stack[hash->stack_count - 1]);
	}
}

/* Adds at most what is missing in the current chunk. */
static void update_chunk(struct vl_blake3 *hash, const uint8_t *data, size_t size)
{
	while (size > 0) {
		size_t some;

		if (hash->block_size == 64) {
			hash->kernels->blake3_compress(hash->cv, hash->block, 64, hash->chunk,
						       hash->flags | start_flag(hash));
			hash->blocks++;
			hash->block_size = 0;
		}
		some = 64u - hash->block_size < size ? 64u - hash->block_size : size;
		memcpy(hash->block + hash->block_size, data, some);
		hash->block_size = (uint8_t)(hash->block_size + some);
		data += some;
		size -= some;
	}
}

static void end_chunk(struct vl_blake3 *hash)
{
	uint8_t value[32];

	hash->kernels->blake3_compress(hash->cv, hash->block, 64, hash->chunk,
				       hash->flags | start_flag(hash) | VL_BLAKE3_CHUNK_END);
	vl_blake3_put(value, hash->cv);
	memcpy(hash->cv, hash->key, sizeof(hash->cv));
	hash->block_size = 0;
	hash->blocks = 0;
	push_subtree(hash, value, 1);
}

/* The chaining value of chunks whole chunks, a power of two, all hashed in lanes. */
static void hash_subtree(const struct vl_blake3 *hash, const uint8_t *data, size_t chunks, uint8_t out[32])
{
	const uint8_t *inputs[SUBTREE];
	uint8_t values[2][SUBTREE][32];
	unsigned side = 0;

	inputs[0] = data;
	for (size_t i = 1; i < chunks; i++)
		inputs[i] = data + i * VL_BLAKE3_CHUNK;
	hash->kernels->blake3_many(inputs, chunks, VL_BLAKE3_CHUNK / 64, hash->key, hash->chunk, 1, hash->flags,
				   VL_BLAKE3_CHUNK_START, VL_BLAKE3_CHUNK_END, 64, values[0][0]);
	for (chunks /= 2; chunks > 0; chunks /= 2, side ^= 1) {
		for (size_t i = 0; i < chunks; i++)
			inputs[i] = values[side][2 * i];
		hash->kernels->blake3_many(inputs, chunks, 1, hash->key, 0, 0, hash->flags | VL_BLAKE3_PARENT, 0, 0, 64,
					   values[side ^ 1][0]);
	}
	memcpy(out, values[side][0], 32);
}

void vl_blake3_update(struct vl_blake3 *hash, const void *data, size_t size)
{
	const uint8_t *p = data;

	while (size > 0) {
		size_t in_chunk = hash->blocks * 64u + hash->block_size;
		size_t chunks = SUBTREE;
		uint8_t value[32];

		if (in_chunk == VL_BLAKE3_CHUNK) {
			end_chunk(hash);
			in_chunk = 0;
		}
		if (in_chunk > 0 || size <= VL_BLAKE3_CHUNK) {
			size_t some = VL_BLAKE3_CHUNK - in_chunk < size ? VL_BLAKE3_CHUNK - in_chunk : size;

			update_chunk(hash, p, some);
			p += some;
			size -= some;
			continue;
		}
		/* A subtree is whole and not the last thing: so never all that is left, for that may be the root. */
		while (chunks > (size - 1) / VL_BLAKE3_CHUNK || (hash->chunk & (chunks - 1)) != 0)
			chunks /= 2;
		hash_subtree(hash, p, chunks, value);
		push_subtree(hash, value, chunks);
		p += chunks * VL_BLAKE3_CHUNK;
		size -= chunks * VL_BLAKE3_CHUNK;
	}
}

void vl_blake3_final(const struct vl_blake3 *hash, uint8_t out[VL_HASH_SIZE])
{
	uint8_t flags = hash->flags | start_flag(hash) | VL_BLAKE3_CHUNK_END;
	uint8_t pair[64] = {0};
	uint32_t cv[8];

	memcpy(pair, hash->block, hash->block_size);
	memcpy(cv, hash->cv, sizeof(cv));
	hash->kernels->blake3_compress(cv, pair, hash->block_size, hash->chunk,
				       flags | (hash->stack_count == 0 ? VL_BLAKE3_ROOT : 0));
	vl_blake3_put(out, cv);
	for (size_t i = hash->stack_count; i-- > 0;) {
		memcpy(pair, hash->stack[i], 32);
		memcpy(pair + 32, out, 32);
		compress_parent(hash, pair, i == 0 ? VL_BLAKE3_ROOT : 0, out);
	}
}

static inline uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static inline void mix(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d, uint32_t x, uint32_t y)
{
	*a += *b + x;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 12);
	*a += *b + y;
	*d = rotate(*d ^ *a, 8);
	*c += *d;
	*b = rotate(*b ^ *c, 7);
}

#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
	mix(&v0, &v4, &v8, &v12, m[m0], m[m1]);                                     \
	mix(&v1, &v5, &v9, &v13, m[m2], m[m3]);                                     \
	mix(&v2, &v6, &v10, &v14, m[m4], m[m5]);                                    \
	mix(&v3, &v7, &v11, &v15, m[m6], m[m7]);                                    \
	mix(&v0, &v5, &v10, &v15, m[m8], m[m9]);                                    \
	mix(&v1, &v6, &v11, &v12, m[m10], m[m11]);                                  \
	mix(&v2, &v7, &v8, &v13, m[m12], m[m13]);                                   \
	mix(&v3, &v4, &v9, &v14, m[m14], m[m15]);

void vl_blake3_compress_portable(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter,
				 uint8_t flags)
{
	uint32_t v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3], v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
	uint32_t v8 = vl_blake3_iv[0], v9 = vl_blake3_iv[1], v10 = vl_blake3_iv[2], v11 = vl_blake3_iv[3];
	uint32_t v12 = (uint32_t)counter, v13 = (uint32_t)(counter >> 32), v14 = block_size, v15 = flags;
	uint32_t m[16];

	for (unsigned i = 0; i < 16; i++)
		m[i] = vl_get32(block + 4 * i);
	VL_BLAKE3_ROUNDS(ROUND)
	cv[0] = v0 ^ v8;
	cv[1] = v1 ^ v9;
	cv[2] = v2 ^ v10;
	cv[3] = v3 ^ v11;
	cv[4] = v4 ^ v12;
	cv[5] = v5 ^ v13;
	cv[6] = v6 ^ v14;
	cv[7] = v7 ^ v15;
}

void vl_blake3_many_portable(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8],
			     uint64_t counter, unsigned counter_step, uint8_t flags, uint8_t flags_start,
			     uint8_t flags_end, uint8_t last_block_size, uint8_t *out)
{
	for (size_t i = 0; i < count; i++, counter += counter_step)
		vl_blake3_one(vl_blake3_compress_portable, inputs[i], blocks, key, counter, flags, flags_start,
			      flags_end, last_block_size, out + i * 32);
}
