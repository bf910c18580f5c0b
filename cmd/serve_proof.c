/* serve_proof.c - routes about history and its proofs: roots, the timeline, collections, the index. */
#include "events.h"
#include "serve_body.h"
#include "verdict.h"

#include <string.h>
#include <unistd.h>

/* Of the moment that was asked about, or of now. */
static bool read_info(struct exchange *x, valori_info *out)
{
	valori_error error;

	*out = (valori_info){.size = sizeof(*out)};
	if ((x->view != NULL ? valori_view_info(x->view, out, &error) : valori_get_info(x->node->store, out, &error)) ==
	    VALORI_OK)
		return true;
	fail(x, &error);
	return false;
}

void route_proof_state(struct exchange *x)
{
	uint64_t height = VALORI_NONE;
	struct tool_json *json;
	char history[96];
	valori_info info;

	if (!exchange_number(x, "height", VALORI_NONE - 1, &height) || !read_info(x, &info))
		return;
	if (height != VALORI_NONE && height != info.height) {
		fail_with(x, 409, "mismatch", "the node is at height %llu, not %llu", (unsigned long long)info.height,
			  (unsigned long long)height);
		return;
	}
	atomic_fetch_add(&x->node->proofs, 1);
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_hash(json, "final_state_hash", &info.state_root);
	tool_json_u64(json, "committed_height", info.height);
	tool_json_u64(json, "commits", info.commits);
	tool_json_text(json, "history", tool_history(info.commits, &info.tree_root, history));
	tool_json_hash(json, "log_id", &info.log_id);
	tool_json_u64(json, "record_count", info.record_live);
	tool_json_u64(json, "record_slots", info.record_slots);
	tool_json_u64(json, "node_count", info.node_live);
	tool_json_u64(json, "edge_count", info.edge_live);
	reply_send(x, 200);
}

/* The whole verification, beside everything else: it takes no turn, reads the files by itself, and is done once at a
 * time. */
void route_proof_verify(struct exchange *x)
{
	struct node *node = x->node;
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	const char *expect = exchange_text(x, "expect");
	valori_info before, after;
	valori_error error;
	struct tool_json *json;
	valori_code code;

	if (node->config.log == NULL) {
		fail_with(x, 400, "invalid", "this node has no event log to verify: start it with -l");
		return;
	}
	if (expect != NULL && !verdict_parse_expect(expect, &options)) {
		fail_with(x, 400, "invalid", "expect: want 64 hexadecimal digits or tree:SIZE:HASH");
		return;
	}
	if (!exchange_enter(x) || !read_info(x, &before))
		return;
	exchange_leave(x);
	if (pthread_mutex_trylock(&node->verifying) != 0) {
		fail_with(x, 503, "busy", "the log is being verified already: try again");
		return;
	}
	options.path = node->config.log;
	/* Until it is written first, there is none. */
	if (node->config.snapshot != NULL && access(node->config.snapshot, F_OK) == 0)
		options.snapshot = node->config.snapshot;
	options.archive = node->config.archive;
	code = valori_verify(&options, &report, &error);
	pthread_mutex_unlock(&node->verifying);
	if (!exchange_enter(x) || !read_info(x, &after))
		return;
	if (memcmp(&before.log_id, &after.log_id, sizeof(before.log_id)) != 0) {
		fail_with(x, 503, "busy", "the store began anew meanwhile: try again");
	} else if (code != VALORI_OK) {
		fail(x, &error);
	} else if ((json = reply_begin(x)) != NULL) {
		atomic_fetch_add(&node->proofs, 1);
		verdict_members(json, node->config.log, expect, &report);
		reply_send(x, 200);
	}
}

void route_proof_event_log(struct exchange *x)
{
	struct tool_json *json;
	valori_info info;

	if (!read_info(x, &info))
		return;
	if (!info.has_log) {
		fail_with(x, 400, "invalid", "this node has no event log: start it with -l");
		return;
	}
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_text(json, "kernel_version", valori_version());
	/* The root of the log's tree says the same of the log as a hash of the file, and costs nothing. */
	tool_json_hash(json, "event_log_hash", &info.tree_root);
	tool_json_hash(json, "final_state_hash", &info.state_root);
	tool_json_raw(json, "snapshot_hash", "null");
	tool_json_u64(json, "event_count", info.height);
	tool_json_u64(json, "committed_height", info.height);
	reply_send(x, 200);
}

/* ---- the timeline ---- */

