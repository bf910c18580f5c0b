/* http.c - an HTTP/1.1 server: civetweb with every convenience off, and limits, deadlines and errors of our own. */
#include "http.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
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
	CHUNK_SMALL = 4096,	/* a piece of a stream that is sent in one packet */
	WRITE_MAX = 1 << 20,	/* at once */
	RATE_MIN = 16384,	/* bytes a second that a body must bring, once PATIENCE_MS are over */
	WATCH_MS = 500,		/* between two looks at who is too slow */
	GRACE_MS = 10000,	/* for the requests that run when the server stops */
	SENTENCE_MAX = 1024,
	PATH_ROOM = 2048
};

struct http_server {
	struct mg_context *context;
	struct http_options options;
	_Atomic unsigned port;
	atomic_bool stopping;
	_Atomic uint64_t bodies; /* bytes in bodies */
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	struct http_request *running; /* [mutex] */
	bool is_watched, is_over;     /* [mutex] is_over: the watch may end */
	pthread_t watch;
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
 * The library ends a head where it does not understand it: at a folded line, or behind its 64th. Its strings lie in the
 * head, with NULs in place of line ends: the next thing behind the last value must be the empty line.
 */
static bool is_head_whole(const struct mg_request_info *info)
{
	const char *end;

	/* Nothing to begin from; but then no other request follows on this connection. */
	if (info->num_headers == 0)
		return info->http_version != NULL && strcmp(info->http_version, "1.0") == 0;
	end = info->http_headers[info->num_headers - 1].value;
	end += strlen(end);
	while (*end == 0 || *end == ' ' || *end == '\t')
		end++;
	return *end == '\r' || *end == '\n';
}

/* "Name : value": to some servers, another name. */
static bool is_space_before_colon(const struct mg_header *header)
{
	const char *end = header->name + strlen(header->name) + 1;

	return end < header->value && *end == 0;
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
	if (info->query_string != NULL && strstr(info->query_string, "%00") != NULL)
		return "the target has a NUL in it";
	if (!is_head_whole(info))
		return "the head has a folded line, too many lines, or none";
	for (int i = 0; i < info->num_headers; i++) {
		const char *value = info->http_headers[i].value;

		if (strcasecmp(info->http_headers[i].name, "Content-Length") == 0 &&
		    (value[0] == 0 || strspn(value, "0123456789") != strlen(value) || strlen(value) > 18))
			return "Content-Length is no number";
		if (is_space_before_colon(&info->http_headers[i]))
			return "a space stands before a colon";
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
		{412, "Precondition Failed"},
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
		"HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s%sX-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
		status, status_text(status), date, type != NULL ? "Content-Type: " : "", type != NULL ? type : "",
		type != NULL ? "\r\n" : "", headers != NULL ? headers : "",
		request->headers != NULL ? request->headers : "", length,
		keeps_alive(request) ? "keep-alive" : "close");
	return used < 0 || (size_t)used >= size ? 0 : (size_t)used;
}

/* ---- sockets ---- */

/*
 * The library lends us neither its sockets nor a way to hang up, nor a deadline for a whole body: it waits for each
 * byte anew. But the sockets are ours, and both addresses say which is whose.
 */
struct ends {
	struct in_addr address;
	unsigned port; /* of the client */
};

static bool is_of(const struct http_request *request, const struct ends *ends)
{
	const struct mg_request_info *info = mg_get_request_info(request->connection);
	char text[INET_ADDRSTRLEN];

	return (unsigned)info->remote_port == ends->port &&
	       inet_ntop(AF_INET, &ends->address, text, sizeof(text)) != NULL && strcmp(text, info->remote_addr) == 0;
}

/* Is it meant? Who is not read any more can still be answered. ends NULL: the socket that listens. */
typedef bool verdict(const struct http_server *server, const void *context, const struct ends *ends);

/* Calls visit for the sockets of which the verdict is yes. */
static void each_socket(const struct http_server *server, verdict *is_meant, const void *context,
			void (*visit)(void *argument, int fd), void *argument)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		struct sockaddr_in peer, own;
		socklen_t peer_size = sizeof(peer), own_size = sizeof(own);
		struct ends ends, *known = NULL;
		int fd = atoi(entry->d_name);

		if (getsockname(fd, (struct sockaddr *)&own, &own_size) != 0 || own.sin_family != AF_INET ||
		    ntohs(own.sin_port) != server->port)
			continue;
		if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0) {
			ends = (struct ends){.address = peer.sin_addr, .port = ntohs(peer.sin_port)};
			known = &ends;
		}
		if (is_meant(server, context, known))
			visit(argument, fd);
	}
	closedir(directory);
}

