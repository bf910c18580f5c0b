/*
 * follow.c - follows commit streams with nothing but the core, and prints what they come to.
 *
 *   follow FORM BATCH STREAM EVENTS [STREAM EVENTS ...]
 *
 * FORM     live      every event applied by itself, hashed by itself and encoded again; every third commit is first
 *                    taken back; one frozen version is kept and must not change
 *          replayed  as recovery, replication and verification do
 *          restored  replayed to the half; laid out as a snapshot, attached to empty arrays, and followed to the end
 * BATCH    live: events of a commit; 0: as the stream has them, and then its bytes must come out again
 * STREAM   a segment header and commits; EVENTS: as far as the commit that reaches this height; with a plus behind the
 *          number, indexes are built beside it
 *
 * A line for each stream: STREAM, height, tree root, state root, digest of the sections that a snapshot would have,
 * digest of the answers of exact searches, digest of the indexes, digest of what is found with them; a dash without.
 */
#include "commit.h"
#include "event.h"
#include "indexes.h"
#include "machine.h"
#include "replica.h"

enum { KIND_TREES = 32, KIND_REQUESTS = 40, KIND_REQUEST_BUCKETS = 41, KINDS = 42, BATCH_SIZE_MAX = 8 << 20 };

enum form { LIVE, REPLAYED, RESTORED };

struct run {
	const struct machine *machine;
	const struct vl_env *env;
	enum form form;
	uint32_t batch;
	const char *path;
	uint64_t events; /* to be reached */
	struct vl_position read; /* in the stream */
	struct vl_position position; /* of what was followed */
	struct vl_replica replica;
	struct vl_buf commit;        /* as read */
	/* live: the commit that is being made */
	struct vl_buf table, encoded, digests, made, scratch;
	uint32_t event_count, request_count;
	uint64_t commits; /* made */
	bool is_kept;
	uint64_t kept_version;
	struct vl_state kept;
	uint8_t kept_root[VL_HASH_SIZE];
	struct vl_buf parts[KINDS]; /* restored: what the arrays lie in */
	bool is_indexed;
	struct matrix_indexes indexes;
};

/* ---- Printing ---- */

static void print(const struct run *run, const char *text)
{
	run->machine->print(text);
}

static void print_hash(const struct run *run, const uint8_t hash[VL_HASH_SIZE])
{
	char text[2 * VL_HASH_SIZE + 2];

	text[0] = ' ';
	for (unsigned i = 0; i < VL_HASH_SIZE; i++) {
		text[1 + 2 * i] = "0123456789abcdef"[hash[i] >> 4];
		text[2 + 2 * i] = "0123456789abcdef"[hash[i] & 15];
	}
	text[sizeof(text) - 1] = '\0';
	print(run, text);
}

static valori_code out_of_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

/* ---- Reading ---- */

static valori_code open_stream(struct run *run, valori_error *error)
{
	uint8_t header[VL_SEGMENT_HEADER];

	if (!run->machine->open(run->path) || run->machine->read(header, sizeof(header)) != sizeof(header))
		return vl_fail(error, VALORI_NOT_FOUND, "%s: cannot be read", run->path);
	return vl_segment_header_decode(header, run->path, run->env->kernels, &run->read, error);
}

/* The next commit into run->commit, its framing and checksums checked. */
static valori_code read_commit(struct run *run, struct vl_commit *out, valori_error *error)
{
	const struct vl_kernels *kernels = run->env->kernels;
	size_t body;
	uint8_t *at;
	valori_code code;

	vl_buf_clear(&run->commit);
	at = vl_buf_extend(&run->commit, VL_COMMIT_HEADER);
	if (at == NULL)
		return out_of_memory(error);
	if (run->machine->read(at, VL_COMMIT_HEADER) != VL_COMMIT_HEADER)
		return vl_fail(error, VALORI_MISSING, "%s: ends before event %llu", run->path,
			       (unsigned long long)run->events);
	code = vl_commit_header_decode(at, &run->read, kernels, out, error);
	if (code != VALORI_OK)
		return code;
	body = (size_t)(out->size - VL_COMMIT_HEADER);
	at = vl_buf_extend(&run->commit, body);
	if (at == NULL)
		return out_of_memory(error);
	if (run->machine->read(at, body) != body)
		return vl_fail(error, VALORI_DAMAGED, "%s: ends inside a commit", run->path);
	code = vl_commit_decode(run->commit.data, run->commit.size, &run->read, kernels, out, error);
	out->path = run->path;
	out->offset = 0;
	if (code == VALORI_OK)
		vl_position_advance(&run->read, out, kernels);
	return code;
}

