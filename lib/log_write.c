/* log_write.c - creating a log, recovering it, appending to it, rotating it. */
#include "log_private.h"

#include <errno.h>
#include <stdatomic.h>

enum {
	COPY_SIZE = 1 << 20,  /* of a tail, at a time */
	SCAN_PAIR = 64 << 10, /* of each of two files that are compared, at a time */
	HEAD_SYNC_MS = 100    /* how far the head on the disk may be behind */
};

struct vl_writer {
	const struct vl_env *env;
	const struct vl_os *os;
	const struct vl_kernels *kernels;
	const struct vl_names *names;
	struct vl_writer_options options;

	int fd, head_fd;
	uint64_t segment_first_event;
	uint64_t offset; /* end of the live segment: where the next commit goes */
	struct vl_position position;
	uint64_t unsynced_ms; /* when the first commit came that is not on the disk */

	/* of syncing */
	unsigned slot; /* of the head, to be written next */
	uint64_t head_synced_ms;
	bool head_unsynced;

	/* of both */
	_Atomic uint64_t synced; /* so many commits are on the disk */
	atomic_bool is_poisoned; /* a write or sync failed */
};

static valori_code no_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

/* ---- files that appear whole ---- */

/* Removes a file that may be there. */
static int discard(const struct vl_os *os, const char *path)
{
	int code = os->unlink(os->context, path);

	return code == -ENOENT ? 0 : code;
}

valori_code vl_file_prepare(const struct vl_os *os, const char *temporary, const uint8_t *data, size_t size,
			    int *out_fd, valori_error *error)
{
	int code = discard(os, temporary), fd;

	*out_fd = -1;
	if (code < 0)
		return vl_fail_system(error, code, temporary, "cannot be removed");
	fd = os->open(os->context, temporary, VL_OS_CREATE);
	if (fd < 0)
		return vl_fail_system(error, fd, temporary, "cannot be made");
	code = vl_os_pwrite_all(os, fd, data, size, 0);
	if (code == 0)
		code = os->sync(os->context, fd);
	if (code == 0) {
		*out_fd = fd;
		return VALORI_OK;
	}
	os->close(os->context, fd);
	(void)discard(os, temporary);
	return vl_fail_system(error, code, temporary, "cannot be written");
}

static valori_code sync_directory(const struct vl_os *os, const struct vl_names *names, valori_error *error)
{
	int code = os->sync_directory(os->context, names->directory);

	return code < 0 ? vl_fail_system(error, code, names->directory, "cannot be synced") : VALORI_OK;
}

/* A new head file with both slots alike, in place of any other; open in *out_fd. */
static valori_code head_create(const struct vl_os *os, const struct vl_names *names, const struct vl_kernels *kernels,
			       const struct vl_head *head, int *out_fd, valori_error *error)
{
	uint8_t data[VL_HEAD_SIZE];
	valori_code code;
	int result;

	vl_head_encode(head, kernels, data);
	code = vl_file_prepare(os, names->temporary, data, sizeof(data), out_fd, error);
	if (code != VALORI_OK)
		return code;
	result = os->rename(os->context, names->temporary, names->head);
	if (result == 0)
		return sync_directory(os, names, error);
	os->close(os->context, *out_fd);
	*out_fd = -1;
	(void)discard(os, names->temporary);
	return vl_fail_system(error, result, names->head, "cannot be made");
}

