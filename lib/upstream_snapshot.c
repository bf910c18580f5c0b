/* upstream_snapshot.c - the Rust system's snapshots: "VALK" versions 1 to 7, alone or in a container "VAL1". */
#include "upstream_private.h"

enum phase { RECORDS, NODES, EDGES, HEADS, META, DONE };

static bool cut(struct vl_upstream_reader *reader)
{
	vl_upstream_fault(reader, VALORI_UPSTREAM_UNREADABLE, &reader->place);
	vl_upstream_note(reader, "the file ends in the middle of it");
	return false;
}

static bool wrong(struct vl_upstream_reader *reader, const char *what)
{
	vl_upstream_fault(reader, VALORI_UPSTREAM_UNREADABLE, &reader->place);
	vl_upstream_note(reader, "%s", what);
	return false;
}

/* size bytes, or NULL: then the reading is over. */
static const uint8_t *take(struct vl_upstream_reader *reader, uint64_t size)
{
	const uint8_t *at = reader->segments[0].data + reader->offset;

	if (reader->ended || size > reader->segments[0].size - reader->offset) {
		if (!reader->ended)
			cut(reader);
		return NULL;
	}
	reader->offset += (size_t)size;
	return at;
}

static uint32_t take32(struct vl_upstream_reader *reader)
{
	const uint8_t *at = take(reader, 4);

	return at != NULL ? vl_get32(at) : 0;
}

static uint8_t take8(struct vl_upstream_reader *reader)
{
	const uint8_t *at = take(reader, 1);

	return at != NULL ? *at : 0;
}

static bool take_flag(struct vl_upstream_reader *reader)
{
	uint8_t flag = take8(reader);

	if (flag > 1 && !reader->ended)
		wrong(reader, "a flag that is neither 0 nor 1");
	return flag == 1;
}

static uint32_t take_option(struct vl_upstream_reader *reader)
{
	return take_flag(reader) ? take32(reader) : VL_UP_NIL;
}

/* Namespace and the links of its list, of which the hash knows nothing. */
static uint16_t take_namespace(struct vl_upstream_reader *reader)
{
	const uint8_t *at = reader->snap.schema >= 6 ? take(reader, 10) : NULL;
	uint16_t ns = at != NULL ? vl_get16(at) : 0;

	if (ns >= VL_UP_NAMESPACES)
		wrong(reader, "a namespace that cannot be");
	return ns;
}

valori_code vl_upstream_snapshot_begin(struct vl_upstream_reader *reader, valori_error *error)
{
	const struct vl_upstream_segment *file = &reader->segments[0];
	const uint8_t *at = file->data;
	size_t left = file->size;
	bool contained = left >= 8 && memcmp(at, "VAL1", 4) == 0;

	reader->offset = contained ? 8 : 0;
	if (left - reader->offset < 36 || memcmp(at + reader->offset, "VALK", 4) != 0)
		return vl_fail(error, VALORI_DAMAGED, "%s: no snapshot inside", file->name);
	at += reader->offset;
	reader->snap.schema = vl_get32(at + 4);
	if (reader->snap.schema > 7)
		return vl_fail(error, VALORI_NEWER, "%s: a snapshot of version %u; versions 1 to 7 are known",
			       file->name, reader->snap.schema);
	if (reader->snap.schema == 0)
		return vl_fail(error, VALORI_DAMAGED, "%s: a snapshot of version 0", file->name);
	reader->state.version = vl_get64(at + 8);
	reader->snap.dim = vl_get32(at + 20);
	reader->offset += 32;
	if (reader->snap.schema >= 5 && at[32] != 1)
		return vl_fail(error, VALORI_DAMAGED, "%s: numbers of format %u; 1, which is Q16.16, is known",
			       file->name, at[32]);
	reader->offset += reader->snap.schema >= 5;
	if (reader->snap.dim > 2 * VL_UP_DIM_MAX)
		return vl_fail(error, VALORI_DAMAGED, "%s: dimension %u", file->name, reader->snap.dim);
	reader->state.dim = reader->snap.dim;
	reader->state.has_dim = reader->snap.dim > 0;
	reader->report.version = reader->snap.schema;
	reader->report.dim = reader->snap.dim;
	reader->snap.phase = RECORDS;
	reader->snap.left = take32(reader);
	if (reader->snap.left > VL_UP_RECORDS_MAX)
		wrong(reader, "more records than a snapshot can hold");
	return VALORI_OK;
}

