/*
 * bench_hash.c - the lowest layers: hashes, checksums, conversion, distances, decimal text.
 *
 * Prints name, value and unit, tab-separated; each figure is the best of several short rounds on one thread, in time of
 * the processor.
 * VALORI_CPU=NAME chooses the kernels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "blake3.h"
#include "bytes.h"
#include "cpu.h"
#include "crc32c.h"
#include "decimal.h"
#include "measure.h"
#include "q16.h"
#include "sha256.h"

enum { ROUNDS = 11, CACHED = 64 << 10 };

static const struct vl_kernels *kernels;
static uint8_t *memory, *target;
static size_t memory_size = 256 << 20;
static volatile uint64_t sink;

/* Seconds for one of times repetitions of the statement, in the best round. */
#define TIME(times, statement)                                                  \
	__extension__({                                                         \
		double best = 1e9;                                              \
		for (int round = 0; round < ROUNDS; round++) {                  \
			double start = cpu(), end;                              \
			for (size_t turn = 0; turn < (size_t)(times); turn++) { \
				statement;                                      \
			}                                                       \
			end = (cpu() - start) / (double)(times);                \
			best = end < best ? end : best;                         \
		}                                                               \
		best;                                                           \
	})

static void report(const char *name, double value, const char *unit)
{
	printf("%s\t%.4g\t%s\n", name, value, unit);
}

static void bench_blake3(void)
{
	static const size_t sizes[] = {64, 120, 512, 1536, 3072};
	uint32_t cv[8] = {1};
	uint8_t out[32];
	double seconds;
	char name[64];

	report("blake3 one compression after another",
	       TIME(200000, kernels->blake3_compress(cv, memory, 64, turn, 0)) * 1e9, "ns");
	memset(out, 1, 32);
	seconds = TIME(100000, {
		memcpy(memory, out, 32);
		vl_blake3(kernels, VL_HASH_TREE, memory, 64, out);
	});
	report("blake3 path: a node of 64 bytes after another", seconds * 1e9, "ns");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i], count = 1000000 / size;

		seconds = TIME(20, vl_blake3_rows(kernels, VL_HASH_VECTOR, memory, size, size, count, target));
		snprintf(name, sizeof(name), "blake3 rows of %zu bytes", size);
		report(name, (double)(count * size) / seconds / 1e9, "GB/s");
		report(name, (double)count / seconds / 1e6, "M/s");
	}
	seconds = TIME(20, vl_blake3(kernels, VL_HASH_PLAIN, memory, 1 << 20, out));
	report("blake3 of 1 MiB", (1 << 20) / seconds / 1e9, "GB/s");
	seconds = TIME(2000, vl_blake3(kernels, VL_HASH_PLAIN, memory, 512, out));
	report("blake3 of 512 bytes alone", seconds * 1e9, "ns");
	for (size_t count = 1; count <= 16; count *= 2) {
		seconds = TIME(20000, vl_blake3_rows(kernels, VL_HASH_TREE, memory, 64, 64, count, target));
		snprintf(name, sizeof(name), "blake3 %zu nodes of 64 bytes", count);
		report(name, seconds * 1e9, "ns");
	}
	/* What a bulk ingest of 128 components hashes for each row: vector, event, leaf, and a node in each tree. */
	seconds = TIME(5, {
		for (size_t at = 0; at < 65536; at += 4096) {
			vl_blake3_rows(kernels, VL_HASH_VECTOR, memory + at * 512, 512, 512, 4096, target);
			vl_blake3_rows(kernels, VL_HASH_EVENT, memory + at * 128, 128, 90, 4096, target);
			vl_blake3_rows(kernels, VL_HASH_RECORD, memory + at * 128, 128, 120, 4096, target);
			vl_blake3_rows(kernels, VL_HASH_TREE, memory + at * 64, 64, 64, 4096, target);
			vl_blake3_rows(kernels, VL_HASH_EVENTS, memory + at * 64, 64, 64, 4096, target);
		}
	});
	report("all hashes of a row of 128 components", 65536 / seconds / 1e6, "M rows/s");
}

static void bench_others(void)
{
	uint8_t out[32];
	double seconds;

	seconds = TIME(20, vl_sha256(kernels, memory, 1 << 20, out));
	report("sha256 of 1 MiB", (1 << 20) / seconds / 1e9, "GB/s");
	seconds = TIME(20000, vl_sha256(kernels, memory, 200, out));
	report("sha256 of 200 bytes", seconds * 1e9, "ns");
	seconds = TIME(20, sink = vl_crc32c(kernels, 0, memory, 1 << 20));
	report("crc32c of 1 MiB", (1 << 20) / seconds / 1e9, "GB/s");
	seconds = TIME(20000, sink = vl_crc32c(kernels, 0, memory, 600));
	report("crc32c of 600 bytes", seconds * 1e9, "ns");
}

/* The rival: a scan of binary32, with the widest vectors and fused multiply-add where the exact scan has AVX-512. */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void f32_rows_avx512(const float *query, const float *rows, size_t count,
							       size_t dim, float *out)
{
	for (size_t i = 0; i < count; i++, rows += dim) {
		__m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};

		for (size_t j = 0; j < dim; j += 64)
			_Pragma("GCC unroll 4") for (unsigned k = 0; k < 4; k++)
			{
				__m512 a = _mm512_sub_ps(_mm512_loadu_ps(query + j + 16 * k),
							 _mm512_loadu_ps(rows + j + 16 * k));

				sum[k] = _mm512_fmadd_ps(a, a, sum[k]);
			}
		out[i] = _mm512_reduce_add_ps(
			_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
	}
}
#endif

