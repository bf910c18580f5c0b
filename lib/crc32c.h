/*
 * crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds accidents, proves nothing.
 */
#ifndef VL_CRC32C_H
#define VL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

/* CRC of data, continuing from crc (0 at the start). */
static inline uint32_t vl_crc32c(const struct vl_kernels *kernels, uint32_t crc, const void *data, size_t size)
{
	return kernels->crc32c(crc, data, size);
}

/* For the kernels. crc32c: as vl_crc32c. */
uint32_t vl_crc32c_portable(uint32_t crc, const uint8_t *data, size_t size);

#endif
