#!/usr/bin/env bats
# valori-serve: starting, stopping, the routes about records and search.

setup_file() {
	command -v curl >/dev/null || skip "curl is not installed"
	[ -x "${BUILD:-$BATS_TEST_DIRNAME/../../build}/valori-serve" ] || skip "valori-serve is off in this build"
}

load helper
load serve

@test "what was answered is there after kill -9, with the same root" {
	node -l db -d 4
	[ "$(ask POST /v1/records '{"values":[1,2,3,4],"tag":7,"metadata":{"a":1}}' | jq .id)" = 0 ]
	[ "$(ask POST /records '{"values":[1,2,3,5]}' | jq .id)" = 1 ]
	root=$(jq -r .receipt.new_root answer)
	kill -9 "$NODE"
	wait "$NODE" || true
	[ "$(root db)" = "$root" ]
	node -l db
	[ "$(ask GET /v1/records/0 | jq -c '[.id,.vector,.metadata,.tag]')" = '[0,[1,2,3,4],{"a":1},7]' ]
	stop_node
}

@test "a search gives exact distances, ties by id, and keeps to its tag" {
	node -d 2
	ask POST /v1/vectors/batch-insert '{"batch":[[0,0],[1,0],[0,1],[0.5,0]],"tags":[1,2,2,18446744073709551615]}'
	[ "$(ask POST /search '{"query":[0,0],"k":4}' | jq -c '[.results[]|[.id,.score]]')" = '[[0,0],[3,0.25],[1,1],[2,1]]' ]
	[ "$(jq -r '.results[1].raw_score' answer)" = 1073741824 ]
	[ "$(ask POST /search '{"query":[0,0],"k":4,"filter_tag":2}' | jq -c '[.results[].id]')" = '[1,2]' ]
	[ "$(ask POST /search '{"query":[0,0],"filter_tag":"18446744073709551615"}' | jq -c '[.results[].id]')" = '[3]' ]
}

@test "a request id that comes again has no second effect" {
	node -l db -d 2
	body='{"values":[1,2],"request_id":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,255]}'
	ask POST /v1/records "$body"
	ask POST /v1/records "$body"
	[ "$(jq .id answer)" = 0 ]
	kill -9 "$NODE"
	wait "$NODE" || true
	node -l db
	[ "$(ask POST /v1/records "$body" | jq .id)" = 0 ]
	ask POST /v1/records '{"values":[1,3],"request_id":"000102030405060708090a0b0c0d0eff"}'
	[ "$(code)" = 409 ]
}

@test "a memory that is sent twice is one memory" {
	node -l db -d 2
	body='{"vector":[1,2],"request_id":"000102030405060708090a0b0c0d0e0f"}'
	first=$(ask POST /v1/memory/upsert "$body")
	[ "$(ask POST /v1/memory/upsert "$body")" = "$first" ]
	[ "$(ask GET /v1/proof/state | jq .commits)" = 1 ]
	kill -9 "$NODE"
	wait "$NODE" || true
	node -l db
	[ "$(ask POST /v1/memory/upsert "$body")" = "$first" ]
	ask POST /v1/memory/upsert "${body/1,2/1,3}"
	[ "$(code)" = 409 ]
	[ "$(ask GET /health | jq -c '[.records.live,.nodes.live,.edges.live]')" = '[1,2,1]' ]
}

@test "the receipt of an insert can be computed again" {
	command -v python3 >/dev/null || skip "python3 is not installed"
	node -l db -d 5
	ask POST /v1/records '{"values":[0,0,0,0,1]}'
	root=$(jq -r .receipt.new_root answer)
	ask POST /v1/records '{"values":[1,-2,3.5,4,0.1],"tag":7}'
	[ "$(jq -r .receipt.old_root answer)" = "$root" ]
	ask GET /v1/proof/state >state
	ask POST /v1/records '{"values":[1,-2,3.5,4,0.1]}'
	[ "$(jq -r .receipt.old_root answer)" = "$(jq -r .final_state_hash state)" ]
	PYTHONPATH=$BATS_TEST_DIRNAME/../vectors python3 - <<-'END'
		import json, struct
		from reference import blake3
		receipt = json.load(open("answer"))["receipt"]
		values = [65536, -131072, 229376, 262144, 6554]
		level = [blake3(b"VALORI_LEAF" + struct.pack("<Ii", i, v)) for i, v in enumerate(values)]
		def join(i): return blake3(b"VALORI_NODE" + level[i] + level[min(i + 1, len(level) - 1)])
		while len(level) > 1: level = [join(i) for i in range(0, len(level), 2)]
		assert level[0].hex() == receipt["proof"], "proof"
		text = (b"valori-insert-receipt-v1" + struct.pack("<I", receipt["record_id"]) +
			bytes.fromhex(receipt["old_root"] + receipt["new_root"] + receipt["proof"]) +
			struct.pack("<QQ", receipt["sequence"], receipt["timestamp"]))
		assert blake3(text).hex() == receipt["state_hash"], "state_hash"
	END
}

@test "a batch comes as bytes, or as numpy writes it, and gives the state that JSON gives" {
	node -d 2
	ask POST /v1/vectors/batch-insert '{"batch":[[1,2],[0.5,-1],[0,100]],"tags":[7,7,7]}'
	root=$(ask GET /v1/proof/state | jq -r .final_state_hash)
	stop_node
	perl -e 'print pack("f<*", 1, 2, 0.5, -1, 0, 100)' >raw
	perl -e '$h = "{\x27descr\x27: \x27<f4\x27, \x27fortran_order\x27: False, \x27shape\x27: (3, 2), }";
		$h .= " " x (117 - length $h) . "\n"; print "\x93NUMPY\x01\x00", pack("v", length $h), $h' |
		cat - raw >npy
	for body in raw npy; do
		node -d 2
		[ "$(curl -s -H 'Content-Type: application/octet-stream' --data-binary "@$body" \
			"$URL/v1/vectors/batch-insert?dim=2&tag=7" | jq -c .ids)" = '[0,1,2]' ]
		[ "$(ask GET /v1/proof/state | jq -r .final_state_hash)" = "$root" ]
		head -c -3 "$body" >cut
		[ "$(curl -s -o answer -w '%{http_code}' -H 'Content-Type: application/octet-stream' \
			--data-binary @cut "$URL/v1/vectors/batch-insert?dim=2")" = 400 ]
		stop_node
	done
}

