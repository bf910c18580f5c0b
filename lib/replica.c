/* replica.c - a state that follows a log. */
#include "replica.h"

enum {
	WINDOW_EVENTS = 512,     /* decoded and hashed together; also what small commits are collected up to */
	WINDOW_SIZE = 512 << 10, /* bytes of small commits kept */
	LARGE_COMMIT = 64 << 10  /* is worked on where it lies */
};

/* ---- Beginning and ending ---- */

static void init_buffers(struct vl_replica *replica, const struct vl_env *env, uint32_t dim)
{
	memset(replica, 0, sizeof(*replica));
	replica->env = env;
	replica->dim = dim;
	vl_buf_init(&replica->kept, env);
	vl_buf_init(&replica->commits, env);
	vl_buf_init(&replica->path, env);
	vl_buf_init(&replica->events, env);
	vl_buf_init(&replica->scratch, env);
	vl_buf_init(&replica->digests, env);
	vl_buf_init(&replica->commit_digests, env);
}

void vl_replica_init_blind(struct vl_replica *replica, const struct vl_env *env, uint32_t dim)
{
	init_buffers(replica, env, dim);
	replica->is_blind = true;
}

/* What was not begun is zero, and freeing that does nothing; what failed half way is freed like the rest. */
static valori_code init_state(struct vl_replica *replica, const struct vl_env *env, uint32_t dim, uint32_t flags,
			      valori_error *error)
{
	valori_code code;

	init_buffers(replica, env, dim);
	code = vl_pool_new(env, &replica->pool, error);
	if (code == VALORI_OK)
		code = vl_state_init(&replica->state, replica->pool, dim, flags, error);
	if (code == VALORI_OK)
		code = vl_commitment_init(&replica->commitment, replica->pool, error);
	if (code == VALORI_OK)
		code = vl_requests_init(&replica->requests, replica->pool, error);
	if (code != VALORI_OK)
		vl_replica_free(replica);
	return code;
}

valori_code vl_replica_init(struct vl_replica *replica, const struct vl_env *env, uint32_t dim, uint32_t flags,
			    valori_error *error)
{
	valori_code code = init_state(replica, env, dim, flags, error);

	if (code != VALORI_OK)
		return code;
	code = vl_commitment_update(&replica->commitment, &replica->state, replica->root, error);
	if (code != VALORI_OK)
		vl_replica_free(replica);
	return code;
}

static void free_state(struct vl_replica *replica)
{
	if (replica->requests.entries.pool != NULL)
		vl_requests_free(&replica->requests);
	vl_commitment_free(&replica->commitment);
	vl_state_free(&replica->state);
	memset(&replica->requests, 0, sizeof(replica->requests));
	memset(&replica->commitment, 0, sizeof(replica->commitment));
	memset(&replica->state, 0, sizeof(replica->state));
	vl_pool_free(replica->pool);
	replica->pool = NULL;
}

void vl_replica_free(struct vl_replica *replica)
{
	free_state(replica);
	vl_buf_free(&replica->kept);
	vl_buf_free(&replica->commits);
	vl_buf_free(&replica->path);
	vl_buf_free(&replica->events);
	vl_buf_free(&replica->scratch);
	vl_buf_free(&replica->digests);
	vl_buf_free(&replica->commit_digests);
	replica->is_blind = true;
}

valori_code vl_replica_vacate(struct vl_replica *replica, uint32_t dim, uint32_t flags, valori_error *error)
{
	const struct vl_env *env = replica->env;
	void (*applied)(void *, const struct vl_commit *) = replica->applied;
	void *context = replica->context;
	valori_code code;

	vl_replica_free(replica);
	code = init_state(replica, env, dim, flags, error);
	if (code != VALORI_OK)
		return code;
	replica->applied = applied;
	replica->context = context;
	return VALORI_OK;
}

