# helper.bash - what the suites of the tools share: a clean environment, small stores, one flipped bit.
bats_require_minimum_version 1.5.0

BUILD=${BUILD:-$BATS_TEST_DIRNAME/../../build}
PATH=$(cd "$BUILD" && pwd):$PATH
export PATH LC_ALL=C.UTF-8
for name in $(compgen -e VALORI_); do
	case $name in VALORI_LONG|VALORI_SHARED|VALORI_CPU) ;; *) unset "$name" ;; esac
done

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# N rows of NDJSON with DIM components, the same on every machine: keys PREFIX0, PREFIX1 ...; tags 0...3; metadata.
rows() { # n, dim, [seed], [prefix]
	awk -v n="$1" -v dim="$2" -v seed="${3:-1}" -v prefix="${4:-k}" 'BEGIN {
		s = seed * 7919 % 2147483647
		for (i = 0; i < n; i++) {
			printf "{\"key\":\"%s%d\",\"tag\":%d,\"metadata\":\"row %d\",\"vector\":[", prefix, i, i % 4, i
			for (d = 0; d < dim; d++) {
				s = s * 16807 % 2147483647
				printf "%s%.3f", d ? "," : "", s % 4001 / 1000 - 2
			}
			print "]}"
		}
	}'
}

# A store with N rows, in commits of BATCH.
store() { # path, n, dim, [batch]
	rows "$2" "$3" | valori-ingest -q -l "$1" -d "$3" --batch "${4:-10}" >"$BATS_TEST_TMPDIR/ids" || return
	[ "$(wc -l <"$BATS_TEST_TMPDIR/ids")" = "$2" ]
}

# Makes a header of another version, with the checksum that goes with it.
set_version() { # file, version, bytes of the header before its checksum
	perl -e 'my ($path, $version, $end) = @ARGV;
		open my $file, "+<:raw", $path or die; read $file, my $data, $end;
		substr $data, 8, 4, pack "V", $version;
		my $crc = 0xffffffff;
		for (unpack "C*", $data) { $crc ^= $_; $crc = $crc >> 1 ^ 0x82f63b78 * ($crc & 1) for 1 .. 8 }
		seek $file, 0, 0; print $file $data, pack "V", ~$crc & 0xffffffff;' "$@"
}

# A store in which every kind of event happened.
rich_store() { # path
	store "$1" 20 4 5
	valori-ingest -q -l "$1" --create -c docs >/dev/null <<-'END'
		{"key":"d0","vector":[1,0,0,0],"collection":"docs","metadata":{"a": [1, 2]}}
		{"key":"d1","vector":[0,1,0,0],"metadata_base64":"/wABgA=="}
		{"vector":[0,0,1,0],"metadata":""}
		{"vector":[0,0,0.5,0],"metadata":"tab\there \"quoted\" back\\slash\nnew line \u0000 \u00e9 \ud83d\ude00"}
	END
	valori-ingest -q -l "$1" >/dev/null <<-'END'
		{"op":"upsert","key":"k3","vector":[2,2,2,2],"tag":18446744073709551615,"metadata":"new"}
		{"op":"soft_delete","key":"k4"}
		{"op":"delete","id":5}
		{"op":"set_metadata","key":"k6","metadata":"changed"}
		{"op":"set_metadata","key":"k7","metadata":null}
		{"op":"set_tag","key":"k8","tag":77}
		{"op":"node","kind":2,"key":"k9","ref":"n0"}
		{"op":"node","kind":"Chunk","ref":"n1"}
		{"op":"node","kind":1,"key":"k10","ref":"n2"}
		{"op":"edge","kind":1,"from":"n0","to":"n1"}
		{"op":"edge","kind":"RefersTo","from":"n1","to":"n2"}
		{"op":"meta","key":"title","metadata":"a store"}
		{"op":"meta","key":"gone","metadata":"soon"}
		{"op":"collection_create","collection":"other"}
	END
	valori-ingest -q -l "$1" >/dev/null <<-'END'
		{"op":"node_set_record","id":1,"key":"k11"}
		{"op":"node_set_record","id":0,"record":null}
		{"op":"edge_delete","id":1}
		{"op":"node_delete","id":2}
		{"op":"meta_delete","key":"gone"}
		{"op":"collection_drop","collection":"other"}
	END
}

# What valori-replay --state says of a store, one figure.
state() { # store, figure
	valori-replay --state "$1" | awk -F '\t' -v name="$2" '$1 == name { print $2 }'
}

root() {
	state "$1" state_root
}

# Flips one bit of a file.
flip() { # file, offset
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059  # the format is one octal escape
	printf "\\$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# All files below a directory with their contents and times: equal before and after says that nothing was touched.
fingerprint() {
	find "$1" -printf '%P %s %T@ %i %m\n' | sort
	find "$1" -type f -print0 | sort -z | xargs -0 cat | cksum
}

fail() {
	echo "$*" >&2
	return 1
}