/* ---- Live ---- */

static void begin_commit(struct run *run)
{
	vl_replica_begin(&run->replica);
	vl_buf_clear(&run->table);
	vl_buf_clear(&run->encoded);
	vl_buf_clear(&run->digests);
	run->event_count = run->request_count = 0;
}

/* request: the id it carries, or NULL. */
static valori_code apply_event(struct run *run, struct vl_event *event, const uint8_t *request, valori_error *error)
{
	const struct vl_kernels *kernels = run->env->kernels;
	uint32_t dim = run->replica.dim;
	struct vl_request entry;
	valori_code code = vl_event_hash_contents(kernels, event, 1, dim, &run->scratch, error);
	uint8_t *digest = vl_buf_extend(&run->digests, VL_HASH_SIZE);

	if (digest == NULL)
		return out_of_memory(error);
	if (code == VALORI_OK)
		code = vl_event_digests(kernels, event, 1, &run->scratch, digest, error);
	if (code == VALORI_OK)
		code = vl_state_apply(&run->replica.state, event, error);
	if (code == VALORI_OK && request != NULL) {
		memcpy(entry.id, request, VL_REQUEST_ID);
		memcpy(entry.digest, digest, VL_HASH_SIZE);
		entry.event = run->position.height + run->event_count;
		entry.object = event->id;
		code = vl_requests_add(&run->replica.requests, &entry, error);
		vl_buf_put32(&run->table, run->event_count);
		vl_buf_put32(&run->table, 0);
		vl_buf_put(&run->table, request, VL_REQUEST_ID);
		run->request_count++;
	}
	vl_event_encode(event, dim, &run->encoded);
	run->event_count++;
	return code;
}

/* The commit that was made takes its place in the history; original: what it must be, or NULL. */
static valori_code end_commit(struct run *run, uint64_t time_ms, const struct vl_commit *original, valori_error *error)
{
	const struct vl_kernels *kernels = run->env->kernels;
	struct vl_buf *made = &run->made;
	struct vl_commit commit;
	uint8_t *roots;
	valori_code code;

	vl_buf_clear(made);
	vl_buf_zero(made, VL_COMMIT_HEADER);
	vl_buf_put(made, run->table.data, run->table.size);
	vl_buf_put(made, run->encoded.data, run->encoded.size);
	roots = vl_buf_extend(made, VL_COMMIT_TRAILER);
	if (roots == NULL || run->table.failed || run->encoded.failed)
		return out_of_memory(error);
	vl_events_root(kernels, run->digests.data, run->event_count, roots);
	code = vl_commitment_update(&run->replica.commitment, &run->replica.state, run->replica.root, error);
	if (code != VALORI_OK)
		return code;
	memcpy(roots + VL_HASH_SIZE, run->replica.root, VL_HASH_SIZE);
	vl_replica_commit(&run->replica);
	vl_commit_finish(made->data, made->size, &run->position, time_ms, run->event_count, run->request_count,
			 kernels);
	if (original != NULL &&
	    (original->size != made->size || memcmp(original->bytes, made->data, made->size) != 0))
		return vl_fail(error, VALORI_MISMATCH, "%s: commit %llu comes out as other bytes", run->path,
			       (unsigned long long)original->number);
	code = vl_commit_decode(made->data, made->size, &run->position, kernels, &commit, error);
	if (code == VALORI_OK)
		vl_position_advance(&run->position, &commit, kernels);
	if (code == VALORI_OK && run->is_indexed)
		matrix_indexes_applied(&run->indexes);
	run->commits++;
	return code;
}

