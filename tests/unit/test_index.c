/* test_index.c - the index of a store: the same bytes on every way to it, and answers that are right. */
#include <unistd.h>

#include "check.h"
#include "cpu.h"
#include "engine.h"
#include "host.h"
#include "index.h"
#include "memory.h"
#include "stores.h"

enum { DIM = 12, QUERIES = 20, K_MAX = 64 };

/* ---- a store with something in it ---- */

/* A vector near one of sixteen places. */
static void draw_vector(uint64_t *seed, int32_t out[DIM])
{
	uint64_t place = check_random(seed) % 16;

	for (unsigned i = 0; i < DIM; i++)
		out[i] = (int32_t)((place * 7919 + i * 104729) % 997 * 4096) + (int32_t)(check_random(seed) % 400000) -
			 200000;
}

static valori_options options_of(const char *directory, uint32_t flags)
{
	valori_options options = stores_options(directory, flags);

	options.dim = (flags & VALORI_CREATE) != 0 ? DIM : 0;
	options.index = VALORI_INDEX_LOGGED;
	return options;
}

static valori *open_with(const valori_options *options, const struct vl_env *env)
{
	valori_error error;
	valori *store;

	if (vl_engine_open(options, &vl_os_real, env, &store, &error) != VALORI_OK)
		printf("# open: %s\n", error.message);
	return store;
}

static valori *open_at(const char *directory, uint32_t flags)
{
	valori_options options = options_of(directory, flags);

	return open_with(&options, vl_host_env());
}

static bool configure(valori *store, uint64_t parameter, uint64_t value)
{
	const valori_op op = {.kind = VALORI_OP_CONFIG, .tag = parameter, .target = {.id = value}};
	valori_batch *batch;
	bool is_done;

	valori_batch_new(DIM, &batch, NULL);
	is_done = valori_batch_add(batch, &op, NULL) == VALORI_OK &&
		  valori_commit(store, batch, NULL, NULL, NULL) == VALORI_OK;
	valori_batch_free(batch);
	return is_done;
}

/*
 * Commits of up to `most` operations until there are so many records. Of every sixteen operations about `deletes`
 * take a record away, one changes a tag.
 */
static unsigned fill(valori *store, uint64_t *seed, uint64_t records, unsigned most, unsigned deletes)
{
	valori_info info = {.size = sizeof(info)};
	valori_batch *batch;
	unsigned wrong = 0;

	valori_batch_new(DIM, &batch, NULL);
	valori_get_info(store, &info, NULL);
	while (info.record_slots < records && wrong == 0) {
		unsigned count = 1 + (unsigned)(check_random(seed) % most);
		uint64_t slots = info.record_slots;
		valori_error error;

		valori_batch_clear(batch);
		for (unsigned i = 0; i < count; i++) {
			unsigned what = (unsigned)(check_random(seed) % 16);
			valori_op op = {.kind = VALORI_OP_INSERT, .vector_kind = VALORI_Q16, .dim = DIM};
			valori_record record = {.status = VALORI_DELETED};
			int32_t vector[DIM];
			valori_view *view;

			op.vector = vector;
			op.tag = check_random(seed) % 10;
			draw_vector(seed, vector);
			if (what <= deletes && slots > 0 && i == 0) {
				op.target = (valori_ref){.kind = VALORI_REF_ID, .id = check_random(seed) % slots};
				valori_view_open(store, &view, NULL);
				valori_record_get(view, op.target.id, &record, NULL);
				valori_view_close(view);
				if (record.status == VALORI_LIVE)
					op.kind = what == deletes   ? VALORI_OP_SET_TAG
						  : (what & 1) != 0 ? VALORI_OP_DELETE
								    : VALORI_OP_SOFT_DELETE;
			}
			wrong += valori_batch_add(batch, &op, &error) != VALORI_OK;
		}
		if (valori_commit(store, batch, NULL, NULL, &error) != VALORI_OK) {
			printf("# commit: %s\n", error.message);
			wrong++;
		}
		valori_get_info(store, &info, NULL);
	}
	valori_batch_free(batch);
	return wrong;
}

/* Deletes every record whose id gives this rest, in one commit each. */
static unsigned delete_some(valori *store, uint64_t divisor, uint64_t rest)
{
	valori_info info = {.size = sizeof(info)};
	valori_batch *batch;
	valori_view *view;
	unsigned wrong = 0;

	valori_batch_new(DIM, &batch, NULL);
	valori_get_info(store, &info, NULL);
	for (uint64_t id = rest; id < info.record_slots; id += divisor) {
		valori_op op = {.kind = VALORI_OP_DELETE, .target = {.kind = VALORI_REF_ID, .id = id}};
		valori_record record;

		valori_view_open(store, &view, NULL);
		valori_record_get(view, id, &record, NULL);
		valori_view_close(view);
		if (record.status == VALORI_DELETED)
			continue;
		valori_batch_clear(batch);
		wrong += valori_batch_add(batch, &op, NULL) != VALORI_OK ||
			 valori_commit(store, batch, NULL, NULL, NULL) != VALORI_OK;
	}
	valori_batch_free(batch);
	return wrong;
}

