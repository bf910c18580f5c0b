/*
 * upstream_chain.c - one entry after the other, and what it means when the next one does not fit.
 *
 * A torn write is no crime: the system appends behind the torn bytes when it is started again. Its next entry then
 * continues the chain from the last whole one, which is how it is found again. What neither fits nor is continued was
 * altered, and the entries around it tell which.
 */
#include "upstream_private.h"

enum {
	TRIES_MAX = 1024,      /* places at which the chain's head may seem to stand */
	WORK_MAX = 64 << 20    /* bytes decoded to find out whether entries follow a torn one */
};

static void advance(const struct vl_upstream_reader *reader, const uint8_t *head, const struct vl_upstream_entry *entry,
		    uint8_t out[VL_HASH_SIZE])
{
	struct vl_blake3 hash;

	vl_blake3_init(&hash, reader->env->kernels, VL_HASH_PLAIN);
	vl_blake3_update(&hash, head, VL_HASH_SIZE);
	vl_blake3_update(&hash, entry->hashed, entry->hashed_size);
	vl_blake3_final(&hash, out);
}

/*
 * Does what comes behind the entry at offset continue the chain from it? Where nothing comes, nothing speaks against
 * it.
 */
static bool is_continued(const struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment,
			 size_t offset, const uint8_t *head, const struct vl_upstream_entry *entry)
{
	size_t left = segment->size - offset - entry->size;
	uint8_t next[VL_HASH_SIZE];

	advance(reader, head, entry, next);
	return memcmp(segment->data + offset + entry->size, next, left < VL_HASH_SIZE ? left : VL_HASH_SIZE) == 0;
}

/* A whole entry that continues head? Versions without a checksum are asked for the one behind it instead. */
static bool is_sound(const struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment, size_t offset,
		     bool empty, struct vl_upstream_entry *out)
{
	if (vl_upstream_entry(segment->version, segment->data + offset, segment->size - offset, empty, out) != VL_UP_OK)
		return false;
	if ((empty && !out->event.metadata_empty) || !out->crc_ok || memcmp(out->prev, reader->head, VL_HASH_SIZE) != 0)
		return false;
	return segment->version >= 4 || is_continued(reader, segment, offset, reader->head, out);
}

static bool is_either(const struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment, size_t offset,
		      struct vl_upstream_entry *out)
{
	return is_sound(reader, segment, offset, false, out) || is_sound(reader, segment, offset, true, out);
}

/* Where behind offset the chain goes on from where it is; 0: nowhere. */
static size_t find_continuation(const struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment,
				size_t offset)
{
	struct vl_upstream_entry entry;
	size_t at = offset + 1;

	for (unsigned tries = 0; tries < TRIES_MAX && at + VL_HASH_SIZE <= segment->size; at++) {
		const uint8_t *found =
			vl_upstream_find(segment->data + at, reader->head[0], segment->size - VL_HASH_SIZE - at + 1);

		if (found == NULL)
			return 0;
		at = (size_t)(found - segment->data);
		if (memcmp(found, reader->head, VL_HASH_SIZE) != 0)
			continue;
		if (is_either(reader, segment, at, &entry))
			return at;
		tries++;
	}
	return 0;
}

/* Are there whole entries of any chain behind offset? Then what stands there is not the end of a write. */
static bool has_entries_behind(const struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment,
			       size_t offset)
{
	uint64_t work = 0;

	for (size_t at = offset + 1; at < segment->size && work < WORK_MAX; at++) {
		struct vl_upstream_entry entry;
		enum vl_upstream_decode outcome =
			vl_upstream_entry(segment->version, segment->data + at, segment->size - at, false, &entry);

		work += outcome == VL_UP_OK ? entry.size : 64;
		if (outcome != VL_UP_OK || !entry.crc_ok)
			continue;
		if (segment->version >= 4)
			return true;
		if (segment->size - at - entry.size >= VL_HASH_SIZE &&
		    is_continued(reader, segment, at, entry.prev, &entry))
			return true;
	}
	return false;
}

static void breach(struct vl_upstream_reader *reader, const uint8_t *stored)
{
	reader->report.breach_entry = reader->place.entry;
	reader->report.breach_offset = reader->place.offset;
	memcpy(reader->report.breach_stored.bytes, stored, VL_HASH_SIZE);
	memcpy(reader->report.breach_computed.bytes, reader->head, VL_HASH_SIZE);
}

