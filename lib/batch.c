/* batch.c - operations on their way to becoming one commit. */
#include "batch.h"

#include "host.h"
#include "log.h"
#include "q16.h"

enum {
	LANES = 64,       /* inputs handed to one call of the hash */
	EVENT_EXTRA = 128 /* what an upsert may add beside its insert: about */
};

static const uint8_t event_types[] = {
	[VALORI_OP_INSERT] = VALORI_EVENT_INSERT,
	[VALORI_OP_UPSERT] = VALORI_EVENT_INSERT,
	[VALORI_OP_SOFT_DELETE] = VALORI_EVENT_SOFT_DELETE,
	[VALORI_OP_DELETE] = VALORI_EVENT_DELETE,
	[VALORI_OP_SET_METADATA] = VALORI_EVENT_SET_METADATA,
	[VALORI_OP_SET_TAG] = VALORI_EVENT_SET_TAG,
	[VALORI_OP_NODE_CREATE] = VALORI_EVENT_NODE_CREATE,
	[VALORI_OP_NODE_SET_RECORD] = VALORI_EVENT_NODE_SET_RECORD,
	[VALORI_OP_NODE_DELETE] = VALORI_EVENT_NODE_DELETE,
	[VALORI_OP_EDGE_CREATE] = VALORI_EVENT_EDGE_CREATE,
	[VALORI_OP_EDGE_DELETE] = VALORI_EVENT_EDGE_DELETE,
	[VALORI_OP_META_SET] = VALORI_EVENT_META_SET,
	[VALORI_OP_META_DELETE] = VALORI_EVENT_META_DELETE,
	[VALORI_OP_COLLECTION_CREATE] = VALORI_EVENT_COLLECTION_CREATE,
	[VALORI_OP_COLLECTION_DROP] = VALORI_EVENT_COLLECTION_DROP,
	[VALORI_OP_CONFIG] = VALORI_EVENT_CONFIG,
};

/* ---- A batch and its memory ---- */

static struct vl_buf *buffers(valori_batch *batch, unsigned index)
{
	struct vl_buf *all[] = {&batch->ops,    &batch->vectors,       &batch->salted,
				&batch->heap,   &batch->vector_hashes, &batch->salted_hashes,
				&batch->hashes, &batch->jobs,          &batch->ids};

	return index < sizeof(all) / sizeof(all[0]) ? all[index] : NULL;
}

