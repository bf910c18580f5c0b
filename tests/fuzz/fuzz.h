/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target is LLVMFuzzerTestOneInput: whatever the bytes are, it returns. It does more than not to crash: it demands
 * with must() that what was accepted comes out again as the same bytes, that two ways to read the same thing agree,
 * and that no more memory is taken than the input deserves. libFuzzer finds inputs (make fuzz); replay.c gives the
 * ones that are kept, and a few changes of each, to the same function in every build (make check).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process when the promise is broken. */
#define must(promise) ((promise) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #promise))
_Noreturn void fuzz_broken(const char *file, int line, const char *promise);

/* ---- memory ---- */

/*
 * Memory whose blocks are exactly as large as was asked for, filled with rubbish, and counted: more than `limit` bytes
 * at a time end the process.
 */
struct fuzz_memory {
	struct vl_env env;
	uint64_t bytes, blocks, limit;
};
void fuzz_memory_init(struct fuzz_memory *memory, const struct vl_kernels *kernels, uint64_t limit);
/* All was given back. */
void fuzz_memory_check(const struct fuzz_memory *memory);
/* The kernels of this processor. */
const struct vl_kernels *fuzz_kernels(void);

/* ---- files ---- */

enum { FUZZ_FILES = 8, FUZZ_FDS = 16 };

struct fuzz_file {
	const char *path;
	const uint8_t *data;
	size_t size;
};

/* A few files that can be read and not written, in directories that are their paths' beginnings. */
struct fuzz_disk {
	struct vl_os os;
	struct fuzz_file files[FUZZ_FILES];
	unsigned count;
	unsigned piece; /* no read gives more bytes than this; 0: all */
	struct {
		bool is_open;
		unsigned file;
		size_t at; /* of a stream */
	} fds[FUZZ_FDS];
	unsigned mapped;
};
void fuzz_disk_init(struct fuzz_disk *disk);
void fuzz_disk_add(struct fuzz_disk *disk, const char *path, const uint8_t *data, size_t size);
/* Nothing is open or mapped any more. */
void fuzz_disk_check(const struct fuzz_disk *disk);

/* ---- the input, taken apart ---- */

/* Takes numbers and pieces from the front; behind the end there are zeros, and nothing. */
struct fuzz_input {
	const uint8_t *data;
	size_t size;
};
uint8_t fuzz_take8(struct fuzz_input *input);
uint16_t fuzz_take16(struct fuzz_input *input);
uint64_t fuzz_take64(struct fuzz_input *input);
/* size bytes, or as many as there are: *size becomes how many. */
const uint8_t *fuzz_take(struct fuzz_input *input, size_t *size);

/* A digest of anything, for comparing: start with 0. */
uint64_t fuzz_mix(uint64_t digest, const void *data, size_t size);

#endif
