/*
 * test_random.c - damage of many bytes in a store of some megabytes, as a seed makes it up: overwritten, zeroed,
 * swapped, moved, doubled, lost. valori-verify finds it or says that it does no harm, and nobody gives out what is not
 * true.
 *
 * With seeds as arguments it tries those only and says what happened: that is how a failure is looked at; "-n COUNT
 * FIRST" tries so many seeds. With "-w SEED DIRECTORY" the files go to DIRECTORY/good and, damaged, to DIRECTORY/db, for the tools.
 */
#include <stdarg.h>
#include <sys/stat.h>

#include "../unit/check.h"
#include "bytes.h"
#include "engine.h"
#include "host.h"
#include "log.h"
#include "shelf.h"
#include "snapshot_format.h"
#include "verify.h"

enum { DIM = 48, COMMIT = 50, COMMITS_MAX = 1000, QUERIES = 40, K = 16, KINDS = 9, PAGE = 4096, FILES_MAX = 12 };

struct moment { /* after so many commits */
	uint64_t height;
	valori_hash root, tree;
};

static struct shelf good, bad, scratch;
static unsigned commits, records;
static struct moment moments[COMMITS_MAX + 1];
static int32_t (*vectors)[DIM];
static unsigned *gone; /* the commit that deleted the record */
static uint8_t *bytes; /* of all commits */
static size_t ends[COMMITS_MAX];
static const char *files[FILES_MAX];
static char names[FILES_MAX][64];
static unsigned file_count;
static int32_t queries[QUERIES * DIM];
static uint64_t nearest[QUERIES][K]; /* records that live after all commits */
static bool is_loud;

static void must(valori_code code, const valori_error *error)
{
	if (code == VALORI_OK)
		return;
	printf("Bail out! %s\n", error->message);
	exit(1);
}

/* ---- The store ---- */

static valori_options options_of(uint32_t flags)
{
	static const uint8_t log_id[32] = "a larger log, damaged in a test";
	valori_options options = VALORI_OPTIONS_INIT;

	options.flags = flags;
	options.log = "db";
	options.dim = (flags & VALORI_CREATE) != 0 ? DIM : 0;
	options.log_id = log_id;
	return options;
}

static valori *open_on(struct shelf *shelf, valori_options options)
{
	valori *store = NULL;

	return vl_engine_open(&options, &shelf->os, vl_host_env(), &store, NULL) == VALORI_OK ? store : NULL;
}

static void draw_vector(uint64_t *seed, int32_t *out)
{
	for (unsigned i = 0; i < DIM; i++)
		out[i] = (int32_t)(check_random(seed) % 200000) - 100000;
}

static void note_moment(valori *store)
{
	valori_info info = {.size = sizeof(info)};

	valori_get_info(store, &info, NULL);
	commits = (unsigned)info.commits;
	moments[commits] = (struct moment){info.height, info.state_root, info.tree_root};
}

static void fill_batch(valori_batch *batch, unsigned number, uint64_t *seed)
{
	valori_error error;

	for (unsigned i = 0; i < COMMIT; i++) {
		valori_op op = {.kind = VALORI_OP_INSERT, .dim = DIM, .vector_kind = VALORI_Q16};
		char key[32], metadata[80];

		draw_vector(seed, vectors[records]);
		gone[records] = COMMITS_MAX + 1;
		op.vector = vectors[records];
		op.tag = records % 5;
		op.key_size = (uint32_t)snprintf(key, sizeof(key), "key %u", records);
		op.key = key;
		op.metadata_size = (uint32_t)snprintf(metadata, sizeof(metadata), "record %u of commit %u", records, number);
		op.metadata = (const uint8_t *)metadata;
		must(valori_batch_add(batch, &op, &error), &error);
		records++;
	}
	for (unsigned i = 0; i < 3 && number > 4; i++) {
		uint64_t id = check_random(seed) % (records - COMMIT);
		valori_op op = {.kind = i == 0 ? VALORI_OP_SOFT_DELETE : VALORI_OP_DELETE};

		op.target = (valori_ref){.kind = VALORI_REF_ID, .id = id};
		if (gone[id] <= COMMITS_MAX)
			continue;
		gone[id] = number + 1;
		must(valori_batch_add(batch, &op, &error), &error);
	}
}

