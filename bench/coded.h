/* coded.h - a set of vectors and its codes without a store: what an index is measured on. */
#ifndef CODED_H
#define CODED_H

#include "codes.h"
#include "vectors.h"
#include "workers.h"

enum { CODED_K = VECTORS_K, CODED_RERANKED = 16, CODED_THREADS_MAX = 64, CODED_ROUNDS_MAX = 32 };

/* Options that all have: --data=DIR --count=N --dim=N --unit --queries=N --threads=N --rounds=N. */
struct coded {
	const char *program; /* for messages */
	struct vl_env env;
	struct vectors set;
	struct vl_codes codes;
	uint8_t *query_codes;
	uint32_t threads;
	int rounds;
};

/* Reads the options, reads or makes the set, makes its codes; what is wrong ends the program. */
void coded_begin(struct coded *coded, const char *program, int argc, char **argv);
void coded_end(struct coded *coded);
void coded_fail(const struct coded *coded, const char *what);
/* For struct vl_workers: one thread a task. The context is the struct coded. */
void coded_run(void *context, void (*task)(void *argument, size_t index), void *argument, size_t count);
/* The best CODED_K of what was found, compared exactly: how many of them are right. */
unsigned coded_rerank(const struct coded *coded, uint32_t query, const uint64_t *out, size_t found);

#endif
