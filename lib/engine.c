/* engine.c - opening a store: recovery; closing it; the log that is looked into for old requests. */
#include "engine_private.h"

#include "host.h"
#include "maintain.h"
#include "q16.h"
#include "snapshot_format.h"

#define BATCH_COMMITS 1000
#define BATCH_MS 100

/* ---- Small things ---- */

void vl_engine_note(valori *store, const char *sentence)
{
	char *notes = store->opened.notes;
	size_t used = strlen(notes);

	if (used > 0)
		used += vl_format(notes + used, sizeof(store->opened.notes) - used, "; ");
	vl_format(notes + used, sizeof(store->opened.notes) - used, "%s", sentence);
}

static char *copy_text(const struct vl_env *env, const char *text, size_t *size)
{
	char *copy;

	*size = strlen(text) + 1;
	copy = vl_alloc(env, *size);
	if (copy != NULL)
		memcpy(copy, text, *size);
	return copy;
}

static bool exists(const valori *store, const char *path)
{
	struct vl_os_stat stat;

	return store->os->stat_path(store->os->context, path, &stat) == 0;
}

static uint32_t state_flags(const valori *store)
{
	return (store->flags & VALORI_NO_VECTORS) != 0 ? VL_STATE_NO_VECTORS : 0;
}

static bool is_empty_base(const struct vl_position *position)
{
	return position->height == 0 && position->frontier.size == 0;
}

/* ---- The way to the state ---- */

/* What recovery knows while it looks for its start. */
struct recovery {
	valori *store;
	const valori_options *options;
	struct vl_reader *reader;     /* NULL: there is no log */
	struct vl_snapshot *snapshot; /* NULL: none, or none that can be used */
	const char *snapshot_path;    /* borrowed */
	bool is_snapshot_refused;     /* there is one, and snapshot_error says what is wrong with it */
	valori_error snapshot_error;
	uint64_t end_commits;          /* stop after so many commits */
	uint64_t end_height, end_time; /* ... or at the first that reaches this height, or is later than this */
};

static valori_code open_reader(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	struct vl_reader_options options = {.path = recovery->options->log,
					    .archive = recovery->options->archive,
					    .fd = -1,
					    .ignore_head = (store->flags & VALORI_WRITE) != 0};

	return vl_reader_open(store->env, store->os, &options, &recovery->reader, error);
}

/* A snapshot that cannot be read is no reason to fail while there is a log: it is remembered, and noted. */
static valori_code open_snapshot(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	const char *path = recovery->options->snapshot;
	valori_error why;
	valori_code code;

	if (path == NULL && store->has_names)
		path = vl_maintain_snapshot(store->env, store->os, &store->names);
	if (path == NULL || *path == '\0')
		return VALORI_OK;
	recovery->snapshot_path = path;
	code = vl_snapshot_open(store->env, store->os, path, &recovery->snapshot, &why);
	if (code == VALORI_OK && store->opened.dim != 0 &&
	    vl_snapshot_position(recovery->snapshot)->dim != store->opened.dim) {
		code = vl_fail(&why, VALORI_DIMENSION, "%s: has dimension %u, not %u", path,
			       vl_snapshot_position(recovery->snapshot)->dim, store->opened.dim);
		vl_snapshot_close(recovery->snapshot);
	}
	if (code == VALORI_OK)
		return VALORI_OK;
	recovery->snapshot = NULL;
	if (code == VALORI_NO_MEMORY || code == VALORI_IO) {
		if (error != NULL)
			*error = why;
		return code;
	}
	recovery->is_snapshot_refused = code != VALORI_NOT_FOUND;
	recovery->snapshot_error = why;
	if (code != VALORI_NOT_FOUND || recovery->options->snapshot != NULL) {
		char sentence[300];

		vl_format(sentence, sizeof(sentence), "snapshot not used: %s", why.message);
		vl_engine_note(store, sentence);
	}
	return VALORI_OK;
}

