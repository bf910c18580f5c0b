#!/usr/bin/env python3
"""backend.py - makes the wheel, with libvalori.so inside, from nothing but the standard library.

The build backend that pyproject.toml names, so that pip needs no network; and a program that make python runs. The
same tree and library give the same bytes. The library is the file that VALORI_LIBRARY names, else ../build's.

usage: backend.py DIRECTORY [LIBRARY]      writes the wheel there and prints its path
"""
import base64
import hashlib
import os
import re
import sys
import sysconfig
import zipfile
from typing import Any, Dict, List, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = {"valori-mcp": "valori.mcp:main"}


def version() -> str:
    """As the types say, which were made from valori.h."""
    with open(os.path.join(HERE, "valori", "_abi.py")) as file:
        return re.search(r'^VALORI_VERSION = "(.*)"$', file.read(), re.M).group(1)  # type: ignore[union-attr]


def library() -> str:
    """The shared library that goes into the wheel."""
    named = os.environ.get("VALORI_LIBRARY") or os.path.join(HERE, "..", "build", "libvalori.so")
    if not os.path.exists(named):
        raise SystemExit(f"{named}: is not there: run make first, or name the library in VALORI_LIBRARY")
    return named


def metadata() -> str:
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    return ("Metadata-Version: 2.1\nName: valori\n" f"Version: {version()}\n"
            "Summary: A deterministic, event-sourced vector database and knowledge graph\n"
            "License: Apache-2.0\nRequires-Python: >=3.8\n"
            "Description-Content-Type: text/markdown\n\n" + readme)


def files() -> Dict[str, bytes]:
    """Everything but the record, by its name in the wheel."""
    made = {}
    names = ["valoricore_ffi.py"] + ["valori/" + name for name in sorted(os.listdir(os.path.join(HERE, "valori")))
                                     if name.endswith(".py") or name == "py.typed"]
    for name in names:
        with open(os.path.join(HERE, name), "rb") as file:
            made[name] = file.read()
    with open(library(), "rb") as file:
        made["valori/libvalori.so." + version().split(".")[0]] = file.read()
    info = f"valori-{version()}.dist-info/"
    made[info + "METADATA"] = metadata().encode()
    made[info + "WHEEL"] = f"Wheel-Version: 1.0\nGenerator: valori\nRoot-Is-Purelib: false\nTag: {tag()}\n".encode()
    scripts = "".join(f"{name} = {target}\n" for name, target in SCRIPTS.items())
    made[info + "entry_points.txt"] = f"[console_scripts]\n{scripts}".encode()
    return made


def tag() -> str:
    """For any Python 3 on this kind of machine."""
    return "py3-none-" + re.sub(r"[^a-zA-Z0-9]", "_", sysconfig.get_platform())


def build_wheel(directory: str, settings: Optional[Any] = None, metadata_directory: Optional[str] = None) -> str:
    """PEP 517: writes the wheel into directory and returns its name."""
    name, record = f"valori-{version()}-{tag()}.whl", ""
    partial = os.path.join(directory, name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as wheel:
        def put(path: str, data: bytes) -> None:
            about = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            about.external_attr = 0o100644 << 16
            about.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(about, data)

        for path, data in files().items():
            put(path, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(data)}\n"
        path = f"valori-{version()}.dist-info/RECORD"
        put(path, (record + path + ",,\n").encode())
    os.replace(partial, os.path.join(directory, name))
    return name


def build_sdist(directory: str, settings: Optional[Any] = None) -> str:
    """PEP 517; the sources are the repository."""
    raise SystemExit("valori: there is no sdist: the package is made from the repository, with make python")


def get_requires_for_build_wheel(settings: Optional[Any] = None) -> List[str]:
    """PEP 517: nothing."""
    return []


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    if len(sys.argv) == 3:
        os.environ["VALORI_LIBRARY"] = sys.argv[2]
    print(os.path.join(sys.argv[1], build_wheel(sys.argv[1])))
