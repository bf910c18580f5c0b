/*
 * follow.h - one store follows another: the same commits, byte for byte, each one checked before it is taken.
 *
 * The leader is asked for its commits from the height that is here. What it is, and that it has the same history up to
 * there, is known before the first one is taken; a commit is taken when it is the next one, is whole, and leads to the
 * roots that it says. One that does not is kept beside the log as evidence, and nothing more is taken. What has come is
 * written and synced together, as soon as nothing more is there, and at the latest after 8 MiB or 50 ms.
 *
 * A store that is empty begins from a snapshot when the leader's log no longer has its beginning. No log is ever
 * removed here.
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/client.h"
#include "tool.h"

enum follow_phase { FOLLOW_DISCONNECTED, FOLLOW_SYNCING, FOLLOW_SYNCED, FOLLOW_DIVERGED };

/* What others may know while it runs. */
struct follow_state {
	enum follow_phase phase;
	uint64_t height, leader_height;
	uint64_t lag_ms;  /* since this store last had all that the leader had; by the clock that nobody sets */
	char detail[512]; /* what is wrong, or "" */
};

/* Zero-initialise, set what is wanted, follow_init. */
struct follow {
	struct client *leader; /* NULL: the stream comes from descriptor fd, called name */
	int fd;
	const char *name;
	const char *log; /* the store's path; NULL: no store, take gets the commits */
	valori *store;   /* NULL: opened with options when it is known what it shall be; then it is the caller's */
	valori_options options;
	uint64_t commit_max;
	bool once;      /* until all is here that the leader has when it is asked */
	bool is_patient; /* goes on trying where a tool would give up */
	uint64_t from;  /* without a store: the height to begin at */
	/* A stream goes on from here; what it begins with was compared. A status. May be NULL. */
	int (*begun)(void *context, valori_log *log);
	/* For each commit, behind the store if there is one; a status. May be NULL. */
	int (*take)(void *context, valori_log *log, const valori_commit_view *commit);
	/* What was taken is durable: the last commit of it. A status. May be NULL. */
	int (*flushed)(void *context, const valori_commit_view *commit);
	/* The store is there, or has changed its ground. A status. May be NULL. */
	int (*opened)(void *context);
	/* Something went wrong, and it is tried again. May be NULL. */
	void (*trouble)(void *context, const char *line);
	void *context;

	char fault[768]; /* why follow_run has ended */
	uint64_t commits, events; /* taken */
	/* private from here on */
	atomic_bool stopped;
	int wake; /* readable when stopped */
	pthread_mutex_t mutex;
	struct follow_state state; /* [mutex] */
	uint64_t level_ns;         /* [mutex] when all was here that the leader had */
	bool is_level;             /* [mutex] it still is */
	valori_info at;            /* where it stands: commits, height, time, roots, log id */
	bool has_position;
};

/* TOOL_OK, or a status after a message. */
int follow_init(struct follow *follow);
void follow_free(struct follow *follow);
/* Until it is over: a status; fault says why. */
int follow_run(struct follow *follow);
/* From anywhere, a signal's handler included: follow_run comes back soon, with TOOL_OK. */
void follow_stop(struct follow *follow);
void follow_get_state(struct follow *follow, struct follow_state *out);

/*
 * There is no store yet: one question to the leader. Its dimension and its log's id, with which one is to be made; or,
 * when its log no longer has its beginning, a store is made out of its snapshot, and closed again: *out_dim is 0. A
 * status, TOOL_LOCKED when it is worth to be tried again; fault says why.
 */
int follow_prepare(struct follow *follow, uint32_t *out_dim, valori_hash *out_log_id);
/* What follow_get_state tells from now on; after follow_run. */
void follow_diverged(struct follow *follow, const char *detail);

/* What came of comparing with the leader. */
struct follow_check {
	uint64_t commits, height;   /* of this store */
	uint64_t leader_commits, leader_height;
	bool is_same;		    /* as far as both go */
	uint64_t commit, event;     /* the first that differs; VALORI_NONE */
	uint64_t record;	    /* that the event is about; VALORI_NONE: none */
	valori_hash here, there;    /* roots of the log trees after that commit */
	unsigned questions;
	char sentence[512];
};
/* TOOL_OK, TOOL_NO when they differ, or another status: sentence says it. */
int follow_check(struct follow *follow, struct follow_check *out);

#endif
