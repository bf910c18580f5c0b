/* snapshot_format.c - header and section table of a snapshot file. */
#include "snapshot_format.h"

#include <errno.h>

#include "bytes.h"
#include "crc32c.h"

static const char magic[8] = {'V', 'A', 'L', 'O', 'R', 'I', 'S', 'N'};

enum { /* offsets in the header */
       AT_VERSION = 8,
       AT_DIM = 12,
       AT_ARITHMETIC = 16,
       AT_STATE_HASH = 20,
       AT_TREE_HASH = 24,
       AT_PART_COUNT = 28,
       AT_LOG_ID = 32,
       AT_PARENT_ID = 64,
       AT_PARENT_COMMITS = 96,
       AT_PARENT_ROOT = 104,
       AT_COMMITS = 136,
       AT_HEIGHT = 144,
       AT_TIME = 152,
       AT_STATE_ROOT = 160,
       AT_FRONTIER_COUNT = 192,
       AT_CONFIG_SET = 196,
       AT_FILE_SIZE = 200,
       AT_CONFIG = 208,
       AT_COUNTS = 336,
       AT_SLOTS = 408, /* of a packed snapshot */
       AT_COUNTS_END = 416,
       AT_FRONTIER = 512,
       AT_FRONTIER_END = 2560,
       AT_TABLE_DIGEST = 4060,
       AT_CRC = 4092,
       AT_TABLE = 4096,
       ENTRY_SIZE = 64
};

_Static_assert(AT_CONFIG + 8 * (int)VL_PARAMETERS == (int)AT_COUNTS, "the counts follow the parameters");
_Static_assert(AT_FRONTIER + 64 * 32 == (int)AT_FRONTIER_END, "64 roots of subtrees");
_Static_assert(AT_TABLE + (int)ENTRY_SIZE * (int)VL_PARTS_MAX == (int)VL_SNAPSHOT_HEADER,
	       "the table ends the header");
_Static_assert((int)VL_PARTS + 1 + (int)VL_INDEX_PARTS <= (int)VL_PARTS_MAX, "the table has room");

static const char *const tree_names[VL_LISTS] = {"tree of records", "tree of nodes", "tree of edges",
						 "tree of meta", "tree of collections"};

const char *vl_part_name(uint32_t kind)
{
	if (kind > 0 && kind < VL_SECTIONS_END)
		return vl_section_name((enum vl_section)kind);
	if (kind >= VL_KIND_TREES && kind < VL_KIND_TREES + VL_LISTS)
		return tree_names[kind - VL_KIND_TREES];
	if (kind == VL_KIND_REQUESTS)
		return "requests";
	if (kind == VL_KIND_KEPT)
		return "records that are kept";
	if (kind >= VL_KIND_INDEX && kind < VL_KIND_INDEX + VL_INDEX_PARTS)
		return vl_index_part_name((enum vl_index_part)(kind - VL_KIND_INDEX));
	return kind == VL_KIND_REQUEST_BUCKETS ? "request buckets" : "unknown section";
}

static uint32_t part_kind(unsigned part)
{
	if (part < VL_PART_TREES)
		return part + 1;
	if (part < VL_PART_REQUESTS)
		return VL_KIND_TREES + (part - VL_PART_TREES);
	return VL_KIND_REQUESTS + (part - VL_PART_REQUESTS);
}

enum { BUCKET_SIZE = 4, META_SIZE = 96, COLLECTION_SIZE = 64 }; /* state.h */

static const uint32_t state_sizes[VL_SECTIONS_END] = {
	/* 0: the vector's */
	[VL_SECTION_RECORDS] = VL_RECORD_SIZE,
	[VL_SECTION_PLACES] = VL_PLACE_SIZE,
	[VL_SECTION_DIGESTS] = VL_DIGEST_SIZE,
	[VL_SECTION_KEY_BUCKETS] = BUCKET_SIZE,
	[VL_SECTION_NODES] = VL_NODE_SIZE,
	[VL_SECTION_EDGES] = VL_EDGE_SIZE,
	[VL_SECTION_META] = META_SIZE,
	[VL_SECTION_META_BUCKETS] = BUCKET_SIZE,
	[VL_SECTION_COLLECTIONS] = COLLECTION_SIZE,
	[VL_SECTION_COLLECTION_BUCKETS] = BUCKET_SIZE,
	[VL_SECTION_HEAP] = 1,
};

