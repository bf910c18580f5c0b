#!/usr/bin/env bats
# What all tools do alike, seen on the ones that print much.

load helper

@test "a flag beats the environment, and the environment beats the default" {
	store a 3 2
	store b 5 2
	run -0 valori-search -l b -k 100 -e '[0,0]'
	[ "${#lines[@]}" = 5 ]
	VALORI_EVENT_LOG_PATH=a run -0 valori-search -k 100 -e '[0,0]'
	[ "${#lines[@]}" = 3 ]
	VALORI_EVENT_LOG_PATH=a run -0 valori-search -l b -k 100 -e '[0,0]'
	[ "${#lines[@]}" = 5 ]
	# what is overridden is not even looked at
	VALORI_DIM=nonsense run -0 valori-ingest -l c -d 2 /dev/null
	VALORI_DIM=nonsense run -2 --separate-stderr valori-ingest -l c /dev/null
	[[ $stderr == "valori-ingest: VALORI_DIM: nonsense: "* ]]
	# an empty variable is none
	VALORI_EVENT_LOG_PATH='' run -2 --separate-stderr valori-search -e '[0]'
	[[ $stderr == "valori-search: --log: missing"* ]]
}

@test "long options must be written out" {
	run -2 --separate-stderr valori-replay --stat .
	[[ $stderr == "valori-replay: --stat: "* ]]
	run -2 valori-search --cou=3 -l x -e '[]'
	run -2 valori-search --count
	run -2 valori-replay --json=1
}

@test "options may stand behind operands, and -- ends them" {
	store ./-- 2 2
	run -0 valori-replay ./-- --json
	[ "${#lines[@]}" = 2 ]
	run -0 valori-replay --json -- --
	[ "${#lines[@]}" = 2 ]
}

@test "numbers are digits below 2^64 in the range, and nothing else" {
	for bad in '' ' 1' +1 -1 1e3 0x10 1.0 18446744073709551616 65537 0; do
		run -2 --separate-stderr valori-search -l x -k "$bad" -e '[]'
		[[ $stderr == "valori-search: --count: $bad: "* ]] || fail "'$bad': $stderr"
	done
}

@test "a moment is a height, a root, a time, or milliseconds" {
	store s 20 2
	at_root=$(valori-replay --state --at 10 s | awk '$1 == "state_root" { print $2 }')
	for when in 10 7 "$at_root"; do
		run -0 valori-replay --state --at "$when" s
		[ "${lines[0]}" = $'height\t10' ] || fail "$when: ${lines[0]}"
	done
	for when in 20 @9999999999999 2200-01-01T00:00:00Z 2200-01-01T01:00:00.5+02:00; do
		run -0 valori-replay --state --at "$when" s
		[ "${lines[0]}" = $'height\t20' ] || fail "$when: ${lines[0]}"
	done
	run -0 valori-replay --state --at 1999-01-01T00:00:00Z s
	[ "${lines[0]}" = $'height\t0' ]
	for when in yesterday 12:00 2026-13-01T00:00:00Z 12x ''; do
		run -2 valori-replay --state --at "$when" s
	done
	run -1 valori-replay --state --at 21 s
	run -1 valori-replay --state --at "${at_root//[0-9]/f}" s
}

@test "output that cannot be written is status 4, whoever writes it" {
	store s 100 4
	valori-snapshot -l s
	for command in 'valori-replay s' 'valori-replay --json s' 'valori-replay -o - s' 'valori-replay --state s' \
		'valori-verify s' 'valori-verify --json s' 'valori-search -l s -e [0,0,0,0]' \
		'valori-snapshot -l s -o -' 'valori-snapshot -l s --info'; do
		run --separate-stderr bash -c "$command >/dev/full"
		[ "$status" = 4 ] || fail "$command >/dev/full: status $status"
		[[ $stderr == valori-*": "* ]] || fail "$command >/dev/full: says '$stderr'"
		[ "${#stderr_lines[@]}" = 1 ] || fail "$command >/dev/full: says '$stderr'"
		run --separate-stderr bash -c "$command >&-"
		[ "$status" = 4 ] || fail "$command >&-: status $status"
	done
	for command in 'valori-replay -o /dev/full s' 'valori-verify --report /dev/full s' \
		'valori-search -l s -e [0,0,0,0] -o /dev/full' 'valori-snapshot -l s -o /dev/full'; do
		run --separate-stderr bash -c "$command"
		[ "$status" = 4 ] || fail "$command: status $status"
	done
	[ -c /dev/full ]
}

@test "with standard output closed no file of the store takes its place" {
	rows 200 2 >rows
	run -4 bash -c 'valori-ingest -l s -d 2 --batch 5 rows >&-'
	run -4 bash -c 'valori-ingest -l t -d 2 --batch 5 <rows >&-'
	for store in s t; do
		run -0 valori-verify $store
		[[ $output != *"torn tail"* ]]
		run ! grep -qx 0 $store/events.lock
	done
	rows 200 2 2 more >rows
	run -4 bash -c 'valori-ingest -l s -d 2 rows <&- 2>&- >&-'
	valori-verify -q s
}

