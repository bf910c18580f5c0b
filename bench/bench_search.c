/*
 * bench_search.c - what search costs and finds through the library's interface, in one run with other libraries.
 *
 * usage: bench_search [--data=DIR] [--rows=N] [--dim=N] [--unit] [--queries=N] [--rounds=N] [--work=DIR]
 *                     [--faiss=flat,ivf,hnsw]
 *
 * The set is base, query and gt of DIR, or made: bytes, or of length one with --unit. Rates are in time of the
 * processor, one thread, pinned to one core; p50 and p99 in microseconds of the clock; only what says "threads 2" is
 * measured with the clock and on two cores. What is compared takes turns, and the medians of the turns count. The other
 * libraries are asked where bench/anchors was built.
 *
 * Prints, tab-separated: set, name, parameters, recall, queries/s, p50, p99, bytes per row, rows built a second; and
 * lines that begin with "ratio": set, what, value, the floor, met or missed. bench/search.sh keeps them apart.
 */
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "anchor.h"
#include "bytes.h"
#include "f32.h"
#include "host.h"
#include "measure.h"
#include "valori.h"
#include "vectors.h"

enum { K = VECTORS_K, ROUNDS_MAX = 31, SETTINGS = 20, TOGETHER = 64, FEW = 100, COMMIT = 4096, CONTESTANTS = 8 };

static struct vectors set;
static char work[512] = "/tmp", programs[512] = ".";
static uint8_t *tags;
static int rounds = 5;
static cpu_set_t cores;

static void fail(const char *what)
{
	fprintf(stderr, "bench_search: %s\n", what);
	exit(1);
}

static void must(valori_code code, const valori_error *error)
{
	if (code != VALORI_OK)
		fail(error->message);
}

/* On the first count of the cores that were there in the beginning. */
static void pin(int count)
{
	cpu_set_t some;

	CPU_ZERO(&some);
	for (int i = 0; i < CPU_SETSIZE && count > 0; i++)
		if (CPU_ISSET(i, &cores)) {
			CPU_SET(i, &some);
			count--;
		}
	sched_setaffinity(0, sizeof(some), &some);
}

/* ---- what is printed ---- */

struct outcome {
	double recall, rate, p50, p99;
};

static void cell(double value)
{
	if (value > 0)
		printf("\t%.5g", value);
	else
		printf("\t");
}

static void row(const char *name, const char *parameters, struct outcome o, double bytes, double build)
{
	printf("%s\t%s\t%s", set.name, name, parameters);
	cell(o.recall);
	cell(o.rate);
	cell(o.p50);
	cell(o.p99);
	cell(bytes);
	cell(build);
	printf("\n");
	fflush(stdout);
}

/* at_most: a goal that must not be exceeded. */
static void ratio(const char *what, double value, double goal, bool at_most)
{
	bool met = at_most ? value <= goal : value >= goal;

	printf("ratio\t%s\t%s\t%.4g\t%s %g\t%s\n", set.name, what, value, at_most ? "<=" : ">=", goal,
	       met ? "met" : "missed");
	fflush(stdout);
}

/* ---- stores ---- */

/* Every hundredth of a per cent, tenth, one, ten and fifty has a tag; the rest another. */
static const double shares[] = {0.01, 0.1, 1, 10, 50};

static void make_tags(void)
{
	uint64_t seed = 1;

	tags = malloc(set.count);
	if (tags == NULL)
		fail("out of memory");
	for (uint32_t i = 0; i < set.count; i++) {
		uint32_t at;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		at = (uint32_t)(seed >> 33) % 10000;
		tags[i] = at < 1 ? 1 : at < 11 ? 2 : at < 111 ? 3 : at < 1111 ? 4 : at < 6111 ? 5 : 6;
	}
}

static void commit(valori *store, valori_batch *batch)
{
	valori_error error;

	must(valori_commit(store, batch, NULL, NULL, &error), &error);
	valori_batch_clear(batch);
}

