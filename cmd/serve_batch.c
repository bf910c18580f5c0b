/* serve_batch.c - the route that inserts many records as one commit, from JSON or from rows as they lie in memory. */
#include "serve_body.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

/* What a request brings, whatever its form. */
struct rows {
	const uint8_t *vectors; /* count x dim */
	size_t count, dim;
	uint32_t vector_kind, collection;
	uint64_t tag; /* of all, where there are no tags */
	struct body_texts metadata, texts, base64, keys;
	struct body_u64 upsert;
	struct body_u64s tags;
	struct body_requests requests;
};

static bool read_json(struct exchange *x, struct rows *out)
{
	struct body_vectors vectors = {0};
	struct body_text collection = {0};
	const struct body_member members[] = {
		{"batch", BODY_VECTORS, true, &vectors},       {"vectors", BODY_VECTORS, false, &vectors},
		{"collection", BODY_TEXT, false, &collection}, {"metadata", BODY_JSONS, false, &out->metadata},
		{"texts", BODY_TEXTS, false, &out->texts},     {"keys", BODY_TEXTS, false, &out->keys},
		{"tags", BODY_U64S, false, &out->tags},	       {"request_ids", BODY_REQUESTS, false, &out->requests},
		{"upsert", BODY_BOOL, false, &out->upsert},    {"metadata_base64", BODY_TEXTS, false, &out->base64},
	};
	size_t count;

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) ||
	    !serve_collection(x, collection.text, collection.size, 400, &out->collection))
		return false;
	count = vectors.count;
	if ((out->metadata.is_there && out->metadata.count != count) ||
	    (out->texts.is_there && out->texts.count != count) || (out->keys.is_there && out->keys.count != count) ||
	    (out->base64.is_there && out->base64.count != count) || (out->tags.is_there && out->tags.count != count) ||
	    (out->requests.is_there && out->requests.count != count)) {
		fail_with(x, 400, "invalid",
			  "body: metadata, texts, metadata_base64, keys, tags and request_ids must have %zu elements, "
			  "as batch has",
			  count);
		return false;
	}
	out->vectors = (const uint8_t *)vectors.bits;
	out->count = count;
	out->dim = vectors.dim;
	out->vector_kind = VALORI_F32;
	return true;
}

/*
 * The header of an array as numpy.save writes it, of binary32 in rows, and nothing else. Bytes of the header; 0: it is
 * none. Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
static size_t read_npy(const uint8_t *data, size_t size, uint64_t *count, uint64_t *dim)
{
	static const char form[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
	size_t prefix = data[6] == 1 ? 10 : 12, length;
	char text[128], *end;

	if (size < 12 || data[6] < 1 || data[6] > 3)
		return 0;
	length = data[6] == 1 ? vl_get16(data + 8) : vl_get32(data + 8);
	if (length > size - prefix || length < sizeof(form))
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)(length < 127 ? length : 127), (const char *)data + prefix);
	if (strncmp(text, form, sizeof(form) - 1) != 0)
		return 0;
	*count = strtoull(text + sizeof(form) - 1, &end, 10);
	if (strncmp(end, ", ", 2) != 0)
		return 0;
	*dim = strtoull(end + 2, &end, 10);
	return *end == ')' ? prefix + length : 0;
}

/* ?dim= and rows of little-endian binary32 behind each other, or a file of numpy. */
static bool read_raw(struct exchange *x, struct rows *out)
{
	const uint8_t *data = (const uint8_t *)x->http->body;
	size_t size = x->http->body_size, header = 0;
	const char *collection = exchange_text(x, "collection");
	uint64_t dim = x->node->config.dim, count = 0;

	if (!exchange_number(x, "dim", VALORI_DIM_MAX, &dim) || !exchange_number(x, "tag", VALORI_NONE, &out->tag) ||
	    !serve_collection(x, collection, collection != NULL ? strlen(collection) : 0, 400, &out->collection))
		return false;
	if (size >= 12 && memcmp(data, "\x93NUMPY", 6) == 0) {
		header = read_npy(data, size, &count, &dim);
		if (header == 0 || dim == 0 || dim > VALORI_DIM_MAX || count > size / 4 / dim ||
		    size - header != count * dim * 4) {
			fail_with(x, 400, "invalid",
				  "body: npy: want rows of <f4 in C order: numpy.save(file, array.astype('<f4'))");
			return false;
		}
	} else if (dim == 0 || size % (4 * dim) != 0) {
		fail_with(x, 400, "invalid",
			  "body: has %zu bytes, which are no rows of %llu little-endian binary32: want ?dim=N", size,
			  (unsigned long long)dim);
		return false;
	}
	out->vectors = data + header;
	out->dim = (size_t)dim;
	out->count = (size - header) / (4 * (size_t)dim);
	out->vector_kind = VALORI_F32LE;
	return true;
}