/* why->code says what to answer when the log alone does not go back to its beginning. */
static void drop_snapshot(struct recovery *recovery, const valori_error *why)
{
	char sentence[300];

	recovery->is_snapshot_refused = true;
	recovery->snapshot_error = *why;
	vl_snapshot_close(recovery->snapshot);
	recovery->snapshot = NULL;
	vl_format(sentence, sizeof(sentence), "snapshot not used: %s", why->message);
	vl_engine_note(recovery->store, sentence);
}

/* Is the snapshot at or before the moment that is asked for? */
static bool is_before_end(const struct recovery *recovery, const struct vl_position *position)
{
	return position->frontier.size <= recovery->end_commits && position->height <= recovery->end_height &&
	       position->time_ms <= recovery->end_time;
}

/* The last commit with a certain root: only the whole log can tell which that is. */
static valori_code find_root(struct recovery *recovery, const valori_hash *root, valori_error *error)
{
	valori *store = recovery->store;
	struct vl_commit commit;
	const struct vl_position *position;
	bool is_found = false;
	valori_code code;

	position = vl_reader_position(recovery->reader);
	if (memcmp(position->state_root, root->bytes, VL_HASH_SIZE) == 0) {
		recovery->end_commits = position->frontier.size;
		is_found = true;
	}
	while ((code = vl_reader_next(recovery->reader, &commit, error)) == VALORI_OK)
		if (memcmp(commit.state_root, root->bytes, VL_HASH_SIZE) == 0) {
			recovery->end_commits = commit.number + 1;
			is_found = true;
		}
	if (code != VALORI_END)
		return code;
	vl_reader_close(recovery->reader);
	recovery->reader = NULL;
	if (!is_found) {
		char text[65];

		valori_hash_format(root, text);
		return vl_fail(error, VALORI_NOT_FOUND, "%s: never had the state root %s", store->names.live, text);
	}
	return open_reader(recovery, error);
}

static valori_code set_end(struct recovery *recovery, const valori_when *at, valori_error *error)
{
	recovery->end_commits = recovery->end_height = recovery->end_time = UINT64_MAX;
	switch (at->kind) {
	case VALORI_WHEN_LATEST:
		return VALORI_OK;
	case VALORI_WHEN_HEIGHT:
		recovery->end_height = at->value;
		return VALORI_OK;
	case VALORI_WHEN_TIME:
		recovery->end_time = at->value;
		return VALORI_OK;
	case VALORI_WHEN_ROOT:
		return recovery->reader != NULL ? find_root(recovery, &at->root, error) : VALORI_OK;
	default:
		return vl_fail(error, VALORI_INVALID, "unknown kind of moment %u", at->kind);
	}
}

/* Starts at the snapshot when it belongs to the log, else at the log's base when that is the empty store. */
static valori_code start(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	const struct vl_position *base = vl_reader_base(recovery->reader);
	valori_error why;
	valori_code code;

	/* A snapshot later than the moment asked for is of no use, but nothing is wrong with it: no note. */
	if (recovery->snapshot != NULL && !is_before_end(recovery, vl_snapshot_position(recovery->snapshot))) {
		vl_snapshot_close(recovery->snapshot);
		recovery->snapshot = NULL;
	}
	if (recovery->snapshot != NULL) {
		code = vl_reader_seek_position(recovery->reader, vl_snapshot_position(recovery->snapshot), &why);
		if (code == VALORI_OK && (store->flags & VALORI_WRITE) != 0)
			code = vl_snapshot_check_for_writer(recovery->snapshot, &why);
		if (code == VALORI_OK)
			code = vl_snapshot_attach_replica(recovery->snapshot, &store->replica, state_flags(store),
							  &why);
		if (code == VALORI_OK) {
			store->snapshot = recovery->snapshot;
			recovery->snapshot = NULL;
			store->opened.snapshot_height = vl_snapshot_position(store->snapshot)->height;
			return VALORI_OK;
		}
		if (code == VALORI_NO_MEMORY || code == VALORI_IO) {
			if (error != NULL)
				*error = why;
			return code;
		}
		if (code == VALORI_NOT_FOUND) /* the log ends before it */
			why.code = VALORI_MISSING;
		if (code == VALORI_OTHER_LOG) /* the log was asked; but it is the snapshot that is strange here */
			vl_fail(&why, code, "%s: is of another log", recovery->snapshot_path);
		drop_snapshot(recovery, &why);
		vl_reader_close(recovery->reader);
		recovery->reader = NULL;
		code = open_reader(recovery, error);
		if (code != VALORI_OK)
			return code;
		base = vl_reader_base(recovery->reader);
	}
	if (!is_empty_base(base)) {
		if (recovery->is_snapshot_refused) {
			if (error != NULL)
				*error = recovery->snapshot_error;
			return (valori_code)recovery->snapshot_error.code;
		}
		return vl_fail(
			error, VALORI_UNKNOWABLE,
			"%s: begins after event %llu; what was before is in a snapshot, and none that fits is here",
			store->names.live, (unsigned long long)base->height);
	}
	code = vl_replica_init(&store->replica, store->env, base->dim, state_flags(store), error);
	if (code == VALORI_OK && memcmp(store->replica.root, base->state_root, VL_HASH_SIZE) != 0)
		code = vl_fail(error, VALORI_DAMAGED, "%s: the header does not name the root of the empty state",
			       vl_reader_path(recovery->reader));
	return code;
}

