#!/usr/bin/env bats
# valori-serve and those who wish it ill: malformed heads, bodies that never come, numbers without end, names that climb.

setup_file() {
	command -v curl >/dev/null || skip "curl is not installed"
	[ -x "${BUILD:-$BATS_TEST_DIRNAME/../../build}/valori-serve" ] || skip "valori-serve is off in this build"
}

load helper
load serve

# Sends the bytes of a printf format; the status of the answer is in $status, "closed" when there was none. What comes
# behind the answer is in the file "rest".
raw() { # format
	# shellcheck disable=SC2059
	printf "$1" >sent
	perl -MIO::Socket::INET -e '
		$SIG{ALRM} = sub { print "silent"; exit }; $SIG{PIPE} = "IGNORE"; alarm 15;
		$s = IO::Socket::INET->new($ARGV[0]) or die;
		open F, "sent"; { local $/; print $s <F>; } $s->flush; $s->shutdown(1) if $ARGV[1];
		{ local $/; $all = <$s>; }
		open R, ">rest"; print R $all;
		print $all =~ m{^HTTP/1\.1 (\d+)} ? $1 : "closed";' "${URL#http://}" "${2-}" >got
	status=$(cat got)
}

# The answer to a head and a body in the usual form.
headed() { # lines of the head, body
	raw "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n$1\r\n$2"
}

@test "a head that can be read in two ways is refused, and the connection closed" {
	node -d 2
	body='{"query":[1,2]}'
	headed "Content-Length: 15\r\n" "$body"
	[ "$status" = 200 ]
	for head in "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n" \
		"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n" \
		"Content-Length: 15\r\nContent-Length: 15\r\n" "Content-Length: 15\r\nContent-Length: 16\r\n" \
		"Content-Length: +15\r\n" "Content-Length: -15\r\n" "Content-Length: 0x0f\r\n" "Content-Length: 15, 15\r\n" \
		"Content-Length: 99999999999999999999\r\n" "Content-Length:\r\n" \
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" "Transfer-Encoding: gzip\r\n" \
		"Transfer-Encoding: gzip, chunked\r\n" "Content-Length: 15\r\nHost: other\r\n" \
		"Content-Length: 15\r\nX: a\r\n b\r\n" "Content-Length : 15\r\n" "Content-Length: 15\r\nX: a\0b\r\n" \
		"Content-Length: 15\r\nX: a\rb\r\n"; do
		headed "$head" "$body"
		[ "$status" = 400 ] || [ "$status" = closed ] || [ "$status" = 411 ] || fail "$head: $status"
		[ "$(grep -ac '^HTTP/1.1 ' rest)" -le 1 ] || fail "$head: $(cat rest)"
	done
	# What a smuggler hides behind a body is not answered.
	raw "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
	[ "$(grep -ac '^HTTP/1.1 ' rest)" = 1 ]
	for target in http://localhost/health '*' health '//health/../x' '/health%%00' '/health#x'; do
		raw "GET $target HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
		case $status in 400 | 404 | closed) ;; *) fail "$target: $status" ;; esac
	done
	[ "$(ask GET /health | jq -r .status)" = ok ]
}

@test "a head without end, and nonsense in its place" {
	node -d 2
	raw "GET /health HTTP/1.1\r\nHost: localhost\r\nX: $(head -c 40000 /dev/zero | tr '\0' a)\r\n\r\n"
	case $status in 400 | 413 | 431 | closed) ;; *) fail "long header: $status" ;; esac
	raw "GET /$(head -c 40000 /dev/zero | tr '\0' a) HTTP/1.1\r\nHost: localhost\r\n\r\n"
	case $status in 400 | 413 | 414 | closed) ;; *) fail "long target: $status" ;; esac
	raw "\\0\\0\\0\\0\r\n\r\n"
	case $status in 400 | closed) ;; *) fail "nonsense: $status" ;; esac
	raw "GET / HTTP/9.9\r\n\r\n"
	case $status in 400 | 505 | closed) ;; *) fail "version: $status" ;; esac
	raw "BREW /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	case $status in 400 | 405 | closed) ;; *) fail "method: $status" ;; esac
	[ "$(ask GET /health | jq -r .status)" = ok ]
}

@test "a body that is too long is refused before it comes, and one without a length when it is" {
	node -d 2 --body-max=2000
	began=$SECONDS
	headed "Content-Length: 99999999\r\n" ""
	[ "$status" = 413 ]
	[ $((SECONDS - began)) -lt 4 ]
	head -c 3000 /dev/zero | tr '\0' ' ' >body
	[ "$(curl -s -o answer -w '%{http_code}' -H 'Transfer-Encoding: chunked' --data-binary @body "$URL/v1/search")" = 413 ]
	[ "$(jq -r .code answer)" = too_long ]
	[ "$(curl -s -o answer -w '%{http_code}' --data-binary @body "$URL/v1/search")" = 413 ]
	headed "Content-Length: 500\r\n" '{"query":[1' half
	headed "Transfer-Encoding: chunked\r\n" "FFFFFFFFFFFFFFFFF\r\n{}"
	case $status in 400 | closed) ;; *) fail "chunk size: $status" ;; esac
	[ "$(ask GET /health | jq -r .status)" = ok ]
}

