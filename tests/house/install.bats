#!/usr/bin/env bats
# What make install puts where, and that the build says the same twice.

bats_require_minimum_version 1.5.0

setup() {
	load house
	export MAKEFLAGS=
}

installed() {
	(cd "$BATS_TEST_TMPDIR/root" && find . ! -type d | sort)
}

@test "make install puts tools, library, header, manual and completions under DESTDIR and PREFIX" {
	make -s BUILD="$BUILD" DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/opt/valori install >/dev/null
	cd "$BATS_TEST_TMPDIR/root/opt/valori"
	for tool in $(cd "$OLDPWD" && tools); do
		[ -x "bin/$tool" ]
		[ -s "share/man/man1/$tool.1" ]
		[ -s "share/bash-completion/completions/$tool" ]
		[ -s "share/fish/vendor_completions.d/$tool.fish" ]
	done
	[ -s share/zsh/site-functions/_valori ]
	[ -s share/man/man7/valori.7 ]
	[ -s share/man/man3/libvalori.3 ]
	[ -s lib/libvalori.a ]
	[ -s lib/libvalori.so ]
	[ -L lib/libvalori.so.0 ]
	[ "$(ls include)" = valori.h ]
	none "$(installed | grep -v '^./opt/valori/')"
}

@test "what was installed compiles, links and runs through pkg-config" {
	need pkg-config
	make -s BUILD="$BUILD" PREFIX="$BATS_TEST_TMPDIR/root" install >/dev/null
	cat >"$BATS_TEST_TMPDIR/t.c" <<-'END'
		#include <valori.h>
		int main(void) { return valori_version()[0] == 0; }
	END
	export PKG_CONFIG_PATH=$BATS_TEST_TMPDIR/root/lib/pkgconfig
	# shellcheck disable=SC2046
	$CC -o "$BATS_TEST_TMPDIR/t" "$BATS_TEST_TMPDIR/t.c" $(pkg-config --cflags --libs valori)
	LD_LIBRARY_PATH=$BATS_TEST_TMPDIR/root/lib "$BATS_TEST_TMPDIR/t"
}

@test "make uninstall leaves nothing" {
	make -s BUILD="$BUILD" DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/usr install >/dev/null
	[ -n "$(installed)" ]
	make -s BUILD="$BUILD" DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/usr uninstall >/dev/null
	none "$(installed)"
}

@test "a build elsewhere gives the same libvalori.so and the same core, byte for byte" {
	mkdir -p "$BATS_TEST_TMPDIR/tree/build"
	cp -r configure Makefile lib "$BATS_TEST_TMPDIR/tree"
	cp "$BUILD"/config.* "$BATS_TEST_TMPDIR/tree/build"
	make -s -j2 -C "$BATS_TEST_TMPDIR/tree" BUILD=build WERROR=-Werror lib core >/dev/null
	cmp "$BATS_TEST_TMPDIR/tree/build/core.o" "$BUILD/core.o"
	cmp "$BATS_TEST_TMPDIR/tree/build/libvalori.so" "$BUILD/libvalori.so"
}
