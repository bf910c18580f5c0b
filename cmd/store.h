/*
 * store.h - opening a store to read it: by its path, from a snapshot alone, or from a log stream.
 */
#ifndef STORE_H
#define STORE_H

#include "tool.h"

struct store_source {
	const char *log; /* path, maybe of a stream, or NULL: the snapshot alone */
	const char *snapshot, *archive;
	uint32_t flags; /* VALORI_NO_VECTORS, VALORI_INDEX, VALORI_INDEX_SAVED or 0 */
	struct {        /* with VALORI_INDEX, and otherwise ignored: as in valori_options */
		bool is_kind_set;
		uint32_t kind, threads;
		uint64_t boundary; /* 0: the latest */
	} index;
	valori_when at;
};

/* Is path "-", or something that can only be read through once: a FIFO, a terminal, a device? */
bool store_is_stream(const char *path);
/* Its descriptor, or -1 after a message. *out_name is what messages call it. */
int store_open_stream(const char *path, const char **out_name);

/* TOOL_OK, or a status after a message. Notes about how it was opened are warnings. */
int store_open_read(const struct store_source *source, valori **out);

/* auto, brute or hnsw; another word ends the program with TOOL_USAGE. */
uint32_t store_index_kind(const char *name);

/* name beside the live log of a store (its path or directory); to be freed. */
char *store_beside(const char *log, const char *name);

#endif
