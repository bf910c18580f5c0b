/* engine_stage.c - a batch becomes a commit: events with their ids, applied, encoded, their roots computed. */
#include "engine_private.h"

enum {
	WINDOW = 512,      /* events whose digests are computed together */
	SLOTS = 2 * WINDOW /* of the table of requests in the window: a power of two */
};

struct pending {        /* a request whose event's digest is not computed yet */
	uint32_t place; /* in the window */
	struct vl_request request;
};

struct stage {
	valori *store;
	const valori_batch *batch;
	uint64_t *ids;
	uint64_t first_event;
	size_t start;  /* of the commit in the group */
	size_t events; /* of its events in the group */
	uint32_t event_count, request_count;
	size_t window; /* events that wait for their digests */
	size_t pending_count;
	struct pending pending[WINDOW];
	uint16_t slots[SLOTS]; /* place in pending + 1, by request id */
};

static valori_code out_of_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

static struct vl_event *window_events(valori *store)
{
	return (struct vl_event *)(void *)store->window.data;
}

static valori_code make_window(valori *store, valori_error *error)
{
	size_t size = WINDOW * sizeof(struct vl_event);

	if (store->window.size < size && vl_buf_extend(&store->window, size - store->window.size) == NULL) {
		store->window.failed = false;
		return out_of_memory(error);
	}
	return VALORI_OK;
}

/* ---- Requests ---- */

/* Ids are hashes or prefixes and row numbers: all of their bytes are mixed in. */
static size_t slot_of(const uint8_t id[VL_REQUEST_ID])
{
	uint64_t mixed = vl_get64(id) ^ vl_get64(id + 8) * UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 32) * UINT64_C(0xbf58476d1ce4e5b9);
	return (size_t)(mixed >> 40) & (SLOTS - 1);
}

static bool is_pending(const struct stage *stage, const uint8_t id[VL_REQUEST_ID])
{
	for (size_t slot = slot_of(id); stage->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1))
		if (memcmp(stage->pending[stage->slots[slot] - 1].request.id, id, VL_REQUEST_ID) == 0)
			return true;
	return false;
}

static void add_pending(struct stage *stage, const uint8_t id[VL_REQUEST_ID], uint64_t object)
{
	struct pending *pending = &stage->pending[stage->pending_count++];
	size_t slot = slot_of(id);

	pending->place = (uint32_t)stage->window;
	memcpy(pending->request.id, id, VL_REQUEST_ID);
	pending->request.event = stage->first_event + stage->event_count;
	pending->request.object = object;
	while (stage->slots[slot] != 0)
		slot = (slot + 1) & (SLOTS - 1);
	stage->slots[slot] = (uint16_t)stage->pending_count;
	vl_buf_put32(&stage->store->table, stage->event_count);
	vl_buf_put32(&stage->store->table, 0);
	vl_buf_put(&stage->store->table, id, VL_REQUEST_ID);
	stage->request_count++;
}

/* Computes the digests of the events in the window and adds their requests. */
static valori_code flush_window(struct stage *stage, valori_error *error)
{
	valori *store = stage->store;
	uint8_t *digests;
	valori_code code;

	if (stage->window == 0)
		return VALORI_OK;
	digests = vl_buf_extend(&store->digests, stage->window * VL_HASH_SIZE);
	if (digests == NULL)
		return out_of_memory(error);
	code = vl_event_digests(store->env->kernels, window_events(store), stage->window, &store->scratch, digests,
				error);
	for (size_t i = 0; i < stage->pending_count && code == VALORI_OK; i++) {
		struct pending *pending = &stage->pending[i];

		memcpy(pending->request.digest, digests + pending->place * VL_HASH_SIZE, VL_HASH_SIZE);
		code = vl_requests_add(&store->replica.requests, &pending->request, error);
	}
	if (stage->pending_count > 0)
		memset(stage->slots, 0, sizeof(stage->slots));
	stage->window = stage->pending_count = 0;
	return code;
}

/* ---- References ---- */

/* The id that a reference means now, VALORI_NONE when it means nothing. */
static uint64_t resolve(const struct stage *stage, const struct vl_op *op, const struct vl_ref *ref)
{
	const valori_batch *batch = stage->batch;

	switch (ref->kind) {
	case VALORI_REF_ID:
		return ref->id;
	case VALORI_REF_KEY:
		return vl_record_find(&stage->store->replica.state, op->collection, batch->heap.data + ref->id,
				      ref->key_size, batch->hashes.data + (size_t)ref->hash * VL_HASH_SIZE);
	case VALORI_REF_OP:
		return stage->ids[ref->id];
	default:
		return VALORI_NONE;
	}
}