static uint32_t part_elem_size(unsigned part, uint32_t dim)
{
	if (part < VL_PART_TREES)
		return state_sizes[part + 1] != 0 ? state_sizes[part + 1] : 4 * dim;
	if (part < VL_PART_REQUESTS)
		return VL_HASH_SIZE;
	if (part == VL_PART_KEPT)
		return VL_KEPT_SIZE;
	return part == VL_PART_REQUESTS ? VL_REQUEST_ENTRY_SIZE : VL_REQUEST_BUCKET_SIZE;
}

uint64_t vl_snapshot_align(uint64_t offset)
{
	return (offset + VL_SNAPSHOT_ALIGN - 1) / VL_SNAPSHOT_ALIGN * VL_SNAPSHOT_ALIGN;
}

uint64_t vl_snapshot_tree_size(uint64_t slots)
{
	uint64_t size = slots;

	for (uint64_t count = slots; count > 1;) {
		count = (count + 1) / 2;
		size += count;
	}
	return size;
}

static uint64_t kept_groups(uint64_t slots)
{
	return (slots >> VL_KEPT_SHIFT) + ((slots & ((1 << VL_KEPT_SHIFT) - 1)) != 0);
}

void vl_snapshot_pack(struct vl_snapshot_head *head, uint64_t kept)
{
	head->version = VL_SNAPSHOT_PACKED;
	for (unsigned section = VL_SECTION_RECORDS; section <= VL_SECTION_VECTORS; section++)
		head->parts[section - 1].count = kept + 1;
	head->parts[VL_PART_TREES + VL_RECORDS].count = vl_snapshot_tree_size(head->slots) - head->slots + kept + 1;
	head->parts[VL_PART_KEPT].count = kept_groups(head->slots);
}

uint64_t vl_snapshot_claimed_size(const uint8_t data[VL_SNAPSHOT_HEADER])
{
	return vl_get64(data + AT_FILE_SIZE);
}

valori_code vl_snapshot_io(const char *path, int error_number, const char *fact, valori_error *error)
{
	valori_code code = error_number == -ENOENT || error_number == -ENOTDIR ? VALORI_NOT_FOUND : VALORI_IO;

	vl_fail(error, code, "%s: %s: %s", path, fact, vl_os_error_text(error_number));
	if (error != NULL && code == VALORI_IO)
		error->system_errno = -error_number;
	return code;
}

valori_code vl_snapshot_damaged(const char *name, uint64_t offset, const char *fact, valori_error *error)
{
	valori_code code =
		vl_fail(error, VALORI_DAMAGED, "%s: offset %llu: %s", name, (unsigned long long)offset, fact);

	if (error != NULL)
		error->offset = offset;
	return code;
}

/* What a section of count elements takes, or false when no file could hold it. */
static bool part_size(uint64_t count, uint32_t elem_size, uint64_t *size)
{
	if (count > (uint64_t)INT64_MAX / 4 / elem_size)
		return false;
	*size = count * elem_size;
	return true;
}

static void plan_index(struct vl_snapshot_head *head, const struct vl_index *index)
{
	struct vl_index_bytes parts[VL_INDEX_PARTS];
	uint8_t index_head[VL_INDEX_HEAD];

	vl_index_bytes(index, index_head, parts);
	for (unsigned at = 0; at < VL_INDEX_PARTS; at++) {
		struct vl_part *part = &head->parts[head->part_count++];

		part->kind = VL_KIND_INDEX + at;
		part->elem_size = parts[at].elem_size;
		part->count = parts[at].count;
	}
}

