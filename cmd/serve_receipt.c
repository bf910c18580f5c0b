/*
 * serve_receipt.c - what an insert is answered with, in the form of the first version of Valori, so that its clients can
 * compute it again: a tree over the components, and a hash over the states before and after.
 */
#include "serve_body.h"

#include <string.h>

#include "blake3.h"
#include "bytes.h"
#include "cpu.h"

enum {
	LEAF_SIZE = 19, /* "VALORI_LEAF", position u32le, value i32le */
	NODE_SIZE = 75, /* "VALORI_NODE", left, right */
	RECEIPT_SIZE = 24 + 4 + 3 * VALORI_HASH_SIZE + 16
};

/* Hashes of a level, joined in pairs in place; the odd one is paired with itself. Returns how many are left. */
static size_t join(uint8_t *hashes, size_t count, uint8_t *nodes)
{
	size_t pairs = (count + 1) / 2;

	for (size_t i = 0; i < pairs; i++) {
		uint8_t *node = nodes + i * NODE_SIZE;
		size_t right = 2 * i + 1 < count ? 2 * i + 1 : 2 * i;

		memcpy(node, "VALORI_NODE", 11);
		memcpy(node + 11, hashes + 2 * i * VALORI_HASH_SIZE, VALORI_HASH_SIZE);
		memcpy(node + 43, hashes + right * VALORI_HASH_SIZE, VALORI_HASH_SIZE);
	}
	vl_blake3_rows(vl_cpu_kernels(NULL), VL_HASH_PLAIN, nodes, NODE_SIZE, NODE_SIZE, pairs, hashes);
	return pairs;
}

/* The root of the tree over the components. false: out of memory, answered. */
static bool prove(struct exchange *x, const struct body_vector *vector, uint8_t out[VALORI_HASH_SIZE])
{
	uint8_t *rows = exchange_alloc(x, vector->count, NODE_SIZE + VALORI_HASH_SIZE);
	uint8_t *hashes = rows + vector->count * NODE_SIZE;

	if (rows == NULL)
		return false;
	for (size_t i = 0; i < vector->count; i++) {
		uint8_t *leaf = rows + i * LEAF_SIZE;
		int32_t value = 0;

		valori_q16_from_f32(vector->bits[i], &value);
		memcpy(leaf, "VALORI_LEAF", 11);
		vl_put32(leaf + 11, (uint32_t)i);
		vl_put32(leaf + 15, (uint32_t)value);
	}
	vl_blake3_rows(vl_cpu_kernels(NULL), VL_HASH_PLAIN, rows, LEAF_SIZE, LEAF_SIZE, vector->count, hashes);
	for (size_t count = vector->count; count > 1;)
		count = join(hashes, count, rows);
	memcpy(out, hashes, VALORI_HASH_SIZE);
	return true;
}

void reply_receipt(struct exchange *x, struct tool_json *json, uint64_t id, const struct body_vector *vector,
		   const valori_receipt *receipt)
{
	uint8_t bytes[RECEIPT_SIZE];
	valori_hash proof, hash;

	if (!prove(x, vector, proof.bytes))
		return;
	memcpy(bytes, "valori-insert-receipt-v1", 24);
	vl_put32(bytes + 24, (uint32_t)id);
	memcpy(bytes + 28, receipt->root_before.bytes, VALORI_HASH_SIZE);
	memcpy(bytes + 60, receipt->state_root.bytes, VALORI_HASH_SIZE);
	memcpy(bytes + 92, proof.bytes, VALORI_HASH_SIZE);
	vl_put64(bytes + 124, receipt->first_event);
	vl_put64(bytes + 132, receipt->time_ms / 1000);
	vl_blake3(vl_cpu_kernels(NULL), VL_HASH_PLAIN, bytes, sizeof(bytes), hash.bytes);
	tool_json_object(json, "receipt");
	tool_json_u64(json, "record_id", id);
	tool_json_hash(json, "old_root", &receipt->root_before);
	tool_json_hash(json, "new_root", &receipt->state_root);
	tool_json_hash(json, "proof", &proof);
	tool_json_u64(json, "sequence", receipt->first_event);
	tool_json_u64(json, "timestamp", receipt->time_ms / 1000);
	tool_json_hash(json, "state_hash", &hash);
	/* Its first answer had the roots of then. */
	if (receipt->commit == VALORI_NONE)
		tool_json_bool(json, "repeated", true);
	tool_json_object_end(json);
}
