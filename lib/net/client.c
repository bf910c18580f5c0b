/* client.c - asking another node: libcurl with every convenience off, and limits, deadlines and errors of our own. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void client_answer_free(struct client_answer *answer)
{
	free(answer->body);
	answer->body = NULL;
}

#ifdef HAVE_CURL

#include <curl/curl.h>
#include <pthread.h>
#include <strings.h>
#include <time.h>

enum {
	CONNECT_MS = 5000, /* until the connection stands */
	HEAD_MS = 15000,   /* until the head of the answer is there */
	TICK_MS = 100,
	RECEIVE_ROOM = 256 << 10
};

struct client {
	char *url, *authorization;
};

/* One request under way. */
struct transfer {
	const struct client_request *request;
	struct client_answer *answer;
	CURL *easy;
	bool is_begun, is_stopped;
	size_t room; /* of the body */
	uint64_t heard_ns;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- the node ---- */

/* NULL: it is an address that can be asked. */
static const char *fault_of_url(const char *url)
{
	CURLU *parts = curl_url();
	const char *fault = NULL;
	char *part = NULL;
	static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};

	if (parts == NULL)
		return "out of memory";
	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		fault = "must begin with http:// or https://";
	else if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
		fault = "is no URL";
	for (size_t i = 0; fault == NULL && i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
		if (curl_url_get(parts, unwanted[i], &part, 0) == CURLUE_OK)
			fault = i < 2 ? "must not hold a name or password: VALORI_AUTH_TOKEN is for that"
				      : "must end with the host, or a path";
		curl_free(part);
		part = NULL;
	}
	curl_url_cleanup(parts);
	return fault;
}

struct client *client_new(const char *url, const char *token, char *message, size_t size)
{
	struct client *client;
	const char *fault;
	size_t length = strlen(url);

	pthread_once(&once, init);
	fault = fault_of_url(url);
	if (fault == NULL && token != NULL && strpbrk(token, "\r\n") != NULL)
		fault = "the token has a line feed in it";
	if (fault != NULL) {
		snprintf(message, size, "%.200s: %s", url, fault);
		return NULL;
	}
	while (length > 0 && url[length - 1] == '/')
		length--;
	client = calloc(1, sizeof(*client));
	if (client != NULL)
		client->url = strndup(url, length);
	if (client != NULL && token != NULL) {
		size_t room = strlen(token) + sizeof("Authorization: Bearer ");

		client->authorization = malloc(room);
		if (client->authorization != NULL)
			snprintf(client->authorization, room, "Authorization: Bearer %s", token);
	}
	if (client == NULL || client->url == NULL || (token != NULL && client->authorization == NULL)) {
		client_free(client);
		snprintf(message, size, "out of memory");
		return NULL;
	}
	return client;
}

void client_free(struct client *client)
{
	if (client == NULL)
		return;
	free(client->url);
	free(client->authorization);
	free(client);
}

const char *client_url(const struct client *client)
{
	return client->url;
}

/* ---- what comes ---- */

static void take_text(const char *value, size_t size, char *out, size_t room)
{
	size = size < room - 1 ? size : room - 1;
	memcpy(out, value, size);
	out[size] = 0;
}

static void take_number(const char *value, size_t size, uint64_t *out)
{
	uint64_t number = 0;

	if (size == 0 || size > 19)
		return;
	for (size_t i = 0; i < size; i++) {
		if (value[i] < '0' || value[i] > '9')
			return;
		number = number * 10 + (uint64_t)(value[i] - '0');
	}
	*out = number;
}

