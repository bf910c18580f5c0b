/*
 * failing.c - a library to be loaded before a program: makes one of its calls of the system fail.
 *
 * FAIL_AT=N is the number of the call, from 1; FAIL_HOW says how: hard (the error that such a call has when a disk
 * breaks, is full, or descriptors run out), interrupted (EINTR), short (half of what was asked for) or lost (a sync that
 * fails, and the file has no longer what was written to it since its last one). Calls that cannot fail so are not
 * counted. FAIL_COUNT=FILE is where the number of calls goes when the program ends. FAIL_CLOCK=SECONDS sets the clock
 * back.
 *
 * With lost, syncs take their time, and when the program ends the power goes: what is in no file's last sync is gone
 * then, too. Names are kept, and files that were made without O_RDWR or are written through mappings; for names and all
 * the orders in which a disk may lose there is tests/crash.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

enum { HARD = 1, INTERRUPTED = 2, SHORT = 4, LOST = 8 };

static atomic_ulong calls;
static unsigned long fail_at;
static int fail_how;

__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv("FAIL_AT"), *how = getenv("FAIL_HOW");

	fail_at = at ? strtoul(at, NULL, 10) : 0;
	fail_how = how == NULL || strcmp(how, "hard") == 0 ? HARD
		   : strcmp(how, "short") == 0             ? SHORT
		   : strcmp(how, "lost") == 0              ? LOST
							   : INTERRUPTED;
}

/* ---- What a disk has not got yet ---- */

/* A write, and what was there before it: newest first. */
struct unsynced {
	struct unsynced *older;
	unsigned long number;
	dev_t device;
	ino_t inode;
	int fd; /* our own */
	off_t offset, size;
	size_t count;
	char before[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct unsynced *unsynced;
static unsigned long written;

static void remember(int fd, off_t offset, size_t size)
{
	struct stat found;
	struct unsynced *one;
	ssize_t count;

	/* Standard output is not the program's to sync. */
	if (fail_how != LOST || fd < 3 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
		return;
	one = malloc(sizeof(*one) + size);
	if (one == NULL)
		abort();
	*one = (struct unsynced){.device = found.st_dev, .inode = found.st_ino, .offset = offset, .size = found.st_size};
	one->fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	if (one->fd < 0)
		abort();
	count = syscall(SYS_pread64, fd, one->before, size, offset);
	one->count = count > 0 ? (size_t)count : 0;
	pthread_mutex_lock(&lock);
	one->number = ++written;
	one->older = unsynced;
	unsynced = one;
	pthread_mutex_unlock(&lock);
}

/* The first `count` of all writes, as far as they are to one file, are on the disk now, or lost. fd -1: to any file. */
static void settle(int fd, unsigned long count, int are_lost)
{
	struct unsynced **at = &unsynced, *one;
	struct stat found;

	if (fail_how != LOST || (fd >= 0 && fstat(fd, &found) != 0))
		return;
	pthread_mutex_lock(&lock);
	while ((one = *at) != NULL) {
		if (one->number > count || (fd >= 0 && (one->device != found.st_dev || one->inode != found.st_ino))) {
			at = &one->older;
			continue;
		}
		if (are_lost) {
			syscall(SYS_pwrite64, one->fd, one->before, one->count, one->offset);
			syscall(SYS_ftruncate, one->fd, one->size);
		}
		syscall(SYS_close, one->fd);
		*at = one->older;
		free(one);
	}
	pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("FAIL_COUNT");
	char text[32];
	long fd;

	settle(-1, ULONG_MAX, 1);
	if (path == NULL)
		return;
	fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	syscall(SYS_write, fd, text, (size_t)snprintf(text, sizeof text, "%lu\n", atomic_load(&calls)));
	syscall(SYS_close, fd);
}

static int sync_slowly(int fd, int (*sync)(int))
{
	unsigned long count;
	int result;

	pthread_mutex_lock(&lock);
	count = written;
	pthread_mutex_unlock(&lock);
	usleep(500);
	result = sync(fd);
	if (result == 0)
		settle(fd, count, 0);
	return result;
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

/* The calls that move bytes. at: where those go that are written; -1: nothing is written. */
#define MOVE(name, data_type, error, at, declared, given)                      \
	PUBLIC ssize_t name(int fd, data_type data, size_t size declared);     \
	PUBLIC ssize_t name(int fd, data_type data, size_t size declared)      \
	{                                                                      \
		NEXT(name);                                                    \
		if (fails(HARD | INTERRUPTED | SHORT)) {                       \
			if (fail_how != SHORT)                                 \
				return wrong(error);                           \
			size = half(size);                                     \
		}                                                              \
		if (fail_how == LOST && (at) >= 0)                             \
			remember(fd, at, size);                                \
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

/* The calls that make sure. */
#define SYNC(name)                                                             \
	PUBLIC int name(int fd);                                               \
	PUBLIC int name(int fd)                                                \
	{                                                                      \
		NEXT(name);                                                    \
		if (fails(HARD | LOST)) {                                      \
			settle(fd, ULONG_MAX, 1);                              \
			return (int)wrong(EIO);                                \
		}                                                              \
		return fail_how == LOST ? sync_slowly(fd, next) : next(fd);    \
	}

OPEN(open, NONE, NONE)
OPEN(open64, NONE, NONE)
OPEN(openat, AT_DECLARED, AT_GIVEN)
OPEN(openat64, AT_DECLARED, AT_GIVEN)
MOVE(read, void *, EIO, -1, NONE, NONE)
MOVE(write, const void *, ENOSPC, lseek(fd, 0, SEEK_CUR), NONE, NONE)
MOVE(pread, void *, EIO, -1, OFFSET_DECLARED, OFFSET_GIVEN)
MOVE(pread64, void *, EIO, -1, OFFSET64_DECLARED, OFFSET_GIVEN)
MOVE(pwrite, const void *, ENOSPC, offset, OFFSET_DECLARED, OFFSET_GIVEN)
MOVE(pwrite64, const void *, ENOSPC, offset, OFFSET64_DECLARED, OFFSET_GIVEN)
MAP(mmap, off_t)
MAP(mmap64, off64_t)
CALL(ftruncate, HARD | INTERRUPTED, EIO, (int fd, off_t size), fd, size)
CALL(ftruncate64, HARD | INTERRUPTED, EIO, (int fd, off64_t size), fd, size)
SYNC(fsync)
SYNC(fdatasync)
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
