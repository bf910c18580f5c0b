/*
 * generate.c - makes a commit stream of events of every kind: a segment header and commits, always the same bytes.
 *
 *   generate DIM EVENTS FILE [STOP]
 *
 * Clock and log id are fixed. A commit ends at a tenth of the events, so that small machines can stop there. With STOP
 * it ends there instead, and the stream is one for indexes: most events are inserts, in between for a while deletes, so
 * that there is a graph and it is repaired; and the configuration changes rarely, for then they begin anew. What the
 * stream must come to lies in `expected`: to change a byte here is to change that file, and nothing else may.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/sample.h"
#include "answers.h"
#include "host.h"

enum { SALTED_IN = 5, KEYS = 4000, META_KEYS = 300, COLLECTIONS = 7, TRIES_MAX = 1000000, UPSERT_MAX = 100 };
enum { KIND_DELETE = 540 }; /* see make_event */

struct generator {
	struct sample sample;
	uint64_t seed;
	uint32_t dim;
	uint64_t stop; /* of a stream for indexes, else 0 */
	uint64_t made[VL_EVENT_TYPES];
	uint8_t vector[4 * VALORI_DIM_MAX], salt[VL_SALT_SIZE], key[VALORI_KEY_MAX], metadata[VALORI_METADATA_MAX];
};

static void fail(const char *what)
{
	fprintf(stderr, "generate: %s\n", what);
	exit(1);
}

static uint64_t below(struct generator *generator, uint64_t limit)
{
	return limit == 0 ? 0 : matrix_random(&generator->seed) % limit;
}

static uint64_t any(struct generator *generator, enum vl_list list)
{
	return below(generator, vl_state_slots(&generator->sample.state, list));
}

/* Live slots are many, dead ones answer "not found" and are tried again with another number. */
static bool put(struct generator *generator, struct vl_event *event)
{
	if (!sample_apply(&generator->sample, event))
		return false;
	generator->made[event->type]++;
	return true;
}

/* Of every length; of one, two and three bytes a character. */
static void fill_key(struct generator *generator, struct vl_event *event, uint64_t keys)
{
	static const char *const letters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "k", "-"};
	uint64_t number = below(generator, keys);
	size_t size = 0, length = number % 50 == 0 ? 240 : 1 + number % 23;

	for (uint64_t rest = number; rest > 0 || size == 0; rest /= 10)
		generator->key[size++] = (uint8_t)('0' + rest % 10);
	for (size_t i = 0; size < length; i++)
		for (const char *letter = letters[(number + i) % 5]; *letter != '\0'; letter++)
			generator->key[size++] = (uint8_t)*letter;
	event->key = generator->key;
	event->key_size = (uint32_t)size;
}

static void fill_metadata(struct generator *generator, struct vl_event *event)
{
	uint64_t kind = below(generator, 1000);
	size_t size = kind < 50	   ? 0
		      : kind < 930 ? (size_t)below(generator, 90)
		      : kind < 996 ? (size_t)below(generator, 1500)
		      : kind < 999 ? (size_t)below(generator, 5000)
				   : 65536 - (size_t)below(generator, 3);

	for (size_t i = 0; i < size; i += 8) {
		uint8_t bytes[8];

		vl_put64(bytes, matrix_random(&generator->seed));
		memcpy(generator->metadata + i, bytes, size - i < 8 ? size - i : 8);
	}
	event->metadata = generator->metadata;
	event->metadata_size = (uint32_t)size;
}

static void fill_salt(struct generator *generator, struct vl_event *event)
{
	if (below(generator, SALTED_IN) != 0)
		return;
	vl_put64(generator->salt, matrix_random(&generator->seed));
	vl_put64(generator->salt + 8, matrix_random(&generator->seed));
	event->flags = VL_EVENT_SALTED;
	event->salt = generator->salt;
}

static uint16_t any_collection(struct generator *generator)
{
	return (uint16_t)(below(generator, 10) < 6 ? 0 : any(generator, VL_COLLECTIONS));
}

