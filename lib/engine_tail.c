/*
 * engine_tail.c - codes of the records behind the last round.
 *
 * Until the next round they are in no graph and in no list, and every search compares them. One or two searches read
 * their vectors; where many come, they are coded, once, with the quantiser of the round before them, and a search
 * reads a byte per component. Hits are the same, bit for bit, whichever of the two is done: only time depends on what
 * was asked before.
 */
#include "engine_private.h"

enum {
	ROWS_MIN = 64, /* fewer are no matter */
	ROWS_MAX = 2 * VL_ROUND_MAX,
	USES = 16 /* coding a record costs about as much as comparing it so many times */
};

static bool is_same_round(const struct vl_tail *tail, const struct vl_index *index)
{
	return tail->since == index->schedule.since && tail->boundary == index->schedule.boundary &&
	       tail->codes.quantiser.low == index->codes.quantiser.low &&
	       tail->codes.quantiser.step == index->codes.quantiser.step;
}

static void begin(struct vl_tail *tail, const struct vl_index *index)
{
	vl_codes_free(&tail->codes);
	vl_codes_init(&tail->codes, index->env, index->dim);
	tail->codes.quantiser = index->codes.quantiser;
	tail->since = index->schedule.since;
	tail->boundary = index->schedule.boundary;
	tail->slots = index->schedule.covered;
	tail->used = tail->publication = 0;
}

/*
 * Rows are of what was visible when they were made, and nothing is visible again that once was not. So they are good
 * for every version from that one on.
 */
uint64_t vl_engine_take_tail(const valori_view *view, size_t queries, struct vl_codes *out)
{
	const struct vl_index *index = &view->round->index;
	const struct vl_state *state = &vl_engine_version(view)->state;
	struct vl_tail *tail = &view->store->tail;
	uint64_t publication = view->frozen->publication, slots = vl_state_slots(state, VL_RECORDS),
		 last = index->schedule.covered + ROWS_MAX, taken = index->schedule.covered;

	last = last < slots ? last : slots;
	if (last < taken + ROWS_MIN || index->codes.count < VL_CODES_FIRST)
		return taken;
	pthread_mutex_lock(&tail->mutex);
	if (!is_same_round(tail, index) && publication >= tail->publication)
		begin(tail, index);
	if (is_same_round(tail, index) && publication >= tail->publication) {
		tail->used += (last - tail->slots) * queries;
		if (tail->slots < last && tail->used >= (last - tail->slots) * USES &&
		    vl_codes_extend(&tail->codes, state, tail->slots, last)) {
			tail->slots = last;
			tail->publication = publication;
			tail->used = 0;
		}
		if (tail->slots > taken)
			*out = vl_codes_share(&tail->codes);
		taken = tail->slots;
	}
	pthread_mutex_unlock(&tail->mutex);
	return taken;
}

void vl_engine_init_tail(valori *store)
{
	vl_codes_init(&store->tail.codes, store->env, 1);
	store->tail.boundary = VALORI_NONE;
	pthread_mutex_init(&store->tail.mutex, NULL);
}

void vl_engine_free_tail(valori *store)
{
	vl_codes_free(&store->tail.codes);
	pthread_mutex_destroy(&store->tail.mutex);
}
