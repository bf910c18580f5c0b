/*
 * test_exhaustive.c - one workload, and a power cut at every change that it makes to the disk, with every
 * state that the disk may be in then.
 *
 * The workload has everything that writes: first commits, single and in batches and in groups, of all
 * kinds of operations; rotation; snapshots; a death that leaves a torn tail, and its recovery; trimming
 * with and without an archive, beside a writer and without one; restores; a full disk; a sync that fails.
 * At each change the process ends before it, behind it, or in the middle of a write; then the power stays
 * (the process was killed) or goes. Where the states are too many, all are tried that differ in one file
 * from "all kept" and from "all lost", and some at random.
 *
 * With arguments PHASE CHANGE EFFECT it tells what comes of that one place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/check.h"
#include "world.h"

enum {
	CHOICES_MAX = 64,
	STATES_SHORT = 24,
	STATES_LONG = 4096,
	SEEN_SIZE = 1 << 22,
	WORKERS_MAX = 64,
	BLOCK = 4
};

/* ---- The workload ---- */

static void begin_store(struct world *world)
{
	world_open(world);
	world_commit(world, 1, false);
	world_commit(world, 8, false);
	world_commit(world, 1, false);
	world_group(world, 3);
	world_commit(world, 6, true);
	world_snapshot(world, false);
	world_commit(world, 2, false);
	world_close(world);
}

static void trim_and_go_on(struct world *world)
{
	world_trim(world, true);
	world_open(world);
	world_commit(world, 10, false);
	world_snapshot(world, true);
	world_group(world, 4);
	world_commit(world, 4, true);
	world_trim(world, true); /* beside the writer */
	world_snapshot(world, false);
	world_commit(world, 1, false);
	/* The process dies in the middle of writing this one. */
	if (!world->sim->is_dead) {
		world->sim->fault.power_at = world->sim->changes + 1;
		world->sim->fault.power_effect = 2;
	}
	world_commit(world, 12, true);
}

static void recover_and_restore(struct world *world)
{
	world_open(world);
	world_commit(world, 5, false);
	world_close(world);
	world_trim(world, false);
	world_restore(world, false);
	world_open(world);
	world_commit(world, 3, false);
	world_group(world, 2);
	world_snapshot(world, true);
	world_commit(world, 6, true);
	world_commit(world, 6, true);
	world_commit(world, 1, false);
	world_close(world);
	world_restore(world, true);
	world_open(world);
	world_commit(world, 2, false);
	world_close(world);
}

static void fill_the_disk(struct world *world)
{
	world_open(world);
	world_commit(world, 2, false);
	if (!world->sim->is_dead)
		world->sim->fault.room = 500;
	world_group(world, 4);
	world_snapshot(world, false);
	if (!world->sim->is_dead) {
		world->sim->fault.room = UINT64_MAX;
		world->sim->full_writes = 0;
	}
	world_commit(world, 2, false);
	world_snapshot(world, false);
	world_trim(world, false);
	world_commit(world, 7, true);
	world_close(world);
	world_open(world);
	world_flush(world);
	world_close(world);
}

static void fail_a_sync(struct world *world)
{
	world_open(world);
	world_commit(world, 2, false);
	if (!world->sim->is_dead)
		world->sim->fault.sync_fails_at = world->sim->syncs + 1;
	world_commit(world, 9, true);
	world_commit(world, 1, false); /* must be refused */
	world_group(world, 2);
	world_close(world);
	if (!world->sim->is_dead)
		world->sim->failed_syncs = 0;
	world_open(world); /* the cache has what the disk has not */
	world_commit(world, 1, false);
	world_close(world);
}

static void (*const phases[])(struct world *world) = {begin_store, trim_and_go_on, recover_and_restore,
						      fill_the_disk, fail_a_sync};
enum { PHASES = sizeof(phases) / sizeof(*phases) };

/* ---- Every place, every state ---- */

struct result {
	struct world_counts counts;
	uint64_t places, states, distinct, sampled, failures;
	unsigned phase, effect;
	uint64_t change;
	char failure[512];
};

struct run {
	struct result result;
	uint64_t *seen; /* digests of what was tried */
	uint64_t limit; /* of states at one place */
	bool is_loud;
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

/* Was the same disk tried before, with the same promises? */
static bool is_seen(struct run *run, const struct world *world)
{
	const uint64_t words[] = {
		world->count,       world->told,      world->safe,      world->snapshot, world->snapshot_next,
		world->copy,        world->copy_next, world->restoring, world->is_made,  world->is_archived,
		world->is_head_old, world->tree_base, world->tree_size, world->backup};
	uint64_t digest = sim_disk_digest(world->sim), at;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		digest ^= words[i];
		digest = model_random(&digest);
	}
	digest |= 1;
	for (at = digest % SEEN_SIZE; run->seen[at] != 0; at = (at + 1) % SEEN_SIZE)
		if (run->seen[at] == digest)
			return true;
	run->seen[at] = digest;
	return false;
}

