/* http.c - an HTTP/1.1 server: civetweb with every convenience off, and limits, deadlines and errors of our own. */
#include "http.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum {
	STACK_SIZE = 512 << 10, /* of a connection's thread; what is not touched costs nothing */
	HEADER_MAX = 16384,	/* bytes of a request's head */
	PATIENCE_MS = 5000,	/* for the head, and for each piece of a body */
	IDLE_MS = 60000,	/* a kept connection without a request */
	PIECE = 16384,		/* of a body */
	RATE_MIN = 16384,	/* bytes a second that a body must bring, once PATIENCE_MS are over */
	SENTENCE_MAX = 1024
};

struct http_server {
	struct mg_context *context;
	struct http_options options;
	unsigned port;
	atomic_bool stopping;
};

uint64_t http_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- what a request says ---- */

const char *http_header(const struct http_request *request, const char *name)
{
	return mg_get_header(request->connection, name);
}

int http_parameter(const struct http_request *request, const char *name, char *out, size_t size)
{
	int length = mg_get_var(request->query, strlen(request->query), name, out, size);

	return length < 0 ? -1 : length;
}

int64_t http_announced(const struct http_request *request)
{
	return mg_get_request_info(request->connection)->content_length;
}

bool http_is_stopping(const struct http_request *request)
{
	return atomic_load(&request->server->stopping);
}

static size_t headers_with(const struct mg_request_info *info, const char *name)
{
	size_t count = 0;

	for (int i = 0; i < info->num_headers; i++)
		count += strcasecmp(info->http_headers[i].name, name) == 0;
	return count;
}

/*
 * A head that two servers on the way could read in two ways is refused (RFC 9112, 6.3). NULL: it is fine.
 */
static const char *ambiguity(const struct mg_request_info *info)
{
	size_t lengths = headers_with(info, "Content-Length"), codings = headers_with(info, "Transfer-Encoding");

	if (lengths > 1)
		return "Content-Length stands there twice";
	if (lengths > 0 && codings > 0)
		return "Content-Length and Transfer-Encoding exclude each other";
	if (codings > 1)
		return "Transfer-Encoding stands there twice";
	if (headers_with(info, "Host") > 1)
		return "Host stands there twice";
	if (info->request_uri == NULL || info->request_uri[0] != '/' || info->local_uri == NULL)
		return "the target must be a path";
	for (int i = 0; i < info->num_headers; i++) {
		const char *value = info->http_headers[i].value;

		if (strcasecmp(info->http_headers[i].name, "Content-Length") == 0 &&
		    (value[0] == 0 || strspn(value, "0123456789") != strlen(value) || strlen(value) > 18))
			return "Content-Length is no number";
		if (strpbrk(value, "\r\n") != NULL)
			return "a header goes on in the next line";
	}
	return NULL;
}

/* ---- answers ---- */

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{200, "OK"},
		{201, "Created"},
		{204, "No Content"},
		{206, "Partial Content"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{413, "Content Too Large"},
		{416, "Range Not Satisfiable"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{507, "Insufficient Storage"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Unknown";
}

static bool keeps_alive(const struct http_request *request)
{
	const struct mg_request_info *info = mg_get_request_info(request->connection);
	const char *wish = http_header(request, "Connection");

	if (request->must_close || atomic_load(&request->server->stopping))
		return false;
	if (wish != NULL)
		return strcasecmp(wish, "keep-alive") == 0;
	return info->http_version != NULL && strcmp(info->http_version, "1.1") == 0;
}

/* The head of an answer into out; the bytes it has. length: its Content-Length line, or what stands instead. */
static size_t format_head(struct http_request *request, int status, const char *type, const char *headers,
			  const char *length, char *out, size_t size)
{
	char date[40];
	time_t now = time(NULL);
	struct tm tm;
	int used;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	used = snprintf(
		out, size,
		"HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%sX-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
		status, status_text(status), date, type != NULL ? "Content-Type: " : "", type != NULL ? type : "",
		type != NULL ? "\r\n" : "", headers != NULL ? headers : "", length,
		keeps_alive(request) ? "keep-alive" : "close");
	return used < 0 || (size_t)used >= size ? 0 : (size_t)used;
}

/*
 * Makes the library give the connection up, rather than read the rest of a body that nobody wants, at whatever speed
 * its sender likes. It lends us neither the socket nor a call for this, but the socket is one of ours.
 */
static void stop_reading(const struct http_request *request)
{
	const struct mg_request_info *info = mg_get_request_info(request->connection);
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		struct sockaddr_in address, own;
		socklen_t size = sizeof(address), own_size = sizeof(own);
		int fd = atoi(entry->d_name);
		char text[INET_ADDRSTRLEN];

		if (getpeername(fd, (struct sockaddr *)&address, &size) != 0 || address.sin_family != AF_INET ||
		    getsockname(fd, (struct sockaddr *)&own, &own_size) != 0)
			continue;
		if (ntohs(address.sin_port) == info->remote_port && ntohs(own.sin_port) == info->server_port &&
		    inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text)) != NULL &&
		    strcmp(text, info->remote_addr) == 0)
			shutdown(fd, SHUT_RD);
	}
	closedir(directory);
}