/* The rows that keep says (NULL: all), with their tags, into an empty store that is to have a graph. */
static void insert(valori *store, const uint8_t *keep)
{
	valori_op config = {.kind = VALORI_OP_CONFIG, .tag = VALORI_CONFIG_INDEX, .target = {.id = VALORI_INDEX_HNSW}};
	valori_batch *batch;
	valori_error error;

	must(valori_batch_new(set.dim, &batch, &error), &error);
	must(valori_batch_add(batch, &config, &error), &error);
	commit(store, batch);
	for (size_t i = 0; i < set.count; i++) {
		valori_op op = {.kind = VALORI_OP_INSERT, .vector_kind = VALORI_Q16LE, .dim = set.dim, .tag = tags[i]};

		if (keep != NULL && !keep[i])
			continue;
		op.vector = set.base + i * set.dim * 4;
		must(valori_batch_add(batch, &op, &error), &error);
		if (valori_batch_count(batch) == COMMIT)
			commit(store, batch);
	}
	commit(store, batch);
	valori_batch_free(batch);
}

static valori *open_store(const char *log, uint32_t flags, uint32_t index, uint32_t threads)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_error error;
	valori *store;

	options.log = log;
	options.flags = flags;
	options.dim = set.dim;
	options.sync = VALORI_SYNC_NONE;
	options.index = index;
	options.index_threads = threads;
	must(valori_open(&options, &store, &error), &error);
	return store;
}

struct searched {
	valori *store;
	valori_view *view;
	valori_index_info index;
};

static void look(struct searched *searched)
{
	valori_error error;

	searched->index.size = sizeof(searched->index);
	must(valori_view_open(searched->store, &searched->view, &error), &error);
	must(valori_view_settle(searched->view, &error), &error);
	must(valori_view_index(searched->view, &searched->index, &error), &error);
}

static void leave(struct searched *searched)
{
	valori_error error;

	valori_view_close(searched->view);
	must(valori_close(searched->store, &error), &error);
}

/* ---- searching ---- */

/* Of the first limit queries, K rows each; UINT32_MAX is none. possible: how many there are to be found. */
static unsigned count_right(const uint32_t *rows, const uint32_t *right, size_t limit, size_t *possible)
{
	unsigned found = 0;

	*possible = 0;
	for (size_t q = 0; q < limit; q++)
		for (size_t i = 0; i < K; i++) {
			uint32_t wanted = right[q * K + i];

			*possible += wanted != UINT32_MAX;
			for (size_t j = 0; wanted != UINT32_MAX && j < K; j++)
				found += rows[q * K + j] == wanted;
		}
	return found;
}

static double recall_of(const uint32_t *rows, const uint32_t *right, size_t limit)
{
	size_t possible;
	unsigned found = count_right(rows, right, limit, &possible);

	return possible > 0 ? (double)found / (double)possible : 1;
}

/* rows: K for each of limit queries, UINT32_MAX where there were fewer. */
static struct outcome ask(const valori_view *view, const valori_search_options *options, size_t together, size_t limit,
			  uint32_t *rows)
{
	static valori_hit hits[1024 * K];
	size_t counts[1024], n = (limit + together - 1) / together;
	clockid_t clock = options->threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	double *times = malloc(n * sizeof(double)), start;
	struct outcome outcome = {0};
	valori_error error;

	if (times == NULL || together > 1024)
		fail("out of memory");
	must(valori_search(view, (const int32_t *)(const void *)set.queries, 1, options, hits, counts, &error), &error);
	start = seconds(clock);
	for (size_t q = 0; q < limit; q += together) {
		size_t part = limit - q < together ? limit - q : together;
		double begun = now();

		must(valori_search(view, (const int32_t *)(const void *)(set.queries + q * set.dim * 4), part, options,
				   hits, counts, &error),
		     &error);
		times[q / together] = now() - begun;
		for (size_t i = 0; i < part; i++)
			for (size_t j = 0; j < K; j++)
				rows[(q + i) * K + j] = j < counts[i] ? (uint32_t)hits[i * K + j].id : UINT32_MAX;
	}
	outcome.rate = (double)limit / (seconds(clock) - start);
	qsort(times, n, sizeof(double), by_value);
	outcome.p50 = times[n / 2] * 1e6;
	outcome.p99 = times[n * 99 / 100] * 1e6;
	free(times);
	return outcome;
}

/* ---- contestants ---- */

enum kind { GRAPH, LISTS, OTHER };

struct contestant {
	const char *name, *parameter;
	enum kind kind;
	const valori_view *view;
	struct anchor *anchor;
	const char *index; /* of the anchor */
	size_t together;
	double bytes, build;
	uint32_t settings[SETTINGS]; /* ends with 0 */
	uint32_t cap; /* of a graph: the least ef that suffices; see cap_at */
	double recalls[SETTINGS];
	struct outcome at[2]; /* recall 0.95 and 0.99 */
};

