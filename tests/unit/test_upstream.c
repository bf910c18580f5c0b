/*
 * test_upstream.c - files of the Rust system: every hash it published, every byte wrong, every fault of its own.
 *
 * With a directory as its argument the program writes the files into it instead: the tests of the tools need some, too.
 */
#include "foreign.h"

#include <unistd.h>

#include "faults.h"
#include "memory.h"
#include "scratch.h"
#include "upstream_files.h"

/* ---- reading from memory ---- */

struct outcome {
	valori_code code; /* of open, or of the call that ended the reading */
	valori_upstream_report report;
	valori_error error;
	uint64_t events;
	uint64_t sum; /* over what the events hold: every byte is touched */
};

static void take_in(struct outcome *outcome, const void *bytes, size_t size)
{
	for (size_t i = 0; bytes != NULL && i < size; i++)
		outcome->sum = outcome->sum * 31 + ((const uint8_t *)bytes)[i];
}

static struct outcome read_files(const struct vl_env *env, const struct vl_upstream_file *files, size_t count)
{
	struct outcome outcome = {0};
	struct vl_upstream_reader *reader;
	valori_upstream_event event;

	outcome.code = vl_upstream_reader_new(env, files, count, &reader, &outcome.error);
	if (outcome.code != VALORI_OK)
		return outcome;
	while ((outcome.code = vl_upstream_reader_next(reader, &event, &outcome.error)) == VALORI_OK) {
		outcome.events++;
		take_in(&outcome, event.event.vector, 4 * (size_t)event.dim);
		take_in(&outcome, event.event.metadata, event.event.metadata_size);
		take_in(&outcome, event.event.key, event.event.key_size);
		take_in(&outcome, event.event.request, event.event.request != NULL ? 16 : 0);
	}
	vl_upstream_reader_report(reader, &outcome.report);
	vl_upstream_reader_free(reader);
	return outcome;
}

static struct outcome read_bytes(const uint8_t *data, size_t size)
{
	struct vl_upstream_file file = {data, size, "file"};

	return read_files(&up_env, &file, 1);
}

static struct outcome read_buf(const struct vl_buf *buf)
{
	return read_bytes(buf->data, buf->size);
}

static bool is_hash(const valori_hash *hash, const char *hex)
{
	char text[65];

	for (unsigned i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
	return strcmp(text, hex) == 0;
}

/* ---- the published files ---- */

static const struct published {
	const char *path;
	uint64_t size, events, version;
	const char *state, *chain;
	uint32_t verdict;
} published[] = {
	{"valori-kernel/snapshot_v7_empty.bin", 8241, 0, 0,
	 "4eeaa41d0b2eb66651bdbb252f4b91a7fa191d3f1cee4d311b6056966fba4d4a", NULL, VALORI_UPSTREAM_INTACT},
	{"valori-kernel/snapshot_v7_single.bin", 8329, 2, 2,
	 "a89d64f954e91779397eeec3b9ced4561b78b30fda56caa3d690522c588cea19", NULL, VALORI_UPSTREAM_INTACT},
	{"valori-kernel/snapshot_v7_multi.bin", 9180, 25, 25,
	 "ceaed9323dff17e5f7160cd25a836e0b388b658fe1129deaee5e478ccb4816a0", NULL, VALORI_UPSTREAM_INTACT},
	{"valori-wire/segment_v2.bin", 587, 9, 9, "cb09ec67aa6f09ee92cb142b61f27d6c705fd203f593c458a6aee88146d9b3a5",
	 "481dd017606e125d921552d183c6a678d382b618caeb9150155f981d6b308d07", VALORI_UPSTREAM_INTACT},
	{"valori-wire/segment_v3.bin", 709, 9, 9, "cb09ec67aa6f09ee92cb142b61f27d6c705fd203f593c458a6aee88146d9b3a5",
	 "221c42b81e15578399e036035739314f5889a1bf5007449280a8b8465b56e0b9", VALORI_UPSTREAM_INCOMPLETE},
	{"valori-wire/segment_v4.bin", 749, 9, 9, "cb09ec67aa6f09ee92cb142b61f27d6c705fd203f593c458a6aee88146d9b3a5",
	 "1803f156f48caf02c58b99da10e6ccbc4fdd5036dac0bc554ad1ff5813802872", VALORI_UPSTREAM_INCOMPLETE},
	{"valori-state/event_log_inserts.log", 1555, 24, 24,
	 "2c4ae8a21e0e01a1278febe82ff9dc6a7d70a9bacd43dbf68e8931221494f906",
	 "74c436e18c73da587147ae5ccbb44d42308e414519796476d7a6907ec83cba6a", VALORI_UPSTREAM_INTACT},
	{"valori-state/event_log_namespace.log", 1260, 20, 20,
	 "ad99bab3de7644b799d852ac6c6d5a740a6b61ccf75b7d078498e8a2a56ecfd5",
	 "78d0f021b3e468163240d0097a19bc1522baad99fb00c2baf5569ffbb2e010e6", VALORI_UPSTREAM_INTACT},
	{"valori-storage/wal_v1_inserts.wal", 410, 20, 20,
	 "5ee0463e6ee77e578cefd7bc66e9867fd471e12795332ce3559ab14e6805d818", NULL, VALORI_UPSTREAM_INTACT},
	{"valori-storage/wal_v1_namespace.wal", 296, 16, 16,
	 "5272bb36760e044ee8c9c8332da59af03ce2650687005b9f4d93c6f4a74f77bc", NULL, VALORI_UPSTREAM_INTACT},
};

enum { PUBLISHED = sizeof(published) / sizeof(published[0]) };

static void make_published(size_t index, struct vl_buf *out)
{
	struct up_file file;

	vl_buf_init(out, &up_env);
	switch (index) {
	case 0:
		up_make_empty(out, 7);
		return;
	case 1:
		up_make_single(out, 7);
		return;
	case 2:
		up_make_multi(out);
		return;
	case 3:
	case 4:
	case 5:
		up_make_segment(&file, (uint32_t)index - 1);
		break;
	case 6:
		up_make_log(&file, 24, 0);
		break;
	case 7:
		up_make_log(&file, 20, 12);
		break;
	case 8:
		up_make_wal(&file, 20, 0);
		break;
	default:
		up_make_wal(&file, 16, 8);
		break;
	}
	*out = file.bytes;
}

static void check_published(const struct published *p, const struct vl_buf *bytes, const char *whose)
{
	struct outcome outcome = read_buf(bytes);
	bool ok = outcome.code == VALORI_END && outcome.events == p->events && outcome.report.verdict == p->verdict &&
		  outcome.report.state_known && outcome.report.state_version == p->version;

	check(ok && is_hash(&outcome.report.state_hash, p->state) &&
		      (p->chain == NULL || is_hash(&outcome.report.chain_head, p->chain)),
	      "%s, %s: events, verdict, state hash and chain head as published", p->path, whose);
	if (!ok)
		printf("# code %d, %" PRIu64 " events, verdict %u, version %" PRIu64 ": %s%s\n", outcome.code, outcome.events,
		       outcome.report.verdict, outcome.report.state_version, outcome.report.sentence, outcome.error.message);
}

static bool shared_path(const char *name, char out[1024])
{
	const char *shared = getenv("VALORI_SHARED");

	snprintf(out, 1024, "%s/upstream-fixtures/%s", shared != NULL ? shared : "../shared", name);
	return access(out, R_OK) == 0;
}

static bool load(const char *path, struct vl_buf *out)
{
	FILE *file = fopen(path, "rb");
	uint8_t *to;
	long size;

	vl_buf_init(out, &up_env);
	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
		return false;
	to = vl_buf_extend(out, (size_t)size);
	if (to == NULL || fread(to, 1, (size_t)size, file) != (size_t)size)
		return false;
	fclose(file);
	return true;
}

static void test_published(void)
{
	for (size_t i = 0; i < PUBLISHED; i++) {
		struct vl_buf made, real;
		char path[1024];

		make_published(i, &made);
		check_published(&published[i], &made, "made by the recipe");
		if (!shared_path(published[i].path, path)) {
			check_skip(published[i].path, "the published files are not here");
		} else if (load(path, &real)) {
			check_published(&published[i], &real, "the file itself");
			check(real.size == made.size && memcmp(real.data, made.data, made.size) == 0,
			      "%s: the recipe makes the file, byte for byte", published[i].path);
			vl_buf_free(&real);
		}
		check_u64(made.size, published[i].size, "its size is the published one");
		vl_buf_free(&made);
	}
}

static void test_demo(void)
{
	struct up_file file;
	struct outcome outcome;

	up_make_demo(&file, 10);
	outcome = read_buf(&file.bytes);
	check_u64(file.bytes.size, 1016, "the demo log of 10 has its published size");
	check(is_hash(&outcome.report.state_hash, "a7c3bb44879d5eb527297def6a58e8d14c0970cf415e9fa2295d0a380ddf3b58") &&
		      is_hash(&outcome.report.chain_head,
			      "3da44a7e75c5f8d19016ca3ea1929aac3df954ac1c9323578219270b3b79b164"),
	      "and its hashes: nodes and edges are as there");
	up_end(&file);
	up_make_demo(&file, 2000);
	outcome = read_buf(&file.bytes);
	check_u64(file.bytes.size, 131798, "the demo log of 2000 has its published size");
	check(is_hash(&outcome.report.state_hash, "fb216fdf752d1fc06647d445683094712fb0a22292cd58ebb8dec7211f8a2577") &&
		      is_hash(&outcome.report.chain_head,
			      "1c4b8fa09404004065eea9375303f240c7cc6ed3912e551d936d577660d96af5"),
	      "and its hashes");
	up_end(&file);
}

/* ---- what must be refused ---- */

static void test_negative(void)
{
	struct up_file file;
	struct outcome outcome;

	up_make_log(&file, 24, 0);
	file.bytes.data[0] ^= 0xff;
	outcome = read_buf(&file.bytes);
	check(outcome.code == VALORI_NOT_OURS, "bad_magic.log: no file of that system");
	file.bytes.data[0] ^= 0xff;
	outcome = read_bytes(file.bytes.data, 8);
	check(outcome.code == VALORI_NOT_OURS, "truncated.log: half a header is none");
	outcome = read_bytes(file.bytes.data, 20);
	check(outcome.code == VALORI_DAMAGED, "a header torn when the file was made is damaged");
	file.bytes.data[200] ^= 1;
	outcome = read_buf(&file.bytes);
	check(outcome.code == VALORI_END && outcome.report.verdict == VALORI_UPSTREAM_ALTERED &&
		      outcome.report.fault_entry == 3 && outcome.report.fault_offset == 170,
	      "chain_tampered.log: entry 3, at byte 170, was altered");
	if (outcome.report.fault_entry != 3)
		printf("# %" PRIu64 " %" PRIu64 " %s\n", outcome.report.fault_entry, outcome.report.fault_offset,
		       outcome.report.sentence);
	check_u64(outcome.report.fault_time_s, 1783663928, "written then");
	check_u64(outcome.events, 2, "what stands before it is read");
	up_end(&file);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"bad_magic.log", "truncated.log", "chain_tampered.log"};
		char name[64], path[1024];
		struct vl_buf real;

		snprintf(name, sizeof(name), "valori-state/%s", names[i]);
		if (!shared_path(name, path) || !load(path, &real)) {
			check_skip(names[i], "the published files are not here");
			continue;
		}
		outcome = read_buf(&real);
		check(i < 2 ? outcome.code == VALORI_NOT_OURS : outcome.report.verdict == VALORI_UPSTREAM_ALTERED,
		      "%s: the file itself is refused, too", names[i]);
		vl_buf_free(&real);
	}
}

