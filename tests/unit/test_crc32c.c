/* test_crc32c.c - CRC-32C against RFC 3720 and against the definition, with every kernel. */
#include "crc32c.h"
#include "check.h"
#include "cpu.h"

static uint8_t input[70000];

/* One bit at a time. */
static uint32_t crc_bits(uint32_t crc, const uint8_t *data, size_t size)
{
	crc = ~crc;
	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void test(const struct vl_kernels *kernels)
{
	uint8_t data[32] = {0};
	unsigned wrong = 0, split = 0;
	const size_t large[] = {4096, 65536, 65537, 69990};

	/* RFC 3720 B.4 */
	wrong += vl_crc32c(kernels, 0, data, 32) != 0x8a9136aa;
	memset(data, 0xff, 32);
	wrong += vl_crc32c(kernels, 0, data, 32) != 0x62a8ab43;
	for (uint8_t i = 0; i < 32; i++)
		data[i] = i;
	wrong += vl_crc32c(kernels, 0, data, 32) != 0x46dd794e;
	for (uint8_t i = 0; i < 32; i++)
		data[i] = 31 - i;
	wrong += vl_crc32c(kernels, 0, data, 32) != 0x113fdb5c;
	wrong += vl_crc32c(kernels, 0, "123456789", 9) != 0xe3069283;
	wrong += vl_crc32c(kernels, 0, NULL, 0) != 0;
	check(wrong == 0, "%s: the values of RFC 3720", kernels->name);

	wrong = 0;
	for (size_t size = 0; size < 2100; size++)
		wrong += vl_crc32c(kernels, (uint32_t)size * 77777, input + size % 17, size) !=
			 crc_bits((uint32_t)size * 77777, input + size % 17, size);
	for (unsigned i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		wrong += vl_crc32c(kernels, 5, input + i, large[i]) != crc_bits(5, input + i, large[i]);
	check(wrong == 0, "%s: the remainder of the polynomial division, for every length and alignment",
	      kernels->name);

	for (size_t size = 0; size <= 20000; size += 611)
		split += vl_crc32c(kernels, vl_crc32c(kernels, 0, input, size), input + size, 20000 - size) !=
			 vl_crc32c(kernels, 0, input, 20000);
	check(split == 0, "%s: a crc continues over pieces", kernels->name);
}

int main(void)
{
	const struct vl_kernels *kernels;

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i * i >> 5 ^ i);
	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++)
		test(kernels);
	return check_done();
}
