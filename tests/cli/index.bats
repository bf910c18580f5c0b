#!/usr/bin/env bats
# The index in the tools: recorded, built, saved, searched, checked; the same bytes on every way.

load helper

# The line of --explain for the first query: what stands after a word.
said() { sed -n '1s/.*[ ,]'"$1"' \([^,]*\).*/\1/p' "$2"; }

@test "valori-ingest -i records the kind once, and the log says so" {
	rows 10 4 | valori-ingest -q -l s -d 4 -i hnsw --hnsw-m=8 --hnsw-ef-search=77 >ids
	rows 10 4 2 more | valori-ingest -q -l s -i hnsw --hnsw-m=8 >ids
	valori-replay --json s | jq -c 'select(.parameter) | [.parameter, .value]' >config
	diff config - <<-'END'
		[1,2]
		[2,8]
		[4,77]
	END
	run -2 valori-ingest -l s -i ivfpq </dev/null
	[[ $output == *"--index: ivfpq: not auto, brute, hnsw or ivf"* ]]
	run -2 valori-ingest -l s --hnsw-m=1 </dev/null
	run -2 valori-search -l s -i tree -e '[0,0,0,0]'
}

@test "without a saved index everything is scanned; a saved one is used; the answers are those of a scan" {
	store s 3000 8 200
	rows 40 8 5 | sed 's/.*"vector"/{"vector"/' >queries
	valori-search -l s -k 5 --explain queries >plain 2>why
	[ "$(said plan why)" = scan ]
	valori-snapshot -q -l s
	valori-search -l s -k 5 --explain queries >coded 2>why
	[ "$(said plan why)" = codes ]
	[ "$(said rows why)" = 1600 ]
	cmp plain coded
	valori-search -s s/snapshot.val -k 5 queries | cmp plain -
	valori-search -l s -k 5 --exact queries | cmp plain -
	valori-search -l s -k 5 -i hnsw --threads 2 --explain queries >walked 2>why
	[ "$(said plan why)" = graph ]
	[ "$(said index why)" = hnsw ]
	[ "$(wc -l <walked)" = 200 ]
	[ "$(comm -12 <(sort plain) <(sort walked) | wc -l)" -ge 190 ]
}

@test "a graph: log, directory and mapped snapshot give equal bytes at equal boundaries" {
	store s 100 8 10
	rows 3000 8 9 more | valori-ingest -q -l s -i hnsw --batch 100 >ids
	rows 60 8 5 | sed 's/.*"vector"/{"vector"/' >queries
	valori-search -l s -k 5 --boundary=latest --explain queries >log 2>why
	[ "$(said plan why)" = graph ]
	valori-snapshot -q -l s --threads 2
	valori-snapshot -q -l s -o one.val
	cmp s/snapshot.val one.val
	valori-snapshot --info -s s/snapshot.val >info
	[ "$(sed -n 's/^index_boundary\t//p' info)" = "$(said boundary why)" ]
	grep -qE '^index_digest	[0-9a-f]{64}$' info
	valori-replay -o - s | valori-ingest -q -l copy -f log - >ids
	valori-snapshot -q -l copy
	valori-snapshot --info -s copy/snapshot.val | grep ^index | diff - <(grep ^index info)
	valori-search -s s/snapshot.val -k 5 queries | cmp log -
	valori-search -l s/events.log -k 5 --threads 3 queries | cmp log -
	for cpu in portable sse4 avx2; do
		VALORI_CPU=$cpu valori-search -l s -k 5 --boundary=latest queries | cmp log -
	done
	# one by one as well as together
	head -n 5 queries | while read -r query; do valori-search -l s -k 5 -e "$query"; done | cut -f 2- |
		cmp - <(head -n 25 log | cut -f 2-)
	boundary=$(said boundary why)
	rows 30 8 11 last | valori-ingest -q -l s >ids
	valori-search -l s -k 5 --explain queries >later 2>why
	[ "$(said boundary why)" = "$boundary" ]
	[ "$(said tail why)" -ge 30 ]
	valori-search -l s -k 5 --boundary="$boundary" queries | cmp later -
	run -1 valori-search -l s --boundary=$((boundary + 1)) queries
	[[ $output == *"no round of the index ends at height $((boundary + 1))"* ]]
}

@test "lists: recorded, saved, mapped; equal bytes at equal boundaries, for any number of threads" {
	rows 5000 8 9 | valori-ingest -q -l s -d 8 -i ivf --ivf-lists=50 --ivf-probes=9 --batch 100 >ids
	valori-replay --json s | jq -c 'select(.parameter) | [.parameter, .value]' >config
	diff config - <<-'END'
		[1,3]
		[7,50]
		[8,9]
	END
	rows 60 8 5 | sed 's/.*"vector"/{"vector"/' >queries
	valori-search -l s -k 5 --exact queries >truth
	valori-search -l s -k 5 --boundary=latest --explain queries >log 2>why
	[ "$(said plan why)" = lists ]
	[ "$(said index why)" = ivf ]
	[ "$(comm -12 <(sort truth) <(sort log) | wc -l)" -ge 270 ]
	valori-snapshot -q -l s --threads 2
	valori-verify s/snapshot.val
	valori-replay -o - s | valori-ingest -q -l copy -f log - >ids
	valori-snapshot -q -l copy
	cmp <(valori-snapshot --info -s copy/snapshot.val | grep ^index) \
		<(valori-snapshot --info -s s/snapshot.val | grep ^index)
	valori-search -s s/snapshot.val -k 5 --explain queries 2>why | cmp log -
	[ "$(said plan why)" = lists ]
	valori-search -l s/events.log -k 5 --threads 3 queries | cmp log -
	for cpu in portable sse4 avx2; do
		VALORI_CPU=$cpu valori-search -l s -k 5 --boundary=latest queries | cmp log -
	done
	valori-search -s s/snapshot.val -k 5 --nprobe 50 queries | cmp truth -
	# one by one as well as together
	head -n 5 queries | while read -r query; do valori-search -l s -k 5 -e "$query"; done | cut -f 2- |
		cmp - <(head -n 25 log | cut -f 2-)
	for tag in 1 2 3; do valori-search -l s -k 50 --exact --tag $tag queries; done >plain
	for tag in 1 2 3; do valori-search -l s -k 50 --tag $tag queries; done | cmp plain -
	run -2 valori-search -l s --nprobe 0 queries
	run -2 valori-ingest -l s --ivf-lists 1048577 </dev/null
}

