/* verify.c - is this log, this snapshot, what it says it is? Streaming: in memory is the state without its vectors. */
#include "verify.h"

#include "crc32c.h"
#include "host.h"
#include "log_private.h"
#include "maintain.h"
#include "replica.h"

enum { PIECE = 16 << 10 }; /* read at a time when checksums are looked at again */

enum {
	MAGIC_SIZE = 8,
	TRIES_MAX = 8 /* for a log that is trimmed while it is read */
};

struct verifier {
	const struct vl_env *env;
	const struct vl_os *os;
	const valori_verify_options *options;
	valori_verify_report *report;
	struct vl_names names; /* of the store, when a path was given */
	bool has_names;
	struct vl_reader *reader;
	struct vl_replica replica;
	bool is_state_known;          /* the replica has a state, and is not only following what commits say */
	struct vl_snapshot *snapshot; /* sound, and of this log */
	bool is_snapshot_open;        /* ... and its commit has not been reached yet */
	uint64_t end_commits;         /* of options->at when it names a root */
	struct vl_head head;
	bool has_head;
	bool is_head_different, is_size_met, is_size_different;
	valori_hash met_root;
	valori_error snapshot_fault; /* of a snapshot that is beside the log, or was named */
	char snapshot_path[256];
	bool has_snapshot_fault, is_snapshot_foreign;
	uint8_t prefix[MAGIC_SIZE]; /* of a stream: its first bytes */
	size_t prefix_size;
};

static const char *stream_name(const valori_verify_options *options)
{
	return options->name != NULL ? options->name : "standard input";
}

/* ---- The report ---- */

static void add_sentence(valori_verify_report *report, const char *sentence)
{
	size_t used = strlen(report->sentence);

	if (used > 0)
		used += vl_format(report->sentence + used, sizeof(report->sentence) - used, "; ");
	vl_format(report->sentence + used, sizeof(report->sentence) - used, "%s", sentence);
}

static void set_path(valori_verify_report *report, const char *path)
{
	if (path != NULL)
		vl_format(report->fault_path, sizeof(report->fault_path), "%s", path);
}

/* What is proven so far. */
static void set_proven(struct verifier *verifier)
{
	valori_verify_report *report = verifier->report;
	const struct vl_replica *replica = &verifier->replica;

	report->height = replica->applied_height;
	report->commits = replica->applied_commits;
	report->time_ms = replica->applied_time_ms;
	memcpy(report->state_root.bytes, replica->root, VL_HASH_SIZE);
	/* Commits are applied some at a time: when one of those is at fault, the reader has gone too far. */
	if (verifier->reader != NULL && vl_reader_position(verifier->reader)->frontier.size == report->commits)
		vl_frontier_root(&vl_reader_position(verifier->reader)->frontier, verifier->env->kernels,
				 report->tree_root.bytes);
}

static void add_proven(struct verifier *verifier)
{
	valori_verify_report *report = verifier->report;
	char root[65], sentence[256];

	if (report->height == report->base_height) {
		add_sentence(report, "nothing before it is left to be proven");
		return;
	}
	valori_hash_format(&report->state_root, root);
	vl_format(sentence, sizeof(sentence), "%s: events %llu to %llu, in %llu commits, state root %.*s...",
		  verifier->is_state_known ? "still proven" : "sound as far as it can be told without the state",
		  (unsigned long long)report->base_height, (unsigned long long)(report->height - 1),
		  (unsigned long long)(report->commits), 16, root);
	add_sentence(report, sentence);
	vl_format(sentence, sizeof(sentence), "valori-replay --to=%llu -o FILE copies them",
		  (unsigned long long)report->height);
	add_sentence(report, sentence);
}

/* ---- Accident or rewriting ---- */

static valori_code look_at_header(const struct verifier *verifier, int fd, const char *path, bool *is_right,
				  valori_error *error)
{
	uint8_t header[VL_SEGMENT_HEADER];
	struct vl_position position;
	int64_t count = vl_os_pread_all(verifier->os, fd, header, sizeof(header), 0);

	if (count < 0)
		return vl_fail_system(error, (int)count, path, "cannot be read");
	*is_right = count == sizeof(header) &&
		    vl_segment_header_decode(header, "", verifier->env->kernels, &position, NULL) == VALORI_OK;
	return VALORI_OK;
}

