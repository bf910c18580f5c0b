/* test_engine.c - whole stores: what is acknowledged is there, whatever happens; what is not is nowhere. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "cpu.h"
#include "engine.h"
#include "host.h"
#include "memory.h"
#include "stores.h"

/* Draws operations that fit the model and commits them in batches of up to `most`. Failures are counted. */
static unsigned commit_random(valori *store, struct model *model, uint64_t *seed, unsigned batches, unsigned most)
{
	valori_batch *batch;
	unsigned wrong = 0;

	valori_batch_new(MODEL_DIM, &batch, NULL);
	for (unsigned i = 0; i < batches; i++) {
		unsigned count = 1 + (unsigned)(check_random(seed) % most);
		struct draft draft;
		valori_error error;

		valori_batch_clear(batch);
		for (unsigned j = 0; j < count; j++) {
			model_draw(model, seed, &draft);
			wrong += valori_batch_add(batch, &draft.op, &error) != VALORI_OK;
			model_apply(model, &draft);
		}
		if (valori_commit(store, batch, NULL, NULL, &error) != VALORI_OK) {
			printf("# commit: %s\n", error.message);
			wrong++;
		}
	}
	valori_batch_free(batch);
	return wrong;
}

static void test_three_times_round(void)
{
	struct model *model = model_new();
	uint64_t seed = 1;
	unsigned wrong = 0, differences = 0, roots = 0;
	char directory[256];
	valori_hash root;
	valori *store;

	stores_make(directory);
	for (unsigned round = 0; round < 4; round++) {
		store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
		if (store == NULL)
			break;
		if (round > 0) {
			valori_hash again = stores_root(store);

			roots += !stores_same(&root, &again);
			differences += model_compare_store(model, store);
		}
		wrong += commit_random(store, model, &seed, 100, 12);
		differences += model_compare_store(model, store);
		root = stores_root(store);
		wrong += valori_close(store, NULL) != VALORI_OK;
	}
	check_u64(wrong, 0, "commits succeed, and stores close well, three times round");
	check_u64(differences, 0, "what is read is what was committed, before and after reopening");
	check_u64(roots, 0, "the state root is the same after reopening");
	check(model->records > 100 && model->edges > 10, "the test has something to look at");
	stores_remove(directory);
	free(model);
}

/* The same operations, cut into commits in different ways. */
static void test_batching(void)
{
	static const unsigned sizes[] = {1, 7, 500, 3000};
	valori_hash roots[4];
	uint64_t heights[4];
	unsigned wrong = 0;

	for (unsigned i = 0; i < 4; i++) {
		struct model *model = model_new();
		valori_options options = VALORI_OPTIONS_INIT;
		uint64_t seed = 2;
		valori_batch *batch;
		valori *store;

		options.dim = MODEL_DIM;
		valori_open(&options, &store, NULL);
		valori_batch_new(MODEL_DIM, &batch, NULL);
		for (unsigned j = 0; j < 3000; j++) {
			struct draft draft;

			model_draw(model, &seed, &draft);
			draft.op.flags = 0; /* salts are random */
			wrong += valori_batch_add(batch, &draft.op, NULL) != VALORI_OK;
			model_apply(model, &draft);
			if ((j + 1) % sizes[i] == 0 || j == 2999) {
				wrong += valori_commit(store, batch, NULL, NULL, NULL) != VALORI_OK;
				valori_batch_clear(batch);
			}
		}
		roots[i] = stores_root(store);
		heights[i] = stores_height(store);
		wrong += model_compare_store(model, store);
		valori_batch_free(batch);
		valori_close(store, NULL);
		free(model);
	}
	check_u64(wrong, 0, "a store in memory takes the same operations in batches of 1, 7, 500 and 3000");
	for (unsigned i = 1; i < 4; i++)
		check(stores_same(&roots[0], &roots[i]) && heights[0] == heights[i],
		      "batches of %u give the root that single commits give", sizes[i]);
}

static void test_refusals(void)
{
	struct draft draft;
	char directory[256];
	valori_receipt receipt = {.commit = 77};
	uint64_t ids[4] = {77, 77, 77, 77}, height;
	valori_hash root, after;
	valori_batch *batch;
	valori_error error;
	size_t size, size_after;
	uint8_t *bytes;
	valori *store;

	stores_make(directory);
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	draft_insert(&draft, 1, "taken", "m");
	stores_commit(store, &draft.op);
	root = stores_root(store);
	height = stores_height(store);
	bytes = stores_read(stores_path(directory, "events.log"), &size);
	free(bytes);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 2, "free", "m");
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_key(&draft, VALORI_OP_DELETE, "taken");
	valori_batch_add(batch, &draft.op, NULL);
	draft_insert(&draft, 3, "free", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, &receipt, ids, &error) == VALORI_DUPLICATE && error.event == 2,
	      "a key that is taken is refused, and the operation named");
	check(receipt.commit == 77 && ids[0] == 77, "nothing is answered after a refusal");
	after = stores_root(store);
	bytes = stores_read(stores_path(directory, "events.log"), &size_after);
	free(bytes);
	check(stores_same(&root, &after) && stores_height(store) == height && size == size_after,
	      "a refused batch leaves no trace");
	valori_batch_skip(batch, 2);
	check(valori_commit(store, batch, &receipt, ids, &error) == VALORI_OK && receipt.event_count == 2 &&
		      ids[0] == 1 && ids[1] == 0 && ids[2] == VALORI_NONE,
	      "without the operation at fault the batch goes through");
	valori_batch_clear(batch);
	draft_by_key(&draft, VALORI_OP_SOFT_DELETE, "nobody");
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_NOT_FOUND && error.event == 0,
	      "an unknown key is not found");
	valori_batch_clear(batch);
	draft_by_id(&draft, VALORI_OP_DELETE, 999);
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_NOT_FOUND, "an unknown id is not found");
	valori_batch_clear(batch);
	check(valori_commit(store, batch, &receipt, NULL, &error) == VALORI_OK && receipt.commit == VALORI_NONE &&
		      receipt.event_count == 0,
	      "an empty batch does nothing");
	valori_batch_free(batch);
	valori_batch_new(MODEL_DIM + 1, &batch, NULL);
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_DIMENSION,
	      "a batch of another dimension is refused");
	valori_batch_free(batch);
	valori_close(store, NULL);
	store = stores_open(directory, VALORI_READ);
	draft_insert(&draft, 9, NULL, NULL);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_INVALID,
	      "a store that was opened to read takes nothing");
	valori_close(store, NULL);
	valori_batch_free(batch);
	stores_remove(directory);
}

