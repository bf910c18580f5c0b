/*
 * hnsw_repair.c - a graph without the rows that are gone.
 *
 * A list that lost nobody is copied. Another one is chosen anew, from what is left of it and from the rows that
 * the lost ones led to: over one lost row, and over further ones where that gives too few. Each list depends on
 * the old graph only, so any thread may make it.
 */
#include "err.h"
#include "hnsw_private.h"
#include "keys.h"

enum {
	ROWS_TOGETHER = 64, /* done by one thread at a time */
	FILL = 3,	    /* quarters of a list that are filled with the nearest when fewer were chosen */
	LOST_MAX = 512,	    /* lost rows that are looked through for one list, beyond its own */
	ENOUGH = 2	    /* candidates, times the length of the list: then the search ends with the ring */
};

struct mender {
	uint64_t *seen; /* a bit per old row, all zero between lists */
	uint32_t *lost, *found, *distances;
	uint64_t *keys, *kept;
	struct vl_room rooms[2];
};

struct repair {
	const struct vl_hnsw *old;
	struct vl_hnsw graph;
	const struct vl_codes *codes;
	const uint32_t *renumbered;
	uint32_t *numbers; /* of each new row: its old number */
	struct mender *menders;
	size_t menders_count, found_max;
	struct vl_room room;
	uint32_t taken; /* atomic */
};

/* ---- one list ---- */

static bool see(struct mender *mender, uint32_t row)
{
	uint64_t bit = UINT64_C(1) << row % 64, word = mender->seen[row / 64];

	mender->seen[row / 64] = word | bit;
	return (word & bit) == 0;
}

struct search {
	uint32_t lost, found, left; /* left: the first of those found, which its own list leads to */
};

/* What a row of the old graph leads to, sorted into lost and found. */
static void look_through(const struct repair *repair, struct mender *mender, struct search *search, uint32_t row,
			 uint32_t layer)
{
	uint32_t max, other;
	const uint8_t *links = vl_hnsw_links(repair->old, layer, row, &max);

	for (uint32_t i = 0; i < max && (other = vl_get32(links + 4 * i)) < repair->old->count; i++) {
		if (repair->renumbered[other] == VL_ROW_GONE) {
			if (search->lost < LOST_MAX && see(mender, other))
				mender->lost[search->lost++] = other;
		} else if (search->found < repair->found_max && see(mender, other)) {
			mender->found[search->found++] = other;
		}
	}
}

static struct search search_candidates(const struct repair *repair, struct mender *mender, uint32_t row, uint32_t layer,
				       uint32_t max)
{
	struct search search = {0, 0, 0};
	uint32_t ring = 0, next = 0;

	see(mender, row);
	look_through(repair, mender, &search, row, layer);
	search.left = search.found;
	while (next < search.lost) {
		/* A ring is looked through to its end: which of its rows come first says little. */
		if (next == ring) {
			if (next > 0 && search.found >= ENOUGH * max)
				break;
			ring = search.lost;
		}
		look_through(repair, mender, &search, mender->lost[next++], layer);
	}
	mender->seen[row / 64] = 0;
	for (uint32_t i = 0; i < search.lost; i++)
		mender->seen[mender->lost[i] / 64] = 0;
	for (uint32_t i = 0; i < search.found; i++)
		mender->seen[mender->found[i] / 64] = 0;
	return search;
}

/*
 * What is left of a list stays: some of it was never chosen, but came from the other side, and searches live on
 * that too.
 */
static void mend_list(const struct repair *repair, struct mender *mender, uint32_t row, uint32_t layer)
{
	const struct vl_codes *codes = repair->codes;
	uint32_t max, old_max, count = 0, old_row = repair->numbers[row], other;
	uint8_t *links = vl_hnsw_links(&repair->graph, layer, row, &max);
	const uint8_t *old_links = vl_hnsw_links(repair->old, layer, old_row, &old_max);
	struct search search;
	bool is_whole = true;

	for (uint32_t i = 0; i < old_max && (other = vl_get32(old_links + 4 * i)) < repair->old->count; i++)
		if (repair->renumbered[other] != VL_ROW_GONE)
			vl_put32(links + 4 * count++, repair->renumbered[other]);
		else
			is_whole = false;
	if (is_whole)
		return;
	search = search_candidates(repair, mender, old_row, layer, max);
	for (uint32_t i = 0; i < search.found; i++)
		mender->found[i] = repair->renumbered[mender->found[i]];
	codes->env->kernels->code_l2_gather(vl_codes_row(codes, row), codes->rows.data, mender->found, search.found,
					    codes->stride, mender->distances);
	for (uint32_t i = search.left; i < search.found; i++)
		mender->keys[i] = vl_walk_key(mender->distances[i], mender->found[i]);
	vl_keys_sort(mender->keys + search.left, search.found - search.left);
	/* Those that are left are the first of found already, and stay there. */
	count = vl_hnsw_choose(codes, mender->keys + search.left, search.found - search.left, max, mender->kept,
			       mender->found, search.left);
	/* Rows that few lead to any more are found again only where lists are longer than the heuristic wants them. */
	for (uint32_t i = search.left; i < search.found && count < max * FILL / 4; i++) {
		uint32_t candidate = vl_walk_row(mender->keys[i]);
		bool is_new = true;

		for (uint32_t j = search.left; j < count; j++)
			is_new &= mender->found[j] != candidate;
		if (is_new)
			mender->found[count++] = candidate;
	}
	for (uint32_t i = 0; i < count; i++)
		vl_put32(links + 4 * i, mender->found[i]);
}

