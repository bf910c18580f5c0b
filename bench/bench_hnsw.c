/*
 * bench_hnsw.c - the graph: how fast it is built and searched, and how much of the truth it finds; beside another
 * library where its harness was made (make bench-anchors).
 *
 * usage: bench_hnsw [--data=DIR] [--count=N] [--dim=N] [--unit] [--queries=N] [--threads=N] [--rounds=N] [--ef=N]
 *
 * Searching is timed with what follows it in a store: the 16 best are compared exactly. Queries a second are in
 * time of the processor, single: one after the other, many: four interleaved, one thread both. At a given recall they
 * are interpolated between two settings (log of the rate over log of what is missing); rounds of all contestants take
 * turns, and medians count. Prints name, value and unit, tab-separated.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "anchor.h"
#include "bytes.h"
#include "cpu.h"
#include "hnsw.h"
#include "q16.h"
#include "vectors.h"

enum { K = VECTORS_K, RERANKED = 16, ROUNDS_MAX = 32, THREADS_MAX = 64, SETTINGS_MAX = 32 };

static struct vl_env env;
static struct vectors set;
static struct vl_codes codes;
static struct vl_hnsw graph;
static uint8_t *query_codes;
static uint32_t ef_cap = 400;

static void fail(const char *what)
{
	fprintf(stderr, "bench_hnsw: %s\n", what);
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
	codes.quantiser = (struct vl_quantiser){low, step};
	if (!vl_block_new(&codes.rows, &env, (size_t)set.count * codes.stride) ||
	    !vl_block_new(&codes.ids, &env, (size_t)set.count * 4))
		fail("out of memory");
	encode(set.base, set.count, low, step, codes.rows.data);
	for (size_t i = 0; i < set.count; i++)
		vl_put32((uint8_t *)codes.ids.data + 4 * i, (uint32_t)i);
	query_codes = give(NULL, (size_t)set.queries_count * codes.stride);
	encode(set.queries, set.queries_count, low, step, query_codes);
}

/* ---- searching ---- */

struct outcome {
	double recall, rate, p50, p99; /* rate: queries a second; microseconds */
};

/* The best K of what was found, compared exactly: how many of them are right. */
static int rerank(uint32_t query, const uint64_t *out, size_t found)
{
	struct {
		uint64_t distance;
		uint32_t row;
	} best[RERANKED];
	size_t row_size = (size_t)set.dim * 4, count = found < RERANKED ? found : RERANKED;
	int right = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < row_size; j += 64)
			__builtin_prefetch(set.base + (uint32_t)out[i] * row_size + j);
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

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct outcome search(uint32_t slack, size_t together, uint64_t *compared)
{
	struct vl_hnsw_effort effort = {.k = K, .ef = ef_cap, .slack = slack};
	struct vl_hnsw_scratch *scratch;
	uint64_t *out = malloc(together * ef_cap * 8), right = 0, seen = 0;
	size_t *found = malloc(together * sizeof(*found));
	double *times = malloc(set.queries_count * sizeof(double)), start;

	if (vl_hnsw_scratch_new(&scratch, &env, NULL) != VALORI_OK)
		fail("out of memory");
	vl_hnsw_search(&graph, &codes, scratch, query_codes, &effort, NULL, out, found, NULL, NULL);
	start = seconds(CLOCK_THREAD_CPUTIME_ID);
	for (uint32_t q = 0; q < set.queries_count; q += (uint32_t)together) {
		size_t part = set.queries_count - q < together ? set.queries_count - q : together;
		double begun = seconds(CLOCK_MONOTONIC);
		const uint8_t *query = query_codes + (size_t)q * codes.stride;

		if (vl_hnsw_search_many(&graph, &codes, scratch, query, part, &effort, NULL, out, found, &seen, NULL) !=
		    VALORI_OK)
			fail("out of memory");
		for (size_t i = 0; i < part; i++)
			right += (uint64_t)rerank(q + (uint32_t)i, out + i * ef_cap, found[i]);
		times[q / together] = seconds(CLOCK_MONOTONIC) - begun;
	}
	start = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
	qsort(times, (set.queries_count + together - 1) / together, sizeof(double), compare_doubles);
	vl_hnsw_scratch_free(scratch);
	if (compared != NULL)
		*compared = seen / set.queries_count;
	free(out);
	free(found);
	struct outcome outcome = {(double)right / K / set.queries_count, set.queries_count / start,
				  times[set.queries_count / together / 2] * 1e6,
				  times[set.queries_count / together * 99 / 100] * 1e6};
	free(times);
	return outcome;
}

/* ---- the other library ---- */

static struct anchor anchor;

