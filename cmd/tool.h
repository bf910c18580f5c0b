/*
 * tool.h - what all tools do alike: options and --help from one table, exit statuses, output that is whole or
 * an error.
 *
 * A tool defines one table and one struct tool:
 *
 *     enum { OPT_LOG, OPT_COUNT };
 *     static const struct tool_opt opts[] = {
 *             [OPT_LOG] = TOOL_OPT_LOG,
 *             [OPT_COUNT] = {'k', "count", "N", NULL, "hits per query (10)"},
 *             {0},
 *     };
 *     const struct tool tool = {"valori-x", "[-qv] [-k N] [FILE...]", "Does x.", opts, TOOL_JSON};
 *
 * and its main is: a loop over tool_next(), open, loop, report, return tool_finish(status).
 */
#ifndef TOOL_H
#define TOOL_H

#include "valori.h"

#include <stdbool.h>
#include <stdio.h>

enum tool_status {
	TOOL_OK = 0,
	TOOL_NO = 1,        /* asked properly, the answer is no */
	TOOL_USAGE = 2,     /* a wrong option, operand or row */
	TOOL_DAMAGED = 3,   /* damaged data, or no data of ours at all */
	TOOL_SYSTEM = 4,    /* a system call or memory failed; stdout included */
	TOOL_FULL = 5,      /* a capacity is reached */
	TOOL_LOCKED = 6,    /* another writer holds the store */
	TOOL_NEWER = 7,     /* a format newer than this build */
	TOOL_UNKNOWABLE = 8 /* what it needs was erased or trimmed away */
};

/* ---- options ---- */

struct tool_opt {
	int letter;           /* 0: none */
	const char *name;     /* without "--" */
	const char *argument; /* as --help calls it; NULL: takes none */
	const char *env;      /* variable with its default, or NULL */
	const char *help;
};

enum {                        /* struct tool.has */
       TOOL_JSON = 1 << 0,    /* --json */
       TOOL_PROGRESS = 1 << 1 /* --progress, progress on a terminal and on SIGUSR1 */
};

struct tool {
	const char *name, *synopsis, *summary;
	const struct tool_opt *opts; /* ends with {0}; at most 64 */
	unsigned has;
};

/* Each tool defines its own. */
extern const struct tool tool;

/* Set by the common options. */
extern bool tool_quiet, tool_verbose, tool_json;

/* Options that several tools have, in the same words. */
#define TOOL_OPT_LOG                                                                                         \
	{                                                                                                    \
		'l', "log", "PATH", "VALORI_EVENT_LOG_PATH", "the store: its live log file or its directory" \
	}
#define TOOL_OPT_SNAPSHOT                                            \
	{                                                            \
		's', "snapshot", "FILE", "VALORI_SNAPSHOT_PATH",     \
			"the snapshot (snapshot.val beside the log)" \
	}
#define TOOL_OPT_ARCHIVE                                                         \
	{                                                                        \
		0, "archive", "DIR", NULL, "look for older segments in DIR, too" \
	}
#define TOOL_OPT_DIM                                                                         \
	{                                                                                    \
		'd', "dim", "N", "VALORI_DIM", "dimension of a new store (as the first row)" \
	}
#define TOOL_OPT_COLLECTION                                                 \
	{                                                                   \
		'c', "collection", "NAME", NULL, "the collection (default)" \
	}

/*
 * The next option: its index in the table and its value, or -1 when all were seen; optind is then the first
 * operand. Environment variables come last, for options that were not given. Common options are dealt with
 * inside; --help and --version leave the program. A wrong option ends it with TOOL_USAGE. Abbreviations of
 * long names are refused.
 */
int tool_next(int argc, char **argv, const char **out_value);

/* These read the value of the option that tool_next gave last; a wrong one ends the program: TOOL_USAGE. */
uint64_t tool_number(const char *value, uint64_t min, uint64_t max);
uint64_t tool_size(const char *value, uint64_t min, uint64_t max); /* 4096, 64K, 256M, 1G */
valori_when tool_when(const char *value);

/* Digits only, no sign, no space, below 2^64: true and *out. */
bool tool_parse_u64(const char *text, uint64_t *out);

/* stdin, when no operand names an input: a terminal there is a usage error, not a silent wait. */
void tool_need_stdin(void);

/* ---- messages: one line each, "name: object: place: fact", on stderr ---- */