/* ---- every byte ---- */

/* A copy in memory of exactly its size: a sanitizer sees the first byte too far. */
static uint8_t *copy_exactly(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		exit(1);
	memcpy(copy, data, size);
	return copy;
}

/* Truncations: of a log, whole entries or torn ones; never altered, never more than there was. */
static void test_truncation(size_t index)
{
	struct vl_buf bytes;
	uint64_t wrong = 0, step;

	make_published(index, &bytes);
	step = bytes.size > 4000 ? 7 : 1; /* the lists of a snapshot are all the same */
	for (size_t size = 0; size < bytes.size; size += step) {
		uint8_t *copy = copy_exactly(bytes.data, size);
		struct outcome outcome = read_bytes(copy, size);
		uint32_t verdict = outcome.report.verdict;

		if (outcome.code != VALORI_END)
			wrong += outcome.code != VALORI_NOT_OURS && outcome.code != VALORI_DAMAGED;
		else if (outcome.report.kind == VALORI_UPSTREAM_SNAPSHOT)
			wrong += verdict != VALORI_UPSTREAM_UNREADABLE;
		else
			wrong += (verdict != VALORI_UPSTREAM_TORN && verdict != published[index].verdict) ||
				 outcome.events > published[index].events ||
				 outcome.report.fault_entry != VALORI_NONE;
		free(copy);
	}
	check(wrong == 0, "%s: cut anywhere it is read as far as it goes, and never called altered", published[index].path);
	if (wrong != 0)
		printf("# %" PRIu64 " cuts were not\n", wrong);
	vl_buf_free(&bytes);
}

/*
 * One bit wrong: nothing of it may crash. In a log of version 3 or 4 every one that the dimension is not in is seen: in
 * the verdict, in the state hash or in the chain's head.
 */
static void test_flips(size_t index)
{
	const struct published *p = &published[index];
	struct vl_buf bytes;
	uint64_t unseen = 0, failed = 0;
	bool is_chained = p->chain != NULL;

	make_published(index, &bytes);
	for (size_t bit = 0; bit < 8 * bytes.size; bit += bytes.size > 4000 && bit / 8 > 1000 && bit / 8 < 9000 ? 61 : 1) {
		uint8_t *copy = copy_exactly(bytes.data, bytes.size);
		struct outcome outcome;

		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		outcome = read_bytes(copy, bytes.size);
		failed += outcome.code == VALORI_NO_MEMORY || outcome.code == VALORI_OK;
		if (is_chained && bit / 8 >= 8 && outcome.code == VALORI_END && outcome.report.verdict == p->verdict &&
		    is_hash(&outcome.report.state_hash, p->state) && is_hash(&outcome.report.chain_head, p->chain) &&
		    outcome.report.first_segment == (index == 4 ? 3 : index == 5 ? 4 : 0)) {
			if (unseen++ == 0)
				printf("# bit %zu\n", bit);
		}
		free(copy);
	}
	check_u64(failed, 0, p->path);
	if (is_chained)
		check_u64(unseen, 0, "any bit wrong is seen in verdict, segment number, state hash or chain head");
	vl_buf_free(&bytes);
}

/* Every entry of a version 4 log, each bit: the entry at fault is named. */
static void test_blame(void)
{
	struct up_file file;
	uint64_t wrong = 0;

	up_make_log(&file, 24, 0);
	for (size_t bit = 8 * 48; bit < 8 * file.bytes.size; bit++) {
		struct outcome outcome;
		uint64_t entry = 24;

		while (file.starts[entry - 1] > bit / 8)
			entry--;
		file.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		outcome = read_buf(&file.bytes);
		file.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* A length in the last entry may promise more than there is: that is what a torn write looks like. */
		if (entry == 24 && outcome.report.verdict == VALORI_UPSTREAM_TORN && outcome.events == 23)
			continue;
		if (outcome.report.verdict != VALORI_UPSTREAM_ALTERED || outcome.report.fault_entry != entry ||
		    outcome.report.fault_offset != file.starts[entry - 1]) {
			if (wrong++ == 0)
				printf("# bit %zu of entry %" PRIu64 ": verdict %u, entry %" PRIu64 ": %s\n", bit, entry,
				       outcome.report.verdict, outcome.report.fault_entry, outcome.report.sentence);
		}
	}
	check_u64(wrong, 0, "any bit of any entry: that entry is named, with its offset");
	up_end(&file);
}

/* ---- whoever rewrites knows about checksums ---- */

static void fix_crc(struct up_file *file, uint64_t entry)
{
	size_t start = file->starts[entry], end = entry + 1 < file->entries ? file->starts[entry + 1] : file->bytes.size;

	vl_put32(file->bytes.data + end - 4, vl_upstream_crc(file->bytes.data + start, end - start - 4));
}