/* Nothing is kept of a part before all of it was seen. */
static bool take_record(struct vl_upstream_reader *reader, struct vl_upstream_event *event, uint8_t *flags)
{
	uint32_t slot = reader->snap.slot++;
	const uint8_t *tag;

	*event = (struct vl_upstream_event){.type = VL_UP_HOLE, .id = slot, .record = VL_UP_NIL};
	*flags = 0;
	if (!take_flag(reader))
		return !reader->ended;
	event->type = VL_UP_INSERT;
	event->vector_plain = true;
	if (take32(reader) != slot && !reader->ended)
		return wrong(reader, "a record in another's place");
	*flags = take8(reader);
	tag = reader->snap.schema >= 3 ? take(reader, 8) : NULL;
	event->tag = tag != NULL ? vl_get64(tag) : 0;
	event->dim = reader->snap.dim;
	event->vector_size = 4 * (size_t)event->dim;
	event->vector = take(reader, event->vector_size);
	if (reader->snap.schema >= 2)
		event->metadata_size = take32(reader);
	if (event->metadata_size > 0) {
		event->metadata = take(reader, event->metadata_size);
		event->has_metadata = true;
		reader->report.oversized += event->metadata_size > VL_UP_METADATA_MAX;
	}
	event->ns = take_namespace(reader);
	return !reader->ended;
}

/* Of a node or an edge: each is above the one before. */
static uint32_t take_id(struct vl_upstream_reader *reader)
{
	uint32_t id = take32(reader);

	if (!reader->ended && (id < reader->snap.slot || id == VL_UP_NIL))
		wrong(reader, "ids that do not ascend");
	reader->snap.slot = id + 1;
	return id;
}

static bool take_node(struct vl_upstream_reader *reader, struct vl_upstream_event *event, uint32_t *first_out)
{
	*event = (struct vl_upstream_event){.type = VL_UP_CREATE_NODE};
	event->id = take_id(reader);
	event->kind = take8(reader);
	event->record = take_option(reader);
	*first_out = take_option(reader);
	if (reader->snap.schema >= 4)
		take_option(reader);
	event->ns = take_namespace(reader);
	if (!reader->ended && event->kind > 6)
		return wrong(reader, "a node of a kind that cannot be");
	return !reader->ended;
}

static bool take_edge(struct vl_upstream_reader *reader, struct vl_upstream_event *event, uint32_t *next_out)
{
	*event = (struct vl_upstream_event){.type = VL_UP_CREATE_EDGE, .record = VL_UP_NIL};
	event->id = take_id(reader);
	event->kind = take8(reader);
	event->from = take32(reader);
	event->to = take32(reader);
	*next_out = take_option(reader);
	if (reader->snap.schema >= 4)
		take_option(reader);
	if (!reader->ended && event->kind > 8)
		return wrong(reader, "an edge of a kind that cannot be");
	if (!reader->ended &&
	    (!vl_upstream_has_node(&reader->state, event->from) || !vl_upstream_has_node(&reader->state, event->to)))
		return wrong(reader, "an edge with an end that is not there");
	return !reader->ended;
}

static bool take_heads(struct vl_upstream_reader *reader)
{
	const uint8_t *heads = reader->snap.schema >= 6 ? take(reader, 2 * 4 * VL_UP_NAMESPACES) : NULL;

	for (size_t i = 0; heads != NULL && i < VL_UP_NAMESPACES; i++) {
		uint32_t record = vl_get32(heads + 4 * i), node = vl_get32(heads + 4 * (VL_UP_NAMESPACES + i));

		if (record != VL_UP_NIL && record >= reader->snap.records)
			return wrong(reader, "a list that begins with a record that is not there");
		if (node != VL_UP_NIL && !vl_upstream_has_node(&reader->state, node))
			return wrong(reader, "a list that begins with a node that is not there");
	}
	return !reader->ended;
}