void vl_replica_attached(struct vl_replica *replica, const struct vl_position *position)
{
	memcpy(replica->root, position->state_root, VL_HASH_SIZE);
	replica->applied_height = position->height;
	replica->applied_commits = position->frontier.size;
	replica->applied_time_ms = position->time_ms;
}

void vl_replica_begin(struct vl_replica *replica)
{
	vl_pool_begin(replica->pool);
	vl_state_begin(&replica->state);
	vl_requests_begin(&replica->requests);
}

void vl_replica_commit(struct vl_replica *replica)
{
	vl_state_commit(&replica->state);
	vl_pool_commit(replica->pool);
}

void vl_replica_abort(struct vl_replica *replica)
{
	vl_pool_abort(replica->pool);
	vl_state_abort(&replica->state);
	vl_requests_abort(&replica->requests);
	vl_state_clean(&replica->state);
	vl_buf_clear(&replica->kept);
	vl_buf_clear(&replica->commits);
	replica->kept_events = 0;
}

/* ---- Faults ---- */

/* Fills in where, and puts file, offset and event before the sentence of error, which says what. */
static valori_code fault_at(struct vl_replica *replica, const struct vl_commit *commit, uint64_t event, uint64_t offset,
			    valori_code code, valori_error *error)
{
	valori_error what;

	replica->fault = *commit;
	replica->fault.path = NULL;
	replica->fault.bytes = replica->fault.requests = replica->fault.events = NULL;
	replica->fault.events_root = replica->fault.state_root = NULL;
	if (error == NULL || code == VALORI_NO_MEMORY)
		return code;
	what = *error;
	vl_fail(error, code, "%s: offset %llu: event %llu: %s", commit->path, (unsigned long long)offset,
		(unsigned long long)event, what.message);
	error->offset = offset;
	error->event = event;
	return code;
}

static valori_code fault_in_commit(struct vl_replica *replica, const struct vl_commit *commit, const char *what,
				   valori_error *error)
{
	vl_fail(error, VALORI_MISMATCH, "commit %llu: checksums are right, but %s: it was rewritten",
		(unsigned long long)commit->number, what);
	return fault_at(replica, commit, commit->first_event, commit->offset, VALORI_MISMATCH, error);
}

/* ---- The loop ---- */

/* Where in a run of commits: event number `event` of commits[commit], whose bytes start at offset of its events. */
struct place {
	size_t commit;
	uint32_t event;
	uint64_t offset;
};

struct run {
	struct vl_replica *replica;
	const struct vl_commit *commits;
	size_t count;
	struct place decoded, done;
	uint32_t request;                /* of the commit being done: entries of its table used */
	size_t window;                   /* events decoded and not yet done */
	uint64_t offsets[WINDOW_EVENTS]; /* of the events in their files */
};

static struct vl_event *window_events(struct run *run)
{
	return (struct vl_event *)(void *)run->replica->events.data;
}

/* Decodes events until the window is full or the commits are. After a failure the window holds what came before. */
static valori_code decode_window(struct run *run, valori_error *error)
{
	struct vl_replica *replica = run->replica;
	struct place *at = &run->decoded;

	run->window = 0;
	while (run->window < WINDOW_EVENTS && at->commit < run->count) {
		const struct vl_commit *commit = &run->commits[at->commit];
		uint64_t offset = commit->offset + (uint64_t)(commit->events - commit->bytes) + at->offset;
		size_t used;
		valori_code code = vl_event_decode(replica->env->kernels, commit->events + at->offset,
						   (size_t)(commit->events_size - at->offset), replica->dim,
						   window_events(run) + run->window, &used, error);

		if (code != VALORI_OK)
			return fault_at(replica, commit, commit->first_event + at->event, offset,
					code == VALORI_DAMAGED ? VALORI_MISMATCH : code, error);
		run->offsets[run->window++] = offset;
		at->offset += used;
		if (++at->event < commit->event_count)
			continue;
		if (at->offset != commit->events_size) {
			run->window--;
			return fault_in_commit(replica, commit, "it has more bytes than events", error);
		}
		*at = (struct place){at->commit + 1, 0, 0};
	}
	return VALORI_OK;
}