@test "a page of somebody else may not ask, nor a name that somebody else points here" {
	node -d 2
	ask_as() { curl -s -o answer -w '%{http_code}' -H "$1" "$URL/health"; }
	[ "$(ask_as 'Origin: http://example.com')" = 403 ]
	[ "$(ask_as 'Origin: null')" = 403 ]
	[ "$(ask_as "Origin: $URL")" = 200 ]
	[ "$(ask_as 'Host: example.com')" = 403 ]
	[ "$(ask_as 'Host: 127.0.0.1.example.com')" = 403 ]
	[ "$(ask_as 'Host: localhost:3000')" = 200 ]
}

@test "SIGTERM does not wait for who asks nothing" {
	node -d 2
	port=${URL##*:}
	exec 8<>"/dev/tcp/127.0.0.1/$port" 9<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n' >&8
	read -r line <&8
	[[ $line == *200* ]]
	printf 'GET /health HTTP/1.1\r\nHost: ' >&9
	began=${EPOCHREALTIME/./}
	stop_node
	took=$((${EPOCHREALTIME/./} - began))
	exec 8>&- 9>&-
	[ "$took" -lt 1500000 ]
}

@test "what is wrong with a body is said with its place" {
	node -d 2
	ask POST /v1/records '{"values":[1,"x"]}'
	[ "$(code)" = 400 ]
	[[ $(jq -r .error answer) == *"values: component 1"* ]]
	ask POST /v1/records '{"values":[1,2,3]}'
	[ "$(code)" = 400 ]
	ask POST /v1/records '{"values":[1,2],"values":[1,2]}'
	[[ $(jq -r .error answer) == *"twice"* ]]
	ask POST /v1/search '{"query":[1,2],"k":0}'
	[ "$(code)" = 400 ]
	ask GET /v1/records/77
	[ "$(code)" = 404 ]
	ask GET /nowhere
	[ "$(code)" = 404 ]
	ask GET /v1/search
	[ "$(code)" = 405 ]
}

@test "a token is asked for, but for /health and /metrics" {
	VALORI_AUTH_TOKEN=secret node -d 2
	ask GET /health
	[ "$(code)" = 200 ]
	ask POST /v1/search '{"query":[1,2]}'
	[ "$(code)" = 401 ]
	[ "$(curl -s -o answer -w '%{http_code}' -H 'Authorization: Bearer secret' "$URL/v1/version")" = 200 ]
	[ "$(curl -s -o answer -w '%{http_code}' -H 'Authorization: Bearer secrets' "$URL/v1/version")" = 401 ]
}

@test "an address for other machines needs a token, and TLS a proxy" {
	run valori-serve -b 0.0.0.0:0
	[ "$status" = 2 ]
	[[ $output == *VALORI_AUTH_TOKEN* ]]
	run valori-serve -b 127.0.0.1:443s
	[ "$status" = 4 ]
	[[ $output == *proxy* ]]
	VALORI_MAX_RECORDS=many run valori-serve
	[ "$status" = 2 ]
}

@test "a full store answers 507, and /health 503" {
	node -d 2 --records-max=2
	ask POST /v1/vectors/batch-insert '{"batch":[[0,0],[1,0]]}'
	ask POST /v1/records '{"values":[1,2]}'
	[ "$(code)" = 507 ]
	ask GET /health
	[ "$(code)" = 503 ]
	[ "$(jq -r .status answer)" = full ]
}

@test "nodes and edges: made, read, listed, walked, deleted with what hangs on them" {
	node -d 2
	ask POST /v1/records '{"values":[1,2]}'
	[ "$(ask POST /v1/graph/node '{"kind":2}' | jq .node_id)" = 0 ]
	[ "$(ask POST /graph/node '{"kind":3,"record_id":0}' | jq .node_id)" = 1 ]
	ask POST /v1/graph/node '{"kind":3,"record_id":9}'
	[ "$(code)" = 404 ]
	[ "$(ask POST /v1/graph/edge '{"from":0,"to":1,"kind":1}' | jq .edge_id)" = 0 ]
	[ "$(ask GET /v1/graph/node/1 | jq -c .)" = '{"kind":3,"record_id":0,"namespace_id":0}' ]
	[ "$(ask GET '/v1/graph/nodes?kind=3' | jq -c '[.count,.nodes[0].node_id]')" = '[1,1]' ]
	[ "$(ask GET /v1/graph/edges/0 | jq -c .edges)" = '[{"edge_id":0,"to_node":1,"kind":1}]' ]
	[ "$(ask GET '/v1/graph/subgraph?root=0&depth=2' | jq -c '[[.nodes[].id],[.edges[].id]]')" = '[[0,1],[0]]' ]
	[ "$(ask POST /v1/graphrag '{"query_vector":[1,2],"k":1}' | jq -c '[.hits[0].node_id,.seed_nodes]')" = '[1,[1]]' ]
	[ "$(ask DELETE /v1/graph/node/1 | jq .success)" = true ]
	[ "$(ask GET /v1/graph/edges/0 | jq -c .edges)" = '[]' ]
	ask GET /v1/graph/node/1
	[ "$(code)" = 404 ]
}

@test "a memory is one commit: record, chunk, document; none of it when there is no room" {
	node -l db -d 2 --nodes-max=3
	[ "$(ask POST /v1/memory/upsert_vector '{"vector":[1,2],"metadata":{"t":"x"}}' | jq -c .)" = \
		'{"memory_id":"rec:0","record_id":0,"document_node_id":1,"chunk_node_id":0}' ] ||
		[ "$(jq -c '[.memory_id,.record_id]' answer)" = '["rec:0",0]' ]
	[ "$(ask GET /v1/proof/state | jq .commits)" = 1 ]
	document=$(ask POST /v1/memory/upsert '{"vector":[2,2],"attach_to_document_node":1}' | jq .document_node_id)
	[ "$document" = 1 ]
	ask POST /v1/memory/upsert '{"vector":[2,3]}'
	[ "$(code)" = 507 ]
	[ "$(ask GET /health | jq -c '[.records.live,.nodes.live,.edges.live]')" = '[2,3,2]' ]
	[ "$(ask POST /v1/memory/search '{"query_vector":[1,2],"k":1}' | jq -c '.results[0].metadata')" = '{"t":"x"}' ]
	ask POST /v1/memory/meta/set '{"target_id":"rec:0","metadata":[1]}'
	[ "$(ask GET '/v1/memory/meta/get?target_id=rec:0' | jq -c .metadata)" = '[1]' ]
	ask POST /v1/memory/meta/set '{"key":"title","value":"a \u00e9"}'
	[ "$(ask GET '/v1/memory/meta/get?key=title' | jq -r .metadata)" = 'a é' ]
	[ "$(ask GET '/v1/memory/meta/get?key=none' | jq -c '[.target_id,.metadata]')" = '["none",null]' ]
}

@test "what supersedes and what contradicts" {
	node -d 2
	ask POST /v1/vectors/batch-insert '{"batch":[[1,0],[0,1],[2,0.1]]}'
	[ "$(ask POST /v1/memory/contradict '{"record_a":0,"record_b":2}' | jq -c '[.contradicts,.edge_id]')" = '[true,0]' ]
	[ "$(jq .similarity answer)" = 0.998752 ]
	[ "$(ask POST /v1/memory/contradict '{"record_a":0,"record_b":1}' | jq -c '[.contradicts,.similarity]')" = '[false,0]' ]
	[ "$(ask POST /v1/memory/consolidate '{"old_record_id":0,"new_vector":[1,1]}' | jq .new_record_id)" = 3 ]
	[ "$(ask POST /v1/search '{"query":[1,0],"k":9}' | jq -c '[.results[].id]')" = '[3,2,1]' ]
}

@test "what supersedes or contradicts is said once, however often it is sent" {
	node -l db -d 2
	ask POST /v1/vectors/batch-insert '{"batch":[[1,0],[0,1],[2,0.1]]}'
	against='{"record_a":0,"record_b":2,"request_id":"000102030405060708090a0b0c0d0e0f"}'
	instead='{"old_record_id":1,"new_vector":[1,1],"request_id":"100102030405060708090a0b0c0d0e0f"}'
	first=$(ask POST /v1/memory/contradict "$against" | jq -c '[.edge_id]')
	second=$(ask POST /v1/memory/consolidate "$instead" | jq -c '[.new_record_id,.supersedes_edge_id]')
	[ "$first $second" = '[0] [3,1]' ]
	height=$(ask GET /health | jq .event_log_height)
	for _ in 1 2; do
		[ "$(ask POST /v1/memory/contradict "$against" | jq -c '[.edge_id]')" = "$first" ]
		[ "$(ask POST /v1/memory/consolidate "$instead" | jq -c '[.new_record_id,.supersedes_edge_id]')" = "$second" ]
		[ "$(ask GET /health | jq .event_log_height)" = "$height" ]
		stop_node
		node -l db -d 2
	done
	ask POST /v1/memory/consolidate "${instead/\[1,1\]/[1,2]}"
	[ "$(code)" = 409 ]
	ask POST /v1/memory/contradict "${against/2,/3,\"threshold\":0.5,}"
	[ "$(code)" = 409 ]
	# What is hidden stays so for a request that was never there before.
	ask POST /v1/memory/consolidate "${instead/100102/110102}"
	[ "$(code)" = 404 ]
	[ "$(ask GET /health | jq .event_log_height)" = "$height" ]
}

@test "collections: made, listed, kept apart, dropped" {
	node -d 2
	[ "$(ask POST /v1/namespaces '{"name":"notes"}' | jq -c '[.id,.created]')" = '[1,true]' ]
	[ "$(ask POST /v1/namespaces '{"name":"notes"}' | jq -c '[.id,.created]')" = '[1,false]' ]
	ask POST /v1/namespaces '{"name":"no/tes"}'
	[ "$(code)" = 400 ]
	ask POST /v1/records '{"values":[1,2],"collection":"notes"}'
	ask POST /v1/records '{"values":[1,2],"collection":"none"}'
	[ "$(code)" = 400 ]
	[ "$(ask POST /v1/search '{"query":[1,2]}' | jq -c .results)" = '[]' ]
	[ "$(ask POST /v1/search '{"query":[1,2],"collection":"notes"}' | jq '.results|length')" = 1 ]
	[ "$(ask GET /v1/namespaces | jq -c '[.collections[].name]')" = '["default","notes"]' ]
	ask DELETE /v1/namespaces/notes
	[ "$(code)" = 204 ]
	ask DELETE /v1/namespaces/default
	[ "$(code)" = 400 ]
}

@test "a snapshot goes out, comes in, and survives a restart" {
	node -l db -d 2
	ask POST /v1/vectors/batch-insert '{"batch":[[1,0],[0,1]]}'
	ask GET /v1/proof/state
	root=$(jq -r .final_state_hash answer)
	curl -s -D head -o snap "$URL/v1/snapshot/download"
	grep -qi "^X-Valori-State-Hash: $root" head
	curl -s -r 100-199 -o part "$URL/v1/snapshot/download"
	cmp part <(tail -c +101 snap | head -c 100)
	ask POST /v1/records '{"values":[5,5]}'
	[ "$(curl -s -o answer -w '%{http_code}' --data-binary @snap "$URL/v1/snapshot/upload")" = 200 ]
	[ "$(ask GET /v1/proof/state | jq -r .final_state_hash)" = "$root" ]
	kill -9 "$NODE"
	wait "$NODE" || true
	node -l db
	[ "$(ask GET /v1/proof/state | jq -r .final_state_hash)" = "$root" ]
	ask POST /v1/records '{"values":[5,5]}'
	[ "$(ask POST /v1/snapshot/save '{}' | jq -r .path)" = snapshot.val ]
	ask POST /v1/snapshot/save '{"path":"../x.val"}'
	[ "$(code)" = 400 ]
	[ "$(ask POST /v1/snapshot/restore '{"path":"snapshot.val"}' | jq .success)" = true ]
	head -c 1000 snap >half
	[ "$(curl -s -o answer -w '%{http_code}' --data-binary @half "$URL/v1/snapshot/upload")" = 400 ]
	[ "$(ask GET /health | jq .records.live)" = 3 ]
	[ -z "$(find . -name '*.transfer-*' -o -name '.transfer-*')" ]
	stop_node
	valori-verify -q db
}

@test "the timeline tells every event with its time" {
	node -l db -d 2
	ask POST /v1/memory/upsert '{"vector":[1,2]}'
	[ "$(ask GET /v1/timeline | jq -c '[.total,[.events[].event_type]]')" = \
		'[4,["InsertRecord","CreateNode","CreateNode","CreateEdge"]]' ]
	[ "$(ask GET '/v1/timeline?from=2999-01-01T00:00:00Z' | jq .total)" = 0 ]
	ask GET '/v1/timeline?from=yesterday'
	[ "$(code)" = 400 ]
}

@test "every path of /openapi.json is answered, and the figures are well-formed" {
	node -l db -d 2
	for path in $(ask GET /openapi.json | jq -r '.paths|to_entries[]|select(.value.get)|.key'); do
		case $path in
		*/events) ask GET "$path?start_offset=1" >/dev/null ;; # from 0 it never ends
		*) ask GET "${path//\{*\}/0}" >/dev/null ;;
		esac
		[ "$(code)" != 405 ] && [ "$(code)" != 500 ] || return 1
		[[ $path == *'{'* ]] || [[ $(cat answer) != *"no such thing"* ]]
	done
	ask GET /metrics >metrics
	run grep -vE '^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.]+)$' metrics
	[ "$status" = 1 ]
	[ "$(grep -c '^# TYPE' metrics)" = "$(grep '^# TYPE' metrics | sort -u | wc -l)" ]
}

