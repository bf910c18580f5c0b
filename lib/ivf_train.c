/*
 * ivf_train.c - k-means in integers.
 *
 * Each round has two halves, cut into parts that any thread may take: rows are assigned, each for itself; then each
 * list is moved to the mean of its rows, rounded. Sums of integers do not care about their order, so who took what
 * is not to be seen.
 */
#include "err.h"
#include "ivf_private.h"

enum {
	ROUNDS = 10,
	SAMPLE_PER_LIST = 64,
	TILE_ROWS = 16,  /* rows that are compared together */
	TILE_LISTS = 128, /* with so many centroids at a time */
	ROWS_TOGETHER = 256, /* assigned by one thread at a time */
	LISTS_TOGETHER = 8
};

/* ---- the nearest centroids ---- */

struct assigning {
	const struct vl_kernels *kernels;
	const uint8_t *centroids, *rows;
	uint32_t lists, count, stride;
	uint32_t *assigned;
	uint32_t taken; /* atomic */
};

/* count is at most TILE_ROWS. */
static void assign_tile(const struct assigning *all, uint32_t first, uint32_t count)
{
	uint32_t distances[TILE_ROWS * TILE_LISTS];
	uint64_t best[TILE_ROWS];

	for (uint32_t i = 0; i < count; i++)
		best[i] = UINT64_MAX;
	for (uint32_t list = 0; list < all->lists; list += TILE_LISTS) {
		uint32_t width = all->lists - list < TILE_LISTS ? all->lists - list : TILE_LISTS;

		all->kernels->code_l2_block(all->rows + (size_t)first * all->stride, count,
					    all->centroids + (size_t)list * all->stride, width, all->stride, distances);
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t j = 0; j < width; j++) {
				uint64_t key = (uint64_t)distances[i * width + j] << 32 | (list + j);

				best[i] = key < best[i] ? key : best[i];
			}
	}
	for (uint32_t i = 0; i < count; i++)
		all->assigned[first + i] = (uint32_t)best[i];
}

static void assign_rows(void *argument, size_t index)
{
	struct assigning *all = argument;

	(void)index;
	for (;;) {
		uint64_t first = (uint64_t)__atomic_fetch_add(&all->taken, 1, __ATOMIC_RELAXED) * ROWS_TOGETHER;
		uint64_t last = first + ROWS_TOGETHER;

		if (first >= all->count)
			return;
		for (last = last < all->count ? last : all->count; first < last; first += TILE_ROWS)
			assign_tile(all, (uint32_t)first,
				    last - first < TILE_ROWS ? (uint32_t)(last - first) : (uint32_t)TILE_ROWS);
	}
}

void vl_ivf_assign(const struct vl_codes *codes, const uint8_t *centroids, uint32_t lists, const uint8_t *rows,
		   uint32_t count, const struct vl_workers *workers, uint32_t *assigned)
{
	struct assigning all = {codes->env->kernels, centroids, rows, lists, count, codes->stride, assigned, 0};

	vl_workers_run(workers, assign_rows, &all, vl_workers_threads(workers));
}

/* ---- training ---- */

struct training {
	uint32_t lists, count, stride;
	uint8_t *sample, *centroids;
	uint32_t *assigned, *order, *ends; /* per row; rows by list; per list: where its rows end in order */
	uint64_t *sums;			   /* stride of them per thread */
	uint64_t round;
	uint32_t taken; /* atomic */
};

