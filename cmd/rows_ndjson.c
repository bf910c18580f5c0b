/*
 * rows_ndjson.c - a line of JSON as an operation.
 *
 * An array of numbers is a vector to insert. In an object "op" says what is done ("insert" when it is not there), and
 * the table `ops` below which other members that needs and takes. Names of things:
 *
 *	record, from, to	a number (or digits in a string) is an id; any other string is the "ref" of a row of the
 *				same commit
 *	key			names a live record of the collection
 *	from_key, to_key	name the first node of the live record with that key
 *
 * Members that only say what happened elsewhere (event, commit, time, an id where the store gives it) are passed over,
 * so that the lines of valori-replay are rows. Any other member is an error: a misspelt "tga" must not be lost.
 */
#include "rows_formats.h"

#include <string.h>

enum member {
	VECTOR,
	EMBEDDING,
	VALUES,
	VECTOR_Q16,
	OP,
	ID,
	KEY,
	TAG,
	METADATA,
	METADATA_BASE64,
	COLLECTION,
	KIND,
	RECORD,
	FROM,
	TO,
	FROM_KEY,
	TO_KEY,
	REF,
	SALTED,
	REQUEST,
	PARAMETER,
	VALUE,
	SLOT,
	EVENT,
	COMMIT,
	TIME,
	TIME_MS,
	DIM,
	SALT,
	ROOT_BEFORE,
	ROOT_AFTER,
	MEMBERS
};

static const char *const member_names[MEMBERS] = {
	"vector",      "embedding",  "values",          "vector_q16", "op",     "id",      "key",
	"tag",         "metadata",   "metadata_base64", "collection", "kind",   "record",  "from",
	"to",          "from_key",   "to_key",          "ref",        "salted", "request", "parameter",
	"value",       "slot",       "event",           "commit",     "time",   "time_ms", "dim", "salt",
	"root_before", "root_after",
};

#define M(member) (UINT32_C(1) << (member))
#define ANY_VECTOR (M(VECTOR) | M(EMBEDDING) | M(VALUES) | M(VECTOR_Q16))
#define ANY_METADATA (M(METADATA) | M(METADATA_BASE64))
/* What every row may say and nobody needs. */
#define PASSED                                                                                          \
	(M(OP) | M(REQUEST) | M(ID) | M(SLOT) | M(EVENT) | M(COMMIT) | M(TIME) | M(TIME_MS) | M(DIM) | M(SALT) | \
	 M(ROOT_BEFORE) | M(ROOT_AFTER))
#define RECORD_NAMES (M(ID) | M(KEY))

static const struct {
	const char *name;
	valori_op_kind kind;
	uint32_t needs[2]; /* at least one of each set, 0: nothing */
	uint32_t takes;    /* beside what it needs */
} ops[] = {
	{"insert", VALORI_OP_INSERT, {ANY_VECTOR}, M(KEY) | M(TAG) | ANY_METADATA | M(COLLECTION) | M(REF) | M(SALTED)},
	{"upsert", VALORI_OP_UPSERT, {ANY_VECTOR, M(KEY)}, M(TAG) | ANY_METADATA | M(COLLECTION) | M(REF) | M(SALTED)},
	{"soft_delete", VALORI_OP_SOFT_DELETE, {RECORD_NAMES}, M(COLLECTION)},
	{"delete", VALORI_OP_DELETE, {RECORD_NAMES}, M(COLLECTION)},
	{"set_metadata", VALORI_OP_SET_METADATA, {RECORD_NAMES, ANY_METADATA}, M(COLLECTION) | M(SALTED)},
	{"set_tag", VALORI_OP_SET_TAG, {RECORD_NAMES, M(TAG)}, M(COLLECTION)},
	{"node", VALORI_OP_NODE_CREATE, {M(KIND)}, M(RECORD) | M(KEY) | M(COLLECTION) | M(REF)},
	{"node_set_record", VALORI_OP_NODE_SET_RECORD, {M(ID), M(RECORD) | M(KEY)}, M(COLLECTION)},
	{"node_delete", VALORI_OP_NODE_DELETE, {M(ID)}, 0},
	{"edge", VALORI_OP_EDGE_CREATE, {M(FROM) | M(FROM_KEY), M(TO) | M(TO_KEY)}, M(KIND) | M(COLLECTION)},
	{"edge_delete", VALORI_OP_EDGE_DELETE, {M(ID)}, 0},
	{"meta", VALORI_OP_META_SET, {M(KEY), ANY_METADATA}, 0},
	{"meta_delete", VALORI_OP_META_DELETE, {M(KEY)}, 0},
	{"collection_create", VALORI_OP_COLLECTION_CREATE, {M(COLLECTION)}, 0},
	{"collection_drop", VALORI_OP_COLLECTION_DROP, {M(COLLECTION)}, 0},
	{"config", VALORI_OP_CONFIG, {M(PARAMETER), M(VALUE)}, 0},
};

