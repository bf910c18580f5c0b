/* ingest.c - the store of a run, and the signals that end it. */
#include "ingest.h"

#include <string.h>
#include <unistd.h>

/* ---- signals ---- */

volatile sig_atomic_t ingest_stopped;
static volatile sig_atomic_t waiting;
static const char *volatile waiting_text;

static void on_signal(int number)
{
	const char *text = waiting_text;

	ingest_stopped = number;
	if (!waiting)
		return;
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		waiting = 0; /* nobody listens */
	signal(number, SIG_DFL);
	raise(number); /* takes effect when this handler returns */
}

void ingest_catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

void ingest_wait_begin(const char *text)
{
	waiting_text = text;
	waiting = 1;
}

void ingest_wait_end(void)
{
	waiting = 0;
}

/* ---- the store ---- */

int ingest_open(struct ingest *run, uint32_t dim)
{
	valori_options options = run->options;
	valori_info info = {.size = sizeof(info)};
	valori_error error;

	/* What was asked for holds for the ids, and they wait for a flush. */
	run->flushes = options.sync == VALORI_SYNC_ALWAYS && !run->upstream;
	if (run->flushes)
		options.sync = VALORI_SYNC_NONE;
	if (dim != 0) {
		options.dim = dim;
		options.flags |= run->dry_run ? 0 : VALORI_CREATE;
	}
	if (valori_open(&options, &run->store, &error) != VALORI_OK) {
		if (error.code != VALORI_NOT_FOUND)
			return tool_fail(&error);
		if (dim == 0)
			return TOOL_OK; /* the first row decides */
		/* What does not exist yet cannot be written to without being made: rehearsed in memory. */
		options.log = NULL;
		options.flags = VALORI_REHEARSE | VALORI_NO_VECTORS;
		if (valori_open(&options, &run->store, &error) != VALORI_OK)
			return tool_fail(&error);
	}
	if (valori_get_info(run->store, &info, NULL) == VALORI_OK) {
		run->feed.dim = info.dim;
		if (info.notes[0] != '\0')
			tool_warn("%s", info.notes);
	}
	return TOOL_OK;
}

int ingest_configure(struct ingest *run)
{
	valori_batch *batch = NULL;
	valori_view *view = NULL;
	valori_receipt receipt;
	valori_error error;
	valori_code code = VALORI_OK;

	if (run->config_count == 0)
		return TOOL_OK;
	code = valori_view_open(run->store, &view, &error);
	if (code == VALORI_OK)
		code = valori_batch_new(run->feed.dim, &batch, &error);
	for (size_t i = 0; i < run->config_count && code == VALORI_OK; i++) {
		const valori_op op = {.kind = VALORI_OP_CONFIG,
				      .tag = run->config[i].parameter,
				      .target = {.id = run->config[i].value}};
		uint64_t value;

		/* Said again, it would begin nothing anew, but be one more commit. */
		if (valori_config_get(view, run->config[i].parameter, &value, NULL) != VALORI_OK ||
		    value != run->config[i].value)
			code = valori_batch_add(batch, &op, &error);
	}
	valori_view_close(view);
	if (code == VALORI_OK && valori_batch_count(batch) > 0) {
		code = valori_commit(run->store, batch, &receipt, NULL, &error);
		if (code == VALORI_OK) {
			run->commits++;
			run->events += receipt.event_count;
		}
	}
	valori_batch_free(batch);
	run->config_count = 0;
	return code == VALORI_OK ? TOOL_OK : tool_fail(&error);
}

int ingest_close(struct ingest *run, int status)
{
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	valori_code known, closed;
	char root[65];

	if (run->store == NULL)
		return status;
	known = valori_get_info(run->store, &info, NULL);
	closed = valori_close(run->store, &error);
	run->store = NULL;
	if (known == VALORI_OK && ingest_stopped != 0)
		tool_trouble(status, "stopped by a signal: %llu rows are committed; height %llu",
			     (unsigned long long)run->rows, (unsigned long long)info.height);
	/* A height and a root are said of what is on the disk only. */
	if (known == VALORI_OK && closed == VALORI_OK) {
		valori_hash_format(&info.state_root, root);
		tool_say("%llu events in %llu commits%s; height %llu, state root %s", (unsigned long long)run->events,
			 (unsigned long long)run->commits, run->dry_run ? ", rehearsed" : "",
			 (unsigned long long)info.height, root);
	}
	return closed != VALORI_OK && status <= TOOL_NO ? tool_fail(&error) : status;
}
