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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anchor.h"
#include "bytes.h"
#include "coded.h"
#include "hnsw.h"
#include "measure.h"

enum { K = CODED_K, SETTINGS_MAX = 32 };

static struct coded coded;
static struct vl_hnsw graph;
static uint32_t ef_cap = 400;

/* ---- searching ---- */

struct outcome {
	double recall, rate, p50, p99; /* rate: queries a second; microseconds */
};

static struct outcome search(uint32_t slack, size_t together, uint64_t *compared)
{
	struct vl_hnsw_effort effort = {.k = K, .ef = ef_cap, .slack = slack};
	struct vl_hnsw_scratch *scratch;
	uint64_t *out = malloc(together * ef_cap * 8), right = 0, seen = 0;
	size_t *found = malloc(together * sizeof(*found));
	double *times = malloc(coded.set.queries_count * sizeof(double)), start;

	if (vl_hnsw_scratch_new(&scratch, &coded.env, NULL) != VALORI_OK)
		coded_fail(&coded, "out of memory");
	vl_hnsw_search(&graph, &coded.codes, scratch, coded.query_codes, &effort, NULL, out, found, NULL, NULL);
	start = cpu();
	for (uint32_t q = 0; q < coded.set.queries_count; q += (uint32_t)together) {
		size_t part = coded.set.queries_count - q < together ? coded.set.queries_count - q : together;
		double begun = now();
		const uint8_t *query = coded.query_codes + (size_t)q * coded.codes.stride;

		if (vl_hnsw_search_many(&graph, &coded.codes, scratch, query, part, &effort, NULL, out, found, &seen,
					NULL) != VALORI_OK)
			coded_fail(&coded, "out of memory");
		for (size_t i = 0; i < part; i++)
			right += (uint64_t)coded_rerank(&coded, q + (uint32_t)i, out + i * ef_cap, found[i]);
		times[q / together] = now() - begun;
	}
	start = cpu() - start;
	qsort(times, (coded.set.queries_count + together - 1) / together, sizeof(double), by_value);
	vl_hnsw_scratch_free(scratch);
	if (compared != NULL)
		*compared = seen / coded.set.queries_count;
	free(out);
	free(found);
	struct outcome outcome = {(double)right / K / coded.set.queries_count, coded.set.queries_count / start,
				  times[coded.set.queries_count / together / 2] * 1e6,
				  times[coded.set.queries_count / together * 99 / 100] * 1e6};
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
	vectors_write(coded.set.base, coded.set.count, coded.set.dim, base);
	vectors_write(coded.set.queries, coded.set.queries_count, coded.set.dim, queries);
	anchor_begin(&anchor, program, base, queries, "-", names);
	unlink(base);
	unlink(queries);
	printf("hnswlib_build\t%.4g\trows/s\n", coded.set.count / anchor.built[0].seconds);
	fflush(stdout);
}

/* Its answers to all queries are right as often as ours are: counted here. */
static struct outcome ask_anchor(uint32_t ef)
{
	struct outcome outcome = {0};
	uint64_t right = 0;
	uint32_t *rows = malloc((size_t)coded.set.queries_count * K * 4);

	anchor_ask(&anchor, "hnswlib", ef, 1, coded.set.queries_count, 0, rows, &outcome.rate, &outcome.p50,
		   &outcome.p99);
	for (size_t q = 0; q < coded.set.queries_count; q++)
		for (size_t i = 0; i < K; i++)
			for (size_t j = 0; j < K; j++)
				right += rows[q * K + j] == coded.set.answers[q * K + i];
	outcome.recall = (double)right / K / coded.set.queries_count;
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

static void race(struct contestant *contestants, size_t count, double recall, int rounds)
{
	static double rates[4][CODED_ROUNDS_MAX], p50s[4][CODED_ROUNDS_MAX], p99s[4][CODED_ROUNDS_MAX];
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
	struct vl_workers workers = {coded_run, &coded, threads};
	clockid_t clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	double start = seconds(clock);

	vl_hnsw_free(&graph);
	vl_hnsw_init(&graph, &coded.env, &parameters);
	if (vl_hnsw_grow(&graph, &coded.codes, &workers, NULL) != VALORI_OK)
		coded_fail(&coded, "out of memory");
	return seconds(clock) - start;
}

int main(int argc, char **argv)
{
	char program[1024];
	double links = 0;

	coded_begin(&coded, "bench_hnsw", argc, argv);
	for (int i = 1; i < argc; i++)
		ef_cap = (uint32_t)option(argv[i], "--ef=", ef_cap);
	if (ef_cap < K)
		coded_fail(&coded, "--ef is too small");
	signal(SIGPIPE, SIG_IGN);
	printf("# hnsw on %s: %u x %u, %u queries, %s\n", coded.set.name, coded.set.count, coded.set.dim,
	       coded.set.queries_count, coded.env.kernels->name);
	fflush(stdout);
	printf("build\t%.4g\trows/s\n", coded.set.count / build(1));
	fflush(stdout);
	if (coded.threads > 1)
		printf("build_%u_threads\t%.4g\trows/s\n", coded.threads, coded.set.count / build(coded.threads));
	for (size_t i = 0; i < (size_t)coded.set.count * 32; i++)
		links += vl_get32((const uint8_t *)graph.links.data + 4 * i) != VL_HNSW_NONE;
	printf("links_per_row\t%.3g\tlinks\n", links / coded.set.count);
	printf("hot_bytes_per_row\t%.4g\tbytes\n",
	       coded.codes.stride + 128 + 5 + 64.0 * graph.above_count / coded.set.count);
	snprintf(program, sizeof(program), "%.*s/anchors/hnswlib",
		 (int)(strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') - argv[0] : 0), argv[0]);
	begin_anchor(program);
	race_all(coded.rounds);
	anchor_end(&anchor);
	vl_hnsw_free(&graph);
	coded_end(&coded);
	return 0;
}
