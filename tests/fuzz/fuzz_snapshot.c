/*
 * fuzz_snapshot.c - snapshots with whatever in their sections: no use of them leaves the file or goes on for ever, and
 * what is found sound is, byte for byte, what would be written.
 *
 * The input is the file without what follows from the rest: offsets, digests, checksums, the zeros between.
 *
 *	how u8, dimension u8, height u16, commits u16, parameters that are set u16, counts u16 x 9, count of each section
 *	u16, the sections' bytes, then with DAMAGE their number u8 and {where u24, xor u8}, and events that are applied
 *
 * With TREES the trees are computed, and are not in the input; with ROOT the state root is that of the trees.
 */
#include <stdlib.h>
#include <string.h>

#include "../crash/sim_os.h"
#include "fuzz.h"
#include "index_brute.h"
#include "replica.h"
#include "snapshot_format.h"
#include "verify.h"

enum { TREES = 1, ROOT = 2, DAMAGE = 4, DIM_MAX = 8, FILE_MAX = 1 << 20, EVENTS_MAX = 24, HITS = 4 };

static const struct vl_kernels *kernels;
static volatile uint64_t sink;

/* ---- the file ---- */

static void head_take(struct fuzz_input *input, struct vl_snapshot_head *head)
{
	struct vl_totals *totals = &head->totals;
	struct vl_position *position = &head->position;

	position->dim = 1 + fuzz_take8(input) % DIM_MAX;
	position->height = totals->height = fuzz_take16(input);
	position->frontier.size = fuzz_take16(input);
	memset(position->log_id, 0x11, 32);
	memset(position->frontier.roots, 0x22, (size_t)32 * vl_frontier_count(position->frontier.size));
	totals->config_set = fuzz_take16(input);
	for (unsigned i = 0; i < VL_PARAMETERS; i++)
		if ((totals->config_set >> i & 1) != 0)
			totals->config[i] = fuzz_take16(input);
	totals->record_live = fuzz_take16(input);
	totals->record_tombstones = fuzz_take16(input);
	totals->record_deleted = fuzz_take16(input);
	totals->node_live = fuzz_take16(input);
	totals->edge_live = fuzz_take16(input);
	totals->meta_live = fuzz_take16(input);
	totals->collection_live = fuzz_take16(input);
	head->requests = fuzz_take16(input);
	totals->record_keys = fuzz_take16(input);
	for (unsigned at = 0; at < VL_PARTS; at++)
		head->parts[at].count = fuzz_take16(input);
}

static const enum vl_section lists[VL_LISTS] = {VL_SECTION_RECORDS, VL_SECTION_NODES, VL_SECTION_EDGES, VL_SECTION_META,
						VL_SECTION_COLLECTIONS};

static void put_head(struct vl_snapshot_head *head, uint8_t *file)
{
	for (unsigned at = 0; at < VL_PARTS; at++)
		vl_blake3(kernels, VL_HASH_PLAIN, file + head->parts[at].offset, (size_t)head->parts[at].size,
			  head->parts[at].digest);
	vl_snapshot_head_encode(head, kernels, file);
}

/* All levels over the leaves of a list, as commitment.h says it. */
static void put_tree(const struct vl_state *state, unsigned list, uint64_t slots, uint8_t *out)
{
	for (uint64_t i = 0; i < slots; i++) {
		uint8_t leaf[VL_LEAF_MAX];
		enum vl_context context;
		size_t size = vl_state_leaf(state, (enum vl_list)list, i, leaf, &context);

		vl_blake3(kernels, context, leaf, size, out + 32 * i);
	}
	for (uint64_t count = slots; count > 1;) {
		const uint8_t *level = out;

		out += 32 * count;
		for (uint64_t i = 0; i < count; i += 2) {
			uint8_t pair[64] = {0};

			memcpy(pair, level + 32 * i, i + 1 < count ? 64 : 32);
			memset(out + 16 * i, 0, 32);
			if (!vl_is_zero(pair, 64))
				vl_blake3(kernels, VL_HASH_TREE, pair, 64, out + 16 * i);
		}
		count = (count + 1) / 2;
	}
}

