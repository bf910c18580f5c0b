/* valori-verify - proves that an event log, a snapshot, or both are what they should be. */
#include "store.h"
#include "upstream.h"
#include "verdict.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	OPT_EXPECT,
	OPT_EXPECTED_HASH,
	OPT_SNAPSHOT,
	OPT_ARCHIVE,
	OPT_AT,
	OPT_STRICT,
	OPT_REPORT,
	OPT_TRACE,
	OPT_BUILD_INDEX
};

static const struct tool_opt opts[] = {
	[OPT_EXPECT] = {'x', "expect", "HASH", NULL,
			"answer 1 unless the state root is HASH, or the history is tree:SIZE:HASH"},
	[OPT_EXPECTED_HASH] = {0, "expected-hash", "HASH", NULL, "the same as --expect"},
	[OPT_SNAPSHOT] = TOOL_OPT_SNAPSHOT,
	[OPT_ARCHIVE] = TOOL_OPT_ARCHIVE,
	[OPT_AT] = {0, "at", "WHEN", NULL, "verify up to this moment (a height, state root or time)"},
	[OPT_STRICT] = {0, "strict", NULL, NULL, "answer 8 when there was nothing to compare with"},
	[OPT_REPORT] = {0, "report", "FILE", NULL, "write the answer to FILE, too, as one JSON object"},
	[OPT_TRACE] = {0, "trace", NULL, NULL,
		       "print number, first event, event count, time, offset and state root of each commit"},
	[OPT_BUILD_INDEX] = {0, "build-index", NULL, NULL, "build the snapshot's index anew from the log, and compare"},
	{0},
};

const struct tool tool = {
	.name = "valori-verify",
	.synopsis =
		"[-qv] [--json] [-x HASH] [-s FILE] [--archive=DIR] [--at=WHEN] [--strict] [--report=FILE] "
		"[--trace] [--build-index] [LOG|SNAPSHOT|-]...",
	.summary = "Proves that an event log, a snapshot, or both are what they should be.",
	.opts = opts,
	.has = TOOL_JSON | TOOL_PROGRESS,
};

struct question {
	valori_verify_options options;
	const char *name, *expect;
	bool strict, trace, index;
};

static void parse_expect(struct question *question, const char *text)
{
	question->expect = text;
	if (!verdict_parse_expect(text, &question->options))
		tool_usage("--expect: %s: neither 64 hex digits nor tree:SIZE:HASH", text);
}

static void report_progress(void *context, uint64_t height)
{
	const struct question *question = context;

	if (tool_progress_due())
		tool_progress("%s: %llu events verified", question->name, (unsigned long long)height);
}

static void print_commit(void *context, const valori_commit_view *commit)
{
	struct tool_json json = {.file = stdout};
	char time[32], root[65];

	(void)context;
	tool_time(commit->time_ms, time);
	valori_hash_format(&commit->state_root, root);
	if (!tool_json) {
		printf("%llu\t%llu\t%u\t%s\t%llu\t%s\n", (unsigned long long)commit->number,
		       (unsigned long long)commit->first_event, commit->event_count, time,
		       (unsigned long long)commit->offset, root);
		return;
	}
	tool_json_begin(&json);
	tool_json_u64(&json, "commit", commit->number);
	tool_json_u64(&json, "first_event", commit->first_event);
	tool_json_u64(&json, "event_count", commit->event_count);
	tool_json_text(&json, "time", time);
	tool_json_u64(&json, "offset", commit->offset);
	tool_json_text(&json, "state_root", root);
	tool_json_end(&json);
}

/* The verdict in words for people and for programs, and the status to leave with. */
static int verdict_of(const struct question *question, const valori_verify_report *report,
		      const char **out_word)
{
	switch ((valori_verdict)report->verdict) {
	case VALORI_CONSISTENT:
		*out_word = "CONSISTENT (nothing to compare with was given)";
		return question->strict ? TOOL_UNKNOWABLE : TOOL_OK;
	case VALORI_VERIFIED_STATE:
		*out_word = "VERIFIED state against";
		return TOOL_OK;
	case VALORI_VERIFIED_HISTORY:
		*out_word = "VERIFIED history and state against";
		return TOOL_OK;
	case VALORI_TAMPERED:
		*out_word = "TAMPERED";
		return TOOL_NO;
	case VALORI_DIFFERS:
		*out_word = "DIFFERS from";
		return TOOL_NO;
	case VALORI_VERDICT_DAMAGED:
		*out_word = "DAMAGED";
		return TOOL_DAMAGED;
	case VALORI_INDETERMINATE:
		*out_word = "INDETERMINATE";
		return TOOL_UNKNOWABLE;
	}
	*out_word = "INDETERMINATE";
	return TOOL_UNKNOWABLE;
}

