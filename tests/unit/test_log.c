/* test_log.c - event log files: bytes, reading, writing, and what crashes, damage and full disks do to them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "check.h"
#include "log_private.h"
#include "memory.h"
#include "scratch.h"

static struct memory memory;
static const struct vl_env *const env = &memory.env;
static const struct vl_kernels *const kernels = &vl_kernels_portable;

/* ---- a machine that fails when told to ---- */

static struct faults {
	uint64_t calls;   /* that can fail */
	uint64_t fail_at; /* the call with this number fails; 0: none */
	int error;        /* with this; writes are done by half before */
	bool is_dead;     /* all after it fail, too: the process was killed there */
	uint64_t syncs;
	char trace[200]; /* one letter per call that changes something, in order */
} faults;

static void trace(char letter)
{
	size_t size = strlen(faults.trace);

	if (size + 1 < sizeof(faults.trace))
		faults.trace[size] = letter;
}

static bool fails(void)
{
	faults.calls++;
	return faults.fail_at != 0 &&
	       (faults.calls == faults.fail_at || (faults.is_dead && faults.calls > faults.fail_at));
}

static bool exists(const char *path)
{
	struct vl_os_stat found;

	return vl_os_real.stat_path(NULL, path, &found) == 0;
}

static int faulty_open(void *context, const char *path, enum vl_os_open how)
{
	return fails() ? -faults.error : vl_os_real.open(context, path, how);
}

static int64_t faulty_pread(void *context, int fd, void *data, size_t size, uint64_t offset)
{
	return fails() ? -faults.error : vl_os_real.pread(context, fd, data, size, offset);
}

static int64_t faulty_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	trace('w');
	if (!fails())
		return vl_os_real.pwrite(context, fd, data, size, offset);
	if (faults.calls == faults.fail_at && size > 1)
		(void)vl_os_real.pwrite(context, fd, data, size / 2, offset);
	return -faults.error;
}

static int faulty_sync(void *context, int fd)
{
	(void)context;
	(void)fd;
	faults.syncs++;
	trace('s');
	return fails() ? -faults.error : 0;
}

static int faulty_sync_directory(void *context, const char *path)
{
	(void)context;
	(void)path;
	trace('D');
	return fails() ? -faults.error : 0;
}

static int faulty_truncate(void *context, int fd, uint64_t size)
{
	trace('t');
	return fails() ? -faults.error : vl_os_real.truncate(context, fd, size);
}

static int faulty_rename(void *context, const char *from, const char *to)
{
	trace('r');
	return fails() ? -faults.error : vl_os_real.rename(context, from, to);
}

static int faulty_link(void *context, const char *from, const char *to)
{
	trace('l');
	return fails() ? -faults.error : vl_os_real.link(context, from, to);
}

static int faulty_unlink(void *context, const char *path)
{
	if (exists(path))
		trace('u');
	return fails() ? -faults.error : vl_os_real.unlink(context, path);
}

static const char *hidden; /* a name that a listing leaves out */

struct hiding {
	int (*visit)(void *argument, const char *name);
	void *argument;
};

static int hiding_visit(void *argument, const char *name)
{
	struct hiding *hiding = argument;

	return hidden != NULL && strcmp(name, hidden) == 0 ? 0 : hiding->visit(hiding->argument, name);
}

static int faulty_list(void *context, const char *path, int (*visit)(void *, const char *), void *argument)
{
	struct hiding hiding = {visit, argument};

	return vl_os_real.list(context, path, hiding_visit, &hiding);
}

static struct vl_os disk; /* the real machine without the waiting for the disk */

static void disk_init(void)
{
	disk = vl_os_real;
	disk.open = faulty_open;
	disk.pread = faulty_pread;
	disk.pwrite = faulty_pwrite;
	disk.sync = faulty_sync;
	disk.sync_directory = faulty_sync_directory;
	disk.truncate = faulty_truncate;
	disk.rename = faulty_rename;
	disk.link = faulty_link;
	disk.unlink = faulty_unlink;
	disk.list = faulty_list;
}

static void faults_clear(void)
{
	memset(&faults, 0, sizeof(faults));
}

/* ---- commits that look like commits: the log does not look into events ---- */

static void position_new(struct vl_position *position, uint8_t id)
{
	memset(position, 0, sizeof(*position));
	position->dim = 3;
	memset(position->log_id, id, 32);
	memset(position->state_root, 0x55, 32);
}

/*
 * Appends the next commit after position to buf, and moves position past it. Everything in it follows from its
 * number.
 */
static void commit_put(struct vl_buf *buf, struct vl_position *position, uint32_t event_count, size_t padding)
{
	size_t start = buf->size;
	uint64_t seed = position->frontier.size + 1;
	uint32_t request_count = event_count > 2 ? 2 : 0;
	struct vl_commit commit;
	valori_error error;

	vl_buf_zero(buf, VL_COMMIT_HEADER);
	for (uint32_t i = 0; i < request_count; i++) {
		vl_buf_put32(buf, i + 1);
		vl_buf_put32(buf, 0);
		vl_buf_put64(buf, check_random(&seed));
		vl_buf_put64(buf, check_random(&seed));
	}
	for (size_t i = 0; i < event_count * 2 + padding; i++)
		vl_buf_put64(buf, check_random(&seed));
	for (int i = 0; i < 8; i++)
		vl_buf_put64(buf, check_random(&seed));
	vl_commit_finish(buf->data + start, buf->size - start, position, 1000 + position->frontier.size * 10,
			 event_count, request_count, kernels);
	if (vl_commit_decode(buf->data + start, buf->size - start, position, kernels, &commit, &error) != VALORI_OK) {
		printf("Bail out! %s\n", error.message);
		exit(99);
	}
	vl_position_advance(position, &commit, kernels);
}

/* ---- files ---- */

static uint64_t size_of(const char *path)
{
	struct vl_os_stat found;

	return vl_os_real.stat_path(NULL, path, &found) == 0 ? found.size : VALORI_NONE;
}

static void load(const char *path, struct vl_buf *out)
{
	int fd = vl_os_real.open(NULL, path, VL_OS_READ);
	uint8_t *to;

	vl_buf_clear(out);
	if (fd < 0)
		return;
	to = vl_buf_extend(out, (size_t)size_of(path));
	if (vl_os_pread_all(&vl_os_real, fd, to, out->size, 0) != (int64_t)out->size)
		abort();
	vl_os_real.close(NULL, fd);
}

static void store(const char *path, const void *data, size_t size)
{
	int fd;

	(void)vl_os_real.unlink(NULL, path);
	fd = vl_os_real.open(NULL, path, VL_OS_CREATE);
	if (fd < 0 || vl_os_pwrite_all(&vl_os_real, fd, data, size, 0) != 0)
		abort();
	vl_os_real.close(NULL, fd);
}

static void poke(const char *path, uint64_t offset, const void *data, size_t size)
{
	int fd = vl_os_real.open(NULL, path, VL_OS_WRITE);

	if (fd < 0 || vl_os_pwrite_all(&vl_os_real, fd, data, size, offset) != 0)
		abort();
	vl_os_real.close(NULL, fd);
}

static void cut(const char *path, uint64_t size)
{
	int fd = vl_os_real.open(NULL, path, VL_OS_WRITE);

	if (fd < 0 || vl_os_real.truncate(NULL, fd, size) != 0)
		abort();
	vl_os_real.close(NULL, fd);
}

static void fresh(const char *directory)
{
	scratch_clear(directory);
	if (vl_os_real.make_directory(NULL, directory) != 0)
		abort();
}

static int copy_one(void *argument, const char *name)
{
	const char *const *directories = argument;
	struct vl_buf buf;
	char path[600];

	vl_buf_init(&buf, env);
	snprintf(path, sizeof(path), "%s/%s", directories[0], name);
	load(path, &buf);
	snprintf(path, sizeof(path), "%s/%s", directories[1], name);
	store(path, buf.data, buf.size);
	vl_buf_free(&buf);
	return 0;
}

static void copy_directory(const char *from, const char *to)
{
	const char *directories[2] = {from, to};

	fresh(to);
	vl_os_real.list(NULL, from, copy_one, directories);
}

static int count_one(void *argument, const char *name)
{
	(void)name;
	++*(int *)argument;
	return 0;
}

static int files_in(const char *directory)
{
	int count = 0;

	vl_os_real.list(NULL, directory, count_one, &count);
	return count;
}

/* ---- a log under test ---- */

enum { KEEP_MAX = 4096 };

/* What was written, to compare with what is read. */
struct history {
	struct vl_position start;
	struct vl_buf bytes;
	uint64_t count;
	uint64_t ends[KEEP_MAX]; /* of commits, in bytes */
	struct vl_position *after;
};

static struct history history;

static void history_new(uint8_t id)
{
	if (history.after == NULL) {
		vl_buf_init(&history.bytes, env);
		history.after = malloc(KEEP_MAX * sizeof(*history.after));
	}
	vl_buf_clear(&history.bytes);
	history.count = 0;
	position_new(&history.start, id);
}

static const struct vl_position *history_end(void)
{
	return history.count == 0 ? &history.start : &history.after[history.count - 1];
}

static void history_add(uint32_t event_count, size_t padding)
{
	struct vl_position position = *history_end();

	commit_put(&history.bytes, &position, event_count, padding);
	history.after[history.count] = position;
	history.ends[history.count++] = history.bytes.size;
}

static uint64_t history_begin(uint64_t commit)
{
	return commit == 0 ? 0 : history.ends[commit - 1];
}

static struct vl_names names;
static struct vl_writer_options writer_options = {.segment_size = 1 << 20};
static valori_error error;

static void use(const char *path)
{
	vl_names_free(&names);
	if (vl_names_init(&names, &vl_os_real, path, &error) != VALORI_OK)
		abort();
}

/*
 * Reads all: OK when it came to END. *commits counts; every byte is compared with the history, from commit
 * `from` on.
 */