static valori_code find(const struct stage *stage, const struct vl_op *op, const struct vl_ref *ref, const char *what,
			uint64_t *out, valori_error *error)
{
	const valori_batch *batch = stage->batch;

	*out = resolve(stage, op, ref);
	if (*out != VALORI_NONE || ref->kind == VALORI_REF_NONE)
		return VALORI_OK;
	if (ref->kind == VALORI_REF_OP)
		return vl_fail(error, VALORI_INVALID, "%s: refers to operation %llu, which is left out", what,
			       (unsigned long long)ref->id);
	return vl_fail(error, VALORI_NOT_FOUND, "%s: there is no live record with key \"%.*s\"", what,
		       (int)ref->key_size, (const char *)batch->heap.data + ref->id);
}

/* An end of an edge: the key of a record stands for its first node. */
static valori_code find_end(const struct stage *stage, const struct vl_op *op, const struct vl_ref *ref,
			    const char *what, uint64_t *out, valori_error *error)
{
	valori_code code = find(stage, op, ref, what, out, error);
	uint64_t node = VALORI_NONE;

	if (code != VALORI_OK || ref->kind != VALORI_REF_KEY)
		return code;
	if (!vl_record_node_next(&stage->store->replica.state, *out, &node))
		return vl_fail(error, VALORI_NOT_FOUND, "%s: no node names the record with key \"%.*s\"", what,
			       (int)ref->key_size, (const char *)stage->batch->heap.data + ref->id);
	*out = node;
	return VALORI_OK;
}

/* Fills in the ids of the things that the event names besides its own, and its own when the operation names it. */
static valori_code find_refs(const struct stage *stage, const struct vl_op *op, struct vl_event *event,
			     valori_error *error)
{
	const struct vl_state *state = &stage->store->replica.state;
	valori_code code;

	switch ((valori_op_kind)op->kind) {
	case VALORI_OP_INSERT:
	case VALORI_OP_UPSERT:
		event->id = vl_state_slots(state, VL_RECORDS);
		return VALORI_OK;
	case VALORI_OP_SOFT_DELETE:
	case VALORI_OP_DELETE:
	case VALORI_OP_SET_METADATA:
	case VALORI_OP_SET_TAG:
		return find(stage, op, &op->target, "record", &event->id, error);
	case VALORI_OP_NODE_CREATE:
		event->id = vl_state_slots(state, VL_NODES);
		return find(stage, op, &op->target, "record", &event->record, error);
	case VALORI_OP_NODE_SET_RECORD:
		code = find(stage, op, &op->from, "node", &event->id, error);
		return code != VALORI_OK ? code : find(stage, op, &op->target, "record", &event->record, error);
	case VALORI_OP_NODE_DELETE:
		return find(stage, op, &op->from, "node", &event->id, error);
	case VALORI_OP_EDGE_CREATE:
		event->id = vl_state_slots(state, VL_EDGES);
		code = find_end(stage, op, &op->from, "from", &event->from, error);
		return code != VALORI_OK ? code : find_end(stage, op, &op->to, "to", &event->to, error);
	case VALORI_OP_EDGE_DELETE:
		return find(stage, op, &op->from, "edge", &event->id, error);
	case VALORI_OP_META_SET:
	case VALORI_OP_META_DELETE:
		event->id = vl_meta_find(state, event->key, event->key_size, event->k);
		if (event->id == VALORI_NONE && op->kind == VALORI_OP_META_DELETE)
			return vl_fail(error, VALORI_NOT_FOUND, "there is no meta value with key \"%.*s\"",
				       (int)event->key_size, (const char *)event->key);
		if (event->id == VALORI_NONE)
			event->id = vl_state_slots(state, VL_META);
		return VALORI_OK;
	case VALORI_OP_COLLECTION_CREATE:
		event->id = vl_state_slots(state, VL_COLLECTIONS);
		return VALORI_OK;
	case VALORI_OP_COLLECTION_DROP:
		event->id = op->collection;
		return VALORI_OK;
	case VALORI_OP_CONFIG:
		event->id = 0;
		return VALORI_OK;
	}
	return VALORI_OK;
}

/* The key of a META_DELETE finds its slot and is no part of the event. */
static void drop_helpers(struct vl_event *event)
{
	if (event->type != VALORI_EVENT_META_DELETE)
		return;
	event->key = NULL;
	event->key_size = 0;
	memset(event->k, 0, VL_HASH_SIZE);
}

