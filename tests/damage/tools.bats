#!/usr/bin/env bats
# Damage of many bytes, as a seed of test_random makes it up, in files that the tools are given: they leave with the
# status that it deserves, say so, and print nothing that is not true.

load ../cli/helper

setup() {
	place=$(mktemp -d -p /dev/shm valori.XXXXXX 2>/dev/null) || place=$BATS_TEST_TMPDIR
	cd "$place" || return
	maker=$(cd "$BUILD" && pwd)/tests/damage/test_random
	[ -x "$maker" ] || fail "$maker is missing"
}

teardown() {
	rm -rf "$place"
}

# The status of a command is in $code, what it printed in out and err. A crash or a hang fails at once.
try() { # command...
	code=0
	timeout -k 1 60 "$@" >out 2>err </dev/null || code=$?
	case $code in
	0) ;;
	1 | 3 | 4 | 8) [ -s err ] || [ -s out ] || fail "$what: $*: status $code without a word" ;;
	*) fail "$what: $*: status $code, says $(cat err)" ;;
	esac
}

@test "what the tools say of damaged stores: no crash, no false success, no wrong hit" {
	queries='{"vector":['$(yes 0.25 | head -n 48 | paste -sd,)']}'
	seeds=${VALORI_LONG:+400}
	for ((seed = 1; seed <= ${seeds:-8}; seed++)); do
		rm -rf good db
		damage=$("$maker" -w "$seed" .)
		what="seed $seed: $damage"
		read -r file _ _ at _ <<<"$damage"
		if [ "$seed" = 1 ]; then
			height=$(state good height) root=$(root good)
			valori-search -l good -s '' -k 65536 -e "$queries" | cut -f 1,3- | sort >all
			valori-search -l good -e "$queries" >hits
			valori-replay good >replayed
			[[ $(wc -l <hits) = 10 && $(wc -l <all) -gt 1000 ]]
		fi
		try valori-verify -x "$root" db
		verdict=$code
		case $code in
		0)
			grep -q '^VERIFIED' out || fail "$what: $(cat out)"
			# no harm: in the head, or behind the last commit
			[[ $file == *.head || $at -ge $(stat -c %s "good/${file#*/}") ]] || fail "$what: $(cat out)"
			;;
		1 | 3) ;;
		*) fail "$what: valori-verify leaves with $code: $(cat out err)" ;;
		esac
		try valori-search -l db -e "$queries"
		[ -z "$(cut -f 1,3- out | sort | comm -23 - all)" ] || fail "$what: wrong hits: $(cat out)"
		if [ "$verdict" = 0 ] && [ "$code" = 0 ]; then
			cmp -s out hits || fail "$what: other hits: $(cat out)"
		fi
		try valori-replay db
		# Lines that were printed before the damage was met are those of the log.
		cmp -s -n "$(stat -c %s out)" out replayed || fail "$what: replay prints other lines"
		[ "$code" != 0 ] || cmp -s out replayed || fail "$what: replay ends early, with 0"
		try valori-snapshot -q -l db -o new.val
		if [ "$code" = 0 ]; then
			valori-verify -q -x "$root" new.val || fail "$what: the snapshot that was made is not sound"
		fi
		rows 3 48 9 new >new
		try valori-ingest -q -l db new
		if [ "$code" = 0 ]; then
			# who wrote went on from all there was
			[ "$(state db height)" = $((height + 3)) ] || fail "$what: goes on from $(state db height)"
		fi
	done
}
