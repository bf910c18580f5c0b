/* test_maintain.c - trimming and restoring: nothing lost at any instant, whatever fails. */
#include "maintain.h"

#include <fcntl.h>
#include <glob.h>

#include "bytes.h"
#include "check.h"
#include "cpu.h"
#include "faults.h"
#include "memory.h"
#include "sample.h"
#include "scratch.h"

enum { DIM = 24, WRITER = 0, MAINTENANCE = 1 };

static struct memory memory;
static struct faults faultless; /* the real machine, but for syncs */

static void must(valori_code code, const valori_error *error, const char *what)
{
	if (code == VALORI_OK)
		return;
	printf("Bail out! %s: %d %s\n", what, (int)code, error->message);
	exit(1);
}

/* ---- a store, by the book: what recovery has to do, in few words ---- */

struct store {
	struct sample sample;
	struct vl_names names;
	struct vl_snapshot *snapshot; /* the one it started with, or NULL */
	struct vl_writer *writer;
	int lock;
	uint64_t base; /* first event in the log */
};

static valori_code apply_commit(struct sample *sample, const struct vl_commit *commit, valori_error *error)
{
	const uint8_t *at = commit->events, *request = commit->requests;
	uint64_t left = commit->events_size;
	struct vl_buf scratch;
	uint8_t root[32];
	valori_code code = VALORI_OK;

	vl_buf_init(&scratch, &memory.env);
	for (uint32_t i = 0; code == VALORI_OK && i < commit->event_count; i++) {
		struct vl_event event;
		struct vl_request added = {.event = commit->first_event + i};
		size_t used;

		code = vl_event_decode(memory.env.kernels, at, (size_t)left, sample->state.dim, &event, &used,
				       error);
		if (code == VALORI_OK)
			code = vl_event_hash_contents(memory.env.kernels, &event, 1, sample->state.dim,
						      &scratch, error);
		if (code == VALORI_OK)
			code = vl_state_apply(&sample->state, &event, error);
		if (code != VALORI_OK)
			break;
		at += used;
		left -= used;
		if (request == commit->requests + (size_t)commit->request_count * VL_REQUEST_ENTRY ||
		    vl_get32(request) != i)
			continue;
		memcpy(added.id, request + 8, VL_REQUEST_ID);
		added.object = event.id;
		code = vl_event_digests(memory.env.kernels, &event, 1, &scratch, added.digest, error);
		if (code == VALORI_OK)
			code = vl_requests_add(&sample->requests, &added, error);
		request += VL_REQUEST_ENTRY;
	}
	vl_buf_free(&scratch);
	if (code == VALORI_OK)
		code = vl_commitment_update(&sample->commitment, &sample->state, root, error);
	if (code == VALORI_OK && memcmp(root, commit->state_root, 32) != 0)
		code = vl_fail(error, VALORI_MISMATCH, "commit %llu: another root",
			       (unsigned long long)commit->number);
	return code;
}

/* Starts with a snapshot, if it is one of this log. */
static bool start_with(struct store *store, const char *path, struct vl_reader *reader)
{
	if (vl_snapshot_open(&memory.env, &faultless.os, path, &store->snapshot, NULL) != VALORI_OK)
		return false;
	if (memcmp(vl_snapshot_position(store->snapshot)->log_id, vl_reader_base(reader)->log_id, 32) == 0 &&
	    vl_reader_seek_position(reader, vl_snapshot_position(store->snapshot), NULL) == VALORI_OK &&
	    vl_snapshot_attach(store->snapshot, &store->sample.state, &store->sample.commitment,
			       &store->sample.requests, NULL) == VALORI_OK)
		return true;
	vl_snapshot_close(store->snapshot);
	store->snapshot = NULL;
	return false;
}

static valori_code replay(struct store *store, struct vl_reader **reader,
			  const struct vl_reader_options *options, valori_error *error)
{
	const char *snapshot = vl_maintain_snapshot(&memory.env, &faultless.os, &store->names);
	struct vl_commit commit;
	valori_code code = vl_reader_open(&memory.env, &faultless.os, options, reader, error);

	if (code != VALORI_OK)
		return code;
	store->base = vl_reader_base(*reader)->height;
	sample_init(&store->sample, &memory.env, vl_reader_base(*reader)->dim, 1);
	if ((snapshot == NULL || !start_with(store, snapshot, *reader)) && store->base != 0)
		code = vl_fail(error, VALORI_UNKNOWABLE, "no snapshot for event %llu",
			       (unsigned long long)store->base);
	while (code == VALORI_OK) {
		code = vl_reader_next(*reader, &commit, error);
		if (code == VALORI_OK)
			code = apply_commit(&store->sample, &commit, error);
	}
	store->sample.position = *vl_reader_position(*reader);
	return code == VALORI_END ? VALORI_OK : code;
}

