/* test_verify.c - the verdicts: consistent, verified, tampered, damaged, indeterminate; and where. */
#include <fcntl.h>
#include <unistd.h>

#include "check.h"
#include "cpu.h"
#include "engine.h"
#include "faults.h"
#include "host.h"
#include "stores.h"
#include "verify.h"

static valori_verify_report verify(const char *path, const char *snapshot)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	valori_error error;

	options.path = path;
	options.snapshot = snapshot;
	if (valori_verify(&options, &report, &error) != VALORI_OK) {
		report.verdict = 99;
		snprintf(report.sentence, sizeof(report.sentence), "%s", error.message);
	}
	return report;
}

static valori_verify_report expect(const char *path, int kind, const valori_hash *hash, uint64_t size)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};

	options.path = path;
	options.expect_kind = kind;
	options.expect = *hash;
	options.expect_size = size;
	if (valori_verify(&options, &report, NULL) != VALORI_OK)
		report.verdict = 99;
	return report;
}

static bool is_verdict(const valori_verify_report *report, uint32_t verdict, const char *promise)
{
	bool ok = check(report->verdict == verdict, "%s", promise);

	if (!ok)
		printf("# verdict %u: %s\n", report->verdict, report->sentence);
	return ok;
}

static unsigned draws;

/* Commits of one and of several events, every kind of operation the model knows. */
static void fill(const char *directory, unsigned commits, uint64_t segment_size, struct model *model, uint64_t *seed)
{
	valori_options options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	valori_batch *batch;
	valori *store;

	options.segment_size = segment_size;
	valori_open(&options, &store, NULL);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	for (unsigned i = 0; i < commits; i++) {
		valori_batch_clear(batch);
		for (unsigned j = 0; j <= i % 3; j++) {
			struct draft draft;

			model_draw(model, seed, &draft);
			if (i % 4 == 0)
				draft_request(&draft, 1, (uint64_t)draws++);
			valori_batch_add(batch, &draft.op, NULL);
			model_apply(model, &draft);
		}
		valori_commit(store, batch, NULL, NULL, NULL);
	}
	valori_batch_free(batch);
	valori_close(store, NULL);
}

static bool write_snapshot(const char *directory, const char *path)
{
	valori *store = stores_open(directory, VALORI_READ);
	const struct vl_version *version;
	valori_view *view;
	valori_error error;
	valori_code code;

	valori_view_open(store, &view, NULL);
	version = vl_engine_version(view);
	code = vl_snapshot_write(version->env, version->os, &version->position, &version->state, &version->commitment,
				 &version->requests, NULL, path, -1, &error);
	if (code != VALORI_OK)
		printf("# %s\n", error.message);
	valori_view_close(view);
	valori_close(store, NULL);
	return code == VALORI_OK;
}

struct traced {
	unsigned count;
	valori_hash tree;
};

static void trace(void *context, const valori_commit_view *commit)
{
	struct traced *traced = context;

	traced->count += commit->number == traced->count;
	traced->tree = commit->tree_root;
}

