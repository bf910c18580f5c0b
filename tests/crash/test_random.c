/*
 * test_random.c - lives of a store that a seed makes up: operations, deaths, what the disk keeps,
 * recovery, and again.
 *
 * With arguments it lives those seeds only, and says what happened: that is how a failure is looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/check.h"
#include "world.h"

enum { SEEDS = 20000, SEEDS_LONG = 2000000, ROUNDS = 4, WORKERS_MAX = 64 };

static bool is_loud;

static void say(const struct world *world, const char *what)
{
	if (is_loud)
		printf("# %-12s %u batches, %u told, %u safe; call %llu%s%s%s\n", what, world->count,
		       world->told, world->safe, (unsigned long long)world->sim->calls,
		       world->sim->is_dead ? "; dead" : "", world->failure[0] != '\0' ? "; " : "",
		       world->failure);
}

static void draw_fault(struct world *world, uint64_t *seed)
{
	struct sim_fault *fault = &world->sim->fault;
	uint64_t dice = model_random(seed) % 16;

	sim_reset_counts(world->sim);
	if (dice < 6) {
		fault->power_at = 1 + model_random(seed) % (dice < 4 ? 30 : 150);
		fault->power_effect = (unsigned)(model_random(seed) % 3);
	} else if (dice < 9) {
		fault->call_at = 1 + model_random(seed) % (dice == 6 ? 60 : 500);
	} else if (dice < 11) {
		fault->sync_fails_at = 1 + model_random(seed) % 20;
	} else if (dice < 13) {
		fault->room = model_random(seed) % (dice == 11 ? 3000 : 40000);
	}
	if (dice % 2 == 0)
		fault->short_writes = 1 + (unsigned)(model_random(seed) % 4);
}

static void live(struct world *world, uint64_t *seed)
{
	unsigned deeds = 1 + (unsigned)(model_random(seed) % 10);

	for (unsigned i = 0; i < deeds; i++) {
		uint64_t dice = model_random(seed) % 32;
		bool is_copy = model_random(seed) % 3 == 0;

		if (world->sim->full_writes > 0 && dice % 4 == 0) {
			/* There is room again: from now on nothing is excused. */
			world->sim->fault.room = UINT64_MAX;
			world->sim->full_writes = 0;
			world_open(world);
		}
		if (world->sim->fault.sync_fails_at == 0 && world->sim->fault.room == UINT64_MAX &&
		    model_random(seed) % 6 == 0) {
			/* Soon, in the midst of what comes now. */
			world->sim->fault.power_at = world->sim->changes + 1 + model_random(seed) % 4;
			world->sim->fault.power_effect = (unsigned)(model_random(seed) % 3);
		}
		if (dice < 14) {
			world_commit(world, 1 + (unsigned)(model_random(seed) % 2), dice == 0);
			say(world, "commit");
		} else if (dice < 19) {
			world_commit(world, 2 + (unsigned)(model_random(seed) % (BATCH_MAX - 2)), dice < 16);
			say(world, "batch");
		} else if (dice < 22) {
			world_group(world, 2 + (unsigned)(model_random(seed) % (GROUP_MAX - 1)));
			say(world, "group");
		} else if (dice < 24) {
			world_flush(world);
			say(world, "flush");
		} else if (dice < 27) {
			world_snapshot(world, is_copy);
			say(world, "snapshot");
		} else {
			if (dice != 27) {
				world_close(world);
				say(world, "close");
			}
			if (dice < 30) {
				world_trim(world, is_copy);
				say(world, "trim");
			} else if (dice == 30) {
				world_restore(world, is_copy);
				say(world, "restore");
			}
			world_open(world);
			say(world, "open");
		}
	}
}

static void die(struct world *world, uint64_t *seed)
{
	uint64_t dice = model_random(seed) % 8, state = model_random(seed);

	world_die(world, dice < 6 ? &state : NULL);
	say(world, dice < 6 ? "power off" : "killed");
	world_look(world);
	say(world, "look");
	if (dice == 7) { /* what the process left in the cache goes, too */
		world_die(world, &state);
		say(world, "power off");
		world_look(world);
		say(world, "look");
	}
}