static valori_code look_at_commit(const struct verifier *verifier, int fd, const char *path, uint64_t offset,
				  bool *is_right, uint64_t *time_ms, valori_error *error)
{
	const struct vl_os *os = verifier->os;
	const struct vl_kernels *kernels = verifier->env->kernels;
	uint8_t header[VL_COMMIT_HEADER], piece[PIECE];
	uint64_t left, at = offset + VL_COMMIT_HEADER;
	uint32_t crc = 0;
	int64_t count = vl_os_pread_all(os, fd, header, sizeof(header), offset);

	if (count < 0)
		return vl_fail_system(error, (int)count, path, "cannot be read");
	if (count != sizeof(header) || memcmp(header, "VCMT", 4) != 0 ||
	    vl_crc32c(kernels, 0, header + 8, sizeof(header) - 8) != vl_get32(header + 4))
		return VALORI_OK;
	*time_ms = vl_get64(header + 32);
	left = vl_get64(header + 8);
	if (left > VL_COMMIT_SIZE_MAX)
		return VALORI_OK;
	while (left > 0) {
		size_t size = left < PIECE ? (size_t)left : PIECE;

		count = vl_os_pread_all(os, fd, piece, size, at);
		if (count < 0)
			return vl_fail_system(error, (int)count, path, "cannot be read");
		if (count != (int64_t)size)
			return VALORI_OK;
		crc = vl_crc32c(kernels, crc, piece, size);
		at += size;
		left -= size;
	}
	*is_right = crc == vl_get32(header + 52);
	return VALORI_OK;
}

/*
 * Are both checksums of the commit, or that of the segment header, at offset right? Then whoever changed it has
 * computed them anew. *time_ms is set when a commit's header is sound. What cannot be read is no accident: IO.
 */
static valori_code are_checksums_right(const struct verifier *verifier, const char *path, uint64_t offset,
				       bool *is_right, uint64_t *time_ms, valori_error *error)
{
	const struct vl_os *os = verifier->os;
	int fd = os->open(os->context, path, VL_OS_READ);
	valori_code code;

	*is_right = false;
	if (fd < 0)
		return vl_fail_system(error, fd, path, "cannot be opened");
	if (offset < VL_SEGMENT_HEADER)
		code = look_at_header(verifier, fd, path, is_right, error);
	else
		code = look_at_commit(verifier, fd, path, offset, is_right, time_ms, error);
	os->close(os->context, fd);
	return code;
}

static valori_code report_reader_fault(struct verifier *verifier, const valori_error *fault, valori_error *error)
{
	valori_verify_report *report = verifier->report;
	const struct vl_position *position = vl_reader_position(verifier->reader);
	const char *path = vl_reader_fault_path(verifier->reader);
	uint64_t time_ms = VALORI_NONE;
	bool is_right = false;
	valori_code code = VALORI_OK;

	if (fault->code == VALORI_DAMAGED && fault->offset != VALORI_NONE && path != NULL &&
	    verifier->options->path != NULL)
		code = are_checksums_right(verifier, path, fault->offset, &is_right, &time_ms, error);
	if (code != VALORI_OK)
		return code;
	set_proven(verifier);
	report->fault_offset = fault->offset;
	report->fault_event = fault->event != VALORI_NONE ? fault->event : position->height;
	report->fault_commit = position->frontier.size;
	set_path(report, path);
	report->fault_rewrite = is_right || fault->code == VALORI_OTHER_LOG;
	report->fault_time_ms = time_ms;
	report->verdict = report->fault_rewrite ? VALORI_TAMPERED : VALORI_VERDICT_DAMAGED;
	add_sentence(report, fault->message);
	if (fault->code == VALORI_DAMAGED)
		add_sentence(report,
			     report->fault_rewrite
				     ? "its checksums are right: it was rewritten, or commits before it were taken out"
				     : "checksums are broken, as by an accident");
	add_proven(verifier);
	return VALORI_OK;
}

static void report_rewritten(struct verifier *verifier, const valori_error *fault)
{
	valori_verify_report *report = verifier->report;
	const struct vl_commit *commit = &verifier->replica.fault;

	set_proven(verifier);
	report->verdict = VALORI_TAMPERED;
	report->fault_rewrite = 1;
	report->fault_offset = fault->offset;
	report->fault_event = fault->event;
	report->fault_commit = commit->number;
	report->fault_time_ms = commit->time_ms;
	set_path(report, (const char *)verifier->replica.path.data);
	add_sentence(report, fault->message);
	add_proven(verifier);
}

/* ---- Snapshots ---- */

static valori_code start_report(struct verifier *verifier)
{
	valori_verify_report *report = verifier->report;
	uint32_t size = report->size;

	memset(report, 0, sizeof(*report));
	report->size = size;
	report->fault_offset = report->fault_event = report->fault_commit = report->fault_time_ms = VALORI_NONE;
	report->expect_height = VALORI_NONE;
	return VALORI_OK;
}

static bool is_verdict_code(valori_code code)
{
	return code == VALORI_DAMAGED || code == VALORI_MISSING || code == VALORI_MISMATCH;
}