static uint32_t *found_rows; /* room for all queries */

/*
 * The slack says how far is far enough, ef what the longest walk may take: without it one query in a hundred takes
 * three times as long as most. Where more is to be found the cap rises, too.
 */
static uint32_t cap_at(uint32_t cap, uint32_t slack)
{
	if (slack > 2000)
		return 1024;
	if (slack > 1400)
		return 512;
	return slack <= 1300 ? cap : 2 * cap;
}

/* The least cap with which the graph finds 0.993 of what is asked for when it may go as far as it likes. */
static uint32_t least_cap(const valori_view *view)
{
	static const uint32_t caps[] = {48, 64, 96, 128, 160, 200, 256};

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		valori_search_options options = VALORI_SEARCH_INIT;

		options.k = K;
		options.slack = 2000;
		options.ef = caps[i];
		ask(view, &options, TOGETHER, set.queries_count, found_rows);
		if (recall_of(found_rows, set.answers, set.queries_count) >= 0.993)
			return caps[i];
	}
	return 320;
}

static struct outcome try(const struct contestant *one, size_t setting)
{
	struct outcome outcome = {0};
	uint32_t value = one->settings[setting];

	if (one->kind == OTHER) {
		anchor_ask(one->anchor, one->index, value, one->together, set.queries_count, 0, found_rows,
			   &outcome.rate, &outcome.p50, &outcome.p99);
	} else {
		valori_search_options options = VALORI_SEARCH_INIT;

		options.k = K;
		if (one->kind == GRAPH) {
			options.slack = value;
			options.ef = cap_at(one->cap, value);
		} else {
			options.probes = value;
		}
		outcome = ask(one->view, &options, one->together, set.queries_count, found_rows);
	}
	outcome.recall = recall_of(found_rows, set.answers, set.queries_count);
	return outcome;
}

static void sweep(struct contestant *one)
{
	char parameters[64];

	for (size_t i = 0; one->settings[i] != 0; i++) {
		struct outcome outcome = try(one, i);

		one->recalls[i] = outcome.recall;
		snprintf(parameters, sizeof(parameters), "%s %u", one->parameter, one->settings[i]);
		if (one->kind == GRAPH)
			snprintf(parameters, sizeof(parameters), "slack %u, ef %u", one->settings[i],
				 cap_at(one->cap, one->settings[i]));
		row(one->name, parameters, outcome, one->bytes, one->build);
		if (outcome.recall > 0.9995) {
			one->settings[i + 1] = 0;
			break;
		}
	}
}

/* Between two values of which the first belongs to recall a, the second to b: straight lines in logarithms. */
static double between(double recall, double a, double b, double at_a, double at_b)
{
	b = b < 1 ? b : 1 - 1e-5;
	if (b <= a)
		return at_b;
	return exp(log(at_a) + (log(at_b) - log(at_a)) * (log(1 - recall) - log(1 - a)) / (log(1 - b) - log(1 - a)));
}

static void race(struct contestant *contestants, size_t count, double recall, size_t which)
{
	static double values[CONTESTANTS][3][ROUNDS_MAX];
	size_t at[CONTESTANTS];
	char parameters[64];

	for (size_t c = 0; c < count; c++)
		for (at[c] = 0; contestants[c].settings[at[c]] != 0 && contestants[c].recalls[at[c]] < recall;)
			at[c]++;
	for (int round = 0; round < rounds; round++)
		for (size_t c = 0; c < count; c++) {
			const struct contestant *one = &contestants[c];
			struct outcome a, b;
			double ra, rb;

			if (one->settings[at[c]] == 0)
				continue;
			b = try(one, at[c]);
			a = at[c] > 0 ? try(one, at[c] - 1) : b;
			ra = a.recall;
			rb = b.recall;
			values[c][0][round] = between(recall, ra, rb, a.rate, b.rate);
			values[c][1][round] = between(recall, ra, rb, a.p50, b.p50);
			values[c][2][round] = between(recall, ra, rb, a.p99, b.p99);
		}
	for (size_t c = 0; c < count; c++) {
		struct contestant *one = &contestants[c];

		if (one->settings[at[c]] == 0)
			continue;
		one->at[which] = (struct outcome){recall, median(values[c][0], rounds), median(values[c][1], rounds),
						  median(values[c][2], rounds)};
		if (one->together > 1)
			one->at[which].p50 = one->at[which].p99 = 0;
		snprintf(parameters, sizeof(parameters), "at recall %g, median of %d", recall, rounds);
		row(one->name, parameters, one->at[which], one->bytes, one->build);
	}
}

