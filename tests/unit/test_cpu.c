/* test_cpu.c - the kernel sets that are offered here. */
#include "cpu.h"
#include "check.h"

int main(void)
{
	const struct vl_kernels *kernels;
	unsigned incomplete = 0, unnamed = 0;
	size_t count = 0;

	for (; (kernels = vl_cpu_kernels_at(count)) != NULL; count++) {
		printf("# %s\n", kernels->name);
		incomplete += kernels->blake3_compress == NULL || kernels->blake3_many == NULL ||
			      kernels->sha256_blocks == NULL || kernels->crc32c == NULL ||
			      kernels->q16_from_f32 == NULL || kernels->q16_norm == NULL || kernels->q16_l2 == NULL ||
			      kernels->q16_l2_rows == NULL || kernels->q16_l2_block == NULL ||
			      kernels->code_l2 == NULL || kernels->code_l2_rows == NULL ||
			      kernels->code_l2_gather == NULL || kernels->code_l2_block == NULL;
		unnamed += vl_cpu_kernels(kernels->name) == NULL ||
			   strcmp(vl_cpu_kernels(kernels->name)->name, kernels->name) != 0;
	}
	check(count > 0 && incomplete == 0, "every set is complete");
	check(unnamed == 0, "every set can be asked for by its name");
	check(vl_cpu_kernels(NULL) == vl_cpu_kernels_at(0), "the first set is the choice where nothing is asked for");
	check(vl_cpu_kernels("portable") == &vl_kernels_portable, "the portable set is always there");
	check(vl_cpu_kernels("") == NULL && vl_cpu_kernels("sse") == NULL && vl_cpu_kernels("avx2 ") == NULL,
	      "an unknown name is refused");
	check(vl_cpu_kernels_at(count + 1) == NULL && vl_cpu_kernels_at(SIZE_MAX) == NULL, "there is an end");
	return check_done();
}