/* A machine that has just come up again, and two more lives on it. */
static void live_on(struct world *world, uint64_t seed)
{
	world_look(world);
	for (unsigned round = 0; round < 2; round++) {
		uint64_t state = model_random(&seed);

		world->sim->fault.power_at = model_random(&seed) % 3 == 0 ? 1 + model_random(&seed) % 20 : 0;
		world->sim->fault.power_effect = (unsigned)(model_random(&seed) % 2);
		world_open(world);
		world_commit(world, 1 + round, false);
		world_die(world, &state);
		world_look(world);
	}
	world_open(world);
	world_close(world);
	world_drop(world);
}

/* alternatives NULL: only the process has died. */
static void try_state(struct run *run, const struct world *dead, const unsigned *alternatives,
		      unsigned choices)
{
	struct world *world = world_clone(dead);
	struct result *result = &run->result;

	result->states++;
	memset(&world->counts, 0, sizeof(world->counts));
	if (alternatives != NULL)
		world_die_to(world, alternatives);
	else
		world_die(world, NULL);
	if (alternatives == NULL || !is_seen(run, world)) {
		result->distinct++;
		live_on(world, result->distinct);
		add_counts(&result->counts, &world->counts);
	}
	if (world->failure[0] != '\0') {
		if (result->failures++ == 0)
			memcpy(result->failure, world->failure, sizeof(result->failure));
		if (run->is_loud) {
			printf("# state");
			for (unsigned i = 0; alternatives != NULL && i < choices; i++)
				printf(" %u", alternatives[i]);
			printf(": %s\n", world->failure);
			sim_print(world->sim);
		}
	}
	world_free(world);
}

static void try_all_states(struct run *run, const struct world *dead, uint64_t seed)
{
	unsigned counts[CHOICES_MAX], alternatives[CHOICES_MAX] = {0};
	unsigned choices = sim_choices(dead->sim, counts, CHOICES_MAX);
	uint64_t product = 1;

	if (choices > CHOICES_MAX)
		abort();
	try_state(run, dead, NULL, 0);
	for (unsigned i = 0; i < choices && product <= run->limit; i++)
		product *= counts[i];
	if (product <= run->limit) {
		for (uint64_t number = 0; number < product; number++) {
			uint64_t rest = number;

			for (unsigned i = 0; i < choices; i++) {
				alternatives[i] = (unsigned)(rest % counts[i]);
				rest /= counts[i];
			}
			try_state(run, dead, alternatives, choices);
		}
		return;
	}
	run->result.sampled++;
	for (unsigned others = 0; others < 2; others++)
		for (unsigned i = 0; i < choices; i++) {
			for (unsigned j = 0; j < choices; j++)
				alternatives[j] = others;
			for (unsigned alternative = 0; alternative < counts[i]; alternative++) {
				alternatives[i] = alternative;
				try_state(run, dead, alternatives, choices);
			}
		}
	for (uint64_t n = 0; n < run->limit; n++) {
		for (unsigned i = 0; i < choices; i++)
			alternatives[i] = (unsigned)(model_random(&seed) % counts[i]);
		try_state(run, dead, alternatives, choices);
	}
}

/* The workload up to the beginning of a phase. */
static struct world *prepare(unsigned phase)
{
	struct world *world = world_new(4711, VALORI_SYNC_ALWAYS, 6000);

	for (unsigned i = 0; i < phase; i++) {
		sim_reset_counts(world->sim);
		phases[i](world);
		world_die(world, NULL);
	}
	return world;
}

/* False: the phase makes fewer changes than that. */
static bool try_place(struct run *run, const struct world *prepared, unsigned phase, uint64_t change,
		      unsigned effect)
{
	struct world *world = world_clone(prepared);
	uint64_t failures = run->result.failures;
	bool is_reached;

	sim_reset_counts(world->sim);
	world->sim->fault.power_at = change;
	world->sim->fault.power_effect = effect;
	phases[phase](world);
	is_reached = world->sim->is_dead && world->sim->changes == change;
	if (is_reached) {
		run->result.places++;
		world_drop(world);
		if (world->failure[0] == '\0')
			try_all_states(run, world, change);
	}
	if (world->failure[0] != '\0' && run->result.failures++ == 0)
		memcpy(run->result.failure, world->failure, sizeof(run->result.failure));
	if (failures == 0 && run->result.failures > 0) {
		run->result.phase = phase;
		run->result.change = change;
		run->result.effect = effect;
	}
	world_free(world);
	return is_reached;
}

