/* test_state.c - apply(state, event): its rules, and what a snapshot makes of a state. */
#include "state.h"
#include "check.h"
#include "cpu.h"
#include "memory.h"
#include "model.h"

static struct memory memory;
static struct model model, begun;

struct world {
	struct vl_pool *pool;
	struct vl_state state;
	struct vl_buf scratch;
};

static void world_init(struct world *w, uint32_t flags)
{
	vl_pool_new(&memory.env, &w->pool, NULL);
	vl_state_init(&w->state, w->pool, MODEL_DIM, flags, NULL);
	vl_buf_init(&w->scratch, &memory.env);
}

static void world_free(struct world *w)
{
	vl_buf_free(&w->scratch);
	vl_state_free(&w->state);
	vl_pool_free(w->pool);
}

static valori_code world_apply(struct world *w, const struct vl_event *event, valori_error *error)
{
	struct vl_event hashed = *event;

	if (event->metadata == NULL)
		hashed.metadata_size = VL_ABSENT;
	if (event->vector == NULL)
		hashed.vector = model_pool;
	vl_event_hash_contents(memory.env.kernels, &hashed, 1, MODEL_DIM, &w->scratch, NULL);
	return vl_state_apply(&w->state, &hashed, error);
}

/* Every byte of every element as it lies, and all numbers beside. */
static void world_digest(const struct world *w, uint8_t out[32])
{
	struct vl_blake3 hash;

	vl_blake3_init(&hash, memory.env.kernels, VL_HASH_PLAIN);
	for (unsigned section = 1; section < VL_SECTIONS_END; section++) {
		const struct vl_array *array = vl_state_section(&w->state, (enum vl_section)section);
		uint64_t run;

		vl_blake3_update(&hash, &array->count, sizeof(array->count));
		for (uint64_t i = 0; i < array->count; i += run) {
			const uint8_t *at = vl_array_run(array, i, &run);

			vl_blake3_update(&hash, at, run * array->elem_size);
		}
	}
	vl_blake3_update(&hash, &w->state.totals, sizeof(w->state.totals));
	vl_blake3_final(&hash, out);
}

/* ---- the rules, one by one ---- */

static struct world rules;

static void expect(const char *promise, valori_code code, struct vl_event event)
{
	uint8_t before[32], after[32];
	valori_error error = {.code = 0};
	valori_code is;

	world_digest(&rules, before);
	is = world_apply(&rules, &event, &error);
	world_digest(&rules, after);
	if (!check(is == code && (code == VALORI_OK) != (memcmp(before, after, 32) == 0), "%s", promise))
		printf("# is %d (%s), should be %d; the state has%s changed\n", (int)is, error.message, (int)code,
		       memcmp(before, after, 32) == 0 ? " not" : "");
	if (code != VALORI_OK && (error.code != (int32_t)code || error.message[0] == '\0'))
		check(false, "%s: the refusal says why", promise);
}

#define EVENT(...) ((struct vl_event){__VA_ARGS__})
#define KEY(text) .key = (const uint8_t *)(text), .key_size = sizeof(text) - 1
#define DATA(text) .metadata = (const uint8_t *)(text), .metadata_size = sizeof(text) - 1

static void test_record_rules(void)
{
	world_init(&rules, 0);
	expect("an id must be the next one", VALORI_INVALID, EVENT(.type = VALORI_EVENT_INSERT, .id = 1));
	expect("a collection must exist", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_INSERT, .collection = 1));
	expect("an insert", VALORI_OK, EVENT(.type = VALORI_EVENT_INSERT, .id = 0, KEY("k"), DATA("m")));
	expect("an id is not used twice", VALORI_INVALID, EVENT(.type = VALORI_EVENT_INSERT, .id = 0));
	expect("a key is taken once", VALORI_DUPLICATE, EVENT(.type = VALORI_EVENT_INSERT, .id = 1, KEY("k")));
	expect("a collection", VALORI_OK, EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, KEY("c")));
	expect("the same key in another collection", VALORI_OK,
	       EVENT(.type = VALORI_EVENT_INSERT, .id = 1, .collection = 1, KEY("k")));
	expect("a tag is set", VALORI_OK, EVENT(.type = VALORI_EVENT_SET_TAG, .id = 0, .tag = 4));
	expect("metadata becomes absent", VALORI_OK, EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 0));
	expect("metadata becomes empty", VALORI_OK, EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 0, DATA("")));
	expect("a soft delete", VALORI_OK, EVENT(.type = VALORI_EVENT_SOFT_DELETE, .id = 0));
	expect("no second soft delete", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_SOFT_DELETE, .id = 0));
	expect("no tag on a tombstone", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_SET_TAG, .id = 0));
	expect("nor metadata", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 0, DATA("x")));
	expect("a tombstone gives its key up", VALORI_OK, EVENT(.type = VALORI_EVENT_INSERT, .id = 2, KEY("k")));
	expect("a tombstone is deleted", VALORI_OK, EVENT(.type = VALORI_EVENT_DELETE, .id = 0));
	expect("once", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_DELETE, .id = 0));
	expect("which does not take the key from its next holder", VALORI_DUPLICATE,
	       EVENT(.type = VALORI_EVENT_INSERT, .id = 3, KEY("k")));
	expect("a live record is deleted", VALORI_OK, EVENT(.type = VALORI_EVENT_DELETE, .id = 2));
	expect("and its key is free", VALORI_OK, EVENT(.type = VALORI_EVENT_INSERT, .id = 3, KEY("k")));
	expect("what was never given out cannot be deleted", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_DELETE, .id = 4));
	expect("nor tagged", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_SET_TAG, .id = VALORI_NONE));
	expect("a key of 256 bytes is nobody's", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_INSERT, .id = 4, .key = model_pool, .key_size = 256));
	expect("nor is metadata of 65,537", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_INSERT, .id = 4, .metadata = model_pool, .metadata_size = 65537));
	expect("not later either", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 3, .metadata = model_pool, .metadata_size = 65537));
	world_free(&rules);
}