@test "JSON that is none, or means two things" {
	node -d 2
	deep=$(printf '%0100d' 0 | tr 0 '[')
	for body in '' '[]' '"x"' '{' '{"query":[1,2]}x' '{"query":[1,2],"query":[1,2]}' '{"query":[1,2],"k":1,"k":1}' \
		'{"query":[NaN,2]}' '{"query":[Infinity,2]}' '{"query":[1e999,2]}' '{"query":[1,1e9]}' '{"query":[1,null]}' \
		'{"query":["1","2"]}' '{"query":[[1,2]]}' '{"query":[1]}' '{"query":[1,2,3]}' '{"query":{}}' '{"query":[01,2]}' \
		"{\"query\":[1,2],\"x\":$deep}" '{"query":[1,2],"x":"\ud800"}' $'{"query":[1,2],"x":"\xff"}' \
		$'{"query":[1,2],"x":"\xc0\x80"}' '{"query":[1,2],"k":0}' '{"query":[1,2],"k":65537}' \
		'{"query":[1,2],"k":9223372036854775808}' '{"query":[1,2],"k":-1}' '{"query":[1,2],"k":1.5}' \
		'{"query":[1,2],"k":1e2}' '{"query":[1,2],"k":"x"}' '{"query":[1,2],"ef":65537}' '{"query":[1,2],"exact":1}' \
		'{"query":[1,2],"filter_tag":18446744073709551616}' '{"query":[1,2],"collection":7}' \
		'{"query":[1,2],"collection":"none"}' '{"query":[1,2],"metadata_filter":7}'; do
		[ "$(curl -s -o answer -w '%{http_code}' --data-binary "$body" "$URL/v1/search")" = 400 ] ||
			fail "$body: $(cat answer)"
		[ "$(jq -r '.error|length > 5' answer)" = true ]
	done
	for path in '/v1/graph/subgraph?root=0&depth=17' '/v1/graph/subgraph?root=-1' '/v1/graph/subgraph' \
		'/v1/graph/nodes?limit=x' '/v1/graph/nodes?kind=256' '/v1/graph/nodes?offset=18446744073709551616'; do
		ask GET "$path"
		[ "$(code)" = 400 ] || fail "$path: $(cat answer)"
	done
	ask GET /v1/records/18446744073709551615
	[ "$(code)" = 404 ]
	ask GET /v1/records/18446744073709551616
	[ "$(code)" = 404 ]
	ask POST /v1/graphrag '{"query_vector":[1,2],"depth":17}'
	[ "$(code)" = 400 ]
}

@test "names of snapshots stay in their directory, and away from the log" {
	mkdir dir
	node -l dir/db -d 2
	ask POST /v1/records '{"values":[1,2]}'
	echo secret >outside.val
	ln -s ../../outside.val dir/db/link.val
	for name in ../outside.val /etc/passwd '' . .. .hidden a/b 'a\u0000b' events.log events.head "$PWD/outside.val" \
		'..\/outside.val' "$(printf '%0300d' 0)"; do
		for what in save restore; do
			ask POST "/v1/snapshot/$what" "{\"path\":\"$name\"}"
			[ "$(code)" = 400 ] || fail "$what $name: $(cat answer)"
		done
	done
	ask POST /v1/snapshot/save '{"path":"link.val"}'
	[ "$(cat outside.val)" = secret ]
	ask POST /v1/snapshot/restore '{"path":"none.val"}'
	[ "$(code)" = 400 ] || [ "$(code)" = 404 ]
	[ "$(ask GET /health | jq .records.live)" = 1 ]
	stop_node
	valori-verify -q dir/db
}

@test "a path and a query are text, and so is every answer" {
	node -d 2
	for path in '/v1/memory/meta/get?target_id=%b0' '/v1/memory/meta/get?key=a%00b' '/v1/records?key=%ed%a0%80' \
		'/v1/graph/nodes?collection=%c3' '/none/%ff'; do
		ask GET "$path"
		[ "$(code)" = 400 ]
		jq -r .error answer | grep -qE 'UTF-8|NUL'
	done
	ask GET '/v1/memory/meta/get?target_id=%c3%a4%2b+%zz'
	[ "$(jq -r .target_id answer)" = 'ä+ %zz' ]
	# A sentence that is too long is cut, but not within a character.
	for ((size = 500; size < 508; size++)); do
		ask GET "/$(printf "%0${size}d" 0)$(printf '%%c3%%a4%.0s' 1 2 3 4 5 6)"
		[ "$(code)" = 404 ]
		iconv -f UTF-8 -t UTF-8 answer | jq -e .error >/dev/null
	done
	stop_node
}

