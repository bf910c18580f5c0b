/* public.c - the public calls that need no store: names, hashes, numbers. */
#include <stdbool.h>
#include <string.h>

#include "blake3.h"
#include "bytes.h"
#include "decimal.h"
#include "err.h"
#include "host.h"
#include "q16.h"

const char *valori_version(void)
{
	return VALORI_VERSION;
}

const char *valori_cpu(void)
{
	return vl_host_env()->kernels->name;
}

const char *valori_code_name(int code)
{
	switch (code) {
	case VALORI_OK: return "ok";
	case VALORI_END: return "end";
	case VALORI_INVALID: return "invalid";
	case VALORI_DIMENSION: return "dimension";
	case VALORI_RANGE: return "range";
	case VALORI_DUPLICATE: return "duplicate";
	case VALORI_TOO_LONG: return "too_long";
	case VALORI_CONFLICT: return "conflict";
	case VALORI_NOT_FOUND: return "not_found";
	case VALORI_MISMATCH: return "mismatch";
	case VALORI_OTHER_LOG: return "other_log";
	case VALORI_DAMAGED: return "damaged";
	case VALORI_NOT_OURS: return "not_ours";
	case VALORI_MISSING: return "missing";
	case VALORI_IO: return "io";
	case VALORI_NO_MEMORY: return "no_memory";
	case VALORI_POISONED: return "poisoned";
	case VALORI_FULL: return "full";
	case VALORI_LOCKED: return "locked";
	case VALORI_NEWER: return "newer";
	case VALORI_UNKNOWABLE: return "unknowable";
	default: return "unknown";
	}
}

