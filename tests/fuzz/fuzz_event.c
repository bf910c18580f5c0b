/*
 * fuzz_event.c - the bytes of events: what is decoded is encoded to the same bytes, on every kind of processor alike.
 *
 * The first byte is the dimension, less one; then one event after the other.
 */
#include "event.h"

#include "fuzz.h"

enum { EVENTS = 64 };

static struct vl_event events[EVENTS];

/* Every byte that the event borrows can be read. */
static uint64_t read_all(const struct vl_event *event, uint32_t dim)
{
	uint64_t sum = 0;

	if (event->salt != NULL)
		sum = fuzz_mix(sum, event->salt, VL_SALT_SIZE);
	if (event->vector != NULL)
		sum = fuzz_mix(sum, event->vector, (size_t)4 * dim);
	if (event->key != NULL)
		sum = fuzz_mix(sum, event->key, event->key_size);
	if (event->metadata != NULL && event->metadata_size != VL_ABSENT)
		sum = fuzz_mix(sum, event->metadata, event->metadata_size);
	return sum;
}

static void encode_again(const struct vl_env *env, const struct vl_event *event, uint32_t dim, const uint8_t *data,
			 size_t size)
{
	struct vl_buf bytes;

	must(vl_event_size(event, dim) == size);
	vl_buf_init(&bytes, env);
	vl_event_encode(event, dim, &bytes);
	must(!bytes.failed && bytes.size == size && memcmp(bytes.data, data, size) == 0);
	vl_buf_free(&bytes);
}

/* One by one and all together, portable and not: the digests are the same. */
static void hash(const struct vl_env *env, size_t count, uint32_t dim)
{
	static uint8_t together[EVENTS][VL_HASH_SIZE], alone[VL_HASH_SIZE];
	struct vl_buf scratch;

	vl_buf_init(&scratch, env);
	must(vl_event_hash_contents(env->kernels, events, count, dim, &scratch, NULL) == VALORI_OK);
	must(vl_event_digests(env->kernels, events, count, &scratch, together[0], NULL) == VALORI_OK);
	for (size_t i = 0; i < count; i++) {
		const struct vl_kernels *kernels = &vl_kernels_portable;
		struct vl_event event = events[i];

		memset(event.k, 1, sizeof(event.k));
		memset(event.v, 1, sizeof(event.v));
		memset(event.m, 1, sizeof(event.m));
		must(vl_event_hash_contents(kernels, &event, 1, dim, &scratch, NULL) == VALORI_OK);
		must(vl_event_digests(kernels, &event, 1, &scratch, alone, NULL) == VALORI_OK);
		must(memcmp(alone, together[i], VL_HASH_SIZE) == 0);
	}
	vl_buf_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_memory memory;
	size_t count = 0;
	uint32_t dim;

	if (size == 0)
		return 0;
	fuzz_memory_init(&memory, fuzz_kernels(), (1 << 16) + 8 * (uint64_t)size);
	dim = 1 + (uint32_t)*data++;
	size--;
	while (count < EVENTS) {
		struct vl_event portable;
		valori_error error, same;
		size_t used = 0, used_portable = 0;
		valori_code code = vl_event_decode(memory.env.kernels, data, size, dim, &events[count], &used, &error);

		must(vl_event_decode(&vl_kernels_portable, data, size, dim, &portable, &used_portable, &same) == code);
		must(code == VALORI_OK || code == VALORI_DAMAGED || code == VALORI_NEWER);
		if (code != VALORI_OK) {
			must(strcmp(error.message, same.message) == 0 && error.offset == same.offset);
			must(code != VALORI_DAMAGED || error.offset <= size);
			break;
		}
		must(used >= 16 && used <= size && used % 8 == 0 && used == used_portable);
		must(vl_event_type_name(events[count].type) != NULL);
		must(read_all(&events[count], dim) == read_all(&portable, dim));
		encode_again(&memory.env, &events[count], dim, data, used);
		data += used;
		size -= used;
		count++;
	}
	if (count > 0)
		hash(&memory.env, count, dim);
	fuzz_memory_check(&memory);
	return 0;
}