void http_answer(struct http_request *request, int status, const char *type, const char *headers, const void *body,
		 size_t size)
{
	char head[2048], length[48];
	int64_t announced = http_announced(request);
	bool is_head = strcmp(request->method, "HEAD") == 0;
	size_t head_size;

	if (request->status != 0)
		return;
	request->status = status;
	/* A body that nobody has read: a little of it is passed over, more is not waited for. */
	if (announced > 0 && (uint64_t)announced > request->received + PIECE)
		request->must_close = true;
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n", size);
	head_size = format_head(request, status, type, headers, status == 204 ? "" : length, head, sizeof(head));
	if (is_head || status == 204)
		size = 0;
	/* One packet, if it is small. */
	if (head_size + size <= sizeof(head)) {
		if (size > 0)
			memcpy(head + head_size, body, size);
		mg_write(request->connection, head, head_size + size);
	} else {
		mg_write(request->connection, head, head_size);
		mg_write(request->connection, body, size);
	}
	if (request->must_close)
		stop_reading(request);
}

void http_json(struct http_request *request, int status, const void *body, size_t size)
{
	http_answer(request, status, "application/json", NULL, body, size);
}

/* text as the inside of a JSON string; what is not ASCII stays, control bytes are escaped. */
static size_t escape(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text != 0 && used + 7 < size; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\') {
			out[used++] = '\\';
			out[used++] = (char)byte;
		} else if (byte < 0x20 || byte == 0x7f) {
			used += (size_t)snprintf(out + used, size - used, "\\u%04x", byte);
		} else {
			out[used++] = (char)byte;
		}
	}
	out[used] = 0;
	return used;
}

void http_error(struct http_request *request, int status, const char *headers, const char *code, const char *format,
		...)
{
	char sentence[SENTENCE_MAX], escaped[SENTENCE_MAX * 2], body[SENTENCE_MAX * 2 + 128];
	va_list list;
	int size;

	va_start(list, format);
	vsnprintf(sentence, sizeof(sentence), format, list);
	va_end(list);
	escape(escaped, sizeof(escaped), sentence);
	size = snprintf(body, sizeof(body), "{\"error\":\"%s\",\"code\":\"%s\"}", escaped, code);
	http_answer(request, status, "application/json", headers, body, (size_t)size);
}

void http_stream_begin(struct http_request *request, int status, const char *type, const char *headers, uint64_t size)
{
	char head[2048], length[48] = "Transfer-Encoding: chunked\r\n";
	size_t head_size;

	if (request->status != 0)
		return;
	request->status = status;
	request->is_stream = size == UINT64_MAX;
	if (!request->is_stream)
		snprintf(length, sizeof(length), "Content-Length: %llu\r\n", (unsigned long long)size);
	head_size = format_head(request, status, type, headers, length, head, sizeof(head));
	mg_write(request->connection, head, head_size);
}

bool http_stream_write(struct http_request *request, const void *data, size_t size)
{
	if (size == 0)
		return true;
	if (request->is_stream)
		return mg_send_chunk(request->connection, data, (unsigned)size) > 0;
	return mg_write(request->connection, data, size) == (int)size;
}

/* ---- bodies ---- */

static int64_t refuse(struct http_request *request, int status, const char *code, const char *sentence)
{
	request->must_close = true;
	http_error(request, status, NULL, code, "%s", sentence);
	return -1;
}

