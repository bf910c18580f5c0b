#!/usr/bin/env bats
# The golden files by another hand: what Python makes of the manual is what lies there.

setup() {
	load ../house/house
	need python3
	export PYTHONDONTWRITEBYTECODE=1
	golden=tests/vectors/golden/everything
}

@test "the golden log is what valori-log(5) says, to the last root" {
	run python3 tests/vectors/reference.py "$golden"/events-00000000000000000000.log "$golden"/events.log
	[ "$status" = 0 ]
	[ "$output" = "7 43 2b91458156420cd7a3f08dac2729faa690f034b786ad824f74a4f527d5a0360e \
2ab2201fa108a20c184aa7346b99fc523a5d15d506a45bd4c1fe7d934aa97aaf" ]
}

@test "so are the others" {
	python3 tests/vectors/reference.py tests/vectors/golden/every-event/events.log
	python3 tests/vectors/reference.py tests/vectors/golden/two-segments/events-00000000000000000000.log \
		tests/vectors/golden/two-segments/events.log
}

@test "the golden snapshot is what valori-snapshot(5) says, to the last byte" {
	run python3 tests/vectors/snapshot.py "$golden"/snapshot.val "$golden"/events-00000000000000000000.log
	[ "$status" = 0 ]
	[ "$output" = "36 217088 14a173b8e7c5f1df57817059139cf33566b0a29ac1b677824823fbf8c1b48277" ]
}

@test "so is a packed one" {
	export PATH="${BUILD:-$PWD/build}:$PATH"
	seq 0 8299 | sed 's/.*/{"vector":[&,-&]}/' | valori-ingest -q -d 2 -l "$BATS_TEST_TMPDIR/one" >/dev/null
	{
		printf '%s\n' '{"op":"node","kind":1,"record":8}' '{"op":"node","kind":1,"record":9}'
		seq 0 8220 | sed 's/.*/{"op":"delete","id":&}/'
	} | valori-ingest -q -l "$BATS_TEST_TMPDIR/one" >/dev/null
	valori-snapshot -q --no-index -l "$BATS_TEST_TMPDIR/one" -s "$BATS_TEST_TMPDIR/s.val"
	valori-verify -q "$BATS_TEST_TMPDIR/s.val"
	valori-snapshot -s "$BATS_TEST_TMPDIR/s.val" --info | grep -q 'format.*2'
	python3 tests/vectors/snapshot.py "$BATS_TEST_TMPDIR/s.val" "$BATS_TEST_TMPDIR/one/events.log"
}

@test "a byte of the snapshot that is another one is found by Python, too" {
	cp "$golden"/snapshot.val "$BATS_TEST_TMPDIR/s.val"
	printf '\001' | dd of="$BATS_TEST_TMPDIR/s.val" bs=1 seek=8300 conv=notrunc 2>/dev/null
	run python3 tests/vectors/snapshot.py "$BATS_TEST_TMPDIR/s.val" "$golden"/events-00000000000000000000.log
	[ "$status" = 1 ]
	[[ $output == *"offset 8300"* ]]
}
