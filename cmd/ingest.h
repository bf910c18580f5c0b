/*
 * ingest.h - one run of valori-ingest: what was asked for, the store, and what came of it.
 *
 * Whatever ends a run, what was printed is committed: a batch is committed whole or not at all, its ids are printed
 * when it is durable, and a signal is looked at between batches.
 */
#ifndef INGEST_H
#define INGEST_H

#include <signal.h>

#include "feed.h"
#include "tool.h"

struct ingest {
	valori_options options;
	struct feed_options feed; /* dim: of the store, 0 until there is one */
	enum rows_format format;
	bool dry_run, resume, renumber;
	bool flushes;  /* commits are durable after a flush only: ids wait for one */
	bool upstream; /* -f upstream, which no rows have */
	struct {
		uint32_t parameter;
		uint64_t value;
	} config[6]; /* CONFIG that was asked for */
	size_t config_count;
	const char *source, *rejects_path;
	FILE *rejects; /* or NULL */
	valori *store; /* NULL until the dimension of a new one is known */
	uint64_t rows, skipped, repeated, commits, events; /* of this run */
	struct feed *left_behind; /* its thread may sit in a read that never ends; the end of the program ends it */
	uint8_t prefix[8];        /* of request ids */
};

/* The signal that ends the run, or 0. */
extern volatile sig_atomic_t ingest_stopped;
/* SIGINT, SIGTERM and SIGHUP end the run; SIGPIPE is an answer that could not be written. */
void ingest_catch_signals(void);
/* Around a read of this thread that may never end: nothing is half done, and a signal ends the program after text. */
void ingest_wait_begin(const char *text);
void ingest_wait_end(void);

/* All return a status for the program to leave with, TOOL_OK to go on. dim 0: a store that is not there stays NULL. */
int ingest_open(struct ingest *run, uint32_t dim);
/* Commits what was asked for and the store does not say yet; once. */
int ingest_configure(struct ingest *run);
/* Says what is committed. */
int ingest_close(struct ingest *run, int status);

/* All rows of an input, which then are closed, unless the run ends while they are still being read. */
int ingest_rows(struct ingest *run, const char *path, struct rows *rows);

/*
 * Answers to commits: ids and numbers of count rows, an id VALORI_NONE for those without one. A thread of its own makes
 * them durable and prints the ids, in order, while the next rows are committed.
 */
struct ingest_answer {
	valori_receipt receipt;
	uint64_t *ids, *rows;
	size_t count, capacity;
};
/* NULL: it was said why not. */
struct ingest_answers *ingest_answers_start(struct ingest *run);
/* The next one, to be filled in; waits when too many wait for the disk. NULL: it has failed. */
struct ingest_answer *ingest_answer(struct ingest_answers *answers, size_t count);
/* It is filled in, and its commit made. */
void ingest_answers_add(struct ingest_answers *answers);
/* Until all are printed, or it has failed. */
int ingest_answers_wait(struct ingest_answers *answers);
bool ingest_answers_have_failed(struct ingest_answers *answers);
/* Rows of the run that were answered. */
uint64_t ingest_answers_rows(struct ingest_answers *answers);
/* Waits for all, ends the thread, says what went wrong. */
int ingest_answers_end(struct ingest_answers *answers);

/* A log: path is a store, a file of one, or with fd (not -1) the name of a stream. */
int ingest_log(struct ingest *run, const char *path, int fd);
/* Files of the Rust system: the segments of one log, one WAL or one snapshot. */
int ingest_upstream(struct ingest *run, const char *const *paths, size_t count);

#endif