/* The index of a store, all rounds done. */
static valori_index_info index_of(valori *store)
{
	valori_index_info info = {.size = sizeof(info)};
	valori_error error = {0};
	valori_view *view;

	valori_view_open(store, &view, NULL);
	if (valori_view_settle(view, &error) != VALORI_OK || valori_view_index(view, &info, &error) != VALORI_OK)
		printf("# index: %s\n", error.message);
	valori_view_close(view);
	return info;
}

static bool are_same(const valori_index_info *a, const valori_index_info *b)
{
	bool same = memcmp(a, b, sizeof(*a)) == 0;

	if (!same)
		printf("# since %" PRIu64 " %" PRIu64 ", boundary %" PRIu64 " %" PRIu64 ", rows %" PRIu64 " %" PRIu64
		       ", bytes %" PRIu64 " %" PRIu64 "\n",
		       a->since, b->since, a->boundary, b->boundary, a->rows, b->rows, a->bytes, b->bytes);
	return same;
}

/* ---- the same bytes ---- */

static valori_index_info reopened(const valori_options *options, const struct vl_env *env)
{
	valori *store = open_with(options, env);
	valori_index_info info = {0};

	if (store != NULL) {
		info = index_of(store);
		valori_close(store, NULL);
	}
	return info;
}

static void test_ways(uint32_t kind, uint64_t records, const char *name)
{
	char directory[256], middle[300];
	valori_index_info lived, other;
	valori_options options;
	uint64_t seed = 5;
	unsigned wrong = 0, kernels = 0, differences = 0;
	struct vl_env env = *vl_host_env();
	valori_view *view;
	valori *store;
	uint8_t *first, *second;
	size_t first_size, second_size;

	stores_make(directory);
	snprintf(middle, sizeof(middle), "%s/middle.val", directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	wrong += !configure(store, 1, kind);
	wrong += fill(store, &seed, records / 2, 90, 3);
	valori_view_open(store, &view, NULL);
	wrong += valori_snapshot_write(view, middle, NULL, NULL) != VALORI_OK;
	valori_view_close(view);
	wrong += fill(store, &seed, records, 300, 3);
	wrong += delete_some(store, 3, 0);
	lived = index_of(store);
	wrong += valori_close(store, NULL) != VALORI_OK;
	check(wrong == 0 && lived.boundary > 0, "%s: a store is filled beside its index", name);
	check((lived.has_graph != 0) == (kind == VALORI_INDEX_HNSW) &&
		      (lived.lists != 0) == (kind == VALORI_INDEX_IVF) && lived.rows > records / 3 &&
		      lived.rows < records,
	      "%s: what is gone has left the index", name);

	options = options_of(directory, VALORI_READ | VALORI_INDEX);
	options.snapshot = "";
	other = reopened(&options, vl_host_env());
	check(are_same(&lived, &other), "%s: replayed, the index is the one that was lived through", name);
	options.index_threads = 3;
	other = reopened(&options, vl_host_env());
	check(are_same(&lived, &other), "%s: three threads build the same", name);
	options.snapshot = middle;
	other = reopened(&options, vl_host_env());
	check(are_same(&lived, &other), "%s: carried on from a snapshot it is the same", name);
	options.flags = VALORI_WRITE | VALORI_INDEX;
	other = reopened(&options, vl_host_env());
	check(are_same(&lived, &other), "%s: opened to write it is the same", name);
	options.flags = VALORI_READ | VALORI_INDEX;
	options.snapshot = "";
	for (; vl_cpu_kernels_at(kernels) != NULL; kernels++) {
		env.kernels = vl_cpu_kernels_at(kernels);
		other = reopened(&options, &env);
		differences += !are_same(&lived, &other);
	}
	check(kernels > 0 && differences == 0, "%s: all %u sets of kernels build the same", name, kernels);

	/* Snapshots, too. */
	store = open_at(directory, VALORI_READ | VALORI_INDEX);
	valori_view_open(store, &view, NULL);
	wrong += valori_snapshot_write(view, stores_path(directory, "a.val"), NULL, NULL) != VALORI_OK;
	valori_view_close(view);
	valori_close(store, NULL);
	options.snapshot = middle;
	store = open_with(&options, vl_host_env());
	valori_view_open(store, &view, NULL);
	wrong += valori_snapshot_write(view, stores_path(directory, "b.val"), NULL, NULL) != VALORI_OK;
	valori_view_close(view);
	valori_close(store, NULL);
	first = stores_read(stores_path(directory, "a.val"), &first_size);
	second = stores_read(stores_path(directory, "b.val"), &second_size);
	check(wrong == 0 && first != NULL && second != NULL && first_size == second_size &&
		      memcmp(first, second, first_size) == 0,
	      "%s: a snapshot is the same file whether the index was replayed or carried on", name);
	free(first);
	free(second);
	check(valori_snapshot_check(stores_path(directory, "a.val"), NULL, NULL) == VALORI_OK,
	      "%s: and it is found sound", name);
	options = options_of(NULL, VALORI_READ | VALORI_INDEX_SAVED);
	options.snapshot = stores_path(directory, "a.val");
	other = reopened(&options, vl_host_env());
	check(are_same(&lived, &other), "%s: mapped, it is the same index", name);
	stores_remove(directory);
}

/* Several commits in one group: a round is due between two of them. */
static void test_groups(void)
{
	enum { MANY = 7, EACH = 70 };
	valori_batch *batches[MANY];
	valori_index_info lived, other;
	valori_options options;
	char directory[256];
	uint64_t seed = 8;
	unsigned wrong = 0;
	size_t done;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MANY; i++) {
			valori_batch_new(DIM, &batches[i], NULL);
			for (unsigned n = 0; n < EACH; n++) {
				int32_t vector[DIM];
				const valori_op op = {.kind = VALORI_OP_INSERT,
						      .vector_kind = VALORI_Q16,
						      .dim = DIM,
						      .vector = vector};

				draw_vector(&seed, vector);
				wrong += valori_batch_add(batches[i], &op, NULL) != VALORI_OK;
			}
		}
		wrong += valori_commit_many(store, batches, MANY, NULL, NULL, &done, NULL) != VALORI_OK;
		for (unsigned i = 0; i < MANY; i++)
			valori_batch_free(batches[i]);
	}
	lived = index_of(store);
	valori_close(store, NULL);
	options = options_of(directory, VALORI_READ | VALORI_INDEX);
	other = reopened(&options, vl_host_env());
	check(wrong == 0 && lived.rows > 1000 && are_same(&lived, &other),
	      "rounds are due between the commits of a group");
	stores_remove(directory);
}

