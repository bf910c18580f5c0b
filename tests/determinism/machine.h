/*
 * machine.h - what the followers of the determinism matrix ask of the machine they run on, and nothing else: memory,
 * the bytes of a file one after the other, a place to print to. There is one for machines with a C library
 * (machine_hosted.c) and one for a microcontroller without anything (machine_cortex_m3.c).
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>

#include "env.h"

struct machine {
	const struct vl_env *env;
	bool (*open)(const char *path); /* and closes what was open */
	size_t (*read)(void *data, size_t size); /* fewer than size: the end */
	void (*print)(const char *text);
};

/* follow.c: the whole program. Returns its exit status. */
int follow(const struct machine *machine, int argc, char **argv);

#endif
