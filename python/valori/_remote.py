"""A node on the network: the HTTP routes of valori-serve(1), with nothing but the standard library."""
import base64
import builtins
import ctypes as C
import http.client
import json
import os
import re
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
from ._local import judged, parse_moment
from ._vectors import Rows, Vector, Vectors, rows, vector
from .errors import (BY_CODE, AuthenticationError, CapacityError, ClosedError, ConnectionError, NotFoundError,
                     SystemCallError, TimeoutError, UnsupportedError, ValidationError, ValoriError)

_U64 = 2 ** 64 - 1
_CODES = {_c.lib.valori_code_name(code).decode(): kind for code, kind in BY_CODE.items()}
_STATUSES = {400: ValidationError, 401: AuthenticationError, 403: AuthenticationError, 404: NotFoundError,
             409: ValidationError, 413: ValidationError, 422: ValidationError, 507: CapacityError}
_CLOSED = "the client is closed: make another with Valori(remote=URL)"


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
    scratch, error = (C.c_int32 * table.dim)(), A.valori_error()
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
    return memoryview((C.c_char * size).from_address(table.address)).cast("B").cast(form)


def _base64(data: Optional[bytes]) -> Optional[str]:
    return None if data is None else base64.b64encode(data).decode()


def _metadata(metadata: Metadata) -> Dict[str, str]:
    """The member that brings metadata to a node."""
    made = encode(metadata)
    if made is None:
        return {}
    try:
        return {"text": made.decode()}
    except UnicodeDecodeError:
        return {"metadata_base64": base64.b64encode(made).decode()}


