/*
 * fuzz_vecs.c - rows of a fixed size: fvecs, bvecs, f32, i32. What is read is what stands there.
 *
 * The first byte: the format in its lowest two bits, the dimension of f32 and i32 above them.
 */
#include <string.h>

#include "bytes.h"
#include "fuzz.h"
#include "rows_check.h"

struct place {
	const uint8_t *data;
	size_t size, at;
};

static void visit(void *context, const struct rows *rows, const struct row *row)
{
	struct place *place = context;
	enum rows_format format = rows_format(rows);
	size_t width = format == ROWS_BVECS ? 1 : 4;
	const uint8_t *vector = row->op.vector;

	if (format == ROWS_FVECS || format == ROWS_BVECS) {
		must(place->size - place->at >= 4 && vl_get32(place->data + place->at) == row->op.dim);
		place->at += 4;
	}
	must((place->size - place->at) / width >= row->op.dim);
	if (format != ROWS_BVECS)
		must(memcmp(vector, place->data + place->at, 4 * (size_t)row->op.dim) == 0);
	for (uint32_t i = 0; i < row->op.dim && format == ROWS_BVECS; i++) {
		int32_t value;

		memcpy(&value, vector + (size_t)4 * i, sizeof(value));
		must(value == (int32_t)place->data[place->at + i] << 16);
	}
	place->at += width * row->op.dim;
	must(rows_offset(rows) == place->at);
	row_as_json(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum rows_format formats[] = {ROWS_FVECS, ROWS_BVECS, ROWS_F32, ROWS_I32};
	enum rows_format format;
	struct place place;
	uint64_t whole, pieces;
	uint32_t dim;

	if (size == 0)
		return 0;
	format = formats[data[0] & 3];
	dim = data[0] >> 2;
	place = (struct place){data + 1, size - 1, 0};
	whole = rows_of_file(place.data, place.size, format, dim, visit, &place);
	pieces = rows_of_pieces(place.data, place.size, format, dim);
	must(pieces == 0 || pieces == whole);
	return 0;
}
