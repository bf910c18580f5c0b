/* replay.c - event logs as streams, for users: commits one after the other, their events, moments; and into a store. */
#include "engine.h"
#include "host.h"

struct valori_log {
	const struct vl_env *env;
	struct vl_reader *reader;
	struct vl_reader_options options; /* of the reader; path and archive are the log's own copies */
	char *texts;                      /* path and archive, one after the other */
	size_t texts_size;
	struct vl_replica checker; /* blind */
	struct vl_position before; /* of the commit given last */
	struct vl_commit commit;   /* given last */
	bool has_commit;
	uint32_t next_event, next_request; /* in its order */
	uint64_t next_offset;
};

static void copy_path(const char *path, char **at, const char **out)
{
	size_t size;

	if (path == NULL)
		return;
	size = strlen(path) + 1;
	memcpy(*at, path, size);
	*out = *at;
	*at += size;
}

static valori_code open_log(const struct vl_reader_options *options, valori_log **out, valori_error *error)
{
	const struct vl_env *env = vl_host_env();
	const char *texts[] = {options->path, options->archive, options->name};
	valori_log *log = vl_alloc(env, sizeof(*log));
	char *at;
	valori_code code;

	*out = NULL;
	if (log == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	memset(log, 0, sizeof(*log));
	log->env = env;
	log->options = *options;
	vl_replica_init_blind(&log->checker, env, 0);
	for (size_t i = 0; i < 3; i++)
		log->texts_size += texts[i] != NULL ? strlen(texts[i]) + 1 : 0;
	log->texts = at = vl_alloc(env, log->texts_size + 1);
	if (at == NULL) {
		code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		goto fail;
	}
	copy_path(options->path, &at, &log->options.path);
	copy_path(options->archive, &at, &log->options.archive);
	copy_path(options->name, &at, &log->options.name);
	code = vl_reader_open(env, &vl_os_real, &log->options, &log->reader, error);
	if (code != VALORI_OK)
		goto fail;
	log->checker.dim = vl_reader_base(log->reader)->dim;
	log->before = *vl_reader_position(log->reader);
	*out = log;
	return VALORI_OK;
fail:
	valori_log_close(log);
	return code;
}

valori_code valori_log_open(const char *path, const char *archive, uint32_t flags, valori_log **out,
			    valori_error *error)
{
	struct vl_reader_options options = {
		.path = path,
		.archive = archive,
		.fd = -1,
		.follow = (flags & VALORI_LOG_FOLLOW) != 0,
		.again = (flags & VALORI_LOG_AGAIN) != 0,
	};

	*out = NULL;
	if (path == NULL || (flags & ~(uint32_t)(VALORI_LOG_FOLLOW | VALORI_LOG_AGAIN)) != 0)
		return vl_fail(error, VALORI_INVALID, "no path given, or unknown flags");
	return open_log(&options, out, error);
}

valori_code valori_log_open_fd(int fd, const char *name, valori_log **out, valori_error *error)
{
	struct vl_reader_options options = {.fd = fd, .name = name != NULL ? name : "standard input"};

	return open_log(&options, out, error);
}

valori_code valori_log_open_live(int fd, const char *name, valori_log **out, valori_error *error)
{
	struct vl_reader_options options = {
		.fd = fd, .name = name != NULL ? name : "standard input", .live = true};

	return open_log(&options, out, error);
}

void valori_log_close(valori_log *log)
{
	const struct vl_env *env;

	if (log == NULL)
		return;
	env = log->env;
	vl_reader_close(log->reader);
	vl_replica_free(&log->checker);
	vl_release(env, log->texts, log->texts_size + 1);
	vl_release(env, log, sizeof(*log));
}

valori_code valori_log_get_info(valori_log *log, valori_log_info *out, valori_error *error)
{
	const struct vl_position *base = vl_reader_base(log->reader);
	valori_log_info info = {.size = out->size,
				.version = VALORI_LOG_FORMAT,
				.dim = base->dim,
				.base_commit = base->frontier.size,
				.base_event = base->height,
				.base_time_ms = base->time_ms,
				.parent_commit = base->parent_commits};

	if (out->size < offsetof(valori_log_info, base_commit))
		return vl_fail(error, VALORI_INVALID, "valori_log_info: size is not set");
	memcpy(info.log_id.bytes, base->log_id, VL_HASH_SIZE);
	memcpy(info.base_root.bytes, base->state_root, VL_HASH_SIZE);
	memcpy(info.parent_id.bytes, base->parent_id, VL_HASH_SIZE);
	memcpy(info.parent_root.bytes, base->parent_root, VL_HASH_SIZE);
	vl_frontier_root(&base->frontier, log->env->kernels, info.base_tree_root.bytes);
	memcpy(out, &info, out->size < sizeof(info) ? out->size : sizeof(info));
	return VALORI_OK;
}

valori_code valori_log_seek(valori_log *log, uint64_t event, valori_error *error)
{
	valori_code code = vl_reader_seek(log->reader, event, error);

	log->has_commit = false;
	return code;
}

/* ---- Commits ---- */

valori_code valori_log_next(valori_log *log, valori_commit_view *out, valori_error *error)
{
	valori_code code;

	log->has_commit = false;
	log->before = *vl_reader_position(log->reader);
	code = vl_reader_next(log->reader, &log->commit, error);
	if (code != VALORI_OK)
		return code;
	code = vl_replica_put(&log->checker, &log->commit, error);
	if (code == VALORI_OK)
		code = vl_replica_flush(&log->checker, error);
	if (code == VALORI_MISMATCH) {
		/* Here it is the file that is not sound; who did it is for valori_verify to say. */
		code = VALORI_DAMAGED;
		if (error != NULL)
			error->code = code;
	}
	if (code != VALORI_OK)
		return code;
	log->has_commit = true;
	log->next_event = log->next_request = 0;
	log->next_offset = 0;
	*out = (valori_commit_view){.number = log->commit.number,
				    .first_event = log->commit.first_event,
				    .time_ms = log->commit.time_ms,
				    .event_count = log->commit.event_count,
				    .request_count = log->commit.request_count,
				    .offset = log->commit.offset,
				    .path = log->commit.path,
				    .bytes = log->commit.bytes,
				    .size = log->commit.size};
	memcpy(out->state_root.bytes, log->commit.state_root, VL_HASH_SIZE);
	vl_frontier_root(&vl_reader_position(log->reader)->frontier, log->env->kernels, out->tree_root.bytes);
	return VALORI_OK;
}

uint64_t valori_log_torn_size(const valori_log *log)
{
	return vl_reader_torn_size(log->reader);
}

valori_code valori_log_header(valori_log *log, uint8_t out[4096], valori_error *error)
{
	(void)error;
	vl_segment_header_encode(&log->before, log->env->kernels, out);
	return VALORI_OK;
}

/* ---- Events ---- */

static const uint8_t *request_entry(const valori_log *log, uint32_t index)
{
	return log->commit.requests + (size_t)index * VL_REQUEST_ENTRY;
}

static void give_event(valori_log *log, const struct vl_event *event, valori_event *out)
{
	*out = (valori_event){.number = log->commit.first_event + log->next_event,
			      .type = event->type,
			      .salted = event->flags & VL_EVENT_SALTED,
			      .id = event->id,
			      .tag = event->type == VALORI_EVENT_CONFIG ? 0 : event->tag,
			      .record = event->record,
			      .from = event->from,
			      .to = event->to,
			      .collection = event->collection,
			      .kind = event->kind,
			      .key_size = event->key_size,
			      .parameter = event->parameter,
			      .value = event->type == VALORI_EVENT_CONFIG ? event->tag : 0};
	if (event->key_size > 0)
		out->key = (const char *)event->key;
	if (event->metadata_size != VL_ABSENT) {
		out->metadata = event->metadata;
		out->metadata_size = event->metadata_size;
	}
	if (event->type == VALORI_EVENT_INSERT)
		out->vector = event->vector;
	if ((event->flags & VL_EVENT_SALTED) != 0)
		out->salt = event->salt;
	while (log->next_request < log->commit.request_count &&
	       vl_get32(request_entry(log, log->next_request)) < log->next_event)
		log->next_request++;
	if (log->next_request < log->commit.request_count &&
	    vl_get32(request_entry(log, log->next_request)) == log->next_event)
		out->request = request_entry(log, log->next_request) + 8;
}

valori_code valori_log_event(valori_log *log, uint32_t index, valori_event *out, valori_error *error)
{
	if (!log->has_commit || index >= log->commit.event_count)
		return vl_fail(error, VALORI_INVALID, "there is no event %u in this commit", index);
	if (index < log->next_event) {
		log->next_event = log->next_request = 0;
		log->next_offset = 0;
	}
	for (;;) {
		struct vl_event event;
		size_t used;
		valori_code code = vl_event_decode(log->env->kernels, log->commit.events + log->next_offset,
						   (size_t)(log->commit.events_size - log->next_offset),
						   log->checker.dim, &event, &used, error);

		if (code != VALORI_OK)
			return code;
		if (log->next_event == index)
			give_event(log, &event, out);
		log->next_event++;
		log->next_offset += used;
		if (log->next_event > index)
			return VALORI_OK;
	}
}

/* ---- Moments ---- */

/* Remembers the last commit that is the moment. */
static valori_code scan(valori_log *log, struct vl_reader *reader, const valori_when *when, uint64_t *out,
			valori_error *error)
{
	const struct vl_position *base = vl_reader_base(reader);
	struct vl_commit commit;
	bool is_found;
	valori_code code;

	is_found = when->kind == VALORI_WHEN_ROOT ? memcmp(base->state_root, when->root.bytes, VL_HASH_SIZE) == 0
						  : when->kind == VALORI_WHEN_LATEST || base->time_ms <= when->value;
	*out = VALORI_NONE;
	while ((code = vl_reader_next(reader, &commit, error)) == VALORI_OK) {
		if (when->kind == VALORI_WHEN_TIME && commit.time_ms > when->value)
			break;
		if (when->kind == VALORI_WHEN_ROOT && memcmp(commit.state_root, when->root.bytes, VL_HASH_SIZE) != 0)
			continue;
		*out = commit.number;
		is_found = true;
	}
	if (code != VALORI_OK && code != VALORI_END)
		return code;
	if (is_found)
		return VALORI_OK;
	if (base->height > 0)
		return vl_fail(error, VALORI_UNKNOWABLE,
			       "%s: that moment is not after event %llu, and what was before was trimmed",
			       log->options.path, (unsigned long long)base->height);
	return vl_fail(error, VALORI_NOT_FOUND, "%s: there was no such moment", log->options.path);
}

static valori_code find_height(valori_log *log, struct vl_reader *reader, uint64_t height, uint64_t *out,
			       valori_error *error)
{
	struct vl_commit commit;
	valori_code code;

	*out = VALORI_NONE;
	if (height == vl_reader_base(reader)->height)
		return VALORI_OK;
	/* Event number height - 1 is the last that counts. 0 is then before every base but the first. */
	code = vl_reader_seek(reader, height == 0 ? 0 : height - 1, error);
	if (code == VALORI_OK)
		code = vl_reader_next(reader, &commit, error);
	if (code == VALORI_OK)
		*out = commit.number;
	if (code == VALORI_END || code == VALORI_NOT_FOUND)
		return vl_fail(error, VALORI_NOT_FOUND, "%s: has fewer than %llu events", log->options.path,
			       (unsigned long long)height);
	return code;
}

valori_code valori_log_find(valori_log *log, const valori_when *when, uint64_t *out_commit, valori_error *error)
{
	struct vl_reader_options options = log->options;
	struct vl_reader *reader;
	uint64_t commit = VALORI_NONE;
	valori_code code;

	if (options.path == NULL)
		return vl_fail(error, VALORI_INVALID, "%s: a stream cannot be searched", options.name);
	if (when->kind > VALORI_WHEN_TIME)
		return vl_fail(error, VALORI_INVALID, "unknown kind of moment %u", when->kind);
	options.follow = options.again = false;
	code = vl_reader_open(log->env, &vl_os_real, &options, &reader, error);
	if (code != VALORI_OK)
		return code;
	if (when->kind == VALORI_WHEN_HEIGHT)
		code = find_height(log, reader, when->value, &commit, error);
	else
		code = scan(log, reader, when, &commit, error);
	vl_reader_close(reader);
	if (code == VALORI_OK)
		*out_commit = commit;
	return code;
}

/* ---- Into a store ---- */

valori_code valori_replicate(valori *store, valori_log *log, const valori_commit_view *commit, int *out_new,
			     valori_error *error)
{
	return vl_engine_replicate(store, vl_reader_base(log->reader), commit, out_new, error);
}
