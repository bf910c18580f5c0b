/* truth.c - a small store with a history of every kind of event. */
#include "truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "host.h"
#include "log.h"
#include "snapshot.h"

const int32_t truth_queries[TRUTH_QUERIES * TRUTH_DIM] = {0, 0, 0, 0, 65536, -65536, 30000, 7, -90000, 50000, 1, 2};

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	printf("Bail out! %s\n", error->message);
	exit(1);
}

valori_options truth_options(uint32_t flags)
{
	static const uint8_t log_id[32] = "a log that was damaged in a test";
	valori_options options = VALORI_OPTIONS_INIT;

	options.flags = flags;
	options.log = "db";
	options.dim = (flags & VALORI_CREATE) != 0 ? TRUTH_DIM : 0;
	options.log_id = log_id;
	options.segment_size = VL_SEGMENT_HEADER + 3000;
	return options;
}

static void components(uint64_t seed, int32_t out[TRUTH_DIM])
{
	for (unsigned i = 0; i < TRUTH_DIM; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		out[i] = (int32_t)(seed >> 33) % 100000;
	}
}

/* ---- Its history ---- */

struct maker {
	valori *store;
	valori_batch *batch;
	struct truth *truth;
};

static void add(struct maker *maker, const valori_op *op)
{
	valori_error error;

	must(valori_batch_add(maker->batch, op, &error), &error);
}

static void insert(struct maker *maker, const char *key, const char *metadata, uint32_t flags)
{
	valori_op op = {.kind = VALORI_OP_INSERT, .flags = flags, .tag = maker->truth->records % 3};

	components(maker->truth->records + 1, maker->truth->vectors[maker->truth->records]);
	op.vector = maker->truth->vectors[maker->truth->records];
	op.vector_kind = VALORI_Q16;
	op.dim = TRUTH_DIM;
	op.key = key;
	op.key_size = key != NULL ? (uint32_t)strlen(key) : 0;
	op.metadata = (const uint8_t *)metadata;
	op.metadata_size = metadata != NULL ? (uint32_t)strlen(metadata) : 0;
	memcpy(op.request, "source  ", 8);
	op.request[8] = (uint8_t)maker->truth->records;
	add(maker, &op);
	maker->truth->records++;
}

static void on(struct maker *maker, uint32_t kind, uint64_t record)
{
	valori_op op = {.kind = kind, .tag = 77, .target = {.kind = VALORI_REF_ID, .id = record}};

	if (kind == VALORI_OP_SET_METADATA)
		op.metadata = (const uint8_t *)"changed", op.metadata_size = 7;
	add(maker, &op);
}

static void node(struct maker *maker, uint32_t kind, uint64_t from, uint64_t record)
{
	valori_op op = {.kind = kind, .object_kind = 2, .from = {.kind = VALORI_REF_ID, .id = from}};

	op.target = (valori_ref){.kind = VALORI_REF_ID, .id = record};
	add(maker, &op);
}

static void edge(struct maker *maker, uint64_t from, uint64_t to)
{
	valori_op op = {.kind = VALORI_OP_EDGE_CREATE, .object_kind = 1};

	op.from = (valori_ref){.kind = VALORI_REF_ID, .id = from};
	op.to = (valori_ref){.kind = VALORI_REF_ID, .id = to};
	add(maker, &op);
}

static void named(struct maker *maker, uint32_t kind, const char *key, const char *value)
{
	valori_op op = {.kind = kind, .key = key, .key_size = (uint32_t)strlen(key)};

	op.metadata = (const uint8_t *)value;
	op.metadata_size = value != NULL ? (uint32_t)strlen(value) : 0;
	add(maker, &op);
}

static void commit(struct maker *maker)
{
	struct truth *truth = maker->truth;
	valori_info info = {.size = sizeof(info)};
	struct truth_moment *moment;
	valori_error error;

	must(valori_commit(maker->store, maker->batch, NULL, NULL, &error), &error);
	valori_batch_clear(maker->batch);
	must(valori_get_info(maker->store, &info, &error), &error);
	truth->commits = (unsigned)info.commits;
	moment = &truth->moments[truth->commits];
	moment->height = info.height;
	moment->root = info.state_root;
	moment->tree = info.tree_root;
}

