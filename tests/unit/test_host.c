/* test_host.c - the memory of the process: blocks of all sizes, given back and taken again, by several threads. */
#include "host.h"

#include <pthread.h>
#include <string.h>

#include "check.h"

enum { BLOCKS = 2000, ROUNDS = 20 };

struct user {
	pthread_t thread;
	uint32_t seed;
	uint8_t mark; /* of its blocks */
	unsigned wrong;
};

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Mostly small ones, some around the edges between kinds of blocks, some large. */
static size_t size_of(uint32_t *seed)
{
	uint32_t kind = next(seed) % 16;

	if (kind == 0)
		return (16 << 10) - 2 + next(seed) % 5;
	if (kind == 1)
		return next(seed) % 200000;
	return next(seed) % (kind < 8 ? 300 : 12289);
}

static bool is_full_of(const uint8_t *block, size_t size, uint8_t value)
{
	for (size_t i = 0; i < size; i++)
		if (block[i] != value)
			return false;
	return true;
}

static void *use(void *argument)
{
	const struct vl_env *env = vl_host_env();
	struct user *user = argument;
	static _Thread_local uint8_t *blocks[BLOCKS];
	static _Thread_local size_t sizes[BLOCKS];

	for (unsigned i = 0; i < BLOCKS * ROUNDS; i++) {
		unsigned at = next(&user->seed) % BLOCKS;

		if (blocks[at] != NULL) {
			user->wrong += !is_full_of(blocks[at], sizes[at], (uint8_t)(at + user->mark));
			vl_release(env, blocks[at], sizes[at]);
		}
		sizes[at] = size_of(&user->seed);
		blocks[at] = vl_alloc(env, sizes[at]);
		user->wrong += blocks[at] == NULL || (uintptr_t)blocks[at] % 64 != 0;
		if (blocks[at] != NULL)
			memset(blocks[at], (uint8_t)(at + user->mark), sizes[at]);
	}
	for (unsigned at = 0; at < BLOCKS; at++)
		vl_release(env, blocks[at], sizes[at]);
	return NULL;
}

int main(void)
{
	const struct vl_env *env = vl_host_env();
	struct user users[3];
	uint8_t *first, *second;
	unsigned wrong = 0;

	for (unsigned i = 0; i < 3; i++) {
		users[i] = (struct user){.seed = i + 1, .mark = (uint8_t)(i * 80)};
		pthread_create(&users[i].thread, NULL, use, &users[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(users[i].thread, NULL);
		wrong += users[i].wrong;
	}
	check_u64(wrong, 0, "blocks of all sizes are aligned, and nobody else's while they are held");
	first = vl_alloc(env, 0);
	second = vl_alloc(env, 0);
	check(first != NULL && second != NULL && first != second, "a block of nothing is a block");
	vl_release(env, first, 0);
	vl_release(env, second, 0);
	vl_release(env, NULL, 100);
	check(vl_alloc(env, SIZE_MAX) == NULL, "what no machine has is refused");
	return check_done();
}
