/* event.c - the canonical bytes of an event, and its digest. */
#include "event.h"

#include "q16.h"

enum {
	FIXED_MAX = 32,
	PREIMAGE_MAX = 8 + 24 + 3 * VL_HASH_SIZE,
	BLOCK = 256,       /* events whose digests are made together */
	LANES_WORTH = 8,   /* from so many inputs on they are sorted by size and hashed in lanes */
	LANES_SIZE = 1024, /* larger ones fill the lanes by themselves */
	PAIRS = 64
};

static const char *const names[VL_EVENT_TYPES] = {
	[VALORI_EVENT_INSERT] = "insert",
	[VALORI_EVENT_SOFT_DELETE] = "soft_delete",
	[VALORI_EVENT_DELETE] = "delete",
	[VALORI_EVENT_SET_METADATA] = "set_metadata",
	[VALORI_EVENT_SET_TAG] = "set_tag",
	[VALORI_EVENT_NODE_CREATE] = "node_create",
	[VALORI_EVENT_NODE_SET_RECORD] = "node_set_record",
	[VALORI_EVENT_NODE_DELETE] = "node_delete",
	[VALORI_EVENT_EDGE_CREATE] = "edge_create",
	[VALORI_EVENT_EDGE_DELETE] = "edge_delete",
	[VALORI_EVENT_META_SET] = "meta_set",
	[VALORI_EVENT_META_DELETE] = "meta_delete",
	[VALORI_EVENT_COLLECTION_CREATE] = "collection_create",
	[VALORI_EVENT_COLLECTION_DROP] = "collection_drop",
	[VALORI_EVENT_CONFIG] = "config",
};

const char *vl_event_type_name(uint8_t type)
{
	return type < VL_EVENT_TYPES ? names[type] : NULL;
}

/* ---- syntax of text ---- */

/* The length of the character at text, of which size bytes are there; 0: it is none. */
static size_t utf8_character(const uint8_t *text, size_t size)
{
	uint32_t c = text[0], least;
	size_t length;

	if (c < 0x80)
		return c != 0;
	if (c >= 0xc2 && c < 0xe0)
		length = 2, least = 0x80, c &= 0x1f;
	else if (c >= 0xe0 && c < 0xf0)
		length = 3, least = 0x800, c &= 0x0f;
	else if (c >= 0xf0 && c < 0xf5)
		length = 4, least = 0x10000, c &= 0x07;
	else
		return 0;
	if (length > size)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (text[i] & 0x3f);
	}
	return c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : length;
}

bool vl_is_utf8(const uint8_t *text, size_t size)
{
	while (size > 0) {
		size_t length = utf8_character(text, size);

		if (length == 0)
			return false;
		text += length;
		size -= length;
	}
	return true;
}

bool vl_is_collection_name(const uint8_t *text, size_t size)
{
	if (size == 0 || size > VALORI_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		uint8_t c = text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
		      c == '-'))
			return false;
	}
	return true;
}

/* ---- the fixed part of a payload ---- */

/* Writes it, zeros included; returns its size. */
static size_t put_fixed(const struct vl_event *event, uint8_t out[FIXED_MAX])
{
	memset(out, 0, FIXED_MAX);
	vl_put64(out, event->id);
	switch (event->type) {
	case VALORI_EVENT_INSERT:
		vl_put64(out + 8, event->tag);
		vl_put16(out + 16, event->collection);
		vl_put16(out + 18, (uint16_t)event->key_size);
		vl_put32(out + 20, event->metadata_size);
		return 24;
	case VALORI_EVENT_SET_METADATA:
		vl_put32(out + 8, event->metadata_size);
		return 16;
	case VALORI_EVENT_SET_TAG:
		vl_put64(out + 8, event->tag);
		return 16;
	case VALORI_EVENT_NODE_CREATE:
		vl_put64(out + 8, event->record);
		vl_put16(out + 16, event->collection);
		out[18] = event->kind;
		return 24;
	case VALORI_EVENT_NODE_SET_RECORD:
		vl_put64(out + 8, event->record);
		return 16;
	case VALORI_EVENT_EDGE_CREATE:
		vl_put64(out + 8, event->from);
		vl_put64(out + 16, event->to);
		out[24] = event->kind;
		return 32;
	case VALORI_EVENT_META_SET:
		vl_put16(out + 8, (uint16_t)event->key_size);
		vl_put32(out + 12, event->metadata_size);
		return 16;
	case VALORI_EVENT_COLLECTION_CREATE:
		vl_put16(out + 8, (uint16_t)event->key_size);
		return 16;
	case VALORI_EVENT_CONFIG:
		vl_put32(out, event->parameter);
		vl_put32(out + 4, 0);
		vl_put64(out + 8, event->tag);
		return 16;
	default:
		return 8;
	}
}

