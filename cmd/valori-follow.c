/* valori-follow - keeps a copy of another node's log, or prints it as it grows. */
#include "events.h"
#include "follow.h"
#include "store.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_LOG,
	OPT_OUTPUT,
	OPT_ONCE,
	OPT_FROM,
	OPT_CHECK,
	OPT_EXPECT,
	OPT_EXPECTED_HASH,
	OPT_NO_VECTORS,
	OPT_COMMIT_MAX,
	OPT_TOKEN_FILE
};

static const struct tool_opt opts[] = {
	[OPT_LOG] = TOOL_OPT_LOG,
	[OPT_OUTPUT] = {'o', "output", "FILE", NULL,
			"keep no store: write a log stream to FILE, or the events with --json"},
	[OPT_ONCE] = {0, "once", NULL, NULL, "leave when all is here that the leader has now"},
	[OPT_FROM] = {0, "from", "WHEN", NULL, "with -o: begin after this height"},
	[OPT_CHECK] = {0, "check", NULL, NULL, "only compare the store with the leader; say where they differ"},
	[OPT_EXPECT] = {'x', "expect", "HASH", NULL,
			"answer 1 unless the state root is HASH, or the history is tree:SIZE:HASH"},
	[OPT_EXPECTED_HASH] = {0, "expected-hash", "HASH", NULL, "the same"},
	[OPT_NO_VECTORS] = {0, "no-vectors", NULL, NULL, "leave the vectors out of --json"},
	[OPT_COMMIT_MAX] = {0, "commit-max", "SIZE", NULL, "refuse a commit that is longer (1G)"},
	[OPT_TOKEN_FILE] = {0, "token-file", "FILE", NULL, "the leader's token (VALORI_AUTH_TOKEN)"},
	{0},
};

const struct tool tool = {
	.name = "valori-follow",
	.synopsis = "[-qv] [--json] [-l PATH] [-o FILE] [--once] [--from=WHEN] [--check] [-x HASH] "
		    "[--commit-max=SIZE] [--token-file=FILE] [URL|-]",
	.summary = "Keeps a copy of another node's log, or prints it as it grows.",
	.opts = opts,
	.has = TOOL_JSON | TOOL_PROGRESS,
};

static struct follow follow = {.fd = STDIN_FILENO, .name = "standard input", .options = VALORI_OPTIONS_INIT};
static struct tool_output output;
static struct known known;
static bool no_vectors, wrote;
static const char *expect;

/* ---- what is done with commits ---- */

/* -o: a log stream as valori-replay writes it, or events. */
static int print_header(void *context, valori_log *log)
{
	uint8_t header[4096];

	(void)context;
	if (tool_json || wrote || valori_log_header(log, header, NULL) != VALORI_OK)
		return TOOL_OK;
	wrote = true;
	fwrite(header, 1, sizeof(header), output.file);
	return fflush(output.file) == 0 ? TOOL_OK : TOOL_SYSTEM;
}

static int print_commit(void *context, valori_log *log, const valori_commit_view *commit)
{
	valori_error error;

	(void)context;
	if (!tool_json) {
		fwrite(commit->bytes, 1, commit->size, output.file);
		return ferror(output.file) ? TOOL_SYSTEM : TOOL_OK;
	}
	for (uint32_t i = 0; i < commit->event_count; i++) {
		valori_event event;
		struct event_row row = {
			.event = &event,
			.commit = commit,
			.known = &known,
			.dim = follow.at.dim,
			.vectors = !no_vectors,
			.says_dim = !wrote,
		};

		if (valori_log_event(log, i, &event, &error) != VALORI_OK)
			return tool_fail(&error);
		known_learn(&known, &event);
		event_print_json(output.file, &row);
		wrote = true;
	}
	return ferror(output.file) ? TOOL_SYSTEM : TOOL_OK;
}

static int flush_output(void *context, const valori_commit_view *commit)
{
	(void)context;
	(void)commit;
	return fflush(output.file) == 0 ? TOOL_OK : TOOL_SYSTEM;
}

/* -l: what is durable is said, as valori-ingest -f log says it. */
static int say_commit(void *context, const valori_commit_view *commit)
{
	struct tool_json json = {.file = stdout};
	uint64_t height = commit->first_event + commit->event_count;

	(void)context;
	if (tool_progress_due())
		tool_progress("%s: height %llu", follow.log, (unsigned long long)height);
	if (!tool_json)
		return TOOL_OK;
	tool_json_begin(&json);
	tool_json_u64(&json, "commit", commit->number);
	tool_json_u64(&json, "height", height);
	tool_json_hash(&json, "state_root", &commit->state_root);
	tool_json_end(&json);
	return fflush(stdout) == 0 ? TOOL_OK : TOOL_SYSTEM;
}

static void warn(void *context, const char *line)
{
	(void)context;
	tool_warn("%s", line);
}

static int note_store(void *context)
{
	valori_info info = {.size = sizeof(info)};

	(void)context;
	if (valori_get_info(follow.store, &info, NULL) == VALORI_OK && info.notes[0] != 0)
		tool_warn("%s", info.notes);
	return TOOL_OK;
}

/* ---- --expect ---- */

static int judge(void)
{
	char root[65], tree[96];

	if (!follow.has_position)
		return tool_trouble(TOOL_NO, "%s: nothing has come", follow.name);
	valori_hash_format(&follow.at.state_root, root);
	tool_history(follow.at.commits, &follow.at.tree_root, tree);
	if (strcmp(expect, root) == 0 || strcmp(expect, tree) == 0)
		return TOOL_OK;
	return tool_trouble(TOOL_NO, "%s: has the state root %s and the history %s", follow.name, root, tree);
}

