/*
 * block.h - memory that versions share: flat, counted, copied when somebody who shares it wants to change
 * it.
 *
 * An index is made of these: one piece of memory each, so that a search goes from a number to an address
 * without a table in between. Two versions of an index share a block until one of them writes to what the
 * other can see. Counting is atomic; what the bytes are is the business of one writer.
 */
#ifndef VL_BLOCK_H
#define VL_BLOCK_H

#include <stdbool.h>

#include "env.h"

struct vl_block {
	void *data;		  /* aligned to 64; of a mapped one: as it lies in the file */
	size_t size;		  /* bytes */
	struct vl_shared *shared; /* private */
};

/* A block of size bytes (contents undefined) that nobody shares. false: out of memory, block is empty. */
bool vl_block_new(struct vl_block *block, const struct vl_env *env, size_t size);
/*
 * Around memory that somebody else keeps and that nobody may write to: a mapped section. It counts as shared
 * for ever.
 */
void vl_block_map(struct vl_block *block, const void *data, size_t size);
/* Another owner of the same memory: copies the struct and counts. Any thread that owns one. */
struct vl_block vl_block_share(const struct vl_block *block);
/*
 * Makes sure that this owner is the only one: copies the first used bytes when it is not. false: out of
 * memory, unchanged.
 */
bool vl_block_own(struct vl_block *block, const struct vl_env *env, size_t used);
/*
 * Room for size bytes, of which the first used stay as they are: new memory when the block is smaller or
 * mapped, else as it is, even when it is shared. For one who only appends: what lies behind used is nobody
 * else's. false: out of memory, unchanged.
 */
bool vl_block_reserve(struct vl_block *block, const struct vl_env *env, size_t used, size_t size);
/* Gives this owner's share back; the last one releases the memory. An empty block is fine. */
void vl_block_free(struct vl_block *block);

#endif
