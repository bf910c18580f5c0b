/*
 * state.h - the state: what a log's events add up to, and apply(state, event).
 *
 * Pure: the same events give the same state, byte for byte in the canonical layout, on every machine, in any
 * grouping. apply checks everything before it changes anything. The state is a set of vl_arrays of
 * little-endian elements, which are the sections of a snapshot. records.h and graph.h say what an element of
 * theirs holds; the others, with links + 1 as there:
 *
 *   meta, 96 bytes
 *      0 K | 32 M | 64 key place u64 | 72 value place u64 | 80 value size u32 | 84 chain u32
 *     88 key size u8 | 89 live u8 | 90 0 x 6
 *   collections, 64 bytes
 *      0 K | 32 name place u64 | 40 chain u32 | 44 records u32, 48 nodes u32, 52 edges u32 that are live in it (0 in
 *      collection 0, which nobody drops) | 56 name size u8 | 57 live u8 | 58 0 x 6
 *   meta buckets, collection buckets: 4 bytes: the first slot of the bucket, + 1
 *
 * A dead meta slot is all zeros. A dropped collection keeps its element, but leaves the table.
 *
 * What a dropped collection held is live no longer, and can be read as before. One thing can still be done in
 * it: a record can be deleted, for its content may have to go. All else is answered with NOT_FOUND. Its
 * records, nodes and edges keep their leaves: dropping changes one leaf, that of the collection.
 */
#ifndef VL_STATE_H
#define VL_STATE_H

#include "array.h"
#include "event.h"
#include "graph.h"
#include "records.h"

enum { VL_STATE_NO_VECTORS = 1 };

/* Lists of slots, each with its own tree, in the order in which the state root names them. */
enum vl_list { VL_RECORDS, VL_NODES, VL_EDGES, VL_META, VL_COLLECTIONS, VL_LISTS };

enum { VL_PARAMETERS = 16 }; /* CONFIG parameters are 1...15; 0 is unused */
enum vl_parameter {
	VL_PARAM_INDEX = 1,                /* 0 auto, 1 brute, 2 hnsw, 3 ivf */
	VL_PARAM_HNSW_M = 2,               /* 2...256 */
	VL_PARAM_HNSW_EF_CONSTRUCTION = 3, /* 1...65,536 */
	VL_PARAM_HNSW_EF_SEARCH = 4,       /* 1...65,536 */
	VL_PARAM_BUILD_WIDTH = 5,          /* 1...64: expansions in flight while building */
	VL_PARAM_BUILD_SLACK = 6,          /* 1024...65,536: distance-adaptive stop while building, in 1/1024 */
	VL_PARAM_IVF_LISTS = 7,            /* 0 (automatic)...1,048,576 */
	VL_PARAM_IVF_PROBES = 8,           /* 0 (automatic)...1,048,576 */
	VL_PARAM_QUANT = 9                 /* 0 none, 1 scalar; 2, product, is for later, and taken for 1 */
};

/* Numbers that are not in arrays; copied by assignment at begin and put back at abort. */
struct vl_totals {
	uint64_t height; /* events applied */
	/*
	 * Live ones are of their own status and in a live collection; tombstones and deleted ones are counted
	 * anywhere.
	 */
	uint64_t record_live, record_tombstones, record_deleted, node_live, edge_live, meta_live, collection_live;
	uint64_t record_keys; /* entries of the key table: live records with a key, in dropped collections too */
	uint64_t config[VL_PARAMETERS];
	uint32_t config_set; /* bit p: parameter p was set */
};

/*
 * Slots whose leaf changed since vl_state_clean, per list, unsorted, repeats allowed. New slots are not in
 * it: whoever follows the state knows how many slots there were.
 */
struct vl_dirty {
	struct vl_buf slots[VL_LISTS]; /* u64 each, machine order */
	size_t begun[VL_LISTS];        /* their sizes at vl_state_begin: kept until commit, wanted back by abort */
	bool open, cleaned;
};

struct vl_state {
	const struct vl_env *env;
	struct vl_pool *pool;
	uint32_t dim, flags;
	struct vl_totals totals, begun;
	struct vl_records records;
	struct vl_graph graph;
	struct vl_array meta, meta_buckets, collections, collection_buckets;
	struct vl_dirty dirty;
};

