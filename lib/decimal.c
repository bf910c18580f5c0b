/* decimal.c - decimal text to binary32 by one multiplication, or exactly when that is not enough; and back. */
#include "decimal.h"

#include <string.h>

#include "decimal_plain.h"

/* What is left to the exact comparison, see decimal_plain.h. */
enum {
	DIGITS_FAST = VL_DECIMAL_DIGITS,
	/*
	 * The longest halfway point between two binary32 has 113 significant digits; past DIGITS_EXACT it only
	 * matters whether anything follows.
	 */
	DIGITS_EXACT = 120,
	LIMBS = 16 /* 512 bits; 10^-46 with 120 digits has 10^-166, and 2^25 * 5^166 has 411 */
};

const uint64_t vl_decimal_powers[VL_DECIMAL_POWER_MAX - VL_DECIMAL_POWER_MIN + 1] = {
	0x86ccbb52ea94baea, 0xa87fea27a539e9a5, 0xd29fe4b18e88640e, 0x83a3eeeef9153e89, 0xa48ceaaab75a8e2b,
	0xcdb02555653131b6, 0x808e17555f3ebf11, 0xa0b19d2ab70e6ed6, 0xc8de047564d20a8b, 0xfb158592be068d2e,
	0x9ced737bb6c4183d, 0xc428d05aa4751e4c, 0xf53304714d9265df, 0x993fe2c6d07b7fab, 0xbf8fdb78849a5f96,
	0xef73d256a5c0f77c, 0x95a8637627989aad, 0xbb127c53b17ec159, 0xe9d71b689dde71af, 0x9226712162ab070d,
	0xb6b00d69bb55c8d1, 0xe45c10c42a2b3b05, 0x8eb98a7a9a5b04e3, 0xb267ed1940f1c61c, 0xdf01e85f912e37a3,
	0x8b61313bbabce2c6, 0xae397d8aa96c1b77, 0xd9c7dced53c72255, 0x881cea14545c7575, 0xaa242499697392d2,
	0xd4ad2dbfc3d07787, 0x84ec3c97da624ab4, 0xa6274bbdd0fadd61, 0xcfb11ead453994ba, 0x81ceb32c4b43fcf4,
	0xa2425ff75e14fc31, 0xcad2f7f5359a3b3e, 0xfd87b5f28300ca0d, 0x9e74d1b791e07e48, 0xc612062576589dda,
	0xf79687aed3eec551, 0x9abe14cd44753b52, 0xc16d9a0095928a27, 0xf1c90080baf72cb1, 0x971da05074da7bee,
	0xbce5086492111aea, 0xec1e4a7db69561a5, 0x9392ee8e921d5d07, 0xb877aa3236a4b449, 0xe69594bec44de15b,
	0x901d7cf73ab0acd9, 0xb424dc35095cd80f, 0xe12e13424bb40e13, 0x8cbccc096f5088cb, 0xafebff0bcb24aafe,
	0xdbe6fecebdedd5be, 0x89705f4136b4a597, 0xabcc77118461cefc, 0xd6bf94d5e57a42bc, 0x8637bd05af6c69b5,
	0xa7c5ac471b478423, 0xd1b71758e219652b, 0x83126e978d4fdf3b, 0xa3d70a3d70a3d70a, 0xcccccccccccccccc,
	0x8000000000000000, 0xa000000000000000, 0xc800000000000000, 0xfa00000000000000, 0x9c40000000000000,
	0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000, 0xee6b280000000000,
	0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000, 0x9184e72a00000000, 0xb5e620f480000000,
	0xe35fa931a0000000, 0x8e1bc9bf04000000, 0xb1a2bc2ec5000000, 0xde0b6b3a76400000, 0x8ac7230489e80000,
	0xad78ebc5ac620000, 0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400, 0xd3c21bcecceda100,
	0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940984, 0xa18f07d736b90be5,
	0xc9f2c9cd04674ede, 0xfc6f7c4045812296, 0x9dc5ada82b70b59d, 0xc5371912364ce305, 0xf684df56c3e01bc6,
	0x9a130b963a6c115c, 0xc097ce7bc90715b3, 0xf0bdc21abb48db20, 0x96769950b50d88f4,
};

