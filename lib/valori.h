/*
 * valori.h - libvalori: a deterministic, event-sourced vector database and knowledge graph.
 *
 * This is the whole public interface: what is not in this file is not public.
 *
 * Calls.    Every fallible call returns VALORI_OK or another valori_code; its last argument is a valori_error *, owned
 *           by the caller, that may be NULL. It is written only on failure.
 * Results.  They come back through arguments named out...; after a failure these are NULL or untouched.
 * Memory.   "Borrowed" bytes belong to the handle they came from until the moment its comment names. Everything else is
 *           released by the one function its comment names; every such function takes NULL.
 * Threads.  [any] from any thread at any time; [read] many threads at once, also beside one [write];
 *           [write] concurrent calls are safe and are put in a queue; [own] by one thread that owns the handle.
 * Numbers.  Vectors are Q16.16: int32_t with 16 fractional bits. Scores are exact squared L2 distances: uint64_t
 *           with 32 fractional bits. Floating point enters only as bits of vectors (VALORI_F32) and never leaves.
 * Growth.   Handles are opaque. Option structs start with their size: initialise them with VALORI_..._INIT. Codes and
 *           constants are final.
 *
 * Words.    A *commit* is one atomic batch of events. The *height* is the number of events. A *moment* is a height, a
 *           state root or a time, and always means the end of a commit. valori-log(5) defines the formats.
 */
#ifndef VALORI_H
#define VALORI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* ---- 1. Version, codes, errors ------------------------------------------------------------------------------- */

#define VALORI_VERSION_MAJOR 0
#define VALORI_VERSION_MINOR 1
#define VALORI_VERSION_PATCH 0
#define VALORI_VERSION "0.1.0"
#define VALORI_LOG_FORMAT 1
#define VALORI_SNAPSHOT_FORMAT 2

#define VALORI_DIM_MAX 32768
#define VALORI_KEY_MAX 255
#define VALORI_NAME_MAX 64
#define VALORI_METADATA_MAX 65536
#define VALORI_K_MAX 65536
#define VALORI_EF_MAX 65536
#define VALORI_HASH_SIZE 32
#define VALORI_REQUEST_SIZE 16

#define VALORI_NONE UINT64_MAX /* no such id, offset or event; never a valid one */

typedef enum valori_code {
	VALORI_OK = 0,
	VALORI_END = 1, /* an iteration is over; not an error */

	/* 10-19: unacceptable input */
	VALORI_INVALID = 10,   /* an argument, option or row makes no sense */
	VALORI_DIMENSION = 11, /* vector length differs from the store's dimension */
	VALORI_RANGE = 12,     /* NaN, infinity, component or norm out of range */
	VALORI_DUPLICATE = 13, /* key already taken */
	VALORI_TOO_LONG = 14,  /* key, name, metadata, batch or count above its limit */
	VALORI_CONFLICT = 15,  /* request id seen before with other content */

	/* 20-29 */
	VALORI_NOT_FOUND = 20, /* no such record, node, edge, key, collection, file */

	/* 30-39: asked properly, the answer is no */
	VALORI_MISMATCH = 30,  /* a hash differs from the one expected */
	VALORI_OTHER_LOG = 31, /* belongs to a log with another id, or to a fork of this one */

	/* 40-49: damaged data; offset and event say where */
	VALORI_DAMAGED = 40,
	VALORI_NOT_OURS = 41, /* neither an event log nor a snapshot */
	VALORI_MISSING = 42,  /* acknowledged commits or whole segments are not there */

	/* 50-59: the system */
	VALORI_IO = 50,	      /* a system call failed; system_errno says how */
	VALORI_NO_MEMORY = 51,
	VALORI_POISONED = 52, /* an earlier write or sync failed: reopen the store */

	VALORI_FULL = 60,     /* a capacity is reached */
	VALORI_LOCKED = 70,   /* another process writes to, or maintains, this store */
	VALORI_NEWER = 80,    /* format newer than this library */
	VALORI_UNKNOWABLE = 90 /* needs content that was trimmed away or erased */
} valori_code;

/* 256 bytes for ever. message is one lower-case line "object: place: fact" without the program's name. */
typedef struct valori_error {
	int32_t code;	      /* a valori_code */
	int32_t system_errno; /* of VALORI_IO, else 0 */
	uint64_t offset;      /* byte in the file named by message, or VALORI_NONE */
	uint64_t event;	      /* event number; for valori_commit the index of the op; or VALORI_NONE */
	char message[232];
} valori_error;

const char *valori_version(void);		  /* [any] "0.1.0" */
const char *valori_code_name(int code);		  /* [any] "damaged"; never NULL */
/* [any] Name of the SIMD kernels in use ("avx512", ...). VALORI_CPU in the environment forces a set. */
const char *valori_cpu(void);

typedef struct valori_hash {
	uint8_t bytes[VALORI_HASH_SIZE];
} valori_hash;

/* [any] 64 lower-case hex digits and a NUL. */
void valori_hash_format(const valori_hash *hash, char out[65]);
/* [any] Reads exactly 64 hex digits: VALORI_OK or VALORI_INVALID. */
valori_code valori_hash_parse(const char *text, valori_hash *out);

/* [any] BLAKE3 of size bytes. */
void valori_hash_of(const void *bytes, size_t size, valori_hash *out);
/*
 * [any] The first version's proof of an embedding: the root of a tree over its dim components (at least one, at most
 * VALORI_DIM_MAX). A leaf is BLAKE3 of "VALORI_LEAF", position u32le, component i32le; a node of "VALORI_NODE", left,
 * right; the odd one of a level is paired with itself.
 */
void valori_vector_proof(const int32_t *vector, uint32_t dim, valori_hash *out);

/* ---- 2. Moments ------------------------------------------------------------------------------------------------ */

