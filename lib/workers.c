/* workers.c - workers, or nobody. */
#include "workers.h"

size_t vl_workers_threads(const struct vl_workers *workers)
{
	return workers != NULL && workers->run != NULL && workers->threads > 1 ? workers->threads : 1;
}

void vl_workers_run(const struct vl_workers *workers, void (*task)(void *argument, size_t index), void *argument,
		    size_t count)
{
	if (workers != NULL && workers->run != NULL && count > 1) {
		workers->run(workers->context, task, argument, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		task(argument, i);
}
