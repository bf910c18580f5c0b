#!/usr/bin/env bats
# valori-serve beside what it is run with: Prometheus, systemd, a browser. Each is asked where it is installed.

setup_file() {
	command -v curl >/dev/null || skip "curl is not installed"
	[ -x "${BUILD:-$BATS_TEST_DIRNAME/../../build}/valori-serve" ] || skip "valori-serve is off in this build"
}

load helper
load serve

# Whatever still runs: nodes, and the driver with its browser.
teardown() {
	local left
	left=$(jobs -p)
	# shellcheck disable=SC2086 # a list
	[ -z "$left" ] || kill $left || true
}

CONTRIB="$BATS_TEST_DIRNAME/../../contrib"

@test "Prometheus accepts the metrics and the rules" {
	command -v promtool >/dev/null || skip "promtool is not installed (Debian: prometheus)"
	node -l db -d 2
	ask POST /v1/records '{"values":[1,2]}'
	ask POST /v1/vectors/batch-insert '{"batch":[[1,2],[3,4]]}'
	ask POST /v1/search '{"query":[1,2]}'
	ask GET /nowhere
	ask GET /metrics >metrics
	# shellcheck disable=SC2094 # a file and a word of the same name
	promtool check metrics <metrics >said 2>&1 || fail "$(cat said)"
	[ ! -s said ] || fail "$(cat said)"
	promtool check rules "$CONTRIB/prometheus-rules.yml"
}

@test "systemd understands the units, and finds little that they may do" {
	command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed (Debian: systemd)"
	mkdir units
	for unit in "$CONTRIB"/*.service "$CONTRIB"/*.timer; do
		sed -e "s,/usr/local/bin,$BUILD,g" -e '/^Documentation=man:/d' "$unit" >"units/${unit##*/}"
	done
	[ "$(find units -type f | wc -l)" -ge 3 ]
	systemd-analyze verify units/valori* >said 2>&1 || fail "$(cat said)"
	[ "$(grep -c units/ said)" = 0 ] || fail "$(cat said)"
	# Exposure in tenths: 0 is nothing, 100 all.
	systemd-analyze security --offline=true --threshold=20 units/valori-serve.service
}

# What a script says in the page that the browser shows; d is to be called with it.
script() {
	jq -nc --arg script "let d = arguments[arguments.length - 1]; $1" '{script: $script, args: []}' |
		curl -sS -m 30 -d @- "$SESSION/execute/async" | jq -r .value
}

show() { # url
	[ "$(curl -sS -m 30 -d "{\"url\":\"$1\"}" "$SESSION/url" | jq -c .value)" = null ]
}

@test "a browser reads the node from a page that may, and from no other" {
	for program in chromium chromedriver jq; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
	# A page for the browser: what another node answers. Under its two names it has two origins.
	node -d 2
	page=${URL##*:}
	other=$NODE
	chromedriver --port=0 >driver 2>&1 3>&- &
	driver=$!
	node -d 2 --cors-origin="http://127.0.0.1:$page"
	for _ in $(seq 100); do
		if grep -q 'on port' driver; then break; fi
		sleep 0.1
	done
	at=http://127.0.0.1:$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' driver)/session
	SESSION=$at/$(curl -sS -m 60 -d '{"capabilities":{"alwaysMatch":{"goog:chromeOptions":{"args":["--headless=new",
		"--no-sandbox","--disable-gpu","--disable-dev-shm-usage"]}}}}' "$at" | jq -r .value.sessionId)
	show "$URL/health"
	[ "$(script 'd(JSON.parse(document.body.innerText).status)')" = ok ]
	write="fetch('$URL/v1/records', {method: 'POST', headers: {'Content-Type': 'application/json'},
		body: '{\"values\": [1, 2]}'}).then(r => r.json()).then(j => d(j.id), e => d('refused'))"
	read="fetch('$URL/openapi.json').then(r => r.json()).then(j => d(j.openapi), e => d('refused'))"
	show "http://localhost:$page/health"
	stranger="$(script "$read") $(script "$write")"
	stranger+=" $(script "fetch('$URL/v1/delete', {method: 'POST', mode: 'no-cors', body: '{\"id\":0}'})
		.then(r => d(r.status), e => d('refused'))")"
	records=$(ask GET /health | jq .records.slots_used)
	show "http://127.0.0.1:$page/health"
	friend="$(script "$read") $(script "$write")"
	live=$(ask GET /health | jq .records.live)
	curl -sS -m 30 -X DELETE "$SESSION" >quit
	kill "$driver" "$other"
	wait "$driver" "$other" || true
	[ "$stranger $records" = "refused refused 0 0" ]
	[[ $friend == 3.*' 0' ]]
	[ "$live" = 1 ]
}
