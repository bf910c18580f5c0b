/* cpu.c - asks the processor what it can do. */
#include "cpu.h"

#include <string.h>

#include "kernels.h"

const struct vl_kernels *vl_cpu_kernels_at(size_t index)
{
	return index == 0 ? &vl_kernels_portable : NULL;
}

const struct vl_kernels *vl_cpu_kernels(const char *name)
{
	const struct vl_kernels *kernels;

	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++)
		if (name == NULL || strcmp(name, kernels->name) == 0)
			return kernels;
	return NULL;
}
