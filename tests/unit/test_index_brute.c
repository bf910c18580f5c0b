/* test_index_brute.c - exact search against the plainest one. */
#include "check.h"
#include "cpu.h"
#include "index_brute.h"
#include "memory.h"
#include "q16.h"

enum { DIM = 7, RECORDS = 3000, QUERIES = 40, K_MAX = 64 };

static struct memory memory;
static struct vl_pool *pool;
static struct vl_state state;
static uint8_t vectors[RECORDS][4 * DIM], queries[QUERIES][4 * DIM];
static struct {
	uint16_t collection;
	uint64_t tag;
	bool live;
} known[RECORDS];

/* Coordinates of few values, so that many distances are equal and the id decides. */
static void make_vector(uint8_t *out, uint64_t *seed)
{
	for (int i = 0; i < DIM; i++)
		vl_put32(out + 4 * i, (uint32_t)(check_random(seed) % 5) - 2);
}

static void apply(struct vl_event event)
{
	struct vl_buf scratch;

	vl_buf_init(&scratch, &memory.env);
	event.metadata_size = VL_ABSENT;
	vl_event_hash_contents(memory.env.kernels, &event, 1, DIM, &scratch, NULL);
	if (vl_state_apply(&state, &event, NULL) != VALORI_OK)
		check(false, "an event of the set-up is applied");
	vl_buf_free(&scratch);
}

static void set_up(void)
{
	uint64_t seed = 1;

	vl_pool_new(&memory.env, &pool, NULL);
	vl_state_init(&state, pool, DIM, 0, NULL);
	for (uint16_t c = 1; c < 4; c++)
		apply((struct vl_event){.type = VALORI_EVENT_COLLECTION_CREATE,
					.id = c,
					.key = (const uint8_t *)"a\0b\0c" + 2 * (c - 1),
					.key_size = 1});
	for (uint64_t id = 0; id < RECORDS; id++) {
		make_vector(vectors[id], &seed);
		known[id].collection = (uint16_t)(id % 50 == 7 ? 1 : id % 50 == 8 ? 2 : id > 1900 && id < 2200);
		known[id].tag = check_random(&seed) % 20 == 0 ? 5 : UINT64_C(0x0100000000000005);
		known[id].live = true;
		apply((struct vl_event){.type = VALORI_EVENT_INSERT,
					.id = id,
					.vector = vectors[id],
					.tag = known[id].tag,
					.collection = known[id].collection});
	}
	for (uint64_t id = 0; id < RECORDS; id++) {
		uint64_t r = check_random(&seed) % 12;

		if (r > 1 || known[id].collection == 2)
			continue;
		apply((struct vl_event){.type = r == 0 ? VALORI_EVENT_DELETE : VALORI_EVENT_SOFT_DELETE, .id = id});
		known[id].live = false;
	}
	apply((struct vl_event){.type = VALORI_EVENT_COLLECTION_DROP, .id = 2});
	for (int q = 0; q < QUERIES; q++)
		make_vector(queries[q], &seed);
}

static uint64_t distance(const uint8_t *a, const uint8_t *b)
{
	uint64_t sum = 0;

	for (int i = 0; i < DIM; i++) {
		int64_t d = (int64_t)(int32_t)vl_get32(a + 4 * i) - (int32_t)vl_get32(b + 4 * i);

		sum += (uint64_t)(d * d);
	}
	return sum;
}

/* k times the best that is not yet in the list. */
static size_t search_plainly(const uint8_t *query, size_t k, const struct vl_filter *filter, uint64_t first,
			     uint64_t last, valori_hit *out)
{
	static bool used[RECORDS];
	size_t hits = 0;

	memset(used, 0, sizeof(used));
	while (hits < k) {
		valori_hit best = {VALORI_NONE, UINT64_MAX};

		for (uint64_t id = first; id < last && id < RECORDS; id++) {
			if (used[id] || !known[id].live || known[id].collection != filter->collection ||
			    filter->collection == 2 || (filter->has_tag && known[id].tag != filter->tag))
				continue;
			if (distance(query, vectors[id]) < best.score)
				best = (valori_hit){id, distance(query, vectors[id])};
		}
		if (best.id == VALORI_NONE)
			break;
		used[best.id] = true;
		out[hits++] = best;
	}
	return hits;
}

static bool is_same(const valori_hit *a, size_t a_hits, const valori_hit *b, size_t b_hits)
{
	if (a_hits != b_hits)
		return false;
	for (size_t i = 0; i < a_hits; i++)
		if (a[i].id != b[i].id || a[i].score != b[i].score)
			return false;
	return true;
}

