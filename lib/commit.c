/* commit.c - the bytes of segment headers and commits, and the position that they move. */
#include "commit.h"

#include "crc32c.h"

#define SEGMENT_MAGIC "VALORIEV"
#define COMMIT_MAGIC "VCMT"

enum {
	AT_VERSION = 8,
	AT_DIM = 12,
	AT_ARITHMETIC = 16,
	AT_STATE_HASH = 20,
	AT_TREE_HASH = 24,
	AT_ZERO_1 = 28,
	AT_LOG_ID = 32,
	AT_PARENT_ID = 64,
	AT_PARENT_COMMITS = 96,
	AT_PARENT_ROOT = 104,
	AT_FIRST_COMMIT = 136,
	AT_FIRST_EVENT = 144,
	AT_TIME = 152,
	AT_STATE_ROOT = 160,
	AT_FRONTIER_COUNT = 192,
	AT_ZERO_2 = 196,
	AT_FRONTIER = 256,
	AT_ZERO_3 = 2304,
	AT_CRC = 4092
};

enum { EVENT_SIZE_MIN = 16 }; /* the shortest payload is one id */

_Static_assert(AT_FRONTIER + 64 * 32 == AT_ZERO_3, "the frontier has room for 64 roots");
_Static_assert(AT_CRC + 4 == VL_SEGMENT_HEADER, "the checksum ends the header");

void vl_segment_header_encode(const struct vl_position *position, const struct vl_kernels *kernels,
			      uint8_t out[VL_SEGMENT_HEADER])
{
	unsigned count = vl_frontier_count(position->frontier.size);

	memset(out, 0, VL_SEGMENT_HEADER);
	memcpy(out, SEGMENT_MAGIC, 8);
	vl_put32(out + AT_VERSION, VALORI_LOG_FORMAT);
	vl_put32(out + AT_DIM, position->dim);
	vl_put32(out + AT_ARITHMETIC, 1);
	vl_put32(out + AT_STATE_HASH, 1);
	vl_put32(out + AT_TREE_HASH, 1);
	memcpy(out + AT_LOG_ID, position->log_id, 32);
	memcpy(out + AT_PARENT_ID, position->parent_id, 32);
	vl_put64(out + AT_PARENT_COMMITS, position->parent_commits);
	memcpy(out + AT_PARENT_ROOT, position->parent_root, 32);
	vl_put64(out + AT_FIRST_COMMIT, position->frontier.size);
	vl_put64(out + AT_FIRST_EVENT, position->height);
	vl_put64(out + AT_TIME, position->time_ms);
	memcpy(out + AT_STATE_ROOT, position->state_root, 32);
	vl_put32(out + AT_FRONTIER_COUNT, count);
	memcpy(out + AT_FRONTIER, position->frontier.roots, (size_t)count * 32);
	vl_put32(out + AT_CRC, vl_crc32c(kernels, 0, out, AT_CRC));
}

static valori_code damaged(valori_error *error, const char *name, uint64_t offset, const char *fact)
{
	vl_fail(error, VALORI_DAMAGED, "%s: offset %llu: %s", name, (unsigned long long)offset, fact);
	if (error != NULL)
		error->offset = offset;
	return VALORI_DAMAGED;
}

static valori_code newer(valori_error *error, const char *name, const char *what, uint32_t found)
{
	return vl_fail(error, VALORI_NEWER, "%s: has %s %u, this is for %u", name, what, found, 1);
}

valori_code vl_segment_header_decode(const uint8_t data[VL_SEGMENT_HEADER], const char *name,
				     const struct vl_kernels *kernels, struct vl_position *out, valori_error *error)
{
	uint32_t count = vl_get32(data + AT_FRONTIER_COUNT);

	if (memcmp(data, SEGMENT_MAGIC, 8) != 0)
		return vl_fail(error, VALORI_NOT_OURS, "%s: is not an event log", name);
	/* Every version has its checksum here: what fails it is damage, whatever version it claims to be. */
	if (vl_get32(data + AT_CRC) != vl_crc32c(kernels, 0, data, AT_CRC))
		return damaged(error, name, 0, "checksum of the segment header differs");
	if (vl_get32(data + AT_VERSION) > VALORI_LOG_FORMAT)
		return newer(error, name, "format version", vl_get32(data + AT_VERSION));
	if (vl_get32(data + AT_VERSION) == 0)
		return damaged(error, name, AT_VERSION, "there is no format version 0");
	if (vl_get32(data + AT_ARITHMETIC) != 1)
		return newer(error, name, "arithmetic", vl_get32(data + AT_ARITHMETIC));
	if (vl_get32(data + AT_STATE_HASH) != 1)
		return newer(error, name, "state hash", vl_get32(data + AT_STATE_HASH));
	if (vl_get32(data + AT_TREE_HASH) != 1)
		return newer(error, name, "tree hash", vl_get32(data + AT_TREE_HASH));
	if (vl_get32(data + AT_DIM) == 0 || vl_get32(data + AT_DIM) > VALORI_DIM_MAX)
		return damaged(error, name, AT_DIM, "the dimension is out of range");
	if (count != vl_frontier_count(vl_get64(data + AT_FIRST_COMMIT)))
		return damaged(error, name, AT_FRONTIER_COUNT, "the frontier does not fit the number of commits");
	if (!vl_is_zero(data + AT_ZERO_1, AT_LOG_ID - AT_ZERO_1))
		return damaged(error, name, AT_ZERO_1, "unused bytes are not zero");
	if (!vl_is_zero(data + AT_ZERO_2, AT_FRONTIER - AT_ZERO_2))
		return damaged(error, name, AT_ZERO_2, "unused bytes are not zero");
	if (!vl_is_zero(data + AT_FRONTIER + (size_t)count * 32, AT_CRC - AT_FRONTIER - (size_t)count * 32))
		return damaged(error, name, AT_FRONTIER + (uint64_t)count * 32, "unused bytes are not zero");

	memset(out, 0, sizeof(*out));
	out->dim = vl_get32(data + AT_DIM);
	memcpy(out->log_id, data + AT_LOG_ID, 32);
	memcpy(out->parent_id, data + AT_PARENT_ID, 32);
	out->parent_commits = vl_get64(data + AT_PARENT_COMMITS);
	memcpy(out->parent_root, data + AT_PARENT_ROOT, 32);
	out->height = vl_get64(data + AT_FIRST_EVENT);
	out->time_ms = vl_get64(data + AT_TIME);
	memcpy(out->state_root, data + AT_STATE_ROOT, 32);
	out->frontier.size = vl_get64(data + AT_FIRST_COMMIT);
	memcpy(out->frontier.roots, data + AT_FRONTIER, (size_t)count * 32);
	return VALORI_OK;
}