/*
 * In a store that is opened, what valori_verify would call tampering is damage all the same: the state cannot be had.
 */
static valori_code refuse_commit(valori_code code, valori_error *error)
{
	if (code != VALORI_MISMATCH)
		return code;
	if (error != NULL)
		error->code = VALORI_DAMAGED;
	return VALORI_DAMAGED;
}

static valori_code replay(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	struct vl_reader *reader = recovery->reader;
	bool is_end = false;
	valori_code code = VALORI_OK;

	store->position = *vl_reader_position(reader);
	while (!is_end) {
		struct vl_commit commit;
		valori_error why;

		if (store->position.frontier.size >= recovery->end_commits ||
		    store->position.height >= recovery->end_height)
			break;
		code = vl_reader_next(reader, &commit, &why);
		if (code == VALORI_OK && commit.time_ms > recovery->end_time)
			break;
		if (code == VALORI_OK) {
			/* Only a stop by time reads one commit too many. */
			if (recovery->end_time != UINT64_MAX)
				store->position = *vl_reader_position(reader);
			store->position.frontier.size = commit.number + 1;
			store->position.height = commit.first_event + commit.event_count;
			store->opened.replayed += commit.event_count;
			code = vl_replica_put(&store->replica, &commit, error);
			if (code != VALORI_OK)
				return refuse_commit(code, error);
			continue;
		}
		is_end = true;
		if (code == VALORI_END)
			break;
		/* The commits before the fault may have an earlier one. */
		code = vl_replica_flush(&store->replica, error);
		if (code != VALORI_OK)
			return refuse_commit(code, error);
		if (error != NULL)
			*error = why;
		return (valori_code)why.code;
	}
	code = vl_replica_flush(&store->replica, error);
	if (code != VALORI_OK)
		return refuse_commit(code, error);
	if (recovery->end_time == UINT64_MAX)
		store->position = *vl_reader_position(reader);
	if (recovery->end_height != UINT64_MAX && store->position.height < recovery->end_height)
		return vl_fail(error, VALORI_NOT_FOUND, "%s: has %llu events, not %llu", store->names.live,
			       (unsigned long long)store->position.height, (unsigned long long)recovery->end_height);
	if (is_end)
		store->opened.torn_size = vl_reader_torn_size(reader);
	return VALORI_OK;
}

static void make_log_id(valori *store, const valori_options *options, valori_code *code, valori_error *error)
{
	int failure;

	if (options->log_id != NULL) {
		memcpy(store->position.log_id, options->log_id, VL_HASH_SIZE);
		return;
	}
	failure = store->os->random(store->os->context, store->position.log_id, VL_HASH_SIZE);
	if (failure < 0) {
		*code = vl_fail(error, VALORI_IO, "random bytes: %s", vl_os_error_text(-failure));
		if (error != NULL)
			error->system_errno = -failure;
	}
}