/* ---- Is a repeated request the same? ---- */

static void hash_salted(const struct vl_kernels *kernels, enum vl_context context, const uint8_t *salt,
			const uint8_t *data, size_t size, uint8_t out[VL_HASH_SIZE])
{
	struct vl_blake3 hash;

	vl_blake3_init(&hash, kernels, context);
	vl_blake3_update(&hash, salt, VL_SALT_SIZE);
	vl_blake3_update(&hash, data, size);
	vl_blake3_final(&hash, out);
}

/* Would the event, with these salts in place of its own, have the digest that the request window holds? */
static bool has_digest(struct stage *stage, const struct vl_event *event, const uint8_t *vector_salt,
		       const uint8_t *metadata_salt, const uint8_t digest[VL_HASH_SIZE])
{
	valori *store = stage->store;
	const struct vl_kernels *kernels = store->env->kernels;
	struct vl_event salted = *event;
	uint8_t computed[VL_HASH_SIZE];

	if (vector_salt != NULL && event->vector != NULL)
		hash_salted(kernels, VL_HASH_VECTOR, vector_salt, event->vector, (size_t)store->replica.dim * 4,
			    salted.v);
	if (metadata_salt != NULL && event->metadata_size != VL_ABSENT)
		hash_salted(kernels, VL_HASH_METADATA, metadata_salt, event->metadata, event->metadata_size, salted.m);
	return vl_event_digests(kernels, &salted, 1, &store->scratch, computed, NULL) == VALORI_OK &&
	       memcmp(computed, digest, VL_HASH_SIZE) == 0;
}

/* Tag and metadata may have changed since; the vector cannot. */
static bool has_vector(const struct stage *stage, const struct vl_event *event, const struct vl_record *record)
{
	const struct vl_state *state = &stage->store->replica.state;
	uint8_t computed[VL_HASH_SIZE];

	if (event->vector == NULL || record->vector_salt == NULL)
		return event->vector == NULL;
	hash_salted(state->env->kernels, VL_HASH_VECTOR, record->vector_salt, event->vector, (size_t)state->dim * 4,
		    computed);
	return memcmp(computed, vl_array_get(&state->records.digests, record->id) + VL_DIGEST_V, VL_HASH_SIZE) == 0;
}

/* The id of the thing to change, as far as the operation itself names it and no key has to be looked up. */
static uint64_t named_object(const struct stage *stage, const struct vl_op *op)
{
	switch (op->kind) {
	case VALORI_OP_SOFT_DELETE:
	case VALORI_OP_DELETE:
	case VALORI_OP_SET_METADATA:
	case VALORI_OP_SET_TAG:
		return op->target.kind == VALORI_REF_KEY ? VALORI_NONE : resolve(stage, op, &op->target);
	case VALORI_OP_NODE_SET_RECORD:
	case VALORI_OP_NODE_DELETE:
	case VALORI_OP_EDGE_DELETE:
		return resolve(stage, op, &op->from);
	case VALORI_OP_COLLECTION_DROP:
		return op->collection;
	default:
		return VALORI_NONE;
	}
}

/*
 * Does operation op ask again for what request brought? The window holds the digest of the event. What the digest
 * hides, a fresh salt or the record that a key meant then, is looked up in the state and in the log; where neither
 * can tell, the id is taken at its word.
 */
