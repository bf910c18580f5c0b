#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has streams of its own
# valori-serve, what a follower asks of it: the stream of commits in its three forms, one commit, the state, downloads
# that are taken up again.

setup_file() {
	command -v curl >/dev/null || skip "curl is not installed"
	[ -x "${BUILD:-$BATS_TEST_DIRNAME/../../build}/valori-serve" ] || skip "valori-serve is off in this build"
}

load helper
load serve

EVENTS=/v1/replication/events
SSE=text/event-stream
LINES=application/x-ndjson
BYTES=application/octet-stream
MANY="--records-max=1000000"

STREAMS=()

# Reads a stream into a file, until the test ends or the stream does. The head of the answer is in FILE.head.
stream() { # file, accept, [query], [curl options...]
	local file=$1 accept=$2 query=${3-}
	shift 2
	[ $# = 0 ] || shift
	curl -sN -D "$file.head" -H "Accept: $accept" "$@" "$URL$EVENTS$query" >"$file" 3>&- &
	STREAMS+=($!)
}

# Waits until a file has at least so many bytes.
grown() { # file, size
	for _ in $(seq 300); do
		[ "$(stat -c %s "$1")" -lt "$2" ] || return 0
		sleep 0.1
	done
	fail "$1 has $(stat -c %s "$1") bytes, not $2"
}

# Is a stream of bytes what valori-replay writes of the log?
same_bytes() { # file, [options of valori-replay...]
	valori-replay -q -o "$1.want" "${@:2}" db
	grown "$1" "$(stat -c %s "$1.want")"
	cmp "$1" "$1.want"
}

# The commits of the log so far, in a stream of events or lines; tells how many there are.
same_text() { # file, commits
	for _ in $(seq 300); do
		grep -c . "$1" >/dev/null || true
		[ "$(grep -c '"b64":.*"}$' "$1")" -lt "$2" ] || break
		sleep 0.1
	done
	sed -n 's/^data: //; /^{"commit"/p' "$1" | jq -r .b64 | while read -r one; do base64 -d <<<"$one"; done >"$1.bytes"
	valori-replay -q -o - db | tail -c +4097 | cmp - "$1.bytes"
	sed -n 's/^data: //; /^{"log"/p' "$1" | jq -r .log | base64 -d | cmp - <(valori-replay -q -o - db | head -c 4096)
}

insert() { # n
	local i
	for i in $(seq "$1"); do
		curl -sS -d "{\"values\":[$i,2]}" "$URL/v1/records" >>inserted
	done
}

teardown() {
	[ ${#STREAMS[@]} = 0 ] || kill "${STREAMS[@]}" 2>/dev/null || true
	[ -z "${NODE-}" ] || kill -9 "$NODE" 2>/dev/null || true
}

@test "the three forms hold what valori-replay -o writes, from files and live" {
	rich_store db
	before=$(state db commits)
	node -l db
	stream sse $SSE
	stream lines $LINES
	stream bytes $BYTES
	same_bytes bytes
	same_text sse "$before"
	same_text lines "$before"
	grep -qi '^Content-Type: text/event-stream' sse.head
	grep -qi '^Content-Type: application/x-ndjson' lines.head
	grep -qi '^Content-Type: application/octet-stream' bytes.head
	ask GET /v1/proof/state
	grep -qi "^X-Valori-Log-Id: $(jq -r .log_id answer)" bytes.head
	grep -qi "^X-Valori-Dim: 4" bytes.head
	grep -qi "^X-Valori-Height: $(jq -r .committed_height answer)" bytes.head
	grep -qi "^X-Valori-Base: 0" bytes.head
	grep -qi "^X-Valori-State-Hash: $(jq -r .final_state_hash answer)" bytes.head
	ask POST /v1/records '{"values":[1,2,3,4],"metadata":{"a":"b"}}'
	ask POST /v1/vectors/batch-insert '{"batch":[[1,2,3,4],[5,6,7,8]]}'
	ask POST /v1/soft-delete '{"id":1}'
	same_bytes bytes
	same_text sse $((before + 3))
	same_text lines $((before + 3))
	# Each says where it is, and what the node says of that place.
	ask GET /v1/proof/state
	sed -n 's/^data: //p' sse | tail -n 1 >last
	[ "$(jq -r '"tree:\(.commit + 1):\(.tree) \(.root) \(.height)"' last)" = \
		"$(jq -r '"\(.history) \(.final_state_hash) \(.committed_height)"' answer)" ]
	[ "$(sed -n 's/^id: //p' sse | tr '\n' ' ')" = "$(sed -n 's/^data: {"commit"/{"commit"/p' sse | jq -j '"\(.height) "')" ]
	[ "$(sed -n 's/^data: //p' sse)" = "$(grep . lines)" ]
	[ "$(grep -c '^event: commit$' sse)" = $((before + 3)) ]
	[ "$(ask GET /v1/replication/state | jq -c '[.status,.role,.leader,.followers,.lag_seconds]')" = \
		'["Synced","leader",null,3,0]' ]
}

@test "a stream goes on at every commit, and Last-Event-ID counts more than the query" {
	rich_store db
	node -l db
	stream all $LINES
	same_text all "$(state db commits)"
	heights=$(jq 'select(.commit != null).height' all | tr '\n' ' ')
	for height in 0 $heights; do
		stream "from.$height" $BYTES "?start_offset=$height"
		stream "behind.$height" $BYTES "?start_offset=0" -H "Last-Event-ID: $height"
		same_bytes "from.$height" --from="$height"
		same_bytes "behind.$height" --from="$height"
		last=$height
	done
	# Nothing to say at the end, and then what comes.
	stream lines $LINES "?start_offset=$last"
	ask POST /v1/records '{"values":[1,2,3,4]}'
	grown lines 5600 # the header alone has less
	[ "$(jq 'select(.commit != null).height' lines)" = $((last + 1)) ]
}

@test "a stream of bytes is what the tools read" {
	rich_store db
	node -l db
	curl -sN -m 2 -H "Accept: $BYTES" "$URL$EVENTS" | valori-ingest -q -f log -l copy
	[ "$(state copy history)" = "$(state db history)" ]
	valori-verify -q copy
}

@test "what no stream can begin with is said" {
	store db 20 2 5
	node -l db
	for height in x -1 18446744073709551616 1.5 18446744073709551615; do
		ask GET "$EVENTS?start_offset=$height"
		[ "$(code)" = 400 ]
		[ "$(curl -s -o answer -w '%{http_code}' -H "Last-Event-ID: $height" "$URL$EVENTS")" = 400 ]
	done
	[ "$(ask GET "$EVENTS?start_offset=7" | jq -c '[.code,.before,.after]')" = '["mismatch",5,10]' ]
	[ "$(code)" = 409 ]
	[ "$(ask GET "$EVENTS?start_offset=21" | jq -c '[.code,.height]')" = '["mismatch",20]' ]
	[ "$(code)" = 409 ]
	ask POST "$EVENTS"
	[ "$(code)" = 405 ]
	[ "$(curl -s -I -m 5 -o answer -w '%{http_code}' "$URL$EVENTS")" = 200 ]
	stop_node
	node -d 2
	ask GET "$EVENTS"
	[ "$(code)" = 400 ]
	ask GET "/v1/replication/commit?number=0"
	[ "$(code)" = 400 ]
	stop_node
	VALORI_AUTH_TOKEN=secret node -l db
	ask GET "$EVENTS"
	[ "$(code)" = 401 ]
	ask GET "/v1/replication/commit?number=0"
	[ "$(code)" = 401 ]
	stream bytes $BYTES "" -H "Authorization: Bearer secret"
	same_bytes bytes
}

@test "only so many streams, and a place is free when its client has gone" {
	store db 5 2
	node -l db --max-followers=2
	stream one $SSE
	stream two $BYTES
	same_text one 1
	same_bytes two
	[ "$(curl -s -D head -o answer -w '%{http_code}' "$URL$EVENTS")" = 503 ]
	grep -qi '^Retry-After: ' head
	# The one of bytes has nothing to say: that its client has gone must be noticed all the same.
	kill "${STREAMS[1]}"
	for _ in $(seq 150); do
		[ "$(ask GET /v1/replication/state | jq .followers)" = 2 ] || break
		sleep 0.1
	done
	[ "$(jq .followers answer)" = 1 ]
	stream three $BYTES
	same_bytes three
	stop_node
	node -l db --max-followers=0
	ask GET "$EVENTS"
	[ "$(code)" = 503 ]
}

@test "silence is filled, but not between bytes" {
	store db 5 2
	node -l db
	stream sse $SSE
	stream lines $LINES
	stream bytes $BYTES
	for _ in $(seq 150); do
		if grep -q '^: ping$' sse && grep -q '^$' lines; then break; fi
		sleep 0.1
	done
	grep -q '^: ping$' sse
	grep -q '^$' lines
	same_bytes bytes
	[ "$(grep -c '"commit"' lines)" = 1 ]
	[ "$(grep -c . lines)" = 2 ]
}

@test "many write, files rotate and are trimmed, and no stream has a gap" {
	# shellcheck disable=SC2086
	node -l db -d 2 --segment-size=64K --threads=8 $MANY
	stream bytes.0 $BYTES
	stream sse $SSE
	for client in 1 2 3 4; do
		insert 150 &
		loads[client]=$!
	done
	stream bytes.1 $BYTES
	for _ in 1 2 3 4; do
		perl -e 'print pack("f<*", map { $_ / 8 } 1..8192)' >batch.f32
		curl -sS -H "Content-Type: $BYTES" --data-binary @batch.f32 "$URL/v1/vectors/batch-insert?dim=2" >ids
		[ "$(jq '.ids|length' ids)" = 4096 ]
	done
	wait "${loads[@]}"
	[ "$(find db -name 'events-*.log' | wc -l)" -ge 3 ]
	same_bytes bytes.0
	same_bytes bytes.1
	same_text sse 604
	ask POST /v1/snapshot/save '{}'
	valori-snapshot --trim -l db >trimmed
	insert 20
	base=$(state db base_height)
	[ "$base" -gt 0 ]
	[ "$(ask GET "$EVENTS?start_offset=0" | jq -c '[.code,.base]')" = "[\"unknowable\",$base]" ]
	[ "$(code)" = 410 ]
	stream bytes.2 $BYTES "?start_offset=$base"
	same_bytes bytes.2
	# Those that had begun before have all of it, without a break.
	for _ in $(seq 100); do
		[ "$(state - height <bytes.0)" != "$(ask GET /v1/proof/state | jq .committed_height)" ] || break
		sleep 0.1
	done
	valori-ingest -q -f log -l copy <bytes.0
	[ "$(root copy)" = "$(jq -r .final_state_hash answer)" ]
	cmp bytes.0 bytes.1
}

@test "streams that begin while many write have each commit once" {
	command -v perl >/dev/null || skip "perl is not installed"
	# shellcheck disable=SC2086
	node -l db -d 2 $MANY
	for client in 1 2 3 4; do
		perl -MIO::Socket::INET -e '
			my $socket = IO::Socket::INET->new(shift) or die;
			for my $i (1 .. 1500) {
				my $body = "{\"values\":[$i,1]}";
				syswrite $socket, "POST /v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
					. length($body) . "\r\n\r\n$body";
				my $answer = "";
				sysread($socket, $answer, 4096, length $answer) or die until $answer =~ /\}\}$/;
			}' "${URL#http://}" 3>&- &
		loads[client]=$!
	done
	for number in $(seq 40); do
		stream "at.$number" $BYTES
	done
	wait "${loads[@]}"
	[ "$(state db commits)" = 6000 ]
	for number in $(seq 40); do
		same_bytes "at.$number"
	done
}

@test "a client that does not read stops nobody, costs little, and gets all of it in the end" {
	command -v perl >/dev/null || skip "perl is not installed"
	# shellcheck disable=SC2086
	node -l db -d 64 $MANY
	perl -e 'print pack("f<*", map { $_ % 1000 / 8 } 1..64*8192)' >batch.f32
	curl -sN -H "Accept: $BYTES" "$URL$EVENTS" 3>&- | (until [ -e read ]; do sleep 0.1; done; cat) >slow 3>&- &
	STREAMS+=($!)
	stream fast $BYTES
	for _ in $(seq 24); do
		curl -sS -m 20 -H "Content-Type: $BYTES" --data-binary @batch.f32 "$URL/v1/vectors/batch-insert?dim=64" >ids
		[ "$(jq '.ids|length' ids)" = 8192 ]
	done
	same_bytes fast
	ask POST /v1/records "{\"values\":[$(seq -s, 64)]}"
	[ "$(code)" = 200 ]
	sleep 12 # longer than any other client is waited for
	[ "$(ask GET /v1/replication/state | jq .followers)" = 2 ]
	touch read
	same_bytes slow
	same_bytes fast
}

@test "a stream whose next commits were trimmed away says so" {
	command -v perl >/dev/null || skip "perl is not installed"
	# shellcheck disable=SC2086
	node -l db -d 64 --segment-size=1M $MANY
	perl -e 'print pack("f<*", map { $_ % 1000 / 8 } 1..64*8192)' >batch.f32
	curl -sN -H "Accept: $LINES" "$URL$EVENTS" 3>&- | (until [ -e trimmed ]; do sleep 0.1; done; cat) >slow 3>&- &
	STREAMS+=($!)
	for _ in $(seq 16); do
		curl -sS -H "Content-Type: $BYTES" --data-binary @batch.f32 "$URL/v1/vectors/batch-insert?dim=64" >ids
		[ "$(jq '.ids|length' ids)" = 8192 ]
	done
	ask POST /v1/snapshot/save '{}' >saved
	valori-snapshot -q --trim -l db >said
	touch trimmed
	wait "${STREAMS[@]}"
	tail -n 1 slow | grep -q '^{"error":".* trimmed.*","code":"unknowable"}$'
	# What came before it is whole.
	[ "$(sed '1d;$d' slow | jq -s 'map(.commit) == [range(length)]')" = true ]
	[ "$(sed '1d;$d' slow | grep -c .)" -lt 16 ]
}

@test "streams end at once when the node does, and with a word when another store takes its place" {
	node -l db -d 2
	insert 3
	stream sse $SSE
	stream lines $LINES
	stream bytes $BYTES
	same_text sse 3
	curl -s -o snap "$URL/v1/snapshot/download"
	insert 1
	[ "$(curl -s -o answer -w '%{http_code}' --data-binary @snap "$URL/v1/snapshot/upload")" = 200 ]
	wait "${STREAMS[@]}"
	grep -A1 '^event: error$' sse | grep -q '^data: {"error":".*","code":"other_log"}'
	tail -n 1 lines | grep -q '"code":"other_log"}'
	[ "$(grep -c '"commit"' lines)" = 4 ]
	STREAMS=()
	ask GET "$EVENTS?start_offset=0"
	[ "$(code)" = 410 ]
	stream again $SSE "?start_offset=3"
	insert 1
	grown again 300
	began=$(date +%s%N)
	stop_node
	[ $((($(date +%s%N) - began) / 1000000)) -lt 3000 ]
	wait "${STREAMS[@]}"
}

@test "commits that wait for their sync reach followers, too" {
	node -l db -d 2 --sync=none
	stream bytes $BYTES
	insert 5
	for _ in $(seq 100); do
		[ "$(stat -c %s bytes)" -lt $((4096 + 5 * 150)) ] || break
		sleep 0.1
	done
	stop_node
	same_bytes bytes
}

@test "one commit is told by its number and by its height" {
	rich_store db
	node -l db
	stream lines $LINES
	commits=$(state db commits)
	same_text lines "$commits"
	before=0
	while read -r line; do
		ask GET "/v1/replication/commit?number=$(jq .commit <<<"$line")" >one
		[ "$(jq -c '[.number,.height,.state_root,.tree]' one)" = \
			"$(jq -c '[.commit,.height,.root,"tree:\(.commit + 1):\(.tree)"]' <<<"$line")" ]
		[ "$(jq .first_event one)" = "$before" ]
		for height in $((before + 1)) "$(jq .height one)"; do
			[ "$(ask GET "/v1/replication/commit?height=$height")" = "$(cat one)" ]
		done
		before=$(jq .height one)
	done < <(grep '"commit"' lines)
	for query in "number=$commits" "height=$((before + 1))" "number=18446744073709551614"; do
		ask GET "/v1/replication/commit?$query"
		[ "$(code)" = 404 ]
	done
	for query in "" "?number=1&height=1" "?height=0" "?number=x" "?height=-1" "?number=18446744073709551616"; do
		ask GET "/v1/replication/commit$query"
		[ "$(code)" = 400 ]
	done
	[ "$(jq -r '.error' answer)" != null ]
}

@test "a download is taken up where it broke off, or begins anew when that snapshot is gone" {
	node -l db -d 2
	insert 20
	curl -s -D head -o snap "$URL/v1/snapshot/download"
	tag=$(sed -n 's/^ETag: \(.*\)\r$/\1/Ip' head)
	head -c 5000 snap >part
	insert 3
	# The store went on, and the snapshot that was begun is still to be had.
	[ "$(curl -s -o rest -w '%{http_code}' -H "If-Range: $tag" -r 5000- "$URL/v1/snapshot/download")" = 206 ]
	cat part rest | cmp - snap
	[ "$(curl -s -o rest -w '%{http_code}' -H "If-Match: $tag" -r 5000- "$URL/v1/snapshot/download")" = 206 ]
	cat part rest | cmp - snap
	curl -s -D head -o other "$URL/v1/snapshot/download"
	[ "$(sed -n 's/^ETag: \(.*\)\r$/\1/Ip' head)" != "$tag" ]
	[ "$(curl -s -o again -w '%{http_code}' -H 'If-Range: "other"' -r 5000- "$URL/v1/snapshot/download")" = 200 ]
	cmp again other
	[ "$(curl -s -o answer -w '%{http_code}' -H 'If-Match: "other"' -r 5000- "$URL/v1/snapshot/download")" = 412 ]
	# A node that starts again makes the same file of the same state.
	kill -9 "$NODE"
	wait "$NODE" || true
	node -l db
	[ "$(curl -s -o rest -w '%{http_code}' -H "If-Range: $tag" -r 5000- "$URL/v1/snapshot/download")" = 200 ]
	valori-verify -q snap
	stop_node
	[ -z "$(find . -name '*.transfer-*' -o -name '.transfer-*')" ]
}