/* The judgement on a state that is known, or (is_known false) only claimed. */
static void judge_root(struct verifier *verifier, bool is_known)
{
	valori_verify_report *report = verifier->report;
	const valori_hash *expect = &verifier->options->expect;
	char sentence[256], is[65], should_be[65];

	if (memcmp(report->state_root.bytes, expect->bytes, VL_HASH_SIZE) == 0) {
		report->expect_reached = 1;
		report->expect_height = report->height;
		report->verdict = is_known ? VALORI_VERIFIED_STATE : VALORI_INDETERMINATE;
		add_sentence(
			report,
			is_known
				? "the state root is the one expected"
				: "the log says it has the expected state root, but the state it begins with is not "
				  "here to compute it from");
		return;
	}
	report->verdict = VALORI_DIFFERS;
	valori_hash_format(&report->state_root, is);
	valori_hash_format(expect, should_be);
	vl_format(sentence, sizeof(sentence), "the state root is %.*s..., expected is %.*s...", 16, is, 16, should_be);
	add_sentence(report, sentence);
	if (report->expect_reached) {
		vl_format(sentence, sizeof(sentence), "which was the state root at event %llu",
			  (unsigned long long)report->expect_height);
		add_sentence(report, sentence);
	}
}

/* path NULL: the stream, whose first bytes are verifier->prefix. */
static valori_code verify_snapshot(struct verifier *verifier, const char *path, valori_error *error)
{
	const valori_verify_options *options = verifier->options;
	valori_verify_report *report = verifier->report;
	const struct vl_position *position;
	struct vl_snapshot *snapshot;
	valori_error fault;
	valori_code code;

	if (path != NULL) {
		code = vl_snapshot_open(verifier->env, verifier->os, path, &snapshot, &fault);
	} else {
		path = stream_name(options);
		code = vl_snapshot_open_stream(verifier->env, verifier->os, options->fd, path, verifier->prefix,
					       verifier->prefix_size, &snapshot, &fault);
	}
	report->is_snapshot = 1;
	if (code == VALORI_OK) {
		position = vl_snapshot_position(snapshot);
		memcpy(report->log_id.bytes, position->log_id, VL_HASH_SIZE);
		code = vl_snapshot_verify(snapshot, &fault);
	}
	if (code != VALORI_OK) {
		vl_snapshot_close(snapshot);
		if (!is_verdict_code(code)) {
			if (error != NULL)
				*error = fault;
			return code;
		}
		report->verdict = VALORI_VERDICT_DAMAGED;
		report->fault_offset = fault.offset;
		report->fault_event = fault.event;
		set_path(report, path);
		add_sentence(report, fault.message);
		add_sentence(report, "the log, where there is one, is enough to make another snapshot");
		return VALORI_OK;
	}
	report->base_height = report->height = position->height;
	report->commits = position->frontier.size;
	report->time_ms = position->time_ms;
	report->snapshot_used = 2;
	memcpy(report->state_root.bytes, position->state_root, VL_HASH_SIZE);
	vl_frontier_root(&position->frontier, verifier->env->kernels, report->tree_root.bytes);
	vl_snapshot_close(snapshot);
	if (options->expect_kind == 0) {
		report->verdict = VALORI_CONSISTENT;
		add_sentence(report, "the snapshot agrees with itself; nothing to compare with was given");
	} else if (options->expect_kind == 1) {
		judge_root(verifier, true);
	} else if (options->expect_size != report->commits) {
		report->verdict = VALORI_INDETERMINATE;
		add_sentence(
			report,
			"a snapshot proves the history at its own commit only; the one expected is of another size");
	} else if (memcmp(report->tree_root.bytes, options->expect.bytes, VL_HASH_SIZE) == 0) {
		report->verdict = VALORI_VERIFIED_HISTORY;
		report->expect_reached = 1;
		report->expect_height = report->height;
		add_sentence(report, "the history that the snapshot names is the one expected");
	} else {
		report->verdict = VALORI_TAMPERED;
		add_sentence(report, "the history that the snapshot names is not the one expected");
	}
	return VALORI_OK;
}

static bool path_exists(const struct verifier *verifier, const char *path)
{
	struct vl_os_stat stat;

	return verifier->os->stat_path(verifier->os->context, path, &stat) == 0;
}

static bool has_snapshot_magic(const uint8_t *data, size_t size)
{
	return size >= MAGIC_SIZE && memcmp(data, "VALORISN", MAGIC_SIZE) == 0;
}

/* The first bytes of the stream say what it is; they are handed on to who reads the rest. */
static valori_code read_prefix(struct verifier *verifier, valori_error *error)
{
	const struct vl_os *os = verifier->os;

	while (verifier->prefix_size < MAGIC_SIZE) {
		int64_t count = os->read(os->context, verifier->options->fd, verifier->prefix + verifier->prefix_size,
					 MAGIC_SIZE - verifier->prefix_size);

		if (count < 0) {
			vl_fail(error, VALORI_IO, "%s: cannot be read: %s", stream_name(verifier->options),
				vl_os_error_text((int)count));
			error->system_errno = (int32_t)-count;
			return VALORI_IO;
		}
		if (count == 0)
			break;
		verifier->prefix_size += (size_t)count;
	}
	return VALORI_OK;
}

