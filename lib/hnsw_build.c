/*
 * hnsw_build.c - inserting rows, piece by piece.
 *
 * Each row of a piece is searched for in the graph as it was, and chooses its neighbours: it writes its own
 * links and nobody else's. Then every link is turned round: sorted by the row it leads to, and each of these
 * takes in what came to it, in the order of rows. Both are cut into parts that any thread may do.
 */
#include "err.h"
#include "hnsw_private.h"
#include "keys.h"

enum {
	PIECE_MIN = 64,
	PIECE_MAX = 2048,
	SIBLINGS_TOGETHER = VL_WALK_TAKE_MAX,
	EDGES_TOGETHER = 256, /* turned round by one thread at a time */
	KEPT_TOGETHER = 4     /* kept ones that a candidate is compared with at a time */
};

struct edge {
	uint32_t target, row, distance;
};

/* What one thread needs. */
struct builder {
	struct vl_walk walks[VL_HNSW_LANES];
	uint32_t rows[VL_HNSW_LANES], layers[VL_HNSW_LANES];
	uint64_t *keys, *kept;	      /* PIECE_MAX + 2 * m; 2 * m */
	uint32_t *chosen, *distances; /* 2 * m each */
	struct vl_room room;
};

struct piece {
	struct vl_hnsw *graph;
	const struct vl_codes *codes;
	const struct vl_workers *workers;
	struct vl_hnsw_effort effort;
	uint32_t first, last;
	struct builder *builders;
	size_t builders_count;
	uint32_t *places;   /* of each row of the piece: where its lists begin, in lists */
	struct edge *edges; /* lists of m edges; target NONE where there are no more */
	uint64_t *order, *spare;
	size_t order_count;
	struct vl_room rooms[4];
	uint32_t taken; /* atomic: what the next thread takes */
};

/*
 * The heuristic: a candidate that is nearer to one that was kept than to the base is reached through that
 * one.
 */
uint32_t vl_hnsw_choose(const struct vl_codes *codes, const uint64_t *keys, size_t count, uint32_t max, uint64_t *kept,
			uint32_t *rows, uint32_t kept_count)
{
	const struct vl_kernels *kernels = codes->env->kernels;
	uint32_t distances[KEPT_TOGETHER];

	for (size_t i = 0; i < count && kept_count < max; i++) {
		uint32_t row = vl_walk_row(keys[i]), distance = vl_walk_distance(keys[i]);
		const uint8_t *code = vl_codes_row(codes, row);
		bool is_far = true;

		for (uint32_t j = 0; j < kept_count && is_far; j += KEPT_TOGETHER) {
			uint32_t part = kept_count - j < KEPT_TOGETHER ? kept_count - j : KEPT_TOGETHER;

			kernels->code_l2_gather(code, codes->rows.data, rows + j, part, codes->stride, distances);
			for (uint32_t n = 0; n < part; n++)
				is_far &= distances[n] >= distance;
		}
		if (is_far) {
			kept[kept_count] = keys[i];
			rows[kept_count++] = row;
		}
	}
	return kept_count;
}

/* From the record's id, so that a row keeps its level when it is numbered anew. */
static uint8_t level_of(uint32_t id, uint32_t m)
{
	uint64_t z = id + UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	z = (z ^ z >> 31) | UINT64_C(1) << VL_HNSW_LEVEL_MAX;
	return (uint8_t)(__builtin_ctzll(z) / (31 - __builtin_clz(m)));
}

/* ---- the search of a row's neighbours ---- */

static struct edge *edges_of(const struct piece *piece, uint32_t row, uint32_t layer)
{
	return piece->edges + ((size_t)piece->places[row - piece->first] + layer) * piece->graph->parameters.m;
}

/*
 * Rows of the piece before this one that have the layer: the graph does not know them yet. What is inserted
 * together is often alike, so without them a piece could stay a stranger to itself.
 */
static void look_at_siblings(const struct piece *piece, struct vl_walk *walk, uint32_t row, uint32_t layer)
{
	const struct vl_codes *codes = piece->codes;
	uint32_t rows[SIBLINGS_TOGETHER], distances[SIBLINGS_TOGETHER], count;

	for (uint32_t other = piece->first; other < row;) {
		for (count = 0; count < SIBLINGS_TOGETHER && other < row; other++)
			if (layer == 0 || vl_hnsw_level(piece->graph, other) >= layer)
				rows[count++] = other;
		if (layer == 0)
			codes->env->kernels->code_l2_rows(walk->query, vl_codes_row(codes, rows[0]), count,
							  codes->stride, distances);
		else
			codes->env->kernels->code_l2_gather(walk->query, codes->rows.data, rows, count, codes->stride,
							    distances);
		vl_walk_take(walk, rows, distances, count);
	}
}

