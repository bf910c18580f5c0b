/* world.c - a machine, the store on it, and what its user was told. */
#include "world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "host.h"
#include "maintain.h"
#include "verify.h"

#define STORE "/store"
#define SNAPSHOT STORE "/snapshot.val"
#define COPY "/copies/keep.val"
#define ARCHIVE "/archive"

void world_fail(struct world *world, const char *format, ...)
{
	va_list arguments;

	if (world->failure[0] != '\0')
		return;
	va_start(arguments, format);
	vsnprintf(world->failure, sizeof(world->failure), format, arguments);
	va_end(arguments);
}

static bool is_over(const struct world *world)
{
	return world->failure[0] != '\0' || world->sim->is_dead;
}

static bool is_same(const valori_hash *a, const valori_hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* ---- Memory ---- */

static void *count_alloc(void *context, size_t size)
{
	struct world *world = context;
	void *memory = aligned_alloc(64, (size + 64) & ~(size_t)63);

	world->blocks += memory != NULL;
	return memory;
}

static void count_release(void *context, void *memory, size_t size)
{
	struct world *world = context;

	(void)size;
	world->blocks--;
	free(memory);
}

static void set_env(struct world *world)
{
	world->env = (struct vl_env){count_alloc, count_release, world, vl_host_env()->kernels};
}

/* ---- The list of batches ---- */

static valori *shadow_new(void)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori *shadow;

	options.dim = MODEL_DIM;
	if (valori_open(&options, &shadow, NULL) != VALORI_OK)
		abort();
	return shadow;
}

static struct moment moment_of(valori *store)
{
	valori_info info = {.size = sizeof(info)};

	if (valori_get_info(store, &info, NULL) != VALORI_OK)
		abort();
	return (struct moment){info.state_root, info.height};
}

static void shadow_commit(struct world *world, const struct batch *batch)
{
	valori_batch *operations = model_batch(batch);
	valori_error error;

	if (valori_commit(world->shadow, operations, NULL, NULL, &error) != VALORI_OK)
		world_fail(world, "the store in memory refuses what the model allows: %s", error.message);
	valori_batch_free(operations);
}

/* The store in memory stands after the first count batches. */
static void shadow_go(struct world *world, unsigned count)
{
	if (world->shadow != NULL && world->shadow_count > count) {
		valori_close(world->shadow, NULL);
		world->shadow = NULL;
	}
	if (world->shadow == NULL) {
		world->shadow = shadow_new();
		world->shadow_count = 0;
	}
	while (world->shadow_count < count)
		shadow_commit(world, &world->batches[world->shadow_count++]);
}

static void append(struct world *world, const struct batch *batch)
{
	shadow_go(world, world->count);
	world->batches[world->count++] = *batch;
	model_apply(world->model, batch);
	shadow_go(world, world->count);
	world->moments[world->count] = moment_of(world->shadow);
}

/* What came after the first count batches never was. */
static void cut(struct world *world, unsigned count)
{
	if (count < world->count) {
		model_init(world->model);
		for (unsigned i = 0; i < count; i++)
			model_apply(world->model, &world->batches[i]);
	}
	world->count = count;
	if (world->told > count)
		world->told = count;
	if (world->safe > count)
		world->safe = count;
}

/* Which moment is this, of those from first on? */
static unsigned find_moment(const struct world *world, const valori_hash *root, uint64_t height,
			    unsigned first)
{
	for (unsigned i = first; i <= world->count; i++)
		if (world->moments[i].height == height && is_same(&world->moments[i].root, root))
			return i;
	return WORLD_NONE;
}

/* ---- The world ---- */

struct world *world_new(uint64_t seed, uint32_t sync, uint64_t segment_size)
{
	struct world *world = calloc(1, sizeof(*world));
	const struct vl_os *os;

	if (world == NULL)
		abort();
	set_env(world);
	world->sim = sim_new(seed ^ UINT64_C(0x5bd1e995));
	world->seed = seed;
	world->sync = sync;
	world->segment_size = segment_size;
	world->model = malloc(sizeof(*world->model));
	model_init(world->model);
	world->snapshot = world->snapshot_next = world->copy = world->copy_next = world->restoring =
		WORLD_NONE;
	world->is_archived = true;
	shadow_go(world, 0);
	world->moments[0] = moment_of(world->shadow);
	os = &world->sim->os;
	os->make_directory(os->context, "/copies");
	os->sync_directory(os->context, "/");
	sim_reset_counts(world->sim);
	return world;
}

