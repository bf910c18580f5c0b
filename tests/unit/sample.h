/*
 * sample.h - a state with a history, for tests of what is done to states: events of every kind, by a seed.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "commitment.h"
#include "log.h"
#include "requests.h"
#include "state.h"

struct sample {
	const struct vl_env *env;
	uint64_t seed;
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_commitment commitment;
	struct vl_requests requests;
	struct vl_position position;
	uint64_t refused; /* events that could not be applied: they leave no trace */
	/* Called with each commit, as a log has it, and the position after it. */
	void (*append)(void *context, const uint8_t *bytes, uint64_t size,
		       const struct vl_position *position);
	void *context;
	struct vl_buf events, digests, table; /* of the commit that is being made */
	uint32_t event_count, request_count;
};

/* An empty one of a log whose id is made of seed. Exits when it cannot be made. */
void sample_init(struct sample *sample, const struct vl_env *env, uint32_t dim, uint64_t seed);
void sample_free(struct sample *sample);
/* commits more commits, each of so many events that are tried. */
void sample_grow(struct sample *sample, unsigned commits, unsigned events);
/* One commit of records that are inserted, without keys: for large ones. */
void sample_insert(struct sample *sample, unsigned records);
/* Applies one event; its digests are computed here. False: it was refused. */
bool sample_apply(struct sample *sample, struct vl_event *event);
/* Gives the event that was applied last a request id; object is what it made or touched. */
void sample_request(struct sample *sample, const uint8_t id[VL_REQUEST_ID], uint64_t object);
/* The bracket of a commit. One without events is none. */
void sample_begin(struct sample *sample);
void sample_commit(struct sample *sample);
void sample_abort(struct sample *sample);

#endif
