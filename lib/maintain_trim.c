/* maintain_trim.c - removing the segments of a log that a snapshot makes superfluous. */
#include "maintain.h"

#include <errno.h>

#include "host.h"
#include "log_private.h"

enum { COPY_SIZE = 1 << 20 };

struct segment {
	char *path;
	size_t path_size;
	uint64_t first_event, end_event, size;
};

struct trim {
	const struct vl_env *env;
	const struct vl_os *os;
	const char *archive;
	bool dry_run;
	struct vl_names names;
	struct vl_snapshot *snapshot;
	struct vl_reader *reader;
	struct vl_buf segments;  /* struct segment each, oldest first */
	int maintenance, writer; /* descriptors of the lock file, or -1 */
	bool covers_all;         /* the snapshot is as new as the log */
	valori_trim_result result;
};

/* ---- the locks ---- */

static valori_code take_locks(struct trim *trim, valori_error *error)
{
	struct vl_os_stat stat;
	valori_code code;

	/* A rehearsal leaves nothing behind, not even a lock file. */
	if (trim->dry_run && trim->os->stat_path(trim->os->context, trim->names.lock, &stat) != 0)
		return VALORI_OK;
	code = vl_lock_take(trim->os, trim->names.lock, 1, &trim->maintenance, error);
	if (code != VALORI_OK)
		return code;
	/* With a writer at work its live segment stays; without one we are the writer. */
	code = vl_lock_take(trim->os, trim->names.lock, 0, &trim->writer, error);
	if (code == VALORI_LOCKED)
		return VALORI_OK;
	if (code == VALORI_OK && !trim->dry_run)
		code = vl_maintain_recover(trim->env, trim->os, &trim->names, error);
	return code;
}

/* ---- what the snapshot covers ---- */

/* The snapshot must be sound, and must outlive what is going to be removed: a copy may still be in the page
 * cache only. */
static valori_code prove_snapshot(struct trim *trim, const char *path, valori_error *error)
{
	const struct vl_os *os = trim->os;
	valori_code code = vl_snapshot_open(trim->env, os, path, &trim->snapshot, error);
	int fd, result;

	if (code == VALORI_OK)
		code = vl_snapshot_verify(trim->snapshot, error);
	if (code != VALORI_OK || trim->dry_run)
		return code;
	fd = os->open(os->context, path, VL_OS_READ);
	if (fd < 0)
		return vl_fail_system(error, fd, path, "cannot be opened");
	result = os->sync(os->context, fd);
	os->close(os->context, fd);
	if (result != 0)
		return vl_fail_system(error, result, path, "cannot be synced");
	return vl_snapshot_sync_parent(trim->env, os, path, error);
}

/* Finds the commit that the snapshot was taken after, and compares its root. */
static valori_code find_commit(struct trim *trim, const char *log, valori_error *error)
{
	const struct vl_position *position = vl_snapshot_position(trim->snapshot);
	const struct vl_reader_options options = {.path = log, .fd = -1, .ignore_head = trim->writer >= 0};
	struct vl_commit commit;
	valori_code code = vl_reader_open(trim->env, trim->os, &options, &trim->reader, error);

	if (code != VALORI_OK)
		return code;
	trim->result.base_height = vl_reader_base(trim->reader)->height;
	code = vl_reader_seek_position(trim->reader, position, error);
	if (code == VALORI_NOT_FOUND)
		code = vl_fail(error, VALORI_MISSING,
			       "%s: ends before event %llu, where the snapshot was taken", log,
			       (unsigned long long)position->height);
	if (code != VALORI_OK)
		return code;
	code = vl_reader_next(trim->reader, &commit, error);
	trim->covers_all = code == VALORI_END;
	return trim->covers_all ? VALORI_OK : code;
}