static void f32_rows(const float *query, const float *rows, size_t count, size_t dim, float *out)
{
#if defined(__x86_64__)
	if (strcmp(kernels->name, "avx512") == 0) {
		f32_rows_avx512(query, rows, count, dim, out);
		return;
	}
#endif
	for (size_t i = 0; i < count; i++, rows += dim) {
		float sum[16] = {0}, total = 0;

		for (size_t j = 0; j < dim; j += 16)
			for (unsigned k = 0; k < 16; k++)
				sum[k] += (query[j + k] - rows[j + k]) * (query[j + k] - rows[j + k]);
		for (unsigned k = 0; k < 16; k++)
			total += sum[k];
		out[i] = total;
	}
}

/*
 * The two scans take turns over the same bytes, so that they share whatever else the machine is doing: neither looks at
 * values. (Components of binary32 are within the range of Q16.16's.)
 */
static void bench_scans(size_t dim, size_t count, const char *place)
{
	const uint8_t *query = memory + memory_size - dim * 4;
	size_t times = memory_size / 8 / (count * dim * 4) + 1;
	double plain = 1e9, exact = 1e9;
	char name[80];

	for (int round = 0; round < ROUNDS; round++) {
		double start = cpu(), middle, end;

		for (size_t turn = 0; turn < times; turn++)
			f32_rows((const float *)query, (const float *)memory, count, dim, (float *)target);
		middle = cpu();
		for (size_t turn = 0; turn < times; turn++)
			vl_q16_l2_rows(kernels, query, memory, count, dim, (uint64_t *)target);
		end = cpu();
		plain = middle - start < plain ? middle - start : plain;
		exact = end - middle < exact ? end - middle : exact;
	}
	snprintf(name, sizeof(name), "f32 scan %s, %zu components", place, dim);
	report(name, plain / (double)(times * count) * 1e9, "ns/row");
	snprintf(name, sizeof(name), "exact scan %s, %zu components", place, dim);
	report(name, exact / (double)(times * count) * 1e9, "ns/row");
	snprintf(name, sizeof(name), "exact scan / f32 scan %s, %zu components", place, dim);
	report(name, exact / plain, "x");
}

static void bench_q16(void)
{
	static const size_t dims[] = {128, 384, 768};
	char name[80];

	for (size_t c = 0; c < memory_size / 4; c++) {
		float x = (float)(c * 2654435761u % 65536) / 32768 - 1;

		memcpy(memory + 4 * c, &x, 4);
	}
	for (size_t i = 0; i < 3; i++) {
		size_t dim = dims[i], cached = CACHED / 4 / (dim * 4), faults = 0, component;
		double seconds;

		seconds = TIME(400, for (size_t row = 0; row < cached; row++) faults +=
				    vl_q16_accept_f32(kernels, memory + row * dim * 4, dim, target, &component) !=
				    VL_Q16_OK);
		snprintf(name, sizeof(name), "f32 to Q16.16 and acceptance, %zu components", dim);
		report(name, faults == 0 ? (double)cached / seconds / 1e6 : 0, "M rows/s");
		bench_scans(dim, cached, "in cache");
		bench_scans(dim, memory_size / (dim * 4), "out of cache");
		seconds = TIME(20,
			       vl_q16_l2_block(kernels, memory + CACHED, 32, memory, cached, dim, (uint64_t *)target)) /
			  (double)cached / 32;
		snprintf(name, sizeof(name), "exact scan of 32 queries at once, rows in cache, %zu components", dim);
		report(name, seconds * 1e9, "ns/row/query");
	}
}

static void bench_decimal(void)
{
	static const int places[] = {4, 6, 8, 9, 17, 25};
	char name[64];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		enum { COUNT = 20000 };
		char *text = malloc(COUNT * 40 + 1);
		size_t size = 0;
		double seconds;

		for (unsigned n = 0; n < COUNT; n++)
			size += (size_t)snprintf(text + size, 40, "%.*f,", places[i],
						 ((double)(n * 2654435761u) / 2147483648.0 - 1) * (n % 7 ? 0.1 : 1));
		seconds = TIME(5, {
			uint64_t sum = 0;

			for (const char *p = text; p < text + size; p++) {
				uint32_t bits = 0;

				p += vl_f32_from_decimal(p, size - (size_t)(p - text), &bits);
				sum += bits;
			}
			sink = sum;
		});
		snprintf(name, sizeof(name), "decimal of %d places", places[i]);
		report(name, seconds / COUNT * 1e9, "ns");
		free(text);
	}
}

int main(void)
{
	kernels = vl_cpu_kernels(getenv("VALORI_CPU"));
	if (kernels == NULL)
		return 2;
	memory = aligned_alloc(64, memory_size);
	target = aligned_alloc(64, 64 << 20);
	if (memory == NULL || target == NULL)
		return 4;
	for (size_t i = 0; i < memory_size; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 9));
	memset(target, 1, 64 << 20);
	printf("# kernels: %s\n", kernels->name);
	bench_blake3();
	bench_others();
	bench_decimal();
	bench_q16();
	return 0;
}
