/*
 * rows_check.h - rows of an input read in several ways, which must agree.
 */
#ifndef ROWS_CHECK_H
#define ROWS_CHECK_H

#include "rows.h"

/* Called with each row that was accepted. */
typedef void row_visit(void *context, const struct rows *rows, const struct row *row);

enum { ROWS_AT_MOST = 2000 };

/*
 * Reads all rows of bytes that come through a file. The digest of all that was read and said, without addresses; visit
 * may be NULL.
 */
uint64_t rows_of_file(const uint8_t *data, size_t size, enum rows_format format, uint32_t dim, row_visit *visit,
		      void *context);
/* The same of bytes that arrive in pieces; 0 when they cannot be sent. */
uint64_t rows_of_pieces(const uint8_t *data, size_t size, enum rows_format format, uint32_t dim);
/* The same of NDJSON in memory. */
uint64_t rows_of_text(const uint8_t *data, size_t size);

/* How many rows were not acceptable in the last of these. */
unsigned rows_refused(void);

/* What a row means: a digest of its operation and names. */
uint64_t row_meaning(const struct row *row);

/*
 * The row as a line of NDJSON means the same, when it is one that a batch takes. For rows that are read from formats
 * without operations.
 */
void row_as_json(const struct row *row);

#endif
