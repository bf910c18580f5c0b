/* records.c - the arrays of records, and the heap. */
#include "records.h"

enum { SALTS_SIZE = 2 * VL_SALT_SIZE };

/* ---- the heap ---- */

static bool is_place(const struct vl_array *heap, uint64_t place, uint32_t size)
{
	return place <= heap->count && size <= heap->count - place &&
	       place >> VL_HEAP_SHIFT == (place + size - 1) >> VL_HEAP_SHIFT;
}

const uint8_t *vl_heap_get(const struct vl_array *heap, uint64_t place, uint32_t size)
{
	if (size == 0)
		return (const uint8_t *)"";
	return is_place(heap, place, size) ? vl_array_get(heap, place) : NULL;
}

uint8_t *vl_heap_put(struct vl_array *heap, uint32_t size, uint64_t *place)
{
	uint64_t gap = vl_heap_fit(heap->count, size) - heap->count, run = size;

	if (gap > 0 && vl_array_extend(heap, &gap) == NULL)
		return NULL;
	*place = heap->count;
	return vl_array_extend_raw(heap, &run);
}

uint8_t *vl_heap_edit(struct vl_array *heap, uint64_t place, uint32_t size)
{
	return is_place(heap, place, size) ? vl_array_edit_run(heap, place, size) : NULL;
}

bool vl_heap_wipe(struct vl_array *heap, uint64_t place, uint32_t size)
{
	uint8_t *at;

	if (size == 0 || !is_place(heap, place, size))
		return true;
	at = vl_array_edit_run(heap, place, size);
	if (at != NULL)
		memset(at, 0, size);
	return at != NULL;
}

bool vl_heap_replace(struct vl_array *heap, uint64_t *place, uint32_t old_size, const uint8_t *data, uint32_t size)
{
	uint8_t *at;

	if (size == 0 || size > old_size || !is_place(heap, *place, old_size)) {
		if (!vl_heap_wipe(heap, *place, old_size))
			return false;
		*place = 0;
		if (size == 0)
			return true;
		at = vl_heap_put(heap, size, place);
		old_size = size;
	} else {
		at = vl_array_edit_run(heap, *place, old_size);
	}
	if (at == NULL)
		return false;
	memcpy(at, data, size);
	memset(at + size, 0, old_size - size);
	return true;
}

/* ---- records ---- */

/* Chunks of about size bytes, a power of two of elements. */
static uint32_t shift_for(uint32_t elem_size, uint32_t size)
{
	uint32_t shift = 0;

	while (elem_size << (shift + 1) <= size)
		shift++;
	return shift;
}

void vl_records_init(struct vl_records *records, struct vl_pool *pool, uint32_t dim, bool has_vectors)
{
	memset(records, 0, sizeof(*records));
	records->dim = dim;
	records->has_vectors = has_vectors;
	/*
	 * One change copies a chunk when somebody looks at it; a scan wants long runs. Vectors change only
	 * when they are deleted, so theirs are long.
	 */
	vl_array_init(&records->records, pool, VL_RECORD_SIZE, shift_for(VL_RECORD_SIZE, 4096));
	vl_array_init(&records->places, pool, VL_PLACE_SIZE, shift_for(VL_PLACE_SIZE, 4096));
	vl_array_init(&records->digests, pool, VL_DIGEST_SIZE, shift_for(VL_DIGEST_SIZE, 12288));
	vl_array_init(&records->vectors, pool, 4 * dim, shift_for(4 * dim, 1 << 16));
	vl_array_init(&records->heap, pool, 1, VL_HEAP_SHIFT);
	vl_array_init(&records->buckets, pool, 4, shift_for(4, 2048));
}

void vl_records_free(struct vl_records *records)
{
	vl_array_free(&records->records);
	vl_array_free(&records->places);
	vl_array_free(&records->digests);
	vl_array_free(&records->vectors);
	vl_array_free(&records->heap);
	vl_array_free(&records->buckets);
}

void vl_records_content(const struct vl_records *records, uint64_t index, struct vl_content *out)
{
	const uint8_t *record = vl_array_get(&records->records, index);
	const uint8_t *place = vl_array_get(&records->places, index);
	const uint8_t *own;

	memset(out, 0, sizeof(*out));
	out->metadata_size = VL_ABSENT;
	if (record[VL_RECORD_STATUS] != VALORI_LIVE && record[VL_RECORD_STATUS] != VALORI_TOMBSTONE)
		return;
	out->salted = place[VL_PLACE_SALTED] & (VL_SALTED_VECTOR | VL_SALTED_METADATA);
	out->key_size = record[VL_RECORD_KEY_SIZE];
	out->own = vl_get64(place + VL_PLACE_OWN) & (VL_HEAP_END - 1);
	out->own_size = out->key_size + (out->salted ? SALTS_SIZE : 0);
	own = vl_heap_get(&records->heap, out->own, out->own_size);
	if (own == NULL)
		out->salted = out->key_size = out->own_size = 0;
	if (out->salted)
		out->salts = own;
	if (out->key_size > 0)
		out->key = own + (out->salted ? SALTS_SIZE : 0);
	out->metadata_size = vl_get32(place + VL_PLACE_METADATA_SIZE);
	out->metadata_place = vl_get64(place + VL_PLACE_METADATA);
	if (out->metadata_size != VL_ABSENT)
		out->metadata = vl_heap_get(&records->heap, out->metadata_place, out->metadata_size);
	if (out->metadata == NULL)
		out->metadata_size = VL_ABSENT;
}