static void store_close(struct store *store)
{
	if (store->writer != NULL)
		must(vl_writer_close(store->writer, NULL), &(valori_error){0}, "close");
	if (store->sample.pool != NULL)
		sample_free(&store->sample);
	vl_snapshot_close(store->snapshot);
	vl_lock_release(&faultless.os, store->lock);
	vl_names_free(&store->names);
	memset(store, 0, sizeof(*store));
	store->lock = -1;
}

/* As a reading tool does. After a failure there is nothing to close. */
static valori_code store_read(struct store *store, const char *path, const char *archive, valori_error *error)
{
	struct vl_reader_options options = {.path = path, .archive = archive, .fd = -1};
	struct vl_reader *reader = NULL;
	valori_code code;

	*store = (struct store){.lock = -1};
	code = vl_names_init(&store->names, &faultless.os, path, error);
	if (code == VALORI_OK)
		code = replay(store, &reader, &options, error);
	vl_reader_close(reader);
	if (code != VALORI_OK)
		store_close(store);
	return code;
}

static void append(void *context, const uint8_t *bytes, uint64_t size, const struct vl_position *position)
{
	struct store *store = context;
	valori_error error;

	must(vl_writer_append(store->writer, bytes, size, position, &error), &error, "append");
	must(vl_writer_sync(store->writer, &error), &error, "sync");
}

/* As a writer does; makes the store when there is none. */
static valori_code store_write(struct store *store, const char *path, valori_error *error)
{
	struct vl_reader_options options = {.path = path, .fd = -1, .ignore_head = true};
	const struct vl_writer_options writing = {.segment_size = VL_SEGMENT_SIZE_MIN,
						  .sync_mode = VALORI_SYNC_ALWAYS};
	struct vl_reader *reader = NULL;
	valori_code code;

	*store = (struct store){.lock = -1};
	faultless.os.make_directory(&faultless, path);
	code = vl_names_init(&store->names, &faultless.os, path, error);
	if (code == VALORI_OK)
		code = vl_lock_take(&faultless.os, store->names.lock, WRITER, &store->lock, error);
	if (code == VALORI_OK)
		code = vl_maintain_recover(&memory.env, &faultless.os, &store->names, error);
	if (code == VALORI_OK && access(store->names.live, F_OK) != 0) {
		struct sample born;

		sample_init(&born, &memory.env, DIM, 42);
		code = vl_log_create(&memory.env, &faultless.os, &store->names, &born.position, error);
		sample_free(&born);
	}
	if (code == VALORI_OK)
		code = replay(store, &reader, &options, error);
	if (code == VALORI_OK)
		code = vl_writer_open(&memory.env, &faultless.os, &store->names, &writing, reader,
				      &store->writer, error);
	vl_reader_close(reader);
	store->sample.append = append;
	store->sample.context = store;
	if (code != VALORI_OK)
		store_close(store);
	return code;
}

static void grow(const char *path, unsigned commits, unsigned events, uint64_t seed)
{
	struct store store;
	valori_error error;

	must(store_write(&store, path, &error), &error, "grow");
	store.sample.seed = seed;
	sample_grow(&store.sample, commits, events);
	store_close(&store);
}

static void snapshot_of(const char *path, const char *snapshot)
{
	struct store store;
	valori_error error;

	must(store_read(&store, path, NULL, &error), &error, "read");
	must(vl_snapshot_write(&memory.env, &faultless.os, &store.sample.position, &store.sample.state,
			       &store.sample.commitment, &store.sample.requests, NULL, snapshot, -1, &error),
	     &error, "snapshot");
	store_close(&store);
}

/* What a store is, as far as these tests care; root all zeros: it cannot be read. */
struct look {
	valori_code code;
	uint64_t base, height, commits, requests;
	uint8_t log_id[32], root[32];
};

static struct look look_at(const char *path, const char *archive)
{
	struct look look = {0};
	struct store store;
	valori_error error = {0};