@test "nothing that a request says makes a line of its own in the log" {
	node -v -d 2
	curl -s -o answer "$URL/v1/%0a%0dvalori-serve:%20forged%1b%5b31m"
	curl -s -o answer --log-json "$URL/" 2>/dev/null || true
	stop_node
	grep -q 'request: .*/v1/??valori-serve: forged?' node.err
	[ "$(grep -ac '^valori-serve: forged' node.err)" = 0 ]
	[ "$(LC_ALL=C grep -ac $'[\x01-\x08\x0b-\x1f\x7f]' node.err)" = 0 ]
}

@test "a wrong token is a wrong token, however it is wrong" {
	VALORI_AUTH_TOKEN=secret node -d 2
	for header in 'Authorization: Bearer' 'Authorization: Bearer ' 'Authorization: bearer secret' 'X: Bearer secret' \
		'Authorization: Basic secret' 'Authorization: Bearer secret ' 'Authorization: Bearer Secret' \
		"Authorization: Bearer secret$(printf '%05000d' 0)" 'Authorization: Bearer secre'; do
		case $(curl -s -o answer -w '%{http_code}' -H "$header" "$URL/v1/version"):$header in
		401:*) ;;
		200:*'secret ') ;; # space at the end of a header belongs to no one
		*) fail "$header" ;;
		esac
	done
	[ "$(curl -s -o answer -w '%{http_code}' "$URL/nowhere")" = 401 ]
	# A body is not waited for when nobody may send it.
	headed "Content-Length: 1000000\r\n" ""
	[ "$status" = 401 ]
}

# N connections that send a piece, and then a byte a second; they are gone when the file "go" is.
crowd() { # n, piece
	perl -MIO::Socket::INET -e '
		$SIG{PIPE} = "IGNORE"; $SIG{ALRM} = sub { exit }; alarm 60;
		for (1 .. $ARGV[1]) { my $s = IO::Socket::INET->new($ARGV[0]) or last; syswrite $s, eval qq("$ARGV[2]"); push @s, $s }
		open F, ">there"; close F;
		while (-e "go") { select undef, undef, undef, 1; syswrite $_, "x" for @s; }' "${URL#http://}" "$1" "$2" 3>&- &
	for _ in $(seq 200); do
		[ ! -e there ] || break
		sleep 0.1
	done
	rm there
}

@test "an honest request is answered while a crowd sends heads and bodies a byte at a time" {
	local n=200
	[ -z "${VALORI_LONG-}" ] || n=1000
	ulimit -n 4096 || true
	touch go
	node -d 2
	pid=$NODE
	crowd "$n" 'GET /health HTTP/1.1\r\nHost: '
	crowd "$n" 'POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n{'
	worst=0
	for _ in $(seq 8); do
		for path in health v1/version; do
			began=${EPOCHREALTIME/./}
			[ "$(curl -s -m 10 -o answer -w '%{http_code}' "$URL/$path")" = 200 ]
			took=$((${EPOCHREALTIME/./} - began))
			[ "$took" -lt "$worst" ] || worst=$took
		done
		sleep 0.5
	done
	echo "worst: $worst us"
	[ "$worst" -lt 1000000 ]
	# And the crowd is sent away.
	for _ in $(seq 30); do
		held=$(find "/proc/$pid/fd" -lname 'socket:*' | wc -l)
		[ "$held" -ge 20 ] || break
		sleep 0.5
	done
	rm go
	[ "$held" -lt 20 ]
	stop_node
}

@test "a body that drips is answered with 408, whatever its size" {
	node -d 2
	touch go
	for length in 30 30000; do
		perl -MIO::Socket::INET -e '
			$SIG{PIPE} = "IGNORE"; $SIG{ALRM} = sub { print "silent"; exit }; alarm 20;
			$s = IO::Socket::INET->new($ARGV[0]) or die;
			syswrite $s, "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: $ARGV[1]\r\n\r\n{";
			if (!fork) { for (1 .. 15) { sleep 1; syswrite $s, " " } exit }
			{ local $/; $all = <$s>; } print $all =~ m{^HTTP/1\.1 (\d+)};' "${URL#http://}" "$length" >"got.$length" 3>&- &
	done
	wait %2 %3
	[ "$(cat got.30)" = 408 ]
	[ "$(cat got.30000)" = 408 ]
}