valori_code vl_batch_new(const struct vl_env *env, const struct vl_os *os, uint32_t dim, valori_batch **out,
			 valori_error *error)
{
	valori_batch *batch;

	*out = NULL;
	if (dim < 1 || dim > VL_DIM_MAX)
		return vl_fail(error, VALORI_INVALID, "dimension %u: must be 1 to %d", dim, VL_DIM_MAX);
	batch = vl_alloc(env, sizeof(*batch));
	if (batch == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	memset(batch, 0, sizeof(*batch));
	batch->env = env;
	batch->os = os;
	batch->dim = dim;
	for (unsigned i = 0; buffers(batch, i) != NULL; i++)
		vl_buf_init(buffers(batch, i), env);
	valori_batch_clear(batch);
	*out = batch;
	return VALORI_OK;
}

valori_code valori_batch_new(uint32_t dim, valori_batch **out, valori_error *error)
{
	return vl_batch_new(vl_host_env(), &vl_os_real, dim, out, error);
}

void valori_batch_free(valori_batch *batch)
{
	if (batch == NULL)
		return;
	for (unsigned i = 0; buffers(batch, i) != NULL; i++)
		vl_buf_free(buffers(batch, i));
	vl_release(batch->env, batch, sizeof(*batch));
}

void valori_batch_clear(valori_batch *batch)
{
	for (unsigned i = 0; buffers(batch, i) != NULL; i++)
		vl_buf_clear(buffers(batch, i));
	batch->count = batch->rows = batch->salted_rows = batch->hash_count = 0;
	batch->sealed = batch->sealed_rows = batch->sealed_salted_rows = 0;
	batch->events = 0;
	batch->size = VL_COMMIT_HEADER + VL_COMMIT_TRAILER;
}

size_t valori_batch_count(const valori_batch *batch)
{
	return batch->count;
}

size_t valori_batch_size(const valori_batch *batch)
{
	return (size_t)batch->size;
}

static struct vl_op *op_at(valori_batch *batch, size_t index)
{
	return (struct vl_op *)(void *)batch->ops.data + index;
}

void valori_batch_skip(valori_batch *batch, size_t index)
{
	if (index < batch->count)
		op_at(batch, index)->is_skipped = true;
}

/* ---- Taking operations in ---- */

/* What was there before an operation; it is again when the operation is refused. */
struct mark {
	size_t heap, vectors, salted, ops;
	uint32_t rows, salted_rows, hash_count;
	size_t count;
	uint64_t size, events;
};

static valori_code out_of_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

static valori_code put_bytes(valori_batch *batch, const void *data, size_t size, uint64_t *place, valori_error *error)
{
	*place = batch->heap.size;
	vl_buf_put(&batch->heap, data, size);
	return batch->heap.failed ? out_of_memory(error) : VALORI_OK;
}

static valori_code check_key(const char *what, const char *key, size_t size, valori_error *error)
{
	if (key == NULL || size == 0)
		return vl_fail(error, VALORI_INVALID, "%s: must have 1 to %d bytes", what, VALORI_KEY_MAX);
	if (size > VALORI_KEY_MAX)
		return vl_fail(error, VALORI_TOO_LONG, "%s: has %zu bytes; the limit is %d", what, size,
			       VALORI_KEY_MAX);
	if (!vl_is_utf8((const uint8_t *)key, size))
		return vl_fail(error, VALORI_INVALID, "%s: is not UTF-8, or contains a zero byte", what);
	return VALORI_OK;
}

static valori_code take_key(valori_batch *batch, struct vl_op *kept, const valori_op *op, const char *what,
			    valori_error *error)
{
	valori_code code = check_key(what, op->key, op->key_size, error);

	if (code != VALORI_OK)
		return code;
	kept->key_size = (uint8_t)op->key_size;
	kept->key_hash = batch->hash_count++;
	return put_bytes(batch, op->key, op->key_size, &kept->key, error);
}

static valori_code take_metadata(valori_batch *batch, struct vl_op *kept, const valori_op *op, const uint8_t *salt,
				 valori_error *error)
{
	uint64_t ignored;
	valori_code code = VALORI_OK;

	if (op->metadata == NULL)
		return VALORI_OK;
	if (op->metadata_size > VALORI_METADATA_MAX)
		return vl_fail(error, VALORI_TOO_LONG, "metadata: has %u bytes; the limit is %d", op->metadata_size,
			       VALORI_METADATA_MAX);
	kept->metadata_size = op->metadata_size;
	kept->metadata_hash = batch->hash_count++;
	if (salt != NULL)
		code = put_bytes(batch, salt, VL_SALT_SIZE, &ignored, error);
	if (code == VALORI_OK)
		code = put_bytes(batch, op->metadata, op->metadata_size, &kept->metadata, error);
	return code;
}

/* Is the reference one that this kind of operation can have? makes: is it what an operation of this kind makes? */
static valori_code take_ref(valori_batch *batch, struct vl_ref *kept, const valori_ref *ref, const char *what,
			    bool is_needed, bool has_key, bool (*makes)(uint8_t kind), valori_error *error)
{
	valori_code code;

	kept->kind = (uint8_t)ref->kind;
	kept->id = ref->id;
	switch (ref->kind) {
	case VALORI_REF_NONE:
		if (is_needed)
			return vl_fail(error, VALORI_INVALID, "%s: not given", what);
		return VALORI_OK;
	case VALORI_REF_ID:
		if (ref->id != VALORI_NONE)
			return VALORI_OK;
		kept->kind = VALORI_REF_NONE;
		return is_needed ? vl_fail(error, VALORI_INVALID, "%s: not given", what) : VALORI_OK;
	case VALORI_REF_KEY:
		if (!has_key)
			return vl_fail(error, VALORI_INVALID, "%s: has no key", what);
		code = check_key(what, ref->key, ref->key_size, error);
		if (code != VALORI_OK)
			return code;
		kept->key_size = (uint8_t)ref->key_size;
		kept->hash = batch->hash_count++;
		return put_bytes(batch, ref->key, ref->key_size, &kept->id, error);
	case VALORI_REF_OP:
		if (ref->id >= batch->count)
			return vl_fail(error, VALORI_INVALID,
				       "%s: refers to operation %llu, which does not come before", what,
				       (unsigned long long)ref->id);
		if (!makes(vl_batch_op(batch, (size_t)ref->id)->kind))
			return vl_fail(error, VALORI_INVALID,
				       "%s: refers to operation %llu, which makes something else", what,
				       (unsigned long long)ref->id);
		return VALORI_OK;
	default:
		return vl_fail(error, VALORI_INVALID, "%s: unknown kind of reference %u", what, ref->kind);
	}
}

static bool makes_record(uint8_t kind)
{
	return kind == VALORI_OP_INSERT || kind == VALORI_OP_UPSERT;
}

static bool makes_node(uint8_t kind)
{
	return kind == VALORI_OP_NODE_CREATE;
}

static bool makes_edge(uint8_t kind)
{
	return kind == VALORI_OP_EDGE_CREATE;
}

/* getrandom costs more than a hash: salts are drawn by the dozen. */
static valori_code next_salt(valori_batch *batch, const uint8_t **out, valori_error *error)
{
	if (batch->salts_left < VL_SALT_SIZE) {
		int failure = batch->os->random(batch->os->context, batch->salts, sizeof(batch->salts));

		if (failure < 0) {
			vl_fail(error, VALORI_IO, "random bytes: %s", vl_os_error_text(-failure));
			if (error != NULL)
				error->system_errno = -failure;
			return VALORI_IO;
		}
		batch->salts_left = sizeof(batch->salts);
	}
	batch->salts_left -= VL_SALT_SIZE;
	*out = batch->salts + batch->salts_left;
	return VALORI_OK;
}

static valori_code refuse_vector(enum vl_q16_fault fault, size_t component, valori_error *error)
{
	if (fault == VL_Q16_NORM)
		vl_fail(error, VALORI_RANGE, "vector: %s at component %zu", vl_q16_fault_text(fault), component);
	else
		vl_fail(error, VALORI_RANGE, "vector: component %zu %s", component, vl_q16_fault_text(fault));
	if (error != NULL)
		error->event = component;
	return VALORI_RANGE;
}

/* Numbers in this machine's order, anywhere in memory, as little-endian bytes. */
static void put_words(uint8_t *target, const uint8_t *source, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t word;

		memcpy(&word, source + 4 * i, 4);
		vl_put32(target + 4 * i, word);
	}
}

