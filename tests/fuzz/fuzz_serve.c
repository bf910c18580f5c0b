/*
 * fuzz_serve.c - one request to a node: answered once, with JSON when it says so, and never with 500.
 *
 * The first line is method, path and query, and, behind another space, a media type; the body is what comes behind it.
 * HTTP itself is not looked at: what stands here in place of lib/net/http.c hands the request over as it would.
 */
#include "serve.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"

struct answer { /* of the request that is asked */
	int count, status;
	bool is_json, is_stream;
	char *text;
	size_t size;
};

static struct node node;
static struct answer answer;
static const uint8_t *body;
static size_t body_size, body_read_size;
static const char *media_type;

/* ---- in place of lib/net/http.c ---- */

const char *http_header(const struct http_request *request, const char *name)
{
	(void)request;
	return strcmp(name, "Content-Type") == 0 ? media_type : NULL;
}

int http_parameter(const struct http_request *request, const char *name, char *out, size_t size)
{
	size_t length = strlen(name);

	for (const char *at = request->query; *at != 0; at += strcspn(at, "&"), at += *at == '&') {
		size_t part = strcspn(at, "&");

		if (part > length && strncmp(at, name, length) == 0 && at[length] == '=') {
			part -= length + 1;
			if (part >= size)
				return -1;
			memcpy(out, at + length + 1, part);
			out[part] = 0;
			return (int)part;
		}
	}
	return -1;
}

void serve_say(const char *kind, const char *text)
{
	(void)kind;
	(void)text;
}

int64_t http_announced(const struct http_request *request)
{
	(void)request;
	return (int64_t)body_size;
}

int64_t http_read(struct http_request *request, void *out, size_t size, uint64_t max)
{
	size_t left = body_size - body_read_size;

	(void)request;
	(void)max;
	size = size < left ? size : left;
	memcpy(out, body + body_read_size, size);
	body_read_size += size;
	return (int64_t)size;
}

bool http_body(struct http_request *request)
{
	if (request->body != NULL)
		return true;
	request->body = malloc(body_size + 1);
	must(request->body != NULL);
	request->body_size = (size_t)http_read(request, request->body, body_size, 0);
	request->body[body_size] = 0;
	return true;
}

void http_body_free(struct http_request *request)
{
	free(request->body);
	request->body = NULL;
	request->body_size = 0;
}

static void keep(const void *data, size_t size)
{
	answer.text = realloc(answer.text, answer.size + size + 1);
	must(answer.text != NULL);
	if (size > 0)
		memcpy(answer.text + answer.size, data, size);
	answer.size += size;
}

void http_stream_begin(struct http_request *request, int status, const char *type, const char *headers, uint64_t size)
{
	(void)headers;
	(void)size;
	must(type == NULL || strpbrk(type, "\r\n") == NULL);
	request->status = status;
	answer.count++;
	answer.status = status;
	answer.is_json = type != NULL && strcmp(type, "application/json") == 0;
}

bool http_stream_write(struct http_request *request, const void *data, size_t size)
{
	(void)request;
	keep(data, size);
	return true;
}

void http_answer(struct http_request *request, int status, const char *type, const char *headers, const void *data,
		 size_t size)
{
	if (request->status != 0)
		return;
	http_stream_begin(request, status, type, headers, size);
	keep(data, size);
}

void http_json(struct http_request *request, int status, const void *data, size_t size)
{
	http_answer(request, status, "application/json", NULL, data, size);
}

void http_error(struct http_request *request, int status, const char *headers, const char *code, const char *format,
		...)
{
	char sentence[1024];
	va_list list;

	va_start(list, format);
	must(vsnprintf(sentence, sizeof(sentence), format, list) > 0);
	va_end(list);
	must(code[0] != 0);
	http_answer(request, status, NULL, headers, NULL, 0);
}

void http_stream_watch(struct http_request *request)
{
	(void)request;
}

/* Nobody waits for what a stream may say later. */
bool http_is_gone(const struct http_request *request)
{
	(void)request;
	return true;
}

