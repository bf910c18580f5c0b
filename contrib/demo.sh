#!/bin/sh
# demo.sh - the whole story in under a minute: real text in, answers out, kill -9 in the middle, and the proof that
# nothing was lost. Run by `make demo`; needs the built tools (BUILD names their directory) and no network.
set -eu

build=${BUILD:-build}
here=$(cd "$(dirname "$0")" && pwd)
PATH=$(cd "$build" && pwd):$PATH
export PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
store=store
exec 3>&1 2>&1

say() { printf '\n# %s\n' "$*"; }
show() { # print a command as one would type it, then run it
	printf '$ %s\n' "$*" >&3
	"$@"
}
die() {
	echo "demo: $*" >&2
	exit 1
}

say "Real text: the licences and manual pages of this machine, and this project's own documents"
{
	find /usr/share/common-licenses -type f
	find /usr/share/man/man1 /usr/share/man/man7 /usr/share/man/man8 -name '*.gz' -type f 2>/dev/null |
		LC_ALL=C sort | head -n 150
	find "$here/../man" "$here/../docs" "$here/../README.md" -type f
} | LC_ALL=C sort > files
# shellcheck disable=SC2046  # no name in these directories has a space
"$here/embed.pl" $(cat files) > paragraphs
rows=$(wc -l < paragraphs)
awk 'NR % 2' paragraphs > first.ndjson # every other one, so that both halves speak of everything
awk 'NR % 2 == 0' paragraphs | cat first.ndjson - > all.ndjson
echo "$(wc -l < files) files, $rows paragraphs, embedded by contrib/embed.pl (hashed words and trigrams: no model)"

say "Ingest half of them: one id per line, printed when it is durable"
show valori-ingest -v --source demo --resume -l "$store" first.ndjson > ids
echo "$(wc -l < ids) ids acknowledged"

ask() {
	say "Ask: $1"
	"$here/embed.pl" -q "$1" > question
	valori-search -l "$store" -k 3 question | cut -f 2,5,6,8 | cut -c 1-110
}
ask "may I distribute modified versions of the program in source form?"
ask "what happens to a torn tail of the event log after a crash?"

say "Snapshot, read back, and trim the log behind it"
show valori-snapshot -v -l "$store" --trim
show valori-verify "$store"

say "Ingest the rest, and kill -9 in the middle"
: > acknowledged
valori-ingest --batch 1 --source demo --resume -l "$store" all.ndjson >> acknowledged 2> killed &
writer=$!
while kill -0 $writer 2>/dev/null && [ "$(wc -l < acknowledged)" -lt 300 ]; do :; done
kill -9 $writer 2>/dev/null || die "the ingest was over before it could be killed"
wait $writer 2>/dev/null || true
acknowledged=$(wc -l < acknowledged)
last=$(tail -n 1 acknowledged)
echo "killed; it had acknowledged $acknowledged more rows, the last one with id $last"

say "Nothing acknowledged was lost: the last id is there, and the root is proven from the bytes"
show valori-search -l "$store" -k 1 --by-id "$last" | cut -f 2-6
found=$(valori-search -l "$store" -k 1 --by-id "$last" | cut -f 3)
[ -n "$found" ] || die "id $last was acknowledged and is gone"
show valori-verify "$store"

say "Run the same command again: it goes on where it was killed"
show valori-ingest -v --batch 1000 --source demo --resume -l "$store" all.ndjson > rest
total=$(($(wc -l < ids) + acknowledged + $(wc -l < rest)))
echo "$rows rows, $total acknowledged in three runs"
echo "(rows committed but not yet printed at the kill are not printed again)"
valori-replay --state "$store"

say "Now flip one bit in the middle of the log of a copy"
cp -R "$store" copy
size=$(wc -c < "copy/events.log")
middle=$((size / 2))
byte=$(od -An -tu1 -j "$middle" -N 1 "copy/events.log" | tr -d ' ')
# shellcheck disable=SC2059  # the format is one octal escape
printf "\\$(printf %o $((byte ^ 1)))" | dd of="copy/events.log" bs=1 seek="$middle" conv=notrunc 2>/dev/null
echo "byte $middle of copy/events.log: $byte became $((byte ^ 1))"
status=0
show valori-verify copy || status=$?
echo "exit status $status"
[ "$status" -eq 3 ] || die "valori-verify did not find the damage"
printf '\nThat is all there is to it.\n'