static int64_t too_long(struct http_request *request, uint64_t max)
{
	request->must_close = true;
	http_error(request, 413, NULL, "too_long", "the body is longer than %llu bytes", (unsigned long long)max);
	return -1;
}

int64_t http_read(struct http_request *request, void *out, size_t size, uint64_t max)
{
	int64_t announced = http_announced(request);
	uint64_t waited;
	int got;

	if (max == 0)
		max = request->server->options.body_max;
	if (announced > 0 && (uint64_t)announced > max)
		return too_long(request, max);
	if (!request->is_continued) {
		const char *expects = http_header(request, "Expect");

		request->is_continued = true;
		if (expects != NULL && strcasecmp(expects, "100-continue") == 0)
			mg_write(request->connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
	got = mg_read(request->connection, out, size < PIECE ? size : PIECE);
	if (got > 0) {
		request->received += (uint64_t)got;
		waited = (http_now_ns() - request->began_ns) / 1000000;
		if (waited > PATIENCE_MS && request->received < waited * RATE_MIN / 1000)
			return refuse(request, 408, "too_slow", "the body comes too slowly");
		return request->received > max ? too_long(request, max) : got;
	}
	if (announced > 0 && request->received < (uint64_t)announced) {
		waited = (http_now_ns() - request->began_ns) / 1000000;
		if (waited >= PATIENCE_MS)
			return refuse(request, 408, "too_slow", "the body comes too slowly");
		return refuse(request, 400, "invalid", "the body is shorter than Content-Length says");
	}
	return got < 0 ? refuse(request, 400, "invalid", "the body is cut short") : 0;
}

bool http_body(struct http_request *request)
{
	int64_t announced = http_announced(request);
	size_t room = announced > 0 && announced < PIECE ? (size_t)announced + 1 : PIECE + 1;
	int64_t got;

	if (request->body != NULL)
		return true;
	request->body = malloc(room);
	while (request->body != NULL) {
		got = http_read(request, request->body + request->body_size, room - 1 - request->body_size, 0);
		if (got < 0)
			return false;
		request->body_size += (size_t)got;
		if (got == 0 || (announced >= 0 && request->body_size == (size_t)announced)) {
			request->body[request->body_size] = 0;
			return true;
		}
		/* It grows with what has come, not with what was announced. */
		if (request->body_size + 1 == room) {
			char *larger;

			room = announced > 0 && (size_t)announced < 4 * room ? (size_t)announced + 1 : 2 * room;
			larger = realloc(request->body, room);
			if (larger == NULL)
				break;
			request->body = larger;
		}
	}
	refuse(request, 503, "no_memory", "out of memory for the body");
	return false;
}

/* ---- the library's calls ---- */

static int handle(struct mg_connection *connection)
{
	const struct mg_request_info *info = mg_get_request_info(connection);
	struct http_server *server = info->user_data;
	struct http_request request = {
		.method = info->request_method,
		.path = info->local_uri != NULL ? info->local_uri : "",
		.query = info->query_string != NULL ? info->query_string : "",
		.peer = info->remote_addr,
		.connection = connection,
		.server = server,
		.began_ns = http_now_ns(),
	};
	const char *fault = ambiguity(info);

	if (fault != NULL)
		refuse(&request, 400, "invalid", fault);
	else
		server->options.answer(server->options.context, &request);
	if (request.status == 0)
		http_error(&request, 500, NULL, "internal", "nothing answers this request");
	if (request.is_stream)
		mg_send_chunk(connection, "", 0);
	free(request.body);
	if (server->options.done != NULL)
		server->options.done(server->options.context, &request, http_now_ns() - request.began_ns);
	return request.status;
}

/* What the library finds wrong itself: a head that is too long, no HTTP at all. */
static int library_error(struct mg_connection *connection, int status, const char *text)
{
	char body[256], head[512], escaped[128];
	int size, head_size;

	escape(escaped, sizeof(escaped), text != NULL ? text : "");
	size = snprintf(body, sizeof(body), "{\"error\":\"%s\",\"code\":\"invalid\"}", escaped);
	head_size = snprintf(head, sizeof(head),
			     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
			     "Connection: close\r\n\r\n",
			     status, status_text(status), size);
	mg_write(connection, head, (size_t)head_size);
	mg_write(connection, body, (size_t)size);
	return 0;
}

static int library_message(const struct mg_connection *connection, const char *message)
{
	const struct http_server *server = mg_get_user_data(mg_get_context(connection));

	if (server != NULL && server->options.trouble != NULL)
		server->options.trouble(server->options.context, message);
	return 1;
}

/* ---- starting ---- */

/* "HOST:PORT" to what the library wants, "ADDRESS:PORT". NULL: all is well. */
static const char *resolve(const char *bind, char *out, size_t size)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	const char *colon = strrchr(bind, ':');
	char host[256], address[INET_ADDRSTRLEN];
	struct sockaddr_in in;

	if (colon == NULL || colon == bind || (size_t)(colon - bind) >= sizeof(host))
		return "want HOST:PORT";
	if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || colon[1] == 0 || strlen(colon) > 6 ||
	    atoi(colon + 1) > 65535)
		return colon[1] != 0 && strchr("sr", colon[strlen(colon) - 1]) != NULL
			       ? "TLS is for a proxy before it (nginx, stunnel): want HOST:PORT"
			       : "the port must be 0 to 65535";
	memcpy(host, bind, (size_t)(colon - bind));
	host[colon - bind] = 0;
	if (host[0] == '[')
		return "IPv6 is for a proxy before it: want an IPv4 address or name";
	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return "no such address";
	memcpy(&in, found->ai_addr, sizeof(in));
	freeaddrinfo(found);
	if (inet_ntop(AF_INET, &in.sin_addr, address, sizeof(address)) == NULL)
		return "no such address";
	snprintf(out, size, "%s:%s", address, colon + 1);
	return NULL;
}