static uint64_t distance(const int32_t *a, const int32_t *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DIM; i++)
		sum += (uint64_t)((int64_t)a[i] - b[i]) * (uint64_t)((int64_t)a[i] - b[i]);
	return sum;
}

/* Of records that are equally near the older one comes first. */
static void find_nearest(void)
{
	for (unsigned q = 0; q < QUERIES; q++) {
		uint64_t best[K];
		unsigned count = 0;

		for (unsigned i = 0; i < records; i++) {
			uint64_t score = distance(queries + q * DIM, vectors[i]);
			unsigned at = count;

			if (gone[i] <= commits)
				continue;
			for (; at > 0 && best[at - 1] > score; at--)
				if (at < K) {
					best[at] = best[at - 1];
					nearest[q][at] = nearest[q][at - 1];
				}
			if (at == K)
				continue;
			best[at] = score;
			nearest[q][at] = i;
			count += count < K;
		}
	}
}

static void take_snapshot(valori *store, const char *path)
{
	valori_error error;
	valori_view *view;

	must(valori_view_open(store, &view, &error), &error);
	must(valori_snapshot_write(view, path, NULL, &error), &error);
	valori_view_close(view);
}

static void read_commits(void)
{
	struct vl_reader_options options = {.path = "db", .fd = -1};
	struct vl_reader *reader;
	struct vl_commit read;
	valori_error error;
	size_t at = 0;

	must(vl_reader_open(vl_host_env(), &good.os, &options, &reader, &error), &error);
	while (vl_reader_next(reader, &read, &error) == VALORI_OK) {
		bytes = realloc(bytes, at + (size_t)read.size);
		memcpy(bytes + at, read.bytes, (size_t)read.size);
		ends[read.number] = at += (size_t)read.size;
	}
	vl_reader_close(reader);
}

/* Of so many commits, in about five segments, with a snapshot of its first two thirds. */
static void make_store(unsigned count)
{
	valori_options options = options_of(VALORI_WRITE | VALORI_CREATE);
	uint64_t seed = 7;
	valori_error error;
	valori_batch *batch;
	valori *store;

	vectors = malloc((size_t)count * COMMIT * sizeof(*vectors));
	gone = malloc((size_t)count * COMMIT * sizeof(*gone));
	shelf_init(&good);
	shelf_init(&bad);
	shelf_init(&scratch);
	for (unsigned q = 0; q < QUERIES; q++)
		draw_vector(&seed, queries + q * DIM);
	options.segment_size = VL_SEGMENT_HEADER + (uint64_t)count * COMMIT * (4 * DIM + 100) / 5;
	must(vl_engine_open(&options, &good.os, vl_host_env(), &store, &error), &error);
	must(valori_batch_new(DIM, &batch, &error), &error);
	note_moment(store);
	for (unsigned number = 0; number < count; number++) {
		fill_batch(batch, number, &seed);
		must(valori_commit(store, batch, NULL, NULL, &error), &error);
		valori_batch_clear(batch);
		note_moment(store);
		if (number == count * 2 / 3)
			take_snapshot(store, "db/snapshot.val");
	}
	valori_batch_free(batch);
	must(valori_close(store, &error), &error);
	read_commits();
	find_nearest();
	for (int i = 0; i < SHELF_NAMES; i++) {
		const char *path = good.names[i].path;

		if (path[0] == '\0' || good.names[i].file < 0 || strstr(path, ".lock") != NULL)
			continue;
		snprintf(names[file_count], sizeof(names[0]), "%s", path);
		files[file_count] = names[file_count];
		file_count++;
	}
}

/* ---- Damage ---- */

static const char *const kinds[KINDS] = {"overwritten", "zeroed", "swapped",   "inserted", "removed",
					 "doubled",     "cut",    "bits flipped", "of another file"};

static void splice(struct shelf_file *file, const char *path, size_t at, size_t removed, const uint8_t *data,
		   size_t inserted)
{
	size_t size = file->size - removed + inserted;
	uint8_t *whole = malloc(size + 1);

	memcpy(whole, file->data, at);
	memcpy(whole + at, data, inserted);
	memcpy(whole + at + inserted, file->data + at + removed, file->size - at - removed);
	shelf_put(&bad, path, whole, size);
	free(whole);
}

