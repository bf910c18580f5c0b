#!/usr/bin/env bats
# valori-ingest: rows in, ids out; what is not acceptable is named, and nothing of its batch is written.

load helper

ingest() {
	valori-ingest -l db "$@"
}

height() { # store
	state "$1" height
}

# No more memory than this, in KB; a sanitizer needs more addresses than there are.
bounded() {
	grep -q '^SANITIZED = yes' "$BUILD/config.mak" || ulimit -v "$1"
}

# Standard input must be refused with status 2 and these words, after one good commit of one row, which must stay.
refused() { # words [options]
	local words=$1
	shift
	cat >input
	[ -e db ] || echo '[1,2]' | valori-ingest -q -l db >first
	run --separate-stderr valori-ingest -l db "$@" <input
	[ "$status" = 2 ] || { echo "status $status: $stderr"; return 1; }
	[ -z "$output" ] || { echo "prints $output"; return 1; }
	[[ $stderr == "valori-ingest: "*"$words"* ]] || { echo "says $stderr"; return 1; }
	[ "${#stderr_lines[@]}" = 1 ] || { echo "says $stderr"; return 1; }
	[ "$(height db)" = 1 ]
}

# ---- what it is for ----

@test "one id per row, in order" {
	printf '[1,2]\n{"vector":[3,4]}\n\n{"embedding":[5,6],"key":"a"}\n{"values":[7,8],"id":99}\n' >rows
	run -0 --separate-stderr ingest rows
	[ "$output" = $'0\n1\n2\n3' ]
	[ -z "$stderr" ]
}

@test "--json: id, row and commit" {
	run -0 --separate-stderr ingest --json --batch=2 < <(printf '[1,2]\n[3,4]\n\n[5,6]\n')
	[ "${lines[0]}" = '{"id":0,"row":0,"commit":0}' ]
	[ "${lines[2]}" = '{"id":2,"row":2,"commit":1}' ]
}

@test "-v says events, height and state root, on stderr" {
	run -0 --separate-stderr ingest -v < <(echo '[1,2]')
	[[ $stderr =~ "1 events in 1 commits; height 1, state root "[0-9a-f]{64} ]]
}

@test "several operands, one of them standard input" {
	echo '[1,2]' >a
	echo '1,3' >b.csv
	run -0 ingest a - b.csv < <(echo '[5,6]')
	[ "$output" = $'0\n1\n2' ]
}

@test "the same rows in any format and any batches are the same state" {
	perl -e 'for $r (0 .. 24) { print pack("V", 6), map { pack("f<", ($r * 31 + $_ * 7) % 64 / 8 - 4) } 1 .. 6 }' >a.fvecs
	perl -e 'for $r (0 .. 24) { print map { pack("f<", ($r * 31 + $_ * 7) % 64 / 8 - 4) } 1 .. 6 }' >a.f32
	perl -e 'for $r (0 .. 24) { print map { pack("l<", (($r * 31 + $_ * 7) % 64 / 8 - 4) * 65536) } 1 .. 6 }' >a.i32
	perl -e 'for $r (0 .. 24) { print "[", join(",", map { ($r * 31 + $_ * 7) % 64 / 8 - 4 } 1 .. 6), "]\n" }' >a.ndjson
	tr -d '[]' <a.ndjson >a.csv
	perl -e '$h = "{\x27descr\x27: \x27<f4\x27, \x27fortran_order\x27: False, \x27shape\x27: (25, 6), }\n";
		print "\x93NUMPY\1\0", pack("v", length $h), $h' | cat - a.f32 >a.npy
	sed 's/\[/{"vector":[/; s/\]/]}/' a.ndjson >b.ndjson
	valori-ingest -q -l store.fvecs a.fvecs >ids
	for file in a.f32 a.i32 a.ndjson a.csv a.npy b.ndjson; do
		for batch in 1 7 1000; do
			rm -rf db
			ingest -d 6 --batch=$batch $file | cmp - ids
			[ "$(root db)" = "$(root store.fvecs)" ]
		done
	done
}

@test "what valori-replay --json prints is the same store again" {
	rich_store db
	valori-replay --json db | valori-ingest -q -l copy -d 4 >ids
	[ "$(root db)" = "$(root copy)" ]
	valori-replay --json db | valori-ingest -q -l copy2 -d 4 --batch=3 >ids
	[ "$(root db)" = "$(root copy2)" ]
}