static void test_sound(void)
{
	struct model *model = model_new();
	uint64_t seed = 3;
	char directory[256];
	valori_verify_report report, other;
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_info info = {.size = sizeof(info)};
	valori_hash tree, root, middle;
	struct traced traced = {0};
	valori *store;
	int fd;

	stores_make(directory);
	fill(directory, 50, 0, model, &seed);
	store = stores_open(directory, VALORI_READ);
	valori_get_info(store, &info, NULL);
	middle = info.state_root;
	tree = info.tree_root;
	valori_close(store, NULL);
	fill(directory, 250, 0, model, &seed);
	store = stores_open(directory, VALORI_READ);
	valori_get_info(store, &info, NULL);
	root = info.state_root;
	valori_close(store, NULL);

	report = verify(directory, NULL);
	is_verdict(&report, VALORI_CONSISTENT, "a sound log is consistent");
	check(report.height == info.height && report.commits == 300 && stores_same(&report.state_root, &root) &&
		      stores_same(&report.tree_root, &info.tree_root) && report.fault_offset == VALORI_NONE &&
		      report.segments == 1,
	      "the report says what was proven");
	report = expect(directory, 1, &root, 0);
	is_verdict(&report, VALORI_VERIFIED_STATE, "its state root can be expected");
	report = expect(directory, 1, &middle, 0);
	is_verdict(&report, VALORI_DIFFERS, "an older root is not the state");
	check(report.expect_reached == 1 && report.expect_height < report.height, "but it is said when it was");
	report = expect(directory, 2, &info.tree_root, 300);
	is_verdict(&report, VALORI_VERIFIED_HISTORY, "its tree root can be expected");
	report = expect(directory, 2, &tree, 50);
	is_verdict(&report, VALORI_VERIFIED_HISTORY, "an older one as well: what came later follows from it");
	report = expect(directory, 2, &tree, 51);
	is_verdict(&report, VALORI_TAMPERED, "another history of that size is not this one");
	report = expect(directory, 2, &tree, 301);
	is_verdict(&report, VALORI_TAMPERED, "a history that was longer was cut");

	options.path = directory;
	options.trace = trace;
	options.context = &traced;
	other.size = sizeof(other);
	check(valori_verify(&options, &other, NULL) == VALORI_OK && traced.count == 300 &&
		      stores_same(&traced.tree, &info.tree_root),
	      "a trace sees all commits in order, with the tree root after each");
	options = (valori_verify_options)VALORI_VERIFY_INIT;
	options.path = directory;
	options.at = (valori_when){.kind = VALORI_WHEN_ROOT, .root = middle};
	check(valori_verify(&options, &other, NULL) == VALORI_OK && other.verdict == VALORI_CONSISTENT &&
		      stores_same(&other.state_root, &middle),
	      "a moment can be asked for by its root");
	options.at = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = 5};
	check(valori_verify(&options, &other, NULL) == VALORI_OK && other.height >= 5 && other.height < 8,
	      "and by its height");
	fd = open(stores_path(directory, "events.log"), O_RDONLY);
	options = (valori_verify_options)VALORI_VERIFY_INIT;
	options.fd = fd;
	check(valori_verify(&options, &other, NULL) == VALORI_OK && other.verdict == VALORI_CONSISTENT &&
		      stores_same(&other.state_root, &root),
	      "a stream can be verified");
	close(fd);
	report = verify(stores_path(directory, "nowhere"), NULL);
	is_verdict(&report, 99, "what is not there has no verdict");
	stores_remove(directory);
	free(model);
}

/* Puts the right checksums of what is in the file over the wrong ones. */
static void forge(uint8_t *bytes, size_t size, uint64_t number, bool is_root_forged)
{
	const struct vl_kernels *kernels = vl_cpu_kernels(NULL);
	struct vl_position position;
	struct vl_commit commit;
	size_t offset = 4096;

	vl_segment_header_decode(bytes, "x", kernels, &position, NULL);
	while (offset < size) {
		uint64_t length = VL_COMMIT_HEADER + vl_get64(bytes + offset + 8);
		uint64_t time_ms = vl_get64(bytes + offset + 32);
		uint32_t events = vl_get32(bytes + offset + 40), requests = vl_get32(bytes + offset + 44);

		if (position.frontier.size == number && is_root_forged)
			memset(bytes + offset + length - 32, 0x33, 32);
		vl_commit_finish(bytes + offset, length, &position, time_ms, events, requests, kernels);
		if (vl_commit_decode(bytes + offset, size - offset, &position, kernels, &commit, NULL) != VALORI_OK)
			return;
		vl_position_advance(&position, &commit, kernels);
		offset += (size_t)length;
	}
}

/* Whatever cannot be read: the verdict is the same, or there is none. */
static void verify_with_faults(const char *path, uint32_t verdict, const char *promise)
{
	unsigned refused = 0, wrong = 0;

	for (uint64_t at = 1;; at++) {
		valori_verify_options options = VALORI_VERIFY_INIT;
		valori_verify_report report = {.size = sizeof(report)};
		struct faults faults;
		valori_code code;

		faults_init(&faults);
		faults.fail_at = at;
		options.path = path;
		code = vl_verify(vl_host_env(), &faults.os, &options, &report, NULL);
		wrong += faults.open != 0 || (code == VALORI_OK ? report.verdict != verdict : code != VALORI_IO);
		if (wrong == 1)
			printf("# call %" PRIu64 ": code %d, verdict %u: %s\n", at, code, report.verdict, report.sentence);
		refused += code != VALORI_OK;
		if (faults.calls < at)
			break;
	}
	check(wrong == 0 && refused > 5, "%s, or what cannot be read is said to be so", promise);
}

