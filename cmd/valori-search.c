/* valori-search - finds the nearest records of each query vector. */
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
	OPT_INDEX,
	OPT_EF,
	OPT_SLACK,
	OPT_NPROBE,
	OPT_EXACT,
	OPT_BOUNDARY,
	OPT_EXPLAIN,
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
	[OPT_INDEX] = {'i', "index", "KIND", "VALORI_INDEX", "search with auto, brute, hnsw or ivf (as the log says)"},
	[OPT_EF] = {0, "ef", "N", NULL, "candidates that a walk through the graph keeps (128)"},
	[OPT_SLACK] = {'g', "slack", "N", NULL, "... it ends beyond N/1024 of the k-th distance (1300)"},
	[OPT_NPROBE] = {0, "nprobe", "N", NULL, "inverted lists that are looked at (the root of all)"},
	[OPT_EXACT] = {0, "exact", NULL, NULL, "the nearest for certain, whatever index there is"},
	[OPT_BOUNDARY] = {0, "boundary", "N", NULL, "search with the index as it was at this height, or latest"},
	[OPT_EXPLAIN] = {0, "explain", NULL, NULL, "say on standard error how each query was answered"},
	[OPT_THREADS] = {0, "threads", "N", NULL, "search with N threads (1); the answer stays the same"},
	[OPT_OUTPUT] = {'o', "output", "FILE", NULL, "write to FILE, which appears whole or not at all"},
	{0},
};

const struct tool tool = {
	.name = "valori-search",
	.synopsis =
		"[-qv] [--json] [-l PATH] [-s FILE] [-k N] [-t N] [-c NAME] [--at=WHEN] [--threads=N] "
		"[-f FORMAT] [-e JSON]... [--by-id=N]... [--by-key=KEY]... [-i KIND] [--ef=N] [-g N] [--nprobe=N] "
		"[--exact] [--boundary=N] [--explain] [-o FILE] [QUERIES|-]...",
	.summary = "Finds the nearest records of each query vector.",
	.opts = opts,
	.has = TOOL_JSON | TOOL_PROGRESS,
};

enum {
	BATCH_QUERIES = 256, /* that share one pass over the vectors */
	BATCH_HITS = 1 << 20, /* at most so many answers at once, whatever k is */
	REST_MAX = 65536      /* records that no saved index holds are scanned; more are worth building one */
};