struct world *world_clone(const struct world *from)
{
	struct world *world = malloc(sizeof(*world));

	if (world == NULL)
		abort();
	*world = *from;
	set_env(world);
	world->sim = sim_clone(from->sim);
	world->model = malloc(sizeof(*world->model));
	*world->model = *from->model;
	world->shadow = NULL;
	world->store = NULL;
	world->blocks = 0;
	return world;
}

void world_free(struct world *world)
{
	if (world == NULL)
		return;
	world_drop(world);
	valori_close(world->shadow, NULL);
	sim_free(world->sim);
	free(world->model);
	free(world);
}

void world_drop(struct world *world)
{
	valori *store = world->store;

	world->store = NULL;
	if (store != NULL) {
		world->sim->is_dead = true;
		valori_close(store, NULL);
	}
	if (world->sim->open != 0)
		world_fail(world, "%d descriptors were not closed", world->sim->open);
	if (world->sim->mapped != 0)
		world_fail(world, "%d mappings were not given back", world->sim->mapped);
	if (world->blocks != 0)
		world_fail(world, "%lld blocks of memory were not given back", (long long)world->blocks);
}

static void lose_power(struct world *world)
{
	world->told = world->safe;
	world->is_head_old = true;
}

void world_die(struct world *world, const uint64_t *seed)
{
	world_drop(world);
	world->counts.crashes++;
	if (seed == NULL) {
		sim_kill(world->sim);
		return;
	}
	sim_power_off(world->sim, *seed);
	lose_power(world);
}

void world_die_to(struct world *world, const unsigned *alternatives)
{
	world_drop(world);
	world->counts.crashes++;
	sim_power_off_to(world->sim, alternatives);
	lose_power(world);
}

/* ---- What a success tells the user ---- */

static void learn_history(struct world *world, const valori_info *info)
{
	world->is_made = true;
	world->is_id_known = true;
	world->log_id = info->log_id;
	if (info->commits > 0) {
		world->tree_size = info->commits;
		world->tree_height = info->height;
		world->tree_root = info->tree_root;
	}
}

/* All that the user was told of is durable. */
static void all_safe(struct world *world)
{
	valori_info info = {.size = sizeof(info)};

	world->safe = world->told;
	if (valori_get_info(world->store, &info, NULL) == VALORI_OK)
		learn_history(world, &info);
	else
		world_fail(world, "an open store does not describe itself");
}

static void all_told(struct world *world, unsigned batches)
{
	if (world->sim->is_dead)
		world_fail(world, "a commit succeeds without power");
	if (world->count - batches > world->told)
		world_fail(world, "a commit is acknowledged behind one that failed");
	world->doubt_count = 0;
	world->told = world->count;
	if (world->sync == VALORI_SYNC_ALWAYS)
		all_safe(world);
}

/* Is a failure excused: by the end of the process, a sync that failed, a full disk? */
static bool is_excused(const struct world *world)
{
	return world->sim->is_dead || world->sim->failed_syncs > 0 || world->sim->full_writes > 0;
}

/* ---- Opening ---- */

static valori_options store_options(const struct world *world, uint32_t flags)
{
	valori_options options = VALORI_OPTIONS_INIT;

	options.flags = flags;
	options.log = STORE;
	options.dim = (flags & VALORI_CREATE) != 0 ? MODEL_DIM : 0;
	options.sync = world->sync;
	options.sync_commits = world->sync_commits;
	options.segment_size = world->segment_size;
	return options;
}

static void compare(struct world *world, valori *store, const char *who)
{
	char difference[96];
	valori_view *view;
	valori_error error;

	if (valori_view_open(store, &view, &error) != VALORI_OK) {
		world_fail(world, "%s: no view: %s", who, error.message);
		return;
	}
	if (model_compare(world->model, view, difference) != 0)
		world_fail(world, "%s: after %u batches: %s", who, world->count, difference);
	valori_view_close(view);
}

/* The restore that was in flight has happened. */
static void settle_restore(struct world *world, unsigned moment)
{
	cut(world, moment);
	world->tree_base = moment;
	world->tree_size = 0;
	world->is_id_known = false; /* the new one is random: whoever opens the store sees it */
	world->snapshot = moment;
	world->restoring = world->snapshot_next = WORLD_NONE;
	if (world->copy != WORLD_NONE && world->copy > moment)
		world->copy = WORLD_FOREIGN;
	if (world->copy_next != WORLD_NONE && world->copy_next > moment)
		world->copy_next = WORLD_FOREIGN;
	world->is_archived = false;
	world->told = world->safe = moment;
}

