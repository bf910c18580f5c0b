/*
 * fuzz_json.c - one JSON text: accepted when another reader, written for this test only, accepts it.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* ---- the other reader: RFC 8259, one function a rule ---- */

struct text {
	const uint8_t *p, *end;
};

static bool take(struct text *text, uint8_t c)
{
	if (text->p == text->end || *text->p != c)
		return false;
	text->p++;
	return true;
}

static void blanks(struct text *text)
{
	while (take(text, ' ') || take(text, '\t') || take(text, '\n') || take(text, '\r'))
		;
}

static bool between(struct text *text, uint8_t low, uint8_t high)
{
	if (text->p == text->end || *text->p < low || *text->p > high)
		return false;
	text->p++;
	return true;
}

static bool digits(struct text *text)
{
	if (!between(text, '0', '9'))
		return false;
	while (between(text, '0', '9'))
		;
	return true;
}

static bool number(struct text *text)
{
	take(text, '-');
	if (!take(text, '0') && !digits(text))
		return false;
	if (take(text, '.') && !digits(text))
		return false;
	if (take(text, 'e') || take(text, 'E')) {
		if (!take(text, '+'))
			take(text, '-');
		return digits(text);
	}
	return true;
}

static bool hex(struct text *text, unsigned *out)
{
	*out = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (text->p == text->end || strchr("0123456789abcdefABCDEF", *text->p) == NULL || *text->p == 0)
			return false;
		*out = *out * 16 + (unsigned)strtoul((char[]){(char)*text->p++, 0}, NULL, 16);
	}
	return true;
}

/* The table of RFC 3629. */
static bool wide(struct text *text)
{
	if (between(text, 0xc2, 0xdf))
		return between(text, 0x80, 0xbf);
	if (take(text, 0xe0))
		return between(text, 0xa0, 0xbf) && between(text, 0x80, 0xbf);
	if (take(text, 0xed))
		return between(text, 0x80, 0x9f) && between(text, 0x80, 0xbf);
	if (between(text, 0xe1, 0xef))
		return between(text, 0x80, 0xbf) && between(text, 0x80, 0xbf);
	if (take(text, 0xf0))
		return between(text, 0x90, 0xbf) && between(text, 0x80, 0xbf) && between(text, 0x80, 0xbf);
	if (take(text, 0xf4))
		return between(text, 0x80, 0x8f) && between(text, 0x80, 0xbf) && between(text, 0x80, 0xbf);
	return between(text, 0xf1, 0xf3) && between(text, 0x80, 0xbf) && between(text, 0x80, 0xbf) &&
	       between(text, 0x80, 0xbf);
}

static bool string(struct text *text)
{
	unsigned high, low;

	if (!take(text, '"'))
		return false;
	while (!take(text, '"')) {
		if (!take(text, '\\')) {
			if (!between(text, 0x20, 0x7f) && !wide(text))
				return false;
		} else if (take(text, 'u')) {
			if (!hex(text, &high) || (high >= 0xdc00 && high <= 0xdfff))
				return false;
			if (high >= 0xd800 && high <= 0xdbff &&
			    !(take(text, '\\') && take(text, 'u') && hex(text, &low) && low >= 0xdc00 && low <= 0xdfff))
				return false;
		} else if (text->p == text->end || *text->p == 0 || strchr("\"\\/bfnrt", *text->p++) == NULL) {
			return false;
		}
	}
	return true;
}

static bool word(struct text *text, const char *letters)
{
	while (*letters != 0)
		if (!take(text, (uint8_t)*letters++))
			return false;
	return true;
}