/* Closes the live segment, so that all that the snapshot covers lies in sealed ones. */
static valori_code seal_live(struct trim *trim, valori_error *error)
{
	const struct vl_writer_options options = {.sync_mode = VALORI_SYNC_ALWAYS};
	struct vl_writer *writer;
	valori_code code, closed;

	code = vl_writer_open(trim->env, trim->os, &trim->names, &options, trim->reader, &writer, error);
	if (code != VALORI_OK)
		return code;
	code = vl_writer_rotate(writer, error);
	closed = vl_writer_close(writer, code == VALORI_OK ? error : NULL);
	return code == VALORI_OK ? closed : code;
}

static valori_code visit_segment(void *argument, const char *path, uint64_t first_event, uint64_t end_event,
				 uint64_t size)
{
	struct trim *trim = argument;
	struct segment segment = {.path_size = strlen(path) + 1,
				  .first_event = first_event,
				  .end_event = end_event,
				  .size = size};

	if (end_event > vl_snapshot_position(trim->snapshot)->height)
		return VALORI_OK;
	segment.path = vl_alloc(trim->env, segment.path_size);
	if (segment.path == NULL)
		return VALORI_NO_MEMORY;
	memcpy(segment.path, path, segment.path_size);
	vl_buf_put(&trim->segments, &segment, sizeof(segment));
	if (trim->segments.failed)
		vl_release(trim->env, segment.path, segment.path_size);
	return trim->segments.failed ? VALORI_NO_MEMORY : VALORI_OK;
}

static size_t segment_count(const struct trim *trim)
{
	return trim->segments.size / sizeof(struct segment);
}

static struct segment segment_at(const struct trim *trim, size_t index)
{
	struct segment segment;

	memcpy(&segment, trim->segments.data + index * sizeof(segment), sizeof(segment));
	return segment;
}

/* ---- taking segments away ---- */

