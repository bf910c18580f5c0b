"""Embedded stores: libvalori in this process."""
import ctypes as C
import os
import re
import struct
import tempfile
import threading
import time
import weakref
from array import array
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type, Union

from . import _abi as A
from . import _c
from ._base import Hit, Metadata, Moment, Valori, decode, encode, lengths, whole
from .kinds import EDGE_PARENT_OF, EDGE_SUPERSEDES, NODE_CHUNK, NODE_DOCUMENT, NODE_RECORD
from ._vectors import Rows, Vector, Vectors, rows, vector
from .errors import (BY_CODE, ClosedError, DamagedError, DimensionError, ForkedError, IntegrityError, MismatchError,
                     NotFoundError, TamperDetected, UnsupportedError, ValidationError, ValoriError)

lib = _c.lib
_byref = C.byref
_error = A.valori_error
_U64 = 2 ** 64 - 1
_HIT = struct.Struct("=QQ")
_SYNCS = {"always": A.VALORI_SYNC_ALWAYS, "batch": A.VALORI_SYNC_BATCH, "none": A.VALORI_SYNC_NONE}
_VERDICTS = {
    A.VALORI_CONSISTENT: "consistent", A.VALORI_VERIFIED_STATE: "verified state",
    A.VALORI_VERIFIED_HISTORY: "verified history and state", A.VALORI_TAMPERED: "tampered",
    A.VALORI_VERDICT_DAMAGED: "damaged", A.VALORI_DIFFERS: "differs", A.VALORI_INDETERMINATE: "indeterminate",
}
_EVENTS = {
    A.VALORI_EVENT_INSERT: "insert", A.VALORI_EVENT_SOFT_DELETE: "soft_delete", A.VALORI_EVENT_DELETE: "delete",
    A.VALORI_EVENT_SET_METADATA: "set_metadata", A.VALORI_EVENT_SET_TAG: "set_tag",
    A.VALORI_EVENT_NODE_CREATE: "node", A.VALORI_EVENT_NODE_SET_RECORD: "node_set_record",
    A.VALORI_EVENT_NODE_DELETE: "node_delete", A.VALORI_EVENT_EDGE_CREATE: "edge",
    A.VALORI_EVENT_EDGE_DELETE: "edge_delete", A.VALORI_EVENT_META_SET: "meta",
    A.VALORI_EVENT_META_DELETE: "meta_delete", A.VALORI_EVENT_COLLECTION_CREATE: "collection_create",
    A.VALORI_EVENT_COLLECTION_DROP: "collection_drop", A.VALORI_EVENT_CONFIG: "config",
}


def parse_moment(moment: Moment) -> Any:
    """A moment as the library takes it. ValidationError."""
    when, error = A.valori_when(), _error()
    text = str(moment) if isinstance(moment, (int, str)) else repr(moment)
    code = lib.valori_when_parse(text.encode(), _byref(when), _byref(error))
    if code:
        _c.fail(code, error)
    return when


def path_bytes(path: Any) -> Optional[bytes]:
    """A path as the system takes it. ValidationError."""
    if path is None:
        return None
    try:
        made = os.fsencode(path)
    except TypeError:
        raise ValidationError(f"path: {type(path).__name__}: want a str or a path") from None
    if b"\0" in made:
        raise ValidationError("path: holds a zero byte")
    return made


class _Handle:
    """The open store, and who uses it: what is left when the Valori object is gone."""

    def __init__(self) -> None:
        self.pointer: Optional[int] = None
        self.users = 0
        self.is_closed = False
        self.generation = _c.generation
        self.changed = threading.Condition(threading.Lock())

    def close(self) -> None:
        if self.generation != _c.generation:
            return  # of the parent process, whose lock and files these are
        with self.changed:
            self.is_closed = True
            while self.users:
                self.changed.wait()
            pointer, self.pointer = self.pointer, None
        if pointer:
            error = _error()
            code = lib.valori_close(pointer, _byref(error))
            if code:
                _c.fail(code, error)

    def take(self) -> int:
        if self.generation != _c.generation:
            raise ForkedError("the store was opened before a fork(): open it again in this process")
        with self.changed:
            if self.is_closed or not self.pointer:
                raise ClosedError("the store is closed: open it again with Valori(path)")
            self.users += 1
            return self.pointer

    def leave(self) -> None:
        with self.changed:
            self.users -= 1
            if self.is_closed and not self.users:
                self.changed.notify_all()


def _quietly(handle: _Handle) -> None:
    try:
        handle.close()
    except ValoriError:
        pass


