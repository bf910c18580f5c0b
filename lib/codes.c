/* codes.c - one byte per component: the quantiser, rows, rounds. */
#include "codes.h"

enum {
	SAMPLE = 1 << 22,     /* components the quantiser is derived from, about */
	SAMPLE_ROWS_MIN = 256 /* but not from fewer rows than that */
};

/* ---- integer roots ---- */

/* The smallest r with r * r >= x: rounded up. */
static uint64_t root_up(uint64_t x)
{
	uint64_t root = 0;

	/* root * root <= x throughout; it ends as the square root rounded down. */
	for (uint64_t bit = UINT64_C(1) << 31; bit != 0; bit >>= 1)
		if ((root | bit) * (root | bit) <= x)
			root |= bit;
	return root + (root * root < x);
}

/*
 * A row is excluded when its distance is above score for certain:
 *
 *	step * sqrt(D) - residuals > sqrt(score)    <=>    step^2 * D > (sqrt(score) + residuals)^2
 *
 * where the left side is a lower bound of |q - x|. With t = root_up(score) + residuals, which is not below
 * sqrt(score) + residuals, every D above t^2 / step^2 is excluded, so what is not excluded is at most
 * floor(t^2 / step^2), which is returned. t is below 2^33: sqrt(score) <= 2^32, and a residual is at most
 * sqrt(32,768) / 2 * 2^24.1. Where t^2 would not fit in 64 bits both t and step are divided by 4, t upwards and step
 * downwards: that makes the result larger, never smaller. As no distance of codes reaches 2^31, INT32_MAX excludes
 * nothing. Without residuals no root is needed: step^2 * D > score, and step^2 is below 2^49.
 */
uint32_t vl_codes_reach(const struct vl_codes *codes, uint64_t score, uint64_t residuals)
{
	uint64_t t, step = codes->quantiser.step, reach;

	if (residuals == 0) {
		reach = score / (step * step);
		return reach < INT32_MAX ? (uint32_t)reach : INT32_MAX;
	}
	t = root_up(score) + residuals;
	if (t >> 32 != 0) {
		t = t / 4 + 1;
		step /= 4;
	}
	if (step == 0 || t / step >= UINT64_C(1) << 16)
		return INT32_MAX;
	reach = t * t / (step * step);
	return reach < INT32_MAX ? (uint32_t)reach : INT32_MAX;
}

/* ---- coding ---- */

/*
 * Codes dim components and returns the residual, rounded up. multiplier is 2^40 / step, so that no division is
 * needed; the code is then the nearest one, or next to a tie perhaps the second, and the same everywhere. The
 * residual does not care: it is measured. A difference is below 2^24.1, its square below 2^48.2, and so all dim <=
 * 2^15 of them stay below 2^64.
 */
static uint64_t encode(const struct vl_quantiser *quantiser, const uint8_t *vector, uint32_t dim, uint32_t stride,
		       uint8_t *out)
{
	const uint64_t multiplier = (UINT64_C(1) << 40) / quantiser->step, end = UINT64_C(255) * quantiser->step;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < dim; i++) {
		int64_t above = (int64_t)(int32_t)vl_get32(vector + (size_t)4 * i) - quantiser->low;
		uint64_t offset = above < 0 ? 0 : (uint64_t)above < end ? (uint64_t)above : end;
		uint64_t code = (offset * multiplier + (UINT64_C(1) << 39)) >> 40;
		uint64_t decoded = code * quantiser->step;
		uint64_t difference = offset < decoded ? decoded - offset : offset - decoded;

		out[i] = (uint8_t)code;
		sum += difference * difference;
	}
	memset(out + dim, 0, stride - dim);
	return root_up(sum);
}

uint64_t vl_codes_query(const struct vl_codes *codes, const uint8_t *query, uint8_t *out)
{
	return encode(&codes->quantiser, query, codes->dim, codes->stride, out);
}

/* ---- the quantiser ---- */

/* Which components it is derived from: those of every step-th of count records. */
struct sample {
	const struct vl_state *state;
	const uint8_t *ids;
	uint32_t count, step;
};

static struct sample sample_of(const struct vl_state *state, const uint8_t *ids, uint32_t count)
{
	uint32_t rows = SAMPLE / state->dim;

	rows = rows < SAMPLE_ROWS_MIN ? SAMPLE_ROWS_MIN : rows;
	return (struct sample){state, ids, count, count / rows + 1};
}

/* The records of a sample, one after the other; NULL behind the last. */
static const uint8_t *sample_row(const struct sample *sample, uint32_t index)
{
	uint64_t row = (uint64_t)index * sample->step;

	if (row >= sample->count)
		return NULL;
	return vl_state_vector(sample->state, vl_get32(sample->ids + 4 * row));
}

