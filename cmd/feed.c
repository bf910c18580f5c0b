/* feed.c - a thread that gathers rows into batches. */
#include "feed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "names.h"

enum { FEED_FAULTS_MAX = 4096 /* in one batch: so many messages are kept at most */ };

enum slot_state { SLOT_FREE, SLOT_FULL, SLOT_TAKEN };

struct feed {
	struct rows *rows;
	struct feed_options options;
	pthread_t thread;

	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum slot_state states[FEED_SLOTS];
	valori *store;
	bool halted;

	/* of the caller */
	unsigned take;

	/* of the feeder */
	struct feed_batch slots[FEED_SLOTS];
	unsigned fill;
	struct row row;
	bool pending;  /* row was read, and waits for a collection */
	bool creating; /* its collection was asked for already */
	bool checking; /* row is compared with what an earlier run committed */
	bool barrier;  /* go on only when all batches were returned */
	struct names names;
	char cached[VALORI_NAME_MAX + 1]; /* the collection looked up last */
	uint32_t cached_id;
	bool is_cached;
	uint64_t skipped;
};

/* ---- what the caller sees of rows ---- */

struct slice feed_source(const struct feed_batch *batch, const struct feed_row *row)
{
	if (row->source_size == 0)
		return (struct slice){0};
	return (struct slice){batch->sources + row->source, row->source_size};
}

void feed_blame(const struct rows *rows, const struct feed_row *row, valori_error *error)
{
	struct row place = {.number = row->number, .line = row->line};

	rows_blame(rows, &place, error);
}

uint64_t feed_rows_skipped(const struct feed *feed)
{
	return feed->skipped;
}

/* ---- filling a batch ---- */

static valori_code no_memory(struct feed *feed, valori_error *error)
{
	return rows_fail(feed->rows, &feed->row, error, VALORI_NO_MEMORY, "no memory for its batch");
}

/* Makes room for one more of count elements. */
static bool grow(void *array, size_t *capacity, size_t count, size_t element)
{
	size_t wanted = *capacity == 0 ? 64 : *capacity;
	void *larger;

	while (wanted < count + 1)
		wanted *= 2;
	if (wanted == *capacity)
		return true;
	memcpy(&larger, array, sizeof(larger));
	larger = realloc(larger, wanted * element);
	if (larger == NULL)
		return false;
	memcpy(array, &larger, sizeof(larger));
	*capacity = wanted;
	return true;
}

/* What is kept of the current row. */
static bool keep_row(struct feed *feed, struct feed_batch *batch, struct feed_row *out)
{
	struct slice source = feed->row.source;

	*out = (struct feed_row){.number = feed->row.number, .line = feed->row.line};
	if (!feed->options.keep_sources || source.text == NULL || source.size == 0)
		return true;
	if (!grow(&batch->sources, &batch->sources_capacity, batch->sources_size + source.size, 1))
		return false;
	memcpy(batch->sources + batch->sources_size, source.text, source.size);
	out->source = batch->sources_size;
	out->source_size = source.size;
	batch->sources_size += source.size;
	return true;
}

static size_t ops_count(const struct feed_batch *batch)
{
	return batch->ops != NULL ? valori_batch_count(batch->ops) : 0;
}

static bool is_row_fault(valori_code code)
{
	return code == VALORI_INVALID || code == VALORI_DIMENSION || code == VALORI_RANGE || code == VALORI_DUPLICATE ||
	       code == VALORI_TOO_LONG || code == VALORI_CONFLICT || code == VALORI_NOT_FOUND;
}

/* The current row cannot be taken. OK when it is skipped, else the batch ends with this error. */
static valori_code refuse_row(struct feed *feed, struct feed_batch *batch, const valori_error *error)
{
	struct feed_fault fault = {.before = ops_count(batch), .error = *error};

	batch->is_row_fault = is_row_fault((valori_code)error->code);
	/* A conflict is about the whole input: it is not the one that was committed. */
	if (batch->is_row_fault && error->code != VALORI_CONFLICT && feed->options.skip_bad &&
	    rows_can_go_on(feed->rows)) {
		batch->is_row_fault = false;
		if (!grow(&batch->faults, &batch->faults_capacity, batch->fault_count, sizeof(fault)) ||
		    !keep_row(feed, batch, &fault.row))
			return no_memory(feed, &batch->error);
		batch->faults[batch->fault_count++] = fault;
		return VALORI_OK;
	}
	batch->error = *error;
	return (valori_code)error->code;
}

