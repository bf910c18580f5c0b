"""Kinds of graph nodes and edges. A store keeps any number from 0 to 255; these are the protocol's."""

NODE_RECORD = 1
NODE_DOCUMENT = 2
NODE_CHUNK = 3

EDGE_PARENT_OF = 1
EDGE_REFERS_TO = 2
EDGE_SUPERSEDES = 7
EDGE_CONTRADICTS = 8
