/* snapshot_write.c - the bytes of a snapshot: into a file, into a stream, or held against a file that is
 * there. */
#include "snapshot.h"

#include <errno.h>

#include "bytes.h"
#include "hasher.h"
#include "snapshot_format.h"

enum { STAGE_SIZE = 1 << 18, TRIES = 16, FILE_STAGE_SIZE = 1 << 20 };

enum sink {
	SINK_NOWHERE, /* for the digests only */
	SINK_FILE,    /* at their offsets; the header goes last */
	SINK_STREAM,  /* in order: the digests must be known */
	SINK_COMPARE  /* with a mapped file, whose digests are known to be right */
};

struct source {
	const struct vl_state *state;
	const struct vl_commitment *commitment;
	const struct vl_requests *requests;
	const struct vl_index *index; /* or NULL */
};

/* Where the bytes go. The first failure sticks. */
struct output {
	const struct vl_env *env;
	const struct vl_os *os;
	enum sink sink;
	int fd;
	const char *name;
	const uint8_t *compared; /* all of the file */
	uint64_t compared_size;
	struct vl_snapshot_head *head;
	unsigned part;
	bool is_hashing;
	struct vl_blake3 hash;
	struct vl_hasher hasher; /* of a file: hashes a piece while it is written */
	uint64_t offset;	 /* of the stage's first byte, in the file */
	/*
	 * Pieces are put together in stage; a file's are all of them, and one stage is hashed while the other is
	 * filled: handing over costs more than copying.
	 */
	uint8_t *stage, *other_stage;
	size_t stage_size;
	size_t staged;
	valori_code code;
	valori_error *error;
};

static void fail_at(struct output *output, uint64_t offset, const char *fact)
{
	if (output->code == VALORI_OK)
		output->code = vl_snapshot_damaged(output->name, offset, fact, output->error);
}

static void compare(struct output *output, const uint8_t *data, size_t size)
{
	uint64_t room = output->offset < output->compared_size ? output->compared_size - output->offset : 0;
	size_t same = 0;

	if (size <= room && memcmp(output->compared + output->offset, data, size) == 0)
		return;
	while (same < size && same < room && output->compared[output->offset + same] == data[same])
		same++;
	fail_at(output, output->offset + same, "not in canonical layout");
}

static void deliver(struct output *output, const uint8_t *data, size_t size)
{
	int result = 0;

	if (output->code != VALORI_OK || size == 0)
		return;
	if (output->is_hashing && output->sink == SINK_FILE)
		vl_hasher_update(&output->hasher, &output->hash, data, size);
	else if (output->is_hashing)
		vl_blake3_update(&output->hash, data, size);
	switch (output->sink) {
	case SINK_NOWHERE: break;
	case SINK_FILE: result = vl_os_pwrite_all(output->os, output->fd, data, size, output->offset); break;
	case SINK_STREAM: result = vl_os_write_all(output->os, output->fd, data, size); break;
	case SINK_COMPARE: compare(output, data, size); break;
	}
	if (result != 0)
		output->code = vl_snapshot_io(output->name, result, "cannot be written", output->error);
	output->offset += size;
}

static void flush(struct output *output)
{
	uint8_t *filled = output->stage;

	deliver(output, filled, output->staged);
	output->staged = 0;
	if (output->other_stage != NULL) {
		output->stage = output->other_stage;
		output->other_stage = filled;
	} else if (output->sink == SINK_FILE) {
		vl_hasher_wait(&output->hasher);
	}
}

static void put(struct output *output, const uint8_t *data, size_t size)
{
	if (size < STAGE_SIZE / 4 || output->other_stage != NULL) {
		while (size > 0) {
			size_t room = output->stage_size - output->staged, part = size < room ? size : room;

			memcpy(output->stage + output->staged, data, part);
			output->staged += part;
			data += part;
			size -= part;
			if (output->staged == output->stage_size)
				flush(output);
		}
		return;
	}
	flush(output);
	/* Hashed and written while it is in the cache. */
	for (size_t done = 0; done < size; done += STAGE_SIZE)
		deliver(output, data + done, size - done < STAGE_SIZE ? size - done : STAGE_SIZE);
}

