/* upstream_reader.c - a file of the Rust system as events, in the order in which they are applied. */
#include "upstream_private.h"

struct queued {
	struct vl_upstream_event event;
	struct vl_upstream_place place;
};

void vl_upstream_note(struct vl_upstream_reader *reader, const char *format, ...)
{
	char *sentence = reader->report.sentence;
	size_t size = sizeof(reader->report.sentence), used = 0;
	va_list arguments;

	while (sentence[used] != '\0')
		used++;
	if (used > 0 && used + 3 < size)
		used += vl_format(sentence + used, size - used, "; ");
	va_start(arguments, format);
	vl_format_list(sentence + used, size - used, format, &arguments);
	va_end(arguments);
}

void vl_upstream_fault(struct vl_upstream_reader *reader, valori_upstream_verdict verdict,
		       const struct vl_upstream_place *place)
{
	valori_upstream_report *report = &reader->report;

	reader->ended = true;
	/* That an event makes no sense is what an altered entry looks like from inside: the chain knows better. */
	if (report->verdict == VALORI_UPSTREAM_REFUSED && verdict == VALORI_UPSTREAM_ALTERED)
		report->sentence[0] = '\0';
	report->verdict = verdict;
	report->fault_entry = place->entry;
	report->fault_offset = place->offset;
	report->fault_time_s = place->time_s;
	vl_format(report->fault_path, sizeof(report->fault_path), "%s", place->path);
}

/* ---- what is it? ---- */

uint32_t vl_upstream_recognise(const uint8_t *data, size_t size)
{
	uint32_t version, second, third, fourth;

	if (size >= 8 && (memcmp(data, "VALK", 4) == 0 || memcmp(data, "VAL1", 4) == 0))
		return VALORI_UPSTREAM_SNAPSHOT;
	if (size < 16)
		return VALORI_UPSTREAM_NONE;
	version = vl_get32(data);
	second = vl_get32(data + 4);
	third = vl_get32(data + 8);
	fourth = vl_get32(data + 12);
	if ((version == 1 || version == 2) && second == 0 && third >= 1 && third <= 2 * VL_UP_DIM_MAX && fourth == 0)
		return VALORI_UPSTREAM_WAL;
	if (second < 1 || second > VL_UP_DIM_MAX)
		return VALORI_UPSTREAM_NONE;
	if (version == 2 && third == 0 && fourth == 0)
		return VALORI_UPSTREAM_LOG;
	/* Format 1, Q16.16, and three zeros. */
	return (version == 3 || version == 4) && third == 1 ? VALORI_UPSTREAM_LOG : VALORI_UPSTREAM_NONE;
}

enum { HEADER_OLD = 16, HEADER_NEW = 48 };

static valori_code read_header(const struct vl_upstream_file *file, struct vl_upstream_segment *out,
			       valori_error *error)
{
	*out = (struct vl_upstream_segment){.data = file->data, .size = file->size, .name = file->name};
	if (file->size < HEADER_OLD)
		return vl_fail(error, VALORI_DAMAGED, "%s: %zu bytes are no header", file->name, file->size);
	out->version = vl_get32(file->data);
	out->dim = vl_get32(file->data + 4);
	out->header = HEADER_OLD;
	if (out->version == 2)
		return VALORI_OK;
	out->header = HEADER_NEW;
	if (file->size < HEADER_NEW)
		return vl_fail(error, VALORI_DAMAGED, "%s: %zu bytes, where the header alone has %u", file->name,
			       file->size, HEADER_NEW);
	out->number = vl_get32(file->data + 12);
	out->before = file->data + 16;
	return VALORI_OK;
}

