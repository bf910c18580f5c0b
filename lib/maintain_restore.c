/* maintain_restore.c - a store begins anew from a snapshot. */
#include "maintain.h"

#include <errno.h>

#include "host.h"
#include "log_private.h"

enum { BACKUPS_MAX = 1 << 20 };

struct restore {
	const struct vl_env *env;
	const struct vl_os *os;
	struct vl_names names;
	int maintenance, writer; /* descriptors of the lock file, or -1 */
	struct vl_snapshot *source, *made;
	struct vl_position position; /* of the new log, before its first commit */
	struct vl_buf sealed;        /* first events of the sealed segments that are there: u64 */
	char *live, *input, *backup; /* STEM.restore.log, STEM.restore.in, STEM.before-restore-N */
	size_t name_size;            /* of each of them */
};

/* ---- names ---- */

/* directory/STEM and a suffix, in a block of *size bytes. */
static char *beside(const struct vl_env *env, const struct vl_names *names, const char *suffix, size_t *size)
{
	size_t directory_size = strlen(names->directory);
	char *path;

	*size = directory_size + strlen(names->stem) + 40;
	path = vl_alloc(env, *size);
	if (path != NULL)
		vl_format(path, *size, "%s%s%s%s", names->directory,
			  names->directory[directory_size - 1] == '/' ? "" : "/", names->stem, suffix);
	return path;
}

static bool exists(const struct vl_os *os, const char *path)
{
	struct vl_os_stat stat;

	return os->stat_path(os->context, path, &stat) == 0;
}

static valori_code sync_directory(const struct vl_os *os, const char *path, valori_error *error)
{
	int result = os->sync_directory(os->context, path);

	return result == 0 ? VALORI_OK : vl_fail_system(error, result, path, "cannot be synced");
}

/* A file that may be missing goes. */
static valori_code drop(const struct vl_os *os, const char *path, valori_error *error)
{
	int result = os->unlink(os->context, path);

	return result == 0 || result == -ENOENT ? VALORI_OK
						: vl_fail_system(error, result, path, "cannot be removed");
}

/* ---- headers ---- */

/* The header of a segment file: *out_found false when there is no such file, or none that can be read as a
 * segment. */
static valori_code read_header(const struct vl_env *env, const struct vl_os *os, const char *path,
			       struct vl_position *out, bool *out_found, valori_error *error)
{
	uint8_t header[VL_SEGMENT_HEADER];
	int fd = os->open(os->context, path, VL_OS_READ);
	int64_t count;

	*out_found = false;
	if (fd == -ENOENT)
		return VALORI_OK;
	if (fd < 0)
		return vl_fail_system(error, fd, path, "cannot be opened");
	count = vl_os_pread_all(os, fd, header, sizeof(header), 0);
	os->close(os->context, fd);
	if (count < 0)
		return vl_fail_system(error, (int)count, path, "cannot be read");
	*out_found = count == sizeof(header) &&
		     vl_segment_header_decode(header, path, env->kernels, out, NULL) == VALORI_OK;
	return VALORI_OK;
}

/* The log id of a snapshot file; the codes of vl_snapshot_open. */
static valori_code snapshot_log_id(const struct vl_env *env, const struct vl_os *os, const char *path,
				   uint8_t out[32], valori_error *error)
{
	struct vl_snapshot *snapshot;
	valori_code code = vl_snapshot_open(env, os, path, &snapshot, error);

	if (code != VALORI_OK)
		return code;
	memcpy(out, vl_snapshot_position(snapshot)->log_id, 32);
	vl_snapshot_close(snapshot);
	return VALORI_OK;
}

/* ---- what an interrupted restore left ---- */

enum stage { NONE, UNDECIDED, DECIDED };

/*
 * How far did the restore get that wrote names->restored? Before the deciding rename the live file is of
 * another log, or missing. What cannot be read is no reason to think so: UNDECIDED is said only of what may
 * be swept away.
 */
