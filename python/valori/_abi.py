"""What lib/valori.h declares. Written by make_abi.py: run that rather than editing this."""
# fmt: off
import ctypes as C
from typing import Any, Dict, List, Tuple

VALORI_VERSION_MAJOR = 0
VALORI_VERSION_MINOR = 1
VALORI_VERSION_PATCH = 0
VALORI_VERSION = "0.1.0"
VALORI_LOG_FORMAT = 1
VALORI_SNAPSHOT_FORMAT = 2
VALORI_DIM_MAX = 32768
VALORI_KEY_MAX = 255
VALORI_NAME_MAX = 64
VALORI_METADATA_MAX = 65536
VALORI_K_MAX = 65536
VALORI_EF_MAX = 65536
VALORI_HASH_SIZE = 32
VALORI_REQUEST_SIZE = 16
VALORI_NONE = 0xFFFFFFFFFFFFFFFF
VALORI_OK = 0
VALORI_END = 1
VALORI_INVALID = 10
VALORI_DIMENSION = 11
VALORI_RANGE = 12
VALORI_DUPLICATE = 13
VALORI_TOO_LONG = 14
VALORI_CONFLICT = 15
VALORI_NOT_FOUND = 20
VALORI_MISMATCH = 30
VALORI_OTHER_LOG = 31
VALORI_DAMAGED = 40
VALORI_NOT_OURS = 41
VALORI_MISSING = 42
VALORI_IO = 50
VALORI_NO_MEMORY = 51
VALORI_POISONED = 52
VALORI_FULL = 60
VALORI_LOCKED = 70
VALORI_NEWER = 80
VALORI_UNKNOWABLE = 90
VALORI_WHEN_LATEST = 0
VALORI_WHEN_HEIGHT = 1
VALORI_WHEN_ROOT = 2
VALORI_WHEN_TIME = 3
VALORI_READ = 0
VALORI_WRITE = 1
VALORI_CREATE = 2
VALORI_REHEARSE = 4
VALORI_NO_VECTORS = 8
VALORI_INDEX = 16
VALORI_INDEX_SAVED = 32
VALORI_CONFIG_INDEX = 1
VALORI_CONFIG_HNSW_M = 2
VALORI_CONFIG_HNSW_EF_CONSTRUCTION = 3
VALORI_CONFIG_HNSW_EF_SEARCH = 4
VALORI_CONFIG_IVF_LISTS = 7
VALORI_CONFIG_IVF_PROBES = 8
VALORI_CONFIG_QUANT = 9
VALORI_INDEX_AUTO = 0
VALORI_INDEX_BRUTE = 1
VALORI_INDEX_HNSW = 2
VALORI_INDEX_IVF = 3
VALORI_INDEX_LOGGED = 4
VALORI_SYNC_ALWAYS = 0
VALORI_SYNC_BATCH = 1
VALORI_SYNC_NONE = 2
VALORI_OP_INSERT = 1
VALORI_OP_UPSERT = 2
VALORI_OP_SOFT_DELETE = 3
VALORI_OP_DELETE = 4
VALORI_OP_SET_METADATA = 5
VALORI_OP_SET_TAG = 6
VALORI_OP_NODE_CREATE = 7
VALORI_OP_NODE_SET_RECORD = 8
VALORI_OP_NODE_DELETE = 9
VALORI_OP_EDGE_CREATE = 10
VALORI_OP_EDGE_DELETE = 11
VALORI_OP_META_SET = 12
VALORI_OP_META_DELETE = 13
VALORI_OP_COLLECTION_CREATE = 14
VALORI_OP_COLLECTION_DROP = 15
VALORI_OP_CONFIG = 16
VALORI_REF_NONE = 0
VALORI_REF_ID = 1
VALORI_REF_KEY = 2
VALORI_REF_OP = 3
VALORI_Q16 = 0
VALORI_F32 = 1
VALORI_Q16LE = 2
VALORI_F32LE = 3
VALORI_OP_SALTED = 1
VALORI_OP_REQUEST = 2
VALORI_LIVE = 1
VALORI_TOMBSTONE = 2
VALORI_DELETED = 3
VALORI_PLAN_NONE = 0
VALORI_PLAN_SCAN = 1
VALORI_PLAN_CODES = 2
VALORI_PLAN_LIST = 3
VALORI_PLAN_GRAPH = 4
VALORI_PLAN_ALLOWED = 5
VALORI_PLAN_LISTS = 6
VALORI_LOG_FOLLOW = 1
VALORI_LOG_AGAIN = 2
VALORI_EVENT_INSERT = 1
VALORI_EVENT_SOFT_DELETE = 2
VALORI_EVENT_DELETE = 3
VALORI_EVENT_SET_METADATA = 4
VALORI_EVENT_SET_TAG = 5
VALORI_EVENT_NODE_CREATE = 6
VALORI_EVENT_NODE_SET_RECORD = 7
VALORI_EVENT_NODE_DELETE = 8
VALORI_EVENT_EDGE_CREATE = 9
VALORI_EVENT_EDGE_DELETE = 10
VALORI_EVENT_META_SET = 11
VALORI_EVENT_META_DELETE = 12
VALORI_EVENT_COLLECTION_CREATE = 13
VALORI_EVENT_COLLECTION_DROP = 14
VALORI_EVENT_CONFIG = 15
VALORI_CONSISTENT = 0
VALORI_VERIFIED_STATE = 1
VALORI_VERIFIED_HISTORY = 2
VALORI_TAMPERED = 3
VALORI_VERDICT_DAMAGED = 4
VALORI_DIFFERS = 6
VALORI_INDETERMINATE = 5
VALORI_UPSTREAM_NONE = 0
VALORI_UPSTREAM_LOG = 1
VALORI_UPSTREAM_WAL = 2
VALORI_UPSTREAM_SNAPSHOT = 3
VALORI_UPSTREAM_INTACT = 0
VALORI_UPSTREAM_TORN = 1
VALORI_UPSTREAM_INCOMPLETE = 2
VALORI_UPSTREAM_ALTERED = 3
VALORI_UPSTREAM_REFUSED = 4
VALORI_UPSTREAM_UNREADABLE = 5
VALORI_UPSTREAM_HOLE = 1
VALORI_UPSTREAM_ENCRYPTED = 2
VALORI_UPSTREAM_SHRED = 4
VALORI_UPSTREAM_REPEATED = 8
VALORI_UPSTREAM_TOMBSTONE = 16
VALORI_UPSTREAM_SHREDDED = 32


