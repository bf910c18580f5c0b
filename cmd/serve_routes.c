/* serve_routes.c - which function answers which request, who may ask, and what all of them need. */
#include "serve.h"

#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPEN = 1,   /* no token is asked for */
	LIGHT = 2,  /* does not wait for a turn to work: answers while all workers are busy */
	ADMIN = 4,  /* on the small server, too */
	LEGACY = 8, /* also without /v1 */
	/* reads its body, or writes its answer, at the client's speed: takes no turn, and holds the store by itself */
	STREAM = 16,
	WRITE = 32, /* changes the store */
	PAST = 64,   /* answers ?as_of= and ?as_of_log_index=, too */
	LOCAL = 128, /* WRITE, but beside the store: a follower does it, too */
	ANEW = 256   /* WRITE, that puts another store in its place */
};

#define LOST "the store could not be opened again after a restore: restart the node"

struct route {
	const char *method, *path; /* ":id": a number; ":name": anything but a slash */
	serve_route *answer;
	unsigned flags;
	const char *summary;
};

/* The most wanted first: they are compared in order. */
static const struct route routes[] = {
	{"POST", "/v1/search", route_search, LEGACY, "The k nearest records of a query vector"},
	{"POST", "/v1/records", route_insert, LEGACY | WRITE, "Inserts one record"},
	{"POST", "/v1/vectors/batch-insert", route_batch_insert, WRITE, "Inserts records, all or none"},
	{"POST", "/v1/vectors/batch_insert", route_batch_insert, WRITE, "Inserts records, all or none"},
	{"POST", "/v1/memory/insert_batch", route_batch_insert, WRITE, "Inserts records, all or none"},
	{"GET", "/v1/records/:id", route_record, LEGACY | PAST, "One record: vector, tag, key, metadata"},
	{"GET", "/v1/records", route_record_find, LEGACY | PAST, "The live record with a key"},
	{"PATCH", "/v1/records/:id/metadata", route_record_metadata, LEGACY | WRITE, "Replaces a record's metadata"},
	{"DELETE", "/v1/records/:id/metadata", route_record_metadata_delete, LEGACY | WRITE,
	 "Takes a record's metadata away"},
	{"PATCH", "/v1/records/:id/tag", route_record_tag, LEGACY | WRITE, "Gives a record another tag"},
	{"POST", "/v1/delete", route_delete, WRITE, "Deletes a record for good"},
	{"POST", "/v1/soft-delete", route_soft_delete, WRITE, "Hides a record"},
	{"POST", "/v1/graph/node", route_node_create, LEGACY | WRITE, "Makes a graph node"},
	{"GET", "/v1/graph/node/:id", route_node, LEGACY | PAST, "One graph node"},
	{"DELETE", "/v1/graph/node/:id", route_node_delete, LEGACY | WRITE, "Deletes a graph node and its edges"},
	{"GET", "/v1/graph/nodes", route_nodes, LEGACY | PAST, "Graph nodes by collection and kind"},
	{"POST", "/v1/graph/edge", route_edge_create, LEGACY | WRITE, "Makes a graph edge"},
	{"DELETE", "/v1/graph/edge/:id", route_edge_delete, LEGACY | WRITE, "Deletes a graph edge"},
	{"GET", "/v1/graph/edges/:id", route_edges, LEGACY | PAST, "The edges that leave a node, or lead to it"},
	{"GET", "/v1/graph/subgraph", route_subgraph, LEGACY | PAST, "What is near a node in the graph"},
	{"POST", "/v1/graphrag", route_graphrag, LEGACY, "The k nearest records and what hangs together with them"},
	{"POST", "/v1/memory/upsert_vector", route_memory_upsert, WRITE,
	 "A record, its chunk node and its document, at once"},
	{"POST", "/v1/memory/upsert", route_memory_upsert, WRITE, "A record, its chunk node and its document, at once"},
	{"POST", "/v1/memory/search_vector", route_memory_search, 0, "The k nearest memories, with metadata"},
	{"POST", "/v1/memory/search", route_memory_search, 0, "The k nearest memories, with metadata"},
	{"POST", "/v1/memory/meta/set", route_meta_set, WRITE, "Sets a meta value"},
	{"GET", "/v1/memory/meta/get", route_meta_get, PAST, "A meta value, or null"},
	{"POST", "/v1/memory/meta/delete", route_meta_delete, WRITE, "Forgets a meta value"},
	{"POST", "/v1/memory/consolidate", route_consolidate, WRITE, "A record takes the place of an older one"},
	{"POST", "/v1/memory/contradict", route_contradict, WRITE, "Compares two records; notes that they contradict"},
	{"GET", "/v1/proof/state", route_proof_state, LIGHT | PAST, "State root, height and history"},
	{"GET", "/v1/proof/event-log", route_proof_event_log, LIGHT, "Root and size of the event log"},
	{"GET", "/v1/proof/verify", route_proof_verify, STREAM, "Verifies the event log from its first byte"},
	{"GET", "/v1/replication/state", route_replication_state, LIGHT, "What this node is in a replication"},
	{"GET", "/v1/replication/events", route_replication_events, STREAM, "The commits of the log, as they come"},
	{"GET", "/v1/replication/commit", route_replication_commit, STREAM, "One commit: number, heights, roots"},
	{"GET", "/v1/timeline", route_timeline, LEGACY | STREAM, "All events, or those of a time"},
	{"POST", "/v1/namespaces", route_namespace_create, WRITE, "Makes a collection"},
	{"GET", "/v1/namespaces", route_namespaces, PAST, "The collections"},
	{"DELETE", "/v1/namespaces/:name", route_namespace_drop, WRITE, "Drops a collection and what it holds"},
	{"POST", "/v1/snapshot/save", route_snapshot_save, WRITE | LOCAL, "Writes the snapshot"},
	{"GET", "/v1/snapshot/download", route_snapshot_download, STREAM, "A snapshot of now"},
	{"POST", "/v1/snapshot/upload", route_snapshot_upload, STREAM | WRITE | ANEW,
	 "Begins anew from the snapshot in the body"},
	{"POST", "/v1/snapshot/restore", route_snapshot_restore, WRITE | ANEW,
	 "Begins anew from a snapshot that is kept here"},
	{"GET", "/v1/index/config", route_index_config, 0, "The index that searches use"},
	{"POST", "/v1/index/rebuild", route_index_rebuild, WRITE, "Another index, from now on"},
	{"GET", "/health", route_health, OPEN | LIGHT | ADMIN, "State and fill of the node"},
	{"GET", "/metrics", route_metrics, OPEN | LIGHT | ADMIN, "Figures for Prometheus"},
	{"GET", "/v1/version", route_version, LEGACY | LIGHT, "The version of the node, as text"},
	{"GET", "/openapi.json", route_openapi, OPEN | LIGHT, "This list for programs"},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

void serve_each_route(void (*visit)(void *context, const char *method, const char *path, const char *summary),
		      void *context)
{
	/* The methods of a path together, each path once with and once without its version. */
	for (size_t i = 0; i < ROUTES; i++) {
		bool is_first = true;

		for (size_t j = 0; j < i && is_first; j++)
			is_first = strcmp(routes[j].path, routes[i].path) != 0;
		for (unsigned skip = 0; skip <= 3 && is_first; skip += 3)
			for (size_t j = i; j < ROUTES; j++)
				if (strcmp(routes[j].path, routes[i].path) == 0 &&
				    (skip == 0 || (routes[j].flags & LEGACY)))
					visit(context, routes[j].method, routes[j].path + skip, routes[j].summary);
	}
}

/* ---- memory ---- */

struct kept {
	struct kept *next;
	max_align_t memory[];
};

void *exchange_alloc(struct exchange *x, size_t count, size_t size)
{
	struct kept *kept;
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, sizeof(*kept), &bytes))
		kept = NULL;
	else
		kept = calloc(1, bytes);
	if (kept == NULL) {
		fail_with(x, 503, "no_memory", "out of memory for this request");
		return NULL;
	}
	kept->next = x->kept;
	x->kept = kept;
	return kept->memory;
}

