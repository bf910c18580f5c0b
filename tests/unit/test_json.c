/* test_json.c - the JSON scanner: what RFC 8259 allows, and nothing else. */
#include "check.h"
#include "json.h"

/* The fault of a text that is one value, or NULL. */
static const char *fault_of(const char *text, size_t size)
{
	struct json json;
	struct slice value;

	json_init(&json, text, size);
	json_skip(&json, &value);
	json_end(&json);
	return json.fault;
}

static unsigned count_wrong(const char *const *texts, bool acceptable)
{
	unsigned wrong = 0;

	for (; *texts != NULL; texts++)
		if ((fault_of(*texts, strlen(*texts)) == NULL) != acceptable) {
			printf("# %s: %s\n", *texts, acceptable ? fault_of(*texts, strlen(*texts)) : "accepted");
			wrong++;
		}
	return wrong;
}

static void test_grammar(void)
{
	static const char *const good[] = {"null",
					   " true ",
					   "false\r\n",
					   "0",
					   "-0",
					   "-0.5e+10",
					   "1E-400",
					   "123456789012345678901234567890",
					   "\"\"",
					   "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
					   "\"\\u0041\\ud83d\\ude00\"",
					   "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
					   "[]",
					   "{}",
					   "[ ]",
					   "{ }",
					   "[1,[2,[]],{}]",
					   "{\"a\":{\"b\":[null]},\"a\":2}",
					   "\"\x7f\"",
					   "[\"\xed\x9f\xbf\xee\x80\x80\"]",
					   "\t[\n1 ,\r2 ]",
					   NULL};
	static const char *const bad[] = {"",
					  " ",
					  "nul",
					  "nulll",
					  "True",
					  "01",
					  "-",
					  "+1",
					  ".5",
					  "1.",
					  "1.e5",
					  "1e",
					  "1e+",
					  "0x10",
					  "NaN",
					  "Infinity",
					  "-Infinity",
					  "\"",
					  "\"\\\"",
					  "\"\\x\"",
					  "\"\\u12\"",
					  "\"\\u12g4\"",
					  "\"\\ud800\"",
					  "\"\\ud800\\u0041\"",
					  "\"\\udc00\"",
					  "\"\n\"",
					  "\"\x80\"",
					  "\"\xc0\x80\"",
					  "\"\xe0\x80\x80\"",
					  "\"\xed\xa0\x80\"",
					  "\"\xf4\x90\x80\x80\"",
					  "\"\xf5\x80\x80\x80\"",
					  "\"\xc3\"",
					  "[",
					  "]",
					  "[1",
					  "[1,",
					  "[1,]",
					  "[,1]",
					  "[1 2]",
					  "{",
					  "{\"a\"}",
					  "{\"a\":}",
					  "{\"a\":1,}",
					  "{a:1}",
					  "{1:2}",
					  "{\"a\" 1}",
					  "[1}",
					  "{\"a\":1]",
					  "1 2",
					  "[]]",
					  "'a'",
					  "[1,,2]",
					  "//",
					  NULL};

	check(count_wrong(good, true) == 0, "what the grammar allows is accepted");
	check(count_wrong(bad, false) == 0, "what it does not is refused");
	check(fault_of("1\0", 2) != NULL, "a NUL is no space");
	check(fault_of("\"a\0b\"", 5) != NULL, "a NUL in a string is refused");
}

static const char *nested(char *text, size_t depth, char open, char close, size_t *size)
{
	memset(text, open, depth);
	memset(text + depth, close, depth);
	*size = 2 * depth;
	return text;
}

static void test_depth(void)
{
	static char text[200001];
	size_t size;

	nested(text, 64, '[', ']', &size);
	check(fault_of(text, size) == NULL, "64 arrays within each other are read");
	nested(text, 65, '[', ']', &size);
	check(fault_of(text, size) != NULL && strstr(fault_of(text, size), "64") != NULL,
	      "65 are refused, with the limit");
	nested(text, 100000, '[', ']', &size);
	check(fault_of(text, size) != NULL, "100,000 are refused like 65");
	for (size_t i = 0; i < 64; i++)
		memcpy(text + 5 * i, "{\"\":[", 5);
	check(fault_of(text, 320) != NULL && strstr(fault_of(text, 320), "64") != NULL, "objects count like arrays");
}

static void test_cut(void)
{
	static const char whole[] =
		"{\"a\":[1.5e3,\"\\ud83d\\ude00\",true,null,{\"\xe2\x82\xac\":[[],{}]}],\"b\":-0.25}";
	unsigned accepted = 0;

	for (size_t size = 0; size + 1 < sizeof(whole); size++) {
		char *cut = malloc(size + 1); /* exact, so that a sanitizer sees a read behind it */

		memcpy(cut, whole, size);
		accepted += fault_of(cut, size) == NULL;
		free(cut);
	}
	check(fault_of(whole, sizeof(whole) - 1) == NULL, "a text with everything in it is read");
	check(accepted == 0, "cut short anywhere it is refused");
}

