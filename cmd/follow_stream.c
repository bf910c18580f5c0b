/* follow_stream.c - commits as they come over a wire, made one log stream again. */
#include "follow_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"
#include "json.h"

enum { HEADER = 4096, COMMIT_HEADER = 64, BUFFER = 1 << 20, WAIT_MS = 100 };

int follow_stream_init(struct follow_stream *stream, uint64_t commit_max, const atomic_bool *stopped)
{
	int fds[2], size = BUFFER;

	*stream = (struct follow_stream){
		.in = -1, .out = -1, .commit_max = commit_max, .stopped = stopped, .left = HEADER};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		snprintf(stream->fault, sizeof(stream->fault), "a pair of sockets: %s", tool_errno());
		return stream->status = TOOL_SYSTEM;
	}
	stream->in = fds[0];
	stream->out = fds[1];
	setsockopt(stream->in, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return TOOL_OK;
}

void follow_stream_end(struct follow_stream *stream)
{
	if (stream->in >= 0)
		close(stream->in);
	stream->in = -1;
}

void follow_stream_free(struct follow_stream *stream)
{
	follow_stream_end(stream);
	if (stream->out >= 0)
		close(stream->out);
	free(stream->line);
	free(stream->data);
	stream->out = -1;
	stream->line = stream->data = NULL;
}

bool follow_stream_is_within(const struct follow_stream *stream)
{
	if (stream->form == FOLLOW_RAW)
		return stream->left > 0 || stream->head_size > 0;
	return stream->line_size > 0 || stream->data_size > 0;
}

__attribute__((format(printf, 3, 4))) static bool refuse(struct follow_stream *stream, int status, const char *format,
							 ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(stream->fault, sizeof(stream->fault), format, list);
	va_end(list);
	stream->status = status;
	return false;
}

/* ---- bytes of a log ---- */

static bool put(struct follow_stream *stream, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t count = send(stream->in, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (atomic_load(stream->stopped))
			return false;
		if (count > 0) {
			data += count;
			size -= (size_t)count;
			stream->written += (uint64_t)count;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			struct pollfd descriptor = {.fd = stream->in, .events = POLLOUT};

			poll(&descriptor, 1, WAIT_MS);
		} else if (errno != EINTR) {
			return false; /* nobody reads any more */
		}
	}
	return true;
}

/* How long the commit is that begins with this header; 0: it is none. */
static uint64_t commit_size(const uint8_t header[COMMIT_HEADER])
{
	uint64_t body = vl_get64(header + 8);

	return memcmp(header, "VCMT", 4) == 0 && body <= (uint64_t)1 << 30 ? COMMIT_HEADER + body : 0;
}

/*
 * Passes on what has come, and notes up to where commits are whole. What is no commit is passed on, too: the reader
 * says so better.
 */
static bool take_log(struct follow_stream *stream, const uint8_t *data, size_t size)
{
	size_t at = 0, whole = 0;
	bool has_whole = false;
	uint64_t length = 0;

	while (at < size && !stream->is_lost && length <= stream->commit_max) {
		size_t part = size - at;

		if (stream->left > 0) {
			part = part < stream->left ? part : (size_t)stream->left;
			stream->left -= part;
			at += part;
			whole = at;
			has_whole = stream->left == 0;
			continue;
		}
		if (part > COMMIT_HEADER - stream->head_size)
			part = COMMIT_HEADER - stream->head_size;
		memcpy(stream->head + stream->head_size, data + at, part);
		stream->head_size += part;
		at += part;
		if (stream->head_size == COMMIT_HEADER) {
			length = commit_size(stream->head);
			stream->head_size = 0;
			stream->is_lost = length <= COMMIT_HEADER;
			stream->left = stream->is_lost ? 0 : length - COMMIT_HEADER;
		}
	}
	/* What comes before one that is too long is taken. */
	if (length > stream->commit_max)
		size = at;
	if (!put(stream, data, size))
		return false;
	if (has_whole)
		atomic_store(&stream->whole, stream->written - (size - whole));
	if (length > stream->commit_max)
		return refuse(stream, TOOL_FULL, "commit %llu has %llu bytes, more than --commit-max=%llu allows",
			      (unsigned long long)vl_get64(stream->head + 16), (unsigned long long)length,
			      (unsigned long long)stream->commit_max);
	return true;
}

/* ---- a line of JSON for each commit ---- */

struct members {
	struct slice commit, b64, log, error, code;
};

static bool read_members(const char *text, size_t size, struct members *out)
{
	const struct {
		const char *name;
		struct slice *value;
	} known[] = {{"commit", &out->commit}, {"b64", &out->b64}, {"log", &out->log}, {"error", &out->error},
		     {"code", &out->code}};
	struct slice name, value;
	struct json json;

	*out = (struct members){0};
	json_init(&json, text, size);
	json_open(&json, '{');
	while (json_more(&json, '}')) {
		struct slice *place = NULL;

		json_name(&json, &name);
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (name.size == strlen(known[i].name) && memcmp(name.text, known[i].name, name.size) == 0)
				place = known[i].value;
		if (place != NULL && json_type(&json) == JSON_STRING)
			json_string(&json, place);
		else if (json_skip(&json, &value) && place != NULL)
			*place = value;
	}
	json_end(&json);
	return json.fault == NULL;
}

