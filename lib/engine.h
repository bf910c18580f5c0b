/*
 * engine.h - an open store: one writer's state, the log behind it, frozen versions beside it.
 *
 * Stage, append, sync, publish, answer, in that order. Whoever commits first leads: it takes all batches that wait,
 * stages each against the state that the one before left, appends their bytes with one write, syncs once, publishes
 * once. If the write or the sync fails, the bracket of the whole group is undone: what nobody was told does not
 * exist. Readers hold versions frozen at a publication and take no lock.
 */
#ifndef VL_ENGINE_H
#define VL_ENGINE_H

#include "replica.h"
#include "snapshot.h"

/* valori_open on another machine: the crash simulator, fault injection. os and env outlive the store. */
valori_code vl_engine_open(const valori_options *options, const struct vl_os *os, const struct vl_env *env,
			   valori **out, valori_error *error);

/* What a view shows: all that a snapshot of it needs. */
struct vl_version {
	const struct vl_env *env;
	const struct vl_os *os;
	struct vl_position position;
	struct vl_state state; /* frozen copies */
	struct vl_commitment commitment;
	struct vl_requests requests;
};
const struct vl_version *vl_engine_version(const valori_view *view);

/*
 * valori_replicate: one whole commit of the log whose base is given. tree_root is that log's after the commit.
 */
valori_code vl_engine_replicate(valori *store, const struct vl_position *base, const valori_commit_view *commit,
				int *out_new, valori_error *error);

#endif
