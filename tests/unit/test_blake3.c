/* test_blake3.c - BLAKE3 against the published vectors, in every mode and with every kernel. */
#include "blake3.h"
#include "check.h"
#include "cpu.h"

enum { INPUT_MAX = 102400, MANY = 37 };

static uint8_t input[INPUT_MAX + MANY + 64];

/*
 * The input is 0, 1, ... 250, 0, 1, ...; the second hash is that of derive_key under CONTEXT. The values are those of
 * BLAKE3's test_vectors.json, and of b3sum for lengths that are not in it.
 */
#define CONTEXT "BLAKE3 2019-12-27 16:29:52 test vectors context"
static const struct {
	size_t size;
	const char *plain, *derived;
} vectors[] = {
	{0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
	 "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"},
	{1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
	 "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c"},
	{2, "7b7015bb92cf0b318037702a6cdd81dee41224f734684c2c122cd6359cb1ee63",
	 "1f166565a7df0098ee65922d7fea425fb18b9943f19d6161e2d17939356168e6"},
	{3, "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f",
	 "440aba35cb006b61fc17c0529255de438efc06a8c9ebf3f2ddac3b5a86705797"},
	{4, "f30f5ab28fe047904037f77b6da4fea1e27241c5d132638d8bedce9d40494f32",
	 "f46085c8190d69022369ce1a18880e9b369c135eb93f3c63550d3e7630e91060"},
	{5, "b40b44dfd97e7a84a996a91af8b85188c66c126940ba7aad2e7ae6b385402aa2",
	 "1f24eda69dbcb752847ec3ebb5dd42836d86e58500c7c98d906ecd82ed9ae47f"},
	{6, "06c4e8ffb6872fad96f9aaca5eee1553eb62aed0ad7198cef42e87f6a616c844",
	 "be96b30b37919fe4379dfbe752ae77b4f7e2ab92f7ff27435f76f2f065f6a5f4"},
	{7, "3f8770f387faad08faa9d8414e9f449ac68e6ff0417f673f602a646a891419fe",
	 "dc3b6485f9d94935329442916b0d059685ba815a1fa2a14107217453a7fc9f0e"},
	{8, "2351207d04fc16ade43ccab08600939c7c1fa70a5c0aaca76063d04c3228eaeb",
	 "2b166978cef14d9d438046c720519d8b1cad707e199746f1562d0c87fbd32940"},
	{63, "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b",
	 "b6451e30b953c206e34644c6803724e9d2725e0893039cfc49584f991f451af3"},
	{64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98",
	 "a5c4a7053fa86b64746d4bb688d06ad1f02a18fce9afd3e818fefaa7126bf73e"},
	{65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee",
	 "51fd05c3c1cfbc8ed67d139ad76f5cf8236cd2acd26627a30c104dfd9d3ff8a8"},
	{127, "d81293fda863f008c09e92fc382a81f5a0b4a1251cba1634016a0f86a6bd640d",
	 "c91c090ceee3a3ac81902da31838012625bbcd73fcb92e7d7e56f78deba4f0c3"},
	{128, "f17e570564b26578c33bb7f44643f539624b05df1a76c81f30acd548c44b45ef",
	 "81720f34452f58a0120a58b6b4608384b5c51d11f39ce97161a0c0e442ca0225"},
	{129, "683aaae9f3c5ba37eaaf072aed0f9e30bac0865137bae68b1fde4ca2aebdcb12",
	 "938d2d4435be30eafdbb2b7031f7857c98b04881227391dc40db3c7b21f41fc1"},
	{512, "87aa0321ee04decf72d6fe8d5799d6216db538c0da4a367d6d456643e9ea7994",
	 "61993e02c7b852b1bab4dcf9a92163f7eacffde49e97f07abdb57ed9adffbded"},
	{1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
	 "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5"},
	{1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
	 "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706"},
	{1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
	 "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb"},
	{2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
	 "7b2945cb4fef70885cc5d78a87bf6f6207dd901ff239201351ffac04e1088a23"},
	{2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
	 "2ea477c5515cc3dd606512ee72bb3e0e758cfae7232826f35fb98ca1bcbdf273"},
	{3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2",
	 "050df97f8c2ead654d9bb3ab8c9178edcd902a32f8495949feadcc1e0480c46b"},
	{3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3",
	 "72613c9ec9ff7e40f8f5c173784c532ad852e827dba2bf85b2ab4b76f7079081"},
	{4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969",
	 "1e0d7f3db8c414c97c6307cbda6cd27ac3b030949da8e23be1a1a924ad2f25b9"},
	{4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995",
	 "aca51029626b55fda7117b42a7c211f8c6e9ba4fe5b7a8ca922f34299500ead8"},
	{5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833",
	 "7a7acac8a02adcf3038d74cdd1d34527de8a0fcc0ee3399d1262397ce5817f60"},
	{5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff",
	 "b07f01e518e702f7ccb44a267e9e112d403a7b3f4883a47ffbed4b48339b3c34"},
	{6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205",
	 "2a95beae63ddce523762355cf4b9c1d8f131465780a391286a5d01abb5683a15"},
	{6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f",
	 "379bcc61d0051dd489f686c13de00d5b14c505245103dc040d9e4dd1facab8e5"},
	{7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a",
	 "11c37a112765370c94a51415d0d651190c288566e295d505defdad895dae2237"},
	{7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817",
	 "554b0a5efea9ef183f2f9b931b7497995d9eb26f5c5c6dad2b97d62fc5ac31d9"},
	{8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63",
	 "ad01d7ae4ad059b0d33baa3c01319dcf8088094d0359e5fd45d6aeaa8b2d0c3d"},
	{8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b",
	 "af1e0346e389b17c23200270a64aa4e1ead98c61695d917de7d5b00491c9b0f1"},
	{16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4",
	 "160e18b5878cd0df1c3af85eb25a0db5344d43a6fbd7a8ef4ed98d0714c3f7e1"},
	{31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
	 "39772aef80e0ebe60596361e45b061e8f417429d529171b6764468c22928e28e"},
	{102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
	 "4652cff7a3f385a6103b5c260fc1593e13c778dbe608efb092fe7ee69df6e9c6"},
};

