/* log_read.c - segments and commits, one after the other: what counts, what is torn, damaged, missing. */
#include "log_private.h"

#include <errno.h>

enum {
	WINDOW_SIZE = 256 << 10, /* at first; doubled when a commit is larger and its bytes are really there */
	SCAN_SIZE = 16 << 10,    /* of a tail, at a time */
	SKIP_SIZE = 64 << 10,    /* a commit above this is not read when it is only passed by */
	SETTLE_TRIES = 8,        /* looks at a directory in which files are being renamed */
	WAIT_MS_MAX = 50         /* between two looks at the head of a log that is followed */
};

enum kind { STORE, ONE_SEGMENT, STREAM };

/* One file, open, with what its header says. */
struct segment {
	int fd;
	char *path;
	size_t path_size; /* of the block */
	struct vl_position start;
};

struct vl_reader {
	const struct vl_env *env;
	const struct vl_os *os;
	const struct vl_kernels *kernels;
	enum kind kind;
	bool follow, again, live, ignore_head;
	struct vl_names names; /* not of a stream */
	char *archive;         /* or NULL */
	size_t archive_size;

	struct segment segment; /* being read; of a stream fd and start count */
	const char *name;       /* of the file or stream, for messages */
	uint64_t end;           /* of the last commit given, in that file */
	uint8_t prefix[VL_READER_PREFIX]; /* of a stream: what comes before its next byte */
	size_t prefix_size;
	struct vl_position base, position;
	uint64_t segment_count, torn_size;
	bool is_unhashed;   /* the frontier's roots are not those of the position */
	valori_code broken; /* a stream cannot be read again: what its end was */

	/* data[begin...size) are the bytes of the file from `end` on */
	uint8_t *data;
	size_t capacity, size, begin;

	bool has_head;
	struct vl_head head;
	char note[240];
	char fault_name[256]; /* the file that the last failure is about, when it is not the one being read; or "" */
	struct vl_buf list; /* of first events of sealed segments */
};

/* ---- small ones ---- */

static bool is_bounded(const struct vl_reader *reader)
{
	return reader->kind == STORE && reader->has_head && !reader->head.is_partial && !reader->ignore_head;
}

/* Are commits acknowledged that have not been read yet? */
static bool is_below_head(const struct vl_reader *reader)
{
	return reader->has_head && reader->position.frontier.size < reader->head.commits;
}

/* Says where: "path: offset 4096: event 17: " before the fact. */
static valori_code place(struct vl_reader *reader, valori_error *error, valori_code code)
{
	char where[160];

	reader->fault_name[0] = '\0';
	if (error == NULL)
		return code;
	vl_format(where, sizeof(where), "%s: offset %llu: event %llu", reader->name, (unsigned long long)reader->end,
		  (unsigned long long)reader->position.height);
	vl_fail_in(error, code, where);
	error->code = (int32_t)code;
	error->offset = reader->end;
	error->event = reader->position.height;
	return code;
}

static valori_code no_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

static void segment_close(const struct vl_reader *reader, struct segment *segment)
{
	if (segment->fd >= 0)
		reader->os->close(reader->os->context, segment->fd);
	vl_release(reader->env, segment->path, segment->path_size);
	segment->fd = -1;
	segment->path = NULL;
	segment->path_size = 0;
}

/* ---- the head ---- */

/* Reads the head file; what is wrong with it becomes the note. NEWER and IO are errors. */
static valori_code look_at_head(struct vl_reader *reader, valori_error *error)
{
	struct vl_head head;
	valori_error why;
	valori_code code = vl_head_read(reader->os, reader->kernels, reader->names.head, &head, &why);
	struct vl_os_stat found;

	if (code == VALORI_OK && memcmp(head.log_id, reader->base.log_id, 32) == 0) {
		reader->head = head;
		reader->has_head = true;
		if (head.is_partial)
			vl_format(reader->note, sizeof(reader->note),
				  "%s: one of its two slots is damaged, and not used", reader->names.head);
		return VALORI_OK;
	}
	if (code == VALORI_OK) {
		vl_format(reader->note, sizeof(reader->note), "%s: is not used: it belongs to another log",
			  reader->names.head);
		return VALORI_OK;
	}
	if (code != VALORI_NOT_FOUND) {
		if (error != NULL)
			*error = why;
		return code;
	}
	if (reader->os->stat_path(reader->os->context, reader->names.head, &found) == 0)
		vl_format(reader->note, sizeof(reader->note), "%s", why.message);
	return VALORI_OK;
}

/* The log has come to the commit that the head names: they should agree. */
static void compare_head(struct vl_reader *reader)
{
	uint8_t root[32];

	if (!reader->has_head || reader->position.frontier.size != reader->head.commits)
		return;
	vl_frontier_root(&reader->position.frontier, reader->kernels, root);
	if (memcmp(root, reader->head.tree_root, 32) != 0)
		vl_format(reader->note, sizeof(reader->note),
			  "%s: names another history of this log: its tree root differs", reader->names.head);
}

/* ---- finding segments ---- */

/*
 * Opens the file and reads its header. NOT_FOUND: there is none, or it is empty. Takes path over, also on
 * failure.
 */
