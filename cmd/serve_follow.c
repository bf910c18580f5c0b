/* serve_follow.c - a node that follows another one: its store is the leader's, what is written goes to the leader. */
#include "serve.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"
#include "store.h"

enum { RETRY_S = 5, PATIENCE_MS = 60000 };

struct follower {
	struct follow follow;
	struct client *leader;
	pthread_t thread;
	bool is_running;
};

/* ---- what others see ---- */

void serve_follow_refresh(struct node *node)
{
	static const char *const words[] = {[FOLLOW_DISCONNECTED] = "Disconnected",
					    [FOLLOW_SYNCING] = "Syncing",
					    [FOLLOW_SYNCED] = "Synced",
					    [FOLLOW_DIVERGED] = "Diverged"};
	struct follow_status *status = &node->follow;
	struct follow_state state;

	if (node->follower == NULL)
		return;
	follow_get_state(&node->follower->follow, &state);
	pthread_mutex_lock(&status->mutex);
	status->is_follower = true;
	snprintf(status->status, sizeof(status->status), "%s", words[state.phase]);
	snprintf(status->leader, sizeof(status->leader), "%s", client_url(node->follower->leader));
	snprintf(status->detail, sizeof(status->detail), "%s", state.detail);
	status->leader_height = state.leader_height;
	status->lag_ms = state.lag_ms;
	pthread_mutex_unlock(&status->mutex);
}

static int flushed(void *context, const valori_commit_view *commit)
{
	(void)commit;
	serve_committed(context);
	return TOOL_OK;
}

static void trouble(void *context, const char *line)
{
	(void)context;
	serve_say("replication", line);
}

/* ---- before the store is opened ---- */

static bool has_store(const struct serve_config *config)
{
	bool is_named = config->snapshot != NULL && config->snapshot[0] != 0;
	char *snapshot = is_named ? strdup(config->snapshot) : store_beside(config->log, "snapshot.val");
	valori_error error;
	valori_log *log = NULL;
	bool is_there = valori_log_open(config->log, NULL, 0, &log, &error) == VALORI_OK ||
			error.code != VALORI_NOT_FOUND || (snapshot != NULL && access(snapshot, F_OK) == 0);

	valori_log_close(log);
	free(snapshot);
	return is_there;
}

int serve_follow_prepare(struct node *node, const sigset_t *ends)
{
	struct serve_config *config = &node->config;
	struct follower *follower;
	char message[512];
	int status = TOOL_OK;

	if (config->follower_of == NULL)
		return TOOL_OK;
	follower = node->follower = tool_alloc(1, sizeof(*follower));
	follower->leader = client_new(config->follower_of, config->token, message, sizeof(message));
	if (follower->leader == NULL)
		return tool_trouble(TOOL_USAGE, "--follower-of: %s", message);
	follower->follow = (struct follow){
		.leader = follower->leader,
		.log = config->log,
		.options = VALORI_OPTIONS_INIT,
		.is_patient = true,
		.flushed = flushed,
		.trouble = trouble,
		.context = node,
	};
	follower->follow.options.snapshot = config->snapshot;
	follower->follow.options.archive = config->archive;
	status = follow_init(&follower->follow);
	/* A store that is to be made is the leader's from the beginning: its dimension, and its log. */
	while (status == TOOL_OK && !has_store(config)) {
		const struct timespec pause = {.tv_sec = RETRY_S};
		uint32_t dim = 0;

		status = follow_prepare(&follower->follow, &dim, &node->leader_log_id);
		if (status == TOOL_OK && config->dim != 0 && dim != 0 && config->dim != dim)
			return tool_trouble(TOOL_USAGE, "--dim: %u: the leader has %u", config->dim, dim);
		if (status == TOOL_OK) {
			config->dim = dim;
			break;
		}
		if (status != TOOL_LOCKED)
			return tool_trouble(status, "%s", follower->follow.fault);
		serve_say("replication", follower->follow.fault);
		status = TOOL_OK;
		if (sigtimedwait(ends, NULL, &pause) >= 0)
			return TOOL_LOCKED;
	}
	return status;
}

