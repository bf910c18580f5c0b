/*
 * serve_replication.c - the log as a stream, for followers, and what they ask beside it. docs/http.md is the contract.
 *
 * A stream reads the files of the log, as anybody could, until it has come to the end of what is durable. From there on
 * it lives on the ring: the last commits, read once by one thread (the feeder) for all streams, which it wakes. A
 * stream that is too slow for the ring goes back to its files, forward from where it left them; so does one when there
 * is no ring. Nothing waits for a stream, and a stream holds no more than its own buffers and one block of the ring.
 */
#include "serve.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	RING_BYTES = 8 << 20, /* of commits */
	RING_BLOCKS = 4096,
	BLOCK_BYTES = 256 << 10, /* what is read at once; a longer commit is a block of its own ... */
	BLOCK_MAX = 1 << 20,	 /* ... up to here: larger ones are read from the files */
	BLOCK_PIECES = 1024,
	OUT_BYTES = 64 << 10,
	DIRECT_BYTES = 16 << 10, /* from here on bytes go out from where they lie */
	SILENCE_MS = 5000,
	LOOK_MS = 100,	 /* the feeder looks at the files, when nobody has told it of a commit */
	PAUSE_US = 1000, /* between two rounds, that streams need not wake for each commit; more with many of them */
	PAUSE_STREAMS = 8,
	PAUSE_UNSYNCED_US = 50000, /* where commits are not synced, the feeder does it */
	KEEP_MS = 30000,	   /* the ring stays for streams that come back */
	PATIENCE = 6,		   /* of http.h */
	MARK_COMMITS = 4096
};

struct piece {
	uint64_t number, first_event, height;
	valori_hash root, tree;
	size_t offset, size;
};

/* Commits that follow one another. Only its place in the ring ever changes. */
struct block {
	struct block *next; /* [mutex] */
	size_t refs;	    /* [mutex] of streams, and of the ring */
	bool is_evicted;    /* [mutex] out of the ring: next means nothing */
	uint64_t first_event, height;
	size_t count, size;
	const struct piece *pieces;
	const uint8_t *bytes;
};

struct replication {
	struct node *node;
	pthread_mutex_t mutex;
	pthread_cond_t arrived, due; /* for streams; for the feeder */
	atomic_bool is_wanted, is_due;
	atomic_bool is_stopping;
	bool has_feeder; /* [mutex] */
	pthread_t feeder;
	unsigned streams; /* [mutex] */
	sem_t reading;	  /* half of the processors read files for streams: the others are for the node's own work */

	bool is_ready; /* [mutex] there is a ring: of this log, up to this height */
	valori_hash log_id;
	uint64_t height;
	struct block *oldest, *newest; /* [mutex] */
	size_t blocks, bytes;	       /* [mutex] */

	/* The feeder's: its reader, and the block that it puts together. */
	valori_log *log;
	struct piece pieces[BLOCK_PIECES];
	uint8_t block[BLOCK_MAX];
	size_t count, size;

	atomic_ullong sent_commits, sent_bytes;

	/* First events of commits 0, MARK_COMMITS, 2 MARK_COMMITS ... of a log, as far as somebody has asked. */
	pthread_mutex_t marking;
	valori_hash marked_id;
	uint64_t *marks; /* [marking] VALORI_NONE where it was trimmed away */
	size_t marks_count, marks_room;
};

static void wait_ms(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(cond, mutex, &until);
}

/* ---- the ring ---- */

/* [mutex] */
static void let_go(struct block *block)
{
	if (block != NULL && --block->refs == 0)
		free(block);
}

/* [mutex] */
static void evict(struct replication *r)
{
	struct block *block = r->oldest;

	r->oldest = block->next;
	if (r->oldest == NULL)
		r->newest = NULL;
	r->blocks--;
	r->bytes -= block->size;
	block->is_evicted = true;
	let_go(block);
}

/* There is no ring any more: streams go on with the files, and see there what has happened. */
static void reset_ring(struct replication *r)
{
	valori_log_close(r->log);
	r->log = NULL;
	r->count = r->size = 0;
	pthread_mutex_lock(&r->mutex);
	while (r->oldest != NULL)
		evict(r);
	r->is_ready = false;
	pthread_cond_broadcast(&r->arrived);
	pthread_mutex_unlock(&r->mutex);
}