static valori_code broken(valori_error *error, const char *fact)
{
	vl_fail(error, VALORI_DAMAGED, "%s", fact);
	if (error != NULL)
		error->offset = 0;
	return VALORI_DAMAGED;
}

static bool crc_matches(const uint8_t *data, const struct vl_kernels *kernels)
{
	return vl_get32(data + 4) == vl_crc32c(kernels, 0, data + 8, VL_COMMIT_HEADER - 8);
}

/* Can a body of this length hold these counts? */
static bool counts_fit(uint64_t length, uint32_t event_count, uint32_t request_count)
{
	if (length % 8 != 0 || length > VL_COMMIT_SIZE_MAX)
		return false;
	if (event_count == 0 || event_count > VL_COMMIT_EVENTS_MAX || request_count > event_count)
		return false;
	return length >=
	       VL_COMMIT_TRAILER + (uint64_t)request_count * VL_REQUEST_ENTRY + (uint64_t)event_count * EVENT_SIZE_MIN;
}

bool vl_commit_header_plausible(const uint8_t data[VL_COMMIT_HEADER], uint64_t number, const struct vl_kernels *kernels)
{
	return memcmp(data, COMMIT_MAGIC, 4) == 0 && vl_get64(data + 16) >= number && crc_matches(data, kernels) &&
	       counts_fit(vl_get64(data + 8), vl_get32(data + 40), vl_get32(data + 44));
}

valori_code vl_commit_header_decode(const uint8_t data[VL_COMMIT_HEADER], const struct vl_position *position,
				    const struct vl_kernels *kernels, struct vl_commit *out, valori_error *error)
{
	uint64_t length = vl_get64(data + 8);

	if (memcmp(data, COMMIT_MAGIC, 4) != 0)
		return broken(
			error,
			memcmp(data, SEGMENT_MAGIC, 8) == 0
				? "another segment begins here, where a commit should: these are files put together"
				: "there is no commit here");
	if (!crc_matches(data, kernels))
		return broken(error, "checksum of the commit's header differs");
	memset(out, 0, sizeof(*out));
	out->number = vl_get64(data + 16);
	out->first_event = vl_get64(data + 24);
	out->time_ms = vl_get64(data + 32);
	out->event_count = vl_get32(data + 40);
	out->request_count = vl_get32(data + 44);
	out->flags = vl_get32(data + 48);
	if (out->flags != 0)
		return vl_fail(error, VALORI_NEWER, "the commit has flags %x, which this format version does not know",
			       out->flags);
	if (!counts_fit(length, out->event_count, out->request_count))
		return broken(error, "the commit's counts do not fit its length");
	if (!vl_is_zero(data + 56, 8))
		return broken(error, "unused bytes of the commit's header are not zero");
	if (out->number != position->frontier.size) {
		vl_fail(error, VALORI_DAMAGED, "commit %llu stands where commit %llu should",
			(unsigned long long)out->number, (unsigned long long)position->frontier.size);
		if (error != NULL)
			error->offset = 0;
		return VALORI_DAMAGED;
	}
	if (out->first_event != position->height || out->first_event > UINT64_MAX - 1 - out->event_count)
		return broken(error, "the commit's events are not numbered as the next ones");
	if (out->time_ms < position->time_ms)
		return broken(error, "the commit is older than the one before it");
	out->size = VL_COMMIT_HEADER + length;
	return VALORI_OK;
}

