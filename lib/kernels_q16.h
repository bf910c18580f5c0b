/*
 * kernels_q16.h - the q16 kernels over vectors of any width: a template, included once by each kernels_ISA.c.
 *
 * The file that includes it defines Q_LANES, the types q_words (that many uint32_t) and q_wide (as large, uint64_t),
 * and
 * 	q_load(p), q_store(p, x)	Q_LANES words, unaligned
 * 	q_load_some(p, count)	below Q_LANES words, the others 0; reads no byte behind them
 * 	q_store_some(p, x, count)	these two by way of a copy unless Q_MASKS is defined
 * 	q_distance(x, y)	|x - y| of signed words, as unsigned ones
 * 	q_larger(x, y)	the larger of unsigned words
 * 	q_signed(x, signs)	-x where the top bit of signs is set, else x
 * 	q_shift(x, count)	x >> count, each word by its own; 0 when count is above 31
 * 	q_squares(sums, x)	adds the squares of unsigned words to sums[0] and sums[1], each to some lane
 * 	q_sum(x)	the sum of the lanes modulo 2^64
 * 	q_split(x)	signed words as q_halves, ready for multiplications
 * 	q_dot(sum, x, y)	adds the products of q_halves, each to some lane of sum
 * 	Q_ROWS	how many rows q16_l2_block keeps in registers beside two queries
 *
 * Sums of squares against the acceptance rule: a square is at most 2^64 - 2^33 + 1 in a distance, but 2^62 in a row
 * that is to be accepted. So a lane that was below 2^62 is below 2^63 after the next square, and its top bits tell:
 * once they were set anywhere, the row is refused.
 */
#ifdef Q_LANES

#ifndef Q_MASKS
static inline q_words q_load_some(const uint8_t *p, size_t count)
{
	uint8_t copy[Q_LANES * 4] = {0};

	memcpy(copy, p, count * 4);
	return q_load(copy);
}

static inline void q_store_some(uint8_t *p, q_words x, size_t count)
{
	uint8_t copy[Q_LANES * 4];

	q_store(copy, x);
	memcpy(p, copy, count * 4);
}
#endif

struct norm {
	q_wide sums[2];
	q_wide seen; /* all bits that were set in any sum so far */
};

static inline void add_to_norm(struct norm *norm, q_words magnitudes)
{
	q_squares(norm->sums, magnitudes);
	norm->seen |= norm->sums[0] | norm->sums[1];
}

