/* test_event.c - the bytes of events, and their digests. */
#include "check.h"
#include "cpu.h"
#include "event.h"
#include "memory.h"

enum { DIM = 5, EVENT_MAX = 1 << 18, SAMPLES = 40 };

static const struct vl_kernels *kernels;
static struct memory memory;
static uint8_t long_metadata[VALORI_METADATA_MAX];

static uint8_t vector[4 * DIM];
static const uint8_t salt[VL_SALT_SIZE] = "salt of 16 bytes";

static struct vl_event event_of(uint8_t type, uint64_t id)
{
	return (struct vl_event){.type = type, .id = id, .metadata_size = VL_ABSENT, .record = VALORI_NONE};
}

static void set_key(struct vl_event *event, const char *key)
{
	event->key = (const uint8_t *)key;
	event->key_size = (uint32_t)strlen(key);
}

static void set_metadata(struct vl_event *event, const void *data, uint32_t size)
{
	event->metadata = data;
	event->metadata_size = size;
}

/* One of every kind, and the edges of each. */
static size_t make_samples(struct vl_event out[SAMPLES])
{
	struct vl_event *e = out;

	for (uint8_t type = 1; type < VL_EVENT_TYPES; type++) {
		*e = event_of(type, UINT64_C(0x0102030405060708) + type);
		e->tag = type == VALORI_EVENT_INSERT || type == VALORI_EVENT_SET_TAG ? UINT64_MAX - 1 : 0;
		if (type == VALORI_EVENT_INSERT)
			e->vector = vector, e->collection = 0xfedc;
		if (type == VALORI_EVENT_NODE_CREATE)
			e->record = 7, e->collection = 3, e->kind = 255;
		if (type == VALORI_EVENT_EDGE_CREATE)
			e->from = 5, e->to = UINT64_C(0xffffffffff), e->kind = 9;
		if (type == VALORI_EVENT_META_SET)
			set_key(e, "k"), set_metadata(e, "", 0);
		if (type == VALORI_EVENT_COLLECTION_CREATE)
			set_key(e, "A-z_09");
		if (type == VALORI_EVENT_CONFIG)
			e->id = 0, e->parameter = 0xfffffffe, e->tag = 77;
		e++;
	}
	*e = event_of(VALORI_EVENT_INSERT, 1);
	e->vector = vector;
	set_key(e, "schl\xc3\xbcssel");
	set_metadata(e++, "metadata", 8);
	*e = e[-1];
	e->flags = VL_EVENT_SALTED;
	e++->salt = salt;
	*e = e[-1];
	set_metadata(e++, "", 0);
	*e = e[-1];
	set_metadata(e, NULL, VL_ABSENT);
	e++->key_size = 0;
	*e = event_of(VALORI_EVENT_INSERT, 1);
	e->vector = vector;
	set_metadata(e++, long_metadata, VALORI_METADATA_MAX);
	*e = event_of(VALORI_EVENT_SET_METADATA, 3);
	set_metadata(e++, "x", 1);
	*e = e[-1];
	e->flags = VL_EVENT_SALTED;
	e++->salt = salt;
	*e = e[-1];
	set_metadata(e++, "", 0);
	*e = event_of(VALORI_EVENT_META_SET, 0);
	set_key(e, "key");
	set_metadata(e++, long_metadata, 999);
	*e = event_of(VALORI_EVENT_NODE_SET_RECORD, 2);
	e++->record = 12;
	return (size_t)(e - out);
}

static bool is_same(const struct vl_event *a, const struct vl_event *b)
{
	size_t metadata = a->metadata_size == VL_ABSENT ? 0 : a->metadata_size;

	return a->type == b->type && a->flags == b->flags && a->kind == b->kind && a->collection == b->collection &&
	       a->parameter == b->parameter && a->key_size == b->key_size && a->metadata_size == b->metadata_size &&
	       a->id == b->id && a->tag == b->tag && a->record == b->record && a->from == b->from && a->to == b->to &&
	       (a->flags == 0 || memcmp(a->salt, b->salt, VL_SALT_SIZE) == 0) &&
	       (a->type != VALORI_EVENT_INSERT || memcmp(a->vector, b->vector, sizeof(vector)) == 0) &&
	       (a->key_size == 0 || memcmp(a->key, b->key, a->key_size) == 0) &&
	       (metadata == 0 || memcmp(a->metadata, b->metadata, metadata) == 0) &&
	       (a->metadata_size == VL_ABSENT) == (b->metadata == NULL);
}