/* A new live segment at position, where there is none or an empty file; open in *out_fd. */
static valori_code live_create(const struct vl_os *os, const struct vl_names *names, const struct vl_kernels *kernels,
			       const struct vl_position *position, int *out_fd, valori_error *error)
{
	uint8_t header[VL_SEGMENT_HEADER];
	struct vl_os_stat found;
	valori_code code;
	int result;

	vl_segment_header_encode(position, kernels, header);
	code = vl_file_prepare(os, names->temporary, header, sizeof(header), out_fd, error);
	if (code != VALORI_OK)
		return code;
	/* Linking never replaces a file. An empty one holds nothing and is the only one that may be replaced. */
	result = os->link(os->context, names->temporary, names->live);
	if (result == 0)
		result = os->unlink(os->context, names->temporary);
	else if (result == -EEXIST && os->stat_path(os->context, names->live, &found) == 0 && found.is_regular &&
		 found.size == 0)
		result = os->rename(os->context, names->temporary, names->live);
	if (result == 0)
		return sync_directory(os, names, error);
	os->close(os->context, *out_fd);
	*out_fd = -1;
	(void)discard(os, names->temporary);
	return vl_fail_system(error, result, names->live, "cannot be made");
}

valori_code vl_log_create(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			  const struct vl_position *position, valori_error *error)
{
	struct vl_head head;
	valori_code code;
	int fd, head_fd = -1;

	code = live_create(os, names, env->kernels, position, &fd, error);
	if (fd < 0)
		return code;
	os->close(os->context, fd);
	if (code == VALORI_OK) {
		vl_head_set(&head, position, position->height, VL_SEGMENT_HEADER, env->kernels);
		code = head_create(os, names, env->kernels, &head, &head_fd, error);
	}
	if (head_fd >= 0)
		os->close(os->context, head_fd);
	if (code != VALORI_OK) /* it holds nothing, and would be in the way when there is room again */
		(void)discard(os, names->live);
	return code;
}

/* ---- recovery ---- */

/*
 * Copies bytes of the live file to the beginning of another file; or onto themselves, for what a failed sync
 * has left in memory only.
 */
static valori_code copy(struct vl_writer *writer, uint64_t from, uint64_t end, int to, const char *to_path,
			valori_error *error)
{
	const struct vl_os *os = writer->os;
	uint8_t *data = vl_alloc(writer->env, COPY_SIZE);
	valori_code code = data == NULL ? no_memory(error) : VALORI_OK;
	uint64_t at = from;

	while (code == VALORI_OK && at < end) {
		size_t size = (size_t)(end - at < COPY_SIZE ? end - at : COPY_SIZE);
		int64_t count = vl_os_pread_all(os, writer->fd, data, size, at);
		int result;

		if (count != (int64_t)size) {
			code = vl_fail_system(error, count < 0 ? (int)count : -EIO, writer->names->live,
					      "cannot be read");
			break;
		}
		result = vl_os_pwrite_all(os, to, data, size, to == writer->fd ? at : at - from);
		if (result < 0)
			code = vl_fail_system(error, result, to_path, "cannot be written");
		at += size;
	}
	vl_release(writer->env, data, COPY_SIZE);
	return code;
}

/* The torn tail is kept in STEM.torn before it is cut off. */
static valori_code save_torn(struct vl_writer *writer, uint64_t torn_size, valori_error *error)
{
	const struct vl_os *os = writer->os;
	const struct vl_names *names = writer->names;
	valori_code code;
	int fd, result;

	code = vl_file_prepare(os, names->temporary, NULL, 0, &fd, error);
	if (code != VALORI_OK)
		return code;
	code = copy(writer, writer->offset, writer->offset + torn_size, fd, names->temporary, error);
	if (code == VALORI_OK) {
		result = os->sync(os->context, fd);
		if (result == 0)
			result = os->rename(os->context, names->temporary, names->torn);
		if (result < 0)
			code = vl_fail_system(error, result, names->torn, "cannot be written");
	}
	os->close(os->context, fd);
	if (code != VALORI_OK) {
		(void)discard(os, names->temporary);
		return code;
	}
	return sync_directory(os, names, error);
}