static void free_kept(struct exchange *x)
{
	for (struct kept *kept = x->kept, *next; kept != NULL; kept = next) {
		next = kept->next;
		free(kept);
	}
	x->kept = NULL;
}

void exchange_forget(struct exchange *x)
{
	free_kept(x);
	http_body_free(x->http);
}

/* Waits for a turn, if want_turn, and then keeps the store from being replaced. */
static void enter(struct exchange *x, bool want_turn)
{
	if (want_turn) {
		while (sem_wait(&x->node->work) != 0)
			;
		x->has_turn = true;
	}
	pthread_rwlock_rdlock(&x->node->swap);
	x->has_store = true;
}

void exchange_give_turn(struct exchange *x)
{
	if (x->has_turn)
		sem_post(&x->node->work);
	x->has_turn = false;
}

bool exchange_enter(struct exchange *x)
{
	enter(x, false);
	if (x->node->store != NULL)
		return true;
	fail_with(x, 503, "io", LOST);
	return false;
}

void exchange_leave(struct exchange *x)
{
	valori_view_close(x->view);
	x->view = NULL;
	exchange_leave_past(x);
	if (x->has_store)
		pthread_rwlock_unlock(&x->node->swap);
	x->has_store = false;
	exchange_give_turn(x);
}

static void release(struct exchange *x)
{
	exchange_leave(x);
	if (x->json.file != NULL)
		fclose(x->json.file);
	free(x->reply);
	free_kept(x);
}