static void put_trees(const struct vl_env *env, const struct vl_snapshot_head *head, uint8_t *file)
{
	const uint8_t *base[VL_SECTIONS_END] = {NULL};
	uint64_t counts[VL_SECTIONS_END] = {0};
	struct vl_state state;
	struct vl_pool *pool;

	must(vl_pool_new(env, &pool, NULL) == VALORI_OK);
	must(vl_state_init(&state, pool, head->position.dim, 0, NULL) == VALORI_OK);
	for (unsigned section = 1; section < VL_SECTIONS_END; section++) {
		base[section] = file + head->parts[section - 1].offset;
		counts[section] = head->parts[section - 1].count;
	}
	if (vl_state_attach(&state, base, counts, &head->totals, NULL) == VALORI_OK)
		for (unsigned list = 0; list < VL_LISTS; list++)
			put_tree(&state, list, counts[lists[list]], file + head->parts[VL_PART_TREES + list].offset);
	vl_state_free(&state);
	vl_pool_free(pool);
}

/* The root over the tops of the trees as they are. */
static void put_root(const struct vl_env *env, struct vl_snapshot_head *head, const uint8_t *file)
{
	struct fuzz_disk disk;
	struct vl_snapshot *snapshot;
	struct vl_replica replica;

	fuzz_disk_init(&disk);
	fuzz_disk_add(&disk, "s", file, (size_t)head->file_size);
	if (vl_snapshot_open(env, &disk.os, "s", &snapshot, NULL) != VALORI_OK)
		return;
	must(vl_replica_init(&replica, env, head->position.dim, 0, NULL) == VALORI_OK);
	if (vl_snapshot_attach(snapshot, &replica.state, &replica.commitment, &replica.requests, NULL) != VALORI_OK)
		(void)vl_commitment_update(&replica.commitment, &replica.state, head->position.state_root, NULL);
	vl_replica_free(&replica);
	vl_snapshot_close(snapshot);
	fuzz_disk_check(&disk);
}

/* NULL: it would be too large. */
static uint8_t *make(const struct vl_env *env, uint8_t how, struct fuzz_input *input, struct vl_snapshot_head *head)
{
	uint8_t *file;

	memset(head, 0, sizeof(*head));
	head->version = VL_SNAPSHOT_PLAIN;
	head_take(input, head);
	for (unsigned list = 0; list < VL_LISTS && (how & TREES) != 0; list++)
		head->parts[VL_PART_TREES + list].count =
			vl_snapshot_tree_size(head->parts[vl_part_of(lists[list])].count);
	must(vl_snapshot_plan(head, NULL, NULL) == VALORI_OK);
	if (head->file_size > FILE_MAX)
		return NULL;
	file = calloc(1, (size_t)head->file_size);
	must(file != NULL);
	for (unsigned at = 0; at < VL_PARTS; at++) {
		size_t size = (size_t)head->parts[at].size;
		const uint8_t *data;

		if ((how & TREES) != 0 && at >= VL_PART_TREES && at < VL_PART_TREES + VL_LISTS)
			continue;
		data = fuzz_take(input, &size);
		if (size > 0)
			memcpy(file + head->parts[at].offset, data, size);
	}
	if ((how & TREES) != 0)
		put_trees(env, head, file);
	put_head(head, file);
	if ((how & ROOT) != 0) {
		put_root(env, head, file);
		put_head(head, file);
	}
	for (unsigned count = (how & DAMAGE) != 0 ? fuzz_take8(input) : 0; count > 0; count--) {
		size_t where = fuzz_take16(input) | (size_t)fuzz_take8(input) << 16;

		file[where % head->file_size] ^= fuzz_take8(input);
	}
	return file;
}

/* ---- using it, checked or not ---- */

static void read_bytes(const uint8_t *data, size_t size)
{
	if (data != NULL)
		sink += fuzz_mix(sink, data, size);
}

static void look_at_record(const struct vl_state *state, uint64_t id, bool is_sound)
{
	struct vl_record record;
	uint64_t cursor = VALORI_NONE, steps = 0, found;
	uint8_t k[VL_HASH_SIZE];

	if (!vl_record_get(state, id, &record))
		return;
	read_bytes(record.key, record.key_size);
	read_bytes(record.metadata, record.metadata_size == VL_ABSENT ? 0 : record.metadata_size);
	read_bytes(record.vector_salt, record.vector_salt != NULL ? VL_SALT_SIZE : 0);
	read_bytes(record.metadata_salt, record.metadata_salt != NULL ? VL_SALT_SIZE : 0);
	read_bytes(vl_state_vector(state, id), (size_t)4 * state->dim);
	while (vl_record_node_next(state, id, &cursor))
		must(cursor < vl_state_slots(state, VL_NODES) && ++steps <= vl_state_slots(state, VL_NODES));
	if (record.key == NULL)
		return;
	vl_blake3(kernels, VL_HASH_KEY, record.key, record.key_size, k);
	found = vl_record_find(state, record.collection, record.key, record.key_size, k);
	must(found == VALORI_NONE || found < vl_state_slots(state, VL_RECORDS));
	if (is_sound)
		must((found == id) == (record.status == VALORI_LIVE));
}

