/*
 * fuzz_ndjson.c - lines of JSON as operations: the same in pieces, from memory, and written in another way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "rows_check.h"

/* ---- the same JSON in other letters ---- */

struct out {
	char *data;
	size_t size;
};

static void put(struct out *out, const char *text)
{
	size_t size = strlen(text);

	memcpy(out->data + out->size, text, size);
	out->size += size;
}

/* One character of a string, which is well-formed, in \u. Returns its bytes. */
static size_t escape(const uint8_t *p, struct out *out)
{
	size_t size = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t code = p[0] & (size == 1 ? 0x7f : 0x7fU >> size);
	char text[16];

	for (size_t i = 1; i < size; i++)
		code = code << 6 | (p[i] & 0x3f);
	if (code >= 0x10000)
		snprintf(text, sizeof(text), "\\u%04x\\u%04X", 0xd800 + ((code - 0x10000) >> 10),
			 0xdc00 + ((code - 0x10000) & 0x3ff));
	else
		snprintf(text, sizeof(text), "\\u%04X", code);
	put(out, text);
	return size;
}

/*
 * The line once more, with blanks wherever they may be and every character of a string as its number; below its
 * members nothing is touched, for metadata is taken as it stands.
 */
static struct out rewrite(struct slice line)
{
	struct out out = {malloc(12 * line.size + 16), 0};
	int depth = 0;
	bool inside = false;

	must(out.data != NULL);
	for (size_t i = 0; i < line.size; i++) {
		char c = line.text[i], same[2] = {c, 0};

		if (inside && c == '\\') {
			size_t size = line.text[i + 1] == 'u' ? 6 : 2;

			memcpy(out.data + out.size, line.text + i, size);
			out.size += size;
			i += size - 1;
		} else if (inside && c != '"' && depth <= 1) {
			i += escape((const uint8_t *)line.text + i, &out) - 1;
		} else if (c == '"') {
			inside = !inside;
			put(&out, same);
		} else {
			bool is_mark = !inside && strchr("[]{},:", c) != NULL;

			if (is_mark && depth <= 1 && (c != '[' && c != '{'))
				put(&out, " ");
			depth += !inside && (c == '[' || c == '{');
			put(&out, same);
			depth -= !inside && (c == ']' || c == '}');
			if (is_mark && depth <= 1 && c != ']' && c != '}')
				put(&out, "\t");
		}
	}
	put(&out, " \n");
	return out;
}

static void visit(void *context, const struct rows *rows, const struct row *row)
{
	struct out other = rewrite(row->source);
	struct rows *again;
	struct row same;

	(void)context;
	(void)rows;
	must(rows_open_text("again", other.data, other.size, &again, NULL) == VALORI_OK);
	must(rows_next(again, &same, NULL) == VALORI_OK);
	must(row_meaning(&same) == row_meaning(row));
	must(rows_next(again, &same, NULL) == VALORI_END);
	rows_close(again);
	free(other.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = rows_of_file(data, size, ROWS_NDJSON, 0, visit, NULL);
	uint64_t pieces = rows_of_pieces(data, size, ROWS_NDJSON, 0);

	must(pieces == 0 || pieces == whole);
	must(rows_of_text(data, size) == whole);
	return 0;
}
