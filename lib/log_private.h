/*
 * log_private.h - what the files of this module share, and nobody else needs.
 *
 *   log_names.c    names of a store's files; which segments there are
 *   log_head.c     the head file and the lock
 *   log_read.c     segments and commits one after the other; what is torn, damaged, missing
 *   log_write.c    creating, recovering, appending, rotating
 */
#ifndef VL_LOG_PRIVATE_H
#define VL_LOG_PRIVATE_H

#include "crc32c.h"
#include "log.h"

/* "path: fact: why the system says no"; sets system_errno. error_number may be negative. */
valori_code vl_fail_system(valori_error *error, int error_number, const char *path, const char *fact);

/* ---- names ---- */

enum { VL_SEALED_DIGITS = 20 };

/* directory/STEM-<first event>.log into a new block of *size bytes from env; NULL when memory is out. */
char *vl_sealed_path(const struct vl_env *env, const char *directory, const char *stem, uint64_t first_event,
		     size_t *size);
/* Is name STEM-<20 digits>.log? */
bool vl_sealed_name_parse(const char *name, const char *stem, uint64_t *out_first_event);

/*
 * The sealed segments of a directory, by name: first events in ascending order, u64 each in machine order. A
 * directory that is not there has none.
 */
valori_code vl_sealed_list(const struct vl_os *os, const char *directory, const char *stem, struct vl_buf *out,
			   valori_error *error);

/* ---- head ---- */

enum {
	VL_HEAD_SIZE = 4096,
	VL_HEAD_SLOT_SIZE = 128,
	VL_HEAD_SLOTS = 2,
	VL_HEAD_SLOT_FIRST = 1024 /* the slots lie at 1024 and 2048 */
};

void vl_head_encode(const struct vl_head *head, const struct vl_kernels *kernels, uint8_t out[VL_HEAD_SIZE]);
void vl_head_slot_encode(const struct vl_head *head, const struct vl_kernels *kernels, uint8_t out[VL_HEAD_SLOT_SIZE]);
/*
 * What is acknowledged when all up to position is, which ends at offset of the segment that starts with event
 * segment_first_event.
 */
void vl_head_set(struct vl_head *head, const struct vl_position *position, uint64_t segment_first_event,
		 uint64_t offset, const struct vl_kernels *kernels);

/* ---- files that appear whole ---- */

/*
 * Writes data to a new file with this name, syncs it, and leaves it open in *out_fd. What was there under that name
 * is removed first.
 */
valori_code vl_file_prepare(const struct vl_os *os, const char *temporary, const uint8_t *data, size_t size,
			    int *out_fd, valori_error *error);

/* ---- reading, for the writer ---- */

struct vl_reader_end {
	uint64_t segment_first_event, offset; /* where reading stopped */
	bool has_head;                        /* a valid head of this log is there */
	struct vl_head head;
};
void vl_reader_get_end(const struct vl_reader *reader, struct vl_reader_end *out);

#endif
