/*
 * upstream.h - the files of the Rust system, Valori-Kernel: event logs, WALs, snapshots, and the state they add up to.
 *
 * Reading only, and of bytes that lie in memory (a mapped file): nothing is copied, all pointers given out lead into
 * them. No length in a file is believed before the bytes it promises were seen to be there.
 *
 *   event log   header, then entries, each: prev_hash[32] | time varint | (v3, v4) request option [16] | entry | (v4)
 *     CRC-32
 *               v2 header, 16 bytes: version u32 | dim u32 | 0 u64
 *               v3 and v4, 48 bytes: version u32 | dim u32 | 1 u8 | 0 x 3 | segment u32 | chain head of the segment
 *                 before
 *   WAL         version u32 (1 or 2) | 0 u32 | dim u32 | 0 u32, then bare events
 *   snapshot    "VALK" | version u32 (1...7) ..., alone or as the first part of a container "VAL1"
 *
 * Integers of logs and WALs are bincode's: one byte below 251, otherwise 251, 252 or 253 and two, four or eight bytes;
 * signed ones are zigzag. A longer form than needed is never written, and refused. The chain: head' = BLAKE3(head | the
 * entry from time on, without CRC).
 *
 * Metadata is an option whose "none" and whose length 0 are the same byte: Some(empty) is written 00 00, and the system
 * that wrote it reads None and stumbles over the second byte. Both readings are tried here; checksum, chain or the next
 * event decide.
 */
#ifndef VL_UPSTREAM_H
#define VL_UPSTREAM_H

#include <stdbool.h>

#include "blake3.h"
#include "err.h"

/* ---- one event, one entry ---- */

enum vl_upstream_type { /* in the order of its variants */
	VL_UP_INSERT,
	VL_UP_DELETE,
	VL_UP_CREATE_NODE,
	VL_UP_CREATE_EDGE,
	VL_UP_DELETE_EDGE,
	VL_UP_SOFT_DELETE,
	VL_UP_DELETE_NODE,
	VL_UP_INSERT_ENCRYPTED,
	VL_UP_SHRED_KEY,
	VL_UP_AUTO_INSERT,
	VL_UP_AUTO_CREATE_NODE,
	VL_UP_AUTO_CREATE_EDGE,
	VL_UP_AUTO_INSERT_ENCRYPTED,
	VL_UP_SET_META,
	VL_UP_CREATE_NAMESPACE,
	VL_UP_DROP_NAMESPACE,
	VL_UP_UPDATE_METADATA,
	VL_UP_TYPES,
	VL_UP_HOLE = VL_UP_TYPES /* of a snapshot: a record's id that is not in use */
};

#define VL_UP_NIL UINT32_MAX /* no id */

enum {
	VL_UP_KEY = 16,	      /* bytes of a key's name */
	VL_UP_NAMESPACES = 1024,
	VL_UP_METADATA_MAX = 65536, /* what its writers accept */
	VL_UP_ENTRY_MAX = 1 << 20,  /* what its readers accept */
	VL_UP_DIM_MAX = 32768,	    /* in a log's header */
	VL_UP_RECORDS_MAX = 10000000,
	VL_UP_NODES_MAX = 50000000,
	VL_UP_EDGES_MAX = 200000000,
	VL_UP_META_MAX = 1000000
};

struct vl_upstream_event {
	uint8_t type, kind;
	bool has_id, has_metadata, metadata_empty; /* metadata_empty: Some(empty), read the second way */
	bool vector_plain;			   /* components are int32, not varints */
	uint16_t ns;
	uint32_t id;	     /* of what is made or touched; has_id false: the next one, set by apply */
	uint32_t record;     /* of a node, or VL_UP_NIL */
	uint32_t from, to;
	uint32_t dim;
	uint64_t tag;
	const uint8_t *vector; /* encoded; NULL: zeros */
	size_t vector_size;
	const uint8_t *metadata; /* also ciphertext, and the value of SET_META */
	size_t metadata_size;
	const uint8_t *key; /* of SET_META; a namespace's name; the 16 bytes of a key's name */
	size_t key_size;
};

enum vl_upstream_kind { VL_UP_EVENT, VL_UP_CHECKPOINT, VL_UP_ADMIN };

struct vl_upstream_entry {
	uint8_t kind;
	bool crc_ok; /* always true where there is none */
	size_t size; /* CRC included */
	size_t hashed_size;
	const uint8_t *prev, *hashed;
	const uint8_t *request; /* 16 bytes or NULL */
	const uint8_t *checkpoint; /* the state hash in it */
	uint64_t time_s;
	uint64_t event_count; /* of a checkpoint */
	struct vl_upstream_event event;
};

enum vl_upstream_decode {
	VL_UP_OK,
	VL_UP_SHORT, /* the bytes end before the entry does */
	VL_UP_BAD    /* no entry begins like this */
};

/*
 * Zigzag varint components of a vector as int32, little-endian: count of them from *at on, which is moved. They were
 * decoded before.
 */
