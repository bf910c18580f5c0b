/* coded.c - a set of vectors, its codes, and what is compared at the end. */
#include "coded.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bytes.h"
#include "cpu.h"
#include "measure.h"
#include "q16.h"

void coded_fail(const struct coded *coded, const char *what)
{
	fprintf(stderr, "%s: %s\n", coded->program, what);
	exit(1);
}

/* Large pages, as the host gives them to an index. */
static void *give(void *context, size_t size)
{
	enum { HUGE_PAGE = 2 << 20 };
	size_t align = size >= HUGE_PAGE ? HUGE_PAGE : 64;
	void *p = aligned_alloc(align, (size + align - 1) / align * align);

	(void)context;
	if (p != NULL && align == HUGE_PAGE)
		madvise(p, (size + align - 1) / align * align, MADV_HUGEPAGE);
	return p;
}

static void take_back(void *context, void *p, size_t size)
{
	(void)context;
	(void)size;
	free(p);
}

struct work {
	void (*task)(void *argument, size_t index);
	void *argument;
	size_t index;
};

static void *do_work(void *argument)
{
	struct work *work = argument;

	work->task(work->argument, work->index);
	return NULL;
}

void coded_run(void *context, void (*task)(void *argument, size_t index), void *argument, size_t count)
{
	struct work works[CODED_THREADS_MAX];
	pthread_t threads[CODED_THREADS_MAX];

	for (size_t i = 1; i < count; i++) {
		works[i] = (struct work){task, argument, i};
		if (pthread_create(&threads[i], NULL, do_work, &works[i]) != 0)
			coded_fail(context, "no thread");
	}
	task(argument, 0);
	for (size_t i = 1; i < count; i++)
		pthread_join(threads[i], NULL);
}

/* ---- codes: between the smallest and the largest component ---- */

static void encode(const struct coded *coded, const uint8_t *vectors, uint32_t count, int32_t low, uint32_t step,
		   uint8_t *out)
{
	memset(out, 0, (size_t)count * coded->codes.stride);
	for (size_t row = 0; row < count; row++)
		for (size_t i = 0; i < coded->set.dim; i++) {
			int64_t x = (int32_t)vl_get32(vectors + (row * coded->set.dim + i) * 4);
			int64_t code = (x - low + step / 2) / step;

			out[row * coded->codes.stride + i] = (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
		}
}

static void make_codes(struct coded *coded)
{
	const struct vectors *set = &coded->set;
	struct vl_codes *codes = &coded->codes;
	int32_t low = INT32_MAX, high = INT32_MIN;
	uint32_t step;

	codes->env = &coded->env;
	codes->dim = set->dim;
	codes->stride = (set->dim + 63) / 64 * 64;
	codes->count = codes->capacity = set->count;
	for (size_t i = 0; i < (size_t)set->count * set->dim; i++) {
		int32_t x = (int32_t)vl_get32(set->base + i * 4);

		low = x < low ? x : low;
		high = x > high ? x : high;
	}
	step = (uint32_t)(high - low + 254) / 255;
	step = step < 1 ? 1 : step;
	codes->quantiser = (struct vl_quantiser){low, step};
	if (!vl_block_new(&codes->rows, &coded->env, (size_t)set->count * codes->stride) ||
	    !vl_block_new(&codes->ids, &coded->env, (size_t)set->count * 4))
		coded_fail(coded, "out of memory");
	encode(coded, set->base, set->count, low, step, codes->rows.data);
	for (size_t i = 0; i < set->count; i++)
		vl_put32((uint8_t *)codes->ids.data + 4 * i, (uint32_t)i);
	coded->query_codes = give(NULL, (size_t)set->queries_count * codes->stride);
	if (coded->query_codes == NULL)
		coded_fail(coded, "out of memory");
	encode(coded, set->queries, set->queries_count, low, step, coded->query_codes);
}

void coded_begin(struct coded *coded, const char *program, int argc, char **argv)
{
	uint32_t count = 0, dim = 128, queries = 500;
	const char *data = NULL;
	bool unit = false;

	*coded = (struct coded){.program = program, .threads = 1, .rounds = 5};
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--data=", 7) == 0)
			data = argv[i] + 7;
		unit |= strcmp(argv[i], "--unit") == 0;
		count = (uint32_t)option(argv[i], "--count=", count);
		dim = (uint32_t)option(argv[i], "--dim=", dim);
		queries = (uint32_t)option(argv[i], "--queries=", queries);
		coded->threads = (uint32_t)option(argv[i], "--threads=", coded->threads);
		coded->rounds = (int)option(argv[i], "--rounds=", (uint64_t)coded->rounds);
	}
	if (coded->threads < 1 || coded->threads > CODED_THREADS_MAX || coded->rounds < 1 ||
	    coded->rounds > CODED_ROUNDS_MAX)
		coded_fail(coded, "a number is out of range");
	coded->env = (struct vl_env){give, take_back, NULL, vl_cpu_kernels(NULL)};
	if (data != NULL)
		vectors_read(&coded->set, &coded->env, data, count);
	else
		vectors_make(&coded->set, &coded->env, count != 0 ? count : 20000, dim, queries, !unit);
	make_codes(coded);
}

void coded_end(struct coded *coded)
{
	vl_block_free(&coded->codes.rows);
	vl_block_free(&coded->codes.ids);
	free(coded->query_codes);
	vectors_free(&coded->set);
}

/* ---- after a search ---- */

unsigned coded_rerank(const struct coded *coded, uint32_t query, const uint64_t *out, size_t found)
{
	const struct vectors *set = &coded->set;
	struct {
		uint64_t distance;
		uint32_t row;
	} best[CODED_RERANKED];
	size_t row_size = (size_t)set->dim * 4, count = found < CODED_RERANKED ? found : CODED_RERANKED;
	unsigned right = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < row_size; j += 64)
			__builtin_prefetch(set->base + (uint32_t)out[i] * row_size + j);
	for (size_t i = 0; i < count; i++) {
		uint32_t row = (uint32_t)out[i];
		uint64_t d = vl_q16_l2(coded->env.kernels, set->queries + query * row_size, set->base + row * row_size,
				       set->dim);
		size_t at = i;

		for (; at > 0 && (best[at - 1].distance > d || (best[at - 1].distance == d && best[at - 1].row > row));
		     at--)
			best[at] = best[at - 1];
		best[at].distance = d;
		best[at].row = row;
	}
	for (size_t i = 0; i < CODED_K; i++)
		for (size_t j = 0; j < CODED_K && j < count; j++)
			right += best[j].row == set->answers[query * CODED_K + i];
	return right;
}
