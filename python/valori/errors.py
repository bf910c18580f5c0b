"""Exceptions: one class for every code of the library, all of them children of ValoriError.

The message is the library's own, one line "object: place: fact". What a remote node refuses comes as the same class
as from an embedded store.
"""
import builtins
from typing import Any, Dict, Optional, Type

__all__ = [
    "ValoriError", "ValidationError", "DimensionError", "RangeError", "DuplicateError", "TooLongError",
    "ConflictError", "NotFoundError", "MismatchError", "OtherLogError", "IntegrityError", "DamagedError",
    "NotOursError", "MissingError", "TamperDetected", "SystemCallError", "OutOfMemoryError", "PoisonedError",
    "CapacityError", "LockedError", "NewerError", "UnknowableError", "ClosedError", "ForkedError", "LibraryError",
    "UnsupportedError", "ConnectionError", "TimeoutError", "AuthenticationError", "ProtocolError", "ToolError",
]


class ValoriError(Exception):
    """Anything that went wrong.

    Attributes: code (a valori_code, 0 when the library was not asked), errno (of a system call, or 0), offset (byte in
    the file that the message names, or None), event (event, component or row that is at fault, or None).
    """

    code = 0

    def __init__(self, message: str = "", *, errno: int = 0, offset: Optional[int] = None,
                 event: Optional[int] = None) -> None:
        super().__init__(message)
        self.message = message
        self.errno = errno
        self.offset = offset
        self.event = event

    def __str__(self) -> str:  # KeyError, a parent of some, would show its repr
        return self.message

    def __reduce__(self) -> Any:
        return (_revive, (type(self), self.message, self.errno, self.offset, self.event))


def _revive(kind: Type[ValoriError], message: str, errno: int, offset: Optional[int],
            event: Optional[int]) -> ValoriError:
    return kind(message, errno=errno, offset=offset, event=event)


class ValidationError(ValoriError, ValueError):
    """Input that makes no sense; nothing was changed."""

    code = 10


class DimensionError(ValidationError):
    """A vector of another length than the store's."""

    code = 11


class RangeError(ValidationError):
    """NaN, an infinity, or a component or norm out of range; event is the component."""

    code = 12


class DuplicateError(ValidationError):
    """The key is taken."""

    code = 13


class TooLongError(ValidationError):
    """A key, name, metadata, batch or count above its limit."""

    code = 14


class ConflictError(ValidationError):
    """The request id was seen before with other content."""

    code = 15


class NotFoundError(ValoriError, KeyError):
    """No such record, node, edge, key, collection or file."""

    code = 20


class IntegrityError(ValoriError):
    """Data is not what it should be."""


class MismatchError(IntegrityError):
    """A hash differs from the one expected."""

    code = 30


class OtherLogError(IntegrityError):
    """It belongs to another log, or to a fork of this one."""

    code = 31


class DamagedError(IntegrityError):
    """Checksums are wrong; offset and event say where."""

    code = 40


class NotOursError(IntegrityError):
    """Neither an event log nor a snapshot."""

    code = 41


class MissingError(IntegrityError):
    """Acknowledged commits or whole segments are not there."""

    code = 42


class TamperDetected(IntegrityError):
    """Checksums are right, content is not: somebody rewrote it. Raised by verify(..., check=True)."""


class SystemCallError(ValoriError):
    """A system call failed; errno says how."""

    code = 50


class OutOfMemoryError(ValoriError, MemoryError):
    """No memory was left."""

    code = 51


class PoisonedError(ValoriError):
    """An earlier write or sync failed: close the store and open it again."""

    code = 52


class CapacityError(ValoriError):
    """A capacity is reached; a node answers 507."""

    code = 60


class LockedError(ValoriError):
    """Another process writes to this store."""

    code = 70


class NewerError(ValoriError):
    """The format is newer than this library."""

    code = 80


class UnknowableError(ValoriError):
    """It needs content that was trimmed away or erased."""

    code = 90


class ClosedError(ValoriError, ValueError):
    """The store, view or client is closed."""


class ForkedError(ValoriError):
    """The store was opened before a fork(): open it again in this process."""


class LibraryError(ValoriError, ImportError):
    """libvalori was not found, or is another version."""


class UnsupportedError(ValoriError, NotImplementedError):
    """This kind of store cannot do it; the message says what can."""


class ConnectionError(ValoriError, builtins.ConnectionError):
    """The node did not answer, or not as a node does."""


class TimeoutError(ConnectionError, builtins.TimeoutError):
    """The node did not answer in time."""


class AuthenticationError(ValoriError):
    """The node wants another token."""


class ProtocolError(ValoriError):
    """An embedder gave what is no vector, or a document that is none."""


class ToolError(ValoriError):
    """A tool left with a status that is not 0, which is in status."""

    def __init__(self, message: str = "", *, status: int = 0, **others: Any) -> None:
        super().__init__(message, **others)
        self.status = status


BY_CODE: Dict[int, Type[ValoriError]] = {
    kind.code: kind
    for kind in (ValidationError, DimensionError, RangeError, DuplicateError, TooLongError, ConflictError,
                 NotFoundError, MismatchError, OtherLogError, DamagedError, NotOursError, MissingError,
                 SystemCallError, OutOfMemoryError, PoisonedError, CapacityError, LockedError, NewerError,
                 UnknowableError)
}
