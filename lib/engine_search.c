/* engine_search.c - search over a view: several threads, one answer, every hit proven before it is given. */
#include "engine_private.h"

#include "q16.h"

enum {
	THREADS_MAX = 64,
	SLICE_MIN = 4096, /* records worth a thread of their own */
	PROVEN = 64       /* hits whose content is hashed together */
};

enum {
	SLACK = 1300, /* of a search that says nothing else */
	STOP_MIN = 10 /* the stop goes by the k-th, or by this one */
};

/* What a thread needs to search the index; kept for the next search. */
struct vl_scratch {
	struct vl_index_scratch *inner;
	struct vl_scratch *next;
};

/* How a search is done: the same for all of its queries and threads. */
struct plan {
	uint32_t kind; /* valori_plan */
	size_t k;
	const struct vl_state *state;
	const struct vl_index *index; /* NULL: there is none, or it is of no use */
	const struct vl_filter *filter;
	struct vl_hnsw_effort effort;
	uint32_t probes;
	const uint64_t *allowed; /* ALLOWED: a bit per row */
	const uint32_t *list;    /* LIST: rows */
	size_t length;
	uint64_t matched;
	const struct vl_codes *tail; /* of the records behind the index ... */
	uint64_t tail_slots;         /* ... up to this one; NULL: none of them have codes */
};

struct slice { /* one thread's part of the records, or of the queries */
	const struct plan *plan;
	const uint8_t *queries;
	size_t count;
	uint32_t rows_first, rows_last; /* of the index */
	uint32_t tail_first, tail_last; /* rows of the tail */
	uint64_t first, last;           /* records behind both, or all */
	valori_hit *heaps;
	size_t *hits;
	struct vl_scratch *scratch;
	struct vl_index_counts counts;
	uint64_t repeated; /* queries for which a walk found too few */
	valori_code code;
	valori_error error;
	pthread_t thread;
	bool is_running;
};

/*
 * A walk may come by fewer than k rows that are allowed, because there are no more, or because those it came by are
 * not: then all rows are scanned. What lies behind the boundary does not make up for it.
 */
static valori_code repeat_short(struct slice *slice)
{
	const struct plan *plan = slice->plan;
	size_t query_size = (size_t)plan->state->dim * 4;

	for (size_t q = 0; q < slice->count; q++) {
		valori_code code;

		if (slice->hits[q] >= plan->k || slice->hits[q] == plan->matched)
			continue;
		slice->hits[q] = 0;
		slice->repeated++;
		slice->counts.scanned += plan->index->codes.count;
		code = vl_codes_search(&plan->index->codes, plan->state, slice->queries + q * query_size, 1, plan->k,
				       plan->filter, 0, plan->index->codes.count, slice->heaps + q * plan->k,
				       &slice->hits[q], &slice->counts.compared, &slice->error);
		if (code != VALORI_OK)
			return code;
	}
	return VALORI_OK;
}

static valori_code search_index(struct slice *slice)
{
	const struct plan *plan = slice->plan;
	valori_code code;

	switch ((valori_plan)plan->kind) {
	case VALORI_PLAN_CODES:
		slice->counts.scanned += (uint64_t)(slice->rows_last - slice->rows_first) * slice->count;
		return vl_codes_search(&plan->index->codes, plan->state, slice->queries, slice->count, plan->k,
				       plan->filter, slice->rows_first, slice->rows_last, slice->heaps, slice->hits,
				       &slice->counts.compared, &slice->error);
	case VALORI_PLAN_LIST:
		return vl_index_search_list(plan->index, plan->state, slice->scratch->inner, slice->queries,
					    slice->count, plan->k, plan->filter, plan->list, plan->length, slice->heaps,
					    slice->hits, &slice->counts, &slice->error);
	case VALORI_PLAN_GRAPH:
	case VALORI_PLAN_LISTS:
	case VALORI_PLAN_ALLOWED:
		code = vl_index_search(plan->index, plan->state, slice->scratch->inner, slice->queries, slice->count,
				       plan->k, &plan->effort, plan->probes, plan->filter, plan->allowed, slice->heaps,
				       slice->hits, &slice->counts, &slice->error);
		return code == VALORI_OK ? repeat_short(slice) : code;
	case VALORI_PLAN_NONE:
	case VALORI_PLAN_SCAN:
		break;
	}
	return VALORI_OK;
}

