/*
 * test_tamper.c - what a forger can do to a log, with all checksums right, and what valori-verify says of it: alone,
 * beside the head file, given the history that somebody wrote down earlier, given a state root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/check.h"
#include "bytes.h"
#include "crc32c.h"
#include "forge.h"
#include "host.h"
#include "truth.h"
#include "verify.h"

enum { CHANGED = 5, SPLIT = 13 }; /* the commit that most attacks are about; where the second segment begins */

static struct truth truth;
static struct forged original;
static struct shelf shelf;
static valori_verify_report report;

enum question { ALONE, HEAD, HISTORY, EARLIER, ROOT, QUESTIONS };

static const char *const question_names[QUESTIONS] = {
	"with nothing to compare with", "beside the head file", "given the history as it was",
	"given an earlier history, before the change", "given the state root"};

/* The verdict; 100 + code when there is none. */
static unsigned ask(enum question question)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	unsigned size = question == EARLIER ? CHANGED : truth.commits;
	struct shelf_file *head = shelf_find(&truth.shelf, "db/events.head");
	valori_error error;
	valori_code code;

	options.path = "db";
	shelf_remove(&shelf, "db/events.head");
	if (question == HEAD)
		shelf_put(&shelf, "db/events.head", head->data, head->size);
	if (question == HISTORY || question == EARLIER) {
		options.expect_kind = 2;
		options.expect = truth.moments[size].tree;
		options.expect_size = size;
	} else if (question == ROOT) {
		options.expect_kind = 1;
		options.expect = truth.moments[truth.commits].root;
	}
	memset(&report, 0, sizeof(report));
	report.size = sizeof(report);
	code = vl_verify(vl_host_env(), &shelf.os, &options, &report, &error);
	if (code == VALORI_OK)
		return report.verdict;
	snprintf(report.sentence, sizeof(report.sentence), "%s", error.message);
	return 100 + (unsigned)code;
}

static void judged(const char *attack, const unsigned verdicts[QUESTIONS])
{
	for (enum question question = ALONE; question < QUESTIONS; question++) {
		unsigned verdict = ask(question);

		if (!check(verdict == verdicts[question], "%s: %s", attack, question_names[question]))
			printf("# verdict %u instead of %u: %s\n", verdict, verdicts[question], report.sentence);
	}
}

/* Segments with these commits; cuts: where the second, third ... begin; the last of them is live. */
static void lay_out(const struct forged *forged, const unsigned *cuts, unsigned segments)
{
	shelf_copy(&shelf, &truth.shelf);
	shelf_remove(&shelf, "db/events-00000000000000000000.log");
	for (unsigned i = 0; i < segments; i++) {
		char path[SHELF_PATH] = "db/events.log";
		uint64_t event;
		size_t size;
		uint8_t *data = forge_write(forged, cuts[i], i + 1 < segments ? cuts[i + 1] : forged->count, &size,
					    &event);

		if (i + 1 < segments)
			snprintf(path, sizeof(path), "db/events-%020llu.log", (unsigned long long)event);
		shelf_put(&shelf, path, data, size);
		free(data);
	}
}

static const unsigned two_segments[] = {0, SPLIT};

#define ALL(v) {v, v, v, v, v}
#define T VALORI_TAMPERED
#define C VALORI_CONSISTENT
#define D VALORI_VERDICT_DAMAGED
#define H VALORI_VERIFIED_HISTORY
#define S VALORI_VERIFIED_STATE
#define N VALORI_DIFFERS
#define I VALORI_INDETERMINATE

/* ---- Changes to events, in three degrees of care ---- */

static void delete_event(struct forged *forged)
{
	forge_delete_event(&forged->commits[CHANGED], 2);
}

static void insert_event(struct forged *forged)
{
	struct forged_event event = forged->commits[CHANGED].events[2];

	event.bytes[8] = 0; /* the tag of another record */
	forge_insert_event(&forged->commits[CHANGED], 3, &event);
}

static void reorder_events(struct forged *forged)
{
	struct forged_event event = forged->commits[CHANGED].events[1];

	forged->commits[CHANGED].events[1] = forged->commits[CHANGED].events[2];
	forged->commits[CHANGED].events[2] = event;
}

static void duplicate_event(struct forged *forged)
{
	forge_insert_event(&forged->commits[CHANGED], 3, &forged->commits[CHANGED].events[2]);
}

static void replace_event(struct forged *forged)
{
	forged->commits[CHANGED].events[2].bytes[16] ^= 1; /* the tag */
}

static void delete_commit(struct forged *forged)
{
	forge_delete_commit(forged, CHANGED);
}