/* Are the two files byte for byte the same? */
static valori_code same_content(struct vl_writer *writer, const char *other, bool *out, valori_error *error)
{
	const struct vl_os *os = writer->os;
	uint8_t *data = vl_alloc(writer->env, 2 * (size_t)SCAN_PAIR);
	int fd = os->open(os->context, other, VL_OS_READ);
	valori_code code = VALORI_OK;
	uint64_t at = 0;
	int64_t a = 1, b = 1;

	*out = true;
	if (data == NULL)
		code = no_memory(error);
	else if (fd < 0)
		code = vl_fail_system(error, fd, other, "cannot be opened");
	while (code == VALORI_OK && *out && a > 0) {
		a = vl_os_pread_all(os, writer->fd, data, SCAN_PAIR, at);
		b = vl_os_pread_all(os, fd, data + SCAN_PAIR, SCAN_PAIR, at);
		if (a < 0 || b < 0)
			code = vl_fail_system(error, (int)(a < 0 ? a : b), other, "cannot be compared");
		else
			*out = a == b && memcmp(data, data + SCAN_PAIR, (size_t)a) == 0;
		at += SCAN_PAIR;
	}
	if (fd >= 0)
		os->close(os->context, fd);
	vl_release(writer->env, data, 2 * (size_t)SCAN_PAIR);
	return code;
}

/*
 * A crash between the two steps of a rotation leaves the live file with its sealed name as well (in a copy of
 * the store: two equal files). The sealed name goes, and the live file grows on: the rotation will come again.
 */
static valori_code undo_half_rotation(struct vl_writer *writer, valori_error *error)
{
	const struct vl_os *os = writer->os;
	struct vl_os_stat live, sealed;
	valori_code code = VALORI_OK;
	size_t size;
	char *path = vl_sealed_path(writer->env, writer->names->directory, writer->names->stem,
				    writer->segment_first_event, &size);
	bool is_same = false;
	int result;

	if (path == NULL)
		return no_memory(error);
	result = os->stat_path(os->context, path, &sealed);
	if (result == -ENOENT)
		goto done;
	if (result == 0)
		result = os->stat(os->context, writer->fd, &live);
	if (result < 0) {
		code = vl_fail_system(error, result, path, "cannot be looked at");
		goto done;
	}
	is_same = live.device == sealed.device && live.inode == sealed.inode;
	if (!is_same)
		code = same_content(writer, path, &is_same, error);
	if (code != VALORI_OK)
		goto done;
	if (!is_same) {
		code = vl_fail(error, VALORI_DAMAGED, "%s: begins with the same event as %s, and differs from it", path,
			       writer->names->live);
		goto done;
	}
	result = os->unlink(os->context, path);
	if (result < 0)
		code = vl_fail_system(error, result, path, "cannot be removed");
	else
		code = sync_directory(os, writer->names, error);
done:
	vl_release(writer->env, path, size);
	return code;
}

/* Opens the live file and makes sure that it is the one that was read. NOT_FOUND: missing or empty. */
static valori_code live_open(struct vl_writer *writer, const struct vl_position *base, valori_error *error)
{
	const struct vl_os *os = writer->os;
	const char *path = writer->names->live;
	uint8_t header[VL_SEGMENT_HEADER];
	struct vl_position start;
	valori_code code;
	int64_t count;

	writer->fd = os->open(os->context, path, VL_OS_WRITE);
	if (writer->fd == -ENOENT)
		return VALORI_NOT_FOUND;
	if (writer->fd < 0)
		return vl_fail_system(error, writer->fd, path, "cannot be opened to write");
	count = vl_os_pread_all(os, writer->fd, header, sizeof(header), 0);
	if (count < 0)
		return vl_fail_system(error, (int)count, path, "cannot be read");
	if (count == 0)
		return VALORI_NOT_FOUND;
	if (count < VL_SEGMENT_HEADER)
		return vl_fail(error, VALORI_DAMAGED, "%s: ends inside the segment header", path);
	code = vl_segment_header_decode(header, path, writer->kernels, &start, error);
	if (code != VALORI_OK)
		return code;
	if (memcmp(start.log_id, base->log_id, 32) != 0 || start.height != writer->segment_first_event)
		return vl_fail(error, VALORI_OTHER_LOG, "%s: is not the segment that was read", path);
	return VALORI_OK;
}

