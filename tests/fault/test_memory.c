/*
 * test_memory.c - every allocation of the library fails once, in all that it does with files: what is asked for is
 * refused for want of memory or is done, and nothing in between; nothing leaks, and no store is harmed.
 *
 * The linker leads all that takes memory here (--wrap), the library's own host.c is replaced, and what syncs does
 * nothing. Whoever would start threads is left out: the order of allocations must be the same each time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "../unit/check.h"
#include "../unit/scratch.h"
#include "../unit/upstream_files.h"
#include "cpu.h"
#include "host.h"
#include "valori.h"

enum { DIM = 4, COMMITS = 12, ROWS = 8, HEIGHT_MAX = 400 };

/* ---- Memory that runs out ---- */

static struct {
	bool is_on, is_once; /* is_once: what is asked for behind the one that fails is given */
	uint64_t calls, fail_at, failures;
	int64_t blocks;
} memory;

static bool is_out(void)
{
	bool fails;

	if (!memory.is_on)
		return false;
	memory.calls++;
	fails = memory.is_once ? memory.calls == memory.fail_at
			       : memory.fail_at != 0 && memory.calls >= memory.fail_at;
	memory.failures += fails;
	if (fails)
		errno = ENOMEM;
	return fails;
}

static void *given(void *block)
{
	memory.blocks += block != NULL;
	return block;
}

#define WRAP(type, name, declared, out, call) \
	type __real_##name declared;          \
	type __wrap_##name declared;          \
	type __wrap_##name declared           \
	{                                     \
		return is_out() ? (out) : (call); \
	}

WRAP(void *, malloc, (size_t size), NULL, given(__real_malloc(size)))
WRAP(void *, calloc, (size_t count, size_t size), NULL, given(__real_calloc(count, size)))
WRAP(void *, aligned_alloc, (size_t unit, size_t size), NULL, given(__real_aligned_alloc(unit, size)))
WRAP(char *, strdup, (const char *text), NULL, given(__real_strdup(text)))
WRAP(DIR *, opendir, (const char *path), NULL, __real_opendir(path))
WRAP(void *, realloc, (void *block, size_t size), NULL,
     block == NULL ? given(__real_malloc(size)) : __real_realloc(block, size))

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
	memory.blocks -= block != NULL;
	__real_free(block);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return fd < 0 ? -1 : 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	return fd < 0 ? -1 : 0;
}

static void *host_alloc(void *context, size_t size)
{
	void *block = aligned_alloc(64, size == 0 ? 64 : (size + 63) & ~(size_t)63);

	(void)context;
	if (block != NULL)
		memset(block, 0xa5, size); /* nobody may count on zeros */
	return block;
}

static void host_release(void *context, void *block, size_t size)
{
	(void)context;
	if (block != NULL)
		memset(block, 0x5a, size); /* nobody may read on */
	free(block);
}

const struct vl_env *vl_host_env(void)
{
	static struct vl_env env = {.alloc = host_alloc, .release = host_release};

	if (env.kernels == NULL)
		env.kernels = vl_cpu_kernels(NULL);
	return &env;
}

/* ---- What was seen ---- */

static valori_error said; /* by the call that failed */
static uint64_t seen;	  /* a digest of all that was answered */
static uint32_t verdict;  /* the last one */

