/*
 * batch.h - operations on their way to becoming one commit.
 *
 * A batch holds no pointers of its caller: vectors lie packed in one buffer as components, everything else in a heap,
 * and an operation names places in them. So a million rows cost a handful of allocations, and hashing the content
 * (seal) runs over packed rows in lanes, on whichever thread has the time.
 *
 *   vectors   i32le x dim, row after row, of operations that are not salted
 *   salted    salt[16] | i32le x dim, row after row
 *   heap      keys, names, keys of references, request ids; metadata, with its salt before it when there is one
 */
#ifndef VL_BATCH_H
#define VL_BATCH_H

#include "event.h"
#include "os.h"

struct vl_ref {
	uint8_t kind; /* valori_ref_kind */
	uint8_t key_size;
	uint32_t hash; /* of the key, in hashes */
	uint64_t id;   /* KEY: its place in heap */
};

struct vl_op {
	uint8_t kind; /* valori_op_kind */
	uint8_t object_kind;
	bool is_salted, has_request, is_skipped;
	uint16_t collection;
	uint8_t key_size;
	uint32_t metadata_size;           /* VL_ABSENT: none */
	uint32_t parameter;               /* CONFIG, whose value is tag */
	uint32_t row;                     /* INSERT, UPSERT: in vectors or salted */
	uint32_t key_hash, metadata_hash; /* in hashes */
	uint64_t tag;
	uint64_t key, metadata, request; /* places in heap */
	struct vl_ref target, from, to;
};

struct valori_batch {
	const struct vl_env *env;
	const struct vl_os *os;
	uint32_t dim;
	size_t count; /* operations */
	uint32_t rows, salted_rows;
	uint32_t hash_count; /* places given out in hashes */
	uint64_t events;     /* that its commit will have at least */
	uint64_t size;       /* bytes that its commit will have, about */
	struct vl_buf ops;   /* struct vl_op each */
	struct vl_buf vectors, salted, heap;
	struct vl_buf vector_hashes, salted_hashes, hashes; /* 32 bytes each */
	struct vl_buf jobs;                                 /* for seal */
	struct vl_buf ids;                                  /* for the engine: u64 per operation, machine order */
	size_t sealed;
	uint32_t sealed_rows, sealed_salted_rows;
	uint8_t salts[512]; /* random bytes not yet used: the last salts_left ones */
	size_t salts_left;
};

/* A batch with another machine's memory and randomness. */
valori_code vl_batch_new(const struct vl_env *env, const struct vl_os *os, uint32_t dim, valori_batch **out,
			 valori_error *error);
/* Hashes what is not hashed yet: OK or NO_MEMORY. */
valori_code vl_batch_seal(valori_batch *batch, valori_error *error);

static inline const struct vl_op *vl_batch_op(const valori_batch *batch, size_t index)
{
	return (const struct vl_op *)(const void *)batch->ops.data + index;
}

/*
 * The content of operation index as an event: type, flags, kind, collection, tag, parameter, key, metadata, salt,
 * vector, and their digests once the batch is sealed. Ids are left zero. UPSERT comes as INSERT. Borrows from the
 * batch.
 */
void vl_batch_event(const valori_batch *batch, size_t index, struct vl_event *out);

#endif
