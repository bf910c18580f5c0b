/* serve_records.c - routes about records: insert, read, metadata, delete. */
#include "serve_body.h"

#include <string.h>

/* /health tells of a disk that does not take what is written, until it does. error NULL: it did. */
static void note_fault(struct node *node, const valori_error *error)
{
	bool is_fault = error != NULL && (error->code == VALORI_POISONED || error->code == VALORI_IO);

	if (!is_fault && (error != NULL || !atomic_load(&node->has_fault)))
		return;
	pthread_mutex_lock(&node->faults);
	snprintf(node->fault, sizeof(node->fault), "%s", is_fault ? error->message : "");
	atomic_store(&node->has_fault, is_fault);
	pthread_mutex_unlock(&node->faults);
}

bool serve_commit(struct exchange *x, valori_batch *batch, valori_receipt *out, uint64_t *out_ids)
{
	struct node *node = x->node;
	uint64_t began = http_now_ns();
	valori_receipt receipt;
	valori_error error;

	exchange_give_turn(x);
	if (valori_commit(node->store, batch, &receipt, out_ids, &error) != VALORI_OK) {
		note_fault(node, &error);
		fail(x, &error);
		return false;
	}
	note_fault(node, NULL);
	serve_committed(node);
	histogram_add(valori_batch_count(batch) > 1 ? &node->batch_seconds : &node->commit_seconds,
		      http_now_ns() - began);
	if (receipt.commit != VALORI_NONE)
		atomic_fetch_add(&node->events_committed, receipt.event_count);
	if (out != NULL)
		*out = receipt;
	return true;
}

bool serve_collection(struct exchange *x, const char *name, size_t size, int status, uint32_t *out)
{
	valori_view *view;

	*out = 0;
	if (name == NULL)
		return true;
	view = exchange_view(x);
	if (view == NULL)
		return false;
	if (valori_collection_find(view, name, size, out, NULL) == VALORI_OK)
		return true;
	fail_with(x, status, "not_found", "collection %.*s: is not there: POST /v1/namespaces makes it",
		  size < 80 ? (int)size : 80, name);
	return false;
}

void reply_metadata(struct tool_json *json, const char *name, const uint8_t *bytes, size_t size)
{
	struct json parsed;
	struct slice text;

	if (bytes == NULL) {
		tool_json_raw(json, name, "null");
		return;
	}
	json_init(&parsed, (const char *)bytes, size);
	if (json_skip(&parsed, &text) && json_end(&parsed) && memchr(bytes, 0, size) == NULL && size > 0) {
		fprintf(json->file, "%s\"%s\":", json->more ? "," : "", name);
		fwrite(bytes, 1, size, json->file);
		json->more = true;
	} else {
		tool_json_bytes(json, name, bytes, size);
	}
}

/* ---- insert ---- */

void route_insert(struct exchange *x)
{
	struct body_vector vector = {0};
	struct body_u64 tag = {0}, upsert = {0};
	struct body_text collection = {0}, key = {0}, metadata = {0}, text = {0}, base64 = {0};
	struct body_request request = {0};
	const struct body_member members[] = {
		{"values", BODY_VECTOR, true, &vector},		{"vector", BODY_VECTOR, false, &vector},
		{"embedding", BODY_VECTOR, false, &vector},	{"tag", BODY_U64, false, &tag},
		{"collection", BODY_TEXT, false, &collection},	{"key", BODY_TEXT, false, &key},
		{"metadata", BODY_JSON, false, &metadata},	{"text", BODY_TEXT, false, &text},
		{"request_id", BODY_REQUEST, false, &request},	{"upsert", BODY_BOOL, false, &upsert},
		{"metadata_base64", BODY_TEXT, false, &base64},
	};
	valori_op op = {.vector_kind = VALORI_F32};
	valori_receipt receipt;
	struct tool_json *json;
	uint64_t id;

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) ||
	    !serve_collection(x, collection.text, collection.size, 400, &op.collection) ||
	    !body_metadata(x, metadata.text != NULL ? &metadata : &text, &base64, &op))
		return;
	op.kind = upsert.value ? VALORI_OP_UPSERT : VALORI_OP_INSERT;
	op.tag = tag.value;
	op.vector = vector.bits;
	op.dim = (uint32_t)vector.count;
	op.key = key.text;
	op.key_size = (uint32_t)key.size;
	body_request(&op, &request);
	if (!serve_commit_one(x, &op, &receipt, &id) || (json = reply_begin(x)) == NULL)
		return;
	tool_json_u64(json, "id", id);
	reply_receipt(x, json, id, &vector, &receipt);
	reply_send(x, 200);
}

/* ---- one record ---- */

