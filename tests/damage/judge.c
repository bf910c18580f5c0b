/* judge.c - what all that a user can run says of a store in which something is wrong. */
#include "judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "host.h"
#include "log.h"
#include "snapshot.h"
#include "verify.h"

__attribute__((format(printf, 2, 3))) static void complain(struct judge *judge, const char *format, ...)
{
	va_list arguments;

	if (judge->complaint[0] != '\0')
		return;
	va_start(arguments, format);
	vsnprintf(judge->complaint, sizeof(judge->complaint), format, arguments);
	va_end(arguments);
}

void judge_init(struct judge *judge, const struct truth *truth)
{
	memset(judge, 0, sizeof(*judge));
	judge->truth = truth;
	shelf_init(&judge->shelf);
	shelf_init(&judge->scratch);
	judge_restore(judge);
}

void judge_free(struct judge *judge)
{
	shelf_free(&judge->shelf);
	shelf_free(&judge->scratch);
}

void judge_restore(struct judge *judge)
{
	shelf_copy(&judge->shelf, &judge->truth->shelf);
	judge->path = "db";
	judge->least = judge->truth->commits;
}

/* ---- valori-verify ---- */

static void verify(struct judge *judge, struct shelf *shelf)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = judge->path;
	options.snapshot = judge->snapshot;
	memset(&judge->report, 0, sizeof(judge->report));
	judge->report.size = sizeof(judge->report);
	judge->code = vl_verify(vl_host_env(), &shelf->os, &options, &judge->report, &judge->error);
}

void judge_verify(struct judge *judge)
{
	verify(judge, &judge->shelf);
}

bool judge_is_whole(const struct judge *judge)
{
	const struct truth_moment *last = &judge->truth->moments[judge->truth->commits];

	return judge->code == VALORI_OK && judge->report.verdict == VALORI_CONSISTENT &&
	       judge->report.height == last->height &&
	       memcmp(&judge->report.state_root, &last->root, sizeof(last->root)) == 0 &&
	       memcmp(&judge->report.tree_root, &last->tree, sizeof(last->tree)) == 0;
}

bool judge_has_found(const struct judge *judge)
{
	return judge->code != VALORI_OK || judge->report.verdict == VALORI_TAMPERED ||
	       judge->report.verdict == VALORI_VERDICT_DAMAGED;
}

/* ---- Reading ---- */

/* After how many commits the log had this height; -1: never. */
static int moment_of(const struct truth *truth, uint64_t height)
{
	for (unsigned i = 0; i <= truth->commits; i++)
		if (truth->moments[i].height == height)
			return (int)i;
	return -1;
}

static uint64_t distance(const int32_t *a, const int32_t *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRUTH_DIM; i++)
		sum += (uint64_t)((int64_t)a[i] - b[i]) * (uint64_t)((int64_t)a[i] - b[i]);
	return sum;
}

/*
 * Hits of a state that was replayed are those of its moment. Of a snapshot that nobody has looked through some may be
 * missing; what is given is true all the same.
 */
static void compare_hits(struct judge *judge, const valori_view *view, const struct truth_moment *moment,
			 const valori_hit *hits, const size_t *counts, bool is_replayed)
{
	const struct truth *truth = judge->truth;

	for (unsigned q = 0; q < TRUTH_QUERIES; q++) {
		if (is_replayed && counts[q] != moment->counts[q])
			complain(judge, "query %u: %zu hits instead of %zu", q, counts[q], moment->counts[q]);
		for (size_t i = 0; i < counts[q]; i++) {
			const valori_hit *hit = &hits[q * TRUTH_K + i];
			struct truth_hit got;
			bool is_known = false;

			truth_describe(view, hit, &got);
			for (size_t j = 0; j < moment->counts[q]; j++)
				is_known |= memcmp(&got, &moment->hits[q][is_replayed ? i : j], sizeof(got)) == 0;
			/* One further away, because a nearer one is missing. */
			if (!is_known && !is_replayed && hit->id < truth->records)
				is_known = hit->score ==
					   distance(truth_queries + q * TRUTH_DIM, truth->vectors[hit->id]);
			if (!is_known)
				complain(judge, "query %u: hit %zu is untrue: record %llu, score %llu, key \"%s\"", q,
					 i, (unsigned long long)hit->id, (unsigned long long)hit->score, got.key);
		}
	}
}

