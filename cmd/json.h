/*
 * json.h - one JSON text (RFC 8259), read by asking for what comes next.
 *
 * The text lies whole in memory and nothing is allocated: values are handed out as slices of it. Every byte that is
 * passed has been checked: syntax, UTF-8, pairs of surrogates, depth. The first fault sticks: every call after it
 * says false, and the reader asks json->fault once at the end.
 *
 *	json_init(&json, text, size);
 *	json_open(&json, '{');
 *	while (json_more(&json, '}')) {
 *		json_name(&json, &name);
 *		json_skip(&json, &value);
 *	}
 *	json_end(&json);
 *	if (json.fault != NULL) ...
 *
 * Members that occur twice are the business of whoever knows the members.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	JSON_DEPTH_MAX = 64 /* arrays and objects within each other */
};

enum json_type { JSON_NOTHING, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct slice {
	const char *text;
	size_t size;
};

struct json {
	const char *start, *next, *end;
	const char *fault; /* NULL while all is well, else what is wrong at next, in words */
	unsigned depth;
	bool fresh; /* directly behind an opening bracket */
};

void json_init(struct json *json, const char *text, size_t size);
/* What comes next, judged by its first byte. */
enum json_type json_type(struct json *json);
/* "a string", "an array", ... */
const char *json_type_name(enum json_type type);
/* Notes a fault at the place that is read next; returns false. The first one counts. */
bool json_fail(struct json *json, const char *fault);

/* Passes the opening bracket, '{' or '['. */
bool json_open(struct json *json, char bracket);
/* Is there another member or element before the closing bracket? Passes the comma, or the bracket. */
bool json_more(struct json *json, char bracket);
/* Passes a member's name and the colon. *out lies between the quotes, escapes and all. */
bool json_name(struct json *json, struct slice *out);
/* Passes a string. *out lies between the quotes, escapes and all. */
bool json_string(struct json *json, struct slice *out);
/* Passes any value. *out is its exact text. */
bool json_skip(struct json *json, struct slice *out);
/* Nothing but space may follow. */
bool json_end(struct json *json);

/*
 * An array of numbers as binary32 bit patterns, each the nearest (overflow: infinity), or as int32. At most max of
 * them. *count is their number; after a fault in a component, that component's index.
 */
bool json_f32s(struct json *json, uint32_t *out, size_t max, size_t *count);
bool json_i32s(struct json *json, int32_t *out, size_t max, size_t *count);

/* The bytes that a string's inside stands for. out has room for size bytes; returns how many it took. */
size_t json_unescape(struct slice string, char *out);
/* Digits only, below 2^64. */
bool json_u64(struct slice digits, uint64_t *out);
/* The text of element number index of an array of numbers that was read without a fault. */
struct slice json_element(struct slice array, size_t index);
/*
 * The bytes that a string says in base64 (RFC 4648 section 4: padded, no line feeds, unused bits zero). out has room
 * for size / 4 * 3 of them, and may be the text itself. false: it is not that.
 */
bool json_base64(struct slice text, void *out, size_t *out_size);

#endif
