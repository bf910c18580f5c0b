/*
 * fuzz_log.c - stores as somebody may leave them: sound, torn, damaged, rewritten with right checksums.
 *
 * The first byte is the dimension and whether a writer opens the store; then pieces: what u8, size u16, and as many
 * bytes, with which a log is made, one thing after the other. A log that was only appended to must be read to its end.
 * Of any log it is demanded that what is accepted gives the state root that the events give when they are applied
 * anew, that reading in other ways finds the same, that valori_verify agrees with the reader, and that a writer which
 * opens it leaves a sound one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crash/sim_os.h"
#include "../unit/sample.h"
#include "engine.h"
#include "fuzz.h"
#include "log_private.h"
#include "replica.h"
#include "verify.h"

enum { SEGMENTS = 4, EVENTS_MAX = 40, COMMITS_MAX = 200, DIM_MAX = 8, WRITER = 128 };

enum piece {
	COMMIT,	       /* events, of which those that cannot be applied are left out */
	REQUESTS,      /* the same, each with a request id: first a byte of which they are made */
	UNCHECKED,     /* events as they are, and a state root as if nothing had happened; all checksums right */
	BYTES,	       /* whatever */
	SEGMENT,       /* the live segment is sealed, and a new one begun */
	HEAD,	       /* all is acknowledged */
	DAMAGE,	       /* how far before the end u16, xor u8 */
	COMMIT_FIELD,  /* of the last commit's header: where u8, xor u8; its checksum is made right */
	COMMIT_BODY,   /* of the last commit: where u16, xor u8; its checksums are made right */
	SEGMENT_FIELD, /* of the last segment's header: where u16, xor u8; its checksum is made right */
	HEAD_FIELD,    /* of the head's first slot: where u8, xor u8; its checksum is made right */
	CUT,	       /* bytes off the end u16 */
	ZEROS,	       /* behind the end u16 */
	PIECES
};

struct maker {
	struct sample sample;
	struct vl_buf files[SEGMENTS];
	uint64_t first_events[SEGMENTS];
	unsigned last;	 /* file */
	unsigned events; /* so far */
	size_t commit;	 /* of the last commit in that file, 0: there is none */
	uint8_t head[VL_HEAD_SIZE];
	bool has_head, is_sound;
	uint64_t head_height;
};

static const struct vl_kernels *kernels;

/* ---- making a log ---- */

static void append(void *context, const uint8_t *bytes, uint64_t size, const struct vl_position *position)
{
	struct maker *maker = context;

	(void)position;
	maker->commit = maker->files[maker->last].size;
	vl_buf_put(&maker->files[maker->last], bytes, (size_t)size);
}

static void begin_segment(struct maker *maker)
{
	uint8_t header[VL_SEGMENT_HEADER];

	vl_segment_header_encode(&maker->sample.position, kernels, header);
	vl_buf_put(&maker->files[maker->last], header, sizeof(header));
	maker->first_events[maker->last] = maker->sample.position.height;
	maker->commit = 0;
}

static void add_commit(struct maker *maker, struct fuzz_input input, bool has_requests)
{
	struct sample *sample = &maker->sample;
	uint8_t id[VL_REQUEST_ID];
	struct vl_event event;
	size_t used;

	memset(id, has_requests ? fuzz_take8(&input) : 0, sizeof(id));
	sample_begin(sample);
	while (maker->events < EVENTS_MAX && vl_event_decode(kernels, input.data, input.size, sample->position.dim,
							     &event, &used, NULL) == VALORI_OK) {
		maker->events++;
		if (sample_apply(sample, &event) && has_requests) {
			id[0]++;
			sample_request(sample, id, event.id);
		}
		input.data += used;
		input.size -= used;
	}
	sample_commit(sample);
}

