#!/usr/bin/env bats
# Files of the Rust system in valori-verify and valori-ingest. They are made by the unit test, by the recipe that comes with the
# published ones, so that nothing here needs those.

bats_require_minimum_version 1.5.0

setup() {
	BUILD=$(cd "${BUILD:-$BATS_TEST_DIRNAME/../../build}" && pwd)
	PATH=$BUILD:$PATH
	cd "$BATS_TEST_TMPDIR" || return
	"$BUILD/tests/unit/test_upstream" .
}

# One figure of valori-ingest -f upstream.
fact() { # name; from $output
	awk -F '\t' -v name="$1" '$1 == name { print $2 }' <<<"$output"
}

state() { # store, figure
	valori-replay --state "$1" | awk -F '\t' -v name="$2" '$1 == name { print $2 }'
}

flip() { # file, offset
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059  # the format is one octal escape
	printf "\\$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

inserts=2c4ae8a21e0e01a1278febe82ff9dc6a7d70a9bacd43dbf68e8931221494f906
inserts_chain=74c436e18c73da587147ae5ccbb44d42308e414519796476d7a6907ec83cba6a

@test "every published hash is the hash found" {
	while read -r file hash; do
		run -0 valori-verify --expect "$hash" "$file"
		[ "${lines[0]}" = "VERIFIED state against $hash" ]
	done <<-END
		event_log_inserts.log $inserts
		event_log_namespace.log ad99bab3de7644b799d852ac6c6d5a740a6b61ccf75b7d078498e8a2a56ecfd5
		segment_v2.bin cb09ec67aa6f09ee92cb142b61f27d6c705fd203f593c458a6aee88146d9b3a5
		segment_v3.bin cb09ec67aa6f09ee92cb142b61f27d6c705fd203f593c458a6aee88146d9b3a5
		segment_v4.bin cb09ec67aa6f09ee92cb142b61f27d6c705fd203f593c458a6aee88146d9b3a5
		snapshot_v7_empty.bin 4eeaa41d0b2eb66651bdbb252f4b91a7fa191d3f1cee4d311b6056966fba4d4a
		snapshot_v7_single.bin a89d64f954e91779397eeec3b9ced4561b78b30fda56caa3d690522c588cea19
		snapshot_v7_multi.bin ceaed9323dff17e5f7160cd25a836e0b388b658fe1129deaee5e478ccb4816a0
		wal_v1_inserts.wal 5ee0463e6ee77e578cefd7bc66e9867fd471e12795332ce3559ab14e6805d818
		wal_v1_namespace.wal 5272bb36760e044ee8c9c8332da59af03ce2650687005b9f4d93c6f4a74f77bc
		demo.log fb216fdf752d1fc06647d445683094712fb0a22292cd58ebb8dec7211f8a2577
	END
}

@test "the head of the chain is taken for an answer, too; another hash is TAMPERED, 1" {
	run -0 valori-verify -x "$inserts_chain" event_log_inserts.log
	[ "${lines[0]}" = "VERIFIED history against $inserts_chain" ]
	run -1 --separate-stderr valori-verify -x "${inserts/2c/2d}" event_log_inserts.log
	[ "${lines[0]}" = TAMPERED ]
	[ "$stderr" = "valori-verify: event_log_inserts.log: neither the state hash nor the chain head is ${inserts/2c/2d}" ]
	run -2 valori-verify -x "tree:1:$inserts" event_log_inserts.log
	run -2 valori-verify --at 3 event_log_inserts.log
}

@test "nothing to compare with: events, chain head and state hash are printed; 0, with --strict 8" {
	run -0 --separate-stderr valori-verify event_log_inserts.log
	[ "${lines[0]}" = "CONSISTENT (nothing to compare with was given)" ]
	[ -z "$stderr" ]
	[[ $output == *"replayed    24 events in 24 entries; records 24, nodes 0, edges 0"* ]]
	[[ $output == *"state hash  $inserts"* ]]
	[[ $output == *"chain head  $inserts_chain"* ]]
	run -8 valori-verify --strict event_log_inserts.log
	mkdir data
	cp event_log_inserts.log data/events.log
	run -0 valori-verify data
	[[ $output == *"state hash  $inserts"* ]]
}

@test "a torn tail is benign, and told with its size" {
	head -c 1540 event_log_inserts.log >torn.log
	run -0 valori-verify torn.log
	[ "${lines[0]}" = "CONSISTENT (nothing to compare with was given)" ]
	[[ $output =~ "torn tail   "[0-9]+" bytes" ]]
	[[ $output == *"replayed    23 events"* ]]
	run -0 valori-verify appended.log
	[[ $output == *"torn        40 bytes between entries"* ]]
}

@test "an altered entry is named: number, offset, time" {
	run -1 --separate-stderr valori-verify altered.log
	[ "${lines[0]}" = "TAMPERED at entry 3, byte 152, written 2025-06-15T15:06:40Z" ]
	[[ $stderr == "valori-verify: altered.log: offset 152: entry 3 was altered"* ]]
	flip event_log_inserts.log 200
	run -1 --separate-stderr valori-verify event_log_inserts.log
	[ "${lines[0]}" = "TAMPERED at entry 3, byte 170, written 2026-07-10T06:12:08Z" ]
	run -1 --separate-stderr valori-verify refused.log
	[[ $stderr == *"entry 3: record 9 where 2 is the next one" ]]
}

@test "a log in many segments is read as one, and what is missing is named" {
	run -0 valori-verify rotated.log
	[[ $output == *"segments    3, number 0 to 2"* ]]
	[[ $output == *"replayed    15 events in 17 entries"* ]]
	hash=$(awk '$1 == "state" { print $3 }' <<<"$output")
	mkdir old
	mv rotated.log.000000 old
	run -8 --separate-stderr valori-verify rotated.log
	[ "${lines[0]}" = INDETERMINATE ]
	[ "$stderr" = "valori-verify: rotated.log: segment 0 is missing" ]
	run -0 valori-verify --archive old -x "$hash" rotated.log
}

@test "--trace prints a line for each event" {
	run -0 valori-verify -q --trace messy.log
	[ "${#lines[@]}" = 47 ]
	[ "${lines[13]}" = "$(printf '13\t2025-06-15T15:06:54Z\t%s\tinsert_encrypted\t12' "$(cut -f 3 <<<"${lines[13]}")")" ]
}

@test "what is half a header, or another file, is refused with 3" {
	head -c 8 event_log_inserts.log >half.log
	run -3 --separate-stderr valori-verify half.log
	head -c 20 event_log_inserts.log >header.log
	run -3 --separate-stderr valori-verify header.log
	[ "$stderr" = "valori-verify: header.log: 20 bytes, where the header alone has 48" ]
	head -c 9000 snapshot_v7_multi.bin >snap.bin
	run -3 --separate-stderr valori-verify snap.bin
	[[ ${lines[0]} == "DAMAGED at byte "* ]]
}

@test "--report is in the form of the Rust verifier" {
	command -v jq >/dev/null || skip "jq is not installed"
	valori-verify -q --expected-hash "$inserts" --trace --report r.json event_log_inserts.log >/dev/null
	[ "$(jq -r '[.schema_version, .verdict, .log.path, .log.size_bytes, .log.format_version, .log.dim, .replay.events_replayed,
		.replay.checkpoints_seen, .replay.state_hash, .replay.chain_head, .expected_hash, .finding] | @tsv' r.json)" = \
		"$(printf '1\tverified\tevent_log_inserts.log\t1555\t4\t4\t24\t0\t%s\t%s\t%s\t' "$inserts" "$inserts_chain" "$inserts")" ]
	[[ $(jq -r .generated_at r.json) =~ ^20..-..-..T..:..:..Z$ ]]
	valori-verify -q --report r.json event_log_inserts.log
	[ "$(jq -r .verdict r.json)" = no_expected_hash ]
	run -1 valori-verify -q --report r.json altered.log
	[ "$(jq -r '[.verdict, .finding.type, .finding.breach_entry_no, .finding.likely_altered_entry_no, .finding.offset] | @tsv' r.json)" = \
		"$(printf 'tampered_chain\tchain_breach\t4\t3\t152')" ]
	run -1 valori-verify -q --report r.json refused.log
	[ "$(jq -r '[.verdict, .finding.type, .finding.rejected_entry_no] | @tsv' r.json)" = "$(printf 'tampered_semantic\tsemantic\t3')" ]
	run -1 valori-verify -q --expected-hash "$inserts_chain" --report r.json messy.log
	[ "$(jq -r '[.verdict, .finding.type] | @tsv' r.json)" = "$(printf 'tampered_content\tcontent')" ]
	flip event_log_inserts.log 280
	run -1 valori-verify -q --report r.json event_log_inserts.log
	[ "$(jq -r '[.verdict, .finding.type, .finding.failed_entry_no] | @tsv' r.json)" = "$(printf 'tampered_structural\tstructural\t4')" ]
}

@test "an import holds what the log says: vectors, tags, metadata, ids, graph, meta" {
	run -0 valori-ingest -f upstream -l s event_log_inserts.log
	[ "$(fact upstream_state_hash)" = "$inserts" ]
	[ "$(fact upstream_chain_head)" = "$inserts_chain" ]
	[ "$(fact records)" = 24 ]
	[ "$(fact ids)" = kept ]
	[ "$(fact state_root)" = "$(state s state_root)" ]
	valori-verify -q s
	valori-replay --json s | sed -E 's/.*"op":"insert",//' >held
	awk 'BEGIN { for (i = 0; i < 24; i++) {
		printf "\"id\":%d,\"tag\":%d,\"vector_q16\":[%d,%d,%d,%d]", i, i % 5, 1000 * i, 1000 * i + 7, 1000 * i + 14, 1000 * i + 21
		if (i % 4 == 0)
			printf ",\"metadata\":\"{\\\"n\\\":%d}\"", i
		print "}" } }' >said
	diff said held
	valori-ingest -q -f upstream -l t snapshot_v7_multi.bin
	[ "$(state t nodes) $(state t edges) $(state t meta) $(state t records)" = "4 3 2 16" ]
	valori-ingest -q -f upstream -l u demo.log
	valori-verify -q u
	[ "$(state u records) $(state u nodes) $(state u edges)" = "2000 4 3" ]
}

