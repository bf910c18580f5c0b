#!/bin/bash
# ingest.sh - whole runs of valori-ingest, from file to durable store, beside what the disk takes for the same bytes.
#
# usage: bench/ingest.sh [ROWS]      ROWS of 128 components as .fvecs (1,000,000); a tenth of it of 384 as NDJSON
#
# Prints name, value and unit, tab-separated; each figure is the best of three runs, in time of the clock: run it on a
# machine that has nothing else to do.
set -euo pipefail

rows=${1:-1000000}
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

best() { # command: the shortest of three times, each with a new store
	local least='' time
	for _ in 1 2 3; do
		rm -rf db copy
		time=$(seconds "$@")
		least=$(awk "BEGIN { print ${least:-$time} < $time ? ${least:-$time} : $time }")
	done
	echo "$least"
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
disk=$(best dd if=base.fvecs of=copy bs=8M conv=fdatasync status=none)
ingest=$(best "$build/valori-ingest" -l db --batch=100000 base.fvecs)
figure ingest_fvecs_128 "$rows / $ingest" rows/s
figure ingest_fvecs_128_of_disk "$disk / $ingest" "of writing and syncing the same bytes"
ingest=$(best "$build/valori-ingest" -l db base.fvecs)
figure ingest_fvecs_128_batch_1000 "$rows / $ingest" rows/s
rm base.fvecs

generate ndjson $((rows / 10)) 384 >base.ndjson
ingest=$(best "$build/valori-ingest" -l db --sync=none base.ndjson)
figure ingest_ndjson_384_no_sync "$((rows / 10)) / $ingest" rows/s
ingest=$(best "$build/valori-ingest" -l db base.ndjson)
figure ingest_ndjson_384 "$((rows / 10)) / $ingest" rows/s