void valori_hash_format(const valori_hash *hash, char out[65])
{
	for (size_t i = 0; i < sizeof(hash->bytes); i++) {
		out[2 * i] = "0123456789abcdef"[hash->bytes[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[hash->bytes[i] & 15];
	}
	out[64] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

valori_code valori_hash_parse(const char *text, valori_hash *out)
{
	valori_hash hash;

	if (text == NULL || strlen(text) != 2 * sizeof(hash.bytes))
		return VALORI_INVALID;
	for (size_t i = 0; i < sizeof(hash.bytes); i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return VALORI_INVALID;
		hash.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*out = hash;
	return VALORI_OK;
}

valori_code valori_q16_from_f32(uint32_t bits, int32_t *out)
{
	return vl_q16_from_f32(bits, out) == VL_Q16_OK ? VALORI_OK : VALORI_RANGE;
}

valori_code valori_q16s_from_f32s(const void *bits, size_t count, int32_t *out, valori_error *error)
{
	const uint8_t *source = bits;
	uint64_t sum = 0;

	if (count > VL_DIM_MAX)
		return vl_fail(error, VALORI_INVALID, "vector: has %zu components; the limit is %d", count, VL_DIM_MAX);
	for (size_t i = 0; i < count; i++) {
		enum vl_q16_fault fault;
		uint32_t one;

		memcpy(&one, source + 4 * i, 4);
		fault = vl_q16_from_f32(one, &out[i]);
		if (fault == VL_Q16_OK)
			sum += (uint64_t)((int64_t)out[i] * out[i]);
		if (fault == VL_Q16_OK && sum >= VL_Q16_NORM_MAX)
			fault = VL_Q16_NORM;
		if (fault == VL_Q16_OK)
			continue;
		vl_fail(error, VALORI_RANGE, "vector: component %zu %s", i, vl_q16_fault_text(fault));
		if (error != NULL)
			error->event = i;
		return VALORI_RANGE;
	}
	return VALORI_OK;
}

size_t valori_f32_from_decimal(const char *text, size_t size, uint32_t *out)
{
	return vl_f32_from_decimal(text, size, out);
}

size_t valori_f32s_from_decimals(const char *text, size_t size, size_t max, uint32_t *out, size_t *out_count)
{
	return vl_host_env()->kernels->f32s_from_decimals(text, size, max, out, out_count);
}

uint32_t valori_f32_from_f64(uint64_t bits)
{
	return vl_f32_from_f64(bits);
}

uint32_t valori_f32_from_f16(uint16_t bits)
{
	return vl_f32_from_f16(bits);
}

size_t valori_score_format(uint64_t score, char out[32])
{
	return vl_decimal_from_q32(score, out);
}

size_t valori_q16_format(int32_t component, char out[32])
{
	return vl_decimal_from_q16(component, out);
}

void valori_request_prefix(const char *source, const char *format, uint8_t out[8])
{
	struct vl_blake3 hash;
	uint8_t digest[VL_HASH_SIZE];

	vl_blake3_init(&hash, vl_host_env()->kernels, VL_HASH_PLAIN);
	vl_blake3_update(&hash, source, strlen(source) + 1);
	vl_blake3_update(&hash, format, strlen(format));
	vl_blake3_final(&hash, digest);
	memcpy(out, digest, 8);
}

void valori_hash_of(const void *bytes, size_t size, valori_hash *out)
{
	vl_blake3(vl_host_env()->kernels, VL_HASH_PLAIN, bytes, size, out->bytes);
}

/* ---- the first version's proof of an embedding ---- */

enum {
	PROOF_LEAF = 19,  /* bytes */
	PROOF_NODE = 75,
	PROOF_BLOCK = 64, /* leaves that are hashed together */
	PROOF_LEVELS = 6, /* of the tree over them */
	PROOF_HEIGHT = 16 /* 2^16 leaves are more than there can be */
};

static void join_level(uint8_t *hashes, size_t count)
{
	uint8_t nodes[PROOF_BLOCK / 2 * PROOF_NODE];
	size_t pairs = (count + 1) / 2;

	for (size_t i = 0; i < pairs; i++) {
		size_t right = 2 * i + 1 < count ? 2 * i + 1 : 2 * i;

		memcpy(nodes + i * PROOF_NODE, "VALORI_NODE", 11);
		memcpy(nodes + i * PROOF_NODE + 11, hashes + 2 * i * VL_HASH_SIZE, VL_HASH_SIZE);
		memcpy(nodes + i * PROOF_NODE + 43, hashes + right * VL_HASH_SIZE, VL_HASH_SIZE);
	}
	vl_blake3_rows(vl_host_env()->kernels, VL_HASH_PLAIN, nodes, PROOF_NODE, PROOF_NODE, pairs, hashes);
}

/* The node over count leaves that begin at first, levels above them. */
static void prove_block(const int32_t *vector, uint32_t first, size_t count, unsigned levels, uint8_t *out)
{
	uint8_t leaves[PROOF_BLOCK * PROOF_LEAF], hashes[PROOF_BLOCK * VL_HASH_SIZE];

	for (size_t i = 0; i < count; i++) {
		memcpy(leaves + i * PROOF_LEAF, "VALORI_LEAF", 11);
		vl_put32(leaves + i * PROOF_LEAF + 11, (uint32_t)(first + i));
		vl_put32(leaves + i * PROOF_LEAF + 15, (uint32_t)vector[first + i]);
	}
	vl_blake3_rows(vl_host_env()->kernels, VL_HASH_PLAIN, leaves, PROOF_LEAF, PROOF_LEAF, count, hashes);
	for (; levels > 0; levels--, count = (count + 1) / 2)
		join_level(hashes, count);
	memcpy(out, hashes, VL_HASH_SIZE);
}

void valori_vector_proof(const int32_t *vector, uint32_t dim, valori_hash *out)
{
	uint8_t row[2 * VL_HASH_SIZE], waiting[PROOF_HEIGHT][VL_HASH_SIZE]; /* [level] for what stands right of it */
	bool is_waiting[PROOF_HEIGHT] = {false}, has_row = false;
	unsigned height = 0, level;

	while ((uint32_t)1 << height < dim)
		height++;
	for (uint32_t first = 0; first < dim; first += PROOF_BLOCK) {
		uint32_t count = dim - first < PROOF_BLOCK ? dim - first : PROOF_BLOCK;

		level = height < PROOF_LEVELS ? height : PROOF_LEVELS;
		prove_block(vector, first, count, level, row + VL_HASH_SIZE);
		for (; is_waiting[level]; is_waiting[level++] = false) {
			memcpy(row, waiting[level], VL_HASH_SIZE);
			join_level(row, 2);
			memcpy(row + VL_HASH_SIZE, row, VL_HASH_SIZE);
		}
		memcpy(waiting[level], row + VL_HASH_SIZE, VL_HASH_SIZE);
		is_waiting[level] = true;
	}
	/* Up the right side: what has no neighbour is its own. */
	for (level = 0; level <= height; level++) {
		if (is_waiting[level] && has_row) {
			memcpy(row + VL_HASH_SIZE, row, VL_HASH_SIZE);
			memcpy(row, waiting[level], VL_HASH_SIZE);
		} else if (is_waiting[level]) {
			memcpy(row, waiting[level], VL_HASH_SIZE);
		}
		if (level < height && (is_waiting[level] || has_row)) {
			join_level(row, is_waiting[level] && has_row ? 2 : 1);
			has_row = true;
		}
	}
	memcpy(out->bytes, row, VL_HASH_SIZE);
}