static void live(struct maker *maker)
{
	char key[TRUTH_TEXT], text[TRUTH_TEXT];

	insert(maker, "first", "a record with metadata", VALORI_OP_REQUEST);
	commit(maker);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		snprintf(text, sizeof(text), "metadata of %u", i);
		insert(maker, i % 3 != 2 ? key : NULL, i % 2 == 0 ? text : NULL, i == 4 ? VALORI_OP_SALTED : 0);
	}
	commit(maker);
	named(maker, VALORI_OP_META_SET, "title", "a store");
	named(maker, VALORI_OP_COLLECTION_CREATE, "docs", NULL);
	commit(maker);
	node(maker, VALORI_OP_NODE_CREATE, 0, 0);
	node(maker, VALORI_OP_NODE_CREATE, 0, 3);
	node(maker, VALORI_OP_NODE_CREATE, 0, 5);
	edge(maker, 0, 1);
	edge(maker, 1, 2);
	commit(maker);
	on(maker, VALORI_OP_SOFT_DELETE, 2);
	commit(maker);
	on(maker, VALORI_OP_DELETE, 4);
	on(maker, VALORI_OP_SET_METADATA, 1);
	on(maker, VALORI_OP_SET_TAG, 3);
	commit(maker);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(key, sizeof(key), "later %u", i);
		insert(maker, key, "", VALORI_OP_REQUEST);
		commit(maker);
	}
	node(maker, VALORI_OP_NODE_SET_RECORD, 2, 6);
	node(maker, VALORI_OP_NODE_DELETE, 1, 0);
	named(maker, VALORI_OP_META_SET, "title", "another");
	commit(maker);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(key, sizeof(key), "last %u", i);
		insert(maker, key, "the end is near", 0);
		commit(maker);
	}
}

/* ---- What it must give ---- */

void truth_describe(const valori_view *view, const valori_hit *hit, struct truth_hit *out)
{
	valori_record record = {0};

	memset(out, 0, sizeof(*out));
	out->id = hit->id;
	out->score = hit->score;
	if (valori_record_get(view, hit->id, &record, NULL) != VALORI_OK)
		return;
	out->tag = record.tag;
	snprintf(out->key, sizeof(out->key), "%.*s", (int)record.key_size, record.key != NULL ? record.key : "");
	snprintf(out->metadata, sizeof(out->metadata), "%s%.*s", record.metadata != NULL ? "=" : "",
		 (int)(record.metadata_size & 0xff), record.metadata != NULL ? (const char *)record.metadata : "");
}

static void search(struct truth *truth, unsigned commits)
{
	struct truth_moment *moment = &truth->moments[commits];
	valori_options options = truth_options(VALORI_READ);
	valori_search_options asked = VALORI_SEARCH_INIT;
	valori_hit hits[TRUTH_QUERIES * TRUTH_K];
	valori_error error;
	valori_view *view;
	valori *store;

	asked.k = TRUTH_K;
	options.at = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = moment->height};
	must(vl_engine_open(&options, &truth->shelf.os, vl_host_env(), &store, &error), &error);
	must(valori_view_open(store, &view, &error), &error);
	must(valori_search(view, truth_queries, TRUTH_QUERIES, &asked, hits, moment->counts, &error), &error);
	for (unsigned q = 0; q < TRUTH_QUERIES; q++)
		for (size_t i = 0; i < moment->counts[q]; i++)
			truth_describe(view, &hits[q * TRUTH_K + i], &moment->hits[q][i]);
	valori_view_close(view);
	must(valori_close(store, &error), &error);
}

