/*
 * shelf.h - a machine whose files lie in memory, where a test can reach them: to open a store in which one bit is wrong
 * costs microseconds.
 *
 * Nothing fails and nothing is lost here; tests/crash/sim_os.h has the machine for that. Directories are there
 * when a file is, or when they were made.
 */
#ifndef SHELF_H
#define SHELF_H

#include "os.h"

enum { SHELF_NAMES = 24, SHELF_HANDLES = 16, SHELF_PATH = 96 };

struct shelf_file {
	uint8_t *data;
	size_t size, capacity;
	unsigned names; /* 0: not in use */
};

struct shelf {
	struct vl_os os;
	struct {
		char path[SHELF_PATH]; /* "": not in use */
		int file;              /* -1: a directory */
	} names[SHELF_NAMES];
	struct shelf_file files[SHELF_NAMES];
	struct {
		int file; /* -1: not in use */
		uint64_t at;
		bool has_lock;
		uint64_t locked;
	} handles[SHELF_HANDLES];
	int open, mapped; /* not yet given back */
};

void shelf_init(struct shelf *shelf);
void shelf_free(struct shelf *shelf);
/* The same files as those of another one, as far as there are any; what was open here is not any more. */
void shelf_copy(struct shelf *shelf, const struct shelf *from);
/* NULL: there is no such file. Good until the next change. */
struct shelf_file *shelf_find(struct shelf *shelf, const char *path);
void shelf_put(struct shelf *shelf, const char *path, const uint8_t *data, size_t size);
void shelf_remove(struct shelf *shelf, const char *path);

#endif
