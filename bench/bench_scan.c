/*
 * bench_scan.c - exact search: the certified scan of codes against scans of f32 and of Q16.16, alone and for many
 * queries at once.
 *
 * Prints name, value and unit, tab-separated. One thread, processor time; what is compared takes turns in one run,
 * medians. usage: bench_scan [RECORDS [DIM]] or bench_scan --data FOLDER [RECORDS], which has base and query as .bvecs
 * or .fvecs; 1,000,000 of 128 components, like those of SIFT: small whole numbers in clusters; from 256 dimensions on
 * like embeddings: of length one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "f32.h"
#include "host.h"
#include "measure.h"
#include "q16.h"

enum { TURNS = 7, QUERIES = 256, MANY = 128, CENTRES = 2000, K = 10, INNER = 24 };

static const struct vl_env *env; /* also of the f32 rows: equal pages for all */
static struct vl_state state;
static struct vl_codes codes;
static size_t records = 1000000, dim = 128, queries_count;
static float *rows, *queries;
static uint8_t *raw_queries;
static volatile float nearest;

static void report(const char *name, double value, const char *unit)
{
	printf("%s\t%.4g\t%s\n", name, value, unit);
	fflush(stdout);
}

static void fail(const char *what)
{
	fprintf(stderr, "bench_scan: %s\n", what);
	exit(1);
}

static void must(valori_code code, const valori_error *error)
{
	if (code != VALORI_OK)
		fail(error->message);
}

/* ---- data ---- */

static uint64_t seed = 1;

