/*
 * bench_rows.c - rows on their way into a batch: reading, converting, checking, hashing; no store and no disk behind
 * it.
 *
 * Prints name, value and unit, tab-separated; each figure is the best of several rounds on one thread, in time of the
 * processor: what else the machine does must not count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "measure.h"
#include "rows.h"

enum { ROUNDS = 5, BATCH = 1000 };

static uint64_t seed = 1;
static char path[64];

static void fail(const char *what)
{
	fprintf(stderr, "bench_rows: %s\n", what);
	unlink(path);
	exit(1);
}

static float next_component(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (float)((double)(int32_t)(seed >> 32) / 2147483648.0 * 0.2);
}

static FILE *create(void)
{
	int fd;
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/bench_rows.XXXXXX");
	fd = mkstemp(path);
	file = fd >= 0 ? fdopen(fd, "wb") : NULL;
	if (file == NULL)
		fail("no temporary file");
	return file;
}

static void write_ndjson(FILE *file, uint32_t count, uint32_t dim, int digits)
{
	for (uint32_t row = 0; row < count; row++) {
		fprintf(file, "{\"key\":\"%u\",\"vector\":[", row);
		for (uint32_t i = 0; i < dim; i++)
			fprintf(file, "%s%.*g", i != 0 ? "," : "", digits, (double)next_component());
		fprintf(file, "]}\n");
	}
}

static void write_fvecs(FILE *file, uint32_t count, uint32_t dim)
{
	uint8_t bytes[4];

	for (uint32_t row = 0; row < count; row++) {
		vl_put32(bytes, dim);
		fwrite(bytes, 1, 4, file);
		for (uint32_t i = 0; i < dim; i++) {
			float value = next_component();
			uint32_t bits;

			memcpy(&bits, &value, 4);
			vl_put32(bytes, bits);
			fwrite(bytes, 1, 4, file);
		}
	}
}

/* Seconds for all rows of the file; batches NULL: only read. */
static double read_all(uint32_t dim, uint32_t count, int with_batches)
{
	valori_batch *batch = NULL;
	valori_error error;
	struct rows *rows;
	struct row row;
	valori_code code;
	uint32_t seen = 0;
	double start = cpu();

	if (rows_open(path, ROWS_UNKNOWN, 0, &rows, &error) != VALORI_OK)
		fail(error.message);
	if (with_batches && valori_batch_new(dim, &batch, &error) != VALORI_OK)
		fail(error.message);
	while ((code = rows_next(rows, &row, &error)) == VALORI_OK) {
		seen++;
		if (batch == NULL)
			continue;
		if (valori_batch_add(batch, &row.op, &error) != VALORI_OK)
			fail(error.message);
		if (valori_batch_count(batch) == BATCH) {
			valori_batch_seal(batch);
			valori_batch_clear(batch);
		}
	}
	if (code != VALORI_END || seen != count)
		fail(error.message);
	valori_batch_free(batch);
	rows_close(rows);
	return cpu() - start;
}

static void measure(const char *name, uint32_t dim, uint32_t count, int with_batches)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double seconds = read_all(dim, count, with_batches);

		best = seconds < best ? seconds : best;
	}
	printf("%s\t%.4g\trows/s\n", name, count / best);
	fflush(stdout);
}

int main(void)
{
	static const struct {
		const char *name, *hashed;
		uint32_t count;
		int digits;
	} texts[] = {{"rows_ndjson_384_9digits", "rows_ndjson_384_9digits_hashed", 20000, 9},
		     {"rows_ndjson_384_17digits", "rows_ndjson_384_17digits_hashed", 10000, 17}};
	FILE *file;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		file = create();
		write_ndjson(file, texts[i].count, 384, texts[i].digits);
		fclose(file);
		measure(texts[i].name, 384, texts[i].count, 0);
		measure(texts[i].hashed, 384, texts[i].count, 1);
		unlink(path);
	}
	file = create();
	write_fvecs(file, 200000, 128);
	fclose(file);
	measure("rows_fvecs_128", 128, 200000, 0);
	measure("rows_fvecs_128_hashed", 128, 200000, 1);
	unlink(path);
	return 0;
}
