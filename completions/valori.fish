# valori.fish - completes the Valori tools. What there is to complete is read from the --help of the tool itself.

for tool in valori-ingest valori-search valori-replay valori-verify valori-snapshot valori-serve valori-follow
	type -q $tool; or continue
	$tool --help 2>/dev/null | while read -l line
		set -l short; set -l long; set -l argument; set -l text
		string match -rq '^ *(-(?<short>[A-Za-z0-9]), )?--(?<long>[a-z0-9-]+)(=(?<argument>[A-Z]+)\S*)? *(?<text>.*)$' -- $line
		or continue
		set -l spec -c $tool -l $long -d "$text"
		test -n "$short"; and set -a spec -s $short
		switch "$argument"
			case ''
			case FILE PATH
				set -a spec -r -F
			case DIR
				set -a spec -x -a '(__fish_complete_directories)'
			case FORMAT
				set -a spec -x -a 'ndjson fvecs bvecs npy f32 i32 csv log'
			case MODE
				set -a spec -x -a 'always none batch:'
			case '*'
				set -a spec -x
		end
		complete $spec
	end
end
