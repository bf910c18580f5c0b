/*
 * bench_ivf.c - inverted lists: how fast they are made and searched, and how much of the truth they find.
 *
 * usage: bench_ivf [--data=DIR] [--count=N] [--dim=N] [--unit] [--queries=N] [--threads=N] [--rounds=N] [--lists=N]
 *
 * Searching is timed with what follows it in a store: the 16 best are compared exactly. Queries a second are in time
 * of the processor, single: one after the other, many: 64 together, one thread both; rounds take turns, and medians
 * count. Prints name, value and unit, tab-separated; a name ends in the number of lists looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "coded.h"
#include "ivf.h"
#include "measure.h"

enum { K = CODED_K, TOGETHER = 64 };

static struct coded coded;
static struct vl_ivf ivf;
static uint32_t lists;

/* ---- searching ---- */

struct outcome {
	double recall, rate, visited; /* rate: queries a second; visited: distances of codes for each */
};

static struct outcome search(uint32_t probes, uint32_t together)
{
	struct vl_ivf_effort effort = {.k = K, .ef = CODED_RERANKED, .probes = probes};
	static uint64_t out[TOGETHER * CODED_RERANKED];
	size_t found[TOGETHER];
	struct vl_ivf_scratch *scratch;
	uint64_t right = 0, visited = 0;
	double start;

	if (vl_ivf_scratch_new(&scratch, &coded.env, NULL) != VALORI_OK)
		coded_fail(&coded, "out of memory");
	start = cpu();
	for (uint32_t q = 0; q < coded.set.queries_count; q += together) {
		uint32_t part = coded.set.queries_count - q < together ? coded.set.queries_count - q : together;

		if (vl_ivf_search(&ivf, &coded.codes, scratch, coded.query_codes + (size_t)q * coded.codes.stride, part,
				  &effort, NULL, out, found, &visited, NULL) != VALORI_OK)
			coded_fail(&coded, "out of memory");
		for (uint32_t i = 0; i < part; i++)
			right += coded_rerank(&coded, q + i, out + i * CODED_RERANKED, found[i]);
	}
	start = cpu() - start;
	vl_ivf_scratch_free(scratch);
	return (struct outcome){(double)right / K / coded.set.queries_count, coded.set.queries_count / start,
				(double)visited / coded.set.queries_count};
}

static void measure(uint32_t probes, int rounds)
{
	double single[CODED_ROUNDS_MAX], many[CODED_ROUNDS_MAX];
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
	struct vl_workers workers = {coded_run, &coded, threads};
	clockid_t clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	double start = seconds(clock);

	vl_ivf_free(&ivf);
	vl_ivf_init(&ivf, &coded.env, lists);
	if (vl_ivf_grow(&ivf, &coded.codes, &workers, NULL) != VALORI_OK)
		coded_fail(&coded, "out of memory");
	return seconds(clock) - start;
}

int main(int argc, char **argv)
{
	coded_begin(&coded, "bench_ivf", argc, argv);
	for (int i = 1; i < argc; i++)
		lists = (uint32_t)option(argv[i], "--lists=", lists);
	printf("# ivf on %s: %u x %u, %u queries, %s\n", coded.set.name, coded.set.count, coded.set.dim,
	       coded.set.queries_count, coded.env.kernels->name);
	fflush(stdout);
	printf("build\t%.4g\trows/s\n", coded.set.count / build(1));
	if (coded.threads > 1)
		printf("build_%u_threads\t%.4g\trows/s\n", coded.threads, coded.set.count / build(coded.threads));
	printf("lists\t%u\tlists\n", ivf.lists);
	printf("hot_bytes_per_row\t%.4g\tbytes\n",
	       2 * coded.codes.stride + 4 + (double)ivf.lists * (coded.codes.stride + 4) / coded.set.count);
	fflush(stdout);
	for (uint32_t probes = 1; probes < 2 * ivf.lists; probes *= 2) {
		measure(probes < ivf.lists ? probes : ivf.lists, coded.rounds);
		if (probes >= 8 && probes < ivf.lists)
			measure(probes + probes / 2 < ivf.lists ? probes + probes / 2 : ivf.lists, coded.rounds);
	}
	vl_ivf_free(&ivf);
	coded_end(&coded);
	return 0;
}
