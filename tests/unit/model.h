/*
 * model.h - a second state, written as plainly as can be: lists that are searched from end to end, nothing
 * incremental.
 *
 * Contents are pointers into constant pools, so a model is copied by assignment. Its root is computed from
 * the words of state.h and commitment.h, byte by byte, with a recursion over all leaves. random_event makes
 * what a client might send, sensible or not.
 */
#ifndef MODEL_H
#define MODEL_H

#include <string.h>

#include "check.h"
#include "commitment.h"

enum { MODEL_MAX = 6000, MODEL_DIM = 3, MODEL_KEYS = 12, MODEL_POOL = 70000 };

struct model_record {
	uint8_t status;
	uint16_t collection;
	uint64_t tag;
	const uint8_t *key, *metadata, *vector, *vector_salt, *metadata_salt;
	uint32_t key_size, metadata_size;
};

struct model_node {
	bool live;
	uint16_t collection;
	uint8_t kind;
	uint64_t record, named; /* named: when it was pointed to its record */
};

struct model_edge {
	bool live;
	uint8_t kind;
	uint64_t from, to;
};

struct model_text { /* a meta slot, or a collection */
	bool live;
	const uint8_t *key, *value;
	uint32_t key_size, value_size;
};

struct model {
	uint64_t record_count, node_count, edge_count, meta_count, collection_count, clock;
	struct model_record records[MODEL_MAX];
	struct model_node nodes[MODEL_MAX];
	struct model_edge edges[MODEL_MAX];
	struct model_text meta[MODEL_MAX], collections[MODEL_MAX];
	uint64_t config[16];
	bool config_set[16];
};

static uint8_t model_pool[MODEL_POOL]; /* contents are cut out of this */
static char model_keys[MODEL_KEYS][256];

static void model_init(struct model *m)
{
	uint64_t seed = 11;

	memset(m, 0, sizeof(*m));
	m->collection_count = 1;
	m->collections[0] = (struct model_text){.live = true, .key = (const uint8_t *)"default", .key_size = 7};
	for (size_t i = 0; i < MODEL_POOL; i++)
		model_pool[i] = (uint8_t)check_random(&seed);
	for (int i = 0; i < MODEL_KEYS; i++) {
		memset(model_keys[i], 'a' + i, 255);
		model_keys[i][i == 0 ? 255 : i * 3] = '\0';
	}
}

static bool model_collection_live(const struct model *m, uint64_t id)
{
	return id < m->collection_count && m->collections[id].live;
}

static bool model_record_live(const struct model *m, uint64_t id)
{
	return id < m->record_count && m->records[id].status == VALORI_LIVE &&
	       model_collection_live(m, m->records[id].collection);
}

static bool model_node_live(const struct model *m, uint64_t id)
{
	return id < m->node_count && m->nodes[id].live && model_collection_live(m, m->nodes[id].collection);
}

static bool model_edge_live(const struct model *m, uint64_t id)
{
	return id < m->edge_count && m->edges[id].live && model_node_live(m, m->edges[id].from);
}

static uint64_t model_find(const struct model *m, uint16_t collection, const uint8_t *key, uint32_t size)
{
	for (uint64_t i = 0; i < m->record_count; i++)
		if (model_record_live(m, i) && m->records[i].collection == collection && size > 0 &&
		    m->records[i].key_size == size && memcmp(m->records[i].key, key, size) == 0)
			return i;
	return VALORI_NONE;
}

static uint64_t model_find_text(const struct model_text *texts, uint64_t count, const uint8_t *key, uint32_t size)
{
	for (uint64_t i = 0; i < count; i++)
		if (texts[i].live && texts[i].key_size == size && memcmp(texts[i].key, key, size) == 0)
			return i;
	return VALORI_NONE;
}

static bool model_may_name(const struct model *m, uint64_t record, uint16_t collection)
{
	return record == VALORI_NONE || (model_record_live(m, record) && m->records[record].collection == collection);
}

