/* model.c - what a store must hold. */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 24, META_KEYS = 10, COLLECTIONS_MAX = 12, TEXT_SIZE = 6000 };

uint64_t model_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->collections = 1;
	for (unsigned i = 0; i < MODEL_TEXTS; i++)
		model->meta[i] = -1;
}

/* ---- Texts ---- */

static uint32_t key_text(int key, char out[32])
{
	return (uint32_t)snprintf(out, 32, "key-%d", key);
}

static uint32_t collection_text(unsigned collection, char out[32])
{
	return (uint32_t)snprintf(out, 32, collection == 0 ? "default" : "collection-%u", collection);
}

static const uint8_t *metadata_text(int metadata)
{
	static uint8_t texts[16][TEXT_SIZE];

	if (texts[0][0] == 0) {
		uint64_t seed = 5;

		for (size_t i = 0; i < sizeof(texts); i++)
			(&texts[0][0])[i] = (uint8_t)('a' + model_random(&seed) % 26);
	}
	return texts[metadata % 16];
}

static void components(uint64_t vector, int32_t out[MODEL_DIM])
{
	for (unsigned i = 0; i < MODEL_DIM; i++)
		out[i] = (int32_t)(model_random(&vector) % 2000000) - 1000000;
}

/* ---- Rules ---- */

static bool is_record_live(const struct model *model, uint64_t id)
{
	return id < model->records && model->record[id].status == VALORI_LIVE &&
	       !model->is_dropped[model->record[id].collection];
}

static bool is_node_live(const struct model *model, uint64_t id)
{
	return id < model->nodes && model->node[id].is_live && !model->is_dropped[model->node[id].collection];
}

static bool is_edge_live(const struct model *model, uint64_t id)
{
	return id < model->edges && model->edge[id].is_live && is_node_live(model, model->edge[id].from);
}

static uint64_t find_key(const struct model *model, uint32_t collection, int key)
{
	for (uint64_t id = 0; id < model->records; id++)
		if (is_record_live(model, id) && model->record[id].collection == collection &&
		    model->record[id].key == key && key >= 0)
			return id;
	return VALORI_NONE;
}

static void apply_insert(struct model *model, const struct deed *deed)
{
	uint64_t old =
		deed->kind == VALORI_OP_UPSERT ? find_key(model, deed->collection, deed->key) : VALORI_NONE;
	struct model_record *record = &model->record[model->records];

	*record = (struct model_record){VALORI_LIVE,    (uint16_t)deed->collection, deed->key,
					deed->metadata, deed->metadata_size,        deed->tag,
					deed->vector};
	if (old != VALORI_NONE) {
		model->record[old].status = VALORI_DELETED;
		for (unsigned i = 0; i < model->nodes; i++)
			if (is_node_live(model, i) && model->node[i].record == old)
				model->node[i].record = model->records;
	}
	model->records++;
}

static void apply(struct model *model, const struct deed *deed)
{
	switch ((valori_op_kind)deed->kind) {
	case VALORI_OP_INSERT:
	case VALORI_OP_UPSERT:
		apply_insert(model, deed);
		break;
	case VALORI_OP_SOFT_DELETE:
		model->record[deed->target].status = VALORI_TOMBSTONE;
		break;
	case VALORI_OP_DELETE:
		model->record[deed->target].status = VALORI_DELETED;
		break;
	case VALORI_OP_SET_METADATA:
		model->record[deed->target].metadata = deed->metadata;
		model->record[deed->target].metadata_size = deed->metadata_size;
		break;
	case VALORI_OP_SET_TAG:
		model->record[deed->target].tag = deed->tag;
		break;
	case VALORI_OP_NODE_CREATE:
		model->node[model->nodes++] = (struct model_node){true, (uint16_t)deed->collection,
								  deed->object_kind, deed->target};
		break;
	case VALORI_OP_NODE_SET_RECORD:
		model->node[deed->from].record = deed->target;
		break;
	case VALORI_OP_NODE_DELETE:
		model->node[deed->from].is_live = false;
		for (unsigned i = 0; i < model->edges; i++)
			if (model->edge[i].from == deed->from || model->edge[i].to == deed->from)
				model->edge[i].is_live = false;
		break;
	case VALORI_OP_EDGE_CREATE:
		model->edge[model->edges++] =
			(struct model_edge){true, deed->object_kind, deed->from, deed->to};
		break;
	case VALORI_OP_EDGE_DELETE:
		model->edge[deed->from].is_live = false;
		break;
	case VALORI_OP_META_SET:
		model->meta[deed->key] = deed->metadata;
		break;
	case VALORI_OP_META_DELETE:
		model->meta[deed->key] = -1;
		break;
	case VALORI_OP_COLLECTION_CREATE:
		model->is_dropped[model->collections++] = false;
		break;
	case VALORI_OP_COLLECTION_DROP:
		model->is_dropped[deed->collection] = true;
		break;
	case VALORI_OP_CONFIG:
		break;
	}
	if (deed->request > model->requests)
		model->requests = deed->request;
}

