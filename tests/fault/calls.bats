#!/usr/bin/env bats
# Every call of the system fails once, in every tool: no crash, no hang, no success without its result, and a store that
# holds all that was acknowledged and can go on, also when a sync that fails takes with it what was written before it.
# Interrupted and short calls must not be seen at all.

load ../cli/helper

FAILING=$(cd "$BUILD" && pwd)/tests/fault/failing.so

setup() {
	# thousands of syncs: in memory they cost nothing, and fail as well
	place=$(mktemp -d -p /dev/shm valori.XXXXXX 2>/dev/null) || place=$BATS_TEST_TMPDIR
	cd "$place" || return
	if grep -q '^SANITIZED = yes' "$BUILD/config.mak"; then
		skip "a sanitizer wants to be loaded first itself"
	fi
	[ -f "$FAILING" ] || fail "$FAILING is missing"
	rows 5 2 >first
	rows 20 2 2 z >second
	valori-ingest -q -l good --batch=5 --segment-size=8192 first >ids
}

teardown() {
	rm -rf "$place"
}

# Runs a command with one call failing; its status is in $code, what it printed in out and err.
failing() { # how, number, command...
	code=0
	timeout -k 1 10 env FAIL_HOW="$1" FAIL_AT="$2" LD_PRELOAD="$FAILING" "${@:3}" >out 2>err </dev/null || code=$?
}

# Calls `before`, the command with its n-th call failing, and `after`, for every n; the command must first work.
every_call() { # how, command...
	local total
	before
	rm -f count
	FAIL_COUNT=$PWD/count failing "$1" 0 "${@:2}"
	[ "$code" = 0 ] || fail "$*: status $code, says $(cat err)"
	cp out expected
	total=$(cat count)
	[[ $total -ge 1 && $total -lt 1000 ]] || fail "$*: $total calls"
	for ((n = 1; n <= total; n++)); do
		before
		failing "$1" $n "${@:2}"
		# a crash, a hang, an answer, a complaint about how it was called: all wrong
		case $1:$code in
		*:0) cmp -s out expected || fail "$*: call $n: status 0, but prints other things" ;;
		hard:[34] | lost:4) [ -s err ] || fail "$*: call $n: status $code without a word" ;;
		*) fail "$*: call $n: status $code, says $(cat err)" ;;
		esac
		after || fail "$*: call $n (status $code, says $(cat err))"
	done
}

copy_good() {
	rm -rf db
	cp -r good db
}

# ---- tools that read ----

reader() { # how
	before() { :; }
	after() { :; }
	every_call "$1" valori-replay good
	every_call "$1" valori-replay --state good
	every_call "$1" valori-replay -o - good
	every_call "$1" valori-search -l good -e '[0,0]'
	every_call "$1" valori-search -l good second
	every_call "$1" valori-verify good
	every_call "$1" valori-snapshot -s good/snapshot.val --verify
	[ "$(cd good && echo *)" = "events.head events.lock events.log snapshot.val" ] || fail "$(ls good)"
}

# A snapshot, and commits after it.
more_to_read() {
	valori-snapshot -l good
	rows 5 2 3 y | valori-ingest -q -l good --batch=5 >ids
}

@test "replay, search, verify: calls that fail" {
	more_to_read
	reader hard
}

@test "replay, search, verify: calls that are interrupted, or do half" {
	more_to_read
	reader interrupted
	reader short
}

# The store is sound, and its state the one wanted.
is_wanted() {
	valori-verify -q -x "$wanted" db >verdict 2>&1 || { cat verdict; return 1; }
}

# ---- ingest ----

# The rows whose ids were printed are there. Who reads may need a writer first, where the head has lost its last word.
rows_are_there() {
	[ "$lost" = no ] || [ ! -e db/events.log ] || valori-ingest -q -l db </dev/null >said 2>&1 || { cat said; return 1; }
	there=$(valori-replay --no-vectors db 2>said | grep -c '	z')
	[ "$there" -ge "$(wc -l <out)" ] || { echo "$there rows are there"; return 1; }
}

# What was acknowledged is there, the store is sound, and the rest can be had by --resume.
ingest_is_sound() {
	if [ "$code" = 0 ]; then
		is_wanted
		return
	fi
	if [ -e db/events.log ] || [ -s out ]; then
		valori-verify -q db >verdict 2>&1 || { cat verdict; return 1; }
		rows_are_there || return
		[ $((there % 5)) = 0 ] || { echo "half a batch is there: $there"; return 1; }
	fi
	valori-ingest -q -l db --batch=5 --segment-size=8192 --resume second >rest 2>said || { cat said; return 1; }
	is_wanted
}

