/* index.c - the index of a store: its rounds, searching it, its bytes. */
#include "index.h"

#include "blake3.h"
#include "q16.h"

enum {
	HEAD_VERSION = 0,
	HEAD_KIND = 4,
	HEAD_M = 8,
	HEAD_EF_CONSTRUCTION = 12,
	HEAD_WIDTH = 16,
	HEAD_SLACK = 20,
	HEAD_SINCE = 24,
	HEAD_BOUNDARY = 32,
	HEAD_COVERED = 40,
	HEAD_ROWS = 48,
	HEAD_RENEWALS = 56,
	HEAD_LOW = 64,
	HEAD_STEP = 68,
	HEAD_CODES = 72,
	HEAD_GRAPH = 76,
	HEAD_ENTRY = 80,
	HEAD_TOP = 84,
	HEAD_ABOVE = 88,
	HEAD_HAS_GRAPH = 92,
	HEAD_CAPACITY = 96,
	HEAD_LAST_BOUND = 104,
	HEAD_WANTED = 112,
	HEAD_LISTS = 116,
	HEAD_LISTED = 120,
	HEAD_END = 124,

	DEFAULT_M = 16,
	DEFAULT_EF_CONSTRUCTION = 100,
	DEFAULT_WIDTH = 4,
	DEFAULT_SLACK = 1100,
	DEFAULT_EF = 128,

	FETCHED = 20, /* rows whose vectors are asked for before they are needed: as many as are compared */
	FETCHED_LINES = 8 /* of each */
};

static valori_code no_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
}

/* ---- what the configuration says ---- */

static uint32_t parameter(const struct vl_totals *totals, enum vl_parameter which, uint32_t otherwise)
{
	return totals->config_set >> which & 1 ? (uint32_t)totals->config[which] : otherwise;
}

void vl_index_configured(const struct vl_totals *totals, struct vl_index_parameters *out)
{
	out->kind = parameter(totals, VL_PARAM_INDEX, VL_INDEX_AUTO);
	if (out->kind > VL_INDEX_IVF)
		out->kind = VL_INDEX_AUTO;
	if (totals->config_set >> VL_PARAM_QUANT & 1 && totals->config[VL_PARAM_QUANT] == 0)
		out->kind = VL_INDEX_NONE;
	out->graph.m = parameter(totals, VL_PARAM_HNSW_M, DEFAULT_M);
	out->graph.ef_construction = parameter(totals, VL_PARAM_HNSW_EF_CONSTRUCTION, DEFAULT_EF_CONSTRUCTION);
	out->graph.width = parameter(totals, VL_PARAM_BUILD_WIDTH, DEFAULT_WIDTH);
	out->graph.slack = parameter(totals, VL_PARAM_BUILD_SLACK, DEFAULT_SLACK);
	out->lists = parameter(totals, VL_PARAM_IVF_LISTS, 0);
}

uint32_t vl_index_ef(const struct vl_totals *totals)
{
	return parameter(totals, VL_PARAM_HNSW_EF_SEARCH, DEFAULT_EF);
}

uint32_t vl_index_probes(const struct vl_totals *totals)
{
	return parameter(totals, VL_PARAM_IVF_PROBES, 0);
}

/* ---- when a round is due ---- */

bool vl_index_is_like(const struct vl_index_parameters *a, const struct vl_index_parameters *b)
{
	return a->kind == b->kind && a->graph.m == b->graph.m &&
	       a->graph.ef_construction == b->graph.ef_construction && a->graph.width == b->graph.width &&
	       a->graph.slack == b->graph.slack && (a->kind != VL_INDEX_IVF || a->lists == b->lists);
}

void vl_schedule_begin(struct vl_schedule *schedule, const struct vl_index_parameters *parameters, uint64_t height)
{
	*schedule = (struct vl_schedule){.parameters = *parameters, .since = height, .boundary = height};
}

static bool is_collection_live(const struct vl_state *state, uint64_t id)
{
	const uint8_t *name;
	size_t size;
	bool is_live;

	return vl_collection_get(state, id, &name, &size, &is_live) && is_live;
}

/* Live records among first <= slot < last. Runs of records mostly share a collection. */
static uint64_t count_live(const struct vl_state *state, uint64_t first, uint64_t last)
{
	uint64_t live = 0, collection = UINT64_MAX;
	bool is_live = false;

	for (uint64_t slot = first; slot < last; slot++) {
		const uint8_t *record = vl_array_get(&state->records.records, slot);

		if (record[VL_RECORD_STATUS] != VALORI_LIVE)
			continue;
		if (vl_get16(record + VL_RECORD_COLLECTION) != collection) {
			collection = vl_get16(record + VL_RECORD_COLLECTION);
			is_live = is_collection_live(state, collection);
		}
		live += is_live;
	}
	return live;
}

static unsigned bits_of(uint64_t number)
{
	unsigned bits = 0;

	for (; number > 0; number >>= 1)
		bits++;
	return bits;
}

static bool are_slots_due(const struct vl_schedule *now, uint64_t slots)
{
	uint64_t wanted = now->covered < VL_ROUND_MIN   ? (uint64_t)VL_ROUND_MIN
			  : now->covered > VL_ROUND_MAX ? (uint64_t)VL_ROUND_MAX
							: now->covered;

	return slots - now->covered >= wanted;
}