static void take_header(struct client_answer *answer, const char *name, size_t name_size, const char *value,
			size_t size)
{
	const struct {
		const char *name;
		char *text;
		size_t room;
		uint64_t *number;
	} known[] = {
		{"Content-Type", answer->type, sizeof(answer->type), NULL},
		{"ETag", answer->etag, sizeof(answer->etag), NULL},
		{"Location", answer->location, sizeof(answer->location), NULL},
		{"X-Valori-Log-Id", answer->log_id, sizeof(answer->log_id), NULL},
		{"X-Valori-State-Hash", answer->state_hash, sizeof(answer->state_hash), NULL},
		{"X-Valori-Dim", NULL, 0, &answer->dim},
		{"X-Valori-Height", NULL, 0, &answer->height},
		{"X-Valori-Base", NULL, 0, &answer->base},
		{"Retry-After", NULL, 0, &answer->retry_after},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) != name_size || strncasecmp(known[i].name, name, name_size) != 0)
			continue;
		if (known[i].text != NULL)
			take_text(value, size, known[i].text, known[i].room);
		else
			take_number(value, size, known[i].number);
	}
}

static void reset(struct client_answer *answer)
{
	char *body = answer->body;

	*answer = (struct client_answer){.dim = UINT64_MAX, .height = UINT64_MAX, .base = UINT64_MAX, .body = body};
}

static bool is_taken(const struct transfer *transfer)
{
	return transfer->answer->status / 100 == 2 && transfer->request->take != NULL;
}

/* The empty line behind the head. */
static bool begin(struct transfer *transfer)
{
	long status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return true; /* another head follows */
	transfer->answer->status = (int)status;
	transfer->is_begun = true;
	if (status / 100 != 2 || transfer->request->begin == NULL ||
	    transfer->request->begin(transfer->request->context, transfer->answer))
		return true;
	transfer->is_stopped = true;
	return false;
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
	struct transfer *transfer = context;
	const char *colon = memchr(data, ':', size), *value;
	size_t length = size;

	(void)one;
	transfer->heard_ns = now_ns();
	if (transfer->is_begun)
		return size; /* behind the body */
	while (length > 0 && (data[length - 1] == '\r' || data[length - 1] == '\n' || data[length - 1] == ' '))
		length--;
	if (length == 0)
		return begin(transfer) ? size : 0;
	if (length > 5 && memcmp(data, "HTTP/", 5) == 0)
		reset(transfer->answer);
	if (colon == NULL || colon >= data + length)
		return size;
	for (value = colon + 1; value < data + length && (*value == ' ' || *value == '\t'); value++)
		;
	take_header(transfer->answer, data, (size_t)(colon - data), value, (size_t)(data + length - value));
	return size;
}

static bool keep(struct transfer *transfer, const char *data, size_t size)
{
	struct client_answer *answer = transfer->answer;

	if (answer->body_size + size > CLIENT_BODY_MAX) {
		snprintf(answer->fault, sizeof(answer->fault), "answers with more than %d bytes", CLIENT_BODY_MAX);
		return false;
	}
	if (answer->body_size + size + 1 > transfer->room) {
		size_t room = 2 * (answer->body_size + size + 1);
		char *larger = realloc(answer->body, room);

		if (larger == NULL) {
			snprintf(answer->fault, sizeof(answer->fault), "out of memory");
			return false;
		}
		answer->body = larger;
		transfer->room = room;
	}
	memcpy(answer->body + answer->body_size, data, size);
	answer->body_size += size;
	answer->body[answer->body_size] = 0;
	return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
	struct transfer *transfer = context;
	bool goes_on;

	(void)one;
	if (is_taken(transfer)) {
		goes_on = transfer->request->take(transfer->request->context, data, size);
		transfer->is_stopped = !goes_on;
	} else {
		goes_on = keep(transfer, data, size);
	}
	transfer->heard_ns = now_ns(); /* what was done with it took time that was not the node's */
	return goes_on ? size : 0;
}

/* ---- the request ---- */

static bool set_up(struct transfer *transfer, const struct client *client, struct curl_slist **headers, char *error)
{
	const struct client_request *request = transfer->request;
	CURL *easy = transfer->easy;
	size_t room = strlen(client->url) + strlen(request->path) + 1;
	char *url = malloc(room);
	CURLcode code;

	if (url == NULL)
		return false;
	snprintf(url, room, "%s%s", client->url, request->path);
	code = curl_easy_setopt(easy, CURLOPT_URL, url);
	free(url);
	*headers = curl_slist_append(*headers, "Expect:");
	if (client->authorization != NULL)
		*headers = curl_slist_append(*headers, client->authorization);
	for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
		*headers = curl_slist_append(*headers, request->headers[i]);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "valori");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_ROOM);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	if (request->patience_ms != 0)
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->patience_ms);
	if (request->body != NULL) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	}
	if (request->method != NULL && strcmp(request->method, "HEAD") == 0)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (request->method != NULL)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	return code == CURLE_OK && *headers != NULL;
}

