/* test_replay.c - event logs as streams, and searching: the public calls from end to end. */
#include <fcntl.h>
#include <unistd.h>

#include "check.h"
#include "log.h"
#include "stores.h"

/* A store with every kind of event, in three commits. */
static void fill(const char *directory)
{
	valori *store = stores_open(directory, VALORI_WRITE | VALORI_CREATE);
	struct draft draft;
	valori_batch *batch;
	valori_op op;

	valori_batch_new(MODEL_DIM, &batch, NULL);
	draft_insert(&draft, 1, "key", "metadata");
	draft_request(&draft, 9, 0);
	valori_batch_add(batch, &draft.op, NULL);
	draft_insert(&draft, 2, NULL, NULL);
	draft.op.flags |= VALORI_OP_SALTED;
	valori_batch_add(batch, &draft.op, NULL);
	draft_insert(&draft, 3, NULL, "");
	draft_request(&draft, 9, 2);
	valori_batch_add(batch, &draft.op, NULL);
	valori_commit(store, batch, NULL, NULL, NULL);
	valori_batch_clear(batch);
	draft_by_id(&draft, VALORI_OP_SOFT_DELETE, 1);
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_id(&draft, VALORI_OP_DELETE, 1);
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_key(&draft, VALORI_OP_SET_METADATA, "key");
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_key(&draft, VALORI_OP_SET_TAG, "key");
	draft.op.tag = UINT64_MAX;
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_id(&draft, VALORI_OP_NODE_CREATE, 0);
	draft.op.object_kind = 3;
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_id(&draft, VALORI_OP_NODE_CREATE, VALORI_NONE);
	valori_batch_add(batch, &draft.op, NULL);
	draft_by_id(&draft, VALORI_OP_NODE_SET_RECORD, 1);
	draft.op.target = (valori_ref){.kind = VALORI_REF_ID, .id = 2};
	valori_batch_add(batch, &draft.op, NULL);
	op = (valori_op){.kind = VALORI_OP_EDGE_CREATE,
			 .object_kind = 255,
			 .from = {.kind = VALORI_REF_ID, .id = 0},
			 .to = {.kind = VALORI_REF_ID, .id = 1}};
	valori_batch_add(batch, &op, NULL);
	op = (valori_op){.kind = VALORI_OP_EDGE_DELETE, .from = {.kind = VALORI_REF_ID, .id = 0}};
	valori_batch_add(batch, &op, NULL);
	op.kind = VALORI_OP_NODE_DELETE;
	valori_batch_add(batch, &op, NULL);
	valori_commit(store, batch, NULL, NULL, NULL);
	valori_batch_clear(batch);
	op = (valori_op){.kind = VALORI_OP_META_SET,
			 .key = "mk",
			 .key_size = 2,
			 .metadata = (const uint8_t *)"value",
			 .metadata_size = 5};
	valori_batch_add(batch, &op, NULL);
	op = (valori_op){.kind = VALORI_OP_META_DELETE, .key = "mk", .key_size = 2};
	valori_batch_add(batch, &op, NULL);
	op = (valori_op){.kind = VALORI_OP_COLLECTION_CREATE, .key = "other", .key_size = 5};
	valori_batch_add(batch, &op, NULL);
	op = (valori_op){.kind = VALORI_OP_COLLECTION_DROP, .collection = 1};
	valori_batch_add(batch, &op, NULL);
	op = (valori_op){.kind = VALORI_OP_CONFIG, .tag = 1, .target = {.id = 2}};
	valori_batch_add(batch, &op, NULL);
	check(valori_commit(store, batch, NULL, NULL, NULL) == VALORI_OK, "every kind of operation is taken");
	valori_batch_free(batch);
	valori_close(store, NULL);
}

