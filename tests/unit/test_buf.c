/* test_buf.c - a byte string that grows. */
#include "buf.h"
#include "check.h"
#include "memory.h"

static void test_puts(struct memory *memory)
{
	const uint8_t expected[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 'a', 'b', 0, 0, 0};
	struct vl_buf buf;

	vl_buf_init(&buf, &memory->env);
	vl_buf_put8(&buf, 1);
	vl_buf_put16(&buf, 0x0203);
	vl_buf_put32(&buf, 0x04050607);
	vl_buf_put64(&buf, UINT64_C(0x08090a0b0c0d0e0f));
	vl_buf_put(&buf, "ab", 2);
	vl_buf_put(&buf, NULL, 0);
	vl_buf_zero(&buf, 3);
	vl_buf_zero(&buf, 0);
	check_u64(buf.size, sizeof(expected), "what is put is counted");
	check_bytes(buf.data, expected, sizeof(expected), "numbers are put lowest byte first");
	vl_buf_clear(&buf);
	check(buf.size == 0 && buf.capacity > 0, "clearing keeps the memory");
	vl_buf_free(&buf);
	vl_buf_free(&buf);
	check(memory->blocks == 0 && memory->wrong == 0, "freeing gives all back, twice is harmless");
}

static void test_growth(struct memory *memory)
{
	struct vl_buf buf;
	uint64_t seed = 5, calls = memory->calls;
	unsigned wrong = 0;

	vl_buf_init(&buf, &memory->env);
	for (uint32_t i = 0; i < 50000; i++)
		vl_buf_put32(&buf, i);
	for (uint32_t i = 0; i < 50000; i++)
		wrong += vl_get32(buf.data + i * 4) != i;
	check_u64(wrong, 0, "growing keeps what is there");
	check(memory->calls - calls < 40, "growing is geometric");
	check(vl_buf_extend(&buf, SIZE_MAX - 3) == NULL && buf.failed, "a size that wraps around fails");
	vl_buf_clear(&buf);
	for (int i = 0; i < 100; i++) {
		size_t size = check_random(&seed) % 5000;
		uint8_t *added = vl_buf_extend(&buf, size);

		wrong += added == NULL || added != buf.data + buf.size - size;
	}
	check_u64(wrong, 0, "the room is at the end");
	vl_buf_free(&buf);
}

static void test_failure(struct memory *memory)
{
	struct vl_buf buf;

	vl_buf_init(&buf, &memory->env);
	vl_buf_put64(&buf, 1);
	memory->fail_at = memory->calls + 1;
	vl_buf_zero(&buf, 4096);
	check(buf.failed && buf.size == 8, "out of memory is remembered, and what was there stays");
	memory->fail_at = 0;
	vl_buf_put8(&buf, 2);
	check(buf.failed && buf.size == 8, "after a failure nothing more is put: no hole can arise");
	vl_buf_clear(&buf);
	vl_buf_put8(&buf, 2);
	check(!buf.failed && buf.size == 1, "clearing forgets the failure");
	vl_buf_free(&buf);
}

int main(void)
{
	struct memory memory;

	memory_init(&memory, NULL);
	test_puts(&memory);
	test_growth(&memory);
	test_failure(&memory);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