static void test_layout(void)
{
	const uint8_t expected[] = {
		75,  0,   0,   0,   1,    1,    0,    0, /* length, insert, salted */
		1,   2,   0,   0,   0,    0,    0,    0,    9,   0,   0,   0,   0,   0,   0,   0x80, 4, 3, 2, 0,
		13,  0,   0,   0, /* id tag coll. sizes */
		's', 'a', 'l', 't', ' ',  'o',  'f',  ' ',  '1', '6', ' ', 'b', 'y', 't', 'e', 's',  1, 0, 0, 0,
		2,   0,   0,   0,   0xff, 0xff, 0xff, 0xff, 3,   0,   0,   0,   4,   0,   0,   0, /* vector */
		'i', 'd', 'm', 'e', 't',  'a',  ' ',  'd',  'a', 't', 'a', '.', '.', '.', '!', 0,    0, 0, 0, 0};
	struct vl_event event = event_of(VALORI_EVENT_INSERT, 0x201);
	struct vl_buf buf;

	vl_buf_init(&buf, &memory.env);
	event.tag = UINT64_C(0x8000000000000009);
	event.collection = 0x304;
	event.flags = VL_EVENT_SALTED;
	event.salt = salt;
	event.vector = vector;
	set_key(&event, "id");
	set_metadata(&event, "meta data...!", 13);
	vl_event_encode(&event, DIM, &buf);
	check_u64(buf.size, sizeof(expected), "an insert's size is that of its parts, padded to 8");
	check_bytes(buf.data, expected, sizeof(expected), "an insert lies as valori-log(5) says");
	vl_buf_clear(&buf);
	event = event_of(VALORI_EVENT_META_SET, 0x201);
	set_key(&event, "id");
	set_metadata(&event, "v", 1);
	vl_event_encode(&event, DIM, &buf);
	check_bytes(buf.data, "\x13\0\0\0\x0b\0\0\0\1\2\0\0\0\0\0\0\2\0\0\0\1\0\0\0idv\0\0\0\0\0", 32,
		    "so does a meta_set");
	vl_buf_clear(&buf);
	event = event_of(VALORI_EVENT_CONFIG, 0);
	event.parameter = 2;
	event.tag = 16;
	vl_event_encode(&event, DIM, &buf);
	check_bytes(buf.data, "\x10\0\0\0\x0f\0\0\0\2\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0", 24, "and a config");
	vl_buf_free(&buf);
}

static void test_round_trip(const struct vl_event *samples, size_t count)
{
	struct vl_event back;
	struct vl_buf buf;
	unsigned wrong = 0, sizes = 0;

	vl_buf_init(&buf, &memory.env);
	for (size_t i = 0; i < count; i++) {
		size_t used = 0;

		vl_buf_clear(&buf);
		vl_event_encode(&samples[i], DIM, &buf);
		sizes += buf.size != vl_event_size(&samples[i], DIM) || buf.size % 8 != 0;
		wrong += vl_event_decode(kernels, buf.data, buf.size, DIM, &back, &used, NULL) != VALORI_OK ||
			 used != buf.size || !is_same(&samples[i], &back);
		vl_buf_zero(&buf, 64);
		wrong += vl_event_decode(kernels, buf.data, buf.size, DIM, &back, &used, NULL) != VALORI_OK ||
			 used != buf.size - 64;
	}
	check_u64(sizes, 0, "vl_event_size is what encoding takes");
	check_u64(wrong, 0, "every kind of event is decoded as it was encoded, alone and with others behind it");
	vl_buf_free(&buf);
}

/* Lays the event into memory of exactly its size, so that a sanitizer sees each byte read behind it. */
static valori_code decode_exactly(const uint8_t *data, size_t size, struct vl_event *event, size_t *used,
				  struct vl_buf *again)
{
	uint8_t *exact = malloc(size + (size == 0));
	valori_error error;
	valori_code code;

	memcpy(exact, data, size);
	code = vl_event_decode(kernels, exact, size, DIM, event, used, &error);
	if (code == VALORI_OK) {
		vl_buf_clear(again);
		vl_event_encode(event, DIM, again);
		if (again->size != *used || *used > size || memcmp(again->data, data, *used) != 0)
			code = VALORI_IO; /* accepted, but not canonical */
	} else if (error.offset > size) {
		code = VALORI_IO;
	}
	free(exact);
	return code;
}

