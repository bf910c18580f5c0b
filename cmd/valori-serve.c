/* valori-serve - serves a store over HTTP. */
#include "serve.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	DIM = 16,   /* of a new store, when nobody says */
	BODIES = 32 /* of the longest that may be, in memory at once */
};

#define EXPIRE_NS (UINT64_C(60) * 1000000000) /* between two looks at what need not be kept any more */

static struct node node;

/* ---- what the node says ---- */

void serve_say(const char *kind, const char *text)
{
	struct tool_json json = {.file = stderr};

	if (!node.config.log_json) {
		tool_say("%s%s%s", kind[0] == 0 ? "" : kind, kind[0] == 0 ? "" : ": ", text);
		return;
	}
	flockfile(stderr);
	tool_json_begin(&json);
	if (kind[0] != 0)
		tool_json_text(&json, "kind", kind);
	tool_json_text(&json, "message", text);
	tool_json_end(&json);
	funlockfile(stderr);
}

static void trouble(void *context, const char *line)
{
	(void)context;
	serve_say("http", line);
}

void serve_done(void *context, const struct http_request *request, uint64_t ns)
{
	struct node *own = context;
	char line[512];

	/* A stream lasts as long as its client likes. */
	if (request->patience == 0)
		histogram_add(&own->request_seconds, ns);
	atomic_fetch_add(&own->requests[request->status / 100 % 6], 1);
	if (!tool_verbose)
		return;
	snprintf(line, sizeof(line), "%s %s %.300s %d %llu us", request->peer, request->method, request->path,
		 request->status, (unsigned long long)(ns / 1000));
	for (char *c = line; *c != 0; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	serve_say("request", line);
}

/* ---- --health-check: what a container's supervisor calls ---- */

static int health_check(const char *bind)
{
	const char *colon = strrchr(bind, ':');
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	struct timeval patience = {.tv_sec = 5};
	char host[256], answer[64] = "";
	static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	int fd, status = TOOL_NO;

	if (colon == NULL || (size_t)(colon - bind) >= sizeof(host))
		tool_usage("--bind: %s: want HOST:PORT", bind);
	memcpy(host, bind, (size_t)(colon - bind));
	host[colon - bind] = 0;
	/* "all addresses" is one to listen at, not one to call. */
	if (getaddrinfo(strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : host, colon + 1, &hints, &found) != 0)
		return tool_trouble(TOOL_NO, "%s: no such address", bind);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, found->ai_addr, found->ai_addrlen) != 0)
		tool_trouble(TOOL_NO, "%s: %s", bind, tool_errno());
	else if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0 ||
		 recv(fd, answer, sizeof(answer) - 1, 0) <= 0)
		tool_trouble(TOOL_NO, "%s: does not answer", bind);
	else if (strncmp(answer, "HTTP/1.1 200", 12) == 0)
		status = TOOL_OK;
	else
		tool_trouble(TOOL_NO, "%s: %.12s", bind, answer);
	freeaddrinfo(found);
	close(fd);
	return status;
}

/* ---- starting and stopping ---- */

/*
 * What cannot be written to any more without making it worse can still be read: a log whose acknowledged end is gone up
 * to there, and with a snapshot that is damaged, and no log, nothing.
 */
static valori_code open_to_read(struct node *own, valori_options *options, valori_error *error)
{
	bool is_missing = error->code == VALORI_MISSING && error->event != VALORI_NONE;
	bool is_snapshot_lost = own->config.log == NULL && own->config.snapshot != NULL &&
				(error->code == VALORI_DAMAGED || error->code == VALORI_NOT_OURS);
	valori_error ignored;

	if (is_missing) {
		options->flags = VALORI_READ;
		options->at = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = error->event};
	} else if (is_snapshot_lost) {
		options->snapshot = NULL;
		options->dim = own->config.dim != 0 ? own->config.dim : DIM;
	}
	if ((!is_missing && !is_snapshot_lost) || valori_open(options, &own->store, &ignored) != VALORI_OK)
		return (valori_code)error->code;
	snprintf(own->read_only, sizeof(own->read_only), "%.200s", error->message);
	return VALORI_OK;
}

valori_code serve_open(struct node *own, valori_error *error)
{
	const struct serve_config *config = &own->config;
	valori_options options = VALORI_OPTIONS_INIT;
	valori_code code;

	options.flags = VALORI_WRITE | VALORI_CREATE | VALORI_INDEX;
	options.log = config->log;
	options.snapshot = own->restored_from != NULL ? own->restored_from : config->snapshot;
	options.archive = config->archive;
	options.sync = config->sync;
	options.segment_size = config->segment_size;
	options.records_max = config->records_max;
	options.dim = config->dim;
	options.index = config->index;
	if (own->follower != NULL && own->leader_log_id.bytes[0] != 0)
		options.log_id = own->leader_log_id.bytes;
	code = valori_open(&options, &own->store, error);
	if (code == VALORI_NOT_FOUND && config->log == NULL) {
		options.snapshot = NULL; /* there is none yet */
		options.dim = config->dim != 0 ? config->dim : DIM;
		code = valori_open(&options, &own->store, error);
	}
	if (code == VALORI_INVALID && config->dim == 0) {
		options.dim = DIM; /* there is no store yet */
		code = valori_open(&options, &own->store, error);
	}
	if (code != VALORI_OK)
		return open_to_read(own, &options, error);
	/* A new log is there from now on, not from the first commit on: others may read it, and its id stays. */
	code = valori_flush(own->store, error);
	if (code == VALORI_OK)
		return code;
	valori_close(own->store, NULL);
	own->store = NULL;
	return code;
}

