/* test_upkeep.c - stores that live long: snapshots, trims and restores between sessions, all through the
 * public calls. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bytes.h"
#include "check.h"
#include "faults.h"
#include "host.h"
#include "maintain.h"
#include "stores.h"

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	printf("Bail out! %d %s\n", (int)code, error->message);
	exit(1);
}

static valori *open_store(const char *directory, uint32_t flags)
{
	valori_options options = stores_options(directory, flags);
	valori_error error;
	valori *store;

	options.segment_size = 64 << 10;
	must(valori_open(&options, &store, &error), &error);
	return store;
}

static void close_store(valori *store)
{
	valori_error error;

	must(valori_close(store, &error), &error);
}

static valori_info info_of(valori *store)
{
	valori_info info = {.size = sizeof(info)};
	valori_error error;

	must(valori_get_info(store, &info, &error), &error);
	return info;
}

static void work(valori *store, struct model *model, uint64_t *seed, unsigned operations)
{
	for (unsigned i = 0; i < operations; i++) {
		struct draft draft;

		model_draw(model, seed, &draft);
		if (stores_commit(store, &draft.op) == VALORI_NONE)
			exit(1);
		model_apply(model, &draft);
	}
}

static valori_snapshot_info snapshot(valori *store, const char *path)
{
	valori_snapshot_info info = {.size = sizeof(info)};
	valori_error error;
	valori_view *view;

	must(valori_view_open(store, &view, &error), &error);
	must(valori_snapshot_write(view, path, &info, &error), &error);
	valori_view_close(view);
	return info;
}

static bool same_file(const char *a, const char *b)
{
	size_t sizes[2] = {0, 0};
	uint8_t *bytes[2] = {stores_read(a, &sizes[0]), stores_read(b, &sizes[1])};
	bool is_same = bytes[0] != NULL && bytes[1] != NULL && sizes[0] == sizes[1] &&
		       memcmp(bytes[0], bytes[1], sizes[0]) == 0;

	free(bytes[0]);
	free(bytes[1]);
	return is_same;
}

/* ---- a long life ---- */

static void test_long_life(void)
{
	char directory[256];
	struct model *model = model_new();
	uint64_t seed = 11;
	unsigned differ = 0, behind = 0, other_roots = 0;
	valori_error error;
	valori *store;

	stores_make(directory);
	store = open_store(directory, VALORI_WRITE | VALORI_CREATE);
	for (unsigned round = 0; round < 12; round++) {
		const char *path = stores_path(directory, "snapshot.val");
		valori_trim_result trimmed;
		valori_info before, after;
		uint64_t height;

		work(store, model, &seed, 250);
		height = snapshot(store, path).height;
		work(store, model, &seed, 30);
		before = info_of(store);
		close_store(store);
		if (round % 3 == 1)
			must(valori_trim(directory, path, NULL, 0, &trimmed, &error), &error);
		if (round % 4 == 3) {
			/* The snapshot of the end, so that the model stays true. */
			store = open_store(directory, VALORI_READ);
			snapshot(store, path);
			close_store(store);
			must(valori_restore(directory, path, NULL, &error), &error);
			height = before.height;
		}
		store = open_store(directory, VALORI_WRITE);
		after = info_of(store);
		differ += model_compare_store(model, store);
		behind += after.snapshot_height != height || after.replayed != before.height - height ||
			  after.notes[0] != '\0';
		other_roots += after.height != before.height ||
			       memcmp(&after.state_root, &before.state_root, 32) != 0;
	}
	close_store(store);
	check_u64(differ, 0,
		  "a store that is snapshotted, trimmed and restored between sessions equals its model");
	check_u64(behind, 0, "it starts with its snapshot every time, and replays the tail only");
	check_u64(other_roots, 0, "and has the root that it had");
	stores_remove(directory);
	free(model);
}

/* ---- bytes are a function of the log ---- */

static void test_same_bytes(void)
{
	char directory[256];
	struct model *model = model_new();
	uint64_t seed = 12;
	valori_options options;
	valori_error error;
	valori *store;

	stores_make(directory);
	store = open_store(directory, VALORI_WRITE | VALORI_CREATE);
	work(store, model, &seed, 300);
	snapshot(store, stores_path(directory, "snapshot.val"));
	work(store, model, &seed, 300);
	snapshot(store, stores_path(directory, "lived.val"));
	close_store(store);
	store = open_store(directory, VALORI_READ);
	check(info_of(store).snapshot_height != VALORI_NONE, "one is loaded");
	snapshot(store, stores_path(directory, "loaded.val"));
	close_store(store);
	options = stores_options(directory, VALORI_READ);
	options.snapshot = "";
	must(valori_open(&options, &store, &error), &error);
	check(info_of(store).snapshot_height == VALORI_NONE, "one is replayed from the beginning");
	snapshot(store, stores_path(directory, "replayed.val"));
	close_store(store);
	check(same_file(stores_path(directory, "lived.val"), stores_path(directory, "loaded.val")),
	      "lived through or loaded, a state writes the same bytes");
	check(same_file(stores_path(directory, "lived.val"), stores_path(directory, "replayed.val")),
	      "lived through or replayed, a state writes the same bytes");
	stores_remove(directory);
	free(model);
}