bool http_is_stopping(const struct http_request *request)
{
	(void)request;
	return false;
}

uint64_t http_now_ns(void)
{
	static uint64_t now;

	return now += 1000;
}

void serve_done(void *context, const struct http_request *request, uint64_t ns)
{
	(void)context;
	(void)request;
	(void)ns;
}

/* ---- the node ---- */

valori_code serve_open(struct node *own, valori_error *error)
{
	valori_options options = VALORI_OPTIONS_INIT;

	options.dim = own->config.dim;
	options.flags = VALORI_WRITE | VALORI_CREATE;
	options.records_max = own->config.records_max;
	options.time_ms = 1;
	return valori_open(&options, &own->store, error);
}

static void begin(void)
{
	static bool is_ready;

	if (!is_ready) {
		node.config.dim = 2;
		node.config.records_max = 100;
		node.config.nodes_max = node.config.edges_max = 20;
		node.config.index = VALORI_INDEX_BRUTE;
		must(sem_init(&node.work, 0, 1) == 0 && pthread_mutex_init(&node.snapshots, NULL) == 0 &&
		     pthread_mutex_init(&node.faults, NULL) == 0 && pthread_rwlock_init(&node.swap, NULL) == 0 &&
		     serve_pasts_init(&node) && serve_replication_init(&node));
		is_ready = true;
	}
	must(serve_open(&node, NULL) == VALORI_OK);
}

static void ask(const char *method, char *path, const char *type, const void *data, size_t size)
{
	char *query = strchr(path, '?');
	struct http_request request = {.method = method, .query = "", .peer = "127.0.0.1", .path = path};
	struct json json;
	struct slice text;
	int turns;

	if (query != NULL) {
		*query = 0;
		request.query = query + 1;
	}
	body = data;
	body_size = size;
	body_read_size = 0;
	media_type = type;
	answer = (struct answer){.text = NULL};
	serve_answer(&node, &request);
	must(answer.count == 1 && request.status == answer.status);
	must(answer.status != 500);
	if (answer.is_json && strcmp(method, "HEAD") != 0) {
		json_init(&json, answer.text, answer.size);
		must(json_skip(&json, &text) && json_end(&json));
	}
	/* All that was taken was given back. */
	must(sem_getvalue(&node.work, &turns) == 0 && turns == 1);
	must(pthread_rwlock_trywrlock(&node.swap) == 0 && pthread_rwlock_unlock(&node.swap) == 0);
	must(atomic_load(&node.nodes_reserved) == 0 && atomic_load(&node.edges_reserved) == 0);
	free(request.body);
	free(answer.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char records[] = "{\"batch\":[[0,0],[1,2]],\"keys\":[\"a\",null],\"metadata\":[{\"a\":1},null]}";
	static const char memory[] = "{\"vector\":[1,1],\"metadata\":\"x\"}";
	const uint8_t *end = memchr(data, '\n', size);
	char line[512], insert[] = "/v1/vectors/batch-insert", upsert[] = "/v1/memory/upsert", *path, *type;
	uint8_t *exact;

	if (end == NULL || (size_t)(end - data) >= sizeof(line) || memchr(data, 0, (size_t)(end - data)) != NULL)
		return 0;
	memcpy(line, data, (size_t)(end - data));
	line[end - data] = 0;
	path = strchr(line, ' ');
	/* What writes files elsewhere is not for here. */
	if (path == NULL || path[1] != '/' || strstr(path, "download") != NULL || strstr(path, "upload") != NULL)
		return 0;
	*path++ = 0;
	type = strchr(path, ' ');
	if (type != NULL)
		*type++ = 0;
	size -= (size_t)(end - data) + 1;
	exact = malloc(size + 1);
	must(exact != NULL);
	memcpy(exact, end + 1, size);
	begin();
	ask("POST", insert, NULL, records, sizeof(records) - 1);
	ask("POST", upsert, NULL, memory, sizeof(memory) - 1);
	ask(line, path, type, exact, size);
	free(exact);
	must(valori_close(node.store, NULL) == VALORI_OK);
	node.store = NULL;
	return 0;
}
