"""ValoriEngine: the class of the first version's Python bindings, over an embedded store."""
import os
from typing import Any, List, Optional, Sequence, Tuple

from . import _abi as A
from ._base import whole
from ._local import LocalValori
from ._vectors import Vector, Vectors

__all__ = ["ValoriEngine"]


class ValoriEngine:
    """The store in the directory path, made when it is not there, with VALORI_DIM components, or 384.

    >>> import tempfile
    >>> engine = ValoriEngine(tempfile.mkdtemp())
    >>> engine.insert([0.5] * 384, 7)
    0
    >>> engine.search([0.5] * 384, 1)
    [(0, 0)]
    >>> engine.close()
    """

    def __init__(self, path: str) -> None:
        dim = None
        if not os.path.exists(os.path.join(path, "events.log")):
            dim = int(os.environ.get("VALORI_DIM", "384"))
        self._db = LocalValori(path, dim)

    @property
    def dim(self) -> int:
        """Components of every vector."""
        return self._db.dim

    def insert(self, vector: Vector, tag: int) -> int:
        """Inserts a vector (dim,) with a tag; returns the record's id. ValidationError."""
        return self._db.insert(vector, tag)

    def insert_batch(self, vectors: Vectors) -> List[int]:
        """Inserts rows (n, dim), all or none; returns their ids. ValidationError."""
        return self._db.insert_batch(vectors)

    def search(self, vector: Vector, k: int, filter_tag: Optional[int] = None) -> List[Tuple[int, float]]:
        """The k nearest records as (record_id, score): the squared distance, 0 for an exact match."""
        return [(hit["id"], hit["score"]) for hit in self._db.search(vector, k, filter_tag)]

    def create_node(self, kind: int, record_id: Optional[int] = None) -> int:
        """Makes a graph node (1 record, 2 document, 3 chunk); returns its id. NotFoundError."""
        return self._db.create_node(kind, record_id)

    def create_edge(self, from_id: int, to_id: int, kind: int) -> int:
        """Makes an edge between nodes (1 parent of, 2 refers to); returns its id. NotFoundError."""
        return self._db.create_edge(from_id, to_id, kind)

    def save(self) -> str:
        """Writes a snapshot; returns its path."""
        return self._db.snapshot()

    def restore(self, data: bytes) -> None:
        """Begins anew from the bytes of a snapshot. IntegrityError; the store is as before then."""
        self._db.restore(data)

    def get_metadata(self, record_id: int) -> Optional[bytes]:
        """The metadata of a record, or None. NotFoundError."""
        return self._db.get_metadata(record_id)

    def set_metadata(self, record_id: int, metadata: bytes) -> None:
        """Replaces the metadata of a record. NotFoundError, TooLongError."""
        self._db.set_metadata(record_id, metadata)

    def get_state_hash(self) -> str:
        """The state root, 64 hexadecimal digits."""
        return self._db.state_root()

    def record_count(self) -> int:
        """How many records are live."""
        return self._db.record_count()

    def soft_delete(self, record_id: int) -> None:
        """Hides a record. NotFoundError."""
        self._db.soft_delete(record_id)

    def close(self) -> None:
        """Closes the store."""
        self._db.close()

    def __enter__(self) -> "ValoriEngine":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