/* The empty store. */
static valori_code begin_fresh(valori *store, const valori_options *options, valori_error *error)
{
	valori_code code;

	if (options->dim < 1 || options->dim > VL_DIM_MAX)
		return vl_fail(error, VALORI_INVALID, "dimension %u: must be 1 to %d", options->dim, VL_DIM_MAX);
	code = vl_replica_init(&store->replica, store->env, options->dim, state_flags(store), error);
	if (code != VALORI_OK)
		return code;
	memset(&store->position, 0, sizeof(store->position));
	store->position.dim = options->dim;
	memcpy(store->position.state_root, store->replica.root, VL_HASH_SIZE);
	make_log_id(store, options, &code, error);
	return code;
}

/* A snapshot without its log. */
static valori_code adopt(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	const struct vl_position *position = vl_snapshot_position(recovery->snapshot);
	const valori_when *at = &recovery->options->at;
	valori_code code;

	if ((at->kind == VALORI_WHEN_ROOT && memcmp(at->root.bytes, position->state_root, VL_HASH_SIZE) != 0) ||
	    (at->kind == VALORI_WHEN_HEIGHT && at->value != position->height) ||
	    (at->kind == VALORI_WHEN_TIME && at->value < position->time_ms))
		return vl_fail(error, VALORI_UNKNOWABLE, "a snapshot without its log knows one moment only: event %llu",
			       (unsigned long long)position->height);
	if ((store->flags & VALORI_WRITE) != 0) {
		code = vl_snapshot_check_for_writer(recovery->snapshot, error);
		if (code != VALORI_OK)
			return code;
	}
	store->position = *position;
	store->opened.snapshot_height = position->height;
	store->opened.base_height = position->height;
	code = vl_snapshot_attach_replica(recovery->snapshot, &store->replica, state_flags(store), error);
	store->snapshot = recovery->snapshot;
	recovery->snapshot = NULL;
	return code;
}

/*
 * There is no log file: the snapshot stands in for it when it has all that was acknowledged; else a new store may
 * begin.
 */
static valori_code recover_without_log(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	const valori_options *options = recovery->options;
	struct vl_head head;
	bool has_head = vl_head_read(store->os, store->env->kernels, store->names.head, &head, NULL) == VALORI_OK;
	valori_code code;

	if (recovery->snapshot != NULL) {
		const struct vl_position *position = vl_snapshot_position(recovery->snapshot);

		if (has_head && memcmp(head.log_id, position->log_id, VL_HASH_SIZE) != 0)
			return vl_fail(error, VALORI_OTHER_LOG,
				       "%s: is of another log than the snapshot, and the log is gone",
				       store->names.head);
		if (has_head && head.commits > position->frontier.size)
			return vl_fail(error, VALORI_MISSING,
				       "%s: is missing; events up to %llu were acknowledged, the snapshot has %llu",
				       store->names.live, (unsigned long long)head.height,
				       (unsigned long long)position->height);
		code = adopt(recovery, error);
		store->is_log_due = (store->flags & VALORI_WRITE) != 0;
		vl_engine_note(store, "no log: goes on from the snapshot");
		return code;
	}
	if (recovery->is_snapshot_refused) {
		if (error != NULL)
			*error = recovery->snapshot_error;
		return (valori_code)recovery->snapshot_error.code;
	}
	if (has_head && head.height > 0)
		return vl_fail(error, VALORI_MISSING, "%s: is missing; events up to %llu were acknowledged",
			       store->names.live, (unsigned long long)head.height);
	if ((store->flags & VALORI_CREATE) == 0 && ((store->flags & VALORI_REHEARSE) == 0 || options->dim == 0))
		return vl_fail(error, VALORI_NOT_FOUND, "%s: there is no event log", store->names.live);
	store->is_log_due = (store->flags & VALORI_WRITE) != 0;
	return begin_fresh(store, options, error);
}

