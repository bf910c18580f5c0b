#!/usr/bin/env bats
# The map and the waterline: position decides purity.

setup() {
	load house
}

@test "every file of lib/ includes only modules below its own in lib/LAYERS" {
	none "$(awk -f tests/house/layers.awk lib/LAYERS lib/*.[ch])"
}

@test "every module of lib/LAYERS is there, and stands there once" {
	modules=$(grep -v '^#' lib/LAYERS | tr ' ' '\n')
	none "$(sort <<<"$modules" | uniq -d)"
	for module in $modules; do
		ls lib/"$module".[ch] >/dev/null
	done
}

# bytes.h holds numbers in byte strings, mapped.h the name of the file whose mapping was cut short: no algorithms.
@test "what lies in cmd/ knows of lib/ only its public header, bytes.h, mapped.h and lib/net" {
	none "$(grep -nE '^[ \t]*#[ \t]*include[ \t]*"' cmd/*.[ch] | grep -vE '"(valori|bytes|mapped|net/[a-z]*)\.h"' |
		while IFS='"' read -r place header _; do [ -e "cmd/$header" ] || echo "$place$header"; done)"
}

@test "below the waterline only headers that need no operating system are included" {
	none "$(sources_below | xargs grep -nE '^[ \t]*#[ \t]*include[ \t]*<' |
		grep -vE '<(stddef|stdint|stdbool|stdalign|limits|stdarg|string|immintrin|arm_neon|stdnoreturn)\.h>')"
}

@test "the core needs nothing of a C library but mem*" {
	run make -s BUILD="$BUILD" core
	[ "$status" = 0 ]
	[ -s "$BUILD/core.o" ]
}

@test "no floating-point arithmetic, comparison or conversion in the core" {
	[ -s "$BUILD/core.o" ]
	case $ARCH in
	x86_64|i386)
		float='v?(add|sub|mul|div|sqrt|min|max|cmp[a-z]*|ucomi|comi|rcp[0-9]*|rsqrt[0-9]*|round|rndscale|hadd|hsub|addsub|dp|range|reduce|scalef|getexp|getmant|fixupimm)(ss|sd|ps|pd|sh|ph)|v?cvt[a-z0-9]+|vfn?m(add|sub|addsub|subadd)[0-9a-z]+|f[a-z][a-z0-9]*' ;;
	aarch64) float='f(add|sub|mul|div|madd|msub|mla|mls|sqrt|cmp|cmpe|ccmp|max|min|abd|cvt)[a-z0-9]*|[su]cvtf' ;;
	*) skip "the float instructions of $ARCH are not listed" ;;
	esac
	none "$(objdump -d --no-show-raw-insn "$BUILD/core.o" |
		awk -v float="^($float)\$" '/^[0-9a-f]+ </ { f = $2 } $1 ~ /^[0-9a-f]+:$/ && $2 ~ float { print f, $0 }' | head)"
}

@test "no float, no double in the code below the waterline" {
	for file in $(sources_below); do
		none "$(code "$file" | grep -nwE 'float|double' | sed "s|^|$file: |")"
	done
}

@test "no writable data in the core" {
	[ -s "$BUILD/core.o" ]
	none "$(readelf -SW "$BUILD/core.o" | sed 's/^ *\[ *[0-9]*\] *//' |
		awk '$1 ~ /^\.(t?data|t?bss)(\.|$)/ && $1 !~ /^\.data\.rel\.ro/ && $5 !~ /^0+$/ { print $1, $5 }')"
	none "$(nm "$BUILD/core.o" | awk '$(NF - 1) == "C"')"
}

@test "only os opens, reads, writes, syncs, renames, maps, locks or asks the time" {
	objects=$(ls "$BUILD"/lib/*.o 2>/dev/null | grep -vE '/os(_[a-z0-9]+)?\.o$' || true)
	[ -n "$objects" ]
	world='open|openat|creat|close|p?readv?|p?writev?|fsync|fdatasync|sync_file_range|fallocate|posix_fallocate|ftruncate|truncate|renameat?2?|link|unlink|unlinkat|mkdir|rmdir|mmap|munmap|msync|mremap|fcntl|flock|lockf|stat|fstat|lstat|opendir|readdir|fopen|fdopen|fread|fwrite|fgets|printf|fprintf|puts|perror|time|clock|clock_gettime|gettimeofday|getenv|secure_getenv|getrandom|getentropy|random|rand|exit|_exit|abort|setlocale|localeconv'
	# shellcheck disable=SC2086
	none "$(nm -uA $objects | awk -v world="^($world)(64)?(@.*)?\$" '$NF ~ world')"
}