static void put_zeros(struct output *output, uint64_t size)
{
	static const uint8_t zeros[VL_SNAPSHOT_ALIGN];

	put(output, zeros, (size_t)size);
}

static void part_begin(struct output *output)
{
	vl_blake3_init(&output->hash, output->env->kernels, VL_HASH_PLAIN);
	output->is_hashing = output->sink == SINK_NOWHERE || output->sink == SINK_FILE;
}

static void part_end(struct output *output)
{
	struct vl_part *part = &output->head->parts[output->part];

	flush(output);
	if (output->code != VALORI_OK)
		return;
	if (output->offset != part->offset + part->size) {
		fail_at(output, output->offset, "a section has another size than its count says");
		return;
	}
	if (output->is_hashing && output->sink == SINK_FILE)
		vl_hasher_wait(&output->hasher);
	if (output->is_hashing)
		vl_blake3_final(&output->hash, part->digest);
	output->is_hashing = false;
	put_zeros(output, vl_snapshot_align(output->offset) - output->offset);
	flush(output);
	output->part++;
}

/* Ends sections, also such as have no bytes, until this one is to come. */
static void advance(struct output *output, unsigned part)
{
	while (output->part < part && output->code == VALORI_OK) {
		part_end(output);
		part_begin(output);
	}
}

static void put_array(struct output *output, const struct vl_array *array)
{
	uint64_t run;

	for (uint64_t index = 0; index < array->count && output->code == VALORI_OK; index += run) {
		const uint8_t *data = vl_array_run(array, index, &run);

		put(output, data, (size_t)run * array->elem_size);
	}
}

static void put_index(struct output *output, const struct vl_index *index)
{
	struct vl_index_bytes parts[VL_INDEX_PARTS];
	uint8_t head[VL_INDEX_HEAD];

	vl_index_bytes(index, head, parts);
	for (unsigned at = 0; at < VL_INDEX_PARTS; at++) {
		advance(output, vl_own_parts(output->head) + at);
		put(output, parts[at].data, (size_t)parts[at].count * parts[at].elem_size);
	}
}

/* Leaves of records: those of a packed snapshot, and those that were packed in the one that the state began with. */
static void put_record_leaves(struct output *output, const struct source *source)
{
	const struct vl_array *leaves = &source->commitment->trees[VL_RECORDS].level[0];
	bool is_packed = vl_is_packed(output->head);
	uint8_t leaf[VL_HASH_SIZE] = {0};

	if (!is_packed && leaves->kept == NULL) {
		put_array(output, leaves);
		return;
	}
	if (is_packed)
		put(output, leaf, sizeof(leaf));
	for (uint64_t slot = 0; slot < leaves->count && output->code == VALORI_OK; slot++) {
		if (is_packed && !vl_state_is_kept(source->state, slot))
			continue;
		vl_commitment_record_leaf(source->commitment, slot, leaf);
		put(output, leaf, sizeof(leaf));
	}
}

static void put_kept(struct output *output, const struct vl_state *state)
{
	uint64_t slots = vl_state_slots(state, VL_RECORDS), before = 0, bits = 0, found = 0;
	uint8_t group[VL_KEPT_SIZE];

	for (uint64_t slot = 0; slot < slots && output->code == VALORI_OK; slot++) {
		unsigned bit = (unsigned)slot & ((1 << VL_KEPT_SHIFT) - 1);

		if (vl_state_is_kept(state, slot)) {
			bits |= UINT64_C(1) << bit;
			found++;
		}
		if (bit != (1 << VL_KEPT_SHIFT) - 1 && slot != slots - 1)
			continue;
		vl_put64(group, bits);
		vl_put64(group + 8, before);
		put(output, group, sizeof(group));
		bits = 0;
		before = found;
	}
}