/* What was put together joins the ring. false: out of memory. */
static bool publish(struct replication *r)
{
	size_t pieces_size = r->count * sizeof(struct piece);
	struct block *block;

	if (r->count == 0)
		return true;
	block = malloc(sizeof(*block) + pieces_size + r->size);
	if (block == NULL)
		return false;
	memcpy(block + 1, r->pieces, pieces_size);
	memcpy((uint8_t *)(block + 1) + pieces_size, r->block, r->size);
	*block = (struct block){
		.refs = 1,
		.first_event = r->pieces[0].first_event,
		.height = r->pieces[r->count - 1].height,
		.count = r->count,
		.size = r->size,
		.pieces = (const struct piece *)(block + 1),
		.bytes = (const uint8_t *)(block + 1) + pieces_size,
	};
	r->count = r->size = 0;
	pthread_mutex_lock(&r->mutex);
	if (r->newest != NULL)
		r->newest->next = block;
	else
		r->oldest = block;
	r->newest = block;
	r->blocks++;
	r->bytes += block->size;
	r->height = block->height;
	while (r->bytes > RING_BYTES || r->blocks > RING_BLOCKS)
		evict(r);
	pthread_cond_broadcast(&r->arrived);
	pthread_mutex_unlock(&r->mutex);
	return true;
}

/* A commit that is too large for it: the ring begins anew behind. */
static bool leave_out(struct replication *r, const valori_commit_view *commit)
{
	if (!publish(r))
		return false;
	pthread_mutex_lock(&r->mutex);
	while (r->oldest != NULL)
		evict(r);
	r->height = commit->first_event + commit->event_count;
	pthread_cond_broadcast(&r->arrived);
	pthread_mutex_unlock(&r->mutex);
	return true;
}

static bool take_in(struct replication *r, const valori_commit_view *commit)
{
	if (commit->size > BLOCK_MAX)
		return leave_out(r, commit);
	if (r->count > 0 && (r->count == BLOCK_PIECES || r->size + commit->size > BLOCK_BYTES) && !publish(r))
		return false;
	r->pieces[r->count++] = (struct piece){
		.number = commit->number,
		.first_event = commit->first_event,
		.height = commit->first_event + commit->event_count,
		.root = commit->state_root,
		.tree = commit->tree_root,
		.offset = r->size,
		.size = (size_t)commit->size,
	};
	memcpy(r->block + r->size, commit->bytes, (size_t)commit->size);
	r->size += (size_t)commit->size;
	return true;
}

/* ---- the feeder ---- */

/* What is committed is durable, and the log's files say so. */
static void sync_log(struct node *node)
{
	if (node->config.sync == VALORI_SYNC_ALWAYS || pthread_rwlock_tryrdlock(&node->swap) != 0)
		return;
	if (node->store != NULL)
		(void)valori_flush(node->store, NULL);
	pthread_rwlock_unlock(&node->swap);
}

/* A ring that begins at the end of the log. */
static bool begin_ring(struct replication *r)
{
	struct node *node = r->node;
	valori_info info = {.size = sizeof(info)};
	valori_code code = VALORI_NOT_FOUND;

	if (pthread_rwlock_tryrdlock(&node->swap) != 0)
		return false;
	if (node->store != NULL)
		code = valori_get_info(node->store, &info, NULL);
	pthread_rwlock_unlock(&node->swap);
	if (code != VALORI_OK ||
	    valori_log_open(node->config.log, node->config.archive, VALORI_LOG_AGAIN, &r->log, NULL) != VALORI_OK)
		return false;
	if (valori_log_seek(r->log, info.height, NULL) != VALORI_OK) {
		valori_log_close(r->log);
		r->log = NULL;
		return false;
	}
	pthread_mutex_lock(&r->mutex);
	r->is_ready = true;
	r->log_id = info.log_id;
	r->height = info.height;
	pthread_cond_broadcast(&r->arrived);
	pthread_mutex_unlock(&r->mutex);
	return true;
}

static void feed_round(struct replication *r)
{
	valori_commit_view commit;
	valori_code code = VALORI_OK;

	sync_log(r->node);
	if (r->log == NULL && !begin_ring(r))
		return;
	while (code == VALORI_OK && !r->is_stopping) {
		code = valori_log_next(r->log, &commit, NULL);
		if (code == VALORI_OK && !take_in(r, &commit))
			code = VALORI_NO_MEMORY;
	}
	if (code == VALORI_END && publish(r))
		return;
	reset_ring(r);
}