static valori_code copy_bytes(struct trim *trim, int from, int to, const char *source, const char *target,
			      valori_error *error)
{
	const struct vl_os *os = trim->os;
	uint8_t *buffer = vl_alloc(trim->env, COPY_SIZE);
	valori_code code = VALORI_OK;
	uint64_t offset = 0;
	int64_t count = 1;

	if (buffer == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	while (code == VALORI_OK && count > 0) {
		int result;

		count = vl_os_pread_all(os, from, buffer, COPY_SIZE, offset);
		if (count < 0) {
			code = vl_fail_system(error, (int)count, source, "cannot be read");
			break;
		}
		result = vl_os_pwrite_all(os, to, buffer, (size_t)count, offset);
		if (result != 0)
			code = vl_fail_system(error, result, target, "cannot be written");
		offset += (uint64_t)count;
	}
	if (code == VALORI_OK) {
		int result = os->sync(os->context, to);

		if (result != 0)
			code = vl_fail_system(error, result, target, "cannot be synced");
	}
	vl_release(trim->env, buffer, COPY_SIZE);
	return code;
}

/* To another file system: copied under a temporary name, synced, then named. */
static valori_code copy_file(struct trim *trim, const char *source, const char *target, valori_error *error)
{
	const struct vl_os *os = trim->os;
	size_t size = strlen(target) + 8;
	char *temporary = vl_alloc(trim->env, size);
	valori_code code;
	int from, to, result;

	if (temporary == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	vl_format(temporary, size, "%s.new", target);
	from = os->open(os->context, source, VL_OS_READ);
	to = from < 0 ? from : os->open(os->context, temporary, VL_OS_CREATE_ANY);
	if (to < 0) {
		code = vl_fail_system(error, to, from < 0 ? source : temporary, "cannot be opened");
	} else {
		result = os->truncate(os->context, to, 0);
		code = result == 0 ? copy_bytes(trim, from, to, source, temporary, error)
				   : vl_fail_system(error, result, temporary, "cannot be truncated");
		os->close(os->context, to);
	}
	if (from >= 0)
		os->close(os->context, from);
	if (code == VALORI_OK) {
		result = os->rename(os->context, temporary, target);
		if (result != 0)
			code = vl_fail_system(error, result, target, "cannot be renamed to");
	}
	if (code != VALORI_OK && to >= 0)
		os->unlink(os->context, temporary);
	vl_release(trim->env, temporary, size);
	return code;
}

/* Does a file that is in the archive already hold the same bytes (an earlier run was interrupted between its
 * two steps)? */
static valori_code compare_files(struct trim *trim, const char *a, const char *b, bool *out_equal,
				 valori_error *error)
{
	const struct vl_os *os = trim->os;
	uint8_t *buffer = vl_alloc(trim->env, 2 * (size_t)COPY_SIZE);
	int fds[2] = {os->open(os->context, a, VL_OS_READ), os->open(os->context, b, VL_OS_READ)};
	valori_code code = VALORI_OK;
	int64_t counts[2] = {1, 1};

	*out_equal = true;
	for (int i = 0; i < 2 && code == VALORI_OK; i++)
		if (fds[i] < 0)
			code = vl_fail_system(error, fds[i], i == 0 ? a : b, "cannot be opened");
	if (code == VALORI_OK && buffer == NULL)
		code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	for (uint64_t offset = 0; code == VALORI_OK && *out_equal && counts[0] > 0; offset += COPY_SIZE) {
		for (int i = 0; i < 2 && code == VALORI_OK; i++) {
			counts[i] = vl_os_pread_all(os, fds[i], buffer + (size_t)i * COPY_SIZE, COPY_SIZE,
						    offset);
			if (counts[i] < 0)
				code = vl_fail_system(error, (int)counts[i], i == 0 ? a : b,
						      "cannot be read");
		}
		if (code == VALORI_OK)
			*out_equal = counts[0] == counts[1] &&
				     memcmp(buffer, buffer + COPY_SIZE, (size_t)counts[0]) == 0;
	}
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			os->close(os->context, fds[i]);
	vl_release(trim->env, buffer, 2 * (size_t)COPY_SIZE);
	return code;
}

/* After this the archive has the segment, durably. */
static valori_code archive_segment(struct trim *trim, const struct segment *segment, valori_error *error)
{
	const struct vl_os *os = trim->os;
	const char *base = segment->path + segment->path_size - 1;
	size_t size = strlen(trim->archive) + segment->path_size + 1;
	char *target = vl_alloc(trim->env, size);
	struct vl_os_stat stat;
	bool is_equal = true;
	valori_code code = VALORI_OK;
	int result;

	if (target == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	while (base > segment->path && base[-1] != '/')
		base--;
	vl_format(target, size, "%s/%s", trim->archive, base);
	if (os->stat_path(os->context, target, &stat) == 0) {
		code = compare_files(trim, segment->path, target, &is_equal, error);
		if (code == VALORI_OK && !is_equal)
			code = vl_fail(error, VALORI_INVALID, "%s: is there already, and is another file",
				       target);
	} else {
		/* A second name first, then the first one goes: a rename could not be refused by what is
		 * there. */
		result = os->link(os->context, segment->path, target);
		if (result != 0)
			code = copy_file(trim, segment->path, target, error);
	}
	if (code == VALORI_OK) {
		result = os->sync_directory(os->context, trim->archive);
		if (result != 0)
			code = vl_fail_system(error, result, trim->archive, "cannot be synced");
	}
	vl_release(trim->env, target, size);
	return code;
}

static valori_code remove_segment(struct trim *trim, const struct segment *segment, valori_error *error)
{
	const struct vl_os *os = trim->os;
	valori_code code = VALORI_OK;
	int result;

	if (trim->archive != NULL)
		code = archive_segment(trim, segment, error);
	if (code != VALORI_OK)
		return code;
	result = os->unlink(os->context, segment->path);
	if (result != 0)
		return vl_fail_system(error, result, segment->path, "cannot be removed");
	/* Before the next one goes: a crash must not bring back this one and lose that one, which would leave
	 * a gap. */
	result = os->sync_directory(os->context, trim->names.directory);
	if (result != 0)
		return vl_fail_system(error, result, trim->names.directory, "cannot be synced");
	return VALORI_OK;
}

static valori_code remove_segments(struct trim *trim, valori_error *error)
{
	const struct vl_os *os = trim->os;
	valori_code code;
	int result;

	if (!trim->dry_run && trim->archive != NULL && segment_count(trim) > 0) {
		result = os->make_directory(os->context, trim->archive);
		if (result != 0 && result != -EEXIST)
			return vl_fail_system(error, result, trim->archive, "cannot be made");
		code = vl_snapshot_keep_directory(trim->env, os, trim->archive, error);
		if (code != VALORI_OK)
			return code;
	}
	for (size_t i = 0; i < segment_count(trim); i++) {
		struct segment segment = segment_at(trim, i);

		code = trim->dry_run ? VALORI_OK : remove_segment(trim, &segment, error);
		if (code != VALORI_OK)
			return code;
		trim->result.segments++;
		trim->result.bytes += segment.size;
		trim->result.base_height = segment.end_event;
	}
	return VALORI_OK;
}

/* A rehearsal cannot seal the live segment: says what would come of it. */
static valori_code count_live(struct trim *trim, valori_error *error)
{
	uint64_t height = vl_snapshot_position(trim->snapshot)->height;
	struct vl_os_stat stat;
	int result;

	if (trim->result.base_height == height) /* it holds no commit */
		return VALORI_OK;
	result = trim->os->stat_path(trim->os->context, trim->names.live, &stat);
	if (result != 0)
		return vl_fail_system(error, result, trim->names.live, "cannot be looked at");
	trim->result.segments++;
	trim->result.bytes += stat.size;
	trim->result.base_height = height;
	return VALORI_OK;
}

static void trim_free(struct trim *trim)
{
	for (size_t i = 0; i < segment_count(trim); i++) {
		struct segment segment = segment_at(trim, i);

		vl_release(trim->env, segment.path, segment.path_size);
	}
	vl_buf_free(&trim->segments);
	vl_reader_close(trim->reader);
	vl_snapshot_close(trim->snapshot);
	vl_lock_release(trim->os, trim->writer);
	vl_lock_release(trim->os, trim->maintenance);
	vl_names_free(&trim->names);
}

valori_code vl_maintain_trim(const struct vl_env *env, const struct vl_os *os, const char *log,
			     const char *snapshot, const char *archive, bool dry_run, valori_trim_result *out,
			     valori_error *error)
{
	struct trim trim = {.env = env,
			    .os = os,
			    .archive = archive,
			    .dry_run = dry_run,
			    .maintenance = -1,
			    .writer = -1};
	bool is_writer;
	valori_code code;

	vl_buf_init(&trim.segments, env);
	code = vl_names_init(&trim.names, os, log, error);
	if (code != VALORI_OK)
		return code;
	code = take_locks(&trim, error);
	if (code == VALORI_OK)
		code = prove_snapshot(&trim, snapshot, error);
	if (code == VALORI_OK)
		code = find_commit(&trim, log, error);
	/* Without a lock file nobody can be writing. */
	is_writer = trim.writer >= 0 || trim.maintenance < 0;
	if (code == VALORI_OK && is_writer && trim.covers_all && !dry_run)
		code = seal_live(&trim, error);
	if (code == VALORI_OK) {
		code = vl_log_sealed(env, os, &trim.names, visit_segment, &trim, error);
		if (code == VALORI_NO_MEMORY)
			vl_fail(error, code, "out of memory");
	}
	if (code == VALORI_OK)
		code = remove_segments(&trim, error);
	if (code == VALORI_OK && is_writer && trim.covers_all && dry_run)
		code = count_live(&trim, error);
	if (code == VALORI_OK)
		*out = trim.result;
	trim_free(&trim);
	return code;
}

valori_code valori_trim(const char *log, const char *snapshot, const char *archive, int dry_run,
			valori_trim_result *out, valori_error *error)
{
	if (log == NULL || snapshot == NULL || out == NULL)
		return vl_fail(error, VALORI_INVALID, "trim: a path or the result is missing");
	return vl_maintain_trim(vl_host_env(), &vl_os_real, log, snapshot, archive, dry_run != 0, out, error);
}
