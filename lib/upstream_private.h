/* upstream_private.h - what the reader of the Rust system's files shares with its parts. */
#ifndef VL_UPSTREAM_PRIVATE_H
#define VL_UPSTREAM_PRIVATE_H

#include "buf.h"
#include "upstream.h"

struct vl_upstream_segment {
	const uint8_t *data, *before; /* before: chain head of the segment before; NULL: zeros */
	size_t size, header;
	const char *name;
	uint32_t version, dim, number;
};

/* Where an event stands. */
struct vl_upstream_place {
	const char *path;
	const uint8_t *request;
	uint64_t entry, offset, time_s;
};

struct vl_upstream_reader {
	const struct vl_env *env;
	uint32_t kind;
	struct vl_upstream_segment *segments; /* of a WAL or a snapshot there is one */
	size_t segments_count, segment, offset;
	uint8_t head[VL_HASH_SIZE];
	bool ended;
	bool blind;	 /* the state is lost: the chain alone is followed to its end */
	bool incomplete; /* segments are missing */
	struct vl_upstream_state state;
	struct vl_upstream_place last; /* of the entry before */
	struct vl_upstream_place place;
	struct vl_upstream_list queue; /* events that stand before those they follow */
	size_t queue_first;
	struct vl_buf vector;
	/* a snapshot, as far as it was read */
	struct {
		uint32_t schema, dim, phase, left;
		uint32_t slot;	  /* the least id that the next thing can have */
		uint32_t records; /* slots of records */
	} snap;
	valori_upstream_report report;
};

/* The first byte of this value; NULL: there is none. */
static inline const uint8_t *vl_upstream_find(const uint8_t *bytes, uint8_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] == value)
			return bytes + i;
	return NULL;
}

/* A string of theirs may hold NUL, which vl_is_utf8 does not like: it is asked about the pieces between. */
bool vl_upstream_is_text(const uint8_t *bytes, size_t size);

/* Adds a sentence to the report's. */
void vl_upstream_note(struct vl_upstream_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the reading with this verdict; the place of the fault is set where it is told better than here. */
void vl_upstream_fault(struct vl_upstream_reader *reader, valori_upstream_verdict verdict,
		       const struct vl_upstream_place *place);

/*
 * The next entry of a log whose chain holds: true, with reader->place. False: the log ends here, in whatever way the
 * report says.
 */
bool vl_upstream_log_entry(struct vl_upstream_reader *reader, struct vl_upstream_entry *out);
/* The same for events of a WAL. */
bool vl_upstream_wal_next(struct vl_upstream_reader *reader, struct vl_upstream_event *out);
/* The header of a snapshot: OK, DAMAGED, NEWER. */
valori_code vl_upstream_snapshot_begin(struct vl_upstream_reader *reader, valori_error *error);
/* The next part of it, put into the state: OK, END, NO_MEMORY. */
valori_code vl_upstream_snapshot_next(struct vl_upstream_reader *reader, struct vl_upstream_event *out,
				      uint8_t *out_flags, valori_error *error);

#endif