static valori_code read_all(const struct vl_reader_options *options, uint64_t from, uint64_t *commits, uint64_t *torn)
{
	struct vl_reader *reader;
	struct vl_commit commit;
	valori_code code = vl_reader_open(env, &disk, options, &reader, &error);

	*commits = from;
	*torn = 0;
	if (code != VALORI_OK)
		return code;
	while ((code = vl_reader_next(reader, &commit, &error)) == VALORI_OK) {
		uint64_t n = (*commits)++;

		if (n >= history.count || commit.number != n || commit.size != history.ends[n] - history_begin(n) ||
		    memcmp(commit.bytes, history.bytes.data + history_begin(n), (size_t)commit.size) != 0 ||
		    vl_position_difference(vl_reader_position(reader), &history.after[n]) != NULL) {
			printf("# commit %llu is not what was written\n", (unsigned long long)n);
			vl_reader_close(reader);
			return VALORI_MISMATCH;
		}
	}
	*torn = vl_reader_torn_size(reader);
	if (code == VALORI_END && vl_reader_next(reader, &commit, &error) != VALORI_END)
		code = VALORI_MISMATCH;
	vl_reader_close(reader);
	return code == VALORI_END ? VALORI_OK : code;
}

static valori_code read_store(bool ignore_head, uint64_t *commits, uint64_t *torn)
{
	return read_all(&(struct vl_reader_options){.path = names.live, .ignore_head = ignore_head}, 0, commits, torn);
}

/* Recovers and opens to write: what the engine does. */
static valori_code writer_open(struct vl_writer **out, uint64_t *torn)
{
	struct vl_reader_options options = {.path = names.live, .ignore_head = true};
	struct vl_reader *reader;
	struct vl_commit commit;
	valori_code code = vl_reader_open(env, &disk, &options, &reader, &error);

	*out = NULL;
	if (code != VALORI_OK)
		return code;
	while ((code = vl_reader_next(reader, &commit, &error)) == VALORI_OK)
		;
	if (torn != NULL)
		*torn = vl_reader_torn_size(reader);
	if (code == VALORI_END)
		code = vl_writer_open(env, &disk, &names, &writer_options, reader, out, &error);
	vl_reader_close(reader);
	return code;
}

/* Appends commits [writer's position, until) of the history, one by one, each synced. */
static valori_code append_until(struct vl_writer *writer, uint64_t until)
{
	valori_code code = VALORI_OK;

	for (uint64_t n = vl_writer_position(writer)->frontier.size; code == VALORI_OK && n < until; n++) {
		code = vl_writer_append(writer, history.bytes.data + history_begin(n),
					history.ends[n] - history_begin(n), &history.after[n], &error);
		if (code == VALORI_OK)
			code = vl_writer_sync(writer, &error);
	}
	return code;
}

/* A log with the first count commits of the history, in directory/events.log. */
static void make_log(const char *directory, uint64_t count)
{
	struct vl_writer *writer;

	fresh(directory);
	use(directory);
	if (vl_log_create(env, &disk, &names, &history.start, &error) != VALORI_OK ||
	    writer_open(&writer, NULL) != VALORI_OK || append_until(writer, count) != VALORI_OK ||
	    vl_writer_close(writer, &error) != VALORI_OK) {
		printf("Bail out! %s\n", error.message);
		exit(99);
	}
}

/* ---- tests ---- */

static void test_format(void)
{
	/* From an independent program: SHA-256 of the bytes. */
	static const char *const header_hash = "9523bdda67e8ab088c13e061220d284ceaef3d2e75ef9dcf0a6b44ea815bbfc9";
	static const char *const commit_hash = "0d12b1cb70765accee8820620116ba40eb072bc4dde69155d8041464efd956ec";
	static const char *const leaf_hash_without = "d95b42fb59ad2e7823d24bc6760d2638097ea7bb0ab2817e38f988372c3f915a";
	static const char *const leaf_hash = "d0f65592b214eff09d2bde9e1a1ac7039c53bb33a589a92847434dd388ebefbd";
	uint8_t header[VL_SEGMENT_HEADER], hash[32], leaf[32];
	char text[65];
	struct vl_position position, back;
	struct vl_commit commit;
	struct vl_buf buf;
	unsigned wrong = 0;

	vl_buf_init(&buf, env);
	memset(&position, 0, sizeof(position));
	position.dim = 384;
	for (unsigned i = 0; i < 32; i++) {
		position.log_id[i] = (uint8_t)i;
		position.parent_id[i] = (uint8_t)(32 + i);
		position.parent_root[i] = (uint8_t)(64 + i);
		position.state_root[i] = (uint8_t)(96 + i);
	}
	position.parent_commits = 0x1122334455667788;
	position.height = 0x0102030405060708;
	position.time_ms = 1700000000123;
	position.frontier.size = 5;
	memset(position.frontier.roots[0], 0xaa, 32);
	memset(position.frontier.roots[1], 0xbb, 32);
	vl_segment_header_encode(&position, kernels, header);
	vl_sha256(kernels, header, sizeof(header), hash);
	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	check_text(text, header_hash, "a segment header has the bytes that the manual says");
	check(vl_segment_header_decode(header, "h", kernels, &back, &error) == VALORI_OK &&
		      vl_position_difference(&position, &back) == NULL,
	      "and they come back");
	for (size_t bit = 0; bit < sizeof(header) * 8; bit += bit < 2304 * 8 ? 1 : 13) {
		valori_code code;

		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
		code = vl_segment_header_decode(header, "h", kernels, &back, &error);
		wrong += code != (bit < 64 ? VALORI_NOT_OURS : VALORI_DAMAGED);
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	check_u64(wrong, 0, "no flipped bit of it goes unseen");

	/* two events (of 16 bytes), one request */
	vl_buf_zero(&buf, VL_COMMIT_HEADER);
	vl_buf_put32(&buf, 1);
	vl_buf_put32(&buf, 0);
	for (uint8_t i = 0; i < 16 + 32 + 64; i++)
		vl_buf_put8(&buf, i);
	vl_commit_finish(buf.data, buf.size, &position, 1700000000456, 2, 1, kernels);
	vl_sha256(kernels, buf.data, buf.size, hash);
	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	check_text(text, commit_hash, "a commit has the bytes that the manual says");
	check(vl_commit_decode(buf.data, buf.size, &position, kernels, &commit, &error) == VALORI_OK &&
		      commit.number == 5 && commit.first_event == position.height && commit.event_count == 2 &&
		      commit.request_count == 1 && commit.time_ms == 1700000000456 && commit.events_size == 32 &&
		      commit.events_root[0] == 48 && commit.state_root[0] == 80,
	      "and they come back");
	vl_commit_leaf(&commit, position.log_id, kernels, leaf);
	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", leaf[i]);
	check_text(text, leaf_hash, "its leaf of the log tree is what the manual says");
	commit.request_count = 0;
	vl_commit_leaf(&commit, position.log_id, kernels, leaf);
	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", leaf[i]);
	check_text(text, leaf_hash_without, "without requests, too");
	for (size_t bit = 0; bit < buf.size * 8; bit++) {
		buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		wrong += vl_commit_decode(buf.data, buf.size, &position, kernels, &commit, &error) != VALORI_DAMAGED;
		buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	check_u64(wrong, 0, "no flipped bit of it goes unseen");
	for (size_t size = 0; size < buf.size; size++)
		wrong += vl_commit_decode(buf.data, size, &position, kernels, &commit, &error) != VALORI_DAMAGED;
	check_u64(wrong, 0, "nor does a cut");

	/* Rules that a checksum does not see: each is broken with good checksums. */
	static const struct {
		const char *what;
		size_t at, size;
		uint64_t value;
		valori_code code;
	} bad[] = {
		{"a length that is no multiple of 8", 8, 8, 124, VALORI_DAMAGED},
		{"a length above the limit", 8, 8, (UINT64_C(1) << 30) + 8, VALORI_DAMAGED},
		{"another number", 16, 8, 6, VALORI_DAMAGED},
		{"another first event", 24, 8, 7, VALORI_DAMAGED},
		{"a time before that of the last commit", 32, 8, 1700000000122, VALORI_DAMAGED},
		{"no events", 40, 4, 0, VALORI_DAMAGED},
		{"more events than fit", 40, 4, 3, VALORI_DAMAGED},
		{"more requests than fit", 44, 4, 2, VALORI_DAMAGED},
		{"flags", 48, 4, 1, VALORI_NEWER},
		{"bytes that should be zero", 56, 8, 1, VALORI_DAMAGED},
		{"a request of no event", 64, 4, 2, VALORI_DAMAGED},
		{"bytes in the request table that should be zero", 68, 4, 1, VALORI_DAMAGED},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint8_t copy[512];

		memcpy(copy, buf.data, buf.size);
		for (size_t b = 0; b < bad[i].size; b++)
			copy[bad[i].at + b] = (uint8_t)(bad[i].value >> 8 * b);
		vl_put32(copy + 52, vl_crc32c(kernels, 0, copy + 64, buf.size - 64));
		vl_put32(copy + 4, vl_crc32c(kernels, 0, copy + 8, 56));
		check(vl_commit_decode(copy, buf.size, &position, kernels, &commit, &error) == bad[i].code,
		      "refused: %s", bad[i].what);
	}
	static const struct {
		const char *what;
		size_t at;
		uint32_t value;
		valori_code code;
	} bad_header[] = {
		{"format version 2", 8, 2, VALORI_NEWER},
		{"format version 0", 8, 0, VALORI_DAMAGED},
		{"arithmetic 2", 16, 2, VALORI_NEWER},
		{"state hash 2", 20, 2, VALORI_NEWER},
		{"tree hash 2", 24, 2, VALORI_NEWER},
		{"dimension 0", 12, 0, VALORI_DAMAGED},
		{"dimension 32769", 12, 32769, VALORI_DAMAGED},
		{"frontier of another size", 192, 3, VALORI_DAMAGED},
		{"byte 28", 28, 1, VALORI_DAMAGED},
		{"byte 196", 196, 1, VALORI_DAMAGED},
		{"a third root", 256 + 64, 1, VALORI_DAMAGED},
		{"byte 4088", 4088, 1, VALORI_DAMAGED},
	};
	for (size_t i = 0; i < sizeof(bad_header) / sizeof(*bad_header); i++) {
		uint8_t copy[VL_SEGMENT_HEADER];

		memcpy(copy, header, sizeof(copy));
		vl_put32(copy + bad_header[i].at, bad_header[i].value);
		vl_put32(copy + 4092, vl_crc32c(kernels, 0, copy, 4092));
		check(vl_segment_header_decode(copy, "h", kernels, &back, &error) == bad_header[i].code,
		      "a segment header is refused: %s", bad_header[i].what);
	}
	vl_buf_free(&buf);
}

static void test_names(void)
{
	struct vl_names none;
	uint64_t first_event;

	fresh("n");
	fresh("n/dir.log");
	use("n");
	check_text(names.live, "n/events.log", "a directory holds events.log");
	check_text(names.snapshot, "n/snapshot.val", "and snapshot.val");
	use("n/");
	check_text(names.live, "n/events.log", "a slash at the end changes nothing");
	use("n/other.log");
	check_text(names.head, "n/other.head", "a name that ends in .log is the live file, there or not");
	check_text(names.lock, "n/other.lock", "its lock is beside it");
	use("other.log");
	check(strcmp(names.directory, ".") == 0 && strcmp(names.live, "./other.log") == 0, "in this directory, too");
	use("/x.log");
	check_text(names.live, "/x.log", "and in the root");
	store("n/plain", "x", 1);
	use("n/plain");
	check(strcmp(names.live, "n/plain") == 0 && strcmp(names.stem, "plain") == 0,
	      "any regular file is a live file");
	use("n/dir.log");
	check_text(names.live, "n/dir.log/events.log", "but a directory is a directory");
	use("n/new");
	check_text(names.live, "n/new/events.log", "and so is what is not there");
	check(vl_names_init(&none, &vl_os_real, "", &error) == VALORI_INVALID, "an empty path is refused");
	check(vl_sealed_name_parse("a-00000000000000001000.log", "a", &first_event) && first_event == 1000,
	      "a sealed segment is named by its first event");
	check(vl_sealed_name_parse("a-18446744073709551615.log", "a", &first_event) && first_event == UINT64_MAX,
	      "by any there can be");
	check(!vl_sealed_name_parse("a-18446744073709551616.log", "a", &first_event) &&
		      !vl_sealed_name_parse("a-0000000000000001000.log", "a", &first_event) &&
		      !vl_sealed_name_parse("b-00000000000000001000.log", "a", &first_event) &&
		      !vl_sealed_name_parse("a-0000000000000000100x.log", "a", &first_event) &&
		      !vl_sealed_name_parse("a-00000000000000001000.lo", "a", &first_event),
	      "and by nothing else");
}

static void test_round_trip(void)
{
	struct vl_writer *writer;
	uint64_t commits, torn;

	history_new(1);
	for (uint32_t i = 0; i < 300; i++)
		history_add(1 + i % 5, i % 7);
	writer_options.segment_size = 4096 + 8000;
	make_log("r", 0);
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 0, "a new log holds nothing");
	for (uint64_t part = 1; part <= 3; part++) {
		check(writer_open(&writer, NULL) == VALORI_OK && append_until(writer, part * 100) == VALORI_OK &&
			      vl_writer_close(writer, &error) == VALORI_OK,
		      "commits are appended");
		check(read_store(false, &commits, &torn) == VALORI_OK && commits == part * 100 && torn == 0,
		      "and read back, byte for byte, with every root on the way");
	}
	check(files_in("r") > 5, "the log was rotated");
	check(!exists("r/events.torn") && !exists("r/events.new"), "and nothing else is left lying about");
	check(read_all(&(struct vl_reader_options){.path = "r"}, 0, &commits, &torn) == VALORI_OK && commits == 300,
	      "its directory names it, too");

	/* groups, and one fdatasync for many */
	make_log("g", 0);
	writer_options.segment_size = 1 << 20;
	check(writer_open(&writer, NULL) == VALORI_OK, "a writer opens");
	faults_clear();
	check(vl_writer_append(writer, history.bytes.data, history.ends[9], &history.after[9], &error) == VALORI_OK &&
		      vl_writer_append(writer, history.bytes.data + history.ends[9], history.ends[19] - history.ends[9],
				       &history.after[19], &error) == VALORI_OK &&
		      faults.syncs == 0,
	      "commits are appended in groups without a sync");
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 0 && torn == history.ends[19],
	      "a reader does not see what is not acknowledged");
	check(read_store(true, &commits, &torn) == VALORI_OK && commits == 20 && torn == 0, "unless it asks for it");
	check(vl_writer_sync(writer, &error) == VALORI_OK && faults.syncs == 1, "one sync makes all of them durable");
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 20, "then they are seen");
	check(vl_writer_close(writer, &error) == VALORI_OK, "closing is fine");
}

