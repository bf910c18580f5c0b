/* engine_commit.c - groups of commits: one write, one sync, one publication. */
#include "engine_private.h"

/* ---- The turn ---- */

void vl_engine_call_next(valori *store)
{
	pthread_cond_broadcast(&store->changed);
	if (store->first != NULL)
		pthread_cond_signal(store->first->wake);
	if (store->has_flusher)
		pthread_cond_broadcast(&store->has_work);
}

void vl_engine_take_turn(valori *store)
{
	pthread_mutex_lock(&store->mutex);
	while (store->is_busy)
		pthread_cond_wait(&store->changed, &store->mutex);
	store->is_busy = true;
	pthread_mutex_unlock(&store->mutex);
}

/* [mutex] */
static void end_turn(valori *store)
{
	vl_engine_release_retired(store);
	store->is_flush_due = store->is_group_open || store->is_log_due || store->is_broken;
	store->is_busy = false;
	vl_engine_call_next(store);
}

void vl_engine_give_turn(valori *store)
{
	pthread_mutex_lock(&store->mutex);
	end_turn(store);
	pthread_mutex_unlock(&store->mutex);
}

/* [mutex] */
static void take_disk(valori *store)
{
	while (store->is_syncing)
		pthread_cond_wait(&store->changed, &store->mutex);
	store->is_syncing = true;
}

/* [mutex] */
static void give_disk(valori *store)
{
	store->is_syncing = false;
	pthread_cond_broadcast(&store->changed);
}

/* ---- The group ---- */

void vl_engine_open_group(valori *store)
{
	if (store->is_group_open)
		return;
	pthread_mutex_lock(&store->mutex);
	vl_engine_release_retired(store);
	/*
	 * While this group is staged and synced readers get what is published now: it must be frozen before it
	 * changes. Memory may be out; then they wait for the end of the group instead.
	 */
	if (store->are_views_wanted && (store->newest == NULL || store->newest->publication != store->publication))
		(void)vl_engine_freeze(store, NULL);
	pthread_mutex_unlock(&store->mutex);
	vl_buf_clear(&store->group);
	store->group_commits = 0;
	store->group_start = store->position;
	vl_replica_begin(&store->replica);
	store->is_group_open = true;
}

static void drop_group(valori *store)
{
	vl_replica_abort(&store->replica);
	store->position = store->group_start;
	vl_buf_clear(&store->group);
	store->group_commits = 0;
	store->is_group_open = false;
}

/* Applies commits of the group that were staged before, and are right therefore. */
static valori_code restage(valori *store, size_t size, valori_error *error)
{
	const struct vl_kernels *kernels = store->env->kernels;
	uint64_t offset = 0;

	while (offset < size) {
		struct vl_commit commit;
		valori_code code = vl_commit_decode(store->group.data + offset, size - offset, &store->position,
						    kernels, &commit, error);

		if (code == VALORI_OK) {
			commit.path = "group";
			commit.offset = offset;
			code = vl_replica_put(&store->replica, &commit, error);
		}
		if (code != VALORI_OK)
			return code;
		vl_position_advance(&store->position, &commit, kernels);
		store->group_commits++;
		offset += commit.size;
	}
	return vl_replica_flush(&store->replica, error);
}

valori_code vl_engine_unstage(valori *store, size_t size, valori_error *error)
{
	valori_code code;

	vl_replica_abort(&store->replica);
	store->position = store->group_start;
	store->group_commits = 0;
	vl_replica_begin(&store->replica);
	code = restage(store, size, error);
	store->group.size = size;
	store->group.failed = false;
	if (code == VALORI_OK)
		return VALORI_OK;
	/* Commits that nobody was told of yet cannot be kept, nor is the state known: the files are. */
	drop_group(store);
	store->is_broken = true;
	return code;
}

