"""The types of valori._abi are those of lib/valori.h, and the functions those of libvalori.so."""
import ctypes as C
import os
import re
import shutil
import subprocess
import sys
import unittest

from tests.base import BUILD, PYTHON, ROOT, Case, script
from valori import _abi, _c, errors

HEADER = os.path.join(ROOT, "lib", "valori.h")
CC = shutil.which("cc") or shutil.which("gcc")


class Abi(Case):
    def test_generated(self) -> None:
        made = subprocess.run([sys.executable, os.path.join(PYTHON, "make_abi.py"), HEADER], check=True,
                              stdout=subprocess.PIPE).stdout.decode()
        with open(os.path.join(PYTHON, "valori", "_abi.py")) as file:
            self.assertEqual(file.read(), made, "valori.h changed: "
                             "run  python3 python/make_abi.py >python/valori/_abi.py")

    def test_exports(self) -> None:
        symbols = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "libvalori.so")], check=True,
                                 stdout=subprocess.PIPE).stdout.decode()
        self.assertEqual(sorted(re.findall(r" T (valori_\w+)", symbols)), sorted(_abi.FUNCTIONS))

    @unittest.skipIf(CC is None, "no C compiler is installed")
    def test_layout(self) -> None:
        """Sizes, offsets and constants, asked of the compiler."""
        lines, expected = [], []
        for kind in _abi.STRUCTS:
            lines.append(f'printf("%zu\\n", sizeof({kind.__name__}));')
            expected.append(C.sizeof(kind))
            for field, _ in kind._fields_:
                lines.append(f'printf("%zu\\n", offsetof({kind.__name__}, {field}));')
                expected.append(getattr(kind, field).offset)
        for name, value in vars(_abi).items():
            if name.startswith("VALORI_") and isinstance(value, int):
                lines.append(f'printf("%llu\\n", (unsigned long long){name});')
                expected.append(value)
        source = self.path("t.c")
        with open(source, "w") as file:
            file.write('#include <stdio.h>\n#include "valori.h"\nint main(void)\n{\n' + "\n".join(lines) + "\n}\n")
        subprocess.run([CC or "", "-I" + os.path.dirname(HEADER), "-o", self.path("t"), source], check=True)
        said = subprocess.run([self.path("t")], check=True, stdout=subprocess.PIPE).stdout.decode()
        self.assertEqual([int(line) for line in said.split()], expected)

    def test_codes(self) -> None:
        """Every code of the library is one class, and says its name."""
        with open(HEADER) as file:
            codes = re.search(r"enum valori_code \{(.*?)\} valori_code;", file.read(), re.S).group(1)  # type: ignore
        numbers = {int(n) for n in re.findall(r"VALORI_\w+ = (\d+)", codes)} - {0, 1}
        self.assertEqual(numbers, set(errors.BY_CODE))
        for number, kind in errors.BY_CODE.items():
            self.assertEqual(kind.code, number)
            error = _abi.valori_error(code=number, message=b"it: is so", offset=7, event=_abi.VALORI_NONE)
            with self.assertRaises(kind) as caught:
                _c.fail(number, error)
            self.assertEqual((str(caught.exception), caught.exception.offset, caught.exception.event),
                             ("it: is so", 7, None))


class Loading(Case):
    def test_missing(self) -> None:
        done = script("import valori", VALORI_LIBRARY="/nowhere/libvalori.so")
        self.assertIn("LibraryError", done.stderr)
        self.assertIn("VALORI_LIBRARY", done.stderr)

    @unittest.skipIf(CC is None, "no C compiler is installed")
    def test_other_version(self) -> None:
        with open(self.path("t.c"), "w") as file:
            file.write('const char *valori_version(void) { return "7.8.9"; }\n')
        subprocess.run([CC or "", "-shared", "-fPIC", "-o", self.path("t.so"), self.path("t.c")], check=True)
        done = script("import valori", VALORI_LIBRARY=self.path("t.so"))
        self.assertIn("LibraryError", done.stderr)
        self.assertIn("7.8.9", done.stderr)
        self.assertIn(_abi.VALORI_VERSION, done.stderr)


if __name__ == "__main__":
    unittest.main()