static uint32_t hash_of(uint16_t collection, const uint8_t k[VL_HASH_SIZE])
{
	return vl_get32(k) + collection * UINT32_C(0x9e3779b1);
}

struct vl_table vl_records_table(struct vl_records *records)
{
	return (struct vl_table){.buckets = &records->buckets,
				 .links = &records->places,
				 .hashes = &records->records,
				 .link_offset = VL_PLACE_CHAIN,
				 .hash_offset = VL_RECORD_HASH};
}

uint64_t vl_records_find(const struct vl_records *records, uint16_t collection, const uint8_t *key, size_t key_size,
			 const uint8_t k[VL_HASH_SIZE])
{
	/* The table is only read: find works on frozen copies. */
	struct vl_table table = vl_records_table((struct vl_records *)(uintptr_t)records);
	struct vl_content content;
	uint32_t cursor = 0;
	uint64_t steps = 0;

	while (vl_table_next(&table, hash_of(collection, k), &cursor, &steps)) {
		uint64_t index = cursor - 1;
		const uint8_t *record = vl_array_get(&records->records, index);

		if (record[VL_RECORD_STATUS] != VALORI_LIVE || vl_get16(record + VL_RECORD_COLLECTION) != collection ||
		    memcmp(vl_array_get(&records->digests, index) + VL_DIGEST_K, k, VL_HASH_SIZE) != 0)
			continue;
		vl_records_content(records, index, &content);
		if (content.key_size == key_size && memcmp(content.key, key, key_size) == 0)
			return index;
	}
	return VALORI_NONE;
}

/* Writes the blob "salts | key" of a new record. */
static bool put_own(struct vl_records *records, const struct vl_event *event, uint8_t *place)
{
	bool salted = event->flags & VL_EVENT_SALTED, has_metadata = event->metadata_size != VL_ABSENT;
	uint32_t size = event->key_size + (salted ? SALTS_SIZE : 0);
	uint64_t own = 0;
	uint8_t *at;

	if (size == 0)
		return true;
	at = vl_heap_put(&records->heap, size, &own);
	if (at == NULL)
		return false;
	vl_put64(place + VL_PLACE_OWN, own);
	if (salted) {
		place[VL_PLACE_SALTED] = VL_SALTED_VECTOR | (has_metadata ? VL_SALTED_METADATA : 0);
		memcpy(at, event->salt, VL_SALT_SIZE);
		at += VL_SALT_SIZE;
		memset(at, 0, VL_SALT_SIZE);
		if (has_metadata)
			memcpy(at, event->salt, VL_SALT_SIZE);
		at += VL_SALT_SIZE;
	}
	if (event->key_size > 0)
		memcpy(at, event->key, event->key_size);
	return true;
}

static bool put_metadata(struct vl_array *heap, const struct vl_event *event, uint8_t *place)
{
	uint64_t at = 0;

	vl_put32(place + VL_PLACE_METADATA_SIZE, event->metadata_size);
	if (event->metadata_size != VL_ABSENT && !vl_heap_replace(heap, &at, 0, event->metadata, event->metadata_size))
		return false;
	vl_put64(place + VL_PLACE_METADATA, at);
	return true;
}

bool vl_records_insert(struct vl_records *records, const struct vl_event *event, uint64_t *keys)
{
	uint64_t index = records->records.count, run = 1;
	uint8_t *record = vl_array_append(&records->records), *place = vl_array_append(&records->places);
	uint8_t *digest = vl_array_extend_raw(&records->digests, &run), *vector;
	struct vl_table table = vl_records_table(records);

	if (record == NULL || place == NULL || digest == NULL)
		return false;
	vl_put64(record + VL_RECORD_TAG, event->tag);
	vl_put16(record + VL_RECORD_COLLECTION, event->collection);
	record[VL_RECORD_STATUS] = VALORI_LIVE;
	record[VL_RECORD_KEY_SIZE] = (uint8_t)event->key_size;
	if (event->key_size > 0)
		vl_put32(record + VL_RECORD_HASH, hash_of(event->collection, event->k));
	memcpy(digest + VL_DIGEST_K, event->k, VL_HASH_SIZE);
	memcpy(digest + VL_DIGEST_V, event->v, VL_HASH_SIZE);
	memcpy(digest + VL_DIGEST_M, event->m, VL_HASH_SIZE);
	if (!put_own(records, event, place) || !put_metadata(&records->heap, event, place))
		return false;
	if (records->has_vectors) {
		vector = vl_array_extend_raw(&records->vectors, &run);
		if (vector == NULL)
			return false;
		memcpy(vector, event->vector, (size_t)4 * records->dim);
	}
	return event->key_size == 0 || vl_table_insert(&table, index, ++*keys);
}

