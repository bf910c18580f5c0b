/* valori-snapshot - writes the state of a store as one file; checks, trims and restores with it. */
#include "store.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_LOG,
	OPT_SNAPSHOT,
	OPT_OUTPUT,
	OPT_AT,
	OPT_IF_NEWER,
	OPT_INFO,
	OPT_VERIFY,
	OPT_TRIM,
	OPT_ARCHIVE,
	OPT_RESTORE,
	OPT_DRY_RUN,
	OPT_THREADS,
	OPT_NO_INDEX
};

static const struct tool_opt opts[] = {
	[OPT_LOG] = TOOL_OPT_LOG,
	[OPT_SNAPSHOT] = TOOL_OPT_SNAPSHOT,
	[OPT_OUTPUT] = {'o', "output", "FILE", NULL,
			"write to FILE rather than to the snapshot; - is standard output"},
	[OPT_AT] = {0, "at", "WHEN", NULL, "the state at this moment (a height, state root or time)"},
	[OPT_IF_NEWER] = {0, "if-newer", NULL, NULL,
			  "answer 1 and write nothing when the snapshot has all the log has"},
	[OPT_INFO] = {0, "info", NULL, NULL, "print what the header of the snapshot says"},
	[OPT_VERIFY] = {0, "verify", NULL, NULL, "check every byte of the snapshot, up to the state root"},
	[OPT_TRIM] = {0, "trim", NULL, NULL, "then remove the segments of the log that the snapshot covers"},
	[OPT_ARCHIVE] = {0, "archive", "DIR", NULL,
			 "with --trim: move them to DIR; else: look for older segments there"},
	[OPT_RESTORE] = {0, "restore", NULL, NULL,
			 "begin the store anew from the snapshot (-s - is standard input)"},
	[OPT_DRY_RUN] = {'n', "dry-run", NULL, NULL, "check everything, change nothing"},
	[OPT_THREADS] = {0, "threads", "N", NULL, "build the index with N threads (1); its bytes stay the same"},
	[OPT_NO_INDEX] = {0, "no-index", NULL, NULL, "leave the index out"},
	{0},
};

const struct tool tool = {
	.name = "valori-snapshot",
	.synopsis =
		"[-nqv] [--json] [-l PATH] [-s FILE] [-o FILE] [--at=WHEN] [--if-newer] [--trim] "
		"[--archive=DIR] [--info] [--verify] [--restore] [--threads=N] [--no-index]",
	.summary = "Writes the state of a store as one file; checks, trims and restores with it.",
	.opts = opts,
	.has = TOOL_JSON,
};

struct work {
	const char *log, *output, *archive;
	char *snapshot; /* the file that -s names, or the one beside the log */
	bool snapshot_named, if_newer, info, verify, trim, restore, dry_run, no_index;
	uint32_t threads;
	bool is_up_to_date; /* found so with --if-newer */
	valori_when at;
};

/* The index that lies in the file; size stays 0 when there is none. */
static valori_index_info index_of(const char *path)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_index_info info = {.size = sizeof info};
	valori_view *view = NULL;
	valori *store;

	options.flags = VALORI_INDEX_SAVED;
	options.snapshot = path;
	if (valori_open(&options, &store, NULL) != VALORI_OK)
		return (valori_index_info){0};
	if (valori_view_open(store, &view, NULL) != VALORI_OK || valori_view_index(view, &info, NULL) != VALORI_OK)
		info.size = 0;
	valori_view_close(view);
	valori_close(store, NULL);
	return info;
}

static void print_info(const char *path, const valori_snapshot_info *info)
{
	static const char *const kinds[] = {"auto", "brute", "hnsw", "ivf"};
	char time[32], log_id[65], root[65], history[96], digest[65];
	const valori_index_info index = index_of(path);
	const struct tool_fact facts[] = {
		{"snapshot", path, 0},
		{"height", NULL, info->height},
		{"commits", NULL, info->commits},
		{"dim", NULL, info->dim},
		{"records", NULL, info->record_live},
		{"nodes", NULL, info->node_live},
		{"edges", NULL, info->edge_live},
		{"meta", NULL, info->meta_live},
		{"collections", NULL, info->collection_live},
		{"size", NULL, info->file_size},
		{"format_version", NULL, info->version},
		{"time", time, 0},
		{"log_id", log_id, 0},
		{"state_root", root, 0},
		{"history", history, 0},
		{"index", index.kind < 3 ? kinds[index.kind] : "", 0},
		{"index_graph", index.has_graph ? "yes" : "no", 0},
		{"index_since", NULL, index.since},
		{"index_boundary", NULL, index.boundary},
		{"index_rows", NULL, index.rows},
		{"index_digest", digest, 0},
	};
	const size_t of_index = 6;

	tool_time(info->time_ms, time);
	valori_hash_format(&info->log_id, log_id);
	valori_hash_format(&info->state_root, root);
	tool_history(info->commits, &info->tree_root, history);
	valori_hash_format(&index.digest, digest);
	tool_print_facts(stdout, facts, sizeof facts / sizeof *facts - (index.size != 0 ? 0 : of_index));
}

