/*
 * bench_snapshot.c - saving, opening and verifying snapshots, beside writing the same bytes.
 *
 * bench_snapshot [DIRECTORY [small]]: prints name, value and unit, tab-separated. Medians, wall-clock unless
 * it says otherwise, of a few rounds; saving takes turns with writing, so that both meet the same disk.
 * "without its syncs": the machine answers sync at once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "cpu.h"
#include "measure.h"
#include "snapshot.h"

enum { DIM = 128, ROUNDS = 5, COMMIT = 1000 };

static void *allocate(void *context, size_t size)
{
	(void)context;
	return aligned_alloc(64, (size + 63) & ~(size_t)63);
}

static void give_back(void *context, void *memory, size_t size)
{
	(void)context;
	(void)size;
	free(memory);
}

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	fprintf(stderr, "bench_snapshot: %s\n", error->message);
	exit(1);
}

struct store {
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_commitment commitment;
	struct vl_requests requests;
	struct vl_position position;
};

static void fill(struct store *store, const struct vl_env *env, uint64_t records)
{
	static uint8_t vectors[COMMIT][4 * DIM];
	static struct vl_event events[COMMIT];
	struct vl_buf scratch;
	uint32_t seed = 1;
	valori_error error;

	vl_buf_init(&scratch, env);
	for (uint64_t done = 0; done < records; done += COMMIT) {
		for (unsigned i = 0; i < COMMIT; i++) {
			events[i] = (struct vl_event){
				.type = VALORI_EVENT_INSERT, .id = done + i, .vector = vectors[i]};
			events[i].metadata_size = VL_ABSENT;
			for (int k = 0; k < DIM; k++) {
				seed = seed * 1664525 + 1013904223;
				vl_put32(vectors[i] + 4 * k, seed >> 15);
			}
		}
		must(vl_event_hash_contents(env->kernels, events, COMMIT, DIM, &scratch, &error), &error);
		vl_pool_begin(store->pool);
		vl_state_begin(&store->state);
		for (unsigned i = 0; i < COMMIT; i++)
			must(vl_state_apply(&store->state, &events[i], &error), &error);
		must(vl_commitment_update(&store->commitment, &store->state, store->position.state_root,
					  &error),
		     &error);
		vl_state_commit(&store->state);
		vl_pool_commit(store->pool);
	}
	store->position.height = store->state.totals.height;
	vl_buf_free(&scratch);
}

static int no_sync(void *context, int fd)
{
	(void)context;
	(void)fd;
	return 0;
}

static double write_plainly(const struct vl_os *os, const char *path, const uint8_t *bytes, uint64_t size)
{
	double start = now();
	int fd = os->open(os->context, path, VL_OS_CREATE_ANY),
	    code = fd < 0 ? fd : os->truncate(os->context, fd, 0);

	for (uint64_t at = 0; code == 0 && at < size; at += 1 << 18)
		code = vl_os_pwrite_all(os, fd, bytes + at,
					size - at < 1 << 18 ? (size_t)(size - at) : 1 << 18, at);
	if (code == 0)
		code = os->sync(os->context, fd);
	if (fd >= 0)
		os->close(os->context, fd);
	if (code != 0) {
		fprintf(stderr, "bench_snapshot: %s: %s\n", path, vl_os_error_text(code));
		exit(1);
	}
	return now() - start;
}

static void report(uint64_t records, const char *what, double value, const char *unit)
{
	printf("snapshot %llu x %d %s\t%.4g\t%s\n", (unsigned long long)records, DIM, what, value, unit);
	fflush(stdout);
}

static void bench(const struct vl_env *env, const char *directory, uint64_t records)
{
	static struct store store;
	struct vl_os quick = vl_os_real;
	double save[ROUNDS], save_quick[ROUNDS], plain[ROUNDS], plain_quick[ROUNDS], opens[ROUNDS],
		checks[ROUNDS], writer[ROUNDS], writer_cpu[ROUNDS], cpu[ROUNDS], start, start_cpu;
	char path[4096], other[4096];
	struct vl_snapshot *snapshot;
	const uint8_t *mapped;
	uint8_t *bytes;
	valori_snapshot_info info;
	valori_error error;
	int fd;

	memset(&store, 0, sizeof(store));
	store.position.dim = DIM;
	quick.sync = no_sync;
	snprintf(path, sizeof(path), "%s/bench-snapshot.val", directory);
	snprintf(other, sizeof(other), "%s/bench-plain.val", directory);
	must(vl_pool_new(env, &store.pool, &error), &error);
	must(vl_state_init(&store.state, store.pool, DIM, 0, &error), &error);
	must(vl_commitment_init(&store.commitment, store.pool, &error), &error);
	must(vl_requests_init(&store.requests, store.pool, &error), &error);
	fill(&store, env, records);
	must(vl_snapshot_write(env, &quick, &store.position, &store.state, &store.commitment, &store.requests, NULL,
			       path, -1, &error),
	     &error);
	must(vl_snapshot_open(env, &vl_os_real, path, &snapshot, &error), &error);
	vl_snapshot_describe(snapshot, &info);
	vl_snapshot_close(snapshot);
	bytes = malloc((size_t)info.file_size);
	fd = vl_os_real.open(NULL, path, VL_OS_READ);
	if (bytes == NULL || fd < 0 || vl_os_real.map(NULL, fd, info.file_size, &mapped) != 0)
		exit(1);
	memcpy(bytes, mapped, (size_t)info.file_size);
	vl_os_real.unmap(NULL, mapped, info.file_size);
	vl_os_real.close(NULL, fd);
	for (int round = 0; round < ROUNDS; round++) {
		start = now();
		must(vl_snapshot_write(env, &vl_os_real, &store.position, &store.state, &store.commitment,
				       &store.requests, NULL, path, -1, &error),
		     &error);
		save[round] = now() - start;
		plain[round] = write_plainly(&vl_os_real, other, bytes, info.file_size);
		start = now();
		start_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		must(vl_snapshot_write(env, &quick, &store.position, &store.state, &store.commitment,
				       &store.requests, NULL, path, -1, &error),
		     &error);
		save_quick[round] = now() - start;
		cpu[round] = seconds(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
		plain_quick[round] = write_plainly(&quick, other, bytes, info.file_size);
		start = now();
		must(vl_snapshot_open(env, &vl_os_real, path, &snapshot, &error), &error);
		opens[round] = now() - start;
		start = now();
		start_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		must(vl_snapshot_check_for_writer(snapshot, &error), &error);
		writer[round] = now() - start;
		writer_cpu[round] = seconds(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
		start = now();
		must(vl_snapshot_verify(snapshot, &error), &error);
		checks[round] = now() - start;
		vl_snapshot_close(snapshot);
	}
	free(bytes);
	report(records, "size", (double)info.file_size / 1e6, "MB");
	report(records, "save without its syncs", median(save_quick, ROUNDS) * 1e3, "ms");
	report(records, "save, time of the processor", median(cpu, ROUNDS) * 1e3, "ms");
	report(records, "write the same bytes without sync", median(plain_quick, ROUNDS) * 1e3, "ms");
	report(records, "save", median(save, ROUNDS) * 1e3, "ms");
	report(records, "write and sync the same bytes", median(plain, ROUNDS) * 1e3, "ms");
	report(records, "save, of writing and syncing", median(save, ROUNDS) / median(plain, ROUNDS), "times");
	report(records, "open", median(opens, ROUNDS) * 1e6, "us");
	report(records, "what a writer checks first", median(writer, ROUNDS) * 1e3, "ms");
	report(records, "what a writer checks first, time of the processor", median(writer_cpu, ROUNDS) * 1e3, "ms");
	report(records, "verify", (double)info.file_size / median(checks, ROUNDS) / 1e9, "GB/s");
	vl_os_real.unlink(NULL, path);
	vl_os_real.unlink(NULL, other);
	vl_requests_free(&store.requests);
	vl_commitment_free(&store.commitment);
	vl_state_free(&store.state);
	vl_pool_free(store.pool);
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
	struct vl_env env = {
		.alloc = allocate, .release = give_back, .kernels = vl_cpu_kernels(getenv("VALORI_CPU"))};

	if (env.kernels == NULL)
		return 2;
	bench(&env, directory, 100000);
	if (argc <= 2)
		bench(&env, directory, 1000000);
	return 0;
}
