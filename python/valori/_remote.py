"""A node on the network: the HTTP routes of valori-serve(1), with nothing but the standard library."""
import base64
import builtins
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
import uuid
from array import array
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Sequence, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

from . import _abi as A
from . import _c
from ._base import Hit, Metadata, Moment, Valori, decode, encode, lengths, whole
from ._vectors import Rows, Vector, Vectors, rows, vector
from .errors import (BY_CODE, AuthenticationError, CapacityError, ClosedError, ConnectionError, NotFoundError,
                     SystemCallError, TimeoutError, UnsupportedError, ValidationError, ValoriError)

_U64 = 2 ** 64 - 1
_CODES = {_c.lib.valori_code_name(code).decode(): kind for code, kind in BY_CODE.items()}
_STATUSES = {400: ValidationError, 401: AuthenticationError, 403: AuthenticationError, 404: NotFoundError,
             409: ValidationError, 413: ValidationError, 422: ValidationError, 507: CapacityError}
_OPS = {"InsertRecord": "insert", "SoftDeleteRecord": "soft_delete", "DeleteRecord": "delete",
        "SetRecordMetadata": "set_metadata", "SetTag": "set_tag", "CreateNode": "node",
        "SetNodeRecord": "node_set_record", "DeleteNode": "node_delete", "CreateEdge": "edge",
        "DeleteEdge": "edge_delete", "SetMeta": "meta", "DeleteMeta": "meta_delete",
        "CreateNamespace": "collection_create", "DropNamespace": "collection_drop", "Config": "config"}


def _floats(table: Rows, is_batch: bool = False) -> Any:
    """Components as binary32, which is what a node takes. ValidationError: Q16.16 that is none."""
    if table.kind == A.VALORI_F32:
        made = array("f", _memory(table, "f"))
    else:
        numbers = _memory(table, "i")
        made = array("f", (number / 65536 for number in numbers))
        if any(int(value * 65536) != number for value, number in zip(made, numbers)):
            raise ValidationError("vector: int32 components that are no binary32: a node takes those only, "
                                  "an embedded store takes all")
    # JSON has no word for NaN: what no store accepts is refused here, as an embedded store refuses it.
    scratch, error = (_c.C.c_int32 * table.dim)(), A.valori_error()
    address = table.address if table.kind == A.VALORI_F32 else made.buffer_info()[0]
    for row in range(table.count):
        code = _c.lib.valori_q16s_from_f32s(address + 4 * table.dim * row, table.dim, scratch, error)
        if code:
            _c.fail(code, error, f"row {row}: " if is_batch else "")
    return made


def _is_over(sock: Any, timeout: float) -> bool:
    """Has the node hung up, or said something unasked, on a connection that waits?"""
    try:
        sock.setblocking(False)
        try:
            sock.recv(1) if isinstance(sock, ssl.SSLSocket) else sock.recv(1, socket.MSG_PEEK)
            return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            sock.settimeout(timeout)
    except (OSError, AttributeError):
        return True


def _memory(table: Rows, form: str) -> Any:
    """The rows as a flat array of numbers."""
    if isinstance(table.keep, array):
        return table.keep
    size = 4 * table.count * table.dim
    return memoryview((_c.C.c_char * size).from_address(table.address)).cast("B").cast(form)


def _text(metadata: Optional[bytes]) -> Optional[str]:
    try:
        return None if metadata is None else metadata.decode()
    except UnicodeDecodeError:
        raise UnsupportedError("metadata: is no UTF-8, which a node takes with set_metadata() only") from None


