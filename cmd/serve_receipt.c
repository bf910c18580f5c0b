/*
 * serve_receipt.c - what an insert is answered with, in the form of the first version of Valori, so that its clients
 * can compute it again: a tree over the components, and a hash over the states before and after.
 */
#include "serve_body.h"

#include <string.h>

#include "bytes.h"

enum { RECEIPT_SIZE = 24 + 4 + 3 * VALORI_HASH_SIZE + 16 };

void reply_receipt(struct exchange *x, struct tool_json *json, uint64_t id, const struct body_vector *vector,
		   const valori_receipt *receipt)
{
	uint8_t bytes[RECEIPT_SIZE];
	int32_t *components = exchange_alloc(x, vector->count, sizeof(*components));
	valori_hash proof, hash;

	if (components == NULL)
		return;
	for (size_t i = 0; i < vector->count; i++)
		valori_q16_from_f32(vector->bits[i], &components[i]);
	valori_vector_proof(components, (uint32_t)vector->count, &proof);
	memcpy(bytes, "valori-insert-receipt-v1", 24);
	vl_put32(bytes + 24, (uint32_t)id);
	memcpy(bytes + 28, receipt->root_before.bytes, VALORI_HASH_SIZE);
	memcpy(bytes + 60, receipt->state_root.bytes, VALORI_HASH_SIZE);
	memcpy(bytes + 92, proof.bytes, VALORI_HASH_SIZE);
	vl_put64(bytes + 124, receipt->first_event);
	vl_put64(bytes + 132, receipt->time_ms / 1000);
	valori_hash_of(bytes, sizeof(bytes), &hash);
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
