// hnswlib.cc - hnswlib as a contestant of bench_hnsw: builds over base.fvecs, then answers lines on its input.
//
// usage: hnswlib BASE QUERIES
// A line is ef; the answer is a line "queries/s p50 p99" and the rows found, 10 x u32 per query. Its own work only is
// timed, in time of the processor; M 16, ef_construction 200, one thread.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <hnswlib/hnswlib.h>
#include <vector>

static double seconds(clockid_t clock)
{
	timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static std::vector<float> read(const char *path, uint32_t &dim)
{
	std::vector<float> all, row;
	FILE *file = fopen(path, "rb");

	if (file == nullptr)
		exit(1);
	while (fread(&dim, 4, 1, file) == 1) {
		row.resize(dim);
		if (fread(row.data(), 4, dim, file) != dim)
			exit(1);
		all.insert(all.end(), row.begin(), row.end());
	}
	fclose(file);
	return all;
}

int main(int, char **argv)
{
	const size_t k = 10;
	uint32_t dim = 0;
	std::vector<float> base = read(argv[1], dim), queries = read(argv[2], dim);
	size_t count = base.size() / dim, queries_count = queries.size() / dim;
	hnswlib::L2Space space(dim);
	hnswlib::HierarchicalNSW<float> graph(&space, count, 16, 200);
	double start = seconds(CLOCK_THREAD_CPUTIME_ID);
	unsigned ef;

	for (size_t i = 0; i < count; i++)
		graph.addPoint(base.data() + i * dim, i);
	printf("built %f\n", seconds(CLOCK_THREAD_CPUTIME_ID) - start);
	fflush(stdout);
	std::vector<float>().swap(base);
	while (scanf("%u", &ef) == 1) {
		std::vector<uint32_t> rows(queries_count * k, UINT32_MAX);
		std::vector<double> times(queries_count);

		graph.setEf(ef);
		start = seconds(CLOCK_THREAD_CPUTIME_ID);
		for (size_t q = 0; q < queries_count; q++) {
			double begun = seconds(CLOCK_MONOTONIC);
			auto found = graph.searchKnn(queries.data() + q * dim, k);

			times[q] = seconds(CLOCK_MONOTONIC) - begun;
			for (size_t i = found.size(); i-- > 0; found.pop())
				rows[q * k + i] = (uint32_t)found.top().second;
		}
		start = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
		std::sort(times.begin(), times.end());
		printf("%f %f %f\n", queries_count / start, times[queries_count / 2] * 1e6,
		       times[queries_count * 99 / 100] * 1e6);
		fwrite(rows.data(), k * 4, queries_count, stdout);
		fflush(stdout);
	}
	return 0;
}