static void shut(void *argument, int fd)
{
	(void)argument;
	shutdown(fd, SHUT_RD);
}

static void stop_reading(const struct http_server *server, verdict *is_stopped, const void *context)
{
	each_socket(server, is_stopped, context, shut, NULL);
}

static bool is_this(const struct http_server *server, const void *context, const struct ends *ends)
{
	(void)server;
	return ends != NULL && is_of(context, ends);
}

/* [mutex] */
static bool is_too_slow(const struct http_server *server, const void *context, const struct ends *ends)
{
	(void)context;
	for (const struct http_request *each = server->running; each != NULL; each = each->next)
		if (ends != NULL && atomic_load(&each->is_overdue) && is_of(each, ends))
			return true;
	return false;
}

/* [mutex] */
static bool is_idle(const struct http_server *server, const void *context, const struct ends *ends)
{
	(void)context;
	for (const struct http_request *each = server->running; each != NULL; each = each->next)
		if (ends != NULL && is_of(each, ends))
			return false;
	return ends != NULL;
}

/* [mutex] The same, and the socket that listens: who waits for a connection there wakes up, and sees that all ends. */
static bool is_idle_or_listens(const struct http_server *server, const void *context, const struct ends *ends)
{
	return ends == NULL || is_idle(server, context, ends);
}

static bool is_late(const struct http_request *request, uint64_t now)
{
	uint64_t waited = (now - request->began_ns) / 1000000;

	return waited >= PATIENCE_MS && atomic_load(&request->received) + PIECE < waited * RATE_MIN / 1000;
}

/* The thread that sees to the deadline of whole bodies. */
static void *watch(void *context)
{
	struct http_server *server = context;

	pthread_mutex_lock(&server->mutex);
	while (!server->is_over) {
		uint64_t now = http_now_ns();
		bool is_any_late = false;
		struct timespec until;

		for (struct http_request *each = server->running; each != NULL; each = each->next)
			if (atomic_load(&each->is_reading) && is_late(each, now)) {
				atomic_store(&each->is_overdue, true);
				is_any_late = true;
			}
		if (is_any_late)
			stop_reading(server, is_too_slow, NULL);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += WATCH_MS * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&server->ended, &server->mutex, &until);
	}
	pthread_mutex_unlock(&server->mutex);
	return NULL;
}

static void enter(struct http_request *request)
{
	struct http_server *server = request->server;

	pthread_mutex_lock(&server->mutex);
	request->next = server->running;
	if (request->next != NULL)
		request->next->before = request;
	server->running = request;
	pthread_mutex_unlock(&server->mutex);
}

static void leave(struct http_request *request)
{
	struct http_server *server = request->server;

	pthread_mutex_lock(&server->mutex);
	if (request->next != NULL)
		request->next->before = request->before;
	if (request->before != NULL)
		request->before->next = request->next;
	else
		server->running = request->next;
	if (server->running == NULL && atomic_load(&server->stopping))
		pthread_cond_broadcast(&server->ended);
	pthread_mutex_unlock(&server->mutex);
}

/* ---- sending ---- */

static void hang_up(const struct http_request *request)
{
	stop_reading(request->server, is_this, request);
}