/* A commit whose state root is that of the one before: true only of events that change nothing. */
static void add_unchecked(struct maker *maker, struct fuzz_input input)
{
	const struct vl_position *position = &maker->sample.position;
	struct vl_event events[EVENTS_MAX];
	uint8_t digests[EVENTS_MAX * VL_HASH_SIZE], *roots;
	struct vl_buf bytes, scratch;
	uint32_t count = 0;
	size_t used;

	vl_buf_init(&bytes, maker->sample.env);
	vl_buf_init(&scratch, maker->sample.env);
	vl_buf_zero(&bytes, VL_COMMIT_HEADER);
	while (count < EVENTS_MAX && maker->events < EVENTS_MAX &&
	       vl_event_decode(kernels, input.data, input.size, position->dim, &events[count], &used, NULL) ==
		       VALORI_OK) {
		vl_buf_put(&bytes, input.data, used);
		input.data += used;
		input.size -= used;
		maker->events++;
		count++;
	}
	if (count > 0) {
		vl_event_hash_contents(kernels, events, count, position->dim, &scratch, NULL);
		vl_event_digests(kernels, events, count, &scratch, digests, NULL);
		roots = vl_buf_extend(&bytes, VL_COMMIT_TRAILER);
		vl_events_root(kernels, digests, count, roots);
		memcpy(roots + 32, position->state_root, 32);
		vl_commit_finish(bytes.data, bytes.size, position, position->time_ms, count, 0, kernels);
		append(maker, bytes.data, bytes.size, NULL);
		maker->is_sound = false;
	}
	vl_buf_free(&bytes);
	vl_buf_free(&scratch);
}

static void put_head(struct maker *maker)
{
	struct vl_head head;

	memset(&head, 0, sizeof(head));
	memcpy(head.log_id, maker->sample.position.log_id, 32);
	vl_head_set(&head, &maker->sample.position, maker->first_events[maker->last], maker->files[maker->last].size,
		    kernels);
	vl_head_encode(&head, kernels, maker->head);
	maker->has_head = true;
	maker->head_height = maker->sample.position.height;
}

/* Both checksums of the last commit, when it is still whole. */
static void make_right(struct vl_buf *file, size_t commit)
{
	uint8_t *data = file->data + commit;
	uint64_t size;

	if (file->size - commit < VL_COMMIT_HEADER)
		return;
	size = vl_get64(data + 8);
	if (size <= file->size - commit - VL_COMMIT_HEADER)
		vl_put32(data + 52, vl_crc32c(kernels, 0, data + VL_COMMIT_HEADER, (size_t)size));
	vl_put32(data + 4, vl_crc32c(kernels, 0, data + 8, VL_COMMIT_HEADER - 8));
}

static void change(struct maker *maker, enum piece what, struct fuzz_input input)
{
	struct vl_buf *file = &maker->files[maker->last];
	size_t at = fuzz_take16(&input);
	uint8_t mask = fuzz_take8(&input);

	if (mask == 0)
		return;
	if (what == DAMAGE && at < file->size) {
		file->data[file->size - 1 - at] ^= mask;
	} else if (what == SEGMENT_FIELD) {
		file->data[at % (VL_SEGMENT_HEADER - 4)] ^= mask;
		vl_put32(file->data + VL_SEGMENT_HEADER - 4, vl_crc32c(kernels, 0, file->data, VL_SEGMENT_HEADER - 4));
	} else if (what == HEAD_FIELD && maker->has_head) {
		uint8_t *slot = maker->head + VL_HEAD_SLOT_FIRST;

		slot[at % 124] ^= mask;
		vl_put32(slot + 124, vl_crc32c(kernels, 0, slot, 124));
	} else if (maker->commit != 0 && file->size - maker->commit >= VL_COMMIT_HEADER) {
		if (what == COMMIT_FIELD)
			file->data[maker->commit + 8 + at % (VL_COMMIT_HEADER - 8)] ^= mask;
		if (what == COMMIT_BODY)
			file->data[maker->commit + VL_COMMIT_HEADER +
				   at % (file->size - maker->commit - VL_COMMIT_HEADER + 1) -
				   (file->size - maker->commit == VL_COMMIT_HEADER)] ^= mask;
		if (what == COMMIT_FIELD || what == COMMIT_BODY)
			make_right(file, maker->commit);
	}
	maker->is_sound = false;
}

static void add_piece(struct maker *maker, enum piece what, struct fuzz_input input)
{
	struct vl_buf *file = &maker->files[maker->last];
	size_t size;

	switch (what) {
	case COMMIT:
	case REQUESTS: add_commit(maker, input, what == REQUESTS); break;
	case UNCHECKED: add_unchecked(maker, input); break;
	case BYTES:
		vl_buf_put(file, input.data, input.size);
		maker->is_sound = false;
		break;
	case SEGMENT:
		/* Its name is its first event: no two have the same. */
		if (maker->last + 1 < SEGMENTS && maker->sample.position.height != maker->first_events[maker->last]) {
			maker->last++;
			begin_segment(maker);
		}
		break;
	case HEAD: put_head(maker); break;
	case DAMAGE:
	case COMMIT_FIELD:
	case COMMIT_BODY:
	case SEGMENT_FIELD:
	case HEAD_FIELD: change(maker, what, input); break;
	case CUT:
		size = fuzz_take16(&input);
		file->size -= size < file->size ? size : file->size;
		maker->commit = maker->commit < file->size ? maker->commit : 0;
		if (file->size < VL_SEGMENT_HEADER) { /* everything else counts on there being one */
			vl_buf_clear(file);
			begin_segment(maker);
		}
		maker->is_sound = false;
		break;
	case ZEROS:
		vl_buf_zero(file, fuzz_take16(&input));
		maker->is_sound = false;
		break;
	case PIECES: break;
	}
}