static void *search_slice(void *argument)
{
	struct slice *slice = argument;

	slice->code = search_index(slice);
	if (slice->code == VALORI_OK && slice->tail_first < slice->tail_last) {
		slice->counts.scanned += (uint64_t)(slice->tail_last - slice->tail_first) * slice->count;
		slice->code = vl_codes_search(slice->plan->tail, slice->plan->state, slice->queries, slice->count,
					      slice->plan->k, slice->plan->filter, slice->tail_first, slice->tail_last,
					      slice->heaps, slice->hits, &slice->counts.compared, &slice->error);
	}
	if (slice->code == VALORI_OK)
		slice->code = vl_brute_search(slice->plan->state, slice->queries, slice->count, slice->plan->k,
					      slice->plan->filter, slice->first, slice->last, slice->heaps, slice->hits,
					      &slice->error);
	slice->counts.scanned += (slice->last - slice->first) * slice->count;
	return NULL;
}

/* ---- Proving hits ---- */

static valori_code wrong_hit(uint64_t id, const char *what, valori_error *error)
{
	return vl_fail(error, VALORI_DAMAGED,
		       "record %llu: %s: damaged in memory or in the snapshot; valori-verify says where",
		       (unsigned long long)id, what);
}

static bool is_content_right(const struct vl_kernels *kernels, const struct vl_record *record, const uint8_t *digests)
{
	static const uint8_t zeros[VL_HASH_SIZE];
	uint8_t computed[VL_HASH_SIZE];
	struct vl_blake3 hash;

	if (record->key_size > 0) {
		vl_blake3(kernels, VL_HASH_KEY, record->key, record->key_size, computed);
		if (memcmp(computed, digests + VL_DIGEST_K, VL_HASH_SIZE) != 0)
			return false;
	}
	if (record->metadata_size == VL_ABSENT)
		return memcmp(digests + VL_DIGEST_M, zeros, VL_HASH_SIZE) == 0;
	vl_blake3_init(&hash, kernels, VL_HASH_METADATA);
	if (record->metadata_salt != NULL)
		vl_blake3_update(&hash, record->metadata_salt, VL_SALT_SIZE);
	vl_blake3_update(&hash, record->metadata, record->metadata_size);
	vl_blake3_final(&hash, computed);
	return memcmp(computed, digests + VL_DIGEST_M, VL_HASH_SIZE) == 0;
}

/* The vectors' digests, plain ones in lanes. */
static void hash_vectors(const struct vl_kernels *kernels, const struct vl_state *state,
			 const struct vl_record *records, size_t count, uint8_t out[][VL_HASH_SIZE])
{
	size_t size = (size_t)state->dim * 4, lanes = 0;
	const uint8_t *inputs[PROVEN];
	size_t places[PROVEN];
	uint8_t hashes[PROVEN][VL_HASH_SIZE];

	for (size_t i = 0; i < count; i++) {
		const uint8_t *vector = vl_state_vector(state, records[i].id);

		if (records[i].vector_salt == NULL) {
			places[lanes] = i;
			inputs[lanes++] = vector;
		} else {
			struct vl_blake3 hash;

			vl_blake3_init(&hash, kernels, VL_HASH_VECTOR);
			vl_blake3_update(&hash, records[i].vector_salt, VL_SALT_SIZE);
			vl_blake3_update(&hash, vector, size);
			vl_blake3_final(&hash, out[i]);
		}
	}
	vl_blake3_many(kernels, VL_HASH_VECTOR, inputs, size, lanes, hashes[0]);
	for (size_t i = 0; i < lanes; i++)
		memcpy(out[places[i]], hashes[i], VL_HASH_SIZE);
}

