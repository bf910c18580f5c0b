/* test_block.c - who owns a block, who copies it, who releases it. */
#include <pthread.h>

#include "block.h"
#include "check.h"
#include "memory.h"

static struct memory memory;

static void test_sharing(void)
{
	struct vl_block first, second, third;
	uint8_t *data;

	check(vl_block_new(&first, &memory.env, 1000) && first.size == 1000 && (uintptr_t)first.data % 64 == 0,
	      "a block has its size and is aligned to 64");
	memset(first.data, 7, 1000);
	data = first.data;
	check(vl_block_own(&first, &memory.env, 1000) && first.data == data, "one owner alone writes where it lies");
	second = vl_block_share(&first);
	third = vl_block_share(&second);
	check(second.data == data && third.data == data && memory.blocks == 1, "sharing copies nothing");
	check(vl_block_own(&second, &memory.env, 500) && second.data != data && second.size == 1000 &&
		      memory.blocks == 2,
	      "whoever wants to write gets a copy");
	check(memcmp(second.data, data, 500) == 0, "with the bytes that were used");
	memset(second.data, 8, 1000);
	check(((uint8_t *)first.data)[0] == 7, "and the others see no change");
	vl_block_free(&first);
	check(first.data == NULL && ((uint8_t *)third.data)[999] == 7, "the last owner keeps the memory");
	check(vl_block_own(&third, &memory.env, 1000) && third.data == data, "and then may write to it");
	vl_block_free(&third);
	vl_block_free(&second);
	vl_block_free(&second);
	check(memory.blocks == 0 && memory.wrong == 0, "nothing is left, and freeing an empty block is nothing");
	check(vl_block_own(&first, &memory.env, 0) && first.data == NULL, "an empty block is its owner's");
}

static void test_mapped(void)
{
	static const uint8_t bytes[100] = {1, 2, 3};
	struct vl_block first, second;

	vl_block_map(&first, bytes, 100);
	second = vl_block_share(&first);
	check(first.data == bytes && second.data == bytes && second.size == 100, "a mapped block is where it was");
	check(vl_block_own(&second, &memory.env, 100) && second.data != bytes && memcmp(second.data, bytes, 100) == 0,
	      "nobody writes to it: it is copied");
	vl_block_free(&second);
	check(vl_block_reserve(&first, &memory.env, 3, 50) && first.data != bytes && first.size == 50 &&
		      memcmp(first.data, bytes, 3) == 0,
	      "nor appends to it, even where there is room");
	vl_block_free(&first);
	vl_block_map(&first, bytes, 100);
	vl_block_free(&first);
	check(first.data == NULL && memory.blocks == 0, "freeing it gives back nothing");
}

static void test_reserve(void)
{
	struct vl_block first = {NULL, 0, NULL}, second;
	uint8_t *data;

	check(vl_block_reserve(&first, &memory.env, 0, 10) && first.size == 10, "an empty block becomes a larger one");
	memset(first.data, 3, 10);
	data = first.data;
	second = vl_block_share(&first);
	check(vl_block_reserve(&second, &memory.env, 10, 10) && second.data == data,
	      "where there is room, it stays shared");
	check(vl_block_reserve(&second, &memory.env, 10, 11) && second.data != data && second.size == 11 &&
		      memcmp(second.data, data, 10) == 0,
	      "where there is none, the used bytes move");
	vl_block_free(&second);
	memory.fail_at = memory.calls + 1;
	check(!vl_block_reserve(&first, &memory.env, 10, 1000) && first.data == data && first.size == 10,
	      "without memory nothing changes");
	check(!vl_block_new(&second, &memory.env, 1000) && second.data == NULL, "or is made");
	check(!vl_block_new(&second, &memory.env, SIZE_MAX), "nor of a size that is none");
	memory.fail_at = 0;
	vl_block_free(&first);
}

enum { THREADS = 4, TURNS = 20000 };
static struct vl_block common;

static void *share_and_free(void *argument)
{
	(void)argument;
	for (int i = 0; i < TURNS; i++) {
		struct vl_block mine = vl_block_share(&common);

		vl_block_free(&mine);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	struct vl_block last;

	vl_block_new(&common, &memory.env, 64);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, share_and_free, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	last = common;
	check(memory.blocks == 1 && vl_block_own(&last, &memory.env, 64) && last.data == common.data,
	      "many threads count right");
	vl_block_free(&last);
	check(memory.blocks == 0, "and the last one releases");
}

int main(void)
{
	memory_init(&memory, &vl_kernels_portable);
	test_sharing();
	test_mapped();
	test_reserve();
	check(memory.blocks == 0, "all memory is given back");
	test_threads();
	check_u64(memory.wrong, 0, "all is given back with its size");
	return check_done();
}
