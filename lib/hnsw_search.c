/* hnsw_search.c - answers from the graph. */
#include "err.h"
#include "hnsw_private.h"

enum {
	CACHE_SIZE = 16 << 20, /* what is larger is fetched from memory: more expansions at once pay */
	WIDTH_NEAR = 2,
	WIDTH_FAR = 4
};

struct vl_hnsw_scratch {
	const struct vl_env *env;
	struct vl_walk walks[VL_HNSW_LANES];
};

valori_code vl_hnsw_scratch_new(struct vl_hnsw_scratch **out, const struct vl_env *env, valori_error *error)
{
	struct vl_hnsw_scratch *scratch = vl_alloc(env, sizeof(*scratch));

	*out = scratch;
	if (scratch == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "search: out of memory");
	memset(scratch, 0, sizeof(*scratch));
	scratch->env = env;
	return VALORI_OK;
}

void vl_hnsw_scratch_free(struct vl_hnsw_scratch *scratch)
{
	if (scratch == NULL)
		return;
	for (size_t i = 0; i < VL_HNSW_LANES; i++)
		vl_walk_free(&scratch->walks[i], scratch->env);
	vl_release(scratch->env, scratch, sizeof(*scratch));
}

/* What was asked for, with its numbers in their ranges and a width. */
static struct vl_hnsw_effort settle(const struct vl_hnsw *graph, const struct vl_codes *codes,
				    const struct vl_hnsw_effort *effort)
{
	struct vl_hnsw_effort settled = *effort;
	uint64_t row_size = codes->stride + UINT64_C(8) * graph->parameters.m;

	if (settled.width == 0)
		settled.width = graph->count * row_size > CACHE_SIZE ? WIDTH_FAR : WIDTH_NEAR;
	if (settled.width > VL_HNSW_WIDTH_MAX)
		settled.width = VL_HNSW_WIDTH_MAX;
	if (settled.ef == 0)
		settled.ef = 1;
	if (settled.ef > VL_HNSW_EF_MAX)
		settled.ef = VL_HNSW_EF_MAX;
	return settled;
}

/* The rows of a pool that may be returned. */
static size_t give(const struct vl_walk *walk, uint64_t *out)
{
	size_t found = 0;

	for (uint32_t i = 0; i < walk->pool_count; i++)
		if (!(walk->pool[i] & VL_WALK_REJECTED))
			out[found++] = (uint64_t)vl_walk_distance(walk->pool[i]) << 32 | vl_walk_row(walk->pool[i]);
	return found;
}

valori_code vl_hnsw_search_many(const struct vl_hnsw *graph, const struct vl_codes *codes,
				struct vl_hnsw_scratch *scratch, const uint8_t *queries, size_t count,
				const struct vl_hnsw_effort *effort, const uint64_t *allowed, uint64_t *out,
				size_t *found, uint64_t *visited, valori_error *error)
{
	struct vl_hnsw_effort settled = settle(graph, codes, effort);
	size_t lanes = count < VL_HNSW_LANES ? count : VL_HNSW_LANES, next, done = 0;
	size_t query[VL_HNSW_LANES];
	uint64_t compared = 0;

	for (size_t i = 0; i < lanes; i++) {
		struct vl_walk *walk = &scratch->walks[i];

		if (!vl_walk_reserve(walk, scratch->env, graph->count, graph->parameters.m, &settled, allowed != NULL))
			return vl_fail(error, VALORI_NO_MEMORY, "search: out of memory");
		walk->compared = 0;
		query[i] = i;
		vl_walk_begin(walk, graph, codes, queries + i * codes->stride, 0, &settled, allowed);
	}
	next = lanes;
	while (done < count)
		for (size_t i = 0; i < lanes; i++) {
			struct vl_walk *walk = &scratch->walks[i];

			if (walk->phase != VL_WALK_DONE) {
				vl_walk_turn(walk);
				continue;
			}
			if (query[i] == SIZE_MAX)
				continue;
			found[query[i]] = give(walk, out + query[i] * effort->ef);
			done++;
			query[i] = next < count ? next++ : SIZE_MAX;
			if (query[i] != SIZE_MAX)
				vl_walk_begin(walk, graph, codes, queries + query[i] * codes->stride, 0, &settled,
					      allowed);
		}
	for (size_t i = 0; i < lanes; i++)
		compared += scratch->walks[i].compared;
	if (visited != NULL)
		*visited += compared;
	return VALORI_OK;
}

valori_code vl_hnsw_search(const struct vl_hnsw *graph, const struct vl_codes *codes, struct vl_hnsw_scratch *scratch,
			   const uint8_t *query, const struct vl_hnsw_effort *effort, const uint64_t *allowed,
			   uint64_t *out, size_t *found, uint64_t *visited, valori_error *error)
{
	return vl_hnsw_search_many(graph, codes, scratch, query, 1, effort, allowed, out, found, visited, error);
}
