/* valori-ingest - appends rows to a store as durable events. */
#include "ingest.h"
#include "input.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OPT_LOG,
	OPT_SNAPSHOT,
	OPT_DIM,
	OPT_FORMAT,
	OPT_TAG,
	OPT_COLLECTION,
	OPT_CREATE,
	OPT_BATCH,
	OPT_SYNC,
	OPT_DRY_RUN,
	OPT_SKIP_BAD,
	OPT_REJECTS,
	OPT_RESUME,
	OPT_SOURCE,
	OPT_ERASABLE,
	OPT_RENUMBER,
	OPT_RECORDS_MAX,
	OPT_SEGMENT_SIZE,
	OPT_INDEX,
	OPT_HNSW_M,
	OPT_HNSW_EF_CONSTRUCTION,
	OPT_HNSW_EF_SEARCH,
	OPT_IVF_LISTS,
	OPT_IVF_PROBES
};

static const struct tool_opt opts[] = {
	[OPT_LOG] = TOOL_OPT_LOG,
	[OPT_SNAPSHOT] = TOOL_OPT_SNAPSHOT,
	[OPT_DIM] = TOOL_OPT_DIM,
	[OPT_FORMAT] = {'f', "format", "FORMAT", NULL, "ndjson fvecs bvecs npy f32 i32 csv log upstream (recognised)"},
	[OPT_TAG] = {'t', "tag", "N", NULL, "tag of rows that have none (0)"},
	[OPT_COLLECTION] = TOOL_OPT_COLLECTION,
	[OPT_CREATE] = {0, "create", NULL, NULL, "make collections that are not there"},
	[OPT_BATCH] = {0, "batch", "N", NULL, "rows per commit (1000); 8 MiB end one, too"},
	[OPT_SYNC] = {0, "sync", "MODE", NULL, "always, batch:COMMITS,MS or none (always)"},
	[OPT_DRY_RUN] = {'n', "dry-run", NULL, NULL, "check everything, change nothing"},
	[OPT_SKIP_BAD] = {0, "skip-bad", NULL, NULL, "leave unacceptable rows out and go on"},
	[OPT_REJECTS] = {0, "rejects", "FILE", NULL, "write the rows left out to FILE"},
	[OPT_RESUME] = {0, "resume", NULL, NULL, "leave out the rows that an earlier run committed"},
	[OPT_SOURCE] = {0, "source", "NAME", NULL, "name of the input for --resume (the operand)"},
	[OPT_ERASABLE] = {0, "erasable", NULL, NULL, "salt the content, so that it can be erased one day"},
	[OPT_RENUMBER] = {0, "renumber", NULL, NULL, "take the events of a log stream as new ones"},
	[OPT_RECORDS_MAX] = {0, "records-max", "N", "VALORI_MAX_RECORDS", "hold at most N records"},
	[OPT_SEGMENT_SIZE] = {0, "segment-size", "SIZE", "VALORI_EVENT_LOG_ROTATION_BYTES",
			      "begin a new file of the log at this size (256M)"},
	[OPT_INDEX] = {'i', "index", "KIND", "VALORI_INDEX", "record the kind of index: auto brute hnsw ivf (auto)"},
	[OPT_HNSW_M] = {0, "hnsw-m", "N", "VALORI_HNSW_M", "record how many links its graph has (16)"},
	[OPT_HNSW_EF_CONSTRUCTION] = {0, "hnsw-ef-construction", "N", "VALORI_HNSW_EF_CONSTRUCTION",
				      "... how many candidates are weighed (100)"},
	[OPT_HNSW_EF_SEARCH] = {0, "hnsw-ef-search", "N", "VALORI_HNSW_EF_SEARCH",
				"... how many a search keeps (128)"},
	[OPT_IVF_LISTS] = {0, "ivf-lists", "N", "VALORI_IVF_LISTS", "record how many inverted lists it has (0: root)"},
	[OPT_IVF_PROBES] = {0, "ivf-probes", "N", "VALORI_IVF_PROBES", "... how many a search looks at (0: root)"},
	{0},
};

const struct tool tool = {
	.name = "valori-ingest",
	.synopsis =
		"[-nqv] [--json] [-l PATH] [-d N] [-f FORMAT] [-t N] [-c NAME] [--create] [--batch=N] [--sync=MODE] "
		"[--skip-bad] [--rejects=FILE] [--resume] [--source=NAME] [--erasable] [--renumber] [-s FILE] "
		"[--records-max=N] [--segment-size=SIZE] [-i KIND] [--hnsw-m=N] [--hnsw-ef-construction=N] "
		"[--hnsw-ef-search=N] [--ivf-lists=N] [--ivf-probes=N] [FILE|-]...",
	.summary = "Appends rows to a store as durable events, and prints the id of each.",
	.opts = opts,
	.has = TOOL_JSON | TOOL_PROGRESS,
};

