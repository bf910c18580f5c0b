/* engine_index.c - the rounds of the index: while a store is opened, and beside its writer. */
#include "engine_private.h"

#include <stdatomic.h>

#include "snapshot.h"

enum { THREADS_MAX = 64 };

/* ---- A crew of threads ---- */

struct crew {
	void (*task)(void *argument, size_t index);
	void *argument;
	size_t count;
	atomic_size_t next;
};

static void *work(void *context)
{
	struct crew *crew = context;

	for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->count;)
		crew->task(crew->argument, i);
	return NULL;
}

static void run_crew(void *context, void (*task)(void *argument, size_t index), void *argument, size_t count)
{
	const size_t *threads = context;
	struct crew crew = {.task = task, .argument = argument, .count = count};
	size_t hands = count < *threads ? count : *threads, hired = 0;
	pthread_t others[THREADS_MAX];

	atomic_init(&crew.next, 0);
	/* A thread that could not be had costs time only. */
	while (hired + 1 < hands && pthread_create(&others[hired], NULL, work, &crew) == 0)
		hired++;
	work(&crew);
	while (hired > 0)
		pthread_join(others[--hired], NULL);
}

static struct vl_workers workers_of(valori *store)
{
	return (struct vl_workers){run_crew, &store->index_threads, store->index_threads};
}

/* ---- Rounds ---- */

static struct vl_round *round_new(valori *store, const struct vl_schedule *schedule, valori_error *error)
{
	struct vl_round *round = vl_alloc(store->env, sizeof(*round));

	if (round == NULL) {
		vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
		return NULL;
	}
	memset(round, 0, sizeof(*round));
	round->schedule = *schedule;
	round->holders = 1;
	return round;
}

/* [mutex] */
static struct vl_round *hold(struct vl_round *round)
{
	if (round != NULL)
		round->holders++;
	return round;
}

void vl_engine_let_go_round(valori *store, struct vl_round *round)
{
	if (round == NULL || --round->holders > 0)
		return;
	vl_index_free(&round->index);
	vl_release(store->env, round, sizeof(*round));
}

struct vl_round *vl_engine_hold_due(valori *store)
{
	return hold(store->due);
}

struct vl_round *vl_engine_hold_done(valori *store, struct vl_round *due)
{
	return hold(due != NULL && due->is_done ? due : store->done);
}

/* What the index is to be like. */
static void wanted(const valori *store, struct vl_index_parameters *out)
{
	vl_index_configured(&store->replica.state.totals, out);
	if (store->index_kind <= VALORI_INDEX_IVF)
		out->kind = store->index_kind;
}

/* ---- While the store is opened ---- */

static void lose_index(valori *store, const valori_error *error)
{
	store->is_index_lost = true;
	store->index_error = *error;
}

/* After each commit that is replayed. */
static void run_due(valori *store)
{
	struct vl_round *round = store->done;
	struct vl_workers workers = workers_of(store);
	struct vl_index_parameters parameters;
	struct vl_schedule after;
	valori_error error;

	if (store->is_index_lost || round == NULL)
		return;
	wanted(store, &parameters);
	if (!vl_schedule_next(&round->schedule, &store->replica.state, &parameters, &after) ||
	    after.boundary > store->index_boundary)
		return;
	if (vl_index_round(&round->index, &store->replica.state, &after, &workers, &error) == VALORI_OK)
		round->schedule = after;
	else
		lose_index(store, &error);
}

static void applied(void *context, const struct vl_commit *commit)
{
	(void)commit;
	run_due(context);
}

/* An index that cannot be read is no reason to fail: what it is made of is there. */
static bool take_saved(valori *store, struct vl_round *round)
{
	valori_error why;
	char sentence[300];
	bool is_saved;

	if (vl_snapshot_index(store->snapshot, &store->replica.state, &round->index, &is_saved, &why) == VALORI_OK)
		return is_saved;
	vl_format(sentence, sizeof(sentence), "index not used: %s", why.message);
	vl_engine_note(store, sentence);
	return false;
}

