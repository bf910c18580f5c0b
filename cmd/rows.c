/* rows.c - rows of any format, one at a time; the binary formats themselves. */
#include "rows_formats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"

static const char *const names[] = {"none", "ndjson", "fvecs", "bvecs", "npy", "f32", "i32", "csv", "log"};

const char *rows_format_name(enum rows_format format)
{
	return names[format];
}

enum rows_format rows_format_find(const char *name)
{
	for (int format = ROWS_NDJSON; format <= ROWS_LOG; format++)
		if (strcmp(name, names[format]) == 0)
			return (enum rows_format)format;
	return ROWS_UNKNOWN;
}

/* ---- messages ---- */

const char *rows_quote(struct slice text, char out[48])
{
	size_t size = text.size > 40 ? 37 : text.size;

	for (size_t i = 0; i < size; i++)
		out[i] = (char)(text.text[i] >= 0x20 && text.text[i] < 0x7f ? text.text[i] : '?');
	memcpy(out + size, "...", 4);
	if (text.size <= 40)
		out[size] = 0;
	return out;
}

static void place(const struct row *row, char *out, size_t size)
{
	if (row->line != 0)
		snprintf(out, size, "line %llu", (unsigned long long)row->line);
	else
		snprintf(out, size, "row %llu", (unsigned long long)row->number);
}

valori_code rows_fail(const struct rows *rows, const struct row *row, valori_error *error, valori_code code,
		      const char *format, ...)
{
	char where[32], sentence[232];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	place(row, where, sizeof(where));
	return input_fail(&rows->input, error, code, "%s: %s", where, sentence);
}

/* A component as its source has it, or as near as can be told. */
static void component_text(const struct row *row, size_t index, char out[48])
{
	const uint8_t *vector = row->op.vector;
	uint32_t bits;
	float value;

	if (row->vector.text != NULL) {
		rows_quote(json_element(row->vector, index), out);
		return;
	}
	bits = vl_get32(vector + 4 * index);
	if (row->op.vector_kind == VALORI_Q16 || row->op.vector_kind == VALORI_F32)
		memcpy(&bits, vector + 4 * index, 4);
	if (row->op.vector_kind == VALORI_Q16 || row->op.vector_kind == VALORI_Q16LE) {
		valori_q16_format((int32_t)bits, out);
		return;
	}
	memcpy(&value, &bits, sizeof(value));
	if (value != value)
		memcpy(out, "NaN", 4);
	else
		snprintf(out, 48, "%.9g", (double)value);
}

/* Is prefix at the start of text? Then what follows it, else text. */
static char *behind(char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : text;
}

void rows_blame(const struct rows *rows, const struct row *row, valori_error *error)
{
	char sentence[232], member[64] = "", named[48], value[128] = "", component[48];
	char *fact, *tail;

	memcpy(sentence, error->message, sizeof(sentence));
	fact = behind(sentence, "vector: ");
	if (fact == sentence) {
		rows_fail(rows, row, error, (valori_code)error->code, "%s", sentence);
		return;
	}
	if (row->vector_name != NULL)
		snprintf(member, sizeof(member), "member '%s': ", row->vector_name);
	if (error->code == VALORI_RANGE && error->event < row->op.dim) {
		/* The library says which component; only the row knows how it was written. */
		snprintf(named, sizeof(named), "component %llu ", (unsigned long long)error->event);
		fact = behind(fact, named);
		tail = strstr(fact, " at component ");
		if (tail != NULL)
			*tail = 0;
		component_text(row, error->event, component);
		snprintf(value, sizeof(value), "component %llu: %s: ", (unsigned long long)error->event, component);
	}
	rows_fail(rows, row, error, (valori_code)error->code, "%s%s%s", member, value, fact);
}