@test "the state does not depend on how the import is cut into commits, and a dry run says all of it beforehand" {
	for batch in 1 7 1000; do
		run -0 valori-ingest -f upstream --batch $batch -l "s$batch" messy.log
		[ "$(fact state_root)" = "$(state "s$batch" state_root)" ]
		said=$output
		valori-verify -q "s$batch"
	done
	[ "$(state s1 state_root)" = "$(state s7 state_root)" ]
	[ "$(state s1 state_root)" = "$(state s1000 state_root)" ]
	run -0 valori-ingest -n -f upstream -l none messy.log
	[ ! -e none ]
	[ "${output/dry_run	yes/dry_run	no}" = "$said" ]
	[ "$(fact encrypted_left_out) $(fact repeated_deletions_left_out) $(fact metadata_of_deleted_left_out)" = "2 2 1" ]
	[ "$(fact nodes_without_their_record) $(fact empty_metadata_kept) $(fact ids)" = "2 1 kept" ]
}

@test "namespaces become collections: by the name in the log, beside it, or ns-N" {
	valori-ingest -q -f upstream -l s messy.log
	[ "$(valori-replay --json s | sed -nE 's/.*"op":"collection_create".*"collection":"([^"]*)".*/\1/p' | tr '\n' ' ')" = "papers ns-2 ns-2 " ]
	echo '{"map":{"other":1,"pictures":2,"far":70000,"bad name":3},"next_id":4}' >messy.log.namespaces.json
	valori-ingest -q -f upstream -l t messy.log
	[ "$(valori-replay --json t | sed -nE 's/.*"op":"collection_create".*"collection":"([^"]*)".*/\1/p' | tr '\n' ' ')" = "papers pictures pictures " ]
	[ "$(state s state_root)" != "$(state t state_root)" ]
}

@test "ids go on from those of a store that has some, and it is said how" {
	printf '[1,2,3,4]\n[5,6,7,8]\n' | valori-ingest -q -l s >/dev/null
	run -0 valori-ingest -f upstream -l s snapshot_v7_multi.bin
	[ "$(fact ids)" = "records + 2, nodes + 0, edges + 0" ]
	run -0 valori-ingest -f upstream -l s snapshot_v7_multi.bin
	[ "$(fact ids)" = "records + 18, nodes + 4, edges + 3" ]
	valori-verify -q s
	[ "$(valori-replay --json s | grep '"op":"edge"' | tail -n 1 | sed -E 's/.*"op"/"op"/')" = '"op":"edge","id":5,"kind":0,"from":6,"to":7}' ]
	run -2 --separate-stderr valori-ingest -f upstream -l d3 -d 3 snapshot_v7_multi.bin
}

@test "nothing is written of what is altered, refused, incomplete, or outside our numbers; the record is named" {
	run -1 --separate-stderr valori-ingest -f upstream -l s altered.log
	[[ $stderr == *"entry 3 was altered"*": nothing was imported" ]]
	run -1 valori-ingest -f upstream -l s refused.log
	rm rotated.log.000001
	run -8 --separate-stderr valori-ingest -f upstream -l s rotated.log
	[ "$stderr" = "valori-ingest: rotated.log: segment 1 is missing: nothing was imported" ]
	run -2 --separate-stderr valori-ingest -f upstream -l s range.log
	[[ $stderr == "valori-ingest: range.log: offset 152: insert 2: vector"* ]]
	run -2 --separate-stderr valori-ingest -f upstream -l s long_key.log
	[[ $stderr == "valori-ingest: long_key.log: offset 256: meta 0: key"* ]]
	head -c 9000 snapshot_v7_multi.bin >snap.bin
	run -3 valori-ingest -f upstream -l s snap.bin
	[ ! -e s ]
	run -0 --separate-stderr valori-ingest --skip-bad -f upstream -l s range.log
	[ "$(fact refused_left_out) $(fact records) $(fact ids)" = "1 3 kept" ]
	[[ $stderr == *"insert 2"* ]]
	[ "$(state s records) $(state s deleted)" = "3 1" ]
}

@test "its own faults are read around: order, torn writes, empty metadata" {
	for name in reordered empty_metadata appended; do
		run -0 valori-ingest -f upstream -l "$name" "$name.log"
		[ "$(fact records)" = 4 ]
		valori-verify -q "$name"
	done
	[ "$(state reordered state_root)" = "$(state appended state_root)" ]
	[ "$(state reordered state_root)" != "$(state empty_metadata state_root)" ]
}

@test "options that do not go with -f upstream, and input that is no file, are usage errors" {
	for options in --resume --renumber '-c docs' '-t 5' '--skip-bad --rejects x'; do
		# shellcheck disable=SC2086
		run -2 valori-ingest -f upstream $options -l s demo.log
	done
	run -2 valori-ingest -f upstream -l s
	run -2 valori-ingest -f upstream -l s -
	run -4 valori-ingest -f upstream -l s nothing.log
	[ ! -e s ]
}

@test "the published files themselves: the largest is imported, and our own verify agrees" {
	fixtures=${VALORI_SHARED:-$BATS_TEST_DIRNAME/../../../shared}/upstream-fixtures
	[ -d "$fixtures" ] || skip "the published files are not here"
	for file in "$fixtures"/*/*.bin "$fixtures"/*/event_log_*.log "$fixtures"/*/*.wal; do
		cmp "$file" "$(basename "$file")"
	done
	run -0 valori-ingest -f upstream -l s "$fixtures/valori-kernel/snapshot_v7_multi.bin"
	run -0 valori-verify --strict -x "$(fact state_root)" s
	run -1 valori-verify "$fixtures/valori-state/chain_tampered.log"
	run -3 valori-verify "$fixtures/valori-state/truncated.log"
	run -3 valori-verify "$fixtures/valori-state/bad_magic.log"
}