static valori_code segment_open(struct vl_reader *reader, char *path, size_t path_size, struct segment *out,
				valori_error *error)
{
	const struct vl_os *os = reader->os;
	uint8_t header[VL_SEGMENT_HEADER];
	valori_code code;
	int64_t count;

	memset(out, 0, sizeof(*out));
	out->path = path;
	out->path_size = path_size;
	out->fd = os->open(os->context, path, VL_OS_READ);
	if (out->fd == -ENOENT || out->fd == -ENOTDIR) {
		code = vl_fail(error, VALORI_NOT_FOUND, "%s: is missing", path);
		goto fail;
	}
	if (out->fd < 0) {
		code = vl_fail_system(error, out->fd, path, "cannot be opened");
		goto fail;
	}
	count = vl_os_pread_all(os, out->fd, header, sizeof(header), 0);
	if (count < 0)
		code = vl_fail_system(error, (int)count, path, "cannot be read");
	else if (count == 0)
		code = vl_fail(error, VALORI_NOT_FOUND, "%s: is empty", path);
	else if (count < 8 || (count < VL_SEGMENT_HEADER && memcmp(header, "VALORIEV", 8) != 0))
		code = vl_fail(error, VALORI_NOT_OURS, "%s: is not an event log", path);
	else if (count < VL_SEGMENT_HEADER)
		code = vl_fail(error, VALORI_DAMAGED, "%s: offset 0: ends inside the segment header", path);
	else
		code = vl_segment_header_decode(header, path, reader->kernels, &out->start, error);
	if (code == VALORI_DAMAGED && count < VL_SEGMENT_HEADER && error != NULL)
		error->offset = 0;
	if (code == VALORI_OK)
		return code;
fail:
	if (code != VALORI_NOT_FOUND)
		vl_format(reader->fault_name, sizeof(reader->fault_name), "%s", path);
	segment_close(reader, out);
	return code;
}

static valori_code open_live(struct vl_reader *reader, struct segment *out, valori_error *error)
{
	size_t size = strlen(reader->names.live) + 1;
	char *path = vl_alloc(reader->env, size);

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	if (path == NULL)
		return no_memory(error);
	memcpy(path, reader->names.live, size);
	return segment_open(reader, path, size, out, error);
}

/* The sealed segment of that name; its header must say the same. */
static valori_code open_sealed(struct vl_reader *reader, const char *directory, uint64_t first_event,
			       struct segment *out, valori_error *error)
{
	size_t size;
	char *path = vl_sealed_path(reader->env, directory, reader->names.stem, first_event, &size);
	valori_code code;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	if (path == NULL)
		return no_memory(error);
	code = segment_open(reader, path, size, out, error);
	if (code == VALORI_NOT_OURS && error != NULL) {
		error->code = VALORI_DAMAGED;
		error->offset = 0;
	}
	if (code == VALORI_NOT_OURS)
		return VALORI_DAMAGED;
	if (code != VALORI_OK || out->start.height == first_event)
		return code;
	code = vl_fail(error, VALORI_DAMAGED, "%s: begins with event %llu, not with that of its name", out->path,
		       (unsigned long long)out->start.height);
	if (error != NULL)
		error->offset = 144;
	vl_format(reader->fault_name, sizeof(reader->fault_name), "%s", out->path);
	segment_close(reader, out);
	return code;
}

/* What the live file's header says, for deciding what a missing segment means. */
struct live {
	bool is_there, begins_log; /* its first commit is the log's first */
	uint64_t first_event;
	uint8_t log_id[32];
};

static void live_take(struct live *live, const struct vl_position *start)
{
	live->is_there = true;
	live->begins_log = start->frontier.size == 0;
	live->first_event = start->height;
	memcpy(live->log_id, start->log_id, 32);
}

/* Opens the live file for a look at its header only. */
static valori_code look_at_live(struct vl_reader *reader, struct live *live, valori_error *error)
{
	struct segment segment;
	valori_code code = open_live(reader, &segment, error);

	memset(live, 0, sizeof(*live));
	if (code == VALORI_OK) {
		live_take(live, &segment.start);
		segment_close(reader, &segment);
	}
	return code;
}

/*
 * The segment that begins with first_event: the live file, or a sealed one here or in the archive. While we
 * look, the live file may be given its sealed name and be replaced by a new one, in this order, so that a
 * second look finds what the first one missed.
 */
static valori_code find_segment(struct vl_reader *reader, uint64_t first_event, struct segment *out,
				struct live *live, valori_error *error)
{
	valori_code code = VALORI_NOT_FOUND;

	for (int tries = 0; tries < 2; tries++) {
		valori_error why;
		valori_code live_code = open_live(reader, out, &why);

		memset(live, 0, sizeof(*live));
		if (live_code == VALORI_OK) {
			live_take(live, &out->start);
			if (out->start.height == first_event)
				return VALORI_OK;
			segment_close(reader, out);
		}
		code = open_sealed(reader, reader->names.directory, first_event, out, error);
		if (code == VALORI_NOT_FOUND && reader->archive != NULL)
			code = open_sealed(reader, reader->archive, first_event, out, error);
		if (code != VALORI_NOT_FOUND)
			return code;
		if (live_code != VALORI_OK && live_code != VALORI_NOT_FOUND) { /* it may be the one: nobody can say */
			if (error != NULL)
				*error = why;
			return live_code;
		}
	}
	return code;
}

/*
 * Of all segments that are there: how many, the first event of the first, and of the first behind `after`;
 * VALORI_NONE.
 */
struct survey {
	uint64_t count, first, next;
};

static void survey_add(struct survey *survey, uint64_t first_event, uint64_t after)
{
	survey->count++;
	if (first_event < survey->first)
		survey->first = first_event;
	if (first_event > after && first_event < survey->next)
		survey->next = first_event;
}

static bool list_has(const struct vl_buf *list, uint64_t first_event)
{
	for (size_t i = 0; i + 8 <= list->size; i += 8)
		if (memcmp(list->data + i, &first_event, 8) == 0)
			return true;
	return false;
}

static valori_code survey_segments(struct vl_reader *reader, uint64_t after, const struct live *live,
				   struct survey *out, valori_error *error)
{
	const char *directories[] = {reader->names.directory, reader->archive};
	bool live_is_sealed = false;

	out->count = 0;
	out->first = out->next = VALORI_NONE;
	/* Nothing comes before it: sealed ones are those of the store that an interrupted restore has replaced. */
	if (live->is_there && live->begins_log) {
		survey_add(out, live->first_event, after);
		return VALORI_OK;
	}
	for (size_t i = 0; i < 2 && directories[i] != NULL; i++) {
		valori_code code = vl_sealed_list(reader->os, directories[i], reader->names.stem, &reader->list, error);

		if (code != VALORI_OK)
			return code;
		for (size_t at = 0; at + 8 <= reader->list.size; at += 8) {
			uint64_t first_event;

			memcpy(&first_event, reader->list.data + at, 8);
			survey_add(out, first_event, after);
		}
		if (live->is_there && list_has(&reader->list, live->first_event))
			live_is_sealed = true;
	}
	if (live->is_there && !live_is_sealed)
		survey_add(out, live->first_event, after);
	return VALORI_OK;
}

