/*
 * http.h - an HTTP/1.1 server: civetweb with every convenience off, and limits, deadlines and errors of our own.
 *
 * There is no document root, no CGI, no directory, no TLS: every request goes to one function. It is called on the
 * thread of its connection; any number of them run at once.
 *
 *	static void answer(void *context, struct http_request *request)
 *	{
 *		if (http_body(request))
 *			http_json(request, 200, "{}", 2);
 *	}
 *
 * A request is answered exactly once: by http_answer (and what calls it), or by http_stream_begin. What nobody
 * answered is answered with 500. Everything of a request is borrowed until the function returns.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;

struct http_request {
	const char *method; /* "GET", ... */
	const char *path;   /* decoded, without the query */
	const char *query;  /* as sent, "" when there is none */
	const char *peer;   /* the client's address */
	char *body;	    /* after http_body; a NUL behind it */
	size_t body_size;
	int status;	     /* of the answer; 0: not answered yet */
	const char *headers; /* whole lines for whatever the answer is, or NULL; borrowed */
	unsigned patience; /* times 5 s more that a stream waits for its client to read: after http_stream_watch */
	/* private to http.c from here on */
	int fd; /* of http_stream_watch, plus 1 */
	void *connection;
	struct http_server *server;
	struct http_request *next, *before; /* of those that run */
	uint64_t began_ns;		    /* monotonic */
	_Atomic uint64_t received;	    /* bytes of the body that were read */
	uint64_t counted;		    /* bytes that the body takes of what all bodies may take */
	_Atomic bool is_reading, is_overdue;
	bool is_continued, is_stream, is_head, must_close;
};

struct http_options {
	const char *bind;     /* "127.0.0.1:3000" */
	unsigned connections; /* at once: each has a thread with a small stack */
	uint64_t body_max;    /* bytes; a longer body is answered with 413 */
	uint64_t bodies_max;  /* bytes of all bodies that http_body holds at once; beyond them 503 */
	/* Called for every request, with context. */
	void (*answer)(void *context, struct http_request *request);
	/* Called when a request is done, if not NULL: for a log and for metrics. */
	void (*done)(void *context, const struct http_request *request, uint64_t ns);
	/* Called with a line about what went wrong inside, if not NULL. */
	void (*trouble)(void *context, const char *line);
	void *context;
};

/* NULL: message says why (the address is in use, is none, asks for TLS). */
struct http_server *http_start(const struct http_options *options, char *message, size_t message_size);
/* The port that was bound: for ":0". */
unsigned http_port(const struct http_server *server);
/*
 * Lets the requests that run end (streams see http_is_stopping), answers new ones with 503, hangs up on who asks
 * nothing; frees. NULL is fine.
 */
void http_stop(struct http_server *server);

/* NULL when there is no such header. Names are compared without case. */
const char *http_header(const struct http_request *request, const char *name);
/*
 * A parameter of the query, decoded, into out: its length, or -1 when it is not there or does not fit.
 */
int http_parameter(const struct http_request *request, const char *name, char *out, size_t size);
/* The number of bytes that the client has announced, or -1: chunked, or no body. */
int64_t http_announced(const struct http_request *request);

/*
 * Reads the whole body. false: too long (413), too slow (408), cut short (400), no memory (503); then it is answered
 * and the connection will be closed.
 */
bool http_body(struct http_request *request);
/* Gives the memory back early. */
void http_body_free(struct http_request *request);
/* The same piece by piece: bytes read, 0 at the end, -1: answered as above. max counts all pieces; 0: the server's. */
int64_t http_read(struct http_request *request, void *out, size_t size, uint64_t max);

/* type is a media type; headers are whole lines with \r\n, or NULL. */
void http_answer(struct http_request *request, int status, const char *type, const char *headers, const void *body,
		 size_t size);
void http_json(struct http_request *request, int status, const void *body, size_t size);
/* {"error": sentence, "code": code}; headers as above. */
void http_error(struct http_request *request, int status, const char *headers, const char *code, const char *format,
		...) __attribute__((format(printf, 5, 6)));

/*
 * An answer in pieces. The headers are sent at once. size: of the body; UINT64_MAX: without a known end, chunked. To
 * HEAD there are no pieces.
 */
void http_stream_begin(struct http_request *request, int status, const char *type, const char *headers, uint64_t size);
/* false: the client is gone, or has not read anything for so long (patience). */
bool http_stream_write(struct http_request *request, const void *data, size_t size);
/* For streams that may be silent for long: finds out, within a minute, that the client's machine is gone. */
void http_stream_watch(struct http_request *request);
/* Has the client hung up? Asked while there is nothing to write. After http_stream_watch. */
bool http_is_gone(const struct http_request *request);
bool http_is_stopping(const struct http_request *request);

uint64_t http_now_ns(void); /* monotonic */

#endif
