/* workers.h - work that others may do at the same time. The core has no threads: who has some lends them. */
#ifndef VL_WORKERS_H
#define VL_WORKERS_H

#include <stddef.h>

/*
 * run calls task(argument, 0...count - 1), in any order and on any thread, each once, and returns when all are done.
 * NULL: one after the other.
 */
struct vl_workers {
	void (*run)(void *context, void (*task)(void *argument, size_t index), void *argument, size_t count);
	void *context;
	size_t threads; /* no more than these at once */
};

/* How many can work at once; workers may be NULL. At least 1. */
size_t vl_workers_threads(const struct vl_workers *workers);
/* Calls task(argument, 0...count - 1) with workers or without. */
void vl_workers_run(const struct vl_workers *workers, void (*task)(void *argument, size_t index), void *argument,
		    size_t count);

#endif