static void test_unsound(void)
{
	struct model *model = model_new();
	uint64_t seed = 4;
	char directory[256], other[256];
	valori_verify_report report;
	unsigned flips_missed = 0, cuts_missed = 0, wrong_place = 0, rewrites = 0;
	uint8_t *bytes;
	size_t size;

	stores_make(directory);
	stores_make(other);
	fill(directory, 12, 0, model, &seed);
	bytes = stores_read(stores_path(directory, "events.log"), &size);
	for (size_t i = 0; i < size; i++) {
		uint32_t verdict;

		bytes[i] ^= (uint8_t)(1 << i % 8);
		stores_write(stores_path(directory, "events.log"), bytes, size);
		report = verify(directory, NULL);
		verdict = report.verdict;
		flips_missed += verdict != VALORI_VERDICT_DAMAGED && !(i < 16 && verdict == 99); /* magic, version */
		rewrites += report.fault_rewrite;
		wrong_place += i >= 4096 && (report.fault_offset == VALORI_NONE || report.fault_offset > i ||
					     report.fault_event == VALORI_NONE || report.fault_event != report.height);
		bytes[i] ^= (uint8_t)(1 << i % 8);
	}
	check_u64(flips_missed, 0, "every flipped bit is damage");
	check_u64(rewrites, 0, "and no accident is called a rewriting");
	check_u64(wrong_place, 0, "its place is named, and what is proven ends before it");
	for (size_t i = 4096; i < size; i++) {
		stores_write(stores_path(directory, "events.log"), bytes, i);
		report = verify(directory, NULL);
		cuts_missed += report.verdict != VALORI_VERDICT_DAMAGED;
	}
	check_u64(cuts_missed, 0, "every truncation below the head is damage");
	unlink(stores_path(directory, "events.head"));
	cuts_missed = 0;
	for (size_t i = 4096; i < size; i += 3) {
		stores_write(stores_path(directory, "events.log"), bytes, i);
		report = verify(directory, NULL);
		cuts_missed += report.verdict != VALORI_CONSISTENT || report.height > 30;
	}
	check_u64(cuts_missed, 0, "without a head a cut is a torn tail, and no accusation");

	free(model);
	model = model_new();
	seed = 4;
	fill(other, 12, 0, model, &seed);
	stores_write(stores_path(directory, "events.log"), bytes, size);
	forge(bytes, size, 5, true);
	stores_write(stores_path(directory, "events.log"), bytes, size);
	report = verify(directory, NULL);
	is_verdict(&report, VALORI_TAMPERED, "a state root that was forged with right checksums is tampering");
	check(report.fault_commit == 5 && report.fault_rewrite == 1 && report.commits == 5 &&
		      report.fault_path[0] != '\0' && report.fault_event == report.height,
	      "the commit is named");
	printf("# %s\n", report.sentence);
	free(bytes);
	/* A commit taken out, the others numbered as before. */
	bytes = stores_read(stores_path(other, "events.log"), &size);
	{
		size_t first = 64 + (size_t)vl_get64(bytes + 4096 + 8);

		memmove(bytes + 4096, bytes + 4096 + first, size - 4096 - first);
		size -= first;
	}
	stores_write(stores_path(other, "events.log"), bytes, size);
	report = verify(other, NULL);
	is_verdict(&report, VALORI_TAMPERED, "a commit that was taken out is tampering");
	verify_with_faults(other, VALORI_TAMPERED, "a commit that was taken out is tampering");
	free(bytes);
	stores_remove(directory);
	stores_remove(other);
	free(model);
}

