/* test_tool.c - what the tools share: text in, text out. */
#include "check.h"

#include "json.h"
#include "tool.h"

#include <time.h>

static const struct tool_opt opts[] = {{0}};
const struct tool tool = {.name = "test_tool", .synopsis = "", .summary = "", .opts = opts};

static char text[1 << 16];
static size_t text_size;

static FILE *begin(void)
{
	memset(text, 0, sizeof text);
	return fmemopen(text, sizeof text - 1, "w");
}

static void end(FILE *file)
{
	fflush(file);
	text_size = (size_t)ftell(file);
	fclose(file);
}

static const char *tsv(const void *bytes, size_t size)
{
	FILE *file = begin();

	tool_tsv(file, bytes, size);
	end(file);
	return text;
}

static const char *base64(const char *bytes)
{
	FILE *file = begin();

	tool_base64(file, bytes, strlen(bytes));
	end(file);
	return text;
}

static void test_fields(void)
{
	bool all = true;

	check_text(tsv("a\tb\nc\rd\\e", 9), "a\\tb\\nc\\rd\\\\e", "the four escapes of a field");
	check_text(tsv("\0\1\33\177", 4), "\\x00\\x01\\x1b\\x7f", "control bytes of a field in hex");
	check_text(tsv("\xc3\xa9\xff", 3), "\xc3\xa9\xff", "other bytes of a field as they are");
	for (int c = 0; c < 256; c++) {
		unsigned char byte = (unsigned char)c;

		tsv(&byte, 1);
		for (size_t i = 0; i < text_size; i++)
			all &= (unsigned char)text[i] >= ' ' && text[i] != 127;
	}
	check(all, "no byte of a field can end it, or move a cursor");
}

static void test_base64(void)
{
	/* RFC 4648 section 10 */
	check_text(base64(""), "", "base64 of nothing");
	check_text(base64("f"), "Zg==", "base64 of one byte");
	check_text(base64("fo"), "Zm8=", "base64 of two bytes");
	check_text(base64("foo"), "Zm9v", "base64 of three bytes");
	check_text(base64("foobar"), "Zm9vYmFy", "base64 of six bytes");
	check_text(base64("\xff\xfe\xfd"), "//79", "base64 of high bytes");
}

/* The definition, by decoding: every byte string of up to three bytes, and some of four. */
static bool is_utf8_slowly(const unsigned char *s, size_t size)
{
	for (size_t i = 0; i < size;) {
		uint32_t c = s[i], least;
		size_t more;

		if (c < 0x80) {
			i++;
			continue;
		}
		if (c >> 5 == 6)
			more = 1, least = 0x80, c &= 31;
		else if (c >> 4 == 14)
			more = 2, least = 0x800, c &= 15;
		else if (c >> 3 == 30)
			more = 3, least = 0x10000, c &= 7;
		else
			return false;
		for (size_t k = 1; k <= more; k++) {
			if (i + k >= size || s[i + k] >> 6 != 2)
				return false;
			c = c << 6 | (s[i + k] & 63);
		}
		if (c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
		i += more + 1;
	}
	return true;
}

static void test_utf8(void)
{
	unsigned wrong = 0;
	uint64_t seed = 1;

	for (uint32_t n = 0; n < 1 << 24; n++) {
		unsigned char s[3] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};

		wrong += tool_is_utf8(s, 3) != is_utf8_slowly(s, 3);
	}
	check_u64(wrong, 0, "UTF-8: all strings of three bytes");
	wrong = 0;
	for (uint32_t n = 0; n < 1 << 22; n++) {
		unsigned char s[4] = {(unsigned char)(0xee + n % 18), (unsigned char)(0x70 + (n >> 5) % 0x60),
				      (unsigned char)(0x70 + check_random(&seed) % 0x60),
				      (unsigned char)(0x70 + check_random(&seed) % 0x60)};

		wrong += tool_is_utf8(s, 4) != is_utf8_slowly(s, 4);
	}
	check_u64(wrong, 0, "UTF-8: strings of four bytes around the limits");
	check_text(tool_make_utf8((char[]){"a\xc3\xa4\xb0z\xe2\x82"}), "a\xc3\xa4?z??", "UTF-8: what is none becomes ?");
}