static void test_graph_rules(void)
{
	world_init(&rules, 0);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, KEY("c")), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_INSERT, .id = 0), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_INSERT, .id = 1, .collection = 1), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_INSERT, .id = 2), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_SOFT_DELETE, .id = 2), NULL);
	expect("a node's id is the next one", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 1, .record = VALORI_NONE));
	expect("a node's collection exists", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_NODE_CREATE, .collection = 2, .record = VALORI_NONE));
	expect("a node names no record that is not there", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_NODE_CREATE, .record = 3));
	expect("nor a tombstone", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_NODE_CREATE, .record = 2));
	expect("nor one of another collection", VALORI_INVALID, EVENT(.type = VALORI_EVENT_NODE_CREATE, .record = 1));
	expect("a node names a record", VALORI_OK, EVENT(.type = VALORI_EVENT_NODE_CREATE, .record = 0, .kind = 200));
	expect("or none", VALORI_OK, EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 1, .record = VALORI_NONE));
	expect("in another collection", VALORI_OK,
	       EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 2, .collection = 1, .record = 1));
	expect("it is not pointed to a record of another collection", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_NODE_SET_RECORD, .id = 1, .record = 1));
	expect("nor to a tombstone", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_NODE_SET_RECORD, .id = 1, .record = 2));
	expect("no node, no pointing", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_NODE_SET_RECORD, .id = 3, .record = 0));
	expect("an edge's id is the next one", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 1, .from = 0, .to = 1));
	expect("an edge comes from a node", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_EDGE_CREATE, .from = 3, .to = 1));
	expect("and goes to one", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_EDGE_CREATE, .from = 0, .to = 3));
	expect("in the same collection", VALORI_INVALID, EVENT(.type = VALORI_EVENT_EDGE_CREATE, .from = 0, .to = 2));
	expect("an edge", VALORI_OK, EVENT(.type = VALORI_EVENT_EDGE_CREATE, .from = 0, .to = 1));
	expect("a loop", VALORI_OK, EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 1, .from = 1, .to = 1));
	expect("an edge back", VALORI_OK, EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 2, .from = 1, .to = 0));
	expect("deleting a record does not touch its nodes", VALORI_OK, EVENT(.type = VALORI_EVENT_DELETE, .id = 0));
	struct vl_node node;
	check(vl_node_get(&rules.state, 0, &node) && node.live && node.record == 0, "which still name it");
	uint64_t cursor = VALORI_NONE;
	check(vl_record_node_next(&rules.state, 0, &cursor) && cursor == 0, "and are found from it");
	expect("an edge is deleted", VALORI_OK, EVENT(.type = VALORI_EVENT_EDGE_DELETE, .id = 0));
	expect("once", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_EDGE_DELETE, .id = 0));
	expect("a node goes with its edges: in, out and loops", VALORI_OK,
	       EVENT(.type = VALORI_EVENT_NODE_DELETE, .id = 1));
	check_u64(rules.state.totals.edge_live, 0, "none is left");
	expect("once", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_NODE_DELETE, .id = 1));
	expect("nothing leads to it any more", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 3, .from = 0, .to = 1));
	world_free(&rules);
}