enum { OPS = sizeof(ops) / sizeof(ops[0]) };

/* What is being read, and the first fault, which sticks. */
struct line {
	struct rows *rows;
	struct row *out;
	valori_error *error;
	valori_code code;
	uint32_t seen;
	enum json_type types[MEMBERS];
	struct slice values[MEMBERS]; /* not of vectors; of strings what they stand for, of others their text */
	size_t op;                    /* index in ops */
};

#define fail(line, ...)                           \
	((line)->code = (line)->code != VALORI_OK \
				? (line)->code    \
				: rows_fail((line)->rows, (line)->out, (line)->error, VALORI_INVALID, __VA_ARGS__))

static bool is_word(struct slice text, const char *word)
{
	return strlen(word) == text.size && memcmp(word, text.text, text.size) == 0;
}

static bool has(const struct line *line, enum member member)
{
	return (line->seen & M(member)) != 0;
}

/* ---- strings ---- */

/* The bytes a string stands for. */
static struct slice unescape(struct line *line, struct slice string)
{
	struct slice out = string;
	char *room;

	if (memchr(string.text, '\\', string.size) == NULL)
		return out;
	room = rows_scratch(line->rows, string.size);
	if (room == NULL) {
		if (line->code == VALORI_OK)
			line->code = rows_fail(line->rows, line->out, line->error, VALORI_NO_MEMORY,
					       "no memory for its strings");
		return out;
	}
	return (struct slice){room, json_unescape(string, room)};
}

/* The bytes of a member that must be a string. */
static struct slice text_of(struct line *line, enum member member)
{
	if (line->types[member] == JSON_STRING)
		return line->values[member];
	fail(line, "member '%s': is %s, not a string", member_names[member], json_type_name(line->types[member]));
	return (struct slice){"", 0};
}

static uint64_t u64_of(struct line *line, enum member member, uint64_t max)
{
	struct slice value = line->values[member];
	char quoted[48];
	uint64_t number = 0;

	if (line->types[member] != JSON_STRING && line->types[member] != JSON_NUMBER)
		fail(line, "member '%s': is %s, not a number", member_names[member],
		     json_type_name(line->types[member]));
	if (!json_u64(value, &number) || number > max)
		fail(line, "member '%s': %s: not an integer in 0...%llu", member_names[member],
		     rows_quote(value, quoted), (unsigned long long)max);
	return number;
}

static bool is_number(const struct line *line, enum member member)
{
	uint64_t ignored;

	return line->types[member] == JSON_NUMBER ||
	       (line->types[member] == JSON_STRING && json_u64(line->values[member], &ignored));
}

static void read_base64(struct line *line, valori_op *op)
{
	struct slice text = text_of(line, METADATA_BASE64);
	char *room = rows_scratch(line->rows, text.size);
	size_t size = 0;

	if (room == NULL || !json_base64(text, room, &size))
		fail(line, "member 'metadata_base64': not base64 with padding");
	op->metadata = (const uint8_t *)room;
	op->metadata_size = (uint32_t)size;
}

static void read_metadata(struct line *line, valori_op *op)
{
	struct slice bytes = line->values[METADATA];

	if (has(line, METADATA) && has(line, METADATA_BASE64))
		fail(line, "members 'metadata' and 'metadata_base64' exclude each other");
	else if (has(line, METADATA_BASE64))
		read_base64(line, op);
	if (!has(line, METADATA) || line->types[METADATA] == JSON_NULL)
		return;
	if (line->types[METADATA] == JSON_STRING)
		bytes = text_of(line, METADATA);
	else if (line->types[METADATA] != JSON_OBJECT && line->types[METADATA] != JSON_ARRAY)
		fail(line, "member 'metadata': is %s, not a string, an object, an array or null",
		     json_type_name(line->types[METADATA]));
	op->metadata = (const uint8_t *)bytes.text;
	op->metadata_size = (uint32_t)bytes.size;
}

/* ---- names of things ---- */

static void set_key(struct line *line, valori_op *op, enum member member)
{
	struct slice key = text_of(line, member);

	if (key.size == 0)
		fail(line, "member '%s': is empty", member_names[member]);
	op->key = key.text;
	op->key_size = (uint32_t)key.size;
}