static inline uint64_t norm_result(const struct norm *norm)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < Q_LANES / 2; i++) {
		if (norm->seen[i] >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM_MAX;
		sum += norm->sums[0][i];
		if (sum >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM_MAX;
		sum += norm->sums[1][i];
		if (sum >= VL_Q16_NORM_MAX)
			return VL_Q16_NORM_MAX;
	}
	return sum;
}

/*
 * significand * 2^(exponent - 134), see q16.c. The significand at the top of the word, shifted right by
 * 141 - exponent, is twice that, rounded down; adding one and halving rounds it, half away from zero. Zero and the
 * subnormals are shifted out. What is too large is seen in *largest.
 */
static inline q_words convert(q_words bits, q_words *largest, struct norm *norm)
{
	q_words absolute = bits & 0x7fffffff;
	q_words magnitude = (q_shift(bits << 8 | 0x80000000, 141 - (absolute >> 23)) + 1) >> 1;

	*largest = q_larger(*largest, absolute);
	add_to_norm(norm, magnitude);
	return q_signed(magnitude, bits);
}

static uint64_t q16_from_f32(const uint8_t *source, size_t dim, uint8_t *target)
{
	struct norm norm = {.sums = {{0}, {0}}, .seen = {0}};
	q_words largest = {0};
	size_t i = 0;

	for (; i + Q_LANES <= dim; i += Q_LANES)
		q_store(target + 4 * i, convert(q_load(source + 4 * i), &largest, &norm));
	if (i < dim)
		q_store_some(target + 4 * i, convert(q_load_some(source + 4 * i, dim - i), &largest, &norm), dim - i);
	/* 32768 and above, infinities, NaN; for -32768, the only one of them that fits, the norm is too large. */
	for (unsigned lane = 0; lane < Q_LANES; lane++)
		if (largest[lane] >= 0x47000000)
			return VL_Q16_NORM_MAX;
	return norm_result(&norm);
}

static uint64_t q16_norm(const uint8_t *vector, size_t dim)
{
	struct norm norm = {.sums = {{0}, {0}}, .seen = {0}};
	const q_words zero = {0};
	size_t i = 0;

	for (; i + Q_LANES <= dim; i += Q_LANES)
		add_to_norm(&norm, q_distance(q_load(vector + 4 * i), zero));
	if (i < dim)
		add_to_norm(&norm, q_distance(q_load_some(vector + 4 * i, dim - i), zero));
	return norm_result(&norm);
}

static inline uint64_t l2(const uint8_t *a, const uint8_t *b, size_t dim)
{
	q_wide sums[2] = {{0}, {0}};
	size_t i = 0;

	for (; i + Q_LANES <= dim; i += Q_LANES)
		q_squares(sums, q_distance(q_load(a + 4 * i), q_load(b + 4 * i)));
	if (i < dim)
		q_squares(sums, q_distance(q_load_some(a + 4 * i, dim - i), q_load_some(b + 4 * i, dim - i)));
	return q_sum(sums[0] + sums[1]);
}

static uint64_t q16_l2(const uint8_t *a, const uint8_t *b, size_t dim)
{
	return l2(a, b, dim);
}

static void q16_l2_rows(const uint8_t *query, const uint8_t *rows, size_t count, size_t dim, uint64_t *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = l2(query, rows + i * dim * 4, dim);
}

/* The square of a vector modulo 2^64, accepted or not. */
static inline uint64_t square(const uint8_t *x, size_t dim)
{
	q_wide sum = {0};
	size_t i = 0;

	for (; i + Q_LANES <= dim; i += Q_LANES) {
		q_halves halves = q_split(q_load(x + 4 * i));

		sum = q_dot(sum, halves, halves);
	}
	if (i < dim) {
		q_halves halves = q_split(q_load_some(x + 4 * i, dim - i));

		sum = q_dot(sum, halves, halves);
	}
	return q_sum(sum);
}

/* The products of some components of two queries and Q_ROWS rows: all of a vector of them when count is Q_LANES. */
VL_INLINE void add_products(q_wide sums[2][Q_ROWS], const uint8_t *const queries[2], const uint8_t *const *rows,
			    size_t offset, size_t count)
{
	q_halves row[Q_ROWS];

	VL_UNROLL
	for (unsigned r = 0; r < Q_ROWS; r++)
		row[r] = q_split(count == Q_LANES ? q_load(rows[r] + offset) : q_load_some(rows[r] + offset, count));
	VL_UNROLL
	for (unsigned q = 0; q < 2; q++) {
		q_halves query = q_split(count == Q_LANES ? q_load(queries[q] + offset)
							  : q_load_some(queries[q] + offset, count));

		VL_UNROLL
		for (unsigned r = 0; r < Q_ROWS; r++)
			sums[q][r] = q_dot(sums[q][r], query, row[r]);
	}
}

VL_INLINE void products(const uint8_t *const queries[2], const uint8_t *const *rows, size_t dim,
			uint64_t out[2][Q_ROWS])
{
	q_wide sums[2][Q_ROWS];
	size_t i = 0;

	VL_UNROLL
	for (unsigned r = 0; r < Q_ROWS; r++)
		sums[0][r] = sums[1][r] = (q_wide){0};
	for (; i + Q_LANES <= dim; i += Q_LANES)
		add_products(sums, queries, rows, 4 * i, Q_LANES);
	if (i < dim)
		add_products(sums, queries, rows, 4 * i, dim - i);
	VL_UNROLL
	for (unsigned r = 0; r < Q_ROWS; r++) {
		out[0][r] = q_sum(sums[0][r]);
		out[1][r] = q_sum(sums[1][r]);
	}
}

/*
 * |a - b|^2 = |a|^2 + |b|^2 - 2ab, all modulo 2^64: half the work of subtracting first, since the squares are taken
 * once for many pairs. Queries go through a few at a time, so that they stay in the nearest cache beside the rows.
 */
static void q16_l2_block(const uint8_t *queries, size_t queries_count, const uint8_t *rows, size_t count, size_t dim,
			 uint64_t *out)
{
	enum { SOME = 32 };
	uint64_t squares[SOME], row_squares[Q_ROWS], ab[2][Q_ROWS];
	size_t size = dim * 4;

	for (size_t first = 0; first < queries_count; first += SOME, queries += SOME * size, out += SOME * count) {
		size_t some = queries_count - first < SOME ? queries_count - first : SOME;

		for (size_t q = 0; q < some; q++)
			squares[q] = square(queries + q * size, dim);
		for (size_t i = 0; i < count; i += Q_ROWS) {
			size_t rows_count = count - i < Q_ROWS ? count - i : Q_ROWS;
			const uint8_t *group[Q_ROWS];

			for (size_t r = 0; r < Q_ROWS; r++) {
				group[r] = rows + (i + (r < rows_count ? r : 0)) * size;
				row_squares[r] = square(group[r], dim);
			}
			for (size_t q = 0; q < some; q += 2) {
				size_t pair = some - q < 2 ? 1 : 2;
				const uint8_t *both[2] = {queries + q * size, queries + (q + pair - 1) * size};

				products(both, group, dim, ab);
				for (size_t p = 0; p < pair; p++)
					for (size_t r = 0; r < rows_count; r++)
						out[(q + p) * count + i + r] =
							squares[q + p] + row_squares[r] - 2 * ab[p][r];
			}
		}
	}
}
#endif
