"""valori-mcp: a memory for agents, as a Model Context Protocol server over standard input and output.

usage: valori-mcp [--path=DIR | --remote=URL] [--dim=N] [--embed=MODULE:FUNCTION]

The memory is the store in DIR (./valori_memory), or a node, whose token is VALORI_AUTH_TOKEN. FUNCTION turns a text
into a vector. Without it texts are compared by the words and the runs of three letters they have in common, in N (256)
components: deterministic, and no more than that. One JSON-RPC message per line.
"""
import hashlib
import importlib
import json
import math
import os
import re
import sys
from typing import IO, Any, Callable, Dict, List, Optional

from . import __version__
from ._base import Valori
from .errors import NotFoundError, ValidationError, ValoriError
from .kinds import EDGE_CONTRADICTS, EDGE_SUPERSEDES
from .protocol import ProtocolClient

PROTOCOLS = ("2025-06-18", "2025-03-26", "2024-11-05")


def hashing_embedder(dim: int) -> Callable[[str], List[float]]:
    """Texts as sums of signed places of their words and trigrams, of length 1; the same on every machine.

    >>> a, b = map(hashing_embedder(64), ("the red house", "The red HOUSE!"))
    >>> a == b, len(a)
    (True, 64)
    """
    def embed(text: str) -> List[float]:
        counts = [0] * dim
        for word in re.findall(r"\w+", text.lower()):
            padded = f" {word} "
            for feature, weight in [(word, 3)] + [(padded[i:i + 3], 1) for i in range(len(padded) - 2)]:
                digest = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(),
                                        "little")
                counts[(digest >> 1) % dim] += weight if digest & 1 else -weight
        # Integers until one division and one square root, which are exact to the last bit everywhere.
        norm = math.sqrt(sum(count * count for count in counts))
        return [count / norm if norm else 0.0 for count in counts]
    return embed


def _schema(needed: List[str], **members: Dict[str, Any]) -> Dict[str, Any]:
    return {"type": "object", "properties": members, "required": needed, "additionalProperties": False}


_ID = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 1, "maximum": 1000}

TOOLS: Dict[str, Any] = {
    "memory_write": ("Remembers a text; with document, as another part of that one.", _schema(
        ["text"], text=_TEXT, metadata={"type": "object"}, document=_ID)),
    "memory_recall": ("The k memories nearest to a text, with what it takes to prove the answer later.", _schema(
        ["text"], text=_TEXT, k=_COUNT)),
    "memory_graph_recall": ("The same, and the memories of the same documents.", _schema(
        ["text"], text=_TEXT, k=_COUNT, depth={"type": "integer", "minimum": 1, "maximum": 10})),
    "memory_why": ("Where a memory comes from: its events, its document, what it replaced or what replaced it.",
                   _schema(["record"], record=_ID)),
    "memory_timeline": ("What happened, from an event number on.", _schema([], since=_ID, limit=_COUNT)),
    "memory_forget": ("Hides a memory, or deletes it for good.", _schema(
        ["record"], record=_ID, for_good={"type": "boolean"})),
    "memory_correct": ("Puts another text in the place of a memory; the old one stays known as replaced.", _schema(
        ["record", "text"], record=_ID, text=_TEXT, metadata={"type": "object"})),
}