static void test_other_rules(void)
{
	world_init(&rules, 0);
	expect("a meta slot is the next one", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_META_SET, .id = 1, KEY("k"), DATA("v")));
	expect("a key has a slot", VALORI_OK, EVENT(.type = VALORI_EVENT_META_SET, .id = 0, KEY("k"), DATA("v")));
	expect("which is its only one", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_META_SET, .id = 1, KEY("k"), DATA("v")));
	expect("and nobody else's", VALORI_INVALID, EVENT(.type = VALORI_EVENT_META_SET, .id = 0, KEY("l"), DATA("v")));
	expect("it is set again", VALORI_OK, EVENT(.type = VALORI_EVENT_META_SET, .id = 0, KEY("k"), DATA("longer")));
	expect("it is deleted", VALORI_OK, EVENT(.type = VALORI_EVENT_META_DELETE, .id = 0));
	expect("once", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_META_DELETE, .id = 0));
	expect("its slot is not used again", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_META_SET, .id = 0, KEY("k"), DATA("v")));
	expect("the key gets a new one", VALORI_OK, EVENT(.type = VALORI_EVENT_META_SET, .id = 1, KEY("k"), DATA("")));
	expect("a meta key is not empty", VALORI_INVALID, EVENT(.type = VALORI_EVENT_META_SET, .id = 2, DATA("")));

	expect("a collection's id is the next one", VALORI_INVALID,
	       EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 2, KEY("c")));
	expect("its name is nobody else's", VALORI_DUPLICATE,
	       EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, KEY("default")));
	expect("and a name", VALORI_INVALID, EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, KEY("a.b")));
	expect("a collection", VALORI_OK, EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, KEY("c")));
	expect("a record in it", VALORI_OK, EVENT(.type = VALORI_EVENT_INSERT, .collection = 1, KEY("k"), DATA("m")));
	expect("another", VALORI_OK, EVENT(.type = VALORI_EVENT_INSERT, .id = 1, .collection = 1));
	expect("a node in it", VALORI_OK, EVENT(.type = VALORI_EVENT_NODE_CREATE, .collection = 1, .record = 0));
	expect("an edge in it", VALORI_OK, EVENT(.type = VALORI_EVENT_EDGE_CREATE));
	expect("collection 0 cannot be dropped", VALORI_INVALID, EVENT(.type = VALORI_EVENT_COLLECTION_DROP));
	expect("collection 1 can", VALORI_OK, EVENT(.type = VALORI_EVENT_COLLECTION_DROP, .id = 1));
	expect("once", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_COLLECTION_DROP, .id = 1));
	check(rules.state.totals.record_live == 0 && rules.state.totals.node_live == 0 &&
		      rules.state.totals.edge_live == 0,
	      "what was in it is live no longer");
	struct vl_record record;
	check(vl_record_get(&rules.state, 0, &record) && record.status == VALORI_LIVE && !record.visible &&
		      record.metadata_size == 1,
	      "but can be read");
	expect("nothing goes into it", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_INSERT, .id = 2, .collection = 1));
	expect("no node either", VALORI_NOT_FOUND,
	       EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 1, .collection = 1, .record = VALORI_NONE));
	expect("nor an edge", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 1));
	expect("its records are not tagged", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_SET_TAG, .id = 0));
	expect("nor soft-deleted", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_SOFT_DELETE, .id = 0));
	expect("nor its nodes deleted", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_NODE_DELETE, .id = 0));
	expect("nor its edges", VALORI_NOT_FOUND, EVENT(.type = VALORI_EVENT_EDGE_DELETE, .id = 0));
	expect("its records are deleted all the same", VALORI_OK, EVENT(.type = VALORI_EVENT_DELETE, .id = 0));
	unsigned leads = 0;
	for (uint64_t i = 0; i < rules.state.collection_buckets.count; i++)
		leads += vl_get32(vl_array_get(&rules.state.collection_buckets, i)) == 1 + 1;
	check(leads == 0 && vl_is_zero(vl_array_get(&rules.state.collections, 0) + 40, 4),
	      "nothing in the name table leads to it");
	expect("its name is free", VALORI_OK, EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 2, KEY("c")));
	expect("and stands for the new one", VALORI_DUPLICATE,
	       EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 3, KEY("c")));

	expect("parameter 0 is none", VALORI_INVALID, EVENT(.type = VALORI_EVENT_CONFIG, .parameter = 0));
	expect("parameter 10 is a newer version's", VALORI_NEWER, EVENT(.type = VALORI_EVENT_CONFIG, .parameter = 10));
	expect("so is event type 16", VALORI_NEWER, EVENT(.type = 16));
	world_free(&rules);
}

static void test_config(void)
{
	static const uint64_t ranges[][2] = {{0, 3},        {2, 256},     {1, 65536},   {1, 65536}, {1, 64},
					     {1024, 65536}, {0, 1048576}, {0, 1048576}, {0, 2}};
	unsigned wrong = 0;

	world_init(&rules, 0);
	for (uint32_t p = 1; p <= 9; p++) {
		struct vl_event event = EVENT(.type = VALORI_EVENT_CONFIG, .parameter = p);

		for (int end = 0; end < 2; end++) {
			event.tag = ranges[p - 1][end];
			wrong += world_apply(&rules, &event, NULL) != VALORI_OK ||
				 rules.state.totals.config[p] != event.tag;
			event.tag += end == 0 ? UINT64_MAX : 1;
			wrong += world_apply(&rules, &event, NULL) != VALORI_INVALID;
		}
		wrong += !(rules.state.totals.config_set >> p & 1);
	}
	check_u64(wrong, 0, "each parameter has its range, ends included");
	world_free(&rules);
}

/* Limits that nobody reaches in a test: counts are lied about. */
static void test_full(void)
{
	struct vl_event event = EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1);
	unsigned wrong = 0;
	char name[8];

	world_init(&rules, 0);
	for (; event.id < 65536; event.id++) {
		event.key = (const uint8_t *)name;
		event.key_size = (uint32_t)snprintf(name, sizeof(name), "%x", (unsigned)event.id);
		wrong += world_apply(&rules, &event, NULL) != VALORI_OK;
	}
	check_u64(wrong, 0, "65,536 collections can be made");
	wrong = 0;
	for (uint64_t id = 1; id < 65536; id += 97) {
		size_t size = (size_t)snprintf(name, sizeof(name), "%x", (unsigned)id);

		wrong += vl_collection_find(&rules.state, (const uint8_t *)name, size) != id;
	}
	check_u64(wrong, 0, "and found by name");
	expect("but no more", VALORI_FULL, EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 65536, KEY("one-more")));
	rules.state.records.records.count = VL_SLOTS_MAX;
	check_u64(world_apply(&rules, &EVENT(.type = VALORI_EVENT_INSERT, .id = VL_SLOTS_MAX), NULL), VALORI_FULL,
		  "links of 32 bits end at 2^32 - 2 records");
	rules.state.records.records.count = 0;
	rules.state.graph.nodes.count = VL_SLOTS_MAX;
	check_u64(world_apply(&rules, &EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = VL_SLOTS_MAX), NULL), VALORI_FULL,
		  "and as many nodes");
	rules.state.graph.nodes.count = 0;
	rules.state.graph.edges.count = VL_SLOTS_MAX;
	check_u64(world_apply(&rules, &EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = VL_SLOTS_MAX), NULL), VALORI_FULL,
		  "and edges");
	rules.state.graph.edges.count = 0;
	rules.state.meta.count = VL_SLOTS_MAX;
	check_u64(world_apply(&rules, &EVENT(.type = VALORI_EVENT_META_SET, .id = VL_SLOTS_MAX, KEY("k"), DATA("")),
			      NULL),
		  VALORI_FULL, "and meta slots");
	rules.state.meta.count = 0;
	world_free(&rules);
}

