/* engine_view.c - frozen versions, and what can be read from them. */
#include "engine_private.h"

/* ---- Versions ---- */

valori_code vl_engine_freeze(valori *store, valori_error *error)
{
	struct vl_frozen *frozen = vl_alloc(store->env, sizeof(*frozen));

	if (frozen == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	frozen->name = vl_pool_freeze(store->replica.pool);
	if (frozen->name == 0) {
		vl_release(store->env, frozen, sizeof(*frozen));
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	}
	frozen->version.env = store->env;
	frozen->version.os = store->os;
	frozen->version.position = store->position;
	frozen->version.state = store->replica.state;
	frozen->version.commitment = store->replica.commitment;
	frozen->version.requests = store->replica.requests;
	frozen->due = vl_engine_hold_due(store);
	frozen->filtered = NULL;
	frozen->publication = store->publication;
	frozen->holders = 1;
	frozen->next = NULL;
	if (store->newest != NULL)
		vl_engine_let_go(store, store->newest);
	store->newest = frozen;
	return VALORI_OK;
}

void vl_engine_let_go(valori *store, struct vl_frozen *frozen)
{
	if (--frozen->holders > 0)
		return;
	/* The pool is its writer's: whoever has the turn gives the version back. */
	frozen->next = store->retired;
	store->retired = frozen;
}

void vl_engine_release_retired(valori *store)
{
	while (store->retired != NULL) {
		struct vl_frozen *frozen = store->retired;

		store->retired = frozen->next;
		vl_engine_let_go_round(store, frozen->due);
		vl_engine_free_filtered(store->env, frozen->filtered);
		vl_pool_release(store->replica.pool, frozen->name);
		vl_release(store->env, frozen, sizeof(*frozen));
	}
}

/* [mutex, nobody has the turn] */
static valori_code freeze_now(valori *store, valori_error *error)
{
	valori_code code;

	if (!store->is_group_open)
		return vl_engine_freeze(store, error);
	/* Replicated commits are staged and not yet synced, and nothing was frozen before them. */
	store->is_busy = true;
	pthread_mutex_unlock(&store->mutex);
	code = vl_engine_finish_group(store, true, error);
	pthread_mutex_lock(&store->mutex);
	store->is_busy = false;
	vl_engine_call_next(store);
	return code;
}

valori_code valori_view_open(valori *store, valori_view **out, valori_error *error)
{
	valori_view *view;
	valori_code code = VALORI_OK;

	*out = NULL;
	view = vl_alloc(store->env, sizeof(*view));
	if (view == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	pthread_mutex_lock(&store->mutex);
	store->are_views_wanted = true;
	while (code == VALORI_OK && (store->newest == NULL || store->newest->publication != store->publication)) {
		if (store->is_busy)
			pthread_cond_wait(&store->changed, &store->mutex);
		else
			code = freeze_now(store, error);
	}
	if (code == VALORI_OK) {
		store->newest->holders++;
		*view = (valori_view){store, store->newest, vl_engine_hold_done(store, store->newest->due)};
		*out = view;
	}
	pthread_mutex_unlock(&store->mutex);
	if (code != VALORI_OK)
		vl_release(store->env, view, sizeof(*view));
	return code;
}

void valori_view_close(valori_view *view)
{
	valori *store;

	if (view == NULL)
		return;
	store = view->store;
	pthread_mutex_lock(&store->mutex);
	vl_engine_let_go_round(store, view->round);
	vl_engine_let_go(store, view->frozen);
	if (!store->is_busy)
		vl_engine_release_retired(store);
	pthread_mutex_unlock(&store->mutex);
	vl_release(store->env, view, sizeof(*view));
}

const struct vl_version *vl_engine_version(const valori_view *view)
{
	return &view->frozen->version;
}

static const struct vl_state *state_of(const valori_view *view)
{
	return &view->frozen->version.state;
}

/* ---- What is there ---- */

void vl_engine_describe(const struct vl_kernels *kernels, const struct vl_position *position,
			const struct vl_totals *totals, const uint64_t slots[VL_LISTS], valori_info *out)
{
	out->dim = position->dim;
	out->height = position->height;
	out->commits = position->frontier.size;
	out->time_ms = position->time_ms;
	out->record_slots = slots[VL_RECORDS];
	out->record_live = totals->record_live;
	out->record_tombstones = totals->record_tombstones;
	out->record_deleted = totals->record_deleted;
	out->node_slots = slots[VL_NODES];
	out->node_live = totals->node_live;
	out->edge_slots = slots[VL_EDGES];
	out->edge_live = totals->edge_live;
	out->meta_slots = slots[VL_META];
	out->meta_live = totals->meta_live;
	out->collection_slots = slots[VL_COLLECTIONS];
	out->collection_live = totals->collection_live;
	memcpy(out->log_id.bytes, position->log_id, VL_HASH_SIZE);
	memcpy(out->state_root.bytes, position->state_root, VL_HASH_SIZE);
	vl_frontier_root(&position->frontier, kernels, out->tree_root.bytes);
}

/* Fills as much of the caller's struct as it knows of. */
static valori_code give_info(const valori_info *info, valori_info *out, valori_error *error)
{
	uint32_t size = out->size;

	if (size < offsetof(valori_info, height))
		return vl_fail(error, VALORI_INVALID, "valori_info: size is not set");
	if (size > sizeof(*info))
		size = sizeof(*info);
	memcpy(out, info, size);
	out->size = size;
	return VALORI_OK;
}

valori_code valori_get_info(valori *store, valori_info *out, valori_error *error)
{
	valori_info info = store->opened;
	struct vl_position position;
	struct vl_totals totals;
	uint64_t slots[VL_LISTS];

	pthread_mutex_lock(&store->mutex);
	position = store->published;
	totals = store->totals;
	memcpy(slots, store->slots, sizeof(slots));
	pthread_mutex_unlock(&store->mutex);
	vl_engine_describe(store->env->kernels, &position, &totals, slots, &info);
	return give_info(&info, out, error);
}

valori_code valori_view_info(const valori_view *view, valori_info *out, valori_error *error)
{
	const struct vl_version *version = vl_engine_version(view);
	valori_info info = view->store->opened;
	uint64_t slots[VL_LISTS];

	for (unsigned list = 0; list < VL_LISTS; list++)
		slots[list] = vl_state_slots(&version->state, (enum vl_list)list);
	vl_engine_describe(version->env->kernels, &version->position, &version->state.totals, slots, &info);
	return give_info(&info, out, error);
}

/* ---- Records ---- */

static void hash_key(const valori_view *view, const void *key, size_t size, uint8_t out[VL_HASH_SIZE])
{
	vl_blake3(view->frozen->version.env->kernels, VL_HASH_KEY, key, size, out);
}

static valori_code not_found(valori_error *error, const char *what, uint64_t id)
{
	return vl_fail(error, VALORI_NOT_FOUND, "%s %llu: there is none", what, (unsigned long long)id);
}

static valori_code no_key(valori_error *error, const char *what, const char *key, size_t size)
{
	return vl_fail(error, VALORI_NOT_FOUND, "%s \"%.*s\": there is none", what, (int)(size < 80 ? size : 80), key);
}

valori_code valori_record_get(const valori_view *view, uint64_t id, valori_record *out, valori_error *error)
{
	struct vl_record record;

	if (!vl_record_get(state_of(view), id, &record))
		return not_found(error, "record", id);
	*out = (valori_record){.id = id, .status = record.status, .node = VALORI_NONE};
	if (record.status == VALORI_DELETED)
		return VALORI_OK;
	out->tag = record.tag;
	out->collection = record.collection;
	out->node = record.node;
	if (record.key_size > 0) {
		out->key = (const char *)record.key;
		out->key_size = record.key_size;
	}
	if (record.metadata_size != VL_ABSENT) {
		out->metadata = record.metadata;
		out->metadata_size = record.metadata_size;
	}
	return VALORI_OK;
}

valori_code valori_record_find(const valori_view *view, uint32_t collection, const char *key, size_t key_size,
			       uint64_t *out_id, valori_error *error)
{
	uint8_t k[VL_HASH_SIZE];
	struct vl_record record;
	uint64_t id = VALORI_NONE;

	if (key != NULL && key_size > 0 && key_size <= VALORI_KEY_MAX && collection <= UINT16_MAX) {
		hash_key(view, key, key_size, k);
		id = vl_record_find(state_of(view), (uint16_t)collection, (const uint8_t *)key, key_size, k);
	}
	if (id == VALORI_NONE || !vl_record_get(state_of(view), id, &record) || !record.visible)
		return no_key(error, "record with key", key, key_size);
	*out_id = id;
	return VALORI_OK;
}

valori_code valori_vector_get(const valori_view *view, uint64_t id, int32_t *out, valori_error *error)
{
	const struct vl_state *state = state_of(view);
	struct vl_record record;
	const uint8_t *vector;
	valori_code code;

	if (!vl_record_get(state, id, &record) || record.status == VALORI_DELETED)
		return not_found(error, "record", id);
	if ((state->flags & VL_STATE_NO_VECTORS) != 0)
		return vl_fail(error, VALORI_UNKNOWABLE, "the store was opened without vectors");
	vector = vl_state_vector(state, id);
	if (vector == NULL)
		return not_found(error, "vector of record", id);
	/* A search with it would answer another question. */
	code = vl_engine_prove_record(vl_engine_version(view), id, error);
	if (code != VALORI_OK)
		return code;
	for (uint32_t i = 0; i < state->dim; i++) {
		uint32_t word = vl_get32(vector + (size_t)i * 4);

		memcpy(&out[i], &word, sizeof(word));
	}
	return VALORI_OK;
}

/* ---- Graph, meta, collections ---- */

valori_code valori_node_get(const valori_view *view, uint64_t id, valori_node *out, valori_error *error)
{
	struct vl_node node;

	if (!vl_node_get(state_of(view), id, &node))
		return not_found(error, "node", id);
	*out = (valori_node){.id = id, .record = VALORI_NONE, .live = node.visible};
	if (!node.live)
		return VALORI_OK;
	out->record = node.record;
	out->collection = node.collection;
	out->kind = node.kind;
	return VALORI_OK;
}

static void give_edge(const struct vl_edge *edge, valori_edge *out)
{
	*out = (valori_edge){.id = edge->id, .from = VALORI_NONE, .to = VALORI_NONE, .live = edge->visible};
	if (!edge->live)
		return;
	out->from = edge->from;
	out->to = edge->to;
	out->kind = edge->kind;
}

valori_code valori_edge_get(const valori_view *view, uint64_t id, valori_edge *out, valori_error *error)
{
	struct vl_edge edge;

	if (!vl_edge_get(state_of(view), id, &edge))
		return not_found(error, "edge", id);
	give_edge(&edge, out);
	return VALORI_OK;
}

valori_code valori_edge_next(const valori_view *view, uint64_t node, int outgoing, uint64_t *cursor, valori_edge *out)
{
	/* The public cursor starts at 0, so it is one more than the edge given last. */
	uint64_t at = *cursor == 0 ? VALORI_NONE : *cursor - 1;
	struct vl_edge edge;

	if (!vl_edge_next(state_of(view), node, outgoing != 0, &at, &edge))
		return VALORI_END;
	*cursor = at + 1;
	give_edge(&edge, out);
	return VALORI_OK;
}

valori_code valori_meta_get(const valori_view *view, const char *key, size_t key_size, const uint8_t **out,
			    size_t *out_size, valori_error *error)
{
	const uint8_t *stored_key;
	size_t stored_size;
	uint8_t k[VL_HASH_SIZE];
	uint64_t slot = VALORI_NONE;

	if (key != NULL && key_size > 0 && key_size <= VALORI_KEY_MAX) {
		hash_key(view, key, key_size, k);
		slot = vl_meta_find(state_of(view), (const uint8_t *)key, key_size, k);
	}
	if (slot == VALORI_NONE || !vl_meta_get(state_of(view), slot, &stored_key, &stored_size, out, out_size))
		return no_key(error, "meta value with key", key, key_size);
	return VALORI_OK;
}

valori_code valori_config_get(const valori_view *view, uint32_t parameter, uint64_t *out, valori_error *error)
{
	const struct vl_totals *totals = &state_of(view)->totals;

	if (parameter >= VL_PARAMETERS || !(totals->config_set >> parameter & 1))
		return not_found(error, "value of configuration parameter", parameter);
	*out = totals->config[parameter];
	return VALORI_OK;
}

valori_code valori_collection_find(const valori_view *view, const char *name, size_t name_size, uint32_t *out,
				   valori_error *error)
{
	uint64_t id = VALORI_NONE;

	if (name != NULL && name_size > 0 && name_size <= VALORI_NAME_MAX)
		id = vl_collection_find(state_of(view), (const uint8_t *)name, name_size);
	if (id == VALORI_NONE)
		return no_key(error, "collection", name, name_size);
	*out = (uint32_t)id;
	return VALORI_OK;
}

valori_code valori_collection_get(const valori_view *view, uint32_t id, const char **out_name, size_t *out_size,
				  uint32_t *out_live, valori_error *error)
{
	const uint8_t *name;
	size_t size;
	bool is_live;

	if (!vl_collection_get(state_of(view), id, &name, &size, &is_live))
		return not_found(error, "collection", id);
	*out_name = (const char *)name;
	*out_size = size;
	*out_live = is_live;
	return VALORI_OK;
}