class valori_error(C.Structure):
    _fields_ = [
        ("code", C.c_int32),
        ("system_errno", C.c_int32),
        ("offset", C.c_uint64),
        ("event", C.c_uint64),
        ("message", C.c_char * 232),
    ]


class valori_hash(C.Structure):
    _fields_ = [
        ("bytes", C.c_uint8 * 32),
    ]


class valori_when(C.Structure):
    _fields_ = [
        ("kind", C.c_uint32),
        ("reserved", C.c_uint32),
        ("value", C.c_uint64),
        ("root", valori_hash),
    ]


class valori_options(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("flags", C.c_uint32),
        ("log", C.c_char_p),
        ("snapshot", C.c_char_p),
        ("archive", C.c_char_p),
        ("dim", C.c_uint32),
        ("sync", C.c_uint32),
        ("sync_commits", C.c_uint32),
        ("sync_ms", C.c_uint32),
        ("segment_size", C.c_uint64),
        ("records_max", C.c_uint64),
        ("at", valori_when),
        ("log_id", C.c_char_p),
        ("time_ms", C.c_uint64),
        ("index", C.c_uint32),
        ("index_threads", C.c_uint32),
        ("index_boundary", C.c_uint64),
    ]


class valori_info(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("dim", C.c_uint32),
        ("height", C.c_uint64),
        ("commits", C.c_uint64),
        ("time_ms", C.c_uint64),
        ("base_height", C.c_uint64),
        ("record_slots", C.c_uint64),
        ("record_live", C.c_uint64),
        ("record_tombstones", C.c_uint64),
        ("record_deleted", C.c_uint64),
        ("node_slots", C.c_uint64),
        ("node_live", C.c_uint64),
        ("edge_slots", C.c_uint64),
        ("edge_live", C.c_uint64),
        ("meta_slots", C.c_uint64),
        ("meta_live", C.c_uint64),
        ("collection_slots", C.c_uint64),
        ("collection_live", C.c_uint64),
        ("log_id", valori_hash),
        ("state_root", valori_hash),
        ("tree_root", valori_hash),
        ("snapshot_height", C.c_uint64),
        ("replayed", C.c_uint64),
        ("torn_size", C.c_uint64),
        ("has_log", C.c_uint32),
        ("sync", C.c_uint32),
        ("notes", C.c_char * 240),
    ]


