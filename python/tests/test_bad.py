"""Bad input: the right exception, a message that says what to do, no leak, and the store as it was."""
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from array import array

import valori
from tests.base import Case, needs_numpy, numpy, rss, script, vectors


class Inputs(Case):
    def setUp(self) -> None:
        super().setUp()
        self.db = self.open(dim=4)
        self.db.insert([1, 2, 3, 4], key="k")
        self.root = self.db.state_root()

    def tearDown(self) -> None:
        """Whatever was tried, nothing has changed, and the store still works."""
        self.assertEqual(self.db.state_root(), self.root)
        self.db.insert([0, 0, 0, 0])
        self.assertEqual(self.db.verify()["verdict"], "consistent")

    def test_vectors(self) -> None:
        nan, inf = float("nan"), float("inf")
        cases = [
            ([1, 2, 3], valori.DimensionError, "has 3 components, the store's have 4"),
            ([], valori.DimensionError, "has 0 components"),
            ([1, 2, 3, nan], valori.RangeError, "component 3 is not a number"),
            ([inf, 2, 3, 4], valori.RangeError, "component 0 is infinite"),
            ([1e39, 2, 3, 4], valori.RangeError, "component 0 is infinite"),
            ([1, 40000, 3, 4], valori.RangeError, "component 1 is out of range"),
            ([30000, 30000, 3, 4], valori.RangeError, "norm too large"),
            ([1, "2", 3, 4], valori.ValidationError, "want a list of numbers"),
            ([1, None, 3, 4], valori.ValidationError, "want a list of numbers"),
            ([[1, 2, 3, 4]], valori.ValidationError, "want a list of numbers"),
            ("1234", valori.ValidationError, "str: want a list of numbers"),
            (b"1234", valori.ValidationError, "want float32"),
            ({1: 2}, valori.ValidationError, "dict: want a list"),
            (None, valori.ValidationError, "NoneType: want a list"),
            (7, valori.ValidationError, "int: want a list"),
            ([10 ** 400, 2, 3, 4], valori.ValidationError, "want a list of numbers"),
            (array("d", [1, 2, 3, 4]), valori.ValidationError, "astype('float32')"),
            (array("f", [1, 2, 3]), valori.DimensionError, "has 3 components"),
            (memoryview(array("f", range(8)))[::2], valori.ValidationError, "not contiguous"),
        ]
        for vector, kind, words in cases:
            with self.subTest(vector=vector):
                self.refuses(kind, words, self.db.insert, vector)
                self.refuses(kind, words, self.db.search, vector)
                self.refuses(kind, words, self.db.upsert, "k", vector)

    def test_batches(self) -> None:
        good = [0.0, 0.0, 0.0, 1.0]
        cases = [
            ([good, [1, 2, 3]], valori.DimensionError, "row 1: vector: has 3 components"),
            ([good, good, [1, float("nan"), 3, 4]], valori.RangeError, "row 2: vector: component 1"),
            ([good, 5], valori.ValidationError, "row 1: vector: int"),
            (5, valori.ValidationError, "int: want rows"),
            ("abc", valori.ValidationError, "str: want rows"),
            ([good, array("i", [1, 2, 3, 4])], valori.ValidationError, "mixed"),
            (array("f", range(7)), valori.ValidationError, "reshape(-1, 4)"),
            (memoryview(array("f", range(6))).cast("B").cast("f", (2, 3)), valori.DimensionError, "has 3 components"),
            (memoryview(bytearray(48)).cast("d", (2, 3)), valori.ValidationError, "want float32"),
        ]
        for batch, kind, words in cases:
            with self.subTest(batch=batch):
                self.refuses(kind, words, self.db.insert_batch, batch)
        self.assertEqual(self.db.insert_batch([]), [])
        self.refuses(valori.ValidationError, "tags: has 1 elements, the batch has 2", self.db.insert_batch,
                     [good, good], [1])
        self.refuses(valori.ValidationError, "tags: -1", self.db.insert_batch, [good, good], [1, -1])
        self.refuses(valori.DuplicateError, "row 1: ", self.db.insert_batch, [good, good], keys=[None, "k"])
        self.refuses(valori.ValidationError, "row 1: metadata: Object of type set", self.db.insert_batch, [good, good],
                     metadata=[None, {1, 2}])
        self.refuses(valori.RangeError, "row 1: ", self.db.insert_batch, [good, [9e9] * 4], keys=["a", "b"])

    def test_arguments(self) -> None:
        db, good = self.db, [0.0, 0.0, 0.0, 1.0]
        self.refuses(valori.ValidationError, "tag: -1", db.insert, good, -1)
        self.refuses(valori.ValidationError, "tag: 18446744073709551616", db.insert, good, 2 ** 64)
        self.refuses(valori.ValidationError, "tag: str", db.insert, good, "7")
        self.refuses(valori.DuplicateError, "key", db.insert, good, key="k")
        self.refuses(valori.TooLongError, "the limit is 255", db.insert, good, key="k" * 256)
        self.refuses(valori.ValidationError, "key: int: want a str", db.insert, good, key=7)
        self.refuses(valori.ValidationError, "key: surrogates", db.insert, good, key="\ud800")
        self.refuses(valori.TooLongError, "the limit is 65536", db.insert, good, metadata=b"m" * 65537)
        self.refuses(valori.ValidationError, "metadata: ", db.insert, good, metadata=float("nan"))
        self.refuses(valori.ValidationError, "request_id: want 16 bytes", db.insert, good, request_id=b"short")
        for k in (0, -1, 65537, 2.0, "3", None):
            self.refuses(valori.ValidationError, "k: ", db.search, good, k=k)
        self.refuses(valori.ValidationError, "filter_tag", db.search, good, filter_tag=-1)
        self.refuses(valori.NotFoundError, "create_collection", db.search, good, collection="nowhere")
        self.refuses(valori.NotFoundError, "record 99", db.get, 99)
        self.refuses(valori.ValidationError, "record: float", db.get, 1.0)
        self.refuses(valori.NotFoundError, "", db.delete, 99)
        self.refuses(valori.NotFoundError, "", db.soft_delete, "nobody")
        self.refuses(valori.NotFoundError, "", db.set_metadata, 99, b"m")
        self.refuses(valori.ValidationError, "collection name", db.create_collection, "a b")

    @needs_numpy
    def test_numpy(self) -> None:
        good = numpy.zeros((3, 4), dtype=numpy.float32)
        for dtype in (numpy.float16, numpy.float64, bool, object, numpy.int64, numpy.uint8, numpy.complex64):
            self.refuses(valori.ValidationError, "want float32", self.db.insert_batch, good.astype(dtype))
            self.refuses(valori.ValidationError, "want float32", self.db.search, good[0].astype(dtype))
        self.refuses(valori.ValidationError, "float64", self.db.insert, numpy.zeros(4))
        self.refuses(valori.ValidationError, "want float32", self.db.insert_batch, good.astype(">f4"))
        self.refuses(valori.ValidationError, "ascontiguousarray", self.db.insert_batch,
                     numpy.zeros((4, 3), dtype=numpy.float32).T)
        self.refuses(valori.ValidationError, "ascontiguousarray", self.db.insert_batch, numpy.zeros(
            (6, 4), dtype=numpy.float32)[::2])
        self.refuses(valori.DimensionError, "has 5 components", self.db.insert_batch,
                     numpy.zeros((2, 5), dtype=numpy.float32))
        self.refuses(valori.ValidationError, "3 dimensions", self.db.insert_batch,
                     numpy.zeros((2, 2, 4), dtype=numpy.float32))
        self.refuses(valori.ValidationError, "1 dimension:", self.db.insert_batch,
                     numpy.zeros(8, dtype=numpy.float32))
        self.refuses(valori.ValidationError, "0 dimensions", self.db.insert, numpy.float32(1))
        bad = good.copy()
        bad[2, 1] = numpy.nan
        self.refuses(valori.RangeError, "row 2: vector: component 1 is not a number", self.db.insert_batch, bad)
        self.assertEqual(self.db.insert_batch(good[:0]), [])

    def test_no_leak(self) -> None:
        """100,000 errors of every kind leave no memory behind."""
        db, good = self.db, [0.0, 0.0, 0.0, 1.0]
        calls = [lambda: db.insert([1, 2]), lambda: db.insert([float("nan")] * 4), lambda: db.insert(good, key="k"),
                 lambda: db.search("x"), lambda: db.get(99), lambda: db.insert_batch([good, [1]]),
                 lambda: db.insert_batch(array("f", [0, 0, 0, 0, float("inf"), 0, 0, 0])), lambda: db.delete(99),
                 lambda: db.search(good, collection="none"), lambda: db.edges(99)]

        def errors(count: int) -> int:
            seen = 0
            for _ in range(count):
                for call in calls:
                    try:
                        call()
                    except valori.ValoriError:
                        seen += 1
            return seen

        errors(500)
        before = rss()
        self.assertEqual(errors(10000), 100000)
        self.assertLess(rss() - before, 2 << 20)