static valori_code compare_request(struct stage *stage, const struct vl_op *op, struct vl_event *event,
				   const struct vl_request *request, valori_error *error)
{
	bool is_open = op->is_salted;
	struct vl_record record;
	struct vl_event original;
	valori_error ignored;

	drop_helpers(event);
	event->id = request->object;
	if (event->type == VALORI_EVENT_NODE_CREATE || event->type == VALORI_EVENT_NODE_SET_RECORD) {
		event->record = resolve(stage, op, &op->target);
		is_open |= op->target.kind == VALORI_REF_KEY ||
			   (op->target.kind == VALORI_REF_OP && event->record == VALORI_NONE);
	}
	if (event->type == VALORI_EVENT_EDGE_CREATE) {
		if (find_end(stage, op, &op->from, "", &event->from, NULL) != VALORI_OK)
			event->from = VALORI_NONE;
		if (find_end(stage, op, &op->to, "", &event->to, NULL) != VALORI_OK)
			event->to = VALORI_NONE;
		is_open |= op->from.kind != VALORI_REF_ID || op->to.kind != VALORI_REF_ID;
	}
	if (named_object(stage, op) != VALORI_NONE && named_object(stage, op) != request->object)
		goto conflict;
	if (has_digest(stage, event, NULL, NULL, request->digest))
		return VALORI_OK;
	if (!is_open)
		goto conflict;
	if (op->is_salted && vl_record_get(&stage->store->replica.state, request->object, &record) &&
	    record.status != VALORI_DELETED) {
		if (has_digest(stage, event, record.vector_salt, record.metadata_salt, request->digest))
			return VALORI_OK;
		if (!has_vector(stage, event, &record))
			goto conflict;
	}
	if (vl_engine_read_event(stage->store, request->event, &original, &ignored) != VALORI_OK)
		return VALORI_OK;
	if (original.type != event->type)
		goto conflict;
	if (op->target.kind == VALORI_REF_KEY || op->target.kind == VALORI_REF_OP)
		event->record = original.record;
	if (event->from == VALORI_NONE || op->from.kind == VALORI_REF_KEY)
		event->from = original.from;
	if (event->to == VALORI_NONE || op->to.kind == VALORI_REF_KEY)
		event->to = original.to;
	if (has_digest(stage, event, original.salt, original.salt, request->digest))
		return VALORI_OK;
conflict:
	return vl_fail(error, VALORI_CONFLICT, "request was committed as event %llu with other content",
		       (unsigned long long)request->event);
}

/* ---- Operations ---- */

/* Applies and encodes one event, which may already lie in its place in the window. request: its id, or NULL. */
static valori_code emit(struct stage *stage, const struct vl_event *event, const uint8_t *request, valori_error *error)
{
	valori *store = stage->store;
	valori_code code;

	if (stage->event_count == VL_COMMIT_EVENTS_MAX)
		return vl_fail(error, VALORI_TOO_LONG, "batch: a commit has at most %d events", VL_COMMIT_EVENTS_MAX);
	code = vl_state_apply(&store->replica.state, event, error);
	if (code != VALORI_OK)
		return code;
	vl_event_encode(event, store->replica.dim, &store->group);
	if (store->group.failed)
		return out_of_memory(error);
	if (store->group.size - stage->start > VL_COMMIT_SIZE_MAX - VL_COMMIT_TRAILER)
		return vl_fail(error, VALORI_TOO_LONG, "batch: a commit has at most %llu bytes",
			       (unsigned long long)VL_COMMIT_SIZE_MAX);
	if (request != NULL)
		add_pending(stage, request, event->id);
	if (event != &window_events(store)[stage->window])
		window_events(store)[stage->window] = *event;
	stage->window++;
	stage->event_count++;
	return VALORI_OK;
}

/* The next place in the window; *code says when there is none to be had. */
static struct vl_event *next_place(struct stage *stage, valori_code *code, valori_error *error)
{
	*code = stage->window < WINDOW ? VALORI_OK : flush_window(stage, error);
	return &window_events(stage->store)[stage->window];
}

/* The nodes that name the old record follow to the new one. */
static valori_code move_nodes(struct stage *stage, uint64_t old, uint64_t record, valori_error *error)
{
	const struct vl_state *state = &stage->store->replica.state;
	uint64_t node = VALORI_NONE;

	while (vl_record_node_next(state, old, &node)) {
		valori_code code;
		struct vl_event *event = next_place(stage, &code, error);

		if (code != VALORI_OK)
			return code;
		*event = (struct vl_event){.type = VALORI_EVENT_NODE_SET_RECORD,
					   .id = node,
					   .record = record,
					   .metadata_size = VL_ABSENT,
					   .from = VALORI_NONE,
					   .to = VALORI_NONE};
		code = emit(stage, event, NULL, error);
		if (code != VALORI_OK)
			return code;
		node = VALORI_NONE; /* it is no longer in the old record's list */
	}
	return VALORI_OK;
}

static valori_code check_capacity(const struct stage *stage, valori_error *error)
{
	const valori *store = stage->store;
	const struct vl_totals *totals = &store->replica.state.totals;
	uint64_t held = totals->record_live + totals->record_tombstones;

	if (store->records_max != 0 && held >= store->records_max)
		return vl_fail(error, VALORI_FULL, "the store holds %llu records: its limit", (unsigned long long)held);
	return VALORI_OK;
}

/*
 * Removes what an insert with the same key replaces: VALORI_NONE when there is nothing. The insert's event gives up
 * its place in the window.
 */