/* Which of the moments that may come back from a crash is it? Settles what is known from now on. */
static void accept_moment(struct world *world, const valori_info *info)
{
	unsigned found;
	bool is_other_log = world->is_id_known && !is_same(&info->log_id, &world->log_id);

	if (is_other_log) {
		if (world->restoring == WORLD_NONE) {
			world_fail(world, "the store has another log id");
			return;
		}
		if (find_moment(world, &info->state_root, info->height, 0) != world->restoring ||
		    info->commits != 0) {
			world_fail(world, "the restored store is not at the moment of its snapshot");
			return;
		}
		settle_restore(world, world->restoring);
		return;
	}
	found = find_moment(world, &info->state_root, info->height, 0);
	if (found == WORLD_NONE) {
		world_fail(world,
			   "height %llu with a state root that no history has (%u batches, %u safe, %u told)",
			   (unsigned long long)info->height, world->count, world->safe, world->told);
		return;
	}
	if (found < world->told) {
		world_fail(world, "acknowledged commits are lost: %u of %u batches are left, %u must be",
			   found, world->count, world->told);
		return;
	}
	if (info->commits != found - world->tree_base)
		world_fail(world, "the log has %llu commits, not %u", (unsigned long long)info->commits,
			   found - world->tree_base);
	if (world->tree_size > 0 && info->commits == world->tree_size &&
	    !is_same(&info->tree_root, &world->tree_root))
		world_fail(world, "the history of the same %llu commits has become another one",
			   (unsigned long long)info->commits);
	if (strstr(info->notes, "not used") != NULL)
		world_fail(world, "opened with a note: %s", info->notes);
	world->restoring = WORLD_NONE;
	cut(world, found);
}

/* What is left of the snapshots that were being written. */
static void settle_snapshots(struct world *world)
{
	unsigned *marks[2][2] = {{&world->snapshot, &world->snapshot_next},
				 {&world->copy, &world->copy_next}};
	const char *paths[] = {SNAPSHOT, COPY};

	for (unsigned i = 0; i < 2; i++) {
		struct vl_snapshot *snapshot;
		valori_error error;
		valori_code code =
			vl_snapshot_open(&world->env, &world->sim->os, paths[i], &snapshot, &error);
		const struct vl_position *position;
		unsigned found;
		valori_hash root;

		if (code == VALORI_NOT_FOUND) {
			if (*marks[i][0] != WORLD_NONE)
				world_fail(world, "%s is gone", paths[i]);
			continue;
		}
		if (code == VALORI_OK)
			code = vl_snapshot_verify(snapshot, &error);
		if (code != VALORI_OK) {
			if (!world->sim->is_dead)
				world_fail(world, "snapshot: %s", error.message);
			vl_snapshot_close(snapshot);
			continue;
		}
		position = vl_snapshot_position(snapshot);
		memcpy(root.bytes, position->state_root, sizeof(root.bytes));
		found = find_moment(world, &root, position->height, 0);
		if (*marks[i][0] == WORLD_FOREIGN && (found == WORLD_NONE || found != *marks[i][1]))
			found = WORLD_FOREIGN;
		if (*marks[i][1] == WORLD_FOREIGN && found == WORLD_NONE)
			found = WORLD_FOREIGN;
		if (found == WORLD_NONE || (found != *marks[i][0] && found != *marks[i][1]))
			world_fail(world, "%s: is of event %llu, and neither the old nor the new one",
				   paths[i], (unsigned long long)position->height);
		/* Opening a store makes the names in its directory durable; another one may still be lost. */
		if (i == 0 && found != WORLD_NONE) {
			*marks[i][0] = found;
			*marks[i][1] = WORLD_NONE;
		}
		vl_snapshot_close(snapshot);
	}
}

/* The number of the newest place where a restore has put an old store; 0: none. */
static unsigned newest_backup(const struct world *world)
{
	char log[96];
	unsigned newest = 0;
	size_t size;

	for (unsigned n = 1; n < 64; n++) {
		snprintf(log, sizeof(log), STORE "/events.before-restore-%u/events.log", n);
		if (sim_content(world->sim, log, &size) != NULL)
			newest = n;
	}
	return newest;
}