/* What is deleted is gone: none of its bytes is left in any section. */
static void test_erased(void)
{
	struct vl_state *state = &rules.state;
	unsigned left = 0;

	world_init(&rules, 0);
	world_apply(&rules,
		    &EVENT(.type = VALORI_EVENT_INSERT, .flags = VL_EVENT_SALTED, .salt = model_pool + 99,
			   KEY("secret key"), DATA("secret metadata")),
		    NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_SET_METADATA, DATA("secret metadata, longer")), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_META_SET, KEY("secret name"), DATA("secret value")), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_META_SET, KEY("secret name"), DATA("short")), NULL);
	for (uint64_t i = 0; i < state->records.heap.count; i++)
		left += *vl_array_get(&state->records.heap, i) != 0;
	check_u64(left, 7 + 2 * 16 - 16 + 10 + 23 + 11 + 5,
		  "the heap holds what is in use: a name, a salt, a key, metadata, a meta key and a value");
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_SOFT_DELETE), NULL);
	check(vl_state_vector(state, 0) != NULL, "a tombstone keeps its content");
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_DELETE), NULL);
	world_apply(&rules, &EVENT(.type = VALORI_EVENT_META_DELETE), NULL);
	left = 0;
	for (uint64_t i = 0; i < state->records.heap.count; i++)
		left += *vl_array_get(&state->records.heap, i) != 0;
	check_u64(left, 7, "after the deletes the name of the collection is all that is left");
	check(vl_is_zero(vl_array_get(&state->records.vectors, 0), 4 * MODEL_DIM) &&
		      vl_is_zero(vl_array_get(&state->records.digests, 0), 96),
	      "the vector and the digests are zeros");
	check(vl_state_vector(state, 0) == NULL, "a deleted record has no vector");
	world_free(&rules);
}

/* ---- random events ---- */

static void test_against_model(void)
{
	static struct world w;
	unsigned disagreed = 0, traces = 0, differing = 0, ok = 0, refused = 0, frozen_changed = 0;
	const char *fault = NULL;

	for (uint64_t game = 0; game < (check_long() ? 400u : 16u); game++) {
		uint64_t seed = game * 77 + 5, version = 0;
		static struct model frozen_model;
		struct vl_state frozen;

		model_init(&model);
		world_init(&w, game % 4 == 3 ? VL_STATE_NO_VECTORS : 0);
		for (int c = 0; c < 120; c++) {
			uint64_t events = 1 + check_random(&seed) % 20;

			begun = model;
			vl_state_begin(&w.state);
			for (uint64_t i = 0; i < events; i++) {
				uint8_t before[32], after[32];
				struct vl_event event;
				bool applied;

				random_event(&seed, &model, &event);
				world_digest(&w, before);
				applied = world_apply(&w, &event, NULL) == VALORI_OK;
				disagreed += applied != model_apply(&model, &event);
				ok += applied;
				refused += !applied;
				if (!applied) {
					world_digest(&w, after);
					traces += memcmp(before, after, 32) != 0;
				}
			}
			if (check_random(&seed) % 4 == 0) {
				vl_state_abort(&w.state);
				model = begun;
			} else {
				vl_state_commit(&w.state);
			}
			if (c % 10 == 0) {
				fault = fault == NULL ? model_differs(&model, &w.state) : fault;
				differing += fault != NULL;
			}
			/* A frozen copy is taken, left alone for a while, and looked at again. */
			if (c % 25 == 3) {
				version = vl_pool_freeze(w.pool);
				frozen = w.state;
				frozen_model = model;
			} else if (c % 25 == 20) {
				frozen_changed += model_differs(&frozen_model, &frozen) != NULL;
				vl_pool_release(w.pool, version);
			}
		}
		world_free(&w);
	}
	check(ok > 5000 && refused > 500, "random events: %u applied, %u refused", ok, refused);
	check_u64(disagreed, 0, "state and model agree on what is refused");
	check_u64(traces, 0, "what is refused leaves every byte as it was");
	if (!check(differing == 0, "all that can be read agrees with the model, after aborts too"))
		printf("# first difference: %s\n", fault);
	check_u64(frozen_changed, 0, "a frozen copy reads the same however the state goes on");
}

/* ---- sections ---- */

struct sections {
	struct vl_buf bytes[VL_SECTIONS_END];
	uint64_t counts[VL_SECTIONS_END];
	const uint8_t *base[VL_SECTIONS_END];
};