/* Makes the live file end with the last valid commit, and all of that durable. */
static valori_code repair(struct vl_writer *writer, const struct vl_reader_end *end, uint64_t torn_size,
			  valori_error *error)
{
	const struct vl_os *os = writer->os;
	const char *path = writer->names->live;
	uint64_t from = VL_SEGMENT_HEADER;
	struct vl_os_stat found;
	valori_code code;
	int result;

	if (end->has_head && end->head.segment_first_event == writer->segment_first_event &&
	    end->head.offset <= writer->offset)
		from = end->head.offset;
	if (torn_size > 0) {
		code = save_torn(writer, torn_size, error);
		if (code != VALORI_OK)
			return code;
	}
	code = copy(writer, from, writer->offset, writer->fd, path, error);
	if (code != VALORI_OK)
		return code;
	result = os->stat(os->context, writer->fd, &found);
	if (result == 0 && found.size > writer->offset)
		result = os->truncate(os->context, writer->fd, writer->offset);
	if (result == 0)
		result = os->sync(os->context, writer->fd);
	return result < 0 ? vl_fail_system(error, result, path, "cannot be repaired") : VALORI_OK;
}

static void writer_free(struct vl_writer *writer)
{
	if (writer->fd >= 0)
		writer->os->close(writer->os->context, writer->fd);
	if (writer->head_fd >= 0)
		writer->os->close(writer->os->context, writer->head_fd);
	vl_release(writer->env, writer, sizeof(*writer));
}

static valori_code recover(struct vl_writer *writer, const struct vl_reader *reader, valori_error *error)
{
	const struct vl_os *os = writer->os;
	struct vl_reader_end end;
	struct vl_head head;
	valori_code code;

	vl_reader_get_end(reader, &end);
	writer->segment_first_event = end.segment_first_event;
	writer->offset = end.offset;
	writer->position = *vl_reader_position(reader);
	if (end.has_head && end.head.commits > writer->position.frontier.size)
		return vl_fail(error, VALORI_MISSING, "%s: ends at event %llu, but events up to %llu were acknowledged",
			       writer->names->live, (unsigned long long)writer->position.height,
			       (unsigned long long)end.head.height);
	code = live_open(writer, vl_reader_base(reader), error);
	if (code == VALORI_OK)
		code = undo_half_rotation(writer, error);
	if (code == VALORI_OK)
		code = repair(writer, &end, vl_reader_torn_size(reader), error);
	if (code == VALORI_NOT_FOUND) { /* all that is there is sealed */
		if (writer->fd >= 0)
			os->close(os->context, writer->fd);
		writer->segment_first_event = writer->position.height;
		writer->offset = VL_SEGMENT_HEADER;
		code = live_create(os, writer->names, writer->kernels, &writer->position, &writer->fd, error);
	}
	/* Whoever made these names may have died before they were durable. */
	if (code == VALORI_OK)
		code = sync_directory(os, writer->names, error);
	if (code != VALORI_OK)
		return code;
	writer->synced = writer->position.frontier.size;
	vl_head_set(&head, &writer->position, writer->segment_first_event, writer->offset, writer->kernels);
	return head_create(os, writer->names, writer->kernels, &head, &writer->head_fd, error);
}

valori_code vl_writer_open(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			   const struct vl_writer_options *options, const struct vl_reader *reader,
			   struct vl_writer **out, valori_error *error)
{
	struct vl_writer *writer = vl_alloc(env, sizeof(*writer));
	valori_code code;