static void *feed(void *context)
{
	struct replication *r = context;
	uint64_t idle_ms = 0, pause_us;

	pthread_mutex_lock(&r->mutex);
	while (!r->is_stopping) {
		if (!atomic_exchange(&r->is_due, false)) {
			wait_ms(&r->due, &r->mutex, LOOK_MS);
			atomic_store(&r->is_due, false);
		}
		pause_us = PAUSE_US + PAUSE_US * r->streams / PAUSE_STREAMS;
		if (r->node->config.sync != VALORI_SYNC_ALWAYS && pause_us < PAUSE_UNSYNCED_US)
			pause_us = PAUSE_UNSYNCED_US;
		idle_ms = r->streams > 0 ? 0 : idle_ms + LOOK_MS;
		pthread_mutex_unlock(&r->mutex);
		if (idle_ms < KEEP_MS)
			feed_round(r);
		else
			reset_ring(r);
		nanosleep(&(struct timespec){.tv_nsec = (long)pause_us * 1000}, NULL);
		pthread_mutex_lock(&r->mutex);
		while (idle_ms >= KEEP_MS && r->streams == 0 && !r->is_stopping)
			pthread_cond_wait(&r->due, &r->mutex);
	}
	pthread_mutex_unlock(&r->mutex);
	reset_ring(r);
	return NULL;
}

void serve_committed(struct node *node)
{
	struct replication *r = node->replication;

	if (!atomic_load(&r->is_wanted) || atomic_exchange(&r->is_due, true))
		return;
	pthread_mutex_lock(&r->mutex);
	pthread_cond_signal(&r->due);
	pthread_mutex_unlock(&r->mutex);
}

bool serve_replication_init(struct node *node)
{
	struct replication *r = node->replication = calloc(1, sizeof(*r));
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_condattr_t attributes;

	pthread_mutex_init(&node->follow.mutex, NULL);
	snprintf(node->follow.status, sizeof(node->follow.status), "Synced");
	if (r == NULL)
		return false;
	r->node = node;
	pthread_mutex_init(&r->mutex, NULL);
	pthread_mutex_init(&r->marking, NULL);
	sem_init(&r->reading, 0, processors > 2 ? (unsigned)processors / 2 : 1);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&r->arrived, &attributes);
	pthread_cond_init(&r->due, &attributes);
	pthread_condattr_destroy(&attributes);
	return true;
}

void serve_replication_stop(struct node *node)
{
	struct replication *r = node->replication;

	pthread_mutex_lock(&r->mutex);
	r->is_stopping = true;
	pthread_cond_broadcast(&r->arrived);
	pthread_cond_broadcast(&r->due);
	pthread_mutex_unlock(&r->mutex);
}

void serve_replication_free(struct node *node)
{
	struct replication *r = node->replication;

	if (r->has_feeder)
		pthread_join(r->feeder, NULL);
	free(r->marks);
	free(r);
	node->replication = NULL;
}

void serve_replication_count(struct node *node, uint64_t *streams, uint64_t *commits, uint64_t *bytes)
{
	struct replication *r = node->replication;

	pthread_mutex_lock(&r->mutex);
	*streams = r->streams;
	pthread_mutex_unlock(&r->mutex);
	*commits = atomic_load(&r->sent_commits);
	*bytes = atomic_load(&r->sent_bytes);
}

/* ---- one stream ---- */

enum form { EVENTS, LINES, BYTES };

struct stream {
	struct exchange *x;
	struct replication *r;
	valori_log *log; /* where the files are read, at or before height */
	valori_hash log_id;
	enum form form;
	uint64_t height;     /* of what was sent */
	struct block *block; /* the one sent last, or NULL */
	char *out;	     /* OUT_BYTES, not sent yet */
	size_t used;
	bool is_over; /* the client is gone */
	bool is_reading;
	uint64_t said_ns;
};

static void begin_reading(struct stream *stream)
{
	while (sem_wait(&stream->r->reading) != 0)
		;
	stream->is_reading = true;
}

static void end_reading(struct stream *stream)
{
	if (stream->is_reading)
		sem_post(&stream->r->reading);
	stream->is_reading = false;
}

/* The client takes it at its own speed. */
static void write_out(struct stream *stream, const void *data, size_t size)
{
	bool is_reading = stream->is_reading;

	end_reading(stream);
	if (!stream->is_over)
		stream->is_over = !http_stream_write(stream->x->http, data, size);
	stream->said_ns = http_now_ns();
	if (is_reading)
		begin_reading(stream);
}