bool vl_schedule_next(const struct vl_schedule *now, const struct vl_state *state,
		      const struct vl_index_parameters *parameters, struct vl_schedule *after)
{
	uint64_t slots = vl_state_slots(state, VL_RECORDS), live = state->totals.record_live, rows;
	bool is_new = !vl_index_is_like(&now->parameters, parameters), is_renewal;

	if (is_new)
		vl_schedule_begin(after, parameters, state->totals.height);
	else
		*after = *now;
	if (parameters->kind == VL_INDEX_NONE)
		return is_new;
	rows = after->rows;
	is_renewal = rows > live && (rows - live) * 4 > rows;
	if (!is_renewal && !are_slots_due(after, slots))
		return is_new;
	/* A round drops the dead when it has to, and when the codes are settled anyway (codes.h). */
	if (!is_renewal && after->covered > 0)
		rows += count_live(state, after->covered, slots);
	else
		rows = live;
	if (rows < VL_CODES_FIRST || bits_of(rows) > bits_of(after->rows))
		rows = live;
	after->boundary = state->totals.height;
	after->covered = slots;
	after->rows = rows;
	after->renewals += is_renewal;
	return true;
}

/* ---- rounds ---- */

void vl_index_init(struct vl_index *index, const struct vl_env *env, uint32_t dim, const struct vl_schedule *begun)
{
	memset(index, 0, sizeof(*index));
	index->env = env;
	index->dim = dim;
	index->schedule = *begun;
	vl_codes_init(&index->codes, env, dim);
}

void vl_index_free(struct vl_index *index)
{
	if (index->env == NULL)
		return;
	vl_codes_free(&index->codes);
	if (index->has_graph)
		vl_hnsw_free(&index->graph);
	if (index->has_lists)
		vl_ivf_free(&index->ivf);
	memset(index, 0, sizeof(*index));
}

struct vl_index vl_index_share(const struct vl_index *index)
{
	struct vl_index share = *index;

	share.codes = vl_codes_share(&index->codes);
	if (index->has_graph)
		share.graph = vl_hnsw_share(&index->graph);
	if (index->has_lists)
		share.ivf = vl_ivf_share(&index->ivf);
	return share;
}

/* Where the rows of before went: the ids of both ascend. */
static void match_rows(const struct vl_codes *before, const struct vl_codes *after, uint32_t *renumbered)
{
	uint32_t to = 0;

	for (uint32_t row = 0; row < before->count; row++) {
		uint32_t id = vl_codes_id(before, row);

		while (to < after->count && vl_codes_id(after, to) < id)
			to++;
		renumbered[row] = to < after->count && vl_codes_id(after, to) == id ? to : VL_ROW_GONE;
	}
}

/* Codes of all that is live, as if the index began now. */
static valori_code renew(struct vl_index *index, const struct vl_state *state, const struct vl_schedule *after,
			 uint32_t *renumbered, valori_error *error)
{
	struct vl_codes fresh;
	bool is_settled;
	valori_code code;

	vl_codes_init(&fresh, index->env, index->dim);
	code = vl_codes_append(&fresh, state, 0, after->covered, NULL, &is_settled, error);
	if (code != VALORI_OK) {
		vl_codes_free(&fresh);
		return code;
	}
	match_rows(&index->codes, &fresh, renumbered);
	vl_codes_free(&index->codes);
	index->codes = fresh;
	return VALORI_OK;
}

/* Codes that were settled anew are no longer those the centroids were trained for. */
static valori_code list_rows(struct vl_index *index, bool is_settled, const struct vl_workers *workers,
			     valori_error *error)
{
	if (index->has_lists && is_settled) {
		vl_ivf_free(&index->ivf);
		index->has_lists = false;
	}
	if (!index->has_lists) {
		if (index->codes.count < VL_GRAPH_MIN)
			return VALORI_OK;
		vl_ivf_init(&index->ivf, index->env, index->schedule.parameters.lists);
		index->has_lists = true;
	}
	return vl_ivf_grow(&index->ivf, &index->codes, workers, error);
}

static valori_code link_rows(struct vl_index *index, const uint32_t *renumbered, const struct vl_workers *workers,
			     valori_error *error)
{
	const struct vl_index_parameters *parameters = &index->schedule.parameters;
	uint32_t least = parameters->kind == VL_INDEX_HNSW ? VL_GRAPH_MIN : VL_GRAPH_AUTO;
	valori_code code;

	if (parameters->kind == VL_INDEX_BRUTE)
		return VALORI_OK;
	if (parameters->kind == VL_INDEX_IVF)
		return list_rows(index, renumbered != NULL, workers, error);
	if (index->has_graph && renumbered != NULL) {
		code = vl_hnsw_repair(&index->graph, &index->codes, renumbered, workers, error);
		if (code != VALORI_OK)
			return code;
	}
	if (!index->has_graph) {
		if (index->codes.count < least)
			return VALORI_OK;
		vl_hnsw_init(&index->graph, index->env, &parameters->graph);
		index->has_graph = true;
	}
	return vl_hnsw_grow(&index->graph, &index->codes, workers, error);
}