/* Events of a commit that was read, one after the other. is_batched: commits end where run->batch says. */
static valori_code apply_events(struct run *run, const struct vl_commit *commit, bool is_batched, valori_error *error)
{
	const uint8_t *request = commit->requests, *end = request + (size_t)commit->request_count * VL_REQUEST_ENTRY;
	size_t at = 0, used;

	for (uint32_t i = 0; i < commit->event_count; i++) {
		bool has_request = request < end && vl_get32(request) == i;
		struct vl_event event;
		valori_code code = vl_event_decode(run->env->kernels, commit->events + at,
						   (size_t)commit->events_size - at, run->replica.dim, &event, &used,
						   error);

		if (code == VALORI_OK)
			code = apply_event(run, &event, has_request ? request + 8 : NULL, error);
		request += has_request ? VL_REQUEST_ENTRY : 0;
		at += used;
		if (code == VALORI_OK && is_batched &&
		    (run->event_count == run->batch || run->encoded.size > BATCH_SIZE_MAX)) {
			code = end_commit(run, commit->time_ms, NULL, error);
			begin_commit(run);
		}
		if (code != VALORI_OK)
			return code;
	}
	return VALORI_OK;
}

/* A version that is looked at again when all is over. */
static valori_code keep_version(struct run *run, valori_error *error)
{
	run->kept_version = vl_pool_freeze(run->replica.pool);
	if (run->kept_version == 0)
		return out_of_memory(error);
	run->kept = run->replica.state;
	memcpy(run->kept_root, run->replica.root, VL_HASH_SIZE);
	run->is_kept = true;
	return VALORI_OK;
}

static valori_code check_version(struct run *run, valori_error *error)
{
	uint8_t root[VL_HASH_SIZE];
	valori_code code;

	if (!run->is_kept)
		return VALORI_OK;
	code = vl_state_root(&run->kept, false, root, error);
	if (code == VALORI_OK && memcmp(root, run->kept_root, VL_HASH_SIZE) != 0)
		code = vl_fail(error, VALORI_MISMATCH, "%s: a frozen version has changed", run->path);
	vl_pool_release(run->replica.pool, run->kept_version);
	run->is_kept = false;
	return code;
}

static valori_code live_commit(struct run *run, const struct vl_commit *commit, valori_error *error)
{
	valori_code code = VALORI_OK;

	if (run->commits % 3 == 0) {
		begin_commit(run);
		code = apply_events(run, commit, false, error);
		vl_replica_abort(&run->replica);
	}
	begin_commit(run);
	if (code == VALORI_OK)
		code = apply_events(run, commit, false, error);
	if (code == VALORI_OK)
		code = end_commit(run, commit->time_ms, commit, error);
	if (code == VALORI_OK && !run->is_kept && run->position.height >= run->events / 2)
		code = keep_version(run, error);
	return code;
}

static valori_code follow_live(struct run *run, valori_error *error)
{
	valori_code code = VALORI_OK;

	if (run->batch > 0)
		begin_commit(run);
	while (code == VALORI_OK && run->read.height < run->events) {
		struct vl_commit commit;

		code = read_commit(run, &commit, error);
		if (code == VALORI_OK)
			code = run->batch > 0 ? apply_events(run, &commit, true, error)
					      : live_commit(run, &commit, error);
	}
	if (code == VALORI_OK && run->batch > 0) {
		if (run->event_count > 0)
			code = end_commit(run, run->read.time_ms, NULL, error);
		else
			vl_replica_abort(&run->replica);
	}
	return code;
}

/* ---- The sections of a snapshot ---- */

/* Where the bytes of sections go: into their digests, or into memory. */
struct layout {
	struct run *run;
	struct vl_buf *parts; /* NULL: digests */
	struct matrix_sections sections;
	struct vl_blake3 hash;
	uint64_t size;
};

static void lay(struct layout *layout, uint32_t kind, const uint8_t *data, size_t size)
{
	layout->size += size;
	if (layout->parts != NULL)
		vl_buf_put(&layout->parts[kind], data, size);
	else
		vl_blake3_update(&layout->hash, data, size);
}

