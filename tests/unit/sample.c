/* sample.c - a state with a history. */
#include "sample.h"

#include "bytes.h"
#include "check.h"

enum { BLOB = 70000 };

static uint8_t vector[4 * 4096], salt[VL_SALT_SIZE], key[VALORI_KEY_MAX], blob[BLOB];

static void must(valori_code code, const char *what)
{
	if (code == VALORI_OK)
		return;
	printf("Bail out! %s: %d\n", what, (int)code);
	exit(1);
}

void sample_init(struct sample *sample, const struct vl_env *env, uint32_t dim, uint64_t seed)
{
	memset(sample, 0, sizeof(*sample));
	sample->env = env;
	sample->seed = seed;
	for (int i = 0; i < 32; i += 8)
		vl_put64(sample->position.log_id + i, check_random(&seed));
	sample->position.dim = dim;
	vl_buf_init(&sample->events, env);
	vl_buf_init(&sample->digests, env);
	vl_buf_init(&sample->table, env);
	must(vl_pool_new(env, &sample->pool, NULL), "pool");
	must(vl_state_init(&sample->state, sample->pool, dim, 0, NULL), "state");
	must(vl_commitment_init(&sample->commitment, sample->pool, NULL), "commitment");
	must(vl_requests_init(&sample->requests, sample->pool, NULL), "requests");
	must(vl_commitment_update(&sample->commitment, &sample->state, sample->position.state_root, NULL),
	     "root");
}

void sample_free(struct sample *sample)
{
	vl_buf_free(&sample->events);
	vl_buf_free(&sample->digests);
	vl_buf_free(&sample->table);
	vl_requests_free(&sample->requests);
	vl_commitment_free(&sample->commitment);
	vl_state_free(&sample->state);
	vl_pool_free(sample->pool);
}

void sample_begin(struct sample *sample)
{
	vl_pool_begin(sample->pool);
	vl_state_begin(&sample->state);
	vl_requests_begin(&sample->requests);
	vl_buf_clear(&sample->events);
	vl_buf_clear(&sample->digests);
	vl_buf_clear(&sample->table);
	sample->event_count = sample->request_count = 0;
}

/* The commit as a log has it, and the position that follows from it. */
static void make_commit(struct sample *sample, const uint8_t state_root[VL_HASH_SIZE])
{
	const struct vl_kernels *kernels = sample->env->kernels;
	struct vl_commit commit;
	struct vl_buf bytes;
	uint8_t *roots;

	vl_buf_init(&bytes, sample->env);
	vl_buf_zero(&bytes, VL_COMMIT_HEADER);
	vl_buf_put(&bytes, sample->table.data, sample->table.size);
	vl_buf_put(&bytes, sample->events.data, sample->events.size);
	roots = vl_buf_extend(&bytes, VL_COMMIT_TRAILER);
	must(roots != NULL ? VALORI_OK : VALORI_NO_MEMORY, "commit");
	vl_events_root(kernels, sample->digests.data, sample->event_count, roots);
	memcpy(roots + VL_HASH_SIZE, state_root, VL_HASH_SIZE);
	vl_commit_finish(bytes.data, bytes.size, &sample->position, sample->position.time_ms + 1000,
			 sample->event_count, sample->request_count, kernels);
	must(vl_commit_decode(bytes.data, bytes.size, &sample->position, kernels, &commit, NULL), "commit");
	vl_position_advance(&sample->position, &commit, kernels);
	if (sample->append != NULL)
		sample->append(sample->context, bytes.data, bytes.size, &sample->position);
	vl_buf_free(&bytes);
}

void sample_commit(struct sample *sample)
{
	uint8_t root[VL_HASH_SIZE];

	if (sample->event_count == 0) {
		sample_abort(sample);
		return;
	}
	must(vl_commitment_update(&sample->commitment, &sample->state, root, NULL), "root");
	vl_state_commit(&sample->state);
	vl_pool_commit(sample->pool);
	make_commit(sample, root);
}

void sample_abort(struct sample *sample)
{
	vl_pool_abort(sample->pool);
	vl_state_abort(&sample->state);
	vl_requests_abort(&sample->requests);
	vl_state_clean(&sample->state);
}

