#!/usr/bin/env python3
"""reference.py - the formats once more, written from the manual and not from the C code.

Reads the segments of one event log, rebuilds the state, and computes every root from nothing after every commit: slow,
plain, and by another hand. Prints one line: commits, events, state root, tree root. Exits 1 with a sentence at the first
byte that differs from what the manual (valori-log(5)) says.

usage: reference.py SEGMENT...      oldest first
"""
import hashlib
import struct
import sys

# ---- BLAKE3, from the specification ----

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, DERIVE_CONTEXT, DERIVE_MATERIAL = 1, 2, 4, 8, 32, 64
MASK = 0xFFFFFFFF


def compress(cv, block, counter, size, flags):
    m = list(struct.unpack("<16I", block))
    v = list(cv) + list(IV[:4]) + [counter & MASK, counter >> 32, size, flags]

    def mix(a, b, c, d, x, y):
        v[a] = (v[a] + v[b] + x) & MASK
        v[d] = ((v[d] ^ v[a]) >> 16 | (v[d] ^ v[a]) << 16) & MASK
        v[c] = (v[c] + v[d]) & MASK
        v[b] = ((v[b] ^ v[c]) >> 12 | (v[b] ^ v[c]) << 20) & MASK
        v[a] = (v[a] + v[b] + y) & MASK
        v[d] = ((v[d] ^ v[a]) >> 8 | (v[d] ^ v[a]) << 24) & MASK
        v[c] = (v[c] + v[d]) & MASK
        v[b] = ((v[b] ^ v[c]) >> 7 | (v[b] ^ v[c]) << 25) & MASK

    for _ in range(7):
        mix(0, 4, 8, 12, m[0], m[1])
        mix(1, 5, 9, 13, m[2], m[3])
        mix(2, 6, 10, 14, m[4], m[5])
        mix(3, 7, 11, 15, m[6], m[7])
        mix(0, 5, 10, 15, m[8], m[9])
        mix(1, 6, 11, 12, m[10], m[11])
        mix(2, 7, 8, 13, m[12], m[13])
        mix(3, 4, 9, 14, m[14], m[15])
        m = [m[i] for i in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def subtree(data, key, flags, counter, is_root):
    if len(data) <= 1024:
        cv, blocks = list(key), max(1, (len(data) + 63) // 64)
        for i in range(blocks):
            block = data[64 * i : 64 * i + 64]
            f = flags | (CHUNK_START if i == 0 else 0) | (CHUNK_END if i == blocks - 1 else 0)
            f |= ROOT if is_root and i == blocks - 1 else 0
            cv = compress(cv, block.ljust(64, b"\0"), counter, len(block), f)
        return cv
    chunks = (len(data) + 1023) // 1024
    left = 1 << ((chunks - 1).bit_length() - 1)
    block = struct.pack(
        "<16I",
        *subtree(data[: left * 1024], key, flags, counter, False),
        *subtree(data[left * 1024 :], key, flags, counter + left, False),
    )
    return compress(key, block, 0, 64, flags | PARENT | (ROOT if is_root else 0))


def blake3(data, key=IV, flags=0):
    return struct.pack("<8I", *subtree(bytes(data), key, flags, 0, True))


KEYS = {}


def derive(context, data):
    if context not in KEYS:
        KEYS[context] = struct.unpack("<8I", blake3(b"valori " + context + b" v1", IV, DERIVE_CONTEXT))
    return blake3(data, KEYS[context], DERIVE_MATERIAL)


# ---- the other two ----


def crc32c(data):
    crc = MASK
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ MASK


def sha256(data):
    return hashlib.sha256(data).digest()


def log_tree_root(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\1" + log_tree_root(leaves[:k]) + log_tree_root(leaves[k:]))


# ---- the state's trees ----

ZERO = bytes(32)


def tree_root(context, leaves):
    level = list(leaves)
    if not level:
        return ZERO
    while len(level) > 1:
        if len(level) % 2:
            level.append(ZERO)
        level = [
            ZERO if a == ZERO and b == ZERO else derive(context, a + b) for a, b in zip(level[::2], level[1::2])
        ]
    return level[0]


class Fault(Exception):
    pass


def need(fact, sentence):
    if not fact:
        raise Fault(sentence)


NONE = 2**64 - 1
LIVE, TOMBSTONE, DELETED = 1, 2, 3


class State:
    def __init__(self, dim):
        self.dim = dim
        self.records = []  # dict, or None when deleted
        self.nodes, self.edges, self.meta = [], [], []
        self.collections = [[b"default", True]]
        self.config = {}
        self.leaves = {}  # cache of leaf hashes by preimage: the only shortcut

    def leaf(self, context, preimage):
        if (context, preimage) not in self.leaves:
            self.leaves[context, preimage] = derive(context, preimage)
        return self.leaves[context, preimage]

    def all_leaves(self):
        """Of records, nodes, edges, meta, collections."""
        records = []
        for i, r in enumerate(self.records):
            if r["status"] == DELETED:
                p = struct.pack("<QQHB5x", i, 0, 0, DELETED) + ZERO * 3
            else:
                p = struct.pack("<QQHB5x", i, r["tag"], r["collection"], r["status"]) + r["K"] + r["V"] + r["M"]
            records.append(self.leaf(b"record", p))
        nodes = [
            self.leaf(
                b"node", struct.pack("<QQHBB4x", i, n[0], n[1], n[2], 1) if n else struct.pack("<QQHBB4x", i, 0, 0, 0, 0)
            )
            for i, n in enumerate(self.nodes)
        ]
        edges = [
            self.leaf(
                b"edge",
                struct.pack("<QQQBB6x", i, e[0], e[1], e[2], 1) if e else struct.pack("<QQQBB6x", i, 0, 0, 0, 0),
            )
            for i, e in enumerate(self.edges)
        ]
        meta = [
            self.leaf(b"meta", struct.pack("<QB7x", i, 1 if m else 0) + (m[1] + m[2] if m else ZERO * 2))
            for i, m in enumerate(self.meta)
        ]
        collections = [
            self.leaf(b"collection", struct.pack("<QB7x", i, live) + derive(b"key", name))
            for i, (name, live) in enumerate(self.collections)
        ]
        return [records, nodes, edges, meta, collections]

    def root(self):
        lists = self.all_leaves()
        config = derive(b"config", b"".join(struct.pack("<IIQ", p, 0, v) for p, v in sorted(self.config.items())))
        return derive(
            b"state",
            struct.pack("<II", self.dim, 1)
            + config
            + b"".join(tree_root(b"tree", x) for x in lists)
            + struct.pack("<5Q", *(len(x) for x in lists)),
        )

    def live(self, i):
        need(i < len(self.records) and self.records[i]["status"] == LIVE, f"record {i} is not live")
        need(self.collections[self.records[i]["collection"]][1], f"record {i} is in a dropped collection")
        return self.records[i]

    def apply(self, kind, flags, payload):
        """Returns the event's digest D."""
        head = struct.pack("<BBHI", kind, flags & 1, 0, 0)
        salt = b""
        if kind == 1:
            i, tag, collection, key_size, meta_size = struct.unpack_from("<QQHHI", payload)
            at = 24
            if flags & 1:
                salt, at = payload[at : at + 16], at + 16
            vector = payload[at : at + 4 * self.dim]
            at += 4 * self.dim
            key = payload[at : at + key_size]
            at += key_size
            meta = None if meta_size == 0xFFFFFFFF else payload[at : at + meta_size]
            need(at + (0 if meta is None else meta_size) == len(payload), "insert: length")
            need(i == len(self.records), "insert: id is not the next one")
            need(sum(x * x for x in struct.unpack(f"<{self.dim}i", vector)) < 2**62, "insert: norm")
            for r in self.records:
                same = r["status"] == LIVE and r["collection"] == collection and r["key"] == key
                need(not key or not same, "insert: key is taken")
            K = derive(b"key", key) if key else ZERO
            V = derive(b"vector", salt + vector)
            M = ZERO if meta is None else derive(b"metadata", salt + meta)
            self.records.append(dict(status=LIVE, tag=tag, collection=collection, key=key, K=K, V=V, M=M))
            return derive(b"event", head + struct.pack("<QQH6x", i, tag, collection) + K + V + M)
        if kind == 4:
            i, meta_size, zero = struct.unpack_from("<QII", payload)
            need(zero == 0, "set_metadata: reserved")
            at = 16
            if flags & 1:
                salt, at = payload[at : at + 16], at + 16
            meta = None if meta_size == 0xFFFFFFFF else payload[at:]
            need(meta is None or len(meta) == meta_size, "set_metadata: length")
            r = self.live(i)
            r["M"] = M = ZERO if meta is None else derive(b"metadata", salt + meta)
            return derive(b"event", head + struct.pack("<Q", i) + M)
        if kind == 11:
            slot, key_size, zero, size = struct.unpack_from("<QHHI", payload)
            key, value = payload[16 : 16 + key_size], payload[16 + key_size :]
            need(zero == 0 and len(value) == size, "meta_set: length")
            at = [s for s, m in enumerate(self.meta) if m and m[0] == key] or [len(self.meta)]
            need(at[0] == slot, "meta_set: slot")
            K, M = derive(b"key", key), derive(b"meta value", value)
            if slot == len(self.meta):
                self.meta.append(None)
            self.meta[slot] = (key, K, M)
            return derive(b"event", head + struct.pack("<Q", slot) + K + M)
        if kind == 13:
            i, size = struct.unpack_from("<QH6x", payload)
            name = payload[16:]
            need(len(name) == size and i == len(self.collections), "collection_create")
            need([name, True] not in self.collections, "collection_create: name is taken")
            self.collections.append([name, True])
            return derive(b"event", head + struct.pack("<Q", i) + derive(b"key", name))

        digest = derive(b"event", head + payload)
        (i,) = struct.unpack_from("<Q", payload)
        if kind == 2:
            self.live(i)["status"] = TOMBSTONE
        elif kind == 3:
            need(self.records[i]["status"] != DELETED, "delete: is deleted")
            self.records[i]["status"] = DELETED
        elif kind == 5:
            self.live(i)["tag"] = struct.unpack("<QQ", payload)[1]
        elif kind == 6:
            i, record, collection, node_kind = struct.unpack("<QQHB5x", payload)
            need(i == len(self.nodes), "node_create: id")
            if record != NONE:
                need(self.live(record)["collection"] == collection, "node_create: collection")
            self.nodes.append((record, collection, node_kind))
        elif kind == 7:
            i, record = struct.unpack("<QQ", payload)
            node = self.nodes[i]
            if record != NONE:
                need(self.live(record)["collection"] == node[1], "node_set_record: collection")
            self.nodes[i] = (record,) + node[1:]
        elif kind == 8:
            need(self.nodes[i], "node_delete: is deleted")
            self.nodes[i] = None
            for e, edge in enumerate(self.edges):
                if edge and i in edge[:2]:
                    self.edges[e] = None
        elif kind == 9:
            i, source, target, edge_kind = struct.unpack("<QQQB7x", payload)
            need(i == len(self.edges), "edge_create: id")
            need(self.nodes[source][1] == self.nodes[target][1], "edge_create: collections")
            self.edges.append((source, target, edge_kind))
        elif kind == 10:
            need(self.edges[i], "edge_delete: is deleted")
            self.edges[i] = None
        elif kind == 12:
            need(self.meta[i], "meta_delete: is deleted")
            self.meta[i] = None
        elif kind == 14:
            need(i > 0 and self.collections[i][1], "collection_drop")
            self.collections[i][1] = False
        elif kind == 15:
            parameter, zero, value = struct.unpack("<IIQ", payload)
            need(0 < parameter < 16 and zero == 0, "config: parameter")
            self.config[parameter] = value
        else:
            raise Fault(f"event type {kind}")
        return digest


def commits(paths):
    """Yields (header of the log, offset, commit header, body)."""
    log_id = None
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        h = data[:4096]
        need(h[:8] == b"VALORIEV" and len(h) == 4096, f"{path}: not a segment")
        need(crc32c(h[:4092]) == struct.unpack("<I", h[4092:])[0], f"{path}: header crc")
        need(struct.unpack("<I", h[8:12])[0] == 1 and struct.unpack("<4I", h[16:32]) == (1, 1, 1, 0), f"{path}: header")
        log_id = log_id or h[32:64]
        need(log_id == h[32:64], f"{path}: another log")
        at = 4096
        while any(data[at:]):
            c = data[at : at + 64]
            magic, crc, length = struct.unpack("<4sIQ", c[:16])
            need(magic == b"VCMT" and crc32c(c[8:]) == crc, f"{path}: offset {at}: commit header")
            body = data[at + 64 : at + 64 + length]
            need(len(body) == length and length % 8 == 0, f"{path}: offset {at}: body length")
            need(crc32c(body) == struct.unpack("<I", c[52:56])[0], f"{path}: offset {at}: body crc")
            yield h, f"{path}: offset {at}", c, body
            at += 64 + length


def main(paths):
    state, leaves, height, time_ms = None, [], 0, 0
    for h, place, c, body in commits(paths):
        if state is None:
            first, event = struct.unpack("<QQ", h[136:152])
            need((first, event) == (0, 0), "the log was trimmed: its base needs a snapshot")
            state = State(struct.unpack("<I", h[12:16])[0])
        number, first_event, time, events, requests, flags = struct.unpack("<QQQIII", c[16:52])
        need(number == len(leaves) and first_event == height and time >= time_ms and flags == 0, f"{place}: numbering")
        need(is_zero(c[56:64]), f"{place}: reserved")
        table, rest = body[: 24 * requests], body[24 * requests :]
        digests = []
        for _ in range(events):
            size, kind, eflags, zero = struct.unpack_from("<IBBH", rest)
            padded = (size + 7) // 8 * 8
            need(zero == 0 and is_zero(rest[8 + size : 8 + padded]), f"{place}: event padding")
            try:
                digests.append(state.apply(kind, eflags, rest[8 : 8 + size]))
            except (Fault, IndexError, TypeError, struct.error) as fault:
                raise Fault(f"{place}: event {height + len(digests)}: {fault}") from fault
            rest = rest[8 + padded :]
        need(len(rest) == 64, f"{place}: body size")
        need(tree_root(b"events", digests) == rest[:32], f"{place}: events root")
        need(state.root() == rest[32:], f"{place}: state root")
        height, time_ms = height + events, time
        leaves.append(
            sha256(
                b"\0" + h[32:64] + struct.pack("<QQIIQ", number, first_event, events, flags, time) + blake3(table) + rest
            )
        )
    need(state is not None, "no commit")
    print(len(leaves), height, state.root().hex(), log_tree_root(leaves).hex())


def is_zero(data):
    return not any(data)


if __name__ == "__main__":
    assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    try:
        main(sys.argv[1:])
    except Fault as fault:
        sys.exit(f"reference.py: {fault}")