@test "a log that begins with anything but a vector is told again without options" {
	local first log
	for first in '{"op":"collection_create","collection":"notes"}' '{"op":"node","kind":2}' \
		'{"op":"meta","key":"k","metadata":"v"}'; do
		rm -rf begun again
		{
			echo "$first"
			rows 3 4 7 k
		} | valori-ingest -q -l begun -d 4 >ids
		valori-replay --json begun | valori-ingest -q -l again >ids
		[ "$(root again)" = "$(root begun)" ]
		valori-ingest -q -l other -d 5 </dev/null
		run -2 --separate-stderr bash -c 'valori-replay --json begun | valori-ingest -l other'
		[[ $stderr == *"line 1: member 'dim': 4, but the store has 5" ]]
	done
	run -2 --separate-stderr valori-ingest -l none < <(echo '{"vector":[1,2],"dim":3}')
	[[ $stderr == *"member 'dim': 3, but the vector has 2 components" ]]
	run -2 --separate-stderr valori-ingest -l none < <(echo '{"op":"meta","key":"k","metadata":"v","dim":0}')
	[[ $stderr == *"member 'dim': is not in 1...32768" ]]
	[ ! -e none ]
	# Every golden log whose content can be told: no salts, and a history from its beginning.
	for log in every-event two-segments; do
		rm -rf again
		valori-replay --json "$BATS_TEST_DIRNAME/../vectors/golden/$log" | valori-ingest -q -l again >ids
		[ "$(root again)" = "$(root "$BATS_TEST_DIRNAME/../vectors/golden/$log")" ]
	done
}

@test "the first row gives a new store its dimension, -d checks it" {
	echo '[1,2,3]' | ingest -q >ids
	run --separate-stderr ingest -d 4 < <(echo '[1,2,3]')
	[ "$status" = 2 ]
	run --separate-stderr env VALORI_DIM=4 valori-ingest -l db < <(echo '[1,2,3]')
	[ "$status" = 2 ]
	VALORI_DIM=5 valori-ingest -l other </dev/null
	run -2 valori-ingest -l other < <(echo '[1,2,3]')
}

@test "nothing to read: no store, and no error" {
	run -0 --separate-stderr ingest </dev/null
	[ -z "$output$stderr" ]
	[ ! -e db ]
	run -0 ingest < <(printf '\n\n  \r\n')
	[ ! -e db ]
	run -0 ingest -d 3 </dev/null
	[ "$(height db)" = 0 ]
}

@test "a new store without a dimension says what is missing" {
	run --separate-stderr ingest < <(echo '{"op":"node","kind":1}')
	[ "$status" = 2 ]
	[[ $stderr == *"line 1: a new store learns its dimension from the first row"* ]]
	[ ! -e db ]
}

@test "tags, keys, collections" {
	printf '%s\n' '{"vector":[1,2],"tag":18446744073709551615,"key":"é"}' '{"vector":[1,2],"tag":"9007199254740993"}' '[1,2]' |
		ingest -q -t 7 >ids
	run -0 valori-replay --json db
	[[ ${lines[0]} == *'"key":"é"'*'"tag":"18446744073709551615"'* ]]
	[[ ${lines[1]} == *'"tag":"9007199254740993"'* ]]
	[[ ${lines[2]} == *'"tag":7'* ]]
	refused_db=$(height db)
	run --separate-stderr ingest -c docs < <(echo '[1,2]')
	[ "$status" = 2 ]
	[[ $stderr == *"docs"*"--create"* ]]
	[ "$(height db)" = "$refused_db" ]
	run -0 ingest -c docs --create < <(printf '[1,2]\n{"vector":[3,4],"collection":"more"}\n{"vector":[3,4],"collection":"default"}\n')
	[ "$output" = $'3\n4\n5' ]
	run -0 valori-replay --json db
	[[ ${lines[3]} == *'"collection_create"'*'"docs"'* ]]
	[[ ${lines[4]} == *'"collection":"docs"'* ]]
	[[ ${lines[6]} == *'"collection":"more"'* ]]
	[[ ${lines[7]} != *'"collection"'* ]]
}

@test "a graph in one commit, by ref, by key and by id" {
	run -0 ingest --json < <(cat <<-'END'
		{"vector":[1,2],"key":"a","ref":"r"}
		{"op":"node","kind":"Document","ref":"doc"}
		{"op":"node","kind":"Chunk","record":"r","ref":"part"}
		{"op":"edge","kind":"ParentOf","from":"doc","to":"part"}
		{"op":"edge","kind":2,"from_key":"a","to":"0"}
		{"op":"meta","key":"title","metadata":"x"}
	END
	)
	[ "${lines[3]}" = '{"id":0,"row":3,"commit":0}' ]
	run -0 valori-replay --json db
	[[ ${lines[2]} == *'"op":"node"'*'"kind":3,"record":0}' ]]
	[[ ${lines[3]} == *'"op":"edge"'*'"kind":1,"from":0,"to":1}' ]]
	[[ ${lines[4]} == *'"op":"edge"'*'"kind":2,"from":1,"to":0}' ]]
}

