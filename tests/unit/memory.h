/*
 * memory.h - an environment for tests: memory that is counted, checked and runs out when told to.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "env.h"

struct memory {
	struct vl_env env;
	uint64_t calls;   /* allocations asked for */
	uint64_t fail_at; /* the allocation with this number (from 1) fails; 0: none */
	int is_once;	  /* 0: and so do all after it */
	int64_t blocks;   /* given out and not yet given back */
	int64_t bytes;
	uint64_t wrong; /* blocks given back with another size than they were asked with */
};

static void *memory_alloc(void *context, size_t size)
{
	struct memory *memory = context;
	uint8_t *block;

	memory->calls++;
	if (memory->fail_at != 0 &&
	    (memory->is_once ? memory->calls == memory->fail_at : memory->calls >= memory->fail_at))
		return NULL;
	block = aligned_alloc(64, 64 + ((size + 63) & ~(size_t)63));
	if (block == NULL)
		return NULL;
	memcpy(block, &size, sizeof(size));
	memset(block + 64, 0xa5, size); /* contents are undefined: nobody may count on zeros */
	memory->blocks++;
	memory->bytes += (int64_t)size;
	return block + 64;
}

static void memory_release(void *context, void *address, size_t size)
{
	struct memory *memory = context;
	uint8_t *block = (uint8_t *)address - 64;
	size_t asked;

	memcpy(&asked, block, sizeof(asked));
	memory->wrong += asked != size;
	memory->blocks--;
	memory->bytes -= (int64_t)asked;
	memset(address, 0x5a, asked); /* nobody may read on */
	free(block);
}

__attribute__((unused)) static void memory_init(struct memory *memory, const struct vl_kernels *kernels)
{
	memset(memory, 0, sizeof(*memory));
	memory->env.alloc = memory_alloc;
	memory->env.release = memory_release;
	memory->env.context = memory;
	memory->env.kernels = kernels;
}

#endif
