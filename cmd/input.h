/*
 * input.h - a descriptor read in large pieces: as many bytes as are asked for lie together in memory.
 *
 *	data [ ....... first ===== unread ===== first + size ....... capacity )
 *
 * What was handed out stays in place until the next call that may read. Memory grows to what one row needs, up to
 * INPUT_ROW_MAX and a piece: a stranger's line of a gigabyte is refused, not kept.
 */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>

#include "json.h"
#include "valori.h"

enum {
	INPUT_PIECE = 1 << 20,
	INPUT_ROW_MAX = 16 << 20 /* bytes of one line, or of one row of any kind */
};

struct input {
	int fd;
	bool owned;       /* close it */
	bool ended;       /* nothing more to read */
	const char *name; /* for messages; borrowed */
	char *data;
	size_t capacity, first, size;
	uint64_t offset; /* in the input, of the first unread byte */
};

/* A descriptor to read from a file, pipe or device, which a signal does not keep from being opened; -1 and errno. */
int input_descriptor(const char *path);

/* path "-" or NULL: standard input. INVALID for a directory, IO, NO_MEMORY. */
valori_code input_open(struct input *input, const char *path, valori_error *error);
/* What is read lies in memory already: it is copied; name is borrowed. NO_MEMORY. */
valori_code input_open_text(struct input *input, const char *name, const char *text, size_t size, valori_error *error);
void input_close(struct input *input);

/* Reads until size bytes are unread, or all that are left; size is at most INPUT_ROW_MAX + 1. OK, IO, NO_MEMORY. */
valori_code input_fill(struct input *input, size_t size, valori_error *error);
/*
 * One read, if there is room: OK (more bytes, or ended), TOO_LONG when INPUT_ROW_MAX are unread already, IO, NO_MEMORY.
 */
valori_code input_more(struct input *input, valori_error *error);
static inline const char *input_data(const struct input *input)
{
	return input->data + input->first;
}
/* The first size unread bytes have been read. They stay where they are. */
static inline void input_pass(struct input *input, size_t size)
{
	input->first += size;
	input->size -= size;
	input->offset += size;
}
/* Passes everything up to and with the next line feed, keeping none of it. */
valori_code input_skip_line(struct input *input, valori_error *error);

/* Fills error: "name: " and the sentence. */
valori_code input_fail(const struct input *input, valori_error *error, valori_code code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
