#!/usr/bin/env python3
"""make_abi.py - writes valori/_abi.py, what lib/valori.h declares in the words of ctypes.

The header is regular enough to be read by a few expressions; what they do not understand stops them. Run it when the
header changed; a test compares its output with what is there, and another one the structs with those of the compiler.

usage: make_abi.py [HEADER] > valori/_abi.py
"""
import os
import re
import sys
from typing import Dict, List, Tuple

SCALARS = {
    "void": "None", "char": "C.c_char", "int": "C.c_int", "size_t": "C.c_size_t", "uint8_t": "C.c_uint8",
    "uint16_t": "C.c_uint16", "int32_t": "C.c_int32", "uint32_t": "C.c_uint32", "int64_t": "C.c_int64",
    "uint64_t": "C.c_uint64",
}
# Structs that the caller fills: their strings are Python bytes. Those of all others are addresses to read from.
GIVEN = ("valori_options", "valori_op", "valori_ref", "valori_verify_options")


class Header:
    """What the header says: constants, structs in order, functions."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
        self.constants: Dict[str, str] = {}
        self.enums: List[str] = []
        self.opaque: List[str] = []
        self.structs: List[Tuple[str, List[Tuple[str, str]]]] = []
        self.functions: List[Tuple[str, str, List[str]]] = []
        self.inits: Dict[str, List[Tuple[str, str]]] = {}
        for name, value in re.findall(r"^#define (VALORI_\w+)[ \t]+(\S.*)$", text, re.M):
            self.define(name, value.strip())
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        text = text.replace('extern "C" {', "")
        text = re.sub(r"(typedef\s+)?\benum\b\s*(\w*)\s*\{(.*?)\}\s*(\w*)\s*;", self.enum, text, flags=re.S)
        text = re.sub(r"typedef struct (\w+) \1;", self.handle, text)
        text = re.sub(r"typedef struct (\w+)\s*\{(.*?)\}\s*\1\s*;", self.struct, text, flags=re.S)
        for part in re.sub(r"[{}]", "", text).split(";"):
            if part.strip():
                self.function(" ".join(part.split()))

    def define(self, name: str, value: str) -> None:
        if value.startswith("{"):
            members = re.findall(r"\.(\w+) = ([^,}]+)", value)
            self.inits[dict(members)["size"][len("sizeof("):-1]] = members
        elif value == "UINT64_MAX":
            self.constants[name] = "0xFFFFFFFFFFFFFFFF"
        elif re.fullmatch(r'"[^"]*"|\d+', value):
            self.constants[name] = value
        else:
            raise SystemExit(f"{name}: {value}: is no constant that I know")

    def enum(self, match: "re.Match[str]") -> str:
        number = -1
        if match.group(4):
            self.enums.append(match.group(4))
        for item in match.group(3).split(","):
            if item.strip():
                name, _, value = (part.strip() for part in item.partition("="))
                number = eval(value, {}, {}) if value else number + 1  # digits and shifts
                self.constants[name] = str(number)
        return ""

    def handle(self, match: "re.Match[str]") -> str:
        self.opaque.append(match.group(1))
        return ""

    def struct(self, match: "re.Match[str]") -> str:
        name, members = match.group(1), []
        for line in match.group(2).split(";"):
            line = " ".join(line.split())
            if not line:
                continue
            callback = re.fullmatch(r"void \(\*(\w+)\)\((.*)\)", line)
            if callback:
                arguments = ", ".join(self.argument(a) for a in callback.group(2).split(","))
                members.append((callback.group(1), f"C.CFUNCTYPE(None, {arguments})"))
                continue
            base, _, first = re.match(r"((?:const )?(?:struct )?\w+)( )(.*)", line).groups()  # type: ignore
            for declarator in first.split(","):
                stars, field, size = re.fullmatch(r"\s*([* ]*)(\w+)(?:\[(\w+)\])?", declarator).groups()  # type: ignore
                kind = self.type(base + " " + stars.replace(" ", ""), strings=name in GIVEN)
                if size:
                    kind += " * " + self.constants.get(size, size)
                members.append((field, kind))
        self.structs.append((name, members))
        return ""

    def type(self, text: str, strings: bool) -> str:
        words = text.replace("*", " * ").split()
        stars = words.count("*")
        base = [w for w in words if w not in ("const", "*", "struct")][0]
        if stars == 0:
            if base in self.enums:
                return "C.c_int"
            return SCALARS.get(base, base)
        if stars == 1 and (base == "char" or (base == "uint8_t" and strings)):
            return "C.c_char_p" if strings else "C.c_void_p"
        if stars == 1 and any(name == base for name, _ in self.structs):
            return f"C.POINTER({base})"
        return "C.c_void_p"

    def argument(self, text: str) -> str:
        text, array = re.subn(r"\[\w*\]", "", text)
        words = text.replace("*", " * ").split()
        if words[-1] not in ("*", "const") and len([w for w in words if w not in ("const", "*", "struct")]) > 1:
            words.pop()  # its name
        return self.type(" ".join(words) + (" *" if array else ""), strings="char" in words)

    def function(self, text: str) -> None:
        match = re.fullmatch(r"(.*?)(valori_\w+)\((.*)\)", text)
        if not match:
            raise SystemExit(f"not understood: {text}")
        result, name, arguments = match.groups()
        kinds = [] if arguments == "void" else [self.argument(a) for a in arguments.split(",")]
        self.functions.append((name, self.type(result.strip(), strings=True), kinds))


def write(header: Header) -> str:
    """The module as text."""
    lines = ['"""What lib/valori.h declares. Written by make_abi.py: run that rather than editing this."""',
             "# fmt: off", "import ctypes as C", "from typing import Any, Dict, List, Tuple", ""]
    lines += [f"{name} = {value}" for name, value in header.constants.items()]
    for name, members in header.structs:
        lines += ["", "", f"class {name}(C.Structure):", "    _fields_ = ["]
        lines += [f'        ("{field}", {kind}),' for field, kind in members]
        lines += ["    ]"]
    lines += ["", "", "STRUCTS: Tuple[Any, ...] = (" + ", ".join(name for name, _ in header.structs) + ")", "",
              "# What VALORI_..._INIT sets.", "INITS: Dict[Any, Dict[str, int]] = {"]
    for name, members in header.inits.items():
        values = ", ".join(f'"{field}": ' + value.replace("sizeof(", "C.sizeof(") for field, value in members)
        lines += [f"    {name}: {{{values}}},"]
    lines += ["}", "", "# name: result, arguments", "FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {"]
    for name, result, kinds in header.functions:
        lines += [f'    "{name}": ({result}, [{", ".join(kinds)}]),']
    lines += ["}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    with open(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "lib", "valori.h")) as file:
        sys.stdout.write(write(Header(file.read())))
