#!/usr/bin/env bats
# valori-snapshot: what it promises.

load helper

@test "a snapshot holds the state: searching it alone gives what searching the log gives" {
	rich_store s
	valori-snapshot -l s
	[ -f s/snapshot.val ]
	rows 5 4 7 | valori-search -l s -s '' -k 50 >from_log
	rows 5 4 7 | valori-search -s s/snapshot.val -k 50 >from_snapshot
	[ -s from_log ]
	cmp from_log from_snapshot
	[ "$(valori-snapshot -l s --info | awk -F '\t' '$1 == "state_root" { print $2 }')" = "$(root s)" ]
}

@test "a snapshot is a function of the log: twice the same bytes, from a replica too" {
	rich_store s
	valori-snapshot -l s
	valori-snapshot -l s -o again
	cmp s/snapshot.val again
	valori-replay -o - s | valori-ingest -q -l t -f log - >ids
	valori-snapshot -l t -o other
	cmp again other
	valori-snapshot -l s -o - | cmp - again
}

@test "--verify finds every flipped bit, --info reads the header only" {
	rich_store s
	valori-snapshot -l s
	run -0 valori-snapshot --verify -s s/snapshot.val
	[ -z "$output" ]
	size=$(wc -c <s/snapshot.val)
	for i in $(seq 0 24); do
		offset=$((i * (size - 1) / 24))
		cp s/snapshot.val t.val
		flip t.val $offset
		run --separate-stderr valori-snapshot --verify -s t.val
		[[ $status == [37] ]] || fail "offset $offset of $size: status $status"
		[[ $stderr == "valori-snapshot: "*t.val* ]] || fail "offset $offset: '$stderr'"
	done
	for size in 0 1 4095 4096 $((size - 1)); do
		head -c "$size" s/snapshot.val >t.val
		run -3 valori-snapshot --verify -s t.val
	done
	[ "$(valori-snapshot --info --json -l s | jq -r .state_root)" = "$(root s)" ]
	[ "$(valori-snapshot --info -l s | head -n 2 | tail -n 1)" = "$(printf 'height\t%s' "$(state s height)")" ]
}

@test "--if-newer: 1 when the snapshot has it all, and the file stays" {
	store s 20 4
	run -0 valori-snapshot -l s --if-newer
	before=$(stat -c '%i %Y' s/snapshot.val)
	run -1 --separate-stderr valori-snapshot -l s --if-newer
	[ -z "$output$stderr" ]
	[ "$(stat -c '%i %Y' s/snapshot.val)" = "$before" ]
	rows 1 4 2 more | valori-ingest -q -l s >ids
	run -0 valori-snapshot -l s --if-newer
	[ "$(stat -c '%i %Y' s/snapshot.val)" != "$before" ]
}

@test "--if-newer --trim: nothing to write is no reason not to trim" {
	store s 40 4
	valori-snapshot -l s
	run -0 --separate-stderr valori-snapshot -v -l s --if-newer --trim
	[[ $stderr == *"the log now begins at event 40"* ]]
	[ "$(state s base_height)" = 40 ]
}

@test "--at: the state as it was" {
	store s 40 4
	valori-snapshot -l s --at 20 -o early
	[ "$(valori-snapshot --info --json -s early | jq .height)" = 20 ]
	valori-replay -o - --to 20 s | valori-ingest -q -l t -f log - >ids
	[ "$(valori-snapshot --info --json -s early | jq -r .state_root)" = "$(root t)" ]
}

@test "--trim removes what the snapshot covers, and nothing is lost" {
	rows 60 64 | valori-ingest -q -l s -d 64 --batch 20 >ids
	hash=$(root s)
	rows 3 64 5 | valori-search -l s -k 20 >before
	size=$(du -sb s | cut -f 1)
	run -0 --separate-stderr valori-snapshot -v -l s --trim
	[[ $stderr == *"removed; the log now begins at event 60"* ]]
	[ "$(root s)" = "$hash" ]
	rows 3 64 5 | valori-search -l s -k 20 | cmp - before
	rows 20 64 2 more | valori-ingest -q -l s >ids
	[ "$(head -n 1 ids)" = 60 ]
	run -0 valori-verify s
	# three times round
	for round in 1 2 3; do
		valori-snapshot -l s --trim
		rows 5 64 $((round + 10)) "r$round." | valori-ingest -q -l s >ids
		valori-verify -q s
	done
	[ "$(state s records)" = 95 ]
}