valori_code vl_engine_make_log(valori *store, valori_error *error)
{
	struct vl_writer_options options = {store->segment_size, store->sync, store->sync_commits, store->sync_ms};
	struct vl_reader_options reading = vl_engine_own_log(store);
	const struct vl_position *start = store->is_group_open ? &store->group_start : &store->position;
	struct vl_reader *reader;
	struct vl_commit commit;
	valori_code code;

	if (store->writer != NULL || !store->is_log_due)
		return VALORI_OK;
	if (store->is_replaced && !store->is_log_made) {
		/* An empty log, whose place the adopted one takes. */
		store->os->unlink(store->os->context, store->names.head);
		store->os->unlink(store->os->context, store->names.live);
	}
	if (!store->is_log_made) {
		/* First: whoever finds a log need not ask whether its directory is durable. */
		code = vl_snapshot_keep_directory(store->env, store->os, store->names.directory, error);
		if (code != VALORI_OK)
			return code;
		code = vl_log_create(store->env, store->os, &store->names, start, error);
		if (code != VALORI_OK)
			return code;
		store->is_log_made = true;
	}
	reading.ignore_head = true;
	code = vl_reader_open(store->env, store->os, &reading, &reader, error);
	if (code != VALORI_OK)
		return code;
	code = vl_reader_next(reader, &commit, error);
	if (code == VALORI_END)
		code = vl_writer_open(store->env, store->os, &store->names, &options, reader, &store->writer, error);
	else if (code == VALORI_OK)
		code = vl_fail(error, VALORI_OTHER_LOG, "%s: somebody else has begun it", store->names.live);
	vl_reader_close(reader);
	if (code == VALORI_OK)
		store->is_log_due = store->is_replaced = store->is_log_made = false;
	return code;
}

void vl_engine_publish(valori *store)
{
	pthread_mutex_lock(&store->mutex);
	store->published = store->position;
	store->totals = store->replica.state.totals;
	for (unsigned list = 0; list < VL_LISTS; list++)
		store->slots[list] = vl_state_slots(&store->replica.state, (enum vl_list)list);
	store->publication++;
	store->syncer = store->writer;
	if (store->writer != NULL)
		store->mark = vl_writer_get_mark(store->writer);
	pthread_mutex_unlock(&store->mutex);
}

/* [mutex] Makes durable what is published; others may commit meanwhile. */
static valori_code sync_published(valori *store, valori_error *error)
{
	struct vl_position position;
	struct vl_writer_mark mark;
	valori_code code;

	take_disk(store);
	position = store->published;
	mark = store->mark;
	store->unsynced_since = 0;
	code = VALORI_OK;
	if (store->syncer != NULL && position.frontier.size != store->synced_commits) {
		struct vl_writer *writer = store->syncer;

		pthread_mutex_unlock(&store->mutex);
		code = vl_writer_sync_mark(writer, &mark, &position, error);
		pthread_mutex_lock(&store->mutex);
		if (code == VALORI_OK)
			store->synced_commits = position.frontier.size;
	}
	give_disk(store);
	return code;
}

/* Is it time, by the store's mode? */
static bool is_sync_due(valori *store)
{
	uint64_t now, commits;
	bool is_due;

	if (store->sync == VALORI_SYNC_ALWAYS)
		return true;
	if (store->sync == VALORI_SYNC_NONE)
		return false;
	now = store->os->monotonic_ms(store->os->context);
	pthread_mutex_lock(&store->mutex);
	commits = store->position.frontier.size - store->synced_commits;
	if (store->unsynced_since == 0)
		store->unsynced_since = now + (now == 0);
	is_due = (store->sync_commits != 0 && commits >= store->sync_commits) ||
		 (store->sync_ms != 0 && now - store->unsynced_since >= store->sync_ms);
	pthread_mutex_unlock(&store->mutex);
	return is_due;
}

