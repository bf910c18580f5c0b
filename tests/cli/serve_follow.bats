#!/usr/bin/env bats
# A node that follows another one, and valori-follow beside a real leader.

load helper
load serve

setup_file() {
	command -v curl >/dev/null || skip "curl is not installed"
	command -v jq >/dev/null || skip "jq is not installed"
	[ -x "${BUILD:-$BATS_TEST_DIRNAME/../../build}/valori-serve" ] || skip "valori-serve is off in this build"
	grep -q '^CURL_LIBS = .' "${BUILD:-$BATS_TEST_DIRNAME/../../build}/config.mak" || skip "this build has no libcurl"
}

teardown() {
	local pid
	for pid in "${NODES[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
	done
}

NODES=()

# Starts a node called $1: URL and NODE are its own.
named() { # name, options...
	local name=$1
	shift
	mkdir -p "$name.d"
	cd "$name.d" || return
	node -l ../"$name" --records-max=100000 "$@"
	cd .. || return
	NODES+=("$NODE")
}

same() { # store, store
	valori-replay -o - "$1" >one.log
	valori-replay -o - "$2" >two.log
	cmp one.log two.log
}

at() { # url: its height
	curl -s -m 5 ${TOKEN+-H "Authorization: Bearer $TOKEN"} "$1/v1/replication/state" | jq -r .height
}

# Until a node is as far as another one.
level() { # url, url
	for _ in {1..200}; do
		[ "$(at "$1")" != "$(at "$2")" ] || return 0
		sleep 0.05
	done
	fail "$1 is at $(at "$1"), $2 at $(at "$2")"
}

insert() { # url, count, first
	for ((i = 0; i < $2; i++)); do
		curl -s -m 5 -L -d "{\"values\":[1,2,3,$(($3 + i))]}" "$1/v1/records" >/dev/null
	done
}

@test "a leader and two followers, one of the other, are one log; what is written to any goes to the leader" {
	named lead -d 4
	leader=$URL
	insert "$leader" 3 0
	VALORI_FOLLOWER_OF=$leader named first
	first=$URL
	VALORI_REPLICATION_MODE=follower VALORI_LEADER_URL=$first named second
	second=$URL
	insert "$leader" 5 10
	insert "$second" 4 20
	[ "$(at "$leader")" = 12 ]
	level "$leader" "$second"
	for url in "$leader" "$first" "$second"; do
		curl -s "$url/v1/proof/state" | jq -r .history
	done | sort -u >histories
	[ "$(wc -l <histories)" = 1 ]
	URL=$second
	[ "$(ask GET /v1/replication/state | jq -c '[.status,.role,.leader,.leader_height]')" = \
		"[\"Synced\",\"follower\",\"$first\",12]" ]
	[ "$(ask POST /v1/search '{"query":[1,2,3,13],"k":1}' | jq '.results[0].id')" = 6 ]
	ask POST /v1/snapshot/restore '{}'
	[ "$(code)" = 409 ]
	ask POST /v1/records '{"values":[1,2,3,4]}'
	[ "$(code)" = 307 ]
	ask POST /v1/snapshot/save '{}'
	[ "$(code)" = 200 ]
	valori-follow -q --check -l second "$leader"
	same lead first
	same lead second
	ask GET /metrics | grep -qx 'valori_replication_synced 1'
}