static uint64_t next(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* About normal, variance 1: the sum of the bytes of a word. */
static float normal(void)
{
	uint64_t r = next();
	int sum = 0;

	for (int i = 0; i < 8; i++)
		sum += (int)(r >> 8 * i & 255);
	return ((float)sum - 1020) / 209;
}

static void make_row(float *out, const float *centres)
{
	const float *centre = centres + next() % CENTRES * (dim + INNER * dim);
	const float *directions = centre + dim;
	float inner[INNER], length = 0;

	/* Around a centre along few directions of its own, as real ones are: what is near is near in all of them. */
	for (int i = 0; i < INNER; i++)
		inner[i] = normal();
	for (size_t i = 0; i < dim; i++) {
		float x = centre[i] + normal() * 0.15F;

		for (int j = 0; j < INNER; j++)
			x += inner[j] * directions[(size_t)j * dim + i];
		out[i] = x;
		length += x * x;
	}
	length = sqrtf(length);
	for (size_t i = 0; i < dim; i++) {
		if (dim >= 256) {
			out[i] /= length;
			continue;
		}
		out[i] = floorf(fabsf(out[i]) * 512 / length);
		out[i] = out[i] > 255 ? 255 : out[i];
	}
}

static void generate(void)
{
	float *centres = malloc(sizeof(float) * CENTRES * (dim + INNER * dim));

	rows = vl_alloc(env, records * dim * sizeof(float));
	queries_count = QUERIES;
	queries = malloc(queries_count * dim * sizeof(float));
	if (centres == NULL || rows == NULL || queries == NULL)
		fail("out of memory");
	for (size_t c = 0; c < CENTRES; c++)
		for (size_t i = 0; i < dim + INNER * dim; i++)
			centres[c * (dim + INNER * dim) + i] = normal() * (i < dim ? 1 : 0.12F);
	for (size_t i = 0; i < records; i++)
		make_row(rows + i * dim, centres);
	for (size_t i = 0; i < queries_count; i++)
		make_row(queries + i * dim, centres);
	free(centres);
}

/* The vectors of a .bvecs or .fvecs file, most at the most. */
static float *read_vectors(const char *folder, const char *name, size_t most, size_t *count)
{
	char path[4096];
	float *out = NULL;
	uint8_t *row = NULL;
	uint32_t width = 0;
	int size = 1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.bvecs", folder, name);
	file = fopen(path, "rb");
	if (file == NULL) {
		snprintf(path, sizeof(path), "%s/%s.fvecs", folder, name);
		file = fopen(path, "rb");
		size = 4;
	}
	if (file == NULL)
		fail("no base and query as .bvecs or .fvecs there");
	for (*count = 0; *count < most && fread(&width, 4, 1, file) == 1; ++*count) {
		if (out == NULL) {
			dim = width;
			row = malloc(dim * 4);
			out = vl_alloc(env, most * dim * sizeof(float));
		}
		if (width != dim || row == NULL || out == NULL || fread(row, (size_t)size, dim, file) != dim)
			fail("not vectors of one dimension");
		if (size == 4)
			memcpy(out + *count * dim, row, dim * 4);
		for (size_t i = 0; size == 1 && i < dim; i++)
			out[*count * dim + i] = row[i];
	}
	fclose(file);
	free(row);
	return out;
}

static void build(void)
{
	struct vl_pool *pool;
	uint8_t *raw = malloc(4 * dim);
	size_t component;
	valori_error error;
	bool settled;
	double start;

	must(vl_pool_new(env, &pool, &error), &error);
	must(vl_state_init(&state, pool, (uint32_t)dim, 0, &error), &error);
	vl_codes_init(&codes, env, (uint32_t)dim);
	for (size_t i = 0; i < records; i++) {
		struct vl_event event = {
			.type = VALORI_EVENT_INSERT, .id = i, .vector = raw, .metadata_size = VL_ABSENT};

		if (vl_q16_accept_f32(env->kernels, (const uint8_t *)(rows + i * dim), dim, raw, &component) !=
		    VL_Q16_OK)
			fail("a vector is out of range");
		must(vl_state_apply(&state, &event, &error), &error);
		vl_state_clean(&state);
	}
	start = cpu();
	for (uint64_t first = 0, last; first < records; first = last) {
		last = first + (first < 256 ? 64 : first < 8192 ? first / 4 : 2048);
		must(vl_codes_append(&codes, &state, first, last, NULL, &settled, &error), &error);
	}
	report("coding", (double)records * (double)dim / (cpu() - start) * 1e-6, "million components/s");
	report("step", codes.quantiser.step, "raw units");
	raw_queries = malloc(queries_count * dim * 4);
	for (size_t i = 0; i < queries_count; i++)
		vl_q16_accept_f32(env->kernels, (const uint8_t *)(queries + i * dim), dim, raw_queries + i * dim * 4,
				  &component);
	free(raw);
}

static double scan_f32(size_t query)
{
	double start = cpu();

	nearest = f32_scan(rows, records, dim, queries + query * dim);
	return cpu() - start;
}

/* ---- ours ---- */

static uint64_t compared;
static valori_hit heaps[MANY * K], others[MANY * K];

static double scan(size_t first, size_t count, bool with_codes)
{
	const struct vl_filter filter = {0, false, 0};
	size_t hits[MANY] = {0};
	const uint8_t *from = raw_queries + first * dim * 4;
	valori_error error;
	double start = cpu();

	if (with_codes)
		must(vl_codes_search(&codes, &state, from, count, K, &filter, 0, codes.count, heaps, hits, &compared,
				     &error),
		     &error);
	else
		must(vl_brute_search(&state, from, count, K, &filter, 0, records, others, hits, &error), &error);
	start = cpu() - start;
	for (size_t q = 0; q < count; q++)
		vl_hits_sort((with_codes ? heaps : others) + q * K, hits[q]);
	return start;
}

int main(int argc, char **argv)
{
	double f32[TURNS], exact[TURNS], single[TURNS], eight[TURNS], many[TURNS];
	uint64_t singly = 0;

	env = vl_host_env();
	if (argc > 2 && strcmp(argv[1], "--data") == 0) {
		rows = read_vectors(argv[2], "base", argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000, &records);
		queries = read_vectors(argv[2], "query", QUERIES, &queries_count);
	} else {
		if (argc > 1)
			records = strtoull(argv[1], NULL, 10);
		if (argc > 2)
			dim = strtoull(argv[2], NULL, 10);
		generate();
	}
	if (records == 0 || dim == 0 || dim > VL_DIM_MAX || queries_count < MANY)
		fail("usage: bench_scan [RECORDS [DIM]] | --data FOLDER [RECORDS]");
	report("records", (double)records, "");
	report("dimensions", (double)dim, "");
	build();
	for (size_t turn = 0; turn < TURNS; turn++) {
		f32[turn] = scan_f32(turn);
		exact[turn] = scan(turn, 1, false);
		compared = 0;
		single[turn] = scan(turn, 1, true);
		singly += compared;
		if (memcmp(heaps, others, K * sizeof(*heaps)) != 0)
			fail("the certified scan has other hits than the plain one");
		eight[turn] = scan(turn * 8, 8, true) / 8;
		many[turn] = scan(turn * 8, MANY, true) / MANY;
	}
	report("f32, one query", median(f32, TURNS) * 1e3, "ms");
	report("Q16.16, one query", median(exact, TURNS) * 1e3, "ms");
	report("codes, one query", median(single, TURNS) * 1e3, "ms");
	report("codes, 8 queries, each", median(eight, TURNS) * 1e3, "ms");
	report("codes, 128 queries, each", median(many, TURNS) * 1e3, "ms");
	report("exact distances, one query", (double)singly / TURNS, "");
	report("f32 / codes, one query", median(f32, TURNS) / median(single, TURNS), "");
	report("f32 / codes, 128 queries", median(f32, TURNS) / median(many, TURNS), "");
	return 0;
}