/* One commit, taken apart and put together again with right checksums. */
static void forge_one(const char *directory, const uint8_t *log, size_t size, uint32_t events, int request_index,
		      const char *promise)
{
	const struct vl_kernels *kernels = vl_cpu_kernels(NULL);
	struct vl_position position;
	struct vl_commit commit;
	uint8_t *bytes = calloc(1, size + 8);
	valori_verify_report report;
	valori_commit_view view;
	valori_log *reader;

	memcpy(bytes, log, size);
	vl_segment_header_decode(bytes, "x", kernels, &position, NULL);
	if (vl_commit_decode(bytes + 4096, size - 4096, &position, kernels, &commit, NULL) != VALORI_OK)
		printf("# the commit to forge is not sound\n");
	if (request_index == -2) { /* bytes that no root speaks of */
		memmove(bytes + 4096 + commit.size - 56, bytes + 4096 + commit.size - 64, 64);
		memset(bytes + 4096 + commit.size - 64, 0, 8);
		commit.size += 8;
		size += 8;
	} else if (request_index >= 0)
		vl_put32(bytes + 4096 + 64, (uint32_t)request_index);
	else if (events == commit.event_count)
		bytes[4096 + commit.size - 64 - 9] ^= 1; /* in the last event */
	vl_commit_finish(bytes + 4096, commit.size, &position, commit.time_ms, events, commit.request_count, kernels);
	stores_write(stores_path(directory, "events.log"), bytes, size);
	report = verify(directory, NULL);
	if (!check((report.verdict == VALORI_TAMPERED || report.verdict == VALORI_VERDICT_DAMAGED) &&
			   report.height == 0,
		   "%s", promise))
		printf("# verdict %u: %s\n", report.verdict, report.sentence);
	valori_log_open(directory, NULL, 0, &reader, NULL);
	check(valori_log_next(reader, &view, NULL) == VALORI_DAMAGED, "and who reads the log as a stream is told");
	valori_log_close(reader);
	free(bytes);
}

static void test_forged_bodies(void)
{
	char directory[256];
	struct draft draft;
	valori_batch *batch;
	uint8_t *bytes;
	size_t size;
	valori *store;

	stores_make(directory);
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	for (unsigned i = 0; i < 3; i++) {
		draft_insert(&draft, i, NULL, "sixteen bytes...");
		if (i == 1)
			draft_request(&draft, 1, 1);
		valori_batch_add(batch, &draft.op, NULL);
	}
	valori_commit(store, batch, NULL, NULL, NULL);
	valori_batch_free(batch);
	valori_close(store, NULL);
	bytes = stores_read(stores_path(directory, "events.log"), &size);
	forge_one(directory, bytes, size, 3, -1, "an event that was changed is found by the events root");
	forge_one(directory, bytes, size, 2, -1, "an event that was hidden is found");
	forge_one(directory, bytes, size, 4, -1, "an event that was invented is found");
	forge_one(directory, bytes, size, 3, -2, "bytes behind the last event are found");
	forge_one(directory, bytes, size, 3, 3, "a request of an event that is not there is found");
	free(bytes);
	stores_remove(directory);
}

static void test_head(void)
{
	struct model *model = model_new();
	uint64_t seed = 5;
	char directory[256], other[256];
	valori_verify_report report;
	uint8_t *bytes;
	size_t size;

	/* Two stores with one log id and as many commits, but other events: the head of one, the log of the other. */
	stores_make(directory);
	stores_make(other);
	fill(directory, 20, 0, model, &seed);
	free(model);
	model = model_new();
	fill(other, 20, 0, model, &seed);
	bytes = stores_read(stores_path(other, "events.log"), &size);
	stores_write(stores_path(directory, "events.log"), bytes, size);
	free(bytes);
	report = verify(directory, NULL);
	check(report.verdict == VALORI_TAMPERED || report.verdict == VALORI_VERDICT_DAMAGED,
	      "a log that was replaced as a whole does not pass beside its head");
	printf("# %s\n", report.sentence);
	stores_remove(directory);
	stores_remove(other);
	free(model);
}