/* Goes on with this segment, which is taken over. */
static void enter(struct vl_reader *reader, struct segment *segment)
{
	segment_close(reader, &reader->segment);
	reader->segment = *segment;
	reader->name = segment->path;
	reader->end = VL_SEGMENT_HEADER;
	reader->begin = reader->size = 0;
	reader->fault_name[0] = '\0';
}

/* ---- bytes ---- */

/*
 * Up to which byte of the file may be read: of a live log no further than what is acknowledged. What lies
 * behind it may be cut off and written anew at any time, so it must not even be kept in the window.
 */
static uint64_t read_limit(const struct vl_reader *reader)
{
	if (is_bounded(reader) && reader->head.segment_first_event == reader->segment.start.height)
		return reader->head.offset;
	return UINT64_MAX;
}

static bool window_grow(struct vl_reader *reader)
{
	size_t capacity = reader->capacity == 0 ? WINDOW_SIZE : reader->capacity * 2;
	uint8_t *data = vl_alloc(reader->env, capacity);

	if (data == NULL)
		return false;
	if (reader->size > 0)
		memcpy(data, reader->data, reader->size);
	vl_release(reader->env, reader->data, reader->capacity);
	reader->data = data;
	reader->capacity = capacity;
	return true;
}

static int64_t read_bytes(struct vl_reader *reader, uint8_t *data, size_t size, uint64_t offset)
{
	const struct vl_os *os = reader->os;

	if (reader->kind == STREAM && reader->prefix_size > 0) {
		size = size < reader->prefix_size ? size : reader->prefix_size;
		memcpy(data, reader->prefix, size);
		reader->prefix_size -= size;
		memmove(reader->prefix, reader->prefix + size, reader->prefix_size);
		return (int64_t)size;
	}
	if (reader->kind == STREAM)
		return os->read(os->context, reader->segment.fd, data, size);
	return os->pread(os->context, reader->segment.fd, data, size, offset);
}

/*
 * Makes the window hold `need` bytes from `end` on, or all there are: *available. Only what has arrived makes
 * it grow.
 */
static valori_code fill(struct vl_reader *reader, uint64_t need, uint64_t *available, valori_error *error)
{
	uint64_t limit = read_limit(reader);

	if (reader->size - reader->begin < need && reader->begin > 0) {
		memmove(reader->data, reader->data + reader->begin, reader->size - reader->begin);
		reader->size -= reader->begin;
		reader->begin = 0;
	}
	while (reader->size - reader->begin < need) {
		uint64_t offset = reader->end + reader->size, room;
		int64_t count;

		if (offset >= limit)
			break;
		if (reader->size == reader->capacity && !window_grow(reader))
			return no_memory(error);
		room = reader->capacity - reader->size;
		count = read_bytes(reader, reader->data + reader->size,
				   (size_t)(room < limit - offset ? room : limit - offset), offset);
		if (count < 0)
			return vl_fail_system(error, (int)count, reader->name, "cannot be read");
		if (count == 0)
			break;
		reader->size += (size_t)count;
	}
	*available = reader->size - reader->begin;
	return VALORI_OK;
}

/* ---- the end ---- */

/*
 * What lies behind the last commit: how many bytes without the zeros at its end, and whether a commit header is
 * among them.
 */
struct tail {
	uint64_t size;
	bool has_header;
};

/*
 * Looks at a piece of the tail that begins at file offset `at`; a header is looked for from scan_from on.
 * Returns bytes to keep for the next piece: those that may be the beginning of a header.
 */
static size_t tail_look(const struct vl_reader *reader, const uint8_t *data, size_t size, uint64_t at,
			uint64_t scan_from, struct tail *tail)
{
	size_t i = 0;

	for (size_t last = size; last > 0; last--)
		if (data[last - 1] != 0) {
			tail->size = at + last - reader->end;
			break;
		}
	for (; i + VL_COMMIT_HEADER <= size; i += 8)
		if (!tail->has_header && at + i >= scan_from &&
		    vl_commit_header_plausible(data + i, reader->position.frontier.size, reader->kernels))
			tail->has_header = true;
	return size - i;
}

/* Reads all that is left. A stream is used up by this. */
static valori_code tail_read(struct vl_reader *reader, uint64_t scan_from, struct tail *tail, valori_error *error)
{
	uint8_t data[SCAN_SIZE + VL_COMMIT_HEADER];
	uint64_t at = reader->end; /* of data[0] in the file */
	size_t held = 0;           /* in data */
	bool is_window = true;     /* the window's bytes come first: a stream gives them only once */

	memset(tail, 0, sizeof(*tail));
	for (;;) {
		size_t left = reader->size - reader->begin, size = sizeof(data) - held, keep;
		int64_t count;

		if (is_window && left > 0) {
			count = (int64_t)(left < size ? left : size);
			memcpy(data + held, reader->data + reader->begin, (size_t)count);
			reader->begin += (size_t)count;
		} else {
			is_window = false;
			count = read_bytes(reader, data + held, size, at + held);
		}
		if (count < 0)
			return vl_fail_system(error, (int)count, reader->name, "cannot be read");
		if (count == 0)
			break;
		held += (size_t)count;
		keep = tail_look(reader, data, held, at, scan_from, tail);
		memmove(data, data + held - keep, keep);
		at += held - keep;
		held = keep;
	}
	/* A file's bytes can be read again from `end` on; a stream has ended. */
	reader->begin = reader->size = 0;
	return VALORI_OK;
}

static valori_code end_here(struct vl_reader *reader, uint64_t torn_size)
{
	reader->torn_size = torn_size;
	if (reader->kind == STREAM)
		reader->broken = VALORI_END;
	return VALORI_END;
}

