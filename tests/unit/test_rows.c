/* test_rows.c - rows of every format: what they say, and what is wrong with those that are not acceptable. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bytes.h"
#include "check.h"
#include "rows.h"
#include "scratch.h"

#if defined(__SANITIZE_ADDRESS__)
static const bool is_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
static const bool is_sanitized = true;
#else
static const bool is_sanitized = false;
#endif
#else
static const bool is_sanitized = false;
#endif

static valori_error error;

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file;

	unlink(path); /* a file that is overwritten goes to the disk when it is closed, on some file systems */
	file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
		exit(99);
}

static struct rows *open_bytes(const char *path, const void *bytes, size_t size, enum rows_format format)
{
	struct rows *rows = NULL;

	write_file(path, bytes, size);
	rows_open(path, format, 0, &rows, &error);
	return rows;
}

static struct rows *open_text(const char *text, enum rows_format format)
{
	return open_bytes("text", text, strlen(text), format);
}

/* The first row of a text, whose rows stay open in *rows. */
static valori_code first_row(struct rows **rows, const char *text, enum rows_format format, struct row *row)
{
	rows_close(*rows);
	*rows = open_text(text, format);
	return rows_next(*rows, row, &error);
}

static bool is_text(const void *bytes, size_t size, const char *text)
{
	return bytes != NULL && size == strlen(text) && memcmp(bytes, text, size) == 0;
}

/* ---- ndjson ---- */

static void test_lines(void)
{
	struct rows *rows = open_text("\xef\xbb\xbf[1,2]\r\n\n \t\r\n{\"vector\":[3,4]}\n[5,6]", ROWS_UNKNOWN);
	struct row row;

	check(rows_format(rows) == ROWS_NDJSON, "a byte order mark and a bracket: ndjson");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.number == 0 && row.line == 1 && row.op.dim == 2,
	      "a bare array with CRLF behind it");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.number == 1 && row.line == 4 && row.vector_name != NULL,
	      "empty lines count as lines, not as rows");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.number == 2 && row.line == 5,
	      "a last line without a line feed");
	check(rows_next(rows, &row, &error) == VALORI_END && rows_next(rows, &row, &error) == VALORI_END,
	      "the end stays");
	rows_close(rows);
}

/* A text in memory has no more room behind it than it needs. */
static void check_escaped_base64(void)
{
	static const char text[] =
		"{\"values\":[1],\"metadata_base64\":\"\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/"
		"\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/\\/"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}";
	struct rows *rows;
	struct row row;

	check(rows_open_text("text", text, sizeof(text) - 1, &rows, &error) == VALORI_OK &&
		      rows_next(rows, &row, &error) == VALORI_OK && row.op.metadata_size == 138 &&
		      row.op.metadata[0] == 0xff,
	      "base64 with its slashes escaped");
	rows_close(rows);
}

