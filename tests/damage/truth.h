/*
 * truth.h - a small store with a history of every kind of event, and what each of its commits must give: bytes, roots,
 * search results.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include "shelf.h"
#include "valori.h"

enum { TRUTH_DIM = 4, TRUTH_COMMITS = 40, TRUTH_QUERIES = 3, TRUTH_K = 6, TRUTH_RECORDS = 64, TRUTH_TEXT = 48 };

struct truth_hit {
	uint64_t id, score, tag;
	char key[TRUTH_TEXT], metadata[TRUTH_TEXT];
};

struct truth_moment { /* after so many commits */
	uint64_t height;
	valori_hash root, tree;
	struct truth_hit hits[TRUTH_QUERIES][TRUTH_K];
	size_t counts[TRUTH_QUERIES];
};

struct truth {
	struct shelf shelf;   /* the files as they should be: the log in "db", its snapshot not in it */
	/* snapshots of the last commit but three, and of the last */
	uint8_t *snapshots[2];
	size_t snapshot_sizes[2];
	unsigned snapshot_commits[2];
	uint8_t head[4096]; /* the head file before the store was closed: its slots are of the last two commits */
	unsigned commits;
	struct truth_moment moments[TRUTH_COMMITS + 1];
	uint8_t *bytes[TRUTH_COMMITS]; /* of each commit */
	size_t sizes[TRUTH_COMMITS];
	int32_t vectors[TRUTH_RECORDS][TRUTH_DIM];
	unsigned records;
};

extern const int32_t truth_queries[TRUTH_QUERIES * TRUTH_DIM];

/* A log of two segments. Says why and exits when it cannot be made. */
void truth_init(struct truth *truth);
void truth_free(struct truth *truth);
valori_options truth_options(uint32_t flags);
/* One more record with this key, as a commit of its own. */
valori_code truth_insert(valori *store, const char *key, uint64_t seed);
/* What a view says of a hit. */
void truth_describe(const valori_view *view, const valori_hit *hit, struct truth_hit *out);
/* On the machine that the store is on. */
valori_code truth_snapshot(valori *store, const char *path, valori_error *error);

#endif
