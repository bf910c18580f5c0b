/* test_decimal.c - decimal text and back, against the C library's. */
#include <math.h>

#include "check.h"
#include "cpu.h"
#include "decimal.h"
#include "q16.h"

static unsigned wrong;

static uint32_t oracle(const char *text)
{
	float x = strtof(text, NULL);
	uint32_t bits;

	memcpy(&bits, &x, 4);
	return bits;
}

/* Alone, and with more behind it, as in an array: there words are read at once. */
static void compare(const char *text)
{
	static const char more[] = ",-0.5e1,123.45678901234567890123";
	static char array[1 << 17];
	uint32_t bits = 0, array_bits = 0;
	size_t size = strlen(text);

	if (size + sizeof(more) > sizeof(array))
		exit(99);
	memcpy(array, text, size);
	memcpy(array + size, more, sizeof(more));
	if (vl_f32_from_decimal(text, size, &bits) == size && bits == oracle(text) &&
	    vl_f32_from_decimal(array, size + sizeof(more) - 1, &array_bits) == size && array_bits == bits)
		return;
	if (wrong++ < 10)
		printf("# %.200s: 0x%08x, in an array 0x%08x, should be 0x%08x\n", text, bits, array_bits,
		       oracle(text));
}

static void test_grammar(void)
{
	static const struct {
		const char *text;
		size_t size;
		uint32_t bits;
	} cases[] = {
		{"0", 1, 0},
		{"-0", 2, 0x80000000},
		{"1", 1, 0x3f800000},
		{"-1.5", 4, 0xbfc00000},
		{"1.5e0", 5, 0x3fc00000},
		{"1E+2", 4, 0x42c80000},
		{"1e-2x", 4, 0x3c23d70a},
		{"0.1,", 3, 0x3dcccccd},
		{"1e999", 5, 0x7f800000},
		{"-1e999", 6, 0xff800000},
		{"1e-999", 6, 0},
		{"-1e-999", 7, 0x80000000},
		{"01", 1, 0},
		{"1.", 1, 0x3f800000},
		{"1.e5", 1, 0x3f800000},
		{"1e", 1, 0x3f800000},
		{"1e+", 1, 0x3f800000},
		{"1e-x", 1, 0x3f800000},
		{"-", 0, 0},
		{"", 0, 0},
		{"+1", 0, 0},
		{".5", 0, 0},
		{"-.5", 0, 0},
		{"e5", 0, 0},
		{"NaN", 0, 0},
		{"inf", 0, 0},
		{" 1", 0, 0},
		{"--1", 0, 0},
		{"0x10", 1, 0},
		{"1_000", 1, 0x3f800000},
		{"0e5", 3, 0},
		{"0.0e99999999999999999999999", 27, 0},
		{"1e99999999999999999999999", 25, 0x7f800000},
		{"1e-99999999999999999999999", 26, 0},
		{"1,5", 1, 0x3f800000},
		{"12345678", 8, 0x4b3c614e},
		{"0.12345678", 10, 0x3dfcd6e9},
	};
	unsigned bad = 0;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t bits = 0x5a5a5a5a;
		size_t size = vl_f32_from_decimal(cases[i].text, strlen(cases[i].text), &bits);

		if (size != cases[i].size || bits != (size == 0 ? 0x5a5a5a5a : cases[i].bits)) {
			printf("# %s: size %zu, bits 0x%08x\n", cases[i].text, size, bits);
			bad++;
		}
	}
	check(bad == 0, "the grammar of JSON numbers");
	for (size_t size = 0; size < 13; size++) {
		char *exact = malloc(size + 1);
		uint32_t bits;

		/* Nothing behind the text is read: it ends where memory ends. */
		memcpy(exact, "123456789.0123", size);
		exact = realloc(exact, size > 0 ? size : 1);
		bad += vl_f32_from_decimal(exact, size, &bits) != (size == 10 ? 9 : size);
		free(exact);
	}
	check(bad == 0, "a number ends at the end of the text");
}