	*out = NULL;
	if (writer == NULL)
		return no_memory(error);
	memset(writer, 0, sizeof(*writer));
	writer->env = env;
	writer->os = os;
	writer->kernels = env->kernels;
	writer->names = names;
	writer->options = *options;
	if (writer->options.segment_size == 0)
		writer->options.segment_size = VL_SEGMENT_SIZE_DEFAULT;
	writer->fd = writer->head_fd = -1;
	code = recover(writer, reader, error);
	if (code != VALORI_OK) {
		writer_free(writer);
		return code;
	}
	writer->head_synced_ms = os->monotonic_ms(os->context);
	*out = writer;
	return VALORI_OK;
}

/* ---- appending ---- */

/* An earlier write or sync failed: nobody knows what is on the disk until the log is opened anew. */
static valori_code is_poisoned(const struct vl_writer *writer, valori_error *error)
{
	if (!writer->is_poisoned)
		return VALORI_OK;
	return vl_fail(error, VALORI_POISONED, "%s: an earlier write or sync failed: open the store again",
		       writer->names->live);
}

static valori_code poison(struct vl_writer *writer, int result, const char *path, const char *fact, valori_error *error)
{
	writer->is_poisoned = true;
	return vl_fail_system(error, result, path, fact);
}

static bool is_full(int result)
{
	return result == -ENOSPC || result == -EDQUOT || result == -EFBIG;
}

static valori_code head_sync(struct vl_writer *writer, valori_error *error)
{
	int result;

	if (!writer->head_unsynced)
		return VALORI_OK;
	result = writer->os->sync(writer->os->context, writer->head_fd);
	if (result < 0)
		return poison(writer, result, writer->names->head, "cannot be synced", error);
	writer->head_unsynced = false;
	writer->head_synced_ms = writer->os->monotonic_ms(writer->os->context);
	return VALORI_OK;
}

/* Stores what is acknowledged in the slot that does not hold the last word. */
static valori_code head_store(struct vl_writer *writer, const struct vl_writer_mark *mark,
			      const struct vl_position *position, valori_error *error)
{
	uint8_t data[VL_HEAD_SLOT_SIZE];
	struct vl_head head;
	int result;

	vl_head_set(&head, position, mark->segment_first_event, mark->offset, writer->kernels);
	vl_head_slot_encode(&head, writer->kernels, data);
	result = vl_os_pwrite_all(writer->os, writer->head_fd, data, sizeof(data),
				  VL_HEAD_SLOT_FIRST * (writer->slot + 1));
	if (result < 0)
		return poison(writer, result, writer->names->head, "cannot be written", error);
	writer->slot = (writer->slot + 1) % VL_HEAD_SLOTS;
	writer->head_unsynced = true;
	return VALORI_OK;
}

struct vl_writer_mark vl_writer_get_mark(const struct vl_writer *writer)
{
	return (struct vl_writer_mark){writer->fd, writer->segment_first_event, writer->offset};
}

/* What is acknowledged is all there is. */
static valori_code head_store_end(struct vl_writer *writer, valori_error *error)
{
	struct vl_writer_mark mark = vl_writer_get_mark(writer);

	return head_store(writer, &mark, &writer->position, error);
}

valori_code vl_writer_sync_mark(struct vl_writer *writer, const struct vl_writer_mark *mark,
				const struct vl_position *position, valori_error *error)
{
	valori_code code = is_poisoned(writer, error);
	int result;

	if (code != VALORI_OK || position->frontier.size == writer->synced)
		return code;
	result = writer->os->sync(writer->os->context, mark->fd);
	if (result < 0)
		return poison(writer, result, writer->names->live, "cannot be synced", error);
	writer->synced = position->frontier.size;
	code = head_store(writer, mark, position, error);
	if (code == VALORI_OK && writer->os->monotonic_ms(writer->os->context) - writer->head_synced_ms >= HEAD_SYNC_MS)
		code = head_sync(writer, error);
	return code;
}

valori_code vl_writer_sync(struct vl_writer *writer, valori_error *error)
{
	struct vl_writer_mark mark = vl_writer_get_mark(writer);

	return vl_writer_sync_mark(writer, &mark, &writer->position, error);
}