struct search {
	struct store_source source;
	valori_search_options options; /* of the queries waiting */
	uint32_t collection;           /* without other word in a row */
	bool has_tag;
	uint64_t tag;
	enum rows_format format;
	const char *output_path;
	const char *index; /* the kind that was asked for, or NULL */
	bool is_latest, has_boundary, is_explained;
	uint64_t boundary;
	valori_explanation explanation;

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

/* On standard error: standard output has the hits and nothing else. */
static void explain(const struct search *search, uint64_t query)
{
	static const char *const plans[] = {"none", "scan", "codes", "list", "graph", "allowed", "lists"};
	static const char *const kinds[] = {"auto", "brute", "hnsw", "ivf"};
	const valori_explanation *why = &search->explanation;

	fflush(search->out);
	fprintf(stderr, "%s: query %llu: plan %s", tool.name, (unsigned long long)query, plans[why->plan]);
	if (why->boundary != VALORI_NONE)
		fprintf(stderr, ", index %s, since %llu, boundary %llu, rows %llu",
			why->kind < sizeof kinds / sizeof *kinds ? kinds[why->kind] : "none",
			(unsigned long long)why->since, (unsigned long long)why->boundary,
			(unsigned long long)why->rows);
	if (why->matched != VALORI_NONE)
		fprintf(stderr, ", matched %llu", (unsigned long long)why->matched);
	fprintf(stderr, ", tail %llu, scanned %llu, visited %llu, compared %llu, repeated %llu\n",
		(unsigned long long)why->tail, (unsigned long long)why->scanned, (unsigned long long)why->visited,
		(unsigned long long)why->compared, (unsigned long long)why->repeated);
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
	if (search->is_explained)
		explain(search, search->done);
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
	if (search->is_explained) {
		search->batch = 1;
		search->options.explanation = &search->explanation;
	}
	search->queries = tool_alloc(search->batch * search->dim, sizeof *search->queries);
	search->hits = tool_alloc(search->batch * search->options.k, sizeof *search->hits);
	return collection ? find_collection(search, collection, strlen(collection), &search->collection)
			  : TOOL_OK;
}

static int open_view(struct search *search, valori **store)
{
	valori_error error;
	int status = store_open_read(&search->source, store);

	if (status != TOOL_OK)
		return status;
	if (valori_view_open(*store, &search->view, &error) != VALORI_OK ||
	    valori_view_settle(search->view, &error) != VALORI_OK)
		return tool_fail(&error);
	return TOOL_OK;
}

/*
 * Is what was opened, with the index that the snapshot holds, good enough? *info describes the index, boundary 0 when
 * there is none.
 */
static bool is_good(const struct search *search, const valori_index_info *info)
{
	valori_info store = {.size = sizeof store};
	uint64_t kind = VALORI_INDEX_AUTO, rest;

	if (search->options.exact || search->is_latest)
		return !search->is_latest;
	if (search->has_boundary)
		return info->boundary == search->boundary;
	if (search->index != NULL)
		kind = store_index_kind(search->index);
	else if (valori_config_get(search->view, VALORI_CONFIG_INDEX, &kind, NULL) != VALORI_OK)
		kind = VALORI_INDEX_AUTO;
	/* A graph that is not there takes longer to build than many queries take without it: somebody must want it. */
	if (valori_view_info(search->view, &store, NULL) != VALORI_OK ||
	    (kind != VALORI_INDEX_HNSW && kind != VALORI_INDEX_IVF && !info->has_graph))
		return true;
	rest = store.record_slots - info->covered;
	if (search->index != NULL && ((kind == VALORI_INDEX_HNSW && !info->has_graph) ||
				      (kind == VALORI_INDEX_IVF && info->lists == 0)))
		return false;
	return rest < REST_MAX;
}

/* Opens the store once more, and runs the rounds of the index that are due. */
static int build(struct search *search, const valori_index_info *saved, valori **store)
{
	valori_index_info info = {.size = sizeof info};
	uint64_t logged = VALORI_INDEX_AUTO;
	int status;

	(void)valori_config_get(search->view, VALORI_CONFIG_INDEX, &logged, NULL);
	valori_view_close(search->view);
	valori_close(*store, NULL);
	search->view = NULL;
	*store = NULL;
	search->source.flags = VALORI_INDEX;
	/* What the log says all along begins where the log says it. */
	if (search->index != NULL && store_index_kind(search->index) != logged) {
		search->source.index.is_kind_set = true;
		search->source.index.kind = store_index_kind(search->index);
	}
	if (search->has_boundary) {
		search->source.index.boundary = search->boundary;
		/* The way to an earlier one is from the beginning. */
		if (saved->boundary > search->boundary)
			search->source.snapshot = "";
	}
	search->source.index.threads = search->options.threads;
	if (!tool_quiet && tool_progress_due())
		tool_progress("an index is built in memory; valori-snapshot would save it");
	else
		tool_say("an index is built in memory; valori-snapshot would save it");
	status = open_view(search, store);
	if (status != TOOL_OK || !search->has_boundary)
		return status;
	if (valori_view_index(search->view, &info, NULL) != VALORI_OK || info.boundary != search->boundary)
		return tool_trouble(TOOL_NO,
				    "--boundary: no round of the index ends at height %llu; the last before is %llu",
				    (unsigned long long)search->boundary, (unsigned long long)info.boundary);
	return TOOL_OK;
}

static int open_store(struct search *search, valori **store)
{
	valori_index_info info = {.size = sizeof info};
	bool is_stream = search->source.log != NULL && store_is_stream(search->source.log);
	bool is_wanted = search->is_latest || (search->index != NULL && strcmp(search->index, "hnsw") == 0);
	int status;

	/* A stream comes by once. */
	search->source.flags = is_stream && is_wanted ? VALORI_INDEX : VALORI_INDEX_SAVED;
	if (is_stream && search->index != NULL) {
		search->source.index.is_kind_set = true;
		search->source.index.kind = store_index_kind(search->index);
	}
	status = open_view(search, store);
	if (status != TOOL_OK)
		return status;
	if (valori_view_index(search->view, &info, NULL) != VALORI_OK)
		memset(&info, 0, sizeof info);
	if (!is_stream && !is_good(search, &info))
		return build(search, &info, store);
	if (is_stream && search->has_boundary && info.boundary != search->boundary)
		return tool_trouble(TOOL_USAGE, "--boundary: a log that comes through a pipe has only the latest");
	if (info.boundary == 0 && !search->options.exact)
		tool_say("no index: all vectors are compared; valori-snapshot saves one");
	return TOOL_OK;
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
	int status = open_store(search, &store);

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
		case OPT_INDEX:
			search.index = value;
			search.options.exact |= store_index_kind(value) == VALORI_INDEX_BRUTE;
			break;
		case OPT_EF:
			search.options.ef = (uint32_t)tool_number(value, 1, VALORI_EF_MAX);
			break;
		case OPT_NPROBE:
			search.options.probes = (uint32_t)tool_number(value, 1, 1048576);
			break;
		case OPT_SLACK:
			search.options.slack = (uint32_t)tool_number(value, 1024, 65536);
			break;
		case OPT_EXACT:
			search.options.exact = 1;
			break;
		case OPT_BOUNDARY:
			search.is_latest = strcmp(value, "latest") == 0;
			search.has_boundary = !search.is_latest;
			if (search.has_boundary)
				search.boundary = tool_number(value, 1, UINT64_MAX - 1);
			break;
		case OPT_EXPLAIN:
			search.is_explained = true;
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
