/* measure.h - what every benchmark does alike: clocks, medians, its options, its lines. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Of CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, ... */
double seconds(clockid_t clock);
/* Of CLOCK_MONOTONIC; of CLOCK_THREAD_CPUTIME_ID. */
double now(void);
double cpu(void);
/* Sorts the values. */
double median(double *values, size_t count);
/* For qsort. */
int by_value(const void *a, const void *b);
/* The number behind name ("--count=") if the argument begins with that. */
uint64_t option(const char *argument, const char *name, uint64_t otherwise);

#endif