/* The codes of an index of this version, on every machine; graphs have golden bytes of their own. */
static void test_golden(void)
{
	valori_options options = VALORI_OPTIONS_INIT;
	uint64_t seed = 12;
	unsigned wrong = 0;
	valori_index_info info;
	char text[65];
	valori *store;

	options.flags = VALORI_REHEARSE | VALORI_INDEX;
	options.dim = DIM;
	store = open_with(&options, vl_host_env());
	wrong += !configure(store, 1, VALORI_INDEX_BRUTE);
	wrong += fill(store, &seed, 2500, 120, 3);
	wrong += delete_some(store, 3, 1);
	wrong += fill(store, &seed, 3000, 120, 3);
	info = index_of(store);
	valori_close(store, NULL);
	valori_hash_format(&info.digest, text);
	check_u64(wrong, 0, "a store like the one whose index is known");
	check_text(text, "cbf2d3691200f7615454ac62b80688d479782734b2a4cea2fe06f304bc858e59",
		   "its index has the known digest");
}

/* What verify looks for, one byte at a time. */
/* A round is due exactly when index.h says so, neither a record earlier nor later. */
static void test_due(void)
{
	struct vl_index_parameters parameters;
	struct vl_schedule begun, now, after;
	struct vl_state state;
	char directory[256];
	uint64_t seed = 21;
	valori_view *view;
	valori *store;
	unsigned due[6];

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE);
	fill(store, &seed, 200, 1, 0);
	valori_view_open(store, &view, NULL);
	state = vl_engine_version(view)->state;
	vl_index_configured(&state.totals, &parameters);
	vl_schedule_begin(&begun, &parameters, 0);
	now = begun;
	now.covered = now.rows = 100;
	due[0] = vl_schedule_next(&now, &state, &parameters, &after);
	now.covered = now.rows = 101;
	due[1] = vl_schedule_next(&now, &state, &parameters, &after);
	check(due[0] && !due[1] && after.covered == 101,
	      "a round is due when as many slots are behind the last one as before it, not when one is missing");
	now.covered = 200;
	now.rows = 400;
	state.totals.record_live = 300;
	due[2] = vl_schedule_next(&now, &state, &parameters, &after);
	state.totals.record_live = 299;
	due[3] = vl_schedule_next(&now, &state, &parameters, &after);
	check(!due[2] && due[3] && after.rows == 299 && after.renewals == 1,
	      "and when more than a quarter of the rows is gone, not when a quarter is");
	valori_view_close(view);
	valori_close(store, NULL);
	stores_remove(directory);

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE);
	for (unsigned i = 0; i < 2; i++) {
		fill(store, &seed, VL_ROUND_MIN - 1 + i, 1, 0);
		valori_view_open(store, &view, NULL);
		due[4 + i] = vl_schedule_next(&begun, &vl_engine_version(view)->state, &parameters, &after);
		valori_view_close(view);
	}
	check(!due[4] && due[5] && after.covered == VL_ROUND_MIN, "the first one has as many records as the least round");
	valori_close(store, NULL);
	stores_remove(directory);
}

static void test_check(void)
{
	const struct vl_state *state;
	struct vl_index_parameters parameters;
	struct vl_schedule begun, after;
	struct vl_index index;
	uint8_t *ids, *codes, *bounds, *links;
	char directory[256];
	uint64_t seed = 15;
	valori_error error;
	valori_view *view;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE);
	fill(store, &seed, 1500, 150, 0);
	valori_view_open(store, &view, NULL);
	state = &vl_engine_version(view)->state;
	vl_index_configured(&state->totals, &parameters);
	parameters.kind = VL_INDEX_HNSW;
	vl_schedule_begin(&begun, &parameters, 0);
	check(vl_schedule_next(&begun, state, &parameters, &after), "a round is due over 1,500 records");
	vl_index_init(&index, vl_host_env(), DIM, &begun);
	check(vl_index_round(&index, state, &after, NULL, &error) == VALORI_OK && index.has_graph &&
		      vl_index_check(&index, state, &error) == VALORI_OK,
	      "the index is sound");
	ids = index.codes.ids.data;
	codes = index.codes.rows.data;
	bounds = index.codes.bounds.data;
	links = index.graph.links.data;
	codes[64 * 100 + 3] ^= 1;
	check(vl_index_check(&index, state, &error) == VALORI_DAMAGED, "not with another code");
	codes[64 * 100 + 3] ^= 1;
	bounds[8] = 0;
	memset(bounds + 9, 0, 7);
	check(vl_index_check(&index, state, &error) == VALORI_DAMAGED, "not with a bound that is too small");
	memset(bounds + 8, 0xff, 8);
	index.codes.count--;
	index.has_graph = false;
	check(vl_index_check(&index, state, &error) == VALORI_DAMAGED, "not with a record left out");
	index.codes.count++;
	index.has_graph = true;
	ids[4 * 50] ^= 1;
	check(vl_index_check(&index, state, &error) == VALORI_DAMAGED, "not with ids that do not ascend");
	ids[4 * 50] ^= 1;
	links[4] = links[0];
	links[5] = links[1];
	check(vl_index_check(&index, state, &error) == VALORI_DAMAGED, "not with a link that is there twice");
	vl_index_free(&index);
	valori_view_close(view);
	valori_close(store, NULL);
	stores_remove(directory);
}

