"""libvalori through ctypes: finds it, checks its version, and gives every public function its types.

Looked for, in this order: the file that VALORI_LIBRARY names, libvalori.so beside this file, the system's libraries.
"""
import ctypes as C
import ctypes.util
import os
from typing import Any, Callable, List, NoReturn, Optional

from . import _abi
from ._abi import *  # noqa: F401,F403  the names of valori.h
from ._abi import FUNCTIONS, INITS, VALORI_NONE, VALORI_VERSION, valori_error
from .errors import BY_CODE, LibraryError, ValoriError

generation = 0  # of this process: another one after each fork


def _forked() -> None:
    global generation
    generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _find() -> str:
    named = os.environ.get("VALORI_LIBRARY")
    if named:
        return named
    here = os.path.dirname(os.path.abspath(__file__))
    for name in ("libvalori.so." + str(_abi.VALORI_VERSION_MAJOR), "libvalori.so", "libvalori.dylib"):
        if os.path.exists(os.path.join(here, name)):
            return os.path.join(here, name)
    found = ctypes.util.find_library("valori")
    if found:
        return found
    raise LibraryError("libvalori: is not beside the package and not among the system's libraries: "
                       "install it (make install), or name its file in VALORI_LIBRARY")


def load(path: Optional[str] = None) -> Any:
    """The library with the types of every function set. LibraryError: not there, or another version."""
    path = path or _find()
    try:
        library = C.CDLL(path)
    except OSError as error:
        raise LibraryError(f"libvalori: {path}: cannot be loaded: {error}: VALORI_LIBRARY names the file to use") \
            from None
    for name, (result, arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            break  # the version says why
        function.restype, function.argtypes = result, arguments
    else:
        name = ""
    version = library.valori_version().decode() if hasattr(library, "valori_version") else "unknown"
    if name or version.split(".")[:2] != VALORI_VERSION.split(".")[:2]:
        lacks = f", and lacks {name}" if name else ""
        raise LibraryError(f"libvalori: {path}: is version {version}{lacks}; this package is for version "
                           f"{VALORI_VERSION}: install the library of that version, or name it in VALORI_LIBRARY")
    return library


lib: Any = load()


def init(struct: Any, **members: Any) -> Any:
    """A struct as its VALORI_..._INIT sets it, with some members."""
    made = struct()
    if struct in INITS:
        for name, value in INITS[struct].items():
            setattr(made, name, value)
    elif struct._fields_[0][0] == "size":
        made.size = C.sizeof(struct)
    for name, value in members.items():
        setattr(made, name, value)
    return made


def fail(code: int, error: valori_error, prefix: str = "") -> NoReturn:
    """Raises what the library refused."""
    message = error.message.decode("utf-8", "replace")
    kind = BY_CODE.get(code, ValoriError)
    raise kind(prefix + (message or lib.valori_code_name(code).decode()), errno=error.system_errno,
               offset=None if error.offset == VALORI_NONE else error.offset,
               event=None if error.event == VALORI_NONE else error.event)


def text(address: Optional[int], size: int) -> Optional[bytes]:
    """Borrowed bytes, copied; None where there are none."""
    return None if address is None else C.string_at(address, size)


def hash_text(value: Any) -> str:
    """64 hexadecimal digits of a valori_hash."""
    return bytes(value.bytes).hex()