static void test_snapshots(void)
{
	struct model *model = model_new();
	uint64_t seed = 6;
	char directory[256];
	valori_verify_report report;
	valori_options options;
	valori_info info = {.size = sizeof(info)};
	valori_hash root, before;
	valori_error error;
	valori *store;
	uint8_t *bytes;
	size_t size;
	unsigned missed = 0;

	stores_make(directory);
	fill(directory, 700, 64 << 10, model, &seed);
	if (!check(write_snapshot(directory, stores_path(directory, "snapshot.val")),
		   "a view can be written as a snapshot"))
		return;
	fill(directory, 500, 64 << 10, model, &seed);
	store = stores_open(directory, VALORI_READ);
	valori_get_info(store, &info, NULL);
	root = info.state_root;
	check(info.snapshot_height != VALORI_NONE && info.replayed == info.height - info.snapshot_height &&
		      info.notes[0] == '\0',
	      "a store starts with its snapshot, and replays the tail only");
	check_u64(model_compare_store(model, store), 0, "and has the whole state");
	valori_close(store, NULL);
	report = verify(directory, NULL);
	is_verdict(&report, VALORI_CONSISTENT, "log and snapshot agree");
	check(report.snapshot_used == 2 && report.segments > 1 && report.base_height == 0,
	      "the snapshot was compared at its commit");
	report = verify(stores_path(directory, "snapshot.val"), NULL);
	is_verdict(&report, VALORI_CONSISTENT, "a snapshot alone is consistent");
	check(report.is_snapshot == 1 && report.height == info.snapshot_height, "and says which moment it is of");
	before = report.tree_root;
	report = expect(stores_path(directory, "snapshot.val"), 2, &before, report.commits);
	is_verdict(&report, VALORI_VERIFIED_HISTORY, "the history that a snapshot names can be expected");
	report = expect(stores_path(directory, "snapshot.val"), 2, &info.tree_root, report.commits);
	is_verdict(&report, VALORI_TAMPERED, "another one of the same size is not what it names");
	report = expect(stores_path(directory, "snapshot.val"), 2, &before, report.commits + 1);
	is_verdict(&report, VALORI_INDETERMINATE, "and of another size it cannot be told");

	/* The first segments go, as trimming would have it. */
	unlink(stores_path(directory, "events-00000000000000000000.log"));
	report = verify(directory, NULL);
	is_verdict(&report, VALORI_CONSISTENT, "a trimmed log is consistent with its snapshot");
	check(report.snapshot_used == 1 && report.base_height > 0 && stores_same(&report.state_root, &root),
	      "which is the base of its state");
	report = expect(directory, 1, &root, 0);
	is_verdict(&report, VALORI_VERIFIED_STATE, "its state can be verified");
	report = expect(directory, 2, &info.tree_root, info.commits);
	is_verdict(&report, VALORI_VERIFIED_HISTORY, "and its history");
	report = expect(directory, 2, &info.tree_root, 1);
	is_verdict(&report, VALORI_INDETERMINATE, "but not the history before its base");
	store = stores_open(directory, VALORI_WRITE);
	check(store != NULL && model_compare_store(model, store) == 0, "a trimmed store opens to write");
	valori_close(store, NULL);
	report = verify(directory, "");
	is_verdict(&report, VALORI_CONSISTENT, "without a snapshot a trimmed log is consistent as far as it goes");
	check(strstr(report.sentence, "not computed") != NULL, "and that is said");

	options = stores_options(directory, VALORI_READ);
	options.snapshot = "";
	check(valori_open(&options, &store, &error) == VALORI_UNKNOWABLE,
	      "a trimmed store cannot be opened without its snapshot");
	options.snapshot = NULL;
	options.at = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = 3};
	check(valori_open(&options, &store, &error) == VALORI_UNKNOWABLE, "nor at a moment that was trimmed away");

	/* Damage in the snapshot. */
	bytes = stores_read(stores_path(directory, "snapshot.val"), &size);
	for (size_t i = 0; i < size; i += 997) {
		bytes[i] ^= 0x10;
		stores_write(stores_path(directory, "snapshot.val"), bytes, size);
		report = verify(directory, NULL);
		missed += report.verdict != VALORI_VERDICT_DAMAGED && report.verdict != 99;
		bytes[i] ^= 0x10;
	}
	check_u64(missed, 0, "a flipped bit in the snapshot is damage");
	bytes[100] ^= 1;
	stores_write(stores_path(directory, "snapshot.val"), bytes, size);
	check(valori_open(&(valori_options){.size = sizeof(valori_options), .log = directory}, &store, &error) ==
		      VALORI_DAMAGED,
	      "a trimmed store with a damaged snapshot is damaged");
	free(bytes);
	stores_remove(directory);
	free(model);
}

