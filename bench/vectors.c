/* vectors.c - sets of vectors for benchmarks. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "q16.h"

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "vectors: %s: %s\n", path, what);
	exit(1);
}

static void *memory(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (p == NULL)
		fail("out of memory", "all");
	return p;
}

/* ---- read ---- */

/* Rows of a file: int32 dim, then dim elements. */
static uint8_t *read_rows(const char *folder, const char *name, size_t element, uint32_t *dim, uint32_t *count)
{
	char path[1024];
	uint8_t head[4], *rows;
	size_t row_size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (file == NULL || fread(head, 1, 4, file) != 4)
		fail("cannot be read", path);
	*dim = vl_get32(head);
	row_size = 4 + *dim * element;
	fseek(file, 0, SEEK_END);
	if (*count == 0 || *count > (size_t)ftell(file) / row_size)
		*count = (uint32_t)((size_t)ftell(file) / row_size);
	rewind(file);
	rows = memory(row_size * *count);
	if (fread(rows, row_size, *count, file) != *count)
		fail("cannot be read", path);
	fclose(file);
	return rows;
}

static uint8_t *from_bytes(uint8_t *rows, uint32_t count, uint32_t dim)
{
	uint8_t *out = memory((size_t)count * dim * 4);

	for (size_t row = 0; row < count; row++)
		for (size_t i = 0; i < dim; i++)
			vl_put32(out + (row * dim + i) * 4, (uint32_t)rows[row * (dim + 4) + 4 + i] << 16);
	free(rows);
	return out;
}

/* ---- the truth ---- */

struct near {
	uint64_t distance;
	uint32_t number;
};

static void answer(struct vectors *vectors, const struct vl_env *env)
{
	enum { TOGETHER = 32, ROWS = 256 };
	static struct near best[TOGETHER][VECTORS_K];
	uint64_t *distances = memory(TOGETHER * ROWS * sizeof(uint64_t));
	size_t row_size = (size_t)vectors->dim * 4;

	vectors->answers = memory((size_t)vectors->queries_count * VECTORS_K * 4);
	for (uint32_t q = 0; q < vectors->queries_count; q += TOGETHER) {
		uint32_t part = vectors->queries_count - q < TOGETHER ? vectors->queries_count - q : TOGETHER;

		memset(best, 0xff, sizeof(best));
		for (uint32_t row = 0; row < vectors->count; row += ROWS) {
			uint32_t rows = vectors->count - row < ROWS ? vectors->count - row : ROWS;

			vl_q16_l2_block(env->kernels, vectors->queries + q * row_size, part,
					vectors->base + row * row_size, rows, vectors->dim, distances);
			for (uint32_t i = 0; i < part; i++)
				for (uint32_t j = 0; j < rows; j++) {
					uint64_t d = distances[(size_t)i * rows + j];
					int at = VECTORS_K - 1;

					if (d >= best[i][at].distance)
						continue;
					for (; at > 0 && best[i][at - 1].distance > d; at--)
						best[i][at] = best[i][at - 1];
					best[i][at] = (struct near){d, row + j};
				}
		}
		for (uint32_t i = 0; i < part; i++)
			for (int j = 0; j < VECTORS_K; j++)
				vectors->answers[(size_t)(q + i) * VECTORS_K + (size_t)j] = best[i][j].number;
	}
	free(distances);
}

void vectors_read(struct vectors *vectors, const struct vl_env *env, const char *folder, uint32_t count)
{
	uint32_t dim = 0, answers_dim = 0, all = 0;
	const char *name = strrchr(folder, '/');
	uint8_t *rows;

	memset(vectors, 0, sizeof(*vectors));
	snprintf(vectors->name, sizeof(vectors->name), "%s", name != NULL ? name + 1 : folder);
	free(read_rows(folder, "base.bvecs", 1, &vectors->dim, &all));
	vectors->count = count;
	rows = read_rows(folder, "base.bvecs", 1, &vectors->dim, &vectors->count);
	vectors->base = from_bytes(rows, vectors->count, vectors->dim);
	rows = read_rows(folder, "query.bvecs", 1, &dim, &vectors->queries_count);
	if (dim != vectors->dim)
		fail("queries of another dimension", folder);
	vectors->queries = from_bytes(rows, vectors->queries_count, dim);
	if (vectors->count < all) {
		answer(vectors, env);
		return;
	}
	rows = read_rows(folder, "gt.ivecs", 4, &answers_dim, &vectors->queries_count);
	vectors->answers = memory((size_t)vectors->queries_count * VECTORS_K * 4);
	for (size_t q = 0; q < vectors->queries_count; q++)
		for (size_t i = 0; i < VECTORS_K; i++)
			vectors->answers[q * VECTORS_K + i] = vl_get32(rows + q * (4 + answers_dim * 4) + 4 + 4 * i);
	free(rows);
}

