"""The rules of LangChain's and LlamaIndex's vector stores, as their own suites state them."""
import types
import unittest
from typing import Any, List

import valori
from tests.base import Case
from tests.test_remote import NodeCase
from valori.langchain import Document, ValoriVectorStore, maximal_marginal_relevance
from valori.llamaindex import TextNode, ValoriIndexStore


class Embedding:
    """Eight letters counted."""

    def embed_query(self, text: str) -> List[float]:
        return [float(text.count(letter)) for letter in "abcdefgh"]

    def embed_documents(self, texts: List[str]) -> List[List[float]]:
        return [self.embed_query(text) for text in texts]


class LangChain(Case):
    def setUp(self) -> None:
        super().setUp()
        self.store = ValoriVectorStore(self.made(8), Embedding())

    def made(self, dim: int) -> valori.Valori:
        return self.open(dim=dim)  # type: ignore[no-any-return]

    def test_empty(self) -> None:
        self.assertEqual(self.store.similarity_search("foo", k=1), [])
        self.assertEqual(self.store.get_by_ids(["1"]), [])
        self.assertEqual(self.store.add_texts([]), [])
        self.assertTrue(self.store.delete(["1"]))

    def test_add_and_search(self) -> None:
        documents = [Document("cab", {"id": 1}), Document("bee", {"id": 2})]
        ids = self.store.add_documents(documents)
        self.assertEqual(len(set(ids)), 2)
        self.assertEqual(self.store.similarity_search("bee", k=2),
                         [Document("bee", {"id": 2}, ids[1]), Document("cab", {"id": 1}, ids[0])])
        self.assertEqual(documents, [Document("cab", {"id": 1}), Document("bee", {"id": 2})])  # not changed

    def test_delete(self) -> None:
        self.assertEqual(self.store.add_texts(["cab", "bee", "fad"], ids=["1", "2", "3"]), ["1", "2", "3"])
        self.store.delete(["2", "nobody"])
        self.assertEqual([one.id for one in self.store.similarity_search("bee", k=4)], ["1", "3"])
        self.store.delete(["1", "3"])
        self.assertEqual(self.store.similarity_search("bee"), [])
        self.store.add_texts(["cab", "bee"])
        self.store.delete()
        self.assertEqual(self.store.similarity_search("bee"), [])

    def test_idempotent(self) -> None:
        """Adding the same again makes nothing new; adding something else under an id replaces it."""
        for _ in range(2):
            self.store.add_texts(["cab", "bee"], [{"n": 1}, {"n": 2}], ids=["1", "2"])
            self.assertEqual([one.id for one in self.store.similarity_search("bee", k=5)], ["2", "1"])
        self.store.add_documents([Document("head", {"n": 3}, id="2")])
        self.assertEqual(self.store.get_by_ids(["2", "1", "0"]),
                         [Document("head", {"n": 3}, "2"), Document("cab", {"n": 1}, "1")])
        self.store.add_texts(["one", "two"], ids=["7", "7"])
        self.assertEqual([one.page_content for one in self.store.get_by_ids(["7"])], ["two"])
        self.assertEqual(self.store.db.record_count(), 3)
        made = self.store.add_documents([Document("a", id="9"), Document("b")])
        self.assertEqual(made[0], "9")
        self.assertEqual(len(made[1]), 32)

    def test_scores_and_filters(self) -> None:
        store = ValoriVectorStore.from_texts(["a" * i for i in range(200)], Embedding(),
                                             [{"odd": i % 2, "n": i} for i in range(200)],
                                             ids=[str(i) for i in range(200)], path=self.path("other"))
        self.addCleanup(store.db.close)
        found = store.similarity_search_with_score("a" * 10, k=3)
        self.assertEqual([(one.id, score) for one, score in found], [("10", 0.0), ("9", 1.0), ("11", 1.0)])
        self.assertEqual([one.id for one in store.similarity_search("a" * 10, k=3, filter={"odd": 1})],
                         ["9", "11", "7"])
        self.assertEqual([one.id for one in store.similarity_search("", k=3, filter={"n": 199})], ["199"])
        self.assertEqual([one.id for one in store.similarity_search(
            "", k=2, filter=lambda document: document.metadata["n"] > 197)], ["198", "199"])
        self.assertEqual(store.similarity_search("", k=0), [])
        relevance = store._select_relevance_score_fn()
        self.assertEqual((relevance(0.0), relevance(2.0), relevance(9.0)), (1.0, 0.5, 0.0))
        self.assertIsInstance(store.embeddings, Embedding)

    def test_mmr(self) -> None:
        self.assertEqual(maximal_marginal_relevance([1, 0], [[1, 0], [1, 0.1], [0.7, 0.7]], 3, 1.0), [0, 1, 2])
        self.assertEqual(maximal_marginal_relevance([1, 0], [], 3), [])
        self.assertEqual(maximal_marginal_relevance([0, 0], [[0, 0]], 3), [0])
        self.store.add_texts(["a" * 9, "a" * 9 + "b", "ab" * 4], ids=["1", "2", "3"])
        found = self.store.max_marginal_relevance_search("a" * 9, k=2, lambda_mult=0.1)
        self.assertEqual([one.id for one in found], ["1", "3"])
        self.assertEqual([one.id for one in self.store.max_marginal_relevance_search("a" * 9, k=2, lambda_mult=1)],
                         ["1", "2"])

    def test_refusals(self) -> None:
        before = self.store.db.state_root()
        self.refuses(valori.ValidationError, "ids: has 1", self.store.add_texts, ["a", "b"], ids=["1"])
        self.refuses(valori.ValidationError, "metadatas: has 1", self.store.add_texts, ["a", "b"], [{}])
        self.refuses(valori.TooLongError, "row 1", self.store.add_texts, ["a", "b"], ids=["1", "x" * 256])
        self.refuses(valori.ValidationError, "Valori(path)", ValoriVectorStore, object(), Embedding())
        self.assertEqual(self.store.db.state_root(), before)


