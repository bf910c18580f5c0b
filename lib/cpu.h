/*
 * cpu.h - which kernels this machine can run: the one place that asks the processor.
 */
#ifndef VL_CPU_H
#define VL_CPU_H

#include "env.h"

/*
 * The fastest set this processor runs; name (may be NULL) asks for a certain one. NULL when name is unknown or this
 * processor cannot run it. [any]
 */
const struct vl_kernels *vl_cpu_kernels(const char *name);

/* The set with the given index, NULL behind the last: all that this build has and this processor runs. For tests. */
const struct vl_kernels *vl_cpu_kernels_at(size_t index);

#endif
