/* serve_search.c - routes that look for what is near. */
#include "serve_body.h"

#include <string.h>

/* The query of a body as Q16.16; NULL: answered. */
static int32_t *to_q16(struct exchange *x, const char *name, const struct body_vector *vector)
{
	int32_t *query;

	if (vector->count != x->node->config.dim) {
		fail_with(x, 400, "dimension", "body: %s: has %zu components, this store has %u", name, vector->count,
			  x->node->config.dim);
		return NULL;
	}
	query = exchange_alloc(x, vector->count, sizeof(*query));
	for (size_t i = 0; query != NULL && i < vector->count; i++)
		if (valori_q16_from_f32(vector->bits[i], &query[i]) != VALORI_OK) {
			fail_with(x, 400, "range", "body: %s: component %zu: is out of range: want -32768 to 32768",
				  name, i);
			return NULL;
		}
	return query;
}

/* What every search may ask for. */
struct question {
	const char *name; /* of the member with the query */
	struct body_vector vector;
	struct body_u64 k, tag, ef, exact, log_index, half_life;
	struct body_text collection, as_of, filter;
	valori_hit *hits;
	size_t count;
	struct wish *wishes; /* what filter asks for */
	size_t wish_count;
};

enum { QUESTION_MEMBERS = 9 };

/* The members that all have, behind those at out. */
static void add_members(struct question *question, struct body_member *out)
{
	const struct body_member members[QUESTION_MEMBERS] = {
		{"k", BODY_U64, false, &question->k},
		{"filter_tag", BODY_U64, false, &question->tag},
		{"collection", BODY_TEXT, false, &question->collection},
		{"as_of", BODY_TEXT, false, &question->as_of},
		{"as_of_log_index", BODY_U64, false, &question->log_index},
		{"metadata_filter", BODY_JSON, false, &question->filter},
		{"decay_half_life_secs", BODY_U64, false, &question->half_life},
		{"ef", BODY_U64, false, &question->ef},
		{"exact", BODY_BOOL, false, &question->exact},
	};

	memcpy(out, members, sizeof(members));
}

/* ---- the moment ---- */

/* false: answered. */
static bool go_back(struct exchange *x, const struct question *question)
{
	valori_when when;

	if (!exchange_when(x, "body: ", question->as_of.text,
			   question->log_index.is_there ? &question->log_index.value : NULL, &when))
		return false;
	return when.kind == VALORI_WHEN_LATEST ? exchange_view(x) != NULL : exchange_past(x, &when);
}

static void reply_moment(struct exchange *x, struct tool_json *json)
{
	valori_info info = {.size = sizeof(info)};
	char time[32];

	if (x->past == NULL || valori_view_info(x->view, &info, NULL) != VALORI_OK)
		return;
	if (info.height > 0)
		tool_json_u64(json, "as_of_log_index", info.height - 1);
	else
		tool_json_raw(json, "as_of_log_index", "null");
	tool_json_u64(json, "as_of_timestamp_unix", info.time_ms / 1000);
	tool_json_text(json, "as_of_timestamp_iso", tool_time(info.time_ms, time));
	tool_json_hash(json, "as_of_state_hash", &info.state_root);
}

/* ---- the filter by metadata: each of its members must be one of the record's, with an equal value ---- */

enum { WISHES_MAX = 16 };

struct wish {
	struct body_text name, value; /* unescaped, if the value is a string */
	enum json_type type;
};

static bool read_wish(struct exchange *x, struct json *json, struct wish *out)
{
	struct slice name, value;
	char *text;

	if (!json_name(json, &name))
		return false;
	out->type = json_type(json);
	if (out->type == JSON_STRING ? !json_string(json, &value) : !json_skip(json, &value))
		return false;
	text = exchange_alloc(x, name.size + value.size + 1, 1);
	if (text == NULL)
		return false;
	out->name = (struct body_text){text, json_unescape(name, text)};
	text += out->name.size;
	out->value = (struct body_text){text, value.size};
	if (out->type == JSON_STRING)
		out->value.size = json_unescape(value, text);
	else
		memcpy(text, value.text, value.size);
	return true;
}

