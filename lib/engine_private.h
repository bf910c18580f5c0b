/*
 * engine_private.h - what the files of the engine share.
 *
 * Who may touch what. `mutex` guards what is marked [mutex], and is never held while something is written or synced.
 * Everything marked [turn] belongs to whoever has the turn: is_busy is set by one thread at a time, which then works
 * without the mutex. Publishing takes both. The disk has a turn of its own, is_syncing: whoever has it may sync, and
 * what is staged and appended meanwhile waits for the next one. Who has both took the first one first.
 */
#ifndef VL_ENGINE_PRIVATE_H
#define VL_ENGINE_PRIVATE_H

#include <pthread.h>

#include "batch.h"
#include "engine.h"

enum { VL_GROUP_SIZE = 8 << 20 }; /* replicated commits are synced when so many bytes wait */

struct vl_frozen { /* a version and who holds it */
	struct vl_version version;
	uint64_t name;          /* of the version in the pool */
	uint64_t publication;   /* which it shows */
	uint64_t holders;       /* [mutex] views, and the store for its newest */
	struct vl_frozen *next; /* [mutex] of those that nobody holds any more */
};

struct valori_view {
	valori *store;
	struct vl_frozen *frozen;
};

struct vl_waiter { /* a batch that waits for its commit; it is its caller's */
	valori_batch *batch;
	const struct vl_waiter *before; /* of the same caller: when that is refused, this one is not tried */
	valori_receipt receipt;
	valori_error error;
	valori_code code;
	bool is_done;
	struct vl_waiter *next;
};

struct valori {
	const struct vl_env *env;
	const struct vl_os *os;
	uint32_t flags, sync, sync_commits, sync_ms;
	uint64_t records_max, time_ms, segment_size;
	struct vl_names names;
	bool has_names;
	bool is_read_only;
	bool has_log; /* commits go to files, or came from them */
	char *archive;
	size_t archive_size;
	int lock;                     /* descriptor of the lock file, or -1 */
	struct vl_snapshot *snapshot; /* mapped: the first chunks of the state */

	/* [turn] */
	struct vl_replica replica;
	struct vl_position position; /* of the staged state */
	struct vl_writer *writer;
	bool is_log_due;     /* the live segment is made when the first commit is written, or at close */
	bool is_replaced;    /* ... and an empty one is removed first */
	bool is_log_made;    /* ... and is there already, but could not be opened to append */
	bool is_broken;      /* the state could not be put back: nothing more is written */
	struct vl_buf group; /* bytes of the commits that are staged and not yet written */
	bool is_group_open;
	uint64_t group_commits;
	struct vl_position group_start;
	struct vl_buf window, scratch, digests, table; /* of staging */
	struct vl_reader *own;                         /* reads the store's own log, for comparisons */

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_busy;                    /* [mutex] somebody has the turn */
	struct vl_waiter *first, **last; /* [mutex] */
	bool are_views_wanted;           /* [mutex] somebody opened one */
	struct vl_frozen *newest;        /* [mutex] */
	struct vl_frozen *retired;       /* [mutex] to be released by whoever has the turn */
	uint64_t publication;            /* [mutex] */
	struct vl_position published;    /* [mutex] */
	struct vl_totals totals;         /* [mutex] of the published state */
	uint64_t slots[VL_LISTS];        /* [mutex] */
	valori_info opened;              /* how it was opened: never changes */
	bool is_flush_due;               /* [mutex] flushing takes more than a sync: something is staged, or wrong */
	bool is_syncing;                 /* [mutex] somebody has the disk's turn */
	struct vl_writer *syncer;        /* [mutex] the writer that has what is published; NULL: there is none */
	struct vl_writer_mark mark;      /* [mutex] up to where it has that */
	uint64_t synced_commits;         /* [mutex] */
	uint64_t unsynced_since;         /* [mutex] monotonic ms of the oldest unsynced commit; 0: none */
	bool is_closing;                 /* [mutex] */
	bool has_flusher;
	pthread_t flusher;
};

/* engine_commit.c */
void vl_engine_take_turn(valori *store);
void vl_engine_give_turn(valori *store);
/* [turn] Undoes what is staged behind size bytes of the group. */
valori_code vl_engine_unstage(valori *store, size_t size, valori_error *error);
/* [turn] Opens the group's bracket when it is not open. */
void vl_engine_open_group(valori *store);
/*
 * [turn] Writes what is staged, syncs as the store's mode says (or anyway), publishes. On failure all of it is
 * undone.
 */
valori_code vl_engine_finish_group(valori *store, bool is_sync_asked, valori_error *error);
/* [turn] Makes the live segment and the writer when they are not there yet. */
valori_code vl_engine_make_log(valori *store, valori_error *error);
/* [turn] The staged state is what readers see from now on. */
void vl_engine_publish(valori *store);
valori_code vl_engine_start_flusher(valori *store, valori_error *error);
void vl_engine_stop_flusher(valori *store);
/* How the store's own log is read: by its writer also what it has not synced yet. */
struct vl_reader_options vl_engine_own_log(const valori *store);
/*
 * [turn] Finds the event with this number in the store's own log: its bytes live until the next call. NOT_FOUND when
 * it is not there.
 */
valori_code vl_engine_read_event(valori *store, uint64_t number, struct vl_event *out, valori_error *error);

/*
 * engine_stage.c: [turn] encodes and applies a batch as the next commit, behind the group. Ids go to batch->ids.
 * After a failure the state is half changed: the caller unstages. An empty commit leaves all as it was.
 */
valori_code vl_engine_stage(valori *store, valori_batch *batch, valori_receipt *out, valori_error *error);
/* [turn] valori_request_check. */
valori_code vl_engine_check_request(valori *store, valori_batch *batch, size_t index, valori_error *error);

/* engine_search.c: is the record, with its vector, what its leaf says? Else DAMAGED. */
valori_code vl_engine_prove_record(const struct vl_version *version, uint64_t id, valori_error *error);

/* engine_view.c */
void vl_engine_describe(const struct vl_kernels *kernels, const struct vl_position *position,
			const struct vl_totals *totals, const uint64_t slots[VL_LISTS], valori_info *out);
/* [mutex] */
valori_code vl_engine_freeze(valori *store, valori_error *error);
void vl_engine_let_go(valori *store, struct vl_frozen *frozen);
void vl_engine_release_retired(valori *store);

#endif
