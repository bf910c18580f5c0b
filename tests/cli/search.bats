#!/usr/bin/env bats
# valori-search: what it promises.

load helper

@test "columns: query, rank, id, raw distance, distance, key, tag, metadata; nearest first, ties by id" {
	valori-ingest -q -l s -d 2 >ids <<-'END'
		{"vector":[1,0],"key":"east","tag":7,"metadata":"a\tb"}
		{"vector":[0,1]}
		{"vector":[0,0.5],"metadata":""}
		{"vector":[3,4],"key":"far"}
	END
	run -0 valori-search -l s -e '[0,0]'
	[ "${lines[0]}" = $'0\t1\t2\t1073741824\t0.25\t\t0\t' ]
	[ "${lines[1]}" = $'0\t2\t0\t4294967296\t1\teast\t7\ta\\tb' ]
	[ "${lines[2]}" = $'0\t3\t1\t4294967296\t1\t\t0\t' ]
	[ "${lines[3]}" = $'0\t4\t3\t107374182400\t25\tfar\t0\t' ]
	[ "${#lines[@]}" = 4 ]
}

@test "--json: the score as a number, the exact one as a string" {
	valori-ingest -q -l s -d 2 >ids <<<'{"vector":[1,0],"key":"east","tag":7,"metadata_base64":"/w=="}'
	run -0 valori-search -l s --json -e '[0,0]'
	[ "$output" = '{"query":0,"rank":1,"id":0,"score":1,"raw_score":"4294967296","key":"east","tag":7,"metadata_base64":"/w=="}' ]
}

@test "the answer is that of a plain calculation" {
	store s 300 8
	rows 10 8 5 | sed 's/.*"vector"/{"vector"/' >queries # without tags
	valori-search -l s -k 5 --json queries >hits
	# squared distances in awk, on the integers that the store holds
	{
		valori-replay --json s | jq -r '"v " + (.vector_q16 | map(tostring) | join(" "))'
		sed 's/.*"vector":\[\(.*\)\]}/\1/' queries | valori-ingest -q -l q -d 8 -f csv >ids
		valori-replay --json q | jq -r '"q " + (.vector_q16 | map(tostring) | join(" "))'
	} | awk 'BEGIN { n = query = 0 }
		$1 == "v" { for (d = 2; d <= NF; d++) v[n, d] = $d; n++ }
		$1 == "q" {
			for (i = 0; i < n; i++) {
				s = 0
				for (d = 2; d <= NF; d++) s += ($d - v[i, d]) ^ 2
				printf "%d %.0f %d\n", query, s, i | "sort -k1,1n -k2,2n -k3,3n"
			}
			query++
		}' | awk '{ if ($1 != last) rank = 0; last = $1; if (++rank <= 5) print $1, rank, $3 }' >expected
	diff expected <(jq -r '[.query, .rank, .id] | map(tostring) | join(" ")' hits)
}

@test "queries one by one, together, and with more threads: the same bytes" {
	store s 500 8 100
	rows 300 8 5 >queries
	valori-search -l s -k 3 queries >together
	[ "$(wc -l <together)" = 900 ]
	cmp together <(valori-search -l s -k 3 --threads 3 queries)
	cmp together <(valori-search -l s -k 3 <queries)
	head -n 20 queries | while read -r query; do valori-search -l s -k 3 -e "$query"; done | cut -f 2- |
		cmp - <(head -n 60 together | cut -f 2-)
}

@test "by id and by key: the record itself comes first" {
	store s 50 4
	run -0 valori-search -l s -k 1 --by-id 17
	[ "$(cut -f 3,4 <<<"$output")" = $'17\t0' ]
	run -0 valori-search -l s -k 1 --by-key k23 --by-id 4 --by-key k5
	[ "$(cut -f 1,3 <<<"$output" | tr '\t\n' '. ')" = '0.23 1.4 2.5 ' ]
	run -1 --separate-stderr valori-search -l s --by-id 50
	[[ $stderr == valori-search:*50* ]]
	run -1 valori-search -l s --by-key nobody
	valori-ingest -q -l s >ids <<<'{"op":"delete","id":17}'
	run -1 valori-search -l s --by-id 17
}

@test "-t and a tag in the query: only records with that tag" {
	store s 40 4
	run -0 valori-search -l s -k 100 -t 2 -e '[0,0,0,0]'
	[ "${#lines[@]}" = 10 ]
	[ "$(cut -f 7 <<<"$output" | sort -u)" = 2 ]
	run -0 valori-search -l s -k 100 -e '{"vector":[0,0,0,0],"tag":3}' -e '[0,0,0,0]'
	[ "$(cut -f 1 <<<"$output" | sort | uniq -c | awk '{ print $1 }' | tr '\n' ' ')" = '10 40 ' ]
	run -0 valori-search -l s -t 99 -e '[0,0,0,0]'
	[ -z "$output" ]
}

