/*
 * engine.c - follows commit streams with the whole library, on disk, and prints what they come to.
 *
 *   engine FORM BATCH DIRECTORY STREAM EVENTS
 *
 * FORM       live      every event is an operation again, as a program would ask for it; clock, log id and salts are
 *                      those of the stream
 *            replayed  the commits are replicated; the store is closed, and opened again from its log
 *            restored  the same, with a snapshot at the half: the store is opened from that and the rest of the log
 * BATCH      live: operations of a commit, which also ends where one of the stream does; 0: as the stream has them
 * DIRECTORY  of the store; must not be there
 * EVENTS     with a plus behind the number: once for each kind of index and each number of threads, that many build and
 *            search the index. The stream is then called STREAM.store: a store does not search as follow.c does
 *
 * A line as that of follow.c for 1, 2 and 8 threads that search, with their number behind it. VALORI_CPU forces the
 * kernels.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answers.h"
#include "batch.h"
#include "engine.h"
#include "host.h"
#include "snapshot_format.h"

enum { BATCH_SIZE_MAX = 8 << 20 };

struct run {
	const char *directory, *stream;
	uint64_t events, batch;
	valori *store;
	valori_log *log;
	struct vl_os os; /* the real one, but for the clock and for randomness */
	uint64_t now;
	uint8_t log_id[VALORI_HASH_SIZE];
	struct vl_buf salts; /* of the commit that is read; those from salts_drawn on are not drawn yet */
	size_t salts_drawn;
	valori_batch *operations;
	struct vl_buf meta; /* u64 place in keys, u64 size, by slot */
	struct vl_buf keys;
	bool is_indexed;
	uint32_t kind; /* valori_index_kind */
	unsigned threads;
};

/* What a store comes to; of several with an index of another kind each, these last two over all. */
struct outcome {
	valori_info info;
	uint8_t sections[VL_HASH_SIZE], answers[VL_HASH_SIZE];
	struct vl_blake3 index, found;
};

static const unsigned threads[] = {1, 2, 8};
enum { THREADS = sizeof(threads) / sizeof(threads[0]) };

static void must(valori_code code, const valori_error *error, const char *what)
{
	if (code == VALORI_OK)
		return;
	printf("failed: %s: %s: %s\n", what, valori_code_name((int)code), error->message);
	exit(1);
}

/* ---- The machine ---- */

static uint64_t stream_time(void *context)
{
	return ((struct run *)context)->now;
}

/* A batch uses what it drew from the end: salts stand there in the order of their use. */
static int stream_random(void *context, void *data, size_t size)
{
	struct run *run = context;
	uint8_t *to = data;

	memset(to, 0, size);
	for (size_t at = size; at >= VL_SALT_SIZE && run->salts_drawn < run->salts.size; at -= VL_SALT_SIZE) {
		memcpy(to + at - VL_SALT_SIZE, run->salts.data + run->salts_drawn, VL_SALT_SIZE);
		run->salts_drawn += VL_SALT_SIZE;
	}
	return 0;
}

static void open_store(struct run *run, uint32_t flags, uint32_t dim)
{
	valori_options options = VALORI_OPTIONS_INIT;
	valori_error error;

	options.log = run->directory;
	options.flags = flags;
	options.dim = dim;
	options.sync = VALORI_SYNC_NONE;
	options.segment_size = 1 << 20;
	options.log_id = run->log_id;
	if (run->is_indexed) {
		options.flags |= VALORI_INDEX;
		options.index = run->kind;
		options.index_threads = run->threads;
	}
	must(vl_engine_open(&options, &run->os, vl_host_env(), &run->store, &error), &error, "open");
}

static void close_store(struct run *run)
{
	valori_error error;

	must(valori_close(run->store, &error), &error, "close");
	run->store = NULL;
}

/* ---- Live ---- */

static void keep_meta_key(struct run *run, const valori_event *event)
{
	uint8_t *entry;

	while (run->meta.size <= event->id * 16)
		vl_buf_zero(&run->meta, 16);
	entry = run->meta.data + event->id * 16;
	vl_put64(entry, run->keys.size);
	vl_put64(entry + 8, event->key_size);
	vl_buf_put(&run->keys, event->key, event->key_size);
}

