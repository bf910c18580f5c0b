/* measure.c - clocks, medians, options. */
#include "measure.h"

#include <stdlib.h>
#include <string.h>

double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

double cpu(void)
{
	return seconds(CLOCK_THREAD_CPUTIME_ID);
}

int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

uint64_t option(const char *argument, const char *name, uint64_t otherwise)
{
	size_t size = strlen(name);

	return strncmp(argument, name, size) == 0 ? strtoull(argument + size, NULL, 10) : otherwise;
}
