#!/usr/bin/env bats
# The runner of all suites: nothing that went wrong may look like success.

setup() {
	load house
	mkdir "$BATS_TEST_TMPDIR/b"
}

suite() { # a shell program that prints TAP
	printf '#!/bin/sh\n%s\n' "$1" >"$BATS_TEST_TMPDIR/suite"
	chmod +x "$BATS_TEST_TMPDIR/suite"
	run tests/run --build="$BATS_TEST_TMPDIR/b" --timeout=2 "$BATS_TEST_TMPDIR/suite"
	last=${lines[${#lines[@]} - 1]}
}

@test "passed, failed and skipped are told apart" {
	suite 'echo "ok 1 - a"; echo "ok 2 - b # SKIP no disk"; echo "not ok 3 - c"; echo 1..3; exit 1'
	[ "$status" = 1 ]
	[ "$last" = "1 passed, 1 failed, 1 skipped" ]
	[[ $output == *"no disk"* ]]
	[[ $output == *"not ok 3 - c"* ]]
	suite 'echo "ok 1 - a"; echo 1..1'
	[ "$status" = 0 ]
	[ "$last" = "1 passed, 0 failed, 0 skipped" ]
}

@test "a crash is a failure" {
	suite 'echo "ok 1 - a"; echo 1..1; kill -SEGV $$'
	[ "$status" = 1 ]
	[ "$last" = "1 passed, 1 failed, 0 skipped" ]
}

@test "a plan that is not met, given twice or not given is a failure" {
	suite 'echo 1..2; echo "ok 1 - a"'
	[ "$status" = 1 ]
	[ "$last" = "1 passed, 1 failed, 0 skipped" ]
	suite 'echo 1..1; echo "ok 1 - a"; echo 1..1'
	[ "$status" = 1 ]
	suite 'echo "ok 1 - a"'
	[ "$status" = 1 ]
}

@test "a status that contradicts the output is a failure" {
	suite 'echo 1..1; echo "not ok 1 - a"'
	[ "$status" = 1 ]
	[ "$last" = "0 passed, 2 failed, 0 skipped" ]
	suite 'echo 1..1; echo "ok 1 - a"; exit 1'
	[ "$status" = 1 ]
	[ "$last" = "1 passed, 1 failed, 0 skipped" ]
}

@test "a suite that hangs, does not exist or checks nothing is a failure" {
	suite 'echo 1..1; echo "ok 1 - a"; sleep 30'
	[ "$status" = 1 ]
	[ "$last" = "1 passed, 1 failed, 0 skipped" ]
	run tests/run --build="$BATS_TEST_TMPDIR/b" "$BATS_TEST_TMPDIR/none"
	[ "$status" = 1 ]
	run tests/run --build="$BATS_TEST_TMPDIR/b"
	[ "$status" = 1 ]
}

@test "a suite sees none of the user's VALORI_ settings" {
	export VALORI_DIM=7
	suite 'echo "ok 1 - dim is ${VALORI_DIM-unset} # SKIP ${VALORI_DIM-unset}"; echo 1..1'
	[[ $output == *"dim is unset"* ]]
}
