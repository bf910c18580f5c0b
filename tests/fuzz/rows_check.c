/* rows_check.c - rows of an input read in several ways, which must agree. */
#include "rows_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"
#include "decimal.h"
#include "fuzz.h"

/* ---- what a row means ---- */

static uint64_t mix_slice(uint64_t digest, const char *text, size_t size)
{
	if (text == NULL)
		return fuzz_mix(digest, "none", 4);
	return fuzz_mix(digest ^ 1, text, size);
}

static uint64_t mix_u64(uint64_t digest, uint64_t value)
{
	return fuzz_mix(digest, &value, sizeof(value));
}

static uint64_t mix_ref(uint64_t digest, const valori_ref *ref, struct slice by_name)
{
	digest = mix_u64(mix_u64(digest, ref->kind), ref->id);
	return mix_slice(mix_slice(digest, ref->key, ref->key_size), by_name.text, by_name.size);
}

/* A component as the bits that a batch would be given: binary32, or Q16.16. */
static uint32_t component(const valori_op *op, uint32_t index)
{
	const uint8_t *at = (const uint8_t *)op->vector + (size_t)4 * index;
	uint32_t bits;

	if (op->vector_kind == VALORI_Q16LE || op->vector_kind == VALORI_F32LE)
		return vl_get32(at);
	memcpy(&bits, at, sizeof(bits));
	return bits;
}

static bool is_q16(const valori_op *op)
{
	return op->vector_kind == VALORI_Q16 || op->vector_kind == VALORI_Q16LE;
}

uint64_t row_meaning(const struct row *row)
{
	const valori_op *op = &row->op;
	uint64_t digest = mix_u64(0, op->kind);

	digest = mix_u64(mix_u64(mix_u64(digest, op->flags), op->collection), op->object_kind);
	digest = mix_u64(mix_u64(digest, op->tag), row->has_tag);
	digest = mix_slice(digest, op->key, op->key_size);
	digest = mix_slice(digest, (const char *)op->metadata, op->metadata_size);
	digest = mix_ref(digest, &op->target, row->target);
	digest = mix_ref(digest, &op->from, row->from);
	digest = mix_ref(digest, &op->to, row->to);
	digest = fuzz_mix(digest, op->request, sizeof(op->request));
	digest = mix_slice(digest, row->collection.text, row->collection.size);
	digest = mix_slice(digest, row->ref.text, row->ref.size);
	if (op->vector == NULL)
		return digest;
	digest = mix_u64(mix_u64(digest, op->dim), is_q16(op));
	for (uint32_t i = 0; i < op->dim; i++)
		digest = mix_u64(digest, component(op, i));
	return digest;
}

/* ---- reading ---- */

static unsigned refused;

unsigned rows_refused(void)
{
	return refused;
}

static uint64_t read_all(struct rows *rows, row_visit *visit, void *context)
{
	uint64_t digest = (uint64_t)rows_format(rows) + 1, passed = 0;
	bool is_over = false;

	refused = 0;
	for (unsigned i = 0; i < ROWS_AT_MOST && !is_over; i++) {
		valori_error error = {0};
		struct row row;
		valori_code code = rows_next(rows, &row, &error);

		must(code != VALORI_IO && code != VALORI_NO_MEMORY);
		must(rows_offset(rows) >= passed);
		passed = rows_offset(rows);
		digest = mix_u64(digest, (uint64_t)code);
		is_over = code == VALORI_END;
		if (code == VALORI_END)
			break;
		digest = mix_u64(mix_u64(digest, row.number), row.line);
		if (code != VALORI_OK) {
			refused++;
			must(code == VALORI_INVALID || code == VALORI_RANGE || code == VALORI_TOO_LONG);
			must(error.message[0] != 0 && memchr(error.message, 0, sizeof(error.message)) != NULL);
			is_over = !rows_can_go_on(rows);
			continue;
		}
		digest = mix_u64(digest, row_meaning(&row));
		if (visit != NULL)
			visit(context, rows, &row);
	}
	rows_close(rows);
	return digest;
}

/* Standard input is the one name under which anything can be read. */
static void be_stdin(int fd)
{
	must(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
}

static uint64_t read_stdin(enum rows_format format, uint32_t dim, row_visit *visit, void *context)
{
	struct rows *rows;
	valori_error error = {0};
	valori_code code = rows_open("-", format, dim, &rows, &error);

	if (code == VALORI_OK)
		return read_all(rows, visit, context);
	must(code == VALORI_INVALID || code == VALORI_TOO_LONG);
	must(error.message[0] != 0);
	return mix_u64(99, (uint64_t)code);
}

uint64_t rows_of_file(const uint8_t *data, size_t size, enum rows_format format, uint32_t dim, row_visit *visit,
		      void *context)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("rows", 0);
	must(fd >= 0 && ftruncate(fd, 0) == 0);
	must(pwrite(fd, data, size, 0) == (ssize_t)size);
	must(lseek(fd, 0, SEEK_SET) == 0);
	be_stdin(fd);
	return read_stdin(format, dim, visit, context);
}

