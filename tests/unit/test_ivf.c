/* test_ivf.c - inverted lists: what they find, and that they are the same for everybody. */
#include "bytes.h"
#include "check.h"
#include "cpu.h"
#include "ivf.h"
#include "planes.h"

enum { K = 10, EF = 32 };


static void build(struct vl_ivf *ivf, const struct vl_codes *codes, uint32_t wanted, size_t threads)
{
	struct vl_workers workers = {run_threads, NULL, threads};

	vl_ivf_init(ivf, &memory.env, wanted);
	if (vl_ivf_grow(ivf, codes, threads > 1 ? &workers : NULL, NULL) != VALORI_OK)
		abort();
}

static uint64_t digest(const struct vl_ivf *ivf, uint32_t stride)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	uint8_t numbers[8];

	vl_put32(numbers, ivf->count);
	vl_put32(numbers + 4, ivf->lists);
	sum = digest_bytes(sum, numbers, 8);
	sum = digest_bytes(sum, ivf->centroids.data, (size_t)ivf->lists * stride);
	sum = digest_bytes(sum, ivf->starts.data, ivf->lists > 0 ? ((size_t)ivf->lists + 1) * 4 : 0);
	sum = digest_bytes(sum, ivf->members.data, (size_t)ivf->count * 4);
	return digest_bytes(sum, ivf->listed.data, (size_t)ivf->count * stride);
}

static bool is_sound(const struct vl_ivf *ivf, const struct vl_codes *codes)
{
	return vl_ivf_check(ivf, codes, NULL, NULL) == VALORI_OK;
}

/* ---- what is found ---- */

struct asked {
	const struct vl_ivf *ivf;
	const struct vl_codes *codes;
	const uint64_t *allowed;
	struct vl_ivf_effort effort;
	uint64_t seed;
	unsigned queries;
};

/*
 * Thousandths of the K nearest that are found. Everything found must be allowed, with its distance, in order, and be
 * there once.
 */
static unsigned recall(const struct asked *asked, unsigned *wrong)
{
	struct vl_ivf_scratch *scratch;
	uint64_t *truth = malloc(((size_t)asked->codes->count + 1) * 8), *out = malloc(asked->effort.ef * 8);
	uint64_t seed = asked->seed, right = 0, all = 0;
	uint8_t *query = aligned_alloc(64, asked->codes->stride);

	vl_ivf_scratch_new(&scratch, &memory.env, NULL);
	for (unsigned q = 0; q < asked->queries; q++) {
		size_t found = 0, matches;

		memset(query, 0, asked->codes->stride);
		make_code(query, asked->codes->dim, &seed);
		matches = scan(asked->codes, query, asked->allowed, truth);
		*wrong += vl_ivf_search(asked->ivf, asked->codes, scratch, query, 1, &asked->effort, asked->allowed,
					out, &found, NULL, NULL) != VALORI_OK;
		*wrong += found > asked->effort.ef || found > matches;
		*wrong += found < (asked->effort.k < matches ? asked->effort.k : matches);
		for (size_t i = 0; i < found; i++) {
			uint32_t row = (uint32_t)out[i];

			*wrong += row >= asked->codes->count || !has(asked->allowed, row) ||
				  out[i] >> 32 != distance(asked->codes, query, row) || (i > 0 && out[i] <= out[i - 1]);
		}
		/* Any of those as near as the last will do. */
		for (size_t i = 0; i < K && i < matches; i++, all++)
			right += i < found && out[i] >> 32 <= truth[K < matches ? K - 1 : matches - 1] >> 32;
	}
	vl_ivf_scratch_free(scratch);
	free(truth);
	free(out);
	free(query);
	return all > 0 ? (unsigned)(right * 1000 / all) : 1000;
}