@test "a ref of an earlier commit is not known: --batch says how far it reaches" {
	printf '[1,2]\n[1,2]\n' | ingest -q >ids
	run --separate-stderr ingest --batch=2 < <(printf '%s\n' '{"op":"node","kind":1,"ref":"n"}' '[3,4]' \
		'{"op":"edge","kind":1,"from":"n","to":"n"}')
	[ "$status" = 2 ]
	[ "$output" = $'0\n2' ]
	[[ $stderr == *"line 3: from: "*"'n'"*"--batch"* ]]
}

@test "--erasable salts the content" {
	printf '[1,2]\n[1,2]\n' | ingest -q --erasable >ids
	run -0 valori-replay --json db
	[[ ${lines[1]} == *'"salted":true'* ]]
	printf '[1,2]\n[1,2]\n' | valori-ingest -q -l other >ids
	[ "$(root db)" != "$(root other)" ]
	valori-verify -q db
}

# ---- rows that are not acceptable ----

@test "a wrong dimension" {
	refused "standard input: line 2: has 3 components, the store's have 2" < <(printf '[1,2]\n[1,2,3]\n')
	refused "line 1: member 'vector': has 1 components" < <(printf '{"vector":[1]}\n')
}

@test "NaN, infinities, out of range, norm" {
	refused "line 1: component 1: NaN: is not a number" <<<'[1,NaN]'
	refused "line 1: member 'values': component 0: 1e999: is infinite" <<<'{"values":[1e999,1]}'
	refused "component 1: -32768.6: is out of range: components lie between -32768 and 32768" <<<'[1,-32768.6]'
	refused "component 1: 32767: makes the norm too large: it must stay below 32768" <<<'[32767,32767]'
	refused "member 'vector_q16': component 1: 2147483648: is not an integer of 32 bits" <<<'{"vector_q16":[1,2147483648]}'
	perl -e 'print pack("Vf<f<", 2, 1, "nan")' | refused "row 0: component 1: NaN: is not a number" -f fvecs
	perl -e 'print pack("Vf<f<", 2, 1, "inf")' | refused "row 0: component 1: inf: is infinite" -f fvecs
}

@test "-0 is 0, and no number is too long" {
	printf '[-0,0]\n[0,-0.0]\n' | ingest -q >ids
	printf '[0,0]\n[0,0]\n' | valori-ingest -q -l other >ids
	[ "$(root db)" = "$(root other)" ]
	perl -e 'print "[0.", "3" x 10000, ",1", "0" x 10000, "e-10000]\n"' | valori-ingest -q -l db >ids
	printf '[0.33333333333333,1]\n' | valori-ingest -q -l other >ids
	[ "$(root db)" = "$(root other)" ]
}

@test "malformed and truncated JSON: line, place, what is wrong" {
	refused "line 3: component 1: ends too early" < <(printf '[1,2]\n[1,2]\n[1,2')
	refused "line 1: column 3: a string is expected" <<<'{ a:1}'
	refused "line 1: member 'tag': column 23: ends too early" <<<'{"vector":[1,2],"tag":'
	refused "line 1: column 7: something follows" <<<'[1,2] [3,4]'
	refused "line 2: column 1: an object is expected" < <(printf '[1,2]\n\0\n')
	perl -e 'print "{\"vector\":[1,2],\"metadata\":", "[" x 10000, "]" x 10000, "}\n"' | refused "more than 64 arrays"
	perl -e 'print "[" x 10000, "]" x 10000, "\n"' | refused "component 0"
}

@test "members: twice, unknown, of the wrong kind" {
	refused "line 1: member 'tag': occurs twice" <<<'{"tag":1,"vector":[1,2],"tag":1}'
	refused "line 1: member 'vektor': not known" <<<'{"vektor":[1,2]}'
	refused "line 1: member 'tag': 18446744073709551616: not an integer in 0...18446744073709551615" \
		<<<'{"vector":[1,2],"tag":18446744073709551616}'
	refused "line 1: member 'key': is empty" <<<'{"vector":[1,2],"key":""}'
	refused "line 1: member 'key': column 24: a string that is not UTF-8" < <(printf '{"vector":[1,2],"key":"\xff"}\n')
	refused "is not UTF-8, or contains a zero byte" <<<'{"vector":[1,2],"key":"a\u0000b"}'
	refused "256 bytes; the limit is 255" < <(printf '{"vector":[1,2],"key":"%0256d"}\n' 0)
	refused "65537 bytes; the limit is 65536" < <(printf '{"vector":[1,2],"metadata":"%065537d"}\n' 0)
	printf '{"vector":[1,2],"key":"%0255d","metadata":"%065536d"}\n' 0 0 | ingest -q >ids
}