typedef enum valori_when_kind {
	VALORI_WHEN_LATEST = 0,
	VALORI_WHEN_HEIGHT = 1, /* the commit that contains event number value - 1; 0 is the empty store */
	VALORI_WHEN_ROOT = 2,	/* the last commit with this state root */
	VALORI_WHEN_TIME = 3	/* the last commit not later than value, milliseconds since 1970 UTC */
} valori_when_kind;

typedef struct valori_when {
	uint32_t kind;
	uint32_t reserved;
	uint64_t value;
	valori_hash root;
} valori_when;

/*
 * [any] Digits are a height, 64 hex digits a state root, "@123" milliseconds, RFC 3339 ("2026-11-20T12:00:00Z", offsets
 * and fractions allowed) a time. VALORI_OK or VALORI_INVALID.
 */
valori_code valori_when_parse(const char *text, valori_when *out, valori_error *error);

/* ---- 3. Numbers ------------------------------------------------------------------------------------------------ */

/*
 * [any] One binary32, given as its bits, to Q16.16, rounded half away from zero: VALORI_OK, or VALORI_RANGE for NaN,
 * infinities and values outside [-32768, 32768). Integer arithmetic only.
 */
valori_code valori_q16_from_f32(uint32_t bits, int32_t *out);
/*
 * [any] A vector of count (at most VALORI_DIM_MAX) binary32 in this machine's order, no alignment needed, to components
 * that a search accepts: VALORI_OK, INVALID, or RANGE with the component's index in error->event.
 */
valori_code valori_q16s_from_f32s(const void *bits, size_t count, int32_t *out, valori_error *error);
/* [any] A JSON number's text to the nearest binary32 (as bits), ties to even. Returns characters used, 0: no number. */
size_t valori_f32_from_decimal(const char *text, size_t size, uint32_t *out);
/*
 * [any] The same for the beginning of a list: at most max numbers, each directly followed by a comma, and that by one
 * space or none. *out_count is how many; returns characters passed: up to the first that is no such number.
 */
size_t valori_f32s_from_decimals(const char *text, size_t size, size_t max, uint32_t *out, size_t *out_count);
/* [any] binary64 and binary16 bit patterns to the nearest binary32, ties to even. */
uint32_t valori_f32_from_f64(uint64_t bits);
uint32_t valori_f32_from_f16(uint16_t bits);
/* [any] Decimal text of a score (rounded half up to nine places) and of a component (exact). Return the length. */
size_t valori_score_format(uint64_t score, char out[32]);
size_t valori_q16_format(int32_t component, char out[32]);

/* ---- 4. A store ------------------------------------------------------------------------------------------------ */

typedef struct valori valori;		/* an open store */
typedef struct valori_view valori_view; /* one frozen version of it */

enum {				      /* valori_options.flags */
	VALORI_READ = 0,	      /* never writes into the store's directory, takes no lock */
	VALORI_WRITE = 1 << 0,	      /* one writer; repairs a torn tail */
	VALORI_CREATE = 1 << 1,	      /* with WRITE: make the store when there is none (dim is needed then) */
	VALORI_REHEARSE = 1 << 2,     /* read, and let commits change memory only: what --dry-run uses */
	VALORI_NO_VECTORS = 1 << 3,   /* keep no vectors: enough to verify, not to search */
	/* run the rounds of the index as they are due: while opening, later on a thread of their own */
	VALORI_INDEX = 1 << 4,
	VALORI_INDEX_SAVED = 1 << 5   /* use the index that the snapshot holds, as it is; run no rounds */
};

typedef enum valori_config { /* parameters of CONFIG; the others are for later */
	VALORI_CONFIG_INDEX = 1,	       /* valori_index_kind */
	VALORI_CONFIG_HNSW_M = 2,	       /* 2...256 links of a row, twice as many on the lowest layer: 16 */
	VALORI_CONFIG_HNSW_EF_CONSTRUCTION = 3, /* 1...65,536 candidates that are weighed for them: 100 */
	VALORI_CONFIG_HNSW_EF_SEARCH = 4,      /* 1...65,536: what a search keeps that does not say: 128 */
	VALORI_CONFIG_IVF_LISTS = 7,	       /* up to 1,048,576, and a sixteenth of the rows; 0: the root of these */
	VALORI_CONFIG_IVF_PROBES = 8,	       /* up to 1,048,576: lists a search looks at; 0: the root of all */
	VALORI_CONFIG_QUANT = 9		       /* 0: no codes, exact scans only; 1: a byte each; 2: later, now as 1 */
} valori_config;

typedef enum valori_index_kind { /* VALORI_CONFIG_INDEX */
	VALORI_INDEX_AUTO = 0,	 /* a graph from 32,768 rows on */
	VALORI_INDEX_BRUTE = 1,	 /* codes and the exact scan */
	VALORI_INDEX_HNSW = 2,	 /* a graph from 1,024 rows on */
	VALORI_INDEX_IVF = 3,	 /* inverted lists from 1,024 rows on */
	VALORI_INDEX_LOGGED = 4	 /* valori_options.index: as the log says */
} valori_index_kind;

typedef enum valori_sync {
	VALORI_SYNC_ALWAYS = 0, /* a commit returns when it is durable (default) */
	VALORI_SYNC_BATCH = 1,	/* synced after sync_commits commits or sync_ms milliseconds; ids are not yet durable */
	VALORI_SYNC_NONE = 2	/* synced at rotation and close only */
} valori_sync;

typedef struct valori_options {
	uint32_t size; /* of this struct */
	uint32_t flags;
	/* live log file ("*.log" or a regular file) or the directory that holds events.log; NULL: no log */
	const char *log;
	const char *snapshot; /* NULL: snapshot.val beside the log, if there is one; "" : use none */
	const char *archive;  /* directory with segments that were moved away, to look further back; may be NULL */
	uint32_t dim;	      /* 0: as the log says; else it must agree (VALORI_DIMENSION) */
	uint32_t sync;	      /* valori_sync */
	uint32_t sync_commits;
	uint32_t sync_ms;
	uint64_t segment_size; /* rotate the live segment at this size; 0: 256 MiB */
	uint64_t records_max;  /* capacity, a policy of this process: 0 for the format's limit */
	valori_when at;	       /* READ and REHEARSE: stop at this moment */
	const uint8_t *log_id; /* CREATE: 32 bytes instead of random ones; for tests */
	uint64_t time_ms;      /* not 0: every commit carries this time instead of the clock's; for tests */
	/* with VALORI_INDEX */
	uint32_t index;		 /* valori_index_kind in place of the log's, for this process only */
	uint32_t index_threads;	 /* that build it; 0: one. Its bytes do not depend on it */
	uint64_t index_boundary; /* while opening, run only rounds up to this height */
} valori_options;

