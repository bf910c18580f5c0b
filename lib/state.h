/*
 * state.h - the state: what a log's events add up to, and apply(state, event).
 *
 * Pure: the same events give the same state, byte for byte in the canonical layout, on every machine, in any grouping. apply checks
 * everything before it changes anything. The state is a set of vl_arrays of little-endian elements (sections of a snapshot); the
 * modules records, graph and table know what an element holds.
 *
 *   records     per slot: tag, status, collection, places of key and metadata, chain of its key's bucket, first node that names it
 *   digests     per slot: K | V | M (96 bytes): what a record leaf is made of, so that no leaf needs the content again
 *   vectors     per slot: int32 x dim; zeros once deleted. Not kept with VL_STATE_NO_VECTORS
 *   heap        keys, metadata, names, values; a blob never crosses a 64 KiB boundary, so it is one piece in memory
 *   keys        table: (collection, key) -> live record;  metakeys: key -> meta slot
 *   nodes, edges with intrusive lists: out-edges and in-edges of a node in order of creation, nodes of a record
 *   meta, collections
 */
#ifndef VL_STATE_H
#define VL_STATE_H

#include "array.h"
#include "event.h"

enum { VL_STATE_NO_VECTORS = 1 };

/* Lists of slots, each with its own tree, in the order in which the state root names them. */
enum vl_list { VL_RECORDS, VL_NODES, VL_EDGES, VL_META, VL_COLLECTIONS, VL_LISTS };

enum { VL_PARAMETERS = 16 }; /* CONFIG parameters are 1...15; 0 is unused */
enum vl_parameter {
	VL_PARAM_INDEX = 1, /* 0 auto, 1 brute, 2 hnsw, 3 ivf */
	VL_PARAM_HNSW_M = 2, /* 2...256 */
	VL_PARAM_HNSW_EF_CONSTRUCTION = 3, /* 1...65,536 */
	VL_PARAM_HNSW_EF_SEARCH = 4,	   /* 1...65,536 */
	VL_PARAM_BUILD_WIDTH = 5,	   /* 1...64: expansions in flight while building */
	VL_PARAM_BUILD_SLACK = 6,	   /* 1024...65,536: distance-adaptive stop while building, in 1/1024 */
	VL_PARAM_IVF_LISTS = 7,		   /* 0 (automatic)...1,048,576 */
	VL_PARAM_IVF_PROBES = 8,	   /* 0 (automatic)...1,048,576 */
	VL_PARAM_QUANT = 9		   /* 0 none, 1 scalar, 2 product */
};

/* Numbers that are not in arrays; copied by assignment at begin and put back at abort. */
struct vl_totals {
	uint64_t height;
	uint64_t record_live, record_tombstones, record_deleted, node_live, edge_live, meta_live, collection_live;
	uint64_t config[VL_PARAMETERS];
	uint32_t config_set; /* bit p: parameter p was set */
};

struct vl_dirty { /* slots whose leaf changed since vl_state_clean, per list, unsorted, repeats allowed */
	struct vl_buf slots[VL_LISTS]; /* u64 each, machine order */
};

struct vl_state {
	const struct vl_env *env;
	struct vl_pool *pool;
	uint32_t dim, flags;
	struct vl_totals totals, begun;
	struct vl_array records, digests, vectors, heap;
	struct vl_array key_buckets, meta_buckets;
	struct vl_array nodes, edges, meta, collections;
	struct vl_dirty dirty;
};

/* The empty state: collection 0 "default" exists and is live. */
valori_code vl_state_init(struct vl_state *state, struct vl_pool *pool, uint32_t dim, uint32_t flags, valori_error *error);
void vl_state_free(struct vl_state *state); /* not the pool */

/*
 * Applies one event whose digests (k, v, m) are set. OK or, with the state untouched: NOT_FOUND (what it names is not live),
 * DUPLICATE (key), INVALID (id is not the next one, ends in two collections, parameter or kind out of range, ...), FULL (2^32 - 2 slots), NO_MEMORY (then
 * the caller must abort or drop the state), NEWER (unknown parameter).
 */
valori_code vl_state_apply(struct vl_state *state, const struct vl_event *event, valori_error *error);

