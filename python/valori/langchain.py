"""ValoriVectorStore: a LangChain vector store over an embedded store or a node.

With langchain_core installed it is a langchain_core VectorStore, with all that this derives (async, retrievers).
Without it the class works alone, with a Document of its own: the interface is tested that way.

Ids are strings, and keys in the store: what is added under a known id replaces what was there.
"""
import math
import uuid
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ._base import Valori, decode
from ._vectors import vector
from .errors import NotFoundError, ValidationError

try:
    from langchain_core.documents import Document  # type: ignore
    from langchain_core.vectorstores import VectorStore as _Base  # type: ignore
except ImportError:
    _Base = object

    class Document:  # type: ignore[no-redef]
        """A text with metadata and an id, as langchain_core has it."""

        def __init__(self, page_content: str, metadata: Optional[Dict[str, Any]] = None,
                     id: Optional[str] = None) -> None:
            self.page_content, self.metadata, self.id = page_content, metadata or {}, id

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Document) and vars(self) == vars(other)

        def __repr__(self) -> str:
            return f"Document(id={self.id!r}, metadata={self.metadata!r}, page_content={self.page_content!r})"

__all__ = ["ValoriVectorStore", "Document", "maximal_marginal_relevance"]

Filter = Union[None, Dict[str, Any], Callable[[Document], bool]]


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b)) / norms if norms else 0.0


def maximal_marginal_relevance(query: Sequence[float], vectors: Sequence[Sequence[float]], k: int,
                               lambda_mult: float = 0.5) -> List[int]:
    """Indices of at most k of vectors (n, dim) that are near query (dim,) and far from each other.

    lambda_mult: 1 asks for nearness only, 0 for distance only.

    >>> maximal_marginal_relevance([1.0, 0.0], [[1.0, 0.0], [1.0, 0.1], [0.7, 0.7]], 2, 0.2)
    [0, 2]
    """
    nearness = [_cosine(query, one) for one in vectors]
    likeness = [-math.inf] * len(vectors)
    chosen: List[int] = []
    while len(chosen) < min(k, len(vectors)):
        best, best_score = -1, -math.inf
        for i, near in enumerate(nearness):
            if i not in chosen:
                score = lambda_mult * near - (1 - lambda_mult) * (likeness[i] if chosen else 0.0)
                if score > best_score:
                    best, best_score = i, score
        chosen.append(best)
        likeness = [max(old, _cosine(vectors[best], one)) for old, one in zip(likeness, vectors)]
    return chosen


