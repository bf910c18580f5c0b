"""Embedded stores: what goes in comes out, at every moment."""
import gc
import json
import os
import threading
import unittest
from array import array

import valori
from tests.base import Case, needs_numpy, numpy, vectors
from valori._local import _View


class Records(Case):
    def test_seed_example(self) -> None:
        """The first lines that anybody writes."""
        client = self.open()
        vec = [0.1] * 16
        uid = client.insert(vec, metadata=b"meta")
        results = client.search(vec, k=5)
        self.assertEqual([(hit["id"], hit["score"]) for hit in results], [(uid, 0)])
        self.assertTrue(os.path.exists(client.snapshot()))

    def test_kinds_of_input(self) -> None:
        """Lists, tuples, arrays, buffers, single or in rows, make the same state."""
        table, roots = vectors(5, 3), set()
        flat = array("f", [x for row in table for x in row])
        q16 = array("i", [int(x * 65536) for row in table for x in row])
        forms = [table, tuple(map(tuple, table)), [array("f", row) for row in table], flat,
                 memoryview(flat).cast("B").cast("f", (5, 3)), memoryview(bytes(flat)).cast("f", (5, 3)),
                 q16, memoryview(q16).cast("B").cast("i", (5, 3)), [array("i", q16[i:i + 3]) for i in range(0, 15, 3)],
                 (row for row in table)]
        for form in forms:
            with valori.Valori(dim=3) as db:
                self.assertEqual(db.insert_batch(form), [0, 1, 2, 3, 4])
                roots.add(db.state_root())
        for form in (lambda row: row, tuple, lambda row: array("f", row), lambda row: bytes_view(row),
                     lambda row: array("i", [int(x * 65536) for x in row]), iter):
            with valori.Valori(dim=3) as db:
                for row in table:
                    db.insert(form(row))
                roots.add(db.state_root())
        self.assertEqual(len(roots), 1)

    @needs_numpy
    def test_numpy(self) -> None:
        table, roots = vectors(5, 3), set()
        floats = numpy.array(table, dtype=numpy.float32)
        read_only = floats.copy()
        read_only.flags.writeable = False
        for form in (table, floats, read_only, list(floats), (floats * 65536).astype(numpy.int32)):
            with valori.Valori(dim=3) as db:
                db.insert_batch(form)
                roots.add(db.state_root())
                self.assertEqual(db.search(floats[2], k=1)[0]["id"], 2)
                self.assertEqual(db.search(read_only[2], k=1)[0]["raw_score"], 0)
                self.assertEqual(db.search(form[3], k=1)[0]["id"], 3)
        self.assertEqual(len(roots), 1)

    def test_search(self) -> None:
        table = vectors(200, 8)
        db = self.open(dim=8)
        db.insert_batch(table, tags=[i % 5 for i in range(200)])
        query = vectors(1, 8, seed=9)[0]

        def distance(row):  # type: ignore[no-untyped-def]
            return sum((int(a * 65536) - int(b * 65536)) ** 2 for a, b in zip(row, query))

        expected = sorted((distance(row), i) for i, row in enumerate(table))
        self.assertEqual([(h["raw_score"], h["id"]) for h in db.search(query, k=7)], expected[:7])
        tagged = [pair for pair in expected if pair[1] % 5 == 3]
        self.assertEqual([(h["raw_score"], h["id"]) for h in db.search(query, k=60, filter_tag=3)], tagged)
        self.assertEqual(db.search(query, k=3, exact=True), db.search(query, k=3))
        self.assertEqual(db.search(query, filter_tag=77), [])
        for hit in db.search(query):
            self.assertEqual(hit["score"], hit["raw_score"] / 2 ** 32)

    def test_record(self) -> None:
        db = self.open(dim=2)
        first = db.insert([1, -0.5], tag=2 ** 64 - 1, key="käse", metadata={"a": [1, "ü"]})
        self.assertEqual(db.get(first), {"id": 0, "vector": [1.0, -0.5], "tag": 2 ** 64 - 1, "key": "käse",
                                         "metadata": {"a": [1, "ü"]}, "live": True})
        self.assertEqual(db.get("käse"), db.get(0))
        self.assertEqual(db.get_metadata(0), '{"a":[1,"ü"]}'.encode())
        self.assertEqual(db.vector(0), array("i", [65536, -32768]))
        for metadata, decoded in ((b"\xff\0", b"\xff\0"), (b"", ""), ("text", "text"), (None, None), ("{no", "{no")):
            db.set_metadata("käse", metadata)
            self.assertEqual(db.metadata(0), decoded)
        self.assertEqual(db.upsert("käse", [2, 2]), 1)
        self.assertEqual(db.record_count(), 1)
        self.assertEqual(db.upsert_batch(["käse", "b"], [[2, 2], [3, 3]], [7, 8], metadata=["x", None]), [2, 3])
        self.assertEqual((db.record_count(), db.get("käse")["id"], db.get("b")["tag"]), (2, 2, 8))
        self.refuses(valori.ValidationError, "row 1: key", db.upsert_batch, ["a", None], [[2, 2], [3, 3]])
        db.delete("b")
        db.soft_delete("käse")
        self.assertFalse(db.get(2)["live"])
        db.delete(2)
        self.refuses(valori.NotFoundError, "record 2", db.get, 2)
        self.refuses(valori.NotFoundError, "käse", db.get, "käse")
        self.assertEqual(len(db), 0)

    def test_request_ids(self) -> None:
        db = self.open(dim=1)
        self.assertEqual(db.insert([1], request_id=b"r" * 16), 0)
        self.assertEqual(db.insert([1], request_id=b"r" * 16), 0)
        self.assertEqual(db.record_count(), 1)
        self.refuses(valori.ConflictError, "request", db.insert, [2], request_id=b"r" * 16)
        self.assertEqual(db.insert_batch([[1], [3]], request_ids=[b"r" * 16, b"s" * 16]), [0, 1])

    def test_collections_and_meta(self) -> None:
        db = self.open(dim=1)
        docs = db.create_collection("docs")
        self.assertEqual(db.create_collection("docs"), docs)
        self.assertEqual(db.collections(), ["default", "docs"])
        db.insert([5], collection="docs")
        self.assertEqual(db.search([5]), [])
        self.assertEqual(db.search([5], collection="docs")[0]["id"], 0)
        db.drop_collection("docs")
        self.refuses(valori.NotFoundError, "create_collection('docs')", db.insert, [5], collection="docs")
        self.assertIsNone(db.meta_get("title"))
        db.meta_set("title", "a store")
        db.meta_set("empty", b"")
        self.assertEqual((db.meta_get("title"), db.meta_get("empty")), (b"a store", b""))
        db.meta_delete("title")
        self.assertIsNone(db.meta_get("title"))
        self.refuses(valori.NotFoundError, "", db.meta_delete, "title")

    def test_graph(self) -> None:
        db = self.open(dim=2)
        made = db.create_document(vectors(3, 2), metadata=["a", "b", "c"])
        document, chunks = made["document"], made["nodes"]
        self.assertEqual(db.neighbours(document), chunks)
        self.assertEqual(db.get_node(chunks[1]), {"id": chunks[1], "kind": valori.NODE_CHUNK, "record": 1})
        edge = db.create_edge(chunks[0], chunks[1], valori.EDGE_REFERS_TO)
        db.create_edge(chunks[1], document, 200)
        self.assertEqual(db.edges(chunks[0]), [{"id": edge, "from": chunks[0], "to": chunks[1], "kind": 2}])
        self.assertEqual([e["from"] for e in db.edges(chunks[1], incoming=True)], [document, chunks[0]])
        self.assertEqual(db.walk(chunks[0], 1), [chunks[0], chunks[1]])
        self.assertEqual(db.walk(chunks[0], 2), [chunks[0], chunks[1], document])
        self.assertEqual(db.nodes(valori.NODE_DOCUMENT), [{"id": document, "kind": 2, "record": None}])
        db.delete_edge(edge)
        db.delete_node(chunks[1])
        self.assertIsNone(db.get_node(chunks[1]))
        self.assertEqual(db.neighbours(document), [chunks[0], chunks[2]])
        self.refuses(valori.NotFoundError, "node 99", db.edges, 99)
        self.refuses(valori.NotFoundError, "node 99", db.walk, 99, 0)
        self.refuses(valori.NotFoundError, "", db.create_edge, 0, 99, 1)
        self.refuses(valori.ValidationError, "kind: 256", db.create_node, 256)


