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
static int answer_batch(struct ingest *run, const struct feed_batch *batch, const uint64_t *ids,
			const valori_receipt *receipt)
{
	size_t count = valori_batch_count(batch->ops);

	if (receipt->commit != VALORI_NONE) {
		run->commits++;
		run->events += receipt->event_count;
	}
	for (size_t i = 0; i < count; i++) {
		if (batch->rows[i].number == VALORI_NONE || ids[i] == VALORI_NONE)
			continue;
		print_answer(run, &batch->rows[i], ids[i], receipt);
		run->rows++;
	}
	if (fflush(stdout) == 0)
		return TOOL_OK;
	if (errno == EPIPE)
		ingest_stopped = SIGPIPE;
	return TOOL_SYSTEM; /* tool_finish says so */
}

static bool has_ops(const struct feed_batch *batch)
{
	return batch->ops != NULL && valori_batch_count(batch->ops) != 0;
}

/* ---- several batches, each a commit, with one sync ---- */

struct group {
	struct feed_batch *batches[FEED_SLOTS];
	size_t count;
};

/* Room for the ids of all batches; ids[i] is where those of batch i go. */
static void place_ids(struct ingest *run, const struct group *group, uint64_t *ids[FEED_SLOTS])
{
	size_t count = 0;

	for (size_t i = 0; i < group->count; i++)
		count += valori_batch_count(group->batches[i]->ops);
	if (count > run->ids_capacity) {
		free(run->ids);
		run->ids_capacity = 2 * count;
		run->ids = tool_alloc(run->ids_capacity, sizeof(*run->ids));
	}
	count = 0;
	for (size_t i = 0; i < group->count; i++) {
		ids[i] = run->ids + count;
		count += valori_batch_count(group->batches[i]->ops);
	}
}

/* Commits batches that all have operations, in order. */
static int commit_group(struct ingest *run, const struct rows *rows, const struct group *group)
{
	valori_batch *ops[FEED_SLOTS];
	valori_receipt receipts[FEED_SLOTS];
	uint64_t *ids[FEED_SLOTS];
	size_t done, first = 0;
	int status = TOOL_OK;

	place_ids(run, group, ids);
	for (size_t i = 0; i < group->count; i++)
		ops[i] = group->batches[i]->ops;
	while (status == TOOL_OK && first < group->count) {
		valori_error error;
		valori_code code = valori_commit_many(run->store, ops + first, group->count - first, receipts,
						      ids + first, &done, &error);

		for (size_t i = 0; status == TOOL_OK && i < done; i++) {
			status = report_faults(run, group->batches[first + i]);
			if (status == TOOL_OK)
				status = answer_batch(run, group->batches[first + i], ids[first + i], &receipts[i]);
		}
		first += done;
		if (code != VALORI_OK && status == TOOL_OK)
			status = leave_out_row(run, rows, group->batches[first], &error);
	}
	return status;
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

/* Commits batch and what is ready behind it. *is_over: the feeder has no more. */
static int take_batches(struct ingest *run, struct rows *rows, struct feed *feed, struct feed_batch *batch,
			bool *is_over)
{
	struct group group = {.count = 0};
	struct feed_batch *last;
	int status = TOOL_OK;

	if (is_committed(batch) && run->store == NULL) {
		status = ingest_open(run, batch->dim);
		feed_set_store(feed, run->store);
	}
	while (batch != NULL && is_committed(batch)) {
		group.batches[group.count++] = batch;
		*is_over = batch->code != VALORI_OK;
		batch = group.count < FEED_SLOTS && !*is_over ? feed_take(feed, 0) : NULL;
	}
	last = batch;
	if (status == TOOL_OK)
		status = commit_group(run, rows, &group);
	if (last != NULL) {
		*is_over = last->code != VALORI_OK;
		if (status == TOOL_OK)
			status = take_empty(run, last);
		feed_return(feed, last);
	}
	for (size_t i = 0; i < group.count; i++)
		feed_return(feed, group.batches[i]);
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
		status = take_batches(run, rows, feed, batch, is_over);
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