static bool is_snapshot_file(const struct verifier *verifier, const char *path)
{
	const struct vl_os *os = verifier->os;
	struct vl_os_stat stat;
	uint8_t magic[8];
	bool is_snapshot;
	int fd;

	if (os->stat_path(os->context, path, &stat) != 0 || !stat.is_regular)
		return false;
	fd = os->open(os->context, path, VL_OS_READ);
	if (fd < 0)
		return false;
	is_snapshot = vl_os_pread_all(os, fd, magic, sizeof(magic), 0) == sizeof(magic) &&
		      has_snapshot_magic(magic, sizeof(magic));
	os->close(os->context, fd);
	return is_snapshot;
}

/* The snapshot to go with the log: the one named, or the one beside it. Unsound or foreign ones are remembered. */
static valori_code open_snapshot(struct verifier *verifier, valori_error *error)
{
	const char *path = verifier->options->snapshot;
	valori_error fault;
	valori_code code;

	if (path == NULL && verifier->has_names)
		path = vl_maintain_snapshot(verifier->env, verifier->os, &verifier->names);
	if (path == NULL || *path == '\0')
		return VALORI_OK;
	vl_format(verifier->snapshot_path, sizeof(verifier->snapshot_path), "%s", path);
	code = vl_snapshot_open(verifier->env, verifier->os, path, &verifier->snapshot, &fault);
	if (code == VALORI_OK)
		code = vl_snapshot_verify(verifier->snapshot, &fault);
	if (code == VALORI_OK) {
		const struct vl_position *position = vl_snapshot_position(verifier->snapshot);
		const struct vl_position *base = vl_reader_base(verifier->reader);

		verifier->is_snapshot_foreign =
			position->dim != base->dim || memcmp(position->log_id, base->log_id, VL_HASH_SIZE) != 0;
		verifier->is_snapshot_open = !verifier->is_snapshot_foreign;
		return VALORI_OK;
	}
	vl_snapshot_close(verifier->snapshot);
	verifier->snapshot = NULL;
	if (!is_verdict_code(code) && (code != VALORI_NOT_OURS || verifier->options->snapshot != NULL)) {
		if (error != NULL)
			*error = fault;
		return code;
	}
	verifier->has_snapshot_fault = true;
	verifier->snapshot_fault = fault;
	if (code == VALORI_NOT_OURS)
		verifier->snapshot_fault.offset = 0;
	return VALORI_OK;
}

/* ---- Logs ---- */

static void on_commit(void *context, const struct vl_commit *commit)
{
	struct verifier *verifier = context;
	const valori_verify_options *options = verifier->options;
	valori_verify_report *report = verifier->report;
	valori_commit_view view;

	if (options->expect_kind == 1 && memcmp(commit->state_root, options->expect.bytes, VL_HASH_SIZE) == 0) {
		report->expect_reached = 1;
		report->expect_height = commit->first_event + commit->event_count;
	}
	if (options->trace == NULL)
		return;
	view = (valori_commit_view){.number = commit->number,
				    .first_event = commit->first_event,
				    .time_ms = commit->time_ms,
				    .event_count = commit->event_count,
				    .request_count = commit->request_count,
				    .offset = commit->offset,
				    .path = commit->path,
				    .bytes = commit->bytes,
				    .size = commit->size};
	memcpy(view.state_root.bytes, commit->state_root, VL_HASH_SIZE);
	/* With a trace commits are checked one by one, so the reader stands right behind this one. */
	vl_frontier_root(&vl_reader_position(verifier->reader)->frontier, verifier->env->kernels, view.tree_root.bytes);
	options->trace(options->context, &view);
}

/* What the position that the reader has reached is to be compared with: history expected, head. */
static void compare_position(struct verifier *verifier)
{
	const struct vl_position *position = vl_reader_position(verifier->reader);
	const valori_verify_options *options = verifier->options;
	uint64_t size = position->frontier.size;
	uint8_t root[VL_HASH_SIZE];

	if (options->expect_kind == 2 && size == options->expect_size) {
		vl_frontier_root(&position->frontier, verifier->env->kernels, verifier->met_root.bytes);
		verifier->is_size_met = true;
		verifier->is_size_different =
			memcmp(verifier->met_root.bytes, options->expect.bytes, VL_HASH_SIZE) != 0;
		verifier->report->expect_reached = !verifier->is_size_different;
		verifier->report->expect_height = position->height;
	}
	if (verifier->has_head && size == verifier->head.commits) {
		vl_frontier_root(&position->frontier, verifier->env->kernels, root);
		verifier->is_head_different = memcmp(root, verifier->head.tree_root, VL_HASH_SIZE) != 0;
	}
}

