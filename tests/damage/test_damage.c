/*
 * test_damage.c - every truncation and every flipped bit of a small log, of its head file and of a snapshot:
 * valori-verify finds it and says where, and nobody else gives out what is not true. A failure names the file, the byte
 * and the bit. For damage of many bytes there is test_random.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/check.h"
#include "judge.h"

static struct truth truth;
static struct judge judge;

struct tally {
	unsigned long tried, found, harmless, silent, misplaced, untrue;
};

static unsigned said; /* of one tally */

static void say(const char *where, size_t at, const char *how, const char *what)
{
	if (said++ < 6)
		printf("# %s: byte %zu %s: %s\n", where, at, how, what);
}

/*
 * What valori-verify says after the byte at `at` of a file was changed. is_said: how something that does no harm is
 * announced; NULL: everything does harm.
 */
static void tally_verdict(struct tally *tally, const char *path, size_t at, const char *how, const char *is_said)
{
	const valori_verify_report *report = &judge.report;
	char text[900];

	judge_verify(&judge);
	tally->tried++;
	if (judge.code != VALORI_OK) { /* what it is cannot be told any more: the first bytes */
		tally->found++;
		if (strstr(judge.error.message, path) == NULL) {
			tally->misplaced++;
			say(path, at, how, judge.error.message);
		}
		return;
	}
	snprintf(text, sizeof(text), "verdict %u at offset %llu of %s, event %llu: %s", report->verdict,
		 (unsigned long long)report->fault_offset, report->fault_path,
		 (unsigned long long)report->fault_event, report->sentence);
	if (judge_has_found(&judge)) {
		tally->found++;
		/* In its file, and not behind its place; what is said to be proven ends before. */
		if (report->verdict != VALORI_VERDICT_DAMAGED || report->fault_offset == VALORI_NONE ||
		    (at > 0 && (strcmp(report->fault_path, path) != 0 || report->fault_offset > at))) {
			tally->misplaced++;
			say(path, at, how, text);
		}
		return;
	}
	if (is_said != NULL && judge_is_whole(&judge) && strstr(report->note, is_said) != NULL) {
		tally->harmless++;
		return;
	}
	tally->silent++;
	say(path, at, how, text);
}

static void tally_others(struct tally *tally, const char *path, size_t at, const char *how, unsigned what)
{
	judge_others(&judge, what);
	if (judge.complaint[0] == '\0')
		return;
	tally->untrue++;
	say(path, at, how, judge.complaint);
}

static void report(const struct tally *tally, const char *what)
{
	said = 0;
	check(tally->tried > 0 && tally->silent == 0 && tally->found + tally->harmless == tally->tried,
	      "%s: valori-verify finds all, or says that it does no harm", what);
	check(tally->misplaced == 0, "%s: and names the place", what);
	check(tally->untrue == 0, "%s: nobody gives out what is not true", what);
	printf("# %s: %lu tried: %lu found, %lu harmless and said so, %lu silent\n", what, tally->tried, tally->found,
	       tally->harmless, tally->silent);
}

/* In the midst of zeros, which are all alike. */
static bool is_in_zeros(const struct shelf_file *file, size_t at)
{
	size_t first = at < 16 ? 0 : at - 16, last = at + 16 < file->size ? at + 16 : file->size;

	for (size_t i = first; i < last; i++)
		if (file->data[i] != 0)
			return false;
	return true;
}

/*
 * Every bit of a file; in the midst of zeros one bit of each byte, and in large files of some of them, unless there is
 * time. One flip in `rare` is shown to who reads, some of these to who writes, too.
 */
static void flip_all(const char *path, const char *is_said, unsigned rare, const char *what)
{
	struct tally tally = {0};
	struct shelf_file *file = shelf_find(&judge.shelf, path);
	size_t size = file->size, few = size > 16384 ? 8 : 1;

	rare = check_long() ? 1 : rare;
	for (size_t at = 0; at < size; at++) {
		bool is_alike = is_in_zeros(file, at) && !check_long();

		if ((is_alike && at % few != 0) || at % check_one_in() != 0)
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			char how[32];

			if (is_alike && bit != at / few % 8)
				continue;
			snprintf(how, sizeof(how), "bit %u flipped", bit);
			file->data[at] ^= (uint8_t)(1u << bit);
			if (tally.tried % rare == 0)
				tally_others(&tally, path, at, how,
					     tally.tried / rare % 8 == 0 || check_long() ? JUDGE_ALL : JUDGE_READ);
			tally_verdict(&tally, path, at, how, is_said);
			file->data[at] ^= (uint8_t)(1u << bit);
		}
	}
	report(&tally, what);
}

