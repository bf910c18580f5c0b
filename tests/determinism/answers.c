/* answers.c - the questions of the determinism matrix. */
#include "answers.h"

#include "bytes.h"

enum { CENTRES = 24, SETS = 24 };

uint64_t matrix_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* All components are 0 but one or two, which together reach the limit of the norm: 2^31 - 1, or twice 1.4 x 2^30. */
static void fill_corner(uint64_t random, uint32_t dim, uint8_t *out)
{
	int32_t far = (random & 1) != 0 ? INT32_MAX : -INT32_MAX, near = (random & 2) != 0 ? 1518500249 : -1518500249;
	size_t first = (size_t)((random >> 8) % dim), second = (size_t)((random >> 32) % dim);

	memset(out, 0, (size_t)dim * 4);
	if ((random & 4) != 0 || first == second) {
		vl_put32(out + first * 4, (uint32_t)far);
		return;
	}
	vl_put32(out + first * 4, (uint32_t)near);
	vl_put32(out + second * 4, (uint32_t)((random & 8) != 0 ? near : -near));
}

void matrix_vector(uint64_t *seed, uint32_t dim, uint8_t *out)
{
	uint64_t random = matrix_random(seed), centre = random % CENTRES, noise = random >> 8, bits = 0;
	bool is_exact = (random >> 16) % 5 == 0;

	if ((random >> 24) % 50 == 0) {
		fill_corner(matrix_random(seed), dim, out);
		return;
	}
	for (uint32_t i = 0; i < dim; i++) {
		uint64_t place = centre << 32 | i;
		int32_t component = (int32_t)(matrix_random(&place) & 0x7ffff) - 0x40000;

		if (i % 4 == 0)
			bits = matrix_random(&noise);
		if (!is_exact)
			component += (int32_t)(bits & 0xffff) - 0x8000;
		bits >>= 16;
		vl_put32(out + (size_t)i * 4, (uint32_t)component);
	}
}

static void put_number(struct vl_blake3 *hash, uint64_t number)
{
	uint8_t bytes[8];

	vl_put64(bytes, number);
	vl_blake3_update(hash, bytes, sizeof(bytes));
}

static void put_hits(struct vl_blake3 *hash, const valori_hit *hits, size_t count)
{
	put_number(hash, count);
	for (size_t i = 0; i < count; i++) {
		put_number(hash, hits[i].id);
		put_number(hash, hits[i].score);
	}
}

valori_code matrix_answers(const struct vl_env *env, uint32_t dim, matrix_search *search, void *context,
			   uint8_t out[VL_HASH_SIZE], valori_error *error)
{
	static const size_t ks[] = {1, 10, MATRIX_K_MAX}, counts[] = {1, 5, MATRIX_COUNT_MAX};
	size_t queries_size = (size_t)MATRIX_COUNT_MAX * dim * 4;
	size_t hits_size = MATRIX_COUNT_MAX * MATRIX_K_MAX * sizeof(valori_hit);
	uint8_t *queries = vl_alloc(env, queries_size);
	valori_hit *hits = vl_alloc(env, hits_size);
	size_t found[MATRIX_COUNT_MAX];
	uint64_t seed = dim;
	valori_code code = VALORI_OK;
	struct vl_blake3 hash;

	vl_blake3_init(&hash, env->kernels, VL_HASH_PLAIN);
	if (queries == NULL || hits == NULL)
		code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	for (unsigned set = 0; set < SETS && code == VALORI_OK; set++) {
		struct vl_filter filter = {.collection = (uint16_t)(set % 8 < 4 ? 0 : set % 8 - 3),
					   .has_tag = set / 3 % 2 != 0,
					   .tag = set % 5};
		size_t k = ks[set % 3], count = counts[(set + set / 3) % 3];

		for (size_t i = 0; i < count; i++)
			matrix_vector(&seed, dim, queries + i * dim * 4);
		memset(found, 0, sizeof(found));
		code = search(context, queries, count, k, &filter, hits, found, error);
		put_number(&hash, set);
		for (size_t i = 0; i < count && code == VALORI_OK; i++)
			put_hits(&hash, hits + i * k, found[i]);
	}
	vl_blake3_final(&hash, out);
	vl_release(env, hits, hits_size);
	vl_release(env, queries, queries_size);
	return code;
}

void matrix_sections_add(struct matrix_sections *sections, uint32_t kind, uint64_t size, uint64_t count,
			 const uint8_t digest[VL_HASH_SIZE])
{
	put_number(&sections->hash, kind);
	put_number(&sections->hash, size);
	put_number(&sections->hash, count);
	vl_blake3_update(&sections->hash, digest, VL_HASH_SIZE);
}
