/* serve_body.c - the JSON object in the body of a request, by a table of its members. */
#include "serve_body.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct exchange *x;
	struct json json;
	const struct body_member *member; /* that is being read, or NULL */
	size_t element;			  /* of its array, or SIZE_MAX */
	bool is_answered;		  /* out of memory */
};

/* Answers with what is wrong and where. */
static bool refuse(struct reader *reader, const char *fault)
{
	const struct json *json = &reader->json;
	char where[64] = "";

	if (reader->is_answered)
		return false;
	reader->is_answered = true;
	if (reader->member == NULL)
		fail_with(reader->x, 400, "invalid", "body: byte %zu: %s", (size_t)(json->next - json->start), fault);
	else {
		if (reader->element != SIZE_MAX)
			snprintf(where, sizeof(where), "element %zu: ", reader->element);
		fail_with(reader->x, 400, "invalid", "body: %s: %s%s (byte %zu)", reader->member->name, where, fault,
			  (size_t)(json->next - json->start));
	}
	return false;
}

static bool refuse_json(struct reader *reader)
{
	return refuse(reader, reader->json.fault != NULL ? reader->json.fault : "is not acceptable");
}

static void *take(struct reader *reader, size_t count, size_t size)
{
	void *memory = exchange_alloc(reader->x, count, size);

	if (memory == NULL)
		reader->is_answered = true;
	return memory;
}

/* How many elements can there be at most, if each takes two bytes with its comma? */
static size_t elements_max(const struct reader *reader)
{
	return (size_t)(reader->json.end - reader->json.next) / 2 + 1;
}

/* ---- values ---- */

static bool read_null(struct reader *reader)
{
	struct slice ignored;

	return json_type(&reader->json) == JSON_NULL && json_skip(&reader->json, &ignored);
}

static bool read_u64(struct reader *reader, uint64_t *out)
{
	enum json_type type = json_type(&reader->json);
	struct slice text;

	if (type == JSON_STRING ? !json_string(&reader->json, &text) : !json_skip(&reader->json, &text))
		return refuse_json(reader);
	if ((type != JSON_NUMBER && type != JSON_STRING) || !json_u64(text, out))
		return refuse(reader, "must be a whole number from 0 to 18446744073709551615");
	return true;
}

static bool read_bool(struct reader *reader, uint64_t *out)
{
	enum json_type type = json_type(&reader->json);
	struct slice text;

	if (!json_skip(&reader->json, &text))
		return refuse_json(reader);
	*out = type == JSON_TRUE;
	return type == JSON_TRUE || type == JSON_FALSE || refuse(reader, "must be true or false");
}

static bool read_text(struct reader *reader, struct body_text *out)
{
	enum json_type type = json_type(&reader->json);
	struct slice inside;
	char *text;

	if (type != JSON_STRING && type != JSON_NOTHING)
		return refuse(reader, "must be a string");
	if (!json_string(&reader->json, &inside))
		return refuse_json(reader);
	text = take(reader, inside.size + 1, 1);
	if (text == NULL)
		return false;
	out->size = json_unescape(inside, text);
	text[out->size] = 0;
	out->text = text;
	return true;
}

static bool read_json(struct reader *reader, struct body_text *out)
{
	struct slice text;

	if (!json_skip(&reader->json, &text))
		return refuse_json(reader);
	*out = (struct body_text){text.text, text.size};
	return true;
}

static bool read_numbers(struct reader *reader, uint32_t *out, size_t max, size_t *count)
{
	char fault[96];

	if (json_f32s(&reader->json, out, max, count))
		return true;
	if (*count == max && reader->json.fault == NULL)
		return refuse(reader, "has too many components");
	snprintf(fault, sizeof(fault), "component %zu: %s", *count,
		 reader->json.fault != NULL ? reader->json.fault : "is no number");
	return refuse(reader, fault);
}

static bool read_vector(struct reader *reader, struct body_vector *out)
{
	size_t max = elements_max(reader) < VALORI_DIM_MAX ? elements_max(reader) : VALORI_DIM_MAX;
	uint32_t *bits = take(reader, max, sizeof(*bits));

	out->bits = bits;
	out->is_there = true;
	return bits != NULL && read_numbers(reader, bits, max, &out->count);
}

