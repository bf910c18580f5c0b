"""ValoriEngine as its reference says, and the names of the first version's native module."""
import json
import os
import unittest

import valori
import valoricore_ffi
from tests.base import Case, vectors
from valori import ValoriEngine


class Engine(Case):
    def setUp(self) -> None:
        super().setUp()
        os.environ["VALORI_DIM"] = "4"
        self.addCleanup(os.environ.pop, "VALORI_DIM", None)

    def test_reference(self) -> None:
        """Every line of the reference, with the types that it gives."""
        engine = ValoriEngine(self.path())
        self.assertEqual(engine.insert([0.1, 0.2, 0.3, 0.4], 7), 0)
        self.assertEqual(engine.insert_batch(vectors(3, 4)), [1, 2, 3])
        found = engine.search([0.1, 0.2, 0.3, 0.4], 2)
        self.assertEqual((found[0], type(found[0])), ((0, 0), tuple))
        self.assertEqual(engine.search([0.1, 0.2, 0.3, 0.4], 4, 7), [(0, 0)])
        self.assertEqual(engine.search([0.1, 0.2, 0.3, 0.4], 4, filter_tag=8), [])
        document, chunk = engine.create_node(kind=2), engine.create_node(kind=3, record_id=0)
        self.assertEqual(engine.create_edge(document, chunk, 1), 0)
        self.assertIsNone(engine.get_metadata(0))
        engine.set_metadata(0, b"\x00\xff")
        self.assertEqual(engine.get_metadata(0), b"\x00\xff")
        root, path = engine.get_state_hash(), engine.save()
        self.assertTrue(os.path.exists(path))
        self.assertEqual(engine.record_count(), 4)
        engine.soft_delete(2)
        self.assertEqual(engine.record_count(), 3)
        self.assertNotIn(2, [id_ for id_, _ in engine.search(vectors(3, 4)[1], 4)])
        with open(path, "rb") as file:
            engine.restore(file.read())
        self.assertEqual((engine.get_state_hash(), engine.record_count()), (root, 4))
        engine.close()
        with ValoriEngine(self.path()) as again:
            self.assertEqual(again.get_state_hash(), root)

    def test_default_dimension(self) -> None:
        del os.environ["VALORI_DIM"]
        with ValoriEngine(self.path()) as engine:
            self.assertEqual(engine.dim, 384)

    def test_native_module(self) -> None:
        engine = valoricore_ffi.ValoricoreEngine(self.path(), "hnsw")
        self.addCleanup(engine.close)
        one = [0.5, -1.0, 2.0, 0.25]
        self.assertEqual(valoricore_ffi.ingest_embedding(one), [32768, -65536, 131072, 16384])
        made, proof = engine.insert_with_proof(one, 3)
        self.assertEqual(proof, valoricore_ffi.generate_proof([32768, -65536, 131072, 16384]))
        self.assertTrue(valoricore_ffi.verify_embedding(one, proof))
        self.assertFalse(valoricore_ffi.verify_embedding(one[::-1], proof))
        self.assertEqual(bytes(engine.get_metadata(made)).hex(), proof)
        self.assertEqual(len(engine.insert_batch_with_proof(vectors(2, 4), [1, 2])), 2)
        self.assertEqual(engine.search([0.5, -1.0, 2.0, 1.25], 1), [(0, 65536)])
        node = engine.create_node(5, made)
        other = engine.create_node(6, 1)
        edge = engine.create_edge(node, other, 6)
        self.assertEqual((engine.get_node(node), engine.get_node(9)), ((5, 0), None))
        self.assertEqual(engine.get_edges(node), [(edge, other, 6)])
        self.assertEqual((engine.walk(node), engine.expand(node)), ([node, other], [0, 1]))
        engine.set_metadata(made, [1, 2, 255])
        self.assertEqual(engine.get_metadata(made), [1, 2, 255])
        self.assertEqual(engine.get_timeline()[0], "Event ID 0: InsertRecord (Record 0, Tag: 3)")
        saved, root = engine.snapshot(), engine.get_state_hash()
        engine.delete(made)
        engine.restore(saved)
        self.assertEqual(engine.get_state_hash(), root)
        report = json.loads(valoricore_ffi.verify_log_file(self.path(), root))
        self.assertEqual((report["verdict"], report["replay"]["state_hash"]), ("verified", root))
        for call, words in ((lambda: engine.insert([1.0], 0), "dimension mismatch"),
                            (lambda: engine.insert([1e9] * 4, 0), "outside valid range"),
                            (lambda: engine.delete(99), ""), (lambda: engine.get_metadata(99), "record 99"),
                            (lambda: engine.set_metadata(0, b"m" * 65537), "65536"),
                            (lambda: valoricore_ffi.ingest_embedding([32767.5]), "outside valid range"),
                            (lambda: valoricore_ffi.generate_proof([]), "0 components")):
            with self.assertRaises(ValueError) as caught:
                call()
            self.assertIn(words, str(caught.exception))
        engine.close()
        with self.assertRaises(RuntimeError):  # closed
            engine.insert([0.0] * 4, 0)
        with valori.Valori(self.path()) as holder:
            with self.assertRaises(RuntimeError):
                valoricore_ffi.ValoricoreEngine(self.path())
            self.assertEqual(holder.record_count(), 3)


if __name__ == "__main__":
    unittest.main()
