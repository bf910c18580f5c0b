/*
 * planes.h - codes without a store, for the tests of what is built over them: made from a seed and hard to search;
 * the truth about them; threads to build with.
 */
#ifndef PLANES_H
#define PLANES_H

#include <pthread.h>

#include "bytes.h"
#include "check.h"
#include "codes.h"
#include "memory.h"

static struct memory memory;

enum { THREADS_MAX = 8 };

/* ---- threads ---- */

struct work {
	void (*task)(void *argument, size_t index);
	void *argument;
	size_t index;
};

__attribute__((unused)) static void *do_work(void *argument)
{
	struct work *work = argument;

	work->task(work->argument, work->index);
	return NULL;
}

__attribute__((unused)) static void run_threads(void *context, void (*task)(void *argument, size_t index),
						void *argument, size_t count)
{
	struct work works[THREADS_MAX];
	pthread_t threads[THREADS_MAX];

	(void)context;
	for (size_t i = 0; i < count; i++) {
		works[i] = (struct work){task, argument, i};
		pthread_create(&threads[i], NULL, do_work, &works[i]);
	}
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

/* One thread, from the last to the first: any order will do. */
__attribute__((unused)) static void run_backwards(void *context, void (*task)(void *argument, size_t index),
						  void *argument, size_t count)
{
	(void)context;
	while (count-- > 0)
		task(argument, count);
}

/* ---- codes without a store ---- */

__attribute__((unused)) static void codes_new(struct vl_codes *codes, uint32_t dim, uint32_t count)
{
	vl_codes_init(codes, &memory.env, dim);
	codes->count = codes->capacity = count;
	if (!vl_block_new(&codes->rows, &memory.env, (size_t)(count + 1) * codes->stride) ||
	    !vl_block_new(&codes->ids, &memory.env, (size_t)(count + 1) * 4))
		abort();
	memset(codes->rows.data, 0, (size_t)(count + 1) * codes->stride);
	for (uint32_t row = 0; row < count; row++)
		vl_put32((uint8_t *)codes->ids.data + (size_t)row * 4, row);
}

__attribute__((unused)) static uint8_t *code_of(const struct vl_codes *codes, uint32_t row)
{
	return (uint8_t *)codes->rows.data + (size_t)row * codes->stride;
}

/*
 * Points on planes of a few dimensions that cross each other in many: near to each other on one, far from the
 * next.
 */
enum { PLANES = 24, LATENT = 9, DIM_MAX = 64 };

__attribute__((unused)) static void make_code(uint8_t *out, uint32_t dim, uint64_t *seed)
{
	uint64_t plane = check_random(seed) % PLANES, plane_seed = plane * 77 + 5;
	int32_t along[LATENT], sum;

	for (int l = 0; l < LATENT; l++)
		along[l] = (int32_t)(check_random(seed) % 255) - 127 + (int32_t)(check_random(seed) % 255) - 127;
	for (uint32_t i = 0; i < dim; i++) {
		sum = (int32_t)(check_random(&plane_seed) % 5600);
		for (int l = 0; l < LATENT; l++)
			sum += along[l] * ((int32_t)(check_random(&plane_seed) % 31) - 15);
		sum = sum / 64 + 90 + (int32_t)(check_random(seed) % 5);
		out[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
	}
}

__attribute__((unused)) static void codes_make(struct vl_codes *codes, uint32_t dim, uint32_t count, uint64_t seed)
{
	codes_new(codes, dim, count);
	for (uint32_t row = 0; row < count; row++)
		make_code(code_of(codes, row), dim, &seed);
}

__attribute__((unused)) static void codes_free(struct vl_codes *codes)
{
	vl_codes_free(codes);
}

/* The first count rows, as they were when there were no more. */
__attribute__((unused)) static struct vl_codes codes_before(const struct vl_codes *codes, uint32_t count)
{
	struct vl_codes before = *codes;

	before.count = count;
	return before;
}

/* ---- the truth ---- */

__attribute__((unused)) static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

__attribute__((unused)) static bool has(const uint64_t *bits, uint32_t row)
{
	return bits == NULL || (bits[row / 64] >> row % 64 & 1);
}

/* All rows that are allowed, nearest first. */
__attribute__((unused)) static size_t scan(const struct vl_codes *codes, const uint8_t *query, const uint64_t *allowed,
					   uint64_t *out)
{
	size_t found = 0;

	for (uint32_t row = 0; row < codes->count; row++) {
		uint32_t sum = 0;

		if (!has(allowed, row))
			continue;
		for (uint32_t i = 0; i < codes->dim; i++) {
			int32_t d = (int32_t)query[i] - code_of(codes, row)[i];

			sum += (uint32_t)(d * d);
		}
		out[found++] = (uint64_t)sum << 32 | row;
	}
	qsort(out, found, sizeof(*out), compare_u64);
	return found;
}

__attribute__((unused)) static uint32_t distance(const struct vl_codes *codes, const uint8_t *query, uint32_t row)
{
	return vl_code_l2_portable(query, code_of(codes, row), codes->stride);
}

__attribute__((unused)) static uint64_t digest_bytes(uint64_t digest, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		digest = (digest ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
	return digest;
}

/* What stays of codes when rows with keep go on, and where they went. */
__attribute__((unused)) static struct vl_codes drop_rows(const struct vl_codes *codes, const bool *keep,
							 uint32_t *renumbered)
{
	struct vl_codes kept;
	uint32_t count = 0;

	for (uint32_t row = 0; row < codes->count; row++)
		renumbered[row] = keep[row] ? count++ : VL_ROW_GONE;
	codes_new(&kept, codes->dim, count);
	for (uint32_t row = 0; row < codes->count; row++)
		if (keep[row]) {
			memcpy(code_of(&kept, renumbered[row]), code_of(codes, row), codes->stride);
			vl_put32((uint8_t *)kept.ids.data + (size_t)renumbered[row] * 4, vl_codes_id(codes, row));
		}
	return kept;
}

/* ---- real vectors ---- */

/* NULL: it is not there. */
__attribute__((unused)) static uint8_t *read_file(const char *folder, const char *set, const char *name, size_t *size)
{
	char path[1024];
	uint8_t *bytes;
	FILE *file;

	snprintf(path, sizeof(path), "%s/data/%s/%s", folder, set, name);
	file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	fseek(file, 0, SEEK_END);
	*size = (size_t)ftell(file);
	rewind(file);
	bytes = malloc(*size);
	if (fread(bytes, 1, *size, file) != *size)
		abort();
	fclose(file);
	return bytes;
}

#endif