static bool equals(const uint8_t hash[32], const char *hex)
{
	char text[65];

	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return strcmp(text, hex) == 0;
}

/* The key of a context: the hash of the string, at most one block, in the mode for contexts. */
static void derive(const struct vl_kernels *kernels, const char *context, uint32_t key[8])
{
	uint8_t block[64] = {0};

	memcpy(block, context, strlen(context));
	memcpy(key, vl_blake3_iv, 32);
	kernels->blake3_compress(key, block, (uint8_t)strlen(context), 0,
				 VL_BLAKE3_CHUNK_START | VL_BLAKE3_CHUNK_END | VL_BLAKE3_ROOT |
					 VL_BLAKE3_DERIVE_KEY_CONTEXT);
}

static void test_vectors(const struct vl_kernels *kernels)
{
	unsigned plain = 0, derived = 0, pieces = 0, middle = 0;
	uint32_t key[8];

	derive(kernels, CONTEXT, key);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t size = vectors[i].size;
		struct vl_blake3 hash;
		uint8_t out[32];

		vl_blake3(kernels, VL_HASH_PLAIN, input, size, out);
		plain += !equals(out, vectors[i].plain);
		vl_blake3_init(&hash, kernels, VL_HASH_PLAIN);
		memcpy(hash.key, key, 32);
		memcpy(hash.cv, key, 32);
		hash.flags = VL_BLAKE3_DERIVE_KEY_MATERIAL;
		vl_blake3_update(&hash, input, size);
		vl_blake3_final(&hash, out);
		derived += !equals(out, vectors[i].derived);
		/* Pieces of 1, 2, 3, ... bytes, then of thousands, asked for the hash half way as well. */
		vl_blake3_init(&hash, kernels, VL_HASH_PLAIN);
		for (size_t at = 0, piece = 1; at < size; piece = piece < 150 ? piece + 1 : piece * 2) {
			size_t some = piece < size - at ? piece : size - at;
			uint8_t half[32], whole[32];

			vl_blake3_update(&hash, input + at, some);
			at += some;
			vl_blake3_final(&hash, half);
			vl_blake3(kernels, VL_HASH_PLAIN, input, at, whole);
			middle += memcmp(half, whole, 32) != 0;
		}
		vl_blake3_final(&hash, out);
		pieces += !equals(out, vectors[i].plain);
	}
	check(plain == 0, "%s: plain hashes are BLAKE3's", kernels->name);
	check(derived == 0, "%s: derived-key hashes are BLAKE3's", kernels->name);
	check(pieces == 0, "%s: a hash fed in pieces is the hash of the whole", kernels->name);
	check(middle == 0, "%s: a hash may be asked for in the middle", kernels->name);
}

