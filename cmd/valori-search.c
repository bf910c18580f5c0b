/* valori-search - finds the nearest records of each query vector, exactly. */
#include "rows.h"
#include "store.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_LOG,
	OPT_SNAPSHOT,
	OPT_ARCHIVE,
	OPT_QUERY,
	OPT_BY_ID,
	OPT_BY_KEY,
	OPT_FORMAT,
	OPT_COUNT,
	OPT_TAG,
	OPT_COLLECTION,
	OPT_AT,
	OPT_THREADS,
	OPT_OUTPUT
};

static const struct tool_opt opts[] = {
	[OPT_LOG] = TOOL_OPT_LOG,
	[OPT_SNAPSHOT] = TOOL_OPT_SNAPSHOT,
	[OPT_ARCHIVE] = TOOL_OPT_ARCHIVE,
	[OPT_QUERY] = {'e', "query", "JSON", NULL, "a query, as a row of NDJSON (repeatable)"},
	[OPT_BY_ID] = {0, "by-id", "N", NULL, "what is near record N (repeatable)"},
	[OPT_BY_KEY] = {0, "by-key", "KEY", NULL, "what is near the record with KEY (repeatable)"},
	[OPT_FORMAT] = {'f', "format", "FORMAT", NULL,
			"ndjson fvecs bvecs npy f32 i32 csv (default: recognised)"},
	[OPT_COUNT] = {'k', "count", "N", NULL, "hits per query (10)"},
	[OPT_TAG] = {'t', "tag", "N", NULL, "only records with this tag"},
	[OPT_COLLECTION] = {'c', "collection", "NAME", NULL, "the collection to search (default)"},
	[OPT_AT] = {0, "at", "WHEN", NULL, "search the state at this moment (a height, state root or time)"},
	[OPT_THREADS] = {0, "threads", "N", NULL, "scan with N threads (1); the answer stays the same"},
	[OPT_OUTPUT] = {'o', "output", "FILE", NULL, "write to FILE, which appears whole or not at all"},
	{0},
};

const struct tool tool = {
	.name = "valori-search",
	.synopsis =
		"[-qv] [--json] [-l PATH] [-s FILE] [-k N] [-t N] [-c NAME] [--at=WHEN] [--threads=N] "
		"[-f FORMAT] [-e JSON]... [--by-id=N]... [--by-key=KEY]... [-o FILE] [QUERIES|-]...",
	.summary = "Finds the nearest records of each query vector, exactly.",
	.opts = opts,
	.has = TOOL_JSON | TOOL_PROGRESS,
};

enum {
	BATCH_QUERIES = 256, /* that share one pass over the vectors */
	BATCH_HITS = 1 << 20 /* at most so many answers at once, whatever k is */
};

struct search {
	struct store_source source;
	valori_search_options options; /* of the queries waiting */
	uint32_t collection;           /* without other word in a row */
	bool has_tag;
	uint64_t tag;
	enum rows_format format;
	const char *output_path;

	valori_view *view;
	uint32_t dim;
	FILE *out;
	uint64_t done;  /* queries answered */
	size_t waiting; /* in queries */
	size_t batch;   /* room */
	int32_t *queries;
	valori_hit *hits;
	size_t counts[BATCH_QUERIES];
};

/* One option in the order it was given. */
struct inline_query {
	int kind; /* OPT_QUERY, OPT_BY_ID, OPT_BY_KEY */
	const char *text;
	uint64_t id;
};

/* ---- answers ---- */

