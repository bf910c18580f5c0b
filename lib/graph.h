/*
 * graph.h - the arrays of nodes and edges, and the lists that run through them.
 *
 * Both are sections of a snapshot; little-endian, zeros where reserved, links are slot + 1, 0 leads nowhere.
 *
 *   nodes, 32 bytes
 *      0 record u32: the record it names, + 1 | 4 next u32, 8 previous u32: nodes that name the same record
 *     12 first out u32, 16 last out u32 | 20 first in u32, 24 last in u32: its edges
 *     28 collection u16 | 30 kind u8 | 31 live u8
 *   edges, 32 bytes
 *      0 from u32, 4 to u32: slots of nodes
 *      8 next u32, 12 previous u32: edges with the same from | 16 next u32, 20 previous u32: with the same to
 *     24 kind u8 | 25 live u8 | 26 0 x 6
 *
 * A dead node or edge is all zeros. Lists are in the order in which things were appended to them, so edges
 * ascend.
 */
#ifndef VL_GRAPH_H
#define VL_GRAPH_H

#include "array.h"
#include "bytes.h"
#include "event.h"

enum {
	VL_NODE_RECORD = 0,
	VL_NODE_NEXT = 4, /* the previous one follows */
	VL_NODE_FIRST_OUT = 12,
	VL_NODE_FIRST_IN = 20,
	VL_NODE_COLLECTION = 28,
	VL_NODE_KIND = 30,
	VL_NODE_LIVE = 31,
	VL_NODE_SIZE = 32,

	VL_EDGE_FROM = 0,
	VL_EDGE_TO = 4,
	VL_EDGE_NEXT_OUT = 8,
	VL_EDGE_NEXT_IN = 16,
	VL_EDGE_KIND = 24,
	VL_EDGE_LIVE = 25,
	VL_EDGE_SIZE = 32
};

struct vl_graph {
	struct vl_array nodes, edges;
};

/*
 * A family of lists: each head holds first and last, each item next and previous, at these offsets. A file
 * may hold nonsense: a step is taken only when the item it leads to leads back, so that no walk comes by the
 * same item twice.
 */
struct vl_lists {
	struct vl_array *heads, *items;
	uint32_t first_offset, next_offset;
};

/* Puts item at the end of head's list; takes it out. Heads and items exist. False: out of memory. */
bool vl_lists_append(const struct vl_lists *lists, uint64_t head, uint64_t item);
bool vl_lists_remove(const struct vl_lists *lists, uint64_t head, uint64_t item);
/* The item after *cursor, or the first when that is VALORI_NONE. False: the end. */
bool vl_lists_next(const struct vl_lists *lists, uint64_t head, uint64_t *cursor);

void vl_graph_init(struct vl_graph *graph, struct vl_pool *pool);
void vl_graph_free(struct vl_graph *graph);

/* The edges from, or to, nodes. */
struct vl_lists vl_graph_edges(struct vl_graph *graph, bool outgoing);

bool vl_graph_add_edge(struct vl_graph *graph, const struct vl_event *event);
bool vl_graph_remove_edge(struct vl_graph *graph, uint64_t edge);

#endif