@test "--trim --archive moves, and what was moved is found again" {
	rows 60 64 | valori-ingest -q -l s -d 64 --batch 20 >ids
	valori-replay -o whole s
	valori-snapshot -l s --trim --archive old
	[ -n "$(ls old)" ]
	cmp whole <(valori-replay -o - --archive old s)
	run -0 valori-search -l s --archive old --at 20 -k 100 -e "[$(printf '0,%.0s' {1..63})0]"
	[ "${#lines[@]}" = 20 ]
	run -8 valori-search -l s --at 20 -e "[$(printf '0,%.0s' {1..63})0]"
}

@test "--dry-run changes nothing" {
	rows 60 64 | valori-ingest -q -l s -d 64 --batch 20 >ids
	valori-snapshot -l s
	rm -f s/events.lock # says who looked last, even at a rehearsal
	before=$(fingerprint s)
	run -0 --separate-stderr valori-snapshot -v -n -l s --trim
	[[ $stderr == *"would go"* ]]
	valori-snapshot -n -l s
	valori-snapshot -n -l s -o nothing
	valori-snapshot -n -l s --restore
	rm -f s/events.lock
	[ "$(fingerprint s)" = "$before" ]
	[ ! -e nothing ]
}

@test "--restore: the state comes back, under a new log id, and the old files are kept" {
	rich_store s
	valori-snapshot -l s
	hash=$(root s) id=$(state s log_id) height=$(state s height)
	rows 5 4 9 bad | valori-ingest -q -l s >ids
	run -0 valori-snapshot -l s --restore
	[ "$(root s)" = "$hash" ]
	[ "$(state s height)" = "$height" ]
	[ "$(state s log_id)" != "$id" ]
	ls -d s/events.before-restore-*
	valori-verify -q s
	rows 5 4 9 good | valori-ingest -q -l s >ids
	[ "$(state s height)" = $((height + 5)) ]
	valori-verify -q s
}

@test "a snapshot travels through a pipe" {
	rich_store s
	valori-snapshot -l s -o - | valori-snapshot -l t --restore -s -
	[ "$(root t)" = "$(root s)" ]
	valori-verify -q t
	# half of it restores nothing
	valori-snapshot -l s -o - | head -c 5000 >half
	run -3 valori-snapshot -l u --restore -s - <half
	run ! valori-search -l u -e '[0,0,0,0]'
}

@test "the snapshot of another store is refused: 1" {
	store s 20 4
	store t 20 4 5
	valori-snapshot -l t
	cp t/snapshot.val s/
	run -1 valori-snapshot -l s -n --trim
	run -0 --separate-stderr valori-search -l s -k 1 -e '[0,0,0,0]'
	[[ $stderr == *"warning: snapshot not used: "*"another log"* ]]
}

@test "a writer at work keeps trim and restore out: 6" {
	store s 20 4
	valori-snapshot -l s
	mkfifo rows
	valori-ingest -q -l s rows >ids &
	pid=$!
	exec 7>rows
	rows 1 4 2 more >&7
	for _ in $(seq 100); do [ -e s/events.lock ] && grep -q valori-ingest s/events.lock && break; sleep 0.05; done
	run -6 --separate-stderr valori-snapshot -l s --restore
	[[ $stderr == *"$pid"* ]]
	# but a snapshot can be written beside it
	run -0 valori-snapshot -l s
	exec 7>&-
	wait $pid
}

@test "an interrupted or failed snapshot leaves the old one" {
	store s 20 4
	valori-snapshot -l s
	cp s/snapshot.val kept
	rows 20 4 2 more | valori-ingest -q -l s >ids
	# no room: a limit on file size stands for a full disk
	run bash -c 'trap "" XFSZ; ulimit -f 2; exec valori-snapshot -l s'
	[ "$status" = 4 ]
	cmp s/snapshot.val kept
	[ "$(ls s | grep -vc '^events\.\|^snapshot.val$')" = 0 ] || fail "$(ls s)"
}

@test "an empty store has a snapshot" {
	valori-ingest -l s -d 3 /dev/null
	valori-snapshot -l s
	valori-snapshot -l s --verify
	run -0 valori-search -s s/snapshot.val -e '[0,0,0]'
	[ -z "$output" ]
}

@test "jobs that exclude each other, and names that are missing, are status 2" {
	store s 1 1
	run -2 valori-snapshot
	run -2 valori-snapshot --info
	run -2 valori-snapshot -l s --restore --trim
	run -2 valori-snapshot -l s --info --at 1
	run -2 valori-snapshot -l s --trim -o x
	run -2 valori-snapshot -l s -s -
	run -2 valori-snapshot -l s --restore -n -s -
	run -2 valori-snapshot -l s operand
}