/* At the commit of the snapshot: they must agree, and a log without its beginning gets its state here. */
static valori_code meet_snapshot(struct verifier *verifier, valori_error *error)
{
	const struct vl_position *there = vl_snapshot_position(verifier->snapshot),
				 *here = vl_reader_position(verifier->reader);
	uint8_t a[VL_HASH_SIZE], b[VL_HASH_SIZE];
	valori_code code = vl_replica_flush(&verifier->replica, error);

	if (code != VALORI_OK)
		return code;
	verifier->is_snapshot_open = false;
	vl_frontier_root(&here->frontier, verifier->env->kernels, a);
	vl_frontier_root(&there->frontier, verifier->env->kernels, b);
	if (here->height != there->height || memcmp(a, b, VL_HASH_SIZE) != 0 ||
	    memcmp(here->state_root, there->state_root, VL_HASH_SIZE) != 0 ||
	    memcmp(verifier->replica.root, there->state_root, VL_HASH_SIZE) != 0) {
		/* The log goes on being verified: it may be the sound one. */
		verifier->has_snapshot_fault = true;
		vl_fail(&verifier->snapshot_fault, VALORI_MISMATCH,
			"%s: differs from the log at event %llu: one of them was rewritten", verifier->snapshot_path,
			(unsigned long long)there->height);
		return VALORI_OK;
	}
	if (verifier->is_state_known) {
		verifier->report->snapshot_used = 2;
		return VALORI_OK;
	}
	verifier->report->snapshot_used = 1;
	code = vl_snapshot_attach_replica(verifier->snapshot, &verifier->replica, VL_STATE_NO_VECTORS, error);
	verifier->is_state_known = code == VALORI_OK;
	return code;
}

static bool is_at_snapshot(const struct verifier *verifier)
{
	return verifier->is_snapshot_open && vl_reader_position(verifier->reader)->frontier.size ==
						     vl_snapshot_position(verifier->snapshot)->frontier.size;
}

static bool is_at_end(const struct verifier *verifier)
{
	const struct vl_position *position = vl_reader_position(verifier->reader);
	const valori_when *at = &verifier->options->at;

	return (at->kind == VALORI_WHEN_HEIGHT && position->height >= at->value) ||
	       (at->kind == VALORI_WHEN_ROOT && position->frontier.size >= verifier->end_commits);
}

/* Reads to the end, or to the moment asked for. MISMATCH: a commit is not what it says. */
static valori_code walk(struct verifier *verifier, valori_error *error)
{
	const valori_when *at = &verifier->options->at;
	struct vl_commit commit;
	valori_code code = VALORI_OK, read = VALORI_OK;
	valori_error fault;

	compare_position(verifier);
	if (is_at_snapshot(verifier))
		code = meet_snapshot(verifier, error);
	while (code == VALORI_OK && !is_at_end(verifier)) {
		read = vl_reader_next(verifier->reader, &commit, &fault);
		if (read != VALORI_OK || (at->kind == VALORI_WHEN_TIME && commit.time_ms > at->value))
			break;
		code = vl_replica_put(&verifier->replica, &commit, error);
		if (code == VALORI_OK && verifier->options->trace != NULL)
			code = vl_replica_flush(&verifier->replica, error);
		if (verifier->options->progress != NULL)
			verifier->options->progress(verifier->options->context,
						    vl_reader_position(verifier->reader)->height);
		compare_position(verifier);
		if (code == VALORI_OK && is_at_snapshot(verifier))
			code = meet_snapshot(verifier, error);
	}
	if (code == VALORI_OK)
		code = vl_replica_flush(&verifier->replica, error);
	if (code != VALORI_OK)
		return code;
	if (read == VALORI_END)
		verifier->report->torn_size = vl_reader_torn_size(verifier->reader);
	if (read == VALORI_OK || read == VALORI_END)
		return VALORI_OK;
	if (error != NULL)
		*error = fault;
	return read;
}

