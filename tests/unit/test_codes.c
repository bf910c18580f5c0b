/* test_codes.c - codes, their bounds, and the certified scan against the plain one, on data that is not nice. */
#include "check.h"
#include "codes.h"
#include "cpu.h"
#include "memory.h"
#include "q16.h"

static struct memory memory;

/* ---- stores of vectors ---- */

struct store {
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_codes codes;
};

static void apply(struct store *store, struct vl_event event)
{
	struct vl_buf scratch;

	vl_buf_init(&scratch, &memory.env);
	event.metadata_size = VL_ABSENT;
	vl_event_hash_contents(memory.env.kernels, &event, 1, store->state.dim, &scratch, NULL);
	if (vl_state_apply(&store->state, &event, NULL) != VALORI_OK)
		check(false, "an event of the set-up is applied");
	vl_buf_free(&scratch);
}

static void store_open(struct store *store, uint32_t dim)
{
	vl_pool_new(&memory.env, &store->pool, NULL);
	vl_state_init(&store->state, store->pool, dim, 0, NULL);
	vl_codes_init(&store->codes, &memory.env, dim);
}

static void store_close(struct store *store)
{
	vl_codes_free(&store->codes);
	vl_state_free(&store->state);
	vl_pool_free(store->pool);
}

static void insert(struct store *store, const uint8_t *vector, uint16_t collection, uint64_t tag)
{
	apply(store, (struct vl_event){.type = VALORI_EVENT_INSERT,
				       .id = vl_state_slots(&store->state, VL_RECORDS),
				       .vector = vector,
				       .tag = tag,
				       .collection = collection});
}

/* Rounds as an index has them: a quarter at a time. */
static void append_all(struct store *store)
{
	uint64_t first = 0, slots = vl_state_slots(&store->state, VL_RECORDS);

	if (store->codes.count > 0)
		first = vl_codes_id(&store->codes, store->codes.count - 1) + 1;
	while (first < slots) {
		uint64_t last = first + (first < 256 ? 64 : first < 8192 ? first / 4 : 2048);
		bool settled;

		if (vl_codes_append(&store->codes, &store->state, first, last, NULL, &settled, NULL) != VALORI_OK)
			check(false, "rows are appended");
		first = last;
	}
}

static void fill(uint8_t *out, uint32_t dim, int32_t value)
{
	for (uint32_t i = 0; i < dim; i++)
		vl_put32(out + 4 * i, (uint32_t)value);
}

/* ---- kinds of data ---- */

enum kind { BYTES, FLOATS, TINY, EQUAL, FEW, OUTLIERS, EXTREME, LIMITS, SPARSE, CLUSTERS, KINDS };
static const char *const kind_names[KINDS] = {
	"bytes",
	"floats",
	"a tiny range",
	"all equal",
	"few values, many ties",
	"a few huge outliers",
	"rows of outliers only",
	"the ends of the range",
	"mostly zeros",
	"clusters far outside the range of most",
};

static void make_vector(enum kind kind, uint32_t dim, uint8_t *out, uint64_t *seed)
{
	uint64_t row = check_random(seed);
	/* One component this large in each of dim of them is still accepted. */
	int32_t most = (int32_t)((UINT64_C(1) << 30) / dim);

	for (uint32_t i = 0; i < dim; i++) {
		uint64_t r = check_random(seed);
		int32_t value = 0;

		switch (kind) {
		case BYTES: value = (int32_t)(r % 256) << 16; break;
		case FLOATS: value = (int32_t)(r % 13107) + (int32_t)(r >> 32) % 13107 - 13107; break;
		case TINY: value = 500000 + (int32_t)(r % 5); break;
		case EQUAL: value = -77777; break;
		case FEW: value = (int32_t)(r % 3) * 1000; break;
		case OUTLIERS:
			value = (int32_t)(r % 13107);
			if (row % 200 == 0 && i == row / 200 % dim)
				value = r & 1 << 20 ? INT32_MAX / 2 : INT32_MIN / 2;
			break;
		case EXTREME:
			value = (int32_t)(r % 100) << 10;
			if (row % 100 == 0)
				value = (int32_t)(r % (uint64_t)most) * (r & 1 << 30 ? 1 : -1);
			break;
		case LIMITS: value = i == row % dim ? (r & 1 ? INT32_MAX : -INT32_MAX) : 0; break;
		case SPARSE: value = r % 500 == 0 ? (int32_t)(r >> 40) : 0; break;
		case CLUSTERS: value = (int32_t)(r % 4096) + (row % 64 == 0 ? most / 2 : 0); break;
		case KINDS: break;
		}
		vl_put32(out + 4 * i, (uint32_t)value);
	}
}

