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

/* The batch was refused: the row that only the store can refuse is left out if that was asked for. */
static int leave_out_row(struct ingest *run, const struct rows *rows, struct feed_batch *batch, valori_error *error)
{
	const struct feed_row *row;

	if (!run->feed.skip_bad || !is_row_fault(batch, error))
		return fail_commit(rows, batch, error);
	row = &batch->rows[error->event];
	valori_batch_skip(batch->ops, error->event);
	feed_blame(rows, row, error);
	tool_warn("%s", error->message);
	put_reject(run, batch, row);
	return TOOL_OK;
}

static bool has_ops(const struct feed_batch *batch)
{
	return batch->ops != NULL && valori_batch_count(batch->ops) != 0;
}

/* Commits a batch that has operations. Its ids are printed when they are durable, while the next one is committed. */
static int commit_batch(struct ingest *run, const struct rows *rows, struct ingest_answers *answers,
			struct feed_batch *batch)
{
	struct ingest_answer *answer = ingest_answer(answers, valori_batch_count(batch->ops));
	valori_error error;
	int status = TOOL_OK;

	if (answer == NULL)
		return TOOL_SYSTEM; /* the end of the answers says why */
	while (valori_commit(run->store, batch->ops, &answer->receipt, answer->ids, &error) != VALORI_OK) {
		/* After a sync that failed nothing can be committed, and that is what is to be said. */
		status = ingest_answers_wait(answers);
		if (status == TOOL_OK)
			status = leave_out_row(run, rows, batch, &error);
		if (status != TOOL_OK)
			return status;
	}
	for (size_t i = 0; i < answer->count; i++) {
		answer->rows[i] = batch->rows[i].number;
		if (batch->rows[i].number == VALORI_NONE)
			answer->ids[i] = VALORI_NONE;
	}
	ingest_answers_add(answers);
	return report_faults(run, batch);
}

/* What came without operations: faults to report, or the end. */
static int take_empty(struct ingest *run, const struct feed_batch *batch)
{
	int status = report_faults(run, batch);

	if (status != TOOL_OK || batch->code <= VALORI_END)
		return status;
	status = tool_fail(&batch->error);
	return batch->is_row_fault ? TOOL_USAGE : status;
}

/* A batch that ends in a fault is not committed. */
static bool is_committed(const struct feed_batch *batch)
{
	return has_ops(batch) && batch->code <= VALORI_END;
}

static int take_batch(struct ingest *run, const struct rows *rows, struct feed *feed, struct ingest_answers *answers,
		      struct feed_batch *batch)
{
	int status = TOOL_OK;

	if (!is_committed(batch))
		return take_empty(run, batch);
	if (run->store == NULL) {
		status = ingest_open(run, batch->dim);
		feed_set_store(feed, run->store);
		if (status == TOOL_OK)
			status = ingest_configure(run);
	}
	return status == TOOL_OK ? commit_batch(run, rows, answers, batch) : status;
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
static int feed_rows(struct ingest *run, struct rows *rows, struct feed *feed, struct ingest_answers *answers,
		     bool *is_over)
{
	int status = TOOL_OK;

	*is_over = false;
	while (status == TOOL_OK && !*is_over && ingest_stopped == 0 && !ingest_answers_have_failed(answers)) {
		struct feed_batch *batch = feed_take(feed, 100);

		if (tool_progress_due())
			tool_progress("%s: %llu rows committed", rows_name(rows),
				      (unsigned long long)ingest_answers_rows(answers));
		if (batch == NULL)
			continue;
		*is_over = batch->code != VALORI_OK;
		status = take_batch(run, rows, feed, answers, batch);
		feed_return(feed, batch);
	}
	feed_halt(feed);
	return status;
}

int ingest_rows(struct ingest *run, const char *path, struct rows *rows)
{
	struct feed *feed;
	struct ingest_answers *answers;
	valori_error error;
	bool is_over;
	int status = TOOL_OK, answered;

	if (run->feed.dim != 0)
		rows_set_dim(rows, run->feed.dim);
	if (run->store != NULL)
		status = ingest_configure(run);
	if (run->resume && status == TOOL_OK)
		status = look_up_source(run, path, rows);
	answers = status == TOOL_OK ? ingest_answers_start(run) : NULL;
	if (status == TOOL_OK && answers == NULL)
		status = TOOL_SYSTEM;
	if (status == TOOL_OK && feed_start(rows, &run->feed, run->store, &feed, &error) != VALORI_OK) {
		(void)ingest_answers_end(answers);
		status = tool_fail(&error);
	}
	if (status != TOOL_OK) {
		rows_close(rows);
		return status;
	}
	status = feed_rows(run, rows, feed, answers, &is_over);
	answered = ingest_answers_end(answers);
	if (status == TOOL_OK || answered != TOOL_OK)
		status = answered;
	if (!is_over) {
		run->left_behind = feed;
		return status;
	}
	run->repeated += feed_rows_skipped(feed);
	feed_free(feed);
	rows_close(rows);
	return status;
}