/* An --at ROOT means the last commit that has it: found by reading ahead once. */
static valori_code find_end(struct verifier *verifier, const struct vl_reader_options *options, valori_error *error)
{
	const valori_when *at = &verifier->options->at;
	struct vl_reader *reader;
	struct vl_commit commit;
	bool is_found;
	valori_code code;

	if (at->kind > VALORI_WHEN_TIME)
		return vl_fail(error, VALORI_INVALID, "unknown kind of moment %u", at->kind);
	if (at->kind != VALORI_WHEN_ROOT)
		return VALORI_OK;
	if (options->path == NULL)
		return vl_fail(error, VALORI_INVALID, "%s: a root cannot be looked for in a stream", options->name);
	code = vl_reader_open(verifier->env, verifier->os, options, &reader, error);
	if (code != VALORI_OK)
		return code;
	is_found = memcmp(vl_reader_base(reader)->state_root, at->root.bytes, VL_HASH_SIZE) == 0;
	verifier->end_commits = vl_reader_base(reader)->frontier.size;
	while ((code = vl_reader_next(reader, &commit, error)) == VALORI_OK)
		if (memcmp(commit.state_root, at->root.bytes, VL_HASH_SIZE) == 0) {
			is_found = true;
			verifier->end_commits = commit.number + 1;
		}
	vl_reader_close(reader);
	if (code == VALORI_IO || code == VALORI_NO_MEMORY)
		return code;
	if (code != VALORI_END && !is_found) { /* it may be behind the fault, which verifying comes to */
		verifier->end_commits = VALORI_NONE;
		return VALORI_OK;
	}
	return is_found ? VALORI_OK : vl_fail(error, VALORI_NOT_FOUND, "%s: never had that state root", options->path);
}

/* A log that begins with the empty store brings its whole state; another one has to wait for a snapshot. */
static valori_code begin(struct verifier *verifier, valori_error *error)
{
	const struct vl_position *base = vl_reader_base(verifier->reader);
	valori_verify_report *report = verifier->report;
	struct vl_replica *replica = &verifier->replica;
	const valori_when *at = &verifier->options->at;
	valori_code code;

	if ((at->kind == VALORI_WHEN_HEIGHT && at->value < base->height) ||
	    (at->kind == VALORI_WHEN_TIME && base->height != 0 && at->value < base->time_ms))
		return vl_fail(error, VALORI_UNKNOWABLE, "%s: history before event %llu was trimmed",
			       vl_reader_path(verifier->reader), (unsigned long long)base->height);
	report->base_height = base->height;
	report->segments = vl_reader_segments(verifier->reader);
	memcpy(report->log_id.bytes, base->log_id, VL_HASH_SIZE);
	if (base->height == 0 && base->frontier.size == 0) {
		code = vl_replica_init(replica, verifier->env, base->dim, VL_STATE_NO_VECTORS, error);
		if (code != VALORI_OK)
			return code;
		verifier->is_state_known = true;
		if (memcmp(replica->root, base->state_root, VL_HASH_SIZE) != 0)
			return vl_fail(error, VALORI_MISMATCH,
				       "%s: offset 160: the header does not name the root of the empty state",
				       vl_reader_path(verifier->reader));
	} else {
		vl_replica_init_blind(replica, verifier->env, base->dim);
		memcpy(replica->root, base->state_root, VL_HASH_SIZE);
	}
	replica->applied = on_commit;
	replica->context = verifier;
	replica->applied_height = base->height;
	replica->applied_commits = base->frontier.size;
	replica->applied_time_ms = base->time_ms;
	return VALORI_OK;
}

static void judge_history(struct verifier *verifier)
{
	const valori_verify_options *options = verifier->options;
	valori_verify_report *report = verifier->report;
	char sentence[256], text[65];

	if (verifier->is_size_met && !verifier->is_size_different) {
		report->verdict = VALORI_VERIFIED_HISTORY;
		vl_format(sentence, sizeof(sentence), "the history of %llu commits is the one expected%s%s",
			  (unsigned long long)options->expect_size,
			  options->expect_size < report->commits ? ", and what came later follows from it" : "",
			  verifier->is_state_known
				  ? ""
				  : "; the state was not computed again, for what it began with is not here");
		add_sentence(report, sentence);
		return;
	}
	if (verifier->is_size_met) {
		report->verdict = VALORI_TAMPERED;
		valori_hash_format(&verifier->met_root, text);
		vl_format(sentence, sizeof(sentence),
			  "the history of %llu commits has the tree root %.*s..., which is not the one expected",
			  (unsigned long long)options->expect_size, 16, text);
	} else if (options->expect_size < report->commits) {
		report->verdict = VALORI_INDETERMINATE;
		vl_format(sentence, sizeof(sentence),
			  "the expected history of %llu commits lies before what this log still holds",
			  (unsigned long long)options->expect_size);
	} else {
		report->verdict = VALORI_TAMPERED;
		vl_format(sentence, sizeof(sentence),
			  "the history has %llu commits, %llu are expected: it was cut or rolled back",
			  (unsigned long long)report->commits, (unsigned long long)options->expect_size);
	}
	add_sentence(report, sentence);
}