/* ---- the bound ---- */

/* Of all rows: whether the reach for the true distance includes the distance of the codes. */
static unsigned bound_faults(const struct store *store, const uint8_t *query)
{
	static uint8_t code[VL_CODE_STRIDE_MAX] __attribute__((aligned(64)));
	uint64_t residual = vl_codes_query(&store->codes, query, code);
	unsigned wrong = 0;

	for (uint32_t row = 0; row < store->codes.count; row++) {
		const uint8_t *vector = vl_state_vector(&store->state, vl_codes_id(&store->codes, row));
		uint64_t score, residuals = residual + vl_codes_bound(&store->codes, row);

		if (vector == NULL) /* deleted */
			continue;
		score = vl_q16_l2_portable(query, vector, store->state.dim);
		wrong += vl_code_l2_portable(code, vl_codes_row(&store->codes, row), store->codes.stride) >
			 vl_codes_reach(&store->codes, score, residuals);
	}
	return wrong;
}

/* Against wider integers, for scores whose root is whole. */
static void test_reach(void)
{
#ifdef __SIZEOF_INT128__
	__extension__ typedef unsigned __int128 wide;
	uint64_t seed = 7;
	unsigned small = 0, loose = 0;
	struct vl_codes codes;

	vl_codes_init(&codes, &memory.env, 64);
	for (int i = 0; i < 300000; i++) {
		uint64_t root = check_random(&seed) >> (32 + check_random(&seed) % 32);
		uint64_t residuals = (check_random(&seed) >> (33 + check_random(&seed) % 30)) * (i % 3 != 0);
		wide t, limit;
		uint32_t reach;

		codes.quantiser.step = (uint32_t)(check_random(&seed) >> (39 + check_random(&seed) % 25)) + 1;
		if (i % 5 == 0) /* the widest, where 64 bits are not enough */
			root = UINT32_MAX - root % 3;
		reach = vl_codes_reach(&codes, root * root, residuals);
		t = (wide)root + residuals;
		limit = t * t / ((wide)codes.quantiser.step * codes.quantiser.step);
		small += reach < (limit < INT32_MAX ? limit : INT32_MAX);
		loose += reach != INT32_MAX && reach > limit + limit / 1024 + 1 && t > 1 << 20;
		/* A root that is not whole is rounded up. */
		small += root > 1 && residuals > 0 && vl_codes_reach(&codes, root * root - 1, residuals) < reach;
	}
	check(small == 0, "a reach is never too small, however large the numbers");
	check(loose == 0, "and no more than a thousandth too large");
#else
	check_skip("a reach is never too small, however large the numbers", "no wider integers here");
#endif
}

static void test_quantiser(void)
{
	enum { DIM = 8, COUNT = 1280 };
	uint8_t vector[4 * DIM];
	uint64_t seed = 2;
	struct store store;

	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		make_vector(BYTES, DIM, vector, &seed);
		if (i == 10)
			vl_put32(vector, 1);
		insert(&store, vector, 0, 0);
	}
	append_all(&store);
	check(store.codes.quantiser.step == 65536 && vl_codes_bound(&store.codes, 0) == 1 &&
		      vl_codes_bound(&store.codes, 63) == 1 && vl_codes_bound(&store.codes, 64) == 0,
	      "a row beside the lattice moves the bound of its block, and of no other");
	store_close(&store);
	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		for (uint32_t j = 0; j < DIM; j++)
			vl_put32(vector + 4 * j,
				 check_random(&seed) % 3 == 0 ? 0 : 300001 + (uint32_t)(check_random(&seed) % 65536));
		insert(&store, vector, 0, 0);
	}
	append_all(&store);
	check(store.codes.quantiser.low == 0 && store.codes.quantiser.step >= 365000 / 255,
	      "zeros are in the range where there are many");
	store_close(&store);
	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		for (uint32_t j = 0; j < DIM; j++)
			vl_put32(vector + 4 * j, 300001 + (uint32_t)(check_random(&seed) % 65536));
		insert(&store, vector, 0, 0);
	}
	append_all(&store);
	check(store.codes.quantiser.low >= 300001 && store.codes.quantiser.step <= 257 &&
		      store.codes.quantiser.step >= 255,
	      "and not where there are none");
	store_close(&store);
}