@test "a byte order mark and CRLF are no fault" {
	run -0 ingest < <(printf '\xef\xbb\xbf[1,2]\r\n{"vector":[1,2]}\r\n')
	[ "$output" = $'0\n1' ]
}

@test "a line without end is refused at its limit, not kept" {
	perl -e 'print "[1,2]\n["; print "1," x 1048576 for 1 .. 40' >long
	bounded 400000
	run --separate-stderr ingest --batch=1 long
	[ "$status" = 2 ]
	[ "$output" = 0 ]
	[[ $stderr == "valori-ingest: long: line 2: longer than 16777216 bytes, the limit of a line" ]]
}

@test "what only the store knows: keys that are taken, things that are not there" {
	printf '%s\n' '{"vector":[1,2],"key":"a"}' '{"vector":[1,2]}' >good
	ingest -q good >ids
	for row in '{"vector":[1,2],"key":"a"}' '{"op":"delete","id":7}' '{"op":"soft_delete","key":"b"}' \
		'{"op":"node","kind":1,"record":7}' '{"op":"edge","kind":1,"from":0,"to":1}' '{"op":"node_delete","id":0}' \
		'{"op":"meta_delete","key":"x"}' '{"op":"set_tag","id":9,"tag":1}' '{"vector":[1,2],"collection":"none"}' \
		'{"op":"collection_drop","collection":"none"}' '{"op":"config","parameter":99,"value":1}' '{"op":"edge","kind":1,"from_key":"a","to_key":"a"}'; do
		run --separate-stderr ingest < <(printf '[3,4]\n%s\n' "$row")
		[ "$status" = 2 ]
		[ -z "$output" ]
		[[ $stderr == "valori-ingest: standard input: line 2: "* ]]
		[ "$(height db)" = 2 ]
	done
	run --separate-stderr ingest < <(printf '{"vector":[1,2],"key":"new"}\n{"vector":[1,2],"key":"new"}\n')
	[ "$status" = 2 ]
	[[ $stderr == *"line 2: "* ]]
	[ "$(height db)" = 2 ]
}

@test "a node takes no record of another collection" {
	printf '%s\n' '{"vector":[1,2],"key":"a"}' '{"op":"collection_create","collection":"other"}' | ingest -q >ids
	run --separate-stderr ingest < <(echo '{"op":"node","kind":1,"record":0,"collection":"other"}')
	[ "$status" = 2 ]
	[[ $stderr == *"line 1: "* ]]
	[ "$(height db)" = 2 ]
}

@test "a fault keeps earlier commits and writes nothing of its own" {
	run --separate-stderr ingest --batch=2 < <(printf '[1,2]\n[3,4]\n[5,6]\n[7]\n[9,9]\n')
	[ "$status" = 2 ]
	[ "$output" = $'0\n1' ]
	[ "$(height db)" = 2 ]
}

@test "fvecs: truncated, changing, negative and huge dimensions" {
	perl -e 'print pack("Vf<2", 2, 1, 2) x 3' >good.fvecs
	head -c 31 good.fvecs >cut.fvecs
	head -c 26 good.fvecs >cut2.fvecs
	{ cat good.fvecs; perl -e 'print pack("Vf<3", 3, 1, 2, 3)'; } >change.fvecs
	perl -e 'print pack("l<f<2", -2, 1, 2)' >negative.fvecs
	perl -e 'print pack("Vf<2", 1 << 30, 1, 2)' >huge.fvecs
	refused "cut.fvecs: row 2: ends after 7 of its 12 bytes" cut.fvecs </dev/null
	refused "cut2.fvecs: row 2: ends after 2 of the 4 bytes" cut2.fvecs </dev/null
	refused "change.fvecs: row 3: dimension 3, but the rows before it have 2" change.fvecs </dev/null
	refused "negative.fvecs: row 0: dimension -2 is not in 1...32768" negative.fvecs </dev/null
	refused "huge.fvecs: row 0: dimension 1073741824 is not in 1...32768" huge.fvecs </dev/null
	head -c 30 good.fvecs >raw
	refused "raw: row 3: ends after 6 of its 8 bytes; is the dimension right?" -f f32 raw </dev/null
}

npy() { # descr, order, shape, data on stdin
	perl -e '$h = "{\x27descr\x27: $ARGV[0], \x27fortran_order\x27: $ARGV[1], \x27shape\x27: $ARGV[2], }\n";
		print "\x93NUMPY\1\0", pack("v", length $h), $h' "$@"
	cat
}