/* The pool of a walk holds the nearest: chooses among them, and writes down the links of this row. */
static void link_row(const struct piece *piece, struct builder *builder, struct vl_walk *walk, uint32_t row,
		     uint32_t layer)
{
	struct edge *edges = edges_of(piece, row, layer);
	uint32_t m = piece->graph->parameters.m, max, kept;
	uint8_t *links = vl_hnsw_links(piece->graph, layer, row, &max);

	look_at_siblings(piece, walk, row, layer);
	kept = vl_hnsw_choose(piece->codes, walk->pool, walk->pool_count, m, builder->kept, builder->chosen, 0);
	for (uint32_t i = 0; i < m; i++) {
		edges[i].target = i < kept ? builder->chosen[i] : VL_HNSW_NONE;
		if (i >= kept)
			break;
		edges[i].row = row;
		edges[i].distance = vl_walk_distance(builder->kept[i]);
		vl_put32(links + 4 * i, builder->chosen[i]);
	}
}

/* Takes a row into lane; false: there are no more. */
static bool take_row(struct piece *piece, struct builder *builder, size_t lane)
{
	uint32_t index = __atomic_fetch_add(&piece->taken, 1, __ATOMIC_RELAXED), row, level;
	struct vl_hnsw *graph = piece->graph;
	struct vl_walk *walk = &builder->walks[lane];

	if (index >= piece->last - piece->first)
		return false;
	row = piece->first + index;
	level = vl_hnsw_level(graph, row);
	builder->rows[lane] = row;
	/* On layers that nobody in the graph has there is nothing to find. */
	vl_walk_blank(walk, graph, piece->codes, vl_codes_row(piece->codes, row), &piece->effort, NULL);
	for (; piece->first == 0 || level > graph->top; level--) {
		link_row(piece, builder, walk, row, level);
		if (level == 0)
			break;
		walk->pool_count = walk->accepted = 0;
	}
	builder->layers[lane] = level;
	if (piece->first != 0)
		vl_walk_begin(walk, graph, piece->codes, walk->query, level, &piece->effort, NULL);
	return true;
}

static void search_rows(void *argument, size_t index)
{
	struct piece *piece = argument;
	struct builder *builder = &piece->builders[index];
	size_t busy = 0;
	bool is_busy[VL_HNSW_LANES];

	for (size_t i = 0; i < VL_HNSW_LANES; i++)
		busy += is_busy[i] = take_row(piece, builder, i);
	while (busy > 0)
		for (size_t i = 0; i < VL_HNSW_LANES; i++) {
			struct vl_walk *walk = &builder->walks[i];

			if (!is_busy[i])
				continue;
			if (walk->phase != VL_WALK_DONE) {
				vl_walk_turn(walk);
				continue;
			}
			if (piece->first != 0) {
				uint64_t nearest = walk->pool[0]; /* in the graph: siblings are not */

				link_row(piece, builder, walk, builder->rows[i], builder->layers[i]);
				if (builder->layers[i]-- > 0) {
					vl_walk_below(walk, nearest);
					continue;
				}
			}
			is_busy[i] = take_row(piece, builder, i);
			busy -= !is_busy[i];
		}
}

/* ---- turning links round ---- */

/* An edge as a number: layer, target, and which one it is. */
enum { INDEX_BITS = 24, TARGET_BITS = 31 };

static inline uint64_t group_of(uint64_t entry)
{
	return entry >> INDEX_BITS;
}

/* By all bits above index; those with the same stay in their order. */
static void sort_order(struct piece *piece)
{
	for (unsigned shift = INDEX_BITS; shift < 64; shift += 8) {
		size_t places[257] = {0};
		uint64_t *from = piece->order;

		for (size_t i = 0; i < piece->order_count; i++)
			places[(from[i] >> shift & 255) + 1]++;
		if (piece->order_count > 0 && places[(from[0] >> shift & 255) + 1] == piece->order_count)
			continue;
		for (size_t i = 1; i < 256; i++)
			places[i] += places[i - 1];
		for (size_t i = 0; i < piece->order_count; i++)
			piece->spare[places[from[i] >> shift & 255]++] = from[i];
		piece->order = piece->spare;
		piece->spare = from;
	}
}

static void order_edges(struct piece *piece)
{
	uint32_t m = piece->graph->parameters.m;

	piece->order_count = 0;
	for (uint32_t row = piece->first; row < piece->last; row++)
		for (uint32_t layer = 0; layer <= vl_hnsw_level(piece->graph, row); layer++) {
			const struct edge *edges = edges_of(piece, row, layer);
			uint64_t index = (uint64_t)(edges - piece->edges);

			for (uint32_t i = 0; i < m && edges[i].target != VL_HNSW_NONE; i++)
				piece->order[piece->order_count++] = (uint64_t)layer << (TARGET_BITS + INDEX_BITS) |
								     (uint64_t)edges[i].target << INDEX_BITS |
								     (index + i);
		}
	sort_order(piece);
}

