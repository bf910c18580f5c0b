/* snapshot.c - opening a snapshot file, and starting a state with it. */
#include "snapshot.h"

#include "bytes.h"
#include "hasher.h"
#include "mapped.h"
#include "snapshot_format.h"

enum {
	STREAM_PIECE = 1 << 16,
	ALONE = 1 << 17 /* a section of that size is worth a thread */
};

/* Reads and checks what says where everything is, then maps the file. */
static valori_code map_file(struct vl_snapshot *snapshot, int fd, valori_error *error)
{
	const struct vl_os *os = snapshot->os;
	uint8_t header[VL_SNAPSHOT_HEADER] = {0};
	struct vl_os_stat stat;
	valori_code code;
	int64_t count;
	int result = os->stat(os->context, fd, &stat);

	if (result != 0)
		return vl_snapshot_io(snapshot->path, result, "cannot be read", error);
	if (stat.is_directory)
		return vl_fail(error, VALORI_NOT_OURS, "%s: a directory, not a snapshot", snapshot->path);
	if (!stat.is_regular)
		return vl_fail(error, VALORI_NOT_OURS, "%s: a device or a pipe, not a snapshot", snapshot->path);
	count = vl_os_pread_all(os, fd, header, sizeof(header), 0);
	if (count < 0)
		return vl_snapshot_io(snapshot->path, (int)count, "cannot be read", error);
	if ((uint64_t)count < sizeof(header) && (uint64_t)count < stat.size)
		stat.size = (uint64_t)count; /* it shrank between the two calls */
	code = vl_snapshot_head_decode(header, stat.size, snapshot->path, snapshot->env->kernels,
				       &snapshot->head, error);
	if (code != VALORI_OK)
		return code;
	result = os->map(os->context, fd, stat.size, &snapshot->data);
	if (result != 0)
		return vl_snapshot_io(snapshot->path, result, "cannot be read", error);
	vl_mapped_add(snapshot->data, stat.size, snapshot->path);
	return VALORI_OK;
}

static struct vl_snapshot *snapshot_new(const struct vl_env *env, const struct vl_os *os, const char *path,
					valori_error *error)
{
	struct vl_snapshot *snapshot = vl_alloc(env, sizeof(*snapshot));
	size_t path_size = strlen(path) + 1;

	if (snapshot == NULL)
		goto no_memory;
	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->env = env;
	snapshot->os = os;
	snapshot->path = vl_alloc(env, path_size);
	if (snapshot->path == NULL)
		goto no_memory;
	memcpy(snapshot->path, path, path_size);
	return snapshot;
no_memory:
	vl_snapshot_close(snapshot);
	vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", path);
	return NULL;
}

valori_code vl_snapshot_open(const struct vl_env *env, const struct vl_os *os, const char *path,
			     struct vl_snapshot **out, valori_error *error)
{
	struct vl_snapshot *snapshot = snapshot_new(env, os, path, error);
	valori_code code;
	int fd;

	*out = NULL;
	if (snapshot == NULL)
		return VALORI_NO_MEMORY;
	fd = os->open(os->context, path, VL_OS_READ);
	if (fd < 0) {
		code = vl_snapshot_io(path, fd, "cannot be opened", error);
	} else {
		code = map_file(snapshot, fd, error);
		os->close(os->context, fd);
	}
	if (code == VALORI_OK)
		*out = snapshot;
	else
		vl_snapshot_close(snapshot);
	return code;
}

/* Makes room for one more piece. What is allocated is at most twice what has arrived. */
static bool make_room(struct vl_snapshot *snapshot, size_t size)
{
	size_t capacity =
		snapshot->received_size * 2 < STREAM_PIECE ? STREAM_PIECE : snapshot->received_size * 2;
	uint8_t *block;

	if (size < snapshot->received_size)
		return true;
	block = vl_alloc(snapshot->env, capacity);
	if (block == NULL)
		return false;
	if (size > 0)
		memcpy(block, snapshot->received, size);
	vl_release(snapshot->env, snapshot->received, snapshot->received_size);
	snapshot->received = block;
	snapshot->received_size = capacity;
	return true;
}