static valori_code find_stage(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			      enum stage *out, struct vl_position *live, valori_error *error)
{
	struct vl_os_stat stat;
	uint8_t id[32];
	bool found;
	int result = os->stat_path(os->context, names->restored, &stat);
	valori_code code;

	*out = NONE;
	if (result == -ENOENT || result == -ENOTDIR)
		return VALORI_OK;
	if (result != 0)
		return vl_fail_system(error, result, names->restored, "cannot be looked at");
	code = snapshot_log_id(env, os, names->restored, id, error);
	if (code == VALORI_OK)
		code = read_header(env, os, names->live, live, &found, error);
	if (code != VALORI_OK)
		return code;
	*out = found && memcmp(id, live->log_id, 32) == 0 ? DECIDED : UNDECIDED;
	return VALORI_OK;
}

const char *vl_maintain_snapshot(const struct vl_env *env, const struct vl_os *os,
				 const struct vl_names *names)
{
	struct vl_position live;
	enum stage stage;

	if (find_stage(env, os, names, &stage, &live, NULL) == VALORI_OK && stage == DECIDED)
		return names->restored;
	return exists(os, names->snapshot) ? names->snapshot : NULL;
}

/* The old files lose their names beside the live one; each has another one in STEM.before-restore-N. */
static valori_code drop_old(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			    const uint8_t log_id[32], valori_error *error)
{
	struct vl_buf sealed;
	valori_code code;

	vl_buf_init(&sealed, env);
	code = vl_sealed_list(os, names->directory, names->stem, &sealed, error);
	for (size_t at = 0; code == VALORI_OK && at < sealed.size; at += sizeof(uint64_t)) {
		struct vl_position position;
		uint64_t first_event;
		bool found = false;
		size_t size;
		char *path;

		memcpy(&first_event, sealed.data + at, sizeof(first_event));
		path = vl_sealed_path(env, names->directory, names->stem, first_event, &size);
		if (path == NULL) {
			code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
			break;
		}
		code = read_header(env, os, path, &position, &found, error);
		if (code == VALORI_OK && found && memcmp(position.log_id, log_id, 32) != 0)
			code = drop(os, path, error);
		vl_release(env, path, size);
	}
	vl_buf_free(&sealed);
	return code;
}

/* Step 5: the new log is the log; what is left to do is names. */
static valori_code finish(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			  const uint8_t log_id[32], valori_error *error)
{
	struct vl_head head;
	valori_code code = vl_head_read(os, env->kernels, names->head, &head, NULL);
	int result;

	if (code != VALORI_OK || memcmp(head.log_id, log_id, 32) != 0) {
		code = drop(os, names->head, error);
		if (code != VALORI_OK)
			return code;
	}
	code = drop(os, names->torn, error);
	if (code == VALORI_OK)
		code = drop_old(env, os, names, log_id, error);
	if (code != VALORI_OK)
		return code;
	/* Last: as long as this file is there, the rest is not known to be done. */
	code = sync_directory(os, names->directory, error);
	if (code != VALORI_OK)
		return code;
	result = os->rename(os->context, names->restored, names->snapshot);
	if (result != 0)
		return vl_fail_system(error, result, names->snapshot, "cannot be renamed to");
	return sync_directory(os, names->directory, error);
}

/* Files of a restore that was not decided. */
static valori_code sweep(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			 valori_error *error)
{
	static const char *const suffixes[] = {".restore.val", ".restore.val.new", ".restore.log",
					       ".restore.in"};
	valori_code code = VALORI_OK;

	for (size_t i = 0; code == VALORI_OK && i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		size_t size;
		char *path = beside(env, names, suffixes[i], &size);

		if (path == NULL)
			return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		code = drop(os, path, error);
		vl_release(env, path, size);
	}
	return code;
}