/* With the disk's turn: appends the group, and syncs if it is time for that. */
static valori_code append_and_sync(valori *store, bool is_sync_due, valori_error *error)
{
	valori_code code =
		vl_writer_append(store->writer, store->group.data, store->group.size, &store->position, error);

	if (code == VALORI_OK && is_sync_due)
		code = vl_writer_sync(store->writer, error);
	if (code != VALORI_OK || !is_sync_due)
		return code;
	pthread_mutex_lock(&store->mutex);
	store->synced_commits = store->position.frontier.size;
	store->unsynced_since = 0;
	pthread_mutex_unlock(&store->mutex);
	return VALORI_OK;
}
/* Appends while others may sync. */
static valori_code append(valori *store, valori_error *error)
{
	valori_code code = vl_writer_put(store->writer, store->group.data, store->group.size, &store->position, error);

	if (code == VALORI_OK)
		return VALORI_OK;
	pthread_mutex_lock(&store->mutex);
	take_disk(store);
	pthread_mutex_unlock(&store->mutex);
	vl_writer_cut(store->writer);
	pthread_mutex_lock(&store->mutex);
	give_disk(store);
	pthread_mutex_unlock(&store->mutex);
	return code;
}

/* Writes the group and publishes it, or drops it. */
static valori_code write_and_publish(valori *store, bool is_sync_asked, valori_error *error)
{
	bool is_due, is_alone = false;
	valori_code code = vl_engine_make_log(store, error);

	if (code == VALORI_OK && store->writer != NULL) {
		is_due = is_sync_due(store) || is_sync_asked;
		/* A rotation has the disk until its new segment is the one that is published. */
		is_alone = is_due || vl_writer_is_full(store->writer);
		if (is_alone) {
			pthread_mutex_lock(&store->mutex);
			take_disk(store);
			pthread_mutex_unlock(&store->mutex);
		}
		code = is_alone ? append_and_sync(store, is_due, error) : append(store, error);
	}
	if (code == VALORI_OK) {
		vl_replica_commit(&store->replica);
		vl_engine_publish(store);
	} else {
		drop_group(store);
	}
	if (is_alone) {
		pthread_mutex_lock(&store->mutex);
		give_disk(store);
		pthread_mutex_unlock(&store->mutex);
	}
	return code;
}

valori_code vl_engine_finish_group(valori *store, bool is_sync_asked, valori_error *error)
{
	bool has_commits = store->group.size > 0;
	valori_code code = VALORI_OK;

	if (!store->is_group_open)
		return VALORI_OK;
	if (has_commits)
		code = write_and_publish(store, is_sync_asked, error);
	else
		vl_replica_commit(&store->replica);
	store->is_group_open = false;
	if (code == VALORI_OK && has_commits)
		vl_engine_begin_round(store);
	vl_buf_clear(&store->group);
	return code;
}

/* ---- Committing ---- */

static valori_code may_write(const valori *store, valori_error *error)
{
	if (store->is_read_only)
		return vl_fail(error, VALORI_INVALID, "the store was opened for reading only");
	if (store->is_broken)
		return vl_fail(error, VALORI_POISONED, "out of memory earlier: reopen the store");
	return VALORI_OK;
}

static valori_code stage_one(valori *store, struct vl_waiter *waiter)
{
	size_t before = store->group.size;
	valori_error ignored;
	valori_code code;

	if (waiter->before != NULL && waiter->before->code != VALORI_OK)
		return waiter->before->code;
	code = may_write(store, &waiter->error);
	if (code != VALORI_OK)
		return code;
	vl_engine_open_group(store);
	code = vl_engine_stage(store, waiter->batch, &waiter->receipt, &waiter->error);
	if (code != VALORI_OK) {
		(void)vl_engine_unstage(store, before, &ignored);
		return code;
	}
	return VALORI_OK;
}

/* [turn] Ends the group of the waiters from first up to end. */
static void finish(valori *store, struct vl_waiter *first, const struct vl_waiter *end)
{
	valori_error error;
	valori_code code;

	memset(&error, 0, sizeof(error));
	if (store->is_broken)
		code = vl_fail(&error, VALORI_POISONED, "out of memory: reopen the store");
	else
		code = vl_engine_finish_group(store, false, &error);
	if (code == VALORI_OK)
		return;
	/* Whoever was well so far shares the group's fate; whoever was refused keeps his own reason. */
	for (struct vl_waiter *waiter = first; waiter != end; waiter = waiter->next)
		if (waiter->code == VALORI_OK) {
			waiter->code = code;
			waiter->error = error;
		}
}

