/*
 * rows_npy.c - the header of an array that numpy saved: magic, version, length, a Python dictionary.
 *
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1, 2 and 3.
 */
#include "rows_formats.h"

#include <string.h>

#include "bytes.h"

enum {
	NPY_HEADER_MAX = 1 << 16, /* numpy itself refuses to read longer ones */
	NPY_AXES_MAX = 32
};

struct header {
	const char *next, *end;
	struct slice descr, order;
	uint64_t shape[NPY_AXES_MAX];
	unsigned axes;
	bool has_shape;
};

static void skip_space(struct header *header)
{
	while (header->next < header->end && (*header->next == ' ' || *header->next == '\n' || *header->next == '\t'))
		header->next++;
}

static bool pass(struct header *header, char c)
{
	skip_space(header);
	if (header->next == header->end || *header->next != c)
		return false;
	header->next++;
	return true;
}

static bool read_string(struct header *header, struct slice *out)
{
	const char *first;
	char quote;

	skip_space(header);
	if (header->next == header->end || (*header->next != '\'' && *header->next != '"'))
		return false;
	quote = *header->next++;
	for (first = header->next; header->next < header->end && *header->next != quote;)
		header->next++;
	if (header->next == header->end)
		return false;
	*out = (struct slice){first, (size_t)(header->next++ - first)};
	return true;
}

static bool read_shape(struct header *header)
{
	if (!pass(header, '('))
		return false;
	for (header->axes = 0; !pass(header, ')'); header->axes++) {
		const char *first = header->next;

		while (header->next < header->end && *header->next >= '0' && *header->next <= '9')
			header->next++;
		if (header->axes == NPY_AXES_MAX ||
		    !json_u64((struct slice){first, (size_t)(header->next - first)}, &header->shape[header->axes]))
			return false;
		if (!pass(header, ',') && (header->next == header->end || *header->next != ')'))
			return false;
	}
	header->has_shape = true;
	return true;
}

/* A word, or a list in brackets (a structured type), as it stands. */
static bool read_word(struct header *header, struct slice *out)
{
	const char *first;
	int depth = 0;

	skip_space(header);
	for (first = header->next; header->next < header->end; header->next++) {
		char c = *header->next;

		depth += c == '[' || c == '(';
		if (depth == 0 && (c == ',' || c == '}'))
			break;
		depth -= c == ']' || c == ')';
	}
	*out = (struct slice){first, (size_t)(header->next - first)};
	return out->size != 0;
}

static bool read_dictionary(struct header *header)
{
	struct slice name;

	if (!pass(header, '{'))
		return false;
	while (!pass(header, '}')) {
		bool good;

		if (!read_string(header, &name) || !pass(header, ':'))
			return false;
		if (name.size == 5 && memcmp(name.text, "descr", 5) == 0)
			good = read_string(header, &header->descr) || read_word(header, &header->descr);
		else if (name.size == 13 && memcmp(name.text, "fortran_order", 13) == 0)
			good = read_word(header, &header->order);
		else
			good = name.size == 5 && memcmp(name.text, "shape", 5) == 0 && read_shape(header);
		if (!good)
			return false;
		pass(header, ',');
	}
	return header->has_shape && header->descr.size != 0 && header->order.size != 0;
}

static valori_code check_type(struct rows *rows, struct slice descr, valori_error *error)
{
	static const char *const types[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4"};
	char quoted[48];

	rows_quote(descr, quoted);
	if (descr.size > 1 && descr.text[0] == '>')
		return input_fail(&rows->input, error, VALORI_INVALID,
				  "npy: type '%s' is big-endian; save array.astype('<f4')", quoted);
	if (descr.size > 1 && (descr.text[0] == '|' && descr.text[1] == 'O'))
		return input_fail(&rows->input, error, VALORI_INVALID,
				  "npy: pickled objects, not numbers; save numpy.array(rows, dtype='<f4')");
	if (descr.size > 0 && descr.text[0] == '[')
		return input_fail(&rows->input, error, VALORI_INVALID,
				  "npy: a structured type; save the field that holds the vectors");
	if (descr.size == 3 && (descr.text[0] == '<' || descr.text[0] == '|'))
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			if (memcmp(types[i], descr.text + 1, 2) == 0) {
				rows->kind = types[i][0];
				rows->width = (unsigned)(types[i][1] - '0');
				return VALORI_OK;
			}
	return input_fail(&rows->input, error, VALORI_INVALID,
			  "npy: type '%s' is not one of f2 f4 f8 i1 i2 i4 i8 u1 u2 u4", quoted);
}

static valori_code check_shape(struct rows *rows, const struct header *header, valori_error *error)
{
	struct input *input = &rows->input;

	if (header->axes == 1)
		return input_fail(input, error, VALORI_INVALID,
				  "npy: one axis, but rows need two; save array.reshape(1, -1) if it is one vector");
	if (header->axes != 2)
		return input_fail(input, error, VALORI_INVALID,
				  "npy: %u axes, but rows need two; save array.reshape(-1, dimension)", header->axes);
	if (header->shape[1] < 1 || header->shape[1] > VALORI_DIM_MAX)
		return input_fail(input, error, VALORI_INVALID, "npy: dimension %llu is not in 1...%d",
				  (unsigned long long)header->shape[1], VALORI_DIM_MAX);
	rows->remaining = header->shape[0];
	rows->dim = (uint32_t)header->shape[1];
	return VALORI_OK;
}

valori_code rows_open_npy(struct rows *rows, valori_error *error)
{
	struct input *input = &rows->input;
	struct header header = {0};
	valori_code code = input_fill(input, 12, error);
	const uint8_t *head = (const uint8_t *)input_data(input);
	size_t start, size;

	if (code != VALORI_OK)
		return code;
	if (input->size < 12 || memcmp(head, "\x93NUMPY", 6) != 0)
		return input_fail(input, error, VALORI_INVALID, "npy: does not start as an npy file does");
	if (head[6] < 1 || head[6] > 3)
		return input_fail(input, error, VALORI_INVALID, "npy: version %u.%u is not known", head[6], head[7]);
	start = head[6] == 1 ? 10 : 12;
	size = head[6] == 1 ? vl_get16(head + 8) : vl_get32(head + 8);
	if (size > NPY_HEADER_MAX)
		return input_fail(input, error, VALORI_TOO_LONG, "npy: a header of %zu bytes; the limit is %d", size,
				  NPY_HEADER_MAX);
	code = input_fill(input, start + size, error);
	if (code != VALORI_OK)
		return code;
	if (input->size < start + size)
		return input_fail(input, error, VALORI_INVALID, "npy: ends within its header");
	header.next = input_data(input) + start;
	header.end = header.next + size;
	if (!read_dictionary(&header))
		return input_fail(input, error, VALORI_INVALID, "npy: its header is not understood");
	code = check_type(rows, header.descr, error);
	if (code != VALORI_OK)
		return code;
	if (header.order.size == 4 && memcmp(header.order.text, "True", 4) == 0)
		return input_fail(input, error, VALORI_INVALID,
				  "npy: in Fortran order; save numpy.ascontiguousarray(array)");
	code = check_shape(rows, &header, error);
	input_pass(input, start + size);
	return code;
}
