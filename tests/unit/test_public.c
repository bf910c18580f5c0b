/* test_public.c - moments, hashes and names as a user writes them. */
#include <string.h>

#include "check.h"
#include "valori.h"

struct moment {
	const char *text;
	uint32_t kind;
	uint64_t value;
};

static void test_when(void)
{
	static const struct moment good[] = {
		{"0", VALORI_WHEN_HEIGHT, 0},
		{"18446744073709551614", VALORI_WHEN_HEIGHT, UINT64_MAX - 1},
		{"@0", VALORI_WHEN_TIME, 0},
		{"@1700000000123", VALORI_WHEN_TIME, 1700000000123},
		{"1970-01-01T00:00:00Z", VALORI_WHEN_TIME, 0},
		{"2000-02-29T23:59:59.5z", VALORI_WHEN_TIME, 951868799500},
		{"2026-11-20T12:00:00Z", VALORI_WHEN_TIME, 1795176000000},
		{"2026-11-20 13:30:00+01:30", VALORI_WHEN_TIME, 1795176000000},
		{"2026-11-20t11:00:00.0019-01:00", VALORI_WHEN_TIME, 1795176000001},
		{"2016-12-31T23:59:60Z", VALORI_WHEN_TIME, 1483228800000},
		{"2100-03-01T00:00:00Z", VALORI_WHEN_TIME, 4107542400000},
	};
	static const char *const bad[] = {
		"",
		"x",
		"-1",
		"18446744073709551615",
		"18446744073709551616",
		"@",
		"@x",
		"1e3",
		" 1",
		"2026-11-20",
		"2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"2100-02-29T00:00:00Z",
		"2026-11-31T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-11-20T24:00:00Z",
		"2026-11-20T12:60:00Z",
		"2026-11-20T12:00:61Z",
		"2026-11-20T12:00:00",
		"2026-11-20T12:00:00.Z",
		"2026-11-20T12:00:00Zx",
		"2026-11-20T12:00:00+1:00",
		"1969-12-31T23:59:59Z",
		"1970-01-01T00:30:00+01:00",
		"000000000000000000000000000000000000000000000000000000000000000g",
	};
	const char *root = "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff";
	valori_when when;
	valori_error error;
	char text[65];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		valori_code code = valori_when_parse(good[i].text, &when, &error);

		if (!check(code == VALORI_OK && when.kind == good[i].kind && when.value == good[i].value,
			   "moment \"%s\"", good[i].text))
			printf("# code %d kind %u value %llu\n", code, when.kind, (unsigned long long)when.value);
	}
	when.value = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check(valori_when_parse(bad[i], &when, &error) == VALORI_INVALID && error.code == VALORI_INVALID &&
			      when.value == 77,
		      "\"%s\" is no moment, and nothing is given", bad[i]);
	check(valori_when_parse(root, &when, NULL) == VALORI_OK && when.kind == VALORI_WHEN_ROOT,
	      "64 hex digits are a state root");
	valori_hash_format(&when.root, text);
	check_text(text, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		   "a hash is printed in small letters");
	/* 64 decimal digits are hex digits too, and no height has so many. */
	check(valori_when_parse("0000000000000000000000000000000000000000000000000000000000000001", &when, NULL) ==
			      VALORI_OK &&
		      when.kind == VALORI_WHEN_ROOT && when.root.bytes[31] == 1,
	      "64 digits are a root, too");
	check(valori_hash_parse("00", &when.root) == VALORI_INVALID, "a short hash is refused");
}

static void test_codes(void)
{
	static const int codes[] = {0, 1, 10, 11, 12, 13, 14, 15, 20, 30, 31, 40, 41, 42, 50, 51, 52, 60, 70, 80, 90};
	unsigned unknown = 0;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		unknown += strcmp(valori_code_name(codes[i]), "unknown") == 0;
	check_u64(unknown, 0, "every code has a name");
	check_text(valori_code_name(12345), "unknown", "what is no code has one as well");
	check_text(valori_version(), VALORI_VERSION, "the version is the header's");
	check(valori_cpu()[0] != '\0', "the kernels in use have a name");
}