/* A packet is read alone: so every place of the input is between two reads once. */
uint64_t rows_of_pieces(const uint8_t *data, size_t size, enum rows_format format, uint32_t dim)
{
	uint64_t seed = fuzz_mix(size, data, size), digest = 0;
	size_t piece_max = 1 + size / 24;
	int ends[2];
	bool is_sent = true;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	for (size_t at = 0; at < size && is_sent;) {
		size_t piece = 1 + (size_t)(seed % piece_max);

		seed = seed * UINT64_C(0x9fb21c651e98df25) + 1;
		seed ^= seed >> 32;
		if (piece > size - at)
			piece = size - at;
		is_sent = send(ends[0], data + at, piece, MSG_DONTWAIT) == (ssize_t)piece;
		at += piece;
	}
	close(ends[0]);
	if (is_sent) {
		be_stdin(ends[1]);
		digest = read_stdin(format, dim, NULL, NULL);
	}
	close(ends[1]);
	return digest;
}

uint64_t rows_of_text(const uint8_t *data, size_t size)
{
	struct rows *rows;

	must(rows_open_text("text", (const char *)data, size, &rows, NULL) == VALORI_OK);
	return read_all(rows, NULL, NULL);
}

/* ---- a row as NDJSON ---- */

struct text {
	char *data;
	size_t size, room;
};

static void add(struct text *text, const char *data, size_t size)
{
	if (text->size + size > text->room) {
		text->room = 2 * (text->size + size) + 256;
		text->data = realloc(text->data, text->room);
		must(text->data != NULL);
	}
	memcpy(text->data + text->size, data, size);
	text->size += size;
}

static void say(struct text *text, const char *words)
{
	add(text, words, strlen(words));
}

static void add_string(struct text *text, const char *name, const char *data, size_t size)
{
	char escape[8];

	if (data == NULL)
		return;
	say(text, ",\"");
	say(text, name);
	say(text, "\":\"");
	for (size_t i = 0; i < size; i++) {
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(uint8_t)data[i]);
		if ((uint8_t)data[i] < 0x20 || data[i] == '"' || data[i] == '\\')
			say(text, escape);
		else
			add(text, data + i, 1);
	}
	say(text, "\"");
}

static void add_base64(struct text *text, const char *name, const uint8_t *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (data == NULL)
		return;
	say(text, ",\"");
	say(text, name);
	say(text, "\":\"");
	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16;
		char out[4];

		bits |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
		bits |= i + 2 < size ? data[i + 2] : 0;
		for (unsigned j = 0; j < 4; j++)
			out[j] = digits[bits >> (18 - 6 * j) & 63];
		if (i + 1 >= size)
			out[2] = '=';
		if (i + 2 >= size)
			out[3] = '=';
		add(text, out, 4);
	}
	say(text, "\"");
}

static void add_vector(struct text *text, const valori_op *op)
{
	char number[64];

	say(text, is_q16(op) ? "{\"vector_q16\":[" : "{\"vector\":[");
	for (uint32_t i = 0; i < op->dim; i++) {
		uint32_t bits = component(op, i);
		float value;

		memcpy(&value, &bits, sizeof(value));
		if (is_q16(op))
			snprintf(number, sizeof(number), "%s%d", i > 0 ? "," : "", (int)(int32_t)bits);
		else
			snprintf(number, sizeof(number), "%s%.9g", i > 0 ? "," : "", (double)value);
		say(text, number);
	}
	say(text, "]");
}

/* Would a batch take it? That looks at the vector, at lengths, and at the key's UTF-8. */
static bool is_acceptable(const struct row *row)
{
	valori_batch *batch;
	bool ok;

	if (valori_batch_new(row->op.dim, &batch, NULL) != VALORI_OK)
		return false;
	ok = valori_batch_add(batch, &row->op, NULL) == VALORI_OK;
	valori_batch_free(batch);
	return ok;
}

void row_as_json(const struct row *row)
{
	struct text text = {0};
	struct rows *rows;
	struct row again;
	char tag[64];

	must(row->op.kind == VALORI_OP_INSERT && row->op.vector != NULL);
	if (!is_acceptable(row))
		return;
	add_vector(&text, &row->op);
	add_string(&text, "key", row->op.key, row->op.key_size);
	add_base64(&text, "metadata_base64", row->op.metadata, row->op.metadata_size);
	snprintf(tag, sizeof(tag), ",\"tag\":%llu", (unsigned long long)row->op.tag);
	if (row->has_tag)
		say(&text, tag);
	if (row->collection.text != NULL && row->collection.size > 0) {
		for (size_t i = 0; i < row->collection.size; i++)
			if ((uint8_t)row->collection.text[i] >= 0x80) /* UTF-8 or not: no name of a collection */
				goto end;
		add_string(&text, "collection", row->collection.text, row->collection.size);
	}
	say(&text, "}\n");
	must(rows_open_text("row", text.data, text.size, &rows, NULL) == VALORI_OK);
	must(rows_next(rows, &again, NULL) == VALORI_OK);
	must(row_meaning(&again) == row_meaning(row));
	rows_close(rows);
end:
	free(text.data);
}