static void sections_take(struct sections *s, const struct vl_state *state)
{
	static struct vl_canon canon;
	enum vl_section section, last = VL_SECTION_RECORDS;
	const uint8_t *data;
	bool ascending = true;
	size_t size;

	for (int i = 0; i < VL_SECTIONS_END; i++)
		vl_buf_init(&s->bytes[i], &memory.env);
	vl_canon_init(&canon, state);
	while (vl_canon_next(&canon, &section, &data, &size)) {
		ascending = ascending && section >= last && size > 0;
		last = section;
		vl_buf_put(&s->bytes[section], data, size);
	}
	if (!ascending)
		check(false, "pieces come section by section, none of them empty");
	for (unsigned i = 1; i < VL_SECTIONS_END; i++) {
		s->counts[i] = s->bytes[i].size / vl_state_section(state, (enum vl_section)i)->elem_size;
		s->base[i] = s->bytes[i].data;
	}
}

static void sections_free(struct sections *s)
{
	for (int i = 0; i < VL_SECTIONS_END; i++)
		vl_buf_free(&s->bytes[i]);
}

static bool are_equal(const struct sections *a, const struct sections *b)
{
	for (int i = 1; i < VL_SECTIONS_END; i++)
		if (a->bytes[i].size != b->bytes[i].size ||
		    (a->bytes[i].size > 0 && memcmp(a->bytes[i].data, b->bytes[i].data, a->bytes[i].size) != 0))
			return false;
	return true;
}

/* Goes on with what a snapshot of w holds. */
static valori_code reopen(struct world *w, const struct sections *s)
{
	struct vl_totals totals = w->state.totals;
	uint32_t flags = w->state.flags;

	world_free(w);
	world_init(w, flags);
	return vl_state_attach(&w->state, s->base, s->counts, &totals, NULL);
}

/* The same events in other commits, with aborted ones between them, and with a snapshot in the middle. */
static void test_splits(void)
{
	static struct world one, other;
	static struct model model_other;
	struct sections a, b, kept = {.counts = {0}};
	uint8_t root_a[32], root_b[32];
	unsigned differ = 0, sizes = 0, roots = 0, attached = 0, read = 0;

	for (uint64_t game = 0; game < (check_long() ? 100u : 8u); game++) {
		uint64_t seed = game * 31 + 1, dice = 5;
		bool mapped = false;

		model_init(&model);
		world_init(&one, 0);
		world_init(&other, 0);
		for (int i = 0; i < 900; i++) {
			struct vl_event event, extra;

			random_event(&seed, &model, &event);
			if (!model_apply(&model, &event))
				continue;
			world_apply(&one, &event, NULL);
			if (check_random(&dice) % 8 == 0) {
				model_other = model;
				vl_state_begin(&other.state);
				for (int j = 0; j < 10; j++) {
					random_event(&dice, &model_other, &extra);
					world_apply(&other, &extra, NULL);
				}
				vl_state_abort(&other.state);
			}
			if (i == 450) {
				sections_take(&kept, &other.state);
				attached += reopen(&other, &kept) != VALORI_OK;
				mapped = true;
			}
			vl_state_begin(&other.state);
			world_apply(&other, &event, NULL);
			vl_state_commit(&other.state);
		}
		sections_take(&a, &one.state);
		sections_take(&b, &other.state);
		differ += !are_equal(&a, &b);
		sizes += a.bytes[VL_SECTION_HEAP].size != vl_canon_heap_size(&one.state);
		vl_state_root(&one.state, true, root_a, NULL);
		vl_state_root(&other.state, true, root_b, NULL);
		roots += memcmp(root_a, root_b, 32) != 0;
		/* And the canonical sections are a state again. */
		attached += reopen(&one, &a) != VALORI_OK;
		read += model_differs(&model, &one.state) != NULL || model_differs(&model, &other.state) != NULL;
		world_free(&one);
		world_free(&other);
		sections_free(&a);
		sections_free(&b);
		if (mapped)
			sections_free(&kept);
	}
	check_u64(attached, 0, "sections are attached again");
	check_u64(roots, 0, "any split into commits, aborted ones between, a snapshot in the middle: the same root");
	check_u64(differ, 0, "and the same canonical sections");
	check_u64(sizes, 0, "the size of the heap is known before it is written");
	check_u64(read, 0, "what is read after a snapshot is what was there before it");
}

/* Blobs are behind each other in the order of the formats, none across a multiple of 64 KiB. */
static void test_canonical_heap(void)
{
	static struct world w;
	struct sections s;
	const uint8_t *heap;
	unsigned gap = 0;

	world_init(&w, 0);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT, .id = 0, KEY("first"), DATA("one")), NULL);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_META_SET, KEY("name"), DATA("value")), NULL);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT, .id = 1, .metadata = model_pool, .metadata_size = 65530),
		    NULL);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT, .id = 2, KEY("third"), DATA("")), NULL);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 0, DATA("uno")), NULL);
	sections_take(&s, &w.state);
	heap = s.bytes[VL_SECTION_HEAP].data;
	check_u64(s.bytes[VL_SECTION_HEAP].size, 65536 + 65530 + 5 + 1 + 4 + 5 + 7, "blobs are packed");
	check_bytes(heap, "firstuno", 8, "a record's key, then its metadata");
	for (size_t i = 8; i < 65536; i++)
		gap += heap[i] != 0;
	check_u64(gap, 0, "zeros up to the boundary that a large blob would cross");
	check_bytes(heap + 65536, model_pool, 65530, "behind it the large blob");
	check_bytes(heap + 65536 + 65530, "third\0namevaluedefault", 5 + 1 + 4 + 5 + 7,
		    "then keys, meta slots and the names of collections");
	world_free(&w);
	sections_free(&s);
}