static bool is_raw(const struct exchange *x)
{
	const char *type = http_header(x->http, "Content-Type");

	return type != NULL &&
	       (strncmp(type, "application/octet-stream", 24) == 0 || strncmp(type, "application/x-npy", 17) == 0);
}

/* false: answered. */
static bool add_row(struct exchange *x, valori_batch *batch, const struct rows *rows, size_t i)
{
	valori_op op = {.kind = rows->upsert.value ? VALORI_OP_UPSERT : VALORI_OP_INSERT,
			.vector_kind = rows->vector_kind,
			.collection = rows->collection};
	struct body_text content = rows->metadata.is_there ? rows->metadata.texts[i] : (struct body_text){0};
	struct body_text base64 = rows->base64.is_there ? rows->base64.texts[i] : (struct body_text){0};
	valori_error error;

	if (content.text == NULL && rows->texts.is_there)
		content = rows->texts.texts[i];
	op.vector = rows->vectors + i * rows->dim * 4;
	op.dim = (uint32_t)rows->dim;
	op.tag = rows->tags.is_there ? rows->tags.values[i] : rows->tag;
	op.key = rows->keys.is_there ? rows->keys.texts[i].text : NULL;
	op.key_size = rows->keys.is_there ? (uint32_t)rows->keys.texts[i].size : 0;
	if (!body_metadata(x, &content, &base64, &op))
		return false;
	if (rows->requests.is_there)
		body_request(&op, &rows->requests.requests[i]);
	if (valori_batch_add(batch, &op, &error) == VALORI_OK)
		return true;
	fail_with(x, error.code == VALORI_NO_MEMORY ? 503 : 400, valori_code_name(error.code), "batch: element %zu: %s",
		  i, error.message);
	return false;
}

void route_batch_insert(struct exchange *x)
{
	struct rows rows = {0};
	valori_batch *batch;
	valori_error error;
	struct tool_json *json;
	uint64_t *ids;
	bool whole = true;

	if (!(is_raw(x) ? read_raw(x, &rows) : read_json(x, &rows)))
		return;
	if (valori_batch_new(x->node->config.dim, &batch, &error) != VALORI_OK) {
		fail(x, &error);
		return;
	}
	for (size_t i = 0; i < rows.count && whole; i++)
		whole = add_row(x, batch, &rows, i);
	/* The batch has all of it. What the commit takes comes behind this, not on top. */
	exchange_forget(x);
	ids = whole ? exchange_alloc(x, rows.count + 1, sizeof(*ids)) : NULL;
	whole = ids != NULL;
	if (whole)
		valori_batch_seal(batch);
	whole = whole && serve_commit(x, batch, NULL, ids);
	valori_batch_free(batch);
	if (!whole || (json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "ids");
	for (size_t i = 0; i < rows.count; i++)
		tool_json_u64(json, NULL, ids[i]);
	tool_json_array_end(json);
	reply_send(x, 200);
}