char *rows_scratch(struct rows *rows, size_t size)
{
	size_t most = 2 * rows->input.capacity;
	char *place;

	if (rows->scratch_used == 0 && rows->scratch_size < most) {
		free(rows->scratch);
		rows->scratch = malloc(most);
		rows->scratch_size = rows->scratch != NULL ? most : 0;
	}
	if (rows->scratch_size - rows->scratch_used < size)
		return NULL;
	place = rows->scratch + rows->scratch_used;
	rows->scratch_used += size;
	return place;
}

/* ---- recognising ---- */

enum { LOOK_SIZE = 4096 }; /* at most so much of a text is looked at to recognise it */

static bool has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), suffix_length = strlen(suffix);

	return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static enum rows_format format_of_name(const char *name)
{
	static const struct {
		const char *suffix;
		enum rows_format format;
	} suffixes[] = {{".ndjson", ROWS_NDJSON}, {".jsonl", ROWS_NDJSON}, {".json", ROWS_NDJSON},
			{".fvecs", ROWS_FVECS},   {".bvecs", ROWS_BVECS},  {".npy", ROWS_NPY},
			{".f32", ROWS_F32},       {".i32", ROWS_I32},      {".csv", ROWS_CSV}};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (has_suffix(name, suffixes[i].suffix))
			return suffixes[i].format;
	return ROWS_UNKNOWN;
}

/* Does the length of a second row follow a first row of components of this width, or the end? */
static bool looks_like_vecs(struct input *input, size_t width)
{
	const uint8_t *data = (const uint8_t *)input_data(input);
	uint32_t dim;
	size_t row;

	if (input->size < 4)
		return false;
	dim = vl_get32(data);
	row = 4 + width * dim;
	if (dim == 0 || dim > VALORI_DIM_MAX || input_fill(input, row + 4, NULL) != VALORI_OK)
		return false;
	data = (const uint8_t *)input_data(input);
	return input->size == row || (input->size >= row + 4 && vl_get32(data + row) == dim);
}

/* The length of a first row of vecs may begin like this, too, but goes on with a zero. */
static bool looks_like_json(const struct input *input)
{
	const char *p = input_data(input);

	return input->size >= 2 && (p[0] == '[' || p[0] == '{') && p[1] != 0;
}

/* first: its first byte that is no space. */
static bool looks_like_csv(const struct input *input, size_t first)
{
	const char *p = input_data(input);
	size_t size = input->size < LOOK_SIZE ? input->size : LOOK_SIZE;
	bool comma = false, digit = false;

	for (size_t i = first; i < size && p[i] != '\n'; i++) {
		if ((uint8_t)p[i] < 0x20 && p[i] != '\t' && p[i] != '\r')
			return false;
		comma |= p[i] == ',';
		digit |= p[i] >= '0' && p[i] <= '9';
	}
	return comma || digit;
}

static const struct {
	char magic[8];
	size_t size;
	const char *sentence;
} strangers[] = {
	{"VALORISN", 8, "is a snapshot; valori-snapshot --restore takes it in"},
	{"\x1f\x8b", 2, "is compressed; pipe it through zcat"},
	{"\x28\xb5\x2f\xfd", 4, "is compressed; pipe it through zstdcat"},
	{"PK\3\4", 4, "is a zip archive, perhaps .npz; unpack the .npy in it first"},
	{"PAR1", 4, "is a Parquet file; convert it to ndjson first"},
	{"\xff\xfe", 2, "is UTF-16; convert it to UTF-8 first"},
	{"\xfe\xff", 2, "is UTF-16; convert it to UTF-8 first"},
};

static bool starts_with(const struct input *input, const char *magic, size_t size)
{
	return input->size >= size && memcmp(input_data(input), magic, size) == 0;
}

/*
 * Bytes of space from there on. As much is read first as it takes to see a line with something in it whole, up to a
 * limit: what a file is must not depend on the pieces in which it comes.
 */
