/* test_snapshot.c - snapshot files: written, mapped, verified; damaged, cut, interrupted. */
#include "snapshot.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "cpu.h"
#include "crc32c.h"
#include "faults.h"
#include "index_brute.h"
#include "memory.h"
#include "sample.h"
#include "scratch.h"
#include "snapshot_format.h"

static struct memory memory;

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes read_file(const char *path)
{
	struct bytes bytes = {0};
	struct vl_os_stat stat = {0};
	int fd = vl_os_real.open(NULL, path, VL_OS_READ);

	if (fd < 0)
		return bytes;
	vl_os_real.stat(NULL, fd, &stat);
	bytes.size = (size_t)stat.size;
	bytes.data = malloc(bytes.size + 1);
	if (vl_os_pread_all(&vl_os_real, fd, bytes.data, bytes.size, 0) != (int64_t)bytes.size)
		exit(1);
	vl_os_real.close(NULL, fd);
	return bytes;
}

static void write_bytes(const char *path, const uint8_t *data, size_t size)
{
	int fd = vl_os_real.open(NULL, path, VL_OS_CREATE_ANY);

	if (fd < 0 || vl_os_real.truncate(NULL, fd, 0) != 0 ||
	    vl_os_pwrite_all(&vl_os_real, fd, data, size, 0) != 0)
		exit(1);
	vl_os_real.close(NULL, fd);
}