static void test_references(void)
{
	struct draft draft;
	uint64_t ids[6], cursor = 0, id;
	valori_options options = VALORI_OPTIONS_INIT;
	valori_batch *batch;
	valori_view *view;
	valori_node node;
	valori_edge edge;
	valori *store;

	options.dim = MODEL_DIM;
	options.records_max = 3;
	valori_open(&options, &store, NULL);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 1, "doc", "m");
	valori_batch_add(batch, &draft.op, NULL);
	for (unsigned i = 0; i < 2; i++) {
		draft_by_id(&draft, VALORI_OP_NODE_CREATE, 0);
		draft.op.target = (valori_ref){.kind = VALORI_REF_OP, .id = 0};
		draft.op.object_kind = 2;
		valori_batch_add(batch, &draft.op, NULL);
	}
	draft_by_id(&draft, VALORI_OP_EDGE_CREATE, 0);
	draft.op.from = (valori_ref){.kind = VALORI_REF_OP, .id = 1};
	draft.op.to = (valori_ref){.kind = VALORI_REF_OP, .id = 2};
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_id(&draft, VALORI_OP_EDGE_CREATE, 0);
	draft.op.from = (valori_ref){.kind = VALORI_REF_KEY, .key = "doc", .key_size = 3};
	draft.op.to = (valori_ref){.kind = VALORI_REF_ID, .id = 1};
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, NULL, ids, NULL) == VALORI_OK && ids[0] == 0 && ids[1] == 0 && ids[2] == 1 &&
		      ids[3] == 0 && ids[4] == 1,
	      "operations of a batch can name what others before them made");
	draft_insert(&draft, 2, "doc", NULL);
	draft.op.kind = VALORI_OP_UPSERT;
	check_u64(stores_commit(store, &draft.op), 1, "an upsert makes a new record");
	valori_view_open(store, &view, NULL);
	check(valori_node_get(view, 0, &node, NULL) == VALORI_OK && node.record == 1 &&
		      valori_node_get(view, 1, &node, NULL) == VALORI_OK && node.record == 1,
	      "the nodes of the old record follow to the new one");
	check(valori_record_find(view, 0, "doc", 3, &id, NULL) == VALORI_OK && id == 1, "the key finds the new record");
	check(valori_edge_next(view, 0, 1, &cursor, &edge) == VALORI_OK && edge.id == 0 && edge.to == 1 &&
		      valori_edge_next(view, 0, 1, &cursor, &edge) == VALORI_OK && edge.id == 1 &&
		      valori_edge_next(view, 0, 1, &cursor, &edge) == VALORI_END,
	      "edges of a node come in order of creation, then the end");
	valori_view_close(view);
	check_u64(stores_height(store), 9, "an upsert is a removal, an insert and a move of each node");
	valori_batch_clear(batch);
	for (unsigned i = 0; i < 3; i++) {
		draft_insert(&draft, i, NULL, NULL);
		valori_batch_add(batch, &draft.op, NULL);
	}
	check(valori_commit(store, batch, NULL, NULL, NULL) == VALORI_FULL && stores_height(store) == 9,
	      "a capacity is a limit of the records that are held");
	valori_batch_free(batch);
	valori_close(store, NULL);
}

/* ---- Requests ---- */

static valori_code commit_two(valori *store, const struct draft *a, const struct draft *b, valori_receipt *receipt,
			      uint64_t ids[2])
{
	valori_batch *batch;
	valori_error error;
	valori_code code;

	valori_batch_new(MODEL_DIM, &batch, NULL);
	valori_batch_add(batch, &a->op, NULL);
	if (b != NULL)
		valori_batch_add(batch, &b->op, NULL);
	code = valori_commit(store, batch, receipt, ids, &error);
	valori_batch_free(batch);
	return code;
}

static void test_requests(void)
{
	struct draft a, b, other;
	uint8_t prefix[8] = {5};
	uint64_t ids[2], rows = 99, height;
	char directory[256];
	valori_receipt receipt;
	valori_batch *batch;
	valori *store;

	stores_make(directory);
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	draft_insert(&a, 1, "a", "m");
	draft_request(&a, 5, 0);
	draft_insert(&b, 2, NULL, "n");
	b.op.flags |= VALORI_OP_SALTED;
	draft_request(&b, 5, 1);
	check(valori_requests_find(store, prefix, &rows, NULL) == VALORI_OK && rows == 0,
	      "nothing is known of a source at first");
	commit_two(store, &a, &b, &receipt, ids);
	height = stores_height(store);
	ids[0] = ids[1] = 77;
	check(commit_two(store, &a, &b, &receipt, ids) == VALORI_OK && receipt.commit == VALORI_NONE && ids[0] == 0 &&
		      ids[1] == 1 && stores_height(store) == height,
	      "a batch of repeats writes nothing, and answers the first ids; also with fresh salts");
	draft_insert(&other, 3, "a", "m");
	draft_request(&other, 5, 0);
	check(commit_two(store, &other, NULL, &receipt, ids) == VALORI_CONFLICT,
	      "a repeat with another vector is a conflict");
	draft_insert(&other, 3, NULL, "n");
	other.op.flags |= VALORI_OP_SALTED;
	draft_request(&other, 5, 1);
	check(commit_two(store, &other, NULL, &receipt, ids) == VALORI_CONFLICT, "also behind a salt");
	{
		valori_options options = VALORI_OPTIONS_INIT;
		valori *memory;

		options.dim = MODEL_DIM;
		valori_open(&options, &memory, NULL);
		commit_two(memory, &b, NULL, &receipt, ids);
		check(commit_two(memory, &b, NULL, &receipt, ids) == VALORI_OK && receipt.commit == VALORI_NONE &&
			      commit_two(memory, &other, NULL, &receipt, ids) == VALORI_CONFLICT,
		      "and where there is no log to look into");
		valori_close(memory, NULL);
	}
	draft_insert(&other, 4, "c", NULL);
	draft_request(&other, 5, 2);
	check(commit_two(store, &other, &other, &receipt, ids) == VALORI_OK && receipt.event_count == 1 &&
		      ids[0] == 2 && ids[1] == 2,
	      "a request that is repeated in its own batch is one event");
	check(commit_two(store, &a, &other, &receipt, ids) == VALORI_OK && ids[0] == 0 && ids[1] == 2,
	      "old requests keep their ids");
	draft_by_key(&b, VALORI_OP_DELETE, "c");
	draft_request(&b, 5, 3);
	commit_two(store, &b, NULL, &receipt, ids);
	check(commit_two(store, &b, NULL, &receipt, ids) == VALORI_OK && ids[0] == 2 && receipt.commit == VALORI_NONE,
	      "deleting by key twice is one deletion, though the key is gone");
	draft_by_id(&other, VALORI_OP_DELETE, 0);
	draft_request(&other, 5, 3);
	check(commit_two(store, &other, NULL, &receipt, ids) == VALORI_CONFLICT,
	      "deleting another record is a conflict");
	valori_close(store, NULL);
	store = stores_open(directory, VALORI_WRITE);
	check(valori_requests_find(store, prefix, &rows, NULL) == VALORI_OK && rows == 4,
	      "the rows of a source are known after reopening");
	valori_batch_new(MODEL_DIM, &batch, NULL);
	valori_batch_add(batch, &a.op, NULL);
	draft_insert(&other, 8, "a", "m");
	draft_request(&other, 5, 0);
	valori_batch_add(batch, &other.op, NULL);
	draft_request(&other, 6, 0);
	valori_batch_add(batch, &other.op, NULL);
	check(valori_request_check(store, batch, 0, NULL) == VALORI_OK, "a committed row is recognised");
	check(valori_request_check(store, batch, 1, NULL) == VALORI_CONFLICT, "one that was changed since is not");
	check(valori_request_check(store, batch, 2, NULL) == VALORI_NOT_FOUND, "one that never came is not known");
	valori_batch_free(batch);
	valori_close(store, NULL);
	stores_remove(directory);
}