/* false: answered. */
static bool read_filter(struct exchange *x, struct question *question)
{
	struct json json;

	if (question->filter.text == NULL || strncmp(question->filter.text, "null", 4) == 0)
		return true;
	question->wishes = exchange_alloc(x, WISHES_MAX, sizeof(*question->wishes));
	if (question->wishes == NULL)
		return false;
	json_init(&json, question->filter.text, question->filter.size);
	if (json_open(&json, '{'))
		while (json_more(&json, '}') && question->wish_count < WISHES_MAX &&
		       read_wish(x, &json, &question->wishes[question->wish_count]))
			question->wish_count++;
	if (json.fault == NULL && json_end(&json))
		return true;
	fail_with(x, 400, "invalid", "body: metadata_filter: must be an object of at most %d members", WISHES_MAX);
	return false;
}

static bool is_equal(struct slice text, const struct body_text *wanted, bool is_escaped, char *room)
{
	if (!is_escaped || memchr(text.text, '\\', text.size) == NULL)
		return text.size == wanted->size && memcmp(text.text, wanted->text, text.size) == 0;
	return json_unescape(text, room) == wanted->size && memcmp(room, wanted->text, wanted->size) == 0;
}

/* room is as large as the metadata of a record may be. */
static bool has_wish(const uint8_t *metadata, size_t size, const struct wish *wish, char *room)
{
	struct slice name, value;
	struct json json;
	bool found = false;

	json_init(&json, (const char *)metadata, size);
	if (!json_open(&json, '{'))
		return false;
	while (json_more(&json, '}') && json_name(&json, &name)) {
		enum json_type type = json_type(&json);

		if (type == JSON_STRING ? !json_string(&json, &value) : !json_skip(&json, &value))
			return false;
		if (type == wish->type && is_equal(name, &wish->name, true, room) &&
		    is_equal(value, &wish->value, type == JSON_STRING, room))
			found = true;
	}
	return found && json.fault == NULL;
}

/* Keeps the hits that the filter lets pass; false: answered. */
static bool sift(struct exchange *x, struct question *question)
{
	char *room = exchange_alloc(x, VALORI_METADATA_MAX, 1);
	size_t kept = 0;

	if (room == NULL)
		return false;
	for (size_t i = 0; i < question->count; i++) {
		size_t size = 0, met = 0;
		const uint8_t *metadata = memory_metadata(x, question->hits[i].id, &size);

		while (metadata != NULL && met < question->wish_count &&
		       has_wish(metadata, size, &question->wishes[met], room))
			met++;
		if (met == question->wish_count)
			question->hits[kept++] = question->hits[i];
	}
	question->count = kept;
	return true;
}

/* ---- the search ---- */

/* One search for as many as it takes, so that k are left behind the filter. false: answered. */
static bool search(struct exchange *x, const int32_t *query, valori_search_options *options, struct question *question)
{
	uint32_t wanted = options->k;
	valori_error error;

	for (;;) {
		size_t found;

		question->hits = exchange_alloc(x, options->k, sizeof(*question->hits));
		if (question->hits == NULL)
			return false;
		if (valori_search(x->view, query, 1, options, question->hits, &question->count, &error) != VALORI_OK) {
			fail(x, &error);
			return false;
		}
		found = question->count;
		if (question->wish_count > 0 && !sift(x, question))
			return false;
		if (question->count >= wanted || found < options->k || options->k == VALORI_K_MAX)
			break;
		options->k = options->k < VALORI_K_MAX / 8 ? 8 * options->k : VALORI_K_MAX;
		options->ef = 0;
	}
	if (question->count > wanted)
		question->count = wanted;
	return true;
}

