#!/usr/bin/env bats
# valori-follow: the same commits on another machine, whatever comes over the wire.

load helper

# A leader of perl: DIRECTORY/answer says what it answers; URL is where. It ends with the test.
leader() { # lines of a shell script, which has $method, $path, $query
	mkdir -p srv
	{
		printf '%s\n' '#!/usr/bin/env bash' 'method=$1 path=$2 query=$3'
		printf '%s\n' "ok() { printf 'HTTP/1.1 200 OK\\r\\nContent-Type: %s\\r\\n' \"\${1-application/octet-stream}\"; }"
		printf '%s\n' "end() { printf '\\r\\n'; }"
		printf '%s\n' "$@"
	} >srv/answer
	chmod +x srv/answer
	rm -f srv/port
	"$BATS_TEST_DIRNAME/leader.pl" srv 3>&- &
	LEADER=$!
	for _ in {1..100}; do
		[ ! -s srv/port ] || break
		sleep 0.05
	done
	URL=http://127.0.0.1:$(cat srv/port)
}

teardown() {
	[ -z "${LEADER-}" ] || kill -- "-$LEADER" 2>/dev/null || true
}

need_curl() {
	grep -q '^CURL_LIBS = .' "$BUILD/config.mak" || skip "this build has no libcurl"
}

same() { # store, store
	valori-replay -o - "$1" >one.log
	valori-replay -o - "$2" >two.log
	cmp one.log two.log
}

# Follows once; the status, and a word of what is said.
says() { # status, words, arguments of valori-follow...
	local status=$1 words=$2 code=0
	shift 2
	timeout -k 1 120 valori-follow "$@" >out 2>err </dev/null || code=$?
	[ "$code" = "$status" ] || fail "$*: status $code, says $(cat err)"
	[[ $(tail -n 1 err) == "valori-follow: "*"$words"* ]] || fail "$*: says '$(cat err)'"
}

# shellcheck disable=SC2016 # for the shell of the leader
SERVES='case $path in
/v1/replication/events) ok; end; exec valori-replay --follow -o - --from="${query#*=}" db ;;
esac'

@test "a log stream on the standard input becomes a store, and continues it" {
	rich_store db
	valori-replay -o - db | valori-follow -q -l copy -
	same db copy
	rows 5 4 3 z | valori-ingest -q -l db >/dev/null
	valori-replay -o - db | valori-follow -q -l copy -
	same db copy
	valori-replay -o - --from="$(state copy height)" db | valori-follow -q -l copy -
	same db copy
	run -0 valori-follow -x "$(state db history)" -l copy - < <(valori-replay -o - db)
	run -1 valori-follow -x "$(state db history | tr 0-8 1-9)" -l copy - < <(valori-replay -o - db)
}

