/* upstream_decode.c - one entry, one event of the Rust system's logs and WALs. */
#include "upstream_private.h"

#include "event.h"

/* What is left to read. Once it failed, every call gives zero: the outcome is asked for at the end. */
struct cursor {
	const uint8_t *at, *end;
	enum vl_upstream_decode outcome;
};

static void fail(struct cursor *cursor, enum vl_upstream_decode outcome)
{
	if (cursor->outcome == VL_UP_OK)
		cursor->outcome = outcome;
}

static const uint8_t *take(struct cursor *cursor, uint64_t size)
{
	const uint8_t *taken = cursor->at;

	if (cursor->outcome != VL_UP_OK || size > (uint64_t)(cursor->end - cursor->at)) {
		fail(cursor, VL_UP_SHORT);
		return NULL;
	}
	cursor->at += size;
	return taken;
}

static uint8_t take_byte(struct cursor *cursor)
{
	const uint8_t *byte = take(cursor, 1);

	return byte != NULL ? *byte : 0;
}

/* A number in its shortest form, up to max. */
static uint64_t take_number(struct cursor *cursor, uint64_t max)
{
	uint8_t first = take_byte(cursor);
	const uint8_t *bytes;
	uint64_t value = first;

	if (first == 251) {
		bytes = take(cursor, 2);
		value = bytes != NULL ? vl_get16(bytes) : 251;
		if (value < 251)
			fail(cursor, VL_UP_BAD);
	} else if (first == 252) {
		bytes = take(cursor, 4);
		value = bytes != NULL ? vl_get32(bytes) : UINT32_MAX;
		if (value <= UINT16_MAX)
			fail(cursor, VL_UP_BAD);
	} else if (first == 253) {
		bytes = take(cursor, 8);
		value = bytes != NULL ? vl_get64(bytes) : UINT64_MAX;
		if (value <= UINT32_MAX)
			fail(cursor, VL_UP_BAD);
	} else if (first > 253) {
		fail(cursor, VL_UP_BAD);
	}
	if (cursor->outcome != VL_UP_OK)
		return 0;
	if (value > max) {
		fail(cursor, VL_UP_BAD);
		return 0;
	}
	return value;
}

static uint32_t take_id(struct cursor *cursor)
{
	return (uint32_t)take_number(cursor, UINT32_MAX);
}

static bool take_option(struct cursor *cursor)
{
	uint8_t byte = take_byte(cursor);

	if (byte > 1)
		fail(cursor, VL_UP_BAD);
	return byte == 1;
}

static const uint8_t *take_bytes(struct cursor *cursor, size_t *size)
{
	uint64_t length = take_number(cursor, UINT64_MAX);
	const uint8_t *bytes = take(cursor, length);

	*size = bytes != NULL ? (size_t)length : 0;
	return bytes;
}

bool vl_upstream_is_text(const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		const uint8_t *nul = vl_upstream_find(bytes, 0, size);
		size_t piece = nul != NULL ? (size_t)(nul - bytes) : size;

		if (!vl_is_utf8(bytes, piece))
			return false;
		piece += nul != NULL;
		bytes += piece;
		size -= piece;
	}
	return true;
}

static const uint8_t *take_text(struct cursor *cursor, size_t *size)
{
	const uint8_t *bytes = take_bytes(cursor, size);

	if (!vl_upstream_is_text(bytes, *size))
		fail(cursor, VL_UP_BAD);
	return bytes;
}

static void take_vector(struct cursor *cursor, struct vl_upstream_event *event)
{
	uint64_t count = take_number(cursor, UINT32_MAX);

	event->vector = cursor->at;
	if (count > (uint64_t)(cursor->end - cursor->at))
		fail(cursor, VL_UP_SHORT);
	for (uint64_t i = 0; i < count && cursor->outcome == VL_UP_OK; i++)
		take_number(cursor, UINT32_MAX);
	event->dim = (uint32_t)count;
	event->vector_size = (size_t)(cursor->at - event->vector);
}

void vl_upstream_components(const uint8_t **at, const uint8_t *end, size_t count, uint8_t *out)
{
	struct cursor cursor = {*at, end, VL_UP_OK};

	for (size_t i = 0; i < count; i++) {
		uint32_t zigzag = (uint32_t)take_number(&cursor, UINT32_MAX);

		vl_put32(out + 4 * i, zigzag >> 1 ^ (0 - (zigzag & 1)));
	}
	*at = cursor.at;
}

/* The length twice, and 0 for none; see upstream.h. */
static void take_metadata(struct cursor *cursor, bool empty, struct vl_upstream_event *event)
{
	uint64_t length = take_number(cursor, UINT32_MAX - 1);

	if (length == 0 && !empty)
		return;
	event->metadata = take_bytes(cursor, &event->metadata_size);
	event->has_metadata = true;
	event->metadata_empty = length == 0;
	if (cursor->outcome == VL_UP_OK && event->metadata_size != length)
		fail(cursor, VL_UP_BAD);
}

