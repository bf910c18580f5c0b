/* indexes.c - indexes in the determinism matrix, with nothing but the core. */
#include "indexes.h"

static const uint32_t kinds[MATRIX_INDEXES] = {VL_INDEX_BRUTE, VL_INDEX_HNSW, VL_INDEX_IVF};

enum { EF = 40, SLACK = 1300 };

static void wanted(const struct vl_state *state, unsigned which, struct vl_index_parameters *out)
{
	vl_index_configured(&state->totals, out);
	out->kind = kinds[which];
}

void matrix_indexes_init(struct matrix_indexes *indexes, const struct vl_env *env, const struct vl_state *state)
{
	memset(indexes, 0, sizeof(*indexes));
	indexes->env = env;
	indexes->state = state;
	for (unsigned i = 0; i < MATRIX_INDEXES; i++) {
		struct vl_index_parameters parameters;
		struct vl_schedule begun;

		wanted(state, i, &parameters);
		vl_schedule_begin(&begun, &parameters, state->totals.height);
		vl_index_init(&indexes->index[i], env, state->dim, &begun);
		for (unsigned part = 0; part < VL_INDEX_PARTS; part++)
			vl_buf_init(&indexes->parts[i][part], env);
	}
}

void matrix_indexes_free(struct matrix_indexes *indexes)
{
	for (unsigned i = 0; i < MATRIX_INDEXES; i++) {
		vl_index_free(&indexes->index[i]);
		for (unsigned part = 0; part < VL_INDEX_PARTS; part++)
			vl_buf_free(&indexes->parts[i][part]);
	}
}

void matrix_indexes_applied(struct matrix_indexes *indexes)
{
	for (unsigned i = 0; i < MATRIX_INDEXES && indexes->code == VALORI_OK; i++) {
		struct vl_index *index = &indexes->index[i];
		struct vl_index_parameters parameters;
		struct vl_schedule after;

		wanted(indexes->state, i, &parameters);
		if (vl_schedule_next(&index->schedule, indexes->state, &parameters, &after))
			indexes->code = vl_index_round(index, indexes->state, &after, NULL, &indexes->error);
	}
}

static valori_code restore_one(struct matrix_indexes *indexes, unsigned which, valori_error *error)
{
	struct vl_index *index = &indexes->index[which];
	struct vl_index_bytes bytes[VL_INDEX_PARTS];
	uint8_t head[VL_INDEX_HEAD];
	valori_code code;

	vl_index_bytes(index, head, bytes);
	for (unsigned part = 0; part < VL_INDEX_PARTS; part++) {
		struct vl_buf *buf = &indexes->parts[which][part];

		vl_buf_put(buf, bytes[part].data, (size_t)(bytes[part].count * bytes[part].elem_size));
		if (buf->failed)
			return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		bytes[part].data = buf->data;
	}
	vl_index_free(index);
	code = vl_index_attach(index, indexes->env, indexes->state, bytes, error);
	return code != VALORI_OK ? code : vl_index_check(index, indexes->state, error);
}

valori_code matrix_indexes_restore(struct matrix_indexes *indexes, valori_error *error)
{
	valori_code code = VALORI_OK;

	for (unsigned i = 0; i < MATRIX_INDEXES && code == VALORI_OK; i++)
		code = restore_one(indexes, i, error);
	return code;
}

/* ---- Searching ---- */

struct search {
	const struct matrix_indexes *indexes;
	const struct vl_index *index;
	struct vl_index_scratch *scratch;
};