/* The entry reads well, but names another predecessor than the one it stands behind: which of the two is wrong? */
static void blame_chain(struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment,
			const struct vl_upstream_entry *entry)
{
	size_t offset = reader->offset;
	bool is_last = segment->size - offset - entry->size < VL_HASH_SIZE;

	breach(reader, entry->prev);
	if (!is_last && is_continued(reader, segment, offset, reader->head, entry)) {
		vl_upstream_fault(reader, VALORI_UPSTREAM_ALTERED, &reader->place);
		vl_upstream_note(reader, "entry %llu: the hash of the entry before it was altered, and no more",
				 (unsigned long long)reader->place.entry);
	} else if (reader->last.entry == 0 || reader->last.path != segment->name) {
		vl_upstream_fault(reader, VALORI_UPSTREAM_ALTERED, &reader->place);
		vl_upstream_note(reader,
				 "entry %llu, the first of its file, continues another chain than the header says: "
				 "the header was altered, or entries were removed from the beginning",
				 (unsigned long long)reader->place.entry);
	} else {
		vl_upstream_fault(reader, VALORI_UPSTREAM_ALTERED, &reader->last);
		vl_upstream_note(reader, "entry %llu was altered, or entries between it and the next one were removed",
				 (unsigned long long)reader->last.entry);
	}
}

static void torn(struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment)
{
	uint64_t size = segment->size - reader->offset;

	if (segment == &reader->segments[reader->segments_count - 1])
		reader->report.torn_size = size;
	else
		reader->report.torn_inside += size;
	reader->offset = segment->size;
}

/*
 * What stands at the offset is no entry that continues the chain, and none follows: true if it is only the end of a
 * torn write.
 */
static bool explain(struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment)
{
	const uint8_t *data = segment->data + reader->offset;
	size_t left = segment->size - reader->offset;
	struct vl_upstream_entry entry;
	enum vl_upstream_decode outcome;

	if (vl_is_zero(data, left)) /* the file grew, but what was to be written did not arrive */
		return true;
	outcome = vl_upstream_entry(segment->version, data, left, false, &entry);
	if (outcome == VL_UP_SHORT && !has_entries_behind(reader, segment, reader->offset))
		return true;
	reader->place.time_s = outcome == VL_UP_OK ? entry.time_s : reader->last.time_s;
	if (outcome == VL_UP_OK && entry.crc_ok && memcmp(entry.prev, reader->head, VL_HASH_SIZE) != 0) {
		blame_chain(reader, segment, &entry);
		return false;
	}
	if (left >= VL_HASH_SIZE && memcmp(data, reader->head, VL_HASH_SIZE) != 0)
		breach(reader, data);
	vl_upstream_fault(reader, VALORI_UPSTREAM_ALTERED, &reader->place);
	if (outcome == VL_UP_OK && is_continued(reader, segment, reader->offset, reader->head, &entry) &&
	    left - entry.size >= VL_HASH_SIZE)
		vl_upstream_note(reader, "entry %llu: its checksum was altered, and no more",
				 (unsigned long long)reader->place.entry);
	else if (outcome == VL_UP_OK)
		vl_upstream_note(reader, "entry %llu: the checksum does not match",
				 (unsigned long long)reader->place.entry);
	else
		vl_upstream_note(reader, "entry %llu: no entry looks like this",
				 (unsigned long long)reader->place.entry);
	return false;
}

/* The header of the next segment must continue the chain. */
static bool begin_segment(struct vl_upstream_reader *reader)
{
	static const uint8_t zeros[VL_HASH_SIZE];
	const struct vl_upstream_segment *segment = &reader->segments[reader->segment];
	const uint8_t *before = segment->before != NULL ? segment->before : zeros;
	struct vl_upstream_place place = {.path = segment->name, .entry = reader->report.entries + 1, .offset = 16};
	uint32_t expected = reader->segment == 0 ? 0 : segment[-1].number + 1;

	reader->offset = segment->header;
	reader->report.version = segment->version;
	reader->report.dim = segment->dim;
	reader->report.last_segment = segment->number;
	if (segment->number != expected) {
		reader->incomplete = true;
		vl_upstream_note(reader, "segment %u is missing%s", expected,
				 segment->number > expected + 1 ? ", and others behind it" : "");
	} else if (memcmp(before, reader->head, VL_HASH_SIZE) != 0) {
		memcpy(reader->report.breach_stored.bytes, before, VL_HASH_SIZE);
		memcpy(reader->report.breach_computed.bytes, reader->head, VL_HASH_SIZE);
		vl_upstream_fault(reader, VALORI_UPSTREAM_ALTERED, &place);
		if (reader->segment == 0)
			vl_upstream_note(reader, "the header of the first segment continues another one");
		else
			vl_upstream_note(
				reader,
				"the header does not continue segment %u: one of the two was altered, or entries "
				"were removed from the end of that one",
				segment[-1].number);
		return false;
	}
	memcpy(reader->head, before, VL_HASH_SIZE);
	return true;
}