static void test_sync_modes(void)
{
	struct vl_writer *writer;
	uint64_t syncs;

	history_new(2);
	for (uint32_t i = 0; i < 20; i++)
		history_add(1, 0);
	make_log("m", 0);
	writer_options.sync_mode = VALORI_SYNC_BATCH;
	writer_options.sync_commits = 4;
	writer_options.sync_ms = 1000000;
	check(writer_open(&writer, NULL) == VALORI_OK, "a writer opens");
	syncs = faults.syncs;
	for (uint64_t n = 0; n < 10; n++) {
		vl_writer_append(writer, history.bytes.data + history_begin(n), history.ends[n] - history_begin(n),
				 &history.after[n], &error);
		vl_writer_maybe_sync(writer, &error);
	}
	check_u64(faults.syncs - syncs, 2, "batch syncs after as many commits as it was told");
	vl_writer_close(writer, &error);
	writer_options.sync_ms = 0;
	writer_open(&writer, NULL);
	syncs = faults.syncs;
	for (uint64_t n = 10; n < 13; n++) {
		vl_writer_append(writer, history.bytes.data + history_begin(n), history.ends[n] - history_begin(n),
				 &history.after[n], &error);
		vl_writer_maybe_sync(writer, &error);
	}
	check_u64(faults.syncs - syncs, 3, "or after as much time");
	vl_writer_maybe_sync(writer, &error);
	check_u64(faults.syncs - syncs, 3, "and not when nothing is waiting");
	vl_writer_close(writer, &error);
	writer_options.sync_mode = VALORI_SYNC_NONE;
	writer_open(&writer, NULL);
	syncs = faults.syncs;
	for (uint64_t n = 13; n < 20; n++) {
		vl_writer_append(writer, history.bytes.data + history_begin(n), history.ends[n] - history_begin(n),
				 &history.after[n], &error);
		vl_writer_maybe_sync(writer, &error);
	}
	check_u64(faults.syncs - syncs, 0, "none does not sync");
	vl_writer_close(writer, &error);
	check(faults.syncs > syncs, "before it is closed");
	writer_options.sync_mode = VALORI_SYNC_ALWAYS;
}

static void head_of(uint64_t commits, uint64_t segment_first_event, uint64_t offset)
{
	uint8_t data[VL_HEAD_SIZE];
	struct vl_head head;

	vl_head_set(&head, commits == 0 ? &history.start : &history.after[commits - 1], segment_first_event, offset,
		    kernels);
	vl_head_encode(&head, kernels, data);
	store(names.head, data, sizeof(data));
}

/* Reads, recovers, appends, and recovers again: all with the commits that must be there. */
static bool survives(uint64_t expected)
{
	struct vl_writer *writer;
	uint64_t commits, torn;

	for (uint64_t round = 0; round < 3; round++) {
		if (writer_open(&writer, NULL) != VALORI_OK ||
		    vl_writer_position(writer)->frontier.size != expected + round ||
		    append_until(writer, expected + round + 1) != VALORI_OK ||
		    vl_writer_close(writer, &error) != VALORI_OK)
			return false;
		if (read_store(false, &commits, &torn) != VALORI_OK || commits != expected + round + 1 || torn != 0)
			return false;
	}
	return true;
}