static void test_new_configuration(void)
{
	char directory[256];
	valori_index_info before, after, other;
	valori_options options;
	uint64_t seed = 6;
	unsigned wrong = 0;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	wrong += fill(store, &seed, 1500, 100, 1);
	before = index_of(store);
	wrong += !configure(store, 1, VALORI_INDEX_HNSW);
	wrong += !configure(store, 2, 8);
	after = index_of(store);
	check(wrong == 0 && !before.has_graph && before.since == 0 && after.has_graph && after.m == 8 &&
		      after.since == stores_height(store) && after.boundary == after.since,
	      "another configuration begins the index anew at its commit");
	wrong += fill(store, &seed, 4200, 100, 1);
	after = index_of(store);
	valori_close(store, NULL);
	options = options_of(directory, VALORI_READ | VALORI_INDEX);
	other = reopened(&options, vl_host_env());
	check(wrong == 0 && are_same(&after, &other), "replayed, it begins anew at the same commit");
	options.index = VALORI_INDEX_BRUTE;
	other = reopened(&options, vl_host_env());
	check(!other.has_graph && other.kind == VALORI_INDEX_BRUTE, "whoever opens the store may want another kind");
	options.index = VALORI_INDEX_LOGGED;
	options.index_boundary = after.boundary - 1;
	other = reopened(&options, vl_host_env());
	check(other.boundary < after.boundary && other.boundary >= after.since && other.rows < after.rows,
	      "or an earlier boundary");
	options.index_boundary = other.boundary;
	after = other;
	other = reopened(&options, vl_host_env());
	check(are_same(&after, &other), "which then is the last one not later than what was asked for");
	stores_remove(directory);
}

/* ---- answers ---- */

struct answers {
	valori_hit hits[QUERIES * K_MAX];
	size_t counts[QUERIES];
	valori_explanation explanation;
};

static bool ask(const valori_view *view, const int32_t *queries, valori_search_options options, struct answers *out)
{
	valori_error error;

	memset(out, 0, sizeof(*out));
	options.explanation = &out->explanation;
	if (valori_search(view, queries, QUERIES, &options, out->hits, out->counts, &error) == VALORI_OK)
		return true;
	printf("# search: %s\n", error.message);
	return false;
}

/* How many of the hits of one are hits of the other, in 1/1000. */
static unsigned recall_of(const struct answers *found, const struct answers *truth, size_t k)
{
	size_t same = 0, all = 0;

	for (size_t q = 0; q < QUERIES; q++)
		for (size_t i = 0; i < truth->counts[q]; i++) {
			all++;
			for (size_t j = 0; j < found->counts[q]; j++)
				same += found->hits[q * k + j].id == truth->hits[q * k + i].id &&
					found->hits[q * k + j].score == truth->hits[q * k + i].score;
		}
	return all == 0 ? 1000 : (unsigned)(same * 1000 / all);
}

static void draw_queries(uint64_t *seed, int32_t *queries)
{
	for (size_t q = 0; q < QUERIES; q++)
		draw_vector(seed, queries + q * DIM);
}

