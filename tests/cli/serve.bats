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
	root=$(jq -r .receipt.state_hash answer)
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
