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
	# Three forms of the core and three of the engine with the portable kernels, and three batch sizes.
	[ "${BASH_REMATCH[1]}" -ge 9 ]
	[[ $output == *"equal"* && $output != *"DIFFERENT"* ]]
}

@test "one bit that differs is told, with what it should be" {
	sed -E '/^main 10000 0 /s/(.*)0/\11/' tests/determinism/expected >"$BATS_TEST_TMPDIR/expected"
	run tests/determinism/matrix --build="$BUILD" --short portable --expected="$BATS_TEST_TMPDIR/expected"
	[ "$status" = 1 ]
	[[ $output == *"DIFFERENT"*"main 10000: results is "*", should be "* ]]
	[[ ${lines[-1]} =~ ^3\ passed,\ [1-9][0-9]*\ failed,\ 0\ skipped$ ]]
}

@test "other batch sizes have other histories, and the same state" {
	awk '!/^#/ { print $1, $2, $4, $5 " " $6 " " $7 }' tests/determinism/expected >"$BATS_TEST_TMPDIR/lines"
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
