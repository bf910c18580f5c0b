#!/usr/bin/env python3
"""snapshot.py - a snapshot made anew from the manual, and held against the file.

Replays the segments of a log with reference.py, up to the height that the snapshot names, lays out every byte of the
snapshot as valori-snapshot(5) says, and compares. Prints one line: height, bytes, state root. Exits 1 with a sentence at
the first byte that differs.

usage: snapshot.py SNAPSHOT SEGMENT...      oldest first
"""
import struct
import sys

import reference
from reference import DELETED, LIVE, NONE, TOMBSTONE, ZERO, Fault, blake3, crc32c, derive, need, sha256

WINDOW = 1048576


class Table:
    """Linear hashing: a bucket is a list of entries, the newest first."""

    def __init__(self):
        self.buckets, self.entries = [], 0

    def place(self, h, n):
        p = 1 << (n.bit_length() - 1)
        return h % (2 * p) if h % (2 * p) < n else h % p

    def insert(self, entry, h):
        self.entries += 1
        if len(self.buckets) < self.entries:
            self.buckets.append([])
            n = len(self.buckets)
            everything = [[x for x in b if self.place(x[1], n) == i] for b in self.buckets for i in range(n)]
            split = [[] for _ in range(n)]
            for k, part in enumerate(everything):
                split[k % n] += part
            self.buckets = split
        self.buckets[self.place(h, len(self.buckets))].insert(0, (entry, h))

    def remove(self, entry):
        self.entries -= 1
        self.buckets = [[x for x in b if x[0] != entry] for b in self.buckets]

    def heads(self):
        return b"".join(struct.pack("<I", b[0][0] + 1 if b else 0) for b in self.buckets)

    def links(self):
        return {a[0]: b[0] + 1 for bucket in self.buckets for a, b in zip(bucket, bucket[1:])}


def number(digest):
    return struct.unpack("<I", digest[:4])[0]


class Store(reference.State):
    """The state of reference.py with what leaves do not speak of: content, salts, lists, tables."""

    def __init__(self, dim):
        super().__init__(dim)
        self.keys, self.metakeys, self.names, self.requests = Table(), Table(), Table(), Table()
        self.names.insert(0, number(derive(b"key", b"default")))
        self.content = []  # of records: vector, salt of vector, salt of metadata, metadata
        self.values = {}
        self.named_by = {}  # record: nodes, in order
        self.window = []

    def key_hash(self, record):
        return (number(record["K"]) + record["collection"] * 0x9E3779B1) % 2**32

    def unname(self, node):
        record = self.nodes[node][0]
        if record != NONE:
            self.named_by[record].remove(node)

    def name(self, node, record):
        if record != NONE:
            self.named_by.setdefault(record, []).append(node)

    def apply(self, kind, flags, payload):
        (i,) = struct.unpack_from("<Q", payload)
        if kind == 7:
            self.unname(i)
        elif kind == 8:
            self.unname(i)
        elif kind in (2, 3) and self.records[i]["status"] == LIVE and self.records[i]["key"]:
            self.keys.remove(i)
        elif kind == 12:
            self.metakeys.remove(i)
        elif kind == 14:
            self.names.remove(i)
        is_new = kind == 11 and (i == len(self.meta) or self.meta[i] is None)
        digest = super().apply(kind, flags, payload)
        if kind == 1:
            meta_size = struct.unpack_from("<I", payload, 20)[0]
            at = 24 + 16 * (flags & 1)
            salt = payload[24:40] if flags & 1 else None
            meta = None if meta_size == 0xFFFFFFFF else payload[len(payload) - meta_size :]
            self.content.append([payload[at : at + 4 * self.dim], salt, None if meta is None else salt, meta])
            if self.records[i]["key"]:
                self.keys.insert(i, self.key_hash(self.records[i]))
        elif kind == 4:
            absent = struct.unpack_from("<I", payload, 8)[0] == 0xFFFFFFFF
            self.content[i][2] = payload[16:32] if flags & 1 else None
            self.content[i][3] = None if absent else payload[16 + 16 * (flags & 1) :]
        elif kind in (6, 7):
            self.name(i, struct.unpack_from("<Q", payload, 8)[0])
        elif kind == 11:
            self.values[i] = payload[16 + struct.unpack_from("<H", payload, 8)[0] :]
            if is_new:
                self.metakeys.insert(i, number(self.meta[i][1]))
        elif kind == 13:
            self.names.insert(i, number(derive(b"key", self.collections[i][0])))
        return digest

    def request(self, id, event, object, digest):
        """At most as many as the window holds: that is enough for a test."""
        need(len(self.window) < WINDOW, "more requests than this script keeps")
        self.requests.insert(len(self.window), number(blake3(id)))
        self.window.append((id, event, object, digest))