static bool is_little_endian(void)
{
	const uint16_t one = 1;
	uint8_t first;

	memcpy(&first, &one, 1);
	return first == 1;
}

static valori_code take_vector(valori_batch *batch, struct vl_op *kept, const valori_op *op, const uint8_t *salt,
			       valori_error *error)
{
	size_t size = (size_t)batch->dim * 4, component = 0;
	struct vl_buf *rows = salt != NULL ? &batch->salted : &batch->vectors;
	const uint8_t *source = op->vector;
	enum vl_q16_fault fault;
	uint8_t *target;

	if (source == NULL)
		return vl_fail(error, VALORI_INVALID, "vector: not given");
	if (op->dim != batch->dim)
		return vl_fail(error, VALORI_DIMENSION, "vector: has %u components, the store's have %u", op->dim,
			       batch->dim);
	if (op->vector_kind > VALORI_F32LE)
		return vl_fail(error, VALORI_INVALID, "vector: unknown kind %u", op->vector_kind);
	if (salt != NULL)
		vl_buf_put(rows, salt, VL_SALT_SIZE);
	target = vl_buf_extend(rows, size);
	if (target == NULL)
		return out_of_memory(error);
	kept->row = salt != NULL ? batch->salted_rows++ : batch->rows++;
	if (op->vector_kind == VALORI_Q16 || op->vector_kind == VALORI_Q16LE) {
		if (op->vector_kind == VALORI_Q16)
			put_words(target, source, batch->dim);
		else
			memcpy(target, source, size);
		fault = vl_q16_accept(batch->env->kernels, target, batch->dim, &component);
	} else {
		if (op->vector_kind == VALORI_F32 && !is_little_endian()) {
			/* jobs is free until seal: the place to turn the bytes around. */
			vl_buf_clear(&batch->jobs);
			uint8_t *turned = vl_buf_extend(&batch->jobs, size);

			if (turned == NULL)
				return out_of_memory(error);
			put_words(turned, source, batch->dim);
			source = turned;
		}
		fault = vl_q16_accept_f32(batch->env->kernels, source, batch->dim, target, &component);
	}
	return fault == VL_Q16_OK ? VALORI_OK : refuse_vector(fault, component, error);
}

