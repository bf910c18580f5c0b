"""ProtocolClient: texts in, texts out."""
import unittest
from typing import List

import valori
from tests.base import vectors
from tests.test_remote import NodeCase
from valori import ProtocolClient
from valori.protocol import chunks

TEXT = ("The first paragraph speaks of bees. " * 9 + "\n\n" + "The second is about cabbages and kings. " * 9 + "\n\n" +
        "A third one closes. " * 5)


def embed(text: str) -> List[float]:
    return [float(text.lower().count(letter)) / 8 for letter in "abcdefgh"]


class Chunks(unittest.TestCase):
    def test_pieces(self) -> None:
        """No word is lost, none is cut, no piece is too long, whatever the sizes."""
        for size in (1, 7, 20, 100, 399, 5000):
            for overlap in (0, size // 10, size // 2):
                pieces = chunks(TEXT, size, overlap)
                self.assertTrue(all(0 < len(piece) <= size for piece in pieces))
                if size >= 20:
                    self.assertEqual(set(" ".join(pieces).split()), set(TEXT.split()))
                if not overlap:
                    self.assertEqual("".join("".join(pieces).split()), "".join(TEXT.split()))
        self.assertEqual(chunks("  \n "), [])
        for size, overlap in ((0, 0), (5, 5), (5, -1)):
            with self.assertRaises(valori.ValidationError):
                chunks("a", size, overlap)


class Protocol(NodeCase):
    def story(self, client: ProtocolClient) -> List[object]:
        made = client.upsert_text(TEXT, metadata={"source": "book"})
        more = client.upsert_text("Bees again.", attach_to_document_node=made["document_node_id"])
        one = client.upsert_vector([1.0] * 8, metadata={"text": "ones"})
        told: List[object] = [made, more, one, client.get_state_hash()]
        told.append(client.search_text("The second is about cabbages and kings. " * 4, k=3))
        told.append(client.search_vector([1.0] * 8, k=1)[0]["text"])
        told.append(client.get_metadata(one["memory_id"]))
        client.set_metadata(one["memory_id"], {"text": "one"})
        client.set_metadata("a name", {"x": [1]})
        told += [client.get_metadata(one["record_id"]), client.get_metadata("a name"), client.get_metadata("other")]
        told += [client.db.edges(made["document_node_id"]), client.get_state_hash()]
        return told

    def test_same_story(self) -> None:
        with ProtocolClient(embed, path=self.path("db"), chunk_size=200, chunk_overlap=20) as client:
            local = self.story(client)
        self.assertEqual(local[4][0]["metadata"]["source"], "book")  # type: ignore[index]
        self.assertIn("cabbages", local[4][0]["text"])  # type: ignore[index]
        with ProtocolClient(embed, self.node(dim=8, token="t"), "t", chunk_size=200, chunk_overlap=20) as client:
            for one, other in zip(local, self.story(client)):
                self.assertEqual(one, other)

    def test_whole(self) -> None:
        """A text of which one chunk cannot be taken leaves nothing behind."""
        client = ProtocolClient(embed, path=self.path("db"), chunk_size=50, chunk_overlap=0)
        self.addCleanup(client.close)
        before = client.get_state_hash()
        self.refuses(valori.ProtocolError, "8 components",
                     ProtocolClient(lambda text: [1.0] * (3 if "kings" in text else 8)).upsert_text, TEXT)
        self.refuses(valori.TooLongError, "", client.upsert_text, TEXT, metadata={"x": "y" * 70000})
        self.refuses(valori.NotFoundError, "", client.upsert_text, TEXT, attach_to_document_node=9)
        self.refuses(valori.ValidationError, "empty", client.upsert_text, " ")
        self.refuses(valori.ValidationError, "text: int", client.upsert_text, 7)
        self.refuses(valori.ProtocolError, "", ProtocolClient(lambda text: None, expected_dim=3).search_text, "a")
        self.refuses(valori.ValidationError, "callable", ProtocolClient, "embed")
        self.assertEqual(client.get_state_hash(), before)


if __name__ == "__main__":
    unittest.main()