class _View:
    """with view as pointer: the newest version of the store, for reads."""

    __slots__ = ("handle", "pointer")

    def __init__(self, handle: _Handle) -> None:
        self.handle = handle

    def __enter__(self) -> int:
        store = self.handle.take()
        pointer, error = C.c_void_p(), _error()
        code = lib.valori_view_open(store, _byref(pointer), _byref(error))
        if code:
            self.handle.leave()
            _c.fail(code, error)
        self.pointer = pointer.value
        return self.pointer  # type: ignore[return-value]

    def __exit__(self, *exception: Any) -> None:
        lib.valori_view_close(self.pointer)
        self.handle.leave()


def _key(key: Any, what: str = "key") -> bytes:
    if isinstance(key, str):
        try:
            return key.encode()
        except UnicodeEncodeError as error:
            raise ValidationError(f"{what}: {error.reason}: want text") from None
    if isinstance(key, bytes):
        return key
    raise ValidationError(f"{what}: {type(key).__name__}: want a str")


class _Batch:
    """with _Batch(dim) as batch: operations of one commit."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.error = _error()

    def __enter__(self) -> "_Batch":
        pointer = C.c_void_p()
        code = lib.valori_batch_new(self.dim, _byref(pointer), _byref(self.error))
        if code:
            _c.fail(code, self.error)
        self.pointer = pointer.value
        return self

    def __exit__(self, *exception: Any) -> None:
        lib.valori_batch_free(self.pointer)

    def count(self) -> int:
        return int(lib.valori_batch_count(self.pointer))

    def add(self, op: Any, prefix: str = "") -> None:
        code = lib.valori_batch_add(self.pointer, _byref(op), _byref(self.error))
        if code:
            _c.fail(code, self.error, prefix)


def _reference(record: Union[int, str], what: str = "record") -> Any:
    if isinstance(record, (str, bytes)):
        key = _key(record)
        return A.valori_ref(kind=A.VALORI_REF_KEY, key=key, key_size=len(key))
    return A.valori_ref(kind=A.VALORI_REF_ID, id=whole(record, what, _U64 - 1))


def _fill(op: Any, key: Optional[str], metadata: Metadata, request_id: Optional[bytes]) -> None:
    if key is not None:
        op.key = made = _key(key)
        op.key_size = len(made)
    if metadata is not None:
        op.metadata = made = encode(metadata)  # type: ignore[assignment]
        op.metadata_size = len(made)
    if request_id is not None:
        if not isinstance(request_id, (bytes, bytearray)) or len(request_id) != A.VALORI_REQUEST_SIZE:
            raise ValidationError(f"request_id: want {A.VALORI_REQUEST_SIZE} bytes, such as uuid.uuid4().bytes")
        op.flags |= A.VALORI_OP_REQUEST
        op.request[:] = request_id


class LocalValori(Valori):
    """An embedded store. See Valori."""

    def __init__(self, path: Any = None, dim: Optional[int] = None, *, read_only: bool = False, create: bool = True,
                 sync: str = "always", records_max: int = 0, snapshot: Any = None, archive: Any = None,
                 at: Optional[Moment] = None, remote: None = None, token: None = None) -> None:
        if token is not None:
            raise ValidationError("token: is for remote=URL; a store at a path is protected by its directory")
        if sync not in _SYNCS:
            raise ValidationError(f"sync: {sync!r}: must be 'always', 'batch' or 'none'")
        self.path: Optional[str] = None if path is None else os.fsdecode(path_bytes(path))  # type: ignore[arg-type]
        self._archive = path_bytes(archive)
        self._snapshot = path_bytes(snapshot)
        self._read_only = read_only or at is not None
        self._create = create
        self._sync = _SYNCS[sync]
        self._records_max = whole(records_max, "records_max", _U64)
        self._at = None if at is None else parse_moment(at)
        if dim is not None:
            whole(dim, "dim", A.VALORI_DIM_MAX, 1)
        self._wanted = dim
        self._handle = _Handle()
        self._finalize = weakref.finalize(self, _quietly, self._handle)
        self._open()

    def _open(self) -> None:
        options = _c.init(A.valori_options)
        options.log = path_bytes(self.path)
        options.snapshot = self._snapshot
        options.archive = self._archive
        options.sync = self._sync
        options.records_max = self._records_max
        options.flags = A.VALORI_READ if self._read_only else A.VALORI_WRITE
        if self._at is not None:
            options.at = self._at
        options.dim = self._wanted or 0
        if self.path is None and self._snapshot is None and not options.dim:
            options.dim = self._default_dim()
        pointer, error = C.c_void_p(), _error()
        code = lib.valori_open(_byref(options), _byref(pointer), _byref(error))
        if code == A.VALORI_NOT_FOUND and self._create and not self._read_only and self.path is not None:
            options.flags |= A.VALORI_CREATE
            options.dim = self._wanted or self._default_dim()
            code = lib.valori_open(_byref(options), _byref(pointer), _byref(error))
            if not code:  # the log is there from now on, not from the first commit on: it may be read and verified
                code = lib.valori_flush(pointer, _byref(error))
                if code:
                    lib.valori_close(pointer, None)
        if code == A.VALORI_NOT_FOUND and self.path is not None:
            _c.fail(code, error, "" if error.message else f"{self.path}: there is no store: ")
        if code:
            _c.fail(code, error)
        self._handle.pointer = pointer.value
        info = _c.init(A.valori_info)
        lib.valori_get_info(pointer, _byref(info), None)
        self.dim = info.dim
        self._components = C.c_int32 * info.dim

    @staticmethod
    def _default_dim() -> int:
        try:
            return whole(int(os.environ.get("VALORI_DIM", "16")), "VALORI_DIM", A.VALORI_DIM_MAX, 1)
        except ValueError:
            raise ValidationError("VALORI_DIM: want a whole number") from None

    def __repr__(self) -> str:
        state = " closed" if self._handle.is_closed else ""
        return f"<Valori {self.path or 'in memory'} dim={self.dim}{state}>"

    def close(self) -> None:
        self._handle.close()
        self._finalize.detach()

    # ---- writing ----

    def _commit(self, batch: _Batch, count: int) -> Any:
        """Commits a batch; ids of its operations."""
        ids = (C.c_uint64 * count)()
        store = self._handle.take()
        try:
            code = lib.valori_commit(store, batch.pointer, None, ids, _byref(batch.error))
        finally:
            self._handle.leave()
        if code:
            fault = batch.error.event
            _c.fail(code, batch.error, f"row {fault}: " if count > 1 and fault < count else "")
        return ids

    def _write(self, op: Any) -> int:
        with _Batch(self.dim) as batch:
            batch.add(op)
            return int(self._commit(batch, 1)[0])

    def _collection(self, name: Optional[str]) -> int:
        if name is None or name == "default":
            return 0
        with _View(self._handle) as view:
            return self._find_collection(view, name)

    @staticmethod
    def _find_collection(view: int, name: Optional[str]) -> int:
        if name is None or name == "default":
            return 0
        number, error, text = C.c_uint32(), _error(), _key(name, "collection")
        code = lib.valori_collection_find(view, text, len(text), _byref(number), _byref(error))
        if code == A.VALORI_NOT_FOUND:
            raise NotFoundError(f"collection {name}: is not there: create_collection({name!r}) makes it")
        if code:
            _c.fail(code, error)
        return number.value

    def insert(self, vector_: Vector, tag: int = 0, *, key: Optional[str] = None, metadata: Metadata = None,
               collection: Optional[str] = None, request_id: Optional[bytes] = None) -> int:
        return self._put(A.VALORI_OP_INSERT, vector_, tag, key, metadata, collection, request_id)

    def upsert(self, key: str, vector_: Vector, tag: int = 0, *, metadata: Metadata = None,
               collection: Optional[str] = None) -> int:
        return self._put(A.VALORI_OP_UPSERT, vector_, tag, key, metadata, collection, None)

    def _put(self, kind: int, data: Vector, tag: int, key: Optional[str], metadata: Metadata,
             collection: Optional[str], request_id: Optional[bytes]) -> int:
        one = vector(data, self.dim)
        op = A.valori_op(kind=kind, vector_kind=one.kind, vector=one.address, dim=one.dim,
                         tag=whole(tag, "tag", _U64), collection=self._collection(collection))
        _fill(op, key, metadata, request_id)
        return self._write(op)

    def insert_batch(self, vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     keys: Optional[Sequence[Optional[str]]] = None,
                     metadata: Optional[Sequence[Metadata]] = None, collection: Optional[str] = None,
                     request_ids: Optional[Sequence[Optional[bytes]]] = None) -> List[int]:
        return self._put_rows(A.VALORI_OP_INSERT, vectors, tags, keys, metadata, collection, request_ids)

    def _put_rows(self, kind: int, vectors: Vectors, tags: Optional[Sequence[int]],
                  keys: Optional[Sequence[Optional[str]]], metadata: Optional[Sequence[Metadata]],
                  collection: Optional[str], request_ids: Optional[Sequence[Optional[bytes]]]) -> List[int]:
        table = rows(vectors, self.dim)
        lengths(table.count, tags=tags, keys=keys, metadata=metadata, request_ids=request_ids)
        number = self._collection(collection)
        tag_array = None
        if tags is not None:
            try:
                tag_array = (C.c_uint64 * table.count)(*[whole(tag, "tags", _U64) for tag in tags])
            except TypeError:
                raise ValidationError("tags: want a list of whole numbers") from None
        if table.count == 0:
            self._handle.take()
            self._handle.leave()
            return []
        op = A.valori_op(kind=kind, vector_kind=table.kind, vector=table.address, dim=table.dim, collection=number)
        with _Batch(self.dim) as batch:
            if keys is None and metadata is None and request_ids is None:
                fault = C.c_size_t()
                code = lib.valori_batch_add_rows(batch.pointer, _byref(op), table.count, 4 * table.dim, tag_array,
                                                 _byref(fault), _byref(batch.error))
                if code:
                    _c.fail(code, batch.error, f"row {fault.value}: ")
            else:
                for i in range(table.count):
                    row = A.valori_op(kind=kind, vector_kind=table.kind, dim=table.dim,
                                      vector=table.address + 4 * table.dim * i, collection=number,
                                      tag=tag_array[i] if tag_array is not None else 0)
                    try:
                        _fill(row, keys[i] if keys is not None else None,
                              metadata[i] if metadata is not None else None,
                              request_ids[i] if request_ids is not None else None)
                    except ValidationError as error:
                        raise type(error)(f"row {i}: {error}") from None
                    batch.add(row, f"row {i}: ")
            ids = self._commit(batch, table.count)
            return memoryview(ids).cast("B").cast("Q").tolist()

    def soft_delete(self, record: Union[int, str]) -> None:
        self._write(A.valori_op(kind=A.VALORI_OP_SOFT_DELETE, target=_reference(record)))

    def delete(self, record: Union[int, str]) -> None:
        self._write(A.valori_op(kind=A.VALORI_OP_DELETE, target=_reference(record)))

    def set_metadata(self, record: Union[int, str], metadata: Metadata) -> None:
        op = A.valori_op(kind=A.VALORI_OP_SET_METADATA, target=_reference(record))
        _fill(op, None, metadata, None)
        self._write(op)

    def set_tag(self, record: Union[int, str], tag: int) -> None:
        self._write(A.valori_op(kind=A.VALORI_OP_SET_TAG, target=_reference(record), tag=whole(tag, "tag", _U64)))

    def meta_set(self, key: str, value: Metadata) -> None:
        op = A.valori_op(kind=A.VALORI_OP_META_SET)
        _fill(op, key, value, None)
        self._write(op)

    def meta_delete(self, key: str) -> None:
        op = A.valori_op(kind=A.VALORI_OP_META_DELETE)
        _fill(op, key, None, None)
        self._write(op)

    def create_node(self, kind: int, record: Optional[int] = None, *, collection: Optional[str] = None) -> int:
        op = A.valori_op(kind=A.VALORI_OP_NODE_CREATE, object_kind=whole(kind, "kind", 255),
                         collection=self._collection(collection))
        if record is not None:
            op.target = _reference(record)
        return self._write(op)

    def create_edge(self, source: int, target: int, kind: int) -> int:
        op = A.valori_op(kind=A.VALORI_OP_EDGE_CREATE, object_kind=whole(kind, "kind", 255),
                         to=_reference(target, "target"))
        setattr(op, "from", _reference(source, "source"))
        return self._write(op)

    def delete_node(self, node: int) -> None:
        op = A.valori_op(kind=A.VALORI_OP_NODE_DELETE)
        setattr(op, "from", _reference(node, "node"))
        self._write(op)

    def delete_edge(self, edge: int) -> None:
        op = A.valori_op(kind=A.VALORI_OP_EDGE_DELETE)
        setattr(op, "from", _reference(edge, "edge"))
        self._write(op)

    def create_document(self, chunks: Vectors, *, metadata: Optional[Sequence[Metadata]] = None,
                        document: Optional[int] = None) -> Dict[str, Any]:
        table = rows(chunks, self.dim)
        lengths(table.count, metadata=metadata)
        count = table.count
        with _Batch(self.dim) as batch:
            for i in range(count):
                op = A.valori_op(kind=A.VALORI_OP_INSERT, vector_kind=table.kind, dim=table.dim,
                                 vector=table.address + 4 * table.dim * i)
                _fill(op, None, metadata[i] if metadata is not None else None, None)
                batch.add(op, f"row {i}: ")
            top = A.valori_ref(kind=A.VALORI_REF_OP, id=count)
            if document is None:
                batch.add(A.valori_op(kind=A.VALORI_OP_NODE_CREATE, object_kind=NODE_DOCUMENT))
            else:
                top = _reference(document, "document")
            first = batch.count()
            for i in range(count):
                batch.add(A.valori_op(kind=A.VALORI_OP_NODE_CREATE, object_kind=NODE_CHUNK,
                                      target=A.valori_ref(kind=A.VALORI_REF_OP, id=i)))
                op = A.valori_op(kind=A.VALORI_OP_EDGE_CREATE, object_kind=EDGE_PARENT_OF,
                                 to=A.valori_ref(kind=A.VALORI_REF_OP, id=first + 2 * i))
                setattr(op, "from", top)
                batch.add(op)
            ids = self._commit(batch, batch.count())
        return {"document": ids[count] if document is None else document, "records": list(ids[:count]),
                "nodes": [ids[first + 2 * i] for i in range(count)]}

    def supersede(self, record: int, vector_: Vector, *, metadata: Metadata = None) -> int:
        one, record = vector(vector_, self.dim), whole(record, "record", _U64)
        with _View(self._handle) as view:
            old = self._record(view, record)
        if old.status != A.VALORI_LIVE:
            raise NotFoundError(f"record {record}: is not there")
        op = A.valori_op(kind=A.VALORI_OP_INSERT, vector_kind=one.kind, vector=one.address, dim=one.dim, tag=old.tag,
                         collection=old.collection)
        _fill(op, None, metadata, None)
        with _Batch(self.dim) as batch:
            batch.add(op)
            node = A.valori_op(kind=A.VALORI_OP_NODE_CREATE, object_kind=NODE_RECORD, collection=old.collection,
                               target=A.valori_ref(kind=A.VALORI_REF_OP, id=0))
            batch.add(node)
            edge = A.valori_op(kind=A.VALORI_OP_EDGE_CREATE, object_kind=EDGE_SUPERSEDES, collection=old.collection,
                               to=A.valori_ref(kind=A.VALORI_REF_ID, id=old.node))
            setattr(edge, "from", A.valori_ref(kind=A.VALORI_REF_OP, id=1))
            if old.node == A.VALORI_NONE:
                node.target = _reference(record)
                batch.add(node)
                edge.to = A.valori_ref(kind=A.VALORI_REF_OP, id=2)
            batch.add(edge)
            batch.add(A.valori_op(kind=A.VALORI_OP_SOFT_DELETE, target=_reference(record)))
            return int(self._commit(batch, batch.count())[0])

    def upsert_batch(self, keys: Sequence[str], vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     metadata: Optional[Sequence[Metadata]] = None) -> List[int]:
        return self._put_rows(A.VALORI_OP_UPSERT, vectors, tags, keys, metadata, None, None)

    def create_collection(self, name: str) -> int:
        try:
            return self._collection(name)
        except NotFoundError:
            op = A.valori_op(kind=A.VALORI_OP_COLLECTION_CREATE)
            _fill(op, name, None, None)
            return self._write(op)

    def drop_collection(self, name: str) -> None:
        self._write(A.valori_op(kind=A.VALORI_OP_COLLECTION_DROP, collection=self._collection(name)))

    def flush(self) -> None:
        store, error = self._handle.take(), _error()
        try:
            code = lib.valori_flush(store, _byref(error))
        finally:
            self._handle.leave()
        if code:
            _c.fail(code, error)

    # ---- reading ----

    def search(self, query: Vector, k: int = 10, filter_tag: Optional[int] = None, *,
               collection: Optional[str] = None, at: Optional[Moment] = None, exact: bool = False,
               threads: int = 1) -> List[Hit]:
        if at is not None:
            with self.as_of(at) as past:
                return past.search(query, k, filter_tag, collection=collection, exact=exact)
        one = vector(query, self.dim)
        error = _error()
        address = one.address
        if one.kind == A.VALORI_F32:
            components = self._components()
            address = C.addressof(components)
            code = lib.valori_q16s_from_f32s(one.address, self.dim, address, error)
            if code:
                _c.fail(code, error)
        if type(k) is not int or not 1 <= k <= A.VALORI_K_MAX:
            k = whole(k, "k", A.VALORI_K_MAX, 1)
        options = A.valori_search_options(_SEARCH_SIZE, k)
        options.threads = threads
        if exact:
            options.exact = 1
        if filter_tag is not None:
            options.has_tag = 1
            options.tag = whole(filter_tag, "filter_tag", _U64)
        hits, count = (A.valori_hit * k)(), C.c_size_t()
        with _View(self._handle) as view:
            if collection is not None:
                options.collection = self._find_collection(view, collection)
            code = lib.valori_search(view, address, 1, options, hits, _byref(count), error)
        if code:
            _c.fail(code, error)
        return [{"id": id_, "score": raw / 4294967296 if raw else 0, "raw_score": raw}
                for id_, raw in _HIT.iter_unpack(memoryview(hits).cast("B")[:16 * count.value])]

    def _record(self, view: int, record: Union[int, str], collection: Optional[str] = None) -> Any:
        found, error = A.valori_record(), _error()
        if isinstance(record, (str, bytes)):
            id_, key = C.c_uint64(), _key(record)
            code = lib.valori_record_find(view, self._find_collection(view, collection), key, len(key), _byref(id_),
                                          _byref(error))
            if code:
                raise BY_CODE.get(code, ValoriError)(f"record {record!r}: is not there")
            record = id_.value
        record = whole(record, "record", _U64)
        code = lib.valori_record_get(view, record, _byref(found), _byref(error))
        if code == A.VALORI_NOT_FOUND or (not code and found.status == A.VALORI_DELETED):
            raise NotFoundError(f"record {record}: is not there")
        if code:
            _c.fail(code, error)
        return found

    def get(self, record: Union[int, str], *, collection: Optional[str] = None) -> Dict[str, Any]:
        with _View(self._handle) as view:
            found, error, components = self._record(view, record, collection), _error(), self._components()
            code = lib.valori_vector_get(view, found.id, components, _byref(error))
            if code:
                _c.fail(code, error)
            key = _c.text(found.key, found.key_size)
            return {"id": found.id, "vector": [part / 65536 for part in components], "tag": found.tag,
                    "key": None if key is None else key.decode(),
                    "metadata": decode(_c.text(found.metadata, found.metadata_size)),
                    "live": found.status == A.VALORI_LIVE}

    def vector(self, record: Union[int, str]) -> "array[int]":
        """The components of a record as they are: array('i') of dim Q16.16 numbers. NotFoundError."""
        with _View(self._handle) as view:
            found, error, components = self._record(view, record), _error(), self._components()
            code = lib.valori_vector_get(view, found.id, components, _byref(error))
            if code:
                _c.fail(code, error)
            return array("i", bytes(components))

    def get_metadata(self, record: Union[int, str]) -> Optional[bytes]:
        with _View(self._handle) as view:
            found = self._record(view, record)
            return _c.text(found.metadata, found.metadata_size)

    def meta_get(self, key: str) -> Optional[bytes]:
        text, value, size, error = _key(key), C.c_void_p(), C.c_size_t(), _error()
        with _View(self._handle) as view:
            code = lib.valori_meta_get(view, text, len(text), _byref(value), _byref(size), _byref(error))
            if code == A.VALORI_NOT_FOUND:
                return None
            if code:
                _c.fail(code, error)
            return C.string_at(value, size.value) if size.value else b""

    @staticmethod
    def _node(view: int, node: int) -> Optional[Dict[str, Any]]:
        found = A.valori_node()
        if lib.valori_node_get(view, node, _byref(found), None) or not found.live:
            return None
        record = None if found.record == A.VALORI_NONE else found.record
        return {"id": found.id, "kind": found.kind, "record": record}

    def get_node(self, node: int) -> Optional[Dict[str, Any]]:
        with _View(self._handle) as view:
            return self._node(view, whole(node, "node", _U64))

    def nodes(self, kind: Optional[int] = None, *, collection: Optional[str] = None) -> List[Dict[str, Any]]:
        found, made = A.valori_node(), []
        with _View(self._handle) as view:
            wanted = self._find_collection(view, collection)
            info = _c.init(A.valori_info)
            lib.valori_view_info(view, _byref(info), None)
            for node in range(info.node_slots):
                if (lib.valori_node_get(view, node, _byref(found), None) == 0 and found.live
                        and found.collection == wanted and (kind is None or found.kind == kind)):
                    record = None if found.record == A.VALORI_NONE else found.record
                    made.append({"id": found.id, "kind": found.kind, "record": record})
        return made

    def edges(self, node: int, *, incoming: bool = False) -> List[Dict[str, int]]:
        node = whole(node, "node", _U64)
        cursor, edge, made = C.c_uint64(), A.valori_edge(), []
        with _View(self._handle) as view:
            if self._node(view, node) is None:
                raise NotFoundError(f"node {node}: is not there")
            while lib.valori_edge_next(view, node, not incoming, _byref(cursor), _byref(edge)) == 0:
                made.append({"id": edge.id, "from": getattr(edge, "from"), "to": edge.to, "kind": edge.kind})
        return made

    def collections(self) -> List[str]:
        names, name, size, live = [], C.c_void_p(), C.c_size_t(), C.c_uint32()
        with _View(self._handle) as view:
            info = _c.init(A.valori_info)
            lib.valori_view_info(view, _byref(info), None)
            for number in range(info.collection_slots):
                if lib.valori_collection_get(view, number, _byref(name), _byref(size), _byref(live), None) == 0 \
                        and live.value:
                    names.append(C.string_at(name, size.value).decode())
        return names

    # ---- the store as a whole ----

    def _info(self) -> Any:
        info, error = _c.init(A.valori_info), _error()
        store = self._handle.take()
        try:
            code = lib.valori_get_info(store, _byref(info), _byref(error))
        finally:
            self._handle.leave()
        if code:
            _c.fail(code, error)
        return info

    def info(self) -> Dict[str, Any]:
        info, made = self._info(), {}
        for name, kind in A.valori_info._fields_[1:]:
            value = getattr(info, name)
            if kind is A.valori_hash:
                value = _c.hash_text(value)
            elif isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif value == A.VALORI_NONE:
                value = None
            made[name] = value
        made["history"] = f"tree:{info.commits}:{made['tree_root']}"
        return made

    def state_root(self) -> str:
        return _c.hash_text(self._info().state_root)

    def record_count(self) -> int:
        return int(self._info().record_live)

    def _beside(self, name: str) -> str:
        assert self.path is not None
        directory = self.path if os.path.isdir(self.path) else os.path.dirname(self.path)
        return os.path.join(directory, name)

    def snapshot(self, path: Any = None) -> str:
        if path is None and self.path is None:
            raise UnsupportedError("a store in memory has no place for snapshots: name one: snapshot(path)")
        if path is None and self._read_only:
            raise UnsupportedError("a store that was opened to be read writes no snapshot of its own: name a file: "
                                   "snapshot(path)")
        target = os.fsdecode(path) if path is not None else self._beside("snapshot.val")
        error = _error()
        with _View(self._handle) as view:
            code = lib.valori_snapshot_write(view, path_bytes(target), None, _byref(error))
        if code:
            _c.fail(code, error)
        return target

    def restore(self, snapshot: Any) -> None:
        if self._read_only:
            raise UnsupportedError("a store that was opened to be read is not restored: open it to write")
        if isinstance(snapshot, (bytes, bytearray, memoryview)):
            with tempfile.NamedTemporaryFile(suffix=".val") as file:
                file.write(snapshot)
                file.flush()
                return self.restore(file.name)
        source, error = path_bytes(snapshot), _error()
        info = _c.init(A.valori_snapshot_info)
        code = lib.valori_snapshot_check(source, _byref(info), _byref(error))
        if code:
            _c.fail(code, error)
        if info.dim != self.dim:
            raise DimensionError(f"{os.fsdecode(snapshot)}: has dimension {info.dim}, the store has {self.dim}")
        self._handle.close()
        self._finalize.detach()
        if self.path is not None:
            code = lib.valori_restore(path_bytes(self.path), source, None, _byref(error))
        self._handle = _Handle()
        self._finalize = weakref.finalize(self, _quietly, self._handle)
        kept = self._snapshot
        if self.path is None and not code:
            self._snapshot = source
        try:
            self._open()
        finally:
            self._snapshot = kept
        if code:
            _c.fail(code, error)

    def verify(self, expect: Optional[str] = None, *, check: bool = False) -> Dict[str, Any]:
        if self.path is None:
            raise UnsupportedError("a store in memory has no log to verify")
        self._handle.take()
        self._handle.leave()
        return verify(self.path, expect, archive=self._archive, check=check)

    def events(self, since: int = 0, follow: bool = False) -> Iterator[Dict[str, Any]]:
        if self.path is None:
            raise UnsupportedError("a store in memory has no log: open one at a path")
        self._handle.take()
        self._handle.leave()
        return events(self.path, whole(since, "since", _U64), follow, archive=self._archive)

    def as_of(self, moment: Moment) -> "LocalValori":
        if self.path is None:
            raise UnsupportedError("a store in memory has no past: open one at a path")
        self._handle.take()
        self._handle.leave()
        return LocalValori(self.path, at=moment, archive=self._archive, snapshot=self._snapshot)


_SEARCH_SIZE = C.sizeof(A.valori_search_options)


def judged(report: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """The report of a verification; with check only a good one. DamagedError, TamperDetected, MismatchError."""
    if check and report["verdict"] != "consistent" and not report["verdict"].startswith("verified"):
        kinds: Dict[str, Type[IntegrityError]] = {
            "tampered": TamperDetected, "damaged": DamagedError, "differs": MismatchError}
        raise kinds.get(report["verdict"], IntegrityError)(report["sentence"], offset=report["fault_offset"],
                                                           event=report["fault_event"])
    return report


# ---- without a store ----

def verify(path: Any, expect: Optional[str] = None, *, archive: Any = None, check: bool = False) -> Dict[str, Any]:
    """Verifies a log (directory or file) or a snapshot file. See Valori.verify."""
    options, report, error = _c.init(A.valori_verify_options), _c.init(A.valori_verify_report), _error()
    options.path = path_bytes(path)
    options.archive = path_bytes(archive)
    if expect is not None:
        match = re.fullmatch(r"(?:tree:([0-9]{1,19}):)?([0-9a-fA-F]{64})", str(expect))
        if match is None:
            raise ValidationError("expect: want 64 hexadecimal digits or tree:SIZE:HASH")
        options.expect_kind, options.expect_size = (1, 0) if match[1] is None else (2, int(match[1]))
        lib.valori_hash_parse(match[2].encode(), _byref(options.expect))
    code = lib.valori_verify(_byref(options), _byref(report), _byref(error))
    if code:
        _c.fail(code, error)
    made: Dict[str, Any] = {"verdict": _VERDICTS.get(report.verdict, "unknown")}
    for name, kind in A.valori_verify_report._fields_[2:]:
        value = getattr(report, name)
        if kind is A.valori_hash:
            value = _c.hash_text(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif value == A.VALORI_NONE:
            value = None
        made[name] = value
    if not report.expect_reached:
        made["expect_height"] = None
    return judged(made, check)


def _event(event: Any, commit: Any, dim: int) -> Dict[str, Any]:
    """An event in the words of docs/json.md, valori-replay --json; times in milliseconds, bytes as bytes."""
    op = _EVENTS.get(event.type, f"unknown {event.type}")
    made: Dict[str, Any] = {"event": event.number, "commit": commit.number, "time_ms": commit.time_ms, "op": op,
                            "id": event.id}
    if event.key:
        made["key"] = C.string_at(event.key, event.key_size).decode()
    if op in ("insert", "set_tag"):
        made["tag"] = event.tag
    if op == "insert":
        made["collection"] = event.collection
        made["vector"] = [part / 65536 for part in struct.unpack(f"<{dim}i", C.string_at(event.vector, 4 * dim))]
    if op in ("insert", "set_metadata", "meta"):
        made["metadata"] = _c.text(event.metadata, event.metadata_size)
    if op in ("node", "node_set_record"):
        made["record"] = None if event.record == A.VALORI_NONE else event.record
    if op in ("node", "edge"):
        made["kind"] = event.kind
    if op == "edge":
        made["from"], made["to"] = getattr(event, "from"), event.to
    if op == "config":
        made["parameter"], made["value"] = event.parameter, event.value
    return made


def events(path: Any, since: int = 0, follow: bool = False, *, archive: Any = None,
           interval: float = 0.05) -> Iterator[Dict[str, Any]]:
    """The events of a log, read from its files. See Valori.events; interval: seconds between two looks for more."""
    event, commit, error = A.valori_event(), A.valori_commit_view(), _error()
    info = _c.init(A.valori_log_info)
    while True:
        log = C.c_void_p()
        code = lib.valori_log_open(path_bytes(path), path_bytes(archive), 0, _byref(log), _byref(error))
        if code:
            _c.fail(code, error)
        try:
            code = lib.valori_log_get_info(log, _byref(info), _byref(error))
            if not code and since > info.base_event:
                code = lib.valori_log_seek(log, since, _byref(error))
            while not code:
                code = lib.valori_log_next(log, _byref(commit), _byref(error))
                for index in range(commit.event_count if not code else 0):
                    if commit.first_event + index < since:
                        continue
                    code = lib.valori_log_event(log, index, _byref(event), _byref(error))
                    if code:
                        break
                    since = event.number + 1
                    yield _event(event, commit, info.dim)
            if code not in (A.VALORI_END, A.VALORI_NOT_FOUND):
                _c.fail(code, error)
        finally:
            lib.valori_log_close(log)
        if not follow:
            return
        time.sleep(interval)