static bool take_meta(struct vl_upstream_reader *reader, struct vl_upstream_event *event)
{
	*event = (struct vl_upstream_event){.type = VL_UP_SET_META, .has_metadata = true, .record = VL_UP_NIL};
	event->key_size = take32(reader);
	event->key = take(reader, event->key_size);
	event->metadata_size = take32(reader);
	event->metadata = take(reader, event->metadata_size);
	if (!reader->ended && (!vl_upstream_is_text(event->key, event->key_size) ||
			       !vl_upstream_is_text(event->metadata, event->metadata_size)))
		return wrong(reader, "a text that is not UTF-8");
	reader->report.oversized += event->key_size > VL_UP_METADATA_MAX || event->metadata_size > VL_UP_METADATA_MAX;
	reader->report.meta_entries += !reader->ended;
	return !reader->ended;
}

/* In a container the other parts follow, which hold nothing that is in the log; their lengths must lead to the end. */
static void finish(struct vl_upstream_reader *reader)
{
	const struct vl_upstream_segment *file = &reader->segments[0];
	bool contained = memcmp(file->data, "VAL1", 4) == 0;
	/* Its length is written modulo 2^32. */
	bool agrees = !contained || vl_get32(file->data + 4) == (uint32_t)(reader->offset - 8);

	reader->place.offset = reader->offset;
	if (!agrees) {
		wrong(reader, "the container says another length of the part in it");
		return;
	}
	for (unsigned part = 0; contained && !reader->ended && (part < 2 || reader->offset < file->size); part++) {
		if (part >= 2 && take(reader, 4) == NULL)
			return;
		take(reader, take32(reader));
		reader->place.offset = reader->offset;
	}
	if (!reader->ended && reader->offset != file->size)
		wrong(reader, "bytes behind the end");
	reader->ended = true;
}

/* The number of things in the next part, each of which takes a byte or more. */
static void begin_phase(struct vl_upstream_reader *reader)
{
	static const uint32_t limits[] = {
		[NODES] = VL_UP_NODES_MAX, [EDGES] = VL_UP_EDGES_MAX, [META] = VL_UP_META_MAX};

	if (reader->snap.phase == RECORDS)
		reader->snap.records = reader->snap.slot;
	reader->snap.phase++;
	reader->snap.slot = 0;
	reader->place.offset = reader->offset;
	if (reader->snap.phase == HEADS) {
		take_heads(reader);
		reader->snap.phase++;
	}
	if (reader->snap.phase == META && reader->snap.schema < 7)
		reader->snap.phase++;
	if (reader->snap.phase >= DONE) {
		if (!reader->ended)
			finish(reader);
		return;
	}
	reader->snap.left = take32(reader);
	if (reader->snap.left > limits[reader->snap.phase])
		wrong(reader, "more than a snapshot can hold");
}

valori_code vl_upstream_snapshot_next(struct vl_upstream_reader *reader, struct vl_upstream_event *out,
				      uint8_t *out_flags, valori_error *error)
{
	uint32_t link = VL_UP_NIL;
	bool put = true;

	while (!reader->ended && reader->snap.left == 0)
		begin_phase(reader);
	if (reader->ended)
		return VALORI_END;
	reader->snap.left--;
	*out_flags = 0;
	reader->place = (struct vl_upstream_place){
		.path = reader->segments[0].name, .entry = reader->report.entries + 1, .offset = reader->offset};
	switch ((enum phase)reader->snap.phase) {
	case RECORDS:
		if (take_record(reader, out, out_flags))
			put = vl_upstream_put_record(&reader->state, out, *out_flags);
		break;
	case NODES:
		if (take_node(reader, out, &link))
			put = vl_upstream_put_node(&reader->state, out, link);
		break;
	case EDGES:
		if (take_edge(reader, out, &link))
			put = vl_upstream_put_edge(&reader->state, out, link);
		break;
	case META:
		take_meta(reader, out);
		break;
	case HEADS:
	case DONE:
		break;
	}
	if (!put)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	if (reader->ended)
		return VALORI_END;
	reader->report.entries++;
	return VALORI_OK;
}