/* The same store with and without an index, asked the same. */
static void compare_answers(const char *directory, const char *name)
{
	static struct answers truth, found, again;
	static const uint32_t ks[] = {1, 10, 64};
	valori *plain = open_at(directory, VALORI_READ), *indexed = open_at(directory, VALORI_READ | VALORI_INDEX);
	valori_view *plain_view, *view;
	unsigned exact = 0, short_ones = 0, threads = 0, worst = 1000, gone = 0;
	int32_t queries[QUERIES * DIM];
	uint64_t seed = 77;

	valori_view_open(plain, &plain_view, NULL);
	valori_view_open(indexed, &view, NULL);
	for (unsigned round = 0; round < 24; round++) {
		valori_search_options options = VALORI_SEARCH_INIT;
		unsigned recall;

		options.k = ks[round % 3];
		options.has_tag = round >= 12;
		options.tag = round % 11; /* 10 is nobody's */
		draw_queries(&seed, queries);
		exact += !ask(plain_view, queries, options, &truth);
		exact += truth.explanation.plan != VALORI_PLAN_SCAN;
		exact += !ask(view, queries, options, &found);
		for (size_t q = 0; q < QUERIES; q++)
			for (size_t i = 0; i < found.counts[q]; i++) {
				valori_record record;

				gone += valori_record_get(view, found.hits[q * options.k + i].id, &record, NULL) !=
						VALORI_OK ||
					record.status != VALORI_LIVE;
			}
		recall = recall_of(&found, &truth, options.k);
		worst = recall < worst ? recall : worst;
		short_ones += memcmp(found.counts, truth.counts, sizeof(truth.counts)) != 0;
		options.threads = 3;
		threads += !ask(view, queries, options, &again) ||
			   memcmp(again.hits, found.hits, sizeof(found.hits)) != 0 ||
			   memcmp(again.counts, found.counts, sizeof(found.counts)) != 0;
		options.exact = 1;
		exact += !ask(view, queries, options, &found);
		exact += memcmp(found.hits, truth.hits, sizeof(truth.hits)) != 0 ||
			 memcmp(found.counts, truth.counts, sizeof(truth.counts)) != 0;
		exact += found.explanation.plan == VALORI_PLAN_SCAN;
	}
	check_u64(exact, 0, "an exact search with an index gives the hits of a scan");
	check_u64(gone, 0, "what is deleted is not found");
	check_u64(short_ones, 0, "no answer is shorter than there are matches");
	check_u64(threads, 0, "three threads give the same answers");
	check(worst >= 950, "%s: of twenty queries at least 95 %% of the nearest are found (%u/1000)", name, worst);
	valori_view_close(view);
	valori_view_close(plain_view);
	valori_close(indexed, NULL);
	valori_close(plain, NULL);
}

static void test_answers(uint32_t kind, const char *name)
{
	char directory[256];
	uint64_t seed = 9;
	unsigned wrong = 0;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE);
	wrong += !configure(store, 1, kind);
	wrong += fill(store, &seed, 4000, 200, 5);
	valori_close(store, NULL);
	check_u64(wrong, 0, name);
	compare_answers(directory, name);
	stores_remove(directory);
}

/* How many lists there are, and how many are looked at: by the log, and by who asks. */
static void test_lists(void)
{
	static struct answers truth, found;
	char directory[256];
	int32_t queries[QUERIES * DIM];
	valori_search_options options = VALORI_SEARCH_INIT;
	valori_index_info before, after;
	uint64_t seed = 10, visited[4] = {0};
	unsigned wrong = 0;
	valori_view *view;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	wrong += !configure(store, 1, VALORI_INDEX_IVF) || !configure(store, VALORI_CONFIG_IVF_LISTS, 100);
	wrong += fill(store, &seed, 4000, 200, 0);
	before = index_of(store);
	wrong += !configure(store, VALORI_CONFIG_IVF_PROBES, 100);
	after = index_of(store);
	check(wrong == 0 && before.lists > 60 && before.lists <= 100 && after.since == before.since,
	      "as many lists as the log says; how many are looked at begins nothing anew");
	draw_queries(&seed, queries);
	valori_view_open(store, &view, NULL);
	options.exact = 1;
	wrong += !ask(view, queries, options, &truth);
	options.exact = 0;
	for (unsigned i = 0; i < 4; i++) {
		options.probes = i == 0 ? 0 : 4 * i;
		wrong += !ask(view, queries, options, &found) || found.explanation.plan != VALORI_PLAN_LISTS;
		visited[i] = found.explanation.visited;
		if (i == 0)
			wrong += memcmp(found.hits, truth.hits, sizeof(truth.hits)) != 0;
	}
	check(wrong == 0 && visited[0] >= QUERIES * before.rows,
	      "where the log says all lists, all are looked at, and the nearest found");
	check(visited[1] > 0 && visited[1] < visited[2] && visited[2] < visited[3] && visited[3] < visited[0] / 2,
	      "who asks may look at fewer");
	valori_view_close(view);
	wrong += !configure(store, VALORI_CONFIG_IVF_LISTS, 20);
	after = index_of(store);
	check(wrong == 0 && after.lists == 20 && after.since > before.since, "another number of lists begins anew");
	valori_close(store, NULL);
	stores_remove(directory);
}

/* A writer beside readers: what a view finds does not change. */
static void test_beside_writer(void)
{
	static struct answers first, again, exact;
	int32_t queries[QUERIES * DIM];
	valori_search_options options = VALORI_SEARCH_INIT;
	char directory[256];
	uint64_t seed = 21, boundary;
	unsigned wrong = 0, differences = 0, missed = 0;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	wrong += !configure(store, 1, VALORI_INDEX_HNSW);
	for (uint64_t records = 300; records <= 3900; records += 300) {
		valori_view *view;

		valori_view_open(store, &view, NULL);
		draw_queries(&seed, queries);
		wrong += !ask(view, queries, options, &first);
		wrong += fill(store, &seed, records, 40, 3);
		wrong += !ask(view, queries, options, &again);
		differences += memcmp(&first, &again, sizeof(first)) != 0;
		options.exact = 1;
		wrong += !ask(view, queries, options, &exact);
		options.exact = 0;
		missed += recall_of(&first, &exact, options.k) < 900;
		valori_view_close(view);
	}
	check_u64(wrong, 0, "a store is written and searched at once");
	check_u64(differences, 0, "a view answers the same while rounds go on beside it");
	check_u64(missed, 0, "and finds what is new as well as what is old");
	boundary = index_of(store).boundary;
	options.boundary = boundary;
	{
		valori_view *view;

		valori_view_open(store, &view, NULL);
		valori_view_settle(view, NULL);
		check(ask(view, queries, options, &first) && first.explanation.boundary == boundary,
		      "a boundary may be demanded");
		options.boundary = boundary + 1;
		check(valori_search(view, queries, QUERIES, &options, first.hits, first.counts, NULL) ==
			      VALORI_NOT_FOUND,
		      "and is not found when the index has another");
		valori_view_close(view);
	}
	valori_close(store, NULL);
	stores_remove(directory);
}

