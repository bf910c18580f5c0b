/* serve_memory.c - the memory protocol: chunks of documents, what supersedes and contradicts what, meta values. */
#include "serve_body.h"

#include <stdlib.h>
#include <string.h>

enum { /* kinds of the protocol; any other number is kept as well */
       NODE_RECORD = 1,
       NODE_DOCUMENT = 2,
       NODE_CHUNK = 3,
       EDGE_PARENT_OF = 1,
       EDGE_SUPERSEDES = 7,
       EDGE_CONTRADICTS = 8
};

/* "rec:17", what the protocol calls record 17. */
static const char *memory_id(uint64_t record, char out[32])
{
	snprintf(out, 32, "rec:%llu", (unsigned long long)record);
	return out;
}

/* Several ops as one commit. */
static bool commit_ops(struct exchange *x, const valori_op *ops, size_t count, valori_receipt *out, uint64_t *out_ids)
{
	valori_batch *batch;
	valori_error error;
	bool whole = true;

	if (valori_batch_new(x->node->config.dim, &batch, &error) != VALORI_OK) {
		fail(x, &error);
		return false;
	}
	for (size_t i = 0; i < count && whole; i++)
		whole = valori_batch_add(batch, &ops[i], &error) == VALORI_OK;
	if (!whole)
		fail(x, &error);
	whole = whole && serve_commit(x, batch, out, out_ids);
	valori_batch_free(batch);
	return whole;
}

bool serve_commit_one(struct exchange *x, const valori_op *op, valori_receipt *out, uint64_t *out_id)
{
	return commit_ops(x, op, 1, out, out_id);
}

void serve_commit_success(struct exchange *x, const valori_op *op)
{
	struct tool_json *json;

	if (!serve_commit_one(x, op, NULL, NULL) || (json = reply_begin(x)) == NULL)
		return;
	tool_json_bool(json, "success", true);
	reply_send(x, 200);
}

void route_memory_upsert(struct exchange *x)
{
	struct body_vector vector = {0};
	struct body_u64 document = {0}, tag = {0};
	struct body_text metadata = {0}, collection = {0};
	struct body_request request = {0};
	const struct body_member members[] = {
		{"vector", BODY_VECTOR, true, &vector},	       {"attach_to_document_node", BODY_U64, false, &document},
		{"metadata", BODY_JSON, false, &metadata},     {"tag", BODY_U64, false, &tag},
		{"collection", BODY_TEXT, false, &collection}, {"request_id", BODY_REQUEST, false, &request},
	};
	valori_op ops[4] = {
		{.kind = VALORI_OP_INSERT, .vector_kind = VALORI_F32},
		{.kind = VALORI_OP_NODE_CREATE, .object_kind = NODE_CHUNK, .target = {VALORI_REF_OP, 0, 0, NULL}},
		{.kind = VALORI_OP_NODE_CREATE, .object_kind = NODE_DOCUMENT},
		{.kind = VALORI_OP_EDGE_CREATE, .object_kind = EDGE_PARENT_OF, .to = {VALORI_REF_OP, 0, 1, NULL}}};
	uint64_t ids[4], nodes, document_node;
	struct tool_json *json;
	uint32_t number;
	size_t count;
	bool done;
	char name[32];

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) ||
	    !serve_collection(x, collection.text, collection.size, 404, &number))
		return;
	for (size_t i = 0; i < 4; i++)
		ops[i].collection = number;
	ops[0].vector = vector.bits;
	ops[0].dim = (uint32_t)vector.count;
	ops[0].tag = tag.value;
	ops[0].metadata = (const uint8_t *)metadata.text;
	ops[0].metadata_size = (uint32_t)metadata.size;
	nodes = document.is_there ? 1 : 2;
	if (document.is_there) {
		ops[2] = ops[3];
		ops[2].from = (valori_ref){.kind = VALORI_REF_ID, .id = document.value};
		count = 3;
	} else {
		ops[3].from = (valori_ref){.kind = VALORI_REF_OP, .id = 2};
		count = 4;
	}
	for (size_t i = 0; i < count; i++)
		body_request_part(&ops[i], (unsigned)i, &request);
	if (!serve_reserve(x, nodes, 1))
		return;
	done = commit_ops(x, ops, count, NULL, ids);
	serve_unreserve(x, nodes, 1);
	if (!done || (json = reply_begin(x)) == NULL)
		return;
	document_node = document.is_there ? document.value : ids[2];
	tool_json_text(json, "memory_id", memory_id(ids[0], name));
	tool_json_u64(json, "record_id", ids[0]);
	tool_json_u64(json, "document_node_id", document_node);
	tool_json_u64(json, "chunk_node_id", ids[1]);
	reply_send(x, 200);
}