/* The old store can be opened where the restore has put it. */
static void check_backup(struct world *world)
{
	valori_options options = VALORI_OPTIONS_INIT;
	char path[64];
	valori_error error;
	valori *store;
	struct moment found;

	if (world->backup == 0)
		return;
	snprintf(path, sizeof(path), STORE "/events.before-restore-%u", world->backup);
	options.log = path;
	options.flags = VALORI_WRITE; /* a reader would see no more than an old head says */
	if (vl_engine_open(&options, &world->sim->os, &world->env, &store, &error) != VALORI_OK) {
		if (!is_excused(world))
			world_fail(world, "the store before the restore: %s", error.message);
		return;
	}
	found = moment_of(store);
	if (found.height != world->before.height || !is_same(&found.root, &world->before.root))
		world_fail(world, "the store before the restore is not what it was");
	valori_close(store, NULL);
}

void world_open(struct world *world)
{
	valori_options options = store_options(world, VALORI_WRITE | VALORI_CREATE);
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	valori_code code;

	if (is_over(world) || world->store != NULL)
		return;
	code = vl_engine_open(&options, &world->sim->os, &world->env, &world->store, &error);
	if (code != VALORI_OK) {
		world->store = NULL;
		if (!is_excused(world) || (code != VALORI_IO && !world->sim->is_dead))
			world_fail(world, "cannot be opened: %s", error.message);
		return;
	}
	world->counts.opens++;
	if (valori_get_info(world->store, &info, NULL) != VALORI_OK) {
		world_fail(world, "an open store does not describe itself");
		return;
	}
	world->counts.torn += info.torn_size > 0;
	accept_moment(world, &info);
	if (world->failure[0] != '\0')
		return;
	world->told = world->count;
	if (info.commits > 0 || world->tree_base > 0)
		all_safe(world);
	world->is_head_old = false;
	compare(world, world->store, "opened to write");
	settle_snapshots(world);
	check_backup(world);
}

void world_close(struct world *world)
{
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	valori_code code;
	valori *store = world->store;

	if (is_over(world) || store == NULL)
		return;
	(void)valori_get_info(store, &info, NULL);
	world->store = NULL;
	code = valori_close(store, &error);
	if (code == VALORI_OK) {
		world->safe = world->told;
		learn_history(world, &info);
	} else if (!is_excused(world)) {
		world_fail(world, "cannot be closed: %s", error.message);
	}
}

/* ---- Writing ---- */

static bool has_room(const struct world *world, unsigned batches)
{
	return world->count + batches <= WORLD_BATCHES &&
	       world->model->records + batches * BATCH_MAX < MODEL_SLOTS &&
	       world->model->nodes + batches * BATCH_MAX < MODEL_SLOTS &&
	       world->model->edges + batches * BATCH_MAX < MODEL_SLOTS;
}

/*
 * Batches that failed may be in the log or not, until the store is opened anew. Whoever goes on all the
 * same goes on without them: they are put aside, and come back to the end of the list when he fails as
 * well.
 */
static void put_doubt_aside(struct world *world)
{
	unsigned count = world->count - world->told;

	if (count > GROUP_MAX)
		world_fail(world, "%u batches in doubt", count);
	if (count == 0 || count > GROUP_MAX)
		return;
	world->doubt_count = count;
	memcpy(world->doubt, &world->batches[world->count - count], count * sizeof(struct batch));
	cut(world, world->count - count);
}

static void put_doubt_back(struct world *world)
{
	for (unsigned i = 0; i < world->doubt_count; i++)
		append(world, &world->doubt[i]);
	world->doubt_count = 0;
}

/* Batches were refused. What becomes of them depends on why. */
static void refused(struct world *world, unsigned batches, valori_code code, const valori_error *error)
{
	bool is_full = code == VALORI_IO && error->system_errno == ENOSPC;

	if (world->doubt_count > 0) {
		cut(world, world->count - batches);
		put_doubt_back(world);
		return;
	}
	if (world->sim->is_dead)
		return;
	if (!is_excused(world) || (code != VALORI_IO && code != VALORI_POISONED))
		world_fail(world, "a commit is refused: %s", error->message);
	if (is_full) /* it is gone for good; after a failed sync nobody knows */
		cut(world, world->count - batches);
}