/* Bytes in an option as serde writes it. */
static void take_optional_bytes(struct cursor *cursor, struct vl_upstream_event *event)
{
	event->has_metadata = take_option(cursor);
	if (event->has_metadata)
		event->metadata = take_bytes(cursor, &event->metadata_size);
	if (event->metadata_size >= UINT32_MAX)
		fail(cursor, VL_UP_BAD);
}

static void take_ciphertext(struct cursor *cursor, struct vl_upstream_event *event)
{
	event->key = take(cursor, VL_UP_KEY);
	event->key_size = VL_UP_KEY;
	event->metadata = take_bytes(cursor, &event->metadata_size);
	event->has_metadata = true;
	event->vector = NULL;
	if (event->metadata_size >= UINT32_MAX)
		fail(cursor, VL_UP_BAD);
}

static uint8_t take_kind(struct cursor *cursor, uint8_t last)
{
	return (uint8_t)take_number(cursor, last);
}

enum { NODE_KIND_LAST = 6, EDGE_KIND_LAST = 8 };

static void take_node(struct cursor *cursor, struct vl_upstream_event *event)
{
	event->kind = take_kind(cursor, NODE_KIND_LAST);
	event->record = take_option(cursor) ? take_id(cursor) : VL_UP_NIL;
}

static void take_ends(struct cursor *cursor, struct vl_upstream_event *event)
{
	event->from = take_id(cursor);
	event->to = take_id(cursor);
}

static void take_event(struct cursor *cursor, bool empty, struct vl_upstream_event *event)
{
	uint8_t type = (uint8_t)take_number(cursor, VL_UP_TYPES - 1);
	size_t ignored;

	*event = (struct vl_upstream_event){.type = type, .record = VL_UP_NIL};
	switch ((enum vl_upstream_type)type) {
	case VL_UP_INSERT:
		event->has_id = true;
		event->id = take_id(cursor);
		/* fallthrough */
	case VL_UP_AUTO_INSERT:
		take_vector(cursor, event);
		take_metadata(cursor, empty, event);
		event->tag = take_number(cursor, UINT64_MAX);
		break;
	case VL_UP_DELETE:
	case VL_UP_SOFT_DELETE:
	case VL_UP_DELETE_NODE:
	case VL_UP_DELETE_EDGE:
		event->id = take_id(cursor);
		break;
	case VL_UP_CREATE_NODE:
		event->has_id = true;
		event->id = take_id(cursor);
		/* fallthrough */
	case VL_UP_AUTO_CREATE_NODE:
		take_node(cursor, event);
		break;
	case VL_UP_CREATE_EDGE:
		event->has_id = true;
		event->id = take_id(cursor);
		/* fallthrough */
	case VL_UP_AUTO_CREATE_EDGE:
		take_ends(cursor, event);
		event->kind = take_kind(cursor, EDGE_KIND_LAST);
		break;
	case VL_UP_INSERT_ENCRYPTED:
		event->has_id = true;
		event->id = take_id(cursor);
		take_ciphertext(cursor, event);
		if (take_option(cursor))
			take_bytes(cursor, &ignored);
		event->tag = take_number(cursor, UINT64_MAX);
		break;
	case VL_UP_AUTO_INSERT_ENCRYPTED:
		event->ns = (uint16_t)take_number(cursor, UINT16_MAX);
		take_ciphertext(cursor, event);
		event->tag = take_number(cursor, UINT64_MAX);
		break;
	case VL_UP_SHRED_KEY:
		event->key = take(cursor, VL_UP_KEY);
		event->key_size = VL_UP_KEY;
		break;
	case VL_UP_SET_META:
		event->key = take_text(cursor, &event->key_size);
		event->metadata = take_text(cursor, &event->metadata_size);
		event->has_metadata = true;
		break;
	case VL_UP_CREATE_NAMESPACE:
	case VL_UP_DROP_NAMESPACE:
		event->key = take_text(cursor, &event->key_size);
		break;
	case VL_UP_UPDATE_METADATA:
		event->id = take_id(cursor);
		take_metadata(cursor, empty, event);
		break;
	case VL_UP_HOLE:
		break;
	}
}

static void take_admin(struct cursor *cursor)
{
	uint64_t variant = take_number(cursor, 1);
	size_t ignored;

	take_number(cursor, UINT64_MAX);
	if (variant == 0) {
		take_text(cursor, &ignored);
		take_text(cursor, &ignored);
	}
	take(cursor, 16);
}

/* The event's own namespace, where it carries one, stays. */
static void set_namespace(struct vl_upstream_event *event, uint16_t ns)
{
	if (event->type != VL_UP_AUTO_INSERT_ENCRYPTED)
		event->ns = ns;
}