/* True: applied. False: refused, and nothing changed. */
static bool model_apply(struct model *m, const struct vl_event *e)
{
	const uint8_t *salt = e->flags & VL_EVENT_SALTED ? e->salt : NULL;
	bool ok = false;
	uint64_t slot;

	switch ((valori_event_type)e->type) {
	case VALORI_EVENT_INSERT:
		ok = e->id == m->record_count && model_collection_live(m, e->collection) &&
		     model_find(m, e->collection, e->key, e->key_size) == VALORI_NONE;
		if (ok)
			m->records[m->record_count++] =
				(struct model_record){.status = VALORI_LIVE,
						      .collection = e->collection,
						      .tag = e->tag,
						      .key = e->key,
						      .key_size = e->key_size,
						      .metadata = e->metadata,
						      .metadata_size = e->metadata_size,
						      .vector = e->vector,
						      .vector_salt = salt,
						      .metadata_salt = e->metadata_size == VL_ABSENT ? NULL : salt};
		break;
	case VALORI_EVENT_SOFT_DELETE:
		ok = model_record_live(m, e->id);
		if (ok)
			m->records[e->id].status = VALORI_TOMBSTONE;
		break;
	case VALORI_EVENT_DELETE:
		ok = e->id < m->record_count && m->records[e->id].status != VALORI_DELETED;
		if (ok)
			m->records[e->id] = (struct model_record){.status = VALORI_DELETED, .metadata_size = VL_ABSENT};
		break;
	case VALORI_EVENT_SET_METADATA:
		ok = model_record_live(m, e->id);
		if (ok) {
			m->records[e->id].metadata = e->metadata;
			m->records[e->id].metadata_size = e->metadata_size;
			m->records[e->id].metadata_salt = salt;
		}
		break;
	case VALORI_EVENT_SET_TAG:
		ok = model_record_live(m, e->id);
		if (ok)
			m->records[e->id].tag = e->tag;
		break;
	case VALORI_EVENT_NODE_CREATE:
		ok = e->id == m->node_count && model_collection_live(m, e->collection) &&
		     model_may_name(m, e->record, e->collection);
		if (ok)
			m->nodes[m->node_count++] =
				(struct model_node){true, e->collection, e->kind, e->record, m->clock};
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
		ok = model_node_live(m, e->id) && model_may_name(m, e->record, m->nodes[e->id].collection);
		if (ok) {
			m->nodes[e->id].record = e->record;
			m->nodes[e->id].named = m->clock;
		}
		break;
	case VALORI_EVENT_NODE_DELETE:
		ok = model_node_live(m, e->id);
		for (uint64_t i = 0; ok && i < m->edge_count; i++)
			if (m->edges[i].live && (m->edges[i].from == e->id || m->edges[i].to == e->id))
				m->edges[i] = (struct model_edge){.live = false};
		if (ok)
			m->nodes[e->id] = (struct model_node){.live = false, .record = VALORI_NONE};
		break;
	case VALORI_EVENT_EDGE_CREATE:
		ok = e->id == m->edge_count && model_node_live(m, e->from) && model_node_live(m, e->to) &&
		     m->nodes[e->from].collection == m->nodes[e->to].collection;
		if (ok)
			m->edges[m->edge_count++] = (struct model_edge){true, e->kind, e->from, e->to};
		break;
	case VALORI_EVENT_EDGE_DELETE:
		ok = model_edge_live(m, e->id);
		if (ok)
			m->edges[e->id] = (struct model_edge){.live = false};
		break;
	case VALORI_EVENT_META_SET:
		slot = model_find_text(m->meta, m->meta_count, e->key, e->key_size);
		ok = e->id == (slot == VALORI_NONE ? m->meta_count : slot);
		if (ok)
			m->meta[e->id] = (struct model_text){true, e->key, e->metadata, e->key_size, e->metadata_size};
		m->meta_count += ok && slot == VALORI_NONE;
		break;
	case VALORI_EVENT_META_DELETE:
		ok = e->id < m->meta_count && m->meta[e->id].live;
		if (ok)
			m->meta[e->id] = (struct model_text){.live = false};
		break;
	case VALORI_EVENT_COLLECTION_CREATE:
		ok = e->id == m->collection_count &&
		     model_find_text(m->collections, m->collection_count, e->key, e->key_size) == VALORI_NONE;
		if (ok)
			m->collections[m->collection_count++] = (struct model_text){true, e->key, NULL, e->key_size, 0};
		break;
	case VALORI_EVENT_COLLECTION_DROP:
		ok = e->id > 0 && model_collection_live(m, e->id);
		if (ok)
			m->collections[e->id].live = false;
		break;
	case VALORI_EVENT_CONFIG:
		ok = e->parameter == VL_PARAM_HNSW_M && e->tag >= 2 && e->tag <= 256;
		if (ok) {
			m->config[e->parameter] = e->tag;
			m->config_set[e->parameter] = true;
		}
		break;
	}
	m->clock += ok;
	return ok;
}