valori_code vl_engine_begin_index(valori *store, valori_error *error)
{
	struct vl_index_parameters parameters;
	struct vl_schedule begun;
	struct vl_round *round;
	bool is_saved = false;

	if ((store->flags & (VALORI_INDEX | VALORI_INDEX_SAVED)) == 0)
		return VALORI_OK;
	wanted(store, &parameters);
	vl_schedule_begin(&begun, &parameters, store->replica.state.totals.height);
	round = round_new(store, &begun, error);
	if (round == NULL)
		return VALORI_NO_MEMORY;
	round->is_done = true;
	if (store->snapshot != NULL)
		is_saved = take_saved(store, round);
	if (is_saved && round->index.schedule.boundary > store->index_boundary) {
		vl_index_free(&round->index);
		is_saved = false;
	}
	if (is_saved)
		round->schedule = round->index.schedule;
	else if ((store->flags & VALORI_INDEX) != 0)
		vl_index_init(&round->index, store->env, store->replica.dim, &begun);
	if (!is_saved && (store->flags & VALORI_INDEX) == 0) {
		vl_engine_let_go_round(store, round);
		return VALORI_OK;
	}
	store->done = round;
	if ((store->flags & VALORI_INDEX) != 0) {
		run_due(store); /* of a snapshot without an index */
		store->replica.applied = applied;
		store->replica.context = store;
	}
	return VALORI_OK;
}

valori_code vl_engine_end_replay(valori *store, valori_error *error)
{
	struct vl_index_parameters parameters;

	store->replica.applied = NULL;
	if (store->is_index_lost) {
		if (error != NULL)
			*error = store->index_error;
		return (valori_code)store->index_error.code;
	}
	if (store->done == NULL)
		return VALORI_OK;
	wanted(store, &parameters);
	if ((store->flags & VALORI_INDEX) == 0 && !vl_index_is_like(&store->done->schedule.parameters, &parameters)) {
		/* The log has changed its mind behind the snapshot. */
		vl_engine_let_go_round(store, store->done);
		store->done = NULL;
		return VALORI_OK;
	}
	store->due = hold(store->done);
	return VALORI_OK;
}

/* ---- Beside the writer ---- */

bool vl_engine_is_round_due(valori *store)
{
	struct vl_index_parameters parameters;
	struct vl_schedule after;

	if (!store->has_builder || store->is_index_lost)
		return false;
	wanted(store, &parameters);
	return vl_schedule_next(&store->due->schedule, &store->replica.state, &parameters, &after);
}

/*
 * The state has just been published. A round that cannot be begun ends the index: the ones behind it would have
 * another input than on other machines.
 */
void vl_engine_begin_round(valori *store)
{
	struct vl_index_parameters parameters;
	struct vl_schedule after;
	struct vl_round *round;
	valori_error error;
	valori_code code = VALORI_NO_MEMORY;

	if (!store->has_builder || store->is_index_lost)
		return;
	wanted(store, &parameters);
	if (!vl_schedule_next(&store->due->schedule, &store->replica.state, &parameters, &after))
		return;
	round = round_new(store, &after, &error);
	pthread_mutex_lock(&store->mutex);
	if (round != NULL)
		code = vl_engine_freeze(store, &error);
	if (code == VALORI_OK) {
		/* One holder is the store, for what is due; the others are the queue, and the version. */
		round->holders = 3;
		vl_engine_let_go_round(store, store->due);
		vl_engine_let_go_round(store, store->newest->due);
		store->due = store->newest->due = round;
		round->input = store->newest;
		store->newest->holders++;
		*store->last_waiting = round;
		store->last_waiting = &round->next;
	} else {
		vl_engine_let_go_round(store, round);
		lose_index(store, &error);
		store->has_builder_failed = true;
		pthread_cond_broadcast(&store->changed);
	}
	pthread_cond_broadcast(&store->has_work);
	pthread_mutex_unlock(&store->mutex);
}

/* [mutex] The first that waits, which then is its caller's to let go of. */
static struct vl_round *next_round(valori *store)
{
	struct vl_round *round = store->waiting;

	store->waiting = round->next;
	if (store->waiting == NULL)
		store->last_waiting = &store->waiting;
	return round;
}

/* [mutex] */
static void let_go_input(valori *store, struct vl_round *round)
{
	vl_engine_let_go(store, round->input);
	round->input = NULL;
	if (!store->is_busy)
		vl_engine_release_retired(store);
}

static void *run_builder(void *argument)
{
	valori *store = argument;
	struct vl_workers workers = workers_of(store);

	pthread_mutex_lock(&store->mutex);
	while (!store->is_closing) {
		struct vl_round *round, *base;
		struct vl_index index;
		valori_error error;
		valori_code code;

		if (store->waiting == NULL || store->has_builder_failed) {
			pthread_cond_wait(&store->has_work, &store->mutex);
			continue;
		}
		round = next_round(store);
		base = hold(store->done);
		pthread_mutex_unlock(&store->mutex);
		index = vl_index_share(&base->index);
		code = vl_index_round(&index, &round->input->version.state, &round->schedule, &workers, &error);
		pthread_mutex_lock(&store->mutex);
		if (code == VALORI_OK) {
			round->index = index;
			round->is_done = true;
			vl_engine_let_go_round(store, store->done);
			store->done = hold(round);
		} else {
			vl_index_free(&index);
			store->has_builder_failed = true;
		}
		let_go_input(store, round);
		vl_engine_let_go_round(store, base);
		vl_engine_let_go_round(store, round);
		pthread_cond_broadcast(&store->changed);
	}
	pthread_mutex_unlock(&store->mutex);
	return NULL;
}