static void test_rewritten(void)
{
	struct up_file file;
	struct outcome outcome;

	up_make_log(&file, 24, 0);
	file.bytes.data[file.starts[5] + 44] ^= 2; /* in the vector */
	fix_crc(&file, 5);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_ALTERED && outcome.report.fault_entry == 6 &&
		      outcome.report.fault_offset == file.starts[5] && outcome.report.breach_entry == 7,
	      "an entry altered with its checksum: the next one tells, and it is named");
	up_end(&file);

	up_make_log(&file, 24, 0);
	file.bytes.data[file.starts[5] + 3] ^= 2;
	fix_crc(&file, 5);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_ALTERED && outcome.report.fault_entry == 6 &&
		      strstr(outcome.report.sentence, "hash of the entry before") != NULL,
	      "an altered link is told from an altered entry");
	up_end(&file);

	up_make_log(&file, 24, 0);
	memmove(file.bytes.data + file.starts[7], file.bytes.data + file.starts[9], file.bytes.size - file.starts[9]);
	outcome = read_bytes(file.bytes.data, file.bytes.size - (file.starts[9] - file.starts[7]));
	check(outcome.report.verdict == VALORI_UPSTREAM_ALTERED && outcome.report.fault_entry == 7 &&
		      strstr(outcome.report.sentence, "removed") != NULL,
	      "entries that were removed leave a hole in the chain");
	up_end(&file);

	up_make_log(&file, 24, 0);
	file.bytes.data[file.bytes.size - 1] ^= 1;
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_ALTERED && outcome.report.fault_entry == 24,
	      "a wrong checksum at the very end is no torn tail");
	up_end(&file);
}

/* ---- torn writes ---- */

static void test_torn(uint32_t version)
{
	struct up_file file;
	struct outcome outcome;
	struct vl_buf event, whole;
	int32_t vector[4] = {1, -2, 3, -4};
	uint64_t wrong = 0;

	vl_buf_init(&event, &up_env);
	for (size_t left = 1; left < 60; left++) {
		size_t before;
		uint8_t head[32], torn[200];

		up_begin(&file, version, 4, 0, NULL);
		for (uint32_t i = 0; i < 3; i++) {
			up_insert(&event, i, vector, 4, "some metadata", 13, i);
			up_event(&file, &event, -1, NULL);
		}
		/* An entry is written, and torn; the system starts again, and appends another. */
		before = file.bytes.size;
		memcpy(head, file.head, 32);
		up_insert(&event, 3, vector, 4, "lost for ever, and very long indeed, so that it can swallow others", 66, 3);
		up_event(&file, &event, -1, NULL);
		memcpy(torn, file.bytes.data + before, sizeof(torn) < file.bytes.size - before ? sizeof(torn) : file.bytes.size - before);
		file.bytes.size = before + left;
		outcome = read_buf(&file.bytes);
		if (outcome.report.verdict != VALORI_UPSTREAM_TORN || outcome.report.torn_size != left || outcome.events != 3)
			wrong++;
		memcpy(file.head, head, 32);
		file.entries--;
		for (uint32_t i = 3; i < 5; i++) {
			up_insert(&event, i, vector, 4, NULL, 0, i);
			up_event(&file, &event, -1, NULL);
		}
		outcome = read_buf(&file.bytes);
		if (outcome.report.verdict != VALORI_UPSTREAM_INTACT || outcome.report.torn_inside != left || outcome.events != 5) {
			if (wrong++ == 0)
				printf("# %zu bytes: verdict %u, inside %" PRIu64 ", %" PRIu64 " events: %s\n", left,
				       outcome.report.verdict, outcome.report.torn_inside, outcome.events,
				       outcome.report.sentence);
		}
		up_end(&file);
	}
	check(wrong == 0, "version %u: a torn tail of any size is benign, and what was appended behind it is found", version);

	up_make_log(&file, 5, 0);
	vl_buf_init(&whole, &up_env);
	vl_buf_put(&whole, file.bytes.data, file.bytes.size);
	vl_buf_zero(&whole, 4096);
	outcome = read_buf(&whole);
	check(outcome.report.verdict == VALORI_UPSTREAM_TORN && outcome.report.torn_size == 4096 && outcome.events == 5,
	      "zeros at the end are a torn tail");
	vl_buf_free(&whole);
	up_end(&file);
	vl_buf_free(&event);
}

/* ---- what it does wrong itself ---- */

static void test_empty_metadata(uint32_t version)
{
	struct up_file file, twin;
	struct outcome outcome, other;
	struct vl_buf event;
	int32_t vector[4] = {70000, -70000, 3, -4};

	up_begin(&file, version, 4, 0, NULL);
	up_begin(&twin, version, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	for (uint32_t i = 0; i < 6; i++) {
		/* Two empty, one of them the last; one of a tag that looks like what may follow. */
		up_insert(&event, i, vector, 4, i == 2 || i == 5 ? "" : NULL, 0, i == 2 ? 0 : 9);
		up_event(&file, &event, i % 2 == 0 ? 0 : -1, NULL);
		up_insert(&event, i, vector, 4, NULL, 0, i == 2 ? 0 : 9);
		up_event(&twin, &event, i % 2 == 0 ? 0 : -1, NULL);
	}
	up_update_metadata(&event, 1, "", 0);
	up_event(&file, &event, -1, NULL);
	up_update_metadata(&event, 1, NULL, 0);
	up_event(&twin, &event, -1, NULL);
	outcome = read_buf(&file.bytes);
	other = read_buf(&twin.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 7 && outcome.report.empty_metadata == 3 &&
		      memcmp(outcome.report.chain_head.bytes, file.head, 32) == 0,
	      "version %u: empty metadata, over which its own reader stumbles, is read", version);
	if (outcome.report.empty_metadata != 3)
		printf("# verdict %u, %" PRIu64 " events: %s\n", outcome.report.verdict, outcome.events, outcome.report.sentence);
	check(other.report.empty_metadata == 0 &&
		      memcmp(outcome.report.state_hash.bytes, other.report.state_hash.bytes, 32) != 0,
	      "and is not the same as none");
	vl_buf_free(&event);
	up_end(&file);
	up_end(&twin);
}

static void test_empty_metadata_wal(void)
{
	struct up_file file;
	struct outcome outcome;
	int32_t vector[4] = {1, 2, 3, 4};

	up_begin_wal(&file, 2);
	for (uint32_t i = 0; i < 6; i++) {
		up_insert(&file.bytes, i, vector, 4, i % 2 == 0 ? "" : NULL, 0, i == 4 ? 300 : i == 2 ? 0 : i);
		up_number(&file.bytes, i % 2);
	}
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 6 && outcome.report.empty_metadata == 3,
	      "empty metadata in a WAL, where only the next event can tell, is read");
	up_end(&file);
}

static void test_oversized(void)
{
	size_t big = 2 << 20;
	char *value = malloc(big);
	struct up_file file;
	struct outcome outcome;
	struct vl_buf event;
	int32_t vector[4] = {1, 2, 3, 4};

	if (value == NULL)
		exit(1);
	memset(value, 'x', big);
	up_begin(&file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	up_insert(&event, 0, vector, 4, NULL, 0, 0);
	up_event(&file, &event, -1, NULL);
	up_meta(&event, "k", value, big);
	up_event(&file, &event, -1, NULL);
	up_update_metadata(&event, 0, value, 70000);
	up_event(&file, &event, -1, NULL);
	up_insert(&event, 1, vector, 4, NULL, 0, 0);
	up_event(&file, &event, -1, NULL);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 4 && outcome.report.oversized == 1,
	      "a value of 2 MiB, which its own reader refuses, is read and counted");
	/* Its inserts do look at the size. */
	up_insert(&event, 2, vector, 4, value, 65537, 0);
	up_event(&file, &event, -1, NULL);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_REFUSED && outcome.report.fault_entry == 5 && outcome.events == 4,
	      "an insert with metadata above the limit is refused as there");
	vl_buf_free(&event);
	up_end(&file);
	free(value);
}

/*
 * insert 0, 1; soft-delete 1; insert 2; soft-delete 1 again: record 2 is in no list, and a dropped namespace leaves it
 * behind.
 */
