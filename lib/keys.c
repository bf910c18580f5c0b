/* keys.c - quicksort, which gives up for heapsort where its pivots turn out badly too often. */
#include "keys.h"

enum {
	FEW = 32, /* keys that are sorted by insertion */
	BAD = 48  /* partings that may be of no use */
};

static void sink(uint64_t *keys, size_t count, size_t index)
{
	uint64_t key = keys[index];

	for (size_t child; (child = 2 * index + 1) < count; index = child) {
		if (child + 1 < count && keys[child + 1] > keys[child])
			child++;
		if (keys[child] <= key)
			break;
		keys[index] = keys[child];
	}
	keys[index] = key;
}

static void sort_heap(uint64_t *keys, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sink(keys, count, i);
	while (count-- > 1) {
		uint64_t last = keys[count];

		keys[count] = keys[0];
		keys[0] = last;
		sink(keys, count, 0);
	}
}

static void sort_few(uint64_t *keys, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint64_t key = keys[i];
		size_t at = i;

		for (; at > 0 && keys[at - 1] > key; at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* Parts count > FEW keys: those before the returned place are not above those from there on; neither is empty. */
static size_t part(uint64_t *keys, size_t count)
{
	uint64_t a = keys[0], b = keys[count / 2], c = keys[count - 1], pivot;
	size_t low = 0, high = count - 1;

	pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
	for (;; low++, high--) {
		uint64_t key;

		while (keys[low] < pivot)
			low++;
		while (keys[high] > pivot)
			high--;
		if (low >= high)
			return low > 0 ? low : 1;
		key = keys[low];
		keys[low] = keys[high];
		keys[high] = key;
	}
}

void vl_keys_choose(uint64_t *keys, size_t count, size_t wanted)
{
	for (unsigned bad = 0; count > FEW && wanted < count; bad++) {
		size_t place;

		if (bad == BAD) {
			sort_heap(keys, count);
			return;
		}
		place = part(keys, count);
		if (wanted <= place) {
			count = place;
		} else {
			keys += place;
			count -= place;
			wanted -= place;
		}
	}
	if (wanted < count)
		sort_few(keys, count);
}

static void sort(uint64_t *keys, size_t count, unsigned depth)
{
	while (count > FEW) {
		size_t place;

		if (depth-- == 0) {
			sort_heap(keys, count);
			return;
		}
		place = part(keys, count);
		sort(keys + place, count - place, depth);
		count = place;
	}
	sort_few(keys, count);
}

void vl_keys_sort(uint64_t *keys, size_t count)
{
	sort(keys, count, BAD);
}
