/* test_requests.c - the request window. */
#include "requests.h"

#include "check.h"
#include "memory.h"

struct window {
	struct vl_pool *pool;
	struct vl_requests requests;
};

static void window_init(struct window *window, struct memory *memory)
{
	if (vl_pool_new(&memory->env, &window->pool, NULL) != VALORI_OK ||
	    vl_requests_init(&window->requests, window->pool, NULL) != VALORI_OK)
		exit(1);
}

static void window_free(struct window *window)
{
	vl_requests_free(&window->requests);
	vl_pool_free(window->pool);
}

/* Request number n of a log in which every fifth id is that of an earlier request. */
static struct vl_request request_at(uint64_t n)
{
	struct vl_request request = {.event = 2 * n + 1, .object = n * 7};
	uint64_t seed = n % 5 == 4 ? n / 2 : n;

	for (int i = 0; i < VL_REQUEST_ID; i += 8)
		vl_put64(request.id + i, check_random(&seed));
	memset(request.digest, (int)n, sizeof(request.digest));
	return request;
}

static bool same(const struct vl_request *a, const struct vl_request *b)
{
	return memcmp(a->id, b->id, sizeof(a->id)) == 0 && a->event == b->event && a->object == b->object &&
	       memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

static uint64_t add_range(struct window *window, uint64_t first, uint64_t last)
{
	uint64_t failed = 0;

	for (uint64_t n = first; n < last; n++) {
		struct vl_request request = request_at(n);

		failed += vl_requests_add(&window->requests, &request, NULL) != VALORI_OK;
	}
	return failed;
}

/* Requests of the window that find does not answer with the newest of their id. */
static uint64_t count_lost(const struct window *window, uint64_t step)
{
	const struct vl_requests *requests = &window->requests;
	uint64_t lost = 0, first = requests->total - requests->entries.count;

	for (uint64_t n = first; n < requests->total; n += step) {
		struct vl_request asked = request_at(n), got = {0}, found = {0};

		vl_requests_get(requests, n, &got);
		lost += !same(&got, &asked);
		if (!vl_requests_find(requests, asked.id, &found) || found.event < asked.event)
			lost++;
		else
			lost += memcmp(found.id, asked.id, VL_REQUEST_ID) != 0 ||
				found.object != (found.event - 1) / 2 * 7;
	}
	return lost;
}

/* The window's bytes, as a snapshot has them. */
static uint8_t *copy_bytes(const struct vl_array *array)
{
	uint8_t *bytes = malloc(array->count * array->elem_size + 1);

	for (uint64_t i = 0; bytes != NULL && i < array->count; i++)
		memcpy(bytes + i * array->elem_size, vl_array_get(array, i), array->elem_size);
	return bytes;
}

static bool equal(const struct window *a, const struct window *b)
{
	const struct vl_array *of_a[] = {&a->requests.entries, &a->requests.buckets};
	const struct vl_array *of_b[] = {&b->requests.entries, &b->requests.buckets};
	bool is_equal = a->requests.total == b->requests.total;

	for (int i = 0; i < 2; i++) {
		uint8_t *bytes_a = copy_bytes(of_a[i]), *bytes_b = copy_bytes(of_b[i]);

		is_equal = is_equal && of_a[i]->count == of_b[i]->count &&
			   memcmp(bytes_a, bytes_b, of_a[i]->count * of_a[i]->elem_size) == 0;
		free(bytes_a);
		free(bytes_b);
	}
	return is_equal;
}

static void test_small(struct memory *memory)
{
	struct window window;
	struct vl_request request = request_at(0);
	uint64_t wrong = 0;

	window_init(&window, memory);
	check(!vl_requests_find(&window.requests, request.id, &request),
	      "nothing is found in an empty window");
	check_u64(vl_requests_check(&window.requests, NULL), VALORI_OK, "an empty window is in order");
	for (uint64_t n = 0; n < 600; n++) {
		wrong += add_range(&window, n, n + 1);
		wrong += count_lost(&window, 1);
		wrong += vl_requests_check(&window.requests, NULL) != VALORI_OK;
		request = request_at(1000000 + n);
		wrong += vl_requests_find(&window.requests, request.id, &request);
	}
	check_u64(wrong, 0,
		  "after every add all requests are found, the newest of an id first, and no others");
	window_free(&window);
	check(memory->blocks == 0, "the window gives its memory back");
}

static void test_abort(struct memory *memory)
{
	struct window straight, detours;
	uint64_t seed = 3, n = 0, failed = 0;

	window_init(&straight, memory);
	window_init(&detours, memory);
	failed += add_range(&straight, 0, 5000);
	while (n < 5000) {
		uint64_t some = check_random(&seed) % 60;
		bool keep = check_random(&seed) % 2;

		if (some > 5000 - n)
			some = 5000 - n;
		vl_pool_begin(detours.pool);
		vl_requests_begin(&detours.requests);
		failed += add_range(&detours, keep ? n : n + 777, (keep ? n : n + 777) + some);
		if (keep) {
			vl_pool_commit(detours.pool);
			n += some;
		} else {
			vl_pool_abort(detours.pool);
			vl_requests_abort(&detours.requests);
		}
	}
	check(failed == 0 && equal(&straight, &detours), "what was taken back leaves no trace in the bytes");
	window_free(&straight);
	window_free(&detours);
}

static void test_mapped(struct memory *memory)
{
	struct window window, mapped;
	uint64_t failed;

	window_init(&window, memory);
	window_init(&mapped, memory);
	failed = add_range(&window, 0, 3000);
	uint8_t *entries = copy_bytes(&window.requests.entries),
		*buckets = copy_bytes(&window.requests.buckets);
	vl_array_map(&mapped.requests.entries, entries, 3000);
	vl_array_map(&mapped.requests.buckets, buckets, 3000);
	mapped.requests.total = 3000;
	check_u64(count_lost(&mapped, 1), 0, "a mapped window answers like the one that was written");
	failed += add_range(&window, 3000, 7000) + add_range(&mapped, 3000, 7000);
	check(failed == 0 && equal(&window, &mapped),
	      "a mapped window goes on like the one that was written");
	window_free(&mapped);
	window_free(&window);
	free(entries);
	free(buckets);
}

static void test_full(struct memory *memory)
{
	struct window window;
	struct vl_request old = request_at(0), found;
	uint64_t more = 2500, failed;

	window_init(&window, memory);
	failed = add_range(&window, 0, VL_REQUEST_WINDOW);
	check(failed == 0 && vl_requests_find(&window.requests, old.id, &found),
	      "a full window holds the oldest request");
	failed = add_range(&window, VL_REQUEST_WINDOW, VL_REQUEST_WINDOW + 1);
	check(failed == 0 && !vl_requests_find(&window.requests, old.id, &found), "one more, and it is gone");
	failed = add_range(&window, VL_REQUEST_WINDOW + 1, VL_REQUEST_WINDOW + more);
	check_u64(failed + count_lost(&window, 97), 0, "a full window finds what is in it");
	check_u64(vl_requests_check(&window.requests, NULL), VALORI_OK, "a full window is in order");
	check_u64(window.requests.entries.count, VL_REQUEST_WINDOW, "a full window grows no more");
	window_free(&window);
}

static void test_damage(struct memory *memory)
{
	enum {
		COUNT = 40,
		ENTRIES = COUNT * VL_REQUEST_ENTRY_SIZE,
		BUCKETS = COUNT * VL_REQUEST_BUCKET_SIZE
	};
	struct window window;
	uint64_t unseen = 0, seed = 9;

	window_init(&window, memory);
	add_range(&window, 0, COUNT);
	uint8_t *entries = copy_bytes(&window.requests.entries),
		*buckets = copy_bytes(&window.requests.buckets);
	for (unsigned bit = 0; bit < (ENTRIES + BUCKETS) * 8; bit++) {
		unsigned byte = bit / 8, within = byte % VL_REQUEST_ENTRY_SIZE;
		uint8_t *flipped = byte < ENTRIES ? entries + byte : buckets + (byte - ENTRIES);
		struct window mapped;

		/* Events, objects and digests of events are anything; the digest of the section speaks for
		 * them. */
		if (byte < ENTRIES && within >= 16 && within < 64)
			continue;
		*flipped ^= (uint8_t)(1u << bit % 8);
		window_init(&mapped, memory);
		vl_array_map(&mapped.requests.entries, entries, COUNT);
		vl_array_map(&mapped.requests.buckets, buckets, COUNT);
		mapped.requests.total = COUNT;
		unseen += vl_requests_check(&mapped.requests, NULL) != VALORI_DAMAGED;
		count_lost(&mapped, 1);
		add_range(&mapped, COUNT, COUNT + 50);
		window_free(&mapped);
		*flipped ^= (uint8_t)(1u << bit % 8);
	}
	check_u64(unseen, 0, "every flipped bit of ids, hashes, chains and buckets is found");
	unseen = 0;
	for (int round = 0; round < 300; round++) {
		struct window mapped;

		for (unsigned i = 0; i < COUNT; i++) { /* rings and stray places, many at once */
			vl_put32(buckets + i * 4, (uint32_t)(check_random(&seed) % (COUNT + 3)));
			vl_put32(entries + i * VL_REQUEST_ENTRY_SIZE + 64,
				 (uint32_t)(check_random(&seed) % (COUNT + 3)));
		}
		window_init(&mapped, memory);
		vl_array_map(&mapped.requests.entries, entries, COUNT);
		vl_array_map(&mapped.requests.buckets, buckets, COUNT);
		mapped.requests.total = COUNT;
		unseen += vl_requests_check(&mapped.requests, NULL) != VALORI_DAMAGED;
		count_lost(&mapped, 1);
		add_range(&mapped, COUNT, COUNT + 100);
		window_free(&mapped);
	}
	check_u64(unseen, 0, "chains that were tangled at random are found, and following them ends");
	window_free(&window);
	free(entries);
	free(buckets);
}

static void test_no_memory(struct memory *memory)
{
	uint64_t wrong = 0, failures = 0;

	for (uint64_t at = 1; at < 400; at++) {
		struct window window;

		window_init(&window, memory);
		add_range(&window, 0, 100);
		vl_pool_begin(window.pool);
		vl_requests_begin(&window.requests);
		memory->fail_at = memory->calls + at;
		uint64_t failed = add_range(&window, 100, 200);
		memory->fail_at = 0;
		vl_pool_abort(window.pool);
		vl_requests_abort(&window.requests);
		failures += failed != 0;
		wrong += window.requests.total != 100 || count_lost(&window, 1) != 0 ||
			 vl_requests_check(&window.requests, NULL) != VALORI_OK;
		wrong += memory->blocks == 0;
		window_free(&window);
		wrong += memory->blocks != 0;
		if (failed == 0)
			break;
	}
	check(failures > 3 && wrong == 0, "out of memory at any point, then abort: as before");
}

int main(void)
{
	struct memory memory;

	memory_init(&memory, &vl_kernels_portable);
	test_small(&memory);
	test_abort(&memory);
	test_mapped(&memory);
	test_damage(&memory);
	test_no_memory(&memory);
	test_full(&memory);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back");
	return check_done();
}
