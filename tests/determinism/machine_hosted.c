/*
 * machine_hosted.c - a machine with a C library: this one, an emulated one, WebAssembly.
 *
 *   follow KERNELS FORM ...      KERNELS: a set of vl_cpu_kernels; with "/plain" behind it, the same without the
 *                                processor's SHA instructions; "list": prints all that this processor runs
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernels.h"
#include "machine.h"

static FILE *file;

static void *hosted_alloc(void *context, size_t size)
{
	void *memory;

	(void)context;
	if (size > SIZE_MAX - 64)
		return NULL;
	memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
	/* What the contents happen to be must not matter. */
	if (memory != NULL)
		memset(memory, 0xa5, size);
	return memory;
}

static void hosted_release(void *context, void *memory, size_t size)
{
	(void)context;
	(void)size;
	free(memory);
}

static bool hosted_open(const char *path)
{
	if (file != NULL)
		fclose(file);
	file = fopen(path, "rb");
	return file != NULL;
}

static size_t hosted_read(void *data, size_t size)
{
	return fread(data, 1, size, file);
}

static void hosted_print(const char *text)
{
	fputs(text, stdout);
}

#if defined(__x86_64__)
static const struct {
	const char *name;
	const struct vl_kernels *plain, *sha;
} sets[] = {{"sse4/plain", &vl_kernels_sse4[0], &vl_kernels_sse4[1]},
	    {"avx2/plain", &vl_kernels_avx2[0], &vl_kernels_avx2[1]},
	    {"avx512/plain", &vl_kernels_avx512[0], &vl_kernels_avx512[1]}};
enum { SETS = sizeof(sets) / sizeof(sets[0]) };

static const struct vl_kernels *find_plain(const char *name)
{
	for (int i = 0; i < SETS; i++)
		if (strcmp(name, sets[i].name) == 0 && vl_cpu_kernels(sets[i].plain->name) != NULL)
			return sets[i].plain;
	return NULL;
}

/* Is this one without the SHA instructions, of which there is none on this processor but with them? */
static const char *plain_name(const struct vl_kernels *kernels)
{
	for (int i = 0; i < SETS; i++)
		if (kernels == sets[i].sha)
			return sets[i].name;
	return NULL;
}
#else
static const struct vl_kernels *find_plain(const char *name)
{
	(void)name;
	return NULL;
}

static const char *plain_name(const struct vl_kernels *kernels)
{
	(void)kernels;
	return NULL;
}
#endif

static int list(void)
{
	const struct vl_kernels *kernels;

	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++) {
		puts(kernels->name);
		if (plain_name(kernels) != NULL)
			puts(plain_name(kernels));
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct vl_env env = {.alloc = hosted_alloc, .release = hosted_release};
	struct machine machine = {&env, hosted_open, hosted_read, hosted_print};
	int status;

	if (argc < 2 || strcmp(argv[1], "list") == 0)
		return list();
	env.kernels = vl_cpu_kernels(argv[1]);
	if (env.kernels == NULL)
		env.kernels = find_plain(argv[1]);
	if (env.kernels == NULL) {
		fprintf(stderr, "follow: %s: this processor has no such kernels\n", argv[1]);
		return 2;
	}
	status = follow(&machine, argc - 1, argv + 1);
	if (file != NULL)
		fclose(file);
	if (fflush(stdout) != 0 || ferror(stdout))
		return 4;
	return status;
}