/* ---- the scan ---- */

enum { K_MAX = 50, QUERIES_MAX = 40 };

static unsigned compare(const struct store *store, const uint8_t *queries, size_t count, size_t k,
			const struct vl_filter *filter, uint32_t first, uint32_t last, uint64_t *compared)
{
	static valori_hit is[QUERIES_MAX * K_MAX], should_be[QUERIES_MAX * K_MAX];
	size_t is_hits[QUERIES_MAX] = {0}, hits[QUERIES_MAX] = {0};
	const struct vl_codes *codes = &store->codes;
	uint64_t from = first < codes->count ? vl_codes_id(codes, first) : VALORI_NONE;
	uint64_t to = last == 0 ? 0 : vl_codes_id(codes, (last < codes->count ? last : codes->count) - 1) + 1;
	unsigned wrong = 0;

	wrong +=
		vl_brute_search(&store->state, queries, count, k, filter, from, to, should_be, hits, NULL) != VALORI_OK;
	wrong += vl_codes_search(codes, &store->state, queries, count, k, filter, first, last, is, is_hits, compared,
				 NULL) != VALORI_OK;
	for (size_t q = 0; q < count; q++) {
		vl_hits_sort(should_be + q * k, hits[q]);
		vl_hits_sort(is + q * k, is_hits[q]);
		wrong += is_hits[q] != hits[q];
		for (size_t i = 0; i < hits[q] && i < is_hits[q]; i++)
			wrong += is[q * k + i].id != should_be[q * k + i].id ||
				 is[q * k + i].score != should_be[q * k + i].score;
	}
	return wrong;
}

static void make_store(struct store *store, enum kind kind, uint32_t dim, uint32_t count, uint64_t *seed)
{
	uint8_t *vector = malloc(4 * (size_t)dim);

	store_open(store, dim);
	apply(store,
	      (struct vl_event){
		      .type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, .key = (const uint8_t *)"a", .key_size = 1});
	for (uint32_t i = 0; i < count; i++) {
		if (i == 0 || check_random(seed) % 8 != 0) /* else a duplicate of the one before */
			make_vector(kind, dim, vector, seed);
		insert(store, vector, check_random(seed) % 10 == 0, check_random(seed) % 4);
		if (i == count / 2)
			append_all(store);
	}
	for (uint32_t id = 0; id < count; id++) {
		uint64_t r = check_random(seed) % 16;

		if (r < 2 && count > 1)
			apply(store, (struct vl_event){.type = r == 0 ? VALORI_EVENT_DELETE : VALORI_EVENT_SOFT_DELETE,
						       .id = id});
		if (id == count / 4)
			append_all(store);
	}
	append_all(store);
	free(vector);
}

