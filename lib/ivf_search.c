/*
 * ivf_search.c - answers from lists.
 *
 * One query alone goes through its lists, nearest first. Of several, the pairs of list and query are sorted by list:
 * the codes of a list that more than one wants are compared with all of these at once, chunk by chunk. Either way the
 * ef nearest of the same rows remain, so the answers are the same.
 *
 * Where rows are not allowed the codes of the others are gathered: for several queries copied together once.
 */
#include "err.h"
#include "ivf_private.h"
#include "keys.h"

enum {
	QUERIES = 64, /* of a pass; fewer when a query needs much memory: */
	PASS_SIZE = 8 << 20,
	CHUNK = 256, /* rows */
	CHUNK_SIZE = 65536, /* bytes of codes, about, that are copied together */
	GROUP = 16 /* distances looked at together */
};

/* ---- what a search needs ---- */

/* One query of a pass. */
struct seeker {
	const uint8_t *query;
	uint64_t *keys; /* distance << 32 | row, below limit: the best are among them */
	size_t count;
	uint64_t limit;
	uint64_t scanned; /* rows: of a sound index never more than there are */
};

struct vl_ivf_scratch {
	const struct vl_env *env;
	void *memory;
	size_t size;
	struct seeker seekers[QUERIES];
	uint32_t rows[CHUNK], places[CHUNK]; /* of a chunk: and where they lie in members */
};

/* One pass. */
struct pass {
	const struct vl_ivf *ivf;
	const struct vl_codes *codes;
	const uint64_t *allowed;
	struct vl_ivf_scratch *scratch;
	uint32_t k, ef, probes, chunk; /* in their ranges */
	size_t count;
	uint64_t *lists;     /* per list, distance << 32 | list, of one query */
	uint64_t *pairs;     /* count * probes */
	uint32_t *distances; /* count * CHUNK, and as many as there are lists */
	uint8_t *gathered;   /* chunk codes */
	uint8_t *wanting;    /* the codes of queries that want a list: count of them */
	uint64_t visited;
};

valori_code vl_ivf_scratch_new(struct vl_ivf_scratch **out, const struct vl_env *env, valori_error *error)
{
	struct vl_ivf_scratch *scratch = vl_alloc(env, sizeof(*scratch));

	*out = scratch;
	if (scratch == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "search: out of memory");
	scratch->env = env;
	scratch->memory = NULL;
	scratch->size = 0;
	return VALORI_OK;
}

void vl_ivf_scratch_free(struct vl_ivf_scratch *scratch)
{
	if (scratch == NULL)
		return;
	vl_release(scratch->env, scratch->memory, scratch->size);
	vl_release(scratch->env, scratch, sizeof(*scratch));
}

static size_t keys_of(const struct pass *pass)
{
	return 2 * (size_t)pass->ef + CHUNK;
}

/* Lays out the memory of a pass of count queries, what must be aligned first. false: there is none. */
static bool reserve(struct pass *pass, size_t count)
{
	struct vl_ivf_scratch *scratch = pass->scratch;
	size_t stride = pass->codes->stride, lists = pass->ivf->lists;
	size_t gathered = pass->chunk * stride, wanting = count * stride, keys = count * keys_of(pass) * 8;
	uint64_t size = (uint64_t)gathered + wanting + keys + (uint64_t)count * pass->probes * 8 + lists * UINT64_C(12);
	uint8_t *memory;

	size += count * CHUNK * 4;
	if (size > SIZE_MAX)
		return false;
	if (scratch->size < size) {
		memory = vl_alloc(scratch->env, (size_t)size);
		if (memory == NULL)
			return false;
		vl_release(scratch->env, scratch->memory, scratch->size);
		scratch->memory = memory;
		scratch->size = (size_t)size;
	}
	pass->gathered = scratch->memory;
	pass->wanting = pass->gathered + gathered;
	for (size_t q = 0; q < count; q++)
		scratch->seekers[q].keys = (uint64_t *)(pass->wanting + wanting) + q * keys_of(pass);
	pass->pairs = (uint64_t *)(pass->wanting + wanting + keys);
	pass->lists = pass->pairs + count * pass->probes;
	pass->distances = (uint32_t *)(pass->lists + lists);
	return true;
}

/* ---- rows ---- */

/* Takes count rows (CHUNK at most) with their distances. */
static void collect(const struct pass *pass, struct seeker *seeker, const uint32_t *rows, const uint32_t *distances,
		    size_t count)
{
	size_t found = seeker->count, i = 0;
	uint32_t reach;

	if (found + count > keys_of(pass)) {
		vl_keys_choose(seeker->keys, found, pass->ef);
		found = pass->ef;
		seeker->limit = 0;
		for (size_t j = 0; j < found; j++)
			seeker->limit = seeker->keys[j] > seeker->limit ? seeker->keys[j] : seeker->limit;
	}
	/* Distances are below 2^31: reach - distance is negative when it is farther. */
	reach = seeker->limit >> 32 > INT32_MAX ? (uint32_t)INT32_MAX : (uint32_t)(seeker->limit >> 32);
	while (i < count) {
		size_t end = i + GROUP;

		if (end <= count) {
			uint32_t are_far = UINT32_MAX;

			for (size_t j = 0; j < GROUP; j++)
				are_far &= reach - distances[i + j];
			if (are_far >> 31 != 0) {
				i = end;
				continue;
			}
		}
		for (end = end < count ? end : count; i < end; i++) {
			uint64_t key = (uint64_t)distances[i] << 32 | rows[i];

			if (key < seeker->limit)
				seeker->keys[found++] = key;
		}
	}
	seeker->count = found;
}