/* Ends the program with TOOL_USAGE. */
_Noreturn void tool_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says what is wrong; returns status. */
int tool_trouble(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "warning: ...", unless -q. */
void tool_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* With -v only. */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What errno says, in the grammar of messages. */
const char *tool_errno(void);
/* The first line of the file, without its end; without one, or when it cannot be read, the program ends. */
const char *tool_read_token(const char *path);
/* Says what error says; returns the exit status of its code. */
int tool_fail(const valori_error *error);
/* The same after an open of path: not there is TOOL_SYSTEM, something not found in it is TOOL_NO. */
int tool_fail_open(const char *path, const valori_error *error);

/* The status to leave with: flushes stdout; lost output turns TOOL_OK and TOOL_NO into TOOL_SYSTEM. */
int tool_finish(int status);

/* Memory, zeroed; the program ends with TOOL_SYSTEM when there is none. */
void *tool_alloc(size_t count, size_t size);
/* array with room for count items of size bytes, *room kept; grows by half: adding one by one stays cheap. */
void *tool_grow(void *array, size_t *room, size_t count, size_t size);

/* ---- progress and signals ---- */

/* Is it time for a line of progress? After a second, on a terminal or with --progress; or after SIGUSR1. */
bool tool_progress_due(void);
/* The line itself: overwritten by the next one on a terminal. */
void tool_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* SIGINT and SIGTERM only make tool_stopped() true, but end the program in a wait: TOOL_OK. */
void tool_catch_stop(void);
bool tool_stopped(void);
/* Around a call that may wait for ever with nothing to lose: all output is flushed first. */
void tool_wait_begin(void);
void tool_wait_end(void);

/* ---- data on stdout ---- */

/* One field: \t \n \r \\ and other control bytes (\xNN) are escaped. The caller writes the tabs between. */
void tool_tsv(FILE *file, const void *bytes, size_t size);
void tool_base64(FILE *file, const void *bytes, size_t size);
/* RFC 3339 in UTC with milliseconds, or "@milliseconds" after the year 9999. */
const char *tool_time(uint64_t time_ms, char out[32]);
/* Is it UTF-8 (no surrogates, nothing overlong)? */
bool tool_is_utf8(const void *bytes, size_t size);
/* Puts a question mark in place of every byte that is none. Returns text. */
char *tool_make_utf8(char *text);

/* One JSON object per line: tool_json_begin, members, tool_json_end. Zeroed, with file set, it is ready. */
struct tool_json {
	FILE *file;
	bool more; /* a comma comes before the next member */
};

void tool_json_begin(struct tool_json *json);
void tool_json_end(struct tool_json *json); /* and the end of the line */
void tool_json_object(struct tool_json *json, const char *name);
void tool_json_object_end(struct tool_json *json);
void tool_json_array(struct tool_json *json, const char *name);
void tool_json_array_end(struct tool_json *json);
/* name NULL: an element of an array. */
void tool_json_text(struct tool_json *json, const char *name, const char *text);
void tool_json_string(struct tool_json *json, const char *name, const void *bytes, size_t size);
/* A string when the bytes are UTF-8, otherwise base64 under NAME_base64. */
void tool_json_bytes(struct tool_json *json, const char *name, const void *bytes, size_t size);
/* Above 2^53 a decimal string: a reader with binary64 numbers would round it. */
void tool_json_u64(struct tool_json *json, const char *name, uint64_t value);
void tool_json_i32(struct tool_json *json, const char *name, int32_t value);
void tool_json_bool(struct tool_json *json, const char *name, bool value);
/* A number, true, null ... as it stands. */
void tool_json_raw(struct tool_json *json, const char *name, const char *text);
void tool_json_hash(struct tool_json *json, const char *name, const valori_hash *hash);

/* A name with a text or, when text is NULL, a number. */
struct tool_fact {
	const char *name, *text;
	uint64_t value;
};

/* With --json one object, otherwise a line "name<TAB>value" for each. */
void tool_print_facts(FILE *file, const struct tool_fact *facts, size_t count);
/* The history of a log as --expect takes it: tree:SIZE:HASH. */
const char *tool_history(uint64_t commits, const valori_hash *tree_root, char out[96]);

/* ---- output files that appear whole or not at all ---- */

struct tool_output {
	FILE *file;
	char *path, *temporary; /* temporary NULL: written in place (stdout, a device, a FIFO) */
};

/* path "-" is stdout. TOOL_OK, or a status after a message. A signal that ends the program removes the
 * temporary file. */
int tool_output_open(struct tool_output *output, const char *path);
/* Sync, rename, sync of the directory. TOOL_OK, or a status after a message; the temporary file is gone
 * either way. */
int tool_output_commit(struct tool_output *output);
/* Leaves no trace. Harmless after a commit and on a zeroed struct. */
void tool_output_abandon(struct tool_output *output);

#endif
