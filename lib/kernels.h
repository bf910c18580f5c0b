/*
 * kernels.h - the kernel sets of this build, and what they lend each other.
 *
 * One file per instruction set, kernels_ISA.c, each compiled to nothing on other processors. Functions carry their
 * target as an attribute, so that no file needs flags of its own and nothing outside them can come to use an
 * instruction that the processor may lack.
 */
#ifndef VL_KERNELS_H
#define VL_KERNELS_H

#include "blake3.h"
#include "crc32c.h"
#include "env.h"
#include "q16.h"
#include "sha256.h"

#endif