static void name_key(struct line *line, valori_ref *ref, enum member member)
{
	struct slice key = text_of(line, member);

	if (key.size == 0)
		fail(line, "member '%s': is empty", member_names[member]);
	ref->kind = VALORI_REF_KEY;
	ref->key = key.text;
	ref->key_size = (uint32_t)key.size;
}

/* A member that is an id, or a string that is the ref of another row. */
static void name_thing(struct line *line, valori_ref *ref, struct slice *by_ref, enum member member)
{
	if (!is_number(line, member) && line->types[member] == JSON_STRING) {
		*by_ref = text_of(line, member);
		if (by_ref->size == 0)
			fail(line, "member '%s': is empty", member_names[member]);
		return;
	}
	ref->kind = VALORI_REF_ID;
	ref->id = u64_of(line, member, UINT64_MAX - 1);
}

/* The record of a node: by id, ref or key, or none. */
static void name_record(struct line *line, valori_op *op)
{
	if (has(line, RECORD) && has(line, KEY))
		fail(line, "members 'record' and 'key' exclude each other");
	else if (has(line, KEY))
		name_key(line, &op->target, KEY);
	else if (has(line, RECORD) && line->types[RECORD] != JSON_NULL)
		name_thing(line, &op->target, &line->out->target, RECORD);
}

static void name_end(struct line *line, valori_ref *ref, struct slice *by_ref, enum member member, enum member key)
{
	if (has(line, member) && has(line, key))
		fail(line, "members '%s' and '%s' exclude each other", member_names[member], member_names[key]);
	else if (has(line, key))
		name_key(line, ref, key);
	else
		name_thing(line, ref, by_ref, member);
}

static void name_target(struct line *line, valori_op *op)
{
	if (has(line, ID) && has(line, KEY))
		fail(line, "members 'id' and 'key' exclude each other");
	else if (has(line, KEY))
		name_key(line, &op->target, KEY);
	else
		op->target = (valori_ref){.kind = VALORI_REF_ID, .id = u64_of(line, ID, UINT64_MAX - 1)};
}

static void name_node(struct line *line, valori_op *op)
{
	op->from = (valori_ref){.kind = VALORI_REF_ID, .id = u64_of(line, ID, UINT64_MAX - 1)};
}

static void read_kind(struct line *line, valori_op *op)
{
	static const char *const nodes[] = {"Record", "Document", "Chunk", NULL};
	static const char *const edges[] = {"ParentOf", "RefersTo", NULL};
	const char *const *kinds = op->kind == VALORI_OP_NODE_CREATE ? nodes : edges;
	struct slice name;

	if (!has(line, KIND))
		return;
	if (line->types[KIND] != JSON_STRING || is_number(line, KIND)) {
		op->object_kind = (uint32_t)u64_of(line, KIND, 255);
		return;
	}
	name = text_of(line, KIND);
	for (unsigned i = 0; kinds[i] != NULL; i++)
		if (is_word(name, kinds[i]))
			op->object_kind = i + 1;
	if (op->object_kind == 0)
		fail(line, "member 'kind': a number in 0...255 or %s",
		     kinds == nodes ? "Record, Document or Chunk" : "ParentOf or RefersTo");
}

static void read_collection(struct line *line, valori_op *op)
{
	if (!has(line, COLLECTION) || line->types[COLLECTION] == JSON_NULL)
		return;
	if (line->types[COLLECTION] == JSON_NUMBER) {
		op->collection = (uint32_t)u64_of(line, COLLECTION, 65535);
		line->out->has_collection = true;
		return;
	}
	line->out->collection = text_of(line, COLLECTION);
}

static void read_ref(struct line *line)
{
	if (!has(line, REF))
		return;
	line->out->ref = text_of(line, REF);
	if (line->out->ref.size == 0 || line->out->ref.size > VALORI_KEY_MAX || is_number(line, REF))
		fail(line, "member 'ref': 1...%d bytes that are not a number", VALORI_KEY_MAX);
}