static bool value(struct text *text, unsigned depth)
{
	uint8_t first = text->p < text->end ? *text->p : 0;
	bool is_object = first == '{';

	if (first == '"')
		return string(text);
	if (first == 't' || first == 'f' || first == 'n')
		return word(text, first == 't' ? "true" : first == 'f' ? "false" : "null");
	if (first != '[' && first != '{')
		return number(text);
	if (depth == JSON_DEPTH_MAX)
		return false;
	text->p++;
	blanks(text);
	if (take(text, is_object ? '}' : ']'))
		return true;
	do {
		blanks(text);
		if (is_object) {
			if (!string(text))
				return false;
			blanks(text);
			if (!take(text, ':'))
				return false;
			blanks(text);
		}
		if (!value(text, depth + 1))
			return false;
		blanks(text);
	} while (take(text, ','));
	return take(text, is_object ? '}' : ']');
}

static bool is_json(const uint8_t *data, size_t size)
{
	struct text text = {data, data + size};

	blanks(&text);
	if (!value(&text, 0))
		return false;
	blanks(&text);
	return text.p == text.end;
}

/* ---- what the reader makes of it ---- */

/* The inside of a string stands for no more bytes than it has, and they are well-formed. */
static void unescape(struct slice inside)
{
	char *out = malloc(inside.size + 2);
	size_t size;
	struct text text;

	must(out != NULL);
	out[0] = '"';
	size = json_unescape(inside, out + 1);
	must(size <= inside.size);
	text = (struct text){(uint8_t *)out + 1, (uint8_t *)out + 1 + size};
	while (text.p < text.end)
		must(between(&text, 0, 0x7f) || wide(&text));
	free(out);
}

static void walk(struct json *json)
{
	struct slice slice = {0};
	enum json_type type = json_type(json);
	char close = type == JSON_ARRAY ? ']' : '}';

	must(json_type_name(type) != NULL);
	if (type == JSON_STRING) {
		if (json_string(json, &slice))
			unescape(slice);
	} else if (type != JSON_ARRAY && type != JSON_OBJECT) {
		json_skip(json, &slice);
	} else if (json_open(json, type == JSON_ARRAY ? '[' : '{')) {
		while (json_more(json, close)) {
			if (type == JSON_OBJECT && json_name(json, &slice))
				unescape(slice);
			walk(json);
		}
	}
}

enum { COMPONENTS = 64 };

/* An array that is numbers throughout, as numbers: element by element the same. */
static void as_numbers(struct slice array)
{
	static uint32_t f32s[COMPONENTS];
	static int32_t i32s[COMPONENTS];
	struct json json;
	size_t count = 0;

	json_init(&json, array.text, array.size);
	if (json_f32s(&json, f32s, COMPONENTS, &count) && json_end(&json)) {
		must(count <= COMPONENTS);
		for (size_t i = 0; i < count; i++) {
			struct slice element = json_element(array, i);
			char text[512];
			float nearest;
			uint32_t bits;

			if (element.size >= sizeof(text))
				continue;
			memcpy(text, element.text, element.size);
			text[element.size] = 0;
			nearest = strtof(text, NULL);
			memcpy(&bits, &nearest, sizeof(bits));
			must(bits == f32s[i]);
		}
	}
	json_init(&json, array.text, array.size);
	if (json_i32s(&json, i32s, COMPONENTS, &count) && json_end(&json)) {
		must(count <= COMPONENTS);
		for (size_t i = 0; i < count; i++) {
			struct slice element = json_element(array, i);
			char text[32];

			must(element.size < sizeof(text));
			memcpy(text, element.text, element.size);
			text[element.size] = 0;
			must(strtoll(text, NULL, 10) == i32s[i]);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice whole = {0};
	bool expected = is_json(data, size);
	struct json json;

	json_init(&json, (const char *)data, size);
	json_skip(&json, &whole);
	json_end(&json);
	must((json.fault == NULL) == expected);
	must(json.next >= json.start && json.next <= json.end);
	json_init(&json, (const char *)data, size);
	walk(&json);
	json_end(&json);
	must((json.fault == NULL) == expected);
	if (expected)
		as_numbers(whole);
	return 0;
}