#define VALORI_OPTIONS_INIT \
	{.size = sizeof(valori_options), .index = VALORI_INDEX_LOGGED, .index_boundary = VALORI_NONE}

/*
 * Opens a store: newest usable snapshot, then the commits after it, each one checked (checksum, roots). With neither
 * log nor snapshot but a dim, a store in memory. A snapshot that is damaged or does not belong is not used, and
 * valori_info.notes says so. VALORI_NOT_FOUND, LOCKED, DAMAGED, MISSING, NOT_OURS, NEWER, DIMENSION, OTHER_LOG,
 * UNKNOWABLE, IO, NO_MEMORY, INVALID. Release with valori_close. [any]
 */
valori_code valori_open(const valori_options *options, valori **out, valori_error *error);

/* Syncs what is not yet durable, releases locks and memory. The code says whether all is durable. All views must be
 * closed. NULL is fine. [own] */
valori_code valori_close(valori *store, valori_error *error);

typedef struct valori_info {
	uint32_t size; /* set to sizeof(valori_info) before the call */
	uint32_t dim;
	uint64_t height;  /* events */
	uint64_t commits; /* = size of the log tree */
	uint64_t time_ms; /* of the last commit */
	uint64_t base_height; /* first event that the log still holds */
	uint64_t record_slots, record_live, record_tombstones, record_deleted;
	uint64_t node_slots, node_live;
	uint64_t edge_slots, edge_live;
	uint64_t meta_slots, meta_live;
	uint64_t collection_slots, collection_live;
	valori_hash log_id;
	valori_hash state_root;
	valori_hash tree_root;
	/* how it was opened */
	uint64_t snapshot_height; /* of the snapshot used, or VALORI_NONE */
	uint64_t replayed;	  /* events replayed after it */
	uint64_t torn_size;	  /* bytes after the last commit that counted for nothing (cut, when opened to write) */
	uint32_t has_log;
	uint32_t sync;
	char notes[240]; /* sentence about anything unusual ("snapshot.val: not used: ..."), or "" */
} valori_info;

valori_code valori_get_info(valori *store, valori_info *out, valori_error *error); /* [read] published state */

/* ---- 5. Writing ------------------------------------------------------------------------------------------------ */

typedef enum valori_op_kind {
	VALORI_OP_INSERT = 1,	      /* vector; collection, tag, key, metadata */
	/* the same; key needed: replaces the live record with that key, nodes follow it */
	VALORI_OP_UPSERT = 2,
	VALORI_OP_SOFT_DELETE = 3,    /* target: record */
	VALORI_OP_DELETE = 4,	      /* target: record */
	VALORI_OP_SET_METADATA = 5,   /* target: record; metadata (NULL: absent) */
	VALORI_OP_SET_TAG = 6,	      /* target: record; tag */
	VALORI_OP_NODE_CREATE = 7,    /* collection, kind; target: record or none */
	VALORI_OP_NODE_SET_RECORD = 8, /* from: node; target: record or none */
	VALORI_OP_NODE_DELETE = 9,    /* from: node */
	VALORI_OP_EDGE_CREATE = 10,   /* from, to: nodes; kind */
	VALORI_OP_EDGE_DELETE = 11,   /* from: edge */
	VALORI_OP_META_SET = 12,      /* key, metadata = value */
	VALORI_OP_META_DELETE = 13,   /* key */
	VALORI_OP_COLLECTION_CREATE = 14, /* key = name */
	VALORI_OP_COLLECTION_DROP = 15,	  /* collection */
	VALORI_OP_CONFIG = 16	      /* parameter = tag, value = target.id */
} valori_op_kind;

typedef enum valori_ref_kind {
	VALORI_REF_NONE = 0,
	VALORI_REF_ID = 1,  /* id */
	/* live record of the op's collection with this key; as an end of an edge: the first node of that record */
	VALORI_REF_KEY = 2,
	VALORI_REF_OP = 3   /* what op number id of this batch makes */
} valori_ref_kind;

typedef struct valori_ref {
	uint32_t kind;
	uint32_t key_size;
	uint64_t id;
	const char *key;
} valori_ref;

typedef enum valori_vector_kind {
	VALORI_Q16 = 0, /* dim x int32_t, this machine's byte order */
	VALORI_F32 = 1, /* dim x binary32, this machine's byte order */
	VALORI_Q16LE = 2, /* the same as little-endian bytes: files */
	VALORI_F32LE = 3
} valori_vector_kind;

enum {				 /* valori_op.flags */
	/* INSERT, UPSERT, SET_METADATA: salt the content, so that it can be erased one day */
	VALORI_OP_SALTED = 1 << 0,
	VALORI_OP_REQUEST = 1 << 1 /* request is an idempotency id */
};

/* One operation. Everything it points to is copied by valori_batch_add. Zero-initialise it. */
typedef struct valori_op {
	uint32_t kind; /* valori_op_kind */
	uint32_t flags;
	uint32_t collection;  /* 0 is "default" */
	uint32_t object_kind; /* of nodes and edges: 0...255 */
	uint64_t tag;
	const char *key; /* UTF-8, key_size bytes, no NUL needed; NULL: none */
	uint32_t key_size;
	uint32_t vector_kind;	  /* valori_vector_kind */
	const void *vector;	  /* no alignment needed */
	uint32_t dim;		  /* components in vector */
	uint32_t metadata_size;
	const uint8_t *metadata; /* NULL: absent, which is not the same as empty */
	valori_ref target;
	valori_ref from, to;
	uint8_t request[VALORI_REQUEST_SIZE];
} valori_op;