static valori_code recover(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	struct vl_writer_options writing = {store->segment_size, store->sync, store->sync_commits, store->sync_ms};
	valori_code code = open_reader(recovery, error);

	if (code != VALORI_OK && code != VALORI_NOT_FOUND)
		return code;
	if (code == VALORI_OK && store->opened.dim != 0 && vl_reader_base(recovery->reader)->dim != store->opened.dim)
		return vl_fail(error, VALORI_DIMENSION, "%s: has dimension %u, not %u", store->names.live,
			       vl_reader_base(recovery->reader)->dim, store->opened.dim);
	code = open_snapshot(recovery, error);
	if (code == VALORI_OK)
		code = set_end(recovery, &recovery->options->at, error);
	if (code != VALORI_OK)
		return code;
	if (recovery->reader == NULL)
		return recover_without_log(recovery, error);
	store->opened.base_height = vl_reader_base(recovery->reader)->height;
	code = start(recovery, error);
	if (code == VALORI_OK)
		code = vl_engine_begin_index(store, error);
	if (code == VALORI_OK)
		code = replay(recovery, error);
	if (code != VALORI_OK)
		return code;
	store->has_log = true;
	if (vl_reader_note(recovery->reader)[0] != '\0')
		vl_engine_note(store, vl_reader_note(recovery->reader));
	if ((store->flags & VALORI_WRITE) != 0)
		code = vl_writer_open(store->env, store->os, &store->names, &writing, recovery->reader, &store->writer,
				      error);
	return code;
}

/* Is there anything to open? Asked before the lock, which makes a file. */
static valori_code check_existence(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	valori_code code = open_reader(recovery, error);

	vl_reader_close(recovery->reader);
	recovery->reader = NULL;
	if (code != VALORI_NOT_FOUND || exists(store, store->names.head) || exists(store, store->names.snapshot) ||
	    (recovery->options->snapshot != NULL && exists(store, recovery->options->snapshot) &&
	     exists(store, store->names.directory)))
		return VALORI_OK;
	return code;
}

static valori_code open_files(struct recovery *recovery, valori_error *error)
{
	valori *store = recovery->store;
	valori_code code = vl_names_init(&store->names, store->os, recovery->options->log, error);

	if (code != VALORI_OK)
		return code;
	store->has_names = true;
	if ((store->flags & VALORI_WRITE) == 0)
		return recover(recovery, error);
	if ((store->flags & VALORI_CREATE) == 0) {
		code = check_existence(recovery, error);
		if (code != VALORI_OK)
			return code;
	} else {
		/* Of a path only the last part is made: a typing error should not grow a tree. */
		store->os->make_directory(store->os->context, store->names.directory);
	}
	code = vl_lock_take(store->os, store->names.lock, 0, &store->lock, error);
	if (code == VALORI_OK)
		code = vl_maintain_recover(store->env, store->os, &store->names, error);
	return code != VALORI_OK ? code : recover(recovery, error);
}

static valori_code open_memory(struct recovery *recovery, valori_error *error)
{
	const valori_options *options = recovery->options;
	valori_code code;

	if (options->snapshot == NULL || *options->snapshot == '\0')
		return options->dim != 0
			       ? begin_fresh(recovery->store, options, error)
			       : vl_fail(error, VALORI_INVALID, "neither a log nor a snapshot nor a dimension given");
	code = open_snapshot(recovery, error);
	if (code == VALORI_OK && recovery->snapshot == NULL) {
		if (error != NULL)
			*error = recovery->snapshot_error;
		return (valori_code)recovery->snapshot_error.code;
	}
	recovery->store->is_read_only = (recovery->store->flags & (VALORI_WRITE | VALORI_REHEARSE)) == 0;
	return code != VALORI_OK ? code : adopt(recovery, error);
}

/* ---- Opening and closing ---- */