/* The events' names in the first version's timeline. */
static const char *event_name(uint32_t type)
{
	static const char *const names[] = {
		"",	      "InsertRecord",	 "SoftDeleteRecord", "DeleteRecord", "SetRecordMetadata", "SetTag",
		"CreateNode", "SetNodeRecord",	 "DeleteNode",	     "CreateEdge",   "DeleteEdge",	  "SetMeta",
		"DeleteMeta", "CreateNamespace", "DropNamespace",    "Config"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "Unknown";
}

static void reply_event(struct tool_json *json, const valori_event *event, uint64_t time_ms)
{
	char time[32];

	tool_json_object(json, NULL);
	tool_json_u64(json, "log_index", event->number);
	tool_json_u64(json, "shard_id", 0);
	tool_json_u64(json, "timestamp_unix", time_ms / 1000);
	tool_json_text(json, "timestamp_iso", tool_time(time_ms, time));
	tool_json_text(json, "event_type", event_name(event->type));
	if (event->type <= VALORI_EVENT_SET_TAG)
		tool_json_u64(json, "record_id", event->id);
	else if (event->type <= VALORI_EVENT_NODE_DELETE)
		tool_json_u64(json, "node_id", event->id);
	else if (event->type <= VALORI_EVENT_EDGE_DELETE)
		tool_json_u64(json, "edge_id", event->id);
	tool_json_object_end(json);
}

/* A parameter as a time in milliseconds. false: there, but none; then it is answered. */
static bool read_time(struct exchange *x, const char *name, uint64_t *out)
{
	const char *text = exchange_text(x, name);
	valori_when when;

	if (text == NULL)
		return true;
	if (valori_when_parse(text, &when, NULL) != VALORI_OK || when.kind != VALORI_WHEN_TIME) {
		fail_with(x, 400, "invalid", "%s: want a time such as 2026-11-20T12:00:00Z", name);
		return false;
	}
	*out = when.value;
	return true;
}

/* What of the log is asked for, and as what. */
struct chapter {
	uint64_t from, to, since; /* times; an event number */
	uint64_t limit;		  /* events, at most */
	bool is_rows;		  /* lines as of valori-replay --json, not one object */
	bool is_over;		  /* nothing is there, so far */
	uint32_t dim;
	uint64_t total;
};

/* A collection goes by its number, except where it gets its name: what was told before is not known here. */
static void print_row(FILE *file, const valori_event *event, const valori_commit_view *commit, uint32_t dim)
{
	struct known known = {0};
	struct event_row row = {.event = event, .commit = commit, .known = &known, .dim = dim, .vectors = true};

	if (event->type == VALORI_EVENT_COLLECTION_CREATE)
		known_learn(&known, event);
	event_print_json(file, &row);
	known_free(&known);
}

/* Goes through the log to its end. END: all was told. */
static valori_code tell(struct exchange *x, valori_log *log, struct chapter *chapter, struct tool_json *json,
			valori_error *error)
{
	valori_commit_view commit;
	valori_event event;
	valori_code code;

	while ((code = valori_log_next(log, &commit, error)) == VALORI_OK) {
		if (commit.time_ms > chapter->to || ferror(json->file) || http_is_stopping(x->http))
			return VALORI_END;
		for (uint32_t i = 0; i < commit.event_count && commit.time_ms >= chapter->from; i++) {
			if (commit.first_event + i < chapter->since)
				continue;
			if (chapter->total == chapter->limit)
				return VALORI_END;
			code = valori_log_event(log, i, &event, error);
			if (code != VALORI_OK)
				return code;
			chapter->total++;
			if (chapter->is_rows)
				print_row(json->file, &event, &commit, chapter->dim);
			else
				reply_event(json, &event, commit.time_ms);
		}
	}
	return code;
}

/* Everything written to it goes out as a piece of the answer. */
static ssize_t send_piece(void *cookie, const char *data, size_t size)
{
	return http_stream_write(cookie, data, size) ? (ssize_t)size : 0;
}

/* It goes out as it is read. */
static void send_timeline(struct exchange *x, valori_log *log, struct chapter *chapter)
{
	struct tool_json json = {0};
	valori_error error;
	valori_code code;

	http_stream_begin(x->http, 200, chapter->is_rows ? "application/x-ndjson" : "application/json", NULL,
			  UINT64_MAX);
	json.file = fopencookie(x->http, "w", (cookie_io_functions_t){.write = send_piece});
	if (json.file == NULL)
		return;
	setvbuf(json.file, NULL, _IOFBF, 1 << 16);
	if (!chapter->is_rows) {
		tool_json_begin(&json);
		tool_json_array(&json, "events");
	}
	code = chapter->is_over ? VALORI_END : tell(x, log, chapter, &json, &error);
	if (!chapter->is_rows) {
		tool_json_array_end(&json);
		tool_json_u64(&json, "total", chapter->total);
		if (chapter->from > 0)
			tool_json_u64(&json, "from_unix", chapter->from / 1000);
		if (chapter->to != VALORI_NONE)
			tool_json_u64(&json, "to_unix", chapter->to / 1000);
	}
	if (code != VALORI_END) {
		if (chapter->is_rows)
			tool_json_begin(&json);
		tool_json_text(&json, "error", error.message);
		tool_json_text(&json, "code", valori_code_name(code));
	}
	if (!chapter->is_rows || code != VALORI_END)
		tool_json_end(&json);
	fclose(json.file);
}

void route_timeline(struct exchange *x)
{
	const struct serve_config *config = &x->node->config;
	const char *accept = http_header(x->http, "Accept");
	struct chapter chapter = {.to = VALORI_NONE, .limit = VALORI_NONE};
	valori_log_info info = {.size = sizeof(info)};
	valori_error error;
	valori_log *log = NULL;
	valori_code code;

	if (!read_time(x, "from", &chapter.from) || !read_time(x, "to", &chapter.to) ||
	    !exchange_number(x, "since", VALORI_NONE, &chapter.since) ||
	    !exchange_number(x, "limit", VALORI_NONE, &chapter.limit))
		return;
	if (config->log == NULL) {
		fail_with(x, 400, "invalid", "this node has no event log: start it with -l");
		return;
	}
	/* A log begins with the first commit; and behind the end there is nothing, so far. */
	code = valori_log_open(config->log, config->archive, 0, &log, &error);
	if (code == VALORI_OK)
		code = valori_log_get_info(log, &info, &error);
	if (code == VALORI_OK && chapter.since > info.base_event)
		code = valori_log_seek(log, chapter.since, &error);
	chapter.dim = info.dim;
	chapter.is_rows = accept != NULL && strstr(accept, "application/x-ndjson") != NULL;
	chapter.is_over = code == VALORI_NOT_FOUND;
	if (code == VALORI_OK || chapter.is_over)
		send_timeline(x, log, &chapter);
	else
		fail(x, &error);
	valori_log_close(log);
}

/* ---- collections ---- */

static bool is_name(const char *name, size_t size)
{
	if (size < 1 || size > VALORI_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
		      (name[i] >= '0' && name[i] <= '9') || name[i] == '_' || name[i] == '-'))
			return false;
	return true;
}