static void see(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		seen = (seen ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
}

static void see_number(uint64_t number)
{
	see(&number, sizeof(number));
}

/* The rest of a scenario is not for who was refused. */
#define TRY(call)                         \
	do {                              \
		code = (call);            \
		if (code != VALORI_OK)    \
			goto out;         \
	} while (0)

/* ---- A store of all kinds of events ---- */

static valori_hash moments[HEIGHT_MAX + 1]; /* the state root after so many events that end a commit */
static bool is_moment[HEIGHT_MAX + 1];
static valori_hash late_moment; /* the last but one */

static valori_options options_of(const char *log, uint32_t flags)
{
	static const uint8_t id[32] = "the id of this log";
	valori_options options = VALORI_OPTIONS_INIT;

	options.log = log;
	options.flags = flags;
	options.segment_size = 8192;
	options.log_id = id;
	options.time_ms = UINT64_C(1700000000000);
	options.dim = (flags & VALORI_CREATE) != 0 ? DIM : 0;
	return options;
}

static valori_code add(valori_batch *batch, valori_op *op, const char *key, const char *metadata)
{
	op->key = key;
	op->key_size = key != NULL ? (uint32_t)strlen(key) : 0;
	op->metadata = (const uint8_t *)metadata;
	op->metadata_size = metadata != NULL ? (uint32_t)strlen(metadata) : 0;
	return valori_batch_add(batch, op, &said);
}

static valori_ref by_key(const char *key)
{
	return (valori_ref){.kind = VALORI_REF_KEY, .key = key, .key_size = (uint32_t)strlen(key)};
}

static valori_ref by_id(uint32_t kind, uint64_t id)
{
	return (valori_ref){.kind = kind, .id = id};
}

/* What changes commit number `number` makes beside its inserts. */
static valori_code fill_changes(valori_batch *batch, unsigned number)
{
	char key[4][24];
	valori_code code;

	for (unsigned i = 0; i < 4; i++)
		snprintf(key[i], sizeof(key[i]), "%u-%u", number - 1, i);
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_SOFT_DELETE, .target = by_key(key[0])}, NULL, NULL));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_DELETE, .target = by_key(key[1])}, NULL, NULL));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_SET_METADATA, .target = by_key(key[2])}, NULL, "other"));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_SET_TAG, .target = by_key(key[3]), .tag = 77}, NULL, NULL));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_META_DELETE}, "count", NULL));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_EDGE_DELETE, .from = by_id(VALORI_REF_ID, number - 1)}, NULL,
		NULL));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_NODE_DELETE, .from = by_id(VALORI_REF_ID, 2 * number - 2)}, NULL,
		NULL));
	TRY(add(batch,
		&(valori_op){.kind = VALORI_OP_NODE_SET_RECORD,
			     .from = by_id(VALORI_REF_ID, 2 * number - 1),
			     .target = by_key(key[3])},
		NULL, NULL));
out:
	return code;
}

static valori_code fill(valori_batch *batch, unsigned number)
{
	char key[24], text[400];
	valori_code code;

	valori_batch_clear(batch);
	for (unsigned i = 0; i < ROWS; i++) {
		int32_t vector[DIM] = {(int32_t)(number << 16), (int32_t)(i << 14), -(int32_t)(i * number), 3};
		valori_op op = {.kind = VALORI_OP_INSERT,
				.flags = VALORI_OP_REQUEST,
				.vector = vector,
				.dim = DIM,
				.tag = i % 3};

		memset(text, 'a' + (int)i, sizeof(text));
		text[300 + number] = '\0';
		snprintf(key, sizeof(key), "%u-%u", number, i);
		memcpy(op.request, "requests", 8);
		op.request[8] = (uint8_t)(number * ROWS + i);
		TRY(add(batch, &op, key, text));
	}
	for (unsigned i = 0; i < 2; i++)
		TRY(add(batch,
			&(valori_op){.kind = VALORI_OP_NODE_CREATE, .object_kind = i, .target = by_id(VALORI_REF_OP, i)},
			NULL, NULL));
	TRY(add(batch,
		&(valori_op){.kind = VALORI_OP_EDGE_CREATE,
			     .from = by_id(VALORI_REF_OP, ROWS),
			     .to = by_id(VALORI_REF_OP, ROWS + 1)},
		NULL, NULL));
	if (number > 0)
		TRY(fill_changes(batch, number));
	snprintf(key, sizeof(key), "name-%u", number);
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_COLLECTION_CREATE}, key, NULL));
	TRY(add(batch, &(valori_op){.kind = VALORI_OP_META_SET}, "count", text));
	if (number == 1)
		TRY(add(batch,
			&(valori_op){.kind = VALORI_OP_CONFIG,
				     .tag = VALORI_CONFIG_INDEX,
				     .target = by_id(VALORI_REF_ID, VALORI_INDEX_BRUTE)},
			NULL, NULL));
	if (number == 2)
		TRY(add(batch, &(valori_op){.kind = VALORI_OP_COLLECTION_DROP, .collection = 1}, NULL, NULL));
out:
	return code;
}

