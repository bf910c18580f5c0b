/*
 * test_golden_snapshot.c - one more golden store, tests/vectors/golden/everything: what test_golden.c cannot
 * make, and a snapshot of it all.
 *
 * It holds each form that content can take, salted with salts that are known, ids that are deleted, lists and
 * tables with several entries; and snapshot.val of the moment between its two segments. It is read as it was
 * written, and would be written again. Without the first segment it is a trimmed log.
 *
 * Beside it lies golden/indexed/snapshot.val, of a state of its own with a graph. test_golden_snapshot DIRECTORY
 * writes both stores below it: only for a format that has not been released.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "bytes.h"
#include "check.h"
#include "cpu.h"
#include "memory.h"
#include "sample.h"
#include "scratch.h"
#include "snapshot.h"

enum { DIM = 3 };

static struct memory memory;
static const char *const names[] = {"events-00000000000000000000.log", "events.log", "events.head",
				    "snapshot.val"};

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	printf("Bail out! %d %s\n", (int)code, error->message);
	exit(1);
}

/* ---- the script ---- */

static const uint8_t vectors[4][4 * DIM] = {
	{0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, /* 1, 0, -1 */
	{0, 0x80, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff,
	 0xff}, /* a half, the smallest, and the smallest negative one */
	{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0}, /* the largest */
	{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x80},          /* the most negative one that has a place */
};
static const uint8_t salts[2][VL_SALT_SIZE] = {"salt of vectors", "another salt..."};
static uint8_t large[65536];

static struct vl_event event_of(uint8_t type, uint64_t id)
{
	return (struct vl_event){.type = type, .id = id, .record = VALORI_NONE, .metadata_size = VL_ABSENT};
}

static uint64_t last_id;

static void apply(struct sample *sample, struct vl_event event)
{
	last_id = event.id;
	if (!sample_apply(sample, &event)) {
		printf("Bail out! event of type %d was refused\n", event.type);
		exit(1);
	}
}

static void insert(struct sample *sample, unsigned vector, uint64_t tag, uint16_t collection, const char *key,
		   const char *metadata, const uint8_t *salt)
{
	struct vl_event event = event_of(VALORI_EVENT_INSERT, vl_state_slots(&sample->state, VL_RECORDS));

	event.vector = vectors[vector];
	event.tag = tag;
	event.collection = collection;
	event.key = (const uint8_t *)key;
	event.key_size = key == NULL ? 0 : (uint32_t)strlen(key);
	if (metadata != NULL) {
		event.metadata = (const uint8_t *)metadata;
		event.metadata_size = (uint32_t)strlen(metadata);
	}
	if (salt != NULL) {
		event.flags = VL_EVENT_SALTED;
		event.salt = salt;
	}
	apply(sample, event);
}

static void set_metadata(struct sample *sample, uint64_t id, const uint8_t *metadata, uint32_t size,
			 const uint8_t *salt)
{
	struct vl_event event = event_of(VALORI_EVENT_SET_METADATA, id);

	event.metadata = metadata;
	event.metadata_size = size;
	if (salt != NULL) {
		event.flags = VL_EVENT_SALTED;
		event.salt = salt;
	}
	apply(sample, event);
}

static void with_tag(struct sample *sample, uint8_t type, uint64_t id, uint64_t tag, uint32_t parameter)
{
	struct vl_event event = event_of(type, id);

	event.tag = tag;
	event.parameter = parameter;
	apply(sample, event);
}

static void node(struct sample *sample, uint8_t type, uint64_t id, uint64_t record, uint16_t collection,
		 uint8_t kind)
{
	struct vl_event event = event_of(type, id);

	event.record = record;
	event.collection = collection;
	event.kind = kind;
	apply(sample, event);
}

static void edge(struct sample *sample, uint64_t from, uint64_t to, uint8_t kind)
{
	struct vl_event event = event_of(VALORI_EVENT_EDGE_CREATE, vl_state_slots(&sample->state, VL_EDGES));

	event.from = from;
	event.to = to;
	event.kind = kind;
	apply(sample, event);
}

static void meta(struct sample *sample, uint64_t slot, const char *key, const uint8_t *value, uint32_t size)
{
	struct vl_event event = event_of(VALORI_EVENT_META_SET, slot);

	event.key = (const uint8_t *)key;
	event.key_size = (uint32_t)strlen(key);
	event.metadata = value;
	event.metadata_size = size;
	apply(sample, event);
}

static void collection(struct sample *sample, const char *name)
{
	struct vl_event event =
		event_of(VALORI_EVENT_COLLECTION_CREATE, vl_state_slots(&sample->state, VL_COLLECTIONS));

	event.key = (const uint8_t *)name;
	event.key_size = (uint32_t)strlen(name);
	apply(sample, event);
}

/* Of the event that was applied last. */
static void request(struct sample *sample, const char *id)
{
	sample_request(sample, (const uint8_t *)id, last_id);
}

/* The first segment: every kind of event, each form of content. */
static void first_half(struct sample *sample)
{
	sample_begin(sample);
	insert(sample, 0, 7, 0, "the first", "{\"title\":\"one\"}", NULL);
	request(sample, "request number 0");
	insert(sample, 1, UINT64_MAX, 0, NULL, NULL, NULL);
	insert(sample, 2, 0, 0, "\xc3\xa4", "", NULL);
	request(sample, "request number 1");
	sample_commit(sample);

	sample_begin(sample);
	collection(sample, "second");
	collection(sample, "third-_9");
	insert(sample, 3, 7, 1, "the first", "salted", salts[0]);
	insert(sample, 0, 0, 1, NULL, NULL, salts[1]);
	insert(sample, 1, 5, 2, "in the third", "stays", salts[0]);
	insert(sample, 2, 5, 0, "goes", "goes, too", salts[1]);
	sample_commit(sample);

	sample_begin(sample);
	node(sample, VALORI_EVENT_NODE_CREATE, 0, 0, 0, 1);
	node(sample, VALORI_EVENT_NODE_CREATE, 1, 0, 0, 3);
	node(sample, VALORI_EVENT_NODE_CREATE, 2, VALORI_NONE, 0, 255);
	node(sample, VALORI_EVENT_NODE_CREATE, 3, 3, 1, 2);
	node(sample, VALORI_EVENT_NODE_CREATE, 4, 6, 0, 0);
	edge(sample, 0, 1, 1);
	edge(sample, 1, 0, 2);
	edge(sample, 2, 2, 0);
	edge(sample, 0, 2, 200);
	edge(sample, 4, 0, 1);
	request(sample, "request number 2");
	sample_commit(sample);

	sample_begin(sample);
	memset(large, 'm', sizeof(large));
	meta(sample, 0, "note", large, 300);
	meta(sample, 1, "empty", large, 0);
	meta(sample, 2, "gone", large, 10);
	set_metadata(sample, 1, large, sizeof(large), NULL);
	set_metadata(sample, 0, (const uint8_t *)"now salted", 10, salts[1]);
	set_metadata(sample, 2, NULL, VL_ABSENT, NULL);
	with_tag(sample, VALORI_EVENT_SET_TAG, 2, 1234567890123456789u, 0);
	with_tag(sample, VALORI_EVENT_CONFIG, 0, 1, VL_PARAM_INDEX);
	with_tag(sample, VALORI_EVENT_CONFIG, 0, 16, VL_PARAM_HNSW_M);
	sample_commit(sample);

	sample_begin(sample);
	apply(sample, event_of(VALORI_EVENT_SOFT_DELETE, 2));
	apply(sample, event_of(VALORI_EVENT_DELETE, 6));
	node(sample, VALORI_EVENT_NODE_SET_RECORD, 2, 0, 0, 0);
	node(sample, VALORI_EVENT_NODE_SET_RECORD, 0, 1, 0, 0);
	apply(sample, event_of(VALORI_EVENT_NODE_DELETE, 1));
	apply(sample, event_of(VALORI_EVENT_EDGE_DELETE, 2));
	apply(sample, event_of(VALORI_EVENT_META_DELETE, 2));
	apply(sample, event_of(VALORI_EVENT_COLLECTION_DROP, 2));
	sample_commit(sample);
}

/* The second one: ids and tables go on. */
static void second_half(struct sample *sample)
{
	sample_begin(sample);
	insert(sample, 0, 0, 0, "goes", "has come again", NULL);
	meta(sample, 0, "note", large, 5);
	meta(sample, 3, "gone", large, 4);
	collection(sample, "third-_9");
	request(sample, "request number 3");
	sample_commit(sample);

	sample_begin(sample);
	apply(sample, event_of(VALORI_EVENT_DELETE, 2));
	node(sample, VALORI_EVENT_NODE_CREATE, 5, 7, 0, 1);
	edge(sample, 5, 2, 9);
	sample_commit(sample);
}

/* ---- writing ---- */

static void append(void *context, const uint8_t *bytes, uint64_t size, const struct vl_position *position)
{
	valori_error error;

	must(vl_writer_append(context, bytes, size, position, &error), &error);
}

static void make(const char *directory)
{
	const struct vl_writer_options writing = {.sync_mode = VALORI_SYNC_NONE};
	struct vl_reader_options reading = {.path = directory, .fd = -1, .ignore_head = true};
	struct vl_reader *reader;
	struct vl_writer *writer;
	struct vl_names files;
	struct sample sample;
	struct vl_commit none;
	char path[300];
	valori_error error;

	mkdir(directory, 0755);
	sample_init(&sample, &memory.env, DIM, 2026);
	sample.position.time_ms = 1767225600000;
	must(vl_names_init(&files, &vl_os_real, directory, &error), &error);
	must(vl_log_create(&memory.env, &vl_os_real, &files, &sample.position, &error), &error);
	must(vl_reader_open(&memory.env, &vl_os_real, &reading, &reader, &error), &error);
	if (vl_reader_next(reader, &none, NULL) != VALORI_END)
		exit(1);
	must(vl_writer_open(&memory.env, &vl_os_real, &files, &writing, reader, &writer, &error), &error);
	vl_reader_close(reader);
	sample.append = append;
	sample.context = writer;
	first_half(&sample);
	must(vl_writer_rotate(writer, &error), &error);
	snprintf(path, sizeof(path), "%s/snapshot.val", directory);
	must(vl_snapshot_write(&memory.env, &vl_os_real, &sample.position, &sample.state, &sample.commitment,
			       &sample.requests, NULL, path, -1, &error),
	     &error);
	second_half(&sample);
	must(vl_writer_close(writer, &error), &error);
	sample_free(&sample);
	vl_names_free(&files);
}

/* ---- the one with an index ---- */

/* One axis is coarse, so that distances tie. */
static void insert_many(struct sample *sample)
{
	for (uint32_t i = 0; i < VL_GRAPH_MIN; i++) {
		struct vl_event event = event_of(VALORI_EVENT_INSERT, i);
		uint8_t vector[4 * DIM];

		vl_put32(vector, i * 40503 % 65536);
		vl_put32(vector + 4, i * 48271 % 65521);
		vl_put32(vector + 8, i % 4 << 16);
		event.vector = vector;
		event.tag = i % 2;
		apply(sample, event);
	}
}

static void make_indexed(const char *path)
{
	struct vl_index_parameters parameters;
	struct vl_schedule begun, due;
	struct vl_index index;
	struct sample sample;
	valori_error error;

	sample_init(&sample, &memory.env, DIM, 2026);
	sample.position.time_ms = 1767225600000;
	sample_begin(&sample);
	with_tag(&sample, VALORI_EVENT_CONFIG, 0, VALORI_INDEX_HNSW, VL_PARAM_INDEX);
	with_tag(&sample, VALORI_EVENT_CONFIG, 0, 4, VL_PARAM_HNSW_M);
	insert_many(&sample);
	sample_commit(&sample);
	vl_index_configured(&sample.state.totals, &parameters);
	vl_schedule_begin(&begun, &parameters, 0);
	vl_index_init(&index, &memory.env, DIM, &begun);
	if (!vl_schedule_next(&begun, &sample.state, &parameters, &due))
		exit(1);
	must(vl_index_round(&index, &sample.state, &due, NULL, &error), &error);
	must(vl_snapshot_write(&memory.env, &vl_os_real, &sample.position, &sample.state, &sample.commitment,
			       &sample.requests, &index, path, -1, &error),
	     &error);
	vl_index_free(&index);
	sample_free(&sample);
}

static bool same_file(const char *a, const char *b)
{
	static uint8_t buffers[2][1 << 16];
	int fds[2] = {open(a, O_RDONLY), open(b, O_RDONLY)};
	ssize_t counts[2] = {1, 1};
	bool is_same = fds[0] >= 0 && fds[1] >= 0;

	while (is_same && counts[0] > 0) {
		for (int i = 0; i < 2; i++)
			counts[i] = read(fds[i], buffers[i], sizeof(buffers[i]));
		is_same = counts[0] >= 0 && counts[0] == counts[1] &&
			  memcmp(buffers[0], buffers[1], (size_t)counts[0]) == 0;
	}
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return is_same;
}

/* The index as it was saved: its digest, and what is found with it. */
static void test_indexed(const char *path)
{
	static const char expected[] = "d122cbbff375562a337f792093ca68a7b33269baeceee4fd57e282dce4601063";
	static const int32_t query[DIM] = {30000, 30000, 65536};
	static const uint64_t nearest[] = {25, 169, 245};
	valori_search_options searching = VALORI_SEARCH_INIT;
	valori_options options = VALORI_OPTIONS_INIT;
	valori_index_info info = {.size = sizeof(info)};
	valori_explanation explanation = {0};
	valori_hit hits[3] = {{0}};
	valori_error error = {0};
	valori_view *view = NULL;
	valori *store = NULL;
	char digest[65] = "";
	size_t found = 0;
	bool ok;

	make_indexed("indexed.val");
	check(same_file(path, "indexed.val"), "indexed/snapshot.val would be written again, byte for byte");
	options.snapshot = path;
	options.flags = VALORI_READ | VALORI_INDEX_SAVED;
	searching.k = 3;
	searching.explanation = &explanation;
	ok = valori_open(&options, &store, &error) == VALORI_OK &&
	     valori_view_open(store, &view, &error) == VALORI_OK &&
	     valori_view_index(view, &info, &error) == VALORI_OK &&
	     valori_search(view, query, 1, &searching, hits, &found, &error) == VALORI_OK;
	if (!check(ok, "its index is read"))
		printf("# %s\n", error.message);
	valori_hash_format(&info.digest, digest);
	check_text(digest, expected, "it has the digest it always had");
	check(info.has_graph == 1 && info.rows == VL_GRAPH_MIN && info.m == 4, "it is a graph of all records");
	check_u64(explanation.plan, VALORI_PLAN_GRAPH, "it is searched");
	for (size_t i = 0; i < 3; i++)
		check_u64(hits[i].id, nearest[i], "it is found");
	valori_view_close(view);
	valori_close(store, NULL);
}

/* ---- reading ---- */

static void test_same(const char *golden)
{
	char old[4200], new[64];

	make("made");
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(old, sizeof(old), "%s/%s", golden, names[i]);
		snprintf(new, sizeof(new), "made/%s", names[i]);
		check(same_file(old, new), "%s would be written again, byte for byte", names[i]);
	}
}