static size_t fixed_size(uint8_t type)
{
	static const uint8_t sizes[VL_EVENT_TYPES] = {
		[VALORI_EVENT_INSERT] = 24,      [VALORI_EVENT_SET_METADATA] = 16,      [VALORI_EVENT_SET_TAG] = 16,
		[VALORI_EVENT_NODE_CREATE] = 24, [VALORI_EVENT_NODE_SET_RECORD] = 16,   [VALORI_EVENT_EDGE_CREATE] = 32,
		[VALORI_EVENT_META_SET] = 16,    [VALORI_EVENT_COLLECTION_CREATE] = 16, [VALORI_EVENT_CONFIG] = 16,
	};

	return sizes[type] == 0 ? 8 : sizes[type];
}

/* Reads it; what is wrong in it, or NULL. *at is where. */
static const char *get_fixed(const uint8_t *p, struct vl_event *event, size_t *at)
{
	size_t size = fixed_size(event->type), used = 8;

	event->id = vl_get64(p);
	switch (event->type) {
	case VALORI_EVENT_INSERT:
		event->tag = vl_get64(p + 8);
		event->collection = vl_get16(p + 16);
		event->key_size = vl_get16(p + 18);
		event->metadata_size = vl_get32(p + 20);
		used = 24;
		break;
	case VALORI_EVENT_SET_METADATA:
		event->metadata_size = vl_get32(p + 8);
		used = 12;
		break;
	case VALORI_EVENT_SET_TAG:
		event->tag = vl_get64(p + 8);
		used = 16;
		break;
	case VALORI_EVENT_NODE_CREATE:
		event->record = vl_get64(p + 8);
		event->collection = vl_get16(p + 16);
		event->kind = p[18];
		used = 19;
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
		event->record = vl_get64(p + 8);
		used = 16;
		break;
	case VALORI_EVENT_EDGE_CREATE:
		event->from = vl_get64(p + 8);
		event->to = vl_get64(p + 16);
		event->kind = p[24];
		used = 25;
		break;
	case VALORI_EVENT_META_SET:
		event->key_size = vl_get16(p + 8);
		event->metadata_size = vl_get32(p + 12);
		*at = 10;
		if (vl_get16(p + 10) != 0)
			return "reserved bytes are not zero";
		used = 16;
		break;
	case VALORI_EVENT_COLLECTION_CREATE:
		event->key_size = vl_get16(p + 8);
		used = 10;
		break;
	case VALORI_EVENT_CONFIG:
		event->parameter = vl_get32(p);
		event->id = 0;
		event->tag = vl_get64(p + 8);
		*at = 4;
		if (vl_get32(p + 4) != 0)
			return "reserved bytes are not zero";
		used = 16;
		break;
	default:
		break;
	}
	*at = used;
	return vl_is_zero(p + used, size - used) ? NULL : "reserved bytes are not zero";
}

/* ---- encoding ---- */

static bool is_salted(const struct vl_event *event)
{
	return event->flags & VL_EVENT_SALTED;
}