/* All sections, from the offset of the first one on. */
static void put_parts(struct output *output, const struct source *source)
{
	struct vl_canon canon;
	enum vl_section section;
	const uint8_t *data;
	size_t size;

	output->offset = VL_SNAPSHOT_HEADER;
	output->part = 0;
	part_begin(output);
	vl_canon_init(&canon, source->state);
	canon.is_packed = vl_is_packed(output->head);
	while (output->code == VALORI_OK && vl_canon_next(&canon, &section, &data, &size)) {
		advance(output, vl_part_of(section));
		put(output, data, size);
	}
	for (unsigned list = 0; list < VL_LISTS; list++) {
		unsigned levels = vl_tree_levels(&source->commitment->trees[list]);

		advance(output, VL_PART_TREES + list);
		if (list == VL_RECORDS && levels > 0)
			put_record_leaves(output, source);
		for (unsigned level = list == VL_RECORDS; level < levels; level++)
			put_array(output, &source->commitment->trees[list].level[level]);
	}
	advance(output, VL_PART_REQUESTS);
	put_array(output, &source->requests->entries);
	advance(output, VL_PART_REQUEST_BUCKETS);
	put_array(output, &source->requests->buckets);
	if (vl_is_packed(output->head)) {
		advance(output, VL_PART_KEPT);
		put_kept(output, source->state);
	}
	if (source->index != NULL)
		put_index(output, source->index);
	advance(output, output->head->part_count);
	output->is_hashing = false; /* of what follows the last section */
}

static void put_header(struct output *output)
{
	uint8_t header[VL_SNAPSHOT_HEADER];

	vl_snapshot_head_encode(output->head, output->env->kernels, header);
	output->offset = 0;
	deliver(output, header, sizeof(header));
}

/* Is it worth to leave out what is deleted? Then *kept is what stays. */
static bool is_worth_packing(const struct vl_state *state, uint64_t *kept)
{
	uint64_t slots = vl_state_slots(state, VL_RECORDS), least = slots / 8 > VL_PACK_MIN ? slots / 8 : VL_PACK_MIN;

	if (state->totals.record_deleted < least)
		return false;
	*kept = 0;
	for (uint64_t slot = 0; slot < slots; slot++)
		*kept += vl_state_is_kept(state, slot);
	return slots - *kept >= least;
}

/* All counts, and with them all offsets, of a file of this version or an older one. */
static valori_code plan(const struct source *source, const struct vl_position *position, uint32_t version,
			struct vl_snapshot_head *head, valori_error *error)
{
	const struct vl_state *state = source->state;
	uint64_t kept;

	if (state->flags & VL_STATE_NO_VECTORS)
		return vl_fail(error, VALORI_UNKNOWABLE, "snapshot: the store was opened without its vectors");
	memset(head, 0, sizeof(*head));
	head->version = VL_SNAPSHOT_PLAIN;
	head->slots = vl_state_slots(state, VL_RECORDS);
	head->position = *position;
	head->totals = state->totals;
	head->requests = source->requests->total;
	for (unsigned section = 1; section < VL_SECTIONS_END; section++)
		head->parts[section - 1].count = vl_state_section(state, (enum vl_section)section)->count;
	head->parts[vl_part_of(VL_SECTION_HEAP)].count = vl_canon_heap_size(state);
	for (unsigned list = 0; list < VL_LISTS; list++)
		head->parts[VL_PART_TREES + list].count =
			vl_snapshot_tree_size(vl_state_slots(state, (enum vl_list)list));
	head->parts[VL_PART_REQUESTS].count = source->requests->entries.count;
	head->parts[VL_PART_REQUEST_BUCKETS].count = source->requests->buckets.count;
	if (version >= VL_SNAPSHOT_PACKED && is_worth_packing(state, &kept))
		vl_snapshot_pack(head, kept);
	return vl_snapshot_plan(head, source->index, error);
}

