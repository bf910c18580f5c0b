/* test_mapped.c - which file lies where; and what a program can say when one is cut short under its hands. */
#include "mapped.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "scratch.h"

static void test_table(void)
{
	static uint8_t memory[VL_MAPPED_MAX + 1][16];
	char name[VL_MAPPED_NAME], long_name[600];

	check(!vl_mapped_name(memory[0], name), "nothing is mapped at first");
	vl_mapped_add(memory[0], 16, "one");
	vl_mapped_add(memory[1], 16, "two");
	check(vl_mapped_name(memory[0] + 15, name), "the last byte is found");
	check_text(name, "one", "with its file");
	check(vl_mapped_name(memory[1], name), "the first byte is found");
	check_text(name, "two", "with its file");
	check(!vl_mapped_name(memory[2], name), "the byte behind the end is not");
	vl_mapped_remove(memory[0]);
	check(!vl_mapped_name(memory[0], name) && vl_mapped_name(memory[1], name),
	      "what is removed is found no more");
	memset(long_name, 'x', sizeof(long_name));
	memcpy(long_name + sizeof(long_name) - 10, "/last.val", 10);
	vl_mapped_add(memory[3], 16, long_name);
	check(vl_mapped_name(memory[3], name) && strlen(name) == VL_MAPPED_NAME - 1 &&
		      strcmp(name + VL_MAPPED_NAME - 10, "/last.val") == 0,
	      "a long name is kept by its end");
	for (int i = 4; i <= VL_MAPPED_MAX; i++)
		vl_mapped_add(memory[i], 16, "many");
	vl_mapped_add(memory[2], 16, "one");
	check(vl_mapped_name(memory[2], name), "the table takes as many as it says");
	vl_mapped_add(memory[0], 16, "one too many");
	check(!vl_mapped_name(memory[0], name), "more are not remembered, and harm nobody");
	vl_mapped_remove(memory[2]);
	vl_mapped_add(memory[0], 16, "again");
	check(vl_mapped_name(memory[0], name), "a place that was given up is used again");
	for (int i = 0; i <= VL_MAPPED_MAX; i++)
		vl_mapped_remove(memory[i]);
}

static void *come_and_go(void *argument)
{
	static uint8_t memory[4][64];
	uint8_t *mine = memory[(uintptr_t)argument];
	uintptr_t wrong = 0;
	char name[VL_MAPPED_NAME];

	for (int i = 0; i < 20000; i++) {
		vl_mapped_add(mine, 64, "mine");
		wrong += !vl_mapped_name(mine + i % 64, name) || strcmp(name, "mine") != 0;
		vl_mapped_remove(mine);
		wrong += vl_mapped_name(mine, name);
	}
	return (void *)wrong;
}

static void test_threads(void)
{
	pthread_t threads[4];
	uintptr_t wrong = 0;

	for (uintptr_t i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, come_and_go, (void *)i) != 0)
			exit(1);
	for (int i = 0; i < 4; i++) {
		void *result;

		pthread_join(threads[i], &result);
		wrong += (uintptr_t)result;
	}
	check_u64(wrong, 0, "threads come and go without getting in each other's way");
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	char name[VL_MAPPED_NAME];

	(void)number;
	(void)context;
	if (vl_mapped_name(info->si_addr, name) && strcmp(name, "cut.val") == 0)
		_exit(3);
	_exit(1);
}

static void test_cut(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
		int fd = open("cut.val", O_RDWR | O_CREAT, 0600);
		volatile uint8_t *data;

		sigaction(SIGBUS, &action, NULL);
		if (fd < 0 || ftruncate(fd, 16384) != 0)
			_exit(4);
		data = mmap(NULL, 16384, PROT_READ, MAP_SHARED, fd, 0);
		vl_mapped_add((const uint8_t *)(uintptr_t)data, 16384, "cut.val");
		if (ftruncate(fd, 4096) != 0)
			_exit(4);
		_exit(data[12288] == 0 ? 5 : 6);
	}
	if (getenv("VALORI_EMULATED") != NULL) {
		waitpid(child, &status, 0);
		check_skip("a handler of SIGBUS learns which file was cut short", "an emulator has its own SIGBUS");
		return;
	}
	check(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
		      WEXITSTATUS(status) == 3,
	      "a handler of SIGBUS learns which file was cut short");
}

int main(void)
{
	scratch_enter();
	test_table();
	test_threads();
	test_cut();
	return check_done();
}