static void duplicate_commit(struct forged *forged)
{
	struct forged_commit commit = {.count = 1, .time_ms = forged->commits[CHANGED].time_ms};

	commit.events[0] = forged->commits[CHANGED].events[2];
	memcpy(commit.state_root, forged->commits[CHANGED].state_root, 32);
	forge_insert_commit(forged, CHANGED + 1, &commit);
}

static void change_time(struct forged *forged)
{
	forged->commits[CHANGED].time_ms--;
	forged->commits[CHANGED - 1].time_ms--;
	for (unsigned i = 0; i < CHANGED - 1; i++)
		forged->commits[i].time_ms--;
}

static void change_request(struct forged *forged)
{
	forged->commits[6].requests[0][12] ^= 1;
}

static void test_events(void)
{
	/*
	 * Consistently rewritten, a log proves itself; only what was written down elsewhere tells. Of a state root
	 * nothing follows about the way to it: that the order was another one, or something was done twice, it cannot
	 * tell.
	 */
	static const struct {
		const char *name;
		void (*change)(struct forged *forged);
		unsigned careless[QUESTIONS], half[QUESTIONS], careful[QUESTIONS];
	} attacks[] = {
		{"an event deleted", delete_event, ALL(T), ALL(T), {C, T, T, H, N}},
		{"an event inserted", insert_event, ALL(T), ALL(T), {C, T, T, H, N}},
		{"two events in another order", reorder_events, ALL(T), {C, T, T, H, S}, {C, T, T, H, S}},
		{"an event twice", duplicate_event, ALL(T), {C, T, T, H, S}, {C, T, T, H, S}},
		{"an event replaced", replace_event, ALL(T), ALL(T), {C, T, T, H, N}},
		{"a commit deleted", delete_commit, ALL(T), ALL(T), {C, D, T, H, N}},
		{"a commit added that changes nothing", duplicate_commit, ALL(T), {C, T, T, H, S}, {C, T, T, H, S}},
		{"earlier times", change_time, {C, T, T, T, S}, {C, T, T, T, S}, {C, T, T, T, S}},
		{"another request id", change_request, {C, T, T, H, S}, {C, T, T, H, S}, {C, T, T, H, S}},
	};
	char text[120];

	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		for (unsigned care = 0; care < 3; care++) {
			static const unsigned what[3] = {0, FORGE_EVENTS_ROOTS, FORGE_EVENTS_ROOTS | FORGE_STATE_ROOTS};
			static const char *const how[3] = {"with right checksums",
							   "and the events roots computed anew",
							   "and all roots computed anew"};
			static struct forged forged;

			forged = original;
			attacks[i].change(&forged);
			if (care > 0)
				check(forge_compute(&forged, what[care]), "%s can be forged %s", attacks[i].name,
				      how[care]);
			lay_out(&forged, two_segments, 2);
			snprintf(text, sizeof(text), "%s, %s", attacks[i].name, how[care]);
			judged(text, care == 0   ? attacks[i].careless
				     : care == 1 ? attacks[i].half
						 : attacks[i].careful);
		}
}

/* The place of what was replaced is named: the commit, its offset, its first event, and that it was no accident. */
static void test_place(void)
{
	static struct forged forged;
	uint64_t offset = 4096;

	forged = original;
	replace_event(&forged);
	lay_out(&forged, two_segments, 2);
	for (unsigned i = 0; i < CHANGED; i++)
		offset += truth.sizes[i];
	check(ask(ALONE) == T && report.fault_commit == CHANGED && report.fault_rewrite == 1 &&
		      report.fault_offset == offset && report.fault_event == truth.moments[CHANGED].height &&
		      report.height == truth.moments[CHANGED].height &&
		      memcmp(&report.state_root, &truth.moments[CHANGED].root, sizeof(report.state_root)) == 0 &&
		      strcmp(report.fault_path, "db/events-00000000000000000000.log") == 0,
	       "the commit that was rewritten is named, and all before it is proven");
	/* In an event that cannot be one. */
	forged = original;
	forged.commits[CHANGED].events[1].bytes[4] = 200;
	lay_out(&forged, two_segments, 2);
	check(ask(ALONE) == T && report.fault_commit == CHANGED && report.fault_offset > offset,
	      "so is an event of no known type");
}

/* ---- Whole segments ---- */

