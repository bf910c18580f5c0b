#!/usr/bin/env bats
# valori-verify: what it promises.

load helper

@test "a store that agrees with itself is CONSISTENT: 0, with --strict 8" {
	store s 25 4
	run -0 --separate-stderr valori-verify s
	[ "${lines[0]}" = "CONSISTENT (nothing to compare with was given)" ]
	[ -z "$stderr" ]
	[[ $output == *"25 events in 3 commits"* ]]
	[[ $output == *"state root  $(root s)"* ]]
	run -8 valori-verify --strict s
}

@test "VERIFIED state: the root given is the root found" {
	store s 25 4
	hash=$(root s)
	run -0 valori-verify --strict -x "$hash" s
	[ "${lines[0]}" = "VERIFIED state against $hash" ]
	run -0 valori-verify --expected-hash "${hash^^}" s
	run -1 --separate-stderr valori-verify -x "$(printf '0%.0s' {1..64})" s
	[ "${lines[0]}" = "DIFFERS from $(printf '0%.0s' {1..64})" ]
	[[ $stderr == valori-verify:* ]]
}

@test "VERIFIED history: the line it printed yesterday holds today, and a log that was written anew does not" {
	store s 25 4
	history=$(valori-verify s | awk '$1 == "history" { print $2 }')
	[[ $history =~ ^tree:3:[0-9a-f]{64}$ ]]
	run -0 valori-verify -x "$history" s
	[ "${lines[0]}" = "VERIFIED history and state against $history" ]
	rows 5 4 2 more | valori-ingest -q -l s >ids
	run -0 valori-verify -x "$history" s
	# the same rows again make the same state, but not the same history
	store t 25 4
	[ "$(root t)" = "$(valori-replay --state --at 25 s | awk '$1 == "state_root" { print $2 }')" ]
	run -1 valori-verify -x "$history" t
	run -1 valori-verify -x "${history/tree:3/tree:99}" s
}

@test "--expect takes 64 hex digits or tree:SIZE:HASH and nothing else" {
	store s 1 1
	hash=$(root s)
	for bad in '' abc "${hash%?}" "${hash}0" "${hash%?}g" "tree:$hash" "tree::$hash" "tree:x:$hash" "tree:1:" \
		"tree:18446744073709551616:$hash" "tree:1:${hash%?}" "0x$hash"; do
		run -2 --separate-stderr valori-verify -x "$bad" s
		[[ $stderr == "valori-verify: --expect: $bad: "* ]]
	done
	run -2 valori-verify -x tree:1 "$hash"
}

@test "one flipped bit anywhere in a commit is DAMAGED, and the place is named" {
	store s 30 4
	size=$(wc -c <s/events.log)
	for offset in 4096 4100 4160 4200 $((size / 2)) $((size - 1)); do
		rm -rf t
		cp -r s t
		flip t/events.log "$offset"
		run -3 --separate-stderr valori-verify t
		[[ ${lines[0]} == DAMAGED* ]] || fail "$offset: $output"
		[[ $stderr == "valori-verify: "*"events.log"*offset* ]] || fail "$offset: $stderr"
	done
	# in the header, too
	for offset in 0 9 12 40 500 4095; do
		rm -rf t
		cp -r s t
		flip t/events.log "$offset"
		run --separate-stderr valori-verify t
		[[ $status == [37] ]] || fail "header, offset $offset: status $status"
		[ -n "$stderr" ]
	done
}

@test "what is proven before the damage is said" {
	store s 30 4
	valori-verify --trace --json s | head -n 3 >trace
	third=$(sed -n 3p trace | jq .offset)
	history=$(valori-verify --json --at 20 s | jq .replay.chain_head)
	flip s/events.log $((third + 100))
	run -3 --separate-stderr valori-verify --json s
	[ "$(jq .replay.chain_head <<<"$output")" = "$history" ]
	[ "$(jq -r .verdict <<<"$output")" = damaged ]
	[ "$(jq .replay.height <<<"$output")" = 20 ]
	[ "$(jq .replay.state_hash <<<"$output")" = "$(sed -n 2p trace | jq .state_root)" ]
	[ "$(jq .finding.commit <<<"$output")" = 2 ]
	[ "$(jq .finding.offset <<<"$output")" -ge "$third" ]
	[ "$(jq -r .finding.type <<<"$output")" = structural ]
}

@test "a torn tail is reported with its size and accuses nobody" {
	store s 30 4
	printf 'half a commit' >>s/events.log
	run -0 --separate-stderr valori-verify s
	[[ ${lines[0]} == CONSISTENT* ]]
	[[ $output == *"torn tail   13 bytes"* ]]
	[ -z "$stderr" ]
}

@test "acknowledged commits that are missing are not a torn tail" {
	store s 30 4
	size=$(wc -c <s/events.log)
	truncate -s $((size - 8)) s/events.log
	run -3 valori-verify s
}

