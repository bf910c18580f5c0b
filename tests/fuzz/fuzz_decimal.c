/*
 * fuzz_decimal.c - numbers in text: the nearest binary32 as the C library finds it, and what is printed reads back.
 */
#include "decimal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { NUMBERS_MAX = 64 };

/* The length of a JSON number, told in another way. */
static size_t json_number(const char *text)
{
	const char *p = text + (*text == '-'), *digits = p;

	p += strspn(p, "0123456789");
	if (p == digits)
		return 0;
	if (*digits == '0')
		p = digits + 1;
	if (*p == '.' && strspn(p + 1, "0123456789") > 0)
		p += 1 + strspn(p + 1, "0123456789");
	if (*p == 'e' || *p == 'E') {
		const char *exponent = p + 1 + (p[1] == '-' || p[1] == '+');

		if (strspn(exponent, "0123456789") > 0)
			p = exponent + strspn(exponent, "0123456789");
	}
	return (size_t)(p - text);
}

/* Numbers as they follow one another in a text: how much is behind one decides by which way it is read. */
static void check_f32(const uint8_t *data, size_t size, char *text)
{
	size_t at = 0;

	for (unsigned i = 0; i < NUMBERS_MAX && at < size; i++) {
		uint32_t bits = 0x12345678, other;
		size_t used = vl_f32_from_decimal((const char *)data + at, size - at, &bits);
		float value;
		char next;

		must(used <= size - at);
		must(used == json_number(text + at));
		next = text[at + used];
		text[at + used] = 0;
		value = strtof(text + at, NULL);
		text[at + used] = next;
		memcpy(&other, &value, sizeof(other));
		must(used == 0 || bits == other);
		at += used + 1;
	}
}

static void check_u64(const uint8_t *data, size_t size, const char *text)
{
	uint64_t value;
	char out[VL_DECIMAL_SIZE];
	size_t zeros = 0, length;
	bool ok = vl_u64_from_decimal((const char *)data, size, &value);

	must(!ok || (size > 0 && strspn(text, "0123456789") == size));
	while (zeros + 1 < size && text[zeros] == '0')
		zeros++;
	if (size > 0 && strspn(text, "0123456789") == size)
		must(ok ==
		     (size - zeros < 20 || (size - zeros == 20 && strcmp(text + zeros, "18446744073709551615") <= 0)));
	if (!ok)
		return;
	length = vl_decimal_from_u64(value, out);
	must(length == strlen(out) && length == size - zeros && strcmp(out, text + zeros) == 0);
}

/* The bytes as numbers. */
static void check_out(uint64_t number)
{
	char out[VL_DECIMAL_SIZE], expected[64];
	int32_t component = (int32_t)(uint32_t)number;
	double exact = component / 65536.0;

	must(vl_decimal_from_q16(component, out) == strlen(out) && strlen(out) < VL_DECIMAL_SIZE);
	must(strtod(out, NULL) == exact);
	snprintf(expected, sizeof(expected), "%.16f", exact);
	must(strncmp(out, expected, strlen(out)) == 0 &&
	     strspn(expected + strlen(out), ".0") == strlen(expected) - strlen(out));
	must(strchr(out, '.') == NULL || (out[strlen(out) - 1] != '0' && out[strlen(out) - 1] != '.'));

	must(vl_decimal_from_q32(number, out) == strlen(out) && strlen(out) < VL_DECIMAL_SIZE);
	must(strchr(out, '.') == NULL || (out[strlen(out) - 1] != '0' && out[strlen(out) - 1] != '.'));
	{
		/* 2^-32 has 32 places: in units of 10^-9, rounded half up */
		uint64_t whole = number >> 32, part = (number & UINT32_MAX) * 1000000000;
		char *point = strchr(out, '.');
		uint64_t billionths = (part >> 32) + (part >> 31 & 1), printed = 0, scale = 100000000;

		whole += billionths / 1000000000;
		billionths %= 1000000000;
		must(strtoull(out, NULL, 10) == whole);
		for (const char *p = point != NULL ? point + 1 : ""; *p != 0; p++, scale /= 10)
			printed += (uint64_t)(*p - '0') * scale;
		must(printed == billionths);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	char *text = malloc(size + 1);

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	check_u64(data, size, text);
	check_f32(data, size, text);
	free(text);
	for (unsigned i = 0; i < 8 && input.size >= 8; i++)
		check_out(fuzz_take64(&input));
	return 0;
}