static uint32_t metadata_bytes(const struct vl_event *event)
{
	return event->metadata_size == VL_ABSENT ? 0 : event->metadata_size;
}

static bool has_key(uint8_t type)
{
	return type == VALORI_EVENT_INSERT || type == VALORI_EVENT_META_SET || type == VALORI_EVENT_COLLECTION_CREATE;
}

static bool has_metadata(uint8_t type)
{
	return type == VALORI_EVENT_INSERT || type == VALORI_EVENT_META_SET || type == VALORI_EVENT_SET_METADATA;
}

static uint64_t payload_size(const struct vl_event *event, uint32_t dim)
{
	uint64_t size = fixed_size(event->type);

	if (is_salted(event))
		size += VL_SALT_SIZE;
	if (event->type == VALORI_EVENT_INSERT)
		size += (uint64_t)4 * dim;
	if (has_key(event->type))
		size += event->key_size;
	if (has_metadata(event->type))
		size += metadata_bytes(event);
	return size;
}

size_t vl_event_size(const struct vl_event *event, uint32_t dim)
{
	return (size_t)vl_pad8(VL_EVENT_HEADER + payload_size(event, dim));
}

static uint8_t *put(uint8_t *to, const void *data, size_t size)
{
	if (size > 0)
		memcpy(to, data, size);
	return to + size;
}

void vl_event_encode(const struct vl_event *event, uint32_t dim, struct vl_buf *buf)
{
	uint64_t size = payload_size(event, dim);
	uint8_t *to = vl_buf_extend(buf, (size_t)vl_pad8(VL_EVENT_HEADER + size)), fixed[FIXED_MAX];

	if (to == NULL)
		return;
	vl_put32(to, (uint32_t)size);
	to[4] = event->type;
	to[5] = event->flags;
	to[6] = to[7] = 0;
	to = put(to + VL_EVENT_HEADER, fixed, put_fixed(event, fixed));
	if (is_salted(event))
		to = put(to, event->salt, VL_SALT_SIZE);
	if (event->type == VALORI_EVENT_INSERT)
		to = put(to, event->vector, (size_t)4 * dim);
	if (has_key(event->type))
		to = put(to, event->key, event->key_size);
	if (has_metadata(event->type))
		to = put(to, event->metadata, metadata_bytes(event));
	memset(to, 0, (size_t)(vl_pad8(size) - size));
}

/* ---- decoding ---- */

/* A fault and where it is, from the start of the event. */
static valori_code damaged(valori_error *error, uint8_t type, size_t at, const char *what)
{
	const char *name = vl_event_type_name(type);

	vl_fail(error, VALORI_DAMAGED, "%s: %s", name == NULL ? "event" : name, what);
	if (error != NULL)
		error->offset = at;
	return VALORI_DAMAGED;
}

static valori_code newer(valori_error *error, const char *what)
{
	vl_fail(error, VALORI_NEWER, "%s: written by a newer version", what);
	if (error != NULL)
		error->offset = 4;
	return VALORI_NEWER;
}

/* What is wrong with sizes that are known from the fixed part alone, or NULL. */
static const char *sizes_fault(const struct vl_event *event)
{
	if (event->type == VALORI_EVENT_COLLECTION_CREATE) {
		if (event->key_size == 0 || event->key_size > VALORI_NAME_MAX)
			return "name has not 1 to 64 bytes";
	} else if (event->key_size > VALORI_KEY_MAX) {
		return "key has more than 255 bytes";
	}
	if (event->type == VALORI_EVENT_META_SET) {
		if (event->key_size == 0)
			return "key is empty";
		if (event->metadata_size > VALORI_METADATA_MAX)
			return "value has more than 65536 bytes";
	} else if (event->metadata_size != VL_ABSENT && event->metadata_size > VALORI_METADATA_MAX) {
		return "metadata has more than 65536 bytes";
	}
	if (is_salted(event) && event->type != VALORI_EVENT_INSERT &&
	    (event->type != VALORI_EVENT_SET_METADATA || event->metadata_size == VL_ABSENT))
		return "salted, but has no content";
	return NULL;
}

