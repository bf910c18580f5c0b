/* follow.c - one store follows another: the same commits, byte for byte, each one checked before it is taken. */
#include "follow_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "follow_stream.h"
#include "json.h"
#include "store.h"

enum {
	HEADER = 4096,
	GROUP_SIZE = 8 << 20, /* commits that are written and synced together */
	GROUP_NS = 50000000,
	PIECE = 256 << 10,     /* of standard input */
	TICK_MS = 100,
	PROBE_MS = 5000, /* a leader that is silent is asked so often, and has so long for an answer */
	PROBES = 3,	 /* so often it may say that it has more, and not send it */
	RATE_MS = 15000, /* a commit that has begun to come must bring RATE bytes in that time, or its end */
	RATE = 16 << 10,
	TRIES_ONCE = 5, /* with follow->once */
	STEADY_NS = 2000000000 /* a stream that lived so long was none that failed */
};

static const unsigned pauses_ms[] = {0, 500, 1000, 2000, 4000, 8000};

/* One stream, from its request to its end. */
struct attempt {
	struct follow *follow;
	struct follow_stream stream;
	uint64_t start; /* height asked for */
	pthread_t pump;
	atomic_bool is_over; /* nobody reads any more */
	/* the pump's, until it has ended */
	struct client_answer answer;
	enum client_result result;
	int status;	  /* what is wrong with the leader, with fault */
	char fault[320];
	atomic_ullong target; /* height of the leader when it was asked */
	atomic_bool is_told;  /* ... which it has said */
	uint64_t probed_ns, within_ns, within_at;
	unsigned misses;
	/* the reader's */
	atomic_ullong reached; /* height */
	bool is_done;	       /* once is over */
	uint64_t taken;
	valori_code code; /* with which it ended */
	valori_error error;
};

uint64_t follow_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- what is wrong ---- */

int follow_fail(struct follow *follow, int status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(follow->fault, sizeof(follow->fault), format, list);
	va_end(list);
	return status;
}

/* The exit status of a code, as tool_fail has it, without its message. */
static int status_of(int code)
{
	switch ((valori_code)code) {
	case VALORI_OK:
	case VALORI_END: return TOOL_OK;
	case VALORI_NOT_FOUND:
	case VALORI_MISMATCH:
	case VALORI_OTHER_LOG: return TOOL_NO;
	case VALORI_DAMAGED:
	case VALORI_NOT_OURS:
	case VALORI_MISSING: return TOOL_DAMAGED;
	case VALORI_FULL: return TOOL_FULL;
	case VALORI_LOCKED: return TOOL_LOCKED;
	case VALORI_NEWER: return TOOL_NEWER;
	case VALORI_UNKNOWABLE: return TOOL_UNKNOWABLE;
	case VALORI_IO:
	case VALORI_NO_MEMORY:
	case VALORI_POISONED: return TOOL_SYSTEM;
	case VALORI_INVALID:
	case VALORI_DIMENSION:
	case VALORI_RANGE:
	case VALORI_DUPLICATE:
	case VALORI_TOO_LONG:
	case VALORI_CONFLICT: break;
	}
	return TOOL_USAGE;
}

int follow_fail_with(struct follow *follow, const valori_error *error)
{
	return follow_fail(follow, status_of(error->code), "%s", error->message);
}

static const char *name_of(const struct follow *follow)
{
	return follow->leader != NULL ? client_url(follow->leader) : follow->name;
}

/* ---- answers in JSON ---- */

static bool find_member(const struct client_answer *answer, const char *name, struct slice *out)
{
	struct slice member, value;
	struct json json;
	bool is_found = false;

	if (answer->body == NULL)
		return false;
	json_init(&json, answer->body, answer->body_size);
	json_open(&json, '{');
	while (json_more(&json, '}')) {
		json_name(&json, &member);
		if (!json_skip(&json, &value) || is_found || member.size != strlen(name) ||
		    memcmp(member.text, name, member.size) != 0)
			continue;
		*out = value;
		is_found = true;
	}
	json_end(&json);
	return json.fault == NULL && is_found;
}

bool follow_text(const struct client_answer *answer, const char *name, char *out, size_t size)
{
	struct slice value;

	if (!find_member(answer, name, &value) || value.size < 2 || value.text[0] != '"' || value.size - 2 >= size)
		return false;
	value.text++;
	value.size -= 2;
	out[json_unescape(value, out)] = 0;
	return true;
}

