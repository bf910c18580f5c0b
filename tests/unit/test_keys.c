/* test_keys.c - keys in order, and the smallest first, whatever they are. */
#include "check.h"
#include "keys.h"

enum { MOST = 5000, SHAPES = 7 };

/* Keys as they come in practice and at their worst: any, few values, all equal, up, down, a roof, nearly in order. */
static void fill(uint64_t *keys, size_t count, unsigned shape, uint64_t *seed)
{
	for (size_t i = 0; i < count; i++) {
		const uint64_t shapes[SHAPES] = {check_random(seed),
						 check_random(seed) % 5,
						 UINT64_MAX,
						 i,
						 count - i,
						 i < count / 2 ? i : count - i,
						 i + check_random(seed) % 3};

		keys[i] = shapes[shape];
	}
}

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

/* The killer of quicksort by the median of three: this many keys need heapsort's help. */
static void fill_against_median(uint64_t *keys, size_t count)
{
	size_t half = count / 2;

	for (size_t i = 0; i < half; i++) {
		keys[i] = i % 2 == 0 ? i + 1 : half + i + (half % 2 == 0);
		keys[half + i] = 2 * (i + 1);
	}
}

int main(void)
{
	static uint64_t keys[MOST], sorted[MOST], given[MOST];
	uint64_t seed = 1;

	for (unsigned shape = 0; shape <= SHAPES; shape++) {
		bool is_sorted = true, is_chosen = true;

		for (size_t count = 0; count <= MOST; count = count < 70 ? count + 1 : count * 3) {
			if (shape < SHAPES)
				fill(given, count, shape, &seed);
			else
				fill_against_median(given, count);
			memcpy(sorted, given, count * sizeof(*keys));
			qsort(sorted, count, sizeof(*keys), compare);
			memcpy(keys, given, count * sizeof(*keys));
			vl_keys_sort(keys, count);
			is_sorted &= memcmp(keys, sorted, count * sizeof(*keys)) == 0;
			for (size_t wanted = 0; wanted <= count; wanted += count / 7 + 1) {
				memcpy(keys, given, count * sizeof(*keys));
				vl_keys_choose(keys, count, wanted);
				qsort(keys, wanted, sizeof(*keys), compare);
				is_chosen &= memcmp(keys, sorted, wanted * sizeof(*keys)) == 0;
				qsort(keys, count, sizeof(*keys), compare);
				is_chosen &= memcmp(keys, sorted, count * sizeof(*keys)) == 0;
			}
		}
		check(is_sorted, "keys of shape %u are sorted", shape);
		check(is_chosen, "and the smallest of shape %u found", shape);
	}
	return check_done();
}