static void flush(struct stream *stream)
{
	if (stream->used > 0)
		write_out(stream, stream->out, stream->used);
	stream->used = 0;
}

static void put(struct stream *stream, const void *data, size_t size)
{
	const char *from = data;

	if (size >= DIRECT_BYTES) {
		flush(stream);
		write_out(stream, data, size);
		return;
	}
	while (size > 0) {
		size_t part = OUT_BYTES - stream->used < size ? OUT_BYTES - stream->used : size;

		memcpy(stream->out + stream->used, from, part);
		stream->used += part;
		from += part;
		size -= part;
		if (stream->used == OUT_BYTES)
			flush(stream);
	}
}

static void put_base64(struct stream *stream, const uint8_t *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t last[3] = {0};

	while (size >= 3 && !stream->is_over) {
		size_t count = (OUT_BYTES - stream->used) / 4;
		char *to = stream->out + stream->used;

		count = count < size / 3 ? count : size / 3;
		for (size_t i = 0; i < count; i++, data += 3, to += 4) {
			uint32_t word = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];

			to[0] = digits[word >> 18];
			to[1] = digits[word >> 12 & 63];
			to[2] = digits[word >> 6 & 63];
			to[3] = digits[word & 63];
		}
		stream->used += 4 * count;
		size -= 3 * count;
		if (size >= 3)
			flush(stream);
	}
	if (size > 0 && size < 3) {
		char end[4];

		memcpy(last, data, size);
		end[0] = digits[last[0] >> 2];
		end[1] = digits[(last[0] & 3) << 4 | last[1] >> 4];
		end[2] = size == 2 ? digits[(last[1] & 15) << 2] : '=';
		end[3] = '=';
		put(stream, end, sizeof(end));
	}
}

static void put_commit(struct stream *stream, const struct piece *piece, const uint8_t *bytes)
{
	char head[320], root[65], tree[65];
	int used = 0;

	if (stream->form == BYTES) {
		put(stream, bytes, piece->size);
	} else {
		valori_hash_format(&piece->root, root);
		valori_hash_format(&piece->tree, tree);
		if (stream->form == EVENTS)
			used = snprintf(head, sizeof(head),
					"id: %llu\nevent: commit\ndata: ", (unsigned long long)piece->height);
		used += snprintf(head + used, sizeof(head) - (size_t)used,
				 "{\"commit\":%llu,\"height\":%llu,\"root\":\"%s\",\"tree\":\"%s\",\"b64\":\"",
				 (unsigned long long)piece->number, (unsigned long long)piece->height, root, tree);
		put(stream, head, (size_t)used);
		put_base64(stream, bytes, piece->size);
		put(stream, "\"}\n\n", stream->form == EVENTS ? 4 : 3);
	}
	stream->height = piece->height;
	atomic_fetch_add_explicit(&stream->r->sent_commits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&stream->r->sent_bytes, piece->size, memory_order_relaxed);
}

/* Which log this is, and where the stream begins in it: as a file would begin. */
static void put_header(struct stream *stream)
{
	uint8_t header[4096];

	if (valori_log_header(stream->log, header, NULL) != VALORI_OK)
		return;
	if (stream->form == BYTES) {
		put(stream, header, sizeof(header));
		return;
	}
	if (stream->form == EVENTS)
		put(stream, "event: log\ndata: ", 17);
	put(stream, "{\"log\":\"", 8);
	put_base64(stream, header, sizeof(header));
	put(stream, "\"}\n\n", stream->form == EVENTS ? 4 : 3);
}

static void put_view(struct stream *stream, const valori_commit_view *commit)
{
	put_commit(stream,
		   &(struct piece){
			   .number = commit->number,
			   .height = commit->first_event + commit->event_count,
			   .root = commit->state_root,
			   .tree = commit->tree_root,
			   .size = (size_t)commit->size,
		   },
		   commit->bytes);
}

/* The part of the block that the client does not have. */
static void put_block(struct stream *stream, const struct block *block)
{
	for (size_t i = 0; i < block->count && !stream->is_over; i++)
		if (block->pieces[i].first_event >= stream->height)
			put_commit(stream, &block->pieces[i], block->bytes + block->pieces[i].offset);
	flush(stream);
}

