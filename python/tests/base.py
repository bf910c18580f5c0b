"""What the tests share: a directory of their own, stores in it, numpy if it is there."""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import Any, List

import valori

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.dirname(HERE)
ROOT = os.path.dirname(PYTHON)
BUILD = os.environ.get("BUILD") or os.path.join(ROOT, "build")

needs_numpy = unittest.skipIf(numpy is None, "numpy is not installed")


def vectors(count: int, dim: int, seed: int = 1) -> List[List[float]]:
    """The same rows on every machine, exact in binary32."""
    state, made = seed * 7919 % 2147483647, []
    for _ in range(count):
        row = []
        for _ in range(dim):
            state = state * 16807 % 2147483647
            row.append((state % 4096 - 2048) / 1024)
        made.append(row)
    return made


def rss(process: Any = "self") -> int:
    """Bytes of memory that a process has now: this one, or that with a number."""
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def script(text: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", text, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=240, env=dict(os.environ, **environment))


class Case(unittest.TestCase):
    """A test in a directory that goes with it."""

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="valori-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name: str = "db") -> str:
        return os.path.join(self.directory, name)

    def open(self, name: str = "db", **options: Any) -> Any:
        store = valori.Valori(self.path(name), **options)
        self.addCleanup(store.close)
        return store

    def refuses(self, kind: Any, words: str, call: Any, *arguments: Any, **named: Any) -> Any:
        """call raises exactly this class, and says these words."""
        with self.assertRaises(valori.ValoriError) as caught:
            call(*arguments, **named)
        self.assertIs(type(caught.exception), kind, repr(caught.exception))
        self.assertIn(words, str(caught.exception))
        return caught.exception
