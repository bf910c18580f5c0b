#!/usr/bin/env bats
# A hostile place: files that are not what their names say, disks that are full or read-only, a store that changes under
# its readers, formats of tomorrow. Every answer is one line and a status; nothing that was acknowledged is lost.

load helper

# The status of a command that must not hang; what it says is in the files out and err.
answer() { # command...
	local code=0
	timeout -k 1 10 "$@" >out 2>err </dev/null || code=$?
	echo $code
}

# A command must answer with this status and one line of its own that has these words.
says() { # status, words, command...
	local status=$1 words=$2 code
	shift 2
	code=$(answer "$@")
	[ "$code" = "$status" ] || fail "$*: status $code, says $(cat err)"
	[[ $(cat err) == "$1: "*"$words"* ]] || fail "$*: says '$(cat err)'"
	[ "$(wc -l <err)" = 1 ] || fail "$*: says '$(cat err)'"
}

# What a store consists of; who wrote last is no part of it.
content() { # store
	find "$1" ! -name '*.lock' -printf '%P %y %s\n' | sort
	find "$1" -type f ! -name '*.lock' -print0 | sort -z | xargs -0 cat | cksum
}

# What reads a store, each in a line.
readers() { # store
	printf '%s\n' "valori-replay $1" "valori-replay --state $1" "valori-search -l $1 -e [0,0]" "valori-verify $1" \
		"valori-snapshot -l $1 -o $BATS_TEST_TMPDIR/unwanted"
}

# Every tool must answer so for this store, valori-ingest included, and leave it as it is.
all_say() { # status, words, store
	local before line
	before=$(content "$3")
	while read -ra line; do
		says "$1" "$2" "${line[@]}"
		[ ! -e unwanted ] || fail "${line[*]}: leaves a file"
	done < <(readers "$3"; echo "valori-ingest -l $3 extra")
	[ "$(content "$3")" = "$before" ] || fail "$3 was changed"
}

# Waits for a condition, at most 5 seconds.
until_true() { # command...
	for _ in {1..100}; do
		"$@" && return
		sleep 0.05
	done
	fail "waited in vain for: $*"
}

has_lines() { # file, n
	[ "$(wc -l <"$1")" -ge "$2" ]
}

# Nobody in particular, who may write nothing here.
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

teardown() {
	mountpoint -q small 2>/dev/null && umount small
	mountpoint -q evidence 2>/dev/null && umount evidence
	return 0
}

@test "pipes, directories and loops of links in place of a store's files: 4, and nobody waits" {
	store good 10 2
	echo '[1,2]' >extra
	for name in events.log events.head; do
		for kind in pipe directory loop; do
			cp -r good "$name-$kind"
			rm "$name-$kind/$name"
		done
		mkfifo "$name-pipe/$name"
		mkdir "$name-directory/$name"
		ln -s "$name" "$name-loop/$name"
		all_say 4 "$name: cannot be opened: is a pipe" "$name-pipe"
		all_say 4 "$name: cannot be read: is a directory" "$name-directory"
		all_say 4 "$name: cannot be opened: too many levels of symbolic links" "$name-loop"
	done
	for name in events.lock snapshot.val; do
		rm -rf db
		cp -r good db
		rm -f "db/$name"
		mkfifo "db/$name"
		says 4 "$name: cannot be opened: is a pipe" valori-ingest -l db extra
	done
	# a pipe may be a stream to read, but no store
	mkfifo pipe pipe.log
	says 4 "pipe.log: cannot be opened: is a pipe" valori-ingest -l pipe.log extra
	says 4 "pipe" valori-ingest -l pipe extra
	ln -s loop loop
	for path in loop extra/db; do
		while read -ra line; do
			says 4 "$path" "${line[@]}"
		done < <(readers $path; echo "valori-ingest -l $path extra")
	done
}

@test "a device in place of a log is no log: 3" {
	ln -s /dev/zero zero.log
	echo '[1,2]' >extra
	while read -ra line; do
		says 3 "zero.log: is not an event log" "${line[@]}"
	done < <(readers zero.log; echo "valori-ingest -l zero.log extra")
	[ -c /dev/zero ]
}

@test "a device in place of a snapshot is no snapshot: 3, and the log is used without it" {
	store db 10 2
	ln -s /dev/zero db/snapshot.val
	says 3 "db/snapshot.val: a device or a pipe, not a snapshot; the log itself is sound" valori-verify db
	says 3 "/dev/zero: a device or a pipe, not a snapshot" valori-snapshot -s /dev/zero --info
	[ "$(answer valori-search -l db -e '[0,0]')" = 0 ]
	grep -q "snapshot not used: db/snapshot.val: a device or a pipe, not a snapshot$" err
	[ -c /dev/zero ]
}