def bytes_view(row):  # type: ignore[no-untyped-def]
    return memoryview(bytes(array("f", row))).cast("f")


class Moments(Case):
    def test_past(self) -> None:
        db = self.open(dim=1)
        roots = [db.state_root()]
        for i in range(4):
            db.insert([i])
            roots.append(db.state_root())
        for height, root in enumerate(roots):
            with db.as_of(height) as past:
                self.assertEqual((past.record_count(), past.state_root()), (height, root))
        self.assertEqual(db.as_of(roots[2]).record_count(), 2)
        self.assertEqual(db.search([3], k=1, at=2)[0]["id"], 1)
        self.refuses(valori.NotFoundError, "", db.as_of, 99)
        self.refuses(valori.ValidationError, "", db.as_of, "yesterday")

    def test_events(self) -> None:
        db = self.open(dim=2)
        db.insert([1, 0.25], tag=4, metadata=b"m")
        db.insert_batch([[0, 0], [1, 1]])
        node = db.create_node(3, 0)
        db.create_edge(node, node, 9)
        db.delete(1)
        seen = list(db.events())
        self.assertEqual([e["event"] for e in seen], list(range(6)))
        self.assertEqual([e["op"] for e in seen], ["insert"] * 3 + ["node", "edge", "delete"])
        self.assertEqual({k: seen[0][k] for k in ("id", "tag", "vector", "metadata")},
                         {"id": 0, "tag": 4, "vector": [1.0, 0.25], "metadata": b"m"})
        self.assertEqual([e["event"] for e in db.events(since=2)], [2, 3, 4, 5])
        self.assertEqual(list(db.events(since=6)), [])
        self.assertEqual(db.timeline(), seen)

    def test_follow(self) -> None:
        db, got = self.open(dim=1), []
        db.insert([0])

        def follow() -> None:
            for event in valori.events(db.path, 0, True):
                got.append(event["id"])
                if len(got) == 3:
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        db.insert([1])
        db.insert([2])
        thread.join(20)
        self.assertEqual(got, [0, 1, 2])

    def test_snapshot_and_restore(self) -> None:
        db = self.open(dim=3)
        db.insert_batch(vectors(20, 3), metadata=[str(i) for i in range(20)])
        root, path = db.state_root(), db.snapshot(self.path("s.val"))
        db.delete(3)
        with open(path, "rb") as file:
            saved = file.read()
        db.restore(path)
        self.assertEqual(db.state_root(), root)
        db.delete(4)
        db.restore(saved)
        self.assertEqual((db.state_root(), db.metadata(4)), (root, "4"))
        with valori.Valori(dim=3) as memory:
            memory.restore(saved)
            self.assertEqual(memory.state_root(), root)
            memory.insert([1, 2, 3])
            self.refuses(valori.UnsupportedError, "snapshot(path)", memory.snapshot)
        self.refuses(valori.NotFoundError, "", db.restore, self.path("none.val"))
        self.refuses(valori.NotOursError, "", db.restore, b"no snapshot at all")
        with valori.Valori(dim=4) as other:
            self.refuses(valori.DimensionError, "has dimension 3", other.restore, saved)
        self.assertEqual(db.state_root(), root)

    def test_verify(self) -> None:
        db = self.open(dim=2)
        db.insert_batch(vectors(50, 2))
        db.snapshot()
        info = db.info()
        self.assertEqual(db.verify()["verdict"], "consistent")
        self.assertEqual(db.verify(info["state_root"])["verdict"], "verified state")
        self.assertEqual(db.verify(info["history"], check=True)["verdict"], "verified history and state")
        self.assertEqual(db.verify("0" * 64)["verdict"], "differs")
        self.refuses(valori.MismatchError, "", db.verify, "0" * 64, check=True)
        self.refuses(valori.ValidationError, "64 hexadecimal", db.verify, "12")
        db.close()
        with open(self.path("db/events.log"), "r+b") as file:
            file.seek(4300)
            byte = file.read(1)
            file.seek(4300)
            file.write(bytes([byte[0] ^ 1]))
        self.assertEqual(valori.verify(self.path())["verdict"], "damaged")
        self.refuses(valori.DamagedError, "", valori.verify, self.path(), check=True)


