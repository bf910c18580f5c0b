/* f32.h - a scan of floats as a good library does it: four sums, so that additions do not wait for each other. */
#ifndef F32_H
#define F32_H

#include <stddef.h>

/* The squared distance of the nearest of count rows. */
float f32_scan(const float *rows, size_t count, size_t dim, const float *query);

#endif