static void test_members(void)
{
	struct rows *rows = NULL;
	struct row row;

	check(first_row(
		      &rows,
		      "{\"id\":7,\"key\":\"a\\u00e9\",\"tag\":\"18446744073709551615\",\"metadata\":{\"b\": [1 , 2]},"
		      "\"embedding\":[1],\"collection\":\"c\",\"ref\":\"r\",\"op\":\"upsert\",\"event\":1,\"time\":\"t\"}",
		      ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.kind == VALORI_OP_UPSERT,
	      "a row with every member of an upsert");
	check(is_text(row.op.key, row.op.key_size, "a\xc3\xa9"), "the key, unescaped");
	check(row.has_tag && row.op.tag == UINT64_MAX, "a tag of 2^64 - 1 as a string");
	check(is_text(row.op.metadata, row.op.metadata_size, "{\"b\": [1 , 2]}"),
	      "an object as metadata is its exact text");
	check(is_text(row.collection.text, row.collection.size, "c") && is_text(row.ref.text, row.ref.size, "r"),
	      "collection and ref");
	check(first_row(&rows, "{\"values\":[1],\"metadata\":\"x\\ny\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      is_text(row.op.metadata, row.op.metadata_size, "x\ny") && !row.has_tag,
	      "a string as metadata is its bytes");
	check(first_row(&rows, "{\"values\":[1],\"metadata\":null,\"key\":null}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.metadata == NULL && row.op.key == NULL,
	      "null is absent");
	check(first_row(&rows, "{\"values\":[1],\"metadata\":\"\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.metadata != NULL && row.op.metadata_size == 0,
	      "an empty string is not absent");
	check(first_row(&rows, "{\"values\":[1],\"metadata_base64\":\"AP8Q\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.metadata_size == 3 && memcmp(row.op.metadata, "\0\xff\x10", 3) == 0,
	      "base64 as metadata");
	check_escaped_base64();
	check(first_row(&rows, "{\"values\":[1],\"metadata_base64\":\"AA==\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.metadata_size == 1,
	      "base64 with padding");
	check(first_row(&rows, "{\"vector_q16\":[-2147483648,65536]}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.vector_kind == VALORI_Q16 && ((const int32_t *)row.op.vector)[0] == INT32_MIN &&
		      row.op.dim == 2,
	      "raw components");
	rows_close(rows);
}

static void test_ops(void)
{
	struct rows *rows = NULL;
	struct row row;

	check(first_row(&rows, "{\"op\":\"delete\",\"id\":\"7\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.kind == VALORI_OP_DELETE && row.op.target.kind == VALORI_REF_ID && row.op.target.id == 7,
	      "delete by id");
	check(first_row(&rows, "{\"op\":\"delete\",\"id\":\"\\u0037\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.target.kind == VALORI_REF_ID && row.op.target.id == 7,
	      "digits are digits however a string writes them");
	check(first_row(&rows, "{\"op\":\"soft_delete\",\"key\":\"k\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.target.kind == VALORI_REF_KEY && is_text(row.op.target.key, row.op.target.key_size, "k"),
	      "soft delete by key");
	check(first_row(&rows, "{\"op\":\"node\",\"kind\":\"Chunk\",\"record\":\"a\"}", ROWS_UNKNOWN, &row) ==
			      VALORI_OK &&
		      row.op.kind == VALORI_OP_NODE_CREATE && row.op.object_kind == 3 &&
		      is_text(row.target.text, row.target.size, "a"),
	      "a node of a record by ref");
	check(first_row(&rows, "{\"op\":\"node\",\"kind\":200,\"record\":null}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.object_kind == 200 && row.op.target.kind == VALORI_REF_NONE,
	      "a node of no record, kind as a number");
	check(first_row(&rows, "{\"op\":\"edge\",\"kind\":\"RefersTo\",\"from\":3,\"to_key\":\"k\"}", ROWS_UNKNOWN,
			&row) == VALORI_OK &&
		      row.op.from.kind == VALORI_REF_ID && row.op.from.id == 3 && row.op.to.kind == VALORI_REF_KEY &&
		      row.op.object_kind == 2,
	      "an edge by id and by the key of a record");
	check(first_row(&rows, "{\"op\":\"meta\",\"key\":\"k\",\"metadata\":\"v\"}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.kind == VALORI_OP_META_SET && is_text(row.op.key, row.op.key_size, "k"),
	      "a meta value");
	check(first_row(&rows, "{\"op\":\"config\",\"parameter\":2,\"value\":16}", ROWS_UNKNOWN, &row) == VALORI_OK &&
		      row.op.kind == VALORI_OP_CONFIG && row.op.tag == 2 && row.op.target.id == 16,
	      "a parameter");
	check(first_row(&rows, "{\"op\":\"config\",\"parameter\":9,\"value\":2}", ROWS_UNKNOWN, &row) == VALORI_INVALID,
	      "product quantisation is refused, not taken for another");
	check(first_row(&rows, "{\"op\":\"config\",\"parameter\":9,\"value\":1}", ROWS_UNKNOWN, &row) == VALORI_OK,
	      "scalar is not");
	rows_close(rows);
}

static void test_ndjson_faults(void)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{"[1,2", "text: line 1: component 1: ends too early"},
		{"[]", "text: line 1: is empty"},
		{"[1,\"x\"]", "text: line 1: component 1: \"x\": is a string, not a number"},
		{"{\"vector\":[1,NaN]}", "text: line 1: member 'vector': component 1: NaN: is not a number"},
		{"{\"vector\":null}", "text: line 1: member 'vector': an array is expected"},
		{"{\"vector\":[1]", "text: line 1: column 14: ends too early"},
		{"{\"vector\":[1]}x", "text: line 1: column 15: something follows the end of the value"},
		{"{\"vector\":[1],\"vector\":[1]}", "text: line 1: member 'vector': occurs twice"},
		{"{\"vector\":[1],\"t\\u0061g\":1,\"tag\":1}", "text: line 1: member 'tag': occurs twice"},
		{"{\"vector\":[1],\"values\":[1]}",
		 "text: line 1: member 'values': beside 'vector', which means the same"},
		{"{\"vector\":[1],\"tga\":1}", "text: line 1: member 'tga': not known"},
		{"{\"vector\":[1],\"key\\u0000\":1}", "text: line 1: member 'key?': not known"},
		{"{\"vector\":[1],\"key\":\"\"}", "text: line 1: member 'key': is empty"},
		{"{\"vector\":[1],\"key\":5}", "text: line 1: member 'key': is a number, not a string"},
		{"{\"vector\":[1],\"key\":\"\xff\"}",
		 "text: line 1: member 'key': column 22: a string that is not UTF-8"},
		{"{\"vector\":[1],\"tag\":18446744073709551616}",
		 "text: line 1: member 'tag': 18446744073709551616: not an integer in 0...18446744073709551615"},
		{"{\"vector\":[1],\"tag\":-1}",
		 "text: line 1: member 'tag': -1: not an integer in 0...18446744073709551615"},
		{"{\"vector\":[1],\"tag\":1.5}",
		 "text: line 1: member 'tag': 1.5: not an integer in 0...18446744073709551615"},
		{"{\"vector\":[1],\"metadata\":5}",
		 "text: line 1: member 'metadata': is a number, not a string, an object, an array or null"},
		{"{\"vector\":[1],\"metadata_base64\":\"AB==\"}",
		 "text: line 1: member 'metadata_base64': not base64 with padding"},
		{"{\"key\":\"a\"}", "text: line 1: member 'vector' is missing, which insert needs"},
		{"{\"op\":\"upsert\",\"vector\":[1]}", "text: line 1: member 'key' is missing, which upsert needs"},
		{"{\"op\":\"delete\",\"id\":1,\"tag\":2}", "text: line 1: member 'tag': delete does not take it"},
		{"{\"op\":\"delete\",\"id\":1,\"key\":\"a\"}",
		 "text: line 1: members 'id' and 'key' exclude each other"},
		{"{\"op\":\"remove\",\"id\":1}", "text: line 1: member 'op': remove: no such operation"},
		{"{\"op\":\"node\",\"kind\":\"Paper\"}",
		 "text: line 1: member 'kind': a number in 0...255 or Record, Document or Chunk"},
		{"{\"op\":\"node\",\"kind\":1,\"ref\":\"5\"}",
		 "text: line 1: member 'ref': 1...255 bytes that are not a number"},
		{"5", "text: line 1: column 1: an object is expected"},
	};
	struct rows *rows = NULL;
	struct row row;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (first_row(&rows, cases[i].text, ROWS_NDJSON, &row) != VALORI_INVALID ||
		    strcmp(error.message, cases[i].sentence) != 0 || !rows_can_go_on(rows)) {
			printf("# %s: %s\n", cases[i].text, error.message);
			wrong++;
		}
	check(wrong == 0, "rows that are not acceptable: line, member, value, and what is wrong");
	rows_close(rows);
	rows = open_text("[1]\n{\n[2]\n", ROWS_UNKNOWN);
	check(rows_next(rows, &row, &error) == VALORI_OK && rows_next(rows, &row, &error) == VALORI_INVALID &&
		      rows_next(rows, &row, &error) == VALORI_OK && row.number == 2 && row.line == 3,
	      "the row behind a bad one is read");
	rows_close(rows);
}

static void test_blame(void)
{
	struct rows *rows = NULL;
	struct row row;

	first_row(&rows, "\n{\"tag\":1,\"vector\":[1, 1e999,2]}", ROWS_UNKNOWN, &row);
	error = (valori_error){.code = VALORI_RANGE, .event = 1, .message = "vector: component 1 is infinite"};
	rows_blame(rows, &row, &error);
	check_text(error.message, "text: line 2: member 'vector': component 1: 1e999: is infinite",
		   "a component that is refused later is named by its text");
	rows_close(rows);
}

static void test_long_line(void)
{
	static const char tail[] = "\n[7]\n";
	struct row row;
	struct rows *rows;
	char *piece = malloc(1 << 20);
	FILE *file = fopen("long", "wb");
	struct rusage before, after;

	memset(piece, ' ', 1 << 20);
	fputs("[1]\n", file);
	for (int i = 0; i < 100; i++)
		fwrite(piece, 1, 1 << 20, file);
	fwrite(tail, 1, sizeof(tail) - 1, file);
	fclose(file);
	free(piece);
	getrusage(RUSAGE_SELF, &before);
	rows_open("long", ROWS_UNKNOWN, 0, &rows, &error);
	rows_next(rows, &row, &error);
	check(rows_next(rows, &row, &error) == VALORI_TOO_LONG && row.line == 2, "a line of 100 MB is refused");
	check_text(error.message, "long: line 2: longer than 16777216 bytes, the limit of a line", "with the limit");
	check(rows_can_go_on(rows) && rows_next(rows, &row, &error) == VALORI_OK && row.line == 3,
	      "and the line behind it is read");
	getrusage(RUSAGE_SELF, &after);
	if (is_sanitized)
		check_skip("without keeping more of it than the limit", "a sanitizer keeps what was freed");
	else
		check(after.ru_maxrss - before.ru_maxrss < 40 * 1024, "without keeping more of it than the limit");
	rows_close(rows);
}

/* A number of 10,000 digits, and a vector of as many components as there can be. */
static void test_extremes(void)
{
	struct row row;
	struct rows *rows = NULL;
	char *text = malloc(4 * VALORI_DIM_MAX), *p = text;

	*p++ = '[';
	memset(p, '1', 10000);
	memcpy(p + 10000, "e-9999]", 8);
	check(first_row(&rows, text, ROWS_UNKNOWN, &row) == VALORI_OK && *(const uint32_t *)row.op.vector == 0x3f8e38e4,
	      "a number of 10,000 digits is read exactly");
	for (int i = 0; i < VALORI_DIM_MAX; i++)
		p += snprintf(p, 4, "%d,", i % 10);
	memcpy(p - 1, "]", 2);
	check(first_row(&rows, text, ROWS_UNKNOWN, &row) == VALORI_OK && row.op.dim == VALORI_DIM_MAX,
	      "32,768 components are read");
	memcpy(p - 1, ",1]", 4);
	check(first_row(&rows, text, ROWS_UNKNOWN, &row) == VALORI_INVALID &&
		      strstr(error.message, "component 32768: 1: is one component too many") != NULL,
	      "one more is refused");
	rows_close(rows);
	free(text);
}

/* ---- binary ---- */

static size_t put_f32(uint8_t *p, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, 4);
	vl_put32(p, bits);
	return 4;
}

static void test_fvecs(void)
{
	uint8_t bytes[64];
	size_t size = 0;
	struct rows *rows;
	struct row row;

	for (int i = 0; i < 2; i++) {
		vl_put32(bytes + size, 2);
		size += 4;
		size += put_f32(bytes + size, 1.5f);
		size += put_f32(bytes + size, (float)i);
	}
	rows = open_bytes("a.fvecs", bytes, size, ROWS_UNKNOWN);
	check(rows_format(rows) == ROWS_FVECS && rows_next(rows, &row, &error) == VALORI_OK && row.op.dim == 2 &&
		      row.op.vector_kind == VALORI_F32LE && row.line == 0,
	      "a row of fvecs");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.number == 1 &&
		      vl_get32((const uint8_t *)row.op.vector + 4) == 0x3f800000,
	      "and the next");
	check(rows_next(rows, &row, &error) == VALORI_END, "and the end");
	rows_close(rows);
	rows = open_bytes("noname", bytes, size, ROWS_UNKNOWN);
	check(rows_format(rows) == ROWS_FVECS, "fvecs are recognised without their name");
	rows_close(rows);
	rows = open_bytes("a.fvecs", bytes, size - 3, ROWS_UNKNOWN);
	rows_next(rows, &row, &error);
	check(rows_next(rows, &row, &error) == VALORI_INVALID && !rows_can_go_on(rows), "a row cut short");
	check_text(error.message, "a.fvecs: row 1: ends after 9 of its 12 bytes", "says so");
	rows_close(rows);
	rows = open_bytes("a.fvecs", bytes, 14, ROWS_UNKNOWN);
	rows_next(rows, &row, &error);
	check(rows_next(rows, &row, &error) == VALORI_INVALID, "a dimension cut short");
	check_text(error.message, "a.fvecs: row 1: ends after 2 of the 4 bytes of its dimension", "says so");
	rows_close(rows);
	vl_put32(bytes + 12, 3);
	rows = open_bytes("a.fvecs", bytes, size, ROWS_UNKNOWN);
	rows_next(rows, &row, &error);
	check(rows_next(rows, &row, &error) == VALORI_INVALID, "another dimension");
	check_text(error.message, "a.fvecs: row 1: dimension 3, but the rows before it have 2", "says so");
	rows_close(rows);
	vl_put32(bytes, UINT32_MAX);
	rows = open_bytes("a.fvecs", bytes, size, ROWS_UNKNOWN);
	check(rows_next(rows, &row, &error) == VALORI_INVALID, "a negative dimension");
	check_text(error.message, "a.fvecs: row 0: dimension -1 is not in 1...32768", "says so");
	rows_close(rows);
}

static void test_bvecs_and_raw(void)
{
	static const uint8_t bytes[] = {3, 0, 0, 0, 0, 1, 255, 3, 0, 0, 0, 9, 9, 9};
	struct rows *rows = open_bytes("noname", bytes, sizeof(bytes), ROWS_UNKNOWN);
	struct row row;

	check(rows_format(rows) == ROWS_BVECS && rows_next(rows, &row, &error) == VALORI_OK &&
		      row.op.vector_kind == VALORI_Q16 && ((const int32_t *)row.op.vector)[2] == 255 * 65536,
	      "a row of bvecs");
	rows_close(rows);
	rows = open_bytes("raw", bytes, 12, ROWS_I32);
	check(rows_next(rows, &row, &error) == VALORI_INVALID && strstr(error.message, "-d") != NULL,
	      "raw components without a dimension");
	rows_close(rows);
	rows = open_bytes("raw", bytes, 12, ROWS_I32);
	rows_set_dim(rows, 2);
	check(rows_next(rows, &row, &error) == VALORI_OK && row.op.vector_kind == VALORI_Q16LE && row.op.dim == 2,
	      "raw components");
	check(rows_next(rows, &row, &error) == VALORI_INVALID, "a row that is not whole");
	check_text(error.message, "raw: row 1: ends after 4 of its 8 bytes; is the dimension right?",
		   "asks for the dimension");
	rows_close(rows);
}

static size_t put_npy(uint8_t *p, unsigned version, const char *descr, const char *order, const char *shape)
{
	size_t start = version == 1 ? 10 : 12;
	int size = snprintf((char *)p + start, 160, "{'descr': %s, 'fortran_order': %s, 'shape': %s, }   \n", descr,
			    order, shape);

	memcpy(p, "\x93NUMPY", 6);
	p[6] = (uint8_t)version;
	p[7] = 0;
	if (version == 1)
		vl_put16(p + 8, (uint16_t)size);
	else
		vl_put32(p + 8, (uint32_t)size);
	return start + (size_t)size;
}

/* Are the two components of op these bit patterns? */
static bool is_f32(const valori_op *op, const uint32_t bits[2])
{
	const uint8_t *vector = op->vector;

	if (op->vector_kind == VALORI_F32LE)
		return vl_get32(vector) == bits[0] && vl_get32(vector + 4) == bits[1];
	return op->vector_kind == VALORI_F32 && memcmp(vector, bits, 8) == 0;
}

static void test_npy(void)
{
	static const struct {
		const char *descr;
		unsigned width;
		uint8_t bytes[16]; /* of 2 components */
		uint32_t bits[2];
	} types[] = {
		{"'<f4'", 4, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, {0x3f800000, 0xc0000000}},
		{"'<f2'", 2, {0, 0x3c, 0, 0xc0}, {0x3f800000, 0xc0000000}},
		{"'<f8'", 8, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, {0x3f800000, 0xc0000000}},
		{"'|i1'", 1, {1, 0xfe}, {0x3f800000, 0xc0000000}},
		{"'|u1'", 1, {1, 0xff}, {0x3f800000, 0x437f0000}},
		{"'<i2'", 2, {1, 0, 0xfe, 0xff}, {0x3f800000, 0xc0000000}},
		{"'<i4'", 4, {1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}, {0x3f800000, 0xc0000000}},
		{"'<i8'",
		 8,
		 {1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		 {0x3f800000, 0xc0000000}},
		{"'<u4'", 4, {1, 0, 0, 0, 3, 0, 0, 1}, {0x3f800000, 0x4b800001}},
	};
	uint8_t bytes[256];
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t size = put_npy(bytes, 1 + i % 3, types[i].descr, "False", "(1, 2)");
		struct rows *rows;
		struct row row;

		memcpy(bytes + size, types[i].bytes, 2 * types[i].width);
		rows = open_bytes("noname", bytes, size + 2 * types[i].width, ROWS_UNKNOWN);
		if (rows == NULL || rows_format(rows) != ROWS_NPY || rows_next(rows, &row, &error) != VALORI_OK ||
		    row.op.dim != 2 || !is_f32(&row.op, types[i].bits) || rows_next(rows, &row, &error) != VALORI_END) {
			printf("# %s: %s\n", types[i].descr, error.message);
			wrong++;
		}
		rows_close(rows);
	}
	check(wrong == 0, "npy: every type of number, three versions");
}

static void test_npy_faults(void)
{
	static const struct {
		const char *descr, *order, *shape, *sentence;
	} cases[] = {
		{"'>f4'", "False", "(1, 2)", "big-endian"},
		{"'<f4'", "True", "(1, 2)", "Fortran order"},
		{"'|O'", "False", "(1, 2)", "pickled"},
		{"[('a', '<f4'), ('b', '<i4', (2,))]", "False", "(1, 2)", "structured"},
		{"'<c8'", "False", "(1, 2)", "type '<c8' is not one of"},
		{"'<U4'", "False", "(1, 2)", "type '<U4' is not one of"},
		{"'|b1'", "False", "(1, 2)", "type '|b1' is not one of"},
		{"'<f4'", "False", "(2,)", "one axis"},
		{"'<f4'", "False", "()", "0 axes"},
		{"'<f4'", "False", "(1, 2, 3)", "3 axes"},
		{"'<f4'", "False", "(1, 0)", "dimension 0 is not in"},
		{"'<f4'", "False", "(1, 32769)", "dimension 32769 is not in"},
		{"'<f4'", "False", "(1, -2)", "not understood"},
		{"'<f4'", "False", "(1, 99999999999999999999)", "not understood"},
		{"'<f4'", "False", "(1, 2", "not understood"},
	};
	uint8_t bytes[256] = {0};
	struct rows *rows;
	struct row row;
	size_t size;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size = put_npy(bytes, 1, cases[i].descr, cases[i].order, cases[i].shape);
		rows = open_bytes("a.npy", bytes, size + 8, ROWS_UNKNOWN);
		if (rows != NULL || error.code != VALORI_INVALID || strstr(error.message, cases[i].sentence) == NULL) {
			printf("# %s %s %s: %s\n", cases[i].descr, cases[i].order, cases[i].shape, error.message);
			wrong++;
		}
		rows_close(rows);
	}
	check(wrong == 0, "npy that cannot be read says why");
	size = put_npy(bytes, 1, "'<f4'", "False", "(2, 2)");
	rows = open_bytes("a.npy", bytes, size + 12, ROWS_UNKNOWN);
	rows_next(rows, &row, &error);
	check(rows_next(rows, &row, &error) == VALORI_INVALID, "npy cut short");
	check_text(error.message, "a.npy: row 1: ends after 4 of its 8 bytes", "says so");
	rows_close(rows);
	rows = open_bytes("a.npy", bytes, size + 20, ROWS_UNKNOWN);
	rows_next(rows, &row, &error);
	rows_next(rows, &row, &error);
	check(rows_next(rows, &row, &error) == VALORI_INVALID && !rows_can_go_on(rows), "npy with bytes behind it");
	rows_close(rows);
	for (size_t cut = 0, opened = 0; cut < size; cut++) {
		rows = open_bytes("a.npy", bytes, cut, ROWS_NPY);
		opened += rows != NULL;
		rows_close(rows);
		if (cut + 1 == size)
			check(opened == 0, "a header cut short anywhere is refused");
	}
	memset(bytes, 0, sizeof(bytes));
	size = put_npy(bytes, 1, "'<f4'", "False", "(0, 2)");
	rows = open_bytes("a.npy", bytes, size, ROWS_UNKNOWN);
	check(rows != NULL && rows_next(rows, &row, &error) == VALORI_END, "npy of no rows has none");
	rows_close(rows);
}

/* ---- csv ---- */

static void test_csv(void)
{
	struct rows *rows =
		open_text("key, x ,tag,\"metadata\",0,id\r\n\"a,\"\"b\"\"\",1.5,7,\"line\n2\",-2e0,9\r\n,1,,,2,\n"
			  "c,3,5,\"\",\"4\",\n",
			  ROWS_CSV);
	struct row row;

	check(rows_next(rows, &row, &error) == VALORI_OK && row.line == 2 && row.number == 0,
	      "the row behind a header");
	check(is_text(row.op.key, row.op.key_size, "a,\"b\"") && row.has_tag && row.op.tag == 7, "quoted key, and tag");
	check(is_text(row.op.metadata, row.op.metadata_size, "line\n2"), "metadata with a line feed in it");
	check(row.op.dim == 2 && ((const uint32_t *)row.op.vector)[0] == 0x3fc00000 &&
		      ((const uint32_t *)row.op.vector)[1] == 0xc0000000,
	      "all other columns but id are components");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.line == 4 && row.op.key == NULL && !row.has_tag &&
		      row.op.metadata == NULL,
	      "fields without anything are absent");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.op.metadata != NULL && row.op.metadata_size == 0,
	      "a field of two quotes is empty");
	check(rows_next(rows, &row, &error) == VALORI_END, "the end");
	rows_close(rows);
	rows = open_text("\xef\xbb\xbf"
			 "1,2\n\n3,4",
			 ROWS_UNKNOWN);
	check(rows_format(rows) == ROWS_CSV && rows_next(rows, &row, &error) == VALORI_OK && row.op.dim == 2,
	      "numbers only: no header");
	check(rows_next(rows, &row, &error) == VALORI_OK && row.line == 3 &&
		      rows_next(rows, &row, &error) == VALORI_END,
	      "empty lines are passed over");
	rows_close(rows);
}

static void test_csv_faults(void)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{"1,2\n1,2,3\n", "text: line 2: 3 fields, but the first record has 2"},
		{"1,2\n1\n", "text: line 2: 1 fields, but the first record has 2"},
		{"1,2\n1,x\n", "text: line 2: column 2: 'x' is not a number"},
		{"1,2\n1,nan\n", "text: line 2: column 2: 'nan' is not a number"},
		{"1,2\n1,\n", "text: line 2: column 2: '' is not a number"},
		{"1,2\n1,\"2\n", "text: line 2: a quoted field that does not end"},
		{"1,2\n1,\"2\"3\n", "text: line 2: a field goes on behind its closing quote"},
		{"1,2\n1,2\"3\"\n", "text: line 2: a quote in a field that does not begin with one"},
		{"1,x\n", "text: line 1: neither a header nor numbers: of 2 fields 1 are numbers"},
		{"key,key,x\n", "text: line 1: two columns are called 'key'"},
		{"key,tag\n", "text: line 1: a header without components"},
		{"key,x\n\"\",1\n", "text: line 2: column 1: key: is empty"},
		{"tag,x\n18446744073709551616,1\n",
		 "text: line 2: column 1: tag: 18446744073709551616: not an integer in 0...18446744073709551615"},
	};
	struct rows *rows = NULL;
	struct row row;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		valori_code code = first_row(&rows, cases[i].text, ROWS_CSV, &row);

		if (code == VALORI_OK)
			code = rows_next(rows, &row, &error);
		if (code != VALORI_INVALID || strcmp(error.message, cases[i].sentence) != 0) {
			printf("# %s: %s\n", cases[i].text, error.message);
			wrong++;
		}
	}
	check(wrong == 0, "records that are not acceptable: line, column, value, and what is wrong");
	rows_close(rows);
}

/* ---- what it is ---- */

static void test_recognition(void)
{
	static const struct {
		const char *name, *bytes;
		size_t size;
		enum rows_format format;
	} cases[] = {{"a.csv", "[1]\n", 4, ROWS_CSV},	      {"a.json", "1,2\n", 4, ROWS_NDJSON},
		     {"a.jsonl", "", 0, ROWS_UNKNOWN},	      {"a", "", 0, ROWS_UNKNOWN},
		     {"a", "\n\n {\"op\"", 8, ROWS_NDJSON},   {"a.json", "VALORIEV....", 12, ROWS_LOG},
		     {"a.bvecs", "\1\0\0\0x", 5, ROWS_BVECS}, {"a", "x,y\n1,2\n", 8, ROWS_CSV},
		     {"a", "\n \n1,2\n", 7, ROWS_CSV}};
	static const struct {
		const char *bytes;
		size_t size;
		const char *sentence;
	} strangers[] = {{"VALORISN....", 12, "snapshot"}, {"\x1f\x8b\x08", 3, "zcat"},
			 {"PAR1", 4, "Parquet"},	   {"\xff\xfe[\0", 4, "UTF-16"},
			 {"PK\3\4....", 8, "zip"},	   {"\0\0\0\0", 4, "not recognised"}};
	struct rows *rows;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rows = open_bytes(cases[i].name, cases[i].bytes, cases[i].size, ROWS_UNKNOWN);
		if (rows == NULL || rows_format(rows) != cases[i].format) {
			printf("# case %zu: %s\n", i,
			       rows != NULL ? rows_format_name(rows_format(rows)) : error.message);
			wrong++;
		}
		rows_close(rows);
	}
	check(wrong == 0, "formats are recognised by content or by name");
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		rows = open_bytes("stranger", strangers[i].bytes, strangers[i].size, ROWS_UNKNOWN);
		wrong += rows != NULL || strstr(error.message, strangers[i].sentence) == NULL;
		rows_close(rows);
	}
	check(wrong == 0, "what is none of them is refused with a way out");
	check(rows_open(".", ROWS_UNKNOWN, 0, &rows, &error) == VALORI_INVALID && rows == NULL,
	      "a directory is refused");
	check(rows_open("nothing", ROWS_UNKNOWN, 0, &rows, &error) == VALORI_IO && error.system_errno == ENOENT,
	      "so is what is not there");
	if (symlink("loop", "loop") == 0)
		check(rows_open("loop", ROWS_UNKNOWN, 0, &rows, &error) == VALORI_IO && error.system_errno == ELOOP,
		      "and a loop of links");
}

