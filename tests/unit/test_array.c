/* test_array.c - arrays that are frozen, undone and mapped, against plain copies of them. */
#include "array.h"
#include "bytes.h"
#include "check.h"
#include "memory.h"

enum { ELEM_MAX = 40, FROZEN_MAX = 6 };

/* What an array should hold. */
struct model {
	uint8_t *data;
	uint64_t count;
};

struct frozen {
	uint64_t version; /* 0: none */
	struct vl_array array;
	struct model model;
};

static struct model model_copy(const struct model *model, uint32_t elem_size)
{
	struct model copy = {.data = malloc(model->count * elem_size + 1), .count = model->count};

	memcpy(copy.data, model->data, model->count * elem_size);
	return copy;
}

static bool is_equal(const struct vl_array *array, const struct model *model)
{
	uint32_t size = array->elem_size;
	uint64_t run = 0;

	if (array->count != model->count)
		return false;
	for (uint64_t i = 0; i < model->count; i++)
		if (memcmp(vl_array_get(array, i), model->data + i * size, size) != 0)
			return false;
	for (uint64_t i = 0; i < model->count; i += run) {
		const uint8_t *at = vl_array_run(array, i, &run);

		if (run == 0 || run > model->count - i || memcmp(at, model->data + i * size, run * size) != 0)
			return false;
	}
	return true;
}

static void fill(uint8_t *at, size_t size, uint64_t *seed)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)check_random(seed);
}

struct game {
	struct memory memory;
	struct vl_pool *pool;
	struct vl_array array;
	struct model model, begun;
	bool open;
	uint8_t *base;
	uint64_t base_count, seed, next_live;
	struct frozen frozen[FROZEN_MAX];
	unsigned wrong, not_zeroed;
};

static void game_append(struct game *g)
{
	uint32_t size = g->array.elem_size;
	uint64_t run = 1 + check_random(&g->seed) % 40;
	uint8_t *at = check_random(&g->seed) % 2 ? vl_array_extend(&g->array, &run) : NULL;

	if (at == NULL) {
		run = 1;
		at = vl_array_append(&g->array);
	}
	for (size_t i = 0; i < run * size; i++)
		g->not_zeroed += at[i] != 0;
	fill(at, run * size, &g->seed);
	g->model.data = realloc(g->model.data, (g->model.count + run) * size);
	memcpy(g->model.data + g->model.count * size, at, run * size);
	g->model.count += run;
}

static void game_edit(struct game *g)
{
	uint32_t size = g->array.elem_size;
	uint64_t chunk = UINT64_C(1) << g->array.chunk_shift, index, run;
	uint8_t *at;

	if (g->model.count == 0)
		return;
	index = check_random(&g->seed) % g->model.count;
	run = 1 + check_random(&g->seed) % (chunk - index % chunk);
	if (run > g->model.count - index)
		run = g->model.count - index;
	at = vl_array_edit_run(&g->array, index, run);
	g->wrong += memcmp(at, g->model.data + index * size, run * size) != 0;
	fill(at, run * size, &g->seed);
	memcpy(g->model.data + index * size, at, run * size);
}

static void game_freeze(struct game *g)
{
	struct frozen *f = &g->frozen[check_random(&g->seed) % FROZEN_MAX];

	if (f->version != 0) {
		g->wrong += !is_equal(&f->array, &f->model);
		vl_pool_release(g->pool, f->version);
		free(f->model.data);
		f->version = 0;
		return;
	}
	f->version = vl_pool_freeze(g->pool);
	f->array = g->array;
	f->model = model_copy(&g->model, g->array.elem_size);
}

static void game_bracket(struct game *g)
{
	if (!g->open) {
		vl_pool_begin(g->pool);
		g->begun = model_copy(&g->model, g->array.elem_size);
	} else if (check_random(&g->seed) % 2) {
		vl_pool_commit(g->pool);
		free(g->begun.data);
	} else {
		vl_pool_abort(g->pool);
		free(g->model.data);
		g->model = g->begun;
		g->wrong += !is_equal(&g->array, &g->model);
	}
	g->open = !g->open;
}

/* Some of the elements become like the first of them: of the others, behind one of those, a packed array is made. */
static uint8_t *pack(uint8_t *elements, uint64_t count, uint32_t elem_size, uint64_t *seed, uint8_t **kept,
		     uint64_t *kept_count)
{
	uint8_t *packed = malloc((count + 1) * elem_size), *at = packed + elem_size, *group = NULL;

	*kept = calloc(count / 64 + 1, VL_KEPT_SIZE);
	*kept_count = 1;
	memset(packed, 9, elem_size);
	for (uint64_t i = 0; i < count; i++) {
		group = *kept + i / 64 * VL_KEPT_SIZE;
		if (i % 64 == 0)
			vl_put64(group + 8, *kept_count - 1);
		if (check_random(seed) % 4 == 0) {
			memcpy(elements + i * elem_size, packed, elem_size);
			continue;
		}
		vl_put64(group, vl_get64(group) | UINT64_C(1) << i % 64);
		memcpy(at, elements + i * elem_size, elem_size);
		at += elem_size;
		++*kept_count;
	}
	return packed;
}