static valori_code pass_space(struct input *input, size_t *space, valori_error *error)
{
	valori_code code = VALORI_OK;

	while (code == VALORI_OK) {
		const char *p = input_data(input);
		size_t size = input->size < LOOK_SIZE ? input->size : LOOK_SIZE;

		while (*space < size && memchr(" \t\r\n", p[*space], 4) != NULL)
			++*space;
		if (size == LOOK_SIZE || input->ended || memchr(p + *space, '\n', size - *space) != NULL)
			break;
		code = input_more(input, error);
	}
	return code;
}

static valori_code recognise(struct rows *rows, valori_error *error)
{
	struct input *input = &rows->input;
	size_t space = starts_with(input, "\xef\xbb\xbf", 3) ? 3 : 0;
	valori_code code;
	const char *p;

	if (input->size == 0)
		return VALORI_OK;
	if (starts_with(input, "VALORIEV", 8))
		rows->format = ROWS_LOG;
	else if (starts_with(input, "\x93NUMPY", 6))
		rows->format = ROWS_NPY;
	else
		rows->format = format_of_name(input->name);
	if (rows->format != ROWS_UNKNOWN)
		return VALORI_OK;
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		if (starts_with(input, strangers[i].magic, strangers[i].size))
			return input_fail(input, error, VALORI_INVALID, "%s", strangers[i].sentence);
	if (looks_like_vecs(input, 4))
		rows->format = ROWS_FVECS;
	else if (looks_like_vecs(input, 1))
		rows->format = ROWS_BVECS;
	if (rows->format != ROWS_UNKNOWN)
		return VALORI_OK;
	code = pass_space(input, &space, error);
	if (code != VALORI_OK)
		return code;
	p = input_data(input);
	if (space < input->size && (p[space] == '{' || p[space] == '['))
		rows->format = ROWS_NDJSON;
	else if (space == input->size || space == LOOK_SIZE)
		rows->format = ROWS_NDJSON; /* nothing but empty lines, as far as it was looked at */
	else if (looks_like_csv(input, space))
		rows->format = ROWS_CSV;
	else
		return input_fail(input, error, VALORI_INVALID, "its format is not recognised; -f names it");
	return VALORI_OK;
}

/* ---- opening ---- */

/* The input is open: finds out what is in it. */
static valori_code start(struct rows *rows, enum rows_format format, uint32_t dim, valori_error *error)
{
	valori_code code;

	rows->dim = dim;
	rows->format = format;
	if (format == ROWS_LOG)
		return VALORI_OK;
	rows->vector = malloc(sizeof(uint32_t) * VALORI_DIM_MAX);
	if (rows->vector == NULL)
		return input_fail(&rows->input, error, VALORI_NO_MEMORY, "no memory to read it");
	/* A row that was written to a pipe is not kept waiting for more than it takes to know what it is. */
	code = input_fill(&rows->input, 2, error);
	if (code == VALORI_OK && format == ROWS_UNKNOWN && looks_like_json(&rows->input) &&
	    format_of_name(rows->input.name) == ROWS_UNKNOWN)
		rows->format = format = ROWS_NDJSON;
	if (code == VALORI_OK && format != ROWS_NDJSON)
		code = input_fill(&rows->input, 8, error);
	if (code == VALORI_OK && format == ROWS_UNKNOWN)
		code = recognise(rows, error);
	if (rows->format == ROWS_NPY && code == VALORI_OK)
		code = rows_open_npy(rows, error);
	if (code == VALORI_OK && starts_with(&rows->input, "\xef\xbb", 2))
		code = input_fill(&rows->input, 3, error);
	if ((rows->format == ROWS_NDJSON || rows->format == ROWS_CSV) && starts_with(&rows->input, "\xef\xbb\xbf", 3))
		input_pass(&rows->input, 3);
	if (rows->format == ROWS_FVECS || rows->format == ROWS_BVECS)
		rows->dim = 0;
	return code;
}