valori_code vl_event_decode(const struct vl_kernels *kernels, const uint8_t *data, size_t size, uint32_t dim,
			    struct vl_event *event, size_t *used, valori_error *error)
{
	uint64_t length;
	size_t at;
	const char *fault;

	if (size < VL_EVENT_HEADER)
		return damaged(error, 0, 0, "cut off");
	length = vl_get32(data);
	/* The digests stay as they are: they are most of the struct, and somebody else's to set. */
	memset(event, 0, offsetof(struct vl_event, k));
	event->type = data[4];
	event->flags = data[5];
	event->metadata_size = VL_ABSENT;
	event->record = VALORI_NONE;
	if (event->type == VL_EVENT_TYPES)
		return newer(error, "erase event");
	if (vl_event_type_name(event->type) == NULL)
		return damaged(error, event->type, 4, "type is unknown");
	if (event->flags & VL_EVENT_REDACTED)
		return newer(error, "redacted event");
	if (event->flags & ~VL_EVENT_SALTED)
		return damaged(error, event->type, 5, "flags are unknown");
	if (vl_get16(data + 6) != 0)
		return damaged(error, event->type, 6, "reserved bytes are not zero");
	if (length > VL_EVENT_PAYLOAD_MAX)
		return damaged(error, event->type, 0, "length is above the limit");
	if (length < fixed_size(event->type))
		return damaged(error, event->type, 0, "length does not fit the type");
	if (vl_pad8(VL_EVENT_HEADER + length) > size)
		return damaged(error, event->type, 0, "cut off");
	fault = get_fixed(data + VL_EVENT_HEADER, event, &at);
	if (fault != NULL)
		return damaged(error, event->type, VL_EVENT_HEADER + at, fault);
	fault = sizes_fault(event);
	if (fault != NULL)
		return damaged(error, event->type, VL_EVENT_HEADER + 8, fault);
	if (length != payload_size(event, dim))
		return damaged(error, event->type, 0, "length does not fit the content");

	at = VL_EVENT_HEADER + fixed_size(event->type);
	if (is_salted(event)) {
		event->salt = data + at;
		at += VL_SALT_SIZE;
	}
	if (event->type == VALORI_EVENT_INSERT) {
		size_t component;
		enum vl_q16_fault norm = vl_q16_accept(kernels, data + at, dim, &component);

		event->vector = data + at;
		if (norm != VL_Q16_OK)
			return damaged(error, event->type, at + 4 * component, "vector breaks the acceptance rule");
		at += (size_t)4 * dim;
	}
	if (event->key_size > 0) {
		event->key = data + at;
		if (event->type == VALORI_EVENT_COLLECTION_CREATE) {
			if (!vl_is_collection_name(event->key, event->key_size))
				return damaged(error, event->type, at,
					       "name has other characters than A-Z a-z 0-9 _ -");
		} else if (!vl_is_utf8(event->key, event->key_size)) {
			return damaged(error, event->type, at, "key is not UTF-8");
		}
		at += event->key_size;
	}
	if (event->metadata_size != VL_ABSENT) {
		event->metadata = data + at;
		at += event->metadata_size;
	}
	if (!vl_is_zero(data + at, (size_t)vl_pad8(at) - at))
		return damaged(error, event->type, at, "padding is not zero");
	*used = (size_t)vl_pad8(at);
	return VALORI_OK;
}

/* ---- digests of content ---- */

/* The hash of salt and content: in one piece when they lie so, for that is how a decoded event lies. */
static void hash_salted(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *salt,
			const uint8_t *content, size_t size, uint8_t out[VL_HASH_SIZE])
{
	struct vl_blake3 hash;

	if (salt == NULL) {
		vl_blake3(kernels, context, content, size, out);
	} else if (content == salt + VL_SALT_SIZE) {
		vl_blake3(kernels, context, salt, VL_SALT_SIZE + size, out);
	} else {
		vl_blake3_init(&hash, kernels, context);
		vl_blake3_update(&hash, salt, VL_SALT_SIZE);
		vl_blake3_update(&hash, content, size);
		vl_blake3_final(&hash, out);
	}
}

