/*
 * upstream_verify.c - a verdict on files of the Rust system, in our words and in the form of its own verifier's report.
 */
#include "upstream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct answer {
	const struct upstream_question *question;
	const char *path;
	valori_upstream_report report;
	bool verified_state, verified_chain, differs;
};

char *upstream_find(const char *path)
{
	size_t size = strlen(path);
	char *inside, *found = NULL;
	struct stat status;
	uint32_t kind;

	if (strcmp(path, "-") == 0 || stat(path, &status) != 0)
		return NULL;
	inside = tool_alloc(size + sizeof("/events.log"), 1);
	memcpy(inside, path, size);
	if (S_ISDIR(status.st_mode))
		memcpy(inside + size, "/events.log", sizeof("/events.log"));
	if (valori_upstream_recognise(inside, &kind, NULL) == VALORI_OK && kind != VALORI_UPSTREAM_NONE)
		found = inside;
	else
		free(inside);
	return found;
}

const char *upstream_kind(uint32_t kind)
{
	static const char *const names[] = {"file", "event log", "WAL", "snapshot"};

	return names[kind % 4];
}

const char *upstream_event_name(const valori_upstream_event *event)
{
	if ((event->flags & VALORI_UPSTREAM_HOLE) != 0)
		return "hole";
	if ((event->flags & VALORI_UPSTREAM_SHRED) != 0)
		return "shred_key";
	if ((event->flags & VALORI_UPSTREAM_ENCRYPTED) != 0)
		return "insert_encrypted";
	switch ((valori_event_type)event->event.type) {
	case VALORI_EVENT_INSERT:
		return "insert";
	case VALORI_EVENT_SOFT_DELETE:
		return "soft_delete";
	case VALORI_EVENT_DELETE:
		return "delete";
	case VALORI_EVENT_SET_METADATA:
		return "set_metadata";
	case VALORI_EVENT_NODE_CREATE:
		return "node";
	case VALORI_EVENT_NODE_DELETE:
		return "node_delete";
	case VALORI_EVENT_EDGE_CREATE:
		return "edge";
	case VALORI_EVENT_EDGE_DELETE:
		return "edge_delete";
	case VALORI_EVENT_META_SET:
		return "meta";
	case VALORI_EVENT_COLLECTION_CREATE:
		return "collection_create";
	case VALORI_EVENT_COLLECTION_DROP:
		return "collection_drop";
	case VALORI_EVENT_SET_TAG:
	case VALORI_EVENT_NODE_SET_RECORD:
	case VALORI_EVENT_META_DELETE:
	case VALORI_EVENT_CONFIG:
		break;
	}
	return "event";
}

/* Seconds, as its own tools write them. */
static const char *seconds(uint64_t time_s, char out[32])
{
	char *point;

	tool_time(time_s > UINT64_MAX / 1000 ? UINT64_MAX : time_s * 1000, out);
	point = strchr(out, '.');
	if (point != NULL)
		memcpy(point, "Z", 2);
	return out;
}

static void trace(const struct answer *answer, const valori_upstream_event *event)
{
	struct tool_json json = {.file = stdout};
	char time[32];

	if (!answer->question->trace)
		return;
	if (!tool_json) {
		printf("%llu\t%s\t%llu\t%s\t%llu\n", (unsigned long long)event->event.number,
		       seconds(event->time_s, time), (unsigned long long)event->offset, upstream_event_name(event),
		       (unsigned long long)event->event.id);
		return;
	}
	tool_json_begin(&json);
	tool_json_u64(&json, "event", event->event.number);
	tool_json_text(&json, "time", seconds(event->time_s, time));
	tool_json_u64(&json, "offset", event->offset);
	tool_json_text(&json, "op", upstream_event_name(event));
	tool_json_u64(&json, "id", event->event.id);
	tool_json_end(&json);
}

static void compare(struct answer *answer)
{
	const valori_hash *expected = &answer->question->hash;
	const valori_upstream_report *report = &answer->report;

	if (answer->question->expect == NULL)
		return;
	answer->verified_state = report->state_known && memcmp(expected, &report->state_hash, sizeof(*expected)) == 0;
	answer->verified_chain = report->kind == VALORI_UPSTREAM_LOG &&
				 memcmp(expected, &report->chain_head, sizeof(*expected)) == 0;
	answer->differs = !answer->verified_state && !answer->verified_chain;
}