/* Standard input gives these bytes, one with each read: a packet never comes with the next one. */
static void dribble(const char *bytes, size_t size)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0)
		exit(99);
	for (size_t i = 0; i < size; i++)
		if (send(ends[1], bytes + i, 1, 0) != 1)
			exit(99);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
}

/* Rows that come in pieces of any size are the same rows. */
static void test_pieces(void)
{
	static const char text[] = "[1,2]\n{\"vector\":[3,4],\"metadata\":\"a\\nb\"}\n\n[5,6]\n";
	static const char binary[] = "1,2,3,4,5,6,7,8,9,0\2\n", late[] = "       \n       \n 1,2\n";
	static const char marked[] = "\xef\xbb\xbf[1,2]\n";
	struct rows *rows;
	struct row row;
	uint32_t count = 0;

	dribble(text, sizeof(text) - 1);
	rows_open("-", ROWS_UNKNOWN, 0, &rows, &error);
	while (rows_next(rows, &row, &error) == VALORI_OK)
		count += row.op.dim == 2;
	check_u64(count, 3, "rows from a pipe, byte by byte");
	rows_close(rows);

	dribble(binary, sizeof(binary) - 1);
	check(rows_open("-", ROWS_UNKNOWN, 0, &rows, &error) == VALORI_INVALID,
	      "what is no text is not taken for one because its beginning came first");
	dribble(late, sizeof(late) - 1);
	check(rows_open("-", ROWS_UNKNOWN, 0, &rows, &error) == VALORI_OK && rows_format(rows) == ROWS_CSV,
	      "nor what begins with space for something else");
	rows_close(rows);
	dribble(marked, sizeof(marked) - 1);
	check(rows_open("-", ROWS_NDJSON, 0, &rows, &error) == VALORI_OK && rows_next(rows, &row, &error) == VALORI_OK,
	      "a byte order mark that comes byte by byte is one");
	rows_close(rows);
}

