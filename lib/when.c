/* when.c - moments in words: heights, state roots, times. */
#include <stdbool.h>
#include <string.h>

#include "decimal.h"
#include "err.h"

/* Reads exactly count digits; advances *text. */
static bool take_digits(const char **text, unsigned count, unsigned *out)
{
	*out = 0;
	for (; count > 0; count--, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		*out = *out * 10 + (unsigned)(**text - '0');
	}
	return true;
}

static bool take(const char **text, const char *any_of)
{
	if (**text == '\0' || strchr(any_of, **text) == NULL)
		return false;
	(*text)++;
	return true;
}

static bool is_leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 0000-01-01 to the first of a year: the Gregorian calendar, as ISO 8601 extends it. */
static int64_t days_before_year(unsigned year)
{
	int64_t y = (int64_t)year - 1;

	return year == 0 ? 0 : 366 + y * 365 + y / 4 - y / 100 + y / 400;
}

/* RFC 3339 section 5.6: date "T" time offset. A fraction finer than milliseconds is cut off. */
static bool parse_time(const char *text, uint64_t *out)
{
	static const uint8_t month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day, hour, minute, second, offset_hour = 0, offset_minute = 0;
	uint64_t fraction_ms = 0;
	bool is_behind = false;
	int64_t days, seconds;

	if (!take_digits(&text, 4, &year) || !take(&text, "-") || !take_digits(&text, 2, &month) || !take(&text, "-") ||
	    !take_digits(&text, 2, &day) || !take(&text, "Tt ") || !take_digits(&text, 2, &hour) || !take(&text, ":") ||
	    !take_digits(&text, 2, &minute) || !take(&text, ":") || !take_digits(&text, 2, &second))
		return false;
	if (month < 1 || month > 12 || day < 1 ||
	    day > month_days[month - 1] + (unsigned)(month == 2 && is_leap(year)) || hour > 23 || minute > 59 ||
	    second > 60)
		return false;
	if (take(&text, ".")) {
		unsigned digit, weight = 100;

		if (!take_digits(&text, 1, &digit))
			return false;
		do {
			fraction_ms += digit * weight;
			weight /= 10;
		} while (take_digits(&text, 1, &digit));
	}
	if (!take(&text, "Zz")) {
		is_behind = *text == '-';
		if (!take(&text, "+-") || !take_digits(&text, 2, &offset_hour) || !take(&text, ":") ||
		    !take_digits(&text, 2, &offset_minute) || offset_hour > 23 || offset_minute > 59)
			return false;
	}
	if (*text != '\0')
		return false;
	days = days_before_year(year) - days_before_year(1970) + day - 1;
	for (unsigned m = 1; m < month; m++)
		days += month_days[m - 1] + (m == 2 && is_leap(year));
	seconds = days * 86400 + hour * 3600 + minute * 60 + second;
	seconds += (is_behind ? 1 : -1) * (int64_t)(offset_hour * 3600 + offset_minute * 60);
	if (seconds < 0)
		return false;
	*out = (uint64_t)seconds * 1000 + fraction_ms;
	return true;
}

valori_code valori_when_parse(const char *text, valori_when *out, valori_error *error)
{
	valori_when when = {0};
	size_t size;

	if (text == NULL || out == NULL)
		return vl_fail(error, VALORI_INVALID, "no moment given");
	size = strlen(text);
	if (valori_hash_parse(text, &when.root) == VALORI_OK)
		when.kind = VALORI_WHEN_ROOT;
	else if (vl_u64_from_decimal(text, size, &when.value))
		when.kind = VALORI_WHEN_HEIGHT;
	else if ((text[0] == '@' && vl_u64_from_decimal(text + 1, size - 1, &when.value)) ||
		 parse_time(text, &when.value))
		when.kind = VALORI_WHEN_TIME;
	else
		return vl_fail(
			error, VALORI_INVALID,
			"\"%.*s\": not a moment: a height, a state root of 64 hex digits, @milliseconds or a time like "
			"2026-11-20T12:00:00Z",
			size < 80 ? (int)size : 80, text);
	if (when.kind == VALORI_WHEN_HEIGHT && when.value == VALORI_NONE)
		return vl_fail(error, VALORI_INVALID, "%s: there is no such height", text);
	*out = when;
	return VALORI_OK;
}
