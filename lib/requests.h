/*
 * requests.h - the request window: idempotency ids of the last 1,048,576 requests, first in, first out.
 *
 * Part of every replica and of snapshots, a function of the log; not in the state root. Entry n of the log's
 * requests lies at n mod window. Entry, 72 bytes:
 *
 *   0 id[16] | 16 event u64: number of the event that carries it | 24 object u64: id the event made or touched
 *   | 32 D[32] of the event | 64 next u32 in its bucket's chain | 68 hash u32: first four bytes of BLAKE3(id)
 *
 * Found by linear hashing: there are as many buckets as entries, one is split for each that is added, so
 * nothing is ever hashed anew in bulk. With n buckets and p the largest power of two <= n, an id lies in
 * bucket hash mod 2p, or hash mod p when that is not below n. Bucket, 4 bytes: the place of its newest
 * entry + 1; next likewise; 0 ends a chain. Chains run from new to old, so that the bytes depend on the ids
 * in the window and on nothing else.
 */
#ifndef VL_REQUESTS_H
#define VL_REQUESTS_H

#include "array.h"
#include "blake3.h"

enum {
	VL_REQUEST_ID = 16,
	VL_REQUEST_ENTRY_SIZE = 72,
	VL_REQUEST_BUCKET_SIZE = 4,
	VL_REQUEST_WINDOW = 1 << 20
};

struct vl_requests {
	uint64_t total; /* requests in the log so far; the window holds the last min(total, window) */
	uint64_t begun; /* total at begin, for abort */
	struct vl_array entries, buckets;
};

struct vl_request {
	uint8_t id[VL_REQUEST_ID];
	uint64_t event, object;
	uint8_t digest[VL_HASH_SIZE];
};

valori_code vl_requests_init(struct vl_requests *requests, struct vl_pool *pool, valori_error *error);
void vl_requests_free(struct vl_requests *requests);
/*
 * Adds the next request; the oldest one leaves when the window is full. NO_MEMORY. Undone by vl_pool_abort
 * and vl_requests_abort together.
 */
valori_code vl_requests_add(struct vl_requests *requests, const struct vl_request *request,
			    valori_error *error);
void vl_requests_begin(struct vl_requests *requests);
void vl_requests_abort(struct vl_requests *requests);
/* false: not in the window. Of two with the same id the newer one. */
bool vl_requests_find(const struct vl_requests *requests, const uint8_t id[VL_REQUEST_ID],
		      struct vl_request *out);
/* Request number n (total - window <= n < total). */
void vl_requests_get(const struct vl_requests *requests, uint64_t n, struct vl_request *out);
/*
 * Is the window what its entries alone would make it? Says where not: DAMAGED. Needs 4 bytes of memory an
 * entry: NO_MEMORY.
 */
valori_code vl_requests_check(const struct vl_requests *requests, valori_error *error);

#endif