static void test_kind(enum kind kind, uint32_t dim, uint32_t count)
{
	static const struct vl_filter filters[] = {{0, false, 0}, {1, false, 0}, {0, true, 2}, {1, true, 9}};
	uint64_t seed = kind + dim;
	size_t size = 4 * (size_t)dim;
	uint8_t *queries = malloc(size * QUERIES_MAX);
	unsigned faults = 0, wrong = 0;
	struct store store;

	make_store(&store, kind, dim, count, &seed);
	for (size_t q = 0; q < QUERIES_MAX; q++)
		if (q % 4 == 0) /* a record itself, maybe one that is gone */
			memcpy(queries + q * size,
			       vl_array_get(&store.state.records.vectors, check_random(&seed) % count), size);
		else
			make_vector(q % 4 == 3 ? (enum kind)(check_random(&seed) % KINDS) : kind, dim,
				    queries + q * size, &seed);
	fill(queries + size, dim, 0);
	for (size_t q = 0; q < QUERIES_MAX; q++)
		faults += bound_faults(&store, queries + q * size);
	for (size_t f = 0; f < sizeof(filters) / sizeof(*filters); f++) {
		const struct vl_filter *filter = &filters[f];
		uint32_t some = store.codes.count / 3;

		wrong += compare(&store, queries, QUERIES_MAX, 10, filter, 0, UINT32_MAX, NULL);
		wrong += compare(&store, queries, 5, 1, filter, 0, store.codes.count, NULL);
		wrong += compare(&store, queries + size, 1, K_MAX, filter, some, some * 2, NULL);
		wrong += compare(&store, queries + 3 * size, 33, 3, filter, some, some + 1, NULL);
		wrong += compare(&store, queries, 2, 3, filter, some, some, NULL);
		for (size_t q = 0; q < 8; q++)
			wrong += compare(&store, queries + q * size, 1, 10, filter, 0, UINT32_MAX, NULL);
	}
	check(faults == 0, "%s, %u dimensions: no bound is above the distance", kind_names[kind], dim);
	check(wrong == 0, "%s, %u dimensions: the hits of the plain scan", kind_names[kind], dim);
	store_close(&store);
	free(queries);
}

/* ---- outliers ---- */

/* Exact distances that ten-nearest searches take, when every odd-th row is extreme. */
static uint64_t count_compared(enum kind kind, uint64_t odd, unsigned *wrong)
{
	enum { DIM = 96, COUNT = 20000, QUERIES = 32 };
	static uint8_t queries[QUERIES * 4 * DIM];
	uint8_t vector[4 * DIM];
	uint64_t seed = 5, other = 6, compared = 0;
	struct store store;
	const struct vl_filter filter = {0, false, 0};

	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		make_vector(kind, DIM, vector, &seed);
		if (odd != 0 && (uint64_t)i % odd == odd / 2)
			for (uint32_t j = 0; j < DIM; j++)
				vl_put32(vector + 4 * j, (uint32_t)((int32_t)(check_random(&other) >> 44) * 200 *
								    (check_random(&other) & 1 ? 1 : -1)));
		insert(&store, vector, 0, 0);
	}
	append_all(&store);
	for (int q = 0; q < QUERIES; q++)
		make_vector(kind, DIM, queries + 4 * DIM * q, &seed);
	*wrong += compare(&store, queries, QUERIES, 10, &filter, 0, UINT32_MAX, &compared);
	store_close(&store);
	return compared;
}

static void test_outliers(void)
{
	static const enum kind kinds[] = {BYTES, FLOATS};

	for (unsigned i = 0; i < 2; i++) {
		unsigned wrong = 0;
		uint64_t without = count_compared(kinds[i], 0, &wrong);
		uint64_t with = count_compared(kinds[i], 1000, &wrong);

		printf("# %s: %" PRIu64 " exact distances, %" PRIu64 " with outliers\n", kind_names[kinds[i]], without,
		       with);
		check(with * 10 < without * 11 && wrong == 0,
		      "%s: one extreme row in a thousand costs less than a tenth more exact distances",
		      kind_names[kinds[i]]);
	}
}

/* ---- what need not be compared ---- */

static void test_spared(void)
{
	enum { DIM = 64, COUNT = 6000 };
	uint8_t vector[4 * DIM], query[4 * DIM];
	const struct vl_filter all = {0, false, 0}, few = {0, true, 7}, none = {0, true, 8};
	uint64_t compared = 0, seed = 9;
	unsigned wrong = 0;
	struct store store;

	store_open(&store, DIM);
	fill(vector, DIM, 3 << 16);
	for (int i = 0; i < COUNT; i++)
		insert(&store, vector, 0, i % 100 == 0 ? 7 : 0);
	append_all(&store);
	fill(query, DIM, 5 << 16);
	wrong += compare(&store, query, 1, 10, &all, 0, UINT32_MAX, &compared);
	check(wrong == 0 && compared == 10, "of equal records only the first ones are compared");
	compared = 0;
	wrong += compare(&store, query, 1, 10, &few, 0, UINT32_MAX, &compared);
	check(wrong == 0 && compared == 10, "or the first ones with a tag");
	compared = 0;
	wrong += compare(&store, query, 1, 10, &none, 0, UINT32_MAX, &compared);
	check(wrong == 0 && compared == 0, "a tag that nobody has costs no exact distance");
	store_close(&store);
	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		make_vector(BYTES, DIM, vector, &seed);
		insert(&store, vector, 0, 0);
	}
	append_all(&store);
	make_vector(BYTES, DIM, query, &seed);
	check(store.codes.quantiser.low == 0 && store.codes.quantiser.step == 65536 &&
		      vl_codes_bound(&store.codes, 0) == 0,
	      "bytes are coded without loss");
	compared = 0;
	wrong += compare(&store, query, 1, 10, &all, 0, UINT32_MAX, &compared);
	check(wrong == 0 && compared < 60, "of 6,000 records with exact codes a few dozens are compared");
	store_close(&store);
}

