/*
 * table.h - hash tables made of arrays: linear hashing with chains through the entries.
 *
 * Entries are slots of other arrays, which hold each entry's hash (u32, wherever they like) and a link (u32:
 * the next entry of its bucket + 1, 0 at the end). A bucket is a u32: its first entry + 1, or 0. There are as
 * many buckets as there ever were entries at one time; each insert may add one, which splits one chain: no
 * insert ever costs more than that. Buckets and links are a function of the inserts and removals alone, so
 * they are snapshot sections as they lie.
 *
 * With n buckets and p the largest power of two <= n, hash h belongs to bucket h mod 2p, or, when there is no
 * such bucket yet, to h mod p. New entries come first in their bucket; a split keeps the order.
 *
 * Links may come from a damaged file: one that leads nowhere ends its chain, and no walk is longer than there
 * are entries.
 */
#ifndef VL_TABLE_H
#define VL_TABLE_H

#include "array.h"

struct vl_table {
	struct vl_array *buckets; /* elements of 4 bytes */
	struct vl_array *links, *hashes;
	uint32_t link_offset, hash_offset; /* in their elements */
};

/*
 * The entries whose hash is this one: *cursor starts at 0 and holds the entry + 1; *steps starts at 0. False:
 * no more.
 */
bool vl_table_next(const struct vl_table *table, uint32_t hash, uint32_t *cursor, uint64_t *steps);
/*
 * Puts entry, whose hash is set, into its bucket. entries: how many there are, this one included. False: out
 * of memory.
 */
bool vl_table_insert(const struct vl_table *table, uint64_t entry, uint64_t entries);
/* Takes entry out; does nothing when it is not there. False: out of memory. */
bool vl_table_remove(const struct vl_table *table, uint64_t entry);

#endif