/* Where a list lies in members, whatever the bytes are. */
static void bounds_of(const struct vl_ivf *ivf, uint32_t list, uint32_t *first, uint32_t *last)
{
	const uint8_t *starts = (const uint8_t *)ivf->starts.data + (size_t)list * 4;

	*first = vl_get32(starts);
	*last = vl_get32(starts + 4);
	*last = *last < ivf->count ? *last : ivf->count;
	*first = *first < *last ? *first : *last;
}

static const uint8_t *listed(const struct pass *pass, uint32_t place)
{
	return (const uint8_t *)pass->ivf->listed.data + (size_t)place * pass->codes->stride;
}

/*
 * The rows from *first on that are allowed, until the chunk is full: how many. A chunk without gaps is read where it
 * lies, from places[0] on.
 */
static uint32_t take_rows(const struct pass *pass, uint32_t *first, uint32_t last)
{
	const uint8_t *members = pass->ivf->members.data;
	uint32_t *rows = pass->scratch->rows, *places = pass->scratch->places, count = 0;

	while (*first < last && count < pass->chunk) {
		uint32_t row = vl_get32(members + (size_t)*first * 4);

		rows[count] = row;
		places[count] = (*first)++;
		count += row < pass->codes->count &&
			 (pass->allowed == NULL || (pass->allowed[row / 64] >> row % 64 & 1));
	}
	return count;
}

static void scan_alone(struct pass *pass, struct seeker *seeker, uint32_t list)
{
	const struct vl_kernels *kernels = pass->scratch->env->kernels;
	uint32_t first, last, count;

	bounds_of(pass->ivf, list, &first, &last);
	if (seeker->scanned >= pass->ivf->count)
		return;
	seeker->scanned += last - first;
	while ((count = take_rows(pass, &first, last)) > 0) {
		const uint32_t *places = pass->scratch->places;

		if (places[count - 1] - places[0] == count - 1)
			kernels->code_l2_rows(seeker->query, listed(pass, places[0]), count, pass->codes->stride,
					      pass->distances);
		else
			kernels->code_l2_gather(seeker->query, pass->ivf->listed.data, places, count,
						pass->codes->stride, pass->distances);
		pass->visited += count;
		collect(pass, seeker, pass->scratch->rows, pass->distances, count);
	}
}

/* For count queries that all want the list: pairs[0...count - 1] have it above and the query below. */
static void scan_together(struct pass *pass, const uint64_t *pairs, size_t count)
{
	const struct vl_codes *codes = pass->codes;
	uint32_t first, last, rows, list = (uint32_t)(pairs[0] >> 32);
	size_t together = 0;
	uint8_t numbers[QUERIES];

	bounds_of(pass->ivf, list, &first, &last);
	for (size_t i = 0; i < count; i++) {
		struct seeker *seeker = &pass->scratch->seekers[(uint32_t)pairs[i]];

		if (seeker->scanned >= pass->ivf->count)
			continue;
		seeker->scanned += last - first;
		numbers[together] = (uint8_t)pairs[i];
		memcpy(pass->wanting + together++ * codes->stride, seeker->query, codes->stride);
	}
	while (together > 0 && (rows = take_rows(pass, &first, last)) > 0) {
		const uint32_t *places = pass->scratch->places;
		const uint8_t *chunk = listed(pass, places[0]);

		if (places[rows - 1] - places[0] != rows - 1) {
			for (uint32_t i = 0; i < rows; i++)
				memcpy(pass->gathered + (size_t)i * codes->stride, listed(pass, places[i]),
				       codes->stride);
			chunk = pass->gathered;
		}
		pass->scratch->env->kernels->code_l2_block(pass->wanting, together, chunk, rows, codes->stride,
							   pass->distances);
		pass->visited += rows * together;
		for (size_t i = 0; i < together; i++)
			collect(pass, &pass->scratch->seekers[numbers[i]], pass->scratch->rows,
				pass->distances + i * rows, rows);
	}
}

/* ---- lists ---- */

/* The keys of all lists for one query; they may be in any order. */
static void measure_lists(struct pass *pass, const uint8_t *query)
{
	const struct vl_ivf *ivf = pass->ivf;

	pass->scratch->env->kernels->code_l2_rows(query, ivf->centroids.data, ivf->lists, pass->codes->stride,
						  pass->distances);
	for (uint32_t list = 0; list < ivf->lists; list++)
		pass->lists[list] = (uint64_t)pass->distances[list] << 32 | list;
	pass->visited += ivf->lists;
}