static void reply_record(struct exchange *x, uint64_t id)
{
	valori_record record;
	struct tool_json *json;

	if (valori_record_get(x->view, id, &record, NULL) != VALORI_OK || record.status == VALORI_DELETED) {
		fail_with(x, 404, "not_found", "record %llu: is not there", (unsigned long long)id);
		return;
	}
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_u64(json, "id", record.id);
	reply_vector(x, json, "vector", record.id);
	reply_metadata(json, "metadata", record.metadata, record.metadata_size);
	tool_json_u64(json, "tag", record.tag);
	if (record.key != NULL)
		tool_json_string(json, "key", record.key, record.key_size);
	tool_json_bool(json, "live", record.status == VALORI_LIVE);
	reply_send(x, 200);
}

void route_record(struct exchange *x)
{
	if (exchange_view(x) != NULL)
		reply_record(x, x->id);
}

void route_record_find(struct exchange *x)
{
	const char *key = exchange_text(x, "key"), *collection = exchange_text(x, "collection");
	uint32_t number;
	uint64_t id;

	if (key == NULL) {
		fail_with(x, 400, "invalid", "key: is missing: want ?key=KEY, or /v1/records/ID");
		return;
	}
	if (exchange_view(x) == NULL ||
	    !serve_collection(x, collection, collection != NULL ? strlen(collection) : 0, 404, &number))
		return;
	if (valori_record_find(x->view, number, key, strlen(key), &id, NULL) == VALORI_OK)
		reply_record(x, id);
	else
		fail_with(x, 404, "not_found", "record \"%.255s\": is not there", key);
}

/* Commits what changes a record, and says so. */
static void change_record(struct exchange *x, const valori_op *op)
{
	struct tool_json *json;

	if (!serve_commit_one(x, op, NULL, NULL) || (json = reply_begin(x)) == NULL)
		return;
	tool_json_bool(json, "ok", true);
	tool_json_u64(json, "id", x->id);
	reply_send(x, 200);
}

void route_record_metadata(struct exchange *x)
{
	valori_op op = {.kind = VALORI_OP_SET_METADATA, .target = {.kind = VALORI_REF_ID, .id = x->id}};
	const char *type = http_header(x->http, "Content-Type");
	struct json parsed;
	struct slice text;

	if (!http_body(x->http))
		return;
	json_init(&parsed, x->http->body, x->http->body_size);
	/* Metadata need not be JSON: bytes are taken as they are. */
	if (type != NULL && strncmp(type, "application/octet-stream", 24) == 0) {
		text = (struct slice){x->http->body_size > 0 ? x->http->body : "", x->http->body_size};
	} else if (!json_skip(&parsed, &text) || !json_end(&parsed)) {
		fail_with(x, 400, "invalid", "body: byte %zu: %s", (size_t)(parsed.next - parsed.start),
			  parsed.fault != NULL ? parsed.fault : "is no JSON");
		return;
	}
	op.metadata = (const uint8_t *)text.text;
	op.metadata_size = (uint32_t)text.size;
	change_record(x, &op);
}

void route_record_metadata_delete(struct exchange *x)
{
	valori_op op = {.kind = VALORI_OP_SET_METADATA, .target = {.kind = VALORI_REF_ID, .id = x->id}};

	change_record(x, &op);
}

void route_record_tag(struct exchange *x)
{
	struct body_u64 tag = {0};
	const struct body_member members[] = {{"tag", BODY_U64, true, &tag}};
	valori_op op = {.kind = VALORI_OP_SET_TAG, .target = {.kind = VALORI_REF_ID, .id = x->id}};

	if (!body_read(x, members, 1))
		return;
	op.tag = tag.value;
	change_record(x, &op);
}

static void remove_record(struct exchange *x, valori_op_kind kind)
{
	struct body_u64 id = {0};
	struct body_text collection = {0}, key = {0};
	struct body_request request = {0};
	const struct body_member members[] = {
		{"id", BODY_U64, false, &id},
		{"key", BODY_TEXT, false, &key},
		{"collection", BODY_TEXT, false, &collection},
		{"request_id", BODY_REQUEST, false, &request},
	};
	valori_op op = {.kind = kind, .target = {.kind = VALORI_REF_ID}};

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) ||
	    !serve_collection(x, collection.text, collection.size, 404, &op.collection))
		return;
	if (id.is_there == (key.text != NULL)) {
		fail_with(x, 400, "invalid", "body: want either id or key");
		return;
	}
	op.target.id = id.value;
	if (key.text != NULL)
		op.target = (valori_ref){VALORI_REF_KEY, (uint32_t)key.size, 0, key.text};
	body_request(&op, &request);
	serve_commit_success(x, &op);
}

void route_delete(struct exchange *x)
{
	remove_record(x, VALORI_OP_DELETE);
}

void route_soft_delete(struct exchange *x)
{
	remove_record(x, VALORI_OP_SOFT_DELETE);
}