static valori_code check_commit(struct run *run, const struct vl_commit *commit, valori_error *error)
{
	struct vl_replica *replica = run->replica;
	struct vl_buf *digests = &replica->commit_digests;
	uint8_t root[VL_HASH_SIZE];
	valori_code code;

	vl_events_root(replica->env->kernels, digests->data, digests->size / VL_HASH_SIZE, root);
	vl_buf_clear(digests);
	if (memcmp(root, commit->events_root, VL_HASH_SIZE) != 0)
		return fault_in_commit(replica, commit, "its events are not those of its events root", error);
	if (replica->is_blind) {
		memcpy(replica->root, commit->state_root, VL_HASH_SIZE);
	} else {
		code = vl_commitment_update(&replica->commitment, &replica->state, replica->root, error);
		if (code != VALORI_OK)
			return code;
		if (memcmp(replica->root, commit->state_root, VL_HASH_SIZE) != 0)
			return fault_in_commit(replica, commit, "its events do not lead to its state root", error);
	}
	replica->applied_height = commit->first_event + commit->event_count;
	replica->applied_commits = commit->number + 1;
	replica->applied_time_ms = commit->time_ms;
	if (replica->applied != NULL)
		replica->applied(replica->context, commit);
	return VALORI_OK;
}

/* Adds the request that the table of the commit names for this event, if it names one. */
static valori_code apply_request(struct run *run, const struct vl_commit *commit, const struct vl_event *event,
				 const uint8_t digest[VL_HASH_SIZE], valori_error *error)
{
	const uint8_t *entry = commit->requests + (size_t)run->request * VL_REQUEST_ENTRY;
	struct vl_request request;

	if (run->request == commit->request_count || vl_get32(entry) != run->done.event)
		return VALORI_OK;
	run->request++;
	if (run->replica->is_blind)
		return VALORI_OK;
	memcpy(request.id, entry + 8, VL_REQUEST_ID);
	request.event = commit->first_event + run->done.event;
	request.object = event->id;
	memcpy(request.digest, digest, VL_HASH_SIZE);
	return vl_requests_add(&run->replica->requests, &request, error);
}

static valori_code apply_window(struct run *run, valori_error *error)
{
	struct vl_replica *replica = run->replica;
	const struct vl_event *events = window_events(run);

	for (size_t i = 0; i < run->window; i++) {
		const struct vl_commit *commit = &run->commits[run->done.commit];
		const uint8_t *digest = replica->digests.data + i * VL_HASH_SIZE;
		valori_code code = VALORI_OK;

		if (!replica->is_blind)
			code = vl_state_apply(&replica->state, &events[i], error);
		if (code != VALORI_OK)
			return fault_at(replica, commit, commit->first_event + run->done.event, run->offsets[i],
					code == VALORI_NO_MEMORY || code == VALORI_NEWER ? code : VALORI_MISMATCH,
					error);
		vl_buf_put(&replica->commit_digests, digest, VL_HASH_SIZE);
		if (replica->commit_digests.failed)
			return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		code = apply_request(run, commit, &events[i], digest, error);
		if (code == VALORI_OK && ++run->done.event == commit->event_count) {
			code = check_commit(run, commit, error);
			run->done = (struct place){run->done.commit + 1, 0, 0};
			run->request = 0;
		}
		if (code != VALORI_OK)
			return code;
	}
	return VALORI_OK;
}