static void wreck(const char *path, unsigned kind, uint64_t *seed)
{
	struct shelf_file *file = shelf_find(&bad, path), *other;
	size_t at, to, size = 1 + check_random(seed) % (check_random(seed) % 2 == 0 ? 64 : 3 * PAGE);
	uint8_t block[4 * PAGE], second[4 * PAGE];

	if (file->size == 0)
		return;
	if (kind == 1 || (kind == 2 && check_random(seed) % 2 == 0))
		size = PAGE;
	size = size > file->size ? file->size : size;
	at = check_random(seed) % (file->size - size + 1);
	to = check_random(seed) % (file->size - size + 1);
	if (size == PAGE) {
		at -= at % PAGE;
		to -= to % PAGE;
	}
	for (size_t i = 0; i < size; i++)
		block[i] = (uint8_t)check_random(seed);
	switch (kind) {
	case 0:
		memcpy(file->data + at, block, size);
		break;
	case 1:
		memset(file->data + at, 0, size);
		break;
	case 2:
		memcpy(block, file->data + at, size);
		memcpy(second, file->data + to, size);
		memcpy(file->data + at, second, size);
		memcpy(file->data + to, block, size);
		break;
	case 3:
		if (check_random(seed) % 3 == 0)
			memset(block, 0, size);
		splice(file, path, check_random(seed) % 8 == 0 ? file->size : at, 0, block, size);
		break;
	case 4:
		splice(file, path, at, size, block, 0);
		break;
	case 5:
		memcpy(block, file->data + at, size);
		splice(file, path, to, 0, block, size);
		break;
	case 6:
		file->size -= size;
		break;
	case 7:
		for (unsigned i = 0; i < 1 + size % 9; i++)
			file->data[check_random(seed) % file->size] ^= (uint8_t)(1u << check_random(seed) % 8);
		break;
	default:
		other = shelf_find(&bad, files[check_random(seed) % file_count]);
		if (other->size >= at + size)
			memcpy(file->data + at, other->data + at, size);
	}
}

struct damage {
	const char *path;
	char how[160];
	size_t at; /* the first byte that differs */
	bool is_appended;
};

static void draw_damage(uint64_t number, struct damage *damage)
{
	uint64_t seed = number * UINT64_C(0x2545f4914f6cdd1d) + 3;
	const struct shelf_file *was, *is;
	unsigned times;

	do {
		shelf_copy(&bad, &good);
		damage->path = check_random(&seed) % 3 == 0 ? "db/snapshot.val" : files[check_random(&seed) % file_count];
		damage->how[0] = '\0';
		times = check_random(&seed) % 2 == 0 ? 1 : 1 + (unsigned)(check_random(&seed) % 4);
		for (unsigned i = 0; i < times; i++) {
			unsigned kind = (unsigned)(check_random(&seed) % KINDS);
			size_t end = strlen(damage->how);

			wreck(damage->path, kind, &seed);
			snprintf(damage->how + end, sizeof(damage->how) - end, "%s%s", end > 0 ? ", " : "",
				 kinds[kind]);
		}
		was = shelf_find(&good, damage->path);
		is = shelf_find(&bad, damage->path);
		for (damage->at = 0; damage->at < was->size && damage->at < is->size; damage->at++)
			if (was->data[damage->at] != is->data[damage->at])
				break;
	} while (was->size == is->size && damage->at == was->size);
	damage->is_appended = damage->at == was->size;
}

/* ---- What is said of it ---- */

struct tally {
	unsigned long tried, found, harmless, silent, misplaced, untrue, opened, wrote;
};

static char complaint[400];

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list arguments;

	if (complaint[0] != '\0')
		return;
	va_start(arguments, format);
	vsnprintf(complaint, sizeof(complaint), format, arguments);
	va_end(arguments);
}

static valori_code verify(struct shelf *shelf, const char *snapshot, valori_verify_report *report, valori_error *error)
{
	valori_verify_options options = VALORI_VERIFY_INIT;

	options.path = "db";
	options.snapshot = snapshot;
	memset(report, 0, sizeof(*report));
	report->size = sizeof(*report);
	return vl_verify(vl_host_env(), &shelf->os, &options, report, error);
}

