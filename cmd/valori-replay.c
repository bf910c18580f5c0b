/* valori-replay - prints the events of a log, or a range of it as a log again. */
#include "events.h"
#include "store.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_OUTPUT,
	OPT_FROM,
	OPT_TO,
	OPT_AT,
	OPT_ID,
	OPT_KEY,
	OPT_COLLECTION,
	OPT_NO_VECTORS,
	OPT_STATE,
	OPT_FOLLOW,
	OPT_ARCHIVE
};

static const struct tool_opt opts[] = {
	[OPT_OUTPUT] = {'o', "output", "FILE", NULL,
			"write the commits to FILE as a log stream, or the events with --json"},
	[OPT_FROM] = {0, "from", "WHEN", NULL,
		      "begin after this moment; a height inside a commit begins with that commit"},
	[OPT_TO] = {0, "to", "WHEN", NULL, "end with this moment (a height, state root or time)"},
	[OPT_AT] = {0, "at", "WHEN", NULL, "the same as --to"},
	[OPT_ID] = {0, "id", "N", NULL,
		    "only what happened to record N, with the state roots before and after"},
	[OPT_KEY] = {0, "key", "KEY", NULL, "the same for the records that have or had KEY"},
	[OPT_COLLECTION] = {'c', "collection", "NAME", NULL, "only events of this collection"},
	[OPT_NO_VECTORS] = {0, "no-vectors", NULL, NULL, "leave the vectors out of --json"},
	[OPT_STATE] = {0, "state", NULL, NULL, "print what the events add up to: counts and roots"},
	[OPT_FOLLOW] = {0, "follow", NULL, NULL, "at the end wait for more"},
	[OPT_ARCHIVE] = TOOL_OPT_ARCHIVE,
	{0},
};

const struct tool tool = {
	.name = "valori-replay",
	.synopsis =
		"[-qv] [--json] [--no-vectors] [--from=WHEN] [--to=WHEN] [-c NAME] [--id=N] [--key=KEY] "
		"[--state] [--follow] [--archive=DIR] [-o FILE] [LOG|-]",
	.summary = "Prints the events of a log, or a range of it as a log again.",
	.opts = opts,
	.has = TOOL_JSON | TOOL_PROGRESS,
};

struct replay {
	const char *path, *archive, *key, *collection;
	valori_when from, to;
	uint64_t id; /* VALORI_NONE: of all */
	bool no_vectors, state, follow, as_log, is_stream;

	valori_log *log;
	valori_log_info info;
	struct known known;
	FILE *out;
	uint64_t first_commit, last_commit; /* bounds, where they could be found beforehand */
	valori_hash root;                   /* before the commit at hand */
	uint64_t *ids;                      /* records that had the key, ascending */
	size_t ids_count, ids_room;
	bool birth_seen, others_unknown, wrote;
	uint64_t height; /* behind the last commit that was read */
};

static bool has_history(const struct replay *replay)
{
	return replay->id != VALORI_NONE || replay->key != NULL;
}

/* ---- where to begin and to end ---- */

/* What cannot be searched beforehand is judged commit by commit. */
static bool is_live(const struct replay *replay)
{
	return replay->is_stream || replay->follow;
}

static bool is_before(const struct replay *replay, const valori_commit_view *commit)
{
	const valori_when *from = &replay->from;

	if (from->kind == VALORI_WHEN_HEIGHT)
		return commit->first_event + commit->event_count <= from->value;
	if (from->kind == VALORI_WHEN_TIME && is_live(replay))
		return commit->time_ms <= from->value;
	return commit->number < replay->first_commit;
}

static bool is_after(const struct replay *replay, const valori_commit_view *commit)
{
	const valori_when *to = &replay->to;

	if (to->kind == VALORI_WHEN_LATEST)
		return false;
	if (!is_live(replay))
		return replay->last_commit == VALORI_NONE || commit->number > replay->last_commit;
	return to->kind == VALORI_WHEN_HEIGHT ? commit->first_event >= to->value
					      : commit->time_ms > to->value;
}

static int find(const struct replay *replay, const valori_when *when, uint64_t *out_commit)
{
	valori_error error;

	if (!is_live(replay))
		return valori_log_find(replay->log, when, out_commit, &error) == VALORI_OK
			       ? TOOL_OK
			       : tool_fail(&error);
	*out_commit = VALORI_NONE;
	if (when->kind == VALORI_WHEN_ROOT)
		return tool_trouble(TOOL_USAGE,
				    "%s: only a log that has an end can be searched for a state root",
				    replay->path);
	return TOOL_OK;
}

