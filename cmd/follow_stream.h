/*
 * follow_stream.h - commits as they come over a wire, made one log stream again: from a log stream, from a line of
 * JSON for each commit, or from server-sent events; which of them it is, its first byte says.
 *
 * One thread puts in what has come, another one reads a log from the descriptor. Whoever reads trusts nothing here:
 * this finds out only where a commit ends, so that one that is too long is refused before it is kept, and so that the
 * reader knows whether another one is there already.
 */
#ifndef FOLLOW_STREAM_H
#define FOLLOW_STREAM_H

#include <stdatomic.h>

#include "tool.h"

enum follow_form { FOLLOW_UNKNOWN, FOLLOW_RAW, FOLLOW_LINES, FOLLOW_EVENTS };

struct follow_stream {
	int in, out;		/* of a socket pair */
	uint64_t commit_max;
	const atomic_bool *stopped;
	/* The header of a log stream that begins with that event, for lines, which bring none; false: there is none. */
	bool (*header)(void *context, uint64_t first_event, uint8_t out[4096]);
	void *context;
	atomic_ullong whole; /* bytes of the log stream, up to the end of a commit, that are there to be read */
	int status;	     /* TOOL_OK, or why nothing more is taken: with fault */
	char fault[320];
	/* private from here on */
	enum follow_form form;
	uint64_t written, left; /* left: of the header or the commit at hand */
	bool is_lost;
	uint8_t head[64];
	size_t head_size;
	char *line, *data;
	size_t line_size, line_room, data_size, data_room;
	char event[16];
	bool has_header;
};

/* TOOL_OK, or a status with fault. */
int follow_stream_init(struct follow_stream *stream, uint64_t commit_max, const atomic_bool *stopped);
/* false: nothing more is wanted: stopped, nobody reads, or fault. */
bool follow_stream_take(struct follow_stream *stream, const void *data, size_t size);
/* Nothing more comes: whoever reads finds the end. */
void follow_stream_end(struct follow_stream *stream);
/* Is a commit under way that has begun to come? */
bool follow_stream_is_within(const struct follow_stream *stream);
void follow_stream_free(struct follow_stream *stream);

#endif