void world_commit(struct world *world, unsigned operations, bool is_large)
{
	struct batch batch;
	valori_batch *made;
	valori_error error;
	valori_code code;

	if (is_over(world) || world->store == NULL || !has_room(world, 1))
		return;
	put_doubt_aside(world);
	model_draw(world->model, &world->seed, operations, is_large, &batch);
	append(world, &batch);
	made = model_batch(&batch);
	code = valori_commit(world->store, made, NULL, NULL, &error);
	valori_batch_free(made);
	if (code == VALORI_OK) {
		all_told(world, 1);
		world->counts.commits++;
	} else {
		refused(world, 1, code, &error);
	}
}

void world_group(struct world *world, unsigned batches)
{
	valori_batch *made[GROUP_MAX];
	struct batch batch;
	valori_error error;
	valori_code code;
	size_t done = batches;

	if (is_over(world) || world->store == NULL || !has_room(world, batches))
		return;
	put_doubt_aside(world);
	for (unsigned i = 0; i < batches; i++) {
		model_draw(world->model, &world->seed, 1 + (unsigned)(model_random(&world->seed) % 3), false,
			   &batch);
		append(world, &batch);
		made[i] = model_batch(&batch);
	}
	code = valori_commit_many(world->store, made, batches, NULL, NULL, &done, &error);
	for (unsigned i = 0; i < batches; i++)
		valori_batch_free(made[i]);
	world->counts.groups++;
	if (code == VALORI_OK)
		all_told(world, batches);
	else
		refused(world, batches, code, &error);
	if (code != VALORI_OK && done != 0)
		world_fail(world, "a group of commits fails, and %zu of it are told to be done", done);
}

void world_flush(struct world *world)
{
	valori_error error;

	if (is_over(world) || world->store == NULL)
		return;
	if (valori_flush(world->store, &error) == VALORI_OK)
		all_safe(world);
	else if (!is_excused(world))
		world_fail(world, "cannot be flushed: %s", error.message);
}

/* ---- Maintenance ---- */

/* A copy that died before it was told is there or not; who goes on with it looks, and makes that durable. */
static void resolve_copy(struct world *world)
{
	const struct vl_os *os = &world->sim->os;
	const struct vl_position *position;
	struct vl_snapshot *snapshot;
	valori_hash root;

	if (world->copy_next == WORLD_NONE || os->sync_directory(os->context, "/copies") != 0)
		return;
	if (vl_snapshot_open(&world->env, os, COPY, &snapshot, NULL) == VALORI_OK) {
		position = vl_snapshot_position(snapshot);
		memcpy(root.bytes, position->state_root, sizeof(root.bytes));
		world->copy = find_moment(world, &root, position->height, 0);
		if (world->copy == WORLD_NONE)
			world->copy = WORLD_FOREIGN;
		vl_snapshot_close(snapshot);
	}
	if (!world->sim->is_dead)
		world->copy_next = WORLD_NONE;
}

void world_snapshot(struct world *world, bool is_copy)
{
	const char *path = is_copy ? COPY : SNAPSHOT;
	unsigned *mark = is_copy ? &world->copy : &world->snapshot,
		 *next = is_copy ? &world->copy_next : &world->snapshot_next;
	valori_view *view;
	valori_error error;
	valori_code code;

	if (is_over(world) || world->store == NULL || !world->is_made)
		return;
	if (is_copy)
		resolve_copy(world);
	if (is_over(world))
		return;
	if (valori_view_open(world->store, &view, &error) != VALORI_OK) {
		world_fail(world, "no view: %s", error.message);
		return;
	}
	*next = world->told;
	code = valori_snapshot_write(view, path, NULL, &error);
	valori_view_close(view);
	if (code == VALORI_OK) {
		*mark = *next;
		*next = WORLD_NONE;
		world->counts.snapshots++;
		all_safe(world); /* what is in a snapshot is durable in the log */
	} else if (!is_excused(world)) {
		world_fail(world, "no snapshot: %s", error.message);
	}
}

void world_trim(struct world *world, bool is_archived)
{
	valori_trim_result result;
	valori_error error;
	valori_code code;

	if (is_over(world) || world->snapshot == WORLD_NONE)
		return;
	if (!is_archived)
		world->is_archived = false;
	code = vl_maintain_trim(&world->env, &world->sim->os, STORE, SNAPSHOT, is_archived ? ARCHIVE : NULL,
				false, &result, &error);
	if (code != VALORI_OK && !is_excused(world))
		world_fail(world, "cannot be trimmed: %s", error.message);
	world->counts.trims += code == VALORI_OK;
}

