"""Valori: a deterministic, event-sourced vector database and knowledge graph.

Valori(path) is a store in this process, Valori(remote=URL) a node on the network; see Valori for both.
"""
from ._abi import VALORI_VERSION as __version__
from ._base import Valori
from ._c import lib as _lib
from ._local import events, verify
from .engine import ValoriEngine
from .errors import *  # noqa: F401,F403
from .errors import __all__ as _errors
from .kinds import (EDGE_CONTRADICTS, EDGE_PARENT_OF, EDGE_REFERS_TO, EDGE_SUPERSEDES, NODE_CHUNK, NODE_DOCUMENT,
                    NODE_RECORD)
from .protocol import ProtocolClient

__all__ = ["Valori", "ValoriEngine", "ProtocolClient", "events", "verify", "NODE_RECORD", "NODE_DOCUMENT", "NODE_CHUNK", "EDGE_PARENT_OF",
           "EDGE_REFERS_TO", "EDGE_SUPERSEDES", "EDGE_CONTRADICTS", "__version__"]
__all__ += [name for name in _errors if name not in ("ConnectionError", "TimeoutError")]
