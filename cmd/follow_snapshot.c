/* follow_snapshot.c - a store that is empty begins from the leader's snapshot, which is checked in full first. */
#include "follow_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

enum {
	TRIES = 5,	   /* without a byte more */
	QUIET_MS = 30000,  /* a leader may take its time to write the snapshot, and then not to send it */
	PAUSE_MS = 1000
};

struct download {
	struct follow *follow;
	int fd;
	uint64_t have;
	char etag[80];
	struct client_answer head; /* of the last answer */
	char fault[256];
	int status;
};

static bool on_begin(void *context, const struct client_answer *answer)
{
	struct download *download = context;

	if (answer->status == 206 && strcmp(answer->etag, download->etag) == 0) {
		download->head = *answer;
		return true;
	}
	/* Another one than before: from its beginning. */
	download->have = 0;
	snprintf(download->etag, sizeof(download->etag), "%s", answer->etag);
	download->head = *answer;
	if (answer->status == 200 && ftruncate(download->fd, 0) == 0)
		return true;
	snprintf(download->fault, sizeof(download->fault), "the snapshot: %s",
		 answer->status == 200 ? tool_errno() : "not the part that was asked for");
	download->status = answer->status == 200 ? TOOL_SYSTEM : TOOL_LOCKED;
	return false;
}

static bool on_take(void *context, const void *data, size_t size)
{
	struct download *download = context;
	const char *bytes = data;

	while (size > 0) {
		ssize_t count = pwrite(download->fd, bytes, size, (off_t)download->have);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			snprintf(download->fault, sizeof(download->fault), "the snapshot: %s", tool_errno());
			download->status = TOOL_SYSTEM;
			return false;
		}
		bytes += count;
		size -= (size_t)count;
		download->have += (uint64_t)count;
	}
	return !atomic_load(&download->follow->stopped);
}

static bool on_tick(void *context, uint64_t quiet_ns)
{
	struct download *download = context;

	if (atomic_load(&download->follow->stopped))
		return false;
	if (quiet_ns < (uint64_t)QUIET_MS * 1000000)
		return true;
	snprintf(download->fault, sizeof(download->fault), "the snapshot does not come: nothing for %d seconds",
		 QUIET_MS / 1000);
	download->status = TOOL_LOCKED;
	return false;
}

/* The rest of it, from where it broke off. */
static enum client_result continue_download(struct download *download, struct client_answer *answer)
{
	char range[64], condition[120];
	const char *const headers[] = {range, condition, NULL}, *const none[] = {NULL};
	const struct client_request request = {
		.path = "/v1/snapshot/download",
		.headers = download->have > 0 && download->etag[0] != 0 ? headers : none,
		.begin = on_begin,
		.take = on_take,
		.tick = on_tick,
		.context = download,
		.wake_fd = download->follow->wake,
	};

	snprintf(range, sizeof(range), "Range: bytes=%llu-", (unsigned long long)download->have);
	snprintf(condition, sizeof(condition), "If-Range: %s", download->etag);
	download->status = TOOL_OK;
	return client_ask(download->follow->leader, &request, answer);
}

static int fetch(struct download *download)
{
	struct follow *follow = download->follow;
	unsigned tries = 0;
	int status = TOOL_LOCKED;

	while (tries < TRIES && !atomic_load(&follow->stopped)) {
		uint64_t before = download->have;
		struct client_answer answer;
		struct pollfd wake = {.fd = follow->wake, .events = POLLIN};
		enum client_result result = continue_download(download, &answer);
		char sentence[300];

		if (result == CLIENT_WHOLE && answer.status / 100 == 2) {
			client_answer_free(&answer);
			return TOOL_OK;
		}
		if (result == CLIENT_STOPPED && download->status != TOOL_OK)
			status = follow_fail(follow, download->status, "%s: %s", client_url(follow->leader),
					     download->fault);
		else if (result == CLIENT_WHOLE)
			status = follow_fail(follow, TOOL_LOCKED, "%s: does not give its snapshot: %s",
					     client_url(follow->leader),
					     follow_sentence(&answer, sentence, sizeof(sentence)));
		else
			status = follow_fail(follow, TOOL_LOCKED, "%s: the snapshot: %s", client_url(follow->leader),
					     answer.fault);
		client_answer_free(&answer);
		if (status != TOOL_LOCKED)
			return status;
		tries = download->have > before ? 0 : tries + 1;
		poll(&wake, 1, PAUSE_MS);
	}
	return status;
}