/* What --by-id and --by-key ask for. */
static void compare_records(struct judge *judge, const valori_view *view)
{
	const struct truth *truth = judge->truth;
	valori_info info = {.size = sizeof(info)};
	int32_t vector[TRUTH_DIM];
	uint64_t id = VALORI_NONE;

	valori_view_info(view, &info, NULL);
	for (uint64_t record = 0; record < truth->records; record++)
		if (valori_vector_get(view, record, vector, NULL) == VALORI_OK &&
		    memcmp(vector, truth->vectors[record], sizeof(vector)) != 0)
			complain(judge, "the vector of record %llu is another one", (unsigned long long)record);
	if (valori_record_find(view, 0, "key 0", 5, &id, NULL) == VALORI_OK && id != 1)
		complain(judge, "key 0 is that of record %llu", (unsigned long long)id);
}

static void judge_store(struct judge *judge, valori *store, bool is_writer)
{
	valori_search_options asked = VALORI_SEARCH_INIT;
	valori_hit hits[TRUTH_QUERIES * TRUTH_K];
	size_t counts[TRUTH_QUERIES];
	valori_info info = {.size = sizeof(info)};
	const struct truth_moment *moment;
	valori_error error;
	valori_view *view;
	int commits;

	valori_get_info(store, &info, NULL);
	commits = moment_of(judge->truth, info.height);
	if (commits < 0) {
		complain(judge, "opens at event %llu, where no commit ends", (unsigned long long)info.height);
		return;
	}
	moment = &judge->truth->moments[commits];
	if (memcmp(&info.state_root, &moment->root, sizeof(moment->root)) != 0)
		complain(judge, "opens with another state root at event %llu", (unsigned long long)info.height);
	if (memcmp(&info.tree_root, &moment->tree, sizeof(moment->tree)) != 0)
		complain(judge, "opens with another history at event %llu", (unsigned long long)info.height);
	if ((unsigned)commits < judge->least)
		complain(judge, "%s with %u of %u commits", is_writer ? "opens to write" : "opens", (unsigned)commits,
			 judge->truth->commits);
	if (valori_view_open(store, &view, NULL) != VALORI_OK)
		return;
	asked.k = TRUTH_K;
	if (valori_search(view, truth_queries, TRUTH_QUERIES, &asked, hits, counts, &error) == VALORI_OK)
		compare_hits(judge, view, moment, hits, counts, info.snapshot_height == VALORI_NONE);
	compare_records(judge, view);
	valori_view_close(view);
}

static valori *open_store(struct judge *judge, struct shelf *shelf, uint32_t flags)
{
	valori_options options = truth_options(flags);
	valori *store = NULL;

	options.snapshot = judge->snapshot;
	if (judge->is_log_gone && (flags & VALORI_WRITE) == 0) {
		options.log = NULL;
		options.snapshot = "db/snapshot.val";
	}
	vl_engine_open(&options, &shelf->os, vl_host_env(), &store, NULL);
	return store;
}

/* A snapshot of a store that opens is sound, or is not made. */
static void judge_snapshot(struct judge *judge, valori *store)
{
	valori_info info = {.size = sizeof(info)};
	struct vl_snapshot *snapshot;
	valori_error error;

	valori_get_info(store, &info, NULL);
	if (truth_snapshot(store, "db/new.val", &error) != VALORI_OK)
		return;
	if (vl_snapshot_open(vl_host_env(), &judge->shelf.os, "db/new.val", &snapshot, &error) != VALORI_OK) {
		complain(judge, "the snapshot that was made does not open: %s", error.message);
		return;
	}
	if (vl_snapshot_verify(snapshot, &error) != VALORI_OK)
		complain(judge, "the snapshot that was made is not sound: %s", error.message);
	else if (memcmp(vl_snapshot_position(snapshot)->state_root, info.state_root.bytes, 32) != 0)
		complain(judge, "the snapshot that was made has another root");
	vl_snapshot_close(snapshot);
	shelf_remove(&judge->shelf, "db/new.val");
}