/* What a life may have seen: enough of all must, or nobody knows whether the simulator still does its work. */
enum {
	FAILED_SYNC,
	FULL_WRITE,
	SHORT_WRITE,
	LOST,
	TORN,
	REORDERED,
	ZEROED,
	NAMES,
	ROUNDS_3, /* a crash and a recovery, three times and more */
	SIGHTS
};
static const struct {
	const char *name;
	unsigned least; /* of a thousand lives */
} sights[SIGHTS] = {
	[FAILED_SYNC] = {"a sync that fails", 130},
	[FULL_WRITE] = {"a full disk", 160},
	[SHORT_WRITE] = {"a short write", 400},
	[LOST] = {"a write that is lost", 200},
	[TORN] = {"a torn write", 10},
	[REORDERED] = {"writes out of order", 8},
	[ZEROED] = {"zeros for what was written", 80},
	[NAMES] = {"a name that is lost", 200},
	[ROUNDS_3] = {"three recoveries from crashes", 450},
};

static void see(const struct world *world, unsigned recoveries, uint64_t seen[SIGHTS])
{
	const struct sim_came *came = &world->sim->came;

	seen[FAILED_SYNC] += came->failed_syncs > 0;
	seen[FULL_WRITE] += came->full_writes > 0;
	seen[SHORT_WRITE] += came->short_writes > 0;
	seen[LOST] += came->lost > 0;
	seen[TORN] += came->torn > 0;
	seen[REORDERED] += came->reordered > 0;
	seen[ZEROED] += came->zeroed > 0;
	seen[NAMES] += came->names > 0;
	seen[ROUNDS_3] += recoveries >= 3;
}

/* One life. The failure, "" when there is none, is left in the world. */
static struct world *run(uint64_t number, uint64_t seen[SIGHTS])
{
	static const uint64_t sizes[] = {4200, 5000, 9000, 20000, 1 << 20};
	uint64_t seed = number * UINT64_C(0x2545f4914f6cdd1d) + 1, dice = model_random(&seed);
	uint32_t sync = dice % 8 < 6    ? VALORI_SYNC_ALWAYS
			: dice % 8 == 6 ? VALORI_SYNC_BATCH
					: VALORI_SYNC_NONE;
	struct world *world = world_new(model_random(&seed), sync, sizes[dice / 8 % 5]);

	unsigned recoveries = 0;
	uint64_t opens;

	world->sync_commits = 1 + (unsigned)(dice / 64 % 4);
	for (unsigned round = 0; round < ROUNDS && world->failure[0] == '\0'; round++) {
		draw_fault(world, &seed);
		if (model_random(&seed) % 8 == 0) {
			world_trim(world, model_random(&seed) % 2 == 0);
			say(world, "trim");
		} else if (model_random(&seed) % 10 == 0) {
			world_restore(world, model_random(&seed) % 2 == 0);
			say(world, "restore");
		}
		opens = world->counts.opens;
		world_open(world);
		recoveries += round > 0 && world->counts.opens > opens;
		say(world, "open");
		live(world, &seed);
		die(world, &seed);
	}
	/* The last time nothing goes wrong. */
	opens = world->counts.opens;
	world_open(world);
	recoveries += world->counts.opens > opens;
	world_commit(world, 2, false);
	world_close(world);
	dice = 0;
	world_die(world, &dice);
	world_look(world);
	world_open(world);
	world_close(world);
	say(world, "end");
	world_drop(world);
	see(world, recoveries, seen);
	if (is_loud && world->failure[0] != '\0')
		sim_print(world->sim);
	return world;
}

struct result {
	struct world_counts counts;
	uint64_t lives, failures, first_failure, seen[SIGHTS];
	char failure[512];
};

static void add_counts(struct world_counts *to, const struct world_counts *from)
{
	uint64_t sums[sizeof(*to) / sizeof(uint64_t)], more[sizeof(*to) / sizeof(uint64_t)];

	memcpy(sums, to, sizeof(sums));
	memcpy(more, from, sizeof(more));
	for (size_t i = 0; i < sizeof(sums) / sizeof(*sums); i++)
		sums[i] += more[i];
	memcpy(to, sums, sizeof(sums));
}