class Memory:
    """What the tools do."""

    def __init__(self, client: ProtocolClient) -> None:
        self.client = client
        self.db: Valori = client.db

    def _proof(self) -> Dict[str, Any]:
        info = self.db.info()
        return {name: info[name] for name in ("height", "state_root", "history", "log_id") if name in info}

    def memory_write(self, text: str, metadata: Optional[Dict[str, Any]] = None,
                     document: Optional[int] = None) -> Dict[str, Any]:
        return dict(self.client.upsert_text(text, metadata=metadata, attach_to_document_node=document),
                    **self._proof())

    def memory_recall(self, text: str, k: int = 5) -> Dict[str, Any]:
        # The roots before and after: when they are equal, the answer belongs to that state.
        for _ in range(10):
            proof = self._proof()
            hits = self.client.search_text(text, k)
            if self._proof()["state_root"] == proof["state_root"]:
                break
        return {"results": [self._shown(hit) for hit in hits], "query": text, "k": k, **proof}

    @staticmethod
    def _shown(hit: Dict[str, Any]) -> Dict[str, Any]:
        # A raw score may be beyond what JSON readers keep exactly.
        shown = dict(hit, raw_score=str(hit["raw_score"]))
        if isinstance(shown.get("metadata"), bytes):
            shown["metadata"], shown["text"] = shown["metadata"].hex(), None
        return shown

    def memory_graph_recall(self, text: str, k: int = 5, depth: int = 2) -> Dict[str, Any]:
        answer = self.memory_recall(text, k)
        wanted = {hit["id"] for hit in answer["results"]}
        by_record: Dict[int, int] = {}
        parents: Dict[int, List[int]] = {}
        for node in self.db.nodes():
            if node["record"] is not None:
                by_record.setdefault(node["record"], node["id"])
            for edge in self.db.edges(node["id"]):
                parents.setdefault(edge["to"], []).append(node["id"])
        related = []
        for hit in answer["results"]:
            start = by_record.get(hit["id"])
            for root in [] if start is None else [start] + parents.get(start, []):
                for node_id in self.db.walk(root, depth - 1 if root != start else depth):
                    found = self.db.get_node(node_id)
                    if found is None or found["record"] is None or found["record"] in wanted:
                        continue
                    wanted.add(found["record"])
                    try:
                        record = self.db.get(found["record"])
                    except NotFoundError:
                        continue
                    if record["live"]:
                        metadata = record["metadata"]
                        related.append({"id": record["id"], "node": node_id, "because_of": hit["id"],
                                        "text": metadata.get("text") if isinstance(metadata, dict) else str(metadata)})
        return dict(answer, related=related)

    def memory_why(self, record: int) -> Dict[str, Any]:
        shown = self.db.get(record)
        nodes = {node["id"]: node for node in self.db.nodes()}
        mine = {node["id"] for node in nodes.values() if node["record"] == record}
        around = []
        for node in nodes:
            for edge in self.db.edges(node):
                if node in mine or edge["to"] in mine:
                    other = nodes.get(edge["to"] if node in mine else node, {})
                    around.append({"edge": edge["id"], "kind": edge["kind"],
                                   "direction": "to" if node in mine else "from", "node": other.get("id"),
                                   "record": other.get("record")})
        names = ("insert", "soft_delete", "delete", "set_metadata", "set_tag")
        events = [{name: event[name] for name in ("event", "time_ms", "op")} for event in self.db.events()
                  if event["id"] == record and event["op"] in names]
        metadata = shown["metadata"]
        return {"record": record, "live": shown["live"], "tag": shown["tag"], "events": events, "edges": around,
                "metadata": metadata.hex() if isinstance(metadata, bytes) else metadata,
                "superseded_by": [edge["record"] for edge in around
                                  if edge["kind"] == EDGE_SUPERSEDES and edge["direction"] == "from"],
                "contradicts": [edge["record"] for edge in around if edge["kind"] == EDGE_CONTRADICTS],
                **self._proof()}

    def memory_timeline(self, since: int = 0, limit: int = 100) -> Dict[str, Any]:
        told: List[Dict[str, Any]] = []
        for event in self.db.events(since):
            if len(told) == limit:
                return {"events": told, "next": event["event"]}
            told.append({name: event[name] for name in ("event", "time_ms", "op", "id")})
        return {"events": told, "next": None}

    def memory_forget(self, record: int, for_good: bool = False) -> Dict[str, Any]:
        (self.db.delete if for_good else self.db.soft_delete)(record)
        return {"record": record, "for_good": for_good, **self._proof()}

    def memory_correct(self, record: int, text: str, metadata: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        made = self.db.supersede(record, self.client._embed(text), metadata=dict(metadata or {}, text=text))
        return {"record": made, "memory_id": f"rec:{made}", "supersedes": record, **self._proof()}


def _check(arguments: Any, schema: Dict[str, Any]) -> Dict[str, Any]:
    """The arguments of a tool, as its schema wants them. ValidationError."""
    if not isinstance(arguments, dict):
        raise ValidationError("arguments: want an object")
    kinds = {"integer": int, "string": str, "object": dict, "boolean": bool}
    for name in schema["required"]:
        if name not in arguments:
            raise ValidationError(f"{name}: is missing")
    for name, value in arguments.items():
        wanted = schema["properties"].get(name)
        if wanted is None:
            raise ValidationError(f"{name}: unknown; there are: {', '.join(schema['properties'])}")
        if not isinstance(value, kinds[wanted["type"]]) or (wanted["type"] == "integer" and isinstance(value, bool)):
            raise ValidationError(f"{name}: want {wanted['type']}")
        if wanted["type"] == "integer" and not wanted["minimum"] <= value <= wanted.get("maximum", 2 ** 64 - 1):
            raise ValidationError(f"{name}: {value}: is out of range")
    return arguments


class Server:
    """Answers messages; what it does is in Memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def call(self, name: str, arguments: Any) -> Dict[str, Any]:
        """The result of tools/call: what a tool refuses is an answer, not a fault of the protocol."""
        try:
            made = getattr(self.memory, name)(**_check(arguments, TOOLS[name][1]))
            return {"content": [{"type": "text", "text": json.dumps(made, ensure_ascii=False)}],
                    "structuredContent": made, "isError": False}
        except ValoriError as error:
            return {"content": [{"type": "text", "text": f"{type(error).__name__}: {error}"}], "isError": True}

    def answer(self, line: str) -> Optional[Dict[str, Any]]:
        """The answer to one message; None: it wants none."""
        def fault(code: int, message: str) -> Dict[str, Any]:
            return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}

        number = None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            return fault(-32700, f"no JSON: {error}")
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return fault(-32600, "no request: want an object with a method")
        method, parameters = message["method"], message.get("params") or {}
        if "id" not in message:
            return None
        number = message["id"]
        if not isinstance(parameters, dict):
            return fault(-32602, "params: want an object")
        if method == "initialize":
            asked = parameters.get("protocolVersion")
            result: Dict[str, Any] = {
                "protocolVersion": asked if asked in PROTOCOLS else PROTOCOLS[0], "capabilities": {"tools": {}},
                "serverInfo": {"name": "valori-mcp", "version": __version__}}
        elif method == "ping":
            result = {}
        elif method == "tools/list":
            result = {"tools": [{"name": name, "description": words, "inputSchema": schema}
                                for name, (words, schema) in TOOLS.items()]}
        elif method == "tools/call":
            if parameters.get("name") not in TOOLS:
                return fault(-32602, f"there is no tool {parameters.get('name')!r}")
            result = self.call(parameters["name"], parameters.get("arguments") or {})
        else:
            return fault(-32601, f"there is no method {method!r}")
        return {"jsonrpc": "2.0", "id": number, "result": result}

    def serve(self, source: IO[str], target: IO[str]) -> None:
        """Until the end of source."""
        for line in source:
            answer = self.answer(line) if line.strip() else None
            if answer is not None:
                target.write(json.dumps(answer, ensure_ascii=False) + "\n")
                target.flush()


def main() -> int:
    """The program valori-mcp."""
    options = {"path": "valori_memory", "remote": None, "dim": "256", "embed": None}
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        if name in ("-h", "--help"):
            print(__doc__.strip())
            return 0
        if name[:2] != "--" or name[2:] not in options or not value:
            print(f"valori-mcp: {argument}: unknown; valori-mcp --help says more", file=sys.stderr)
            return 2
        options[name[2:]] = value
    try:
        dim = int(str(options["dim"]))
        if not 1 <= dim <= 32768:
            raise ValueError("--dim: must be 1 to 32768")
        embed = hashing_embedder(dim)
        if options["embed"]:
            module, _, function = str(options["embed"]).partition(":")
            embed = getattr(importlib.import_module(module), function)
        remote = options["remote"]
        client = ProtocolClient(embed, remote, os.environ.get("VALORI_AUTH_TOKEN") if remote else None,
                                path=None if remote else options["path"])
    except (ValoriError, ValueError, ImportError, AttributeError) as error:
        print(f"valori-mcp: {error}", file=sys.stderr)
        return 2
    with client:
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore
        try:
            Server(Memory(client)).serve(sys.stdin, sys.stdout)
        except (BrokenPipeError, KeyboardInterrupt):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
