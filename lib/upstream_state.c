/* upstream_state.c - a model of the Rust system's state that is faithful where its hash looks, and the hash. */
#include "upstream.h"

#define NIL VL_UP_NIL

/* What its snapshots can hold; its inserts forget to ask. An encrypted record is hashed with so many zeros. */
enum { DIM_MAX = 65536 };

struct record {
	const uint8_t *vector, *metadata;
	size_t vector_size;
	uint64_t tag;
	uint32_t metadata_size, next, prev; /* links may be stale: see unlink_record */
	uint16_t ns;
	uint8_t flags;
	bool there, plain, has_metadata;
};

struct node {
	uint32_t id, record, first_out, first_in, next, prev;
	uint16_t ns;
	uint8_t kind;
	bool live;
};

/* Theirs has no previous edges and walks the list to unlink one. */
struct edge {
	uint32_t id, from, to, next_out, next_in, prev_out, prev_in;
	uint8_t kind;
	bool live;
};

struct secret {
	const uint8_t *key;
	uint32_t record, next; /* of the same bucket, or NIL */
};

static struct record *record_at(const struct vl_upstream_state *state, size_t index)
{
	return (struct record *)state->records.data + index;
}

static struct node *node_at(const struct vl_upstream_state *state, size_t index)
{
	return (struct node *)state->nodes.data + index;
}

static struct edge *edge_at(const struct vl_upstream_state *state, size_t index)
{
	return (struct edge *)state->edges.data + index;
}

void *vl_upstream_grow(const struct vl_env *env, struct vl_upstream_list *list, size_t size)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
		void *data = capacity > SIZE_MAX / 2 / size ? NULL : vl_alloc(env, capacity * size);

		if (data == NULL)
			return NULL;
		if (list->count > 0)
			memcpy(data, list->data, list->count * size);
		vl_release(env, list->data, list->capacity * size);
		list->data = data;
		list->capacity = capacity;
	}
	return (uint8_t *)list->data + list->count++ * size;
}

void vl_upstream_drop(const struct vl_env *env, struct vl_upstream_list *list, size_t size)
{
	vl_release(env, list->data, list->capacity * size);
	*list = (struct vl_upstream_list){0};
}

void vl_upstream_state_init(struct vl_upstream_state *state, const struct vl_env *env)
{
	*state = (struct vl_upstream_state){.env = env};
	memset(state->record_heads, 0xff, sizeof(state->record_heads));
	memset(state->node_heads, 0xff, sizeof(state->node_heads));
}

void vl_upstream_state_free(struct vl_upstream_state *state)
{
	vl_upstream_drop(state->env, &state->records, sizeof(struct record));
	vl_upstream_drop(state->env, &state->nodes, sizeof(struct node));
	vl_upstream_drop(state->env, &state->edges, sizeof(struct edge));
	vl_upstream_drop(state->env, &state->secrets, sizeof(struct secret));
	vl_upstream_drop(state->env, &state->buckets, sizeof(uint32_t));
}

/* NULL: no such record. */
static struct record *find_record(const struct vl_upstream_state *state, uint32_t id)
{
	struct record *record = id < state->records.count ? record_at(state, id) : NULL;

	return record != NULL && record->there ? record : NULL;
}