/* Fewer commits than were acknowledged. */
static valori_code missing_end(struct vl_reader *reader, valori_error *error)
{
	uint64_t height = reader->position.height;

	reader->fault_name[0] = '\0';
	vl_fail(error, VALORI_MISSING,
		"%s: ends at event %llu, but events up to %llu were acknowledged; to copy a live store, use "
		"valori-snapshot or valori-replay -o",
		reader->name, (unsigned long long)height, (unsigned long long)reader->head.height);
	if (error != NULL) {
		error->offset = reader->end;
		error->event = height;
	}
	return VALORI_MISSING;
}

/* The segments between this one and those that are there are not. */
static valori_code gap(struct vl_reader *reader, const struct survey *survey, valori_error *error)
{
	uint64_t height = reader->position.height;

	reader->fault_name[0] = '\0';
	/* Not even the segment just read is there any more: somebody trims the log while it is read. */
	if (survey->first > reader->segment.start.height)
		return vl_fail(error, VALORI_UNKNOWABLE, "%s: history before event %llu was trimmed",
			       reader->names.live, (unsigned long long)survey->first);
	vl_fail(error, VALORI_MISSING,
		"%s: ends at event %llu, and the next segment begins with %llu: what is between is missing",
		reader->name, (unsigned long long)height, (unsigned long long)survey->next);
	if (error != NULL) {
		error->offset = reader->end;
		error->event = height;
	}
	return VALORI_MISSING;
}

/* What segments are there, and is there one behind the one being read? */
static valori_code look_behind(struct vl_reader *reader, struct survey *out, valori_error *error)
{
	struct live live;
	valori_code code = look_at_live(reader, &live, error);

	/* A file that is not there, or is no segment, is no news; one that could not be looked at may be. */
	if (code == VALORI_IO || code == VALORI_NO_MEMORY)
		return code;
	return survey_segments(reader, reader->segment.start.height, &live, out, error);
}

/* Reading was cut short by the head's word about where the log ends, while the file goes on. */
static bool head_lies(const struct vl_reader *reader)
{
	struct vl_os_stat found;

	return is_bounded(reader) && read_limit(reader) != UINT64_MAX &&
	       reader->os->stat(reader->os->context, reader->segment.fd, &found) == 0 &&
	       found.size > read_limit(reader);
}

/*
 * An invalid commit lies at `end`: torn tail or damage? error holds the fact. is_cut: the file just ends inside
 * it. A header behind scan_from would prove that more was written after it.
 */
static valori_code judge(struct vl_reader *reader, bool is_cut, uint64_t scan_from, valori_error *error)
{
	struct survey survey = {.next = VALORI_NONE};
	valori_error fact = {0};
	struct tail tail;
	valori_code code;

	if (error != NULL)
		fact = *error;
	if (reader->kind == STORE)
		code = look_behind(reader, &survey, error);
	else
		code = VALORI_OK;
	if (code != VALORI_OK)
		return code;
	if (error != NULL)
		*error = fact;
	if (is_cut && survey.next != VALORI_NONE)
		return gap(reader, &survey, error);
	if (is_cut && is_below_head(reader) && !head_lies(reader))
		return missing_end(reader, error);
	if (is_cut && is_below_head(reader))
		vl_fail(error, VALORI_DAMAGED, "the log does not end where its head file says");
	if (is_below_head(reader) || survey.next != VALORI_NONE)
		return place(reader, error, VALORI_DAMAGED);
	if (reader->live && !is_cut) {
		reader->broken = VALORI_DAMAGED;
		return place(reader, error, VALORI_DAMAGED);
	}
	code = tail_read(reader, scan_from, &tail, error);
	if (code != VALORI_OK)
		return code;
	if ((reader->has_head && !reader->head.is_partial) || !tail.has_header)
		return end_here(reader, tail.size);
	if (reader->kind == STREAM)
		reader->broken = VALORI_DAMAGED;
	return place(reader, error, VALORI_DAMAGED);
}

/* A segment must begin where the one before it ended. */
static valori_code check_continues(struct vl_reader *reader, const struct segment *segment, valori_error *error)
{
	const char *difference;

	if (reader->is_unhashed)
		memcpy(reader->position.frontier.roots, segment->start.frontier.roots,
		       sizeof(segment->start.frontier.roots));
	difference = vl_position_difference(&segment->start, &reader->position);
	if (difference == NULL)
		return VALORI_OK;
	vl_format(reader->fault_name, sizeof(reader->fault_name), "%s", segment->path);
	if (memcmp(segment->start.log_id, reader->position.log_id, 32) != 0) {
		vl_fail(error, VALORI_OTHER_LOG, "%s: belongs to another log than %s", segment->path, reader->name);
		if (error != NULL)
			error->offset = 32;
		return VALORI_OTHER_LOG;
	}
	vl_fail(error, VALORI_DAMAGED, "%s: does not continue the segment before it: %s differs", segment->path,
		difference);
	if (error != NULL) {
		error->offset = 0;
		error->event = reader->position.height;
	}
	return VALORI_DAMAGED;
}

/* All commits of this segment were given: OK when there is another one, END when there is none. */
static valori_code next_segment(struct vl_reader *reader, valori_error *error)
{
	uint64_t height = reader->position.height;
	struct segment segment;
	struct survey survey;
	struct live live;
	valori_code code;

	if (reader->kind != STORE || height == reader->segment.start.height)
		return VALORI_END;
	for (int tries = 0; tries < SETTLE_TRIES; tries++) {
		code = find_segment(reader, height, &segment, &live, error);
		if (code == VALORI_OK) {
			code = check_continues(reader, &segment, error);
			if (code == VALORI_OK)
				enter(reader, &segment);
			else
				segment_close(reader, &segment);
			return code;
		}
		if (code != VALORI_NOT_FOUND)
			return code;
		if (live.is_there && memcmp(live.log_id, reader->base.log_id, 32) != 0)
			return vl_fail(error, VALORI_OTHER_LOG, "%s: was replaced by another log", reader->names.live);
		if (live.is_there && live.first_event == reader->segment.start.height)
			return VALORI_END;
		code = survey_segments(reader, height, &live, &survey, error);
		if (code != VALORI_OK)
			return code;
		if (survey.next == VALORI_NONE && !live.is_there)
			return VALORI_END;
		if (survey.next != VALORI_NONE && (!live.is_there || survey.next <= live.first_event))
			break;
	}
	if (survey.next != VALORI_NONE)
		return gap(reader, &survey, error);
	vl_format(reader->fault_name, sizeof(reader->fault_name), "%s", reader->names.live);
	vl_fail(error, VALORI_DAMAGED, "%s: begins with event %llu, which an earlier segment holds as well",
		reader->names.live, (unsigned long long)live.first_event);
	if (error != NULL)
		error->offset = 144;
	return VALORI_DAMAGED;
}