/* ---- what a client might send ---- */

static const uint8_t *random_blob(uint64_t *seed, uint32_t *size)
{
	uint64_t r = check_random(seed);

	*size = r % 50 == 0 ? 65536 : r % 20 == 0 ? (uint32_t)(r >> 8) % 5000 : (uint32_t)(r >> 8) % 60;
	return model_pool + (r >> 32) % (MODEL_POOL - 65536);
}

/* Mostly one that exists, at times the next one or nonsense. */
static uint64_t random_id(uint64_t *seed, uint64_t count)
{
	uint64_t r = check_random(seed);

	return r % 30 == 0 ? count + (r >> 8) % 3 : r % 200 == 1 ? r : count == 0 ? 0 : (r >> 8) % count;
}

__attribute__((unused)) static void random_event(uint64_t *seed, const struct model *m, struct vl_event *e)
{
	uint64_t r = check_random(seed), s = check_random(seed);
	/* Things must come faster than they go. */
	static const uint8_t types[] = {1, 1, 1, 1, 1, 1,  2,  3,  4,  4,  5,  5,  6,  6, 6, 7, 7, 8,
					9, 9, 9, 9, 9, 10, 11, 11, 11, 12, 13, 14, 15, 1, 1, 6, 9};
	static const char *const names[] = {"a", "b", "c", "default", "e"};

	memset(e, 0, sizeof(*e));
	e->type = types[r % sizeof(types)];
	e->metadata_size = VL_ABSENT;
	e->kind = (uint8_t)s;
	e->collection = (uint16_t)(s % 4 == 0 ? (s >> 8) % (m->collection_count + 1) : 0);
	if (e->collection >= 1 && m->collection_count > 6 && s % 3 != 0)
		e->collection = (uint16_t)(m->collection_count - 1 - (s >> 20) % 3);
	e->record = (s >> 30) % 3 == 0 ? VALORI_NONE : random_id(seed, m->record_count);
	switch ((valori_event_type)e->type) {
	case VALORI_EVENT_INSERT:
		e->id = r % 97 == 0 ? random_id(seed, m->record_count) : m->record_count;
		e->tag = (s >> 16) % 5;
		e->vector = model_pool + (s >> 24) % 60000;
		if ((r >> 8) % 2 == 0)
			e->key = (const uint8_t *)model_keys[(r >> 16) % MODEL_KEYS];
		if ((r >> 9) % 2 == 0)
			e->metadata = random_blob(seed, &e->metadata_size);
		break;
	case VALORI_EVENT_SET_METADATA:
		e->id = random_id(seed, m->record_count);
		if ((r >> 9) % 4 != 0)
			e->metadata = random_blob(seed, &e->metadata_size);
		break;
	case VALORI_EVENT_SOFT_DELETE:
	case VALORI_EVENT_DELETE:
	case VALORI_EVENT_SET_TAG:
		e->id = random_id(seed, m->record_count);
		e->tag = e->type == VALORI_EVENT_SET_TAG ? s : 0;
		break;
	case VALORI_EVENT_NODE_CREATE:
		e->id = r % 97 == 0 ? random_id(seed, m->node_count) : m->node_count;
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
	case VALORI_EVENT_NODE_DELETE:
		e->id = random_id(seed, m->node_count);
		break;
	case VALORI_EVENT_EDGE_CREATE:
		e->id = r % 97 == 0 ? random_id(seed, m->edge_count) : m->edge_count;
		/* A few nodes have many edges. */
		e->from = random_id(seed, s % 2 == 0 && m->node_count > 3 ? 3 : m->node_count);
		e->to = s % 9 == 0 ? e->from : random_id(seed, m->node_count);
		break;
	case VALORI_EVENT_EDGE_DELETE:
		e->id = random_id(seed, m->edge_count);
		break;
	case VALORI_EVENT_META_SET:
		e->key = (const uint8_t *)model_keys[(r >> 16) % MODEL_KEYS];
		e->metadata = random_blob(seed, &e->metadata_size);
		e->id = model_find_text(m->meta, m->meta_count, e->key, (uint32_t)strlen((const char *)e->key));
		if (e->id == VALORI_NONE)
			e->id = m->meta_count;
		if (r % 31 == 0)
			e->id = random_id(seed, m->meta_count);
		break;
	case VALORI_EVENT_META_DELETE:
		e->id = random_id(seed, m->meta_count);
		break;
	case VALORI_EVENT_COLLECTION_CREATE:
		e->id = m->collection_count;
		e->key = (const uint8_t *)names[(r >> 16) % 5];
		break;
	case VALORI_EVENT_COLLECTION_DROP:
		e->id = random_id(seed, m->collection_count);
		break;
	case VALORI_EVENT_CONFIG:
		e->parameter = VL_PARAM_HNSW_M;
		e->tag = s % 300;
		break;
	}
	e->key_size = e->key == NULL ? 0 : (uint32_t)strlen((const char *)e->key);
	if ((e->type == VALORI_EVENT_INSERT || (e->type == VALORI_EVENT_SET_METADATA && e->metadata != NULL)) &&
	    (r >> 40) % 3 == 0) {
		e->flags = VL_EVENT_SALTED;
		e->salt = model_pool + (s >> 40) % 1000;
	}
}

