/*
 * upstream_files.h - files of the Rust system, made here by the recipe that comes with its own test data: byte for byte
 * the same.
 */
#ifndef UPSTREAM_FILES_H
#define UPSTREAM_FILES_H

#include "blake3.h"
#include "buf.h"
#include "check.h"
#include "upstream.h"

static void *up_alloc(void *context, size_t size)
{
	(void)context;
	return aligned_alloc(64, (size + 63) & ~(size_t)63);
}

static void up_release(void *context, void *memory, size_t size)
{
	(void)context;
	(void)size;
	free(memory);
}

static const struct vl_env up_env = {up_alloc, up_release, NULL, &vl_kernels_portable};

/* A file that grows: of a log, with its chain. */
struct up_file {
	struct vl_buf bytes;
	uint32_t version;
	uint8_t head[32];
	uint64_t time_s;
	uint64_t entries;
	size_t starts[64]; /* of the first entries */
};

static void up_number(struct vl_buf *out, uint64_t value)
{
	if (value < 251) {
		vl_buf_put8(out, (uint8_t)value);
	} else if (value <= UINT16_MAX) {
		vl_buf_put8(out, 251);
		vl_buf_put16(out, (uint16_t)value);
	} else if (value <= UINT32_MAX) {
		vl_buf_put8(out, 252);
		vl_buf_put32(out, (uint32_t)value);
	} else {
		vl_buf_put8(out, 253);
		vl_buf_put64(out, value);
	}
}

static void up_bytes(struct vl_buf *out, const void *bytes, size_t size)
{
	up_number(out, size);
	vl_buf_put(out, bytes, size);
}

static void up_vector(struct vl_buf *out, const int32_t *vector, uint32_t dim)
{
	up_number(out, dim);
	for (uint32_t i = 0; i < dim; i++)
		up_number(out, (uint32_t)vector[i] << 1 ^ (vector[i] < 0 ? UINT32_MAX : 0));
}

/* metadata NULL: none. Some(empty) comes out as 00 00, as there. */
static void up_metadata(struct vl_buf *out, const void *metadata, size_t size)
{
	up_number(out, metadata != NULL ? size : 0);
	if (metadata != NULL)
		up_bytes(out, metadata, size);
}

static void up_insert(struct vl_buf *out, uint32_t id, const int32_t *vector, uint32_t dim, const void *metadata,
		      size_t size, uint64_t tag)
{
	up_number(out, VL_UP_INSERT);
	up_number(out, id);
	up_vector(out, vector, dim);
	up_metadata(out, metadata, size);
	up_number(out, tag);
}

__attribute__((unused)) static void up_auto_insert(struct vl_buf *out, const int32_t *vector, uint32_t dim,
						   uint64_t tag)
{
	up_number(out, VL_UP_AUTO_INSERT);
	up_vector(out, vector, dim);
	up_metadata(out, NULL, 0);
	up_number(out, tag);
}

static void up_node(struct vl_buf *out, uint32_t id, uint8_t kind, uint32_t record)
{
	up_number(out, VL_UP_CREATE_NODE);
	up_number(out, id);
	up_number(out, kind);
	vl_buf_put8(out, record != VL_UP_NIL);
	if (record != VL_UP_NIL)
		up_number(out, record);
}

static void up_edge(struct vl_buf *out, uint32_t id, uint32_t from, uint32_t to, uint8_t kind)
{
	up_number(out, VL_UP_CREATE_EDGE);
	up_number(out, id);
	up_number(out, from);
	up_number(out, to);
	up_number(out, kind);
}

/* DELETE, SOFT_DELETE, DELETE_NODE, DELETE_EDGE. */
__attribute__((unused)) static void up_delete(struct vl_buf *out, uint8_t type, uint32_t id)
{
	up_number(out, type);
	up_number(out, id);
}