static void look_at_node(const struct vl_state *state, uint64_t id)
{
	struct vl_node node;
	struct vl_edge edge;

	if (!vl_node_get(state, id, &node))
		return;
	for (int outgoing = 0; outgoing < 2; outgoing++) {
		uint64_t cursor = VALORI_NONE, steps = 0;

		while (vl_edge_next(state, id, outgoing, &cursor, &edge))
			must(++steps <= vl_state_slots(state, VL_EDGES));
	}
}

static void look_at_rest(const struct vl_state *state)
{
	const uint8_t *key, *value;
	size_t key_size, value_size;
	struct vl_edge edge;
	bool live;

	for (uint64_t i = 0; i <= vl_state_slots(state, VL_EDGES); i++)
		sink += vl_edge_get(state, i, &edge);
	for (uint64_t i = 0; i <= vl_state_slots(state, VL_META); i++)
		if (vl_meta_get(state, i, &key, &key_size, &value, &value_size)) {
			uint8_t k[VL_HASH_SIZE];

			read_bytes(key, key_size);
			read_bytes(value, value_size);
			vl_blake3(kernels, VL_HASH_KEY, key, key_size, k);
			sink += vl_meta_find(state, key, key_size, k);
		}
	for (uint64_t i = 0; i <= vl_state_slots(state, VL_COLLECTIONS); i++)
		if (vl_collection_get(state, i, &key, &key_size, &live)) {
			read_bytes(key, key_size);
			sink += vl_collection_find(state, key, key_size);
		}
}

/* Any use of a state that is attached to bytes which nobody has checked. */
static void look(const struct vl_replica *replica, bool is_sound)
{
	const struct vl_state *state = &replica->state;
	struct vl_filter filter = {0};
	static const uint8_t query[4 * DIM_MAX];
	valori_hit hits[HITS];
	size_t hit_count = 0;

	for (uint64_t i = 0; i <= vl_state_slots(state, VL_RECORDS); i++)
		look_at_record(state, i, is_sound);
	for (uint64_t i = 0; i <= vl_state_slots(state, VL_NODES); i++)
		look_at_node(state, i);
	look_at_rest(state);
	must(vl_brute_search(state, query, 1, HITS, &filter, 0, vl_state_slots(state, VL_RECORDS), hits, &hit_count,
			     NULL) == VALORI_OK);
	must(hit_count <= HITS);
	for (size_t i = 0; i < hit_count; i++)
		must(hits[i].id < vl_state_slots(state, VL_RECORDS));
	for (uint64_t i = 0; i < replica->requests.entries.count; i++) {
		struct vl_request request, same;

		vl_requests_get(&replica->requests, i, &request);
		sink += vl_requests_find(&replica->requests, request.id, &same);
	}
	if (is_sound)
		must(vl_requests_check(&replica->requests, NULL) == VALORI_OK);
}

static uint64_t canon_digest(const struct vl_state *state)
{
	struct vl_canon canon;
	enum vl_section section;
	const uint8_t *data;
	size_t size;
	uint64_t digest = 0;

	vl_canon_init(&canon, state);
	while (vl_canon_next(&canon, &section, &data, &size))
		digest = fuzz_mix(digest + section, data, size);
	return digest;
}

/* Events are applied and taken back, and applied once more. */
static void change(const struct vl_env *env, struct vl_replica *replica, struct fuzz_input events, bool is_sound)
{
	uint64_t before = canon_digest(&replica->state), after;
	uint8_t root[VL_HASH_SIZE], oracle[VL_HASH_SIZE];
	struct vl_buf scratch;

	vl_buf_init(&scratch, env);
	for (int round = 0; round < 2; round++) {
		struct fuzz_input input = events;
		struct vl_event event;
		valori_code code = VALORI_OK;
		size_t used;

		vl_replica_begin(replica);
		for (int i = 0;
		     i < EVENTS_MAX && code != VALORI_NO_MEMORY &&
		     vl_event_decode(kernels, input.data, input.size, replica->dim, &event, &used, NULL) == VALORI_OK;
		     i++) {
			must(vl_event_hash_contents(kernels, &event, 1, replica->dim, &scratch, NULL) == VALORI_OK);
			code = vl_state_apply(&replica->state, &event, NULL);
			input.data += used;
			input.size -= used;
		}
		must(code != VALORI_NO_MEMORY || !is_sound);
		if (code != VALORI_NO_MEMORY)
			must(vl_commitment_update(&replica->commitment, &replica->state, root, NULL) == VALORI_OK);
		if (is_sound) {
			must(vl_state_root(&replica->state, true, oracle, NULL) == VALORI_OK);
			must(memcmp(root, oracle, VL_HASH_SIZE) == 0);
		}
		if (round == 0 || code == VALORI_NO_MEMORY) {
			vl_replica_abort(replica);
			after = canon_digest(&replica->state);
			must(before == after);
		} else {
			vl_replica_commit(replica);
		}
	}
	look(replica, is_sound);
	vl_buf_free(&scratch);
}

