/*
 * commit.h - the bytes of a log: segment headers and commits, and the position that they move.
 *
 * valori-log(5) is the format's law. Pure: whoever has the bytes can follow a log, on a machine without files, too.
 *
 * Segment header, 4096 bytes:
 *   0 magic "VALORIEV" | 8 version u32 = 1 | 12 dim u32 | 16 arithmetic u32 = 1 | 20 state hash u32 = 1 | 24 tree hash
 *     u32 = 1 | 28 0 u32
 *   | 32 log id[32] | 64 parent log id[32] | 96 parent commits u64 | 104 parent root[32]   (what it was restored from;
 *     zeros for a store born empty)
 *   | 136 first commit u64 (= size of the log tree before it) | 144 first event u64 | 152 time_ms u64 of the commit
 *     before, 0 if none
 *   | 160 state root[32] before the first commit | 192 frontier count u32 | 196 0 | 256 frontier roots[64][32] | 2304 0
 *     | 4092 crc32c u32 of bytes 0...4091
 * Commit header, 64 bytes:
 *   0 magic "VCMT" | 4 crc32c u32 of bytes 8...63 | 8 body length u64 (multiple of 8, at most 1 GiB) | 16 number u64 |
 *     24 first event u64
 *   | 32 time_ms u64 | 40 event count u32 (1...16,777,216) | 44 request count u32 (<= event count) | 48 flags u32 = 0 |
 *     52 body crc32c u32 | 56 0 u64
 * Commit body:
 *   request table {event index u32 (ascending strictly), 0 u32, id[16]} x request count | events | events_root[32] |
 *     state_root[32]
 * Log tree leaf (RFC 6962, SHA-256): SHA-256(0x00 | log id | commit number u64 | first event u64 | event count u32 |
 * flags u32 | time_ms u64
 *   | BLAKE3(request table) | events_root | state_root).
 */
#ifndef VL_COMMIT_H
#define VL_COMMIT_H

#include "blake3.h"
#include "err.h"
#include "sha256.h"

enum {
	VL_SEGMENT_HEADER = 4096,
	VL_COMMIT_HEADER = 64,
	VL_COMMIT_TRAILER = 64, /* events_root, state_root */
	VL_REQUEST_ENTRY = 24,
	VL_COMMIT_EVENTS_MAX = 1 << 24
};
#define VL_COMMIT_SIZE_MAX (UINT64_C(1) << 30)

/* Where in a history: everything that the next commit, or the next segment header, depends on. */
struct vl_position {
	uint32_t dim;
	uint8_t log_id[32], parent_id[32], parent_root[32];
	uint64_t parent_commits;
	uint64_t height;  /* events so far */
	uint64_t time_ms; /* of the last commit */
	uint8_t state_root[32];
	struct vl_frontier frontier; /* its size is the number of commits so far */
};

void vl_segment_header_encode(const struct vl_position *position, const struct vl_kernels *kernels,
			      uint8_t out[VL_SEGMENT_HEADER]);
/* OK, NOT_OURS (magic), NEWER, DAMAGED. name is for messages. */
valori_code vl_segment_header_decode(const uint8_t data[VL_SEGMENT_HEADER], const char *name,
				     const struct vl_kernels *kernels, struct vl_position *out, valori_error *error);

/* One commit as read. Pointers borrow from the reader's buffer, until its next call. */
struct vl_commit {
	uint64_t number, first_event, time_ms;
	uint32_t event_count, request_count, flags;
	const uint8_t *bytes; /* header and body */
	uint64_t size;
	const uint8_t *requests; /* request_count x 24 bytes */
	const uint8_t *events;
	uint64_t events_size;
	const uint8_t *events_root, *state_root;
	const char *path; /* of the file; the name given for a stream */
	uint64_t offset;  /* of the commit header in it */
};

/*
 * Parses header and body framing of the commit at data (size bytes are there) and checks both crcs, lengths, zeros and
 * that it is the one that follows position. OK, DAMAGED, NEWER (flags). Does not look into events.
 */
valori_code vl_commit_decode(const uint8_t *data, uint64_t size, const struct vl_position *position,
			     const struct vl_kernels *kernels, struct vl_commit *out, valori_error *error);
/* Its leaf in the log tree. */
void vl_commit_leaf(const struct vl_commit *commit, const uint8_t log_id[32], const struct vl_kernels *kernels,
		    uint8_t out[32]);
/* Moves position past the commit (frontier, height, time, state root). */
void vl_position_advance(struct vl_position *position, const struct vl_commit *commit,
			 const struct vl_kernels *kernels);
/*
 * Fills in header (number, first event, crcs ...) of a commit whose body lies complete behind VL_COMMIT_HEADER bytes
 * left free at data.
 */
void vl_commit_finish(uint8_t *data, uint64_t size, const struct vl_position *position, uint64_t time_ms,
		      uint32_t event_count, uint32_t request_count, const struct vl_kernels *kernels);

/* ---- Parts of it, for readers of files ---- */

/*
 * The header of a commit at data, which must be the one that follows position: magic, crc, zeros, limits,
 * numbering, time. Fills in all of out but the pointers; out->size is header and body together. OK, DAMAGED,
 * NEWER; the sentence names neither file nor offset.
 */
valori_code vl_commit_header_decode(const uint8_t data[VL_COMMIT_HEADER], const struct vl_position *position,
				    const struct vl_kernels *kernels, struct vl_commit *out, valori_error *error);
/* Given its header: points into the whole commit at data. */
void vl_commit_point(struct vl_commit *commit, const uint8_t *data);
/*
 * Could a commit header with a number of at least `number` stand at data? Only magic, crc, number and limits
 * are looked at.
 */
bool vl_commit_header_plausible(const uint8_t data[VL_COMMIT_HEADER], uint64_t number,
				const struct vl_kernels *kernels);
/* What differs between two positions that should be one: NULL when nothing does. */
const char *vl_position_difference(const struct vl_position *a, const struct vl_position *b);

#endif
