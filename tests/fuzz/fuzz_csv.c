/*
 * fuzz_csv.c - records of comma-separated values: the same in pieces, the same as NDJSON, and the same with every field
 * in quotes.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "rows_check.h"

struct out {
	char *data;
	size_t size;
};

static void put(struct out *out, char c)
{
	out->data[out->size++] = c;
}

/* A field as it stands, without its end; what is empty and not quoted is absent, and stays so. */
static const char *quote(const char *p, const char *end, struct out *out)
{
	bool is_quoted = p < end && *p == '"';
	const char *first = p;

	if (is_quoted) {
		put(out, *p++);
		while (p < end && (*p != '"' || (p + 1 < end && p[1] == '"'))) {
			if (*p == '"')
				put(out, *p++);
			put(out, *p++);
		}
		if (p < end)
			put(out, *p++);
		return p;
	}
	while (p < end && *p != ',')
		p++;
	if (p > first) {
		put(out, '"');
		while (first < p)
			put(out, *first++);
		put(out, '"');
	}
	return p;
}

/* The end of the record: the first line feed outside quotes. */
static const char *record_end(const char *p, const char *end)
{
	bool inside = false;

	for (; p < end && (inside || *p != '\n'); p++)
		if (*p == '"')
			inside = !inside;
	return p;
}

static struct out rewrite(const uint8_t *data, size_t size)
{
	struct out out = {malloc(3 * size + 16), 0};
	const char *p = (const char *)data, *end = p + size;

	must(out.data != NULL);
	for (; size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 && p < (const char *)data + 3; p++)
		put(&out, *p);
	while (p < end) {
		const char *stop = record_end(p, end), *last = stop;
		bool is_blank;

		while (last > p && (last[-1] == '\r' || last[-1] == '\n'))
			last--;
		is_blank = last == p;
		for (const char *q = p; q <= last && !is_blank && (q == last || strchr(" \t\r", *q) != NULL); q++)
			is_blank = q == last;
		while (p < last && !is_blank) {
			p = quote(p, last, &out);
			if (p < last)
				put(&out, *p++);
		}
		while (p < stop + (stop < end))
			put(&out, *p++);
	}
	return out;
}

static void visit(void *context, const struct rows *rows, const struct row *row)
{
	(void)rows;
	++*(unsigned *)context;
	row_as_json(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned count = 0, faults = 0;
	uint64_t whole = rows_of_file(data, size, ROWS_CSV, 0, visit, &count);
	uint64_t pieces = rows_of_pieces(data, size, ROWS_CSV, 0);

	must(pieces == 0 || pieces == whole);
	faults = rows_refused();
	if (count > 0 && count < ROWS_AT_MOST / 2 && faults == 0 && memchr(data, 0, size) == NULL) {
		struct out out = rewrite(data, size);

		must(rows_of_file((uint8_t *)out.data, out.size, ROWS_CSV, 0, NULL, NULL) == whole);
		free(out.data);
	}
	return 0;
}