static void test_events(const char *directory)
{
	static const uint32_t types[] = {VALORI_EVENT_INSERT,          VALORI_EVENT_INSERT,
					 VALORI_EVENT_INSERT,          VALORI_EVENT_SOFT_DELETE,
					 VALORI_EVENT_DELETE,          VALORI_EVENT_SET_METADATA,
					 VALORI_EVENT_SET_TAG,         VALORI_EVENT_NODE_CREATE,
					 VALORI_EVENT_NODE_CREATE,     VALORI_EVENT_NODE_SET_RECORD,
					 VALORI_EVENT_EDGE_CREATE,     VALORI_EVENT_EDGE_DELETE,
					 VALORI_EVENT_NODE_DELETE,     VALORI_EVENT_META_SET,
					 VALORI_EVENT_META_DELETE,     VALORI_EVENT_COLLECTION_CREATE,
					 VALORI_EVENT_COLLECTION_DROP, VALORI_EVENT_CONFIG};
	valori_event event, events[18] = {{0}};
	valori_commit_view commit;
	valori_error error;
	unsigned wrong = 0, count = 0;
	valori_log *log;

	check(valori_log_open(directory, NULL, 0, &log, &error) == VALORI_OK, "a log is opened by its directory");
	while (valori_log_next(log, &commit, &error) == VALORI_OK)
		for (uint32_t i = 0; i < commit.event_count && count < 18; i++, count++) {
			wrong += valori_log_event(log, i, &event, &error) != VALORI_OK || event.type != types[count] ||
				 event.number != count;
			events[count] = event;
			events[count].key = events[count].key != NULL ? "set" : NULL; /* borrowed with the commit */
			events[count].metadata = event.metadata != NULL ? (const uint8_t *)"set" : NULL;
			if (count == 0)
				wrong += event.key_size != 3 || memcmp(event.key, "key", 3) != 0 ||
					 event.request == NULL || event.request[0] != 9 || event.vector == NULL ||
					 event.salt != NULL;
			if (count == 1)
				wrong += event.salt == NULL || !event.salted || event.key != NULL ||
					 event.metadata != NULL || event.request != NULL;
			if (count == 2)
				wrong += event.metadata == NULL || event.metadata_size != 0 || event.request == NULL ||
					 event.request[8] != 2;
		}
	check(wrong == 0 && count == 18, "events come in order, with their numbers, content and requests");
	check(events[5].metadata == NULL && events[6].tag == UINT64_MAX && events[7].record == 0 &&
		      events[7].kind == 3 && events[8].record == VALORI_NONE && events[9].id == 1 &&
		      events[9].record == 2,
	      "records, tags and nodes are as committed");
	check(events[10].from == 0 && events[10].to == 1 && events[10].kind == 255 && events[13].metadata != NULL &&
		      events[13].key != NULL && events[14].key == NULL && events[15].id == 1 &&
		      events[17].parameter == 1 && events[17].value == 2 && events[17].tag == 0,
	      "so are edges, meta values, collections and parameters");
	valori_log_close(log);
	valori_log_open(directory, NULL, 0, &log, &error);
	check(valori_log_seek(log, 5, NULL) == VALORI_OK && valori_log_next(log, &commit, NULL) == VALORI_OK &&
		      commit.number == 1,
	      "seeking an event gives the commit that contains it");
	check(valori_log_event(log, 4, &event, NULL) == VALORI_OK && event.number == 7 &&
		      valori_log_event(log, 1, &event, NULL) == VALORI_OK && event.number == 4,
	      "events can be asked for in any order");
	check(valori_log_event(log, 10, &event, NULL) == VALORI_INVALID, "but not behind the last");
	valori_log_close(log);
	check(valori_log_open(stores_path(directory, "nothing"), NULL, 0, &log, &error) == VALORI_NOT_FOUND &&
		      log == NULL,
	      "what is not there is not found");
}

/* The log from its second commit on, as a stream: header, commits; read from a descriptor. */
static void test_stream(const char *directory)
{
	valori_commit_view commit;
	valori_log_info info = {.size = sizeof(info)};
	valori_error error;
	valori_log *log;
	uint8_t header[4096], empty[4096], *stream = NULL;
	size_t size = 0;
	valori_hash tree, first_root;
	char path[256];
	unsigned commits = 0;
	int fd;

	memset(&tree, 0, sizeof(tree));
	memset(&first_root, 0, sizeof(first_root));
	stores_make(path);
	valori_log_open(directory, NULL, 0, &log, &error);
	check(valori_log_header(log, empty, NULL) == VALORI_OK,
	      "before the first commit there is the header of an empty stream");
	while (valori_log_next(log, &commit, NULL) == VALORI_OK) {
		if (commit.number == 0) {
			first_root = commit.state_root;
			valori_log_header(log, header, NULL);
			check_bytes(empty, header, sizeof(header), "which is that of the stream that begins there");
		}
		if (commit.number == 1) {
			valori_log_header(log, header, NULL);
			stream = realloc(stream, size + 4096);
			memcpy(stream + size, header, 4096);
			size += 4096;
		}
		if (commit.number >= 1) {
			stream = realloc(stream, size + (size_t)commit.size);
			memcpy(stream + size, commit.bytes, (size_t)commit.size);
			size += (size_t)commit.size;
		}
		tree = commit.tree_root;
	}
	valori_log_close(log);
	stores_write(stores_path(path, "stream"), stream, size);
	fd = open(stores_path(path, "stream"), O_RDONLY);
	check(valori_log_open_fd(fd, "stream", &log, &error) == VALORI_OK &&
		      valori_log_get_info(log, &info, NULL) == VALORI_OK && info.base_event == 3 &&
		      info.base_commit == 1 && info.dim == MODEL_DIM && stores_same(&info.base_root, &first_root),
	      "a stream begins where its header says");
	while (valori_log_next(log, &commit, &error) == VALORI_OK)
		commits++;
	check(commits == 2 && stores_same(&commit.tree_root, &tree), "its commits lead to the same tree root");
	valori_log_close(log);
	close(fd);
	free(stream);
	stores_remove(path);
}

