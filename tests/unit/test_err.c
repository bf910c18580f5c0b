/* test_err.c - errors as values, and the small printf that builds their sentences. */
#include "check.h"
#include "err.h"

static void test_format(void)
{
	const char *volatile none = NULL; /* the compiler would warn of what it can see */
	char out[64], oracle[64];
	unsigned wrong = 0;
	size_t used;

	used = vl_format(out, sizeof(out), "%s|%u|%d|%llu|%zu|%c|%x|%%|%02x", "a", 7u, -12, 18446744073709551615ull,
			 (size_t)9, 'z', 0xbeefu, 10u);
	check_text(out, "a|7|-12|18446744073709551615|9|z|beef|%|0a", "every conversion prints its argument");
	check_u64(used, strlen(out), "the length is returned");
	vl_format(out, sizeof(out), "%d %d", INT32_MIN, INT32_MAX);
	check_text(out, "-2147483648 2147483647", "the extremes of int are printed");
	vl_format(out, sizeof(out), "%s %.*s", none, 3, none);
	check_text(out, "(none) (none)", "no string prints (none)");
	vl_format(out, sizeof(out), "<%.*s>", 6, "a\n\033b\x7f\0c");
	check_text(out, "<a\\n\\x1bb\\x7f\\x00>", "control bytes of a counted string are escaped");
	vl_format(out, sizeof(out), "<%.*s>", 3, "\xc3\xa9z");
	check_text(out, "<\xc3\xa9z>", "UTF-8 in a counted string stays");
	for (uint64_t i = 0, seed = 1; i < 1000; i++) {
		uint64_t v = check_random(&seed) >> i % 64;

		vl_format(out, sizeof(out), "%llu/%x/%d", (unsigned long long)v, (unsigned)v, (int)v);
		snprintf(oracle, sizeof(oracle), "%llu/%x/%d", (unsigned long long)v, (unsigned)v, (int)v);
		wrong += strcmp(out, oracle) != 0;
	}
	check_u64(wrong, 0, "numbers are printed as the C library prints them");
}

static void test_cut(void)
{
	char out[16];

	memset(out, 'X', sizeof(out));
	check_u64(vl_format(out, 11, "%s", "0123456789"), 10, "what fits is not cut");
	check_text(out, "0123456789", "what fits is whole");
	check_u64((uint64_t)out[11], 'X', "nothing is written behind the size");
	vl_format(out, 11, "%s", "0123456789a");
	check_text(out, "0123456...", "what does not fit ends in three dots");
	vl_format(out, 11, "%s",
		  "012345\xc3\xa9"
		  "89abc");
	check_text(out, "012345...", "no UTF-8 character is cut in halves");
	vl_format(out, 3, "%s", "0123456789a");
	check_text(out, "01", "a string too short for dots has none");
	check_u64(vl_format(out, 0, "%s", "0"), 0, "no room, nothing written");
	check_u64(vl_format(out, 1, "%u", 12u), 0, "room for the NUL only");
	check_text(out, "", "it is NUL-terminated");
}

static void test_fail(void)
{
	valori_error error;
	char longer[600];

	memset(&error, 0xee, sizeof(error));
	check_u64(vl_fail(&error, VALORI_DAMAGED, "offset %u", 5u), VALORI_DAMAGED, "vl_fail returns its code");
	check_u64((uint64_t)error.code, VALORI_DAMAGED, "and leaves it in the error");
	check_text(error.message, "offset 5", "the sentence is in the error");
	check(error.offset == VALORI_NONE && error.event == VALORI_NONE && error.system_errno == 0,
	      "offset and event are none until somebody knows them");
	error.event = 7;
	check_u64(vl_fail_in(&error, VALORI_IO, "a.log"), VALORI_DAMAGED, "vl_fail_in keeps the error's code");
	check_text(error.message, "a.log: offset 5", "the prefix stands before the sentence");
	check_u64(error.event, 7, "the event stays");
	vl_fail(&error, VALORI_IO, "again: %s", error.message);
	check_text(error.message, "again: a.log: offset 5", "a sentence may be built from the error's own");
	memset(longer, 'y', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	vl_fail(&error, VALORI_IO, "%s", longer);
	check(strlen(error.message) == sizeof(error.message) - 1 &&
		      strcmp(error.message + sizeof(error.message) - 4, "...") == 0,
	      "too long a sentence is cut");
	vl_fail_in(&error, VALORI_IO, "longer");
	check(strlen(error.message) == sizeof(error.message) - 1 && strncmp(error.message, "longer: yyy", 11) == 0,
	      "too long a prefixed sentence is cut at its end");
	check_u64(vl_fail(NULL, VALORI_IO, "x"), VALORI_IO, "no error to fill is fine");
	check_u64(vl_fail_in(NULL, VALORI_IO, "x"), VALORI_IO, "nor to prefix");
}

int main(void)
{
	test_format();
	test_cut();
	test_fail();
	return check_done();
}