/* Everything acknowledged was given; what follows in the file is counted, not read. */
static valori_code end_at_head(struct vl_reader *reader, valori_error *error)
{
	uint8_t data[SCAN_SIZE];
	struct vl_os_stat found;
	uint64_t at;
	int code = reader->os->stat(reader->os->context, reader->segment.fd, &found);

	if (code < 0)
		return vl_fail_system(error, code, reader->name, "cannot be looked at");
	for (at = found.size; at > reader->end;) {
		size_t size = (size_t)(at - reader->end < SCAN_SIZE ? at - reader->end : SCAN_SIZE);
		int64_t count = vl_os_pread_all(reader->os, reader->segment.fd, data, size, at - size);

		if (count < 0)
			return vl_fail_system(error, (int)count, reader->name, "cannot be read");
		while (count > 0 && data[count - 1] == 0)
			count--;
		at = at - size + (uint64_t)count;
		if (count > 0)
			break;
	}
	return end_here(reader, at > reader->end ? at - reader->end : 0);
}

/* Has the head moved? Else END. */
static valori_code look_for_more(struct vl_reader *reader, valori_error *error)
{
	struct vl_head head;
	struct vl_os_stat found;
	valori_code code = vl_head_read(reader->os, reader->kernels, reader->names.head, &head, error);
	int result;

	if (code == VALORI_OK && memcmp(head.log_id, reader->base.log_id, 32) != 0)
		return vl_fail(error, VALORI_OTHER_LOG, "%s: was replaced by another log", reader->names.live);
	if (code != VALORI_OK && code != VALORI_NOT_FOUND)
		return code;
	if (code == VALORI_OK && head.commits > reader->position.frontier.size) {
		reader->head = head;
		reader->has_head = true;
		return VALORI_OK;
	}
	result = reader->os->stat(reader->os->context, reader->segment.fd, &found);
	if (result < 0)
		return vl_fail_system(error, result, reader->name, "cannot be looked at");
	if (found.size >= reader->end)
		return VALORI_END;
	vl_fail(error, VALORI_MISSING, "%s: was cut to %llu bytes under its reader, before event %llu", reader->name,
		(unsigned long long)found.size, (unsigned long long)reader->position.height);
	if (error != NULL)
		error->offset = found.size;
	return VALORI_MISSING;
}

static valori_code wait_for_more(struct vl_reader *reader, valori_error *error)
{
	unsigned pause = 1;

	for (;;) {
		valori_code code = look_for_more(reader, error);
		int result;

		if (code != VALORI_END)
			return code;
		result = reader->os->wait(reader->os->context, reader->segment.fd, pause);
		if (result < 0)
			return vl_fail_system(error, result, reader->name, "cannot be waited for");
		pause = pause * 2 < WAIT_MS_MAX ? pause * 2 : WAIT_MS_MAX;
	}
}

/* ---- commits ---- */

/* The header of the next commit, whatever file it is in. may_wait: at the end of a log that is followed. */
static valori_code peek(struct vl_reader *reader, bool may_wait, struct vl_commit *out, valori_error *error)
{
	for (;;) {
		uint64_t available;
		valori_code code;
		bool is_over;

		if (is_bounded(reader) && !is_below_head(reader)) {
			if (!may_wait && !reader->again)
				return end_at_head(reader, error);
			code = may_wait ? wait_for_more(reader, error) : look_for_more(reader, error);
			if (code == VALORI_END)
				return end_here(reader, 0);
			if (code != VALORI_OK)
				return code;
			continue;
		}
		code = fill(reader, VL_COMMIT_HEADER, &available, error);
		if (code != VALORI_OK)
			return code;
		is_over = available == 0;
		if (available >= VL_COMMIT_HEADER) {
			code = vl_commit_header_decode(reader->data + reader->begin, &reader->position, reader->kernels,
						       out, error);
			if (code == VALORI_OK)
				return code;
			if (code != VALORI_DAMAGED)
				return place(reader, error, code);
		}
		if (!is_over &&
		    vl_is_zero(reader->data + reader->begin,
			       (size_t)(available < VL_COMMIT_HEADER ? available : VL_COMMIT_HEADER)) &&
		    reader->kind != STREAM) {
			struct tail tail;

			code = tail_read(reader, UINT64_MAX, &tail, error);
			if (code != VALORI_OK)
				return code;
			is_over = tail.size == 0;
			vl_fail(error, VALORI_DAMAGED, "there are zeros, and no commit");
		}
		if (!is_over) {
			if (available < VL_COMMIT_HEADER)
				vl_fail(error, VALORI_DAMAGED, "ends inside the header of a commit");
			return judge(reader, available < VL_COMMIT_HEADER, reader->end + 8, error);
		}
		code = next_segment(reader, error);
		if (code == VALORI_OK)
			continue;
		if (code != VALORI_END)
			return code;
		if (reader->kind == STORE && is_below_head(reader))
			return missing_end(reader, error);
		if (!may_wait || reader->kind != STORE)
			return end_here(reader, 0);
		code = wait_for_more(reader, error);
		if (code != VALORI_OK)
			return code;
	}
}