/* A key is given up: it leaves the table, if it is there. */
static bool drop_key(struct vl_records *records, uint64_t index, uint64_t *keys)
{
	const uint8_t *record = vl_array_get(&records->records, index);
	struct vl_table table = vl_records_table(records);

	if (record[VL_RECORD_STATUS] != VALORI_LIVE || record[VL_RECORD_KEY_SIZE] == 0)
		return true;
	*keys -= *keys > 0;
	return vl_table_remove(&table, index);
}

bool vl_records_soft_delete(struct vl_records *records, uint64_t index, uint64_t *keys)
{
	uint8_t *record;

	if (!drop_key(records, index, keys))
		return false;
	record = vl_array_edit(&records->records, index);
	if (record != NULL)
		record[VL_RECORD_STATUS] = VALORI_TOMBSTONE;
	return record != NULL;
}

bool vl_records_delete(struct vl_records *records, uint64_t index, uint64_t *keys)
{
	struct vl_content content;
	uint8_t *at;

	if (!drop_key(records, index, keys))
		return false;
	vl_records_content(records, index, &content);
	if (!vl_heap_wipe(&records->heap, content.own, content.own_size))
		return false;
	if (content.metadata != NULL && !vl_heap_wipe(&records->heap, content.metadata_place, content.metadata_size))
		return false;
	at = vl_array_edit(&records->records, index);
	if (at == NULL)
		return false;
	memset(at, 0, VL_RECORD_SIZE);
	at[VL_RECORD_STATUS] = VALORI_DELETED;
	at = vl_array_edit(&records->places, index);
	if (at == NULL)
		return false;
	memset(at, 0, VL_PLACE_FIRST_NODE);
	at = vl_array_edit(&records->digests, index);
	if (at == NULL)
		return false;
	memset(at, 0, VL_DIGEST_SIZE);
	if (!records->has_vectors)
		return true;
	at = vl_array_edit(&records->vectors, index);
	if (at != NULL)
		memset(at, 0, (size_t)4 * records->dim);
	return at != NULL;
}

/*
 * The metadata's salt becomes salt, or none when it is NULL. The blob "salts | key" gets its salts with the
 * first one and loses them with the last.
 */
static bool set_salt(struct vl_records *records, uint64_t index, const struct vl_content *old, const uint8_t *salt)
{
	uint32_t salted = (old->salted & VL_SALTED_VECTOR) | (salt != NULL ? VL_SALTED_METADATA : 0);
	uint64_t own = old->own;
	uint8_t *at;

	if (salted == 0 && old->salted == 0)
		return true;
	if (old->salted == 0) {
		uint8_t key[VALORI_KEY_MAX];

		if (old->key_size > 0)
			memcpy(key, old->key, old->key_size);
		if (!vl_heap_wipe(&records->heap, own, old->own_size))
			return false;
		at = vl_heap_put(&records->heap, old->key_size + SALTS_SIZE, &own);
		if (at == NULL)
			return false;
		memset(at, 0, SALTS_SIZE);
		memcpy(at + SALTS_SIZE, key, old->key_size);
	} else {
		at = vl_heap_edit(&records->heap, own, SALTS_SIZE);
		if (at == NULL)
			return false;
		if (salted == 0)
			own = old->key_size > 0 ? own + SALTS_SIZE : 0;
	}
	if (salt != NULL)
		memcpy(at + VL_SALT_SIZE, salt, VL_SALT_SIZE);
	else
		memset(at + VL_SALT_SIZE, 0, VL_SALT_SIZE);
	at = vl_array_edit(&records->places, index);
	if (at == NULL)
		return false;
	vl_put64(at + VL_PLACE_OWN, own);
	at[VL_PLACE_SALTED] = (uint8_t)salted;
	return true;
}

bool vl_records_set_metadata(struct vl_records *records, const struct vl_event *event)
{
	struct vl_content old;
	bool is_absent = event->metadata_size == VL_ABSENT;
	uint64_t place;
	uint8_t *at;

	vl_records_content(records, event->id, &old);
	place = old.metadata_place;
	if (!vl_heap_replace(&records->heap, &place, old.metadata == NULL ? 0 : old.metadata_size, event->metadata,
			     is_absent ? 0 : event->metadata_size))
		return false;
	at = vl_array_edit(&records->places, event->id);
	if (at == NULL)
		return false;
	vl_put32(at + VL_PLACE_METADATA_SIZE, event->metadata_size);
	vl_put64(at + VL_PLACE_METADATA, place);
	if (!set_salt(records, event->id, &old, event->flags & VL_EVENT_SALTED ? event->salt : NULL))
		return false;
	at = vl_array_edit(&records->digests, event->id);
	if (at != NULL)
		memcpy(at + VL_DIGEST_M, event->m, VL_HASH_SIZE);
	return at != NULL;
}

bool vl_records_set_tag(struct vl_records *records, uint64_t index, uint64_t tag)
{
	uint8_t *record = vl_array_edit(&records->records, index);

	if (record != NULL)
		vl_put64(record + VL_RECORD_TAG, tag);
	return record != NULL;
}