	look.code = store_read(&store, path, archive, &error);
	if (look.code != VALORI_OK) {
		printf("# %s: %s\n", path, error.message);
		return look;
	}
	look.base = store.base;
	look.height = store.sample.position.height;
	look.commits = store.sample.position.frontier.size;
	look.requests = store.sample.requests.total;
	memcpy(look.log_id, store.sample.position.log_id, 32);
	memcpy(look.root, store.sample.position.state_root, 32);
	store_close(&store);
	return look;
}

static bool same_state(const struct look *a, const struct look *b)
{
	return a->code == VALORI_OK && b->code == VALORI_OK && a->height == b->height &&
	       a->requests == b->requests && memcmp(a->root, b->root, 32) == 0;
}

static bool same_log(const struct look *a, const struct look *b)
{
	return a->code == VALORI_OK && b->code == VALORI_OK && memcmp(a->log_id, b->log_id, 32) == 0;
}

static void copy_file(const char *from, const char *to)
{
	static uint8_t buffer[1 << 16];
	int source = open(from, O_RDONLY), target = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t count;

	while ((count = read(source, buffer, sizeof(buffer))) > 0)
		if (write(target, buffer, (size_t)count) != count)
			exit(1);
	if (source < 0 || target < 0 || count < 0)
		exit(1);
	close(source);
	close(target);
}

struct copy {
	const char *from, *to;
};

static int copy_one(void *argument, const char *name)
{
	const struct copy *copy = argument;
	char from[300], to[300];
	struct stat found;

	snprintf(from, sizeof(from), "%s/%s", copy->from, name);
	snprintf(to, sizeof(to), "%s/%s", copy->to, name);
	if (stat(from, &found) == 0 && S_ISREG(found.st_mode))
		copy_file(from, to);
	return 0;
}

/* The files of a directory, in place of what was there. */
static void copy_files(const char *from, const char *to)
{
	struct copy copy = {from, to};

	scratch_clear(to);
	if (mkdir(to, 0700) != 0 || vl_os_real.list(NULL, from, copy_one, &copy) != 0)
		exit(1);
}

/* Lets a byte of a file be another one. */
static void spoil(const char *path, off_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	if (pread(fd, &byte, 1, offset) != 1)
		exit(1);
	byte ^= 0xff;
	if (pwrite(fd, &byte, 1, offset) != 1)
		exit(1);
	close(fd);
}

static bool same_files(const char *a, const char *b)
{
	static uint8_t buffers[2][1 << 16];
	int fds[2] = {open(a, O_RDONLY), open(b, O_RDONLY)};
	ssize_t counts[2] = {1, 1};
	bool is_same = fds[0] >= 0 && fds[1] >= 0;

	while (is_same && counts[0] > 0) {
		for (int i = 0; i < 2; i++)
			counts[i] = read(fds[i], buffers[i], sizeof(buffers[i]));
		is_same = counts[0] >= 0 && counts[0] == counts[1] &&
			  memcmp(buffers[0], buffers[1], (size_t)counts[0]) == 0;
	}
	close(fds[0]);
	close(fds[1]);
	return is_same;
}

static unsigned count_files(const char *pattern)
{
	glob_t found;
	unsigned count = 0;

	if (glob(pattern, 0, NULL, &found) == 0) {
		count = (unsigned)found.gl_pathc;
		globfree(&found);
	}
	return count;
}

/* All files of the store as it was are in its backup. */
static bool is_backed_up(const char *store, const char *backup)
{
	glob_t found;
	char pattern[64], path[300];
	bool is_same = true;

	snprintf(pattern, sizeof(pattern), "%s/*", store);
	if (glob(pattern, 0, NULL, &found) != 0)
		return false;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/');

		snprintf(path, sizeof(path), "%s%s", backup, name);
		if (strcmp(name, "/events.lock") != 0 && !same_files(found.gl_pathv[i], path))
			is_same = false;
	}
	globfree(&found);
	return is_same;
}

/* Recover, append, recover again: three times round. The state may only grow. */
static bool lives_on(const char *path)
{
	bool is_well = true;

	for (unsigned round = 0; round < 3; round++) {
		struct look before = look_at(path, NULL), after;

		grow(path, 2, 15, 100 + round);
		after = look_at(path, NULL);
		is_well = is_well && same_log(&before, &after) && after.height > before.height &&
			  after.commits == before.commits + 2;
	}
	return is_well;
}

/*
 * store/: some segments, a snapshot in the middle (middle.val), and one at the end (end.val).
 */
static void make_store(unsigned commits)
{
	scratch_clear("store");
	grow("store", commits, 40, 5);
	snapshot_of("store", "middle.val");
	grow("store", commits, 40, 6);
	snapshot_of("store", "end.val");
}