/* One bit of every byte that says something (all bits, if there is time): valori-verify and who writes. */
static void flip_for_writers(const char *path, const char *what)
{
	struct tally tally = {0};
	struct shelf_file *file = shelf_find(&judge.shelf, path);

	for (size_t at = 0; at < file->size; at += check_one_in())
		for (unsigned bit = 0; bit < 8; bit++) {
			char how[32];

			if (!check_long() && (file->data[at] == 0 || bit != at % 8))
				continue;
			snprintf(how, sizeof(how), "bit %u flipped", bit);
			file->data[at] ^= (uint8_t)(1u << bit);
			tally_others(&tally, path, at, how, JUDGE_WRITE);
			tally_verdict(&tally, path, at, how, NULL);
			file->data[at] ^= (uint8_t)(1u << bit);
		}
	report(&tally, what);
}

static void cut_all(const char *path, const char *is_said, unsigned step, unsigned rare, const char *what)
{
	struct tally tally = {0};
	struct shelf_file *file = shelf_find(&judge.shelf, path);
	size_t size = file->size;

	for (size_t at = 0; at < size; at += check_long() ? 1 : step * check_one_in()) {
		file->size = at;
		if (tally.tried % rare == 0 || check_long())
			tally_others(&tally, path, at, "cut", JUDGE_ALL);
		tally_verdict(&tally, path, at, "cut", is_said);
	}
	file->size = size;
	report(&tally, what);
}

/*
 * Damage in a snapshot's data is found by valori-verify, and by who would give it out or build on it. One is followed
 * by commits, which are replayed on it; on the other one a writer goes on at once.
 */
static void damage_snapshots(void)
{
	static const char *const names[2] = {"a snapshot with commits behind it", "a snapshot of the last commit"};
	char text[80];

	for (unsigned which = 0; which < 2; which++) {
		judge_restore(&judge);
		shelf_put(&judge.shelf, "db/snapshot.val", truth.snapshots[which], truth.snapshot_sizes[which]);
		judge_others(&judge, JUDGE_ALL);
		judge_verify(&judge);
		if (!check(judge.code == VALORI_OK && judge.report.verdict == VALORI_CONSISTENT &&
				   judge.report.snapshot_used == 2 && judge.complaint[0] == '\0',
			   "%s, in which nothing is wrong", names[which]))
			printf("# %s\n", judge.complaint);
		snprintf(text, sizeof(text), "%s, cut", names[which]);
		cut_all("db/snapshot.val", NULL, 251, 4, text);
		if (which == 1) {
			flip_for_writers("db/snapshot.val", names[which]);
			break;
		}
		/* What is told of the snapshot alone is told of it beside its log. */
		judge.path = check_long() ? "db" : "db/snapshot.val";
		flip_all("db/snapshot.val", NULL, 8, names[which]);
	}
}

/*
 * The head of a store whose writer was killed: when the slot of the last commit is damaged, the other one must not be
 * taken for the end of the log.
 */
static void damage_busy_head(void)
{
	struct shelf_file *file = shelf_find(&judge.shelf, "db/events.head");

	shelf_put(&judge.shelf, "db/events.head", truth.head, file->size);
	judge_others(&judge, JUDGE_ALL);
	judge_verify(&judge);
	check(file->size == sizeof(truth.head) &&
		      memcmp(truth.head + 1024, truth.head + 2048, 128) != 0 && judge_is_whole(&judge) &&
		      judge.report.note[0] == '\0' && judge.complaint[0] == '\0',
	      "a head whose slots differ, in which nothing is wrong");
	cut_all("db/events.head", "events.head", 1, 64, "a head whose slots differ, cut");
	flip_all("db/events.head", "events.head", 16, "a head whose slots differ");
}

int main(void)
{
	truth_init(&truth);
	judge_init(&judge, &truth);
	judge_others(&judge, JUDGE_ALL);
	judge_verify(&judge);
	check(truth.commits > 12 && judge.code == VALORI_OK && judge.report.segments == 2 && judge.complaint[0] == '\0',
	      "a log of two segments, in which nothing is wrong");
	if (judge.complaint[0] != '\0')
		printf("# %s\n", judge.complaint);
	judge_restore(&judge);
	cut_all("db/events.log", NULL, 1, 16, "the live segment, cut");
	cut_all("db/events-00000000000000000000.log", NULL, 1, 16, "the sealed segment, cut");
	flip_all("db/events.log", NULL, 4, "the live segment");
	flip_all("db/events-00000000000000000000.log", NULL, 8, "the sealed segment");
	cut_all("db/events.head", "events.head", 1, 32, "the head file, cut");
	flip_all("db/events.head", "events.head", 4, "the head file");
	damage_busy_head();
	judge_restore(&judge);
	damage_snapshots();
	judge_free(&judge);
	truth_free(&truth);
	return check_done();
}