static void test_request_prefix(void)
{
	/* printf 'base.fvecs\0fvecs' | b3sum */
	static const uint8_t prefix[8] = {0x32, 0x26, 0x7a, 0x91, 0xdf, 0x17, 0x52, 0xb6};
	uint8_t out[8];

	valori_request_prefix("base.fvecs", "fvecs", out);
	check_bytes(out, prefix, 8, "request ids begin with BLAKE3 of source and format");
}

/* The tree level by level, as its definition says. */
static void plain_proof(const int32_t *vector, uint32_t dim, valori_hash *level)
{
	for (uint32_t i = 0; i < dim; i++) {
		uint32_t words[2] = {i, (uint32_t)vector[i]};
		uint8_t leaf[19] = "VALORI_LEAF";

		for (size_t j = 0; j < 8; j++)
			leaf[11 + j] = (uint8_t)(words[j / 4] >> 8 * (j % 4));
		valori_hash_of(leaf, sizeof(leaf), &level[i]);
	}
	for (; dim > 1; dim = (dim + 1) / 2)
		for (uint32_t i = 0; i < dim; i += 2) {
			uint8_t node[75] = "VALORI_NODE";

			memcpy(node + 11, level[i].bytes, 32);
			memcpy(node + 43, level[i + 1 < dim ? i + 1 : i].bytes, 32);
			valori_hash_of(node, sizeof(node), &level[i / 2]);
		}
}

static void test_vector_proof(void)
{
	static int32_t vector[2200];
	static valori_hash level[2200];
	uint32_t wrong = 0;
	valori_hash proof;

	for (int32_t i = 0; i < 2200; i++)
		vector[i] = i * 7919 - 100000;
	for (uint32_t dim = 1; dim <= 2200; dim += dim < 300 ? 1 : 97) {
		plain_proof(vector, dim, level);
		valori_vector_proof(vector, dim, &proof);
		wrong += memcmp(&proof, &level[0], sizeof(proof)) != 0;
	}
	check(wrong == 0, "the proof of an embedding is the root of the tree over its components");
	valori_hash_of("", 0, &proof);
	check(proof.bytes[0] == 0xaf && proof.bytes[31] == 0x62, "the hash of nothing is that of BLAKE3");
}

static void test_vectors(void)
{
	/* 1, -0.5, the largest, 16384, just above half of the smallest, NaN */
	static const uint32_t bits[] = {0x3f800000, 0xbf000000, 0x46ffffff, 0x46800000, 0x37000001, 0x7fc00000};
	int32_t out[6], one;
	unsigned wrong = 0;
	valori_error error;

	check(valori_q16s_from_f32s(bits, 2, out, &error) == VALORI_OK && out[0] == 65536 && out[1] == -32768,
	      "a vector becomes components");
	for (size_t i = 0; i < 5; i++)
		wrong += valori_q16_from_f32(bits[i], &one) != VALORI_OK ||
			 valori_q16s_from_f32s(bits + i, 1, out, &error) != VALORI_OK || out[0] != one;
	check(wrong == 0, "as each of them would alone");
	check(valori_q16s_from_f32s(bits + 1, 3, out, &error) == VALORI_RANGE && error.event == 2,
	      "a norm beyond the limit is refused, and the component named");
	check(valori_q16s_from_f32s(bits + 4, 2, out, &error) == VALORI_RANGE && error.event == 1 &&
		      valori_q16s_from_f32s(bits + 5, 1, out, NULL) == VALORI_RANGE,
	      "so is NaN");
	check(valori_q16s_from_f32s(bits, 32769, out, &error) == VALORI_INVALID, "and too many components");
}

int main(void)
{
	test_vectors();
	test_request_prefix();
	test_when();
	test_vector_proof();
	test_codes();
	return check_done();
}