static void make(struct maker *maker, const struct vl_env *env, uint32_t dim, struct fuzz_input input)
{
	memset(maker, 0, sizeof(*maker));
	sample_init(&maker->sample, env, dim, 1);
	maker->sample.append = append;
	maker->sample.context = maker;
	maker->is_sound = true;
	for (unsigned i = 0; i < SEGMENTS; i++)
		vl_buf_init(&maker->files[i], env);
	begin_segment(maker);
	while (input.size > 0) {
		enum piece what = (enum piece)(fuzz_take8(&input) % PIECES);
		size_t size = fuzz_take16(&input);
		const uint8_t *data = fuzz_take(&input, &size);

		add_piece(maker, what, (struct fuzz_input){data, size});
	}
}

/* ---- reading it ---- */

struct reading {
	valori_code code; /* END, or what is wrong */
	uint64_t commits, height;
	uint8_t state_root[32], tree_root[32];
	bool is_blind;
	uint64_t digest; /* of all commits */
	uint64_t second; /* first event of the commit in the middle */
};

/* The commit that is made of the same events has the same roots. */
static void compare_roots(void *context, const uint8_t *bytes, uint64_t size, const struct vl_position *position)
{
	const struct vl_commit *commit = *(const struct vl_commit *const *)context;

	(void)position;
	must(memcmp(bytes + size - VL_COMMIT_TRAILER, commit->events_root, VL_COMMIT_TRAILER) == 0);
}

/* The events of a commit once more, one by one. */
static void apply_again(struct sample *again, const struct vl_commit *commit)
{
	size_t at = 0, used;
	struct vl_event event;

	again->append = compare_roots;
	again->context = &commit;
	sample_begin(again);
	for (uint32_t i = 0; i < commit->event_count; i++) {
		must(vl_event_decode(kernels, commit->events + at, (size_t)commit->events_size - at,
				     again->position.dim, &event, &used, NULL) == VALORI_OK);
		must(sample_apply(again, &event));
		at += used;
	}
	must(at == commit->events_size);
	sample_commit(again);
	must(memcmp(again->position.state_root, commit->state_root, 32) == 0);
}

static struct reading read_log(const struct vl_env *env, struct fuzz_disk *disk, struct vl_reader_options options,
			       bool one_by_one)
{
	struct reading out = {0};
	struct vl_reader *reader;
	struct vl_replica replica;
	struct vl_commit commit;
	struct sample again;
	uint8_t root[32];
	valori_error error = {0};
	bool is_fed = true;

	out.code = vl_reader_open(env, &disk->os, &options, &reader, &error);
	if (out.code != VALORI_OK) {
		must(error.message[0] != 0);
		return out;
	}
	out.is_blind = vl_reader_base(reader)->height != 0 || vl_reader_base(reader)->frontier.size != 0;
	if (out.is_blind)
		vl_replica_init_blind(&replica, env, vl_reader_base(reader)->dim);
	else
		must(vl_replica_init(&replica, env, vl_reader_base(reader)->dim, 0, NULL) == VALORI_OK);
	if (one_by_one && !out.is_blind)
		sample_init(&again, env, vl_reader_base(reader)->dim, 1);
	/* The first header says what nothing has for a root. */
	if (!out.is_blind)
		is_fed = memcmp(replica.root, vl_reader_base(reader)->state_root, 32) == 0;
	out.height = vl_reader_base(reader)->height;
	memcpy(out.state_root, vl_reader_base(reader)->state_root, 32);
	vl_frontier_root(&vl_reader_base(reader)->frontier, kernels, out.tree_root);
	while (out.code == VALORI_OK && is_fed) {
		error = (valori_error){0};
		out.code = vl_reader_next(reader, &commit, &error);
		if (out.code != VALORI_OK)
			break;
		is_fed = vl_replica_put(&replica, &commit, &error) == VALORI_OK;
		if (is_fed && one_by_one)
			is_fed = vl_replica_flush(&replica, &error) == VALORI_OK;
		if (!is_fed)
			break;
		if (one_by_one && !out.is_blind)
			apply_again(&again, &commit);
		out.digest = fuzz_mix(out.digest, commit.bytes, (size_t)commit.size);
		out.commits++;
		if (one_by_one) {
			out.height = commit.first_event + commit.event_count;
			memcpy(out.state_root, commit.state_root, 32);
			vl_frontier_root(&vl_reader_position(reader)->frontier, kernels, out.tree_root);
			if (out.commits % 2 == 1)
				out.second = commit.first_event;
		}
	}
	if (is_fed)
		is_fed = vl_replica_flush(&replica, &error) == VALORI_OK;
	if (!is_fed)
		out.code = VALORI_MISMATCH;
	must(out.code == VALORI_END || out.commits == 0 || error.message[0] != 0);
	must(out.code != VALORI_NO_MEMORY && out.code != VALORI_IO);
	if (one_by_one && !out.is_blind) {
		must(vl_state_root(&again.state, true, root, NULL) == VALORI_OK);
		must(memcmp(root, again.position.state_root, 32) == 0);
		if (is_fed)
			must(memcmp(root, replica.root, 32) == 0);
		sample_free(&again);
	}
	vl_replica_free(&replica);
	vl_reader_close(reader);
	return out;
}