/* Why there is no next commit. Bytes just end. */
static void put_error(struct stream *stream, const valori_error *error)
{
	struct tool_json json = {0};
	char *text = NULL;
	size_t size;

	if (stream->form == BYTES)
		return;
	json.file = open_memstream(&text, &size);
	if (json.file == NULL)
		return;
	if (stream->form == EVENTS)
		fputs("event: error\ndata: ", json.file);
	tool_json_begin(&json);
	tool_json_text(&json, "error", error->message);
	tool_json_text(&json, "code", valori_code_name(error->code));
	tool_json_end(&json);
	if (stream->form == EVENTS)
		fputc('\n', json.file);
	if (fclose(json.file) == 0)
		put(stream, text, size);
	free(text);
}

/* Nothing has come for a while. */
static void put_ping(struct stream *stream)
{
	if (stream->form == EVENTS)
		put(stream, ": ping\n\n", 8);
	else if (stream->form == LINES)
		put(stream, "\n", 1);
	else
		stream->is_over |= http_is_gone(stream->x->http);
	flush(stream);
	stream->said_ns = http_now_ns();
}

/* All that is in the files. false: the stream is over. */
static bool stream_files(struct stream *stream)
{
	valori_commit_view commit;
	valori_error error;
	valori_code code;

	begin_reading(stream);
	code = valori_log_seek(stream->log, stream->height, &error);
	while (code == VALORI_OK && !stream->is_over && !http_is_stopping(stream->x->http)) {
		code = valori_log_next(stream->log, &commit, &error);
		if (code == VALORI_OK)
			put_view(stream, &commit);
	}
	if (code != VALORI_OK && code != VALORI_END)
		put_error(stream, &error);
	flush(stream);
	end_reading(stream);
	return code == VALORI_END && !stream->is_over;
}

enum next { TAKE, WAIT, FILES };

/* [mutex] The block with the next commit. */
static enum next find_block(struct stream *stream, struct block **out)
{
	struct replication *r = stream->r;
	struct block *block = stream->block;

	if (!r->is_ready || memcmp(&r->log_id, &stream->log_id, sizeof(r->log_id)) != 0 ||
	    stream->height < (r->oldest != NULL ? r->oldest->first_event : r->height))
		return FILES;
	if (stream->height >= r->height)
		return WAIT;
	if (block == NULL || block->is_evicted)
		block = r->oldest;
	while (block->height <= stream->height)
		block = block->next;
	*out = block;
	return TAKE;
}

/* From the ring, as it grows. false: the stream is over. true: the files have to be looked at. */
static bool stream_ring(struct stream *stream)
{
	struct replication *r = stream->r;
	bool has_waited = false, is_stopping;

	pthread_mutex_lock(&r->mutex);
	while (!stream->is_over && !r->is_stopping) {
		uint64_t silent_ms = (http_now_ns() - stream->said_ns) / 1000000;
		struct block *block;
		enum next next = find_block(stream, &block);

		/* Without a ring the files are looked at now and then. */
		if (next == FILES && (has_waited || (r->is_ready && stream->height < r->height)))
			break;
		if (next == TAKE) {
			let_go(stream->block);
			stream->block = block;
			block->refs++;
			pthread_mutex_unlock(&r->mutex);
			put_block(stream, block);
			pthread_mutex_lock(&r->mutex);
		} else if (silent_ms >= SILENCE_MS) {
			pthread_mutex_unlock(&r->mutex);
			put_ping(stream);
			pthread_mutex_lock(&r->mutex);
		} else {
			wait_ms(&r->arrived, &r->mutex, next == FILES ? LOOK_MS : SILENCE_MS - silent_ms);
			has_waited = next == FILES;
		}
	}
	is_stopping = r->is_stopping;
	let_go(stream->block);
	stream->block = NULL;
	pthread_mutex_unlock(&r->mutex);
	return !is_stopping && !stream->is_over;
}

/* ---- the way in ---- */

/* A place among the streams; the first one starts the feeder. false: answered. */
static bool join(struct exchange *x)
{
	struct replication *r = x->node->replication;
	bool is_full;

	pthread_mutex_lock(&r->mutex);
	is_full = r->streams >= x->node->config.followers_max || r->is_stopping;
	if (!is_full) {
		r->streams++;
		atomic_store(&r->is_wanted, true);
		if (!r->has_feeder)
			r->has_feeder = pthread_create(&r->feeder, NULL, feed, r) == 0;
		atomic_store(&r->is_due, true);
		pthread_cond_signal(&r->due);
	}
	pthread_mutex_unlock(&r->mutex);
	if (is_full)
		http_error(x->http, 503, "Retry-After: 5\r\n", "busy", "%u followers are here already: --max-followers",
			   x->node->config.followers_max);
	return !is_full;
}