@test "a follower says when its leader is gone, goes on when it is back, and is a leader without the variable" {
	named lead -d 4
	leader=$URL lead=$NODE port=${URL##*:}
	insert "$leader" 3 0
	named copy --follower-of="$leader"
	copy=$URL
	level "$leader" "$copy"
	kill -9 "$lead"
	for _ in {1..100}; do
		[ "$(curl -s "$copy/v1/replication/state" | jq -r .status)" != Disconnected ] || break
		sleep 0.05
	done
	[ "$(curl -s "$copy/v1/replication/state" | jq -r .status)" = Disconnected ]
	[ "$(curl -s "$copy/v1/records/2" | jq -c .vector)" = '[1,2,3,2]' ]
	cd lead.d
	valori-serve -b 127.0.0.1:"$port" -l ../lead --records-max=100000 >again.out 2>again.err 3>&- &
	NODES+=($!)
	cd ..
	for _ in {1..100}; do
		[ -z "$(at "$leader")" ] || break
		sleep 0.05
	done
	insert "$leader" 2 7
	level "$leader" "$copy"
	same lead copy
	kill -9 "${NODES[2]}"
	kill -TERM "${NODES[1]}"
	wait "${NODES[1]}" || true
	named copy
	ask POST /v1/records '{"values":[4,4,4,4]}'
	[ "$(code)" = 200 ]
	[ "$(ask GET /v1/replication/state | jq -c '[.role,.height]')" = '["leader",6]' ]
}

@test "with a token a follower hands on what is written, and shows the token to its leader" {
	export VALORI_AUTH_TOKEN=s3cret TOKEN=s3cret
	named lead -d 4
	leader=$URL
	named copy --follower-of="$leader"
	[ "$(curl -s -o answer -w '%{http_code}' -d '{"values":[1,2,3,4]}' "$URL/v1/records")" = 401 ]
	[ "$(curl -s -o answer -w '%{http_code}' -H 'Authorization: Bearer s3cret' -d '{"values":[1,2,3,4]}' \
		"$URL/v1/records")" = 200 ]
	[ "$(jq .id answer)" = 0 ]
	[ "$(curl -s -o answer -w '%{http_code}' -H 'Authorization: Bearer s3cret' -d '{"values":[1]}' \
		"$URL/v1/records")" = 400 ]
	level "$leader" "$URL"
	valori-follow -q --check -l copy "$leader"
	unset VALORI_AUTH_TOKEN
	run -2 valori-follow -q --once -l other "$leader"
	run -2 valori-follow --check -l copy "$leader"
}

@test "a follower begins from a snapshot when the leader has trimmed its log" {
	store lead 3000 64 10 >/dev/null
	rows 2000 64 2 z | valori-ingest -q -l lead --segment-size=64K --batch=10 >/dev/null
	valori-snapshot -q -l lead -s lead/snapshot.val --trim
	rows 10 64 3 y | valori-ingest -q -l lead >/dev/null
	named lead
	leader=$URL
	base=$(state lead base_height)
	[ "$base" -gt 0 ]
	valori-follow -q --once -l tool "$leader"
	[ "$(root tool)" = "$(root lead)" ]
	valori-follow -q --check -l tool "$leader"
	named copy --follower-of="$leader"
	[ "$(curl -s "$URL/v1/proof/state" | jq -r .history)" = "$(curl -s "$leader/v1/proof/state" | jq -r .history)" ]
	valori-follow -q --once -o - --from="$base" "$leader" >tail.log
	cmp tail.log <(valori-replay -o - lead)
	run -8 valori-follow -q --once -o - "$leader"
	[[ $output == *"its log begins with event $base, not 0"* ]] || fail "$output"
	[ ! -e tool/snapshot.val.transfer ]
}

@test "a fork is found at its commit and its record, with few questions" {
	store lead 300 4 1
	cp -r lead copy
	flip_at=137
	valori-replay -o - --to=$flip_at lead | valori-ingest -q -l fork -f log - >/dev/null
	rows 200 4 5 f | valori-ingest -q -l fork --batch 1 >/dev/null
	rows 30 4 6 g | valori-ingest -q -l lead --batch 1 >/dev/null
	named lead
	run -0 valori-follow --json --check -l copy "$URL"
	run -1 --separate-stderr valori-follow --json --check -l fork "$URL"
	[ "$(jq -c '[.same,.commit,.event,.record]' <<<"$output")" = "[false,$flip_at,$flip_at,$flip_at]" ]
	[ "$(jq .questions <<<"$output")" -le 30 ]
	run -1 valori-follow -q --once -l fork "$URL"
	[ "$(state fork height)" = 337 ]
	named fork --follower-of="$URL"
	for _ in {1..100}; do
		[ "$(curl -s "$URL/v1/replication/state" | jq -r .status)" != Diverged ] || break
		sleep 0.05
	done
	sleep 0.3
	[[ $(curl -s "$URL/v1/replication/state" | jq -r '.status + " " + .detail') == "Diverged "*"from commit $flip_at on"* ]]
	[ "$(curl -s "$URL/v1/records/5" | jq .id)" = 5 ]
	[[ $(curl -s "$URL/health" | jq -r '.status + " " + .problem') == "degraded "*"from commit $flip_at on"* ]]
}

@test "curl brings the stream, in each of its forms: a store is made, and continued" {
	store lead 20 4 3
	named lead
	for accept in text/event-stream application/x-ndjson application/octet-stream; do
		rm -rf copy
		for more in 0 2; do
			insert "$URL" "$more" "$more"
			from=$(state copy height 2>/dev/null) || from=0
			curl -sN -m 1 -H "Accept: $accept" "$URL/v1/replication/events?start_offset=${from:-0}" |
				valori-follow -q -l copy -
			same lead copy
		done
	done
}

@test "what a node has now can be searched without keeping it" {
	rows 50 128 | valori-ingest -q -l lead >/dev/null
	perl -e 'print pack("V", 128), map { pack("f<", 1) } 1 .. 128' >q.fvecs
	named lead
	valori-follow --once -o - "$URL" | valori-search -l - q.fvecs >far
	valori-search -l lead q.fvecs >near
	cmp far near
}

@test "kill -9 of either side, at any time: the same commits in the end" {
	rounds=5
	[ -z "${VALORI_LONG-}" ] || rounds=500
	named lead -d 4
	leader=$URL lead=$NODE port=${URL##*:}
	for ((round = 1; round <= rounds; round++)); do
		valori-follow -q -l copy "$leader" 2>>follow.err 3>&- &
		follower=$!
		NODES+=("$follower")
		(
			for ((n = 0; n < 40; n++)); do
				curl -s -m 2 -d "{\"values\":[$round,$n,0,0]}" "$leader/v1/records" >/dev/null || exit 0
			done
		) 3>&- &
		writer=$!
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
		if ((round % 2)); then
			kill -9 "$follower"
		else
			kill -9 "$lead"
			wait "$lead" || true
			cd lead.d
			valori-serve -b 127.0.0.1:"$port" -l ../lead --records-max=100000 >again.out 2>again.err 3>&- &
			lead=$!
			cd ..
			NODES+=("$lead")
			for _ in {1..100}; do
				[ -z "$(at "$leader")" ] || break
				sleep 0.05
			done
		fi
		wait "$writer"
		kill -9 "$follower" 2>/dev/null || true
		wait "$follower" || true
	done
	valori-follow -q --once -l copy "$leader"
	same lead copy
	[ "$(state copy height)" -ge "$rounds" ]
	valori-follow -q --check -l copy "$leader"
}

@test "a network that is cut in two: the follower says so, and goes on when it is whole" {
	[ "$(id -u)" = 0 ] || skip "only root can cut a network"
	command -v ip >/dev/null || skip "ip is not installed"
	name=v$$
	ip netns add "$name" 2>/dev/null || skip "no network namespaces here"
	if ! { ip link add "$name"a type veth peer name "$name"b && ip link set "$name"b netns "$name"; } 2>/dev/null; then
		ip netns del "$name"
		skip "no pair of network devices here"
	fi
	ip addr add 10.213.7.1/30 dev "$name"a
	ip link set "$name"a up
	ip netns exec "$name" ip addr add 10.213.7.2/30 dev "$name"b
	ip netns exec "$name" ip link set "$name"b up
	store lead 10 4 1
	cd "$BATS_TEST_TMPDIR"
	valori-serve -b 10.213.7.1:0 --insecure-no-auth -l lead --records-max=100000 >lead.out 2>lead.err 3>&- &
	NODES+=($!)
	for _ in {1..50}; do
		if grep -q listening lead.out; then break; fi
		sleep 0.1
	done
	url=http://$(sed -n 's/^listening on //p' lead.out)
	ip netns exec "$name" valori-follow -l copy "$url" 2>follow.err 3>&- &
	NODES+=($!)
	sleep 1
	ip link set "$name"a down
	sleep 14
	ip link set "$name"a up
	cp follow.err cut.err
	curl -s -d '{"values":[1,2,3,4]}' "$url/v1/records" >/dev/null
	for _ in {1..200}; do
		[ "$(state copy height)" != 11 ] || break
		sleep 0.1
	done
	ip link del "$name"a
	ip netns del "$name"
	[ -s cut.err ]
	[ "$(state copy height)" = 11 ]
}
