/* test_hnsw.c - the graph: what it finds, and that it is the same for everybody. */
#include "bytes.h"
#include "check.h"
#include "cpu.h"
#include "hnsw.h"
#include "planes.h"

enum { K = 10, EF = 200 };

static const struct vl_hnsw_parameters usual = {16, 100, 4, 1100};
static const struct vl_hnsw_effort accurate = {.k = K, .ef = EF, .slack = 1400};

/* ---- graphs ---- */

static void build(struct vl_hnsw *graph, const struct vl_codes *codes, const struct vl_hnsw_parameters *parameters,
		  size_t threads)
{
	struct vl_workers workers = {run_threads, NULL, threads};

	vl_hnsw_init(graph, &memory.env, parameters);
	if (vl_hnsw_grow(graph, codes, threads > 1 ? &workers : NULL, NULL) != VALORI_OK)
		abort();
}

static uint64_t digest(const struct vl_hnsw *graph)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	uint8_t numbers[16];
	size_t m = graph->parameters.m;

	vl_put32(numbers, graph->count);
	vl_put32(numbers + 4, graph->entry);
	vl_put32(numbers + 8, graph->top);
	vl_put32(numbers + 12, graph->above_count);
	sum = digest_bytes(sum, numbers, 16);
	sum = digest_bytes(sum, graph->links.data, graph->count * 8 * m);
	sum = digest_bytes(sum, graph->levels.data, graph->count);
	sum = digest_bytes(sum, graph->upper.data, graph->count * 4);
	return digest_bytes(sum, graph->above.data, graph->above_count * 4 * m);
}

struct asked {
	const struct vl_hnsw *graph;
	const struct vl_codes *codes;
	const uint64_t *allowed;
	struct vl_hnsw_effort effort;
	uint64_t seed;
	unsigned queries;
};

/*
 * Thousandths of the K nearest that are found. Everything found must be allowed, with its distance, in order,
 * and be there once.
 */
static unsigned recall(const struct asked *asked, unsigned *wrong)
{
	struct vl_hnsw_scratch *scratch;
	uint64_t *truth = malloc(((size_t)asked->codes->count + 1) * 8), *out = malloc(asked->effort.ef * 8);
	uint64_t seed = asked->seed, right = 0, all = 0;
	uint8_t *query = aligned_alloc(64, asked->codes->stride);

	vl_hnsw_scratch_new(&scratch, &memory.env, NULL);
	for (unsigned q = 0; q < asked->queries; q++) {
		size_t found = 0, matches;

		memset(query, 0, asked->codes->stride);
		make_code(query, asked->codes->dim, &seed);
		matches = scan(asked->codes, query, asked->allowed, truth);
		*wrong += vl_hnsw_search(asked->graph, asked->codes, scratch, query, &asked->effort, asked->allowed,
					 out, &found, NULL, NULL) != VALORI_OK;
		*wrong += found > asked->effort.ef || found > matches;
		for (size_t i = 0; i < found; i++) {
			uint32_t row = (uint32_t)out[i];

			*wrong += row >= asked->codes->count || !has(asked->allowed, row) ||
				  out[i] >> 32 != distance(asked->codes, query, row) || (i > 0 && out[i] <= out[i - 1]);
		}
		/* Any of those as near as the last will do. */
		for (size_t i = 0; i < K && i < matches; i++, all++)
			right += i < found && out[i] >> 32 <= truth[K < matches ? K - 1 : matches - 1] >> 32;
	}
	vl_hnsw_scratch_free(scratch);
	free(truth);
	free(out);
	free(query);
	return all > 0 ? (unsigned)(right * 1000 / all) : 1000;
}

