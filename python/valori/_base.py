"""Valori: the one surface of embedded stores and remote nodes."""
import json
import re
from collections import deque
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from ._vectors import Vector, Vectors
from .errors import NotFoundError, ValidationError
from .kinds import EDGE_PARENT_OF, NODE_CHUNK, NODE_DOCUMENT

Hit = Dict[str, Any]
Metadata = Union[None, bytes, bytearray, memoryview, str, Dict[str, Any], List[Any], int, float, bool]
Moment = Union[int, str]

_HEX = re.compile(r"[0-9a-fA-F]{64}")


def encode(metadata: Metadata) -> Optional[bytes]:
    """Metadata as the bytes that are stored: bytes as they are, a str as UTF-8, anything else as compact JSON."""
    if metadata is None or type(metadata) is bytes:
        return metadata
    if isinstance(metadata, (bytes, bytearray, memoryview)):
        return bytes(metadata)
    if isinstance(metadata, str):
        try:
            return metadata.encode()
        except UnicodeEncodeError as error:
            raise ValidationError(f"metadata: {error.reason}: give bytes for what is no text") from None
    try:
        return json.dumps(metadata, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValidationError(f"metadata: {error}: want bytes, a str, or what JSON can say") from None


def decode(metadata: Optional[bytes]) -> Any:
    """What the bytes say: a JSON object or array as such, other text as str, anything else as bytes."""
    if metadata is None:
        return None
    try:
        text = metadata.decode()
    except UnicodeDecodeError:
        return metadata
    if text[:1] in "{[" and text:
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def whole(value: Any, name: str, most: int, least: int = 0) -> int:
    """A whole number within its limits. ValidationError."""
    try:
        number = int(value.__index__())
    except (AttributeError, TypeError):
        raise ValidationError(f"{name}: {type(value).__name__}: want a whole number") from None
    if not least <= number <= most:
        raise ValidationError(f"{name}: {number}: must be {least} to {most}")
    return number


def lengths(count: int, **lists: Optional[Sequence[Any]]) -> None:
    """Lists beside a batch have an element for every row. ValidationError."""
    for name, values in lists.items():
        if values is not None and len(values) != count:
            raise ValidationError(f"{name}: has {len(values)} elements, the batch has {count} rows")


class Valori:
    """A store: embedded at a path, in memory, or a node on the network.

    Valori(path, dim=...) opens the store in the directory path and makes it when it is not there; without dim a new
    store has VALORI_DIM components, or 16. Valori() is a store in memory. Valori(remote=URL, token=...) talks to
    valori-serve. All three have the methods below; what one cannot do raises UnsupportedError and says what can.

    A store may be used by many threads at once. It is closed by close(), by the end of a with block, or when nothing
    refers to it any more.

    Vectors are lists of numbers, or buffers (numpy, array.array) of float32; int32 buffers hold Q16.16 components.
    An id is an int; where a record is asked for, its key, a str, does as well.

    Keyword arguments of embedded stores: read_only; create (False: NotFoundError when there is none); sync ("always",
    "batch", "none": when a write returns); records_max (CapacityError beyond it); snapshot, archive (paths). Of remote
    ones: timeout in seconds. Of both: at (a moment: to be read only, as it was then).

    >>> with Valori(dim=3) as db:
    ...     paris = db.insert([0.9, 0.1, 0.0], metadata=b"Paris is the capital of France.")
    ...     db.search([0.9, 0.1, 0.0], k=1)
    [{'id': 0, 'score': 0, 'raw_score': 0}]
    """

    def __new__(cls, path: Any = None, dim: Optional[int] = None, *, remote: Optional[str] = None,
                **options: Any) -> "Valori":
        if cls is not Valori:
            return object.__new__(cls)
        if remote is not None:
            from ._remote import RemoteValori
            return object.__new__(RemoteValori)
        from ._local import LocalValori
        return object.__new__(LocalValori)

    def __init__(self, path: Any = None, dim: Optional[int] = None, *, remote: Optional[str] = None,
                 token: Optional[str] = None, **options: Any) -> None:
        raise NotImplementedError

    # ---- what both kinds implement ----

    dim: int

    def insert(self, vector: Vector, tag: int = 0, *, key: Optional[str] = None, metadata: Metadata = None,
               collection: Optional[str] = None, request_id: Optional[bytes] = None) -> int:
        """Inserts one record and returns its id when it is durable.

        vector: (dim,). tag: 0 to 2**64 - 1, what search filters by. request_id: 16 bytes; the same request again does
        nothing, and returns the same id. DimensionError, RangeError, DuplicateError, TooLongError, ConflictError,
        CapacityError.
        """
        raise NotImplementedError

    def insert_batch(self, vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     keys: Optional[Sequence[Optional[str]]] = None,
                     metadata: Optional[Sequence[Metadata]] = None, collection: Optional[str] = None,
                     request_ids: Optional[Sequence[Optional[bytes]]] = None) -> List[int]:
        """Inserts rows as one commit, all or none, and returns their ids in order.

        vectors: (rows, dim); a C-contiguous float32 or int32 array is read where it lies. An error names the row at
        fault. The same errors as insert.
        """
        raise NotImplementedError

    def upsert(self, key: str, vector: Vector, tag: int = 0, *, metadata: Metadata = None,
               collection: Optional[str] = None) -> int:
        """Inserts a record with a key in place of the live one that has it; graph nodes follow. Returns the new id."""
        raise NotImplementedError

    def upsert_batch(self, keys: Sequence[str], vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     metadata: Optional[Sequence[Metadata]] = None) -> List[int]:
        """upsert for rows (n, dim) with a key each, as one commit. The same errors as insert_batch."""
        raise NotImplementedError

    def get(self, record: Union[int, str], *, collection: Optional[str] = None) -> Dict[str, Any]:
        """A record: id, vector (list of dim floats), tag, key or None, metadata (see get_metadata), live.

        collection: where a key is looked for. Metadata comes decoded: a JSON object or array as such, other text as
        str, other bytes as bytes. NotFoundError when it is not there or was deleted.
        """
        raise NotImplementedError

    def search(self, query: Vector, k: int = 10, filter_tag: Optional[int] = None, *,
               collection: Optional[str] = None, at: Optional[Moment] = None, exact: bool = False) -> List[Hit]:
        """The k nearest live records, nearest first, equal ones by smaller id.

        Each is {'id', 'score', 'raw_score'}: score is the squared distance, 0 for an exact match, and raw_score the
        same exactly, an int with 32 fractional bits. filter_tag: only records with this tag; there are never fewer
        than min(k, those that match). at: as the store was at a moment (see as_of). exact: by no approximate index.
        """
        raise NotImplementedError

    def supersede(self, record: int, vector: Vector, *, metadata: Metadata = None) -> int:
        """A new record takes the place of a live one, which is hidden, and an edge says so. One commit.

        Both have a node, made when missing; the edge (EDGE_SUPERSEDES) goes from the new one's. Returns the new id.
        NotFoundError.
        """
        raise NotImplementedError

    def soft_delete(self, record: Union[int, str]) -> None:
        """Hides a record; its content stays. NotFoundError."""
        raise NotImplementedError

    def delete(self, record: Union[int, str]) -> None:
        """Deletes a record for good. NotFoundError."""
        raise NotImplementedError

    def get_metadata(self, record: Union[int, str]) -> Optional[bytes]:
        """The bytes of a record's metadata, or None. NotFoundError."""
        raise NotImplementedError

    def set_metadata(self, record: Union[int, str], metadata: Metadata) -> None:
        """Replaces a record's metadata: at most 65,536 bytes. NotFoundError, TooLongError."""
        raise NotImplementedError

    def set_tag(self, record: Union[int, str], tag: int) -> None:
        """Gives a record another tag. NotFoundError."""
        raise NotImplementedError

    def meta_get(self, key: str) -> Optional[bytes]:
        """The value that was kept under a name beside the records, or None."""
        raise NotImplementedError

    def meta_set(self, key: str, value: Metadata) -> None:
        """Keeps a value under a name beside the records."""
        raise NotImplementedError

    def meta_delete(self, key: str) -> None:
        """Forgets what meta_set kept. NotFoundError."""
        raise NotImplementedError

    def create_node(self, kind: int, record: Optional[int] = None, *, collection: Optional[str] = None) -> int:
        """Makes a graph node of a kind (0 to 255; see valori.kinds), for a record or for none. Returns its id."""
        raise NotImplementedError

    def create_edge(self, source: int, target: int, kind: int) -> int:
        """Makes an edge between two nodes. Returns its id. NotFoundError."""
        raise NotImplementedError

    def delete_node(self, node: int) -> None:
        """Deletes a node and its edges. NotFoundError."""
        raise NotImplementedError

    def delete_edge(self, edge: int) -> None:
        """Deletes an edge. NotFoundError."""
        raise NotImplementedError

    def get_node(self, node: int) -> Optional[Dict[str, Any]]:
        """A live node: {'id', 'kind', 'record'} (record: id or None); None when it is not there."""
        raise NotImplementedError

    def nodes(self, kind: Optional[int] = None, *, collection: Optional[str] = None) -> List[Dict[str, Any]]:
        """The live nodes of a collection, of one kind or of all, as get_node gives them."""
        raise NotImplementedError

    def edges(self, node: int, *, incoming: bool = False) -> List[Dict[str, int]]:
        """The edges that leave a node, or that lead to it: [{'id', 'from', 'to', 'kind'}], oldest first.
        NotFoundError."""
        raise NotImplementedError

    def create_collection(self, name: str) -> int:
        """Makes a collection, or finds it; returns its number."""
        raise NotImplementedError

    def collections(self) -> List[str]:
        """The names of the collections."""
        raise NotImplementedError

    def drop_collection(self, name: str) -> None:
        """Drops a collection and what it holds. NotFoundError."""
        raise NotImplementedError

    def state_root(self) -> str:
        """The hash of everything that the store holds, 64 hexadecimal digits: equal states, equal roots."""
        raise NotImplementedError

    def info(self) -> Dict[str, Any]:
        """What the store says of itself: at least dim, height (events), record_live, node_live, edge_live,
        state_root."""
        raise NotImplementedError

    def snapshot(self, path: Any = None) -> str:
        """Writes a snapshot and returns its path.

        An embedded store writes snapshot.val beside its log, or path. A node writes where it keeps snapshots; with
        path, it is downloaded to that file.
        """
        raise NotImplementedError

    def restore(self, snapshot: Any) -> None:
        """Begins anew from a snapshot, a path or its bytes. Heights go on; the old log is moved aside."""
        raise NotImplementedError

    def verify(self, expect: Optional[str] = None, *, check: bool = False) -> Dict[str, Any]:
        """Verifies log and snapshot from the first byte: {'verdict', 'sentence', 'height', 'state_root', ...}.

        expect: a state root, or "tree:SIZE:HASH", to compare with. check: raise DamagedError, TamperDetected or
        MismatchError rather than return another verdict than consistent or verified. A node that is asked verifies
        its own files: whoever does not trust it verifies snapshot(path), or the files, with valori.verify.
        """
        raise NotImplementedError

    def events(self, since: int = 0, follow: bool = False) -> Iterator[Dict[str, Any]]:
        """What happened, in order, from event number since on: {'event', 'time_ms', 'op', 'id', ...}.

        follow: at the end wait for more, until the iterator is closed.
        """
        raise NotImplementedError

    def as_of(self, moment: Moment) -> "Valori":
        """The store as it was at a moment, to be read only, and closed.

        A moment is a height (an int), a state root (64 digits), or a time: "2026-11-20T12:00:00Z" or "@MILLISECONDS".
        NotFoundError, UnknowableError (trimmed away).
        """
        raise NotImplementedError

    def flush(self) -> None:
        """Makes everything durable that was written with another sync than "always"."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the store; calls that run end first. Closing twice is fine."""
        raise NotImplementedError

    # ---- what follows from the above ----

    def __enter__(self) -> "Valori":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __len__(self) -> int:
        return self.record_count()

    def __bool__(self) -> bool:
        return True

    def record_count(self) -> int:
        """How many records are live."""
        return int(self.info()["record_live"])

    def get_state_hash(self) -> str:
        """state_root()."""
        return self.state_root()

    def metadata(self, record: Union[int, str]) -> Any:
        """A record's metadata, decoded as get() does. NotFoundError."""
        return decode(self.get_metadata(record))

    def neighbours(self, node: int) -> List[int]:
        """The nodes that the edges of a node lead to, each once, in order. NotFoundError."""
        return list(dict.fromkeys(edge["to"] for edge in self.edges(node)))

    neighbors = neighbours

    def walk(self, node: int, max_depth: int = 2) -> List[int]:
        """The nodes within max_depth edges, breadth first, beginning with node itself. NotFoundError."""
        found, waiting = {node: 0}, deque([node])
        while waiting:
            here = waiting.popleft()
            if found[here] >= max_depth:
                continue
            for there in self.neighbours(here):
                if there not in found:
                    found[there] = found[here] + 1
                    waiting.append(there)
        if max_depth < 1 and self.get_node(node) is None:
            self.edges(node)  # says that it is not there
        return list(found)

    def timeline(self) -> List[Dict[str, Any]]:
        """All events as a list."""
        return list(self.events())

    def create_document(self, chunks: Vectors, *, metadata: Optional[Sequence[Metadata]] = None,
                        document: Optional[int] = None) -> Dict[str, Any]:
        """For each row of chunks a record and a chunk node, below a new document node or the one given.

        {'document', 'records', 'nodes'}: ids. An embedded store makes them in one commit, all or none. NotFoundError.
        """
        if document is not None and self.get_node(document) is None:
            raise NotFoundError(f"node {document}: is not there")
        records = self.insert_batch(chunks, metadata=metadata)
        if document is None:
            document = self.create_node(NODE_DOCUMENT)
        nodes = []
        for record in records:
            nodes.append(self.create_node(NODE_CHUNK, record))
            self.create_edge(document, nodes[-1], EDGE_PARENT_OF)
        return {"document": document, "records": records, "nodes": nodes}