@test "what the node cannot do is refused with a sentence, and older names mean what they meant" {
	for setting in VALORI_FOLLOWER_OF=http://a VALORI_REPLICATION_MODE=follower VALORI_LEADER_URL=http://a \
		VALORI_CLUSTER_MEMBERS=a VALORI_QUANT=product VALORI_FORMAT=f32 VALORI_HTTP_PORT=70000 VALORI_WAL_PATH=w; do
		run env "$setting" valori-serve -b 127.0.0.1:0
		[ "$status" = 2 ]
		[[ $output == *"${setting%%=*}"* ]]
	done
	VALORI_AUTH_TOKEN=x run valori-serve -b 127.0.0.1:0 --cors-origin='*'
	[ "$status" = 2 ]
	VALORI_HTTP_PORT=0 RUST_LOG=valori_node=info,tower_http=debug valori-serve >node.out 2>node.err 3>&- &
	NODE=$!
	until grep -q '^listening on 127.0.0.1:' node.out; do sleep 0.1; kill -0 "$NODE"; done
	URL=http://$(sed -n 's/^listening on //p' node.out)
	ask GET /health
	stop_node
	grep -q 'request: 127.0.0.1 GET /health 200' node.err
}

@test "a page whose origin is named may ask" {
	node -d 2 --cors-origin=https://example.com
	[ "$(curl -s -D head -o answer -w '%{http_code}' -H 'Origin: https://example.com' "$URL/health")" = 200 ]
	grep -qi '^Access-Control-Allow-Origin: https://example.com' head
	[ "$(curl -s -D head -o answer -w '%{http_code}' -X OPTIONS -H 'Origin: https://example.com' \
		-H 'Access-Control-Request-Method: POST' "$URL/v1/search")" = 204 ]
	grep -qi '^Access-Control-Allow-Methods: .*POST' head
	[ "$(curl -s -o answer -w '%{http_code}' -H 'Origin: https://example.org' "$URL/health")" = 403 ]
}