/* A moment that the log does not reach, or no longer holds, is said before anything is printed. */
static int find_bounds(struct replay *replay)
{
	const valori_when *from = &replay->from;
	uint64_t commit = VALORI_NONE;
	int status = TOOL_OK;

	if (from->kind == VALORI_WHEN_HEIGHT && from->value < replay->info.base_event)
		return tool_trouble(TOOL_UNKNOWABLE, "%s: history before event %llu was trimmed",
				    replay->path, (unsigned long long)replay->info.base_event);
	if (from->kind == VALORI_WHEN_ROOT || from->kind == VALORI_WHEN_TIME)
		status = find(replay, from, &commit);
	replay->first_commit = commit + 1; /* NONE + 1 is 0: from the first one on */
	if (status == TOOL_OK && replay->to.kind != VALORI_WHEN_LATEST)
		status = find(replay, &replay->to, &replay->last_commit);
	return status;
}

/* A seek jumps over what names and histories are made of: then the log is read from its base instead. */
static int skip_to_start(struct replay *replay)
{
	valori_error error;

	if (replay->from.kind != VALORI_WHEN_HEIGHT || replay->is_stream || has_history(replay) ||
	    replay->collection || !replay->as_log)
		return TOOL_OK;
	return valori_log_seek(replay->log, replay->from.value, &error) == VALORI_OK ? TOOL_OK
										     : tool_fail(&error);
}

/* The names of collections older than a trimmed log are in the store's snapshot; a stream has none. */
static void learn_older_names(struct replay *replay)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori *store = NULL;
	valori_view *view = NULL;

	if (replay->info.base_event == 0 || replay->is_stream || replay->as_log)
		return;
	options.flags = VALORI_READ | VALORI_NO_VECTORS;
	options.log = replay->path;
	options.archive = replay->archive;
	if (valori_open(&options, &store, NULL) == VALORI_OK &&
	    valori_view_open(store, &view, NULL) == VALORI_OK)
		known_learn_view(&replay->known, view);
	valori_view_close(view);
	valori_close(store, NULL);
}

/* ---- which events ---- */

static int compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_one_of(const struct replay *replay, uint64_t id)
{
	if (replay->key == NULL)
		return id == replay->id;
	return replay->ids_count != 0 &&
	       bsearch(&id, replay->ids, replay->ids_count, sizeof id, compare_ids) != NULL;
}

static bool is_in_collection(struct replay *replay, const valori_event *event)
{
	uint32_t id;
	size_t size;
	const char *name;

	if (replay->collection == NULL)
		return true;
	if (event->type == VALORI_EVENT_META_SET || event->type == VALORI_EVENT_META_DELETE ||
	    event->type == VALORI_EVENT_CONFIG)
		return false;
	if (!known_collection_of(&replay->known, event, &id)) {
		replay->others_unknown = true;
		return false;
	}
	name = known_collection(&replay->known, id, &size);
	return name != NULL && size == strlen(replay->collection) &&
	       memcmp(name, replay->collection, size) == 0;
}

/* Is the event part of the history asked for? Notes which records have had the key. */
static bool is_in_history(struct replay *replay, const valori_event *event)
{
	if (event->type < VALORI_EVENT_INSERT || event->type > VALORI_EVENT_SET_TAG)
		return false;
	if (event->type == VALORI_EVENT_INSERT && replay->key != NULL &&
	    event->key_size == strlen(replay->key) && memcmp(event->key, replay->key, event->key_size) == 0) {
		replay->ids =
			tool_grow(replay->ids, &replay->ids_room, replay->ids_count + 1, sizeof *replay->ids);
		replay->ids[replay->ids_count++] = event->id;
	}
	if (!is_one_of(replay, event->id))
		return false;
	replay->birth_seen |= event->type == VALORI_EVENT_INSERT;
	return true;
}

/* ---- printing ---- */

static int print_event(struct replay *replay, const valori_commit_view *commit, const valori_event *event)
{
	struct event_row row = {
		.event = event,
		.commit = commit,
		.known = &replay->known,
		.dim = replay->info.dim,
		.vectors = !replay->no_vectors,
		.says_dim = !replay->wrote,
	};

	known_learn(&replay->known, event);
	if (!is_in_collection(replay, event))
		return TOOL_OK;
	if (has_history(replay) && !is_in_history(replay, event))
		return TOOL_OK;
	if (is_before(replay, commit))
		return TOOL_OK;
	if (has_history(replay))
		row.root_before = &replay->root;
	if (tool_json)
		event_print_json(replay->out, &row);
	else
		event_print_line(replay->out, &row);
	replay->wrote = true;
	return ferror(replay->out) ? TOOL_SYSTEM : TOOL_OK;
}