valori_code rows_open(const char *path, enum rows_format format, uint32_t dim, struct rows **out, valori_error *error)
{
	struct rows *rows = calloc(1, sizeof(*rows));
	valori_code code;

	*out = NULL;
	if (rows == NULL)
		return input_fail(&(struct input){.name = path != NULL ? path : "-"}, error, VALORI_NO_MEMORY,
				  "no memory to read it");
	code = input_open(&rows->input, path, error);
	if (code == VALORI_OK)
		code = start(rows, format, dim, error);
	if (code == VALORI_OK)
		*out = rows;
	else
		rows_close(rows);
	return code;
}

valori_code rows_open_text(const char *name, const char *text, size_t size, struct rows **out, valori_error *error)
{
	struct rows *rows = calloc(1, sizeof(*rows));
	valori_code code;

	*out = NULL;
	if (rows == NULL)
		return input_fail(&(struct input){.name = name}, error, VALORI_NO_MEMORY, "no memory to read it");
	code = input_open_text(&rows->input, name, text, size, error);
	if (code == VALORI_OK)
		code = start(rows, ROWS_NDJSON, 0, error);
	if (code == VALORI_OK)
		*out = rows;
	else
		rows_close(rows);
	return code;
}

void rows_close(struct rows *rows)
{
	if (rows == NULL)
		return;
	if (rows->is_forwarded) {
		close(rows->stream_fd);
		pthread_join(rows->forwarder, NULL);
	}
	input_close(&rows->input);
	free(rows->vector);
	free(rows->scratch);
	free(rows->roles);
	free(rows);
}

enum rows_format rows_format(const struct rows *rows)
{
	return rows->format;
}

const char *rows_name(const struct rows *rows)
{
	return rows->input.name;
}

void rows_set_dim(struct rows *rows, uint32_t dim)
{
	if (rows->format == ROWS_F32 || rows->format == ROWS_I32)
		rows->dim = dim;
}

/* Passes the input on into the pipe, until it ends or nobody reads any more. */
static void *forward(void *argument)
{
	struct rows *rows = argument;
	struct input *input = &rows->input;

	do {
		while (input->size != 0) {
			ssize_t written = write(rows->forward_fd, input_data(input), input->size);

			if (written < 0 && errno != EINTR)
				goto end;
			input_pass(input, written > 0 ? (size_t)written : 0);
		}
	} while (input_more(input, NULL) == VALORI_OK && input->size != 0);
end:
	close(rows->forward_fd);
	return NULL;
}

valori_code rows_stream(struct rows *rows, int *out_fd, valori_error *error)
{
	int ends[2];
	pthread_t thread;

	*out_fd = rows->input.fd;
	if (rows->input.size == 0 || lseek(rows->input.fd, 0, SEEK_SET) == 0)
		return VALORI_OK;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return input_fail(&rows->input, error, VALORI_IO, "no pipe to read it: %s", strerror(errno));
	rows->forward_fd = ends[1];
	rows->stream_fd = *out_fd = ends[0];
	rows->is_forwarded = pthread_create(&thread, NULL, forward, rows) == 0;
	if (!rows->is_forwarded)
		return input_fail(&rows->input, error, VALORI_NO_MEMORY, "no thread to read it");
	rows->forwarder = thread;
	return VALORI_OK;
}

uint64_t rows_offset(const struct rows *rows)
{
	return rows->input.offset;
}

bool rows_can_go_on(const struct rows *rows)
{
	return !rows->broken;
}

/* ---- text ---- */

static bool is_blank(struct slice line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.text[i] != ' ' && line.text[i] != '\t' && line.text[i] != '\r')
			return false;
	return true;
}

