/*
 * upstream.h - files of the Rust system, Valori-Kernel, in the tools: what valori-verify says about them.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include "tool.h"

struct upstream_question {
	const char *archive, *expect, *report_path;
	valori_hash hash; /* of expect: its state hash, or its chain's head */
	bool strict, trace;
};

/* Is path one of them, or a directory whose events.log is? Then out is its name, to be freed; else NULL. */
char *upstream_find(const char *path);
/* The status to leave with. */
int upstream_verify(const struct upstream_question *question, const char *path);

/* "event log", "WAL", "snapshot". */
const char *upstream_kind(uint32_t kind);
/* "insert", ... with what is special about the event. */
const char *upstream_event_name(const valori_upstream_event *event);

#endif