def query(embedding: Any, k: int, **others: Any) -> Any:
    return types.SimpleNamespace(query_embedding=embedding, similarity_top_k=k, **others)


def where(condition: str = "and", *filters: Any) -> Any:
    return types.SimpleNamespace(condition=condition, filters=list(filters))


def that(key: str, operator: str, value: Any) -> Any:
    return types.SimpleNamespace(key=key, operator=operator, value=value)


class LlamaIndex(Case):
    def setUp(self) -> None:
        super().setUp()
        self.store = ValoriIndexStore(self.made(2))
        self.nodes = [TextNode(node_id=f"n{i}", text=f"text {i}", metadata={"i": i, "half": i // 2},
                               ref_doc_id=f"d{i % 3}", embedding=[float(i), 0.0]) for i in range(9)]
        self.assertEqual(self.store.add(self.nodes), [f"n{i}" for i in range(9)])

    def made(self, dim: int) -> valori.Valori:
        return self.open(dim=dim)  # type: ignore[no-any-return]

    def again(self) -> valori.Valori:
        self.store.db.close()
        return self.open()  # type: ignore[no-any-return]

    def ids(self, *arguments: Any, **named: Any) -> List[str]:
        return self.store.query(query(*arguments, **named)).ids or []

    def test_query(self) -> None:
        found = self.store.query(query([2.0, 0.0], 2))
        self.assertEqual((found.ids, found.similarities), (["n2", "n1"], [1.0, 0.5]))
        self.assertEqual(found.nodes[0].get_content(), "text 2")
        self.assertEqual((found.nodes[0].metadata, found.nodes[0].ref_doc_id), ({"i": 2, "half": 1}, "d2"))
        self.assertEqual(self.ids([0.0, 0.0], 2, doc_ids=["d1"]), ["n1", "n4"])
        self.assertEqual(self.ids([0.0, 0.0], 9, node_ids=["n8", "n3"]), ["n3", "n8"])
        self.assertEqual(self.ids([0.0, 0.0], 0), [])
        self.refuses(valori.ValidationError, "query_embedding", self.ids, None, 1)

    def test_filters(self) -> None:
        for filters, expected in (
                (where("and", that("i", ">=", 3), that("half", "!=", 2)), ["n3", "n6", "n7", "n8"]),
                (where("or", that("i", "==", 0), that("i", ">", 7)), ["n0", "n8"]),
                (where("and", that("i", "in", [1, 5]), where("or", that("half", "==", 2))), ["n5"]),
                (where("and", that("none", "<", 3)), []), (where("and", that("i", "<", "x")), [])):
            self.assertEqual(self.ids([0.0, 0.0], 9, filters=filters), expected)
            self.assertEqual([one.node_id for one in self.store.get_nodes(filters=filters)], expected)
        self.refuses(valori.ValidationError, "there are", self.store.get_nodes, filters=where("and", that("i", "~", 1)))

    def test_delete(self) -> None:
        self.store.delete("d1")
        self.store.delete("nobody")
        self.assertEqual([one.node_id for one in self.store.get_nodes()], ["n0", "n2", "n3", "n5", "n6", "n8"])
        self.store.delete_nodes(["n0", "n1"])
        self.store.delete_nodes(filters=where("and", that("i", "==", 8)))
        self.assertEqual(self.ids([0.0, 0.0], 9), ["n2", "n3", "n5", "n6"])
        self.store.delete("d0")
        self.store.delete("d2")
        self.assertEqual((self.ids([0.0, 0.0], 9), self.store.db.nodes()), ([], []))

    def test_replace(self) -> None:
        """A node that is added again takes its place; its document still finds it, in a later process too."""
        self.store.add([self.nodes[4], self.nodes[4]._replace(text="new", embedding=[0.0, 7.0])])
        self.assertEqual([one.get_content() for one in self.store.get_nodes(["n4"])], ["new"])
        self.assertEqual(len(self.store.db.nodes(valori.NODE_CHUNK)), 9)
        self.store.add([self.nodes[7]._replace(ref_doc_id="d2")])
        store = ValoriIndexStore(self.again())
        store.delete("d1")
        self.assertEqual([one.node_id for one in store.get_nodes(["n1", "n4", "n7"])], ["n7"])
        store.delete("d2")
        self.assertEqual(store.get_nodes(["n7"]), [])
        store.clear()
        self.assertEqual(store.get_nodes(), [])


class LangChainOfNode(NodeCase, LangChain):
    def made(self, dim: int) -> valori.Valori:
        return self.remote(self.node(dim=dim))  # type: ignore[no-any-return]


class LlamaIndexOfNode(NodeCase, LlamaIndex):
    def made(self, dim: int) -> valori.Valori:
        self.url = self.node(dim=dim)
        return self.remote(self.url)  # type: ignore[no-any-return]

    def again(self) -> valori.Valori:
        self.store.db.close()
        return self.remote(self.url)  # type: ignore[no-any-return]


if __name__ == "__main__":
    unittest.main()