/* The rule again, in the plainest words: behind the last one, or at the next multiple of 65,536. */
static void lay_plainly(struct vl_buf *heap, const uint8_t *blob, size_t size)
{
	if (size > 0 && heap->size / 65536 != (heap->size + size - 1) / 65536)
		vl_buf_zero(heap, 65536 - heap->size % 65536);
	vl_buf_put(heap, blob, size);
}

static void test_large_heap(void)
{
	static struct world w;
	struct vl_buf plain;
	struct sections s;
	uint64_t seed = 4;

	model_init(&model);
	world_init(&w, 0);
	vl_buf_init(&plain, &memory.env);
	for (uint64_t i = 0; i < 400; i++) {
		uint64_t r = check_random(&seed);
		struct vl_event event = EVENT(.type = VALORI_EVENT_INSERT, .id = i, .metadata = model_pool + r % 1000);
		static const uint32_t sizes[] = {0, 50, 3000, 9000, 16384, 16385, 20000, 65536};

		event.metadata_size = sizes[r / 1000 % 8] + (uint32_t)(r >> 40) % 400;
		if (event.metadata_size > 65536)
			event.metadata_size = 65536;
		if (r % 3 == 0)
			event.flags = VL_EVENT_SALTED, event.salt = model_pool + r % 5000;
		world_apply(&w, &event, NULL);
		if (r % 3 == 0) {
			lay_plainly(&plain, (uint8_t[32]){0}, 32);
			memcpy(plain.data + plain.size - 32, event.salt, 16);
			memcpy(plain.data + plain.size - 16, event.salt, 16);
		}
		lay_plainly(&plain, event.metadata, event.metadata_size);
	}
	lay_plainly(&plain, (const uint8_t *)"default", 7);
	sections_take(&s, &w.state);
	check_u64(s.bytes[VL_SECTION_HEAP].size, plain.size, "a heap of blobs of all sizes has the size it should");
	check_bytes(s.bytes[VL_SECTION_HEAP].data, plain.data, plain.size, "and the bytes");
	world_free(&w);
	sections_free(&s);
	vl_buf_free(&plain);
}

/* What no random flip is likely to make: each lie alone, where it would do most harm. */
static void test_lies(void)
{
	static struct world w;
	struct sections s;
	struct vl_record record;
	struct vl_edge edge;
	uint64_t cursor;
	uint8_t *own;

	/* A blob that crosses a chunk, one half of which is no longer where the file has it. */
	world_init(&w, 0);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT, .id = 0, .metadata = model_pool, .metadata_size = 65536),
		    NULL);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT, .id = 1, .metadata = model_pool, .metadata_size = 65536),
		    NULL);
	sections_take(&s, &w.state);
	own = s.bytes[VL_SECTION_PLACES].data + 32;
	vl_put64(own + VL_PLACE_METADATA, 65535);
	reopen(&w, &s);
	check(vl_record_get(&w.state, 1, &record) && record.metadata == NULL, "a blob across a chunk is none");
	vl_put64(own + VL_PLACE_METADATA, s.bytes[VL_SECTION_HEAP].size - 4);
	check(vl_record_get(&w.state, 1, &record) && record.metadata == NULL, "nor one that leaves the heap");
	vl_put64(own + VL_PLACE_METADATA, UINT64_MAX);
	check(vl_record_get(&w.state, 1, &record) && record.metadata == NULL, "nor one from nowhere");
	world_free(&w);
	sections_free(&s);

	/* Nodes and edges that lead to what is not there. */
	world_init(&w, 0);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT), NULL);
	for (uint64_t i = 0; i < 3; i++)
		world_apply(&w, &EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = i), NULL);
	for (uint64_t i = 0; i < 3; i++)
		world_apply(&w, &EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = i, .from = 0, .to = i), NULL);
	sections_take(&s, &w.state);
	vl_put32(s.bytes[VL_SECTION_NODES].data + VL_NODE_RECORD, 1000000000);
	vl_put32(s.bytes[VL_SECTION_EDGES].data + 2 * VL_EDGE_SIZE + VL_EDGE_TO, 1000000000);
	reopen(&w, &s);
	cursor = 1000000000;
	check(!vl_edge_next(&w.state, 0, true, &cursor, &edge), "a cursor from nowhere leads nowhere");
	check_u64(world_apply(&w, &EVENT(.type = VALORI_EVENT_NODE_DELETE, .id = 0), NULL), VALORI_OK,
		  "a node that names what is not there, with an edge to nowhere, can be deleted");
	world_free(&w);
	sections_free(&s);
}