/* ---- is it the same? ---- */

static bool model_same_bytes(const uint8_t *a, uint64_t a_size, const uint8_t *b, uint64_t b_size)
{
	return (a == NULL) == (b == NULL) && (a == NULL || (a_size == b_size && memcmp(a, b, a_size) == 0));
}

static const char *model_records_differ(const struct model *m, const struct vl_state *s)
{
	for (uint64_t i = 0; i < m->record_count; i++) {
		const struct model_record *r = &m->records[i];
		struct vl_record out;
		uint64_t cursor = VALORI_NONE, last = 0;
		const uint8_t *vector = vl_state_vector(s, i);

		if (!vl_record_get(s, i, &out) || out.id != i || out.status != r->status || out.tag != r->tag ||
		    out.collection != r->collection || out.visible != model_record_live(m, i))
			return "record";
		if (!model_same_bytes(out.key, out.key_size, r->key_size > 0 ? r->key : NULL, r->key_size))
			return "record's key";
		if ((out.metadata_size == VL_ABSENT) != (r->metadata == NULL) ||
		    !model_same_bytes(out.metadata, out.metadata_size, r->metadata, r->metadata_size))
			return "record's metadata";
		if (!model_same_bytes(out.vector_salt, 16, r->vector_salt, 16) ||
		    !model_same_bytes(out.metadata_salt, 16, r->metadata_salt, 16))
			return "record's salts";
		if ((s->flags & VL_STATE_NO_VECTORS) == 0 && !model_same_bytes(vector, 1, r->vector, 1))
			return "record's vector";
		if (vector != NULL && memcmp(vector, r->vector, 4 * MODEL_DIM) != 0)
			return "record's vector's bytes";
		/* Its nodes, in the order in which they came to name it. */
		for (uint64_t seen = 0, named = 0, n = 0; n <= m->node_count; n++) {
			named += n < m->node_count && m->nodes[n].live && m->nodes[n].record == i;
			if (n < m->node_count)
				continue;
			for (; vl_record_node_next(s, i, &cursor); seen++, last = m->nodes[cursor].named + 1) {
				if (seen == 0 && out.node != cursor)
					return "record's first node";
				if (!m->nodes[cursor].live || m->nodes[cursor].record != i ||
				    m->nodes[cursor].named < last)
					return "record's nodes";
			}
			if (seen != named || (named == 0 && out.node != VALORI_NONE))
				return "count of a record's nodes";
		}
	}
	return vl_state_slots(s, VL_RECORDS) == m->record_count ? NULL : "count of records";
}

static const char *model_edges_differ(const struct model *m, const struct vl_state *s, uint64_t node, bool outgoing)
{
	uint64_t cursor = VALORI_NONE;
	struct vl_edge out;

	for (uint64_t i = 0; i < m->edge_count; i++) {
		if (!m->edges[i].live || (outgoing ? m->edges[i].from : m->edges[i].to) != node)
			continue;
		if (!vl_edge_next(s, node, outgoing, &cursor, &out) || cursor != i || out.id != i)
			return "list of edges";
	}
	return vl_edge_next(s, node, outgoing, &cursor, &out) ? "length of a list of edges" : NULL;
}