static void part(struct replication *r)
{
	pthread_mutex_lock(&r->mutex);
	r->streams--;
	atomic_store(&r->is_wanted, r->streams > 0);
	pthread_mutex_unlock(&r->mutex);
}

/* Where the client wants to begin. false: answered. */
static bool read_start(struct exchange *x, uint64_t *out)
{
	const char *last = http_header(x->http, "Last-Event-ID");

	*out = 0;
	if (last == NULL)
		return exchange_number(x, "start_offset", VALORI_NONE - 1, out);
	if (tool_parse_u64(last, out) && *out < VALORI_NONE)
		return true;
	fail_with(x, 400, "invalid", "Last-Event-ID: must be a height: a whole number");
	return false;
}

static enum form read_form(struct exchange *x)
{
	const char *accept = http_header(x->http, "Accept");

	if (accept == NULL || strstr(accept, "text/event-stream") != NULL)
		return EVENTS;
	if (strstr(accept, "application/x-ndjson") != NULL)
		return LINES;
	return strstr(accept, "application/octet-stream") != NULL ? BYTES : EVENTS;
}

/* The published state. false: answered. */
static bool read_info(struct exchange *x, valori_info *out)
{
	valori_error error;

	*out = (valori_info){.size = sizeof(*out)};
	if (valori_get_info(x->node->store, out, &error) == VALORI_OK)
		return true;
	fail(x, &error);
	return false;
}

/* An error with members that a program can go on with. */
static void fail_at(struct exchange *x, int status, const char *code, const char *name, uint64_t value,
		    const char *other, uint64_t other_value, const char *sentence)
{
	struct tool_json *json = reply_begin(x);

	if (json == NULL)
		return;
	tool_json_text(json, "error", sentence);
	tool_json_text(json, "code", code);
	tool_json_u64(json, name, value);
	tool_json_u64(json, other, other_value);
	reply_send(x, status);
}

static void fail_trimmed(struct exchange *x, uint64_t base, uint64_t height)
{
	char sentence[160];

	snprintf(sentence, sizeof(sentence), "history before event %llu was trimmed: begin from /v1/snapshot/download",
		 (unsigned long long)base);
	fail_at(x, 410, valori_code_name(VALORI_UNKNOWABLE), "base", base, "height", height, sentence);
}

/*
 * The log, the next commit of it being the one that begins with the event of that number: in *out if it is there, else
 * its event_count is 0. NULL: answered.
 */
static valori_log *open_at(struct exchange *x, uint64_t height, const valori_info *info, valori_log_info *about,
			   valori_commit_view *out)
{
	const struct serve_config *config = &x->node->config;
	valori_error error;
	valori_log *log;
	valori_code code = valori_log_open(config->log, config->archive, VALORI_LOG_AGAIN, &log, &error);
	char sentence[200];

	*about = (valori_log_info){.size = sizeof(*about)};
	*out = (valori_commit_view){0};
	if (code == VALORI_OK)
		code = valori_log_get_info(log, about, &error);
	if (code == VALORI_OK)
		code = valori_log_seek(log, height, &error);
	if (code == VALORI_OK)
		code = valori_log_next(log, out, &error);
	if ((code == VALORI_OK && out->first_event == height) || code == VALORI_END) {
		if (code == VALORI_END)
			*out = (valori_commit_view){0};
		return log;
	}
	if (code == VALORI_OK) {
		snprintf(sentence, sizeof(sentence), "height %llu is inside commit %llu: want %llu or %llu",
			 (unsigned long long)height, (unsigned long long)out->number,
			 (unsigned long long)out->first_event,
			 (unsigned long long)(out->first_event + out->event_count));
		fail_at(x, 409, "mismatch", "before", out->first_event, "after", out->first_event + out->event_count,
			sentence);
	} else if (code == VALORI_NOT_FOUND && about->dim != 0) {
		snprintf(sentence, sizeof(sentence), "the node is at height %llu, before %llu",
			 (unsigned long long)info->height, (unsigned long long)height);
		fail_at(x, 409, "mismatch", "height", info->height, "base", about->base_event, sentence);
	} else if (code == VALORI_UNKNOWABLE) {
		fail_trimmed(x, about->base_event, info->height);
	} else {
		fail(x, &error);
	}
	valori_log_close(log);
	return NULL;
}