static valori_code check_options(const valori_options *options, valori_error *error)
{
	const uint32_t indexed = VALORI_INDEX | VALORI_INDEX_SAVED;
	const uint32_t known = VALORI_WRITE | VALORI_CREATE | VALORI_REHEARSE | VALORI_NO_VECTORS | indexed;

	if ((options->flags & ~known) != 0)
		return vl_fail(error, VALORI_INVALID, "unknown flags %x", options->flags);
	if ((options->flags & VALORI_WRITE) != 0 && (options->flags & VALORI_REHEARSE) != 0)
		return vl_fail(error, VALORI_INVALID, "writing and rehearsing exclude each other");
	if ((options->flags & VALORI_CREATE) != 0 && (options->flags & VALORI_WRITE) == 0)
		return vl_fail(error, VALORI_INVALID, "only a store that is opened to write can be made");
	if ((options->flags & VALORI_WRITE) != 0 && options->at.kind != VALORI_WHEN_LATEST)
		return vl_fail(error, VALORI_INVALID, "only the end of a log can be written to");
	if ((options->flags & VALORI_NO_VECTORS) != 0 && (options->flags & indexed) != 0)
		return vl_fail(error, VALORI_INVALID, "an index needs the vectors");
	if (options->index > VALORI_INDEX_LOGGED)
		return vl_fail(error, VALORI_INVALID, "unknown kind of index %u", options->index);
	if (options->sync > VALORI_SYNC_NONE)
		return vl_fail(error, VALORI_INVALID, "unknown sync mode %u", options->sync);
	if (options->dim > VL_DIM_MAX)
		return vl_fail(error, VALORI_INVALID, "dimension %u: must be 1 to %d", options->dim, VL_DIM_MAX);
	return VALORI_OK;
}

static valori_code make_store(const valori_options *options, const struct vl_os *os, const struct vl_env *env,
			      valori **out, valori_error *error)
{
	pthread_condattr_t attributes;
	valori *store = vl_alloc(env, sizeof(*store));

	if (store == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	memset(store, 0, sizeof(*store));
	store->env = env;
	store->os = os;
	store->flags = options->flags;
	store->sync = options->sync;
	store->sync_commits = options->sync_commits;
	store->sync_ms = options->sync_ms;
	if (store->sync == VALORI_SYNC_BATCH && store->sync_commits == 0 && store->sync_ms == 0) {
		store->sync_commits = BATCH_COMMITS;
		store->sync_ms = BATCH_MS;
	}
	store->records_max = options->records_max;
	store->time_ms = options->time_ms;
	store->segment_size = options->segment_size;
	store->index_kind = options->index;
	store->index_threads = options->index_threads < 1    ? 1
			       : options->index_threads > 64 ? 64
							     : options->index_threads;
	store->index_boundary = options->index_boundary;
	store->lock = -1;
	store->last = &store->first;
	store->last_waiting = &store->waiting;
	store->is_read_only = (options->flags & (VALORI_WRITE | VALORI_REHEARSE)) == 0 && options->log != NULL;
	store->opened.size = sizeof(store->opened);
	store->opened.dim = options->dim;
	store->opened.snapshot_height = VALORI_NONE;
	store->opened.sync = options->sync;
	vl_replica_init_blind(&store->replica, env, 0);
	vl_buf_init(&store->group, env);
	vl_buf_init(&store->window, env);
	vl_buf_init(&store->scratch, env);
	vl_buf_init(&store->digests, env);
	vl_buf_init(&store->table, env);
	pthread_mutex_init(&store->mutex, NULL);
	vl_engine_init_tail(store);
	/* Deadlines are counted on the clock that nobody sets. */
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&store->changed, &attributes);
	pthread_cond_init(&store->has_work, &attributes);
	pthread_condattr_destroy(&attributes);
	*out = store;
	return VALORI_OK;
}

