/* host.c - the machine this process runs on. */
#include "host.h"

#include <pthread.h>
#include <stdlib.h>

#include "cpu.h"
#include "os.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct vl_env host;

static void *alloc(void *context, size_t size)
{
	(void)context;
	if (size > SIZE_MAX - 64)
		return NULL;
	return aligned_alloc(64, (size + 63) & ~(size_t)63);
}

static void release(void *context, void *memory, size_t size)
{
	(void)context;
	(void)size;
	free(memory);
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