/* Takes in the links of count edges, which lead to the same row. */
static void link_back(struct piece *piece, struct builder *builder, const uint64_t *order, size_t count)
{
	const struct vl_codes *codes = piece->codes;
	uint32_t target = (uint32_t)group_of(order[0]) & 0x7fffffff, layer = (uint32_t)(order[0] >> 55), max, n = 0;
	uint8_t *links = vl_hnsw_links(piece->graph, layer, target, &max);

	while (n < max && vl_get32(links + 4 * n) != VL_HNSW_NONE) {
		builder->chosen[n] = vl_get32(links + 4 * n);
		n++;
	}
	for (size_t i = 0; i < count; i++) {
		const struct edge *edge = &piece->edges[order[i] & ((1 << INDEX_BITS) - 1)];

		if (n + count <= max)
			vl_put32(links + 4 * (n + i), edge->row);
		builder->keys[n + i] = vl_walk_key(edge->distance, edge->row);
	}
	if (n + count <= max)
		return;
	codes->env->kernels->code_l2_gather(vl_codes_row(codes, target), codes->rows.data, builder->chosen, n,
					    codes->stride, builder->distances);
	for (uint32_t i = 0; i < n; i++)
		builder->keys[i] = vl_walk_key(builder->distances[i], builder->chosen[i]);
	vl_keys_sort(builder->keys, n + count);
	n = vl_hnsw_choose(codes, builder->keys, n + count, max, builder->kept, builder->chosen, 0);
	for (uint32_t i = 0; i < max; i++)
		vl_put32(links + 4 * i, i < n ? builder->chosen[i] : VL_HNSW_NONE);
}

static void turn_round(void *argument, size_t index)
{
	struct piece *piece = argument;
	const uint64_t *order = piece->order;

	for (;;) {
		size_t first = (size_t)__atomic_fetch_add(&piece->taken, 1, __ATOMIC_RELAXED) * EDGES_TOGETHER;
		size_t last = first + EDGES_TOGETHER;

		if (first >= piece->order_count)
			return;
		last = last < piece->order_count ? last : piece->order_count;
		/* A group belongs to the part in which it begins. */
		while (first > 0 && first < last && group_of(order[first]) == group_of(order[first - 1]))
			first++;
		while (first < last) {
			size_t end = first + 1;

			while (end < piece->order_count && group_of(order[end]) == group_of(order[first]))
				end++;
			link_back(piece, &piece->builders[index], order + first, end - first);
			first = end;
		}
	}
}

/* ---- memory ---- */

/* Makes block ours, with room for needed bytes and, when it has to grow, for wanted. */
static bool make_room(struct vl_block *block, const struct vl_env *env, uint64_t used, uint64_t needed, uint64_t wanted)
{
	struct vl_block larger;

	if (needed <= block->size)
		return block->size == 0 || vl_block_own(block, env, (size_t)used);
	if (wanted > SIZE_MAX || !vl_block_new(&larger, env, (size_t)wanted))
		return false;
	if (used > 0)
		memcpy(larger.data, block->data, (size_t)used);
	vl_block_free(block);
	*block = larger;
	return true;
}

/* Levels and empty links for rows count...last - 1. */
static bool add_rows(struct vl_hnsw *graph, const struct vl_codes *codes)
{
	const struct vl_env *env = graph->env;
	uint64_t count = graph->count, last = codes->count, m = graph->parameters.m, above = graph->above_count;
	uint64_t capacity = codes->capacity > last ? codes->capacity : last;
	uint8_t *levels, *upper;

	if (!make_room(&graph->links, env, count * 8 * m, last * 8 * m, capacity * 8 * m) ||
	    !make_room(&graph->levels, env, count, last, capacity) ||
	    !make_room(&graph->upper, env, count * 4, last * 4, capacity * 4))
		return false;
	levels = graph->levels.data;
	upper = graph->upper.data;
	for (uint64_t row = count; row < last; row++) {
		levels[row] = level_of(vl_codes_id(codes, (uint32_t)row), graph->parameters.m);
		vl_put32(upper + 4 * row, levels[row] > 0 ? (uint32_t)above : VL_HNSW_NONE);
		above += levels[row];
	}
	if (above >= VL_HNSW_NONE || !make_room(&graph->above, env, (uint64_t)graph->above_count * 4 * m, above * 4 * m,
						(above + above / 4) * 4 * m))
		return false;
	memset((uint8_t *)graph->links.data + count * 8 * m, 0xff, (size_t)((last - count) * 8 * m));
	if (above > graph->above_count)
		memset((uint8_t *)graph->above.data + graph->above_count * 4 * m, 0xff,
		       (size_t)((above - graph->above_count) * 4 * m));
	graph->above_count = (uint32_t)above;
	return true;
}