valori_code vl_index_round(struct vl_index *index, const struct vl_state *state, const struct vl_schedule *after,
			   const struct vl_workers *workers, valori_error *error)
{
	bool is_renewal = after->renewals != index->schedule.renewals, is_settled = is_renewal;
	uint32_t *renumbered = NULL;
	uint64_t covered;
	size_t size;
	valori_code code = VALORI_OK;

	if (after->since != index->schedule.since ||
	    !vl_index_is_like(&after->parameters, &index->schedule.parameters)) {
		const struct vl_env *env = index->env;
		uint32_t dim = index->dim;

		vl_index_free(index);
		vl_index_init(index, env, dim, after);
		index->schedule.covered = index->schedule.rows = 0;
		is_renewal = is_settled = false;
	}
	covered = index->schedule.covered;
	index->schedule = *after;
	size = (size_t)index->codes.count * sizeof(*renumbered);
	if (size > 0) {
		renumbered = vl_alloc(index->env, size);
		if (renumbered == NULL)
			return no_memory(error);
	}
	if (is_renewal)
		code = renew(index, state, after, renumbered, error);
	else if (after->covered > covered)
		code = vl_codes_append(&index->codes, state, covered, after->covered, renumbered, &is_settled, error);
	if (code == VALORI_OK)
		code = link_rows(index, is_settled ? renumbered : NULL, workers, error);
	vl_release(index->env, renumbered, size);
	return code;
}

/* ---- searching ---- */

struct vl_index_scratch {
	const struct vl_env *env;
	struct vl_hnsw_scratch *walk;
	struct vl_ivf_scratch *look;
	void *memory;
	size_t size;
};

valori_code vl_index_scratch_new(struct vl_index_scratch **out, const struct vl_env *env, valori_error *error)
{
	struct vl_index_scratch *scratch = vl_alloc(env, sizeof(*scratch));
	valori_code code;

	*out = NULL;
	if (scratch == NULL)
		return no_memory(error);
	*scratch = (struct vl_index_scratch){.env = env};
	code = vl_hnsw_scratch_new(&scratch->walk, env, error);
	if (code == VALORI_OK)
		code = vl_ivf_scratch_new(&scratch->look, env, error);
	if (code == VALORI_OK)
		*out = scratch;
	else
		vl_index_scratch_free(scratch);
	return code;
}

void vl_index_scratch_free(struct vl_index_scratch *scratch)
{
	if (scratch == NULL)
		return;
	vl_hnsw_scratch_free(scratch->walk);
	vl_ivf_scratch_free(scratch->look);
	vl_release(scratch->env, scratch->memory, scratch->size);
	vl_release(scratch->env, scratch, sizeof(*scratch));
}

/* At least size bytes, aligned to 64; what they held is gone. */
static void *room(struct vl_index_scratch *scratch, size_t size)
{
	void *memory;

	if (size <= scratch->size)
		return scratch->memory;
	memory = vl_alloc(scratch->env, size);
	if (memory == NULL)
		return NULL;
	vl_release(scratch->env, scratch->memory, scratch->size);
	scratch->memory = memory;
	scratch->size = size;
	return memory;
}

/* One query that is being answered. */
struct answer {
	const struct vl_index *index;
	const struct vl_state *state;
	const struct vl_filter *filter;
	const uint8_t *query;
	uint64_t residuals; /* of the query's code, and the largest of the rows that are looked at */
	uint64_t slots, compared;
	size_t k;
	valori_hit *heap;
	size_t *hits;
	uint64_t worst; /* of the full heap, and what it leaves within reach */
	uint32_t reach;
};

static struct answer answer_begin(const struct vl_index *index, const struct vl_state *state,
				  const struct vl_filter *filter, const uint8_t *query, uint64_t residual)
{
	return (struct answer){.index = index,
			       .state = state,
			       .filter = filter,
			       .query = query,
			       .residuals = residual,
			       .slots = vl_state_slots(state, VL_RECORDS),
			       .worst = UINT64_MAX,
			       .reach = UINT32_MAX};
}

static bool is_allowed(const struct vl_state *state, const struct vl_filter *filter, uint64_t id)
{
	const uint8_t *record = vl_array_get(&state->records.records, id);

	return record[VL_RECORD_STATUS] == VALORI_LIVE &&
	       vl_get16(record + VL_RECORD_COLLECTION) == filter->collection &&
	       (!filter->has_tag || vl_get64(record + VL_RECORD_TAG) == filter->tag);
}

/* Is a row so far that the bound excludes it? Then any that is farther is excluded, too. */
static bool is_out_of_reach(struct answer *answer, uint32_t distance)
{
	if (*answer->hits < answer->k)
		return false;
	if (answer->heap[0].score != answer->worst) {
		answer->worst = answer->heap[0].score;
		answer->reach = vl_codes_reach(&answer->index->codes, answer->worst, answer->residuals);
	}
	return distance > answer->reach;
}

