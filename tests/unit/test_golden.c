/*
 * Golden files: tests/vectors/golden/ pins the bytes of the formats. This program makes the same stores again and
 * compares; then it reads the committed ones as any user's. A difference means that files of users can no longer be
 * read: the format version must then change and the old files stay beside the new ones.
 *
 *   test_golden --write DIR    makes them: only for a format that has not been released
 */
#include "valori.h"

#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "stores.h"

enum { DIM = 4 };

static uint8_t log_id[32];

static valori *open_golden(const char *directory, uint32_t flags)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_error error;
	valori *store;

	for (int i = 0; i < 32; i++)
		log_id[i] = (uint8_t)(i * 7 + 1);
	options.log = directory;
	options.flags = flags;
	options.dim = DIM;
	options.log_id = log_id;
	options.time_ms = UINT64_C(1700000000123);
	options.segment_size = 64 << 10;
	if (valori_open(&options, &store, &error) != VALORI_OK) {
		printf("# %s\n", error.message);
		exit(1);
	}
	return store;
}

static void commit(valori *store, const valori_op *ops, size_t count)
{
	valori_batch *batch;
	valori_error error;

	if (valori_batch_new(DIM, &batch, &error) != VALORI_OK)
		exit(1);
	for (size_t i = 0; i < count; i++)
		if (valori_batch_add(batch, &ops[i], &error) != VALORI_OK) {
			printf("# op %zu: %s\n", i, error.message);
			exit(1);
		}
	if (valori_commit(store, batch, NULL, NULL, &error) != VALORI_OK) {
		printf("# commit: %s\n", error.message);
		exit(1);
	}
	valori_batch_free(batch);
}

static valori_ref id_ref(uint64_t id)
{
	return (valori_ref){.kind = VALORI_REF_ID, .id = id};
}

static const int32_t corner[][DIM] = {{0, 0, 0, 0},
				      {65536, -65536, 1, -1},
				      {2147483647, 0, 0, 0},
				      {-1073741824, 1073741823, 0, 5},
				      {-2147483647, 0, 0, 0}};