static valori_code next(struct vl_reader *reader, bool may_wait, struct vl_commit *out, valori_error *error)
{
	uint64_t available;
	valori_code code;

	if (reader->broken != VALORI_OK)
		return reader->broken == VALORI_END
			       ? VALORI_END
			       : vl_fail(error, reader->broken, "%s: was found to be damaged before", reader->name);
	code = peek(reader, may_wait, out, error);
	if (code != VALORI_OK)
		return code;
	code = fill(reader, out->size, &available, error);
	if (code != VALORI_OK)
		return code;
	if (available < out->size) {
		vl_fail(error, VALORI_DAMAGED, "ends inside a commit");
		return judge(reader, true, reader->end + out->size, error);
	}
	code = vl_commit_decode(reader->data + reader->begin, out->size, &reader->position, reader->kernels, out,
				error);
	if (code != VALORI_OK)
		return judge(reader, false, reader->end + out->size, error);
	out->path = reader->name;
	out->offset = reader->end;
	vl_position_advance(&reader->position, out, reader->kernels);
	reader->begin += (size_t)out->size;
	reader->end += out->size;
	compare_head(reader);
	return VALORI_OK;
}

valori_code vl_reader_next(struct vl_reader *reader, struct vl_commit *out, valori_error *error)
{
	return next(reader, reader->follow, out, error);
}

/* ---- seeking ---- */

/* Reads size bytes of the file at offset: DAMAGED when they are not all there. */
static valori_code read_at(struct vl_reader *reader, uint8_t *data, size_t size, uint64_t offset, valori_error *error)
{
	int64_t count = vl_os_pread_all(reader->os, reader->segment.fd, data, size, offset);

	if (count < 0)
		return vl_fail_system(error, (int)count, reader->name, "cannot be read");
	if ((uint64_t)count < size)
		return vl_fail(error, VALORI_DAMAGED, "ends inside a commit");
	return VALORI_OK;
}

/*
 * The roots and, when leaves are wanted, the request table of a large commit, read from the file; *table to be
 * released.
 */
static valori_code read_ends(struct vl_reader *reader, struct vl_commit *commit, uint8_t *trailer, uint8_t **table,
			     valori_error *error)
{
	size_t table_size = (size_t)commit->request_count * VL_REQUEST_ENTRY;
	valori_code code =
		read_at(reader, trailer, VL_COMMIT_TRAILER, reader->end + commit->size - VL_COMMIT_TRAILER, error);

	if (code == VALORI_OK && !reader->is_unhashed && table_size > 0) {
		*table = vl_alloc(reader->env, table_size);
		code = *table == NULL ? no_memory(error)
				      : read_at(reader, *table, table_size, reader->end + VL_COMMIT_HEADER, error);
	}
	commit->requests = *table;
	commit->events_root = trailer;
	commit->state_root = trailer + 32;
	return code;
}

/* Passes a commit without looking at its events. */
static valori_code pass(struct vl_reader *reader, const struct vl_commit *header, valori_error *error)
{
	struct vl_commit commit = *header;
	uint8_t trailer[VL_COMMIT_TRAILER], *table = NULL;
	uint64_t available = 0;
	valori_code code = VALORI_OK;

	if (commit.size <= SKIP_SIZE)
		code = fill(reader, commit.size, &available, error);
	if (code == VALORI_OK && available >= commit.size)
		vl_commit_point(&commit, reader->data + reader->begin);
	else if (code == VALORI_OK)
		code = read_ends(reader, &commit, trailer, &table, error);
	if (code == VALORI_OK && reader->is_unhashed) {
		reader->position.height = commit.first_event + commit.event_count;
		reader->position.time_ms = commit.time_ms;
		reader->position.frontier.size = commit.number + 1;
		memcpy(reader->position.state_root, commit.state_root, 32);
	} else if (code == VALORI_OK) {
		vl_position_advance(&reader->position, &commit, reader->kernels);
	}
	vl_release(reader->env, table, (size_t)commit.request_count * VL_REQUEST_ENTRY);
	if (code == VALORI_DAMAGED)
		return judge(reader, true, reader->end + commit.size, error);
	if (code != VALORI_OK)
		return code;
	reader->end += commit.size;
	if (commit.size <= reader->size - reader->begin)
		reader->begin += (size_t)commit.size;
	else
		reader->begin = reader->size = 0;
	return VALORI_OK;
}

/* Enters the last segment that begins at or before event, if that is further on. */
static valori_code jump(struct vl_reader *reader, uint64_t event, valori_error *error)
{
	const char *directories[] = {reader->names.directory, reader->archive};
	uint64_t best = reader->position.height;
	struct segment segment;
	struct live live;
	valori_code code;

	(void)look_at_live(reader, &live, NULL);
	for (size_t i = 0; i < 2 && directories[i] != NULL && !(live.is_there && live.begins_log); i++) {
		code = vl_sealed_list(reader->os, directories[i], reader->names.stem, &reader->list, error);
		if (code != VALORI_OK)
			return code;
		for (size_t at = 0; at + 8 <= reader->list.size; at += 8) {
			uint64_t first_event;

			memcpy(&first_event, reader->list.data + at, 8);
			if (first_event > best && first_event <= event)
				best = first_event;
		}
	}
	if (live.is_there && live.first_event > best && live.first_event <= event)
		best = live.first_event;
	if (best == reader->position.height)
		return VALORI_OK;
	code = find_segment(reader, best, &segment, &live, error);
	if (code == VALORI_NOT_FOUND) /* renamed or trimmed just now: walking will tell */
		return VALORI_OK;
	if (code != VALORI_OK)
		return code;
	if (memcmp(segment.start.log_id, reader->base.log_id, 32) != 0) {
		code = vl_fail(error, VALORI_OTHER_LOG, "%s: belongs to another log than %s", segment.path,
			       reader->name);
		segment_close(reader, &segment);
		return code;
	}
	if (is_bounded(reader) && segment.start.frontier.size > reader->head.commits) {
		segment_close(reader, &segment);
		return VALORI_OK;
	}
	reader->position = segment.start;
	enter(reader, &segment);
	return VALORI_OK;
}

