/*
 * decimal.h - decimal text to numbers and back, by integers, in no locale.
 */
#ifndef VL_DECIMAL_H
#define VL_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the JSON number (RFC 8259: -? int frac? exp?) at the start of text and gives the nearest IEEE binary32, ties to
 * even, correctly rounded for any number of digits; overflow gives the infinity (callers refuse it), -0 keeps its sign.
 * Returns the length of the number, 0 when there is none. *bits is set when the length is not 0.
 */
size_t vl_f32_from_decimal(const char *text, size_t size, uint32_t *bits);

/*
 * For the kernels, f32s_from_decimals: the beginning of text as numbers, each directly followed by a comma, and that by
 * one space or none, as long as it goes on like this, and at most max of them. *count is how many; returns the bytes
 * passed, so that what is left begins with what is no such number.
 */
size_t vl_f32s_from_decimals_portable(const char *text, size_t size, size_t max, uint32_t *out, size_t *count);

/*
 * A non-negative integer of decimal digits only, below 2^64: true and *out, else false (empty, sign, other characters,
 * too large). All of text must be digits.
 */
bool vl_u64_from_decimal(const char *text, size_t size, uint64_t *out);

enum { VL_DECIMAL_SIZE = 32 };

/* Each writes a NUL-terminated string into out and returns its length. */
size_t vl_decimal_from_u64(uint64_t value, char out[VL_DECIMAL_SIZE]);
/* Q32.32 distance as decimal, rounded half up to nine places, without trailing zeros: "0", "1.5", "0.000000001". */
size_t vl_decimal_from_q32(uint64_t value, char out[VL_DECIMAL_SIZE]);
/* Q16.16 component exactly (at most 16 places, without trailing zeros): parses back to the same component. */
size_t vl_decimal_from_q16(int32_t value, char out[VL_DECIMAL_SIZE]);

#endif