/* A sound one is what would be written, and its root what its content gives. */
static void write_again(const struct vl_replica *replica, const struct vl_snapshot *snapshot, const uint8_t *file,
			size_t size)
{
	struct sim *sim = sim_new(1);
	const uint8_t *written;
	size_t written_size;
	uint8_t root[VL_HASH_SIZE];
	int fd = sim->os.open(sim, "s", VL_OS_CREATE);

	must(vl_state_root(&replica->state, true, root, NULL) == VALORI_OK);
	must(memcmp(root, vl_snapshot_position(snapshot)->state_root, VL_HASH_SIZE) == 0);
	must(vl_snapshot_write(replica->env, &sim->os, vl_snapshot_position(snapshot), &replica->state,
			       &replica->commitment, &replica->requests, NULL, NULL, fd, NULL) == VALORI_OK);
	written = sim_content(sim, "s", &written_size);
	must(written != NULL && written_size == size && memcmp(written, file, size) == 0);
	sim_free(sim);
}

static void use(const struct vl_env *env, struct fuzz_disk *disk, struct fuzz_input events)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_verify_report report = {.size = sizeof(report)};
	struct vl_snapshot *snapshot, *stream;
	struct vl_replica replica;
	valori_error error = {0};
	valori_code code = vl_snapshot_open(env, &disk->os, "d/s.val", &snapshot, &error), verified;
	int fd = disk->os.open(disk, "d/s.val", VL_OS_READ);

	disk->piece = 3000;
	must(vl_snapshot_open_stream(env, &disk->os, fd, "stream", NULL, 0, &stream, NULL) == code);
	disk->piece = 0;
	disk->os.close(disk, fd);
	vl_snapshot_close(stream);
	options.path = "d/s.val";
	verified = vl_verify(env, &disk->os, &options, &report, NULL);
	must(verified == VALORI_OK || code != VALORI_OK);
	if (code != VALORI_OK) {
		must(error.message[0] != 0 && (verified != VALORI_OK || report.verdict != VALORI_CONSISTENT));
		return;
	}
	verified = vl_snapshot_verify(snapshot, &error);
	must(verified == VALORI_OK || verified == VALORI_DAMAGED);
	must((verified == VALORI_OK) == (report.verdict == VALORI_CONSISTENT));
	must(vl_replica_init(&replica, env, vl_snapshot_position(snapshot)->dim, 0, NULL) == VALORI_OK);
	code = vl_snapshot_attach_replica(snapshot, &replica, 0, &error);
	must(code == VALORI_OK || (code == VALORI_DAMAGED && verified != VALORI_OK));
	if (code == VALORI_OK) {
		look(&replica, verified == VALORI_OK);
		if (verified == VALORI_OK)
			write_again(&replica, snapshot, disk->files[0].data, disk->files[0].size);
		change(env, &replica, events, verified == VALORI_OK);
		vl_replica_free(&replica);
	}
	vl_snapshot_close(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vl_snapshot_head head;
	struct fuzz_input input = {data, size};
	struct fuzz_memory memory;
	struct fuzz_disk disk;
	uint8_t *file;
	uint8_t how;

	kernels = fuzz_kernels();
	how = fuzz_take8(&input);
	fuzz_memory_init(&memory, kernels, (UINT64_C(16) << 20) + 64 * (uint64_t)size);
	file = make(&memory.env, how, &input, &head);
	if (file == NULL)
		return 0;
	fuzz_disk_init(&disk);
	fuzz_disk_add(&disk, "d/s.val", file, (size_t)head.file_size);
	use(&memory.env, &disk, input);
	fuzz_disk_check(&disk);
	free(file);
	fuzz_memory_check(&memory);
	return 0;
}