/* ---- what is unusual ---- */

static void test_few(void)
{
	static struct answers found;
	int32_t queries[QUERIES * DIM];
	valori_search_options options = VALORI_SEARCH_INIT;
	char directory[256];
	uint64_t seed = 31;
	unsigned wrong = 0;
	valori_index_info info;
	valori_view *view;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	draw_queries(&seed, queries);
	valori_view_open(store, &view, NULL);
	check(ask(view, queries, options, &found) && found.counts[0] == 0, "an empty store has no hits");
	valori_view_close(view);
	wrong += !configure(store, 1, VALORI_INDEX_HNSW);
	wrong += fill(store, &seed, 1, 1, 0);
	valori_view_open(store, &view, NULL);
	check(ask(view, queries, options, &found) && found.counts[0] == 1, "of one record there is one hit");
	valori_view_close(view);
	wrong += fill(store, &seed, 2600, 64, 0);
	info = index_of(store);
	check(wrong == 0 && info.has_graph, "there is a graph over 2,600 records");
	wrong += delete_some(store, 1, 0);
	info = index_of(store);
	check(wrong == 0 && info.rows == 0, "when all are deleted the index is empty");
	valori_view_open(store, &view, NULL);
	valori_view_settle(view, NULL);
	check(ask(view, queries, options, &found) && found.counts[0] == 0, "and there are no hits");
	valori_view_close(view);
	wrong += fill(store, &seed, 5200, 64, 0);
	info = index_of(store);
	valori_view_open(store, &view, NULL);
	valori_view_settle(view, NULL);
	options.ef = 1;
	options.k = K_MAX;
	check(wrong == 0 && info.rows > 900 && ask(view, queries, options, &found) && found.counts[0] == K_MAX,
	      "it fills again; ef below k is k");
	valori_view_close(view);
	valori_close(store, NULL);
	stores_remove(directory);
}

/* All that is near is gone: a walk comes by nothing else, and must not answer with less than there is. */
static void test_hollow(void)
{
	enum { GONE = 400 };
	valori_search_options options = VALORI_SEARCH_INIT;
	valori_explanation explanation;
	valori_hit hits[GONE], exact[10];
	char directory[256];
	int32_t query[DIM];
	uint64_t seed = 51;
	size_t count, exact_count;
	unsigned wrong = 0;
	valori_batch *batch;
	valori_view *view;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	wrong += !configure(store, 1, VALORI_INDEX_HNSW);
	wrong += fill(store, &seed, 2500, 60, 0);
	draw_vector(&seed, query);
	options.k = GONE;
	options.exact = 1;
	valori_view_open(store, &view, NULL);
	wrong += valori_search(view, query, 1, &options, hits, &count, NULL) != VALORI_OK || count != GONE;
	valori_view_close(view);
	valori_batch_new(DIM, &batch, NULL);
	for (unsigned i = 0; i < GONE; i++) {
		const valori_op op = {.kind = VALORI_OP_SOFT_DELETE,
				      .target = {.kind = VALORI_REF_ID, .id = hits[i].id}};

		wrong += valori_batch_add(batch, &op, NULL) != VALORI_OK;
	}
	wrong += valori_commit(store, batch, NULL, NULL, NULL) != VALORI_OK;
	valori_batch_free(batch);
	valori_view_open(store, &view, NULL);
	wrong += valori_view_settle(view, NULL) != VALORI_OK;
	options.k = 10;
	wrong += valori_search(view, query, 1, &options, exact, &exact_count, NULL) != VALORI_OK;
	options.exact = 0;
	options.ef = 10;
	options.explanation = &explanation;
	wrong += valori_search(view, query, 1, &options, hits, &count, NULL) != VALORI_OK;
	check(wrong == 0 && explanation.plan == VALORI_PLAN_GRAPH && explanation.repeated == 1,
	      "a walk among the dead finds too few, and all is scanned");
	check(count == 10 && exact_count == 10 && memcmp(hits, exact, sizeof(exact)) == 0, "the answer is whole");
	valori_view_close(view);
	valori_close(store, NULL);
	stores_remove(directory);
}

