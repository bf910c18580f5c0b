# house.bash - what the house tests share. BUILD comes from tests/run; by hand it is build/.

cd "$BATS_TEST_DIRNAME/../.." || exit 1
: "${BUILD:=$PWD/build}"
CC=$(sed -n 's/^CC = //p' "$BUILD/config.mak")
ARCH=$(sed -n 's/^ARCH = //p' "$BUILD/config.mak")

# Files that people wrote: all but what was built, and the golden files, which are bytes.
sources() { # find arguments to choose some
	find . \( -name .git -o -type d -name 'build*' -o -path ./tests/vectors \) -prune -o -type f "$@" -print | sort
}

# Code without comments and string contents, for searches that must not be fooled by prose. Keeps line breaks.
code() {
	sed -E 's/"([^"\\]|\\.)*"/""/g' "$1" | "${CC%% *}" -fpreprocessed -dD -E -P -w -x c - 2>/dev/null
}

# The names of the tools, from their sources; each must have been built.
tools() {
	local source
	for source in cmd/valori-*.c; do
		basename "$source" .c
	done
}

need() { # command
	command -v "$1" >/dev/null || skip "$1 is not installed"
}

# Modules of lib/LAYERS below the waterline, and their sources.
below() {
	awk '/^#.*waterline/ { below = 1 } below && !/^#/ { for (i = 1; i <= NF; i++) print $i }' lib/LAYERS
}

sources_below() {
	local module file
	for module in $(below); do
		for file in lib/"$module".[ch] lib/"$module"_*.[ch]; do
			[ ! -e "$file" ] || echo "$file"
		done
	done | sort -u
}

# Prints what it was given and fails when that is anything: for checks that list the offenders.
none() {
	[ -z "$*" ] || { printf '%s\n' "$@"; return 1; }
}
