#!/usr/bin/env bats
# valori-replay: what it promises.

load helper

@test "replay | ingest gives the same state root: every kind of event" {
	rich_store s
	valori-replay --json s | valori-ingest -q -l t >ids
	[ "$(root t)" = "$(root s)" ]
	# and the second copy is, event for event, the first
	diff <(valori-replay --json s | jq -c 'del(.commit, .time)') <(valori-replay --json t | jq -c 'del(.commit, .time)')
	valori-verify -q -x "$(root s)" t
}

@test "ingest of a and b is ingest of a, then of b" {
	rows 10 4 1 a >a
	rows 10 4 2 b >b
	valori-ingest -q -l one -d 4 a b >ids
	valori-ingest -q -l two -d 4 a >ids
	valori-ingest -q -l two b >ids
	[ "$(root one)" = "$(root two)" ]
}

@test "replay -o is the log again, byte for byte" {
	rich_store s
	valori-replay -o copy s
	cmp copy <(valori-replay -o - s)
	cmp copy <(valori-replay -o - - <copy)
	cmp copy <(valori-replay -o - - < <(cat copy))
	cmp copy <(valori-replay -o - <(cat copy))
	diff <(valori-replay --state copy) <(valori-replay --state <(cat copy))
	valori-verify -q -x "$(valori-verify s | awk '$1 == "history" { print $2 }')" copy
}

@test "replicas have one commit stream" {
	rich_store s
	valori-replay -o - s | valori-ingest -q -l t -f log - >ids
	cmp <(valori-replay -o - s) <(valori-replay -o - t)
	rows 7 4 9 z | valori-ingest -q -l s >ids
	valori-replay -o - s | valori-ingest -q -l t -f log - >ids
	cmp <(valori-replay -o - s) <(valori-replay -o - t)
}

@test "a line per event: event, commit, time, op, id, collection, key, tag, detail" {
	rich_store s
	run -0 valori-replay s
	[ "${#lines[@]}" = "$(state s height)" ]
	for line in "${lines[@]}"; do
		[ "$(tr -cd '\t' <<<"$line" | wc -c)" = 8 ] || fail "$line"
	done
	[[ ${lines[0]} =~ ^0$'\t'0$'\t'[0-9-]{10}T[0-9:.]{12}Z$'\t'insert$'\t'0$'\t'default$'\t'k0$'\t'0$'\t'row\ 0$ ]]
	for op in insert soft_delete delete set_metadata set_tag node node_set_record node_delete edge edge_delete \
		meta meta_delete collection_create collection_drop; do
		cut -f 4 <<<"$output" | grep -qx "$op" || fail "no $op"
	done
	[[ $output == *'tab\there "quoted" back\\slash\nnew line \x00 é 😀'* ]]
}

@test "--json: strict JSON, one object per event, in order" {
	rich_store s
	valori-replay --json s >out
	[ "$(jq -s length out)" = "$(wc -l <out)" ]
	[ "$(jq -s 'map(.event) == [range(length)]' out)" = true ]
	[ "$(jq -c 'select(.key == "d1") | .metadata_base64' out)" = '"/wABgA=="' ]
	[ "$(jq -c 'select(.key == "d0") | [.collection, .metadata]' out)" = '["docs","{\"a\": [1, 2]}"]' ]
	[ "$(jq -c 'select(.op == "insert" and .tag == "18446744073709551615").key' out)" = '"k3"' ]
	[ "$(jq -c 'select(.event == 0).vector_q16 | length' out)" = 4 ]
	run -0 valori-replay --json --no-vectors s
	[[ $output != *vector* ]]
}

@test "the detail of a line is short, and cut between characters" {
	printf '{"vector":[0],"metadata":"%s"}\n' "$(printf 'ab%.0s' {1..30})" "$(printf 'ab%.0s' {1..30})c" \
		"a$(printf 'ä%.0s' {1..30})" | valori-ingest -q -l s -d 1 >ids
	run -0 valori-replay s
	[ "$(cut -f 9 <<<"${lines[0]}")" = "$(printf 'ab%.0s' {1..30})" ]
	[ "$(cut -f 9 <<<"${lines[1]}")" = "$(printf 'ab%.0s' {1..30})..." ]
	[ "$(cut -f 9 <<<"${lines[2]}")" = "a$(printf 'ä%.0s' {1..29})..." ]
}