static bool is_same(const struct reading *a, const struct reading *b)
{
	return a->code == b->code && a->commits == b->commits && a->digest == b->digest;
}

/* A reader that jumps comes to the commit that one who walks came to. */
static void seek(const struct vl_env *env, struct fuzz_disk *disk, const struct vl_reader_options *options,
		 uint64_t event)
{
	struct vl_reader *reader;
	struct vl_commit commit;

	must(vl_reader_open(env, &disk->os, options, &reader, NULL) == VALORI_OK);
	must(vl_reader_seek(reader, event, NULL) == VALORI_OK);
	must(vl_reader_next(reader, &commit, NULL) == VALORI_OK);
	must(commit.first_event == event);
	vl_reader_close(reader);
}

static valori_code verify(const struct vl_env *env, const struct vl_os *os, valori_verify_report *report)
{
	valori_verify_options options = VALORI_VERIFY_INIT;
	valori_error error;
	valori_code code;

	*report = (valori_verify_report){.size = sizeof(*report)};
	options.path = "d";
	options.snapshot = "";
	code = vl_verify(env, os, &options, report, &error);
	must(code != VALORI_OK || memchr(report->sentence, 0, sizeof(report->sentence)) != NULL);
	return code;
}

/* ---- writing to it ---- */

static void copy_to(struct sim *sim, const char *path, const uint8_t *data, size_t size)
{
	int fd = sim->os.open(sim, path, VL_OS_CREATE);

	must(fd >= 0 && vl_os_pwrite_all(&sim->os, fd, data, size, 0) == 0);
	must(sim->os.sync(sim, fd) == 0 && sim->os.close(sim, fd) == 0);
}

