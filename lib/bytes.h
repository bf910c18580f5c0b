/*
 * bytes.h - little-endian numbers in byte strings.
 *
 * Everything that reaches a disk, a wire or a hash is put and got here, by name, so that the layout is the
 * same on every machine: no struct is ever written, no pointer is ever cast. Compilers turn each call into
 * one load or store.
 */
#ifndef VL_BYTES_H
#define VL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t vl_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t vl_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t vl_get64(const uint8_t *p)
{
	return vl_get32(p) | (uint64_t)vl_get32(p + 4) << 32;
}

static inline void vl_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static inline void vl_put32(uint8_t *p, uint32_t value)
{
	vl_put16(p, (uint16_t)value);
	vl_put16(p + 2, (uint16_t)(value >> 16));
}

static inline void vl_put64(uint8_t *p, uint64_t value)
{
	vl_put32(p, (uint32_t)value);
	vl_put32(p + 4, (uint32_t)(value >> 32));
}

/* Rounds a size up to a multiple of 8: the alignment of every event and commit. */
static inline uint64_t vl_pad8(uint64_t size)
{
	return (size + 7) & ~UINT64_C(7);
}

/* True when all bytes are zero: what the formats demand of every unused byte. */
static inline bool vl_is_zero(const uint8_t *p, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= p[i];
	return any == 0;
}

#endif