/* Takes the row's record into the heap if it belongs there. */
static void look_at(struct answer *answer, uint32_t row, uint32_t distance)
{
	uint64_t id;
	const uint8_t *vector;
	valori_hit hit;

	if (is_out_of_reach(answer, distance))
		return;
	id = vl_codes_id(&answer->index->codes, row);
	if (id >= answer->slots || id >= answer->index->schedule.covered ||
	    !is_allowed(answer->state, answer->filter, id))
		return;
	vector = vl_state_vector(answer->state, id);
	if (vector == NULL)
		return;
	hit = (valori_hit){id, vl_q16_l2(answer->state->env->kernels, answer->query, vector, answer->state->dim)};
	answer->compared++;
	vl_hits_merge(answer->heap, answer->hits, answer->k, &hit, 1);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool can_answer(const struct vl_index *index, const struct vl_state *state, const struct vl_filter *filter)
{
	return index->codes.count > 0 && is_collection_live(state, filter->collection);
}

/* Records and vectors are wherever they are: those of the first rows come while others are looked at. */
static void fetch_ahead(const struct vl_index *index, const struct vl_state *state, const uint64_t *rows, size_t count)
{
	const struct vl_records *records = &state->records;
	uint32_t ids[FETCHED];

	if (count > FETCHED)
		count = FETCHED;
	for (size_t i = 0; i < count; i++)
		ids[i] = vl_codes_id(&index->codes, (uint32_t)rows[i]);
	for (size_t i = 0; i < count; i++)
		if (ids[i] < records->records.count) {
			const uint8_t *vector = vl_array_get(&records->vectors, ids[i]);

			__builtin_prefetch(vl_array_get(&records->records, ids[i]));
			for (uint32_t line = 0; line < FETCHED_LINES && line * 16 < state->dim; line++)
				__builtin_prefetch(vector + (size_t)line * 64);
		}
}

bool vl_index_is_quick(const struct vl_index *index)
{
	return index->has_lists || (index->has_graph && index->graph.count > 0);
}

valori_code vl_index_search(const struct vl_index *index, const struct vl_state *state,
			    struct vl_index_scratch *scratch, const uint8_t *queries, size_t count, size_t k,
			    const struct vl_hnsw_effort *effort, uint32_t probes, const struct vl_filter *filter,
			    const uint64_t *allowed, valori_hit *heaps, size_t *hits, struct vl_index_counts *counts,
			    valori_error *error)
{
	enum { WALKING = 16, TOGETHER = 64 };
	const struct vl_codes *codes = &index->codes;
	const struct vl_ivf_effort looking = {effort->k, effort->ef, probes};
	size_t most = index->has_lists ? TOGETHER : WALKING;
	size_t codes_size = most * codes->stride, found_size = most * effort->ef * 8;
	size_t row_size = (size_t)index->dim * 4, founds[TOGETHER];
	uint64_t residuals[TOGETHER], *found;
	uint8_t *coded;
	valori_code code;

	if (!vl_index_is_quick(index) || !can_answer(index, state, filter))
		return VALORI_OK;
	coded = room(scratch, codes_size + found_size);
	if (coded == NULL)
		return no_memory(error);
	found = (uint64_t *)(void *)(coded + codes_size);
	for (size_t first = 0; first < count; first += most) {
		size_t part = count - first < most ? count - first : most;

		for (size_t q = 0; q < part; q++)
			residuals[q] = vl_codes_query(codes, queries + (first + q) * row_size,
						      coded + q * codes->stride);
		if (index->has_lists)
			code = vl_ivf_search(&index->ivf, codes, scratch->look, coded, part, &looking, allowed, found,
					     founds, &counts->visited, error);
		else if (part == 1)
			code = vl_hnsw_search(&index->graph, codes, scratch->walk, coded, effort, allowed, found,
					      founds, &counts->visited, error);
		else
			code = vl_hnsw_search_many(&index->graph, codes, scratch->walk, coded, part, effort, allowed,
						   found, founds, &counts->visited, error);
		if (code != VALORI_OK)
			return code;
		for (size_t q = 0; q < part; q++) {
			struct answer answer = answer_begin(index, state, filter, queries + (first + q) * row_size,
							    residuals[q]);
			const uint64_t *rows = found + q * effort->ef;
			uint64_t bound = 0;

			fetch_ahead(index, state, rows, founds[q] < k + 6 ? founds[q] : k + 6);
			answer.k = k;
			answer.heap = heaps + (first + q) * k;
			answer.hits = &hits[first + q];
			for (size_t i = 0; i < founds[q]; i++)
				bound = larger(bound, vl_codes_bound(codes, (uint32_t)rows[i]));
			answer.residuals += bound;
			/* They ascend. */
			for (size_t i = 0; i < founds[q] && !is_out_of_reach(&answer, (uint32_t)(rows[i] >> 32)); i++)
				look_at(&answer, (uint32_t)rows[i], (uint32_t)(rows[i] >> 32));
			counts->compared += answer.compared;
		}
	}
	return VALORI_OK;
}

/* The k-th smallest of distances, by counting their upper and then their lower halves: no order is needed. */
static uint32_t kth_smallest(const uint32_t *distances, size_t length, size_t k, uint32_t *tally)
{
	size_t left = k;
	uint32_t high = 0, low = 0;

	memset(tally, 0, sizeof(*tally) << 16);
	for (size_t i = 0; i < length; i++)
		tally[distances[i] >> 16]++;
	for (; left > tally[high]; high++)
		left -= tally[high];
	memset(tally, 0, sizeof(*tally) << 16);
	for (size_t i = 0; i < length; i++)
		if (distances[i] >> 16 == high)
			tally[distances[i] & 0xffff]++;
	for (; left > tally[low]; low++)
		left -= tally[low];
	return high << 16 | low;
}

valori_code vl_index_search_list(const struct vl_index *index, const struct vl_state *state,
				 struct vl_index_scratch *scratch, const uint8_t *queries, size_t count, size_t k,
				 const struct vl_filter *filter, const uint32_t *list, size_t length, valori_hit *heaps,
				 size_t *hits, struct vl_index_counts *counts, valori_error *error)
{
	const struct vl_codes *codes = &index->codes;
	size_t row_size = (size_t)index->dim * 4, tally_size = sizeof(uint32_t) << 16;
	uint32_t *tally, *distances;
	uint64_t bound = 0;
	uint8_t *coded;

	while (length > 0 && list[length - 1] >= codes->count)
		length--;
	if (length == 0 || !can_answer(index, state, filter))
		return VALORI_OK;
	coded = room(scratch, codes->stride + tally_size + length * sizeof(*distances));
	if (coded == NULL)
		return no_memory(error);
	tally = (uint32_t *)(void *)(coded + codes->stride);
	distances = tally + (1 << 16);
	for (size_t i = 0; i < length; i++)
		bound = larger(bound, vl_codes_bound(codes, list[i]));
	for (size_t q = 0; q < count; q++) {
		const uint8_t *query = queries + q * row_size;
		struct answer answer =
			answer_begin(index, state, filter, query, bound + vl_codes_query(codes, query, coded));
		uint32_t first = UINT32_MAX;

		answer.k = k;
		answer.heap = heaps + q * k;
		answer.hits = &hits[q];
		state->env->kernels->code_l2_gather(coded, codes->rows.data, list, length, codes->stride, distances);
		/* The k nearest by their codes first: they leave little for the others. */
		if (length > k) {
			first = kth_smallest(distances, length, k, tally);
			for (size_t i = 0; i < length; i++)
				if (distances[i] <= first)
					look_at(&answer, list[i], distances[i]);
		}
		for (size_t i = 0; i < length; i++)
			if (length <= k || distances[i] > first)
				look_at(&answer, list[i], distances[i]);
		counts->scanned += length;
		counts->compared += answer.compared;
	}
	return VALORI_OK;
}

uint64_t vl_index_allowed(const struct vl_index *index, const struct vl_state *state, const struct vl_filter *filter,
			  uint64_t *bits)
{
	uint64_t slots = vl_state_slots(state, VL_RECORDS), allowed = 0;

	memset(bits, 0, ((size_t)index->codes.count + 63) / 64 * 8);
	if (!can_answer(index, state, filter))
		return 0;
	for (uint32_t row = 0; row < index->codes.count; row++) {
		uint64_t id = vl_codes_id(&index->codes, row);

		if (id >= slots || id >= index->schedule.covered || !is_allowed(state, filter, id))
			continue;
		bits[row / 64] |= UINT64_C(1) << row % 64;
		allowed++;
	}
	return allowed;
}

/* ---- bytes ---- */

const char *vl_index_part_name(enum vl_index_part part)
{
	static const char *const names[VL_INDEX_PARTS] = {
		"index", "index ids", "index codes", "index bounds", "index levels", "index links", "index upper",
		"index above", "index centroids", "index starts", "index members",
		"index listed"};

	return part < VL_INDEX_PARTS ? names[part] : "unknown part";
}

static void encode_head(const struct vl_index *index, uint8_t head[VL_INDEX_HEAD])
{
	const struct vl_schedule *schedule = &index->schedule;

	memset(head, 0, VL_INDEX_HEAD);
	vl_put32(head + HEAD_VERSION, 1);
	vl_put32(head + HEAD_KIND, schedule->parameters.kind);
	vl_put32(head + HEAD_M, schedule->parameters.graph.m);
	vl_put32(head + HEAD_EF_CONSTRUCTION, schedule->parameters.graph.ef_construction);
	vl_put32(head + HEAD_WIDTH, schedule->parameters.graph.width);
	vl_put32(head + HEAD_SLACK, schedule->parameters.graph.slack);
	vl_put64(head + HEAD_SINCE, schedule->since);
	vl_put64(head + HEAD_BOUNDARY, schedule->boundary);
	vl_put64(head + HEAD_COVERED, schedule->covered);
	vl_put64(head + HEAD_ROWS, schedule->rows);
	vl_put64(head + HEAD_RENEWALS, schedule->renewals);
	vl_put32(head + HEAD_LOW, (uint32_t)index->codes.quantiser.low);
	vl_put32(head + HEAD_STEP, index->codes.quantiser.step);
	vl_put32(head + HEAD_CODES, index->codes.count);
	vl_put32(head + HEAD_CAPACITY, index->codes.capacity);
	vl_put64(head + HEAD_LAST_BOUND, index->codes.last_bound);
	if (schedule->parameters.kind == VL_INDEX_IVF)
		vl_put32(head + HEAD_WANTED, schedule->parameters.lists);
	if (index->has_lists) {
		vl_put32(head + HEAD_LISTS, index->ivf.lists);
		vl_put32(head + HEAD_LISTED, index->ivf.count);
	}
	if (!index->has_graph)
		return;
	vl_put32(head + HEAD_GRAPH, index->graph.count);
	vl_put32(head + HEAD_ENTRY, index->graph.entry);
	vl_put32(head + HEAD_TOP, index->graph.top);
	vl_put32(head + HEAD_ABOVE, index->graph.above_count);
	head[HEAD_HAS_GRAPH] = 1;
}

/* Element sizes and counts follow from the head. */
static void measure(const struct vl_index *index, struct vl_index_bytes parts[VL_INDEX_PARTS])
{
	uint32_t rows = index->codes.count, graph = index->has_graph ? index->graph.count : 0;
	uint32_t m = index->schedule.parameters.graph.m, lists = index->has_lists ? index->ivf.lists : 0;

	parts[VL_INDEX_PART_HEAD] = (struct vl_index_bytes){NULL, VL_INDEX_HEAD, 1};
	parts[VL_INDEX_PART_IDS] = (struct vl_index_bytes){NULL, 4, rows};
	parts[VL_INDEX_PART_CODES] = (struct vl_index_bytes){NULL, (index->dim + 63) / 64 * 64, rows};
	parts[VL_INDEX_PART_BOUNDS] = (struct vl_index_bytes){NULL, 8, rows / VL_CODES_BLOCK};
	parts[VL_INDEX_PART_LEVELS] = (struct vl_index_bytes){NULL, 1, graph};
	parts[VL_INDEX_PART_LINKS] = (struct vl_index_bytes){NULL, 8 * m, graph};
	parts[VL_INDEX_PART_UPPER] = (struct vl_index_bytes){NULL, 4, graph};
	parts[VL_INDEX_PART_ABOVE] =
		(struct vl_index_bytes){NULL, 4 * m, index->has_graph ? index->graph.above_count : 0};
	parts[VL_INDEX_PART_CENTROIDS] = (struct vl_index_bytes){NULL, (index->dim + 63) / 64 * 64, lists};
	parts[VL_INDEX_PART_STARTS] = (struct vl_index_bytes){NULL, 4, lists > 0 ? lists + UINT64_C(1) : 0};
	parts[VL_INDEX_PART_MEMBERS] = (struct vl_index_bytes){NULL, 4, lists > 0 ? index->ivf.count : 0};
	parts[VL_INDEX_PART_LISTED] =
		(struct vl_index_bytes){NULL, (index->dim + 63) / 64 * 64, lists > 0 ? index->ivf.count : 0};
}

void vl_index_bytes(const struct vl_index *index, uint8_t head[VL_INDEX_HEAD],
		    struct vl_index_bytes parts[VL_INDEX_PARTS])
{
	encode_head(index, head);
	measure(index, parts);
	parts[VL_INDEX_PART_HEAD].data = head;
	parts[VL_INDEX_PART_IDS].data = index->codes.ids.data;
	parts[VL_INDEX_PART_CODES].data = index->codes.rows.data;
	parts[VL_INDEX_PART_BOUNDS].data = index->codes.bounds.data;
	if (index->has_lists) {
		parts[VL_INDEX_PART_CENTROIDS].data = index->ivf.centroids.data;
		parts[VL_INDEX_PART_STARTS].data = index->ivf.starts.data;
		parts[VL_INDEX_PART_MEMBERS].data = index->ivf.members.data;
		parts[VL_INDEX_PART_LISTED].data = index->ivf.listed.data;
	}
	if (index->has_graph) {
		parts[VL_INDEX_PART_LEVELS].data = index->graph.levels.data;
		parts[VL_INDEX_PART_LINKS].data = index->graph.links.data;
		parts[VL_INDEX_PART_UPPER].data = index->graph.upper.data;
		parts[VL_INDEX_PART_ABOVE].data = index->graph.above.data;
	}
	/* Nothing lies nowhere: an address is wanted all the same. */
	for (unsigned part = 0; part < VL_INDEX_PARTS; part++)
		if (parts[part].count == 0)
			parts[part].data = head;
}

/* As codes.h says: nothing is allocated because a file says so. */
static bool is_capacity(uint64_t count, uint64_t capacity)
{
	if (count == 0)
		return capacity == VL_CODES_FIRST;
	return capacity >= VL_CODES_FIRST && (capacity & (capacity - 1)) == 0 && capacity >= count &&
	       (capacity == VL_CODES_FIRST || capacity <= count * 5 / 2 + 2);
}

/* What is wrong in the head, or NULL. */
static const char *head_fault(const struct vl_index *index, const struct vl_state *state, const uint8_t *head)
{
	const struct vl_schedule *schedule = &index->schedule;
	const struct vl_hnsw_parameters *graph = &schedule->parameters.graph;

	if (schedule->parameters.kind > VL_INDEX_IVF)
		return "no such kind";
	if (graph->m < 2 || graph->m > 256 || graph->ef_construction < 1 || graph->ef_construction > 65536 ||
	    graph->width < 1 || graph->width > 64 || graph->slack < 1024 || graph->slack > 65536)
		return "parameter is out of range";
	if (schedule->since > schedule->boundary || schedule->boundary > state->totals.height)
		return "boundary is not in the log";
	if (schedule->covered > vl_state_slots(state, VL_RECORDS) || index->codes.count > schedule->covered ||
	    index->codes.count >= VL_CODES_MAX || schedule->rows > schedule->covered)
		return "more rows than records";
	if (index->codes.quantiser.step == 0)
		return "quantiser without a step";
	if (!is_capacity(index->codes.count, index->codes.capacity))
		return "room does not fit its rows";
	if (head[HEAD_HAS_GRAPH] > 1 || !vl_is_zero(head + HEAD_HAS_GRAPH + 1, HEAD_CAPACITY - HEAD_HAS_GRAPH - 1) ||
	    !vl_is_zero(head + HEAD_CAPACITY + 4, 4) || !vl_is_zero(head + HEAD_END, VL_INDEX_HEAD - HEAD_END))
		return "unused bytes are not zero";
	if (schedule->parameters.kind != VL_INDEX_IVF && !vl_is_zero(head + HEAD_WANTED, HEAD_END - HEAD_WANTED))
		return "lists that are not there";
	if (index->has_graph && schedule->parameters.kind == VL_INDEX_IVF)
		return "no such kind";
	if (index->has_lists ? index->ivf.count > index->codes.count : vl_get32(head + HEAD_LISTED) != 0)
		return "lists do not fit its rows";
	if (!index->has_graph)
		return vl_is_zero(head + HEAD_GRAPH, HEAD_HAS_GRAPH - HEAD_GRAPH) ? NULL : "a graph that is not there";
	if (index->graph.count > index->codes.count)
		return "graph does not fit its rows";
	return NULL;
}

static void decode_head(struct vl_index *index, const uint8_t *head)
{
	struct vl_schedule *schedule = &index->schedule;

	schedule->parameters.kind = vl_get32(head + HEAD_KIND);
	schedule->parameters.graph.m = vl_get32(head + HEAD_M);
	schedule->parameters.graph.ef_construction = vl_get32(head + HEAD_EF_CONSTRUCTION);
	schedule->parameters.graph.width = vl_get32(head + HEAD_WIDTH);
	schedule->parameters.graph.slack = vl_get32(head + HEAD_SLACK);
	schedule->since = vl_get64(head + HEAD_SINCE);
	schedule->boundary = vl_get64(head + HEAD_BOUNDARY);
	schedule->covered = vl_get64(head + HEAD_COVERED);
	schedule->rows = vl_get64(head + HEAD_ROWS);
	schedule->renewals = vl_get64(head + HEAD_RENEWALS);
	index->codes.quantiser.low = (int32_t)vl_get32(head + HEAD_LOW);
	index->codes.quantiser.step = vl_get32(head + HEAD_STEP);
	index->codes.count = vl_get32(head + HEAD_CODES);
	index->codes.capacity = vl_get32(head + HEAD_CAPACITY);
	index->codes.last_bound = vl_get64(head + HEAD_LAST_BOUND);
	schedule->parameters.lists = vl_get32(head + HEAD_WANTED);
	index->has_lists = vl_get32(head + HEAD_LISTS) != 0;
	if (index->has_lists) {
		vl_ivf_init(&index->ivf, index->env, schedule->parameters.lists);
		index->ivf.lists = vl_get32(head + HEAD_LISTS);
		index->ivf.count = vl_get32(head + HEAD_LISTED);
	}
	index->has_graph = head[HEAD_HAS_GRAPH] == 1;
	if (!index->has_graph)
		return;
	vl_hnsw_init(&index->graph, index->env, &schedule->parameters.graph);
	index->graph.count = vl_get32(head + HEAD_GRAPH);
	index->graph.entry = vl_get32(head + HEAD_ENTRY);
	index->graph.top = vl_get32(head + HEAD_TOP);
	index->graph.above_count = vl_get32(head + HEAD_ABOVE);
}

static void map(struct vl_block *block, const struct vl_index_bytes *part)
{
	if (part->count > 0)
		vl_block_map(block, part->data, (size_t)part->count * part->elem_size);
}

valori_code vl_index_attach(struct vl_index *index, const struct vl_env *env, const struct vl_state *state,
			    const struct vl_index_bytes parts[VL_INDEX_PARTS], valori_error *error)
{
	const uint8_t *head = parts[VL_INDEX_PART_HEAD].data;
	struct vl_index_bytes expected[VL_INDEX_PARTS];
	const struct vl_schedule begun = {0};
	const char *fault;

	vl_index_init(index, env, state->dim, &begun);
	if (parts[VL_INDEX_PART_HEAD].elem_size != VL_INDEX_HEAD || parts[VL_INDEX_PART_HEAD].count != 1)
		return vl_fail(error, VALORI_DAMAGED, "index: has no head");
	if (vl_get32(head + HEAD_VERSION) != 1)
		return vl_fail(error, VALORI_NEWER, "index: version %u is newer than this library",
			       (unsigned)vl_get32(head + HEAD_VERSION));
	decode_head(index, head);
	fault = head_fault(index, state, head);
	measure(index, expected);
	for (unsigned part = 0; fault == NULL && part < VL_INDEX_PARTS; part++)
		if (parts[part].elem_size != expected[part].elem_size || parts[part].count != expected[part].count)
			fault = "a part has another size than the head says";
	if (fault != NULL) {
		memset(index, 0, sizeof(*index));
		return vl_fail(error, VALORI_DAMAGED, "index: %s", fault);
	}
	map(&index->codes.ids, &parts[VL_INDEX_PART_IDS]);
	map(&index->codes.rows, &parts[VL_INDEX_PART_CODES]);
	map(&index->codes.bounds, &parts[VL_INDEX_PART_BOUNDS]);
	if (index->has_lists) {
		map(&index->ivf.centroids, &parts[VL_INDEX_PART_CENTROIDS]);
		map(&index->ivf.starts, &parts[VL_INDEX_PART_STARTS]);
		map(&index->ivf.members, &parts[VL_INDEX_PART_MEMBERS]);
		map(&index->ivf.listed, &parts[VL_INDEX_PART_LISTED]);
		return vl_ivf_attach(&index->ivf, &index->codes, error);
	}
	if (!index->has_graph)
		return VALORI_OK;
	map(&index->graph.levels, &parts[VL_INDEX_PART_LEVELS]);
	map(&index->graph.links, &parts[VL_INDEX_PART_LINKS]);
	map(&index->graph.upper, &parts[VL_INDEX_PART_UPPER]);
	map(&index->graph.above, &parts[VL_INDEX_PART_ABOVE]);
	return vl_hnsw_attach(&index->graph, error);
}

void vl_index_digest(const struct vl_index *index, uint8_t out[VL_HASH_SIZE])
{
	const struct vl_kernels *kernels = index->env->kernels;
	struct vl_index_bytes parts[VL_INDEX_PARTS];
	uint8_t head[VL_INDEX_HEAD], digest[VL_HASH_SIZE];
	struct vl_blake3 hash;
	unsigned last;

	vl_index_bytes(index, head, parts);
	/* The head says whether there are lists: without any, their parts are left out. */
	last = index->has_lists ? VL_INDEX_PARTS : VL_INDEX_PART_CENTROIDS;
	vl_blake3_init(&hash, kernels, VL_HASH_INDEX);
	vl_blake3_update(&hash, head, sizeof(head));
	for (unsigned part = VL_INDEX_PART_IDS; part < last; part++) {
		vl_blake3(kernels, VL_HASH_PLAIN, parts[part].data, (size_t)parts[part].count * parts[part].elem_size,
			  digest);
		vl_blake3_update(&hash, digest, sizeof(digest));
	}
	vl_blake3_final(&hash, out);
}

/* ---- checking ---- */

static valori_code row_fault(uint32_t row, const char *fact, valori_error *error)
{
	return vl_fail(error, VALORI_DAMAGED, "index: row %u: %s", row, fact);
}

static bool has_vector(const struct vl_state *state, uint64_t id)
{
	return vl_array_get(&state->records.records, id)[VL_RECORD_STATUS] != VALORI_DELETED;
}

/* Ids ascend, and no live record up to the boundary is left out. */
static valori_code check_ids(const struct vl_index *index, const struct vl_state *state, valori_error *error)
{
	uint64_t next = 0;

	for (uint32_t row = 0; row <= index->codes.count; row++) {
		uint64_t id = row < index->codes.count ? vl_codes_id(&index->codes, row) : index->schedule.covered;

		if (id < next || (row < index->codes.count && id >= index->schedule.covered))
			return row_fault(row, "ids do not ascend", error);
		if (count_live(state, next, id) != 0)
			return row_fault(row, "a record before this one is left out", error);
		next = id + 1;
	}
	return VALORI_OK;
}

/* Codes and bounds are what they would be if they were made now. */
static valori_code check_codes(const struct vl_index *index, const struct vl_state *state, valori_error *error)
{
	const struct vl_codes *codes = &index->codes;
	uint8_t *coded = vl_alloc(index->env, codes->stride);
	valori_code code = VALORI_OK;

	if (coded == NULL)
		return no_memory(error);
	for (uint32_t row = 0; row < codes->count && code == VALORI_OK; row++) {
		uint64_t id = vl_codes_id(codes, row), residual;

		/* What is deleted cannot be told any more, and cannot be found either. */
		if (!has_vector(state, id))
			continue;
		residual = vl_codes_query(codes, vl_state_vector(state, id), coded);
		if (memcmp(coded, vl_codes_row(codes, row), codes->stride) != 0)
			code = row_fault(row, "code is not that of its record", error);
		else if (residual > vl_codes_bound(codes, row))
			code = row_fault(row, "is farther from its code than the bound says", error);
	}
	vl_release(index->env, coded, codes->stride);
	return code;
}

valori_code vl_index_check(const struct vl_index *index, const struct vl_state *state, valori_error *error)
{
	valori_code code = check_ids(index, state, error);

	if (code == VALORI_OK)
		code = check_codes(index, state, error);
	if (code == VALORI_OK && index->has_graph && index->graph.count != index->codes.count)
		code = vl_fail(error, VALORI_DAMAGED, "index: not all rows are in the graph");
	if (code == VALORI_OK && index->has_graph)
		code = vl_hnsw_check(&index->graph, error);
	if (code == VALORI_OK && index->has_lists && index->ivf.count != index->codes.count)
		code = vl_fail(error, VALORI_DAMAGED, "index: not all rows are in lists");
	if (code == VALORI_OK && index->has_lists)
		code = vl_ivf_check(&index->ivf, &index->codes, NULL, error);
	return code;
}
