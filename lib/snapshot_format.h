/*
 * snapshot_format.h - header and section table of a snapshot file, for the files that read, write and check
 * them.
 *
 * snapshot.h says what lies where. Every section of this version is always there, in ascending order of its
 * kind, each at the first multiple of 4096 behind the one before; the file ends at such a multiple. So
 * nothing in the table is free: offsets follow from the counts.
 *
 * Version 2 is packed: of records that are deleted and that no node names, sections 1 to 4 and the leaves of the
 * records' tree hold nothing; one element more, the first, stands for them all. A section more says which are kept
 * (array.h), and the header how many record slots there are. It is written when it leaves out VL_PACK_MIN records and
 * an eighth of all.
 */
#ifndef VL_SNAPSHOT_FORMAT_H
#define VL_SNAPSHOT_FORMAT_H

#include "snapshot.h"

/* Kinds of sections beside those of the state (enum vl_section in state.h). */
enum {
	VL_KIND_TREES = 32, /* + list: all levels of its tree, leaves first, without gaps */
	VL_KIND_REQUESTS = 40,
	VL_KIND_REQUEST_BUCKETS = 41,
	VL_KIND_KEPT = 42, /* of version 2 */
	VL_KIND_DERIVED = 0x8000, /* from here on they may be skipped */
	VL_KIND_INDEX = 0x8000    /* + part */
};

/* Places in the table. The sections of the state come first, by kind - 1. */
enum {
	VL_PART_TREES = VL_SECTIONS_END - 1,
	VL_PART_REQUESTS = VL_PART_TREES + VL_LISTS,
	VL_PART_REQUEST_BUCKETS,
	VL_PARTS,
	VL_PART_KEPT = VL_PARTS /* of version 2 */
};
enum { VL_SNAPSHOT_PLAIN = 1, VL_SNAPSHOT_PACKED = 2 };
#define VL_PACK_MIN 8192

struct vl_part {
	uint32_t kind, elem_size;
	uint64_t offset, size, count;
	uint8_t digest[VL_HASH_SIZE];
};

struct vl_snapshot_head {
	uint32_t version;
	uint64_t slots; /* of records */
	struct vl_position position;
	struct vl_totals totals;
	uint64_t requests; /* in the log so far */
	uint64_t file_size;
	uint32_t part_count;
	struct vl_part parts[VL_PARTS_MAX];
};

struct vl_snapshot {
	const struct vl_env *env;
	const struct vl_os *os;
	char *path;
	const uint8_t *data;  /* mapped, or of a stream */
	uint8_t *received;    /* the same, when it is of a stream, and ours */
	size_t received_size; /* of the block */
	struct vl_snapshot_head head;
};

static inline bool vl_is_packed(const struct vl_snapshot_head *head)
{
	return head->version == VL_SNAPSHOT_PACKED;
}

/* Parts that are there whether there is an index or not. */
static inline unsigned vl_own_parts(const struct vl_snapshot_head *head)
{
	return vl_is_packed(head) ? VL_PARTS + 1 : VL_PARTS;
}

static inline unsigned vl_part_of(enum vl_section section)
{
	return (unsigned)section - 1;
}

const char *vl_part_name(uint32_t kind);
uint64_t vl_snapshot_align(uint64_t offset);
/* Hashes in all levels of the tree over so many slots. */
uint64_t vl_snapshot_tree_size(uint64_t slots);
/* The counts of a packed snapshot, of whose slots so many are kept. */
void vl_snapshot_pack(struct vl_snapshot_head *head, uint64_t kept);

/*
 * Puts offsets, kinds, element sizes, sizes and the file's size in place, from the counts; those of an index
 * (or NULL) behind the others. FULL: no file could be so large.
 */
valori_code vl_snapshot_plan(struct vl_snapshot_head *head, const struct vl_index *index, valori_error *error);
void vl_snapshot_head_encode(const struct vl_snapshot_head *head, const struct vl_kernels *kernels,
			     uint8_t out[VL_SNAPSHOT_HEADER]);
/* file_size is what is really there, name is for messages: OK, NOT_OURS, NEWER, DAMAGED. */
valori_code vl_snapshot_head_decode(const uint8_t data[VL_SNAPSHOT_HEADER], uint64_t file_size,
				    const char *name, const struct vl_kernels *kernels,
				    struct vl_snapshot_head *out, valori_error *error);
/* What the header says about the file's size, before it was checked. */
uint64_t vl_snapshot_claimed_size(const uint8_t data[VL_SNAPSHOT_HEADER]);

void vl_snapshot_head_describe(const struct vl_snapshot_head *head, const struct vl_kernels *kernels,
			       valori_snapshot_info *out);

/* Digests of all sections, and zeros between them: OK or DAMAGED. */
valori_code vl_snapshot_check_bytes(const struct vl_snapshot *snapshot, valori_error *error);
/*
 * Is the file, whose digests were found right, what would be written from what is attached to it? OK, or
 * DAMAGED with the first byte that is not.
 */
valori_code vl_snapshot_compare(const struct vl_snapshot *snapshot, const struct vl_state *state,
				const struct vl_commitment *commitment, const struct vl_requests *requests,
				const struct vl_index *index, valori_error *error);
/* DAMAGED with this offset: "NAME: offset N: fact". */
valori_code vl_snapshot_damaged(const char *name, uint64_t offset, const char *fact, valori_error *error);
/* IO with system_errno, or NOT_FOUND when there is no such file. */
valori_code vl_snapshot_io(const char *path, int error_number, const char *fact, valori_error *error);

#endif