/* Until it is over, or somebody hangs up; *out_code is what libcurl says of the transfer. */
static bool carry_out(struct transfer *transfer, CURLM *multi, CURLcode *out_code)
{
	const struct client_request *request = transfer->request;
	struct curl_waitfd wake = {.fd = request->wake_fd, .events = CURL_WAIT_POLLIN};
	uint64_t began = now_ns();
	int running = 1;

	transfer->heard_ns = began;
	for (;;) {
		CURLMsg *message;
		int left;

		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return false;
		if (running == 0) {
			message = curl_multi_info_read(multi, &left);
			*out_code = message != NULL ? message->data.result : CURLE_RECV_ERROR;
			return true;
		}
		if (request->tick != NULL && !request->tick(request->context, now_ns() - transfer->heard_ns)) {
			transfer->is_stopped = true;
			return true;
		}
		if (!transfer->is_begun && now_ns() - began > (uint64_t)HEAD_MS * 1000000) {
			snprintf(transfer->answer->fault, sizeof(transfer->answer->fault),
				 "does not answer within %d seconds", HEAD_MS / 1000);
			return true;
		}
		curl_multi_poll(multi, &wake, request->wake_fd >= 0, TICK_MS, NULL);
	}
}

/* A sentence of libcurl begins with a large letter; ours do not. */
static void set_fault(struct client_answer *answer, const char *error, CURLcode code)
{
	if (answer->fault[0] != 0)
		return;
	snprintf(answer->fault, sizeof(answer->fault), "%.200s", error[0] != 0 ? error : curl_easy_strerror(code));
	if (answer->fault[0] >= 'A' && answer->fault[0] <= 'Z' && answer->fault[1] >= 'a')
		answer->fault[0] = (char)(answer->fault[0] | 0x20);
}

enum client_result client_ask(struct client *client, const struct client_request *request, struct client_answer *out)
{
	struct transfer transfer = {.request = request, .answer = out};
	char error[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	CURLM *multi = curl_multi_init();
	CURLcode code = CURLE_OK;
	bool is_done = false;

	out->body = NULL;
	reset(out);
	transfer.easy = curl_easy_init();
	if (multi == NULL || transfer.easy == NULL || !set_up(&transfer, client, &headers, error) ||
	    curl_multi_add_handle(multi, transfer.easy) != CURLM_OK)
		code = CURLE_OUT_OF_MEMORY;
	else
		is_done = carry_out(&transfer, multi, &code);
	if (multi != NULL && transfer.easy != NULL)
		curl_multi_remove_handle(multi, transfer.easy);
	curl_easy_cleanup(transfer.easy);
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	if (transfer.is_stopped)
		return CLIENT_STOPPED;
	if (is_done && code == CURLE_OK && out->fault[0] == 0)
		return CLIENT_WHOLE;
	set_fault(out, error, code);
	return transfer.is_begun ? CLIENT_CUT : CLIENT_UNREACHABLE;
}

#else

struct client *client_new(const char *url, const char *token, char *message, size_t size)
{
	(void)token;
	snprintf(message, size,
		 "%.100s: this build has no libcurl; curl -sN %.100s/v1/replication/events can be piped into "
		 "valori-follow -",
		 url, url);
	return NULL;
}

void client_free(struct client *client)
{
	(void)client;
}

const char *client_url(const struct client *client)
{
	(void)client;
	return "";
}

enum client_result client_ask(struct client *client, const struct client_request *request, struct client_answer *out)
{
	(void)client;
	(void)request;
	*out = (struct client_answer){.fault = "no libcurl"};
	return CLIENT_UNREACHABLE;
}

#endif