/* The empty state: collection 0 "default" exists and is live. After a failure there is nothing to free. */
valori_code vl_state_init(struct vl_state *state, struct vl_pool *pool, uint32_t dim, uint32_t flags,
			  valori_error *error);
void vl_state_free(struct vl_state *state); /* not the pool */

/*
 * Applies one event whose digests (k, v, m) are set. OK or, with the state untouched: NOT_FOUND (what it
 * names is not live), DUPLICATE (key), INVALID (id is not the next one, ends in two collections, parameter or
 * kind out of range, ...), FULL (2^32 - 2 slots), NO_MEMORY (then the caller must abort or drop the state),
 * NEWER (unknown parameter).
 */
valori_code vl_state_apply(struct vl_state *state, const struct vl_event *event, valori_error *error);

/* Slots of a list are below this: links are u32. */
#define VL_SLOTS_MAX (UINT64_C(0xfffffffe))

/* A bracket around the events of one commit: abort takes back all applies since begin. */
void vl_state_begin(struct vl_state *state);
void vl_state_commit(struct vl_state *state);
void vl_state_abort(struct vl_state *state);
void vl_state_clean(struct vl_state *state); /* empties the dirty lists: after the commitment has read them */

/* Slots of a list: also the next id. */
uint64_t vl_state_slots(const struct vl_state *state, enum vl_list list);

/*
 * The leaf preimage of a slot: writes at most VL_LEAF_MAX bytes to out, returns the size; *context is the
 * hash to use.
 */
enum { VL_LEAF_MAX = 128 };
size_t vl_state_leaf(const struct vl_state *state, enum vl_list list, uint64_t slot, uint8_t out[VL_LEAF_MAX],
		     enum vl_context *context);
/*
 * Leaves, all little-endian, zeros where reserved:
 *   record (H_record, 120 bytes)     id u64 | tag u64 | collection u16 | status u8 | 0 x 5 | K | V | M;
 *                                    DELETED: id, status, zeros
 *   node (H_node, 24 bytes)          id u64 | record u64 | collection u16 | kind u8 | live u8 | 0 x 4;  dead: id, zeros
 *   edge (H_edge, 32 bytes)          id u64 | from u64 | to u64 | kind u8 | live u8 | 0 x 6;  dead: id, zeros
 *   meta (H_meta, 80 bytes)          slot u64 | live u8 | 0 x 7 | K | M;  dead: slot, zeros
 *   collection (H_collection, 48)    id u64 | live u8 | 0 x 7 | K        (the name stays after a drop)
 */

/* That of a deleted record. */
size_t vl_deleted_leaf(uint64_t id, uint8_t out[VL_LEAF_MAX]);

/*
 * Config digest: H_config over {parameter u32 | 0 u32 | value u64} of every parameter that was set,
 * ascending.
 */
void vl_state_config_digest(const struct vl_state *state, uint8_t out[VL_HASH_SIZE]);