static void test_compress(const struct vl_kernels *kernels)
{
	uint64_t seed = 1;
	unsigned wrong = 0;

	for (unsigned round = 0; round < 2000; round++) {
		uint64_t random[13];
		uint32_t cv[8], expected[8];
		uint8_t block[67];

		for (unsigned i = 0; i < 13; i++)
			random[i] = round < 3 ? 0 - (uint64_t)(round & 1) : check_random(&seed);
		memcpy(cv, random, 32);
		memcpy(expected, random, 32);
		memcpy(block + round % 4, random + 4, 64);
		kernels->blake3_compress(cv, block + round % 4, (uint8_t)random[12], random[12],
					 (uint8_t)(random[12] >> 8));
		vl_blake3_compress_portable(expected, block + round % 4, (uint8_t)random[12], random[12],
					    (uint8_t)(random[12] >> 8));
		wrong += memcmp(cv, expected, 32) != 0;
	}
	check(wrong == 0, "%s: one compression is that of the portable twin", kernels->name);
}

/* The kernel itself: every count around the numbers of lanes, every shape of the last block, counters that carry. */
static void test_many_kernel(const struct vl_kernels *kernels)
{
	static const uint64_t counters[] = {0, 1, UINT32_MAX - 5, UINT64_C(0x123456789abcdef0)};
	const uint8_t *inputs[MANY];
	uint32_t key[8];
	unsigned wrong = 0, outside = 0;

	derive(kernels, CONTEXT, key);
	for (size_t i = 0; i < MANY; i++)
		inputs[i] = input + 1 + i * 1031;
	for (size_t count = 0; count <= MANY; count++)
		for (size_t blocks = 1; blocks <= 16; blocks = blocks < 4 ? blocks + 1 : blocks * 2)
			for (unsigned last = 0; last <= 64; last += last == 0 || last >= 63 ? 1 : 31)
				for (unsigned c = 0; c < 8; c++) {
					uint8_t out[32 * MANY + 32], expected[32 * MANY + 32];

					memset(out, 0xee, sizeof(out));
					memset(expected, 0xee, sizeof(expected));
					kernels->blake3_many(inputs, count, blocks, key, counters[c / 2], c & 1, 16, 1,
							     10, (uint8_t)last, out);
					vl_blake3_many_portable(inputs, count, blocks, key, counters[c / 2], c & 1, 16,
								1, 10, (uint8_t)last, expected);
					wrong += memcmp(out, expected, count * 32) != 0;
					outside += memcmp(out + count * 32, expected + count * 32, 32) != 0;
				}
	check(wrong == 0, "%s: many compressions in lanes are those of the portable twin", kernels->name);
	check(outside == 0, "%s: exactly the hashes that were asked for are written", kernels->name);
}

