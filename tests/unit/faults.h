/*
 * faults.h - the real machine, but the call with a certain number fails.
 *
 * Every call is counted that the real world can refuse. A sync is counted, not done: without a power cut
 * nobody can tell, and disks are slow. With crash set, all calls behind that one fail, too: as if the
 * process had ended there.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <errno.h>
#include <string.h>

#include "os.h"

struct faults {
	struct vl_os os;
	uint64_t calls;   /* so far */
	uint64_t fail_at; /* number of the call that fails, from 1; 0: none */
	int error;        /* with which it fails: EIO, ENOSPC ... */
	bool crash;
	int open; /* descriptors that were not closed */
};

static bool faults_hit(void *context)
{
	struct faults *faults = context;

	faults->calls++;
	if (faults->fail_at == 0)
		return false;
	return faults->crash ? faults->calls >= faults->fail_at : faults->calls == faults->fail_at;
}

#define FAULTS_PASS(context, call) (faults_hit(context) ? -((struct faults *)(context))->error : (call))

static int faults_open(void *c, const char *path, enum vl_os_open how)
{
	int fd = FAULTS_PASS(c, vl_os_real.open(NULL, path, how));

	((struct faults *)c)->open += fd >= 0;
	return fd;
}

static int faults_close(void *c, int fd)
{
	((struct faults *)c)->open--;
	return vl_os_real.close(NULL, fd); /* nobody leaks what cannot be closed */
}

static int64_t faults_read(void *c, int fd, void *data, size_t size)
{
	return FAULTS_PASS(c, vl_os_real.read(NULL, fd, data, size));
}

static int64_t faults_pread(void *c, int fd, void *data, size_t size, uint64_t offset)
{
	return FAULTS_PASS(c, vl_os_real.pread(NULL, fd, data, size, offset));
}

/* A write that fails has written half. */
static int64_t faults_pwrite(void *c, int fd, const void *data, size_t size, uint64_t offset)
{
	if (faults_hit(c)) {
		if (((struct faults *)c)->calls == ((struct faults *)c)->fail_at)
			(void)vl_os_real.pwrite(NULL, fd, data, size / 2, offset);
		return -((struct faults *)c)->error;
	}
	return vl_os_real.pwrite(NULL, fd, data, size, offset);
}

static int64_t faults_write(void *c, int fd, const void *data, size_t size)
{
	return FAULTS_PASS(c, vl_os_real.write(NULL, fd, data, size));
}

static int faults_sync(void *c, int fd)
{
	(void)fd;
	return FAULTS_PASS(c, 0);
}

static int faults_sync_directory(void *c, const char *path)
{
	(void)path;
	return FAULTS_PASS(c, 0);
}

static int faults_truncate(void *c, int fd, uint64_t size)
{
	return FAULTS_PASS(c, vl_os_real.truncate(NULL, fd, size));
}

static int faults_stat(void *c, int fd, struct vl_os_stat *out)
{
	return FAULTS_PASS(c, vl_os_real.stat(NULL, fd, out));
}

static int faults_stat_path(void *c, const char *path, struct vl_os_stat *out)
{
	return FAULTS_PASS(c, vl_os_real.stat_path(NULL, path, out));
}

static int faults_rename(void *c, const char *from, const char *to)
{
	return FAULTS_PASS(c, vl_os_real.rename(NULL, from, to));
}

static int faults_link(void *c, const char *from, const char *to)
{
	return FAULTS_PASS(c, vl_os_real.link(NULL, from, to));
}

static int faults_unlink(void *c, const char *path)
{
	return FAULTS_PASS(c, vl_os_real.unlink(NULL, path));
}

static int faults_make_directory(void *c, const char *path)
{
	return FAULTS_PASS(c, vl_os_real.make_directory(NULL, path));
}

static int faults_list(void *c, const char *path, int (*visit)(void *argument, const char *name),
		       void *argument)
{
	return FAULTS_PASS(c, vl_os_real.list(NULL, path, visit, argument));
}

static int faults_map(void *c, int fd, uint64_t size, const uint8_t **out)
{
	*out = NULL;
	return FAULTS_PASS(c, vl_os_real.map(NULL, fd, size, out));
}

static int faults_lock(void *c, int fd, uint64_t byte)
{
	return FAULTS_PASS(c, vl_os_real.lock(NULL, fd, byte));
}

static int faults_random(void *c, void *data, size_t size)
{
	return FAULTS_PASS(c, vl_os_real.random(NULL, data, size));
}

__attribute__((unused)) static void faults_init(struct faults *faults)
{
	memset(faults, 0, sizeof(*faults));
	faults->error = EIO;
	faults->os = vl_os_real;
	faults->os.context = faults;
	faults->os.open = faults_open;
	faults->os.close = faults_close;
	faults->os.read = faults_read;
	faults->os.pread = faults_pread;
	faults->os.pwrite = faults_pwrite;
	faults->os.write = faults_write;
	faults->os.sync = faults_sync;
	faults->os.sync_directory = faults_sync_directory;
	faults->os.truncate = faults_truncate;
	faults->os.stat = faults_stat;
	faults->os.stat_path = faults_stat_path;
	faults->os.rename = faults_rename;
	faults->os.link = faults_link;
	faults->os.unlink = faults_unlink;
	faults->os.make_directory = faults_make_directory;
	faults->os.list = faults_list;
	faults->os.map = faults_map;
	faults->os.lock = faults_lock;
	faults->os.random = faults_random;
}

#endif
