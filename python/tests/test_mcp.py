"""valori-mcp, as an agent speaks to it."""
import json
import os
import subprocess
import sys
import unittest
from typing import Any, Dict, List

import valori
from tests.test_remote import NodeCase


class Mcp(NodeCase):
    def speak(self, messages: List[Any], *options: str) -> List[Any]:
        """Sends messages, and the answers to them."""
        lines = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in messages)
        done = subprocess.run([sys.executable, "-m", "valori.mcp", *options], input=lines, cwd=self.directory,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60,
                              env=dict(os.environ))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tell(self, calls: List[Any], *options: str) -> List[Any]:
        """Calls tools: what they give, or the sentence with which they refuse."""
        answers = self.speak([{"jsonrpc": "2.0", "id": i, "method": "tools/call",
                               "params": {"name": name, "arguments": arguments}}
                              for i, (name, arguments) in enumerate(calls)], *options)
        told = []
        for i, answer in enumerate(answers):
            self.assertEqual(answer["id"], i)
            result = answer["result"]
            text = result["content"][0]["text"]
            if not result["isError"]:
                self.assertEqual(json.loads(text), result["structuredContent"])
            told.append(text if result["isError"] else result["structuredContent"])
        return told

    def test_protocol(self) -> None:
        answers = self.speak([
            {"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": {"protocolVersion": "2024-11-05"}},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "ping"},
            {"jsonrpc": "2.0", "id": 3, "method": "tools/list"},
            {"jsonrpc": "2.0", "id": 4, "method": "resources/list"},
            {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "memory_fork"}},
            {"jsonrpc": "2.0", "id": 6, "method": "ping", "params": [1]},
            "no json", "[1]", '{"id": 7}', "", "[" * 100000])
        self.assertEqual(answers[0]["result"]["protocolVersion"], "2024-11-05")
        self.assertEqual(answers[1], {"jsonrpc": "2.0", "id": 2, "result": {}})
        self.assertEqual([tool["name"] for tool in answers[2]["result"]["tools"]],
                         ["memory_write", "memory_recall", "memory_graph_recall", "memory_why", "memory_timeline",
                          "memory_forget", "memory_correct"])
        self.assertEqual([answer["error"]["code"] for answer in answers[3:]],
                         [-32601, -32602, -32602, -32700, -32600, -32600, -32700])

    def story(self, *options: str) -> List[Any]:
        return self.tell([
            ("memory_write", {"text": "Paris is the capital of France.", "metadata": {"source": "atlas"}}),
            ("memory_write", {"text": "The Seine flows through it.", "document": 0}),
            ("memory_write", {"text": "Bread needs flour, water and time."}),
            ("memory_recall", {"text": "capital of France", "k": 1}),
            ("memory_graph_recall", {"text": "capital of France", "k": 1}),
            ("memory_correct", {"record": 2, "text": "Bread needs flour, water, salt and time."}),
            ("memory_why", {"record": 2}),
            ("memory_why", {"record": 3}),
            ("memory_forget", {"record": 1}),
            ("memory_forget", {"record": 0, "for_good": True}),
            ("memory_recall", {"text": "what does bread need"}),
            ("memory_timeline", {"since": 2, "limit": 3}),
            ("memory_why", {"record": 0}), ("memory_write", {}), ("memory_write", {"text": 7}),
            ("memory_recall", {"text": "a", "k": 0}), ("memory_recall", {"text": "a", "limit": 1}),
            ("memory_forget", {"record": True})], *options)

    def check(self, told: List[Any]) -> None:
        self.assertEqual(told[0]["record_ids"], [0])
        self.assertEqual(told[3]["results"][0]["text"], "Paris is the capital of France.")
        self.assertEqual(told[3]["results"][0]["metadata"]["source"], "atlas")
        self.assertEqual((told[3]["state_root"], told[3]["height"]), (told[2]["state_root"], told[2]["height"]))
        self.assertEqual([one["text"] for one in told[4]["related"]], ["The Seine flows through it."])
        self.assertEqual((told[5]["record"], told[5]["supersedes"]), (3, 2))
        self.assertEqual((told[6]["live"], told[6]["superseded_by"]), (False, [3]))
        self.assertEqual([event["op"] for event in told[6]["events"]], ["insert", "soft_delete"])
        self.assertEqual((told[7]["live"], told[7]["superseded_by"]), (True, []))
        self.assertEqual([hit["id"] for hit in told[10]["results"]], [3])
        self.assertEqual([event["event"] for event in told[11]["events"]], [2, 3, 4])
        self.assertEqual(told[11]["next"], 5)
        for sentence, words in zip(told[12:], ("NotFoundError: record 0", "text: is missing", "text: want string",
                                               "k: 0: is out of range", "limit: unknown", "record: want integer")):
            self.assertIn(words, sentence)

    def test_embedded(self) -> None:
        self.check(self.story("--path=memory"))
        with valori.Valori(self.path("memory")) as db:
            self.assertEqual(db.record_count(), 1)
            self.assertEqual(db.verify()["verdict"], "consistent")

    def test_remote(self) -> None:
        self.check(self.story("--remote=" + self.node(dim=256)))

    def test_usage(self) -> None:
        for options, words in ((["--no"], "--no: unknown"), (["--dim=x"], "invalid literal"),
                               (["--embed=nowhere:f"], "nowhere"), (["--remote=http://127.0.0.1:1"], "running there")):
            done = subprocess.run([sys.executable, "-m", "valori.mcp", *options], stdin=subprocess.DEVNULL,
                                  cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                  universal_newlines=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