/* ---- what a request brings ---- */

valori_view *exchange_view(struct exchange *x)
{
	valori_error error;

	if (x->view == NULL && valori_view_open(x->node->store, &x->view, &error) != VALORI_OK)
		fail(x, &error);
	return x->view;
}

valori_view *exchange_view_again(struct exchange *x)
{
	valori_view_close(x->view);
	x->view = NULL;
	return exchange_view(x);
}

const char *exchange_text(struct exchange *x, const char *name)
{
	size_t size = strlen(x->http->query) + 1;
	char *text = size > 1 ? exchange_alloc(x, size, 1) : NULL;

	return text != NULL && http_parameter(x->http, name, text, size) >= 0 ? text : NULL;
}

bool exchange_number(struct exchange *x, const char *name, uint64_t max, uint64_t *out)
{
	const char *text = exchange_text(x, name);
	uint64_t number;

	if (text == NULL)
		return true;
	if (!tool_parse_u64(text, &number) || number > max) {
		fail_with(x, 400, "invalid", "%s: must be a whole number up to %llu", name, (unsigned long long)max);
		return false;
	}
	*out = number;
	return true;
}

/* ---- answers ---- */

void fail_with(struct exchange *x, int status, const char *code, const char *format, ...)
{
	char sentence[512];
	va_list list;

	va_start(list, format);
	vsnprintf(sentence, sizeof(sentence), format, list);
	va_end(list);
	/* It may have been cut within a character, and a file may have any name. */
	http_error(x->http, status, status == 503 ? "Retry-After: 1\r\n" : NULL, code, "%s", tool_make_utf8(sentence));
}

static int status_of(int code)
{
	switch ((valori_code)code) {
	case VALORI_OK:
	case VALORI_END: return 200;
	case VALORI_INVALID:
	case VALORI_DIMENSION:
	case VALORI_RANGE:
	case VALORI_TOO_LONG: return 400;
	case VALORI_DUPLICATE:
	case VALORI_CONFLICT: return 409;
	case VALORI_NOT_FOUND: return 404;
	case VALORI_UNKNOWABLE: return 410;
	case VALORI_MISMATCH:
	case VALORI_OTHER_LOG:
	case VALORI_NOT_OURS:
	case VALORI_NEWER: return 422;
	case VALORI_FULL: return 507;
	case VALORI_NO_MEMORY:
	case VALORI_LOCKED:
	case VALORI_POISONED: return 503;
	case VALORI_IO:
	case VALORI_DAMAGED:
	case VALORI_MISSING: break;
	}
	return 500;
}