static valori_code apply_commits(struct vl_replica *replica, const struct vl_commit *commits, size_t count,
				 valori_error *error)
{
	const struct vl_kernels *kernels = replica->env->kernels;
	struct run run = {.replica = replica, .commits = commits, .count = count};

	vl_buf_clear(&replica->events);
	vl_buf_clear(&replica->digests);
	vl_buf_clear(&replica->commit_digests);
	if (vl_buf_extend(&replica->events, WINDOW_EVENTS * sizeof(struct vl_event)) == NULL ||
	    vl_buf_extend(&replica->digests, WINDOW_EVENTS * VL_HASH_SIZE) == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	while (run.done.commit < count) {
		valori_error later;
		valori_code decoded = decode_window(&run, &later), code;

		code = vl_event_hash_contents(kernels, window_events(&run), run.window, replica->dim, &replica->scratch,
					      error);
		if (code == VALORI_OK)
			code = vl_event_digests(kernels, window_events(&run), run.window, &replica->scratch,
						replica->digests.data, error);
		/* What was decoded comes before what could not be: its faults are found first. */
		if (code == VALORI_OK)
			code = apply_window(&run, error);
		if (code != VALORI_OK)
			return code;
		if (decoded != VALORI_OK) {
			if (error != NULL)
				*error = later;
			return decoded;
		}
	}
	return VALORI_OK;
}

/* ---- Collecting small commits ---- */

/* Bytes of a path, its NUL included. */
static size_t path_size(const char *path)
{
	size_t size = 1;

	while (*path++ != '\0')
		size++;
	return size;
}

static bool is_at_path(const struct vl_replica *replica, const char *path)
{
	size_t size = path_size(path);

	return replica->path.size == size && memcmp(replica->path.data, path, size) == 0;
}

valori_code vl_replica_put(struct vl_replica *replica, const struct vl_commit *commit, valori_error *error)
{
	struct vl_commit kept = *commit;
	valori_code code;

	if (commit->size >= LARGE_COMMIT || commit->event_count >= WINDOW_EVENTS ||
	    !is_at_path(replica, commit->path) || replica->kept.size + commit->size > WINDOW_SIZE) {
		code = vl_replica_flush(replica, error);
		if (code != VALORI_OK)
			return code;
	}
	if (commit->size >= LARGE_COMMIT || commit->event_count >= WINDOW_EVENTS)
		return apply_commits(replica, commit, 1, error);
	if (replica->commits.size == 0) {
		vl_buf_clear(&replica->path);
		vl_buf_put(&replica->path, commit->path, path_size(commit->path));
	}
	/* Places rather than addresses while more may come and the bytes may move: flush turns them round. */
	kept.bytes = NULL;
	vl_buf_put(&replica->kept, commit->bytes, (size_t)commit->size);
	vl_buf_put(&replica->commits, &kept, sizeof(kept));
	if (replica->kept.failed || replica->commits.failed || replica->path.failed)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	replica->kept_events += commit->event_count;
	return replica->kept_events < WINDOW_EVENTS ? VALORI_OK : vl_replica_flush(replica, error);
}

valori_code vl_replica_flush(struct vl_replica *replica, valori_error *error)
{
	struct vl_commit *commits = (struct vl_commit *)(void *)replica->commits.data;
	size_t count = replica->commits.size / sizeof(*commits);
	const uint8_t *bytes = replica->kept.data;
	valori_code code;

	if (count == 0)
		return VALORI_OK;
	for (size_t i = 0; i < count; i++) {
		struct vl_commit *commit = &commits[i];

		commit->bytes = bytes;
		commit->requests = bytes + VL_COMMIT_HEADER;
		commit->events = commit->requests + (size_t)commit->request_count * VL_REQUEST_ENTRY;
		commit->events_root = bytes + commit->size - VL_COMMIT_TRAILER;
		commit->state_root = commit->events_root + VL_HASH_SIZE;
		commit->path = (const char *)replica->path.data;
		bytes += commit->size;
	}
	code = apply_commits(replica, commits, count, error);
	vl_buf_clear(&replica->kept);
	vl_buf_clear(&replica->commits);
	replica->kept_events = 0;
	return code;
}