static void test_double_soft_delete(void)
{
	struct up_file file;
	struct outcome outcome;
	struct vl_buf event;
	int32_t vector[4] = {1, 2, 3, 4};

	for (int twice = 0; twice < 2; twice++) {
		up_begin(&file, 4, 4, 0, NULL);
		vl_buf_init(&event, &up_env);
		for (uint32_t i = 0; i < 3; i++) {
			if (i == 2) {
				up_delete(&event, VL_UP_SOFT_DELETE, 1);
				up_event(&file, &event, 5, NULL);
			}
			up_insert(&event, i, vector, 4, NULL, 0, 0);
			up_event(&file, &event, 5, NULL);
		}
		if (twice) {
			up_delete(&event, VL_UP_SOFT_DELETE, 1);
			up_event(&file, &event, 5, NULL);
		}
		outcome = read_buf(&file.bytes);
		check(outcome.report.record_active == 2 && outcome.report.record_soft_deleted == 1,
		      "soft-deleted %s: two records are active", twice ? "twice" : "once");
		up_drop_namespace(&event, "five");
		up_event(&file, &event, 5, NULL);
		outcome = read_buf(&file.bytes);
		check(outcome.report.record_active == (twice ? 1 : 0),
		      "and the dropped namespace %s", twice ? "forgets the one that fell out of its list, as it does there"
						      : "takes both with it");
		vl_buf_free(&event);
		up_end(&file);
	}
}

/* One single event, then a batch: the batch is written first. */
static void test_order(void)
{
	struct up_file file, twin;
	struct outcome outcome, other;
	struct vl_buf event;
	static const uint32_t order[2][6] = {{2, 3, 4, 0, 1, 5}, {0, 1, 2, 3, 4, 5}};

	vl_buf_init(&event, &up_env);
	for (int i = 0; i < 2; i++) {
		struct up_file *f = i == 0 ? &file : &twin;

		up_begin(f, 4, 4, 0, NULL);
		for (int j = 0; j < 6; j++) {
			up_insert_number(&event, order[i][j], 0);
			up_event(f, &event, -1, NULL);
		}
	}
	outcome = read_buf(&file.bytes);
	other = read_buf(&twin.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 6 && outcome.report.reordered == 3 &&
		      memcmp(outcome.report.state_hash.bytes, other.report.state_hash.bytes, 32) == 0,
	      "a batch that overtook the events before it is put behind them: the state is the one that was served");
	up_insert_number(&event, 9, 0);
	up_event(&file, &event, -1, NULL);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_REFUSED && outcome.report.fault_entry == 7 && outcome.events == 6 &&
		      outcome.report.reordered == 3 && outcome.report.state_version == 6,
	      "an event whose turn never comes is refused, named, and changes nothing");
	up_end(&file);
	up_end(&twin);

	/* What follows in the batch waits with it. */
	up_begin(&file, 4, 4, 0, NULL);
	up_insert_number(&event, 1, 0);
	up_event(&file, &event, -1, NULL);
	up_delete(&event, VL_UP_DELETE, 1);
	up_event(&file, &event, -1, NULL);
	up_insert_number(&event, 0, 0);
	up_event(&file, &event, -1, NULL);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 3 && outcome.report.reordered == 2 &&
		      outcome.report.record_active == 1,
	      "a deletion behind an insert that came too early waits, too");
	up_end(&file);

	/* An id given out before. */
	up_begin(&file, 4, 4, 0, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		up_insert_number(&event, i / 2, 0);
		up_event(&file, &event, -1, NULL);
	}
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_REFUSED && outcome.report.fault_entry == 2, "an id given out twice is refused");
	/* An altered entry that also contradicts the state is called altered. */
	file.bytes.data[file.starts[1] + 44] ^= 2;
	fix_crc(&file, 1);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_ALTERED && strstr(outcome.report.sentence, "next one;") == NULL &&
		      strstr(outcome.report.sentence, "altered") != NULL,
	      "a broken chain outweighs that");
	up_end(&file);
	vl_buf_free(&event);
}

static void test_encrypted(void)
{
	struct up_file file;
	struct outcome outcome;
	struct vl_buf event;
	int32_t vector[4] = {1, 2, 3, 4};
	valori_hash before;

	up_begin(&file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	up_insert(&event, 0, vector, 4, NULL, 0, 0);
	up_event(&file, &event, -1, NULL);
	for (uint32_t i = 1; i < 200; i++) {
		up_encrypted(&event, i, (uint8_t)(i % 90), "cipher", 6);
		up_event(&file, &event, 0, NULL);
	}
	outcome = read_buf(&file.bytes);
	before = outcome.report.state_hash;
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.report.encrypted == 199 &&
		      outcome.report.record_active == 200 && outcome.report.record_encrypted == 199,
	      "encrypted records are counted");
	up_shred(&event, 7);
	up_event(&file, &event, -1, NULL);
	up_shred(&event, 250); /* a key that opens nothing */
	up_event(&file, &event, -1, NULL);
	outcome = read_buf(&file.bytes);
	check(outcome.report.record_shredded == 3 && outcome.report.record_active == 197 &&
		      memcmp(&before, &outcome.report.state_hash, sizeof(before)) != 0,
	      "a destroyed key takes its records out of the hash, and no others");
	vl_buf_free(&event);
	up_end(&file);
}

/* ---- the graph, against a walk like theirs ---- */

struct walk {
	uint32_t first_out[64], first_in[64], from[4096], to[4096], next_out[4096], next_in[4096];
	bool node[64], edge[4096];
	uint32_t nodes, edges;
};

static void walk_unlink(uint32_t *first, uint32_t *next, uint32_t edge)
{
	uint32_t *link = first;

	while (*link != edge)
		link = &next[*link];
	*link = next[edge];
}

static void walk_delete(struct walk *w, uint32_t edge)
{
	walk_unlink(&w->first_out[w->from[edge]], w->next_out, edge);
	walk_unlink(&w->first_in[w->to[edge]], w->next_in, edge);
	w->edge[edge] = false;
}

static void walk_hash(const struct walk *w, uint64_t version, uint8_t out[32])
{
	struct vl_buf bytes;

	vl_buf_init(&bytes, &up_env);
	vl_buf_put(&bytes, "valori-state", 12);
	vl_buf_put8(&bytes, 2);
	vl_buf_put8(&bytes, 1);
	vl_buf_put64(&bytes, version);
	for (uint32_t i = 0; i < w->nodes; i++) {
		if (!w->node[i])
			continue;
		vl_buf_put32(&bytes, i);
		vl_buf_put8(&bytes, 3);
		vl_buf_put32(&bytes, VL_UP_NIL);
		vl_buf_put32(&bytes, w->first_out[i]);
	}
	for (uint32_t i = 0; i < w->edges; i++) {
		if (!w->edge[i])
			continue;
		vl_buf_put32(&bytes, i);
		vl_buf_put8(&bytes, 6);
		vl_buf_put32(&bytes, w->from[i]);
		vl_buf_put32(&bytes, w->to[i]);
		vl_buf_put32(&bytes, w->next_out[i]);
	}
	vl_blake3(up_env.kernels, VL_HASH_PLAIN, bytes.data, bytes.size, out);
	vl_buf_free(&bytes);
}

