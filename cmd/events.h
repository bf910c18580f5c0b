/*
 * events.h - events as people and programs read them: rows that valori-ingest takes back, and lines of
 * columns.
 *
 * An event names records, collections and meta slots by number. Its row names collections and meta keys as
 * the rows of valori-ingest do, so whoever prints events shows them to a struct known in order, and it
 * remembers.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "tool.h"

/* What happened to slots first...first + count - 1. What is given out of order is not remembered. */
struct slots {
	uint64_t first;
	size_t count, room;
	uint32_t *of; /* records, nodes, edges: their collection; collections, meta: a place in known->heap */
};

struct known { /* zero-initialise */
	struct slots records, nodes, edges, collections, meta;
	char *heap; /* texts, each with its size in the first byte */
	size_t heap_size, heap_room;
};

void known_free(struct known *known);
/* Remembers what an event says; before the event is printed. */
void known_learn(struct known *known, const valori_event *event);
/* Learns the names of the collections of a view. */
void known_learn_view(struct known *known, const valori_view *view);
/* The name of a collection: not NUL-terminated, *out_size; NULL when it was not seen. */
const char *known_collection(const struct known *known, uint32_t id, size_t *out_size);
/* The collection of the record, node or edge that an event is about, of a meta event 0; false when that was
 * not seen. */
bool known_collection_of(const struct known *known, const valori_event *event, uint32_t *out);

/* One event with what is around it. */
struct event_row {
	const valori_event *event;
	const valori_commit_view *commit;
	const struct known *known;
	const valori_hash *root_before; /* with its commit's root after it; NULL: neither */
	uint32_t dim;
	bool vectors;
	bool says_dim; /* in JSON, unless the vector does: a new store can begin with this row */
};

void event_print_json(FILE *file, const struct event_row *row);
/* Columns: event, commit, time, op, id, collection, key, tag, detail [, root before, root after]. */
void event_print_line(FILE *file, const struct event_row *row);

#endif