static valori_info info_of(valori *store)
{
	valori_info info = {.size = sizeof(info)};

	if (valori_get_info(store, &info, &said) != VALORI_OK)
		memset(&info, 0, sizeof(info));
	return info;
}

static uint64_t acknowledged; /* events, by a scenario that writes */

/* The commits first to end - 1, and after the last some as one group. */
static valori_code write_commits(const valori_options *options, unsigned first, unsigned end)
{
	valori *store = NULL;
	valori_batch *batches[3] = {NULL, NULL, NULL};
	uint64_t ids[64], group = 0;
	uint32_t dim = DIM;
	valori_code code;

	TRY(valori_open(options, &store, &said));
	for (unsigned i = 0; i < 3; i++)
		TRY(valori_batch_new(dim, &batches[i], &said));
	for (unsigned number = first; number < end; number++) {
		TRY(fill(batches[0], number));
		valori_batch_seal(batches[0]);
		TRY(valori_commit(store, batches[0], NULL, ids, &said));
		acknowledged = info_of(store).height;
		see_number(ids[0]);
	}
	for (unsigned i = 0; i < 3; i++) {
		TRY(fill(batches[i], end + i));
		group += valori_batch_count(batches[i]);
	}
	TRY(valori_commit_many(store, batches, 3, NULL, NULL, NULL, &said));
	acknowledged = info_of(store).height;
	see_number(group);
	see(info_of(store).tree_root.bytes, 32);
	TRY(valori_flush(store, &said));
out:
	for (unsigned i = 0; i < 3; i++)
		valori_batch_free(batches[i]);
	if (store != NULL && valori_close(store, code == VALORI_OK ? &said : NULL) != VALORI_OK && code == VALORI_OK)
		code = said.code;
	return code;
}

/* The same, remembering all moments. */
static void make_good(const char *name, const uint8_t *id)
{
	valori_options options = options_of(name, VALORI_WRITE | VALORI_CREATE);
	valori_batch *batch;
	valori_view *view;
	valori *store;
	char snapshot[64];
	bool ok;

	snprintf(snapshot, sizeof(snapshot), "%s/snapshot.val", name);
	options.log_id = id != NULL ? id : options.log_id;
	ok = valori_open(&options, &store, &said) == VALORI_OK;
	valori_batch_new(DIM, &batch, NULL);
	for (unsigned number = 0; ok && number < COMMITS + 3; number++) {
		valori_info info = info_of(store);

		is_moment[info.height] = true;
		moments[info.height] = late_moment = info.state_root;
		ok = fill(batch, number) == VALORI_OK && valori_commit(store, batch, NULL, NULL, &said) == VALORI_OK;
		if (ok && number == COMMITS / 2 && valori_view_open(store, &view, NULL) == VALORI_OK) {
			ok = valori_snapshot_write(view, snapshot, NULL, &said) == VALORI_OK;
			valori_view_close(view);
		}
	}
	if (ok) {
		is_moment[info_of(store).height] = true;
		moments[info_of(store).height] = info_of(store).state_root;
	}
	valori_batch_free(batch);
	valori_close(store, NULL);
	if (!check(ok, "there is a store with all kinds of events"))
		printf("# %s\n", said.message);
}

/* ---- Files ---- */

static void copy_file(const char *from, const char *to)
{
	char bytes[16384];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t count;

	while ((count = read(in, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)count) != count)
			abort();
	close(in);
	close(out);
}

/* Every regular file of a directory; to NULL: they are seen. */
static void copy_store(const char *from, const char *to)
{
	struct dirent **names;
	int count = scandir(from, &names, NULL, alphasort);

	if (to != NULL) {
		scratch_clear(to);
		mkdir(to, 0700);
	}
	for (int i = 0; i < count; i++) {
		char in[600], out[600];
		struct stat found;

		snprintf(in, sizeof(in), "%s/%s", from, names[i]->d_name);
		snprintf(out, sizeof(out), "%s/%s", to != NULL ? to : from, names[i]->d_name);
		if (stat(in, &found) == 0 && S_ISREG(found.st_mode) && to != NULL)
			copy_file(in, out);
		see(names[i]->d_name, strlen(names[i]->d_name));
		see_number(S_ISREG(found.st_mode) ? (uint64_t)found.st_size : 0);
		__real_free(names[i]);
	}
	__real_free(names);
}