/* A log stream has a header; lines may bring it, or else it is that of the log they continue. */
static bool put_header(struct follow_stream *stream, uint64_t first_event)
{
	uint8_t header[HEADER];

	if (stream->has_header)
		return true;
	if (stream->header == NULL || !stream->header(stream->context, first_event, header))
		return refuse(stream, TOOL_UNKNOWABLE,
			      "begins with event %llu and does not say of which log: ask for it with "
			      "Accept: application/octet-stream",
			      (unsigned long long)first_event);
	stream->has_header = true;
	return take_log(stream, header, HEADER);
}

/* text is changed. */
static bool take_object(struct follow_stream *stream, char *text, size_t size)
{
	struct members members;
	uint64_t number;
	size_t count;
	char *bytes;

	if (!read_members(text, size, &members))
		return refuse(stream, TOOL_DAMAGED, "what came is no JSON object");
	if (members.error.text != NULL)
		return refuse(stream, TOOL_LOCKED, "the stream cannot go on: %.*s",
			      members.error.size < 200 ? (int)members.error.size : 200, members.error.text);
	if (members.log.text != NULL && !stream->has_header) {
		bytes = text + (members.log.text - text);
		if (!json_base64(members.log, bytes, &count) || count != HEADER)
			return refuse(stream, TOOL_DAMAGED, "the header of the log is not what it should be");
		stream->has_header = true;
		return take_log(stream, (const uint8_t *)bytes, HEADER);
	}
	if (members.b64.text == NULL)
		return true; /* about something else */
	bytes = text + (members.b64.text - text);
	if (!json_base64(members.b64, bytes, &count) || count < COMMIT_HEADER ||
	    commit_size((const uint8_t *)bytes) != count ||
	    !json_u64(members.commit, &number) || number != vl_get64((const uint8_t *)bytes + 16))
		return refuse(stream, TOOL_DAMAGED, "what came for commit %.*s is no whole commit",
			      members.commit.size < 20 ? (int)members.commit.size : 20,
			      members.commit.text != NULL ? members.commit.text : "");
	return put_header(stream, vl_get64((const uint8_t *)bytes + 24)) &&
	       take_log(stream, (const uint8_t *)bytes, count);
}

/* ---- lines ---- */

static bool append(struct follow_stream *stream, char **text, size_t *size, size_t *room, const char *more,
		   size_t more_size)
{
	uint64_t max = stream->commit_max + stream->commit_max / 3 + 2 * HEADER;

	if (*size + more_size > max)
		return refuse(stream, TOOL_FULL, "a line has more than %llu bytes: --commit-max=%llu allows no more",
			      (unsigned long long)max, (unsigned long long)stream->commit_max);
	if (*size + more_size > *room) {
		char *larger = realloc(*text, *room = 2 * (*size + more_size));

		if (larger == NULL)
			return refuse(stream, TOOL_SYSTEM, "out of memory");
		*text = larger;
	}
	memcpy(*text + *size, more, more_size);
	*size += more_size;
	return true;
}

/* "name: value"; a comment begins with the colon. An empty line is the end of an event. */
static bool take_field(struct follow_stream *stream, const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size), *value;
	size_t name_size = colon != NULL ? (size_t)(colon - line) : size, value_size;
	bool goes_on = true;

	if (size == 0) {
		if (stream->data_size > 0)
			goes_on = take_object(stream, stream->data, stream->data_size);
		stream->data_size = 0;
		return goes_on;
	}
	value = colon != NULL ? colon + 1 : line + size;
	if (value < line + size && *value == ' ')
		value++;
	value_size = (size_t)(line + size - value);
	if (name_size == 4 && memcmp(line, "data", 4) == 0)
		return append(stream, &stream->data, &stream->data_size, &stream->data_room, value, value_size);
	return true; /* id, event, retry, comments: the object says it all */
}

static bool take_line(struct follow_stream *stream, char *line, size_t size)
{
	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (stream->form == FOLLOW_EVENTS)
		return take_field(stream, line, size);
	return size == 0 || take_object(stream, line, size);
}

static bool take_lines(struct follow_stream *stream, const char *data, size_t size)
{
	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t part = end != NULL ? (size_t)(end - data) : size;

		if (!append(stream, &stream->line, &stream->line_size, &stream->line_room, data, part))
			return false;
		if (end == NULL)
			return true;
		if (!take_line(stream, stream->line, stream->line_size))
			return false;
		stream->line_size = 0;
		data += part + 1;
		size -= part + 1;
	}
	return true;
}

bool follow_stream_take(struct follow_stream *stream, const void *bytes, size_t size)
{
	const char *data = bytes;

	if (stream->form == FOLLOW_UNKNOWN) {
		/* Both kinds of lines may begin with an empty one. */
		while (size > 0 && (*data == '\n' || *data == '\r')) {
			data++;
			size--;
		}
		if (size == 0)
			return true;
		if (*data == '{')
			stream->form = FOLLOW_LINES;
		else if (strchr(":ider", *data) != NULL && *data != 0)
			stream->form = FOLLOW_EVENTS;
		else
			stream->form = FOLLOW_RAW;
	}
	if (stream->form == FOLLOW_RAW)
		return take_log(stream, (const uint8_t *)data, size);
	return take_lines(stream, data, size);
}