static valori_code find_in_store(struct feed *feed, struct slice name, valori_error *error)
{
	valori_view *view;
	valori_code code = VALORI_NOT_FOUND;

	/* The store of the caller goes away only after it said halt, which waits for the lock. */
	pthread_mutex_lock(&feed->lock);
	if (feed->store != NULL && !feed->halted) {
		code = valori_view_open(feed->store, &view, error);
		if (code == VALORI_OK) {
			code = valori_collection_find(view, name.text, name.size, &feed->cached_id, error);
			valori_view_close(view);
		}
	} else if (name.size == 7 && memcmp(name.text, "default", 7) == 0) {
		feed->cached_id = 0; /* the one that a new store has */
		code = VALORI_OK;
	}
	pthread_mutex_unlock(&feed->lock);
	return code;
}

/* The row's collection as a number. END: it is to be made first. */
static valori_code resolve_collection(struct feed *feed, valori_op *op, valori_error *error)
{
	struct slice name = feed->row.collection;
	char quoted[48];
	valori_code code;

	if (feed->row.has_collection)
		return VALORI_OK;
	if (name.text == NULL && feed->options.collection != NULL)
		name = (struct slice){feed->options.collection, strlen(feed->options.collection)};
	if (name.text == NULL)
		return VALORI_OK;
	if (feed->is_cached && strlen(feed->cached) == name.size && memcmp(feed->cached, name.text, name.size) == 0) {
		op->collection = feed->cached_id;
		return VALORI_OK;
	}
	code = name.size <= VALORI_NAME_MAX ? find_in_store(feed, name, error) : VALORI_NOT_FOUND;
	if (code == VALORI_OK) {
		memcpy(feed->cached, name.text, name.size);
		feed->cached[name.size] = 0;
		feed->is_cached = true;
		op->collection = feed->cached_id;
	}
	if (code != VALORI_NOT_FOUND)
		return code;
	if (feed->options.create && !feed->creating && op->kind != VALORI_OP_COLLECTION_DROP)
		return VALORI_END;
	return rows_fail(feed->rows, &feed->row, error, VALORI_NOT_FOUND, "collection '%s': is not there%s",
			 rows_quote(name, quoted), feed->options.create ? "" : "; --create makes it");
}

/* In place of a row that is not read again, what it made: the library finds out from the log what that was. */
static valori_code put_stand_in(struct feed *feed, struct feed_batch *batch, bool is_record, uint64_t *out_index,
				valori_error *error)
{
	valori_op op = {.kind = is_record ? VALORI_OP_INSERT : VALORI_OP_NODE_CREATE, .dim = feed->options.dim};
	void *zeros = calloc(op.dim, sizeof(int32_t));
	valori_code code;

	if (zeros == NULL)
		return no_memory(feed, error);
	op.vector = zeros;
	*out_index = valori_batch_count(batch->ops);
	code = valori_batch_add(batch->ops, &op, error);
	free(zeros);
	return code;
}

/* A reference by name becomes one to an operation of the batch. */
static valori_code resolve_ref(struct feed *feed, struct feed_batch *batch, struct slice name, valori_ref *ref,
			       const char *what, valori_error *error)
{
	char quoted[48];

	if (name.text == NULL)
		return VALORI_OK;
	ref->kind = VALORI_REF_OP;
	if (feed->checking)
		return put_stand_in(feed, batch, strcmp(what, "record") == 0, &ref->id, error);
	if (names_find(&feed->names, name, &ref->id))
		return VALORI_OK;
	return rows_fail(feed->rows, &feed->row, error, VALORI_INVALID,
			 "%s: no row before it in the same commit has the ref '%s' (commits of %u rows: --batch)", what,
			 rows_quote(name, quoted), feed->options.batch_rows);
}