/* [turn] One group out of a chain of waiting batches; more than one when a round of the index is due between two. */
static void lead(valori *store, struct vl_waiter *first)
{
	for (struct vl_waiter *waiter = first; waiter != NULL; waiter = waiter->next) {
		waiter->code = stage_one(store, waiter);
		if (waiter->next != NULL && !vl_engine_is_round_due(store))
			continue;
		finish(store, first, waiter->next);
		first = waiter->next;
	}
}

/* Puts a chain of waiters into the queue, all of them into one group, and comes back when all are done. */
static void wait_or_lead(valori *store, struct vl_waiter *mine, struct vl_waiter *last)
{
	pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

	mine->wake = last->wake = &wake;
	pthread_mutex_lock(&store->mutex);
	*store->last = mine;
	store->last = &last->next;
	while (!last->is_done) {
		struct vl_waiter *first = store->first;

		if (store->is_busy) {
			pthread_cond_wait(&wake, &store->mutex);
			continue;
		}
		store->is_busy = true;
		store->first = NULL;
		store->last = &store->first;
		pthread_mutex_unlock(&store->mutex);
		lead(store, first);
		pthread_mutex_lock(&store->mutex);
		for (struct vl_waiter *waiter = first, *next; waiter != NULL; waiter = next) {
			next = waiter->next; /* once done, it may be gone */
			waiter->is_done = true;
			if (waiter->wake != NULL && waiter->wake != &wake)
				pthread_cond_signal(waiter->wake);
		}
		end_turn(store);
	}
	pthread_mutex_unlock(&store->mutex);
	pthread_cond_destroy(&wake);
}

static valori_code check_batch(const valori *store, valori_batch *batch, valori_error *error)
{
	if (batch == NULL)
		return vl_fail(error, VALORI_INVALID, "no batch given");
	if (batch->dim != store->replica.dim)
		return vl_fail(error, VALORI_DIMENSION, "batch has dimension %u, the store %u", batch->dim,
			       store->replica.dim);
	return vl_batch_seal(batch, error);
}

/* Queues the batches and gives out what came of those before the first that was refused. */
static valori_code commit(valori *store, struct vl_waiter *waiters, valori_batch *const *batches, size_t count,
			  valori_receipt *out, uint64_t *const *out_ids, size_t *out_done, valori_error *error)
{
	*out_done = 0;
	for (size_t i = 0; i < count; i++) {
		valori_code code = check_batch(store, batches[i], error);

		if (code != VALORI_OK)
			return code;
		waiters[i] =
			(struct vl_waiter){.batch = batches[i], .error = {.offset = VALORI_NONE, .event = VALORI_NONE}};
		if (i > 0) {
			waiters[i].before = &waiters[i - 1];
			waiters[i - 1].next = &waiters[i];
		}
	}
	wait_or_lead(store, &waiters[0], &waiters[count - 1]);
	for (size_t i = 0; i < count; i++) {
		if (waiters[i].code != VALORI_OK) {
			if (error != NULL)
				*error = waiters[i].error;
			return waiters[i].code;
		}
		if (out != NULL)
			out[i] = waiters[i].receipt;
		if (out_ids != NULL && out_ids[i] != NULL && batches[i]->count > 0)
			memcpy(out_ids[i], batches[i]->ids.data, batches[i]->count * sizeof(uint64_t));
		++*out_done;
	}
	return VALORI_OK;
}

valori_code valori_commit(valori *store, valori_batch *batch, valori_receipt *out, uint64_t *out_ids,
			  valori_error *error)
{
	struct vl_waiter waiter;
	size_t done;

	return commit(store, &waiter, &batch, 1, out, &out_ids, &done, error);
}