@test "a reader that has seen enough ends the writer without a word" {
	store s 2000 16 1000
	for command in 'valori-replay --json s' 'valori-replay -o - s' 'valori-search -l s -k 2000 -e "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"'; do
		run -0 --separate-stderr bash -c "$command | head -c 1 >/dev/null"
		[ -z "$stderr" ] || fail "$command: $stderr"
	done
}

@test "the same bytes to a file, to a pipe, and with any locale" {
	store s 50 4
	valori-replay --json s >file
	cmp file <(valori-replay --json s)
	cmp file <(LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 valori-replay --json s)
	valori-replay --json -o other s
	cmp file other
}

@test "an output file appears whole or not at all, and leaves nothing else behind" {
	store s 20 4
	mkdir out
	echo old >out/file
	run -0 valori-replay -o out/file s
	valori-verify out/file
	[ "$(ls out)" = file ]
	# a link stays a link
	ln -s file out/link
	before=$(stat -c %i out/file)
	valori-replay -o out/link s
	[ -L out/link ]
	[ "$(stat -c %i out/file)" != "$before" ]
	# a failure leaves the old one
	cp out/file kept
	flip s/events.log $(($(wc -c <s/events.log) / 2))
	run -3 valori-replay -o out/file s
	cmp out/file kept
	[ "$(ls out | tr '\n' ' ')" = 'file link ' ]
	run -4 --separate-stderr valori-replay -o no/such/directory s
	[[ $stderr == "valori-replay: no/such/directory: no such file or directory" ]]
}

@test "what is not there is status 4, what is not ours is status 3" {
	echo 'this is neither' >text
	: >empty
	for tool in valori-verify valori-replay; do
		run -4 --separate-stderr "$tool" nowhere
		[[ $stderr == *nowhere* ]]
		run -3 --separate-stderr "$tool" text
		[[ $stderr == *text* ]]
	done
	run -4 valori-search -l nowhere -e '[0]'
	run -4 valori-snapshot -l nowhere
	run -4 valori-snapshot --info -s nowhere
	run -3 valori-snapshot --info -s text
	run -3 valori-snapshot --verify -s empty
	mkdir nothing
	run -4 valori-verify nothing
	run -4 valori-search -l nothing -e '[0]'
	[ -z "$(ls nothing)" ]
}

@test "an empty log file is no store: status 4 from every reading tool" {
	mkdir empty
	: >empty/events.log
	for command in "valori-verify empty" "valori-verify empty/events.log" "valori-replay empty" \
		"valori-search -l empty -e [1]" "valori-snapshot -l empty"; do
		run -4 $command
		[[ $output == *"empty/events.log: "* ]]
	done
	echo '[1,2]' | valori-ingest -q -l empty
	valori-verify -q empty
}

@test "operands that are no store: directories without one, loops, other files of a store" {
	store s 5 2
	ln -s loop loop
	mkdir other
	for operand in loop other / /dev/null s/events.head s/events.lock; do
		for tool in 'valori-verify' 'valori-replay' 'valori-search -e [0,0] -l'; do
			run --separate-stderr $tool $operand
			[[ $status == [34] ]] || fail "$tool $operand: status $status"
			[[ $stderr == valori-*": "*"${operand%/}"* ]] || fail "$tool $operand: says '$stderr'"
			[ -z "$output" ]
		done
	done
}

@test "the reading tools change nothing in a store's directory" {
	store s 30 4
	valori-snapshot -l s
	before=$(fingerprint s)
	valori-verify s >out
	valori-replay s >out
	valori-replay --state s >out
	valori-replay -o - s >out
	valori-search -l s -e '[0,0,0,0]' >out
	valori-snapshot -l s -o - >out
	valori-snapshot -l s --verify
	valori-snapshot -l s --info >out
	[ "$(fingerprint s)" = "$before" ]
	# nor do they need to be able to
	chmod -R a-w s
	valori-verify s >out
	valori-search -l s -e '[0,0,0,0]' >out
	chmod -R u+w s
}

@test "SIGUSR1 asks for a line of progress" {
	store s 10 4
	mkfifo pipe
	valori-replay - <pipe >out 2>err &
	pid=$!
	exec 7>pipe
	valori-replay -o - s >stream
	head -c 4100 stream >&7
	until (($(awk '$1 == "SigCgt:" { print "0x" $2 }' /proc/$pid/status) & 0x200)); do sleep 0.05; done
	kill -USR1 $pid
	tail -c +4101 stream >&7
	exec 7>&-
	wait $pid
	grep -q '^valori-replay: .*events$' err
}