static void test_verify_stream(void)
{
	char directory[256];
	struct model *model = model_new();
	valori_verify_options verifying = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	uint64_t seed = 16;
	const char *path;
	valori *store;

	stores_make(directory);
	path = stores_path(directory, "snapshot.val");
	store = open_store(directory, VALORI_WRITE | VALORI_CREATE);
	work(store, model, &seed, 100);
	snapshot(store, path);
	verifying.expect_kind = 1;
	verifying.expect = info_of(store).state_root;
	close_store(store);
	verifying.fd = open(path, O_RDONLY);
	check(valori_verify(&verifying, &report, NULL) == VALORI_OK &&
		      report.verdict == VALORI_VERIFIED_STATE && report.is_snapshot == 1,
	      "a snapshot is verified as a stream");
	lseek(verifying.fd, 1, SEEK_SET);
	check(valori_verify(&verifying, &report, NULL) == VALORI_NOT_OURS, "another stream is told from it");
	close(verifying.fd);
	verifying.fd = open(stores_path(directory, "events.log"), O_RDONLY);
	check(valori_verify(&verifying, &report, NULL) == VALORI_OK &&
		      report.verdict == VALORI_VERIFIED_STATE && report.is_snapshot == 0,
	      "and so is a log");
	close(verifying.fd);
	stores_remove(directory);
	free(model);
}

struct writing {
	valori *store;
	atomic_bool *stop;
	struct model *model;
	uint64_t seed;
	atomic_uint commits;
};

static void *write_on(void *argument)
{
	struct writing *writing = argument;

	while (!atomic_load(writing->stop) && atomic_load(&writing->commits) < 5000) {
		work(writing->store, writing->model, &writing->seed, 1);
		atomic_fetch_add(&writing->commits, 1);
	}
	return NULL;
}

