/*
 * commitment.h - the state root, kept up to date by paths, and its oracle, computed from nothing.
 *
 * One binary tree per list: leaf i is the hash of slot i's preimage; height = ceil(log2(max(1, slots)));
 * missing positions are 32 zero bytes; an inner node whose children are both zero is zero, else H_tree(left |
 * right). All levels are vl_arrays of 32-byte elements; level 0 holds the leaves.
 *
 *   state_root = H_state(dim u32 | arithmetic u32 = 1 | config digest | roots of records, nodes, edges, meta,
 *     collections
 *                        | slot counts of the same, u64 each)                                                  240
 *                          bytes
 *
 * An update costs the changed leaves and the paths above them, hashed level by level in parallel lanes;
 * nothing depends on the number of slots but the height of the paths.
 */
#ifndef VL_COMMITMENT_H
#define VL_COMMITMENT_H

#include "state.h"

enum { VL_LEVELS_MAX = 33 };

struct vl_tree {
	struct vl_array level[VL_LEVELS_MAX]; /* of 32-byte elements */
};

/*
 * Levels that exist: height + 1, or 0 when there is no slot. level[i].count is ceil(slots / 2^i) for them, 0
 * above.
 */
static inline uint32_t vl_tree_levels(const struct vl_tree *tree)
{
	uint64_t count = tree->level[0].count;
	uint32_t levels = count > 0;

	for (; count > 1; count = (count + 1) / 2)
		levels++;
	return levels;
}

struct vl_commitment {
	const struct vl_env *env;
	struct vl_tree trees[VL_LISTS];
	struct vl_buf scratch, slots, hashes;
};

valori_code vl_commitment_init(struct vl_commitment *commitment, struct vl_pool *pool, valori_error *error);
void vl_commitment_free(struct vl_commitment *commitment);

/*
 * Brings the trees up to date with the state's dirty slots (and empties those lists) and gives the root.
 * Undone by vl_pool_abort like everything else when called between begin and commit. OK or NO_MEMORY.
 */
valori_code vl_commitment_update(struct vl_commitment *commitment, struct vl_state *state, uint8_t root[VL_HASH_SIZE],
				 valori_error *error);
/*
 * A leaf of the records' tree. A packed snapshot leaves out those of deleted records, and where it was mapped they are
 * zeros in level 0, as no leaf is: then it is made anew.
 */
void vl_commitment_record_leaf(const struct vl_commitment *commitment, uint64_t slot, uint8_t out[VL_HASH_SIZE]);
/* The root of a list as of the last update: zeros for an empty list. */
void vl_commitment_list_root(const struct vl_commitment *commitment, enum vl_list list, uint8_t out[VL_HASH_SIZE]);
/*
 * The oracle: the state root from the state alone, all leaves hashed again. contents: also the digests of
 * vectors, keys and metadata are computed again from the content and compared (DAMAGED names the record).
 */
valori_code vl_state_root(const struct vl_state *state, bool contents, uint8_t root[VL_HASH_SIZE], valori_error *error);

#endif