/* Inputs for the lanes: what is hashed, and whose it is. */
struct lanes {
	const uint8_t **inputs;
	uint8_t **outs;
	uint8_t *hashes;
	size_t count;
};

static bool lanes_init(struct lanes *lanes, struct vl_buf *scratch, size_t count)
{
	uint8_t *memory;

	vl_buf_clear(scratch);
	memory = vl_buf_extend(scratch, count * (sizeof(*lanes->inputs) + sizeof(*lanes->outs) + VL_HASH_SIZE));
	if (memory == NULL)
		return false;
	lanes->hashes = memory;
	lanes->inputs = (const uint8_t **)(void *)(memory + count * VL_HASH_SIZE);
	lanes->outs = (uint8_t **)(void *)(lanes->inputs + count);
	lanes->count = 0;
	return true;
}

static void lanes_add(struct lanes *lanes, const uint8_t *input, uint8_t *out)
{
	lanes->inputs[lanes->count] = input;
	lanes->outs[lanes->count++] = out;
}

static void lanes_hash(struct lanes *lanes, const struct vl_kernels *kernels, enum vl_context context, size_t size)
{
	if (lanes->count == 0)
		return;
	vl_blake3_many(kernels, context, lanes->inputs, size, lanes->count, lanes->hashes);
	for (size_t i = 0; i < lanes->count; i++)
		memcpy(lanes->outs[i], lanes->hashes + i * VL_HASH_SIZE, VL_HASH_SIZE);
	lanes->count = 0;
}

static void hash_vectors(const struct vl_kernels *kernels, struct vl_event *events, size_t count, uint32_t dim,
			 struct lanes *lanes)
{
	size_t size = (size_t)4 * dim;

	for (int salted = 0; salted < 2; salted++) {
		for (size_t i = 0; i < count; i++) {
			struct vl_event *event = &events[i];

			if (event->type != VALORI_EVENT_INSERT || is_salted(event) != (salted == 1))
				continue;
			if (!salted)
				lanes_add(lanes, event->vector, event->v);
			else if (event->vector == event->salt + VL_SALT_SIZE)
				lanes_add(lanes, event->salt, event->v);
			else
				hash_salted(kernels, VL_HASH_VECTOR, event->salt, event->vector, size, event->v);
		}
		lanes_hash(lanes, kernels, VL_HASH_VECTOR, size + (salted ? VL_SALT_SIZE : 0));
	}
}

/* One kind of content of different sizes: keys, or metadata without salt. NULL: this event has none. */
typedef const uint8_t *content_of(const struct vl_event *event, size_t *size);

static const uint8_t *key_of(const struct vl_event *event, size_t *size)
{
	*size = event->key_size;
	return has_key(event->type) && event->key_size > 0 ? event->key : NULL;
}

static const uint8_t *metadata_of(const struct vl_event *event, size_t *size)
{
	*size = metadata_bytes(event);
	return (event->type == VALORI_EVENT_INSERT || event->type == VALORI_EVENT_SET_METADATA) &&
			       event->metadata_size != VL_ABSENT && !is_salted(event)
		       ? event->metadata
		       : NULL;
}

/* Sorted by size, those of one size go through the lanes together. is_key: into k, else into m. */
static void hash_sized(const struct vl_kernels *kernels, struct vl_event *events, size_t count, bool is_key,
		       struct lanes *lanes)
{
	content_of *content = is_key ? key_of : metadata_of;
	enum vl_context context = is_key ? VL_HASH_KEY : VL_HASH_METADATA;
	uint32_t ends[LANES_SIZE + 2] = {0};
	const uint8_t *input;
	size_t size, any = 0, few = 0;