static uint64_t any_tag(struct generator *generator)
{
	return below(generator, 20) == 0 ? matrix_random(&generator->seed) : below(generator, 5);
}

static bool insert(struct generator *generator, struct vl_event *event)
{
	const struct vl_state *state = &generator->sample.state;

	event->id = vl_state_slots(state, VL_RECORDS);
	event->collection = any_collection(generator);
	event->tag = any_tag(generator);
	matrix_vector(&generator->seed, generator->dim, generator->vector);
	event->vector = generator->vector;
	if (below(generator, 2) == 0)
		fill_key(generator, event, KEYS);
	if (below(generator, 5) < 3)
		fill_metadata(generator, event);
	fill_salt(generator, event);
	return put(generator, event);
}

/* As the engine does it: the old record goes, the new one comes, its nodes follow. */
static bool upsert(struct generator *generator)
{
	const struct vl_state *state = &generator->sample.state;
	struct vl_record record;
	struct vl_event drop = {.type = VALORI_EVENT_DELETE, .metadata_size = VL_ABSENT, .record = VALORI_NONE};
	struct vl_event make = {.type = VALORI_EVENT_INSERT, .metadata_size = VL_ABSENT, .record = VALORI_NONE};
	uint64_t old = any(generator, VL_RECORDS), node = VALORI_NONE;

	if (!vl_record_get(state, old, &record) || !record.visible || record.key_size == 0)
		return false;
	memcpy(generator->key, record.key, record.key_size);
	drop.id = old;
	make.id = vl_state_slots(state, VL_RECORDS);
	make.key = generator->key;
	make.key_size = record.key_size;
	make.collection = record.collection;
	make.tag = any_tag(generator);
	matrix_vector(&generator->seed, generator->dim, generator->vector);
	make.vector = generator->vector;
	fill_metadata(generator, &make);
	if (!put(generator, &drop) || !put(generator, &make))
		fail("an upsert was refused half way");
	while (vl_record_node_next(state, old, &node)) {
		struct vl_event move = {.type = VALORI_EVENT_NODE_SET_RECORD,
					.id = node,
					.record = make.id,
					.metadata_size = VL_ABSENT};

		if (!put(generator, &move))
			fail("a node could not follow");
		node = VALORI_NONE;
	}
	return true;
}

static bool set_meta(struct generator *generator, struct vl_event *event)
{
	const struct vl_state *state = &generator->sample.state;
	uint8_t k[VL_HASH_SIZE];

	fill_key(generator, event, META_KEYS);
	fill_metadata(generator, event);
	vl_blake3(state->env->kernels, VL_HASH_KEY, event->key, event->key_size, k);
	event->id = vl_meta_find(state, event->key, event->key_size, k);
	if (event->id == VALORI_NONE)
		event->id = vl_state_slots(state, VL_META);
	return put(generator, event);
}

static bool make_collection(struct generator *generator, struct vl_event *event)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	event->id = vl_state_slots(&generator->sample.state, VL_COLLECTIONS);
	event->key_size = (uint32_t)(1 + below(generator, VALORI_NAME_MAX));
	for (uint32_t i = 0; i < event->key_size; i++)
		generator->key[i] = (uint8_t)letters[below(generator, 64)];
	event->key = generator->key;
	return put(generator, event);
}

/* Where in a tide of a stream for indexes: hundredths. */
static uint64_t place(const struct generator *generator)
{
	return generator->sample.state.totals.height % generator->stop * 100 / generator->stop;
}

/* Small numbers: graphs of many links take long. */
static bool configure_index(struct generator *generator, struct vl_event *event)
{
	static const uint32_t least[] = {4, 20, 20, 1, 1024, 0, 0}, range[] = {8, 40, 100, 8, 400, 50, 9};
	uint64_t which = below(generator, 7);

	/* Not from the ebb on: it shall find a graph. */
	if (place(generator) >= 40 || below(generator, 4) != 0)
		return false;
	event->parameter = (uint32_t)(VL_PARAM_HNSW_M + which);
	event->tag = least[which] + below(generator, range[which]);
	return put(generator, event);
}