/* The next line, without its end, passed. OK, END, TOO_LONG (all of it passed), IO, NO_MEMORY. */
static valori_code next_line(struct rows *rows, struct row *out, valori_error *error)
{
	struct input *input = &rows->input;
	size_t searched = 0;

	for (;;) {
		const char *data = input_data(input);
		const char *end = memchr(data + searched, '\n', input->size - searched);
		valori_code code;

		if (end != NULL || (input->ended && input->size != 0)) {
			size_t size = end != NULL ? (size_t)(end - data) : input->size;

			out->line = ++rows->line;
			out->source = (struct slice){data, size};
			input_pass(input, size + (end != NULL));
			return VALORI_OK;
		}
		if (input->ended)
			return VALORI_END;
		searched = input->size;
		if (searched > INPUT_ROW_MAX) {
			out->line = ++rows->line;
			code = input_skip_line(input, error);
			if (code != VALORI_OK)
				return code;
			return rows_fail(rows, out, error, VALORI_TOO_LONG, "longer than %d bytes, the limit of a line",
					 INPUT_ROW_MAX);
		}
		code = input_more(input, error);
		if (code != VALORI_OK)
			return code;
	}
}

static valori_code next_ndjson(struct rows *rows, struct row *out, valori_error *error)
{
	valori_code code;

	do
		code = next_line(rows, out, error);
	while (code == VALORI_OK && is_blank(out->source));
	if (code == VALORI_TOO_LONG)
		rows->count++;
	if (code != VALORI_OK)
		return code;
	rows->count++;
	return rows_read_ndjson(rows, out, error);
}

static valori_code next_csv(struct rows *rows, struct row *out, valori_error *error)
{
	uint64_t lines;
	size_t size;
	valori_code code;

	for (;;) {
		out->line = rows->line + 1;
		code = rows_find_record(rows, &size, &lines, error);
		if (code == VALORI_TOO_LONG) {
			rows->line += lines + 1;
			rows->count++;
			rows_fail(rows, out, error, code, "longer than %d bytes, the limit of a row", INPUT_ROW_MAX);
		}
		if (code != VALORI_OK)
			return code;
		out->source = (struct slice){input_data(&rows->input), size};
		input_pass(&rows->input, size);
		rows->line += lines;
		while (out->source.size > 0 && (out->source.text[out->source.size - 1] == '\n' ||
						out->source.text[out->source.size - 1] == '\r'))
			out->source.size--;
		if (is_blank(out->source))
			continue;
		code = rows_read_csv(rows, out, error);
		if (code == VALORI_END)
			continue;
		rows->count++;
		return code;
	}
}

/* ---- rows of a fixed size ---- */

static uint32_t f32_of_npy(const struct rows *rows, const uint8_t *p)
{
	uint64_t value = 0;

	if (rows->kind == 'f')
		return rows->width == 2   ? valori_f32_from_f16(vl_get16(p))
		       : rows->width == 4 ? vl_get32(p)
					  : valori_f32_from_f64(vl_get64(p));
	for (unsigned i = rows->width; i-- > 0;)
		value = value << 8 | p[i];
	if (rows->kind == 'i' && rows->width < 8 && (value >> (8 * rows->width - 1)) != 0)
		value |= UINT64_MAX << 8 * rows->width;
	return rows_f32_from_i64((int64_t)value);
}

uint32_t rows_f32_from_i64(int64_t value)
{
	uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
	uint32_t sign = value < 0 ? UINT32_C(1) << 31 : 0;
	int top;

	if (magnitude == 0)
		return 0;
	top = 63 - __builtin_clzll(magnitude);
	magnitude = top > 23 ? magnitude >> (top - 23) : magnitude << (23 - top);
	return sign | (uint32_t)(top + 127) << 23 | ((uint32_t)magnitude & 0x7fffff);
}

/* The row's bytes as the op's vector. */
static void put_vector(struct rows *rows, struct row *out, const uint8_t *data)
{
	valori_op *op = &out->op;

	op->vector = data;
	op->dim = rows->dim;
	op->vector_kind = rows->format == ROWS_I32 ? VALORI_Q16LE : VALORI_F32LE;
	if (rows->format == ROWS_BVECS) {
		for (uint32_t i = 0; i < rows->dim; i++)
			rows->vector[i] = (uint32_t)data[i] << 16;
		op->vector = rows->vector;
		op->vector_kind = VALORI_Q16;
	} else if (rows->format == ROWS_NPY && !(rows->kind == 'f' && rows->width == 4)) {
		for (uint32_t i = 0; i < rows->dim; i++)
			rows->vector[i] = f32_of_npy(rows, data + (size_t)i * rows->width);
		op->vector = rows->vector;
		op->vector_kind = VALORI_F32;
	}
}