bool follow_number(const struct client_answer *answer, const char *name, uint64_t *out)
{
	struct slice value;

	if (!find_member(answer, name, &value))
		return false;
	/* Large ones are strings. */
	if (value.size > 2 && value.text[0] == '"') {
		value.text++;
		value.size -= 2;
	}
	return json_u64(value, out);
}

const char *follow_sentence(const struct client_answer *answer, char *out, size_t size)
{
	char sentence[256];

	if (!follow_text(answer, "error", sentence, sizeof(sentence)))
		sentence[0] = 0;
	for (char *c = sentence; *c != 0; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	snprintf(out, size, "%d%s%s", answer->status, sentence[0] != 0 ? ": " : "", sentence);
	return out;
}

/* What an answer means that gives nothing. */
static int judge_answer(struct follow *follow, const struct client_answer *answer)
{
	const char *name = name_of(follow);
	char sentence[300];

	follow_sentence(answer, sentence, sizeof(sentence));
	if (answer->status == 401 || answer->status == 403)
		return follow_fail(follow, TOOL_USAGE,
				   "%s: does not accept the token (VALORI_AUTH_TOKEN or --token-file): %s", name,
				   sentence);
	if (answer->status / 100 == 3)
		return follow_fail(follow, TOOL_LOCKED,
				   "%s: is not asked at %s, where it redirects to: name the leader itself", name,
				   answer->location[0] != 0 ? answer->location : "another address");
	return follow_fail(follow, TOOL_LOCKED, "%s: does not give its log: %s", name, sentence);
}

/* Would the same question get another answer later? */
static bool is_final(const struct client_answer *answer)
{
	return answer->status / 100 == 3 || (answer->status / 100 == 4 && answer->status != 408 &&
					     answer->status != 425 && answer->status != 429);
}

int follow_ask(struct follow *follow, const char *path, unsigned patience_ms, struct client_answer *out)
{
	const struct client_request request = {
		.path = path, .patience_ms = patience_ms, .context = follow, .wake_fd = -1};
	enum client_result result = client_ask(follow->leader, &request, out);

	if (result != CLIENT_WHOLE)
		return follow_fail(follow, TOOL_LOCKED, "%s: %s", name_of(follow), out->fault);
	if (out->status / 100 != 2)
		return judge_answer(follow, out);
	return TOOL_OK;
}

/* ---- what others see ---- */

static void set_state(struct follow *follow, enum follow_phase status, const char *detail)
{
	pthread_mutex_lock(&follow->mutex);
	follow->state.phase = status;
	follow->state.height = follow->at.height;
	snprintf(follow->state.detail, sizeof(follow->state.detail), "%s", detail);
	if (status == FOLLOW_SYNCED || follow->is_level)
		follow->level_ns = follow_now_ns();
	follow->is_level = status == FOLLOW_SYNCED;
	pthread_mutex_unlock(&follow->mutex);
}

static void set_leader_height(struct follow *follow, uint64_t height)
{
	pthread_mutex_lock(&follow->mutex);
	if (height > follow->state.leader_height || height < follow->state.height)
		follow->state.leader_height = height;
	pthread_mutex_unlock(&follow->mutex);
}

void follow_get_state(struct follow *follow, struct follow_state *out)
{
	pthread_mutex_lock(&follow->mutex);
	*out = follow->state;
	if (!follow->is_level)
		out->lag_ms = (follow_now_ns() - follow->level_ns) / 1000000;
	if (out->leader_height < out->height)
		out->leader_height = out->height;
	pthread_mutex_unlock(&follow->mutex);
}

/* ---- the pump: from the wire into the stream ---- */

static bool pump_refuse(struct attempt *attempt, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool pump_refuse(struct attempt *attempt, int status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(attempt->fault, sizeof(attempt->fault), format, list);
	va_end(list);
	attempt->status = status;
	return false;
}

static bool is_wanted(const struct attempt *attempt)
{
	return !atomic_load(&attempt->is_over) && !atomic_load(&attempt->follow->stopped);
}

/* The head of the leader's answer: is it what this store follows? */
static bool on_begin(void *context, const struct client_answer *answer)
{
	struct attempt *attempt = context;
	struct follow *follow = attempt->follow;
	char own[65];

	if (strncmp(answer->type, "application/octet-stream", 24) != 0)
		return pump_refuse(attempt, TOOL_DAMAGED, "answers with %.60s, and not with a log",
				   answer->type[0] != 0 ? answer->type : "something");
	valori_hash_format(&follow->at.log_id, own);
	if (follow->has_position && (follow->at.commits > 0 || follow->at.height > 0) && answer->log_id[0] != 0 &&
	    strcmp(answer->log_id, own) != 0)
		return pump_refuse(attempt, TOOL_NO, "has another log than this store: its id is %.64s, not %s",
				   answer->log_id, own);
	if (follow->has_position && answer->dim != UINT64_MAX && answer->dim != follow->at.dim)
		return pump_refuse(attempt, TOOL_USAGE, "has dimension %llu, this store %u",
				   (unsigned long long)answer->dim, follow->at.dim);
	if (answer->height != UINT64_MAX) {
		set_leader_height(follow, answer->height);
		attempt->target = answer->height;
		attempt->is_told = true;
	}
	return true;
}

static bool on_take(void *context, const void *data, size_t size)
{
	struct attempt *attempt = context;

	attempt->probed_ns = 0;
	return is_wanted(attempt) && follow_stream_take(&attempt->stream, data, size);
}

/* A leader that says nothing is asked whether it is there, and whether it has more. */
static bool probe(struct attempt *attempt)
{
	struct follow *follow = attempt->follow;
	const struct client_request request = {
		.path = "/v1/replication/state", .patience_ms = PROBE_MS, .context = attempt, .wake_fd = -1};
	struct client_answer answer;
	enum client_result result = client_ask(follow->leader, &request, &answer);
	uint64_t height = 0;
	bool is_well = result == CLIENT_WHOLE && answer.status == 200 && follow_number(&answer, "height", &height);

	if (!is_well)
		pump_refuse(attempt, TOOL_LOCKED, "does not answer any more: %s",
			    answer.fault[0] != 0 ? answer.fault : "it has no replication state");
	client_answer_free(&answer);
	if (!is_well)
		return false;
	set_leader_height(follow, height);
	attempt->misses = height > atomic_load(&attempt->reached) ? attempt->misses + 1 : 0;
	if (attempt->misses < PROBES)
		return true;
	return pump_refuse(attempt, TOOL_LOCKED, "is at height %llu, and sends nothing", (unsigned long long)height);
}

static bool on_tick(void *context, uint64_t quiet_ns)
{
	struct attempt *attempt = context;
	uint64_t now = follow_now_ns();

	if (!is_wanted(attempt))
		return false;
	if (follow_stream_is_within(&attempt->stream)) {
		uint64_t at = attempt->stream.written + attempt->stream.line_size;

		if (attempt->within_ns == 0 || at >= attempt->within_at + RATE) {
			attempt->within_ns = now;
			attempt->within_at = at;
		} else if (now - attempt->within_ns > (uint64_t)RATE_MS * 1000000) {
			return pump_refuse(attempt, TOOL_LOCKED, "sends a commit too slowly: %llu bytes in %d seconds",
					   (unsigned long long)(at - attempt->within_at), RATE_MS / 1000);
		}
		return true;
	}
	attempt->within_ns = 0;
	if (quiet_ns < attempt->probed_ns + (uint64_t)PROBE_MS * 1000000)
		return true;
	attempt->probed_ns = quiet_ns;
	return probe(attempt);
}

static void ask_leader(struct attempt *attempt)
{
	static const char *const headers[] = {"Accept: application/octet-stream", NULL};
	char path[96];
	const struct client_request request = {
		.path = path,
		.headers = headers,
		.begin = on_begin,
		.take = on_take,
		.tick = on_tick,
		.context = attempt,
		.wake_fd = attempt->follow->wake,
	};

	snprintf(path, sizeof(path), "/v1/replication/events?start_offset=%llu", (unsigned long long)attempt->start);
	attempt->result = client_ask(attempt->follow->leader, &request, &attempt->answer);
}

static void read_input(struct attempt *attempt)
{
	struct pollfd waits[2] = {{.fd = attempt->follow->fd, .events = POLLIN},
				  {.fd = attempt->follow->wake, .events = POLLIN}};
	char *data = malloc(PIECE);
	ssize_t count = 1;

	if (data == NULL)
		pump_refuse(attempt, TOOL_SYSTEM, "out of memory");
	while (data != NULL && count > 0 && is_wanted(attempt)) {
		if (poll(waits, 2, TICK_MS) < 0 || waits[0].revents == 0)
			continue;
		count = read(attempt->follow->fd, data, PIECE);
		if (count < 0 && errno == EINTR)
			count = 1;
		else if (count < 0)
			pump_refuse(attempt, TOOL_SYSTEM, "%s", tool_errno());
		else if (count > 0 && !follow_stream_take(&attempt->stream, data, (size_t)count))
			break;
	}
	free(data);
}

static void *pump(void *context)
{
	struct attempt *attempt = context;

	if (attempt->follow->leader != NULL)
		ask_leader(attempt);
	else
		read_input(attempt);
	follow_stream_end(&attempt->stream);
	return NULL;
}

/* ---- evidence ---- */

/* What was refused, as a log of one commit, beside the live log: STEM.refused-N. */
static void keep_evidence(struct follow *follow, valori_log *log, const valori_commit_view *commit)
{
	uint8_t header[HEADER];
	char name[300], *path;
	const char *slash = strrchr(follow->log, '/'), *stem = slash != NULL ? slash + 1 : follow->log;
	size_t size = strlen(stem), used = strlen(follow->fault);
	int fd;
	bool is_written;

	if (size < 5 || strcmp(stem + size - 4, ".log") != 0) {
		stem = "events.log";
		size = 10;
	}
	if (commit != NULL)
		snprintf(name, sizeof(name), "%.*s.refused-%llu", (int)(size - 4), stem,
			 (unsigned long long)commit->number);
	else
		snprintf(name, sizeof(name), "%.*s.refused", (int)(size - 4), stem);
	if (valori_log_header(log, header, NULL) != VALORI_OK)
		return;
	path = store_beside(follow->log, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	is_written = fd >= 0 && write(fd, header, HEADER) == HEADER &&
		     (commit == NULL || write(fd, commit->bytes, commit->size) == (ssize_t)commit->size) &&
		     fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	if (is_written)
		snprintf(follow->fault + used, sizeof(follow->fault) - used, "; what came is in %s", path);
	free(path);
}

/* ---- the store ---- */

static int learn_position(struct follow *follow)
{
	valori_error error;

	follow->at = (valori_info){.size = sizeof(follow->at)};
	if (valori_get_info(follow->store, &follow->at, &error) != VALORI_OK)
		return follow_fail_with(follow, &error);
	follow->has_position = true;
	return TOOL_OK;
}

/* dim 0: it must be there, or follow->store stays NULL. */
static int open_store(struct follow *follow, uint32_t dim)
{
	valori_options options = follow->options;
	valori_error error;
	valori_code code;
	int status;

	options.log = follow->log;
	options.flags |= VALORI_WRITE;
	if (dim != 0) {
		options.dim = dim;
		options.flags |= VALORI_CREATE;
	}
	code = valori_open(&options, &follow->store, &error);
	if (code == VALORI_NOT_FOUND && dim == 0)
		return TOOL_OK;
	if (code != VALORI_OK)
		return follow_fail_with(follow, &error);
	status = learn_position(follow);
	if (status == TOOL_OK && follow->opened != NULL)
		status = follow->opened(follow->context);
	return status;
}

/* ---- the reader: from the stream into the store ---- */

/* Does the stream continue what is here? Asked before its first commit is taken. */
static int check_base(struct attempt *attempt, valori_log *log)
{
	struct follow *follow = attempt->follow;
	valori_log_info info = {.size = sizeof(info)};
	const char *name = name_of(follow), *what = NULL;
	valori_error error;
	bool is_new = !follow->has_position || (follow->at.commits == 0 && follow->at.height == 0);

	if (valori_log_get_info(log, &info, &error) != VALORI_OK)
		return follow_fail_with(follow, &error);
	if (follow->has_position && info.dim != follow->at.dim)
		return follow_fail(follow, TOOL_USAGE, "%s: has dimension %u, this store %u", name, info.dim,
				   follow->at.dim);
	if (is_new && follow->log == NULL) {
		follow->at.dim = info.dim;
		follow->at.log_id = info.log_id;
		follow->has_position = true;
		follow->at.commits = info.base_commit;
		follow->at.height = info.base_event;
		return TOOL_OK;
	}
	if (is_new && info.base_event != 0)
		return follow_fail(follow, TOOL_UNKNOWABLE,
				   "%s: begins after event %llu: a snapshot of that moment is needed", name,
				   (unsigned long long)info.base_event);
	if (is_new)
		return TOOL_OK;
	if (memcmp(&info.log_id, &follow->at.log_id, sizeof(info.log_id)) != 0)
		return follow_fail(follow, TOOL_NO, "%s: is another log than this store's", name);
	if (follow->leader == NULL && info.base_event < follow->at.height)
		return TOOL_OK; /* it begins with what is here, and each commit is compared */
	if (info.base_event != follow->at.height)
		what = "height";
	else if (info.base_commit != follow->at.commits)
		what = "number of commits";
	else if (memcmp(&info.base_root, &follow->at.state_root, sizeof(info.base_root)) != 0)
		what = "state root";
	else if (memcmp(&info.base_tree_root, &follow->at.tree_root, sizeof(info.base_tree_root)) != 0)
		what = "history";
	if (what == NULL)
		return TOOL_OK;
	follow_fail(follow, TOOL_NO, "%s: has another %s than this store at height %llu", name, what,
		    (unsigned long long)follow->at.height);
	if (follow->log != NULL)
		keep_evidence(follow, log, NULL);
	return TOOL_NO;
}

static int take_commit(struct attempt *attempt, valori_log *log, const valori_commit_view *commit)
{
	struct follow *follow = attempt->follow;
	valori_error error;
	valori_code code;
	int is_new = 1, status = TOOL_OK;

	if (follow->log != NULL) {
		if (follow->store == NULL) {
			valori_log_info info = {.size = sizeof(info)};

			if (valori_log_get_info(log, &info, &error) != VALORI_OK)
				return follow_fail_with(follow, &error);
			status = open_store(follow, info.dim);
			if (status != TOOL_OK)
				return status;
		}
		code = valori_replicate(follow->store, log, commit, &is_new, &error);
		if (code == VALORI_OTHER_LOG || code == VALORI_MISMATCH) {
			status = follow_fail(follow, TOOL_NO, "%s: commit %llu is refused: %s", name_of(follow),
					     (unsigned long long)commit->number, error.message);
			keep_evidence(follow, log, commit);
			return status;
		}
		if (code != VALORI_OK)
			return follow_fail_with(follow, &error);
	}
	if (is_new) {
		attempt->taken++;
		follow->commits++;
		follow->events += commit->event_count;
	}
	return follow->take != NULL && is_new ? follow->take(follow->context, log, commit) : TOOL_OK;
}

/* What was taken becomes durable. */
static int flush(struct attempt *attempt, const valori_commit_view *commit)
{
	struct follow *follow = attempt->follow;
	valori_error error;

	if (follow->store != NULL && valori_flush(follow->store, &error) != VALORI_OK)
		return follow_fail_with(follow, &error);
	if (commit->number + 1 >= follow->at.commits) {
		follow->at.commits = commit->number + 1;
		follow->at.height = commit->first_event + commit->event_count;
		follow->at.time_ms = commit->time_ms;
		follow->at.state_root = commit->state_root;
		follow->at.tree_root = commit->tree_root;
	}
	atomic_store(&attempt->reached, follow->at.height);
	return follow->flushed != NULL ? follow->flushed(follow->context, commit) : TOOL_OK;
}

/* Does more come before what has come must be durable? While it is known that the leader has more, it is waited for. */
static bool comes_more(struct attempt *attempt, const valori_commit_view *commit, uint64_t waited_ns)
{
	struct pollfd descriptor = {.fd = attempt->stream.out, .events = POLLIN};

	if (waited_ns >= GROUP_NS)
		return false;
	if (atomic_load(&attempt->stream.whole) > commit->offset + commit->size)
		return true;
	return commit->first_event + commit->event_count < atomic_load(&attempt->target) &&
	       poll(&descriptor, 1, (int)((GROUP_NS - waited_ns) / 1000000)) > 0;
}

/* All that a leader had when it was asked once; one that does not say how much that is, is read to its end. */
static bool is_all_here(const struct attempt *attempt)
{
	const struct follow *follow = attempt->follow;

	return follow->once && follow->leader != NULL && attempt->is_told &&
	       follow->at.height >= atomic_load(&attempt->target);
}

static int take_all(struct attempt *attempt, valori_log *log)
{
	struct follow *follow = attempt->follow;
	valori_commit_view commit = {0};
	uint64_t waiting = 0, since = 0;
	int status = TOOL_OK;

	while (status == TOOL_OK &&
	       (attempt->code = valori_log_next(log, &commit, &attempt->error)) == VALORI_OK) {
		uint64_t now = follow_now_ns(), end = commit.offset + commit.size;

		status = take_commit(attempt, log, &commit);
		if (status != TOOL_OK)
			break;
		if (waiting == 0)
			since = now;
		waiting += commit.size;
		if (waiting < GROUP_SIZE && comes_more(attempt, &commit, now - since))
			continue;
		status = flush(attempt, &commit);
		waiting = 0;
		if (status == TOOL_OK)
			set_state(follow,
				  atomic_load(&attempt->stream.whole) > end ||
						  follow->at.height < atomic_load(&attempt->target)
					  ? FOLLOW_SYNCING
					  : FOLLOW_SYNCED,
				  "");
		if (is_all_here(attempt)) {
			attempt->is_done = true;
			break;
		}
	}
	/* The commit that could not be read has left the one before it as it was. */
	if (status == TOOL_OK && waiting > 0)
		status = flush(attempt, &commit);
	else if (status != TOOL_OK && follow->store != NULL)
		(void)valori_flush(follow->store, NULL);
	return status;
}

static int read_stream(struct attempt *attempt)
{
	struct follow *follow = attempt->follow;
	valori_log *log;
	int status;

	attempt->code = valori_log_open_live(attempt->stream.out, name_of(follow), &log, &attempt->error);
	if (attempt->code != VALORI_OK)
		return TOOL_OK; /* the pump may know better why */
	status = check_base(attempt, log);
	if (status == TOOL_OK && follow->begun != NULL)
		status = follow->begun(follow->context, log);
	if (status == TOOL_OK && follow->at.height >= attempt->target)
		set_state(follow, FOLLOW_SYNCED, "");
	if (status == TOOL_OK && is_all_here(attempt))
		attempt->is_done = true;
	else if (status == TOOL_OK)
		status = take_all(attempt, log);
	if (attempt->code == VALORI_END && valori_log_torn_size(log) != 0 && follow->leader == NULL) {
		attempt->code = VALORI_DAMAGED;
		snprintf(attempt->error.message, sizeof(attempt->error.message),
			 "%s: ends within a commit: its last %llu bytes count for nothing", name_of(follow),
			 (unsigned long long)valori_log_torn_size(log));
	}
	valori_log_close(log);
	return status;
}

/* ---- one stream ---- */

enum ending { AGAIN, OVER, BEGIN_ANEW };

/* A leader that has less than is here, or other commits. */
static int judge_conflict(struct follow *follow, const struct client_answer *answer)
{
	uint64_t height = 0;

	if (follow_number(answer, "height", &height) && height < follow->at.height)
		return follow_fail(follow, TOOL_NO,
				   "%s: has lost events: it ends at height %llu, this store at %llu with commit %llu",
				   name_of(follow), (unsigned long long)height, (unsigned long long)follow->at.height,
				   (unsigned long long)follow->at.commits);
	return follow_fail(follow, TOOL_NO, "%s: has no commit that ends at height %llu, as this store has",
			   name_of(follow), (unsigned long long)follow->at.height);
}

static enum ending judge_status(struct attempt *attempt, int *out_status)
{
	struct follow *follow = attempt->follow;
	const struct client_answer *answer = &attempt->answer;
	bool is_new = !follow->has_position || (follow->at.commits == 0 && follow->at.height == 0);
	uint64_t base = 0;

	if (answer->status == 410) {
		follow_number(answer, "base", &base);
		if (is_new && follow->log != NULL)
			return BEGIN_ANEW;
		*out_status = follow_fail(follow, TOOL_UNKNOWABLE,
					  follow->log != NULL
						  ? "%s: its log begins with event %llu, this store ends at height "
						    "%llu: what is between was trimmed: begin in an empty directory"
						  : "%s: its log begins with event %llu, not %llu: see --from",
					  name_of(follow), (unsigned long long)base,
					  (unsigned long long)attempt->start);
		return OVER;
	}
	*out_status = answer->status == 409 ? judge_conflict(follow, answer) : judge_answer(follow, answer);
	return is_final(answer) ? OVER : AGAIN;
}

/* Nothing was refused here: why has it ended? */
static enum ending judge_end(struct attempt *attempt, int *out_status)
{
	struct follow *follow = attempt->follow;
	const char *name = name_of(follow);
	bool is_input = follow->leader == NULL;

	if (attempt->is_done || atomic_load(&follow->stopped)) {
		*out_status = TOOL_OK;
		return OVER;
	}
	if (attempt->status != TOOL_OK) {
		*out_status = follow_fail(follow, attempt->status, "%s: %s", name, attempt->fault);
		return attempt->status == TOOL_LOCKED && !is_input ? AGAIN : OVER;
	}
	if (!is_input && attempt->result == CLIENT_UNREACHABLE) {
		*out_status = follow_fail(follow, TOOL_LOCKED, "%s: %s", name, attempt->answer.fault);
		return AGAIN;
	}
	if (!is_input && attempt->answer.status / 100 != 2)
		return judge_status(attempt, out_status);
	if (attempt->stream.status != TOOL_OK) {
		*out_status = follow_fail(follow, attempt->stream.status, "%s: %s", name, attempt->stream.fault);
		return attempt->stream.status == TOOL_FULL || is_input ? OVER : AGAIN;
	}
	if (attempt->code == VALORI_END && is_input) {
		*out_status = TOOL_OK;
		return OVER;
	}
	if (attempt->code == VALORI_END || attempt->result == CLIENT_CUT) {
		*out_status = follow_fail(follow, TOOL_LOCKED, "%s: the stream has ended%s%s", name,
					  attempt->answer.fault[0] != 0 ? ": " : "", attempt->answer.fault);
		return AGAIN;
	}
	*out_status = follow_fail_with(follow, &attempt->error);
	return attempt->code == VALORI_NEWER || is_input ? OVER : AGAIN;
}

static bool give_header(void *context, uint64_t first_event, uint8_t out[4096])
{
	const struct attempt *attempt = context;
	valori_commit_view commit;
	valori_log *log;
	valori_code code;
	bool is_found;

	if (attempt->follow->log == NULL || valori_log_open(attempt->follow->log, NULL, 0, &log, NULL) != VALORI_OK)
		return false;
	code = valori_log_seek(log, first_event, NULL);
	if (code == VALORI_OK)
		code = valori_log_next(log, &commit, NULL);
	is_found = (code == VALORI_END || (code == VALORI_OK && commit.first_event == first_event)) &&
		   valori_log_header(log, out, NULL) == VALORI_OK;
	valori_log_close(log);
	return is_found;
}

static enum ending try(struct follow *follow, int *out_status, bool *out_went_well)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));
	uint64_t began = follow_now_ns();
	enum ending ending = OVER;

	*out_went_well = false;
	if (attempt == NULL) {
		*out_status = follow_fail(follow, TOOL_SYSTEM, "out of memory");
		return OVER;
	}
	attempt->follow = follow;
	attempt->start = follow->has_position ? follow->at.height : follow->from;
	atomic_store(&attempt->reached, attempt->start);
	*out_status = follow_stream_init(&attempt->stream, follow->commit_max, &follow->stopped);
	attempt->stream.header = give_header;
	attempt->stream.context = attempt;
	if (*out_status != TOOL_OK) {
		follow_fail(follow, *out_status, "%s", attempt->stream.fault);
	} else if (pthread_create(&attempt->pump, NULL, pump, attempt) != 0) {
		*out_status = follow_fail(follow, TOOL_SYSTEM, "a thread: %s", tool_errno());
	} else {
		*out_status = read_stream(attempt);
		atomic_store(&attempt->is_over, true);
		close(attempt->stream.out);
		attempt->stream.out = -1;
		(void)!write(follow->wake, &(const uint64_t){1}, sizeof(uint64_t));
		pthread_join(attempt->pump, NULL);
		if (!atomic_load(&follow->stopped))
			(void)!read(follow->wake, &(uint64_t){0}, sizeof(uint64_t));
		if (*out_status == TOOL_OK)
			ending = judge_end(attempt, out_status);
	}
	/* Who follows once wants commits, and not a connection that lasts. */
	*out_went_well = attempt->taken > 0 || (!follow->once && attempt->answer.status == 200 &&
						follow_now_ns() - began > STEADY_NS);
	client_answer_free(&attempt->answer);
	follow_stream_free(&attempt->stream);
	free(attempt);
	return ending;
}

