/*
 * judge.h - what all that a user can run says of a store in which something is wrong.
 *
 * Nothing that is read may be untrue: a store that opens is one that the log has really been, each commit that is given
 * out has the bytes that were written, each hit is a record that was there, at its true distance; a writer that opens
 * goes on from all of it, and leaves a store that verifies.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "truth.h"

enum {
	JUDGE_READ = 1 << 0,     /* open, search, valori_vector_get, valori_record_find */
	JUDGE_REPLAY = 1 << 1,   /* the log, as a store and each segment as a stream */
	JUDGE_WRITE = 1 << 2,    /* open to write, one commit, close, verify */
	JUDGE_SNAPSHOT = 1 << 3, /* a snapshot of what was opened */
	JUDGE_ALL = JUDGE_READ | JUDGE_REPLAY | JUDGE_WRITE | JUDGE_SNAPSHOT
};

struct judge {
	const struct truth *truth;
	struct shelf shelf;   /* the damaged files */
	struct shelf scratch; /* for who writes */
	const char *path;     /* what valori-verify is asked about */
	const char *snapshot; /* NULL: as the tools do; "": none */
	unsigned least;       /* commits with which a store that opens must at least begin */
	bool is_log_gone;     /* only the snapshot is there */
	/* of the last valori-verify */
	valori_code code;
	valori_error error;
	valori_verify_report report;
	/* what is wrong with what was said; "" when nothing is */
	char complaint[400];
};

void judge_init(struct judge *judge, const struct truth *truth);
void judge_free(struct judge *judge);
/* All files as they should be again. */
void judge_restore(struct judge *judge);

/* Fills code, error and report. */
void judge_verify(struct judge *judge);
/* Is the log, with all its commits, proven by the last report, and nothing said to be wrong? */
bool judge_is_whole(const struct judge *judge);
/* Did the last report find something? */
bool judge_has_found(const struct judge *judge);
/* All the others, as told; the first untruth is the complaint. */
void judge_others(struct judge *judge, unsigned what);

#endif
