#!/usr/bin/env bats
# What is in lib/valori.h is public, and nothing else is.

setup() {
	load house
}

# The functions that lib/valori.h declares, static inline ones left out.
prototypes() {
	$CC -std=c11 -E lib/valori.h | awk '/^# [0-9]+ "/ { mine = $3 ~ /lib\/valori\.h"/; next } mine' | tr '\n' ' ' |
		tr ';}' '\n\n' | grep -v '\<static\>' | grep -v '\<typedef\>' |
		grep -oE '\<valori_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u
}

defined() { # nm arguments
	nm --defined-only "$@" | awk 'NF == 3 && $2 ~ /[A-Z]/ { sub(/@.*/, "", $3); print $3 }' | sort -u
}

@test "libvalori.so exports exactly what valori.h declares" {
	[ -n "$(prototypes)" ]
	diff <(prototypes) <(defined -D "$BUILD/libvalori.so")
}

@test "libvalori.a defines exactly what valori.h declares, and names of its own begin with vl_" {
	[ -n "$(prototypes)" ]
	none "$(defined -g "$BUILD/libvalori.a" | grep -vE '^(valori|vl)_')"
	diff <(prototypes) <(defined -g "$BUILD/libvalori.a" | grep '^valori_')
}

@test "libvalori.so needs only libc and libsodium" {
	none "$(readelf -d "$BUILD/libvalori.so" | grep NEEDED | grep -vE '\[(libc|libsodium|ld-linux[a-z0-9_-]*)\.so')"
}

@test "libvalori.so carries its soname" {
	readelf -d "$BUILD/libvalori.so" | grep -qE 'SONAME.*\[libvalori\.so\.[0-9]+\]'
}

@test "valori.h compiles alone as strict C11 and as C++" {
	echo '#include "valori.h"' >"$BATS_TEST_TMPDIR/t.c"
	$CC -std=c11 -Wall -Wextra -Wpedantic -Werror -Ilib -fsyntax-only "$BATS_TEST_TMPDIR/t.c"
	if command -v "${CC%gcc}g++" >/dev/null; then
		g++ -x c++ -Wall -Wextra -Wpedantic -Werror -Ilib -fsyntax-only "$BATS_TEST_TMPDIR/t.c"
	fi
}
