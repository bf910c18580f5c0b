/*
 * foreign.h - files of the Rust system on this machine: found, mapped, read by upstream.h.
 */
#ifndef VL_FOREIGN_H
#define VL_FOREIGN_H

#include "os.h"
#include "upstream.h"

/* valori_upstream_open on another machine. env and os outlive it. */
valori_code vl_foreign_open(const struct vl_env *env, const struct vl_os *os, const char *const *paths, size_t count,
			    const char *archive, valori_upstream **out, valori_error *error);

#endif