static valori_code prove_some(const struct vl_version *version, const valori_hit *hits, size_t count,
			      valori_error *error)
{
	const struct vl_kernels *kernels = version->env->kernels;
	const struct vl_state *state = &version->state;
	const struct vl_array *leaves = &version->commitment.trees[VL_RECORDS].level[0];
	struct vl_record records[PROVEN];
	uint8_t hashes[PROVEN][VL_HASH_SIZE], leaf[VL_LEAF_MAX];

	for (size_t i = 0; i < count; i++)
		if (hits[i].id < state->records.places.count && hits[i].id < leaves->count) {
			__builtin_prefetch(vl_array_get(&state->records.places, hits[i].id));
			__builtin_prefetch(vl_array_get(&state->records.digests, hits[i].id));
			__builtin_prefetch(vl_array_get(&state->records.digests, hits[i].id) + 64);
			__builtin_prefetch(vl_array_get(leaves, hits[i].id));
		}
	for (size_t i = 0; i < count; i++) {
		if (!vl_record_get(state, hits[i].id, &records[i]) || vl_state_vector(state, hits[i].id) == NULL)
			return wrong_hit(hits[i].id, "is not there", error);
		if (i > 0 && hits[i].id == hits[i - 1].id)
			return wrong_hit(hits[i].id, "is twice in the index", error);
	}
	hash_vectors(kernels, state, records, count, hashes);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *digests = vl_array_get(&state->records.digests, hits[i].id);
		enum vl_context context;
		size_t size;

		if (memcmp(hashes[i], digests + VL_DIGEST_V, VL_HASH_SIZE) != 0)
			return wrong_hit(hits[i].id, "vector differs from its hash", error);
		if (!is_content_right(kernels, &records[i], digests))
			return wrong_hit(hits[i].id, "key or metadata differs from its hash", error);
		size = vl_state_leaf(state, VL_RECORDS, hits[i].id, leaf, &context);
		vl_blake3(kernels, context, leaf, size, hashes[i]);
		if (hits[i].id >= leaves->count ||
		    memcmp(hashes[i], vl_array_get(leaves, hits[i].id), VL_HASH_SIZE) != 0)
			return wrong_hit(hits[i].id, "differs from its leaf", error);
	}
	return VALORI_OK;
}

valori_code vl_engine_prove_record(const struct vl_version *version, uint64_t id, valori_error *error)
{
	const valori_hit hit = {.id = id};

	return prove_some(version, &hit, 1, error);
}

static valori_code prove(const struct vl_version *version, const valori_hit *hits, size_t count, valori_error *error)
{
	for (size_t i = 0; i < count; i += PROVEN) {
		valori_code code = prove_some(version, hits + i, count - i < PROVEN ? count - i : PROVEN, error);

		if (code != VALORI_OK)
			return code;
	}
	return VALORI_OK;
}

/* ---- Searching ---- */

static valori_code run_slices(struct slice *slices, size_t count, valori_error *error)
{
	for (size_t i = 1; i < count; i++)
		slices[i].is_running = pthread_create(&slices[i].thread, NULL, search_slice, &slices[i]) == 0;
	for (size_t i = 0; i < count; i++)
		if (!slices[i].is_running) /* a thread that could not be had costs time only */
			search_slice(&slices[i]);
	for (size_t i = 1; i < count; i++)
		if (slices[i].is_running)
			pthread_join(slices[i].thread, NULL);
	for (size_t i = 0; i < count; i++)
		if (slices[i].code != VALORI_OK) {
			if (error != NULL)
				*error = slices[i].error;
			return slices[i].code;
		}
	return VALORI_OK;
}

