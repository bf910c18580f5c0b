/* events.c - events as NDJSON rows and as lines of columns. */
#include "events.h"

#include <stdlib.h>
#include <string.h>

static const char *const ops[] = {
	[VALORI_EVENT_INSERT] = "insert",
	[VALORI_EVENT_SOFT_DELETE] = "soft_delete",
	[VALORI_EVENT_DELETE] = "delete",
	[VALORI_EVENT_SET_METADATA] = "set_metadata",
	[VALORI_EVENT_SET_TAG] = "set_tag",
	[VALORI_EVENT_NODE_CREATE] = "node",
	[VALORI_EVENT_NODE_SET_RECORD] = "node_set_record",
	[VALORI_EVENT_NODE_DELETE] = "node_delete",
	[VALORI_EVENT_EDGE_CREATE] = "edge",
	[VALORI_EVENT_EDGE_DELETE] = "edge_delete",
	[VALORI_EVENT_META_SET] = "meta",
	[VALORI_EVENT_META_DELETE] = "meta_delete",
	[VALORI_EVENT_COLLECTION_CREATE] = "collection_create",
	[VALORI_EVENT_COLLECTION_DROP] = "collection_drop",
	[VALORI_EVENT_CONFIG] = "config",
};

/* ---- names ---- */

void known_free(struct known *known)
{
	struct slots *all[] = {&known->records, &known->nodes, &known->edges, &known->collections,
			       &known->meta};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]->of);
	free(known->heap);
	*known = (struct known){0};
}

static const uint32_t *slot_at(const struct slots *slots, uint64_t id)
{
	return id >= slots->first && id - slots->first < slots->count ? &slots->of[id - slots->first] : NULL;
}

/* A number out of order would make us reserve memory on a stranger's word: it is not remembered. */
static void slot_put(struct slots *slots, uint64_t id, uint32_t value)
{
	if (slots->count == 0)
		slots->first = id;
	if (slot_at(slots, id) != NULL) {
		slots->of[id - slots->first] = value;
		return;
	}
	if (id != slots->first + slots->count)
		return;
	slots->of = tool_grow(slots->of, &slots->room, slots->count + 1, sizeof *slots->of);
	slots->of[slots->count++] = value;
}

/* The place of a text in the heap; texts have at most 255 bytes. 0, where nothing is: the heap is full. */
static uint32_t text_put(struct known *known, const char *text, size_t size)
{
	size_t place = known->heap_size ? known->heap_size : 1;

	if (size > UINT8_MAX || place + size + 1 > UINT32_MAX)
		return 0;
	known->heap = tool_grow(known->heap, &known->heap_room, place + size + 1, 1);
	known->heap[place] = (char)(uint8_t)size;
	memcpy(known->heap + place + 1, text, size);
	known->heap_size = place + size + 1;
	return (uint32_t)place;
}

static const char *text_at(const struct known *known, const struct slots *slots, uint64_t id,
			   size_t *out_size)
{
	const uint32_t *place = slot_at(slots, id);

	if (place == NULL || *place == 0)
		return NULL;
	*out_size = (uint8_t)known->heap[*place];
	return known->heap + *place + 1;
}

static void learn_text(struct known *known, struct slots *slots, uint64_t id, const char *text, size_t size)
{
	size_t old_size;
	const char *old = text_at(known, slots, id, &old_size);

	if (old == NULL || old_size != size || memcmp(old, text, size) != 0)
		slot_put(slots, id, text_put(known, text, size));
}

void known_learn(struct known *known, const valori_event *event)
{
	const uint32_t *from;

	if (event->type == VALORI_EVENT_INSERT) {
		slot_put(&known->records, event->id, event->collection);
	} else if (event->type == VALORI_EVENT_NODE_CREATE) {
		slot_put(&known->nodes, event->id, event->collection);
	} else if (event->type == VALORI_EVENT_EDGE_CREATE) {
		from = slot_at(&known->nodes, event->from);
		if (from != NULL)
			slot_put(&known->edges, event->id, *from);
	} else if (event->type == VALORI_EVENT_META_SET) {
		learn_text(known, &known->meta, event->id, event->key, event->key_size);
	} else if (event->type == VALORI_EVENT_COLLECTION_CREATE) {
		learn_text(known, &known->collections, event->id, event->key, event->key_size);
	}
}

void known_learn_view(struct known *known, const valori_view *view)
{
	const char *name;
	size_t size;
	uint32_t live;

	for (uint32_t id = 1; valori_collection_get(view, id, &name, &size, &live, NULL) == VALORI_OK; id++)
		learn_text(known, &known->collections, id, name, size);
}

const char *known_collection(const struct known *known, uint32_t id, size_t *out_size)
{
	*out_size = strlen("default");
	return id == 0 ? "default" : text_at(known, &known->collections, id, out_size);
}