/* What readers ask. Work on the writer's state and on frozen copies alike. */
struct vl_record {
	uint64_t id, tag;
	uint16_t collection;
	uint8_t status;                   /* valori_status */
	bool visible;                     /* LIVE and in a live collection */
	uint32_t key_size, metadata_size; /* 0: no key; VL_ABSENT: none */
	uint64_t node;                    /* first node that names it, or VALORI_NONE */
	const uint8_t *key, *metadata;
	/*
	 * VL_SALT_SIZE bytes each, NULL when not salted. The state keeps them (in the heap): without the
	 * salts V and M could be recomputed neither from a snapshot nor for a hit that is returned, nor could
	 * a repeated request be compared.
	 */
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
/*
 * Live edges of a node by creation: *cursor starts at VALORI_NONE (meaning the first) and is the edge given
 * last.
 */
bool vl_edge_next(const struct vl_state *state, uint64_t node, bool outgoing, uint64_t *cursor, struct vl_edge *out);
/* Nodes that name a record, in order of creation or re-pointing: *cursor likewise. */
bool vl_record_node_next(const struct vl_state *state, uint64_t record, uint64_t *cursor);
/* VALORI_NONE when there is none. k is H_key of the key. */
uint64_t vl_record_find(const struct vl_state *state, uint16_t collection, const uint8_t *key, size_t key_size,
			const uint8_t k[VL_HASH_SIZE]);
uint64_t vl_meta_find(const struct vl_state *state, const uint8_t *key, size_t key_size, const uint8_t k[VL_HASH_SIZE]);
bool vl_meta_get(const struct vl_state *state, uint64_t slot, const uint8_t **key, size_t *key_size,
		 const uint8_t **value, size_t *value_size); /* false: no such live slot */
uint64_t vl_collection_find(const struct vl_state *state, const uint8_t *name, size_t name_size); /* live ones */
bool vl_collection_get(const struct vl_state *state, uint64_t id, const uint8_t **name, size_t *name_size, bool *live);
/* The components of a record that is not deleted; NULL: deleted, no such record, or no vectors are kept. */
const uint8_t *vl_state_vector(const struct vl_state *state, uint64_t id);
/*
 * Records id and those behind it whose vectors lie without a gap after it: for scans. NULL as above, but
 * deleted ones are zeros.
 */
const uint8_t *vl_state_vectors(const struct vl_state *state, uint64_t id, uint64_t *run);

/* ---- the state as sections of a file ---- */

/* In the order of their kinds. Tree levels, window and index are sections of others. */
enum vl_section {
	VL_SECTION_RECORDS = 1,
	VL_SECTION_PLACES,
	VL_SECTION_DIGESTS,
	VL_SECTION_VECTORS,
	VL_SECTION_KEY_BUCKETS,
	VL_SECTION_NODES,
	VL_SECTION_EDGES,
	VL_SECTION_META,
	VL_SECTION_META_BUCKETS,
	VL_SECTION_COLLECTIONS,
	VL_SECTION_COLLECTION_BUCKETS,
	VL_SECTION_HEAP,
	VL_SECTIONS_END
};

const char *vl_section_name(enum vl_section section);
/* The array of a section: its count and elem_size. All but HEAP have as many elements in a file as here. */
const struct vl_array *vl_state_section(const struct vl_state *state, enum vl_section section);

/*
 * The canonical bytes of all sections, in order, in pieces: everything as it lies, but blobs are laid out
 * anew: of each record its "salts | key" and its metadata, then key and value of each meta slot, then the
 * names of the collections; each behind the one before, or at the next multiple of 65,536 when it would cross
 * one. Two states with the same events give the same bytes. With VL_STATE_NO_VECTORS the section VECTORS has
 * none.
 *
 *	vl_canon_init(&canon, state);
 *	while (vl_canon_next(&canon, &section, &data, &size))
 *		write data to section;
 *
 * A section without bytes gives no piece. state must not change in between; data is good until the next call.
 *
 * A packed snapshot leaves out what deleted records would be: with is_packed set after init the sections RECORDS,
 * PLACES, DIGESTS and VECTORS begin with one element that stands for all records that are not kept, and go on with
 * those that are.
 */
struct vl_canon {
	const struct vl_state *state;
	bool is_packed;
	uint32_t blank; /* bytes given of the element that stands for others */
	uint32_t section;
	uint64_t index;     /* of the next element; HEAP: of the next blob's owner */
	uint64_t heap_size; /* laid out so far */
	uint32_t part;      /* HEAP: which array, and which of the owner's two blobs */
	uint8_t piece[16384];
};
void vl_canon_init(struct vl_canon *canon, const struct vl_state *state);
bool vl_canon_next(struct vl_canon *canon, enum vl_section *section, const uint8_t **data, size_t *size);
/* Is anything left of a record: is it not deleted, or does a node name it? */
bool vl_state_is_kept(const struct vl_state *state, uint64_t id);
/* The size that section HEAP will have: one pass over the places of all blobs. */
uint64_t vl_canon_heap_size(const struct vl_state *state);

/*
 * Lets a freshly initialised state start with mapped sections, in O(1): base[section] holds counts[section]
 * elements (both indexed by enum vl_section; VECTORS is not looked at with VL_STATE_NO_VECTORS). Checks that
 * the counts agree with each other and with totals: OK, DAMAGED (then the state can only be freed). Whatever
 * the bytes are, no call on the state will leave the sections or loop for ever; wrong answers are for leaves
 * and digests to find.
 */
valori_code vl_state_attach(struct vl_state *state, const uint8_t *const base[VL_SECTIONS_END],
			    const uint64_t counts[VL_SECTIONS_END], const struct vl_totals *totals,
			    valori_error *error);

#endif
