/* follow_check.c - where does the history here differ from the leader's? */
#include "follow_private.h"

#include <stdarg.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

/* One commit, by its end: two logs that have the same one are the same up to there. */
struct mark {
	uint64_t number, first_event, end;
	valori_hash tree_root;
};

struct search {
	struct follow *follow;
	struct follow_check *out;
	uint64_t base; /* the first event that is still in the log here */
};

__attribute__((format(printf, 3, 4))) static int say(struct follow_check *out, int status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(out->sentence, sizeof(out->sentence), format, list);
	va_end(list);
	return status;
}

/* The commit here that holds an event. out_log, if not NULL, gets its reader, and *commit is what that gave. */
static int mark_here(struct search *search, uint64_t event, struct mark *out, valori_log **out_log,
		     valori_commit_view *commit)
{
	valori_commit_view own;
	valori_error error;
	valori_log *log;
	valori_code code = valori_log_open(search->follow->log, NULL, 0, &log, &error);

	if (commit == NULL)
		commit = &own;
	if (code == VALORI_OK)
		code = valori_log_seek(log, event, &error);
	if (code == VALORI_OK)
		code = valori_log_next(log, commit, &error);
	if (code != VALORI_OK) {
		valori_log_close(log);
		return say(search->out, TOOL_DAMAGED, "%s: event %llu: %s", search->follow->log,
			   (unsigned long long)event,
			   code == VALORI_END ? "is not there any more" : error.message);
	}
	*out = (struct mark){.number = commit->number,
			     .first_event = commit->first_event,
			     .end = commit->first_event + commit->event_count,
			     .tree_root = commit->tree_root};
	if (out_log != NULL)
		*out_log = log;
	else
		valori_log_close(log);
	return TOOL_OK;
}

/* The leader's commit with a number; *out_is_there: it has one. */
static int mark_there(struct search *search, uint64_t number, struct mark *out, bool *out_is_there)
{
	const char *name = client_url(search->follow->leader), *hash;
	struct client_answer answer;
	char path[96], tree[120];
	int status;

	snprintf(path, sizeof(path), "/v1/replication/commit?number=%llu", (unsigned long long)number);
	search->out->questions++;
	status = follow_ask(search->follow, path, PATIENCE_MS, &answer);
	*out = (struct mark){.number = number};
	*out_is_there = answer.status != 404;
	if (answer.status == 404)
		status = TOOL_OK;
	else if (answer.status == 410)
		status = say(search->out, TOOL_UNKNOWABLE, "%s: commit %llu was trimmed away there", name,
			     (unsigned long long)number);
	else if (status != TOOL_OK)
		say(search->out, status, "%.500s", search->follow->fault);
	else if (!follow_text(&answer, "tree", tree, sizeof(tree)) || (hash = strrchr(tree, ':')) == NULL ||
		 valori_hash_parse(hash + 1, &out->tree_root) != VALORI_OK ||
		 !follow_number(&answer, "first_event", &out->first_event) ||
		 !follow_number(&answer, "height", &out->end))
		status = say(search->out, TOOL_DAMAGED, "%s: describes commit %llu in a way not known here", name,
			     (unsigned long long)number);
	client_answer_free(&answer);
	return status;
}

static bool are_same(const struct mark *here, const struct mark *there)
{
	return here->number == there->number && here->end == there->end &&
	       memcmp(&here->tree_root, &there->tree_root, sizeof(here->tree_root)) == 0;
}

/* ---- the first event that differs, in a commit that does ---- */

struct pair {
	struct follow follow; /* of that commit there */
	valori_log *log;      /* here */
	const valori_commit_view *here;
	struct follow_check *out;
};

