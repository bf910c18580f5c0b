/*
 * array.h - arrays of fixed-size elements that can be frozen, undone, and opened by mapping a file.
 *
 * All of a state is kept in these. An array is a radix tree of chunks; an element is a string of elem_size
 * bytes in file order (little-endian), so the chunks of a snapshot file are chunks of the array as they lie.
 * Three things come from this one place, for every kind of data above it:
 *
 *  - Freezing. A frozen array is a copy of this struct: its elements never change again, while the original
 *    goes on. The first change to an element that a frozen copy can see copies its chunk and the path to it;
 *    appending copies nothing. Old chunks are kept by the pool until no version that can see them is left.
 *  - Undoing. Between vl_pool_begin and vl_pool_commit the old bytes of each changed element are noted;
 *    vl_pool_abort puts them back and takes appended elements away.
 *  - Mapping. vl_array_map makes count elements at base (a mapped file, never written to) the start of the
 *    array in O(1). vl_array_map_packed does so where elements that are all the same were left out.
 *
 * One writer at a time; readers of frozen copies need no lock. Element pointers are good until the next
 * change to the array.
 */
#ifndef VL_ARRAY_H
#define VL_ARRAY_H

#include <stdbool.h>

#include "env.h"
#include "err.h"

struct vl_pool; /* what the arrays of one state share: memory, epochs, undo notes, chunks waiting for readers */

struct vl_array {
	struct vl_pool *pool;
	uint64_t count;
	uint32_t elem_size;
	uint32_t chunk_shift; /* 2^chunk_shift elements a chunk */
	/* private to array.c from here on */
	uint32_t depth;      /* levels of nodes above the chunks */
	void *root;          /* a node, or with depth 0 a chunk; NULL: all is mapped, or nothing is there */
	uint64_t root_epoch; /* in which root became the writer's own */
	const uint8_t *base; /* mapped elements */
	uint64_t base_count;
	const uint8_t *kept; /* of packed ones: which are there; NULL: all are */
	uint64_t kept_count; /* elements at base then */
	/* of the original only: set when it is first changed after a freeze or begin */
	uint64_t turn, epoch;
	uint64_t frozen;          /* elements that some frozen copy can see */
	uint64_t begun;           /* count at vl_pool_begin: what lies behind needs no undo note */
	struct vl_array *touched; /* the next array that was changed since begin */
	uint8_t *tail;            /* the chunk into which append writes */
	uint64_t tail_chunk;
};

/* A node of the tree; child_epoch says since when a child is the writer's own. */
enum { VL_ARRAY_FANOUT_SHIFT = 6, VL_ARRAY_FANOUT = 1 << VL_ARRAY_FANOUT_SHIFT };
struct vl_array_node {
	void *child[VL_ARRAY_FANOUT]; /* NULL: this part is mapped, or not there */
	uint64_t child_epoch[VL_ARRAY_FANOUT];
};

valori_code vl_pool_new(const struct vl_env *env, struct vl_pool **out, valori_error *error);
/* All arrays of the pool must have been freed, all frozen versions released. NULL is fine. */
void vl_pool_free(struct vl_pool *pool);
const struct vl_env *vl_pool_env(const struct vl_pool *pool);

/*
 * Versions. vl_pool_freeze starts a new epoch and returns the name of the old one (0: out of memory, nothing
 * is frozen); the caller then copies the arrays it wants (struct assignment) and releases the version when
 * done. Not between begin and commit/abort. Freeze and release are calls of the writer (the engine serialises
 * them). Chunks nobody can see any more are given back in release; releasing 0 does nothing.
 */
uint64_t vl_pool_freeze(struct vl_pool *pool);
void vl_pool_release(struct vl_pool *pool, uint64_t version);

/* The bracket. Neither costs more than what was changed inside it. */
void vl_pool_begin(struct vl_pool *pool);
void vl_pool_commit(struct vl_pool *pool);
void vl_pool_abort(struct vl_pool *pool);

/* The original must stay where it is: the pool remembers its address while a bracket is open. */
void vl_array_init(struct vl_array *array, struct vl_pool *pool, uint32_t elem_size, uint32_t chunk_shift);
void vl_array_free(struct vl_array *array); /* of the original, after all versions were released */
void vl_array_map(struct vl_array *array, const uint8_t *base, uint64_t count); /* array is empty */
/*
 * The same for count elements of which only some are at base, behind one that stands for all others: kept_count with
 * that one, at least 1. kept says which, VL_KEPT_SIZE bytes for each 64 elements: a bit of each u64, lowest first | how
 * many are kept before these u64. Whatever it says, nothing but those kept_count elements is read.
 */
enum { VL_KEPT_SHIFT = 6, VL_KEPT_SIZE = 16 };
void vl_array_map_packed(struct vl_array *array, const uint8_t *base, uint64_t kept_count, const uint8_t *kept,
			 uint64_t count);
/* A mapped element of a packed array, and how many follow it without a gap, itself included. */
const uint8_t *vl_array_unpack(const struct vl_array *array, uint64_t index, uint64_t *run);

/* Element index, which is below count: never NULL. */
static inline const uint8_t *vl_array_get(const struct vl_array *array, uint64_t index)
{
	const void *at = array->root;
	uint64_t chunk = index >> array->chunk_shift;

	for (uint32_t depth = array->depth; at != NULL && depth > 0; depth--) {
		uint64_t slot = chunk >> (depth - 1) * VL_ARRAY_FANOUT_SHIFT & (VL_ARRAY_FANOUT - 1);

		at = ((const struct vl_array_node *)at)->child[slot];
	}
	if (at == NULL && array->kept != NULL)
		return vl_array_unpack(array, index, NULL);
	if (at == NULL)
		return array->base + index * array->elem_size;
	return (const uint8_t *)at + (index - (chunk << array->chunk_shift)) * array->elem_size;
}

/*
 * Element index and how many follow it without a gap in memory (itself included), limited by count: for
 * scans.
 */
const uint8_t *vl_array_run(const struct vl_array *array, uint64_t index, uint64_t *run);
/*
 * Element index for writing, old bytes noted. NULL: out of memory. Write all you want to it before the next
 * array call.
 */
uint8_t *vl_array_edit(struct vl_array *array, uint64_t index);
/* The same for count elements, which must lie in one chunk. */
uint8_t *vl_array_edit_run(struct vl_array *array, uint64_t index, uint64_t count);
/* A new element behind the last one, zeroed. NULL: out of memory. */
uint8_t *vl_array_append(struct vl_array *array);
/*
 * Run of new zeroed elements without a gap in memory: up to *run of them (at least 1); *run becomes how many.
 * NULL: out of memory.
 */
uint8_t *vl_array_extend(struct vl_array *array, uint64_t *run);
/* The same, not zeroed: every byte must be written before anybody reads. */
uint8_t *vl_array_extend_raw(struct vl_array *array, uint64_t *run);

#endif
