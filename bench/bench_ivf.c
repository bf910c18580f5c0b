/*
 * bench_ivf.c - inverted lists: how fast they are made and searched, and how much of the truth they find.
 *
 * usage: bench_ivf [--data=DIR] [--count=N] [--dim=N] [--unit] [--queries=N] [--threads=N] [--rounds=N] [--lists=N]
 *
 * Searching is timed with what follows it in a store: the 16 best are compared exactly. Queries a second are in time
 * of the processor, single: one after the other, many: 64 together, one thread both; rounds take turns, and medians
 * count. Prints name, value and unit, tab-separated; a name ends in the number of lists looked at.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bytes.h"
#include "cpu.h"
#include "ivf.h"
#include "q16.h"
#include "vectors.h"

enum { K = VECTORS_K, RERANKED = 16, TOGETHER = 64, ROUNDS_MAX = 32, THREADS_MAX = 64 };

static struct vl_env env;
static struct vectors set;
static struct vl_codes codes;
static struct vl_ivf ivf;
static uint8_t *query_codes;
static uint32_t lists;

static void fail(const char *what)
{
	fprintf(stderr, "bench_ivf: %s\n", what);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Large pages, as the host gives them to an index. */
static void *give(void *context, size_t size)
{
	enum { HUGE_PAGE = 2 << 20 };
	size_t align = size >= HUGE_PAGE ? HUGE_PAGE : 64;
	void *p = aligned_alloc(align, (size + align - 1) / align * align);

	(void)context;
	if (p != NULL && align == HUGE_PAGE)
		madvise(p, (size + align - 1) / align * align, MADV_HUGEPAGE);
	return p;
}

static void take_back(void *context, void *p, size_t size)
{
	(void)context;
	(void)size;
	free(p);
}

/* ---- workers ---- */

struct work {
	void (*task)(void *argument, size_t index);
	void *argument;
	size_t index;
};

static void *do_work(void *argument)
{
	struct work *work = argument;

	work->task(work->argument, work->index);
	return NULL;
}

static void run(void *context, void (*task)(void *argument, size_t index), void *argument, size_t count)
{
	struct work works[THREADS_MAX];
	pthread_t threads[THREADS_MAX];

	(void)context;
	for (size_t i = 1; i < count; i++) {
		works[i] = (struct work){task, argument, i};
		if (pthread_create(&threads[i], NULL, do_work, &works[i]) != 0)
			fail("no thread");
	}
	task(argument, 0);
	for (size_t i = 1; i < count; i++)
		pthread_join(threads[i], NULL);
}

/* ---- codes: between the smallest and the largest component ---- */

static void encode(const uint8_t *vectors, uint32_t count, int32_t low, uint32_t step, uint8_t *out)
{
	memset(out, 0, (size_t)count * codes.stride);
	for (size_t row = 0; row < count; row++)
		for (size_t i = 0; i < set.dim; i++) {
			int64_t x = (int32_t)vl_get32(vectors + (row * set.dim + i) * 4);
			int64_t code = (x - low + step / 2) / step;

			out[row * codes.stride + i] = (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
		}
}

static void make_codes(void)
{
	int32_t low = INT32_MAX, high = INT32_MIN;
	uint32_t step;

	codes.env = &env;
	codes.dim = set.dim;
	codes.stride = (set.dim + 63) / 64 * 64;
	codes.count = codes.capacity = set.count;
	for (size_t i = 0; i < (size_t)set.count * set.dim; i++) {
		int32_t x = (int32_t)vl_get32(set.base + i * 4);

		low = x < low ? x : low;
		high = x > high ? x : high;
	}
	step = (uint32_t)(high - low + 254) / 255;
	step = step < 1 ? 1 : step;
	if (!vl_block_new(&codes.rows, &env, (size_t)set.count * codes.stride))
		fail("out of memory");
	encode(set.base, set.count, low, step, codes.rows.data);
	query_codes = give(NULL, (size_t)set.queries_count * codes.stride);
	if (query_codes == NULL)
		fail("out of memory");
	encode(set.queries, set.queries_count, low, step, query_codes);
}

/* ---- searching ---- */

/* The best K of what was found, compared exactly: how many of them are right. */
static unsigned rerank(uint32_t query, const uint64_t *out, size_t found)
{
	struct {
		uint64_t distance;
		uint32_t row;
	} best[RERANKED];
	size_t row_size = (size_t)set.dim * 4, count = found < RERANKED ? found : RERANKED;
	unsigned right = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t row = (uint32_t)out[i];
		uint64_t d = vl_q16_l2(env.kernels, set.queries + query * row_size, set.base + row * row_size, set.dim);
		size_t at = i;

		for (; at > 0 && (best[at - 1].distance > d || (best[at - 1].distance == d && best[at - 1].row > row));
		     at--)
			best[at] = best[at - 1];
		best[at].distance = d;
		best[at].row = row;
	}
	for (size_t i = 0; i < K; i++)
		for (size_t j = 0; j < K && j < count; j++)
			right += best[j].row == set.answers[query * K + i];
	return right;
}