static valori_code resolve_refs(struct feed *feed, struct feed_batch *batch, valori_op *op, valori_error *error)
{
	valori_code code = resolve_ref(feed, batch, feed->row.target, &op->target, "record", error);
	char quoted[48];
	uint64_t other;

	if (code == VALORI_OK)
		code = resolve_ref(feed, batch, feed->row.from, &op->from, "from", error);
	if (code == VALORI_OK)
		code = resolve_ref(feed, batch, feed->row.to, &op->to, "to", error);
	if (code == VALORI_OK && feed->row.ref.text != NULL && names_find(&feed->names, feed->row.ref, &other))
		code = rows_fail(feed->rows, &feed->row, error, VALORI_DUPLICATE,
				 "ref '%s': taken by another row of the same commit",
				 rows_quote(feed->row.ref, quoted));
	return code;
}

/* What the options of the run say about rows that say nothing. */
static valori_code apply_options(struct feed *feed, valori_op *op, valori_error *error)
{
	const struct feed_options *options = &feed->options;
	bool makes_record = op->kind == VALORI_OP_INSERT || op->kind == VALORI_OP_UPSERT;

	if (makes_record && !feed->row.has_tag)
		op->tag = options->tag;
	if (options->erasable && (makes_record || (op->kind == VALORI_OP_SET_METADATA && op->metadata != NULL)))
		op->flags |= VALORI_OP_SALTED;
	if (options->source_prefix == NULL)
		return VALORI_OK;
	if ((op->flags & VALORI_OP_REQUEST) != 0)
		return rows_fail(feed->rows, &feed->row, error, VALORI_INVALID,
				 "member 'request': --resume gives rows request ids of its own");
	op->flags |= VALORI_OP_REQUEST;
	memcpy(op->request, options->source_prefix, 8);
	vl_put64(op->request + 8, feed->row.number);
	return VALORI_OK;
}

/* Makes the batch's operations, as soon as the dimension is known. */
static valori_code need_ops(struct feed *feed, struct feed_batch *batch, valori_error *error)
{
	if (batch->ops != NULL)
		return VALORI_OK;
	if (feed->options.dim == 0)
		feed->options.dim = feed->row.op.dim;
	if (feed->options.dim == 0)
		return rows_fail(feed->rows, &feed->row, error, VALORI_INVALID,
				 "a new store learns its dimension from the first row, by its vector or 'dim', or "
				 "from -d");
	batch->dim = feed->options.dim;
	return valori_batch_new(batch->dim, &batch->ops, error);
}

static valori_code put_op(struct feed *feed, struct feed_batch *batch, const valori_op *op, struct feed_row row,
			  valori_error *error)
{
	size_t index = valori_batch_count(batch->ops);
	valori_code code;

	if (!grow(&batch->rows, &batch->rows_capacity, index, sizeof(row)))
		return no_memory(feed, error);
	code = valori_batch_add(batch->ops, op, error);
	if (code == VALORI_OK)
		batch->rows[index] = row;
	else
		rows_blame(feed->rows, &feed->row, error);
	return code;
}

/* The only operation of its batch. */
static valori_code put_collection(struct feed *feed, struct feed_batch *batch, valori_error *error)
{
	struct slice name = feed->row.collection;
	valori_op op = {.kind = VALORI_OP_COLLECTION_CREATE};

	if (name.text == NULL)
		name = (struct slice){feed->options.collection, strlen(feed->options.collection)};
	op.key = name.text;
	op.key_size = (uint32_t)name.size;
	feed->creating = true;
	return put_op(feed, batch, &op, (struct feed_row){.number = VALORI_NONE}, error);
}