static void test_torn(void)
{
	uint64_t commits, torn, begin, end;
	unsigned wrong = 0;
	struct vl_buf file, kept;
	uint8_t zeros[100] = {0};

	vl_buf_init(&file, env);
	vl_buf_init(&kept, env);
	history_new(3);
	for (uint32_t i = 0; i < 12; i++)
		history_add(i == 5 ? 3 : 1, i % 3);
	make_log("t", 6);
	load("t/events.log", &file);
	begin = VL_SEGMENT_HEADER + history_begin(5);
	end = VL_SEGMENT_HEADER + history.ends[5];
	check_u64(file.size, end, "a log is its header and its commits");

	for (uint64_t size = begin; size < end; size++) {
		uint64_t left = size - begin;

		while (left > 0 && file.data[begin + left - 1] == 0)
			left--;
		cut("t/events.log", size);
		head_of(6, 0, end);
		wrong += read_store(false, &commits, &torn) != VALORI_MISSING || commits != 5 || error.event != 5 ||
			 error.offset != begin;
		wrong += read_store(true, &commits, &torn) != VALORI_MISSING || commits != 5;
		head_of(5, 0, begin);
		wrong += read_store(false, &commits, &torn) != VALORI_OK || commits != 5 || torn != left;
		wrong += read_store(true, &commits, &torn) != VALORI_OK || commits != 5 || torn != left;
		vl_os_real.unlink(NULL, "t/events.torn");
		wrong += !survives(5);
		load("t/events.torn", &kept);
		wrong += left == 0 ? exists("t/events.torn")
				   : kept.size != left || memcmp(kept.data, file.data + begin, left) != 0;
		store("t/events.log", file.data, (size_t)size);
		vl_os_real.unlink(NULL, "t/events.head");
		wrong += read_store(false, &commits, &torn) != VALORI_OK || commits != 5 || torn != left;
		wrong += !survives(5);
		store("t/events.log", file.data, file.size);
	}
	check_u64(wrong, 0,
		  "a commit cut at any byte is missing, torn, or both, as the head says; and writing goes on");

	/* whole commits behind a broken one */
	make_log("t", 8);
	load("t/events.log", &file);
	file.data[begin + 70] ^= 1;
	store("t/events.log", file.data, file.size);
	check(read_store(true, &commits, &torn) == VALORI_DAMAGED && commits == 5 && error.offset == begin &&
		      error.event == 5,
	      "a broken commit that was acknowledged is damage");
	head_of(5, 0, begin);
	check(read_store(true, &commits, &torn) == VALORI_OK && commits == 5 && torn == file.size - begin,
	      "beyond the head everything from the first broken commit on is torn, whole commits behind it, too");
	vl_os_real.unlink(NULL, "t/events.head");
	check(read_store(true, &commits, &torn) == VALORI_DAMAGED && commits == 5 && error.offset == begin,
	      "without a head, a commit header behind it shows that it is damage");
	cut("t/events.log", end);
	check(read_store(true, &commits, &torn) == VALORI_OK && commits == 5 && torn > 0,
	      "and without one it is a torn tail");
	check(survives(5), "after which writing goes on");

	/* zeros */
	make_log("t", 6);
	poke("t/events.log", end, zeros, sizeof(zeros));
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 6 && torn == 0,
	      "zeros at the end are nothing");
	check(read_store(true, &commits, &torn) == VALORI_OK && commits == 6 && torn == 0, "whoever looks");
	check(survives(6) && !exists("t/events.torn"), "and are cut off without a word");
	make_log("t", 6);
	poke("t/events.log", end, zeros, sizeof(zeros));
	poke("t/events.log", end + 99, "x", 1);
	check(read_store(true, &commits, &torn) == VALORI_OK && commits == 6 && torn == 100,
	      "another byte among them is a torn tail");
	head_of(7, 0, end + 200);
	check(read_store(true, &commits, &torn) == VALORI_DAMAGED && commits == 6, "or damage, below the head");
	cut("t/events.log", end + 60);
	check(read_store(true, &commits, &torn) == VALORI_MISSING &&
		      read_store(false, &commits, &torn) == VALORI_MISSING,
	      "zeros instead of acknowledged commits mean that these are missing");
	vl_buf_free(&file);
	vl_buf_free(&kept);
}

static void test_head(void)
{
	struct vl_reader *reader;
	struct vl_commit commit;
	struct vl_head head;
	uint64_t commits, torn, end, lost = 0, odd = 0;
	struct vl_buf file;

	vl_buf_init(&file, env);
	history_new(4);
	for (uint32_t i = 0; i < 12; i++)
		history_add(2, 0);
	make_log("h", 6);
	end = VL_SEGMENT_HEADER + history.ends[5];
	check(vl_head_read(&disk, kernels, names.head, &head, &error) == VALORI_OK && head.commits == 6 &&
		      head.height == 12 && head.offset == end && head.segment_first_event == 0 &&
		      head.time_ms == history.after[5].time_ms,
	      "the head says what is acknowledged");
	load("h/events.head", &file);
	for (size_t bit = 0; bit < file.size * 8; bit++) {
		uint8_t byte = (uint8_t)(file.data[bit / 8] ^ 1 << bit % 8);
		valori_code code;

		poke("h/events.head", bit / 8, &byte, 1);
		code = vl_head_read(&disk, kernels, names.head, &head, &error);
		lost += code == VALORI_OK && (head.commits != 6 || head.offset != end);
		lost += (code == VALORI_OK) != (bit / 8 % 1024 < 128 && (bit / 8 / 1024 == 1 || bit / 8 / 1024 == 2));
		odd += code != VALORI_OK && code != VALORI_NOT_FOUND;
		poke("h/events.head", bit / 8, file.data + bit / 8, 1);
	}
	check(lost == 0 && odd == 0, "no flipped bit of it says anything else: the other slot, or no head at all");

	/* one slot torn: the other counts */
	head_of(5, 0, VL_SEGMENT_HEADER + history.ends[4]);
	load("h/events.head", &file);
	head_of(6, 0, end);
	poke("h/events.head", 2048, file.data + 2048, 128);
	check(vl_head_read(&disk, kernels, names.head, &head, &error) == VALORI_OK && head.commits == 6,
	      "the newer slot counts");
	poke("h/events.head", 1024 + 30, "torn", 4);
	check(vl_head_read(&disk, kernels, names.head, &head, &error) == VALORI_OK && head.commits == 5,
	      "a torn slot does not");

	/* not ours, not whole */
	history.start.log_id[0] ^= 1;
	head_of(0, 0, 4096);
	history.start.log_id[0] ^= 1;
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "h"}, &reader, &error);
	check_text(vl_reader_note(reader), "h/events.head: is not used: it belongs to another log",
		   "the head of another log is named");
	vl_reader_close(reader);
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 6, "and not used");
	check(survives(6), "and replaced by the next writer");
	cut("h/events.head", 100);
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "h"}, &reader, &error);
	check_text(vl_reader_note(reader), "h/events.head: is not used: it is too short", "a cut one, too");
	vl_reader_close(reader);
	check(survives(9), "is replaced");

	/* stale: the disk has more than the head says */
	make_log("h", 6);
	head_of(2, 0, VL_SEGMENT_HEADER + history.ends[1]);
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 2 &&
		      torn == history.ends[5] - history.ends[1],
	      "readers go no further than the head");
	check(survives(6), "a writer takes all that is whole");
	head_of(6, 0, end - 8);
	check(read_store(false, &commits, &torn) == VALORI_DAMAGED && strstr(error.message, "where its head") != NULL,
	      "a head that names a place where no commit ends is found out");
	cut("h/events.head", 0);
	memset(history.after[5].frontier.roots[0], 9, 32);
	head_of(6, 0, end);
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "h", .ignore_head = true}, &reader, &error);
	while (vl_reader_next(reader, &commit, &error) == VALORI_OK)
		;
	check(strstr(vl_reader_note(reader), "tree root differs") != NULL,
	      "a head that names another history is noticed");
	vl_reader_close(reader);
	vl_buf_free(&file);
}

static void test_flips(void)
{
	struct vl_buf file;
	static const char *const paths[] = {"f/events-00000000000000000000.log", "f/events.log"};
	uint64_t silent = 0, misplaced = 0, torn_wrong = 0, commits, torn;

	vl_buf_init(&file, env);
	history_new(5);
	for (uint32_t i = 0; i < 5; i++)
		history_add(i == 1 ? 3 : 1, 0);
	writer_options.segment_size = VL_SEGMENT_HEADER + history.ends[2];
	make_log("f", 5);
	writer_options.segment_size = 1 << 20;
	check(exists(paths[0]) && size_of(paths[1]) == VL_SEGMENT_HEADER + history.ends[4] - history.ends[2],
	      "two segments: three commits and two");
	for (size_t p = 0; p < 2; p++) {
		load(paths[p], &file);
		for (size_t bit = 0; bit < file.size * 8; bit++) {
			uint64_t at = bit / 8, commit = p == 0 ? 0 : 3;
			uint8_t byte = (uint8_t)(file.data[at] ^ 1 << bit % 8);
			valori_code code;

			if (at >= 256 && at < 4092 && bit % 8 != at % 8 && !check_long())
				continue;
			while (commit < 5 &&
			       at >= VL_SEGMENT_HEADER + history.ends[commit] - (p == 0 ? 0 : history.ends[2]))
				commit++;
			poke(paths[p], at, &byte, 1);
			code = read_store(false, &commits, &torn);
			silent += code == VALORI_OK || code == VALORI_MISMATCH;
			if (at <
			    VL_SEGMENT_HEADER) /* the first segment does not open; the second one does not follow */
				misplaced += commits != (p == 0 ? 0 : 3) ||
					     (error.offset != 0 && code == VALORI_DAMAGED) ||
					     (code != VALORI_DAMAGED && (p == 0 || at >= 8 || code != VALORI_NOT_OURS));
			else
				misplaced += code != VALORI_DAMAGED || commits != commit ||
					     error.event != (commit == 0 ? 0 : history.after[commit - 1].height) ||
					     error.offset != VL_SEGMENT_HEADER + history_begin(commit) -
								     (p == 0 ? 0 : history.ends[2]);
			poke(paths[p], at, file.data + at, 1);
		}
	}
	check_u64(silent, 0, "no flipped bit of a log of two segments goes unseen");
	check_u64(misplaced, 0, "and each is placed: file offset and event of the commit it is in");

	/* without a head: the last commit may be torn, anything before it is damage */
	vl_os_real.unlink(NULL, "f/events.head");
	for (size_t p = 0; p < 2; p++) {
		load(paths[p], &file);
		for (size_t at = VL_SEGMENT_HEADER; at < file.size; at++) {
			uint8_t byte = file.data[at] ^ 4;
			bool is_last = p == 1 && at >= VL_SEGMENT_HEADER + history.ends[3] - history.ends[2];
			valori_code code;

			poke(paths[p], at, &byte, 1);
			code = read_store(false, &commits, &torn);
			torn_wrong += is_last ? code != VALORI_OK || commits != 4 || torn == 0 : code != VALORI_DAMAGED;
			poke(paths[p], at, file.data + at, 1);
		}
	}
	check_u64(torn_wrong, 0, "without a head a flip is a torn tail in the last commit, and damage before it");
	vl_buf_free(&file);
}