/* A snapshot that is damaged, foreign or from a fork is not used while the log is whole; and said so. */
static void test_useless_snapshots(void)
{
	struct model *model = model_new(), *other = model_new();
	uint64_t seed = 7;
	char directory[256], fork[256];
	valori_info info = {.size = sizeof(info)};
	valori_verify_report report;
	uint8_t *bytes;
	size_t size;
	valori *store;

	stores_make(directory);
	stores_make(fork);
	fill(directory, 60, 0, model, &seed);
	fill(fork, 50, 0, other, &seed); /* the same log id, other commits */
	write_snapshot(fork, stores_path(directory, "snapshot.val"));
	store = stores_open(directory, VALORI_READ);
	valori_get_info(store, &info, NULL);
	check(info.snapshot_height == VALORI_NONE && info.replayed == info.height &&
		      strstr(info.notes, "not used") != NULL,
	      "a snapshot of a fork is not used, and it is said");
	check_u64(model_compare_store(model, store), 0, "the log alone gives the state");
	valori_close(store, NULL);
	report = verify(directory, NULL);
	is_verdict(&report, VALORI_TAMPERED, "a snapshot of a fork beside a log: one of them was rewritten");
	write_snapshot(directory, stores_path(directory, "snapshot.val"));
	bytes = stores_read(stores_path(directory, "snapshot.val"), &size);
	bytes[64] ^= 1;
	stores_write(stores_path(directory, "snapshot.val"), bytes, size);
	free(bytes);
	store = stores_open(directory, VALORI_WRITE);
	valori_get_info(store, &info, NULL);
	check(info.snapshot_height == VALORI_NONE && strstr(info.notes, "not used") != NULL, "nor is a damaged one");
	check_u64(model_compare_store(model, store), 0, "and the log alone gives the state");
	valori_close(store, NULL);
	/* The log is gone, the snapshot has all. */
	write_snapshot(directory, stores_path(directory, "snapshot.val"));
	unlink(stores_path(directory, "events.log"));
	store = stores_open(directory, VALORI_WRITE);
	check(store != NULL && model_compare_store(model, store) == 0,
	      "a snapshot that has all goes on without its log");
	valori_close(store, NULL);
	fill(directory, 30, 0, model, &seed);
	store = stores_open(directory, VALORI_WRITE);
	valori_get_info(store, &info, NULL);
	check(model_compare_store(model, store) == 0 && info.base_height > 0 && info.commits == 90,
	      "and the new log goes on from it");
	valori_close(store, NULL);
	unlink(stores_path(directory, "events.log"));
	store = NULL;
	check(valori_open(&(valori_options){.size = sizeof(valori_options), .log = directory}, &store, NULL) ==
		      VALORI_MISSING,
	      "a snapshot that lacks acknowledged commits does not stand in for the log");
	stores_remove(directory);
	stores_remove(fork);
	free(model);
	free(other);
}

/* What is damaged in a data section is found when it would be given to somebody. */
static void test_damaged_hits(void)
{
	char directory[256];
	struct draft draft;
	valori_search_options options = VALORI_SEARCH_INIT;
	valori_hit hit;
	valori_error error;
	valori_view *view;
	uint8_t *bytes, vector[MODEL_DIM * 4];
	size_t size, count, at, changes = 0;
	unsigned missed = 0;
	valori *store;

	stores_make(directory);
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	for (unsigned i = 0; i < 20; i++) {
		char key[MODEL_TEXT];

		snprintf(key, sizeof(key), "unmistakable %u", i);
		draft_insert(&draft, i, key, "unmistakable metadata");
		stores_commit(store, &draft.op);
	}
	valori_close(store, NULL);
	write_snapshot(directory, stores_path(directory, "snapshot.val"));
	bytes = stores_read(stores_path(directory, "snapshot.val"), &size);
	for (unsigned i = 0; i < MODEL_DIM; i++)
		vl_put32(vector + 4 * i, (uint32_t)draft.vector[i]);
	for (at = 0; at + sizeof(vector) <= size; at++) {
		bool is_here = memcmp(bytes + at, vector, sizeof(vector)) == 0 ||
			       memcmp(bytes + at, "unmistakable 19", 15) == 0;

		if (!is_here)
			continue;
		changes++;
		bytes[at] ^= 1;
		stores_write(stores_path(directory, "snapshot.val"), bytes, size);
		store = stores_open(directory, VALORI_READ);
		valori_view_open(store, &view, NULL);
		options.k = 1;
		missed += valori_search(view, draft.vector, 1, &options, &hit, &count, &error) != VALORI_DAMAGED ||
			  strstr(error.message, "record 19") == NULL;
		valori_view_close(view);
		valori_close(store, NULL);
		bytes[at] ^= 1;
	}
	check(changes == 2 && missed == 0, "a hit with a damaged vector or key is not given out");
	free(bytes);
	stores_remove(directory);
}

int main(void)
{
	test_sound();
	test_unsound();
	test_forged_bodies();
	test_head();
	test_snapshots();
	test_useless_snapshots();
	test_damaged_hits();
	return check_done();
}