static void print_text(const struct question *question, const valori_verify_report *report, const char *word)
{
	bool verified =
		report->verdict == VALORI_VERIFIED_STATE || report->verdict == VALORI_VERIFIED_HISTORY;
	bool compared = verified || report->verdict == VALORI_DIFFERS;
	bool sound = compared || report->verdict == VALORI_CONSISTENT;
	char time[32], hash[65], history[96];

	printf("%s", word);
	if (compared)
		printf(" %s", question->expect);
	if (report->fault_event != VALORI_NONE)
		printf(" at event %llu", (unsigned long long)report->fault_event);
	printf("\n  object      %s\n", question->name);
	valori_hash_format(&report->log_id, hash);
	printf("  log id      %s\n", hash);
	if (report->base_height != 0)
		printf("  base        event %llu; what came before was trimmed\n",
		       (unsigned long long)report->base_height);
	printf("  %s %llu events in %llu commits", sound ? "height     " : "proven     ",
	       (unsigned long long)report->height, (unsigned long long)report->commits);
	if (report->commits != 0)
		printf(", the last at %s", tool_time(report->time_ms, time));
	valori_hash_format(&report->state_root, hash);
	printf("\n  state root  %s\n", hash);
	tool_history(report->commits, &report->tree_root, history);
	if (verdict_knows_history(report))
		printf("  history     %s\n", history);
	if (report->snapshot_used)
		printf("  snapshot    %s\n", report->snapshot_used == 1 ? "used as the base of the log"
									: "equal to the log at its commit");
	if (report->base_height != 0 && !report->snapshot_used && sound)
		printf("  note        %s\n", report->sentence);
	if (report->note[0] != '\0')
		printf("  note        %s\n", report->note);
	if (report->torn_size != 0)
		printf("  torn tail   %llu bytes after the last commit that count for nothing\n",
		       (unsigned long long)report->torn_size);
}

static int answer(const struct question *question, const valori_verify_report *report,
		  const char *report_path)
{
	struct tool_output output = {0};
	const char *word;
	int status = verdict_of(question, report, &word), written = TOOL_OK;

	if (tool_json)
		verdict_print_json(stdout, question->name, question->expect, report);
	else if (!tool_quiet)
		print_text(question, report, word);
	fflush(stdout); /* the verdict comes before the reason; what fails here is said at the end */
	if (status != TOOL_OK && report->sentence[0] != '\0')
		tool_trouble(status, "%s", report->sentence);
	if (report_path != NULL) {
		written = tool_output_open(&output, report_path);
		if (written == TOOL_OK) {
			verdict_print_json(output.file, question->name, question->expect, report);
			written = tool_output_commit(&output);
		}
	}
	return status != TOOL_OK ? status : written;
}

/* The index that a store opened like this has; its digest, too. */
static valori_code index_of(const valori_options *options, valori_index_info *info, valori_error *error)
{
	valori_view *view = NULL;
	valori *store;
	valori_code code = valori_open(options, &store, error);

	if (code != VALORI_OK)
		return code;
	code = valori_view_open(store, &view, error);
	if (code == VALORI_OK)
		code = valori_view_index(view, info, error);
	valori_view_close(view);
	valori_close(store, NULL);
	return code;
}

/*
 * Is the index of the snapshot the one that the log makes? An index can agree with its digest and with the state, and
 * be another one all the same.
 */