void model_apply(struct model *model, const struct batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++)
		apply(model, &batch->deeds[i]);
}

/* ---- Drawing ---- */

static uint64_t draw_id(const struct model *model, bool (*is_live)(const struct model *, uint64_t),
			unsigned count, uint64_t *seed)
{
	for (unsigned i = 0; i < 8 && count > 0; i++) {
		uint64_t id = model_random(seed) % count;

		if (is_live(model, id))
			return id;
	}
	return VALORI_NONE;
}

static void draw_metadata(struct deed *deed, uint64_t *seed, bool is_large)
{
	uint64_t dice = model_random(seed);

	deed->metadata = dice % 3 == 0 ? -1 : (int)(dice / 3 % 16);
	deed->metadata_size = (uint32_t)(dice / 64 % (is_large ? TEXT_SIZE : 40));
	if (deed->metadata < 0)
		deed->metadata_size = 0;
}

static void draw_insert(const struct model *model, uint64_t *seed, bool is_large, struct deed *deed)
{
	uint64_t dice = model_random(seed);

	deed->kind = VALORI_OP_INSERT;
	deed->collection = (uint32_t)(dice % model->collections);
	if (model->is_dropped[deed->collection] || dice / 16 % 2 == 0)
		deed->collection = 0;
	if (dice / 32 % 2 == 0)
		deed->key = (int)(dice / 64 % KEYS);
	if (find_key(model, deed->collection, deed->key) != VALORI_NONE)
		deed->kind = VALORI_OP_UPSERT;
	deed->tag = dice / 4096 % 4;
	deed->vector = model_random(seed);
	draw_metadata(deed, seed, is_large);
}

static void draw(const struct model *model, uint64_t *seed, bool is_large, struct deed *deed)
{
	uint64_t dice = model_random(seed) % 24;
	uint64_t record = draw_id(model, is_record_live, model->records, seed),
		 node = draw_id(model, is_node_live, model->nodes, seed);
	uint64_t other = draw_id(model, is_node_live, model->nodes, seed),
		 edge = draw_id(model, is_edge_live, model->edges, seed);

	*deed = (struct deed){
		.target = VALORI_NONE, .from = VALORI_NONE, .to = VALORI_NONE, .key = -1, .metadata = -1};
	deed->object_kind = (uint32_t)(dice % 4);
	if (dice < 4 && record != VALORI_NONE) {
		static const uint32_t kinds[] = {VALORI_OP_DELETE, VALORI_OP_SOFT_DELETE, VALORI_OP_SET_TAG,
						 VALORI_OP_SET_METADATA};

		deed->kind = kinds[dice];
		deed->target = record;
		deed->tag = model_random(seed) % 5;
		if (dice == 3)
			draw_metadata(deed, seed, is_large);
	} else if (dice == 4 || dice == 5) {
		deed->kind = VALORI_OP_NODE_CREATE;
		deed->target = record;
		deed->collection = record == VALORI_NONE ? 0 : model->record[record].collection;
	} else if (dice == 6 && node != VALORI_NONE) {
		deed->kind = VALORI_OP_NODE_SET_RECORD;
		deed->from = node;
		if (record != VALORI_NONE && model->record[record].collection == model->node[node].collection)
			deed->target = record;
	} else if (dice == 7 && node != VALORI_NONE && model->nodes > 5) {
		deed->kind = VALORI_OP_NODE_DELETE;
		deed->from = node;
	} else if ((dice == 8 || dice == 9) && node != VALORI_NONE && other != VALORI_NONE &&
		   model->node[node].collection == model->node[other].collection) {
		deed->kind = VALORI_OP_EDGE_CREATE;
		deed->from = node;
		deed->to = other;
	} else if (dice == 10 && edge != VALORI_NONE) {
		deed->kind = VALORI_OP_EDGE_DELETE;
		deed->from = edge;
	} else if (dice == 11 || dice == 12) {
		deed->kind = VALORI_OP_META_SET;
		deed->key = (int)(model_random(seed) % META_KEYS);
		deed->metadata = (int)(model_random(seed) % 16);
	} else if (dice == 13 && model->meta[model->records % META_KEYS] >= 0) {
		deed->kind = VALORI_OP_META_DELETE;
		deed->key = (int)(model->records % META_KEYS);
	} else if (dice == 14 && model->collections < COLLECTIONS_MAX) {
		deed->kind = VALORI_OP_COLLECTION_CREATE;
		deed->key = (int)model->collections;
	} else if (dice == 15 && model->collections > 2 && !model->is_dropped[model->collections - 2] &&
		   model_random(seed) % 4 == 0) {
		deed->kind = VALORI_OP_COLLECTION_DROP;
		deed->collection = model->collections - 2;
	} else {
		draw_insert(model, seed, is_large, deed);
	}
}