/* On through further lists, until there are k. Memory of the pass is used again, but for the seekers. */
static void search_on(struct pass *pass, struct seeker *seeker)
{
	uint32_t next = pass->probes;

	measure_lists(pass, seeker->query);
	vl_keys_sort(pass->lists, pass->ivf->lists);
	for (; next < pass->ivf->lists && seeker->count < pass->k; next++)
		scan_alone(pass, seeker, (uint32_t)pass->lists[next]);
}

static void search_alone(struct pass *pass)
{
	struct seeker *seeker = &pass->scratch->seekers[0];

	measure_lists(pass, seeker->query);
	vl_keys_choose(pass->lists, pass->ivf->lists, pass->probes);
	memcpy(pass->pairs, pass->lists, (size_t)pass->probes * 8);
	vl_keys_sort(pass->pairs, pass->probes);
	for (uint32_t i = 0; i < pass->probes; i++)
		scan_alone(pass, seeker, (uint32_t)pass->pairs[i]);
}

static void search_together(struct pass *pass)
{
	size_t pairs = pass->count * pass->probes, end;

	for (size_t q = 0; q < pass->count; q++) {
		measure_lists(pass, pass->scratch->seekers[q].query);
		vl_keys_choose(pass->lists, pass->ivf->lists, pass->probes);
		for (uint32_t i = 0; i < pass->probes; i++)
			pass->pairs[q * pass->probes + i] = pass->lists[i] << 32 | q;
	}
	vl_keys_sort(pass->pairs, pairs);
	for (size_t i = 0; i < pairs; i = end) {
		for (end = i + 1; end < pairs && pass->pairs[end] >> 32 == pass->pairs[i] >> 32;)
			end++;
		if (end - i == 1)
			scan_alone(pass, &pass->scratch->seekers[(uint32_t)pass->pairs[i]],
				   (uint32_t)(pass->pairs[i] >> 32));
		else
			scan_together(pass, pass->pairs + i, end - i);
	}
}

static uint64_t turn(uint64_t key)
{
	return key << 32 | key >> 32;
}

/* The best, in order. A stranger's lists may have a row twice, with any codes: it is given once. */
static size_t give(const struct pass *pass, struct seeker *seeker, uint64_t *out)
{
	uint64_t *keys = seeker->keys;
	size_t count = seeker->count, found = 0;

	vl_keys_choose(keys, count, pass->ef);
	count = count < pass->ef ? count : pass->ef;
	for (size_t i = 0; i < count; i++)
		keys[i] = turn(keys[i]);
	vl_keys_sort(keys, count);
	for (size_t i = 0; i < count; i++)
		if (found == 0 || keys[i] >> 32 != (uint32_t)out[found - 1])
			out[found++] = turn(keys[i]);
	vl_keys_sort(out, found);
	return found;
}

valori_code vl_ivf_search(const struct vl_ivf *ivf, const struct vl_codes *codes, struct vl_ivf_scratch *scratch,
			  const uint8_t *queries, size_t count, const struct vl_ivf_effort *effort,
			  const uint64_t *allowed, uint64_t *out, size_t *found, uint64_t *visited,
			  valori_error *error)
{
	struct pass pass = {.ivf = ivf, .codes = codes, .allowed = allowed, .scratch = scratch};
	size_t most;

	pass.ef = effort->ef < 1 ? 1 : effort->ef < VL_IVF_EF_MAX ? effort->ef : (uint32_t)VL_IVF_EF_MAX;
	pass.k = effort->k < pass.ef ? effort->k : pass.ef;
	pass.probes = effort->probes != 0 ? effort->probes : vl_ivf_root(ivf->lists);
	pass.probes = pass.probes < ivf->lists ? pass.probes : ivf->lists;
	pass.chunk = CHUNK_SIZE / codes->stride;
	pass.chunk = pass.chunk < GROUP ? (uint32_t)GROUP : pass.chunk < CHUNK ? pass.chunk : (uint32_t)CHUNK;
	if (ivf->lists == 0 || effort->ef == 0) {
		memset(found, 0, count * sizeof(*found));
		return VALORI_OK;
	}
	most = PASS_SIZE / (keys_of(&pass) * 8 + (size_t)pass.probes * 8);
	most = most < 1 ? 1 : most < QUERIES ? most : QUERIES;
	if (!reserve(&pass, most < count ? most : count))
		return vl_fail(error, VALORI_NO_MEMORY, "search: out of memory");
	for (size_t first = 0; first < count; first += pass.count) {
		pass.count = count - first < most ? count - first : most;
		for (size_t q = 0; q < pass.count; q++) {
			struct seeker *seeker = &scratch->seekers[q];

			seeker->query = queries + (first + q) * codes->stride;
			seeker->count = 0;
			seeker->limit = UINT64_MAX;
			seeker->scanned = 0;
		}
		if (pass.count == 1)
			search_alone(&pass);
		else
			search_together(&pass);
		for (size_t q = 0; q < pass.count; q++) {
			if (scratch->seekers[q].count < pass.k)
				search_on(&pass, &scratch->seekers[q]);
			found[first + q] = give(&pass, &scratch->seekers[q], out + (first + q) * effort->ef);
		}
	}
	if (visited != NULL)
		*visited += pass.visited;
	return VALORI_OK;
}
