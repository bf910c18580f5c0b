/* input.c - a descriptor, read in large pieces. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

valori_code input_fail(const struct input *input, valori_error *error, valori_code code, const char *format, ...)
{
	size_t length = strlen(input->name);
	va_list arguments;
	int used;

	if (error == NULL)
		return code;
	memset(error, 0, sizeof(*error));
	error->code = (int32_t)code;
	error->offset = VALORI_NONE;
	error->event = VALORI_NONE;
	/* The end of a long path says more than its beginning, and the fact must fit, too. */
	used = snprintf(error->message, sizeof(error->message), "%s%s: ", length > 80 ? "..." : "",
			input->name + (length > 80 ? length - 77 : 0));
	va_start(arguments, format);
	vsnprintf(error->message + used, sizeof(error->message) - (size_t)used, format, arguments);
	va_end(arguments);
	return code;
}

static valori_code fail_system(const struct input *input, valori_error *error)
{
	int number = errno;
	valori_code code = input_fail(input, error, VALORI_IO, "%s", strerror(number));

	if (error != NULL)
		error->system_errno = number;
	return code;
}

int input_descriptor(const char *path)
{
	int fd;

	do
		fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd;
}

valori_code input_open(struct input *input, const char *path, valori_error *error)
{
	struct stat status;

	*input = (struct input){.fd = STDIN_FILENO, .name = "standard input"};
	if (path != NULL && strcmp(path, "-") != 0) {
		input->name = path;
		input->fd = input_descriptor(path);
		if (input->fd < 0)
			return fail_system(input, error);
		input->owned = true;
	}
	if (fstat(input->fd, &status) == 0 && S_ISDIR(status.st_mode)) {
		input_close(input);
		return input_fail(input, error, VALORI_INVALID, "is a directory");
	}
	input->capacity = INPUT_PIECE;
	input->data = malloc(input->capacity);
	if (input->data == NULL) {
		input_close(input);
		return input_fail(input, error, VALORI_NO_MEMORY, "no memory to read it");
	}
	return VALORI_OK;
}

valori_code input_open_text(struct input *input, const char *name, const char *text, size_t size, valori_error *error)
{
	*input = (struct input){.fd = -1, .ended = true, .name = name, .capacity = size + 1, .size = size};
	input->data = malloc(input->capacity);
	if (input->data == NULL)
		return input_fail(input, error, VALORI_NO_MEMORY, "no memory to read it");
	memcpy(input->data, text, size);
	return VALORI_OK;
}

void input_close(struct input *input)
{
	if (input->owned)
		close(input->fd);
	input->owned = false;
	free(input->data);
	input->data = NULL;
}

/* Makes room for one more piece behind the unread bytes. */
static valori_code make_room(struct input *input, valori_error *error)
{
	size_t capacity = input->capacity;
	char *data;

	if (input->first + input->size + INPUT_PIECE / 4 <= capacity)
		return VALORI_OK;
	if (input->first != 0) {
		memmove(input->data, input->data + input->first, input->size);
		input->first = 0;
	}
	while (input->size + INPUT_PIECE / 2 > capacity)
		capacity *= 2;
	if (capacity == input->capacity)
		return VALORI_OK;
	data = realloc(input->data, capacity);
	if (data == NULL)
		return input_fail(input, error, VALORI_NO_MEMORY, "no memory for a row of %zu bytes", input->size);
	input->data = data;
	input->capacity = capacity;
	return VALORI_OK;
}

valori_code input_more(struct input *input, valori_error *error)
{
	valori_code code;
	ssize_t got;

	if (input->ended)
		return VALORI_OK;
	if (input->size > INPUT_ROW_MAX)
		return input_fail(input, error, VALORI_TOO_LONG, "longer than %d bytes, the limit of a row",
				  INPUT_ROW_MAX);
	code = make_room(input, error);
	if (code != VALORI_OK)
		return code;
	do
		got = read(input->fd, input->data + input->first + input->size,
			   input->capacity - input->first - input->size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_system(input, error);
	input->size += (size_t)got;
	input->ended = got == 0;
	return VALORI_OK;
}

valori_code input_fill(struct input *input, size_t size, valori_error *error)
{
	valori_code code = VALORI_OK;

	while (code == VALORI_OK && input->size < size && !input->ended)
		code = input_more(input, error);
	return code;
}

valori_code input_skip_line(struct input *input, valori_error *error)
{
	for (;;) {
		const char *end = memchr(input_data(input), '\n', input->size);
		valori_code code;

		if (end != NULL) {
			input_pass(input, (size_t)(end + 1 - input_data(input)));
			return VALORI_OK;
		}
		input_pass(input, input->size);
		if (input->ended)
			return VALORI_OK;
		code = input_more(input, error);
		if (code != VALORI_OK)
			return code;
	}
}
