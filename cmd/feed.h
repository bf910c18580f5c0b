/*
 * feed.h - a thread of its own that gathers rows into batches, while the batch before is being committed.
 *
 * 	rows -> [ feeder: read, check, resolve names, hash ] -> FEED_SLOTS batches -> [ caller: commit, answer ]
 *
 * Batches arrive in order; each goes back by feed_return before it is filled again. A batch that ends in a fault must
 * not be committed. After a row that makes or drops a collection, the feeder waits until its batch was returned: names
 * mean what is committed.
 */
#ifndef FEED_H
#define FEED_H

#include "rows.h"

/* Enough that a sync is shared by some megabytes when rows come faster than the disk takes them. */
enum { FEED_SLOTS = 8 };

struct feed_options {
	uint32_t dim;           /* 0: not known yet: that of the first vector */
	uint32_t batch_rows;    /* a batch ends with this many rows, */
	uint64_t batch_size;    /* or at about this many bytes */
	uint64_t tag;           /* of rows that name none */
	const char *collection; /* of rows that name none; NULL: default */
	bool create;            /* collections that are not there */
	bool erasable;          /* salt all content */
	bool skip_bad;          /* unacceptable rows become faults of their batch rather than its end */
	bool keep_sources;      /* of rows, for feed_source */
	const uint8_t
		*source_prefix; /* 8 bytes: rows carry request ids, and those committed before are left out; or NULL */
	uint64_t rows_done;     /* rows of this source that are committed */
};

struct feed_row {
	uint64_t number, line; /* number VALORI_NONE: not from a row */
	size_t source, source_size;
};

struct feed_fault {
	struct feed_row row;
	size_t before; /* ops of the batch that come before it */
	valori_error error;
};

struct feed_batch {
	valori_batch *ops; /* NULL when no row came */
	uint32_t dim;
	struct feed_row *rows; /* of each op */
	size_t rows_capacity;
	struct feed_fault *faults; /* rows that were skipped */
	size_t fault_count, faults_capacity;
	char *sources;
	size_t sources_size, sources_capacity;
	valori_code code; /* OK: more batches follow; END: this is the last; else error says what stopped it */
	valori_error error;
	bool is_row_fault; /* error is about a row: an unacceptable input */
};

struct feed;

/* store may be NULL until feed_set_store. rows belong to the feeder until feed_free. */
valori_code feed_start(struct rows *rows, const struct feed_options *options, valori *store, struct feed **out,
		       valori_error *error);
void feed_set_store(struct feed *feed, valori *store);
/* The next batch; NULL after milliseconds without one. */
struct feed_batch *feed_take(struct feed *feed, unsigned milliseconds);
/* Its batch was committed: it may be filled again. */
void feed_return(struct feed *feed, struct feed_batch *batch);
/*
 * From now on the thread leaves the store alone; it may sit in a read for ever, and is then left to the end of the
 * program.
 */
void feed_halt(struct feed *feed);
/* After the last batch: waits for the thread to end and frees everything but the rows. NULL is fine. */
void feed_free(struct feed *feed);

/* The text of a row; text NULL when the format has none. */
struct slice feed_source(const struct feed_batch *batch, const struct feed_row *row);
/* Puts name and line of the row in front of the sentence. */
void feed_blame(const struct rows *rows, const struct feed_row *row, valori_error *error);
/* Rows left out because they were committed before. */
uint64_t feed_rows_skipped(const struct feed *feed);

#endif
