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
			fail_with(x, 400, "range", "body: %s: component %zu: is out of range: want -32768 to 32768", name, i);
			return NULL;
		}
	return query;
}

void route_search(struct exchange *x)
{
	struct body_vector vector = {0};
	struct body_u64 k = {.value = 10}, tag = {0};
	struct body_text collection = {0};
	const struct body_member members[] = {
		{"query", BODY_VECTOR, true, &vector},
		{"vector", BODY_VECTOR, false, &vector},
		{"k", BODY_U64, false, &k},
		{"filter_tag", BODY_U64, false, &tag},
		{"tag", BODY_U64, false, &tag},
		{"collection", BODY_TEXT, false, &collection},
	};
	valori_search_options options = VALORI_SEARCH_INIT;
	struct tool_json *json;
	uint64_t began = http_now_ns();
	int32_t *query;
	valori_hit *hits;
	size_t count;
	valori_error error;

	if (!body_read(x, members, sizeof(members) / sizeof(members[0])))
		return;
	if (k.value < 1 || k.value > VALORI_K_MAX) {
		fail_with(x, 400, "invalid", "body: k: must be 1 to %d", VALORI_K_MAX);
		return;
	}
	if ((query = to_q16(x, "query", &vector)) == NULL ||
	    !serve_collection(x, collection.text, collection.size, 400, &options.collection) ||
	    (hits = exchange_alloc(x, k.value, sizeof(*hits))) == NULL)
		return;
	options.k = (uint32_t)k.value;
	options.has_tag = tag.is_there;
	options.tag = tag.value;
	if (valori_search(x->view, query, 1, &options, hits, &count, &error) != VALORI_OK) {
		fail(x, &error);
		return;
	}
	histogram_add(&x->node->search_seconds, http_now_ns() - began);
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "results");
	for (size_t i = 0; i < count; i++) {
		tool_json_object(json, NULL);
		tool_json_u64(json, "id", hits[i].id);
		reply_score(json, hits[i].score);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	reply_send(x, 200);
}