struct outcome {
	double recall, rate, visited; /* rate: queries a second; visited: distances of codes for each */
};

static struct outcome search(uint32_t probes, uint32_t together)
{
	struct vl_ivf_effort effort = {.k = K, .ef = RERANKED, .probes = probes};
	static uint64_t out[TOGETHER * RERANKED];
	size_t found[TOGETHER];
	struct vl_ivf_scratch *scratch;
	uint64_t right = 0, visited = 0;
	double start;

	if (vl_ivf_scratch_new(&scratch, &env, NULL) != VALORI_OK)
		fail("out of memory");
	start = seconds(CLOCK_THREAD_CPUTIME_ID);
	for (uint32_t q = 0; q < set.queries_count; q += together) {
		uint32_t part = set.queries_count - q < together ? set.queries_count - q : together;

		if (vl_ivf_search(&ivf, &codes, scratch, query_codes + (size_t)q * codes.stride, part, &effort, NULL,
				  out, found, &visited, NULL) != VALORI_OK)
			fail("out of memory");
		for (uint32_t i = 0; i < part; i++)
			right += rerank(q + i, out + i * RERANKED, found[i]);
	}
	start = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
	vl_ivf_scratch_free(scratch);
	return (struct outcome){(double)right / K / set.queries_count, set.queries_count / start,
				(double)visited / set.queries_count};
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(double), compare_doubles);
	return values[count / 2];
}

static void measure(uint32_t probes, int rounds)
{
	double single[ROUNDS_MAX], many[ROUNDS_MAX];
	struct outcome outcome = {0};

	for (int round = 0; round < rounds; round++) {
		outcome = search(probes, 1);
		single[round] = outcome.rate;
		many[round] = search(probes, TOGETHER).rate;
	}
	printf("recall_%u\t%.4f\t\nvisited_%u\t%.5g\tcodes\n", probes, outcome.recall, probes, outcome.visited);
	printf("single_%u\t%.5g\tqueries/s\n", probes, median(single, rounds));
	printf("many_%u\t%.5g\tqueries/s\n", probes, median(many, rounds));
	fflush(stdout);
}

static double build(size_t threads)
{
	struct vl_workers workers = {run, NULL, threads};
	clockid_t clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	double start = seconds(clock);

	vl_ivf_free(&ivf);
	vl_ivf_init(&ivf, &env, lists);
	if (vl_ivf_grow(&ivf, &codes, &workers, NULL) != VALORI_OK)
		fail("out of memory");
	return seconds(clock) - start;
}

static uint64_t option(const char *argument, const char *name, uint64_t otherwise)
{
	size_t size = strlen(name);

	return strncmp(argument, name, size) == 0 ? strtoull(argument + size, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	const char *data = NULL;
	uint32_t count = 0, dim = 128, queries = 500, threads = 1;
	int rounds = 5, unit = 0;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--data=", 7) == 0)
			data = argv[i] + 7;
		unit |= strcmp(argv[i], "--unit") == 0;
		count = (uint32_t)option(argv[i], "--count=", count);
		dim = (uint32_t)option(argv[i], "--dim=", dim);
		queries = (uint32_t)option(argv[i], "--queries=", queries);
		threads = (uint32_t)option(argv[i], "--threads=", threads);
		rounds = (int)option(argv[i], "--rounds=", (uint64_t)rounds);
		lists = (uint32_t)option(argv[i], "--lists=", lists);
	}
	if (threads < 1 || threads > THREADS_MAX || rounds < 1 || rounds > ROUNDS_MAX)
		fail("a number is out of range");
	env = (struct vl_env){give, take_back, NULL, vl_cpu_kernels(NULL)};
	if (data != NULL)
		vectors_read(&set, &env, data, count);
	else
		vectors_make(&set, &env, count != 0 ? count : 20000, dim, queries, !unit);
	make_codes();
	printf("# ivf on %s: %u x %u, %u queries, %s\n", set.name, set.count, set.dim, set.queries_count,
	       env.kernels->name);
	fflush(stdout);
	printf("build\t%.4g\trows/s\n", set.count / build(1));
	if (threads > 1)
		printf("build_%u_threads\t%.4g\trows/s\n", threads, set.count / build(threads));
	printf("lists\t%u\tlists\n", ivf.lists);
	printf("hot_bytes_per_row\t%.4g\tbytes\n",
	       2 * codes.stride + 4 + (double)ivf.lists * (codes.stride + 4) / set.count);
	fflush(stdout);
	for (uint32_t probes = 1; probes < 2 * ivf.lists; probes *= 2) {
		measure(probes < ivf.lists ? probes : ivf.lists, rounds);
		if (probes >= 8 && probes < ivf.lists)
			measure(probes + probes / 2 < ivf.lists ? probes + probes / 2 : ivf.lists, rounds);
	}
	vl_ivf_free(&ivf);
	vl_block_free(&codes.rows);
	free(query_codes);
	vectors_free(&set);
	return 0;
}