void model_draw(const struct model *model, uint64_t *seed, unsigned count, bool is_large, struct batch *out)
{
	struct model *ahead = malloc(sizeof(*ahead));
	bool has_requests = model_random(seed) % 3 == 0;

	*ahead = *model;
	out->count = count < BATCH_MAX ? count : BATCH_MAX;
	for (unsigned i = 0; i < out->count; i++) {
		draw(ahead, seed, is_large, &out->deeds[i]);
		if (has_requests)
			out->deeds[i].request = ahead->requests + 1;
		apply(ahead, &out->deeds[i]);
	}
	free(ahead);
}

/* ---- Batches of the library ---- */

static valori_ref by_id(uint64_t id)
{
	return (valori_ref){.kind = id == VALORI_NONE ? VALORI_REF_NONE : VALORI_REF_ID,
			    .id = id == VALORI_NONE ? 0 : id};
}

static bool add(valori_batch *batch, const struct deed *deed)
{
	char key[32];
	int32_t vector[MODEL_DIM];
	valori_op op = {.kind = deed->kind,
			.collection = deed->collection,
			.object_kind = deed->object_kind,
			.tag = deed->tag};

	op.target = by_id(deed->target);
	op.from = by_id(deed->from);
	op.to = by_id(deed->to);
	if (deed->key >= 0) {
		op.key = key;
		op.key_size = deed->kind == VALORI_OP_COLLECTION_CREATE
				      ? collection_text((unsigned)deed->key, key)
				      : key_text(deed->key, key);
	}
	if (deed->metadata >= 0) {
		op.metadata = metadata_text(deed->metadata);
		op.metadata_size = deed->kind == VALORI_OP_META_SET ? 20 : deed->metadata_size;
	}
	if (deed->kind == VALORI_OP_INSERT || deed->kind == VALORI_OP_UPSERT) {
		components(deed->vector, vector);
		op.vector = vector;
		op.dim = MODEL_DIM;
	} else if (deed->kind != VALORI_OP_NODE_CREATE && deed->kind != VALORI_OP_EDGE_CREATE) {
		op.object_kind = 0;
	}
	if (deed->request != 0) {
		op.flags |= VALORI_OP_REQUEST;
		for (unsigned i = 0; i < 8; i++)
			op.request[8 + i] = (uint8_t)(deed->request >> 8 * i);
	}
	return valori_batch_add(batch, &op, NULL) == VALORI_OK;
}

valori_batch *model_batch(const struct batch *batch)
{
	valori_batch *out;

	if (valori_batch_new(MODEL_DIM, &out, NULL) != VALORI_OK)
		abort();
	for (unsigned i = 0; i < batch->count; i++)
		if (!add(out, &batch->deeds[i]))
			abort();
	return out;
}

/* ---- Comparing ---- */

struct comparison {
	const struct model *model;
	const valori_view *view;
	unsigned wrong;
	char *out;
};

static void differs(struct comparison *comparison, const char *what, uint64_t id)
{
	if (comparison->wrong++ == 0)
		snprintf(comparison->out, 96, "%s %llu differs from the model", what, (unsigned long long)id);
}

static bool is_text(const void *is, size_t size, const void *should_be, size_t expected)
{
	return is == NULL || should_be == NULL ? is == should_be
					       : size == expected && memcmp(is, should_be, size) == 0;
}

