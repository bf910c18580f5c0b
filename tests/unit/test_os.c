/* test_os.c - the real machine behind struct vl_os. */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "os.h"
#include "scratch.h"

static const struct vl_os *const os = &vl_os_real;

static void test_files(void)
{
	uint8_t data[16];
	struct vl_os_stat found;
	const uint8_t *mapped;
	int fd, other;

	check_u64((uint64_t)-os->open(NULL, "a", VL_OS_READ), ENOENT, "what is not there cannot be opened to read");
	check_u64((uint64_t)-os->open(NULL, "a", VL_OS_WRITE), ENOENT, "nor to write");
	fd = os->open(NULL, "a", VL_OS_CREATE);
	check(fd >= 0, "a new file is made");
	check_u64((uint64_t)-os->open(NULL, "a", VL_OS_CREATE), EEXIST, "but never a second time");
	other = os->open(NULL, "a", VL_OS_CREATE_ANY);
	check(other >= 0 && os->close(NULL, other) == 0, "unless the caller does not mind");

	check(vl_os_pwrite_all(os, fd, "0123456789", 10, 3) == 0, "bytes are written at an offset");
	check(vl_os_pread_all(os, fd, data, 16, 0) == 13, "reading to the end says how much there was");
	check_bytes(data,
		    "\0\0\0"
		    "0123456789",
		    13, "and they come back");
	check(vl_os_pread_all(os, fd, data, 16, 13) == 0, "there is nothing at the end");
	check(os->pread(NULL, fd, data, 1, UINT64_MAX) == -EINVAL &&
		      os->pwrite(NULL, fd, data, 1, UINT64_MAX) == -EFBIG,
	      "an offset that no file has is refused");
	check(os->sync(NULL, fd) == 0 && os->sync_directory(NULL, ".") == 0, "file and directory are synced");
	check(os->sync_directory(NULL, "a") == -ENOTDIR, "a file is no directory");
	check(os->stat(NULL, fd, &found) == 0 && found.size == 13 && found.is_regular && !found.is_directory,
	      "size and kind are told");
	check(os->stat_path(NULL, ".", &found) == 0 && found.is_directory && !found.is_regular, "of a directory, too");
	check(os->map(NULL, fd, 13, &mapped) == 0 && memcmp(mapped,
							    "\0\0\0"
							    "012",
							    6) == 0,
	      "a file is mapped");
	os->unmap(NULL, mapped, 13);
	check(os->map(NULL, fd, 0, &mapped) == 0 && mapped == NULL, "nothing is mapped to nothing");
	os->unmap(NULL, mapped, 0);
	check(os->truncate(NULL, fd, 5) == 0 && os->stat(NULL, fd, &found) == 0 && found.size == 5, "a file is cut");
	os->close(NULL, fd);
	fd = os->open(NULL, "a", VL_OS_READ);
	check(os->pwrite(NULL, fd, "x", 1, 0) == -EBADF, "a file opened to read is not written");
	os->close(NULL, fd);
	check(mkfifo("pipe", 0600) == 0 && os->open(NULL, "pipe", VL_OS_READ) == -ESPIPE &&
		      os->open(NULL, "pipe", VL_OS_WRITE) == -ESPIPE,
	      "a pipe in place of a file is refused, and not waited for");
}

static int collect(void *argument, const char *name)
{
	char *all = argument;

	snprintf(all + strlen(all), 64 - strlen(all), "%s ", name);
	return strcmp(name, "stop") == 0 ? -ECANCELED : 0;
}

static void test_directories(void)
{
	static const char *const names[] = {"d/b", "d/a10", "d/a1", "d/\xc3\xa4", "d/B"};
	char all[64] = "";
	struct vl_os_stat a, b;

	check(os->make_directory(NULL, "d") == 0 && os->make_directory(NULL, "d") == -EEXIST,
	      "a directory is made once");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		os->close(NULL, os->open(NULL, names[i], VL_OS_CREATE));
	check(os->list(NULL, "d", collect, all) == 0, "a directory is listed");
	check_text(all, "B a1 a10 b \xc3\xa4 ", "in byte order, whatever the locale");
	check(os->rename(NULL, "d/b", "d/stop") == 0, "a file is renamed");
	all[0] = '\0';
	check(os->list(NULL, "d", collect, all) == -ECANCELED, "who visits can end the listing");
	check_text(all, "B a1 a10 stop ", "at once");
	check(os->list(NULL, "none", collect, all) == -ENOENT, "a directory that is not there is an error");
	check(os->link(NULL, "d/a1", "d/l") == 0 && os->link(NULL, "d/a1", "d/l") == -EEXIST,
	      "a link never replaces a file");
	check(os->stat_path(NULL, "d/a1", &a) == 0 && os->stat_path(NULL, "d/l", &b) == 0 && a.inode == b.inode &&
		      a.device == b.device,
	      "a link is the same file");
	check(os->unlink(NULL, "d/l") == 0 && os->unlink(NULL, "d/l") == -ENOENT, "a name is removed");
}

