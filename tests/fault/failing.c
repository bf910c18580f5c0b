/*
 * failing.c - a library to be loaded before a program: makes one of its calls of the system fail.
 *
 * FAIL_AT=N is the number of the call, from 1; FAIL_HOW says how: hard (the error that such a call has when a disk
 * breaks, is full, or descriptors run out), interrupted (EINTR) or short (half of what was asked for). Calls that
 * cannot fail so are not counted. FAIL_COUNT=FILE is where the number of calls goes when the program ends.
 * FAIL_CLOCK=SECONDS sets the clock back.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
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

/* The next definition of a call behind this one: the C library's own, whatever the machine's way to pass 64 bits is. */
#define NEXT(name)                                              \
	static __typeof__(&name) next;                          \
	if (next == NULL)                                       \
		*(void **)(void *)&next = dlsym(RTLD_NEXT, #name)

/* The calls that open, with a mode behind the flags where these ask for one. */
#define OPEN(name, declared, ...)                                        \
	PUBLIC int name(declared const char *path, int flags, ...);      \
	PUBLIC int name(declared const char *path, int flags, ...)       \
	{                                                                \
		mode_t mode = 0;                                         \
		NEXT(name);                                              \
		if (flags & (O_CREAT | __O_TMPFILE)) {                   \
			va_list list;                                    \
			va_start(list, flags);                           \
			mode = (mode_t)va_arg(list, unsigned);           \
			va_end(list);                                    \
		}                                                        \
		if (fails(HARD | INTERRUPTED))                           \
			return (int)wrong(EMFILE);                       \
		return next(__VA_ARGS__ path, flags, mode);              \
	}
#define NONE
#define AT_DECLARED int directory,
#define AT_GIVEN directory,

/* The calls that move bytes. */
#define MOVE(name, data_type, error, declared, given)                          \
	PUBLIC ssize_t name(int fd, data_type data, size_t size declared);     \
	PUBLIC ssize_t name(int fd, data_type data, size_t size declared)      \
	{                                                                      \
		NEXT(name);                                                    \
		if (fails(HARD | INTERRUPTED | SHORT)) {                       \
			if (fail_how != SHORT)                                 \
				return wrong(error);                           \
			size = half(size);                                     \
		}                                                              \
		return next(fd, data, size given);                             \
	}
#define OFFSET_DECLARED , off_t offset
#define OFFSET64_DECLARED , off64_t offset
#define OFFSET_GIVEN , offset

#define MAP(name, offset_type)                                                                      \
	PUBLIC void *name(void *at, size_t size, int protection, int flags, int fd, offset_type offset); \
	PUBLIC void *name(void *at, size_t size, int protection, int flags, int fd, offset_type offset) \
	{                                                                                           \
		NEXT(name);                                                                         \
		if (fd >= 0 && fails(HARD)) {                                                       \
			wrong(ENOMEM);                                                              \
			return MAP_FAILED;                                                          \
		}                                                                                   \
		return next(at, size, protection, flags, fd, offset);                               \
	}

/* The other calls. */
#define CALL(name, ways, error, declared, ...)                                     \
	PUBLIC int name declared;                                                  \
	PUBLIC int name declared                                                   \
	{                                                                          \
		NEXT(name);                                                        \
		return fails(ways) ? (int)wrong(error) : next(__VA_ARGS__);        \
	}

OPEN(open, NONE, NONE)
OPEN(open64, NONE, NONE)
OPEN(openat, AT_DECLARED, AT_GIVEN)
OPEN(openat64, AT_DECLARED, AT_GIVEN)
MOVE(read, void *, EIO, NONE, NONE)
MOVE(write, const void *, ENOSPC, NONE, NONE)
MOVE(pread, void *, EIO, OFFSET_DECLARED, OFFSET_GIVEN)
MOVE(pread64, void *, EIO, OFFSET64_DECLARED, OFFSET_GIVEN)
MOVE(pwrite, const void *, ENOSPC, OFFSET_DECLARED, OFFSET_GIVEN)
MOVE(pwrite64, const void *, ENOSPC, OFFSET64_DECLARED, OFFSET_GIVEN)
MAP(mmap, off_t)
MAP(mmap64, off64_t)
CALL(ftruncate, HARD | INTERRUPTED, EIO, (int fd, off_t size), fd, size)
CALL(ftruncate64, HARD | INTERRUPTED, EIO, (int fd, off64_t size), fd, size)
CALL(fsync, HARD, EIO, (int fd), fd)
CALL(fdatasync, HARD, EIO, (int fd), fd)
CALL(rename, HARD, EIO, (const char *from, const char *to), from, to)
CALL(unlink, HARD, EIO, (const char *path), path)
CALL(linkat, HARD, EMLINK, (int a, const char *from, int b, const char *to, int flags), a, from, b, to, flags)

PUBLIC int clock_gettime(clockid_t clock, struct timespec *now);
PUBLIC int clock_gettime(clockid_t clock, struct timespec *now)
{
	const char *back = getenv("FAIL_CLOCK");
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && back != NULL && clock == CLOCK_REALTIME)
		now->tv_sec -= strtol(back, NULL, 10);
	return result;
}