static void take_entry(struct cursor *cursor, bool empty, struct vl_upstream_entry *entry)
{
	uint16_t ns;

	switch (take_number(cursor, 3)) {
	case 0:
		take_event(cursor, empty, &entry->event);
		break;
	case 1:
		entry->kind = VL_UP_CHECKPOINT;
		entry->event_count = take_number(cursor, UINT64_MAX);
		entry->checkpoint = take(cursor, VL_HASH_SIZE);
		take_number(cursor, UINT64_MAX);
		break;
	case 2:
		entry->kind = VL_UP_ADMIN;
		take_admin(cursor);
		break;
	default:
		ns = (uint16_t)take_number(cursor, UINT16_MAX);
		take_event(cursor, empty, &entry->event);
		set_namespace(&entry->event, ns);
	}
}

enum vl_upstream_decode vl_upstream_entry(uint32_t version, const uint8_t *data, size_t size, bool empty,
					  struct vl_upstream_entry *out)
{
	struct cursor cursor = {data, data + size, VL_UP_OK};
	const uint8_t *crc;

	*out = (struct vl_upstream_entry){.kind = VL_UP_EVENT, .crc_ok = true};
	out->prev = take(&cursor, VL_HASH_SIZE);
	out->hashed = cursor.at;
	out->time_s = take_number(&cursor, UINT64_MAX);
	if (version >= 3 && take_option(&cursor))
		out->request = take(&cursor, 16);
	if (cursor.outcome == VL_UP_OK)
		take_entry(&cursor, empty, out);
	if (cursor.outcome != VL_UP_OK)
		return cursor.outcome;
	out->hashed_size = (size_t)(cursor.at - out->hashed);
	if (version >= 4) {
		size_t covered = (size_t)(cursor.at - data);

		crc = take(&cursor, 4);
		if (crc == NULL)
			return cursor.outcome;
		out->crc_ok = vl_get32(crc) == vl_upstream_crc(data, covered);
	}
	out->size = (size_t)(cursor.at - data);
	return VL_UP_OK;
}

/* What the first kind of WAL holds are commands; each does what an event does. */
static void take_command(struct cursor *cursor, struct vl_upstream_event *event)
{
	static const uint8_t types[] = {VL_UP_INSERT,		VL_UP_DELETE,		VL_UP_CREATE_NODE,
					VL_UP_CREATE_EDGE,	VL_UP_DELETE_NODE,	VL_UP_DELETE_EDGE,
					VL_UP_SOFT_DELETE,	VL_UP_CREATE_NAMESPACE, VL_UP_DROP_NAMESPACE,
					VL_UP_INSERT_ENCRYPTED, VL_UP_SHRED_KEY};
	uint8_t type = types[take_number(cursor, sizeof(types) - 1)];

	*event = (struct vl_upstream_event){.type = type, .record = VL_UP_NIL};
	if (type == VL_UP_INSERT || type == VL_UP_CREATE_NODE || type == VL_UP_CREATE_NAMESPACE ||
	    type == VL_UP_DROP_NAMESPACE || type == VL_UP_INSERT_ENCRYPTED)
		event->ns = (uint16_t)take_number(cursor, UINT16_MAX);
	if (type == VL_UP_SHRED_KEY) {
		event->key = take(cursor, VL_UP_KEY);
		event->key_size = VL_UP_KEY;
	} else if (type != VL_UP_CREATE_NAMESPACE && type != VL_UP_DROP_NAMESPACE) {
		event->id = take_id(cursor);
	}
	event->has_id = type == VL_UP_INSERT || type == VL_UP_CREATE_NODE || type == VL_UP_CREATE_EDGE ||
			type == VL_UP_INSERT_ENCRYPTED;
	if (type == VL_UP_INSERT) {
		take_vector(cursor, event);
		take_optional_bytes(cursor, event);
		event->tag = take_number(cursor, UINT64_MAX);
	} else if (type == VL_UP_CREATE_NODE) {
		take_node(cursor, event);
	} else if (type == VL_UP_CREATE_EDGE) {
		event->kind = take_kind(cursor, EDGE_KIND_LAST);
		take_ends(cursor, event);
	} else if (type == VL_UP_INSERT_ENCRYPTED) {
		take_ciphertext(cursor, event);
		event->tag = take_number(cursor, UINT64_MAX);
	}
}

enum vl_upstream_decode vl_upstream_wal_event(uint32_t version, const uint8_t *data, size_t size, bool empty,
					      struct vl_upstream_event *out, size_t *used)
{
	struct cursor cursor = {data, data + size, VL_UP_OK};

	if (version == 1) {
		take_command(&cursor, out);
	} else {
		take_event(&cursor, empty, out);
		set_namespace(out, (uint16_t)take_number(&cursor, UINT16_MAX));
	}
	*used = (size_t)(cursor.at - data);
	return cursor.outcome;
}

/* Four bits at a time: the table is small enough to be looked at, and the chain's hash costs as much. */
uint32_t vl_upstream_crc(const uint8_t *data, size_t size)
{
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
					   0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
					   0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
