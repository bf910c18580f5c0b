/*
 * forge.h - the tool of a forger: a log taken apart into events, changed at will, and put together again with the right
 * checksums, numbers and hashes.
 *
 * What it knows of the bytes it knows from valori-log(5), and reads and writes them itself; hash functions, and what
 * events do to a state, it takes from the library, as a forger would.
 */
#ifndef FORGE_H
#define FORGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FORGE_COMMITS = 64, FORGE_EVENTS = 16, FORGE_EVENT = 320, FORGE_REQUESTS = 8 };

struct forged_event {
	uint8_t bytes[FORGE_EVENT];
	size_t size;
};

struct forged_commit {
	struct forged_event events[FORGE_EVENTS];
	unsigned count;
	uint8_t requests[FORGE_REQUESTS][24];
	unsigned request_count;
	uint64_t time_ms;
	uint8_t events_root[32], state_root[32];
};

struct forged {
	uint8_t header[4096]; /* of the first segment */
	struct forged_commit commits[FORGE_COMMITS];
	unsigned count;
};

enum { /* what is computed anew, besides checksums, numbers and lengths */
	FORGE_EVENTS_ROOTS = 1 << 0,
	FORGE_STATE_ROOTS = 1 << 1
};

/* Adds the commits of one segment; the first one gives the header. */
void forge_read(struct forged *forged, const uint8_t *data, size_t size);
/* Computes what is to be computed. False: the events cannot be applied one after the other. */
bool forge_compute(struct forged *forged, unsigned what);
/*
 * The segment with commits [first, last), its header following from those before: malloc'ed. *event is the number of
 * its first event.
 */
uint8_t *forge_write(const struct forged *forged, unsigned first, unsigned last, size_t *size, uint64_t *event);

void forge_delete_event(struct forged_commit *commit, unsigned index);
void forge_insert_event(struct forged_commit *commit, unsigned index, const struct forged_event *event);
void forge_delete_commit(struct forged *forged, unsigned index);
void forge_insert_commit(struct forged *forged, unsigned index, const struct forged_commit *commit);

#endif
