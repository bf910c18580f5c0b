/* forge.c - the tool of a forger. */
#include "forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commitment.h"
#include "host.h"
#include "log.h"
#include "state.h"

enum { HEADER = 4096, COMMIT = 64, ROOTS = 64 };

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("Bail out! forging: %s\n", what);
	exit(1);
}

/* ---- Bytes ---- */

static uint64_t get(const uint8_t *data, unsigned size)
{
	uint64_t value = 0;

	while (size-- > 0)
		value = value << 8 | data[size];
	return value;
}

static void put(uint8_t *data, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++, value >>= 8)
		data[i] = (uint8_t)value;
}

/* CRC-32C as its polynomial says. */
static uint32_t checksum(const uint8_t *data, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

/* ---- Apart ---- */

static void read_commit(struct forged_commit *commit, const uint8_t *data, size_t size)
{
	size_t at = COMMIT;

	commit->count = (unsigned)get(data + 40, 4);
	commit->request_count = (unsigned)get(data + 44, 4);
	commit->time_ms = get(data + 32, 8);
	must(commit->count <= FORGE_EVENTS && commit->request_count <= FORGE_REQUESTS, "a commit is too large");
	for (unsigned i = 0; i < commit->request_count; i++, at += 24)
		memcpy(commit->requests[i], data + at, 24);
	for (unsigned i = 0; i < commit->count; i++) {
		struct forged_event *event = &commit->events[i];

		event->size = (8 + (size_t)get(data + at, 4) + 7) / 8 * 8;
		must(event->size <= FORGE_EVENT, "an event is too large");
		memcpy(event->bytes, data + at, event->size);
		at += event->size;
	}
	must(at + ROOTS == size, "a commit has another size");
	memcpy(commit->events_root, data + at, 32);
	memcpy(commit->state_root, data + at + 32, 32);
}

void forge_read(struct forged *forged, const uint8_t *data, size_t size)
{
	size_t at = HEADER;

	if (forged->count == 0)
		memcpy(forged->header, data, HEADER);
	while (at + COMMIT <= size && memcmp(data + at, "VCMT", 4) == 0) {
		size_t length = COMMIT + (size_t)get(data + at + 8, 8);

		must(forged->count < FORGE_COMMITS, "too many commits");
		read_commit(&forged->commits[forged->count++], data + at, length);
		at += length;
	}
}

/* ---- Together ---- */

static uint8_t *join(const struct forged_commit *commit, uint64_t number, uint64_t first_event, size_t *size)
{
	uint8_t *data;
	size_t at = COMMIT;

	*size = COMMIT + (size_t)commit->request_count * 24 + ROOTS;
	for (unsigned i = 0; i < commit->count; i++)
		*size += commit->events[i].size;
	data = calloc(1, *size);
	must(data != NULL, "no memory");
	for (unsigned i = 0; i < commit->request_count; i++, at += 24)
		memcpy(data + at, commit->requests[i], 24);
	for (unsigned i = 0; i < commit->count; i++) {
		memcpy(data + at, commit->events[i].bytes, commit->events[i].size);
		at += commit->events[i].size;
	}
	memcpy(data + at, commit->events_root, 32);
	memcpy(data + at + 32, commit->state_root, 32);
	memcpy(data, "VCMT", 4);
	put(data + 8, 8, *size - COMMIT);
	put(data + 16, 8, number);
	put(data + 24, 8, first_event);
	put(data + 32, 8, commit->time_ms);
	put(data + 40, 4, commit->count);
	put(data + 44, 4, commit->request_count);
	put(data + 52, 4, checksum(data + COMMIT, *size - COMMIT));
	put(data + 4, 4, checksum(data + 8, COMMIT - 8));
	return data;
}

uint8_t *forge_write(const struct forged *forged, unsigned first, unsigned last, size_t *size, uint64_t *event)
{
	const struct vl_kernels *kernels = vl_host_env()->kernels;
	struct vl_position position;
	uint8_t *data = malloc(HEADER);

	must(data != NULL && vl_segment_header_decode(forged->header, "", kernels, &position, NULL) == VALORI_OK,
	     "the first header");
	*size = HEADER;
	for (unsigned i = 0; i < last; i++) {
		struct vl_commit parsed;
		size_t length;
		uint8_t *bytes = join(&forged->commits[i], position.frontier.size, position.height, &length);

		if (i == first) {
			*event = position.height;
			vl_segment_header_encode(&position, kernels, data);
		}
		must(vl_commit_decode(bytes, length, &position, kernels, &parsed, NULL) == VALORI_OK,
		     "what was forged is no commit");
		vl_position_advance(&position, &parsed, kernels);
		if (i >= first) {
			data = realloc(data, *size + length);
			must(data != NULL, "no memory");
			memcpy(data + *size, bytes, length);
			*size += length;
		}
		free(bytes);
	}
	return data;
}

/* ---- Roots ---- */

bool forge_compute(struct forged *forged, unsigned what)
{
	const struct vl_env *env = vl_host_env();
	uint32_t dim = (uint32_t)get(forged->header + 12, 4);
	uint8_t digests[FORGE_EVENTS][32];
	struct vl_commitment commitment;
	struct vl_state state;
	struct vl_pool *pool;
	struct vl_buf scratch;
	uint8_t root[32];
	bool ok = true;

	must(vl_pool_new(env, &pool, NULL) == VALORI_OK && vl_state_init(&state, pool, dim, 0, NULL) == VALORI_OK &&
		     vl_commitment_init(&commitment, pool, NULL) == VALORI_OK &&
		     vl_commitment_update(&commitment, &state, root, NULL) == VALORI_OK,
	     "no memory");
	vl_buf_init(&scratch, env);
	for (unsigned i = 0; i < forged->count && ok; i++) {
		struct forged_commit *commit = &forged->commits[i];

		vl_pool_begin(pool);
		vl_state_begin(&state);
		for (unsigned j = 0; j < commit->count && ok; j++) {
			struct vl_event event;
			size_t used;

			ok = vl_event_decode(env->kernels, commit->events[j].bytes, commit->events[j].size, dim, &event,
					     &used, NULL) == VALORI_OK &&
			     vl_event_hash_contents(env->kernels, &event, 1, dim, &scratch, NULL) == VALORI_OK &&
			     vl_event_digests(env->kernels, &event, 1, &scratch, digests[j], NULL) == VALORI_OK &&
			     (!(what & FORGE_STATE_ROOTS) || vl_state_apply(&state, &event, NULL) == VALORI_OK);
		}
		if (ok && (what & FORGE_EVENTS_ROOTS))
			vl_events_root(env->kernels, digests[0], commit->count, commit->events_root);
		if (ok && (what & FORGE_STATE_ROOTS))
			ok = vl_commitment_update(&commitment, &state, commit->state_root, NULL) == VALORI_OK;
		vl_state_commit(&state);
		vl_pool_commit(pool);
	}
	vl_buf_free(&scratch);
	vl_commitment_free(&commitment);
	vl_state_free(&state);
	vl_pool_free(pool);
	return ok;
}

/* ---- Changes ---- */

void forge_delete_event(struct forged_commit *commit, unsigned index)
{
	memmove(&commit->events[index], &commit->events[index + 1],
		(--commit->count - index) * sizeof(commit->events[0]));
}

void forge_insert_event(struct forged_commit *commit, unsigned index, const struct forged_event *event)
{
	const struct forged_event copy = *event;

	must(commit->count < FORGE_EVENTS, "too many events");
	memmove(&commit->events[index + 1], &commit->events[index],
		(commit->count++ - index) * sizeof(commit->events[0]));
	commit->events[index] = copy;
}

void forge_delete_commit(struct forged *forged, unsigned index)
{
	memmove(&forged->commits[index], &forged->commits[index + 1],
		(--forged->count - index) * sizeof(forged->commits[0]));
}

void forge_insert_commit(struct forged *forged, unsigned index, const struct forged_commit *commit)
{
	const struct forged_commit copy = *commit;

	must(forged->count < FORGE_COMMITS, "too many commits");
	memmove(&forged->commits[index + 1], &forged->commits[index],
		(forged->count++ - index) * sizeof(forged->commits[0]));
	forged->commits[index] = copy;
}