__attribute__((unused)) static void up_meta(struct vl_buf *out, const char *key, const void *value, size_t size)
{
	up_number(out, VL_UP_SET_META);
	up_bytes(out, key, strlen(key));
	up_bytes(out, value, size);
}

__attribute__((unused)) static void up_update_metadata(struct vl_buf *out, uint32_t id, const void *metadata,
						       size_t size)
{
	up_number(out, VL_UP_UPDATE_METADATA);
	up_number(out, id);
	up_metadata(out, metadata, size);
}

__attribute__((unused)) static void up_encrypted(struct vl_buf *out, uint32_t id, uint8_t key, const void *text,
						 size_t size)
{
	uint8_t name[16];

	memset(name, key, sizeof(name));
	up_number(out, VL_UP_INSERT_ENCRYPTED);
	up_number(out, id);
	vl_buf_put(out, name, sizeof(name));
	up_bytes(out, text, size);
	vl_buf_put8(out, 0);
	up_number(out, 7);
}

__attribute__((unused)) static void up_shred(struct vl_buf *out, uint8_t key)
{
	uint8_t name[16];

	memset(name, key, sizeof(name));
	up_number(out, VL_UP_SHRED_KEY);
	vl_buf_put(out, name, sizeof(name));
}

__attribute__((unused)) static void up_drop_namespace(struct vl_buf *out, const char *name)
{
	up_number(out, VL_UP_DROP_NAMESPACE);
	up_bytes(out, name, strlen(name));
}

/* ---- logs ---- */

static void up_begin(struct up_file *file, uint32_t version, uint32_t dim, uint32_t number, const uint8_t *before)
{
	memset(file, 0, sizeof(*file));
	vl_buf_init(&file->bytes, &up_env);
	file->version = version;
	file->time_s = 1750000000;
	vl_buf_put32(&file->bytes, version);
	vl_buf_put32(&file->bytes, dim);
	if (version == 2) {
		vl_buf_put64(&file->bytes, 0);
		return;
	}
	if (before != NULL)
		memcpy(file->head, before, 32);
	vl_buf_put32(&file->bytes, 1);
	vl_buf_put32(&file->bytes, number);
	vl_buf_put(&file->bytes, file->head, 32);
}

static void up_end(struct up_file *file)
{
	vl_buf_free(&file->bytes);
}

/* what: the LogEntry. It is emptied. */
static void up_entry(struct up_file *file, struct vl_buf *what, const uint8_t *request)
{
	struct vl_buf *out = &file->bytes;
	size_t start = out->size;
	struct vl_blake3 hash;

	if (file->entries < 64)
		file->starts[file->entries] = start;
	file->entries++;
	vl_buf_put(out, file->head, 32);
	up_number(out, file->time_s);
	if (file->version >= 3) {
		vl_buf_put8(out, request != NULL);
		if (request != NULL)
			vl_buf_put(out, request, 16);
	}
	vl_buf_put(out, what->data, what->size);
	vl_blake3_init(&hash, up_env.kernels, VL_HASH_PLAIN);
	vl_blake3_update(&hash, file->head, 32);
	vl_blake3_update(&hash, out->data + start + 32, out->size - start - 32);
	vl_blake3_final(&hash, file->head);
	if (file->version >= 4)
		vl_buf_put32(out, vl_upstream_crc(out->data + start, out->size - start));
	vl_buf_clear(what);
}

/* event is emptied. ns < 0: an Event, else an EventNs. */
static void up_event(struct up_file *file, struct vl_buf *event, int ns, const uint8_t *request)
{
	struct vl_buf what;

	vl_buf_init(&what, &up_env);
	up_number(&what, ns < 0 ? 0 : 3);
	if (ns >= 0)
		up_number(&what, (uint64_t)ns);
	vl_buf_put(&what, event->data, event->size);
	up_entry(file, &what, request);
	vl_buf_free(&what);
	vl_buf_clear(event);
}