valori_code vl_engine_start_builder(valori *store, valori_error *error)
{
	int failure;

	if ((store->flags & VALORI_INDEX) == 0 || store->is_read_only)
		return VALORI_OK;
	failure = pthread_create(&store->builder, NULL, run_builder, store);
	if (failure != 0) {
		vl_fail(error, VALORI_IO, "thread: %s", vl_os_error_text(failure));
		if (error != NULL)
			error->system_errno = failure;
		return VALORI_IO;
	}
	store->has_builder = true;
	return VALORI_OK;
}

void vl_engine_end_index(valori *store)
{
	if (store->has_builder) {
		pthread_mutex_lock(&store->mutex);
		store->is_closing = true;
		pthread_cond_broadcast(&store->has_work);
		pthread_mutex_unlock(&store->mutex);
		pthread_join(store->builder, NULL);
		store->has_builder = false;
	}
	while (store->waiting != NULL) {
		struct vl_round *round = next_round(store);

		vl_engine_let_go(store, round->input);
		vl_engine_let_go_round(store, round);
	}
	vl_engine_let_go_round(store, store->done);
	vl_engine_let_go_round(store, store->due);
	store->done = store->due = NULL;
}

/* ---- What a view sees ---- */

valori_code valori_view_settle(valori_view *view, valori_error *error)
{
	valori *store = view->store;
	struct vl_round *due = view->frozen->due;
	valori_code code = VALORI_OK;

	if (due == NULL)
		return VALORI_OK;
	pthread_mutex_lock(&store->mutex);
	while (!due->is_done && !store->has_builder_failed)
		pthread_cond_wait(&store->changed, &store->mutex);
	if (due->is_done) {
		vl_engine_let_go_round(store, view->round);
		view->round = hold(due);
	} else {
		code = vl_fail(error, VALORI_NO_MEMORY, "index: out of memory in an earlier round");
	}
	pthread_mutex_unlock(&store->mutex);
	return code;
}

static uint64_t size_of(const struct vl_index *index)
{
	struct vl_index_bytes parts[VL_INDEX_PARTS];
	uint8_t head[VL_INDEX_HEAD];
	uint64_t size = 0;

	vl_index_bytes(index, head, parts);
	for (unsigned part = 0; part < VL_INDEX_PARTS; part++)
		size += parts[part].count * parts[part].elem_size;
	return size;
}

valori_code valori_view_index(const valori_view *view, valori_index_info *out, valori_error *error)
{
	valori *store = view->store;
	struct vl_round *round = view->round;
	const struct vl_schedule *schedule;
	valori_index_info info = {0};
	valori_hash digest;
	bool is_known;

	if (out->size < offsetof(valori_index_info, since))
		return vl_fail(error, VALORI_INVALID, "valori_index_info: size is not set");
	if (round == NULL)
		return vl_fail(error, VALORI_NOT_FOUND, "there is no index");
	pthread_mutex_lock(&store->mutex);
	is_known = round->has_digest;
	digest = round->digest;
	pthread_mutex_unlock(&store->mutex);
	if (!is_known) {
		vl_index_digest(&round->index, digest.bytes);
		pthread_mutex_lock(&store->mutex);
		round->digest = digest;
		round->has_digest = true;
		pthread_mutex_unlock(&store->mutex);
	}
	schedule = &round->index.schedule;
	info.kind = schedule->parameters.kind;
	info.has_graph = round->index.has_graph;
	info.m = schedule->parameters.graph.m;
	info.ef_construction = schedule->parameters.graph.ef_construction;
	info.width = schedule->parameters.graph.width;
	info.slack = schedule->parameters.graph.slack;
	info.ef_search = vl_index_ef(&view->frozen->version.state.totals);
	info.since = schedule->since;
	info.boundary = schedule->boundary;
	info.due = view->frozen->due->schedule.boundary;
	info.rows = round->index.codes.count;
	info.covered = schedule->covered;
	info.bytes = size_of(&round->index);
	info.digest = digest;
	info.lists = round->index.has_lists ? round->index.ivf.lists : 0;
	info.size = out->size < sizeof(info) ? out->size : (uint32_t)sizeof(info);
	memcpy(out, &info, info.size);
	return VALORI_OK;
}