/* ---- Views ---- */

static void test_views(void)
{
	struct model *model = model_new(), *kept[6];
	valori_view *views[6];
	uint64_t seed = 5;
	unsigned wrong = 0, differences = 0;
	char directory[256];
	valori *store;

	stores_make(directory);
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	for (unsigned i = 0; i < 6; i++) {
		wrong += commit_random(store, model, &seed, 40, 20);
		kept[i] = model_new();
		*kept[i] = *model;
		wrong += valori_view_open(store, &views[i], NULL) != VALORI_OK;
		for (unsigned j = 0; j <= i; j++)
			if (j != 2 || i < 4)
				differences += model_compare(kept[j], views[j]);
		if (i == 4)
			valori_view_close(views[2]);
	}
	wrong += commit_random(store, model, &seed, 200, 20);
	for (unsigned i = 0; i < 6; i++) {
		if (i != 2) {
			differences += model_compare(kept[i], views[i]);
			valori_view_close(views[i]);
		}
		free(kept[i]);
	}
	check_u64(wrong, 0, "views open while commits go on");
	check_u64(differences, 0, "a view never changes");
	check_u64(model_compare_store(model, store), 0, "and a new one shows the newest state");
	valori_close(store, NULL);
	stores_remove(directory);
	free(model);
}

/* ---- Many writers ---- */

enum { THREADS = 8, COMMITS = 60 };

struct writer {
	valori *store;
	unsigned number;
	unsigned wrong, refused;
	uint64_t ids[COMMITS];
	pthread_t thread;
};

static void *write_some(void *argument)
{
	struct writer *writer = argument;
	struct draft draft;
	valori_error error;
	valori_batch *batch;

	valori_batch_new(MODEL_DIM, &batch, NULL);
	for (unsigned i = 0; i < COMMITS; i++) {
		char key[MODEL_TEXT];
		valori_view *view;
		valori_record record;
		valori_code code;

		snprintf(key, sizeof(key), "%u-%u", writer->number, i);
		valori_batch_clear(batch);
		draft_insert(&draft, writer->number * 1000 + i, key, "by a thread");
		valori_batch_add(batch, &draft.op, NULL);
		if (i % 7 == 3) { /* to be refused in the midst of a group */
			draft_insert(&draft, 0, key, NULL);
			valori_batch_add(batch, &draft.op, NULL);
		}
		code = valori_commit(writer->store, batch, NULL, &writer->ids[i], &error);
		if (i % 7 == 3) {
			writer->refused += code == VALORI_DUPLICATE;
			writer->ids[i] = VALORI_NONE;
			continue;
		}
		writer->wrong += code != VALORI_OK;
		/* What was acknowledged is to be seen at once. */
		writer->wrong += valori_view_open(writer->store, &view, NULL) != VALORI_OK;
		writer->wrong += valori_record_get(view, writer->ids[i], &record, NULL) != VALORI_OK ||
				 record.key_size != strlen(key) || memcmp(record.key, key, record.key_size) != 0;
		valori_view_close(view);
	}
	valori_batch_free(batch);
	return NULL;
}

static void test_group_commit(void)
{
	struct writer writers[THREADS];
	valori_options options;
	valori_info info = {.size = sizeof(info)};
	char directory[256];
	unsigned wrong = 0, refused = 0, lost = 0;
	valori_view *view;
	valori *store;

	stores_make(directory);
	options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	options.sync = VALORI_SYNC_ALWAYS;
	options.segment_size = 64 << 10;
	valori_open(&options, &store, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){.store = store, .number = i};
		pthread_create(&writers[i].thread, NULL, write_some, &writers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(writers[i].thread, NULL);
		wrong += writers[i].wrong;
		refused += writers[i].refused;
	}
	valori_close(store, NULL);
	check_u64(wrong, 0, "eight threads commit, and each sees at once what it was told");
	check_u64(refused, THREADS * ((COMMITS + 3) / 7), "whoever is refused within a group is refused alone");
	store = stores_open(directory, VALORI_READ);
	valori_view_open(store, &view, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned j = 0; j < COMMITS; j++) {
			char key[MODEL_TEXT];
			uint64_t id;

			snprintf(key, sizeof(key), "%u-%u", i, j);
			if (writers[i].ids[j] == VALORI_NONE)
				lost += valori_record_find(view, 0, key, strlen(key), &id, NULL) != VALORI_NOT_FOUND;
			else
				lost += valori_record_find(view, 0, key, strlen(key), &id, NULL) != VALORI_OK ||
					id != writers[i].ids[j];
		}
	check_u64(lost, 0, "after reopening all that was acknowledged is there under its id, and nothing else");
	valori_get_info(store, &info, NULL);
	check(info.commits == THREADS * COMMITS - refused && info.height == info.commits,
	      "every acknowledged batch is a commit of its own");
	valori_view_close(view);
	valori_close(store, NULL);
	stores_remove(directory);
}

/* ---- Replicas ---- */

