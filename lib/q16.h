/*
 * q16.h - Q16.16 components: conversion, the acceptance rule, and the exact squared distance.
 *
 * A component is an int32 with 16 fractional bits. A vector is dim components, stored as little-endian bytes, packed,
 * with no alignment promised; it is the same bytes in memory, in the log, in a snapshot and under a hash. No float
 * instruction is used anywhere: f32, f16 and f64 are bit patterns.
 *
 * Acceptance rule: the exact sum of squares of the raw components is below 2^62 (Euclidean norm below 32,768). For
 * two accepted vectors |a| and |b| are below 2^31, so every |a[i] - b[i]| fits in uint32 and the squared distance is
 * below 2^64: (|a| + |b|)^2 < (2 * 2^31)^2. No distance can overflow, saturate or wrap, in any order of addition.
 */
#ifndef VL_Q16_H
#define VL_Q16_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

#define VL_Q16_NORM_MAX (UINT64_C(1) << 62) /* the sum of squares stays below this */
#define VL_DIM_MAX 32768

enum vl_q16_fault { VL_Q16_OK, VL_Q16_NAN, VL_Q16_INFINITE, VL_Q16_RANGE, VL_Q16_NORM };

/* A fault in a few words for a message: "is not a number", "is infinite", "is out of range", ... */
const char *vl_q16_fault_text(enum vl_q16_fault fault);

/*
 * One IEEE binary32 bit pattern to Q16.16, rounded half away from zero: VL_Q16_OK, or NAN, INFINITE or RANGE (the
 * rounded value does not fit in int32) with *out untouched.
 */
enum vl_q16_fault vl_q16_from_f32(uint32_t bits, int32_t *out);

/* binary64 and binary16 bit patterns to the nearest binary32, ties to even; overflow gives the infinity. */
uint32_t vl_f32_from_f64(uint64_t bits);
uint32_t vl_f32_from_f16(uint16_t bits);

/*
 * The door: a row of dim binary32 (source, little-endian bytes) becomes dim components (target, little-endian bytes;
 * may not overlap) and is checked against the acceptance rule. On a fault *component is the index of the first
 * component at fault (for VL_Q16_NORM: at which the sum reaches the limit) and target is undefined.
 */
enum vl_q16_fault vl_q16_accept_f32(const struct vl_kernels *kernels, const uint8_t *source, size_t dim,
				    uint8_t *target, size_t *component);

/* The acceptance rule alone, for components that arrive as Q16.16. */
enum vl_q16_fault vl_q16_accept(const struct vl_kernels *kernels, const uint8_t *vector, size_t dim, size_t *component);

/* Exact squared L2 distance of two accepted vectors: Q32.32. */
static inline uint64_t vl_q16_l2(const struct vl_kernels *kernels, const uint8_t *a, const uint8_t *b, size_t dim)
{
	return kernels->q16_l2(a, b, dim);
}

/* Distances of one query to count vectors that lie packed one after the other. */
static inline void vl_q16_l2_rows(const struct vl_kernels *kernels, const uint8_t *query, const uint8_t *rows,
				  size_t count, size_t dim, uint64_t *out)
{
	kernels->q16_l2_rows(query, rows, count, dim, out);
}

/*
 * Distances of queries_count queries to count vectors, both packed, into out[queries_count][count]. From a few queries
 * on this is much less work than one query at a time: for searches that share a scan, some dozens of rows per call, so
 * that they are still in the nearest cache when the next queries come by.
 */
static inline void vl_q16_l2_block(const struct vl_kernels *kernels, const uint8_t *queries, size_t queries_count,
				   const uint8_t *rows, size_t count, size_t dim, uint64_t *out)
{
	kernels->q16_l2_block(queries, queries_count, rows, count, dim, out);
}

/*
 * For the kernels; dim is at most VL_DIM_MAX, nothing is aligned.
 *
 * q16_from_f32: converts a row and returns the sum of the squares; VL_Q16_NORM_MAX when a component has a fault or
 * the sum is not below it, with target undefined.
 *
 * q16_norm: the sum of squares, or VL_Q16_NORM_MAX when it is not below it.
 *
 * q16_l2: the sum of squared differences modulo 2^64: for accepted vectors the distance itself.
 *
 * q16_l2_rows: q16_l2 of query and each of count rows of dim components, into out[count].
 *
 * q16_l2_block: q16_l2_rows of each query, into out[queries_count][count].
 */
uint64_t vl_q16_from_f32_portable(const uint8_t *source, size_t dim, uint8_t *target);
uint64_t vl_q16_norm_portable(const uint8_t *vector, size_t dim);
uint64_t vl_q16_l2_portable(const uint8_t *a, const uint8_t *b, size_t dim);
void vl_q16_l2_rows_portable(const uint8_t *query, const uint8_t *rows, size_t count, size_t dim, uint64_t *out);
void vl_q16_l2_block_portable(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count,
			      size_t dim, uint64_t *out);

#endif
