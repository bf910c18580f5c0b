/* ivf_private.h - what training, growing and searching lists share. */
#ifndef VL_IVF_PRIVATE_H
#define VL_IVF_PRIVATE_H

#include "bytes.h"
#include "ivf.h"

enum {
	VL_IVF_LISTS_MIN = 16, /* automatic */
	VL_IVF_ROWS_MIN = 16,  /* per list that is asked for */
	VL_IVF_EF_MAX = 65536
};

/* The square root, rounded down. */
static inline uint32_t vl_ivf_root(uint32_t x)
{
	uint32_t root = 0;

	for (uint32_t bit = UINT32_C(1) << 15; bit != 0; bit >>= 1)
		if ((uint64_t)(root | bit) * (root | bit) <= x)
			root |= bit;
	return root;
}

/* How many lists training with so many rows makes. */
uint32_t vl_ivf_lists(uint32_t wanted, uint32_t rows);

/* For each of count codes (stride bytes each) the nearest of lists centroids, into assigned. */
void vl_ivf_assign(const struct vl_codes *codes, const uint8_t *centroids, uint32_t lists, const uint8_t *rows,
		   uint32_t count, const struct vl_workers *workers, uint32_t *assigned);

/* Centroids for these codes: lists * stride bytes, aligned to 64. OK or NO_MEMORY. */
valori_code vl_ivf_train(const struct vl_codes *codes, uint32_t lists, const struct vl_workers *workers,
			 uint8_t *centroids, valori_error *error);

#endif