/* The state root at the end, as an opened store has it. */
static void test_root(const char *directory, const char *snapshot, uint64_t base, const char *what)
{
	static const char expected[] = "2b91458156420cd7a3f08dac2729faa690f034b786ad824f74a4f527d5a0360e";
	valori_options options = VALORI_OPTIONS_INIT;
	valori_info info = {.size = sizeof(info)};
	valori_error error = {0};
	valori *store = NULL;
	char root[65];

	options.log = directory;
	options.snapshot = snapshot;
	if (!check(valori_open(&options, &store, &error) == VALORI_OK &&
			   valori_get_info(store, &info, &error) == VALORI_OK,
		   "%s opens", what))
		printf("# %s\n", error.message);
	valori_hash_format(&info.state_root, root);
	check(strcmp(root, expected) == 0 && info.base_height == base, "%s has the root it always had", what);
	if (strcmp(root, expected) != 0)
		printf("# is %s at base %u\n", root, (unsigned)info.base_height);
	valori_close(store, NULL);
}

static void copy(const char *from, const char *name, const char *to)
{
	static uint8_t buffer[1 << 20];
	char path[4200];
	int source, target;
	ssize_t size;

	snprintf(path, sizeof(path), "%s/%s", from, name);
	source = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "%s/%s", to, name);
	target = open(path, O_WRONLY | O_CREAT, 0600);
	size = read(source, buffer, sizeof(buffer));
	if (size < 0 || write(target, buffer, (size_t)size) != size)
		exit(1);
	close(source);
	close(target);
}

int main(int argc, char **argv)
{
	char golden[4096], directory[3000];

	memory_init(&memory, vl_cpu_kernels(NULL));
	if (argc > 1) {
		snprintf(golden, sizeof(golden), "%s/everything", argv[1]);
		make(golden);
		snprintf(golden, sizeof(golden), "%s/indexed", argv[1]);
		mkdir(golden, 0755);
		snprintf(golden, sizeof(golden), "%s/indexed/snapshot.val", argv[1]);
		make_indexed(golden);
		return 0;
	}
	if (getcwd(directory, sizeof(directory)) == NULL)
		return 2;
	snprintf(golden, sizeof(golden), "%s/tests/vectors/golden/everything", directory);
	scratch_enter();
	test_same(golden);
	test_root(golden, "", 0, "the log of two segments");
	test_root(golden, NULL, 0, "the log with its snapshot");
	mkdir("trimmed", 0700);
	copy(golden, "events.log", "trimmed");
	copy(golden, "snapshot.val", "trimmed");
	test_root("trimmed", NULL, 36, "the trimmed log");
	snprintf(golden, sizeof(golden), "%s/tests/vectors/golden/indexed/snapshot.val", directory);
	test_indexed(golden);
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back");
	return check_done();
}