bool vl_upstream_log_entry(struct vl_upstream_reader *reader, struct vl_upstream_entry *out)
{
	while (!reader->ended) {
		const struct vl_upstream_segment *segment = &reader->segments[reader->segment];
		size_t next;
		bool sound;

		if (reader->offset == 0 && !begin_segment(reader))
			return false;
		reader->place = (struct vl_upstream_place){
			.path = segment->name, .entry = reader->report.entries + 1, .offset = reader->offset};
		if (reader->offset == segment->size) {
			if (reader->segment + 1 == reader->segments_count) {
				reader->ended = true;
				return false;
			}
			reader->segment++;
			reader->offset = 0;
			continue;
		}
		sound = is_either(reader, segment, reader->offset, out);
		next = sound ? 0 : find_continuation(reader, segment, reader->offset);
		if (next != 0) {
			reader->report.torn_inside += next - reader->offset;
			reader->offset = next;
			continue;
		}
		/* Without a checksum an entry is taken at its word when only what follows it disagrees. */
		if (!sound && segment->version < 4 &&
		    vl_upstream_entry(segment->version, segment->data + reader->offset, segment->size - reader->offset,
				      false, out) == VL_UP_OK)
			sound = memcmp(out->prev, reader->head, VL_HASH_SIZE) == 0;
		if (sound) {
			advance(reader, reader->head, out, reader->head);
			reader->place.time_s = out->time_s;
			reader->place.request = out->request;
			reader->last = reader->place;
			reader->offset += out->size;
			reader->report.entries++;
			reader->report.oversized += out->size > VL_UP_ENTRY_MAX;
			return true;
		}
		if (!explain(reader, segment))
			return false;
		torn(reader, segment);
	}
	return false;
}

/* ---- WALs: no chain, no checksum, nothing but one event behind the other ---- */

/* How well does the next event go with reading this one as it was read? 2: well; 1: it is cut off; 0: not at all. */
static int rate(const struct vl_upstream_reader *reader, const struct vl_upstream_segment *segment,
		const struct vl_upstream_event *event, size_t offset)
{
	struct vl_upstream_event next;
	size_t used;
	bool inserts = event->type == VL_UP_INSERT || event->type == VL_UP_AUTO_INSERT;

	if (offset == segment->size)
		return 2;
	switch (vl_upstream_wal_event(segment->version, segment->data + offset, segment->size - offset, false, &next,
				      &used)) {
	case VL_UP_BAD:
		return 0;
	case VL_UP_SHORT:
		return 1;
	case VL_UP_OK:
		break;
	}
	if (next.ns >= VL_UP_NAMESPACES)
		return 0;
	if (inserts && (next.type == VL_UP_INSERT || next.type == VL_UP_INSERT_ENCRYPTED))
		next.id--; /* it will be the next one when this one is there */
	return vl_upstream_ahead(&reader->state, &next) == 0 ? 2 : 0;
}

bool vl_upstream_wal_next(struct vl_upstream_reader *reader, struct vl_upstream_event *out)
{
	const struct vl_upstream_segment *segment = &reader->segments[0];
	const uint8_t *data = segment->data + reader->offset;
	size_t left = segment->size - reader->offset, used, used_again;
	struct vl_upstream_event again;

	if (reader->ended)
		return false;
	reader->place = (struct vl_upstream_place){
		.path = segment->name, .entry = reader->report.entries + 1, .offset = reader->offset};
	if (left == 0) {
		reader->ended = true;
		return false;
	}
	switch (vl_upstream_wal_event(segment->version, data, left, false, out, &used)) {
	case VL_UP_OK:
		break;
	case VL_UP_SHORT:
		torn(reader, segment);
		reader->ended = true;
		return false;
	case VL_UP_BAD:
		vl_upstream_fault(reader, VALORI_UPSTREAM_UNREADABLE, &reader->place);
		vl_upstream_note(reader, "event %llu: no event looks like this",
				 (unsigned long long)reader->place.entry);
		return false;
	}
	if (vl_upstream_wal_event(segment->version, data, left, true, &again, &used_again) == VL_UP_OK &&
	    again.metadata_empty &&
	    rate(reader, segment, &again, reader->offset + used_again) >
		    rate(reader, segment, out, reader->offset + used)) {
		*out = again;
		used = used_again;
	}
	reader->offset += used;
	reader->report.entries++;
	return true;
}