static inline uint32_t ordered(const uint8_t *component)
{
	return vl_get32(component) ^ UINT32_C(0x80000000);
}

/* What all components of a sample have in common, counted at once. */
struct census {
	uint64_t zeros, others; /* components that are zero, and that are not */
	uint64_t multiples[32]; /* [i]: of others, those with exactly i zero bits at the end */
};

static void census_take(struct census *census, const struct sample *sample)
{
	const uint8_t *vector;

	memset(census, 0, sizeof(*census));
	for (uint32_t i = 0; (vector = sample_row(sample, i)) != NULL; i++)
		for (uint32_t j = 0; j < sample->state->dim; j++) {
			uint32_t component = vl_get32(vector + (size_t)4 * j);

			if (component == 0)
				census->zeros++;
			else
				census->multiples[__builtin_ctz(component)]++;
		}
	for (unsigned i = 0; i < 32; i++)
		census->others += census->multiples[i];
}

/* Counts the digits at shift of those components that are not zero and begin with prefix. */
static void count_digits(const struct sample *sample, uint32_t mask, uint32_t prefix, unsigned shift,
			 uint64_t counts[256])
{
	uint64_t others[256] = {0}; /* two take turns: neighbours are often alike, and one count waits for itself */
	const uint8_t *vector;

	memset(counts, 0, 256 * sizeof(*counts));
	for (uint32_t i = 0; (vector = sample_row(sample, i)) != NULL; i++)
		for (uint32_t j = 0; j < sample->state->dim; j++) {
			uint32_t component = ordered(vector + (size_t)4 * j);

			if ((component & mask) == prefix && component != UINT32_C(0x80000000))
				(j % 2 ? others : counts)[component >> shift & 255]++;
		}
	for (unsigned i = 0; i < 256; i++)
		counts[i] += others[i];
}

/*
 * The components with so many others before them among those that are not zero: eight bits at a time, from the top;
 * counted once as long as both begin alike, and not at all where census knows that all bits are zero.
 */
static void quantiles(const struct sample *sample, const struct census *census, uint64_t ranks[2], int32_t out[2])
{
	unsigned zeros = 0;
	uint32_t found[2] = {0, 0}, mask = 0;
	uint64_t counts[256];

	while (zeros < 31 && census->multiples[zeros] == 0)
		zeros++;
	for (unsigned shift = 24, depth = 0; depth < 4 && shift + 8 > zeros; depth++, shift -= 8) {
		bool are_alike = found[0] == found[1];

		for (unsigned which = 0; which < 2; which++) {
			uint32_t digit = 0;

			if (which == 0 || !are_alike)
				count_digits(sample, mask, found[which], shift, counts);
			for (; digit < 255 && ranks[which] >= counts[digit]; digit++)
				ranks[which] -= counts[digit];
			found[which] |= digit << shift;
		}
		mask |= UINT32_C(255) << shift;
	}
	for (unsigned which = 0; which < 2; which++)
		out[which] = (int32_t)(found[which] ^ UINT32_C(0x80000000));
}

/*
 * The low end of the 256 steps, from some step up to first, that hold the most components: what is outside the
 * quantiles has its place there too, as far as there is room. Where several hold the same, the highest.
 */
static int32_t best_low(const struct sample *sample, int64_t first, int64_t last, unsigned shift)
{
	enum { CELLS = 512 };
	const int64_t base = last - (INT64_C(255) << shift);
	uint64_t counts[CELLS] = {0}, inside = 0, most = 0;
	const uint8_t *vector;
	int64_t low = first;

	/* Cells from base to first + 255 steps: fewer than 512, as first <= last. */
	for (uint32_t i = 0; (vector = sample_row(sample, i)) != NULL; i++)
		for (uint32_t j = 0; j < sample->state->dim; j++) {
			int64_t cell = (int32_t)vl_get32(vector + (size_t)4 * j) - base;

			if (cell >= 0 && cell >> shift < CELLS)
				counts[cell >> shift]++;
		}
	for (unsigned i = 0; i < 255; i++)
		inside += counts[i];
	for (int64_t cell = 0; base + cell * (INT64_C(1) << shift) <= first; cell++) {
		inside += counts[cell + 255];
		if (inside >= most) {
			most = inside;
			low = base + cell * (INT64_C(1) << shift);
		}
		inside -= counts[cell];
	}
	return low < INT32_MIN ? INT32_MIN : (int32_t)low;
}

/*
 * Zeros are not asked for the quantiles: of vectors that are mostly zeros they would see nothing else. They are in
 * the range when there is one in a thousand of them.
 */
static struct vl_quantiser quantiser_derive(const struct vl_state *state, const uint8_t *ids, uint32_t count)
{
	struct sample sample = sample_of(state, ids, count);
	struct census census;
	uint64_t multiples = 0, width;
	int32_t first, last, ends[2];
	unsigned shift = 24;