static void test_attach_refuses(void)
{
	static struct world w, fresh;
	struct sections s;
	struct vl_totals totals;
	unsigned accepted = 0;

	world_init(&w, 0);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_INSERT, KEY("key")), NULL);
	world_apply(&w, &EVENT(.type = VALORI_EVENT_NODE_CREATE, .record = 0), NULL);
	sections_take(&s, &w.state);
	for (int section = 1; section < VL_SECTIONS_END; section++) {
		bool may_grow = section == VL_SECTION_NODES || section == VL_SECTION_EDGES ||
				section == VL_SECTION_META || section == VL_SECTION_HEAP ||
				section == VL_SECTION_COLLECTIONS;

		for (int change = 0; change < 2; change++) {
			uint64_t count = s.counts[section];

			s.counts[section] = change == 0 ? UINT64_C(1) << 49 : 0;
			if (change == 1 && (may_grow || section == VL_SECTION_META_BUCKETS))
				continue;
			world_init(&fresh, 0);
			accepted += vl_state_attach(&fresh.state, s.base, s.counts, &w.state.totals, NULL) !=
				    VALORI_DAMAGED;
			world_free(&fresh);
			s.counts[section] = count;
		}
	}
	check_u64(accepted, 0, "counts of elements that contradict each other are refused");
	for (size_t field = 1; field < 9; field++) {
		totals = w.state.totals;
		(&totals.height)[field] = 5;
		world_init(&fresh, 0);
		accepted += vl_state_attach(&fresh.state, s.base, s.counts, &totals, NULL) != VALORI_DAMAGED;
		world_free(&fresh);
	}
	check_u64(accepted, 0, "so are totals that the counts do not bear out");
	world_free(&w);
	sections_free(&s);
}

/* Reads all that can be read; how much there was. */
static uint64_t read_all(const struct vl_state *state)
{
	const uint8_t *a, *b;
	size_t a_size, b_size;
	uint64_t sum = 0, cursor;
	struct vl_record record;
	struct vl_node node;
	struct vl_edge edge;
	uint8_t leaf[VL_LEAF_MAX], k[32];
	enum vl_context context;
	bool live;

	for (uint64_t i = 0; vl_record_get(state, i, &record); i++) {
		for (uint32_t j = 0; j < record.key_size; j++)
			sum += record.key[j];
		for (uint32_t j = 0; record.metadata != NULL && j < record.metadata_size; j++)
			sum += record.metadata[j];
		for (cursor = VALORI_NONE; vl_record_node_next(state, i, &cursor);)
			sum++;
	}
	for (uint64_t i = 0; vl_node_get(state, i, &node); i++)
		for (int outgoing = 0; outgoing < 2; outgoing++)
			for (cursor = VALORI_NONE; vl_edge_next(state, i, outgoing == 1, &cursor, &edge);)
				sum++;
	for (uint64_t i = 0; i < vl_state_slots(state, VL_META); i++)
		if (vl_meta_get(state, i, &a, &a_size, &b, &b_size))
			for (size_t j = 0; j < a_size + b_size; j++)
				sum += j < a_size ? a[j] : b[j - a_size];
	for (uint64_t i = 0; i < vl_state_slots(state, VL_COLLECTIONS); i++)
		if (vl_collection_get(state, i, &a, &a_size, &live))
			sum += vl_collection_find(state, a, a_size);
	for (int i = 0; i < MODEL_KEYS; i++) {
		size_t size = strlen(model_keys[i]);

		vl_blake3(state->env->kernels, VL_HASH_KEY, model_keys[i], size, k);
		sum += vl_meta_find(state, (const uint8_t *)model_keys[i], size, k);
		for (unsigned c = 0; c < 5; c++)
			sum += vl_record_find(state, (uint16_t)c, (const uint8_t *)model_keys[i], size, k);
	}
	for (int list = 0; list < VL_LISTS; list++)
		for (uint64_t i = 0; i < vl_state_slots(state, (enum vl_list)list); i++)
			sum += vl_state_leaf(state, (enum vl_list)list, i, leaf, &context);
	return sum;
}

/* Sections as a damaged or forged file has them: everything ends, nothing leaves them (a sanitizer sees that). */
static void test_hostile(void)
{
	static struct world w;
	struct sections s, again;
	uint64_t games = check_long() ? 5000 : 250, sum = 0;

	for (uint64_t game = 0; game < games; game++) {
		uint64_t seed = game + 1, flips = 1 + check_random(&seed) % 40;
		uint8_t root[32];

		model_init(&model);
		world_init(&w, 0);
		for (int i = 0; i < 150; i++) {
			struct vl_event event;

			random_event(&seed, &model, &event);
			if (event.metadata_size != VL_ABSENT && event.metadata_size > 200)
				event.metadata_size = 200;
			if (model_apply(&model, &event))
				world_apply(&w, &event, NULL);
		}
		sections_take(&s, &w.state);
		for (uint64_t i = 0; i < flips; i++) {
			struct vl_buf *bytes = &s.bytes[1 + check_random(&seed) % (VL_SECTIONS_END - 1)];
			uint64_t r = check_random(&seed);

			if (bytes->size < 4)
				continue;
			/* A bit, or a number that looks like a link. */
			if (r % 2 == 0)
				bytes->data[(r >> 8) % bytes->size] ^= (uint8_t)(1 << (r >> 1) % 8);
			else
				vl_put32(bytes->data + (r >> 8) % (bytes->size / 4) * 4, (uint32_t)(r >> 40) % 60);
		}
		/* Memory of exactly this size, for the sanitizer. */
		for (int i = 1; i < VL_SECTIONS_END; i++) {
			uint8_t *exact = malloc(s.bytes[i].size + (s.bytes[i].size == 0));

			if (s.bytes[i].size > 0)
				memcpy(exact, s.bytes[i].data, s.bytes[i].size);
			s.base[i] = exact;
		}
		if (reopen(&w, &s) == VALORI_OK) {
			sum += read_all(&w.state);
			for (int i = 0; i < 60; i++) {
				struct vl_event event;

				random_event(&seed, &model, &event);
				world_apply(&w, &event, NULL);
			}
			sum += read_all(&w.state);
			vl_state_root(&w.state, true, root, NULL);
			sections_take(&again, &w.state);
			sections_free(&again);
		}
		world_free(&w);
		for (int i = 1; i < VL_SECTIONS_END; i++)
			free((void *)(uintptr_t)s.base[i]);
		sections_free(&s);
	}
	check(sum != 0, "whatever the sections hold, reading and writing them comes to an end");
}