/* ---- meta ---- */

/* What a memory has to say: the meta value of its name, or else the record's own. */
const uint8_t *memory_metadata(struct exchange *x, uint64_t record, size_t *out_size)
{
	char name[32];
	const uint8_t *value;
	valori_record found;

	memory_id(record, name);
	if (valori_meta_get(x->view, name, strlen(name), &value, out_size, NULL) == VALORI_OK)
		return value;
	if (valori_record_get(x->view, record, &found, NULL) != VALORI_OK)
		return NULL;
	*out_size = found.metadata_size;
	return found.metadata;
}

void reply_memory(struct exchange *x, struct tool_json *json, uint64_t record)
{
	size_t size = 0;
	const uint8_t *value = memory_metadata(x, record, &size);

	reply_metadata(json, "metadata", value, size);
}

void route_meta_set(struct exchange *x)
{
	struct body_text target = {0}, key = {0}, metadata = {0}, value = {0}, base64 = {0};
	const struct body_member members[] = {
		{"target_id", BODY_TEXT, false, &target},
		{"metadata", BODY_JSON, false, &metadata},
		{"key", BODY_TEXT, false, &key},
		{"value", BODY_JSON, false, &value},
		{"value_base64", BODY_TEXT, false, &base64},
	};
	valori_op op = {.kind = VALORI_OP_META_SET};

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])))
		return;
	if (target.text == NULL)
		target = key;
	if (metadata.text == NULL)
		metadata = value;
	if (target.text == NULL || (metadata.text == NULL && base64.text == NULL)) {
		fail_with(x, 400, "invalid", "body: want target_id and metadata, or key and value or value_base64");
		return;
	}
	if (!body_metadata(x, &metadata, &base64, &op))
		return;
	op.key = target.text;
	op.key_size = (uint32_t)target.size;
	serve_commit_success(x, &op);
}

void route_meta_delete(struct exchange *x)
{
	struct body_text key = {0};
	const struct body_member members[] = {{"key", BODY_TEXT, true, &key}, {"target_id", BODY_TEXT, false, &key}};
	valori_op op = {.kind = VALORI_OP_META_DELETE};

	if (!body_read(x, members, 2))
		return;
	op.key = key.text;
	op.key_size = (uint32_t)key.size;
	serve_commit_success(x, &op);
}

void route_meta_get(struct exchange *x)
{
	const char *target = exchange_text(x, "target_id");
	const uint8_t *value = NULL;
	struct tool_json *json;
	size_t size = 0;
	uint64_t record;

	if (target == NULL)
		target = exchange_text(x, "key");
	if (target == NULL) {
		fail_with(x, 400, "invalid", "want ?target_id= or ?key=");
		return;
	}
	if (exchange_view(x) == NULL || (json = reply_begin(x)) == NULL)
		return;
	tool_json_text(json, "target_id", target);
	if (valori_meta_get(x->view, target, strlen(target), &value, &size, NULL) != VALORI_OK &&
	    strncmp(target, "rec:", 4) == 0 && tool_parse_u64(target + 4, &record)) {
		reply_memory(x, json, record);
	} else {
		reply_metadata(json, "metadata", value, size);
	}
	tool_json_text(json, "key", target);
	if (value != NULL)
		tool_json_bytes(json, "value", value, size);
	reply_send(x, 200);
}

/* ---- what supersedes and contradicts what ---- */

/* The first node of a record, or an op that makes one, as an end of an edge. part: that op's, of the request. */
static valori_ref node_of(const valori_record *record, unsigned part, const struct body_request *request,
			  valori_op *ops, size_t *count)
{
	valori_ref ref = {.kind = VALORI_REF_OP, .id = *count};

	if (record->node != VALORI_NONE)
		return (valori_ref){.kind = VALORI_REF_ID, .id = record->node};
	ops[*count] = (valori_op){.kind = VALORI_OP_NODE_CREATE,
				  .object_kind = NODE_RECORD,
				  .collection = record->collection,
				  .target = {.kind = VALORI_REF_ID, .id = record->id}};
	body_request_part(&ops[(*count)++], part, request);
	return ref;
}