void vl_upstream_components(const uint8_t **at, const uint8_t *end, size_t count, uint8_t *out);

/* empty: read metadata of length 0 as Some(empty). Entries of versions 2, 3, 4. */
enum vl_upstream_decode vl_upstream_entry(uint32_t version, const uint8_t *data, size_t size, bool empty,
					  struct vl_upstream_entry *out);
/* An event of a WAL of version 1 or 2. */
enum vl_upstream_decode vl_upstream_wal_event(uint32_t version, const uint8_t *data, size_t size, bool empty,
					      struct vl_upstream_event *out, size_t *used);
/* CRC-32 as in IEEE 802.3. */
uint32_t vl_upstream_crc(const uint8_t *data, size_t size);

/* ---- the state ---- */

enum { VL_UP_SOFT_DELETED = 1, VL_UP_ENCRYPTED = 2, VL_UP_SHREDDED = 4 };

struct vl_upstream_list { /* elements that grow by doubling */
	void *data;
	size_t count, capacity;
};
/* Room for one more element of size bytes, not set; NULL: no memory. */
void *vl_upstream_grow(const struct vl_env *env, struct vl_upstream_list *list, size_t size);
void vl_upstream_drop(const struct vl_env *env, struct vl_upstream_list *list, size_t size);

struct vl_upstream_state {
	const struct vl_env *env;
	uint64_t version;
	bool has_dim;
	uint32_t dim;
	/* private to upstream_state.c from here on */
	struct vl_upstream_list records, nodes, edges;
	struct vl_upstream_list secrets, buckets; /* encrypted records by the name of their key */
	uint32_t record_heads[VL_UP_NAMESPACES], node_heads[VL_UP_NAMESPACES];
};

void vl_upstream_state_init(struct vl_upstream_state *state, const struct vl_env *env);
void vl_upstream_state_free(struct vl_upstream_state *state);

/*
 * What its state machine does with an event, its faults included: a second soft deletion links neighbours that are none
 * any more. Sets event->id of what got the next one. OK; INVALID, NOT_FOUND, DIMENSION, TOO_LONG as it refuses, the
 * state untouched; NO_MEMORY.
 */
valori_code vl_upstream_apply(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error);
/*
 * Does an event name an id that is still to come (1), already given out (-1), or none of its own, or the next one (0)?
 */
int vl_upstream_ahead(const struct vl_upstream_state *state, const struct vl_upstream_event *event);

/* Parts of a snapshot, ascending by id. False: no memory, or ids not ascending. */
bool vl_upstream_put_record(struct vl_upstream_state *state, const struct vl_upstream_event *event, uint8_t flags);
bool vl_upstream_put_node(struct vl_upstream_state *state, const struct vl_upstream_event *event, uint32_t first_out);
bool vl_upstream_put_edge(struct vl_upstream_state *state, const struct vl_upstream_event *event, uint32_t next_out);
/* The flags of a record, or -1: there is none with this id. */
int vl_upstream_flags(const struct vl_upstream_state *state, uint32_t id);
bool vl_upstream_has_node(const struct vl_upstream_state *state, uint32_t id);

struct vl_upstream_counts {
	uint64_t record_slots, record_active, record_soft_deleted, record_encrypted, record_shredded;
	uint64_t node_slots, node_live, edge_slots, edge_live;
};
void vl_upstream_count(const struct vl_upstream_state *state, struct vl_upstream_counts *out);
/* Its canonical hash, "valori-state" version 2. */
void vl_upstream_hash(const struct vl_upstream_state *state, uint8_t out[VL_HASH_SIZE]);

/* ---- files ---- */

/* What the first bytes say: a valori_upstream_kind. size may be that of the beginning only; 48 bytes are enough. */
uint32_t vl_upstream_recognise(const uint8_t *data, size_t size);

struct vl_upstream_file {
	const uint8_t *data;
	size_t size;
	const char *name;
};

/*
 * A reader of a log (its segments in any order), a WAL or a snapshot: events in the order in which they are applied to
 * the model of the state, as long as all is sound.
 */
struct vl_upstream_reader;

/*
 * files and names stay the caller's, and where they are. OK, NOT_OURS (no file of that system), DAMAGED (its header),
 * INVALID (files that do not belong together), NEWER, NO_MEMORY.
 */
valori_code vl_upstream_reader_new(const struct vl_env *env, const struct vl_upstream_file *files, size_t count,
				   struct vl_upstream_reader **out, valori_error *error);
void vl_upstream_reader_free(struct vl_upstream_reader *reader);
/* The next event; pointers are good until the next call. OK, END (the report is complete then), NO_MEMORY. */
valori_code vl_upstream_reader_next(struct vl_upstream_reader *reader, valori_upstream_event *out, valori_error *error);
/* What is known so far; all of it after END. */
void vl_upstream_reader_report(const struct vl_upstream_reader *reader, valori_upstream_report *out);

#endif