/* A bracket around the events of one commit: abort takes back all applies since begin. */
void vl_state_begin(struct vl_state *state);
void vl_state_commit(struct vl_state *state);
void vl_state_abort(struct vl_state *state);
void vl_state_clean(struct vl_state *state); /* empties the dirty lists: after the commitment has read them */

/* Slots of a list: also the next id. */
uint64_t vl_state_slots(const struct vl_state *state, enum vl_list list);

/* The leaf preimage of a slot: writes at most VL_LEAF_MAX bytes to out, returns the size; *context is the hash to use. */
enum { VL_LEAF_MAX = 128 };
size_t vl_state_leaf(const struct vl_state *state, enum vl_list list, uint64_t slot, uint8_t out[VL_LEAF_MAX],
		     enum vl_context *context);
/*
 * Leaves, all little-endian, zeros where reserved:
 *   record (H_record, 120 bytes)     id u64 | tag u64 | collection u16 | status u8 | 0 x 5 | K | V | M;  DELETED: id, status, zeros
 *   node (H_node, 24 bytes)          id u64 | record u64 | collection u16 | kind u8 | live u8 | 0 x 4;  dead: id, zeros
 *   edge (H_edge, 32 bytes)          id u64 | from u64 | to u64 | kind u8 | live u8 | 0 x 6;  dead: id, zeros
 *   meta (H_meta, 80 bytes)          slot u64 | live u8 | 0 x 7 | K | M;  dead: slot, zeros
 *   collection (H_collection, 48)    id u64 | live u8 | 0 x 7 | K        (the name stays after a drop)
 */

/* Config digest: H_config over {parameter u32 | 0 u32 | value u64} of every parameter that was set, ascending. */
void vl_state_config_digest(const struct vl_state *state, uint8_t out[VL_HASH_SIZE]);

/* What readers ask. Work on the writer's state and on frozen copies alike. */
struct vl_record {
	uint64_t id, tag;
	uint16_t collection;
	uint8_t status; /* valori_status */
	bool visible;	/* LIVE and in a live collection */
	uint32_t key_size, metadata_size; /* 0: no key; VL_ABSENT: none */
	uint64_t node;	   /* first node that names it, or VALORI_NONE */
	const uint8_t *key, *metadata;
	/* VL_SALT_SIZE bytes each, NULL when not salted. The state keeps them (in the heap): without the salts V and M could be
	 * recomputed neither from a snapshot nor for a hit that is returned, nor could a repeated request be compared. */
	const uint8_t *vector_salt, *metadata_salt;
};
struct vl_node {
	uint64_t id, record;
	uint16_t collection;
	uint8_t kind;
	bool live, visible;
};
struct vl_edge {
	uint64_t id, from, to;
	uint8_t kind;
	bool live, visible;
};
/* false: id was never given out */
bool vl_record_get(const struct vl_state *state, uint64_t id, struct vl_record *out);
bool vl_node_get(const struct vl_state *state, uint64_t id, struct vl_node *out);
bool vl_edge_get(const struct vl_state *state, uint64_t id, struct vl_edge *out);
/* Live edges of a node by creation: *cursor starts at VALORI_NONE (meaning the first) and is the edge given last. */
bool vl_edge_next(const struct vl_state *state, uint64_t node, bool outgoing, uint64_t *cursor, struct vl_edge *out);
/* Nodes that name a record, in order of creation or re-pointing: *cursor likewise. */
bool vl_record_node_next(const struct vl_state *state, uint64_t record, uint64_t *cursor);
/* VALORI_NONE when there is none. k is H_key of the key. */
uint64_t vl_record_find(const struct vl_state *state, uint16_t collection, const uint8_t *key, size_t key_size,
			const uint8_t k[VL_HASH_SIZE]);
uint64_t vl_meta_find(const struct vl_state *state, const uint8_t *key, size_t key_size, const uint8_t k[VL_HASH_SIZE]);
bool vl_meta_get(const struct vl_state *state, uint64_t slot, const uint8_t **key, size_t *key_size, const uint8_t **value,
		 size_t *value_size); /* false: no such live slot */
uint64_t vl_collection_find(const struct vl_state *state, const uint8_t *name, size_t name_size);	/* live ones */
bool vl_collection_get(const struct vl_state *state, uint64_t id, const uint8_t **name, size_t *name_size, bool *live);

#endif