static void run_some(struct run *run, unsigned worker, unsigned workers)
{
	for (unsigned phase = 0; phase < PHASES && run->result.failures == 0; phase++) {
		struct world *prepared = prepare(phase);

		if (prepared->failure[0] != '\0') {
			run->result.failures++;
			memcpy(run->result.failure, prepared->failure, sizeof(run->result.failure));
		}
		for (uint64_t block = worker * check_one_in(); run->result.failures == 0;
		     block += workers * check_one_in()) {
			bool is_reached = false;

			for (uint64_t change = block * BLOCK + 1; change <= (block + 1) * BLOCK; change++)
				for (unsigned effect = 0; effect < 3; effect++)
					is_reached |= try_place(run, prepared, phase, change, effect);
			if (!is_reached)
				break;
		}
		world_free(prepared);
	}
}

static void run_new(struct run *run)
{
	memset(run, 0, sizeof(*run));
	run->seen = calloc(SEEN_SIZE, sizeof(*run->seen));
	run->limit = check_long() ? STATES_LONG : STATES_SHORT;
	if (run->seen == NULL)
		exit(99);
}

static void run_all(struct result *sum)
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
			struct run run;

			run_new(&run);
			run_some(&run, i, workers);
			_exit(write(ends[1], &run.result, sizeof(run.result)) != sizeof(run.result));
		}
		close(ends[1]);
		pipes[i] = ends[0];
	}
	for (unsigned i = 0; i < workers; i++) {
		struct result result;

		if (read(pipes[i], &result, sizeof(result)) != sizeof(result)) {
			missing++;
			continue;
		}
		if (result.failures > 0)
			printf("# %s\n# reproduce: tests/crash/test_exhaustive %u %llu %u\n", result.failure,
			       result.phase, (unsigned long long)result.change, result.effect);
		add_counts(&sum->counts, &result.counts);
		sum->places += result.places;
		sum->states += result.states;
		sum->distinct += result.distinct;
		sum->sampled += result.sampled;
		sum->failures += result.failures;
		close(pipes[i]);
	}
	while (wait(NULL) > 0)
		;
	check_u64(missing, 0, "no state ends the process that simulates it");
}

/* Without a crash all of it works, and nothing is left out. */
static void check_workload(void)
{
	struct world *world = prepare(PHASES);
	const struct world_counts *counts = &world->counts;

	check(world->failure[0] == '\0', "the workload runs through");
	printf("# %s%" PRIu64 " commits, %" PRIu64 " groups, %" PRIu64 " snapshots, %" PRIu64
	       " trims, %" PRIu64 " restores\n",
	       world->failure, counts->commits, counts->groups, counts->snapshots, counts->trims,
	       counts->restores);
	check(counts->commits == 19 && counts->groups == 5 && counts->snapshots == 5 && counts->trims == 4 &&
		      counts->restores == 2 && counts->torn == 1,
	      "the workload does all that it should");
	world_free(world);
}

int main(int argc, char **argv)
{
	struct result sum;

	if (argc == 4) {
		struct world *prepared = prepare((unsigned)strtoul(argv[1], NULL, 10));
		struct run run;

		run_new(&run);
		run.is_loud = true;
		check(prepared->failure[0] == '\0', "the workload runs up to that phase");
		check(try_place(&run, prepared, (unsigned)strtoul(argv[1], NULL, 10),
				strtoull(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10)),
		      "it makes that change");
		check_u64(run.result.failures, 0, "the store survives every state");
		printf("# %s\n# %" PRIu64 " states\n", run.result.failure, run.result.states);
		world_free(prepared);
		free(run.seen);
		return check_done();
	}
	check_workload();
	run_all(&sum);
	check_u64(sum.failures, 0,
		  "after every crash the store is what its user was told, and recovers three times");
	printf("# %" PRIu64 " places to die at, %" PRIu64 " states of the disk, %" PRIu64
	       " of them different; %" PRIu64 " places with too many to try all\n",
	       sum.places, sum.states, sum.distinct, sum.sampled);
	printf("# %" PRIu64 " crashes, %" PRIu64 " recoveries, %" PRIu64
	       " verdicts and never one of tampering; %" PRIu64 " torn tails cut\n",
	       sum.counts.crashes, sum.counts.opens, sum.counts.verdicts, sum.counts.torn);
	check(sum.places > 1000 / check_one_in() && sum.distinct > 8000 / check_one_in() &&
		      sum.counts.torn > 0,
	      "there was something to look at");
	return check_done();
}