static struct vl_scratch *take_scratch(valori *store, valori_error *error)
{
	struct vl_scratch *scratch;

	pthread_mutex_lock(&store->mutex);
	scratch = store->scratches;
	if (scratch != NULL)
		store->scratches = scratch->next;
	pthread_mutex_unlock(&store->mutex);
	if (scratch != NULL)
		return scratch;
	scratch = vl_alloc(store->env, sizeof(*scratch));
	if (scratch == NULL) {
		vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		return NULL;
	}
	if (vl_index_scratch_new(&scratch->inner, store->env, error) == VALORI_OK)
		return scratch;
	vl_release(store->env, scratch, sizeof(*scratch));
	return NULL;
}

static void give_scratch(valori *store, struct vl_scratch *scratch)
{
	if (scratch == NULL)
		return;
	pthread_mutex_lock(&store->mutex);
	scratch->next = store->scratches;
	store->scratches = scratch;
	pthread_mutex_unlock(&store->mutex);
}

void vl_engine_free_scratches(valori *store)
{
	while (store->scratches != NULL) {
		struct vl_scratch *scratch = store->scratches;

		store->scratches = scratch->next;
		vl_index_scratch_free(scratch->inner);
		vl_release(store->env, scratch, sizeof(*scratch));
	}
}

/* Does a thread take some of the queries, rather than some of the records? */
static bool is_by_query(const struct plan *plan)
{
	return plan->kind == VALORI_PLAN_GRAPH || plan->kind == VALORI_PLAN_LISTS ||
	       plan->kind == VALORI_PLAN_ALLOWED || plan->kind == VALORI_PLAN_LIST;
}

/* The part i of count from first to last. */
static uint64_t cut(uint64_t first, uint64_t last, size_t i, size_t count)
{
	return i == count ? last : first + (last - first) / count * i;
}

static void share_out(const struct plan *plan, const uint8_t *queries, size_t count, struct slice *slices,
		      size_t threads)
{
	const struct vl_index *index = plan->kind == VALORI_PLAN_SCAN ? NULL : plan->index;
	uint64_t slots = vl_state_slots(plan->state, VL_RECORDS), behind = index == NULL ? 0 : plan->tail_slots;
	uint32_t rows = index == NULL ? 0 : index->codes.count, tail = plan->tail == NULL ? 0 : plan->tail->count;

	for (size_t i = 0; i < threads; i++) {
		struct slice *slice = &slices[i];

		slice->plan = plan;
		if (is_by_query(plan)) {
			size_t first = (size_t)cut(0, count, i, threads);

			slice->queries = queries + first * plan->state->dim * 4;
			slice->count = (size_t)cut(0, count, i + 1, threads) - first;
			slice->tail_last = tail;
			slice->first = behind;
			slice->last = slots;
		} else {
			slice->queries = queries;
			slice->count = count;
			slice->rows_first = (uint32_t)cut(0, rows, i, threads);
			slice->rows_last = (uint32_t)cut(0, rows, i + 1, threads);
			slice->tail_first = (uint32_t)cut(0, tail, i, threads);
			slice->tail_last = (uint32_t)cut(0, tail, i + 1, threads);
			slice->first = cut(behind, slots, i, threads);
			slice->last = cut(behind, slots, i + 1, threads);
		}
	}
}

/*
 * One pass: slices of the queries work in the caller's arrays; slices of the records in heaps of their own, which are
 * merged into those of the first.
 */
