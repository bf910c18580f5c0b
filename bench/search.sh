#!/bin/bash
# search.sh - what search costs and finds, beside hnswlib and faiss, as one run: tables, ratios against their floors, a
# plot.
#
# usage: bench/search.sh [--quick|--tiny] [--data DIR] [--rows N] [--rounds N] [--out DIR] [--keep]
#
# The sets: those of DIR (sift-200k and fashion-20k there; ../shared/data beside this tree, when there is one), and made
# ones, 1,000,000 x 128 and 100,000 x 768. --quick: of the made ones only 30,000 x 768; about three minutes. --tiny:
# some thousand rows of everything, which only shows that it works. --rows: no set has more.
# DIR/search.tsv, DIR/search-summary.tsv and, with gnuplot, DIR/search.svg are written: build/bench-search/ unless --out
# says otherwise. --keep: they are copied to bench/results/, under the date, and the line that shows the plot in the
# README is printed. Run it on a machine that has nothing else to do.
#
# The other libraries take part where Debian's g++, libhnswlib-dev, libfaiss-dev and libopenblas-dev are installed.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
export BUILD=${BUILD:-build}
data='' rows=0 rounds='' out=$BUILD/bench-search size=full keep=''
[ -d "${VALORI_SHARED:-../shared}/data" ] && data=${VALORI_SHARED:-../shared}/data

while [ $# -gt 0 ]; do
	case $1 in
	--quick | --tiny) size=${1#--} ;;
	--keep) keep=yes ;;
	--data | --rows | --rounds | --out)
		[ $# -gt 1 ] || { echo "search.sh: $1: needs a value" >&2; exit 2; }
		case $1 in
		--data) data=$2 ;;
		--rows) rows=$2 ;;
		--rounds) rounds=$2 ;;
		--out) out=$2 ;;
		esac
		shift
		;;
	*) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
	shift
done

make -s BUILD="$BUILD" all "$BUILD/bench/bench_search"
anchor() { # name, header that it needs
	if echo "#include <$2>" | c++ -E -x c++ - >/dev/null 2>&1; then
		make -s BUILD="$BUILD" "$BUILD/bench/anchors/$1" || echo "search.sh: without $1" >&2
	else
		echo "search.sh: without $1: no $2 here" >&2
	fi
}
anchor hnswlib hnswlib/hnswlib.h
anchor faiss faiss/IndexHNSW.h

mkdir -p "$out"
work=$(mktemp -d "${TMPDIR:-/tmp}/valori-search.XXXXXX")
trap 'rm -rf "$work"' EXIT
table=$out/search.tsv summary=$out/search-summary.tsv plot=$out/search.svg

least() { # a, b: the smaller one; 0 is none
	if [ "$1" -eq 0 ] || { [ "$2" -ne 0 ] && [ "$2" -lt "$1" ]; }; then echo "$2"; else echo "$1"; fi
}

machine() {
	printf '# %s, %s; %s, %s cores, kernels %s; %s; %s\n' "$(date -u +%F)" \
		"$(git describe --always --dirty 2>/dev/null || echo 'no commit')" \
		"$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
		"$("$BUILD/valori-verify" --version | sed -n 's/.*\(avx[0-9]*\|sse4\|neon\|portable\).*/\1/p' | head -n 1)" \
		"$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)" "$(cc --version | head -n 1)"
	printf '# bench/search.sh, size %s; load of the minute before: %s\n' "$size" "$(cut -d ' ' -f 1 /proc/loadavg)"
}

{
	machine
	printf 'set\tname\tparameters\trecall\tqueries_s\tp50_us\tp99_us\tbytes_row\tbuild_rows_s\n'
} >"$table"
{
	machine
	printf 'set\twhat\tvalue\tfloor\tverdict\n'
} >"$summary"

one() { # arguments of bench_search
	local start=$SECONDS
	echo "search.sh: bench_search $*" >&2
	rm -rf "$work/db"
	"$BUILD/bench/bench_search" --work="$work" ${rounds:+--rounds=$rounds} "$@" >"$work/lines"
	grep -v '^ratio' "$work/lines" >>"$table"
	sed -n 's/^ratio\t//p' "$work/lines" >>"$summary"
	echo "search.sh: $((SECONDS - start)) s" >&2
}

real() { # name, rows, other arguments
	if [ -n "$data" ] && [ -e "$data/$1/base.bvecs" ]; then
		one --data="$data/$1" --rows="$(least "$rows" "$2")" "${@:3}"
	else
		echo "search.sh: without $1: it is not in ${data:-any folder: --data}" >&2
	fi
}

# The graph of faiss takes longest to build, and is measured where that is not for minutes.
case $size in
tiny)
	rounds=${rounds:-1}
	real sift-200k 4000 --queries=100
	one --rows="$(least "$rows" 3000)" --dim=768 --unit --queries=100
	;;
quick)
	rounds=${rounds:-3}
	real sift-200k 0 --queries=500 --faiss=flat,ivf
	real fashion-20k 0
	one --rows="$(least "$rows" 30000)" --dim=768 --unit --queries=500 --faiss=flat,ivf
	;;
full)
	real sift-200k 0
	real fashion-20k 0
	one --rows="$(least "$rows" 100000)" --dim=768 --unit --queries=1000
	one --rows="$(least "$rows" 1000000)" --dim=128 --queries=1000
	;;
esac

if command -v gnuplot >/dev/null 2>&1; then
	gnuplot -e "table='$table'; plot_file='$plot'" bench/search.gp
else
	echo "search.sh: without a plot: no gnuplot here" >&2
	plot=
fi
grep -v '^#' "$summary" | { column -t -s "$(printf '\t')" 2>/dev/null || cat "$summary"; }
echo "search.sh: $table $summary $plot" >&2
if [ -n "$keep" ]; then
	kept=bench/results/$(date -u +%F)-search
	cp "$table" "$kept.tsv"
	cp "$summary" "$kept-summary.tsv"
	[ -z "$plot" ] || cp "$plot" "$kept.svg"
	echo "![queries a second at each recall, beside hnswlib and faiss]($kept.svg)"
fi
