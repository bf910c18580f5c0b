#!/usr/bin/env bats
# What all tools do alike: help, version, status, completions.

bats_require_minimum_version 1.5.0

setup() {
	load house
	export PATH=$BUILD:$PATH
}

# The options of a tool as "x long" or "- long" lines, from its --help.
options() {
	"$BUILD/$1" --help | sed -nE 's/^ +(-([A-Za-z0-9]), )?--([a-z0-9-]+).*/\2 \3/p' | sed 's/^ /- /' | sort
}

@test "every source of a tool became a tool" {
	for tool in $(tools); do
		[ -x "$BUILD/$tool" ] || none "$tool was not built"
	done
}

@test "--help and -h: the same, on stdout, at most 80 columns, nothing on stderr, status 0" {
	for tool in $(tools); do
		run -0 --separate-stderr "$tool" --help
		[ -n "$output" ]
		[ -z "$stderr" ]
		[[ $output == "usage: $tool "* ]] || none "$tool --help does not begin with its usage"
		help=$output
		none "$(awk -v tool="$tool" 'length > 80 { print tool ": " $0 }' <<<"$help")"
		run -0 "$tool" -h
		[ "$output" = "$help" ]
		[ "$(options "$tool" | wc -l)" -ge 4 ]
	done
}

@test "--version names tool, library, log format and kernels" {
	for tool in $(tools); do
		run -0 --separate-stderr "$tool" --version
		[[ $output == "$tool "*libvalori*"log format "*kernels* ]] || none "$output"
		[ -z "$stderr" ]
		run -0 "$tool" -V
	done
}

@test "output that could not be written is status 4" {
	for tool in $(tools); do
		for option in --help --version; do
			run --separate-stderr bash -c "$tool $option >/dev/full"
			[ "$status" = 4 ] || none "$tool $option >/dev/full: status $status"
			[[ $stderr == "$tool: "* ]] || none "$tool $option >/dev/full: says '$stderr'"
		done
	done
}

@test "an unknown option is status 2, told on stderr in one line that names the tool" {
	for tool in $(tools); do
		for option in --no-such-option -Z; do
			run --separate-stderr "$tool" "$option"
			[ "$status" = 2 ] && [ -z "$output" ] || none "$tool $option: status $status, says '$output'"
			[[ ${stderr_lines[0]} == "$tool: "* ]] || none "$tool $option: says '$stderr'"
		done
	done
}

@test "one letter has one meaning in all tools" {
	none "$(for tool in $(tools); do options "$tool"; done | grep -v '^-' | sort -u |
		awk '$1 in name && name[$1] != $2 { print "-" $1 ": --" name[$1] " and --" $2 } { name[$1] = $2 }')"
	none "$(for tool in $(tools); do options "$tool"; done | sort -u |
		awk '$2 in letter && letter[$2] != $1 { print "--" $2 ": -" letter[$2] " and -" $1 } { letter[$2] = $1 }')"
}

@test "the options of --help are those of the manual page" {
	for tool in $(tools); do
		[ -e "man/$tool.1" ] || none "there is no man/$tool.1"
		diff <(options "$tool") <(sed -nE 's/^\.It (Fl ([A-Za-z0-9]) , )?Fl -([a-z0-9-]+).*/\2 \3/p' "man/$tool.1" |
			sed 's/^ /- /' | sort) || none "$tool: help (<) and manual (>) differ"
	done
}

# The options as words: -x and --long.
words() {
	options "$1" | awk '$1 != "-" { print "-" $1 } { print "--" $2 }' | sort
}

@test "bash completes the options of --help" {
	for tool in $(tools); do
		diff <(words "$tool") <(bash -c '. completions/valori.bash; COMP_WORDS=("$0" -); COMP_CWORD=1
			COMP_LINE="$0 -"; COMP_POINT=${#COMP_LINE}
			_valori "$0" - "$0"; printf "%s\n" "${COMPREPLY[@]}"' "$tool" | sed 's/[= ]*$//' | sort)
	done
}

@test "fish completes the options of --help" {
	need fish
	export HOME=$BATS_TEST_TMPDIR
	for tool in $(tools); do
		diff <(words "$tool") <(fish --no-config -c 'source completions/valori.fish
			complete -C "$argv[1] -"' "$tool" | cut -f 1 | sed 's/=$//' | sort -u)
	done
}

@test "zsh completes the options of --help" {
	need zsh
	zsh -n completions/_valori
	for tool in $(tools); do
		diff <(words "$tool") <(zsh -fc 'function _arguments { print -rl -- "${@:#-[sS]}" }
			service=$1; . completions/_valori' zsh "$tool" |
			grep -E '^(\([^)]*\))?[*]?-' | sed -E 's/^\([^)]*\)//; s/^[*]//; s/[=+[].*//; s/-$//' | sort -u)
	done
}