static valori_ref ref_of(uint64_t id)
{
	return (valori_ref){.kind = id == VALORI_NONE ? VALORI_REF_NONE : VALORI_REF_ID, .id = id};
}

/* The operation that brings this event about. */
static valori_op operation_of(struct run *run, const valori_event *event, uint32_t dim)
{
	static const uint8_t kinds[] = {
		[VALORI_EVENT_INSERT] = VALORI_OP_INSERT,
		[VALORI_EVENT_SOFT_DELETE] = VALORI_OP_SOFT_DELETE,
		[VALORI_EVENT_DELETE] = VALORI_OP_DELETE,
		[VALORI_EVENT_SET_METADATA] = VALORI_OP_SET_METADATA,
		[VALORI_EVENT_SET_TAG] = VALORI_OP_SET_TAG,
		[VALORI_EVENT_NODE_CREATE] = VALORI_OP_NODE_CREATE,
		[VALORI_EVENT_NODE_SET_RECORD] = VALORI_OP_NODE_SET_RECORD,
		[VALORI_EVENT_NODE_DELETE] = VALORI_OP_NODE_DELETE,
		[VALORI_EVENT_EDGE_CREATE] = VALORI_OP_EDGE_CREATE,
		[VALORI_EVENT_EDGE_DELETE] = VALORI_OP_EDGE_DELETE,
		[VALORI_EVENT_META_SET] = VALORI_OP_META_SET,
		[VALORI_EVENT_META_DELETE] = VALORI_OP_META_DELETE,
		[VALORI_EVENT_COLLECTION_CREATE] = VALORI_OP_COLLECTION_CREATE,
		[VALORI_EVENT_COLLECTION_DROP] = VALORI_OP_COLLECTION_DROP,
		[VALORI_EVENT_CONFIG] = VALORI_OP_CONFIG,
	};
	valori_op op = {.kind = kinds[event->type], .collection = event->collection, .object_kind = event->kind};

	op.flags = (event->salted != 0 ? VALORI_OP_SALTED : 0u) | (event->request != NULL ? VALORI_OP_REQUEST : 0u);
	if (event->request != NULL)
		memcpy(op.request, event->request, VALORI_REQUEST_SIZE);
	op.tag = event->tag;
	op.key = event->key_size > 0 ? event->key : NULL;
	op.key_size = event->key_size;
	op.metadata = event->metadata;
	op.metadata_size = event->metadata_size;
	switch ((valori_event_type)event->type) {
	case VALORI_EVENT_INSERT:
		op.vector_kind = VALORI_Q16LE;
		op.vector = event->vector;
		op.dim = dim;
		break;
	case VALORI_EVENT_SOFT_DELETE:
	case VALORI_EVENT_DELETE:
	case VALORI_EVENT_SET_METADATA:
	case VALORI_EVENT_SET_TAG:
		op.target = ref_of(event->id);
		break;
	case VALORI_EVENT_NODE_CREATE:
		op.target = ref_of(event->record);
		break;
	case VALORI_EVENT_NODE_SET_RECORD:
		op.target = ref_of(event->record);
		op.from = ref_of(event->id);
		break;
	case VALORI_EVENT_NODE_DELETE:
	case VALORI_EVENT_EDGE_DELETE:
		op.from = ref_of(event->id);
		break;
	case VALORI_EVENT_EDGE_CREATE:
		op.from = ref_of(event->from);
		op.to = ref_of(event->to);
		break;
	case VALORI_EVENT_META_SET:
		keep_meta_key(run, event);
		break;
	case VALORI_EVENT_META_DELETE:
		op.key = (const char *)run->keys.data + vl_get64(run->meta.data + event->id * 16);
		op.key_size = (uint32_t)vl_get64(run->meta.data + event->id * 16 + 8);
		break;
	case VALORI_EVENT_COLLECTION_CREATE:
		break;
	case VALORI_EVENT_COLLECTION_DROP:
		op.collection = (uint32_t)event->id;
		break;
	case VALORI_EVENT_CONFIG:
		op.tag = event->parameter;
		op.target = ref_of(event->value);
		break;
	}
	return op;
}

