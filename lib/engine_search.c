/* engine_search.c - exact search over a view: several threads, one answer, every hit proven before it is given. */
#include "engine_private.h"

#include "index_brute.h"
#include "q16.h"

enum {
	THREADS_MAX = 64,
	SLICE_MIN = 4096, /* records worth a thread of their own */
	PROVEN = 64       /* hits whose content is hashed together */
};

struct slice { /* one thread's part of the records */
	const struct vl_state *state;
	const uint8_t *queries;
	size_t count, k;
	const struct vl_filter *filter;
	uint64_t first, last;
	valori_hit *heaps;
	size_t *hits;
	valori_code code;
	valori_error error;
	pthread_t thread;
	bool is_running;
};

static void *search_slice(void *argument)
{
	struct slice *slice = argument;

	slice->code = vl_brute_search(slice->state, slice->queries, slice->count, slice->k, slice->filter, slice->first,
				      slice->last, slice->heaps, slice->hits, &slice->error);
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
		if (!vl_record_get(state, hits[i].id, &records[i]) || vl_state_vector(state, hits[i].id) == NULL)
			return wrong_hit(hits[i].id, "is not there", error);
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

/* Slice 0 works in the caller's arrays; the others get heaps of their own, merged into them. */
static valori_code search(const struct vl_version *version, const uint8_t *queries, size_t count, size_t k,
			  const struct vl_filter *filter, size_t threads, valori_hit *out, size_t *out_counts,
			  valori_error *error)
{
	const struct vl_env *env = version->env;
	uint64_t slots = vl_state_slots(&version->state, VL_RECORDS);
	size_t heaps_size = count * k * sizeof(valori_hit), hits_size = count * sizeof(size_t);
	size_t size = (threads - 1) * (heaps_size + hits_size);
	struct slice slices[THREADS_MAX];
	uint8_t *memory = NULL;
	valori_code code;

	memset(slices, 0, threads * sizeof(slices[0]));
	if (size > 0) {
		memory = vl_alloc(env, size);
		if (memory == NULL)
			return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	}
	for (size_t i = 0; i < threads; i++) {
		struct slice *slice = &slices[i];

		slice->state = &version->state;
		slice->queries = queries;
		slice->count = count;
		slice->k = k;
		slice->filter = filter;
		slice->first = slots / threads * i;
		slice->last = i + 1 == threads ? slots : slots / threads * (i + 1);
		slice->heaps = i == 0 ? out : (valori_hit *)(void *)(memory + (i - 1) * heaps_size);
		slice->hits = i == 0 ? out_counts
				     : (size_t *)(void *)(memory + (threads - 1) * heaps_size + (i - 1) * hits_size);
		memset(slice->hits, 0, hits_size);
	}
	code = run_slices(slices, threads, error);
	for (size_t q = 0; q < count && code == VALORI_OK; q++) {
		for (size_t i = 1; i < threads; i++)
			vl_hits_merge(out + q * k, &out_counts[q], k, slices[i].heaps + q * k, slices[i].hits[q]);
		vl_hits_sort(out + q * k, out_counts[q]);
		code = prove(version, out + q * k, out_counts[q], error);
	}
	vl_release(env, memory, size);
	return code;
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
	struct vl_filter filter;
	size_t size, threads;
	uint8_t *bytes;
	uint64_t slots = vl_state_slots(&version->state, VL_RECORDS);
	valori_code code;

	if (options != NULL)
		memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	if (known.k < 1 || known.k > VALORI_K_MAX)
		return vl_fail(error, VALORI_INVALID, "k %u: must be 1 to %d", known.k, VALORI_K_MAX);
	if ((version->state.flags & VL_STATE_NO_VECTORS) != 0)
		return vl_fail(error, VALORI_UNKNOWABLE, "the store was opened without vectors");
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
	if (threads > slots / SLICE_MIN + 1)
		threads = (size_t)(slots / SLICE_MIN + 1);
	size = count * version->state.dim * 4;
	bytes = vl_alloc(version->env, size);
	if (bytes == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	code = take_queries(version, queries, count, bytes, error);
	if (code == VALORI_OK)
		code = search(version, bytes, count, known.k, &filter, threads, out, out_counts, error);
	vl_release(version->env, bytes, size);
	return code;
}
