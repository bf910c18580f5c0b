/* json.c - a JSON text, read by asking for what comes next. */
#include "json.h"

#include <string.h>

#include "valori.h"

void json_init(struct json *json, const char *text, size_t size)
{
	*json = (struct json){.start = text, .next = text, .end = text + size};
}

bool json_fail(struct json *json, const char *fault)
{
	if (json->fault == NULL)
		json->fault = fault;
	return false;
}

static inline bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline void skip_space(struct json *json)
{
	while (json->next < json->end && is_space(*json->next))
		json->next++;
}

enum json_type json_type(struct json *json)
{
	if (json->fault != NULL)
		return JSON_NOTHING;
	skip_space(json);
	if (json->next == json->end)
		return JSON_NOTHING;
	switch (*json->next) {
	case 'n':
		return JSON_NULL;
	case 'f':
		return JSON_FALSE;
	case 't':
		return JSON_TRUE;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return *json->next == '-' || is_digit(*json->next) ? JSON_NUMBER : JSON_NOTHING;
	}
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = {"nothing",  "null",     "false",    "true",
					    "a number", "a string", "an array", "an object"};

	return names[type];
}

bool json_open(struct json *json, char bracket)
{
	if (json->fault != NULL)
		return false;
	skip_space(json);
	if (json->next == json->end || *json->next != bracket)
		return json_fail(json, bracket == '{' ? "an object is expected" : "an array is expected");
	if (json->depth == JSON_DEPTH_MAX)
		return json_fail(json, "more than 64 arrays and objects within each other");
	json->next++;
	json->depth++;
	json->fresh = true;
	return true;
}

bool json_more(struct json *json, char bracket)
{
	bool fresh = json->fresh;

	if (json->fault != NULL)
		return false;
	json->fresh = false;
	skip_space(json);
	if (json->next == json->end)
		return json_fail(json, "ends too early");
	if (*json->next == bracket) {
		json->next++;
		json->depth--;
		return false;
	}
	if (fresh)
		return true;
	if (*json->next != ',')
		return json_fail(json, bracket == '}' ? "a comma or '}' is expected" : "a comma or ']' is expected");
	json->next++;
	return true;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number behind \u at p; -1: not four hex digits before end. */
static int32_t read_unit(const char *p, const char *end)
{
	int32_t unit = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* Bytes of the escape at p, which is a backslash; 0: no such escape. */
static size_t escape_size(const char *p, const char *end)
{
	int32_t unit;

	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return p[1] != 0 && strchr("\"\\/bfnrt", p[1]) != NULL ? 2 : 0;
	unit = read_unit(p + 2, end);
	if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000))
		return 0;
	if (unit < 0xd800 || unit >= 0xe000)
		return 6;
	if (end - p < 8 || p[6] != '\\' || p[7] != 'u')
		return 0;
	unit = read_unit(p + 8, end);
	return unit >= 0xdc00 && unit < 0xe000 ? 12 : 0;
}