@test "the supervisor hears that the node is ready, well and stopping" {
	command -v perl >/dev/null || skip "perl is not installed"
	perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "notify") or die;
		$SIG{ALRM} = sub { exit 1 }; alarm 20; $| = 1;
		while ($s->recv($m, 100) || 1) { print "$m\n"; exit if $m =~ /STOPPING/ }' >told 3>&- &
	until [ -S notify ]; do sleep 0.1; done
	NOTIFY_SOCKET=$PWD/notify WATCHDOG_USEC=200000 node -d 2
	sleep 0.6
	stop_node
	wait %1
	[ "$(sed -n 1p told)" = READY=1 ]
	[ "$(grep -c WATCHDOG=1 told)" -ge 2 ]
	[ "$(tail -n 1 told)" = STOPPING=1 ]
}

@test "a log without its acknowledged end is served up to there, and only read" {
	node -l db -d 2
	for i in 1 2 3; do ask POST /v1/records "{\"values\":[$i,0]}"; done
	kill -9 "$NODE"
	wait "$NODE" || true
	truncate -s -8 db/events.log
	cp -r db before
	node -l db
	ask GET /health
	[ "$(jq -c '[.status,.records.live]' answer)" = '["degraded",2]' ]
	[[ $(jq -r .problem answer) == *acknowledged* ]]
	[ "$(ask POST /v1/search '{"query":[0,0]}' | jq -c '[.results[].id]')" = '[0,1]' ]
	ask POST /v1/records '{"values":[1,2]}'
	[ "$(code)" = 503 ]
	stop_node
	diff -r -x events.lock db before
}