static void judge(struct verifier *verifier)
{
	valori_verify_report *report = verifier->report;

	set_proven(verifier);
	if (!verifier->is_head_different)
		vl_format(report->note, sizeof(report->note), "%s", vl_reader_note(verifier->reader));
	if (verifier->has_snapshot_fault) {
		bool is_mismatch = verifier->snapshot_fault.code == VALORI_MISMATCH;

		report->verdict = is_mismatch ? VALORI_TAMPERED : VALORI_VERDICT_DAMAGED;
		report->fault_rewrite = is_mismatch;
		report->fault_offset = verifier->snapshot_fault.offset;
		set_path(report, verifier->snapshot_path);
		add_sentence(report, verifier->snapshot_fault.message);
		if (!is_mismatch)
			add_sentence(report,
				     verifier->is_state_known
					     ? "the log itself is sound, and enough to make another snapshot"
					     : "the log is sound in itself, but it does not go back to its beginning");
		return;
	}
	if (verifier->is_head_different) {
		report->verdict = VALORI_TAMPERED;
		report->fault_rewrite = 1;
		set_path(report, verifier->names.head);
		add_sentence(
			report,
			"the log agrees with itself, but its history is not the one that the head file remembers: "
			"one of them was rewritten");
		return;
	}
	if (verifier->is_snapshot_foreign && verifier->options->snapshot != NULL) {
		report->verdict = VALORI_TAMPERED;
		set_path(report, verifier->snapshot_path);
		add_sentence(report, "the snapshot is of another log");
		return;
	}
	if (verifier->is_snapshot_open && verifier->options->at.kind == VALORI_WHEN_LATEST &&
	    vl_snapshot_position(verifier->snapshot)->frontier.size > report->commits) {
		report->verdict = VALORI_VERDICT_DAMAGED;
		set_path(report, verifier->snapshot_path);
		add_sentence(report, "the snapshot is later than the end of the log: commits are missing");
		add_proven(verifier);
		return;
	}
	if (verifier->is_snapshot_foreign)
		add_sentence(report, "the snapshot beside it is of another log, and was not used");
	if (verifier->options->expect_kind == 1) {
		judge_root(verifier, verifier->is_state_known);
	} else if (verifier->options->expect_kind == 2) {
		judge_history(verifier);
	} else {
		report->verdict = VALORI_CONSISTENT;
		add_sentence(
			report,
			verifier->is_state_known
				? "the log agrees with itself; nothing to compare with was given"
				: "what is left of the log agrees with itself; the state was not computed again, for "
				  "what it began with is in a snapshot that was not given");
	}
}

/* Is the log the one whose first segment was opened, and was not replaced, as by a restore, while it was read? */
static valori_code is_base_still_there(const struct verifier *verifier, bool *out, valori_error *error)
{
	const struct vl_reader_options reading = {.path = verifier->options->path,
						  .archive = verifier->options->archive,
						  .fd = -1,
						  .ignore_head = true};
	struct vl_reader *now;
	valori_code code;

	*out = false;
	if (reading.path == NULL || verifier->reader == NULL)
		return VALORI_OK;
	code = vl_reader_open(verifier->env, verifier->os, &reading, &now, error);
	if (code == VALORI_OK) {
		*out = memcmp(vl_reader_base(now)->log_id, vl_reader_base(verifier->reader)->log_id, VL_HASH_SIZE) == 0;
		vl_reader_close(now);
	}
	return code == VALORI_IO || code == VALORI_NO_MEMORY ? code : VALORI_OK;
}