@test "npy: every kind of number; what cannot be read says why" {
	for type in f2:v:15360,16384 f4:f'<':1,2 f8:d'<':1,2 i1:c:1,2 u1:C:1,2 i4:l'<':1,2 i8:q'<':1,2; do
		IFS=: read -r name code values <<<"$type"
		rm -rf db
		perl -e 'print pack("$ARGV[0]*", split /,/, $ARGV[1])' "$code" "$values" | npy "'<$name'" False '(1, 2)' |
			ingest -q >ids
		run -0 valori-replay --json db
		[[ $output == *'"vector_q16":[65536,131072]'* ]]
	done
	rm -rf db
	refused "big-endian" < <(npy "'>f4'" False '(1, 2)' </dev/null)
	refused "Fortran" < <(npy "'<f4'" True '(1, 2)' </dev/null)
	refused "pickled" < <(npy "'|O'" False '(1, 2)' </dev/null)
	refused "one axis" < <(npy "'<f4'" False '(2,)' </dev/null)
	refused "3 axes" < <(npy "'<f4'" False '(1, 2, 2)' </dev/null)
	refused "row 0: ends after 0 of its 8 bytes" < <(npy "'<f4'" False '(1, 2)' </dev/null)
	refused "component 0: 32768: is out of range" < <(perl -e 'print pack("V2", 32768, 1)' | npy "'<i4'" False '(1, 2)')
}

@test "csv: header, quotes, ragged rows" {
	printf 'key,x,y,tag,metadata\r\n"a ""b"", c",1,2,7,"line\nline"\r\n,3,4,,\r\n' >rows.csv
	run -0 ingest rows.csv
	[ "$output" = $'0\n1' ]
	run -0 valori-replay --json db
	[[ ${lines[0]} == *'"key":"a \"b\", c"'*'"tag":7'*'"metadata":"line\nline"'* ]]
	rm -rf db
	refused "line 2: 3 fields, but the first record has 2" -f csv < <(printf '1,2\n1,2,3\n')
	refused "line 2: column 2: 'x' is not a number" -f csv < <(printf '1,2\n1,x\n')
	refused "line 2: a quoted field that does not end" -f csv < <(printf '1,2\n1,"2\n')
}

@test "an operand that is a directory, a FIFO, a loop of links, or not there" {
	mkdir dir
	run --separate-stderr ingest dir
	[ "$status" = 2 ]
	[ "$stderr" = "valori-ingest: dir: is a directory" ]
	ln -s loop loop
	run -4 --separate-stderr ingest loop
	run -4 --separate-stderr ingest nothing
	[ "${stderr,,}" = "valori-ingest: nothing: no such file or directory" ]
	mkfifo fifo
	echo '[1,2]' >fifo &
	run -0 ingest fifo
	[ "$output" = 0 ]
}

@test "an input whose format is not known" {
	refused "its format is not recognised; -f names it" < <(printf '\001\002\003\004')
	refused "zcat" < <(printf '\x1f\x8b\x08\x00')
	run -2 ingest -f xyz </dev/null
}

# ---- --skip-bad ----

@test "--skip-bad leaves rows out, --rejects keeps them, the others are there" {
	printf '%s\n' '{"vector":[1,2],"key":"a"}' '[1,2,3]' '{"vector":[3,4],"key":"a"}' 'nonsense' '[5,6]' \
		'{"op":"delete","id":77}' >rows
	run -0 --separate-stderr ingest --skip-bad --rejects=out rows
	[ "$output" = $'0\n1' ]
	[[ $stderr == *"line 2:"* ]]
	[[ $stderr == *"line 3:"* ]]
	[[ $stderr == *"line 4:"* ]]
	[[ $stderr == *"4 rows were left out"* ]]
	[ "$(sort out)" = "$(sed -n '2p;3p;4p;6p' rows | sort)" ]
	run -0 --separate-stderr ingest -q --skip-bad rows
	[ -z "$stderr" ]
}

@test "--skip-bad: a row that refers to one left out is left out, too" {
	run -0 --separate-stderr ingest --skip-bad < <(printf '%s\n' '[1,2]' '{"vector":[1],"ref":"a"}' \
		'{"op":"node","kind":1,"record":"a"}' '[3,4]')
	[ "$output" = $'0\n1' ]
	[[ $stderr == *"3"* ]]
	rm -rf db
	run -0 --separate-stderr ingest --skip-bad < <(printf '%s\n' '{"vector":[1,2],"key":"k"}' \
		'{"vector":[1,2],"key":"k","ref":"a"}' '{"op":"node","kind":1,"record":"a"}' '[3,4]')
	[ "$output" = $'0\n1' ]
}

@test "--skip-bad of binary rows writes their numbers; where the next row is not known it ends" {
	perl -e 'print pack("Vf<2", 2, $_, 1) for 1, "inf", 3' >a.fvecs
	run -0 --separate-stderr ingest --skip-bad --rejects=out a.fvecs
	[ "$output" = $'0\n1' ]
	[ "$(cat out)" = 1 ]
	head -c 30 a.fvecs >cut.fvecs
	run -2 --separate-stderr ingest --skip-bad cut.fvecs
	run -2 ingest --rejects=out a.fvecs
}