class Places(Case):
    def test_paths(self) -> None:
        self.refuses(valori.NotFoundError, "", valori.Valori, self.path("none"), create=False)
        self.refuses(valori.NotFoundError, "", valori.Valori, self.path("none"), read_only=True)
        self.refuses(valori.ValidationError, "path: int", valori.Valori, 7)
        self.refuses(valori.ValidationError, "zero byte", valori.Valori, "a\0b")
        self.refuses(valori.ValidationError, "sync", valori.Valori, self.path(), sync="sometimes")
        self.refuses(valori.ValidationError, "dim: 0", valori.Valori, self.path(), dim=0)
        self.refuses(valori.ValidationError, "token", valori.Valori, self.path(), token="t")
        self.open(dim=3).close()
        self.refuses(valori.DimensionError, "", valori.Valori, self.path(), dim=4)
        with open(self.path("junk.log"), "w") as file:
            file.write("no log\n" * 1000)
        self.refuses(valori.NotOursError, "", valori.Valori, self.path("junk.log"))

    def test_second_process(self) -> None:
        db = self.open(dim=1)
        db.insert([1])
        self.refuses(valori.LockedError, "", valori.Valori, self.path())
        done = script("import sys, valori\n"
                      "with valori.Valori(sys.argv[1], read_only=True) as db: print(db.record_count())\n"
                      "try: valori.Valori(sys.argv[1])\n"
                      "except valori.LockedError as error: print('locked', error)\n", self.path())
        self.assertTrue(done.stdout.startswith("1\nlocked "), done)
        with valori.Valori(self.path(), read_only=True) as reader:
            with self.assertRaises(valori.ValoriError):
                reader.insert([1])
            self.refuses(valori.UnsupportedError, "open it to write", reader.restore, self.path("x"))

    def test_capacity(self) -> None:
        db = self.open(dim=1, records_max=2)
        db.insert_batch([[1], [2]])
        self.refuses(valori.CapacityError, "", db.insert, [3])
        db.delete(0)
        db.insert([3])

    def test_fork(self) -> None:
        db = self.open(dim=1)
        db.insert([1])
        child = os.fork()
        if child == 0:
            status = 1
            try:
                db.insert([2])
            except valori.ForkedError as error:
                status = 0 if "open it again" in str(error) else 2
            try:
                db.close()
                with valori.Valori(dim=1) as own:
                    own.insert([1])
            except BaseException:
                status = 3
            os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(db.insert([2]), 1)
        self.refuses(valori.LockedError, "", valori.Valori, self.path())


class Deaths(Case):
    def test_kill(self) -> None:
        """kill -9 in the middle of insert_batch: every id that was printed is there, and batches are whole."""
        text = ("import sys, valori\n"
                "db = valori.Valori(sys.argv[1], dim=8)\n"
                "rows = [[i % 7] * 8 for i in range(300)]\n"
                "while True:\n"
                "    print(db.insert_batch(rows, [db.record_count()] * 300)[-1], flush=True)\n")
        for wait in (0.05, 0.15, 0.3):
            path = self.path(f"db{wait}")
            child = subprocess.Popen([sys.executable, "-c", text, path], stdout=subprocess.PIPE,
                                     universal_newlines=True)
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(wait)
            child.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in [first] + child.stdout.read().split("\n") if line.endswith("99")]
            child.stdout.close()
            child.wait()
            self.assertTrue(acknowledged)
            with valori.Valori(path) as db:
                self.assertGreater(db.record_count(), acknowledged[-1])
                self.assertEqual(db.record_count() % 300, 0)
                self.assertEqual(db.get(acknowledged[-1])["tag"], acknowledged[-1] - 299)
                self.assertEqual(db.verify()["verdict"], "consistent")


if __name__ == "__main__":
    unittest.main()
