/*
 * names.h - which row of a batch goes by which name: a table that is filled, asked, and emptied with every batch.
 */
#ifndef NAMES_H
#define NAMES_H

#include "json.h"

struct names {
	struct names_entry *entries;
	size_t count, capacity; /* capacity: a power of 2, or 0 */
	char *text;
	size_t text_size, text_capacity;
};

/* A zeroed struct is an empty table. */
void names_clear(struct names *names);
void names_free(struct names *names);
enum names_answer { NAMES_ADDED, NAMES_TAKEN, NAMES_NO_MEMORY };
/* name is copied. */
enum names_answer names_add(struct names *names, struct slice name, uint64_t value);
bool names_find(const struct names *names, struct slice name, uint64_t *out);

#endif