/* Sizes on both sides of a block, a chunk, two chunks and an uneven tree; rows packed and spread. */
static void test_many(const struct vl_kernels *kernels)
{
	static const size_t sizes[] = {0,    1,    63,   64,   65,   120,  128,  512,  1023,      1024,
				       1025, 1536, 2048, 2049, 3072, 3073, 4096, 5121, 15 * 1024, 70001};
	unsigned wrong = 0, rows_wrong = 0;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (size_t count = 0; count <= MANY; count += count < 18 ? 1 : 5) {
			uint8_t out[MANY * 32], row_out[MANY * 32], expected[32];
			const uint8_t *inputs[MANY];
			size_t size = sizes[s];
			size_t stride = (INPUT_MAX - size) / MANY;

			for (size_t i = 0; i < count; i++)
				inputs[i] = input + 3 + i * stride;
			vl_blake3_many(kernels, VL_HASH_VECTOR, inputs, size, count, out);
			vl_blake3_rows(kernels, VL_HASH_PLAIN, input + 3, stride, size, count, row_out);
			for (size_t i = 0; i < count; i++) {
				vl_blake3(&vl_kernels_portable, VL_HASH_VECTOR, inputs[i], size, expected);
				wrong += memcmp(out + 32 * i, expected, 32) != 0;
				vl_blake3(&vl_kernels_portable, VL_HASH_PLAIN, inputs[i], size, expected);
				rows_wrong += memcmp(row_out + 32 * i, expected, 32) != 0;
			}
		}
	check(wrong == 0, "%s: hashes made together are the hashes made one by one", kernels->name);
	check(rows_wrong == 0, "%s: rows of one array are hashed like inputs", kernels->name);
}

/* An input may end where memory ends: nothing behind it is read. Only a sanitizer sees a fault here. */
static void test_bounds(const struct vl_kernels *kernels)
{
	unsigned wrong = 0;

	for (size_t size = 0; size <= 200; size++) {
		uint8_t *exact = malloc(size + 1), *copies = malloc(17 * (size + 1));
		uint8_t one[32], many[17 * 32];

		memcpy(exact, input, size);
		for (size_t i = 0; i < 17 && size > 0; i++)
			memcpy(copies + i * size, input, size);
		exact = realloc(exact, size > 0 ? size : 1);
		copies = realloc(copies, size > 0 ? 17 * size : 1);
		vl_blake3(kernels, VL_HASH_KEY, exact, size, one);
		vl_blake3_rows(kernels, VL_HASH_KEY, copies, size, size, 17, many);
		for (size_t i = 0; i < 17; i++)
			wrong += memcmp(one, many + 32 * i, 32) != 0;
		free(exact);
		free(copies);
	}
	check(wrong == 0, "%s: inputs that end where memory ends", kernels->name);
}

static void test_contexts(void)
{
	unsigned wrong = 0, long_ones = 0;

	check(vl_blake3_context(VL_HASH_PLAIN) == NULL, "the plain hash has no context");
	for (unsigned context = VL_HASH_PLAIN + 1; context < VL_HASH_CONTEXTS; context++) {
		const char *string = vl_blake3_context(context);
		struct vl_blake3 hash;
		uint32_t key[8];

		long_ones += strlen(string) > 64;
		derive(&vl_kernels_portable, string, key);
		vl_blake3_init(&hash, &vl_kernels_portable, context);
		wrong += memcmp(hash.key, key, 32) != 0;
		for (unsigned other = VL_HASH_PLAIN + 1; other < context; other++)
			wrong += strcmp(string, vl_blake3_context(other)) == 0;
	}
	check(long_ones == 0 && wrong == 0, "the keys in the source are those of the context strings, all different");
	check_text(vl_blake3_context(VL_HASH_VECTOR), "valori vector v1", "the context of vectors");
	check_text(vl_blake3_context(VL_HASH_STATE), "valori state v1", "the context of states");
}

int main(void)
{
	const struct vl_kernels *kernels;

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i % 251);
	test_contexts();
	for (size_t i = 0; (kernels = vl_cpu_kernels_at(i)) != NULL; i++) {
		test_vectors(kernels);
		test_compress(kernels);
		test_many_kernel(kernels);
		test_many(kernels);
		test_bounds(kernels);
	}
	return check_done();
}