static valori_code remove_old(struct stage *stage, const struct vl_op *op, struct vl_event **event, uint64_t *old,
			      valori_error *error)
{
	struct vl_event insertion = **event;
	valori_code code;

	*old = VALORI_NONE;
	if (op->kind == VALORI_OP_UPSERT)
		*old = vl_record_find(&stage->store->replica.state, op->collection, insertion.key, insertion.key_size,
				      insertion.k);
	if (*old == VALORI_NONE)
		return VALORI_OK;
	**event = (struct vl_event){.type = VALORI_EVENT_DELETE,
				    .id = *old,
				    .metadata_size = VL_ABSENT,
				    .record = VALORI_NONE,
				    .from = VALORI_NONE,
				    .to = VALORI_NONE};
	code = emit(stage, *event, NULL, error);
	if (code == VALORI_OK)
		*event = next_place(stage, &code, error);
	if (code == VALORI_OK)
		**event = insertion;
	return code;
}

static valori_code insert(struct stage *stage, const struct vl_op *op, struct vl_event *event, const uint8_t *request,
			  valori_error *error)
{
	uint64_t old = VALORI_NONE, id = event->id;
	valori_code code = VALORI_OK;

	if (op->kind == VALORI_OP_UPSERT)
		code = remove_old(stage, op, &event, &old, error);
	if (code == VALORI_OK)
		code = check_capacity(stage, error);
	if (code == VALORI_OK)
		code = emit(stage, event, request, error);
	return code != VALORI_OK || old == VALORI_NONE ? code : move_nodes(stage, old, id, error);
}

static valori_code stage_op(struct stage *stage, size_t index, valori_error *error)
{
	const struct vl_op *op = vl_batch_op(stage->batch, index);
	const uint8_t *id = op->has_request ? stage->batch->heap.data + op->request : NULL;
	struct vl_request request;
	struct vl_event *event;
	valori_code code = VALORI_OK;

	stage->ids[index] = VALORI_NONE;
	if (op->is_skipped)
		return VALORI_OK;
	if (id != NULL && is_pending(stage, id))
		code = flush_window(stage, error);
	if (code == VALORI_OK)
		event = next_place(stage, &code, error);
	if (code != VALORI_OK)
		return code;
	vl_batch_event(stage->batch, index, event);
	if (id != NULL && vl_requests_find(&stage->store->replica.requests, id, &request)) {
		stage->ids[index] = request.object;
		return compare_request(stage, op, event, &request, error);
	}
	code = find_refs(stage, op, event, error);
	if (code != VALORI_OK)
		return code;
	drop_helpers(event);
	stage->ids[index] = event->id;
	if (event->type == VALORI_EVENT_INSERT)
		return insert(stage, op, event, id, error);
	return emit(stage, event, id, error);
}

/* ---- The commit ---- */

static size_t count_requests(const valori_batch *batch)
{
	size_t count = 0;

	for (size_t i = 0; i < batch->count; i++)
		count += vl_batch_op(batch, i)->has_request && !vl_batch_op(batch, i)->is_skipped;
	return count;
}

static uint64_t commit_time(const valori *store)
{
	uint64_t now = store->time_ms != 0 ? store->time_ms : store->os->time_ms(store->os->context);

	return now > store->position.time_ms ? now : store->position.time_ms;
}

