#!/usr/bin/env bats
# Small rules that hold everywhere.

setup() {
	load house
}

@test "every header compiles alone" {
	for header in lib/*.h cmd/*.h; do
		[ -e "$header" ] || continue
		# Templates of kernels, which are included once for each width, are the ones without a guard.
		case $header in lib/kernels_*) grep -q '^#ifndef [A-Z0-9_]*_H$' "$header" || continue ;; esac
		echo "#include \"$header\"" |
			$CC -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE -I"$BUILD" -I. -Ilib -Icmd -fsyntax-only -x c - ||
			none "$header does not"
	done
}

@test "no call that is banned" {
	banned='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok|gets|atoi|atol|atoll|atof|rand|srand|random|system|asctime|ctime|gmtime|localtime|setlocale|alloca|tmpnam|mktemp'
	for file in lib/*.[ch] cmd/*.[ch] tests/*/*.[ch] bench/*.[ch]; do
		[ -e "$file" ] || continue
		none "$(code "$file" | grep -nE "(^|[^A-Za-z0-9_>.])($banned) *\(" | sed "s|^|$file: |")"
	done
}

@test "no path of one machine" {
	none "$(sources ! -name hygiene.bats | xargs grep -nIE '(/wor[k]|/hom[e]/[a-z]+|/Users)/' | grep -v '^./LICENSE')"
}

@test "no unfinished marks" {
	none "$(sources | xargs grep -nIE '\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b')"
}

@test "no line of code is wider than 120 columns" {
	for file in lib/*.[ch] cmd/*.[ch] bench/*.c Makefile configure tests/run tests/ci contrib/*.sh; do
		none "$(expand -t 8 "$file" | awk -v file="$file" 'length > 120 { print file ":" FNR ": " length }')"
	done
}

@test "no trailing blanks, and every file ends its last line" {
	none "$(sources \( -name '*.[ch]' -o -name '*.md' -o -name '*.bats' -o -name Makefile -o -name '*.[1-9]' \) |
		xargs grep -nIE '[ 	]+$')"
	for file in $(sources \( -name '*.[ch]' -o -name '*.md' -o -name '*.bats' -o -name '*.[1-9]' \) -size +0); do
		[ -z "$(tail -c 1 "$file")" ] || none "$file: no newline at its end"
	done
}

@test "shell scripts pass shellcheck" {
	need shellcheck
	shellcheck configure
	for file in $(grep -lE '^#!.*\b(sh|bash)$' configure .ci/* tests/* tests/*/* contrib/* bench/* 2>/dev/null); do
		shellcheck "$file"
	done
}

# "a && b" on a line of its own cannot fail in a, and "! a" cannot fail at all: set -e looks past both.
@test "no line of a suite that looks like a check and cannot fail" {
	none "$(grep -nE '^\s*\[.*\] && \[[^|]*$|^\s*! ' tests/*/*.bats)"
}

@test "configure runs under dash" {
	need dash
	dash -n configure
	dash configure --dir="$BATS_TEST_TMPDIR" >/dev/null
	[ -s "$BATS_TEST_TMPDIR/config.mak" ]
	[ -s "$BATS_TEST_TMPDIR/config.h" ]
}

@test "configure installs nothing and writes nothing but its two files" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho called >"%s/called"\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/apt-get"
	chmod +x "$BATS_TEST_TMPDIR/bin/apt-get"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH ./configure --dir="$BATS_TEST_TMPDIR/b" >/dev/null
	[ ! -e "$BATS_TEST_TMPDIR/called" ]
	[ "$(ls "$BATS_TEST_TMPDIR/b" | sort | tr '\n' ' ')" = "config.h config.mak " ]
}

@test "without root, configure names the command, and stops only for what nothing can do without" {
	bin=$BATS_TEST_TMPDIR/bin
	mkdir "$bin"
	for tool in sh mkdir mktemp rm tr cat touch gcc make pkg-config; do
		ln -s "$(command -v "$tool")" "$bin"
	done
	printf '#!/bin/sh\necho 1000\n' >"$bin/id"
	printf '#!/bin/sh\necho called\n' >"$bin/apt-get"
	chmod +x "$bin/id" "$bin/apt-get"
	PATH=$bin run ./configure --dir="$BATS_TEST_TMPDIR/b" --deps=check
	[ "$status" = 1 ]
	[[ $output == *"as root:  apt-get install -y --no-install-recommends bats jq "* ]]
	ln -s "$(command -v bats)" "$bin"
	PATH=$bin run ./configure --dir="$BATS_TEST_TMPDIR/b" --deps=check
	[ "$status" = 0 ]
	[[ $output == *"apt-get install -y --no-install-recommends jq "* ]]
}

@test "the top level stays one screen" {
	[ "$(sources -path './*' ! -path './*/*' | wc -l)" -le 12 ]
}