/* ---- again and again ---- */

static void wait_for(struct follow *follow, unsigned ms)
{
	struct pollfd wake = {.fd = follow->wake, .events = POLLIN};

	if (ms > 0 && !atomic_load(&follow->stopped))
		poll(&wake, 1, (int)ms);
}

static void complain(struct follow *follow, int status, bool is_last)
{
	struct follow_state before;

	follow_get_state(follow, &before);
	set_state(follow, status == TOOL_NO ? FOLLOW_DIVERGED : FOLLOW_DISCONNECTED, follow->fault);
	if (follow->trouble != NULL && !is_last && strcmp(before.detail, follow->fault) != 0)
		follow->trouble(follow->context, follow->fault);
}

int follow_run(struct follow *follow)
{
	size_t tries = 0, last = sizeof(pauses_ms) / sizeof(pauses_ms[0]) - 1;
	int status = TOOL_OK;

	if (follow->store == NULL && follow->log != NULL)
		status = open_store(follow, 0);
	while (status == TOOL_OK && !atomic_load(&follow->stopped)) {
		bool went_well, is_last;
		enum ending ending;

		if (follow->store != NULL)
			status = learn_position(follow);
		if (status != TOOL_OK)
			break;
		ending = try(follow, &status, &went_well);
		if (ending == BEGIN_ANEW) {
			status = follow_bootstrap(follow);
			ending = status == TOOL_OK ? AGAIN : status == TOOL_LOCKED ? AGAIN : OVER;
			went_well = status == TOOL_OK;
		}
		if (atomic_load(&follow->stopped))
			return TOOL_OK;
		tries = went_well ? 0 : tries + 1;
		is_last = (ending == OVER && (!follow->is_patient || status == TOOL_OK || status == TOOL_NO)) ||
			  (follow->once && tries >= TRIES_ONCE);
		if (status != TOOL_OK)
			complain(follow, status, is_last);
		if (is_last)
			return status;
		status = TOOL_OK;
		wait_for(follow, pauses_ms[tries < last ? tries : last]);
	}
	return status;
}

