/* cpu.c - asks the processor what it can do. */
#include "cpu.h"

#include <stdbool.h>
#include <string.h>

#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* What the operating system keeps when it switches threads: without that, wider registers may not be used. */
static uint32_t enabled_state(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

/* Puts the sets that this processor can run into found, the fastest first, and returns how many there are. */
static size_t find(const struct vl_kernels *found[4])
{
	const unsigned sse4 = bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_PCLMUL;
	const unsigned avx512 = bit_AVX512F | bit_AVX512VL | bit_AVX512BW;
	unsigned eax, ebx, ecx, edx, features, extended = 0, more = 0;
	uint32_t state = 0;
	size_t count = 0;
	bool sha, vnni;

	if (__get_cpuid(1, &eax, &ebx, &features, &edx) == 0)
		features = 0;
	if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
		extended = ebx;
		more = ecx;
	}
	if ((features & bit_OSXSAVE) != 0)
		state = enabled_state();
	sha = (extended & bit_SHA) != 0;
	vnni = (more & bit_AVX512VNNI) != 0;
	if ((features & sse4) == sse4) {
		/* State components: 2 and 4 are the SSE and AVX registers, 0xe0 those of AVX-512. */
		if ((extended & bit_AVX2) != 0 && (state & 6) == 6) {
			if ((extended & avx512) == avx512 && (state & 0xe6) == 0xe6)
				found[count++] = &vl_kernels_avx512[sha + 2 * vnni];
			found[count++] = &vl_kernels_avx2[sha];
		}
		found[count++] = &vl_kernels_sse4[sha];
	}
	found[count++] = &vl_kernels_portable;
	return count;
}
#else
static size_t find(const struct vl_kernels *found[4])
{
	size_t count = 0;

#ifdef VL_KERNELS_NEON
	found[count++] = &vl_kernels_neon;
#endif
	found[count++] = &vl_kernels_portable;
	return count;
}
#endif

const struct vl_kernels *vl_cpu_kernels_at(size_t index)
{
	const struct vl_kernels *found[4];

	return index < find(found) ? found[index] : NULL;
}

const struct vl_kernels *vl_cpu_kernels(const char *name)
{
	const struct vl_kernels *kernels;

	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++)
		if (name == NULL || strcmp(name, kernels->name) == 0)
			return kernels;
	return NULL;
}
