/*
 * replica.h - a state that follows a log: commits, as they were read, are checked in full and applied.
 *
 * Recovery, replication and verification are this one loop: decode the events, hash their content, compare the events
 * root, apply, compare the state root. What the reader has checked (checksums, numbers, framing) is not checked
 * again; what is found here was therefore not done by an accident of the disk: the checksums are right, and the
 * content is not what it says.
 *
 * Small commits are kept until some hundred events are together, so that their content is hashed in lanes like that
 * of a large one.
 */
#ifndef VL_REPLICA_H
#define VL_REPLICA_H

#include "commit.h"
#include "commitment.h"
#include "requests.h"
#include "state.h"

struct vl_replica {
	const struct vl_env *env;
	uint32_t dim;
	bool is_blind; /* has no state: only what a commit says about itself is checked */
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_commitment commitment;
	struct vl_requests requests;
	uint64_t applied_height; /* events after the last commit that was checked */
	uint64_t applied_commits;
	uint64_t applied_time_ms;
	uint8_t root[VL_HASH_SIZE]; /* state root after it: computed, or when blind as the commit says */
	/* called after every commit that was found right */
	void (*applied)(void *context, const struct vl_commit *commit);
	void *context;
	struct vl_commit fault; /* the commit that was refused last; path and bytes not set */
	/* private to replica.c from here on */
	struct vl_buf kept, commits; /* bytes of commits that wait; struct vl_commit each */
	uint64_t kept_events;
	struct vl_buf path;
	struct vl_buf events, scratch, digests, commit_digests;
};

/* The empty state of dimension dim, before the first commit. flags: as vl_state_init. */
valori_code vl_replica_init(struct vl_replica *replica, const struct vl_env *env, uint32_t dim, uint32_t flags,
			    valori_error *error);
/* Without a state. */
void vl_replica_init_blind(struct vl_replica *replica, const struct vl_env *env, uint32_t dim);
void vl_replica_free(struct vl_replica *replica);
/*
 * Empty arrays in place of what there was, or of nothing, to which a snapshot can be attached; flags: as
 * vl_state_init. Nothing can be put until vl_replica_attached has said which moment that was.
 */
valori_code vl_replica_vacate(struct vl_replica *replica, uint32_t dim, uint32_t flags, valori_error *error);
void vl_replica_attached(struct vl_replica *replica, const struct vl_position *position);

/*
 * Takes in the next commit; it may be checked in a later call. MISMATCH: a commit is not what it says, error names
 * file, offset, event (and `fault` the commit); NEWER, NO_MEMORY. After a failure the replica is good for nothing but
 * freeing, unless it was in a bracket that is then aborted.
 */
valori_code vl_replica_put(struct vl_replica *replica, const struct vl_commit *commit, valori_error *error);
/* Checks and applies all that was put. */
valori_code vl_replica_flush(struct vl_replica *replica, valori_error *error);

/* The bracket of array.h around everything a replica has. Nothing may wait (flush first). */
void vl_replica_begin(struct vl_replica *replica);
void vl_replica_commit(struct vl_replica *replica);
void vl_replica_abort(struct vl_replica *replica);

#endif