static void test_pull(void)
{
	static const char text[] = "{ \"a\" : [1, {\"x\":\"]\"}] , \"b\\n\":\"c\"}";
	struct json json;
	struct slice name, value;

	json_init(&json, text, strlen(text));
	json_open(&json, '{');
	check(json_more(&json, '}') && json_name(&json, &name) && name.size == 1 && name.text[0] == 'a', "first name");
	check(json_skip(&json, &value) && value.size == 14 && memcmp(value.text, "[1, {\"x\":\"]\"}]", 14) == 0,
	      "a skipped value is its exact text");
	check(json_more(&json, '}') && json_name(&json, &name) && name.size == 3,
	      "a name with its escape as it stands");
	check(json_type(&json) == JSON_STRING && json_string(&json, &value) && value.size == 1, "a string");
	check(!json_more(&json, '}') && json_end(&json), "the end");
}

static void test_unescape(void)
{
	static const char text[] = "a\\u00e9\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\ud83d\\ude00\\uFFFFz";
	static const char bytes[] = "a\xc3\xa9\"\\/\b\f\n\r\t\0\xf0\x9f\x98\x80\xef\xbf\xbfz";
	char out[sizeof(text)];
	size_t size = json_unescape((struct slice){text, sizeof(text) - 1}, out);

	check_u64(size, sizeof(bytes) - 1, "unescaped: as many bytes as it should be");
	check_bytes(out, bytes, sizeof(bytes) - 1, "unescaped: these bytes");
}

static void test_f32s(void)
{
	static const char text[] = "[0.1,-2 , 1e999\t,-0,\n3.4028236e38]";
	static const uint32_t bits[] = {0x3dcccccd, 0xc0000000, 0x7f800000, 0x80000000, 0x7f800000};
	struct json json;
	uint32_t out[8];
	size_t count;

	json_init(&json, text, strlen(text));
	check(json_f32s(&json, out, 8, &count) && json_end(&json), "an array of numbers with space around them");
	check_u64(count, 5, "five of them");
	check_bytes(out, bits, sizeof(bits), "each the nearest, too large ones infinite");
	json_init(&json, text, strlen(text));
	check(!json_f32s(&json, out, 4, &count) && count == 4 && strstr(json.fault, "too many") != NULL,
	      "one more than there is room for is a fault, and not written");
}

static void test_f32_faults(void)
{
	static const struct {
		const char *text;
		size_t count;
		const char *fault;
	} cases[] = {{"[1,\"2\"]", 1, "a string"},  {"[1,2,null]", 2, "null"}, {"[[1]]", 0, "an array"},
		     {"[1,{}]", 1, "an object"},    {"[1,true]", 1, "true"},   {"[1,NaN]", 1, "not a number"},
		     {"[1,]", 1, "not a number"},   {"[1,2", 1, "too early"},  {"[1,", 1, "too early"},
		     {"[1 2]", 0, "comma"},         {"[01]", 0, "comma"},      {"[1,-]", 1, "minus"},
		     {"{}", 0, "array is expected"}};
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		uint32_t out[8];
		size_t count;

		json_init(&json, cases[i].text, strlen(cases[i].text));
		if (json_f32s(&json, out, 8, &count) || count != cases[i].count ||
		    strstr(json.fault, cases[i].fault) == NULL) {
			printf("# %s: component %zu: %s\n", cases[i].text, count, json.fault);
			wrong++;
		}
	}
	check(wrong == 0, "a component that is no number: its index and what it is");
}

static void test_i32s(void)
{
	static const char *const bad[] = {"[2147483648]",           "[-2147483649]", "[1.0]",   "[1e3]", "[01]",
					  "[99999999999999999999]", "[-]",           "[\"1\"]", NULL};
	struct json json;
	int32_t out[4];
	size_t count;
	unsigned accepted = 0;

	json_init(&json, "[ -2147483648,2147483647 , -0,65536]", 36);
	check(json_i32s(&json, out, 4, &count) && count == 4 && out[0] == INT32_MIN && out[1] == INT32_MAX &&
		      out[2] == 0 && out[3] == 65536,
	      "integers of 32 bits");
	for (const char *const *text = bad; *text != NULL; text++) {
		json_init(&json, *text, strlen(*text));
		accepted += json_i32s(&json, out, 4, &count);
	}
	check(accepted == 0, "nothing else is an integer of 32 bits");
}

static void test_u64(void)
{
	uint64_t value = 0;

	check(json_u64((struct slice){"18446744073709551615", 20}, &value) && value == UINT64_MAX, "2^64 - 1 exactly");
	check(!json_u64((struct slice){"18446744073709551616", 20}, &value), "2^64 is refused");
	check(!json_u64((struct slice){"", 0}, &value) && !json_u64((struct slice){"-1", 2}, &value) &&
		      !json_u64((struct slice){"1.0", 3}, &value),
	      "nothing, a sign or a point is refused");
}

static void test_element(void)
{
	static const char text[] = "[ 1.5 ,-2e3,\t7 ]";
	struct slice array = {text, sizeof(text) - 1};

	check(json_element(array, 0).size == 3 && json_element(array, 1).size == 4 &&
		      json_element(array, 2).text[0] == '7',
	      "the text of an element is found again");
}

int main(void)
{
	test_grammar();
	test_depth();
	test_cut();
	test_pull();
	test_unescape();
	test_f32s();
	test_f32_faults();
	test_i32s();
	test_u64();
	test_element();
	return check_done();
}