class Heap:
    def __init__(self):
        self.data = b""

    def put(self, blob):
        if not blob:
            return 0
        room = 65536 - len(self.data) % 65536
        if len(blob) > room:
            self.data += bytes(room)
        place = len(self.data)
        self.data += blob
        return place


def linked(items):
    """next and previous of each, + 1; first and last."""
    around = {}
    for k, item in enumerate(items):
        after = items[k + 1] + 1 if k + 1 < len(items) else 0
        around[item] = (after, items[k - 1] + 1 if k > 0 else 0)
    return around, (items[0] + 1, items[-1] + 1) if items else (0, 0)


def tree_levels(leaves):
    out = b"".join(leaves)
    while len(leaves) > 1:
        pairs = leaves + [ZERO] * (len(leaves) % 2)
        leaves = [ZERO if a == b == ZERO else derive(b"tree", a + b) for a, b in zip(pairs[::2], pairs[1::2])]
        out += b"".join(leaves)
    return out


def sections(s):
    heap, records, places, digests, vectors = Heap(), b"", b"", b"", b""
    chains, lists = s.keys.links(), {r: linked(n) for r, n in s.named_by.items()}
    for i, r in enumerate(s.records):
        ends = lists[i][1] if i in lists else (0, 0)
        if r["status"] == DELETED:
            records += struct.pack("<QHBBI", 0, 0, DELETED, 0, 0)
            places += struct.pack("<24xII", *ends)
            digests += ZERO * 3
            vectors += bytes(4 * s.dim)
            continue
        vector, salt, meta_salt, meta = s.content[i]
        salted = (1 if salt else 0) | (2 if meta_salt else 0)
        own = heap.put(((salt or bytes(16)) + (meta_salt or bytes(16)) if salted else b"") + r["key"])
        meta_place = heap.put(meta or b"")
        h = s.key_hash(r) if r["key"] else 0
        records += struct.pack("<QHBBI", r["tag"], r["collection"], r["status"], len(r["key"]), h)
        meta_size = 0xFFFFFFFF if meta is None else len(meta)
        places += struct.pack("<QQII", own | salted << 56, meta_place, meta_size, chains.get(i, 0)) + struct.pack("<II", *ends)
        digests += r["K"] + r["V"] + r["M"]
        vectors += vector
    out_edges, in_edges = {}, {}
    for e, edge in enumerate(s.edges):
        if edge:
            out_edges.setdefault(edge[0], []).append(e)
            in_edges.setdefault(edge[1], []).append(e)
    around = {n: pair for r in lists for n, pair in lists[r][0].items()}
    outs, ins = {n: linked(x) for n, x in out_edges.items()}, {n: linked(x) for n, x in in_edges.items()}
    nodes, edges = b"", b""
    for n, node in enumerate(s.nodes):
        if not node:
            nodes += bytes(32)
            continue
        record, collection, kind = node
        nodes += struct.pack("<I", 0 if record == NONE else record + 1) + struct.pack("<II", *around.get(n, (0, 0)))
        nodes += struct.pack("<II", *outs[n][1] if n in outs else (0, 0))
        nodes += struct.pack("<II", *ins[n][1] if n in ins else (0, 0))
        nodes += struct.pack("<HBB", collection, kind, 1)
    for e, edge in enumerate(s.edges):
        if not edge:
            edges += bytes(32)
            continue
        edges += struct.pack("<II", edge[0], edge[1]) + struct.pack("<II", *outs[edge[0]][0][e])
        edges += struct.pack("<II", *ins[edge[1]][0][e]) + struct.pack("<BB6x", edge[2], 1)
    meta, chains = b"", s.metakeys.links()
    for m, slot in enumerate(s.meta):
        if not slot:
            meta += bytes(96)
            continue
        key, K, M = slot
        key_place = heap.put(key)
        value_place = heap.put(s.values[m])
        meta += K + M + struct.pack("<QQIIBB6x", key_place, value_place, len(s.values[m]), chains.get(m, 0), len(key), 1)
    collections, chains = b"", s.names.links()
    for c, (name, live) in enumerate(s.collections):
        counts = [0, 0, 0]
        if live and c > 0:
            counts[0] = sum(r["status"] == LIVE and r["collection"] == c for r in s.records)
            counts[1] = sum(n is not None and n[1] == c for n in s.nodes)
            counts[2] = sum(e is not None and s.nodes[e[0]][1] == c for e in s.edges)
        collections += derive(b"key", name) + struct.pack("<QI3I", heap.put(name), chains.get(c, 0), *counts)
        collections += struct.pack("<BB6x", len(name), live)
    left_out = [r["status"] == DELETED and not s.named_by.get(i) for i, r in enumerate(s.records)]
    trees = [tree_levels(leaves) for leaves in s.all_leaves()]
    is_packed = sum(left_out) >= max(8192, len(left_out) // 8)
    kept = b""
    if is_packed:
        blank = struct.pack("<QHBBI", 0, 0, DELETED, 0, 0)
        records, places, digests, vectors = (
            first + b"".join(data[k * len(first) : (k + 1) * len(first)] for k, out in enumerate(left_out) if not out)
            for first, data in [(blank, records), (bytes(32), places), (bytes(96), digests), (bytes(4 * s.dim), vectors)]
        )
        leaves = [trees[0][32 * k : 32 * k + 32] for k, out in enumerate(left_out) if not out]
        trees[0] = ZERO + b"".join(leaves) + trees[0][32 * len(left_out) :]
        for k in range(0, len(left_out), 64):
            bits = sum(1 << n for n, out in enumerate(left_out[k : k + 64]) if not out)
            kept += struct.pack("<QQ", bits, k - sum(left_out[:k]))
    chains, window = s.requests.links(), b""
    for n, (id, event, object, digest) in enumerate(s.window):
        window += id + struct.pack("<QQ", event, object) + digest + struct.pack("<II", chains.get(n, 0), number(blake3(id)))
    return [
        (1, 16, records),
        (2, 32, places),
        (3, 96, digests),
        (4, 4 * s.dim, vectors),
        (5, 4, s.keys.heads()),
        (6, 32, nodes),
        (7, 32, edges),
        (8, 96, meta),
        (9, 4, s.metakeys.heads()),
        (10, 64, collections),
        (11, 4, s.names.heads()),
        (12, 1, heap.data),
        *((32 + k, 32, tree) for k, tree in enumerate(trees)),
        (40, 72, window),
        (41, 4, s.requests.heads()),
        *([(42, 16, kept)] if is_packed else []),
    ]


def counts(s):
    live = [c for c, (_, is_live) in enumerate(s.collections) if is_live]
    return (
        sum(r["status"] == LIVE and r["collection"] in live for r in s.records),
        sum(r["status"] == TOMBSTONE for r in s.records),
        sum(r["status"] == DELETED for r in s.records),
        sum(n is not None and n[1] in live for n in s.nodes),
        sum(e is not None and s.nodes[e[0]][1] in live for e in s.edges),
        sum(m is not None for m in s.meta),
        len(live),
        len(s.window),
        sum(r["status"] == LIVE and len(r["key"]) > 0 for r in s.records),
    )


def frontier(leaves):
    roots, at = [], 0
    for bit in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> bit & 1:
            roots.append(reference.log_tree_root(leaves[at : at + (1 << bit)]))
            at += 1 << bit
    return roots


def snapshot(s, h, leaves, height, time_ms):
    parts, table, body = sections(s), b"", b""
    for kind, size, data in parts:
        table += struct.pack("<IIQQQ", kind, size, 8192 + len(body), len(data), len(data) // size) + blake3(data)
        body += data + bytes(-len(data) % 4096)
    table += bytes(4096 - len(table))
    roots = frontier(leaves)
    is_packed = parts[-1][0] == 42
    header = struct.pack("<8s6I", b"VALORISN", 2 if is_packed else 1, s.dim, 1, 1, 1, len(parts))
    header += h[32:64] + h[64:96] + h[96:104] + h[104:136]
    header += struct.pack("<QQQ", len(leaves), height, time_ms) + s.root()
    header += struct.pack("<IIQ", len(roots), sum(1 << p for p in s.config), 8192 + len(body))
    header += struct.pack("<16Q", *(s.config.get(p, 0) for p in range(16)))
    header += struct.pack("<10Q", *counts(s), len(s.records) if is_packed else 0)
    header += bytes(512 - len(header)) + b"".join(roots)
    header += bytes(4060 - len(header)) + blake3(table)
    return header + struct.pack("<I", crc32c(header)) + table + body


def replay(segments, end):
    s, leaves, height, time_ms, h = None, [], 0, 0, None
    for h, place, c, body in reference.commits(segments):
        s = s or Store(struct.unpack("<I", h[12:16])[0])
        if height == end:
            break
        commit, first_event, time_ms, events, requests, flags = struct.unpack("<QQQIII", c[16:52])
        table, rest = body[: 24 * requests], body[24 * requests :]
        asked = {struct.unpack_from("<I", table, 24 * k)[0]: table[24 * k + 8 : 24 * k + 24] for k in range(requests)}
        for n in range(events):
            size, kind, eflags = struct.unpack_from("<IBB", rest)
            digest = s.apply(kind, eflags, rest[8 : 8 + size])
            if n in asked:
                s.request(asked[n], height + n, struct.unpack_from("<Q", rest, 8)[0] if kind != 15 else 0, digest)
            rest = rest[8 + (size + 7) // 8 * 8 :]
        need(s.root() == rest[32:], f"{place}: state root")
        height += events
        numbers = struct.pack("<QQIIQ", commit, first_event, events, flags, time_ms)
        leaves.append(sha256(b"\0" + h[32:64] + numbers + blake3(table) + rest))
    need(s is not None and height == end, f"no commit ends at event {end}")
    return s, h, leaves, height, time_ms


def main(path, segments):
    with open(path, "rb") as f:
        data = f.read()
    need(data[:8] == b"VALORISN", f"{path}: not a snapshot")
    made = snapshot(*replay(segments, struct.unpack("<Q", data[144:152])[0]))
    shorter = min(len(made), len(data))
    for at in [*range(8192, shorter), *range(min(8192, shorter))]:  # the sections first: the header has their digests
        need(made[at] == data[at], f"{path}: offset {at}: is {data[at]:02x}, by the manual {made[at]:02x}")
    need(len(made) == len(data), f"{path}: is {len(data)} bytes, by the manual {len(made)}")
    print(struct.unpack("<Q", data[144:152])[0], len(data), data[160:192].hex())


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except Fault as fault:
        sys.exit(f"snapshot.py: {fault}")