valori_code valori_commit_many(valori *store, valori_batch *const *batches, size_t count, valori_receipt *out,
			       uint64_t *const *out_ids, size_t *out_done, valori_error *error)
{
	struct vl_waiter *waiters;
	size_t done = 0;
	valori_code code;

	if (out_done == NULL)
		out_done = &done;
	*out_done = 0;
	if (count == 0)
		return VALORI_OK;
	if (count > SIZE_MAX / sizeof(*waiters))
		return vl_fail(error, VALORI_NO_MEMORY, "%zu batches are too many", count);
	waiters = vl_alloc(store->env, count * sizeof(*waiters));
	if (waiters == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	code = commit(store, waiters, batches, count, out, out_ids, out_done, error);
	vl_release(store->env, waiters, count * sizeof(*waiters));
	return code;
}

/* [turn] Writes what is staged, and makes the log when that is due. */
static valori_code settle(valori *store, valori_error *error)
{
	valori_code code = VALORI_OK;

	if (store->is_broken)
		code = vl_fail(error, VALORI_POISONED, "out of memory earlier: reopen the store");
	if (code == VALORI_OK)
		code = vl_engine_finish_group(store, true, error);
	if (code == VALORI_OK)
		code = vl_engine_make_log(store, error);
	return code;
}

valori_code valori_flush(valori *store, valori_error *error)
{
	valori_code code = VALORI_OK;
	bool is_due;

	pthread_mutex_lock(&store->mutex);
	is_due = store->is_flush_due;
	pthread_mutex_unlock(&store->mutex);
	if (is_due) {
		vl_engine_take_turn(store);
		code = settle(store, error);
		vl_engine_give_turn(store);
	}
	if (code != VALORI_OK)
		return code;
	pthread_mutex_lock(&store->mutex);
	code = sync_published(store, error);
	pthread_mutex_unlock(&store->mutex);
	return code;
}

/* ---- Syncing after a while (VALORI_SYNC_BATCH) ---- */

static void *run_flusher(void *argument)
{
	valori *store = argument;

	pthread_mutex_lock(&store->mutex);
	while (!store->is_closing) {
		uint64_t due = store->unsynced_since + store->sync_ms, now;
		struct timespec deadline = {(time_t)(due / 1000), (long)(due % 1000) * 1000000};

		if (store->unsynced_since == 0 || store->is_busy) {
			pthread_cond_wait(&store->has_work, &store->mutex);
			continue;
		}
		now = store->os->monotonic_ms(store->os->context);
		if (now < due) {
			pthread_cond_timedwait(&store->has_work, &store->mutex, &deadline);
			continue;
		}
		/* A failure poisons the writer: whoever commits next hears of it. */
		(void)sync_published(store, NULL);
	}
	pthread_mutex_unlock(&store->mutex);
	return NULL;
}

valori_code vl_engine_start_flusher(valori *store, valori_error *error)
{
	int failure = pthread_create(&store->flusher, NULL, run_flusher, store);

	if (failure != 0) {
		vl_fail(error, VALORI_IO, "thread: %s", vl_os_error_text(failure));
		if (error != NULL)
			error->system_errno = failure;
		return VALORI_IO;
	}
	store->has_flusher = true;
	return VALORI_OK;
}

void vl_engine_stop_flusher(valori *store)
{
	if (!store->has_flusher)
		return;
	pthread_mutex_lock(&store->mutex);
	store->is_closing = true;
	pthread_cond_broadcast(&store->has_work);
	pthread_mutex_unlock(&store->mutex);
	pthread_join(store->flusher, NULL);
	store->has_flusher = false;
}

/* ---- Replicating ---- */

static bool is_empty_base(const struct vl_position *position)
{
	return position->height == 0 && position->frontier.size == 0;
}

/* A store without a commit becomes a replica of the log. */
static valori_code adopt(valori *store, const struct vl_position *base, valori_error *error)
{
	valori_error ignored;

	if (!is_empty_base(base))
		return vl_fail(error, VALORI_UNKNOWABLE,
			       "the log begins after event %llu: a snapshot of that moment is needed",
			       (unsigned long long)base->height);
	if (memcmp(base->state_root, store->position.state_root, VL_HASH_SIZE) != 0)
		return vl_fail(error, VALORI_MISMATCH, "the log does not begin with the empty state");
	if (store->writer != NULL) {
		pthread_mutex_lock(&store->mutex);
		take_disk(store);
		store->syncer = NULL;
		give_disk(store);
		pthread_mutex_unlock(&store->mutex);
		(void)vl_writer_close(store->writer, &ignored);
		store->writer = NULL;
		store->is_log_due = store->is_replaced = true;
	}
	memcpy(store->position.log_id, base->log_id, VL_HASH_SIZE);
	memcpy(store->position.parent_id, base->parent_id, VL_HASH_SIZE);
	memcpy(store->position.parent_root, base->parent_root, VL_HASH_SIZE);
	store->position.parent_commits = base->parent_commits;
	vl_engine_publish(store);
	return VALORI_OK;
}

struct vl_reader_options vl_engine_own_log(const valori *store)
{
	return (struct vl_reader_options){
		.path = store->names.live, .archive = store->archive, .fd = -1, .ignore_head = store->writer != NULL};
}

/* The own log's reader, standing before commit number of the log; what is staged was written before. */
static valori_code read_own(valori *store, uint64_t number, uint64_t first_event, struct vl_commit *out,
			    valori_error *error)
{
	struct vl_reader_options options = vl_engine_own_log(store);
	valori_code code;

	if (store->own != NULL && vl_reader_position(store->own)->frontier.size != number) {
		vl_reader_close(store->own);
		store->own = NULL;
	}
	if (store->own == NULL) {
		code = vl_reader_open(store->env, store->os, &options, &store->own, error);
		if (code != VALORI_OK)
			return code;
		code = vl_reader_seek(store->own, first_event, error);
		if (code != VALORI_OK)
			return code;
	}
	return vl_reader_next(store->own, out, error);
}

/* A commit that the store has already: is it the same? */
static valori_code compare_own(valori *store, const valori_commit_view *commit, valori_error *error)
{
	struct vl_commit own;
	uint8_t root[VL_HASH_SIZE];
	valori_code code;

	if (commit->number + 1 == store->position.frontier.size) {
		vl_frontier_root(&store->position.frontier, store->env->kernels, root);
		if (memcmp(root, commit->tree_root.bytes, VL_HASH_SIZE) != 0)
			return vl_fail(error, VALORI_OTHER_LOG,
				       "commit %llu: the history up to it differs from the store's: a fork",
				       (unsigned long long)commit->number);
		return VALORI_OK;
	}
	if (!store->has_log || store->is_log_due)
		return VALORI_OK;
	code = vl_engine_finish_group(store, true, error);
	if (code != VALORI_OK)
		return code;
	code = read_own(store, commit->number, commit->first_event, &own, error);
	if (code == VALORI_UNKNOWABLE)
		return VALORI_OK; /* trimmed away; the tree root of the store's last commit binds it */
	if (code == VALORI_END || (code == VALORI_OK && (own.size != commit->size ||
							 memcmp(own.bytes, commit->bytes, (size_t)own.size) != 0)))
		return vl_fail(error, VALORI_OTHER_LOG, "commit %llu: differs from the store's: a fork",
			       (unsigned long long)commit->number);
	return code;
}

static valori_code append_replicated(valori *store, const valori_commit_view *commit, valori_error *error)
{
	const struct vl_kernels *kernels = store->env->kernels;
	struct vl_commit decoded;
	size_t before;
	valori_error ignored;
	valori_code code;

	vl_engine_open_group(store);
	before = store->group.size;
	vl_buf_put(&store->group, commit->bytes, (size_t)commit->size);
	if (store->group.failed) {
		store->group.failed = false;
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	}
	code = vl_commit_decode(store->group.data + before, commit->size, &store->position, kernels, &decoded, error);
	if (code != VALORI_OK) {
		store->group.size = before;
		return code == VALORI_DAMAGED ? vl_fail_in(error, VALORI_DAMAGED, commit->path) : code;
	}
	decoded.path = commit->path;
	decoded.offset = commit->offset;
	code = vl_replica_put(&store->replica, &decoded, error);
	if (code == VALORI_OK)
		code = vl_replica_flush(&store->replica, error);
	if (code != VALORI_OK) {
		(void)vl_engine_unstage(store, before, &ignored);
		return code;
	}
	vl_position_advance(&store->position, &decoded, kernels);
	store->group_commits++;
	if (store->group.size < VL_GROUP_SIZE && !vl_engine_is_round_due(store))
		return VALORI_OK;
	return vl_engine_finish_group(store, true, error);
}

static valori_code replicate(valori *store, const struct vl_position *base, const valori_commit_view *commit,
			     int *out_new, valori_error *error)
{
	valori_code code = may_write(store, error);

	if (code != VALORI_OK)
		return code;
	if (base->dim != store->replica.dim)
		return vl_fail(error, VALORI_DIMENSION, "the log has dimension %u, the store %u", base->dim,
			       store->replica.dim);
	if (memcmp(base->log_id, store->position.log_id, VL_HASH_SIZE) != 0) {
		if (!is_empty_base(&store->position))
			return vl_fail(error, VALORI_OTHER_LOG, "%s: has another log id than the store", commit->path);
		code = adopt(store, base, error);
		if (code != VALORI_OK)
			return code;
	}
	if (commit->number < store->position.frontier.size) {
		*out_new = 0;
		return compare_own(store, commit, error);
	}
	if (commit->number > store->position.frontier.size || commit->first_event != store->position.height)
		return vl_fail(
			error, VALORI_OTHER_LOG,
			"commit %llu with event %llu does not follow: the store goes on at commit %llu with event %llu",
			(unsigned long long)commit->number, (unsigned long long)commit->first_event,
			(unsigned long long)store->position.frontier.size, (unsigned long long)store->position.height);
	code = append_replicated(store, commit, error);
	if (code == VALORI_OK)
		*out_new = 1;
	return code;
}

valori_code vl_engine_replicate(valori *store, const struct vl_position *base, const valori_commit_view *commit,
				int *out_new, valori_error *error)
{
	int is_new = 0;
	valori_code code;

	vl_engine_take_turn(store);
	code = replicate(store, base, commit, &is_new, error);
	vl_engine_give_turn(store);
	if (code == VALORI_OK && out_new != NULL)
		*out_new = is_new;
	return code;
}

/* ---- What the log still knows of an event ---- */

valori_code vl_engine_read_event(valori *store, uint64_t number, struct vl_event *out, valori_error *error)
{
	struct vl_reader_options options = vl_engine_own_log(store);
	struct vl_commit commit;
	uint64_t offset = 0;
	valori_code code;

	if (!store->has_log || store->is_log_due || !store->has_names)
		return vl_fail(error, VALORI_NOT_FOUND, "there is no log to look into");
	vl_reader_close(store->own);
	store->own = NULL;
	code = vl_reader_open(store->env, store->os, &options, &store->own, error);
	if (code == VALORI_OK)
		code = vl_reader_seek(store->own, number, error);
	if (code == VALORI_OK)
		code = vl_reader_next(store->own, &commit, error);
	if (code == VALORI_END || code == VALORI_UNKNOWABLE)
		return vl_fail(error, VALORI_NOT_FOUND, "event %llu is not in the log", (unsigned long long)number);
	for (uint64_t event = commit.first_event; code == VALORI_OK; event++) {
		size_t used;

		code = vl_event_decode(store->env->kernels, commit.events + offset,
				       (size_t)(commit.events_size - offset), store->replica.dim, out, &used, error);
		if (code != VALORI_OK || event == number)
			break;
		offset += used;
	}
	return code;
}