/* Our words for people, its word for programs, and the status to leave with. */
static int verdict_of(const struct answer *answer, const char **out_words, const char **out_word)
{
	const valori_upstream_report *report = &answer->report;
	bool is_chain = memcmp(&report->breach_stored, &report->breach_computed, sizeof(valori_hash)) != 0;

	*out_words = "TAMPERED";
	switch ((valori_upstream_verdict)report->verdict) {
	case VALORI_UPSTREAM_ALTERED:
		*out_word = is_chain ? "tampered_chain" : "tampered_structural";
		return TOOL_NO;
	case VALORI_UPSTREAM_REFUSED:
		*out_word = "tampered_semantic";
		return TOOL_NO;
	case VALORI_UPSTREAM_UNREADABLE:
		*out_words = "DAMAGED";
		*out_word = "tampered_structural";
		return TOOL_DAMAGED;
	case VALORI_UPSTREAM_INTACT:
	case VALORI_UPSTREAM_TORN:
	case VALORI_UPSTREAM_INCOMPLETE:
		break;
	}
	*out_word = "verified";
	*out_words = "VERIFIED state against";
	if (answer->verified_chain)
		*out_words = "VERIFIED history against";
	if (answer->verified_state || answer->verified_chain)
		return TOOL_OK;
	*out_words = "INDETERMINATE";
	*out_word = "incomplete";
	if (report->verdict == VALORI_UPSTREAM_INCOMPLETE && (!answer->differs || !report->state_known))
		return TOOL_UNKNOWABLE;
	*out_words = "TAMPERED";
	*out_word = "tampered_content";
	if (answer->differs)
		return TOOL_NO;
	*out_words = "CONSISTENT (nothing to compare with was given)";
	*out_word = "no_expected_hash";
	return answer->question->strict ? TOOL_UNKNOWABLE : TOOL_OK;
}

/* ---- the report, in its form; what only we know stands behind what it knows ---- */

static void print_finding(struct tool_json *json, const struct answer *answer, const char *word)
{
	const valori_upstream_report *report = &answer->report;
	uint64_t entry = report->breach_entry != VALORI_NONE ? report->breach_entry : report->fault_entry;
	uint64_t offset = report->breach_offset != VALORI_NONE ? report->breach_offset : report->fault_offset;
	char time[32];

	if (strncmp(word, "tampered", 8) != 0) {
		tool_json_raw(json, "finding", "null");
		return;
	}
	tool_json_object(json, "finding");
	if (strcmp(word, "tampered_content") == 0) {
		tool_json_text(json, "type", "content");
		tool_json_text(json, "expected_state_hash", answer->question->expect);
		tool_json_hash(json, "computed_state_hash", &report->state_hash);
		tool_json_hash(json, "chain_head", &report->chain_head);
		tool_json_text(json, "note", "the chain is intact, but the state is another one");
		tool_json_object_end(json);
		return;
	}
	if (strcmp(word, "tampered_chain") == 0) {
		tool_json_text(json, "type", "chain_breach");
		tool_json_u64(json, "breach_entry_no", entry);
		tool_json_u64(json, "breach_byte_offset", offset);
		tool_json_text(json, "breach_entry_committed", seconds(report->fault_time_s, time));
		tool_json_u64(json, "breach_entry_committed_unix", report->fault_time_s);
		tool_json_hash(json, "computed_chain_head", &report->breach_computed);
		tool_json_hash(json, "stored_prev_hash", &report->breach_stored);
		tool_json_u64(json, "events_clean_before_breach", report->events);
		tool_json_u64(json, "likely_altered_entry_no", report->fault_entry);
	} else if (strcmp(word, "tampered_semantic") == 0) {
		tool_json_text(json, "type", "semantic");
		tool_json_u64(json, "rejected_entry_no", entry);
		tool_json_u64(json, "rejected_byte_offset", offset);
		tool_json_text(json, "kernel_error", report->sentence);
		tool_json_u64(json, "events_clean_before_rejection", report->events);
	} else {
		tool_json_text(json, "type", "structural");
		tool_json_u64(json, "failed_entry_no", entry);
		tool_json_u64(json, "failed_byte_offset", offset);
		tool_json_u64(json, "trailing_unreadable_bytes",
			      report->segments == 1 ? report->file_size - offset : 0);
		tool_json_u64(json, "events_clean_before_failure", report->events);
	}
	tool_json_bytes(json, "path", report->fault_path, strlen(report->fault_path));
	tool_json_u64(json, "offset", report->fault_offset);
	tool_json_object_end(json);
}