void fail(struct exchange *x, const valori_error *error)
{
	fail_with(x, status_of(error->code), valori_code_name(error->code), "%s", error->message);
}

struct tool_json *reply_begin(struct exchange *x)
{
	x->json.file = open_memstream(&x->reply, &x->reply_size);
	if (x->json.file == NULL) {
		fail_with(x, 503, "no_memory", "out of memory for the answer");
		return NULL;
	}
	tool_json_begin(&x->json);
	return &x->json;
}

void reply_send(struct exchange *x, int status)
{
	bool whole;

	tool_json_end(&x->json);
	whole = !ferror(x->json.file);
	if (fclose(x->json.file) != 0)
		whole = false;
	x->json.file = NULL;
	/* The client may be slow to take it: nobody else shall wait for that. */
	exchange_leave(x);
	if (whole)
		http_json(x->http, status, x->reply, x->reply_size);
	else
		fail_with(x, 503, "no_memory", "out of memory for the answer");
}

void reply_score(struct tool_json *json, uint64_t score)
{
	char text[32], raw[24];

	valori_score_format(score, text);
	tool_json_raw(json, "score", text);
	snprintf(raw, sizeof(raw), "%llu", (unsigned long long)score);
	tool_json_text(json, "raw_score", raw);
}

void reply_vector(struct exchange *x, struct tool_json *json, const char *name, uint64_t id)
{
	int32_t *vector = exchange_alloc(x, x->node->config.dim, sizeof(*vector));
	char text[32];

	if (vector == NULL || valori_vector_get(x->view, id, vector, NULL) != VALORI_OK)
		return;
	tool_json_array(json, name);
	for (uint32_t i = 0; i < x->node->config.dim; i++) {
		valori_q16_format(vector[i], text);
		tool_json_raw(json, NULL, text);
	}
	tool_json_array_end(json);
}

/* ---- the way in ---- */

/* Does path follow the pattern? Takes what :id and :name stand for. */
static bool matches(const char *pattern, const char *path, struct exchange *x)
{
	while (*pattern != 0) {
		size_t part;

		if (*pattern != ':') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		part = strcspn(path, "/");
		if (part == 0)
			return false;
		if (strncmp(pattern, ":id", 3) == 0) {
			char digits[24];

			if (part >= sizeof(digits))
				return false;
			memcpy(digits, path, part);
			digits[part] = 0;
			if (!tool_parse_u64(digits, &x->id))
				return false;
		} else {
			char *name = exchange_alloc(x, part + 1, 1);

			if (name == NULL)
				return false;
			memcpy(name, path, part);
			x->name = name;
		}
		pattern += strcspn(pattern, "/");
		path += part;
	}
	return *path == 0;
}