@test "a log through a pipe is verified like the store it came from" {
	store s 25 4
	history=$(valori-verify s | awk '$1 == "history" { print $2 }')
	run -0 bash -c "valori-replay -o - s | valori-verify -x $history -"
	[ "${lines[0]}" = "VERIFIED history and state against $history" ]
	run -0 bash -c "valori-replay -o - s | valori-verify"
	[[ $output == *"standard input"* ]]
	# a FIFO is a stream, too
	run -0 valori-verify -x "$history" <(valori-replay -o - s)
	# a stream that ends inside a commit
	valori-replay -o stream s
	head -c $(($(wc -c <stream) - 5)) stream >short
	run -0 valori-verify - <short
	[[ $output == *"torn tail"* ]]
}

@test "snapshots are verified by themselves and against the log" {
	store s 25 4
	valori-snapshot -l s
	run -0 valori-verify s/snapshot.val
	[[ $output == *"state root  $(root s)"* ]]
	run -0 valori-verify -x "$(root s)" s/snapshot.val
	[[ ${lines[0]} == "VERIFIED state against "* ]]
	run -0 valori-verify s
	[[ $output == *"equal to the log at its commit"* ]]
	# of another store
	store t 25 4
	run -1 valori-verify -s t/snapshot.val s 2>/dev/null || true
	valori-snapshot -l t
	run -1 --separate-stderr valori-verify -s t/snapshot.val s
	[ -n "$stderr" ]
}

@test "one flipped bit of a snapshot is found, wherever it lies" {
	store s 12 4
	valori-snapshot -l s
	size=$(wc -c <s/snapshot.val)
	for i in $(seq 0 24); do
		offset=$((i * (size - 1) / 24))
		cp s/snapshot.val t.val
		flip t.val $offset
		run --separate-stderr valori-verify t.val
		[[ $status == [37] ]] || fail "offset $offset of $size: status $status: $output"
	done
}

@test "--at verifies up to a moment" {
	store s 30 4
	at=$(valori-replay --state --at 20 s | awk '$1 == "state_root" { print $2 }')
	run -0 valori-verify --at 20 -x "$at" s
	run -1 valori-verify -x "$(root s)" --at 20 s
}

@test "--json and --report are one object, and --report is written whatever the verdict" {
	store s 25 4
	valori-verify --json --report report s >out
	cmp out report
	[ "$(wc -l <out)" = 1 ]
	[ "$(jq -r .verdict out)" = consistent ]
	[ "$(jq .schema_version out)" = 1 ]
	[ "$(jq .finding out)" = null ]
	[ "$(jq .replay.events_replayed out)" = 25 ]
	run -1 valori-verify -q --report report -x "$(printf 'a%.0s' {1..64})" s
	[ "$(jq -r .verdict report)" = differs ]
	[ "$(jq -r .expected_hash report)" = "$(printf 'a%.0s' {1..64})" ]
}

@test "--trace shows every commit, the last with the root of the store" {
	store s 25 4
	run -0 valori-verify --trace s
	[ "$(grep -c $'\t' <<<"$output")" = 3 ]
	[ "$(sed -n 3p <<<"$output" | cut -f 1,2,3,6)" = "$(printf '2\t20\t5\t%s' "$(root s)")" ]
}

@test "-q prints nothing when all is well" {
	store s 5 2
	run -0 valori-verify -q s
	[ -z "$output" ]
	flip s/events.log 4200
	run -3 --separate-stderr valori-verify -q s
	[ -z "$output" ]
	[ -n "$stderr" ]
}

@test "several operands: all are looked at, the first bad one decides" {
	store s 5 2
	store t 5 2
	flip t/events.log 4200
	run -3 --separate-stderr valori-verify s t s
	[ "$(grep -c ^CONSISTENT <<<"$output")" = 2 ]
	[ "$(grep -c ^DAMAGED <<<"$output")" = 1 ]
	run -2 valori-verify -x "$(root s)" s s
}

@test "an empty store is consistent" {
	valori-ingest -l s -d 3 /dev/null
	run -0 valori-verify s
	[[ $output == *"0 events in 0 commits"* ]]
	run -0 valori-verify --strict -x "$(root s)" s
}

@test "a trimmed log is verified from its snapshot; without it its state is indeterminate" {
	rows 200 64 | valori-ingest -q -l s -d 64 --batch 20 >ids
	hash=$(root s)
	valori-snapshot -l s --trim --archive old
	rows 20 64 2 more | valori-ingest -q -l s >ids
	run -0 valori-verify s
	[[ $output == *"used as the base of the log"* ]]
	run -0 valori-verify -x "$(root s)" s
	run -0 valori-verify --archive old s
	[[ $output == *"220 events"* ]]
	run -8 valori-verify --at 100 s
	hash=$(root s) history=$(state s history)
	mv s/snapshot.val away
	# what is left still holds together, but its state cannot be computed
	run -0 --separate-stderr valori-verify s
	[ "${lines[0]}" = "CONSISTENT (nothing to compare with was given)" ]
	[[ $output == *"note "*"not computed again"* ]]
	run -8 --separate-stderr valori-verify -x "$hash" s
	[ "${lines[0]}" = INDETERMINATE ]
	[ -n "$stderr" ]
	run -0 valori-verify -x "$history" s
	run -0 valori-verify -x "$hash" -s away s
}