static valori_code trim(const char *snapshot, const char *archive, bool dry_run, valori_trim_result *result)
{
	valori_error error = {0};
	valori_code code = vl_maintain_trim(&memory.env, &faultless.os, "store", snapshot, archive, dry_run,
					    result, &error);

	if (code != VALORI_OK)
		printf("# %s\n", error.message);
	return code;
}

/* ---- trimming ---- */

static void test_trim(void)
{
	valori_trim_result dry = {0}, done = {0};
	struct look before, after;
	unsigned sealed;

	make_store(12);
	before = look_at("store", NULL);
	sealed = count_files("store/events-*.log");
	check(before.code == VALORI_OK && before.base == 0 && sealed >= 4,
	      "the store has some sealed segments");
	check(trim("middle.val", NULL, true, &dry) == VALORI_OK && dry.segments > 0 &&
		      dry.segments < sealed && dry.bytes > 0,
	      "a rehearsal says what would go");
	check_u64(count_files("store/events-*.log"), sealed, "and takes nothing away");
	check_u64(trim("middle.val", NULL, false, &done), VALORI_OK,
		  "the log is trimmed behind the snapshot");
	check(memcmp(&dry, &done, sizeof(dry)) == 0, "what goes is what the rehearsal said");
	check_u64(count_files("store/events-*.log"), sealed - done.segments, "as many files are gone");
	check_u64(look_at("store", NULL).code, VALORI_UNKNOWABLE,
		  "without a snapshot the trimmed log does not tell the state");
	copy_file("middle.val", "store/snapshot.val");
	after = look_at("store", NULL);
	check(same_state(&before, &after) && same_log(&before, &after) && after.base == done.base_height &&
		      after.base > 0,
	      "with the snapshot it does");
	check(trim("middle.val", NULL, false, &done) == VALORI_OK && done.segments == 0 &&
		      done.base_height == after.base,
	      "a second time there is nothing to trim");
	check(lives_on("store"), "a trimmed store lives on");
}

static void test_trim_all(void)
{
	valori_trim_result dry = {0}, done = {0};
	struct look before, after;

	make_store(6);
	before = look_at("store", NULL);
	check_u64(trim("end.val", NULL, true, &dry), VALORI_OK, "a rehearsal with a snapshot of the end");
	check_u64(trim("end.val", NULL, false, &done), VALORI_OK,
		  "the log is trimmed behind a snapshot of its end");
	check(memcmp(&dry, &done, sizeof(dry)) == 0 && done.base_height == before.height,
	      "all of it goes, for nobody was writing");
	check(count_files("store/events-*.log") == 0 && count_files("store/events.log") == 1,
	      "an empty live segment is left");
	copy_file("end.val", "store/snapshot.val");
	after = look_at("store", NULL);
	check(same_state(&before, &after) && after.base == before.height, "and the state is there");
	check(lives_on("store"), "a store that is trimmed to nothing lives on");
}

static void test_trim_beside_writer(void)
{
	valori_trim_result done = {0};
	struct store store;
	valori_error error;
	struct look before, after;

	make_store(6);
	copy_file("end.val", "store/snapshot.val");
	before = look_at("store", NULL);
	must(store_write(&store, "store", &error), &error, "write");
	check_u64(trim("end.val", NULL, false, &done), VALORI_OK, "a log is trimmed beside its writer");
	check(count_files("store/events-*.log") == 0 && done.base_height < before.height,
	      "the live segment stays");
	store.sample.seed = 8;
	sample_grow(&store.sample, 3, 20);
	store_close(&store);
	after = look_at("store", NULL);
	check(after.code == VALORI_OK && after.commits == before.commits + 3, "the writer goes on");
}

