/* kernels.c - the portable kernel set: the truth that all others are compared with. */
#include "kernels.h"

const struct vl_kernels vl_kernels_portable = {
	.name = "portable",
	.blake3_compress = vl_blake3_compress_portable,
	.blake3_many = vl_blake3_many_portable,
	.sha256_blocks = vl_sha256_blocks_portable,
	.crc32c = vl_crc32c_portable,
	.q16_from_f32 = vl_q16_from_f32_portable,
	.q16_norm = vl_q16_norm_portable,
	.q16_l2 = vl_q16_l2_portable,
	.q16_l2_rows = vl_q16_l2_rows_portable,
	.q16_l2_block = vl_q16_l2_block_portable,
	.code_l2 = vl_code_l2_portable,
	.code_l2_rows = vl_code_l2_rows_portable,
	.code_l2_gather = vl_code_l2_gather_portable,
	.code_l2_block = vl_code_l2_block_portable,
	.f32s_from_decimals = vl_f32s_from_decimals_portable,
};