/* ---- whatever the bytes ---- */

static const struct {
	const char *bytes;
	size_t size;
} seeds[] = {
	{"[1,2]\n{\"vector\":[0.1,-2e3],\"key\":\"a\\u00e9\\ud83d\\ude00\",\"tag\":\"12\",\"metadata\":{\"a\":[1,{}]}}\n"
	 "{\"op\":\"edge\",\"from\":\"x\",\"to\":5,\"kind\":1}\n{\"op\":\"set_metadata\",\"id\":1,\"metadata_base64\":\"AAA=\"}\n",
	 186},
	{"key,x,\"y\"\"\",tag,metadata\r\n\"a,\"\"b\",1.5,2,7,\"line\n2\"\r\n,3,4,,\n", 59},
	{"\2\0\0\0\0\0\200\77\0\0\200\77\2\0\0\0\0\0\200\77\0\0\200\77", 24},
	{"\x93NUMPY\1\0\x3d\0{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), } \n\0\0\200\77\0\0\200\77", 79},
};

static size_t mutate(uint8_t *bytes, size_t size, uint64_t *seed)
{
	static const char marks[] = "[]{},\"\\:0-.eE\n\r'u";

	for (uint64_t count = check_random(seed) % 6; count > 0 && size > 1; count--) {
		size_t place = check_random(seed) % size;

		switch (check_random(seed) % 4) {
		case 0: bytes[place] = (uint8_t)check_random(seed); break;
		case 1:
			memmove(bytes + place, bytes + place + 1, size - place - 1);
			size--;
			break;
		case 2: bytes[place] = bytes[check_random(seed) % size]; break;
		case 3: bytes[place] = (uint8_t)marks[check_random(seed) % (sizeof(marks) - 1)]; break;
		}
	}
	return check_random(seed) % 5 == 0 ? check_random(seed) % (size + 1) : size;
}

