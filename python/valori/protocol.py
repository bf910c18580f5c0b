"""ProtocolClient: texts in, texts out, over an embedded store or a node."""
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from ._base import Metadata, Valori, decode
from ._vectors import Vector, vector
from .errors import ProtocolError, ValidationError
from .kinds import EDGE_PARENT_OF, NODE_CHUNK

__all__ = ["ProtocolClient", "chunks"]


def chunks(text: str, size: int = 1000, overlap: int = 100) -> List[str]:
    """Cuts a text into pieces of at most size characters, each beginning about overlap before the last one's end.

    A piece ends behind a paragraph, a sentence or a word, whichever is found in its last half.

    >>> chunks("One sentence. Another one. A third.", size=20, overlap=0)
    ['One sentence.', 'Another one.', 'A third.']
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValidationError(f"chunks: size {size} and overlap {overlap}: want 0 <= overlap < size")
    made, start = [], 0
    while start < len(text):
        end = start + size
        if end < len(text):
            for mark in ("\n\n", ". ", "\n", " "):
                found = text.rfind(mark, start + max(size // 2, overlap + 1), end)
                if found > 0:
                    end = found + len(mark)
                    break
        piece = text[start:end].strip()
        if piece:
            made.append(piece)
        start = max(end - overlap, start + 1) if end < len(text) else len(text)
        if overlap and 0 < start < len(text):
            space = text.find(" ", start, end)  # begin with a whole word
            start = space + 1 if space >= 0 else start
    return made


class ProtocolClient:
    """Remembers texts: each becomes a document node, and its chunks records with a chunk node each.

    embed: a callable that turns a text into a vector (dim,). remote: the URL of a node, with api_key its token; else
    path: a directory; else the store is in memory. expected_dim: the dimension, where the store is new; 0: that of
    embed("").

    >>> def embed(text):
    ...     return [float(text.count(letter)) for letter in "abcdefgh"]
    >>> with ProtocolClient(embed) as client:
    ...     made = client.upsert_text("a bee had a cabbage", metadata={"source": "notes"})
    ...     client.search_text("cabbage", k=1)[0]["text"]
    'a bee had a cabbage'
    """

    def __init__(self, embed: Callable[[str], Vector], remote: Optional[str] = None, api_key: Optional[str] = None, *,
                 path: Any = None, expected_dim: int = 0, chunk_size: int = 1000, chunk_overlap: int = 100) -> None:
        if not callable(embed):
            raise ValidationError("embed: want a callable that turns a text into a vector")
        self._embed_one = embed
        self.chunk_size, self.chunk_overlap = chunk_size, chunk_overlap
        chunks("", chunk_size, chunk_overlap)
        if remote is not None:
            self.db: Valori = Valori(remote=remote, token=api_key, dim=expected_dim or None)
        else:
            self.db = Valori(path, expected_dim or len(embed("")))

    def _embed(self, text: str) -> Vector:
        if not isinstance(text, str):
            raise ValidationError(f"text: {type(text).__name__}: want a str")
        made = self._embed_one(text)
        try:
            vector(made, self.db.dim)
        except ValidationError as error:
            raise ProtocolError(f"embed: gave what is no vector of {self.db.dim} components: {error}") from error
        return made

    def upsert_text(self, text: str, *, metadata: Optional[Dict[str, Any]] = None,
                    attach_to_document_node: Optional[int] = None) -> Dict[str, Any]:
        """Remembers a text, cut into chunks, below a new document node or the one given.

        {'document_node_id', 'record_ids', 'chunk_node_ids', 'memory_ids'}. The metadata of each record is the JSON
        object metadata with its chunk as "text". An embedded store takes all of it as one commit, or nothing.
        """
        pieces = chunks(text, self.chunk_size, self.chunk_overlap) if isinstance(text, str) else [text]
        vectors = [self._embed(piece) for piece in pieces]
        if not pieces:
            raise ValidationError("text: is empty")
        contents: List[Metadata] = [dict(metadata or {}, text=piece) for piece in pieces]
        made = self.db.create_document(vectors, metadata=contents, document=attach_to_document_node)
        return {"document_node_id": made["document"], "record_ids": made["records"],
                "chunk_node_ids": made["nodes"], "memory_ids": [f"rec:{i}" for i in made["records"]]}

    def upsert_vector(self, vector_: Vector, *, metadata: Metadata = None,
                      attach_to_document_node: Optional[int] = None) -> Dict[str, Any]:
        """The same for a vector (dim,) that is there already, as one chunk."""
        made = self.db.create_document([vector_], metadata=[metadata], document=attach_to_document_node)
        return {"document_node_id": made["document"], "record_id": made["records"][0],
                "chunk_node_id": made["nodes"][0], "memory_id": f"rec:{made['records'][0]}"}

    def search_text(self, text: str, k: int = 5, filter_tag: Optional[int] = None) -> List[Dict[str, Any]]:
        """The k nearest chunks: {'id', 'memory_id', 'score', 'raw_score', 'text', 'metadata'}."""
        return self.search_vector(self._embed(text), k, filter_tag)

    def search_vector(self, query: Vector, k: int = 5, filter_tag: Optional[int] = None) -> List[Dict[str, Any]]:
        """The same for a query (dim,)."""
        hits = self.db.search(query, k, filter_tag)
        for hit in hits:
            metadata = decode(self.db.get_metadata(hit["id"]))
            hit["memory_id"] = f"rec:{hit['id']}"
            hit["metadata"] = metadata
            hit["text"] = metadata.get("text") if isinstance(metadata, dict) else metadata
        return hits

    @staticmethod
    def _record(target_id: Union[int, str]) -> Optional[int]:
        if isinstance(target_id, str):
            digits = target_id[4:]
            return int(digits) if target_id.startswith("rec:") and digits.isascii() and digits.isdigit() else None
        return target_id

    def get_metadata(self, target_id: Union[int, str]) -> Any:
        """The metadata of a record, 7 or "rec:7", or what was kept under another name. None: there is none."""
        record = self._record(target_id)
        return decode(self.db.meta_get(str(target_id)) if record is None else self.db.get_metadata(record))

    def set_metadata(self, target_id: Union[int, str], metadata: Metadata) -> None:
        """Sets what get_metadata gives."""
        record = self._record(target_id)
        if record is None:
            self.db.meta_set(str(target_id), metadata)
        else:
            self.db.set_metadata(record, metadata)

    def snapshot(self, path: Any = None) -> str:
        """Writes a snapshot; its path."""
        return self.db.snapshot(path)

    def restore(self, snapshot: Any) -> None:
        """Begins anew from a snapshot."""
        self.db.restore(snapshot)

    def get_state_hash(self) -> str:
        """The state root."""
        return self.db.state_root()

    def close(self) -> None:
        """Closes the store."""
        self.db.close()

    def __enter__(self) -> "ProtocolClient":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