/* splitmix64: its n-th number. */
static uint64_t hash(uint64_t n)
{
	uint64_t z = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint8_t *centroid_of(const struct training *training, uint32_t list)
{
	return training->centroids + (size_t)list * training->stride;
}

static const uint8_t *sample_of(const struct training *training, uint64_t row)
{
	return training->sample + (size_t)row * training->stride;
}

/* A row of each of as many parts of the sample as there are lists. */
static void choose_seeds(const struct training *training)
{
	for (uint32_t list = 0; list < training->lists; list++) {
		uint64_t first = (uint64_t)list * training->count / training->lists;
		uint64_t last = (uint64_t)(list + 1) * training->count / training->lists;

		memcpy(centroid_of(training, list), sample_of(training, first + hash(list) % (last - first)),
		       training->stride);
	}
}

/* Counting: order has the rows of list 0, then those of list 1, ... */
static void sort_rows(const struct training *training)
{
	uint32_t place = 0;

	memset(training->ends, 0, (size_t)training->lists * 4);
	for (uint32_t row = 0; row < training->count; row++)
		training->ends[training->assigned[row]]++;
	for (uint32_t list = 0; list < training->lists; list++) {
		uint32_t size = training->ends[list];

		training->ends[list] = place;
		place += size;
	}
	for (uint32_t row = 0; row < training->count; row++)
		training->order[training->ends[training->assigned[row]]++] = row;
}

static void move_list(const struct training *training, uint32_t list, uint64_t *sums)
{
	uint32_t first = list > 0 ? training->ends[list - 1] : 0, size = training->ends[list] - first;
	uint8_t *centroid = centroid_of(training, list);

	if (size == 0) {
		uint64_t row = hash(training->round << 32 | list) % training->count;

		memcpy(centroid, sample_of(training, row), training->stride);
		return;
	}
	memset(sums, 0, (size_t)training->stride * 8);
	for (uint32_t i = 0; i < size; i++) {
		const uint8_t *row = sample_of(training, training->order[first + i]);

		for (uint32_t j = 0; j < training->stride; j++)
			sums[j] += row[j];
	}
	for (uint32_t j = 0; j < training->stride; j++)
		centroid[j] = (uint8_t)((sums[j] + size / 2) / size);
}

static void move_lists(void *argument, size_t index)
{
	struct training *training = argument;

	for (;;) {
		uint64_t first = (uint64_t)__atomic_fetch_add(&training->taken, 1, __ATOMIC_RELAXED) * LISTS_TOGETHER;

		if (first >= training->lists)
			return;
		for (uint64_t list = first; list < first + LISTS_TOGETHER && list < training->lists; list++)
			move_list(training, (uint32_t)list, training->sums + index * training->stride);
	}
}

valori_code vl_ivf_train(const struct vl_codes *codes, uint32_t lists, const struct vl_workers *workers,
			 uint8_t *centroids, valori_error *error)
{
	uint64_t most = (uint64_t)lists * SAMPLE_PER_LIST, threads = vl_workers_threads(workers), size;
	struct training training = {.lists = lists, .stride = codes->stride, .centroids = centroids};
	uint8_t *memory = NULL;

	training.count = codes->count < most ? codes->count : (uint32_t)most;
	size = training.count * (training.stride + UINT64_C(8)) + lists * UINT64_C(4) + 8;
	size += threads * training.stride * 8;
	if (size <= SIZE_MAX)
		memory = vl_alloc(codes->env, (size_t)size);
	if (memory == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
	training.sample = memory;
	training.sums = (uint64_t *)(memory + (size_t)training.count * training.stride);
	training.assigned = (uint32_t *)(training.sums + threads * training.stride);
	training.order = training.assigned + training.count;
	training.ends = training.order + training.count;
	for (uint64_t i = 0; i < training.count; i++)
		memcpy(training.sample + (size_t)i * training.stride,
		       vl_codes_row(codes, (uint32_t)(i * codes->count / training.count)), training.stride);
	choose_seeds(&training);
	for (training.round = 1; training.round <= ROUNDS; training.round++) {
		vl_ivf_assign(codes, centroids, lists, training.sample, training.count, workers, training.assigned);
		sort_rows(&training);
		training.taken = 0;
		vl_workers_run(workers, move_lists, &training, vl_workers_threads(workers));
	}
	vl_release(codes->env, memory, (size_t)size);
	return VALORI_OK;
}