ingest() { # how
	lost=no
	[ "$1" != lost ] || lost=yes
	before() { copy_good; }
	after() { ingest_is_sound; }
	copy_good
	valori-ingest -q -l db --batch=5 --segment-size=8192 --resume second >ids
	wanted=$(root db)
	[[ $1 != hard && $1 != lost ]] || every_call "$1" valori-ingest -q -l db --batch=5 --segment-size=8192 --resume second
	before() { rm -rf db; }
	rm -rf db
	valori-ingest -q -l db --batch=5 --segment-size=8192 --resume second >ids
	wanted=$(root db)
	every_call "$1" valori-ingest -q -l db --batch=5 --segment-size=8192 --resume second
}

@test "ingest: calls that fail" {
	ingest hard
}

@test "ingest: calls that are interrupted" {
	ingest interrupted
}

@test "ingest: calls that do half" {
	ingest short
}

@test "ingest: syncs that fail, and what was written since the last one is gone" {
	ingest lost
	# With many commits on their way an id may not be printed for a sync that began before its commit was written.
	rows 200 2 2 z >second
	before() { rm -rf db; }
	after() { rows_are_there; }
	every_call lost valori-ingest -q -l db --batch=1 second
	# A height and a root are said of a store only once it is on the disk.
	after() { [ "$code" = 0 ] || [ "$(grep -c 'height [1-9].* state root' err)" = 0 ] || { echo "said too early"; return 1; }; }
	every_call lost valori-ingest -v -l db --batch=5 --sync=none second
	rm -rf db
	valori-ingest -v -l db --batch=5 --sync=none second 2>&1 >ids | grep -q 'height 200, state root'
}

# ---- snapshot ----

store_is_whole() {
	is_wanted || return
	if [ "$code" = 0 ]; then
		# it has done what it was asked for: the snapshot is the new one, the log is trimmed, nothing else is left
		[ "$(info_root db/snapshot.val)" = "$wanted" ] || { echo "not the snapshot of this store"; return 1; }
		[ "$(echo db/*)" = "db/events.head db/events.lock db/events.log db/snapshot.val" ] || { echo db/*; return 1; }
		return
	fi
	# whatever was left behind is out of the way of the next one
	valori-snapshot -q -l db --trim >said 2>&1 || { cat said; return 1; }
	is_wanted
}

info_root() { # snapshot
	valori-snapshot -s "$1" --info | awk -F '\t' '$1 == "state_root" { print $2 }'
}

snapshot() { # how
	valori-snapshot -q -l good # an older one, which must make place
	valori-ingest -q -l good --batch=5 --segment-size=8192 --resume second >ids
	wanted=$(root good)
	before() { copy_good; }
	after() { store_is_whole; }
	every_call "$1" valori-snapshot -l db --trim
}

@test "snapshot and trim: calls that fail" {
	snapshot hard
}

@test "snapshot and trim: calls that are interrupted, or do half" {
	snapshot interrupted
	snapshot short
}

# Either nothing is there yet, or all: and asked again it comes to the same.
restored_or_not() {
	if [ "$code" != 0 ]; then
		valori-snapshot -q -s saved.val -l db --restore >said 2>&1 || { cat said; return 1; }
	fi
	is_wanted || return
	[ "$(files_of_db)" = "$restored" ] || { files_of_db; return 1; }
}

# Beside them there may be what the first try has put aside.
files_of_db() {
	find db -maxdepth 1 -type f | sort
}

restore() { # how
	valori-snapshot -l good -o saved.val
	wanted=$(root good)
	rm -rf db
	valori-snapshot -q -s saved.val -l db --restore
	restored=$(files_of_db)
	[[ $restored == *db/events.log*db/snapshot.val ]] || fail "$restored"
	before() { rm -rf db; }
	after() { restored_or_not; }
	every_call "$1" valori-snapshot -q -s saved.val -l db --restore
}

@test "snapshot, trim, restore: syncs that fail, and what was written since the last one is gone" {
	snapshot lost
	restore lost
}

@test "restore: calls that fail, are interrupted, or do half" {
	for how in hard interrupted short; do
		restore $how
	done
}