static void print_json(FILE *file, const struct answer *answer, const char *word)
{
	const valori_upstream_report *report = &answer->report;
	struct tool_json json = {.file = file};
	time_t now = time(NULL);
	char text[32];

	tool_json_begin(&json);
	tool_json_u64(&json, "schema_version", 1);
	tool_json_text(&json, "verdict", word);
	tool_json_object(&json, "log");
	tool_json_bytes(&json, "path", answer->path, strlen(answer->path));
	tool_json_u64(&json, "size_bytes", report->file_size);
	tool_json_u64(&json, "format_version", report->version);
	tool_json_u64(&json, "dim", report->dim);
	tool_json_text(&json, "kind", upstream_kind(report->kind));
	tool_json_u64(&json, "segments", report->segments);
	tool_json_u64(&json, "first_segment", report->first_segment);
	tool_json_u64(&json, "last_segment", report->last_segment);
	tool_json_u64(&json, "torn_size", report->torn_size);
	tool_json_u64(&json, "torn_inside", report->torn_inside);
	tool_json_object_end(&json);
	tool_json_object(&json, "replay");
	tool_json_u64(&json, "events_replayed", report->events);
	tool_json_u64(&json, "checkpoints_seen", report->checkpoints);
	if (report->state_known)
		tool_json_hash(&json, "state_hash", &report->state_hash);
	else
		tool_json_raw(&json, "state_hash", "null");
	if (report->kind == VALORI_UPSTREAM_LOG)
		tool_json_hash(&json, "chain_head", &report->chain_head);
	else
		tool_json_raw(&json, "chain_head", "null");
	tool_json_u64(&json, "entries", report->entries);
	tool_json_u64(&json, "state_version", report->state_version);
	tool_json_u64(&json, "records_active", report->record_active);
	tool_json_u64(&json, "records_encrypted", report->record_encrypted);
	tool_json_u64(&json, "nodes", report->node_live);
	tool_json_u64(&json, "edges", report->edge_live);
	tool_json_u64(&json, "empty_metadata", report->empty_metadata);
	tool_json_u64(&json, "oversized", report->oversized);
	tool_json_u64(&json, "reordered", report->reordered);
	tool_json_u64(&json, "checkpoints_wrong", report->checkpoints_wrong);
	tool_json_object_end(&json);
	if (answer->question->expect != NULL)
		tool_json_text(&json, "expected_hash", answer->question->expect);
	else
		tool_json_raw(&json, "expected_hash", "null");
	tool_json_text(&json, "generated_at", seconds((uint64_t)now, text));
	tool_json_u64(&json, "generated_at_unix", (uint64_t)now);
	print_finding(&json, answer, word);
	tool_json_text(&json, "sentence", report->sentence);
	tool_json_end(&json);
}

/* ---- for people ---- */

static void print_oddities(const valori_upstream_report *report)
{
	if (report->torn_size != 0)
		printf("  torn tail   %llu bytes after the last entry that count for nothing\n",
		       (unsigned long long)report->torn_size);
	if (report->torn_inside != 0)
		printf("  torn        %llu bytes between entries: a torn write, behind which the log was continued\n",
		       (unsigned long long)report->torn_inside);
	if (report->reordered != 0)
		printf("  reordered   %u events that stand before others they follow; its own recovery refuses that\n",
		       report->reordered);
	if (report->empty_metadata != 0)
		printf("  odd         %u entries with empty metadata, which its own reader takes for damage\n",
		       report->empty_metadata);
	if (report->oversized != 0)
		printf("  odd         %u entries or values longer than its own reader accepts\n", report->oversized);
}