class valori_ref(C.Structure):
    _fields_ = [
        ("kind", C.c_uint32),
        ("key_size", C.c_uint32),
        ("id", C.c_uint64),
        ("key", C.c_char_p),
    ]


class valori_op(C.Structure):
    _fields_ = [
        ("kind", C.c_uint32),
        ("flags", C.c_uint32),
        ("collection", C.c_uint32),
        ("object_kind", C.c_uint32),
        ("tag", C.c_uint64),
        ("key", C.c_char_p),
        ("key_size", C.c_uint32),
        ("vector_kind", C.c_uint32),
        ("vector", C.c_void_p),
        ("dim", C.c_uint32),
        ("metadata_size", C.c_uint32),
        ("metadata", C.c_char_p),
        ("target", valori_ref),
        ("from", valori_ref),
        ("to", valori_ref),
        ("request", C.c_uint8 * 16),
    ]


class valori_receipt(C.Structure):
    _fields_ = [
        ("commit", C.c_uint64),
        ("first_event", C.c_uint64),
        ("event_count", C.c_uint64),
        ("time_ms", C.c_uint64),
        ("state_root", valori_hash),
        ("root_before", valori_hash),
    ]


class valori_record(C.Structure):
    _fields_ = [
        ("id", C.c_uint64),
        ("tag", C.c_uint64),
        ("collection", C.c_uint32),
        ("status", C.c_uint32),
        ("key", C.c_void_p),
        ("metadata", C.c_void_p),
        ("key_size", C.c_uint32),
        ("metadata_size", C.c_uint32),
        ("node", C.c_uint64),
    ]


class valori_node(C.Structure):
    _fields_ = [
        ("id", C.c_uint64),
        ("record", C.c_uint64),
        ("collection", C.c_uint32),
        ("kind", C.c_uint32),
        ("live", C.c_uint32),
        ("reserved", C.c_uint32),
    ]


class valori_edge(C.Structure):
    _fields_ = [
        ("id", C.c_uint64),
        ("from", C.c_uint64),
        ("to", C.c_uint64),
        ("kind", C.c_uint32),
        ("live", C.c_uint32),
    ]


class valori_search_options(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("k", C.c_uint32),
        ("collection", C.c_uint32),
        ("has_tag", C.c_uint32),
        ("tag", C.c_uint64),
        ("threads", C.c_uint32),
        ("exact", C.c_uint32),
        ("ef", C.c_uint32),
        ("slack", C.c_uint32),
        ("boundary", C.c_uint64),
        ("explanation", C.c_void_p),
        ("probes", C.c_uint32),
    ]


class valori_hit(C.Structure):
    _fields_ = [
        ("id", C.c_uint64),
        ("score", C.c_uint64),
    ]


class valori_explanation(C.Structure):
    _fields_ = [
        ("plan", C.c_uint32),
        ("kind", C.c_uint32),
        ("since", C.c_uint64),
        ("boundary", C.c_uint64),
        ("rows", C.c_uint64),
        ("matched", C.c_uint64),
        ("tail", C.c_uint64),
        ("scanned", C.c_uint64),
        ("visited", C.c_uint64),
        ("compared", C.c_uint64),
        ("repeated", C.c_uint64),
    ]