static int open_store(void)
{
	struct serve_config *config = &node.config;
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	uint64_t began = http_now_ns();

	if (serve_open(&node, &error) != VALORI_OK)
		return tool_fail_open(config->log != NULL ? config->log : "the store", &error);
	if (valori_get_info(node.store, &info, &error) != VALORI_OK)
		return tool_fail(&error);
	config->dim = info.dim;
	serve_note_index(&node);
	histogram_add(&node.replay_seconds, http_now_ns() - began);
	snprintf(node.persistence, sizeof(node.persistence), "%s",
		 info.has_log		    ? "event_log"
		 : config->snapshot != NULL ? "snapshot"
					    : "none");
	if (info.notes[0] != 0)
		tool_warn("%s", info.notes);
	if (node.read_only[0] != 0)
		tool_warn("only reading: %s", node.read_only);
	return TOOL_OK;
}

static int start(void)
{
	struct http_options options = {
		.bind = node.config.bind,
		.connections = node.config.connections,
		.body_max = node.config.body_max,
		.bodies_max = BODIES * node.config.body_max,
		.answer = serve_answer,
		.done = serve_done,
		.trouble = trouble,
		.context = &node,
	};
	char message[512];

	node.server = http_start(&options, message, sizeof(message));
	if (node.server == NULL)
		return tool_trouble(TOOL_SYSTEM, "%s", message);
	if (node.config.admin_bind != NULL) {
		options.bind = node.config.admin_bind;
		options.connections = 4;
		options.answer = serve_answer_admin;
		node.admin = http_start(&options, message, sizeof(message));
		if (node.admin == NULL)
			return tool_trouble(TOOL_SYSTEM, "%s", message);
	}
	printf("listening on %.*s:%u\n", (int)strcspn(node.config.bind, ":"), node.config.bind, http_port(node.server));
	fflush(stdout);
	serve_notify("READY=1");
	return TOOL_OK;
}

static void save_in_time(void)
{
	valori_snapshot_info info;
	valori_error error;

	pthread_rwlock_rdlock(&node.swap);
	if (node.store != NULL && node.read_only[0] == 0 && serve_save(&node, NULL, &info, &error) != VALORI_OK)
		serve_say("snapshot", error.message);
	pthread_rwlock_unlock(&node.swap);
}

/* Waits for the signal to stop, writes the snapshot as often as it is due, tells the supervisor that all is well. */
static void run(const sigset_t *ends)
{
	uint64_t interval = node.config.snapshot_interval * 1000000000, watch = serve_watchdog_ns();
	uint64_t now = http_now_ns(), snapshot_due = interval > 0 ? now + interval : UINT64_MAX;
	uint64_t watch_due = watch > 0 ? now : UINT64_MAX;

	for (;;) {
		uint64_t due = snapshot_due < watch_due ? snapshot_due : watch_due, wait;
		struct timespec pause;

		now = http_now_ns();
		serve_downloads_expire(&node, false);
		due = due < now + EXPIRE_NS ? due : now + EXPIRE_NS;
		wait = due > now ? due - now : 0;
		pause.tv_sec = (time_t)(wait / 1000000000);
		pause.tv_nsec = (long)(wait % 1000000000);
		if (sigtimedwait(ends, NULL, &pause) >= 0)
			break;
		now = http_now_ns();
		if (now >= watch_due) {
			serve_notify("WATCHDOG=1");
			watch_due = now + watch;
		}
		if (now >= snapshot_due) {
			save_in_time();
			snapshot_due = http_now_ns() + interval;
		}
	}
	serve_notify("STOPPING=1");
}

static int stop(int status)
{
	valori_snapshot_info info;
	valori_error error;

	serve_follow_stop(&node);
	serve_replication_stop(&node);
	http_stop(node.server);
	http_stop(node.admin);
	serve_replication_free(&node);
	serve_downloads_expire(&node, true);
	if (node.server != NULL && node.store != NULL && node.config.snapshot != NULL && node.read_only[0] == 0 &&
	    serve_save(&node, NULL, &info, &error) != VALORI_OK)
		status = tool_fail(&error);
	serve_pasts_clear(&node);
	if (valori_close(node.store, &error) != VALORI_OK && status == TOOL_OK)
		status = tool_fail(&error);
	return status;
}

/* A restore must not wait for ever behind requests that never cease. */
static void init_swap(void)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
#ifdef __GLIBC__
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
	pthread_rwlock_init(&node.swap, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

int main(int argc, char **argv)
{
	sigset_t ends;
	int status;

	serve_configure(argc, argv, &node.config);
	if (node.config.health_check)
		return tool_finish(health_check(node.config.bind));
	if (sodium_init() < 0)
		return tool_trouble(TOOL_SYSTEM, "libsodium does not start");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* too large a file is a write that fails, like any other */
	/* Before any thread: all of them leave these signals to this one. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	sem_init(&node.work, 0, node.config.threads);
	pthread_mutex_init(&node.snapshots, NULL);
	pthread_mutex_init(&node.downloading, NULL);
	pthread_mutex_init(&node.verifying, NULL);
	pthread_mutex_init(&node.faults, NULL);
	init_swap();
	if (!serve_pasts_init(&node) || !serve_replication_init(&node))
		return tool_trouble(TOOL_SYSTEM, "out of memory");
	if (node.config.token != NULL)
		crypto_generichash(node.token_digest, sizeof(node.token_digest),
				   (const unsigned char *)node.config.token, strlen(node.config.token), NULL, 0);
	status = serve_follow_prepare(&node, &ends);
	if (status == TOOL_OK)
		status = open_store();
	if (status == TOOL_OK)
		status = serve_follow_start(&node);
	if (status == TOOL_OK)
		status = start();
	if (status == TOOL_OK)
		run(&ends);
	return tool_finish(stop(status));
}