static valori_code run_plan(valori *store, const struct plan *plan, const uint8_t *queries, size_t count,
			    size_t threads, valori_hit *out, size_t *out_counts, valori_explanation *explanation,
			    valori_error *error)
{
	size_t k = plan->k, heaps_size = count * k * sizeof(valori_hit), hits_size = count * sizeof(size_t), size;
	bool is_by = is_by_query(plan);
	struct slice slices[THREADS_MAX];
	uint8_t *memory = NULL;
	valori_code code = VALORI_OK;

	if (is_by && threads > count)
		threads = count;
	size = is_by ? 0 : (threads - 1) * (heaps_size + hits_size);
	memset(slices, 0, threads * sizeof(slices[0]));
	memset(out_counts, 0, hits_size);
	if (size > 0) {
		memory = vl_alloc(store->env, size);
		if (memory == NULL)
			return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	}
	share_out(plan, queries, count, slices, threads);
	for (size_t i = 0; i < threads && code == VALORI_OK; i++) {
		struct slice *slice = &slices[i];

		slice->heaps = out;
		slice->hits = out_counts;
		if (is_by) {
			size_t first = (size_t)cut(0, count, i, threads);

			slice->heaps += first * k;
			slice->hits += first;
			slice->scratch = take_scratch(store, error);
			code = slice->scratch == NULL ? VALORI_NO_MEMORY : VALORI_OK;
		} else if (i > 0) {
			slice->heaps = (valori_hit *)(void *)(memory + (i - 1) * heaps_size);
			slice->hits = (size_t *)(void *)(memory + (threads - 1) * heaps_size + (i - 1) * hits_size);
			memset(slice->hits, 0, hits_size);
		}
	}
	if (code == VALORI_OK)
		code = run_slices(slices, threads, error);
	for (size_t i = 0; i < threads; i++) {
		give_scratch(store, slices[i].scratch);
		explanation->scanned += slices[i].counts.scanned;
		explanation->visited += slices[i].counts.visited;
		explanation->compared += slices[i].counts.compared;
		explanation->repeated += slices[i].repeated;
	}
	for (size_t i = 1; i < threads && code == VALORI_OK && !is_by; i++)
		for (size_t q = 0; q < count; q++)
			vl_hits_merge(out + q * k, &out_counts[q], k, slices[i].heaps + q * k, slices[i].hits[q]);
	vl_release(store->env, memory, size);
	return code;
}

static valori_code search(valori *store, const struct vl_version *version, const struct plan *plan,
			  const uint8_t *queries, size_t count, size_t threads, valori_hit *out, size_t *out_counts,
			  valori_explanation *explanation, valori_error *error)
{
	size_t k = plan->k;
	valori_code code = run_plan(store, plan, queries, count, threads, out, out_counts, explanation, error);

	for (size_t q = 0; q < count && code == VALORI_OK; q++) {
		vl_hits_sort(out + q * k, out_counts[q]);
		code = prove(version, out + q * k, out_counts[q], error);
	}
	return code;
}

/* ---- Choosing how ---- */

/*
 * The pool of a walk holds ef rows. What is known not to be allowed, rows of records that are gone, takes up some of
 * it, and of the k of its stop.
 */
static void set_effort(struct plan *plan, const valori_search_options *options)
{
	uint64_t rows = plan->index->codes.count, live = plan->state->totals.record_live;
	uint64_t ef = options->ef != 0 ? options->ef : vl_index_ef(&plan->state->totals), k = options->k;

	/* The nearest one alone is no measure of how far to look: a walk would end in the first hollow. */
	if (k < STOP_MIN)
		k = STOP_MIN;
	if (ef < k)
		ef = k;
	if (plan->allowed == NULL && live > 0 && live < rows) {
		ef += ef * (rows - live < live ? rows - live : live) / live;
		k += k * (rows - live < live ? rows - live : live) / live + 1;
	}
	plan->effort.k = (uint32_t)k;
	plan->effort.ef = (uint32_t)ef;
	plan->effort.slack = options->slack != 0 ? options->slack : SLACK;
	plan->effort.matches = plan->allowed != NULL ? (uint32_t)plan->matched : 0;
}