static void test_trim_refused(void)
{
	valori_trim_result done;
	unsigned files;
	int fd;
	valori_error error;
	struct sample other;

	make_store(6);
	files = count_files("store/*");
	sample_init(&other, &memory.env, DIM, 77);
	sample_grow(&other, 12, 40);
	must(vl_snapshot_write(&memory.env, &faultless.os, &other.position, &other.state, &other.commitment,
			       &other.requests, NULL, "other.val", -1, &error),
	     &error, "other");
	check_u64(trim("other.val", NULL, false, &done), VALORI_OTHER_LOG,
		  "a snapshot of another log is refused");
	memcpy(other.position.log_id, (uint8_t[32]){0}, 32);
	{
		struct look own = look_at("store", NULL);
		memcpy(other.position.log_id, own.log_id, 32);
	}
	must(vl_snapshot_write(&memory.env, &faultless.os, &other.position, &other.state, &other.commitment,
			       &other.requests, NULL, "other.val", -1, &error),
	     &error, "other");
	check_u64(trim("other.val", NULL, false, &done), VALORI_OTHER_LOG, "a snapshot of a fork is refused");
	sample_free(&other);

	copy_file("end.val", "bad.val");
	spoil("bad.val", 8200);
	check_u64(trim("bad.val", NULL, false, &done), VALORI_DAMAGED, "a damaged snapshot is refused");
	check_u64(trim("none.val", NULL, false, &done), VALORI_NOT_FOUND, "no snapshot: not found");

	must(vl_lock_take(&faultless.os, "store/events.lock", MAINTENANCE, &fd, &error), &error, "lock");
	check_u64(trim("end.val", NULL, false, &done), VALORI_LOCKED, "two cannot maintain a store at once");
	vl_lock_release(&faultless.os, fd);
	check_u64(count_files("store/*"), files, "after all that nothing is gone");

	copy_files("store", "longer");
	copy_file("end.val", "longer/snapshot.val");
	grow("longer", 2, 20, 9);
	snapshot_of("longer", "longer.val");
	check_u64(trim("longer.val", NULL, false, &done), VALORI_MISSING,
		  "a snapshot from beyond the log's end is refused");
	scratch_clear("longer");
	check_u64(trim("end.val", NULL, false, &done), VALORI_OK, "a good one is taken");
	check_u64(trim("middle.val", NULL, false, &done), VALORI_UNKNOWABLE,
		  "one from before the log's base is refused");
}

static int other_device(void *context, const char *from, const char *to)
{
	(void)context;
	(void)from;
	(void)to;
	return -EXDEV;
}

static void test_archive(void)
{
	valori_trim_result done;
	struct look before, after, archived;
	struct vl_os os = faultless.os;
	valori_error error;

	for (int copies = 0; copies < 2; copies++) {
		make_store(copies ? 12 : 6);
		scratch_clear("archive");
		before = look_at("store", NULL);
		os.link = copies ? other_device : faultless.os.link;
		/* The second rotation of the live segment must link, so the copies are of those that are
		 * sealed already. */
		check_u64(vl_maintain_trim(&memory.env, &os, "store", copies ? "middle.val" : "end.val",
					   "archive", false, &done, &error),
			  VALORI_OK,
			  copies ? "segments are copied to an archive on another device"
				 : "segments are moved to an archive");
		check(done.segments > 0 && count_files("archive/*") == done.segments,
		      "they are all there, and nothing else");
		copy_file(copies ? "middle.val" : "end.val", "store/snapshot.val");
		after = look_at("store", NULL);
		check(same_state(&before, &after), "the store is as before");
		unlink("store/snapshot.val");
		archived = look_at("store", "archive");
		check(same_state(&before, &archived) && archived.base == 0,
		      "with the archive it can be read from its beginning");
		copy_file(copies ? "middle.val" : "end.val", "store/snapshot.val");
		check(lives_on("store"), "it lives on");
	}
	/* An archive that holds something already. */
	make_store(6);
	scratch_clear("archive");
	if (mkdir("archive", 0700) != 0)
		exit(1);
	copy_file("store/events-00000000000000000000.log", "archive/events-00000000000000000000.log");
	check_u64(trim("end.val", "archive", false, &done), VALORI_OK,
		  "a segment that is archived already needs only go");
	make_store(6);
	spoil("archive/events-00000000000000000000.log", 5000);
	check_u64(trim("end.val", "archive", false, &done), VALORI_INVALID,
		  "another file of that name is not overwritten");
	check_u64(count_files("store/events-00000000000000000000.log"), 1, "and the segment stays");
}

