/*
 * hnsw_private.h - what building, searching and repairing a graph share: the walk.
 *
 * A walk goes from the graph's entry down to the layer called its floor, one step to the nearest at a time,
 * and there fills a pool: the ef nearest rows it has met, sorted. It is cut into turns so that several can
 * be under way in one thread: a turn asks for memory (expand) or uses what the turn before asked for (score).
 *
 * An entry of the pool is distance << 33 | row << 2 | REJECTED | EXPANDED: distances and rows are below 2^31,
 * so entries are ordered by (distance, row), and no two are equal.
 */
#ifndef VL_HNSW_PRIVATE_H
#define VL_HNSW_PRIVATE_H

#include "bytes.h"
#include "hnsw.h"

enum {
	VL_HNSW_LANES = 4,	/* walks under way in one thread */
	VL_HNSW_LEVEL_MAX = 60, /* log2(m) bits of the hash each */
	VL_HNSW_M_MAX = 256,
	VL_HNSW_EF_MAX = 65536,
	VL_HNSW_WIDTH_MAX = 64
};

enum { VL_WALK_EXPANDED = 1, VL_WALK_REJECTED = 2 };
enum { VL_WALK_TAKE_MAX = 64 };

static inline uint64_t vl_walk_key(uint32_t distance, uint32_t row)
{
	return (uint64_t)distance << 33 | (uint64_t)row << 2;
}

static inline uint32_t vl_walk_row(uint64_t key)
{
	return (uint32_t)(key >> 2) & 0x7fffffff;
}

static inline uint32_t vl_walk_distance(uint64_t key)
{
	return (uint32_t)(key >> 33);
}

/* Memory that grows and forgets. */
struct vl_room {
	void *data;
	size_t size;
};
/* At least size bytes; contents undefined when it grew (*grew, or NULL). false: out of memory, as it was. */
bool vl_room_reserve(struct vl_room *room, const struct vl_env *env, uint64_t size, bool *grew);
void vl_room_free(struct vl_room *room, const struct vl_env *env);

enum vl_walk_phase { VL_WALK_DONE, VL_WALK_EXPAND, VL_WALK_SCORE };

struct vl_walk {
	const struct vl_hnsw *graph;
	const struct vl_codes *codes;
	const uint8_t *query;
	const uint64_t *allowed; /* NULL: all */
	struct vl_hnsw_effort effort;
	bool two_hops; /* through rows that are not allowed, which are not compared */
	uint32_t pool_max;

	enum vl_walk_phase phase;
	uint32_t layer, floor;
	uint32_t expanded; /* above the floor: the last one; NONE: nobody yet on this layer */
	uint32_t next;	   /* everything before it in the pool is expanded */
	uint32_t pool_count;
	uint32_t accepted;	   /* entries of the pool that are not REJECTED */
	uint32_t batch, batch_end; /* rows[batch...]: asked for, to be scored */
	bool spilled;		   /* rows was used up and begun anew */
	uint64_t limit;		   /* entries from this on are too far */
	uint64_t compared;	   /* distances, ever */

	/* memory, which stays from walk to walk */
	uint64_t *pool, *fresh, *sorted;
	uint64_t *visited; /* a bit per row, all zero between walks */
	uint32_t *rows;	   /* those whose bit is set, unless there were too many */
	uint32_t *distances;
	struct vl_room rooms[5];
};

/* Room for walks like this over count rows. false: out of memory; what was there stays usable. */
bool vl_walk_reserve(struct vl_walk *walk, const struct vl_env *env, uint64_t count, uint32_t m,
		     const struct vl_hnsw_effort *effort, bool is_filtered);
void vl_walk_free(struct vl_walk *walk, const struct vl_env *env);

/* A walk that is done before it has begun, with an empty pool. */
void vl_walk_blank(struct vl_walk *walk, const struct vl_hnsw *graph, const struct vl_codes *codes,
		   const uint8_t *query, const struct vl_hnsw_effort *effort, const uint64_t *allowed);
/* effort's width is not 0. Then turns, until phase is DONE; the pool stays until the next begin. */
void vl_walk_begin(struct vl_walk *walk, const struct vl_hnsw *graph, const struct vl_codes *codes,
		   const uint8_t *query, uint32_t floor, const struct vl_hnsw_effort *effort, const uint64_t *allowed);
/* From the nearest that the pool had on the layer below the floor, which becomes the floor. */
void vl_walk_below(struct vl_walk *walk, uint64_t nearest);
void vl_walk_turn(struct vl_walk *walk);
/* Takes count rows (VL_WALK_TAKE_MAX at most) that are not in it into the pool. */
void vl_walk_take(struct vl_walk *walk, const uint32_t *rows, const uint32_t *distances, size_t count);

/*
 * The links of a row on a layer: *max of them at most, in the bytes returned. Of a row that does not have
 * the layer: NULL and 0.
 */
static inline uint8_t *vl_hnsw_links(const struct vl_hnsw *graph, uint32_t layer, uint32_t row, uint32_t *max)
{
	uint32_t m = graph->parameters.m, first;

	if (layer == 0) {
		*max = 2 * m;
		return (uint8_t *)graph->links.data + (size_t)row * 8 * m;
	}
	first = vl_get32((const uint8_t *)graph->upper.data + (size_t)row * 4);
	if (first >= graph->above_count || layer - 1 >= graph->above_count - first) {
		*max = 0;
		return NULL;
	}
	*max = m;
	return (uint8_t *)graph->above.data + ((size_t)first + layer - 1) * 4 * m;
}

/*
 * Of count keys, ascending: those that no kept one is nearer to than base is; at most max, into kept and rows,
 * behind the kept_count rows that are there already. Returns how many there are then.
 */
uint32_t vl_hnsw_choose(const struct vl_codes *codes, const uint64_t *keys, size_t count, uint32_t max, uint64_t *kept,
			uint32_t *rows, uint32_t kept_count);

static inline uint8_t vl_hnsw_level(const struct vl_hnsw *graph, uint32_t row)
{
	return ((const uint8_t *)graph->levels.data)[row];
}

#endif