/* The nearest of few are farther away than those of many: half as many lists more for each halving. */
static uint32_t choose_probes(const struct plan *plan, const valori_search_options *options)
{
	uint64_t probes = options->probes != 0 ? options->probes : vl_index_probes(&plan->state->totals), more;
	uint32_t lists = plan->index->ivf.lists;

	if (probes == 0)
		for (probes = 1; (probes + 1) * (probes + 1) <= lists;)
			probes++;
	more = probes / 2 + 1;
	if (plan->allowed != NULL)
		for (uint64_t rows = plan->matched; rows < plan->index->codes.count / 2; rows = rows * 2 + 1)
			probes += more;
	return probes < lists ? (uint32_t)probes : lists;
}

/* Does the filter let all pass that is live? */
static bool is_wide_open(const struct plan *plan)
{
	return !plan->filter->has_tag && plan->filter->collection == 0 &&
	       vl_state_slots(plan->state, VL_COLLECTIONS) == 1;
}

/* *out_own: to be freed after the search. */
static valori_code choose(struct plan *plan, const valori_view *view, const valori_search_options *options,
			  const struct vl_filter *filter, struct vl_filtered **out_own, valori_error *error)
{
	const struct vl_filtered *filtered;
	const struct vl_index *index = view->round != NULL ? &view->round->index : NULL;

	*plan = (struct plan){.kind = VALORI_PLAN_SCAN,
			      .k = options->k,
			      .state = &vl_engine_version(view)->state,
			      .filter = filter,
			      .matched = VALORI_NONE};
	*out_own = NULL;
	if (index == NULL || index->codes.count == 0)
		return VALORI_OK;
	plan->index = index;
	plan->kind = VALORI_PLAN_CODES;
	/* A scan looks at each record's tag as it comes by: it gains from a list only when that is short. */
	if (!is_wide_open(plan)) {
		filtered = vl_engine_filtered(view, filter, out_own, error);
		if (filtered == NULL)
			return VALORI_NO_MEMORY;
		plan->matched = filtered->matched;
		plan->allowed = filtered->bits;
		plan->list = filtered->list;
		plan->length = (size_t)filtered->matched;
		if (plan->list != NULL || plan->matched == 0) {
			plan->kind = VALORI_PLAN_LIST;
			return VALORI_OK;
		}
	}
	if (options->exact || !vl_index_is_quick(index))
		return VALORI_OK;
	plan->kind = index->has_lists ? VALORI_PLAN_LISTS : VALORI_PLAN_GRAPH;
	if (plan->allowed != NULL)
		plan->kind = VALORI_PLAN_ALLOWED;
	set_effort(plan, options);
	if (index->has_lists)
		plan->probes = choose_probes(plan, options);
	return VALORI_OK;
}

static void explain(const struct plan *plan, const valori_view *view, valori_explanation *explanation)
{
	uint64_t slots = vl_state_slots(plan->state, VL_RECORDS);

	*explanation = (valori_explanation){.plan = plan->kind,
					    .kind = UINT32_MAX,
					    .since = VALORI_NONE,
					    .boundary = VALORI_NONE,
					    .matched = plan->matched,
					    .tail = slots};
	if (view->round == NULL)
		return;
	explanation->kind = view->round->index.schedule.parameters.kind;
	explanation->since = view->round->index.schedule.since;
	explanation->boundary = view->round->index.schedule.boundary;
	explanation->rows = view->round->index.codes.count;
	if (plan->kind != VALORI_PLAN_SCAN)
		explanation->tail = slots - view->round->index.schedule.covered;
}

/* Queries as the kernels want them: little-endian bytes that satisfy the acceptance rule. */
static valori_code take_queries(const struct vl_version *version, const int32_t *queries, size_t count, uint8_t *out,
				valori_error *error)
{
	size_t dim = version->state.dim, component;

	for (size_t i = 0; i < count * dim; i++)
		vl_put32(out + i * 4, (uint32_t)queries[i]);
	for (size_t q = 0; q < count; q++) {
		enum vl_q16_fault fault = vl_q16_accept(version->env->kernels, out + q * dim * 4, dim, &component);

		if (fault == VL_Q16_OK)
			continue;
		vl_fail(error, VALORI_RANGE, "query %zu: component %zu: %s", q, component, vl_q16_fault_text(fault));
		if (error != NULL)
			error->event = component;
		return VALORI_RANGE;
	}
	return VALORI_OK;
}