static valori_code check_forward(const struct vl_reader *reader, uint64_t event, valori_error *error)
{
	if (event < reader->base.height)
		return vl_fail(error, VALORI_UNKNOWABLE, "%s: history before event %llu was trimmed", reader->name,
			       (unsigned long long)reader->base.height);
	if (event < reader->position.height)
		return vl_fail(error, VALORI_INVALID, "%s: event %llu has been passed", reader->name,
			       (unsigned long long)event);
	return VALORI_OK;
}

/* Passes commits until the next one holds event. */
static valori_code walk(struct vl_reader *reader, uint64_t event, valori_error *error)
{
	valori_code code = reader->broken;

	while (code == VALORI_OK) {
		struct vl_commit commit;

		/* A position need not be looked for behind itself; an event must be: is it there? */
		if (reader->is_unhashed && reader->position.height == event)
			return VALORI_OK;
		code = peek(reader, false, &commit, error);
		if (code != VALORI_OK)
			break;
		if (commit.first_event + commit.event_count > event)
			return VALORI_OK;
		if (reader->kind == STREAM || (!reader->is_unhashed && commit.size <= SKIP_SIZE))
			code = next(reader, false, &commit, error);
		else
			code = pass(reader, &commit, error);
	}
	if (code != VALORI_END)
		return code;
	if (reader->position.height == event)
		return VALORI_OK;
	return vl_fail(error, VALORI_NOT_FOUND, "%s: ends at event %llu: there is no event %llu", reader->name,
		       (unsigned long long)reader->position.height, (unsigned long long)event);
}

valori_code vl_reader_seek(struct vl_reader *reader, uint64_t event, valori_error *error)
{
	valori_code code = check_forward(reader, event, error);

	if (code == VALORI_OK && reader->kind == STORE)
		code = jump(reader, event, error);
	if (code == VALORI_OK)
		code = walk(reader, event, error);
	return code;
}

/*
 * A snapshot holds only what was acknowledged. When it knows of more than the head, the head was read too early, or it
 * was not yet on the disk when the power went.
 */
static valori_code is_head_behind(struct vl_reader *reader, const struct vl_position *known, bool *out,
				  valori_error *error)
{
	valori_code code = VALORI_OK;

	if (is_bounded(reader) && reader->head.commits < known->frontier.size)
		code = look_at_head(reader, error);
	*out = is_bounded(reader) && reader->head.commits < known->frontier.size;
	return code;
}

valori_code vl_reader_seek_position(struct vl_reader *reader, const struct vl_position *known, valori_error *error)
{
	valori_code code = check_forward(reader, known->height, error);
	bool is_behind = false;

	if (reader->kind == STREAM)
		return vl_fail(error, VALORI_INVALID, "%s: is a stream", reader->name);
	if (memcmp(known->log_id, reader->base.log_id, 32) != 0)
		return vl_fail(error, VALORI_OTHER_LOG, "%s: is another log", reader->name);
	if (code == VALORI_OK)
		code = is_head_behind(reader, known, &is_behind, error);
	if (is_behind)
		reader->ignore_head = true; /* up to the position, not further */
	if (code == VALORI_OK && reader->kind == STORE)
		code = jump(reader, known->height, error);
	if (code == VALORI_OK) {
		reader->is_unhashed = true;
		code = walk(reader, known->height, error);
	}
	if (is_behind)
		reader->ignore_head = false;
	if (code != VALORI_OK)
		return code;
	if (reader->position.height != known->height || reader->position.frontier.size != known->frontier.size ||
	    reader->position.time_ms != known->time_ms ||
	    memcmp(reader->position.state_root, known->state_root, 32) != 0 || reader->position.dim != known->dim)
		return vl_fail(error, VALORI_OTHER_LOG, "%s: has another history before event %llu", reader->name,
			       (unsigned long long)known->height);
	reader->position = *known;
	reader->is_unhashed = false;
	return VALORI_OK;
}

/* ---- opening ---- */

static valori_code copy_text(const struct vl_env *env, const char *text, char **out, size_t *out_size,
			     valori_error *error)
{
	*out_size = strlen(text) + 1;
	*out = vl_alloc(env, *out_size);
	if (*out == NULL)
		return no_memory(error);
	memcpy(*out, text, *out_size);
	return VALORI_OK;
}

static valori_code open_stream(struct vl_reader *reader, const struct vl_reader_options *options, valori_error *error)
{
	uint64_t available;
	valori_code code = copy_text(reader->env, options->name != NULL ? options->name : "stream",
				     &reader->segment.path, &reader->segment.path_size, error);

	if (code != VALORI_OK)
		return code;
	reader->name = reader->segment.path;
	reader->segment.fd = options->fd;
	if (options->prefix_size > sizeof(reader->prefix))
		return vl_fail(error, VALORI_INVALID, "%s: too much was read already", reader->name);
	if (options->prefix_size > 0)
		memcpy(reader->prefix, options->prefix, options->prefix_size);
	reader->prefix_size = options->prefix_size;
	code = fill(reader, VL_SEGMENT_HEADER, &available, error);
	if (code != VALORI_OK)
		return code;
	if (available == 0)
		return vl_fail(error, VALORI_NOT_OURS, "%s: is empty, and not an event log", reader->name);
	if (available < 8 || (available < VL_SEGMENT_HEADER && memcmp(reader->data, "VALORIEV", 8) != 0))
		return vl_fail(error, VALORI_NOT_OURS, "%s: is not an event log", reader->name);
	if (available < VL_SEGMENT_HEADER) {
		vl_fail(error, VALORI_DAMAGED, "%s: offset 0: ends inside the segment header", reader->name);
		if (error != NULL)
			error->offset = 0;
		return VALORI_DAMAGED;
	}
	code = vl_segment_header_decode(reader->data, reader->name, reader->kernels, &reader->segment.start, error);
	reader->begin = reader->end = VL_SEGMENT_HEADER;
	reader->segment_count = 1;
	return code;
}