bool sample_apply(struct sample *sample, struct vl_event *event)
{
	const struct vl_kernels *kernels = sample->env->kernels;
	struct vl_buf scratch;
	valori_code code;
	uint8_t *digest;

	vl_buf_init(&scratch, sample->env);
	must(vl_event_hash_contents(kernels, event, 1, sample->state.dim, &scratch, NULL), "hash");
	code = vl_state_apply(&sample->state, event, NULL);
	if (code == VALORI_NO_MEMORY)
		must(code, "apply");
	if (code == VALORI_OK) {
		vl_event_encode(event, sample->state.dim, &sample->events);
		digest = vl_buf_extend(&sample->digests, VL_HASH_SIZE);
		must(digest != NULL ? VALORI_OK : VALORI_NO_MEMORY, "digest");
		must(vl_event_digests(kernels, event, 1, &scratch, digest, NULL), "digest");
		sample->event_count++;
	}
	vl_buf_free(&scratch);
	sample->refused += code != VALORI_OK;
	return code == VALORI_OK;
}

void sample_request(struct sample *sample, const uint8_t id[VL_REQUEST_ID], uint64_t object)
{
	struct vl_request request = {.event = sample->state.totals.height - 1, .object = object};

	memcpy(request.id, id, VL_REQUEST_ID);
	memcpy(request.digest, sample->digests.data + sample->digests.size - VL_HASH_SIZE, VL_HASH_SIZE);
	must(vl_requests_add(&sample->requests, &request, NULL), "request");
	vl_buf_put32(&sample->table, sample->event_count - 1);
	vl_buf_put32(&sample->table, 0);
	vl_buf_put(&sample->table, id, VL_REQUEST_ID);
	sample->request_count++;
}

static uint64_t below(struct sample *sample, uint64_t limit)
{
	return limit == 0 ? 0 : check_random(&sample->seed) % limit;
}

static uint64_t any(struct sample *sample, enum vl_list list)
{
	return below(sample, vl_state_slots(&sample->state, list));
}

static void fill_vector(struct sample *sample, struct vl_event *event)
{
	for (uint32_t i = 0; i < sample->state.dim; i++)
		vl_put32(vector + (size_t)i * 4, (uint32_t)(int32_t)(below(sample, 1 << 18) - (1 << 17)));
	event->vector = vector;
}

/* Keys from a small set, so that they meet again. */
static void fill_key(struct sample *sample, struct vl_event *event)
{
	uint64_t n = below(sample, 60);

	event->key_size = (uint32_t)(1 + n % 40);
	memset(key, (int)('a' + n % 26), sizeof(key));
	key[0] = (uint8_t)('0' + n / 10);
	event->key = key;
}

static void fill_metadata(struct sample *sample, struct vl_event *event)
{
	uint64_t kind = below(sample, 20);

	event->metadata_size = VL_ABSENT;
	if (kind < 6)
		return;
	event->metadata_size = (uint32_t)(kind < 8    ? 0
					  : kind < 19 ? below(sample, 300)
						      : below(sample, 65536) + 1);
	memset(blob, (int)below(sample, 256), event->metadata_size + 1);
	event->metadata = blob;
}

static void fill_salt(struct sample *sample, struct vl_event *event)
{
	if (below(sample, 3) != 0)
		return;
	if (event->type == VALORI_EVENT_SET_METADATA && event->metadata_size == VL_ABSENT)
		return;
	event->flags = VL_EVENT_SALTED;
	vl_put64(salt, check_random(&sample->seed));
	event->salt = salt;
}

