#!/usr/bin/env bats
# valori-serve under a mixed load: killed at any moment it has all that it acknowledged, and a restore disturbs nobody.

setup_file() {
	command -v curl >/dev/null || skip "curl is not installed"
	command -v perl >/dev/null || skip "perl is not installed"
	[ -x "${BUILD:-$BATS_TEST_DIRNAME/../../build}/valori-serve" ] || skip "valori-serve is off in this build"
}

load helper
load serve

LIMITS="--records-max=1000000 --nodes-max=1000000 --edges-max=1000000"

# Every line of the file acked is a record of the store, with its vector.
all_there() { # store
	valori-replay --json "$1" | jq -r 'select(.op == "insert") | "\(.id) \(.vector_q16[0] / 65536) \(.vector_q16[1] / 65536)"' |
		sort >inserted
	sort acked.* >acked
	[ -z "$(comm -23 acked inserted)" ] || fail "acknowledged, and lost: $(comm -23 acked inserted | head -n 3)"
}

@test "killed under a mixed load: all that was acknowledged is there, and the root is that of a replay" {
	rounds=3
	[ -z "${VALORI_LONG-}" ] || rounds=500
	for round in $(seq "$rounds"); do
		# shellcheck disable=SC2086
		node -l db -d 2 $LIMITS
		[ "$round" = 1 ] || [ "$(ask GET /v1/proof/state | jq -r .final_state_hash)" = "$(root db)" ]
		loads=()
		for client in 1 2 3 4; do
			perl "$BATS_TEST_DIRNAME/serve_load.pl" "${URL#http://}" $((round * 4 + client)) "acked.$client" 3>&- 2>>said &
			loads+=($!)
		done
		sleep "0.$((RANDOM % 6 + 3))"
		kill -9 "$NODE"
		wait "$NODE" || true
		for load in "${loads[@]}"; do wait "$load" || fail "$(cat said)"; done
		all_there db
	done
	[ "$(wc -l <acked)" -ge 50 ]
	valori-verify -q db
	# shellcheck disable=SC2086
	node -l db $LIMITS
	[ "$(ask GET /v1/proof/state | jq -r .final_state_hash)" = "$(root db)" ]
	stop_node
}

@test "restores, snapshots and searches of the past while others write: every answer is one that may be" {
	# shellcheck disable=SC2086
	node -l db -d 2 --threads=1 $LIMITS
	ask POST /v1/records '{"values":[1,2]}'
	ask POST /v1/snapshot/save '{}'
	loads=()
	for client in 1 2 3 4 5 6; do
		perl "$BATS_TEST_DIRNAME/serve_load.pl" "${URL#http://}" "$client" "acked.$client" 3 3>&- 2>>said &
		loads+=($!)
	done
	for load in "${loads[@]}"; do wait "$load" || fail "$(cat said)"; done
	[ "$(ask GET /v1/proof/state | jq -r .final_state_hash)" = "$(root db)" ]
	stop_node
	valori-verify -q db
}

@test "a new node has its log before the first commit, and a restart does not change its id" {
	node -l db -d 2
	id=$(ask GET /v1/proof/state | jq -r .log_id)
	[ "$(valori-replay --state db | sed -n 's/^log_id\t//p')" = "$id" ]
	valori-verify -q db
	kill -9 "$NODE"
	wait "$NODE" || true
	node -l db
	[ "$(ask GET /v1/proof/state | jq -r .log_id)" = "$id" ]
	stop_node
}