@test "vectors come out as the integers they are" {
	echo '[1, -1, 0.5, -0.0000152587890625, 32000]' | valori-ingest -q -l s -d 5 >ids
	run -0 bash -c 'valori-replay --json s | jq -c .vector_q16'
	[ "$output" = '[65536,-65536,32768,-1,2097152000]' ]
}

@test "ranges: --to X and --from X are the whole" {
	store s 40 4
	at=$(valori-replay --state --at 20 s | awk '$1 == "state_root" { print $2 }')
	for when in 20 "$at"; do
		cmp <(valori-replay s) <(valori-replay --to "$when" s; valori-replay --from "$when" s)
		[ "$(valori-replay --to "$when" s | wc -l)" = 20 ]
	done
	# a height inside a commit means that commit
	[ "$(valori-replay --to 15 s | wc -l)" = 20 ]
	[ "$(valori-replay --from 15 s | wc -l)" = 30 ]
	[ "$(valori-replay --at 20 --from 10 s | cut -f 1 | head -n 1)" = 10 ]
	[ "$(valori-replay --to 0 s | wc -l)" = 0 ]
	[ "$(valori-replay --from 40 s | wc -l)" = 0 ]
	[ "$(valori-replay --from 1999-01-01T00:00:00Z s | wc -l)" = 40 ]
	[ "$(valori-replay --from 2200-01-01T00:00:00Z s | wc -l)" = 0 ]
	run -1 valori-replay --to 41 s
	run -1 bash -c 'valori-replay -o - s | valori-replay --to 41 -'
}

@test "a range is a log again: its parts make the replica that the whole makes" {
	store s 40 4
	valori-replay -o first --to 20 s
	valori-replay -o rest --from 20 s
	valori-ingest -q -l t -f log first >ids
	valori-ingest -q -l t -f log rest >ids
	cmp <(valori-replay -o - s) <(valori-replay -o - t)
	# of a stream the same
	cmp rest <(valori-replay -o - s | valori-replay -o - --from 20 -)
	cmp first <(valori-replay -o - s | valori-replay -o - --to 20 -)
	# the second half alone does not begin at the beginning
	run ! valori-ingest -q -l u -f log rest
}

@test "--id and --key: what happened to a record, with the roots before and after" {
	store s 20 4
	valori-ingest -q -l s >ids <<-'END'
		{"op":"set_tag","id":3,"tag":9}
		{"op":"upsert","key":"k3","vector":[2,2,2,2]}
	END
	run -0 valori-replay --id 3 s
	[ "$(cut -f 4 <<<"$output" | tr '\n' ' ')" = 'insert set_tag delete ' ]
	run -0 valori-replay --key k3 s
	[ "$(cut -f 4,5 <<<"$output" | tr '\t\n' '. ')" = 'insert.3 set_tag.3 delete.3 insert.20 ' ]
	run -0 valori-replay --json --key k3 s
	before=$(jq -r .root_before <<<"${lines[1]}")
	[ "$before" = "$(valori-replay --state --at 20 s | awk '$1 == "state_root" { print $2 }')" ]
	[ "$(jq -r .root_after <<<"${lines[3]}")" = "$(root s)" ]
	[ "$(jq -r .root_before <<<"${lines[0]}")" = "$(valori-replay --state --at 0 s | awk '$1 == "state_root" { print $2 }')" ]
	run -1 --separate-stderr valori-replay --id 99 s
	[[ $stderr == *"no record 99" ]]
	run -1 valori-replay --key nobody s
	run -1 valori-replay -c other --key k3 s
	valori-ingest -q -l s --create -c other >ids <<<'{"key":"k3","vector":[0,0,0,0]}'
	[ "$(valori-replay --key k3 s | wc -l)" = 4 ]
	[ "$(valori-replay -c other --key k3 s | cut -f 5)" = 21 ]
}