static void test_segments(void)
{
	struct vl_reader *reader;
	struct vl_commit commit;
	uint64_t commits, torn, wrong = 0, wrong_position = 0;
	uint64_t first[64], starts[64], count = 0;
	char path[300];
	struct vl_buf file;

	vl_buf_init(&file, env);
	history_new(6);
	for (uint32_t i = 0; i < 60; i++)
		history_add(1 + i % 4, i == 50 ? 20000 : 10);
	writer_options.segment_size = 4096 + 1400;
	make_log("s", 60);
	/* where the segments begin, from their names */
	vl_sealed_list(&vl_os_real, "s", "events", &file, &error);
	for (size_t at = 0; at < file.size; at += 8)
		memcpy(&first[count++], file.data + at, 8);
	for (uint64_t i = 0, n = 0; i < count; i++) {
		while ((n == 0 ? 0 : history.after[n - 1].height) < first[i])
			n++;
		starts[i] = n;
	}
	check(count >= 8, "there are many segments");

	/* seeking */
	for (uint64_t event = 0; event <= history_end()->height; event++) {
		uint64_t n = 0;

		while (n < 60 && history.after[n].height <= event)
			n++;
		vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "s"}, &reader, &error);
		wrong += vl_reader_seek(reader, event, &error) != VALORI_OK ||
			 vl_position_difference(vl_reader_position(reader),
						n == 0 ? &history.start : &history.after[n - 1]) != NULL;
		wrong += vl_reader_next(reader, &commit, &error) != (n == 60 ? VALORI_END : VALORI_OK) ||
			 (n < 60 && commit.number != n);
		vl_reader_close(reader);
	}
	check_u64(wrong, 0, "seeking to any event comes to the commit that holds it, with the right roots");
	for (uint64_t n = 0; n <= 60; n++) {
		struct vl_position known = n == 0 ? history.start : history.after[n - 1];

		for (int lie = 0; lie < 3; lie++) {
			valori_code code, expected = lie == 0 ? VALORI_OK : VALORI_OTHER_LOG;

			if (lie == 1)
				known.state_root[3] ^= 1;
			if (lie == 2)
				known.log_id[3] ^= 1;
			vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "s", .ignore_head = true},
				       &reader, &error);
			code = vl_reader_seek_position(reader, &known, &error);
			wrong_position += code != expected;
			if (code == VALORI_OK)
				wrong_position +=
					vl_reader_next(reader, &commit, &error) != (n == 60 ? VALORI_END : VALORI_OK) ||
					(n < 60 &&
					 (commit.number != n || vl_position_difference(vl_reader_position(reader),
										       &history.after[n]) != NULL));
			vl_reader_close(reader);
			if (lie == 1)
				known.state_root[3] ^= 1;
		}
	}
	check_u64(wrong_position, 0, "a known position is gone to when the log agrees with it, and only then");
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "s"}, &reader, &error);
	check(vl_reader_seek(reader, history_end()->height + 1, &error) == VALORI_NOT_FOUND,
	      "there is nothing behind the end");
	check(vl_reader_segments(reader) == count + 1, "segments are counted");
	vl_reader_close(reader);

	/* a segment that was sealed between two looks at the directory */
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "s", .ignore_head = true}, &reader, &error);
	snprintf(path, sizeof(path), "events-%020llu.log", (unsigned long long)first[4]);
	hidden = path;
	check(vl_reader_seek_position(reader, &history.after[starts[5] - 2], &error) == VALORI_OK &&
		      vl_reader_next(reader, &commit, &error) == VALORI_OK && commit.number == starts[5] - 1,
	      "a segment that the listing missed is walked into");
	hidden = NULL;
	vl_reader_close(reader);

	/* one sealed segment alone */
	snprintf(path, sizeof(path), "s/events-%020llu.log", (unsigned long long)first[2]);
	check(read_all(&(struct vl_reader_options){.path = path}, starts[2], &commits, &torn) == VALORI_OK &&
		      commits == starts[3],
	      "a sealed segment can be read alone");

	/* the archive, and trimming */
	fresh("archive");
	for (uint64_t i = 0; i < 3; i++) {
		char to[300];

		snprintf(path, sizeof(path), "s/events-%020llu.log", (unsigned long long)first[i]);
		snprintf(to, sizeof(to), "archive/events-%020llu.log", (unsigned long long)first[i]);
		vl_os_real.rename(NULL, path, to);
	}
	check(read_all(&(struct vl_reader_options){.path = "s"}, starts[3], &commits, &torn) == VALORI_OK &&
		      commits == 60,
	      "a trimmed log is read from its base");
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "s"}, &reader, &error);
	check(vl_reader_base(reader)->height == first[3], "which it knows");
	check(vl_reader_seek(reader, first[3] - 1, &error) == VALORI_UNKNOWABLE &&
		      strstr(error.message, "was trimmed") != NULL,
	      "what was before it cannot be told");
	vl_reader_close(reader);
	check(read_all(&(struct vl_reader_options){.path = "s", .archive = "archive"}, 0, &commits, &torn) ==
			      VALORI_OK &&
		      commits == 60,
	      "with the archive all of it is read");

	/* a hole */
	snprintf(path, sizeof(path), "s/events-%020llu.log", (unsigned long long)first[5]);
	vl_os_real.rename(NULL, path, "away");
	check(read_store(false, &commits, &torn) == VALORI_MISMATCH, "a trimmed log does not begin with commit 0");
	check(read_all(&(struct vl_reader_options){.path = "s"}, starts[3], &commits, &torn) == VALORI_MISSING &&
		      commits == starts[5] && error.event == first[5],
	      "a missing segment is missing, from its first event on");
	vl_os_real.rename(NULL, "away", path);

	/* a segment of another log, or of another history */
	load(path, &file);
	file.data[40] ^= 1;
	vl_put32(file.data + 4092, vl_crc32c(kernels, 0, file.data, 4092));
	store(path, file.data, file.size);
	check(read_all(&(struct vl_reader_options){.path = "s"}, starts[3], &commits, &torn) == VALORI_OTHER_LOG &&
		      commits == starts[5],
	      "a segment of another log is named as such");
	file.data[40] ^= 1;
	file.data[260] ^= 1;
	vl_put32(file.data + 4092, vl_crc32c(kernels, 0, file.data, 4092));
	store(path, file.data, file.size);
	check(read_all(&(struct vl_reader_options){.path = "s"}, starts[3], &commits, &torn) == VALORI_DAMAGED &&
		      commits == starts[5] && strstr(error.message, "log tree differs") != NULL,
	      "a segment that does not continue the one before it is damage");
	file.data[260] ^= 1;
	vl_put32(file.data + 4092, vl_crc32c(kernels, 0, file.data, 4092));
	store(path, file.data, file.size);

	/* a sealed segment that was cut is a hole, not a torn tail */
	cut(path, size_of(path) - 10);
	vl_os_real.unlink(NULL, names.head);
	check(read_all(&(struct vl_reader_options){.path = "s"}, starts[3], &commits, &torn) == VALORI_MISSING &&
		      commits == starts[6] - 1,
	      "a cut in the middle of the log is never a torn tail");
	cut(path, VL_SEGMENT_HEADER + history.ends[starts[5]] - history_begin(starts[5]));
	check(read_all(&(struct vl_reader_options){.path = "s"}, starts[3], &commits, &torn) == VALORI_MISSING &&
		      commits == starts[5] + 1,
	      "not even between two commits");
	writer_options.segment_size = 1 << 20;
	vl_buf_free(&file);
}

static void test_half_rotation(void)
{
	struct vl_writer *writer;
	uint64_t commits, torn;
	const char *sealed = "p/events-00000000000000000000.log";

	history_new(7);
	for (uint32_t i = 0; i < 30; i++)
		history_add(1, 0);
	make_log("p", 10);
	vl_os_real.link(NULL, "p/events.log", sealed);
	store("p/events.new", "rubbish", 7);
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 10,
	      "a half rotation changes nothing for readers");
	check(survives(10) && !exists(sealed) && !exists("p/events.new"), "a writer undoes it");
	store(sealed, "", 0);
	vl_os_real.unlink(NULL, sealed);
	/* in a copy the two names are two files */
	make_log("p", 10);
	vl_os_real.link(NULL, "p/events.log", sealed);
	copy_directory("p", "p2");
	use("p2");
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 10 && survives(10) &&
		      !exists("p2/events-00000000000000000000.log"),
	      "also in a copy of the store");
	make_log("p", 10);
	vl_os_real.link(NULL, "p/events.log", sealed);
	copy_directory("p", "p2");
	use("p2");
	poke("p2/events-00000000000000000000.log", 5000, "different", 9);
	check(writer_open(&writer, NULL) == VALORI_DAMAGED && exists("p2/events-00000000000000000000.log"),
	      "but two files that differ are left alone");

	/* the live file is gone, all that was acknowledged is sealed */
	make_log("p", 10);
	writer_open(&writer, NULL);
	check(vl_writer_rotate(writer, &error) == VALORI_OK && exists(sealed) &&
		      size_of("p/events.log") == VL_SEGMENT_HEADER,
	      "a log is rotated on demand");
	check(vl_writer_rotate(writer, &error) == VALORI_OK && files_in("p") == 3,
	      "but not when the live file holds nothing");
	vl_writer_close(writer, &error);
	vl_os_real.unlink(NULL, "p/events.log");
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 10,
	      "without the live file the sealed ones are read");
	check(survives(10), "and a new live file is begun");
	store("p/events.log", "", 0);
	vl_os_real.unlink(NULL, "p/events.head");
	check(survives(10), "as in place of an empty one");
	cut("p/events.log", 0);
	check(read_store(false, &commits, &torn) == VALORI_MISSING && commits == 10 && error.event == 10,
	      "acknowledged commits that were in it are missing");
	vl_os_real.unlink(NULL, sealed);
	check(read_store(false, &commits, &torn) == VALORI_NOT_FOUND && strstr(error.message, "is empty") != NULL,
	      "an empty live file alone is no log");
	vl_os_real.unlink(NULL, "p/events.log");
	check(read_store(false, &commits, &torn) == VALORI_NOT_FOUND && strstr(error.message, "is missing") != NULL,
	      "and neither is none");
	check(read_all(&(struct vl_reader_options){.path = "nowhere"}, 0, &commits, &torn) == VALORI_NOT_FOUND,
	      "nor a directory that is not there");
	store("p/events.log", "hello, world", 12);
	check(read_store(false, &commits, &torn) == VALORI_NOT_OURS, "nor any other file");
	check(vl_log_create(env, &disk, &names, &history.start, &error) == VALORI_IO && error.system_errno == EEXIST &&
		      size_of("p/events.log") == 12,
	      "which no new log replaces");
}

