/*
 * log.h - event log files: segments, the head, the lock; reading them, and appending with one sync.
 *
 * valori-log(5) is the format's law; this is how the code speaks of it; the bytes of segment headers and
 * commits are in commit.h. Names, for STEM.log (usually events.log):
 *
 *   STEM.log                         the live segment, the only one that grows
 *   STEM-00000000000000001000.log    a sealed segment, by the number of its first event
 *   STEM.head                        what is acknowledged: two slots, written by turns after every sync
 *   STEM.lock                        byte 0: writer, byte 1: maintenance (trim, restore); text: who
 *   STEM.torn                        the last torn tail that was cut off
 *   STEM.new                         any of these being made; what a crash leaves of it is removed by the next writer
 *
 * Head file, 4096 bytes: 0 magic "VALORIHD" | 8 version u32 = 1 | 12 0 u32 | 16 log id[32] | 48 crc32c u32 of bytes
 * 0...47; slots at 1024 and 2048, 128 bytes each:
 *   0 commits u64 | 8 height u64 | 16 first event u64 of the live segment | 24 end offset u64 in it | 32 tree root[32]
 *     | 64 state root[32] | 96 time_ms u64
 *   | 104 0 | 124 crc32c u32 of bytes 0...123.    The valid slot with more commits counts.
 */
#ifndef VL_LOG_H
#define VL_LOG_H

#include "buf.h"
#include "commit.h"
#include "event.h"
#include "os.h"

#define VL_SEGMENT_SIZE_DEFAULT (UINT64_C(256) << 20)
#define VL_SEGMENT_SIZE_MIN (UINT64_C(64) << 10)

/* ---- Names ---- */

struct vl_names { /* of one store's files; all are malloc'ed strings in one block */
	char *directory, *stem, *live, *head, *lock, *torn, *temporary, *snapshot;
	char *restored; /* snapshot.val to be, while a restore is at work */
};
/*
 * path is a live file (a regular file, or a name that ends in ".log" and is no directory) or a directory that holds (or
 * will hold) events.log.
 */
valori_code vl_names_init(struct vl_names *names, const struct vl_os *os, const char *path, valori_error *error);
void vl_names_free(struct vl_names *names);

/* ---- Reading ---- */

struct vl_reader;

enum { VL_READER_PREFIX = 16 };

struct vl_reader_options {
	const char *path;    /* as valori_log_open */
	const char *archive; /* or NULL */
	int fd;		     /* a stream, when path is NULL */
	const char *name;    /* of the stream */
	const uint8_t *prefix; /* its first bytes, when somebody has read them already: at most VL_READER_PREFIX */
	size_t prefix_size;
	bool follow;
	bool again; /* after END, look again for what was acknowledged since */
	/* a stream that may never end: nothing behind what is no commit is waited for, it is DAMAGED at once */
	bool live;
	/* read to the last valid commit, acknowledged or not: for the writer's recovery and for verify */
	bool ignore_head;
	char *fault_path; /* room for 256 bytes: which file it is, when opening fails over one. Or NULL */
};

valori_code vl_reader_open(const struct vl_env *env, const struct vl_os *os, const struct vl_reader_options *options,
			   struct vl_reader **out, valori_error *error);
void vl_reader_close(struct vl_reader *reader);
/* After the last commit given; at first the base of the log. */
const struct vl_position *vl_reader_position(const struct vl_reader *reader);
/* The base of the whole log (of the oldest segment that is there). */
const struct vl_position *vl_reader_base(const struct vl_reader *reader);
/*
 * The next commit is the one that contains event (or follows the last one, when event = height). Uses segment headers
 * and commit headers only; but the position (frontier) is computed on the way from the roots in the commits. UNKNOWABLE
 * before the base. Only forward.
 */
valori_code vl_reader_seek(struct vl_reader *reader, uint64_t event, valori_error *error);
/*
 * Goes to a position that is known from elsewhere (a snapshot): nothing before it is read but commit headers, and
 * nothing is hashed, so that it costs at most one walk over one segment's commit headers. OTHER_LOG: another log, or
 * this log has another history there (state root or numbers differ). NOT_FOUND: the log ends before it. UNKNOWABLE
 * before the base. Files only, forward only. After a failure the reader can only be closed.
 */
valori_code vl_reader_seek_position(struct vl_reader *reader, const struct vl_position *known, valori_error *error);
/*
 * OK; END: position is the end of what counts, torn_size bytes after it do not (zeros are not counted); DAMAGED with
 * offset and event: damage at or below the head (or, without a head, with a valid commit header behind it); MISSING:
 * the log ends below the head, or a segment is not there; NEWER, IO, NO_MEMORY. Memory is bounded by what was really
 * read.
 */
