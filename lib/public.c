/* public.c - the public calls that need no store: names, hashes, numbers. */
#include <string.h>

#include "blake3.h"
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