static valori_code take_segments(struct vl_upstream_reader *reader, const struct vl_upstream_file *files, size_t count,
				 valori_error *error)
{
	for (size_t i = 0; i < count; i++) {
		struct vl_upstream_segment segment;
		size_t place = i;
		valori_code code = read_header(&files[i], &segment, error);

		if (code != VALORI_OK)
			return code;
		for (; place > 0 && reader->segments[place - 1].number >= segment.number; place--)
			reader->segments[place] = reader->segments[place - 1];
		if (place < i && reader->segments[place + 1].number == segment.number)
			return vl_fail(error, VALORI_INVALID, "%s and %s are both segment %u",
				       reader->segments[place + 1].name, segment.name, segment.number);
		reader->segments[place] = segment;
	}
	return VALORI_OK;
}

static valori_code begin(struct vl_upstream_reader *reader, const struct vl_upstream_file *files, size_t count,
			 valori_error *error)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t kind = vl_upstream_recognise(files[i].data, files[i].size);

		if (kind == VALORI_UPSTREAM_NONE)
			return vl_fail(error, VALORI_NOT_OURS,
				       "%s: neither a log, a WAL nor a snapshot of the Rust system", files[i].name);
		if (i > 0 && (kind != reader->kind || kind != VALORI_UPSTREAM_LOG))
			return vl_fail(error, VALORI_INVALID, "%s: only segments of one log are read together",
				       files[i].name);
		reader->kind = reader->report.kind = kind;
		reader->report.file_size += files[i].size;
	}
	reader->report.segments = (uint32_t)count;
	if (reader->kind == VALORI_UPSTREAM_LOG) {
		valori_code code = take_segments(reader, files, count, error);

		if (code != VALORI_OK)
			return code;
		reader->report.first_segment = reader->segments[0].number;
		reader->report.version = reader->segments[0].version;
		reader->report.dim = reader->segments[0].dim;
		return VALORI_OK;
	}
	reader->segments[0] =
		(struct vl_upstream_segment){.data = files[0].data, .size = files[0].size, .name = files[0].name};
	if (reader->kind == VALORI_UPSTREAM_SNAPSHOT)
		return vl_upstream_snapshot_begin(reader, error);
	reader->segments[0].version = reader->report.version = vl_get32(files[0].data);
	reader->segments[0].dim = reader->report.dim = vl_get32(files[0].data + 8);
	reader->offset = reader->segments[0].header = HEADER_OLD;
	return VALORI_OK;
}

valori_code vl_upstream_reader_new(const struct vl_env *env, const struct vl_upstream_file *files, size_t count,
				   struct vl_upstream_reader **out, valori_error *error)
{
	struct vl_upstream_reader *reader;
	valori_code code;