static void begin_part(struct layout *layout)
{
	vl_blake3_init(&layout->hash, layout->run->env->kernels, VL_HASH_PLAIN);
	layout->size = 0;
}

static void end_part(struct layout *layout, uint32_t kind, uint64_t count)
{
	uint8_t digest[VL_HASH_SIZE];

	vl_blake3_final(&layout->hash, digest);
	if (layout->parts == NULL)
		matrix_sections_add(&layout->sections, kind, layout->size, count, digest);
}

static void lay_array(struct layout *layout, uint32_t kind, const struct vl_array *array)
{
	uint64_t run;

	for (uint64_t i = 0; i < array->count; i += run) {
		const uint8_t *data = vl_array_run(array, i, &run);

		lay(layout, kind, data, (size_t)run * array->elem_size);
	}
}

/* Pieces of one section after the other; a section without bytes has no piece. */
static void lay_state(struct layout *layout)
{
	const struct vl_state *state = &layout->run->replica.state;
	struct vl_canon *canon = vl_alloc(layout->run->env, sizeof(*canon));
	enum vl_section section = VL_SECTIONS_END;
	const uint8_t *data;
	size_t size;
	bool more;

	if (canon == NULL)
		return;
	vl_canon_init(canon, state);
	more = vl_canon_next(canon, &section, &data, &size);
	for (uint32_t kind = 1; kind < VL_SECTIONS_END; kind++) {
		begin_part(layout);
		while (more && (uint32_t)section == kind) {
			lay(layout, kind, data, size);
			more = vl_canon_next(canon, &section, &data, &size);
		}
		end_part(layout, kind,
			 kind == VL_SECTION_HEAP ? layout->size
						 : vl_state_section(state, (enum vl_section)kind)->count);
	}
	vl_release(layout->run->env, canon, sizeof(*canon));
}

static void lay_out(struct layout *layout)
{
	const struct vl_replica *replica = &layout->run->replica;

	vl_blake3_init(&layout->sections.hash, layout->run->env->kernels, VL_HASH_PLAIN);
	lay_state(layout);
	for (uint32_t list = 0; list < VL_LISTS; list++) {
		const struct vl_tree *tree = &replica->commitment.trees[list];

		begin_part(layout);
		for (uint32_t level = 0; level < vl_tree_levels(tree); level++)
			lay_array(layout, KIND_TREES + list, &tree->level[level]);
		end_part(layout, KIND_TREES + list, layout->size / VL_HASH_SIZE);
	}
	begin_part(layout);
	lay_array(layout, KIND_REQUESTS, &replica->requests.entries);
	end_part(layout, KIND_REQUESTS, replica->requests.entries.count);
	begin_part(layout);
	lay_array(layout, KIND_REQUEST_BUCKETS, &replica->requests.buckets);
	end_part(layout, KIND_REQUEST_BUCKETS, replica->requests.buckets.count);
}

static void map(struct vl_array *array, const uint8_t *base, uint64_t count)
{
	vl_array_free(array);
	if (count > 0)
		vl_array_map(array, base, count);
}

