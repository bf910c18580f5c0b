"""The native module of the first version's package, by its names, over libvalori.

For programs that were written for it: ValoricoreEngine (ValoriEngine) and four functions. Unacceptable input and
unknown ids are ValueError, everything else RuntimeError, as there; scores are ints with 16 fractional bits.
"""
import ctypes as _C
import functools as _functools
import json as _json
import os as _os
from typing import Any, Callable, List, Optional, Sequence, Tuple

from valori import _abi as _A
from valori import _c
from valori import verify as _verify
from valori._local import LocalValori as _LocalValori
from valori._vectors import vector as _vector
from valori.errors import NotFoundError as _NotFoundError
from valori.errors import ValidationError as _ValidationError
from valori.errors import ValoriError as _ValoriError

__all__ = ["ValoricoreEngine", "ValoriEngine", "ingest_embedding", "generate_proof", "verify_embedding",
           "verify_log_file"]

_NAMES = {"insert": "InsertRecord", "soft_delete": "SoftDeleteRecord", "delete": "DeleteRecord",
          "set_metadata": "SetRecordMetadata", "set_tag": "SetTag", "node": "CreateNode", "edge": "CreateEdge",
          "node_set_record": "SetNodeRecord", "node_delete": "DeleteNode", "edge_delete": "DeleteEdge",
          "meta": "SetMeta", "meta_delete": "DeleteMeta", "collection_create": "CreateNamespace",
          "collection_drop": "DropNamespace", "config": "Config"}


def _as_there(call: Callable[..., Any]) -> Callable[..., Any]:
    @_functools.wraps(call)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except _ValidationError as error:
            words = {_A.VALORI_DIMENSION: "dimension mismatch: ", _A.VALORI_RANGE: "outside valid range: "}
            raise ValueError(words.get(error.code, "") + str(error)) from error
        except _NotFoundError as error:
            raise ValueError(str(error)) from error
        except _ValoriError as error:
            raise RuntimeError(str(error)) from error
    return wrapped


def _proof(components: Sequence[int]) -> str:
    numbers, digest = (_C.c_int32 * len(components))(*components), _A.valori_hash()
    _c.lib.valori_vector_proof(numbers, len(components), _C.byref(digest))
    return _c.hash_text(digest)


@_as_there
def ingest_embedding(embedding: Sequence[float]) -> List[int]:
    """The Q16.16 components of floats. ValueError: one is outside +-32767."""
    one, error = _vector(embedding, len(embedding)), _A.valori_error()
    made = (_C.c_int32 * one.dim)()
    if any(not -32767 <= value <= 32767 for value in embedding):
        raise ValueError("outside valid range: components lie between -32767 and 32767")
    code = _c.lib.valori_q16s_from_f32s(one.address, one.dim, made, _C.byref(error))
    if code:
        _c.fail(code, error)
    return list(made)


def generate_proof(vector: Sequence[int]) -> str:
    """The proof of an embedding, given as Q16.16 components: 64 hexadecimal digits. ValueError: it is empty."""
    if not 1 <= len(vector) <= _A.VALORI_DIM_MAX:
        raise ValueError(f"vector: has {len(vector)} components: must be 1 to {_A.VALORI_DIM_MAX}")
    return _proof(vector)


def verify_embedding(embedding: Sequence[float], proof: str) -> bool:
    """Is this the proof of these floats?"""
    return generate_proof(ingest_embedding(embedding)) == proof.lower()


@_as_there
def verify_log_file(path: str, expected: Optional[str] = None) -> str:
    """What valori-verify says of a log, as JSON: verdict, replay, finding. RuntimeError: it cannot be told."""
    report = _verify(path, expected)
    finding = None
    if report["verdict"] in ("tampered", "damaged"):
        finding = {"type": "content" if report["fault_rewrite"] else "structural", "path": report["fault_path"],
                   "offset": report["fault_offset"], "event": report["fault_event"]}
    return _json.dumps({"schema_version": 1, "verdict": report["verdict"].split()[0], "log": {"path": path},
                        "replay": {"events_replayed": report["height"] - report["base_height"],
                                   "state_hash": report["state_root"]},
                        "expected_hash": expected, "finding": finding, "sentence": report["sentence"]})


