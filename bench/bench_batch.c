/*
 * bench_batch.c - one batch of binary32 rows as one commit: what a caller in another language is compared with.
 *
 * Prints name, value and unit, tab-separated: the least of TURNS, and the most memory that the process had.
 * usage: bench_batch [DIRECTORY [ROWS [DIM]]]; stores are made in DIRECTORY (/dev/shm: no disk has a say) and removed;
 * 100,000 rows of 384 components.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "measure.h"
#include "valori.h"

enum { TURNS = 5 };

static int die(const valori_error *error)
{
	fprintf(stderr, "bench_batch: %s\n", error->message);
	return 1;
}

/* The files of a store that was written once. */
static void clean(const char *store)
{
	static const char *const names[] = {"events.log", "events.head", "events.lock", ""};
	char path[600];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", store, names[i]);
		remove(path);
	}
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : "/dev/shm";
	size_t rows = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000, dim = argc > 3 ? strtoul(argv[3], NULL, 10) : 384;
	float *table = malloc(rows * dim * sizeof(*table));
	uint64_t *ids = malloc(rows * sizeof(*ids));
	struct rusage usage;
	double least = 1e9;
	valori_error error;
	uint32_t seed = 1;

	if (table == NULL || ids == NULL)
		return 1;
	for (size_t i = 0; i < rows * dim; i++) {
		seed = seed * 1664525 + 1013904223;
		table[i] = (float)(seed >> 8) / (float)(1 << 24);
	}
	for (int turn = 0; turn < TURNS; turn++) {
		valori_options options = VALORI_OPTIONS_INIT;
		valori_op op = {.kind = VALORI_OP_INSERT, .vector_kind = VALORI_F32, .vector = table};
		valori_batch *batch;
		valori *store;
		char path[512];
		double began;

		snprintf(path, sizeof(path), "%s/bench-batch-%d-%d", directory, (int)getpid(), turn);
		options.flags = VALORI_WRITE | VALORI_CREATE;
		options.log = path;
		op.dim = options.dim = (uint32_t)dim;
		if (valori_open(&options, &store, &error) != VALORI_OK)
			return die(&error);
		began = now();
		if (valori_batch_new(op.dim, &batch, &error) != VALORI_OK ||
		    valori_batch_add_rows(batch, &op, rows, 4 * dim, NULL, NULL, &error) != VALORI_OK ||
		    valori_commit(store, batch, NULL, ids, &error) != VALORI_OK)
			return die(&error);
		valori_batch_free(batch);
		began = now() - began;
		least = began < least ? began : least;
		valori_close(store, NULL);
		clean(path);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("batch_insert\t%.4g\ts\nbatch_memory\t%.4g\tMB\n", least, (double)usage.ru_maxrss / 1000);
	return 0;
}