class valori_index_info(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("kind", C.c_uint32),
        ("has_graph", C.c_uint32),
        ("m", C.c_uint32),
        ("ef_construction", C.c_uint32),
        ("width", C.c_uint32),
        ("slack", C.c_uint32),
        ("ef_search", C.c_uint32),
        ("since", C.c_uint64),
        ("boundary", C.c_uint64),
        ("due", C.c_uint64),
        ("rows", C.c_uint64),
        ("covered", C.c_uint64),
        ("bytes", C.c_uint64),
        ("digest", valori_hash),
        ("lists", C.c_uint32),
    ]


class valori_log_info(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("version", C.c_uint32),
        ("dim", C.c_uint32),
        ("reserved", C.c_uint32),
        ("base_commit", C.c_uint64),
        ("base_event", C.c_uint64),
        ("base_time_ms", C.c_uint64),
        ("log_id", valori_hash),
        ("base_root", valori_hash),
        ("parent_id", valori_hash),
        ("parent_root", valori_hash),
        ("parent_commit", C.c_uint64),
        ("base_tree_root", valori_hash),
    ]


class valori_commit_view(C.Structure):
    _fields_ = [
        ("number", C.c_uint64),
        ("first_event", C.c_uint64),
        ("time_ms", C.c_uint64),
        ("event_count", C.c_uint32),
        ("request_count", C.c_uint32),
        ("offset", C.c_uint64),
        ("path", C.c_void_p),
        ("bytes", C.c_void_p),
        ("size", C.c_uint64),
        ("state_root", valori_hash),
        ("tree_root", valori_hash),
    ]


class valori_event(C.Structure):
    _fields_ = [
        ("number", C.c_uint64),
        ("type", C.c_uint32),
        ("salted", C.c_uint32),
        ("id", C.c_uint64),
        ("tag", C.c_uint64),
        ("record", C.c_uint64),
        ("from", C.c_uint64),
        ("to", C.c_uint64),
        ("collection", C.c_uint32),
        ("kind", C.c_uint32),
        ("key", C.c_void_p),
        ("metadata", C.c_void_p),
        ("vector", C.c_void_p),
        ("salt", C.c_void_p),
        ("request", C.c_void_p),
        ("key_size", C.c_uint32),
        ("metadata_size", C.c_uint32),
        ("parameter", C.c_uint32),
        ("reserved", C.c_uint32),
        ("value", C.c_uint64),
    ]


class valori_snapshot_info(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("version", C.c_uint32),
        ("dim", C.c_uint32),
        ("section_count", C.c_uint32),
        ("height", C.c_uint64),
        ("commits", C.c_uint64),
        ("time_ms", C.c_uint64),
        ("file_size", C.c_uint64),
        ("record_slots", C.c_uint64),
        ("record_live", C.c_uint64),
        ("node_live", C.c_uint64),
        ("edge_live", C.c_uint64),
        ("meta_live", C.c_uint64),
        ("collection_live", C.c_uint64),
        ("log_id", valori_hash),
        ("state_root", valori_hash),
        ("tree_root", valori_hash),
    ]


class valori_trim_result(C.Structure):
    _fields_ = [
        ("base_height", C.c_uint64),
        ("segments", C.c_uint64),
        ("bytes", C.c_uint64),
    ]


class valori_verify_options(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("reserved", C.c_uint32),
        ("path", C.c_char_p),
        ("snapshot", C.c_char_p),
        ("archive", C.c_char_p),
        ("name", C.c_char_p),
        ("fd", C.c_int),
        ("expect_kind", C.c_int),
        ("expect", valori_hash),
        ("expect_size", C.c_uint64),
        ("at", valori_when),
        ("trace", C.CFUNCTYPE(None, C.c_void_p, C.POINTER(valori_commit_view))),
        ("progress", C.CFUNCTYPE(None, C.c_void_p, C.c_uint64)),
        ("context", C.c_void_p),
    ]