static void test_all_equal(void)
{
	static struct answers found;
	valori_search_options options = VALORI_SEARCH_INIT;
	const int32_t vector[DIM] = {1, 2, 3};
	int32_t queries[QUERIES * DIM] = {0};
	char directory[256];
	valori_batch *batch;
	valori_view *view;
	valori *store;
	bool ascend = true;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	configure(store, 1, VALORI_INDEX_HNSW);
	valori_batch_new(DIM, &batch, NULL);
	for (unsigned i = 0; i < 1500; i++) {
		const valori_op op = {
			.kind = VALORI_OP_INSERT, .vector_kind = VALORI_Q16, .dim = DIM, .vector = vector};

		valori_batch_clear(batch);
		valori_batch_add(batch, &op, NULL);
		valori_commit(store, batch, NULL, NULL, NULL);
	}
	valori_batch_free(batch);
	valori_view_open(store, &view, NULL);
	valori_view_settle(view, NULL);
	options.exact = 1;
	if (!ask(view, queries, options, &found))
		ascend = false;
	for (size_t i = 0; i < found.counts[0]; i++)
		ascend = ascend && found.hits[i].id == i && found.hits[i].score == 14;
	check(ascend && found.counts[0] == 10, "of equal vectors the smallest ids are the nearest");
	options.exact = 0;
	check(ask(view, queries, options, &found) && found.counts[0] == 10 && found.hits[9].score == 14,
	      "a graph of equal vectors finds as many as are asked for");
	valori_view_close(view);
	valori_close(store, NULL);
	stores_remove(directory);
}

/* The least and the largest dimension: a scan of codes gives what a scan of vectors gives. */
static void test_dimension(uint32_t dim, unsigned records)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_search_options searching = VALORI_SEARCH_INIT;
	valori_explanation explanation;
	int32_t *vector = malloc((size_t)dim * sizeof(*vector));
	valori_hit coded[10], plain[10];
	size_t coded_count, plain_count;
	uint64_t seed = 3;
	valori *stores[2];
	unsigned wrong = 0;
	valori_batch *batch;
	valori_view *view;

	options.dim = dim;
	for (unsigned i = 0; i < 2; i++) {
		options.flags = VALORI_REHEARSE | (i == 0 ? VALORI_INDEX : 0);
		wrong += valori_open(&options, &stores[i], NULL) != VALORI_OK;
	}
	valori_batch_new(dim, &batch, NULL);
	for (unsigned n = 0; n < records; n++) {
		const valori_op op = {
			.kind = VALORI_OP_INSERT, .vector_kind = VALORI_Q16, .dim = dim, .vector = vector};

		for (uint32_t d = 0; d < dim; d++)
			vector[d] = (int32_t)(check_random(&seed) % 5000000) - 2500000;
		valori_batch_clear(batch);
		wrong += valori_batch_add(batch, &op, NULL) != VALORI_OK;
		for (unsigned i = 0; i < 2; i++)
			wrong += valori_commit(stores[i], batch, NULL, NULL, NULL) != VALORI_OK;
	}
	valori_batch_free(batch);
	searching.explanation = &explanation;
	valori_view_open(stores[1], &view, NULL);
	wrong += valori_search(view, vector, 1, &searching, plain, &plain_count, NULL) != VALORI_OK;
	valori_view_close(view);
	valori_view_open(stores[0], &view, NULL);
	wrong += valori_view_settle(view, NULL) != VALORI_OK;
	wrong += valori_search(view, vector, 1, &searching, coded, &coded_count, NULL) != VALORI_OK;
	valori_view_close(view);
	check(wrong == 0 && explanation.plan == VALORI_PLAN_CODES && explanation.rows > 0 &&
		      plain_count == coded_count && coded[0].score == 0 &&
		      memcmp(plain, coded, plain_count * sizeof(*plain)) == 0,
	      "dimension %u: codes give what vectors give", dim);
	for (unsigned i = 0; i < 2; i++)
		valori_close(stores[i], NULL);
	free(vector);
}

/* Memory that ends somewhere while an index is built, carried on or searched. */
static void test_memory(void)
{
	static struct memory memory;
	static struct answers found, right;
	char directory[256];
	int32_t queries[QUERIES * DIM];
	valori_search_options searching = VALORI_SEARCH_INIT;
	uint64_t seed = 41, calls = 1;
	unsigned refused = 0, leaks = 0, other = 0, differences = 0, rounds = 0;
	valori_options options;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE);
	configure(store, 1, VALORI_INDEX_HNSW);
	fill(store, &seed, 2300, 150, 3);
	valori_close(store, NULL);
	draw_queries(&seed, queries);
	options = options_of(directory, VALORI_READ | VALORI_INDEX);
	for (uint64_t fail_at = 0; rounds < 120 && fail_at <= calls; fail_at += 1 + calls / 100, rounds++) {
		valori_view *view = NULL;
		valori_error error;
		valori_code code;

		memory_init(&memory, vl_cpu_kernels(NULL));
		memory.fail_at = fail_at;
		code = vl_engine_open(&options, &vl_os_real, &memory.env, &store, &error);
		if (code == VALORI_OK)
			code = valori_view_open(store, &view, &error);
		if (code == VALORI_OK) {
			searching.explanation = &found.explanation;
			code = valori_search(view, queries, QUERIES, &searching, found.hits, found.counts, &error);
			if (fail_at == 0)
				right = found;
			differences += code == VALORI_OK && memcmp(found.hits, right.hits, sizeof(right.hits)) != 0;
		}
		if (fail_at == 0)
			calls = memory.calls;
		refused += code == VALORI_NO_MEMORY;
		other += code != VALORI_OK && code != VALORI_NO_MEMORY;
		valori_view_close(view);
		valori_close(store, NULL);
		leaks += memory.blocks != 0 || memory.wrong != 0;
	}
	check(refused > 50 && other == 0, "memory that runs out is said to have run out (%u times)", refused);
	check_u64(leaks, 0, "and what was taken is given back");
	check_u64(differences, 0, "an answer that was given all the same is right");
	stores_remove(directory);
}

