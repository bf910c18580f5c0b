"""ValoriIndexStore: a vector store for LlamaIndex over an embedded store or a node.

It has the methods of LlamaIndex's vector stores, and takes and gives its nodes; what it needs of them is node_id,
ref_doc_id, metadata, get_content() and get_embedding(). Without llama_index_core it gives nodes of its own.

Node ids are keys in the store. Which nodes belong to a document is in its graph, so delete(ref_doc_id) finds them.
"""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ._base import Valori
from .errors import NotFoundError, ValidationError
from .kinds import EDGE_PARENT_OF, NODE_CHUNK, NODE_DOCUMENT

try:
    from llama_index.core.schema import (NodeRelationship, RelatedNodeInfo,  # type: ignore
                                         TextNode)
    from llama_index.core.vector_stores.types import VectorStoreQueryResult  # type: ignore

    def _node(node_id: str, text: str, metadata: Dict[str, Any], ref_doc_id: Optional[str]) -> Any:
        made = TextNode(id_=node_id, text=text, metadata=metadata)
        if ref_doc_id is not None:
            made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=ref_doc_id)
        return made
except ImportError:
    class TextNode(NamedTuple):  # type: ignore[no-redef]
        """A node, as far as this store needs one."""

        node_id: str
        text: str
        metadata: Dict[str, Any]
        ref_doc_id: Optional[str] = None
        embedding: Optional[List[float]] = None

        def get_content(self, metadata_mode: Any = None) -> str:
            return self.text

        def get_embedding(self) -> List[float]:
            if self.embedding is None:
                raise ValueError("embedding not set.")
            return self.embedding

    class VectorStoreQueryResult(NamedTuple):  # type: ignore[no-redef]
        """Nodes, nearest first, with their similarities and ids."""

        nodes: Optional[Sequence[Any]] = None
        similarities: Optional[List[float]] = None
        ids: Optional[List[str]] = None

    _node = TextNode

__all__ = ["ValoriIndexStore", "TextNode", "VectorStoreQueryResult"]

_OPERATORS: Dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda value, wanted: value == wanted, "!=": lambda value, wanted: value != wanted,
    ">": lambda value, wanted: value is not None and value > wanted,
    "<": lambda value, wanted: value is not None and value < wanted,
    ">=": lambda value, wanted: value is not None and value >= wanted,
    "<=": lambda value, wanted: value is not None and value <= wanted,
    "in": lambda value, wanted: value in wanted, "nin": lambda value, wanted: value not in wanted,
    "contains": lambda value, wanted: value is not None and wanted in value,
}


def _matches(filters: Any, metadata: Dict[str, Any]) -> bool:
    """Do MetadataFilters, which may hold others, take this metadata? ValidationError: an unknown operator."""
    if filters is None:
        return True
    results = []
    for one in filters.filters:
        if hasattr(one, "filters"):
            results.append(_matches(one, metadata))
            continue
        operator = getattr(one, "operator", "==")
        name = getattr(operator, "value", operator)
        if name not in _OPERATORS:
            raise ValidationError(f"filter: {name!r}: there are {', '.join(_OPERATORS)}")
        try:
            results.append(bool(_OPERATORS[name](metadata.get(one.key), one.value)))
        except TypeError:
            results.append(False)  # of another type
    condition = getattr(filters, "condition", "and") or "and"
    return (any if getattr(condition, "value", condition) == "or" else all)(results)