valori_code vl_snapshot_plan(struct vl_snapshot_head *head, const struct vl_index *index, valori_error *error)
{
	uint64_t offset = VL_SNAPSHOT_HEADER;

	head->part_count = vl_own_parts(head);
	for (unsigned at = 0; at < head->part_count; at++) {
		head->parts[at].kind = part_kind(at);
		head->parts[at].elem_size = part_elem_size(at, head->position.dim);
	}
	if (index != NULL)
		plan_index(head, index);
	for (unsigned at = 0; at < head->part_count; at++) {
		struct vl_part *part = &head->parts[at];

		part->offset = offset;
		if (!part_size(part->count, part->elem_size, &part->size) || offset > (uint64_t)INT64_MAX / 2)
			return vl_fail(error, VALORI_FULL, "snapshot: too large for any file");
		offset = vl_snapshot_align(offset + part->size);
	}
	head->file_size = offset;
	return VALORI_OK;
}

static void encode_table(const struct vl_snapshot_head *head, uint8_t *table)
{
	for (unsigned at = 0; at < head->part_count; at++) {
		const struct vl_part *part = &head->parts[at];
		uint8_t *entry = table + (size_t)at * ENTRY_SIZE;

		vl_put32(entry, part->kind);
		vl_put32(entry + 4, part->elem_size);
		vl_put64(entry + 8, part->offset);
		vl_put64(entry + 16, part->size);
		vl_put64(entry + 24, part->count);
		memcpy(entry + 32, part->digest, VL_HASH_SIZE);
	}
}

static void encode_counts(const struct vl_snapshot_head *head, uint8_t *out)
{
	const struct vl_totals *totals = &head->totals;

	vl_put64(out, totals->record_live);
	vl_put64(out + 8, totals->record_tombstones);
	vl_put64(out + 16, totals->record_deleted);
	vl_put64(out + 24, totals->node_live);
	vl_put64(out + 32, totals->edge_live);
	vl_put64(out + 40, totals->meta_live);
	vl_put64(out + 48, totals->collection_live);
	vl_put64(out + 56, head->requests);
	vl_put64(out + 64, totals->record_keys);
	vl_put64(out + 72, vl_is_packed(head) ? head->slots : 0);
}

static void decode_counts(const uint8_t *data, struct vl_snapshot_head *head)
{
	struct vl_totals *totals = &head->totals;

	totals->record_live = vl_get64(data);
	totals->record_tombstones = vl_get64(data + 8);
	totals->record_deleted = vl_get64(data + 16);
	totals->node_live = vl_get64(data + 24);
	totals->edge_live = vl_get64(data + 32);
	totals->meta_live = vl_get64(data + 40);
	totals->collection_live = vl_get64(data + 48);
	head->requests = vl_get64(data + 56);
	totals->record_keys = vl_get64(data + 64);
	head->slots = vl_get64(data + 72);
}

static void encode_position(const struct vl_position *position, uint8_t *out)
{
	unsigned count = vl_frontier_count(position->frontier.size);

	vl_put32(out + AT_DIM, position->dim);
	memcpy(out + AT_LOG_ID, position->log_id, 32);
	memcpy(out + AT_PARENT_ID, position->parent_id, 32);
	vl_put64(out + AT_PARENT_COMMITS, position->parent_commits);
	memcpy(out + AT_PARENT_ROOT, position->parent_root, 32);
	vl_put64(out + AT_COMMITS, position->frontier.size);
	vl_put64(out + AT_HEIGHT, position->height);
	vl_put64(out + AT_TIME, position->time_ms);
	memcpy(out + AT_STATE_ROOT, position->state_root, 32);
	vl_put32(out + AT_FRONTIER_COUNT, count);
	memcpy(out + AT_FRONTIER, position->frontier.roots, (size_t)count * 32);
}