/* A restore that died half way: the new log's live file stands among the old log's head and sealed segments. */
static void test_half_restore(void)
{
	struct vl_reader *reader;
	struct vl_position restored;
	uint64_t commits, torn, old_end;
	struct vl_buf kept;

	vl_buf_init(&kept, env);
	history_new(17);
	for (uint32_t i = 0; i < 20; i++)
		history_add(1, 0);
	writer_options.segment_size = 4096 + 700;
	make_log("z", 20);
	old_end = history_end()->height;
	restored = history.after[6];
	restored.frontier.size = 0;
	memset(restored.log_id, 18, 32);
	vl_os_real.unlink(NULL, "z/events.log");
	load("z/events.head", &kept);
	vl_log_create(env, &disk, &names, &restored, &error);
	store("z/events.head", kept.data, kept.size);
	history_new(18);
	history.start = restored;
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 0,
	      "a log that begins with its live file is nothing else");
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "z"}, &reader, &error);
	check(vl_reader_base(reader)->height == 7 && vl_reader_segments(reader) == 1,
	      "its base is that of the live file");
	check(vl_reader_seek(reader, old_end, &error) == VALORI_NOT_FOUND, "events of the old log are not in it");
	vl_reader_close(reader);
	poke("z/events.log", VL_SEGMENT_HEADER, "torn", 4);
	check(read_store(true, &commits, &torn) == VALORI_OK && torn == 4,
	      "old segments are not taken for what was written later");
	vl_buf_free(&kept);
	writer_options.segment_size = 1 << 20;
}

/*
 * What a test run does to a store: opens it, appends two groups with a rotation between, closes. Counts what
 * was acknowledged.
 */
static valori_code session(uint64_t *acknowledged)
{
	struct vl_writer *writer;
	valori_code code, closing;

	*acknowledged = 0;
	if (!exists(names.live))
		code = vl_log_create(env, &disk, &names, &history.start, &error);
	else
		code = VALORI_OK;
	if (code == VALORI_OK)
		code = writer_open(&writer, NULL);
	if (code != VALORI_OK)
		return code;
	*acknowledged = vl_writer_position(writer)->frontier.size;
	for (uint64_t n = *acknowledged, step = 0; code == VALORI_OK && step < 5 && n < history.count; n++, step++) {
		code = append_until(writer, n + 1);
		if (code == VALORI_OK)
			*acknowledged = n + 1;
	}
	closing = vl_writer_close(writer, &error);
	return code != VALORI_OK ? code : closing;
}

static void test_kill_anywhere(void)
{
	uint64_t wrong = 0, points = 0;

	history_new(8);
	for (uint32_t i = 0; i < 40; i++)
		history_add(1 + i % 3, 0);
	writer_options.segment_size = 4096 + 700;
	for (uint64_t sessions = 1; sessions <= 2; sessions++)
		for (uint64_t at = 1;; at++) {
			uint64_t acknowledged = 0, before = 0, commits, torn;
			valori_code code;
			bool is_over;

			faults_clear();
			fresh("k");
			use("k");
			if (sessions == 2 && session(&before) != VALORI_OK)
				abort();
			faults_clear();
			faults.fail_at = at;
			faults.is_dead = true;
			faults.error = EIO;
			code = session(&acknowledged);
			is_over = faults.calls < at;
			if (acknowledged < before)
				acknowledged = before;
			faults_clear();
			if (is_over) {
				wrong += code != VALORI_OK;
				break;
			}
			points++;
			code = read_store(false, &commits, &torn);
			if (code == VALORI_NOT_FOUND && acknowledged == 0) {
				wrong += !(exists("k/events.log") == false);
				continue;
			}
			if (code != VALORI_OK || commits < acknowledged) {
				printf("# session %llu, call %llu: read: %s, %llu of %llu: %s\n",
				       (unsigned long long)sessions, (unsigned long long)at,
				       code == VALORI_OK ? "ok" : "error", (unsigned long long)commits,
				       (unsigned long long)acknowledged, error.message);
				wrong++;
			}
			code = read_store(true, &commits, &torn);
			if (code != VALORI_OK || commits > acknowledged + 1 || !survives(commits)) {
				printf("# session %llu, call %llu: %s\n", (unsigned long long)sessions,
				       (unsigned long long)at, error.message);
				wrong++;
			}
		}
	check(points > 100, "there are many places to be killed at (%llu)", (unsigned long long)points);
	check_u64(wrong, 0,
		  "killed at any call, all that was acknowledged is there, and writing goes on, three times round");
	writer_options.segment_size = 1 << 20;
}

/* One call fails, with this error, and all others do not. */
static void test_one_failure(int failure, const char *promise)
{
	uint64_t wrong = 0, poisoned = 0, resumed = 0;

	history_new(9);
	for (uint32_t i = 0; i < 40; i++)
		history_add(1 + i % 3, 0);
	writer_options.segment_size = 4096 + 700;
	for (uint64_t at = 1;; at++) {
		struct vl_writer *writer;
		uint64_t acknowledged = 0, syncs, commits, torn;
		valori_code code;

		faults_clear();
		fresh("e");
		use("e");
		if (session(&acknowledged) != VALORI_OK || writer_open(&writer, NULL) != VALORI_OK)
			abort();
		faults_clear();
		faults.fail_at = at;
		faults.error = failure;
		code = append_until(writer, 12);
		acknowledged = vl_writer_position(writer)->frontier.size;
		if (faults.calls < at) {
			wrong += code != VALORI_OK;
			vl_writer_close(writer, &error);
			break;
		}
		wrong += code == VALORI_OK;
		wrong += code == VALORI_IO && error.system_errno != failure;
		/*
		 * what now? either it is poisoned for ever, without another sync, or it goes on as if nothing
		 * had been
		 */
		syncs = faults.syncs;
		if (vl_writer_sync(writer, &error) == VALORI_OK)
			wrong += read_store(true, &commits, &torn) != VALORI_OK || commits != acknowledged || torn != 0;
		code = append_until(writer, 14);
		if (code == VALORI_POISONED) {
			poisoned++;
			wrong += faults.syncs != syncs || vl_writer_sync(writer, &error) != VALORI_POISONED;
			wrong += vl_writer_close(writer, &error) != VALORI_POISONED || faults.syncs != syncs;
		} else {
			resumed++;
			wrong += code != VALORI_OK || vl_writer_close(writer, &error) != VALORI_OK || failure != ENOSPC;
			wrong += read_store(false, &commits, &torn) != VALORI_OK || commits != 14;
		}
		/* whatever it was, opening again finds all that was acknowledged */
		code = read_store(true, &commits, &torn);
		wrong += code != VALORI_OK || commits + 1 < acknowledged || !survives(commits);
	}
	check_u64(wrong, 0, promise);
	if (failure == ENOSPC)
		check(resumed > 5 && poisoned > 3,
		      "a full disk is survived (%llu), but not in the middle of a sync (%llu)",
		      (unsigned long long)resumed, (unsigned long long)poisoned);
	else
		check(resumed == 0 && poisoned > 20, "no other failure is (%llu)", (unsigned long long)poisoned);
	writer_options.segment_size = 1 << 20;
}

/* The last bytes of a file are these. */
static bool ends_in(const char *path, const char *tail)
{
	struct vl_buf content;
	bool result;

	if (!exists(path))
		return false;
	vl_buf_init(&content, env);
	load(path, &content);
	result = content.size >= strlen(tail) &&
		 memcmp(content.data + content.size - strlen(tail), tail, strlen(tail)) == 0;
	vl_buf_free(&content);
	return result;
}

static void test_torn_failures(void)
{
	static const char tail[] = "half a commit";
	uint64_t lost = 0, unsaid = 0, at = 0;
	bool is_over = false;

	history_new(19);
	for (uint32_t i = 0; i < 12; i++)
		history_add(1, 0);
	while (!is_over) {
		struct vl_writer *writer;
		valori_code code;

		make_log("q", 4);
		poke("q/events.log", size_of("q/events.log"), tail, strlen(tail));
		faults_clear();
		faults.fail_at = ++at;
		faults.error = EIO;
		code = writer_open(&writer, NULL);
		is_over = faults.calls < at;
		faults_clear();
		if (code == VALORI_OK)
			vl_writer_close(writer, &error);
		unsaid += (code == VALORI_OK) != is_over;
		lost += !ends_in("q/events.torn", tail) && !ends_in("q/events.log", tail);
		lost += is_over && ends_in("q/events.log", tail);
		lost += !survives(4);
	}
	check(at > 15 && lost == 0, "whatever fails while a torn tail is put aside, it is there (%llu calls)",
	      (unsigned long long)at);
	check_u64(unsaid, 0, "and every failure is said");
}

/*
 * What a power cut may do depends on the order alone: w write, s sync, l link, u unlink, r rename, D sync of
 * the directory.
 */
static void test_order(void)
{
	struct vl_writer *writer;

	history_new(16);
	for (uint32_t i = 0; i < 12; i++)
		history_add(1, 0);
	make_log("y", 3);
	scratch_clear("y");
	vl_os_real.make_directory(NULL, "y");
	faults_clear();
	vl_log_create(env, &disk, &names, &history.start, &error);
	check_text(faults.trace,
		   "wsluD"
		   "wsrD",
		   "a new log: whole and synced before it gets its name, then the head likewise");
	faults_clear();
	writer_open(&writer, NULL);
	check_text(faults.trace,
		   "s"
		   "D"
		   "wsrD",
		   "opening a sound one: sync, sync of the directory, a new head");
	faults_clear();
	append_until(writer, 1);
	check_text(faults.trace, "wsw", "a commit: write, sync, then the head");
	faults_clear();
	append_until(writer, 3);
	vl_writer_append(writer, history.bytes.data + history_begin(3), history.ends[3] - history_begin(3),
			 &history.after[3], &error);
	faults_clear();
	vl_writer_rotate(writer, &error);
	check_text(faults.trace,
		   "sws"
		   "ws"
		   "lD"
		   "rD"
		   "ws",
		   "a rotation: all synced, the new file synced, the sealed name durable, the live one, the head");
	vl_writer_close(writer, &error);
	poke("y/events.log", size_of("y/events.log"), "torn", 4);
	faults_clear();
	writer_open(&writer, NULL);
	check_text(faults.trace,
		   "swsrD"
		   "ts"
		   "D"
		   "wsrD",
		   "a torn tail: kept and durable before it is cut; synced before anything else");
	vl_writer_close(writer, &error);
}

