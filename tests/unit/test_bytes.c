/* test_bytes.c - little-endian numbers in byte strings. */
#include "bytes.h"
#include "check.h"

int main(void)
{
	const uint8_t bytes[8] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xf8};
	uint8_t out[9] = {0};

	check_u64(vl_get16(bytes), 0x0201, "16 bits, lowest byte first");
	check_u64(vl_get32(bytes), 0x04030201, "32 bits, lowest byte first");
	check_u64(vl_get64(bytes), UINT64_C(0xf807060504030201), "64 bits, lowest byte first");
	vl_put64(out + 1, UINT64_C(0xf807060504030201));
	check_bytes(out + 1, bytes, sizeof(bytes), "what is put is what was got, at any alignment");
	check_u64(vl_pad8(0), 0, "nothing needs no padding");
	check_u64(vl_pad8(UINT64_C(0x100000001)), UINT64_C(0x100000008), "padding counts in 64 bits");
	check(vl_is_zero(out, 1) && !vl_is_zero(out, 2) && vl_is_zero(bytes, 0), "zero bytes are told from others");
	return check_done();
}