class Lives(Case):
    def test_closed(self) -> None:
        db = self.open(dim=1)
        db.insert([1])
        db.close()
        db.close()
        for call in (lambda: db.insert([1]), lambda: db.search([1]), lambda: db.state_root(), lambda: db.get(0),
                     lambda: db.insert_batch([]), lambda: db.events(), lambda: db.snapshot(), lambda: db.verify(),
                     lambda: db.as_of(0), lambda: db.flush()):
            self.refuses(valori.ClosedError, "closed", call)
        self.assertIn("closed", repr(db))

    def test_forgotten(self) -> None:
        """A store that nothing refers to gives its lock back."""
        db = valori.Valori(self.path(), dim=1)
        db.insert([1])
        del db
        gc.collect()
        self.assertEqual(self.open().record_count(), 1)

    def test_threads(self) -> None:
        """Eight threads write, search and read; one of them closes in the middle of it."""
        db, wrong = self.open(dim=4, sync="none"), []
        table = vectors(8, 4)

        def work(number: int) -> None:
            try:
                for i in range(60):
                    id_ = db.insert(table[number], tag=number, metadata=str(number))
                    hits = db.search(table[number], k=3, filter_tag=number)
                    if hits[0]["raw_score"] != 0 or db.metadata(id_) != str(number):
                        wrong.append(hits)
                    if i % 20 == 0:
                        db.insert_batch(table)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(db.record_count(), 8 * 60 + 8 * 3 * 8)
        begun, ended = threading.Event(), []

        def until_closed() -> None:
            try:
                while True:
                    db.search(table[0], k=10)
                    begun.set()
            except valori.ClosedError:
                ended.append(True)
            except BaseException as error:
                ended.append(error)

        threads = [threading.Thread(target=until_closed) for _ in range(7)]
        for thread in threads:
            thread.start()
        begun.wait(20)
        db.close()
        for thread in threads:
            thread.join(20)
        self.assertEqual(ended, [True] * 7)

    def test_close_waits(self) -> None:
        """close() lets the calls that run end first."""
        db = self.open(dim=1)
        view = _View(db._handle)
        view.__enter__()
        closer = threading.Thread(target=db.close)
        closer.start()
        closer.join(0.3)
        self.assertTrue(closer.is_alive())
        self.refuses(valori.ClosedError, "closed", db.search, [1])
        view.__exit__()
        closer.join(20)
        self.assertFalse(closer.is_alive())

    def test_memory(self) -> None:
        with valori.Valori(dim=2) as db:
            db.insert([1, 2])
            for call in (db.events, db.verify, lambda: db.as_of(0)):
                self.refuses(valori.UnsupportedError, "in memory", call)

    def test_dimension_of_a_new_store(self) -> None:
        self.assertEqual(self.open("a").dim, 16)
        os.environ["VALORI_DIM"] = "5"
        self.addCleanup(os.environ.pop, "VALORI_DIM", None)
        self.assertEqual(self.open("b").dim, 5)
        os.environ["VALORI_DIM"] = "many"
        self.refuses(valori.ValidationError, "VALORI_DIM", valori.Valori, self.path("c"))


if __name__ == "__main__":
    unittest.main()