static void commit_batch(struct run *run, const valori_commit_view *commit)
{
	valori_receipt receipt;
	valori_error error;

	must(valori_commit(run->store, run->operations, &receipt, NULL, &error), &error, "commit");
	if (run->batch == 0 && memcmp(&receipt.state_root, &commit->state_root, sizeof(valori_hash)) != 0) {
		printf("failed: commit %llu has another state root\n", (unsigned long long)commit->number);
		exit(1);
	}
	valori_batch_free(run->operations);
	run->operations = NULL;
}

static void add_event(struct run *run, const valori_event *event, uint32_t dim)
{
	valori_op op = operation_of(run, event, dim);
	valori_error error;

	must(valori_batch_add(run->operations, &op, &error), &error, "add");
}

/* A batch draws for many operations at once: all salts of the commit are known before it is begun. */
static void collect_salts(struct run *run, const valori_commit_view *commit)
{
	valori_error error;

	vl_buf_clear(&run->salts);
	run->salts_drawn = 0;
	for (uint32_t i = 0; i < commit->event_count; i++) {
		valori_event event;

		must(valori_log_event(run->log, i, &event, &error), &error, "event");
		if (event.salted != 0)
			vl_buf_put(&run->salts, event.salt, VL_SALT_SIZE);
	}
}

/* A new batch, at a commit's event where those before it have used up `used` of its salts. */
static void begin_batch(struct run *run, uint32_t dim, size_t used)
{
	valori_error error;

	run->salts_drawn = used;
	must(vl_batch_new(vl_host_env(), &run->os, dim, &run->operations, &error), &error, "batch");
}

static void follow_live(struct run *run, const valori_commit_view *commit, uint32_t dim)
{
	valori_error error;
	size_t used = 0;

	collect_salts(run, commit);
	run->now = commit->time_ms;
	for (uint32_t i = 0; i < commit->event_count; i++) {
		valori_event event;

		if (run->operations == NULL)
			begin_batch(run, dim, used);
		must(valori_log_event(run->log, i, &event, &error), &error, "event");
		add_event(run, &event, dim);
		used += event.salted != 0 ? VL_SALT_SIZE : 0;
		if (run->batch != 0 && (valori_batch_count(run->operations) == run->batch ||
					valori_batch_size(run->operations) > BATCH_SIZE_MAX))
			commit_batch(run, commit);
	}
	/* Salts that were drawn for nothing are drawn again: a batch ends with the commit it was read from. */
	if (run->operations != NULL)
		commit_batch(run, commit);
}

/* ---- Searching, and what it comes to ---- */

struct search {
	const valori_view *view;
	uint32_t dim;
	unsigned threads;
	bool is_exact;
};

static valori_code search_view(void *context, const uint8_t *queries, size_t count, size_t k,
			       const struct vl_filter *filter, valori_hit *hits, size_t *hit_counts,
			       valori_error *error)
{
	struct search *search = context;
	valori_search_options options = VALORI_SEARCH_INIT;
	size_t components = count * search->dim;
	int32_t *vectors = malloc(components * sizeof(*vectors));
	valori_code code;

	if (vectors == NULL)
		return VALORI_NO_MEMORY;
	for (size_t i = 0; i < components; i++)
		vectors[i] = (int32_t)vl_get32(queries + 4 * i);
	options.k = (uint32_t)k;
	options.collection = filter->collection;
	options.has_tag = filter->has_tag;
	options.tag = filter->tag;
	options.threads = search->threads;
	options.exact = search->is_exact;
	code = valori_search(search->view, vectors, count, &options, hits, hit_counts, error);
	free(vectors);
	return code;
}

/* The digest of the section table but for the index, whose digests the writer has read back and compared. */
static void digest_sections(const valori_view *view, const char *path, uint8_t out[VL_HASH_SIZE])
{
	enum { TABLE = 4096, ENTRY = 64 };
	struct matrix_sections sections;
	uint8_t table[4096];
	valori_error error;
	FILE *file;

	must(valori_snapshot_write((valori_view *)view, path, NULL, &error), &error, "snapshot");
	file = fopen(path, "rb");
	if (file == NULL || fseek(file, TABLE, SEEK_SET) != 0 || fread(table, 1, sizeof(table), file) != sizeof(table))
		exit(1);
	fclose(file);
	vl_blake3_init(&sections.hash, vl_host_env()->kernels, VL_HASH_PLAIN);
	for (const uint8_t *entry = table; entry < table + sizeof(table) && vl_get32(entry) != 0 &&
					   vl_get32(entry) < VL_KIND_INDEX; entry += ENTRY)
		matrix_sections_add(&sections, vl_get32(entry), vl_get64(entry + 16), vl_get64(entry + 24), entry + 32);
	vl_blake3_final(&sections.hash, out);
}

