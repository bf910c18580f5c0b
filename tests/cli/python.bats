#!/usr/bin/env bats
# The Python package: its own tests, run by a Python with numpy where there is one, and by python3 as it is.

load helper

# The first Python that has numpy; else python3.
with_numpy() {
	local python
	for python in python3 /usr/bin/python3; do
		if "$python" -c 'import numpy' 2>/dev/null; then
			echo "$python"
			return
		fi
	done
	echo python3
}

setup() {
	command -v python3 >/dev/null || skip "python3 is not installed"
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BUILD=$(cd "$BUILD" && pwd)
	if grep -q '^SANITIZED = yes' "$BUILD/config.mak"; then
		skip "this Python has not the sanitizers of this build"
	fi
	export BUILD VALORI_LIBRARY=$BUILD/libvalori.so PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$ROOT/python
	cd "$ROOT/python" || return
}

suite() { # module
	"${PYTHON:-$(with_numpy)}" -W error -m unittest -v "tests.$1"
}

@test "the types of the package are those of valori.h and of libvalori.so" {
	suite test_abi
}

@test "embedded stores: records, search, graph, moments, threads" {
	suite test_local
}

@test "bad input: the right exception, no leak, the store unharmed" {
	suite test_bad
}

@test "numpy is not needed" {
	printf 'raise ImportError("numpy")\n' >"$BATS_TEST_TMPDIR/numpy.py"
	PYTHONPATH=$BATS_TEST_TMPDIR:$PYTHONPATH PYTHON=python3 suite test_local
}

@test "the examples of the docstrings do what they say" {
	python3 -c 'import doctest, importlib, pkgutil, sys, valori
run = 0
for module in pkgutil.iter_modules(valori.__path__, "valori."):
    result = doctest.testmod(importlib.import_module(module.name))
    run += result.attempted
    if result.failed: sys.exit(1)
sys.exit(run == 0)'
}

@test "a node: the same surface, answers and roots; and what can go wrong on the way" {
	suite test_remote
}

@test "ValoriEngine, and the native module of the first version" {
	suite test_engine
}

@test "texts: chunks, documents, the same over a path and over a node" {
	suite test_protocol
}

@test "the wheel, pip, the example of the README" {
	PYTHON=python3 suite test_package
}

@test "the examples of python/README.md do what they say" {
	python3 -m doctest README.md
}

@test "the tools as streams of rows" {
	suite test_tools
}

@test "valori-mcp: the protocol, the seven tools, over a path and over a node" {
	suite test_mcp
}

@test "the rules of LangChain's and LlamaIndex's vector stores" {
	suite test_adapters
}