static void begin_stream(struct stream *stream, const valori_info *info, const valori_log_info *about)
{
	static const char *const types[] = {"text/event-stream", "application/x-ndjson", "application/octet-stream"};
	char headers[512], id[65], root[65];

	valori_hash_format(&about->log_id, id);
	valori_hash_format(&info->state_root, root);
	snprintf(headers, sizeof(headers),
		 "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nX-Valori-Log-Id: %s\r\nX-Valori-Dim: %u\r\n"
		 "X-Valori-Height: %llu\r\nX-Valori-Base: %llu\r\nX-Valori-State-Hash: %s\r\n",
		 id, about->dim, (unsigned long long)info->height, (unsigned long long)about->base_event, root);
	stream->x->http->patience = PATIENCE;
	http_stream_begin(stream->x->http, 200, types[stream->form], headers, UINT64_MAX);
	http_stream_watch(stream->x->http);
	stream->said_ns = http_now_ns();
}

static void run_stream(struct exchange *x)
{
	struct stream stream = {.x = x, .r = x->node->replication, .form = read_form(x)};
	valori_log_info about;
	valori_commit_view commit;
	valori_info info;

	stream.out = exchange_alloc(x, OUT_BYTES, 1);
	if (stream.out == NULL || !read_start(x, &stream.height) || !exchange_enter(x))
		return;
	if (x->node->config.sync != VALORI_SYNC_ALWAYS)
		(void)valori_flush(x->node->store, NULL);
	if (!read_info(x, &info))
		return;
	exchange_leave(x);
	begin_reading(&stream);
	stream.log = open_at(x, stream.height, &info, &about, &commit);
	end_reading(&stream);
	if (stream.log == NULL)
		return;
	stream.log_id = about.log_id;
	begin_stream(&stream, &info, &about);
	put_header(&stream);
	if (commit.event_count > 0)
		put_view(&stream, &commit);
	while (!x->http->is_head && stream_files(&stream) && stream_ring(&stream))
		;
	valori_log_close(stream.log);
}

void route_replication_events(struct exchange *x)
{
	if (x->node->config.log == NULL) {
		fail_with(x, 400, "invalid", "this node has no event log: start it with -l");
	} else if (join(x)) {
		run_stream(x);
		part(x->node->replication);
	}
}

/* ---- one commit ---- */

/*
 * A height at or before the beginning of commit number, from which it is not far; [marking] what is passed on the way
 * is marked. The reader is at the base of its log.
 */
static valori_code find_number(struct replication *r, valori_log *log, const valori_log_info *about, uint64_t number,
			       valori_commit_view *out, valori_error *error)
{
	uint64_t mark = number / MARK_COMMITS;
	valori_code code = VALORI_OK;

	if (memcmp(&r->marked_id, &about->log_id, sizeof(r->marked_id)) != 0)
		r->marks_count = 0;
	r->marked_id = about->log_id;
	if (mark >= r->marks_count && r->marks_count > 0)
		mark = r->marks_count - 1;
	if (mark < r->marks_count && r->marks[mark] != VALORI_NONE && r->marks[mark] > about->base_event)
		code = valori_log_seek(log, r->marks[mark], error);
	while (code == VALORI_OK) {
		code = valori_log_next(log, out, error);
		if (code != VALORI_OK)
			break;
		if (out->number % MARK_COMMITS == 0 && out->number / MARK_COMMITS >= r->marks_count) {
			size_t room = 2 * (size_t)(out->number / MARK_COMMITS) + 64;
			uint64_t *marks = room > r->marks_room ? realloc(r->marks, room * sizeof(*marks)) : r->marks;

			if (marks != NULL) {
				r->marks = marks;
				r->marks_room = room > r->marks_room ? room : r->marks_room;
				while (r->marks_count < out->number / MARK_COMMITS)
					r->marks[r->marks_count++] = VALORI_NONE;
				r->marks[r->marks_count++] = out->first_event;
			}
		}
		if (out->number == number)
			break;
	}
	return code;
}