static void free_store(valori *store)
{
	vl_engine_end_index(store);
	vl_engine_free_scratches(store);
	if (store->newest != NULL)
		vl_engine_let_go(store, store->newest);
	vl_engine_release_retired(store);
	vl_reader_close(store->own);
	vl_replica_free(&store->replica);
	vl_snapshot_close(store->snapshot);
	vl_buf_free(&store->group);
	vl_buf_free(&store->window);
	vl_buf_free(&store->scratch);
	vl_buf_free(&store->digests);
	vl_buf_free(&store->table);
	if (store->lock >= 0)
		vl_lock_release(store->os, store->lock);
	if (store->has_names)
		vl_names_free(&store->names);
	vl_release(store->env, store->archive, store->archive_size);
	pthread_cond_destroy(&store->changed);
	pthread_cond_destroy(&store->has_work);
	pthread_mutex_destroy(&store->mutex);
	vl_engine_free_tail(store);
	vl_release(store->env, store, sizeof(*store));
}

/* fault: what is wrong with the snapshot that the log was replayed on, if that is why it did not fit. */
static valori_code open_once(const valori_options *options, const struct vl_os *os, const struct vl_env *env,
			     valori **out, valori_error *fault, valori_error *error)
{
	struct recovery recovery = {.options = options};
	valori *store = NULL;
	valori_code code = make_store(options, os, env, &store, error);

	fault->code = VALORI_OK;
	if (code != VALORI_OK)
		return code;
	recovery.store = store;
	if (options->archive != NULL) {
		store->archive = copy_text(env, options->archive, &store->archive_size);
		if (store->archive == NULL)
			code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	}
	if (code == VALORI_OK)
		code = options->log != NULL ? open_files(&recovery, error) : open_memory(&recovery, error);
	if (code == VALORI_DAMAGED && store->snapshot != NULL && options->log != NULL &&
	    vl_snapshot_check_bytes(store->snapshot, fault) == VALORI_OK)
		fault->code = VALORI_OK;
	/* Where nothing was replayed it has not begun yet. */
	if (code == VALORI_OK && store->done == NULL)
		code = vl_engine_begin_index(store, error);
	if (code == VALORI_OK)
		code = vl_engine_end_replay(store, error);
	if (code == VALORI_OK) {
		store->opened.has_log = store->has_log || store->is_log_due;
		store->has_log = store->opened.has_log != 0;
		vl_engine_publish(store);
		store->synced_commits = store->position.frontier.size;
		store->is_flush_due = store->is_log_due;
		if (store->sync == VALORI_SYNC_BATCH && store->sync_ms != 0 && (store->flags & VALORI_WRITE) != 0)
			code = vl_engine_start_flusher(store, error);
		if (code == VALORI_OK)
			code = vl_engine_start_builder(store, error);
		if (code != VALORI_OK)
			vl_engine_stop_flusher(store);
	}
	vl_reader_close(recovery.reader);
	if (code != VALORI_OK)
		(void)vl_writer_close(store->writer, NULL);
	if (code == VALORI_OK)
		*out = store;
	else
		free_store(store);
	vl_snapshot_close(recovery.snapshot);
	return code;
}

valori_code vl_engine_open(const valori_options *options, const struct vl_os *os, const struct vl_env *env,
			   valori **out, valori_error *error)
{
	valori_options known = VALORI_OPTIONS_INIT;
	valori_error own_error, fault, ignored;
	valori_code code;
	char sentence[240];

	*out = NULL;
	if (error == NULL)
		error = &own_error;
	if (options == NULL || options->size < offsetof(valori_options, log))
		return vl_fail(error, VALORI_INVALID, "valori_options: size is not set");
	memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	code = check_options(&known, error);
	fault.code = VALORI_OK;
	if (code == VALORI_OK)
		code = open_once(&known, os, env, out, &fault, error);
	if (code != VALORI_DAMAGED || fault.code == VALORI_OK)
		return code;
	/* Nobody looks through a snapshot before it is read; the log is not to blame, and may be enough. */
	known.snapshot = "";
	code = open_once(&known, os, env, out, &ignored, error);
	if (code == VALORI_UNKNOWABLE) {
		*error = fault;
		return (valori_code)fault.code;
	}
	if (code == VALORI_OK) {
		vl_format(sentence, sizeof(sentence), "snapshot not used: %s", fault.message);
		vl_engine_note(*out, sentence);
	}
	return code;
}