valori_code vl_writer_maybe_sync(struct vl_writer *writer, valori_error *error)
{
	const struct vl_writer_options *options = &writer->options;
	uint64_t unsynced = writer->position.frontier.size - writer->synced;
	bool is_due = true;

	if (options->sync_mode == VALORI_SYNC_NONE)
		is_due = false;
	if (options->sync_mode == VALORI_SYNC_BATCH)
		is_due = unsynced > 0 &&
			 (unsynced >= options->sync_commits ||
			  writer->os->monotonic_ms(writer->os->context) - writer->unsynced_ms >= options->sync_ms);
	return is_due ? vl_writer_sync(writer, error) : is_poisoned(writer, error);
}

valori_code vl_writer_rotate(struct vl_writer *writer, valori_error *error)
{
	const struct vl_os *os = writer->os;
	const struct vl_names *names = writer->names;
	uint8_t header[VL_SEGMENT_HEADER];
	valori_code code = vl_writer_sync(writer, error);
	valori_error why = {0};
	char *sealed;
	size_t size;
	int fd, result;

	if (code != VALORI_OK || writer->offset == VL_SEGMENT_HEADER)
		return code;
	code = head_sync(writer, error);
	if (code != VALORI_OK)
		return code;
	sealed = vl_sealed_path(writer->env, names->directory, names->stem, writer->segment_first_event, &size);
	if (sealed == NULL)
		return no_memory(error);
	vl_segment_header_encode(&writer->position, writer->kernels, header);
	code = vl_file_prepare(os, names->temporary, header, sizeof(header), &fd, &why);
	if (code != VALORI_OK) {
		/* Nothing has changed yet; a full disk may have room again later. */
		if (!is_full(-why.system_errno))
			writer->is_poisoned = true;
		if (error != NULL)
			*error = why;
		goto done;
	}
	/*
	 * From here to the rename the live file has two names: at every instant there is a live file, and each
	 * segment has a name. The sealed name must be durable before the live one points elsewhere.
	 */
	result = os->link(os->context, names->live, sealed);
	if (is_full(result)) {
		code = vl_fail_system(error, result, sealed, "cannot be made");
		os->close(os->context, fd);
		(void)discard(os, names->temporary);
		goto done;
	}
	if (result == 0)
		result = os->sync_directory(os->context, names->directory);
	if (result == 0)
		result = os->rename(os->context, names->temporary, names->live);
	if (result == 0)
		result = os->sync_directory(os->context, names->directory);
	if (result < 0) {
		code = poison(writer, result, sealed, "cannot be made", error);
		os->close(os->context, fd);
		goto done;
	}
	os->close(os->context, writer->fd);
	writer->fd = fd;
	writer->segment_first_event = writer->position.height;
	writer->offset = VL_SEGMENT_HEADER;
	code = head_store_end(writer, error);
	if (code == VALORI_OK)
		code = head_sync(writer, error);
done:
	vl_release(writer->env, sealed, size);
	return code;
}

bool vl_writer_is_full(const struct vl_writer *writer)
{
	return writer->offset >= writer->options.segment_size;
}

valori_code vl_writer_put(struct vl_writer *writer, const uint8_t *bytes, uint64_t size,
			  const struct vl_position *position, valori_error *error)
{
	const struct vl_os *os = writer->os;
	valori_code code = is_poisoned(writer, error);
	int result;

	if (code != VALORI_OK)
		return code;
	result = vl_os_pwrite_all(os, writer->fd, bytes, (size_t)size, writer->offset);
	if (result < 0) {
		if (!is_full(result))
			writer->is_poisoned = true;
		return vl_fail_system(error, result, writer->names->live, "cannot be written");
	}
	if (writer->position.frontier.size == writer->synced)
		writer->unsynced_ms = os->monotonic_ms(os->context);
	writer->offset += size;
	writer->position = *position;
	return VALORI_OK;
}

