/*
 * err.h - errors as values: a code up the stack, and one sentence for the person at the terminal.
 */
#ifndef VL_ERR_H
#define VL_ERR_H

#include <stdarg.h>

#include "valori.h"

/*
 * Fills error (which may be NULL) and returns code. The sentence is built by a small printf of our own, so
 * that it works below the waterline: %s (const char *, NULL prints "(none)"), %.*s (int, const char *:
 * control bytes are escaped), %u (unsigned), %d (int), %llu (unsigned long long), %zu (size_t), %c, %x
 * (unsigned), %%. Too long a sentence is cut, ending in "...". offset and event become VALORI_NONE.
 */
valori_code vl_fail(valori_error *error, valori_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same printf into a caller's string of size bytes, always NUL-terminated; returns the length written. */
size_t vl_format(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

size_t vl_format_list(char *out, size_t size, const char *format, va_list *arguments);

/* Puts "prefix: " before the sentence of error; returns error's code (or code, when error is NULL). */
valori_code vl_fail_in(valori_error *error, valori_code code, const char *prefix);

#endif