void world_restore(struct world *world, bool from_copy)
{
	unsigned moment = from_copy ? world->copy : world->snapshot;
	struct moment before = world->moments[world->count];
	bool is_settled = world->told == world->count; /* else nobody knows what the old store held */
	valori_error error;
	valori_code code;

	if (is_over(world) || world->store != NULL || moment >= WORLD_FOREIGN || !world->is_made)
		return;
	if (world->snapshot_next != WORLD_NONE || (from_copy && world->copy_next != WORLD_NONE))
		return; /* old or new one: the user cannot know */
	world->restoring = world->snapshot_next = moment;
	code = vl_maintain_restore(&world->env, &world->sim->os, STORE, from_copy ? COPY : SNAPSHOT, -1, NULL,
				   &error);
	if (code != VALORI_OK) {
		if (!is_excused(world))
			world_fail(world, "cannot be restored: %s", error.message);
		return;
	}
	world->counts.restores++;
	settle_restore(world, moment);
	world->before = before;
	world->backup = is_settled ? newest_backup(world) : 0;
	if (is_settled && world->backup == 0)
		world_fail(world, "a restore has left nothing of the old store");
}

/* ---- Looking ---- */

static void look_as_reader(struct world *world)
{
	valori_options options = store_options(world, VALORI_READ);
	valori_info info = {.size = sizeof(info)};
	unsigned floor = world->is_head_old ? 0 : world->safe, found;
	valori_error error;
	valori *store;
	valori_code code = vl_engine_open(&options, &world->sim->os, &world->env, &store, &error);

	if (code != VALORI_OK) {
		if (code != VALORI_NOT_FOUND || world->is_made)
			world_fail(world, "cannot be opened to read: %s", error.message);
		return;
	}
	valori_get_info(store, &info, NULL);
	valori_close(store, NULL);
	found = find_moment(world, &info.state_root, info.height, 0);
	if (found == WORLD_NONE)
		world_fail(world, "a reader sees height %llu with a state root that no history has",
			   (unsigned long long)info.height);
	else if (found < floor && found != world->restoring)
		world_fail(world, "a reader sees %u batches, %u are acknowledged", found, floor);
	else if (found < world->safe)
		world->counts.behind++;
}

static void look_as_verifier(struct world *world, bool is_expecting, bool is_archived)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	valori_error error;
	valori_code code;

	options.path = STORE;
	if (is_expecting) {
		options.expect_kind = 2;
		options.expect_size = world->tree_size;
		options.expect = world->tree_root;
	}
	if (is_archived)
		options.archive = ARCHIVE;
	code = vl_verify(&world->env, &world->sim->os, &options, &report, &error);
	world->counts.verdicts++;
	if (code != VALORI_OK) {
		if (code != VALORI_NOT_FOUND || world->is_made)
			world_fail(world, "cannot be verified: %s", error.message);
		return;
	}
	/* What the user remembers may have been trimmed away behind a snapshot that he was not told of. */
	if (is_expecting && report.verdict == VALORI_INDETERMINATE && report.base_height > world->tree_height)
		return;
	if (report.verdict != (is_expecting ? VALORI_VERIFIED_HISTORY : VALORI_CONSISTENT))
		world_fail(world, "after an ordinary crash the verdict is %u: %s", report.verdict,
			   report.sentence);
	if (is_archived && report.base_height != 0)
		world_fail(world, "with its archive the log begins at event %llu",
			   (unsigned long long)report.base_height);
	if (world->restoring == WORLD_NONE && report.height < world->moments[world->safe].height)
		world_fail(world, "verified up to event %llu; %llu are acknowledged",
			   (unsigned long long)report.height,
			   (unsigned long long)world->moments[world->safe].height);
}

void world_look(struct world *world)
{
	uint64_t changes = world->sim->changes;

	if (is_over(world) || world->store != NULL)
		return;
	look_as_verifier(world, false, false);
	if (world->restoring == WORLD_NONE && world->tree_size > 0)
		look_as_verifier(world, true, false);
	if (world->restoring == WORLD_NONE && world->is_archived && world->is_made)
		look_as_verifier(world, false, true);
	look_as_reader(world);
	if (world->sim->changes != changes)
		world_fail(world, "looking has changed something");
	if (world->sim->open != 0 || world->sim->mapped != 0 || world->blocks != 0)
		world_fail(world, "looking leaves descriptors, mappings or memory behind");
}
