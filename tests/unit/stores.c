/* stores.c - for tests of whole stores. */
#include "stores.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- Files ---- */

void stores_make(char name[256])
{
	const char *base = getenv("TMPDIR");

	snprintf(name, 256, "%s/valori-test-XXXXXX", base != NULL ? base : "/tmp");
	if (mkdtemp(name) == NULL) {
		perror(name);
		exit(2);
	}
}

void stores_remove(const char *name)
{
	DIR *directory = opendir(name);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		const char *path = stores_path(name, entry->d_name);
		struct stat stat;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode))
			stores_remove(path);
		else
			unlink(path);
	}
	if (directory != NULL)
		closedir(directory);
	rmdir(name);
}

const char *stores_path(const char *directory, const char *file)
{
	static char paths[12][1024];
	static unsigned next;
	char *path = paths[next++ % 12];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, file);
	return path;
}

uint8_t *stores_read(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	struct stat stat;

	if (file == NULL || fstat(fileno(file), &stat) != 0)
		return NULL;
	data = malloc((size_t)stat.st_size + 1);
	*size = fread(data, 1, (size_t)stat.st_size, file);
	fclose(file);
	return data;
}

bool stores_write(const char *path, const uint8_t *data, size_t size)
{
	/*
	 * In place: a file that is truncated first is flushed by some file systems when it is closed, which takes its
	 * time.
	 */
	int fd = open(path, O_RDWR | O_CREAT, 0644);
	bool is_written = fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size && ftruncate(fd, (off_t)size) == 0;

	if (fd >= 0)
		close(fd);
	return is_written;
}

bool stores_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* ---- Stores ---- */

valori_options stores_options(const char *directory, uint32_t flags)
{
	static const uint8_t log_id[32] = "a log id that tests can foresee";
	valori_options options = VALORI_OPTIONS_INIT;

	options.flags = flags;
	options.log = directory;
	options.dim = (flags & VALORI_CREATE) != 0 ? MODEL_DIM : 0;
	options.log_id = log_id;
	options.time_ms = 1700000000000;
	options.sync = VALORI_SYNC_NONE;
	return options;
}

valori *stores_open(const char *directory, uint32_t flags)
{
	valori_options options = stores_options(directory, flags);
	valori_error error;
	valori *store;

	if (valori_open(&options, &store, &error) != VALORI_OK)
		printf("# open: %s\n", error.message);
	return store;
}

uint64_t stores_commit(valori *store, const valori_op *op)
{
	valori_batch *batch;
	valori_error error;
	uint64_t id = VALORI_NONE;
	valori_code code = valori_batch_new(MODEL_DIM, &batch, &error);

	if (code == VALORI_OK)
		code = valori_batch_add(batch, op, &error);
	if (code == VALORI_OK)
		code = valori_commit(store, batch, NULL, &id, &error);
	if (code != VALORI_OK)
		printf("# commit: %s\n", error.message);
	valori_batch_free(batch);
	return id;
}

valori_hash stores_root(valori *store)
{
	valori_info info = {.size = sizeof(info)};

	valori_get_info(store, &info, NULL);
	return info.state_root;
}

uint64_t stores_height(valori *store)
{
	valori_info info = {.size = sizeof(info)};

	valori_get_info(store, &info, NULL);
	return info.height;
}

