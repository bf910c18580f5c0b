/* host.c - the machine this process runs on. */
#include "host.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cpu.h"
#include "os.h"

/*
 * A state is hundreds of thousands of small blocks. They are cut from pieces that grow to the size of a large page, for
 * taking a page from the system costs more than filling it; given back they wait for the next of their size. Under a
 * sanitizer each is malloc's, so that it sees what is done to them.
 */
enum { STEP = 64, SMALL_MAX = 16 << 10, PIECE_FIRST = 64 << 10, PIECE_MAX = 2 << 20 };

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer) || HAS_FEATURE(memory_sanitizer)
#define SMALL_BLOCKS 0
#else
#define SMALL_BLOCKS 1
#endif

struct idle {
	struct idle *next;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct vl_env host;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct idle *idle[SMALL_MAX / STEP + 1]; /* by size */
static uint8_t *piece;				/* what is left of the last one */
static size_t piece_left, piece_size;

/* [lock] size is a multiple of STEP. */
static void *cut(size_t size)
{
	void *block = idle[size / STEP];

	if (block != NULL) {
		idle[size / STEP] = idle[size / STEP]->next;
		return block;
	}
	if (piece_left < size) {
		size_t larger = piece_size == 0 ? PIECE_FIRST : piece_size < PIECE_MAX ? 2 * piece_size : PIECE_MAX;
		uint8_t *next = aligned_alloc(larger < PIECE_MAX ? STEP : PIECE_MAX, larger);

		if (next == NULL)
			return NULL;
		vl_os_expect(next, larger);
		piece = next;
		piece_left = piece_size = larger;
	}
	block = piece;
	piece += size;
	piece_left -= size;
	return block;
}

static size_t round_up(size_t size)
{
	return size == 0 ? STEP : (size + STEP - 1) & ~(size_t)(STEP - 1);
}

enum { HUGE_PAGE = 2 << 20 };

/* Much memory in huge pages, where the system has them to offer: a scan of codes takes a third less time. */
static void *take_much(size_t size)
{
	void *memory;

	if (size > SIZE_MAX - HUGE_PAGE)
		return NULL;
	size = (size + HUGE_PAGE - 1) & ~((size_t)HUGE_PAGE - 1);
	memory = aligned_alloc(HUGE_PAGE, size);
	if (memory != NULL)
		madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

static void *alloc(void *context, size_t size)
{
	void *block;

	(void)context;
	if (size > SIZE_MAX - STEP)
		return NULL;
	size = round_up(size);
	if (size >= 2 * (size_t)HUGE_PAGE)
		return take_much(size);
	if (!SMALL_BLOCKS || size > SMALL_MAX)
		return aligned_alloc(STEP, size);
	pthread_mutex_lock(&lock);
	block = cut(size);
	pthread_mutex_unlock(&lock);
	return block;
}

static void release(void *context, void *memory, size_t size)
{
	struct idle *block = memory;

	(void)context;
	size = round_up(size);
	if (!SMALL_BLOCKS || size > SMALL_MAX) {
		free(memory);
		return;
	}
	if (block == NULL)
		return;
	pthread_mutex_lock(&lock);
	block->next = idle[size / STEP];
	idle[size / STEP] = block;
	pthread_mutex_unlock(&lock);
}

static void choose(void)
{
	host.alloc = alloc;
	host.release = release;
	host.kernels = vl_cpu_kernels(vl_os_variable("VALORI_CPU"));
	/* A set that this processor does not have is no reason to stop: valori_cpu() says what is in use. */
	if (host.kernels == NULL)
		host.kernels = vl_cpu_kernels(NULL);
}

const struct vl_env *vl_host_env(void)
{
	pthread_once(&once, choose);
	return &host;
}
