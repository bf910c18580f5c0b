/*
 * snapshot.h - snapshot files: a frozen state with all it takes to go on, made to be mapped.
 *
 * The bytes are a function of the log's prefix alone: no clock, no capacity, no garbage (blobs are laid out
 * anew in canonical order, so a state that was loaded, replayed or lived through writes the same file).
 * Header, 4096 bytes; section table, 4096 bytes; then the sections, each at a multiple of 4096, zero-filled
 * between.
 *
 *   0 magic "VALORISN" | 8 version u32 = 1 | 12 dim u32 | 16 arithmetic u32 = 1 | 20 state hash u32 = 1
 *   | 24 tree hash u32 = 1 | 28 section count u32 | 32 log id[32] | 64 parent log id[32] | 96 parent commits u64
 *   | 104 parent tree root[32] | 136 commits u64 (= size of the log tree) | 144 height u64
 *   | 152 time_ms u64 of the last commit | 160 state root[32] | 192 frontier count u32 | 196 config_set u32
 *   | 200 file size u64 | 208 config values u64 x 16
 *   | 336 counts u64 x 9: live records, tombstones, deleted records, live nodes, edges, meta, collections,
 *     requests in the log so far, keys of records
 *   | 408 0 | 512 frontier roots[64][32] | 2560 0 | 4060 BLAKE3 of the section table[32]
 *   | 4092 crc32c u32 of bytes 0...4091
 *
 * Section table: 64 entries of 64 bytes, unused ones zero:
 *
 *   kind u32 | element size u32 | offset u64 | size u64 (bytes) | count u64 (elements) | BLAKE3 of the bytes[32]
 *
 * Kinds ascend: 1...12 as enum vl_section of state.h, 32 + list its tree (all levels, leaves first), 40 request
 * entries, 41 request buckets; each is there, even when empty, at the first multiple of 4096 behind the one
 * before; the file ends at such a multiple. Behind them the index, when there is one: 0x8000 + part as enum
 * vl_index_part of index.h, all of them. A reader refuses kinds it does not know below 0x8000 (NEWER) and
 * skips those above (derived data, rebuilt when absent).
 *
 * Opening maps the file and checks header and section table: O(1). Data sections are checked in full by
 * vl_snapshot_verify; until then a damaged section can at worst give a wrong answer that the record-leaf
 * check of the search finds, never a crash.
 */
#ifndef VL_SNAPSHOT_H
#define VL_SNAPSHOT_H

#include "commitment.h"
#include "index.h"
#include "log.h"
#include "replica.h"
#include "requests.h"
#include "state.h"

enum { VL_SNAPSHOT_HEADER = 8192, VL_SNAPSHOT_ALIGN = 4096, VL_PARTS_MAX = 64 };

struct vl_snapshot; /* an open, mapped file */

valori_code vl_snapshot_open(const struct vl_env *env, const struct vl_os *os, const char *path,
			     struct vl_snapshot **out, valori_error *error);
/*
 * The same of a stream, all of which is taken into memory as it arrives. prefix: its first bytes, when
 * somebody has read them already.
 */
valori_code vl_snapshot_open_stream(const struct vl_env *env, const struct vl_os *os, int fd,
				    const char *name, const uint8_t *prefix, size_t prefix_size,
				    struct vl_snapshot **out, valori_error *error);
void vl_snapshot_close(struct vl_snapshot *snapshot); /* after everything that was attached to it was freed */
const struct vl_position *vl_snapshot_position(const struct vl_snapshot *snapshot);
/* Fills the sizes and counts of the public struct. */
void vl_snapshot_describe(const struct vl_snapshot *snapshot, valori_snapshot_info *out);
/*
 * Makes state, commitment and request window (each freshly initialised, empty) start with the mapped
 * sections: O(1).
 */
valori_code vl_snapshot_attach(const struct vl_snapshot *snapshot, struct vl_state *state,
			       struct vl_commitment *commitment, struct vl_requests *requests,
			       valori_error *error);
/*
 * The same for all of a replica, in place of what it had; the snapshot must outlive it. After a failure the replica is
 * freed.
 */
valori_code vl_snapshot_attach_replica(const struct vl_snapshot *snapshot, struct vl_replica *replica, uint32_t flags,
				       valori_error *error);
/*
 * The index that lies in the file, mapped, in O(1); state is what was attached. *has is false, and out empty,
 * when there is none. Otherwise free it before the snapshot is closed. OK, DAMAGED, NEWER.
 */
valori_code vl_snapshot_index(const struct vl_snapshot *snapshot, const struct vl_state *state,
			      struct vl_index *out, bool *has, valori_error *error);
/*
 * Everything: section digests, zeros between sections, canonical layout, content digests (vectors, keys,
 * metadata), leaves, every tree level, counts, tables (each live key is found through its bucket), lists,
 * state root, and the index against the state (index.h). OK or DAMAGED with offset and
 * sentence. Streams; needs little memory beyond the mapping.
 */
valori_code vl_snapshot_verify(const struct vl_snapshot *snapshot, valori_error *error);

/*
 * What a writer goes on from, all but the vectors: the digests of those sections. From one wrong bit in a
 * tree, a table or a leaf it would make commits, and acknowledge them, whose roots no replay of the log can
 * give again. OK or DAMAGED.
 */
valori_code vl_snapshot_check_for_writer(const struct vl_snapshot *snapshot, valori_error *error);

/*
 * Writes the file: to path whole or not at all (temporary name in the same directory, sync, read back and
 * verify its digests, rename, sync of the directory); or, when path is NULL, as a stream to fd in file
 * order. state, requests and leaf level of commitment are frozen copies (inner tree levels may be computed
 * anew). index: to be kept with it, or NULL.
 */
valori_code vl_snapshot_write(const struct vl_env *env, const struct vl_os *os,
			      const struct vl_position *position, const struct vl_state *state,
			      const struct vl_commitment *commitment, const struct vl_requests *requests,
			      const struct vl_index *index, const char *path, int fd, valori_error *error);

/* What vl_snapshot_write would say of the file: nothing is written. */
valori_code vl_snapshot_foresee(const struct vl_env *env, const struct vl_position *position,
				const struct vl_state *state, const struct vl_commitment *commitment,
				const struct vl_requests *requests, const struct vl_index *index,
				valori_snapshot_info *out, valori_error *error);

/*
 * Copies a snapshot stream from fd to a new file at path (not synced: it is there to be opened, verified
 * and removed), checking header and length: nothing is written on a stranger's word but what arrived. name
 * is for messages. OK, NOT_OURS, NEWER, DAMAGED, IO.
 */
valori_code vl_snapshot_receive(const struct vl_env *env, const struct vl_os *os, int fd, const char *name,
				const char *path, valori_error *error);
/*
 * Makes the name of a directory durable, which what lies in it needs as much as its own: for before anything
 * in it is acknowledged, whoever has made it. A parent that may not be read was not ours to write in.
 */
valori_code vl_snapshot_keep_directory(const struct vl_env *env, const struct vl_os *os, const char *path,
				       valori_error *error);
/* Syncs the directory that holds path. */
valori_code vl_snapshot_sync_parent(const struct vl_env *env, const struct vl_os *os, const char *path,
				    valori_error *error);

#endif