class ValoriIndexStore:
    """Nodes with embeddings in db, a Valori that is used for nothing else."""

    stores_text = True
    is_embedding_query = True
    flat_metadata = False

    def __init__(self, db: Valori) -> None:
        if not isinstance(db, Valori):
            raise ValidationError(f"db: {type(db).__name__}: want Valori(path) or Valori(remote=URL)")
        self.db = db

    @property
    def client(self) -> Valori:
        """The store."""
        return self.db

    @staticmethod
    def _name(ref_doc_id: str) -> str:
        return "document:" + ref_doc_id

    def _document(self, ref_doc_id: str) -> Optional[int]:
        found = self.db.meta_get(self._name(ref_doc_id))
        return None if found is None else int(found)

    def add(self, nodes: Sequence[Any], **ignored: Any) -> List[str]:
        """Adds nodes, all or none, and then ties them to their documents; returns their ids. A known id is replaced."""
        nodes = list({node.node_id: node for node in nodes}.values())
        if not nodes:
            return []
        contents = [{"text": node.get_content(metadata_mode="none"), "metadata": dict(node.metadata),
                     "ref_doc_id": node.ref_doc_id} for node in nodes]
        records = self.db.upsert_batch([node.node_id for node in nodes], [node.get_embedding() for node in nodes],
                                       metadata=contents)
        tied: Dict[str, Dict[int, int]] = {}
        for node, record in zip(nodes, records):
            if node.ref_doc_id is None:
                continue
            if node.ref_doc_id not in tied:
                document = self._document(node.ref_doc_id)
                if document is None:
                    document = self.db.create_node(NODE_DOCUMENT)
                    self.db.meta_set(self._name(node.ref_doc_id), str(document))
                tied[node.ref_doc_id] = {-1: document}
                for chunk in self.db.neighbours(document):
                    found = self.db.get_node(chunk)
                    if found is not None and found["record"] is not None:
                        tied[node.ref_doc_id][found["record"]] = chunk
            if record not in tied[node.ref_doc_id]:  # of a replaced record the node has followed
                chunk = self.db.create_node(NODE_CHUNK, record)
                self.db.create_edge(tied[node.ref_doc_id][-1], chunk, EDGE_PARENT_OF)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **ignored: Any) -> None:
        """Deletes the nodes of a document for good."""
        document = self._document(ref_doc_id)
        if document is None:
            return
        for chunk in self.db.neighbours(document):
            found = self.db.get_node(chunk)
            if found is not None and found["record"] is not None:
                try:
                    shown = self.db.get(found["record"])
                    if shown["metadata"]["ref_doc_id"] == ref_doc_id:  # not moved to another document since
                        self.db.delete(found["record"])
                except NotFoundError:
                    pass
            self.db.delete_node(chunk)
        self.db.meta_delete(self._name(ref_doc_id))
        self.db.delete_node(document)

    def _all(self) -> List[Dict[str, Any]]:
        shown = []
        for record in range(self.db.info()["record_slots"]):
            try:
                one = self.db.get(record)
            except NotFoundError:
                continue
            if one["live"] and one["key"] is not None:
                shown.append(one)
        return shown

    @staticmethod
    def _made(record: Dict[str, Any]) -> Any:
        content = record["metadata"]
        return _node(record["key"], content["text"], content["metadata"], content["ref_doc_id"])

    def get_nodes(self, node_ids: Optional[List[str]] = None, filters: Any = None) -> List[Any]:
        """The nodes with these ids, or all, as far as filters takes them."""
        records = []
        if node_ids is None:
            records = self._all()
        for one in node_ids or ():
            try:
                records.append(self.db.get(one))
            except NotFoundError:
                pass
        return [self._made(one) for one in records if _matches(filters, one["metadata"]["metadata"])]

    def delete_nodes(self, node_ids: Optional[List[str]] = None, filters: Any = None, **ignored: Any) -> None:
        """Deletes nodes for good: those of get_nodes."""
        for node in self.get_nodes(node_ids, filters):
            self.db.delete(node.node_id)

    def clear(self) -> None:
        """Deletes everything."""
        for record in self._all():
            self.db.delete(record["id"])

    def query(self, query: Any, **ignored: Any) -> VectorStoreQueryResult:
        """The similarity_top_k nodes nearest to query_embedding, as far as filters, node_ids and doc_ids take them.

        A similarity is 1 / (1 + squared distance): 1 for an exact match.
        """
        if query.query_embedding is None:
            raise ValidationError("query: has no query_embedding: this store compares embeddings")
        wanted_ids, wanted_documents = getattr(query, "node_ids", None), getattr(query, "doc_ids", None)
        filters, k = getattr(query, "filters", None), query.similarity_top_k
        is_open = filters is None and not wanted_ids and not wanted_documents
        wanted = k if is_open else min(4 * k, 65536)
        while k > 0:
            hits, taken = self.db.search(query.query_embedding, min(wanted, 65536)), []
            for hit in hits:
                try:
                    record = self.db.get(hit["id"])
                except NotFoundError:
                    continue
                content = record["metadata"]
                if ((not wanted_ids or record["key"] in wanted_ids)
                        and (not wanted_documents or content["ref_doc_id"] in wanted_documents)
                        and _matches(filters, content["metadata"])):
                    taken.append((record, 1.0 / (1.0 + hit["score"])))
            if len(taken) >= k or len(hits) < min(wanted, 65536) or wanted >= 65536:
                del taken[k:]
                return VectorStoreQueryResult(nodes=[self._made(one) for one, _ in taken],
                                              similarities=[score for _, score in taken],
                                              ids=[one["key"] for one, _ in taken])
            wanted *= 8
        return VectorStoreQueryResult(nodes=[], similarities=[], ids=[])

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Everything is on disk already."""