static void begin_anchor(const char *program)
{
	static const char *const names[] = {"hnswlib", NULL};
	char base[64], queries[64];

	if (access(program, X_OK) != 0)
		return;
	snprintf(base, sizeof(base), "/tmp/bench_hnsw.%d.base", (int)getpid());
	snprintf(queries, sizeof(queries), "/tmp/bench_hnsw.%d.query", (int)getpid());
	vectors_write(set.base, set.count, set.dim, base);
	vectors_write(set.queries, set.queries_count, set.dim, queries);
	anchor_begin(&anchor, program, base, queries, "-", names);
	unlink(base);
	unlink(queries);
	printf("hnswlib_build\t%.4g\trows/s\n", set.count / anchor.built[0].seconds);
	fflush(stdout);
}

/* Its answers to all queries are right as often as ours are: counted here. */
static struct outcome ask_anchor(uint32_t ef)
{
	struct outcome outcome = {0};
	uint64_t right = 0;
	uint32_t *rows = malloc((size_t)set.queries_count * K * 4);

	anchor_ask(&anchor, "hnswlib", ef, 1, set.queries_count, 0, rows, &outcome.rate, &outcome.p50, &outcome.p99);
	for (size_t q = 0; q < set.queries_count; q++)
		for (size_t i = 0; i < K; i++)
			for (size_t j = 0; j < K; j++)
				right += rows[q * K + j] == set.answers[q * K + i];
	outcome.recall = (double)right / K / set.queries_count;
	free(rows);
	return outcome;
}

/* ---- contestants at a recall ---- */

struct contestant {
	const char *name;
	uint32_t settings[SETTINGS_MAX];
	size_t together; /* 0: the anchor */
	double recalls[SETTINGS_MAX];
};

static struct outcome try(const struct contestant *contestant, size_t setting)
{
	return contestant->together == 0 ? ask_anchor(contestant->settings[setting])
					 : search(contestant->settings[setting], contestant->together, NULL);
}

/* ln, without the library of mathematics. */
static double logarithm(double x)
{
	double sum = 0, power, y;
	int twos = 0;

	for (; x > 1.5; twos++)
		x /= 2;
	for (; x < 0.75; twos--)
		x *= 2;
	y = (x - 1) / (x + 1);
	power = y;
	for (int i = 1; i < 40; i += 2, power *= y * y)
		sum += 2 * power / i;
	return sum + twos * 0.69314718055994531;
}

static double exponential(double x)
{
	double sum = 1, term = 1;

	for (int i = 1; i < 20; i++)
		sum += term *= x / 1024 / i;
	for (int i = 0; i < 10; i++)
		sum *= sum;
	return sum;
}

/* Between two values of which the first belongs to recall a, the second to b. */
static double between(double recall, double a, double b, double at_a, double at_b)
{
	double la, lb, l;

	if (b >= 1)
		b = 1 - 1e-5;
	if (b <= a)
		return at_b;
	la = logarithm(1 - a);
	lb = logarithm(1 - b);
	l = logarithm(1 - recall);
	return exponential(logarithm(at_a) + (logarithm(at_b) - logarithm(at_a)) * (l - la) / (lb - la));
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(double), compare_doubles);
	return values[count / 2];
}

static void race(struct contestant *contestants, size_t count, double recall, int rounds)
{
	static double rates[4][ROUNDS_MAX], p50s[4][ROUNDS_MAX], p99s[4][ROUNDS_MAX];
	size_t at[4];

	for (size_t c = 0; c < count; c++) {
		at[c] = 0;
		while (contestants[c].settings[at[c]] != 0 && contestants[c].recalls[at[c]] < recall)
			at[c]++;
	}
	for (int round = 0; round < rounds; round++)
		for (size_t c = 0; c < count; c++) {
			const struct contestant *one = &contestants[c];
			struct outcome a, b;
			double ra, rb;

			if (one->settings[at[c]] == 0)
				continue;
			b = try(one, at[c]);
			a = at[c] > 0 ? try(one, at[c] - 1) : b;
			rb = one->recalls[at[c]];
			ra = at[c] > 0 ? one->recalls[at[c] - 1] : rb;
			rates[c][round] = between(recall, ra, rb, a.rate, b.rate);
			p50s[c][round] = between(recall, ra, rb, a.p50, b.p50);
			p99s[c][round] = between(recall, ra, rb, a.p99, b.p99);
		}
	for (size_t c = 0; c < count; c++) {
		const struct contestant *one = &contestants[c];

		if (one->settings[at[c]] == 0) {
			printf("%s_%.3f\tnot reached\n", one->name, recall);
			continue;
		}
		printf("%s_%.3f\t%.5g\tqueries/s\n", one->name, recall, median(rates[c], rounds));
		if (one->together < 2) {
			printf("%s_%.3f_p50\t%.4g\tus\n", one->name, recall, median(p50s[c], rounds));
			printf("%s_%.3f_p99\t%.4g\tus\n", one->name, recall, median(p99s[c], rounds));
		}
		if (c > 0)
			printf("%s_%.3f_over_%s\t%.3g\tx\n", contestants[0].name, recall, one->name,
			       median(rates[0], rounds) / median(rates[c], rounds));
	}
	fflush(stdout);
}