static void up_checkpoint(struct up_file *file, uint64_t events, const uint8_t hash[32], uint64_t time_s)
{
	struct vl_buf what;

	vl_buf_init(&what, &up_env);
	up_number(&what, 1);
	up_number(&what, events);
	vl_buf_put(&what, hash, 32);
	up_number(&what, time_s);
	up_entry(file, &what, NULL);
	vl_buf_free(&what);
}

/* ---- the recipes ---- */

static void up_ramp(int32_t out[4], int32_t step, int32_t slope, int32_t shift, uint32_t i)
{
	for (int32_t d = 0; d < 4; d++)
		out[d] = step * (int32_t)i + slope * d + shift;
}

/* segment_v2.bin, segment_v3.bin, segment_v4.bin */
__attribute__((unused)) static void up_make_segment(struct up_file *file, uint32_t version)
{
	uint8_t before[32], request[16], mark[32];
	struct vl_buf event;

	memset(before, version == 3 ? 0x11 : 0x22, sizeof(before));
	memset(mark, 0x42, sizeof(mark));
	up_begin(file, version, 4, version, before);
	vl_buf_init(&event, &up_env);
	for (uint32_t i = 0; i < 10; i++) {
		int32_t vector[4];
		uint8_t four[4];

		memset(four, (int)i, sizeof(four));
		memset(request, (int)i, sizeof(request));
		up_ramp(vector, 1000, 7, 0, i);
		file->time_s = 1750000000 + i;
		if (i == 9) {
			up_checkpoint(file, 9, mark, 1750000000);
			break;
		}
		if (i == 8)
			up_node(&event, 0, 1, 0);
		else
			up_insert(&event, i, vector, 4, i % 2 == 0 ? four : NULL, 4, i);
		up_event(file, &event, -1, i % 2 == 0 ? request : NULL);
	}
	vl_buf_free(&event);
}

/*
 * Insert number i of event_log_inserts.log and wal_v1_inserts.wal, or of event_log_namespace.log and
 * wal_v1_namespace.wal (split not 0).
 */
static int up_insert_number(struct vl_buf *out, uint32_t i, uint32_t split)
{
	int32_t vector[4];
	char text[24];

	snprintf(text, sizeof(text), "{\"n\":%u}", i);
	if (split != 0 && i >= split) {
		up_ramp(vector, 500, 13, -1000, i);
		up_insert(out, i, vector, 4, NULL, 0, 1);
		return 1;
	}
	up_ramp(vector, 1000, 7, 0, i);
	if (split != 0)
		up_insert(out, i, vector, 4, NULL, 0, 0);
	else
		up_insert(out, i, vector, 4, i % 4 == 0 ? text : NULL, strlen(text), i % 5);
	return 0;
}