static void print_hash(const uint8_t hash[VL_HASH_SIZE])
{
	putchar(' ');
	for (unsigned i = 0; i < VL_HASH_SIZE; i++)
		printf("%02x", hash[i]);
}

static void print_line(const struct run *run, struct outcome *outcome, unsigned number)
{
	uint8_t digest[VL_HASH_SIZE];

	printf("%s%s %llu", run->stream, run->is_indexed ? ".store" : "", (unsigned long long)outcome->info.height);
	print_hash(outcome->info.tree_root.bytes);
	print_hash(outcome->info.state_root.bytes);
	print_hash(outcome->sections);
	print_hash(outcome->answers);
	if (run->is_indexed) {
		vl_blake3_final(&outcome->index, digest);
		print_hash(digest);
		vl_blake3_final(&outcome->found, digest);
		print_hash(digest);
	} else {
		fputs(" - -", stdout);
	}
	printf(" %u\n", number);
}

static void look_index(const struct run *run, valori_view *view, uint32_t dim, struct outcome *outcome)
{
	struct search search = {view, dim, run->threads, false};
	valori_index_info info = {.size = sizeof(info)};
	uint8_t found[VL_HASH_SIZE];
	valori_error error;

	must(valori_view_settle(view, &error), &error, "settle");
	must(valori_view_index(view, &info, &error), &error, "index");
	vl_blake3_update(&outcome->index, info.digest.bytes, VL_HASH_SIZE);
	must(matrix_answers(vl_host_env(), dim, search_view, &search, found, &error), &error, "search");
	vl_blake3_update(&outcome->found, found, VL_HASH_SIZE);
}

static void look(const struct run *run, uint32_t dim, struct outcome *outcome)
{
	valori_error error;
	valori_view *view;
	char path[4096];

	snprintf(path, sizeof(path), "%s/last.val", run->directory);
	must(valori_view_open(run->store, &view, &error), &error, "view");
	outcome->info.size = sizeof(outcome->info);
	must(valori_view_info(view, &outcome->info, &error), &error, "info");
	digest_sections(view, path, outcome->sections);
	for (unsigned i = 0; i < THREADS; i++) {
		struct search search = {view, dim, run->is_indexed ? run->threads : threads[i], true};

		if (i > 0 && run->is_indexed)
			break;
		must(matrix_answers(vl_host_env(), dim, search_view, &search, outcome->answers, &error), &error,
		     "search");
		if (!run->is_indexed)
			print_line(run, outcome, threads[i]);
	}
	if (run->is_indexed)
		look_index(run, view, dim, outcome);
	valori_view_close(view);
}

/* ---- Replayed, restored ---- */

static void write_snapshot(struct run *run)
{
	valori_error error;
	valori_view *view;
	char path[4096];

	snprintf(path, sizeof(path), "%s/snapshot.val", run->directory);
	must(valori_view_open(run->store, &view, &error), &error, "view");
	must(valori_snapshot_write(view, path, NULL, &error), &error, "snapshot");
	valori_view_close(view);
}

static void reopen(struct run *run, bool is_restored)
{
	valori_info info = {.size = sizeof(info)};
	valori_error error;

	close_store(run);
	open_store(run, VALORI_READ, 0);
	must(valori_get_info(run->store, &info, &error), &error, "info");
	if ((info.snapshot_height != VALORI_NONE) == is_restored && info.replayed > 0 && info.notes[0] == '\0')
		return;
	printf("failed: the store was not opened as it should be: %s\n", info.notes);
	exit(1);
}

/* ---- The program ---- */