/* ---- building ---- */

/* Replays the log with this index; what it takes longer than without one is the time of the index. */
static void build(const char *log, uint32_t kind, const char *name, struct searched *out, double *rate)
{
	double plain_cpu, plain[2], wall[2], start, start_cpu;
	struct searched built[2];
	char parameters[64];
	valori_error error;
	valori *store;

	for (int t = 0; t < 2; t++) {
		pin(t + 1);
		start = now();
		start_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		store = open_store(log, VALORI_READ, VALORI_INDEX_LOGGED, 0);
		plain_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
		plain[t] = now() - start;
		must(valori_close(store, &error), &error);
		start = now();
		start_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		built[t].store = open_store(log, VALORI_READ | VALORI_INDEX, kind, (uint32_t)t + 1);
		look(&built[t]);
		wall[t] = now() - start - plain[t];
		if (t == 0) {
			*rate = (double)built[0].index.rows /
				(seconds(CLOCK_PROCESS_CPUTIME_ID) - start_cpu - plain_cpu);
			leave(&built[0]);
		}
	}
	pin(1);
	if (memcmp(&built[0].index.digest, &built[1].index.digest, VALORI_HASH_SIZE) != 0)
		fail("one thread and two build different indexes");
	*out = built[1];
	snprintf(parameters, sizeof(parameters), "build, threads 1");
	row(name, parameters, (struct outcome){0}, (double)out->index.bytes / (double)out->index.rows, *rate);
	snprintf(parameters, sizeof(parameters), "build, threads 2, the same bytes");
	row(name, parameters, (struct outcome){0}, (double)out->index.bytes / (double)out->index.rows,
	    (double)out->index.rows / wall[1]);
	if (kind == VALORI_INDEX_HNSW)
		ratio("build, two threads / one", wall[0] / wall[1], 1.8, false);
}

/* ---- exact ---- */

static void exact(const valori_view *view, struct anchor *faiss)
{
	static double single[ROUNDS_MAX], batch[ROUNDS_MAX], floats[ROUNDS_MAX];
	static double theirs[ROUNDS_MAX], together[ROUNDS_MAX];
	const size_t few = set.queries_count < FEW ? set.queries_count : FEW, fewer = (few + 4) / 5;
	valori_search_options options = VALORI_SEARCH_INIT;
	struct outcome one = {0}, many = {0}, other = {0}, others = {0};
	float *base = vl_alloc(vl_host_env(), (size_t)set.count * set.dim * 4);
	float *queries = malloc(few * set.dim * 4);
	volatile float nearest;

	if (base == NULL || queries == NULL)
		fail("out of memory");
	for (size_t i = 0; i < (size_t)set.count * set.dim; i++)
		base[i] = (float)(int32_t)vl_get32(set.base + i * 4) / 65536;
	for (size_t i = 0; i < few * set.dim; i++)
		queries[i] = (float)(int32_t)vl_get32(set.queries + i * 4) / 65536;
	options.k = K;
	options.exact = 1;
	for (int round = 0; round < rounds; round++) {
		double start = cpu();

		for (size_t q = 0; q < fewer; q++)
			nearest = f32_scan(base, set.count, set.dim, queries + q * set.dim);
		floats[round] = (double)fewer / (cpu() - start);
		one = ask(view, &options, 1, few, found_rows);
		one.recall = recall_of(found_rows, set.answers, few);
		single[round] = one.rate;
		many = ask(view, &options, TOGETHER, set.queries_count, found_rows);
		many.recall = recall_of(found_rows, set.answers, set.queries_count);
		batch[round] = many.rate;
		if (faiss == NULL)
			continue;
		anchor_ask(faiss, "flat", 1, 1, few, 0, found_rows, &other.rate, &other.p50, &other.p99);
		other.recall = recall_of(found_rows, set.answers, few);
		theirs[round] = other.rate;
		anchor_ask(faiss, "flat", 1, set.queries_count, set.queries_count, 0, found_rows, &others.rate,
			   &others.p50, &others.p99);
		others.recall = recall_of(found_rows, set.answers, set.queries_count);
		together[round] = others.rate;
	}
	(void)nearest;
	vl_release(vl_host_env(), base, (size_t)set.count * set.dim * 4);
	free(queries);
	one.rate = median(single, rounds);
	many.rate = median(batch, rounds);
	many.p50 = many.p99 = others.p50 = others.p99 = 0;
	row("exact", "single", one, 0, 0);
	row("exact", "64 together", many, 0, 0);
	row("f32 scan", "single", (struct outcome){1, median(floats, rounds), 0, 0}, set.dim * 4, 0);
	ratio("exact scan / f32 scan, single", one.rate / median(floats, rounds), 3.3, false);
	if (faiss != NULL) {
		other.rate = median(theirs, rounds);
		others.rate = median(together, rounds);
		row("faiss flat", "single", other, set.dim * 4, 0);
		row("faiss flat", "all together", others, set.dim * 4, 0);
		ratio("exact scan / faiss flat, single", one.rate / other.rate, 3.3, false);
		ratio("exact scan / faiss flat, batch", many.rate / others.rate, 2, false);
	}
	ratio("recall of the exact scan", many.recall, 1, false);
}