@test "-c: another collection" {
	rich_store s
	run -0 valori-search -l s -c docs -k 100 -e '[0,0,0,0]'
	[ "$(cut -f 6 <<<"$output" | grep -c '^k')" = 0 ]
	[[ $output == *d0* ]]
	run -1 valori-search -l s -c nowhere -e '[0,0,0,0]'
}

@test "deleted and soft-deleted records are not found" {
	rich_store s
	run -0 valori-search -l s -k 1000 -e '[0,0,0,0]'
	[ "$(cut -f 3 <<<"$output" | grep -cx '4\|5')" = 0 ]
	[ "$(($(valori-search -l s -k 1000 -e '[0,0,0,0]' | wc -l) + $(valori-search -c docs -l s -k 1000 -e '[0,0,0,0]' | wc -l)))" = "$(state s records)" ]
}

@test "--at: as it was" {
	store s 40 4
	[ "$(valori-search -l s --at 20 -k 100 -e '[0,0,0,0]' | wc -l)" = 20 ]
	[ "$(valori-search -l s --at 0 -k 100 -e '[0,0,0,0]' | wc -l)" = 0 ]
	run -1 valori-search -l s --at 41 -e '[0,0,0,0]'
}

@test "a log from a pipe is a store" {
	rich_store s
	valori-search -l s -k 50 -e '[0,0,0,0]' >from_store
	valori-replay -o - s | valori-search -l - -k 50 -e '[0,0,0,0]' | cmp - from_store
	run -2 valori-search -l - </dev/null
}

@test "a live file and its directory are the same store" {
	store s 20 4
	cmp <(valori-search -l s -e '[0,0,0,0]') <(valori-search -l s/events.log -e '[0,0,0,0]')
}

@test "any format that can be ingested can be asked" {
	store s 20 2
	printf '\2\0\0\0\0\0\200\77\0\0\0\0' >q.fvecs
	valori-search -l s -e '[1,0]' >expected
	cmp expected <(valori-search -l s q.fvecs)
	cmp expected <(valori-search -l s -f fvecs - <q.fvecs)
	echo 1,0 >q.csv
	cmp expected <(valori-search -l s q.csv)
	tail -c 8 q.fvecs >q.f32
	cmp expected <(valori-search -l s -f f32 q.f32)
	echo '{"embedding":[1,0],"key":"x"}' | cmp expected <(valori-search -l s)
	run -2 valori-search -l s -f log -e '[1,0]'
	run -2 bash -c 'valori-replay -o - s | valori-search -l s'
}

@test "nothing to find, nothing to ask, more asked for than there is: 0" {
	store s 5 2
	valori-ingest -l e -d 2 /dev/null
	run -0 --separate-stderr valori-search -l e -e '[0,0]'
	[ -z "$output$stderr" ]
	run -0 valori-search -l s /dev/null
	[ -z "$output" ]
	run -0 valori-search -l s -k 65536 -e '[0,0]'
	[ "${#lines[@]}" = 5 ]
}

@test "a query that is none is status 2, with its line, and the place in it" {
	store s 5 2
	printf '[1,2]\n[1,2,3]\n' >q
	run -2 --separate-stderr valori-search -l s q
	[[ $stderr == "valori-search: q: line 2: "*3*2* ]]
	run -2 --separate-stderr valori-search -l s -e '{"op":"upsert","key":"k1","vector":[1,2]}'
	[[ $stderr == "valori-search: --query: line 1: not a vector to search for" ]]
	for bad in '[1]' '[1,"x"]' '[1,' '{}' '[1,1e999]' '[40000,0]' '[32767,32767]' '{"op":"delete","id":1}' 'x'; do
		run -2 --separate-stderr valori-search -l s -e "$bad"
		[ -n "$stderr" ] || fail "$bad"
	done
}

@test "-o writes the answer to a file, or nothing" {
	store s 20 2
	valori-search -l s -e '[0,0]' >expected
	valori-search -l s -e '[0,0]' -o out
	cmp expected out
	run -2 valori-search -l s -e '[0,0]' -e '[1]' -o out2
	[ ! -e out2 ]
}

@test "no store named: 2" {
	run -2 --separate-stderr valori-search -e '[0]'
	[[ $stderr == "valori-search: --log: missing"* ]]
}
