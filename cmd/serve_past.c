/*
 * serve_past.c - the store as it was: opened from the log at a moment, and kept for a while, because whoever asks about
 * a moment asks again.
 */
#include "serve.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct past {
	valori *store;
	valori_when when;
	unsigned holders;
	uint64_t used; /* the larger, the later */
	bool is_kept;
};

/* [pasts] The one of a moment, or the one to be given up for it; NULL: all are in use. */
static struct past *choose(struct pasts *pasts, const valori_when *when)
{
	struct past *oldest = NULL;

	for (size_t i = 0; i < PASTS; i++) {
		struct past *past = &pasts->kept[i];

		if (past->store != NULL && past->is_kept && past->when.kind == when->kind &&
		    past->when.value == when->value)
			return past;
		if (past->holders == 0 && (oldest == NULL || past->used < oldest->used))
			oldest = past;
	}
	return oldest;
}

/* Can more commits come that belong to it, too? */
static bool is_over(const struct node *node, const valori_when *when)
{
	valori_info info = {.size = sizeof(info)};

	if (when->kind == VALORI_WHEN_HEIGHT)
		return true;
	/* A state can come back. */
	if (when->kind == VALORI_WHEN_ROOT)
		return false;
	return valori_get_info(node->store, &info, NULL) == VALORI_OK && info.time_ms > when->value;
}

static valori_code open_past(const struct node *node, struct past *past, valori_error *error)
{
	valori_options options = VALORI_OPTIONS_INIT;

	valori_close(past->store, NULL);
	past->store = NULL;
	options.flags = VALORI_READ;
	options.log = node->config.log;
	options.snapshot = node->config.snapshot;
	options.archive = node->config.archive;
	options.at = past->when;
	return valori_open(&options, &past->store, error);
}

bool exchange_past(struct exchange *x, const valori_when *when)
{
	struct node *node = x->node;
	struct pasts *pasts = node->pasts;
	struct past *past;
	valori_error error;
	valori_code code = VALORI_OK;

	if (node->config.log == NULL) {
		fail_with(x, 400, "invalid", "this node has no event log, so no past: start it with -l");
		return false;
	}
	/* Opening takes as long as the log is: the others work meanwhile. */
	exchange_give_turn(x);
	pthread_mutex_lock(&pasts->mutex);
	past = choose(pasts, when);
	if (past == NULL) {
		fail_with(x, 503, "busy", "%d moments are asked about already: try again", PASTS);
		goto out;
	}
	if (past->store == NULL || !past->is_kept || past->when.kind != when->kind || past->when.value != when->value) {
		past->when = *when;
		past->is_kept = is_over(node, when);
		code = open_past(node, past, &error);
	}
	if (code == VALORI_OK)
		code = valori_view_open(past->store, &x->view, &error);
	if (code != VALORI_OK) {
		fail_with(x,
			  code == VALORI_NOT_FOUND    ? 404
			  : code == VALORI_UNKNOWABLE ? 410
						      : 500,
			  valori_code_name(code), "%s", error.message);
		goto out;
	}
	past->used = ++pasts->clock;
	past->holders++;
	x->past = past;
out:
	pthread_mutex_unlock(&pasts->mutex);
	return x->past != NULL;
}

bool exchange_when(struct exchange *x, const char *where, const char *as_of, const uint64_t *log_index,
		   valori_when *out)
{
	*out = (valori_when){.kind = VALORI_WHEN_LATEST};
	if (as_of != NULL && log_index != NULL) {
		fail_with(x, 400, "invalid", "%sas_of and as_of_log_index exclude each other", where);
		return false;
	}
	if (log_index != NULL) {
		*out = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = *log_index + 1};
		if (*log_index < VALORI_NONE - 1)
			return true;
		fail_with(x, 400, "invalid", "%sas_of_log_index: is no event number", where);
		return false;
	}
	if (as_of == NULL || valori_when_parse(as_of, out, NULL) == VALORI_OK)
		return true;
	fail_with(x, 400, "invalid", "%sas_of: want a time such as 2026-11-20T12:00:00Z, a state root or a height",
		  where);
	return false;
}

bool exchange_moment(struct exchange *x)
{
	uint64_t log_index = VALORI_NONE;
	valori_when when;

	if (!exchange_number(x, "as_of_log_index", VALORI_NONE - 1, &log_index) ||
	    !exchange_when(x, "", exchange_text(x, "as_of"), log_index != VALORI_NONE ? &log_index : NULL, &when))
		return false;
	return when.kind == VALORI_WHEN_LATEST || exchange_past(x, &when);
}

void exchange_leave_past(struct exchange *x)
{
	if (x->past == NULL)
		return;
	pthread_mutex_lock(&x->node->pasts->mutex);
	x->past->holders--;
	pthread_mutex_unlock(&x->node->pasts->mutex);
	x->past = NULL;
}

bool serve_pasts_init(struct node *node)
{
	node->pasts = calloc(1, sizeof(*node->pasts));
	if (node->pasts != NULL)
		node->pasts->kept = calloc(PASTS, sizeof(*node->pasts->kept));
	return node->pasts != NULL && node->pasts->kept != NULL && pthread_mutex_init(&node->pasts->mutex, NULL) == 0;
}

void serve_pasts_clear(struct node *node)
{
	for (size_t i = 0; i < PASTS; i++) {
		valori_close(node->pasts->kept[i].store, NULL);
		node->pasts->kept[i] = (struct past){0};
	}
}