static void judge_verdict(const struct damage *damage, struct tally *tally)
{
	const struct moment *last = &moments[commits];
	valori_verify_report report;
	valori_error error;
	valori_code code = verify(&bad, NULL, &report, &error);

	if (is_loud)
		printf("# code %u, verdict %u at offset %llu of %s, event %llu: %s; %s\n", code, report.verdict,
		       (unsigned long long)report.fault_offset, report.fault_path,
		       (unsigned long long)report.fault_event, code != VALORI_OK ? error.message : report.sentence,
		       report.note);
	if (code != VALORI_OK) {
		tally->found++;
		if (strstr(error.message, damage->path) == NULL) {
			tally->misplaced++;
			complain("valori-verify blames another: %s", error.message);
		}
		return;
	}
	if (report.verdict == VALORI_TAMPERED || report.verdict == VALORI_VERDICT_DAMAGED) {
		tally->found++;
		if (report.fault_offset == VALORI_NONE ||
		    (damage->at > 0 &&
		     (strcmp(report.fault_path, damage->path) != 0 || report.fault_offset > damage->at))) {
			tally->misplaced++;
			complain("valori-verify: offset %llu of %s: %s", (unsigned long long)report.fault_offset,
				 report.fault_path, report.sentence);
		}
		return;
	}
	/* Of what was added behind the last commit zeros are no news, and other bytes a torn tail. */
	if (report.verdict == VALORI_CONSISTENT && report.height == last->height &&
	    memcmp(&report.state_root, &last->root, sizeof(last->root)) == 0 &&
	    memcmp(&report.tree_root, &last->tree, sizeof(last->tree)) == 0 &&
	    (report.note[0] != '\0' || damage->is_appended)) {
		tally->harmless++;
		return;
	}
	tally->silent++;
	complain("valori-verify: verdict %u at event %llu: %s", report.verdict, (unsigned long long)report.height,
		 report.sentence);
}

static void judge_hits(const valori_view *view, bool is_replayed)
{
	valori_search_options asked = VALORI_SEARCH_INIT;
	valori_hit hits[QUERIES * K];
	size_t counts[QUERIES];

	asked.k = K;
	if (valori_search(view, queries, QUERIES, &asked, hits, counts, NULL) != VALORI_OK)
		return;
	for (unsigned q = 0; q < QUERIES; q++) {
		if (is_replayed && counts[q] != K)
			complain("query %u has %zu hits", q, counts[q]);
		for (size_t i = 0; i < counts[q]; i++) {
			const valori_hit *hit = &hits[q * K + i];

			if (hit->id >= records || gone[hit->id] <= commits ||
			    hit->score != distance(queries + q * DIM, vectors[hit->id]) ||
			    (is_replayed && nearest[q][i] != hit->id))
				complain("query %u: hit %zu is untrue: record %llu", q, i, (unsigned long long)hit->id);
		}
	}
}

static void judge_vectors(const valori_view *view)
{
	int32_t vector[DIM];

	for (unsigned id = 0; id < records; id++)
		if (valori_vector_get(view, id, vector, NULL) == VALORI_OK &&
		    memcmp(vector, vectors[id], sizeof(vector)) != 0)
			complain("the vector of record %u is another one", id);
}

/* Whoever opens has the state of the last commit. */
static void judge_store(valori *store, const char *who)
{
	const struct moment *last = &moments[commits];
	valori_info info = {.size = sizeof(info)};
	valori_view *view;

	valori_get_info(store, &info, NULL);
	if (info.height != last->height || memcmp(&info.state_root, &last->root, sizeof(last->root)) != 0 ||
	    memcmp(&info.tree_root, &last->tree, sizeof(last->tree)) != 0)
		complain("%s opens at event %llu of %llu, or with other roots", who, (unsigned long long)info.height,
			 (unsigned long long)last->height);
	if (valori_view_open(store, &view, NULL) != VALORI_OK)
		return;
	judge_hits(view, info.snapshot_height == VALORI_NONE);
	judge_vectors(view);
	valori_view_close(view);
}

