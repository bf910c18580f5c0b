/*
 * machine_cortex_m3.c - a microcontroller without an operating system and without a C library: vector table, memory
 * functions, an arena, and semihosting as the wire to the outside.
 */
#include <stdint.h>
#include <string.h>

#include "kernels.h"
#include "machine.h"

extern uint8_t bss_start[], bss_end[], stack_top[], arena_start[], arena_size[];

void reset(void);

/* ---- What the compiler may call ---- */

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	uint8_t *target = to;
	const uint8_t *source = from;

	while (size-- > 0)
		*target++ = *source++;
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *target = to;
	const uint8_t *source = from;

	if (target <= source)
		return memcpy(to, from, size);
	while (size-- > 0)
		target[size] = source[size];
	return to;
}

void *memset(void *to, int value, size_t size)
{
	uint8_t *target = to;

	while (size-- > 0)
		*target++ = (uint8_t)value;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *first = a, *second = b;

	for (size_t i = 0; i < size; i++)
		if (first[i] != second[i])
			return first[i] < second[i] ? -1 : 1;
	return 0;
}

/* ---- Semihosting ---- */

enum { OPEN = 1, CLOSE = 2, WRITE0 = 4, READ = 6, GET_CMDLINE = 0x15, EXIT_EXTENDED = 0x20, READ_BINARY = 1 };
#define APPLICATION_EXIT 0x20026

static intptr_t ask(uintptr_t operation, const void *parameters)
{
	register uintptr_t r0 __asm__("r0") = operation;
	register const void *r1 __asm__("r1") = parameters;

	__asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
	return (intptr_t)r0;
}

static intptr_t file; /* 0: none */

static size_t length_of(const char *text)
{
	size_t length = 0;

	while (text[length] != '\0')
		length++;
	return length;
}

static bool bare_open(const char *path)
{
	uintptr_t parameters[3] = {(uintptr_t)path, READ_BINARY, length_of(path)};

	if (file > 0)
		ask(CLOSE, &file);
	file = ask(OPEN, parameters);
	return file > 0;
}

static size_t bare_read(void *data, size_t size)
{
	uintptr_t parameters[3] = {(uintptr_t)file, (uintptr_t)data, size};

	return size - (size_t)ask(READ, parameters);
}

static void bare_print(const char *text)
{
	ask(WRITE0, text);
}

static _Noreturn void leave(int status)
{
	uintptr_t parameters[2] = {APPLICATION_EXIT, (uintptr_t)status};

	for (;;)
		ask(EXIT_EXTENDED, parameters);
}

static void fault(void)
{
	bare_print("failed: the processor stopped\n");
	leave(3);
}

/* ---- The arena ---- */

/* Free pieces by address; each is as long as it says, a multiple of 64. */
struct piece {
	size_t size;
	struct piece *next;
};

static struct piece *pieces;

static size_t round_up(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

static void *arena_alloc(void *context, size_t size)
{
	(void)context;
	if (size == 0 || size > (size_t)arena_size)
		return NULL;
	size = round_up(size);
	for (struct piece **at = &pieces; *at != NULL; at = &(*at)->next) {
		struct piece *piece = *at;

		if (piece->size < size)
			continue;
		if (piece->size == size) {
			*at = piece->next;
		} else {
			struct piece *rest = (struct piece *)(void *)((uint8_t *)piece + size);

			rest->size = piece->size - size;
			rest->next = piece->next;
			*at = rest;
		}
		return piece;
	}
	return NULL;
}

static void arena_release(void *context, void *memory, size_t size)
{
	struct piece *piece = memory, *before = NULL, *after = pieces;

	(void)context;
	piece->size = round_up(size);
	while (after != NULL && after < piece) {
		before = after;
		after = after->next;
	}
	piece->next = after;
	if (after != NULL && (uint8_t *)piece + piece->size == (uint8_t *)after) {
		piece->size += after->size;
		piece->next = after->next;
	}
	if (before == NULL) {
		pieces = piece;
	} else if ((uint8_t *)before + before->size == (uint8_t *)piece) {
		before->size += piece->size;
		before->next = piece->next;
	} else {
		before->next = piece;
	}
}

/* ---- The program ---- */

enum { LINE = 1024, WORDS = 32 };

void reset(void)
{
	static char line[LINE];
	static char *words[WORDS + 1];
	const struct vl_env env = {arena_alloc, arena_release, NULL, &vl_kernels_portable};
	const struct machine machine = {&env, bare_open, bare_read, bare_print};
	uintptr_t parameters[2] = {(uintptr_t)line, LINE};
	int count = 0;

	memset(bss_start, 0, (size_t)(bss_end - bss_start));
	pieces = (struct piece *)(void *)arena_start;
	pieces->size = (size_t)arena_size;
	pieces->next = NULL;
	if (ask(GET_CMDLINE, parameters) != 0)
		leave(2);
	for (char *at = line; *at != '\0' && count < WORDS;) {
		words[count++] = at;
		while (*at != '\0' && *at != ' ')
			at++;
		if (*at == ' ')
			*at++ = '\0';
	}
	leave(follow(&machine, count, words));
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_top, (const void *)reset,
										(const void *)fault,
										(const void *)fault,
										(const void *)fault,
										(const void *)fault,
										(const void *)fault};