static unsigned replicate_all(const char *from, valori *to, unsigned *old, valori_code *code)
{
	valori_commit_view commit;
	valori_error error;
	valori_log *log;
	unsigned count = 0;
	int is_new;

	*code = valori_log_open(from, NULL, 0, &log, &error);
	while (*code == VALORI_OK && (*code = valori_log_next(log, &commit, &error)) == VALORI_OK) {
		*code = valori_replicate(to, log, &commit, &is_new, &error);
		if (*code == VALORI_OK) {
			count += is_new != 0;
			*old += is_new == 0;
		}
	}
	if (*code == VALORI_END)
		*code = valori_flush(to, &error);
	if (*code != VALORI_OK)
		printf("# replicate: %s\n", error.message);
	valori_log_close(log);
	return count;
}

static void test_replicas(void)
{
	struct model *model = model_new();
	uint64_t seed = 6;
	unsigned old = 0, wrong;
	char leader[256], follower[256], third[256];
	size_t size_a, size_b;
	uint8_t *a, *b;
	valori_options options;
	struct draft draft;
	valori_code code;
	valori *store, *replica;

	stores_make(leader);
	stores_make(follower);
	stores_make(third);
	store = stores_open(leader, VALORI_WRITE | VALORI_CREATE);
	wrong = commit_random(store, model, &seed, 120, 10);
	valori_flush(store, NULL);
	options = stores_options(follower, VALORI_WRITE | VALORI_CREATE);
	options.log_id = NULL;
	valori_open(&options, &replica, NULL);
	check(replicate_all(leader, replica, &old, &code) == 120 && code == VALORI_OK && old == 0 && wrong == 0,
	      "a replica takes all commits");
	check_u64(model_compare_store(model, replica), 0, "and has the same state");
	check(replicate_all(leader, replica, &old, &code) == 0 && code == VALORI_OK && old == 120,
	      "a second time it knows them all");
	wrong = commit_random(store, model, &seed, 30, 10);
	valori_flush(store, NULL);
	old = 0;
	check(replicate_all(leader, replica, &old, &code) == 30 && code == VALORI_OK && old == 120 && wrong == 0,
	      "then it takes the new ones only");
	valori_close(replica, NULL);
	a = stores_read(stores_path(leader, "events.log"), &size_a);
	b = stores_read(stores_path(follower, "events.log"), &size_b);
	check(size_a == size_b && memcmp(a, b, size_a) == 0,
	      "the replica's log is the leader's, byte for byte, log id included");
	free(a);
	free(b);
	replica = stores_open(follower, VALORI_WRITE);
	check_u64(model_compare_store(model, replica), 0, "a replica can be reopened");
	/* Both write on their own: a fork. */
	draft_insert(&draft, 1, NULL, "leader");
	stores_commit(store, &draft.op);
	draft_insert(&draft, 2, NULL, "follower");
	stores_commit(replica, &draft.op);
	valori_flush(store, NULL);
	replicate_all(leader, replica, &old, &code);
	check(code == VALORI_OTHER_LOG, "a fork is refused");
	draft_insert(&draft, 3, NULL, "more");
	stores_commit(replica, &draft.op);
	replicate_all(leader, replica, &old, &code);
	check(code == VALORI_OTHER_LOG, "also when the replica has gone further");
	valori_close(replica, NULL);
	options = stores_options(third, VALORI_WRITE | VALORI_CREATE);
	options.log_id = NULL;
	valori_open(&options, &replica, NULL);
	stores_commit(replica, &draft.op);
	replicate_all(leader, replica, &old, &code);
	check(code == VALORI_OTHER_LOG, "a store with commits of its own takes no other log");
	valori_close(replica, NULL);
	valori_close(store, NULL);
	stores_remove(leader);
	stores_remove(follower);
	stores_remove(third);
	free(model);
}

/* ---- Moments ---- */

static valori_code open_at(const char *directory, const valori_when *at, valori **out)
{
	valori_options options = stores_options(directory, VALORI_READ);

	options.at = *at;
	return valori_open(&options, out, NULL);
}

static void test_moments(void)
{
	valori_hash roots[10];
	char directory[256];
	valori_log *log;
	uint64_t commit;
	unsigned wrong = 0;
	valori_when when = {0};
	valori *store;

	stores_make(directory);
	{
		valori_info info = {.size = sizeof(info)};
		valori_options options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
		struct draft draft;

		for (options.time_ms = 2000; options.time_ms >= 1000; options.time_ms -= 1000) {
			valori_open(&options, &store, NULL);
			draft_insert(&draft, 1, NULL, NULL);
			stores_commit(store, &draft.op);
			valori_get_info(store, &info, NULL);
			valori_close(store, NULL);
		}
		check_u64(info.time_ms, 2000, "time never goes back, though the clock may");
		stores_remove(directory);
		stores_make(directory);
	}
	for (unsigned i = 0; i < 10; i++) { /* commits of two events each, at 1000, 1010, ... ms */
		valori_options options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
		struct draft draft;
		valori_batch *batch;

		options.time_ms = 1000 + 10 * i;
		valori_open(&options, &store, NULL);
		valori_batch_new(MODEL_DIM, &batch, NULL);
		for (unsigned j = 0; j < 2; j++) {
			draft_insert(&draft, 2 * i + j, NULL, NULL);
			valori_batch_add(batch, &draft.op, NULL);
		}
		valori_commit(store, batch, NULL, NULL, NULL);
		roots[i] = stores_root(store);
		valori_batch_free(batch);
		valori_close(store, NULL);
	}
	for (unsigned i = 0; i < 10; i++) {
		valori_hash root;

		for (unsigned kind = 1; kind < 6; kind++) {
			when = (valori_when){.kind = kind < 4 ? kind : 5 - kind + VALORI_WHEN_HEIGHT, .root = roots[i]};
			if (kind == 4)
				when = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = 2 * i + 1};
			else if (kind == 5)
				when = (valori_when){.kind = VALORI_WHEN_TIME, .value = 1009 + 10 * i};
			else if (kind == VALORI_WHEN_HEIGHT)
				when.value = 2 * i + 2;
			else if (kind == VALORI_WHEN_TIME)
				when.value = 1000 + 10 * i;
			if (open_at(directory, &when, &store) != VALORI_OK) {
				wrong++;
				continue;
			}
			root = stores_root(store);
			wrong += !stores_same(&root, &roots[i]) || stores_height(store) != 2 * i + 2;
			valori_close(store, NULL);
			valori_log_open(directory, NULL, 0, &log, NULL);
			wrong += valori_log_find(log, &when, &commit, NULL) != VALORI_OK || commit != i;
			valori_log_close(log);
		}
	}
	check_u64(wrong, 0, "a moment is a height, also inside a commit, a root or a time, also between commits");
	when = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = 0};
	check(open_at(directory, &when, &store) == VALORI_OK && stores_height(store) == 0,
	      "height 0 is the empty store");
	valori_close(store, NULL);
	when = (valori_when){.kind = VALORI_WHEN_TIME, .value = 999};
	check(open_at(directory, &when, &store) == VALORI_OK && stores_height(store) == 0,
	      "so is the time before the first commit");
	valori_close(store, NULL);
	when = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = 21};
	check(open_at(directory, &when, &store) == VALORI_NOT_FOUND, "a height that is not reached is not found");
	valori_log_open(directory, NULL, 0, &log, NULL);
	check(valori_log_find(log, &when, &commit, NULL) == VALORI_NOT_FOUND, "in the log neither");
	valori_log_close(log);
	when = (valori_when){.kind = VALORI_WHEN_ROOT};
	check(open_at(directory, &when, &store) == VALORI_NOT_FOUND, "nor is a root that never was");
	stores_remove(directory);
}