/* Bytes of the well-formed UTF-8 sequence (RFC 3629) at p, whose first byte is not ASCII; 0: there is none. */
static size_t sequence_size(const char *p, const char *end)
{
	const uint8_t *b = (const uint8_t *)p;
	size_t size = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	uint8_t low = 0x80, high = 0xbf;

	if (b[0] < 0xc2 || b[0] > 0xf4 || (size_t)(end - p) < size)
		return 0;
	if (b[0] == 0xe0)
		low = 0xa0; /* else too long a form */
	else if (b[0] == 0xed)
		high = 0x9f; /* else a surrogate */
	else if (b[0] == 0xf0)
		low = 0x90;
	else if (b[0] == 0xf4)
		high = 0x8f; /* else above U+10FFFF */
	if (b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

bool json_string(struct json *json, struct slice *out)
{
	const char *first, *p, *end = json->end;
	size_t size;

	if (json->fault != NULL)
		return false;
	skip_space(json);
	if (json->next == end || *json->next != '"')
		return json_fail(json, "a string is expected");
	first = json->next + 1;
	for (p = first; p < end && *p != '"'; p += size) {
		size = 1;
		if (*p == '\\')
			size = escape_size(p, end);
		else if ((uint8_t)*p >= 0x80)
			size = sequence_size(p, end);
		else if ((uint8_t)*p < 0x20)
			size = 0;
		if (size == 0) {
			json->next = p;
			return json_fail(json, *p == '\\'            ? "no such escape in a string"
					       : (uint8_t)*p >= 0x80 ? "a string that is not UTF-8"
								     : "a control byte in a string");
		}
	}
	json->next = p;
	if (p == end)
		return json_fail(json, "a string that does not end");
	json->next++;
	*out = (struct slice){first, (size_t)(p - first)};
	return true;
}

bool json_name(struct json *json, struct slice *out)
{
	if (!json_string(json, out))
		return false;
	skip_space(json);
	if (json->next == json->end || *json->next != ':')
		return json_fail(json, "a colon is expected");
	json->next++;
	return true;
}

/* -? integer fraction? exponent?, as the grammar has it. */
static bool skip_number(struct json *json)
{
	const char *p = json->next, *end = json->end;

	if (p < end && *p == '-')
		p++;
	if (p == end || !is_digit(*p))
		return json_fail(json, "a minus sign without a number");
	if (*p == '0')
		p++;
	else
		while (p < end && is_digit(*p))
			p++;
	if (p < end && *p == '.') {
		if (++p == end || !is_digit(*p))
			return json_fail(json, "a number without digits behind its point");
		while (p < end && is_digit(*p))
			p++;
	}
	if (p < end && (*p | 0x20) == 'e') {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (p == end || !is_digit(*p))
			return json_fail(json, "a number without digits in its exponent");
		while (p < end && is_digit(*p))
			p++;
	}
	if (p < end && is_digit(*p))
		return json_fail(json, "a number that starts with a zero");
	json->next = p;
	return true;
}

static bool skip_word(struct json *json, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(json->end - json->next) < size || memcmp(json->next, word, size) != 0)
		return json_fail(json, "neither a value nor true, false or null");
	json->next += size;
	return true;
}

static bool skip_scalar(struct json *json, enum json_type type)
{
	struct slice ignored;

	switch (type) {
	case JSON_NULL:
		return skip_word(json, "null");
	case JSON_FALSE:
		return skip_word(json, "false");
	case JSON_TRUE:
		return skip_word(json, "true");
	case JSON_NUMBER:
		return skip_number(json);
	case JSON_STRING:
		return json_string(json, &ignored);
	case JSON_NOTHING:
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	return json_fail(json, json->next == json->end ? "ends too early" : "a value is expected");
}

bool json_skip(struct json *json, struct slice *out)
{
	enum json_type type = json_type(json);
	const char *first = json->next;
	uint64_t objects = 0; /* bit d: what is open at depth d is an object; JSON_DEPTH_MAX fits */
	unsigned outside = json->depth;

	for (;;) {
		bool more = true;

		if (type == JSON_ARRAY || type == JSON_OBJECT) {
			if (!json_open(json, *json->next))
				return false;
			objects = objects << 1 | (type == JSON_OBJECT);
		} else if (!skip_scalar(json, type)) {
			return false;
		}
		while (json->depth > outside && !(more = json_more(json, (objects & 1) != 0 ? '}' : ']'))) {
			if (json->fault != NULL)
				return false;
			objects >>= 1;
		}
		if (json->depth == outside)
			break;
		if ((objects & 1) != 0 && !json_name(json, &(struct slice){0}))
			return false;
		type = json_type(json);
	}
	*out = (struct slice){first, (size_t)(json->next - first)};
	return true;
}

bool json_end(struct json *json)
{
	if (json->fault != NULL)
		return false;
	skip_space(json);
	if (json->next != json->end)
		return json_fail(json, "something follows the end of the value");
	return true;
}

/* Behind a number in an array: passes the comma (1) or the closing bracket (0); -1 after a fault. */
static inline int pass_separator(struct json *json)
{
	if (json->next < json->end && *json->next == ',') {
		json->next++;
		if (json->next < json->end && *json->next == ' ')
			json->next++;
		return 1;
	}
	if (json_more(json, ']'))
		return 1;
	return json->fault != NULL ? -1 : 0;
}

static bool fail_element(struct json *json)
{
	enum json_type type = json_type(json);
	static const char *const faults[] = {"is not a number",           "is null, not a number",
					     "is false, not a number",    "is true, not a number",
					     "is not a number",           "is a string, not a number",
					     "is an array, not a number", "is an object, not a number"};

	const char *first = json->next;

	if (type == JSON_NUMBER && skip_number(json)) {
		json->next = first;
		return json_fail(json, "is not an integer of 32 bits");
	}
	return json_fail(json, json->next == json->end ? "ends too early" : faults[type]);
}

bool json_f32s(struct json *json, uint32_t *out, size_t max, size_t *count)
{
	int more;

	*count = 0;
	if (!json_open(json, '['))
		return false;
	more = json_more(json, ']');
	/* Nearly all of them, as a rule; what it stops at is looked at here. */
	if (more > 0)
		json->next += valori_f32s_from_decimals(json->next, (size_t)(json->end - json->next), max, out, count);
	while (more > 0) {
		size_t used;

		if (*count == max)
			return json_fail(json, "is one component too many");
		used = valori_f32_from_decimal(json->next, (size_t)(json->end - json->next), out + *count);
		if (used == 0 && json_type(json) == JSON_NUMBER) /* there was space in front */
			used = valori_f32_from_decimal(json->next, (size_t)(json->end - json->next), out + *count);
		if (used == 0)
			return fail_element(json);
		json->next += used;
		more = pass_separator(json);
		if (more < 0)
			return false;
		++*count;
	}
	return json->fault == NULL;
}

static bool read_i32(struct json *json, int32_t *out)
{
	const char *p = json->next, *first;
	bool negative = p < json->end && *p == '-';
	int64_t value = 0;

	first = p += negative;
	for (; p < json->end && is_digit(*p) && p - first < 11; p++)
		value = value * 10 + (*p - '0');
	if (p == first || (*first == '0' && p - first > 1) || p - first > 10)
		return false;
	if (p < json->end && (*p == '.' || (*p | 0x20) == 'e'))
		return false;
	value = negative ? -value : value;
	if (value < INT32_MIN || value > INT32_MAX)
		return false;
	*out = (int32_t)value;
	json->next = p;
	return true;
}

bool json_i32s(struct json *json, int32_t *out, size_t max, size_t *count)
{
	int more;

	*count = 0;
	if (!json_open(json, '['))
		return false;
	more = json_more(json, ']');
	while (more > 0) {
		if (*count == max)
			return json_fail(json, "is one component too many");
		skip_space(json);
		if (!read_i32(json, out))
			return fail_element(json);
		more = pass_separator(json);
		if (more < 0)
			return false;
		out++;
		++*count;
	}
	return json->fault == NULL;
}

static size_t put_utf8(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

size_t json_unescape(struct slice string, char *out)
{
	static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
	const char *p = string.text, *end = p + string.size;
	char *start = out;

	while (p < end) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		size_t plain = (size_t)((escape != NULL ? escape : end) - p);

		memcpy(out, p, plain);
		out += plain;
		p += plain;
		if (escape == NULL)
			break;
		if (p[1] == 'u') {
			size_t size = escape_size(p, end);
			uint32_t code = (uint32_t)read_unit(p + 2, end);

			if (size == 12)
				code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)read_unit(p + 8, end) - 0xdc00);
			out += put_utf8(code, out);
			p += size;
			continue;
		}
		for (const char *pair = escapes; *pair != 0; pair += 2)
			if (pair[0] == p[1])
				*out = pair[1];
		out++;
		p += 2;
	}
	return (size_t)(out - start);
}