static void play(uint64_t seed, uint32_t elem_size, uint32_t chunk_shift, uint64_t base_count, unsigned moves,
		 struct game *g)
{
	uint8_t *packed = NULL, *kept = NULL;
	uint64_t kept_count;

	memset(g, 0, sizeof(*g));
	g->seed = seed;
	memory_init(&g->memory, NULL);
	vl_pool_new(&g->memory.env, &g->pool, NULL);
	vl_array_init(&g->array, g->pool, elem_size, chunk_shift);
	g->base = malloc(base_count * elem_size + 1);
	fill(g->base, base_count * elem_size, &g->seed);
	g->model = (struct model){.data = g->base, .count = base_count};
	g->model = model_copy(&g->model, elem_size);
	if (seed % 2 != 0)
		packed = pack(g->model.data, base_count, elem_size, &g->seed, &kept, &kept_count);
	struct model base = model_copy(&g->model, elem_size);
	if (base_count > 0 && packed != NULL)
		vl_array_map_packed(&g->array, packed, kept_count, kept, base_count);
	else if (base_count > 0)
		vl_array_map(&g->array, g->base, base_count);
	for (unsigned i = 0; i < moves; i++) {
		unsigned move = check_random(&g->seed) % 16;

		if (move < 5)
			game_append(g);
		else if (move < 11)
			game_edit(g);
		else if (move < 13)
			game_bracket(g);
		else if (!g->open)
			game_freeze(g);
		if (i % 16 == 0)
			g->wrong += !is_equal(&g->array, &g->model);
	}
	if (g->open)
		game_bracket(g);
	g->wrong += !is_equal(&g->array, &g->model);
	for (int i = 0; i < FROZEN_MAX; i++)
		if (g->frozen[i].version != 0) {
			g->wrong += !is_equal(&g->frozen[i].array, &g->frozen[i].model);
			vl_pool_release(g->pool, g->frozen[i].version);
			free(g->frozen[i].model.data);
		}
	g->wrong += packed == NULL && memcmp(g->base, base.data, base_count * elem_size) != 0;
	vl_array_free(&g->array);
	vl_pool_free(g->pool);
	g->wrong += g->memory.blocks != 0 || g->memory.wrong != 0;
	free(g->model.data);
	free(g->base);
	free(base.data);
	free(packed);
	free(kept);
}

static void test_games(void)
{
	unsigned wrong = 0, not_zeroed = 0, games = check_long() ? 3000 : 150;
	static struct game g;

	for (unsigned i = 0; i < games; i++) {
		/* Small chunks make deep trees; one chunk shift of 0 makes every element a chunk. */
		play(i, 1 + i * 7 % ELEM_MAX, i % 5, i % 3 == 0 ? 0 : i * 37 % 700, 500, &g);
		wrong += g.wrong;
		not_zeroed += g.not_zeroed;
	}
	check_u64(wrong, 0,
		  "random edits, appends, brackets and freezes: the array, its frozen copies and the mapped "
		  "base are what they should be");
	check_u64(not_zeroed, 0, "appended elements are zeros, after an abort too");
}

/* What one living version costs, however many came and went beside it. */
static void test_memory(void)
{
	struct memory memory;
	struct vl_pool *pool;
	struct vl_array array, old;
	uint64_t held, version, run;
	int64_t alone, most = 0;

	memory_init(&memory, NULL);
	vl_pool_new(&memory.env, &pool, NULL);
	vl_array_init(&array, pool, 8, 10);
	for (int i = 0; i < 100000; i++)
		vl_array_append(&array);
	alone = memory.bytes;
	for (int i = 0; i < 3000; i++)
		vl_array_edit(&array, (uint64_t)i * 33);
	check(memory.bytes == alone, "edits copy nothing while nobody looks");
	held = vl_pool_freeze(pool);
	old = array;
	for (int i = 0; i < 3000; i++) {
		version = vl_pool_freeze(pool);
		vl_array_edit(&array, (uint64_t)i * 33 % 100000)[0] = 1;
		vl_pool_release(pool, version);
		most = memory.bytes > most ? memory.bytes : most;
	}
	check(most < 2 * alone + (int64_t)(1 << 20),
	      "a version that is held keeps what it saw, not what came after it");
	run = 0;
	for (uint64_t i = 0; i < old.count; i++)
		run += vl_array_get(&old, i)[0];
	check_u64(run, 0, "and still sees it");
	vl_pool_release(pool, held);
	version = vl_pool_freeze(pool);
	most = memory.bytes;
	for (int i = 0; i < 1000; i++)
		vl_array_append(&array);
	check(memory.bytes <= most + 2 * 8192, "appending beside a frozen version copies nothing");
	vl_pool_release(pool, version);
	check(memory.bytes < alone + (int64_t)(1 << 20), "with the last version its chunks go");
	vl_array_free(&array);
	vl_pool_free(pool);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
}