static unsigned compare(size_t count, size_t k, const struct vl_filter *filter, uint64_t first, uint64_t last)
{
	static valori_hit heaps[QUERIES * K_MAX], plain[K_MAX];
	size_t hits[QUERIES] = {0};
	unsigned wrong = 0;

	wrong += vl_brute_search(&state, queries[0], count, k, filter, first, last, heaps, hits, NULL) != VALORI_OK;
	for (size_t q = 0; q < count; q++) {
		vl_hits_sort(heaps + q * k, hits[q]);
		wrong += !is_same(heaps + q * k, hits[q], plain,
				  search_plainly(queries[q], k, filter, first, last, plain));
	}
	return wrong;
}

static void test_against_plain(void)
{
	static const struct vl_filter filters[] = {{0, false, 0}, {1, false, 0}, {0, true, 5},  {1, true, 5},
						   {0, true, 77}, {2, false, 0}, {3, false, 0}, {9, false, 0}};
	static const char *const names[] = {"all of a collection",         "a small collection", "a tag",
					    "a tag in a small collection", "a tag nobody has",   "a dropped collection",
					    "an empty collection",         "no collection"};

	for (size_t f = 0; f < sizeof(filters) / sizeof(*filters); f++) {
		unsigned wrong =
			compare(1, 10, &filters[f], 0, RECORDS) + compare(QUERIES, 10, &filters[f], 0, RECORDS) +
			compare(3, 1, &filters[f], 0, RECORDS) + compare(33, K_MAX, &filters[f], 0, VALORI_NONE);

		check_u64(wrong, 0, names[f]);
	}
}

static void test_ranges(void)
{
	const struct vl_filter filter = {0, false, 0};
	static valori_hit heaps[QUERIES * K_MAX], other[QUERIES * K_MAX], plain[K_MAX];
	size_t hits[QUERIES] = {0}, others[QUERIES];
	unsigned wrong = 0, merged = 0;
	uint64_t seed = 8;

	for (int i = 0; i < 60; i++) {
		uint64_t first = check_random(&seed) % RECORDS, last = first + check_random(&seed) % 400;

		wrong += compare(1 + check_random(&seed) % 3, 1 + check_random(&seed) % 20, &filter, first, last);
	}
	check_u64(wrong, 0, "any range of ids");
	/* From the end to the beginning: the smaller id comes later, and still wins. */
	wrong = 0;
	for (uint64_t first = RECORDS; first > 0; first -= 250) {
		vl_brute_search(&state, queries[0], 5, 10, &filter, first - 250, first, heaps, hits, NULL);
	}
	memset(others, 0, sizeof(others));
	for (uint64_t first = 0; first < RECORDS; first += 500) {
		size_t part[QUERIES] = {0};
		static valori_hit part_heaps[QUERIES * K_MAX];

		vl_brute_search(&state, queries[0], 5, 10, &filter, first, first + 500, part_heaps, part, NULL);
		for (int q = 0; q < 5; q++)
			vl_hits_merge(other + q * 10, &others[q], 10, part_heaps + q * 10, part[q]);
	}
	for (int q = 0; q < 5; q++) {
		size_t found = search_plainly(queries[q], 10, &filter, 0, RECORDS, plain);

		vl_hits_sort(heaps + q * 10, hits[q]);
		vl_hits_sort(other + q * 10, others[q]);
		wrong += !is_same(heaps + q * 10, hits[q], plain, found);
		merged += !is_same(other + q * 10, others[q], plain, found);
	}
	check_u64(wrong, 0, "ranges one after the other, in any order");
	check_u64(merged, 0, "heaps of ranges, merged");
}

/* Kernels that count the rows they are given. */
static uint64_t rows_seen;
static struct vl_kernels counting;
static const struct vl_kernels *real;

static void count_rows(const uint8_t *query, const uint8_t *rows, size_t count, size_t dim, uint64_t *out)
{
	rows_seen += count;
	real->q16_l2_rows(query, rows, count, dim, out);
}