static void compare_record(struct comparison *comparison, uint64_t id)
{
	const struct model_record *model = &comparison->model->record[id];
	const valori_view *view = comparison->view;
	valori_record record;
	int32_t vector[MODEL_DIM], expected[MODEL_DIM];
	uint64_t found = VALORI_NONE;
	char key[32];
	uint32_t key_size = key_text(model->key, key);

	if (valori_record_get(view, id, &record, NULL) != VALORI_OK || record.status != model->status ||
	    record.id != id) {
		differs(comparison, "record", id);
		return;
	}
	if (model->status == VALORI_DELETED) {
		if (record.key != NULL || record.metadata != NULL ||
		    valori_vector_get(view, id, vector, NULL) != VALORI_NOT_FOUND)
			differs(comparison, "deleted record", id);
		return;
	}
	components(model->vector, expected);
	if (record.tag != model->tag || record.collection != model->collection)
		differs(comparison, "tag or collection of record", id);
	if (!is_text(record.key, record.key_size, model->key >= 0 ? key : NULL, key_size))
		differs(comparison, "key of record", id);
	if (!is_text(record.metadata, record.metadata_size,
		     model->metadata >= 0 ? metadata_text(model->metadata) : NULL, model->metadata_size))
		differs(comparison, "metadata of record", id);
	if (valori_vector_get(view, id, vector, NULL) != VALORI_OK ||
	    memcmp(vector, expected, sizeof(vector)) != 0)
		differs(comparison, "vector of record", id);
	if (is_record_live(comparison->model, id) && model->key >= 0 &&
	    (valori_record_find(view, model->collection, key, key_size, &found, NULL) != VALORI_OK ||
	     found != id))
		differs(comparison, "finding the key of record", id);
}

static void compare_graph(struct comparison *comparison)
{
	const struct model *model = comparison->model;

	for (uint64_t id = 0; id < model->nodes; id++) {
		unsigned count = 0, expected = 0;
		uint64_t cursor = 0;
		valori_node node;
		valori_edge edge;
		bool is_live = is_node_live(model, id);

		if (valori_node_get(comparison->view, id, &node, NULL) != VALORI_OK ||
		    (node.live != 0) != is_live ||
		    (is_live && (node.record != model->node[id].record || node.kind != model->node[id].kind)))
			differs(comparison, "node", id);
		while (is_live && valori_edge_next(comparison->view, id, 1, &cursor, &edge) == VALORI_OK)
			count += edge.from == id && is_edge_live(model, edge.id);
		for (uint64_t e = 0; is_live && e < model->edges; e++)
			expected += is_edge_live(model, e) && model->edge[e].from == id;
		if (count != expected)
			differs(comparison, "number of edges of node", id);
	}
	for (uint64_t id = 0; id < model->edges; id++) {
		valori_edge edge;
		bool is_live = is_edge_live(model, id);

		if (valori_edge_get(comparison->view, id, &edge, NULL) != VALORI_OK ||
		    (edge.live != 0) != is_live ||
		    (is_live && (edge.from != model->edge[id].from || edge.to != model->edge[id].to ||
				 edge.kind != model->edge[id].kind)))
			differs(comparison, "edge", id);
	}
}

static void compare_texts(struct comparison *comparison)
{
	const struct model *model = comparison->model;
	char text[32];

	for (int key = 0; key < META_KEYS; key++) {
		const uint8_t *value = NULL;
		size_t size = 0;
		valori_code code =
			valori_meta_get(comparison->view, text, key_text(key, text), &value, &size, NULL);
		const uint8_t *expected = model->meta[key] < 0 ? NULL : metadata_text(model->meta[key]);

		if (code != (expected == NULL ? VALORI_NOT_FOUND : VALORI_OK) ||
		    !is_text(value, size, expected, 20))
			differs(comparison, "meta key", (uint64_t)key);
	}
	for (uint32_t id = 0; id < model->collections; id++) {
		const char *name = NULL;
		size_t size = 0;
		uint32_t is_live = 0;

		if (valori_collection_get(comparison->view, id, &name, &size, &is_live, NULL) != VALORI_OK ||
		    (is_live != 0) == model->is_dropped[id] ||
		    (is_live != 0 && !is_text(name, size, text, collection_text(id, text))))
			differs(comparison, "collection", id);
	}
}

unsigned model_compare(const struct model *model, const valori_view *view, char out[96])
{
	struct comparison comparison = {model, view, 0, out};
	valori_info info = {.size = sizeof(info)};
	valori_record record;

	if (valori_view_info(view, &info, NULL) != VALORI_OK || info.record_slots != model->records ||
	    info.node_slots != model->nodes || info.edge_slots != model->edges ||
	    info.collection_slots != model->collections)
		differs(&comparison, "number of slots", info.record_slots);
	for (uint64_t id = 0; id < model->records; id++)
		compare_record(&comparison, id);
	if (valori_record_get(view, model->records, &record, NULL) != VALORI_NOT_FOUND)
		differs(&comparison, "record behind the last", model->records);
	compare_graph(&comparison);
	compare_texts(&comparison);
	return comparison.wrong;
}