static int look(const struct work *work)
{
	valori_snapshot_info info = {.size = sizeof info};
	valori_error error;
	valori_code code;

	if (work->verify)
		code = valori_snapshot_check(work->snapshot, &info, &error);
	else
		code = valori_snapshot_read(work->snapshot, &info, &error);
	if (code != VALORI_OK)
		return tool_fail_open(work->snapshot, &error);
	if (work->info || tool_json)
		print_info(work->snapshot, &info);
	if (work->verify)
		tool_say("%s: sound: %llu events", work->snapshot, (unsigned long long)info.height);
	return TOOL_OK;
}

static int restore(const struct work *work)
{
	valori_snapshot_info info = {.size = sizeof info};
	valori_error error;
	char root[65];

	if (work->dry_run)
		return look(&(struct work){.snapshot = work->snapshot, .verify = true});
	if (valori_restore(work->log, work->snapshot, &info, &error) != VALORI_OK)
		return tool_fail_open(work->snapshot, &error);
	valori_hash_format(&info.state_root, root);
	tool_say("%s: restored at height %llu, state root %s", work->log, (unsigned long long)info.height,
		 root);
	if (tool_json)
		print_info(work->snapshot, &info);
	return TOOL_OK;
}

static int trim(const struct work *work)
{
	valori_trim_result result = {0};
	valori_error error;
	struct tool_json json = {.file = stdout};

	if (valori_trim(work->log, work->snapshot, work->archive, work->dry_run, &result, &error) !=
	    VALORI_OK)
		return tool_fail_open(work->snapshot, &error);
	tool_say("%s: %llu segments, %llu bytes %s; the log now begins at event %llu", work->log,
		 (unsigned long long)result.segments, (unsigned long long)result.bytes,
		 work->dry_run   ? "would go"
		 : work->archive ? "moved"
				 : "removed",
		 (unsigned long long)result.base_height);
	if (tool_json) {
		tool_json_begin(&json);
		tool_json_u64(&json, "trimmed_segments", result.segments);
		tool_json_u64(&json, "trimmed_bytes", result.bytes);
		tool_json_u64(&json, "base_height", result.base_height);
		tool_json_bool(&json, "dry_run", work->dry_run);
		tool_json_end(&json);
	}
	return TOOL_OK;
}

/* Does the snapshot that is there hold everything that the store holds? */
static bool is_covered(const struct work *work, const valori_info *store)
{
	valori_snapshot_info info = {.size = sizeof info};

	return valori_snapshot_read(work->snapshot, &info, NULL) == VALORI_OK &&
	       memcmp(&info.log_id, &store->log_id, sizeof info.log_id) == 0 &&
	       info.commits >= store->commits;
}

/* It may be all that is left of that log: only who names it as output may replace it. */
static bool is_of_another_log(const struct work *work, const valori_info *store)
{
	valori_snapshot_info info = {.size = sizeof info};

	return work->output == NULL && valori_snapshot_read(work->snapshot, &info, NULL) == VALORI_OK &&
	       memcmp(&info.log_id, &store->log_id, sizeof info.log_id) != 0;
}

static int write_view(const struct work *work, valori_view *view)
{
	const char *path = work->output ? work->output : work->snapshot;
	valori_snapshot_info info = {.size = sizeof info};
	valori_error error;
	char root[65];

	if (work->dry_run) {
		tool_say("%s: would be written", path);
		return TOOL_OK;
	}
	if (valori_snapshot_write(view, path, &info, &error) != VALORI_OK)
		return tool_fail(&error);
	valori_hash_format(&info.state_root, root);
	tool_say("%s: %llu events, %llu bytes, state root %s", path, (unsigned long long)info.height,
		 (unsigned long long)info.file_size, root);
	if (tool_json && strcmp(path, "-") != 0)
		print_info(path, &info);
	return TOOL_OK;
}

