/* test_commitment.c - the state root: kept up to date, computed from nothing, and computed by the model. */
#include "commitment.h"
#include "check.h"
#include "cpu.h"
#include "memory.h"
#include "model.h"

static struct memory memory;
static struct model model, begun;

struct world {
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_commitment commitment;
	struct vl_buf scratch;
};

static void world_init(struct world *w, uint32_t flags)
{
	vl_pool_new(&memory.env, &w->pool, NULL);
	vl_state_init(&w->state, w->pool, MODEL_DIM, flags, NULL);
	vl_commitment_init(&w->commitment, w->pool, NULL);
	vl_buf_init(&w->scratch, &memory.env);
}

static void world_free(struct world *w)
{
	vl_buf_free(&w->scratch);
	vl_commitment_free(&w->commitment);
	vl_state_free(&w->state);
	vl_pool_free(w->pool);
}

static valori_code world_apply(struct world *w, struct vl_event *event)
{
	vl_event_hash_contents(memory.env.kernels, event, 1, MODEL_DIM, &w->scratch, NULL);
	return vl_state_apply(&w->state, event, NULL);
}

/* Levels of a tree: their counts, and whether each node is the hash of the two below it. */
static bool is_tree_sound(const struct vl_tree *tree, uint64_t slots)
{
	uint32_t levels = vl_tree_levels(tree);
	uint64_t count = slots;

	for (uint32_t i = 0; i < VL_LEVELS_MAX; i++, count = (count + 1) / 2)
		if (tree->level[i].count != (i < levels ? count : 0))
			return false;
	return levels == 0 || tree->level[levels - 1].count == 1;
}

static void test_random(void)
{
	static struct world w;
	unsigned incremental = 0, naive = 0, trees = 0, aborts = 0, faults = 0;

	for (uint64_t game = 0; game < (check_long() ? 200u : 12u); game++) {
		uint64_t seed = game * 1000 + 1, commits = 60 + game * 5;
		uint8_t root[32], oracle[32], plain[32], before[32];

		model_init(&model);
		world_init(&w, game % 3 == 2 ? VL_STATE_NO_VECTORS : 0);
		vl_commitment_update(&w.commitment, &w.state, root, NULL);
		for (uint64_t c = 0; c < commits; c++) {
			/* Commits of one, of some, and of so many that several levels are new at once. */
			uint64_t events = c % 3 == 0 ? 1 : c % 7 == 0 ? 150 : check_random(&seed) % 12;
			bool abort = check_random(&seed) % 5 == 0, updated = check_random(&seed) % 2;

			begun = model;
			memcpy(before, root, 32);
			vl_state_begin(&w.state);
			for (uint64_t i = 0; i < events; i++) {
				struct vl_event event;

				random_event(&seed, &model, &event);
				faults += (world_apply(&w, &event) == VALORI_OK) != model_apply(&model, &event);
			}
			if (abort) {
				if (updated)
					vl_commitment_update(&w.commitment, &w.state, root, NULL);
				vl_state_abort(&w.state);
				model = begun;
				vl_commitment_update(&w.commitment, &w.state, root, NULL);
				aborts += memcmp(root, before, 32) != 0;
			} else {
				vl_commitment_update(&w.commitment, &w.state, root, NULL);
				vl_state_commit(&w.state);
			}
			vl_state_root(&w.state, c % 10 == 0, oracle, NULL);
			incremental += memcmp(root, oracle, 32) != 0;
			if (c % 6 == 0) {
				model_root(&model, plain);
				naive += memcmp(root, plain, 32) != 0;
			}
			for (int list = 0; list < VL_LISTS; list++)
				trees += !is_tree_sound(&w.commitment.trees[list],
							vl_state_slots(&w.state, (enum vl_list)list));
		}
		world_free(&w);
	}
	check_u64(faults, 0, "state and model agree on what is refused");
	check_u64(incremental, 0, "after every commit the root is what the oracle computes from nothing");
	check_u64(naive, 0, "and what the model computes from the words of the headers");
	check_u64(trees, 0, "every level of every tree has as many nodes as it should");
	check_u64(aborts, 0, "an abort brings back the root, updated or not");
}

