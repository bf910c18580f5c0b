/* verdict.c - what a verification is asked and answers, in the words of valori-verify. */
#include "verdict.h"

#include <string.h>

bool verdict_parse_expect(const char *text, valori_verify_options *out)
{
	const char *hash = text;

	out->expect_kind = 1;
	if (strncmp(text, "tree:", 5) == 0) {
		size_t length = strcspn(text + 5, ":");
		char size[21] = "";

		out->expect_kind = 2;
		if (length >= sizeof size || text[5 + length] != ':')
			return false;
		hash = text + 5 + length + 1;
		memcpy(size, text + 5, length);
		if (!tool_parse_u64(size, &out->expect_size))
			return false;
	}
	return valori_hash_parse(hash, &out->expect) == VALORI_OK;
}

static const char *verdict_word(uint32_t verdict)
{
	static const char *const words[] = {
		[VALORI_CONSISTENT] = "consistent",
		[VALORI_VERIFIED_STATE] = "verified",
		[VALORI_VERIFIED_HISTORY] = "verified",
		[VALORI_TAMPERED] = "tampered",
		[VALORI_DIFFERS] = "differs",
		[VALORI_VERDICT_DAMAGED] = "damaged",
		[VALORI_INDETERMINATE] = "indeterminate",
	};

	return verdict < sizeof words / sizeof *words ? words[verdict] : "indeterminate";
}

static const char *snapshot_word(const valori_verify_report *report)
{
	static const char *const words[] = {"none", "base", "compared"};

	return report->is_snapshot ? "itself" : words[report->snapshot_used % 3];
}

bool verdict_knows_history(const valori_verify_report *report)
{
	static const valori_hash zeros;

	return memcmp(&report->tree_root, &zeros, sizeof zeros) != 0;
}

static void print_finding(struct tool_json *json, const valori_verify_report *report)
{
	char time[32];

	if (report->fault_offset == VALORI_NONE && report->fault_event == VALORI_NONE) {
		tool_json_raw(json, "finding", "null");
		return;
	}
	tool_json_object(json, "finding");
	tool_json_text(json, "type", report->fault_rewrite ? "content" : "structural");
	tool_json_text(json, "path", report->fault_path);
	if (report->fault_offset != VALORI_NONE)
		tool_json_u64(json, "offset", report->fault_offset);
	if (report->fault_event != VALORI_NONE)
		tool_json_u64(json, "event", report->fault_event);
	if (report->fault_commit != VALORI_NONE)
		tool_json_u64(json, "commit", report->fault_commit);
	if (report->fault_time_ms != VALORI_NONE)
		tool_json_text(json, "time", tool_time(report->fault_time_ms, time));
	tool_json_object_end(json);
}

/* schema_version, verdict, log, replay, expected_hash and finding are where older programs look for them. */
void verdict_members(struct tool_json *json, const char *name, const char *expect, const valori_verify_report *report)
{
	char time[32], history[96];

	tool_history(report->commits, &report->tree_root, history);
	tool_json_u64(json, "schema_version", 1);
	tool_json_text(json, "verdict", verdict_word(report->verdict));
	if (report->verdict == VALORI_VERIFIED_STATE)
		tool_json_text(json, "proven", "state");
	if (report->verdict == VALORI_VERIFIED_HISTORY)
		tool_json_text(json, "proven", "history and state");
	tool_json_text(json, "sentence", report->sentence);
	if (report->note[0] != '\0')
		tool_json_text(json, "note", report->note);
	tool_json_object(json, "log");
	tool_json_bytes(json, "path", name, strlen(name));
	tool_json_hash(json, "id", &report->log_id);
	tool_json_u64(json, "segments", report->segments);
	tool_json_u64(json, "base_height", report->base_height);
	tool_json_u64(json, "torn_size", report->torn_size);
	tool_json_text(json, "snapshot", snapshot_word(report));
	tool_json_object_end(json);
	tool_json_object(json, "replay");
	tool_json_u64(json, "events_replayed", report->height - report->base_height);
	tool_json_u64(json, "height", report->height);
	tool_json_u64(json, "commits", report->commits);
	tool_json_text(json, "time", tool_time(report->time_ms, time));
	tool_json_hash(json, "state_hash", &report->state_root);
	if (verdict_knows_history(report))
		tool_json_text(json, "chain_head", history);
	else
		tool_json_raw(json, "chain_head", "null");
	tool_json_object_end(json);
	if (expect != NULL)
		tool_json_text(json, "expected_hash", expect);
	else
		tool_json_raw(json, "expected_hash", "null");
	if (report->expect_reached)
		tool_json_u64(json, "expected_at_height", report->expect_height);
	print_finding(json, report);
}

void verdict_print_json(FILE *file, const char *name, const char *expect, const valori_verify_report *report)
{
	struct tool_json json = {.file = file};

	tool_json_begin(&json);
	verdict_members(&json, name, expect, report);
	tool_json_end(&json);
}