/* ---- out of memory ---- */

/* A small history in two commits, the second of which may be aborted. What it came to. */
static valori_code history(struct world *w, bool *aborted, uint8_t before[32], uint8_t after[32])
{
	static const struct vl_event events[] = {
		EVENT(.type = VALORI_EVENT_INSERT, .id = 2, KEY("c"), .flags = VL_EVENT_SALTED, .salt = model_pool),
		EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 0, DATA("changed, and longer than before")),
		EVENT(.type = VALORI_EVENT_SET_METADATA, .id = 1, DATA("x"), .flags = VL_EVENT_SALTED,
		      .salt = model_pool),
		EVENT(.type = VALORI_EVENT_DELETE, .id = 1),
		EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 2, .record = 0),
		EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 1, .from = 0, .to = 2),
		EVENT(.type = VALORI_EVENT_NODE_DELETE, .id = 0),
		EVENT(.type = VALORI_EVENT_META_SET, .id = 0, KEY("n"), DATA("longer value")),
		EVENT(.type = VALORI_EVENT_META_SET, .id = 1, KEY("o"), .metadata = model_pool, .metadata_size = 65536),
		EVENT(.type = VALORI_EVENT_META_DELETE, .id = 0),
		EVENT(.type = VALORI_EVENT_COLLECTION_CREATE, .id = 1, KEY("two")),
		EVENT(.type = VALORI_EVENT_COLLECTION_DROP, .id = 1),
	};
	valori_code code = VALORI_OK;

	*aborted = false;
	world_digest(w, before);
	vl_state_begin(&w->state);
	for (size_t i = 0; i < sizeof(events) / sizeof(*events) && code == VALORI_OK; i++)
		code = world_apply(w, &events[i], NULL);
	if (code == VALORI_OK) {
		vl_state_commit(&w->state);
	} else {
		vl_state_abort(&w->state);
		*aborted = true;
	}
	world_digest(w, after);
	return code;
}

static void test_no_memory(void)
{
	static const struct vl_event first[] = {
		EVENT(.type = VALORI_EVENT_INSERT, .id = 0, KEY("a"), DATA("m")),
		EVENT(.type = VALORI_EVENT_INSERT, .id = 1, KEY("b")),
		EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 0, .record = 1),
		EVENT(.type = VALORI_EVENT_NODE_CREATE, .id = 1, .record = 1),
		EVENT(.type = VALORI_EVENT_EDGE_CREATE, .id = 0, .from = 0, .to = 1),
		EVENT(.type = VALORI_EVENT_META_SET, .id = 0, KEY("n"), DATA("v")),
	};
	static struct world w;
	unsigned other = 0, changed = 0, refused = 0, unfinished = 0;
	bool finished = false;

	for (uint64_t n = 1; !finished && n < 10000; n++) {
		struct vl_state frozen;
		uint8_t before[32], after[32];
		uint64_t version;
		bool aborted;
		valori_code code;

		world_init(&w, 0);
		for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++)
			unfinished += world_apply(&w, &first[i], NULL) != VALORI_OK;
		version = vl_pool_freeze(w.pool); /* so that every change copies */
		frozen = w.state;
		memory.fail_at = memory.calls + n;
		code = history(&w, &aborted, before, after);
		memory.fail_at = 0;
		other += code != VALORI_OK && code != VALORI_NO_MEMORY;
		changed += aborted && memcmp(before, after, 32) != 0;
		refused += aborted;
		/* With memory again it all goes through. */
		if (aborted)
			unfinished += history(&w, &aborted, before, after) != VALORI_OK;
		else
			finished = true;
		changed += vl_state_slots(&frozen, VL_RECORDS) != 2 || vl_state_vector(&frozen, 1) == NULL;
		vl_pool_release(w.pool, version);
		world_free(&w);
	}
	check(finished && refused > 20, "memory ran out at %u places", refused);
	check_u64(other, 0, "each time the answer is NO_MEMORY");
	check_u64(changed, 0, "and an abort brings back every byte");
	check_u64(unfinished, 0, "after which the same events are applied");
	for (uint64_t n = 1; n < 50; n++) {
		struct vl_pool *pool = NULL;
		struct vl_state state;

		memory.fail_at = memory.calls + n;
		if (vl_pool_new(&memory.env, &pool, NULL) == VALORI_OK) {
			vl_state_init(&state, pool, MODEL_DIM, 0, NULL);
			vl_state_free(&state);
		}
		vl_pool_free(pool);
		memory.fail_at = 0;
	}
	check(memory.blocks == 0, "a state that could not be made leaves nothing behind");
}

int main(void)
{
	model_kernels = vl_cpu_kernels(NULL);
	memory_init(&memory, model_kernels);
	model_init(&model);
	test_record_rules();
	test_graph_rules();
	test_other_rules();
	test_config();
	test_full();
	test_erased();
	test_against_model();
	test_splits();
	test_canonical_heap();
	test_large_heap();
	test_lies();
	test_attach_refuses();
	test_hostile();
	test_no_memory();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back with its size");
	return check_done();
}