static valori_code verify_log(struct verifier *verifier, valori_error *error)
{
	const valori_verify_options *options = verifier->options;
	struct vl_reader_options reading = {.path = options->path,
					    .archive = options->archive,
					    .fd = options->fd,
					    .name = stream_name(options),
					    .prefix = verifier->prefix,
					    .prefix_size = verifier->prefix_size,
					    .fault_path = verifier->report->fault_path,
					    .ignore_head = true};
	valori_error fault;
	bool is_there;
	valori_code code = vl_reader_open(verifier->env, verifier->os, &reading, &verifier->reader, &fault);

	if (is_verdict_code(code)) {
		verifier->report->verdict = VALORI_VERDICT_DAMAGED;
		verifier->report->fault_offset = fault.offset;
		verifier->report->fault_event = fault.event;
		if (verifier->report->fault_path[0] == '\0')
			set_path(verifier->report, options->path);
		add_sentence(verifier->report, fault.message);
		return VALORI_OK;
	}
	if (code == VALORI_NOT_FOUND && verifier->has_names && options->snapshot == NULL &&
	    path_exists(verifier, verifier->names.snapshot))
		return verify_snapshot(verifier, verifier->names.snapshot, error);
	if (code == VALORI_OK)
		code = find_end(verifier, &reading, &fault);
	if (code == VALORI_OK)
		code = open_snapshot(verifier, &fault);
	if (code == VALORI_OK) {
		if (verifier->has_names)
			verifier->has_head = vl_head_read(verifier->os, verifier->env->kernels, verifier->names.head,
							  &verifier->head, NULL) == VALORI_OK &&
					     memcmp(verifier->head.log_id, vl_reader_base(verifier->reader)->log_id,
						    VL_HASH_SIZE) == 0;
		code = begin(verifier, &fault);
	}
	if (code == VALORI_OK)
		code = walk(verifier, &fault);
	if (code == VALORI_OK) {
		judge(verifier);
		if (options->at.kind == VALORI_WHEN_HEIGHT && verifier->report->height < options->at.value)
			return vl_fail(error, VALORI_NOT_FOUND, "%s: has %llu events, not %llu",
				       reading.path != NULL ? reading.path : reading.name,
				       (unsigned long long)verifier->report->height,
				       (unsigned long long)options->at.value);
		return VALORI_OK;
	}
	if (code == VALORI_OTHER_LOG) {
		valori_code looked = is_base_still_there(verifier, &is_there, error);

		if (looked != VALORI_OK)
			return looked;
		if (is_there) {
			code = report_reader_fault(verifier, &fault, error);
			add_sentence(verifier->report, "these are the files of two logs, put together");
			return code;
		}
	}
	if (code == VALORI_MISMATCH)
		report_rewritten(verifier, &fault);
	else if (is_verdict_code(code))
		return report_reader_fault(verifier, &fault, error);
	else if (error != NULL)
		*error = fault;
	return is_verdict_code(code) ? VALORI_OK : code;
}

/* Were segments removed while they were being read? One that was not there from the start will not come. */
static bool was_trimmed_meanwhile(const struct verifier *verifier)
{
	const struct vl_reader_options reading = {.path = verifier->options->path,
						  .archive = verifier->options->archive,
						  .fd = -1,
						  .ignore_head = true};
	struct vl_reader *now;
	bool is_later;

	/* What the caller was shown cannot be taken back. */
	if (reading.path == NULL || verifier->reader == NULL || verifier->options->trace != NULL)
		return false;
	if (vl_reader_open(verifier->env, verifier->os, &reading, &now, NULL) != VALORI_OK)
		return false;
	is_later = vl_reader_base(now)->height > vl_reader_base(verifier->reader)->height;
	vl_reader_close(now);
	return is_later;
}

static valori_code verify_once(struct verifier *verifier, valori_error *error)
{
	const valori_verify_options *options = verifier->options;
	valori_code code = VALORI_OK;

	start_report(verifier);
	vl_replica_init_blind(&verifier->replica, verifier->env, 0);
	if (options->path == NULL)
		code = read_prefix(verifier, error);
	if (code != VALORI_OK)
		return code;
	if (options->path != NULL ? is_snapshot_file(verifier, options->path)
				  : has_snapshot_magic(verifier->prefix, verifier->prefix_size))
		return verify_snapshot(verifier, options->path, error);
	if (options->path != NULL) {
		code = vl_names_init(&verifier->names, verifier->os, options->path, error);
		verifier->has_names = code == VALORI_OK;
	}
	return code == VALORI_OK ? verify_log(verifier, error) : code;
}

static void verifier_free(struct verifier *verifier)
{
	vl_replica_free(&verifier->replica);
	vl_snapshot_close(verifier->snapshot);
	vl_reader_close(verifier->reader);
	if (verifier->has_names)
		vl_names_free(&verifier->names);
}

valori_code vl_verify(const struct vl_env *env, const struct vl_os *os, const valori_verify_options *options,
		      valori_verify_report *out, valori_error *error)
{
	valori_verify_options known = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	valori_error own_error;
	valori_code code;
	bool again;

	if (error == NULL)
		error = &own_error;
	if (options->size < offsetof(valori_verify_options, snapshot) ||
	    out->size < offsetof(valori_verify_report, sentence))
		return vl_fail(error, VALORI_INVALID, "size is not set");
	memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	if ((known.path == NULL) == (known.fd < 0))
		return vl_fail(error, VALORI_INVALID, "either a path or a descriptor is needed");
	for (int tries = 1;; tries++) {
		struct verifier verifier = {.env = env, .os = os, .options = &known, .report = &report};

		code = verify_once(&verifier, error);
		again = code == VALORI_UNKNOWABLE && tries < TRIES_MAX && was_trimmed_meanwhile(&verifier);
		verifier_free(&verifier);
		if (!again)
			break;
	}
	if (code == VALORI_OK) {
		report.size = out->size;
		memcpy(out, &report, out->size < sizeof(report) ? out->size : sizeof(report));
	}
	return code;
}

valori_code valori_verify(const valori_verify_options *options, valori_verify_report *out, valori_error *error)
{
	return vl_verify(vl_host_env(), &vl_os_real, options, out, error);
}