@test "a newer version of log, head or snapshot: 7, with both numbers, and nothing is touched" {
	store good 10 2
	valori-snapshot -l good
	echo '[1,2]' >extra
	cp -r good log
	set_version log/events.log 2 4092
	all_say 7 "version 2" log
	grep -q "for 1\|reads 1" err
	cp -r good head
	set_version head/events.head 3 48
	all_say 7 "version 3, this is for 1" head
	cp -r good snapshot
	set_version snapshot/snapshot.val 4 4092
	says 7 "snapshot format 4, this library reads 2" valori-verify snapshot/snapshot.val
	says 7 "snapshot format 4, this library reads 2" valori-search -s snapshot/snapshot.val -e '[0,0]'
	says 7 "snapshot format 4, this library reads 2" valori-snapshot -s snapshot/snapshot.val --info
	# the same version again: it was the number alone
	set_version log/events.log 1 4092
	[ "$(answer valori-verify log)" = 0 ]
}

@test "a head that is missing, damaged, stale, or of another log is not relied on; one that is ahead accuses the log" {
	store good 20 2
	store other 10 2
	echo '[1,2]' >extra
	cp -r good missing; rm missing/events.head
	cp -r good short; truncate -s 100 short/events.head
	cp -r good empty; : >empty/events.head
	cp -r good flipped; flip flipped/events.head 20
	cp -r good strange; cp other/events.head strange
	cp -r good stale
	valori-ingest -q -l stale extra >ids
	cp good/events.head stale
	for db in missing short empty flipped strange stale; do
		while read -ra line; do
			[ "$(answer "${line[@]}")" = 0 ] || fail "${line[*]}: $(cat err)"
		done < <(readers $db)
		# readers of a stale head see what it says is acknowledged; a writer looks at the log itself
		[ "$(state $db height)" = 20 ]
		[ "$(answer valori-ingest -l $db extra)" = 0 ]
		[ "$(cat out)" = "$([ $db = stale ] && echo 21 || echo 20)" ]
		# the writer has made a good head again
		says_nothing=$(valori-replay --state $db 2>&1 >/dev/null)
		[ -z "$says_nothing" ]
		[ "$(answer valori-verify $db)" = 0 ]
	done
	cp -r good ahead
	valori-ingest -q -l ahead extra >ids
	cp good/events.log ahead
	rm -f unwanted
	while read -ra line; do
		[ "$(answer "${line[@]}")" = 3 ] || fail "${line[*]}: $(cat err)"
		grep -q "ends at event 20, but events up to 21 were acknowledged" err
	done < <(readers ahead; echo "valori-ingest -l ahead extra"; echo "valori-snapshot -l ahead --trim")
	cmp good/events.log ahead/events.log
}

@test "a damaged snapshot: the log decides; without the log, 3" {
	store db 20 2
	valori-snapshot -l db
	root=$(root db)
	echo '[1,2]' >extra
	size=$(stat -c %s db/snapshot.val)
	for at in 0 40 4095 5000 $((size - 1)); do
		cp -r db damaged
		flip damaged/snapshot.val "$at"
		[ "$(valori-replay --state damaged 2>err | awk '$1 == "state_root" { print $2 }')" = "$root" ]
		[ "$(answer valori-ingest -q -l damaged extra)" = 0 ] || fail "$at: $(cat err)"
		[ "$(cat out)" = 20 ]
		[ "$(answer valori-verify damaged)" = 3 ] || fail "$at: valori-verify does not see it"
		mv damaged/snapshot.val alone.val
		says 3 alone.val valori-snapshot -s alone.val --verify
		[ "$(answer valori-verify damaged)" = 0 ]
		rm -rf damaged
	done
	truncate -s 5000 db/snapshot.val
	[ "$(root db 2>err)" = "$root" ]
	mv db/snapshot.val alone.val
	says 3 alone.val valori-search -s alone.val -e '[0,0]'
	says 3 alone.val valori-snapshot -l new -s alone.val --restore
	[ ! -e new/events.log ]
}

@test "the snapshot of another log is not used, not overwritten, and trims nothing" {
	store db 20 2
	store other 30 2
	valori-snapshot -l other
	cp other/snapshot.val db
	echo '[1,2]' >extra
	[ "$(state db height 2>err)" = 20 ]
	[ "$(answer valori-search -l db -e '[0,0]')" = 0 ]
	grep -q "snapshot not used: db/snapshot.val: is of another log$" err
	[ "$(answer valori-ingest -l db extra)" = 0 ]
	for options in "" --trim --if-newer; do
		# shellcheck disable=SC2086  # none or one
		[ "$(answer valori-snapshot -l db $options)" = 1 ] || fail "$options: $(cat err)"
		grep -q "valori-snapshot: db/snapshot.val: is the snapshot of another log, and stays as it is" err
	done
	cmp other/snapshot.val db/snapshot.val
	[ "$(valori-replay --state db 2>err | awk '$1 == "height" { print $2 }')" = 21 ]
	valori-snapshot -q -l db -o db/snapshot.val 2>err
	[ "$(root db)" = "$(valori-snapshot -s db/snapshot.val --info | awk '$1 == "state_root" { print $2 }')" ]
}

