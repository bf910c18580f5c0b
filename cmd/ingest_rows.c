/* ingest_rows.c - rows into commits, and their ids onto standard output. */
#include "ingest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- one batch ---- */

static void put_reject(struct ingest *run, const struct feed_batch *batch, const struct feed_row *row)
{
	struct slice source = feed_source(batch, row);

	run->skipped++;
	if (run->rejects == NULL)
		return;
	if (source.text == NULL)
		fprintf(run->rejects, "%llu", (unsigned long long)row->number);
	else
		fwrite(source.text, 1, source.size, run->rejects);
	putc('\n', run->rejects);
}

/* The rows that were left out, in their order, and the file of them on its way to the disk. */
static int report_faults(struct ingest *run, const struct feed_batch *batch)
{
	for (size_t i = 0; i < batch->fault_count; i++) {
		tool_warn("%s", batch->faults[i].error.message);
		put_reject(run, batch, &batch->faults[i].row);
	}
	if (run->rejects != NULL && fflush(run->rejects) != 0)
		return tool_trouble(TOOL_SYSTEM, "%s: %s", run->rejects_path, strerror(errno));
	return TOOL_OK;
}

/* Is it a row of the batch that cannot be taken, rather than the store that cannot take any? */
static bool is_row_fault(const struct feed_batch *batch, const valori_error *error)
{
	if (error->event >= valori_batch_count(batch->ops) || batch->rows[error->event].number == VALORI_NONE)
		return false;
	return (error->code >= VALORI_INVALID && error->code <= VALORI_NOT_FOUND) || error->code == VALORI_NEWER;
}

static int fail_commit(const struct rows *rows, const struct feed_batch *batch, valori_error *error)
{
	bool is_row = is_row_fault(batch, error);
	int status;

	if (error->event < valori_batch_count(batch->ops) && batch->rows[error->event].number != VALORI_NONE)
		feed_blame(rows, &batch->rows[error->event], error);
	status = tool_fail(error);
	return is_row ? TOOL_USAGE : status;
}

/* Commits the batch; rows that only the store can refuse are left out if that was asked for. */
static int commit_batch(struct ingest *run, const struct rows *rows, struct feed_batch *batch, valori_receipt *receipt)
{
	size_t count = valori_batch_count(batch->ops);
	valori_error error;

	if (count > run->ids_capacity) {
		free(run->ids);
		run->ids_capacity = 2 * count;
		run->ids = tool_alloc(run->ids_capacity, sizeof(*run->ids));
	}
	while (valori_commit(run->store, batch->ops, receipt, run->ids, &error) != VALORI_OK) {
		const struct feed_row *row;

		if (!run->feed.skip_bad || !is_row_fault(batch, &error))
			return fail_commit(rows, batch, &error);
		row = &batch->rows[error.event];
		valori_batch_skip(batch->ops, error.event);
		feed_blame(rows, row, &error);
		tool_warn("%s", error.message);
		put_reject(run, batch, row);
	}
	if (receipt->commit != VALORI_NONE) {
		run->commits++;
		run->events += receipt->event_count;
	}
	return TOOL_OK;
}

static void print_id(uint64_t id)
{
	char digits[24], *p = digits + sizeof(digits);

	*--p = '\n';
	do
		*--p = (char)('0' + id % 10);
	while ((id /= 10) != 0);
	fwrite(p, 1, (size_t)(digits + sizeof(digits) - p), stdout);
}

static void print_answer(const struct ingest *run, const struct feed_row *row, uint64_t id,
			 const valori_receipt *receipt)
{
	struct tool_json json = {.file = stdout};

	if (run->dry_run)
		return;
	if (!tool_json) {
		print_id(id);
		return;
	}
	tool_json_begin(&json);
	tool_json_u64(&json, "id", id);
	tool_json_u64(&json, "row", row->number);
	if (receipt->commit != VALORI_NONE)
		tool_json_u64(&json, "commit", receipt->commit);
	tool_json_end(&json);
}

