/*
 * stores.h - for tests of whole stores: a directory that goes away again, operations by the dozen, and a model of
 * what must come of them.
 *
 * The model is as plain as can be: arrays, no tree, no hash. It learns of an operation when the store has
 * acknowledged it.
 */
#ifndef STORES_H
#define STORES_H

#include <stdbool.h>
#include <stdint.h>

#include "valori.h"

enum { MODEL_DIM = 4, MODEL_MAX = 20000, MODEL_TEXT = 24 };

/* A new directory below $TMPDIR or /tmp; *name is its path. stores_remove takes it and all in it away. */
void stores_make(char name[256]);
void stores_remove(const char *name);
/* "directory/file" in one of a few static strings, good until a dozen calls later. */
const char *stores_path(const char *directory, const char *file);
/* Whole file; malloc'ed. NULL when it is not there. */
uint8_t *stores_read(const char *path, size_t *size);
bool stores_write(const char *path, const uint8_t *data, size_t size);
bool stores_exists(const char *path);

/*
 * Opens a store of dimension MODEL_DIM at a directory, with a fixed log id and clock. Says why on stdout when it
 * fails.
 */
valori *stores_open(const char *directory, uint32_t flags);
valori_options stores_options(const char *directory, uint32_t flags);
/* Commits one operation; its id, or VALORI_NONE after "# " and the reason. */
uint64_t stores_commit(valori *store, const valori_op *op);
valori_hash stores_root(valori *store);
uint64_t stores_height(valori *store);
bool stores_same(const valori_hash *a, const valori_hash *b);

/* Operations with what they point to. */
struct draft {
	valori_op op;
	int32_t vector[MODEL_DIM];
	char key[MODEL_TEXT], metadata[MODEL_TEXT], target[MODEL_TEXT];
};
void draft_insert(struct draft *draft, uint64_t seed, const char *key, const char *metadata);
void draft_by_key(struct draft *draft, uint32_t kind, const char *key);
void draft_by_id(struct draft *draft, uint32_t kind, uint64_t id);
void draft_request(struct draft *draft, uint64_t source, uint64_t row);

struct model_record {
	uint32_t status;
	uint64_t tag;
	bool has_key, has_metadata;
	char key[MODEL_TEXT], metadata[MODEL_TEXT];
	int32_t vector[MODEL_DIM];
};

struct model {
	uint64_t records, nodes, edges;
	struct model_record record[MODEL_MAX];
	uint64_t node_record[MODEL_MAX]; /* VALORI_NONE: none */
	bool node_live[MODEL_MAX], edge_live[MODEL_MAX];
	uint64_t edge_from[MODEL_MAX], edge_to[MODEL_MAX];
};

struct model *model_new(void);
/* A random operation that must succeed in the state of the model. */
void model_draw(const struct model *model, uint64_t *seed, struct draft *draft);
/* The store has acknowledged it. */
void model_apply(struct model *model, const struct draft *draft);
/* How many things differ between a view and the model; the first is printed. */
unsigned model_compare(const struct model *model, const valori_view *view);
/* The same over a view that is opened for it. */
unsigned model_compare_store(const struct model *model, valori *store);

#endif
