"""The tools as streams."""
import itertools
import os
import unittest
from typing import Any, Dict, Iterator

import valori
from tests.base import BUILD, Case, vectors
from valori import tools


class Tools(Case):
    def setUp(self) -> None:
        super().setUp()
        os.environ["VALORI_TOOLS"] = BUILD
        self.addCleanup(os.environ.pop, "VALORI_TOOLS", None)

    def test_round(self) -> None:
        """Rows in, events out, hits, a verdict: the store is the one that Python opens."""
        table = vectors(50, 4)
        rows = ({"key": f"k{i}", "vector": row, "metadata": f"row {i}"} for i, row in enumerate(table))
        self.assertEqual([made["id"] for made in tools.ingest(self.path(), rows, "--batch=10")], list(range(50)))
        events = list(tools.replay(self.path()))
        self.assertEqual([(e["op"], e["key"]) for e in events], [("insert", f"k{i}") for i in range(50)])
        self.assertEqual([e["id"] for e in tools.replay(self.path(), "--from", "40")], list(range(40, 50)))
        hits = list(tools.search(self.path(), [table[3], table[7]], 2))
        with valori.Valori(self.path()) as db:
            root = db.state_root()
            expected = [hit["raw_score"] for row in (table[3], table[7]) for hit in db.search(row, 2)]
            self.assertEqual([int(hit["raw_score"]) for hit in hits], expected)
        self.assertEqual(tools.verify(self.path(), root)["verdict"], "verified")
        self.assertEqual(tools.verify(self.path(), "0" * 64)["verdict"], "differs")
        self.assertEqual(tools.snapshot(self.path())["state_root"], root)

    def test_streams(self) -> None:
        """Ids come while rows still go in; an endless source is left when the caller has enough."""
        taken = 0

        def endless() -> Iterator[Dict[str, Any]]:
            nonlocal taken
            for taken in itertools.count():
                yield {"vector": [taken % 100, 0.0]}

        stream = tools.ingest(self.path(), endless(), "--batch=10")
        self.assertEqual([next(stream)["id"] for _ in range(30)], list(range(30)))
        stream.close()
        self.assertLess(taken, 2000000)
        with valori.Valori(self.path()) as db:
            self.assertGreaterEqual(db.record_count(), 30)

    def test_refusals(self) -> None:
        self.refuses(valori.ValidationError, "line 2", list, tools.ingest(
            self.path(), [{"vector": [1.0, 2.0]}, {"vector": [1.0]}]))
        self.refuses(valori.ValidationError, "row 0: ", list, tools.ingest(self.path(), [{"vector": {1, 2}.pop}]))
        with self.assertRaises(ZeroDivisionError):
            list(tools.ingest(self.path("half"), ({"vector": [1 / i, 0]} for i in (1, 0))))
        self.assertEqual(self.open("half", dim=2).record_count(), 0)
        with valori.Valori(self.path(), dim=2) as db:
            db.insert([1, 2])
            self.refuses(valori.LockedError, "", list, tools.ingest(self.path(), [{"vector": [1.0, 2.0]}]))
        error = self.refuses(valori.ToolError, "", list, tools.replay(self.path(), "--id=99"))
        self.assertEqual(error.status, 1)
        self.refuses(valori.ValidationError, "no-such", list, tools.replay(self.path(), "--no-such"))
        with open(self.path("db/events.log"), "r+b") as file:
            file.seek(4150)
            file.write(b"X")
        self.refuses(valori.DamagedError, "", list, tools.replay(self.path()))
        self.assertEqual(tools.verify(self.path())["verdict"], "damaged")
        os.environ["VALORI_TOOLS"] = self.directory
        self.refuses(valori.NotFoundError, "VALORI_TOOLS", list, tools.replay(self.path()))


if __name__ == "__main__":
    unittest.main()
