/*
 * hasher.h - a thread that hashes what its owner is busy with otherwise: writes it, or hashes something else.
 *
 *	struct vl_hasher hasher;
 *
 *	vl_hasher_start(&hasher);
 *	vl_hasher_update(&hasher, &hash, data, size);
 *	... write data ...
 *	vl_hasher_wait(&hasher);
 *	vl_hasher_stop(&hasher);
 *
 * The digest is the one that hashing on the spot gives. Where no thread is to be had, the owner's own does it.
 */
#ifndef VL_HASHER_H
#define VL_HASHER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "blake3.h"

struct vl_hasher { /* stays where it is while started */
	pthread_t thread;
	sem_t given, done;
	bool is_running, is_busy, is_ending;
	struct vl_blake3 *hash;
	const uint8_t *data;
	size_t size;
};

void vl_hasher_start(struct vl_hasher *hasher);
void vl_hasher_stop(struct vl_hasher *hasher);
/* Adds data to hash. Neither may be touched before vl_hasher_wait; what was given before is waited for. */
void vl_hasher_update(struct vl_hasher *hasher, struct vl_blake3 *hash, const uint8_t *data, size_t size);
void vl_hasher_wait(struct vl_hasher *hasher);

#endif