static void test_beside_writer(void)
{
	char directory[256];
	struct model *model = model_new();
	atomic_bool stop = false;
	struct writing writing = {.stop = &stop, .model = model, .seed = 13};
	valori_snapshot_info infos[6];
	unsigned wrong = 0;
	valori_error error;
	pthread_t thread;

	stores_make(directory);
	writing.store = open_store(directory, VALORI_WRITE | VALORI_CREATE);
	work(writing.store, model, &writing.seed, 500);
	if (pthread_create(&thread, NULL, write_on, &writing) != 0)
		exit(1);
	for (int i = 0; i < 6; i++) {
		unsigned before = atomic_load(&writing.commits);
		char name[16];

		snprintf(name, sizeof(name), "%d.val", i);
		infos[i] = snapshot(writing.store, stores_path(directory, name));
		/* On a busy machine the writer may have had no turn while that was written. */
		while (atomic_load(&writing.commits) == before && before < 5000)
			sched_yield();
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	close_store(writing.store);
	for (int i = 0; i < 6; i++) {
		valori_options options = stores_options(directory, VALORI_READ);
		const char *path;
		char name[16];
		valori *store;

		snprintf(name, sizeof(name), "%d.val", i);
		path = stores_path(directory, name);
		wrong += valori_snapshot_check(path, NULL, &error) != VALORI_OK;
		options.snapshot = "";
		options.at.kind = VALORI_WHEN_HEIGHT;
		options.at.value = infos[i].height;
		must(valori_open(&options, &store, &error), &error);
		snapshot(store, stores_path(directory, "then.val"));
		close_store(store);
		wrong += !same_file(path, stores_path(directory, "then.val"));
	}
	check(infos[5].height > infos[0].height,
	      "the writer goes on while snapshots are written");
	check_u64(wrong, 0,
		  "each is sound, and has the bytes of its moment, as told from the log afterwards");
	stores_remove(directory);
	free(model);
}

/* ---- damage that nobody looked for ---- */

/*
 * Bits of a section, one in every element, somewhere below reach bytes of it: opening does not see them, but no hit may
 * be wrong.
 */
static void test_damaged_hits(unsigned section, uint64_t reach, const char *what)
{
	char directory[256];
	struct model *model = model_new();
	uint64_t seed = 15, offset, records, element;
	unsigned wrong = 0, refused = 0, right = 0;
	valori_hit expected[10], hits[10];
	valori_search_options searching = VALORI_SEARCH_INIT;
	int32_t query[MODEL_DIM] = {0};
	size_t expected_count, count, size;
	valori_error error;
	valori_view *view;
	const char *path;
	uint8_t *bytes;
	valori *store;

	stores_make(directory);
	path = stores_path(directory, "snapshot.val");
	store = open_store(directory, VALORI_WRITE | VALORI_CREATE);
	work(store, model, &seed, 400);
	records = info_of(store).record_slots;
	snapshot(store, path);
	must(valori_view_open(store, &view, &error), &error);
	must(valori_search(view, query, 1, &searching, expected, &expected_count, &error), &error);
	valori_view_close(view);
	close_store(store);
	bytes = stores_read(path, &size);
	offset = vl_get64(bytes + 4096 + (size_t)64 * (section - 1) + 8);
	element = vl_get32(bytes + 4096 + (size_t)64 * (section - 1) + 4);
	for (uint64_t id = 0; id < records; id++) {
		uint64_t byte = offset + id * element + id % reach;
		bool is_hit = false;
		valori_code code;

		for (size_t i = 0; i < expected_count; i++)
			is_hit = is_hit || expected[i].id == id;
		bytes[byte] ^= 0x10;
		stores_write(path, bytes, size);
		bytes[byte] ^= 0x10;
		store = open_store(directory, VALORI_READ);
		must(valori_view_open(store, &view, &error), &error);
		code = valori_search(view, query, 1, &searching, hits, &count, &error);
		valori_view_close(view);
		close_store(store);
		refused += code == VALORI_DAMAGED;
		right += code == VALORI_OK;
		if (code == VALORI_OK)
			wrong += !is_hit && (count != expected_count ||
					     memcmp(hits, expected, count * sizeof(*hits)) != 0);
		else
			wrong += code != VALORI_DAMAGED;
	}
	check(refused > 0 && right > 0, "%s: damage that comes up is named, damage that does not harms nobody", what);
	check(wrong == 0, "%s: no hit that is given out is wrong", what);
	free(bytes);
	stores_remove(directory);
	free(model);
}

/* ---- a restore that ended in the middle ---- */

static void test_half_restored(void)
{
	char directory[256];
	struct model *model = model_new();
	uint64_t seed = 14;
	unsigned wrong = 0, reported = 0, old = 0, new = 0;

	/* Every point at which a restore can end, as an engine finds it. */
	for (uint64_t at = 1;; at++) {
		valori_verify_options verifying = VALORI_VERIFY_INIT;
		valori_verify_report report = {.size = sizeof(report)};
		struct faults faults;
		valori_error error;
		valori_info before, seen, after;
		valori *store;

		stores_make(directory);
		store = open_store(directory, VALORI_WRITE | VALORI_CREATE);
		seed = 14;
		free(model);
		model = model_new();
		work(store, model, &seed, 60);
		snapshot(store, stores_path(directory, "source.val"));
		before = info_of(store);
		close_store(store);
		faults_init(&faults);
		faults.crash = true;
		faults.fail_at = at;
		(void)vl_maintain_restore(vl_host_env(), &faults.os, directory,
					  stores_path(directory, "source.val"), -1, NULL, NULL);
		verifying.path = directory;
		store = open_store(directory, VALORI_READ);
		seen = info_of(store);
		wrong += model_compare_store(model, store) != 0 ||
			 strstr(seen.notes, "snapshot not used") != NULL;
		close_store(store);
		wrong += valori_verify(&verifying, &report, &error) != VALORI_OK ||
			 report.verdict != VALORI_CONSISTENT || memcmp(&report.log_id, &seen.log_id, 32) != 0;
		store = open_store(directory, VALORI_WRITE);
		after = info_of(store);
		wrong += memcmp(&after.log_id, &seen.log_id, 32) != 0 ||
			 memcmp(&after.state_root, &seen.state_root, 32) != 0;
		work(store, model, &seed, 5);
		close_store(store);
		store = open_store(directory, VALORI_READ);
		wrong += model_compare_store(model, store) != 0;
		close_store(store);
		old += memcmp(&seen.log_id, &before.log_id, 32) == 0;
		new += memcmp(&seen.log_id, &before.log_id, 32) != 0;
		if (wrong > reported) {
			printf("# call %u: %s %s\n", (unsigned)at, seen.notes, report.sentence);
			reported = wrong;
		}
		stores_remove(directory);
		if (faults.calls < at)
			break;
	}
	check(old > 20 && new > 5, "a restore ends before its deciding rename, and behind it");
	check_u64(wrong, 0,
		  "wherever it ends, the store opens, verifies and goes on, as the old one or the new one");
	free(model);
}

int main(void)
{
	test_long_life();
	test_same_bytes();
	test_verify_stream();
	test_beside_writer();
	test_damaged_hits(VL_SECTION_VECTORS, 4 * MODEL_DIM, "vectors");
	/* The vector is right then, and so is its hash: only the leaf tells. */
	test_damaged_hits(VL_SECTION_RECORDS, 8, "tags");
	test_half_restored();
	return check_done();
}