bool known_collection_of(const struct known *known, const valori_event *event, uint32_t *out)
{
	const uint32_t *of = NULL;

	switch ((valori_event_type)event->type) {
	case VALORI_EVENT_INSERT:
	case VALORI_EVENT_NODE_CREATE:
		*out = event->collection;
		return true;
	case VALORI_EVENT_COLLECTION_CREATE:
	case VALORI_EVENT_COLLECTION_DROP:
		*out = (uint32_t)event->id;
		return true;
	case VALORI_EVENT_META_SET:
	case VALORI_EVENT_META_DELETE:
	case VALORI_EVENT_CONFIG:
		*out = 0;
		return true;
	case VALORI_EVENT_SOFT_DELETE:
	case VALORI_EVENT_DELETE:
	case VALORI_EVENT_SET_METADATA:
	case VALORI_EVENT_SET_TAG:
		of = slot_at(&known->records, event->id);
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
	case VALORI_EVENT_NODE_DELETE:
		of = slot_at(&known->nodes, event->id);
		break;
	case VALORI_EVENT_EDGE_CREATE:
		of = slot_at(&known->nodes, event->from);
		break;
	case VALORI_EVENT_EDGE_DELETE:
		of = slot_at(&known->edges, event->id);
		break;
	}
	if (of != NULL)
		*out = *of;
	return of != NULL;
}

/* The key of a meta event: in the event, or the last one seen in its slot. */
static const char *meta_key(const struct event_row *row, size_t *out_size)
{
	*out_size = row->event->key_size;
	return row->event->type == VALORI_EVENT_META_DELETE
		       ? text_at(row->known, &row->known->meta, row->event->id, out_size)
		       : row->event->key;
}

/* ---- JSON ---- */

static void json_vector(struct tool_json *json, const uint8_t *vector, uint32_t dim)
{
	tool_json_array(json, "vector_q16");
	for (uint32_t i = 0; i < dim; i++, vector += 4)
		tool_json_i32(json, NULL,
			      (int32_t)((uint32_t)vector[0] | (uint32_t)vector[1] << 8 |
					(uint32_t)vector[2] << 16 | (uint32_t)vector[3] << 24));
	tool_json_array_end(json);
}

static void json_collection(struct tool_json *json, const struct known *known, uint64_t id)
{
	size_t size;
	const char *name = id <= UINT32_MAX ? known_collection(known, (uint32_t)id, &size) : NULL;

	if (name != NULL)
		tool_json_string(json, "collection", name, size);
	else
		tool_json_u64(json, "collection", id);
}

static void json_metadata(struct tool_json *json, const valori_event *event)
{
	if (event->metadata != NULL)
		tool_json_bytes(json, "metadata", event->metadata, event->metadata_size);
	else if (event->type != VALORI_EVENT_INSERT)
		tool_json_raw(json, "metadata", "null");
	if (event->salted)
		tool_json_bool(json, "salted", true);
}

static void json_record(struct tool_json *json, const valori_event *event)
{
	if (event->record != VALORI_NONE)
		tool_json_u64(json, "record", event->record);
	else if (event->type == VALORI_EVENT_NODE_SET_RECORD)
		tool_json_raw(json, "record", "null");
}

static void json_insert(struct tool_json *json, const struct event_row *row)
{
	const valori_event *event = row->event;

	if (event->collection != 0)
		json_collection(json, row->known, event->collection);
	if (event->key_size != 0)
		tool_json_string(json, "key", event->key, event->key_size);
	tool_json_u64(json, "tag", event->tag);
	if (row->vectors)
		json_vector(json, event->vector, row->dim);
	json_metadata(json, event);
}

static void json_members(struct tool_json *json, const struct event_row *row)
{
	const valori_event *event = row->event;
	const char *key;
	size_t size;

	switch ((valori_event_type)event->type) {
	case VALORI_EVENT_INSERT:
		json_insert(json, row);
		break;
	case VALORI_EVENT_SET_METADATA:
		json_metadata(json, event);
		break;
	case VALORI_EVENT_SET_TAG:
		tool_json_u64(json, "tag", event->tag);
		break;
	case VALORI_EVENT_NODE_CREATE:
		if (event->collection != 0)
			json_collection(json, row->known, event->collection);
		tool_json_u64(json, "kind", event->kind);
		json_record(json, event);
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
		json_record(json, event);
		break;
	case VALORI_EVENT_EDGE_CREATE:
		tool_json_u64(json, "kind", event->kind);
		tool_json_u64(json, "from", event->from);
		tool_json_u64(json, "to", event->to);
		break;
	case VALORI_EVENT_META_SET:
	case VALORI_EVENT_META_DELETE:
		key = meta_key(row, &size);
		if (key != NULL)
			tool_json_string(json, "key", key, size);
		if (event->type == VALORI_EVENT_META_SET)
			json_metadata(json, event);
		break;
	case VALORI_EVENT_COLLECTION_CREATE:
	case VALORI_EVENT_COLLECTION_DROP:
		json_collection(json, row->known, event->id);
		break;
	case VALORI_EVENT_CONFIG:
		tool_json_u64(json, "parameter", event->parameter);
		tool_json_u64(json, "value", event->value);
		break;
	case VALORI_EVENT_SOFT_DELETE:
	case VALORI_EVENT_DELETE:
	case VALORI_EVENT_NODE_DELETE:
	case VALORI_EVENT_EDGE_DELETE:
		break;
	}
}

