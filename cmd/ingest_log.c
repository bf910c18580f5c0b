/* ingest_log.c - a log stream into a store: its commits continued as they are, or its events taken as new ones. */
#include "ingest.h"

#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "renumber.h"

static char waiting_text[256] =
	"valori-ingest: stopped by a signal\n"; /* what is said when a signal ends a wait for more */

/* May the store continue this log? */
static int check_log(struct ingest *run, const char *name, const valori_log_info *log)
{
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	int status = TOOL_OK;

	if (run->store == NULL)
		status = ingest_open(run, log->dim);
	if (status != TOOL_OK)
		return status;
	if (valori_get_info(run->store, &info, &error) != VALORI_OK)
		return tool_fail(&error);
	if (log->dim != info.dim)
		return tool_trouble(TOOL_USAGE, "%s: has dimension %u, the store has %u", name, log->dim, info.dim);
	if (!run->renumber && info.commits != 0 && memcmp(&info.log_id, &log->log_id, sizeof(info.log_id)) != 0)
		return tool_trouble(TOOL_USAGE,
				    "%s: is another log than the store's; --renumber takes its events as new ones",
				    name);
	/* Said before the first commit, for there may be none: an empty store of another log would be all there is. */
	if (!run->renumber && info.height == 0 && log->base_event != 0)
		return tool_trouble(TOOL_UNKNOWABLE,
				    "%s: begins after event %llu: a snapshot of that moment is needed (-s)", name,
				    (unsigned long long)log->base_event);
	return TOOL_OK;
}

/* Makes what was taken in durable, and says so. */
static int flush_log(struct ingest *run, const valori_commit_view *commit)
{
	struct tool_json json = {.file = stdout};
	uint64_t height = commit->first_event + commit->event_count;
	valori_error error;

	if (run->options.sync != VALORI_SYNC_NONE && valori_flush(run->store, &error) != VALORI_OK)
		return tool_fail(&error);
	snprintf(waiting_text, sizeof(waiting_text), "%s: stopped by a signal; height %llu\n", tool.name,
		 (unsigned long long)height);
	if (!tool_json || run->dry_run || run->renumber)
		return TOOL_OK;
	tool_json_begin(&json);
	tool_json_u64(&json, "commit", commit->number);
	tool_json_u64(&json, "height", height);
	tool_json_hash(&json, "state_root", &commit->state_root);
	tool_json_end(&json);
	return fflush(stdout) == 0 ? TOOL_OK : TOOL_SYSTEM;
}

static valori_code next_commit(valori_log *log, valori_commit_view *commit, valori_error *error)
{
	valori_code code;

	ingest_wait_begin(waiting_text);
	code = ingest_stopped != 0 ? VALORI_END : valori_log_next(log, commit, error);
	ingest_wait_end();
	return code;
}

static int take_commit(struct ingest *run, struct renumber *renumber, valori_log *log, const valori_commit_view *commit)
{
	uint64_t events = commit->event_count;
	valori_error error;
	valori_code code;
	int new = 1;

	if (renumber != NULL)
		code = renumber_commit(renumber, run->store, log, commit, &events, &error);
	else
		code = valori_replicate(run->store, log, commit, &new, &error);
	if (code == VALORI_NOT_FOUND && renumber != NULL) {
		tool_fail(&error);
		return TOOL_USAGE;
	}
	if (code != VALORI_OK)
		return tool_fail(&error);
	run->commits += new != 0;
	run->events += new ? events : 0;
	run->rows += new ? events : 0;
	return TOOL_OK;
}

/* Is there more to read at once? Else what was taken in is made durable before the wait. */
static bool is_ready(int fd)
{
	struct pollfd descriptor = {.fd = fd, .events = POLLIN};

	return fd < 0 || poll(&descriptor, 1, 0) > 0;
}

static int take_log(struct ingest *run, valori_log *log, const char *name, int fd, struct renumber *renumber)
{
	valori_commit_view commit;
	valori_error error;
	valori_code code;
	uint64_t size = 0;
	int status = TOOL_OK;

	while (status == TOOL_OK && (code = next_commit(log, &commit, &error)) == VALORI_OK) {
		status = take_commit(run, renumber, log, &commit);
		size += commit.size;
		if (status == TOOL_OK && (size >= run->feed.batch_size || !is_ready(fd))) {
			status = flush_log(run, &commit);
			size = 0;
		}
		if (tool_progress_due())
			tool_progress("%s: %llu events taken in", name, (unsigned long long)run->events);
	}
	if (status == TOOL_OK && size != 0)
		status = flush_log(run, &commit);
	if (status != TOOL_OK)
		return status;
	if (code != VALORI_END)
		return tool_fail(&error);
	if (ingest_stopped == 0 && valori_log_torn_size(log) != 0 && fd >= 0)
		return tool_trouble(TOOL_DAMAGED, "%s: ends within a commit: its last %llu bytes count for nothing",
				    name, (unsigned long long)valori_log_torn_size(log));
	return TOOL_OK;
}

static bool is_pipe(int fd)
{
	struct stat about;

	return fstat(fd, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode));
}

/* fd -1: path is a store or a file of one. */
int ingest_log(struct ingest *run, const char *path, int fd)
{
	const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
	valori_log_info info = {.size = sizeof(info)};
	struct renumber *renumber = NULL;
	valori_log *log;
	valori_error error;
	valori_code code;
	int status;

	ingest_wait_begin(waiting_text);
	/* Behind what is no commit a pipe may have no end. */
	code = fd < 0	     ? valori_log_open(path, NULL, 0, &log, &error)
	       : is_pipe(fd) ? valori_log_open_live(fd, name, &log, &error)
			     : valori_log_open_fd(fd, name, &log, &error);
	ingest_wait_end();
	if (code != VALORI_OK)
		return tool_fail_open(path, &error);
	if (valori_log_get_info(log, &info, &error) != VALORI_OK) {
		valori_log_close(log);
		return tool_fail(&error);
	}
	status = check_log(run, name, &info);
	if (status == TOOL_OK && run->renumber) {
		renumber = renumber_new(info.dim);
		if (renumber == NULL)
			status = tool_trouble(TOOL_SYSTEM, "out of memory");
	}
	if (status == TOOL_OK)
		status = take_log(run, log, name, fd, renumber);
	renumber_free(renumber);
	valori_log_close(log);
	return status;
}
