/* hnsw.c - a graph as a thing: made, shared, looked at. */
#include "hnsw.h"

#include "err.h"
#include "hnsw_private.h"

void vl_hnsw_init(struct vl_hnsw *graph, const struct vl_env *env, const struct vl_hnsw_parameters *parameters)
{
	memset(graph, 0, sizeof(*graph));
	graph->env = env;
	graph->parameters = *parameters;
}

void vl_hnsw_free(struct vl_hnsw *graph)
{
	vl_block_free(&graph->links);
	vl_block_free(&graph->levels);
	vl_block_free(&graph->upper);
	vl_block_free(&graph->above);
	graph->count = graph->above_count = 0;
}

struct vl_hnsw vl_hnsw_share(const struct vl_hnsw *graph)
{
	struct vl_hnsw other = *graph;

	other.links = vl_block_share(&graph->links);
	other.levels = vl_block_share(&graph->levels);
	other.upper = vl_block_share(&graph->upper);
	other.above = vl_block_share(&graph->above);
	return other;
}

valori_code vl_hnsw_attach(const struct vl_hnsw *graph, valori_error *error)
{
	const struct vl_hnsw_parameters *p = &graph->parameters;
	uint64_t count = graph->count, m = p->m;

	if (p->m < 2 || p->m > VL_HNSW_M_MAX || p->ef_construction < 1 || p->ef_construction > VL_HNSW_EF_MAX ||
	    p->width < 1 || p->width > VL_HNSW_WIDTH_MAX || p->slack < 1024 || p->slack > 65536)
		return vl_fail(error, VALORI_DAMAGED, "graph: a parameter is out of range");
	if (count > VL_CODES_MAX || (count > 0 && graph->entry >= count) || graph->top > VL_HNSW_LEVEL_MAX)
		return vl_fail(error, VALORI_DAMAGED, "graph: it does not begin in itself");
	if (graph->links.size < count * 8 * m || graph->levels.size < count || graph->upper.size < count * 4 ||
	    graph->above.size < (uint64_t)graph->above_count * 4 * m)
		return vl_fail(error, VALORI_DAMAGED, "graph: parts are missing");
	return VALORI_OK;
}

/* One list; seen has a bit per row, all zero before and after. */
static bool is_list_sound(const struct vl_hnsw *graph, uint32_t row, uint32_t layer, uint64_t *seen)
{
	uint32_t max, count = 0;
	const uint8_t *links = vl_hnsw_links(graph, layer, row, &max);
	bool is_sound = true;

	for (; count < max && vl_get32(links + 4 * count) != VL_HNSW_NONE; count++) {
		uint32_t other = vl_get32(links + 4 * count);

		if (other >= graph->count || other == row || vl_hnsw_level(graph, other) < layer ||
		    (seen[other / 64] >> other % 64 & 1)) {
			is_sound = false;
			break;
		}
		seen[other / 64] |= UINT64_C(1) << other % 64;
	}
	for (uint32_t i = 0; i < count; i++)
		seen[vl_get32(links + 4 * i) / 64] = 0;
	for (uint32_t i = count; i < max && is_sound; i++)
		is_sound = vl_get32(links + 4 * i) == VL_HNSW_NONE;
	return is_sound;
}

valori_code vl_hnsw_check(const struct vl_hnsw *graph, valori_error *error)
{
	size_t words = ((size_t)graph->count + 63) / 64, size = words * 8;
	valori_code code = vl_hnsw_attach(graph, error);
	uint32_t above = 0, top = 0;
	uint64_t *seen;

	if (code != VALORI_OK || graph->count == 0)
		return code;
	seen = vl_alloc(graph->env, size);
	if (seen == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "graph: out of memory");
	memset(seen, 0, size);
	for (uint32_t row = 0; row < graph->count && code == VALORI_OK; row++) {
		uint8_t level = vl_hnsw_level(graph, row);
		uint32_t upper = vl_get32((const uint8_t *)graph->upper.data + (size_t)row * 4);

		if (level > VL_HNSW_LEVEL_MAX || upper != (level > 0 ? above : VL_HNSW_NONE) ||
		    level > graph->above_count - above)
			code = vl_fail(error, VALORI_DAMAGED, "graph: row %u: its layers are not where they should be",
				       row);
		above += level;
		top = level > top ? level : top;
		for (uint32_t layer = 0; layer <= level && code == VALORI_OK; layer++)
			if (!is_list_sound(graph, row, layer, seen))
				code = vl_fail(error, VALORI_DAMAGED, "graph: row %u: a link on layer %u is none", row,
					       layer);
	}
	if (code == VALORI_OK &&
	    (above != graph->above_count || top != graph->top || vl_hnsw_level(graph, graph->entry) != top))
		code = vl_fail(error, VALORI_DAMAGED, "graph: its highest layer is not where it begins");
	vl_release(graph->env, seen, size);
	return code;
}
