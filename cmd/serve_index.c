/* serve_index.c - routes about the index that searches use. */
#include "serve_body.h"

#include <string.h>

static const char *const kind_names[] = {"auto", "brute_force", "hnsw", "ivf"};

static const char *kind_name(uint64_t kind)
{
	return kind_names[kind < 4 ? kind : 0];
}

void serve_note_index(struct node *node)
{
	uint64_t kind = node->config.index;
	valori_view *view;

	/* valori_view_index would hash the whole index for its answer. */
	if (kind == VALORI_INDEX_LOGGED && valori_view_open(node->store, &view, NULL) == VALORI_OK) {
		if (valori_config_get(view, VALORI_CONFIG_INDEX, &kind, NULL) != VALORI_OK)
			kind = VALORI_INDEX_AUTO;
		valori_view_close(view);
	}
	atomic_store(&node->index, kind < VALORI_INDEX_LOGGED ? (unsigned)kind : (unsigned)VALORI_INDEX_AUTO);
}

static void reply_graph(struct tool_json *json, const valori_index_info *info)
{
	tool_json_object(json, "hnsw");
	tool_json_u64(json, "m", info->m);
	tool_json_u64(json, "m_max0", 2 * (uint64_t)info->m);
	tool_json_u64(json, "ef_construction", info->ef_construction);
	tool_json_u64(json, "ef_search", info->ef_search);
	tool_json_object_end(json);
}

void route_index_config(struct exchange *x)
{
	valori_index_info info = {.size = sizeof(info)};
	struct tool_json *json;
	bool has_index;

	if (exchange_view(x) == NULL)
		return;
	has_index = valori_view_index(x->view, &info, NULL) == VALORI_OK;
	if ((json = reply_begin(x)) == NULL)
		return;
	tool_json_text(json, "index_type", kind_name(has_index ? info.kind : atomic_load(&x->node->index)));
	if (has_index && info.has_graph)
		reply_graph(json, &info);
	else
		tool_json_raw(json, "hnsw", "null");
	tool_json_bool(json, "graph", has_index && info.has_graph);
	tool_json_u64(json, "rows", info.rows);
	tool_json_u64(json, "boundary", info.boundary);
	tool_json_u64(json, "bytes", info.bytes);
	reply_send(x, 200);
}

/* The kind that a body asks for; false: answered. */
static bool read_kind(struct exchange *x, uint64_t *out)
{
	static const char *const names[] = {"auto", "brute", "hnsw", "ivf"};
	struct body_text name = {.text = NULL};
	const struct body_member members[] = {{"index", BODY_TEXT, true, &name}};

	if (!body_read(x, members, 1))
		return false;
	for (*out = 0; *out < 4; ++*out)
		if (strcmp(name.text, names[*out]) == 0 || strcmp(name.text, kind_names[*out]) == 0)
			return true;
	fail_with(x, 400, "invalid", "body: index: must be auto, brute, hnsw or ivf");
	return false;
}

/* Says in the log which index is to be used from now on, and waits until it is. */
void route_index_rebuild(struct exchange *x)
{
	const struct serve_config *config = &x->node->config;
	valori_op op = {.kind = VALORI_OP_CONFIG, .tag = VALORI_CONFIG_INDEX};
	valori_index_info info = {.size = sizeof(info)};
	valori_info about = {.size = sizeof(about)};
	struct tool_json *json;
	uint64_t kind, now;
	valori_error error;

	if (!read_kind(x, &kind))
		return;
	if (config->index != VALORI_INDEX_LOGGED && config->index != kind) {
		fail_with(x, 409, "conflict", "the node was started with --index=%s: start it without",
			  kind_name(config->index));
		return;
	}
	op.target.id = kind;
	if (exchange_view(x) == NULL)
		return;
	if ((valori_config_get(x->view, VALORI_CONFIG_INDEX, &now, NULL) != VALORI_OK || now != kind) &&
	    (!serve_commit_one(x, &op, NULL, NULL) || exchange_view_again(x) == NULL))
		return;
	if (valori_view_settle(x->view, &error) != VALORI_OK) {
		fail(x, &error);
		return;
	}
	if (valori_view_index(x->view, &info, NULL) == VALORI_OK)
		atomic_store(&x->node->index, info.kind);
	if (valori_view_info(x->view, &about, NULL) != VALORI_OK || (json = reply_begin(x)) == NULL)
		return;
	tool_json_bool(json, "ok", true);
	tool_json_text(json, "index", kind_name(kind));
	tool_json_text(json, "effective", info.has_graph ? "hnsw" : info.lists > 0 ? "ivf" : "brute_force");
	tool_json_u64(json, "records", about.record_live);
	reply_send(x, 200);
}