/* Reads, checks and answers the question into its hits. false: answered with what is wrong. */
static bool find_hits(struct exchange *x, struct question *question)
{
	valori_search_options options = VALORI_SEARCH_INIT;
	uint64_t began = http_now_ns();
	int32_t *query;

	if (question->k.value < 1 || question->k.value > VALORI_K_MAX) {
		fail_with(x, 400, "invalid", "body: k: must be 1 to %d", VALORI_K_MAX);
		return false;
	}
	if (question->ef.value > VALORI_EF_MAX) {
		fail_with(x, 400, "invalid", "body: ef: must be at most %d", VALORI_EF_MAX);
		return false;
	}
	if (question->half_life.value != 0) {
		fail_with(x, 501, "invalid",
			  "body: decay_half_life_secs: records have no age here: /v1/timeline says when they came");
		return false;
	}
	query = to_q16(x, question->name, &question->vector);
	if (query == NULL || !read_filter(x, question) || !go_back(x, question) ||
	    !serve_collection(x, question->collection.text, question->collection.size, 400, &options.collection))
		return false;
	options.k = (uint32_t)question->k.value;
	options.has_tag = question->tag.is_there;
	options.tag = question->tag.value;
	options.exact = (uint32_t)question->exact.value;
	options.ef = (uint32_t)question->ef.value;
	if (!search(x, query, &options, question))
		return false;
	histogram_add(&x->node->search_seconds, http_now_ns() - began);
	return true;
}

void route_search(struct exchange *x)
{
	struct question question = {.name = "query", .k = {.value = 10}};
	struct body_member members[3 + QUESTION_MEMBERS] = {
		{"query", BODY_VECTOR, true, &question.vector},
		{"vector", BODY_VECTOR, false, &question.vector},
		{"tag", BODY_U64, false, &question.tag},
	};
	struct tool_json *json;

	add_members(&question, members + 3);
	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) || !find_hits(x, &question) ||
	    (json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "results");
	for (size_t i = 0; i < question.count; i++) {
		tool_json_object(json, NULL);
		tool_json_u64(json, "id", question.hits[i].id);
		reply_score(json, question.hits[i].score);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	reply_moment(x, json);
	reply_send(x, 200);
}

static void reply_memory_id(struct tool_json *json, uint64_t record)
{
	char text[32];

	snprintf(text, sizeof(text), "rec:%llu", (unsigned long long)record);
	tool_json_text(json, "memory_id", text);
	tool_json_u64(json, "record_id", record);
}

void route_memory_search(struct exchange *x)
{
	struct question question = {.name = "query_vector", .k = {.value = 10}};
	struct body_member members[1 + QUESTION_MEMBERS] = {{"query_vector", BODY_VECTOR, true, &question.vector}};
	struct tool_json *json;

	add_members(&question, members + 1);
	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) || !find_hits(x, &question) ||
	    (json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "results");
	for (size_t i = 0; i < question.count; i++) {
		tool_json_object(json, NULL);
		reply_memory_id(json, question.hits[i].id);
		reply_score(json, question.hits[i].score);
		reply_memory(x, json, question.hits[i].id);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	reply_moment(x, json);
	reply_send(x, 200);
}

void route_graphrag(struct exchange *x)
{
	struct question question = {.name = "query_vector", .k = {.value = 10}};
	struct body_u64 depth = {.value = 2};
	struct body_member members[2 + QUESTION_MEMBERS] = {
		{"query_vector", BODY_VECTOR, true, &question.vector},
		{"depth", BODY_U64, false, &depth},
	};
	struct tool_json *json;
	uint64_t *seeds;
	size_t count = 0;
	bool whole;

	add_members(&question, members + 2);
	if (!body_read(x, members, sizeof(members) / sizeof(members[0])) || !find_hits(x, &question) ||
	    (seeds = exchange_alloc(x, question.count + 1, sizeof(*seeds))) == NULL)
		return;
	if (depth.value > 16) {
		fail_with(x, 400, "invalid", "body: depth: must be 0 to 16");
		return;
	}
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "hits");
	for (size_t i = 0; i < question.count; i++) {
		valori_record record;

		tool_json_object(json, NULL);
		reply_memory_id(json, question.hits[i].id);
		reply_score(json, question.hits[i].score);
		if (valori_record_get(x->view, question.hits[i].id, &record, NULL) == VALORI_OK &&
		    record.node != VALORI_NONE) {
			tool_json_u64(json, "node_id", record.node);
			seeds[count++] = record.node;
		} else {
			tool_json_raw(json, "node_id", "null");
		}
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	tool_json_array(json, "seed_nodes");
	for (size_t i = 0; i < count; i++)
		tool_json_u64(json, NULL, seeds[i]);
	tool_json_array_end(json);
	tool_json_object(json, "subgraph");
	whole = reply_subgraph(x, json, seeds, count, depth.value);
	tool_json_object_end(json);
	if (whole)
		reply_send(x, 200);
}