/* ---- filters ---- */

static const double filter_floors[] = {0, 0, 50, 3.5, 3};

static void filters(const valori_view *view, struct anchor *hnswlib)
{
	static const uint32_t slacks[] = {1300, 1400, 1600, 2000, 3000}, efs[] = {32, 64, 128, 256, 512, 1024};
	const size_t few = set.queries_count < FEW ? set.queries_count : FEW;
	uint32_t *right = malloc(few * K * 4);
	char name[64];

	if (right == NULL)
		fail("out of memory");
	for (size_t s = 0; s <= sizeof(shares) / sizeof(shares[0]); s++) {
		bool all = s == sizeof(shares) / sizeof(shares[0]);
		valori_search_options options = VALORI_SEARCH_INIT;
		valori_explanation explanation;
		struct outcome ours = {0}, theirs = {0};
		static const char *const plans[] = {"none", "scan", "codes", "list", "graph", "allowed", "lists"};

		options.k = K;
		options.has_tag = !all;
		options.tag = s + 1;
		options.exact = 1;
		ask(view, &options, 1, few, right);
		options.exact = 0;
		options.explanation = &explanation;
		for (size_t i = 0; i < sizeof(slacks) / sizeof(slacks[0]) && ours.recall < 0.99; i++) {
			options.slack = slacks[i];
			options.ef = 512;
			ours = ask(view, &options, 1, few, found_rows);
			ours.recall = recall_of(found_rows, right, few);
		}
		snprintf(name, sizeof(name), "filter %g %%, slack %u, plan %s", all ? 100 : shares[s], options.slack,
			 explanation.plan < sizeof(plans) / sizeof(plans[0]) ? plans[explanation.plan] : "?");
		row("hnsw", name, ours, 0, 0);
		for (size_t i = 0; hnswlib != NULL && !all && filter_floors[s] > 0 &&
				   i < sizeof(efs) / sizeof(efs[0]) && theirs.recall < 0.99;
		     i++) {
			anchor_ask(hnswlib, "hnswlib", efs[i], 1, few, (uint32_t)s + 1, found_rows, &theirs.rate,
				   &theirs.p50, &theirs.p99);
			theirs.recall = recall_of(found_rows, right, few);
			snprintf(name, sizeof(name), "filter %g %%, ef %u", shares[s], efs[i]);
		}
		if (theirs.rate <= 0)
			continue;
		row("hnswlib", name, theirs, 0, 0);
		snprintf(name, sizeof(name), "filter %g %% / hnswlib", shares[s]);
		ratio(name, ours.rate / theirs.rate, filter_floors[s], false);
	}
	free(right);
}

/* ---- the snapshot, and the first answer of a new process ---- */

static double file_size(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 ? (double)status.st_size : 0;
}

