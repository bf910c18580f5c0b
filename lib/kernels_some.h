/* kernels_some.h - q_load_some and q_store_some of kernels_q16.h where vectors cannot be loaded in part. */

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