static bool configure(struct generator *generator, struct vl_event *event)
{
	static const uint32_t least[] = {0, 0, 2, 1, 1, 1, 1024, 0, 0, 0}, range[] = {0, 4, 63, 400, 400, 8, 4000, 99, 9, 3};

	event->parameter = (uint32_t)(1 + below(generator, 9));
	event->tag = least[event->parameter] + below(generator, range[event->parameter]);
	return put(generator, event);
}

/* Of a stream for indexes three in four are inserts, and at low tide deletes. */
static uint64_t tide(struct generator *generator, uint64_t kind)
{
	uint64_t at = place(generator);

	return below(generator, 4) == 0 ? kind : at >= 50 && at < 84 ? KIND_DELETE : 0;
}

/* One event, or the few of an upsert where there is room for them. False: nothing. */
static bool make_event(struct generator *generator, uint64_t room)
{
	uint64_t kind = below(generator, 1000);
	struct sample *sample = &generator->sample;
	struct vl_event event = {.metadata_size = VL_ABSENT, .record = VALORI_NONE, .from = VALORI_NONE, .to = VALORI_NONE};

	if (generator->stop > 0)
		kind = tide(generator, kind);
	if (vl_state_slots(&sample->state, VL_COLLECTIONS) < COLLECTIONS && sample->state.totals.height % 5 == 4) {
		event.type = VALORI_EVENT_COLLECTION_CREATE;
		return make_collection(generator, &event);
	}
	if (kind < 450) {
		event.type = VALORI_EVENT_INSERT;
		return insert(generator, &event);
	}
	if (kind < 490)
		return room >= UPSERT_MAX && upsert(generator);
	if (kind < 540) {
		event.type = VALORI_EVENT_SOFT_DELETE;
		event.id = any(generator, VL_RECORDS);
	} else if (kind < 580) { /* from KIND_DELETE on */
		event.type = VALORI_EVENT_DELETE;
		event.id = any(generator, VL_RECORDS);
	} else if (kind < 630) {
		event.type = VALORI_EVENT_SET_METADATA;
		event.id = any(generator, VL_RECORDS);
		if (below(generator, 4) != 0) {
			fill_metadata(generator, &event);
			fill_salt(generator, &event);
		}
	} else if (kind < 670) {
		event.type = VALORI_EVENT_SET_TAG;
		event.id = any(generator, VL_RECORDS);
		event.tag = any_tag(generator);
	} else if (kind < 760) {
		event.type = VALORI_EVENT_NODE_CREATE;
		event.id = vl_state_slots(&sample->state, VL_NODES);
		event.kind = (uint8_t)below(generator, 256);
		event.record = below(generator, 3) == 0 ? VALORI_NONE : any(generator, VL_RECORDS);
		event.collection = any_collection(generator);
	} else if (kind < 780) {
		event.type = VALORI_EVENT_NODE_SET_RECORD;
		event.id = any(generator, VL_NODES);
		event.record = below(generator, 3) == 0 ? VALORI_NONE : any(generator, VL_RECORDS);
	} else if (kind < 790) {
		event.type = VALORI_EVENT_NODE_DELETE;
		event.id = any(generator, VL_NODES);
	} else if (kind < 900) {
		event.type = VALORI_EVENT_EDGE_CREATE;
		event.id = vl_state_slots(&sample->state, VL_EDGES);
		event.from = any(generator, VL_NODES);
		event.to = any(generator, VL_NODES);
		event.kind = (uint8_t)below(generator, 256);
	} else if (kind < 920) {
		event.type = VALORI_EVENT_EDGE_DELETE;
		event.id = any(generator, VL_EDGES);
	} else if (kind < 970) {
		event.type = VALORI_EVENT_META_SET;
		return set_meta(generator, &event);
	} else if (kind < 985) {
		event.type = VALORI_EVENT_META_DELETE;
		event.id = any(generator, VL_META);
	} else if (kind < 986) {
		/* The last few collections come and go; those that are searched stay. */
		uint64_t slots = vl_state_slots(&sample->state, VL_COLLECTIONS);

		event.type = VALORI_EVENT_COLLECTION_DROP;
		event.id = slots - 1;
		if (slots < COLLECTIONS || room < 2 || !put(generator, &event))
			return false;
		event = (struct vl_event){.type = VALORI_EVENT_COLLECTION_CREATE, .metadata_size = VL_ABSENT};
		return make_collection(generator, &event);
	} else {
		event.type = VALORI_EVENT_CONFIG;
		return generator->stop > 0 ? configure_index(generator, &event) : configure(generator, &event);
	}
	return put(generator, &event);
}

