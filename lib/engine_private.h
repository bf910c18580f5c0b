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
#include "index.h"

enum {
	VL_GROUP_SIZE = 8 << 20, /* replicated commits are synced when so many bytes wait */
	VL_LIST_MAX = 12288      /* rows that a filter leaves are looked at one by one up to here */
};

/* One round of the index, from when it is due until nobody searches with it any more. */
struct vl_round {
	struct vl_schedule schedule; /* where it leads */
	struct vl_frozen *input;     /* [mutex] the version after the commit it is due at; NULL when done */
	struct vl_index index;       /* when done: never changes */
	bool is_done;                /* [mutex] */
	uint64_t holders;            /* [mutex] */
	struct vl_round *next;       /* [mutex] of those that wait */
	bool has_digest;             /* [mutex] somebody has asked for it */
	valori_hash digest;
};

/* What a filter allows of an index, with the state of one version. */
struct vl_filtered {
	struct vl_filter filter;
	uint64_t since, boundary; /* of the index */
	uint64_t matched;         /* rows */
	uint64_t *bits;           /* one per row */
	uint32_t *list;           /* the rows, ascending, when they are at most VL_LIST_MAX */
	size_t bits_size, list_size;
	struct vl_filtered *next;
};

struct vl_frozen { /* a version and who holds it */
	struct vl_version version;
	struct vl_filtered *filtered; /* [mutex] what was asked for; each stays as long as the version */
	struct vl_round *due;   /* [mutex] the last round at or before it, or NULL without an index */
	uint64_t name;          /* of the version in the pool */
	uint64_t publication;   /* which it shows */
	uint64_t holders;       /* [mutex] views, and the store for its newest */
	struct vl_frozen *next; /* [mutex] of those that nobody holds any more */
};

struct valori_view {
	valori *store;
	struct vl_frozen *frozen;
	struct vl_round *round; /* what it searches with, or NULL */
};

/* Codes of the records behind a round; engine_tail.c. */
struct vl_tail {
	pthread_mutex_t mutex;
	uint64_t since, boundary; /* of the round */
	struct vl_codes codes;    /* of slots covered by the round ... slots - 1, as far as they were visible */
	uint64_t slots;
	uint64_t publication; /* for which versions: this one and later ones */
	uint64_t used;	      /* comparisons that codes would have saved */
};

struct vl_waiter { /* a batch that waits for its commit; it is its caller's */
	valori_batch *batch;
	const struct vl_waiter *before; /* of the same caller: when that is refused, this one is not tried */
	valori_receipt receipt;
	valori_error error;
	valori_code code;
	bool is_done;
	pthread_cond_t *wake; /* its caller's, at the first and the last of his; NULL at those between */
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

	/* The index. While the store is opened its one round grows; then a thread makes new ones. */
	uint32_t index_kind;     /* valori_index_kind */
	size_t index_threads;    /* at least 1 */
	uint64_t index_boundary; /* while opening: the last round that is run */
	bool is_index_lost;      /* [turn] a round could not be begun: there will be no more */
	valori_error index_error;
	struct vl_round *due; /* [turn, changed with mutex] the last round that is due, or NULL */
	bool has_builder;
	pthread_t builder;

	pthread_mutex_t mutex;
	pthread_cond_t changed; /* a turn has ended, the disk's or the other, or a round is done */
	pthread_cond_t has_work; /* something is waiting for the builder, or may be for the flusher */
	bool is_busy;                    /* [mutex] somebody has the turn */
	struct vl_waiter *first, **last; /* [mutex] */
	bool are_views_wanted;           /* [mutex] somebody opened one */
	struct vl_frozen *newest;        /* [mutex] */
	struct vl_frozen *retired;       /* [mutex] to be released by whoever has the turn */
	struct vl_round *done;           /* [mutex] the last round that is done, or NULL */
	struct vl_round *waiting, **last_waiting; /* [mutex] those that are due and not begun, in order */
	bool has_builder_failed;         /* [mutex] */
	struct vl_scratch *scratches;    /* [mutex] of searches, to be used again */
	struct vl_tail tail;
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

/* engine.c: one more sentence about how the store was opened. */
void vl_engine_note(valori *store, const char *sentence);

/* engine_commit.c */
/* [mutex] Nobody has the turn any more: whoever waits for it, and no more threads than can have it, hears of it. */
void vl_engine_call_next(valori *store);
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

/*
 * engine_index.c: while the store is opened: the index of the snapshot, or an empty one, before commits are replayed;
 * rounds that are due are then run behind each. After the last one the code says how it went.
 */
valori_code vl_engine_begin_index(valori *store, valori_error *error);
valori_code vl_engine_end_replay(valori *store, valori_error *error);
/* Afterwards: the thread that runs rounds, for who may write. */
valori_code vl_engine_start_builder(valori *store, valori_error *error);
void vl_engine_end_index(valori *store); /* after the last view was closed */
/* [turn] Is a round due with what is staged? Then the group ends here: its state is the round's input. */
bool vl_engine_is_round_due(valori *store);
/* [turn] Behind a publication. */
void vl_engine_begin_round(valori *store);
/* [mutex] NULL is fine. */
struct vl_round *vl_engine_hold_due(valori *store);
struct vl_round *vl_engine_hold_done(valori *store, struct vl_round *due);
void vl_engine_let_go_round(valori *store, struct vl_round *round);

/*
 * engine_filter.c: of a view with an index. It lives as long as the view's version; or, when *out_own is set, until
 * the caller frees that. NULL: out of memory.
 */
const struct vl_filtered *vl_engine_filtered(const valori_view *view, const struct vl_filter *filter,
					     struct vl_filtered **out_own, valori_error *error);
void vl_engine_free_filtered(const struct vl_env *env, struct vl_filtered *filtered);


/* engine_search.c */
void vl_engine_free_scratches(valori *store);
/* Is the record, with its vector, what its leaf says? Else DAMAGED. */
valori_code vl_engine_prove_record(const struct vl_version *version, uint64_t id, valori_error *error);

/* engine_tail.c */
void vl_engine_init_tail(valori *store);
void vl_engine_free_tail(valori *store);
/*
 * Codes of the records from the round of the view up to the slot that is returned: to be freed, when that is not the
 * round's end. queries: how many will be asked.
 */
uint64_t vl_engine_take_tail(const valori_view *view, size_t queries, struct vl_codes *out);

/* engine_view.c */
void vl_engine_describe(const struct vl_kernels *kernels, const struct vl_position *position,
			const struct vl_totals *totals, const uint64_t slots[VL_LISTS], valori_info *out);
/* [mutex] */
valori_code vl_engine_freeze(valori *store, valori_error *error);
void vl_engine_let_go(valori *store, struct vl_frozen *frozen);
void vl_engine_release_retired(valori *store);

#endif