/* ---- while it serves ---- */

/* Where it is that the two differ is found once, and kept. */
static void locate(struct node *node)
{
	struct follow *follow = &node->follower->follow;
	struct follow_check found;

	if (follow_check(follow, &found) == TOOL_NO) {
		follow_diverged(follow, found.sentence);
		serve_say("replication", found.sentence);
	}
}

static void *run(void *context)
{
	struct node *node = context;
	struct follow *follow = &node->follower->follow;
	int status = follow_run(follow);

	if (status != TOOL_OK)
		serve_say("replication", follow->fault);
	if (status == TOOL_NO)
		locate(node);
	return NULL;
}

int serve_follow_start(struct node *node)
{
	struct follower *follower = node->follower;

	if (follower == NULL)
		return TOOL_OK;
	follower->follow.store = node->store;
	if (pthread_create(&follower->thread, NULL, run, node) != 0)
		return tool_trouble(TOOL_SYSTEM, "a thread: %s", tool_errno());
	follower->is_running = true;
	return TOOL_OK;
}

void serve_follow_stop(struct node *node)
{
	struct follower *follower = node->follower;

	if (follower == NULL || !follower->is_running)
		return;
	follow_stop(&follower->follow);
	pthread_join(follower->thread, NULL);
	follower->is_running = false;
}

/* ---- what is written goes to the leader ---- */

/* The request's path and query as they are in a URL. */
static char *target(struct exchange *x, const char *before)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	const char *path = x->http->path, *query = x->http->query;
	char *out = exchange_alloc(x, strlen(before) + 3 * strlen(path) + strlen(query) + 2, 1), *to = out;

	if (out == NULL)
		return NULL;
	to = stpcpy(to, before);
	for (; *path != 0; path++) {
		static const char digits[] = "0123456789ABCDEF";

		if (strchr(plain, *path) != NULL) {
			*to++ = *path;
			continue;
		}
		*to++ = '%';
		*to++ = digits[(unsigned char)*path >> 4];
		*to++ = digits[(unsigned char)*path & 15];
	}
	if (query[0] != 0)
		*to++ = '?';
	stpcpy(to, query);
	return out;
}

static void redirect(struct exchange *x)
{
	const char *url = target(x, client_url(x->node->follower->leader));
	size_t room = url != NULL ? strlen(url) + 32 : 0;
	char *header = url != NULL ? exchange_alloc(x, room, 1) : NULL;

	if (header == NULL)
		return;
	snprintf(header, room, "Location: %s\r\n", url);
	http_error(x->http, 307, header, "follower", "this node follows another one: ask %.300s", url);
}

/* With a token, which a client does not take along to another host. */
static void ask_for(struct exchange *x)
{
	const char *type = http_header(x->http, "Content-Type");
	char header[256];
	const char *const headers[] = {header, NULL};
	struct client_request request = {
		.method = x->http->method,
		.path = target(x, ""),
		.headers = headers,
		.patience_ms = PATIENCE_MS,
		.wake_fd = -1,
	};
	struct client_answer answer;
	enum client_result result;

	if (request.path == NULL || (http_announced(x->http) != 0 && !http_body(x->http)))
		return;
	request.body = x->http->body != NULL ? x->http->body : "";
	request.body_size = x->http->body_size;
	snprintf(header, sizeof(header), "Content-Type: %.200s", type != NULL ? type : "application/json");
	result = client_ask(x->node->follower->leader, &request, &answer);
	if (result == CLIENT_WHOLE)
		http_answer(x->http, answer.status, answer.type[0] != 0 ? answer.type : NULL, NULL,
			    answer.body != NULL ? answer.body : "", answer.body_size);
	else
		fail_with(x, 503, "leader", "the leader: %s", answer.fault);
	client_answer_free(&answer);
}

void serve_forward(struct exchange *x)
{
	if (x->node->config.token != NULL)
		ask_for(x);
	else
		redirect(x);
}