static void check_index(const struct question *question, valori_verify_report *report)
{
	const valori_verify_options *asked = &question->options;
	valori_options options = VALORI_OPTIONS_INIT;
	valori_index_info saved = {.size = sizeof saved}, made = {.size = sizeof made};
	long threads = sysconf(_SC_NPROCESSORS_ONLN);
	valori_error error = {0};
	valori_code code = VALORI_UNKNOWABLE;

	if (report->verdict == VALORI_TAMPERED || report->verdict == VALORI_VERDICT_DAMAGED ||
	    report->verdict == VALORI_INDETERMINATE)
		return;
	options.log = asked->path;
	options.snapshot = asked->snapshot;
	options.archive = asked->archive;
	options.flags = VALORI_READ | VALORI_INDEX_SAVED;
	if (asked->path == NULL || report->is_snapshot)
		snprintf(error.message, sizeof error.message, "it takes a log to build it from");
	else
		code = index_of(&options, &saved, &error);
	options.snapshot = "";
	options.flags = VALORI_READ | VALORI_INDEX;
	options.index_threads = threads > 0 ? (uint32_t)threads : 1;
	options.index_boundary = saved.boundary;
	options.at = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = saved.boundary};
	if (code == VALORI_OK)
		code = index_of(&options, &made, &error);
	if (code == VALORI_OK && made.kind != saved.kind) {
		options.index = saved.kind; /* of a process that wanted another than the log says */
		code = index_of(&options, &made, &error);
	}
	if (code == VALORI_OK && (made.since != saved.since || made.boundary != saved.boundary)) {
		code = VALORI_UNKNOWABLE;
		snprintf(error.message, sizeof error.message, "it began at event %llu, from the log it would at %llu",
			 (unsigned long long)saved.since, (unsigned long long)made.since);
	}
	if (code != VALORI_OK) {
		report->verdict = VALORI_INDETERMINATE;
		snprintf(report->sentence, sizeof report->sentence, "%s: index not compared: %s", question->name,
			 error.message);
	} else if (memcmp(&saved.digest, &made.digest, sizeof saved.digest) != 0) {
		report->verdict = VALORI_TAMPERED;
		snprintf(report->sentence, sizeof report->sentence,
			 "%s: the index of the snapshot is not the one that the log makes up to event %llu; the state "
			 "is sound; valori-snapshot -l %s --no-index leaves it out",
			 question->name, (unsigned long long)saved.boundary, question->name);
	} else {
		snprintf(report->note, sizeof report->note, "the index is the one that the log makes up to event %llu",
			 (unsigned long long)saved.boundary);
	}
}

/* Of files of the Rust system its own hashes are the measure. */
static int verify_upstream(const struct question *question, const char *path, const char *report_path)
{
	const valori_verify_options *options = &question->options;
	struct upstream_question asked = {.archive = options->archive,
					  .expect = question->expect,
					  .report_path = report_path,
					  .hash = options->expect,
					  .strict = question->strict,
					  .trace = question->trace};

	if (options->expect_kind == 2)
		tool_usage(
			"%s: a file of the Rust system: --expect takes its state hash or the head of its chain",
			path);
	if (options->at.kind != VALORI_WHEN_LATEST)
		tool_usage("%s: a file of the Rust system: --at does not apply", path);
	return upstream_verify(&asked, path);
}

static int verify(struct question *question, const char *path, const char *report_path)
{
	valori_verify_options *options = &question->options;
	valori_verify_report report = {.size = sizeof report};
	valori_error error;
	char *upstream = upstream_find(path);
	valori_code code;

	if (upstream != NULL) {
		int status = verify_upstream(question, upstream, report_path);

		free(upstream);
		return status;
	}
	question->name = path;
	options->path = path;
	options->fd = -1;
	if (store_is_stream(path)) {
		options->path = NULL;
		options->fd = store_open_stream(path, &question->name);
		if (options->fd < 0)
			return TOOL_SYSTEM;
	}
	options->name = question->name;
	options->trace = question->trace ? print_commit : NULL;
	options->progress = report_progress;
	options->context = question;
	code = valori_verify(options, &report, &error);
	if (options->fd > STDIN_FILENO)
		close(options->fd);
	if (code != VALORI_OK)
		return tool_fail_open(path, &error);
	if (question->index)
		check_index(question, &report);
	return answer(question, &report, report_path);
}

int main(int argc, char **argv)
{
	struct question question = {.options = VALORI_VERIFY_INIT};
	const char *value, *report = NULL;
	int status = TOOL_OK;

	for (int opt; (opt = tool_next(argc, argv, &value)) >= 0;)
		switch (opt) {
		case OPT_EXPECT:
		case OPT_EXPECTED_HASH:
			parse_expect(&question, value);
			break;
		case OPT_SNAPSHOT:
			question.options.snapshot = value;
			break;
		case OPT_ARCHIVE:
			question.options.archive = value;
			break;
		case OPT_AT:
			question.options.at = tool_when(value);
			break;
		case OPT_STRICT:
			question.strict = true;
			break;
		case OPT_REPORT:
			report = value;
			break;
		case OPT_TRACE:
			question.trace = true;
			break;
		case OPT_BUILD_INDEX:
			question.index = true;
			break;
		}
	if (argc - optind > 1 && (question.expect != NULL || report != NULL))
		tool_usage("--expect and --report go with one log or snapshot");
	if (argc == optind)
		tool_need_stdin();
	if (argc == optind)
		status = verify(&question, "-", report);
	for (int i = optind; i < argc; i++) {
		int one = verify(&question, argv[i], report);

		status = status != TOOL_OK ? status : one;
	}
	return tool_finish(status);
}