class RemoteValori(Valori):
    """A node. See Valori."""

    def __init__(self, path: None = None, dim: Optional[int] = None, *, remote: str, token: Optional[str] = None,
                 timeout: float = 30.0, at: Optional[Moment] = None) -> None:
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
        self._at: Optional[int] = None  # the height of the moment that is read
        self.dim = int(self._health()["dim"])
        if dim is not None and dim != self.dim:
            self.close()
            raise BY_CODE[A.VALORI_DIMENSION](f"{remote}: the node has dimension {self.dim}, not {dim}")
        if at is not None:
            parse_moment(at)
            self._at = int(self._json("GET", "/v1/proof/state?" + urlencode({"as_of": str(at)}))["committed_height"])

    def __repr__(self) -> str:
        moment = "" if self._at is None else f" at={self._at}"
        return f"<Valori {self.remote} dim={self.dim}{moment}{' closed' if self._is_closed else ''}>"

    # ---- requests ----

    def _connection(self) -> Any:
        if self._generation != _c.generation:  # sockets of the parent process are its own
            for inherited in self._open:
                inherited.close()
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

    def _send(self, method: str, path: str, body: Any, kind: str, is_safe: bool, accept: str = "*/*") -> Any:
        """The response, not yet read. A request that does no harm twice is sent again on a new connection when the
        node had closed the old one."""
        if self._is_closed:
            raise ClosedError(_CLOSED)
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = kind
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
             is_safe: bool = False, accept: str = "*/*") -> bytes:
        """The body of an answer that is 200 or 204; everything else raises."""
        if self._at is not None and method != "GET" and path != "/v1/search":
            raise ValidationError("the store was opened for reading only")
        for attempt in range(4):
            response = self._send(method, path, body, kind, is_safe or method == "GET", accept)
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
            message = re.sub("^batch: element ([0-9]+): ", r"row \1: ", message)
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

    def _read(self, path: str, **asked: Any) -> str:
        """A path that reads, with its query; of the moment, if there is one."""
        asked = {name: value for name, value in dict(asked, as_of=self._at).items() if value is not None}
        return path + "?" + urlencode(asked) if asked else path

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

    def __del__(self) -> None:
        if hasattr(self, "_is_closed"):
            self.close()

    # ---- writing ----

    def insert(self, vector_: Vector, tag: int = 0, *, key: Optional[str] = None, metadata: Metadata = None,
               collection: Optional[str] = None, request_id: Optional[bytes] = None) -> int:
        return self._put(vector_, tag, key, metadata, collection, request_id)

    def upsert(self, key: str, vector_: Vector, tag: int = 0, *, metadata: Metadata = None,
               collection: Optional[str] = None) -> int:
        return self._put(vector_, tag, _name(key, "key"), metadata, collection, None, upsert=True)

    def _put(self, data: Vector, tag: int, key: Optional[str], metadata: Metadata, collection: Optional[str],
             request_id: Optional[bytes], **more: Any) -> int:
        body: Dict[str, Any] = {"values": list(_floats(vector(data, self.dim))), "tag": whole(tag, "tag", _U64),
                                "request_id": (_request(request_id) if request_id is not None else uuid.uuid4().hex),
                                **_metadata(metadata), **more}
        if key is not None:
            body["key"] = _name(key, "key")
        if collection is not None:
            body["collection"] = _name(collection, "collection")
        return int(self._json("POST", "/v1/records", body, is_safe=True)["id"])

    def insert_batch(self, vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     keys: Optional[Sequence[Optional[str]]] = None,
                     metadata: Optional[Sequence[Metadata]] = None, collection: Optional[str] = None,
                     request_ids: Optional[Sequence[Optional[bytes]]] = None) -> List[int]:
        return self._put_rows(vectors, tags, keys, metadata, collection, request_ids)

    def upsert_batch(self, keys: Sequence[str], vectors: Vectors, tags: Optional[Sequence[int]] = None, *,
                     metadata: Optional[Sequence[Metadata]] = None) -> List[int]:
        return self._put_rows(vectors, tags, keys, metadata, None, None, upsert=True)

    def _put_rows(self, vectors: Vectors, tags: Optional[Sequence[int]], keys: Optional[Sequence[Optional[str]]],
                  metadata: Optional[Sequence[Metadata]], collection: Optional[str],
                  request_ids: Optional[Sequence[Optional[bytes]]], **more: Any) -> List[int]:
        table = rows(vectors, self.dim)
        lengths(table.count, tags=tags, keys=keys, metadata=metadata, request_ids=request_ids)
        if table.count == 0:
            if self._is_closed:
                raise ClosedError(_CLOSED)
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
        body: Dict[str, Any] = {"batch": [values[i:i + self.dim] for i in range(0, len(values), self.dim)], **more}
        if tags is not None:
            body["tags"] = [whole(tag, "tags", _U64) for tag in tags]
        if keys is not None:
            body["keys"] = [None if key is None else _name(key, "key") for key in keys]
        if metadata is not None:
            made = [_metadata(one) for one in metadata]
            body["texts"] = [one.get("text") for one in made]
            body["metadata_base64"] = [one.get("metadata_base64") for one in made]
        if request_ids is not None:
            body["request_ids"] = [None if one is None else _request(one) for one in request_ids]
        if collection is not None:
            body["collection"] = _name(collection, "collection")
        return [int(i) for i in self._json("POST", "/v1/vectors/batch-insert", body)["ids"]]

    def supersede(self, record: int, vector_: Vector, *, metadata: Metadata = None) -> int:
        body: Dict[str, Any] = {"old_record_id": self._id(record),
                                "new_vector": list(_floats(vector(vector_, self.dim)))}
        body["metadata_base64"] = _base64(encode(metadata))
        return int(self._json("POST", "/v1/memory/consolidate", body)["new_record_id"])

    def _id(self, record: Union[int, str]) -> int:
        """The id of a record, asked for where its key is given."""
        return int(self._get(record)[0]["id"]) if isinstance(record, str) else whole(record, "record", _U64)

    @staticmethod
    def _which(record: Union[int, str]) -> Dict[str, Any]:
        return {"key": record} if isinstance(record, str) else {"id": whole(record, "record", _U64)}

    def soft_delete(self, record: Union[int, str]) -> None:
        self._json("POST", "/v1/soft-delete", self._which(record))

    def delete(self, record: Union[int, str]) -> None:
        self._json("POST", "/v1/delete", self._which(record))

    def set_metadata(self, record: Union[int, str], metadata: Metadata) -> None:
        made = encode(metadata)
        self._ask("DELETE" if made is None else "PATCH", f"/v1/records/{self._id(record)}/metadata", made,
                  kind="application/octet-stream", is_safe=True)

    def set_tag(self, record: Union[int, str], tag: int) -> None:
        self._json("PATCH", f"/v1/records/{self._id(record)}/tag", {"tag": whole(tag, "tag", _U64)}, is_safe=True)

    def meta_set(self, key: str, value: Metadata) -> None:
        body = {"key": _name(key, "key"), "value_base64": _base64(encode(value) or b"")}
        self._json("POST", "/v1/memory/meta/set", body, is_safe=True)

    def meta_delete(self, key: str) -> None:
        self._json("POST", "/v1/memory/meta/delete", {"key": _name(key, "key")})

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
            parse_moment(at)
        if at is not None or self._at is not None:
            body["as_of"] = str(at if at is not None else self._at)
        answer = self._json("POST", "/v1/search", body, is_safe=True)
        hits = []
        for hit in answer["results"]:
            raw = int(hit["raw_score"])
            hits.append({"id": int(hit["id"]), "score": raw / 4294967296 if raw else 0, "raw_score": raw})
        return hits

    def _get(self, record: Union[int, str], collection: Optional[str] = None) -> Tuple[Dict[str, Any],
                                                                                      Optional[bytes]]:
        """The record as the node shows it, and the bytes of its metadata."""
        path = (self._read("/v1/records", key=record, collection=collection) if isinstance(record, str)
                else self._read(f"/v1/records/{whole(record, 'record', _U64)}"))
        text = self._ask("GET", path).decode()
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

    def get(self, record: Union[int, str], *, collection: Optional[str] = None) -> Dict[str, Any]:
        shown, metadata = self._get(record, collection)
        return {"id": int(shown["id"]), "vector": [float(x) for x in shown["vector"]], "tag": int(shown["tag"]),
                "key": shown.get("key"), "metadata": decode(metadata), "live": shown["live"]}

    def get_metadata(self, record: Union[int, str]) -> Optional[bytes]:
        return self._get(record)[1]

    def meta_get(self, key: str) -> Optional[bytes]:
        answer = self._json("GET", self._read("/v1/memory/meta/get", key=_name(key, "key")))
        if "value_base64" in answer:
            return base64.b64decode(answer["value_base64"])
        value = answer.get("value")
        return None if value is None else str(value).encode()

    def get_node(self, node: int) -> Optional[Dict[str, Any]]:
        try:
            shown = self._json("GET", self._read(f"/v1/graph/node/{whole(node, 'node', _U64)}"))
        except NotFoundError:
            return None
        return {"id": node, "kind": shown["kind"], "record": shown["record_id"]}

    def nodes(self, kind: Optional[int] = None, *, collection: Optional[str] = None) -> List[Dict[str, Any]]:
        path = self._read("/v1/graph/nodes", kind=kind, collection=collection)
        return [{"id": shown["node_id"], "kind": shown["kind"], "record": shown["record_id"]}
                for shown in self._json("GET", path)["nodes"]]

    def edges(self, node: int, *, incoming: bool = False) -> List[Dict[str, int]]:
        path = self._read(f"/v1/graph/edges/{whole(node, 'node', _U64)}", incoming=1 if incoming else None)
        return [{"id": shown["edge_id"], "from": shown.get("from_node", node), "to": shown["to_node"],
                 "kind": shown["kind"]} for shown in self._json("GET", path)["edges"]]

    def collections(self) -> List[str]:
        return [shown["name"] for shown in self._json("GET", self._read("/v1/namespaces"))["collections"]]

    # ---- the store as a whole ----

    def info(self) -> Dict[str, Any]:
        proof = self._proof()
        made = {"dim": self.dim, "height": proof["committed_height"], "state_root": proof["final_state_hash"],
                "record_live": proof["record_count"], "record_slots": proof["record_slots"],
                "node_live": proof["node_count"], "edge_live": proof["edge_count"],
                **{name: proof[name] for name in ("commits", "history", "log_id")}}
        if self._at is None:
            made["status"] = self._health()["status"]
        return made

    def _proof(self) -> Dict[str, Any]:
        return dict(self._json("GET", self._read("/v1/proof/state")))

    def record_count(self) -> int:
        return int(self._proof()["record_count"])

    def state_root(self) -> str:
        return str(self._proof()["final_state_hash"])

    def snapshot(self, path: Any = None) -> str:
        if self._at is not None:
            raise UnsupportedError("a node writes snapshots of now: valori-snapshot --at makes one of then")
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
        if self._at is not None:
            raise UnsupportedError("a store that was opened to be read is not restored: open it to write")
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
        shown = self._json("GET", "/v1/proof/verify" + ("" if expect is None else "?" + urlencode({"expect": expect})))
        log, replay, finding = shown["log"], shown["replay"], shown["finding"] or {}
        proven = {"state": " state", "history and state": " history and state"}.get(shown.get("proven", ""), "")
        return judged({
            "verdict": shown["verdict"] + proven, "is_snapshot": int(log["snapshot"] == "itself"),
            "snapshot_used": {"base": 1, "compared": 2}.get(log["snapshot"], 0),
            "base_height": int(log["base_height"]), "height": int(replay["height"]), "commits": int(replay["commits"]),
            "time_ms": _time(replay["time"]), "torn_size": int(log["torn_size"]), "segments": int(log["segments"]),
            "log_id": log["id"], "state_root": replay["state_hash"],
            "tree_root": "0" * 64 if replay["chain_head"] is None else replay["chain_head"].split(":")[2],
            "fault_offset": _maybe(finding.get("offset")), "fault_event": _maybe(finding.get("event")),
            "fault_commit": _maybe(finding.get("commit")),
            "fault_time_ms": _time(finding["time"]) if "time" in finding else None,
            "fault_rewrite": int(finding.get("type") == "content"),
            "expect_reached": int("expected_at_height" in shown),
            "expect_height": _maybe(shown.get("expected_at_height")), "fault_path": finding.get("path", ""),
            "sentence": shown["sentence"], "note": shown.get("note", "")}, check)

    def events(self, since: int = 0, follow: bool = False) -> Iterator[Dict[str, Any]]:
        whole(since, "since", _U64)
        if self._is_closed:
            raise ClosedError(_CLOSED)
        return self._events(since, follow)

    def _events(self, since: int, follow: bool) -> Iterator[Dict[str, Any]]:
        while True:
            asked = "/v1/timeline?" + urlencode({"since": since, "limit": _PAGE})
            lines = self._ask("GET", asked, accept="application/x-ndjson").splitlines()
            for line in lines:
                shown = self._parse(line)
                if "error" in shown:
                    raise _CODES.get(shown.get("code", ""), ConnectionError)(f"{self.remote}: {shown['error']}")
                since = int(shown["event"]) + 1
                yield _event(shown)
            if len(lines) == _PAGE:
                continue
            if not follow:
                return
            time.sleep(0.1)

    def as_of(self, moment: Moment) -> "RemoteValori":
        if self._is_closed:
            raise ClosedError(_CLOSED)
        return RemoteValori(remote=self.remote, token=self._token, timeout=self._timeout, at=moment)