static const char *model_graph_differs(const struct model *m, const struct vl_state *s)
{
	for (uint64_t i = 0; i < m->node_count; i++) {
		const struct model_node *n = &m->nodes[i];
		const char *fault;
		struct vl_node out;

		if (!vl_node_get(s, i, &out) || out.id != i || out.live != n->live || out.record != n->record ||
		    out.kind != n->kind || out.collection != n->collection || out.visible != model_node_live(m, i))
			return "node";
		for (int outgoing = 0; outgoing < 2; outgoing++) {
			fault = model_edges_differ(m, s, i, outgoing == 1);
			if (fault != NULL)
				return fault;
		}
	}
	for (uint64_t i = 0; i < m->edge_count; i++) {
		const struct model_edge *e = &m->edges[i];
		struct vl_edge out;

		if (!vl_edge_get(s, i, &out) || out.id != i || out.live != e->live || out.from != e->from ||
		    out.to != e->to || out.kind != e->kind || out.visible != model_edge_live(m, i))
			return "edge";
	}
	return vl_state_slots(s, VL_NODES) == m->node_count && vl_state_slots(s, VL_EDGES) == m->edge_count
		       ? NULL
		       : "count of nodes or edges";
}

static const char *model_texts_differ(const struct model *m, const struct vl_state *s)
{
	const uint8_t *key, *value;
	size_t key_size, value_size;
	uint8_t k[32];

	for (uint64_t i = 0; i < m->meta_count; i++) {
		const struct model_text *t = &m->meta[i];

		if (vl_meta_get(s, i, &key, &key_size, &value, &value_size) != t->live)
			return "meta slot";
		if (t->live && (!model_same_bytes(key, key_size, t->key, t->key_size) ||
				!model_same_bytes(value, value_size, t->value, t->value_size)))
			return "meta key or value";
	}
	for (uint64_t i = 0; i < m->collection_count; i++) {
		const struct model_text *t = &m->collections[i];
		bool live;

		if (!vl_collection_get(s, i, &key, &key_size, &live) || live != t->live ||
		    !model_same_bytes(key, key_size, t->key, t->key_size))
			return "collection";
		if (vl_collection_find(s, t->key, t->key_size) !=
		    model_find_text(m->collections, m->collection_count, t->key, t->key_size))
			return "finding a collection";
	}
	for (int i = 0; i < MODEL_KEYS; i++) {
		uint32_t size = (uint32_t)strlen(model_keys[i]);

		key = (const uint8_t *)model_keys[i];
		vl_blake3(s->env->kernels, VL_HASH_KEY, key, size, k);
		if (vl_meta_find(s, key, size, k) != model_find_text(m->meta, m->meta_count, key, size))
			return "finding a meta key";
		for (uint64_t c = 0; c <= m->collection_count; c++)
			if (vl_record_find(s, (uint16_t)c, key, size, k) != model_find(m, (uint16_t)c, key, size))
				return "finding a key";
	}
	return vl_state_slots(s, VL_META) == m->meta_count && vl_state_slots(s, VL_COLLECTIONS) == m->collection_count
		       ? NULL
		       : "count of meta slots or collections";
}

static const char *model_totals_differ(const struct model *m, const struct vl_state *s)
{
	struct vl_totals t = {.height = m->clock, .record_keys = s->totals.record_keys};

	for (uint64_t i = 0; i < m->record_count; i++) {
		t.record_live += model_record_live(m, i);
		t.record_tombstones += m->records[i].status == VALORI_TOMBSTONE;
		t.record_deleted += m->records[i].status == VALORI_DELETED;
	}
	for (uint64_t i = 0; i < m->node_count; i++)
		t.node_live += model_node_live(m, i);
	for (uint64_t i = 0; i < m->edge_count; i++)
		t.edge_live += model_edge_live(m, i);
	for (uint64_t i = 0; i < m->meta_count; i++)
		t.meta_live += m->meta[i].live;
	for (uint64_t i = 0; i < m->collection_count; i++)
		t.collection_live += m->collections[i].live;
	for (uint32_t i = 0; i < 16; i++) {
		t.config[i] = m->config[i];
		t.config_set |= (uint32_t)m->config_set[i] << i;
	}
	return memcmp(&t, &s->totals, offsetof(struct vl_totals, config_set)) == 0 &&
			       t.config_set == s->totals.config_set
		       ? NULL
		       : "totals";
}

/* What differs, or NULL. */
__attribute__((unused)) static const char *model_differs(const struct model *m, const struct vl_state *s)
{
	const char *fault = model_records_differ(m, s);

	if (fault == NULL)
		fault = model_graph_differs(m, s);
	if (fault == NULL)
		fault = model_texts_differ(m, s);
	return fault != NULL ? fault : model_totals_differ(m, s);
}

/* ---- the state root, from the words of the headers ---- */

static const struct vl_kernels *model_kernels;

static uint8_t *model_put(uint8_t *p, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*p++ = (uint8_t)(value >> 8 * i);
	return p;
}