	for (size_t i = 0; i < count; i++) {
		if (content(&events[i], &size) == NULL)
			continue;
		any++;
		if (size <= LANES_SIZE) {
			ends[size + 1]++;
			few++;
		}
	}
	if (any == 0)
		return;
	for (size_t i = 1; i < LANES_SIZE + 2; i++)
		ends[i] += ends[i - 1];
	for (size_t i = 0; i < count; i++) {
		uint8_t *out = is_key ? events[i].k : events[i].m;

		input = content(&events[i], &size);
		if (input == NULL)
			continue;
		if (size > LANES_SIZE) {
			vl_blake3(kernels, context, input, size, out);
			continue;
		}
		lanes->inputs[ends[size]] = input;
		lanes->outs[ends[size]++] = out;
	}
	/* Every end has moved on to where the next size begins. */
	for (size_t begin = 0, at = 0; begin < few; at++) {
		struct lanes part = {lanes->inputs + begin, lanes->outs + begin, lanes->hashes, ends[at] - begin};

		begin = ends[at];
		lanes_hash(&part, kernels, context, at);
	}
}

static void hash_one(const struct vl_kernels *kernels, struct vl_event *event, bool keys)
{
	size_t size;
	const uint8_t *key = key_of(event, &size);

	if (key == NULL)
		memset(event->k, 0, VL_HASH_SIZE);
	else if (keys)
		vl_blake3(kernels, VL_HASH_KEY, key, size, event->k);
	if (event->type != VALORI_EVENT_INSERT)
		memset(event->v, 0, VL_HASH_SIZE);
	if (!has_metadata(event->type) || event->metadata_size == VL_ABSENT)
		memset(event->m, 0, VL_HASH_SIZE);
	else if (event->type == VALORI_EVENT_META_SET)
		vl_blake3(kernels, VL_HASH_META_VALUE, event->metadata, event->metadata_size, event->m);
	else if (is_salted(event) || keys)
		hash_salted(kernels, VL_HASH_METADATA, is_salted(event) ? event->salt : NULL, event->metadata,
			    event->metadata_size, event->m);
}

valori_code vl_event_hash_contents(const struct vl_kernels *kernels, struct vl_event *events, size_t count,
				   uint32_t dim, struct vl_buf *scratch, valori_error *error)
{
	bool few = count < LANES_WORTH;
	struct lanes lanes;

	for (size_t i = 0; i < count; i++) {
		hash_one(kernels, &events[i], few);
		if (few && events[i].type == VALORI_EVENT_INSERT)
			hash_salted(kernels, VL_HASH_VECTOR, is_salted(&events[i]) ? events[i].salt : NULL,
				    events[i].vector, (size_t)4 * dim, events[i].v);
	}
	if (few)
		return VALORI_OK;
	if (!lanes_init(&lanes, scratch, count))
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	hash_vectors(kernels, events, count, dim, &lanes);
	hash_sized(kernels, events, count, true, &lanes);
	hash_sized(kernels, events, count, false, &lanes);
	return VALORI_OK;
}

/* ---- digests of events ---- */

static size_t put_preimage(const struct vl_event *event, uint8_t out[PREIMAGE_MAX + FIXED_MAX])
{
	size_t size = 8;

	memset(out, 0, 8);
	out[0] = event->type;
	out[1] = event->flags & VL_EVENT_SALTED;
	size += put_fixed(event, out + 8);
	/* Sizes of content are no part of it: K, V and M stand for that. */
	switch (event->type) {
	case VALORI_EVENT_INSERT:
		memset(out + 8 + 18, 0, 6);
		break;
	case VALORI_EVENT_SET_METADATA:
	case VALORI_EVENT_META_SET:
	case VALORI_EVENT_COLLECTION_CREATE:
		size = 8 + 8;
		break;
	default:
		return size;
	}
	if (has_key(event->type)) {
		memcpy(out + size, event->k, VL_HASH_SIZE);
		size += VL_HASH_SIZE;
	}
	if (event->type == VALORI_EVENT_INSERT) {
		memcpy(out + size, event->v, VL_HASH_SIZE);
		size += VL_HASH_SIZE;
	}
	if (has_metadata(event->type)) {
		memcpy(out + size, event->m, VL_HASH_SIZE);
		size += VL_HASH_SIZE;
	}
	return size;
}