static valori_code take_fields(valori_batch *batch, struct vl_op *kept, const valori_op *op, valori_error *error)
{
	const uint8_t *salt = NULL;
	valori_code code = VALORI_OK;

	if (kept->is_salted)
		code = next_salt(batch, &salt, error);
	if (code != VALORI_OK)
		return code;
	switch ((valori_op_kind)op->kind) {
	case VALORI_OP_INSERT:
	case VALORI_OP_UPSERT:
		kept->tag = op->tag;
		if (op->key != NULL || op->kind == VALORI_OP_UPSERT)
			code = take_key(batch, kept, op, "key", error);
		if (code == VALORI_OK)
			code = take_metadata(batch, kept, op, salt, error);
		return code != VALORI_OK ? code : take_vector(batch, kept, op, salt, error);
	case VALORI_OP_SOFT_DELETE:
	case VALORI_OP_DELETE:
		return take_ref(batch, &kept->target, &op->target, "record", true, true, makes_record, error);
	case VALORI_OP_SET_METADATA:
		code = take_ref(batch, &kept->target, &op->target, "record", true, true, makes_record, error);
		return code != VALORI_OK ? code : take_metadata(batch, kept, op, salt, error);
	case VALORI_OP_SET_TAG:
		kept->tag = op->tag;
		return take_ref(batch, &kept->target, &op->target, "record", true, true, makes_record, error);
	case VALORI_OP_NODE_CREATE:
		return take_ref(batch, &kept->target, &op->target, "record", false, true, makes_record, error);
	case VALORI_OP_NODE_SET_RECORD:
		code = take_ref(batch, &kept->from, &op->from, "node", true, false, makes_node, error);
		return code != VALORI_OK ? code
					 : take_ref(batch, &kept->target, &op->target, "record", false, true,
						    makes_record, error);
	case VALORI_OP_NODE_DELETE:
		return take_ref(batch, &kept->from, &op->from, "node", true, false, makes_node, error);
	case VALORI_OP_EDGE_CREATE:
		/* The key of a record stands for its first node. */
		code = take_ref(batch, &kept->from, &op->from, "from", true, true, makes_node, error);
		return code != VALORI_OK ? code
					 : take_ref(batch, &kept->to, &op->to, "to", true, true, makes_node, error);
	case VALORI_OP_EDGE_DELETE:
		return take_ref(batch, &kept->from, &op->from, "edge", true, false, makes_edge, error);
	case VALORI_OP_META_SET:
		if (op->metadata == NULL)
			return vl_fail(error, VALORI_INVALID, "value: not given");
		code = take_key(batch, kept, op, "key", error);
		return code != VALORI_OK ? code : take_metadata(batch, kept, op, NULL, error);
	case VALORI_OP_META_DELETE:
		return take_key(batch, kept, op, "key", error);
	case VALORI_OP_COLLECTION_CREATE:
		if (op->key != NULL && op->key_size > VALORI_NAME_MAX)
			return vl_fail(error, VALORI_TOO_LONG, "collection name: has %u bytes; the limit is %d",
				       op->key_size, VALORI_NAME_MAX);
		if (op->key == NULL || !vl_is_collection_name((const uint8_t *)op->key, op->key_size))
			return vl_fail(error, VALORI_INVALID, "collection name: must be 1 to %d of A-Z a-z 0-9 _ -",
				       VALORI_NAME_MAX);
		return take_key(batch, kept, op, "collection name", error);
	case VALORI_OP_COLLECTION_DROP:
		return VALORI_OK;
	case VALORI_OP_CONFIG:
		if (op->tag > UINT32_MAX)
			return vl_fail(error, VALORI_INVALID, "config: there is no parameter %llu",
				       (unsigned long long)op->tag);
		kept->parameter = (uint32_t)op->tag;
		kept->tag = op->target.id;
		return VALORI_OK;
	}
	return vl_fail(error, VALORI_INVALID, "unknown kind of operation %u", op->kind);
}