@test "-c: events of one collection, deletions included" {
	rich_store s
	valori-ingest -q -l s >ids <<<'{"op":"soft_delete","key":"d0","collection":"docs"}'
	run -0 valori-replay -c docs s
	[ "$(cut -f 4 <<<"$output" | tr '\n' ' ')" != "" ]
	[ "$(cut -f 6 <<<"$output" | sort -u)" = docs ]
	[ "$(tail -n 1 <<<"$output" | cut -f 4)" = soft_delete ]
	[ "$(($(valori-replay -c docs s | wc -l) + $(valori-replay -c default s | wc -l) +
		$(valori-replay -c other s | wc -l) + $(valori-replay s | cut -f 4 | grep -c '^meta')))" = "$(state s height)" ]
}

@test "--state: counts and root, of the end or a moment, of a stream too" {
	rich_store s
	run -0 valori-replay --state s
	[[ $output == *$'\n'"collections"$'\t'2$'\n'* ]]
	[ "$(state s state_root)" = "$(valori-verify --json s | jq -r .replay.state_hash)" ]
	[ "$(state s history)" = "$(valori-verify --json s | jq -r .replay.chain_head)" ]
	diff <(valori-replay --state s) <(valori-replay -o - s | valori-replay --state -)
	diff <(valori-replay --state --at 20 s) <(valori-replay -o - s | valori-replay --state --at 20 -)
	at=$(valori-replay --state --at 20 s | awk '$1 == "state_root" { print $2 }')
	diff <(valori-replay --state --at 20 s) <(valori-replay -o - s | valori-replay --state --at "$at" -)
	run -1 bash -c 'valori-replay -o - s | valori-replay --state --at 47 -'
	[ "$(valori-replay --state --json s | jq .height)" = "$(state s height)" ]
}

@test "--follow prints what comes, as soon as it is durable, and leaves on SIGTERM with 0" {
	store s 5 2
	valori-replay --follow s >out &
	pid=$!
	for _ in $(seq 100); do [ "$(wc -l <out)" = 5 ] && break; sleep 0.05; done
	[ "$(wc -l <out)" = 5 ]
	rows 3 2 2 more | valori-ingest -q -l s >ids
	for _ in $(seq 100); do [ "$(wc -l <out)" = 8 ] && break; sleep 0.05; done
	[ "$(wc -l <out)" = 8 ]
	kill -TERM $pid
	wait $pid
}

@test "damage: what comes before it is printed, the place is named, status 3" {
	store s 30 4
	third=$(valori-verify --trace --json s | sed -n 3p | jq .offset)
	flip s/events.log $((third + 100))
	run -3 --separate-stderr valori-replay s
	[ "${#lines[@]}" = 20 ]
	[[ $stderr == "valori-replay: "*"events.log"*offset* ]]
}

@test "a trimmed log: what is left is printed, what is gone is status 8" {
	rows 60 64 | valori-ingest -q -l s -d 64 --batch 20 >ids
	valori-replay s >whole
	valori-snapshot -l s --trim --archive old
	rows 20 64 2 more | valori-ingest -q -l s >ids
	[ "$(valori-replay s | wc -l)" = 20 ]
	run -8 --separate-stderr valori-replay --from 0 s
	[[ $stderr == *"before event 60 was trimmed"* ]]
	run -8 valori-replay --id 3 s
	cmp whole <(valori-replay --to 60 --archive old s)
	[ "$(valori-replay --archive old s | wc -l)" = 80 ]
}

@test "an empty store has no events, and its stream is a header" {
	valori-ingest -l s -d 3 /dev/null
	run -0 valori-replay s
	[ -z "$output" ]
	[ "$(valori-replay -o - s | wc -c)" = 4096 ]
	valori-replay -o - s | valori-ingest -q -l t -f log -
	[ "$(root t)" = "$(root s)" ]
}

@test "options that contradict each other are status 2" {
	store s 1 1
	run -2 valori-replay --id 1 --key k s
	run -2 valori-replay -o x --id 1 s
	run -2 valori-replay -o x -c default s
	run -2 valori-replay --state --id 1 s
	run -2 valori-replay --state --follow s
	run -2 valori-replay --follow -o x s
	run -2 valori-replay s s
	[ ! -e x ]
}