/* ---- Failing disks ---- */

struct disk { /* the real machine, whose writes and syncs can fail */
	struct vl_os os;
	_Atomic unsigned syncs, writes;
	int fail_sync, fail_write;			/* errno, for all calls from now on; 0: none */
	_Atomic bool is_held, is_waiting, was_released; /* syncs wait while held, half a minute at most */
	_Atomic uint64_t now_ms;			/* its clock, which stands still */
};

enum { PATIENCE = 30000 }; /* milliseconds */

static int disk_sync(void *context, int fd)
{
	struct disk *disk = context;

	disk->syncs++;
	for (unsigned i = 0; i < PATIENCE && disk->is_held; i++) {
		disk->is_waiting = true;
		usleep(1000);
	}
	disk->was_released = !disk->is_held;
	return disk->fail_sync != 0 ? -disk->fail_sync : vl_os_real.sync(vl_os_real.context, fd);
}

static int64_t disk_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	struct disk *disk = context;

	disk->writes++;
	if (disk->fail_write != 0 && size > 64) { /* a part gets there, as on a real disk that fills up */
		vl_os_real.pwrite(vl_os_real.context, fd, data, 40, offset);
		return -disk->fail_write;
	}
	return vl_os_real.pwrite(vl_os_real.context, fd, data, size, offset);
}

static uint64_t disk_monotonic_ms(void *context)
{
	return ((struct disk *)context)->now_ms;
}

static void disk_init(struct disk *disk)
{
	memset(disk, 0, sizeof(*disk));
	disk->os = vl_os_real;
	disk->os.context = disk;
	disk->os.sync = disk_sync;
	disk->os.pwrite = disk_pwrite;
	disk->os.monotonic_ms = disk_monotonic_ms;
	disk->now_ms = vl_os_real.monotonic_ms(vl_os_real.context);
}

/* Several batches of one caller: one sync, and a refusal ends it. */
static void test_commit_many(void)
{
	valori_batch *batches[4];
	valori_receipt receipts[4];
	uint64_t ids[4][1], *places[4] = {ids[0], ids[1], NULL, ids[3]};
	valori_options options;
	valori_error error;
	struct draft draft;
	struct disk disk;
	char directory[256], key[MODEL_TEXT];
	unsigned syncs;
	size_t done = 77;
	valori *store;

	stores_make(directory);
	disk_init(&disk);
	options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	options.sync = VALORI_SYNC_ALWAYS;
	vl_engine_open(&options, &disk.os, vl_host_env(), &store, NULL);
	valori_flush(store, NULL);
	for (unsigned i = 0; i < 4; i++) {
		valori_batch_new(MODEL_DIM, &batches[i], NULL);
		snprintf(key, sizeof(key), "%u", i);
		draft_insert(&draft, i, key, NULL);
		valori_batch_add(batches[i], &draft.op, NULL);
	}
	syncs = disk.syncs;
	check(valori_commit_many(store, batches, 4, receipts, places, &done, &error) == VALORI_OK && done == 4 &&
		      receipts[3].commit == 3 && receipts[3].first_event == 3 && ids[3][0] == 3,
	      "several batches are as many commits");
	check_u64(disk.syncs - syncs, 1, "with one sync");
	valori_batch_clear(batches[0]);
	draft_insert(&draft, 9, "new", NULL);
	valori_batch_add(batches[0], &draft.op, NULL);
	check(valori_commit_many(store, batches, 4, receipts, NULL, &done, &error) == VALORI_DUPLICATE && done == 1 &&
		      error.event == 0 && stores_height(store) == 5,
	      "the first that is refused ends it, and those before it count");
	valori_batch_clear(batches[0]);
	draft_insert(&draft, 9, "one", NULL);
	valori_batch_add(batches[0], &draft.op, NULL);
	valori_batch_clear(batches[2]);
	draft_insert(&draft, 9, "three", NULL);
	valori_batch_add(batches[2], &draft.op, NULL);
	check(valori_commit_many(store, batches, 3, receipts, NULL, &done, &error) == VALORI_DUPLICATE && done == 1 &&
		      stores_height(store) == 6,
	      "what comes after it is not tried");
	check(valori_commit_many(store, batches, 0, NULL, NULL, &done, &error) == VALORI_OK && done == 0,
	      "none is nothing");
	valori_batch_clear(batches[1]);
	draft_insert(&draft, 9, "newer", NULL);
	valori_batch_add(batches[1], &draft.op, NULL);
	disk.fail_sync = EIO;
	check(valori_commit_many(store, batches + 1, 1, NULL, NULL, &done, &error) == VALORI_IO && done == 0 &&
		      stores_height(store) == 6,
	      "when the sync fails none is committed");
	for (unsigned i = 0; i < 4; i++)
		valori_batch_free(batches[i]);
	valori_close(store, NULL);
	stores_remove(directory);
}