static void mend_rows(void *argument, size_t index)
{
	struct repair *repair = argument;

	for (;;) {
		uint64_t first = (uint64_t)__atomic_fetch_add(&repair->taken, 1, __ATOMIC_RELAXED) * ROWS_TOGETHER;
		uint64_t last = first + ROWS_TOGETHER;

		if (first >= repair->graph.count)
			return;
		last = last < repair->graph.count ? last : repair->graph.count;
		for (uint32_t row = (uint32_t)first; row < last; row++)
			for (uint32_t layer = 0; layer <= vl_hnsw_level(&repair->graph, row); layer++)
				mend_list(repair, &repair->menders[index], row, layer);
	}
}

/* ---- the whole ---- */

/* The rows that stay, with their levels and empty links. */
static bool begin_graph(struct repair *repair)
{
	const struct vl_hnsw *old = repair->old;
	struct vl_hnsw *graph = &repair->graph;
	uint64_t m = old->parameters.m, above = 0, capacity;
	uint32_t count = 0;

	vl_hnsw_init(graph, old->env, &old->parameters);
	if (!vl_room_reserve(&repair->room, old->env, (uint64_t)old->count * 4, NULL))
		return false;
	repair->numbers = repair->room.data;
	for (uint32_t row = 0; row < old->count; row++)
		if (repair->renumbered[row] != VL_ROW_GONE) {
			repair->numbers[count++] = row;
			above += vl_hnsw_level(old, row);
		}
	graph->count = count;
	graph->above_count = (uint32_t)above;
	capacity = repair->codes->capacity > count ? repair->codes->capacity : count;
	if (count == 0)
		return true;
	if (capacity * 8 * m > SIZE_MAX || !vl_block_new(&graph->links, old->env, (size_t)(capacity * 8 * m)) ||
	    !vl_block_new(&graph->levels, old->env, (size_t)capacity) ||
	    !vl_block_new(&graph->upper, old->env, (size_t)(capacity * 4)) ||
	    (above > 0 && !vl_block_new(&graph->above, old->env, (size_t)((above + above / 4) * 4 * m))))
		return false;
	memset(graph->links.data, 0xff, (size_t)(count * 8 * m));
	if (above > 0)
		memset(graph->above.data, 0xff, (size_t)(above * 4 * m));
	above = 0;
	for (uint32_t row = 0; row < count; row++) {
		uint8_t level = vl_hnsw_level(old, repair->numbers[row]);

		((uint8_t *)graph->levels.data)[row] = level;
		vl_put32((uint8_t *)graph->upper.data + (size_t)row * 4, level > 0 ? (uint32_t)above : VL_HNSW_NONE);
		above += level;
		if (row == 0 || level > graph->top) {
			graph->entry = row;
			graph->top = level;
		}
	}
	return true;
}

static bool begin_mender(struct mender *mender, const struct repair *repair)
{
	const struct vl_env *env = repair->old->env;
	size_t found = repair->found_max, m = repair->old->parameters.m;
	bool grew = false;

	if (!vl_room_reserve(&mender->rooms[0], env, ((uint64_t)repair->old->count + 63) / 64 * 8, &grew) ||
	    !vl_room_reserve(&mender->rooms[1], env, found * 16 + 2 * m * 8 + LOST_MAX * 4, NULL))
		return false;
	mender->seen = mender->rooms[0].data;
	memset(mender->seen, 0, mender->rooms[0].size);
	mender->keys = mender->rooms[1].data;
	mender->kept = mender->keys + found;
	mender->found = (uint32_t *)(mender->kept + 2 * m);
	mender->distances = mender->found + found;
	mender->lost = mender->distances + found;
	return true;
}

static bool begin_menders(struct repair *repair, const struct vl_workers *workers)
{
	size_t m = repair->old->parameters.m;
	bool ok = true;

	repair->menders_count = workers != NULL && workers->threads > 1 ? workers->threads : 1;
	/* A list and what all its lost rows lead to; over further rings as far as there is room. */
	repair->found_max = 2 * m * (2 * m + 1);
	repair->menders = vl_alloc(repair->old->env, repair->menders_count * sizeof(struct mender));
	if (repair->menders == NULL)
		return false;
	memset(repair->menders, 0, repair->menders_count * sizeof(struct mender));
	for (size_t i = 0; i < repair->menders_count && ok; i++)
		ok = begin_mender(&repair->menders[i], repair);
	return ok;
}

static void end(struct repair *repair)
{
	const struct vl_env *env = repair->old->env;

	for (size_t i = 0; i < repair->menders_count && repair->menders != NULL; i++)
		for (size_t n = 0; n < 2; n++)
			vl_room_free(&repair->menders[i].rooms[n], env);
	vl_release(env, repair->menders, repair->menders_count * sizeof(struct mender));
	vl_room_free(&repair->room, env);
}

valori_code vl_hnsw_repair(struct vl_hnsw *graph, const struct vl_codes *codes, const uint32_t *renumbered,
			   const struct vl_workers *workers, valori_error *error)
{
	struct repair repair = {.old = graph, .codes = codes, .renumbered = renumbered};
	bool ok = begin_graph(&repair) && begin_menders(&repair, workers);

	if (ok)
		vl_workers_run(workers, mend_rows, &repair, repair.menders_count);
	end(&repair);
	if (!ok) {
		vl_hnsw_free(&repair.graph);
		return vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
	}
	vl_hnsw_free(graph);
	*graph = repair.graph;
	return VALORI_OK;
}