static int print_commit(struct replay *replay, const valori_commit_view *commit)
{
	valori_event event;
	valori_error error;
	int status = TOOL_OK;

	for (uint32_t i = 0; i < commit->event_count && status == TOOL_OK; i++) {
		if (valori_log_event(replay->log, i, &event, &error) != VALORI_OK)
			return tool_fail(&error);
		status = print_event(replay, commit, &event);
	}
	return status;
}

static int write_header(struct replay *replay)
{
	uint8_t header[4096];
	valori_error error;

	if (valori_log_header(replay->log, header, &error) != VALORI_OK)
		return tool_fail(&error);
	fwrite(header, 1, sizeof header, replay->out);
	replay->wrote = true;
	return TOOL_OK;
}

static int write_commit(struct replay *replay, const valori_commit_view *commit)
{
	int status = TOOL_OK;

	if (is_before(replay, commit))
		return TOOL_OK;
	if (!replay->wrote)
		status = write_header(replay);
	if (status == TOOL_OK && fwrite(commit->bytes, 1, commit->size, replay->out) != commit->size)
		status = TOOL_SYSTEM; /* said at the end */
	return status;
}

static valori_code next_commit(struct replay *replay, valori_commit_view *out, valori_error *error)
{
	valori_code code;

	if (!replay->follow)
		return valori_log_next(replay->log, out, error);
	tool_wait_begin();
	code = valori_log_next(replay->log, out, error);
	tool_wait_end();
	return code;
}

static int replay_all(struct replay *replay)
{
	valori_commit_view commit;
	valori_error error;
	valori_code code = VALORI_OK;
	int status = TOOL_OK;

	replay->root = replay->info.base_root;
	replay->height = replay->info.base_event;
	while (status == TOOL_OK && !tool_stopped()) {
		code = next_commit(replay, &commit, &error);
		if (code != VALORI_OK || is_after(replay, &commit))
			break;
		status = replay->as_log ? write_commit(replay, &commit) : print_commit(replay, &commit);
		replay->root = commit.state_root;
		replay->height = commit.first_event + commit.event_count;
		if (tool_progress_due())
			tool_progress("%s: %llu events", replay->path, (unsigned long long)replay->height);
	}
	if (code != VALORI_OK && code != VALORI_END)
		return tool_fail(&error);
	if (code == VALORI_END && valori_log_torn_size(replay->log) != 0)
		tool_say("%s: %llu bytes after the last commit count for nothing", replay->path,
			 (unsigned long long)valori_log_torn_size(replay->log));
	return status;
}

/* What the answer lacks, after all that could be printed was printed. */
static int judge(struct replay *replay)
{
	bool is_trimmed = replay->info.base_event != 0;

	if (replay->to.kind == VALORI_WHEN_HEIGHT && replay->height < replay->to.value)
		return tool_trouble(TOOL_NO, "%s: ends at height %llu, before %llu", replay->path,
				    (unsigned long long)replay->height, (unsigned long long)replay->to.value);
	if ((has_history(replay) && !replay->birth_seen && is_trimmed) || replay->others_unknown)
		return tool_trouble(TOOL_UNKNOWABLE, "%s: history before event %llu was trimmed",
				    replay->path, (unsigned long long)replay->info.base_event);
	if (has_history(replay) && !replay->birth_seen && replay->key != NULL)
		return tool_trouble(TOOL_NO, "%s: no record with key %s", replay->path, replay->key);
	if (has_history(replay) && !replay->birth_seen)
		return tool_trouble(TOOL_NO, "%s: no record %llu", replay->path,
				    (unsigned long long)replay->id);
	return replay->as_log && !replay->wrote ? write_header(replay) : TOOL_OK;
}

/* ---- --state ---- */

static void print_state(FILE *file, const valori_info *info)
{
	char time[32], log_id[65], root[65], history[96];
	const struct tool_fact facts[] = {
		{"height", NULL, info->height},
		{"commits", NULL, info->commits},
		{"base_height", NULL, info->base_height},
		{"dim", NULL, info->dim},
		{"records", NULL, info->record_live},
		{"tombstones", NULL, info->record_tombstones},
		{"deleted", NULL, info->record_deleted},
		{"nodes", NULL, info->node_live},
		{"edges", NULL, info->edge_live},
		{"meta", NULL, info->meta_live},
		{"collections", NULL, info->collection_live},
		{"time", time, 0},
		{"log_id", log_id, 0},
		{"state_root", root, 0},
		{"history", history, 0},
	};

	tool_time(info->time_ms, time);
	valori_hash_format(&info->log_id, log_id);
	valori_hash_format(&info->state_root, root);
	tool_history(info->commits, &info->tree_root, history);
	tool_print_facts(file, facts, sizeof facts / sizeof *facts);
}