static void test_graph(void)
{
	static struct walk w;
	struct up_file file;
	struct vl_buf event;
	struct outcome outcome;
	uint64_t seed = 4, wrong = 0, version = 0;
	uint8_t hash[32];

	up_begin(&file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	for (int step = 0; step < 1500; step++) {
		uint64_t r = check_random(&seed);
		uint32_t a = w.nodes > 0 ? (uint32_t)(r >> 8) % w.nodes : 0, b = w.nodes > 0 ? (uint32_t)(r >> 24) % w.nodes : 0;
		uint32_t e = w.edges > 0 ? (uint32_t)(r >> 40) % w.edges : 0;

		if (w.nodes < 2 || (r % 64 == 0 && w.nodes < 64)) {
			up_node(&event, w.nodes, 3, VL_UP_NIL);
			w.first_out[w.nodes] = w.first_in[w.nodes] = VL_UP_NIL;
			w.node[w.nodes++] = true;
		} else if (r % 64 < 36 && w.node[a] && w.node[b]) {
			up_edge(&event, w.edges, a, b, 6);
			w.from[w.edges] = a;
			w.to[w.edges] = b;
			w.next_out[w.edges] = w.first_out[a];
			w.next_in[w.edges] = w.first_in[b];
			w.first_out[a] = w.first_in[b] = w.edges;
			w.edge[w.edges++] = true;
		} else if (r % 64 < 62 && w.edges > 0 && w.edge[e]) {
			up_delete(&event, VL_UP_DELETE_EDGE, e);
			walk_delete(&w, e);
		} else if (r % 64 == 63 && w.node[a] && w.nodes > 8) {
			up_delete(&event, VL_UP_DELETE_NODE, a);
			while (w.first_out[a] != VL_UP_NIL)
				walk_delete(&w, w.first_out[a]);
			while (w.first_in[a] != VL_UP_NIL)
				walk_delete(&w, w.first_in[a]);
			w.node[a] = false;
		} else {
			continue;
		}
		up_event(&file, &event, -1, NULL);
		version++;
		if (step % 100 == 99) {
			outcome = read_buf(&file.bytes);
			walk_hash(&w, version, hash);
			wrong += memcmp(hash, outcome.report.state_hash.bytes, 32) != 0 || outcome.events != version;
		}
	}
	check(wrong == 0 && version > 500, "a graph of %" PRIu64 " changes has the hash of lists that are walked", version);
	vl_buf_free(&event);
	up_end(&file);
}

/* ---- rotated logs ---- */

static void make_rotated(struct up_file files[3], bool honest)
{
	struct vl_buf event;
	uint32_t id = 0;

	vl_buf_init(&event, &up_env);
	for (uint32_t s = 0; s < 3; s++) {
		struct outcome before = {0};

		if (s > 0) {
			struct vl_upstream_file read[3] = {{files[0].bytes.data, files[0].bytes.size, "a"},
							   {files[1].bytes.data, files[1].bytes.size, "b"}};

			before = read_files(&up_env, read, s);
		}
		up_begin(&files[s], s == 0 ? 2 : 4, 4, s, s > 0 ? files[s - 1].head : NULL);
		if (s > 0) {
			before.report.state_hash.bytes[0] ^= !honest;
			up_checkpoint(&files[s], id, before.report.state_hash.bytes, 1);
		}
		for (int i = 0; i < 5; i++, id++) {
			up_insert_number(&event, id, 0);
			up_event(&files[s], &event, -1, NULL);
		}
	}
	vl_buf_free(&event);
}

static void test_rotated(void)
{
	struct up_file files[3], single;
	struct vl_upstream_file read[3];
	struct outcome outcome, other;

	make_rotated(files, true);
	up_make_log(&single, 15, 0);
	other = read_buf(&single.bytes);
	/* In the wrong order. */
	for (int i = 0; i < 3; i++)
		read[i] = (struct vl_upstream_file){files[(i + 1) % 3].bytes.data, files[(i + 1) % 3].bytes.size,
						    i == 0 ? "one" : i == 1 ? "two" : "zero"};
	outcome = read_files(&up_env, read, 3);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 15 && outcome.report.segments == 3 &&
		      outcome.report.checkpoints == 2 && outcome.report.checkpoints_wrong == 0 &&
		      memcmp(&outcome.report.state_hash, &other.report.state_hash, 32) == 0,
	      "a log in three segments, given in any order, has the state of the log in one");
	outcome = read_files(&up_env, read, 2);
	check(outcome.report.verdict == VALORI_UPSTREAM_INCOMPLETE && !outcome.report.state_known &&
		      strstr(outcome.report.sentence, "segment 0 is missing") != NULL && outcome.report.entries == 12,
	      "without the first it is incomplete; the chain of the others is followed");
	read[1] = read[2];
	outcome = read_files(&up_env, read, 2);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 10, "without the last nobody can tell");
	read[0] = (struct vl_upstream_file){files[2].bytes.data, files[2].bytes.size, "two"};
	outcome = read_files(&up_env, read, 2);
	check(outcome.report.verdict == VALORI_UPSTREAM_INCOMPLETE && outcome.events == 5 &&
		      strstr(outcome.report.sentence, "segment 1 is missing") != NULL,
	      "a missing one in the middle is named");
	read[1] = read[0];
	outcome = read_files(&up_env, read, 2);
	check(outcome.code == VALORI_INVALID, "the same segment twice is refused");

	/* Entries cut from the end of an old segment. */
	for (int i = 0; i < 3; i++)
		read[i] = (struct vl_upstream_file){files[i].bytes.data, files[i].bytes.size, i == 0 ? "a" : i == 1 ? "b" : "c"};
	read[1].size = files[1].starts[5];
	outcome = read_files(&up_env, read, 3);
	check(outcome.report.verdict == VALORI_UPSTREAM_ALTERED && strcmp(outcome.report.fault_path, "c") == 0 &&
		      outcome.report.fault_offset == 16,
	      "entries cut from the end of a segment: the next header tells");
	for (int i = 0; i < 3; i++)
		up_end(&files[i]);
	make_rotated(files, false);
	for (int i = 0; i < 3; i++)
		read[i] = (struct vl_upstream_file){files[i].bytes.data, files[i].bytes.size, "x"};
	outcome = read_files(&up_env, read, 3);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.report.checkpoints_wrong == 2,
	      "a state hash at the start of a segment that is not the state's is noticed");
	for (int i = 0; i < 3; i++)
		up_end(&files[i]);
	up_end(&single);
}

/* ---- old snapshots and WALs, containers ---- */

static void test_old_snapshots(void)
{
	struct outcome newest = {0};

	for (uint32_t schema = 7; schema > 0; schema--) {
		struct vl_buf bytes;
		struct outcome outcome;

		vl_buf_init(&bytes, &up_env);
		up_make_single(&bytes, schema);
		outcome = read_buf(&bytes);
		if (schema == 7)
			newest = outcome;
		check(outcome.code == VALORI_END && outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 2 &&
			      (memcmp(&newest.report.state_hash, &outcome.report.state_hash, 32) == 0) == (schema >= 3),
		      "a snapshot of version %u is read%s", schema, schema < 3 ? ", without a tag" : "");
		vl_buf_put8(&bytes, 0);
		outcome = read_buf(&bytes);
		check(outcome.report.verdict == VALORI_UPSTREAM_UNREADABLE, "bytes behind its end are not");
		vl_buf_free(&bytes);
	}
}

static void test_container(void)
{
	struct vl_buf inner, outer;
	struct outcome outcome;

	vl_buf_init(&inner, &up_env);
	vl_buf_init(&outer, &up_env);
	up_make_multi(&inner);
	vl_buf_put(&outer, "VAL1", 4);
	vl_buf_put32(&outer, (uint32_t)inner.size);
	vl_buf_put(&outer, inner.data, inner.size);
	vl_buf_put32(&outer, 2);
	vl_buf_put(&outer, "{}", 2);
	vl_buf_put32(&outer, 0);
	vl_buf_put(&outer, "NSRG", 4);
	vl_buf_put32(&outer, 2);
	vl_buf_put(&outer, "{}", 2);
	outcome = read_buf(&outer);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && is_hash(&outcome.report.state_hash, published[2].state),
	      "a snapshot in its container has the same hash");
	outer.size -= 1;
	outcome = read_buf(&outer);
	check(outcome.report.verdict == VALORI_UPSTREAM_UNREADABLE, "a container that is cut is not read");
	outer.data[4] ^= 1;
	outer.size += 1;
	outcome = read_buf(&outer);
	check(outcome.report.verdict == VALORI_UPSTREAM_UNREADABLE, "nor one whose length is another");
	vl_buf_free(&inner);
	vl_buf_free(&outer);
}