static void test_trim_faults(void)
{
	unsigned wrong = 0, reported = 0, stuck = 0, leaks = 0, failures = 0;
	struct look before;

	make_store(3);
	copy_file("end.val", "store/snapshot.val");
	before = look_at("store", NULL);
	copy_files("store", "kept");
	for (int mode = 0; mode < 4; mode++) { /* bit 0: crash, bit 1: into an archive */
		for (uint64_t at = 1;; at++) {
			struct faults faults;
			valori_trim_result done = {0};
			int64_t blocks = memory.blocks;
			struct look after;
			valori_code code;

			copy_files("kept", "store");
			scratch_clear("archive");
			faults_init(&faults);
			faults.fail_at = at;
			faults.crash = mode & 1;
			code = vl_maintain_trim(&memory.env, &faults.os, "store", "end.val",
						mode & 2 ? "archive" : NULL, false, &done, NULL);
			failures += code != VALORI_OK;
			leaks += faults.open != 0 || memory.blocks != blocks;
			after = look_at("store", NULL);
			wrong += !same_state(&before, &after);
			if (mode & 2) {
				unlink("store/snapshot.val");
				after = look_at("store", "archive");
				wrong += !same_state(&before, &after) || after.base != 0;
				copy_file("end.val", "store/snapshot.val");
			}
			if (wrong > reported)
				printf("# mode %d, call %u\n", mode, (unsigned)at);
			reported = wrong;
			if (faults.calls < at)
				break;
			stuck += vl_maintain_trim(&memory.env, &faultless.os, "store", "end.val",
						  mode & 2 ? "archive" : NULL, false, &done,
						  NULL) != VALORI_OK ||
				 done.base_height != before.height;
		}
	}
	check(failures > 100, "calls fail");
	check_u64(
		wrong, 0,
		"whichever call of a trim fails: the store is whole, with its archive to its beginning");
	check_u64(stuck, 0, "the next trim does all that is left");
	check_u64(leaks, 0, "no descriptor and no memory is lost");
}

/* ---- restoring ---- */

static valori_code restore(const struct vl_os *os, const char *log, const char *snapshot,
			   valori_snapshot_info *info)
{
	valori_error error = {0};
	valori_code code = vl_maintain_restore(&memory.env, os, log, snapshot, -1, info, &error);

	if (code != VALORI_OK)
		printf("# %s\n", error.message);
	return code;
}

static void test_restore(void)
{
	valori_snapshot_info info = {0};
	struct vl_snapshot *snapshot;
	struct look before, middle, after;

	make_store(6);
	before = look_at("store", NULL);
	copy_files("store", "past");
	check_u64(restore(&faultless.os, "store", "middle.val", &info), VALORI_OK,
		  "a store is restored from a snapshot");
	after = look_at("store", NULL);
	check(after.code == VALORI_OK && !same_log(&before, &after), "it is a new log");
	check(vl_snapshot_open(&memory.env, &faultless.os, "middle.val", &snapshot, NULL) == VALORI_OK &&
		      after.height == vl_snapshot_position(snapshot)->height && after.commits == 0 &&
		      after.base == after.height &&
		      memcmp(after.root, vl_snapshot_position(snapshot)->state_root, 32) == 0,
	      "with the snapshot's state, no commit, and heights that go on");
	check(info.height == after.height && memcmp(info.log_id.bytes, after.log_id, 32) == 0, "as it says");
	vl_snapshot_close(snapshot);
	check(vl_snapshot_open(&memory.env, &faultless.os, "store/snapshot.val", &snapshot, NULL) ==
			      VALORI_OK &&
		      vl_snapshot_verify(snapshot, NULL) == VALORI_OK &&
		      memcmp(vl_snapshot_position(snapshot)->parent_id, before.log_id, 32) == 0 &&
		      vl_snapshot_position(snapshot)->parent_commits > 0,
	      "its snapshot is sound and names the parent");
	vl_snapshot_close(snapshot);
	check(count_files("store/events-*.log") == 0 && count_files("store/*.restore.*") == 0 &&
		      count_files("store/events.head") == 0,
	      "nothing old is left beside the new log");
	check(is_backed_up("past", "store/events.before-restore-1"),
	      "the old files are in STEM.before-restore-1, byte for byte");
	middle = look_at("store/events.before-restore-1", NULL);
	check(same_state(&before, &middle) && same_log(&before, &middle),
	      "the old store is in STEM.before-restore-1, whole");
	check(lives_on("store"), "a restored store lives on");
	before = look_at("store", NULL);
	check_u64(restore(&faultless.os, "store", "end.val", NULL), VALORI_OK, "it can be restored again");
	middle = look_at("store/events.before-restore-2", NULL);
	check(same_state(&before, &middle), "and what it was is in STEM.before-restore-2");
	check(lives_on("store"), "and lives on");
	check_u64(restore(&faultless.os, "fresh", "end.val", NULL), VALORI_OK,
		  "a store is restored where there was none");
	check(count_files("fresh/*before*") == 0 && lives_on("fresh"), "and lives on");
	check_u64(restore(&faultless.os, "fresh", "fresh/snapshot.val", NULL), VALORI_OK,
		  "a store is restored from its own snapshot");
	check(lives_on("fresh"), "and lives on");
	scratch_clear("fresh");
}

