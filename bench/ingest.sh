#!/bin/bash
# ingest.sh - whole runs of valori-ingest, from file to durable store, beside what the disk takes for the same bytes.
#
# usage: bench/ingest.sh [ROWS [ROUNDS]]     ROWS of 128 components as .fvecs (1,000,000), a tenth of it of 384 as
#                                            NDJSON; ROUNDS (5) of everything that is compared, in turns
#
# Prints name, value and unit, tab-separated; each figure is the median of its rounds, in time of the clock: run it on a
# machine that has nothing else to do.
set -euo pipefail

rows=${1:-1000000} rounds=${2:-5}
build=$(cd "${BUILD:-$(dirname "$0")/../build}" && pwd)
directory=$(mktemp -d "${TMPDIR:-/tmp}/valori-ingest.XXXXXX")
trap 'rm -rf "$directory"' EXIT
cd "$directory"

seconds() { # command: how long it took
	local start end
	start=$(date +%s.%N)
	"$@" >/dev/null
	end=$(date +%s.%N)
	awk "BEGIN { print $end - $start }"
}

median() { # of the lines of a file
	sort -g "$1" | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'
}

# Runs the commands in turns, each with a new store; the medians of their times are in times[].
compare() { # command...
	local command words i
	for ((i = 0; i < $#; i++)); do : >"times.$i"; done
	for ((round = 0; round < rounds; round++)); do
		i=0
		for command; do
			rm -rf db copy
			read -ra words <<<"$command"
			seconds "${words[@]}" >>"times.$i"
			i=$((i + 1))
		done
	done
	times=()
	for ((i = 0; i < $#; i++)); do times+=("$(median "times.$i")"); done
}

figure() { # name, expression, unit
	awk "BEGIN { printf \"%s\\t%.4g\\t%s\\n\", \"$1\", $2, \"$3\" }"
}

# Rows of a linear congruential generator: components between -0.2 and 0.2.
generate() { # fvecs|ndjson, rows, dim
	perl -e '
		my ($format, $rows, $dim) = @ARGV;
		my $s = 1;
		for (1 .. $rows) {
			my @x = map { $s = ($s * 1103515245 + 12345) & 0x7fffffff; ($s - 0x40000000) / 0x40000000 * 0.2 } 1 .. $dim;
			print $format eq "fvecs" ? pack("Vf<*", $dim, @x) :
				"{\"vector\":[" . join(",", map { sprintf "%.9g", $_ } @x) . "]}\n";
		}' "$@"
}

generate fvecs "$rows" 128 >base.fvecs
"$build/valori-ingest" -q -l first --segment-size=1024G base.fvecs >/dev/null
mv first/events.log same
rm -rf first
# In pieces of one commit, as the tool writes them.
compare "dd if=same of=copy bs=544128 conv=fdatasync status=none" "$build/valori-ingest -l db base.fvecs" \
	"$build/valori-ingest -l db --batch=100000 base.fvecs" "$build/valori-ingest -n -l db -d 128 base.fvecs"
figure write_sync_same_bytes "$(stat -c %s same) / ${times[0]} / 1e6" MB/s
figure ingest_fvecs_128 "$rows / ${times[1]}" rows/s
figure ingest_fvecs_128_of_raw "${times[0]} / ${times[1]}" "of writing and syncing the same bytes"
figure ingest_fvecs_128_batches_of_8MiB "$rows / ${times[2]}" rows/s
figure ingest_fvecs_128_batches_of_8MiB_of_raw "${times[0]} / ${times[2]}" "of writing and syncing the same bytes"
figure ingest_fvecs_128_dry_run "$rows / ${times[3]}" rows/s
rm base.fvecs same

generate ndjson $((rows / 10)) 384 >base.ndjson
compare "$build/valori-ingest -l db --sync=none base.ndjson" "$build/valori-ingest -l db base.ndjson"
figure ingest_ndjson_384_no_sync "$((rows / 10)) / ${times[0]}" rows/s
figure ingest_ndjson_384 "$((rows / 10)) / ${times[1]}" rows/s
