/* serve_search.c - routes that look for what is near. */
#include "serve_body.h"

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
	struct body_u64 k, tag;
	struct body_text collection;
	valori_hit *hits;
	size_t count;
};

/* Reads, checks and answers the question into its hits. false: answered with what is wrong. */
static bool find_hits(struct exchange *x, struct question *question)
{
	valori_search_options options = VALORI_SEARCH_INIT;
	uint64_t began = http_now_ns();
	valori_error error;
	int32_t *query;

	if (question->k.value < 1 || question->k.value > VALORI_K_MAX) {
		fail_with(x, 400, "invalid", "body: k: must be 1 to %d", VALORI_K_MAX);
		return false;
	}
	query = to_q16(x, question->name, &question->vector);
	if (query == NULL || exchange_view(x) == NULL ||
	    !serve_collection(x, question->collection.text, question->collection.size, 400, &options.collection))
		return false;
	question->hits = exchange_alloc(x, question->k.value, sizeof(*question->hits));
	if (question->hits == NULL)
		return false;
	options.k = (uint32_t)question->k.value;
	options.has_tag = question->tag.is_there;
	options.tag = question->tag.value;
	if (valori_search(x->view, query, 1, &options, question->hits, &question->count, &error) != VALORI_OK) {
		fail(x, &error);
		return false;
	}
	histogram_add(&x->node->search_seconds, http_now_ns() - began);
	return true;
}

void route_search(struct exchange *x)
{
	struct question question = {.name = "query", .k = {.value = 10}};
	const struct body_member members[] = {
		{"query", BODY_VECTOR, true, &question.vector},
		{"vector", BODY_VECTOR, false, &question.vector},
		{"k", BODY_U64, false, &question.k},
		{"filter_tag", BODY_U64, false, &question.tag},
		{"tag", BODY_U64, false, &question.tag},
		{"collection", BODY_TEXT, false, &question.collection},
	};
	struct tool_json *json;

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
	const struct body_member members[] = {
		{"query_vector", BODY_VECTOR, true, &question.vector},
		{"k", BODY_U64, false, &question.k},
		{"filter_tag", BODY_U64, false, &question.tag},
		{"collection", BODY_TEXT, false, &question.collection},
	};
	struct tool_json *json;

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
	reply_send(x, 200);
}

void route_graphrag(struct exchange *x)
{
	struct question question = {.name = "query_vector", .k = {.value = 10}};
	struct body_u64 depth = {.value = 2};
	const struct body_member members[] = {
		{"query_vector", BODY_VECTOR, true, &question.vector},
		{"k", BODY_U64, false, &question.k},
		{"depth", BODY_U64, false, &depth},
		{"filter_tag", BODY_U64, false, &question.tag},
		{"collection", BODY_TEXT, false, &question.collection},
	};
	struct tool_json *json;
	uint64_t *seeds;
	size_t count = 0;
	bool whole;

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
