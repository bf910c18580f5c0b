/* serve_health.c - how the node is: /health, the version, the list of routes. */
#include "serve.h"

#include <string.h>

static const char *index_name(unsigned index)
{
	static const char *const names[] = {"Auto", "BruteForce", "Hnsw", "Ivf"};

	return names[index < 4 ? index : 0];
}

/* live, slots, capacity and fill of one kind of thing; the fill in tenths of a per cent. */
static uint64_t reply_pool(struct tool_json *json, const char *name, uint64_t live, uint64_t slots, uint64_t capacity)
{
	uint64_t fill = capacity == 0 ? 0 : live >= capacity ? 1000 : live * 1000 / capacity;
	char text[16];

	tool_json_object(json, name);
	tool_json_u64(json, "live", live);
	tool_json_u64(json, "slots_used", slots);
	tool_json_u64(json, "capacity", capacity);
	snprintf(text, sizeof(text), "%u.%u", (unsigned)(fill / 10), (unsigned)(fill % 10));
	tool_json_raw(json, "fill_pct", text);
	tool_json_object_end(json);
	return fill;
}

void route_health(struct exchange *x)
{
	const struct serve_config *config = &x->node->config;
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	struct tool_json *json;
	uint64_t fill, part;
	char fault[256];

	if (valori_get_info(x->node->store, &info, &error) != VALORI_OK) {
		fail(x, &error);
		return;
	}
	if ((json = reply_begin(x)) == NULL)
		return;
	fill = reply_pool(json, "records", info.record_live, info.record_slots, config->records_max);
	part = reply_pool(json, "nodes", info.node_live, info.node_slots, config->nodes_max);
	fill = part > fill ? part : fill;
	part = reply_pool(json, "edges", info.edge_live, info.edge_slots, config->edges_max);
	fill = part > fill ? part : fill;
	pthread_mutex_lock(&x->node->faults);
	snprintf(fault, sizeof(fault), "%s", x->node->read_only[0] != 0 ? x->node->read_only : x->node->fault);
	pthread_mutex_unlock(&x->node->faults);
	pthread_mutex_lock(&x->node->follow.mutex);
	if (fault[0] == 0 && strcmp(x->node->follow.status, "Diverged") == 0)
		snprintf(fault, sizeof(fault), "%.255s", x->node->follow.detail);
	pthread_mutex_unlock(&x->node->follow.mutex);
	tool_json_text(json, "status", fill >= 1000 ? "full" : fill >= 900 || fault[0] != 0 ? "degraded" : "ok");
	if (fault[0] != 0)
		tool_json_text(json, "problem", fault);
	tool_json_text(json, "version", valori_version());
	tool_json_u64(json, "dim", info.dim);
	tool_json_text(json, "index", index_name(atomic_load(&x->node->index)));
	tool_json_text(json, "persistence", x->node->persistence);
	if (info.has_log)
		tool_json_u64(json, "event_log_height", info.height);
	reply_send(x, fill >= 1000 ? 503 : 200);
}

void route_version(struct exchange *x)
{
	http_answer(x->http, 200, "text/plain; charset=utf-8", NULL, valori_version(), strlen(valori_version()));
}

/* ---- the list of routes ---- */

struct listing {
	struct tool_json *json;
	char path[128]; /* whose object is open */
};

/* "/v1/records/:id" as "/v1/records/{id}". */
static void visit(void *context, const char *method, const char *path, const char *summary)
{
	struct listing *listing = context;
	char shown[128], lower[16] = "";
	size_t used = 0;

	for (const char *at = path; *at != 0 && used + 4 < sizeof(shown);) {
		if (*at != ':') {
			shown[used++] = *at++;
			continue;
		}
		shown[used++] = '{';
		for (at++; *at != 0 && *at != '/' && used + 2 < sizeof(shown);)
			shown[used++] = *at++;
		shown[used++] = '}';
	}
	shown[used] = 0;
	if (strcmp(shown, listing->path) != 0) {
		if (listing->path[0] != 0)
			tool_json_object_end(listing->json);
		tool_json_object(listing->json, shown);
		memcpy(listing->path, shown, sizeof(shown));
	}
	for (size_t i = 0; method[i] != 0 && i + 1 < sizeof(lower); i++)
		lower[i] = (char)(method[i] | 0x20);
	tool_json_object(listing->json, lower);
	tool_json_text(listing->json, "summary", summary);
	tool_json_object(listing->json, "responses");
	tool_json_object(listing->json, "default");
	tool_json_text(listing->json, "description", "JSON; on failure {\"error\", \"code\"}");
	tool_json_object_end(listing->json);
	tool_json_object_end(listing->json);
	tool_json_object_end(listing->json);
}

void route_openapi(struct exchange *x)
{
	struct tool_json *json = reply_begin(x);
	struct listing listing = {.json = json};

	if (json == NULL)
		return;
	tool_json_text(json, "openapi", "3.0.3");
	tool_json_object(json, "info");
	tool_json_text(json, "title", "valori-serve");
	tool_json_text(json, "version", valori_version());
	tool_json_object_end(json);
	tool_json_object(json, "paths");
	serve_each_route(visit, &listing);
	if (listing.path[0] != 0)
		tool_json_object_end(json);
	tool_json_object_end(json);
	reply_send(x, 200);
}
