/*
 * event.h - the canonical bytes of an event, and its digest: the only encoder and decoder.
 *
 * On disk, see valori-log(5): length u32 | type u8 | flags u8 | 0 u16 | payload[length] | zeros to 8 bytes.
 * Payloads, all integers little-endian; "none" is 2^64 - 1, an absent length 2^32 - 1:
 *
 *   INSERT            id u64 | tag u64 | collection u16 | key size u16 | metadata size u32
 *                     | [salt 16] | vector i32 x dim | key | metadata
 *   SOFT_DELETE       id u64
 *   DELETE            id u64
 *   SET_METADATA      id u64 | metadata size u32 | 0 u32 | [salt 16] | metadata
 *   SET_TAG           id u64 | tag u64
 *   NODE_CREATE       id u64 | record u64 | collection u16 | kind u8 | 0 x 5
 *   NODE_SET_RECORD   id u64 | record u64
 *   NODE_DELETE       id u64
 *   EDGE_CREATE       id u64 | from u64 | to u64 | kind u8 | 0 x 7
 *   EDGE_DELETE       id u64
 *   META_SET          slot u64 | key size u16 | 0 u16 | value size u32 | key | value
 *   META_DELETE       slot u64
 *   COLLECTION_CREATE id u64 | name size u16 | 0 x 6 | name
 *   COLLECTION_DROP   id u64
 *   CONFIG            parameter u32 | 0 u32 | value u64
 *   ERASE (16)        reserved: refused as a newer format, as is flag 2 (REDACTED)
 *
 * Flag 1 (SALTED) is allowed on INSERT, and on SET_METADATA with metadata. Key size 0 means no key (keys have
 * 1...255 bytes).
 *
 * Digests: V = H_vector(salt? | components), M = H_metadata(salt? | bytes) or zeros when absent, K =
 * H_key(key) or zeros when there is none; for META_SET K = H_key(key), M = H_meta_value(value); for
 * COLLECTION_CREATE K = H_key(name).
 *   D = H_event(type u8 | flags & 1 u8 | 0 u16 | 0 u32 | fixed | K | V | M), where fixed is
 *   INSERT: id u64 | tag u64 | collection u16 | 0 x 6;  SET_METADATA, META_SET, COLLECTION_CREATE: id u64;
 *   all others: the payload as above; and of K, V, M those that the type has:
 *   INSERT K V M; SET_METADATA M; META_SET K M; COLLECTION_CREATE K; others none.
 */
#ifndef VL_EVENT_H
#define VL_EVENT_H

#include "blake3.h"
#include "buf.h"
#include "err.h"

enum {
	VL_EVENT_HEADER = 8,
	VL_EVENT_PAYLOAD_MAX = 1 << 20,
	VL_EVENT_SALTED = 1,
	VL_EVENT_REDACTED = 2,
	VL_EVENT_TYPES = 16, /* types are below this */
	VL_SALT_SIZE = 16
};
#define VL_ABSENT UINT32_MAX /* size of metadata that is absent */

struct vl_event {
	uint8_t type; /* valori_event_type */
	uint8_t flags;
	uint8_t kind;                     /* nodes, edges */
	uint16_t collection;              /* INSERT, NODE_CREATE */
	uint32_t parameter;               /* CONFIG */
	uint32_t key_size, metadata_size; /* 0: no key; VL_ABSENT: no metadata */
	uint64_t id;
	uint64_t tag;    /* INSERT, SET_TAG; CONFIG: value */
	uint64_t record; /* NODE_CREATE, NODE_SET_RECORD: or VALORI_NONE */
	uint64_t from, to;
	const uint8_t *salt; /* directly followed by the vector (INSERT) or metadata (SET_METADATA) when decoded */
	const uint8_t *vector;
	const uint8_t *key;      /* META_SET: key; COLLECTION_CREATE: name */
	const uint8_t *metadata; /* META_SET: value */
	/* digests of the content; set by vl_event_hash_contents or by whoever made the event */
	uint8_t k[VL_HASH_SIZE], v[VL_HASH_SIZE], m[VL_HASH_SIZE];
};

/* Bytes that the event takes on disk, header and padding included. */
size_t vl_event_size(const struct vl_event *event, uint32_t dim);
/* Appends the event's bytes. A failure sticks to buf. */
void vl_event_encode(const struct vl_event *event, uint32_t dim, struct vl_buf *buf);
/*
 * Reads the event at data (size bytes are there). Checks everything that can be checked without a state:
 * length, type, flags, reserved zeros, padding, name and key syntax (UTF-8, sizes), metadata sizes, the
 * vector's acceptance rule. *used is its size on disk. event borrows from data; digests are not set. OK,
 * DAMAGED (error->offset is relative to data), NEWER.
 */
valori_code vl_event_decode(const struct vl_kernels *kernels, const uint8_t *data, size_t size, uint32_t dim,
			    struct vl_event *event, size_t *used, valori_error *error);

/*
 * Computes k, v, m of count events; the vectors in parallel lanes. scratch holds pointers and hashes between
 * calls.
 */
valori_code vl_event_hash_contents(const struct vl_kernels *kernels, struct vl_event *events, size_t count,
				   uint32_t dim, struct vl_buf *scratch, valori_error *error);
/* D of count events (k, v, m set) into out[count][32]; equal types in parallel lanes. */
valori_code vl_event_digests(const struct vl_kernels *kernels, const struct vl_event *events, size_t count,
			     struct vl_buf *scratch, uint8_t *out, valori_error *error);
/*
 * Root over digests[count][32], count >= 1, by the rule of the state's trees with context VL_HASH_EVENTS:
 * height ceil(log2 count), missing leaves are zeros, a node above two zeros is zero. digests is used as work
 * space and destroyed.
 */
void vl_events_root(const struct vl_kernels *kernels, uint8_t *digests, size_t count, uint8_t out[VL_HASH_SIZE]);

/* "insert", "soft_delete", ...; NULL for an unknown type. */
const char *vl_event_type_name(uint8_t type);

/* Well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF, no NUL)? */
bool vl_is_utf8(const uint8_t *text, size_t size);
/* [A-Za-z0-9_-]{1,64}? */
bool vl_is_collection_name(const uint8_t *text, size_t size);

#endif
