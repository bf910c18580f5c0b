/*
 * scratch.h - a directory of its own for a test that makes files: entered at once, removed at exit.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_path[4096];
static pid_t scratch_owner;

static int scratch_remove(const char *path, const struct stat *found, int kind, struct FTW *place)
{
	(void)found;
	(void)kind;
	(void)place;
	return remove(path);
}

/* Empties a directory, and removes it. */
__attribute__((unused)) static void scratch_clear(const char *path)
{
	nftw(path, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void scratch_leave(void)
{
	if (getpid() == scratch_owner && chdir("/") == 0)
		scratch_clear(scratch_path);
}

__attribute__((unused)) static void scratch_enter(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(scratch_path, sizeof(scratch_path), "%s/valori-unit-XXXXXX", base != NULL ? base : "/tmp");
	if (mkdtemp(scratch_path) == NULL || chdir(scratch_path) != 0) {
		fprintf(stderr, "no scratch directory %s\n", scratch_path);
		exit(99);
	}
	scratch_owner = getpid();
	atexit(scratch_leave);
}

#endif