static uint64_t digest_of(const char *directory)
{
	seen = 1;
	copy_store(directory, NULL);
	return seen;
}

/* ---- Scenarios that only read ---- */

static valori_code look_at_view(const valori_view *view, uint64_t records, uint64_t nodes)
{
	static const int32_t queries[2][DIM] = {{5 << 16, 1 << 14, 0, 0}, {1 << 16, 3 << 14, 9, 3}};
	valori_code code = VALORI_OK;

	for (uint64_t id = 0; id < records; id++) {
		valori_record record;
		int32_t vector[DIM];

		TRY(valori_record_get(view, id, &record, &said));
		see_number(record.status);
		see(record.metadata, record.metadata_size);
		if (record.status == VALORI_DELETED)
			continue;
		TRY(valori_vector_get(view, id, vector, &said));
		see(vector, sizeof(vector));
	}
	for (uint64_t id = 0; id < nodes; id++) {
		uint64_t cursor = 0;
		valori_edge edge;

		while (valori_edge_next(view, id, 1, &cursor, &edge) == VALORI_OK)
			see_number(edge.to);
	}
	for (unsigned way = 0; way < 3; way++) {
		valori_search_options options = VALORI_SEARCH_INIT;
		valori_hit hits[2][30];
		size_t counts[2];

		options.k = 30;
		options.has_tag = way == 1;
		options.tag = 2;
		options.exact = way == 2;
		TRY(valori_search(view, queries[0], 2, &options, hits[0], counts, &said));
		for (unsigned i = 0; i < 2; i++)
			see(hits[i], counts[i] * sizeof(hits[0][0]));
	}
out:
	return code;
}

static valori_code look_at(const valori_options *options)
{
	valori *store;
	valori_view *view;
	valori_info info;
	valori_code code = valori_open(options, &store, &said);

	if (code != VALORI_OK)
		return code;
	code = valori_view_open(store, &view, &said);
	if (code == VALORI_OK) {
		info = info_of(store);
		see_number(info.height);
		see(info.state_root.bytes, 32);
		see(info.tree_root.bytes, 32);
		code = look_at_view(view, info.record_slots, info.node_slots);
		valori_view_close(view);
	}
	valori_close(store, NULL);
	return code;
}

static valori_code search(void)
{
	valori_options options = options_of("good", VALORI_READ);

	return look_at(&options);
}

static valori_code search_past(void)
{
	valori_options options = options_of("trimmed", VALORI_READ);

	options.archive = "archive";
	options.at = (valori_when){.kind = VALORI_WHEN_HEIGHT, .value = 40};
	return look_at(&options);
}

static valori_code search_trimmed(void)
{
	valori_options options = options_of("trimmed", VALORI_READ);

	return look_at(&options);
}

static valori_code rehearse(void)
{
	valori_options options = options_of("good", VALORI_REHEARSE);

	return write_commits(&options, COMMITS + 3, COMMITS + 4);
}

static valori_code replay_log(valori_log *log)
{
	valori_log_info info = {.size = sizeof(info)};
	uint8_t header[4096];
	valori_code code;

	TRY(valori_log_get_info(log, &info, &said));
	see(info.log_id.bytes, 32);
	TRY(valori_log_header(log, header, &said));
	see(header, sizeof(header));
	for (;;) {
		valori_commit_view commit;

		code = valori_log_next(log, &commit, &said);
		if (code == VALORI_END) {
			code = VALORI_OK;
			break;
		}
		if (code != VALORI_OK)
			break;
		see(commit.bytes, commit.size);
		see(commit.tree_root.bytes, 32);
		for (uint32_t i = 0; i < commit.event_count; i++) {
			valori_event event;

			TRY(valori_log_event(log, i, &event, &said));
			see_number(event.number);
			see_number(event.type);
		}
	}
out:
	return code;
}

static valori_code replay(void)
{
	valori_log *log;
	valori_code code = valori_log_open("good", NULL, 0, &log, &said);

	if (code != VALORI_OK)
		return code;
	code = replay_log(log);
	valori_log_close(log);
	return code;
}