static void test_restore_stream(void)
{
	int fd = open("end.val", O_RDONLY);
	valori_error error;
	struct look after, cut;

	check_u64(vl_maintain_restore(&memory.env, &faultless.os, "fresh", "-", fd, NULL, &error), VALORI_OK,
		  "a store is restored from a stream");
	after = look_at("fresh", NULL);
	check(after.code == VALORI_OK && count_files("fresh/*restore*") == 0,
	      "and nothing else is left of it");
	close(fd);
	copy_file("end.val", "cut.val");
	if (truncate("cut.val", 20000) != 0)
		exit(1);
	fd = open("cut.val", O_RDONLY);
	check_u64(vl_maintain_restore(&memory.env, &faultless.os, "fresh", "-", fd, NULL, &error),
		  VALORI_DAMAGED, "a stream that ends early is refused");
	cut = look_at("fresh", NULL);
	check(same_log(&after, &cut) && count_files("fresh/*restore*") == 0, "and the store is as it was");
	close(fd);
	scratch_clear("fresh");
}

static void test_restore_refused(void)
{
	struct look before, after;
	struct store store;
	valori_error error;

	make_store(3);
	before = look_at("store", NULL);
	copy_file("end.val", "bad.val");
	spoil("bad.val", 8200);
	check_u64(restore(&faultless.os, "store", "bad.val", NULL), VALORI_DAMAGED,
		  "a damaged snapshot is refused");
	check_u64(restore(&faultless.os, "store", "none.val", NULL), VALORI_NOT_FOUND,
		  "no snapshot: not found");
	must(store_write(&store, "store", &error), &error, "write");
	check_u64(restore(&faultless.os, "store", "end.val", NULL), VALORI_LOCKED,
		  "a store that is written to is not restored");
	store_close(&store);
	{
		struct sample third;

		sample_init(&third, &memory.env, DIM, 99);
		sample_grow(&third, 2, 10);
		must(vl_snapshot_write(&memory.env, &faultless.os, &third.position, &third.state,
				       &third.commitment, &third.requests, NULL, "store/snapshot.val", -1, &error),
		     &error, "third");
		sample_free(&third);
	}
	check_u64(restore(&faultless.os, "store", "end.val", NULL), VALORI_OTHER_LOG,
		  "snapshot.val of a third store is not pushed aside");
	after = look_at("store", NULL);
	check(same_state(&before, &after) && same_log(&before, &after) && count_files("store/*restore*") == 0,
	      "after all that the store is as it was");
}

/* The directory as a process left it that ended right behind the deciding rename: whatever fails in what ends
 * it, the new store is not lost. */
static unsigned count_lost(const struct look *middle)
{
	unsigned lost = 0;

	copy_files("store", "decided");
	for (uint64_t at = 1;; at++) {
		struct vl_names names;
		struct faults faults;
		struct look seen;

		copy_files("decided", "store");
		faults_init(&faults);
		faults.fail_at = at;
		must(vl_names_init(&names, &vl_os_real, "store", NULL), &(valori_error){0}, "names");
		(void)vl_maintain_recover(&memory.env, &faults.os, &names, NULL);
		vl_names_free(&names);
		seen = look_at("store", NULL);
		lost += !same_state(&seen, middle);
		if (faults.calls < at)
			return lost;
	}
}

