/* fuzz_npy.c - arrays of numpy, and whatever the content of a file says that it is. */
#include "fuzz.h"
#include "rows_check.h"

static void visit(void *context, const struct rows *rows, const struct row *row)
{
	(void)context;
	if (rows_format(rows) == ROWS_NPY)
		row_as_json(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = rows_of_file(data, size, ROWS_NPY, 0, visit, NULL);
	uint64_t pieces = rows_of_pieces(data, size, ROWS_NPY, 0);

	must(pieces == 0 || pieces == whole);
	whole = rows_of_file(data, size, ROWS_UNKNOWN, 0, visit, NULL);
	pieces = rows_of_pieces(data, size, ROWS_UNKNOWN, 0);
	must(pieces == 0 || pieces == whole);
	return 0;
}