/* After a node was deleted its own decoder refuses the snapshot: ids are not below the count. */
static void test_holes(void)
{
	static const int32_t vector[4] = {1, 2, 3, 4};
	struct up_snap snap = {7, 4, NULL};
	struct vl_buf bytes, event;
	struct up_file file;
	struct outcome outcome, other;

	vl_buf_init(&bytes, &up_env);
	snap.out = &bytes;
	up_snap_begin(&snap, 12, 4, 3, 1);
	vl_buf_put8(&bytes, 0);
	up_snap_record(&snap, 1, 0, vector, 5, NULL, 0, VL_UP_NIL, VL_UP_NIL);
	up_snap_record(&snap, 2, VL_UP_SOFT_DELETED, vector, 6, NULL, 0, VL_UP_NIL, VL_UP_NIL);
	vl_buf_put8(&bytes, 0);
	vl_buf_put32(&bytes, 2);
	up_snap_node(&snap, 1, 0, 1, 1, VL_UP_NIL, VL_UP_NIL, VL_UP_NIL);
	up_snap_node(&snap, 3, 0, VL_UP_NIL, VL_UP_NIL, 1, VL_UP_NIL, VL_UP_NIL);
	vl_buf_put32(&bytes, 1);
	up_snap_edge(&snap, 1, 2, 1, 3);
	up_snap_end(&snap, up_no_heads, 0);
	outcome = read_buf(&bytes);

	up_begin(&file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	for (uint32_t i = 0; i < 4; i++) {
		up_insert(&event, i, vector, 4, NULL, 0, i + 4);
		up_event(&file, &event, 0, NULL);
	}
	up_delete(&event, VL_UP_DELETE, 0);
	up_event(&file, &event, 0, NULL);
	up_delete(&event, VL_UP_SOFT_DELETE, 2);
	up_event(&file, &event, 0, NULL);
	up_delete(&event, VL_UP_DELETE, 3);
	up_event(&file, &event, 0, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		up_node(&event, i, 0, i == 1 ? 1 : VL_UP_NIL);
		up_event(&file, &event, 0, NULL);
	}
	up_delete(&event, VL_UP_DELETE_NODE, 0);
	up_event(&file, &event, 0, NULL);
	other = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && other.report.state_version == 12 && outcome.events == 7 &&
		      outcome.report.record_active == 1 && outcome.report.record_soft_deleted == 1 &&
		      outcome.report.node_slots == 4 && outcome.report.node_live == 2,
	      "a snapshot with holes, which its own decoder refuses, is read");
	vl_buf_free(&bytes);
	vl_buf_free(&event);
	up_end(&file);
}