static void check_expect(void)
{
	const char *hash = strncmp(expect, "tree:", 5) == 0 ? strchr(expect + 5, ':') : NULL;
	valori_hash parsed;

	if (valori_hash_parse(hash != NULL ? hash + 1 : expect, &parsed) != VALORI_OK)
		tool_usage("--expect: %s: not a state root, and not tree:SIZE:HASH", expect);
}

/* ---- --check ---- */

static int check(void)
{
	struct follow_check found;
	int status = follow_check(&follow, &found);
	struct tool_json json = {.file = stdout};

	if (status != TOOL_OK && found.commit == VALORI_NONE && !found.is_same)
		return tool_trouble(status, "%s", found.sentence);
	if (tool_json) {
		tool_json_begin(&json);
		tool_json_bool(&json, "same", status == TOOL_OK);
		tool_json_u64(&json, "height", found.height);
		tool_json_u64(&json, "leader_height", found.leader_height);
		if (found.commit != VALORI_NONE) {
			tool_json_u64(&json, "commit", found.commit);
			tool_json_hash(&json, "tree_root", &found.here);
			tool_json_hash(&json, "leader_tree_root", &found.there);
		}
		if (found.event != VALORI_NONE)
			tool_json_u64(&json, "event", found.event);
		if (found.record != VALORI_NONE)
			tool_json_u64(&json, "record", found.record);
		tool_json_u64(&json, "questions", found.questions);
		tool_json_text(&json, "sentence", found.sentence);
		tool_json_end(&json);
	} else if (status == TOOL_OK) {
		tool_say("%s", found.sentence);
	}
	return status == TOOL_OK || tool_json ? status : tool_trouble(status, "%s", found.sentence);
}

/* ---- the run ---- */

static void on_signal(int number)
{
	(void)number;
	follow_stop(&follow);
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int run(void)
{
	valori_error error;
	int status = follow_run(&follow);

	if (follow.fault[0] != 0 && status != TOOL_OK)
		tool_trouble(status, "%s", follow.fault);
	else if (status == TOOL_OK && expect != NULL)
		status = judge();
	if (follow.has_position) {
		char root[65];

		valori_hash_format(&follow.at.state_root, root);
		tool_say("%llu events in %llu commits; height %llu, state root %s", (unsigned long long)follow.events,
			 (unsigned long long)follow.commits, (unsigned long long)follow.at.height, root);
	}
	if (valori_close(follow.store, &error) != VALORI_OK && status <= TOOL_NO)
		status = tool_fail(&error);
	return status;
}

int main(int argc, char **argv)
{
	const char *value, *output_path = NULL, *token = getenv("VALORI_AUTH_TOKEN"), *leader = "-";
	bool is_check = false, has_from = false;
	char message[512];
	valori_when when;
	int status;

	for (int opt; (opt = tool_next(argc, argv, &value)) >= 0;)
		switch (opt) {
		case OPT_LOG: follow.log = value; break;
		case OPT_OUTPUT: output_path = value; break;
		case OPT_ONCE: follow.once = true; break;
		case OPT_FROM:
			when = tool_when(value);
			if (when.kind != VALORI_WHEN_HEIGHT)
				tool_usage("--from: %s: must be a height", value);
			follow.from = when.value;
			has_from = true;
			break;
		case OPT_CHECK: is_check = true; break;
		case OPT_EXPECT:
		case OPT_EXPECTED_HASH: expect = value; break;
		case OPT_NO_VECTORS: no_vectors = true; break;
		case OPT_COMMIT_MAX: follow.commit_max = tool_size(value, 4096, (uint64_t)1 << 30); break;
		case OPT_TOKEN_FILE: token = tool_read_token(value); break;
		default: break;
		}
	if (argc - optind > 1)
		tool_usage("%s: one leader only", argv[optind + 1]);
	if (optind < argc)
		leader = argv[optind];
	if (output_path != NULL)
		follow.log = NULL;
	else if (follow.log == NULL)
		tool_usage("-l or -o: where to?");
	if (has_from && output_path == NULL)
		tool_usage("--from: a store knows where it goes on; only -o can begin anywhere");
	if (output_path != NULL && strcmp(output_path, "-") != 0 && !follow.once && strcmp(leader, "-") != 0)
		tool_usage("-o: a file would never be whole: say --once, or write to standard output");
	if (expect != NULL)
		check_expect();
	if (strcmp(leader, "-") == 0) {
		if (is_check)
			tool_usage("--check: asks a leader: name its URL");
		if (optind == argc)
			tool_need_stdin();
	} else {
		follow.leader = client_new(leader, token, message, sizeof(message));
		if (follow.leader == NULL)
			tool_usage("%s", message);
		follow.name = client_url(follow.leader);
	}
	status = follow_init(&follow);
	if (status != TOOL_OK)
		return tool_finish(status);
	if (output_path == NULL) {
		catch_signals();
		follow.flushed = say_commit;
		follow.opened = note_store;
	} else {
		status = tool_output_open(&output, output_path);
		follow.begun = print_header;
		follow.take = print_commit;
		follow.flushed = flush_output;
	}
	follow.trouble = warn;
	if (status == TOOL_OK)
		status = is_check ? check() : run();
	if (output_path != NULL && status == TOOL_OK)
		status = tool_output_commit(&output);
	tool_output_abandon(&output);
	known_free(&known);
	client_free(follow.leader);
	follow_free(&follow);
	return tool_finish(status);
}