/* What the size of the event is made of. */
static void set_form(const struct vl_op *op, struct vl_event *out)
{
	out->type = event_types[op->kind];
	out->flags = op->is_salted ? VL_EVENT_SALTED : 0;
	out->key_size = op->key_size;
	out->metadata_size = op->metadata_size;
}

static valori_code take(valori_batch *batch, const valori_op *op, valori_error *error)
{
	struct vl_op kept = {.kind = (uint8_t)op->kind, .metadata_size = VL_ABSENT};
	struct vl_event event;
	valori_code code;
	uint64_t size;

	if (op->kind < VALORI_OP_INSERT || op->kind > VALORI_OP_CONFIG)
		return vl_fail(error, VALORI_INVALID, "unknown kind of operation %u", op->kind);
	if (op->collection > UINT16_MAX)
		return vl_fail(error, VALORI_INVALID, "there is no collection %u", op->collection);
	if (op->object_kind > UINT8_MAX)
		return vl_fail(error, VALORI_INVALID, "kind %u: must be 0 to 255", op->object_kind);
	if ((op->flags & ~(uint32_t)(VALORI_OP_SALTED | VALORI_OP_REQUEST)) != 0)
		return vl_fail(error, VALORI_INVALID, "unknown flags %x", op->flags);
	if ((op->flags & VALORI_OP_SALTED) != 0) {
		if (op->kind != VALORI_OP_INSERT && op->kind != VALORI_OP_UPSERT && op->kind != VALORI_OP_SET_METADATA)
			return vl_fail(error, VALORI_INVALID, "only content can be salted");
		kept.is_salted = op->kind != VALORI_OP_SET_METADATA || op->metadata != NULL;
	}
	kept.collection = (uint16_t)op->collection;
	kept.object_kind = (uint8_t)op->object_kind;
	kept.has_request = (op->flags & VALORI_OP_REQUEST) != 0;
	code = take_fields(batch, &kept, op, error);
	if (code == VALORI_OK && kept.has_request)
		code = put_bytes(batch, op->request, VALORI_REQUEST_SIZE, &kept.request, error);
	if (code != VALORI_OK)
		return code;
	vl_buf_put(&batch->ops, &kept, sizeof(kept));
	if (batch->ops.failed)
		return out_of_memory(error);
	batch->count++;
	set_form(&kept, &event);
	size = vl_event_size(&event, batch->dim) + (kept.has_request ? VL_REQUEST_ENTRY : 0) +
	       (kept.kind == VALORI_OP_UPSERT ? EVENT_EXTRA : 0);
	if (batch->size + size > VL_COMMIT_SIZE_MAX || batch->events + 1 > VL_COMMIT_EVENTS_MAX) {
		return vl_fail(error, VALORI_TOO_LONG, "batch: a commit has at most %d events and %llu bytes",
			       VL_COMMIT_EVENTS_MAX, (unsigned long long)VL_COMMIT_SIZE_MAX);
	}
	batch->size += size;
	batch->events++;
	return VALORI_OK;
}

static struct mark mark(const valori_batch *batch)
{
	return (struct mark){batch->heap.size, batch->vectors.size, batch->salted.size, batch->ops.size,
			     batch->rows,      batch->salted_rows,  batch->hash_count,  batch->count,
			     batch->size,      batch->events};
}

