/*
 * keys.h - arrays of u64 in order: distances above row numbers, and the like.
 *
 * Whatever the keys are it takes count log count, and no memory.
 */
#ifndef VL_KEYS_H
#define VL_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* Ascending. */
void vl_keys_sort(uint64_t *keys, size_t count);
/* So that the first wanted keys are the smallest, in any order. */
void vl_keys_choose(uint64_t *keys, size_t count, size_t wanted);

#endif
