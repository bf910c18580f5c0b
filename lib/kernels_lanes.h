/*
 * kernels_lanes.h - blake3_many with one input in every lane of a vector: a template.
 *
 * Whoever includes it, once for each width, defines first
 *	LANES	how many inputs go side by side
 *	NAME(x)	the name of x for this width
 *	WORDS	vector of LANES uint32_t
 *	ROTATE(x, n)	each word of x rotated right by 16, 12, 8 or 7
 *	SPREAD(x)	x in every lane
 * and the functions
 *	NAME(load)(WORDS m[16], const uint8_t *const *inputs, size_t offset): word w of the block at inputs[i] + offset
 *	into lane i of m[w];
 *	NAME(store)(const WORDS cv[8], uint8_t *out): the cv of lane i to out + 32 * i.
 */
#ifdef LANES

#define ADD_MESSAGE(a, b, c, d) \
	v0 += m[a];             \
	v1 += m[b];             \
	v2 += m[c];             \
	v3 += m[d];             \
	VL_HOLD(v0) VL_HOLD(v1) VL_HOLD(v2) VL_HOLD(v3)

/* Half of four mixings, in step, so that there is always work while one result is waited for. */
#define MIX_HALF(b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, first, second) \
	v0 += b0;                                                               \
	v1 += b1;                                                               \
	v2 += b2;                                                               \
	v3 += b3;                                                               \
	d0 = ROTATE(d0 ^ v0, first);                                            \
	d1 = ROTATE(d1 ^ v1, first);                                            \
	d2 = ROTATE(d2 ^ v2, first);                                            \
	d3 = ROTATE(d3 ^ v3, first);                                            \
	c0 += d0;                                                               \
	c1 += d1;                                                               \
	c2 += d2;                                                               \
	c3 += d3;                                                               \
	b0 = ROTATE(b0 ^ c0, second);                                           \
	b1 = ROTATE(b1 ^ c1, second);                                           \
	b2 = ROTATE(b2 ^ c2, second);                                           \
	b3 = ROTATE(b3 ^ c3, second);

#define LANES_ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
	ADD_MESSAGE(m0, m2, m4, m6)                                                       \
	MIX_HALF(v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, 16, 12)            \
	ADD_MESSAGE(m1, m3, m5, m7)                                                       \
	MIX_HALF(v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, 8, 7)              \
	ADD_MESSAGE(m8, m10, m12, m14)                                                    \
	MIX_HALF(v5, v6, v7, v4, v10, v11, v8, v9, v15, v12, v13, v14, 16, 12)            \
	ADD_MESSAGE(m9, m11, m13, m15)                                                    \
	MIX_HALF(v5, v6, v7, v4, v10, v11, v8, v9, v15, v12, v13, v14, 8, 7)

/* LANES inputs, no more, no fewer. */
static void NAME(hash)(const uint8_t *const *inputs, size_t blocks, const uint32_t key[8], uint64_t counter,
		       unsigned counter_step, uint8_t flags, uint8_t flags_start, uint8_t flags_end,
		       uint8_t last_block_size, uint8_t *out)
{
	WORDS h[8], m[16], counter_low, counter_high;
	const uint8_t *copies[LANES];
	uint8_t last[LANES][64];

	VL_UNROLL
	for (unsigned i = 0; i < 8; i++)
		h[i] = SPREAD(key[i]);
	counter_low = SPREAD((uint32_t)counter);
	counter_high = SPREAD((uint32_t)(counter >> 32));
	if (counter_step != 0)
		VL_UNROLL
	for (unsigned i = 0; i < LANES; i++) {
		counter_low[i] = (uint32_t)(counter + i);
		counter_high[i] = (uint32_t)((counter + i) >> 32);
	}
	flags_start |= flags;
	for (size_t block = 0; block < blocks; block++) {
		WORDS v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
		WORDS v8 = SPREAD(vl_blake3_iv[0]), v9 = SPREAD(vl_blake3_iv[1]);
		WORDS v10 = SPREAD(vl_blake3_iv[2]), v11 = SPREAD(vl_blake3_iv[3]);
		WORDS v12 = counter_low, v13 = counter_high, v14, v15;
		const uint8_t *const *from = inputs;
		size_t offset = block * 64;
		uint32_t size = 64;

		if (block + 1 == blocks) {
			flags_start |= flags_end;
			size = last_block_size;
		}
		if (size != 64) {
			memset(last, 0, sizeof(last));
			VL_UNROLL
			for (unsigned i = 0; i < LANES; i++) {
				if (size > 0)
					memcpy(last[i], inputs[i] + block * 64, size);
				copies[i] = last[i];
			}
			from = copies;
			offset = 0;
		}
		NAME(load)(m, from, offset);
		/* The rows of many inputs are more streams than the processor follows by itself. */
		if (block + 1 < blocks)
			for (unsigned i = 0; i < LANES; i++)
				__builtin_prefetch(inputs[i] + block * 64 + 64);
		v14 = SPREAD(size);
		v15 = SPREAD(flags_start);
		VL_BLAKE3_ROUNDS(LANES_ROUND)
		h[0] = v0 ^ v8;
		h[1] = v1 ^ v9;
		h[2] = v2 ^ v10;
		h[3] = v3 ^ v11;
		h[4] = v4 ^ v12;
		h[5] = v5 ^ v13;
		h[6] = v6 ^ v14;
		h[7] = v7 ^ v15;
		flags_start = flags;
	}
	NAME(store)(h, out);
}

/* At most LANES inputs: the lanes that are left over do the last one's work again. */
static void NAME(hash_some)(const uint8_t *const *inputs, size_t count, size_t blocks, const uint32_t key[8],
			    uint64_t counter, unsigned counter_step, uint8_t flags, uint8_t flags_start,
			    uint8_t flags_end, uint8_t last_block_size, uint8_t *out)
{
	const uint8_t *all[LANES];
	uint8_t outs[LANES * 32];

	if (count == LANES) {
		NAME(hash)
		(inputs, blocks, key, counter, counter_step, flags, flags_start, flags_end, last_block_size, out);
		return;
	}
	for (size_t i = 0; i < LANES; i++)
		all[i] = inputs[i < count ? i : count - 1];
	NAME(hash)(all, blocks, key, counter, counter_step, flags, flags_start, flags_end, last_block_size, outs);
	memcpy(out, outs, count * 32);
}

#undef ADD_MESSAGE
#undef MIX_HALF
#undef LANES_ROUND
#undef LANES
#undef NAME
#undef WORDS
#undef ROTATE
#undef SPREAD
#endif
