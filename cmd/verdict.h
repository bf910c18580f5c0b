/*
 * verdict.h - what a verification is asked and answers, in the words of valori-verify: for it and for valori-serve.
 */
#ifndef VERDICT_H
#define VERDICT_H

#include "tool.h"

/* 64 hex digits or tree:SIZE:HASH, into the options; false: neither. */
bool verdict_parse_expect(const char *text, valori_verify_options *out);
/* Commits that were verified together hide it. */
bool verdict_knows_history(const valori_verify_report *report);
/* The members of the answer, as docs/json.md has them. name: of what was verified; expect: as it was asked, or NULL. */
void verdict_members(struct tool_json *json, const char *name, const char *expect, const valori_verify_report *report);
/* An object of them. */
void verdict_print_json(FILE *file, const char *name, const char *expect, const valori_verify_report *report);

#endif