static void test_failing_disk(void)
{
	struct memory memory;
	struct disk disk;
	struct draft draft;
	char directory[256];
	valori_options options;
	valori_hash root, now;
	valori_batch *batch;
	valori_view *before, *after;
	valori_error error;
	valori_record record;
	valori *store;

	stores_make(directory);
	disk_init(&disk);
	memory_init(&memory, vl_cpu_kernels(NULL));
	options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	options.sync = VALORI_SYNC_ALWAYS;
	vl_engine_open(&options, &disk.os, &memory.env, &store, &error);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 1, "first", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	disk.syncs = 0;
	valori_commit(store, batch, NULL, NULL, NULL);
	check(disk.syncs >= 1, "a commit is synced before it is acknowledged");
	root = stores_root(store);
	valori_view_open(store, &before, NULL);

	valori_batch_clear(batch);
	draft_insert(&draft, 2, "second", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	disk.fail_write = ENOSPC;
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_IO && error.system_errno == ENOSPC,
	      "a full disk is an error");
	now = stores_root(store);
	check(stores_same(&root, &now), "nothing of it is to be seen");
	disk.fail_write = 0;
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_OK,
	      "when there is space again, writing goes on");
	root = stores_root(store);

	valori_batch_clear(batch);
	draft_insert(&draft, 3, "third", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	disk.fail_sync = EIO;
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_IO && error.system_errno == EIO,
	      "a failed sync is an error");
	disk.fail_sync = 0;
	now = stores_root(store);
	valori_view_open(store, &after, NULL);
	check(stores_same(&root, &now) && valori_record_get(after, 2, &record, NULL) == VALORI_NOT_FOUND &&
		      valori_record_get(after, 1, &record, NULL) == VALORI_OK,
	      "what could not be synced is never to be seen");
	check(valori_record_get(before, 1, &record, NULL) == VALORI_NOT_FOUND &&
		      valori_record_get(before, 0, &record, NULL) == VALORI_OK,
	      "and views from before still show their moment");
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_POISONED,
	      "after that the store is poisoned, for the sync may not be tried again");
	valori_view_close(before);
	valori_view_close(after);
	check(valori_close(store, &error) != VALORI_OK, "closing says that not all went well");
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back");
	store = stores_open(directory, VALORI_WRITE);
	check(store != NULL && (stores_height(store) == 2 || stores_height(store) == 3),
	      "reopened, it has what was acknowledged");
	valori_batch_clear(batch);
	draft_insert(&draft, 4, "fourth", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, NULL, NULL, NULL) == VALORI_OK, "and goes on");
	valori_close(store, NULL);
	valori_batch_free(batch);
	stores_remove(directory);
}

static void *commit_one(void *argument)
{
	struct draft draft;

	draft_insert(&draft, 2, "held", NULL);
	stores_commit(argument, &draft.op);
	return NULL;
}

static void *commit_refused(void *argument)
{
	valori_batch *batch;
	valori_error error;
	struct draft draft;

	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 8, "refused", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(argument, batch, NULL, NULL, &error) == VALORI_IO && error.system_errno == ENOSPC,
	      "a full disk is an error beside a flush as well");
	valori_batch_free(batch);
	return NULL;
}

/* While the disk takes its time, readers get what was published before. */
static void test_slow_disk(void)
{
	struct disk disk;
	struct draft draft;
	char directory[256];
	valori_options options;
	valori_record record;
	valori_view *view;
	pthread_t thread;
	valori *store;

	stores_make(directory);
	disk_init(&disk);
	options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	options.sync = VALORI_SYNC_ALWAYS;
	vl_engine_open(&options, &disk.os, vl_host_env(), &store, NULL);
	valori_view_open(store, &view, NULL);
	valori_view_close(view);
	draft_insert(&draft, 1, "first", NULL);
	stores_commit(store, &draft.op);
	disk.is_held = true;
	pthread_create(&thread, NULL, commit_one, store);
	for (unsigned i = 0; i < PATIENCE && !disk.is_waiting; i++)
		usleep(1000);
	valori_view_open(store, &view, NULL);
	check(valori_record_get(view, 0, &record, NULL) == VALORI_OK &&
		      valori_record_get(view, 1, &record, NULL) == VALORI_NOT_FOUND && stores_height(store) == 1,
	      "while a sync runs, readers see what was published before it");
	valori_view_close(view);
	disk.is_held = false;
	pthread_join(thread, NULL);
	check(disk.is_waiting && disk.was_released, "and do not wait for it");
	check_u64(stores_height(store), 2, "then it is published");
	valori_close(store, NULL);
	stores_remove(directory);
}

struct flush {
	valori *store;
	pthread_t thread;
	valori_code code;
};

static void *flush_one(void *argument)
{
	struct flush *flush = argument;

	flush->code = valori_flush(flush->store, NULL);
	return NULL;
}

/* A flush that waits for the disk. */
static void flush_begin(struct flush *flush, valori *store, struct disk *disk)
{
	flush->store = store;
	disk->is_waiting = false;
	disk->is_held = true;
	pthread_create(&flush->thread, NULL, flush_one, flush);
	for (unsigned i = 0; i < PATIENCE && !disk->is_waiting; i++)
		usleep(1000);
}

static valori_code flush_end(struct flush *flush, struct disk *disk)
{
	disk->is_held = false;
	pthread_join(flush->thread, NULL);
	return flush->code;
}

static uint64_t acknowledged(const char *directory)
{
	valori *store = stores_open(directory, VALORI_READ);
	uint64_t height = store != NULL ? stores_height(store) : VALORI_NONE;

	valori_close(store, NULL);
	return height;
}

/* One with a commit that is not synced; its segments are as small as can be. */
static valori *open_unsynced(const char *directory, struct disk *disk)
{
	valori_options options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	struct draft draft;
	valori *store;

	disk_init(disk);
	options.sync = VALORI_SYNC_NONE;
	options.segment_size = VL_SEGMENT_SIZE_MIN;
	vl_engine_open(&options, &disk->os, vl_host_env(), &store, NULL);
	draft_insert(&draft, 1, "first", NULL);
	stores_commit(store, &draft.op);
	return store;
}

