/* ivf.c - inverted lists as a thing: made, shared, grown, looked at. */
#include "ivf.h"

#include "err.h"
#include "ivf_private.h"

void vl_ivf_init(struct vl_ivf *ivf, const struct vl_env *env, uint32_t wanted)
{
	memset(ivf, 0, sizeof(*ivf));
	ivf->env = env;
	ivf->wanted = wanted;
}

void vl_ivf_free(struct vl_ivf *ivf)
{
	vl_block_free(&ivf->centroids);
	vl_block_free(&ivf->starts);
	vl_block_free(&ivf->members);
	vl_block_free(&ivf->listed);
	ivf->count = ivf->lists = 0;
}

struct vl_ivf vl_ivf_share(const struct vl_ivf *ivf)
{
	struct vl_ivf other = *ivf;

	other.centroids = vl_block_share(&ivf->centroids);
	other.starts = vl_block_share(&ivf->starts);
	other.members = vl_block_share(&ivf->members);
	other.listed = vl_block_share(&ivf->listed);
	return other;
}

uint32_t vl_ivf_lists(uint32_t wanted, uint32_t rows)
{
	uint32_t root = vl_ivf_root(rows), most = rows / VL_IVF_ROWS_MIN;

	if (rows < VL_CODES_FIRST)
		return 1;
	if (wanted == 0)
		return root > VL_IVF_LISTS_MIN ? root : VL_IVF_LISTS_MIN;
	return wanted < most ? wanted : most;
}

/* ---- growing ---- */

static uint32_t number(const struct vl_block *block, uint64_t index)
{
	return vl_get32((const uint8_t *)block->data + 4 * index);
}

static void set_number(const struct vl_block *block, uint64_t index, uint32_t value)
{
	vl_put32((uint8_t *)block->data + 4 * index, value);
}

/* Does a list begin where the one before it ends, and do all together have all rows? */
static bool are_starts_sound(const struct vl_ivf *ivf)
{
	if (ivf->lists == 0)
		return ivf->count == 0;
	for (uint32_t list = 0; list < ivf->lists; list++)
		if (number(&ivf->starts, list) > number(&ivf->starts, list + UINT64_C(1)))
			return false;
	return number(&ivf->starts, 0) == 0 && number(&ivf->starts, ivf->lists) == ivf->count;
}

/* The lists of old, and behind the rows of each those of first + i that are assigned to it. */
static void merge(const struct vl_ivf *old, struct vl_ivf *ivf, const struct vl_codes *codes, uint32_t first,
		  const uint32_t *assigned)
{
	size_t stride = codes->stride;
	uint32_t place = 0, added = ivf->count - first;

	/* starts[list + 1] counts, then is where the next row of the list goes, and ends as where the list ends. */
	memset(ivf->starts.data, 0, (size_t)(ivf->lists + UINT64_C(1)) * 4);
	for (uint32_t i = 0; i < added; i++)
		set_number(&ivf->starts, assigned[i] + UINT64_C(1),
			   number(&ivf->starts, assigned[i] + UINT64_C(1)) + 1);
	for (uint32_t list = 0; list < ivf->lists; list++) {
		uint32_t more = number(&ivf->starts, list + UINT64_C(1)), size = 0;

		if (first > 0) {
			uint32_t start = number(&old->starts, list);

			size = number(&old->starts, list + UINT64_C(1)) - start;
			memcpy((uint8_t *)ivf->members.data + (size_t)place * 4,
			       (const uint8_t *)old->members.data + (size_t)start * 4, (size_t)size * 4);
			memcpy((uint8_t *)ivf->listed.data + place * stride,
			       (const uint8_t *)old->listed.data + start * stride, size * stride);
		}
		set_number(&ivf->starts, list + UINT64_C(1), place + size);
		place += size + more;
	}
	for (uint32_t i = 0; i < added; i++) {
		uint32_t end = number(&ivf->starts, assigned[i] + UINT64_C(1));

		set_number(&ivf->members, end, first + i);
		memcpy((uint8_t *)ivf->listed.data + end * stride, vl_codes_row(codes, first + i), stride);
		set_number(&ivf->starts, assigned[i] + UINT64_C(1), end + 1);
	}
}

/* The centroids, where they are to be had: shared, trained, or of the only list all zeros. */
static valori_code get_centroids(const struct vl_ivf *old, struct vl_ivf *ivf, const struct vl_codes *codes,
				 bool is_new, const struct vl_workers *workers, valori_error *error)
{
	if (!is_new) {
		ivf->centroids = vl_block_share(&old->centroids);
		return VALORI_OK;
	}
	if ((uint64_t)ivf->lists * codes->stride > SIZE_MAX / 2 ||
	    !vl_block_new(&ivf->centroids, ivf->env, (size_t)ivf->lists * codes->stride))
		return vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
	if (codes->count >= VL_CODES_FIRST)
		return vl_ivf_train(codes, ivf->lists, workers, ivf->centroids.data, error);
	memset(ivf->centroids.data, 0, codes->stride);
	return VALORI_OK;
}

