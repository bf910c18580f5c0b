/*
 * bench_state.c - the state and its root: what a commit costs at every size, replaying, and scanning.
 *
 * Prints name, value and unit, tab-separated. One thread, processor time; what is compared takes turns in one
 * run. usage: bench_state [RECORDS]; 1,000,000 of 128 components.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "commitment.h"
#include "cpu.h"
#include "index_brute.h"
#include "measure.h"

enum { DIM = 128, BATCH = 1000, SINGLES = 20000, TURNS = 7 };

static struct vl_env env;
static struct vl_pool *pool;
static struct vl_state state;
static struct vl_commitment commitment;
static struct vl_buf scratch;
static struct vl_event events[BATCH];
static _Alignas(64) uint8_t vectors[BATCH][4 * DIM];
static uint8_t digests[BATCH][VL_HASH_SIZE], root[VL_HASH_SIZE];
static struct vl_state frozen_state;
static struct vl_commitment frozen_commitment;
static float nearest;

static void *take(void *context, size_t size)
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

static void report(const char *name, double value, const char *unit)
{
	printf("%s\t%.4g\t%s\n", name, value, unit);
	fflush(stdout);
}

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	fprintf(stderr, "bench_state: %s\n", error->message);
	exit(1);
}

/*
 * One commit of count inserts, with all its hashes: vectors, digests, events root, leaves, paths, state root.
 */
static void commit(size_t count)
{
	uint8_t events_root[VL_HASH_SIZE];
	uint64_t id = vl_state_slots(&state, VL_RECORDS);
	valori_error error;

	for (size_t i = 0; i < count; i++) {
		events[i].id = id + i;
		events[i].vector = vectors[(id + i) % BATCH];
	}
	must(vl_event_hash_contents(env.kernels, events, count, DIM, &scratch, &error), &error);
	must(vl_event_digests(env.kernels, events, count, &scratch, digests[0], &error), &error);
	vl_events_root(env.kernels, digests[0], count, events_root);
	vl_state_begin(&state);
	for (size_t i = 0; i < count; i++)
		must(vl_state_apply(&state, &events[i], &error), &error);
	must(vl_commitment_update(&commitment, &state, root, &error), &error);
	vl_state_commit(&state);
}

/* Single commits, also with somebody looking at each state before it. */
static void singles(const char *size)
{
	char name[128];
	double began, alone, watched;

	began = cpu();
	for (int i = 0; i < SINGLES; i++)
		commit(1);
	alone = (cpu() - began) / SINGLES;
	began = cpu();
	for (int i = 0; i < SINGLES; i++) {
		uint64_t version = vl_pool_freeze(pool);

		frozen_state = state;
		frozen_commitment = commitment;
		commit(1);
		vl_pool_release(pool, version);
	}
	watched = (cpu() - began) / SINGLES;
	snprintf(name, sizeof(name), "commit of one insert at %s records", size);
	report(name, alone * 1e6, "us");
	snprintf(name, sizeof(name), "commit of one insert at %s records, each version frozen", size);
	report(name, watched * 1e6, "us");
}

static void replay(size_t records)
{
	size_t done = 0;
	double began, spent = 0;

	while (done < records) {
		if (done == 10000)
			singles("10k");
		if (done == 100000)
			singles("100k");
		began = cpu();
		commit(BATCH);
		spent += cpu() - began;
		done += BATCH;
	}
	report("replay in commits of 1000", (double)records / spent, "records/s");
	singles("1M");
}

static void root_from_nothing(void)
{
	uint8_t again[VL_HASH_SIZE];
	valori_error error;
	double began = cpu();

	must(vl_state_root(&state, true, again, &error), &error);
	report("state root from nothing, contents too", cpu() - began, "s");
	if (memcmp(root, again, VL_HASH_SIZE) != 0)
		fprintf(stderr, "bench_state: the roots differ\n"), exit(1);
}

/* ---- scans ---- */