/* While a flush waits for the disk, commits go on; what it says holds for those before it. */
static void test_commits_beside_flush(void)
{
	static char large[VL_SEGMENT_SIZE_MIN];
	struct disk disk;
	struct flush flush;
	struct draft draft;
	char directory[256];
	pthread_t thread;
	valori_batch *batch;
	valori_error error;
	valori *store;
	unsigned syncs;

	stores_make(directory);
	store = open_unsynced(directory, &disk);
	draft_insert(&draft, 3, "third", NULL);
	flush_begin(&flush, store, &disk);
	check(stores_commit(store, &draft.op) == 1 && disk.is_held && disk.is_waiting,
	      "while a flush waits for the disk, others commit");
	check(flush_end(&flush, &disk) == VALORI_OK && disk.was_released, "and the flush does not wait for them");
	check(acknowledged(directory) == 1 && stores_height(store) == 2, "what came after it is not acknowledged");
	syncs = disk.syncs;
	check(valori_flush(store, NULL) == VALORI_OK && disk.syncs == syncs + 1 && acknowledged(directory) == 2,
	      "but by the next flush");
	check(valori_flush(store, NULL) == VALORI_OK && disk.syncs == syncs + 1,
	      "one that has nothing to do syncs nothing");

	/* What takes the file for itself waits: a rotation, and cutting off what could not be written. */
	memset(large, 'x', sizeof(large));
	draft_insert(&draft, 4, "large", NULL);
	draft.op.metadata = (const uint8_t *)large;
	draft.op.metadata_size = sizeof(large);
	stores_commit(store, &draft.op);
	flush_begin(&flush, store, &disk);
	syncs = disk.syncs;
	pthread_create(&thread, NULL, commit_one, store);
	usleep(20000);
	check(disk.syncs == syncs, "a rotation waits for the flush");
	check(flush_end(&flush, &disk) == VALORI_OK && disk.was_released, "which goes on without it");
	pthread_join(thread, NULL);
	check(stores_height(store) == 4 && valori_flush(store, NULL) == VALORI_OK && acknowledged(directory) == 4,
	      "then there is a new segment, and flushes are of that");
	draft_insert(&draft, 5, "fifth", NULL);
	stores_commit(store, &draft.op);
	flush_begin(&flush, store, &disk);
	disk.fail_write = ENOSPC;
	syncs = disk.syncs;
	pthread_create(&thread, NULL, commit_refused, store);
	usleep(20000);
	check(disk.syncs == syncs, "a commit that finds the disk full waits, too");
	disk.is_held = false;
	pthread_join(thread, NULL);
	disk.fail_write = 0;
	(void)flush_end(&flush, &disk);
	valori_close(store, NULL);
	stores_remove(directory);

	stores_make(directory);
	store = open_unsynced(directory, &disk);
	flush_begin(&flush, store, &disk);
	draft_insert(&draft, 6, "sixth", NULL);
	stores_commit(store, &draft.op);
	disk.fail_sync = EIO;
	check(flush_end(&flush, &disk) == VALORI_IO, "a flush whose sync fails says so");
	disk.fail_sync = 0;
	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 7, "seventh", NULL);
	valori_batch_add(batch, &draft.op, NULL);
	check(valori_commit(store, batch, NULL, NULL, &error) == VALORI_POISONED &&
		      valori_flush(store, NULL) == VALORI_POISONED && acknowledged(directory) == 0,
	      "and after it nothing is written or acknowledged");
	check(valori_close(store, NULL) != VALORI_OK, "closing says that not all went well");
	valori_batch_free(batch);
	stores_remove(directory);
}

/* A search that finds what is there, or says that memory is out. */
static bool is_search_right(const valori_view *view, uint64_t records)
{
	int32_t query[MODEL_DIM] = {0};
	valori_search_options options = VALORI_SEARCH_INIT;
	valori_hit hits[200];
	size_t count;
	valori_error error;
	valori_code code;

	options.k = 200;
	code = valori_search(view, query, 1, &options, hits, &count, &error);
	return code == VALORI_NO_MEMORY || (code == VALORI_OK && count == records);
}

/* Every allocation of a life fails once; is_once: and those after it do not. */
static void test_failing_memory(bool is_once)
{
	struct memory memory;
	unsigned wrong = 0, leaks = 0, successes = 0;
	uint64_t fail_at;

	for (fail_at = 1; fail_at < 2000 && successes < 2; fail_at++) {
		char directory[256];
		valori_options options;
		valori_batch *batch;
		valori_view *view = NULL;
		valori_error error;
		uint64_t acknowledged = 0;
		valori *store = NULL;
		valori_code code;

		stores_make(directory);
		memory_init(&memory, vl_cpu_kernels(NULL));
		memory.fail_at = fail_at;
		memory.is_once = is_once;
		options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
		valori_batch_new(MODEL_DIM, &batch, NULL);
		code = vl_engine_open(&options, &vl_os_real, &memory.env, &store, &error);
		wrong += (code == VALORI_OK) != (store != NULL);
		for (unsigned i = 0; i < 3 && store != NULL; i++) {
			valori_batch_clear(batch);
			for (unsigned j = 0; j < 40; j++) {
				struct draft draft;
				char key[MODEL_TEXT];

				snprintf(key, sizeof(key), "%u-%u", i, j);
				draft_insert(&draft, i * 100 + j, key, "metadata");
				draft_request(&draft, 1, i * 100 + j);
				valori_batch_add(batch, &draft.op, NULL);
			}
			code = valori_commit(store, batch, NULL, NULL, &error);
			wrong += code != VALORI_OK && code != VALORI_NO_MEMORY && code != VALORI_POISONED;
			acknowledged += code == VALORI_OK ? 40 : 0;
			if (valori_view_open(store, &view, NULL) == VALORI_OK) {
				wrong += !is_search_right(view, acknowledged);
				valori_view_close(view);
			}
			wrong += stores_height(store) != acknowledged;
		}
		successes += acknowledged == 120 && memory.calls < fail_at;
		valori_close(store, NULL);
		leaks += memory.blocks != 0 || memory.wrong != 0;
		if (acknowledged > 0) {
			store = stores_open(directory, VALORI_READ);
			wrong += store == NULL || stores_height(store) != acknowledged;
			valori_close(store, NULL);
		}
		valori_batch_free(batch);
		stores_remove(directory);
	}
	check_u64(wrong, 0, "when memory is out, what was acknowledged is there, and nothing else");
	check_u64(leaks, 0, "and all memory is given back");
	check(successes == 2 && fail_at > 20, "every allocation has failed once");
}

/* ---- Opening ---- */

