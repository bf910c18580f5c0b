#!/usr/bin/env bats
# Real deaths: what valori-ingest has acknowledged is there afterwards, and nothing is damaged.
#
# Whoever stands at the other end of the pipe writes down the ids; that is what was acknowledged.

load ../cli/helper

# Rows with keys that say in which round they came.
feed() { # round, n, dim
	rows "$2" "$3" "$1" "r$1-"
}

# Reads ids as they are printed, and remembers which row each of them acknowledges.
witness() { # round
	awk -v round="$1" '{ print $1, "r" round "-" NR - 1; fflush() }' >>acknowledged
}

# The pipe ids, with both ends open: whoever dies before he has opened his leaves nobody waiting for him.
open_pipe() {
	mkfifo ids
	exec 8<>ids
	exec 7<ids
}

# The store is sound, and holds every id that was acknowledged, each with its key.
survives() { # store
	local missing
	valori-ingest -q -l "$1" </dev/null # a reader sees no more than the head says
	run valori-verify "$1"
	[ "$status" = 0 ] || fail_with "$output"
	[[ $output == CONSISTENT* ]] || fail_with "$output"
	valori-replay "$1" | awk -F '\t' '$4 == "insert" { print $5, $7 }' | sort >there
	missing=$(sort acknowledged | comm -23 - there | head -n 3)
	[ -z "$missing" ] || fail_with "acknowledged, and not there: $missing"
}

fail_with() {
	echo "$1" >&2
	return 1
}

# A moment of up to so many milliseconds.
pause() {
	sleep "$(printf '0.%03d' $((RANDOM % $1)))"
}

teardown() {
	# shellcheck disable=SC2317
	if mountpoint -q "$BATS_TEST_TMPDIR/disk" 2>/dev/null; then umount -l "$BATS_TEST_TMPDIR/disk"; fi
}

@test "killed at any moment, it keeps every id that it has printed" {
	rounds=200
	[ -z "${VALORI_LONG-}" ] || rounds=20000
	: >acknowledged
	deaths=0
	for ((round = 0; round < rounds; round++)); do
		feed "$round" 400 4 >input
		open_pipe
		witness "$round" <&7 7<&- 8>&- &
		reader=$!
		batch=$((RANDOM % 20 + 1))
		valori-ingest -q -l store -d 4 --batch "$batch" --segment-size 65536 input >ids 7<&- 8>&- &
		writer=$!
		pause 40
		kill -KILL "$writer" 2>/dev/null && deaths=$((deaths + 1))
		wait "$writer" || :
		exec 7<&- 8>&-
		wait "$reader"
		rm ids
		if ((round % 20 == 19)); then
			survives store
		fi
	done
	survives store
	echo "# $deaths of $rounds killed, $(wc -l <acknowledged) ids acknowledged" >&3
	# Else the test has looked at nothing.
	[ "$deaths" -gt $((rounds / 4)) ]
	[ "$(wc -l <acknowledged)" -gt "$rounds" ]
}

@test "a full disk is an error that loses nothing, and it goes on when there is room again" {
	mkdir disk
	mount -t tmpfs -o size=4k none disk 2>/dev/null || skip "tmpfs cannot be mounted here"
	umount disk
	feed 0 1500 32 >input
	full=0
	for ((blocks = 1; blocks <= 64; blocks++)); do
		: >acknowledged
		mount -t tmpfs -o size=$((blocks * 4))k none disk
		status=0
		valori-ingest -q -l disk/store -d 32 --batch 40 --segment-size 65536 input >ids 2>message || status=$?
		witness 0 <ids
		if [ "$status" = 4 ]; then
			full=$((full + 1))
			grep -q 'no space left on device' message || fail_with "$blocks blocks: $(cat message)"
		elif [ "$status" != 0 ]; then
			fail_with "$blocks blocks: status $status: $(cat message)"
		fi
		mount -o remount,size=4m disk
		survives disk/store || fail_with "$blocks blocks"
		feed 1 50 32 | valori-ingest -q -l disk/store -d 32 >ids
		witness 1 <ids
		[ "$(grep -c r1- acknowledged)" = 50 ]
		survives disk/store || fail_with "$blocks blocks, with room again"
		umount disk
	done
	[ "$full" -gt 32 ]
}

@test "the power of an ext4 goes, and every id that was printed is there" {
	command -v mkfs.ext4 >/dev/null || skip "mkfs.ext4 is not installed"
	command -v perl >/dev/null || skip "perl is not installed"
	mkdir disk
	truncate -s 32M image
	mkfs.ext4 -q -F image
	mount -o loop image disk 2>/dev/null || skip "a loop device cannot be mounted here"
	rounds=50
	[ -z "${VALORI_LONG-}" ] || rounds=10000
	: >acknowledged
	for ((round = 0; round < rounds; round++)); do
		if ((round % 50 == 0 && round > 0)); then # before it is full
			rm -r disk/store
			: >acknowledged
		fi
		feed "$round" 400 4 >input
		open_pipe
		witness "$round" <&7 7<&- 8>&- &
		reader=$!
		valori-ingest -q -l disk/store -d 4 --batch $((RANDOM % 20 + 1)) --segment-size 65536 input >ids 2>/dev/null 7<&- 8>&- &
		writer=$!
		pause 60
		# EXT4_IOC_SHUTDOWN without a flush of the journal: what is not on the disk now never will be.
		perl -e 'open my $d, "<", shift or die; my $how = pack "L", 2; ioctl $d, 0x8004587d, $how or die "$!\n"' disk ||
			skip "the file system cannot be shut down"
		wait "$writer" || :
		exec 7<&- 8>&-
		wait "$reader"
		rm ids
		umount disk
		mount -o loop image disk
		[ ! -s acknowledged ] || survives disk/store
	done
	echo "# $rounds power cuts, $(wc -l <acknowledged) ids acknowledged" >&3
	[ "$(wc -l <acknowledged)" -gt "$rounds" ]
	umount disk
}