/* Takes the current row into the batch. END: it stays pending, and the batch is to be committed before. */
static valori_code take_row(struct feed *feed, struct feed_batch *batch, valori_error *error)
{
	valori_op op = feed->row.op;
	struct feed_row row;
	valori_code code = need_ops(feed, batch, error);

	if (code != VALORI_OK)
		return code;
	if (op.vector == NULL && op.dim != 0 && op.dim != batch->dim)
		return rows_fail(feed->rows, &feed->row, error, VALORI_DIMENSION,
				 "member 'dim': %u, but the store has %u", op.dim, batch->dim);
	if (op.kind == VALORI_OP_COLLECTION_CREATE) {
		op.key = feed->row.collection.text;
		op.key_size = (uint32_t)feed->row.collection.size;
	} else {
		code = resolve_collection(feed, &op, error);
	}
	if (code == VALORI_END && valori_batch_count(batch->ops) == 0) {
		code = put_collection(feed, batch, error);
		return code == VALORI_OK ? VALORI_END : code;
	}
	if (code == VALORI_OK)
		code = resolve_refs(feed, batch, &op, error);
	if (code == VALORI_OK)
		code = apply_options(feed, &op, error);
	if (code != VALORI_OK)
		return code;
	if (!keep_row(feed, batch, &row))
		return no_memory(feed, error);
	code = put_op(feed, batch, &op, row, error);
	if (code == VALORI_OK && feed->row.ref.text != NULL &&
	    names_add(&feed->names, feed->row.ref, valori_batch_count(batch->ops) - 1) == NAMES_NO_MEMORY)
		return no_memory(feed, error);
	feed->barrier = op.kind == VALORI_OP_COLLECTION_CREATE || op.kind == VALORI_OP_COLLECTION_DROP;
	return code;
}

/* A row that was committed by an earlier run: the last one must be what is stored. */
static valori_code pass_row(struct feed *feed, struct feed_batch *batch, valori_error *error)
{
	valori_code code;

	feed->skipped++;
	if (feed->row.number + 1 != feed->options.rows_done)
		return VALORI_OK;
	feed->checking = true;
	code = take_row(feed, batch, error);
	feed->checking = false;
	pthread_mutex_lock(&feed->lock);
	if (code == VALORI_OK && feed->store != NULL && !feed->halted)
		code = valori_request_check(feed->store, batch->ops, valori_batch_count(batch->ops) - 1, error);
	pthread_mutex_unlock(&feed->lock);
	if (code == VALORI_NOT_FOUND || code == VALORI_END)
		code = VALORI_OK; /* so long ago that nobody remembers, or its collection is gone */
	else if (code == VALORI_CONFLICT)
		rows_fail(feed->rows, &feed->row, error, VALORI_CONFLICT,
			  "is not the row that was committed; is it the same input? (--source names another)");
	valori_batch_clear(batch->ops);
	names_clear(&feed->names);
	feed->barrier = false;
	return code;
}

static valori_code next_row(struct feed *feed, valori_error *error)
{
	valori_code code = rows_next(feed->rows, &feed->row, error);

	if (code == VALORI_END && feed->row.number < feed->options.rows_done)
		return rows_fail(feed->rows, &feed->row, error, VALORI_CONFLICT,
				 "the input ends here, but %llu rows of it are committed; is it the same input?",
				 (unsigned long long)feed->options.rows_done);
	return code;
}

/* Reads one row into the batch. OK: go on; END: the input is over; else the batch ends with its error. */
static valori_code add_row(struct feed *feed, struct feed_batch *batch)
{
	valori_error error;
	valori_code code = VALORI_OK;
	bool is_old;

	if (!feed->pending) {
		feed->creating = false;
		code = next_row(feed, &error);
	}
	feed->pending = false;
	if (code == VALORI_END)
		return code;
	is_old = feed->row.number < feed->options.rows_done;
	if (is_old && is_row_fault(code) && code != VALORI_CONFLICT && rows_can_go_on(feed->rows))
		return VALORI_OK; /* skipped then, skipped now */
	if (code == VALORI_OK && is_old)
		code = pass_row(feed, batch, &error);
	else if (code == VALORI_OK)
		code = take_row(feed, batch, &error);
	if (code == VALORI_END) {
		feed->pending = feed->barrier = true;
		return VALORI_OK;
	}
	return code == VALORI_OK ? code : refuse_row(feed, batch, &error);
}

static bool is_full(const struct feed *feed, const struct feed_batch *batch)
{
	size_t count = ops_count(batch);

	return count + batch->fault_count >= feed->options.batch_rows || batch->fault_count >= FEED_FAULTS_MAX ||
	       batch->sources_size >= feed->options.batch_size ||
	       (count != 0 && valori_batch_size(batch->ops) >= feed->options.batch_size);
}

static bool is_text(const struct feed *feed)
{
	return rows_format(feed->rows) == ROWS_NDJSON || rows_format(feed->rows) == ROWS_CSV;
}