static valori_code receive(struct vl_snapshot *snapshot, int fd, size_t size, valori_error *error)
{
	const struct vl_os *os = snapshot->os;
	uint8_t header[VL_SNAPSHOT_HEADER] = {0};
	uint64_t limit = VL_SNAPSHOT_HEADER; /* then one byte more than the header says: that shows what
						follows the end */
	valori_code code = VALORI_OK;
	int64_t count = 1;

	while (code == VALORI_OK && count > 0 && size < limit) {
		size_t wanted;

		if (!make_room(snapshot, size))
			return vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", snapshot->path);
		wanted = snapshot->received_size - size < limit - size ? snapshot->received_size - size
								       : (size_t)(limit - size);
		count = os->read(os->context, fd, snapshot->received + size, wanted);
		if (count < 0)
			return vl_snapshot_io(snapshot->path, (int)count, "cannot be read", error);
		size += (size_t)count;
		if (size == VL_SNAPSHOT_HEADER && limit == VL_SNAPSHOT_HEADER) {
			uint64_t claimed = vl_snapshot_claimed_size(snapshot->received);

			code = vl_snapshot_head_decode(snapshot->received, claimed, snapshot->path,
						       snapshot->env->kernels, &snapshot->head, error);
			limit = claimed + 1;
		}
	}
	if (code != VALORI_OK)
		return code;
	/* Now with the size that there really is. */
	memcpy(header, snapshot->received, size < sizeof(header) ? size : sizeof(header));
	return vl_snapshot_head_decode(header, size, snapshot->path, snapshot->env->kernels, &snapshot->head,
				       error);
}

valori_code vl_snapshot_open_stream(const struct vl_env *env, const struct vl_os *os, int fd,
				    const char *name, const uint8_t *prefix, size_t prefix_size,
				    struct vl_snapshot **out, valori_error *error)
{
	struct vl_snapshot *snapshot = snapshot_new(env, os, name, error);
	valori_code code;

	*out = NULL;
	if (snapshot == NULL)
		return VALORI_NO_MEMORY;
	if (prefix_size > STREAM_PIECE || !make_room(snapshot, 0)) {
		vl_snapshot_close(snapshot);
		return vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", name);
	}
	if (prefix_size > 0)
		memcpy(snapshot->received, prefix, prefix_size);
	code = receive(snapshot, fd, prefix_size, error);
	snapshot->data = snapshot->received;
	if (code == VALORI_OK)
		*out = snapshot;
	else
		vl_snapshot_close(snapshot);
	return code;
}

void vl_snapshot_close(struct vl_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	if (snapshot->received != NULL) {
		vl_release(snapshot->env, snapshot->received, snapshot->received_size);
	} else if (snapshot->data != NULL) {
		vl_mapped_remove(snapshot->data);
		snapshot->os->unmap(snapshot->os->context, snapshot->data, snapshot->head.file_size);
	}
	if (snapshot->path != NULL)
		vl_release(snapshot->env, snapshot->path, strlen(snapshot->path) + 1);
	vl_release(snapshot->env, snapshot, sizeof(*snapshot));
}

const struct vl_position *vl_snapshot_position(const struct vl_snapshot *snapshot)
{
	return &snapshot->head.position;
}

void vl_snapshot_describe(const struct vl_snapshot *snapshot, valori_snapshot_info *out)
{
	vl_snapshot_head_describe(&snapshot->head, snapshot->env->kernels, out);
}

void vl_snapshot_head_describe(const struct vl_snapshot_head *head, const struct vl_kernels *kernels,
			       valori_snapshot_info *out)
{
	const struct vl_position *position = &head->position;

	*out = (valori_snapshot_info){.size = sizeof(*out), .version = head->version};
	out->dim = position->dim;
	out->section_count = head->part_count;
	out->height = position->height;
	out->commits = position->frontier.size;
	out->time_ms = position->time_ms;
	out->file_size = head->file_size;
	out->record_slots = head->slots;
	out->record_live = head->totals.record_live;
	out->node_live = head->totals.node_live;
	out->edge_live = head->totals.edge_live;
	out->meta_live = head->totals.meta_live;
	out->collection_live = head->totals.collection_live;
	memcpy(out->log_id.bytes, position->log_id, 32);
	memcpy(out->state_root.bytes, position->state_root, 32);
	vl_frontier_root(&position->frontier, kernels, out->tree_root.bytes);
}

static void map_part(const struct vl_snapshot *snapshot, unsigned at, struct vl_array *array)
{
	const struct vl_part *part = &snapshot->head.parts[at];

	vl_array_free(array);
	if (part->count > 0)
		vl_array_map(array, snapshot->data + part->offset, part->count);
}

static const uint8_t *kept_map(const struct vl_snapshot *snapshot)
{
	return snapshot->data + snapshot->head.parts[VL_PART_KEPT].offset;
}

