/*
 * rows_formats.h - what rows.c and the readers of the formats share.
 */
#ifndef ROWS_FORMATS_H
#define ROWS_FORMATS_H

#include <pthread.h>

#include "rows.h"

enum { ROWS_COLUMNS_MAX = VALORI_DIM_MAX + 16 };

struct rows {
	struct input input;
	enum rows_format format;
	uint32_t dim;     /* f32, i32, npy: of all rows; fvecs, bvecs: of the rows so far, 0 before the first */
	bool broken;      /* where the next row starts is not known */
	uint64_t count;   /* rows handed out */
	uint64_t line;    /* lines passed */
	uint32_t *vector; /* room for VALORI_DIM_MAX components */
	/* strings of the current row, unescaped, and one of them decoded: never twice the bytes that the row has */
	char *scratch;
	size_t scratch_size, scratch_used;

	/* log: a stream that was read to recognise it */
	bool is_forwarded;
	int stream_fd, forward_fd;
	pthread_t forwarder;

	/* npy */
	char kind; /* 'f', 'i', 'u' */
	unsigned width;
	uint64_t remaining; /* rows */

	/* csv */
	bool started;
	size_t columns;
	uint8_t *roles; /* of the columns; NULL without a header: all are components */
};

/* Room for size bytes until the next row; NULL: no memory. */
char *rows_scratch(struct rows *rows, size_t size);

/*
 * The readers. A line comes without its end; a record or a row is handed over whole. They fill out->op and what belongs
 * to it; number, line and source are set already.
 */
valori_code rows_read_ndjson(struct rows *rows, struct row *out, valori_error *error);
/*
 * Bytes of the record at the start of the input with its end, and how many line feeds are in it. OK, END, or as
 * rows_next.
 */
valori_code rows_find_record(struct rows *rows, size_t *out_size, uint64_t *out_lines, valori_error *error);
/* END: the record was the header. */
valori_code rows_read_csv(struct rows *rows, struct row *out, valori_error *error);
/* Reads the header of an npy file and passes it. */
valori_code rows_open_npy(struct rows *rows, valori_error *error);

/* An integer as the binary32 pattern nearest to it; above 2^24, where no component can be, near to it. */
uint32_t rows_f32_from_i64(int64_t value);

#endif