static void judge_new_snapshot(valori *store)
{
	struct vl_snapshot *snapshot;
	valori_view *view;
	valori_code code;

	if (valori_view_open(store, &view, NULL) != VALORI_OK)
		return;
	code = valori_snapshot_write(view, "db/new.val", NULL, NULL);
	valori_view_close(view);
	if (code != VALORI_OK)
		return;
	if (vl_snapshot_open(vl_host_env(), &bad.os, "db/new.val", &snapshot, NULL) != VALORI_OK) {
		complain("the snapshot that was made does not open");
		return;
	}
	if (vl_snapshot_verify(snapshot, NULL) != VALORI_OK ||
	    memcmp(vl_snapshot_position(snapshot)->state_root, moments[commits].root.bytes, 32) != 0)
		complain("the snapshot that was made is not sound");
	vl_snapshot_close(snapshot);
	shelf_remove(&bad, "db/new.val");
}

static void judge_reader(struct vl_reader_options options, const char *what)
{
	struct vl_reader *reader;
	struct vl_commit commit;
	valori_code code;
	uint64_t next = 0;

	if (vl_reader_open(vl_host_env(), &bad.os, &options, &reader, NULL) != VALORI_OK)
		return;
	while ((code = vl_reader_next(reader, &commit, NULL)) == VALORI_OK) {
		size_t begin = commit.number == 0 ? 0 : ends[commit.number - 1];

		next = commit.number + 1;
		if (commit.number >= commits || ends[commit.number] - begin != commit.size ||
		    memcmp(bytes + begin, commit.bytes, (size_t)commit.size) != 0)
			complain("%s: commit %llu has other bytes", what, (unsigned long long)commit.number);
	}
	if (code == VALORI_END && options.path != NULL && next < commits)
		complain("%s: ends well after %llu of %u commits", what, (unsigned long long)next, commits);
	vl_reader_close(reader);
}

/* Does the damaged snapshot differ in its vectors only? */
static bool are_vectors_alone_damaged(void)
{
	const struct shelf_file *was = shelf_find(&good, "db/snapshot.val"), *is = shelf_find(&bad, "db/snapshot.val");
	struct vl_snapshot_head head;
	const struct vl_part *part = &head.parts[vl_part_of(VL_SECTION_VECTORS)];
	valori_error error;

	must(vl_snapshot_head_decode(was->data, was->size, "", vl_host_env()->kernels, &head, &error), &error);
	return was->size == is->size && memcmp(was->data, is->data, (size_t)part->offset) == 0 &&
	       memcmp(was->data + part->offset + part->size, is->data + part->offset + part->size,
		      was->size - (size_t)(part->offset + part->size)) == 0;
}

static void judge_writer(struct tally *tally)
{
	valori_info info = {.size = sizeof(info)};
	valori_options options = options_of(VALORI_WRITE);
	valori_op op = {.kind = VALORI_OP_INSERT, .dim = DIM, .vector_kind = VALORI_Q16, .vector = vectors[0]};
	valori_verify_report report;
	valori_batch *batch;
	valori_error error;
	valori_code code;
	valori *store;

	shelf_copy(&scratch, &bad);
	store = open_on(&scratch, options);
	if (store == NULL)
		return;
	judge_store(store, "a writer");
	valori_get_info(store, &info, NULL);
	if (info.snapshot_height != VALORI_NONE && !are_vectors_alone_damaged())
		complain("a writer begins with a damaged snapshot");
	must(valori_batch_new(DIM, &batch, &error), &error);
	must(valori_batch_add(batch, &op, &error), &error);
	code = valori_commit(store, batch, NULL, NULL, NULL);
	valori_batch_free(batch);
	if (valori_close(store, NULL) != VALORI_OK && code == VALORI_OK)
		complain("a writer commits, and cannot be closed");
	if (code != VALORI_OK)
		return;
	tally->wrote++;
	/* Whatever it has begun with, the log must prove itself, unless what it holds was damaged already. */
	code = verify(&scratch, "", &report, &error);
	if (code == VALORI_OK && report.verdict == VALORI_CONSISTENT && report.height == moments[commits].height + 1)
		return;
	if (verify(&bad, "", &report, &error) == VALORI_OK && report.verdict == VALORI_CONSISTENT)
		complain("after one more commit the log does not prove itself");
}