static void judge_read(struct judge *judge, bool with_snapshot)
{
	valori *store = open_store(judge, &judge->shelf, VALORI_READ);

	if (store == NULL)
		return;
	judge_store(judge, store, false);
	if (with_snapshot)
		judge_snapshot(judge, store);
	valori_close(store, NULL);
}

/* ---- Replaying ---- */

static void judge_reader(struct judge *judge, const struct vl_reader_options *options, const char *what)
{
	const struct truth *truth = judge->truth;
	struct vl_reader *reader;
	struct vl_commit commit;
	valori_error error;
	valori_code code;
	uint64_t next = 0;

	if (vl_reader_open(vl_host_env(), &judge->shelf.os, options, &reader, &error) != VALORI_OK)
		return;
	while ((code = vl_reader_next(reader, &commit, &error)) == VALORI_OK) {
		next = commit.number + 1;
		if (commit.number >= truth->commits || truth->sizes[commit.number] != commit.size ||
		    memcmp(truth->bytes[commit.number], commit.bytes, (size_t)commit.size) != 0)
			complain(judge, "%s: commit %llu has other bytes", what, (unsigned long long)commit.number);
	}
	if (code == VALORI_END && options->path != NULL && next < judge->least)
		complain(judge, "%s: ends well after %llu of %u commits", what, (unsigned long long)next,
			 truth->commits);
	vl_reader_close(reader);
}

static void judge_replay(struct judge *judge)
{
	struct vl_reader_options options = {.path = "db", .fd = -1};

	judge_reader(judge, &options, "replay");
	for (int i = 0; i < SHELF_NAMES; i++) {
		const char *path = judge->shelf.names[i].path;

		if (strstr(path, ".log") == NULL)
			continue;
		options = (struct vl_reader_options){.name = path};
		options.fd = judge->shelf.os.open(judge->shelf.os.context, path, VL_OS_READ);
		judge_reader(judge, &options, "stream");
		judge->shelf.os.close(judge->shelf.os.context, options.fd);
	}
}

/* ---- Writing ---- */

static void judge_write(struct judge *judge)
{
	const char *snapshot = judge->snapshot, *path = judge->path;
	valori_info info = {.size = sizeof(info)};
	valori *store;
	valori_code code;

	shelf_copy(&judge->scratch, &judge->shelf);
	store = open_store(judge, &judge->scratch, VALORI_WRITE);
	if (store == NULL)
		return;
	judge_store(judge, store, true);
	code = truth_insert(store, "one more", 4711);
	valori_get_info(store, &info, NULL);
	if (valori_close(store, NULL) != VALORI_OK && code == VALORI_OK)
		complain(judge, "commits, and cannot be closed");
	if (code != VALORI_OK)
		return;
	/* The log, as far as it goes back, must prove itself: without the snapshot that may be damaged. */
	if (!judge->is_log_gone)
		judge->snapshot = "";
	judge->path = "db";
	verify(judge, &judge->scratch);
	judge->path = path;
	judge->snapshot = snapshot;
	if (judge->is_log_gone && judge_has_found(judge))
		return; /* what the store begins with is damaged, and found to be */
	if (judge->code != VALORI_OK || judge->report.verdict != VALORI_CONSISTENT ||
	    judge->report.height != info.height)
		complain(judge, "after one more commit: verdict %u at event %llu: %s", judge->report.verdict,
			 (unsigned long long)judge->report.height,
			 judge->code == VALORI_OK ? judge->report.sentence : judge->error.message);
}

void judge_others(struct judge *judge, unsigned what)
{
	judge->complaint[0] = '\0';
	if (what & JUDGE_READ)
		judge_read(judge, (what & JUDGE_SNAPSHOT) != 0);
	if (what & JUDGE_REPLAY)
		judge_replay(judge);
	if (what & JUDGE_WRITE)
		judge_write(judge);
	if (judge->shelf.open != 0 || judge->shelf.mapped != 0)
		complain(judge, "%d descriptors and %d mappings are left open", judge->shelf.open,
			 judge->shelf.mapped);
}