static uint64_t written_from, written_to;

static int64_t watching_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	struct vl_os_stat live, found;

	if (vl_os_real.stat(NULL, fd, &found) == 0 && vl_os_real.stat_path(NULL, names.live, &live) == 0 &&
	    live.inode == found.inode) {
		written_from = offset < written_from ? offset : written_from;
		written_to = offset + size > written_to ? offset + size : written_to;
	}
	return vl_os_real.pwrite(context, fd, data, size, offset);
}

static void test_rewrite(void)
{
	struct vl_writer *writer;
	uint64_t commits, torn, syncs;

	history_new(10);
	for (uint32_t i = 0; i < 12; i++)
		history_add(1, 100);

	disk.pwrite = watching_pwrite;
	for (int with_head = 0; with_head < 2; with_head++) {
		make_log("w", 10);
		if (with_head)
			head_of(4, 0, VL_SEGMENT_HEADER + history.ends[3]);
		else
			vl_os_real.unlink(NULL, "w/events.head");
		written_from = UINT64_MAX;
		written_to = 0;
		syncs = faults.syncs;
		writer_open(&writer, NULL);
		check(faults.syncs >= syncs + 2 && read_store(false, &commits, &torn) == VALORI_OK && commits == 10,
		      "opening makes durable what may not be, and acknowledges it");
		check(written_from == VL_SEGMENT_HEADER + (with_head ? history.ends[3] : 0) &&
			      written_to == VL_SEGMENT_HEADER + history.ends[9],
		      with_head ? "from the head to the end everything is written again"
				: "without a head, the whole live segment");
		vl_writer_close(writer, &error);
	}
	disk.pwrite = faulty_pwrite;
}

static void test_memory(void)
{
	struct vl_reader *reader;
	struct vl_commit commit;
	struct vl_position position;
	uint8_t header[VL_SEGMENT_HEADER + 1000];
	uint64_t wrong = 0, commits, torn, most = 0;
	int64_t bytes;
	int fd;

	/* a header that promises 1 GiB, in 5 KB */
	position_new(&position, 1);
	fresh("big");
	use("big");
	vl_segment_header_encode(&position, kernels, header);
	memset(header + VL_SEGMENT_HEADER, 7, 1000);
	vl_commit_finish(header + VL_SEGMENT_HEADER, 1000, &position, 1, 1, 0, kernels);
	vl_put64(header + VL_SEGMENT_HEADER + 8, VL_COMMIT_SIZE_MAX);
	vl_put32(header + VL_SEGMENT_HEADER + 4, vl_crc32c(kernels, 0, header + VL_SEGMENT_HEADER + 8, 56));
	store("big/events.log", header, sizeof(header));
	for (int is_stream = 0; is_stream < 2; is_stream++) {
		struct vl_reader_options options = {.path = is_stream ? NULL : "big", .name = "-"};

		bytes = memory.bytes;
		fd = options.fd = vl_os_real.open(NULL, "big/events.log", VL_OS_READ);
		vl_reader_open(env, &disk, &options, &reader, &error);
		wrong += vl_reader_next(reader, &commit, &error) != VALORI_END || vl_reader_torn_size(reader) != 1000;
		most = (uint64_t)(memory.bytes - bytes) > most ? (uint64_t)(memory.bytes - bytes) : most;
		vl_reader_close(reader);
		vl_os_real.close(NULL, fd);
	}
	check(wrong == 0 && most < 1 << 20, "a header that promises 1 GiB costs what is there (%llu bytes)",
	      (unsigned long long)most);

	/* memory that runs out at any time */
	history_new(11);
	for (uint32_t i = 0; i < 12; i++)
		history_add(1, i == 7 ? 100000 : 100);
	writer_options.segment_size = 4096 + 4000;
	make_log("a", 9);
	for (uint64_t at = 1;; at++) {
		struct vl_writer *writer;
		valori_code code;

		bytes = memory.bytes;
		memory.calls = 0;
		memory.fail_at = at;
		code = read_all(&(struct vl_reader_options){.path = "a"}, 0, &commits, &torn);
		if (code == VALORI_OK)
			code = writer_open(&writer, NULL);
		if (code == VALORI_OK) {
			code = vl_writer_rotate(writer, &error);
			if (code != VALORI_OK)
				vl_writer_close(writer, &error);
			else
				code = vl_writer_close(writer, &error);
		}
		wrong += code != VALORI_NO_MEMORY && memory.calls >= at;
		memory.fail_at = 0;
		wrong += memory.bytes != bytes;
		if (memory.calls < at)
			break;
	}
	check_u64(wrong, 0, "memory that runs out is said, and given back");
	check(read_store(false, &commits, &torn) == VALORI_OK && commits == 9 && survives(9), "and harms nothing");
	writer_options.segment_size = 1 << 20;
}

static void test_stream(void)
{
	struct vl_buf all;
	uint8_t header[VL_SEGMENT_HEADER];
	uint64_t wrong = 0, commits, torn;
	int ends[2], fd, status;
	pid_t child;

	vl_buf_init(&all, env);
	history_new(12);
	for (uint32_t i = 0; i < 400; i++)
		history_add(1 + i % 3, i % 50 == 49 ? 60000 : 10);
	vl_segment_header_encode(&history.start, kernels, header);
	vl_buf_put(&all, header, sizeof(header));
	vl_buf_put(&all, history.bytes.data, history.bytes.size);
	if (pipe(ends) != 0)
		abort();
	child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(vl_os_write_all(&vl_os_real, ends[1], all.data, all.size) != 0);
	}
	close(ends[1]);
	check(read_all(&(struct vl_reader_options){.fd = ends[0], .name = "-"}, 0, &commits, &torn) == VALORI_OK &&
		      commits == 400 && torn == 0,
	      "a stream is read through a pipe");
	close(ends[0]);
	check(waitpid(child, &status, 0) == child && status == 0, "to its end");

	/* cut anywhere in two commits */
	for (uint64_t size = VL_SEGMENT_HEADER + history.ends[21]; size <= VL_SEGMENT_HEADER + history.ends[23];
	     size++) {
		uint64_t whole = 22, left;

		while (whole < 24 && VL_SEGMENT_HEADER + history.ends[whole] <= size)
			whole++;
		left = size - VL_SEGMENT_HEADER - history_begin(whole);
		while (left > 0 && all.data[VL_SEGMENT_HEADER + history_begin(whole) + left - 1] == 0)
			left--;
		store("stream", all.data, (size_t)size);
		fd = vl_os_real.open(NULL, "stream", VL_OS_READ);
		wrong +=
			read_all(&(struct vl_reader_options){.fd = fd, .name = "-"}, 0, &commits, &torn) != VALORI_OK ||
			commits != whole || torn != left;
		vl_os_real.close(NULL, fd);
	}
	check_u64(wrong, 0, "a stream that is cut in a commit says how much is too much");
	all.data[VL_SEGMENT_HEADER + history.ends[100] + 80] ^= 1;
	store("stream", all.data, all.size);
	fd = vl_os_real.open(NULL, "stream", VL_OS_READ);
	check(read_all(&(struct vl_reader_options){.fd = fd, .name = "-"}, 0, &commits, &torn) == VALORI_DAMAGED &&
		      commits == 101 && error.offset == VL_SEGMENT_HEADER + history.ends[100] &&
		      strncmp(error.message, "-: offset ", 10) == 0,
	      "damage in a stream is placed");
	vl_os_real.close(NULL, fd);
	for (size_t size = 0; size < VL_SEGMENT_HEADER; size += 5) {
		valori_code code;

		store("stream", all.data, size);
		fd = vl_os_real.open(NULL, "stream", VL_OS_READ);
		code = read_all(&(struct vl_reader_options){.fd = fd, .name = "-"}, 0, &commits, &torn);
		wrong += code != (size < 8 ? VALORI_NOT_OURS : VALORI_DAMAGED);
		vl_os_real.close(NULL, fd);
	}
	check_u64(wrong, 0, "a stream that ends in its header is damaged, an empty one is none");
	vl_buf_free(&all);
}

static void test_lock(void)
{
	int fd, other, ends[2], status;
	char expected[100], byte;
	pid_t child;

	fresh("l");
	use("l");
	check(vl_lock_take(&vl_os_real, names.lock, 0, &fd, &error) == VALORI_OK, "the lock of a store is taken");
	check(vl_lock_take(&vl_os_real, names.lock, 0, &other, &error) == VALORI_LOCKED && other == -1, "once");
	snprintf(expected, sizeof(expected), "l/events.log: locked by pid %ld %s", (long)getpid(),
		 program_invocation_short_name);
	check_text(error.message, expected, "and who holds it is named");
	check(vl_lock_take(&vl_os_real, names.lock, 1, &other, &error) == VALORI_OK, "maintenance has another lock");
	vl_lock_release(&vl_os_real, other);
	use("l/second.log");
	check(vl_lock_take(&vl_os_real, names.lock, 0, &other, &error) == VALORI_OK,
	      "two stores in one directory have two");
	vl_lock_release(&vl_os_real, other);
	vl_lock_release(&vl_os_real, fd);
	use("l");
	if (pipe(ends) != 0)
		abort();
	child = fork();
	if (child == 0) {
		byte = vl_lock_take(&vl_os_real, names.lock, 0, &fd, NULL) == VALORI_OK ? 'y' : 'n';
		if (write(ends[1], &byte, 1) == 1)
			pause();
		_exit(0);
	}
	check(read(ends[0], &byte, 1) == 1 && byte == 'y', "another process takes it");
	check(vl_lock_take(&vl_os_real, names.lock, 0, &fd, &error) == VALORI_LOCKED, "it is out of reach");
	snprintf(expected, sizeof(expected), "locked by pid %ld ", (long)child);
	check(strstr(error.message, expected) != NULL, "with that process named");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	check(vl_lock_take(&vl_os_real, names.lock, 0, &fd, &error) == VALORI_OK, "and free when it is killed");
	vl_lock_release(&vl_os_real, fd);
	vl_lock_release(&vl_os_real, -1);
	close(ends[0]);
	close(ends[1]);
	check(vl_lock_take(&vl_os_real, "nowhere/x.lock", 0, &fd, &error) == VALORI_IO, "no directory, no lock");
}

