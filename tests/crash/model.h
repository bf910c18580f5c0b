/*
 * model.h - what a store must hold: arrays, and rules written as plainly as can be.
 *
 * A deed is one operation, small enough to be kept for ever; a batch is what becomes one commit. The same
 * seed draws the same batch on the same model. Nothing here is shared with the engine but the names of
 * valori.h.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "valori.h"

enum { MODEL_DIM = 4, MODEL_SLOTS = 320, MODEL_TEXTS = 64, BATCH_MAX = 12 };

struct deed {
	uint32_t kind; /* valori_op_kind */
	uint32_t collection;
	uint64_t target, from, to; /* ids; VALORI_NONE: none */
	uint64_t tag;
	int key, metadata; /* which text; -1: none */
	uint32_t metadata_size;
	uint32_t object_kind;
	uint64_t vector;  /* seed of the components */
	uint64_t request; /* 0: none */
};

struct batch {
	unsigned count;
	struct deed deeds[BATCH_MAX];
};

struct model_record {
	uint8_t status; /* valori_status */
	uint16_t collection;
	int key, metadata;
	uint32_t metadata_size;
	uint64_t tag, vector;
};

struct model_node {
	bool is_live;
	uint16_t collection;
	uint32_t kind;
	uint64_t record;
};

struct model_edge {
	bool is_live;
	uint32_t kind;
	uint64_t from, to;
};

struct model {
	unsigned records, nodes, edges, collections;
	struct model_record record[MODEL_SLOTS];
	struct model_node node[MODEL_SLOTS];
	struct model_edge edge[MODEL_SLOTS];
	bool is_dropped[MODEL_TEXTS]; /* of collections; number 0 never is */
	int meta[MODEL_TEXTS];        /* value of the meta key with this number; -1: none */
	uint64_t requests;            /* drawn so far */
};

/* splitmix64: the same numbers on every machine. */
uint64_t model_random(uint64_t *seed);
void model_init(struct model *model);
/* A batch of count operations that must succeed in this order. large: with metadata that fills pages. */
void model_draw(const struct model *model, uint64_t *seed, unsigned count, bool is_large, struct batch *out);
void model_apply(struct model *model, const struct batch *batch);
/* The batch as the library wants it; to be freed with valori_batch_free. */
valori_batch *model_batch(const struct batch *batch);
/* How many things differ between a view and the model; the first of them is told in out. */
unsigned model_compare(const struct model *model, const valori_view *view, char out[96]);

#endif