static void test_segments(void)
{
	static const unsigned three[] = {0, 6, SPLIT};
	struct truth_moment *last = &truth.moments[truth.commits];
	char middle[SHELF_PATH];

	snprintf(middle, sizeof(middle), "db/events-%020llu.log", (unsigned long long)truth.moments[6].height);
	lay_out(&original, three, 3);
	judged("three segments, nothing wrong", (const unsigned[]){C, C, H, H, S});

	/* As a trim leaves it: the frontier in the header still ties what is left to the history. */
	shelf_remove(&shelf, "db/events-00000000000000000000.log");
	judged("the first segment dropped", (const unsigned[]){C, C, H, I, I});
	check(ask(ALONE) == C && report.base_height == truth.moments[6].height && report.snapshot_used == 0 &&
		      strstr(report.sentence, "not computed") != NULL,
	      "the first segment dropped: what could not be computed is said");

	lay_out(&original, three, 3);
	shelf_remove(&shelf, middle);
	judged("the middle segment dropped", (const unsigned[])ALL(D));
	check(report.fault_event == truth.moments[6].height && report.height == truth.moments[6].height,
	      "the middle segment dropped: the gap is named");

	lay_out(&original, three, 3);
	shelf_remove(&shelf, "db/events.log");
	judged("the last segment dropped", (const unsigned[]){C, D, T, H, N});

	lay_out(&original, three, 3);
	{
		struct shelf_file *file = shelf_find(&shelf, "db/events.log");

		shelf_put(&shelf, middle, file->data, file->size);
	}
	judged("the last segment in place of the middle one", (const unsigned[])ALL(T));

	/* Back to what it was once, with the files of that day. */
	{
		static struct forged forged;

		forged = original;
		forged.count = SPLIT;
		lay_out(&forged, three, 2);
		judged("rolled back to an old state", (const unsigned[]){C, D, T, H, N});
		check(ask(ROOT) == N && report.height == truth.moments[SPLIT].height && last->height > report.height,
		      "rolled back to an old state: how far it goes is said");
	}
}

/* ---- Two logs ---- */

static void test_splices(void)
{
	static struct forged forged;
	uint8_t *data;
	uint64_t event;
	size_t size;

	/* A fork: the same log id, another history, and of that the second segment. */
	forged = original;
	replace_event(&forged);
	forge_compute(&forged, FORGE_EVENTS_ROOTS | FORGE_STATE_ROOTS);
	lay_out(&original, two_segments, 2);
	data = forge_write(&forged, SPLIT, forged.count, &size, &event);
	shelf_put(&shelf, "db/events.log", data, size);
	free(data);
	judged("the second segment of a fork", (const unsigned[])ALL(T));
	check(report.fault_event == truth.moments[SPLIT].height && strcmp(report.fault_path, "db/events.log") == 0,
	      "the second segment of a fork: the place is named");

	/* Another log, that looks alike. */
	forged = original;
	forged.header[40] ^= 1;
	vl_put32(forged.header + 4092, vl_crc32c(vl_host_env()->kernels, 0, forged.header, 4092));
	lay_out(&original, two_segments, 2);
	data = forge_write(&forged, SPLIT, forged.count, &size, &event);
	shelf_put(&shelf, "db/events.log", data, size);
	free(data);
	judged("the second segment of another log", (const unsigned[])ALL(T));
	check(report.height == truth.moments[SPLIT].height && report.fault_offset == 32 &&
		      strcmp(report.fault_path, "db/events.log") == 0,
	      "the second segment of another log: nothing of it is taken for proven");

	/* The whole of it: it proves itself, and nothing that was written down of the first. */
	lay_out(&forged, two_segments, 2);
	judged("another log with the same events", (const unsigned[]){C, C, T, T, S});

}

int main(void)
{
	struct shelf_file *file;

	truth_init(&truth);
	shelf_init(&shelf);
	file = shelf_find(&truth.shelf, "db/events-00000000000000000000.log");
	forge_read(&original, file->data, file->size);
	check_u64(original.count, SPLIT, "the sealed segment is taken apart");
	file = shelf_find(&truth.shelf, "db/events.log");
	forge_read(&original, file->data, file->size);
	check_u64(original.count, truth.commits, "and the live one");
	lay_out(&original, two_segments, 2);
	check_bytes(shelf_find(&shelf, "db/events.log")->data, file->data, file->size, "put together, it is the same");
	forge_compute(&original, FORGE_EVENTS_ROOTS | FORGE_STATE_ROOTS);
	lay_out(&original, two_segments, 2);
	check_bytes(shelf_find(&shelf, "db/events.log")->data, file->data, file->size,
		    "also when all roots were computed anew");
	judged("nothing changed", (const unsigned[]){C, C, H, H, S});
	test_events();
	test_place();
	test_segments();
	test_splices();
	shelf_free(&shelf);
	truth_free(&truth);
	return check_done();
}