/*
 * The rival, over the same bytes in the same places, so that both share whatever else the machine is doing:
 * as a good f32 library does it, with four sums, so that additions do not wait for each other.
 */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float scan_avx512(const float *query, const float *rows, size_t count)
{
	float best = 1e30f;

	for (const float *row = rows; row < rows + count * DIM; row += DIM) {
		__m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
		float distance;

		for (size_t i = 0; i < DIM; i += 64)
			_Pragma("GCC unroll 4") for (size_t k = 0; k < 4; k++)
			{
				__m512 d = _mm512_sub_ps(_mm512_loadu_ps(query + i + 16 * k),
							 _mm512_loadu_ps(row + i + 16 * k));

				sum[k] = _mm512_fmadd_ps(d, d, sum[k]);
			}
		distance = _mm512_reduce_add_ps(
			_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
		best = distance < best ? distance : best;
	}
	return best;
}
#endif

static float scan_rows(const float *query, const float *rows, size_t count)
{
	float best = 1e30f;

#if defined(__x86_64__)
	if (strcmp(env.kernels->name, "avx512") == 0)
		return scan_avx512(query, rows, count);
#endif
	for (const float *row = rows; row < rows + count * DIM; row += DIM) {
		float sum[16] = {0}, distance = 0;

		for (size_t i = 0; i < DIM; i += 16)
			for (size_t k = 0; k < 16; k++)
				sum[k] += (query[i + k] - row[i + k]) * (query[i + k] - row[i + k]);
		for (size_t k = 0; k < 16; k++)
			distance += sum[k];
		best = distance < best ? distance : best;
	}
	return best;
}

static double scan_f32(const uint8_t *query)
{
	double began = cpu();
	uint64_t run;

	for (uint64_t id = 0; id < vl_state_slots(&state, VL_RECORDS); id += run) {
		const void *rows = vl_state_vectors(&state, id, &run), *from = query;

		nearest += scan_rows(from, rows, (size_t)run);
	}
	return cpu() - began;
}

static double scan(const uint8_t *queries, size_t count, const struct vl_filter *filter)
{
	static valori_hit heaps[32 * 10];
	size_t hits[32] = {0};
	valori_error error;
	double began = cpu();

	must(vl_brute_search(&state, queries, count, 10, filter, 0, VALORI_NONE, heaps, hits, &error), &error);
	return cpu() - began;
}

static void scans(void)
{
	const struct vl_filter all = {0, false, 0}, tag = {0, true, 3};
	size_t count = (size_t)vl_state_slots(&state, VL_RECORDS);
	double exact[TURNS], f32[TURNS], many[TURNS], filtered[TURNS], bytes = (double)count * DIM * 4;

	for (int turn = 0; turn < TURNS; turn++) {
		f32[turn] = scan_f32(vectors[turn]);
		exact[turn] = scan(vectors[turn], 1, &all);
		many[turn] = scan(vectors[turn], 32, &all);
		filtered[turn] = scan(vectors[turn], 1, &tag);
	}
	report("f32 scan", bytes / median(f32, TURNS) * 1e-9, "GB/s");
	report("exact search, one query", bytes / median(exact, TURNS) * 1e-9, "GB/s");
	report("exact search / f32 scan, time", median(exact, TURNS) / median(f32, TURNS), "");
	report("exact search, 32 queries, each", median(many, TURNS) / 32 * 1e3, "ms");
	report("exact search, one query, a tag of 1 %", median(filtered, TURNS) * 1e3, "ms");
	if (nearest < 0 || frozen_state.dim + frozen_commitment.trees[0].level[0].count == 0)
		puts("# so that nothing is left out");
}

int main(int argc, char **argv)
{
	size_t records = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	uint64_t random = 1;
	valori_error error;

	env = (struct vl_env){.alloc = take, .release = give_back, .kernels = vl_cpu_kernels(NULL)};
	printf("# %s, %zu records of %d components\n", env.kernels->name, records, DIM);
	must(vl_pool_new(&env, &pool, &error), &error);
	must(vl_state_init(&state, pool, DIM, 0, &error), &error);
	must(vl_commitment_init(&commitment, pool, &error), &error);
	vl_buf_init(&scratch, &env);
	for (int i = 0; i < BATCH; i++) {
		for (int j = 0; j < DIM; j++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			/*
			 * Numbers from 1 to 2 as binary32, for the rival; as Q16.16 they are as good as any.
			 */
			vl_put32(vectors[i] + 4 * j, 0x3f800000 | (uint32_t)(random >> 41));
		}
		events[i] = (struct vl_event){
			.type = VALORI_EVENT_INSERT, .metadata_size = VL_ABSENT, .tag = (uint64_t)i % 100};
	}
	replay(records);
	root_from_nothing();
	scans();
	vl_buf_free(&scratch);
	vl_commitment_free(&commitment);
	vl_state_free(&state);
	vl_pool_free(pool);
	return 0;
}