static void test_damage(const struct vl_event *samples, size_t count)
{
	unsigned cut = 0, flipped = 0, accepted = 0;
	struct vl_buf buf, again;

	vl_buf_init(&buf, &memory.env);
	vl_buf_init(&again, &memory.env);
	for (size_t i = 0; i < count; i++) {
		struct vl_event back;
		size_t used, most;

		vl_buf_clear(&buf);
		vl_event_encode(&samples[i], DIM, &buf);
		most = buf.size < 300 ? buf.size : 300;
		for (size_t size = 0; size < most; size++)
			cut += decode_exactly(buf.data, size, &back, &used, &again) != VALORI_DAMAGED;
		cut += decode_exactly(buf.data, buf.size - 1, &back, &used, &again) != VALORI_DAMAGED;
		for (size_t bit = 0; bit < most * 8; bit++) {
			valori_code code;

			buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			code = decode_exactly(buf.data, buf.size, &back, &used, &again);
			flipped += code != VALORI_OK && code != VALORI_DAMAGED && code != VALORI_NEWER;
			accepted += code == VALORI_OK;
			buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	check_u64(cut, 0, "an event that is cut off anywhere is damaged");
	check_u64(flipped, 0, "a flipped bit is found, or makes another event whose canonical bytes these are");
	check(accepted > 1000, "ids, tags and content carry no redundancy of their own: their flips are other events");
	vl_buf_free(&buf);
	vl_buf_free(&again);
}

static valori_code decode_patched(const struct vl_event *event, size_t at, uint8_t value)
{
	struct vl_buf buf;
	struct vl_event back;
	valori_code code;
	size_t used;

	vl_buf_init(&buf, &memory.env);
	vl_event_encode(event, DIM, &buf);
	if (at < buf.size)
		buf.data[at] = value;
	code = vl_event_decode(kernels, buf.data, buf.size, DIM, &back, &used, NULL);
	vl_buf_free(&buf);
	return code;
}

static void test_rules(void)
{
	struct vl_event insert = event_of(VALORI_EVENT_INSERT, 0), event;
	static const char long_key[257] = "................................................................"
					  "................................................................"
					  "................................................................"
					  "................................................................";
	uint8_t large[4 * DIM], *name = (uint8_t[65]){0};

	insert.vector = vector;
	check_u64(decode_patched(&insert, 4, 16), VALORI_NEWER, "erase is a newer version's");
	check_u64(decode_patched(&insert, 4, 17), VALORI_DAMAGED, "types above are nobody's");
	check_u64(decode_patched(&insert, 4, 0), VALORI_DAMAGED, "nor is type 0");
	check_u64(decode_patched(&insert, 5, 2), VALORI_NEWER, "redacted is a newer version's");
	check_u64(decode_patched(&insert, 5, 4), VALORI_DAMAGED, "other flags are nobody's");
	event = event_of(VALORI_EVENT_SET_TAG, 0);
	event.flags = VL_EVENT_SALTED;
	event.salt = salt;
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "what has no content cannot be salted");
	event = event_of(VALORI_EVENT_SET_METADATA, 0);
	event.flags = VL_EVENT_SALTED;
	event.salt = salt;
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "absent metadata cannot be salted");
	event = insert;
	set_key(&event, long_key);
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "a key of 256 bytes is too long");
	event.key_size = 255;
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_OK, "one of 255 is not");
	set_key(&event, "a\xff");
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "a key is UTF-8");
	event.key_size = 0;
	set_metadata(&event, long_metadata, VALORI_METADATA_MAX + 1);
	event.metadata = calloc(1, VALORI_METADATA_MAX + 1);
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "metadata of 65,537 bytes is too long");
	free((void *)(uintptr_t)event.metadata);
	event = event_of(VALORI_EVENT_META_SET, 0);
	set_metadata(&event, "v", 1);
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "a meta key is not empty");
	set_key(&event, "k");
	set_metadata(&event, NULL, VL_ABSENT);
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "a meta value is not absent");
	event = event_of(VALORI_EVENT_COLLECTION_CREATE, 0);
	memset(name, 'n', 65);
	event.key = name;
	for (event.key_size = 0; event.key_size < 2; event.key_size++)
		check_u64(decode_patched(&event, SIZE_MAX, 0), event.key_size ? VALORI_OK : VALORI_DAMAGED,
			  event.key_size ? "a name has one byte" : "a name is not empty");
	event.key_size = 64;
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_OK, "or 64");
	event.key_size = 65;
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "but not 65");
	event.key_size = 64;
	check_u64(decode_patched(&event, 24 + 63, '.'), VALORI_DAMAGED, "and no other characters than it may");
	memset(large, 0, sizeof(large));
	vl_put32(large, 0x80000000);
	event = insert;
	event.vector = large;
	check_u64(decode_patched(&event, SIZE_MAX, 0), VALORI_DAMAGED, "a vector's norm is checked");
	check_u64(decode_patched(&insert, 2, 0x10), VALORI_DAMAGED, "a length above the limit is");
}