valori_code vl_reader_next(struct vl_reader *reader, struct vl_commit *out, valori_error *error);
uint64_t vl_reader_torn_size(const struct vl_reader *reader);
/* of the last commit given, in the file of reader_path */
uint64_t vl_reader_end_offset(const struct vl_reader *reader);
const char *vl_reader_path(const struct vl_reader *reader);	  /* of the segment being read */
/* After a failure: of the file that it is about, which may be the next one. */
const char *vl_reader_fault_path(const struct vl_reader *reader);
uint64_t vl_reader_segments(const struct vl_reader *reader);	  /* files in the set */
/* why the head file is not used, or what is odd about it; "" */
const char *vl_reader_note(const struct vl_reader *reader);

/*
 * The acknowledged end as the head file says; NOT_FOUND without a valid head: the sentence says why. Whose head it is,
 * log_id tells. NEWER, IO.
 */
struct vl_head {
	uint64_t commits, height, segment_first_event, offset, time_ms;
	uint8_t log_id[32], tree_root[32], state_root[32];
	/* of a file: one of its slots is damaged, and may have known of more */
	bool is_partial;
};
valori_code vl_head_read(const struct vl_os *os, const struct vl_kernels *kernels, const char *path,
			 struct vl_head *out, valori_error *error);

/* ---- Writing ---- */

struct vl_writer;

struct vl_writer_options {
	uint64_t segment_size;
	uint32_t sync_mode; /* valori_sync */
	uint32_t sync_commits, sync_ms;
};

/*
 * Takes the writer's lock of a store: LOCKED names the holder. The lock file is made when missing. Two stores in one
 * directory have two stems.
 */
valori_code vl_lock_take(const struct vl_os *os, const char *path, uint64_t byte, int *out_fd, valori_error *error);
void vl_lock_release(const struct vl_os *os, int fd);

/*
 * Makes a new live segment (temporary name, sync, link to its name: never over an existing file, sync of the directory)
 * that starts at position, and its head. [lock held]
 */
valori_code vl_log_create(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			  const struct vl_position *position, valori_error *error);
/*
 * Opens for appending a log that a reader (ignore_head) has read to its END: position and offset are where it stopped.
 * Finishes a half rotation, writes the bytes from the head's acknowledged offset to the end again in place and syncs
 * them (a failed sync leaves clean pages that never reached the disk), saves the torn tail to STEM.torn and cuts it
 * off, syncs. [lock held]
 */
valori_code vl_writer_open(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			   const struct vl_writer_options *options, const struct vl_reader *reader,
			   struct vl_writer **out, valori_error *error);
/*
 * Appends whole commits that follow one another (bytes), position being the one after them; not yet durable. Rotates
 * before, when the live segment is full. After ENOSPC nothing of it is left behind and later calls may succeed; after
 * other failures the writer is poisoned: POISONED for ever.
 */
valori_code vl_writer_append(struct vl_writer *writer, const uint8_t *bytes, uint64_t size,
			     const struct vl_position *position, valori_error *error);
/* One fdatasync for all that was appended, then the head slot. On failure the writer is poisoned. */
valori_code vl_writer_sync(struct vl_writer *writer, valori_error *error);
/*
 * The two of them for two threads. vl_writer_put is vl_writer_append without what takes the file for itself: it does
 * not rotate when the segment is full, and when it fails, vl_writer_cut has to follow. vl_writer_sync_mark makes
 * durable what was appended up to a mark, when position was the writer's; it may run beside vl_writer_put, and beside
 * nothing else: the system tells an error to one of two syncs only.
 */
struct vl_writer_mark {
	int fd;
	uint64_t segment_first_event, offset;
};
bool vl_writer_is_full(const struct vl_writer *writer);
valori_code vl_writer_put(struct vl_writer *writer, const uint8_t *bytes, uint64_t size,
			  const struct vl_position *position, valori_error *error);
void vl_writer_cut(struct vl_writer *writer);
struct vl_writer_mark vl_writer_get_mark(const struct vl_writer *writer);
valori_code vl_writer_sync_mark(struct vl_writer *writer, const struct vl_writer_mark *mark,
				const struct vl_position *position, valori_error *error);
/*
 * vl_writer_sync when the options say so: ALWAYS: now; BATCH: when sync_commits commits are waiting, or the first of
 * them has waited sync_ms; NONE: not. For calling after each group of appends, and with BATCH also when nothing is
 * appended for a while.
 */
valori_code vl_writer_maybe_sync(struct vl_writer *writer, valori_error *error);
/* Starts a new live segment at the current position, unless the live one holds no commit. */
valori_code vl_writer_rotate(struct vl_writer *writer, valori_error *error);
const struct vl_position *vl_writer_position(const struct vl_writer *writer);
/* Syncs, stores and syncs the head. NULL is fine. */
valori_code vl_writer_close(struct vl_writer *writer, valori_error *error);

/*
 * Segments that end at or before height and so can be trimmed, oldest first: calls visit(path, first event, end height,
 * size).
 */
valori_code vl_log_sealed(const struct vl_env *env, const struct vl_os *os, const struct vl_names *names,
			  valori_code (*visit)(void *argument, const char *path, uint64_t first_event,
					       uint64_t end_event, uint64_t size),
			  void *argument, valori_error *error);

#endif