static void race_all(int rounds)
{
	static const double recalls[] = {0.95, 0.99, 0.995};
	struct contestant contestants[3] = {
		{.name = "single",
		 .settings = {1030, 1060, 1100, 1140, 1180, 1220, 1260, 1300, 1350, 1400, 1500, 1600, 1800, 2000, 2500,
			      3000},
		 .together = 1},
		{.name = "many", .together = 64},
		{.name = "hnswlib", .settings = {12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024}}};
	size_t count = anchor.process > 0 ? 3 : 2;

	memcpy(contestants[1].settings, contestants[0].settings, sizeof(contestants[0].settings));
	for (size_t c = 0; c < count; c++)
		for (size_t i = 0; contestants[c].settings[i] != 0; i++) {
			struct contestant *one = &contestants[c];
			uint64_t compared = 0;

			if (c == 1)
				one->recalls[i] = contestants[0].recalls[i];
			else if (one->together == 0)
				one->recalls[i] = ask_anchor(one->settings[i]).recall;
			else
				one->recalls[i] = search(one->settings[i], 1, &compared).recall;
			if (c != 1)
				printf("# %s %u: recall %.4f, %llu distances\n", one->name, one->settings[i],
				       one->recalls[i], (unsigned long long)compared);
			if (one->recalls[i] > 0.9995)
				break;
		}
	for (size_t i = 0; i < sizeof(recalls) / sizeof(recalls[0]); i++)
		race(contestants, count, recalls[i], rounds);
}

/* ---- building ---- */

static double build(size_t threads)
{
	static const struct vl_hnsw_parameters parameters = {16, 100, 4, 1100};
	struct vl_workers workers = {run, NULL, threads};
	clockid_t clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	double start = seconds(clock);

	vl_hnsw_free(&graph);
	vl_hnsw_init(&graph, &env, &parameters);
	if (vl_hnsw_grow(&graph, &codes, &workers, NULL) != VALORI_OK)
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
	char program[1024];
	uint32_t count = 0, dim = 128, queries = 500, threads = 1;
	int rounds = 5, unit = 0;
	double links = 0;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--data=", 7) == 0)
			data = argv[i] + 7;
		unit |= strcmp(argv[i], "--unit") == 0;
		count = (uint32_t)option(argv[i], "--count=", count);
		dim = (uint32_t)option(argv[i], "--dim=", dim);
		queries = (uint32_t)option(argv[i], "--queries=", queries);
		threads = (uint32_t)option(argv[i], "--threads=", threads);
		rounds = (int)option(argv[i], "--rounds=", (uint64_t)rounds);
		ef_cap = (uint32_t)option(argv[i], "--ef=", ef_cap);
	}
	if (threads < 1 || threads > THREADS_MAX || rounds < 1 || rounds > ROUNDS_MAX || ef_cap < K)
		fail("a number is out of range");
	signal(SIGPIPE, SIG_IGN);
	env = (struct vl_env){give, take_back, NULL, vl_cpu_kernels(NULL)};
	if (data != NULL)
		vectors_read(&set, &env, data, count);
	else
		vectors_make(&set, &env, count != 0 ? count : 20000, dim, queries, !unit);
	make_codes();
	printf("# hnsw on %s: %u x %u, %u queries, %s\n", set.name, set.count, set.dim, set.queries_count,
	       env.kernels->name);
	fflush(stdout);
	printf("build\t%.4g\trows/s\n", set.count / build(1));
	fflush(stdout);
	if (threads > 1)
		printf("build_%u_threads\t%.4g\trows/s\n", threads, set.count / build(threads));
	for (size_t i = 0; i < (size_t)set.count * 32; i++)
		links += vl_get32((const uint8_t *)graph.links.data + 4 * i) != VL_HNSW_NONE;
	printf("links_per_row\t%.3g\tlinks\n", links / set.count);
	printf("hot_bytes_per_row\t%.4g\tbytes\n", codes.stride + 128 + 5 + 64.0 * graph.above_count / set.count);
	snprintf(program, sizeof(program), "%.*s/anchors/hnswlib",
		 (int)(strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') - argv[0] : 0), argv[0]);
	if (rounds > 0)
		begin_anchor(program);
	race_all(rounds);
	anchor_end(&anchor);
	vl_hnsw_free(&graph);
	vl_block_free(&codes.rows);
	vl_block_free(&codes.ids);
	free(query_codes);
	vectors_free(&set);
	return 0;
}