static valori_code replay_stream(void)
{
	int fd = open("stream", O_RDONLY);
	valori_log *log;
	valori_code code = valori_log_open_fd(fd, "stream", &log, &said);

	if (code == VALORI_OK) {
		code = replay_log(log);
		valori_log_close(log);
	}
	close(fd);
	return code;
}

static valori_code find_moments(void)
{
	valori_when whens[] = {{.kind = VALORI_WHEN_HEIGHT, .value = 50},
			       {.kind = VALORI_WHEN_TIME, .value = UINT64_C(1700000000001)},
			       {.kind = VALORI_WHEN_ROOT, .root = moments[0]}};
	valori_log *log;
	uint64_t commit;
	valori_code code = valori_log_open("trimmed", "archive", 0, &log, &said);

	if (code != VALORI_OK)
		return code;
	for (unsigned i = 0; i < 3; i++) {
		TRY(valori_log_find(log, &whens[i], &commit, &said));
		see_number(commit);
	}
	TRY(valori_log_seek(log, 120, &said));
	code = replay_log(log);
out:
	valori_log_close(log);
	return code;
}

static void count_commit(void *context, const valori_commit_view *commit)
{
	(void)context;
	see(commit->tree_root.bytes, 32);
}

static valori_code verify(valori_verify_options *options)
{
	valori_verify_report report = {.size = sizeof(report)};
	valori_code code = valori_verify(options, &report, &said);

	verdict = report.verdict;
	see_number(report.verdict);
	see_number(report.snapshot_used);
	see_number(report.base_height);
	see_number(report.height);
	see(report.state_root.bytes, 32);
	see(report.tree_root.bytes, 32);
	see_number(report.fault_offset);
	see(report.sentence, strlen(report.sentence));
	see(report.note, strlen(report.note));
	return code;
}

static valori_code verify_log(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "good";
	return verify(&options);
}

static valori_code verify_history(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "trimmed";
	options.archive = "archive";
	options.expect_kind = 1;
	options.expect = moments[0];
	options.trace = count_commit;
	return verify(&options);
}

static valori_code verify_trimmed(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "trimmed";
	return verify(&options);
}

static valori_code verify_damaged(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "damaged";
	return verify(&options);
}

static valori_code verify_rewritten(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "rewritten";
	return verify(&options);
}

static valori_code verify_spliced(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "spliced";
	options.snapshot = "";
	return verify(&options);
}

static valori_code verify_moment(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "good";
	options.at = (valori_when){.kind = VALORI_WHEN_ROOT, .root = late_moment};
	return verify(&options);
}

static valori_code verify_snapshot(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "good/snapshot.val";
	return verify(&options);
}

static valori_code verify_stream(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_code code;

	options.fd = open("stream", O_RDONLY);
	options.name = "stream";
	code = verify(&options);
	close(options.fd);
	return code;
}

static valori_code verify_snapshot_stream(void)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_code code;

	options.fd = open("good/snapshot.val", O_RDONLY);
	options.name = "stream";
	code = verify(&options);
	close(options.fd);
	return code;
}

static valori_code check_snapshot(void)
{
	valori_snapshot_info info = {.size = sizeof(info)};
	valori_code code = valori_snapshot_read("good/snapshot.val", &info, &said);

	if (code == VALORI_OK)
		code = valori_snapshot_check("good/snapshot.val", &info, &said);
	see(info.state_root.bytes, 32);
	see_number(info.height);
	return code;
}

static valori_code read_upstream(void)
{
	const char *paths[] = {"demo.log"};
	valori_upstream_report report = {.size = sizeof(report)};
	valori_upstream *upstream;
	valori_upstream_event event;
	valori_code code = valori_upstream_open(paths, 1, "archive", &upstream, &said);

	if (code != VALORI_OK)
		return code;
	while ((code = valori_upstream_next(upstream, &event, &said)) == VALORI_OK)
		see_number(event.event.number);
	if (code == VALORI_END) {
		code = VALORI_OK;
		valori_upstream_get_report(upstream, &report);
		verdict = report.verdict;
	see_number(report.verdict);
		see(report.state_hash.bytes, 32);
	}
	valori_upstream_close(upstream);
	return code;
}

/* ---- Scenarios that write ---- */

static void nothing_there(void)
{
	scratch_clear("db");
	acknowledged = 0;
}