static void run_some(uint64_t first, uint64_t end, uint64_t step, struct result *result)
{
	memset(result, 0, sizeof(*result));
	for (uint64_t seed = first; seed < end; seed += step) {
		struct world *world = run(seed, result->seen);

		result->lives++;
		add_counts(&result->counts, &world->counts);
		if (world->failure[0] != '\0' && result->failures++ == 0) {
			result->first_failure = seed;
			memcpy(result->failure, world->failure, sizeof(result->failure));
		}
		world_free(world);
		if (result->failures >= 20)
			break;
	}
}

static void add_result(struct result *to, const struct result *from)
{
	add_counts(&to->counts, &from->counts);
	to->lives += from->lives;
	for (unsigned i = 0; i < SIGHTS; i++)
		to->seen[i] += from->seen[i];
	if (from->failures > 0)
		printf("# %s\n# reproduce: tests/crash/test_random %llu\n", from->failure,
		       (unsigned long long)from->first_failure);
	to->failures += from->failures;
}

/* All seeds, on all processors. */
static void run_all(uint64_t first, uint64_t seeds, struct result *sum)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned workers = processors < 1             ? 1
			   : processors > WORKERS_MAX ? WORKERS_MAX
						      : (unsigned)processors,
		 missing = 0;
	int pipes[WORKERS_MAX];

	memset(sum, 0, sizeof(*sum));
	fflush(stdout);
	for (unsigned i = 0; i < workers; i++) {
		int ends[2];

		if (pipe(ends) != 0)
			exit(99);
		if (fork() == 0) {
			struct result result;

			run_some(first + i, first + seeds, workers, &result);
			_exit(write(ends[1], &result, sizeof(result)) != sizeof(result));
		}
		close(ends[1]);
		pipes[i] = ends[0];
	}
	for (unsigned i = 0; i < workers; i++) {
		struct result result;

		if (read(pipes[i], &result, sizeof(result)) == sizeof(result))
			add_result(sum, &result);
		else
			missing++;
		close(pipes[i]);
	}
	while (wait(NULL) > 0)
		;
	check_u64(missing, 0, "no life ends the process that simulates it");
}

int main(int argc, char **argv)
{
	const struct world_counts *counts;
	struct result sum = {.lives = 0};
	uint64_t seeds = check_long() ? SEEDS_LONG : SEEDS / check_one_in();

	if (argc > 2 && strcmp(argv[1], "-n") == 0) {
		seeds = strtoull(argv[2], NULL, 10);
	} else if (argc > 1) {
		is_loud = true;
		for (int i = 1; i < argc; i++) {
			struct world *world = run(strtoull(argv[i], NULL, 10), sum.seen);

			check(world->failure[0] == '\0', "seed %s", argv[i]);
			printf("# %s\n", world->failure);
			world_free(world);
		}
		return check_done();
	}
	run_all(argc > 3 ? strtoull(argv[3], NULL, 10) : 0, seeds, &sum);
	counts = &sum.counts;
	check_u64(sum.failures, 0, "after every crash of every seed the store is what its user was told");
	check_u64(sum.lives, seeds, "all seeds were lived");
	printf("# %" PRIu64 " seeds: %" PRIu64 " crashes, %" PRIu64 " recoveries, %" PRIu64
	       " verdicts and never one of tampering; %" PRIu64 " torn tails cut\n",
	       sum.lives, counts->crashes, counts->opens, counts->verdicts, counts->torn);
	printf("# %" PRIu64 " commits, %" PRIu64 " groups, %" PRIu64 " snapshots, %" PRIu64 " trims, %" PRIu64
	       " restores; %" PRIu64 " readers behind what is acknowledged\n",
	       counts->commits, counts->groups, counts->snapshots, counts->trims, counts->restores,
	       counts->behind);
	check(counts->torn > seeds / 100 && counts->trims > seeds / 100 && counts->restores > seeds / 100 &&
		      counts->groups > seeds / 10,
	      "the seeds lead to torn tails, groups, trims and restores");
	for (unsigned i = 0; i < SIGHTS; i++)
		check(sum.seen[i] * 1000 > seeds * sights[i].least, "enough of the lives see %s: %" PRIu64, sights[i].name,
		      sum.seen[i]);
	return check_done();
}
