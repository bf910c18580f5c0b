#!/usr/bin/env bats
# Logs as the tools write them, read by another hand: reference.py is written from the manual, not from the C code.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	command -v python3 >/dev/null || skip "python3 is not installed"
}

reference() { python3 "$BATS_TEST_DIRNAME/../vectors/reference.py" "$@"; }

# "commits events state_root tree_root" as valori-verify says it
verified() {
	valori-verify "$1" | awk '/height/ {events = $2; commits = $5} /state root/ {root = $3} /tree:/ {split($2, tree, ":")}
		END {print commits, events, root, tree[3]}'
}

@test "a log of everything that ingest can write has the roots that the reference computes" {
	cat >rows.ndjson <<-'END'
		{"vector": [0.1, -0.2, 3e2], "key": "a", "tag": 7, "metadata": {"t": [1, 2]}, "ref": "a"}
		{"vector": [1, 2, 3], "key": "b", "tag": "18446744073709551615", "metadata": "caf\u00e9", "request": "000102030405060708090a0b0c0d0e0f"}
		[4, 5, 6]
		{"op": "upsert", "vector": [9, 9, 9], "key": "a"}
		{"op": "node", "kind": "Document", "key": "a"}
		{"op": "node", "kind": 3}
		{"op": "edge", "from": 0, "to": 1, "kind": 1}
		{"op": "edge", "from": 1, "to": 0, "kind": 2}
		{"op": "meta", "key": "m", "metadata": "v"}
		{"op": "soft_delete", "id": 1}
		{"op": "delete", "id": 2}
		{"op": "set_tag", "id": 3, "tag": 5}
		{"op": "set_metadata", "id": 3, "metadata": ""}
		{"op": "edge_delete", "id": 1}
		{"op": "node_set_record", "id": 0, "record": 3}
		{"op": "node_delete", "id": 1}
		{"op": "meta_delete", "key": "m"}
		{"op": "config", "parameter": 2, "value": 24}
		{"op": "collection_create", "collection": "docs"}
		{"vector": [1, 1, 1], "collection": "docs"}
		{"op": "collection_drop", "collection": "docs"}
	END
	for batch in 1 3 1000; do
		valori-ingest -q --batch=$batch -l store$batch rows.ndjson >/dev/null
		valori-ingest -q --batch=$batch --erasable -l store$batch rows.ndjson --skip-bad >/dev/null 2>&1 || true
		[ "$(reference store$batch/events.log)" = "$(verified store$batch)" ]
	done
}