static void copy_good(void)
{
	copy_store("good", "db");
	scratch_clear("away");
	acknowledged = 0;
}

static void copy_torn(void)
{
	int fd;

	copy_store("good", "db");
	fd = open("db/events.log", O_WRONLY | O_APPEND);
	if (write(fd, "a torn tail", 11) != 11)
		abort();
	close(fd);
	acknowledged = 0;
}

static valori_code create(void)
{
	valori_options options = options_of("db", VALORI_WRITE | VALORI_CREATE);

	return write_commits(&options, 0, COMMITS);
}

static valori_code go_on(void)
{
	static const uint8_t prefix[8] = {'r', 'e', 'q', 'u', 'e', 's', 't', 's'};
	valori_options options = options_of("db", VALORI_WRITE);
	valori *store;
	uint64_t rows;
	valori_code code = valori_open(&options, &store, &said);

	if (code != VALORI_OK)
		return code;
	see_number(info_of(store).height);
	see_number(info_of(store).torn_size);
	code = valori_requests_find(store, prefix, &rows, &said);
	see_number(rows);
	if (valori_close(store, code == VALORI_OK ? &said : NULL) != VALORI_OK && code == VALORI_OK)
		code = said.code;
	return code;
}

static valori_code write_snapshot(void)
{
	valori_options options = options_of("db", VALORI_WRITE);
	valori_snapshot_info info = {.size = sizeof(info)};
	valori_view *view = NULL;
	valori *store;
	valori_code code = valori_open(&options, &store, &said);

	if (code != VALORI_OK)
		return code;
	TRY(valori_view_open(store, &view, &said));
	TRY(valori_snapshot_write(view, "db/snapshot.val", &info, &said));
	see(info.state_root.bytes, 32);
	see_number(info.height);
out:
	valori_view_close(view);
	valori_close(store, NULL);
	return code;
}

static valori_code trim(void)
{
	valori_trim_result result;
	valori_code code = valori_trim("db", "db/snapshot.val", "away", 0, &result, &said);

	see_number(result.base_height);
	see_number(result.segments);
	return code;
}

static valori_code restore(void)
{
	valori_snapshot_info info = {.size = sizeof(info)};
	valori_code code = valori_restore("db", "good/snapshot.val", &info, &said);

	see(info.state_root.bytes, 32);
	return code;
}

static valori_code replicate(void)
{
	valori_options options = options_of("db", VALORI_WRITE | VALORI_CREATE);
	valori_commit_view commit;
	valori *store = NULL;
	valori_log *log;
	int is_new;
	valori_code code = valori_log_open("good", NULL, 0, &log, &said);

	if (code != VALORI_OK)
		return code;
	TRY(valori_open(&options, &store, &said));
	while ((code = valori_log_next(log, &commit, &said)) == VALORI_OK) {
		TRY(valori_replicate(store, log, &commit, &is_new, &said));
		see_number((uint64_t)is_new);
	}
	if (code != VALORI_END)
		goto out;
	TRY(valori_flush(store, &said));
	acknowledged = info_of(store).height;
	see(info_of(store).tree_root.bytes, 32);
out:
	valori_log_close(log);
	if (store != NULL && valori_close(store, code == VALORI_OK ? &said : NULL) != VALORI_OK && code == VALORI_OK)
		code = said.code;
	return code;
}

/* The store in db can be written to, and stands at a moment that was acknowledged or is a later one. */
static bool is_sound(void)
{
	valori_options options = options_of("db", VALORI_WRITE);
	valori_verify_options how = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	valori_info info;
	valori *store;

	if (access("db/events.log", F_OK) != 0)
		return acknowledged == 0;
	how.path = "db";
	if (valori_verify(&how, &report, &said) != VALORI_OK || report.verdict != VALORI_CONSISTENT)
		return false;
	if (valori_open(&options, &store, &said) != VALORI_OK)
		return false;
	info = info_of(store);
	valori_close(store, NULL);
	return info.height >= acknowledged && info.height <= HEIGHT_MAX && is_moment[info.height] &&
	       memcmp(info.state_root.bytes, moments[info.height].bytes, 32) == 0;
}

/* ---- All of them ---- */