/* A reader that was at the end goes on with what is acknowledged since, over rotations, and with nothing else. */
static void test_again(void)
{
	struct vl_reader *reader;
	struct vl_writer *writer;
	struct vl_commit commit;
	struct vl_position other;
	uint64_t wrong = 0, early = 0;

	history_new(14);
	for (uint32_t i = 0; i < 90; i++)
		history_add(1, i % 9);
	writer_options.segment_size = 4096 + 4000;
	make_log("again", 0);
	writer_open(&writer, NULL);
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "again", .again = true}, &reader, &error);
	for (uint64_t n = 0; n < 90; n++) {
		early += vl_reader_next(reader, &commit, &error) != VALORI_END;
		/* in the file, and not acknowledged */
		vl_writer_append(writer, history.bytes.data + history_begin(n), history.ends[n] - history_begin(n),
				 &history.after[n], &error);
		early += vl_reader_next(reader, &commit, &error) != VALORI_END;
		vl_writer_sync(writer, &error);
		wrong += vl_reader_next(reader, &commit, &error) != VALORI_OK || commit.number != n ||
			 vl_position_difference(vl_reader_position(reader), &history.after[n]) != NULL;
	}
	check_u64(wrong, 0, "what was acknowledged since the end is given when asked again");
	check_u64(early, 0, "and what is not acknowledged is not");
	check(strcmp(vl_reader_path(reader), "again/events.log") == 0 && vl_reader_position(reader)->height == 90 &&
		      history.ends[89] > 3 * 4000,
	      "over rotations");
	vl_writer_close(writer, &error);
	vl_os_real.unlink(NULL, "again/events.log");
	vl_os_real.unlink(NULL, "again/events.head");
	position_new(&other, 98);
	vl_log_create(env, &disk, &names, &other, &error);
	check(vl_reader_next(reader, &commit, &error) == VALORI_OTHER_LOG, "another log in its place is seen");
	vl_reader_close(reader);
}

static void test_follow(void)
{
	struct vl_reader *reader;
	struct vl_commit commit;
	struct vl_position other;
	uint64_t wrong = 0;
	int status;
	pid_t child;

	history_new(13);
	for (uint32_t i = 0; i < 200; i++)
		history_add(1, i % 9);
	writer_options.segment_size = 4096 + 4000;
	make_log("o", 0);
	child = fork();
	if (child == 0) {
		struct vl_writer *writer;

		if (writer_open(&writer, NULL) != VALORI_OK)
			_exit(1);
		for (uint64_t n = 1; n <= 200; n++) {
			if (append_until(writer, n) != VALORI_OK)
				_exit(2);
			if (n % 50 == 0)
				usleep(5000);
		}
		_exit(vl_writer_close(writer, &error) != VALORI_OK);
	}
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "o", .follow = true}, &reader, &error);
	for (uint64_t n = 0; n < 200; n++)
		wrong += vl_reader_next(reader, &commit, &error) != VALORI_OK || commit.number != n ||
			 vl_position_difference(vl_reader_position(reader), &history.after[n]) != NULL;
	check_u64(wrong, 0, "a log is followed while it is written and rotated");
	check(waitpid(child, &status, 0) == child && status == 0, "by a writer that does not notice");

	/* replaced by another log, as a restore does */
	child = fork();
	if (child == 0) {
		usleep(20000);
		vl_os_real.unlink(NULL, "o/events.log");
		position_new(&other, 99);
		_exit(vl_log_create(env, &disk, &names, &other, &error) != VALORI_OK);
	}
	check(vl_reader_next(reader, &commit, &error) == VALORI_OTHER_LOG,
	      "a follower sees that it is another log now");
	waitpid(child, &status, 0);
	vl_reader_close(reader);

	/* trimmed while it is read */
	make_log("o", 100);
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "o"}, &reader, &error);
	vl_reader_next(reader, &commit, &error);
	for (uint64_t n = 0; n < 60; n++) {
		char path[100];

		snprintf(path, sizeof(path), "o/events-%020llu.log", (unsigned long long)n);
		vl_os_real.unlink(NULL, path);
	}
	for (wrong = 0; wrong < 100 && vl_reader_next(reader, &commit, &error) == VALORI_OK; wrong++)
		;
	check(vl_reader_next(reader, &commit, &error) == VALORI_UNKNOWABLE &&
		      strstr(error.message, "was trimmed") != NULL,
	      "a log that is trimmed faster than it is read ends with that word");
	vl_reader_close(reader);
	writer_options.segment_size = 1 << 20;
}

static valori_code note_sealed(void *argument, const char *path, uint64_t first_event, uint64_t end_event,
			       uint64_t size)
{
	uint64_t *last = argument;

	if (first_event != *last || end_event <= first_event || size != size_of(path))
		return VALORI_DAMAGED;
	*last = end_event;
	return VALORI_OK;
}

static void test_sealed(void)
{
	uint64_t last = 0;
	struct vl_reader *reader;

	history_new(14);
	for (uint32_t i = 0; i < 30; i++)
		history_add(2, 0);
	writer_options.segment_size = 4096 + 1000;
	make_log("q", 30);
	check(vl_log_sealed(env, &disk, &names, note_sealed, &last, &error) == VALORI_OK && last > 40 && last < 60,
	      "sealed segments are listed with their ends, one after the other");
	vl_reader_open(env, &disk, &(struct vl_reader_options){.path = "q"}, &reader, &error);
	check(vl_reader_seek(reader, 60, &error) == VALORI_OK, "seek to the end");
	vl_reader_close(reader);
	writer_options.segment_size = 1 << 20;
}

/* Does something bad to a file. */
static void spoil(const char *path, uint64_t *seed)
{
	uint64_t size = size_of(path), at;
	uint8_t bytes[64];

	if (size == VALORI_NONE)
		return;
	at = size == 0 ? 0 : check_random(seed) % size;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(check_random(seed) & (size % 2 ? 0xff : 0));
	switch (check_random(seed) % 6) {
	case 0:
		cut(path, at);
		break;
	case 1:
		vl_os_real.unlink(NULL, path);
		break;
	case 2:
		poke(path, size, bytes, 1 + check_random(seed) % sizeof(bytes));
		break;
	case 3:
		poke(path, at, bytes, 1);
		break;
	default:
		poke(path, at, bytes, 1 + check_random(seed) % sizeof(bytes));
	}
}

/*
 * Whatever happens to the files: what is read is what was written, up to where it ends; and what can be opened,
 * works.
 */
static void test_spoiled(void)
{
	uint64_t seed = 4711, foreign = 0, broken = 0, sound = 0, repaired = 0, rounds = check_long() ? 20000 : 500;
	uint64_t commits, torn;

	history_new(19);
	for (uint32_t i = 0; i < 40; i++)
		history_add(1 + i % 4, i % 5);
	writer_options.segment_size = 4096 + 1500;
	make_log("spoil", 20);
	for (uint64_t round = 0; round < rounds; round++) {
		struct vl_writer *writer;
		valori_code code;

		copy_directory("spoil", "spoiled");
		use("spoiled");
		for (uint64_t times = 1 + check_random(&seed) % 2; times > 0; times--)
			switch (check_random(&seed) % 4) {
			case 0:
				spoil(names.head, &seed);
				break;
			case 1:
				spoil("spoiled/events-00000000000000000000.log", &seed);
				break;
			default:
				spoil(names.live, &seed);
			}
		if (!exists("spoiled/events-00000000000000000000.log")) /* trimmed: it does not begin with commit 0 */
			continue;
		for (int ignore_head = 0; ignore_head < 2; ignore_head++) {
			code = read_store(ignore_head, &commits, &torn);
			foreign += code == VALORI_MISMATCH;
			sound += code == VALORI_OK;
		}
		if (code != VALORI_OK)
			continue;
		repaired++;
		if (writer_open(&writer, NULL) != VALORI_OK || vl_writer_close(writer, &error) != VALORI_OK ||
		    !survives(commits)) {
			printf("# round %llu: %s\n", (unsigned long long)round, error.message);
			broken++;
		}
	}
	check_u64(foreign, 0, "spoiled files never show what was not written");
	check_u64(broken, 0, "and what still opens can be written");
	check(sound > rounds / 4 && repaired > rounds / 8, "some were spoiled harmlessly (%llu, %llu)",
	      (unsigned long long)sound, (unsigned long long)repaired);
	writer_options.segment_size = 1 << 20;
}

int main(void)
{
	scratch_enter();
	memory_init(&memory, kernels);
	disk_init();
	test_format();
	test_names();
	test_round_trip();
	test_sync_modes();
	test_torn();
	test_head();
	test_flips();
	test_segments();
	test_half_rotation();
	test_half_restore();
	test_kill_anywhere();
	test_one_failure(ENOSPC, "a full disk at any call: an error, nothing lost, and no half commit left");
	test_one_failure(EIO, "a failure at any call: an error, poisoned for ever, nothing acknowledged is lost");
	test_torn_failures();
	test_order();
	test_rewrite();
	test_memory();
	test_stream();
	test_lock();
	test_again();
	test_follow();
	test_sealed();
	test_spoiled();
	vl_names_free(&names);
	vl_buf_free(&history.bytes);
	free(history.after);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
