/* vectors.h - sets of vectors for benchmarks: read from a folder or made from a seed, with exact answers. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>

#include "env.h"

enum { VECTORS_K = 10 };

/* All as raw Q16.16, little-endian, vectors behind each other, aligned to 64. */
struct vectors {
	char name[64];
	uint32_t dim, count, queries_count;
	uint8_t *base, *queries;
	uint32_t *answers; /* VECTORS_K per query, nearest first, ties by number */
};

/*
 * base.bvecs, query.bvecs and gt.ivecs of a folder, the first count of them (0: all; else the answers are
 * computed). Ends the program with a message when that cannot be.
 */
void vectors_read(struct vectors *vectors, const struct vl_env *env, const char *folder, uint32_t count);
/*
 * Made: clusters of clusters, so that they are as hard as real ones are. bytes: components 0...255 (like SIFT);
 * else of length 1 (like embeddings).
 */
void vectors_make(struct vectors *vectors, const struct vl_env *env, uint32_t count, uint32_t dim,
		  uint32_t queries_count, int bytes);
void vectors_free(struct vectors *vectors);
/* As .fvecs, for programs that know floats. */
void vectors_write(const uint8_t *vectors, uint32_t count, uint32_t dim, const char *path);

#endif