static void print_json(FILE *file, uint64_t query, size_t rank, const valori_hit *hit,
		       const valori_record *record)
{
	struct tool_json json = {.file = file};
	char number[32], raw[24];

	valori_score_format(hit->score, number);
	snprintf(raw, sizeof raw, "%llu", (unsigned long long)hit->score);
	tool_json_begin(&json);
	tool_json_u64(&json, "query", query);
	tool_json_u64(&json, "rank", rank);
	tool_json_u64(&json, "id", hit->id);
	tool_json_raw(&json, "score", number);
	tool_json_text(&json, "raw_score", raw);
	if (record->key != NULL)
		tool_json_string(&json, "key", record->key, record->key_size);
	tool_json_u64(&json, "tag", record->tag);
	if (record->metadata != NULL)
		tool_json_bytes(&json, "metadata", record->metadata, record->metadata_size);
	tool_json_end(&json);
}

static void print_line(FILE *file, uint64_t query, size_t rank, const valori_hit *hit,
		       const valori_record *record)
{
	char number[32];

	valori_score_format(hit->score, number);
	fprintf(file, "%llu\t%zu\t%llu\t%llu\t%s\t", (unsigned long long)query, rank,
		(unsigned long long)hit->id, (unsigned long long)hit->score, number);
	tool_tsv(file, record->key, record->key_size);
	fprintf(file, "\t%llu\t", (unsigned long long)record->tag);
	tool_tsv(file, record->metadata, record->metadata_size);
	fputc('\n', file);
}

static int print_hits(struct search *search, uint64_t query, const valori_hit *hits, size_t count)
{
	valori_record record;
	valori_error error;

	for (size_t i = 0; i < count; i++) {
		if (valori_record_get(search->view, hits[i].id, &record, &error) != VALORI_OK)
			return tool_fail(&error);
		if (tool_json)
			print_json(search->out, query, i + 1, &hits[i], &record);
		else
			print_line(search->out, query, i + 1, &hits[i], &record);
	}
	return ferror(search->out) ? TOOL_SYSTEM : TOOL_OK;
}

/* Answers the queries that wait. */
static int flush(struct search *search)
{
	valori_error error;
	int status = TOOL_OK;

	if (search->waiting == 0)
		return TOOL_OK;
	if (valori_search(search->view, search->queries, search->waiting, &search->options, search->hits,
			  search->counts, &error) != VALORI_OK)
		return tool_fail(&error);
	for (size_t i = 0; i < search->waiting && status == TOOL_OK; i++)
		status = print_hits(search, search->done++, search->hits + i * search->options.k,
				    search->counts[i]);
	search->waiting = 0;
	if (tool_progress_due())
		tool_progress("%llu queries answered", (unsigned long long)search->done);
	return status;
}

/* ---- queries ---- */

/* The place for one more query with this filter; what waits with another one is answered first. */
static int make_room(struct search *search, const valori_search_options *options, int32_t **out)
{
	int status = TOOL_OK;

	if (search->waiting == search->batch || memcmp(options, &search->options, sizeof *options) != 0)
		status = flush(search);
	search->options = *options;
	*out = search->queries + search->waiting * search->dim;
	return status;
}

/* Component index of a row's vector in Q16.16. */
static valori_code component(const valori_op *op, uint32_t index, int32_t *out)
{
	const uint8_t *bytes = (const uint8_t *)op->vector + (size_t)index * 4;
	uint32_t bits;

	if (op->vector_kind == VALORI_Q16LE || op->vector_kind == VALORI_F32LE)
		bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		       (uint32_t)bytes[3] << 24;
	else
		memcpy(&bits, bytes, sizeof bits);
	if (op->vector_kind == VALORI_F32 || op->vector_kind == VALORI_F32LE)
		return valori_q16_from_f32(bits, out);
	*out = (int32_t)bits;
	return VALORI_OK;
}

static int find_collection(const struct search *search, const char *name, size_t size, uint32_t *out)
{
	valori_error error;

	return valori_collection_find(search->view, name, size, out, &error) == VALORI_OK ? TOOL_OK
											  : tool_fail(&error);
}