_PAGE = 1000  # events that are asked for at once


def _maybe(number: Any) -> Optional[int]:
    return None if number is None else int(number)


def _time(text: str) -> int:
    """Milliseconds, of a time as a node writes it."""
    if text.startswith("@"):
        return int(text[1:])
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


def _event(shown: Dict[str, Any]) -> Dict[str, Any]:
    """An event as events() of an embedded store gives it."""
    op = shown["op"]
    made = {"event": int(shown["event"]), "commit": int(shown["commit"]), "time_ms": _time(shown["time"]), "op": op,
            "id": int(shown.get("id", 0))}
    if op == "collection_create":
        made["key"] = shown["collection"]
    elif "key" in shown:
        made["key"] = shown["key"]
    for name in ("tag", "kind", "from", "to", "parameter", "value"):
        if name in shown:
            made[name] = int(shown[name])
    if op == "insert":
        made["collection"] = int(shown.get("collection", 0))
        made["vector"] = [part / 65536 for part in shown["vector_q16"]]
    if op in ("insert", "set_metadata", "meta"):
        made["metadata"] = (base64.b64decode(shown["metadata_base64"]) if "metadata_base64" in shown
                            else None if shown.get("metadata") is None else shown["metadata"].encode())
    if op in ("node", "node_set_record"):
        made["record"] = _maybe(shown.get("record"))
    return made


def _name(text: Any, what: str) -> str:
    if not isinstance(text, str):
        raise ValidationError(f"{what}: {type(text).__name__}: want a str")
    return text


def _request(request_id: bytes) -> str:
    if not isinstance(request_id, (bytes, bytearray)) or len(request_id) != A.VALORI_REQUEST_SIZE:
        raise ValidationError(f"request_id: want {A.VALORI_REQUEST_SIZE} bytes, such as uuid.uuid4().bytes")
    return bytes(request_id).hex()