/* The sections that were packed, after they were attached as if they were not. */
static void map_packed(const struct vl_snapshot *snapshot, struct vl_records *records)
{
	struct vl_array *const arrays[] = {&records->records, &records->places, &records->digests, &records->vectors};

	for (unsigned at = 0; at < 4; at++) {
		const struct vl_part *part = &snapshot->head.parts[at];

		if (arrays[at] == &records->vectors && !records->has_vectors)
			continue;
		vl_array_map_packed(arrays[at], snapshot->data + part->offset, part->count, kept_map(snapshot),
				    snapshot->head.slots);
	}
}

static void map_tree(const struct vl_snapshot *snapshot, unsigned list, uint64_t slots, struct vl_tree *tree)
{
	const struct vl_snapshot_head *head = &snapshot->head;
	const uint8_t *base = snapshot->data + head->parts[VL_PART_TREES + list].offset;
	uint64_t count = slots;

	/* The sizes of the levels add up to the section's: looked at when the header was read. */
	for (unsigned level = 0; level < VL_LEVELS_MAX; level++) {
		vl_array_free(&tree->level[level]); /* even the empty state has a collection */
		if (count == 0)
			continue;
		if (level == 0 && list == VL_RECORDS && vl_is_packed(head)) {
			vl_array_map_packed(&tree->level[level], base, head->parts[0].count, kept_map(snapshot), count);
			base += head->parts[0].count * VL_HASH_SIZE;
		} else {
			vl_array_map(&tree->level[level], base, count);
			base += count * VL_HASH_SIZE;
		}
		count = count == 1 ? 0 : (count + 1) / 2;
	}
}

valori_code vl_snapshot_attach(const struct vl_snapshot *snapshot, struct vl_state *state,
			       struct vl_commitment *commitment, struct vl_requests *requests,
			       valori_error *error)
{
	const struct vl_snapshot_head *head = &snapshot->head;
	const uint8_t *base[VL_SECTIONS_END] = {NULL};
	uint64_t counts[VL_SECTIONS_END] = {0};
	uint8_t root[VL_HASH_SIZE];
	valori_code code;

	if (state->dim != head->position.dim)
		return vl_fail(error, VALORI_DIMENSION, "%s: dimension is %u, not %u", snapshot->path,
			       (unsigned)head->position.dim, (unsigned)state->dim);
	for (unsigned section = 1; section < VL_SECTIONS_END; section++) {
		base[section] = snapshot->data + head->parts[section - 1].offset;
		counts[section] = vl_is_packed(head) && section <= VL_SECTION_VECTORS ? head->slots
										      : head->parts[section - 1].count;
	}
	code = vl_state_attach(state, base, counts, &head->totals, error);
	if (code != VALORI_OK) {
		vl_fail_in(error, code, snapshot->path);
		return code;
	}
	if (vl_is_packed(head))
		map_packed(snapshot, &state->records);
	for (unsigned list = 0; list < VL_LISTS; list++)
		map_tree(snapshot, list, vl_state_slots(state, list), &commitment->trees[list]);
	map_part(snapshot, VL_PART_REQUESTS, &requests->entries);
	map_part(snapshot, VL_PART_REQUEST_BUCKETS, &requests->buckets);
	requests->total = head->requests;
	/* Nothing is dirty: this is the root over the tops of the trees. */
	code = vl_commitment_update(commitment, state, root, error);
	if (code == VALORI_OK && memcmp(root, head->position.state_root, VL_HASH_SIZE) != 0)
		code = vl_fail(error, VALORI_DAMAGED, "%s: the trees do not give the state root",
			       snapshot->path);
	return code;
}

/* The first of the parts of an index; NULL: there is none. */
static const struct vl_part *find_index(const struct vl_snapshot_head *head)
{
	for (unsigned at = vl_own_parts(head); at < head->part_count; at++)
		if (head->parts[at].kind >= VL_KIND_INDEX && head->parts[at].kind < VL_KIND_INDEX + VL_INDEX_PARTS)
			return &head->parts[at];
	return NULL;
}

valori_code vl_snapshot_index(const struct vl_snapshot *snapshot, const struct vl_state *state,
			      struct vl_index *out, bool *has, valori_error *error)
{
	const struct vl_snapshot_head *head = &snapshot->head;
	const struct vl_part *part = find_index(head);
	struct vl_index_bytes parts[VL_INDEX_PARTS];
	valori_code code;