valori_code valori_open(const valori_options *options, valori **out, valori_error *error)
{
	return vl_engine_open(options, &vl_os_real, vl_host_env(), out, error);
}

valori_code valori_close(valori *store, valori_error *error)
{
	valori_code code, closed;

	if (store == NULL)
		return VALORI_OK;
	vl_engine_stop_flusher(store);
	/* A store that was opened to be made exists afterwards, even when nothing was put into it. */
	code = store->is_read_only ? VALORI_OK : valori_flush(store, error);
	closed = vl_writer_close(store->writer, code == VALORI_OK ? error : NULL);
	free_store(store);
	return code != VALORI_OK ? code : closed;
}

/* ---- Requests of a source ---- */

/* The highest row + 1 among count requests that begin with prefix. */
static uint64_t note_row(const uint8_t id[VL_REQUEST_ID], const uint8_t prefix[8], uint64_t rows)
{
	uint64_t row;

	if (memcmp(id, prefix, 8) != 0)
		return rows;
	row = vl_get64(id + 8);
	return row != UINT64_MAX && row + 1 > rows ? row + 1 : rows;
}

static valori_code scan_log(valori *store, const uint8_t prefix[8], uint64_t *rows, uint64_t *seen, valori_error *error)
{
	struct vl_reader_options options = vl_engine_own_log(store);
	struct vl_reader *reader;
	struct vl_commit commit;
	valori_code code = vl_reader_open(store->env, store->os, &options, &reader, error);

	if (code != VALORI_OK)
		return code;
	while ((code = vl_reader_next(reader, &commit, error)) == VALORI_OK) {
		for (uint32_t i = 0; i < commit.request_count; i++)
			*rows = note_row(commit.requests + (size_t)i * VL_REQUEST_ENTRY + 8, prefix, *rows);
		*seen += commit.request_count;
	}
	vl_reader_close(reader);
	return code == VALORI_END ? VALORI_OK : code;
}

static valori_code find_requests(valori *store, const uint8_t prefix[8], uint64_t *out_rows, valori_error *error)
{
	const struct vl_requests *requests = &store->replica.requests;
	uint64_t first = requests->total > VL_REQUEST_WINDOW ? requests->total - VL_REQUEST_WINDOW : 0, rows = 0,
		 seen = 0;
	struct vl_request request;
	valori_code code;

	for (uint64_t n = first; n < requests->total; n++) {
		vl_requests_get(requests, n, &request);
		rows = note_row(request.id, prefix, rows);
	}
	if (rows == 0 && first > 0) {
		code = vl_engine_finish_group(store, true, error);
		if (code == VALORI_OK && store->has_log && store->has_names && !store->is_log_due)
			code = scan_log(store, prefix, &rows, &seen, error);
		if (code != VALORI_OK)
			return code;
		if (rows == 0 && seen < requests->total)
			return vl_fail(error, VALORI_UNKNOWABLE,
				       "request ids before the last %u were trimmed away with the log",
				       (unsigned)VL_REQUEST_WINDOW);
	}
	*out_rows = rows;
	return VALORI_OK;
}

valori_code valori_requests_find(valori *store, const uint8_t prefix[8], uint64_t *out_rows, valori_error *error)
{
	valori_code code;

	vl_engine_take_turn(store);
	code = find_requests(store, prefix, out_rows, error);
	vl_engine_give_turn(store);
	return code;
}

valori_code valori_request_check(valori *store, const valori_batch *batch, size_t index, valori_error *error)
{
	/* Sealing and ids fill in what is derived; what the batch says does not change. */
	valori_batch *own = (valori_batch *)(uintptr_t)batch;
	valori_code code;

	if (index >= batch->count || batch->dim != store->replica.dim)
		return vl_fail(error, VALORI_INVALID, "there is no operation %zu of this store's dimension", index);
	code = vl_batch_seal(own, error);
	if (code != VALORI_OK)
		return code;
	vl_engine_take_turn(store);
	code = vl_engine_check_request(store, own, index, error);
	vl_engine_give_turn(store);
	return code;
}
