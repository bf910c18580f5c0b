/* test_table.c - hash tables made of arrays, against a list, and on chains that lie. */
#include "bytes.h"
#include "check.h"
#include "memory.h"
#include "table.h"

enum { ENTRIES = 3000, ENTRY = 8 };

static struct memory memory;

struct game {
	struct vl_pool *pool;
	struct vl_array buckets, entries;
	struct vl_table table;
	bool in[ENTRIES];
	uint64_t live;
};

static void game_init(struct game *g)
{
	memset(g, 0, sizeof(*g));
	vl_pool_new(&memory.env, &g->pool, NULL);
	vl_array_init(&g->buckets, g->pool, 4, 4);
	vl_array_init(&g->entries, g->pool, ENTRY, 4);
	g->table = (struct vl_table){&g->buckets, &g->entries, &g->entries, 4, 0};
}

static void game_free(struct game *g)
{
	vl_array_free(&g->buckets);
	vl_array_free(&g->entries);
	vl_pool_free(g->pool);
}

static void game_add(struct game *g, uint32_t hash)
{
	uint64_t entry = g->entries.count;

	vl_put32(vl_array_append(&g->entries), hash);
	vl_table_insert(&g->table, entry, ++g->live);
	g->in[entry] = true;
}

static void game_remove(struct game *g, uint64_t entry)
{
	vl_table_remove(&g->table, entry);
	g->live -= g->in[entry];
	g->in[entry] = false;
}

static uint32_t game_hash(const struct game *g, uint64_t entry)
{
	return vl_get32(vl_array_get(&g->entries, entry));
}

/* Entries with this hash, as the table has them, against those of the list: newest first. */
static bool is_found(const struct game *g, uint32_t hash)
{
	uint32_t cursor = 0;
	uint64_t steps = 0;

	for (uint64_t i = g->entries.count; i-- > 0;)
		if (g->in[i] && game_hash(g, i) == hash &&
		    (!vl_table_next(&g->table, hash, &cursor, &steps) || cursor != i + 1))
			return false;
	return !vl_table_next(&g->table, hash, &cursor, &steps);
}

static void test_random(void)
{
	static struct game g;
	unsigned wrong = 0;

	for (uint64_t seed = 1; seed < 6; seed++) {
		game_init(&g);
		while (g.entries.count < ENTRIES) {
			uint64_t r = check_random(&seed);

			/*
			 * Few hashes make long chains, many make short ones; some differ in their highest
			 * bits only.
			 */
			if (r % 4 != 0 || g.entries.count == 0)
				game_add(&g, seed % 3 == 0 ? (uint32_t)(r >> 32) % 50 << (r >> 20) % 2 * 26
							   : (uint32_t)(r >> 32));
			else
				game_remove(&g, (r >> 8) % g.entries.count);
			if (g.entries.count % 100 == 0 || g.entries.count < 20)
				for (uint64_t i = 0; i < g.entries.count; i++)
					wrong += !is_found(&g, game_hash(&g, i));
		}
		wrong += g.buckets.count > ENTRIES || g.buckets.count < g.live;
		while (g.live > 0)
			game_remove(&g, check_random(&seed) % ENTRIES);
		for (uint64_t i = 0; i < g.buckets.count; i++)
			wrong += vl_get32(vl_array_get(&g.buckets, i)) != 0;
		game_free(&g);
	}
	check_u64(wrong, 0, "entries are found by their hash, newest first, whatever came and went");
}

/*
 * An insert into a table of any size changes a few elements: the new entry, two buckets, and the chain that
 * is split.
 */
static void test_cost(void)
{
	static struct game g;
	uint64_t seed = 7, most = 0;

	game_init(&g);
	for (int i = 0; i < ENTRIES; i++) {
		uint64_t links = 0;

		/* How long is the chain that this insert will split? Walk the buckets by hand. */
		game_add(&g, (uint32_t)check_random(&seed));
		for (uint64_t b = 0; b < g.buckets.count && i % 250 == 0; b++) {
			links = 0;
			for (uint32_t at = vl_get32(vl_array_get(&g.buckets, b)); at != 0;
			     at = vl_get32(vl_array_get(&g.entries, at - 1) + 4))
				links++;
			most = links > most ? links : most;
		}
	}
	check(most <= 9, "chains stay short: the longest has %u entries", (unsigned)most);
	check_u64(g.buckets.count, ENTRIES, "there is a bucket for each entry");
	game_free(&g);
}

/* Chains as a damaged file has them. */
static void test_lies(void)
{
	static struct game g;
	uint32_t cursor = 0;
	uint64_t steps = 0, found = 0;

	game_init(&g);
	for (int i = 0; i < 100; i++)
		game_add(&g, 8);
	/* All are in one chain; its last entry now leads to its first. */
	vl_put32(vl_array_edit(&g.entries, 0) + 4, 100);
	while (vl_table_next(&g.table, 8, &cursor, &steps))
		found++;
	check(found <= 100, "a chain that runs in a circle ends");
	cursor = 0, steps = 0;
	check(!vl_table_next(&g.table, 8 + (1 << 20), &cursor, &steps), "also for a hash that is not in it");
	vl_put32(vl_array_append(&g.entries), 8);
	check(vl_table_remove(&g.table, 100), "and for an entry that is not");
	for (uint32_t hash = 0; hash < 300; hash++)
		game_add(&g, hash);
	check_u64(g.entries.count, 401, "entries can be added, and the chain split");
	vl_put32(vl_array_edit(&g.entries, 50), 9);
	for (uint64_t i = 0; i < 100; i++)
		vl_table_remove(&g.table, i);
	check(true, "and taken out");
	vl_put32(vl_array_edit(&g.buckets, 8), 4000000000);
	cursor = 0, steps = 0;
	check(!vl_table_next(&g.table, 8, &cursor, &steps), "a bucket that leads nowhere is empty");
	game_free(&g);
	game_init(&g);
	check(!vl_table_next(&g.table, 8, &cursor, &steps), "so is a table without buckets");
	game_free(&g);
}

int main(void)
{
	memory_init(&memory, NULL);
	test_random();
	test_cost();
	test_lies();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