void route_namespace_create(struct exchange *x)
{
	struct body_text name = {0};
	const struct body_member members[] = {{"name", BODY_TEXT, true, &name}};
	valori_op op = {.kind = VALORI_OP_COLLECTION_CREATE};
	struct tool_json *json;
	uint32_t known;
	uint64_t id;

	if (!body_read(x, members, 1) || exchange_view(x) == NULL)
		return;
	if (!is_name(name.text, name.size)) {
		fail_with(x, 400, "invalid", "body: name: must be 1 to 64 of A-Z a-z 0-9 _ -");
		return;
	}
	op.key = name.text;
	op.key_size = (uint32_t)name.size;
	if (valori_collection_find(x->view, name.text, name.size, &known, NULL) == VALORI_OK)
		id = known;
	else if (!serve_commit_one(x, &op, NULL, &id))
		return;
	else
		known = UINT32_MAX;
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_string(json, "name", name.text, name.size);
	tool_json_u64(json, "id", id);
	tool_json_bool(json, "created", known == UINT32_MAX);
	reply_send(x, 200);
}

void route_namespaces(struct exchange *x)
{
	struct tool_json *json;
	valori_info info = {.size = sizeof(info)};

	if (exchange_view(x) == NULL || valori_view_info(x->view, &info, NULL) != VALORI_OK ||
	    (json = reply_begin(x)) == NULL)
		return;
	tool_json_array(json, "collections");
	for (uint32_t id = 0; id < info.collection_slots; id++) {
		const char *name;
		size_t size;
		uint32_t live;

		if (valori_collection_get(x->view, id, &name, &size, &live, NULL) != VALORI_OK || !live)
			continue;
		tool_json_object(json, NULL);
		tool_json_string(json, "name", name, size);
		tool_json_u64(json, "id", id);
		tool_json_object_end(json);
	}
	tool_json_array_end(json);
	reply_send(x, 200);
}

void route_namespace_drop(struct exchange *x)
{
	valori_op op = {.kind = VALORI_OP_COLLECTION_DROP};

	if (strcmp(x->name, "default") == 0) {
		fail_with(x, 400, "invalid", "collection default: stays");
		return;
	}
	if (serve_collection(x, x->name, strlen(x->name), 404, &op.collection) && serve_commit_one(x, &op, NULL, NULL))
		http_answer(x->http, 204, NULL, NULL, NULL, 0);
}