/*
 * Half a commit must not stay: what is written there next would be taken for its continuation by nobody, but a reader
 * without a head would have to call it damage. Of a group whole commits may be there: once refused, they must not come
 * back with the next power cut.
 */
void vl_writer_cut(struct vl_writer *writer)
{
	const struct vl_os *os = writer->os;

	if (!writer->is_poisoned &&
	    (os->truncate(os->context, writer->fd, writer->offset) < 0 || os->sync(os->context, writer->fd) < 0))
		writer->is_poisoned = true;
}

valori_code vl_writer_append(struct vl_writer *writer, const uint8_t *bytes, uint64_t size,
			     const struct vl_position *position, valori_error *error)
{
	valori_code code = is_poisoned(writer, error);

	if (code == VALORI_OK && vl_writer_is_full(writer))
		code = vl_writer_rotate(writer, error);
	if (code != VALORI_OK)
		return code;
	code = vl_writer_put(writer, bytes, size, position, error);
	if (code != VALORI_OK)
		vl_writer_cut(writer);
	return code;
}

const struct vl_position *vl_writer_position(const struct vl_writer *writer)
{
	return &writer->position;
}

valori_code vl_writer_close(struct vl_writer *writer, valori_error *error)
{
	valori_code code;

	if (writer == NULL)
		return VALORI_OK;
	code = vl_writer_sync(writer, error);
	/* The other slot, too: then one flipped bit in the head costs nothing. */
	if (code == VALORI_OK)
		code = head_store_end(writer, error);
	if (code == VALORI_OK)
		code = head_sync(writer, error);
	writer_free(writer);
	return code;
}

/* ---- what can be trimmed ---- */

valori_code vl_log_sealed(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			  valori_code (*visit)(void *argument, const char *path, uint64_t first_event,
					       uint64_t end_event, uint64_t size),
			  void *argument, valori_error *error)
{
	uint8_t header[VL_SEGMENT_HEADER];
	struct vl_position start;
	struct vl_os_stat found;
	struct vl_buf list;
	valori_code code;
	int64_t count;
	int fd;

	vl_buf_init(&list, env);
	fd = os->open(os->context, names->live, VL_OS_READ);
	if (fd < 0)
		return vl_fail_system(error, fd, names->live, "cannot be opened");
	count = vl_os_pread_all(os, fd, header, sizeof(header), 0);
	os->close(os->context, fd);
	if (count < 0)
		return vl_fail_system(error, (int)count, names->live, "cannot be read");
	if (count < VL_SEGMENT_HEADER)
		return vl_fail(error, VALORI_DAMAGED, "%s: ends inside the segment header", names->live);
	code = vl_segment_header_decode(header, names->live, env->kernels, &start, error);
	if (code == VALORI_OK)
		code = vl_sealed_list(os, names->directory, names->stem, &list, error);
	/* The log begins with the live segment: the others are not its own. */
	if (code == VALORI_OK && start.frontier.size == 0)
		vl_buf_clear(&list);
	for (size_t at = 0; code == VALORI_OK && at + 8 <= list.size; at += 8) {
		uint64_t first_event, end_event = start.height;
		size_t size;
		char *path;

		memcpy(&first_event, list.data + at, 8);
		if (first_event >= start.height) /* half a rotation: the live file itself */
			continue;
		if (at + 16 <= list.size)
			memcpy(&end_event, list.data + at + 8, 8);
		if (end_event > start.height)
			end_event = start.height;
		path = vl_sealed_path(env, names->directory, names->stem, first_event, &size);
		if (path == NULL) {
			code = no_memory(error);
			break;
		}
		if (os->stat_path(os->context, path, &found) == 0)
			code = visit(argument, path, first_event, end_event, found.size);
		vl_release(env, path, size);
	}
	vl_buf_free(&list);
	return code;
}
