"""A node: the same surface, the same answers, the same roots; and everything that can go wrong on the way."""
import gc
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
import unittest
import warnings
from array import array
from typing import Any, List

import valori
from tests.base import BUILD, Case, needs_numpy, numpy, rss, vectors
from valori import errors

SERVE = os.path.join(BUILD, "valori-serve")


@unittest.skipUnless(os.path.exists(SERVE), "valori-serve was not built: civetweb or libsodium is missing")
class NodeCase(Case):
    def node(self, *options: str, token: str = "", dim: int = 4, bind: str = "127.0.0.1:0") -> str:
        """Starts a node; its URL."""
        environment = dict(os.environ, VALORI_AUTH_TOKEN=token) if token else dict(os.environ)
        self.process = subprocess.Popen(
            [SERVE, "-b", bind, "-d", str(dim), "-l", self.path("node"), *options], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
        self.addCleanup(self.end, self.process)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.assertIn("listening on ", line)
        return "http://" + line.split("listening on ")[1].strip()

    @staticmethod
    def end(process: Any) -> None:
        process.kill()
        process.wait()
        process.stdout.close()

    def remote(self, url: str, **options: Any) -> Any:
        store = valori.Valori(remote=url, **options)
        self.addCleanup(store.close)
        return store


def story(db: Any) -> List[Any]:
    """What a program does with a store, and all that it is told."""
    told: List[Any] = [db.state_root()]
    table = vectors(30, 4)
    told.append(db.insert(table[0], tag=2 ** 64 - 1, key="first", metadata={"a": [1.5, "ü"], "b": None}))
    told.append(db.insert_batch(table[1:10]))
    told.append(db.insert_batch(table[10:13], [1, 2, 3], keys=["x", None, "z"], metadata=["text", b"bytes", None]))
    told.append(db.state_root())
    told.append(db.search(table[5], k=4))
    told.append(db.search(table[5], k=4, filter_tag=2))
    told.append(db.search(table[5], k=3, at=6))
    told += [db.search(table[5], k=3, at=at) for at in (0, 1, 10, 11)]
    told.append(db.search(table[5], k=3, exact=True))
    told += [db.get(i) for i in (0, 10, 11, 12)]
    told += [db.get_metadata(i) for i in (0, 10, 11, 12)]
    db.set_metadata(12, b"\xff\x00raw")
    db.set_metadata(11, b"")
    db.set_metadata(10, "[1, 2 ]")
    told += [db.get_metadata(i) for i in (10, 11, 12)]
    told.append(db.create_document(table[13:16], metadata=["a", "b", "c"]))
    told.append(db.create_edge(1, 2, valori.EDGE_REFERS_TO))
    told += [db.nodes(), db.nodes(3), db.edges(0), db.neighbours(0), db.walk(1), db.walk(0, 1), db.get_node(1)]
    db.delete_edge(3)
    db.delete_node(2)
    told += [db.get_node(2), db.neighbours(1)]
    told.append(db.supersede(13, table[25], metadata={"why": "better"}))
    told.append(db.supersede(9, table[26]))
    told += [db.get(13)["live"], db.edges(db.nodes(1)[0]["id"]), db.state_root()]
    db.soft_delete(3)
    db.delete(4)
    db.meta_set("title", {"x": 1})
    told += [db.meta_get("title"), db.meta_get("none"), db.create_collection("docs"), db.collections()]
    told.append(db.insert(table[20], collection="docs"))
    told.append(db.search(table[20], k=2, collection="docs"))
    told.append(db.insert(table[21], request_id=b"q" * 16))
    told.append(db.insert(table[21], request_id=b"q" * 16))
    told += [db.record_count(), len(db), db.state_root(), db.get_state_hash()]
    then, root = db.info()["height"], db.state_root()
    told.append(db.upsert("x", table[23], tag=9, metadata=b"\xfe\xff", collection="docs"))
    told += [db.upsert("first", table[24], 5, metadata={"new": True}), db.upsert("new", table[24])]
    told.append(db.upsert_batch(["x", "z"], table[25:27], [3, 2 ** 64 - 1], metadata=["m", None]))
    told += [db.get(key) for key in ("first", "new", "x", "z")] + [db.get("x", collection="docs")]
    told += [db.get_metadata("x"), db.metadata("first"), db.insert(table[27], metadata=b"\xff\x00", key="raw")]
    told.append(db.insert_batch(table[28:30], metadata=[b"\x80", "text"], collection="docs"))
    told.append(db.create_node(3, db.get("new")["id"]))
    told.append(db.create_edge(0, told[-1], 5))
    told.append(db.upsert("new", table[25]))
    told += [db.get_node(told[-3]), db.edges(told[-3], incoming=True), db.get("raw")]
    db.set_metadata("x", None)
    db.set_metadata("first", b"\x00")
    db.set_tag("x", 77)
    db.set_tag(5, 2 ** 64 - 1)
    db.delete("z")
    db.soft_delete("raw")
    db.meta_set("raw", b"\xff")
    db.meta_set("text", "no JSON {")
    told += [db.get("x"), db.get(5), db.meta_get("raw"), db.meta_get("text")]
    db.meta_delete("raw")
    db.drop_collection("docs")
    told += [db.meta_get("raw"), db.collections(), db.state_root(), db.record_count()]
    for moment in (then, root, 7, 0):
        with db.as_of(moment) as past:
            told += [past.state_root(), past.record_count(), past.nodes(), past.collections(), past.meta_get("title"),
                     past.search(table[5], k=3), past.search(table[5], k=2, at=3), past.as_of(2).state_root()]
            told += [past.info()[name] for name in ("dim", "height", "record_live", "node_live", "record_slots")]
            for call in (lambda: past.get("first"), lambda: past.get(13), lambda: past.get_metadata(12),
                         lambda: past.get_node(1), lambda: past.edges(1), lambda: past.edges(1, incoming=True),
                         lambda: past.neighbours(0), lambda: past.walk(1), lambda: past.insert(table[0]),
                         lambda: past.delete(0), lambda: past.create_node(1), lambda: past.upsert("k", table[0]),
                         lambda: past.meta_set("a", "b"), lambda: past.snapshot(), lambda: past.restore(b"")):
                try:
                    told.append(call())
                except valori.ValoriError as error:
                    told.append(type(error).__name__)
    events = list(db.events(since=5))
    told.append([{name: event[name] for name in event if name not in ("time_ms", "commit")} for event in events])
    told += [len(db.timeline()), list(db.events(since=10 ** 6)), events[-1]["time_ms"] > 1.6e12]
    told += [db.verify(expect)["verdict"] for expect in (None, db.state_root(), db.info()["history"], "0" * 64)]
    told += [db.verify()[name] for name in ("height", "state_root", "sentence")]
    info = db.info()
    told += [info[name] for name in ("dim", "height", "record_live", "node_live", "edge_live", "state_root")]
    for call in (lambda: db.get(4), lambda: db.supersede(13, table[0]), lambda: db.get(99), lambda: db.insert([1]),
                 lambda: db.insert(table[0], key="x"),
                 lambda: db.search([1, 2, 3, float("nan")]), lambda: db.insert([9e9] * 4), lambda: db.edges(2),
                 lambda: db.search(table[0], k=0), lambda: db.insert(table[0], metadata="m" * 70000),
                 lambda: db.insert(table[22], request_id=b"q" * 16), lambda: db.insert(table[0], collection="none"),
                 lambda: db.create_edge(0, 99, 1), lambda: db.insert(table[0], key="k" * 300),
                 lambda: db.insert_batch([table[0], [9e9] * 4]), lambda: db.get("nobody"), lambda: db.as_of(10 ** 6),
                 lambda: db.as_of("yesterday"), lambda: db.search(table[0], at="f" * 64), lambda: db.delete("nobody"),
                 lambda: db.upsert(None, table[0]), lambda: db.upsert("k", [1]), lambda: db.set_tag(99, 1),
                 lambda: db.upsert_batch(["a", None], table[:2]), lambda: db.get("x", collection="none"),
                 lambda: db.meta_delete("none"), lambda: db.verify("12"), lambda: db.verify("0" * 64, check=True),
                 lambda: db.soft_delete("nobody"), lambda: db.set_metadata("nobody", "a"), lambda: db.get(1.0),
                 lambda: db.insert(table[0], metadata={1, 2}), lambda: db.insert(table[0], tag=-1),
                 lambda: db.insert(table[0], key=7), lambda: db.insert_batch([table[0]], keys=["a", "b"]),
                 lambda: db.insert_batch([]), lambda: db.insert_batch([table[0], [1]]), lambda: db.insert("1234")):
        try:
            told.append(call())
        except valori.ValoriError as error:
            told.append(type(error).__name__)
    return told


class Remote(NodeCase):
    maxDiff = None

    def test_same_story(self) -> None:
        """One script, embedded and remote: the same answers, the same roots."""
        embedded = story(self.open(dim=4))
        remote = story(self.remote(self.node()))
        for one, other in zip(embedded, remote):
            self.assertEqual(one, other)
        self.assertEqual(len(embedded), len(remote))

    def test_same_report(self) -> None:
        """What a node says of its log is, to the last member, what the files say."""
        db = self.remote(self.node("--records-max=5000"))
        self.assertEqual(db.verify(), valori.verify(self.path("node")))
        story(db)
        db.snapshot()
        history = db.info()["history"]
        for expect in (None, db.state_root(), history, history[:-1] + "0", "tree:2:" + "0" * 64):
            self.assertEqual(db.verify(expect), valori.verify(self.path("node"), expect))
        self.assertEqual(list(db.events()), list(valori.events(self.path("node"))))
        db.insert_batch(vectors(2100, 4))
        self.assertEqual(list(db.events(since=7)), list(valori.events(self.path("node"), 7)))
        with open(self.path("node/events.log"), "r+b") as file:
            file.seek(4300)
            byte = file.read(1)
            file.seek(4300)
            file.write(bytes([byte[0] ^ 1]))
        report, expected = db.verify(), valori.verify(self.path("node"))
        self.assertEqual(report["verdict"], "damaged")
        self.assertEqual(report, expected)
        self.refuses(valori.DamagedError, "", db.verify, check=True)
        self.refuses(valori.DamagedError, "", list, db.events())

    @needs_numpy
    def test_numpy(self) -> None:
        db = self.remote(self.node())
        table = numpy.array(vectors(50, 4), dtype=numpy.float32)
        self.assertEqual(db.insert_batch(table), list(range(50)))
        self.assertEqual(db.insert_batch((table * 65536).astype(numpy.int32))[0], 50)
        self.assertEqual([h["id"] for h in db.search(table[7], k=2)], [7, 57])
        table.flags.writeable = False
        self.assertEqual(db.insert_batch(table)[0], 100)
        self.refuses(valori.ValidationError, "binary32", db.insert, numpy.array([2 ** 31 - 1, 0, 0, 0], "int32"))

    def test_snapshot(self) -> None:
        db = self.remote(self.node())
        db.insert_batch(vectors(20, 4))
        root = db.state_root()
        self.assertEqual(db.snapshot(), "snapshot.val")
        path = db.snapshot(self.path("copy.val"))
        self.assertEqual(valori.verify(path)["state_root"], root)
        db.delete(3)
        db.restore(path)
        self.assertEqual(db.state_root(), root)
        self.refuses(valori.NotFoundError, "no such file", db.restore, self.path("none"))
        with self.assertRaises(valori.ValoriError):
            db.restore(b"junk")
        self.assertEqual(db.state_root(), root)

    def test_forgotten(self) -> None:
        """A client that nothing refers to, or that was never made, leaves no socket behind."""
        url = self.node()

        def sockets() -> int:
            made = 0
            for fd in os.listdir("/proc/self/fd"):
                try:
                    made += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
                except OSError:  # the directory itself
                    pass
            return made

        before = sockets()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for _ in range(20):
                self.assertEqual(valori.Valori(remote=url).record_count(), 0)
                self.refuses(valori.NotFoundError, "", valori.Valori, remote=url, at=99)
                self.refuses(valori.DimensionError, "has dimension 4", valori.Valori, remote=url, dim=5)
            gc.collect()
        self.assertEqual((sockets(), [str(one.message) for one in warned]), (before, []))

    def test_token(self) -> None:
        url = self.node(token="secret")
        db = self.remote(url, token="secret")
        db.insert([1, 2, 3, 4])
        for token in (None, "wrong"):
            other = self.remote(url, token=token)
            self.refuses(valori.AuthenticationError, "token=", other.insert, [1, 2, 3, 4])
            self.refuses(valori.AuthenticationError, "token=", other.snapshot, self.path("s.val"))
        self.assertEqual(db.record_count(), 1)
        self.refuses(valori.ValidationError, "token", valori.Valori, remote=url, token="a\nb")

    def test_full(self) -> None:
        db = self.remote(self.node("--records-max=2"))
        db.insert_batch(vectors(2, 4))
        self.refuses(valori.CapacityError, "", db.insert, [0, 0, 0, 0])
        self.assertEqual(db.info()["status"], "full")

    def test_death_and_return(self) -> None:
        """A node that was killed is a ConnectionError; when it is back, the client goes on."""
        url = self.node()
        db = self.remote(url)
        ids = [db.insert(row) for row in vectors(5, 4)]
        self.process.kill()
        self.process.wait()
        error = self.refuses(errors.ConnectionError, "is valori-serve running", db.search, [1, 2, 3, 4])
        self.assertIsInstance(error, ConnectionError)
        self.refuses(errors.ConnectionError, "is valori-serve running", db.create_node, 1)
        self.node(bind=url[len("http://"):])
        self.assertEqual(db.record_count(), len(ids))
        self.assertEqual(db.create_node(1), 0)
        self.process.kill()
        self.process.wait()
        self.node(bind=url[len("http://"):])
        self.assertEqual(db.create_node(1), 1)  # on a connection that the old node had closed
        self.assertEqual(db.insert([1, 2, 3, 4]), 5)

    def test_no_leak(self) -> None:
        """100,000 errors, 8,000 of them the node's, leave no memory behind, neither here nor there."""
        db, good = self.remote(self.node()), [0.0, 0.0, 0.0, 1.0]
        db.insert(good, key="k")
        root = db.state_root()
        here = [lambda: db.insert([1, 2]), lambda: db.insert([float("nan")] * 4), lambda: db.search("x"),
                lambda: db.insert_batch([good, [1]]), lambda: db.get(-1), lambda: db.search(good, k=0),
                lambda: db.insert_batch(array("f", [0, 0, 0, 0, float("inf"), 0, 0, 0])), lambda: db.insert(good, "t"),
                lambda: db.upsert(None, good), lambda: db.insert(good, metadata={1, 2}), lambda: db.events(-1)]
        there = [lambda: db.insert(good, key="k"), lambda: db.get("nobody"), lambda: db.delete(99),
                 lambda: db.search(good, collection="none"), lambda: db.verify("12"), lambda: db.search(good, at=99),
                 lambda: db.insert_batch([good], keys=["k" * 300]), lambda: db.set_metadata("nobody", b"m")]

        def errors(calls: List[Any], count: int) -> int:
            seen = 0
            for _ in range(count // len(calls)):
                for call in calls:
                    try:
                        call()
                    except valori.ValoriError:
                        seen += 1
            return seen

        errors(here, 1100)
        errors(there, 800)
        before = rss(), rss(self.process.pid)
        self.assertEqual((errors(here, 92004), errors(there, 8000)), (92004, 8000))
        self.assertLess(rss() - before[0], 2 << 20)
        self.assertLess(rss(self.process.pid) - before[1], 2 << 20)
        self.assertEqual(db.state_root(), root)

    def test_fork(self) -> None:
        """A child asks on a connection of its own, and leaves its parent's alone."""
        db = self.remote(self.node())
        db.insert([1, 2, 3, 4])
        port = db._local.connection.sock.getsockname()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if db.insert([2, 2, 3, 4]) == 1 and db.record_count() == 2 else 2
                if db._local.connection.sock.getsockname() == port:
                    status = 3
                db.close()
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(db.insert([3, 2, 3, 4]), 2)

    def test_closed_and_threads(self) -> None:
        db, wrong = self.remote(self.node()), []

        def work(number: int) -> None:
            try:
                for _ in range(20):
                    id_ = db.insert([number, 0, 0, 0], tag=number)
                    if id_ not in [h["id"] for h in db.search([number, 0, 0, 0], k=100, filter_tag=number)]:
                        wrong.append(id_)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((wrong, db.record_count()), ([], 160))
        with db:
            pass
        for call in (lambda: db.insert([1, 2, 3, 4]), lambda: db.events(), lambda: db.verify(), lambda: db.as_of(0),
                     lambda: db.insert_batch([]), lambda: db.get("k"), lambda: db.snapshot(self.path("s.val"))):
            self.refuses(valori.ClosedError, "closed", call)

    def test_follow(self) -> None:
        db, got = self.remote(self.node()), []
        db.insert([0, 0, 0, 0])

        def follow() -> None:
            for event in db.events(follow=True):
                got.append(event["id"])
                if len(got) == 3:
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        time.sleep(0.1)
        db.insert_batch(vectors(2, 4))
        thread.join(20)
        self.assertEqual(got, [0, 1, 2])


class Others(Case):
    """What is no node."""

    def test_nobody(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.refuses(errors.ConnectionError, "is valori-serve running", valori.Valori,
                     remote=f"http://127.0.0.1:{port}")
        for url in ("localhost:3000", "ftp://a", "http://", "", 7):
            self.refuses(valori.ValidationError, "want a URL", valori.Valori, remote=url)
        self.refuses(valori.ValidationError, "not both", valori.Valori, self.path(), remote="http://a:1")

    def test_silence(self) -> None:
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen(1)
            error = self.refuses(errors.TimeoutError, "timeout=", valori.Valori, timeout=0.2,
                                 remote=f"http://127.0.0.1:{mute.getsockname()[1]}")
            self.assertIsInstance(error, TimeoutError)

    def test_strangers(self) -> None:
        """Answers that no node gives: text, JSON of another kind, a 500, an answer that breaks off."""
        answers = [(200, b"hello", None), (200, b"[1]", None), (200, b"{}", None), (500, b"oops", None),
                   (404, b"<html>", None), (200, b'{"dim":4', 99)]

        class Stranger(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body, length = answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Stranger)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            while answers:
                with self.assertRaises(valori.ValoriError) as caught:
                    valori.Valori(remote=f"http://127.0.0.1:{server.server_port}", timeout=5)
                kind = errors.NotFoundError if answers[0][0] == 404 else errors.ConnectionError
                self.assertIs(type(caught.exception), kind, answers[0])
                answers.pop(0)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


if __name__ == "__main__":
    unittest.main()