static void test_opening(void)
{
	struct draft draft;
	char directory[256];
	valori_options options;
	valori_error error;
	valori_info info = {.size = sizeof(info)};
	valori_hash root, now;
	uint8_t *bytes;
	size_t size;
	valori *store, *second;

	stores_make(directory);
	options = stores_options(directory, VALORI_READ);
	check(valori_open(&options, &store, &error) == VALORI_NOT_FOUND && store == NULL,
	      "there is no store in an empty directory");
	options.flags = VALORI_WRITE;
	check(valori_open(&options, &store, &error) == VALORI_NOT_FOUND &&
		      !stores_exists(stores_path(directory, "events.lock")),
	      "and nothing is left there by asking");
	options.flags = VALORI_WRITE | VALORI_CREATE;
	options.dim = 0;
	check(valori_open(&options, &store, &error) == VALORI_INVALID, "a new store needs a dimension");
	options.flags = VALORI_WRITE | VALORI_REHEARSE;
	check(valori_open(&options, &store, &error) == VALORI_INVALID, "one cannot write and rehearse");
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	valori_close(store, NULL);
	store = stores_open(directory, VALORI_WRITE);
	check(store != NULL && stores_height(store) == 0, "an empty store exists once it is closed");
	options = stores_options(directory, VALORI_WRITE);
	check(valori_open(&options, &second, &error) == VALORI_LOCKED && strstr(error.message, "pid") != NULL,
	      "a second writer is told who holds the lock");
	draft_insert(&draft, 1, "k", NULL);
	stores_commit(store, &draft.op);
	valori_flush(store, NULL);
	second = stores_open(directory, VALORI_READ);
	check(second != NULL && stores_height(second) == 1, "readers come in beside the writer");
	valori_close(second, NULL);
	second = stores_open(directory, VALORI_REHEARSE);
	draft_insert(&draft, 2, "r", NULL);
	check(stores_commit(second, &draft.op) == 1 && stores_height(second) == 2, "a rehearsal commits in memory");
	valori_close(second, NULL);
	check_u64(stores_height(store), 1, "and nowhere else");
	root = stores_root(store);
	valori_close(store, NULL);
	options = stores_options(directory, VALORI_READ);
	options.dim = MODEL_DIM + 1;
	check(valori_open(&options, &store, &error) == VALORI_DIMENSION, "a store of another dimension is not opened");
	options = stores_options(directory, VALORI_READ | VALORI_NO_VECTORS);
	valori_open(&options, &store, &error);
	now = stores_root(store);
	check(stores_same(&root, &now), "without vectors the root is the same");
	valori_close(store, NULL);

	bytes = stores_read(stores_path(directory, "events.log"), &size);
	memset(bytes + size, 1, 1);
	stores_write(stores_path(directory, "events.log"), bytes, size + 1);
	store = stores_open(directory, VALORI_WRITE);
	valori_get_info(store, &info, NULL);
	check(info.height == 1 && info.torn_size == 1, "a torn tail is told of, and cut off");
	valori_close(store, NULL);
	bytes[4096 + 70] ^= 1;
	stores_write(stores_path(directory, "events.log"), bytes, size);
	options = stores_options(directory, VALORI_READ);
	check(valori_open(&options, &store, &error) == VALORI_DAMAGED && error.event == 0 && error.offset == 4096,
	      "a flipped bit is damage, with its place");
	free(bytes);
	stores_remove(directory);
}

/* An acknowledged log whose last commit is rewritten with right checksums. */
static void test_rewritten(void)
{
	const struct vl_kernels *kernels = vl_cpu_kernels(NULL);
	struct vl_position position;
	struct vl_commit commit;
	struct draft draft;
	char directory[256];
	valori_options options;
	valori_error error;
	uint8_t *bytes;
	size_t size;
	valori *store;
	uint64_t time_ms;

	stores_make(directory);
	store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	draft_insert(&draft, 1, "k", "the truth");
	stores_commit(store, &draft.op);
	valori_close(store, NULL);
	bytes = stores_read(stores_path(directory, "events.log"), &size);
	vl_segment_header_decode(bytes, "events.log", kernels, &position, NULL);
	vl_commit_decode(bytes + 4096, size - 4096, &position, kernels, &commit, NULL);
	for (size_t i = 4096; i + 9 < size; i++)
		if (memcmp(bytes + i, "the truth", 9) == 0)
			memcpy(bytes + i, "a big lie", 9);
	time_ms = commit.time_ms;
	vl_commit_finish(bytes + 4096, commit.size, &position, time_ms, commit.event_count, commit.request_count,
			 kernels);
	stores_write(stores_path(directory, "events.log"), bytes, size);
	free(bytes);
	options = stores_options(directory, VALORI_READ);
	check(valori_open(&options, &store, &error) == VALORI_DAMAGED && error.offset == 4096 &&
		      strstr(error.message, "rewritten") != NULL,
	      "a commit that was rewritten with right checksums is not believed");
	printf("# %s\n", error.message);
	stores_remove(directory);
}

/* Syncs that come by themselves. */
static void test_sync_batch(void)
{
	struct disk disk;
	struct draft draft;
	struct vl_head head;
	valori_options options;
	valori_batch *batch;
	char directory[256];
	valori *store;
	unsigned syncs;

	stores_make(directory);
	disk_init(&disk);
	options = stores_options(directory, VALORI_WRITE | VALORI_CREATE);
	options.sync = VALORI_SYNC_BATCH;
	options.sync_commits = 4;
	options.sync_ms = 50;
	vl_engine_open(&options, &disk.os, vl_host_env(), &store, NULL);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 1, NULL, NULL);
	valori_batch_add(batch, &draft.op, NULL);
	valori_commit(store, batch, NULL, NULL, NULL); /* makes the log, which takes syncs of its own */
	valori_flush(store, NULL);
	syncs = disk.syncs;
	for (unsigned i = 0; i < 3; i++)
		valori_commit(store, batch, NULL, NULL, NULL);
	check(disk.syncs == syncs, "three commits wait for the fourth");
	valori_commit(store, batch, NULL, NULL, NULL);
	check(disk.syncs > syncs, "which brings the sync");
	syncs = disk.syncs;
	valori_commit(store, batch, NULL, NULL, NULL);
	usleep(100000);
	check(disk.syncs == syncs, "the next one waits");
	disk.now_ms += options.sync_ms;
	for (unsigned i = 0; i < PATIENCE && disk.syncs == syncs; i++)
		usleep(1000);
	check(disk.syncs > syncs, "until its time has come");
	valori_close(store, NULL);
	check(vl_head_read(&vl_os_real, vl_cpu_kernels(NULL), stores_path(directory, "events.head"), &head, NULL) ==
			      VALORI_OK &&
		      head.commits == 6,
	      "and closing syncs the rest");
	valori_batch_free(batch);
	stores_remove(directory);
}

int main(void)
{
	test_three_times_round();
	test_batching();
	test_refusals();
	test_references();
	test_requests();
	test_views();
	test_group_commit();
	test_replicas();
	test_moments();
	test_commit_many();
	test_failing_disk();
	test_slow_disk();
	test_commits_beside_flush();
	test_failing_memory(false);
	test_failing_memory(true);
	test_opening();
	test_rewritten();
	test_sync_batch();
	return check_done();
}
