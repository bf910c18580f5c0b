/*
 * failing.c - a library to be loaded before a program: makes one of its calls of the system fail.
 *
 * FAIL_AT=N is the number of the call, from 1; FAIL_HOW says how: hard (the error that such a call has when a disk
 * breaks, is full, or descriptors run out), interrupted (EINTR) or short (half of what was asked for). Calls that
 * cannot fail so are not counted. FAIL_COUNT=FILE is where the number of calls goes when the program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

enum { HARD = 1, INTERRUPTED = 2, SHORT = 4 };

static atomic_ulong calls;
static unsigned long fail_at;
static int fail_how;

__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv("FAIL_AT"), *how = getenv("FAIL_HOW");

	fail_at = at ? strtoul(at, NULL, 10) : 0;
	fail_how = how == NULL || strcmp(how, "hard") == 0 ? HARD : strcmp(how, "short") == 0 ? SHORT : INTERRUPTED;
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("FAIL_COUNT");
	char text[32];
	long fd;

	if (path == NULL)
		return;
	fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	syscall(SYS_write, fd, text, (size_t)snprintf(text, sizeof text, "%lu\n", atomic_load(&calls)));
	syscall(SYS_close, fd);
}

/* Is it this call's turn? ways: how it can fail. */
static int fails(int ways)
{
	return (ways & fail_how) && atomic_fetch_add(&calls, 1) + 1 == fail_at;
}

static long wrong(int error)
{
	errno = fail_how == INTERRUPTED ? EINTR : error;
	return -1;
}

static size_t half(size_t size)
{
	return size > 1 ? size / 2 : size;
}

static int do_open(int directory, const char *path, int flags, mode_t mode)
{
	if (fails(HARD | INTERRUPTED))
		return (int)wrong(EMFILE);
	return (int)syscall(SYS_openat, directory, path, flags, mode);
}

#define MODE_OF(flags, mode)                              \
	mode_t mode = 0;                                  \
	if ((flags) & (O_CREAT | __O_TMPFILE)) {          \
		va_list list;                             \
		va_start(list, flags);                    \
		mode = (mode_t)va_arg(list, unsigned);    \
		va_end(list);                             \
	}

#define OPEN(name)                                                \
	PUBLIC int name(const char *path, int flags, ...);        \
	PUBLIC int name(const char *path, int flags, ...)         \
	{                                                         \
		MODE_OF(flags, mode)                              \
		return do_open(AT_FDCWD, path, flags, mode);      \
	}

#define OPENAT(name)                                                     \
	PUBLIC int name(int directory, const char *path, int flags, ...); \
	PUBLIC int name(int directory, const char *path, int flags, ...) \
	{                                                                \
		MODE_OF(flags, mode)                                     \
		return do_open(directory, path, flags, mode);            \
	}

/* The calls that move bytes: name, the call itself, its further arguments. */
#define MOVE(name, number, data_type, error, declared, given)                            \
	PUBLIC ssize_t name(int fd, data_type data, size_t size declared);               \
	PUBLIC ssize_t name(int fd, data_type data, size_t size declared)                \
	{                                                                                \
		if (fails(HARD | INTERRUPTED | SHORT)) {                                 \
			if (fail_how != SHORT)                                           \
				return wrong(error);                                     \
			size = half(size);                                               \
		}                                                                        \
		return syscall(number, fd, data, size given);                            \
	}

#define NONE
#define AT_DECLARED , off_t offset
#define AT_GIVEN , offset

#define TRUNCATE(name)                                                        \
	PUBLIC int name(int fd, off_t size);                                  \
	PUBLIC int name(int fd, off_t size)                                   \
	{                                                                     \
		return fails(HARD | INTERRUPTED) ? (int)wrong(EIO)            \
						 : (int)syscall(SYS_ftruncate, fd, size); \
	}

#define MAP(name)                                                                             \
	PUBLIC void *name(void *at, size_t size, int protection, int flags, int fd, off_t offset); \
	PUBLIC void *name(void *at, size_t size, int protection, int flags, int fd, off_t offset) \
	{                                                                                     \
		if (fd >= 0 && fails(HARD)) {                                                 \
			wrong(ENOMEM);                                                        \
			return MAP_FAILED;                                                    \
		}                                                                             \
		return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);    \
	}

/* The other calls, which can only fail. */
#define CALL(name, number, error, declared, ...)                                       \
	PUBLIC int name declared;                                                      \
	PUBLIC int name declared                                                       \
	{                                                                              \
		return fails(HARD) ? (int)wrong(error) : (int)syscall(number, __VA_ARGS__); \
	}

#undef open
#undef open64
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
MOVE(read, SYS_read, void *, EIO, NONE, NONE)
MOVE(write, SYS_write, const void *, ENOSPC, NONE, NONE)
MOVE(pread, SYS_pread64, void *, EIO, AT_DECLARED, AT_GIVEN)
MOVE(pread64, SYS_pread64, void *, EIO, AT_DECLARED, AT_GIVEN)
MOVE(pwrite, SYS_pwrite64, const void *, ENOSPC, AT_DECLARED, AT_GIVEN)
MOVE(pwrite64, SYS_pwrite64, const void *, ENOSPC, AT_DECLARED, AT_GIVEN)
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)
MAP(mmap)
MAP(mmap64)
CALL(fsync, SYS_fsync, EIO, (int fd), fd)
CALL(fdatasync, SYS_fdatasync, EIO, (int fd), fd)
CALL(rename, SYS_renameat2, EIO, (const char *from, const char *to), AT_FDCWD, from, AT_FDCWD, to, 0)
CALL(unlink, SYS_unlinkat, EIO, (const char *path), AT_FDCWD, path, 0)
CALL(linkat, SYS_linkat, EMLINK, (int a, const char *from, int b, const char *to, int flags), a, from, b, to, flags)