bool stores_same(const valori_hash *a, const valori_hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* ---- Samples ---- */

static void set_key(struct draft *draft, const char *key)
{
	snprintf(draft->key, sizeof(draft->key), "%s", key);
	draft->op.key = draft->key;
	draft->op.key_size = (uint32_t)strlen(draft->key);
}

static void set_metadata(struct draft *draft, const char *metadata)
{
	snprintf(draft->metadata, sizeof(draft->metadata), "%s", metadata);
	draft->op.metadata = (const uint8_t *)draft->metadata;
	draft->op.metadata_size = (uint32_t)strlen(draft->metadata);
}

void draft_insert(struct draft *draft, uint64_t seed, const char *key, const char *metadata)
{
	memset(draft, 0, sizeof(*draft));
	for (unsigned i = 0; i < MODEL_DIM; i++)
		draft->vector[i] = (int32_t)(draw(&seed) % 2000000) - 1000000;
	draft->op.kind = VALORI_OP_INSERT;
	draft->op.tag = draw(&seed) % 5;
	draft->op.vector = draft->vector;
	draft->op.dim = MODEL_DIM;
	if (key != NULL)
		set_key(draft, key);
	if (metadata != NULL)
		set_metadata(draft, metadata);
}

void draft_by_key(struct draft *draft, uint32_t kind, const char *key)
{
	memset(draft, 0, sizeof(*draft));
	draft->op.kind = kind;
	snprintf(draft->target, sizeof(draft->target), "%s", key);
	draft->op.target =
		(valori_ref){.kind = VALORI_REF_KEY, .key = draft->target, .key_size = (uint32_t)strlen(key)};
}

void draft_by_id(struct draft *draft, uint32_t kind, uint64_t id)
{
	memset(draft, 0, sizeof(*draft));
	draft->op.kind = kind;
	if (kind == VALORI_OP_NODE_SET_RECORD || kind == VALORI_OP_NODE_DELETE || kind == VALORI_OP_EDGE_DELETE)
		draft->op.from = (valori_ref){.kind = VALORI_REF_ID, .id = id};
	else
		draft->op.target = (valori_ref){.kind = VALORI_REF_ID, .id = id};
}

void draft_request(struct draft *draft, uint64_t source, uint64_t row)
{
	draft->op.flags |= VALORI_OP_REQUEST;
	for (unsigned i = 0; i < 8; i++) {
		draft->op.request[i] = (uint8_t)(source >> 8 * i);
		draft->op.request[8 + i] = (uint8_t)(row >> 8 * i);
	}
}

/* ---- The model ---- */

struct model *model_new(void)
{
	return calloc(1, sizeof(struct model));
}

/* A live record by chance, VALORI_NONE when luck is out. */
static uint64_t draw_record(const struct model *model, uint64_t *seed)
{
	for (unsigned i = 0; i < 20 && model->records > 0; i++) {
		uint64_t id = draw(seed) % model->records;

		if (model->record[id].status == VALORI_LIVE)
			return id;
	}
	return VALORI_NONE;
}

static uint64_t draw_live(const bool *live, uint64_t count, uint64_t *seed)
{
	for (unsigned i = 0; i < 20 && count > 0; i++) {
		uint64_t id = draw(seed) % count;

		if (live[id])
			return id;
	}
	return VALORI_NONE;
}

static uint64_t find_key(const struct model *model, const char *key)
{
	for (uint64_t id = 0; id < model->records; id++)
		if (model->record[id].status == VALORI_LIVE && model->record[id].has_key &&
		    strcmp(model->record[id].key, key) == 0)
			return id;
	return VALORI_NONE;
}

static void draw_insert(const struct model *model, uint64_t *seed, struct draft *draft)
{
	char key[MODEL_TEXT], metadata[MODEL_TEXT];
	uint64_t dice = draw(seed);
	bool has_key = dice % 2 == 0;

	snprintf(key, sizeof(key), "key-%llu", (unsigned long long)(draw(seed) % 300));
	snprintf(metadata, sizeof(metadata), "%.*s", (int)(dice / 2 % 20), "{\"a\":\"metadata\"} yes");
	draft_insert(draft, draw(seed), has_key ? key : NULL, dice / 64 % 3 == 0 ? NULL : metadata);
	if (has_key && find_key(model, key) != VALORI_NONE)
		draft->op.kind = VALORI_OP_UPSERT;
	if (dice / 256 % 8 == 0)
		draft->op.flags |= VALORI_OP_SALTED;
}

void model_draw(const struct model *model, uint64_t *seed, struct draft *draft)
{
	uint64_t dice = draw(seed) % 20, record = draw_record(model, seed),
		 node = draw_live(model->node_live, model->nodes, seed);
	uint64_t other = draw_live(model->node_live, model->nodes, seed),
		 edge = draw_live(model->edge_live, model->edges, seed);

	if (dice < 3 && record != VALORI_NONE) {
		static const uint32_t kinds[] = {VALORI_OP_DELETE, VALORI_OP_SOFT_DELETE, VALORI_OP_SET_TAG};

		draft_by_id(draft, kinds[dice], record);
		draft->op.tag = draw(seed) % 7;
	} else if (dice == 3 && record != VALORI_NONE) {
		draft_by_id(draft, VALORI_OP_SET_METADATA, record);
		if (draw(seed) % 4 != 0)
			set_metadata(draft, "other metadata");
	} else if (dice == 4 || dice == 5) {
		draft_by_id(draft, VALORI_OP_NODE_CREATE, record);
		draft->op.object_kind = 1;
	} else if (dice == 6 && node != VALORI_NONE) {
		draft_by_id(draft, VALORI_OP_NODE_SET_RECORD, node);
		if (record != VALORI_NONE)
			draft->op.target = (valori_ref){.kind = VALORI_REF_ID, .id = record};
	} else if (dice == 7 && node != VALORI_NONE && draw(seed) % 3 == 0) {
		draft_by_id(draft, VALORI_OP_NODE_DELETE, node);
	} else if ((dice == 8 || dice == 9) && node != VALORI_NONE && other != VALORI_NONE) {
		draft_by_id(draft, VALORI_OP_EDGE_CREATE, VALORI_NONE);
		draft->op.from = (valori_ref){.kind = VALORI_REF_ID, .id = node};
		draft->op.to = (valori_ref){.kind = VALORI_REF_ID, .id = other};
		draft->op.object_kind = 2;
	} else if (dice == 10 && edge != VALORI_NONE) {
		draft_by_id(draft, VALORI_OP_EDGE_DELETE, edge);
	} else {
		draw_insert(model, seed, draft);
	}
}

static void apply_insert(struct model *model, const struct draft *draft)
{
	struct model_record *record = &model->record[model->records];
	uint64_t old = VALORI_NONE;

	if (draft->op.kind == VALORI_OP_UPSERT)
		old = find_key(model, draft->key);
	memset(record, 0, sizeof(*record));
	record->status = VALORI_LIVE;
	record->tag = draft->op.tag;
	record->has_key = draft->op.key != NULL;
	record->has_metadata = draft->op.metadata != NULL;
	memcpy(record->key, draft->key, sizeof(record->key));
	memcpy(record->metadata, draft->metadata, sizeof(record->metadata));
	memcpy(record->vector, draft->vector, sizeof(record->vector));
	if (old != VALORI_NONE) {
		model->record[old].status = VALORI_DELETED;
		for (uint64_t node = 0; node < model->nodes; node++)
			if (model->node_live[node] && model->node_record[node] == old)
				model->node_record[node] = model->records;
	}
	model->records++;
}

static void apply_node_delete(struct model *model, uint64_t node)
{
	model->node_live[node] = false;
	for (uint64_t edge = 0; edge < model->edges; edge++)
		if (model->edge_from[edge] == node || model->edge_to[edge] == node)
			model->edge_live[edge] = false;
}

void model_apply(struct model *model, const struct draft *draft)
{
	uint64_t target = draft->op.target.id, from = draft->op.from.id;

	if (draft->op.target.kind == VALORI_REF_KEY)
		target = find_key(model, draft->target);
	switch (draft->op.kind) {
	case VALORI_OP_INSERT:
	case VALORI_OP_UPSERT:
		apply_insert(model, draft);
		break;
	case VALORI_OP_SOFT_DELETE:
		model->record[target].status = VALORI_TOMBSTONE;
		break;
	case VALORI_OP_DELETE:
		model->record[target].status = VALORI_DELETED;
		break;
	case VALORI_OP_SET_TAG:
		model->record[target].tag = draft->op.tag;
		break;
	case VALORI_OP_SET_METADATA:
		model->record[target].has_metadata = draft->op.metadata != NULL;
		memcpy(model->record[target].metadata, draft->metadata, sizeof(draft->metadata));
		break;
	case VALORI_OP_NODE_CREATE:
		model->node_record[model->nodes] = draft->op.target.kind == VALORI_REF_NONE ? VALORI_NONE : target;
		model->node_live[model->nodes++] = true;
		break;
	case VALORI_OP_NODE_SET_RECORD:
		model->node_record[from] = draft->op.target.kind == VALORI_REF_NONE ? VALORI_NONE : target;
		break;
	case VALORI_OP_NODE_DELETE:
		apply_node_delete(model, from);
		break;
	case VALORI_OP_EDGE_CREATE:
		model->edge_from[model->edges] = from;
		model->edge_to[model->edges] = draft->op.to.id;
		model->edge_live[model->edges++] = true;
		break;
	case VALORI_OP_EDGE_DELETE:
		model->edge_live[from] = false;
		break;
	default:
		printf("# the model does not know operation %u\n", draft->op.kind);
	}
}

static unsigned differs(unsigned *wrong, const char *what, uint64_t id)
{
	if ((*wrong)++ == 0)
		printf("# %s %llu differs from the model\n", what, (unsigned long long)id);
	return *wrong;
}

static bool is_same_text(const void *is, size_t size, bool has, const char *should_be)
{
	if (is == NULL || !has)
		return (is == NULL) == !has;
	return size == strlen(should_be) && memcmp(is, should_be, size) == 0;
}

static void compare_record(const struct model_record *model, const valori_view *view, uint64_t id, unsigned *wrong)
{
	valori_record record;
	int32_t vector[MODEL_DIM];
	uint64_t found = VALORI_NONE;

	if (valori_record_get(view, id, &record, NULL) != VALORI_OK || record.status != model->status ||
	    record.id != id) {
		differs(wrong, "record", id);
		return;
	}
	if (model->status == VALORI_DELETED) {
		if (record.key != NULL || record.metadata != NULL ||
		    valori_vector_get(view, id, vector, NULL) != VALORI_NOT_FOUND)
			differs(wrong, "deleted record", id);
		return;
	}
	if (record.tag != model->tag || !is_same_text(record.key, record.key_size, model->has_key, model->key) ||
	    !is_same_text(record.metadata, record.metadata_size, model->has_metadata, model->metadata))
		differs(wrong, "content of record", id);
	if (valori_vector_get(view, id, vector, NULL) != VALORI_OK ||
	    memcmp(vector, model->vector, sizeof(vector)) != 0)
		differs(wrong, "vector of record", id);
	if (model->status == VALORI_LIVE && model->has_key &&
	    (valori_record_find(view, 0, model->key, strlen(model->key), &found, NULL) != VALORI_OK || found != id))
		differs(wrong, "key of record", id);
}

static void compare_graph(const struct model *model, const valori_view *view, unsigned *wrong)
{
	for (uint64_t id = 0; id < model->nodes; id++) {
		uint64_t cursor = 0, count = 0, expected = 0;
		valori_node node;
		valori_edge edge;

		if (valori_node_get(view, id, &node, NULL) != VALORI_OK || node.live != model->node_live[id] ||
		    (node.live && node.record != model->node_record[id]))
			differs(wrong, "node", id);
		while (valori_edge_next(view, id, 1, &cursor, &edge) == VALORI_OK)
			count += edge.from == id && edge.id < model->edges && model->edge_live[edge.id];
		for (uint64_t e = 0; e < model->edges; e++)
			expected += model->edge_live[e] && model->edge_from[e] == id;
		if (count != expected)
			differs(wrong, "edges of node", id);
	}
	for (uint64_t id = 0; id < model->edges; id++) {
		valori_edge edge;

		if (valori_edge_get(view, id, &edge, NULL) != VALORI_OK || edge.live != model->edge_live[id] ||
		    (edge.live && (edge.from != model->edge_from[id] || edge.to != model->edge_to[id])))
			differs(wrong, "edge", id);
	}
}

unsigned model_compare(const struct model *model, const valori_view *view)
{
	valori_info info = {.size = sizeof(info)};
	valori_record record;
	unsigned wrong = 0;

	if (valori_view_info(view, &info, NULL) != VALORI_OK || info.record_slots != model->records ||
	    info.node_slots != model->nodes || info.edge_slots != model->edges)
		differs(&wrong, "number of slots", info.record_slots);
	for (uint64_t id = 0; id < model->records; id++)
		compare_record(&model->record[id], view, id, &wrong);
	if (valori_record_get(view, model->records, &record, NULL) != VALORI_NOT_FOUND)
		differs(&wrong, "record behind the last", model->records);
	compare_graph(model, view, &wrong);
	return wrong;
}

unsigned model_compare_store(const struct model *model, valori *store)
{
	valori_view *view;
	unsigned wrong;

	if (valori_view_open(store, &view, NULL) != VALORI_OK)
		return 1;
	wrong = model_compare(model, view);
	valori_view_close(view);
	return wrong;
}