@test "two stores in one directory do not know of each other" {
	mkdir both
	store both/a.log 20 2
	store both/b.log 10 3
	store both/events.log 5 4
	for name in a:20:2 b:10:3 events:5:4; do
		IFS=: read -r stem height dim <<<"$name"
		[ "$(state "both/$stem.log" height)" = "$height" ]
		[ "$(state "both/$stem.log" dim)" = "$dim" ]
	done
	[ "$(state both height)" = 5 ]
	for stem in a b; do
		rows 60 "$(state both/$stem.log dim)" 7 z |
			valori-ingest -q -l both/$stem.log --segment-size=8192 --batch=5 >ids
		valori-snapshot -l both/$stem.log -s both/$stem.val
		valori-snapshot -l both/$stem.log -s both/$stem.val --trim
		[ "$(answer valori-verify -s both/$stem.val both/$stem.log)" = 0 ] || fail "$(cat err)"
	done
	[ "$(state both/events.log height)" = 5 ]
	[ "$(answer valori-verify both)" = 0 ]
	# a writer of one does not lock the other
	mkfifo rows
	valori-ingest -l both/a.log -s both/a.val rows >ids &
	exec 9<>rows
	echo '[1,2]' >&9
	[ "$(rows 1 3 9 y | valori-ingest -q -l both/b.log -s both/b.val | wc -l)" = 1 ]
	kill -TERM $!
	exec 9>&-
	wait $! || [ $? = 143 ]
}

@test "a store on a read-only mount: it can be read, and writing is 4" {
	store db 20 2
	valori-snapshot -l db
	store bare 20 2
	mkdir evidence
	echo '[1,2]' >extra
	for source in db bare; do
		mount --bind "$source" evidence 2>/dev/null && mount -o remount,bind,ro evidence 2>/dev/null ||
			skip "nothing can be mounted here"
		before=$(fingerprint evidence)
		while read -ra line; do
			[ "$(answer "${line[@]}")" = 0 ] || fail "${line[*]}: $(cat err)"
		done < <(readers evidence)
		[ -s unwanted ]
		says 4 "read-only file system" valori-ingest -l evidence extra
		says 4 "read-only file system" valori-snapshot -l evidence
		says 4 "read-only file system" valori-snapshot -l evidence --trim
		[ "$(fingerprint evidence)" = "$before" ]
		umount evidence
	done
}

@test "a store of another user: it can be read, and writing is 4" {
	[ "$(id -u)" = 0 ] && as_nobody test -x "$(command -v valori-replay)" || skip "only root can become nobody"
	place=$(mktemp -d /tmp/valori.XXXXXX)
	chmod 755 "$place"
	store "$place/db" 20 2
	echo '[1,2]' >"$place/extra"
	before=$(fingerprint "$place/db")
	code=0
	for command in "valori-replay" "valori-replay --state" "valori-verify" "valori-search -e [0,0] -l"; do
		# shellcheck disable=SC2086  # words are meant
		as_nobody $command "$place/db" >out 2>err || { code=$?; break; }
		[ -s out ] || code=99
	done
	as_nobody valori-ingest -l "$place/db" "$place/extra" >out 2>refused && code=98
	as_nobody valori-snapshot -l "$place/db" >out 2>>refused && code=97
	after=$(fingerprint "$place/db")
	chmod 700 "$place/db"
	as_nobody valori-verify "$place/db" >out 2>>refused && code=96
	rm -rf "$place"
	[ "$code" = 0 ] || fail "$code: $(cat err)"
	[ "$before" = "$after" ]
	[ "$(grep -ci "permission denied" refused)" = 3 ] || fail "says $(cat refused)"
}

@test "a full disk: 4, what was printed is there, and with room again it goes on" {
	mkdir small
	mount -t tmpfs -o size=128k none small 2>/dev/null || skip "nothing can be mounted here"
	rows 3000 8 >all
	code=0
	valori-ingest -l small/db --batch=50 all >ids 2>said || code=$?
	[ "$code" = 4 ]
	grep -q "no space left on device" said
	count=$(wc -l <ids)
	[ "$count" -gt 0 ]
	[ "$count" -lt 3000 ]
	[ "$(answer valori-verify small/db)" = 0 ] || fail "$(cat err)"
	[ "$(state small/db height)" = "$count" ]
	# still full: the same answer again, and nothing is lost by asking
	code=0
	tail -n +$((count + 1)) all | valori-ingest -l small/db >ids2 2>said || code=$?
	[ "$code" = 4 ]
	[ "$(state small/db height)" = $((count + $(wc -l <ids2))) ]
	count=$(state small/db height)
	[ "$(answer valori-snapshot -l small/db)" = 4 ]
	[ "$(find small -name 'snapshot*' | wc -l)" = 0 ]
	mount -o remount,size=16m small
	tail -n +$((count + 1)) all | valori-ingest -q -l small/db >ids3
	[ "$(state small/db height)" = 3000 ]
	[ "$(answer valori-verify small/db)" = 0 ]
	# the state is that of a store which never ran out of room
	valori-ingest -q -l big all >ids
	[ "$(root big)" = "$(root small/db)" ]
}

