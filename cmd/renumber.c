/* renumber.c - the events of one log as new events of a store. */
#include "renumber.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum thing { RECORD, NODE, EDGE, META, COLLECTION, THINGS };

/* Old ids are given out in order, so what became of them is an array from the first one that was seen. */
struct map {
	uint64_t first;
	size_t count, capacity;
	uint64_t *ids; /* MADE_HERE | op while it waits for its commit; of META: a place in keys */
};

#define MADE_HERE (UINT64_C(1) << 63)

struct renumber {
	struct map maps[THINGS];
	char *keys; /* of meta slots: size in one byte, then the key */
	size_t keys_size, keys_capacity;
	valori_batch *batch;
	uint64_t *ids; /* of the batch's ops, after its commit */
	size_t ids_capacity;
	uint32_t dim;
};

static const char *const names[THINGS] = {"record", "node", "edge", "meta slot", "collection"};

__attribute__((format(printf, 3, 4))) static valori_code fail(valori_error *error, valori_code code, const char *format,
							      ...)
{
	va_list arguments;

	memset(error, 0, sizeof(*error));
	error->code = (int32_t)code;
	error->offset = error->event = VALORI_NONE;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	return code;
}

static bool grow(void **memory, size_t *capacity, size_t count, size_t element)
{
	size_t wanted = *capacity == 0 ? 64 : *capacity;
	void *larger;

	while (wanted < count)
		wanted *= 2;
	if (wanted == *capacity)
		return true;
	larger = realloc(*memory, wanted * element);
	if (larger == NULL)
		return false;
	*memory = larger;
	*capacity = wanted;
	return true;
}

struct renumber *renumber_new(uint32_t dim)
{
	struct renumber *renumber = calloc(1, sizeof(*renumber));

	if (renumber == NULL)
		return NULL;
	renumber->dim = dim;
	if (valori_batch_new(dim, &renumber->batch, NULL) == VALORI_OK)
		return renumber;
	free(renumber);
	return NULL;
}

void renumber_free(struct renumber *renumber)
{
	if (renumber == NULL)
		return;
	for (int thing = 0; thing < THINGS; thing++)
		free(renumber->maps[thing].ids);
	valori_batch_free(renumber->batch);
	free(renumber->keys);
	free(renumber->ids);
	free(renumber);
}

/* ---- what became of an id ---- */

static valori_code remember(struct renumber *renumber, enum thing thing, uint64_t old, uint64_t now,
			    valori_error *error)
{
	struct map *map = &renumber->maps[thing];
	void *ids = map->ids;

	if (map->count == 0)
		map->first = old;
	if (old < map->first + map->count) { /* a meta slot is set again */
		map->ids[old - map->first] = now;
		return VALORI_OK;
	}
	if (!grow(&ids, &map->capacity, map->count + 1, sizeof(*map->ids)))
		return fail(error, VALORI_NO_MEMORY, "no memory for the ids of the log");
	map->ids = ids;
	map->ids[map->count++] = now;
	return VALORI_OK;
}

static bool look(const struct renumber *renumber, enum thing thing, uint64_t old, uint64_t *out)
{
	const struct map *map = &renumber->maps[thing];

	if (map->count == 0 || old < map->first || old - map->first >= map->count)
		return false;
	*out = map->ids[old - map->first];
	return true;
}

static valori_code refer(const struct renumber *renumber, enum thing thing, uint64_t old, valori_ref *out,
			 valori_error *error)
{
	if (old == VALORI_NONE)
		return VALORI_OK;
	if (!look(renumber, thing, old, &out->id))
		return fail(error, VALORI_NOT_FOUND, "names %s %llu, which this log did not bring", names[thing],
			    (unsigned long long)old);
	out->kind = (out->id & MADE_HERE) != 0 ? VALORI_REF_OP : VALORI_REF_ID;
	out->id &= ~MADE_HERE;
	return VALORI_OK;
}

static valori_code find_collection(const struct renumber *renumber, uint32_t old, uint32_t *out, valori_error *error)
{
	uint64_t now = 0;

	if (old != 0 && !look(renumber, COLLECTION, old, &now))
		return fail(error, VALORI_NOT_FOUND, "names collection %u, which this log did not bring", old);
	*out = (uint32_t)now;
	return VALORI_OK;
}