/* Sizes around powers of two, one insert at a time and all at once. */
static void test_growth(void)
{
	static struct world one, all;
	uint8_t root_one[32], root_all[32], oracle[32];
	unsigned wrong = 0;
	struct vl_event event;

	model_init(&model);
	world_init(&one, 0);
	for (uint64_t count = 0; count <= 300; count++) {
		world_init(&all, 0);
		memset(&event, 0, sizeof(event));
		event.type = VALORI_EVENT_INSERT;
		event.metadata_size = VL_ABSENT;
		event.vector = model_pool;
		for (event.id = 0; event.id < count; event.id++)
			world_apply(&all, &event);
		if (count > 0) {
			event.id = count - 1;
			world_apply(&one, &event);
		}
		vl_commitment_update(&one.commitment, &one.state, root_one, NULL);
		vl_commitment_update(&all.commitment, &all.state, root_all, NULL);
		vl_state_root(&all.state, true, oracle, NULL);
		wrong += memcmp(root_one, root_all, 32) != 0 || memcmp(root_one, oracle, 32) != 0;
		world_free(&all);
	}
	check_u64(wrong, 0, "0 to 300 records: the root does not depend on how they came");
	/* Far over the size of a batch, then changes all over it. */
	for (event.id = 300; event.id < 5000; event.id++)
		world_apply(&one, &event);
	vl_commitment_update(&one.commitment, &one.state, root_one, NULL);
	vl_state_root(&one.state, true, oracle, NULL);
	check_bytes(root_one, oracle, 32, "thousands at once");
	event.type = VALORI_EVENT_SET_TAG;
	for (uint64_t i = 0; i < 4000; i++) {
		event.id = (i * 2654435761u) % 5000;
		event.tag = i;
		world_apply(&one, &event);
	}
	vl_commitment_update(&one.commitment, &one.state, root_one, NULL);
	vl_state_root(&one.state, true, oracle, NULL);
	check_bytes(root_one, oracle, 32, "and thousands of changes, in no order");
	world_free(&one);
}

/*
 * What is dirty when a bracket begins is still so after its abort, whether the trees were brought up to date
 * in it or not.
 */
static void test_dirty_before(void)
{
	static struct world w;
	struct vl_event event = {.type = VALORI_EVENT_INSERT, .metadata_size = VL_ABSENT};
	uint8_t root[32], oracle[32];
	unsigned wrong = 0;

	model_init(&model);
	world_init(&w, 0);
	event.vector = model_pool;
	for (event.id = 0; event.id < 9; event.id++)
		world_apply(&w, &event);
	event.type = VALORI_EVENT_SET_TAG;
	for (int round = 0; round < 8; round++) {
		vl_commitment_update(&w.commitment, &w.state, root, NULL);
		event.tag++;
		event.id = 3;
		world_apply(&w, &event);
		vl_state_begin(&w.state);
		event.id = 5;
		world_apply(&w, &event);
		event.id = 3;
		world_apply(&w, &event);
		if (round & 1)
			vl_commitment_update(&w.commitment, &w.state, root, NULL);
		event.id = 6;
		if (round & 2)
			world_apply(&w, &event);
		if (round & 4)
			vl_state_commit(&w.state);
		else
			vl_state_abort(&w.state);
		vl_commitment_update(&w.commitment, &w.state, root, NULL);
		vl_state_root(&w.state, true, oracle, NULL);
		wrong += memcmp(root, oracle, 32) != 0;
	}
	check_u64(wrong, 0, "what was changed before a bracket is not forgotten after it");
	world_free(&w);
}

/* Kernels that count the blocks they compress. */
static uint64_t compressed;
static struct vl_kernels counting;

static void count_compress(uint32_t cv[8], const uint8_t block[64], uint8_t size, uint64_t counter, uint8_t flags)
{
	compressed++;
	model_kernels->blake3_compress(cv, block, size, counter, flags);
}

static void count_many(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8],
		       uint64_t counter, unsigned step, uint8_t flags, uint8_t start, uint8_t end, uint8_t last_size,
		       uint8_t *out)
{
	compressed += count * blocks;
	model_kernels->blake3_many(inputs, count, blocks, key, counter, step, flags, start, end, last_size, out);
}

static uint64_t work(struct world *w)
{
	uint8_t root[32];

	compressed = 0;
	vl_commitment_update(&w->commitment, &w->state, root, NULL);
	return compressed;
}

/* A commit costs its own events: leaves of two blocks, and one block for each node above them. */
static void test_work(void)
{
	static struct world w;
	struct vl_event event = {.type = VALORI_EVENT_INSERT, .metadata_size = VL_ABSENT};
	uint64_t idle;

	counting = *model_kernels;
	counting.blake3_compress = count_compress;
	counting.blake3_many = count_many;
	memory.env.kernels = &counting;
	world_init(&w, 0);
	event.vector = model_pool;
	for (event.id = 0; event.id < 5000; event.id++)
		world_apply(&w, &event);
	check(work(&w) <= 5000 * 2 + 5000 + 13 + 16, "n leaves have n nodes above them");
	idle = work(&w);
	check(idle <= 8, "with nothing changed there is only the state root to hash");
	world_apply(&w, &event);
	check_u64(work(&w), 2 + 13 + idle, "one insert costs its leaf and its path");
	event.type = VALORI_EVENT_SET_TAG;
	for (int i = 0; i < 4000; i++) {
		event.id = i % 2 == 0 ? 256 : 4000;
		event.tag = (uint64_t)i;
		world_apply(&w, &event);
	}
	check_u64(work(&w), 2 * 2 + 2 * 11 + 2 + idle, "many changes of two slots cost two leaves and two paths");
	for (event.id = 0; event.id < 5000; event.id += 2)
		world_apply(&w, &event);
	for (event.id = 1; event.id < 5000; event.id += 2)
		world_apply(&w, &event);
	check(work(&w) <= 5000 * 2 + 5000 + 13 + 16, "where paths meet they are hashed once");
	world_free(&w);
	memory.env.kernels = model_kernels;
}