static void test_restore_faults(void)
{
	unsigned wrong = 0, reported = 0, stuck = 0, leaks = 0, lied = 0, old = 0, new = 0, new_before,
		 sealed, lost = 1;
	struct look before, middle;

	make_store(10);
	/* Trimmed, so that the old store needs its snapshot, and the new one another; with segments from
	 * before the new one's base. */
	copy_file("middle.val", "store/snapshot.val");
	{
		valori_trim_result done;

		must(vl_maintain_trim(&memory.env, &faultless.os, "store", "middle.val", NULL, false, &done,
				      NULL),
		     &(valori_error){0}, "trim");
	}
	grow("store", 1, 10, 12);
	before = look_at("store", NULL);
	sealed = count_files("store/events-*.log");
	must(vl_maintain_restore(&memory.env, &faultless.os, "fresh", "end.val", -1, NULL, NULL),
	     &(valori_error){0}, "restore");
	middle = look_at("fresh", NULL);
	scratch_clear("fresh");
	copy_files("store", "kept");
	for (int crash = 0; crash < 2; crash++) {
		new_before = new;
		for (uint64_t at = 1;; at++) {
			struct faults faults;
			int64_t blocks = memory.blocks;
			struct look seen, recovered;
			struct store store;
			valori_code code;
			valori_error error;

			copy_files("kept", "store");
			faults_init(&faults);
			faults.fail_at = at;
			faults.crash = crash;
			code = vl_maintain_restore(&memory.env, &faults.os, "store", "end.val", -1, NULL,
						   NULL);
			leaks += faults.open != 0 || memory.blocks != blocks;
			/* A reader sees one of the two, */
			seen = look_at("store", NULL);
			wrong += !(same_state(&seen, &before) && same_log(&seen, &before)) &&
				 !(same_state(&seen, &middle) && !same_log(&seen, &before) &&
				   seen.base == middle.base);
			lied += code == VALORI_OK && !same_state(&seen, &middle);
			if (crash && new == new_before && !same_log(&seen, &before)) {
				lost = count_lost(&middle);
				copy_files("decided", "store");
			}
			old += same_log(&seen, &before);
			new += !same_log(&seen, &before);
			/* and a writer the same, which ends what was begun or sweeps it away. */
			if (store_write(&store, "store", &error) == VALORI_OK)
				store_close(&store);
			else
				wrong++;
			recovered = look_at("store", NULL);
			wrong += !same_state(&seen, &recovered) || !same_log(&seen, &recovered);
			wrong += count_files("store/*.restore.*") != 0;
			wrong += count_files("store/events-*.log") != (same_log(&seen, &before) ? sealed : 0);
			if (wrong > reported)
				printf("# crash %d, call %u\n", crash, (unsigned)at);
			reported = wrong;
			if (faults.calls < at)
				break;
			stuck += vl_maintain_restore(&memory.env, &faultless.os, "store", "end.val", -1, NULL,
						     NULL) != VALORI_OK;
			recovered = look_at("store", NULL);
			stuck += !same_state(&recovered, &middle);
		}
	}
	printf("# %u times the old store, %u times the new one\n", old, new);
	check(old > 50 && new > 5 && sealed > 0 && before.base > 0 && before.base < middle.base,
	      "both sides of the deciding rename are seen");
	check_u64(
		wrong, 0,
		"whichever call of a restore fails: readers and writers find the old store, or the new one");
	check_u64(lied, 0, "success is said of the new one only");
	check_u64(lost, 0,
		  "whichever call fails of what ends an interrupted restore: the new store is there");
	check_u64(stuck, 0, "the next restore succeeds");
	check_u64(leaks, 0, "no descriptor and no memory is lost");
}

/* Memory that runs out anywhere: refused, or done; nothing in between, and nothing is lost. */
static void test_no_memory(void)
{
	unsigned wrong = 0, refused = 0;
	struct look before;

	make_store(3);
	copy_file("end.val", "store/snapshot.val");
	before = look_at("store", NULL);
	copy_files("store", "kept");
	for (int restoring = 0; restoring < 2; restoring++) {
		for (uint64_t at = 1;; at++) {
			int64_t blocks = memory.blocks;
			valori_trim_result done;
			struct look after;
			valori_code code;

			copy_files("kept", "store");
			memory.fail_at = memory.calls + at;
			code = restoring ? vl_maintain_restore(&memory.env, &faultless.os, "store", "end.val", -1, NULL,
							       NULL)
					 : vl_maintain_trim(&memory.env, &faultless.os, "store", "end.val", "archive",
							    false, &done, NULL);
			memory.fail_at = 0;
			wrong += memory.blocks != blocks || (code != VALORI_OK && code != VALORI_NO_MEMORY);
			after = look_at("store", NULL);
			wrong += !same_state(&before, &after);
			refused += code != VALORI_OK;
			scratch_clear("archive");
			if (code == VALORI_OK)
				break;
		}
	}
	check(refused > 20, "memory runs out");
	check_u64(wrong, 0, "out of memory at any point of a trim or a restore: nothing is lost, nothing leaks");
}

int main(void)
{
	scratch_enter();
	memory_init(&memory, vl_cpu_kernels(NULL));
	faults_init(&faultless);
	test_trim();
	test_trim_all();
	test_trim_beside_writer();
	test_trim_refused();
	test_archive();
	test_trim_faults();
	test_restore();
	test_restore_stream();
	test_restore_refused();
	test_restore_faults();
	test_no_memory();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back");
	return check_done();
}