static void go_back(valori_batch *batch, const struct mark *to)
{
	batch->heap.size = to->heap;
	batch->vectors.size = to->vectors;
	batch->salted.size = to->salted;
	batch->ops.size = to->ops;
	batch->rows = to->rows;
	batch->salted_rows = to->salted_rows;
	batch->hash_count = to->hash_count;
	batch->count = to->count;
	batch->size = to->size;
	batch->events = to->events;
	batch->heap.failed = batch->vectors.failed = batch->salted.failed = batch->ops.failed = false;
}

valori_code valori_batch_add(valori_batch *batch, const valori_op *op, valori_error *error)
{
	struct mark before = mark(batch);
	valori_code code = take(batch, op, error);

	if (code != VALORI_OK)
		go_back(batch, &before);
	return code;
}

valori_code valori_batch_add_rows(valori_batch *batch, const valori_op *op, size_t count, size_t stride,
				  const uint64_t *tags, size_t *out_fault, valori_error *error)
{
	struct mark before = mark(batch);
	valori_op row = *op;

	for (size_t i = 0; i < count; i++) {
		valori_code code;

		if (tags != NULL)
			row.tag = tags[i];
		code = take(batch, &row, error);
		if (code != VALORI_OK) {
			go_back(batch, &before);
			if (out_fault != NULL)
				*out_fault = i;
			return code;
		}
		/* Not beyond the last row: an address there need not exist. */
		if (op->vector != NULL && i + 1 < count)
			row.vector = (const uint8_t *)row.vector + stride;
	}
	return VALORI_OK;
}

/* ---- Hashing ---- */

/* One input to hash; jobs of equal size and context go through the lanes together. */
struct job {
	const uint8_t *data;
	size_t size, hash; /* hash: place in hashes */
	enum vl_context context;
};

/* A place in the heap. It has no address while nothing but empty values was put there. */
static const uint8_t *heap_at(const valori_batch *batch, uint64_t place)
{
	return batch->heap.data != NULL ? batch->heap.data + place : NULL;
}

static void add_job(valori_batch *batch, uint64_t place, size_t size, size_t hash, enum vl_context context)
{
	struct job job = {heap_at(batch, place), size, hash, context};

	vl_buf_put(&batch->jobs, &job, sizeof(job));
}

static void add_jobs(valori_batch *batch, const struct vl_op *op)
{
	const struct vl_ref *refs[] = {&op->target, &op->from, &op->to};
	size_t salt = op->is_salted ? VL_SALT_SIZE : 0;

	if (op->key_size > 0)
		add_job(batch, op->key, op->key_size, op->key_hash, VL_HASH_KEY);
	if (op->metadata_size != VL_ABSENT)
		add_job(batch, op->metadata - salt, op->metadata_size + salt, op->metadata_hash,
			op->kind == VALORI_OP_META_SET ? VL_HASH_META_VALUE : VL_HASH_METADATA);
	for (size_t i = 0; i < 3; i++)
		if (refs[i]->kind == VALORI_REF_KEY)
			add_job(batch, refs[i]->id, refs[i]->key_size, refs[i]->hash, VL_HASH_KEY);
}

/* Runs the jobs of one context, equal sizes that follow one another together. */
static void run_jobs(valori_batch *batch, enum vl_context context)
{
	const struct job *jobs = (const struct job *)(const void *)batch->jobs.data;
	size_t count = batch->jobs.size / sizeof(*jobs), lanes = 0, size = 0;
	const uint8_t *inputs[LANES];
	size_t places[LANES];
	uint8_t hashes[LANES][VL_HASH_SIZE];

	for (size_t i = 0; i <= count; i++) {
		if (i < count && jobs[i].context != context)
			continue;
		if (lanes > 0 && (i == count || lanes == LANES || jobs[i].size != size)) {
			vl_blake3_many(batch->env->kernels, context, inputs, size, lanes, hashes[0]);
			for (size_t lane = 0; lane < lanes; lane++)
				memcpy(batch->hashes.data + places[lane] * VL_HASH_SIZE, hashes[lane], VL_HASH_SIZE);
			lanes = 0;
		}
		if (i == count)
			break;
		size = jobs[i].size;
		inputs[lanes] = jobs[i].data;
		places[lanes++] = jobs[i].hash;
	}
}