/* Mapping costs nothing, and the first change to a mapped part costs one chunk. */
static void test_map(void)
{
	struct memory memory;
	struct vl_pool *pool;
	struct vl_array array;
	uint64_t count = 1000001, calls, run;
	uint32_t *base = malloc(count * 4);

	for (uint64_t i = 0; i < count; i++)
		vl_put32((uint8_t *)&base[i], (uint32_t)i);
	memory_init(&memory, NULL);
	vl_pool_new(&memory.env, &pool, NULL);
	vl_array_init(&array, pool, 4, 8);
	calls = memory.calls;
	vl_array_map(&array, (const uint8_t *)base, count);
	check_u64(memory.calls, calls, "mapping allocates nothing");
	vl_array_run(&array, 5, &run);
	check_u64(run, count - 5, "what is mapped is one run");
	vl_array_edit(&array, 500000);
	check(memory.bytes < 64 * 1024, "the first change to a mapped array copies one chunk");
	vl_array_run(&array, 0, &run);
	check(run >= 256 && run <= 500000, "a run ends where the file is no longer what is true");
	check_u64(vl_get32(vl_array_get(&array, 499999)), 499999, "what lies beside the change is still mapped");
	vl_array_append(&array);
	check_u64(vl_get32(vl_array_get(&array, count - 1)), count - 1, "the last mapped chunk goes on in memory");
	check_u64(vl_get32(vl_array_get(&array, count)), 0, "behind it are new elements");
	vl_array_free(&array);
	vl_pool_free(pool);
	free(base);
}

/* Words that lie about which elements are kept: what is read is one of them, whatever they say. */
static void test_packed_lies(void)
{
	enum { KEPT = 11, COUNT = 200 };
	uint32_t base[KEPT];
	uint8_t kept[4 * VL_KEPT_SIZE];
	uint64_t outside = 0, at_the_end = 0, seed = 3;

	for (unsigned round = 0; round < 1000; round++) {
		struct memory memory;
		struct vl_pool *pool;
		struct vl_array array;

		memory_init(&memory, NULL);
		vl_pool_new(&memory.env, &pool, NULL);
		vl_array_init(&array, pool, 4, 4);
		for (size_t i = 0; i < sizeof(kept); i += 8)
			vl_put64(kept + i, i % 16 == 8 && round % 2 ? check_random(&seed) % 16
							     : check_random(&seed) >> check_random(&seed) % 64);
		vl_array_map_packed(&array, (const uint8_t *)base, KEPT, kept, COUNT);
		for (uint64_t i = 0; i < COUNT; i++) {
			uint64_t run;
			const void *at = vl_array_run(&array, i, &run);
			uint64_t place = (uint64_t)((const uint32_t *)at - base);

			outside += place >= KEPT || run == 0 || run > KEPT - place || run > COUNT - i;
			at_the_end += place + run == KEPT;
		}
		vl_array_free(&array);
		vl_pool_free(pool);
	}
	check_u64(outside, 0, "of a packed array nothing is read but its elements, whatever is said of them");
	check(at_the_end > 0, "also where they end");
}

/* Every allocation fails once: the call says so, and abort brings back what was. */
static void test_no_memory(void)
{
	uint8_t base[100];
	unsigned wrong = 0, refused = 0;
	uint64_t fail_at = 1;

	memset(base, 7, sizeof(base));
	for (bool failed = true; failed; fail_at++) {
		struct memory memory;
		struct vl_pool *pool;
		struct vl_array array, copy = {.count = 0};
		uint64_t version, count = 0;

		memory_init(&memory, NULL);
		vl_pool_new(&memory.env, &pool, NULL);
		vl_array_init(&array, pool, 1, 2);
		vl_array_map(&array, base, sizeof(base));
		memory.fail_at = memory.calls + fail_at;
		failed = false;
		version = vl_pool_freeze(pool);
		failed |= version == 0;
		copy = array;
		vl_pool_begin(pool);
		for (int i = 0; i < 100 && !failed; i++) {
			uint8_t *at = i % 3 ? vl_array_append(&array) : vl_array_edit(&array, (uint64_t)i * 17 % 100);

			if (at != NULL)
				*at = 9;
			failed |= at == NULL;
		}
		refused += failed;
		vl_pool_abort(pool);
		memory.fail_at = 0;
		for (uint64_t i = 0; i < array.count; i++)
			count += vl_array_get(&array, i)[0] == 7;
		wrong += array.count != 100 || count != 100;
		vl_array_edit(&array, 50)[0] = 1;
		vl_array_append(&array);
		if (version != 0)
			wrong += copy.count != 100 || vl_array_get(&copy, 50)[0] != 7;
		vl_pool_release(pool, version);
		vl_array_free(&array);
		vl_pool_free(pool);
		wrong += memory.blocks != 0 || memory.wrong != 0;
	}
	check(refused > 10, "out of memory is answered with NULL, wherever it strikes");
	check_u64(wrong, 0, "and abort brings back what was, frozen copies unharmed");
}

int main(void)
{
	test_games();
	test_memory();
	test_map();
	test_packed_lies();
	test_no_memory();
	return check_done();
}