/* Is path a sealed segment? Then *stem_size is what of its last component is the stem. */
static bool is_sealed_path(const struct vl_reader *reader, const char *path, size_t *base, size_t *stem_size)
{
	size_t size = strlen(path), tail = 1 + VL_SEALED_DIGITS + 4;
	struct vl_os_stat found;

	for (*base = size; *base > 0 && path[*base - 1] != '/'; (*base)--)
		;
	if (size - *base <= tail || path[size - tail] != '-' || memcmp(path + size - 4, ".log", 4) != 0)
		return false;
	for (size_t i = size - tail + 1; i < size - 4; i++)
		if (path[i] < '0' || path[i] > '9')
			return false;
	*stem_size = size - *base - tail;
	return reader->os->stat_path(reader->os->context, path, &found) == 0 && found.is_regular;
}

/* One sealed segment: its neighbours are not looked at; the head of its store tells what was acknowledged. */
static valori_code open_one(struct vl_reader *reader, const char *path, size_t base, size_t stem_size,
			    valori_error *error)
{
	size_t size = strlen(path) + 1, store_size = base + stem_size + 5;
	char *store = vl_alloc(reader->env, store_size), *copy = NULL;
	valori_code code;

	if (store == NULL)
		return no_memory(error);
	memcpy(store, path, base + stem_size);
	memcpy(store + base + stem_size, ".log", 5);
	code = vl_names_init(&reader->names, reader->os, store, error);
	vl_release(reader->env, store, store_size);
	if (code == VALORI_OK)
		code = copy_text(reader->env, path, &copy, &size, error);
	if (code == VALORI_OK)
		code = segment_open(reader, copy, size, &reader->segment, error);
	if (code != VALORI_OK)
		return code;
	reader->name = reader->segment.path;
	reader->end = VL_SEGMENT_HEADER;
	reader->segment_count = 1;
	return VALORI_OK;
}

/* Enters the oldest segment. */
static valori_code open_store(struct vl_reader *reader, valori_error *error)
{
	valori_code code = VALORI_NOT_FOUND;

	for (int tries = 0; tries < SETTLE_TRIES && code == VALORI_NOT_FOUND; tries++) {
		struct segment segment;
		struct live live;
		struct survey survey;
		valori_error why = {0};
		valori_code live_code = look_at_live(reader, &live, &why);

		code = survey_segments(reader, 0, &live, &survey, error);
		if (code != VALORI_OK)
			return code;
		if (survey.count == 0) {
			if (error != NULL)
				*error = why;
			if (live_code != VALORI_NOT_FOUND || tries == SETTLE_TRIES - 1)
				return live_code;
			code = VALORI_NOT_FOUND;
			continue;
		}
		reader->segment_count = survey.count;
		code = find_segment(reader, survey.first, &segment, &live, error);
		if (code == VALORI_OK)
			enter(reader, &segment);
	}
	return code;
}

valori_code vl_reader_open(const struct vl_env *env, const struct vl_os *os, const struct vl_reader_options *options,
			   struct vl_reader **out, valori_error *error)
{
	struct vl_reader *reader = vl_alloc(env, sizeof(*reader));
	size_t base, stem_size;
	valori_code code;

	*out = NULL;
	if (reader == NULL)
		return no_memory(error);
	memset(reader, 0, sizeof(*reader));
	reader->env = env;
	reader->os = os;
	reader->kernels = env->kernels;
	reader->kind = STREAM;
	reader->segment.fd = -1;
	reader->follow = options->follow;
	reader->again = options->again;
	reader->live = options->live;
	reader->ignore_head = options->ignore_head;
	vl_buf_init(&reader->list, env);
	if (options->path == NULL) {
		code = open_stream(reader, options, error);
	} else if (is_sealed_path(reader, options->path, &base, &stem_size)) {
		reader->kind = ONE_SEGMENT;
		code = open_one(reader, options->path, base, stem_size, error);
	} else {
		reader->kind = STORE;
		code = vl_names_init(&reader->names, os, options->path, error);
		if (code == VALORI_OK && options->archive != NULL)
			code = copy_text(env, options->archive, &reader->archive, &reader->archive_size, error);
		if (code == VALORI_OK)
			code = open_store(reader, error);
	}
	if (code == VALORI_OK) {
		reader->base = reader->position = reader->segment.start;
		if (reader->kind != STREAM)
			code = look_at_head(reader, error);
	}
	if (code != VALORI_OK) {
		if (options->fault_path != NULL && reader->fault_name[0] != '\0')
			memcpy(options->fault_path, reader->fault_name, sizeof(reader->fault_name));
		vl_reader_close(reader);
		return code;
	}
	*out = reader;
	return VALORI_OK;
}

void vl_reader_close(struct vl_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->kind == STREAM)
		reader->segment.fd = -1; /* the caller's */
	segment_close(reader, &reader->segment);
	vl_names_free(&reader->names);
	vl_release(reader->env, reader->archive, reader->archive_size);
	vl_release(reader->env, reader->data, reader->capacity);
	vl_buf_free(&reader->list);
	vl_release(reader->env, reader, sizeof(*reader));
}

const struct vl_position *vl_reader_position(const struct vl_reader *reader)
{
	return &reader->position;
}

const struct vl_position *vl_reader_base(const struct vl_reader *reader)
{
	return &reader->base;
}

uint64_t vl_reader_torn_size(const struct vl_reader *reader)
{
	return reader->torn_size;
}

uint64_t vl_reader_end_offset(const struct vl_reader *reader)
{
	return reader->end;
}

const char *vl_reader_path(const struct vl_reader *reader)
{
	return reader->name;
}

const char *vl_reader_fault_path(const struct vl_reader *reader)
{
	return reader->fault_name[0] != '\0' ? reader->fault_name : reader->name;
}

uint64_t vl_reader_segments(const struct vl_reader *reader)
{
	return reader->segment_count;
}

const char *vl_reader_note(const struct vl_reader *reader)
{
	return reader->note;
}

void vl_reader_get_end(const struct vl_reader *reader, struct vl_reader_end *out)
{
	memset(out, 0, sizeof(*out));
	out->segment_first_event = reader->segment.start.height;
	out->offset = reader->end;
	out->has_head = reader->has_head;
	out->head = reader->head;
}
