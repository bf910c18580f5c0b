/*
 * check.h - the TAP of the unit tests: one line per promise, the plan last.
 *
 * check() is called with the promise in words; inside a loop over many values count the failures and check once:
 * a test with a million lines tells nobody anything. What a failed check prints goes after "# ".
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned check_count, check_failed;

__attribute__((format(printf, 2, 3), unused)) static bool check(bool ok, const char *promise, ...)
{
	va_list arguments;

	printf("%s %u - ", ok ? "ok" : "not ok", ++check_count);
	va_start(arguments, promise);
	vprintf(promise, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	check_failed += !ok;
	return ok;
}

__attribute__((unused)) static bool check_u64(uint64_t is, uint64_t should_be, const char *promise)
{
	bool ok = check(is == should_be, "%s", promise);

	if (!ok)
		printf("# is %" PRIu64 " (0x%" PRIx64 "), should be %" PRIu64 " (0x%" PRIx64 ")\n", is, is,
		       should_be, should_be);
	return ok;
}

__attribute__((unused)) static bool check_bytes(const void *is, const void *should_be, size_t size, const char *promise)
{
	const uint8_t *a = is, *b = should_be;
	size_t i = 0;

	while (i < size && a[i] == b[i])
		i++;
	check(i == size, "%s", promise);
	if (i < size)
		printf("# byte %zu is %02x, should be %02x\n", i, a[i], b[i]);
	return i == size;
}

__attribute__((unused)) static bool check_text(const char *is, const char *should_be, const char *promise)
{
	bool ok = check(strcmp(is, should_be) == 0, "%s", promise);

	if (!ok)
		printf("# is \"%s\", should be \"%s\"\n", is, should_be);
	return ok;
}

/* A promise that cannot be checked here, with the reason. */
__attribute__((unused)) static void check_skip(const char *promise, const char *reason)
{
	printf("ok %u - %s # SKIP %s\n", ++check_count, promise, reason);
}

/* Leaves the last line of every main: return check_done(); */
__attribute__((unused)) static int check_done(void)
{
	printf("1..%u\n", check_count);
	return check_failed != 0;
}

/* Are the long counts wanted (make check-long)? */
__attribute__((unused)) static bool check_long(void)
{
	return getenv("VALORI_LONG") != NULL;
}

/* One place, or seed, in so many is enough where all would take too long: under sanitizers, on emulated processors. */
__attribute__((unused)) static unsigned check_one_in(void)
{
	if (getenv("VALORI_EMULATED") != NULL)
		return 20;
#if defined(__SANITIZE_ADDRESS__)
	return 4;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return 4;
#else
	return 1;
#endif
#else
	return 1;
#endif
}

/* splitmix64: the same numbers on every machine; start *seed where you like. */
__attribute__((unused)) static uint64_t check_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