/* One commit for every kind of event, and all of it once more in one. No event is salted: salts are random. */
static void every_event(const char *directory)
{
	const uint8_t binary[] = {0, 255, 10, 9, 92};
	const valori_op ops[] = {
		{.kind = VALORI_OP_INSERT, .dim = DIM, .vector = corner[0]},
		{.kind = VALORI_OP_INSERT,
		 .dim = DIM,
		 .vector = corner[1],
		 .tag = UINT64_MAX,
		 .key = "first",
		 .key_size = 5,
		 .metadata = (const uint8_t *)"{\"a\": 1}",
		 .metadata_size = 8},
		{.kind = VALORI_OP_INSERT,
		 .dim = DIM,
		 .vector = corner[2],
		 .key = "\xc3\xa9t\xc3\xa9",
		 .key_size = 5,
		 .metadata = binary,
		 .metadata_size = 0},
		{.kind = VALORI_OP_INSERT,
		 .dim = DIM,
		 .vector = corner[3],
		 .metadata = binary,
		 .metadata_size = sizeof(binary),
		 .flags = VALORI_OP_REQUEST,
		 .request = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
		{.kind = VALORI_OP_SOFT_DELETE, .target = {.kind = VALORI_REF_ID, .id = 0}},
		{.kind = VALORI_OP_SET_TAG,
		 .target = {.kind = VALORI_REF_KEY, .key = "first", .key_size = 5},
		 .tag = 12},
		{.kind = VALORI_OP_SET_METADATA,
		 .target = {.kind = VALORI_REF_ID, .id = 1},
		 .metadata = (const uint8_t *)"new",
		 .metadata_size = 3},
		{.kind = VALORI_OP_SET_METADATA, .target = {.kind = VALORI_REF_ID, .id = 3}},
		{.kind = VALORI_OP_NODE_CREATE, .object_kind = 1, .target = {.kind = VALORI_REF_ID, .id = 1}},
		{.kind = VALORI_OP_NODE_CREATE, .object_kind = 255},
		{.kind = VALORI_OP_NODE_CREATE, .object_kind = 3},
		{.kind = VALORI_OP_NODE_SET_RECORD,
		 .from = {.kind = VALORI_REF_ID, .id = 1},
		 .target = {.kind = VALORI_REF_ID, .id = 2}},
		{.kind = VALORI_OP_EDGE_CREATE,
		 .from = {.kind = VALORI_REF_ID, .id = 0},
		 .to = {.kind = VALORI_REF_ID, .id = 1},
		 .object_kind = 1},
		{.kind = VALORI_OP_EDGE_CREATE,
		 .from = {.kind = VALORI_REF_ID, .id = 1},
		 .to = {.kind = VALORI_REF_ID, .id = 1},
		 .object_kind = 2},
		{.kind = VALORI_OP_EDGE_CREATE,
		 .from = {.kind = VALORI_REF_ID, .id = 2},
		 .to = {.kind = VALORI_REF_ID, .id = 0}},
		{.kind = VALORI_OP_UPSERT, .dim = DIM, .vector = corner[4], .key = "first", .key_size = 5, .tag = 3},
		{.kind = VALORI_OP_EDGE_DELETE, .from = {.kind = VALORI_REF_ID, .id = 2}},
		{.kind = VALORI_OP_NODE_DELETE, .from = {.kind = VALORI_REF_ID, .id = 1}},
		{.kind = VALORI_OP_META_SET,
		 .key = "k",
		 .key_size = 1,
		 .metadata = (const uint8_t *)"v",
		 .metadata_size = 1},
		{.kind = VALORI_OP_META_SET, .key = "other", .key_size = 5, .metadata = binary, .metadata_size = 5},
		{.kind = VALORI_OP_META_SET,
		 .key = "k",
		 .key_size = 1,
		 .metadata = (const uint8_t *)"w",
		 .metadata_size = 1},
		{.kind = VALORI_OP_META_DELETE, .key = "other", .key_size = 5},
		{.kind = VALORI_OP_COLLECTION_CREATE, .key = "papers", .key_size = 6},
		{.kind = VALORI_OP_INSERT,
		 .dim = DIM,
		 .vector = corner[1],
		 .collection = 1,
		 .key = "first",
		 .key_size = 5},
		{.kind = VALORI_OP_COLLECTION_CREATE, .key = "Old_1-x", .key_size = 7},
		{.kind = VALORI_OP_COLLECTION_DROP, .collection = 2},
		{.kind = VALORI_OP_CONFIG, .tag = 2, .target = {.kind = VALORI_REF_ID, .id = 24}},
		{.kind = VALORI_OP_CONFIG, .tag = 1, .target = {.kind = VALORI_REF_ID, .id = 2}},
		{.kind = VALORI_OP_DELETE, .target = {.kind = VALORI_REF_ID, .id = 0}},
	};
	valori *store = open_golden(directory, VALORI_WRITE | VALORI_CREATE);
	const valori_op group[] = {
		ops[0],
		{.kind = VALORI_OP_NODE_CREATE, .object_kind = 2, .target = {.kind = VALORI_REF_OP, .id = 0}},
		{.kind = VALORI_OP_EDGE_CREATE, .from = {.kind = VALORI_REF_OP, .id = 1}, .to = id_ref(0)}};

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		commit(store, &ops[i], 1);
	commit(store, group, 3);
	valori_close(store, NULL);
}

/* Metadata fills a segment quickly: the second commit of three seals the first segment. */
static void fill(valori *store, int first, int last)
{
	static uint8_t text[20000];

	memset(text, 'x', sizeof(text));
	for (int i = first; i < last; i++) {
		const valori_op op = {.kind = VALORI_OP_INSERT,
				      .dim = DIM,
				      .vector = corner[i % 5],
				      .tag = (uint64_t)i,
				      .metadata = text,
				      .metadata_size = i % 5 == 4 ? 20000 : 3};

		commit(store, &op, 1);
	}
}

static void two_segments(const char *directory)
{
	valori *store = open_golden(directory, VALORI_WRITE | VALORI_CREATE);

	fill(store, 0, 22);
	valori_close(store, NULL);
}

static void trimmed(const char *directory)
{
	valori *store = open_golden(directory, VALORI_WRITE | VALORI_CREATE);
	const char *snapshot = stores_path(directory, "snapshot.val");
	valori_trim_result result;
	valori_error error = {0};
	valori_view *view;
	bool ok;

	fill(store, 0, 10);
	ok = valori_view_open(store, &view, &error) == VALORI_OK &&
	     valori_snapshot_write(view, snapshot, NULL, &error) == VALORI_OK;
	valori_view_close(view);
	valori_close(store, NULL);
	ok = ok && valori_trim(directory, snapshot, NULL, 0, &result, &error) == VALORI_OK;
	if (!ok) {
		printf("# %s\n", error.message);
		exit(1);
	}
	store = open_golden(directory, VALORI_WRITE);
	fill(store, 10, 13);
	valori_close(store, NULL);
}

static const struct golden {
	const char *name;
	void (*make)(const char *directory);
	const char *files[4];
	uint64_t height;
	const char *state_root, *tree_root;
} goldens[] = {
	{"every-event",
	 every_event,
	 {"events.log", "events.head"},
	 34,
	 "55c5501c6222efb40a84f40e881a1abce4fdcb291bbe91ee68db6bdd105ececb",
	 "fb2767333cb80ad16b265b03a16c528337b2f765ef28e77e4b1b22da20679449"},
	{"two-segments",
	 two_segments,
	 {"events-00000000000000000000.log", "events.log", "events.head"},
	 22,
	 "f13d8415a4eab9fc8accf2c4a84c01f283c25fece944f980c73771eb21d8e1d1",
	 "9bd5322d9b3acb9a0172749c1371c11d15fa5be4a55d6f78a288028cca7bbe8b"},
	{"trimmed",
	 trimmed,
	 {"events.log", "events.head", "snapshot.val"},
	 13,
	 "a1d95e0450d3e9678e52b2f7ae64248d9492605d85f2992ec9ed4d5d9709bf14",
	 "a66442a3c0432550822a15ff1cb6338e413b0378449dec623a6ac6c3dc2a0add"},
};

static void compare(const struct golden *golden, const char *committed, const char *made)
{
	for (int i = 0; i < 4 && golden->files[i] != NULL; i++) {
		size_t size, size_now;
		uint8_t *bytes = stores_read(stores_path(committed, golden->files[i]), &size);
		uint8_t *now = stores_read(stores_path(made, golden->files[i]), &size_now);

		check(bytes != NULL && now != NULL && size == size_now && memcmp(bytes, now, size) == 0,
		      "%s/%s: is still written byte for byte", golden->name, golden->files[i]);
		free(bytes);
		free(now);
	}
}

static void read_back(const struct golden *golden, const char *committed)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	valori_error error = {0};
	char root[65], tree[65];
	bool ok;

	options.path = committed;
	ok = valori_verify(&options, &report, &error) == VALORI_OK && report.verdict == VALORI_CONSISTENT;
	check(ok, "%s: verifies", golden->name);
	if (!ok)
		printf("# %s%s\n", error.message, report.sentence);
	valori_hash_format(&report.state_root, root);
	valori_hash_format(&report.tree_root, tree);
	check_u64(report.height, golden->height, "... with this many events");
	check_text(root, golden->state_root, "... to this state root");
	check_text(tree, golden->tree_root, "... and this tree root");
}

int main(int argc, char **argv)
{
	const char *source = getenv("VALORI_GOLDEN");
	char scratch[256], committed[512];

	if (argc == 3 && strcmp(argv[1], "--write") == 0) {
		for (size_t i = 0; i < sizeof(goldens) / sizeof(*goldens); i++) {
			snprintf(committed, sizeof(committed), "%s/%s", argv[2], goldens[i].name);
			mkdir(committed, 0755);
			goldens[i].make(committed);
			unlink(stores_path(committed, "events.lock"));
		}
		return 0;
	}
	for (size_t i = 0; i < sizeof(goldens) / sizeof(*goldens); i++) {
		stores_make(scratch);
		snprintf(committed, sizeof(committed), "%s/%s", source != NULL ? source : "tests/vectors/golden",
			 goldens[i].name);
		goldens[i].make(scratch);
		compare(&goldens[i], committed, scratch);
		read_back(&goldens[i], committed);
		stores_remove(scratch);
	}
	return check_done();
}
