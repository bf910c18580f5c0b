# serve.bash - what the suites of valori-serve share: a node on a free port, questions to it.

# Starts a node with the given options; URL is where it answers. It ends with the test.
node() { # options...
	: >node.out # what the last one said must not be read
	valori-serve -b 127.0.0.1:0 "$@" >node.out 2>node.err 3>&- &
	NODE=$!
	for _ in $(seq 100); do
		if grep -q '^listening on ' node.out; then
			URL=http://$(sed -n 's/^listening on //p' node.out)
			return
		fi
		kill -0 "$NODE" 2>/dev/null || break
		sleep 0.1
	done
	cat node.err >&2
	return 1
}

teardown() {
	[ -z "${NODE-}" ] || kill -9 "$NODE" 2>/dev/null || true
}

# Stops it as a supervisor does; the exit status is its own.
stop_node() {
	local pid=$NODE
	NODE=
	kill -TERM "$pid"
	wait "$pid"
}

# method, path, [body]: the body of the answer on stdout, its status in the file "code".
ask() {
	curl -sS -m 20 -o answer -w '%{http_code}' -X "$1" "$URL$2" ${3+-d "$3"} >code && cat answer
}

code() {
	cat code
}