/* Each byte that a leaf or the root is made of changes the root. */
static void test_every_field(void)
{
	static struct world w;
	struct vl_array *arrays[12];
	uint8_t root[32], other[32];
	unsigned same = 0, flips = 0;
	uint64_t seed = 77;

	model_init(&model);
	world_init(&w, 0);
	for (int i = 0; i < 60; i++) {
		struct vl_event event;

		random_event(&seed, &model, &event);
		if (model_apply(&model, &event))
			world_apply(&w, &event);
	}
	vl_state_root(&w.state, false, root, NULL);
	arrays[0] = &w.state.records.digests;
	for (uint64_t i = 0; i < arrays[0]->count; i++)
		for (uint32_t bit = 0; bit < 8 * 96; bit += 5, flips++) {
			uint8_t *at = vl_array_edit(arrays[0], i);

			at[bit / 8] ^= (uint8_t)(1 << bit % 8);
			vl_state_root(&w.state, false, other, NULL);
			same += memcmp(root, other, 32) == 0;
			at[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	for (uint64_t i = 0; i < w.state.records.records.count; i++)
		for (uint32_t bit = 0; bit < 8 * 11; bit++, flips++) {
			uint8_t *at = vl_array_edit(&w.state.records.records, i);

			at[bit / 8] ^= (uint8_t)(1 << bit % 8);
			vl_state_root(&w.state, false, other, NULL);
			same += memcmp(root, other, 32) == 0;
			at[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	check(flips > 500 && same == 0, "tag, collection, status and digests of a record are in the root");
	w.state.dim++;
	vl_state_root(&w.state, false, other, NULL);
	check(memcmp(root, other, 32) != 0, "the dimension is in the root");
	w.state.dim--;
	w.state.totals.config_set ^= 1 << 3;
	vl_state_root(&w.state, false, other, NULL);
	check(memcmp(root, other, 32) != 0, "which parameters are set is in the root");
	w.state.totals.config_set |= 1 << 3;
	vl_state_root(&w.state, false, root, NULL);
	w.state.totals.config[3] ^= 1;
	vl_state_root(&w.state, false, other, NULL);
	check(memcmp(root, other, 32) != 0, "and to what");
	world_free(&w);
}

/* With contents the oracle finds bytes that differ from their digests, and says whose they are. */
static void test_contents(void)
{
	static struct world w;
	struct vl_event event = {.type = VALORI_EVENT_INSERT,
				 .metadata_size = 4,
				 .metadata = (const uint8_t *)"data",
				 .key = (const uint8_t *)"key",
				 .key_size = 3};
	struct vl_event meta = {.type = VALORI_EVENT_META_SET,
				.metadata_size = 5,
				.metadata = (const uint8_t *)"value",
				.key = (const uint8_t *)"name",
				.key_size = 4};
	uint8_t root[32];
	valori_error error;
	unsigned missed = 0;
	char said[64];

	model_init(&model);
	world_init(&w, 0);
	event.vector = model_pool;
	world_apply(&w, &event);
	event.id = 1;
	event.key_size = 0;
	event.flags = VL_EVENT_SALTED;
	event.salt = model_pool;
	world_apply(&w, &event);
	event.type = VALORI_EVENT_SET_METADATA;
	event.salt = model_pool + 50;
	world_apply(&w, &event);
	world_apply(&w, &meta);
	check_u64(vl_state_root(&w.state, true, root, &error), VALORI_OK, "contents match their digests");
	for (uint64_t i = 0; i < w.state.records.heap.count; i++) {
		uint8_t *at = vl_array_edit(&w.state.records.heap, i);

		/* The blobs that were left behind are zeros, and nobody's. */
		if (*at == 0)
			continue;
		*at ^= 4;
		missed += vl_state_root(&w.state, true, root, &error) != VALORI_DAMAGED;
		*at ^= 4;
	}
	check_u64(missed, 0, "each byte of keys, salts, metadata, names and values is compared");
	for (uint64_t i = 0; i < 2; i++) {
		uint8_t *at = vl_array_edit(&w.state.records.vectors, i);

		at[5] ^= 1;
		check_u64(vl_state_root(&w.state, true, root, &error), VALORI_DAMAGED, "so are vectors");
		snprintf(said, sizeof(said), "record %d: vector does not match its digest", (int)i);
		check_text(error.message, said, "and the sentence says whose");
		at[5] ^= 1;
	}
	world_free(&w);
}

int main(void)
{
	model_kernels = vl_cpu_kernels(NULL);
	memory_init(&memory, model_kernels);
	test_random();
	test_growth();
	test_dirty_before();
	test_work();
	test_every_field();
	test_contents();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