static valori_code look(const struct search *search, const uint8_t *queries, size_t count, size_t k,
			const struct vl_filter *filter, valori_hit *hits, size_t *hit_counts, valori_error *error)
{
	const struct vl_index *index = search->index;
	const struct vl_state *state = search->indexes->state;
	const struct vl_env *env = search->indexes->env;
	size_t bits_size = ((size_t)index->codes.count + 63) / 64 * sizeof(uint64_t);
	struct vl_hnsw_effort effort = {.k = (uint32_t)k, .ef = (uint32_t)(k > EF ? k : EF), .slack = SLACK};
	struct vl_index_counts counts = {0};
	uint64_t *bits;
	valori_code code;

	if (!vl_index_is_quick(index))
		return vl_codes_search(&index->codes, state, queries, count, k, filter, 0, index->codes.count, hits,
				       hit_counts, NULL, error);
	bits = vl_alloc(env, bits_size);
	if (bits == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	effort.matches = (uint32_t)vl_index_allowed(index, state, filter, bits);
	code = vl_index_search(index, state, search->scratch, queries, count, k, &effort, 0, filter, bits, hits,
			       hit_counts, &counts, error);
	vl_release(env, bits, bits_size);
	return code;
}

static valori_code search_index(void *context, const uint8_t *queries, size_t count, size_t k,
				const struct vl_filter *filter, valori_hit *hits, size_t *hit_counts,
				valori_error *error)
{
	const struct search *search = context;
	valori_code code = look(search, queries, count, k, filter, hits, hit_counts, error);

	if (code == VALORI_OK)
		code = vl_brute_search(search->indexes->state, queries, count, k, filter,
				       search->index->schedule.covered, UINT64_MAX, hits, hit_counts, error);
	for (size_t i = 0; i < count && code == VALORI_OK; i++)
		vl_hits_sort(hits + i * k, hit_counts[i]);
	return code;
}

static valori_code report_one(struct matrix_indexes *indexes, unsigned which, const uint8_t exact[VL_HASH_SIZE],
			      uint8_t digest[VL_HASH_SIZE], uint8_t found[VL_HASH_SIZE], valori_error *error)
{
	struct vl_index *index = &indexes->index[which];
	struct search search = {indexes, index, NULL};
	valori_code code = vl_index_check(index, indexes->state, error);

	if (code == VALORI_OK &&
	    (index->has_graph != (kinds[which] == VL_INDEX_HNSW) || index->has_lists != (kinds[which] == VL_INDEX_IVF)))
		code = vl_fail(error, VALORI_MISSING, "there is no index of kind %u", (unsigned)kinds[which]);
	if (code == VALORI_OK)
		code = vl_index_scratch_new(&search.scratch, indexes->env, error);
	if (code != VALORI_OK)
		return code;
	vl_index_digest(index, digest);
	code = matrix_answers(indexes->env, indexes->state->dim, search_index, &search, found, error);
	vl_index_scratch_free(search.scratch);
	if (code == VALORI_OK && kinds[which] == VL_INDEX_BRUTE && memcmp(found, exact, VL_HASH_SIZE) != 0)
		code = vl_fail(error, VALORI_MISMATCH, "the certified scan does not find what the exact one does");
	return code;
}

valori_code matrix_indexes_report(struct matrix_indexes *indexes, const uint8_t exact[VL_HASH_SIZE],
				  uint8_t digest[VL_HASH_SIZE], uint8_t found[VL_HASH_SIZE], valori_error *error)
{
	struct vl_blake3 all, all_found;

	if (indexes->code != VALORI_OK) {
		*error = indexes->error;
		return indexes->code;
	}
	vl_blake3_init(&all, indexes->env->kernels, VL_HASH_PLAIN);
	vl_blake3_init(&all_found, indexes->env->kernels, VL_HASH_PLAIN);
	for (unsigned i = 0; i < MATRIX_INDEXES; i++) {
		valori_code code = report_one(indexes, i, exact, digest, found, error);

		if (code != VALORI_OK)
			return code;
		vl_blake3_update(&all, digest, VL_HASH_SIZE);
		vl_blake3_update(&all_found, found, VL_HASH_SIZE);
	}
	vl_blake3_final(&all, digest);
	vl_blake3_final(&all_found, found);
	return VALORI_OK;
}