/* A live record, or a hidden one, if that may be; false: answered. */
static bool find_record(struct exchange *x, uint64_t id, bool may_be_hidden, valori_record *out)
{
	if (exchange_view(x) == NULL)
		return false;
	if (valori_record_get(x->view, id, out, NULL) == VALORI_OK &&
	    (out->status == VALORI_LIVE || (may_be_hidden && out->status == VALORI_TOMBSTONE)))
		return true;
	fail_with(x, 404, "not_found", "record %llu: is not there", (unsigned long long)id);
	return false;
}

void route_consolidate(struct exchange *x)
{
	struct body_u64 old = {0};
	struct body_vector vector = {0};
	struct body_text metadata = {0}, base64 = {0};
	struct body_request request = {0};
	const struct body_member members[] = {
		{"old_record_id", BODY_U64, true, &old},       {"new_vector", BODY_VECTOR, true, &vector},
		{"metadata", BODY_JSON, false, &metadata},     {"metadata_base64", BODY_TEXT, false, &base64},
		{"request_id", BODY_REQUEST, false, &request},
	};
	valori_op ops[5];
	uint64_t ids[5];
	size_t count = 0, nodes;
	valori_receipt receipt;
	valori_record record;
	struct tool_json *json;
	valori_ref from, to;
	bool done;

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) ||
	    !find_record(x, old.value, request.is_there, &record))
		return;
	ops[count++] = (valori_op){.kind = VALORI_OP_INSERT,
				   .vector_kind = VALORI_F32,
				   .collection = record.collection,
				   .tag = record.tag,
				   .vector = vector.bits,
				   .dim = (uint32_t)vector.count};
	if (!body_metadata(x, &metadata, &base64, &ops[0]))
		return;
	ops[count] = (valori_op){.kind = VALORI_OP_NODE_CREATE,
				 .object_kind = NODE_RECORD,
				 .collection = record.collection,
				 .target = {.kind = VALORI_REF_OP, .id = 0}};
	from = (valori_ref){.kind = VALORI_REF_OP, .id = count++};
	to = node_of(&record, 2, &request, ops, &count);
	nodes = count - 1;
	ops[count++] = (valori_op){.kind = VALORI_OP_EDGE_CREATE,
				   .object_kind = EDGE_SUPERSEDES,
				   .collection = record.collection,
				   .from = from,
				   .to = to};
	ops[count] = (valori_op){.kind = VALORI_OP_SOFT_DELETE, .target = {.kind = VALORI_REF_ID, .id = old.value}};
	body_request_part(&ops[0], 0, &request);
	body_request_part(&ops[1], 1, &request);
	body_request_part(&ops[count - 1], 3, &request);
	body_request_part(&ops[count], 4, &request);
	if (!serve_reserve(x, nodes, 1))
		return;
	done = commit_ops(x, ops, count + 1, &receipt, ids);
	serve_unreserve(x, nodes, 1);
	if (!done || (json = reply_begin(x)) == NULL)
		return;
	tool_json_u64(json, "old_record_id", old.value);
	tool_json_u64(json, "new_record_id", ids[0]);
	tool_json_u64(json, "supersedes_edge_id", ids[count - 1]);
	tool_json_hash(json, "state_hash", &receipt.state_root);
	reply_send(x, 200);
}

/* The largest number whose square is not above value, which is below 2^62. */
static uint64_t root_of(uint64_t value)
{
	uint64_t root = 0;

	for (int bit = 30; bit >= 0; bit--) {
		uint64_t larger = root | (uint64_t)1 << bit;

		if (larger * larger <= value)
			root = larger;
	}
	return root;
}

/*
 * The cosine of two vectors in units of 10^-6, rounded towards zero; 0 when one of them is zero. Sums of squares of
 * accepted vectors are below 2^62, and so is what any part of the inner product comes to.
 */