/* H(salt | data), or zeros without data. */
static uint8_t *model_digest(uint8_t *p, enum vl_context context, const uint8_t *salt, const uint8_t *data, size_t size)
{
	static uint8_t both[16 + 65536];

	memset(p, 0, 32);
	if (data != NULL) {
		if (salt != NULL)
			memcpy(both, salt, 16);
		memcpy(both + (salt != NULL ? 16 : 0), data, size);
		vl_blake3(model_kernels, context, both, size + (salt != NULL ? 16 : 0), p);
	}
	return p + 32;
}

static void model_leaf(const struct model *m, enum vl_list list, uint64_t i, uint8_t *hash)
{
	static const enum vl_context contexts[] = {VL_HASH_RECORD, VL_HASH_NODE, VL_HASH_EDGE, VL_HASH_META,
						   VL_HASH_COLLECTION};
	static const size_t sizes[] = {120, 24, 32, 80, 48};
	uint8_t leaf[128] = {0}, *p = model_put(leaf, i, 8);
	const struct model_record *r = &m->records[i];
	const struct model_text *t = list == VL_META ? &m->meta[i] : &m->collections[i];

	if (list == VL_RECORDS) {
		p = model_put(model_put(model_put(model_put(p, r->tag, 8), r->collection, 2), r->status, 1), 0, 5);
		p = model_digest(p, VL_HASH_KEY, NULL, r->key_size > 0 ? r->key : NULL, r->key_size);
		p = model_digest(p, VL_HASH_VECTOR, r->vector_salt, r->vector, 4 * MODEL_DIM);
		model_digest(p, VL_HASH_METADATA, r->metadata_salt, r->metadata, r->metadata_size);
	} else if (list == VL_NODES && m->nodes[i].live) {
		p = model_put(model_put(p, m->nodes[i].record, 8), m->nodes[i].collection, 2);
		model_put(model_put(p, m->nodes[i].kind, 1), 1, 1);
	} else if (list == VL_EDGES && m->edges[i].live) {
		p = model_put(model_put(p, m->edges[i].from, 8), m->edges[i].to, 8);
		model_put(model_put(p, m->edges[i].kind, 1), 1, 1);
	} else if (list == VL_META && t->live) {
		p = model_digest(model_put(p, 1, 8), VL_HASH_KEY, NULL, t->key, t->key_size);
		model_digest(p, VL_HASH_META_VALUE, NULL, t->value, t->value_size);
	} else if (list == VL_COLLECTIONS) {
		model_digest(model_put(p, t->live, 8), VL_HASH_KEY, NULL, t->key, t->key_size);
	}
	vl_blake3(model_kernels, contexts[list], leaf, sizes[list], hash);
}

static void model_tree(const struct model *m, enum vl_list list, uint64_t first, uint64_t width, uint64_t count,
		       uint8_t *out)
{
	static const uint8_t zeros[64];
	uint8_t pair[64];

	if (first >= count) {
		memset(out, 0, 32);
	} else if (width == 1) {
		model_leaf(m, list, first, out);
	} else {
		model_tree(m, list, first, width / 2, count, pair);
		model_tree(m, list, first + width / 2, width / 2, count, pair + 32);
		if (memcmp(pair, zeros, 64) == 0)
			memset(out, 0, 32);
		else
			vl_blake3(model_kernels, VL_HASH_TREE, pair, 64, out);
	}
}

__attribute__((unused)) static void model_root(const struct model *m, uint8_t out[32])
{
	const uint64_t counts[] = {m->record_count, m->node_count, m->edge_count, m->meta_count, m->collection_count};
	uint8_t config[256], all[240], *p = config;

	for (uint32_t i = 0; i < 16; i++)
		if (m->config_set[i])
			p = model_put(model_put(p, i, 8), m->config[i], 8);
	model_put(model_put(all, MODEL_DIM, 4), 1, 4);
	vl_blake3(model_kernels, VL_HASH_CONFIG, config, (size_t)(p - config), all + 8);
	p = all + 40;
	for (int list = 0; list < VL_LISTS; list++, p += 32) {
		uint64_t width = 1;

		while (width < counts[list])
			width *= 2;
		model_tree(m, (enum vl_list)list, 0, width, counts[list], p);
	}
	for (int list = 0; list < VL_LISTS; list++)
		p = model_put(p, counts[list], 8);
	vl_blake3(model_kernels, VL_HASH_STATE, all, 240, out);
}

#endif
