#!/usr/bin/env bats
# The determinism matrix in its short form: this machine and this compiler, with every set of kernels.

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit 1
	: "${BUILD:=$PWD/build}"
}

@test "live, replayed, restored, with all kernels, threads and batch sizes: what is expected" {
	run tests/determinism/matrix --build="$BUILD" --short
	echo "$output"
	[ "$status" = 0 ]
	[[ ${lines[-1]} =~ ^([0-9]+)\ passed,\ 0\ failed,\ 0\ skipped$ ]]
	# Three forms of the core and twice three of the engine with the portable kernels, and three batch sizes.
	[ "${BASH_REMATCH[1]}" -ge 12 ]
	[[ $output == *"equal"* && $output != *"DIFFERENT"* ]]
}

@test "one bit that differs is told, with what it should be" {
	awk '$1 == "main" { $7 = "0" $7 } $1 == "index" { $8 = "0" $8 } $1 == "index.store" { $9 = "0" $9 } 1' \
		tests/determinism/expected >"$BATS_TEST_TMPDIR/expected"
	run tests/determinism/matrix --build="$BUILD" --short portable --expected="$BATS_TEST_TMPDIR/expected"
	[ "$status" = 1 ]
	[[ $output == *"DIFFERENT"*"main 10000: results is "*", should be 0"* ]]
	[[ $output == *"DIFFERENT"*"index 5000: index is "*", should be 0"* ]]
	[[ $output == *"DIFFERENT"*"index.store 5000: found is "*", should be 0"* ]]
	[ "${lines[-1]}" = "0 passed, 12 failed, 0 skipped" ]
}

@test "the store has the indexes that the core has" {
	for events in 5000 12500; do
		[ "$(grep "^index $events " tests/determinism/expected | cut -d ' ' -f 2-8)" = \
			"$(grep "^index.store $events " tests/determinism/expected | cut -d ' ' -f 2-8)" ]
	done
}

# An emulator that dies with SIGSEGV after its program as often as a file says.
make_emulator() { # times, what it lets through of the output
	echo "$1" >"$BATS_TEST_TMPDIR/times"
	cat >"$BATS_TEST_TMPDIR/emulator" <<-END
		#!/bin/bash
		"\$@" | $2
		[ "\$2" != list ] || exit 0
		times=\$(cat '$BATS_TEST_TMPDIR/times')
		[ "\$times" -gt 0 ] || exit 0
		echo \$((times - 1)) >'$BATS_TEST_TMPDIR/times'
		echo "uncaught signal" >&2
		kill -SEGV \$\$
	END
	chmod +x "$BATS_TEST_TMPDIR/emulator"
}

@test "an emulator that dies when all is said runs again, and that is told" {
	make_emulator 1 cat
	run tests/determinism/matrix --build="$BUILD" --short --through="$BATS_TEST_TMPDIR/emulator" portable
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"died with status 139 when all was said; when run again: status 0"* ]]
	[ "${lines[-1]}" = "3 passed, 0 failed, 0 skipped" ]
}

@test "one that dies again has failed, and so has one that dies before all is said" {
	make_emulator 2 cat
	run tests/determinism/matrix --build="$BUILD" --short --through="$BATS_TEST_TMPDIR/emulator" portable
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"FAILED"*"left with status 139, 8 lines of 8"* ]]
	[ "${lines[-1]}" = "2 passed, 1 failed, 0 skipped" ]
	make_emulator 1 "sed -u 8d"
	run tests/determinism/matrix --build="$BUILD" --short --through="$BATS_TEST_TMPDIR/emulator" portable
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"left with status 139, 7 lines of 8"* && $output != *"when run again"* ]]
}

@test "other batch sizes have other histories, and the same state" {
	awk '!/^#/ && $8 == "-" { print $1, $2, $4, $5 " " $6 " " $7 }' tests/determinism/expected >"$BATS_TEST_TMPDIR/lines"
	# For each stream and length one state, and as many tree roots as there are batch sizes.
	[ "$(cut -d ' ' -f 1,2,4- "$BATS_TEST_TMPDIR/lines" | sort -u | wc -l)" = 8 ]
	[ "$(cut -d ' ' -f 3 "$BATS_TEST_TMPDIR/lines" | sort -u | wc -l)" = "$(wc -l <"$BATS_TEST_TMPDIR/lines")" ]
}

@test "a target whose compiler is not here is skipped, and counted" {
	bin=$BATS_TEST_TMPDIR/bin
	mkdir "$bin"
	for tool in bash env awk sed cut cat nproc dirname realpath mkdir rm; do
		ln -s "$(command -v "$tool")" "$bin"
	done
	PATH=$bin run tests/determinism/matrix --build="$BATS_TEST_TMPDIR/b" s390x
	echo "$output"
	[[ $output == *"s390x: skipped: s390x-linux-gnu-gcc is not installed"* ]]
	[[ ${lines[-1]} == "0 passed, 0 failed, 1 skipped" ]]
}