	*out = NULL;
	if (count == 0 || count > UINT32_MAX / 2)
		return vl_fail(error, VALORI_INVALID, "no file is named");
	reader = vl_alloc(env, sizeof(*reader));
	if (reader == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	memset(reader, 0, sizeof(*reader));
	reader->env = env;
	reader->report.fault_entry = reader->report.fault_offset = VALORI_NONE;
	reader->report.breach_entry = reader->report.breach_offset = VALORI_NONE;
	vl_upstream_state_init(&reader->state, env);
	vl_buf_init(&reader->vector, env);
	reader->segments_count = count;
	reader->segments = vl_alloc(env, count * sizeof(*reader->segments));
	if (reader->segments == NULL)
		code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	else
		code = begin(reader, files, count, error);
	if (code != VALORI_OK) {
		vl_upstream_reader_free(reader);
		return code;
	}
	*out = reader;
	return VALORI_OK;
}

void vl_upstream_reader_free(struct vl_upstream_reader *reader)
{
	const struct vl_env *env;

	if (reader == NULL)
		return;
	env = reader->env;
	vl_upstream_drop(env, &reader->queue, sizeof(struct queued));
	vl_upstream_state_free(&reader->state);
	vl_buf_free(&reader->vector);
	vl_release(env, reader->segments, reader->segments_count * sizeof(*reader->segments));
	vl_release(env, reader, sizeof(*reader));
}

/* ---- as public events ---- */

static uint32_t public_type(const struct vl_upstream_event *event)
{
	switch ((enum vl_upstream_type)event->type) {
	case VL_UP_INSERT:
	case VL_UP_AUTO_INSERT:
	case VL_UP_INSERT_ENCRYPTED:
	case VL_UP_AUTO_INSERT_ENCRYPTED:
	case VL_UP_HOLE:
		return VALORI_EVENT_INSERT;
	case VL_UP_DELETE:
		return VALORI_EVENT_DELETE;
	case VL_UP_SOFT_DELETE:
		return VALORI_EVENT_SOFT_DELETE;
	case VL_UP_UPDATE_METADATA:
		return VALORI_EVENT_SET_METADATA;
	case VL_UP_CREATE_NODE:
	case VL_UP_AUTO_CREATE_NODE:
		return VALORI_EVENT_NODE_CREATE;
	case VL_UP_DELETE_NODE:
		return VALORI_EVENT_NODE_DELETE;
	case VL_UP_CREATE_EDGE:
	case VL_UP_AUTO_CREATE_EDGE:
		return VALORI_EVENT_EDGE_CREATE;
	case VL_UP_DELETE_EDGE:
		return VALORI_EVENT_EDGE_DELETE;
	case VL_UP_SET_META:
		return VALORI_EVENT_META_SET;
	case VL_UP_CREATE_NAMESPACE:
		return VALORI_EVENT_COLLECTION_CREATE;
	case VL_UP_DROP_NAMESPACE:
		return VALORI_EVENT_COLLECTION_DROP;
	case VL_UP_SHRED_KEY:
		return 0;
	}
	return 0;
}

static bool is_secret(const struct vl_upstream_event *event)
{
	return event->type == VL_UP_INSERT_ENCRYPTED || event->type == VL_UP_AUTO_INSERT_ENCRYPTED;
}

/* flags: of the record, before the event in a log, in a snapshot its own. */
static uint32_t public_flags(const struct vl_upstream_reader *reader, const struct vl_upstream_event *event, int flags)
{
	uint32_t given = 0;

	if (event->type == VL_UP_HOLE)
		return VALORI_UPSTREAM_HOLE;
	if (event->type == VL_UP_SHRED_KEY)
		return VALORI_UPSTREAM_SHRED;
	if (event->type == VL_UP_SOFT_DELETE && flags >= 0 && (flags & VL_UP_SOFT_DELETED) != 0)
		given |= VALORI_UPSTREAM_REPEATED;
	if (is_secret(event))
		given |= VALORI_UPSTREAM_ENCRYPTED;
	if (reader->kind != VALORI_UPSTREAM_SNAPSHOT || event->type != VL_UP_INSERT)
		return given;
	given |= (flags & VL_UP_ENCRYPTED) != 0 ? VALORI_UPSTREAM_ENCRYPTED : 0;
	given |= (flags & VL_UP_SOFT_DELETED) != 0 ? VALORI_UPSTREAM_TOMBSTONE : 0;
	given |= (flags & VL_UP_SHREDDED) != 0 ? VALORI_UPSTREAM_SHREDDED : 0;
	return given;
}

static valori_code give(struct vl_upstream_reader *reader, const struct vl_upstream_event *event,
			const struct vl_upstream_place *place, int flags, valori_upstream_event *out,
			valori_error *error)
{
	const uint8_t *at = event->vector;
	valori_event *given = &out->event;

	*out = (valori_upstream_event){.flags = public_flags(reader, event, flags),
				       .dim = event->dim,
				       .offset = place->offset,
				       .time_s = place->time_s,
				       .path = place->path};
	given->number = reader->report.events++;
	given->type = public_type(event);
	given->id = event->id;
	given->tag = event->tag;
	given->record = event->record == VL_UP_NIL ? VALORI_NONE : event->record;
	given->from = event->from;
	given->to = event->to;
	given->collection = event->ns;
	given->kind = event->kind;
	given->request = place->request;
	given->key = is_secret(event) || event->type == VL_UP_SHRED_KEY ? NULL : (const char *)event->key;
	given->key_size = given->key == NULL ? 0 : (uint32_t)event->key_size;
	given->metadata = event->has_metadata ? event->metadata : NULL;
	given->metadata_size = event->has_metadata ? (uint32_t)event->metadata_size : 0;
	reader->report.empty_metadata += event->metadata_empty;
	reader->report.encrypted += (out->flags & VALORI_UPSTREAM_ENCRYPTED) != 0;
	given->vector = at;
	if (at == NULL || event->vector_plain)
		return VALORI_OK;
	vl_buf_clear(&reader->vector);
	if (vl_buf_extend(&reader->vector, 4 * (size_t)event->dim + 1) == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	vl_upstream_components(&at, at + event->vector_size, event->dim, reader->vector.data);
	given->vector = reader->vector.data;
	return VALORI_OK;
}

/* ---- in order ---- */

/* The event contradicts the state: from here on only the chain is followed. */
static void refuse(struct vl_upstream_reader *reader, const struct vl_upstream_place *place, const char *why)
{
	reader->blind = true;
	if (reader->incomplete)
		return;
	vl_upstream_fault(reader, VALORI_UPSTREAM_REFUSED, place);
	vl_upstream_note(reader, "entry %llu: %s", (unsigned long long)place->entry, why);
	reader->ended = reader->kind != VALORI_UPSTREAM_LOG;
}

/* OK: given. END: refused. */
static valori_code apply(struct vl_upstream_reader *reader, struct vl_upstream_event *event,
			 const struct vl_upstream_place *place, valori_upstream_event *out, valori_error *error)
{
	bool is_record = event->type == VL_UP_SOFT_DELETE || event->type == VL_UP_DELETE;
	int flags = is_record ? vl_upstream_flags(&reader->state, event->id) : -1;
	valori_error why = {0};
	valori_code code = vl_upstream_apply(&reader->state, event, &why);

	if (code == VALORI_NO_MEMORY)
		return vl_fail(error, code, "out of memory");
	if (code != VALORI_OK) {
		refuse(reader, place, why.message);
		return VALORI_END;
	}
	return give(reader, event, place, flags, out, error);
}

/* At the start of a segment stands the hash of the state so far; the Rust system never looks at it. */
static void check_state(struct vl_upstream_reader *reader, const struct vl_upstream_entry *entry)
{
	const struct vl_upstream_segment *segment = &reader->segments[reader->segment];
	uint8_t hash[VL_HASH_SIZE];

	if (reader->blind || reader->incomplete || segment->number == 0 || reader->place.offset != segment->header)
		return;
	vl_upstream_hash(&reader->state, hash);
	if (memcmp(hash, entry->checkpoint, VL_HASH_SIZE) != 0) {
		reader->report.checkpoints_wrong++;
		vl_upstream_note(reader, "segment %u begins with another state hash than the events before it give",
				 segment->number);
	}
}

/* The next event as it stands in the file: false at its end. */
static bool read_event(struct vl_upstream_reader *reader, struct vl_upstream_event *out)
{
	struct vl_upstream_entry entry;

	if (reader->kind == VALORI_UPSTREAM_WAL)
		return vl_upstream_wal_next(reader, out);
	while (vl_upstream_log_entry(reader, &entry)) {
		if (entry.kind == VL_UP_EVENT) {
			*out = entry.event;
			return true;
		}
		if (entry.kind == VL_UP_CHECKPOINT) {
			reader->report.checkpoints++;
			check_state(reader, &entry);
		}
	}
	return false;
}

static struct queued *queue_front(const struct vl_upstream_reader *reader)
{
	return reader->queue_first < reader->queue.count ? (struct queued *)reader->queue.data + reader->queue_first
							 : NULL;
}

static valori_code defer(struct vl_upstream_reader *reader, const struct vl_upstream_event *event, valori_error *error)
{
	struct queued *queued;

	if (reader->queue_first == reader->queue.count)
		reader->queue_first = reader->queue.count = 0;
	queued = vl_upstream_grow(reader->env, &reader->queue, sizeof(*queued));
	if (queued == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	*queued = (struct queued){*event, reader->place};
	return VALORI_OK;
}

/*
 * A batch overtakes single events that wait to be written: they were applied first, and stand behind it. What comes too
 * early therefore waits, and what comes behind it, too, unless it is what is waited for.
 */
static valori_code next_of_log(struct vl_upstream_reader *reader, valori_upstream_event *out, valori_error *error)
{
	for (;;) {
		struct queued *front = queue_front(reader);
		struct vl_upstream_event event;
		valori_code code;

		if (front != NULL && !reader->blind && vl_upstream_ahead(&reader->state, &front->event) <= 0) {
			reader->queue_first++;
			reader->report.reordered++;
			code = apply(reader, &front->event, &front->place, out, error);
			if (code != VALORI_END)
				return code;
			continue;
		}
		if (!read_event(reader, &event))
			break;
		if (reader->blind)
			continue;
		if (vl_upstream_ahead(&reader->state, &event) > 0 && reader->incomplete) {
			reader->blind = true;
			continue;
		}
		if (vl_upstream_ahead(&reader->state, &event) > 0 || (front != NULL && !event.has_id)) {
			code = defer(reader, &event, error);
			if (code != VALORI_OK)
				return code;
			continue;
		}
		code = apply(reader, &event, &reader->place, out, error);
		if (code != VALORI_END)
			return code;
	}
	/* What still waits for an event that is not there. */
	if (queue_front(reader) != NULL && !reader->blind && reader->report.verdict == VALORI_UPSTREAM_INTACT) {
		struct queued *front = queue_front(reader);
		valori_error why = {0};

		if (vl_upstream_apply(&reader->state, &front->event, &why) != VALORI_OK)
			refuse(reader, &front->place, why.message);
	}
	return VALORI_END;
}

static valori_code next_of_snapshot(struct vl_upstream_reader *reader, valori_upstream_event *out, valori_error *error)
{
	struct vl_upstream_event event;
	uint8_t flags;
	valori_code code = vl_upstream_snapshot_next(reader, &event, &flags, error);

	return code == VALORI_OK ? give(reader, &event, &reader->place, flags, out, error) : code;
}

valori_code vl_upstream_reader_next(struct vl_upstream_reader *reader, valori_upstream_event *out, valori_error *error)
{
	if (reader->ended && queue_front(reader) == NULL)
		return VALORI_END;
	if (reader->kind == VALORI_UPSTREAM_SNAPSHOT)
		return next_of_snapshot(reader, out, error);
	return next_of_log(reader, out, error);
}

void vl_upstream_reader_report(const struct vl_upstream_reader *reader, valori_upstream_report *out)
{
	struct vl_upstream_counts counts;

	*out = reader->report;
	out->size = sizeof(*out);
	if (out->verdict == VALORI_UPSTREAM_INTACT && reader->incomplete)
		out->verdict = VALORI_UPSTREAM_INCOMPLETE;
	else if (out->verdict == VALORI_UPSTREAM_INTACT && out->torn_size > 0)
		out->verdict = VALORI_UPSTREAM_TORN;
	out->state_known = !reader->blind && out->verdict != VALORI_UPSTREAM_UNREADABLE;
	out->state_version = reader->state.version;
	memcpy(out->chain_head.bytes, reader->head, VL_HASH_SIZE);
	vl_upstream_hash(&reader->state, out->state_hash.bytes);
	vl_upstream_count(&reader->state, &counts);
	out->record_slots = counts.record_slots;
	out->record_active = counts.record_active;
	out->record_soft_deleted = counts.record_soft_deleted;
	out->record_encrypted = counts.record_encrypted;
	out->record_shredded = counts.record_shredded;
	out->node_slots = counts.node_slots;
	out->node_live = counts.node_live;
	out->edge_slots = counts.edge_slots;
	out->edge_live = counts.edge_live;
}