/* Heaps that already hold hits of other ranges, also with ids above those of the rows. */
static void test_ranges(void)
{
	enum { DIM = 4, COUNT = 4000, K = 10, QUERIES = 3 };
	uint8_t vector[4 * DIM], queries[QUERIES][4 * DIM];
	const struct vl_filter filter = {0, false, 0};
	valori_hit is[QUERIES * K], should_be[QUERIES * K];
	size_t is_hits[QUERIES] = {0}, hits[QUERIES] = {0};
	uint64_t seed = 4;
	unsigned wrong = 0;
	struct store store;

	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		make_vector(FEW, DIM, vector, &seed);
		insert(&store, vector, 0, 0);
	}
	append_all(&store);
	for (int q = 0; q < QUERIES; q++)
		make_vector(FEW, DIM, queries[q], &seed);
	vl_brute_search(&store.state, queries[0], QUERIES, K, &filter, 0, COUNT, should_be, hits, NULL);
	for (uint32_t first = COUNT; first > 0; first -= 500)
		wrong += vl_codes_search(&store.codes, &store.state, queries[0], QUERIES, K, &filter, first - 500,
					 first, is, is_hits, NULL, NULL) != VALORI_OK;
	for (int q = 0; q < QUERIES; q++) {
		vl_hits_sort(should_be + q * K, hits[q]);
		vl_hits_sort(is + q * K, is_hits[q]);
		wrong += is_hits[q] != hits[q] || memcmp(is + q * K, should_be + q * K, sizeof(*is) * K) != 0;
	}
	check(wrong == 0, "ranges from the last to the first: the smaller id comes later and wins");
	memory.fail_at = memory.calls + 1;
	check(vl_codes_search(&store.codes, &store.state, queries[0], 1, K, &filter, 0, COUNT, is, is_hits, NULL,
			      NULL) == VALORI_NO_MEMORY,
	      "a search may run out of memory");
	memory.fail_at = 0;
	store.state.flags |= VL_STATE_NO_VECTORS;
	check(vl_codes_search(&store.codes, &store.state, queries[0], 1, K, &filter, 0, COUNT, is, is_hits, NULL,
			      NULL) == VALORI_UNKNOWABLE,
	      "without vectors nothing is known");
	store.state.flags = 0;
	store_close(&store);
}

/* ---- appending ---- */

