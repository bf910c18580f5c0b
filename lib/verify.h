/*
 * verify.h - verifying on a given machine: what valori_verify does on the real one.
 */
#ifndef VL_VERIFY_H
#define VL_VERIFY_H

#include "env.h"
#include "os.h"
#include "valori.h"

/* valori_verify on another machine: the crash simulator, fault injection. */
valori_code vl_verify(const struct vl_env *env, const struct vl_os *os, const valori_verify_options *options,
		      valori_verify_report *out, valori_error *error);

#endif