static int try_lock(uint64_t byte)
{
	int fd = os->open(NULL, "lock", VL_OS_CREATE_ANY), code = os->lock(NULL, fd, byte);

	os->close(NULL, fd);
	return code;
}

static void test_lock(void)
{
	int fd = os->open(NULL, "lock", VL_OS_CREATE_ANY), status = -1;
	pid_t child;

	check(os->lock(NULL, fd, 0) == 0, "a byte is locked");
	check(try_lock(0) == -EAGAIN, "not twice, not even in one process");
	check(os->lock(NULL, fd, 0) == 0, "and closing another descriptor of the file has not dropped the lock");
	check(try_lock(1) == 0, "another byte is another lock");
	child = fork();
	if (child == 0)
		_exit(try_lock(0) == -EAGAIN && try_lock(1) == 0 ? 0 : 1);
	check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "another process sees it held");
	os->close(NULL, fd);
	check(try_lock(0) == 0, "closing the file ends the lock");
}

static void ignore(int signal)
{
	(void)signal;
}

static void test_streams(void)
{
	/* A timer that goes off all the time, without SA_RESTART: nearly every call is interrupted. */
	struct sigaction action = {.sa_handler = ignore};
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	size_t size = 3 << 20, got = 0;
	uint8_t *data = malloc(size), *back = malloc(size);
	int ends[2], status = -1;
	uint64_t seed = 1;
	int64_t count;
	pid_t child;

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)check_random(&seed);
	if (pipe(ends) != 0)
		abort();
	sigaction(SIGALRM, &action, NULL);
	child = fork();
	if (child == 0) {
		os->close(NULL, ends[0]);
		usleep(20000); /* until the reader waits */
		setitimer(ITIMER_REAL, &often, NULL);
		_exit(vl_os_write_all(os, ends[1], data, size) != 0);
	}
	os->close(NULL, ends[1]);
	setitimer(ITIMER_REAL, &often, NULL);
	while (got < size && (count = os->read(NULL, ends[0], back + got, size - got)) > 0) {
		if (got == 0)
			os->wait(NULL, ends[0], 20); /* until the pipe is full and the writer waits */
		got += (size_t)count;
	}
	check(got == size && memcmp(data, back, size) == 0, "a stream goes through a pipe under a rain of signals");
	check(os->read(NULL, ends[0], back, 1) == 0, "and ends");
	setitimer(ITIMER_REAL, &never, NULL);
	check(waitpid(child, &status, 0) == child && status == 0, "the writer was content");
	os->close(NULL, ends[0]);
	free(data);
	free(back);
}

static void test_clock(void)
{
	uint64_t now = os->time_ms(NULL), began = os->monotonic_ms(NULL);
	uint8_t a[32] = {0}, b[32] = {0};
	char who[64];
	int fd, status = -1;
	pid_t child;

	check(now > UINT64_C(1500000000000) && now < UINT64_C(10000000000000),
	      "the time is in milliseconds since 1970");
	check(os->random(NULL, a, 32) == 0 && os->random(NULL, b, 32) == 0 && memcmp(a, b, 32) != 0,
	      "random bytes differ");
	os->describe(NULL, who, sizeof(who));
	check(strncmp(who, "pid ", 4) == 0 && strstr(who, " test_os") != NULL, "a process says who it is");
	fd = os->open(NULL, "grows", VL_OS_CREATE);
	check(os->wait(NULL, fd, 30) == 0 && os->monotonic_ms(NULL) - began >= 30,
	      "waiting lasts as long as it was told");
	child = fork();
	if (child == 0) {
		usleep(20000);
		_exit(vl_os_pwrite_all(os, fd, "x", 1, 0) != 0);
	}
	began = os->monotonic_ms(NULL);
	os->wait(NULL, fd, 20000);
	check(os->monotonic_ms(NULL) - began < 10000, "and ends when the file grows");
	waitpid(child, &status, 0);
	os->close(NULL, fd);
	check_text(vl_os_error_text(ENOSPC), "no space left on device", "errors have a text");
	check_text(vl_os_error_text(-ENOSPC), "no space left on device", "whatever their sign");
}

int main(void)
{
	scratch_enter();
	test_files();
	test_directories();
	test_lock();
	test_streams();
	test_clock();
	return check_done();
}