static void test_old_wal(void)
{
	struct up_file file, log;
	struct vl_buf event;
	struct outcome outcome, other;
	static const int32_t vector[4] = {-5, 500, -50000, 5000000};
	struct vl_buf *out = &file.bytes;

	up_begin_wal(&file, 1);
	up_begin(&log, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	for (uint32_t i = 0; i < 3; i++) {
		up_number(out, 0); /* InsertRecord */
		up_number(out, i == 2);
		up_number(out, i);
		up_vector(out, vector, 4);
		vl_buf_put8(out, i == 1);
		if (i == 1)
			up_bytes(out, "meta", 4);
		up_number(out, 77);
		up_insert(&event, i, vector, 4, i == 1 ? "meta" : NULL, 4, 77);
		up_event(&log, &event, i == 2, NULL);
	}
	for (uint32_t i = 0; i < 2; i++) {
		up_number(out, 2); /* CreateNode */
		up_number(out, 0);
		up_number(out, i);
		up_number(out, 5);
		vl_buf_put8(out, 1);
		up_number(out, 1);
		up_node(&event, i, 5, 1);
		up_event(&log, &event, 0, NULL);
	}
	up_number(out, 3); /* CreateEdge */
	up_number(out, 0);
	up_number(out, 8);
	up_number(out, 1);
	up_number(out, 0);
	up_edge(&event, 0, 1, 0, 8);
	up_event(&log, &event, 0, NULL);
	up_number(out, 6); /* SoftDelete */
	up_number(out, 0);
	up_delete(&event, VL_UP_SOFT_DELETE, 0);
	up_event(&log, &event, 0, NULL);
	up_number(out, 8); /* DropNamespace */
	up_number(out, 1);
	up_drop_namespace(&event, "x");
	up_event(&log, &event, 1, NULL);
	up_number(out, 5); /* DeleteEdge */
	up_number(out, 0);
	up_delete(&event, VL_UP_DELETE_EDGE, 0);
	up_event(&log, &event, 0, NULL);
	outcome = read_buf(out);
	other = read_buf(&log.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.report.kind == VALORI_UPSTREAM_WAL &&
		      outcome.report.version == 1 && outcome.events == 9 &&
		      memcmp(&outcome.report.state_hash, &other.report.state_hash, 32) == 0,
	      "a WAL of version 1 has the state of the log with the same events");
	vl_buf_free(&event);
	up_end(&file);
	up_end(&log);
}

static void test_misplaced(void)
{
	static const int32_t vector[4] = {1, 2, 3, 4};
	struct up_snap snap = {7, 4, NULL};
	struct vl_buf bytes;
	struct outcome outcome;

	vl_buf_init(&bytes, &up_env);
	snap.out = &bytes;
	up_snap_begin(&snap, 2, 2, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		up_snap_record(&snap, 1 - i, 0, vector, 0, NULL, 0, VL_UP_NIL, VL_UP_NIL);
	vl_buf_put32(&bytes, 0);
	vl_buf_put32(&bytes, 0);
	up_snap_end(&snap, up_no_heads, 0);
	outcome = read_buf(&bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_UNREADABLE && outcome.events == 0, "a record in another's place is no snapshot");
	vl_buf_free(&bytes);
}

/* ---- a log in which everything happens that can ---- */

static void make_messy(struct up_file *file)
{
	static const uint8_t request[16] = "a request id 16";
	struct vl_buf event;
	int32_t vector[4] = {65536, -65536, 300, -7};

	up_begin(file, 4, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
#define PUT(ns) (file->time_s++, up_event(file, &event, (ns), (file->entries & 1) != 0 ? request : NULL))
	up_number(&event, VL_UP_CREATE_NAMESPACE);
	up_bytes(&event, "papers", 6);
	PUT(1);
	for (uint32_t i = 0; i < 12; i++) {
		vector[0] = (int32_t)i * 1000;
		up_insert(&event, i, vector, 4, i % 3 == 0 ? "some" : i == 7 ? "" : NULL, i == 7 ? 0 : 4, i);
		PUT(i % 3); /* namespaces 0, 1 and 2; of 2 no name is known */
	}
	up_encrypted(&event, 12, 1, "ciphertext", 10);
	PUT(0);
	up_encrypted(&event, 13, 2, "ciphertext", 10);
	PUT(1);
	vector[0] = 777;
	up_auto_insert(&event, vector, 4, 99);
	PUT(0); /* 14 */
	up_shred(&event, 1);
	PUT(-1);
	up_meta(&event, "title", "a mess", 6);
	PUT(-1);
	up_meta(&event, "title", "a messy log", 11);
	PUT(-1);
	up_update_metadata(&event, 1, "now it has", 10);
	PUT(1);
	up_update_metadata(&event, 0, NULL, 0);
	PUT(0);
	for (uint32_t i = 0; i < 5; i++) {
		up_node(&event, i, (uint8_t)i, i == 0 ? 0 : i == 1 ? 3 : i == 2 ? 12 : VL_UP_NIL);
		PUT(0);
	}
	up_node(&event, 5, 6, 2);
	PUT(2);
	up_node(&event, 6, 6, 5);
	PUT(2);
	for (uint32_t i = 0; i < 4; i++) {
		up_edge(&event, i, i, i + 1, (uint8_t)i);
		PUT(0);
	}
	up_edge(&event, 4, 5, 6, 8);
	PUT(2);
	up_edge(&event, 5, 3, 3, 8);
	PUT(0);
	up_delete(&event, VL_UP_DELETE_EDGE, 1);
	PUT(0);
	up_delete(&event, VL_UP_DELETE_NODE, 4);
	PUT(0);
	up_delete(&event, VL_UP_SOFT_DELETE, 6);
	PUT(0);
	up_delete(&event, VL_UP_SOFT_DELETE, 6);
	PUT(0);
	up_update_metadata(&event, 6, "too late", 8);
	PUT(0);
	up_delete(&event, VL_UP_SOFT_DELETE, 9);
	PUT(0);
	up_delete(&event, VL_UP_DELETE, 9);
	PUT(0);
	up_delete(&event, VL_UP_DELETE, 4);
	PUT(1);
	up_delete(&event, VL_UP_DELETE, 3); /* node 1 goes on naming it */
	PUT(0);
	up_delete(&event, VL_UP_SOFT_DELETE, 12);
	PUT(0);
	up_node(&event, 7, 2, 6); /* of a soft-deleted record */
	PUT(0);
	up_drop_namespace(&event, "two");
	PUT(2);
	up_insert(&event, 15, vector, 4, NULL, 0, 1);
	PUT(2);
#undef PUT
	vl_buf_free(&event);
}

static void test_messy(void)
{
	struct up_file file;
	struct outcome outcome;
	uint64_t wrong = 0;

	make_messy(&file);
	outcome = read_buf(&file.bytes);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 47 && outcome.report.record_slots == 16 &&
		      outcome.report.record_active == 7 && outcome.report.node_live == 5 && outcome.report.edge_live == 3,
	      "a log in which everything happens is read to its end");
	if (outcome.events != 47)
		printf("# %" PRIu64 " events, %" PRIu64 " %" PRIu64 " %" PRIu64 ": %s\n", outcome.events,
		       outcome.report.record_active, outcome.report.node_live, outcome.report.edge_live,
		       outcome.report.sentence);
	for (size_t bit = 0; bit < 8 * file.bytes.size; bit++) {
		uint8_t *copy = copy_exactly(file.bytes.data, file.bytes.size);

		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		outcome = read_bytes(copy, file.bytes.size);
		/* Without the checksums: what a forger sends has the right ones. */
		wrong += outcome.code == VALORI_NO_MEMORY ||
			 (bit / 8 >= 48 && outcome.code == VALORI_END && outcome.report.verdict == VALORI_UPSTREAM_INTACT);
		free(copy);
	}
	check_u64(wrong, 0, "and any bit of it wrong is noticed");
	up_end(&file);
}

/* The same bytes as a WAL, whose events no checksum guards: any of them may be anything. */
static void test_forged(void)
{
	struct up_file file;
	uint64_t seed = 9, ended = 0;
	struct vl_buf *out = &file.bytes;
	size_t size;

	up_begin_wal(&file, 2);
	for (uint32_t i = 0; i < 8; i++) {
		int ns = up_insert_number(out, i, 4);

		up_number(out, (uint64_t)ns);
	}
	for (uint32_t i = 0; i < 4; i++) {
		up_node(out, i, 1, i);
		up_number(out, 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		up_edge(out, i, i, i + 1, 1);
		up_number(out, 0);
	}
	for (uint32_t i = 0; i < 4; i++) {
		up_delete(out, i % 2 == 0 ? VL_UP_SOFT_DELETE : VL_UP_DELETE_NODE, i);
		up_number(out, 0);
	}
	up_encrypted(out, 8, 3, "x", 1);
	up_number(out, 1);
	up_shred(out, 3);
	up_number(out, 0);
	up_drop_namespace(out, "n");
	up_number(out, 1);
	size = out->size;
	for (int round = 0; round < 20000; round++) {
		uint8_t *copy = copy_exactly(out->data, size);
		struct outcome outcome;

		for (int i = 0; i < 1 + round % 3; i++) {
			uint64_t r = check_random(&seed);

			copy[16 + r % (size - 16)] = (uint8_t)(r >> 32 & (round % 2 == 0 ? 0xff : 0x0f));
		}
		outcome = read_bytes(copy, size);
		ended += outcome.code == VALORI_END;
		free(copy);
	}
	check_u64(ended, 20000, "events without checksums may be anything: every one has an answer");
	up_end(&file);
}

/* ---- lengths nobody may believe, memory that runs out ---- */

static void test_lengths(void)
{
	struct memory memory;
	uint64_t wrong = 0;

	/* Entries that promise up to 2^64 bytes or components. */
	for (unsigned what = 0; what < 7; what++) {
		struct up_file file;
		struct vl_buf event;
		struct vl_upstream_file read;
		struct outcome outcome;

		up_begin(&file, 4, 4, 0, NULL);
		vl_buf_init(&event, &up_env);
		up_number(&event, what < 3 ? VL_UP_AUTO_INSERT : what < 5 ? VL_UP_SET_META : VL_UP_INSERT_ENCRYPTED);
		up_number(&event, what % 2 == 0 ? UINT64_MAX : UINT32_MAX);
		vl_buf_zero(&event, 64);
		up_event(&file, &event, -1, NULL);
		memory_init(&memory, up_env.kernels);
		read = (struct vl_upstream_file){file.bytes.data, file.bytes.size, "file"};
		outcome = read_files(&memory.env, &read, 1);
		wrong += outcome.code != VALORI_END || outcome.events != 0 || memory.blocks != 0 || memory.wrong != 0;
		vl_buf_free(&event);
		up_end(&file);
	}
	check_u64(wrong, 0, "lengths that promise more than there is are not believed");
}

/* Numbers that are longer than needed, or larger than what they stand for: nobody writes them. */
static void test_numbers(void)
{
	static const struct {
		uint8_t bytes[16];
		size_t size;
		const char *why;
	} bad[] = {{{VL_UP_DELETE, 251, 250, 0}, 4, "an id of two bytes that fits into one"},
		   {{VL_UP_DELETE, 252, 255, 255, 0, 0}, 6, "one of four that fits into two"},
		   {{VL_UP_DELETE, 253, 255, 255, 255, 255, 0, 0, 0, 0}, 10, "one of eight that fits into four"},
		   {{VL_UP_DELETE, 253, 0, 0, 0, 0, 1, 0, 0, 0}, 10, "an id above 2^32"},
		   {{VL_UP_DELETE, 254}, 2, "one of sixteen bytes"},
		   {{VL_UP_CREATE_NODE, 0, 7, 0}, 4, "a kind of node above 6"},
		   {{VL_UP_CREATE_EDGE, 0, 0, 0, 9}, 5, "a kind of edge above 8"},
		   {{VL_UP_CREATE_NODE, 0, 0, 2}, 4, "an option that is neither 0 nor 1"},
		   {{VL_UP_TYPES}, 1, "an event of the next kind"},
		   {{VL_UP_AUTO_INSERT, 0, 2, 1, 'x', 0}, 6, "two lengths of metadata that differ"},
		   {{VL_UP_SET_META, 1, 0xff, 0}, 4, "a text that is not UTF-8"}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vl_upstream_event event;
		size_t used;

		check(vl_upstream_wal_event(2, bad[i].bytes, sizeof(bad[i].bytes), false, &event, &used) == VL_UP_BAD,
		      "no event: %s", bad[i].why);
		/* The unused bytes behind it are zeros: not what stops the reading. */
		if (vl_upstream_wal_event(2, bad[i].bytes, bad[i].size, false, &event, &used) != VL_UP_BAD)
			check(false, "and that is seen before its end");
	}
}

static void test_more_wals(void)
{
	struct up_file file;
	struct outcome outcome;
	struct vl_buf *out = &file.bytes;

	up_begin_wal(&file, 2);
	up_insert_number(out, 5, 0);
	up_number(out, 0);
	vl_buf_put(out, "\377\377\377", 3);
	outcome = read_buf(out);
	check(outcome.report.verdict == VALORI_UPSTREAM_UNREADABLE || outcome.report.verdict == VALORI_UPSTREAM_REFUSED,
	      "a WAL that begins with record 5");
	out->size -= 3;
	up_delete(out, VL_UP_DELETE, 3);
	up_number(out, 0);
	outcome = read_buf(out);
	check(outcome.report.verdict == VALORI_UPSTREAM_REFUSED && outcome.report.fault_entry == 1, "is refused");
	up_end(&file);
	up_begin_wal(&file, 2);
	up_delete(out, VL_UP_DELETE, 3);
	up_number(out, 0);
	vl_buf_put(out, "\377\377\377", 3);
	outcome = read_buf(out);
	check(outcome.report.verdict == VALORI_UPSTREAM_REFUSED && outcome.report.fault_entry == 1 &&
		      outcome.report.fault_offset == 16,
	      "and nothing behind what was refused is looked at");
	up_end(&file);
}

static void test_memory(void)
{
	struct up_file file;
	uint64_t wrong = 0, calls = 1;

	up_make_demo(&file, 300);
	for (uint64_t at = 1; at <= calls; at++) {
		struct vl_upstream_file read = {file.bytes.data, file.bytes.size, "file"};
		struct memory memory;
		struct outcome outcome;

		memory_init(&memory, up_env.kernels);
		memory.fail_at = at;
		outcome = read_files(&memory.env, &read, 1);
		if (memory.calls >= at) {
			wrong += outcome.code != VALORI_NO_MEMORY || memory.blocks != 0 || memory.wrong != 0;
			calls = at + 1;
		} else {
			wrong += outcome.code != VALORI_END || memory.blocks != 0;
		}
	}
	check(wrong == 0 && calls > 5, "memory that runs out at any of %" PRIu64 " calls is said, and none is lost", calls - 1);
	up_end(&file);
}

/* ---- files on a disk ---- */

static int write_files(const char *directory);

static struct outcome read_path(const char *path, const char *archive)
{
	struct outcome outcome = {0};
	valori_upstream *upstream;
	valori_upstream_event event;

	outcome.code = valori_upstream_open(&path, 1, archive, &upstream, &outcome.error);
	if (outcome.code != VALORI_OK)
		return outcome;
	while ((outcome.code = valori_upstream_next(upstream, &event, &outcome.error)) == VALORI_OK)
		outcome.events++;
	valori_upstream_get_report(upstream, &outcome.report);
	valori_upstream_close(upstream);
	return outcome;
}

static void test_disk(void)
{
	struct outcome outcome;
	uint32_t kind = 9;
	FILE *file;

	write_files(".");
	outcome = read_path("rotated.log", NULL);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 15 && outcome.report.segments == 3,
	      "the old segments beside a log are found");
	outcome = read_path("rotated.log.000001", NULL);
	check(outcome.code == VALORI_END && outcome.report.verdict == VALORI_UPSTREAM_INCOMPLETE,
	      "those beside an old segment are not: it was asked about alone");
	mkdir("away", 0777);
	rename("rotated.log.000000", "away/rotated.log.000000");
	outcome = read_path("rotated.log", NULL);
	check(outcome.report.verdict == VALORI_UPSTREAM_INCOMPLETE, "one that was moved away is missed");
	outcome = read_path("rotated.log", "away");
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 15, "and found in the archive");
	outcome = read_path("rotated.log", "nowhere");
	check(outcome.code == VALORI_NOT_FOUND, "an archive that is not there is said");
	/* A log under another name leaves its segments under this one, and does not find them again. */
	rename("away/rotated.log.000000", "rotated.log.000000");
	rename("rotated.log", "rotated.db");
	outcome = read_path("rotated.db", NULL);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.events == 15,
	      "the segments of a log that is not named so are found, too");
	file = fopen("rotated.log.0000012", "w");
	check(file != NULL && fputs("something else", file) >= 0 && fclose(file) == 0, "a file with such a name");
	outcome = read_path("rotated.db", NULL);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.report.segments == 3, "and other content is left alone");
	link("rotated.db", "rotated.log.0000013");
	outcome = read_path("rotated.db", NULL);
	check(outcome.report.verdict == VALORI_UPSTREAM_INTACT && outcome.report.segments == 3, "and so is what is no older segment");

	check(valori_upstream_recognise("demo.log", &kind, NULL) == VALORI_OK && kind == VALORI_UPSTREAM_LOG, "a log");
	check(valori_upstream_recognise("wal_v1_inserts.wal", &kind, NULL) == VALORI_OK && kind == VALORI_UPSTREAM_WAL, "a WAL");
	check(valori_upstream_recognise("snapshot_v7_multi.bin", &kind, NULL) == VALORI_OK && kind == VALORI_UPSTREAM_SNAPSHOT,
	      "a snapshot");
	check(valori_upstream_recognise("away", &kind, NULL) == VALORI_OK && kind == VALORI_UPSTREAM_NONE, "a directory is none");
	check(valori_upstream_recognise("nowhere", &kind, NULL) == VALORI_NOT_FOUND, "what is not there");
	mkfifo("fifo", 0666);
	check(valori_upstream_recognise("fifo", &kind, NULL) == VALORI_OK && kind == VALORI_UPSTREAM_NONE,
	      "a FIFO is not waited for");
	file = fopen("empty", "w");
	check(file != NULL && fclose(file) == 0 && read_path("empty", NULL).code == VALORI_NOT_OURS, "an empty file is none");
}