/*
 * A batch: operations that become one commit. It belongs to no store, so it can be filled while another is committed.
 */
typedef struct valori_batch valori_batch;

valori_code valori_batch_new(uint32_t dim, valori_batch **out, valori_error *error); /* [any] */
void valori_batch_free(valori_batch *batch);					     /* [own] */
void valori_batch_clear(valori_batch *batch);					     /* [own] keeps its memory */
/*
 * Checks what can be checked without the store (dimension, range, norm, lengths, UTF-8 of keys) and takes the op in:
 * VALORI_OK, DIMENSION, RANGE, TOO_LONG, INVALID, NO_MEMORY; after a failure the batch is as before. For RANGE
 * error->event is the component's index. [own]
 */
valori_code valori_batch_add(valori_batch *batch, const valori_op *op, valori_error *error);
/*
 * The same count times, with vectors that lie stride bytes apart, beginning at op->vector, and tags[i] for op->tag when
 * tags is not NULL: all or none. out_fault (may be NULL): after a failure, the row at fault. [own]
 */
valori_code valori_batch_add_rows(valori_batch *batch, const valori_op *op, size_t count, size_t stride,
				  const uint64_t *tags, size_t *out_fault, valori_error *error);
/* Leaves op number index out of the commit; ops that refer to it are refused. [own] */
void valori_batch_skip(valori_batch *batch, size_t index);
size_t valori_batch_count(const valori_batch *batch); /* [own] ops, skipped ones included */
size_t valori_batch_size(const valori_batch *batch);  /* [own] bytes that its commit will have, about */
/* Hashes the content now, on this thread, rather than in valori_commit. [own] */
void valori_batch_seal(valori_batch *batch);

typedef struct valori_receipt { /* what a commit did */
	/* its number, or VALORI_NONE when all its requests were repeats and nothing was written */
	uint64_t commit;
	uint64_t first_event; /* events before it */
	uint64_t event_count;
	uint64_t time_ms;
	valori_hash state_root; /* after it */
	valori_hash root_before;
} valori_receipt;

/*
 * Applies a batch as one commit: all of it or nothing, durable on return (with VALORI_SYNC_ALWAYS). out_ids, if not
 * NULL, receives for each op the id of what it made or touched (VALORI_NONE for a skipped one, the meta slot for META,
 * 0 for CONFIG). An empty batch does nothing. Concurrent callers share one sync. On failure error->event is the index
 * of the op at fault or VALORI_NONE. NOT_FOUND, DUPLICATE, CONFLICT, FULL, INVALID, TOO_LONG, IO, POISONED, NO_MEMORY.
 * [write]
 */
valori_code valori_commit(valori *store, valori_batch *batch, valori_receipt *out, uint64_t *out_ids,
			  valori_error *error);

/*
 * The same for count batches, in order, each a commit of its own, with one sync for all: for who has more than one
 * ready. Stops at the first that is refused; *out_done (may be NULL) is how many were committed, and error is about the
 * one behind them. When writing or syncing fails that is none. out: count receipts, or NULL; out_ids: count arrays, any
 * of them or itself NULL. [write]
 */
valori_code valori_commit_many(valori *store, valori_batch *const *batches, size_t count, valori_receipt *out,
			       uint64_t *const *out_ids, size_t *out_done, valori_error *error);

/* Makes everything committed so far durable; others may commit while it waits for the disk. [write] */
valori_code valori_flush(valori *store, valori_error *error);

/* [any] The first 8 bytes of the request ids of a source's rows: the start of BLAKE3(source | 0 | format). */
void valori_request_prefix(const char *source, const char *format, uint8_t out[8]);
/*
 * Which rows of a source did request ids 8 bytes prefix | row u64le bring into the log? Answers the highest row + 1 in
 * *out_rows (0: none). Looks in the request window and, when that has overflown, in the log. UNKNOWABLE: older requests
 * were trimmed away. [write]
 */
valori_code valori_requests_find(valori *store, const uint8_t prefix[8], uint64_t *out_rows, valori_error *error);
/*
 * Compares op number index of batch, whose request must have been committed, with what was committed: VALORI_OK,
 * CONFLICT, or NOT_FOUND when the request window no longer holds it. [write]
 */
valori_code valori_request_check(valori *store, const valori_batch *batch, size_t index, valori_error *error);

/* ---- 6. Reading ------------------------------------------------------------------------------------------------ */

/* The newest published version, frozen until closed; it costs nothing to open. What reads return borrowed lives as long
 * as the view. [any] */
valori_code valori_view_open(valori *store, valori_view **out, valori_error *error);
void valori_view_close(valori_view *view);					       /* [any] */
valori_code valori_view_info(const valori_view *view, valori_info *out, valori_error *error); /* [read] */

typedef enum valori_status { VALORI_LIVE = 1, VALORI_TOMBSTONE = 2, VALORI_DELETED = 3 } valori_status;

typedef struct valori_record {
	uint64_t id;
	uint64_t tag;
	uint32_t collection;
	uint32_t status;	 /* valori_status; DELETED: all else is zero. Live only if its collection is, too */
	const char *key;	 /* borrowed from the view, not NUL-terminated; NULL: none */
	const uint8_t *metadata; /* borrowed from the view; NULL: absent */
	uint32_t key_size;
	uint32_t metadata_size;
	uint64_t node; /* the first one that names it, or VALORI_NONE */
} valori_record;

/* OK; NOT_FOUND when id was never given out. [read] */
valori_code valori_record_get(const valori_view *view, uint64_t id, valori_record *out, valori_error *error);
/* The live record with this key. OK, NOT_FOUND. [read] */
valori_code valori_record_find(const valori_view *view, uint32_t collection, const char *key, size_t key_size,
			       uint64_t *out_id, valori_error *error);
