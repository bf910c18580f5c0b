// faiss.cc - faiss as a contestant: flat (the exact scan; any parameter), ivf (IVFFlat with as many lists as the root of
// the rows; nprobe) and hnsw (HNSWFlat, M 16, efConstruction 200; efSearch). anchor.h says how it is asked.
#include "anchor.h"

#include <cmath>
#include <memory>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <omp.h>

int main(int argc, char **argv)
{
	uint32_t dim = 0;
	std::vector<float> base, queries;
	std::unique_ptr<faiss::IndexFlatL2> flat, coarse;
	std::unique_ptr<faiss::IndexIVFFlat> ivf;
	std::unique_ptr<faiss::IndexHNSWFlat> hnsw;
	std::vector<float> distances;
	std::vector<faiss::Index::idx_t> found;

	if (argc < 4)
		return 2;
	omp_set_num_threads(1);
	base = anchor::read(argv[1], dim);
	queries = anchor::read(argv[2], dim);
	size_t count = base.size() / dim;

	for (int i = 4; i < argc; i++) {
		double start = anchor::seconds(CLOCK_PROCESS_CPUTIME_ID), bytes = dim * 4;

		if (strcmp(argv[i], "flat") == 0) {
			flat.reset(new faiss::IndexFlatL2(dim));
			flat->add(count, base.data());
		} else if (strcmp(argv[i], "ivf") == 0) {
			size_t lists = (size_t)std::sqrt((double)count);

			coarse.reset(new faiss::IndexFlatL2(dim));
			ivf.reset(new faiss::IndexIVFFlat(coarse.get(), dim, lists));
			ivf->train(count, base.data());
			ivf->add(count, base.data());
			bytes += 8 + (double)lists * dim * 4 / count;
		} else if (strcmp(argv[i], "hnsw") == 0) {
			hnsw.reset(new faiss::IndexHNSWFlat(dim, 16));
			hnsw->hnsw.efConstruction = 200;
			hnsw->add(count, base.data());
			bytes += (double)hnsw->hnsw.neighbors.size() * sizeof(hnsw->hnsw.neighbors[0]) / count;
			bytes += sizeof(hnsw->hnsw.levels[0]) + sizeof(hnsw->hnsw.offsets[0]);
		} else {
			return 2;
		}
		anchor::built(argv[i], anchor::seconds(CLOCK_PROCESS_CPUTIME_ID) - start, bytes);
	}
	std::vector<float>().swap(base);
	anchor::answer(queries.size() / dim, [&](const std::string &name, unsigned parameter, unsigned) {
		faiss::Index *index = flat.get();

		if (name == "ivf") {
			index = ivf.get();
			ivf->nprobe = parameter;
		} else if (name == "hnsw") {
			index = hnsw.get();
			hnsw->hnsw.efSearch = (int)parameter;
		}
		if (index == nullptr)
			exit(2);
		return [&, index](size_t first, size_t asked, uint32_t *out) {
			distances.resize(asked * anchor::K);
			found.resize(asked * anchor::K);
			index->search(asked, queries.data() + first * dim, anchor::K, distances.data(), found.data());
			for (size_t i = 0; i < asked * anchor::K; i++)
				out[i] = (uint32_t)found[i];
		};
	});
	return 0;
}
