/* os.c - the real machine: Linux behind struct vl_os. */
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * One call moves at most this much: Linux stops a little below 2 GiB anyway, and a count must fit in any
 * ssize_t.
 */
#define TRANSFER_MAX ((size_t)1 << 30)

static size_t clamp(size_t size)
{
	return size < TRANSFER_MAX ? size : TRANSFER_MAX;
}

static int os_open(void *context, const char *path, enum vl_os_open how)
{
	/* A pipe where a file should be must not hold anybody up: its open would wait for somebody at the other end. */
	int flags = O_CLOEXEC | O_NONBLOCK, fd;
	struct stat found;

	(void)context;
	switch (how) {
	case VL_OS_READ:
		flags |= O_RDONLY;
		break;
	case VL_OS_WRITE:
		flags |= O_RDWR;
		break;
	case VL_OS_CREATE:
		flags |= O_RDWR | O_CREAT | O_EXCL;
		break;
	case VL_OS_CREATE_ANY:
		flags |= O_RDWR | O_CREAT;
		break;
	}
	do
		fd = open(path, flags, 0644);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode)) {
		close(fd);
		return -ESPIPE;
	}
	return fd;
}

static int os_close(void *context, int fd)
{
	(void)context;
	/* Linux has closed the descriptor even when it says EINTR: a second close could hit a stranger's. */
	return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

static int64_t os_read(void *context, int fd, void *data, size_t size)
{
	ssize_t count;

	(void)context;
	do
		count = read(fd, data, clamp(size));
	while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : count;
}

static int64_t os_pread(void *context, int fd, void *data, size_t size, uint64_t offset)
{
	ssize_t count;

	(void)context;
	if (offset > INT64_MAX)
		return -EINVAL;
	do
		count = pread(fd, data, clamp(size), (off_t)offset);
	while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : count;
}

static int64_t os_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	ssize_t count;

	(void)context;
	if (offset > INT64_MAX)
		return -EFBIG;
	do
		count = pwrite(fd, data, clamp(size), (off_t)offset);
	while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : count;
}

static int64_t os_write(void *context, int fd, const void *data, size_t size)
{
	ssize_t count;

	(void)context;
	do
		count = write(fd, data, clamp(size));
	while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : count;
}