/*
 * dim components into out, the record's leaf recomputed before. OK, NOT_FOUND (deleted ones too), UNKNOWABLE (opened
 * with NO_VECTORS), DAMAGED. [read]
 */
valori_code valori_vector_get(const valori_view *view, uint64_t id, int32_t *out, valori_error *error);

typedef struct valori_node {
	uint64_t id, record; /* record: VALORI_NONE when it names none */
	uint32_t collection, kind, live, reserved;
} valori_node;

typedef struct valori_edge {
	uint64_t id, from, to;
	uint32_t kind, live;
} valori_edge;

valori_code valori_node_get(const valori_view *view, uint64_t id, valori_node *out, valori_error *error);
valori_code valori_edge_get(const valori_view *view, uint64_t id, valori_edge *out, valori_error *error);
/*
 * Live edges of a node in order of creation: start with *cursor = 0; OK or END. outgoing 1: from it, 0: to it. [read]
 */
valori_code valori_edge_next(const valori_view *view, uint64_t node, int outgoing, uint64_t *cursor, valori_edge *out);
/* Meta value by key: borrowed bytes. OK, NOT_FOUND. [read] */
valori_code valori_meta_get(const valori_view *view, const char *key, size_t key_size, const uint8_t **out,
			    size_t *out_size, valori_error *error);
/* Collections. A name is borrowed, not NUL-terminated. OK, NOT_FOUND. [read] */
valori_code valori_collection_find(const valori_view *view, const char *name, size_t name_size, uint32_t *out,
				   valori_error *error);
valori_code valori_collection_get(const valori_view *view, uint32_t id, const char **out_name, size_t *out_size,
				  uint32_t *out_live, valori_error *error);

/* ---- 7. Searching ---------------------------------------------------------------------------------------------- */

typedef struct valori_search_options {
	uint32_t size;
	uint32_t k;	      /* 1...VALORI_K_MAX */
	uint32_t collection;  /* only records of this one */
	uint32_t has_tag;     /* 1: only records with tag */
	uint64_t tag;
	uint32_t threads;     /* 0 or 1: this one only; the answer does not depend on it */
	uint32_t exact;	      /* 1: the nearest for certain, whatever index there is */
	uint32_t ef;	      /* candidates that a walk through the graph keeps, at least k; 0: as the log says */
	uint32_t slack;	      /* it ends when what comes next is farther than slack/1024 of the k-th; 0: 1300 */
	uint64_t boundary;    /* not 0: answer only with the index of this boundary, else NOT_FOUND */
	struct valori_explanation *explanation; /* if not NULL: how it was done, all queries together */
	uint32_t probes;      /* inverted lists to look at, more where a filter allows few; 0: as the log says */
} valori_search_options;

#define VALORI_SEARCH_INIT {.size = sizeof(valori_search_options), .k = 10}

typedef struct valori_hit {
	uint64_t id;
	uint64_t score; /* exact squared L2 distance, Q32.32 */
} valori_hit;

typedef enum valori_plan {
	VALORI_PLAN_NONE = 0,	/* nothing to look at: no such collection */
	VALORI_PLAN_SCAN = 1,	/* every vector */
	VALORI_PLAN_CODES = 2,	/* every code, and the vectors that these cannot exclude: as certain */
	VALORI_PLAN_LIST = 3,	/* the same over the few records that the filter allows */
	VALORI_PLAN_GRAPH = 4,	/* a walk through the graph */
	VALORI_PLAN_ALLOWED = 5, /* a walk, or a look, among the records that the filter allows */
	VALORI_PLAN_LISTS = 6	/* a look through the nearest inverted lists */
} valori_plan;

typedef struct valori_explanation {
	uint32_t plan; /* valori_plan */
	uint32_t kind; /* valori_index_kind of the index, VALORI_NONE's lower half without one */
	uint64_t since, boundary; /* of the index; VALORI_NONE without one */
	uint64_t rows;	   /* in the index */
	uint64_t matched;  /* rows that the filter allows; VALORI_NONE: they were not counted */
	uint64_t tail;	   /* records behind the boundary, which were scanned */
	uint64_t scanned;  /* codes and vectors that scans went over */
	uint64_t visited;  /* codes compared in the graph, or of lists */
	uint64_t compared; /* vectors compared exactly after their codes */
	uint64_t repeated; /* queries answered again by a scan, because the walk had found fewer than k */
} valori_explanation;

/*
 * The k nearest live records of each of count queries (count x dim Q16.16 that satisfy the acceptance rule), nearest
 * first, equal distances by smaller id: exactly, unless the view has an index with a graph or lists and options do not
 * ask for exact; then nearly always, and the same on every machine for the same boundary. out has room for count x k;
 * out_counts[i] = min(k, matches), also with these.
 * All queries share one pass over what is scanned. Every hit's record leaf is recomputed and compared before it is
 * returned: DAMAGED if one differs (a snapshot with a damaged data section). Also INVALID, RANGE, UNKNOWABLE,
 * NOT_FOUND (boundary), NO_MEMORY. [read]
 */
valori_code valori_search(const valori_view *view, const int32_t *queries, size_t count,
			  const valori_search_options *options, valori_hit *out, size_t *out_counts,
			  valori_error *error);

typedef struct valori_index_info {
	uint32_t size; /* set to sizeof(valori_index_info) before the call */
	uint32_t kind; /* valori_index_kind */
	uint32_t has_graph;
	uint32_t m, ef_construction, width, slack; /* what the graph is built with */
	uint32_t ef_search;
	uint64_t since;	   /* height at which it began */
	uint64_t boundary; /* height of its last round: records that came later are scanned */
	uint64_t due;	   /* boundary of the last round that was due */
	uint64_t rows;	   /* records it holds, those included that are gone since */
	uint64_t covered;  /* record slots up to the boundary */
	uint64_t bytes;	   /* its size */
	valori_hash digest; /* of all its bytes: the same wherever since and boundary are the same */
	uint32_t lists; /* inverted lists that it has */
} valori_index_info;