/* ---- Searching ---- */

enum { ROWS = 9000, QUERIES = 5, K = 7 };

static uint64_t distance(const int32_t *a, const int32_t *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < MODEL_DIM; i++) {
		int64_t d = (int64_t)a[i] - b[i];

		sum += (uint64_t)(d * d);
	}
	return sum;
}

/* The k nearest by looking at all, the plainest way. */
static size_t nearest(const struct draft *drafts, const bool *is_live, const int32_t *query, bool has_tag, uint64_t tag,
		      valori_hit *out)
{
	size_t count = 0;

	for (uint64_t id = 0; id < ROWS; id++) {
		valori_hit hit = {id, distance(drafts[id].vector, query)};
		size_t at;

		if (!is_live[id] || (has_tag && drafts[id].op.tag != tag))
			continue;
		if (count == K && hit.score >= out[K - 1].score)
			continue;
		at = count < K ? count++ : K - 1;
		for (; at > 0 && out[at - 1].score > hit.score; at--)
			out[at] = out[at - 1];
		out[at] = hit;
	}
	return count;
}

static void test_search(void)
{
	struct draft *drafts = calloc(ROWS, sizeof(*drafts));
	bool *is_live = calloc(ROWS, 1);
	int32_t queries[QUERIES * MODEL_DIM];
	valori_search_options options = VALORI_SEARCH_INIT;
	valori_options open_options = VALORI_OPTIONS_INIT;
	valori_hit hits[QUERIES * K], expected[K];
	size_t counts[QUERIES];
	unsigned wrong = 0;
	valori_batch *batch;
	valori_error error;
	valori_view *view;
	valori *store;

	open_options.dim = MODEL_DIM;
	valori_open(&open_options, &store, NULL);
	valori_batch_new(MODEL_DIM, &batch, NULL);
	for (unsigned i = 0; i < ROWS; i++) {
		draft_insert(&drafts[i], i % 3000, NULL, i % 2 ? "m" : NULL); /* each vector three times: ties */
		drafts[i].op.flags = i % 10 == 0 ? VALORI_OP_SALTED : 0;
		is_live[i] = true;
		valori_batch_add(batch, &drafts[i].op, NULL);
	}
	valori_commit(store, batch, NULL, NULL, NULL);
	for (unsigned i = 0; i < ROWS; i += 11) {
		struct draft removal;

		is_live[i] = false;
		draft_by_id(&removal, i % 2 ? VALORI_OP_DELETE : VALORI_OP_SOFT_DELETE, i);
		stores_commit(store, &removal.op);
	}
	for (unsigned q = 0; q < QUERIES; q++)
		memcpy(queries + q * MODEL_DIM, drafts[q * 1111].vector, sizeof(drafts[0].vector));
	valori_view_open(store, &view, NULL);
	options.k = K;
	for (options.threads = 0; options.threads < 5; options.threads += 2)
		for (options.has_tag = 0; options.has_tag < 2; options.has_tag++) {
			options.tag = 3;
			if (valori_search(view, queries, QUERIES, &options, hits, counts, &error) != VALORI_OK) {
				printf("# %s\n", error.message);
				wrong++;
				continue;
			}
			for (unsigned q = 0; q < QUERIES; q++) {
				size_t count = nearest(drafts, is_live, queries + q * MODEL_DIM, options.has_tag,
						       options.tag, expected);

				wrong += counts[q] != count ||
					 memcmp(hits + q * K, expected, count * sizeof(expected[0])) != 0;
			}
		}
	check_u64(
		wrong, 0,
		"search finds what looking at all finds, ties by id, with any number of threads, with a tag or none");
	options.k = 0;
	check(valori_search(view, queries, 1, &options, hits, counts, NULL) == VALORI_INVALID, "k is at least 1");
	options.k = K;
	options.has_tag = 0;
	options.collection = 7;
	check(valori_search(view, queries, 1, &options, hits, counts, NULL) == VALORI_OK && counts[0] == 0,
	      "a collection that is not there has no hits");
	queries[0] = queries[1] = INT32_MAX;
	options.collection = 0;
	check(valori_search(view, queries, 1, &options, hits, counts, &error) == VALORI_RANGE,
	      "a query obeys the rule that vectors obey");
	valori_view_close(view);
	valori_close(store, NULL);
	valori_batch_free(batch);
	free(drafts);
	free(is_live);
}

int main(void)
{
	char directory[256];

	stores_make(directory);
	fill(directory);
	test_events(directory);
	test_stream(directory);
	test_search();
	stores_remove(directory);
	return check_done();
}