static bool are_bytes_same(const void *a, size_t a_size, const void *b, size_t b_size)
{
	return (a == NULL) == (b == NULL) && a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool are_events_same(const valori_event *a, const valori_event *b, uint32_t dim)
{
	size_t size = 4 * (size_t)dim;

	return a->type == b->type && a->id == b->id && a->tag == b->tag && a->record == b->record &&
	       a->from == b->from && a->to == b->to && a->collection == b->collection && a->kind == b->kind &&
	       a->parameter == b->parameter && a->value == b->value &&
	       are_bytes_same(a->key, a->key_size, b->key, b->key_size) &&
	       are_bytes_same(a->metadata, a->metadata_size, b->metadata, b->metadata_size) &&
	       are_bytes_same(a->vector, size, b->vector, size) && are_bytes_same(a->salt, 16, b->salt, 16) &&
	       are_bytes_same(a->request, 16, b->request, 16);
}

static int compare_events(void *context, valori_log *log, const valori_commit_view *there)
{
	struct pair *pair = context;
	uint32_t count = there->event_count > pair->here->event_count ? there->event_count : pair->here->event_count;
	valori_log_info info = {.size = sizeof(info)};

	follow_stop(&pair->follow);
	if (valori_log_get_info(log, &info, NULL) != VALORI_OK)
		return TOOL_OK;
	for (uint32_t i = 0; i < count; i++) {
		valori_event a, b;
		bool has_a = valori_log_event(pair->log, i, &a, NULL) == VALORI_OK;
		bool has_b = valori_log_event(log, i, &b, NULL) == VALORI_OK;

		if (has_a && has_b && are_events_same(&a, &b, info.dim))
			continue;
		if (!has_a)
			a = b;
		pair->out->event = pair->here->first_event + i;
		if (a.type <= VALORI_EVENT_SET_TAG)
			pair->out->record = a.id;
		break;
	}
	return TOOL_OK;
}

static void find_event(struct search *search, const struct mark *at)
{
	struct pair pair = {.out = search->out};
	valori_commit_view commit;
	struct mark own;

	if (mark_here(search, at->first_event, &own, &pair.log, &commit) != TOOL_OK)
		return;
	pair.here = &commit;
	pair.follow.leader = search->follow->leader;
	pair.follow.options = search->follow->options;
	pair.follow.once = true;
	pair.follow.from = at->first_event;
	pair.follow.take = compare_events;
	pair.follow.context = &pair;
	search->out->questions++;
	if (follow_init(&pair.follow) == TOOL_OK) {
		(void)follow_run(&pair.follow);
		follow_free(&pair.follow);
	}
	valori_log_close(pair.log);
}

/* ---- the first commit that differs ---- */

/* at is one that does. */
static int bisect(struct search *search, struct mark at)
{
	struct follow_check *out = search->out;
	const char *name = client_url(search->follow->leader);
	uint64_t low = search->base;
	char event[96] = "in its time";
	struct mark there;
	bool is_there;
	int status = TOOL_OK;

	while (status == TOOL_OK && low < at.first_event) {
		struct mark here;

		status = mark_here(search, low + (at.first_event - low) / 2, &here, NULL, NULL);
		if (status == TOOL_OK)
			status = mark_there(search, here.number, &there, &is_there);
		if (status == TOOL_OK && is_there && are_same(&here, &there))
			low = here.end;
		else
			at = here;
	}
	if (status == TOOL_OK)
		status = mark_there(search, at.number, &there, &is_there);
	if (status != TOOL_OK)
		return status;
	out->commit = at.number;
	out->here = at.tree_root;
	out->there = there.tree_root;
	find_event(search, &at);
	if (out->record != VALORI_NONE)
		snprintf(event, sizeof(event), "event %llu, record %llu", (unsigned long long)out->event,
			 (unsigned long long)out->record);
	else if (out->event != VALORI_NONE)
		snprintf(event, sizeof(event), "event %llu", (unsigned long long)out->event);
	return say(out, TOOL_NO,
		   "%s: differs from this store from commit %llu on: %s; they are equal up to height %llu", name,
		   (unsigned long long)at.number, event, (unsigned long long)at.first_event);
}

static int compare(struct search *search, const valori_info *info)
{
	struct follow_check *out = search->out;
	const char *name = client_url(search->follow->leader);
	uint64_t last = out->commits < out->leader_commits ? out->commits : out->leader_commits;
	struct mark here = {.number = info->commits - 1, .end = info->height, .tree_root = info->tree_root}, there;
	bool is_there;
	int status = TOOL_OK;

	if (last > 0) {
		status = mark_there(search, last - 1, &there, &is_there);
		if (status == TOOL_OK && is_there && out->leader_commits < out->commits)
			status = mark_here(search, there.first_event, &here, NULL, NULL);
		if (status == TOOL_OK && (!is_there || !are_same(&here, &there))) {
			status = mark_here(search, info->height - 1, &here, NULL, NULL);
			return status == TOOL_OK ? bisect(search, here) : status;
		}
	}
	if (status != TOOL_OK)
		return status;
	out->is_same = true;
	if (out->leader_commits < out->commits)
		return say(out, TOOL_NO, "%s: has lost events: it ends at height %llu, this store at %llu", name,
			   (unsigned long long)out->leader_height, (unsigned long long)out->height);
	return say(out, TOOL_OK, "%s: equal up to height %llu; the leader is at %llu", name,
		   (unsigned long long)out->height, (unsigned long long)out->leader_height);
}

int follow_check(struct follow *follow, struct follow_check *out)
{
	struct search search = {.follow = follow, .out = out};
	const char *name = client_url(follow->leader);
	valori_options options = follow->options;
	valori_info info = {.size = sizeof(info)};
	struct client_answer answer;
	valori *store = NULL;
	valori_error error;
	char own[65], theirs[80];
	int status;

	*out = (struct follow_check){.commit = VALORI_NONE, .event = VALORI_NONE, .record = VALORI_NONE};
	options.log = follow->log;
	options.flags = VALORI_READ | VALORI_NO_VECTORS;
	if ((follow->store == NULL && valori_open(&options, &store, &error) != VALORI_OK) ||
	    valori_get_info(follow->store != NULL ? follow->store : store, &info, &error) != VALORI_OK) {
		valori_close(store, NULL);
		status = follow_fail_with(follow, &error);
		return say(out, status, "%.500s", follow->fault);
	}
	valori_close(store, NULL);
	out->commits = info.commits;
	out->height = info.height;
	search.base = info.base_height;
	valori_hash_format(&info.log_id, own);
	out->questions++;
	status = follow_ask(follow, "/v1/proof/state", PATIENCE_MS, &answer);
	if (status != TOOL_OK)
		say(out, status, "%.500s", follow->fault);
	else if (!follow_number(&answer, "commits", &out->leader_commits) ||
		 !follow_number(&answer, "committed_height", &out->leader_height) ||
		 !follow_text(&answer, "log_id", theirs, sizeof(theirs)))
		status = say(out, TOOL_DAMAGED, "%s: describes its state in a way not known here", name);
	else if (strcmp(own, theirs) != 0)
		status = say(out, TOOL_NO, "%s: has another log than this store: its id is %s, not %s", name, theirs,
			     own);
	client_answer_free(&answer);
	return status == TOOL_OK ? compare(&search, &info) : status;
}