valori_code valori_search(const valori_view *view, const int32_t *queries, size_t count,
			  const valori_search_options *options, valori_hit *out, size_t *out_counts,
			  valori_error *error)
{
	const struct vl_version *version = vl_engine_version(view);
	valori_search_options known = VALORI_SEARCH_INIT;
	valori_explanation explanation = {.matched = VALORI_NONE};
	struct vl_filtered *own = NULL;
	struct vl_filter filter;
	struct vl_codes tail;
	struct plan plan;
	size_t size, threads;
	uint8_t *bytes;
	uint64_t slots = vl_state_slots(&version->state, VL_RECORDS);
	valori_code code;

	if (options != NULL)
		memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	if (known.k < 1 || known.k > VALORI_K_MAX)
		return vl_fail(error, VALORI_INVALID, "k %u: must be 1 to %d", known.k, VALORI_K_MAX);
	if (known.ef > VALORI_EF_MAX)
		return vl_fail(error, VALORI_INVALID, "ef %u: must be at most %d", known.ef, VALORI_EF_MAX);
	if (known.slack != 0 && (known.slack < 1024 || known.slack > 65536))
		return vl_fail(error, VALORI_INVALID, "slack %u: must be 1024 to 65536", known.slack);
	if ((version->state.flags & VL_STATE_NO_VECTORS) != 0)
		return vl_fail(error, VALORI_UNKNOWABLE, "the store was opened without vectors");
	if (known.boundary != 0 && (view->round == NULL || view->round->index.schedule.boundary != known.boundary))
		return vl_fail(error, VALORI_NOT_FOUND, "there is no index with boundary %llu",
			       (unsigned long long)known.boundary);
	if (known.explanation != NULL)
		*known.explanation = explanation;
	if (count == 0)
		return VALORI_OK;
	if (count > SIZE_MAX / 4 / version->state.dim || count > SIZE_MAX / sizeof(valori_hit) / known.k / THREADS_MAX)
		return vl_fail(error, VALORI_NO_MEMORY, "%zu queries are too many", count);
	if (known.collection > UINT16_MAX) {
		memset(out_counts, 0, count * sizeof(*out_counts));
		return VALORI_OK;
	}
	filter = (struct vl_filter){(uint16_t)known.collection, known.has_tag != 0, known.tag};
	threads = known.threads < 1 ? 1 : known.threads > THREADS_MAX ? THREADS_MAX : known.threads;
	code = choose(&plan, view, &known, &filter, &own, error);
	if (code != VALORI_OK)
		return code;
	if (!is_by_query(&plan) && threads > slots / SLICE_MIN + 1)
		threads = (size_t)(slots / SLICE_MIN + 1);
	if (plan.kind != VALORI_PLAN_SCAN) {
		plan.tail_slots = vl_engine_take_tail(view, count, &tail);
		plan.tail = plan.tail_slots > plan.index->schedule.covered ? &tail : NULL;
	}
	size = count * version->state.dim * 4;
	bytes = vl_alloc(version->env, size);
	explain(&plan, view, &explanation);
	code = bytes == NULL ? vl_fail(error, VALORI_NO_MEMORY, "out of memory")
			     : take_queries(version, queries, count, bytes, error);
	if (code == VALORI_OK)
		code = search(view->store, version, &plan, bytes, count, threads, out, out_counts, &explanation, error);
	vl_release(version->env, bytes, size);
	vl_engine_free_filtered(version->env, own);
	if (plan.tail != NULL)
		vl_codes_free(&tail);
	if (known.explanation != NULL)
		*known.explanation = explanation;
	return code;
}