static void reply_commit(struct exchange *x, const valori_commit_view *commit)
{
	struct tool_json *json = reply_begin(x);
	char history[96];
	valori_hash hash;

	if (json == NULL)
		return;
	valori_hash_of(commit->bytes, (size_t)commit->size, &hash);
	tool_json_u64(json, "number", commit->number);
	tool_json_u64(json, "first_event", commit->first_event);
	tool_json_u64(json, "height", commit->first_event + commit->event_count);
	tool_json_u64(json, "time_ms", commit->time_ms);
	tool_json_hash(json, "state_root", &commit->state_root);
	tool_json_text(json, "tree", tool_history(commit->number + 1, &commit->tree_root, history));
	tool_json_hash(json, "commit_hash", &hash);
	reply_send(x, 200);
}

void route_replication_commit(struct exchange *x)
{
	const struct serve_config *config = &x->node->config;
	struct replication *r = x->node->replication;
	uint64_t number = VALORI_NONE, height = VALORI_NONE;
	valori_log_info about = {.size = sizeof(about)};
	valori_commit_view commit;
	valori_error error;
	valori_log *log = NULL;
	valori_code code;

	if (!exchange_number(x, "number", VALORI_NONE - 1, &number) ||
	    !exchange_number(x, "height", VALORI_NONE - 1, &height))
		return;
	if (config->log == NULL) {
		fail_with(x, 400, "invalid", "this node has no event log: start it with -l");
		return;
	}
	if ((number == VALORI_NONE) == (height == VALORI_NONE) || height == 0) {
		fail_with(x, 400, "invalid", "want either number, from 0 on, or height, from 1 on");
		return;
	}
	/* One at a time: it may read much of the log. */
	pthread_mutex_lock(&r->marking);
	code = valori_log_open(config->log, config->archive, 0, &log, &error);
	if (code == VALORI_OK)
		code = valori_log_get_info(log, &about, &error);
	if (code == VALORI_OK && number != VALORI_NONE && number < about.base_commit) {
		code = VALORI_UNKNOWABLE;
	} else if (code == VALORI_OK && number != VALORI_NONE) {
		code = find_number(r, log, &about, number, &commit, &error);
	} else if (code == VALORI_OK) {
		code = valori_log_seek(log, height - 1, &error);
		if (code == VALORI_OK)
			code = valori_log_next(log, &commit, &error);
	}
	pthread_mutex_unlock(&r->marking);
	if (code == VALORI_OK)
		reply_commit(x, &commit);
	else if (code == VALORI_UNKNOWABLE)
		fail_at(x, 410, valori_code_name(VALORI_UNKNOWABLE), "base", about.base_event, "base_commit",
			about.base_commit, "it was trimmed away");
	else if (code == VALORI_END || (code == VALORI_NOT_FOUND && about.dim != 0))
		fail_with(x, 404, "not_found", "the log does not have that commit yet");
	else
		fail(x, &error);
	valori_log_close(log);
}

/* ---- the state ---- */

void route_replication_state(struct exchange *x)
{
	struct follow_status *follow = &x->node->follow;
	uint64_t streams, commits, bytes;
	struct tool_json *json;
	valori_info info;
	char lag[32];

	if (!read_info(x, &info) || (json = reply_begin(x)) == NULL)
		return;
	serve_replication_count(x->node, &streams, &commits, &bytes);
	serve_follow_refresh(x->node);
	pthread_mutex_lock(&follow->mutex);
	snprintf(lag, sizeof(lag), "%llu.%03u", (unsigned long long)(follow->lag_ms / 1000),
		 (unsigned)(follow->lag_ms % 1000));
	tool_json_text(json, "status", follow->status);
	tool_json_text(json, "role", follow->is_follower ? "follower" : "leader");
	if (follow->leader[0] != 0)
		tool_json_text(json, "leader", follow->leader);
	else
		tool_json_raw(json, "leader", "null");
	tool_json_u64(json, "height", info.height);
	tool_json_u64(json, "leader_height", follow->is_follower ? follow->leader_height : info.height);
	tool_json_raw(json, "lag_seconds", lag);
	if (follow->detail[0] != 0)
		tool_json_text(json, "detail", follow->detail);
	pthread_mutex_unlock(&follow->mutex);
	tool_json_hash(json, "state_hash", &info.state_root);
	tool_json_hash(json, "log_id", &info.log_id);
	tool_json_u64(json, "followers", streams);
	reply_send(x, 200);
}
