/* test_sha256.c - SHA-256 and the RFC 6962 frontier, with every kernel. */
#include "sha256.h"
#include "check.h"
#include "cpu.h"

#if defined(__has_include)
#if __has_include("config.h")
#include "config.h"
#endif
#endif
#ifdef HAVE_SODIUM
#include <sodium.h>
#endif

static uint8_t input[3000];

static bool equals(const uint8_t hash[32], const char *hex)
{
	char text[65];

	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return strcmp(text, hex) == 0;
}

/* FIPS 180-4 and NIST's examples. */
static const struct {
	const char *text, *hash;
} vectors[] = {
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void test_hash(const struct vl_kernels *kernels)
{
	unsigned wrong = 0, pieces = 0, twins = 0;
	struct vl_sha256 hash;
	uint8_t out[32], expected[32];

	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		vl_sha256(kernels, vectors[i].text, strlen(vectors[i].text), out);
		wrong += !equals(out, vectors[i].hash);
	}
	vl_sha256_init(&hash, kernels);
	for (unsigned i = 0; i < 10000; i++)
		vl_sha256_update(
			&hash,
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaaaa",
			100);
	vl_sha256_final(&hash, out);
	wrong += !equals(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	check(wrong == 0, "%s: SHA-256 of the published messages", kernels->name);
	for (size_t size = 0; size < 300; size++) {
		vl_sha256(&vl_kernels_portable, input + 1, size, expected);
		vl_sha256(kernels, input + 1, size, out);
		twins += memcmp(out, expected, 32) != 0;
		for (size_t first = 0; first <= size; first += 7) {
			vl_sha256_init(&hash, kernels);
			vl_sha256_update(&hash, input + 1, first);
			vl_sha256_final(&hash, out);
			vl_sha256_update(&hash, input + 1 + first, size - first);
			vl_sha256_final(&hash, out);
			pieces += memcmp(out, expected, 32) != 0;
		}
	}
	check(twins == 0, "%s: every length is that of the portable twin", kernels->name);
	check(pieces == 0, "%s: a hash fed in pieces is the hash of the whole", kernels->name);
}

/*
 * The length in the padding has 64 bits: a hash that says it has seen so much already, against its last block by hand.
 */
static void test_length(const struct vl_kernels *kernels)
{
	static const uint64_t sizes[] = {UINT64_C(1) << 29, UINT64_C(7) << 32, (UINT64_C(1) << 61) - 64};
	unsigned wrong = 0;

	for (unsigned i = 0; i < 3; i++) {
		uint8_t block[64] = {'a', 'b', 'c', 0x80}, out[32], expected[32];
		struct vl_sha256 hash;
		uint32_t h[8];

		vl_sha256_init(&hash, kernels);
		memcpy(h, hash.h, sizeof(h));
		hash.size = sizes[i];
		vl_sha256_update(&hash, "abc", 3);
		vl_sha256_final(&hash, out);
		for (unsigned j = 0; j < 8; j++)
			block[56 + j] = (uint8_t)((sizes[i] + 3) * 8 >> (56 - 8 * j));
		vl_sha256_blocks_portable(h, block, 1);
		for (unsigned j = 0; j < 32; j++)
			expected[j] = (uint8_t)(h[j / 4] >> (24 - 8 * (j % 4)));
		wrong += memcmp(out, expected, 32) != 0;
	}
	check(wrong == 0, "%s: lengths of up to 2^64 bits", kernels->name);
}

static void test_sodium(const struct vl_kernels *kernels)
{
#ifdef HAVE_SODIUM
	unsigned wrong = 0;
	uint8_t out[32], expected[32];

	for (size_t size = 0; size < sizeof(input); size += size < 200 ? 1 : 97) {
		vl_sha256(kernels, input, size, out);
		crypto_hash_sha256(expected, input, size);
		wrong += memcmp(out, expected, 32) != 0;
	}
	check(wrong == 0, "%s: the same as libsodium's SHA-256", kernels->name);
#else
	(void)kernels;
	check_skip("the same as libsodium's SHA-256", "built without libsodium");
#endif
}

/* RFC 6962 section 2.1, word for word. */
static void tree_hash(const uint8_t leaves[][32], size_t count, uint8_t out[32])
{
	uint8_t node[65] = {1};
	size_t k = 1;

	if (count <= 1) {
		if (count == 0)
			vl_sha256(&vl_kernels_portable, NULL, 0, out);
		else
			memcpy(out, leaves[0], 32);
		return;
	}
	while (k * 2 < count)
		k *= 2;
	tree_hash(leaves, k, node + 1);
	tree_hash(leaves + k, count - k, node + 33);
	vl_sha256(&vl_kernels_portable, node, 65, out);
}

static void test_frontier(const struct vl_kernels *kernels)
{
	static uint8_t leaves[300][32];
	struct vl_frontier frontier = {.size = 0};
	unsigned wrong = 0, roots = 0;
	uint8_t out[32], expected[32];

	for (size_t size = 0; size < 300; size++) {
		size_t at = 0, entry = 0;

		vl_frontier_root(&frontier, kernels, out);
		tree_hash((const uint8_t(*)[32])leaves, size, expected);
		wrong += memcmp(out, expected, 32) != 0;
		for (size_t part = 256; part > 0; part /= 2)
			if ((size & part) != 0) {
				tree_hash((const uint8_t(*)[32])leaves + at, part, expected);
				roots += memcmp(frontier.roots[entry++], expected, 32) != 0;
				at += part;
			}
		roots += entry != vl_frontier_count(frontier.size) || frontier.size != size;
		for (unsigned i = 0; i < 32; i++)
			leaves[size][i] = (uint8_t)(size * 31 + i * 7);
		vl_frontier_append(&frontier, kernels, leaves[size]);
	}
	check(wrong == 0, "%s: the frontier's root is that of RFC 6962", kernels->name);
	check(roots == 0, "%s: the frontier holds the complete subtrees, largest first", kernels->name);
	frontier.size = UINT64_MAX - 1;
	vl_frontier_append(&frontier, kernels, leaves[0]);
	check(frontier.size == UINT64_MAX && memcmp(frontier.roots[63], leaves[0], 32) == 0,
	      "%s: the last leaf of the largest tree", kernels->name);
}

int main(void)
{
	const struct vl_kernels *kernels;

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i * i >> 3);
	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++) {
		test_hash(kernels);
		test_length(kernels);
		test_sodium(kernels);
		test_frontier(kernels);
	}
	return check_done();
}