/* An id on standard output is the acknowledgement: it is printed when its commit is durable, and flushed. */
static int answer_batch(struct ingest *run, const struct feed_batch *batch, const valori_receipt *receipt)
{
	size_t count = valori_batch_count(batch->ops);

	for (size_t i = 0; i < count; i++) {
		if (batch->rows[i].number == VALORI_NONE || run->ids[i] == VALORI_NONE)
			continue;
		print_answer(run, &batch->rows[i], run->ids[i], receipt);
		run->rows++;
	}
	if (fflush(stdout) == 0)
		return TOOL_OK;
	if (errno == EPIPE)
		ingest_stopped = SIGPIPE;
	return TOOL_SYSTEM; /* tool_finish says so */
}

static int take_batch(struct ingest *run, struct rows *rows, struct feed *feed, struct feed_batch *batch)
{
	valori_receipt receipt;
	int status = TOOL_OK;

	if (batch->code > VALORI_END) {
		report_faults(run, batch);
		status = tool_fail(&batch->error);
		return batch->is_row_fault ? TOOL_USAGE : status;
	}
	if (batch->ops != NULL && valori_batch_count(batch->ops) != 0) {
		if (run->store == NULL) {
			status = ingest_open(run, batch->dim);
			if (status != TOOL_OK)
				return status;
			feed_set_store(feed, run->store);
		}
		status = commit_batch(run, rows, batch, &receipt);
	}
	if (status == TOOL_OK)
		status = report_faults(run, batch);
	if (status == TOOL_OK && batch->ops != NULL && valori_batch_count(batch->ops) != 0)
		status = answer_batch(run, batch, &receipt);
	return status;
}

/* ---- one input ---- */

/* Request ids, and how many rows have them already. */
static int look_up_source(struct ingest *run, const char *path, const struct rows *rows)
{
	valori_error error;

	valori_request_prefix(run->source != NULL ? run->source : path, rows_format_name(rows_format(rows)),
			      run->prefix);
	run->feed.source_prefix = run->prefix;
	run->feed.rows_done = 0;
	if (run->store != NULL &&
	    valori_requests_find(run->store, run->prefix, &run->feed.rows_done, &error) != VALORI_OK)
		return tool_fail(&error);
	return TOOL_OK;
}

/* *is_over: the feeder came to the end of its rows, or gave them up; otherwise it goes on reading. */
static int feed_rows(struct ingest *run, struct rows *rows, struct feed *feed, bool *is_over)
{
	struct feed_batch *batch;
	int status = TOOL_OK;

	*is_over = false;
	while (status == TOOL_OK && !*is_over && ingest_stopped == 0) {
		batch = feed_take(feed, 100);
		if (tool_progress_due())
			tool_progress("%s: %llu rows committed", rows_name(rows), (unsigned long long)run->rows);
		if (batch == NULL)
			continue;
		*is_over = batch->code != VALORI_OK;
		status = take_batch(run, rows, feed, batch);
		feed_return(feed, batch);
	}
	feed_halt(feed);
	return status;
}

int ingest_rows(struct ingest *run, const char *path, struct rows *rows)
{
	struct feed *feed;
	valori_error error;
	bool is_over;
	int status = TOOL_OK;

	if (run->feed.dim != 0)
		rows_set_dim(rows, run->feed.dim);
	if (run->resume)
		status = look_up_source(run, path, rows);
	if (status == TOOL_OK && feed_start(rows, &run->feed, run->store, &feed, &error) != VALORI_OK)
		status = tool_fail(&error);
	if (status != TOOL_OK) {
		rows_close(rows);
		return status;
	}
	status = feed_rows(run, rows, feed, &is_over);
	if (!is_over) {
		run->left_behind = feed;
		return status;
	}
	run->repeated += feed_rows_skipped(feed);
	feed_free(feed);
	rows_close(rows);
	return status;
}
