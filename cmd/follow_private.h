/* follow_private.h - what the files of follow.h share. */
#ifndef FOLLOW_PRIVATE_H
#define FOLLOW_PRIVATE_H

#include "follow.h"

/* Notes why; returns status. */
int follow_fail(struct follow *follow, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with what the library says. */
int follow_fail_with(struct follow *follow, const valori_error *error);
/* What an answer that is not 2xx says: its sentence, or its status. */
const char *follow_sentence(const struct client_answer *answer, char *out, size_t size);
/* A member of the object in an answer's body; false: it is not there, or something else. */
bool follow_number(const struct client_answer *answer, const char *name, uint64_t *out);
bool follow_text(const struct client_answer *answer, const char *name, char *out, size_t size);
/* GET: TOOL_OK with a 2xx answer; else a status with fault. out is to be freed either way. */
int follow_ask(struct follow *follow, const char *path, unsigned patience_ms, struct client_answer *out);

/* follow_snapshot.c: the store begins from the leader's snapshot. */
int follow_bootstrap(struct follow *follow);

uint64_t follow_now_ns(void);

#endif