static void read_stream(struct run *run, int fd, valori_log_info *info)
{
	valori_error error;

	if (lseek(fd, 0, SEEK_SET) != 0)
		exit(1);
	must(valori_log_open_fd(fd, run->stream, &run->log, &error), &error, "stream");
	info->size = sizeof(*info);
	must(valori_log_get_info(run->log, info, &error), &error, "stream");
	memcpy(run->log_id, info->log_id.bytes, VALORI_HASH_SIZE);
}

/* A new store follows the stream to the end. */
static void follow(struct run *run, int fd, bool is_live, bool is_restored, struct outcome *outcome)
{
	valori_commit_view commit = {0};
	valori_log_info info;
	bool is_halved = false;
	valori_error error;

	read_stream(run, fd, &info);
	vl_buf_init(&run->salts, vl_host_env());
	vl_buf_init(&run->meta, vl_host_env());
	vl_buf_init(&run->keys, vl_host_env());
	open_store(run, VALORI_WRITE | VALORI_CREATE, info.dim);
	while (commit.first_event + commit.event_count < run->events) {
		must(valori_log_next(run->log, &commit, &error), &error, "stream");
		if (is_live)
			follow_live(run, &commit, info.dim);
		else
			must(valori_replicate(run->store, run->log, &commit, NULL, &error), &error, "replicate");
		if (is_restored && !is_halved && commit.first_event + commit.event_count >= run->events / 2) {
			write_snapshot(run);
			is_halved = true;
		}
	}
	if (!is_live)
		reopen(run, is_restored);
	look(run, info.dim, outcome);
	close_store(run);
	valori_log_close(run->log);
	vl_buf_free(&run->salts);
	vl_buf_free(&run->meta);
	vl_buf_free(&run->keys);
}

/* One store after the other, each kind of index with each number of threads. */
static void follow_indexed(struct run *run, int fd, bool is_live, bool is_restored)
{
	const char *parent = run->directory;
	char path[4096];

	if (mkdir(parent, 0700) != 0) {
		perror(parent);
		exit(4);
	}
	run->directory = path;
	for (unsigned i = 0; i < THREADS; i++) {
		struct outcome outcome = {0};

		vl_blake3_init(&outcome.index, vl_host_env()->kernels, VL_HASH_PLAIN);
		vl_blake3_init(&outcome.found, vl_host_env()->kernels, VL_HASH_PLAIN);
		run->threads = threads[i];
		for (run->kind = VALORI_INDEX_BRUTE; run->kind <= VALORI_INDEX_IVF; run->kind++) {
			snprintf(path, sizeof(path), "%s/%u-%u", parent, run->kind, run->threads);
			follow(run, fd, is_live, is_restored, &outcome);
		}
		print_line(run, &outcome, threads[i]);
	}
	run->directory = parent;
}

int main(int argc, char **argv)
{
	struct run run = {.os = vl_os_real};
	struct outcome outcome = {0};
	bool is_live, is_restored;
	int fd;

	if (argc != 6) {
		fputs("usage: engine live|replayed|restored BATCH DIRECTORY STREAM EVENTS\n", stderr);
		return 2;
	}
	if (getenv("VALORI_CPU") != NULL && strcmp(getenv("VALORI_CPU"), valori_cpu()) != 0) {
		fprintf(stderr, "engine: VALORI_CPU asks for other kernels than %s\n", valori_cpu());
		return 2;
	}
	is_live = strcmp(argv[1], "live") == 0;
	is_restored = strcmp(argv[1], "restored") == 0;
	run.batch = strtoull(argv[2], NULL, 10);
	run.directory = argv[3];
	run.stream = argv[4];
	run.events = strtoull(argv[5], NULL, 10);
	run.is_indexed = strchr(argv[5], '+') != NULL;
	run.os.context = &run;
	run.os.time_ms = stream_time;
	run.os.random = stream_random;
	fd = open(run.stream, O_RDONLY);
	if (fd < 0) {
		perror(run.stream);
		return 4;
	}
	if (run.is_indexed)
		follow_indexed(&run, fd, is_live, is_restored);
	else
		follow(&run, fd, is_live, is_restored, &outcome);
	close(fd);
	return fflush(stdout) != 0 || ferror(stdout) ? 4 : 0;
}