static void test_text(void)
{
	static const char *const good[] = {"",
					   "a",
					   "\x7f",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"};
	static const char *const bad[] = {"\x80",
					  "\xbf",
					  "\xc0\x80",
					  "\xc1\xbf",
					  "\xc2",
					  "\xc2z",
					  "\xe0\x9f\xbf",
					  "\xe2\x82",
					  "\xed\xa0\x80",
					  "\xed\xbf\xbf",
					  "\xf0\x8f\xbf\xbf",
					  "\xf0\x9f\x98",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xfe",
					  "\xff",
					  "\xe2\x28\xa1",
					  "\xf0\x90\x28\xbc"};
	unsigned refused = 0, accepted = 0, names = 0;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		refused += !vl_is_utf8((const uint8_t *)good[i], strlen(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		accepted += vl_is_utf8((const uint8_t *)bad[i], strlen(bad[i]));
	check_u64(refused, 0, "UTF-8 is accepted, first and last character of each length");
	check_u64(accepted, 0, "overlong forms, surrogates, what is too large, cut off or out of place is not");
	check(!vl_is_utf8((const uint8_t *)"a\0b", 3), "nor is NUL");
	for (int c = 0; c < 256; c++) {
		uint8_t name[2] = {'a', (uint8_t)c};

		names += vl_is_collection_name(name, 2) != (c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
									     "abcdefghijklmnopqrstuvwxyz0123456789_-",
									     c) != NULL);
	}
	check_u64(names, 0, "names have letters, digits, _ and -, and nothing else");
	names = 0;
	for (int type = 0; type < 256; type++)
		names += (vl_event_type_name((uint8_t)type) != NULL) != (type >= 1 && type <= 15);
	check_u64(names, 0, "fifteen types have names");
}

/* ---- digests: everything laid by hand ---- */

static uint8_t *hand(uint8_t *p, const void *data, size_t size)
{
	memcpy(p, data, size);
	return p + size;
}

static void hash_by_hand(const char *context, const void *a, size_t a_size, const void *b, size_t b_size, uint8_t *out)
{
	enum vl_context which = VL_HASH_PLAIN;
	uint8_t *both = malloc(a_size + b_size + 1);

	for (int i = 1; i < VL_HASH_CONTEXTS; i++)
		if (strcmp(vl_blake3_context((enum vl_context)i), context) == 0)
			which = (enum vl_context)i;
	hand(hand(both, a, a_size), b_size ? b : "", b_size);
	vl_blake3(kernels, which, both, a_size + b_size, out);
	free(both);
}

static void test_digests(void)
{
	struct vl_event e[4];
	uint8_t k[32], v[32], m[32], preimage[256], digests[4][32], expected[32], *p;
	struct vl_buf scratch;

	vl_buf_init(&scratch, &memory.env);
	e[0] = event_of(VALORI_EVENT_INSERT, 0x1122);
	e[0].tag = 0x33;
	e[0].collection = 0x44;
	e[0].vector = vector;
	e[0].flags = VL_EVENT_SALTED;
	e[0].salt = salt;
	set_key(&e[0], "key");
	set_metadata(&e[0], "meta", 4);
	e[1] = event_of(VALORI_EVENT_META_SET, 0x55);
	set_key(&e[1], "other");
	set_metadata(&e[1], "value", 5);
	e[2] = event_of(VALORI_EVENT_EDGE_CREATE, 1);
	e[2].from = 2, e[2].to = 3, e[2].kind = 4;
	e[3] = event_of(VALORI_EVENT_SET_METADATA, 6);
	vl_event_hash_contents(kernels, e, 4, DIM, &scratch, NULL);
	vl_event_digests(kernels, e, 4, &scratch, digests[0], NULL);

	hash_by_hand("valori key v1", "key", 3, NULL, 0, k);
	hash_by_hand("valori vector v1", salt, 16, vector, sizeof(vector), v);
	hash_by_hand("valori metadata v1", salt, 16, "meta", 4, m);
	p = hand(preimage, "\1\1\0\0\0\0\0\0\x22\x11\0\0\0\0\0\0\x33\0\0\0\0\0\0\0\x44\0\0\0\0\0\0\0", 32);
	p = hand(hand(hand(p, k, 32), v, 32), m, 32);
	hash_by_hand("valori event v1", preimage, (size_t)(p - preimage), NULL, 0, expected);
	check_bytes(digests[0], expected, 32, "D of an insert is the hash of type, flags, ids, K, V and M");

	hash_by_hand("valori key v1", "other", 5, NULL, 0, k);
	hash_by_hand("valori meta value v1", "value", 5, NULL, 0, m);
	p = hand(hand(hand(preimage, "\x0b\0\0\0\0\0\0\0\x55\0\0\0\0\0\0\0", 16), k, 32), m, 32);
	hash_by_hand("valori event v1", preimage, (size_t)(p - preimage), NULL, 0, expected);
	check_bytes(digests[1], expected, 32, "D of a meta_set is that of slot, K and M");

	p = hand(preimage, "\x09\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0", 40);
	hash_by_hand("valori event v1", preimage, (size_t)(p - preimage), NULL, 0, expected);
	check_bytes(digests[2], expected, 32, "D of an edge_create is that of its payload");

	memset(m, 0, 32);
	p = hand(hand(preimage, "\x04\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0", 16), m, 32);
	hash_by_hand("valori event v1", preimage, (size_t)(p - preimage), NULL, 0, expected);
	check_bytes(digests[3], expected, 32, "M of absent metadata is zeros");
	vl_buf_free(&scratch);
}

/* Many events at once give what each gives alone; and encoding loses nothing that is hashed. */
static void test_lanes(const struct vl_event *samples, size_t samples_count)
{
	enum { COUNT = 700 };
	static struct vl_event events[COUNT];
	static uint8_t digests[COUNT][32], decoded_bytes[COUNT][640];
	struct vl_event alone;
	uint8_t digest[32];
	struct vl_buf scratch, bytes;
	unsigned contents = 0, wrong = 0, decoded = 0;
	uint64_t seed = 3;

	vl_buf_init(&scratch, &memory.env);
	vl_buf_init(&bytes, &memory.env);
	for (size_t i = 0; i < COUNT; i++) {
		struct vl_event *e = &events[i];
		size_t used;

		*e = samples[i % 3 == 0 ? 0 : check_random(&seed) % samples_count];
		e->id = i;
		if (e->key_size > 0 && e->type != VALORI_EVENT_COLLECTION_CREATE)
			e->key = long_metadata, e->key_size = 1 + (uint32_t)check_random(&seed) % 255;
		if (e->metadata_size != VL_ABSENT && e->metadata_size < VALORI_METADATA_MAX)
			e->metadata = long_metadata + i,
			e->metadata_size = (uint32_t)check_random(&seed) % (i % 5 ? 90 : 3000);
		/* Every other one as it comes out of a log: there the salt lies before the content. */
		if (i % 2 == 0 || vl_event_size(e, DIM) > sizeof(decoded_bytes[i]))
			continue;
		vl_buf_clear(&bytes);
		vl_event_encode(e, DIM, &bytes);
		memcpy(decoded_bytes[i], bytes.data, bytes.size);
		decoded += vl_event_decode(kernels, decoded_bytes[i], bytes.size, DIM, e, &used, NULL) == VALORI_OK;
	}
	check(decoded > 200, "some of the events come out of a log");
	vl_event_hash_contents(kernels, events, COUNT, DIM, &scratch, NULL);
	vl_event_digests(kernels, events, COUNT, &scratch, digests[0], NULL);
	for (size_t i = 0; i < COUNT; i++) {
		alone = events[i];
		memset(alone.k, 1, 32), memset(alone.v, 1, 32), memset(alone.m, 1, 32);
		vl_event_hash_contents(kernels, &alone, 1, DIM, &scratch, NULL);
		contents += memcmp(alone.k, events[i].k, 32) != 0 || memcmp(alone.v, events[i].v, 32) != 0 ||
			    memcmp(alone.m, events[i].m, 32) != 0;
		vl_event_digests(kernels, &alone, 1, &scratch, digest, NULL);
		wrong += memcmp(digest, digests[i], 32) != 0;
	}
	check_u64(contents, 0, "many contents at once have the digests that each has alone");
	check_u64(wrong, 0, "and so have many events");
	vl_buf_free(&scratch);
	vl_buf_free(&bytes);
}

/* Every field of every event counts: two events with one difference have two digests. */
static void test_injective(const struct vl_event *samples, size_t count)
{
	unsigned same = 0, changed = 0;
	struct vl_buf buf, scratch;

	vl_buf_init(&buf, &memory.env);
	vl_buf_init(&scratch, &memory.env);
	for (size_t i = 0; i < count; i++) {
		struct vl_event event = samples[i], other;
		uint8_t digest[32], digest_other[32];
		size_t used;

		vl_event_hash_contents(kernels, &event, 1, DIM, &scratch, NULL);
		vl_event_digests(kernels, &event, 1, &scratch, digest, NULL);
		vl_buf_clear(&buf);
		vl_event_encode(&event, DIM, &buf);
		for (size_t bit = 0; bit < (buf.size < 200 ? buf.size : 200) * 8; bit++) {
			buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (vl_event_decode(kernels, buf.data, buf.size, DIM, &other, &used, NULL) == VALORI_OK) {
				vl_event_hash_contents(kernels, &other, 1, DIM, &scratch, NULL);
				vl_event_digests(kernels, &other, 1, &scratch, digest_other, NULL);
				same += memcmp(digest, digest_other, 32) == 0;
				changed++;
			}
			buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	check(changed > 1000 && same == 0, "an event that differs in one bit has another digest (%u of %u have not)",
	      same, changed);
	vl_buf_free(&buf);
	vl_buf_free(&scratch);
}

static void naive_root(uint8_t (*leaves)[32], size_t count, size_t width, uint8_t *out)
{
	static const uint8_t zeros[32];
	uint8_t pair[64];

	if (width == 1) {
		memcpy(out, count > 0 ? leaves[0] : zeros, 32);
		return;
	}
	naive_root(leaves, count < width / 2 ? count : width / 2, width / 2, pair);
	naive_root(leaves + width / 2, count < width / 2 ? 0 : count - width / 2, width / 2, pair + 32);
	if (vl_is_zero(pair, 64))
		memset(out, 0, 32);
	else
		vl_blake3(kernels, VL_HASH_EVENTS, pair, 64, out);
}

static void test_events_root(void)
{
	static uint8_t leaves[300][32], work[300][32];
	uint8_t root[32], naive[32];
	unsigned wrong = 0;
	uint64_t seed = 9;

	for (size_t i = 0; i < 300 * 32; i++)
		leaves[i / 32][i % 32] = (uint8_t)check_random(&seed);
	memset(leaves[12], 0, 4 * 32); /* which no hash gives, but the rule holds all the same */
	for (size_t count = 1; count <= 300; count++) {
		size_t width = 1;

		while (width < count)
			width *= 2;
		memcpy(work, leaves, sizeof(leaves));
		vl_events_root(kernels, work[0], count, root);
		naive_root(leaves, count, width, naive);
		wrong += memcmp(root, naive, 32) != 0;
	}
	check_u64(wrong, 0, "the root over the events of a commit is the one a plain recursion gives");
}

int main(void)
{
	static struct vl_event samples[SAMPLES];
	const int32_t components[DIM] = {1, 2, -1, 3, 4};
	size_t count = make_samples(samples);

	for (size_t i = 0; i < DIM; i++)
		vl_put32(vector + 4 * i, (uint32_t)components[i]);
	for (size_t i = 0; i < sizeof(long_metadata); i++)
		long_metadata[i] = (uint8_t)(i % 126 + 1); /* UTF-8, so that it serves for keys */
	kernels = vl_cpu_kernels(NULL);
	memory_init(&memory, kernels);
	test_layout();
	test_round_trip(samples, count);
	test_damage(samples, count);
	test_rules();
	test_text();
	test_digests();
	test_lanes(samples, count);
	test_injective(samples, count);
	test_events_root();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