struct http_server *http_start(const struct http_options *options, char *message, size_t message_size)
{
	char ports[64], threads[16], patience[16], idle[16], head[16], text[256] = "";
	const char *settings[] = {
		"listening_ports",
		ports,
		"num_threads",
		threads,
		"connection_queue",
		"256",
		"listen_backlog",
		"1024",
		"request_timeout_ms",
		patience,
		"keep_alive_timeout_ms",
		idle,
		"max_request_size",
		head,
		"enable_keep_alive",
		"yes",
		"tcp_nodelay",
		"1",
		"enable_directory_listing",
		"no",
		"access_control_allow_origin",
		"",
		"access_control_allow_methods",
		"",
		"access_control_allow_headers",
		"",
		NULL,
	};
	struct mg_callbacks callbacks = {
		.begin_request = handle,
		.http_error = library_error,
		.log_message = library_message,
	};
	struct http_server *server = calloc(1, sizeof(*server));
	struct mg_init_data init = {.callbacks = &callbacks, .user_data = server, .configuration_options = settings};
	struct mg_error_data error = {.text = text, .text_buffer_size = sizeof(text)};
	struct mg_server_port bound;
	const char *fault = resolve(options->bind, ports, sizeof(ports));
#ifdef __GLIBC__
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_setattr_default_np(&attributes);
	pthread_attr_destroy(&attributes);
#endif
	if (server == NULL || fault != NULL) {
		snprintf(message, message_size, "%s: %s", options->bind, fault != NULL ? fault : "out of memory");
		free(server);
		return NULL;
	}
	server->options = *options;
	snprintf(threads, sizeof(threads), "%u", options->connections);
	snprintf(patience, sizeof(patience), "%d", PATIENCE_MS);
	snprintf(idle, sizeof(idle), "%d", IDLE_MS);
	snprintf(head, sizeof(head), "%d", HEADER_MAX);
	errno = 0;
	server->context = mg_start2(&init, &error);
	if (server->context == NULL) {
		snprintf(message, message_size, "%s: %s", options->bind,
			 errno == EADDRINUSE || strstr(text, "port") != NULL ? "the address is in use, or not ours"
									     : text);
		free(server);
		return NULL;
	}
	if (mg_get_server_ports(server->context, 1, &bound) == 1)
		server->port = (unsigned)bound.port;
	return server;
}

unsigned http_port(const struct http_server *server)
{
	return server->port;
}

void http_stop(struct http_server *server)
{
	if (server == NULL)
		return;
	atomic_store(&server->stopping, true);
	mg_stop(server->context);
	free(server);
}