class ValoricoreEngine:
    """The store in the directory path, made when it is not there; its dimension is VALORI_DIM, or 384."""

    @_as_there
    def __init__(self, path: str, index_kind: str = "bruteforce") -> None:
        if index_kind not in ("bruteforce", "hnsw", "ivf"):
            raise ValueError(f"index_kind: {index_kind!r}: must be bruteforce, hnsw or ivf")
        is_new = not _os.path.exists(_os.path.join(path, "events.log"))
        self._db = _LocalValori(path, int(_os.environ.get("VALORI_DIM", "384")) if is_new else None,
                                records_max=int(_os.environ.get("VALORI_MAX_RECORDS", "0")))
        self._proofs: dict = {}

    @_as_there
    def insert(self, vector: Sequence[float], tag: int = 0) -> int:
        return self._db.insert(vector, tag)

    @_as_there
    def insert_batch(self, vectors: Sequence[Sequence[float]], tags: Optional[Sequence[int]] = None) -> List[int]:
        return self._db.insert_batch(vectors, tags)

    @_as_there
    def insert_with_proof(self, vector: Sequence[float], tag: int = 0) -> Tuple[int, str]:
        made = self._db.insert(vector, tag)
        self._proofs[made] = _proof(self._db.vector(made))
        return made, self._proofs[made]

    @_as_there
    def insert_batch_with_proof(self, vectors: Sequence[Sequence[float]],
                                tags: Optional[Sequence[int]] = None) -> List[Tuple[int, str]]:
        made = self._db.insert_batch(vectors, tags)
        self._proofs.update((i, _proof(self._db.vector(i))) for i in made)
        return [(i, self._proofs[i]) for i in made]

    @_as_there
    def search(self, vector: Sequence[float], k: int, filter_tag: Optional[int] = None) -> List[Tuple[int, int]]:
        return [(hit["id"], hit["raw_score"] >> 16) for hit in self._db.search(vector, k, filter_tag)]

    @_as_there
    def create_node(self, kind: int, record_id: Optional[int] = None) -> int:
        return self._db.create_node(kind, record_id)

    @_as_there
    def create_edge(self, from_id: int, to_id: int, kind: int) -> int:
        return self._db.create_edge(from_id, to_id, kind)

    @_as_there
    def delete_node(self, node_id: int) -> None:
        self._db.delete_node(node_id)

    @_as_there
    def delete_edge(self, edge_id: int) -> None:
        self._db.delete_edge(edge_id)

    @_as_there
    def get_node(self, node_id: int) -> Optional[Tuple[int, Optional[int]]]:
        node = self._db.get_node(node_id)
        return None if node is None else (node["kind"], node["record"])

    @_as_there
    def get_edges(self, node_id: int) -> List[Tuple[int, int, int]]:
        return [(edge["id"], edge["to"], edge["kind"]) for edge in self._db.edges(node_id)]

    @_as_there
    def walk(self, start: int, max_depth: int = 2) -> List[int]:
        return self._db.walk(start, min(max_depth, 10))

    @_as_there
    def expand(self, start: int, max_depth: int = 2) -> List[int]:
        nodes = [self._db.get_node(node) for node in self._db.walk(start, min(max_depth, 10))]
        return [node["record"] for node in nodes if node is not None and node["record"] is not None]

    @_as_there
    def get_metadata(self, record_id: int) -> Optional[List[int]]:
        metadata = self._db.get_metadata(record_id)
        if metadata is None and record_id in self._proofs:
            metadata = bytes.fromhex(self._proofs[record_id])
        return None if metadata is None else list(metadata)

    @_as_there
    def set_metadata(self, record_id: int, metadata: Any) -> None:
        self._db.set_metadata(record_id, bytes(metadata))

    @_as_there
    def get_state_hash(self) -> str:
        return self._db.state_root()

    @_as_there
    def record_count(self) -> int:
        return self._db.record_count()

    @_as_there
    def snapshot(self) -> bytes:
        with open(self._db.snapshot(), "rb") as file:
            return file.read()

    @_as_there
    def save_snapshot(self) -> str:
        return self._db.snapshot()

    save = save_snapshot

    @_as_there
    def flush(self) -> None:
        self._db.flush()

    @_as_there
    def restore(self, data: Any) -> None:
        self._db.restore(bytes(data))

    @_as_there
    def soft_delete(self, record_id: int) -> None:
        self._db.soft_delete(record_id)

    @_as_there
    def delete(self, record_id: int) -> None:
        self._db.delete(record_id)

    @_as_there
    def get_timeline(self) -> List[str]:
        told = []
        for event in self._db.events():
            what = _NAMES.get(event["op"], event["op"])
            if event["op"] == "insert":
                what += f" (Record {event['id']}, Tag: {event['tag']})"
            else:
                what += f" ({event['id']})"
            told.append(f"Event ID {event['event']}: {what}")
        return told

    @_as_there
    def close(self) -> None:
        """Closes the store, so that another engine may open it."""
        self._db.close()


ValoriEngine = ValoricoreEngine