@test "what valori-replay --follow writes into a pipe arrives while it is written" {
	store db 5 4
	for taker in "valori-follow -q -l follow -" "valori-ingest -q -l ingest -f log -"; do
		copy=${taker#*-l }
		copy=${copy%% *}
		mkfifo "$copy.pipe"
		valori-replay --follow -o - db >"$copy.pipe" 3>&- &
		from=$!
		$taker <"$copy.pipe" 3>&- &
		to=$!
		rows 3 4 2 "$copy" | valori-ingest -q -l db >/dev/null
		for _ in {1..100}; do
			[ "$(state "$copy" height 2>/dev/null)" != "$(state db height)" ] || break
			sleep 0.05
		done
		kill "$from"
		wait "$to"
		same db "$copy"
	done
}

@test "JSON lines and server-sent events continue a store" {
	command -v jq >/dev/null || skip "jq is not installed"
	store db 5 4 1
	cp -r db copy
	cp -r db copy2
	rows 6 4 2 z | valori-ingest -q -l db --batch 2 >/dev/null
	perl -e 'use MIME::Base64; local $/; my $log = <STDIN>; my $at = 4096;
		while ($at < length $log) {
			my ($body, $number, $first) = unpack "x8 Q< Q< Q<", substr($log, $at, 64);
			printf qq({"commit":%d,"height":0,"b64":"%s"}\n\n), $number, encode_base64(substr($log, $at, 64 + $body), "");
			$at += 64 + $body;
		}' < <(valori-replay -o - db) >lines
	valori-follow -q -l copy - <lines
	same db copy
	sed -n 's/^{/event: commit\nid: 1\ndata: {/p; s/^$/: ping\n/p' lines | valori-follow -q -l copy2 -
	same db copy2
	# nobody says of which log they are
	run -8 valori-follow -q -l copy3 - <lines
	[ ! -e copy3/events.log ]
}

@test "a stream that is cut, doubled, put in another order or changed anywhere is never taken wrongly" {
	store db 6 2 1
	valori-replay -o - db >whole
	size=$(stat -c %s whole)
	roots=$(for h in 0 1 2 3 4 5 6; do valori-replay --state --at="$h" db | grep -E '^(history|state_root)' | tr '\n' ' '; echo; done)
	step=$((size / 60 + 1))
	[ -z "${VALORI_LONG-}" ] || step=1
	is_prefix() {
		[ -e copy/events.log ] || return 0
		grep -qF "$(valori-replay --state copy | grep -E '^(history|state_root)' | tr '\n' ' ')" <<<"$roots" ||
			fail "$1: $(valori-replay --state copy)"
	}
	for ((at = 0; at < size; at += at < 4096 && at > 300 && at < 3700 ? 1000 : step)); do
		rm -rf copy
		cp whole bad
		flip bad "$at"
		code=0
		timeout 10 valori-follow -q -l copy - <bad 2>err || code=$?
		[ "$code" != 0 ] || { valori-replay -o - copy >two.log; cmp -s whole two.log; } || fail "byte $at: status 0"
		[ "$code" -le 8 ] || fail "byte $at: status $code"
		is_prefix "byte $at"
		rm -rf copy
		code=0
		head -c "$at" whole | timeout 10 valori-follow -q -l copy - 2>err || code=$?
		[ "$code" = 3 ] || [ "$code" = 0 ] || fail "cut at $at: status $code"
		is_prefix "cut at $at"
	done
	perl -e 'local $/; $_ = <STDIN>; my @c = (substr $_, 0, 4096); my $at = 4096;
		while ($at < length) { my $n = 64 + unpack "x8 Q<", substr $_, $at, 16; push @c, substr $_, $at, $n; $at += $n }
		my %orders = (doubled => [0, 1, 2, 2, 3], swapped => [0, 1, 3, 2, 4], gap => [0, 1, 2, 4], again => [0 .. 6, 1 .. 6]);
		for my $name (keys %orders) { open my $f, ">", $name; print $f @c[@{$orders{$name}}] }' <whole
	for name in doubled swapped gap again; do
		rm -rf copy
		run -3 valori-follow -q -l copy - <$name
		is_prefix $name
	done
}

@test "a live stream with a commit that is none is given up at once" {
	store db 4 2 1
	valori-replay -o - db >bad
	flip bad $(($(stat -c %s bad) - 100))
	run -3 timeout 10 valori-follow -q -l copy - < <(cat bad; sleep 20)
	[ "$(state copy height)" = 3 ]
}

@test "a commit that leads to another root is kept as evidence, and stays out" {
	store db 3 2 1
	cp -r db other
	cp -r db copy
	rows 1 2 5 a | valori-ingest -q -l copy >/dev/null
	rows 2 2 6 b | valori-ingest -q -l other >/dev/null
	run -1 valori-follow -q -l copy - < <(valori-replay -o - other)
	[[ $output == *"differs from the store's: a fork"*"copy/events.refused-3"* ]] || fail "$output"
	[ "$(valori-replay copy/events.refused-3 | cut -f 1,2 | sort -u | tr '\t\n' '. ')" = "$(valori-replay --from=3 other |
		cut -f 1,2 | sort -u | tr '\t\n' '. ')" ]
	[ "$(state copy height)" = 4 ]
	store third 3 2 1
	run -1 valori-follow -q -l copy - < <(valori-replay -o - third)
	[[ $output == *"is another log than this store's"* ]] || fail "$output"
}

@test "a leader is followed, once and on" {
	need_curl
	rich_store db
	leader "$SERVES"
	valori-follow -q -l copy "$URL" 3>&- &
	follower=$!
	for _ in {1..100}; do
		[ "$(state copy height 2>/dev/null)" != "$(state db height)" ] || break
		sleep 0.05
	done
	rows 5 4 3 z | valori-ingest -q -l db >/dev/null
	for _ in {1..100}; do
		[ "$(state copy height 2>/dev/null)" != "$(state db height)" ] || break
		sleep 0.05
	done
	says 6 "copy/events.log" -q -l copy "$URL"
	kill -TERM "$follower"
	wait "$follower"
	same db copy
}

@test "bad leaders: each has its message and its status, and nothing is taken" {
	need_curl
	store db 5 2 1
	cp -r db copy
	rows 2 2 9 z | valori-ingest -q -l db --batch 1 >/dev/null
	cp -r copy fork
	rows 4 2 8 y | valori-ingest -q -l fork --batch 1 >/dev/null
	store third 8 2 1
	store wide 8 3 1
	valori-replay -o - --from=5 db >stream
	before=$(fingerprint copy)
	try() { # status, words, script
		leader "$3"
		says "$1" "$2" -q --once -l copy "$URL"
		kill -- "-$LEADER"
		[ "$(root copy)" = "$(valori-replay --state --at=5 db | awk -F '\t' '$1 == "state_root" { print $2 }')" ]
	}
	try 2 "token" "printf 'HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":\"no\"}'"
	try 6 "at http://127.0.0.1:1/x, where it redirects to" "printf 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\n\r\n'"
	try 6 "does not give its log: 404: none here" "printf 'HTTP/1.1 404 No\r\n\r\n{\"error\":\"none here\"}'"
	try 6 "does not give its log: 503: busy" "printf 'HTTP/1.1 503 No\r\n\r\n{\"error\":\"busy\"}'"
	try 8 "begins with event 9" "printf 'HTTP/1.1 410 Gone\r\n\r\n{\"error\":\"trimmed\",\"base\":9}'"
	try 1 "has lost events: it ends at height 2" "printf 'HTTP/1.1 409 No\r\n\r\n{\"error\":\"ahead\",\"height\":2}'"
	try 1 "no commit that ends at height 5" "printf 'HTTP/1.1 409 No\r\n\r\n{\"error\":\"within\",\"height\":7}'"
	try 3 "answers with text/html" "ok text/html; end; yes '<html>'"
	try 3 "is not an event log" "ok; end; yes"
	try 1 "another log than this store" "ok; printf 'X-Valori-Log-Id: 00\r\n'; end"
	try 1 "another log than this store" "ok; end; cd $PWD; exec valori-replay -o - --from=5 third"
	try 2 "has dimension 3, this store 2" "ok; end; cd $PWD; exec valori-replay -o - --from=5 wide"
	cp stream newer
	set_version newer 2 4092
	try 7 "version 2" "ok; end; cat $PWD/newer"
	try 1 "another height" "ok; end; cd $PWD; exec valori-replay -o - --from=4 db"
	try 6 "the stream has ended" "ok; printf 'X-Valori-Height: 7\r\n'; end; head -c 5000 $PWD/stream | head -c 4200"
	try 6 "the stream has ended" "ok; end; head -c 4096 $PWD/stream" # without a word about its height
	cp -r fork copy2
	leader "ok; end; cd $PWD; exec valori-replay -o - --from=9 copy3"
	cp -r db copy3
	rows 2 2 7 x | valori-ingest -q -l copy3 --batch 1 >/dev/null
	says 1 "another state root than this store at height 9" -q --once -l copy2 "$URL"
	[ -s copy2/events.refused ]
	[ "$(fingerprint copy | grep events.log)" = "$(grep events.log <<<"$before")" ]
}

@test "a leader whose clock was set back is the same leader" {
	need_curl
	if grep -q '^SANITIZED = yes' "$BUILD/config.mak"; then skip "a sanitizer wants to be loaded first itself"; fi
	store db 4 2 2
	cp -r db copy
	rows 4 2 2 z | FAIL_CLOCK=86400 LD_PRELOAD=$(cd "$BUILD" && pwd)/tests/fault/failing.so \
		valori-ingest -q -l db --batch 2 >/dev/null
	leader "$SERVES"
	sed -i "s/ db ;;/ ${PWD//\//\\/}\/db ;;/;s/ok; end/ok; printf 'X-Valori-Height: 8\\\\r\\\\n'; end/" srv/answer
	valori-follow -q --once -l copy "$URL"
	same db copy
}

@test "slow leaders, and such as send more than may be, are given up" {
	need_curl
	store db 5 2 1
	valori-replay -o - db >stream
	perl -e 'print "VCMT", "\0" x 4, pack("Q<Q<Q<", 1 << 29, 5, 5), "\0" x 32' >head
	leader "ok; end; cat $PWD/stream $PWD/head /dev/zero"
	says 5 "commit 5 has 536870976 bytes, more than --commit-max=1048576" -q -l copy --commit-max=1M "$URL"
	[ "$(state copy height)" = 5 ]
	kill -- "-$LEADER"
	[ -n "${VALORI_LONG-}" ] || return 0
	leader "ok; end; head -c 4200 $PWD/stream; while printf x; do sleep 1; done"
	says 6 "too slowly" -q --once -l slow "$URL"
}

@test "the token goes along, and to nobody else" {
	need_curl
	store db 3 2 1
	leader 'echo "${HTTP_AUTHORIZATION-none}" >>heard' "[ \"\${HTTP_AUTHORIZATION-}\" = 'Bearer s3cret' ] || {
		printf 'HTTP/1.1 401 No\r\n\r\n'; exit; }" "ok; printf 'X-Valori-Height: 3\r\n'; end; exec valori-replay -o - db"
	says 2 "token" -q --once -l copy "$URL"
	echo s3cret >token
	valori-follow -q --once -l copy --token-file=token "$URL"
	same db copy
	VALORI_AUTH_TOKEN=s3cret valori-follow -q --once -o - "$URL" | cmp - <(valori-replay -o - db)
	kill -- "-$LEADER"
	leader 'echo "${HTTP_AUTHORIZATION-none}" >>other'
	other=$URL
	leader "printf 'HTTP/1.1 307 There\r\nLocation: $other/\r\n\r\n'"
	VALORI_AUTH_TOKEN=s3cret says 6 "redirects" -q --once -l copy "$URL"
	[ ! -e other ]
	says 2 "must not hold a name or password" -q --once -l copy "http://me:s3cret@127.0.0.1:1"
	says 2 "http:// or https://" -q --once -l copy "ftp://127.0.0.1"
}

@test "what is asked for wrongly is said" {
	says 2 "-l or -o" http://127.0.0.1:1
	says 2 "--from" --from=3 -l db http://127.0.0.1:1
	says 2 "must be a height" --from=@5 -o - http://127.0.0.1:1
	says 2 "--check" --check -l db -
	says 2 "one leader only" -l db a b
	says 2 "would never be whole" -o file http://127.0.0.1:1
	says 2 "not a state root" -x zz -l db http://127.0.0.1:1
}

@test "a full disk stops a follower, and with room it goes on" {
	[ "$(id -u)" = 0 ] || skip "only root can mount a small disk"
	store db 400 64 1
	mkdir small
	mount -t tmpfs -o size=128k tmpfs small || skip "no tmpfs can be mounted here"
	code=0
	valori-replay -o - db | valori-follow -q -l small/copy - 2>err || code=$?
	cp err err.kept
	mount -o remount,size=4m small
	valori-replay -o - db | valori-follow -q -l small/copy - 2>err2 || true
	match=0
	same db small/copy || match=1
	umount small
	[ "$code" = 4 ]
	[[ $(cat err.kept) == *"no space left"* ]]
	[ "$match" = 0 ]
}