valori_code vl_ivf_grow(struct vl_ivf *ivf, const struct vl_codes *codes, const struct vl_workers *workers,
			valori_error *error)
{
	bool is_new = ivf->count == 0 || (ivf->count < VL_CODES_FIRST && codes->count >= VL_CODES_FIRST);
	uint32_t first = is_new ? 0 : ivf->count, *assigned = NULL;
	struct vl_ivf grown = {.env = ivf->env, .wanted = ivf->wanted, .count = codes->count};
	size_t size = (size_t)(codes->count - first) * 4;
	valori_code code;

	if (codes->count <= ivf->count)
		return VALORI_OK;
	if (!is_new && !are_starts_sound(ivf))
		return vl_fail(error, VALORI_DAMAGED, "index: its lists overlap");
	grown.lists = is_new ? vl_ivf_lists(ivf->wanted, codes->count) : ivf->lists;
	code = get_centroids(ivf, &grown, codes, is_new, workers, error);
	if (code == VALORI_OK) {
		assigned = vl_alloc(ivf->env, size);
		if (assigned == NULL || (uint64_t)grown.count * codes->stride > SIZE_MAX / 2 ||
		    !vl_block_new(&grown.starts, ivf->env, ((size_t)grown.lists + 1) * 4) ||
		    !vl_block_new(&grown.members, ivf->env, (size_t)grown.count * 4) ||
		    !vl_block_new(&grown.listed, ivf->env, (size_t)grown.count * codes->stride))
			code = vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
	}
	if (code == VALORI_OK) {
		vl_ivf_assign(codes, grown.centroids.data, grown.lists, vl_codes_row(codes, first),
			      codes->count - first, workers, assigned);
		merge(ivf, &grown, codes, first, assigned);
		vl_ivf_free(ivf);
		*ivf = grown;
	} else {
		vl_ivf_free(&grown);
	}
	vl_release(codes->env, assigned, size);
	return code;
}

/* ---- strangers ---- */

valori_code vl_ivf_attach(const struct vl_ivf *ivf, const struct vl_codes *codes, valori_error *error)
{
	if (ivf->count > VL_CODES_MAX || ivf->count > codes->count || ivf->lists > VL_CODES_MAX ||
	    (ivf->lists == 0) != (ivf->count == 0))
		return vl_fail(error, VALORI_DAMAGED, "lists: there are no such rows");
	if (ivf->centroids.size < (uint64_t)ivf->lists * codes->stride ||
	    ivf->members.size < (uint64_t)ivf->count * 4 ||
	    ivf->listed.size < (uint64_t)ivf->count * codes->stride ||
	    (ivf->lists > 0 && ivf->starts.size < (ivf->lists + UINT64_C(1)) * 4))
		return vl_fail(error, VALORI_DAMAGED, "lists: parts are missing");
	return VALORI_OK;
}

valori_code vl_ivf_check(const struct vl_ivf *ivf, const struct vl_codes *codes, const struct vl_workers *workers,
			 valori_error *error)
{
	valori_code code = vl_ivf_attach(ivf, codes, error);
	size_t size = (size_t)ivf->count * 4;
	uint32_t *assigned;

	if (code != VALORI_OK || ivf->count == 0)
		return code;
	if (!are_starts_sound(ivf) || ivf->lists > vl_ivf_lists(ivf->wanted, ivf->count))
		return vl_fail(error, VALORI_DAMAGED, "lists: they do not hold each row once");
	assigned = vl_alloc(ivf->env, size);
	if (assigned == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "lists: out of memory");
	vl_ivf_assign(codes, ivf->centroids.data, ivf->lists, codes->rows.data, ivf->count, workers, assigned);
	/* Rows that ascend are no two alike; as many as there are, all below count and in their lists: that is all. */
	for (uint32_t list = 0; list < ivf->lists && code == VALORI_OK; list++)
		for (uint64_t i = number(&ivf->starts, list); i < number(&ivf->starts, list + UINT64_C(1)); i++) {
			uint32_t row = number(&ivf->members, i);

			if (row >= ivf->count || assigned[row] != list ||
			    (i > number(&ivf->starts, list) && row <= number(&ivf->members, i - 1)) ||
			    memcmp((const uint8_t *)ivf->listed.data + (size_t)i * codes->stride,
				   vl_codes_row(codes, row), codes->stride) != 0) {
				code = vl_fail(error, VALORI_DAMAGED, "lists: row %u is not where it belongs", row);
				break;
			}
		}
	vl_release(ivf->env, assigned, size);
	return code;
}