static void decode_position(const uint8_t *data, struct vl_position *position)
{
	memset(position, 0, sizeof(*position));
	position->dim = vl_get32(data + AT_DIM);
	memcpy(position->log_id, data + AT_LOG_ID, 32);
	memcpy(position->parent_id, data + AT_PARENT_ID, 32);
	position->parent_commits = vl_get64(data + AT_PARENT_COMMITS);
	memcpy(position->parent_root, data + AT_PARENT_ROOT, 32);
	position->frontier.size = vl_get64(data + AT_COMMITS);
	position->height = vl_get64(data + AT_HEIGHT);
	position->time_ms = vl_get64(data + AT_TIME);
	memcpy(position->state_root, data + AT_STATE_ROOT, 32);
	memcpy(position->frontier.roots, data + AT_FRONTIER, sizeof(position->frontier.roots));
}

void vl_snapshot_head_encode(const struct vl_snapshot_head *head, const struct vl_kernels *kernels,
			     uint8_t out[VL_SNAPSHOT_HEADER])
{
	memset(out, 0, VL_SNAPSHOT_HEADER);
	memcpy(out, magic, sizeof(magic));
	vl_put32(out + AT_VERSION, head->version);
	vl_put32(out + AT_ARITHMETIC, 1);
	vl_put32(out + AT_STATE_HASH, 1);
	vl_put32(out + AT_TREE_HASH, 1);
	vl_put32(out + AT_PART_COUNT, head->part_count);
	encode_position(&head->position, out);
	vl_put32(out + AT_CONFIG_SET, head->totals.config_set);
	vl_put64(out + AT_FILE_SIZE, head->file_size);
	for (unsigned parameter = 0; parameter < VL_PARAMETERS; parameter++)
		vl_put64(out + AT_CONFIG + 8 * (size_t)parameter, head->totals.config[parameter]);
	encode_counts(head, out + AT_COUNTS);
	encode_table(head, out + AT_TABLE);
	vl_blake3(kernels, VL_HASH_PLAIN, out + AT_TABLE, VL_SNAPSHOT_HEADER - AT_TABLE,
		  out + AT_TABLE_DIGEST);
	vl_put32(out + AT_CRC, vl_crc32c(kernels, 0, out, AT_CRC));
}

/* What is wrong in the header, or NULL; *at is where. */
static const char *header_fault(const uint8_t *data, uint64_t file_size, const struct vl_snapshot_head *head,
				uint64_t *at)
{
	const struct vl_position *position = &head->position;
	uint32_t unset = ~head->totals.config_set;

	*at = AT_DIM;
	if (position->dim == 0 || position->dim > VALORI_DIM_MAX)
		return "dimension is out of range";
	*at = AT_PART_COUNT;
	if (head->part_count > VL_PARTS_MAX || head->part_count < vl_own_parts(head))
		return "wrong number of sections";
	*at = AT_HEIGHT;
	if (position->frontier.size > position->height)
		return "more commits than events";
	*at = AT_FRONTIER_COUNT;
	if (vl_get32(data + AT_FRONTIER_COUNT) != vl_frontier_count(position->frontier.size))
		return "frontier and number of commits do not agree";
	*at = AT_FILE_SIZE;
	if (head->file_size != file_size)
		return file_size < head->file_size ? "file is truncated" : "bytes follow the end";
	*at = AT_CONFIG;
	for (unsigned parameter = 0; parameter < VL_PARAMETERS; parameter++)
		if (unset >> parameter & 1 && head->totals.config[parameter] != 0)
			return "value of a parameter that is not set";
	*at = AT_SLOTS;
	if (vl_is_packed(head) ? head->slots == 0 || head->slots > VL_SLOTS_MAX : head->slots != 0)
		return "number of record slots is out of range";
	*at = AT_COUNTS_END;
	if (!vl_is_zero(data + AT_COUNTS_END, AT_FRONTIER - AT_COUNTS_END))
		return "unused bytes are not zero";
	*at = AT_FRONTIER;
	unsigned count = vl_frontier_count(position->frontier.size);
	if (!vl_is_zero(data + AT_FRONTIER + (size_t)count * 32,
			AT_TABLE_DIGEST - AT_FRONTIER - (size_t)count * 32))
		return "unused bytes are not zero";
	return NULL;
}