static void fill(struct feed *feed, struct feed_batch *batch)
{
	if (batch->ops != NULL)
		valori_batch_clear(batch->ops);
	names_clear(&feed->names);
	batch->fault_count = 0;
	batch->sources_size = 0;
	batch->is_row_fault = false;
	feed->barrier = false;
	do
		batch->code = add_row(feed, batch);
	while (batch->code == VALORI_OK && !feed->barrier && !is_full(feed, batch));
	/* Reading text takes longer than committing it: then whoever commits hashes, too. */
	if (batch->code <= VALORI_END && batch->ops != NULL && !is_text(feed))
		valori_batch_seal(batch->ops);
}

/* ---- handing over ---- */

/* Are all batches back? */
static bool is_idle(const struct feed *feed)
{
	for (unsigned i = 0; i < FEED_SLOTS; i++)
		if (feed->states[i] != SLOT_FREE)
			return false;
	return true;
}

static void *run(void *argument)
{
	struct feed *feed = argument;
	bool halted;

	do {
		struct feed_batch *batch = &feed->slots[feed->fill];

		fill(feed, batch);
		pthread_mutex_lock(&feed->lock);
		feed->states[feed->fill] = SLOT_FULL;
		feed->fill = (feed->fill + 1) % FEED_SLOTS;
		pthread_cond_broadcast(&feed->changed);
		if (batch->code == VALORI_OK)
			while (!feed->halted &&
			       (feed->barrier ? !is_idle(feed) : feed->states[feed->fill] != SLOT_FREE))
				pthread_cond_wait(&feed->changed, &feed->lock);
		halted = feed->halted || batch->code != VALORI_OK;
		pthread_mutex_unlock(&feed->lock);
		if (feed->barrier)
			feed->is_cached = false;
	} while (!halted);
	return NULL;
}

valori_code feed_start(struct rows *rows, const struct feed_options *options, valori *store, struct feed **out,
		       valori_error *error)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	pthread_condattr_t attributes;

	*out = NULL;
	if (feed == NULL)
		return rows_fail(rows, &(struct row){0}, error, VALORI_NO_MEMORY, "no memory for its batches");
	feed->rows = rows;
	feed->options = *options;
	feed->store = store;
	pthread_mutex_init(&feed->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&feed->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (pthread_create(&feed->thread, NULL, run, feed) != 0) {
		free(feed);
		return rows_fail(rows, &(struct row){0}, error, VALORI_NO_MEMORY, "no thread to read it");
	}
	*out = feed;
	return VALORI_OK;
}

void feed_set_store(struct feed *feed, valori *store)
{
	pthread_mutex_lock(&feed->lock);
	feed->store = store;
	pthread_mutex_unlock(&feed->lock);
}

struct feed_batch *feed_take(struct feed *feed, unsigned milliseconds)
{
	struct feed_batch *batch = NULL;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)milliseconds * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&feed->lock);
	while (feed->states[feed->take] != SLOT_FULL)
		if (pthread_cond_timedwait(&feed->changed, &feed->lock, &until) != 0)
			break;
	if (feed->states[feed->take] == SLOT_FULL) {
		feed->states[feed->take] = SLOT_TAKEN;
		batch = &feed->slots[feed->take];
		feed->take = (feed->take + 1) % FEED_SLOTS;
	}
	pthread_mutex_unlock(&feed->lock);
	return batch;
}

void feed_return(struct feed *feed, struct feed_batch *batch)
{
	pthread_mutex_lock(&feed->lock);
	feed->states[batch - feed->slots] = SLOT_FREE;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

void feed_halt(struct feed *feed)
{
	pthread_mutex_lock(&feed->lock);
	feed->halted = true;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

void feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	feed_halt(feed);
	pthread_join(feed->thread, NULL);
	for (unsigned i = 0; i < FEED_SLOTS; i++) {
		valori_batch_free(feed->slots[i].ops);
		free(feed->slots[i].rows);
		free(feed->slots[i].faults);
		free(feed->slots[i].sources);
	}
	names_free(&feed->names);
	pthread_mutex_destroy(&feed->lock);
	pthread_cond_destroy(&feed->changed);
	free(feed);
}
