/*
 * renumber.h - the events of one log as new events of a store that has events of its own.
 *
 * Every id that the log gave is another one here: what became of it is remembered, eight bytes for each. Request ids
 * are left behind: they belong to the other history.
 */
#ifndef RENUMBER_H
#define RENUMBER_H

#include "valori.h"

struct renumber;

/* dim is that of the log. NULL: no memory. */
struct renumber *renumber_new(uint32_t dim);
void renumber_free(struct renumber *renumber);
/*
 * A commit of the log, just read, as one commit of the store; more than one when it makes collections. NOT_FOUND when
 * an event names what the log did not bring; else as valori_batch_add and valori_commit. *out_events: how many the
 * store has more.
 */
valori_code renumber_commit(struct renumber *renumber, valori *store, valori_log *log, const valori_commit_view *commit,
			    uint64_t *out_events, valori_error *error);

#endif