void event_print_json(FILE *file, const struct event_row *row)
{
	struct tool_json json = {.file = file};
	char time[32];

	tool_json_begin(&json);
	tool_json_u64(&json, "event", row->event->number);
	tool_json_u64(&json, "commit", row->commit->number);
	tool_json_text(&json, "time", tool_time(row->commit->time_ms, time));
	tool_json_text(&json, "op", ops[row->event->type]);
	if (row->event->type != VALORI_EVENT_CONFIG)
		tool_json_u64(&json, "id", row->event->id);
	json_members(&json, row);
	if (row->root_before != NULL) {
		tool_json_hash(&json, "root_before", row->root_before);
		tool_json_hash(&json, "root_after", &row->commit->state_root);
	}
	if (row->says_dim && row->event->type != VALORI_EVENT_INSERT)
		tool_json_u64(&json, "dim", row->dim);
	tool_json_end(&json);
}

/* ---- columns ---- */

static void put_preview(FILE *file, const uint8_t *bytes, size_t size)
{
	size_t shown = size < 60 ? size : 60;

	while (shown < size && shown > 0 && (bytes[shown] & 0xc0) == 0x80)
		shown--; /* not in the middle of a character */
	tool_tsv(file, bytes, shown);
	if (shown < size)
		fputs("...", file);
}

static void put_collection(FILE *file, const struct event_row *row)
{
	const char *name;
	uint32_t id;
	size_t size;

	if (!known_collection_of(row->known, row->event, &id))
		return;
	name = known_collection(row->known, id, &size);
	if (name != NULL)
		tool_tsv(file, name, size);
	else
		fprintf(file, "%lu", (unsigned long)id);
}

static void put_detail(FILE *file, const valori_event *event)
{
	if (event->type == VALORI_EVENT_NODE_CREATE)
		fprintf(file, "kind %lu", (unsigned long)event->kind);
	if (event->type == VALORI_EVENT_NODE_CREATE && event->record != VALORI_NONE)
		fputc(' ', file);
	if (event->type == VALORI_EVENT_NODE_SET_RECORD && event->record == VALORI_NONE)
		fputs("no record", file);
	if ((event->type == VALORI_EVENT_NODE_CREATE || event->type == VALORI_EVENT_NODE_SET_RECORD) &&
	    event->record != VALORI_NONE)
		fprintf(file, "record %llu", (unsigned long long)event->record);
	if (event->type == VALORI_EVENT_EDGE_CREATE)
		fprintf(file, "kind %lu from %llu to %llu", (unsigned long)event->kind,
			(unsigned long long)event->from, (unsigned long long)event->to);
	if (event->type == VALORI_EVENT_CONFIG)
		fprintf(file, "parameter %lu value %llu", (unsigned long)event->parameter,
			(unsigned long long)event->value);
	if (event->metadata != NULL)
		put_preview(file, event->metadata, event->metadata_size);
}

void event_print_line(FILE *file, const struct event_row *row)
{
	const valori_event *event = row->event;
	bool is_meta = event->type == VALORI_EVENT_META_SET || event->type == VALORI_EVENT_META_DELETE;
	char time[32], root[65];
	const char *key = event->key;
	size_t key_size = event->key_size;

	if (is_meta)
		key = meta_key(row, &key_size);
	if (event->type == VALORI_EVENT_COLLECTION_CREATE)
		key = NULL; /* its name is in the column of collections */
	fprintf(file, "%llu\t%llu\t%s\t%s\t", (unsigned long long)event->number,
		(unsigned long long)row->commit->number, tool_time(row->commit->time_ms, time),
		ops[event->type]);
	if (event->type != VALORI_EVENT_CONFIG)
		fprintf(file, "%llu", (unsigned long long)event->id);
	fputc('\t', file);
	if (!is_meta && event->type != VALORI_EVENT_CONFIG)
		put_collection(file, row);
	fputc('\t', file);
	if (key != NULL)
		tool_tsv(file, key, key_size);
	fputc('\t', file);
	if (event->type == VALORI_EVENT_INSERT || event->type == VALORI_EVENT_SET_TAG)
		fprintf(file, "%llu", (unsigned long long)event->tag);
	fputc('\t', file);
	put_detail(file, event);
	if (row->root_before != NULL) {
		valori_hash_format(row->root_before, root);
		fprintf(file, "\t%s", root);
		valori_hash_format(&row->commit->state_root, root);
		fprintf(file, "\t%s", root);
	}
	fputc('\n', file);
}
