# search.gp - queries a second against recall, a panel for each set: gnuplot -e "table='...'; plot_file='...'" search.gp
sets = system("awk -F '\\t' '!/^#/ && $1 != \"set\" && !s[$1]++ { print $1 }' " . table)
curves = "hnsw|hnsw, 64 together|ivf|hnswlib|faiss hnsw|faiss ivf"
# The points of one curve: what was swept, not what was computed for a recall.
points(set, name) = sprintf("< awk -F '\\t' '$1 == \"%s\" && $2 == \"%s\" && $3 !~ /^(at|build|filter|half|built)/ && $4 >= 0.8 { print $4, $5 }' %s", set, name, table)
curve(i) = system(sprintf("echo '%s' | cut -d '|' -f %d", curves, i))
has(set, i) = int(system(sprintf("awk -F '\\t' '$1 == \"%s\" && $2 == \"%s\" && $3 !~ /^(at|build|filter|half|built)/ && $4 >= 0.8' %s | wc -l", set, curve(i), table)))

set terminal svg size 520 * words(sets), 420 font "sans-serif,11" background "white"
set output plot_file
set multiplot layout 1, words(sets)
set logscale y
set grid
set xlabel "recall of the ten nearest"
set xtics 0.05
set ylabel "queries a second, one thread"
set xrange [0.8:1.0]
set key bottom left
do for [name in sets] {
	set title name noenhanced
	plot for [i = 1:6] (has(name, i) > 0 ? points(name, curve(i)) : "< echo 0.5 1") using 1:2 \
		with linespoints lw 2 pt 7 ps 0.5 lc i title (has(name, i) > 0 ? curve(i) : "") noenhanced
}
unset multiplot