static int write_snapshot(struct work *work)
{
	struct store_source source = {.log = work->log,
				      .archive = work->archive,
				      .at = work->at,
				      .flags = work->no_index ? 0 : VALORI_INDEX,
				      .index = {.threads = work->threads}};
	valori_info info = {.size = sizeof info};
	valori_view *view = NULL;
	valori *store;
	valori_error error;
	int status;

	if (work->snapshot_named && access(work->snapshot, F_OK) == 0)
		source.snapshot = work->snapshot;
	status = store_open_read(&source, &store);
	if (status != TOOL_OK)
		return status;
	if (valori_view_open(store, &view, &error) != VALORI_OK ||
	    valori_view_info(view, &info, &error) != VALORI_OK)
		status = tool_fail(&error);
	else if (work->if_newer && (work->is_up_to_date = is_covered(work, &info)))
		status = TOOL_NO;
	else if (is_of_another_log(work, &info))
		status = tool_trouble(TOOL_NO, "%s: is the snapshot of another log, and stays as it is",
				      work->snapshot);
	else
		status = write_view(work, view);
	valori_view_close(view);
	valori_close(store, NULL);
	return status;
}

static void check_usage(const struct work *work)
{
	bool writes = !work->restore && !work->info && !work->verify;

	if (work->restore + (work->info || work->verify) + work->trim > 1)
		tool_usage("--restore, --trim, and --info or --verify are different jobs");
	if (!writes && (work->output != NULL || work->at.kind != VALORI_WHEN_LATEST || work->if_newer))
		tool_usage("--output, --at and --if-newer are for writing a snapshot");
	if (work->trim && work->output != NULL)
		tool_usage("--trim goes by the snapshot of the store: name it with --snapshot, not --output");
	if (work->log == NULL && (writes || work->restore))
		tool_usage("--log: missing: which store?");
	if (work->snapshot == NULL)
		tool_usage("--snapshot: missing: which file?");
	if (strcmp(work->snapshot, "-") == 0 && !work->restore)
		tool_usage("--snapshot: -: only --restore reads a stream; --output=- writes one");
	if (strcmp(work->snapshot, "-") == 0 && work->dry_run)
		tool_usage("--dry-run: a stream cannot be read twice: save it and use --verify");
	if (strcmp(work->snapshot, "-") == 0)
		tool_need_stdin();
}

int main(int argc, char **argv)
{
	struct work work = {0};
	const char *value, *snapshot = NULL;
	int status;

	for (int opt; (opt = tool_next(argc, argv, &value)) >= 0;)
		switch (opt) {
		case OPT_LOG:
			work.log = value;
			break;
		case OPT_SNAPSHOT:
			snapshot = value;
			break;
		case OPT_OUTPUT:
			work.output = value;
			break;
		case OPT_AT:
			work.at = tool_when(value);
			break;
		case OPT_IF_NEWER:
			work.if_newer = true;
			break;
		case OPT_INFO:
			work.info = true;
			break;
		case OPT_VERIFY:
			work.verify = true;
			break;
		case OPT_TRIM:
			work.trim = true;
			break;
		case OPT_ARCHIVE:
			work.archive = value;
			break;
		case OPT_RESTORE:
			work.restore = true;
			break;
		case OPT_DRY_RUN:
			work.dry_run = true;
			break;
		case OPT_THREADS:
			work.threads = (uint32_t)tool_number(value, 1, 1024);
			break;
		case OPT_NO_INDEX:
			work.no_index = true;
			break;
		}
	if (argc > optind)
		tool_usage("%s: no operands are taken: --log names the store, --snapshot the file",
			   argv[optind]);
	work.snapshot_named = snapshot != NULL;
	if (snapshot != NULL)
		work.snapshot = strdup(snapshot);
	else if (work.log != NULL)
		work.snapshot = store_beside(work.log, "snapshot.val");
	check_usage(&work);
	if (work.restore)
		status = restore(&work);
	else if (work.info || work.verify)
		status = look(&work);
	else
		status = write_snapshot(&work);
	/* With --if-newer there may be nothing to write and still something to trim. */
	if (work.trim && (status == TOOL_OK || work.is_up_to_date))
		status = trim(&work);
	free(work.snapshot);
	return tool_finish(status);
}