static bool reserve_builder(struct builder *builder, const struct piece *piece)
{
	const struct vl_hnsw *graph = piece->graph;
	size_t m = graph->parameters.m;
	uint8_t *memory;

	for (size_t i = 0; i < VL_HNSW_LANES; i++)
		if (!vl_walk_reserve(&builder->walks[i], graph->env, graph->count, graph->parameters.m, &piece->effort,
				     false))
			return false;
	if (!vl_room_reserve(&builder->room, graph->env, (PIECE_MAX + 4 * m) * 8 + 4 * m * 4, NULL))
		return false;
	memory = builder->room.data;
	builder->keys = (uint64_t *)memory;
	builder->kept = builder->keys + PIECE_MAX + 2 * m;
	builder->chosen = (uint32_t *)(builder->kept + 2 * m);
	builder->distances = builder->chosen + 2 * m;
	return true;
}

static bool begin_piece(struct piece *piece)
{
	const struct vl_env *env = piece->graph->env;
	size_t m = piece->graph->parameters.m, lists = 0, edges;

	if (!vl_room_reserve(&piece->rooms[0], env, PIECE_MAX * 4, NULL))
		return false;
	piece->places = piece->rooms[0].data;
	for (uint32_t row = piece->first; row < piece->last; row++) {
		piece->places[row - piece->first] = (uint32_t)lists;
		lists += (size_t)vl_hnsw_level(piece->graph, row) + 1;
	}
	edges = lists * m;
	if (!vl_room_reserve(&piece->rooms[1], env, edges * sizeof(struct edge), NULL) ||
	    !vl_room_reserve(&piece->rooms[2], env, edges * 8, NULL) ||
	    !vl_room_reserve(&piece->rooms[3], env, edges * 8, NULL))
		return false;
	piece->edges = piece->rooms[1].data;
	piece->order = piece->rooms[2].data;
	piece->spare = piece->rooms[3].data;
	for (size_t i = 0; i < piece->builders_count; i++)
		if (!reserve_builder(&piece->builders[i], piece))
			return false;
	return true;
}

/* ---- the whole ---- */

static void insert_piece(struct piece *piece)
{
	struct vl_hnsw *graph = piece->graph;

	piece->taken = 0;
	vl_workers_run(piece->workers, search_rows, piece, piece->builders_count);
	order_edges(piece);
	piece->taken = 0;
	vl_workers_run(piece->workers, turn_round, piece, piece->builders_count);
	for (uint32_t row = piece->first; row < piece->last; row++)
		if (row == 0 || vl_hnsw_level(graph, row) > graph->top) {
			graph->entry = row;
			graph->top = vl_hnsw_level(graph, row);
		}
	graph->count = piece->last;
}

static void end_pieces(struct piece *piece)
{
	const struct vl_env *env = piece->graph->env;

	for (size_t i = 0; i < piece->builders_count && piece->builders != NULL; i++) {
		for (size_t lane = 0; lane < VL_HNSW_LANES; lane++)
			vl_walk_free(&piece->builders[i].walks[lane], env);
		vl_room_free(&piece->builders[i].room, env);
	}
	for (size_t i = 0; i < sizeof(piece->rooms) / sizeof(piece->rooms[0]); i++)
		vl_room_free(&piece->rooms[i], env);
	vl_release(env, piece->builders, piece->builders_count * sizeof(struct builder));
}

valori_code vl_hnsw_grow(struct vl_hnsw *graph, const struct vl_codes *codes, const struct vl_workers *workers,
			 valori_error *error)
{
	const struct vl_hnsw_parameters *parameters = &graph->parameters;
	struct piece piece = {
		.graph = graph,
		.codes = codes,
		.workers = workers,
		.effort = {2 * parameters->m, parameters->ef_construction, parameters->width, parameters->slack, 0},
		.builders_count = workers != NULL && workers->threads > 1 ? workers->threads : 1};
	bool ok = true;

	if (graph->count >= codes->count)
		return VALORI_OK;
	piece.builders = vl_alloc(graph->env, piece.builders_count * sizeof(struct builder));
	if (piece.builders != NULL)
		memset(piece.builders, 0, piece.builders_count * sizeof(struct builder));
	ok = piece.builders != NULL && add_rows(graph, codes);
	while (ok && graph->count < codes->count) {
		uint32_t size = graph->count < PIECE_MIN ? PIECE_MIN : graph->count;

		size = size < PIECE_MAX ? size : PIECE_MAX;
		piece.first = graph->count;
		piece.last = codes->count - graph->count < size ? codes->count : graph->count + size;
		ok = begin_piece(&piece);
		if (ok)
			insert_piece(&piece);
	}
	end_pieces(&piece);
	return ok ? VALORI_OK : vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
}