void http_answer(struct http_request *request, int status, const char *type, const char *headers, const void *body,
		 size_t size)
{
	char head[2048], length[48];
	int64_t announced = http_announced(request);
	size_t head_size;

	if (request->status != 0)
		return;
	request->status = status;
	/* A body that nobody has read: a little of it is passed over, more is not waited for. */
	if (announced > 0 && (uint64_t)announced > atomic_load(&request->received) + PIECE)
		request->must_close = true;
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n", size);
	head_size = format_head(request, status, type, headers, status == 204 ? "" : length, head, sizeof(head));
	if (request->is_head || status == 204)
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
		hang_up(request);
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

bool http_is_gone(const struct http_request *request)
{
	struct pollfd poll_fd = {.fd = request->fd - 1, .events = POLLRDHUP};

	return request->fd > 0 && poll(&poll_fd, 1, 0) > 0 && poll_fd.revents != 0;
}

/* The library gives up when nothing was read for a while, and does not say that it was this; streams wait longer. */
static bool write_all(struct http_request *request, const char *data, size_t size)
{
	unsigned patience = request->patience;

	while (size > 0) {
		int written = mg_write(request->connection, data, size < WRITE_MAX ? size : WRITE_MAX);

		if (written > 0) {
			data += written;
			size -= (size_t)written;
			patience = request->patience;
		} else if (patience == 0 || http_is_stopping(request) || http_is_gone(request)) {
			return false;
		} else {
			patience--;
		}
	}
	return true;
}

/* A piece with its length before and an end behind; a small one in one packet. */
static bool write_chunk(struct http_request *request, const char *data, size_t size)
{
	char small[CHUNK_SMALL + 24];
	int used = snprintf(small, sizeof(small), "%zx\r\n", size);

	if (size > CHUNK_SMALL)
		return write_all(request, small, (size_t)used) && write_all(request, data, size) &&
		       write_all(request, "\r\n", 2);
	memcpy(small + used, data, size);
	memcpy(small + used + size, "\r\n", 2);
	return write_all(request, small, (size_t)used + size + 2);
}

bool http_stream_write(struct http_request *request, const void *data, size_t size)
{
	bool whole;

	if (size == 0 || request->is_head)
		return !request->is_head;
	if (request->must_close)
		return false;
	whole = request->is_stream ? write_chunk(request, data, size) : write_all(request, data, size);
	/* What comes next would be taken for the rest of this. */
	if (!whole) {
		request->must_close = true;
		hang_up(request);
	}
	return whole;
}

static void take_socket(void *context, int fd)
{
	struct http_request *request = context;
	static const struct {
		int level, option, value;
	} settings[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 20},
		{IPPROTO_TCP, TCP_KEEPINTVL, 10},
		{IPPROTO_TCP, TCP_KEEPCNT, 3},
	};

	request->fd = fd + 1;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value, sizeof(settings[i].value));
}

void http_stream_watch(struct http_request *request)
{
	each_socket(request->server, is_this, request, take_socket, request);
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

/* One piece, or why there is none. */
static int64_t read_piece(struct http_request *request, void *out, size_t size, uint64_t max)
{
	int64_t announced = http_announced(request);
	uint64_t received;
	int got;

	if (announced > 0 && (uint64_t)announced > max)
		return too_long(request, max);
	if (!request->is_continued) {
		const char *expects = http_header(request, "Expect");

		request->is_continued = true;
		if (expects != NULL && strcasecmp(expects, "100-continue") == 0)
			mg_write(request->connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
	atomic_store(&request->is_reading, true);
	got = mg_read(request->connection, out, size < PIECE ? size : PIECE);
	atomic_store(&request->is_reading, false);
	received = atomic_fetch_add(&request->received, got > 0 ? (uint64_t)got : 0) + (got > 0 ? (uint64_t)got : 0);
	if (atomic_load(&request->is_overdue) || is_late(request, http_now_ns()))
		return announced >= 0 && received == (uint64_t)announced
			       ? got
			       : refuse(request, 408, "too_slow", "the body comes too slowly");
	if (got > 0)
		return received > max ? too_long(request, max) : got;
	if (announced > 0 && received < (uint64_t)announced) {
		if ((http_now_ns() - request->began_ns) / 1000000 >= PATIENCE_MS)
			return refuse(request, 408, "too_slow", "the body comes too slowly");
		return refuse(request, 400, "invalid", "the body is shorter than Content-Length says");
	}
	return got < 0 ? refuse(request, 400, "invalid", "the body is cut short") : 0;
}

int64_t http_read(struct http_request *request, void *out, size_t size, uint64_t max)
{
	return read_piece(request, out, size, max != 0 ? max : request->server->options.body_max);
}

/* Takes room for so many bytes out of what all bodies together may have. */
static bool count_body(struct http_request *request, size_t room)
{
	struct http_server *server = request->server;
	uint64_t more = room - request->counted;

	if (atomic_fetch_add(&server->bodies, more) + more > server->options.bodies_max && more > PIECE + 1) {
		atomic_fetch_sub(&server->bodies, more);
		request->must_close = true;
		http_error(request, 503, "Retry-After: 1\r\n", "busy",
			   "other requests have taken the memory that bodies may have: try again");
		return false;
	}
	request->counted = room;
	return true;
}

bool http_body(struct http_request *request)
{
	int64_t announced = http_announced(request);
	size_t room = announced > 0 && announced < PIECE ? (size_t)announced + 1 : PIECE + 1;
	int64_t got;

	if (request->body != NULL)
		return true;
	if (!count_body(request, room))
		return false;
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
			if (!count_body(request, room))
				return false;
			larger = realloc(request->body, room);
			if (larger == NULL)
				break;
			request->body = larger;
		}
	}
	refuse(request, 503, "no_memory", "out of memory for the body");
	return false;
}

void http_body_free(struct http_request *request)
{
	free(request->body);
	request->body = NULL;
	request->body_size = 0;
	atomic_fetch_sub(&request->server->bodies, request->counted);
	request->counted = 0;
}

/* ---- the library's calls ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path without its escapes. NULL: all is well. */
static const char *decode_path(const char *raw, char *out, size_t size)
{
	size_t used = 0;

	for (; *raw != 0; raw++) {
		int high = 0, low = (unsigned char)*raw;

		if (used + 1 >= size)
			return "the path is too long";
		if (*raw == '%') {
			high = hex_digit(raw[1]);
			low = high >= 0 ? hex_digit(raw[2]) : -1;
			if (low < 0 || (high == 0 && low == 0))
				return "the path has an escape that stands for nothing";
			raw += 2;
		}
		out[used++] = (char)(high << 4 | low);
	}
	out[used] = 0;
	return NULL;
}

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
		.is_head = strcmp(info->request_method, "HEAD") == 0,
	};
	const char *fault = ambiguity(info);
	char path[PATH_ROOM];

	if (fault == NULL)
		fault = decode_path(request.path, path, sizeof(path));
	if (fault == NULL)
		request.path = path;
	enter(&request);
	if (fault != NULL)
		refuse(&request, 400, "invalid", fault);
	else if (atomic_load(&server->stopping))
		refuse(&request, 503, "stopping", "the node is stopping");
	else
		server->options.answer(server->options.context, &request);
	if (request.status == 0)
		http_error(&request, 500, NULL, "internal", "nothing answers this request");
	if (request.is_stream && !request.is_head && !request.must_close)
		mg_send_chunk(connection, "", 0);
	http_body_free(&request);
	leave(&request);
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