/* Digests of at most BLOCK events; rows and hashes are room for as many preimages and digests. */
static void digest_block(const struct vl_kernels *kernels, const struct vl_event *events, size_t count, uint8_t *rows,
			 uint8_t *hashes, uint8_t *out)
{
	for (uint8_t type = 1; type < VL_EVENT_TYPES; type++) {
		size_t found = 0, size = 0;

		for (size_t i = 0; i < count; i++)
			if (events[i].type == type) {
				size = put_preimage(&events[i], rows + found * size);
				found++;
			}
		if (found == 0)
			continue;
		vl_blake3_rows(kernels, VL_HASH_EVENT, rows, size, size, found, found == count ? out : hashes);
		if (found == count)
			return;
		found = 0;
		for (size_t i = 0; i < count; i++)
			if (events[i].type == type)
				memcpy(out + i * VL_HASH_SIZE, hashes + VL_HASH_SIZE * found++, VL_HASH_SIZE);
	}
}

valori_code vl_event_digests(const struct vl_kernels *kernels, const struct vl_event *events, size_t count,
			     struct vl_buf *scratch, uint8_t *out, valori_error *error)
{
	uint8_t *rows;

	if (count == 1) {
		uint8_t preimage[PREIMAGE_MAX + FIXED_MAX];

		vl_blake3(kernels, VL_HASH_EVENT, preimage, put_preimage(events, preimage), out);
		return VALORI_OK;
	}
	vl_buf_clear(scratch);
	rows = vl_buf_extend(scratch, BLOCK * (PREIMAGE_MAX + VL_HASH_SIZE) + FIXED_MAX);
	if (rows == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i += BLOCK)
		digest_block(kernels, events + i, count - i < BLOCK ? count - i : BLOCK, rows,
			     rows + BLOCK * PREIMAGE_MAX + FIXED_MAX, out + i * VL_HASH_SIZE);
	return VALORI_OK;
}

/* The node above two digests. */
static void hash_pairs(const struct vl_kernels *kernels, const uint8_t *pairs, size_t count, uint8_t *out)
{
	vl_blake3_rows(kernels, VL_HASH_EVENTS, pairs, 64, 64, count, out);
	for (size_t i = 0; i < count; i++)
		if (vl_get64(pairs + i * 64) == 0 && vl_is_zero(pairs + i * 64, 64))
			memset(out + i * VL_HASH_SIZE, 0, VL_HASH_SIZE);
}

void vl_events_root(const struct vl_kernels *kernels, uint8_t *digests, size_t count, uint8_t out[VL_HASH_SIZE])
{
	uint8_t above[PAIRS * VL_HASH_SIZE], last[2 * VL_HASH_SIZE];

	for (; count > 1; count = (count + 1) / 2) {
		size_t pairs = count / 2;

		for (size_t i = 0; i < pairs; i += PAIRS) {
			size_t part = pairs - i < PAIRS ? pairs - i : PAIRS;

			hash_pairs(kernels, digests + i * 64, part, above);
			memcpy(digests + i * VL_HASH_SIZE, above, part * VL_HASH_SIZE);
		}
		if (count % 2 != 0) {
			memcpy(last, digests + (count - 1) * VL_HASH_SIZE, VL_HASH_SIZE);
			memset(last + VL_HASH_SIZE, 0, VL_HASH_SIZE);
			hash_pairs(kernels, last, 1, digests + pairs * VL_HASH_SIZE);
		}
	}
	memcpy(out, digests, VL_HASH_SIZE);
}
