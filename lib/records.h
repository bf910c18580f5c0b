/*
 * records.h - the arrays of records: what an element holds, byte by byte, and how blobs lie in the heap.
 *
 * All of these are sections of a snapshot. An element of the same index in records, places, digests and
 * vectors is the same record. Everything is little-endian; what is reserved is zero.
 *
 *   records, 16 bytes: what a scan looks at
 *      0 tag u64 | 8 collection u16 | 10 status u8 | 11 key size u8
 *     12 hash u32: decides the key's bucket; 0 without a key
 *   places, 32 bytes: where the rest is
 *      0 own u48: place of the blob "salts | key" | 6 0 u8 | 7 salted u8: 1 the vector, 2 the metadata
 *      8 metadata u64: place | 16 metadata size u32 (VL_ABSENT: none)
 *     20 chain u32: the next record in the bucket, + 1 | 24 first node u32, 28 last node u32 that name it, + 1
 *   digests, 96 bytes: K | V | M
 *   vectors, 4 x dim bytes
 *   key buckets, 4 bytes: the first record of the bucket, + 1
 *
 * A soft-deleted record keeps all but its place in the key table. A deleted one keeps status and nodes; its
 * vector, digests and blobs are zeroed.
 *
 * The heap holds blobs. Each is one piece in memory and in the file: none crosses a multiple of 65,536. The
 * blob "salts | key" starts with 32 bytes of salts (the vector's, the metadata's; zero when not salted) if
 * and only if salted is not 0. Nothing in the heap is ever moved; what a blob leaves behind is zeros, and
 * goes when a snapshot lays the heap out anew.
 */
#ifndef VL_RECORDS_H
#define VL_RECORDS_H

#include "array.h"
#include "bytes.h"
#include "event.h"
#include "table.h"

enum {
	VL_RECORD_TAG = 0,
	VL_RECORD_COLLECTION = 8,
	VL_RECORD_STATUS = 10,
	VL_RECORD_KEY_SIZE = 11,
	VL_RECORD_HASH = 12,
	VL_RECORD_SIZE = 16,

	VL_PLACE_OWN = 0,
	VL_PLACE_SALTED = 7,
	VL_PLACE_METADATA = 8,
	VL_PLACE_METADATA_SIZE = 16,
	VL_PLACE_CHAIN = 20,
	VL_PLACE_FIRST_NODE = 24, /* the last one follows */
	VL_PLACE_SIZE = 32,

	VL_DIGEST_K = 0,
	VL_DIGEST_V = 32,
	VL_DIGEST_M = 64,
	VL_DIGEST_SIZE = 96,

	VL_SALTED_VECTOR = 1,
	VL_SALTED_METADATA = 2,
	VL_HEAP_SHIFT = 16
};
#define VL_HEAP_END (UINT64_C(1) << 48)

struct vl_records {
	uint32_t dim;
	bool has_vectors;
	struct vl_array records, places, digests, vectors, heap, buckets;
};

/*
 * What a record's places say, after a look at every one of them: a file may lie, but no pointer leaves the
 * heap.
 */
struct vl_content {
	uint32_t salted, key_size, metadata_size; /* VL_ABSENT: no metadata */
	uint64_t own, metadata_place;
	uint32_t own_size;
	const uint8_t *salts;    /* 2 x VL_SALT_SIZE, or NULL */
	const uint8_t *key;      /* NULL: none */
	const uint8_t *metadata; /* NULL: absent */
};

/* ---- the heap ---- */

/* Where a blob of size bytes goes when the heap ends at end. */
static inline uint64_t vl_heap_fit(uint64_t end, uint32_t size)
{
	uint64_t room = (UINT64_C(1) << VL_HEAP_SHIFT) - (end & ((1 << VL_HEAP_SHIFT) - 1));

	return size <= room ? end : end + room;
}

/* A blob; NULL when there is no such place. Of size 0 it is somewhere, and nothing. */
const uint8_t *vl_heap_get(const struct vl_array *heap, uint64_t place, uint32_t size);
/* Room for a new blob of at most 65,536 bytes. NULL: out of memory. */
uint8_t *vl_heap_put(struct vl_array *heap, uint32_t size, uint64_t *place);
/* A blob for writing. NULL: out of memory, or no such place. */
uint8_t *vl_heap_edit(struct vl_array *heap, uint64_t place, uint32_t size);
/* Zeros in its stead. False: out of memory. */
bool vl_heap_wipe(struct vl_array *heap, uint64_t place, uint32_t size);
/*
 * Puts a blob where the old one was, when it fits, else behind all others; wipes what is left of the old one.
 * False: out of memory.
 */
bool vl_heap_replace(struct vl_array *heap, uint64_t *place, uint32_t old_size, const uint8_t *data, uint32_t size);

/* ---- records ---- */

void vl_records_init(struct vl_records *records, struct vl_pool *pool, uint32_t dim, bool has_vectors);
void vl_records_free(struct vl_records *records);

/* index is below records.count everywhere. */
void vl_records_content(const struct vl_records *records, uint64_t index, struct vl_content *out);
struct vl_table vl_records_table(struct vl_records *records);
/* The record in the table with this key. VALORI_NONE: none. */
uint64_t vl_records_find(const struct vl_records *records, uint16_t collection, const uint8_t *key, size_t key_size,
			 const uint8_t k[VL_HASH_SIZE]);

/* What follows has been checked; keys counts the entries of the table. False: out of memory. */
bool vl_records_insert(struct vl_records *records, const struct vl_event *event, uint64_t *keys);
bool vl_records_soft_delete(struct vl_records *records, uint64_t index, uint64_t *keys);
bool vl_records_delete(struct vl_records *records, uint64_t index, uint64_t *keys);
bool vl_records_set_metadata(struct vl_records *records, const struct vl_event *event);
bool vl_records_set_tag(struct vl_records *records, uint64_t index, uint64_t tag);

#endif