/* The state is laid out, dropped, and attached again from there. */
static valori_code restore(struct run *run, valori_error *error)
{
	struct vl_replica *replica = &run->replica;
	struct layout layout = {.run = run, .parts = run->parts};
	const uint8_t *base[VL_SECTIONS_END] = {NULL};
	uint64_t counts[VL_SECTIONS_END] = {0}, requests = replica->requests.total;
	struct vl_totals totals = replica->state.totals;
	uint8_t root[VL_HASH_SIZE];
	valori_code code;

	lay_out(&layout);
	for (uint32_t kind = 1; kind < VL_SECTIONS_END; kind++) {
		base[kind] = run->parts[kind].data;
		counts[kind] = kind == VL_SECTION_HEAP
				       ? run->parts[kind].size
				       : vl_state_section(&replica->state, (enum vl_section)kind)->count;
	}
	for (uint32_t kind = 0; kind < KINDS; kind++)
		if (run->parts[kind].failed)
			return out_of_memory(error);
	code = vl_replica_vacate(replica, run->position.dim, 0, error);
	if (code == VALORI_OK)
		code = vl_state_attach(&replica->state, base, counts, &totals, error);
	if (code != VALORI_OK)
		return code;
	for (uint32_t list = 0; list < VL_LISTS; list++) {
		struct vl_tree *tree = &replica->commitment.trees[list];
		const uint8_t *at = run->parts[KIND_TREES + list].data;
		uint64_t count = vl_state_slots(&replica->state, (enum vl_list)list);

		for (uint32_t level = 0; level < VL_LEVELS_MAX; level++) {
			map(&tree->level[level], at, count);
			at += count * VL_HASH_SIZE;
			count = count <= 1 ? 0 : (count + 1) / 2;
		}
	}
	map(&replica->requests.entries, run->parts[KIND_REQUESTS].data,
	    run->parts[KIND_REQUESTS].size / VL_REQUEST_ENTRY_SIZE);
	map(&replica->requests.buckets, run->parts[KIND_REQUEST_BUCKETS].data,
	    run->parts[KIND_REQUEST_BUCKETS].size / VL_REQUEST_BUCKET_SIZE);
	replica->requests.total = requests;
	code = vl_commitment_update(&replica->commitment, &replica->state, root, error);
	if (code == VALORI_OK && memcmp(root, run->position.state_root, VL_HASH_SIZE) != 0)
		code = vl_fail(error, VALORI_MISMATCH, "%s: the trees laid out do not give the state root", run->path);
	if (code == VALORI_OK)
		vl_replica_attached(replica, &run->position);
	if (code == VALORI_OK && run->is_indexed)
		code = matrix_indexes_restore(&run->indexes, error);
	return code;
}

/* ---- Replayed, restored ---- */

static valori_code follow_commits(struct run *run, uint64_t events, valori_error *error)
{
	valori_code code = VALORI_OK;

	while (code == VALORI_OK && run->read.height < events) {
		struct vl_commit commit;

		code = read_commit(run, &commit, error);
		if (code == VALORI_OK)
			code = vl_replica_put(&run->replica, &commit, error);
	}
	run->position = run->read;
	return code != VALORI_OK ? code : vl_replica_flush(&run->replica, error);
}

static valori_code follow_stream(struct run *run, valori_error *error)
{
	valori_code code = VALORI_OK;

	if (run->form == LIVE)
		return follow_live(run, error);
	if (run->form == RESTORED) {
		code = follow_commits(run, run->events / 2, error);
		if (code == VALORI_OK)
			code = restore(run, error);
	}
	return code != VALORI_OK ? code : follow_commits(run, run->events, error);
}

/* ---- What it comes to ---- */

static valori_code search_core(void *context, const uint8_t *queries, size_t count, size_t k,
			       const struct vl_filter *filter, valori_hit *hits, size_t *hit_counts,
			       valori_error *error)
{
	const struct run *run = context;
	valori_code code = vl_brute_search(&run->replica.state, queries, count, k, filter, 0, UINT64_MAX, hits,
					   hit_counts, error);

	for (size_t i = 0; i < count && code == VALORI_OK; i++)
		vl_hits_sort(hits + i * k, hit_counts[i]);
	return code;
}

/* The root again, from the content of every record, by the oracle. */
static valori_code check_oracle(struct run *run, valori_error *error)
{
	uint8_t root[VL_HASH_SIZE];
	valori_code code = vl_state_root(&run->replica.state, true, root, error);

	if (code == VALORI_OK && memcmp(root, run->replica.root, VL_HASH_SIZE) != 0)
		code = vl_fail(error, VALORI_MISMATCH, "%s: the oracle has another state root", run->path);
	return code;
}

