/* mapped.c - which file is mapped where: for the handler of SIGBUS. */
#include "mapped.h"

#include <stdatomic.h>
#include <string.h>

enum { FREE, BUSY, USED };

static struct {
	atomic_int state;
	uintptr_t first, end;
	char name[VL_MAPPED_NAME];
} table[VL_MAPPED_MAX];

void vl_mapped_add(const uint8_t *data, uint64_t size, const char *name)
{
	size_t length = strlen(name);

	if (length >= VL_MAPPED_NAME) {
		name += length - (VL_MAPPED_NAME - 1);
		length = VL_MAPPED_NAME - 1;
	}
	for (int i = 0; i < VL_MAPPED_MAX; i++) {
		int expected = FREE;

		if (!atomic_compare_exchange_strong(&table[i].state, &expected, BUSY))
			continue;
		table[i].first = (uintptr_t)data;
		table[i].end = (uintptr_t)data + (uintptr_t)size;
		memcpy(table[i].name, name, length + 1);
		atomic_store(&table[i].state, USED);
		return;
	}
}

void vl_mapped_remove(const uint8_t *data)
{
	for (int i = 0; i < VL_MAPPED_MAX; i++) {
		if (atomic_load(&table[i].state) == USED && table[i].first == (uintptr_t)data) {
			atomic_store(&table[i].state, FREE);
			return;
		}
	}
}

bool vl_mapped_name(const void *address, char out[VL_MAPPED_NAME])
{
	uintptr_t at = (uintptr_t)address;

	for (int i = 0; i < VL_MAPPED_MAX; i++) {
		if (atomic_load(&table[i].state) == USED && at >= table[i].first && at < table[i].end) {
			memcpy(out, table[i].name, VL_MAPPED_NAME);
			return true;
		}
	}
	return false;
}
