// hnswlib.cc - hnswlib as a contestant: M 16, ef_construction 200. The parameter is ef. anchor.h says how it is asked.
#include "anchor.h"

#include <hnswlib/hnswlib.h>
#include <malloc.h>

/* What the process holds: blocks, and those that have pages of their own. */
static double held()
{
	struct mallinfo2 now = mallinfo2();

	return (double)now.uordblks + (double)now.hblkhd;
}

int main(int argc, char **argv)
{
	uint32_t dim = 0;
	std::vector<float> base, queries;

	if (argc < 4)
		return 2;
	base = anchor::read(argv[1], dim);
	queries = anchor::read(argv[2], dim);
	size_t count = base.size() / dim;
	std::vector<uint8_t> tags = anchor::read_tags(argv[3], count);
	double before = held();
	hnswlib::L2Space space(dim);
	hnswlib::HierarchicalNSW<float> graph(&space, count, 16, 200);
	double start = anchor::seconds(CLOCK_THREAD_CPUTIME_ID);
	unsigned asked = 0;

	for (size_t i = 0; i < count; i++)
		graph.addPoint(base.data() + i * dim, i);
	start = anchor::seconds(CLOCK_THREAD_CPUTIME_ID) - start;
	/* Not with the locks that there are 65,536 of however few rows there are. */
	anchor::built("hnswlib", start,
		      (held() - before - (double)graph.link_list_update_locks_.size() * sizeof(std::mutex)) / (double)count);
	std::vector<float>().swap(base);
	anchor::answer(queries.size() / dim, [&](const std::string &, unsigned ef, unsigned tag) {
		// This version knows no filters; what must not be found is marked as deleted: it is walked through.
		for (size_t i = 0; tag != asked && i < count; i++) {
			bool hidden = asked != 0 && tags[i] != asked, hide = tag != 0 && tags[i] != tag;

			if (hide && !hidden)
				graph.markDelete(i);
			if (hidden && !hide)
				graph.unmarkDelete(i);
		}
		asked = tag;
		graph.setEf(ef);
		return [&](size_t first, size_t asked_now, uint32_t *out) {
			for (size_t q = 0; q < asked_now; q++) {
				auto found = graph.searchKnn(queries.data() + (first + q) * dim, anchor::K);

				for (size_t i = found.size(); i-- > 0; found.pop())
					out[q * anchor::K + i] = (uint32_t)found.top().second;
			}
		};
	});
	return 0;
}