static valori_code report(struct run *run, valori_error *error)
{
	const struct vl_kernels *kernels = run->env->kernels;
	struct layout layout = {.run = run};
	uint8_t tree[VL_HASH_SIZE], sections[VL_HASH_SIZE], answers[VL_HASH_SIZE];
	uint8_t index[VL_HASH_SIZE], found[VL_HASH_SIZE];
	valori_code code = check_oracle(run, error);
	char number[24];

	if (code == VALORI_OK)
		code = matrix_answers(run->env, run->replica.dim, search_core, run, answers, error);
	if (code == VALORI_OK && run->is_indexed)
		code = matrix_indexes_report(&run->indexes, answers, index, found, error);
	if (code != VALORI_OK)
		return code;
	vl_frontier_root(&run->position.frontier, kernels, tree);
	lay_out(&layout);
	vl_blake3_final(&layout.sections.hash, sections);
	vl_format(number, sizeof(number), " %llu", (unsigned long long)run->position.height);
	print(run, run->path);
	print(run, number);
	print_hash(run, tree);
	print_hash(run, run->replica.root);
	print_hash(run, sections);
	print_hash(run, answers);
	if (run->is_indexed) {
		print_hash(run, index);
		print_hash(run, found);
	} else {
		print(run, " - -");
	}
	print(run, "\n");
	return VALORI_OK;
}

/* After each commit that is replayed. */
static void applied(void *context, const struct vl_commit *commit)
{
	(void)commit;
	matrix_indexes_applied(context);
}

static valori_code follow_one(struct run *run, valori_error *error)
{
	const struct vl_env *env = run->env;
	struct vl_buf *bufs[] = {&run->commit, &run->table, &run->encoded, &run->digests, &run->made, &run->scratch};
	valori_code code = open_stream(run, error);

	if (code != VALORI_OK)
		return code;
	run->position = run->read;
	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		vl_buf_init(bufs[i], env);
	for (size_t i = 0; i < KINDS; i++)
		vl_buf_init(&run->parts[i], env);
	code = vl_replica_init(&run->replica, env, run->read.dim, 0, error);
	if (code != VALORI_OK)
		return code;
	if (run->is_indexed) {
		matrix_indexes_init(&run->indexes, env, &run->replica.state);
		run->replica.applied = applied;
		run->replica.context = &run->indexes;
	}
	code = follow_stream(run, error);
	if (code == VALORI_OK)
		code = report(run, error);
	if (code == VALORI_OK)
		code = check_version(run, error);
	if (run->is_indexed)
		matrix_indexes_free(&run->indexes);
	vl_replica_free(&run->replica);
	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		vl_buf_free(bufs[i]);
	for (size_t i = 0; i < KINDS; i++)
		vl_buf_free(&run->parts[i]);
	return code;
}

/* ---- The program ---- */

static bool is_text(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool ends_with_plus(const char *text)
{
	while (*text != '\0' && *text != '+')
		text++;
	return *text == '+';
}

static uint64_t number_of(const char *text)
{
	uint64_t number = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (uint64_t)(*text - '0');
	return number;
}

int follow(const struct machine *machine, int argc, char **argv)
{
	static const char *const forms[] = {"live", "replayed", "restored"};
	struct run *run = vl_alloc(machine->env, sizeof(*run));
	unsigned form = 0;

	while (argc > 1 && form < 3 && !is_text(argv[1], forms[form]))
		form++;
	if (run == NULL || argc < 5 || argc % 2 == 0 || form == 3) {
		machine->print("usage: follow live|replayed|restored BATCH STREAM EVENTS ...\n");
		return 2;
	}
	for (int i = 3; i < argc; i += 2) {
		valori_error error;

		memset(run, 0, sizeof(*run));
		run->machine = machine;
		run->env = machine->env;
		run->form = (enum form)form;
		run->batch = (uint32_t)number_of(argv[2]);
		run->path = argv[i];
		run->events = number_of(argv[i + 1]);
		run->is_indexed = ends_with_plus(argv[i + 1]);
		if (follow_one(run, &error) != VALORI_OK) {
			print(run, "failed: ");
			print(run, error.message);
			print(run, "\n");
			return 1;
		}
	}
	vl_release(machine->env, run, sizeof(*run));
	return 0;
}
