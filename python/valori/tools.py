"""The command line tools as streams of rows: what goes in and what comes out are NDJSON, as docs/json.md says.

The tools are looked for in the directory that VALORI_TOOLS names, else in PATH. Rows are read and written as they
come, so that nothing grows with their number. A status that is not 0 raises, with what the tool said.
"""
import json
import os
import shutil
import subprocess
import threading
from typing import IO, Any, Dict, Iterable, Iterator, List, Optional, Sequence

from ._base import Moment
from .errors import (CapacityError, DamagedError, LockedError, NewerError, NotFoundError, SystemCallError, ToolError,
                     UnknowableError, ValidationError, ValoriError)

__all__ = ["run", "ingest", "replay", "search", "verify", "snapshot"]

_KINDS = {2: ValidationError, 3: DamagedError, 4: SystemCallError, 5: CapacityError, 6: LockedError, 7: NewerError,
          8: UnknowableError}


def _path(tool: str) -> str:
    directory = os.environ.get("VALORI_TOOLS")
    found = os.path.join(directory, tool) if directory else shutil.which(tool)
    if found is None or not os.path.exists(found):
        raise NotFoundError(f"{tool}: is not in PATH: install it, or name its directory in VALORI_TOOLS")
    return found


def run(tool: str, *arguments: str, rows: Optional[Iterable[Dict[str, Any]]] = None,
        allowed: Sequence[int] = ()) -> Iterator[Dict[str, Any]]:
    """Runs a tool, gives it rows, and yields the objects that it prints, as they come.

    allowed: statuses beside 0 that are no error. When the iterator is closed before its end, the tool is ended.
    ValidationError, DamagedError, SystemCallError, CapacityError, LockedError, NewerError, UnknowableError by status;
    ToolError (with status) for 1 and for a signal.
    """
    process = subprocess.Popen([_path(tool), *arguments], stdin=subprocess.DEVNULL if rows is None else subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said: List[bytes] = []
    failed: List[BaseException] = []
    ending = threading.Event()

    def hear(pipe: IO[bytes]) -> None:
        for line in pipe:
            said.append(line)
            del said[:-20]

    def feed(pipe: IO[bytes]) -> None:
        try:
            for number, row in enumerate(rows or ()):
                if ending.is_set():
                    break
                try:
                    line = json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
                except (TypeError, ValueError) as error:
                    raise ValidationError(f"{tool}: row {number}: {error}") from None
                pipe.write(line.encode() + b"\n")
        except BrokenPipeError:
            pass  # its status says why
        except BaseException as error:  # the rows' own
            failed.append(error)
        finally:
            if failed:
                process.kill()  # or it would take what came so far for all
            try:
                pipe.close()
            except OSError:
                pass

    threads = [threading.Thread(target=hear, args=(process.stderr,), daemon=True)]
    if rows is not None:
        threads.append(threading.Thread(target=feed, args=(process.stdin,), daemon=True))
    for thread in threads:
        thread.start()
    assert process.stdout is not None and process.stderr is not None
    try:
        for line in process.stdout:
            yield json.loads(line)
        process.wait()
    finally:
        ending.set()
        if process.poll() is None:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join(10)
        process.stdout.close()
        process.stderr.close()
    if failed:
        raise failed[0]
    if process.returncode and process.returncode not in allowed:
        message = b"".join(said).decode("utf-8", "replace").strip() or f"{tool}: left with status {process.returncode}"
        kind = _KINDS.get(process.returncode)
        if kind is None:
            raise ToolError(message, status=process.returncode)
        raise kind(message)


def ingest(log: Any, rows: Iterable[Dict[str, Any]], *options: str) -> Iterator[Dict[str, Any]]:
    """valori-ingest: appends rows such as {"key": ..., "vector": [...], "metadata": ...}; yields {'id', 'row',
    'commit'} for each, when it is on disk.

    What was yielded is on disk also when a later row raises.
    """
    return run("valori-ingest", "--json", "-q", "-f", "ndjson", "-l", os.fspath(log), *options, "-", rows=rows)


def replay(log: Any, *options: str) -> Iterator[Dict[str, Any]]:
    """valori-replay: yields the events of a log, in order."""
    return run("valori-replay", "--json", "-q", *options, os.fspath(log))


def search(log: Any, queries: Iterable[Sequence[float]], k: int = 10, *options: str) -> Iterator[Dict[str, Any]]:
    """valori-search: yields the hits of each query (dim,): {'query', 'rank', 'id', 'score', 'raw_score', ...}."""
    return run("valori-search", "--json", "-q", "-l", os.fspath(log), "-k", str(k), "-f", "ndjson", *options, "-",
               rows=({"vector": list(query)} for query in queries))


def verify(path: Any, expect: Optional[str] = None, *options: str) -> Dict[str, Any]:
    """valori-verify: what it says of a log or a snapshot, also when that is bad news: look at 'verdict'."""
    wanted = () if expect is None else ("-x", expect)
    return list(run("valori-verify", "--json", "-q", *wanted, *options, os.fspath(path), allowed=(1, 3, 8)))[-1]


def snapshot(log: Any, *options: str) -> Dict[str, Any]:
    """valori-snapshot: writes the snapshot of a store and says what it holds."""
    return list(run("valori-snapshot", "--json", "-q", "-l", os.fspath(log), *options))[-1]