/* ---- made ---- */

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Near enough to normal: the sum of eight, of variance 1. */
static float next_normal(uint64_t *seed)
{
	uint64_t a = next_random(seed), b = next_random(seed);
	int32_t sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (int32_t)(a >> 16 * i & 0xffff) + (int32_t)(b >> 16 * i & 0xffff) - 0xffff;
	return (float)sum * (float)(1.0 / 65536 * 1.2247);
}

/*
 * A vector is a point on one of many planes of LATENT dimensions that cross each other, plus a little noise on all
 * components: what descriptors and embeddings look like from near.
 */
enum { LATENT = 24, PLANES = 64, DIRECTIONS = 96 };

struct maker {
	uint32_t dim;
	float *directions; /* DIRECTIONS of dim */
	float *centres;	   /* PLANES of dim */
	int bytes;
	uint64_t seed;
};

static double root(double x)
{
	double y = x > 1 ? x : 1;

	for (int i = 0; i < 60; i++)
		y = (y + x / y) / 2;
	return y;
}

static void make_one(struct maker *maker, uint8_t *out, float *work)
{
	uint64_t plane = next_random(&maker->seed) % PLANES, which = plane * 2654435761u;
	double length = 0;

	memcpy(work, maker->centres + plane * maker->dim, maker->dim * sizeof(float));
	for (int l = 0; l < LATENT; l++) {
		const float *direction = maker->directions + (which + (uint64_t)l * 5) % DIRECTIONS * maker->dim;
		float along = next_normal(&maker->seed) / (1 + 0.06f * (float)l);

		for (uint32_t i = 0; i < maker->dim; i++)
			work[i] += along * direction[i];
	}
	for (uint32_t i = 0; i < maker->dim; i++) {
		work[i] += 0.12f * next_normal(&maker->seed);
		length += (double)work[i] * (double)work[i];
	}
	length = root(length);
	for (uint32_t i = 0; i < maker->dim; i++) {
		int32_t raw;

		if (maker->bytes) {
			int32_t byte = (int32_t)((work[i] < 0 ? -work[i] : work[i]) * 28);

			raw = (byte < 255 ? byte : 255) * 65536;
		} else {
			raw = (int32_t)((double)work[i] / length * 65536);
		}
		vl_put32(out + 4 * i, (uint32_t)raw);
	}
}

void vectors_make(struct vectors *vectors, const struct vl_env *env, uint32_t count, uint32_t dim,
		  uint32_t queries_count, int bytes)
{
	struct maker maker = {.dim = dim, .bytes = bytes, .seed = 1};
	float *work = memory(dim * sizeof(float));

	memset(vectors, 0, sizeof(*vectors));
	snprintf(vectors->name, sizeof(vectors->name), "%s-%u-%u", bytes ? "made" : "unit", dim, count);
	vectors->dim = dim;
	vectors->count = count;
	vectors->queries_count = queries_count;
	vectors->base = memory((size_t)count * dim * 4);
	vectors->queries = memory((size_t)queries_count * dim * 4);
	maker.directions = memory((size_t)DIRECTIONS * dim * sizeof(float));
	maker.centres = memory((size_t)PLANES * dim * sizeof(float));
	for (size_t i = 0; i < (size_t)DIRECTIONS * dim; i++)
		maker.directions[i] = next_normal(&maker.seed) * 0.35f;
	for (size_t i = 0; i < (size_t)PLANES * dim; i++)
		maker.centres[i] = next_normal(&maker.seed) * 0.8f;
	for (size_t i = 0; i < count; i++)
		make_one(&maker, vectors->base + i * dim * 4, work);
	for (size_t i = 0; i < queries_count; i++)
		make_one(&maker, vectors->queries + i * dim * 4, work);
	answer(vectors, env);
	free(maker.directions);
	free(maker.centres);
	free(work);
}

void vectors_free(struct vectors *vectors)
{
	free(vectors->base);
	free(vectors->queries);
	free(vectors->answers);
}

void vectors_write(const uint8_t *vectors, uint32_t count, uint32_t dim, const char *path)
{
	FILE *file = fopen(path, "wb");
	uint8_t *row = memory(4 + (size_t)dim * 4);

	if (file == NULL)
		fail("cannot be written", path);
	vl_put32(row, dim);
	for (size_t n = 0; n < count; n++) {
		for (size_t i = 0; i < dim; i++) {
			float value = (float)(int32_t)vl_get32(vectors + (n * dim + i) * 4) / 65536;
			uint32_t bits;

			memcpy(&bits, &value, 4);
			vl_put32(row + 4 + 4 * i, bits);
		}
		if (fwrite(row, 4 + (size_t)dim * 4, 1, file) != 1)
			fail("cannot be written", path);
	}
	if (fclose(file) != 0)
		fail("cannot be written", path);
	free(row);
}