/* The exact decimal expansion of the halfway point above a pattern, with a last digit changed by delta. */
static void compare_halfway(uint32_t bits, int delta, unsigned zeros, const char *tail)
{
	static char text[12000];
	float x;
	double halfway;
	size_t size;

	memcpy(&x, &bits, 4);
	bits++;
	{
		float next;

		memcpy(&next, &bits, 4);
		halfway = isinf(next) ? ldexp(0x1ffffff, 103) : ((double)x + next) / 2; /* exact in a double */
	}
	size = (size_t)snprintf(text, 400, "%.*e", 130, halfway);
	/* 130 places hold it exactly. Move the exponent behind what is added. */
	{
		char exponent[16];
		char *e = strchr(text, 'e');

		snprintf(exponent, sizeof(exponent), "%s", e);
		size = (size_t)(e - text);
		if (delta < 0) { /* just below: d000 becomes c999 */
			while (text[size - 1] == '0')
				size--;
			if (text[size - 1] == '.')
				text[size++] = '0';
			for (size_t i = size; i-- > 0;) {
				if (text[i] == '.')
					continue;
				if (text[i] != '0') {
					text[i]--;
					break;
				}
				text[i] = '9';
			}
			for (unsigned i = 0; i < zeros; i++)
				text[size++] = '9';
		} else {
			for (unsigned i = 0; i < zeros; i++)
				text[size++] = '0';
		}
		size += (size_t)snprintf(text + size, 40, "%s%s", tail, exponent);
	}
	compare(text);
}

static void test_halfway(void)
{
	uint64_t seed = 5;

	wrong = 0;
	for (unsigned i = 0; i < 6000; i++) {
		uint32_t bits = (uint32_t)check_random(&seed) & 0x7fffffff;

		if (i < 255)
			bits = i << 23; /* powers of two: the smallest, and even */
		else if (i < 510)
			bits = ((i - 255) << 23) + 0x7fffff;
		else if (i < 800)
			bits = i - 510; /* subnormals */
		else if (i == 800)
			bits = 0x7f7fffff; /* the largest */
		if (bits >= 0x7f800000)
			continue;
		compare_halfway(bits, 0, 0, "");
		compare_halfway(bits, 0, 7, "1");
		compare_halfway(bits, -1, 7, "");
		if (i % 50 == 0 || i == 800) {
			compare_halfway(bits, 0, 10000, "");
			compare_halfway(bits, 0, 10000, "1");
			compare_halfway(bits, -1, 10000, "");
		}
	}
	check(wrong == 0, "halfway points are rounded to even, and a ten-thousandth digit decides");
}

static void test_random(void)
{
	uint64_t seed = 6;
	char text[400];

	wrong = 0;
	for (unsigned i = 0; i < 400000; i++) {
		uint32_t bits = (uint32_t)check_random(&seed);
		float x;

		memcpy(&x, &bits, 4);
		if (isnan(x) || isinf(x))
			continue;
		snprintf(text, sizeof(text), "%.*e", (int)(i % 25), (double)x);
		compare(text);
	}
	check(wrong == 0, "all magnitudes, one to 25 digits");
	wrong = 0;
	for (unsigned i = 0; i < 400000; i++) {
		double x = (double)(int64_t)check_random(&seed) / 9223372036854775808.0;

		snprintf(text, sizeof(text), "%.*f", (int)(i % 30), i % 3 ? x : x * (i % 40000));
		compare(text);
	}
	check(wrong == 0, "numbers as embeddings have them");
	wrong = 0;
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t random = check_random(&seed);

		snprintf(text, sizeof(text), "%" PRIu64 "e%d", random >> i % 64, (int)(i % 140) - 80);
		compare(text);
	}
	check(wrong == 0, "integers with exponents, beyond both ends");
	wrong = 0;
	for (uint32_t i = 16777216 - 1000; i < 16777216 + 3000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		compare(text);
		snprintf(text, sizeof(text), "%u.5", i / 2);
		compare(text);
		snprintf(text, sizeof(text), "%u.50000000000000000000000000000001", i / 2);
		compare(text);
		snprintf(text, sizeof(text), "%u.4999999999999999999999999999999", i / 2);
		compare(text);
		snprintf(text, sizeof(text), "%u000e-3", i);
		compare(text);
	}
	check(wrong == 0, "integers at the end of exactness");
}