/* Of a packed snapshot all counts of records follow from one of them, and the slots. */
static bool packed_fault(const struct vl_snapshot_head *head)
{
	const struct vl_part *parts = head->parts;
	uint64_t count = parts[vl_part_of(VL_SECTION_RECORDS)].count;

	if (!vl_is_packed(head))
		return false;
	if (count == 0 || count > head->slots || parts[VL_PART_KEPT].count != kept_groups(head->slots))
		return true;
	for (unsigned section = VL_SECTION_PLACES; section <= VL_SECTION_VECTORS; section++)
		if (parts[section - 1].count != count)
			return true;
	return parts[VL_PART_TREES + VL_RECORDS].count !=
	       vl_snapshot_tree_size(head->slots) - head->slots + count;
}

/* Counts that follow from others. Those of the state are looked at when it is attached. */
static const char *count_fault(const struct vl_snapshot_head *head)
{
	static const enum vl_section lists[VL_LISTS] = {VL_SECTION_RECORDS, VL_SECTION_NODES,
							VL_SECTION_EDGES, VL_SECTION_META,
							VL_SECTION_COLLECTIONS};
	const struct vl_part *parts = head->parts;
	uint64_t window = head->requests < VL_REQUEST_WINDOW ? head->requests : VL_REQUEST_WINDOW;

	for (unsigned list = vl_is_packed(head); list < VL_LISTS; list++)
		if (vl_snapshot_tree_size(parts[vl_part_of(lists[list])].count) !=
		    parts[VL_PART_TREES + list].count)
			return "a tree does not fit its list";
	if (packed_fault(head))
		return "the counts of records that are kept do not agree";
	if (parts[VL_PART_REQUESTS].count != window || parts[VL_PART_REQUEST_BUCKETS].count != window ||
	    head->requests > head->position.height)
		return "the request window has a wrong size";
	return NULL;
}

static valori_code decode_table(const uint8_t *data, const char *name, struct vl_snapshot_head *head,
				valori_error *error)
{
	uint64_t offset = VL_SNAPSHOT_HEADER, size, kind = 0;
	unsigned own = vl_own_parts(head);

	for (unsigned at = 0; at < head->part_count; at++) {
		const uint8_t *entry = data + AT_TABLE + (size_t)at * ENTRY_SIZE;
		uint64_t place = AT_TABLE + (uint64_t)at * ENTRY_SIZE;
		struct vl_part *part = &head->parts[at];

		part->kind = vl_get32(entry);
		part->elem_size = vl_get32(entry + 4);
		part->offset = vl_get64(entry + 8);
		part->size = vl_get64(entry + 16);
		part->count = vl_get64(entry + 24);
		memcpy(part->digest, entry + 32, VL_HASH_SIZE);
		if (part->kind <= kind)
			return vl_snapshot_damaged(name, place, "sections are out of order", error);
		kind = part->kind;
		if (at >= own ? kind < VL_KIND_DERIVED : kind != part_kind(at)) {
			if (kind >= VL_KIND_DERIVED)
				return vl_snapshot_damaged(name, place, "a section is missing", error);
			return vl_fail(error, VALORI_NEWER,
				       "%s: section kind %llu is newer than this version", name,
				       (unsigned long long)kind);
		}
		if (at < own && part->elem_size != part_elem_size(at, head->position.dim))
			return vl_snapshot_damaged(name, place + 4, "element size is wrong", error);
		if (part->elem_size == 0 || !part_size(part->count, part->elem_size, &size) ||
		    size != part->size)
			return vl_snapshot_damaged(name, place + 16, "size and count do not agree", error);
		if (part->offset != offset || offset > head->file_size || size > head->file_size - offset)
			return vl_snapshot_damaged(name, place + 8, "section lies where it cannot", error);
		offset = vl_snapshot_align(offset + size);
	}
	if (offset != head->file_size)
		return vl_snapshot_damaged(name, AT_FILE_SIZE, "sections do not fill the file", error);
	return VALORI_OK;
}