struct scenario {
	const char *name;
	valori_code (*run)(void);
	void (*before)(void); /* NULL: it only reads */
	bool is_repeatable;   /* after a failure it succeeds */
	uint32_t verdict;
};

static const struct scenario scenarios[] = {
	{"searching", search, NULL, true, VALORI_CONSISTENT},
	{"searching the past of a trimmed log", search_past, NULL, true, VALORI_CONSISTENT},
	{"searching a trimmed log", search_trimmed, NULL, true, VALORI_CONSISTENT},
	{"rehearsing", rehearse, NULL, true, VALORI_CONSISTENT},
	{"replaying", replay, NULL, true, VALORI_CONSISTENT},
	{"replaying a stream", replay_stream, NULL, true, VALORI_CONSISTENT},
	{"finding moments", find_moments, NULL, true, VALORI_CONSISTENT},
	{"verifying a log", verify_log, NULL, true, VALORI_CONSISTENT},
	{"verifying against a root, with a trace", verify_history, NULL, true, VALORI_DIFFERS},
	{"verifying a trimmed log", verify_trimmed, NULL, true, VALORI_CONSISTENT},
	{"verifying a damaged log", verify_damaged, NULL, true, VALORI_VERDICT_DAMAGED},
	{"verifying a rewritten log", verify_rewritten, NULL, true, VALORI_TAMPERED},
	{"verifying the files of two logs", verify_spliced, NULL, true, VALORI_TAMPERED},
	{"verifying up to a state root", verify_moment, NULL, true, VALORI_CONSISTENT},
	{"verifying a snapshot", verify_snapshot, NULL, true, VALORI_CONSISTENT},
	{"verifying a stream", verify_stream, NULL, true, VALORI_CONSISTENT},
	{"verifying a stream of a snapshot", verify_snapshot_stream, NULL, true, VALORI_CONSISTENT},
	{"checking a snapshot", check_snapshot, NULL, true, VALORI_CONSISTENT},
	{"reading a log of the Rust system", read_upstream, NULL, true, VALORI_CONSISTENT},
	{"making a store", create, nothing_there, false, VALORI_CONSISTENT},
	{"opening a torn store to write", go_on, copy_torn, false, VALORI_CONSISTENT},
	{"writing a snapshot", write_snapshot, copy_good, true, VALORI_CONSISTENT},
	{"trimming", trim, copy_good, true, VALORI_CONSISTENT},
	{"restoring", restore, copy_good, true, VALORI_CONSISTENT},
	{"replicating", replicate, nothing_there, true, VALORI_CONSISTENT},
};

static valori_code run(const struct scenario *scenario, uint64_t fail_at)
{
	valori_code code;

	seen = 1;
	said.message[0] = '\0';
	memory.calls = memory.failures = 0;
	memory.fail_at = fail_at;
	memory.is_on = true;
	code = scenario->run();
	memory.is_on = false;
	return code;
}

/* false: something is wrong, and why goes to *why. */
static bool is_right(const struct scenario *scenario, uint64_t fail_at, uint64_t wanted, const char **why)
{
	int64_t blocks;
	valori_code code;

	if (scenario->before != NULL)
		scenario->before();
	blocks = memory.blocks;
	code = run(scenario, fail_at);
	*why = "memory was not out";
	if (memory.failures == 0)
		return false;
	*why = "memory is lost";
	if (memory.blocks != blocks)
		return false;
	*why = "it fails with another code";
	/* Of a system call that wanted memory the code is another one; and of a writer that cannot undo what it began. */
	if (code != VALORI_OK && code != VALORI_NO_MEMORY && (code != VALORI_IO || said.system_errno != ENOMEM) &&
	    (code != VALORI_POISONED || scenario->before == NULL))
		return false;
	*why = "it succeeds with another answer";
	if (code == VALORI_OK && seen != wanted)
		return false;
	*why = "the store is not sound";
	if (scenario->before != NULL && !is_sound())
		return false;
	*why = "it fails again";
	return code == VALORI_OK || !scenario->is_repeatable || run(scenario, 0) == VALORI_OK;
}

