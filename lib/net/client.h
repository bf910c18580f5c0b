/*
 * client.h - asking another node: libcurl with every convenience off, and limits, deadlines and errors of our own.
 *
 * Redirects are not followed, so that the token goes to nobody else; certificates are verified as libcurl does; an
 * answer that nobody takes piece by piece is kept up to CLIENT_BODY_MAX. A build without libcurl has no client:
 * client_new says so.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_BODY_MAX = 1 << 20 };

/* One node, from any number of threads. */
struct client;

/* token may be NULL. NULL: message says why. */
struct client *client_new(const char *url, const char *token, char *message, size_t size);
void client_free(struct client *client);
/* Without what lies behind its last slash. */
const char *client_url(const struct client *client);

struct client_answer {
	int status; /* of HTTP */
	char type[64], log_id[80], state_hash[80], etag[80], location[256];
	uint64_t dim, height, base; /* X-Valori-...; UINT64_MAX: not said */
	uint64_t retry_after;	    /* seconds; 0: not said */
	char *body;		    /* a NUL behind it; client_answer_free */
	size_t body_size;
	char fault[256]; /* why it is not whole */
};

struct client_request {
	const char *method, *path;  /* with its query */
	const char *const *headers; /* "Name: value", up to NULL; or NULL */
	const void *body;	    /* of POST and the like; NULL: none */
	size_t body_size;
	unsigned patience_ms; /* for all of it; 0: for its head only */
	/* Any of them may be NULL; false: hang up. begin: the head of a 2xx answer is there. */
	bool (*begin)(void *context, const struct client_answer *answer);
	/* A piece of the body of a 2xx answer. */
	bool (*take)(void *context, const void *data, size_t size);
	/* Again and again while it is under way; quiet_ns: since something came. */
	bool (*tick)(void *context, uint64_t quiet_ns);
	void *context;
	int wake_fd; /* readable: tick is called at once; -1: none */
};

enum client_result {
	CLIENT_WHOLE,	    /* all of the answer has come, whatever its status */
	CLIENT_CUT,	    /* its head has, but not its end; fault says why */
	CLIENT_UNREACHABLE, /* no head; fault says why */
	CLIENT_STOPPED	    /* one of the functions has hung up */
};

enum client_result client_ask(struct client *client, const struct client_request *request, struct client_answer *out);
void client_answer_free(struct client_answer *answer);

#endif