@test "a filter: as many hits as there are matches, at every selectivity" {
	rows 4000 8 3 | awk '{ n = NR % 100; sub(/"tag":[0-9]*/, "\"tag\":" (n < 1 ? 1 : n < 10 ? 2 : n < 50 ? 3 : 4)); print }' >tagged
	valori-ingest -q -l s -d 8 -i hnsw tagged >ids
	rows 20 8 5 | sed 's/.*"vector"/{"vector"/' >queries
	for tag in 1 2 3 4 5; do valori-search -l s -k 50 --tag $tag queries; done >plain
	valori-snapshot -q -l s
	for tag in 1 2 3 4 5; do valori-search -l s -k 50 --tag $tag queries; done >indexed
	[ "$(wc -l <plain)" = "$(wc -l <indexed)" ]
	cmp plain indexed
}

@test "a damaged index is found by valori-verify, and gives no wrong hit" {
	store s 100 8 10
	rows 2000 8 9 more | valori-ingest -q -l s -i hnsw >ids
	valori-snapshot -q -l s
	valori-verify s/snapshot.val
	rows 10 8 5 | sed 's/.*"vector"/{"vector"/' >queries
	valori-search -l s -k 3 --exact queries | cut -f 3,4 | sort -u >truth
	size=$(stat -c %s s/snapshot.val)
	for back in 20000 60000 100000 140000; do
		cp s/snapshot.val damaged.val
		printf '\377\376\375' | dd of=damaged.val bs=1 seek=$((size - back)) conv=notrunc status=none
		run -3 valori-verify damaged.val
		[[ $output == *index* ]]
		run valori-search -s damaged.val -k 3 queries
		[ "$status" = 0 ] || [ "$status" = 3 ]
	done
}

@test "few and strange: no record, one record, all equal, all deleted, dimension 1" {
	valori-ingest -q -l empty -d 3 -i hnsw </dev/null
	valori-snapshot -q -l empty
	run -0 valori-search -l empty -e '[1,2,3]'
	[ -z "$output" ]
	run -2 valori-search -l empty -e '[1,2]'
	run -2 valori-search -l empty -k 0 -e '[1,2,3]'
	run -2 valori-search -l empty --ef 0 -e '[1,2,3]'
	run -2 valori-search -l empty -g 1000 -e '[1,2,3]'
	yes '{"vector":[1]}' | head -n 1500 | valori-ingest -q -l one -d 1 -i hnsw >ids
	valori-snapshot -q -l one
	valori-verify one/snapshot.val
	valori-search -l one -k 3 --ef 1 -e '[1]' | cut -f 4 >distances
	[ "$(sort -u distances)" = 0 ]
	[ "$(wc -l <distances)" = 3 ]
	seq 0 1499 | sed 's/.*/{"op":"delete","id":&}/' | valori-ingest -q -l one >ids
	run -0 valori-search -l one -e '[1]'
	[ -z "$output" ]
	valori-snapshot -q -l one
	run -0 valori-search -l one --explain -e '[1]'
	[[ $output != *"0	1	"* ]]
}

@test "valori-verify --build-index: an index that is sound, agrees with its digests, and is not what the log makes" {
	[ -n "$(command -v python3)" ] || skip "no python3 here"
	store s 1100 2 50
	valori-ingest -q -l s -i hnsw >ids <<<'{"vector":[1,1]}'
	valori-snapshot -q -l s
	run -0 valori-verify --build-index s
	[[ $output == *"note        the index is the one that the log makes up to event"* ]]
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$BATS_TEST_DIRNAME/../vectors python3 - s/snapshot.val <<-'END'
		import struct, sys
		from reference import blake3, crc32c
		data = bytearray(open(sys.argv[1], "rb").read())
		entry = next(4096 + 64 * k for k in range(64) if struct.unpack_from("<I", data, 4096 + 64 * k)[0] == 32773)
		place, size = struct.unpack_from("<QQ", data, entry + 8)
		data[place : place + 8] = data[place + 4 : place + 8] + data[place : place + 4]
		data[entry + 32 : entry + 64] = blake3(bytes(data[place : place + size]))
		data[4060:4092] = blake3(bytes(data[4096:8192]))
		data[4092:4096] = struct.pack("<I", crc32c(bytes(data[:4092])))
		open(sys.argv[1], "wb").write(data)
	END
	# two neighbours have changed places: nothing else speaks of it
	run -0 valori-verify s
	run -1 --separate-stderr valori-verify --build-index s
	[ "${lines[0]}" = TAMPERED ]
	[[ $stderr == *"not the one that the log makes"* ]]
	run -8 valori-verify --build-index s/snapshot.val
	valori-snapshot -q -l s --no-index
	run -8 --separate-stderr valori-verify --build-index s
	[[ $stderr == *"index not compared: there is no index"* ]]
}
