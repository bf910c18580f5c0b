/*
 * decimal_plain.h - from the digits of a number to binary32 by one multiplication, for decimal.c and the kernels.
 *
 * A decimal number is w * 10^q, w the first 19 significant digits. With both factors scaled to 64 bits, the upper half
 * of their product has the 24 bits of the result, the rounding bit, and some 39 bits more. The errors (10^q rounded
 * down, digits cut off) are below VL_DECIMAL_SLACK in the last of them. So only when those bits lie that near to
 * halfway between two results can the rounding be wrong; then an exact comparison decides.
 */
#ifndef VL_DECIMAL_PLAIN_H
#define VL_DECIMAL_PLAIN_H

#include "bytes.h"
#include "decimal.h"

enum {
	VL_DECIMAL_POWER_MIN = -65, /* 10^19 * 10^-66 is below half of the smallest binary32 */
	VL_DECIMAL_POWER_MAX = 38,  /* 10^39 is above the largest */
	VL_DECIMAL_DIGITS = 19,
	VL_DECIMAL_SLACK = 64
};

/* The first 64 bits of powers of ten: 10^q = (powers[q - POWER_MIN] + less than 1) * 2^(e - 63). */
extern const uint64_t vl_decimal_powers[VL_DECIMAL_POWER_MAX - VL_DECIMAL_POWER_MIN + 1];
/* 10^0 ... 10^19 */
extern const uint64_t vl_decimal_tens[VL_DECIMAL_DIGITS + 1];

/* The upper half of the product. */
static inline uint64_t vl_decimal_multiply(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)a * b >> 64);
#else
	uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
	uint64_t middle = a1 * b0 + (a0 * b0 >> 32);

	return a1 * b1 + (middle >> 32) + ((a0 * b1 + (uint32_t)middle) >> 32);
#endif
}

/*
 * value * 10^-places as binary32 into *bits, places at most VL_DECIMAL_DIGITS. False for what needs another way: zero,
 * and what lies near to halfway.
 */
static inline bool vl_decimal_round(uint64_t value, unsigned places, unsigned negative, uint32_t *bits)
{
	unsigned shift, up;
	uint64_t product, rest;
	int exponent;

	if (value == 0)
		return false;
	shift = (unsigned)__builtin_clzll(value);
	product = vl_decimal_multiply(value << shift, vl_decimal_powers[-(int)places - VL_DECIMAL_POWER_MIN]);
	/* The number is product * 2^exponent, product between 2^62 and 2^64; it is made to be at least 2^63. */
	up = (unsigned)(~product >> 63);
	product <<= up;
	exponent = ((-(int)places * 217706) >> 16) + 1 - (int)shift - (int)up;
	rest = product & ((UINT64_C(1) << 40) - 1);
	if (rest - (UINT64_C(1) << 39) + VL_DECIMAL_SLACK <= 2 * VL_DECIMAL_SLACK)
		return false;
	/* Rounded up by a carry, which goes on into the exponent where it must. */
	product = (product >> 40) + (rest >> 39) + ((uint64_t)(uint32_t)(exponent + 40 + 149) << 23);
	*bits = negative << 31 | (uint32_t)product;
	return true;
}

/* Is c that character? As 0 or 1 by arithmetic: signs and spaces cannot be foreseen. */
static inline unsigned vl_decimal_is(char c, char wanted)
{
	return (((uint32_t)(uint8_t)c ^ (uint8_t)wanted) - 1) >> 31;
}

#endif
