/*
 * host.h - the machine this process runs on, as the pure core wants to see it: memory and the kernels of its processor.
 */
#ifndef VL_HOST_H
#define VL_HOST_H

#include "env.h"

/*
 * One environment for the whole process: memory, of which small blocks stay with it, and the fastest kernels of this
 * processor, or those that VALORI_CPU in the environment names when the processor has them. Chosen at the first call,
 * the same ever after. [any]
 */
const struct vl_env *vl_host_env(void);

#endif
