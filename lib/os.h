/*
 * os.h - the only door to the machine: files, locks, time, randomness, as a table of functions.
 *
 * Everything above the waterline does its input and output through a struct vl_os, so that the crash simulator and
 * fault injection can stand in for the real machine. Members return 0 or a count, or -errno; they never set a message.
 * EINTR is handled inside.
 */
#ifndef VL_OS_H
#define VL_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vl_os_open {
	VL_OS_READ,	 /* must exist */
	VL_OS_WRITE,	 /* read and write, must exist */
	VL_OS_CREATE,	 /* read and write, must not exist (O_EXCL), mode 0644 & ~umask */
	VL_OS_CREATE_ANY /* read and write, made when missing */
};

struct vl_os_stat {
	uint64_t size, device, inode;
	bool is_regular, is_directory;
};

struct vl_os {
	void *context;
	/* A descriptor, close-on-exec. Never waits: a pipe is refused with -ESPIPE. */
	int (*open)(void *context, const char *path, enum vl_os_open how);
	int (*close)(void *context, int fd);
	/* a stream: up to size bytes, 0 at the end */
	int64_t (*read)(void *context, int fd, void *data, size_t size);
	int64_t (*pread)(void *context, int fd, void *data, size_t size, uint64_t offset);
	int64_t (*pwrite)(void *context, int fd, const void *data, size_t size, uint64_t offset);
	int64_t (*write)(void *context, int fd, const void *data, size_t size); /* a stream */
	int (*sync)(void *context, int fd);				      /* fdatasync; never retried by anybody */
	int (*sync_directory)(void *context, const char *path);
	int (*truncate)(void *context, int fd, uint64_t size);
	int (*stat)(void *context, int fd, struct vl_os_stat *out);
	int (*stat_path)(void *context, const char *path, struct vl_os_stat *out); /* follows symbolic links */
	int (*rename)(void *context, const char *from, const char *to);
	int (*link)(void *context, const char *from, const char *to); /* fails with -EEXIST */
	int (*unlink)(void *context, const char *path);
	int (*make_directory)(void *context, const char *path);
	/* Calls visit for each name in a directory but "." and "..", in byte order of the names. */
	int (*list)(void *context, const char *path, int (*visit)(void *argument, const char *name), void *argument);
	int (*map)(void *context, int fd, uint64_t size, const uint8_t **out); /* read-only */
	void (*unmap)(void *context, const uint8_t *data, uint64_t size);
	/* Open file description lock on one byte, exclusive, not waiting: 0, or -EAGAIN when another holds it. */
	int (*lock)(void *context, int fd, uint64_t byte);
	uint64_t (*time_ms)(void *context);			      /* since 1970 UTC */
	uint64_t (*monotonic_ms)(void *context);
	int (*random)(void *context, void *data, size_t size);
	int (*wait)(void *context, int fd, unsigned milliseconds); /* until the file grew, or the time is over */
	int (*describe)(void *context, char *out, size_t size);    /* "pid 123 valori-ingest": for the lock file */
};

/* The real machine. */
extern const struct vl_os vl_os_real;

/* Whole reads and writes over short ones: 0, -errno, or for reads the count when the file ends before. */
int64_t vl_os_pread_all(const struct vl_os *os, int fd, void *data, size_t size, uint64_t offset);
int vl_os_pwrite_all(const struct vl_os *os, int fd, const void *data, size_t size, uint64_t offset);
int vl_os_write_all(const struct vl_os *os, int fd, const void *data, size_t size);
/* Memory that will be used from end to end: large pages, if there are any, are welcome. */
void vl_os_expect(void *memory, size_t size);
/* A variable of the process environment; NULL when it is not set, or empty. */
const char *vl_os_variable(const char *name);
/*
 * strerror without locale: "no space left on device" for the errnos that matter, "system call failed" for others. error
 * may be negative.
 */
const char *vl_os_error_text(int error);

#endif
