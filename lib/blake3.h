/*
 * blake3.h - BLAKE3 (2020 specification, https://github.com/BLAKE3-team/BLAKE3-specs): plain and derive-key hashes of
 * 32 bytes, one input at a time or many equally long inputs in parallel lanes.
 *
 * The project hashes with derive-key only (every kind of object has its own context string, so that no object can be
 * passed off as another), except for the plain hash of request tables, section digests and source names.
 */
#ifndef VL_BLAKE3_H
#define VL_BLAKE3_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bytes.h"
#include "env.h"

enum {
	VL_HASH_SIZE = 32,
	VL_BLAKE3_BLOCK = 64,
	VL_BLAKE3_CHUNK = 1024,
	VL_BLAKE3_DEPTH = 54 /* chunks of a 2^64-byte input make a tree of this height */
};

/* The contexts, each with its derived key in blake3.c; a unit test derives the keys again from the strings. */
enum vl_context {
	VL_HASH_PLAIN,      /* no context: ordinary BLAKE3 */
	VL_HASH_VECTOR,     /* "valori vector v1" */
	VL_HASH_METADATA,   /* "valori metadata v1" */
	VL_HASH_KEY,        /* "valori key v1" */
	VL_HASH_EVENT,      /* "valori event v1" */
	VL_HASH_EVENTS,     /* "valori events v1": inner nodes of one commit's events_root */
	VL_HASH_TREE,       /* "valori tree v1": inner nodes of the state's trees */
	VL_HASH_RECORD,     /* "valori record v1" */
	VL_HASH_NODE,       /* "valori node v1": leaf of a graph node */
	VL_HASH_EDGE,       /* "valori edge v1" */
	VL_HASH_META,       /* "valori meta v1": leaf of a meta slot */
	VL_HASH_META_VALUE, /* "valori meta value v1" */
	VL_HASH_COLLECTION, /* "valori collection v1" */
	VL_HASH_CONFIG,     /* "valori config v1" */
	VL_HASH_STATE,      /* "valori state v1" */
	VL_HASH_INDEX,      /* "valori index v1" */
	VL_HASH_CONTEXTS
};

/* The context string, or NULL for VL_HASH_PLAIN. */
const char *vl_blake3_context(enum vl_context context);

/* Hash of one input of any size (0 included) into out[32]. */
void vl_blake3(const struct vl_kernels *kernels, enum vl_context context, const void *data, size_t size,
	       uint8_t out[VL_HASH_SIZE]);

/*
 * Hashes of count inputs of the same size (0 included, any size) into out[count][32]. Uses every lane of the machine:
 * for short inputs this is many times faster than one by one. inputs[i] need no alignment.
 */
void vl_blake3_many(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *const *inputs,
		    size_t size, size_t count, uint8_t *out);

/* The same for inputs that lie stride bytes apart: input i starts at data + i * stride. */
void vl_blake3_rows(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *data, size_t stride,
		    size_t size, size_t count, uint8_t *out);

/* A hash that is fed in pieces. */
struct vl_blake3 {
	const struct vl_kernels *kernels;
	uint32_t key[8];
	uint32_t cv[8];    /* of the current chunk */
	uint64_t chunk;    /* number of the current chunk */
	uint8_t block[64]; /* not yet compressed: kept full until more arrives, for the last block is special */
	uint8_t block_size, blocks, flags;
	uint8_t stack_count;
	uint8_t stack[VL_BLAKE3_DEPTH + 1][VL_HASH_SIZE];
};

void vl_blake3_init(struct vl_blake3 *hash, const struct vl_kernels *kernels, enum vl_context context);
/* Whole chunks go through blake3_many in lanes: bulk speed for large updates. */
void vl_blake3_update(struct vl_blake3 *hash, const void *data, size_t size);
/* May be called in the middle: the hash of all bytes so far; more can be added afterwards. */
void vl_blake3_final(const struct vl_blake3 *hash, uint8_t out[VL_HASH_SIZE]);

/*
 * For the kernels.
 *
 * blake3_compress: one compression of a whole block of 64 bytes, of which block_size count (the rest are zero); cv is
 * replaced by the next chaining value.
 *
 * blake3_many: for each i < count, the chaining value of input i, into out + 32 * i. An input is blocks blocks long,
 * but of its last block only last_block_size (0...64) bytes exist; exactly the bytes that exist are read. Every
 * compression of input i has the counter counter + i * counter_step (step 0 or 1) and the flags flags, besides
 * flags_start in the first and flags_end in the last; the first starts from key. blocks is at least 1; out lies apart
 * from all inputs.
 */
enum {
	VL_BLAKE3_CHUNK_START = 1,
	VL_BLAKE3_CHUNK_END = 2,
	VL_BLAKE3_PARENT = 4,
	VL_BLAKE3_ROOT = 8,
	VL_BLAKE3_DERIVE_KEY_CONTEXT = 32,
	VL_BLAKE3_DERIVE_KEY_MATERIAL = 64
};

extern const uint32_t vl_blake3_iv[8];

/* The seven rounds as calls of ROUND with the numbers of the message words in the order of their use. */
#define VL_BLAKE3_ROUNDS(ROUND)                                     \
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) \
	ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8) \
	ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1) \
	ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6) \
	ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4) \
	ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7) \
	ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

static inline void vl_blake3_put(uint8_t out[VL_HASH_SIZE], const uint32_t cv[8])
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	/* In one piece: the next node's block is loaded in one, and would wait for eight small stores. */
	memcpy(out, cv, VL_HASH_SIZE);
#else
	for (unsigned i = 0; i < 8; i++)
		vl_put32(out + 4 * i, cv[i]);
#endif
}

/* One input of blake3_many by a given compression: what every kernel does with one that is left over. */
static inline void vl_blake3_one(void (*compress)(uint32_t cv[8], const uint8_t block[64], uint8_t block_size,
						  uint64_t counter, uint8_t flags),
				 const uint8_t *input, size_t blocks, const uint32_t key[8], uint64_t counter,
				 uint8_t flags, uint8_t flags_start, uint8_t flags_end, uint8_t last_block_size,
				 uint8_t *out)
{
	uint8_t block_flags = flags | flags_start;
	uint8_t last[64] = {0};
	uint32_t cv[8];

	memcpy(cv, key, sizeof(cv));
	for (; blocks > 1; blocks--, input += 64) {
		compress(cv, input, 64, counter, block_flags);
		block_flags = flags;
	}
	if (last_block_size < 64) {
		if (last_block_size > 0)
			memcpy(last, input, last_block_size);
		input = last;
	}
	compress(cv, input, last_block_size, counter, block_flags | flags_end);
	vl_blake3_put(out, cv);
}

void vl_blake3_compress_portable(uint32_t cv[8], const uint8_t block[64], uint8_t block_size, uint64_t counter,
				 uint8_t flags);
void vl_blake3_many_portable(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8],
			     uint64_t counter, unsigned counter_step, uint8_t flags, uint8_t flags_start,
			     uint8_t flags_end, uint8_t last_block_size, uint8_t *out);

#endif