static valori_code remember_key(struct renumber *renumber, const valori_event *event, valori_error *error)
{
	void *keys = renumber->keys;
	size_t place = renumber->keys_size;

	if (!grow(&keys, &renumber->keys_capacity, place + 1 + event->key_size, 1))
		return fail(error, VALORI_NO_MEMORY, "no memory for the keys of the log");
	renumber->keys = keys;
	renumber->keys[place] = (char)event->key_size;
	memcpy(renumber->keys + place + 1, event->key, event->key_size);
	renumber->keys_size += 1 + event->key_size;
	return remember(renumber, META, event->id, place, error);
}

/* ---- commits ---- */

static void settle(struct map *map, const uint64_t *ids)
{
	/* Only the newest entries can wait. */
	for (size_t i = map->count; i > 0 && (map->ids[i - 1] & MADE_HERE) != 0; i--)
		map->ids[i - 1] = ids[map->ids[i - 1] & ~MADE_HERE];
}

static valori_code commit_batch(struct renumber *renumber, valori *store, uint64_t *events, valori_error *error)
{
	size_t count = valori_batch_count(renumber->batch);
	void *ids = renumber->ids;
	valori_receipt receipt;
	valori_code code;

	if (count == 0)
		return VALORI_OK;
	if (!grow(&ids, &renumber->ids_capacity, count, sizeof(*renumber->ids)))
		return fail(error, VALORI_NO_MEMORY, "no memory for the ids of a commit");
	renumber->ids = ids;
	code = valori_commit(store, renumber->batch, &receipt, renumber->ids, error);
	if (code != VALORI_OK)
		return code;
	*events += receipt.event_count;
	for (int thing = RECORD; thing <= EDGE; thing++)
		settle(&renumber->maps[thing], renumber->ids);
	valori_batch_clear(renumber->batch);
	return VALORI_OK;
}

/* A collection with this name, made now if it is not there: what follows must know its number. */
static valori_code take_collection(struct renumber *renumber, valori *store, const valori_event *event,
				   uint64_t *events, valori_error *error)
{
	valori_op op = {.kind = VALORI_OP_COLLECTION_CREATE, .key = event->key, .key_size = event->key_size};
	valori_view *view;
	uint32_t id = 0;
	valori_code code = commit_batch(renumber, store, events, error);

	if (code == VALORI_OK)
		code = valori_view_open(store, &view, error);
	if (code != VALORI_OK)
		return code;
	code = valori_collection_find(view, event->key, event->key_size, &id, error);
	valori_view_close(view);
	if (code == VALORI_NOT_FOUND) {
		code = valori_batch_add(renumber->batch, &op, error);
		if (code == VALORI_OK)
			code = commit_batch(renumber, store, events, error);
		if (code == VALORI_OK)
			id = (uint32_t)renumber->ids[0];
	}
	return code != VALORI_OK ? code : remember(renumber, COLLECTION, event->id, id, error);
}

