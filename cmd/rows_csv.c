/*
 * rows_csv.c - records of comma-separated values (RFC 4180) as vectors to insert.
 *
 * A first record with a field that is not a number is a header. Its names key, tag, metadata and collection say what
 * those columns hold, id is passed over, and every other column is a component. Without a header all columns are
 * components. A field with nothing in it, not even quotes, is absent.
 */
#include "rows_formats.h"

#include <stdlib.h>
#include <string.h>

enum role { COMPONENT, KEY, TAG, METADATA, COLLECTION, ID };

/* A record, field after field. */
struct record {
	struct rows *rows;
	const char *next, *end;
	bool more;          /* another field follows */
	const char *fault;  /* or NULL */
	struct slice field; /* the last one, unquoted */
	bool quoted;
};

valori_code rows_find_record(struct rows *rows, size_t *out_size, uint64_t *out_lines, valori_error *error)
{
	struct input *input = &rows->input;
	size_t searched = 0;
	bool inside = false;

	*out_lines = 0;
	for (;;) {
		const char *data = input_data(input);

		/* A quote within quotes is written twice: counting them tells inside from outside. */
		for (; searched < input->size; searched++) {
			inside ^= data[searched] == '"';
			if (data[searched] != '\n')
				continue;
			++*out_lines;
			if (!inside) {
				*out_size = searched + 1;
				return VALORI_OK;
			}
		}
		if (input->ended) {
			*out_size = input->size;
			++*out_lines;
			return input->size != 0 ? VALORI_OK : VALORI_END;
		}
		if (input->size > INPUT_ROW_MAX) {
			valori_code code = input_skip_line(input, error);

			return code != VALORI_OK ? code : VALORI_TOO_LONG;
		}
		if (input_more(input, error) != VALORI_OK)
			return (valori_code)(error != NULL ? error->code : VALORI_IO);
	}
}

static void start_record(struct record *record, struct rows *rows, struct slice text)
{
	*record = (struct record){.rows = rows, .next = text.text, .end = text.text + text.size, .more = true};
}

/* The rest of a quoted field; next is behind its first quote. */
static bool read_quoted(struct record *record)
{
	const char *first = record->next, *p = first;
	char *room, *out;

	while (p < record->end && (*p != '"' || (p + 1 < record->end && p[1] == '"')))
		p += *p == '"' ? 2 : 1;
	if (p >= record->end) {
		record->fault = "a quoted field that does not end";
		return false;
	}
	record->next = p + 1;
	record->field = (struct slice){first, (size_t)(p - first)};
	record->quoted = true;
	if (memchr(first, '"', record->field.size) == NULL)
		return true;
	room = out = rows_scratch(record->rows, record->field.size);
	if (room == NULL) {
		record->fault = "no memory for a field";
		return false;
	}
	for (const char *q = first; q < p; q++) {
		*out++ = *q;
		q += *q == '"';
	}
	record->field = (struct slice){room, (size_t)(out - room)};
	return true;
}

/* Takes the next field. False: there is none, or a fault. */
static bool next_field(struct record *record)
{
	const char *comma;

	if (!record->more || record->fault != NULL)
		return false;
	record->quoted = false;
	if (record->next < record->end && *record->next == '"') {
		record->next++;
		if (!read_quoted(record))
			return false;
		if (record->next < record->end && *record->next != ',') {
			record->fault = "a field goes on behind its closing quote";
			return false;
		}
	} else {
		comma = memchr(record->next, ',', (size_t)(record->end - record->next));
		record->field.text = record->next;
		record->field.size = (size_t)((comma != NULL ? comma : record->end) - record->next);
		record->next += record->field.size;
		if (memchr(record->field.text, '"', record->field.size) != NULL) {
			record->fault = "a quote in a field that does not begin with one";
			return false;
		}
	}
	record->more = record->next < record->end;
	record->next += record->more;
	return true;
}

static struct slice trim(struct slice text)
{
	while (text.size > 0 && (text.text[0] == ' ' || text.text[0] == '\t')) {
		text.text++;
		text.size--;
	}
	while (text.size > 0 && (text.text[text.size - 1] == ' ' || text.text[text.size - 1] == '\t'))
		text.size--;
	return text;
}

static bool read_number(struct slice text, uint32_t *out)
{
	text = trim(text);
	return text.size != 0 && valori_f32_from_decimal(text.text, text.size, out) == text.size;
}

static enum role role_of(struct slice name)
{
	static const char *const names[] = {
		[KEY] = "key", [TAG] = "tag", [METADATA] = "metadata", [COLLECTION] = "collection", [ID] = "id"};

	name = trim(name);
	for (int role = KEY; role <= ID; role++)
		if (strlen(names[role]) == name.size && memcmp(names[role], name.text, name.size) == 0)
			return (enum role)role;
	return COMPONENT;
}

