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
	bool upstream; /* -f upstream, which no rows have */
	const char *source, *rejects_path;
	FILE *rejects; /* or NULL */
	valori *store; /* NULL until the dimension of a new one is known */
	uint64_t *ids; /* of one batch */
	size_t ids_capacity;
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
/* Says what is committed. */
int ingest_close(struct ingest *run, int status);

/* All rows of an input, which then are closed, unless the run ends while they are still being read. */
int ingest_rows(struct ingest *run, const char *path, struct rows *rows);
/* A log: path is a store, a file of one, or with fd (not -1) the name of a stream. */
int ingest_log(struct ingest *run, const char *path, int fd);
/* Files of the Rust system: the segments of one log, one WAL or one snapshot. */
int ingest_upstream(struct ingest *run, const char *const *paths, size_t count);

#endif