static int take_row(struct search *search, const struct rows *rows, const struct row *row)
{
	valori_search_options options = search->options;
	valori_error error;
	int32_t *query;
	int status = TOOL_OK;

	options.collection = search->collection;
	options.has_tag = row->has_tag || search->has_tag;
	options.tag = row->has_tag ? row->op.tag : search->tag;
	if (row->op.kind != VALORI_OP_INSERT) {
		rows_fail(rows, row, &error, VALORI_INVALID, "not a vector to search for");
		return tool_fail(&error);
	}
	if (row->op.dim != search->dim) {
		rows_fail(rows, row, &error, VALORI_DIMENSION, "has %lu components, the store has %lu",
			  (unsigned long)row->op.dim, (unsigned long)search->dim);
		return tool_fail(&error);
	}
	if (row->has_collection)
		status = find_collection(search, row->collection.text, row->collection.size,
					 &options.collection);
	if (status == TOOL_OK)
		status = make_room(search, &options, &query);
	if (status != TOOL_OK)
		return status;
	for (uint32_t i = 0; i < search->dim; i++)
		if (component(&row->op, i, &query[i]) != VALORI_OK) {
			rows_fail(rows, row, &error, VALORI_RANGE,
				  "component %lu is not a number from -32768 to 32768", (unsigned long)i);
			return tool_fail(&error);
		}
	search->waiting++;
	return TOOL_OK;
}

static int take_rows(struct search *search, struct rows *rows)
{
	struct row row;
	valori_error error;
	valori_code code = VALORI_OK;
	int status = TOOL_OK;

	if (rows_format(rows) == ROWS_LOG)
		return tool_trouble(TOOL_USAGE, "%s: is a log, not queries (as the store: --log=-)",
				    rows_name(rows));
	rows_set_dim(rows, search->dim);
	while (status == TOOL_OK && (code = rows_next(rows, &row, &error)) == VALORI_OK)
		status = take_row(search, rows, &row);
	return code != VALORI_OK && code != VALORI_END ? tool_fail(&error) : status;
}

static int take_file(struct search *search, const char *path)
{
	struct rows *rows;
	valori_error error;
	int status;

	if (rows_open(path, search->format, search->dim, &rows, &error) != VALORI_OK)
		return tool_fail(&error);
	status = take_rows(search, rows);
	rows_close(rows);
	return status;
}

static int take_record(struct search *search, const struct inline_query *query)
{
	valori_search_options options = search->options;
	uint64_t id = query->id;
	valori_error error;
	int32_t *vector;
	int status;

	options.collection = search->collection;
	options.has_tag = search->has_tag;
	options.tag = search->tag;
	status = make_room(search, &options, &vector);
	if (status != TOOL_OK)
		return status;
	if (query->kind == OPT_BY_KEY && valori_record_find(search->view, search->collection, query->text,
							    strlen(query->text), &id, &error) != VALORI_OK)
		return tool_fail(&error);
	if (valori_vector_get(search->view, id, vector, &error) != VALORI_OK)
		return tool_fail(&error);
	search->waiting++;
	return TOOL_OK;
}

static int take_inline(struct search *search, const struct inline_query *query)
{
	struct rows *rows;
	valori_error error;
	int status;

	if (query->kind != OPT_QUERY)
		return take_record(search, query);
	if (rows_open_text("--query", query->text, strlen(query->text), &rows, &error) != VALORI_OK)
		return tool_fail(&error);
	status = take_rows(search, rows);
	rows_close(rows);
	return status;
}

/* ---- the store ---- */

static int prepare(struct search *search, const char *collection)
{
	valori_info info = {.size = sizeof info};
	valori_error error;

	if (valori_view_info(search->view, &info, &error) != VALORI_OK)
		return tool_fail(&error);
	search->dim = info.dim;
	search->batch = BATCH_HITS / search->options.k;
	search->batch = search->batch < 1 ? 1 : search->batch > BATCH_QUERIES ? BATCH_QUERIES : search->batch;
	search->queries = tool_alloc(search->batch * search->dim, sizeof *search->queries);
	search->hits = tool_alloc(search->batch * search->options.k, sizeof *search->hits);
	return collection ? find_collection(search, collection, strlen(collection), &search->collection)
			  : TOOL_OK;
}