class RemoteValori(Valori):
    """A node. See Valori."""

    def __init__(self, path: None = None, dim: Optional[int] = None, *, remote: str, token: Optional[str] = None,
                 timeout: float = 30.0) -> None:
        if path is not None:
            raise ValidationError("give path for an embedded store or remote for a node, not both")
        parts = urlsplit(remote if isinstance(remote, str) else "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValidationError(f"remote: {remote!r}: want a URL such as http://127.0.0.1:3000")
        if token is not None and (not isinstance(token, str) or not token.isprintable() or not token.isascii()):
            raise ValidationError("token: want printable ASCII")
        self.remote = remote.rstrip("/")
        self._parts = parts
        self._timeout = timeout
        self._token = token
        self._local = threading.local()
        self._open: List[Any] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._generation = _c.generation
        self.dim = int(self._health()["dim"])
        if dim is not None and dim != self.dim:
            self.close()
            raise BY_CODE[A.VALORI_DIMENSION](f"{remote}: the node has dimension {self.dim}, not {dim}")

    def __repr__(self) -> str:
        return f"<Valori {self.remote} dim={self.dim}{' closed' if self._is_closed else ''}>"

    # ---- requests ----

    def _connection(self) -> Any:
        if self._generation != _c.generation:  # sockets of the parent process are its own
            self._generation, self._local, self._open = _c.generation, threading.local(), []
            self._lock = threading.Lock()
        made = getattr(self._local, "connection", None)
        if made is not None and _is_over(made.sock, self._timeout):
            self._drop()
            made = None
        if made is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            made = kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout)
            made.connect()
            made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = made
            with self._lock:
                self._open.append(made)
        return made

    def _drop(self) -> None:
        made, self._local.connection = getattr(self._local, "connection", None), None
        if made is not None:
            made.close()
            with self._lock:
                if made in self._open:
                    self._open.remove(made)

    def _send(self, method: str, path: str, body: Any, kind: str, is_safe: bool) -> Any:
        """The response, not yet read. A request that does no harm twice is sent again on a new connection when the
        node had closed the old one."""
        if self._is_closed:
            raise ClosedError("the client is closed: make another with Valori(remote=URL)")
        headers = {"Content-Type": kind} if body is not None else {}
        if self._token is not None:
            headers["Authorization"] = "Bearer " + self._token
        while True:
            was_used = getattr(self._local, "connection", None) is not None
            try:
                connection = self._connection()
                connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
                return connection.getresponse()
            except (socket.timeout, builtins.TimeoutError):
                self._drop()
                raise TimeoutError(f"{self.remote}: no answer in {self._timeout} s: a longer timeout=... waits "
                                   "longer; whether a write was done is not known") from None
            except (http.client.HTTPException, OSError, ssl.SSLError) as error:
                self._drop()
                if was_used and is_safe:
                    continue
                raise ConnectionError(f"{self.remote}: {error or type(error).__name__}: is valori-serve running "
                                      "there?") from None

    def _ask(self, method: str, path: str, body: Any = None, *, kind: str = "application/json",
             is_safe: bool = False) -> bytes:
        """The body of an answer that is 200 or 204; everything else raises."""
        for attempt in range(4):
            response = self._send(method, path, body, kind, is_safe or method == "GET")
            try:
                data = response.read()
            except (http.client.HTTPException, OSError) as error:
                self._drop()
                raise ConnectionError(f"{self.remote}: the answer broke off: {error}") from None
            if response.will_close:
                self._drop()
            if response.status != 503 or path == "/health" or attempt == 3 or not (is_safe or method == "GET"):
                break
            time.sleep(0.1 * 4 ** attempt)
        if response.status in (200, 201, 204) or (path == "/health" and response.status == 503):
            return bytes(data)
        self._refuse(response.status, data)

    def _refuse(self, status: int, data: bytes) -> NoReturn:
        try:
            answer = json.loads(data)
            message, name = str(answer["error"]), answer.get("code", "")
        except (ValueError, KeyError, TypeError):
            message, name = f"{self.remote}: answered {status}, not as valori-serve does", ""
        kind = _STATUSES.get(status, ConnectionError)
        if status in (401, 403):
            message += f" ({self.remote}: give the node's token: Valori(remote=..., token=...))"
        elif status not in (401, 403, 405):
            kind = _CODES.get(name, kind)
        raise kind(message)

    def _json(self, method: str, path: str, body: Any = None, is_safe: bool = False) -> Any:
        data = self._ask(method, path, None if body is None else json.dumps(body).encode(), is_safe=is_safe)
        return self._parse(data)

    def _parse(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise ConnectionError(f"{self.remote}: the answer is no JSON: is it valori-serve?") from None

    def _health(self) -> Dict[str, Any]:
        answer = self._json("GET", "/health")
        if not isinstance(answer, dict) or "dim" not in answer:
            raise ConnectionError(f"{self.remote}: is no node: /health says nothing of a dimension")
        return answer

    def close(self) -> None:
        self._is_closed = True
        with self._lock:
            connections, self._open = self._open, []
        for connection in connections:
            connection.close()

    # ---- writing ----

    def insert(self, vector_: Vector, tag: int = 0, *, key: Optional[str] = None, metadata: Metadata = None,
               collection: Optional[str] = None, request_id: Optional[bytes] = None) -> int:
        body: Dict[str, Any] = {"values": list(_floats(vector(vector_, self.dim))), "tag": whole(tag, "tag", _U64),
                                "request_id": (_request(request_id) if request_id is not None else uuid.uuid4().hex)}
        text = _text(encode(metadata))
        if text is not None:
            body["text"] = text
        if key is not None:
            body["key"] = _name(key, "key")
        if collection is not None:
            body["collection"] = _name(collection, "collection")
        return int(self._json("POST", "/v1/records", body, is_safe=True)["id"])

    def insert_batch(self, vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     keys: Optional[Sequence[Optional[str]]] = None,
                     metadata: Optional[Sequence[Metadata]] = None, collection: Optional[str] = None,
                     request_ids: Optional[Sequence[Optional[bytes]]] = None) -> List[int]:
        table = rows(vectors, self.dim)
        lengths(table.count, tags=tags, keys=keys, metadata=metadata, request_ids=request_ids)
        if table.count == 0:
            return []
        floats = _floats(table, True)
        if tags is None and keys is None and metadata is None and request_ids is None:
            if sys.byteorder == "big":
                floats = array("f", floats)
                floats.byteswap()
            path = "/v1/vectors/batch-insert?" + urlencode(
                dict({"dim": self.dim}, **({} if collection is None else {"collection": collection})))
            return [int(i) for i in self._parse(self._ask("POST", path, memoryview(floats).cast("B"),
                                                          kind="application/octet-stream"))["ids"]]
        values = floats.tolist()
        body: Dict[str, Any] = {"batch": [values[i:i + self.dim] for i in range(0, len(values), self.dim)]}
        if tags is not None:
            body["tags"] = [whole(tag, "tags", _U64) for tag in tags]
        if keys is not None:
            body["keys"] = [None if key is None else _name(key, "key") for key in keys]
        if metadata is not None:
            body["texts"] = [_text(encode(one)) for one in metadata]
        if request_ids is not None:
            body["request_ids"] = [None if one is None else _request(one) for one in request_ids]
        if collection is not None:
            body["collection"] = _name(collection, "collection")
        return [int(i) for i in self._json("POST", "/v1/vectors/batch-insert", body)["ids"]]

    def upsert(self, key: str, vector_: Vector, tag: int = 0, *, metadata: Metadata = None,
               collection: Optional[str] = None) -> int:
        raise UnsupportedError("a node has no upsert by key: use an embedded store, or delete and insert")

    def supersede(self, record: int, vector_: Vector, *, metadata: Metadata = None) -> int:
        body: Dict[str, Any] = {"old_record_id": self._id(record),
                                "new_vector": list(_floats(vector(vector_, self.dim)))}
        made = encode(metadata)
        text = json.dumps(body)
        if made is not None:
            try:
                json.loads(made)
            except ValueError:
                raise UnsupportedError("metadata: a node takes JSON only here: give a dict") from None
            text = text[:-1] + ', "metadata": ' + made.decode() + "}"
        return int(self._parse(self._ask("POST", "/v1/memory/consolidate", text.encode()))["new_record_id"])

    @staticmethod
    def _id(record: Union[int, str]) -> int:
        if isinstance(record, str):
            raise UnsupportedError(f"record {record!r}: a node finds records by id, not by key")
        return whole(record, "record", _U64)

    def soft_delete(self, record: Union[int, str]) -> None:
        self._json("POST", "/v1/soft-delete", {"id": self._id(record)})

    def delete(self, record: Union[int, str]) -> None:
        self._json("POST", "/v1/delete", {"id": self._id(record)})

    def set_metadata(self, record: Union[int, str], metadata: Metadata) -> None:
        made = encode(metadata)
        if made is None:
            raise UnsupportedError("metadata: a node cannot take it away: set b'' instead")
        self._ask("PATCH", f"/v1/records/{self._id(record)}/metadata", made, kind="application/octet-stream",
                  is_safe=True)

    def meta_set(self, key: str, value: Metadata) -> None:
        made = encode(value) or b""
        try:
            json.loads(made)
        except ValueError:
            raise UnsupportedError("meta: a node keeps JSON only under a name: json.dumps(value)") from None
        body = b'{"key":' + json.dumps(_name(key, "key")).encode() + b',"value":' + made + b"}"
        self._ask("POST", "/v1/memory/meta/set", body, is_safe=True)

    def create_node(self, kind: int, record: Optional[int] = None, *, collection: Optional[str] = None) -> int:
        body: Dict[str, Any] = {"kind": whole(kind, "kind", 255)}
        if record is not None:
            body["record_id"] = self._id(record)
        if collection is not None:
            body["collection"] = _name(collection, "collection")
        return int(self._json("POST", "/v1/graph/node", body)["node_id"])

    def create_edge(self, source: int, target: int, kind: int) -> int:
        body = {"from": whole(source, "source", _U64), "to": whole(target, "target", _U64),
                "kind": whole(kind, "kind", 255)}
        return int(self._json("POST", "/v1/graph/edge", body)["edge_id"])

    def delete_node(self, node: int) -> None:
        self._ask("DELETE", f"/v1/graph/node/{whole(node, 'node', _U64)}")

    def delete_edge(self, edge: int) -> None:
        self._ask("DELETE", f"/v1/graph/edge/{whole(edge, 'edge', _U64)}")

    def create_collection(self, name: str) -> int:
        return int(self._json("POST", "/v1/namespaces", {"name": _name(name, "collection")}, is_safe=True)["id"])

    def drop_collection(self, name: str) -> None:
        self._ask("DELETE", "/v1/namespaces/" + quote(_name(name, "collection"), safe=""))

    def flush(self) -> None:
        """A node answers a write when it is durable: there is nothing to do."""

    # ---- reading ----

    def search(self, query: Vector, k: int = 10, filter_tag: Optional[int] = None, *,
               collection: Optional[str] = None, at: Optional[Moment] = None, exact: bool = False) -> List[Hit]:
        body: Dict[str, Any] = {"query": list(_floats(vector(query, self.dim))),
                                "k": whole(k, "k", A.VALORI_K_MAX, 1)}
        if filter_tag is not None:
            body["filter_tag"] = whole(filter_tag, "filter_tag", _U64)
        if collection is not None:
            body["collection"] = _name(collection, "collection")
        if exact:
            body["exact"] = True
        if at is not None:
            moment = _moment(at)
            if moment is None:
                return []  # before the first event
            body.update(moment)
        answer = self._json("POST", "/v1/search", body, is_safe=True)
        hits = []
        for hit in answer["results"]:
            raw = int(hit["raw_score"])
            hits.append({"id": int(hit["id"]), "score": raw / 4294967296 if raw else 0, "raw_score": raw})
        return hits

    def _get(self, record: Union[int, str]) -> Tuple[Dict[str, Any], Optional[bytes]]:
        """The record as the node shows it, and the bytes of its metadata."""
        text = self._ask("GET", f"/v1/records/{self._id(record)}").decode()
        shown = self._parse(text.encode())
        if "metadata_base64" in shown:
            return shown, base64.b64decode(shown["metadata_base64"])
        value = shown.get("metadata")
        if value is None or isinstance(value, str):
            return shown, None if value is None else value.encode()
        # JSON stands there as it was stored: its source text is what was stored.
        start = text.index('"metadata":') + len('"metadata":')
        while text[start] in " \t\r\n":
            start += 1
        end = json.JSONDecoder().raw_decode(text, start)[1]
        return shown, text[start:end].encode()

    def get(self, record: Union[int, str]) -> Dict[str, Any]:
        shown, metadata = self._get(record)
        return {"id": int(shown["id"]), "vector": [float(x) for x in shown["vector"]], "tag": int(shown["tag"]),
                "key": shown.get("key"), "metadata": decode(metadata), "live": shown["live"]}

    def get_metadata(self, record: Union[int, str]) -> Optional[bytes]:
        return self._get(record)[1]

    def meta_get(self, key: str) -> Optional[bytes]:
        answer = self._json("GET", "/v1/memory/meta/get?" + urlencode({"key": _name(key, "key")}))
        if "value_base64" in answer:
            return base64.b64decode(answer["value_base64"])
        value = answer.get("value")
        return None if value is None else str(value).encode()

    def get_node(self, node: int) -> Optional[Dict[str, Any]]:
        try:
            shown = self._json("GET", f"/v1/graph/node/{whole(node, 'node', _U64)}")
        except NotFoundError:
            return None
        return {"id": node, "kind": shown["kind"], "record": shown["record_id"]}

    def nodes(self, kind: Optional[int] = None, *, collection: Optional[str] = None) -> List[Dict[str, Any]]:
        asked = {name: value for name, value in (("kind", kind), ("collection", collection)) if value is not None}
        return [{"id": shown["node_id"], "kind": shown["kind"], "record": shown["record_id"]}
                for shown in self._json("GET", "/v1/graph/nodes?" + urlencode(asked))["nodes"]]

    def edges(self, node: int) -> List[Dict[str, int]]:
        return [{"id": shown["edge_id"], "from": node, "to": shown["to_node"], "kind": shown["kind"]}
                for shown in self._json("GET", f"/v1/graph/edges/{whole(node, 'node', _U64)}")["edges"]]

    def collections(self) -> List[str]:
        return [shown["name"] for shown in self._json("GET", "/v1/namespaces")["collections"]]

    # ---- the store as a whole ----

    def info(self) -> Dict[str, Any]:
        health, proof = self._health(), self._json("GET", "/v1/proof/state")
        return {"dim": self.dim, "height": proof["committed_height"], "state_root": proof["final_state_hash"],
                "record_live": health["records"]["live"], "node_live": health["nodes"]["live"],
                "edge_live": health["edges"]["live"], **{name: proof[name] for name in
                                                         ("commits", "history", "log_id") if name in proof},
                "status": health["status"]}

    def record_count(self) -> int:
        return int(self._health()["records"]["live"])

    def state_root(self) -> str:
        return str(self._json("GET", "/v1/proof/state")["final_state_hash"])

    def snapshot(self, path: Any = None) -> str:
        if path is None:
            return str(self._json("POST", "/v1/snapshot/save", {})["path"])
        target = os.fsdecode(path)
        partial = f"{target}.part-{os.getpid()}"
        response = self._send("GET", "/v1/snapshot/download", None, "", True)
        try:
            if response.status != 200:
                self._refuse(response.status, response.read())
            with open(partial, "wb") as file:
                while True:
                    part = response.read(1 << 20)
                    if not part:
                        break
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except (http.client.HTTPException, OSError) as error:
            self._drop()
            raise (SystemCallError if getattr(error, "filename", None) else ConnectionError)(
                f"{target}: {error}") from None
        finally:
            if os.path.exists(partial):
                os.unlink(partial)
        return target

    def restore(self, snapshot: Any) -> None:
        if isinstance(snapshot, (bytes, bytearray, memoryview)):
            self._ask("POST", "/v1/snapshot/upload", bytes(snapshot), kind="application/octet-stream")
            return
        try:
            with open(snapshot, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise NotFoundError(f"{snapshot}: there is no such file") from None
        self._ask("POST", "/v1/snapshot/upload", data, kind="application/octet-stream")

    def verify(self, expect: Optional[str] = None, *, check: bool = False) -> Dict[str, Any]:
        raise UnsupportedError("a node cannot be trusted to verify itself: run valori-verify on its files, or "
                               "valori.verify(db.snapshot('copy.val'))")

    def events(self, since: int = 0, follow: bool = False) -> Iterator[Dict[str, Any]]:
        whole(since, "since", _U64)
        return self._events(since, follow)

    def _events(self, since: int, follow: bool) -> Iterator[Dict[str, Any]]:
        after = ""
        while True:
            answer = self._json("GET", "/v1/timeline" + after)
            for shown in answer["events"]:
                if shown["log_index"] < since:
                    continue
                since = shown["log_index"] + 1
                after = "?" + urlencode({"from": shown["timestamp_iso"]})
                moment = datetime.strptime(shown["timestamp_iso"], "%Y-%m-%dT%H:%M:%S.%fZ")
                seconds = int(moment.replace(microsecond=0, tzinfo=timezone.utc).timestamp())
                ids = [shown[name] for name in ("record_id", "node_id", "edge_id") if name in shown]
                yield {"event": shown["log_index"], "time_ms": seconds * 1000 + moment.microsecond // 1000,
                       "op": _OPS.get(shown["event_type"], shown["event_type"]), "id": ids[0] if ids else None}
            if "error" in answer:
                raise ConnectionError(f"{self.remote}: {answer['error']}")
            if not follow:
                return
            time.sleep(0.25)

    def as_of(self, moment: Moment) -> "Valori":
        raise UnsupportedError("a node opens no past to walk in: ask search(..., at=moment)")


def _name(text: Any, what: str) -> str:
    if not isinstance(text, str):
        raise ValidationError(f"{what}: {type(text).__name__}: want a str")
    return text


def _request(request_id: bytes) -> str:
    if not isinstance(request_id, (bytes, bytearray)) or len(request_id) != A.VALORI_REQUEST_SIZE:
        raise ValidationError(f"request_id: want {A.VALORI_REQUEST_SIZE} bytes, such as uuid.uuid4().bytes")
    return bytes(request_id).hex()


def _moment(at: Moment) -> Optional[Dict[str, Any]]:
    """How a node is asked for a moment; None: the empty store."""
    from ._local import parse_moment
    when = parse_moment(at)
    if when.kind == A.VALORI_WHEN_HEIGHT:
        return {"as_of_log_index": when.value - 1} if when.value else None
    if when.kind == A.VALORI_WHEN_TIME:
        return {"as_of": str(at)}
    raise UnsupportedError("at: a node takes a height or a time, no state root")
