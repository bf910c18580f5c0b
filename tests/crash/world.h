/*
 * world.h - a machine, the store on it, and what its user was told.
 *
 * Every batch that was ever handed in is remembered, with the root that a store in memory gives after it.
 * What the user was told moves two marks along that list: `safe`, up to which a power cut may lose
 * nothing, and `told`, up to which the death of the process may not. What may come back from a crash is
 * the state after any number of batches from the mark to the end of the list, and nothing else; with a
 * restore in flight, also what it restores.
 *
 * The first thing that is not as it should be is written to `failure`, and ends the run.
 */
#ifndef WORLD_H
#define WORLD_H

#include "env.h"
#include "model.h"
#include "sim_os.h"

enum { WORLD_BATCHES = 160, GROUP_MAX = 4 };
#define WORLD_NONE (~0U)
#define WORLD_FOREIGN (~0U - 1) /* of a history that a restore has left behind */

struct world_counts { /* of all that was seen, for the summary of a test */
	uint64_t crashes, opens, verdicts, torn, commits, groups, snapshots, trims, restores, behind;
};

struct moment { /* the state after so many batches */
	valori_hash root;
	uint64_t height;
};

struct world {
	struct sim *sim;
	struct vl_env env; /* counts what is given out */
	int64_t blocks;
	uint32_t sync, sync_commits;
	uint64_t segment_size;
	uint64_t seed; /* of the operations */

	valori *store; /* open to write, or NULL */
	bool is_made;  /* the user was told that the store exists */
	bool is_id_known;
	valori_hash log_id;
	unsigned tree_base; /* batches before the log's first commit */
	uint64_t tree_size; /* what the user knows of the log's history: 0: nothing */
	uint64_t tree_height;
	valori_hash tree_root;

	struct batch batches[WORLD_BATCHES];
	struct moment moments[WORLD_BATCHES + 1];
	unsigned count, told, safe;
	struct model *model; /* after all of them */
	valori *shadow;      /* in memory, after shadow_count of them */
	unsigned shadow_count;

	struct batch doubt[GROUP_MAX]; /* failed, and put aside while another one is tried */
	unsigned doubt_count;
	unsigned snapshot,
		snapshot_next;    /* moment of snapshot.val; of the one being written. WORLD_NONE: none */
	unsigned copy, copy_next; /* the same of the snapshot elsewhere */
	unsigned restoring;       /* moment to which a restore in flight goes */
	unsigned backup;		  /* where the last restore has put the old store; 0: nowhere */
	struct moment before;		  /* what that must hold */
	bool is_archived;         /* nothing of the log was trimmed without a place in the archive */
	bool is_head_old;         /* since the last power cut nobody has opened the store to write */

	struct world_counts counts;
	char failure[512];
};

struct world *world_new(uint64_t seed, uint32_t sync, uint64_t segment_size);
/* Of one whose store is closed or dead. */
struct world *world_clone(const struct world *world);
void world_free(struct world *world);

/* Each of these does nothing once something has failed, or when the process is dead. */
void world_open(struct world *world); /* to write; then all is compared with what it should be */
void world_close(struct world *world);
void world_commit(struct world *world, unsigned operations, bool is_large);
void world_group(struct world *world,
		 unsigned batches); /* concurrent commits that share one write and one sync */
void world_flush(struct world *world);
void world_snapshot(struct world *world, bool is_copy);
void world_trim(struct world *world, bool is_archived);  /* beside the writer when the store is open */
void world_restore(struct world *world, bool from_copy); /* the store must be closed */

/* The process ends, and the power when seed is given; the store is given up. */
void world_die(struct world *world, const uint64_t *seed);
/* The same with one of the states that sim_choices counts. */
void world_die_to(struct world *world, const unsigned *alternatives);
/* What any reader and valori_verify say of the machine as it is. Changes nothing on it. */
void world_look(struct world *world);
/* Nobody is left and nothing leaks: call it when the store is given up. */
void world_drop(struct world *world);

/* To the failure, once. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