static bool read_vectors(struct reader *reader, struct body_vectors *out)
{
	size_t room = elements_max(reader), used = 0, dim;
	uint32_t *bits = take(reader, room, sizeof(*bits));

	if (bits == NULL)
		return false;
	if (!json_open(&reader->json, '['))
		return refuse_json(reader);
	while (json_more(&reader->json, ']')) {
		reader->element = out->count;
		if (!read_numbers(reader, bits + used, room - used < VALORI_DIM_MAX ? room - used : VALORI_DIM_MAX,
				  &dim))
			return false;
		if (out->count > 0 && dim != out->dim)
			return refuse(reader, "has another number of components than the first");
		out->dim = dim;
		out->count++;
		used += dim;
	}
	out->bits = bits;
	out->is_there = true;
	return reader->json.fault == NULL || refuse_json(reader);
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_request(struct reader *reader, struct body_request *out)
{
	static const char want[] = "must be 32 hex digits, a UUID, or 16 numbers from 0 to 255";
	struct body_text text;
	size_t count = 0;

	if (json_type(&reader->json) == JSON_ARRAY) {
		json_open(&reader->json, '[');
		while (json_more(&reader->json, ']')) {
			uint64_t value;

			if (!read_u64(reader, &value))
				return false;
			if (count == VALORI_REQUEST_SIZE || value > 255)
				return refuse(reader, want);
			out->bytes[count++] = (uint8_t)value;
		}
		if (reader->json.fault != NULL)
			return refuse_json(reader);
	} else {
		int high = -1;

		if (!read_text(reader, &text))
			return false;
		for (size_t i = 0; i < text.size; i++) {
			int digit = nibble(text.text[i]);

			if (text.text[i] == '-' && text.size == 36 && (i == 8 || i == 13 || i == 18 || i == 23))
				continue;
			if (digit < 0 || count == VALORI_REQUEST_SIZE)
				return refuse(reader, want);
			if (high < 0) {
				high = digit;
			} else {
				out->bytes[count++] = (uint8_t)(high << 4 | digit);
				high = -1;
			}
		}
		if (high >= 0)
			return refuse(reader, want);
	}
	out->is_there = true;
	return count == VALORI_REQUEST_SIZE || refuse(reader, want);
}

/* The elements of an array, each by one; null elements are left as they are, zeroed. */
static bool read_array(struct reader *reader, void **out, size_t *count, size_t size,
		       bool (*one)(struct reader *reader, void *out))
{
	size_t room = 64;
	char *elements = take(reader, room, size);

	if (elements == NULL)
		return false;
	if (!json_open(&reader->json, '['))
		return refuse_json(reader);
	while (json_more(&reader->json, ']')) {
		reader->element = *count;
		if (*count == room) {
			char *larger = take(reader, 2 * room, size);

			if (larger == NULL)
				return false;
			memcpy(larger, elements, room * size);
			room *= 2;
			elements = larger;
		}
		if (!read_null(reader) && !one(reader, elements + *count * size))
			return false;
		++*count;
	}
	*out = elements;
	return reader->json.fault == NULL || refuse_json(reader);
}

static bool one_u64(struct reader *reader, void *out)
{
	return read_u64(reader, out);
}

static bool one_text(struct reader *reader, void *out)
{
	return read_text(reader, out);
}

static bool one_json(struct reader *reader, void *out)
{
	return read_json(reader, out);
}

static bool one_request(struct reader *reader, void *out)
{
	return read_request(reader, out);
}

/* ---- members ---- */

static bool is_there(const struct body_member *member)
{
	switch (member->type) {
	case BODY_TEXT:
	case BODY_JSON: return ((const struct body_text *)member->out)->text != NULL;
	case BODY_U64:
	case BODY_BOOL: return ((const struct body_u64 *)member->out)->is_there;
	case BODY_VECTOR: return ((const struct body_vector *)member->out)->is_there;
	case BODY_VECTORS: return ((const struct body_vectors *)member->out)->is_there;
	case BODY_U64S: return ((const struct body_u64s *)member->out)->is_there;
	case BODY_TEXTS:
	case BODY_JSONS: return ((const struct body_texts *)member->out)->is_there;
	case BODY_REQUEST: return ((const struct body_request *)member->out)->is_there;
	case BODY_REQUESTS: return ((const struct body_requests *)member->out)->is_there;
	}
	return false;
}

static bool read_texts(struct reader *reader, struct body_texts *out, bool (*one)(struct reader *reader, void *out))
{
	void *elements = NULL;

	out->is_there = read_array(reader, &elements, &out->count, sizeof(struct body_text), one);
	out->texts = elements;
	return out->is_there;
}

static bool read_value(struct reader *reader)
{
	const struct body_member *member = reader->member;
	void *elements = NULL;

	switch (member->type) {
	case BODY_U64:
	case BODY_BOOL: {
		struct body_u64 *out = member->out;

		out->is_there = true;
		return member->type == BODY_U64 ? read_u64(reader, &out->value) : read_bool(reader, &out->value);
	}
	case BODY_TEXT: return read_text(reader, member->out);
	case BODY_JSON: return read_json(reader, member->out);
	case BODY_VECTOR: return read_vector(reader, member->out);
	case BODY_VECTORS: return read_vectors(reader, member->out);
	case BODY_U64S: {
		struct body_u64s *out = member->out;

		out->is_there = read_array(reader, &elements, &out->count, sizeof(uint64_t), one_u64);
		out->values = elements;
		return out->is_there;
	}
	case BODY_TEXTS: return read_texts(reader, member->out, one_text);
	case BODY_JSONS: return read_texts(reader, member->out, one_json);
	case BODY_REQUEST: return read_request(reader, member->out);
	case BODY_REQUESTS: {
		struct body_requests *out = member->out;

		out->is_there = read_array(reader, &elements, &out->count, sizeof(struct body_request), one_request);
		out->requests = elements;
		return out->is_there;
	}
	}
	return false;
}

static const struct body_member *find(const struct body_member *members, size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(members[i].name) == name.size && memcmp(members[i].name, name.text, name.size) == 0)
			return &members[i];
	return NULL;
}

