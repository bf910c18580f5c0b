/*
 * replay.c - gives a fuzz target the inputs that are kept, and changes of each: in any build, without libFuzzer.
 *
 *	fuzz_TARGET [FILE...]
 *
 * Without files it takes all of tests/fuzz/corpus/TARGET. An input that breaks a promise ends the process: the last
 * line on stderr says which one it was.
 */
#include <dirent.h>

#include "../unit/check.h"
#include "fuzz.h"

enum { NAMES_MAX = 4096, SIZE_MAX_READ = 1 << 20, CHANGES = 24, CHANGES_LONG = 5000 };

static char *names[NAMES_MAX];
static unsigned name_count;

static uint8_t *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(SIZE_MAX_READ);

	if (file == NULL || data == NULL) {
		perror(path);
		exit(2);
	}
	*size = fread(data, 1, SIZE_MAX_READ, file);
	fclose(file);
	return data;
}

/* A block of exactly this size, so that a step over its end is seen. */
static void give(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		exit(2);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* As it is, cut off, and with a few bytes changed. */
static void replay(const char *path)
{
	size_t size;
	uint8_t *data = read_file(path, &size);
	uint64_t seed = fuzz_mix(0, data, size);
	unsigned changes = check_long() ? CHANGES_LONG : CHANGES;

	fprintf(stderr, "%s\n", path);
	give(data, size);
	for (unsigned i = 0; i < changes && size > 0; i++) {
		size_t at = (size_t)(check_random(&seed) % size);
		uint8_t old = data[at];

		fprintf(stderr, "%s, change %u\n", path, i);
		if (i % 3 == 0) {
			give(data, at);
			continue;
		}
		data[at] ^= (uint8_t)(i % 3 == 1 ? UINT64_C(1) << check_random(&seed) % 8 : check_random(&seed) | 1);
		give(data, size);
		data[at] = old;
	}
	free(data);
	check(true, "%s", path);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *directory)
{
	DIR *files = opendir(directory);
	struct dirent *entry;

	while (files != NULL && name_count < NAMES_MAX && (entry = readdir(files)) != NULL) {
		size_t size = strlen(directory) + strlen(entry->d_name) + 2;

		if (entry->d_name[0] == '.')
			continue;
		names[name_count] = malloc(size);
		if (names[name_count] == NULL)
			exit(2);
		snprintf(names[name_count++], size, "%s/%s", directory, entry->d_name);
	}
	if (files != NULL)
		closedir(files);
	qsort(names, name_count, sizeof(names[0]), compare);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	char directory[256];

	name = name != NULL ? name + 1 : argv[0];
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	snprintf(directory, sizeof(directory), "tests/fuzz/corpus/%s", name);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc == 1) {
		list(directory);
		check(name_count > 0, "there are inputs in %s", directory);
	}
	for (unsigned i = 0; i < name_count; i++) {
		replay(names[i]);
		free(names[i]);
	}
	give((const uint8_t *)"", 0);
	check(true, "nothing");
	return check_done();
}