static void test_edges(void)
{
	const struct vl_filter all = {0, false, 0}, tag = {0, true, 5};
	valori_hit heap[K_MAX] = {{7, UINT64_MAX}};
	size_t hits = 0, matches = 0;
	struct vl_state other;
	valori_error error;

	check_u64(vl_brute_search(&state, queries[0], 0, 10, &all, 0, RECORDS, heap, &hits, NULL), VALORI_OK,
		  "no query");
	check_u64(vl_brute_search(&state, queries[0], 1, 0, &all, 0, RECORDS, heap, &hits, NULL), VALORI_OK,
		  "no hit wanted");
	check_u64(vl_brute_search(&state, queries[0], 1, 10, &all, 50, 50, heap, &hits, NULL), VALORI_OK, "no record");
	vl_hits_merge(heap, &hits, 0, &(valori_hit){1, 1}, 1);
	check(hits == 0 && heap[0].id == 7 && heap[0].score == UINT64_MAX, "each gives no hit, and writes none");
	other = state;
	other.flags = VL_STATE_NO_VECTORS;
	check_u64(vl_brute_search(&other, queries[0], 1, 10, &all, 0, RECORDS, heap, &hits, &error), VALORI_UNKNOWABLE,
		  "without vectors nothing can be found");
	for (uint64_t id = 0; id < RECORDS; id++)
		matches += known[id].live && known[id].collection == 0 && known[id].tag == 5;
	real = memory.env.kernels;
	counting = *real;
	counting.q16_l2_rows = count_rows;
	memory.env.kernels = &counting;
	vl_brute_search(&state, queries[0], 1, 10, &tag, 0, RECORDS, heap, &hits, NULL);
	memory.env.kernels = real;
	check_u64(rows_seen, matches, "distances are computed of allowed records only");
}

/* Everything at the limits of the acceptance rule: distances near 2^64 are compared as they are. */
static void test_extremes(void)
{
	const struct vl_filter all = {0, false, 0};
	uint8_t far[4 * DIM] = {0}, query[4 * DIM] = {0};
	struct vl_pool *p;
	struct vl_state s;
	valori_hit heap[4];
	size_t hits = 0;

	vl_pool_new(&memory.env, &p, NULL);
	vl_state_init(&s, p, DIM, 0, NULL);
	vl_put32(query, 0x7fffffff);
	for (uint64_t id = 0; id < 3; id++) {
		struct vl_event event = {
			.type = VALORI_EVENT_INSERT, .id = id, .metadata_size = VL_ABSENT, .vector = far};

		vl_put32(far, 0x80000001 + (uint32_t)(2 - id));
		vl_state_apply(&s, &event, NULL);
	}
	vl_brute_search(&s, query, 1, 4, &all, 0, 3, heap, &hits, NULL);
	vl_hits_sort(heap, hits);
	check(hits == 3 && heap[0].id == 0 && heap[2].id == 2 &&
		      heap[2].score == UINT64_C(0xfffffffe) * UINT64_C(0xfffffffe),
	      "the largest distances are ordered and exact");
	vl_state_free(&s);
	vl_pool_free(p);
}

/* Vectors so long that few of them lie together. */
static void test_wide(void)
{
	enum { WIDE = 3000, COUNT = 70 };
	static uint8_t wide[COUNT][4 * WIDE];
	const struct vl_filter all = {0, false, 0};
	struct vl_pool *p;
	struct vl_state s;
	valori_hit heaps[2][COUNT];
	size_t hits[2] = {0};
	unsigned wrong = 0;

	vl_pool_new(&memory.env, &p, NULL);
	vl_state_init(&s, p, WIDE, 0, NULL);
	for (uint64_t id = 0; id < COUNT; id++) {
		struct vl_event event = {
			.type = VALORI_EVENT_INSERT, .id = id, .metadata_size = VL_ABSENT, .vector = wide[id]};

		vl_put32(wide[id] + 4 * (id * 41 % WIDE), (uint32_t)id * 3);
		vl_state_apply(&s, &event, NULL);
	}
	vl_brute_search(&s, wide[0], 1, COUNT, &all, 0, COUNT, heaps[0], hits, NULL);
	vl_hits_sort(heaps[0], hits[0]);
	for (uint64_t id = 0; id < COUNT; id++)
		wrong += heaps[0][id].id != id || heaps[0][id].score != id * id * 9;
	hits[0] = 0;
	vl_brute_search(&s, wide[0], 2, COUNT, &all, 0, COUNT, heaps[0], hits, NULL);
	vl_hits_sort(heaps[1], hits[1]);
	for (size_t i = 1; i < COUNT; i++)
		wrong += heaps[1][i].score < heaps[1][i - 1].score;
	check(hits[0] == COUNT && hits[1] == COUNT && wrong == 0, "vectors of many components");
	vl_state_free(&s);
	vl_pool_free(p);
}

int main(void)
{
	memory_init(&memory, vl_cpu_kernels(NULL));
	set_up();
	for (size_t i = 0; vl_cpu_kernels_at(i) != NULL; i++) {
		memory.env.kernels = vl_cpu_kernels_at(i);
		printf("# %s\n", memory.env.kernels->name);
		test_against_plain();
	}
	test_ranges();
	test_edges();
	test_extremes();
	test_wide();
	vl_state_free(&state);
	vl_pool_free(pool);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
