/* requests.c - the request window: a ring of entries, found by linear hashing. */
#include "requests.h"

#include "bytes.h"

enum { ENTRY_EVENT = 16, ENTRY_OBJECT = 24, ENTRY_DIGEST = 32, ENTRY_NEXT = 64, ENTRY_HASH = 68 };
enum { ENTRY_SHIFT = 6, BUCKET_SHIFT = 10 }; /* chunks of about a page */

_Static_assert((int)ENTRY_HASH + 4 == (int)VL_REQUEST_ENTRY_SIZE, "an entry is full");

/* A place that holds the number of a chain's next entry: a bucket, or an entry. */
struct link {
	bool in_entry;
	uint64_t index;
};

static uint32_t hash_id(const struct vl_requests *requests, const uint8_t id[VL_REQUEST_ID])
{
	uint8_t hash[VL_HASH_SIZE];

	vl_blake3(vl_pool_env(requests->entries.pool)->kernels, VL_HASH_PLAIN, id, VL_REQUEST_ID, hash);
	return vl_get32(hash);
}

/* The largest power of two that is not above n, which is not 0. */
static uint64_t power_below(uint64_t n)
{
	uint64_t power = 1;

	while (power <= n / 2)
		power *= 2;
	return power;
}

static uint64_t bucket_of(uint32_t hash, uint64_t buckets)
{
	uint64_t power = power_below(buckets);
	uint64_t bucket = hash & (2 * power - 1);

	return bucket < buckets ? bucket : bucket - power;
}

static uint32_t link_get(const struct vl_requests *requests, struct link link)
{
	if (link.in_entry)
		return vl_get32(vl_array_get(&requests->entries, link.index) + ENTRY_NEXT);
	return vl_get32(vl_array_get(&requests->buckets, link.index));
}

static bool link_set(struct vl_requests *requests, struct link link, uint32_t value)
{
	uint8_t *place;

	if (link_get(requests, link) == value)
		return true; /* a chunk that does not change is not copied */
	if (link.in_entry) {
		place = vl_array_edit(&requests->entries, link.index);
		if (place != NULL)
			vl_put32(place + ENTRY_NEXT, value);
	} else {
		place = vl_array_edit(&requests->buckets, link.index);
		if (place != NULL)
			vl_put32(place, value);
	}
	return place != NULL;
}

/*
 * Follows a chain: *link, which must be in range, holds the next entry's place + 1. False at the chain's end.
 * A mapped window may be damaged: places out of range end a chain, and *steps ends a ring of entries.
 */
static bool chain_next(const struct vl_requests *requests, struct link *link, uint64_t *steps)
{
	uint32_t next = link_get(requests, *link);

	if (next == 0 || next > requests->entries.count || ++*steps > requests->entries.count)
		return false;
	*link = (struct link){true, next - 1};
	return true;
}

valori_code vl_requests_init(struct vl_requests *requests, struct vl_pool *pool, valori_error *error)
{
	(void)error;
	*requests = (struct vl_requests){0};
	vl_array_init(&requests->entries, pool, VL_REQUEST_ENTRY_SIZE, ENTRY_SHIFT);
	vl_array_init(&requests->buckets, pool, VL_REQUEST_BUCKET_SIZE, BUCKET_SHIFT);
	return VALORI_OK;
}

void vl_requests_free(struct vl_requests *requests)
{
	vl_array_free(&requests->entries);
	vl_array_free(&requests->buckets);
}

void vl_requests_begin(struct vl_requests *requests)
{
	requests->begun = requests->total;
}

void vl_requests_abort(struct vl_requests *requests)
{
	requests->total = requests->begun;
}

/* Moves to the new bucket `made` what belongs there of the one it is split from; both keep their order. */
static bool split(struct vl_requests *requests, uint64_t made)
{
	uint64_t power = power_below(made), steps = 0;
	struct link tails[2] = {{false, made - power}, {false, made}};
	struct link here = tails[0];

	while (chain_next(requests, &here, &steps)) {
		uint32_t hash = vl_get32(vl_array_get(&requests->entries, here.index) + ENTRY_HASH);
		struct link *tail = &tails[(hash & (2 * power - 1)) == made];

		if (!link_set(requests, *tail, (uint32_t)here.index + 1))
			return false;
		*tail = here;
	}
	return link_set(requests, tails[0], 0) && link_set(requests, tails[1], 0);
}

/* Takes the entry at place, the last of its chain, out of it. */
static bool unlink_last(struct vl_requests *requests, uint64_t place)
{
	uint32_t hash = vl_get32(vl_array_get(&requests->entries, place) + ENTRY_HASH);
	struct link before = {false, bucket_of(hash, requests->buckets.count)};
	struct link here = before;
	uint64_t steps = 0;

	while (chain_next(requests, &here, &steps)) {
		if (here.index == place)
			return link_set(requests, before, link_get(requests, here));
		before = here;
	}
	return true; /* of a damaged window: nothing leads there */
}

