"""Vectors of any kind as addresses for the library, copied only when they are lists.

A buffer (numpy, array.array, memoryview) of 4-byte floats holds components; one of 4-byte integers holds them as
Q16.16, as the store does, and passes exactly. Lists become array('f').
"""
import ctypes as C
from array import array
from typing import Any, NamedTuple, Optional, Sequence, Union

from ._abi import VALORI_F32, VALORI_Q16
from .errors import DimensionError, ValidationError

Vector = Union[Sequence[float], "array[float]", Any]
Vectors = Union[Sequence[Vector], "array[float]", Any]

_KINDS = {"f": VALORI_F32, "i": VALORI_Q16, "l": VALORI_Q16}
_char = C.c_char


class Rows(NamedTuple):
    """count rows of dim components at address; keep holds the memory."""

    address: int
    count: int  # type: ignore[assignment]
    dim: int
    kind: int
    keep: Any


class _Py_buffer(C.Structure):
    _fields_ = [("buf", C.c_void_p), ("obj", C.py_object), ("len", C.c_ssize_t), ("itemsize", C.c_ssize_t),
                ("readonly", C.c_int), ("ndim", C.c_int), ("format", C.c_char_p), ("shape", C.c_void_p),
                ("strides", C.c_void_p), ("suboffsets", C.c_void_p), ("internal", C.c_void_p)]


def _address(view: memoryview) -> Any:
    """The address of contiguous memory and what keeps it there."""
    if view.nbytes == 0:
        return 0, view
    if not view.readonly:
        hold = _char.from_buffer(view)
        return C.addressof(hold), hold
    # ctypes gives no address of what it may not write to; the memoryview, which is kept, holds the memory.
    buffer = _Py_buffer()
    C.pythonapi.PyObject_GetBuffer(C.py_object(view), C.byref(buffer), C.c_int(0))
    address = buffer.buf
    C.pythonapi.PyBuffer_Release(C.byref(buffer))
    return address, view


def _buffer(data: Any) -> Optional[memoryview]:
    try:
        return memoryview(data)
    except TypeError:
        return None
    except (ValueError, BufferError) as error:
        raise ValidationError(f"vector: {type(data).__name__}: {error}: want float32") from None


def _kind(view: memoryview, data: Any) -> int:
    form = view.format.lstrip("@=")
    if form[:1] == "<" and array("H", b"\1\0")[0] == 1:
        form = form[1:]
    kind = _KINDS.get(form) if view.itemsize == 4 else None
    if kind is None:
        name = getattr(getattr(data, "dtype", None), "name", None) or f"elements of type {view.format!r}"
        raise ValidationError(f"vector: {name}: want float32, or int32 as Q16.16: convert with "
                              "array.astype('float32'), or give a list")
    if not view.c_contiguous:
        raise ValidationError("vector: the array is not contiguous: give numpy.ascontiguousarray(array)")
    return kind


def _dimension(found: int, dim: int, row: str = "") -> DimensionError:
    return DimensionError(f"{row}vector: has {found} components, the store's have {dim}")


def _floats(data: Any, row: str = "") -> "array[float]":
    if isinstance(data, (str, bytes, dict, set, frozenset)) or not hasattr(data, "__iter__"):
        raise ValidationError(f"{row}vector: {type(data).__name__}: want a list of numbers, or a buffer of float32")
    try:
        return array("f", data)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValidationError(f"{row}vector: {error}: want a list of numbers") from None


def vector(data: Vector, dim: int) -> Rows:
    """One vector of dim components. ValidationError, DimensionError."""
    if type(data) is not list:
        view = _buffer(data)
        if view is not None:
            kind = _kind(view, data)
            if view.ndim != 1 and not (view.ndim == 2 and view.shape[0] == 1):  # type: ignore[index]
                raise ValidationError(f"vector: has {view.ndim} dimensions: want one")
            if view.nbytes != 4 * dim:
                raise _dimension(view.nbytes // 4, dim)
            address, keep = _address(view)
            return Rows(address, 1, dim, kind, keep)
    made = _floats(data)
    if len(made) != dim:
        raise _dimension(len(made), dim)
    return Rows(made.buffer_info()[0], 1, dim, VALORI_F32, made)


def rows(data: Vectors, dim: int) -> Rows:
    """A table of vectors with dim components each: a 2-D buffer as it lies, or rows, copied together."""
    view = None if isinstance(data, (list, tuple)) else _buffer(data)
    if view is not None:
        kind = _kind(view, data)
        if view.ndim == 1 and view.shape[0] % dim == 0 and isinstance(data, array):  # type: ignore[index]
            count, found = view.shape[0] // dim, dim  # type: ignore[index]
        elif view.ndim == 2:
            count, found = view.shape  # type: ignore[misc]
        else:
            raise ValidationError(f"vectors: the array has {view.ndim} dimension{'s' * (view.ndim != 1)}: want rows "
                                  f"of {dim}: array.reshape(-1, {dim})")
        if found != dim and count > 0:
            raise _dimension(found, dim)
        address, keep = _address(view)
        return Rows(address, count, dim, kind, keep)
    if isinstance(data, (str, bytes, dict)) or not hasattr(data, "__iter__"):
        raise ValidationError(f"vectors: {type(data).__name__}: want rows, or a buffer of float32 with two dimensions")
    made: "Optional[array[Any]]" = None
    kind, count = VALORI_F32, 0
    for count, row in enumerate(data, 1):
        view = None if type(row) is list else _buffer(row)
        this = VALORI_F32 if view is None else _kind(view, row)
        if made is None:
            kind, made = this, array("f" if this == VALORI_F32 else "i")
        if this != kind:
            raise ValidationError(f"row {count - 1}: float32 and int32 rows are mixed: give one kind")
        if view is None:
            part = _floats(row, f"row {count - 1}: ")
            if len(part) != dim:
                raise _dimension(len(part), dim, f"row {count - 1}: ")
            made += part
        else:
            if view.ndim != 1 or view.nbytes != 4 * dim:
                raise _dimension(view.nbytes // 4, dim, f"row {count - 1}: ")
            made.frombytes(view.cast("B"))
    if made is None:
        return Rows(0, 0, dim, VALORI_F32, None)
    return Rows(made.buffer_info()[0], count, dim, kind, made)
