/*
 * sim_os.h - a machine in memory that loses power.
 *
 * Each file has what the disk holds, what the page cache holds, and the writes and truncations that lie
 * between the two; each directory likewise, with its entries. sync and sync_directory carry the cache to
 * the disk. When the power goes, the disk may hold of what was not synced, sector by sector (512 bytes),
 * the content after any number of the writes: so writes are lost, kept, torn, reordered. The size may be
 * any that the file had since its last sync; where it reaches further than what was written there are
 * zeros. Any of the unsynced changes of a directory may be lost, each as a whole. Nothing else is allowed:
 * what was synced is there.
 *
 * A process that dies leaves the cache. A sync that fails leaves the cache clean, and the disk with any
 * part of what was to be written.
 */
#ifndef SIM_OS_H
#define SIM_OS_H

#include "os.h"

enum { SIM_SECTOR = 512, SIM_PAGE = 4096 };

struct sim_fault {
	/* Counted from 1 and from the last sim_reset_counts; 0: never. */
	uint64_t power_at; /* at this change (sim_changes) the process ends; every call after it fails */
	unsigned power_effect;	/* what of that change is done: 0 nothing, 1 all, 2 half when it is a write */
	uint64_t call_at;	/* the same at this call of any kind, before it does anything */
	uint64_t sync_fails_at; /* this sync of a file fails with EIO */
	uint64_t room;          /* bytes by which files may still grow before ENOSPC; UINT64_MAX: no end */
	unsigned short_writes;  /* one write in so many moves only a part; 0: none */
};

/*
 * What has really happened to a machine and its disk in all its lives, so that a test can demand it. Of files those are
 * counted that came out so; they are compared with what was written, whatever was to happen to them, where the seed of
 * the power cut is a multiple of four.
 */
struct sim_came {
	uint64_t failed_syncs, full_writes, short_writes;
	uint64_t lost;	    /* a write is missing */
	uint64_t torn;	    /* a sector of a write is there, and another one of it is not */
	uint64_t reordered; /* a write is there, and an earlier one is not, or not everywhere */
	uint64_t zeroed;    /* a sector that was written is there, with zeros */
	uint64_t names;	    /* a directory has lost a change */
};

struct sim {
	struct vl_os os;
	struct sim_fault fault;
	uint64_t seed; /* of random bytes, of the clock, of short writes, of what a failed sync leaves */
	uint64_t calls, changes, syncs;     /* since sim_reset_counts */
	bool is_dead;                       /* the process has ended */
	int open, mapped;                   /* descriptors and mappings not yet given back */
	unsigned failed_syncs, full_writes; /* faults that came true */
	struct sim_came came;
	uint64_t clock;
	struct sim_inode **inodes;
	unsigned inode_count;
	struct sim_handle *handles;
	unsigned handle_count;
};

struct sim *sim_new(uint64_t seed);
struct sim *sim_clone(const struct sim *sim); /* of a machine without open descriptors */
void sim_free(struct sim *sim);
void sim_reset_counts(struct sim *sim);
/* The process is gone, the machine is not: descriptors, locks and faults are dropped, the next one may begin. */
void sim_kill(struct sim *sim);
/* The same, and the power: the disk holds what a seed draws of what it may hold, and the cache the same. */
void sim_power_off(struct sim *sim, uint64_t seed);

/*
 * All that may be lost, as choices: one for each file and directory that is not clean. counts[i] says how
 * many alternatives choice i has; 0 is "all is kept", 1 "all is lost". Returns how many choices there are,
 * of which at most max are told.
 */
unsigned sim_choices(const struct sim *sim, unsigned *counts, unsigned max);
/* sim_power_off with given alternatives. */
void sim_power_off_to(struct sim *sim, const unsigned *alternatives);
/* A digest of all that is on the disk. */
uint64_t sim_disk_digest(const struct sim *sim);
/* What the cache holds, for looking: borrowed until the next change. NULL: there is no such file. */
const uint8_t *sim_content(const struct sim *sim, const char *path, size_t *size);
/* The names in a directory and how much of each is on the disk, as "# ..." lines. */
void sim_print(const struct sim *sim);

#endif