static void test_json(void)
{
	struct tool_json json = {.file = begin()};
	unsigned wrong = 0;
	uint64_t seed = 7;

	tool_json_begin(&json);
	tool_json_text(&json, "a", "\"\\\n\t\r\x01\x7f/");
	tool_json_u64(&json, "b", UINT64_C(1) << 53);
	tool_json_u64(&json, "c", (UINT64_C(1) << 53) + 1);
	tool_json_array(&json, "d");
	tool_json_i32(&json, NULL, INT32_MIN);
	tool_json_i32(&json, NULL, 0);
	tool_json_i32(&json, NULL, INT32_MAX);
	tool_json_array_end(&json);
	tool_json_bytes(&json, "e", "\xff", 1);
	tool_json_bytes(&json, "f", "\xc3\xa9", 2);
	tool_json_object(&json, "g");
	tool_json_object_end(&json);
	tool_json_array(&json, "h");
	tool_json_array_end(&json);
	tool_json_bool(&json, "i", false);
	tool_json_end(&json);
	end(json.file);
	check_text(text,
		   "{\"a\":\"\\\"\\\\\\n\\t\\r\\u0001\\u007f/\",\"b\":9007199254740992,\"c\":\"9007199254740993\","
		   "\"d\":[-2147483648,0,2147483647],\"e_base64\":\"/w==\",\"f\":\"\xc3\xa9\",\"g\":{},\"h\":[],"
		   "\"i\":false}\n",
		   "every kind of JSON member");

	for (unsigned round = 0; round < 20000; round++) {
		char bytes[64], back[64 * 6];
		size_t size = check_random(&seed) % sizeof bytes;
		struct json reader;
		struct slice name, value;

		for (size_t i = 0; i < size; i++)
			bytes[i] = (char)(check_random(&seed) & 127);
		json = (struct tool_json){.file = begin()};
		tool_json_begin(&json);
		tool_json_bytes(&json, "m", bytes, size);
		tool_json_end(&json);
		end(json.file);
		json_init(&reader, text, text_size);
		if (!json_open(&reader, '{') || !json_more(&reader, '}') || !json_name(&reader, &name) ||
		    !json_string(&reader, &value) || value.size > sizeof back || json_unescape(value, back) != size ||
		    memcmp(back, bytes, size) != 0 || json_more(&reader, '}') || !json_end(&reader))
			wrong++;
	}
	check_u64(wrong, 0, "strings that are written are read back, byte for byte");
}

static void test_time(void)
{
	char out[32], should_be[32];
	unsigned wrong = 0;
	uint64_t seed = 3;

	check_text(tool_time(0, out), "1970-01-01T00:00:00.000Z", "time zero");
	check_text(tool_time(UINT64_C(1709251199999), out), "2024-02-29T23:59:59.999Z", "a leap day");
	check_text(tool_time(UINT64_C(253402300799999), out), "9999-12-31T23:59:59.999Z",
		   "the last year of four digits");
	check_text(tool_time(UINT64_C(253402300800000), out), "@253402300800000", "years beyond as milliseconds");
	check_text(tool_time(UINT64_MAX, out), "@18446744073709551615", "the largest time");
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t ms = check_random(&seed) % UINT64_C(253402300800000);
		time_t seconds = (time_t)(ms / 1000);
		struct tm tm;
		size_t length = strftime(should_be, sizeof should_be, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));

		snprintf(should_be + length, sizeof should_be - length, ".%03uZ", (unsigned)(ms % 1000));
		wrong += strcmp(tool_time(ms, out), should_be) != 0;
	}
	check_u64(wrong, 0, "times are those of strftime");
}

static void test_numbers(void)
{
	static const char *const bad[] = {
		"", " 1", "+1", "-1", "1 ", "1x", "0x1", "1e3", "18446744073709551616", "99999999999999999999999"};
	uint64_t number = 5;
	bool refused = true;

	check(tool_parse_u64("18446744073709551615", &number) && number == UINT64_MAX, "the largest number");
	check(tool_parse_u64("000", &number) && number == 0, "zeros");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused &= !tool_parse_u64(bad[i], &number);
	check(refused && number == 0, "anything but digits below 2^64 is refused, and leaves the number alone");
}

int main(void)
{
	test_fields();
	test_base64();
	test_utf8();
	test_json();
	test_time();
	test_numbers();
	return check_done();
}