static void test_recall(void)
{
	struct vl_codes codes;
	struct vl_ivf ivf;
	unsigned wrong = 0, found, before = 0, falls = 0;
	struct asked asked = {&ivf, &codes, NULL, {K, EF, 0}, 2, 300};

	codes_make(&codes, 32, 20000, 1);
	build(&ivf, &codes, 0, 1);
	check_u64(ivf.lists, 141, "the square root of the rows is how many lists there are");
	check(is_sound(&ivf, &codes), "every row is in the list it is nearest to");
	found = recall(&asked, &wrong);
	printf("# 141 lists: recall %u/1000\n", found);
	check(found >= 950, "with nothing asked for 95 %% of the ten nearest are found");
	for (asked.effort.probes = 1; asked.effort.probes <= 256; asked.effort.probes *= 2) {
		found = recall(&asked, &wrong);
		printf("# %u probes: recall %u/1000\n", asked.effort.probes, found);
		falls += found < before;
		before = found;
		if (asked.effort.probes == 32)
			check(found >= 990, "32 of 141 lists have 99 %%");
	}
	check_u64(before, 1000, "all lists have all");
	check_u64(falls, 0, "and more lists never less");
	check_u64(wrong, 0, "what is found is in order, once, with its distance");
	vl_ivf_free(&ivf);
	build(&ivf, &codes, 64, 1);
	asked.effort.probes = 20;
	found = recall(&asked, &wrong);
	printf("# 64 lists, 20 probes: recall %u/1000\n", found);
	check(ivf.lists == 64 && found >= 990, "as many lists as are asked for");
	vl_ivf_free(&ivf);
	build(&ivf, &codes, 1048576, 1);
	check(ivf.lists == 20000 / 16 && is_sound(&ivf, &codes), "but no more than a sixteenth of the rows");
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

/* ---- the same for everybody ---- */

static void test_sameness(void)
{
	struct vl_workers backwards = {run_backwards, NULL, 5};
	struct vl_codes codes, before;
	struct vl_ivf ivf, other, piecewise;
	uint64_t first;
	unsigned differ = 0;

	codes_make(&codes, 24, 5000, 3);
	build(&ivf, &codes, 0, 1);
	first = digest(&ivf, codes.stride);
	for (size_t threads = 2; threads <= THREADS_MAX; threads *= 2) {
		build(&other, &codes, 0, threads);
		differ += digest(&other, codes.stride) != first;
		vl_ivf_free(&other);
	}
	vl_ivf_init(&other, &memory.env, 0);
	differ += vl_ivf_grow(&other, &codes, &backwards, NULL) != VALORI_OK || digest(&other, codes.stride) != first;
	vl_ivf_free(&other);
	check_u64(differ, 0, "any number of threads makes the same lists");
	differ = 0;
	for (size_t i = 0; vl_cpu_kernels_at(i) != NULL; i++) {
		memory.env.kernels = vl_cpu_kernels_at(i);
		build(&other, &codes, 0, 1);
		differ += digest(&other, codes.stride) != first;
		vl_ivf_free(&other);
	}
	memory.env.kernels = vl_cpu_kernels(NULL);
	check_u64(differ, 0, "all kernels make the same lists");
	/* Trained with the same rows, then in one step or in many. */
	before = codes_before(&codes, 1100);
	build(&other, &before, 0, 1);
	piecewise = vl_ivf_share(&other);
	differ = vl_ivf_grow(&other, &codes, NULL, NULL) != VALORI_OK || !is_sound(&other, &codes);
	for (uint32_t count = 1150; count < 5050; count += 50) {
		before = codes_before(&codes, count < 5000 ? count : 5000);
		differ += vl_ivf_grow(&piecewise, &before, NULL, NULL) != VALORI_OK;
	}
	check(differ == 0 && other.lists == 33 && digest(&other, codes.stride) == digest(&piecewise, codes.stride),
	      "once they are trained they grow row by row as at once");
	vl_ivf_free(&piecewise);
	vl_ivf_free(&other);
	/* Before training. */
	before = codes_before(&codes, 300);
	build(&other, &before, 0, 1);
	differ = other.lists != 1 || !is_sound(&other, &before);
	before = codes_before(&codes, 1023);
	differ += vl_ivf_grow(&other, &before, NULL, NULL) != VALORI_OK || other.lists != 1 || other.count != 1023;
	differ += vl_ivf_grow(&other, &codes, NULL, NULL) != VALORI_OK;
	check(differ == 0 && digest(&other, codes.stride) == first,
	      "one list until there are 1,024 rows, then as trained from the first");
	vl_ivf_free(&other);
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

/* Committed: lists are part of a store's files, so no later version may make other ones. */
static void test_golden(void)
{
	struct vl_codes codes;
	struct vl_ivf ivf;

	codes_make(&codes, 16, 3000, 4);
	build(&ivf, &codes, 0, 1);
	check_u64(digest(&ivf, codes.stride), UINT64_C(0x63cedb066a8febaa), "the golden lists");
	vl_ivf_free(&ivf);
	build(&ivf, &codes, 100, 1);
	check_u64(digest(&ivf, codes.stride), UINT64_C(0x869dead2f05e7630), "the golden lists, a hundred of them");
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

static void test_many(void)
{
	enum { QUERIES = 150, COUNT = 4000 };
	static const struct vl_ivf_effort efforts[] = {{K, EF, 0}, {K, EF, 1},  {K, 1, 7},  {K, 3000, 10},
						       {K, EF, 9}, {K, EF, 63}, {EF, EF, 2}, {K, 3000, 1000}};
	static uint64_t out[QUERIES * 3000], single[3000], bits[COUNT / 64 + 1];
	struct vl_ivf_scratch *scratch;
	struct vl_codes codes;
	struct vl_ivf ivf;
	size_t found[QUERIES], one = 0;
	uint64_t seed = 6, compared = 0, compared_single = 0;
	uint8_t *queries;
	unsigned differ = 0, kernels = 0;

	codes_make(&codes, 24, COUNT, 5);
	build(&ivf, &codes, 0, 1);
	vl_ivf_scratch_new(&scratch, &memory.env, NULL);
	queries = aligned_alloc(64, QUERIES * codes.stride);
	memset(queries, 0, QUERIES * codes.stride);
	for (size_t q = 0; q < QUERIES; q++)
		make_code(queries + q * codes.stride, codes.dim, &seed);
	for (size_t i = 0; i < sizeof(bits) / 8; i++)
		bits[i] = check_random(&seed) & check_random(&seed) & check_random(&seed);
	for (size_t i = 0; i < 2 * sizeof(efforts) / sizeof(efforts[0]); i++) {
		const struct vl_ivf_effort *effort = &efforts[i / 2];
		const uint64_t *allowed = i % 2 == 1 ? bits : NULL;

		vl_ivf_search(&ivf, &codes, scratch, queries, QUERIES, effort, allowed, out, found, &compared, NULL);
		for (size_t q = 0; q < QUERIES; q++) {
			const struct vl_kernels *set = vl_cpu_kernels_at(kernels++);

			kernels = set == NULL ? 0 : kernels;
			memory.env.kernels = set == NULL ? vl_cpu_kernels_at(0) : set;
			vl_ivf_search(&ivf, &codes, scratch, queries + q * codes.stride, 1, effort, allowed, single,
				      &one, &compared_single, NULL);
			differ += one != found[q] || memcmp(single, out + q * effort->ef, one * 8) != 0;
		}
		memory.env.kernels = vl_cpu_kernels(NULL);
	}
	check_u64(differ, 0, "many queries have the answers of each alone, with all kernels");
	check(compared == compared_single && compared > 0, "and cost as many distances");
	check_u64(vl_ivf_search(&ivf, &codes, scratch, queries, 0, &efforts[0], NULL, out, found, NULL, NULL),
		  VALORI_OK, "no query, no answer");
	free(queries);
	vl_ivf_scratch_free(scratch);
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

/* ---- what is allowed ---- */

static void test_allowed(void)
{
	enum { COUNT = 6000 };
	static const unsigned shares[] = {900, 500, 100, 20, 2, 1};
	static uint64_t bits[COUNT / 64 + 1];
	struct vl_codes codes;
	struct vl_ivf ivf;
	unsigned wrong = 0, poor = 0;

	codes_make(&codes, 32, COUNT, 7);
	build(&ivf, &codes, 0, 1);
	for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
		struct asked asked = {&ivf, &codes, bits, {K, EF, 40}, 9, 100};
		uint64_t seed = s;
		unsigned found;

		memset(bits, 0, sizeof(bits));
		for (uint32_t row = 0; row < COUNT; row++)
			bits[row / 64] |= (uint64_t)(check_random(&seed) % 1000 < shares[s]) << row % 64;
		found = recall(&asked, &wrong);
		printf("# %u/1000 allowed: recall %u/1000\n", shares[s], found);
		poor += shares[s] >= 100 && found < 980;
		/* One list has few of them: on through the next. */
		asked.effort.probes = 1;
		recall(&asked, &wrong);
	}
	check_u64(wrong, 0, "only what is allowed is found, as many as are wanted, in order, once, with its distance");
	check_u64(poor, 0, "and nearly all of the nearest, as long as a tenth is allowed");
	memset(bits, 0, sizeof(bits));
	check_u64(recall(&(struct asked){&ivf, &codes, bits, {K, EF, 4}, 9, 10}, &wrong) + wrong, 1000,
		  "where nothing is allowed nothing is found");
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

/* ---- odd sets ---- */

static size_t search(const struct vl_ivf *ivf, const struct vl_codes *codes, const uint8_t *query, uint64_t *out)
{
	static const struct vl_ivf_effort effort = {K, EF, 0};
	struct vl_ivf_scratch *scratch;
	size_t found = 99;

	vl_ivf_scratch_new(&scratch, &memory.env, NULL);
	if (vl_ivf_search(ivf, codes, scratch, query, 1, &effort, NULL, out, &found, NULL, NULL) != VALORI_OK)
		abort();
	vl_ivf_scratch_free(scratch);
	return found;
}

static void test_odd_sets(void)
{
	struct vl_codes codes;
	struct vl_ivf ivf;
	uint64_t out[EF], seed = 1;
	size_t found;
	unsigned wrong = 0;
	uint8_t query[64] __attribute__((aligned(64))) = {0};

	codes_new(&codes, 3, 0);
	build(&ivf, &codes, 0, 1);
	check(search(&ivf, &codes, query, out) == 0 && is_sound(&ivf, &codes), "no rows");
	vl_ivf_free(&ivf);
	codes_free(&codes);

	codes_new(&codes, 3, 1);
	build(&ivf, &codes, 1, 1);
	check(search(&ivf, &codes, query, out) == 1 && out[0] == 0 && is_sound(&ivf, &codes), "one row");
	vl_ivf_free(&ivf);
	codes_free(&codes);

	codes_new(&codes, 8, 5000);
	build(&ivf, &codes, 0, 2);
	found = search(&ivf, &codes, query, out);
	for (size_t i = 0; i < EF; i++)
		wrong += i >= found || out[i] != i;
	check(wrong == 0 && is_sound(&ivf, &codes), "all rows are equal: the first are found");
	vl_ivf_free(&ivf);
	codes_free(&codes);

	/* Twenty of each; the copies come one after the other, then everything again. */
	codes_make(&codes, 32, 4000, 8);
	for (uint32_t row = 0; row < 4000; row++)
		memcpy(code_of(&codes, row), code_of(&codes, row % 2000 / 10), codes.stride);
	build(&ivf, &codes, 0, 1);
	wrong = !is_sound(&ivf, &codes);
	for (uint32_t row = 0; row < 2000; row += 10) {
		found = search(&ivf, &codes, code_of(&codes, row), out);
		for (size_t i = 0; i < 20; i++)
			wrong += i >= found || out[i] >> 32 != 0;
	}
	check_u64(wrong, 0, "all copies of the query are found");
	vl_ivf_free(&ivf);
	codes_free(&codes);

	codes_new(&codes, 1, 3000);
	for (uint32_t row = 0; row < 3000; row++)
		code_of(&codes, row)[0] = (uint8_t)check_random(&seed);
	build(&ivf, &codes, 0, 1);
	wrong = !is_sound(&ivf, &codes);
	for (unsigned x = 0; x < 256; x++) {
		query[0] = (uint8_t)x;
		wrong += search(&ivf, &codes, query, out) < K || out[0] >> 32 != 0;
	}
	check_u64(wrong, 0, "one dimension");
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

/* Half of the rows go: lists begun anew with the rest find what they did. */
static void test_deleted(void)
{
	enum { COUNT = 8000 };
	static bool keep[COUNT];
	static uint32_t renumbered[COUNT];
	struct vl_codes codes, kept;
	struct vl_ivf ivf;
	struct asked asked = {&ivf, &codes, NULL, {K, EF, 30}, 11, 200};
	uint64_t seed = 12;
	unsigned wrong = 0, before, after;

	codes_make(&codes, 32, COUNT, 13);
	build(&ivf, &codes, 0, 1);
	before = recall(&asked, &wrong);
	vl_ivf_free(&ivf);
	for (uint32_t row = 0; row < COUNT; row++)
		keep[row] = check_random(&seed) % 2;
	kept = drop_rows(&codes, keep, renumbered);
	build(&ivf, &kept, 0, 1);
	asked.codes = &kept;
	after = recall(&asked, &wrong);
	printf("# recall %u/1000, of half of them %u/1000\n", before, after);
	check(after + 5 >= before && wrong == 0 && is_sound(&ivf, &kept), "half of the rows go, recall stays");
	vl_ivf_free(&ivf);
	codes_free(&kept);
	codes_free(&codes);
}

/* ---- sharing, memory ---- */

static void test_sharing(void)
{
	struct vl_codes codes, before;
	struct vl_ivf ivf, other;
	uint64_t first;

	codes_make(&codes, 16, 2500, 17);
	before = codes_before(&codes, 2000);
	build(&ivf, &before, 0, 1);
	first = digest(&ivf, codes.stride);
	other = vl_ivf_share(&ivf);
	vl_ivf_grow(&ivf, &codes, NULL, NULL);
	check(digest(&other, codes.stride) == first && ivf.count == 2500,
	      "a version that is shared stays when another one grows");
	vl_ivf_free(&ivf);
	vl_ivf_grow(&other, &codes, NULL, NULL);
	check(other.count == 2500 && is_sound(&other, &codes), "and grows when it is alone");
	vl_ivf_free(&other);
	codes_free(&codes);
}

static void test_no_memory(void)
{
	static const struct vl_ivf_effort effort = {K, EF, 4};
	struct vl_codes codes, before;
	unsigned wrong = 0, failed = 0;
	int64_t blocks;

	codes_make(&codes, 16, 1500, 18);
	before = codes_before(&codes, 1400);
	blocks = memory.blocks;
	for (uint64_t n = 1; n < 50; n++) {
		struct vl_ivf_scratch *scratch = NULL;
		valori_error error = {0};
		uint64_t out[EF], digests[2] = {0};
		struct vl_ivf ivf;
		valori_code code;
		size_t found;

		memory.calls = 0;
		memory.fail_at = n;
		vl_ivf_init(&ivf, &memory.env, 0);
		code = vl_ivf_grow(&ivf, &before, NULL, &error);
		if (code == VALORI_OK) {
			digests[0] = digest(&ivf, codes.stride);
			code = vl_ivf_grow(&ivf, &codes, NULL, &error);
			digests[1] = digest(&ivf, codes.stride);
			wrong += (digests[0] == digests[1]) == (code == VALORI_OK);
		}
		if (code == VALORI_OK)
			code = vl_ivf_check(&ivf, &codes, NULL, &error);
		if (code == VALORI_OK)
			code = vl_ivf_scratch_new(&scratch, &memory.env, &error);
		if (code == VALORI_OK)
			code = vl_ivf_search(&ivf, &codes, scratch, code_of(&codes, 0), 1, &effort, NULL, out, &found,
					     NULL, &error);
		failed += code == VALORI_NO_MEMORY;
		wrong += code != VALORI_OK && (code != VALORI_NO_MEMORY || error.message[0] == 0);
		memory.fail_at = 0;
		vl_ivf_scratch_free(scratch);
		vl_ivf_free(&ivf);
		wrong += memory.blocks != blocks;
		if (code == VALORI_OK)
			break;
	}
	check(wrong == 0 && failed >= 9 && failed < 20, "when memory runs out it is said, and nothing is lost");
	printf("# %u failures, %u wrong\n", failed, wrong);
	codes_free(&codes);
}

/* ---- strangers ---- */

static uint8_t *at32(const struct vl_block *block, size_t index)
{
	return (uint8_t *)block->data + 4 * index;
}

static void test_check(void)
{
	struct vl_codes codes, before;
	struct vl_ivf ivf;
	uint32_t old, other;
	uint64_t first;
	unsigned missed = 0;

	codes_make(&codes, 16, 2000, 19);
	before = codes_before(&codes, 1900);
	build(&ivf, &before, 0, 1);
	first = digest(&ivf, codes.stride);
	old = vl_get32(at32(&ivf.members, 100));
	vl_put32(at32(&ivf.members, 100), 1900);
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	vl_put32(at32(&ivf.members, 100), vl_get32(at32(&ivf.members, 101)));
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	vl_put32(at32(&ivf.members, 100), old);
	check_u64(missed, 0, "a row that is none, or twice there, is found");
	missed = 0;
	/* The last row of a list goes to the next. */
	old = vl_get32(at32(&ivf.starts, 1));
	vl_put32(at32(&ivf.starts, 1), old - 1);
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	other = vl_get32(at32(&ivf.starts, 3));
	vl_put32(at32(&ivf.starts, 1), other);
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	missed += vl_ivf_grow(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	vl_put32(at32(&ivf.starts, 1), old);
	vl_put32(at32(&ivf.starts, 0), 1);
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	missed += vl_ivf_grow(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	vl_put32(at32(&ivf.starts, 0), 0);
	for (int off = -1; off <= 1; off += 2) {
		vl_put32(at32(&ivf.starts, ivf.lists), (uint32_t)(1900 + off));
		missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
		missed += vl_ivf_grow(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	}
	vl_put32(at32(&ivf.starts, ivf.lists), 1900);
	((uint8_t *)ivf.centroids.data)[3 * codes.stride] ^= 0x80;
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	((uint8_t *)ivf.centroids.data)[3 * codes.stride] ^= 0x80;
	((uint8_t *)ivf.listed.data)[500 * codes.stride + 2] ^= 1;
	missed += vl_ivf_check(&ivf, &codes, NULL, NULL) != VALORI_DAMAGED;
	((uint8_t *)ivf.listed.data)[500 * codes.stride + 2] ^= 1;
	check_u64(missed, 0, "lists that overlap, or hold the rows of others, are found");
	check(is_sound(&ivf, &codes) && digest(&ivf, codes.stride) == first, "nothing else is");
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

static void test_attach(void)
{
	struct vl_codes codes;
	struct vl_ivf ivf, odd;
	unsigned missed = 0;

	codes_make(&codes, 16, 2000, 20);
	build(&ivf, &codes, 0, 1);
	check_u64(vl_ivf_attach(&ivf, &codes, NULL), VALORI_OK, "lists can be attached");
#define ODD(change)                                                           \
	do {                                                                  \
		odd = ivf;                                                    \
		change;                                                       \
		missed += vl_ivf_attach(&odd, &codes, NULL) != VALORI_DAMAGED; \
	} while (0)
	ODD(odd.count = 2001);
	ODD(odd.count = 0);
	ODD(odd.lists = 0);
	ODD(odd.lists = UINT32_MAX);
	ODD(odd.lists++);
	ODD(odd.starts.size--);
	ODD(odd.members.size--);
	ODD(odd.listed.size--);
	ODD(odd.centroids.size--);
	check_u64(missed, 0, "those that are too short for their numbers cannot");
	vl_ivf_free(&ivf);
	codes_free(&codes);
}

/* Whatever the bytes are, a search ends, and finds rows. */
static void test_hostile(void)
{
	enum { COUNT = 1500, QUERIES = 5 };
	static uint64_t bits[COUNT / 64 + 1], out[QUERIES * COUNT];
	struct vl_ivf_scratch *scratch;
	struct vl_codes codes;
	struct vl_ivf ivf;
	uint64_t seed = 21;
	unsigned wrong = 0;

	codes_make(&codes, 16, COUNT, 22);
	vl_ivf_scratch_new(&scratch, &memory.env, NULL);
	for (unsigned i = 0; i < 200; i++) {
		struct vl_ivf_effort effort = {i % 30, i % 5 == 0 ? COUNT : EF, i % 50};
		size_t found[QUERIES] = {0}, count = i % 3 == 0 ? 1 : QUERIES;

		if (i % 50 == 0) {
			if (i > 0)
				vl_ivf_free(&ivf);
			build(&ivf, &codes, 0, 1);
		}
		for (unsigned n = 0; n < i % 50 * 10 + 1; n++) {
			struct vl_block *const blocks[] = {&ivf.members, &ivf.listed, &ivf.starts, &ivf.starts};
			struct vl_block *block = blocks[check_random(&seed) % 4];
			uint64_t r = check_random(&seed);

			vl_put32(at32(block, r / 2 % (block->size / 4)),
				 r % 2 ? (uint32_t)(r >> 32) % COUNT : (uint32_t)(r >> 32));
		}
		for (size_t n = 0; n < sizeof(bits) / 8; n++)
			bits[n] = check_random(&seed);
		wrong += vl_ivf_attach(&ivf, &codes, NULL) != VALORI_OK;
		vl_ivf_search(&ivf, &codes, scratch, code_of(&codes, i), count, &effort, i % 2 ? bits : NULL, out,
			      found, NULL, NULL);
		for (size_t q = 0; q < count; q++)
			for (size_t n = 0; n < found[q]; n++) {
				const uint64_t *hits = out + q * effort.ef;

				for (size_t m = 0; m < n; m++)
					wrong += (uint32_t)hits[m] == (uint32_t)hits[n];
				wrong += (uint32_t)hits[n] >= COUNT || (n > 0 && hits[n] <= hits[n - 1]) ||
					 (i % 2 && !has(bits, (uint32_t)hits[n]));
			}
		vl_ivf_check(&ivf, &codes, NULL, NULL);
	}
	check_u64(wrong, 0, "lists of any bytes are searched within their bounds");
	vl_ivf_free(&ivf);
	vl_ivf_scratch_free(scratch);
	codes_free(&codes);
}

/* ---- real vectors ---- */

static void test_real(const char *set, uint32_t probes)
{
	const char *folder = getenv("VALORI_SHARED") != NULL ? getenv("VALORI_SHARED") : "../shared";
	struct vl_ivf_effort effort = {.k = K, .ef = 16, .probes = probes};
	size_t base_size = 0, query_size = 0, answers_size = 0, *found;
	uint8_t *base, *queries, *answers, *coded;
	uint64_t right = 0, compared = 0, *out;
	struct vl_ivf_scratch *scratch;
	struct vl_codes codes;
	struct vl_ivf ivf;
	uint32_t dim, count;
	char promise[128];

	snprintf(promise, sizeof(promise), "%s: %u probes find 99 %%", set, probes);
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
	build(&ivf, &codes, 0, 2);
	vl_ivf_scratch_new(&scratch, &memory.env, NULL);
	count = (uint32_t)(query_size / (dim + 4));
	coded = aligned_alloc(64, (size_t)count * codes.stride);
	out = malloc((size_t)count * effort.ef * 8);
	found = malloc(count * sizeof(*found));
	memset(coded, 0, (size_t)count * codes.stride);
	for (size_t q = 0; q < count; q++)
		memcpy(coded + q * codes.stride, queries + q * (dim + 4) + 4, dim);
	vl_ivf_search(&ivf, &codes, scratch, coded, count, &effort, NULL, out, found, &compared, NULL);
	for (size_t q = 0; q < count; q++)
		for (size_t i = 0; i < K; i++)
			for (size_t j = 0; j < K && j < found[q]; j++)
				right += (uint32_t)out[q * effort.ef + j] == vl_get32(answers + q * 404 + 4 + 4 * i);
	printf("# %s: recall %.4f with %.0f distances, %u lists\n", set, (double)right / K / count,
	       (double)compared / count, ivf.lists);
	check(right * 100 >= (uint64_t)count * K * 99, "%s", promise);
	vl_ivf_scratch_free(scratch);
	vl_ivf_free(&ivf);
	codes_free(&codes);
	free(base);
	free(queries);
	free(answers);
	free(coded);
	free(out);
	free(found);
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
	test_deleted();
	test_sharing();
	test_no_memory();
	test_check();
	test_attach();
	test_hostile();
	test_real("sift-5k", 20);
	test_real("fashion-20k", 20);
	if (check_long())
		test_real("sift-200k", 60);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