/* Nodes and edges of a log lie at their ids; those of a snapshot ascend. */
#define FIND(kind, list)                                                                                          \
	static struct kind *find_##kind(const struct vl_upstream_state *state, uint32_t id)                       \
	{                                                                                                         \
		size_t low = 0, high = state->list.count;                                                         \
                                                                                                                  \
		if (id < high && kind##_at(state, id)->id == id)                                                  \
			return kind##_at(state, id)->live ? kind##_at(state, id) : NULL;                          \
		while (low < high) {                                                                              \
			size_t middle = low + (high - low) / 2;                                                   \
                                                                                                                  \
			if (kind##_at(state, middle)->id < id)                                                    \
				low = middle + 1;                                                                 \
			else                                                                                      \
				high = middle;                                                                    \
		}                                                                                                 \
		if (low == state->list.count || kind##_at(state, low)->id != id || !kind##_at(state, low)->live) \
			return NULL;                                                                              \
		return kind##_at(state, low);                                                                     \
	}
FIND(node, nodes)
FIND(edge, edges)

int vl_upstream_flags(const struct vl_upstream_state *state, uint32_t id)
{
	const struct record *record = find_record(state, id);

	return record != NULL ? record->flags : -1;
}

bool vl_upstream_has_node(const struct vl_upstream_state *state, uint32_t id)
{
	return find_node(state, id) != NULL;
}

/* ---- records ---- */

/*
 * As theirs does it: the record keeps its links, so that unlinking it a second time joins neighbours which it no longer
 * has. What came between is then in no list, and a dropped namespace leaves it behind: the hash shows that.
 */
static void unlink_record(struct vl_upstream_state *state, const struct record *record)
{
	struct record *prev = find_record(state, record->prev), *next = find_record(state, record->next);

	if (record->prev == NIL)
		state->record_heads[record->ns] = record->next;
	else if (prev != NULL)
		prev->next = record->next;
	if (next != NULL)
		next->prev = record->prev;
}

static valori_code insert_record(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error)
{
	bool secret = event->type == VL_UP_INSERT_ENCRYPTED || event->type == VL_UP_AUTO_INSERT_ENCRYPTED;
	size_t limit = secret ? VL_UP_METADATA_MAX + 28 : VL_UP_METADATA_MAX;
	struct record *record, *head;
	size_t id = state->records.count;

	if (event->has_id && event->id != id)
		return vl_fail(error, VALORI_INVALID, "record %u where %zu is the next one", event->id, id);
	if (secret && !state->has_dim)
		return vl_fail(error, VALORI_INVALID,
			       "an encrypted record before any other: there is no dimension yet");
	if (event->dim > DIM_MAX)
		return vl_fail(error, VALORI_TOO_LONG, "record %zu: %u components, the limit is %u", id, event->dim,
			       DIM_MAX);
	if (!secret && state->has_dim && event->dim != state->dim)
		return vl_fail(error, VALORI_DIMENSION, "record %zu: %u components where %u are expected", id,
			       event->dim, state->dim);
	if (event->has_metadata && event->metadata_size > limit)
		return vl_fail(error, VALORI_TOO_LONG, "record %zu: %zu bytes of metadata, the limit is %zu", id,
			       event->metadata_size, limit);
	if (id >= NIL)
		return vl_fail(error, VALORI_FULL, "there are no more record ids");
	record = vl_upstream_grow(state->env, &state->records, sizeof(*record));
	if (record == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	*record = (struct record){.vector = event->vector,
				  .vector_size = event->vector_size,
				  .plain = event->vector_plain,
				  .metadata = event->metadata,
				  .metadata_size = (uint32_t)event->metadata_size,
				  .has_metadata = event->has_metadata,
				  .tag = event->tag,
				  .ns = event->ns,
				  .flags = secret ? VL_UP_ENCRYPTED : 0,
				  .there = true,
				  .next = state->record_heads[event->ns],
				  .prev = NIL};
	head = find_record(state, record->next);
	if (head != NULL)
		head->prev = (uint32_t)id;
	state->record_heads[event->ns] = (uint32_t)id;
	if (!secret && !state->has_dim) {
		state->has_dim = true;
		state->dim = event->dim;
	}
	event->id = (uint32_t)id;
	return VALORI_OK;
}

/* ---- which records does a key's name open? Chains in buckets by hash, which double. ---- */

static uint32_t bucket_of(const struct vl_upstream_state *state, const uint8_t *key)
{
	uint8_t hash[VL_HASH_SIZE];

	vl_blake3(state->env->kernels, VL_HASH_PLAIN, key, VL_UP_KEY, hash);
	return (uint32_t)(vl_get32(hash) & (state->buckets.count - 1));
}

static bool spread_secrets(struct vl_upstream_state *state, size_t buckets)
{
	struct secret *secrets = state->secrets.data;
	uint32_t *heads;

	vl_upstream_drop(state->env, &state->buckets, sizeof(uint32_t));
	for (size_t i = 0; i < buckets; i++) {
		heads = vl_upstream_grow(state->env, &state->buckets, sizeof(uint32_t));
		if (heads == NULL)
			return false;
		*heads = NIL;
	}
	heads = state->buckets.data;
	for (size_t i = 0; i < state->secrets.count; i++) {
		uint32_t bucket = bucket_of(state, secrets[i].key);

		secrets[i].next = heads[bucket];
		heads[bucket] = (uint32_t)i;
	}
	return true;
}

static bool remember_secret(struct vl_upstream_state *state, const uint8_t *key, uint32_t id)
{
	struct secret *secret = vl_upstream_grow(state->env, &state->secrets, sizeof(*secret));
	size_t index = state->secrets.count - 1;
	uint32_t *head;

	if (secret == NULL)
		return false;
	*secret = (struct secret){.key = key, .record = id};
	if (state->secrets.count > state->buckets.count)
		return spread_secrets(state, state->buckets.count == 0 ? 64 : 2 * state->buckets.count);
	head = (uint32_t *)state->buckets.data + bucket_of(state, key);
	secret->next = *head;
	*head = (uint32_t)index;
	return true;
}

/* Shredded once is shredded: its chain loses what was found, or a log could make this walk as often as it likes. */
static void shred(struct vl_upstream_state *state, const uint8_t *key)
{
	struct secret *secrets = state->secrets.data;
	uint32_t *link;

	if (state->buckets.count == 0)
		return;
	for (link = (uint32_t *)state->buckets.data + bucket_of(state, key); *link != NIL;) {
		struct secret *secret = &secrets[*link];
		struct record *record;

		if (memcmp(secret->key, key, VL_UP_KEY) != 0) {
			link = &secret->next;
			continue;
		}
		record = find_record(state, secret->record);
		if (record != NULL) {
			record->flags |= VL_UP_SHREDDED;
			record->has_metadata = false;
		}
		*link = secret->next;
	}
}

static valori_code insert_secret(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error)
{
	valori_code code = insert_record(state, event, error);

	if (code == VALORI_OK && !remember_secret(state, event->key, event->id))
		code = vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	return code;
}

/* ---- the graph ---- */

static valori_code create_node(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error)
{
	const struct record *record = find_record(state, event->record);
	struct node *node, *head;
	size_t id = state->nodes.count;

	if (event->has_id && event->id != id)
		return vl_fail(error, VALORI_INVALID, "node %u where %zu is the next one", event->id, id);
	if (event->record != NIL && record == NULL)
		return vl_fail(error, VALORI_NOT_FOUND, "node %zu: there is no record %u", id, event->record);
	if (record != NULL && record->ns != event->ns)
		return vl_fail(error, VALORI_INVALID, "node %zu: record %u is in another namespace", id, event->record);
	node = id < NIL ? vl_upstream_grow(state->env, &state->nodes, sizeof(*node)) : NULL;
	if (node == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	*node = (struct node){.id = (uint32_t)id,
			      .record = event->record,
			      .first_out = NIL,
			      .first_in = NIL,
			      .kind = event->kind,
			      .ns = event->ns,
			      .live = true,
			      .next = state->node_heads[event->ns],
			      .prev = NIL};
	head = find_node(state, node->next);
	if (head != NULL)
		head->prev = (uint32_t)id;
	state->node_heads[event->ns] = (uint32_t)id;
	event->id = (uint32_t)id;
	return VALORI_OK;
}

static valori_code create_edge(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error)
{
	struct node *from = find_node(state, event->from), *to = find_node(state, event->to);
	struct edge *edge;
	size_t id = state->edges.count;

	if (event->has_id && event->id != id)
		return vl_fail(error, VALORI_INVALID, "edge %u where %zu is the next one", event->id, id);
	if (from == NULL || to == NULL)
		return vl_fail(error, VALORI_NOT_FOUND, "edge %zu: there is no node %u", id,
			       from == NULL ? event->from : event->to);
	if (from->ns != to->ns)
		return vl_fail(error, VALORI_INVALID, "edge %zu: its ends are in two namespaces", id);
	edge = id < NIL ? vl_upstream_grow(state->env, &state->edges, sizeof(*edge)) : NULL;
	if (edge == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	*edge = (struct edge){.id = (uint32_t)id,
			      .from = event->from,
			      .to = event->to,
			      .next_out = from->first_out,
			      .next_in = to->first_in,
			      .prev_out = NIL,
			      .prev_in = NIL,
			      .kind = event->kind,
			      .live = true};
	if (edge->next_out != NIL)
		edge_at(state, edge->next_out)->prev_out = edge->id;
	if (edge->next_in != NIL)
		edge_at(state, edge->next_in)->prev_in = edge->id;
	from->first_out = to->first_in = edge->id;
	event->id = edge->id;
	return VALORI_OK;
}

static void delete_edge(struct vl_upstream_state *state, struct edge *edge)
{
	if (edge->prev_out != NIL)
		edge_at(state, edge->prev_out)->next_out = edge->next_out;
	else
		node_at(state, edge->from)->first_out = edge->next_out;
	if (edge->next_out != NIL)
		edge_at(state, edge->next_out)->prev_out = edge->prev_out;
	if (edge->prev_in != NIL)
		edge_at(state, edge->prev_in)->next_in = edge->next_in;
	else
		node_at(state, edge->to)->first_in = edge->next_in;
	if (edge->next_in != NIL)
		edge_at(state, edge->next_in)->prev_in = edge->prev_in;
	edge->live = false;
}

static void delete_node(struct vl_upstream_state *state, struct node *node)
{
	if (node->prev != NIL)
		node_at(state, node->prev)->next = node->next;
	else
		state->node_heads[node->ns] = node->next;
	if (node->next != NIL)
		node_at(state, node->next)->prev = node->prev;
	while (node->first_out != NIL)
		delete_edge(state, edge_at(state, node->first_out));
	while (node->first_in != NIL)
		delete_edge(state, edge_at(state, node->first_in));
	node->live = false;
}

/* A hole that a stale link leads to ends the walk over the records, as it does there. */
static void drop_namespace(struct vl_upstream_state *state, uint16_t ns)
{
	uint32_t next;

	for (uint32_t id = state->record_heads[ns]; id != NIL; id = next) {
		struct record *record = find_record(state, id);

		next = record != NULL ? record->next : NIL;
		if (record != NULL)
			record->there = false;
	}
	state->record_heads[ns] = NIL;
	while (state->node_heads[ns] != NIL)
		delete_node(state, node_at(state, state->node_heads[ns]));
}

/* ---- apply ---- */

int vl_upstream_ahead(const struct vl_upstream_state *state, const struct vl_upstream_event *event)
{
	size_t next = 0;

	if (!event->has_id)
		return 0;
	if (event->type == VL_UP_CREATE_NODE)
		next = state->nodes.count;
	else if (event->type == VL_UP_CREATE_EDGE)
		next = state->edges.count;
	else
		next = state->records.count;
	return event->id > next ? 1 : event->id < next ? -1 : 0;
}

static bool has_namespace(const struct vl_upstream_event *event)
{
	switch ((enum vl_upstream_type)event->type) {
	case VL_UP_INSERT:
	case VL_UP_AUTO_INSERT:
	case VL_UP_INSERT_ENCRYPTED:
	case VL_UP_AUTO_INSERT_ENCRYPTED:
	case VL_UP_CREATE_NODE:
	case VL_UP_AUTO_CREATE_NODE:
	case VL_UP_CREATE_NAMESPACE:
	case VL_UP_DROP_NAMESPACE:
		return true;
	case VL_UP_DELETE:
	case VL_UP_CREATE_EDGE:
	case VL_UP_DELETE_EDGE:
	case VL_UP_SOFT_DELETE:
	case VL_UP_DELETE_NODE:
	case VL_UP_SHRED_KEY:
	case VL_UP_AUTO_CREATE_EDGE:
	case VL_UP_SET_META:
	case VL_UP_UPDATE_METADATA:
	case VL_UP_HOLE:
		return false;
	}
	return false;
}

static valori_code change_record(struct vl_upstream_state *state, const struct vl_upstream_event *event,
				 valori_error *error)
{
	struct record *record = find_record(state, event->id);

	if (record == NULL)
		return vl_fail(error, VALORI_NOT_FOUND, "there is no record %u", event->id);
	if (event->type == VL_UP_UPDATE_METADATA) {
		record->metadata = event->metadata;
		record->metadata_size = (uint32_t)event->metadata_size;
		record->has_metadata = event->has_metadata;
		return VALORI_OK;
	}
	unlink_record(state, record);
	if (event->type == VL_UP_DELETE)
		record->there = false;
	else
		record->flags |= VL_UP_SOFT_DELETED;
	return VALORI_OK;
}

static valori_code delete_from_graph(struct vl_upstream_state *state, const struct vl_upstream_event *event,
				     valori_error *error)
{
	struct node *node = event->type == VL_UP_DELETE_NODE ? find_node(state, event->id) : NULL;
	struct edge *edge = event->type == VL_UP_DELETE_EDGE ? find_edge(state, event->id) : NULL;

	if (node == NULL && edge == NULL)
		return vl_fail(error, VALORI_NOT_FOUND, "there is no %s %u",
			       event->type == VL_UP_DELETE_NODE ? "node" : "edge", event->id);
	if (node != NULL)
		delete_node(state, node);
	else
		delete_edge(state, edge);
	return VALORI_OK;
}

static valori_code change(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error)
{
	if (has_namespace(event) && event->ns >= VL_UP_NAMESPACES)
		return vl_fail(error, VALORI_INVALID, "namespace %u: there are only %u", event->ns, VL_UP_NAMESPACES);
	switch ((enum vl_upstream_type)event->type) {
	case VL_UP_INSERT:
	case VL_UP_AUTO_INSERT:
		return insert_record(state, event, error);
	case VL_UP_INSERT_ENCRYPTED:
	case VL_UP_AUTO_INSERT_ENCRYPTED:
		return insert_secret(state, event, error);
	case VL_UP_DELETE:
	case VL_UP_SOFT_DELETE:
	case VL_UP_UPDATE_METADATA:
		return change_record(state, event, error);
	case VL_UP_CREATE_NODE:
	case VL_UP_AUTO_CREATE_NODE:
		return create_node(state, event, error);
	case VL_UP_CREATE_EDGE:
	case VL_UP_AUTO_CREATE_EDGE:
		return create_edge(state, event, error);
	case VL_UP_DELETE_NODE:
	case VL_UP_DELETE_EDGE:
		return delete_from_graph(state, event, error);
	case VL_UP_SHRED_KEY:
		shred(state, event->key);
		return VALORI_OK;
	case VL_UP_DROP_NAMESPACE:
		if (event->ns == 0)
			return vl_fail(error, VALORI_INVALID, "namespace 0 cannot be dropped");
		drop_namespace(state, event->ns);
		return VALORI_OK;
	case VL_UP_CREATE_NAMESPACE:
	case VL_UP_SET_META:
	case VL_UP_HOLE:
		return VALORI_OK;
	}
	return VALORI_OK;
}

valori_code vl_upstream_apply(struct vl_upstream_state *state, struct vl_upstream_event *event, valori_error *error)
{
	valori_code code = change(state, event, error);

	state->version += code == VALORI_OK;
	return code;
}

/* ---- from a snapshot ---- */

bool vl_upstream_put_record(struct vl_upstream_state *state, const struct vl_upstream_event *event, uint8_t flags)
{
	struct record *record = vl_upstream_grow(state->env, &state->records, sizeof(*record));

	if (record == NULL)
		return false;
	*record = (struct record){.vector = event->vector,
				  .vector_size = event->vector_size,
				  .plain = true,
				  .metadata = event->metadata,
				  .metadata_size = (uint32_t)event->metadata_size,
				  .has_metadata = event->has_metadata,
				  .tag = event->tag,
				  .ns = event->ns,
				  .flags = flags,
				  .there = event->type != VL_UP_HOLE,
				  .next = NIL,
				  .prev = NIL};
	return true;
}

bool vl_upstream_put_node(struct vl_upstream_state *state, const struct vl_upstream_event *event, uint32_t first_out)
{
	size_t count = state->nodes.count;
	struct node *node;

	if (count > 0 && node_at(state, count - 1)->id >= event->id)
		return false;
	node = vl_upstream_grow(state->env, &state->nodes, sizeof(*node));
	if (node == NULL)
		return false;
	*node = (struct node){.id = event->id,
			      .record = event->record,
			      .first_out = first_out,
			      .first_in = NIL,
			      .kind = event->kind,
			      .ns = event->ns,
			      .live = true};
	return true;
}

bool vl_upstream_put_edge(struct vl_upstream_state *state, const struct vl_upstream_event *event, uint32_t next_out)
{
	size_t count = state->edges.count;
	struct edge *edge;

	if (count > 0 && edge_at(state, count - 1)->id >= event->id)
		return false;
	edge = vl_upstream_grow(state->env, &state->edges, sizeof(*edge));
	if (edge == NULL)
		return false;
	*edge = (struct edge){.id = event->id,
			      .from = event->from,
			      .to = event->to,
			      .next_out = next_out,
			      .next_in = NIL,
			      .kind = event->kind,
			      .live = true};
	return true;
}

/* ---- what it amounts to ---- */

static bool is_active(const struct record *record)
{
	return record->there && (record->flags & (VL_UP_SOFT_DELETED | VL_UP_SHREDDED)) == 0;
}

void vl_upstream_count(const struct vl_upstream_state *state, struct vl_upstream_counts *out)
{
	*out = (struct vl_upstream_counts){.record_slots = state->records.count};
	for (size_t i = 0; i < state->records.count; i++) {
		const struct record *record = record_at(state, i);

		out->record_active += is_active(record);
		out->record_soft_deleted += record->there && (record->flags & VL_UP_SOFT_DELETED) != 0;
		out->record_encrypted += is_active(record) && (record->flags & VL_UP_ENCRYPTED) != 0;
		out->record_shredded += record->there && (record->flags & VL_UP_SHREDDED) != 0;
	}
	if (state->nodes.count > 0)
		out->node_slots = (uint64_t)node_at(state, state->nodes.count - 1)->id + 1;
	if (state->edges.count > 0)
		out->edge_slots = (uint64_t)edge_at(state, state->edges.count - 1)->id + 1;
	for (size_t i = 0; i < state->nodes.count; i++)
		out->node_live += node_at(state, i)->live;
	for (size_t i = 0; i < state->edges.count; i++)
		out->edge_live += edge_at(state, i)->live;
}

enum { PIECE = 1024 }; /* components decoded at a time */

static void hash_vector(struct vl_blake3 *hash, const struct record *record, uint32_t dim)
{
	const uint8_t *at = record->vector, *end = at == NULL ? NULL : at + record->vector_size;
	uint8_t piece[4 * PIECE];

	if (record->plain && at != NULL) {
		vl_blake3_update(hash, at, record->vector_size);
		return;
	}
	memset(piece, 0, sizeof(piece));
	for (uint32_t done = 0; done < dim;) {
		uint32_t count = dim - done < PIECE ? dim - done : PIECE;

		if (at != NULL)
			vl_upstream_components(&at, end, count, piece);
		vl_blake3_update(hash, piece, 4 * (size_t)count);
		done += count;
	}
}

static void hash_record(struct vl_blake3 *hash, const struct record *record, uint32_t id, uint32_t dim)
{
	uint8_t bytes[8];

	vl_put32(bytes, id);
	bytes[4] = record->flags;
	vl_blake3_update(hash, bytes, 5);
	hash_vector(hash, record, dim);
	vl_put64(bytes, record->tag);
	vl_blake3_update(hash, bytes, 8);
	vl_put32(bytes, record->has_metadata ? record->metadata_size : UINT32_MAX);
	vl_blake3_update(hash, bytes, 4);
	if (record->has_metadata && record->metadata_size > 0)
		vl_blake3_update(hash, record->metadata, record->metadata_size);
}

void vl_upstream_hash(const struct vl_upstream_state *state, uint8_t out[VL_HASH_SIZE])
{
	struct vl_blake3 hash;
	uint8_t bytes[22] = "valori-state\2\1";

	vl_blake3_init(&hash, state->env->kernels, VL_HASH_PLAIN);
	vl_put64(bytes + 14, state->version);
	vl_blake3_update(&hash, bytes, 22);
	for (size_t i = 0; i < state->records.count; i++)
		if (is_active(record_at(state, i)))
			hash_record(&hash, record_at(state, i), (uint32_t)i, state->dim);
	for (size_t i = 0; i < state->nodes.count; i++) {
		const struct node *node = node_at(state, i);

		vl_put32(bytes, node->id);
		bytes[4] = node->kind;
		vl_put32(bytes + 5, node->record);
		vl_put32(bytes + 9, node->first_out);
		if (node->live)
			vl_blake3_update(&hash, bytes, 13);
	}
	for (size_t i = 0; i < state->edges.count; i++) {
		const struct edge *edge = edge_at(state, i);

		vl_put32(bytes, edge->id);
		bytes[4] = edge->kind;
		vl_put32(bytes + 5, edge->from);
		vl_put32(bytes + 9, edge->to);
		vl_put32(bytes + 13, edge->next_out);
		if (edge->live)
			vl_blake3_update(&hash, bytes, 17);
	}
	vl_blake3_final(&hash, out);
}
