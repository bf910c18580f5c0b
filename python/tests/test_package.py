"""The wheel, the documents, and the README's example as it is written."""
import base64
import csv
import hashlib
import io
import os
import re
import subprocess
import sys
import unittest
import zipfile

import valori
from tests.base import BUILD, PYTHON, ROOT, Case

# Of the three records of the README's example; another one would be another format.
ROOT_AFTER = "7250a72501579a0b365b225fa748541944fafc30f3c2703594c95d1368260aeb"
FALSE_NUMPY = "raise ImportError('numpy')\n"


class Wheel(Case):
    def build(self, name: str) -> str:
        os.mkdir(self.path(name))
        return subprocess.run(
            [sys.executable, os.path.join(PYTHON, "backend.py"), self.path(name), os.path.join(BUILD, "libvalori.so")],
            check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()

    def clean(self, *command: str, **environment: str) -> str:
        """Runs in a process that knows of neither this tree nor a library."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("VALORI_", "PYTHON")) or name == "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(command, cwd=self.directory, env=dict(kept, **environment), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_wheel(self) -> None:
        """Every file is in the record with its digest; unpacked alone it works; the same tree, the same bytes."""
        path = self.build("a")
        with open(path, "rb") as one, open(self.build("b"), "rb") as other:
            self.assertEqual(one.read(), other.read())
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            info = f"valori-{valori.__version__}.dist-info/"
            record = list(csv.reader(io.StringIO(wheel.read(info + "RECORD").decode())))
            self.assertEqual(sorted(names), sorted(row[0] for row in record))
            for name, digest, size in record:
                if name != info + "RECORD":
                    data = wheel.read(name)
                    made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                    self.assertEqual((digest, size), ("sha256=" + made, str(len(data))))
            self.assertIn("valori/py.typed", names)
            self.assertIn("valori/libvalori.so.0", names)
            wheel.extractall(self.path("site"))
        said = self.clean(sys.executable, "-c", "import valori\nwith valori.Valori(dim=1) as d: print(d.insert([1]))",
                          PYTHONPATH=self.path("site"))
        self.assertEqual(said, "0\n")

    def test_pip(self) -> None:
        """pip takes the wheel, and makes it from pyproject.toml, without a network."""
        pip = [sys.executable, "-m", "pip"]
        if subprocess.run(pip + ["--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode:
            self.skipTest("pip is not installed")
        quiet = ["install", "-q", "--no-index", "--disable-pip-version-check", "--root-user-action=ignore", "--target"]
        self.clean(*pip, *quiet, self.path("site"), self.build("a"))
        self.assertTrue(os.path.exists(self.path("site/bin/valori-mcp")))
        self.clean(*pip, *quiet, self.path("tree"), PYTHON, VALORI_LIBRARY=os.path.join(BUILD, "libvalori.so"))
        for site in ("site", "tree"):
            said = self.clean(sys.executable, "-c", "import valori; print(valori.__file__, valori.Valori(dim=2).dim)",
                              PYTHONPATH=self.path(site))
            self.assertTrue(said.startswith(self.path(site)) and said.endswith(" 2\n"), said)

    def test_readme(self) -> None:
        """The README's example, as written, from a clean interpreter; with and without numpy the same."""
        with open(os.path.join(ROOT, "README.md")) as file:
            section = re.search(r"^## Python\n(.*?)^## ", file.read(), re.M | re.S).group(1)  # type: ignore
        blocks = [re.sub(r"^    ", "", block, flags=re.M)
                  for block in re.findall(r"(?:^(?:    .*)?\n)+", section, re.M) if block.strip()]
        examples = [block for block in blocks if "import" in block]
        self.assertEqual(len(examples), 1)
        with zipfile.ZipFile(self.build("a")) as wheel:
            wheel.extractall(self.path("site"))
        os.mkdir(self.path("site/without"))
        with open(self.path("site/without/numpy.py"), "w") as file:
            file.write(FALSE_NUMPY)
        for path in (self.path("site"), self.path("site/without") + os.pathsep + self.path("site")):
            said = self.clean(sys.executable, "-c", examples[0], PYTHONPATH=path).split("\n")
            self.assertRegex(said[0], r"^0 0\.019996\d+ Paris is the capital of France\.$")
            self.assertEqual(said[1], ROOT_AFTER)
            subprocess.run(["rm", "-r", self.path("db-python")], check=True)


if __name__ == "__main__":
    unittest.main()