__attribute__((unused)) static void up_make_log(struct up_file *file, uint32_t count, uint32_t split)
{
	struct vl_buf event;

	up_begin(file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	file->time_s = 1783663928;
	for (uint32_t i = 0; i < count; i++) {
		int ns = up_insert_number(&event, i, split);

		up_event(file, &event, ns, NULL);
	}
	vl_buf_free(&event);
}

static void up_begin_wal(struct up_file *file, uint32_t version)
{
	memset(file, 0, sizeof(*file));
	vl_buf_init(&file->bytes, &up_env);
	vl_buf_put32(&file->bytes, version);
	vl_buf_put32(&file->bytes, 0);
	vl_buf_put32(&file->bytes, 4);
	vl_buf_put32(&file->bytes, 0);
}

__attribute__((unused)) static void up_make_wal(struct up_file *file, uint32_t count, uint32_t split)
{
	up_begin_wal(file, 2);
	for (uint32_t i = 0; i < count; i++) {
		int ns = up_insert_number(&file->bytes, i, split);

		up_number(&file->bytes, (uint64_t)ns);
	}
}

/*
 * What upstream's make-demo-log writes; in more than one segment when cut is not 0: segment number n begins with record
 * n * cut.
 */
__attribute__((unused)) static void up_make_demo(struct up_file *file, uint32_t count)
{
	uint64_t x = 0x5eedcafe;
	struct vl_buf event;

	up_begin(file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	for (uint32_t i = 0; i < count + 7; i++) {
		int32_t vector[4];

		file->time_s = 1750000000 + i;
		for (int d = 0; d < 4 && i < count; d++) {
			x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			vector[d] = (int32_t)((x >> 33) % 131072) - 65536;
		}
		if (i < count)
			up_insert(&event, i, vector, 4, NULL, 0, 0);
		else if (i < count + 4)
			up_node(&event, i - count, 1, i - count < 2 ? i - count : VL_UP_NIL);
		else
			up_edge(&event, i - count - 4, i - count - 4, i - count - 3, 0);
		up_event(file, &event, -1, NULL);
	}
	vl_buf_free(&event);
}

/* ---- snapshots ---- */

struct up_snap {
	uint32_t schema, dim;
	struct vl_buf *out;
};

static void up_option(struct vl_buf *out, uint32_t id)
{
	vl_buf_put8(out, id != VL_UP_NIL);
	if (id != VL_UP_NIL)
		vl_buf_put32(out, id);
}

static void up_snap_begin(struct up_snap *snap, uint64_t version, uint32_t records, uint32_t nodes, uint32_t edges)
{
	vl_buf_put(snap->out, "VALK", 4);
	vl_buf_put32(snap->out, snap->schema);
	vl_buf_put64(snap->out, version);
	vl_buf_put32(snap->out, records);
	vl_buf_put32(snap->out, snap->dim);
	vl_buf_put32(snap->out, nodes);
	vl_buf_put32(snap->out, edges);
	if (snap->schema >= 5)
		vl_buf_put8(snap->out, 1);
	vl_buf_put32(snap->out, records);
}

static void up_snap_links(struct up_snap *snap, uint16_t ns, uint32_t next, uint32_t prev)
{
	if (snap->schema < 6)
		return;
	vl_buf_put16(snap->out, ns);
	vl_buf_put32(snap->out, next);
	vl_buf_put32(snap->out, prev);
}

static void up_snap_record(struct up_snap *snap, uint32_t id, uint8_t flags, const int32_t *vector, uint64_t tag,
			   const char *metadata, uint16_t ns, uint32_t next, uint32_t prev)
{
	vl_buf_put8(snap->out, 1);
	vl_buf_put32(snap->out, id);
	vl_buf_put8(snap->out, flags);
	if (snap->schema >= 3)
		vl_buf_put64(snap->out, tag);
	for (uint32_t i = 0; i < snap->dim; i++)
		vl_buf_put32(snap->out, (uint32_t)vector[i]);
	if (snap->schema >= 2) {
		vl_buf_put32(snap->out, metadata != NULL ? (uint32_t)strlen(metadata) : 0);
		if (metadata != NULL)
			vl_buf_put(snap->out, metadata, strlen(metadata));
	}
	up_snap_links(snap, ns, next, prev);
}

static void up_snap_node(struct up_snap *snap, uint32_t id, uint8_t kind, uint32_t record, uint32_t out, uint32_t in,
			 uint32_t next, uint32_t prev)
{
	vl_buf_put32(snap->out, id);
	vl_buf_put8(snap->out, kind);
	up_option(snap->out, record);
	up_option(snap->out, out);
	if (snap->schema >= 4)
		up_option(snap->out, in);
	up_snap_links(snap, 0, next, prev);
}

static void up_snap_edge(struct up_snap *snap, uint32_t id, uint8_t kind, uint32_t from, uint32_t to)
{
	vl_buf_put32(snap->out, id);
	vl_buf_put8(snap->out, kind);
	vl_buf_put32(snap->out, from);
	vl_buf_put32(snap->out, to);
	up_option(snap->out, VL_UP_NIL);
	if (snap->schema >= 4)
		up_option(snap->out, VL_UP_NIL);
}

/* The heads of the lists, then how many meta entries there are. heads: of namespaces 0 and 1, then the nodes of 0. */
static void up_snap_end(struct up_snap *snap, const uint32_t heads[3], uint32_t meta)
{
	for (uint32_t i = 0; i < 2048 && snap->schema >= 6; i++)
		vl_buf_put32(snap->out, i < 2 ? heads[i] : i == 1024 ? heads[2] : VL_UP_NIL);
	if (snap->schema >= 7)
		vl_buf_put32(snap->out, meta);
}

__attribute__((unused)) static void up_snap_text(struct up_snap *snap, const char *text)
{
	vl_buf_put32(snap->out, (uint32_t)strlen(text));
	vl_buf_put(snap->out, text, strlen(text));
}

static const uint32_t up_no_heads[3] = {VL_UP_NIL, VL_UP_NIL, VL_UP_NIL};

/* snapshot_v7_empty.bin, _single.bin, _multi.bin, and the same in older versions. */
__attribute__((unused)) static void up_make_empty(struct vl_buf *out, uint32_t schema)
{
	struct up_snap snap = {schema, 0, out};

	up_snap_begin(&snap, 0, 0, 0, 0);
	vl_buf_put32(out, 0);
	vl_buf_put32(out, 0);
	up_snap_end(&snap, up_no_heads, 0);
}

__attribute__((unused)) static void up_make_single(struct vl_buf *out, uint32_t schema)
{
	static const int32_t vector[4] = {1024, -512, 256, 0};
	static const uint32_t heads[3] = {0, VL_UP_NIL, 0};
	struct up_snap snap = {schema, 4, out};

	up_snap_begin(&snap, 2, 1, 1, 0);
	up_snap_record(&snap, 0, 0, vector, 42, "single-record-metadata", 0, VL_UP_NIL, VL_UP_NIL);
	vl_buf_put32(out, 1);
	up_snap_node(&snap, 0, 5, 0, VL_UP_NIL, VL_UP_NIL, VL_UP_NIL, VL_UP_NIL);
	vl_buf_put32(out, 0);
	up_snap_end(&snap, heads, 0);
}

__attribute__((unused)) static void up_make_multi(struct vl_buf *out)
{
	static const uint32_t heads[3] = {7, 15, 3};
	struct up_snap snap = {7, 4, out};

	up_snap_begin(&snap, 25, 16, 4, 3);
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t first = i < 8 ? 0 : 8, last = first + 7;
		int32_t vector[4];
		char text[24];

		snprintf(text, sizeof(text), "{\"idx\":%u}", i);
		if (i < 8)
			up_ramp(vector, 1000, 7, 0, i);
		else
			up_ramp(vector, 500, 13, -1000, i);
		up_snap_record(&snap, i, 0, vector, i < 8 ? i % 5 : i % 3, i < 8 && i % 3 == 0 ? text : NULL, i >= 8,
			       i > first ? i - 1 : VL_UP_NIL, i < last ? i + 1 : VL_UP_NIL);
	}
	vl_buf_put32(out, 4);
	for (uint32_t i = 0; i < 4; i++)
		up_snap_node(&snap, i, 1, i, i < 3 ? i : VL_UP_NIL, i > 0 ? i - 1 : VL_UP_NIL,
			     i > 0 ? i - 1 : VL_UP_NIL, i < 3 ? i + 1 : VL_UP_NIL);
	vl_buf_put32(out, 3);
	for (uint32_t i = 0; i < 3; i++)
		up_snap_edge(&snap, i, 0, i, i + 1);
	up_snap_end(&snap, heads, 2);
	up_snap_text(&snap, "corpus:dim");
	up_snap_text(&snap, "4");
	up_snap_text(&snap, "corpus:version");
	up_snap_text(&snap, "fixture-v1");
}

#endif