void follow_diverged(struct follow *follow, const char *detail)
{
	set_state(follow, FOLLOW_DIVERGED, detail);
}

static bool only_head(void *context, const struct client_answer *answer)
{
	*(struct client_answer *)context = *answer;
	return false;
}

int follow_prepare(struct follow *follow, uint32_t *out_dim, valori_hash *out_log_id)
{
	static const char *const headers[] = {"Accept: application/octet-stream", NULL};
	struct client_answer head = {0}, answer;
	const struct client_request request = {
		.path = "/v1/replication/events?start_offset=0",
		.headers = headers,
		.begin = only_head,
		.context = &head,
		.wake_fd = follow->wake,
	};
	enum client_result result = client_ask(follow->leader, &request, &answer);
	int status = TOOL_OK;

	*out_dim = 0;
	if (result == CLIENT_STOPPED && head.dim <= VALORI_DIM_MAX &&
	    valori_hash_parse(head.log_id, out_log_id) == VALORI_OK)
		*out_dim = (uint32_t)head.dim;
	else if (result == CLIENT_STOPPED)
		status = follow_fail(follow, TOOL_DAMAGED, "%s: does not say which log it has", name_of(follow));
	else if (result == CLIENT_UNREACHABLE || result == CLIENT_CUT)
		status = follow_fail(follow, TOOL_LOCKED, "%s: %s", name_of(follow), answer.fault);
	else if (answer.status == 410)
		status = follow_bootstrap(follow);
	else
		status = judge_answer(follow, &answer);
	client_answer_free(&answer);
	valori_close(follow->store, NULL);
	follow->store = NULL;
	return status;
}

int follow_init(struct follow *follow)
{
	follow->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (follow->wake < 0)
		return tool_trouble(TOOL_SYSTEM, "an event descriptor: %s", tool_errno());
	pthread_mutex_init(&follow->mutex, NULL);
	atomic_init(&follow->stopped, false);
	follow->level_ns = follow_now_ns();
	if (follow->commit_max == 0)
		follow->commit_max = (uint64_t)1 << 30;
	return TOOL_OK;
}

void follow_free(struct follow *follow)
{
	if (follow->wake >= 0)
		close(follow->wake);
	pthread_mutex_destroy(&follow->mutex);
}

void follow_stop(struct follow *follow)
{
	const uint64_t one = 1;

	atomic_store(&follow->stopped, true);
	if (write(follow->wake, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}