valori_code vl_snapshot_head_decode(const uint8_t data[VL_SNAPSHOT_HEADER], uint64_t file_size,
				    const char *name, const struct vl_kernels *kernels,
				    struct vl_snapshot_head *out, valori_error *error)
{
	uint8_t digest[VL_HASH_SIZE];
	const char *fault;
	valori_code code;
	uint64_t at;

	memset(out, 0, sizeof(*out));
	if (file_size < sizeof(magic) || memcmp(data, magic, sizeof(magic)) != 0)
		return vl_fail(error, VALORI_NOT_OURS, "%s: not a snapshot", name);
	if (file_size < VL_SNAPSHOT_HEADER)
		return vl_snapshot_damaged(name, file_size, "header is truncated", error);
	/* In every version to come, too, the first 4096 bytes end with their crc: so damage is not taken for
	 * news. */
	if (vl_get32(data + AT_CRC) != vl_crc32c(kernels, 0, data, AT_CRC))
		return vl_snapshot_damaged(name, 0, "checksum of the header does not match", error);
	if (vl_get32(data + AT_VERSION) > VALORI_SNAPSHOT_FORMAT)
		return vl_fail(error, VALORI_NEWER, "%s: snapshot format %u, this library reads %u", name,
			       (unsigned)vl_get32(data + AT_VERSION), (unsigned)VALORI_SNAPSHOT_FORMAT);
	out->version = vl_get32(data + AT_VERSION);
	if (out->version < VL_SNAPSHOT_PLAIN)
		return vl_snapshot_damaged(name, AT_VERSION, "no such version", error);
	if (vl_get32(data + AT_ARITHMETIC) != 1 || vl_get32(data + AT_STATE_HASH) != 1 ||
	    vl_get32(data + AT_TREE_HASH) != 1)
		return vl_fail(error, VALORI_NEWER, "%s: arithmetic or hash is newer than this version",
			       name);
	vl_blake3(kernels, VL_HASH_PLAIN, data + AT_TABLE, VL_SNAPSHOT_HEADER - AT_TABLE, digest);
	if (memcmp(digest, data + AT_TABLE_DIGEST, VL_HASH_SIZE) != 0)
		return vl_snapshot_damaged(name, AT_TABLE, "digest of the section table does not match",
					   error);
	decode_position(data, &out->position);
	out->part_count = vl_get32(data + AT_PART_COUNT);
	out->file_size = vl_get64(data + AT_FILE_SIZE);
	out->totals.height = out->position.height;
	out->totals.config_set = vl_get32(data + AT_CONFIG_SET);
	for (unsigned parameter = 0; parameter < VL_PARAMETERS; parameter++)
		out->totals.config[parameter] = vl_get64(data + AT_CONFIG + 8 * (size_t)parameter);
	decode_counts(data + AT_COUNTS, out);
	fault = header_fault(data, file_size, out, &at);
	if (fault != NULL)
		return vl_snapshot_damaged(name, at, fault, error);
	at = AT_TABLE + (uint64_t)out->part_count * ENTRY_SIZE;
	if (!vl_is_zero(data + at, VL_SNAPSHOT_HEADER - at))
		return vl_snapshot_damaged(name, at, "unused bytes are not zero", error);
	code = decode_table(data, name, out, error);
	if (code != VALORI_OK)
		return code;
	if (!vl_is_packed(out))
		out->slots = out->parts[vl_part_of(VL_SECTION_RECORDS)].count;
	fault = count_fault(out);
	return fault == NULL ? VALORI_OK : vl_snapshot_damaged(name, AT_COUNTS, fault, error);
}