static int64_t cosine(const int32_t *a, const int32_t *b, size_t dim)
{
	uint64_t norms[2] = {0, 0}, size, product;
	int64_t dot = 0, result;

	for (size_t i = 0; i < dim; i++) {
		dot += (int64_t)a[i] * b[i];
		norms[0] += (uint64_t)((int64_t)a[i] * a[i]);
		norms[1] += (uint64_t)((int64_t)b[i] * b[i]);
	}
	if (norms[0] == 0 || norms[1] == 0)
		return 0;
	size = dot < 0 ? -(uint64_t)dot : (uint64_t)dot;
	/* Roots of 31 bits, however short the vectors are; the inner product grows by what the roots grow. */
	for (size_t i = 0; i < 2; i++)
		for (; norms[i] < (uint64_t)1 << 60; norms[i] <<= 2)
			size <<= 1;
	product = root_of(norms[0]) * root_of(norms[1]);
	result = (int64_t)((size >> 20) * 1000000 / (product >> 20));
	result = result < 1000000 ? result : 1000000;
	return dot < 0 ? -result : result;
}

static void format_micro(int64_t micro, char out[32])
{
	uint64_t size = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;

	snprintf(out, 32, "%s%llu.%06llu", micro < 0 ? "-" : "", (unsigned long long)(size / 1000000),
		 (unsigned long long)(size % 1000000));
}

void route_contradict(struct exchange *x)
{
	struct body_u64 a = {0}, b = {0};
	struct body_text threshold = {0};
	struct body_request request = {0};
	const struct body_member members[] = {
		{"record_a", BODY_U64, true, &a},
		{"record_b", BODY_U64, true, &b},
		{"threshold", BODY_JSON, false, &threshold},
		{"request_id", BODY_REQUEST, false, &request},
	};
	int32_t *vectors, limit = 55706 /* 0.85 */;
	valori_info info = {.size = sizeof(info)};
	size_t dim = x->node->config.dim, count = 0;
	valori_record record_a, record_b;
	struct tool_json *json;
	valori_op ops[3];
	uint64_t ids[3];
	int64_t similarity;
	char text[32];
	bool contradicts, done = true;
	uint32_t bits;

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) ||
	    !find_record(x, a.value, false, &record_a) || !find_record(x, b.value, false, &record_b) ||
	    (vectors = exchange_alloc(x, 2 * dim, sizeof(*vectors))) == NULL)
		return;
	if (threshold.text != NULL &&
	    (valori_f32_from_decimal(threshold.text, threshold.size, &bits) != threshold.size ||
	     valori_q16_from_f32(bits, &limit) != VALORI_OK)) {
		fail_with(x, 400, "invalid", "body: threshold: must be a number from -1 to 1");
		return;
	}
	valori_vector_get(x->view, a.value, vectors, NULL);
	valori_vector_get(x->view, b.value, vectors + dim, NULL);
	similarity = cosine(vectors, vectors + dim, dim);
	contradicts = similarity * 65536 >= (int64_t)limit * 1000000;
	if (contradicts) {
		valori_ref from = node_of(&record_a, 1, &request, ops, &count);
		valori_ref to = node_of(&record_b, 2, &request, ops, &count);
		size_t nodes = count;

		ops[count++] = (valori_op){.kind = VALORI_OP_EDGE_CREATE,
					   .object_kind = EDGE_CONTRADICTS,
					   .collection = record_a.collection,
					   .from = from,
					   .to = to};
		body_request_part(&ops[count - 1], 0, &request);
		if (!serve_reserve(x, nodes, 1))
			return;
		done = commit_ops(x, ops, count, NULL, ids);
		serve_unreserve(x, nodes, 1);
	}
	if (!done || exchange_view_again(x) == NULL || valori_view_info(x->view, &info, NULL) != VALORI_OK ||
	    (json = reply_begin(x)) == NULL)
		return;
	tool_json_u64(json, "record_a", a.value);
	tool_json_u64(json, "record_b", b.value);
	format_micro(similarity, text);
	tool_json_raw(json, "similarity", text);
	tool_json_bool(json, "contradicts", contradicts);
	if (contradicts)
		tool_json_u64(json, "edge_id", ids[count - 1]);
	tool_json_hash(json, "state_hash", &info.state_root);
	reply_send(x, 200);
}