/*
 * The index that this view searches with. NOT_FOUND: it has none. The digest is computed when it is first asked for.
 * [read]
 */
valori_code valori_view_index(const valori_view *view, valori_index_info *out, valori_error *error);
/*
 * Waits until the rounds that are due up to the view's height are done, and lets the view search with them. Not beside
 * other calls on the same view. NO_MEMORY: a round has failed; the view keeps what it has. [own]
 */
valori_code valori_view_settle(valori_view *view, valori_error *error);

/* The value of a CONFIG parameter. NOT_FOUND: it was never set. [read] */
valori_code valori_config_get(const valori_view *view, uint32_t parameter, uint64_t *out, valori_error *error);

/* ---- 8. Event logs as streams ----------------------------------------------------------------------------------- */

typedef struct valori_log valori_log; /* a reader of commits, one after the other */

typedef struct valori_log_info {
	uint32_t size;
	uint32_t version, dim, reserved;
	uint64_t base_commit, base_event; /* the first commit in this log, events before it */
	uint64_t base_time_ms;
	valori_hash log_id, base_root; /* state root before its first commit */
	/* of the store it was restored from: id, commits, root of its log tree; else zero */
	valori_hash parent_id, parent_root;
	uint64_t parent_commit;
	valori_hash base_tree_root; /* of the log tree before its first commit */
} valori_log_info;

typedef struct valori_commit_view { /* one commit; pointers are borrowed until the next call on the reader */
	uint64_t number, first_event, time_ms;
	uint32_t event_count, request_count;
	uint64_t offset;	/* of its header in the file (or stream) named by path */
	const char *path;
	const uint8_t *bytes;	/* header and body, as in the file */
	uint64_t size;
	valori_hash state_root;	/* as the commit says */
	valori_hash tree_root;	/* of the log tree after it, computed */
} valori_commit_view;

enum {				   /* flags of valori_log_open, for live logs */
	VALORI_LOG_FOLLOW = 1 << 0, /* at the end wait for more instead of END */
	VALORI_LOG_AGAIN = 1 << 1   /* END may be asked again: then what was acknowledged since follows */
};

/*
 * A store (directory or live file: all its segments, as far as what is acknowledged), or one sealed segment. archive
 * may be NULL. [any] Release with valori_log_close.
 */
valori_code valori_log_open(const char *path, const char *archive, uint32_t flags, valori_log **out,
			    valori_error *error);
/* A log stream from a descriptor, which stays the caller's. name is for messages. [any] */
valori_code valori_log_open_fd(int fd, const char *name, valori_log **out, valori_error *error);
/* The same for a stream that may never end: what is no commit is DAMAGED at once, whatever comes behind it. [any] */
valori_code valori_log_open_live(int fd, const char *name, valori_log **out, valori_error *error);
void valori_log_close(valori_log *log); /* [own] */
valori_code valori_log_get_info(valori_log *log, valori_log_info *out, valori_error *error); /* [own] */
/*
 * Skips forward so that the next commit is the one that contains event number event. Fast in files. UNKNOWABLE before
 * the base. [own]
 */
valori_code valori_log_seek(valori_log *log, uint64_t event, valori_error *error);
/*
 * The number of the commit that ends at a moment, in *out_commit (VALORI_NONE: the state before the first commit),
 * without moving. Needs a file. NOT_FOUND, UNKNOWABLE. [own]
 */
valori_code valori_log_find(valori_log *log, const valori_when *when, uint64_t *out_commit, valori_error *error);
/*
 * The next commit, its checksums, numbering, padding and events_root checked: OK, END, DAMAGED, MISSING, NEWER, IO,
 * NO_MEMORY. After END valori_log_torn_size says how many bytes after the last commit count for nothing. [own]
 */
valori_code valori_log_next(valori_log *log, valori_commit_view *out, valori_error *error);
uint64_t valori_log_torn_size(const valori_log *log); /* [own] */
/*
 * The 4096-byte header of a log stream that starts with the commit that valori_log_next gave last; when it gave none,
 * or END, of one that starts here, and holds nothing yet. [own]
 */
valori_code valori_log_header(valori_log *log, uint8_t out[4096], valori_error *error);

typedef enum valori_event_type {
	VALORI_EVENT_INSERT = 1,
	VALORI_EVENT_SOFT_DELETE = 2,
	VALORI_EVENT_DELETE = 3,
	VALORI_EVENT_SET_METADATA = 4,
	VALORI_EVENT_SET_TAG = 5,
	VALORI_EVENT_NODE_CREATE = 6,
	VALORI_EVENT_NODE_SET_RECORD = 7,
	VALORI_EVENT_NODE_DELETE = 8,
	VALORI_EVENT_EDGE_CREATE = 9,
	VALORI_EVENT_EDGE_DELETE = 10,
	VALORI_EVENT_META_SET = 11,
	VALORI_EVENT_META_DELETE = 12,
	VALORI_EVENT_COLLECTION_CREATE = 13,
	VALORI_EVENT_COLLECTION_DROP = 14,
	VALORI_EVENT_CONFIG = 15
} valori_event_type;

typedef struct valori_event { /* one event; bytes are borrowed with its commit */
	uint64_t number; /* its height before it: the first event of a log has number 0 */
	uint32_t type;
	uint32_t salted;
	uint64_t id;	 /* of the record, node, edge, meta slot or collection */
	uint64_t tag;	 /* INSERT, SET_TAG */
	uint64_t record; /* NODE_*: or VALORI_NONE */
	uint64_t from, to; /* EDGE_CREATE */
	uint32_t collection, kind;
	const char *key; /* INSERT, META_SET, COLLECTION_CREATE (name); not NUL-terminated */
	const uint8_t *metadata; /* INSERT, SET_METADATA, META_SET (value); NULL: absent */
	const uint8_t *vector;	 /* INSERT: dim x int32 little-endian */
	const uint8_t *salt;	 /* 16 bytes when salted */
	const uint8_t *request;	 /* 16 bytes, or NULL */
	uint32_t key_size, metadata_size;
	uint32_t parameter, reserved; /* CONFIG, one event per parameter */
	uint64_t value;
} valori_event;