class ValoriVectorStore(_Base):  # type: ignore[misc]
    """texts with embeddings in db, a Valori that is used for nothing else.

    embedding has embed_documents(texts) and embed_query(text), as LangChain's have. Scores are squared distances:
    smaller is nearer, 0 an exact match.
    """

    def __init__(self, db: Valori, embedding: Any) -> None:
        if not isinstance(db, Valori):
            raise ValidationError(f"db: {type(db).__name__}: want Valori(path) or Valori(remote=URL)")
        self.db = db
        self._embedding = embedding

    @property
    def embeddings(self) -> Any:
        """The embedding given."""
        return self._embedding

    @classmethod
    def from_texts(cls, texts: List[str], embedding: Any, metadatas: Optional[List[Dict[str, Any]]] = None, *,
                   ids: Optional[List[str]] = None, path: Any = None, **options: Any) -> "ValoriVectorStore":
        """A store at path, or in memory, that holds texts. options go to Valori."""
        made = cls(Valori(path, len(embedding.embed_query("")), **options), embedding)
        made.add_texts(texts, metadatas, ids=ids)
        return made

    def add_texts(self, texts: Iterable[str], metadatas: Optional[List[Dict[str, Any]]] = None, *,
                  ids: Optional[Sequence[Optional[str]]] = None, **ignored: Any) -> List[str]:
        """Adds texts as one commit, all or none; returns their ids. A known id is replaced. ValidationError."""
        texts = list(texts)
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given is not None and len(given) != len(texts):
                raise ValidationError(f"{name}: has {len(given)} elements, there are {len(texts)} texts")
        if not texts:
            return []
        keys = [str(one) if one is not None else uuid.uuid4().hex for one in (ids or [None] * len(texts))]
        contents = [{"text": text, "metadata": (metadatas or [{}] * len(texts))[i]} for i, text in enumerate(texts)]
        self.db.upsert_batch(keys, self._embedding.embed_documents(texts), metadata=contents)
        return keys

    def add_documents(self, documents: List[Document], *, ids: Optional[Sequence[Optional[str]]] = None,
                      **ignored: Any) -> List[str]:
        """add_texts for documents; their own ids count where none are given."""
        if ids is None:
            ids = [getattr(one, "id", None) for one in documents]
        return self.add_texts([one.page_content for one in documents], [one.metadata for one in documents], ids=ids)

    def delete(self, ids: Optional[List[str]] = None, **ignored: Any) -> Optional[bool]:
        """Deletes texts for good; unknown ids are passed over. ids=None deletes all."""
        if ids is None:
            while True:
                hits = self.db.search([0.0] * self.db.dim, 65536)
                if not hits:
                    return True
                for hit in hits:
                    self.db.delete(hit["id"])
        for one in ids:
            try:
                self.db.delete(str(one))
            except NotFoundError:
                pass
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> List[Document]:
        """The documents with these ids; unknown ones are passed over."""
        made = []
        for one in ids:
            try:
                made.append(self._document(self.db.get(str(one))))
            except NotFoundError:
                pass
        return made

    @staticmethod
    def _document(record: Dict[str, Any]) -> Document:
        content = record["metadata"]
        if not isinstance(content, dict) or "text" not in content:
            content = {"text": content if isinstance(content, str) else "", "metadata": {}}
        return Document(page_content=content["text"], metadata=content.get("metadata") or {}, id=record["key"])

    def _near(self, query: Sequence[float], k: int, filter: Filter) -> List[Tuple[Dict[str, Any], Document, float]]:
        """The k nearest that the filter takes: as many as there are, however rare."""
        if k < 1:
            return []
        wanted = k if filter is None else min(4 * k, 65536)
        while True:
            hits, made = self.db.search(query, min(wanted, 65536)), []
            for hit in hits:
                try:
                    record = self.db.get(hit["id"])
                except NotFoundError:  # deleted meanwhile
                    continue
                document = self._document(record)
                if filter is None or (filter(document) if callable(filter) else all(
                        document.metadata.get(name) == value for name, value in filter.items())):
                    made.append((record, document, float(hit["score"])))
                    if len(made) == k:
                        return made
            if len(hits) < min(wanted, 65536) or wanted >= 65536:
                return made
            wanted *= 8

    def similarity_search_with_score_by_vector(self, embedding: Sequence[float], k: int = 4, filter: Filter = None,
                                               **ignored: Any) -> List[Tuple[Document, float]]:
        """The k nearest to a vector (dim,) with their squared distances. filter: a dict that the metadata must
        contain, or a callable."""
        return [(document, score) for _, document, score in self._near(embedding, k, filter)]

    def similarity_search_with_score(self, query: str, k: int = 4, filter: Filter = None,
                                     **ignored: Any) -> List[Tuple[Document, float]]:
        """The same for a text."""
        return self.similarity_search_with_score_by_vector(self._embedding.embed_query(query), k, filter)

    def similarity_search_by_vector(self, embedding: Sequence[float], k: int = 4, filter: Filter = None,
                                    **ignored: Any) -> List[Document]:
        """The k nearest to a vector (dim,)."""
        return [document for _, document, _ in self._near(embedding, k, filter)]

    def similarity_search(self, query: str, k: int = 4, filter: Filter = None, **ignored: Any) -> List[Document]:
        """The k nearest to a text."""
        return self.similarity_search_by_vector(self._embedding.embed_query(query), k, filter)

    def max_marginal_relevance_search_by_vector(self, embedding: Sequence[float], k: int = 4, fetch_k: int = 20,
                                                lambda_mult: float = 0.5, filter: Filter = None,
                                                **ignored: Any) -> List[Document]:
        """Of the fetch_k nearest to a vector (dim,) k that differ from each other."""
        near = self._near(embedding, max(k, fetch_k), filter)
        chosen = maximal_marginal_relevance(list(embedding), [one[0]["vector"] for one in near], k, lambda_mult)
        return [near[i][1] for i in chosen]

    def max_marginal_relevance_search(self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5,
                                      filter: Filter = None, **ignored: Any) -> List[Document]:
        """The same for a text."""
        return self.max_marginal_relevance_search_by_vector(self._embedding.embed_query(query), k, fetch_k,
                                                            lambda_mult, filter)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # Of unit vectors: the cosine, from 1 (the same) to 0 (opposite or farther).
        return lambda score: max(0.0, 1.0 - score / 4.0)