/* Whoever opens it to write takes over what is there, and leaves a log that is sound. */
static void write_on(const struct vl_env *env, const struct fuzz_disk *disk, uint32_t dim, const struct reading *all,
		     bool must_open)
{
	static const int32_t vector[DIM_MAX] = {65536};
	struct sim *sim = sim_new(1);
	valori_options options = VALORI_OPTIONS_INIT;
	valori_verify_report report;
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	valori_code code;
	valori *store;

	must(sim->os.make_directory(sim, "d") == 0);
	for (unsigned i = 0; i < disk->count; i++)
		copy_to(sim, disk->files[i].path, disk->files[i].data, disk->files[i].size);
	options.log = "d";
	options.flags = VALORI_WRITE;
	code = vl_engine_open(&options, &sim->os, env, &store, &error);
	must(!must_open || code == VALORI_OK);
	if (code == VALORI_OK) {
		valori_op op = {.kind = VALORI_OP_INSERT, .vector = vector, .dim = dim};
		valori_batch *batch;

		must(valori_get_info(store, &info, NULL) == VALORI_OK);
		must(all->code == VALORI_END && info.height == all->height);
		must(memcmp(info.state_root.bytes, all->state_root, 32) == 0);
		must(valori_batch_new(dim, &batch, NULL) == VALORI_OK);
		must(valori_batch_add(batch, &op, NULL) == VALORI_OK);
		must(valori_commit(store, batch, NULL, NULL, NULL) == VALORI_OK);
		valori_batch_free(batch);
		must(valori_close(store, NULL) == VALORI_OK);
		must(verify(env, &sim->os, &report) == VALORI_OK);
		must(report.verdict == VALORI_CONSISTENT && report.torn_size == 0);
		must(report.height == info.height + 1);
	}
	must(sim->open == 0 && sim->mapped == 0);
	sim_free(sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char paths[SEGMENTS][64];
	struct vl_reader_options options = {.path = "d", .fd = -1};
	struct fuzz_input input = {data, size};
	struct fuzz_memory memory;
	struct fuzz_disk disk;
	struct maker maker;
	struct reading acknowledged, all, other;
	valori_verify_report report;
	valori_code code;
	uint32_t dim;
	bool is_intact;

	if (size == 0)
		return 0;
	kernels = fuzz_kernels();
	fuzz_memory_init(&memory, kernels, (UINT64_C(12) << 20) + 64 * (uint64_t)size);
	dim = 1 + data[0] % DIM_MAX;
	fuzz_take8(&input);
	make(&maker, &memory.env, dim, input);
	fuzz_disk_init(&disk);
	for (unsigned i = 0; i <= maker.last; i++) {
		if (i < maker.last)
			snprintf(paths[i], sizeof(paths[i]), "d/events-%020llu.log",
				 (unsigned long long)maker.first_events[i]);
		else
			snprintf(paths[i], sizeof(paths[i]), "d/events.log");
		fuzz_disk_add(&disk, paths[i], maker.files[i].data, maker.files[i].size);
	}
	if (maker.has_head)
		fuzz_disk_add(&disk, "d/events.head", maker.head, VL_HEAD_SIZE);

	acknowledged = read_log(&memory.env, &disk, options, true);
	options.ignore_head = true;
	all = read_log(&memory.env, &disk, options, true);
	if (all.commits > 0)
		seek(&memory.env, &disk, &options, all.second);
	disk.piece = 1 + (unsigned)(fuzz_mix(0, data, size) % 5000);
	other = read_log(&memory.env, &disk, options, false);
	must(all.code == VALORI_MISMATCH ? other.code == all.code : is_same(&all, &other));
	options.ignore_head = false;
	other = read_log(&memory.env, &disk, options, false);
	must(acknowledged.code == VALORI_MISMATCH ? other.code == acknowledged.code : is_same(&acknowledged, &other));
	disk.piece = 0;
	if (maker.last == 0 && !maker.has_head) { /* a stream of the same bytes; it takes no zeros for room */
		struct vl_reader_options stream = {.fd = disk.os.open(&disk, paths[0], VL_OS_READ)};

		other = read_log(&memory.env, &disk, stream, true);
		must(other.commits == all.commits && other.digest == all.digest);
		must((other.code == VALORI_END) == (all.code == VALORI_END));
		disk.os.close(&disk, stream.fd);
	}

	is_intact = all.code == VALORI_END;
	code = verify(&memory.env, &disk.os, &report);
	must(code != VALORI_NO_MEMORY && code != VALORI_IO);
	if (code == VALORI_OK && report.verdict == VALORI_CONSISTENT) {
		must(is_intact && report.height == all.height);
		must(memcmp(report.state_root.bytes, all.state_root, 32) == 0);
		must(memcmp(report.tree_root.bytes, all.tree_root, 32) == 0);
	}
	if (maker.is_sound) {
		must(is_intact && acknowledged.code == VALORI_END);
		must(code == VALORI_OK && report.verdict == VALORI_CONSISTENT && report.torn_size == 0);
		must(all.height == maker.sample.position.height);
		must(memcmp(all.state_root, maker.sample.position.state_root, 32) == 0);
		must(acknowledged.height == (maker.has_head ? maker.head_height : all.height));
	} else if (is_intact && !maker.has_head && !all.is_blind) {
		must(code == VALORI_OK && report.verdict == VALORI_CONSISTENT);
	}
	if (code == VALORI_OK && !is_intact)
		must(report.verdict != VALORI_CONSISTENT);
	if ((data[0] & WRITER) != 0 && !all.is_blind)
		write_on(&memory.env, &disk, dim, &all, maker.is_sound);

	fuzz_disk_check(&disk);
	for (unsigned i = 0; i < SEGMENTS; i++)
		vl_buf_free(&maker.files[i]);
	sample_free(&maker.sample);
	fuzz_memory_check(&memory);
	return 0;
}