/* Counts the columns, and what speaks for a header. */
static bool survey(struct record *record, size_t *columns, size_t *numbers, size_t *roles)
{
	uint32_t ignored;

	*columns = *numbers = *roles = 0;
	while (next_field(record)) {
		++*columns;
		*numbers += read_number(record->field, &ignored);
		*roles += role_of(record->field) != COMPONENT;
	}
	return record->fault == NULL;
}

/* Looks at the first record. END: it is a header. */
static valori_code start_csv(struct rows *rows, struct row *out, valori_error *error)
{
	struct record record;
	size_t columns, numbers, roles, components = 0;
	unsigned seen = 0;

	start_record(&record, rows, out->source);
	if (!survey(&record, &columns, &numbers, &roles))
		return rows_fail(rows, out, error, VALORI_INVALID, "%s", record.fault);
	if (columns > ROWS_COLUMNS_MAX)
		return rows_fail(rows, out, error, VALORI_TOO_LONG, "%zu columns; the limit is %d", columns,
				 ROWS_COLUMNS_MAX);
	rows->columns = columns;
	if (numbers == columns)
		return VALORI_OK;
	/* Columns may well be called 0, 1, 2; but a row with a typing error must not be taken for their names. */
	if (numbers != 0 && roles == 0)
		return rows_fail(rows, out, error, VALORI_INVALID,
				 "neither a header nor numbers: of %zu fields %zu are numbers", columns, numbers);
	rows->roles = malloc(columns);
	if (rows->roles == NULL)
		return rows_fail(rows, out, error, VALORI_NO_MEMORY, "no memory for the header");
	rows->scratch_used = 0;
	start_record(&record, rows, out->source);
	for (size_t i = 0; next_field(&record); i++) {
		enum role role = role_of(record.field);

		rows->roles[i] = (uint8_t)role;
		components += role == COMPONENT;
		if (role != COMPONENT && (seen & 1U << role) != 0)
			return rows_fail(rows, out, error, VALORI_INVALID, "two columns are called '%.*s'",
					 (int)record.field.size, record.field.text);
		seen |= 1U << role;
	}
	if (components == 0)
		return rows_fail(rows, out, error, VALORI_INVALID, "a header without components");
	return VALORI_END;
}

/* Puts a field where its column says. */
static valori_code take_field(struct rows *rows, struct row *out, size_t column, const struct record *record,
			      valori_error *error)
{
	struct slice field = record->field, text = trim(field);
	enum role role = rows->roles != NULL ? (enum role)rows->roles[column] : COMPONENT;
	bool absent = field.size == 0 && !record->quoted;
	char quoted[48];

	switch (role) {
	case COMPONENT:
		if (out->op.dim == VALORI_DIM_MAX)
			return rows_fail(rows, out, error, VALORI_TOO_LONG, "more than %d components", VALORI_DIM_MAX);
		if (!read_number(field, &rows->vector[out->op.dim]))
			return rows_fail(rows, out, error, VALORI_INVALID, "column %zu: '%s' is not a number",
					 column + 1, rows_quote(field, quoted));
		out->op.dim++;
		break;
	case KEY:
		if (absent)
			break;
		if (field.size == 0)
			return rows_fail(rows, out, error, VALORI_INVALID, "column %zu: key: is empty", column + 1);
		out->op.key = field.text;
		out->op.key_size = (uint32_t)field.size;
		break;
	case TAG:
		if (absent)
			break;
		if (!json_u64(text, &out->op.tag))
			return rows_fail(rows, out, error, VALORI_INVALID,
					 "column %zu: tag: %s: not an integer in 0...18446744073709551615", column + 1,
					 rows_quote(text, quoted));
		out->has_tag = true;
		break;
	case METADATA:
		if (absent)
			break;
		out->op.metadata = (const uint8_t *)field.text;
		out->op.metadata_size = (uint32_t)field.size;
		break;
	case COLLECTION:
		if (!absent)
			out->collection = field;
		break;
	case ID:
		break;
	}
	return VALORI_OK;
}

valori_code rows_read_csv(struct rows *rows, struct row *out, valori_error *error)
{
	struct record record;
	valori_code code = VALORI_OK;
	size_t columns = 0;

	if (!rows->started) {
		code = start_csv(rows, out, error);
		if (code != VALORI_OK && code != VALORI_END)
			rows->broken = true;
		rows->started = true;
		if (code != VALORI_OK)
			return code;
	}
	rows->scratch_used = 0;
	start_record(&record, rows, out->source);
	for (; code == VALORI_OK && next_field(&record); columns++)
		if (columns < rows->columns)
			code = take_field(rows, out, columns, &record, error);
	if (code == VALORI_OK && record.fault != NULL)
		code = rows_fail(rows, out, error, VALORI_INVALID, "%s", record.fault);
	if (code == VALORI_OK && columns != rows->columns)
		code = rows_fail(rows, out, error, VALORI_INVALID, "%zu fields, but the first record has %zu", columns,
				 rows->columns);
	out->op.vector = rows->vector;
	out->op.vector_kind = VALORI_F32;
	return code;
}