@test "with a damaged snapshot and no log the node is up, empty, and leaves the file alone" {
	node -d 2 -s s.val
	ask POST /v1/records '{"values":[1,2]}'
	stop_node
	[ -s s.val ]
	head -c 5000 s.val >half
	cp half s.val
	node -d 2 -s s.val
	[ "$(ask GET /health | jq -c '[.status,.records.live]')" = '["degraded",0]' ]
	ask POST /v1/records '{"values":[1,2]}'
	[ "$(code)" = 503 ]
	stop_node
	cmp s.val half
}

@test "more records than allowed are served; limits hold over restarts" {
	node -l db -d 2 --records-max=5
	ask POST /v1/vectors/batch-insert '{"batch":[[0,0],[1,0],[2,0],[3,0]]}'
	stop_node
	node -l db --records-max=2
	[ "$(ask GET /health | jq -r .status)" = full ]
	ask POST /v1/records '{"values":[1,2]}'
	[ "$(code)" = 507 ]
	[ "$(ask POST /v1/search '{"query":[0,0]}' | jq '.results|length')" = 4 ]
}

@test "after a failed write reads go on, and writes say what to do" {
	grep -q '^SANITIZED = no' "$BUILD/config.mak" || skip "a sanitizer wants to be loaded first itself"
	command -v prlimit >/dev/null || skip "prlimit is not installed"
	node -l db -d 2
	ask POST /v1/records '{"values":[1,2]}'
	prlimit --pid "$NODE" --fsize=4096
	ask POST /v1/records '{"values":[1,3]}'
	[ "$(code)" = 500 ] || [ "$(code)" = 503 ]
	ask GET /health
	[ "$(jq -r .status answer)" = degraded ]
	[ "$(ask POST /v1/search '{"query":[0,0]}' | jq '.results|length')" = 1 ]
}

@test "the index is told, and changed" {
	node -l db -d 2
	[ "$(ask GET /v1/index/config | jq -r .index_type)" = auto ]
	[ "$(ask POST /v1/index/rebuild '{"index":"hnsw"}' | jq -c '[.ok,.index]')" = '[true,"hnsw"]' ]
	[ "$(ask GET /health | jq -r .index)" = Hnsw ]
	[ "$(ask POST /v1/index/rebuild '{"index":"ivf"}' | jq -c '[.ok,.index]')" = '[true,"ivf"]' ]
	[ "$(ask GET /health | jq -r .index)" = Ivf ]
	[ "$(ask POST /v1/index/rebuild '{"index":"hnsw"}' | jq -c '[.ok,.index]')" = '[true,"hnsw"]' ]
	ask POST /v1/index/rebuild '{"index":"bq"}'
	[ "$(code)" = 400 ]
	stop_node
	node -l db
	[ "$(ask GET /v1/index/config | jq -r .index_type)" = hnsw ]
	stop_node
	node -l db --index=brute
	[ "$(ask GET /health | jq -r .index)" = BruteForce ]
	ask POST /v1/index/rebuild '{"index":"hnsw"}'
	[ "$(code)" = 409 ]
}

