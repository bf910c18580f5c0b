/* err.c - errors as values. */
#include "err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

/* Where a sentence is being written. size is what fits beside the NUL. */
struct sentence {
	char *text;
	size_t size, used;
	bool cut;
};

static void put(struct sentence *s, char c)
{
	if (s->used < s->size)
		s->text[s->used++] = c;
	else
		s->cut = true;
}

static void put_number(struct sentence *s, unsigned long long value, unsigned base, unsigned width)
{
	char digits[24];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	for (; width > count; width--)
		put(s, '0');
	while (count > 0)
		put(s, digits[--count]);
}

/* Bytes of a stranger: what would move the cursor or end the line is shown, not sent. */
static void put_escaped(struct sentence *s, const char *text, int size)
{
	for (int i = 0; i < size && !s->cut; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c >= 0x20 && c != 0x7f) {
			put(s, (char)c);
			continue;
		}
		put(s, '\\');
		if (c == '\n' || c == '\t' || c == '\r') {
			put(s, c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		} else {
			put(s, 'x');
			put_number(s, c, 16, 2);
		}
	}
}

static void put_text(struct sentence *s, const char *text)
{
	for (; *text != '\0' && !s->cut; text++)
		put(s, *text);
}

static bool is(const char *format, const char *word)
{
	while (*word != '\0' && *format == *word)
		format++, word++;
	return *word == '\0';
}

/* Writes what stands behind one '%'; returns where the format goes on. */
static const char *put_argument(struct sentence *s, const char *format, va_list *arguments)
{
	const char *text;
	unsigned width = 0;
	int size, value;

	if (is(format, ".*s")) {
		size = va_arg(*arguments, int);
		text = va_arg(*arguments, const char *);
		if (text == NULL)
			put_text(s, "(none)");
		else
			put_escaped(s, text, size);
		return format + 3;
	}
	if (is(format, "llu")) {
		put_number(s, va_arg(*arguments, unsigned long long), 10, 0);
		return format + 3;
	}
	if (is(format, "zu")) {
		put_number(s, va_arg(*arguments, size_t), 10, 0);
		return format + 2;
	}
	if (*format == '0')
		for (format++; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (unsigned)(*format - '0');
	switch (*format) {
	case 's':
		text = va_arg(*arguments, const char *);
		put_text(s, text == NULL ? "(none)" : text);
		break;
	case 'u':
		put_number(s, va_arg(*arguments, unsigned), 10, width);
		break;
	case 'x':
		put_number(s, va_arg(*arguments, unsigned), 16, width);
		break;
	case 'd':
		value = va_arg(*arguments, int);
		if (value < 0)
			put(s, '-');
		put_number(s, value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value, 10, width);
		break;
	case 'c':
		put(s, (char)va_arg(*arguments, int));
		break;
	default:
		put(s, *format == '\0' ? '%' : *format);
		break;
	}
	return *format == '\0' ? format : format + 1;
}

/* Ends a sentence: one that was cut says so, and no UTF-8 character is left in halves. */
static size_t end(struct sentence *s)
{
	if (s->cut && s->size >= 3) {
		s->used = s->size - 3;
		while (s->used > 0 && ((uint8_t)s->text[s->used] & 0xc0) == 0x80)
			s->used--;
		memcpy(s->text + s->used, "...", 3);
		s->used += 3;
	}
	s->text[s->used] = '\0';
	return s->used;
}

size_t vl_format_list(char *out, size_t size, const char *format, va_list *arguments)
{
	struct sentence s = {.text = out, .size = size - 1};

	if (size == 0)
		return 0;
	while (*format != '\0' && !s.cut)
		if (*format == '%')
			format = put_argument(&s, format + 1, arguments);
		else
			put(&s, *format++);
	return end(&s);
}

size_t vl_format(char *out, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t used;

	va_start(arguments, format);
	used = vl_format_list(out, size, format, &arguments);
	va_end(arguments);
	return used;
}

valori_code vl_fail(valori_error *error, valori_code code, const char *format, ...)
{
	char message[sizeof(error->message)]; /* the arguments may point into error */
	va_list arguments;
	size_t used;

	if (error == NULL)
		return code;
	va_start(arguments, format);
	used = vl_format_list(message, sizeof(message), format, &arguments);
	va_end(arguments);
	memset(error, 0, sizeof(*error));
	error->code = (int32_t)code;
	error->offset = VALORI_NONE;
	error->event = VALORI_NONE;
	memcpy(error->message, message, used);
	return code;
}

valori_code vl_fail_in(valori_error *error, valori_code code, const char *prefix)
{
	char message[sizeof(error->message)];
	size_t used;

	if (error == NULL)
		return code;
	used = vl_format(message, sizeof(message), "%s: %s", prefix, error->message);
	memset(error->message, 0, sizeof(error->message));
	memcpy(error->message, message, used);
	return (valori_code)error->code;
}