static void read_commits(struct truth *truth)
{
	struct vl_reader_options options = {.path = "db", .fd = -1};
	struct vl_reader *reader;
	struct vl_commit read;
	valori_error error;

	must(vl_reader_open(vl_host_env(), &truth->shelf.os, &options, &reader, &error), &error);
	while (vl_reader_next(reader, &read, &error) == VALORI_OK) {
		truth->sizes[read.number] = (size_t)read.size;
		truth->bytes[read.number] = malloc((size_t)read.size);
		memcpy(truth->bytes[read.number], read.bytes, (size_t)read.size);
	}
	vl_reader_close(reader);
}

valori_code truth_snapshot(valori *store, const char *path, valori_error *error)
{
	valori_view *view;
	valori_code code = valori_view_open(store, &view, error);

	if (code != VALORI_OK)
		return code;
	code = valori_snapshot_write(view, path, NULL, error);
	valori_view_close(view);
	return code;
}

static void take_snapshot(struct truth *truth, unsigned which, unsigned commits)
{
	valori_options options = truth_options(VALORI_READ);
	struct shelf_file *file;
	valori_error error;
	valori *store;

	truth->snapshot_commits[which] = commits;
	options.at = (valori_when){.kind = VALORI_WHEN_HEIGHT,
				   .value = truth->moments[commits].height};
	must(vl_engine_open(&options, &truth->shelf.os, vl_host_env(), &store, &error), &error);
	must(truth_snapshot(store, "db/taken.val", &error), &error);
	must(valori_close(store, &error), &error);
	file = shelf_find(&truth->shelf, "db/taken.val");
	truth->snapshot_sizes[which] = file->size;
	truth->snapshots[which] = malloc(file->size);
	memcpy(truth->snapshots[which], file->data, file->size);
	shelf_remove(&truth->shelf, "db/taken.val");
}

valori_code truth_insert(valori *store, const char *key, uint64_t seed)
{
	valori_op op = {.kind = VALORI_OP_INSERT, .dim = TRUTH_DIM, .vector_kind = VALORI_Q16};
	int32_t vector[TRUTH_DIM];
	valori_batch *batch;
	valori_code code = valori_batch_new(TRUTH_DIM, &batch, NULL);

	components(seed, vector);
	op.vector = vector;
	op.key = key;
	op.key_size = (uint32_t)strlen(key);
	if (code == VALORI_OK)
		code = valori_batch_add(batch, &op, NULL);
	if (code == VALORI_OK)
		code = valori_commit(store, batch, NULL, NULL, NULL);
	valori_batch_free(batch);
	return code;
}

void truth_init(struct truth *truth)
{
	struct maker maker = {.truth = truth};
	valori_options options = truth_options(VALORI_WRITE | VALORI_CREATE);
	valori_info info = {.size = sizeof(info)};
	struct shelf_file *file;
	valori_error error;

	memset(truth, 0, sizeof(*truth));
	shelf_init(&truth->shelf);
	must(vl_engine_open(&options, &truth->shelf.os, vl_host_env(), &maker.store, &error), &error);
	must(valori_batch_new(TRUTH_DIM, &maker.batch, &error), &error);
	must(valori_get_info(maker.store, &info, &error), &error);
	truth->moments[0].root = info.state_root;
	truth->moments[0].tree = info.tree_root;
	live(&maker);
	valori_batch_free(maker.batch);
	file = shelf_find(&truth->shelf, "db/events.head");
	memcpy(truth->head, file->data, file->size < sizeof(truth->head) ? file->size : sizeof(truth->head));
	must(valori_close(maker.store, &error), &error);
	for (unsigned commits = 0; commits <= truth->commits; commits++)
		search(truth, commits);
	read_commits(truth);
	take_snapshot(truth, 0, truth->commits - 3);
	take_snapshot(truth, 1, truth->commits);
}

void truth_free(struct truth *truth)
{
	for (unsigned i = 0; i < truth->commits; i++)
		free(truth->bytes[i]);
	free(truth->snapshots[0]);
	free(truth->snapshots[1]);
	shelf_free(&truth->shelf);
}
