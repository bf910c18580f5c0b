# layers.awk - holds the includes of lib/ to lib/LAYERS: awk -f layers.awk lib/LAYERS lib/*.[ch]
#
# A file belongs to the module of its name, or of the longest part of its name before a "_" (q16_avx2.c: q16).
# config.h is no module: it holds numbers only, and anybody may include it.

function module(name,    parts, n, i, try) {
	sub(/.*\//, "", name)
	sub(/\.[ch]$/, "", name)
	if (name in rank)
		return name
	for (n = split(name, parts, "_") - 1; n > 0; n--) {
		try = parts[1]
		for (i = 2; i <= n; i++)
			try = try "_" parts[i]
		if (try in rank)
			return try
	}
	return ""
}

FILENAME ~ /LAYERS$/ {
	if (/^#/)
		next
	for (i = 1; i <= NF; i++)
		rank[$i] = -FNR
	next
}

FNR == 1 {
	mine = module(FILENAME)
	if (mine == "")
		print FILENAME ": is no module of lib/LAYERS"
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, quoted, "\"")
	if (quoted[2] == "config.h")
		next
	other = module(quoted[2])
	if (other == "")
		print FILENAME ":" FNR ": includes " quoted[2] ", which is no module of lib/LAYERS"
	else if (other != mine && (mine == "" || rank[other] >= rank[mine]))
		print FILENAME ":" FNR ": includes " quoted[2] ", which is not below it in lib/LAYERS"
}