static void test_long(void)
{
	static char text[20010];
	static const unsigned counts[] = {19, 20, 21, 100, 119, 120, 121, 122, 1000, 10000};

	wrong = 0;
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned count = counts[i];

		for (char digit = '0'; digit <= '9'; digit++) {
			memset(text, digit, count);
			text[count] = '\0';
			if (digit != '0')
				compare(text);
			memcpy(text, "0.", 2);
			compare(text);
			memcpy(text, "3.", 2);
			compare(text);
			memset(text, '0', count); /* 0.000...0digit, brought back by its exponent */
			text[1] = '.';
			snprintf(text + count, 30, "%c5e%u", digit, count - 1);
			compare(text);
			memset(text, '0', count); /* digit000...0, brought back */
			text[0] = '7';
			snprintf(text + count, 30, ".%ce-%u", digit, count);
			compare(text);
		}
	}
	check(wrong == 0, "numbers of ten thousand digits");
	wrong = 0;
	compare("3.4028234663852886e38");
	compare("3.4028235677973366e38"); /* halfway to what would follow: infinity */
	compare("3.4028235677973365e38");
	compare("340282356779733661637539395458142568447");
	compare("340282356779733661637539395458142568448");
	compare("1.401298464324817e-45");
	compare("7.006492321624085e-46");
	compare("7.006492321624086e-46");
	compare("7.0064923216240853546186479164495806564013097093825788587853e-46");
	compare("7.0064923216240853546186479164495806564013097093825788587854e-46");
	compare("1.17549435e-38");
	compare("1.1754942807573643e-38");
	compare("1.1754942106924411e-38");
	compare("0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001e90");
	check(wrong == 0, "both ends of the range");
}

static bool parses_to(const char *text, uint64_t value)
{
	uint64_t out = 12345;

	return vl_u64_from_decimal(text, strlen(text), &out) && out == value;
}

static bool refuses(const char *text)
{
	uint64_t out = 12345;

	return !vl_u64_from_decimal(text, strlen(text), &out) && out == 12345;
}

static void test_u64(void)
{
	char out[VL_DECIMAL_SIZE];
	uint64_t seed = 7;
	unsigned bad = 0;

	check(parses_to("0", 0) && parses_to("007", 7) && parses_to("18446744073709551615", UINT64_MAX) &&
		      parses_to("00000000000000000000000000000018446744073709551615", UINT64_MAX),
	      "integers up to 2^64 - 1");
	check(refuses("") && refuses("-1") && refuses("+1") && refuses(" 1") && refuses("1 ") && refuses("1.0") &&
		      refuses("1e3") && refuses("0x1") && refuses("18446744073709551616") &&
		      refuses("28446744073709551615") && refuses("99999999999999999999999999") && refuses("/") &&
		      refuses(":") && refuses("\xb1"),
	      "what is no integer below 2^64 is refused");
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t value = i < 2 ? 0 - (uint64_t)i : check_random(&seed) >> i % 64;
		char expected[32];
		size_t size = vl_decimal_from_u64(value, out);

		snprintf(expected, sizeof(expected), "%" PRIu64, value);
		bad += strcmp(out, expected) != 0 || size != strlen(expected) || !parses_to(out, value);
	}
	check(bad == 0, "integers are written as printf writes them");
}

static void test_fixed(void)
{
	static const struct {
		uint64_t value;
		const char *text;
	} distances[] = {
		{0, "0"},
		{UINT64_C(1) << 32, "1"},
		{UINT64_C(3) << 31, "1.5"},
		{1, "0"}, /* 0.00000000023 */
		{2, "0"},
		{3, "0.000000001"},
		{4, "0.000000001"},
		{UINT64_C(0xffffffff), "1"}, /* 0.99999999977 */
		{UINT64_C(0xfffffffc), "0.999999999"},
		{UINT64_MAX, "4294967296"},
		{UINT64_MAX - 3, "4294967295.999999999"},
		{UINT64_C(0x8000000) * 10, "0.3125"},
	};
	char out[VL_DECIMAL_SIZE], expected[64];
	unsigned bad = 0;
	uint64_t seed = 8;

	for (unsigned i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
		size_t size = vl_decimal_from_q32(distances[i].value, out);

		if (strcmp(out, distances[i].text) != 0 || size != strlen(out)) {
			printf("# %s, should be %s\n", out, distances[i].text);
			bad++;
		}
	}
	check(bad == 0, "distances with nine places at most, halves up");
	bad = 0;
	for (unsigned i = 0; i < 200000; i++) {
		int32_t value = i < 4 ? (int32_t)(0x7fffffff + i) : (int32_t)check_random(&seed) >> i % 32;
		size_t size = vl_decimal_from_q16(value, out), digits;
		uint32_t bits;
		int32_t back = 0;

		digits = (size_t)snprintf(expected, sizeof(expected), "%.16f", value / 65536.0);
		while (expected[digits - 1] == '0')
			expected[--digits] = '\0';
		if (expected[digits - 1] == '.')
			expected[--digits] = '\0';
		bad += size != digits || strcmp(out, expected) != 0;
		/* A component of up to 24 bits comes back through binary32. */
		if (value > -16777216 && value < 16777216)
			bad += vl_f32_from_decimal(out, size, &bits) != size ||
			       vl_q16_from_f32(bits, &back) != VL_Q16_OK || back != value;
	}
	check(bad == 0, "components are written exactly");
}