/* Event number index (0...event_count - 1) of a commit; cheap when asked in order. [own] */
valori_code valori_log_event(valori_log *log, uint32_t index, valori_event *out, valori_error *error);

/*
 * Applies a commit, as read, to a store: checks that it is the next one and gives the root it says, and appends the
 * same bytes to the store's log. A commit that the store has already must be equal (VALORI_OK, *out_new = 0).
 * OTHER_LOG: gap or difference. MISMATCH: root differs. Durable after valori_flush. A fresh store in memory or on disk
 * adopts log id and base from log. [write]
 */
valori_code valori_replicate(valori *store, valori_log *log, const valori_commit_view *commit, int *out_new,
			     valori_error *error);

/* ---- 9. Snapshots, trimming, restoring --------------------------------------------------------------------------- */

typedef struct valori_snapshot_info {
	uint32_t size;
	uint32_t version, dim, section_count;
	uint64_t height, commits, time_ms, file_size;
	uint64_t record_slots, record_live, node_live, edge_live, meta_live, collection_live;
	valori_hash log_id, state_root, tree_root;
} valori_snapshot_info;

/* Writes the view as a snapshot file, which appears whole or not at all; it is then read back and its root compared.
 * The snapshot that the store was opened with is looked through first: DAMAGED.
 * path "-": to standard output. out may be NULL. [read] */
valori_code valori_snapshot_write(valori_view *view, const char *path, valori_snapshot_info *out, valori_error *error);
/* Header and section table only: fast. NOT_FOUND, NOT_OURS, DAMAGED, NEWER. [any] */
valori_code valori_snapshot_read(const char *path, valori_snapshot_info *out, valori_error *error);
/*
 * Everything: section digests, every leaf recomputed from content, every tree, the state root. DAMAGED with offset.
 * [any]
 */
valori_code valori_snapshot_check(const char *path, valori_snapshot_info *out, valori_error *error);

typedef struct valori_trim_result {
	uint64_t base_height;	  /* first event the log now holds */
	uint64_t segments, bytes; /* removed or moved */
} valori_trim_result;

/*
 * Removes (or moves to directory archive, made when missing, if not NULL) the sealed segments that the snapshot covers,
 * oldest first, after the snapshot was checked in full and its root compared with that commit's in the log. dry_run:
 * only says what it would do. When nothing writes, the live segment is rotated first if the snapshot covers it, so that
 * all of it can go; beside a writer it stays. OTHER_LOG (or a fork of this one), UNKNOWABLE (the log begins after the
 * snapshot), MISSING (it ends before), DAMAGED, LOCKED, IO. [any]
 */
valori_code valori_trim(const char *log, const char *snapshot, const char *archive, int dry_run,
			valori_trim_result *out, valori_error *error);
/*
 * Makes the store at log begin anew from a snapshot: new log id, heights go on, the old files moved to
 * STEM.before-restore-N/. The snapshot ("-": a stream on standard input) is checked in full first; it becomes
 * snapshot.val beside the log, with the new log's id in its header. The log need not exist. out (may be NULL) describes
 * the new snapshot. LOCKED, DAMAGED, OTHER_LOG (snapshot.val there belongs to a third store), IO ... [any]
 */
valori_code valori_restore(const char *log, const char *snapshot, valori_snapshot_info *out, valori_error *error);

/* ---- 10. Verifying ----------------------------------------------------------------------------------------------- */

typedef enum valori_verdict {
	VALORI_CONSISTENT = 0,	  /* agrees with itself; nothing to compare with was given */
	VALORI_VERIFIED_STATE = 1, /* state root equals the one expected */
	VALORI_VERIFIED_HISTORY = 2, /* history and state equal tree:SIZE:HASH */
	VALORI_TAMPERED = 3,	  /* sound checksums, but roots or history differ: somebody rewrote it */
	VALORI_VERDICT_DAMAGED = 4, /* checksums fail */
	VALORI_DIFFERS = 6,	    /* agrees with itself, but does not end in the state root expected */
	VALORI_INDETERMINATE = 5  /* cannot be told: what it needs was trimmed */
} valori_verdict;

typedef struct valori_verify_options {
	uint32_t size;
	uint32_t reserved;
	const char *path;     /* log (directory, live file, segment), snapshot, or NULL with fd: a stream of either */
	/* compare with the log at its commit; NULL: snapshot.val beside the log if present; "": none */
	const char *snapshot;
	const char *archive;
	const char *name; /* of fd, for messages */
	int fd;		  /* -1: none */
	int expect_kind;  /* 0 none, 1 state root, 2 tree:size:hash */
	valori_hash expect;
	uint64_t expect_size;
	valori_when at;
	/* [own] called after every commit, if not NULL; commits are then verified one by one, which takes longer */
	void (*trace)(void *context, const valori_commit_view *commit);
	/* [own] called with the height reached, after every commit that was read, if not NULL */
	void (*progress)(void *context, uint64_t height);
	void *context;
} valori_verify_options;

#define VALORI_VERIFY_INIT {.size = sizeof(valori_verify_options), .fd = -1}

typedef struct valori_verify_report {
	uint32_t size;
	uint32_t verdict; /* valori_verdict */
	uint32_t is_snapshot;
	uint32_t snapshot_used; /* 0 none, 1 as the base of a trimmed log, 2 also compared at its commit */
	uint64_t base_height, height, commits, time_ms; /* as far as proven */
	uint64_t torn_size;
	uint64_t segments;
	valori_hash log_id, state_root, tree_root; /* tree_root: zeros when it is not known so far */
	/* where the first fault is; VALORI_NONE when there is none */
	uint64_t fault_offset, fault_event, fault_commit, fault_time_ms;
	uint32_t fault_rewrite;	  /* 0: checksum broken (accident), 1: checksums are right, content differs */
	uint32_t expect_reached;  /* 1: the expected root or size was met on the way, at expect_height */
	uint64_t expect_height;
	char fault_path[256];
	char sentence[512]; /* what is wrong and what is still proven; what to do next */
	char note[256];	    /* what is odd, and does no harm to what was verified; or "" */
} valori_verify_report;