/* Reads all rows; false when they do not end, or when a fault is not named. */
static bool read_whatever(struct rows *rows, const char *name, unsigned *good)
{
	struct row row;

	for (unsigned count = 0; count < 1000; count++) {
		valori_code code = rows_next(rows, &row, &error);

		if (code == VALORI_END)
			return true;
		*good += code == VALORI_OK;
		if (code != VALORI_OK &&
		    (code != (valori_code)error.code || strncmp(error.message, name, strlen(name)) != 0))
			return false;
		if (code != VALORI_OK && !rows_can_go_on(rows))
			return true;
	}
	return false;
}

static void test_whatever(void)
{
	uint64_t seed = 11;
	unsigned wrong = 0, good = 0;
	uint8_t bytes[256];

	for (unsigned i = 0; i < (check_long() ? 300000u : 4000u); i++) {
		enum rows_format format = (enum rows_format)(check_random(&seed) % ROWS_LOG);
		size_t which = i % (sizeof(seeds) / sizeof(seeds[0])), size;
		struct rows *rows;

		memcpy(bytes, seeds[which].bytes, seeds[which].size);
		size = mutate(bytes, seeds[which].size, &seed);
		rows = open_bytes("whatever", bytes, size, i % 2 != 0 ? ROWS_UNKNOWN : format);
		if (rows == NULL)
			wrong += strncmp(error.message, "whatever: ", 10) != 0;
		else
			wrong += !read_whatever(rows, "whatever: ", &good);
		rows_close(rows);
	}
	check(wrong == 0, "whatever the bytes, rows come to an end and faults are named");
	check(good > 500, "and some of them are rows");
}

int main(void)
{
	scratch_enter();
	test_lines();
	test_members();
	test_ops();
	test_ndjson_faults();
	test_blame();
	test_long_line();
	test_extremes();
	test_fvecs();
	test_bvecs_and_raw();
	test_npy();
	test_npy_faults();
	test_csv();
	test_csv_faults();
	test_recognition();
	test_pieces();
	test_whatever();
	return check_done();
}