/* ---- lists ---- */

enum { LIST_MAX = 600 };

/* One number of a list, or now and then what is none. */
static size_t put_element(char *out, uint64_t *seed)
{
	static const char *const odd[] = {
		"", "0", "-0", "7", "-12", "0.0", "-0.0", "1e-5", "2.5E3", "9e999", "-", ".5", "1.",
		"--0.5", "+0.5", "0.5x", "0.5 ", " 0.5", "nan", "01.5", "\"0.5\"", "0x1.5", "0.:", "0./",
		"0.1-", "0,", "1e", "0.1e+", "/.5", ":.5", "-,", "16777217", "0.50000", "]", "0.5]", "[1",
		"1.00", "9.875", "\xb0.5", "0.\xb1", "1.5\t", "\n2.5", "1.5\r", "0.5\xff",
	};
	unsigned kind = (unsigned)check_random(seed) % 1000;
	unsigned places = (unsigned)check_random(seed) % (kind % 3 == 0 ? 24 : 10) + 1;
	size_t size = 0;

	if (kind < 10) {
		const char *text = odd[check_random(seed) % (sizeof(odd) / sizeof(odd[0]))];

		size = strlen(text);
		memcpy(out, text, size);
		return size;
	}
	if (kind < 20) /* halfway between two binary32, and just beside */
		return (size_t)snprintf(out, 40, "%.*g", kind % 2 == 0 ? 17 : 12,
				       1.0 + (double)(2 * (check_random(seed) % 1000) + 1) / 16777216.0);
	if (check_random(seed) % 2 == 0)
		out[size++] = '-';
	out[size++] = (char)(check_random(seed) % 4 == 0 ? '0' + check_random(seed) % 10 : '0');
	out[size++] = '.';
	while (places-- > 0)
		out[size++] = (char)('0' + check_random(seed) % 10);
	return size;
}

/* Every kernel reads what the portable twin reads, and stops where it stops. */
static void test_lists(void)
{
	static char text[LIST_MAX * 64];
	static uint32_t expected[LIST_MAX + 1], found[LIST_MAX + 1];
	const struct vl_kernels *kernels;
	uint64_t seed = 77;
	unsigned bad = 0, long_ones = 0;

	for (unsigned round = 0; round < 4000; round++) {
		size_t size = 0, used, count, max = round % 7 == 0 ? check_random(&seed) % LIST_MAX : LIST_MAX;
		unsigned elements = (unsigned)check_random(&seed) % (round % 4 == 0 ? LIST_MAX : 40);
		bool spaced = check_random(&seed) % 2 == 0;
		char *exact;

		for (unsigned i = 0; i < elements; i++) {
			size += put_element(text + size, &seed);
			text[size++] = ',';
			if (spaced || check_random(&seed) % 500 == 0)
				text[size++] = ' ';
		}
		size += put_element(text + size, &seed);
		if (round % 2 == 0)
			text[size++] = ']';
		/* Nothing behind it is read, nor in front: it lies alone in memory. */
		exact = malloc(size);
		memcpy(exact, text, size);
		memset(expected, 0x5a, sizeof(expected));
		used = vl_f32s_from_decimals_portable(exact, size, max, expected, &count);
		long_ones += count > 100;
		for (size_t i = 0, from = 0; i < count; i++) {
			uint32_t bits;
			size_t one = vl_f32_from_decimal(exact + from, size - from, &bits);

			bad += one == 0 || exact[from + one] != ',' || bits != expected[i];
			from += one + 1;
			from += from < size && exact[from] == ' ';
			bad += i == count - 1 && from != used;
		}
		for (size_t k = 0; (kernels = vl_cpu_kernels_at(k)) != NULL; k++) {
			size_t kernel_count = 0;
			size_t kernel_used;

			memset(found, 0x5a, sizeof(found));
			kernel_used = kernels->f32s_from_decimals(exact, size, max, found, &kernel_count);
			if (kernel_used == used && kernel_count == count && memcmp(expected, found, 4 * count) == 0 &&
			    found[max] == 0x5a5a5a5a)
				continue;
			if (bad++ < 10)
				printf("# %s: %zu numbers in %zu bytes, should be %zu in %zu: %.200s\n", kernels->name,
				       kernel_count, kernel_used, count, used, exact);
		}
		free(exact);
	}
	check(bad == 0 && long_ones > 300, "lists of numbers, with every kernel as one by one");
}

int main(void)
{
	test_lists();
	test_grammar();
	test_random();
	test_halfway();
	test_long();
	test_u64();
	test_fixed();
	return check_done();
}