class valori_verify_report(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("verdict", C.c_uint32),
        ("is_snapshot", C.c_uint32),
        ("snapshot_used", C.c_uint32),
        ("base_height", C.c_uint64),
        ("height", C.c_uint64),
        ("commits", C.c_uint64),
        ("time_ms", C.c_uint64),
        ("torn_size", C.c_uint64),
        ("segments", C.c_uint64),
        ("log_id", valori_hash),
        ("state_root", valori_hash),
        ("tree_root", valori_hash),
        ("fault_offset", C.c_uint64),
        ("fault_event", C.c_uint64),
        ("fault_commit", C.c_uint64),
        ("fault_time_ms", C.c_uint64),
        ("fault_rewrite", C.c_uint32),
        ("expect_reached", C.c_uint32),
        ("expect_height", C.c_uint64),
        ("fault_path", C.c_char * 256),
        ("sentence", C.c_char * 512),
        ("note", C.c_char * 256),
    ]


class valori_upstream_event(C.Structure):
    _fields_ = [
        ("event", valori_event),
        ("flags", C.c_uint32),
        ("dim", C.c_uint32),
        ("offset", C.c_uint64),
        ("time_s", C.c_uint64),
        ("path", C.c_void_p),
    ]


class valori_upstream_report(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("kind", C.c_uint32),
        ("verdict", C.c_uint32),
        ("version", C.c_uint32),
        ("dim", C.c_uint32),
        ("segments", C.c_uint32),
        ("first_segment", C.c_uint32),
        ("last_segment", C.c_uint32),
        ("state_known", C.c_uint32),
        ("empty_metadata", C.c_uint32),
        ("oversized", C.c_uint32),
        ("reordered", C.c_uint32),
        ("checkpoints", C.c_uint32),
        ("checkpoints_wrong", C.c_uint32),
        ("file_size", C.c_uint64),
        ("entries", C.c_uint64),
        ("events", C.c_uint64),
        ("encrypted", C.c_uint64),
        ("torn_size", C.c_uint64),
        ("torn_inside", C.c_uint64),
        ("state_version", C.c_uint64),
        ("record_slots", C.c_uint64),
        ("record_active", C.c_uint64),
        ("record_soft_deleted", C.c_uint64),
        ("record_encrypted", C.c_uint64),
        ("record_shredded", C.c_uint64),
        ("node_slots", C.c_uint64),
        ("node_live", C.c_uint64),
        ("edge_slots", C.c_uint64),
        ("edge_live", C.c_uint64),
        ("meta_entries", C.c_uint64),
        ("chain_head", valori_hash),
        ("state_hash", valori_hash),
        ("fault_entry", C.c_uint64),
        ("fault_offset", C.c_uint64),
        ("fault_time_s", C.c_uint64),
        ("breach_entry", C.c_uint64),
        ("breach_offset", C.c_uint64),
        ("breach_stored", valori_hash),
        ("breach_computed", valori_hash),
        ("fault_path", C.c_char * 256),
        ("sentence", C.c_char * 512),
    ]


STRUCTS: Tuple[Any, ...] = (valori_error, valori_hash, valori_when, valori_options, valori_info, valori_ref, valori_op, valori_receipt, valori_record, valori_node, valori_edge, valori_search_options, valori_hit, valori_explanation, valori_index_info, valori_log_info, valori_commit_view, valori_event, valori_snapshot_info, valori_trim_result, valori_verify_options, valori_verify_report, valori_upstream_event, valori_upstream_report)

# What VALORI_..._INIT sets.
INITS: Dict[Any, Dict[str, int]] = {
    valori_options: {"size": C.sizeof(valori_options), "index": VALORI_INDEX_LOGGED, "index_boundary": VALORI_NONE},
    valori_search_options: {"size": C.sizeof(valori_search_options), "k": 10},
    valori_verify_options: {"size": C.sizeof(valori_verify_options), "fd": -1},
}