static unsigned component_size(const struct rows *rows)
{
	return rows->format == ROWS_NPY ? rows->width : rows->format == ROWS_BVECS ? 1 : 4;
}

/* Reads and checks the length in front of a row of fvecs or bvecs. OK, END and faults. */
static valori_code read_length(struct rows *rows, struct row *out, valori_error *error)
{
	struct input *input = &rows->input;
	valori_code code = input_fill(input, 4, error);
	int32_t dim;

	if (code != VALORI_OK)
		return code;
	if (input->size == 0)
		return VALORI_END;
	rows->broken = true;
	if (input->size < 4)
		return rows_fail(rows, out, error, VALORI_INVALID, "ends after %zu of the 4 bytes of its dimension",
				 input->size);
	dim = (int32_t)vl_get32((const uint8_t *)input_data(input));
	if (dim < 1 || dim > VALORI_DIM_MAX)
		return rows_fail(rows, out, error, VALORI_INVALID, "dimension %d is not in 1...%d", dim,
				 VALORI_DIM_MAX);
	if (rows->dim != 0 && (uint32_t)dim != rows->dim)
		return rows_fail(rows, out, error, VALORI_INVALID, "dimension %d, but the rows before it have %u", dim,
				 rows->dim);
	rows->broken = false;
	rows->dim = (uint32_t)dim;
	return VALORI_OK;
}

static valori_code next_fixed(struct rows *rows, struct row *out, valori_error *error)
{
	struct input *input = &rows->input;
	size_t head = rows->format == ROWS_FVECS || rows->format == ROWS_BVECS ? 4 : 0, size;
	valori_code code = head != 0 ? read_length(rows, out, error) : VALORI_OK;

	if (code != VALORI_OK)
		return code;
	size = head + (size_t)rows->dim * component_size(rows);
	code = input_fill(input, size, error);
	if (code != VALORI_OK)
		return code;
	if (rows->format == ROWS_NPY && rows->remaining == 0) {
		if (input->size == 0)
			return VALORI_END;
		rows->broken = true;
		return rows_fail(rows, out, error, VALORI_INVALID,
				 "bytes behind the last row that the header promises");
	}
	if (input->size == 0 && rows->format != ROWS_NPY)
		return VALORI_END;
	if (input->size < size) {
		rows->broken = true;
		return rows_fail(
			rows, out, error, VALORI_INVALID, "ends after %zu of its %zu bytes%s", input->size, size,
			rows->format == ROWS_F32 || rows->format == ROWS_I32 ? "; is the dimension right?" : "");
	}
	rows->remaining -= rows->format == ROWS_NPY;
	put_vector(rows, out, (const uint8_t *)input_data(input) + head);
	input_pass(input, size);
	rows->count++;
	return VALORI_OK;
}

valori_code rows_next(struct rows *rows, struct row *out, valori_error *error)
{
	memset(out, 0, sizeof(*out));
	out->number = rows->count;
	out->op.kind = VALORI_OP_INSERT;
	rows->scratch_used = 0;
	switch (rows->format) {
	case ROWS_NDJSON:
		return next_ndjson(rows, out, error);
	case ROWS_CSV:
		return next_csv(rows, out, error);
	case ROWS_F32:
	case ROWS_I32:
		if (rows->dim == 0) {
			rows->broken = true;
			return input_fail(&rows->input, error, VALORI_INVALID,
					  "rows of format %s have the length that -d gives", names[rows->format]);
		}
		return next_fixed(rows, out, error);
	case ROWS_FVECS:
	case ROWS_BVECS:
	case ROWS_NPY:
		return next_fixed(rows, out, error);
	case ROWS_UNKNOWN:
	case ROWS_LOG:
		break;
	}
	return VALORI_END;
}