static valori_code output_init(struct output *output, const struct vl_env *env, const struct vl_os *os, enum sink sink,
			       const char *name, struct vl_snapshot_head *head, valori_error *error)
{
	*output = (struct output){
		.env = env, .os = os, .sink = sink, .fd = -1, .name = name, .head = head, .error = error};
	output->stage_size = sink == SINK_FILE ? FILE_STAGE_SIZE : STAGE_SIZE;
	output->stage = vl_alloc(env, output->stage_size);
	if (sink == SINK_FILE && output->stage != NULL)
		output->other_stage = vl_alloc(env, output->stage_size); /* NULL: it goes on with one, piece by piece */
	return output->stage != NULL ? VALORI_OK : vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", name);
}

static void output_free(struct output *output)
{
	vl_release(output->env, output->stage, output->stage_size);
	vl_release(output->env, output->other_stage, output->stage_size);
}

/* The header comes first in a stream, so everything is gone through twice. */
static valori_code write_stream(const struct vl_env *env, const struct vl_os *os, const struct source *source,
				struct vl_snapshot_head *head, int fd, const char *name, valori_error *error)
{
	struct output output;
	valori_code code = output_init(&output, env, os, SINK_NOWHERE, name, head, error);

	if (code != VALORI_OK)
		return code;
	put_parts(&output, source);
	output.sink = SINK_STREAM;
	output.fd = fd;
	if (output.code == VALORI_OK)
		put_header(&output);
	if (output.code == VALORI_OK)
		put_parts(&output, source);
	output_free(&output);
	return output.code;
}