# ---- --resume ----

@test "--resume leaves out exactly what is committed" {
	rows 100 3 >rows
	valori-ingest -q -l whole rows >all
	head -n 37 rows >part
	ingest -q --resume --source=s --batch=10 part >ids
	for batch in 7 1000; do
		run -0 --separate-stderr ingest -v --resume --source=s --batch=$batch rows
		[[ $stderr == *"rows were committed before"* ]]
		printf '%s\n' "$output" >>ids
	done
	sed -i '/^$/d' ids
	cmp ids all
	[ "$(root db)" = "$(root whole)" ]
}

@test "--resume after a kill, again and again" {
	rows 10000 8 >rows
	valori-ingest -q -l whole rows >all
	killed=0
	for delay in 0.01 0.02 0.03 0.05; do
		valori-ingest -q -l db --resume --batch=1 rows >>ids &
		sleep $delay
		kill -KILL $! 2>/dev/null && killed=$((killed + 1))
		wait $! || true
	done
	[ $killed -gt 0 ]
	ingest -q --resume rows >>ids
	[ "$(root db)" = "$(root whole)" ]
	# Whatever was acknowledged is there, and was acknowledged once.
	[ -z "$(sort ids | uniq -d)" ]
}

@test "--resume works with all kinds of rows, over standard input, and keeps refs" {
	cat >rows <<-'END'
		{"vector":[1,2],"key":"a","ref":"r"}
		{"op":"node","kind":1,"record":"r","ref":"n"}
		{"op":"edge","kind":1,"from":"n","to":"n"}
		{"op":"upsert","key":"a","vector":[3,4]}
		{"op":"meta","key":"m","metadata":"v"}
		{"op":"soft_delete","key":"a"}
	END
	for count in 1 2 3 4 5 6; do
		rm -rf db
		head -n $count rows | ingest -q --resume --source=x >ids
		head -n $count rows | ingest -q --resume --source=x >again
		[ ! -s again ]
	done
	ingest -q --resume --source=x <<<"$(cat rows; echo '[5,6]')" >ids
	[ "$(cat ids)" = 2 ]
}

@test "--resume refuses an input that is not the one committed" {
	rows 20 3 >rows
	ingest -q --resume --source=s rows >ids
	sed '20s/k19/other/' rows >other
	run --separate-stderr ingest --resume --source=s other
	[ "$status" = 2 ]
	[[ $stderr == *"other: line 20: "*"is not the row that was committed"* ]]
	head -n 10 rows >short
	run --separate-stderr ingest --resume --source=s --skip-bad short
	[ "$status" = 2 ]
	[[ $stderr == *"20 rows of it are committed"* ]]
	[ "$(height db)" = 20 ]
	run -2 ingest --source=s rows
}

@test "--resume after the log was trimmed" {
	rows 30 3 >rows
	head -n 20 rows | ingest -q --resume --source=s >ids
	valori-snapshot -q -l db -s db/snapshot.val --trim
	run -0 ingest --resume --source=s rows
	[ "${lines[0]}" = 20 ]
	[ "${#lines[@]}" = 10 ]
}

# ---- log streams ----

@test "a log stream continues a replica: equal ones are skipped, the next are applied" {
	store db 30 3 10
	valori-replay -o - --to 10 db | valori-ingest -l copy -f log -
	[ "$(root copy)" = "$(valori-replay --state --at=10 db | awk '$1 == "state_root" { print $2 }')" ]
	valori-replay -o - db | valori-ingest -l copy -f log -
	cmp <(valori-replay -o - db) <(valori-replay -o - copy)
	rows 5 3 9 z | valori-ingest -q -l db >ids
	valori-ingest -l copy -f log db
	[ "$(root copy)" = "$(root db)" ]
	valori-replay -o file db
	valori-ingest -l third file
	cmp <(valori-replay -o - db) <(valori-replay -o - third)
	valori-replay -o - db | valori-ingest -l fourth
	cmp <(valori-replay -o - db) <(valori-replay -o - fourth)
	valori-ingest -l fifth <file
	cmp <(valori-replay -o - db) <(valori-replay -o - fifth)
}

@test "a trimmed log needs the snapshot of its base, whether commits follow or not" {
	store db 10 3 10
	valori-snapshot -q -l db -s db/snapshot.val --trim
	for rows in 0 5; do
		rows $rows 3 9 z | valori-ingest -q -l db >ids
		run --separate-stderr bash -c 'valori-replay -o - db | valori-ingest -l copy -f log -'
		[ "$status" = 8 ]
		[[ $stderr == *"begins after event 10: a snapshot of that moment is needed"* ]]
		run -0 bash -c "valori-replay -o - db | valori-ingest -l copy$rows -s db/snapshot.val -f log -"
		cp db/snapshot.val "copy$rows"
		[ "$(root "copy$rows")" = "$(root db)" ]
	done
}

