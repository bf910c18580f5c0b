/* store.c - opening a store to read it. */
#include "store.h"

#include "input.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool store_is_stream(const char *path)
{
	struct stat status;

	return strcmp(path, "-") == 0 ||
	       (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode));
}

int store_open_stream(const char *path, const char **out_name)
{
	int fd = STDIN_FILENO;

	*out_name = "standard input";
	if (strcmp(path, "-") == 0)
		return fd;
	*out_name = path;
	fd = input_descriptor(path);
	if (fd < 0)
		tool_trouble(TOOL_SYSTEM, "%s: %s", path, tool_errno());
	return fd;
}

/* Does this commit lie after the moment? */
static bool is_past(const valori_when *at, const valori_commit_view *commit)
{
	if (at->kind == VALORI_WHEN_HEIGHT)
		return commit->first_event >= at->value;
	return at->kind == VALORI_WHEN_TIME && commit->time_ms > at->value;
}

/* Is the moment reached with what was read, so that an end of the stream is no disappointment? */
static bool is_reached(const valori_when *at, const valori_info *info)
{
	if (at->kind == VALORI_WHEN_HEIGHT)
		return info->height >= at->value;
	return at->kind != VALORI_WHEN_ROOT || memcmp(&info->state_root, &at->root, sizeof at->root) == 0;
}

/* Commits from the stream into the store, up to the moment. A stream cannot be asked for the last commit with
 * a root: the first one counts. */
static int replicate_all(valori *store, valori_log *log, const valori_when *at, const char *name)
{
	valori_info info = {.size = sizeof info};
	valori_commit_view commit;
	valori_error error;
	valori_code code;
	int is_new;

	while ((code = valori_log_next(log, &commit, &error)) == VALORI_OK) {
		if (is_past(at, &commit))
			break;
		if (valori_replicate(store, log, &commit, &is_new, &error) != VALORI_OK)
			return tool_fail(&error);
		if (at->kind == VALORI_WHEN_ROOT &&
		    memcmp(&commit.state_root, &at->root, sizeof at->root) == 0)
			break;
		if (tool_progress_due())
			tool_progress("%s: %llu events read", name,
				      (unsigned long long)(commit.first_event + commit.event_count));
	}
	if (code != VALORI_OK && code != VALORI_END)
		return tool_fail(&error);
	if (valori_flush(store, &error) != VALORI_OK || valori_get_info(store, &info, &error) != VALORI_OK)
		return tool_fail(&error);
	if (!is_reached(at, &info))
		return tool_trouble(TOOL_NO, "%s: ends at height %llu, before the moment asked for", name,
				    (unsigned long long)info.height);
	return TOOL_OK;
}

static void set_index(const struct store_source *source, valori_options *options)
{
	options->flags |= source->flags;
	if (source->index.is_kind_set)
		options->index = source->index.kind;
	if (source->index.boundary != 0)
		options->index_boundary = source->index.boundary;
	options->index_threads = source->index.threads;
}

uint32_t store_index_kind(const char *name)
{
	static const char *const names[] = {"auto", "brute", "hnsw", "ivf"};

	for (uint32_t kind = 0; kind < sizeof names / sizeof *names; kind++)
		if (strcmp(name, names[kind]) == 0)
			return kind;
	tool_usage("--index: %s: not auto, brute, hnsw or ivf", name);
}

static int open_stream(const struct store_source *source, valori **out)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_log_info info = {.size = sizeof info};
	valori_log *log = NULL;
	valori_error error;
	const char *name;
	int fd = store_open_stream(source->log, &name), status;

	if (fd < 0)
		return TOOL_SYSTEM;
	if (valori_log_open_fd(fd, name, &log, &error) != VALORI_OK ||
	    valori_log_get_info(log, &info, &error) != VALORI_OK) {
		status = tool_fail(&error);
		goto end;
	}
	options.flags = VALORI_REHEARSE;
	set_index(source, &options);
	options.snapshot = source->snapshot && *source->snapshot ? source->snapshot : "";
	options.dim = info.dim;
	if (valori_open(&options, out, &error) != VALORI_OK) {
		status = tool_fail_open(options.snapshot, &error);
		goto end;
	}
	status = replicate_all(*out, log, &source->at, name);
	if (status != TOOL_OK) {
		valori_close(*out, NULL);
		*out = NULL;
	}
end:
	valori_log_close(log);
	if (fd != STDIN_FILENO)
		close(fd);
	return status;
}

int store_open_read(const struct store_source *source, valori **out)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_info info = {.size = sizeof info};
	valori_error error;

	*out = NULL;
	if (source->log != NULL && store_is_stream(source->log))
		return open_stream(source, out);
	options.flags = VALORI_READ;
	set_index(source, &options);
	options.log = source->log;
	options.snapshot = source->snapshot;
	options.archive = source->archive;
	options.at = source->at;
	if (valori_open(&options, out, &error) != VALORI_OK)
		return tool_fail_open(source->log ? source->log : source->snapshot, &error);
	if (valori_get_info(*out, &info, &error) != VALORI_OK) {
		valori_close(*out, NULL);
		*out = NULL;
		return tool_fail(&error);
	}
	if (info.notes[0] != '\0')
		tool_warn("%s", info.notes);
	return TOOL_OK;
}

char *store_beside(const char *log, const char *name)
{
	size_t length = strlen(log), name_size = strlen(name) + 1;
	bool is_file = length > 4 && strcmp(log + length - 4, ".log") == 0;
	struct stat status;
	char *path = tool_alloc(length + name_size + 1, 1);
	const char *slash = strrchr(log, '/');
	size_t kept = slash ? (size_t)(slash - log) + 1 : 0;

	if (!is_file && stat(log, &status) == 0)
		is_file = S_ISREG(status.st_mode);
	if (is_file) {
		memcpy(path, log, kept);
		memcpy(path + kept, name, name_size);
	} else {
		memcpy(path, log, length);
		path[length] = '/';
		memcpy(path + length + 1, name, name_size);
	}
	return path;
}