static bool is_stream(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

static int ingest_log_at(struct ingest *run, const char *path)
{
	int fd, status;

	if (strcmp(path, "-") == 0)
		return ingest_log(run, path, STDIN_FILENO);
	if (!is_stream(path))
		return ingest_log(run, path, -1);
	fd = input_descriptor(path);
	if (fd < 0)
		return tool_trouble(TOOL_SYSTEM, "%s: %s", path, strerror(errno));
	status = ingest_log(run, path, fd);
	close(fd);
	return status;
}

static int ingest(struct ingest *run, const char *path)
{
	struct rows *rows;
	valori_error error;
	valori_code code;
	int fd, status;

	if (run->format == ROWS_LOG)
		return ingest_log_at(run, path);
	/* A pipe may stay empty for long. */
	ingest_wait_begin("valori-ingest: stopped by a signal\n");
	code = rows_open(path, run->format, run->feed.dim, &rows, &error);
	ingest_wait_end();
	if (code != VALORI_OK)
		return tool_fail(&error);
	if (rows_format(rows) != ROWS_LOG)
		return ingest_rows(run, path, rows);
	if (strcmp(path, "-") != 0 && !is_stream(path)) {
		rows_close(rows);
		return ingest_log_at(run, path);
	}
	status = rows_stream(rows, &fd, &error) == VALORI_OK ? ingest_log(run, path, fd) : tool_fail(&error);
	/* Otherwise the stream may not have come to its end, which the program does not wait for. */
	if (status == TOOL_OK && ingest_stopped == 0)
		rows_close(rows);
	return status;
}

static void ask_for(struct ingest *run, uint32_t parameter, uint64_t value)
{
	run->config[run->config_count].parameter = parameter;
	run->config[run->config_count++].value = value;
}

/* always, none, or batch:COMMITS,MS */
static void parse_sync(valori_options *options, const char *value)
{
	char commits[24];
	size_t length = strcspn(value, ",");
	uint64_t number;

	if (strcmp(value, "always") == 0) {
		options->sync = VALORI_SYNC_ALWAYS;
		return;
	}
	if (strcmp(value, "none") == 0) {
		options->sync = VALORI_SYNC_NONE;
		return;
	}
	if (strncmp(value, "batch:", 6) != 0 || value[length] != ',' || length - 6 >= sizeof(commits))
		tool_usage("--sync: %s: not always, none or batch:COMMITS,MS", value);
	memcpy(commits, value + 6, length - 6);
	commits[length - 6] = '\0';
	if (!tool_parse_u64(commits, &number) || number < 1 || number > 1000000)
		tool_usage("--sync: %s: commits are not in 1...1000000", value);
	options->sync = VALORI_SYNC_BATCH;
	options->sync_commits = (uint32_t)number;
	if (!tool_parse_u64(value + length + 1, &number) || number < 1 || number > 60000)
		tool_usage("--sync: %s: milliseconds are not in 1...60000", value);
	options->sync_ms = (uint32_t)number;
}

/* Files that bring their own ids, tags and collections, and are read from a disk. */
static void check_upstream(const struct ingest *run, int argc, char **argv)
{
	if (run->resume || run->renumber || run->rejects_path != NULL || run->feed.collection != NULL ||
	    run->feed.tag != 0)
		tool_usage("-f upstream goes without --resume, --renumber, --rejects, --collection and --tag");
	if (argc == optind)
		tool_usage("-f upstream needs a file");
	for (int i = optind; i < argc; i++)
		if (strcmp(argv[i], "-") == 0)
			tool_usage("-f upstream needs a file, and standard input is none");
}

static void parse(struct ingest *run, int argc, char **argv)
{
	const char *value, *index = NULL;
	uint64_t m = 0, ef_construction = 0, ef_search = 0, lists = UINT64_MAX, probes = UINT64_MAX;

	for (int opt; (opt = tool_next(argc, argv, &value)) >= 0;)
		switch (opt) {
		case OPT_LOG:
			run->options.log = value;
			break;
		case OPT_SNAPSHOT:
			run->options.snapshot = value;
			break;
		case OPT_DIM:
			run->options.dim = (uint32_t)tool_number(value, 1, VALORI_DIM_MAX);
			break;
		case OPT_FORMAT:
			run->format = rows_format_find(value);
			run->upstream = strcmp(value, "upstream") == 0;
			if (run->format == ROWS_UNKNOWN && !run->upstream)
				tool_usage("--format: %s: not one of ndjson fvecs bvecs npy f32 i32 csv log upstream",
					   value);
			break;
		case OPT_TAG:
			run->feed.tag = tool_number(value, 0, UINT64_MAX);
			break;
		case OPT_COLLECTION:
			run->feed.collection = value;
			break;
		case OPT_CREATE:
			run->feed.create = true;
			break;
		case OPT_BATCH:
			run->feed.batch_rows = (uint32_t)tool_number(value, 1, 1000000);
			break;
		case OPT_SYNC:
			parse_sync(&run->options, value);
			break;
		case OPT_DRY_RUN:
			run->dry_run = true;
			break;
		case OPT_SKIP_BAD:
			run->feed.skip_bad = true;
			break;
		case OPT_REJECTS:
			run->rejects_path = value;
			break;
		case OPT_RESUME:
			run->resume = true;
			break;
		case OPT_SOURCE:
			run->source = value;
			break;
		case OPT_ERASABLE:
			run->feed.erasable = true;
			break;
		case OPT_RENUMBER:
			run->renumber = true;
			break;
		case OPT_RECORDS_MAX:
			run->options.records_max = tool_number(value, 1, UINT32_MAX - 1);
			break;
		case OPT_SEGMENT_SIZE:
			run->options.segment_size = tool_size(value, 4096, UINT64_C(1) << 50);
			break;
		case OPT_INDEX:
			index = value;
			break;
		case OPT_HNSW_M:
			m = tool_number(value, 2, 256);
			break;
		case OPT_HNSW_EF_CONSTRUCTION:
			ef_construction = tool_number(value, 1, VALORI_EF_MAX);
			break;
		case OPT_HNSW_EF_SEARCH:
			ef_search = tool_number(value, 1, VALORI_EF_MAX);
			break;
		case OPT_IVF_LISTS:
			lists = tool_number(value, 0, 1048576);
			break;
		case OPT_IVF_PROBES:
			probes = tool_number(value, 0, 1048576);
			break;
		}
	if (index != NULL)
		ask_for(run, VALORI_CONFIG_INDEX, store_index_kind(index));
	if (m != 0)
		ask_for(run, VALORI_CONFIG_HNSW_M, m);
	if (ef_construction != 0)
		ask_for(run, VALORI_CONFIG_HNSW_EF_CONSTRUCTION, ef_construction);
	if (ef_search != 0)
		ask_for(run, VALORI_CONFIG_HNSW_EF_SEARCH, ef_search);
	if (lists != UINT64_MAX)
		ask_for(run, VALORI_CONFIG_IVF_LISTS, lists);
	if (probes != UINT64_MAX)
		ask_for(run, VALORI_CONFIG_IVF_PROBES, probes);
	/* Nothing here searches: roots need the digests of vectors, not the vectors. */
	run->options.flags = VALORI_NO_VECTORS | (run->dry_run ? VALORI_REHEARSE : VALORI_WRITE);
	run->feed.keep_sources = run->rejects_path != NULL;
	if (run->options.log == NULL)
		tool_usage("-l PATH is needed: the store (see %s --help)", tool.name);
	if (run->rejects_path != NULL && !run->feed.skip_bad)
		tool_usage("--rejects goes with --skip-bad");
	if (run->source != NULL && !run->resume)
		tool_usage("--source goes with --resume");
	if (run->source != NULL && argc - optind > 1)
		tool_usage("--source names one input, and there are %d", argc - optind);
	if (run->upstream)
		check_upstream(run, argc, argv);
	else if (argc == optind)
		tool_need_stdin();
}

static int start(struct ingest *run)
{
	valori_view *view;
	uint32_t id;
	valori_error error;
	int status = ingest_open(run, run->options.dim);

	if (status != TOOL_OK)
		return status;
	if (run->feed.collection != NULL && !run->feed.create && run->store != NULL) {
		if (valori_view_open(run->store, &view, &error) != VALORI_OK)
			return tool_fail(&error);
		if (valori_collection_find(view, run->feed.collection, strlen(run->feed.collection), &id, &error) !=
		    VALORI_OK)
			status = tool_trouble(TOOL_USAGE, "collection %s: is not there; --create makes it",
					      run->feed.collection);
		valori_view_close(view);
	}
	/* What an earlier run rejected stays: its rows are not read again. */
	if (status == TOOL_OK && run->rejects_path != NULL && !run->dry_run) {
		run->rejects = fopen(run->rejects_path, run->resume ? "a" : "w");
		if (run->rejects == NULL)
			status = tool_trouble(TOOL_SYSTEM, "%s: %s", run->rejects_path, strerror(errno));
	}
	return status;
}

int main(int argc, char **argv)
{
	static struct ingest run = {.options = VALORI_OPTIONS_INIT,
				    .feed = {.batch_rows = 1000, .batch_size = 8 << 20}};
	static char output[1 << 16]; /* ids come by the thousand, and are flushed when they have to be */
	int status;

	setvbuf(stdout, output, _IOFBF, sizeof(output));
	parse(&run, argc, argv);
	ingest_catch_signals();
	status = start(&run);
	if (run.upstream && status == TOOL_OK)
		status = ingest_upstream(&run, (const char *const *)argv + optind, (size_t)(argc - optind));
	else if (argc == optind && status == TOOL_OK)
		status = ingest(&run, "-");
	for (int i = optind; i < argc && !run.upstream && status == TOOL_OK && ingest_stopped == 0; i++)
		status = ingest(&run, argv[i]);
	if (run.repeated != 0)
		tool_say("%llu rows were committed before", (unsigned long long)run.repeated);
	if (run.skipped != 0)
		tool_warn("%llu rows were left out", (unsigned long long)run.skipped);
	if (run.rejects != NULL && fclose(run.rejects) != 0 && status <= TOOL_NO)
		status = tool_trouble(TOOL_SYSTEM, "%s: %s", run.rejects_path, strerror(errno));
	status = ingest_close(&run, status);
	if (ingest_stopped != 0) {
		signal(ingest_stopped, SIG_DFL);
		raise(ingest_stopped);
	}
	return tool_finish(status);
}