static void print_text(const struct answer *answer, const char *words)
{
	const valori_upstream_report *report = &answer->report;
	bool is_sound = report->fault_entry == VALORI_NONE;
	char hash[65], time[32];

	printf("%s", words);
	if (answer->verified_state || answer->verified_chain)
		printf(" %s", answer->question->expect);
	if (!is_sound && report->kind == VALORI_UPSTREAM_SNAPSHOT)
		printf(" at byte %llu", (unsigned long long)report->fault_offset);
	else if (!is_sound)
		printf(" at entry %llu, byte %llu", (unsigned long long)report->fault_entry,
		       (unsigned long long)report->fault_offset);
	if (!is_sound && report->fault_time_s != 0)
		printf(", written %s", seconds(report->fault_time_s, time));
	printf("\n  object      %s\n", answer->path);
	printf("  format      %s of the Rust system, version %u, dimension %u\n", upstream_kind(report->kind),
	       report->version, report->dim);
	if (report->kind == VALORI_UPSTREAM_LOG && report->first_segment == report->last_segment)
		printf("  segment     number %u\n", report->first_segment);
	else if (report->kind == VALORI_UPSTREAM_LOG)
		printf("  segments    %u, number %u to %u\n", report->segments, report->first_segment,
		       report->last_segment);
	printf("  replayed    %llu events", (unsigned long long)report->events);
	if (report->kind == VALORI_UPSTREAM_LOG)
		printf(" in %llu entries", (unsigned long long)report->entries);
	printf("; records %llu, nodes %llu, edges %llu\n", (unsigned long long)report->record_active,
	       (unsigned long long)report->node_live, (unsigned long long)report->edge_live);
	if (report->record_encrypted != 0)
		printf("  encrypted   %llu of the records\n", (unsigned long long)report->record_encrypted);
	valori_hash_format(&report->state_hash, hash);
	printf("  state hash  %s\n", report->state_known ? hash : "not known");
	valori_hash_format(&report->chain_head, hash);
	if (report->kind == VALORI_UPSTREAM_LOG)
		printf("  chain head  %s\n", hash);
	print_oddities(report);
	if (is_sound && report->sentence[0] != '\0')
		printf("  note        %s\n", report->sentence);
}

static void explain(const struct answer *answer, int status)
{
	const valori_upstream_report *report = &answer->report;

	if (report->sentence[0] != '\0' && report->fault_entry != VALORI_NONE)
		tool_trouble(status, "%s: offset %llu: %s", report->fault_path,
			     (unsigned long long)report->fault_offset, report->sentence);
	else if (answer->differs)
		tool_trouble(status, "%s: neither the state hash nor the chain head is %s", answer->path,
			     answer->question->expect);
	else if (report->sentence[0] != '\0')
		tool_trouble(status, "%s: %s", answer->path, report->sentence);
}

static int say(const struct answer *answer)
{
	const char *report_path = answer->question->report_path, *words, *word;
	struct tool_output output = {0};
	int status = verdict_of(answer, &words, &word), written = TOOL_OK;

	if (tool_json)
		print_json(stdout, answer, word);
	else if (!tool_quiet)
		print_text(answer, words);
	if (status != TOOL_OK)
		explain(answer, status);
	if (report_path != NULL) {
		written = tool_output_open(&output, report_path);
		if (written == TOOL_OK) {
			print_json(output.file, answer, word);
			written = tool_output_commit(&output);
		}
	}
	return status != TOOL_OK ? status : written;
}

int upstream_verify(const struct upstream_question *question, const char *path)
{
	struct answer answer = {.question = question, .path = path, .report = {.size = sizeof(answer.report)}};
	valori_upstream_event event;
	valori_upstream *upstream;
	valori_error error;
	valori_code code;

	if (valori_upstream_open(&path, 1, question->archive, &upstream, &error) != VALORI_OK)
		return tool_fail_open(path, &error);
	while ((code = valori_upstream_next(upstream, &event, &error)) == VALORI_OK) {
		trace(&answer, &event);
		if (tool_progress_due())
			tool_progress("%s: %llu events verified", path, (unsigned long long)event.event.number);
	}
	valori_upstream_get_report(upstream, &answer.report);
	valori_upstream_close(upstream);
	if (code != VALORI_END)
		return tool_fail(&error);
	compare(&answer);
	return say(&answer);
}
