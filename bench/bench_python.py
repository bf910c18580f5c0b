#!/usr/bin/env python3
"""bench_python.py - what Python costs: a batch of numpy rows against the C call, and a search beside the library's work.

Prints name, value and unit, tab-separated. Needs numpy, and build/bench/bench_batch beside the library.

usage: bench_python.py [DIRECTORY]    stores are made there and removed (/dev/shm: no disk has a say)
"""
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from array import array

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
os.environ.setdefault("VALORI_LIBRARY", os.path.join(BUILD, "libvalori.so"))
sys.path.insert(0, os.path.join(ROOT, "python"))

import numpy  # noqa: E402

from valori import Valori, _abi, _c  # noqa: E402

ROWS, DIM, TURNS = 100000, 384, 5


def batch(directory: str) -> float:
    """Seconds of insert_batch, the least of TURNS."""
    numpy.random.seed(1)
    table, least = numpy.random.random_sample((ROWS, DIM)).astype(numpy.float32), 1e9
    for turn in range(TURNS):
        path = os.path.join(directory, str(turn))
        with Valori(path, dim=DIM) as db:
            began = time.perf_counter()
            db.insert_batch(table)
            least = min(least, time.perf_counter() - began)
        shutil.rmtree(path)
    return least


def search() -> None:
    """Microseconds of one search in a store with one record, and of the same C calls made with everything ready."""
    row = [i / DIM for i in range(DIM)]
    with Valori(dim=DIM) as db:
        db.insert(row)
        store, lib, byref = db._handle.pointer, _c.lib, ctypes.byref
        view, error, count = ctypes.c_void_p(), _abi.valori_error(), ctypes.c_size_t()
        options, hits = _c.init(_abi.valori_search_options), (_abi.valori_hit * 10)()
        query, q16 = array("f", row), (ctypes.c_int32 * DIM)()
        address = query.buffer_info()[0]

        def bare() -> None:
            lib.valori_q16s_from_f32s(address, DIM, q16, None)
            lib.valori_view_open(store, byref(view), None)
            lib.valori_search(view, q16, 1, byref(options), hits, byref(count), None)
            lib.valori_view_close(view)

        forms = {"calls": bare, "array": lambda: db.search(query), "list": lambda: db.search(row)}
        as_numpy = numpy.array(row, dtype=numpy.float32)
        forms["numpy"] = lambda: db.search(as_numpy)
        least = dict.fromkeys(forms, 1e9)
        for _ in range(30):
            for name, call in forms.items():
                began = time.perf_counter()
                for _ in range(300):
                    call()
                least[name] = min(least[name], (time.perf_counter() - began) / 300)
        for name in ("array", "numpy", "list"):
            print(f"python_search_{name}\t{least[name] * 1e6:.4g}\tus")
            print(f"python_search_{name}_over_calls\t{(least[name] - least['calls']) * 1e6:.4g}\tus")


def main() -> None:
    directory = tempfile.mkdtemp(prefix="bench-python-", dir=sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")
    try:
        search()
        said = subprocess.run([os.path.join(BUILD, "bench", "bench_batch"), directory], check=True,
                              stdout=subprocess.PIPE, universal_newlines=True).stdout
        in_c = {line.split("\t")[0]: float(line.split("\t")[1]) for line in said.splitlines()}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        seconds = batch(directory)
        print(f"python_batch_insert\t{seconds:.4g}\ts\nc_batch_insert\t{in_c['batch_insert']:.4g}\ts")
        print(f"python_batch_of_c\t{in_c['batch_insert'] / seconds:.3g}\tratio")
        print(f"python_batch_memory\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.4g}\tMB")
        print(f"c_batch_memory\t{in_c['batch_memory']:.4g}\tMB\npython_before\t{before:.4g}\tMB")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
