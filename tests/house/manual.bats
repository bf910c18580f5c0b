#!/usr/bin/env bats
# The manual: well-formed, complete, and its examples work as written.

bats_require_minimum_version 1.5.0

setup() {
	load house
}

@test "the manual pages are well-formed mdoc" {
	need mandoc
	# References to pages of other packages cannot be found here; those to our own have a test of their own.
	# One page at a time: what all of them say together is more than a buffer, and lines are torn apart.
	none "$(for page in man/*.[1-9]; do mandoc -T lint -W style "$page" 2>&1; done |
		grep -vE 'referenced manual not found|outdated mandoc.db')"
}

@test "every page that is referred to exists" {
	none "$(sed -nE 's/^\.Xr ([^ ]+) ([0-9]).*/\1.\2/p' man/*.[1-9] | grep -E '^(lib)?valori' | sort -u |
		while read -r page; do [ -e "man/$page" ] || echo "$page"; done)"
}

@test "valori(7) names every page" {
	for page in man/*.[1-9]; do
		page=$(basename "$page")
		[ "$page" = valori.7 ] || grep -qE "^\.Xr ${page%.*} ${page##*.}( |\$)" man/valori.7 ||
			none "valori.7 does not name $page"
	done
}

@test "every public name is in libvalori(3)" {
	none "$(grep -owE '(valori|VALORI)_[A-Za-z0-9_]+' lib/valori.h | grep -v 'VALORI_H$' | sort -u |
		grep -vxFf <(grep -owE '(valori|VALORI)_[A-Za-z0-9_]+' man/libvalori.3 | sort -u))"
}

@test "the program of libvalori(3) compiles without a warning, runs and says what it should" {
	sed -n '/^\.Bd -literal/,/^\.Ed/p' man/libvalori.3 | sed '/^\./d; s/\\e/\\/g' >"$BATS_TEST_TMPDIR/t.c"
	[ -s "$BATS_TEST_TMPDIR/t.c" ]
	$CC -std=c11 -Wall -Wextra -Werror -Ilib -fsyntax-only "$BATS_TEST_TMPDIR/t.c"
	$CC -std=c11 -Ilib -o "$BATS_TEST_TMPDIR/t" "$BATS_TEST_TMPDIR/t.c" "$BUILD/libvalori.so"
	cd "$BATS_TEST_TMPDIR"
	LD_LIBRARY_PATH=$BUILD run -0 ./t
	[ "$output" = "record 0, distance 0" ]
}

# Each ".Dl $ command" runs in a directory of its own, with base.fvecs and q.fvecs of 128 components. Comment lines
# '.\" $ command' before it prepare what the reader of the page is supposed to have.
@test "the examples of the manual work as written" {
	export PATH=$BUILD:$PATH
	count=0
	for page in man/*.[1-9]; do
		setup=
		while IFS= read -r line; do
			line=$(sed 's/\\e/\\/g; s/\\(dq/"/g; s/\\-/-/g; s/\\&//g' <<<"$line")
			case $line in
			'.\" $ '*) setup=$setup${line#.\\\" $ }$'\n' ;;
			'.Dl $ '*)
				count=$((count + 1))
				mkdir "$BATS_TEST_TMPDIR/$count"
				(cd "$BATS_TEST_TMPDIR/$count" && vectors >/dev/null && bash -o pipefail -ec "$setup" >/dev/null) ||
					none "$page: this preparation failed: $setup"
				run --separate-stderr bash -o pipefail -c "cd $BATS_TEST_TMPDIR/$count && ${line#.Dl $ }"
				[ "$status" = 0 ] || none "$page: ${line#.Dl $ }: status $status: $stderr"
				setup= ;;
			esac
		done < <(sed 's/^\.\\" \$/.\\" $/' "$page")
	done
	[ "$count" -ge 10 ]
}

# 40 rows of 128 numbers as .fvecs, three of them as queries.
vectors() {
	perl -e 'for $row (0 .. 39) { print pack("V", 128), map { pack("f<", ($row * 31 + $_ * 7) % 256) } 1 .. 128 }' \
		>base.fvecs
	head -c $((3 * 516)) base.fvecs >q.fvecs
}

@test "the rows that valori-ingest(1) shows are rows" {
	sed -n '/^\.Bd -literal/,/^\.Ed/p' man/valori-ingest.1 | grep '^{' >"$BATS_TEST_TMPDIR/rows"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/rows")" -ge 3 ]
	run -0 "$BUILD/valori-ingest" -d 2 -l "$BATS_TEST_TMPDIR/db" "$BATS_TEST_TMPDIR/rows"
	[ "${#lines[@]}" = "$(wc -l <"$BATS_TEST_TMPDIR/rows")" ]
}

@test "the transcript of the README is what happens" {
	need jq
	sed -n '/^## Sixty seconds/,/^## /p' README.md | sed -n 's/^    //p' | grep -v '^\$ export PATH' \
		>"$BATS_TEST_TMPDIR/transcript"
	[ "$(grep -c '^\$' "$BATS_TEST_TMPDIR/transcript")" -ge 5 ]
	cd "$BATS_TEST_TMPDIR"
	export PATH=$BUILD:$PATH
	while IFS= read -r line; do
		echo "$line"
		[[ $line != '$ '* ]] || eval "${line#??}"
	done < <(grep '^\$ ' transcript) >happened 2>&1
	diff transcript happened
}