/* EINTR is not repeated here: who can say what an interrupted sync has written, and whose error it has consumed? */
static int os_sync(void *context, int fd)
{
	(void)context;
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static int os_sync_directory(void *context, const char *path)
{
	int fd, code;

	(void)context;
	do
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	code = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return code;
}

static int os_truncate(void *context, int fd, uint64_t size)
{
	int code;

	(void)context;
	if (size > INT64_MAX)
		return -EFBIG;
	do
		code = ftruncate(fd, (off_t)size);
	while (code != 0 && errno == EINTR);
	return code == 0 ? 0 : -errno;
}

static void take_stat(const struct stat *from, struct vl_os_stat *out)
{
	memset(out, 0, sizeof(*out));
	out->size = from->st_size < 0 ? 0 : (uint64_t)from->st_size;
	out->device = (uint64_t)from->st_dev;
	out->inode = (uint64_t)from->st_ino;
	out->is_regular = S_ISREG(from->st_mode);
	out->is_directory = S_ISDIR(from->st_mode);
}

static int os_stat(void *context, int fd, struct vl_os_stat *out)
{
	struct stat found;

	(void)context;
	if (fstat(fd, &found) != 0)
		return -errno;
	take_stat(&found, out);
	return 0;
}

static int os_stat_path(void *context, const char *path, struct vl_os_stat *out)
{
	struct stat found;

	(void)context;
	if (stat(path, &found) != 0)
		return -errno;
	take_stat(&found, out);
	return 0;
}

static int os_rename(void *context, const char *from, const char *to)
{
	(void)context;
	return rename(from, to) == 0 ? 0 : -errno;
}

static int os_link(void *context, const char *from, const char *to)
{
	(void)context;
	/* A live file that is a symbolic link: its file is what gets the name. */
	return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

static int os_unlink(void *context, const char *path)
{
	(void)context;
	return unlink(path) == 0 ? 0 : -errno;
}

static int os_make_directory(void *context, const char *path)
{
	(void)context;
	return mkdir(path, 0777) == 0 ? 0 : -errno;
}

struct names { /* of a directory */
	char **items;
	size_t count, capacity;
};

static int add_name(struct names *names, const char *name)
{
	if (names->count == names->capacity) {
		size_t capacity = names->capacity * 2 + 16;
		char **items = realloc(names->items, capacity * sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		names->items = items;
		names->capacity = capacity;
	}
	names->items[names->count] = strdup(name);
	if (names->items[names->count] == NULL)
		return -ENOMEM;
	names->count++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(const char *path, struct names *names)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int code = 0;

	if (directory == NULL)
		return -errno;
	while (code == 0 && (errno = 0, entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			code = add_name(names, entry->d_name);
	if (code == 0)
		code = -errno;
	closedir(directory);
	return code;
}

static int os_list(void *context, const char *path, int (*visit)(void *argument, const char *name), void *argument)
{
	struct names names = {0};
	int code = read_names(path, &names);

	(void)context;
	if (code == 0 && names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_names);
	for (size_t i = 0; code == 0 && i < names.count; i++)
		code = visit(argument, names.items[i]);
	for (size_t i = 0; i < names.count; i++)
		free(names.items[i]);
	free(names.items);
	return code;
}

static int os_map(void *context, int fd, uint64_t size, const uint8_t **out)
{
	void *data;

	(void)context;
	*out = NULL;
	if (size == 0)
		return 0;
	if (size > SIZE_MAX)
		return -ENOMEM;
	data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	*out = data;
	return 0;
}

static void os_unmap(void *context, const uint8_t *data, uint64_t size)
{
	(void)context;
	if (data != NULL)
		munmap((void *)(uintptr_t)data, (size_t)size);
}

/*
 * Of the open file description, not of the process: another open of the same file in this process is kept out,
 * too, and closing some other descriptor of it does not drop the lock.
 */
static int os_lock(void *context, int fd, uint64_t byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

	(void)context;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static uint64_t milliseconds(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0 || now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t os_time_ms(void *context)
{
	(void)context;
	return milliseconds(CLOCK_REALTIME);
}

static uint64_t os_monotonic_ms(void *context)
{
	(void)context;
	return milliseconds(CLOCK_MONOTONIC);
}

static int os_random(void *context, void *data, size_t size)
{
	uint8_t *to = data;

	(void)context;
	while (size > 0) {
		ssize_t count = getrandom(to, size < 256 ? size : 256, 0);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count == 0 ? -EIO : -errno;
		to += count;
		size -= (size_t)count;
	}
	return 0;
}

/* Asks again and again, ever more slowly: a wait costs next to nothing, and no file system lacks fstat. */
static int os_wait(void *context, int fd, unsigned time)
{
	uint64_t end = milliseconds(CLOCK_MONOTONIC) + time;
	struct stat before, now;
	unsigned step = 1;

	(void)context;
	if (fstat(fd, &before) != 0)
		return -errno;
	for (;;) {
		uint64_t clock = milliseconds(CLOCK_MONOTONIC);
		struct timespec pause = {0};

		if (clock >= end)
			return 0;
		if (step > end - clock)
			step = (unsigned)(end - clock);
		pause.tv_nsec = (long)step * 1000000;
		/* A signal may end the pause early: the loop asks the clock. */
		(void)nanosleep(&pause, NULL);
		if (fstat(fd, &now) != 0)
			return -errno;
		if (now.st_size != before.st_size)
			return 0;
		step = step < 32 ? step * 2 : 32;
	}
}

static int os_describe(void *context, char *out, size_t size)
{
	(void)context;
	snprintf(out, size, "pid %ld %s", (long)getpid(), program_invocation_short_name);
	return 0;
}

const struct vl_os vl_os_real = {
	.open = os_open,
	.close = os_close,
	.read = os_read,
	.pread = os_pread,
	.pwrite = os_pwrite,
	.write = os_write,
	.sync = os_sync,
	.sync_directory = os_sync_directory,
	.truncate = os_truncate,
	.stat = os_stat,
	.stat_path = os_stat_path,
	.rename = os_rename,
	.link = os_link,
	.unlink = os_unlink,
	.make_directory = os_make_directory,
	.list = os_list,
	.map = os_map,
	.unmap = os_unmap,
	.lock = os_lock,
	.time_ms = os_time_ms,
	.monotonic_ms = os_monotonic_ms,
	.random = os_random,
	.wait = os_wait,
	.describe = os_describe,
};

int64_t vl_os_pread_all(const struct vl_os *os, int fd, void *data, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		int64_t count = os->pread(os->context, fd, (uint8_t *)data + done, size - done, offset + done);

		if (count < 0)
			return count;
		if (count == 0)
			break;
		done += (size_t)count;
	}
	return (int64_t)done;
}

int vl_os_pwrite_all(const struct vl_os *os, int fd, const void *data, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		int64_t count = os->pwrite(os->context, fd, (const uint8_t *)data + done, size - done, offset + done);

		if (count < 0)
			return (int)count;
		if (count == 0) /* neither progress nor a reason: never loop on it */
			return -EIO;
		done += (size_t)count;
	}
	return 0;
}

int vl_os_write_all(const struct vl_os *os, int fd, const void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		int64_t count = os->write(os->context, fd, (const uint8_t *)data + done, size - done);

		if (count < 0)
			return (int)count;
		if (count == 0)
			return -EIO;
		done += (size_t)count;
	}
	return 0;
}

void vl_os_expect(void *memory, size_t size)
{
#ifdef MADV_HUGEPAGE
	(void)madvise(memory, size, MADV_HUGEPAGE); /* refused for what does not begin with a page, which is fine */
#else
	(void)memory;
	(void)size;
#endif
}

const char *vl_os_error_text(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{EACCES, "permission denied"},
		{EAGAIN, "resource temporarily unavailable"},
		{EBADF, "bad file descriptor"},
		{EBUSY, "resource busy"},
		{EDQUOT, "disk quota exceeded"},
		{EEXIST, "file exists"},
		{EFBIG, "file too large"},
		{EINTR, "interrupted"},
		{EINVAL, "invalid argument"},
		{EIO, "input/output error"},
		{EISDIR, "is a directory"},
		{ELOOP, "too many levels of symbolic links"},
		{EMFILE, "too many open files"},
		{EMLINK, "too many links"},
		{ENAMETOOLONG, "file name too long"},
		{ENFILE, "too many open files in the system"},
		{ENOENT, "no such file or directory"},
		{ENOLCK, "no locks available"},
		{ENOMEM, "out of memory"},
		{ENOSPC, "no space left on device"},
		{ENOTDIR, "not a directory"},
		{ENOTEMPTY, "directory not empty"},
		{ENXIO, "no such device or address"},
		{EOPNOTSUPP, "operation not supported"},
		{EPERM, "operation not permitted"},
		{ESPIPE, "is a pipe"},
		{EPIPE, "broken pipe"},
		{EROFS, "read-only file system"},
		{ESPIPE, "illegal seek"},
		{ESTALE, "stale file handle"},
		{ETXTBSY, "text file busy"},
		{EXDEV, "on another file system"},
	};

	if (error < 0)
		error = -error;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].error == error)
			return texts[i].text;
	return "system call failed";
}