/* The first untruth is left in the complaint. */
static void judge(uint64_t number, struct tally *tally)
{
	struct damage damage;
	valori *store;
	int fd;

	complaint[0] = '\0';
	draw_damage(number, &damage);
	if (is_loud)
		printf("# seed %llu: %s from byte %zu on: %s\n", (unsigned long long)number, damage.path, damage.at,
		       damage.how);
	tally->tried++;
	judge_verdict(&damage, tally);
	store = open_on(&bad, options_of(VALORI_READ));
	if (store == NULL && strstr(damage.path, ".log") == NULL)
		complain("nobody can read the log, in which nothing is wrong");
	if (store != NULL) {
		tally->opened++;
		judge_store(store, "a reader");
		if (number % 4 == 0)
			judge_new_snapshot(store);
		valori_close(store, NULL);
	}
	judge_reader((struct vl_reader_options){.path = "db", .fd = -1}, "the log");
	if (strstr(damage.path, ".log") != NULL) {
		fd = bad.os.open(bad.os.context, damage.path, VL_OS_READ);
		judge_reader((struct vl_reader_options){.name = damage.path, .fd = fd}, "the stream");
		bad.os.close(bad.os.context, fd);
	}
	if (number % 2 == 0)
		judge_writer(tally);
	if (bad.open != 0 || bad.mapped != 0)
		complain("%d descriptors and %d mappings are left open", bad.open, bad.mapped);
	if (complaint[0] == '\0')
		return;
	tally->untrue++;
	printf("# %s from byte %zu on: %s: %s\n# reproduce: %stests/damage/test_random %llu\n", damage.path, damage.at,
	       damage.how, complaint, check_long() ? "VALORI_LONG=1 " : "", (unsigned long long)number);
}

static void write_files(struct shelf *shelf, const char *directory, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	mkdir(path, 0755);
	for (unsigned i = 0; i < file_count; i++) {
		const struct shelf_file *content = shelf_find(shelf, files[i]);

		snprintf(path, sizeof(path), "%s/%s%s", directory, name, strchr(files[i], '/'));
		file = fopen(path, "wb");
		if (file == NULL || fwrite(content->data, 1, content->size, file) != content->size ||
		    fclose(file) != 0)
			exit(99);
	}
}

static void run_all(unsigned size, uint64_t seeds, uint64_t first)
{
	struct tally tally = {0};

	for (uint64_t seed = first; seed < first + seeds && tally.untrue < 8; seed++)
		judge(seed, &tally);
	check(tally.tried == seeds && tally.silent == 0 && tally.found + tally.harmless == seeds,
	      "%u commits: valori-verify finds all damage, or says that it does no harm", size);
	check(tally.misplaced == 0, "%u commits: and names the place", size);
	check(tally.untrue == 0, "%u commits: nobody gives out what is not true", size);
	printf("# %u commits: %lu tried: %lu found, %lu harmless, %lu silent; readers opened %lu, writers went on %lu\n",
	       size, tally.tried, tally.found, tally.harmless, tally.silent, tally.opened, tally.wrote);
}

int main(int argc, char **argv)
{
	struct tally tally = {0};
	struct damage damage;
	uint64_t seeds = 0, first = 0;

	make_store(check_long() ? 1000 : 120);
	if (argc == 4 && strcmp(argv[1], "-w") == 0) {
		draw_damage(strtoull(argv[2], NULL, 10), &damage);
		write_files(&good, argv[3], "good");
		write_files(&bad, argv[3], "db");
		printf("%s from byte %zu on: %s\n", damage.path, damage.at, damage.how);
		return 0;
	}
	if (argc > 2 && strcmp(argv[1], "-n") == 0) {
		seeds = strtoull(argv[2], NULL, 10);
		first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
		argc = 1;
	}
	for (int i = 1; i < argc; i++) {
		is_loud = true;
		judge(strtoull(argv[i], NULL, 10), &tally);
		check(complaint[0] == '\0', "seed %s", argv[i]);
	}
	if (argc == 1)
		run_all(commits, seeds != 0 ? seeds : check_long() ? 4000 : 200 / check_one_in(), first);
	shelf_free(&good);
	shelf_free(&bad);
	shelf_free(&scratch);
	free(vectors);
	free(gone);
	free(bytes);
	return check_done();
}
