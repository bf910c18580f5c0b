/* anchor.h - another library in the same race: a program that is asked line by line (bench/anchors/anchor.h). */
#ifndef ANCHOR_H
#define ANCHOR_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { ANCHOR_K = 10, ANCHOR_INDEXES = 4 };

struct anchor {
	FILE *in, *out;
	pid_t process; /* 0: there is none */
	struct {
		char name[32];
		double seconds, bytes; /* it took to build, processor; hot bytes per row */
	} built[ANCHOR_INDEXES];
	size_t count;
};

/* Starts program on files of vectors and builds the indexes names (ends with NULL). False: there is no such program. */
int anchor_begin(struct anchor *anchor, const char *program, const char *base, const char *queries, const char *tags,
		 const char *const *names);
/* The rows of the first limit queries (ANCHOR_K each) into rows; queries a second, microseconds. */
void anchor_ask(struct anchor *anchor, const char *name, uint32_t parameter, size_t together, size_t limit,
		uint32_t tag, uint32_t *rows, double *rate, double *p50, double *p99);
void anchor_end(struct anchor *anchor);

#endif