static void test_refusals(void)
{
	int32_t query[DIM] = {0};
	valori_search_options options = VALORI_SEARCH_INIT;
	valori_options opening = VALORI_OPTIONS_INIT;
	valori_index_info info = {.size = sizeof(info)};
	valori_view *view;
	valori *store;
	valori_hit hit[1];
	size_t count;

	opening.dim = DIM;
	opening.flags = VALORI_INDEX | VALORI_NO_VECTORS;
	check(valori_open(&opening, &store, NULL) == VALORI_INVALID, "no index without vectors");
	opening.flags = VALORI_INDEX;
	opening.index = VALORI_INDEX_LOGGED + 1;
	check(valori_open(&opening, &store, NULL) == VALORI_INVALID, "no index of a kind that there is not");
	opening.flags = 0;
	opening.index = VALORI_INDEX_LOGGED;
	valori_open(&opening, &store, NULL);
	valori_view_open(store, &view, NULL);
	check(valori_view_index(view, &info, NULL) == VALORI_NOT_FOUND, "a store that was not asked to has no index");
	options.k = 0;
	check(valori_search(view, query, 1, &options, hit, &count, NULL) == VALORI_INVALID, "k = 0 is refused");
	options.k = 1;
	options.ef = VALORI_EF_MAX + 1;
	check(valori_search(view, query, 1, &options, hit, &count, NULL) == VALORI_INVALID, "so is an ef above all");
	options.ef = 0;
	options.slack = 1023;
	check(valori_search(view, query, 1, &options, hit, &count, NULL) == VALORI_INVALID, "and a slack below 1");
	valori_view_close(view);
	valori_close(store, NULL);
}

/*
 * What lies behind the last round is coded once many have asked: every version goes on finding what it had, whatever
 * was coded for the ones after it.
 */
static void test_tail(void)
{
	enum { VERSIONS = 24 };
	static struct answers truth[VERSIONS], found;
	valori_view *views[VERSIONS];
	valori_search_options plain = VALORI_SEARCH_INIT, tagged = VALORI_SEARCH_INIT;
	char directory[256];
	int32_t queries[QUERIES * DIM];
	unsigned differences = 0, wrong = 0, exact = 0;
	uint64_t seed = 5, compared = 0;
	valori *store;

	stores_make(directory);
	store = open_at(directory, VALORI_WRITE | VALORI_CREATE | VALORI_INDEX);
	configure(store, 1, VALORI_INDEX_BRUTE);
	fill(store, &seed, 2600, 150, 3);
	draw_queries(&seed, queries);
	tagged.has_tag = 1;
	tagged.tag = 1;
	for (unsigned version = 0; version < VERSIONS; version++) {
		valori *other;
		valori_view *view;

		wrong += fill(store, &seed, 2640 + 110 * version, 30, 5);
		valori_view_open(store, &views[version], NULL);
		valori_view_settle(views[version], NULL);
		/* The truth comes from a scan, without an index. */
		valori_flush(store, NULL);
		other = open_at(directory, VALORI_READ);
		valori_view_open(other, &view, NULL);
		wrong += !ask(view, queries, version % 2 ? tagged : plain, &truth[version]);
		wrong += truth[version].explanation.plan != VALORI_PLAN_SCAN;
		valori_view_close(view);
		valori_close(other, NULL);
		/* Every third is asked at once, the others not before newer ones were. */
		if (version % 3 != 0)
			continue;
		wrong += !ask(views[version], queries, version % 2 ? tagged : plain, &found);
		exact += found.explanation.plan != VALORI_PLAN_SCAN;
		compared += found.explanation.compared;
		differences += memcmp(found.hits, truth[version].hits, sizeof(found.hits)) != 0 ||
			       memcmp(found.counts, truth[version].counts, sizeof(found.counts)) != 0;
	}
	for (unsigned version = VERSIONS; version-- > 0;) {
		wrong += !ask(views[version], queries, version % 2 ? tagged : plain, &found);
		differences += memcmp(found.hits, truth[version].hits, sizeof(found.hits)) != 0 ||
			       memcmp(found.counts, truth[version].counts, sizeof(found.counts)) != 0;
		valori_view_close(views[version]);
	}
	check(wrong == 0 && exact == 8 && compared > 0, "versions with a tail can be asked");
	check_u64(differences, 0, "the tail's codes change no answer, of older versions neither");
	valori_close(store, NULL);
	stores_remove(directory);
}

int main(void)
{
	test_ways(VALORI_INDEX_BRUTE, 2600, "codes");
	test_ways(VALORI_INDEX_HNSW, 4200, "graph");
	test_ways(VALORI_INDEX_IVF, 4200, "lists");
	test_groups();
	test_golden();
	test_due();
	test_check();
	test_new_configuration();
	test_lists();
	test_answers(VALORI_INDEX_AUTO, "4,000 records, a quarter of them gone");
	test_answers(VALORI_INDEX_HNSW, "the same with a graph");
	test_answers(VALORI_INDEX_IVF, "the same with lists");
	test_beside_writer();
	test_tail();
	test_few();
	test_hollow();
	test_all_equal();
	test_dimension(1, 1500);
	test_dimension(32768, 70);
	test_memory();
	test_refusals();
	return check_done();
}