static bool same_bytes(struct bytes a, struct bytes b)
{
	return a.size > 0 && a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static uint64_t size_of(const char *path)
{
	struct vl_os_stat stat = {0};

	return vl_os_real.stat_path(NULL, path, &stat) == 0 ? stat.size : 0;
}

static valori_code write_sample(const struct sample *sample, const struct vl_os *os, const char *path,
				valori_error *error)
{
	return vl_snapshot_write(sample->env, os, &sample->position, &sample->state, &sample->commitment,
				 &sample->requests, NULL, path, -1, error);
}

static struct bytes bytes_of(const struct sample *sample)
{
	struct bytes bytes;

	if (write_sample(sample, &vl_os_real, "bytes.val", NULL) != VALORI_OK)
		return (struct bytes){0};
	bytes = read_file("bytes.val");
	unlink("bytes.val");
	return bytes;
}

/* The sample as a process has it that finds the snapshot: state and position come from the file. */
static valori_code sample_load(struct sample *sample, const struct vl_snapshot *snapshot, uint64_t seed,
			       valori_error *error)
{
	sample_init(sample, &memory.env, vl_snapshot_position(snapshot)->dim, seed);
	sample->position = *vl_snapshot_position(snapshot);
	return vl_snapshot_attach(snapshot, &sample->state, &sample->commitment, &sample->requests, error);
}

/* A snapshot that lies in memory. Not to be closed. */
static valori_code open_bytes(struct vl_snapshot *snapshot, struct bytes bytes, valori_error *error)
{
	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->env = &memory.env;
	snapshot->os = &vl_os_real;
	snapshot->path = "memory";
	snapshot->data = bytes.data;
	if (bytes.size < VL_SNAPSHOT_HEADER) {
		uint8_t header[VL_SNAPSHOT_HEADER] = {0};

		memcpy(header, bytes.data, bytes.size);
		return vl_snapshot_head_decode(header, bytes.size, "memory", memory.env.kernels,
					       &snapshot->head, error);
	}
	return vl_snapshot_head_decode(bytes.data, bytes.size, "memory", memory.env.kernels, &snapshot->head,
				       error);
}

/* ---- what is written is read ---- */

/* A segment header says all that is in a position. */
static bool same_position(const struct vl_position *a, const struct vl_position *b)
{
	uint8_t headers[2][VL_SEGMENT_HEADER];

	vl_segment_header_encode(a, memory.env.kernels, headers[0]);
	vl_segment_header_encode(b, memory.env.kernels, headers[1]);
	return memcmp(headers[0], headers[1], VL_SEGMENT_HEADER) == 0;
}

static uint64_t count_differences(const struct vl_state *a, const struct vl_state *b)
{
	uint64_t differences = 0;

	for (unsigned list = 0; list < VL_LISTS; list++)
		differences += vl_state_slots(a, (enum vl_list)list) != vl_state_slots(b, (enum vl_list)list);
	for (uint64_t id = 0; differences == 0 && id < vl_state_slots(a, VL_RECORDS); id++) {
		struct vl_record of_a, of_b;

		differences += !vl_record_get(a, id, &of_a) || !vl_record_get(b, id, &of_b);
		differences += of_a.tag != of_b.tag || of_a.status != of_b.status || of_a.node != of_b.node ||
			       of_a.key_size != of_b.key_size || of_a.metadata_size != of_b.metadata_size ||
			       of_a.visible != of_b.visible || of_a.collection != of_b.collection;
		if (differences > 0)
			break;
		differences += of_a.key_size > 0 && memcmp(of_a.key, of_b.key, of_a.key_size) != 0;
		if (of_a.metadata_size != VL_ABSENT)
			differences += memcmp(of_a.metadata, of_b.metadata, of_a.metadata_size) != 0;
		differences += (of_a.vector_salt == NULL) != (of_b.vector_salt == NULL);
		if (of_a.status != VALORI_DELETED)
			differences += memcmp(vl_state_vector(a, id), vl_state_vector(b, id),
					      (size_t)4 * a->dim) != 0;
	}
	return differences;
}

static void test_round_trip(void)
{
	struct sample sample, loaded;
	struct vl_snapshot *snapshot;
	valori_snapshot_info info;
	valori_error error = {0};
	uint8_t root[32];

	sample_init(&sample, &memory.env, 5, 1);
	sample_grow(&sample, 60, 25);
	printf("# deleted %u tombstones %u edges %u meta %u collections %u requests %u\n",
	       (unsigned)sample.state.totals.record_deleted, (unsigned)sample.state.totals.record_tombstones,
	       (unsigned)sample.state.totals.edge_live, (unsigned)sample.state.totals.meta_live,
	       (unsigned)sample.state.collections.count, (unsigned)sample.requests.total);
	check(sample.state.totals.record_deleted > 0 && sample.state.totals.record_tombstones > 0 &&
		      sample.state.totals.edge_live > 0 && sample.state.totals.meta_live > 0 &&
		      sample.state.collections.count > 2 && sample.requests.total > 50,
	      "the sample has something of everything");
	check_u64(write_sample(&sample, &vl_os_real, "a.val", &error), VALORI_OK, "a snapshot is written");
	check(!exists("a.val.new"), "the temporary file is gone");
	check_u64(vl_snapshot_open(&memory.env, &vl_os_real, "a.val", &snapshot, &error), VALORI_OK,
		  "it opens");
	if (snapshot == NULL)
		return;
	check_u64(vl_snapshot_verify(snapshot, &error), VALORI_OK, "it verifies");
	if (error.code != 0)
		printf("# %s\n", error.message);
	vl_snapshot_describe(snapshot, &info);
	check(info.height == sample.position.height && info.commits == sample.position.frontier.size &&
		      info.dim == 5 && info.record_slots == sample.state.records.records.count &&
		      info.record_live == sample.state.totals.record_live &&
		      memcmp(info.state_root.bytes, sample.position.state_root, 32) == 0,
	      "it says what it holds");
	check(same_position(vl_snapshot_position(snapshot), &sample.position),
	      "its position is the one that was given");
	check_u64(sample_load(&loaded, snapshot, 1, &error), VALORI_OK, "a state starts with it");
	check_u64(count_differences(&sample.state, &loaded.state), 0,
		  "the state that starts with it reads the same");
	check(vl_state_root(&loaded.state, true, root, NULL) == VALORI_OK &&
		      memcmp(root, sample.position.state_root, 32) == 0,
	      "the state that starts with it has the same root");
	sample_free(&loaded);
	vl_snapshot_close(snapshot);
	sample_free(&sample);
	check(memory.blocks == 0, "all memory is given back");
}

static void test_empty(void)
{
	struct sample sample;
	struct vl_snapshot *snapshot;

	sample_init(&sample, &memory.env, 3, 2);
	check_u64(write_sample(&sample, &vl_os_real, "empty.val", NULL), VALORI_OK,
		  "the empty state is written");
	check(vl_snapshot_open(&memory.env, &vl_os_real, "empty.val", &snapshot, NULL) == VALORI_OK &&
		      vl_snapshot_verify(snapshot, NULL) == VALORI_OK,
	      "the empty state verifies");
	vl_snapshot_close(snapshot);
	sample_free(&sample);
}

/* ---- the same bytes by any way ---- */

static void test_canonical(void)
{
	struct sample straight, detours, loaded;
	struct bytes first, second, third, further, loaded_further;
	struct vl_snapshot snapshot;

	sample_init(&straight, &memory.env, 4, 7);
	sample_init(&detours, &memory.env, 4, 7);
	sample_grow(&straight, 40, 20);
	for (int i = 0; i < 40; i++) {
		uint64_t seed = detours.seed, refused = detours.refused;
		struct vl_position position = detours.position;

		/* A commit that is taken back first. What fails in it would have been grown by sample_grow's
		 * own bracket, so by hand: */
		sample_begin(&detours);
		for (int n = 0; n < 10; n++) {
			static const uint8_t vector[16] = {1, 2}, text[100] = "would move all blobs behind it";
			struct vl_event event = {
				.type = VALORI_EVENT_INSERT, .vector = vector, .metadata_size = 100};

			event.metadata = text;
			event.id = vl_state_slots(&detours.state, VL_RECORDS);
			sample_apply(&detours, &event);
			event = (struct vl_event){
				.type = VALORI_EVENT_DELETE, .metadata_size = VL_ABSENT, .id = (uint64_t)n};
			sample_apply(&detours, &event);
		}
		sample_abort(&detours);
		detours.seed = seed;
		detours.refused = refused;
		detours.position = position;
		sample_grow(&detours, 1, 20);
	}
	first = bytes_of(&straight);
	second = bytes_of(&detours);
	check(same_bytes(first, second),
	      "a state that took commits back writes the bytes of one that never made them");
	check(open_bytes(&snapshot, first, NULL) == VALORI_OK &&
		      sample_load(&loaded, &snapshot, 0, NULL) == VALORI_OK,
	      "the bytes are a snapshot");
	third = bytes_of(&loaded);
	check(same_bytes(first, third), "a state that was loaded writes the bytes it was loaded from");
	loaded.seed = straight.seed;
	sample_grow(&straight, 30, 20);
	sample_grow(&loaded, 30, 20);
	further = bytes_of(&straight);
	loaded_further = bytes_of(&loaded);
	check(same_bytes(further, loaded_further),
	      "loaded, then grown, it writes the same as one that lived through it all");
	sample_free(&loaded);
	sample_free(&detours);
	sample_free(&straight);
	free(first.data);
	free(second.data);
	free(third.data);
	free(further.data);
	free(loaded_further.data);
}

static void test_frozen(void)
{
	struct sample sample, frozen;
	struct bytes before, after;
	uint64_t version;

	sample_init(&sample, &memory.env, 4, 9);
	sample_grow(&sample, 30, 20);
	before = bytes_of(&sample);
	version = vl_pool_freeze(sample.pool);
	frozen = sample;
	sample_grow(&sample, 30, 20);
	after = bytes_of(&frozen);
	check(same_bytes(before, after), "a frozen version is written while the writer goes on");
	vl_pool_release(sample.pool, version);
	sample_free(&sample);
	free(before.data);
	free(after.data);
}

/* ---- streams ---- */

static void test_stream(void)
{
	struct sample sample;
	struct bytes file, stream, received;
	valori_error error;
	int fd;

	sample_init(&sample, &memory.env, 4, 11);
	sample_grow(&sample, 20, 20);
	file = bytes_of(&sample);
	fd = open("stream.val", O_CREAT | O_TRUNC | O_RDWR, 0600);
	check_u64(vl_snapshot_write(&memory.env, &vl_os_real, &sample.position, &sample.state,
				    &sample.commitment, &sample.requests, NULL, NULL, fd, NULL),
		  VALORI_OK, "a stream is written");
	close(fd);
	stream = read_file("stream.val");
	check(same_bytes(file, stream), "a stream is the file, byte for byte");
	fd = open("stream.val", O_RDONLY);
	check_u64(vl_snapshot_receive(&memory.env, &vl_os_real, fd, "stdin", "received.val", NULL), VALORI_OK,
		  "it is received");
	close(fd);
	received = read_file("received.val");
	check(same_bytes(file, received), "what is received is the file");
	free(received.data);
	unlink("received.val");

	write_bytes("stream.val", stream.data, stream.size - 1);
	fd = open("stream.val", O_RDONLY);
	check_u64(vl_snapshot_receive(&memory.env, &vl_os_real, fd, "stdin", "received.val", &error),
		  VALORI_DAMAGED, "a stream that is cut short is refused");
	check(!exists("received.val") && error.offset == stream.size - 1,
	      "with the offset, and nothing is left");
	close(fd);
	stream.data[stream.size] = 0;
	write_bytes("stream.val", stream.data, stream.size + 1);
	fd = open("stream.val", O_RDONLY);
	check_u64(vl_snapshot_receive(&memory.env, &vl_os_real, fd, "stdin", "received.val", NULL),
		  VALORI_DAMAGED, "a stream with a byte behind its end is refused");
	close(fd);
	check_u64(write_sample(&sample, &vl_os_real, "/dev/full", &error), VALORI_IO,
		  "a device gets the stream: full is an error");
	check(error.system_errno == ENOSPC && exists("/dev/full"),
	      "with its errno, and the device is still there");
	sample_free(&sample);
	free(file.data);
	free(stream.data);
}

static struct bytes small_snapshot(uint64_t seed, unsigned commits)
{
	struct sample sample;
	struct bytes bytes;

	sample_init(&sample, &memory.env, 4, seed);
	sample_grow(&sample, commits, 15);
	bytes = bytes_of(&sample);
	sample_free(&sample);
	return bytes;
}

static void test_open_stream(void)
{
	struct bytes bytes = small_snapshot(26, 6);
	struct vl_snapshot *snapshot;
	unsigned wrong = 0;
	valori_error error;
	int fd;

	write_bytes("stream.val", bytes.data, bytes.size);
	for (size_t prefix = 0; prefix <= 8; prefix += 4) {
		fd = open("stream.val", O_RDONLY);
		lseek(fd, (off_t)prefix, SEEK_SET);
		wrong += vl_snapshot_open_stream(&memory.env, &vl_os_real, fd, "stdin", bytes.data, prefix,
						 &snapshot, NULL) != VALORI_OK ||
			 vl_snapshot_verify(snapshot, NULL) != VALORI_OK;
		vl_snapshot_close(snapshot);
		close(fd);
	}
	check_u64(wrong, 0, "a stream is opened in memory, whoever has read its first bytes");
	for (size_t size = 0; size < bytes.size; size += size < 9000 ? 512 : 8192) {
		write_bytes("stream.val", bytes.data, size);
		fd = open("stream.val", O_RDONLY);
		wrong += vl_snapshot_open_stream(&memory.env, &vl_os_real, fd, "stdin", NULL, 0, &snapshot,
						 &error) != (size < 8 ? VALORI_NOT_OURS : VALORI_DAMAGED);
		close(fd);
	}
	check_u64(wrong, 0, "one that is cut short is refused");
	bytes.data = realloc(bytes.data, bytes.size + 1);
	bytes.data[bytes.size] = 0;
	write_bytes("stream.val", bytes.data, bytes.size + 1);
	fd = open("stream.val", O_RDONLY);
	check_u64(vl_snapshot_open_stream(&memory.env, &vl_os_real, fd, "stdin", NULL, 0, &snapshot, &error),
		  VALORI_DAMAGED, "one with a byte behind its end, too");
	close(fd);
	free(bytes.data);
}

/* ---- damage ---- */

/* What a program does with a state that it has opened: nothing of it may crash or hang, whatever the answers.
 */
static void use_state(struct sample *sample)
{
	struct vl_state *state = &sample->state;
	static const uint8_t none[32];
	const struct vl_filter filter = {0};
	valori_hit hits[10];
	size_t count = 0;

	for (uint64_t id = 0; id < vl_state_slots(state, VL_RECORDS); id++) {
		struct vl_record record;
		uint64_t cursor = VALORI_NONE;

		if (!vl_record_get(state, id, &record) || record.key_size == 0)
			continue;
		uint8_t k[32] = {record.key[0], record.key[record.key_size - 1]};
		vl_record_find(state, record.collection, record.key, record.key_size, k);
		while (vl_record_node_next(state, id, &cursor))
			;
	}
	for (uint64_t id = 0; id < vl_state_slots(state, VL_NODES); id++) {
		struct vl_node node;
		struct vl_edge edge;
		uint64_t cursor = VALORI_NONE;

		vl_node_get(state, id, &node);
		while (vl_edge_next(state, id, id % 2, &cursor, &edge))
			;
	}
	for (uint64_t id = 0; id < vl_state_slots(state, VL_META); id++) {
		const uint8_t *key, *value;
		size_t key_size, value_size;

		if (vl_meta_get(state, id, &key, &key_size, &value, &value_size) && key_size > 0)
			vl_meta_find(state, key, key_size, value_size > 32 ? value : none);
	}
	for (uint64_t id = 0; id < vl_state_slots(state, VL_COLLECTIONS); id++) {
		const uint8_t *name;
		size_t name_size;
		bool live;

		if (vl_collection_get(state, id, &name, &name_size, &live))
			vl_collection_find(state, name, name_size);
	}
	(void)vl_brute_search(state, none, 1, 10, &filter, 0, vl_state_slots(state, VL_RECORDS), hits, &count,
			      NULL);
	sample->seed = 77;
	sample_grow(sample, 3, 15);
}

static void reseal(struct bytes bytes)
{
	uint8_t *table = bytes.data + 4096;

	for (unsigned at = 0; at < VL_PARTS || vl_get32(table + at * 64) == VL_KIND_KEPT; at++)
		vl_blake3(memory.env.kernels, VL_HASH_PLAIN, bytes.data + vl_get64(table + at * 64 + 8),
			  (size_t)vl_get64(table + at * 64 + 16), table + at * 64 + 32);
	vl_blake3(memory.env.kernels, VL_HASH_PLAIN, table, 4096, bytes.data + 4060);
	vl_put32(bytes.data + 4092, vl_crc32c(memory.env.kernels, 0, bytes.data, 4092));
}

static void test_truncated(void)
{
	struct bytes bytes = small_snapshot(21, 6);
	struct vl_snapshot *snapshot;
	uint64_t accepted = 0;

	for (size_t size = 0; size < bytes.size; size++) {
		struct vl_snapshot opened;

		accepted += open_bytes(&opened, (struct bytes){bytes.data, size}, NULL) == VALORI_OK;
	}
	check_u64(accepted, 0, "no length but the whole is accepted");
	write_bytes("cut.val", bytes.data, bytes.size);
	for (size_t size = bytes.size - 1; size > 0 && size < bytes.size; size -= size < 9000 ? 61 : 4096) {
		valori_code code;

		if (truncate("cut.val", (off_t)size) != 0)
			exit(1);
		code = vl_snapshot_open(&memory.env, &vl_os_real, "cut.val", &snapshot, NULL);
		accepted += code != (size < 8 ? VALORI_NOT_OURS : VALORI_DAMAGED);
	}
	check_u64(accepted, 0, "cut files are damaged, or no snapshots when nothing is left of them");
	check_u64(vl_snapshot_open(&memory.env, &vl_os_real, "none.val", &snapshot, NULL), VALORI_NOT_FOUND,
		  "no file: not found");
	check_u64(vl_snapshot_open(&memory.env, &vl_os_real, ".", &snapshot, NULL), VALORI_NOT_OURS,
		  "a directory: not a snapshot");
	write_bytes("text.val", (const uint8_t *)"some other text", 15);
	check_u64(vl_snapshot_open(&memory.env, &vl_os_real, "text.val", &snapshot, NULL), VALORI_NOT_OURS,
		  "some other file: not a snapshot");
	free(bytes.data);
}

static void test_flips(void)
{
	struct bytes bytes = small_snapshot(22, 6);
	uint64_t silent = 0, newer = 0, seed = 5;
	valori_error error;

	for (size_t bit = 0; bit < (size_t)VL_SNAPSHOT_HEADER * 8; bit++) {
		struct vl_snapshot opened;
		valori_code code;

		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		code = open_bytes(&opened, bytes, NULL);
		silent += code == VALORI_OK;
		newer += code == VALORI_NEWER;
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	check_u64(silent, 0, "every flipped bit of header and section table is found when opening");
	check_u64(newer, 0, "none of them is taken for a newer format");
	for (size_t byte = VL_SNAPSHOT_HEADER; byte < bytes.size; byte += check_long() ? 1 : 7) {
		uint8_t bit = (uint8_t)(1u << check_random(&seed) % 8);
		struct vl_snapshot opened;

		bytes.data[byte] ^= bit;
		if (open_bytes(&opened, bytes, NULL) != VALORI_OK ||
		    vl_snapshot_check_bytes(&opened, &error) != VALORI_DAMAGED)
			silent++;
		else
			silent += error.offset > byte || error.offset < VL_SNAPSHOT_HEADER;
		bytes.data[byte] ^= bit;
	}
	check_u64(silent, 0,
		  "every flipped bit of the sections, and between them, is found, and its section named");
	free(bytes.data);
}

/* Bits that a forger flips, who knows how to compute digests. */
static void test_forged(void)
{
	struct bytes bytes = small_snapshot(23, 12);
	unsigned rounds = check_long() ? 100000 : 2500, silent = 0, refused = 0;
	uint64_t seed = 6;

	for (unsigned round = 0; round < rounds; round++) {
		struct vl_snapshot opened;
		struct sample loaded;
		size_t byte;
		uint8_t bit = (uint8_t)(1u << check_random(&seed) % 8);
		valori_error error = {0};
		const uint8_t *entry;

		do { /* padding is not worth much time */
			entry = bytes.data + 4096 + check_random(&seed) % VL_PARTS * 64;
		} while (vl_get64(entry + 16) == 0);
		byte = (size_t)(vl_get64(entry + 8) + check_random(&seed) % vl_get64(entry + 16));
		/* What a request did is said by nothing else in a snapshot. */
		if (vl_get32(entry) == VL_KIND_REQUESTS &&
		    (byte - vl_get64(entry + 8)) % VL_REQUEST_ENTRY_SIZE >= 16 &&
		    (byte - vl_get64(entry + 8)) % VL_REQUEST_ENTRY_SIZE < 64)
			continue;
		bytes.data[byte] ^= bit;
		reseal(bytes);
		if (open_bytes(&opened, bytes, NULL) != VALORI_OK) {
			silent++;
			printf("# a change of section bytes must not matter to open\n");
		} else {
			valori_code code = vl_snapshot_verify(&opened, &error);

			if (code != VALORI_DAMAGED) {
				silent++;
				printf("# section %u, byte %zu of its element, bit %02x: %d %s\n",
				       vl_get32(entry),
				       (size_t)(byte - vl_get64(entry + 8)) % vl_get32(entry + 4), bit,
				       (int)code, error.message);
			}
			if (sample_load(&loaded, &opened, 3, NULL) == VALORI_OK)
				use_state(&loaded);
			else
				refused++;
			sample_free(&loaded);
		}
		bytes.data[byte] ^= bit;
	}
	check_u64(silent, 0, "a forged bit is found, though all digests are right");
	check(refused > 0 && refused < rounds, "what opens in spite of damage can be used without harm");
	free(bytes.data);
}

/* Whole fields of nonsense: links, places, sizes. */
static void test_garbage(void)
{
	struct bytes bytes = small_snapshot(24, 12), damaged = {malloc(bytes.size), bytes.size};
	uint64_t seed = 8, used = 0;

	for (int round = 0; round < (check_long() ? 20000 : 600); round++) {
		struct vl_snapshot opened;
		struct sample loaded;

		memcpy(damaged.data, bytes.data, bytes.size);
		for (int i = 0; i < 1 + round % 8; i++) {
			const uint8_t *entry =
				bytes.data + 4096 + check_random(&seed) % (VL_SECTIONS_END - 1) * 64;
			uint64_t size = vl_get64(entry + 16);

			if (size < 8)
				continue;
			vl_put32(damaged.data + vl_get64(entry + 8) + check_random(&seed) % (size / 4) * 4,
				 (uint32_t)(check_random(&seed) % (round % 2 ? 60 : UINT64_C(1) << 32)));
		}
		if (open_bytes(&opened, damaged, NULL) == VALORI_OK &&
		    sample_load(&loaded, &opened, 3, NULL) == VALORI_OK) {
			used++;
			use_state(&loaded);
		}
		sample_free(&loaded);
		reseal(damaged);
		if (open_bytes(&opened, damaged, NULL) == VALORI_OK)
			vl_snapshot_verify(&opened, NULL);
	}
	check(used > 100, "a state full of nonsense can be used without harm");
	free(damaged.data);
	free(bytes.data);
}

/* ---- other versions ---- */

static valori_code open_patched(struct bytes bytes, size_t at, uint32_t value)
{
	struct vl_snapshot opened;
	uint32_t old = vl_get32(bytes.data + at);
	valori_code code;

	vl_put32(bytes.data + at, value);
	reseal(bytes);
	code = open_bytes(&opened, bytes, NULL);
	vl_put32(bytes.data + at, old);
	reseal(bytes);
	return code;
}

static void test_versions(void)
{
	struct bytes bytes = small_snapshot(25, 3), more = {malloc(bytes.size + 4096), bytes.size + 4096};
	struct vl_snapshot opened;
	uint8_t *entry = more.data + 4096 + (size_t)VL_PARTS * 64;

	check_u64(open_patched(bytes, 8, 3), VALORI_NEWER, "a later version is newer");
	check_u64(open_patched(bytes, 8, 2), VALORI_DAMAGED, "a packed one without its section is damage");
	check_u64(open_patched(bytes, 8, 0), VALORI_DAMAGED, "version 0 is damage");
	check_u64(open_patched(bytes, 16, 2), VALORI_NEWER, "another arithmetic is newer");
	check_u64(open_patched(bytes, 12, 0), VALORI_DAMAGED, "dimension 0 is damage");
	check_u64(open_patched(bytes, 12, 5), VALORI_DAMAGED,
		  "a dimension that does not fit the vectors is damage");
	memcpy(more.data, bytes.data, bytes.size);
	memset(more.data + bytes.size, 0, 4096);
	vl_put32(entry + 4, 1);
	vl_put64(entry + 8, bytes.size);
	vl_put64(entry + 16, 100);
	vl_put64(entry + 24, 100);
	vl_put32(more.data + 28, VL_PARTS + 1);
	vl_put64(more.data + 200, more.size);
	vl_blake3(memory.env.kernels, VL_HASH_PLAIN, more.data + bytes.size, 100, entry + 32);
	vl_put32(entry, 50);
	reseal(more);
	check_u64(open_bytes(&opened, more, NULL), VALORI_NEWER, "a section of unknown kind is newer");
	vl_put32(entry, 0x9001);
	reseal(more);
	check_u64(open_bytes(&opened, more, NULL), VALORI_OK, "a derived section of unknown kind is skipped");
	check_u64(vl_snapshot_verify(&opened, NULL), VALORI_OK,
		  "and does not keep the rest from being verified");
	more.data[bytes.size] ^= 1;
	check_u64(vl_snapshot_verify(&opened, NULL), VALORI_DAMAGED, "its own digest is looked at");
	free(more.data);
	free(bytes.data);
}

/* ---- packed: what is deleted takes no room ---- */

/* Deletes records first, first + step, ... and leaves those that are gone already. */
static void delete_some(struct sample *sample, uint64_t first, uint64_t step)
{
	sample_begin(sample);
	for (uint64_t id = first; id < vl_state_slots(&sample->state, VL_RECORDS); id += step) {
		struct vl_event event = {.type = VALORI_EVENT_DELETE, .metadata_size = VL_ABSENT, .id = id};

		sample_apply(sample, &event);
	}
	sample_commit(sample);
}

/* Something of everything, then 13,000 records more, of which two in three go. */
static void half_empty(struct sample *sample)
{
	sample_init(sample, &memory.env, 4, 41);
	sample_grow(sample, 60, 25);
	sample_insert(sample, 13000);
	if (sample->state.records.records.count % 2 == 0)
		sample_insert(sample, 1);
	/* The last one, too: it shares a pair of the tree with the next one that comes. */
	delete_some(sample, sample->state.records.records.count - 1, 1);
	delete_some(sample, 0, 3);
	delete_some(sample, 1, 3);
}

/* The same state as a version wrote it that did not pack. */
static struct bytes plain_bytes(const struct sample *sample, struct bytes packed)
{
	static struct vl_canon canon;
	struct vl_snapshot opened;
	struct vl_snapshot_head *head = &opened.head;
	struct bytes bytes = {NULL, 0};
	size_t done[VL_PARTS_MAX] = {0}, size;
	enum vl_section section;
	const uint8_t *data;

	if (open_bytes(&opened, packed, NULL) != VALORI_OK)
		return bytes;
	head->version = VL_SNAPSHOT_PLAIN;
	for (unsigned at = 0; at < 4; at++)
		head->parts[at].count = head->slots;
	head->parts[VL_PART_TREES].count = vl_snapshot_tree_size(head->slots);
	if (vl_snapshot_plan(head, NULL, NULL) != VALORI_OK)
		return bytes;
	bytes = (struct bytes){calloc(1, (size_t)head->file_size), (size_t)head->file_size};
	vl_canon_init(&canon, &sample->state);
	while (vl_canon_next(&canon, &section, &data, &size)) {
		memcpy(bytes.data + head->parts[section - 1].offset + done[section - 1], data, size);
		done[section - 1] += size;
	}
	for (unsigned list = 0; list < VL_LISTS; list++)
		for (unsigned level = 0; level < vl_tree_levels(&sample->commitment.trees[list]); level++)
			for (uint64_t i = 0; i < sample->commitment.trees[list].level[level].count; i++) {
				memcpy(bytes.data + head->parts[VL_PART_TREES + list].offset +
					       done[VL_PART_TREES + list],
				       vl_array_get(&sample->commitment.trees[list].level[level], i), VL_HASH_SIZE);
				done[VL_PART_TREES + list] += VL_HASH_SIZE;
			}
	for (unsigned at = VL_PART_REQUESTS; at < VL_PARTS; at++)
		memcpy(bytes.data + head->parts[at].offset, packed.data + vl_get64(packed.data + 4096 + 64 * at + 8),
		       (size_t)head->parts[at].size);
	for (unsigned at = 0; at < VL_PARTS; at++)
		vl_blake3(memory.env.kernels, VL_HASH_PLAIN, bytes.data + head->parts[at].offset,
			  (size_t)head->parts[at].size, head->parts[at].digest);
	vl_snapshot_head_encode(head, memory.env.kernels, bytes.data);
	return bytes;
}

/* Loads bytes, grows as the sample does, and compares. */
static void check_goes_on(struct sample *sample, struct bytes bytes, bool is_packed, const char *what)
{
	struct vl_snapshot snapshot;
	struct sample loaded;
	struct bytes lived, written;
	valori_error error = {0};
	uint8_t root[32];
	uint64_t differences = 0;

	if (open_bytes(&snapshot, bytes, &error) != VALORI_OK || vl_snapshot_verify(&snapshot, &error) != VALORI_OK ||
	    sample_load(&loaded, &snapshot, 0, &error) != VALORI_OK) {
		printf("# %s\n", error.message);
		check(false, "%s", what);
		return;
	}
	written = bytes_of(&loaded);
	lived = bytes_of(sample);
	differences += !same_bytes(written, lived) + count_differences(&sample->state, &loaded.state);
	free(written.data);
	free(lived.data);
	loaded.seed = sample->seed;
	loaded.refused = sample->refused;
	for (unsigned round = 0; round < 2; round++) {
		struct sample *of = round == 0 ? sample : &loaded;

		sample_insert(of, is_packed ? 10 : 80000);
		delete_some(of, 2, 301);
		sample_grow(of, 30, 20);
		delete_some(of, 5, 1000);
	}
	differences += vl_state_root(&loaded.state, true, root, NULL) != VALORI_OK ||
		       memcmp(root, loaded.position.state_root, 32) != 0;
	lived = bytes_of(sample);
	written = bytes_of(&loaded);
	differences += !same_bytes(lived, written) + !same_position(&sample->position, &loaded.position);
	differences += open_bytes(&snapshot, written, &error) != VALORI_OK ||
		       vl_is_packed(&snapshot.head) != is_packed || vl_snapshot_verify(&snapshot, &error) != VALORI_OK;
	check_u64(differences, 0, what);
	sample_free(&loaded);
	free(lived.data);
	free(written.data);
}

static void test_packed(void)
{
	struct sample sample;
	struct bytes bytes, plain;
	struct vl_snapshot snapshot;
	valori_snapshot_info info;
	uint64_t silent = 0, kept = 0, seed = 9;

	half_empty(&sample);
	bytes = bytes_of(&sample);
	plain = plain_bytes(&sample, bytes);
	check(open_bytes(&snapshot, bytes, NULL) == VALORI_OK && vl_is_packed(&snapshot.head),
	      "the snapshot of a store half of which is deleted is packed");
	vl_snapshot_describe(&snapshot, &info);
	for (uint64_t id = 0; id < info.record_slots; id++)
		kept += vl_state_is_kept(&sample.state, id);
	check(info.version == 2 && info.record_slots == sample.state.records.records.count &&
		      snapshot.head.parts[0].count == kept + 1 && kept > info.record_live &&
		      kept < info.record_slots / 2,
	      "and holds those that are kept, and one for all others");
	check_goes_on(&sample, bytes, true, "loaded, then grown, it is the state that lived through it all");
	sample_free(&sample);
	half_empty(&sample);
	check_goes_on(&sample, bytes, false, "also when it has grown so much that it is packed no longer");
	sample_free(&sample);
	half_empty(&sample);
	check_u64(plain.size > bytes.size, 1, "it is smaller than unpacked");
	check_goes_on(&sample, plain, true, "one that an older version did not pack is as good");
	sample_free(&sample);
	/* As in test_forged, with the sections that are packed. */
	for (unsigned round = 0; round < (check_long() ? 4000u : 200u); round++) {
		static const uint8_t packed[] = {0, 1, 2, 3, VL_PART_TREES, VL_PART_KEPT};
		const struct vl_part *part = &snapshot.head.parts[packed[check_random(&seed) % sizeof(packed)]];
		/* Half of the time the element that stands for others, or the first words. */
		uint64_t range = check_random(&seed) % 2 ? part->size : part->elem_size;
		size_t byte = (size_t)(part->offset + check_random(&seed) % range);
		uint8_t bit = (uint8_t)(1u << check_random(&seed) % 8);
		struct vl_snapshot opened;
		struct sample loaded;

		bytes.data[byte] ^= bit;
		reseal(bytes);
		silent += open_bytes(&opened, bytes, NULL) != VALORI_OK;
		if (vl_snapshot_verify(&opened, NULL) != VALORI_DAMAGED) {
			silent++;
			printf("# section %u, offset %zu, bit %02x\n", (unsigned)part->kind,
			       byte - (size_t)part->offset, bit);
		}
		if (sample_load(&loaded, &opened, 3, NULL) == VALORI_OK)
			use_state(&loaded);
		sample_free(&loaded);
		bytes.data[byte] ^= bit;
	}
	check_u64(silent, 0, "a forged bit in what is packed is found, and does no harm");
	free(bytes.data);
	free(plain.data);
}

/* ---- the machine fails ---- */

static void test_faults(void)
{
	struct sample sample, other;
	struct bytes old, new, found;
	unsigned torn = 0, lied = 0, left = 0, leaks = 0, failures = 0, stuck = 0;

	sample_init(&sample, &memory.env, 4, 31);
	sample_init(&other, &memory.env, 4, 32);
	sample_grow(&sample, 10, 20);
	sample_grow(&other, 10, 20);
	old = bytes_of(&other);
	new = bytes_of(&sample);
	for (int crash = 0; crash < 2; crash++) {
		for (uint64_t at = 1;; at++) {
			struct faults faults;
			valori_error error = {0};
			valori_code code;
			int64_t blocks = memory.blocks;

			write_bytes("f.val", old.data, old.size);
			faults_init(&faults);
			faults.fail_at = at;
			faults.crash = crash;
			faults.error = at % 2 ? EIO : ENOSPC;
			code = write_sample(&sample, &faults.os, "f.val", &error);
			found = read_file("f.val");
			torn += !same_bytes(found, old) && !same_bytes(found, new);
			lied += code == VALORI_OK && !same_bytes(found, new);
			lied += code == VALORI_IO && error.system_errno != faults.error;
			/* An empty file may be left where locking fails: it might be somebody else's. */
			left += !crash && code != VALORI_OK && size_of("f.val.new") > 0;
			leaks += faults.open != 0 || memory.blocks != blocks;
			failures += code != VALORI_OK;
			free(found.data);
			if (faults.calls < at)
				break;
			stuck += write_sample(&sample, &vl_os_real, "f.val", NULL) != VALORI_OK;
		}
	}
	check(failures > 20, "calls fail");
	check_u64(torn, 0, "whichever call fails: the old file, or the new one, and no third");
	check_u64(lied, 0, "success is said when the new one is there, and failures have their errno");
	check_u64(left, 0, "no temporary file is left, unless by a crash");
	check_u64(leaks, 0, "no descriptor and no memory is lost");
	check_u64(stuck, 0, "the next snapshot succeeds");
	for (uint64_t at = 1;; at++) {
		int64_t blocks = memory.blocks;
		valori_code code;

		memory.fail_at = memory.calls + at;
		code = write_sample(&sample, &vl_os_real, "m.val", NULL);
		memory.fail_at = 0;
		leaks += memory.blocks != blocks || (code != VALORI_OK && code != VALORI_NO_MEMORY);
		leaks += code != VALORI_OK && exists("m.val");
		if (code == VALORI_OK)
			break;
	}
	check_u64(leaks, 0, "out of memory at any point: no file, no leak");
	unlink("m.val");
	sample_free(&sample);
	sample_free(&other);
	free(old.data);
	free(new.data);
}

static uint64_t lie_at;

/* Writes a wrong byte, and says that all is well. */
static int64_t lying_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	int64_t count = vl_os_real.pwrite(context, fd, data, size, offset);
	uint8_t wrong;

	if (lie_at >= offset && lie_at < offset + size) {
		wrong = ((const uint8_t *)data)[lie_at - offset] ^ 4;
		vl_os_real.pwrite(context, fd, &wrong, 1, lie_at);
	}
	return count;
}

static void test_lying_disk(void)
{
	struct sample sample;
	struct vl_os os = vl_os_real;
	unsigned wrong = 0;

	sample_init(&sample, &memory.env, 4, 33);
	sample_grow(&sample, 10, 20);
	os.pwrite = lying_pwrite;
	for (lie_at = 40; lie_at < 60000; lie_at += 3111) {
		valori_error error;

		wrong += write_sample(&sample, &os, "lie.val", &error) != VALORI_DAMAGED;
		wrong += exists("lie.val") || exists("lie.val.new");
	}
	check_u64(wrong, 0, "what is not read back as it was written gets no name");
	sample_free(&sample);
}

static void test_other_writer(void)
{
	struct sample sample;
	int fd = vl_os_real.open(NULL, "o.val.new", VL_OS_CREATE_ANY);

	sample_init(&sample, &memory.env, 4, 41);
	check(fd >= 0 && vl_os_real.lock(NULL, fd, 0) == 0, "somebody else writes the file");
	check_u64(write_sample(&sample, &vl_os_real, "o.val", NULL), VALORI_LOCKED,
		  "two cannot write one snapshot at once");
	vl_os_real.close(NULL, fd);
	check_u64(write_sample(&sample, &vl_os_real, "o.val", NULL), VALORI_OK,
		  "what an interrupted one left is used up");
	sample_free(&sample);
}

static void test_without_vectors(void)
{
	struct bytes bytes = small_snapshot(51, 5);
	struct vl_snapshot snapshot;
	struct sample blind;

	sample_init(&blind, &memory.env, 4, 1);
	sample_free(&blind);
	if (vl_pool_new(&memory.env, &blind.pool, NULL) != VALORI_OK ||
	    vl_state_init(&blind.state, blind.pool, 4, VL_STATE_NO_VECTORS, NULL) != VALORI_OK ||
	    vl_commitment_init(&blind.commitment, blind.pool, NULL) != VALORI_OK ||
	    vl_requests_init(&blind.requests, blind.pool, NULL) != VALORI_OK)
		exit(1);
	check(open_bytes(&snapshot, bytes, NULL) == VALORI_OK &&
		      vl_snapshot_attach(&snapshot, &blind.state, &blind.commitment, &blind.requests, NULL) ==
			      VALORI_OK,
	      "a state without vectors starts with a snapshot");
	check_u64(write_sample(&blind, &vl_os_real, "blind.val", NULL), VALORI_UNKNOWABLE,
		  "but cannot write one");
	sample_free(&blind);
	free(bytes.data);
}

int main(void)
{
	scratch_enter();
	memory_init(&memory, vl_cpu_kernels(NULL));
	test_round_trip();
	test_empty();
	test_canonical();
	test_frozen();
	test_stream();
	test_open_stream();
	test_truncated();
	test_flips();
	test_forged();
	test_garbage();
	test_versions();
	test_packed();
	test_faults();
	test_lying_disk();
	test_other_writer();
	test_without_vectors();
	check(memory.blocks == 0 && memory.wrong == 0, "all memory is given back");
	return check_done();
}
