/*
 * rows.h - rows of any format from a file, a pipe or a terminal, one at a time, as operations on a store.
 *
 * What a row is:
 *
 *	ndjson	a line: an array of numbers, or an object with the members that rows_ndjson.c names
 *	csv	a record of RFC 4180; a first one with words is a header: columns key, tag, metadata, collection; id is
 *		passed over; all others are components
 *	fvecs	dim i32, then dim binary32; bvecs: dim i32, then dim bytes
 *	npy	a row of a two-dimensional array in C order: f2 f4 f8, i1 i2 i4 i8, u1 u2
 *	f32	dim binary32; i32: dim Q16.16 components
 *
 * all little-endian. Everything of a row is borrowed until the next call. Memory is bounded by the limit of one row.
 */
#ifndef ROWS_H
#define ROWS_H

#include "input.h"

enum rows_format {
	ROWS_UNKNOWN, /* none of them; of an empty input */
	ROWS_NDJSON,
	ROWS_FVECS,
	ROWS_BVECS,
	ROWS_NPY,
	ROWS_F32,
	ROWS_I32,
	ROWS_CSV,
	ROWS_LOG /* a log stream: rows_next does not read it */
};

/* "ndjson", ...; "none" for ROWS_UNKNOWN. */
const char *rows_format_name(enum rows_format format);
/* The format with this name, ROWS_UNKNOWN if there is none. */
enum rows_format rows_format_find(const char *name);

/* A row, and what of it only the whole batch or the store can tell. text NULL: not there. */
struct row {
	uint64_t number;     /* of rows before it in this input, unacceptable ones included */
	uint64_t line;       /* where it starts, from 1; 0 when the format has no lines */
	struct slice source; /* the text of the row; text NULL when the format is none */
	valori_op op;        /* collection is set only when has_collection; references by name are left open */
	bool has_tag, has_collection;
	struct slice collection;       /* by name */
	struct slice ref;              /* what other rows of the commit call the thing that this row makes */
	struct slice target, from, to; /* such names: instead of op.target, op.from, op.to */
	const char *vector_name;       /* the member that holds the vector, or NULL */
	struct slice vector;           /* its text */
};

struct rows;

/*
 * Opens path ("-" or NULL: standard input). ROWS_UNKNOWN: the format is recognised by content, then by name. dim, when
 * not 0, is what rows of f32 and i32 have. INVALID, IO, NO_MEMORY. Release with rows_close.
 */
valori_code rows_open(const char *path, enum rows_format format, uint32_t dim, struct rows **out, valori_error *error);
/* The same for NDJSON that is in memory already. text is copied; name, for messages, is borrowed. */
valori_code rows_open_text(const char *name, const char *text, size_t size, struct rows **out, valori_error *error);
void rows_close(struct rows *rows);
enum rows_format rows_format(const struct rows *rows);
const char *rows_name(const struct rows *rows);
/* For f32 and i32, when their dimension is found out later than rows_open. */
void rows_set_dim(struct rows *rows, uint32_t dim);
/*
 * For ROWS_LOG, instead of rows_next: a descriptor that gives the stream from its first byte. What was read to
 * recognise it goes through a pipe again, if it cannot be read again. IO. It is good until rows_close.
 */
valori_code rows_stream(struct rows *rows, int *out_fd, valori_error *error);

/*
 * The next row: OK, END, IO, NO_MEMORY, or INVALID, RANGE, TOO_LONG for a row that is not acceptable; out->number, line
 * and source are then set. Whether rows can be read behind that one is for rows_can_go_on to say.
 */
valori_code rows_next(struct rows *rows, struct row *out, valori_error *error);
bool rows_can_go_on(const struct rows *rows);
/* Bytes read so far. */
uint64_t rows_offset(const struct rows *rows);

/* Part of a stranger's text for a message: at most 40 bytes, control bytes and what is not ASCII as '?'. */
const char *rows_quote(struct slice text, char out[48]);
/* Fills error with "name: line 17: " and the sentence. */
valori_code rows_fail(const struct rows *rows, const struct row *row, valori_error *error, valori_code code,
		      const char *format, ...) __attribute__((format(printf, 5, 6)));
/*
 * The same before the sentence of an error that valori_batch_add gave for this row: name, line, member, and for a
 * component at fault its text.
 */
void rows_blame(const struct rows *rows, const struct row *row, valori_error *error);

#endif