	memset(out, 0, sizeof(*out));
	*has = false;
	if (part == NULL)
		return VALORI_OK;
	for (unsigned at = 0; at < VL_INDEX_PARTS; at++, part++) {
		if (part == head->parts + head->part_count || part->kind != VL_KIND_INDEX + at)
			return vl_fail(error, VALORI_DAMAGED, "%s: %s: is missing", snapshot->path,
				       vl_index_part_name((enum vl_index_part)at));
		parts[at] = (struct vl_index_bytes){snapshot->data + part->offset, part->elem_size, part->count};
	}
	code = vl_index_attach(out, snapshot->env, state, parts, error);
	if (code != VALORI_OK)
		return vl_fail_in(error, code, snapshot->path);
	*has = true;
	return VALORI_OK;
}

/* The digests of the sections, as they are; that of the largest, where it is large, by a thread of its own. */
static void hash_parts(const struct vl_snapshot *snapshot, bool with_vectors, uint8_t digests[][VL_HASH_SIZE])
{
	const struct vl_snapshot_head *head = &snapshot->head;
	const struct vl_kernels *kernels = snapshot->env->kernels;
	unsigned left_out = with_vectors ? VL_PARTS_MAX : vl_part_of(VL_SECTION_VECTORS), largest = VL_PARTS_MAX;
	uint64_t size = ALONE - 1;
	struct vl_hasher hasher;
	struct vl_blake3 hash;

	for (unsigned at = 0; at < head->part_count; at++)
		if (at != left_out && head->parts[at].size > size)
			size = head->parts[largest = at].size;
	if (largest < VL_PARTS_MAX) {
		vl_hasher_start(&hasher);
		vl_blake3_init(&hash, kernels, VL_HASH_PLAIN);
		vl_hasher_update(&hasher, &hash, snapshot->data + head->parts[largest].offset, (size_t)size);
	}
	for (unsigned at = 0; at < head->part_count; at++)
		if (at != left_out && at != largest)
			vl_blake3(kernels, VL_HASH_PLAIN, snapshot->data + head->parts[at].offset,
				  (size_t)head->parts[at].size, digests[at]);
	if (largest < VL_PARTS_MAX) {
		vl_hasher_stop(&hasher);
		vl_blake3_final(&hash, digests[largest]);
	}
}

static valori_code check_parts(const struct vl_snapshot *snapshot, bool with_vectors, valori_error *error)
{
	uint8_t digests[VL_PARTS_MAX][VL_HASH_SIZE];
	uint64_t end = VL_SNAPSHOT_HEADER;

	hash_parts(snapshot, with_vectors, digests);
	for (unsigned at = 0; at <= snapshot->head.part_count; at++) {
		const struct vl_part *part = &snapshot->head.parts[at];
		bool is_last = at == snapshot->head.part_count;
		uint64_t next = is_last ? snapshot->head.file_size : part->offset;

		if (!vl_is_zero(snapshot->data + end, (size_t)(next - end)))
			return vl_snapshot_damaged(snapshot->path, end, "bytes between sections are not zero",
						   error);
		if (is_last)
			break;
		end = part->offset + part->size;
		if (part->kind == VL_SECTION_VECTORS && !with_vectors)
			continue;
		if (memcmp(digests[at], part->digest, VL_HASH_SIZE) != 0) {
			char fact[96];

			vl_format(fact, sizeof(fact), "digest of section \"%s\" does not match",
				  vl_part_name(part->kind));
			return vl_snapshot_damaged(snapshot->path, part->offset, fact, error);
		}
	}
	return VALORI_OK;
}

valori_code vl_snapshot_attach_replica(const struct vl_snapshot *snapshot, struct vl_replica *replica, uint32_t flags,
				       valori_error *error)
{
	const struct vl_position *position = vl_snapshot_position(snapshot);
	valori_code code = vl_replica_vacate(replica, position->dim, flags, error);

	if (code != VALORI_OK)
		return code;
	code = vl_snapshot_attach(snapshot, &replica->state, &replica->commitment, &replica->requests, error);
	if (code == VALORI_OK)
		vl_replica_attached(replica, position);
	else
		vl_replica_free(replica);
	return code;
}

valori_code vl_snapshot_check_bytes(const struct vl_snapshot *snapshot, valori_error *error)
{
	return check_parts(snapshot, true, error);
}

valori_code vl_snapshot_check_for_writer(const struct vl_snapshot *snapshot, valori_error *error)
{
	return check_parts(snapshot, false, error);
}