bool body_read(struct exchange *x, const struct body_member *members, size_t count)
{
	struct reader reader = {.x = x, .element = SIZE_MAX};
	struct slice name, ignored;

	if (!http_body(x->http))
		return false;
	json_init(&reader.json, x->http->body, x->http->body_size);
	if (!json_open(&reader.json, '{'))
		return refuse(&reader, "a JSON object is expected");
	while (json_more(&reader.json, '}')) {
		if (!json_name(&reader.json, &name))
			break;
		reader.member = find(members, count, name);
		reader.element = SIZE_MAX;
		if (reader.member == NULL) {
			json_skip(&reader.json, &ignored);
		} else if (is_there(reader.member)) {
			return refuse(&reader, "is given twice");
		} else if ((reader.member->type == BODY_JSON || !read_null(&reader)) && !read_value(&reader)) {
			return false;
		}
	}
	reader.member = NULL;
	if (reader.json.fault != NULL || !json_end(&reader.json))
		return refuse_json(&reader);
	for (size_t i = 0; i < count; i++)
		if (members[i].is_needed && !is_there(&members[i])) {
			fail_with(x, 400, "invalid", "body: %s: is missing", members[i].name);
			return false;
		}
	return true;
}

bool body_metadata(struct exchange *x, const struct body_text *text, const struct body_text *base64, valori_op *op)
{
	uint8_t *bytes;
	size_t size;

	op->metadata = (const uint8_t *)text->text;
	op->metadata_size = (uint32_t)text->size;
	if (base64->text == NULL)
		return true;
	if (text->text != NULL) {
		fail_with(x, 400, "invalid", "body: metadata_base64: stands beside metadata or text");
		return false;
	}
	bytes = exchange_alloc(x, base64->size + 1, 1);
	if (bytes == NULL)
		return false;
	if (sodium_base642bin(bytes, base64->size + 1, base64->text, base64->size, NULL, &size, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0) {
		fail_with(x, 400, "invalid", "body: metadata_base64: is no base64");
		return false;
	}
	op->metadata = bytes;
	op->metadata_size = (uint32_t)size;
	return true;
}

void body_request(valori_op *op, const struct body_request *request)
{
	if (!request->is_there)
		return;
	op->flags |= VALORI_OP_REQUEST;
	memcpy(op->request, request->bytes, VALORI_REQUEST_SIZE);
}

void body_request_part(valori_op *op, unsigned part, const struct body_request *request)
{
	unsigned char bytes[VALORI_REQUEST_SIZE + 1];

	body_request(op, request);
	if (!request->is_there || part == 0)
		return;
	memcpy(bytes, request->bytes, VALORI_REQUEST_SIZE);
	bytes[VALORI_REQUEST_SIZE] = (unsigned char)part;
	crypto_generichash(op->request, VALORI_REQUEST_SIZE, bytes, sizeof(bytes), NULL, 0);
}