static void test_rounds(void)
{
	enum { DIM = 3, COUNT = 5000 };
	uint8_t vector[4 * DIM];
	static uint32_t renumbered[2 * COUNT];
	static uint8_t old_rows[COUNT * 64];
	struct store store;
	struct vl_codes before;
	uint64_t seed = 3, gone = 0;
	unsigned moved = 0, wrong = 0;
	bool settled = true;

	store_open(&store, DIM);
	check(vl_codes_find(&store.codes, 0) == 0 && store.codes.capacity == VL_CODES_FIRST, "codes begin empty");
	for (int i = 0; i < COUNT; i++) {
		make_vector(BYTES, DIM, vector, &seed);
		insert(&store, vector, 0, 0);
	}
	check(vl_codes_append(&store.codes, &store.state, 0, 0, NULL, &settled, NULL) == VALORI_OK && !settled,
	      "no record, no row");
	vl_codes_append(&store.codes, &store.state, 0, 100, NULL, &settled, NULL);
	check(settled && store.codes.count == 100 && store.codes.capacity == 1024, "the first rows are settled");
	vl_codes_append(&store.codes, &store.state, 100, 1000, renumbered, &settled, NULL);
	check(settled && store.codes.count == 1000 && renumbered[0] == 0 && renumbered[99] == 99,
	      "before 1,024 every round is");
	vl_codes_append(&store.codes, &store.state, 1000, 1030, NULL, &settled, NULL);
	check(settled && store.codes.count == 1030 && store.codes.capacity == 2048, "then the 1,024th row");
	before = vl_codes_share(&store.codes);
	memcpy(old_rows, vl_codes_row(&before, 0), 1030 * 64);
	vl_codes_append(&store.codes, &store.state, 1030, 2000, NULL, &settled, NULL);
	check(!settled && store.codes.count == 2000 && store.codes.rows.data == before.rows.data &&
		      before.count == 1030,
	      "up to the next power of two rows are only appended");
	for (uint64_t id = 0; id < 1000; id += 2)
		apply(&store, (struct vl_event){.type = VALORI_EVENT_SOFT_DELETE, .id = id});
	vl_codes_append(&store.codes, &store.state, 2000, 2100, renumbered, &settled, NULL);
	for (uint32_t row = 0; row < 2000; row++) {
		bool is_gone = row < 1000 && row % 2 == 0;

		gone += renumbered[row] == VL_ROW_GONE;
		moved += renumbered[row] != (is_gone ? VL_ROW_GONE : row < 1000 ? row / 2 : row - 500);
	}
	check(settled && gone == 500 && moved == 0 && store.codes.count == 1600,
	      "and then rows of records that are gone go, the others are told where they are");
	check(store.codes.capacity == 2048, "with room for a quarter more at least");
	check(before.count == 1030 && memcmp(old_rows, vl_codes_row(&before, 0), 1030 * 64) == 0,
	      "another version stays what it was");
	for (uint32_t row = 0; row < store.codes.count; row++)
		wrong += vl_codes_find(&store.codes, vl_codes_id(&store.codes, row)) != row;
	check(wrong == 0 && vl_codes_find(&store.codes, 2) == 1 && vl_codes_find(&store.codes, 2100) == 1600,
	      "rows are found by id");
	vl_codes_free(&before);
	store_close(&store);
}

/* The same records give the same codes, whoever appended what to another version in between. */
static void test_memory(void)
{
	enum { DIM = 5, COUNT = 3000 };
	uint8_t vector[4 * DIM];
	struct store store;
	uint64_t seed = 3;
	unsigned failures = 0, wrong = 0;
	bool settled, done = false;

	store_open(&store, DIM);
	for (int i = 0; i < COUNT; i++) {
		make_vector(FLOATS, DIM, vector, &seed);
		insert(&store, vector, 0, 0);
	}
	for (uint64_t fail_at = 1; !done; fail_at++) {
		static const uint64_t ends[] = {0, 1000, 1500, 2047, 3000};

		vl_codes_free(&store.codes);
		vl_codes_init(&store.codes, &memory.env, DIM);
		for (unsigned i = 0; i < 4; i++) {
			struct vl_codes before = store.codes;

			memory.calls = 0;
			memory.fail_at = fail_at;
			while (vl_codes_append(&store.codes, &store.state, ends[i], ends[i + 1], NULL, &settled,
					       NULL) == VALORI_NO_MEMORY) {
				wrong += before.count != store.codes.count || before.capacity != store.codes.capacity;
				failures++;
				memory.fail_at = 0;
			}
			done = memory.fail_at != 0;
		}
		memory.fail_at = 0;
		wrong += store.codes.count != COUNT;
	}
	check(failures > 5 && wrong == 0, "every allocation may fail, and appending again does it");
	store_close(&store);
	check(memory.blocks == 0 && memory.wrong == 0, "nothing is left");
}

int main(void)
{
	static const uint32_t dims[] = {1, 2, 63, 64, 65};

	memory_init(&memory, vl_cpu_kernels(NULL));
	test_reach();
	test_quantiser();
	test_rounds();
	test_memory();
	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (unsigned i = 0; i < sizeof(dims) / sizeof(*dims); i++)
			test_kind(kind, dims[i], 2500);
		test_kind(kind, 768, 300);
		test_kind(kind, 32768, 9);
	}
	test_outliers();
	test_spared();
	test_ranges();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back");
	return check_done();
}