	census_take(&census, &sample);
	if (census.others == 0)
		return (struct vl_quantiser){0, 1};
	uint64_t ranks[2] = {census.others / 1000, census.others - 1 - census.others / 1000};

	quantiles(&sample, &census, ranks, ends);
	first = ends[0];
	last = ends[1];
	if (census.zeros * 1000 >= census.zeros + census.others) {
		first = first < 0 ? first : 0;
		last = last > 0 ? last : 0;
	}
	/* The largest power of two that nearly all are multiples of: one in 256 may be none. */
	for (unsigned i = shift; i < 32; i++)
		multiples += census.multiples[i];
	while (multiples < census.others - census.others / 256)
		multiples += census.multiples[--shift];
	width = (uint64_t)((int64_t)last - first);
	if ((width >> shift) <= 255) {
		/* Onto the lattice; this may make it wider by a step. */
		int64_t from = first & ~((INT64_C(1) << shift) - 1), to = last & ~((INT64_C(1) << shift) - 1);

		if ((to - from) >> shift <= 255)
			return (struct vl_quantiser){best_low(&sample, from, to, shift), UINT32_C(1) << shift};
	}
	return (struct vl_quantiser){first, (uint32_t)((width + 254) / 255)};
}

/* ---- rows ---- */

void vl_codes_init(struct vl_codes *codes, const struct vl_env *env, uint32_t dim)
{
	memset(codes, 0, sizeof(*codes));
	codes->env = env;
	codes->dim = dim;
	codes->stride = (dim + VL_CODE_ALIGN - 1) / VL_CODE_ALIGN * VL_CODE_ALIGN;
	codes->capacity = VL_CODES_FIRST;
	codes->quantiser.step = 1;
}

void vl_codes_free(struct vl_codes *codes)
{
	vl_block_free(&codes->rows);
	vl_block_free(&codes->ids);
	vl_block_free(&codes->bounds);
	codes->count = 0;
}

struct vl_codes vl_codes_share(const struct vl_codes *codes)
{
	struct vl_codes other = *codes;

	other.rows = vl_block_share(&codes->rows);
	other.ids = vl_block_share(&codes->ids);
	other.bounds = vl_block_share(&codes->bounds);
	return other;
}

uint32_t vl_codes_id(const struct vl_codes *codes, uint32_t row)
{
	return vl_get32((const uint8_t *)codes->ids.data + (size_t)4 * row);
}

uint64_t vl_codes_bound(const struct vl_codes *codes, uint32_t row)
{
	if (row / VL_CODES_BLOCK == codes->count / VL_CODES_BLOCK)
		return codes->last_bound;
	return vl_get64((const uint8_t *)codes->bounds.data + (size_t)8 * (row / VL_CODES_BLOCK));
}

uint32_t vl_codes_find(const struct vl_codes *codes, uint64_t id)
{
	uint32_t first = 0, last = codes->count;

	while (first < last) {
		uint32_t middle = first + (last - first) / 2;

		if (vl_codes_id(codes, middle) < id)
			first = middle + 1;
		else
			last = middle;
	}
	return first;
}

/* ---- appending ---- */

/* Whether records are visible; remembers the last collection, which is mostly the next one's too. */
struct eye {
	const struct vl_state *state;
	uint32_t collection; /* UINT32_MAX: none so far */
	bool live;
};

static bool is_visible(struct eye *eye, uint64_t id)
{
	const uint8_t *record, *name;
	uint32_t collection;
	size_t name_size;

	if (id >= vl_state_slots(eye->state, VL_RECORDS))
		return false;
	record = vl_array_get(&eye->state->records.records, id);
	if (record[VL_RECORD_STATUS] != VALORI_LIVE)
		return false;
	collection = vl_get16(record + VL_RECORD_COLLECTION);
	if (collection != eye->collection) {
		if (!vl_collection_get(eye->state, collection, &name, &name_size, &eye->live))
			eye->live = false;
		eye->collection = collection;
	}
	return eye->live;
}

/* Codes the records of ids of rows count and behind, for which there is room. */
static void code_rows(struct vl_codes *codes, const struct vl_state *state, uint32_t count)
{
	while (codes->count < count) {
		uint32_t row = codes->count;
		uint64_t residual =
			encode(&codes->quantiser, vl_state_vector(state, vl_codes_id(codes, row)), codes->dim,
			       codes->stride, (uint8_t *)codes->rows.data + (size_t)row * codes->stride);

		codes->last_bound = residual > codes->last_bound ? residual : codes->last_bound;
		codes->count++;
		if (codes->count % VL_CODES_BLOCK == 0) {
			vl_put64((uint8_t *)codes->bounds.data + (size_t)8 * (row / VL_CODES_BLOCK), codes->last_bound);
			codes->last_bound = 0;
		}
	}
}