static void test_disk_faults(void)
{
	const char *path = "rotated.db";
	uint64_t wrong = 0, calls = 1;

	for (uint64_t at = 1; at <= calls; at++) {
		struct faults faults;
		struct memory memory;
		valori_upstream *upstream = NULL;
		valori_error error;
		valori_code code;

		faults_init(&faults);
		memory_init(&memory, up_env.kernels);
		faults.fail_at = at;
		code = vl_foreign_open(&memory.env, &faults.os, &path, 1, NULL, &upstream, &error);
		valori_upstream_close(upstream);
		if (faults.calls >= at)
			calls = at + 1;
		wrong += code != (faults.calls >= at ? VALORI_IO : VALORI_OK) || faults.open != 0 || memory.blocks != 0;
	}
	check(wrong == 0 && calls > 8, "any of %" PRIu64 " system calls fails: it is said, and all is given back", calls - 1);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return write_files(argv[1]);
	/* Looked for from where the test was started. */
	test_published();
	test_negative();
	scratch_enter();
	check(vl_upstream_crc((const uint8_t *)"123456789", 9) == 0xcbf43926, "CRC-32: the check value");
	test_demo();
	for (size_t i = 0; i < PUBLISHED; i++) {
		test_truncation(i);
		test_flips(i);
	}
	test_blame();
	test_rewritten();
	for (uint32_t version = 2; version <= 4; version++) {
		test_torn(version);
		test_empty_metadata(version);
	}
	test_empty_metadata_wal();
	test_oversized();
	test_double_soft_delete();
	test_order();
	test_encrypted();
	test_graph();
	test_rotated();
	test_old_snapshots();
	test_container();
	test_holes();
	test_misplaced();
	test_old_wal();
	test_messy();
	test_forged();
	test_lengths();
	test_numbers();
	test_more_wals();
	test_memory();
	test_disk();
	test_disk_faults();
	return check_done();
}

/* ---- files for the tests of the tools ---- */

static bool store(const char *directory, const char *name, const struct vl_buf *bytes)
{
	char path[4096];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "wb");
	ok = file != NULL && fwrite(bytes->data, 1, bytes->size, file) == bytes->size;
	return file != NULL && fclose(file) == 0 && ok;
}

/* One of each of its own faults, and of what we cannot take over. */
static bool write_faults(const char *directory)
{
	static const uint32_t order[] = {1, 2, 0, 3};
	static const int32_t small[4] = {1, 2, 3, 4}, huge[4] = {INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN};
	char key[300];
	struct up_file file;
	struct vl_buf event;
	bool ok = true;

	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	vl_buf_init(&event, &up_env);
	for (int what = 0; what < 7; what++) {
		static const char *const names[] = {"reordered.log", "empty_metadata.log", "appended.log", "altered.log",
						    "refused.log",   "range.log",	   "long_key.log"};

		up_begin(&file, 4, 4, 0, NULL);
		for (uint32_t i = 0; i < 4; i++) {
			uint32_t id = what == 0 ? order[i] : what == 4 && i == 2 ? 9 : i;

			up_insert(&event, id, what == 5 && i == 2 ? huge : small, 4, what == 1 && i == 2 ? "" : NULL, 0, id);
			up_event(&file, &event, -1, NULL);
			if (what == 2 && i == 1)
				/* torn, then continued */
				vl_buf_put(&file.bytes, file.bytes.data + file.starts[1], 40);
		}
		if (what == 3) {
			file.bytes.data[file.starts[2] + 44] ^= 2;
			fix_crc(&file, 2);
		}
		if (what == 6) {
			up_meta(&event, key, "value", 5);
			up_event(&file, &event, -1, NULL);
		}
		ok = ok && store(directory, names[what], &file.bytes);
		up_end(&file);
	}
	vl_buf_free(&event);
	return ok;
}

static int write_files(const char *directory)
{
	bool ok = true;
	struct up_file files[3], demo;

	for (size_t i = 0; i < PUBLISHED; i++) {
		struct vl_buf bytes;

		make_published(i, &bytes);
		ok = ok && store(directory, strchr(published[i].path, '/') + 1, &bytes);
		vl_buf_free(&bytes);
	}
	make_rotated(files, true);
	ok = ok && store(directory, "rotated.log.000000", &files[0].bytes) &&
	     store(directory, "rotated.log.000001", &files[1].bytes) && store(directory, "rotated.log", &files[2].bytes);
	for (int i = 0; i < 3; i++)
		up_end(&files[i]);
	up_make_demo(&demo, 2000);
	ok = ok && store(directory, "demo.log", &demo.bytes);
	up_end(&demo);
	make_messy(&demo);
	ok = ok && store(directory, "messy.log", &demo.bytes);
	up_end(&demo);
	return write_faults(directory) && ok ? 0 : 1;
}