/* The event as an operation. */
static valori_code translate(struct renumber *renumber, const valori_event *event, valori_op *op, valori_error *error)
{
	uint64_t place;
	valori_code code = find_collection(renumber, event->collection, &op->collection, error);

	if (code != VALORI_OK)
		return code;
	op->flags = event->salted != 0 ? VALORI_OP_SALTED : 0;
	op->tag = event->tag;
	op->object_kind = event->kind;
	op->key = event->key;
	op->key_size = event->key_size;
	op->metadata = event->metadata;
	op->metadata_size = event->metadata_size;
	switch ((valori_event_type)event->type) {
	case VALORI_EVENT_INSERT:
		op->kind = VALORI_OP_INSERT;
		op->vector = event->vector;
		op->vector_kind = VALORI_Q16LE;
		op->dim = renumber->dim;
		return VALORI_OK;
	case VALORI_EVENT_SOFT_DELETE:
		op->kind = VALORI_OP_SOFT_DELETE;
		return refer(renumber, RECORD, event->id, &op->target, error);
	case VALORI_EVENT_DELETE:
		op->kind = VALORI_OP_DELETE;
		return refer(renumber, RECORD, event->id, &op->target, error);
	case VALORI_EVENT_SET_METADATA:
		op->kind = VALORI_OP_SET_METADATA;
		return refer(renumber, RECORD, event->id, &op->target, error);
	case VALORI_EVENT_SET_TAG:
		op->kind = VALORI_OP_SET_TAG;
		return refer(renumber, RECORD, event->id, &op->target, error);
	case VALORI_EVENT_NODE_CREATE:
		op->kind = VALORI_OP_NODE_CREATE;
		return refer(renumber, RECORD, event->record, &op->target, error);
	case VALORI_EVENT_NODE_SET_RECORD:
		op->kind = VALORI_OP_NODE_SET_RECORD;
		code = refer(renumber, NODE, event->id, &op->from, error);
		return code != VALORI_OK ? code : refer(renumber, RECORD, event->record, &op->target, error);
	case VALORI_EVENT_NODE_DELETE:
		op->kind = VALORI_OP_NODE_DELETE;
		return refer(renumber, NODE, event->id, &op->from, error);
	case VALORI_EVENT_EDGE_CREATE:
		op->kind = VALORI_OP_EDGE_CREATE;
		code = refer(renumber, NODE, event->from, &op->from, error);
		return code != VALORI_OK ? code : refer(renumber, NODE, event->to, &op->to, error);
	case VALORI_EVENT_EDGE_DELETE:
		op->kind = VALORI_OP_EDGE_DELETE;
		return refer(renumber, EDGE, event->id, &op->from, error);
	case VALORI_EVENT_META_SET:
		op->kind = VALORI_OP_META_SET;
		return remember_key(renumber, event, error);
	case VALORI_EVENT_META_DELETE:
		op->kind = VALORI_OP_META_DELETE;
		if (!look(renumber, META, event->id, &place))
			return fail(error, VALORI_NOT_FOUND, "names meta slot %llu, which this log did not bring",
				    (unsigned long long)event->id);
		op->key = renumber->keys + place + 1;
		op->key_size = (uint8_t)renumber->keys[place];
		return VALORI_OK;
	case VALORI_EVENT_COLLECTION_DROP:
		op->kind = VALORI_OP_COLLECTION_DROP;
		return find_collection(renumber, (uint32_t)event->id, &op->collection, error);
	case VALORI_EVENT_CONFIG:
		op->kind = VALORI_OP_CONFIG;
		op->tag = event->parameter;
		op->target.id = event->value;
		return VALORI_OK;
	case VALORI_EVENT_COLLECTION_CREATE:
		break;
	}
	return fail(error, VALORI_NEWER, "an event of type %u, which this version does not know", event->type);
}

static valori_code take_event(struct renumber *renumber, valori *store, const valori_event *event, uint64_t *events,
			      valori_error *error)
{
	static const struct {
		uint32_t type;
		enum thing thing;
	} makers[] = {
		{VALORI_EVENT_INSERT, RECORD}, {VALORI_EVENT_NODE_CREATE, NODE}, {VALORI_EVENT_EDGE_CREATE, EDGE}};
	valori_op op = {0};
	valori_code code;

	if (event->type == VALORI_EVENT_COLLECTION_CREATE)
		return take_collection(renumber, store, event, events, error);
	code = translate(renumber, event, &op, error);
	if (code == VALORI_OK)
		code = valori_batch_add(renumber->batch, &op, error);
	for (size_t i = 0; code == VALORI_OK && i < sizeof(makers) / sizeof(makers[0]); i++)
		if (makers[i].type == event->type)
			code = remember(renumber, makers[i].thing, event->id,
					MADE_HERE | (valori_batch_count(renumber->batch) - 1), error);
	return code;
}

valori_code renumber_commit(struct renumber *renumber, valori *store, valori_log *log, const valori_commit_view *commit,
			    uint64_t *out_events, valori_error *error)
{
	valori_error ignored;
	valori_event event;
	valori_code code = VALORI_OK;

	if (error == NULL)
		error = &ignored;
	*out_events = 0;
	valori_batch_clear(renumber->batch);
	for (uint32_t i = 0; code == VALORI_OK && i < commit->event_count; i++) {
		code = valori_log_event(log, i, &event, error);
		if (code == VALORI_OK)
			code = take_event(renumber, store, &event, out_events, error);
	}
	if (code == VALORI_OK)
		code = commit_batch(renumber, store, out_events, error);
	return code;
}