static int answer_all(struct search *search, const struct inline_query *queries, size_t count, char **paths)
{
	int status = TOOL_OK;

	for (size_t i = 0; i < count && status == TOOL_OK; i++)
		status = take_inline(search, &queries[i]);
	for (; *paths != NULL && status == TOOL_OK; paths++)
		status = take_file(search, *paths);
	return status == TOOL_OK ? flush(search) : status;
}

static int run(struct search *search, const char *collection, const struct inline_query *queries,
	       size_t count, char **paths)
{
	struct tool_output output = {0};
	valori *store = NULL;
	valori_error error;
	int status = store_open_read(&search->source, &store);

	if (status == TOOL_OK && valori_view_open(store, &search->view, &error) != VALORI_OK)
		status = tool_fail(&error);
	if (status == TOOL_OK)
		status = prepare(search, collection);
	if (status == TOOL_OK)
		status = tool_output_open(&output, search->output_path);
	if (status == TOOL_OK) {
		search->out = output.file;
		status = answer_all(search, queries, count, paths);
	}
	if (status == TOOL_OK || (search->out != NULL && ferror(search->out)))
		status = tool_output_commit(&output);
	tool_output_abandon(&output);
	free(search->queries);
	free(search->hits);
	valori_view_close(search->view);
	valori_close(store, NULL);
	return status;
}

int main(int argc, char **argv)
{
	static char *standard_input[] = {"-", NULL};
	struct search search = {.options = VALORI_SEARCH_INIT, .output_path = "-"};
	struct inline_query *queries = NULL;
	size_t count = 0, room = 0;
	const char *value, *collection = NULL;
	bool from_stdin;
	int status;

	for (int opt; (opt = tool_next(argc, argv, &value)) >= 0;)
		switch (opt) {
		case OPT_LOG:
			search.source.log = value;
			break;
		case OPT_SNAPSHOT:
			search.source.snapshot = value;
			break;
		case OPT_ARCHIVE:
			search.source.archive = value;
			break;
		case OPT_QUERY:
		case OPT_BY_ID:
		case OPT_BY_KEY:
			queries = tool_grow(queries, &room, count + 1, sizeof *queries);
			queries[count++] = (struct inline_query){
				.kind = opt,
				.text = value,
				.id = opt == OPT_BY_ID ? tool_number(value, 0, UINT64_MAX - 1) : 0,
			};
			break;
		case OPT_FORMAT:
			search.format = rows_format_find(value);
			if (search.format == ROWS_UNKNOWN || search.format == ROWS_LOG)
				tool_usage("--format: %s: not a format of queries", value);
			break;
		case OPT_COUNT:
			search.options.k = (uint32_t)tool_number(value, 1, VALORI_K_MAX);
			break;
		case OPT_TAG:
			search.tag = tool_number(value, 0, UINT64_MAX);
			search.has_tag = true;
			break;
		case OPT_COLLECTION:
			collection = value;
			break;
		case OPT_AT:
			search.source.at = tool_when(value);
			break;
		case OPT_THREADS:
			search.options.threads = (uint32_t)tool_number(value, 1, 1024);
			break;
		case OPT_OUTPUT:
			search.output_path = value;
			break;
		}
	from_stdin = argc == optind && count == 0;
	if (search.source.log == NULL && search.source.snapshot == NULL)
		tool_usage("--log: missing: which store? (or --snapshot)");
	if (from_stdin && search.source.log != NULL && strcmp(search.source.log, "-") == 0)
		tool_usage(
			"--log: -: then the queries come from files or --query, not from standard input");
	if (from_stdin)
		tool_need_stdin();
	status = run(&search, collection, queries, count, from_stdin ? standard_input : argv + optind);
	free(queries);
	return tool_finish(status);
}