/* Is it what the leader said, and what its log says of that moment? */
static int compare(struct follow *follow, const struct client_answer *head, const valori_snapshot_info *info)
{
	char root[65], log_id[65], tree[96], theirs[120], path[96];
	struct client_answer answer;
	int status;

	valori_hash_format(&info->state_root, root);
	valori_hash_format(&info->log_id, log_id);
	if (strcmp(head->state_hash, root) != 0 || head->height != info->height || strcmp(head->log_id, log_id) != 0)
		return follow_fail(follow, TOOL_DAMAGED, "%s: its snapshot is not what it says it is",
				   client_url(follow->leader));
	snprintf(path, sizeof(path), "/v1/replication/commit?height=%llu", (unsigned long long)info->height);
	status = follow_ask(follow, path, QUIET_MS, &answer);
	tool_history(info->commits, &info->tree_root, tree);
	if (status == TOOL_OK && ((follow_text(&answer, "tree", theirs, sizeof(theirs)) && strcmp(theirs, tree) != 0) ||
				  (follow_text(&answer, "state_root", theirs, sizeof(theirs)) &&
				   strcmp(theirs, root) != 0)))
		status = follow_fail(follow, TOOL_NO, "%s: its snapshot and its log differ at height %llu",
				     client_url(follow->leader), (unsigned long long)info->height);
	else if (answer.status == 410 || answer.status == 404)
		status = TOOL_OK; /* no commit of its log is that old */
	client_answer_free(&answer);
	return status;
}

static void sync_directory_of(const char *path)
{
	char *copy = strdup(path), *slash = copy != NULL ? strrchr(copy, '/') : NULL;
	int fd;

	if (slash != NULL)
		slash[slash == copy] = 0;
	fd = open(slash != NULL ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

/* It takes its place, and a log that goes on from there. */
static int adopt(struct follow *follow, const char *scratch, const char *place)
{
	valori_options options = follow->options;
	valori_error error;

	if (rename(scratch, place) != 0)
		return follow_fail(follow, TOOL_SYSTEM, "%s: %s", place, tool_errno());
	sync_directory_of(place);
	options.log = follow->log;
	options.flags |= VALORI_WRITE | VALORI_CREATE;
	if (valori_open(&options, &follow->store, &error) != VALORI_OK ||
	    valori_flush(follow->store, &error) != VALORI_OK)
		return follow_fail_with(follow, &error);
	return follow->opened != NULL ? follow->opened(follow->context) : TOOL_OK;
}

int follow_bootstrap(struct follow *follow)
{
	valori_snapshot_info info = {.size = sizeof(info)};
	struct download download = {.follow = follow, .fd = -1};
	char *place, *scratch, *slash;
	valori_error error;
	int status;

	if (follow->store != NULL)
		return follow_fail(follow, TOOL_UNKNOWABLE,
				   "%s: is empty, but has a log: remove it, so that it can begin from the leader's "
				   "snapshot",
				   follow->log);
	place = follow->options.snapshot != NULL && follow->options.snapshot[0] != 0
			? strdup(follow->options.snapshot)
			: store_beside(follow->log, "snapshot.val");
	if (place == NULL || asprintf(&scratch, "%s.transfer", place) < 0) {
		free(place);
		return follow_fail(follow, TOOL_SYSTEM, "out of memory");
	}
	/* Of a path only the last part is made, as for a new log. */
	slash = strrchr(scratch, '/');
	if (slash != NULL && slash != scratch) {
		*slash = 0;
		mkdir(scratch, 0777);
		*slash = '/';
	}
	download.fd = open(scratch, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (download.fd < 0)
		status = follow_fail(follow, TOOL_SYSTEM, "%s: %s", scratch, tool_errno());
	else if (flock(download.fd, LOCK_EX | LOCK_NB) != 0)
		status = follow_fail(follow, TOOL_LOCKED, "%s: another process fetches the same snapshot", scratch);
	else
		status = fetch(&download);
	if (status == TOOL_OK && fsync(download.fd) != 0)
		status = follow_fail(follow, TOOL_SYSTEM, "%s: %s", scratch, tool_errno());
	if (status == TOOL_OK && valori_snapshot_check(scratch, &info, &error) != VALORI_OK)
		status = follow_fail(follow, TOOL_DAMAGED, "%s: its snapshot is not sound: %s",
				     client_url(follow->leader), error.message);
	if (status == TOOL_OK)
		status = compare(follow, &download.head, &info);
	if (status == TOOL_OK)
		status = adopt(follow, scratch, place);
	else if (download.fd >= 0 && status != TOOL_LOCKED)
		unlink(scratch);
	if (download.fd >= 0)
		close(download.fd);
	free(scratch);
	free(place);
	return status;
}