/*
 * The library gives its threads 100 KiB (CIVETWEB_THREAD_STACK_SIZE of Debian's build), which a proof of a snapshot is
 * deeper than, and has no setting for it. Being part of the program this is found before the C library's own.
 */
__attribute__((visibility("default"))) int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size)
{
	int (*own)(pthread_attr_t * attributes, size_t size);

	*(void **)(void *)&own = dlsym(RTLD_NEXT, "pthread_attr_setstacksize");
	return own == NULL ? ENOSYS : own(attributes, size < STACK_SIZE ? STACK_SIZE : size);
}

static bool start_watch(struct http_server *server)
{
	pthread_attr_t attributes;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	server->is_watched = pthread_create(&server->watch, &attributes, watch, server) == 0;
	pthread_attr_destroy(&attributes);
	return server->is_watched;
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
		/* It would decode in place, and end a path at its %00. */
		"decode_url",
		"no",
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

	if (server == NULL || fault != NULL) {
		snprintf(message, message_size, "%s: %s", options->bind, fault != NULL ? fault : "out of memory");
		free(server);
		return NULL;
	}
	server->options = *options;
	pthread_mutex_init(&server->mutex, NULL);
	pthread_cond_init(&server->ended, NULL);
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
	if (!start_watch(server)) {
		snprintf(message, message_size, "%s: no thread to watch the connections", options->bind);
		http_stop(server);
		return NULL;
	}
	return server;
}

unsigned http_port(const struct http_server *server)
{
	return server->port;
}

void http_stop(struct http_server *server)
{
	struct timespec until;

	if (server == NULL)
		return;
	pthread_mutex_lock(&server->mutex);
	atomic_store(&server->stopping, true);
	stop_reading(server, is_idle, NULL);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += GRACE_MS / 1000;
	while (server->running != NULL && pthread_cond_timedwait(&server->ended, &server->mutex, &until) == 0)
		;
	server->is_over = true;
	pthread_cond_broadcast(&server->ended);
	pthread_mutex_unlock(&server->mutex);
	if (server->is_watched)
		pthread_join(server->watch, NULL);
	/* Those that have been answered since are idle now. */
	pthread_mutex_lock(&server->mutex);
	stop_reading(server, is_idle_or_listens, NULL);
	pthread_mutex_unlock(&server->mutex);
	mg_stop(server->context);
	pthread_cond_destroy(&server->ended);
	pthread_mutex_destroy(&server->mutex);
	free(server);
}