valori_code vl_maintain_recover(const struct vl_env *env, const struct vl_os *os,
				const struct vl_names *names, valori_error *error)
{
	struct vl_position live;
	enum stage stage;
	valori_code code = find_stage(env, os, names, &stage, &live, error);

	if (code != VALORI_OK)
		return code;
	if (stage == DECIDED)
		return finish(env, os, names, live.log_id, error);
	return sweep(env, os, names, error);
}

/* ---- step by step ---- */

static valori_code prepare_names(struct restore *restore, valori_error *error)
{
	restore->live = beside(restore->env, &restore->names, ".restore.log", &restore->name_size);
	restore->input = beside(restore->env, &restore->names, ".restore.in", &restore->name_size);
	restore->backup = beside(restore->env, &restore->names, "", &restore->name_size);
	if (restore->live == NULL || restore->input == NULL || restore->backup == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	return VALORI_OK;
}

/* The store's directory may be yet to come; its parent may not. */
static valori_code enter(struct restore *restore, valori_error *error)
{
	const struct vl_os *os = restore->os;
	valori_code code;
	int result;

	if (!exists(os, restore->names.directory)) {
		result = os->make_directory(os->context, restore->names.directory);
		if (result != 0 && result != -EEXIST)
			return vl_fail_system(error, result, restore->names.directory, "cannot be made");
	}
	code = vl_snapshot_keep_directory(restore->env, os, restore->names.directory, error);
	if (code != VALORI_OK)
		return code;
	code = vl_lock_take(os, restore->names.lock, 1, &restore->maintenance, error);
	if (code == VALORI_OK)
		code = vl_lock_take(os, restore->names.lock, 0, &restore->writer, error);
	if (code == VALORI_OK)
		code = vl_maintain_recover(restore->env, os, &restore->names, error);
	return code;
}

static valori_code open_source(struct restore *restore, const char *path, int fd, valori_error *error)
{
	valori_code code = VALORI_OK;

	if (strcmp(path, "-") == 0) {
		code = vl_snapshot_receive(restore->env, restore->os, fd, "standard input", restore->input,
					   error);
		path = restore->input;
	}
	if (code == VALORI_OK)
		code = vl_snapshot_open(restore->env, restore->os, path, &restore->source, error);
	if (code == VALORI_OK)
		code = vl_snapshot_verify(restore->source, error);
	return code;
}

/* snapshot.val is shared by all stores of a directory: one that another log may need is not pushed aside. */
static valori_code check_place(struct restore *restore, valori_error *error)
{
	struct vl_position live;
	uint8_t id[32];
	bool found;
	valori_code code = read_header(restore->env, restore->os, restore->names.live, &live, &found, error);

	if (code != VALORI_OK ||
	    snapshot_log_id(restore->env, restore->os, restore->names.snapshot, id, NULL) != VALORI_OK)
		return code;
	if ((found && memcmp(id, live.log_id, 32) == 0) ||
	    memcmp(id, vl_snapshot_position(restore->source)->log_id, 32) == 0)
		return VALORI_OK;
	return vl_fail(error, VALORI_OTHER_LOG, "%s: belongs to another log: move it away first",
		       restore->names.snapshot);
}

static valori_code choose_position(struct restore *restore, valori_error *error)
{
	const struct vl_position *from = vl_snapshot_position(restore->source);
	struct vl_position *to = &restore->position;
	int result = restore->os->random(restore->os->context, to->log_id, sizeof(to->log_id));

	if (result != 0)
		return vl_fail_system(error, result, restore->names.live,
				      "no random bytes for the new log's id");
	to->dim = from->dim;
	memcpy(to->parent_id, from->log_id, 32);
	to->parent_commits = from->frontier.size;
	vl_frontier_root(&from->frontier, restore->env->kernels, to->parent_root);
	to->height = from->height;
	to->time_ms = from->time_ms;
	memcpy(to->state_root, from->state_root, 32);
	return VALORI_OK;
}

/* Step 1: the same state under the new log's id. */
static valori_code write_base(struct restore *restore, valori_error *error)
{
	struct vl_commitment commitment;
	struct vl_requests requests;
	struct vl_index index = {0};
	struct vl_state state;
	struct vl_pool *pool;
	bool has_index = false;
	valori_code code = vl_pool_new(restore->env, &pool, error);

	if (code != VALORI_OK)
		return code;
	code = vl_state_init(&state, pool, restore->position.dim, 0, error);
	if (code != VALORI_OK)
		goto free_pool;
	code = vl_commitment_init(&commitment, pool, error);
	if (code != VALORI_OK)
		goto free_state;
	code = vl_requests_init(&requests, pool, error);
	if (code != VALORI_OK)
		goto free_commitment;
	code = vl_snapshot_attach(restore->source, &state, &commitment, &requests, error);
	if (code == VALORI_OK)
		code = vl_snapshot_index(restore->source, &state, &index, &has_index, error);
	if (code == VALORI_OK)
		code = vl_snapshot_write(restore->env, restore->os, &restore->position, &state, &commitment,
					 &requests, has_index ? &index : NULL, restore->names.restored, -1,
					 error);
	vl_index_free(&index);
	vl_requests_free(&requests);
free_commitment:
	vl_commitment_free(&commitment);
free_state:
	vl_state_free(&state);
free_pool:
	vl_pool_free(pool);
	return code;
}

/* A second name for a file in the backup; one that is missing needs none. */
static valori_code keep(struct restore *restore, const char *path, valori_error *error)
{
	const struct vl_os *os = restore->os;
	const char *name = path + strlen(path);
	size_t size = strlen(restore->backup) + strlen(path) + 2;
	char *target;
	int result;

	if (!exists(os, path))
		return VALORI_OK;
	target = vl_alloc(restore->env, size);
	if (target == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	while (name > path && name[-1] != '/')
		name--;
	vl_format(target, size, "%s/%s", restore->backup, name);
	result = os->link(os->context, path, target);
	vl_release(restore->env, target, size);
	return result == 0 ? VALORI_OK
			   : vl_fail_system(error, result, path, "cannot be linked into the backup");
}

static valori_code keep_sealed(struct restore *restore, valori_error *error)
{
	valori_code code = VALORI_OK;

	for (size_t at = 0; code == VALORI_OK && at < restore->sealed.size; at += sizeof(uint64_t)) {
		uint64_t first_event;
		size_t size;
		char *path;

		memcpy(&first_event, restore->sealed.data + at, sizeof(first_event));
		path = vl_sealed_path(restore->env, restore->names.directory, restore->names.stem,
				      first_event, &size);
		if (path == NULL)
			return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		code = keep(restore, path, error);
		vl_release(restore->env, path, size);
	}
	return code;
}

/* Step 2: every old file has a name in a directory of its own. */
static valori_code back_up(struct restore *restore, valori_error *error)
{
	const struct vl_os *os = restore->os;
	const struct vl_names *names = &restore->names;
	size_t stem_end = strlen(restore->backup);
	valori_code code = vl_sealed_list(os, names->directory, names->stem, &restore->sealed, error);
	int result = -EEXIST;

	if (code != VALORI_OK)
		return code;
	if (restore->sealed.size == 0 && !exists(os, names->live) && !exists(os, names->snapshot) &&
	    !exists(os, names->head))
		return VALORI_OK;
	for (unsigned n = 1; result == -EEXIST && n < BACKUPS_MAX; n++) {
		vl_format(restore->backup + stem_end, restore->name_size - stem_end, ".before-restore-%u", n);
		result = os->make_directory(os->context, restore->backup);
	}
	if (result != 0)
		return vl_fail_system(error, result, restore->backup, "cannot be made");
	code = keep(restore, names->live, error);
	if (code == VALORI_OK)
		code = keep_sealed(restore, error);
	if (code == VALORI_OK)
		code = keep(restore, names->head, error);
	if (code == VALORI_OK)
		code = keep(restore, names->torn, error);
	if (code == VALORI_OK)
		code = keep(restore, names->snapshot, error);
	if (code == VALORI_OK)
		code = sync_directory(os, restore->backup, error);
	return code;
}

/* Step 3: the new log, still without its name. */
static valori_code write_live(struct restore *restore, valori_error *error)
{
	const struct vl_os *os = restore->os;
	uint8_t header[VL_SEGMENT_HEADER];
	valori_code code = drop(os, restore->live, error);
	int fd, result;

	if (code != VALORI_OK)
		return code;
	vl_segment_header_encode(&restore->position, restore->env->kernels, header);
	fd = os->open(os->context, restore->live, VL_OS_CREATE);
	if (fd < 0)
		return vl_fail_system(error, fd, restore->live, "cannot be made");
	result = vl_os_pwrite_all(os, fd, header, sizeof(header), 0);
	if (result == 0)
		result = os->sync(os->context, fd);
	os->close(os->context, fd);
	if (result != 0)
		return vl_fail_system(error, result, restore->live, "cannot be written");
	return sync_directory(os, restore->names.directory, error);
}

static valori_code carry_out(struct restore *restore, const char *snapshot, int fd, valori_error *error)
{
	const struct vl_os *os = restore->os;
	valori_code code = enter(restore, error);
	int result;

	if (code == VALORI_OK)
		code = open_source(restore, snapshot, fd, error);
	if (code == VALORI_OK)
		code = check_place(restore, error);
	if (code == VALORI_OK)
		code = choose_position(restore, error);
	if (code == VALORI_OK)
		code = write_base(restore, error);
	if (code == VALORI_OK)
		code = back_up(restore, error);
	if (code == VALORI_OK)
		code = write_live(restore, error);
	if (code != VALORI_OK)
		return code;
	result = os->rename(os->context, restore->live, restore->names.live);
	if (result != 0)
		return vl_fail_system(error, result, restore->names.live, "cannot be renamed to");
	code = sync_directory(os, restore->names.directory, error);
	if (code == VALORI_OK)
		code = finish(restore->env, os, &restore->names, restore->position.log_id, error);
	return code;
}

valori_code vl_maintain_restore(const struct vl_env *env, const struct vl_os *os, const char *log,
				const char *snapshot, int fd, valori_snapshot_info *out, valori_error *error)
{
	struct restore restore = {.env = env, .os = os, .maintenance = -1, .writer = -1};
	valori_code code = vl_names_init(&restore.names, os, log, error);

	if (code != VALORI_OK)
		return code;
	vl_buf_init(&restore.sealed, env);
	code = prepare_names(&restore, error);
	if (code == VALORI_OK)
		code = carry_out(&restore, snapshot, fd, error);
	if (code == VALORI_OK && out != NULL) {
		code = vl_snapshot_open(env, os, restore.names.snapshot, &restore.made, error);
		if (code == VALORI_OK)
			vl_snapshot_describe(restore.made, out);
	}
	vl_snapshot_close(restore.made);
	vl_snapshot_close(restore.source);
	/* Ends what failed behind the deciding rename and can be ended now; sweeps up what failed before. */
	if (restore.writer >= 0) {
		if (code != VALORI_OK)
			(void)vl_maintain_recover(env, os, &restore.names, NULL);
		(void)drop(os, restore.input, NULL);
	}
	vl_lock_release(os, restore.writer);
	vl_lock_release(os, restore.maintenance);
	vl_buf_free(&restore.sealed);
	vl_release(env, restore.live, restore.name_size);
	vl_release(env, restore.input, restore.name_size);
	vl_release(env, restore.backup, restore.name_size);
	vl_names_free(&restore.names);
	return code;
}

valori_code valori_restore(const char *log, const char *snapshot, valori_snapshot_info *out,
			   valori_error *error)
{
	if (log == NULL || snapshot == NULL)
		return vl_fail(error, VALORI_INVALID, "restore: a path is missing");
	return vl_maintain_restore(vl_host_env(), &vl_os_real, log, snapshot, 0, out, error);
}