static int replay_state(const struct replay *replay)
{
	struct store_source source = {
		.log = replay->path,
		.archive = replay->archive,
		.flags = VALORI_NO_VECTORS,
		.at = replay->to,
	};
	valori_info info = {.size = sizeof info};
	valori_error error;
	valori *store;
	int status = store_open_read(&source, &store);

	if (status == TOOL_OK && valori_get_info(store, &info, &error) != VALORI_OK)
		status = tool_fail(&error);
	if (status == TOOL_OK)
		print_state(replay->out, &info);
	valori_close(store, NULL);
	return status;
}

static int replay_events(struct replay *replay)
{
	valori_code code;
	valori_error error;
	int status;

	replay->info.size = sizeof replay->info;
	if (replay->is_stream) {
		int fd = store_open_stream(replay->path, &replay->path);

		if (fd < 0)
			return TOOL_SYSTEM;
		code = valori_log_open_fd(fd, replay->path, &replay->log, &error);
	} else {
		code = valori_log_open(replay->path, replay->archive, replay->follow ? VALORI_LOG_FOLLOW : 0,
				       &replay->log, &error);
	}
	if (code != VALORI_OK)
		return tool_fail_open(replay->path, &error);
	if (valori_log_get_info(replay->log, &replay->info, &error) != VALORI_OK)
		return tool_fail(&error);
	status = find_bounds(replay);
	if (status == TOOL_OK)
		status = skip_to_start(replay);
	if (status == TOOL_OK) {
		learn_older_names(replay);
		status = replay_all(replay);
	}
	return status == TOOL_OK ? judge(replay) : status;
}

int main(int argc, char **argv)
{
	struct replay replay = {.path = "-", .id = VALORI_NONE};
	struct tool_output output = {0};
	const char *value, *output_path = "-";
	int status;

	for (int opt; (opt = tool_next(argc, argv, &value)) >= 0;)
		switch (opt) {
		case OPT_OUTPUT:
			output_path = value;
			replay.as_log = true;
			break;
		case OPT_FROM:
			replay.from = tool_when(value);
			break;
		case OPT_TO:
		case OPT_AT:
			replay.to = tool_when(value);
			break;
		case OPT_ID:
			replay.id = tool_number(value, 0, UINT64_MAX - 1);
			break;
		case OPT_KEY:
			replay.key = value;
			break;
		case OPT_COLLECTION:
			replay.collection = value;
			break;
		case OPT_NO_VECTORS:
			replay.no_vectors = true;
			break;
		case OPT_STATE:
			replay.state = true;
			break;
		case OPT_FOLLOW:
			replay.follow = true;
			break;
		case OPT_ARCHIVE:
			replay.archive = value;
			break;
		}
	if (argc - optind > 1)
		tool_usage("%s: one log at a time", argv[optind + 1]);
	if (argc > optind)
		replay.path = argv[optind];
	replay.is_stream = store_is_stream(replay.path);
	replay.as_log = replay.as_log && !tool_json && !replay.state;
	if (replay.as_log && (has_history(&replay) || replay.collection != NULL))
		tool_usage(
			"--output: a log stream has whole commits: --id, --key and --collection need --json");
	if (replay.id != VALORI_NONE && replay.key != NULL)
		tool_usage("--id and --key exclude each other");
	if (replay.state && (has_history(&replay) || replay.follow || replay.collection || replay.from.kind))
		tool_usage("--state goes with --to only");
	if (replay.follow && strcmp(output_path, "-") != 0)
		tool_usage("--follow: prints on standard output; a file would never be whole");
	if (argc == optind)
		tool_need_stdin();
	if (replay.key != NULL && replay.collection == NULL)
		replay.collection = "default"; /* keys are unique in a collection */
	if (replay.follow)
		tool_catch_stop();
	status = tool_output_open(&output, output_path);
	if (status == TOOL_OK) {
		replay.out = output.file;
		status = replay.state ? replay_state(&replay) : replay_events(&replay);
	}
	if (status == TOOL_OK || (replay.out != NULL && ferror(replay.out)))
		status = tool_output_commit(&output);
	tool_output_abandon(&output);
	valori_log_close(replay.log);
	known_free(&replay.known);
	free(replay.ids);
	return tool_finish(status);
}