@test "a log that is trimmed under a follower goes on; one that is replaced, or cut, is told" {
	rows 40 2 | valori-ingest -q -l db -d 2 --batch=5 --segment-size=8192 >ids
	valori-replay --follow db >seen 2>said &
	pid=$!
	until_true has_lines seen 40
	valori-snapshot -l db --trim
	rows 5 2 3 z | valori-ingest -q -l db >ids
	until_true has_lines seen 45
	kill -TERM $pid
	wait $pid
	[ ! -s said ]

	store other 60 2
	valori-replay --follow db >seen 2>said &
	pid=$!
	until_true has_lines seen 5
	cp other/events.head db/events.head
	cp other/events.log db/new
	mv db/new db/events.log
	code=0
	wait $pid || code=$?
	[ "$code" = 1 ]
	grep -q "was replaced by another log" said

	valori-replay --follow other >seen 2>said &
	pid=$!
	until_true has_lines seen 60
	truncate -s 5000 other/events.log
	code=0
	timeout 5 tail --pid=$pid -f /dev/null || kill -TERM $pid
	wait $pid || code=$?
	[ "$code" = 3 ] || fail "status $code, says $(cat said)"
	grep -q "other/events.log: was cut to 5000 bytes under its reader" said
}

@test "readers beside a writer and trims: every answer is a whole state" {
	rows 2000 2 >all
	head -n 20 all | valori-ingest -q -l db --segment-size=8192 --batch=5 >ids
	tail -n +21 all | valori-ingest -q -l db --segment-size=8192 --batch=5 --sync=none >ids &
	writer=$!
	for _ in {1..6}; do
		for command in "valori-verify db" "valori-replay --state db" "valori-search -l db -e [0,0]"; do
			# shellcheck disable=SC2086  # words are meant
			[ "$(answer $command)" = 0 ] || fail "$command: $(cat err)"
		done
		valori-snapshot -l db || fail "no snapshot beside a writer"
	done
	wait $writer
	(for _ in {1..6}; do valori-snapshot -l db --trim; done) &
	trimmer=$!
	for _ in {1..6}; do
		[ "$(answer valori-verify db)" = 0 ] || fail "beside a trim: $(cat err)"
		[ "$(answer valori-replay --state db)" = 0 ] || fail "beside a trim: $(cat err)"
	done
	wait $trimmer
	[ "$(state db height)" = 2000 ]
}

@test "nothing to do: empty streams, no queries" {
	store db 5 2
	before=$(content db)
	for command in "valori-search -l db" "valori-search -l db -f fvecs" "valori-search -l db -f csv" \
		"valori-ingest -l db"; do
		# shellcheck disable=SC2086  # words are meant
		[ "$(answer $command)" = 0 ] || fail "$command: $(cat err)"
		[ ! -s out ] && [ ! -s err ] || fail "$command: prints"
	done
	[ "$(content db)" = "$before" ]
	for command in "valori-verify -" "valori-replay -" "valori-search -l - -e [0,0]" \
		"valori-ingest -l db -f log"; do
		# shellcheck disable=SC2086  # words are meant
		says 3 "standard input" $command
	done
	says 3 "standard input" valori-snapshot -l new -s - --restore
}

# ---- the clock ----

@test "the clock was set back: times of commits never go back, and a moment is found by its time" {
	if grep -q '^SANITIZED = yes' "$BUILD/config.mak"; then skip "a sanitizer wants to be loaded first itself"; fi
	store db 4 2 2
	before=$(valori-replay --state db | awk -F '\t' '$1 == "time" { print $2 }')
	rows 4 2 2 z | FAIL_CLOCK=86400 LD_PRELOAD=$(cd "$BUILD" && pwd)/tests/fault/failing.so \
		valori-ingest -q -l db --batch 2 >ids
	valori-verify -q db
	valori-verify --trace db | cut -s -f 4 >times
	[ "$(wc -l <times)" = 4 ]
	sort -c times
	[ "$(tail -n 1 times)" = "$before" ]
	[ "$(valori-replay --state --at="$before" db | awk -F '\t' '$1 == "height" { print $2 }')" = 8 ]
	rows 2 2 3 y | valori-ingest -q -l db >ids
	valori-verify -q db
}