static void every_allocation(const struct scenario *scenario)
{
	uint64_t total, wanted, wrong = 0;
	valori_code code;

	if (scenario->before != NULL)
		scenario->before();
	verdict = 0;
	code = run(scenario, 0);
	total = memory.calls;
	wanted = seen;
	if (!check(code == VALORI_OK && total > 1 && verdict == scenario->verdict, "%s: works, with %" PRIu64 " allocations", scenario->name, total))
		printf("# code %d, verdict %u: %s\n", code, verdict, said.message);
	if (scenario->before != NULL)
		check(is_sound(), "%s: the store is sound", scenario->name);
	for (int is_once = 0; is_once < 2; is_once++) {
		memory.is_once = is_once;
		for (uint64_t at = 1; at <= total; at += check_one_in()) {
			const char *why;

			if (!is_right(scenario, at, wanted, &why) && wrong++ < 3)
				printf("# allocation %" PRIu64 "%s: %s (%s)\n", at, is_once ? ", once" : "", why,
				       said.message);
		}
	}
	check_u64(wrong, 0, scenario->name);
}

/* Files of two logs, the first and the last of one, what is between them of the other. */
static void make_spliced(void)
{
	static const uint8_t id[32] = "the id of another log";
	struct dirent **names;
	int count, at = 0;

	make_good("other", id);
	copy_store("good", "spliced");
	count = scandir("other", &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		char from[600], to[600];

		snprintf(from, sizeof(from), "other/%s", names[i]->d_name);
		snprintf(to, sizeof(to), "spliced/%s", names[i]->d_name);
		if (strncmp(names[i]->d_name, "events-", 7) == 0 && at++ == 1)
			copy_file(from, to);
		__real_free(names[i]);
	}
	__real_free(names);
	check(at > 2, "there are sealed segments");
}

/* A stream, a trimmed store with its archive, a damaged one, one without its third commit, a log of the other system. */
static void make_others(void)
{
	struct up_file file;
	valori_trim_result result = {0};
	valori_log *log = NULL;
	valori_commit_view commit;
	uint8_t header[4096];
	bool ok;
	int fd, rewritten;

	make_spliced();
	copy_store("good", "trimmed");
	copy_store("good", "damaged");
	ok = valori_trim("trimmed", "trimmed/snapshot.val", "archive", 0, &result, &said) == VALORI_OK &&
	     result.segments > 1 && valori_log_open("good", NULL, 0, &log, &said) == VALORI_OK &&
	     valori_log_header(log, header, &said) == VALORI_OK;
	fd = open("stream", O_WRONLY | O_CREAT, 0600);
	mkdir("rewritten", 0700);
	rewritten = open("rewritten/events.log", O_WRONLY | O_CREAT, 0600);
	ok = ok && write(fd, header, sizeof(header)) == sizeof(header) &&
	     write(rewritten, header, sizeof(header)) == sizeof(header);
	while (ok && valori_log_next(log, &commit, &said) == VALORI_OK)
		ok = write(fd, commit.bytes, commit.size) == (ssize_t)commit.size &&
		     (commit.number == 2 || write(rewritten, commit.bytes, commit.size) == (ssize_t)commit.size);
	close(fd);
	close(rewritten);
	valori_log_close(log);
	fd = open("damaged/events.log", O_RDWR);
	ok = ok && pwrite(fd, "damage", 6, 4096 + 300) == 6;
	close(fd);
	up_make_demo(&file, 100);
	fd = open("demo.log", O_WRONLY | O_CREAT, 0600);
	ok = ok && write(fd, file.bytes.data, file.bytes.size) == (ssize_t)file.bytes.size;
	close(fd);
	up_end(&file);
	if (!check(ok, "and others"))
		printf("# %s\n", said.message);
}

int main(void)
{
	uint64_t before;

	if (access("/dev/shm", W_OK) == 0) /* thousands of copies of a store */
		setenv("TMPDIR", "/dev/shm", 0);
	scratch_enter();
	make_good("good", NULL);
	make_others();
	before = digest_of("good") ^ digest_of("trimmed") * 3 ^ digest_of("damaged") * 5;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		every_allocation(&scenarios[i]);
	check(before == (digest_of("good") ^ digest_of("trimmed") * 3 ^ digest_of("damaged") * 5),
	      "who only reads has left no file behind");
	return check_done();
}