bool json_u64(struct slice digits, uint64_t *out)
{
	uint64_t value = 0;

	if (digits.size == 0)
		return false;
	for (size_t i = 0; i < digits.size; i++) {
		unsigned digit = (unsigned)(uint8_t)digits.text[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

struct slice json_element(struct slice array, size_t index)
{
	const char *p = array.text + 1, *end = array.text + array.size - 1, *first;

	for (; index > 0 && p < end; p++)
		index -= *p == ',';
	while (p < end && is_space(*p))
		p++;
	for (first = p; p < end && *p != ',' && !is_space(*p);)
		p++;
	return (struct slice){first, (size_t)(p - first)};
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool json_base64(struct slice text, void *out, size_t *out_size)
{
	uint8_t *next = out;
	size_t padding = 0;

	if (text.size % 4 != 0)
		return false;
	while (padding < 2 && padding < text.size && text.text[text.size - 1 - padding] == '=')
		padding++;
	*out_size = text.size / 4 * 3 - padding;
	for (size_t i = 0; i < text.size; i += 4) {
		size_t digits = i + 4 == text.size ? 4 - padding : 4;
		uint32_t bits = 0;

		for (size_t j = 0; j < 4; j++) {
			int digit = j < digits ? base64_digit(text.text[i + j]) : 0;

			if (digit < 0)
				return false;
			bits = bits << 6 | (uint32_t)digit;
		}
		if ((bits & ((UINT32_C(1) << 8 * (4 - digits)) - 1)) != 0)
			return false;
		for (size_t j = 0; j + 1 < digits; j++)
			*next++ = (uint8_t)(bits >> (16 - 8 * j));
	}
	return true;
}