valori_code vl_snapshot_compare(const struct vl_snapshot *snapshot, const struct vl_state *state,
				const struct vl_commitment *commitment, const struct vl_requests *requests,
				const struct vl_index *index, valori_error *error)
{
	const struct source source = {state, commitment, requests, index};
	struct vl_snapshot_head *head = vl_alloc(snapshot->env, sizeof(*head));
	/* Sections that a later version derives from the others come behind them. */
	unsigned known = vl_own_parts(&snapshot->head) + (index != NULL ? VL_INDEX_PARTS : 0);
	bool has_more = snapshot->head.part_count > known;
	struct output output;
	valori_code code;

	if (head == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", snapshot->path);
	code = plan(&source, &snapshot->head.position, snapshot->head.version, head, error);
	if (code == VALORI_OK && !has_more && head->file_size != snapshot->head.file_size)
		code = vl_snapshot_damaged(snapshot->path, 0, "not in canonical layout", error);
	if (code == VALORI_OK)
		code = output_init(&output, snapshot->env, snapshot->os, SINK_COMPARE, snapshot->path, head, error);
	for (unsigned at = 0; code == VALORI_OK && at < head->part_count; at++)
		memcpy(head->parts[at].digest, snapshot->head.parts[at].digest, VL_HASH_SIZE);
	if (code == VALORI_OK) {
		output.compared = snapshot->data;
		output.compared_size = snapshot->head.file_size;
		put_parts(&output, &source);
		if (output.code == VALORI_OK && !has_more)
			put_header(&output);
		code = output.code;
		output_free(&output);
	}
	vl_release(snapshot->env, head, sizeof(*head));
	return code;
}

/* ---- a file that appears whole or not at all ---- */

/* The directory that holds path, in a block of *size bytes; NULL when memory is out. */
static char *parent_of(const struct vl_env *env, const char *path, size_t *size)
{
	size_t length = strlen(path);
	char *directory;

	*size = length + 2;
	directory = vl_alloc(env, *size);
	if (directory == NULL)
		return NULL;
	while (length > 1 && path[length - 1] == '/')
		length--;
	while (length > 0 && path[length - 1] != '/')
		length--;
	while (length > 1 && path[length - 1] == '/')
		length--;
	if (length == 0)
		directory[length++] = '.';
	else
		memcpy(directory, path, length);
	directory[length] = '\0';
	return directory;
}

static valori_code sync_directory(const struct vl_os *os, const char *directory, valori_error *error)
{
	int result = os->sync_directory(os->context, directory);

	if (result == 0)
		return VALORI_OK;
	vl_snapshot_io(directory, result, "cannot be synced", error);
	return VALORI_IO;
}

valori_code vl_snapshot_sync_parent(const struct vl_env *env, const struct vl_os *os, const char *path,
				    valori_error *error)
{
	size_t size;
	char *directory = parent_of(env, path, &size);
	valori_code code;

	if (directory == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", path);
	code = sync_directory(os, directory, error);
	vl_release(env, directory, size);
	return code;
}

valori_code vl_snapshot_keep_directory(const struct vl_env *env, const struct vl_os *os, const char *path,
				       valori_error *error)
{
	valori_error why = {0};
	valori_code code = vl_snapshot_sync_parent(env, os, path, &why);

	if (code == VALORI_OK || (code == VALORI_IO && why.system_errno == EACCES))
		return VALORI_OK;
	if (error != NULL)
		*error = why;
	return code;
}

/*
 * Opens the temporary file, empty, and ours alone: its lock says that nobody else writes it, a look at its
 * name that it is not one that somebody has just renamed. What a crash left under the name is thus used up,
 * and never piles up.
 */
static valori_code open_temporary(const struct vl_os *os, const char *path, int *out_fd, valori_error *error)
{
	for (int tries = 0; tries < TRIES; tries++) {
		struct vl_os_stat opened, named;
		int fd = os->open(os->context, path, VL_OS_CREATE_ANY), result;

		if (fd < 0)
			return vl_snapshot_io(path, fd, "cannot be opened", error);
		result = os->lock(os->context, fd, 0);
		if (result == -EAGAIN) {
			os->close(os->context, fd);
			return vl_fail(error, VALORI_LOCKED, "%s: another process is writing it", path);
		}
		if (result == 0)
			result = os->stat(os->context, fd, &opened);
		if (result != 0) {
			os->close(os->context, fd); /* without a lock it may be somebody else's: it stays */
			return vl_snapshot_io(path, result, "cannot be locked", error);
		}
		if (os->stat_path(os->context, path, &named) == 0 && named.inode == opened.inode &&
		    named.device == opened.device) {
			/* Not when it is new: ext4 would write all out at close, before the sync asks for it.
			 */
			if (opened.size != 0)
				result = os->truncate(os->context, fd, 0);
			*out_fd = fd;
			if (result == 0)
				return VALORI_OK;
			os->unlink(os->context, path);
			os->close(os->context, fd);
			return vl_snapshot_io(path, result, "cannot be truncated", error);
		}
		os->close(os->context, fd);
	}
	return vl_fail(error, VALORI_LOCKED, "%s: others keep writing it", path);
}

static valori_code write_bytes(const struct vl_env *env, const struct vl_os *os, const struct source *source,
			       struct vl_snapshot_head *head, int fd, const char *name, valori_error *error)
{
	struct output output;
	valori_code code = output_init(&output, env, os, SINK_FILE, name, head, error);
	int result;

	if (code != VALORI_OK)
		return code;
	output.fd = fd;
	vl_hasher_start(&output.hasher);
	put_parts(&output, source);
	vl_hasher_stop(&output.hasher);
	if (output.code == VALORI_OK)
		put_header(&output);
	output_free(&output);
	if (output.code != VALORI_OK)
		return output.code;
	result = os->sync(os->context, fd);
	return result == 0 ? VALORI_OK : vl_snapshot_io(name, result, "cannot be synced", error);
}

/* What the disk has is what was meant? Only then it gets its name. */
static valori_code read_back(const struct vl_env *env, const struct vl_os *os, const char *path,
			     const struct vl_snapshot_head *head, valori_error *error)
{
	struct vl_snapshot *snapshot;
	valori_code code = vl_snapshot_open(env, os, path, &snapshot, error);

	if (code != VALORI_OK)
		return code;
	code = vl_snapshot_check_bytes(snapshot, error);
	for (unsigned at = 0; code == VALORI_OK && at < head->part_count; at++)
		if (memcmp(snapshot->head.parts[at].digest, head->parts[at].digest, VL_HASH_SIZE) != 0)
			code = vl_snapshot_damaged(path, head->parts[at].offset, "was not read as it was written",
						   error);
	if (code == VALORI_OK &&
	    memcmp(snapshot->head.position.state_root, head->position.state_root, VL_HASH_SIZE) != 0)
		code = vl_snapshot_damaged(path, 0, "was not read as it was written", error);
	vl_snapshot_close(snapshot);
	return code;
}

static valori_code write_file(const struct vl_env *env, const struct vl_os *os, const struct source *source,
			      struct vl_snapshot_head *head, const char *path, const char *temporary,
			      const char *directory, valori_error *error)
{
	int fd, result;
	valori_code code = open_temporary(os, temporary, &fd, error);

	if (code != VALORI_OK)
		return code;
	code = write_bytes(env, os, source, head, fd, temporary, error);
	if (code == VALORI_OK)
		code = read_back(env, os, temporary, head, error);
	if (code == VALORI_OK) {
		result = os->rename(os->context, temporary, path);
		if (result != 0)
			code = vl_snapshot_io(path, result, "cannot be renamed to", error);
	}
	if (code != VALORI_OK)
		os->unlink(os->context, temporary);
	/* The lock goes with the descriptor: not before the name is right. */
	os->close(os->context, fd);
	return code == VALORI_OK ? sync_directory(os, directory, error) : code;
}

/* A path that is no regular file, a pipe or a device, gets the stream: a rename would put a file in its
 * place. */
static valori_code write_special(const struct vl_env *env, const struct vl_os *os, const struct source *source,
				 struct vl_snapshot_head *head, const char *path, valori_error *error)
{
	int fd = os->open(os->context, path, VL_OS_WRITE);
	valori_code code;

	if (fd < 0)
		return vl_snapshot_io(path, fd, "cannot be opened", error);
	code = write_stream(env, os, source, head, fd, path, error);
	os->close(os->context, fd);
	return code;
}

static valori_code write_path(const struct vl_env *env, const struct vl_os *os, const struct source *source,
			      struct vl_snapshot_head *head, const char *path, valori_error *error)
{
	size_t size = strlen(path) + 8, directory_size;
	char *temporary, *directory;
	struct vl_os_stat stat;
	valori_code code;

	if (os->stat_path(os->context, path, &stat) == 0 && !stat.is_regular)
		return write_special(env, os, source, head, path, error);
	temporary = vl_alloc(env, size);
	directory = parent_of(env, path, &directory_size);
	if (temporary == NULL || directory == NULL) {
		code = vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", path);
	} else {
		vl_format(temporary, size, "%s.new", path);
		code = write_file(env, os, source, head, path, temporary, directory, error);
	}
	vl_release(env, temporary, size);
	vl_release(env, directory, directory_size);
	return code;
}

valori_code vl_snapshot_write(const struct vl_env *env, const struct vl_os *os, const struct vl_position *position,
			      const struct vl_state *state, const struct vl_commitment *commitment,
			      const struct vl_requests *requests, const struct vl_index *index, const char *path,
			      int fd, valori_error *error)
{
	const struct source source = {state, commitment, requests, index};
	struct vl_snapshot_head *head = vl_alloc(env, sizeof(*head));
	valori_code code;

	if (head == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "snapshot: out of memory");
	code = plan(&source, position, VALORI_SNAPSHOT_FORMAT, head, error);
	if (code == VALORI_OK && path != NULL)
		code = write_path(env, os, &source, head, path, error);
	else if (code == VALORI_OK)
		code = write_stream(env, os, &source, head, fd, "snapshot", error);
	vl_release(env, head, sizeof(*head));
	return code;
}

valori_code vl_snapshot_foresee(const struct vl_env *env, const struct vl_position *position,
				const struct vl_state *state, const struct vl_commitment *commitment,
				const struct vl_requests *requests, const struct vl_index *index,
				valori_snapshot_info *out, valori_error *error)
{
	const struct source source = {state, commitment, requests, index};
	struct vl_snapshot_head *head = vl_alloc(env, sizeof(*head));
	valori_code code;

	if (head == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "snapshot: out of memory");
	code = plan(&source, position, VALORI_SNAPSHOT_FORMAT, head, error);
	if (code == VALORI_OK)
		vl_snapshot_head_describe(head, env->kernels, out);
	vl_release(env, head, sizeof(*head));
	return code;
}

/* ---- a stream that becomes a file ---- */

static valori_code receive_header(const struct vl_os *os, int fd, const char *name, const struct vl_kernels *kernels,
				  struct vl_snapshot_head *head, uint8_t *header, valori_error *error)
{
	size_t size = 0;

	while (size < VL_SNAPSHOT_HEADER) {
		int64_t count = os->read(os->context, fd, header + size, VL_SNAPSHOT_HEADER - size);

		if (count < 0)
			return vl_snapshot_io(name, (int)count, "cannot be read", error);
		if (count == 0)
			break;
		size += (size_t)count;
	}
	return vl_snapshot_head_decode(header, size < VL_SNAPSHOT_HEADER ? size : vl_snapshot_claimed_size(header),
				       name, kernels, head, error);
}

static valori_code receive_rest(const struct vl_os *os, int fd, const char *name, int target, const char *path,
				uint64_t file_size, uint8_t *buffer, valori_error *error)
{
	uint64_t offset = VL_SNAPSHOT_HEADER;

	for (;;) {
		/* One byte more than there should be shows what follows the end. */
		uint64_t wanted = file_size - offset + 1;
		int64_t count = os->read(os->context, fd, buffer, wanted < STAGE_SIZE ? (size_t)wanted : STAGE_SIZE);
		int result;

		if (count < 0)
			return vl_snapshot_io(name, (int)count, "cannot be read", error);
		if (count == 0)
			return offset == file_size ? VALORI_OK
						   : vl_snapshot_damaged(name, offset, "stream is truncated", error);
		if ((uint64_t)count > file_size - offset)
			return vl_snapshot_damaged(name, file_size, "bytes follow the end", error);
		result = vl_os_pwrite_all(os, target, buffer, (size_t)count, offset);
		if (result != 0)
			return vl_snapshot_io(path, result, "cannot be written", error);
		offset += (uint64_t)count;
	}
}

valori_code vl_snapshot_receive(const struct vl_env *env, const struct vl_os *os, int fd, const char *name,
				const char *path, valori_error *error)
{
	struct vl_snapshot_head *head = vl_alloc(env, sizeof(*head));
	uint8_t *buffer = vl_alloc(env, STAGE_SIZE);
	valori_code code;
	int target = -1, result;

	if (head == NULL || buffer == NULL) {
		code = vl_fail(error, VALORI_NO_MEMORY, "%s: out of memory", name);
		goto done;
	}
	memset(buffer, 0, VL_SNAPSHOT_HEADER);
	code = receive_header(os, fd, name, env->kernels, head, buffer, error);
	if (code == VALORI_OK)
		code = open_temporary(os, path, &target, error);
	if (code != VALORI_OK)
		goto done;
	result = vl_os_pwrite_all(os, target, buffer, VL_SNAPSHOT_HEADER, 0);
	if (result != 0)
		code = vl_snapshot_io(path, result, "cannot be written", error);
	if (code == VALORI_OK)
		code = receive_rest(os, fd, name, target, path, head->file_size, buffer, error);
	if (code != VALORI_OK)
		os->unlink(os->context, path);
	os->close(os->context, target);
done:
	if (head != NULL)
		vl_release(env, head, sizeof(*head));
	vl_release(env, buffer, STAGE_SIZE);
	return code;
}