const uint64_t vl_decimal_tens[VL_DECIMAL_DIGITS + 1] = {
	UINT64_C(1),
	UINT64_C(10),
	UINT64_C(100),
	UINT64_C(1000),
	UINT64_C(10000),
	UINT64_C(100000),
	UINT64_C(1000000),
	UINT64_C(10000000),
	UINT64_C(100000000),
	UINT64_C(1000000000),
	UINT64_C(10000000000),
	UINT64_C(100000000000),
	UINT64_C(1000000000000),
	UINT64_C(10000000000000),
	UINT64_C(100000000000000),
	UINT64_C(1000000000000000),
	UINT64_C(10000000000000000),
	UINT64_C(100000000000000000),
	UINT64_C(1000000000000000000),
	UINT64_C(10000000000000000000),
};

/* What the text of a number says: digits (without the point) times 10^exponent. */
struct number {
	size_t size; /* of the text */
	bool negative;
	const char *first; /* first digit; when there are more than DIGITS_FAST, the first that is not zero */
	const char *end;   /* behind the last digit */
	size_t count;      /* of digits from first, the point not counted */
	int64_t exponent;  /* of the last digit */
	uint64_t value;    /* of the digits when count is at most DIGITS_FAST */
};

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Eight digits, the first in the lowest byte, as their number: neighbours are joined to pairs, fours, eight. */
static inline uint64_t join_digits(uint64_t x)
{
	x = x * 10 + (x >> 8);
	return ((x & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
		(x >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001)) >>
	       32;
}

/* How many digits the eight bytes begin with; *value is their number. */
static inline unsigned read_eight(const char *p, uint64_t *value)
{
	uint64_t x = vl_get64((const uint8_t *)p);
	uint64_t digits = x - UINT64_C(0x3030303030303030);
	/* The top bit of each byte that is no digit; right up to the first such byte, which is all that counts. */
	uint64_t others = ((x + UINT64_C(0x4646464646464646)) | digits) & UINT64_C(0x8080808080808080);
	unsigned count = others == 0 ? 8 : (unsigned)__builtin_ctzll(others) / 8;
	unsigned shift = 32 - 4 * count;

	*value = join_digits(digits << shift << shift); /* twice, for a shift by 64 is not one */
	return count;
}

/* Joins the digits at p to value; returns the end of the digits. */
static inline const char *read_digits(const char *p, const char *end, uint64_t *value)
{
	while (end - p >= 8) {
		uint64_t eight;

		if (read_eight(p, &eight) < 8)
			break;
		*value = *value * 100000000 + eight;
		p += 8;
	}
	for (; p < end && is_digit(*p); p++)
		*value = *value * 10 + (uint64_t)(*p - '0');
	return p;
}

static const char *read_exponent(const char *p, const char *end, int64_t *exponent)
{
	const char *start = p;
	bool negative = false;
	int64_t value = 0;

	p++;
	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	if (p == end || !is_digit(*p))
		return start;
	for (; p < end && is_digit(*p); p++)
		if (value < INT64_C(1) << 56) /* more than any number of digits can make up for */
			value = value * 10 + (*p - '0');
	*exponent += negative ? -value : value;
	return p;
}

/* False when there is no number at the start of text. */
static inline bool read_number(const char *text, size_t size, struct number *number)
{
	const char *p = text, *end = text + size;
	const char *whole, *point;

	number->negative = p < end && *p == '-';
	p += number->negative;
	whole = p;
	if (p == end || !is_digit(*p))
		return false;
	number->value = 0;
	number->exponent = 0;
	if (*p == '0')
		p++;
	else
		p = read_digits(p, end, &number->value);
	number->first = whole;
	number->count = (size_t)(p - whole);
	number->end = p;
	point = p;
	if (end - p >= 2 && *p == '.' && is_digit(p[1])) {
		p = read_digits(p + 1, end, &number->value);
		number->exponent = -(int64_t)(p - point - 1);
		number->end = p;
		number->count += (size_t)(p - point - 1);
	}
	if (p < end && (*p | 0x20) == 'e')
		p = read_exponent(p, end, &number->exponent);
	number->size = (size_t)(p - text);
	if (number->count > DIGITS_FAST) {
		/* Zeros in front do not count; 0.000...01 has few digits. */
		for (; number->first < number->end && (*number->first == '0' || *number->first == '.'); number->first++)
			number->count -= *number->first == '0';
	}
	return true;
}

/* The first digits of a number, DIGITS_FAST of them, as an integer; *exponent is that of the last one taken. */
static uint64_t first_digits(const struct number *number, int64_t *exponent)
{
	const char *p = number->first;
	uint64_t value = 0;

	for (unsigned i = 0; i < DIGITS_FAST; p++) {
		if (*p == '.')
			continue;
		value = value * 10 + (uint64_t)(*p - '0');
		i++;
	}
	*exponent += (int64_t)(number->count - DIGITS_FAST);
	return value;
}

/* A large non-negative integer, least significant limb first. */
struct large {
	uint32_t limbs[LIMBS];
	unsigned count;
};

static void multiply_add(struct large *x, uint32_t factor, uint32_t addend)
{
	uint64_t carry = addend;

	for (unsigned i = 0; i < x->count; i++) {
		carry += (uint64_t)x->limbs[i] * factor;
		x->limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry != 0)
		x->limbs[x->count++] = (uint32_t)carry;
}

static void shift_left(struct large *x, unsigned bits)
{
	unsigned limbs = bits / 32;

	if (x->count == 0)
		return;
	multiply_add(x, UINT32_C(1) << bits % 32, 0);
	memmove(x->limbs + limbs, x->limbs, x->count * sizeof(x->limbs[0]));
	memset(x->limbs, 0, limbs * sizeof(x->limbs[0]));
	x->count += limbs;
}

static void multiply_power_of_five(struct large *x, unsigned power)
{
	for (; power >= 13; power -= 13)
		multiply_add(x, 1220703125, 0);
	for (; power > 0; power--)
		multiply_add(x, 5, 0);
}

static int compare(const struct large *a, const struct large *b)
{
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	for (unsigned i = a->count; i-- > 0;)
		if (a->limbs[i] != b->limbs[i])
			return a->limbs[i] < b->limbs[i] ? -1 : 1;
	return 0;
}

/*
 * Compares a number, known to be near to it, with the halfway point half * 2^exponent: below 0, 0, or above 0. Both
 * sides are made integers by moving negative powers of 2 and 5 across.
 */
static int compare_exactly(const struct number *number, uint32_t half, int exponent)
{
	struct large left = {.count = 0}, right = {.limbs = {half}, .count = 1};
	const char *p = number->first;
	size_t taken = 0;
	bool more = false;
	int power, sign;

	for (; p < number->end && taken < DIGITS_EXACT; p++) {
		if (*p == '.')
			continue;
		multiply_add(&left, 10, (uint32_t)(*p - '0'));
		taken++;
	}
	for (; p < number->end && !more; p++)
		more = *p != '0' && *p != '.';
	/* Near to a binary32, with at most DIGITS_EXACT digits: so this is small. */
	power = (int)(number->exponent + (int64_t)(number->count - taken));
	if (power >= 0)
		multiply_power_of_five(&left, (unsigned)power);
	else
		multiply_power_of_five(&right, (unsigned)-power);
	exponent -= power;
	if (exponent >= 0)
		shift_left(&right, (unsigned)exponent);
	else
		shift_left(&left, (unsigned)-exponent);
	sign = compare(&left, &right);
	return sign == 0 && more ? 1 : sign;
}

/*
 * What most numbers are: one digit, a point, digits, and the number ends; not near to halfway. Nearly free of branches:
 * how long numbers are cannot be foreseen, and a wrong guess costs more than all the arithmetic. 0: another form; read
 * it the long way.
 */
static inline size_t from_plain_decimal(const char *text, size_t size, uint32_t *bits)
{
	unsigned negative, whole, high_count, low_count, count;
	uint64_t value, high, low;
	const char *p;

	if (size < 1 + 2 + 25) /* the sign; a digit and the point; three words and what ends the number */
		return 0;
	negative = vl_decimal_is(*text, '-');
	p = text + negative;
	whole = (unsigned)(uint8_t)*p - '0';
	if (whole > 9 || p[1] != '.')
		return 0;
	p += 2;
	high_count = read_eight(p, &high);
	low_count = read_eight(p + 8, &low);
	low_count = high_count == 8 ? low_count : 0;
	low = high_count == 8 ? low : 0;
	value = ((whole * vl_decimal_tens[high_count] + high) * vl_decimal_tens[low_count]) + low;
	count = high_count + low_count;
	if (count == 16) {
		unsigned more = read_eight(p + 16, &low);

		if (more > 3 || whole != 0)
			return 0; /* more than nineteen digits */
		value = value * vl_decimal_tens[more] + low;
		count += more;
	}
	if (count == 0 || (p[count] | 0x20) == 'e' || !vl_decimal_round(value, count, negative, bits))
		return 0;
	return (size_t)(p + count - text);
}

size_t vl_f32_from_decimal(const char *text, size_t size, uint32_t *bits)
{
	struct number number;
	uint64_t value, product, kept, rest, half;
	int64_t power;
	uint32_t sign;
	int exponent, dropped, shift;
	size_t used = from_plain_decimal(text, size, bits);

	if (used != 0)
		return used;
	if (!read_number(text, size, &number))
		return 0;
	sign = (uint32_t)number.negative << 31;
	*bits = sign;
	value = number.value;
	power = number.exponent;
	if (number.count > DIGITS_FAST)
		value = first_digits(&number, &power);
	if (value == 0 || power < VL_DECIMAL_POWER_MIN)
		return number.size;
	if (power > VL_DECIMAL_POWER_MAX) {
		*bits = sign | 0x7f800000;
		return number.size;
	}
	shift = __builtin_clzll(value);
	product = vl_decimal_multiply(value << shift, vl_decimal_powers[power - VL_DECIMAL_POWER_MIN]);
	/* The number is product * 2^exponent, product between 2^62 and 2^64; it is made to be at least 2^63. */
	exponent = (int)((power * 217706) >> 16) + 1 - shift;
	exponent -= product >> 63 == 0;
	product <<= product >> 63 == 0;
	/* 24 bits are kept, fewer when the result is subnormal: its last bit is worth 2^-149 at least. */
	dropped = exponent + 40 >= -149 ? 40 : -149 - exponent;
	if (dropped > 65) /* below a quarter of that bit, and what is cut off from product does not make it a half */
		return number.size;
	if (dropped == 65) {
		product >>= 1;
		exponent++;
		dropped--;
	}
	kept = dropped == 64 ? 0 : product >> dropped;
	half = UINT64_C(1) << (dropped - 1);
	rest = product & (half | (half - 1));
	if (rest - half + VL_DECIMAL_SLACK <= 2 * VL_DECIMAL_SLACK) {
		int order = compare_exactly(&number, (uint32_t)(2 * kept + 1), exponent + dropped - 1);

		kept += order > 0 || (order == 0 && (kept & 1) != 0);
	} else {
		kept += rest > half;
	}
	/* As a pattern: a carry goes into the exponent, at the top into infinity. */
	exponent += dropped;
	kept += (uint64_t)(uint32_t)(exponent + 149) << 23;
	*bits = sign | (kept < 0x7f800000 ? (uint32_t)kept : 0x7f800000);
	return number.size;
}

size_t vl_f32s_from_decimals_portable(const char *text, size_t size, size_t max, uint32_t *out, size_t *count)
{
	const char *p = text, *end = text + size;

	for (*count = 0; *count < max; ++*count) {
		size_t used = vl_f32_from_decimal(p, (size_t)(end - p), out + *count);

		if (used == 0 || p + used == end || p[used] != ',')
			break;
		p += used + 1;
		p += p < end && *p == ' ';
	}
	return (size_t)(p - text);
}

bool vl_u64_from_decimal(const char *text, size_t size, uint64_t *out)
{
	uint64_t value = 0;

	if (size == 0)
		return false;
	for (size_t i = 0; i < size; i++) {
		uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';

		if (digit > 9 || value > UINT64_MAX / 10 || value * 10 > UINT64_MAX - digit)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

size_t vl_decimal_from_u64(uint64_t value, char out[VL_DECIMAL_SIZE])
{
	char digits[20];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
	out[count] = '\0';
	return count;
}

/* whole, and behind a point the places digits of fraction but for the zeros at their end. */
static size_t put_fixed(uint64_t whole, uint64_t fraction, unsigned places, char out[VL_DECIMAL_SIZE])
{
	size_t size = vl_decimal_from_u64(whole, out);

	if (fraction == 0)
		return size;
	for (; fraction % 10 == 0; fraction /= 10)
		places--;
	out[size++] = '.';
	for (unsigned i = places; i-- > 0; fraction /= 10)
		out[size + i] = (char)('0' + fraction % 10);
	size += places;
	out[size] = '\0';
	return size;
}

size_t vl_decimal_from_q32(uint64_t value, char out[VL_DECIMAL_SIZE])
{
	uint64_t whole = value >> 32;
	uint64_t fraction = ((uint64_t)(uint32_t)value * 1000000000 + (UINT64_C(1) << 31)) >> 32;

	return put_fixed(whole + fraction / 1000000000, fraction % 1000000000, 9, out);
}

size_t vl_decimal_from_q16(int32_t value, char out[VL_DECIMAL_SIZE])
{
	uint32_t magnitude = value < 0 ? 0 - (uint32_t)value : (uint32_t)value;
	size_t sign = value < 0;

	/* f / 2^16 = f * 5^16 / 10^16 */
	out[0] = '-';
	return sign + put_fixed(magnitude >> 16, (magnitude & 0xffff) * UINT64_C(152587890625), 16, out + sign);
}