@test "a gap or a difference is answered 1, another log is refused with 2" {
	store db 30 3 10
	valori-replay -o - --to 10 db | valori-ingest -l copy -f log -
	valori-replay -o late --from 20 db
	run -1 valori-ingest -l copy -f log late
	cp -r copy fork
	rows 10 3 5 x | valori-ingest -q -l fork >ids
	run -1 --separate-stderr valori-ingest -l fork -f log db
	store other 3 3
	run --separate-stderr valori-ingest -l other -f log db
	[ "$status" = 2 ]
	[[ $stderr == *"--renumber"* ]]
	[ "$(height other)" = 3 ]
}

@test "--renumber takes the events of another log as new ones" {
	rich_store db
	rows 3 4 7 q | valori-ingest -q -l other >ids
	cp -r other twin
	valori-replay -o - db | valori-ingest -l other -f log --renumber -
	valori-replay --json db | grep -v collection_create.*default | valori-ingest -q -l empty -d 4 >ids
	[ "$(height other)" = "$(($(height db) + 3))" ]
	valori-verify -q other
	valori-ingest -q -l fresh -d 4 </dev/null
	valori-ingest -l fresh -f log --renumber db
	[ "$(root fresh)" = "$(root db)" ]
}

@test "a stream that is cut, damaged, or no log" {
	store db 30 3 10
	valori-replay -o - db >whole
	size=$(wc -c <whole)
	head -c $((size - 100)) whole | { run -3 --separate-stderr valori-ingest -l copy -f log -; echo "$stderr" >said; }
	grep -q "ends within a commit" said
	[ "$(height copy)" = 20 ]
	perl -pe 'BEGIN { undef $/ } substr($_, 5000, 1) ^= "\1"' whole >bad
	run -3 valori-ingest -l copy2 -f log - <bad
	run -3 valori-ingest -l copy3 -f log - </dev/null
	run -3 valori-ingest -l copy4 -f log - < <(echo '[1,2]')
}

# ---- when something else goes wrong ----

@test "--dry-run checks everything and changes nothing" {
	run -0 --separate-stderr ingest -nv < <(printf '[1,2]\n')
	[ -z "$output" ]
	[[ $stderr == *"1 events in 1 commits, rehearsed"* ]]
	[ ! -e db ]
	printf '{"vector":[1,2],"key":"a"}\n' | ingest -q >ids
	cp -r db before
	run -2 ingest -n < <(printf '[1,2]\n{"vector":[1,2],"key":"a"}\n')
	run -0 ingest -n < <(printf '[1,2]\n')
	diff -r db before
}

@test "output that cannot be written is 4, and what was committed is there" {
	run --separate-stderr bash -c "printf '[1,2]\n[3,4]\n' | valori-ingest -l db --batch=1 >/dev/full"
	[ "$status" = 4 ]
	[[ $stderr == *"standard output"* ]]
	[ "$(height db)" -ge 1 ]
}

@test "a reader that leaves ends it by SIGPIPE, and it says what is committed" {
	rows 20000 3 >rows
	{ set +e; valori-ingest -l db --batch=10 rows 2>said; echo $? >code; } | head -n 1 >first
	[ "$(cat code)" = 141 ]
	grep -q "height [0-9]*" said
	[ "$(sed -E 's/.*height ([0-9]+).*/\1/' said)" = "$(height db)" ]
}

@test "SIGTERM, SIGINT and SIGHUP end it between batches, and it says what is committed" {
	for signal in TERM:143 INT:130 HUP:129; do
		rm -rf db fifo
		mkfifo fifo
		valori-ingest -l db --batch=2 fifo >ids 2>said &
		pid=$!
		exec 9>fifo
		printf '[1,2]\n[3,4]\n[5,6]\n' >&9
		for _ in {1..100}; do [ "$(wc -l <ids)" = 2 ] && break; sleep 0.05; done
		kill -"${signal%:*}" $pid
		for _ in {1..100}; do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
		exec 9>&- # whoever has not heard it ends here, and well
		code=0
		wait $pid || code=$?
		[ "$code" = "${signal#*:}" ] || fail "$signal: status $code"
		grep -q "2 rows are committed; height 2" said
		[ "$(height db)" = 2 ]
		valori-verify -q db
	done
}

