/*
 * mapped.h - which file is mapped where: for the handler of SIGBUS.
 *
 * A mapped snapshot that somebody truncates under our hands kills the process with SIGBUS. The library
 * installs no signal handlers; a program that wants to say more than "bus error" installs one of its own,
 * SA_SIGINFO, which does
 *
 *	char name[VL_MAPPED_NAME];
 *	if (vl_mapped_name(info->si_addr, name))
 *		write "TOOL: NAME: truncated while in use" with write(2), and _exit(3)
 *	else
 *		signal(SIGBUS, SIG_DFL) and return: the fault comes again and ends the process
 *
 * A table of fixed size without locks: adding and removing are for any thread, the look-up for signal
 * handlers too.
 */
#ifndef VL_MAPPED_H
#define VL_MAPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VL_MAPPED_MAX = 64, VL_MAPPED_NAME = 256 };

/*
 * Remembers that name lies at data. When the table is full it is not remembered, which costs a nicer message
 * only. A long name is kept by its end.
 */
void vl_mapped_add(const uint8_t *data, uint64_t size, const char *name);
void vl_mapped_remove(const uint8_t *data);
/* The file that is mapped at address. Async-signal-safe. */
bool vl_mapped_name(const void *address, char out[VL_MAPPED_NAME]);

#endif