/* Closes the commit: request table, roots, header; the position moves past it. */
static valori_code close_commit(struct stage *stage, valori_receipt *out, valori_error *error)
{
	valori *store = stage->store;
	struct vl_buf *group = &store->group;
	const struct vl_kernels *kernels = store->env->kernels;
	size_t table = stage->start + VL_COMMIT_HEADER;
	uint8_t roots[VL_COMMIT_TRAILER], before[VL_HASH_SIZE];
	struct vl_commit commit;
	uint64_t time_ms = commit_time(store);
	valori_code code;

	if (store->table.failed)
		return out_of_memory(error);
	if (table + store->table.size < stage->events) {
		/* Repeated requests left room. */
		memmove(group->data + table + store->table.size, group->data + stage->events,
			group->size - stage->events);
		group->size -= stage->events - table - store->table.size;
		stage->events = table + store->table.size;
	}
	if (store->table.size > 0)
		memcpy(group->data + table, store->table.data, store->table.size);
	vl_events_root(kernels, store->digests.data, stage->event_count, roots);
	code = vl_commitment_update(&store->replica.commitment, &store->replica.state, roots + VL_HASH_SIZE, error);
	if (code != VALORI_OK)
		return code;
	vl_buf_put(group, roots, sizeof(roots));
	if (group->failed)
		return out_of_memory(error);
	memset(&commit, 0, sizeof(commit));
	commit.size = group->size - stage->start;
	vl_commit_finish(group->data + stage->start, commit.size, &store->position, time_ms, stage->event_count,
			 stage->request_count, kernels);
	commit.number = store->position.frontier.size;
	commit.first_event = store->position.height;
	commit.time_ms = time_ms;
	commit.event_count = stage->event_count;
	commit.request_count = stage->request_count;
	commit.bytes = group->data + stage->start;
	commit.requests = group->data + table;
	commit.events = group->data + stage->events;
	commit.events_size = commit.size - VL_COMMIT_TRAILER - (stage->events - stage->start);
	commit.events_root = group->data + group->size - VL_COMMIT_TRAILER;
	commit.state_root = commit.events_root + VL_HASH_SIZE;
	memcpy(before, store->position.state_root, VL_HASH_SIZE);
	vl_position_advance(&store->position, &commit, kernels);
	store->group_commits++;
	*out = (valori_receipt){.commit = commit.number,
				.first_event = commit.first_event,
				.event_count = commit.event_count,
				.time_ms = time_ms};
	memcpy(out->state_root.bytes, roots + VL_HASH_SIZE, VL_HASH_SIZE);
	memcpy(out->root_before.bytes, before, VL_HASH_SIZE);
	return VALORI_OK;
}

valori_code vl_engine_stage(valori *store, valori_batch *batch, valori_receipt *out, valori_error *error)
{
	struct stage stage;
	size_t head = VL_COMMIT_HEADER + count_requests(batch) * VL_REQUEST_ENTRY;
	valori_code code = make_window(store, error);

	memset(&stage, 0, offsetof(struct stage, pending));
	memset(stage.slots, 0, sizeof(stage.slots));
	stage.store = store;
	stage.batch = batch;
	stage.first_event = store->position.height;
	stage.start = store->group.size;
	stage.events = stage.start + head;
	vl_buf_clear(&batch->ids);
	vl_buf_clear(&store->digests);
	vl_buf_clear(&store->table);
	stage.ids = (uint64_t *)(void *)vl_buf_extend(&batch->ids, batch->count * sizeof(uint64_t));
	if (code == VALORI_OK && (batch->ids.failed || vl_buf_extend(&store->group, head) == NULL))
		code = out_of_memory(error);
	for (size_t i = 0; i < batch->count && code == VALORI_OK; i++) {
		code = stage_op(&stage, i, error);
		if (code != VALORI_OK && error != NULL)
			error->event = code == VALORI_NO_MEMORY ? VALORI_NONE : i;
	}
	if (code == VALORI_OK)
		code = flush_window(&stage, error);
	if (code != VALORI_OK)
		return code;
	if (stage.event_count > 0)
		return close_commit(&stage, out, error);
	store->group.size = stage.start;
	*out = (valori_receipt){
		.commit = VALORI_NONE, .first_event = store->position.height, .time_ms = store->position.time_ms};
	memcpy(out->state_root.bytes, store->position.state_root, VL_HASH_SIZE);
	out->root_before = out->state_root;
	return VALORI_OK;
}

valori_code vl_engine_check_request(valori *store, valori_batch *batch, size_t index, valori_error *error)
{
	struct stage stage;
	struct vl_request request;
	const struct vl_op *op;
	struct vl_event event;

	memset(&stage, 0, sizeof(stage));
	stage.store = store;
	stage.batch = batch;
	vl_buf_clear(&batch->ids);
	stage.ids = (uint64_t *)(void *)vl_buf_extend(&batch->ids, batch->count * sizeof(uint64_t));
	if (stage.ids == NULL)
		return out_of_memory(error);
	/* What the operations before it made, as far as their requests tell. */
	for (size_t i = 0; i < index; i++) {
		op = vl_batch_op(batch, i);
		stage.ids[i] = VALORI_NONE;
		if (op->has_request &&
		    vl_requests_find(&store->replica.requests, batch->heap.data + op->request, &request))
			stage.ids[i] = request.object;
	}
	op = vl_batch_op(batch, index);
	if (!op->has_request)
		return vl_fail(error, VALORI_INVALID, "operation %zu has no request id", index);
	if (!vl_requests_find(&store->replica.requests, batch->heap.data + op->request, &request))
		return vl_fail(error, VALORI_NOT_FOUND, "the request window does not hold this request");
	vl_batch_event(batch, index, &event);
	return compare_request(&stage, op, &event, &request, error);
}