/* Room for that many rows. What the rows are that fill it, other versions cannot see. */
static bool reserve(struct vl_codes *codes, uint32_t count)
{
	uint64_t rows = (uint64_t)count * codes->stride, blocks = count / VL_CODES_BLOCK;

	if (rows > SIZE_MAX / 2)
		return false;
	return vl_block_reserve(&codes->rows, codes->env, (size_t)codes->count * codes->stride, (size_t)rows) &&
	       vl_block_reserve(&codes->ids, codes->env, (size_t)4 * codes->count, (size_t)4 * count) &&
	       vl_block_reserve(&codes->bounds, codes->env, (size_t)8 * (codes->count / VL_CODES_BLOCK),
				(size_t)(8 * blocks));
}

/* The ids of the visible of records first <= id < last go into rows from count on; returns the new count. */
static uint32_t add_ids(struct vl_codes *codes, const struct vl_state *state, uint32_t count, uint64_t first,
			uint64_t last)
{
	struct eye eye = {state, UINT32_MAX, false};

	for (uint64_t id = first; id < last; id++)
		if (is_visible(&eye, id))
			vl_put32((uint8_t *)codes->ids.data + (size_t)4 * count++, (uint32_t)id);
	return count;
}

/* Everything anew, into new memory: added records of first <= id < last come to what is left of the rows. */
static valori_code settle(struct vl_codes *codes, const struct vl_state *state, uint64_t first, uint64_t last,
			  uint64_t added, uint32_t *renumbered, valori_error *error)
{
	struct eye eye = {state, UINT32_MAX, false};
	struct vl_codes other;
	uint64_t kept = 0, capacity = VL_CODES_FIRST;
	uint32_t count = 0;

	for (uint32_t row = 0; row < codes->count; row++)
		kept += is_visible(&eye, vl_codes_id(codes, row));
	if (kept + added > VL_CODES_MAX)
		return vl_fail(error, VALORI_FULL, "index: no room for %llu rows", (unsigned long long)(kept + added));
	while (capacity < kept + added + (kept + added) / 4)
		capacity *= 2;
	capacity = capacity < VL_CODES_MAX ? capacity : VL_CODES_MAX;
	vl_codes_init(&other, codes->env, codes->dim);
	other.capacity = (uint32_t)capacity;
	if (!reserve(&other, kept + added < VL_CODES_FIRST ? (uint32_t)(kept + added) : other.capacity)) {
		vl_codes_free(&other);
		return vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
	}
	for (uint32_t row = 0; row < codes->count; row++) {
		uint32_t id = vl_codes_id(codes, row);
		bool is_kept = is_visible(&eye, id);

		if (is_kept)
			vl_put32((uint8_t *)other.ids.data + (size_t)4 * count, id);
		if (renumbered != NULL)
			renumbered[row] = is_kept ? count : VL_ROW_GONE;
		count += is_kept;
	}
	count = add_ids(&other, state, count, first, last);
	other.quantiser = quantiser_derive(state, other.ids.data, count);
	code_rows(&other, state, count);
	vl_codes_free(codes);
	*codes = other;
	return VALORI_OK;
}

valori_code vl_codes_append(struct vl_codes *codes, const struct vl_state *state, uint64_t first, uint64_t last,
			    uint32_t *renumbered, bool *settled, valori_error *error)
{
	struct eye eye = {state, UINT32_MAX, false};
	uint64_t slots = vl_state_slots(state, VL_RECORDS), added = 0;
	valori_code code;

	*settled = false;
	if (state->flags & VL_STATE_NO_VECTORS)
		return vl_fail(error, VALORI_UNKNOWABLE, "index: this store was opened without its vectors");
	last = last < slots ? last : slots;
	for (uint64_t id = first; id < last; id++)
		added += is_visible(&eye, id);
	if (added == 0)
		return VALORI_OK;
	if (codes->count < VL_CODES_FIRST || codes->count + added >= codes->capacity) {
		code = settle(codes, state, first, last, added, renumbered, error);
		*settled = code == VALORI_OK;
		return code;
	}
	if (!reserve(codes, codes->capacity))
		return vl_fail(error, VALORI_NO_MEMORY, "index: out of memory");
	code_rows(codes, state, add_ids(codes, state, codes->count, first, last));
	return VALORI_OK;
}

bool vl_codes_extend(struct vl_codes *codes, const struct vl_state *state, uint64_t first, uint64_t last)
{
	uint64_t wanted = codes->count + (last - first), room = VL_CODES_BLOCK;

	while (room < wanted)
		room *= 2;
	if (room > VL_CODES_MAX || !reserve(codes, (uint32_t)room))
		return false;
	code_rows(codes, state, add_ids(codes, state, codes->count, first, last));
	return true;
}