/*
 * Verifies a log, a set of segments, a snapshot, or both against each other, streaming. VALORI_OK: the report holds the
 * verdict, whatever it is. Another code: no verdict could be reached (NOT_FOUND, IO, NOT_OURS, NEWER, NO_MEMORY). [any]
 */
valori_code valori_verify(const valori_verify_options *options, valori_verify_report *out, valori_error *error);

/* ---- 11. Files of the Rust system -------------------------------------------------------------------------------- */

/*
 * Event logs (version 2, 3 and 4, in one file or in many), WALs and snapshots of Valori-Kernel, read and never written.
 * The events are applied to a model of its state whose hash is its hash, "valori-state" version 2.
 */
typedef struct valori_upstream valori_upstream;

typedef enum valori_upstream_kind {
	VALORI_UPSTREAM_NONE = 0, /* none of its files */
	VALORI_UPSTREAM_LOG = 1,
	VALORI_UPSTREAM_WAL = 2,
	VALORI_UPSTREAM_SNAPSHOT = 3
} valori_upstream_kind;

typedef enum valori_upstream_verdict {
	VALORI_UPSTREAM_INTACT = 0,	/* everything that its bytes can prove is as it should be */
	VALORI_UPSTREAM_TORN = 1,	/* the same, but for bytes at the end that a crash left: benign */
	VALORI_UPSTREAM_INCOMPLETE = 2, /* what is there is sound, but segments are missing */
	VALORI_UPSTREAM_ALTERED = 3,	/* an entry is not what was written */
	VALORI_UPSTREAM_REFUSED = 4,	/* the chain is sound, but an event contradicts those before it */
	VALORI_UPSTREAM_UNREADABLE =
		5 /* of a WAL or a snapshot, which have no checksum: no such file goes on like this */
} valori_upstream_verdict;

enum {					 /* valori_upstream_event.flags */
	VALORI_UPSTREAM_HOLE = 1 << 0,	 /* INSERT: only an id that is not in use (of a snapshot); all else is zero */
	VALORI_UPSTREAM_ENCRYPTED = 1 << 1, /* INSERT: metadata is ciphertext, the vector zeros */
	VALORI_UPSTREAM_SHRED = 1 << 2,	 /* type is 0: a key was destroyed */
	VALORI_UPSTREAM_REPEATED = 1 << 3, /* SOFT_DELETE of what was soft-deleted already */
	VALORI_UPSTREAM_TOMBSTONE = 1 << 4, /* INSERT: of a snapshot: soft-deleted there */
	VALORI_UPSTREAM_SHREDDED = 1 << 5  /* INSERT: of a snapshot: its key is destroyed */
};

typedef struct valori_upstream_event { /* bytes are borrowed until the next call */
	valori_event event; /* number counts from 0; collection is the namespace; no salt, no CONFIG */
	uint32_t flags, dim;
	uint64_t offset, time_s; /* of its entry in the file named by path */
	const char *path;
} valori_upstream_event;

typedef struct valori_upstream_report {
	uint32_t size;
	uint32_t kind, verdict;
	uint32_t version, dim;	/* of the last segment's header */
	uint32_t segments, first_segment, last_segment;
	uint32_t state_known;	/* 0: events before the first segment would be needed */
	uint32_t empty_metadata; /* entries with empty metadata, over which its own reader stumbles */
	uint32_t oversized;	/* entries longer than its own reader accepts */
	uint32_t reordered;	/* events that stand behind later ones, and were put back in order */
	uint32_t checkpoints, checkpoints_wrong; /* wrong: at the start of a segment, another hash than the state's */
	uint64_t file_size, entries, events, encrypted;
	uint64_t torn_size;	/* bytes at the end that count for nothing */
	uint64_t torn_inside;	/* the same between entries: a torn write, after which the log was continued */
	uint64_t state_version;
	uint64_t record_slots, record_active, record_soft_deleted, record_encrypted, record_shredded;
	uint64_t node_slots, node_live, edge_slots, edge_live;
	uint64_t meta_entries; /* of a snapshot */
	valori_hash chain_head, state_hash;
	/* the first fault: entries count from 1, as its own tools count; VALORI_NONE: there is none */
	uint64_t fault_entry, fault_offset, fault_time_s;
	uint64_t breach_entry, breach_offset; /* where it showed */
	valori_hash breach_stored, breach_computed;
	char fault_path[256];
	char sentence[512]; /* what is wrong, and what is still proven; "" when there is nothing to say */
} valori_upstream_report;

/* What a file's first bytes say; a pipe or a directory is NONE. NOT_FOUND, IO. [any] */
valori_code valori_upstream_recognise(const char *path, uint32_t *out_kind, valori_error *error);
/*
 * One log with all its segments, one WAL, or one snapshot. Segments may be given in any order; with one path, those
 * named PATH.NNNNNN beside it, and in directory archive (if not NULL), are found. NOT_FOUND, NOT_OURS, DAMAGED
 * (header), NEWER, INVALID (files that do not belong together), IO, NO_MEMORY. [any] Release with
 * valori_upstream_close.
 */
valori_code valori_upstream_open(const char *const *paths, size_t count, const char *archive, valori_upstream **out,
				 valori_error *error);
void valori_upstream_close(valori_upstream *upstream); /* [own] */
/* The next event, as long as all is sound: OK, END, NO_MEMORY. [own] */
valori_code valori_upstream_next(valori_upstream *upstream, valori_upstream_event *out, valori_error *error);
/* What is known so far; the verdict, and all of it, after END. Computes the state hash. [own] */
void valori_upstream_get_report(valori_upstream *upstream, valori_upstream_report *out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