@test "signals end it while nothing has come yet, or a log stream says nothing more" {
	store other 2 2 2
	for signal in TERM:143 INT:130 HUP:129; do
		for first in nothing log; do
			rm -rf db fifo
			mkfifo fifo
			valori-ingest -l db fifo >ids 2>said &
			pid=$!
			exec 9>fifo # when it has been opened at the other end
			[ "$first" = nothing ] || valori-replay -o - other >&9
			for _ in {1..100}; do [[ $first = nothing || $(height db) = 2 ]] && break; sleep 0.05; done
			kill -"${signal%:*}" $pid
			for _ in {1..100}; do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
			exec 9>&- # whoever has not heard it ends here
			code=0
			wait $pid || code=$?
			[ "$code" = "${signal#*:}" ] || fail "$signal, $first: status $code"
			grep -qi "stopped\|committed" said || fail "$signal, $first: $(cat said)"
		done
	done
}

@test "SIGUSR1 prints a line of progress" {
	mkfifo fifo
	valori-ingest -l db fifo >ids 2>said &
	pid=$!
	exec 9>fifo
	printf '[1,2]\n' >&9
	sleep 0.3
	kill -USR1 $pid
	for _ in {1..100}; do [ -s said ] && break; sleep 0.05; done
	exec 9>&-
	wait $pid
	grep -q "rows committed" said
}

@test "a second writer is told who holds the store: 6" {
	echo '[1,2]' | ingest -q >ids
	mkfifo fifo
	valori-ingest -l db fifo >ids2 &
	pid=$!
	exec 9>fifo
	for _ in {1..100}; do
		run --separate-stderr ingest < <(echo '[1,2]')
		[ "$status" = 0 ] || break
		sleep 0.05
	done
	[ "$status" = 6 ]
	[[ $stderr == *"$pid"* ]]
	exec 9>&-
	wait $pid
}

@test "--records-max is a capacity: 5" {
	run -5 --separate-stderr ingest --records-max=3 --batch=2 < <(printf '[1,2]\n%.0s' 1 2 3 4 5)
	[ "$output" = $'0\n1' ]
	[ "$(height db)" = 2 ]
	run -5 --separate-stderr env VALORI_MAX_RECORDS=2 valori-ingest -l db < <(printf '[1,2]\n')
}

@test "--sync=batch and none: the same store in the end" {
	rows 50 3 >rows
	ingest -q rows >ids
	for mode in batch:3,100 none; do
		valori-ingest -q -l "$mode" --sync="$mode" --batch=5 rows | cmp - ids
		[ "$(root "$mode")" = "$(root db)" ]
	done
	for mode in sometimes batch batch:1 batch:0,5 batch:5,0 batch:x,1; do
		run -2 ingest --sync="$mode" </dev/null
	done
}

@test "no store named, or nothing to read on a terminal: usage" {
	run -2 --separate-stderr valori-ingest </dev/null
	[[ $stderr == *"-l PATH"* ]]
}

@test "rows larger than memory allows for them: the stream is read in bounded memory" {
	echo '{"vector":[1,2]}' | ingest -q >ids
	megabytes=$([ -n "$VALORI_LONG" ] && echo 1024 || echo 200)
	bounded 450000
	perl -e '$pad = " " x 100000; print "{\"op\":\"set_tag\",\"id\":0,\"tag\":$_$pad}\n" for 1 .. 10 * shift' $megabytes |
		ingest -q --sync=none >ids
	[ "$(wc -l <ids)" = $((10 * megabytes)) ]
}

@test "a full disk is 4; what was printed is there" {
	mkdir small
	mount -t tmpfs -o size=1m none small 2>mount || skip "no file system can be mounted here"
	rows 20000 8 >rows
	code=0
	valori-ingest -l small/db rows >ids 2>said || code=$?
	count=$(wc -l <ids)
	there=$(height small/db)
	umount small
	[ "$code" = 4 ]
	grep -qi "no space left" said
	[ "$count" -gt 0 ]
	[ "$there" = "$count" ]
}

@test "a store that cannot be written is 4" {
	run -4 --separate-stderr valori-ingest -l /proc/db -d 2 </dev/null
	[[ $stderr == "valori-ingest: /proc/db"* ]]
}

@test "damage in a log that comes through a pipe is said at once, not when the pipe ends" {
	store db 6 2 2
	valori-replay -o - db >stream
	printf X | dd of=stream bs=1 seek=$(($(stat -c %s stream) - 100)) conv=notrunc status=none
	mkfifo pipe
	{ cat stream; sleep 30; } >pipe 3>&- &
	run timeout 10 valori-ingest -q -f log -l copy - <pipe
	kill %1 2>/dev/null || true
	[ "$status" = 3 ]
	[[ $output == *"standard input: offset "* ]]
	[ "$(valori-replay --state copy | awk -F '\t' '$1 == "height" { print $2 }')" = 4 ]
}
