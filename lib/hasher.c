/* hasher.c - a thread that hashes what its owner is busy with otherwise. */
#include "hasher.h"

#include <errno.h>
#include <signal.h>

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0 && errno == EINTR)
		;
}

static void *run(void *context)
{
	struct vl_hasher *hasher = context;

	for (;;) {
		wait_for(&hasher->given);
		if (hasher->is_ending)
			return NULL;
		vl_blake3_update(hasher->hash, hasher->data, hasher->size);
		sem_post(&hasher->done);
	}
}

void vl_hasher_start(struct vl_hasher *hasher)
{
	sigset_t all, before;

	*hasher = (struct vl_hasher){.is_running = false};
	sem_init(&hasher->given, 0, 0);
	sem_init(&hasher->done, 0, 0);
	/* Signals are for other threads, but for what this one may do wrong itself: read a mapping that was cut. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	hasher->is_running = pthread_create(&hasher->thread, NULL, run, hasher) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void vl_hasher_stop(struct vl_hasher *hasher)
{
	vl_hasher_wait(hasher);
	if (hasher->is_running) {
		hasher->is_ending = true;
		sem_post(&hasher->given);
		pthread_join(hasher->thread, NULL);
	}
	sem_destroy(&hasher->given);
	sem_destroy(&hasher->done);
}

void vl_hasher_update(struct vl_hasher *hasher, struct vl_blake3 *hash, const uint8_t *data, size_t size)
{
	vl_hasher_wait(hasher);
	if (!hasher->is_running) {
		vl_blake3_update(hash, data, size);
		return;
	}
	hasher->hash = hash;
	hasher->data = data;
	hasher->size = size;
	hasher->is_busy = true;
	sem_post(&hasher->given);
}

void vl_hasher_wait(struct vl_hasher *hasher)
{
	if (hasher->is_busy)
		wait_for(&hasher->done);
	hasher->is_busy = false;
}