static void fill_event(struct sample *sample, struct vl_event *event)
{
	/* More is made than is taken away. */
	static const uint8_t kinds[] = {
		VALORI_EVENT_INSERT,
		VALORI_EVENT_INSERT,
		VALORI_EVENT_INSERT,
		VALORI_EVENT_INSERT,
		VALORI_EVENT_INSERT,
		VALORI_EVENT_SOFT_DELETE,
		VALORI_EVENT_DELETE,
		VALORI_EVENT_SET_METADATA,
		VALORI_EVENT_SET_TAG,
		VALORI_EVENT_NODE_CREATE,
		VALORI_EVENT_NODE_CREATE,
		VALORI_EVENT_NODE_CREATE,
		VALORI_EVENT_NODE_CREATE,
		VALORI_EVENT_NODE_DELETE,
		VALORI_EVENT_NODE_SET_RECORD,
		VALORI_EVENT_EDGE_CREATE,
		VALORI_EVENT_EDGE_CREATE,
		VALORI_EVENT_EDGE_CREATE,
		VALORI_EVENT_EDGE_CREATE,
		VALORI_EVENT_EDGE_CREATE,
		VALORI_EVENT_EDGE_DELETE,
		VALORI_EVENT_META_SET,
		VALORI_EVENT_META_SET,
		VALORI_EVENT_META_DELETE,
		VALORI_EVENT_COLLECTION_CREATE,
		VALORI_EVENT_COLLECTION_DROP,
		VALORI_EVENT_CONFIG,
	};

	*event = (struct vl_event){.metadata_size = VL_ABSENT};
	event->type = kinds[below(sample, sizeof(kinds))];
	event->collection = (uint16_t)(below(sample, 4) == 0 ? any(sample, VL_COLLECTIONS) : 0);
	event->kind = (uint8_t)below(sample, 5);
	event->tag = below(sample, 100);
	event->record = below(sample, 3) == 0 ? VALORI_NONE : any(sample, VL_RECORDS);
	event->from = any(sample, VL_NODES);
	event->to = any(sample, VL_NODES);
	event->id = any(sample, VL_RECORDS);
	switch ((valori_event_type)event->type) {
	case VALORI_EVENT_INSERT:
		event->id = vl_state_slots(&sample->state, VL_RECORDS);
		fill_vector(sample, event);
		if (below(sample, 2) == 0)
			fill_key(sample, event);
		fill_metadata(sample, event);
		fill_salt(sample, event);
		break;
	case VALORI_EVENT_SET_METADATA:
		fill_metadata(sample, event);
		fill_salt(sample, event);
		break;
	case VALORI_EVENT_NODE_CREATE:
		event->id = vl_state_slots(&sample->state, VL_NODES);
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
	case VALORI_EVENT_NODE_DELETE:
		event->id = any(sample, VL_NODES);
		break;
	case VALORI_EVENT_EDGE_CREATE:
		event->id = vl_state_slots(&sample->state, VL_EDGES);
		break;
	case VALORI_EVENT_EDGE_DELETE:
		event->id = any(sample, VL_EDGES);
		break;
	case VALORI_EVENT_META_SET:
		event->id = below(sample, 2) == 0 ? vl_state_slots(&sample->state, VL_META)
						  : any(sample, VL_META);
		fill_key(sample, event);
		fill_metadata(sample, event);
		event->metadata_size = event->metadata_size == VL_ABSENT ? 0 : event->metadata_size;
		event->metadata = blob;
		break;
	case VALORI_EVENT_META_DELETE:
		event->id = any(sample, VL_META);
		break;
	case VALORI_EVENT_COLLECTION_CREATE:
		event->id = vl_state_slots(&sample->state, VL_COLLECTIONS);
		fill_key(sample, event);
		break;
	case VALORI_EVENT_COLLECTION_DROP:
		event->id = below(sample, 4) == 0 ? any(sample, VL_COLLECTIONS) : VALORI_NONE;
		break;
	case VALORI_EVENT_CONFIG:
		event->id = 0;
		event->parameter = VL_PARAM_INDEX;
		event->tag = below(sample, 4);
		break;
	case VALORI_EVENT_SOFT_DELETE:
	case VALORI_EVENT_DELETE:
	case VALORI_EVENT_SET_TAG:
		break;
	}
}

static void add_request(struct sample *sample, uint64_t object)
{
	uint8_t id[VL_REQUEST_ID];

	for (int i = 0; i < VL_REQUEST_ID; i += 8)
		vl_put64(id + i, check_random(&sample->seed));
	sample_request(sample, id, object);
}

void sample_grow(struct sample *sample, unsigned commits, unsigned events)
{
	for (unsigned commit = 0; commit < commits; commit++) {
		sample_begin(sample);
		for (unsigned i = 0; i < events; i++) {
			struct vl_event event;

			fill_event(sample, &event);
			if (sample_apply(sample, &event) && below(sample, 2) == 0)
				add_request(sample, event.id);
		}
		sample_commit(sample);
	}
}

void sample_insert(struct sample *sample, unsigned records)
{
	sample_begin(sample);
	for (unsigned i = 0; i < records; i++) {
		struct vl_event event = {.type = VALORI_EVENT_INSERT, .metadata_size = VL_ABSENT};

		event.id = vl_state_slots(&sample->state, VL_RECORDS);
		event.tag = i;
		fill_vector(sample, &event);
		must(sample_apply(sample, &event) ? VALORI_OK : VALORI_INVALID, "insert");
	}
	sample_commit(sample);
}
