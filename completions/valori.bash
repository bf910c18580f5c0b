# valori.bash - completes the Valori tools. What there is to complete is read from the --help of the tool itself.

# Prints the options, or with a second argument what kind of value that option takes.
_valori_help()
{
	"$1" --help 2>/dev/null | awk -v option="$2" '
		match($0, /^ +(-[A-Za-z0-9], )?--[a-z0-9-]+/) {
			rest = substr($0, RLENGTH + 1)
			argument = rest ~ /^=/ ? substr(rest, 2) : ""
			sub(/[^A-Z].*/, "", argument)
			n = split(substr($0, 1, RLENGTH), names, /[ ,]+/)
			for (i = 1; i <= n; i++)
				if (names[i] != "" && option == "")
					print names[i]
				else if (names[i] != "" && names[i] == option)
					print argument
		}'
}

_valori()
{
	local tool=$1 word=$2 option=$3 kind=
	COMPREPLY=()
	# Bash takes "--log=x" apart: the option then stands before the "=", or the "=" is all there is of the word.
	if [ "$word" = = ]; then
		word=
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $option in
	-*) kind=$(_valori_help "$tool" "$option") ;;
	esac
	case $kind:$word in
	:-*)
		mapfile -t COMPREPLY < <(compgen -W "$(_valori_help "$tool" '')" -- "$word")
		return
		;;
	FORMAT:*) mapfile -t COMPREPLY < <(compgen -W 'ndjson fvecs bvecs npy f32 i32 csv log' -- "$word") ;;
	MODE:*) mapfile -t COMPREPLY < <(compgen -W 'always none batch:' -- "$word") ;;
	DIR:*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	:*|FILE:*|PATH:*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	esac
}

complete -F _valori valori-ingest valori-search valori-replay valori-verify valori-snapshot valori-serve valori-follow