static uint8_t *take_place(struct vl_requests *requests, uint64_t place)
{
	if (place < requests->entries.count)
		return unlink_last(requests, place) ? vl_array_edit(&requests->entries, place) : NULL;
	if (vl_array_append(&requests->buckets) == NULL || (place > 0 && !split(requests, place)))
		return NULL;
	return vl_array_append(&requests->entries);
}

valori_code vl_requests_add(struct vl_requests *requests, const struct vl_request *request,
			    valori_error *error)
{
	uint64_t place = requests->total % VL_REQUEST_WINDOW;
	uint8_t *entry = take_place(requests, place);
	struct link head;

	if (entry == NULL)
		goto no_memory;
	uint32_t hash = hash_id(requests, request->id);
	memcpy(entry, request->id, VL_REQUEST_ID);
	vl_put64(entry + ENTRY_EVENT, request->event);
	vl_put64(entry + ENTRY_OBJECT, request->object);
	memcpy(entry + ENTRY_DIGEST, request->digest, VL_HASH_SIZE);
	vl_put32(entry + ENTRY_HASH, hash);
	head = (struct link){false, bucket_of(hash, requests->buckets.count)};
	vl_put32(entry + ENTRY_NEXT, link_get(requests, head));
	if (!link_set(requests, head, (uint32_t)place + 1))
		goto no_memory;
	requests->total++;
	return VALORI_OK;
no_memory:
	return vl_fail(error, VALORI_NO_MEMORY, "request window: out of memory");
}

static void read_entry(const uint8_t *entry, struct vl_request *out)
{
	memcpy(out->id, entry, VL_REQUEST_ID);
	out->event = vl_get64(entry + ENTRY_EVENT);
	out->object = vl_get64(entry + ENTRY_OBJECT);
	memcpy(out->digest, entry + ENTRY_DIGEST, VL_HASH_SIZE);
}

bool vl_requests_find(const struct vl_requests *requests, const uint8_t id[VL_REQUEST_ID],
		      struct vl_request *out)
{
	uint64_t steps = 0;
	struct link here;

	if (requests->buckets.count == 0)
		return false;
	here = (struct link){false, bucket_of(hash_id(requests, id), requests->buckets.count)};
	while (chain_next(requests, &here, &steps)) {
		const uint8_t *entry = vl_array_get(&requests->entries, here.index);

		if (memcmp(entry, id, VL_REQUEST_ID) == 0) {
			read_entry(entry, out);
			return true;
		}
	}
	return false;
}

void vl_requests_get(const struct vl_requests *requests, uint64_t n, struct vl_request *out)
{
	read_entry(vl_array_get(&requests->entries, n % VL_REQUEST_WINDOW), out);
}

/*
 * Goes through the requests from old to new and keeps, for each bucket, the newest entry so far: what each
 * entry's next, and at the end each bucket, must be.
 */
static valori_code check_chains(const struct vl_requests *requests, uint32_t *newest, valori_error *error)
{
	uint64_t count = requests->entries.count, event = 0;

	memset(newest, 0, count * sizeof(*newest));
	for (uint64_t n = requests->total - count; n < requests->total; n++) {
		uint64_t place = n % VL_REQUEST_WINDOW;
		const uint8_t *entry = vl_array_get(&requests->entries, place);
		uint32_t hash = vl_get32(entry + ENTRY_HASH);
		uint64_t bucket = bucket_of(hash, count);

		if (hash != hash_id(requests, entry))
			return vl_fail(error, VALORI_DAMAGED, "request %llu: hash does not match its id",
				       (unsigned long long)n);
		if (vl_get64(entry + ENTRY_EVENT) < event)
			return vl_fail(error, VALORI_DAMAGED, "request %llu: event is out of order",
				       (unsigned long long)n);
		event = vl_get64(entry + ENTRY_EVENT);
		if (vl_get32(entry + ENTRY_NEXT) != newest[bucket])
			return vl_fail(error, VALORI_DAMAGED, "request %llu: chain is wrong",
				       (unsigned long long)n);
		newest[bucket] = (uint32_t)place + 1;
	}
	for (uint64_t bucket = 0; bucket < count; bucket++) {
		if (vl_get32(vl_array_get(&requests->buckets, bucket)) != newest[bucket])
			return vl_fail(error, VALORI_DAMAGED, "request bucket %llu: chain is wrong",
				       (unsigned long long)bucket);
	}
	return VALORI_OK;
}

valori_code vl_requests_check(const struct vl_requests *requests, valori_error *error)
{
	const struct vl_env *env = vl_pool_env(requests->entries.pool);
	uint64_t count = requests->entries.count;
	uint32_t *newest;
	valori_code code;

	if (count != (requests->total < VL_REQUEST_WINDOW ? requests->total : VL_REQUEST_WINDOW) ||
	    requests->buckets.count != count)
		return vl_fail(error, VALORI_DAMAGED, "request window: counts do not agree");
	if (count == 0)
		return VALORI_OK;
	newest = vl_alloc(env, count * sizeof(*newest));
	if (newest == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "request window: out of memory");
	code = check_chains(requests, newest, error);
	vl_release(env, newest, count * sizeof(*newest));
	return code;
}