static void add_request(struct generator *generator, uint64_t object)
{
	uint8_t id[VL_REQUEST_ID];

	vl_put64(id, matrix_random(&generator->seed));
	vl_put64(id + 8, matrix_random(&generator->seed));
	sample_request(&generator->sample, id, object);
}

/* What the last event made or touched is what stands in its first eight bytes. */
static uint64_t last_object(const struct sample *sample, size_t start, uint8_t type)
{
	return type == VALORI_EVENT_CONFIG ? 0 : vl_get64(sample->events.data + start + VL_EVENT_HEADER);
}

/* Events in the next commit: single ones, a few, hundreds, thousands. */
static uint64_t commit_length(struct generator *generator)
{
	uint64_t kind = below(generator, 100);

	return kind < 40   ? 1
	       : kind < 80 ? 2 + below(generator, 20)
	       : kind < 98 ? 30 + below(generator, 200)
			   : 400 + below(generator, 2500);
}

static void make_commit(struct generator *generator, uint64_t limit)
{
	struct sample *sample = &generator->sample;
	uint64_t end = sample->state.totals.height + commit_length(generator);

	end = end < limit ? end : limit;
	sample_begin(sample);
	for (unsigned tries = 0; sample->state.totals.height < end; tries++) {
		size_t start = sample->events.size;
		uint64_t before = sample->state.totals.height;

		if (tries == TRIES_MAX)
			fail("nothing can be done any more");
		if (!make_event(generator, limit - before))
			continue;
		if (sample->state.totals.height == before + 1 && below(generator, 3) == 0)
			add_request(generator, last_object(sample, start, sample->events.data[start + 4]));
	}
	sample_commit(sample);
}

static void append(void *context, const uint8_t *bytes, uint64_t size, const struct vl_position *position)
{
	(void)position;
	if (fwrite(bytes, 1, (size_t)size, context) != size)
		fail("the stream cannot be written");
}

int main(int argc, char **argv)
{
	static struct generator generator;
	uint8_t header[VL_SEGMENT_HEADER];
	uint64_t events, stop;
	FILE *file;

	if (argc != 4 && argc != 5) {
		fputs("usage: generate DIM EVENTS FILE [STOP]\n", stderr);
		return 2;
	}
	generator.dim = (uint32_t)strtoul(argv[1], NULL, 10);
	generator.seed = generator.dim;
	events = strtoull(argv[2], NULL, 10);
	generator.stop = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;
	stop = generator.stop > 0 ? generator.stop : events / 10;
	file = fopen(argv[3], "wb");
	if (file == NULL)
		fail("the file cannot be made");
	sample_init(&generator.sample, vl_host_env(), generator.dim, generator.dim);
	generator.sample.position.time_ms = UINT64_C(1700000000000);
	vl_segment_header_encode(&generator.sample.position, vl_host_env()->kernels, header);
	append(file, header, sizeof(header), &generator.sample.position);
	generator.sample.append = append;
	generator.sample.context = file;
	while (generator.sample.state.totals.height < stop)
		make_commit(&generator, stop);
	while (generator.sample.state.totals.height < events)
		make_commit(&generator, events);
	for (uint8_t type = 1; type < VL_EVENT_TYPES; type++) {
		printf("%s %llu\n", vl_event_type_name(type), (unsigned long long)generator.made[type]);
		if (generator.made[type] == 0 && events >= 10000)
			fail("a kind of event is not there");
	}
	sample_free(&generator.sample);
	if (fclose(file) != 0)
		fail("the stream cannot be written");
	return 0;
}