static const struct route *find(struct exchange *x, bool *is_path_known)
{
	const char *path = x->http->path, *method = strcmp(x->http->method, "HEAD") == 0 ? "GET" : x->http->method;

	*is_path_known = false;
	for (size_t i = 0; i < ROUTES; i++) {
		const struct route *route = &routes[i];

		if (matches(route->path, path, x) || ((route->flags & LEGACY) && matches(route->path + 3, path, x))) {
			*is_path_known = true;
			if (strcmp(route->method, method) == 0)
				return route;
		}
	}
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The path and the query must be text: answers say again what was asked for, and JSON has UTF-8 only. false: answered.
 */
static bool is_text(struct exchange *x)
{
	const char *path = x->http->path, *query = x->http->query;
	char *text = query[0] != 0 ? exchange_alloc(x, strlen(query), 1) : NULL;
	size_t size = 0;

	if (query[0] != 0 && text == NULL)
		return false;
	for (; *query != 0; query++) {
		int high = query[0] == '%' ? hex_digit(query[1]) : -1, low = high >= 0 ? hex_digit(query[2]) : -1;

		text[size++] = low >= 0 ? (char)(high << 4 | low) : *query;
		query += low >= 0 ? 2 : 0;
	}
	if (tool_is_utf8(path, strlen(path)) && tool_is_utf8(text, size) &&
	    (size == 0 || memchr(text, 0, size) == NULL))
		return true;
	fail_with(x, 400, "invalid", "the path and the query must be UTF-8 without zero bytes");
	return false;
}

/* Whoever asks must show the token; how long the comparison takes says nothing about it. */
static bool is_allowed(const struct exchange *x)
{
	const char *header = http_header(x->http, "Authorization");
	uint8_t digest[crypto_generichash_BYTES_MAX];

	if (x->node->config.token == NULL)
		return true;
	if (header == NULL || strncmp(header, "Bearer ", 7) != 0)
		return false;
	crypto_generichash(digest, sizeof(digest), (const unsigned char *)header + 7, strlen(header + 7), NULL, 0);
	return sodium_memcmp(digest, x->node->token_digest, sizeof(digest)) == 0;
}

static void work(struct exchange *x)
{
	if (x->node->store == NULL)
		fail_with(x, 503, "io", LOST);
	else if (!(x->route->flags & PAST) || exchange_moment(x))
		x->route->answer(x);
}

static void answer(struct node *node, struct http_request *request, bool is_admin)
{
	struct exchange x = {.node = node, .http = request};
	bool is_path_known;

	x.route = find(&x, &is_path_known);
	if (request->status != 0) {
	} else if (!is_text(&x)) {
	} else if (is_admin && (x.route == NULL || !(x.route->flags & ADMIN))) {
		fail_with(&x, 404, "not_found", "%s: only /health and /metrics are here", request->path);
	} else if (!serve_is_welcome(&x)) {
	} else if (strcmp(request->method, "OPTIONS") == 0 && request->headers != NULL) {
		http_answer(request, 204, NULL, SERVE_PREFLIGHT, NULL, 0);
	} else if ((x.route == NULL || !(x.route->flags & OPEN)) && !is_allowed(&x)) {
		http_error(request, 401, "WWW-Authenticate: Bearer\r\n", "unauthorized",
			   "give the node's token: Authorization: Bearer TOKEN");
	} else if (x.route == NULL && is_path_known) {
		fail_with(&x, 405, "invalid", "%s: not with %s", request->path, request->method);
	} else if (x.route == NULL) {
		fail_with(&x, 404, "not_found", "%s: no such thing here; /openapi.json lists what there is",
			  request->path);
	} else if ((x.route->flags & ANEW) && node->follower != NULL) {
		fail_with(&x, 409, "follower", "this node follows another one: its store begins anew when that does");
	} else if ((x.route->flags & WRITE) && !(x.route->flags & LOCAL) && node->follower != NULL) {
		serve_forward(&x);
	} else if ((x.route->flags & WRITE) && node->read_only[0] != 0) {
		fail_with(&x, 503, "read_only", "nothing can be written: %s", node->read_only);
	} else if (x.route->flags & STREAM) {
		x.route->answer(&x);
	} else if (x.route->flags & LIGHT) {
		/* Whoever asks how the node is, does not wait until it is well. */
		if (pthread_rwlock_tryrdlock(&node->swap) != 0) {
			fail_with(&x, 503, "busy", "a restore is under way");
		} else {
			x.has_store = true;
			work(&x);
		}
	} else if (strcmp(x.route->method, "GET") == 0 || http_announced(request) == 0 || http_body(request)) {
		/* The body has come, at its sender's speed: nobody waited for it with a turn in his hand. */
		enter(&x, true);
		work(&x);
	}
	release(&x);
}

void serve_answer(void *context, struct http_request *request)
{
	answer(context, request, false);
}

void serve_answer_admin(void *context, struct http_request *request)
{
	answer(context, request, true);
}
