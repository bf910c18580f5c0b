/* fuzz_csv.c - records of comma-separated values: the same in pieces, and the same as NDJSON. */
#include "fuzz.h"
#include "rows_check.h"

static void visit(void *context, const struct rows *rows, const struct row *row)
{
	(void)context;
	(void)rows;
	row_as_json(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = rows_of_file(data, size, ROWS_CSV, 0, visit, NULL);
	uint64_t pieces = rows_of_pieces(data, size, ROWS_CSV, 0);

	must(pieces == 0 || pieces == whole);
	return 0;
}
