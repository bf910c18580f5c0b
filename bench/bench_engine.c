/*
 * bench_engine.c - whole stores: durable bulk ingest against writing the same bytes, single commits, opening, replay,
 * verification.
 *
 * Prints name, value and unit, tab-separated. usage: bench_engine [ROWS [DIRECTORY]]; 1,000,000 rows of 128
 * components, and a new directory under $TMPDIR, which is removed. Ratios are of one run: what is compared runs one
 * after the other, in turns.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"
#include "valori.h"

enum { DIM = 128, BATCH = 8192, ROUNDS = 3, WRITERS = 16 };

static size_t rows = 1000000;
static char directory[512];
static float *vectors; /* one batch, used again and again with other first components */

static void report(const char *name, double value, const char *unit)
{
	printf("%s\t%.4g\t%s\n", name, value, unit);
	fflush(stdout);
}

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	fprintf(stderr, "bench_engine: %s\n", error->message);
	exit(1);
}

static const char *path_of(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void remove_store(const char *name)
{
	char path[1024];
	DIR *found;
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s", path_of(name));
	found = opendir(path);
	while (found != NULL && (entry = readdir(found)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(found), entry->d_name, 0);
	if (found != NULL)
		closedir(found);
	rmdir(path);
}

static valori *open_store(const char *name, uint32_t flags, uint32_t sync)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_error error;
	valori *store;

	options.log = name != NULL ? path_of(name) : NULL;
	options.flags = flags;
	options.dim = DIM;
	options.sync = sync;
	must(valori_open(&options, &store, &error), &error);
	return store;
}

static void fill_batch(valori_batch *batch, size_t first, size_t count)
{
	valori_error error;

	valori_batch_clear(batch);
	for (size_t i = 0; i < count; i++) {
		float *vector = vectors + i * DIM;
		valori_op op = {.kind = VALORI_OP_INSERT, .vector = vector, .dim = DIM, .vector_kind = VALORI_F32};

		vector[0] = (float)(first + i) / 64;
		must(valori_batch_add(batch, &op, &error), &error);
	}
	valori_batch_seal(batch);
}

/* ---- Bulk ---- */

static double write_bytes(void)
{
	size_t left = rows * DIM * 4;
	int fd = open(path_of("bytes"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	double start = now();

	while (left > 0) {
		size_t size = left < BATCH * DIM * 4 ? left : BATCH * DIM * 4;

		vectors[0] = (float)left;
		if (write(fd, vectors, size) != (ssize_t)size)
			exit(1);
		left -= size;
	}
	if (fdatasync(fd) != 0)
		exit(1);
	start = now() - start;
	close(fd);
	unlink(path_of("bytes"));
	return start;
}

/* One thread fills and hashes, this one commits: as a tool does. */
struct pipe {
	valori_batch *batches[2];
	bool is_full[2];
	pthread_mutex_t mutex;
	pthread_cond_t changed;
};

static void *fill_batches(void *argument)
{
	struct pipe *pipe = argument;

	for (size_t first = 0, turn = 0; first < rows; first += BATCH, turn ^= 1) {
		pthread_mutex_lock(&pipe->mutex);
		while (pipe->is_full[turn])
			pthread_cond_wait(&pipe->changed, &pipe->mutex);
		pthread_mutex_unlock(&pipe->mutex);
		fill_batch(pipe->batches[turn], first, rows - first < BATCH ? rows - first : BATCH);
		pthread_mutex_lock(&pipe->mutex);
		pipe->is_full[turn] = true;
		pthread_cond_signal(&pipe->changed);
		pthread_mutex_unlock(&pipe->mutex);
	}
	return NULL;
}

static double ingest(uint32_t sync)
{
	struct pipe pipe = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	valori_error error;
	pthread_t thread;
	double start = now();
	valori *store;

	remove_store("bulk");
	start = now();
	store = open_store("bulk", VALORI_WRITE | VALORI_CREATE, sync);
	for (unsigned i = 0; i < 2; i++)
		must(valori_batch_new(DIM, &pipe.batches[i], &error), &error);
	pthread_create(&thread, NULL, fill_batches, &pipe);
	for (size_t first = 0, turn = 0; first < rows; first += BATCH, turn ^= 1) {
		pthread_mutex_lock(&pipe.mutex);
		while (!pipe.is_full[turn])
			pthread_cond_wait(&pipe.changed, &pipe.mutex);
		pthread_mutex_unlock(&pipe.mutex);
		must(valori_commit(store, pipe.batches[turn], NULL, NULL, &error), &error);
		pthread_mutex_lock(&pipe.mutex);
		pipe.is_full[turn] = false;
		pthread_cond_signal(&pipe.changed);
		pthread_mutex_unlock(&pipe.mutex);
	}
	pthread_join(thread, NULL);
	must(valori_flush(store, &error), &error);
	start = now() - start;
	must(valori_close(store, &error), &error);
	for (unsigned i = 0; i < 2; i++)
		valori_batch_free(pipe.batches[i]);
	return start;
}

static void bench_bulk(void)
{
	double raw[ROUNDS], always[ROUNDS], none[ROUNDS], start, prepare = 0, stage = 0;
	valori_batch *batch;
	valori_error error;
	valori *store;

	must(valori_batch_new(DIM, &batch, &error), &error);
	store = open_store(NULL, 0, 0);
	fill_batch(batch, 0, BATCH); /* memory is there, and warm */
	for (size_t first = 0; first < rows; first += BATCH) {
		start = cpu();
		fill_batch(batch, first, BATCH);
		prepare += cpu() - start;
		start = cpu();
		must(valori_commit(store, batch, NULL, NULL, &error), &error);
		stage += cpu() - start;
	}
	valori_close(store, NULL);
	report("convert_hash", (double)rows / prepare, "rows/s/core");
	report("stage_in_memory", (double)rows / stage, "rows/s/core");
	for (unsigned i = 0; i < ROUNDS; i++) {
		raw[i] = write_bytes();
		always[i] = ingest(VALORI_SYNC_ALWAYS);
		none[i] = ingest(VALORI_SYNC_NONE);
	}
	report("write_sync_same_bytes", (double)rows * DIM * 4 / median(raw, ROUNDS) / 1e6, "MB/s");
	report("bulk_sync_always", (double)rows / median(always, ROUNDS), "rows/s");
	report("bulk_sync_at_end", (double)rows / median(none, ROUNDS), "rows/s");
	report("bulk_sync_always_of_raw", median(raw, ROUNDS) / median(always, ROUNDS), "ratio");
	report("bulk_sync_at_end_of_raw", median(raw, ROUNDS) / median(none, ROUNDS), "ratio");
	valori_batch_free(batch);
}

/* ---- Single commits ---- */

static double commit_singles(valori *store, size_t count)
{
	valori_batch *batch;
	valori_error error;
	double start;

	must(valori_batch_new(DIM, &batch, &error), &error);
	start = cpu();
	for (size_t i = 0; i < count; i++) {
		fill_batch(batch, i, 1);
		must(valori_commit(store, batch, NULL, NULL, &error), &error);
	}
	start = cpu() - start;
	valori_batch_free(batch);
	return start / (double)count;
}

static void bench_growth(void)
{
	size_t sizes[] = {10000, 100000, 1000000}, held = 0;
	valori *store = open_store(NULL, 0, 0);
	valori_batch *batch;
	valori_error error;

	must(valori_batch_new(DIM, &batch, &error), &error);
	for (unsigned i = 0; i < 3 && sizes[i] <= rows; i++) {
		char name[64];

		for (; held < sizes[i]; held += 1000) {
			fill_batch(batch, held, 1000);
			must(valori_commit(store, batch, NULL, NULL, &error), &error);
		}
		snprintf(name, sizeof(name), "single_commit_at_%zu", sizes[i]);
		report(name, commit_singles(store, 20000) * 1e6, "us of cpu");
	}
	valori_batch_free(batch);
	valori_close(store, NULL);
}

static void bench_single(void)
{
	valori *store;
	valori_batch *batch;
	valori_error error;
	double start, elapsed;
	size_t count;
	int fd;

	remove_store("single");
	store = open_store("single", VALORI_WRITE | VALORI_CREATE, VALORI_SYNC_NONE);
	start = now();
	commit_singles(store, 100000);
	report("single_sync_none", 100000 / (now() - start), "commits/s");
	must(valori_close(store, &error), &error);
	store = open_store("single", VALORI_WRITE, VALORI_SYNC_ALWAYS);
	must(valori_batch_new(DIM, &batch, &error), &error);
	fd = open(path_of("raw"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	elapsed = 0;
	for (count = 0, start = now(); now() - start < 3; count++) {
		double began = now();

		if (pwrite(fd, vectors, 696, (off_t)(count * 696)) != 696 || fdatasync(fd) != 0)
			exit(1);
		elapsed += now() - began;
		fill_batch(batch, count, 1);
		must(valori_commit(store, batch, NULL, NULL, &error), &error);
	}
	close(fd);
	report("raw_append_fdatasync", (double)count / elapsed, "/s");
	report("single_sync_always", (double)count / (now() - start - elapsed), "commits/s");
	report("single_sync_always_of_raw", elapsed / (now() - start - elapsed), "ratio");
	valori_batch_free(batch);
	must(valori_close(store, &error), &error);
}

struct writer {
	valori *store;
	pthread_t thread;
	size_t count;
	double until;
};

static void *write_on(void *argument)
{
	struct writer *writer = argument;
	float vector[DIM] = {0};
	valori_op op = {.kind = VALORI_OP_INSERT, .vector = vector, .dim = DIM, .vector_kind = VALORI_F32};
	valori_batch *batch;
	valori_error error;

	must(valori_batch_new(DIM, &batch, &error), &error);
	for (; now() < writer->until; writer->count++) {
		vector[0] = (float)writer->count;
		valori_batch_clear(batch);
		must(valori_batch_add(batch, &op, &error), &error);
		must(valori_commit(writer->store, batch, NULL, NULL, &error), &error);
	}
	valori_batch_free(batch);
	return NULL;
}

static void bench_group(void)
{
	struct writer writers[WRITERS];
	size_t count = 0;
	double start = now();
	valori *store;

	remove_store("group");
	store = open_store("group", VALORI_WRITE | VALORI_CREATE, VALORI_SYNC_ALWAYS);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.store = store, .until = start + 3};
		pthread_create(&writers[i].thread, NULL, write_on, &writers[i]);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		count += writers[i].count;
	}
	report("group_commit_16_writers", (double)count / (now() - start), "commits/s");
	valori_close(store, NULL);
}

/* ---- Reading back ---- */

static void bench_read(const char *name, const char *label, double events)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report verdict = {.size = sizeof(verdict)};
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	char figure[64];
	double start;
	valori *store;

	start = cpu();
	store = open_store(name, VALORI_READ, 0);
	start = cpu() - start;
	must(valori_get_info(store, &info, &error), &error);
	snprintf(figure, sizeof(figure), "replay_%s", label);
	report(figure, (events != 0 ? (double)info.replayed : (double)info.commits) / start,
	       events != 0 ? "records/s/core" : "commits/s/core");
	valori_close(store, NULL);
	options.path = path_of(name);
	start = cpu();
	must(valori_verify(&options, &verdict, &error), &error);
	start = cpu() - start;
	snprintf(figure, sizeof(figure), "verify_%s", label);
	report(figure, (events != 0 ? (double)verdict.height : (double)verdict.commits) / start,
	       events != 0 ? "records/s/core" : "commits/s/core");
}

static void bench_reading(void)
{
	valori_snapshot_info info = {.size = sizeof(info)};
	valori_batch *batch;
	valori_error error;
	valori_view *view;
	char path[1024];
	double start;
	valori *store;

	remove_store("thousands");
	store = open_store("thousands", VALORI_WRITE | VALORI_CREATE, VALORI_SYNC_NONE);
	must(valori_batch_new(DIM, &batch, &error), &error);
	for (size_t first = 0; first < rows / 4; first += 1000) {
		fill_batch(batch, first, 1000);
		must(valori_commit(store, batch, NULL, NULL, &error), &error);
	}
	valori_batch_free(batch);
	must(valori_close(store, &error), &error);
	bench_read("single", "single_inserts", 0);
	bench_read("thousands", "commits_of_1000", 1);
	store = open_store("thousands", VALORI_WRITE, VALORI_SYNC_NONE);
	must(valori_view_open(store, &view, &error), &error);
	snprintf(path, sizeof(path), "%s", path_of("thousands/snapshot.val"));
	start = now();
	must(valori_snapshot_write(view, path, &info, &error), &error);
	report("snapshot_write", (double)info.file_size / (now() - start) / 1e6, "MB/s");
	valori_view_close(view);
	must(valori_close(store, &error), &error);
	for (unsigned i = 0; i < 2; i++) {
		start = now();
		store = open_store("thousands", i == 0 ? VALORI_READ : VALORI_WRITE, VALORI_SYNC_NONE);
		report(i == 0 ? "open_to_read_with_snapshot" : "open_to_write_with_snapshot", (now() - start) * 1e3,
		       "ms");
		valori_close(store, NULL);
	}
}

int main(int argc, char **argv)
{
	const char *base = getenv("TMPDIR");
	unsigned seed = 1;

	if (argc > 1)
		rows = strtoull(argv[1], NULL, 10);
	snprintf(directory, sizeof(directory), "%s/valori-bench-XXXXXX",
		 argc > 2       ? argv[2]
		 : base != NULL ? base
				: "/tmp");
	vectors = malloc((size_t)BATCH * DIM * sizeof(*vectors));
	if (rows < 10000 || vectors == NULL || mkdtemp(directory) == NULL) {
		fprintf(stderr, "usage: bench_engine [ROWS, at least 10000 [DIRECTORY]]\n");
		return 2;
	}
	for (size_t i = 0; i < (size_t)BATCH * DIM; i++) {
		seed = seed * 1103515245 + 12345;
		vectors[i] = (float)(seed >> 16) / 256;
	}
	bench_bulk();
	bench_growth();
	bench_single();
	bench_group();
	bench_reading();
	remove_store("bulk");
	remove_store("single");
	remove_store("group");
	remove_store("thousands");
	unlink(path_of("raw"));
	rmdir(directory);
	return 0;
}