static void snapshot(valori_view *view)
{
	static double saves[ROUNDS_MAX], opens[ROUNDS_MAX], firsts[ROUNDS_MAX];
	char file[1024], query[1024], program[1024], name[64];
	valori_options options = VALORI_OPTIONS_INIT;
	valori_error error;
	valori *store;

	snprintf(file, sizeof(file), "%s/saved.val", work);
	snprintf(query, sizeof(query), "%s/one.fvecs", work);
	snprintf(program, sizeof(program), "%s/../valori-search", programs);
	vectors_write(set.queries, 1, set.dim, query);
	options.snapshot = file;
	options.flags = VALORI_READ | VALORI_INDEX_SAVED;
	for (int round = 0; round < rounds; round++) {
		double start = now();
		pid_t child;
		int status;

		must(valori_snapshot_write(view, file, NULL, &error), &error);
		saves[round] = now() - start;
		start = now();
		must(valori_open(&options, &store, &error), &error);
		opens[round] = now() - start;
		must(valori_close(store, &error), &error);
		start = now();
		child = vfork();
		if (child == 0) {
			execl(program, program, "-q", "-s", file, "-o", "/dev/null", query, (char *)NULL);
			_exit(127);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
			fail("valori-search does not answer from the snapshot");
		firsts[round] = now() - start;
	}
	snprintf(name, sizeof(name), "save, s: %.4g", median(saves, rounds));
	row("snapshot", name, (struct outcome){0}, file_size(file) / set.count, 0);
	snprintf(name, sizeof(name), "open, ms: %.4g", median(opens, rounds) * 1e3);
	row("snapshot", name, (struct outcome){0}, 0, 0);
	snprintf(name, sizeof(name), "first answer of a new process, ms: %.4g", median(firsts, rounds) * 1e3);
	row("snapshot", name, (struct outcome){0}, 0, 0);
	ratio("first answer of a new process from the snapshot, ms", median(firsts, rounds) * 1e3, 10, true);
	unlink(file);
	unlink(query);
}

/* ---- half of it deleted ---- */

static struct outcome judge(const struct searched *searched, uint32_t *right)
{
	valori_search_options options = VALORI_SEARCH_INIT;
	struct outcome outcome;

	options.k = K;
	options.exact = 1;
	ask(searched->view, &options, TOGETHER, set.queries_count, right);
	options.exact = 0;
	outcome = ask(searched->view, &options, 1, set.queries_count, found_rows);
	outcome.recall = recall_of(found_rows, right, set.queries_count);
	return outcome;
}

static double snapshot_size(const valori_view *view)
{
	char file[1024];
	valori_error error;
	double size;

	snprintf(file, sizeof(file), "%s/half.val", work);
	must(valori_snapshot_write((valori_view *)(uintptr_t)view, file, NULL, &error), &error);
	size = file_size(file);
	unlink(file);
	return size;
}

static void deletions(void)
{
	uint32_t *right = malloc((size_t)set.queries_count * K * 4);
	uint8_t *keep = malloc(set.count);
	struct searched old, fresh;
	struct outcome of_old, of_fresh;
	double left = 0, size_old, size_fresh;
	valori_batch *batch;
	valori_error error;
	uint64_t seed = 7;

	if (right == NULL || keep == NULL)
		fail("out of memory");
	for (uint32_t i = 0; i < set.count; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		keep[i] = seed >> 63 != 0;
		left += keep[i];
	}
	pin(2);
	old.store = open_store(NULL, VALORI_WRITE | VALORI_INDEX, VALORI_INDEX_HNSW, 2);
	insert(old.store, NULL);
	must(valori_batch_new(set.dim, &batch, &error), &error);
	for (uint32_t i = 0; i < set.count; i++) {
		valori_op op = {.kind = VALORI_OP_DELETE, .target = {.kind = VALORI_REF_ID, .id = i}};

		if (keep[i])
			continue;
		must(valori_batch_add(batch, &op, &error), &error);
		if (valori_batch_count(batch) == COMMIT)
			commit(old.store, batch);
	}
	commit(old.store, batch);
	valori_batch_free(batch);
	look(&old);
	fresh.store = open_store(NULL, VALORI_WRITE | VALORI_INDEX, VALORI_INDEX_HNSW, 2);
	insert(fresh.store, keep);
	look(&fresh);
	pin(1);
	of_old = judge(&old, right);
	of_fresh = judge(&fresh, right);
	size_old = snapshot_size(old.view);
	size_fresh = snapshot_size(fresh.view);
	row("hnsw", "half deleted", of_old, (double)old.index.bytes / left, 0);
	row("hnsw", "built of that half", of_fresh, (double)fresh.index.bytes / left, 0);
	ratio("half deleted: recall below a fresh build, points", (of_fresh.recall - of_old.recall) * 100, 0.5, true);
	ratio("half deleted: bytes of the index / a fresh one", (double)old.index.bytes / (double)fresh.index.bytes,
	      1.05, true);
	ratio("half deleted: bytes of the snapshot / a fresh one", size_old / size_fresh, 1.05, true);
	leave(&old);
	leave(&fresh);
	free(right);
	free(keep);
}

/* ---- all of it ---- */

static struct contestant *reached(struct contestant *one)
{
	return one != NULL && one->at[1].rate > 0 ? one : NULL;
}

static void summary(struct contestant *hnsw, struct contestant *many, struct contestant *hnswlib)
{
	const double floor = set.dim <= 256 ? 6 : set.dim == 784 ? 3.5 : 3.6;
	double best = 0;

	for (size_t i = 0; hnsw->settings[i] != 0; i++)
		best = hnsw->recalls[i] > best ? hnsw->recalls[i] : best;
	ratio("the best recall that was reached", best, 0.99, false);
	if (reached(hnsw) != NULL) {
		ratio("p99 / p50 at recall 0.99", hnsw->at[1].p99 / hnsw->at[1].p50, 2.2, true);
		if (reached(many) != NULL)
			ratio("64 together / single at recall 0.99", many->at[1].rate / hnsw->at[1].rate, 1.15, false);
	}
	if (hnswlib == NULL)
		return;
	ratio("queries/s at recall 0.99 / hnswlib", hnsw->at[1].rate / hnswlib->at[1].rate, floor, false);
	ratio("build of one core / hnswlib", hnsw->build / hnswlib->build, 4, false);
	ratio("hot bytes per row / hnswlib", hnsw->bytes / hnswlib->bytes, set.dim <= 256 ? 0.36 : 0.27, true);
}

static bool begin(struct anchor *anchor, const char *program, char *indexes)
{
	const char *names[ANCHOR_INDEXES + 1] = {NULL};
	char path[1024], base[1024], queries[1024], tag[1024], *rest = NULL;
	size_t count = 0;
	bool is_there;
	FILE *file;

	for (char *name = strtok_r(indexes, ",", &rest); name != NULL && count < ANCHOR_INDEXES;
	     name = strtok_r(NULL, ",", &rest))
		names[count++] = name;
	snprintf(path, sizeof(path), "%s/anchors/%s", programs, program);
	if (access(path, X_OK) != 0)
		return false;
	snprintf(base, sizeof(base), "%s/base.fvecs", work);
	snprintf(queries, sizeof(queries), "%s/query.fvecs", work);
	snprintf(tag, sizeof(tag), "%s/tags", work);
	vectors_write(set.base, set.count, set.dim, base);
	vectors_write(set.queries, set.queries_count, set.dim, queries);
	file = fopen(tag, "wb");
	if (file == NULL || fwrite(tags, 1, set.count, file) != set.count || fclose(file) != 0)
		fail("the tags cannot be written");
	is_there = anchor_begin(anchor, path, base, queries, tag, names) != 0;
	unlink(base);
	unlink(queries);
	unlink(tag);
	return is_there;
}

static void add_anchor(struct contestant *out, const char *name, struct anchor *anchor, size_t index,
		       const uint32_t *settings)
{
	bool is_ivf = strcmp(anchor->built[index].name, "ivf") == 0;

	*out = (struct contestant){.name = name,
				   .parameter = is_ivf ? "nprobe" : "ef",
				   .kind = OTHER,
				   .anchor = anchor,
				   .index = anchor->built[index].name,
				   .together = 1};
	out->bytes = anchor->built[index].bytes;
	out->build = set.count / anchor->built[index].seconds;
	for (size_t i = 0; i < SETTINGS - 1 && settings[i] != 0; i++)
		out->settings[i] = settings[i];
}

static void bench(char *faiss_indexes)
{
	static const uint32_t slacks[] = {1030, 1060, 1100, 1140, 1180, 1220, 1260, 1300, 1350,
					  1400, 1500, 1600, 1800, 2000, 2500, 3000, 0};
	static const uint32_t probes[] = {1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 0};
	static const uint32_t efs[] = {10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 0};
	static struct contestant contestants[CONTESTANTS];
	static struct anchor hnswlib, faiss;
	struct searched hnsw, ivf;
	struct contestant *library = NULL;
	char log[1024], names[] = "hnswlib";
	double rate;
	size_t count = 4;
	valori_error error;
	valori *store;

	make_tags();
	found_rows = malloc((size_t)set.queries_count * K * 4);
	snprintf(log, sizeof(log), "%s/db", work);
	store = open_store(log, VALORI_WRITE | VALORI_CREATE, VALORI_INDEX_LOGGED, 0);
	insert(store, NULL);
	must(valori_close(store, &error), &error);
	build(log, VALORI_INDEX_HNSW, "hnsw", &hnsw, &rate);
	contestants[0] = (struct contestant){
		.name = "hnsw", .parameter = "slack", .kind = GRAPH, .view = hnsw.view, .together = 1, .build = rate};
	contestants[0].cap = least_cap(hnsw.view);
	contestants[0].bytes = (double)hnsw.index.bytes / (double)hnsw.index.rows;
	build(log, VALORI_INDEX_IVF, "ivf", &ivf, &rate);
	contestants[2] = (struct contestant){
		.name = "ivf", .parameter = "probes", .kind = LISTS, .view = ivf.view, .together = 1, .build = rate};
	contestants[2].bytes = (double)ivf.index.bytes / (double)ivf.index.rows;
	memcpy(contestants[0].settings, slacks, sizeof(slacks));
	memcpy(contestants[2].settings, probes, sizeof(probes));
	contestants[1] = contestants[0];
	contestants[1].name = "hnsw, 64 together";
	contestants[1].together = TOGETHER;
	contestants[3] = contestants[2];
	contestants[3].name = "ivf, 64 together";
	contestants[3].together = TOGETHER;
	if (begin(&hnswlib, "hnswlib", names)) {
		library = &contestants[count++];
		add_anchor(library, "hnswlib", &hnswlib, 0, efs);
	}
	if (begin(&faiss, "faiss", faiss_indexes))
		for (size_t i = 0; i < faiss.count; i++) {
			bool is_ivf = strcmp(faiss.built[i].name, "ivf") == 0;

			if (is_ivf || strcmp(faiss.built[i].name, "hnsw") == 0)
				add_anchor(&contestants[count++], is_ivf ? "faiss ivf" : "faiss hnsw", &faiss, i,
					   is_ivf ? probes : efs);
		}
	for (size_t c = 0; c < count; c++)
		sweep(&contestants[c]);
	race(contestants, count, 0.95, 0);
	race(contestants, count, 0.99, 1);
	summary(&contestants[0], &contestants[1], reached(library));
	exact(hnsw.view, faiss.process > 0 ? &faiss : NULL);
	filters(hnsw.view, hnswlib.process > 0 ? &hnswlib : NULL);
	anchor_end(&hnswlib);
	anchor_end(&faiss);
	snapshot(hnsw.view);
	leave(&hnsw);
	leave(&ivf);
	deletions();
	free(found_rows);
}

int main(int argc, char **argv)
{
	static char faiss[64] = "flat,ivf,hnsw";
	const char *data = NULL, *slash = strrchr(argv[0], '/');
	uint64_t count = 0, dim = 128, queries = 1000, turns = 5;
	bool unit = false;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--data=", 7) == 0)
			data = argv[i] + 7;
		if (strncmp(argv[i], "--work=", 7) == 0)
			snprintf(work, sizeof(work), "%s", argv[i] + 7);
		if (strncmp(argv[i], "--faiss=", 8) == 0)
			snprintf(faiss, sizeof(faiss), "%s", argv[i] + 8);
		unit |= strcmp(argv[i], "--unit") == 0;
		count = option(argv[i], "--rows=", count);
		dim = option(argv[i], "--dim=", dim);
		queries = option(argv[i], "--queries=", queries);
		turns = option(argv[i], "--rounds=", turns);
	}
	if (turns < 1 || turns > ROUNDS_MAX || dim < 1 || dim > VALORI_DIM_MAX || queries < 1 || count > 100000000)
		fail("a number is out of range");
	rounds = (int)turns;
	if (slash != NULL)
		snprintf(programs, sizeof(programs), "%.*s", (int)(slash - argv[0]), argv[0]);
	sched_getaffinity(0, sizeof(cores), &cores);
	if (data != NULL)
		vectors_read(&set, vl_host_env(), data, (uint32_t)count);
	else
		vectors_make(&set, vl_host_env(), count != 0 ? (uint32_t)count : 20000, (uint32_t)dim,
			     (uint32_t)queries, !unit);
	set.queries_count = set.queries_count < queries ? set.queries_count : (uint32_t)queries;
	bench(faiss);
	vectors_free(&set);
	return 0;
}