static void read_request(struct line *line, valori_op *op)
{
	struct slice text;

	if (!has(line, REQUEST) || line->types[REQUEST] == JSON_NULL)
		return;
	text = text_of(line, REQUEST);
	for (size_t i = 0; i < 2 * VALORI_REQUEST_SIZE && text.size == 2 * VALORI_REQUEST_SIZE; i++) {
		char c = text.text[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			text.size = 0;
		op->request[i / 2] = (uint8_t)(op->request[i / 2] << 4 | digit);
	}
	if (text.size != 2 * VALORI_REQUEST_SIZE)
		fail(line, "member 'request': not %d lower-case hex digits", 2 * VALORI_REQUEST_SIZE);
	op->flags |= VALORI_OP_REQUEST;
}

static void read_salted(struct line *line, valori_op *op)
{
	if (!has(line, SALTED))
		return;
	if (line->types[SALTED] == JSON_TRUE)
		op->flags |= VALORI_OP_SALTED;
	else if (line->types[SALTED] != JSON_FALSE)
		fail(line, "member 'salted': is %s, not true or false", json_type_name(line->types[SALTED]));
}

/* What the store must have, for a new one to learn from a row without a vector. */
static void read_dim(struct line *line, valori_op *op)
{
	uint32_t dim;

	if (!has(line, DIM))
		return;
	dim = (uint32_t)u64_of(line, DIM, VALORI_DIM_MAX);
	if (dim == 0)
		fail(line, "member 'dim': is not in 1...%d", VALORI_DIM_MAX);
	else if (op->vector != NULL && dim != op->dim)
		fail(line, "member 'dim': %u, but the vector has %u components", dim, op->dim);
	op->dim = dim;
}

/* ---- the row ---- */

static void find_op(struct line *line)
{
	struct slice name;
	char quoted[48];

	line->op = 0;
	if (!has(line, OP))
		return;
	name = text_of(line, OP);
	while (line->op < OPS && !is_word(name, ops[line->op].name))
		line->op++;
	if (line->op < OPS)
		return;
	line->op = 0;
	fail(line, "member 'op': %s: no such operation", rows_quote(name, quoted));
}

static const char *first_name(uint32_t members)
{
	return member_names[__builtin_ctz(members)];
}

static void check_members(struct line *line)
{
	uint32_t allowed = ops[line->op].takes | PASSED;
	uint32_t vectors = line->seen & ANY_VECTOR;

	for (unsigned i = 0; i < 2; i++) {
		uint32_t needs = ops[line->op].needs[i];

		if (needs != 0 && (line->seen & needs) == 0)
			fail(line, "member '%s' is missing, which %s needs", first_name(needs), ops[line->op].name);
		allowed |= needs;
	}
	if ((line->seen & ~allowed) != 0)
		fail(line, "member '%s': %s does not take it", first_name(line->seen & ~allowed), ops[line->op].name);
	if ((vectors & (vectors - 1)) != 0)
		fail(line, "member '%s': beside '%s', which means the same", first_name(vectors & (vectors - 1)),
		     first_name(vectors));
}

static void interpret(struct line *line)
{
	valori_op *op = &line->out->op;

	find_op(line);
	check_members(line);
	op->kind = ops[line->op].kind;
	read_collection(line, op);
	read_ref(line);
	read_request(line, op);
	read_salted(line, op);
	read_dim(line, op);
	read_metadata(line, op);
	if (has(line, TAG)) {
		op->tag = u64_of(line, TAG, UINT64_MAX);
		line->out->has_tag = true;
	}
	switch ((valori_op_kind)op->kind) {
	case VALORI_OP_INSERT:
	case VALORI_OP_UPSERT:
		if (has(line, KEY) && line->types[KEY] != JSON_NULL)
			set_key(line, op, KEY);
		else if (op->kind == VALORI_OP_UPSERT)
			fail(line, "member 'key': is null, and an upsert needs one");
		break;
	case VALORI_OP_META_SET:
		if (op->metadata == NULL)
			fail(line, "member 'metadata': is null; meta_delete takes a key away");
		set_key(line, op, KEY);
		break;
	case VALORI_OP_META_DELETE:
		set_key(line, op, KEY);
		break;
	case VALORI_OP_SOFT_DELETE:
	case VALORI_OP_DELETE:
	case VALORI_OP_SET_METADATA:
	case VALORI_OP_SET_TAG:
		name_target(line, op);
		break;
	case VALORI_OP_NODE_CREATE:
		read_kind(line, op);
		name_record(line, op);
		break;
	case VALORI_OP_NODE_SET_RECORD:
		name_node(line, op);
		name_record(line, op);
		break;
	case VALORI_OP_NODE_DELETE:
	case VALORI_OP_EDGE_DELETE:
		name_node(line, op);
		break;
	case VALORI_OP_EDGE_CREATE:
		read_kind(line, op);
		name_end(line, &op->from, &line->out->from, FROM, FROM_KEY);
		name_end(line, &op->to, &line->out->to, TO, TO_KEY);
		break;
	case VALORI_OP_COLLECTION_CREATE:
	case VALORI_OP_COLLECTION_DROP:
		if (line->types[COLLECTION] == JSON_NULL)
			fail(line, "member 'collection': is null");
		break;
	case VALORI_OP_CONFIG:
		op->tag = u64_of(line, PARAMETER, UINT32_MAX);
		op->target = (valori_ref){.kind = VALORI_REF_ID, .id = u64_of(line, VALUE, UINT64_MAX)};
		if (op->tag == VALORI_CONFIG_QUANT && op->target.id == 2)
			fail(line, "member 'value': 2 is product quantisation, which this version does not have");
		break;
	}
}

static enum member find_member(struct slice name)
{
	for (unsigned member = 0; member < MEMBERS; member++)
		if (is_word(name, member_names[member]))
			return (enum member)member;
	return MEMBERS;
}

/* Reads an array of numbers as the row's vector. member: its name, or NULL for a bare array. */
static void read_vector(struct line *line, struct json *json, const char *member, bool raw)
{
	struct rows *rows = line->rows;
	struct row *out = line->out;
	const char *prefix = member != NULL ? member : "", *open = member != NULL ? "member '" : "",
		   *close = member != NULL ? "': " : "";
	struct slice token;
	char quoted[48];
	size_t count;

	json_type(json); /* passes space */
	out->vector.text = json->next;
	if (raw ? json_i32s(json, (int32_t *)rows->vector, VALORI_DIM_MAX, &count)
		: json_f32s(json, rows->vector, VALORI_DIM_MAX, &count)) {
		out->vector.size = (size_t)(json->next - out->vector.text);
		out->vector_name = member;
		out->op.vector = rows->vector;
		out->op.vector_kind = raw ? VALORI_Q16 : VALORI_F32;
		out->op.dim = (uint32_t)count;
		if (count == 0)
			fail(line, "%s%s%sis empty", open, prefix, close);
		return;
	}
	for (token = (struct slice){json->next, 0}; json->next + token.size < json->end; token.size++)
		if (strchr(",]} \t", json->next[token.size]) != NULL)
			break;
	if (json->next == out->vector.text)
		fail(line, "%s%s%s%s", open, prefix, close, json->fault);
	else
		fail(line, "%s%s%scomponent %zu: %s%s%s", open, prefix, close, count, rows_quote(token, quoted),
		     token.size != 0 ? ": " : "", json->fault);
	out->vector.text = NULL;
}

static void read_member(struct line *line, struct json *json)
{
	struct slice name = {0};
	char quoted[48];
	enum member member;

	if (!json_name(json, &name))
		return;
	if (memchr(name.text, '\\', name.size) != NULL)
		name = unescape(line, name);
	member = find_member(name);
	if (member == MEMBERS) {
		fail(line, "member '%s': not known", rows_quote(name, quoted));
		return;
	}
	if (has(line, member)) {
		fail(line, "member '%s': occurs twice", member_names[member]);
		return;
	}
	line->seen |= M(member);
	if ((M(member) & ANY_VECTOR) != 0) {
		read_vector(line, json, member_names[member], member == VECTOR_Q16);
		return;
	}
	line->types[member] = json_type(json);
	json_skip(json, &line->values[member]);
	if (json->fault != NULL)
		fail(line, "member '%s': column %zu: %s", member_names[member], (size_t)(json->next - json->start) + 1,
		     json->fault);
	else if (line->types[member] == JSON_STRING)
		line->values[member] = unescape(line, (struct slice){line->values[member].text + 1,
								     line->values[member].size - 2});
}

valori_code rows_read_ndjson(struct rows *rows, struct row *out, valori_error *error)
{
	struct line line = {.rows = rows, .out = out, .error = error};
	struct json json;
	enum json_type type;

	json_init(&json, out->source.text, out->source.size);
	type = json_type(&json);
	if (type == JSON_ARRAY) {
		read_vector(&line, &json, NULL, false);
	} else if (json_open(&json, '{')) {
		while (line.code == VALORI_OK && json_more(&json, '}'))
			read_member(&line, &json);
	}
	if (line.code == VALORI_OK)
		json_end(&json);
	if (json.fault != NULL)
		fail(&line, "column %zu: %s", (size_t)(json.next - json.start) + 1, json.fault);
	if (line.code == VALORI_OK && type == JSON_OBJECT)
		interpret(&line);
	return line.code;
}