static void test_recall(void)
{
	struct vl_codes codes;
	struct vl_hnsw graph;
	unsigned wrong = 0, found;

	codes_make(&codes, 32, 6000, 1);
	build(&graph, &codes, &usual, 1);
	check(vl_hnsw_check(&graph, NULL) == VALORI_OK, "what was built is a graph");
	found = recall(&(struct asked){&graph, &codes, NULL, accurate, 2, 200}, &wrong);
	printf("# recall %u/1000\n", found);
	check(found >= 990, "ef 200 and slack 1400 find 99 %% of the ten nearest");
	check_u64(wrong, 0, "what is found is in order, once, with its distance");
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* ---- the same for everybody ---- */

static void test_sameness(void)
{
	struct vl_workers backwards = {run_backwards, NULL, 5};
	struct vl_codes codes;
	struct vl_hnsw graph, other;
	uint64_t first;
	unsigned differ = 0;

	codes_make(&codes, 24, 5000, 3);
	build(&graph, &codes, &usual, 1);
	first = digest(&graph);
	for (size_t threads = 2; threads <= THREADS_MAX; threads *= 2) {
		build(&other, &codes, &usual, threads);
		differ += digest(&other) != first;
		vl_hnsw_free(&other);
	}
	vl_hnsw_init(&other, &memory.env, &usual);
	differ += vl_hnsw_grow(&other, &codes, &backwards, NULL) != VALORI_OK || digest(&other) != first;
	vl_hnsw_free(&other);
	check_u64(differ, 0, "any number of threads builds the same graph");
	differ = 0;
	for (size_t i = 0; vl_cpu_kernels_at(i) != NULL; i++) {
		memory.env.kernels = vl_cpu_kernels_at(i);
		build(&other, &codes, &usual, 1);
		differ += digest(&other) != first;
		vl_hnsw_free(&other);
	}
	memory.env.kernels = vl_cpu_kernels(NULL);
	check_u64(differ, 0, "all kernels build the same graph");
	/* Where the pieces end anyway. */
	vl_hnsw_init(&other, &memory.env, &usual);
	for (uint32_t count = 64; count < 2 * codes.count; count += count < 2048 ? count : 2048) {
		struct vl_codes before = codes_before(&codes, count < codes.count ? count : codes.count);

		vl_hnsw_grow(&other, &before, NULL, NULL);
	}
	check_u64(digest(&other), first, "grown round by round it is the same as at once");
	vl_hnsw_free(&other);
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* Committed: a graph is part of a store's files, so no later version may build another one. */
static void test_golden(void)
{
	static const struct vl_hnsw_parameters small = {4, 20, 1, 65536};
	struct vl_codes codes;
	struct vl_hnsw graph;

	codes_make(&codes, 16, 1000, 4);
	build(&graph, &codes, &usual, 1);
	check_u64(digest(&graph), UINT64_C(0x645025fe304ff070), "the golden graph");
	vl_hnsw_free(&graph);
	build(&graph, &codes, &small, 1);
	check_u64(digest(&graph), UINT64_C(0x8507956ad4db63c5), "the golden graph of other parameters");
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

static void test_many(void)
{
	enum { QUERIES = 37 };
	struct vl_hnsw_scratch *scratch;
	struct vl_codes codes;
	struct vl_hnsw graph;
	static uint64_t out[QUERIES * EF], single[EF];
	size_t found[QUERIES], one = 0;
	uint64_t bits[2000 / 64 + 1], seed = 6, compared = 0, compared_single = 0;
	uint8_t *queries;
	unsigned differ = 0;

	codes_make(&codes, 24, 2000, 5);
	build(&graph, &codes, &usual, 1);
	vl_hnsw_scratch_new(&scratch, &memory.env, NULL);
	queries = aligned_alloc(64, QUERIES * codes.stride);
	memset(queries, 0, QUERIES * codes.stride);
	for (size_t q = 0; q < QUERIES; q++)
		make_code(queries + q * codes.stride, codes.dim, &seed);
	for (size_t i = 0; i < sizeof(bits) / 8; i++)
		bits[i] = check_random(&seed);
	for (unsigned width = 0; width < 8; width++) {
		struct vl_hnsw_effort effort = accurate;
		const uint64_t *allowed = width % 3 == 1 ? bits : NULL;

		effort.width = width;
		effort.matches = width == 4 ? 100 : 0;
		vl_hnsw_search_many(&graph, &codes, scratch, queries, QUERIES, &effort, allowed, out, found, &compared,
				    NULL);
		for (size_t q = 0; q < QUERIES; q++) {
			vl_hnsw_search(&graph, &codes, scratch, queries + q * codes.stride, &effort, allowed, single,
				       &one, &compared_single, NULL);
			differ += one != found[q] || memcmp(single, out + q * EF, one * 8) != 0;
		}
	}
	check_u64(differ, 0, "many queries have the answers of each alone, for every width");
	check(compared == compared_single && compared > 0, "and cost as many distances");
	check_u64(vl_hnsw_search_many(&graph, &codes, scratch, queries, 0, &accurate, NULL, out, found, NULL, NULL),
		  VALORI_OK, "no query, no answer");
	free(queries);
	vl_hnsw_scratch_free(scratch);
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* ---- what is allowed ---- */

static void test_allowed(void)
{
	enum { COUNT = 6000 };
	static const struct {
		unsigned percent, ef, recall;
	} shares[] = {{90, 200, 990}, {50, 200, 990}, {20, 200, 980}, {10, 200, 960}, {2, 200, 0}};
	static uint64_t bits[COUNT / 64 + 1];
	struct vl_codes codes;
	struct vl_hnsw graph;
	unsigned wrong = 0, poor = 0;

	codes_make(&codes, 32, COUNT, 7);
	build(&graph, &codes, &usual, 1);
	for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
		uint64_t seed = s;
		struct asked asked = {&graph, &codes, bits, accurate, 9, 100};

		memset(bits, 0, sizeof(bits));
		asked.effort.slack = 1500;
		for (uint32_t row = 0; row < COUNT; row++)
			if (check_random(&seed) % 100 < shares[s].percent) {
				bits[row / 64] |= UINT64_C(1) << row % 64;
				asked.effort.matches++;
			}
		for (int known = 1; known >= 0; known--) {
			unsigned found;

			asked.effort.matches = known ? asked.effort.matches : 0;
			found = recall(&asked, &wrong);
			printf("# %u %% allowed, number %s: recall %u/1000\n", shares[s].percent,
			       known ? "known" : "unknown", found);
			poor += found < shares[s].recall;
		}
	}
	check_u64(wrong, 0, "only what is allowed is found, in order, once, with its distance");
	check_u64(poor, 0, "and nearly all of it");
	memset(bits, 0, sizeof(bits));
	check_u64(recall(&(struct asked){&graph, &codes, bits, accurate, 9, 10}, &wrong) + wrong, 1000,
		  "where nothing is allowed nothing is found");
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* ---- odd sets ---- */

static void test_odd_sets(void)
{
	struct vl_hnsw_scratch *scratch;
	struct vl_codes codes;
	struct vl_hnsw graph;
	uint64_t out[EF], seed = 1;
	size_t found = 7;
	unsigned wrong = 0;
	uint8_t query[64] __attribute__((aligned(64))) = {0};

	vl_hnsw_scratch_new(&scratch, &memory.env, NULL);
	codes_new(&codes, 3, 0);
	build(&graph, &codes, &usual, 1);
	vl_hnsw_search(&graph, &codes, scratch, query, &accurate, NULL, out, &found, NULL, NULL);
	check(found == 0 && vl_hnsw_check(&graph, NULL) == VALORI_OK, "no rows");
	vl_hnsw_free(&graph);
	codes_free(&codes);

	codes_new(&codes, 3, 1);
	build(&graph, &codes, &usual, 1);
	vl_hnsw_search(&graph, &codes, scratch, query, &accurate, NULL, out, &found, NULL, NULL);
	check(found == 1 && out[0] == 0 && vl_hnsw_check(&graph, NULL) == VALORI_OK, "one row");
	vl_hnsw_free(&graph);
	codes_free(&codes);

	codes_new(&codes, 8, 5000);
	build(&graph, &codes, &usual, 2);
	vl_hnsw_search(&graph, &codes, scratch, query, &accurate, NULL, out, &found, NULL, NULL);
	for (size_t i = 0; i < K; i++)
		wrong += i >= found || out[i] != i;
	check(wrong == 0 && vl_hnsw_check(&graph, NULL) == VALORI_OK, "all rows are equal: the first are found");
	vl_hnsw_free(&graph);
	codes_free(&codes);

	/* Twenty of each; the copies come one after the other, then everything again. */
	codes_make(&codes, 32, 4000, 8);
	for (uint32_t row = 0; row < 4000; row++)
		memcpy(code_of(&codes, row), code_of(&codes, row % 2000 / 10), codes.stride);
	build(&graph, &codes, &usual, 1);
	wrong = 0;
	for (uint32_t row = 0; row < 2000; row += 10) {
		vl_hnsw_search(&graph, &codes, scratch, code_of(&codes, row), &accurate, NULL, out, &found, NULL, NULL);
		for (size_t i = 0; i < K; i++)
			wrong += i >= found || out[i] >> 32 != 0;
	}
	printf("# %u of 2,000 copies are not found\n", wrong);
	check(wrong <= 20, "copies of the query are found");
	vl_hnsw_free(&graph);
	codes_free(&codes);

	codes_new(&codes, 1, 3000);
	for (uint32_t row = 0; row < 3000; row++)
		code_of(&codes, row)[0] = (uint8_t)check_random(&seed);
	build(&graph, &codes, &usual, 1);
	wrong = 0;
	for (unsigned x = 0; x < 256; x++) {
		query[0] = (uint8_t)x;
		vl_hnsw_search(&graph, &codes, scratch, query, &accurate, NULL, out, &found, NULL, NULL);
		wrong += found < 1 || out[0] >> 32 != 0;
	}
	printf("# %u of 256 are not found\n", wrong);
	check(wrong <= 2, "one dimension");
	vl_hnsw_free(&graph);
	codes_free(&codes);
	vl_hnsw_scratch_free(scratch);
}

/* Many that are alike arrive together, and are no strangers to each other. */
static void test_bursts(void)
{
	struct vl_codes codes;
	struct vl_hnsw graph;
	unsigned wrong = 0, found;
	uint64_t seed = 10;

	codes_new(&codes, 32, 6000);
	for (uint32_t row = 0; row < 6000; row++) {
		uint64_t burst = row / 900 * 31 + 1;

		for (uint32_t i = 0; i < 32; i++)
			code_of(&codes, row)[i] = (uint8_t)(check_random(&burst) % 200 + check_random(&seed) % 32);
	}
	build(&graph, &codes, &usual, 1);
	found = 0;
	for (uint32_t row = 5; row < 6000; row += 30) {
		struct vl_hnsw_scratch *scratch;
		uint64_t out[EF], truth[6000];
		size_t hits = 0;

		vl_hnsw_scratch_new(&scratch, &memory.env, NULL);
		vl_hnsw_search(&graph, &codes, scratch, code_of(&codes, row), &accurate, NULL, out, &hits, NULL, NULL);
		scan(&codes, code_of(&codes, row), NULL, truth);
		for (size_t i = 0; i < K; i++)
			found += i < hits && out[i] >> 32 <= truth[K - 1] >> 32;
		vl_hnsw_scratch_free(scratch);
		wrong++;
	}
	printf("# recall %u/%u\n", found, wrong * K);
	check(found * 100 >= wrong * K * 99, "bursts of rows that are alike are found");
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* ---- repair ---- */

static void test_repair(void)
{
	enum { COUNT = 6000 };
	static bool keep[COUNT];
	static uint32_t renumbered[COUNT];
	struct vl_workers workers = {run_threads, NULL, 3};
	struct vl_codes codes, kept;
	struct vl_hnsw graph, shared, fresh;
	struct asked asked = {NULL, NULL, NULL, accurate, 11, 300};
	uint64_t seed = 12, before;
	unsigned wrong = 0, repaired, anew;

	codes_make(&codes, 32, COUNT, 13);
	build(&graph, &codes, &usual, 1);
	before = digest(&graph);
	for (uint32_t row = 0; row < COUNT; row++)
		keep[row] = check_random(&seed) % 2;
	keep[graph.entry] = false;
	kept = drop_rows(&codes, keep, renumbered);
	shared = vl_hnsw_share(&graph);
	check_u64(vl_hnsw_repair(&graph, &kept, renumbered, NULL, NULL), VALORI_OK, "half of the rows go");
	check(graph.count == kept.count && vl_hnsw_check(&graph, NULL) == VALORI_OK,
	      "it is a graph of those that stay");
	check_u64(digest(&shared), before, "who shared the old one still has it");
	asked.graph = &graph;
	asked.codes = &kept;
	repaired = recall(&asked, &wrong);
	build(&fresh, &kept, &usual, 1);
	asked.graph = &fresh;
	anew = recall(&asked, &wrong);
	printf("# recall %u/1000, built anew %u/1000\n", repaired, anew);
	check(repaired + 5 >= anew && wrong == 0, "it finds what a graph built anew finds, within half a point");
	before = digest(&graph);
	check_u64(before, UINT64_C(0xaa8436fc4c0c51f6), "the golden repaired graph");
	vl_hnsw_free(&graph);
	check(vl_hnsw_repair(&shared, &kept, renumbered, &workers, NULL) == VALORI_OK && digest(&shared) == before,
	      "several threads repair alike");
	vl_hnsw_free(&shared);
	vl_hnsw_free(&fresh);
	codes_free(&kept);

	/* All but a few, then all. */
	build(&graph, &codes, &usual, 1);
	for (uint32_t row = 0; row < COUNT; row++)
		keep[row] = row % 500 == 499;
	kept = drop_rows(&codes, keep, renumbered);
	vl_hnsw_repair(&graph, &kept, renumbered, NULL, NULL);
	asked.graph = &graph;
	asked.codes = &kept;
	wrong = 0;
	check(graph.count == 12 && vl_hnsw_check(&graph, NULL) == VALORI_OK, "nearly all rows go");
	codes_free(&kept);
	memset(keep, 0, sizeof(keep));
	kept = drop_rows(&codes, keep, renumbered);
	vl_hnsw_repair(&graph, &kept, renumbered, NULL, NULL);
	check(graph.count == 0 && vl_hnsw_check(&graph, NULL) == VALORI_OK, "the rest goes");
	vl_hnsw_grow(&graph, &codes, NULL, NULL);
	check(graph.count == COUNT && vl_hnsw_check(&graph, NULL) == VALORI_OK, "and it can grow again");
	vl_hnsw_free(&graph);
	codes_free(&kept);
	codes_free(&codes);
}

/* Ten times a tenth is replaced by new rows: nothing wears out. */
static void test_cycles(void)
{
	enum { COUNT = 4000 };
	static bool keep[COUNT];
	static uint32_t renumbered[COUNT];
	struct vl_codes codes, kept, next;
	struct vl_hnsw graph, fresh;
	struct asked asked = {&graph, &codes, NULL, accurate, 14, 300};
	uint64_t seed = 15;
	unsigned wrong = 0, worn, anew;

	codes_make(&codes, 32, COUNT, 16);
	build(&graph, &codes, &usual, 1);
	for (int cycle = 0; cycle < 10; cycle++) {
		for (uint32_t row = 0; row < COUNT; row++)
			keep[row] = check_random(&seed) % 10 != 0;
		kept = drop_rows(&codes, keep, renumbered);
		wrong += vl_hnsw_repair(&graph, &kept, renumbered, NULL, NULL) != VALORI_OK;
		codes_make(&next, 32, COUNT, check_random(&seed));
		memcpy(next.rows.data, kept.rows.data, (size_t)kept.count * kept.stride);
		codes_free(&kept);
		codes_free(&codes);
		codes = next;
		wrong += vl_hnsw_grow(&graph, &codes, NULL, NULL) != VALORI_OK;
	}
	wrong += vl_hnsw_check(&graph, NULL) != VALORI_OK;
	worn = recall(&asked, &wrong);
	build(&fresh, &codes, &usual, 1);
	asked.graph = &fresh;
	anew = recall(&asked, &wrong);
	printf("# recall %u/1000, built anew %u/1000\n", worn, anew);
	check(worn + 5 >= anew && wrong == 0,
	      "after ten cycles of deletes and inserts it finds as much as one built anew");
	vl_hnsw_free(&fresh);
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* ---- sharing, memory ---- */

static void test_sharing(void)
{
	struct vl_codes codes, before;
	struct vl_hnsw graph, other;
	uint64_t first;

	codes_make(&codes, 16, 1500, 17);
	before = codes_before(&codes, 1000);
	build(&graph, &before, &usual, 1);
	first = digest(&graph);
	other = vl_hnsw_share(&graph);
	vl_hnsw_grow(&graph, &codes, NULL, NULL);
	check(digest(&other) == first && graph.count == 1500, "a version that is shared stays when another one grows");
	vl_hnsw_free(&graph);
	vl_hnsw_grow(&other, &codes, NULL, NULL);
	check(other.count == 1500 && vl_hnsw_check(&other, NULL) == VALORI_OK, "and grows when it is alone");
	vl_hnsw_free(&other);
	codes_free(&codes);
}

static void test_no_memory(void)
{
	static uint32_t renumbered[200];
	static bool keep[200];
	struct vl_hnsw_scratch *scratch;
	struct vl_codes codes, kept;
	struct vl_hnsw graph;
	uint64_t out[EF];
	size_t found;
	unsigned wrong = 0, failed = 0;
	int64_t blocks;

	codes_make(&codes, 16, 200, 18);
	for (uint32_t row = 0; row < 200; row++)
		keep[row] = row % 3 != 0;
	kept = drop_rows(&codes, keep, renumbered);
	blocks = memory.blocks;
	for (uint64_t n = 1; n < 200; n++) {
		valori_error error = {0};
		valori_code code;

		memory.calls = 0;
		memory.fail_at = n;
		vl_hnsw_init(&graph, &memory.env, &usual);
		code = vl_hnsw_grow(&graph, &codes, NULL, &error);
		if (code == VALORI_OK)
			code = vl_hnsw_check(&graph, &error);
		if (code == VALORI_OK)
			code = vl_hnsw_repair(&graph, &kept, renumbered, NULL, &error);
		if (code == VALORI_OK)
			code = vl_hnsw_scratch_new(&scratch, &memory.env, &error);
		else
			scratch = NULL;
		if (code == VALORI_OK)
			code = vl_hnsw_search(&graph, &kept, scratch, code_of(&kept, 0), &accurate, NULL, out, &found,
					      NULL, &error);
		failed += code == VALORI_NO_MEMORY;
		wrong += code != VALORI_OK && (code != VALORI_NO_MEMORY || error.message[0] == 0);
		memory.fail_at = 0;
		vl_hnsw_scratch_free(scratch);
		vl_hnsw_free(&graph);
		wrong += memory.blocks != blocks;
		if (code == VALORI_OK)
			break;
	}
	check(wrong == 0 && failed > 20 && failed < 150, "when memory runs out it is said, and nothing is lost");
	codes_free(&kept);
	codes_free(&codes);
}

/* ---- strangers ---- */

static uint8_t *at32(struct vl_block *block, size_t index)
{
	return (uint8_t *)block->data + 4 * index;
}

static void test_check(void)
{
	struct vl_codes codes;
	struct vl_hnsw graph;
	uint32_t tall = 0, old;
	uint8_t *place;
	unsigned missed = 0;

	codes_make(&codes, 16, 1000, 19);
	build(&graph, &codes, &usual, 1);
	while (((uint8_t *)graph.levels.data)[tall] == 0 || tall == graph.entry)
		tall++;
	place = at32(&graph.links, 5 * 32);
	old = vl_get32(place);
	vl_put32(place, 1000);
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	vl_put32(place, 5);
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	vl_put32(place, vl_get32(place + 4));
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	vl_put32(place, VL_HNSW_NONE);
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	vl_put32(place, old);
	check_u64(missed, 0, "a link to nowhere, to itself, twice, or behind the end is found");
	missed = 0;
	place = at32(&graph.above, (size_t)vl_get32(at32(&graph.upper, tall)) * 16);
	old = vl_get32(place);
	vl_put32(place, tall - 1);
	missed += ((uint8_t *)graph.levels.data)[tall - 1] == 0 && vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	vl_put32(place, old);
	((uint8_t *)graph.levels.data)[tall]++;
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	((uint8_t *)graph.levels.data)[tall]--;
	place = at32(&graph.upper, tall);
	old = vl_get32(place);
	vl_put32(place, old + 1);
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	vl_put32(place, old);
	graph.entry = tall - 1;
	missed += vl_hnsw_check(&graph, NULL) != VALORI_DAMAGED;
	graph.entry = 1000;
	missed += vl_hnsw_attach(&graph, NULL) != VALORI_DAMAGED;
	check_u64(missed, 0, "layers that are not there, or begin elsewhere, are found");
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

static void test_attach(void)
{
	struct vl_codes codes;
	struct vl_hnsw graph, odd;
	unsigned missed = 0;

	codes_make(&codes, 16, 300, 20);
	build(&graph, &codes, &usual, 1);
	check_u64(vl_hnsw_attach(&graph, NULL), VALORI_OK, "a graph can be attached");
#define ODD(change)                                                     \
	do {                                                            \
		odd = graph;                                            \
		change;                                                 \
		missed += vl_hnsw_attach(&odd, NULL) != VALORI_DAMAGED; \
	} while (0)
	ODD(odd.parameters.m = 1);
	ODD(odd.parameters.m = 257);
	ODD(odd.parameters.ef_construction = 0);
	ODD(odd.parameters.ef_construction = 65537);
	ODD(odd.parameters.width = 0);
	ODD(odd.parameters.width = 65);
	ODD(odd.parameters.slack = 1023);
	ODD(odd.parameters.slack = 65537);
	ODD(odd.entry = 300);
	ODD(odd.top = 61);
	ODD(odd.count = UINT32_MAX);
	ODD(odd.links.size = 300 * 128 - 1);
	ODD(odd.levels.size = 299);
	ODD(odd.upper.size = 1199);
	ODD(odd.above.size = (size_t)graph.above_count * 64 - 1);
	ODD(odd.above_count = UINT32_MAX);
	check_u64(missed, 0, "one that is too short for its numbers, or has odd ones, cannot");
	vl_hnsw_free(&graph);
	codes_free(&codes);
}

/* Whatever the bytes are, a search ends, and finds rows. */
static void test_hostile(void)
{
	enum { COUNT = 700 };
	static uint64_t bits[COUNT / 64 + 1];
	struct vl_hnsw_scratch *scratch;
	struct vl_codes codes;
	struct vl_hnsw graph;
	uint64_t out[EF], seed = 21;
	unsigned wrong = 0;

	codes_make(&codes, 16, COUNT, 22);
	vl_hnsw_scratch_new(&scratch, &memory.env, NULL);
	for (unsigned i = 0; i < 300; i++) {
		struct vl_hnsw_effort effort = accurate;
		size_t found = 0;

		if (i % 50 == 0) {
			if (i > 0)
				vl_hnsw_free(&graph);
			build(&graph, &codes, &usual, 1);
		}
		for (unsigned n = 0; n < i % 50 * 40 + 1; n++) {
			struct vl_block *const blocks[] = {&graph.links, &graph.levels, &graph.upper, &graph.above};
			struct vl_block *block = blocks[check_random(&seed) % 4];
			uint64_t r = check_random(&seed);

			if (r % 3 == 0)
				((uint8_t *)block->data)[r / 3 % block->size] = (uint8_t)(r >> 56);
			else
				vl_put32(at32(block, r / 3 % (block->size / 4)),
					 r % 3 == 1 ? (uint32_t)(r >> 32) % COUNT : (uint32_t)(r >> 32));
		}
		graph.entry = (uint32_t)(check_random(&seed) % COUNT);
		graph.top = (uint32_t)(check_random(&seed) % 61);
		for (size_t n = 0; n < sizeof(bits) / 8; n++)
			bits[n] = check_random(&seed);
		effort.width = i % 7;
		effort.matches = i % 2 * 10;
		wrong += vl_hnsw_attach(&graph, NULL) != VALORI_OK;
		vl_hnsw_search(&graph, &codes, scratch, code_of(&codes, i), &effort, i % 3 ? bits : NULL, out, &found,
			       NULL, NULL);
		for (size_t n = 0; n < found; n++)
			wrong += (uint32_t)out[n] >= COUNT || (n > 0 && out[n] <= out[n - 1]) ||
				 (i % 3 && !has(bits, (uint32_t)out[n]));
		vl_hnsw_check(&graph, NULL);
	}
	check_u64(wrong, 0, "a graph of any bytes is searched within its bounds");
	vl_hnsw_free(&graph);
	vl_hnsw_scratch_free(scratch);
	codes_free(&codes);
}

/* ---- real vectors ---- */

static void test_real(const char *set, uint32_t slack, uint32_t ef)
{
	const char *folder = getenv("VALORI_SHARED") != NULL ? getenv("VALORI_SHARED") : "../shared";
	struct vl_hnsw_effort effort = {.k = K, .ef = ef, .slack = slack};
	size_t base_size = 0, query_size = 0, answers_size = 0, found = 0;
	uint8_t *base, *queries, *answers, query[1024] __attribute__((aligned(64)));
	uint64_t right = 0, compared = 0, out[1024];
	struct vl_hnsw_scratch *scratch;
	struct vl_codes codes;
	struct vl_hnsw graph;
	uint32_t dim, count;
	char promise[128];

	snprintf(promise, sizeof(promise), "%s: slack %u and ef %u find 99 %%", set, slack, ef);
	base = read_file(folder, set, "base.bvecs", &base_size);
	if (base == NULL) {
		check_skip(promise, "the vectors are not here");
		return;
	}
	queries = read_file(folder, set, "query.bvecs", &query_size);
	answers = read_file(folder, set, "gt.ivecs", &answers_size);
	dim = vl_get32(base);
	codes_new(&codes, dim, (uint32_t)(base_size / (dim + 4)));
	for (uint32_t row = 0; row < codes.count; row++)
		memcpy(code_of(&codes, row), base + (size_t)row * (dim + 4) + 4, dim);
	build(&graph, &codes, &usual, 2);
	vl_hnsw_scratch_new(&scratch, &memory.env, NULL);
	count = (uint32_t)(query_size / (dim + 4));
	memset(query, 0, sizeof(query));
	for (size_t q = 0; q < count; q++) {
		memcpy(query, queries + q * (dim + 4) + 4, dim);
		vl_hnsw_search(&graph, &codes, scratch, query, &effort, NULL, out, &found, &compared, NULL);
		for (size_t i = 0; i < K; i++)
			for (size_t j = 0; j < K && j < found; j++)
				right += (uint32_t)out[j] == vl_get32(answers + q * 404 + 4 + 4 * i);
	}
	printf("# %s: recall %.4f with %.0f distances\n", set, (double)right / K / count, (double)compared / count);
	check(right * 100 >= (uint64_t)count * K * 99, "%s", promise);
	vl_hnsw_scratch_free(scratch);
	vl_hnsw_free(&graph);
	codes_free(&codes);
	free(base);
	free(queries);
	free(answers);
}

int main(void)
{
	memory_init(&memory, vl_cpu_kernels(NULL));
	test_recall();
	test_sameness();
	test_golden();
	test_many();
	test_allowed();
	test_odd_sets();
	test_bursts();
	test_repair();
	test_cycles();
	test_sharing();
	test_no_memory();
	test_check();
	test_attach();
	test_hostile();
	test_real("sift-5k", 1400, 200);
	test_real("fashion-20k", 1400, 200);
	if (check_long())
		test_real("sift-200k", 1400, 400);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
