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

#include "env.h"

enum {
	VL_HASH_SIZE = 32,
	VL_BLAKE3_BLOCK = 64,
	VL_BLAKE3_CHUNK = 1024,
	VL_BLAKE3_DEPTH = 54 /* chunks of a 2^64-byte input make a tree of this height */
};

/* The contexts, each with its derived key in blake3.c; a unit test derives the keys again from the strings. */
enum vl_context {
	VL_HASH_PLAIN,	    /* no context: ordinary BLAKE3 */
	VL_HASH_VECTOR,	    /* "valori vector v1" */
	VL_HASH_METADATA,   /* "valori metadata v1" */
	VL_HASH_KEY,	    /* "valori key v1" */
	VL_HASH_EVENT,	    /* "valori event v1" */
	VL_HASH_EVENTS,	    /* "valori events v1": inner nodes of one commit's events_root */
	VL_HASH_TREE,	    /* "valori tree v1": inner nodes of the state's trees */
	VL_HASH_RECORD,	    /* "valori record v1" */
	VL_HASH_NODE,	    /* "valori node v1": leaf of a graph node */
	VL_HASH_EDGE,	    /* "valori edge v1" */
	VL_HASH_META,	    /* "valori meta v1": leaf of a meta slot */
	VL_HASH_META_VALUE, /* "valori meta value v1" */
	VL_HASH_COLLECTION, /* "valori collection v1" */
	VL_HASH_CONFIG,	    /* "valori config v1" */
	VL_HASH_STATE,	    /* "valori state v1" */
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
void vl_blake3_many(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *const *inputs, size_t size,
		    size_t count, uint8_t *out);

/* The same for inputs that lie stride bytes apart: input i starts at data + i * stride. */
void vl_blake3_rows(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *data, size_t stride,
		    size_t size, size_t count, uint8_t *out);

/* A hash that is fed in pieces. */
struct vl_blake3 {
	const struct vl_kernels *kernels;
	uint32_t key[8];
	uint32_t cv[8];	   /* of the current chunk */
	uint64_t chunk;	   /* number of the current chunk */
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

#endif
