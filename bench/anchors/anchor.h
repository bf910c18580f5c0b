// anchor.h - another library as a contestant: builds over base.fvecs, then answers lines on its input.
//
// usage: PROGRAM BASE QUERIES TAGS NAME...    TAGS: a byte per row, or "-"; NAME: the indexes to build
// It prints a line "built NAME SECONDS BYTES-PER-ROW" for each index, and "ready". A line "NAME PARAMETER TOGETHER
// QUERIES TAG" on its input is answered by a line "queries/s p50 p99", and the rows found, 10 x u32 per query, of the
// first QUERIES; TOGETHER of them are asked at once, TAG (not 0) is what the rows must have. Its own work only is timed,
// rates in time of the processor, p50 and p99 in microseconds of the clock; one thread.
#ifndef ANCHOR_H
#define ANCHOR_H

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace anchor
{
const size_t K = 10;

inline double seconds(clockid_t clock)
{
	timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

inline std::vector<float> read(const char *path, uint32_t &dim)
{
	std::vector<float> all;
	FILE *file = fopen(path, "rb");
	size_t row, rows;

	if (file == nullptr || fread(&dim, 4, 1, file) != 1)
		exit(1);
	row = 4 + (size_t)dim * 4;
	fseek(file, 0, SEEK_END);
	rows = ftell(file) / row;
	rewind(file);
	all.resize(rows * dim);
	for (size_t i = 0; i < rows; i++)
		if (fread(&dim, 4, 1, file) != 1 || fread(&all[i * dim], 4, dim, file) != dim)
			exit(1);
	fclose(file);
	return all;
}

inline std::vector<uint8_t> read_tags(const char *path, size_t count)
{
	std::vector<uint8_t> tags(count, 0);
	FILE *file = strcmp(path, "-") == 0 ? nullptr : fopen(path, "rb");

	if (file != nullptr && fread(tags.data(), 1, count, file) != count)
		exit(1);
	if (file != nullptr)
		fclose(file);
	return tags;
}

inline void built(const char *name, double time, double bytes)
{
	printf("built %s %f %f\n", name, time, bytes);
	fflush(stdout);
}

// Asks count queries from number first on, their rows into out (K each, UINT32_MAX: none).
typedef std::function<void(size_t first, size_t count, uint32_t *out)> ask;

// prepare: how to ask the index of that name; it is called outside of what is timed.
inline void answer(size_t queries, const std::function<ask(const std::string &, unsigned parameter, unsigned tag)> &prepare)
{
	char name[64];
	unsigned parameter, together, limit, tag;

	printf("ready\n");
	fflush(stdout);
	while (scanf("%63s %u %u %u %u", name, &parameter, &together, &limit, &tag) == 5) {
		size_t count = std::min<size_t>(limit, queries);
		std::vector<uint32_t> rows(count * K, UINT32_MAX);
		std::vector<double> times;
		ask one = prepare(name, parameter, tag);
		double start;

		one(0, std::min<size_t>(together, count), rows.data());
		start = seconds(CLOCK_PROCESS_CPUTIME_ID);
		for (size_t q = 0; q < count; q += together) {
			double begun = seconds(CLOCK_MONOTONIC);

			one(q, std::min<size_t>(together, count - q), &rows[q * K]);
			times.push_back(seconds(CLOCK_MONOTONIC) - begun);
		}
		start = seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
		std::sort(times.begin(), times.end());
		printf("%f %f %f\n", count / start, times[times.size() / 2] * 1e6, times[times.size() * 99 / 100] * 1e6);
		fwrite(rows.data(), K * 4, count, stdout);
		fflush(stdout);
	}
}
} // namespace anchor

#endif