@test "a search of the past gives what it gave then" {
	node -l db -d 2
	ask POST /v1/records '{"values":[0,0]}'
	ask GET /v1/proof/state
	root=$(jq -r .final_state_hash answer)
	sleep 0.1
	then=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
	sleep 0.1
	ask POST /v1/vectors/batch-insert '{"batch":[[1,0],[2,0]]}'
	ask POST /v1/soft-delete '{"id":0}'
	[ "$(ask POST /v1/search '{"query":[0,0]}' | jq -c '[[.results[].id],.as_of_state_hash]')" = '[[1,2],null]' ]
	for i in 1 2; do
		[ "$(ask POST /v1/search "{\"query\":[0,0],\"as_of\":\"$then\"}" | jq -c '[.results[].id]')" = '[0]' ]
		[ "$(jq -r .as_of_state_hash answer)" = "$root" ]
		[ "$(jq .as_of_log_index answer)" = 0 ]
	done
	[ "$(ask POST /v1/search '{"query":[0,0],"as_of_log_index":2}' | jq -c '[.results[].id]')" = '[0,1,2]' ]
	[ "$(ask POST /v1/memory/search '{"query_vector":[0,0],"as_of_log_index":0}' | jq -c '[.results[].record_id]')" = '[0]' ]
	ask POST /v1/search '{"query":[0,0],"as_of_log_index":99}'
	[ "$(code)" = 404 ]
	ask POST /v1/search '{"query":[0,0],"as_of":"then"}'
	[ "$(code)" = 400 ]
	now='"as_of":"2999-01-01T00:00:00Z"'
	[ "$(ask POST /v1/search "{\"query\":[0,0],$now}" | jq -c '[.results[].id]')" = '[1,2]' ]
	ask POST /v1/records '{"values":[3,0]}'
	[ "$(ask POST /v1/search "{\"query\":[0,0],$now}" | jq -c '[.results[].id]')" = '[1,2,3]' ]
}

@test "a filter by metadata finds the k nearest that it lets pass" {
	node -d 1 --records-max=500
	jq -nc '{batch:[range(200)|[.]],metadata:[range(200)|{n:.,even:(.%2==0),s:"é\(.%50)"}]}' >body
	ask POST /v1/vectors/batch-insert @body
	search() { ask POST /v1/search "{\"query\":[0],\"k\":3,\"metadata_filter\":$1}" | jq -c '[.results[].id]'; }
	[ "$(search '{"even":false}')" = '[1,3,5]' ]
	[ "$(search '{"s":"\u00e949"}')" = '[49,99,149]' ]
	[ "$(search '{"s":"é49","even":true}')" = '[]' ]
	[ "$(search '{"n":199}')" = '[199]' ]
	[ "$(search null)" = '[0,1,2]' ]
	ask POST /v1/search '{"query":[0],"metadata_filter":[1]}'
	[ "$(code)" = 400 ]
	[ "$(ask POST /v1/search '{"query":[0],"k":2,"exact":true,"ef":10}' | jq -c '[.results[].id]')" = '[0,1]' ]
}

@test "the dashboard and the alerts of contrib/ use figures that there are" {
	node -l db -d 2
	ask GET /metrics >metrics
	cd "$BATS_TEST_DIRNAME/../.." || return
	jq -e '.panels|length >= 8' contrib/grafana-dashboard.json
	count=0
	for name in $(cat contrib/grafana-dashboard.json contrib/prometheus-rules.yml |
		grep -oE 'valori_[a-z_]*[a-z]' | grep -vxE 'valori_' | sort -u); do
		grep -qE "^$name[ {]" "$BATS_TEST_TMPDIR/metrics" || fail "$name"
		count=$((count + 1))
	done
	[ "$count" -ge 15 ]
}

@test "the node of the README works as written" {
	[ "$(grep -c 'localhost:3000' "$BATS_TEST_DIRNAME/../../README.md")" = 2 ]
	node -l node -d 2
	sed -nE 's/^    \$ (curl .*localhost:3000.*)/\1/p' "$BATS_TEST_DIRNAME/../../README.md" |
		sed "s,localhost:3000,${URL#http://}," | bash >said
	sed -n '/^    \$ curl .*localhost:3000/{n;s/^    //p}' "$BATS_TEST_DIRNAME/../../README.md" | diff - said
}

# The bodies of the first version's Python client, as it sends them, and the members that it reads.
@test "the remote client of the first version finds what it asks for" {
	node -l db -d 3
	is() { # members of the answer, method, path, [body]
		ask "${@:2}" >/dev/null
		[ "$(code)" = 200 ] || fail "$*: $(cat answer)"
		for member in $1; do
			[ "$(jq "[paths]|map(map(tostring)|join(\".\"))|index(\"${member#.}\") != null" answer)" = true ] ||
				fail "$* has no $member: $(cat answer)"
		done
	}
	id='"request_id":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]'
	is '.id .receipt.record_id .receipt.old_root .receipt.new_root .receipt.proof .receipt.sequence .receipt.timestamp
		.receipt.state_hash' POST /v1/records "{\"values\":[0.1,0.2,0.3],\"tag\":0,\"collection\":\"default\",$id,\"text\":null}"
	is '.ids.1' POST /v1/vectors/batch_insert '{"batch":[[1,0,0],[0,1,0]],"collection":"default","metadata":["{\"a\":1}",null],
		"request_ids":["000102030405060708090a0b0c0d0e0f",null],"texts":["x","y"]}'
	is '.id .vector.2 .metadata .tag' GET '/v1/records/0?collection=default'
	is '.ok .id' PATCH /v1/records/0/metadata '{"a":"b"}'
	is '.results.0.id .results.0.score' POST /v1/search '{"query":[0.1,0.2,0.3],"k":2,"filter_tag":null,"collection":"default",
		"as_of":null,"decay_half_life_secs":null,"rerank":true,"query_text":null,"metadata_filter":null}'
	[ "$(jq '.results[0].score' answer)" = 0 ]
	is .node_id POST /graph/node '{"kind":5,"record_id":null,"collection":"default"}'
	is .node_id POST /v1/graph/node '{"kind":0,"record_id":1}'
	is .edge_id POST /v1/graph/edge '{"from":0,"to":1,"kind":6}'
	is '.kind .namespace_id' GET '/v1/graph/node/1?collection=default'
	is '.nodes.0.node_id .nodes.0.kind .count' GET '/v1/graph/nodes?collection=default&offset=0&limit=10'
	is '.edges.0.edge_id .edges.0.to_node .edges.0.kind' GET /v1/graph/edges/0
	is '.nodes.0.id .nodes.0.kind .edges.0.id .edges.0.from .edges.0.to .edges.0.kind' GET '/v1/graph/subgraph?root=0&depth=2'
	is '.hits.0.memory_id .hits.0.record_id .hits.0.score .seed_nodes .subgraph.nodes .subgraph.edges' POST /v1/graphrag \
		'{"query_vector":[1,0,0],"k":2,"depth":2,"collection":"default"}'
	is '.memory_id .record_id .document_node_id .chunk_node_id' POST /v1/memory/upsert_vector \
		'{"vector":[1,1,1],"attach_to_document_node":null,"metadata":{"t":"x"},"tags":["a"],"collection":"default"}'
	is '.results.0.memory_id .results.0.record_id .results.0.score .results.0.metadata' POST /v1/memory/search_vector \
		'{"query_vector":[1,1,1],"k":1,"metadata_filter":{"t":"x"}}'
	is .success POST /v1/memory/meta/set '{"target_id":"rec:0","metadata":{"x":1}}'
	is .success POST /v1/memory/meta/set '{"key":"k","value":"v"}'
	is '.target_id .metadata.x' GET '/v1/memory/meta/get?target_id=rec:0'
	is '.key .value' GET '/v1/memory/meta/get?key=k'
	is '.old_record_id .new_record_id .supersedes_edge_id .state_hash' POST /v1/memory/consolidate \
		'{"old_record_id":1,"new_vector":[1,0,0.5],"metadata":null}'
	is '.record_a .record_b .similarity .contradicts .state_hash' POST /v1/memory/contradict \
		'{"record_a":0,"record_b":2,"threshold":0.85}'
	is '.success .path' POST /v1/snapshot/save '{}'
	is .success POST /v1/snapshot/restore '{"path":"snapshot.val"}'
	is .final_state_hash GET /v1/proof/state
	is '.kernel_version .event_log_hash .final_state_hash .event_count .committed_height' GET /v1/proof/event-log
	is .status GET /v1/replication/state
	is '.name .id .created' POST /v1/namespaces '{"name":"c"}'
	is '.collections.1.name .collections.1.id' GET /v1/namespaces
	is '.index_type .hnsw' GET /v1/index/config
	is '.ok .index .effective .records' POST /v1/index/rebuild '{"index":"brute"}'
	is .success POST /v1/soft-delete '{"id":0}'
	is .success POST /v1/delete "{\"id\":2,\"collection\":\"default\",${id/1,2/9,9}}"
	is '.events.0.log_index .events.0.shard_id .events.0.timestamp_unix .events.0.timestamp_iso .events.0.event_type .total' \
		GET /timeline
	is '.status .version .dim .index .persistence .event_log_height .records.live .records.slots_used .records.capacity
		.records.fill_pct .nodes.live .edges.live' GET /health
	ask DELETE /v1/namespaces/c
	[ "$(code)" = 204 ]
	ask GET /v1/keys
	[ "$(code)" = 404 ]
}

@test "a key is upserted, found, and deleted; metadata is bytes, too" {
	node -l db -d 2
	post='POST /v1/records'
	[ "$(ask $post '{"values":[1,2],"key":"käse","upsert":true,"metadata_base64":"/wA="}' | jq .id)" = 0 ]
	[ "$(ask GET '/v1/records?key=k%C3%A4se' | jq -c '[.id,.key,.metadata_base64]')" = '[0,"käse","/wA="]' ]
	[ "$(ask $post '{"values":[3,2],"key":"käse","upsert":true,"text":"new"}' | jq .id)" = 1 ]
	[ "$(ask GET '/records?key=k%C3%A4se' | jq -c '[.id,.metadata,.live]')" = '[1,"new",true]' ]
	ask $post '{"values":[1,2],"key":"käse"}'
	[ "$(code)" = 409 ]
	ask $post '{"values":[1,2],"upsert":true}'
	[ "$(code)" = 400 ]
	ask $post '{"values":[1,2],"text":"a","metadata_base64":"/wA="}'
	[ "$(code)" = 400 ]
	ask $post '{"values":[1,2],"metadata_base64":"/w="}'
	[ "$(code)" = 400 ]
	[ "$(ask POST /v1/vectors/batch-insert '{"batch":[[1,1],[2,2]],"keys":["käse","b"],"upsert":true,
		"metadata_base64":["AAE=",null],"texts":[null,"t"]}' | jq -c .ids)" = '[2,3]' ]
	[ "$(ask GET '/v1/records?key=b' | jq -r .metadata)" = t ]
	[ "$(ask GET /v1/records/2 | jq -r .metadata)" = "$(printf '\0\1' | base64)" ] || \
		[ "$(jq -c .metadata answer)" = '"\u0000\u0001"' ]
	ask POST /v1/namespaces '{"name":"docs"}'
	[ "$(ask $post '{"values":[1,2],"key":"b","collection":"docs","upsert":true}' | jq .id)" = 4 ]
	[ "$(ask GET '/v1/records?key=b&collection=docs' | jq .id)" = 4 ]
	ask POST /v1/delete '{"key":"b","collection":"docs"}'
	[ "$(code)" = 200 ]
	[ "$(ask GET '/v1/records?key=b' | jq .id)" = 3 ]
	ask POST /v1/soft-delete '{"key":"b"}'
	ask GET '/v1/records?key=b'
	[ "$(code)" = 404 ]
	ask GET /v1/records
	[ "$(code)" = 400 ]
	for body in '{}' '{"id":2,"key":"käse"}'; do
		ask POST /v1/delete "$body"
		[ "$(code)" = 400 ]
	done
	[ "$(ask PATCH /v1/records/2/tag '{"tag":7}' | jq .ok)" = true ]
	[ "$(ask DELETE /v1/records/2/metadata | jq .ok)" = true ]
	[ "$(ask GET /v1/records/2 | jq -c '[.tag,.metadata]')" = '[7,null]' ]
	ask POST /v1/memory/meta/set '{"key":"m","value_base64":"/wA="}'
	[ "$(ask GET '/v1/memory/meta/get?key=m' | jq -r .value_base64)" = /wA= ]
	ask POST /v1/memory/meta/delete '{"key":"m"}'
	[ "$(ask GET '/v1/memory/meta/get?key=m' | jq -c '[.metadata,.value]')" = '[null,null]' ]
	ask POST /v1/memory/meta/delete '{"key":"m"}'
	[ "$(code)" = 404 ]
}

@test "every read can be asked about the past" {
	node -l db -d 2
	ask POST /v1/memory/upsert '{"vector":[1,2],"metadata":"old"}'
	ask POST /v1/memory/meta/set '{"key":"m","value":1}'
	root=$(ask GET /v1/proof/state | jq -r .final_state_hash)
	ask PATCH /v1/records/0/metadata '"new"'
	ask POST /v1/namespaces '{"name":"docs"}'
	ask POST /v1/memory/meta/set '{"key":"m","value":2}'
	ask DELETE /v1/graph/node/1
	ask POST /v1/records '{"values":[3,4],"key":"k"}'
	now=$(ask GET /v1/proof/state | jq .committed_height)
	[ "$(jq -c '[.record_count,.record_slots,.node_count,.edge_count]' answer)" = '[2,2,1,0]' ]
	for then in "as_of=$root" as_of=5 as_of_log_index=4; do
		[ "$(ask GET "/v1/proof/state?$then" | jq -c '[.final_state_hash,.committed_height,.record_count]')" = "[\"$root\",5,1]" ]
		[ "$(ask GET "/v1/records/0?$then" | jq -r .metadata)" = old ]
		[ "$(ask GET "/v1/memory/meta/get?key=m&$then" | jq .metadata)" = 1 ]
		[ "$(ask GET "/v1/namespaces?$then" | jq -c '[.collections[].name]')" = '["default"]' ]
		[ "$(ask GET "/v1/graph/nodes?$then" | jq .count)" = 2 ]
		[ "$(ask GET "/v1/graph/edges/1?$then" | jq -c '.edges[0].to_node')" = 0 ]
		[ "$(ask GET "/v1/graph/edges/0?incoming=1&$then" | jq -c '.edges[0].from_node')" = 1 ]
		[ "$(ask GET "/v1/graph/subgraph?root=1&$then" | jq -c '[.nodes[].id]')" = '[1,0]' ]
		ask GET "/v1/records?key=k&$then"
		[ "$(code)" = 404 ]
	done
	[ "$(ask GET "/v1/records?key=k&as_of=$now" | jq .id)" = 1 ]
	[ "$(ask GET '/v1/proof/state?as_of=0' | jq -c '[.committed_height,.record_count]')" = '[0,0]' ]
	[ "$(ask POST /v1/search '{"query":[0,0],"as_of":"0"}' | jq -c .results)" = '[]' ]
	[ "$(ask POST /v1/search "{\"query\":[0,0],\"as_of\":\"$root\"}" | jq -c '[.results[].id]')" = '[0]' ]
	ask GET '/v1/records/0?as_of=99'
	[ "$(code)" = 404 ]
	for wrong in as_of=then 'as_of=1&as_of_log_index=1' as_of_log_index=x; do
		ask GET "/v1/records/0?$wrong"
		[ "$(code)" = 400 ]
	done
	stop_node
	node -d 2
	ask GET '/v1/proof/state?as_of=0'
	[ "$(code)" = 400 ]
}

@test "the node verifies its log, once at a time, and tells as valori-verify does" {
	node -l db -d 2
	ask POST /v1/vectors/batch-insert '{"batch":[[0,0],[1,0]]}'
	ask GET /v1/proof/verify
	valori-verify --json db >expected
	[ "$(jq -S 'del(.log.path)' answer)" = "$(jq -S 'del(.log.path)' expected)" ]
	history=$(ask GET /v1/proof/state | jq -r .history)
	[ "$(ask GET "/v1/proof/verify?expect=$history" | jq -r .proven)" = 'history and state' ]
	[ "$(ask GET "/v1/proof/verify?expect=$(printf %064d 0)" | jq -r .verdict)" = differs ]
	ask GET '/v1/proof/verify?expect=12'
	[ "$(code)" = 400 ]
	printf X | dd of=db/events.log bs=1 seek=4200 conv=notrunc status=none
	[ "$(ask GET /v1/proof/verify | jq -c '[.verdict,.finding.event]')" = '["damaged",0]' ]
	[ "$(code)" = 200 ]
	kill -9 "$NODE"
	wait "$NODE" || true
	node -d 2
	ask GET /v1/proof/verify
	[ "$(code)" = 400 ]
}

@test "a verification takes no turn, and only one is done at a time" {
	# 100 MB: long enough for other requests to come while it is looked through.
	node -l db -d 1000 --threads=1 --sync=none --records-max=50000
	head -c 16000000 /dev/zero >rows
	for _ in 1 2 3 4 5 6; do
		curl -s -f -o /dev/null -H 'Content-Type: application/octet-stream' --data-binary @rows "$URL/v1/vectors/batch-insert"
	done
	curl -s -m 60 -Z --parallel-immediate -o 'verdict#1' "$URL/v1/proof/verify?try=[1-6]"
	[ "$(cat verdict? | jq -r 'select(.verdict).verdict' | sort -u)" = consistent ]
	[ "$(cat verdict? | jq -r 'select(.code).code' | sort -u)" = busy ]
	curl -s -m 60 -o verdict "$URL/v1/proof/verify" 3>&- &
	verification=$! reads=0
	while kill -0 "$verification" 2>/dev/null; do
		[ "$(ask GET /v1/records/7 | jq .id)" = 7 ]
		reads=$((reads + 1))
	done
	[ "$reads" -gt 1 ]
}

@test "the timeline comes as the rows of valori-replay, from any event on" {
	node -l db -d 2
	[ "$(ask GET /v1/timeline | jq -c '[.total,.events]')" = '[0,[]]' ]
	ask POST /v1/memory/upsert '{"vector":[1,-2.5],"metadata":{"a":1},"tag":18446744073709551615}'
	ask POST /v1/namespaces '{"name":"docs"}'
	ask POST /v1/records '{"values":[1,2],"collection":"docs","key":"k","metadata_base64":"/wA="}'
	rows() { curl -sS -H 'Accept: application/x-ndjson' "$URL/v1/timeline$1"; }
	valori-replay --json db >expected
	# There collections have names.
	[ "$(rows '' | jq -cS 'del(.collection)')" = "$(jq -cS 'del(.collection,.dim)' expected)" ]
	[ "$(rows '' | jq -c 'select(.collection) | [.op,.collection]')" = "$(printf '["collection_create","docs"]\n["insert",1]')" ]
	[ "$(rows '?since=5' | jq -c .event)" = 5 ]
	[ "$(rows '?since=3&limit=2' | jq -c .event)" = "$(printf '3\n4')" ]
	[ -z "$(rows '?since=6')" ]
	[ -z "$(rows '?since=99')" ]
	[ "$(ask GET '/v1/timeline?since=4' | jq -c '[.total,.events[0].event_type]')" = '[2,"CreateNamespace"]' ]
}

@test "the paths of /openapi.json stand there once" {
	node -d 2
	ask GET /openapi.json
	[ "$(grep -o '"/[^"]*":{"[a-z]*":{"summary' answer | cut -d'"' -f2 | sort | uniq -d)" = '' ]
	[ "$(jq -c '.paths["/v1/records"]|keys' answer)" = '["get","post"]' ]
	[ "$(jq -c '.paths["/graph/node/{id}"]|keys' answer)" = '["delete","get"]' ]
}

@test "a batch takes no more than three times its body, with all that is kept of it" {
	grep -q '^SANITIZED = no' "$BUILD/config.mak" || skip "a sanitizer keeps memory that was freed"
	[ -r /proc/self/status ] || skip "there is no /proc"
	perl -e 'srand 1; print "{\"batch\":[" . join(",", map { "[" . join(",", map { sprintf "%.6f", rand } 1 .. 384) . "]" }
		1 .. 4000) . "]}"' >body
	node -d 384 --records-max=4000 --connections=4
	kept() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$NODE/status"; }
	before=$(kept VmRSS)
	ask POST /v1/vectors/batch-insert @body
	[ "$(code)" = 200 ]
	took=$(($(kept VmHWM) - before))
	echo "$took KiB for $(($(stat -c %s body) / 1024))"
	[ "$took" -le $((3 * $(stat -c %s body) / 1024)) ]
}