static uint8_t *grow_hashes(struct vl_buf *hashes, size_t count)
{
	size_t size = count * VL_HASH_SIZE;

	if (hashes->size < size)
		vl_buf_extend(hashes, size - hashes->size);
	return hashes->failed ? NULL : hashes->data;
}

valori_code vl_batch_seal(valori_batch *batch, valori_error *error)
{
	const struct vl_kernels *kernels = batch->env->kernels;
	size_t size = (size_t)batch->dim * 4, from = batch->sealed_rows, salted_from = batch->sealed_salted_rows;

	if (batch->sealed == batch->count)
		return VALORI_OK;
	vl_buf_clear(&batch->jobs);
	for (size_t i = batch->sealed; i < batch->count; i++)
		add_jobs(batch, vl_batch_op(batch, i));
	grow_hashes(&batch->vector_hashes, batch->rows);
	grow_hashes(&batch->salted_hashes, batch->salted_rows);
	grow_hashes(&batch->hashes, batch->hash_count);
	if (batch->jobs.failed || batch->vector_hashes.failed || batch->salted_hashes.failed || batch->hashes.failed) {
		batch->vector_hashes.failed = batch->salted_hashes.failed = batch->hashes.failed = false;
		return out_of_memory(error);
	}
	if (from < batch->rows)
		vl_blake3_rows(kernels, VL_HASH_VECTOR, batch->vectors.data + from * size, size, size,
			       batch->rows - from, batch->vector_hashes.data + from * VL_HASH_SIZE);
	if (salted_from < batch->salted_rows)
		vl_blake3_rows(kernels, VL_HASH_VECTOR, batch->salted.data + salted_from * (size + VL_SALT_SIZE),
			       size + VL_SALT_SIZE, size + VL_SALT_SIZE, batch->salted_rows - salted_from,
			       batch->salted_hashes.data + salted_from * VL_HASH_SIZE);
	if (batch->jobs.size > 0) {
		run_jobs(batch, VL_HASH_KEY);
		run_jobs(batch, VL_HASH_METADATA);
		run_jobs(batch, VL_HASH_META_VALUE);
	}
	batch->sealed = batch->count;
	batch->sealed_rows = batch->rows;
	batch->sealed_salted_rows = batch->salted_rows;
	return VALORI_OK;
}

void valori_batch_seal(valori_batch *batch)
{
	/* What could not be hashed for want of memory is hashed, or reported, by valori_commit. */
	(void)vl_batch_seal(batch, NULL);
}

void vl_batch_event(const valori_batch *batch, size_t index, struct vl_event *out)
{
	const struct vl_op *op = vl_batch_op(batch, index);
	size_t size = (size_t)batch->dim * 4;
	bool is_sealed = index < batch->sealed;

	memset(out, 0, sizeof(*out));
	set_form(op, out);
	out->kind = op->object_kind;
	out->collection = op->collection;
	out->parameter = op->parameter;
	out->tag = op->tag;
	out->record = out->from = out->to = VALORI_NONE;
	if (op->key_size > 0) {
		out->key = heap_at(batch, op->key);
		if (is_sealed)
			memcpy(out->k, batch->hashes.data + (size_t)op->key_hash * VL_HASH_SIZE, VL_HASH_SIZE);
	}
	if (op->metadata_size != VL_ABSENT) {
		out->metadata = heap_at(batch, op->metadata);
		if (op->is_salted)
			out->salt = out->metadata - VL_SALT_SIZE;
		if (is_sealed)
			memcpy(out->m, batch->hashes.data + (size_t)op->metadata_hash * VL_HASH_SIZE, VL_HASH_SIZE);
	}
	if (out->type != VALORI_EVENT_INSERT)
		return;
	if (op->is_salted) {
		out->salt = batch->salted.data + (size_t)op->row * (size + VL_SALT_SIZE);
		out->vector = out->salt + VL_SALT_SIZE;
	} else {
		out->vector = batch->vectors.data + (size_t)op->row * size;
	}
	if (is_sealed)
		memcpy(out->v,
		       (op->is_salted ? batch->salted_hashes.data : batch->vector_hashes.data) +
			       (size_t)op->row * VL_HASH_SIZE,
		       VL_HASH_SIZE);
}