# name: result, arguments
FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {
    "valori_version": (C.c_char_p, []),
    "valori_code_name": (C.c_char_p, [C.c_int]),
    "valori_cpu": (C.c_char_p, []),
    "valori_hash_format": (None, [C.POINTER(valori_hash), C.c_char_p]),
    "valori_hash_parse": (C.c_int, [C.c_char_p, C.POINTER(valori_hash)]),
    "valori_hash_of": (None, [C.c_void_p, C.c_size_t, C.POINTER(valori_hash)]),
    "valori_vector_proof": (None, [C.c_void_p, C.c_uint32, C.POINTER(valori_hash)]),
    "valori_when_parse": (C.c_int, [C.c_char_p, C.POINTER(valori_when), C.POINTER(valori_error)]),
    "valori_q16_from_f32": (C.c_int, [C.c_uint32, C.c_void_p]),
    "valori_q16s_from_f32s": (C.c_int, [C.c_void_p, C.c_size_t, C.c_void_p, C.POINTER(valori_error)]),
    "valori_f32_from_decimal": (C.c_size_t, [C.c_char_p, C.c_size_t, C.c_void_p]),
    "valori_f32s_from_decimals": (C.c_size_t, [C.c_char_p, C.c_size_t, C.c_size_t, C.c_void_p, C.c_void_p]),
    "valori_f32_from_f64": (C.c_uint32, [C.c_uint64]),
    "valori_f32_from_f16": (C.c_uint32, [C.c_uint16]),
    "valori_score_format": (C.c_size_t, [C.c_uint64, C.c_char_p]),
    "valori_q16_format": (C.c_size_t, [C.c_int32, C.c_char_p]),
    "valori_open": (C.c_int, [C.POINTER(valori_options), C.c_void_p, C.POINTER(valori_error)]),
    "valori_close": (C.c_int, [C.c_void_p, C.POINTER(valori_error)]),
    "valori_get_info": (C.c_int, [C.c_void_p, C.POINTER(valori_info), C.POINTER(valori_error)]),
    "valori_batch_new": (C.c_int, [C.c_uint32, C.c_void_p, C.POINTER(valori_error)]),
    "valori_batch_free": (None, [C.c_void_p]),
    "valori_batch_clear": (None, [C.c_void_p]),
    "valori_batch_add": (C.c_int, [C.c_void_p, C.POINTER(valori_op), C.POINTER(valori_error)]),
    "valori_batch_add_rows": (C.c_int, [C.c_void_p, C.POINTER(valori_op), C.c_size_t, C.c_size_t, C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_batch_skip": (None, [C.c_void_p, C.c_size_t]),
    "valori_batch_count": (C.c_size_t, [C.c_void_p]),
    "valori_batch_size": (C.c_size_t, [C.c_void_p]),
    "valori_batch_seal": (None, [C.c_void_p]),
    "valori_commit": (C.c_int, [C.c_void_p, C.c_void_p, C.POINTER(valori_receipt), C.c_void_p, C.POINTER(valori_error)]),
    "valori_commit_many": (C.c_int, [C.c_void_p, C.c_void_p, C.c_size_t, C.POINTER(valori_receipt), C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_flush": (C.c_int, [C.c_void_p, C.POINTER(valori_error)]),
    "valori_request_prefix": (None, [C.c_char_p, C.c_char_p, C.c_void_p]),
    "valori_requests_find": (C.c_int, [C.c_void_p, C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_request_check": (C.c_int, [C.c_void_p, C.c_void_p, C.c_size_t, C.POINTER(valori_error)]),
    "valori_view_open": (C.c_int, [C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_view_close": (None, [C.c_void_p]),
    "valori_view_info": (C.c_int, [C.c_void_p, C.POINTER(valori_info), C.POINTER(valori_error)]),
    "valori_record_get": (C.c_int, [C.c_void_p, C.c_uint64, C.POINTER(valori_record), C.POINTER(valori_error)]),
    "valori_record_find": (C.c_int, [C.c_void_p, C.c_uint32, C.c_char_p, C.c_size_t, C.c_void_p, C.POINTER(valori_error)]),
    "valori_vector_get": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.POINTER(valori_error)]),
    "valori_node_get": (C.c_int, [C.c_void_p, C.c_uint64, C.POINTER(valori_node), C.POINTER(valori_error)]),
    "valori_edge_get": (C.c_int, [C.c_void_p, C.c_uint64, C.POINTER(valori_edge), C.POINTER(valori_error)]),
    "valori_edge_next": (C.c_int, [C.c_void_p, C.c_uint64, C.c_int, C.c_void_p, C.POINTER(valori_edge)]),
    "valori_meta_get": (C.c_int, [C.c_void_p, C.c_char_p, C.c_size_t, C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_collection_find": (C.c_int, [C.c_void_p, C.c_char_p, C.c_size_t, C.c_void_p, C.POINTER(valori_error)]),
    "valori_collection_get": (C.c_int, [C.c_void_p, C.c_uint32, C.c_void_p, C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_search": (C.c_int, [C.c_void_p, C.c_void_p, C.c_size_t, C.POINTER(valori_search_options), C.POINTER(valori_hit), C.c_void_p, C.POINTER(valori_error)]),
    "valori_view_index": (C.c_int, [C.c_void_p, C.POINTER(valori_index_info), C.POINTER(valori_error)]),
    "valori_view_settle": (C.c_int, [C.c_void_p, C.POINTER(valori_error)]),
    "valori_config_get": (C.c_int, [C.c_void_p, C.c_uint32, C.c_void_p, C.POINTER(valori_error)]),
    "valori_log_open": (C.c_int, [C.c_char_p, C.c_char_p, C.c_uint32, C.c_void_p, C.POINTER(valori_error)]),
    "valori_log_open_fd": (C.c_int, [C.c_int, C.c_char_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_log_open_live": (C.c_int, [C.c_int, C.c_char_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_log_close": (None, [C.c_void_p]),
    "valori_log_get_info": (C.c_int, [C.c_void_p, C.POINTER(valori_log_info), C.POINTER(valori_error)]),
    "valori_log_seek": (C.c_int, [C.c_void_p, C.c_uint64, C.POINTER(valori_error)]),
    "valori_log_find": (C.c_int, [C.c_void_p, C.POINTER(valori_when), C.c_void_p, C.POINTER(valori_error)]),
    "valori_log_next": (C.c_int, [C.c_void_p, C.POINTER(valori_commit_view), C.POINTER(valori_error)]),
    "valori_log_torn_size": (C.c_uint64, [C.c_void_p]),
    "valori_log_header": (C.c_int, [C.c_void_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_log_event": (C.c_int, [C.c_void_p, C.c_uint32, C.POINTER(valori_event), C.POINTER(valori_error)]),
    "valori_replicate": (C.c_int, [C.c_void_p, C.c_void_p, C.POINTER(valori_commit_view), C.c_void_p, C.POINTER(valori_error)]),
    "valori_snapshot_write": (C.c_int, [C.c_void_p, C.c_char_p, C.POINTER(valori_snapshot_info), C.POINTER(valori_error)]),
    "valori_snapshot_read": (C.c_int, [C.c_char_p, C.POINTER(valori_snapshot_info), C.POINTER(valori_error)]),
    "valori_snapshot_check": (C.c_int, [C.c_char_p, C.POINTER(valori_snapshot_info), C.POINTER(valori_error)]),
    "valori_trim": (C.c_int, [C.c_char_p, C.c_char_p, C.c_char_p, C.c_int, C.POINTER(valori_trim_result), C.POINTER(valori_error)]),
    "valori_restore": (C.c_int, [C.c_char_p, C.c_char_p, C.POINTER(valori_snapshot_info), C.POINTER(valori_error)]),
    "valori_verify": (C.c_int, [C.POINTER(valori_verify_options), C.POINTER(valori_verify_report), C.POINTER(valori_error)]),
    "valori_upstream_recognise": (C.c_int, [C.c_char_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_upstream_open": (C.c_int, [C.c_void_p, C.c_size_t, C.c_char_p, C.c_void_p, C.POINTER(valori_error)]),
    "valori_upstream_close": (None, [C.c_void_p]),
    "valori_upstream_next": (C.c_int, [C.c_void_p, C.POINTER(valori_upstream_event), C.POINTER(valori_error)]),
    "valori_upstream_get_report": (None, [C.c_void_p, C.POINTER(valori_upstream_report)]),
}