void vl_commit_point(struct vl_commit *commit, const uint8_t *data)
{
	commit->bytes = data;
	commit->requests = data + VL_COMMIT_HEADER;
	commit->events = commit->requests + (size_t)commit->request_count * VL_REQUEST_ENTRY;
	commit->events_root = data + commit->size - VL_COMMIT_TRAILER;
	commit->state_root = commit->events_root + 32;
	commit->events_size = (uint64_t)(commit->events_root - commit->events);
}

static bool requests_are_sound(const struct vl_commit *commit)
{
	uint64_t least = 0;

	for (uint32_t i = 0; i < commit->request_count; i++) {
		const uint8_t *entry = commit->requests + (size_t)i * VL_REQUEST_ENTRY;
		uint32_t index = vl_get32(entry);

		if (index < least || index >= commit->event_count || vl_get32(entry + 4) != 0)
			return false;
		least = (uint64_t)index + 1;
	}
	return true;
}

valori_code vl_commit_decode(const uint8_t *data, uint64_t size, const struct vl_position *position,
			     const struct vl_kernels *kernels, struct vl_commit *out, valori_error *error)
{
	valori_code code;

	if (size < VL_COMMIT_HEADER)
		return broken(error, "ends inside the header of a commit");
	code = vl_commit_header_decode(data, position, kernels, out, error);
	if (code != VALORI_OK)
		return code;
	if (size < out->size)
		return broken(error, "ends inside a commit");
	vl_commit_point(out, data);
	if (vl_get32(data + 52) != vl_crc32c(kernels, 0, data + VL_COMMIT_HEADER, (size_t)out->size - VL_COMMIT_HEADER))
		return broken(error, "checksum of the commit's body differs");
	if (!requests_are_sound(out))
		return broken(error, "the commit's request table is out of order");
	return VALORI_OK;
}

void vl_commit_leaf(const struct vl_commit *commit, const uint8_t log_id[32], const struct vl_kernels *kernels,
		    uint8_t out[32])
{
	/* BLAKE3 of nothing: most commits have no requests, and this is on the way of every one. */
	static const uint8_t no_requests[32] = {0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d,
						0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1,
						0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62};
	uint8_t data[161];

	data[0] = 0; /* RFC 6962: a leaf, not a node */
	memcpy(data + 1, log_id, 32);
	vl_put64(data + 33, commit->number);
	vl_put64(data + 41, commit->first_event);
	vl_put32(data + 49, commit->event_count);
	vl_put32(data + 53, commit->flags);
	vl_put64(data + 57, commit->time_ms);
	if (commit->request_count == 0)
		memcpy(data + 65, no_requests, 32);
	else
		vl_blake3(kernels, VL_HASH_PLAIN, commit->requests,
			  (size_t)commit->request_count * VL_REQUEST_ENTRY, data + 65);
	memcpy(data + 97, commit->events_root, 32);
	memcpy(data + 129, commit->state_root, 32);
	vl_sha256(kernels, data, sizeof(data), out);
}

void vl_position_advance(struct vl_position *position, const struct vl_commit *commit, const struct vl_kernels *kernels)
{
	uint8_t leaf[32];

	vl_commit_leaf(commit, position->log_id, kernels, leaf);
	vl_frontier_append(&position->frontier, kernels, leaf);
	position->height = commit->first_event + commit->event_count;
	position->time_ms = commit->time_ms;
	memcpy(position->state_root, commit->state_root, 32);
}

void vl_commit_finish(uint8_t *data, uint64_t size, const struct vl_position *position, uint64_t time_ms,
		      uint32_t event_count, uint32_t request_count, const struct vl_kernels *kernels)
{
	uint64_t length = size - VL_COMMIT_HEADER;

	memset(data, 0, VL_COMMIT_HEADER);
	memcpy(data, COMMIT_MAGIC, 4);
	vl_put64(data + 8, length);
	vl_put64(data + 16, position->frontier.size);
	vl_put64(data + 24, position->height);
	vl_put64(data + 32, time_ms);
	vl_put32(data + 40, event_count);
	vl_put32(data + 44, request_count);
	vl_put32(data + 52, vl_crc32c(kernels, 0, data + VL_COMMIT_HEADER, (size_t)length));
	vl_put32(data + 4, vl_crc32c(kernels, 0, data + 8, VL_COMMIT_HEADER - 8));
}

const char *vl_position_difference(const struct vl_position *a, const struct vl_position *b)
{
	if (a->dim != b->dim)
		return "dimension";
	if (memcmp(a->log_id, b->log_id, 32) != 0)
		return "log id";
	if (memcmp(a->parent_id, b->parent_id, 32) != 0 || a->parent_commits != b->parent_commits ||
	    memcmp(a->parent_root, b->parent_root, 32) != 0)
		return "parent log";
	if (a->height != b->height)
		return "first event";
	if (a->frontier.size != b->frontier.size)
		return "first commit";
	if (a->time_ms != b->time_ms)
		return "time";
	if (memcmp(a->state_root, b->state_root, 32) != 0)
		return "state root";
	if (memcmp(a->frontier.roots, b->frontier.roots, (size_t)vl_frontier_count(a->frontier.size) * 32) != 0)
		return "log tree";
	return NULL;
}
