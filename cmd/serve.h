/*
 * serve.h - the node: a store behind HTTP. What the files cmd/serve_*.c share.
 *
 * A route is a line of the table in serve_routes.c and a function void answer(struct exchange *). It reads what it is
 * given (serve_body.h), asks the store through the public library, and answers once: reply_begin, members,
 * reply_send, or fail. What it needs lives as long as the exchange. Every route may run on many threads at once.
 */
#ifndef SERVE_H
#define SERVE_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#include "net/http.h"
#include "tool.h"

/* What the node was told; serve_config.c. */
struct serve_config {
	const char *log, *snapshot, *archive, *bind, *admin_bind, *token, *cors_origin, *follower_of;
	uint32_t dim, threads, connections, followers_max;
	uint64_t records_max, nodes_max, edges_max, body_max, snapshot_interval, segment_size;
	valori_index_kind index; /* VALORI_INDEX_LOGGED: nobody said */
	valori_sync sync;
	char cors_headers[256];
	bool insecure, log_json, health_check, is_loopback;
};
/* Options and environment. A wrong, unparsable or contradictory value ends the program: TOOL_USAGE. */
void serve_configure(int argc, char **argv, struct serve_config *out);

/* Histogram buckets in the way of Prometheus: upper limits in nanoseconds; serve_metrics.c. */
enum { HISTOGRAM_BUCKETS = 18 };
struct histogram {
	atomic_ullong count[HISTOGRAM_BUCKETS + 1], sum_ns;
};
void histogram_add(struct histogram *histogram, uint64_t ns);

enum { PASTS = 4 }; /* moments that are kept open */
struct pasts {
	pthread_mutex_t mutex;
	struct past *kept; /* [mutex] PASTS */
	uint64_t clock;	   /* [mutex] */
};

/*
 * What a node is in a replication, for /v1/replication/state and /metrics. Whoever follows a leader writes it; it
 * stays as it was made in a node that follows nobody.
 */
struct follow_status {
	pthread_mutex_t mutex;
	bool is_follower;	/* [mutex] */
	char status[16];	/* [mutex] "Synced", "Syncing", "Diverged", "Disconnected", "Healing" */
	char leader[512];	/* [mutex] its address; "": none */
	char detail[512];	/* [mutex] what is wrong; "": nothing */
	uint64_t leader_height; /* [mutex] as last heard */
	uint64_t lag_ms;	/* [mutex] age of the oldest commit that the leader has and this node not */
};

enum { DOWNLOADS = 4 }; /* snapshots that went out and are kept for a while */
struct download {
	int fd; /* plus 1; 0: none. It has no name any more */
	valori_snapshot_info info;
	char tag[96]; /* its ETag */
	uint64_t used_ns;
};

struct node {
	struct serve_config config;
	valori *store;
	struct http_server *server, *admin;
	sem_t work;		   /* config.threads requests do something at once; the others wait */
	uint8_t token_digest[64];  /* not the token: its length must not show */
	pthread_mutex_t snapshots; /* one snapshot is written at a time */
	struct download downloads[DOWNLOADS]; /* [downloading] */
	pthread_mutex_t downloading;
	pthread_mutex_t verifying; /* one verification is done at a time */
	/* Whoever uses store holds it to read; a restore, which puts another one there, to write. */
	pthread_rwlock_t swap;
	const char *restored_from; /* a snapshot to open instead of config.snapshot, when there is no log */
	atomic_ullong nodes_reserved, edges_reserved; /* by requests that are about to make them */
	struct pasts *pasts;
	struct follow_status follow;
	struct replication *replication;
	struct follower *follower;  /* NULL: follows nobody; serve_follow.c */
	valori_hash leader_log_id; /* of the log that is to be made; zeros: of its own */
	uint64_t began_ns;
	char persistence[16]; /* "event_log", "snapshot", "none" */
	char read_only[256];  /* why nothing is written, or "" */
	char fault[256];      /* [faults] what went wrong with a write, or "" */
	pthread_mutex_t faults;
	atomic_bool has_fault;
	atomic_uint index; /* a valori_index_kind: what is in use */
	struct histogram request_seconds, commit_seconds, batch_seconds, replay_seconds, search_seconds;
	atomic_ullong events_committed, proofs, requests[6] /* by status / 100 */, snapshot_size;
};

struct route;

/* One request on its way. */
struct exchange {
	struct node *node;
	struct http_request *http;
	const struct route *route;
	uint64_t id;	  /* :id of the path */
	const char *name; /* :name of the path, decoded */
	/* private */
	bool has_turn, has_store;
	valori_view *view;
	struct past *past; /* whose view it is; NULL: the store's */
	struct kept *kept;
	char *reply;
	size_t reply_size;
	struct tool_json json;
};

/* Tells whoever started the node, if it is systemd; serve_notify.c. */
void serve_notify(const char *state);
/* How often it wants to hear that all is well; 0: never. */
uint64_t serve_watchdog_ns(void);

/* Opens the store that the configuration names, or makes it. valori-serve.c. */
valori_code serve_open(struct node *node, valori_error *error);
/* Writes the snapshot (path NULL: where it is kept, if anywhere). serve_snapshot.c. */
valori_code serve_save(struct node *node, const char *path, valori_snapshot_info *out, valori_error *error);

/* Forgets snapshots that nobody came back for, or all. */
void serve_downloads_expire(struct node *node, bool all);

/* serve_replication.c: false: out of memory. */
bool serve_replication_init(struct node *node);
/* Streams end; none begins any more. Before the server stops. */
void serve_replication_stop(struct node *node);
/* When no server runs any more. */
void serve_replication_free(struct node *node);
/* After every commit, and whatever else makes the log longer or another: those that stream it wake up. Cheap. */
void serve_committed(struct node *node);
/* Open streams, and what they have sent since the node started. */
void serve_replication_count(struct node *node, uint64_t *streams, uint64_t *commits, uint64_t *bytes);

/*
 * serve_follow.c. prepare: with follower_of, makes sure of a store or of what it shall be; waits for the leader, and
 * until one of the signals. start: when the store is open. refresh: node->follow is of now. A status each.
 */
int serve_follow_prepare(struct node *node, const sigset_t *ends);
int serve_follow_start(struct node *node);
void serve_follow_stop(struct node *node);
void serve_follow_refresh(struct node *node);
/* Answers a request that would change the store: the leader does it, or says it can. */
void serve_forward(struct exchange *x);
/* A line on stderr; valori-serve.c. */
void serve_say(const char *kind, const char *text);

/* serve_routes.c: for both servers; context is the node. */
void serve_answer(void *context, struct http_request *request);
void serve_answer_admin(void *context, struct http_request *request);
void serve_done(void *context, const struct http_request *request, uint64_t ns);
/* Calls visit for every route: for /openapi.json, and for the test that walks it. */
void serve_each_route(void (*visit)(void *context, const char *method, const char *path, const char *summary),
		      void *context);

/*
 * Who streams enters to use the store, and leaves before it waits for the client; false: answered. All others are in
 * until they answer. Views end when one leaves.
 */
bool exchange_enter(struct exchange *x);
void exchange_leave(struct exchange *x);
/* Whoever waits for the disk lets others work meanwhile. */
void exchange_give_turn(struct exchange *x);
/* What the page of config.cors_origin may send: an answer to its browser's question. */
#define SERVE_PREFLIGHT                                                 \
	"Access-Control-Allow-Methods: GET, POST, PATCH, DELETE\r\n"    \
	"Access-Control-Allow-Headers: Authorization, Content-Type\r\n" \
	"Access-Control-Max-Age: 600\r\n"
/* Is the request not one that a browser sends for a page of somebody else? false: answered. serve_config.c. */
bool serve_is_welcome(struct exchange *x);

/* Memory until the exchange is over; NULL: answered with 503. */
void *exchange_alloc(struct exchange *x, size_t count, size_t size);
/* Frees all of it early, and the body: for who has taken what he needs. */
void exchange_forget(struct exchange *x);
/* The newest version, the same for the whole exchange. NULL: answered. */
valori_view *exchange_view(struct exchange *x);
/* From now on the view is that of a moment; false: answered. serve_past.c. */
bool exchange_past(struct exchange *x, const valori_when *when);
/*
 * The moment that a request asks about: as_of, a text or NULL, is a time, a state root or a height; log_index, or NULL,
 * an event number, for the state behind it. Neither: *out is LATEST. false: answered; where says what holds them.
 */
bool exchange_when(struct exchange *x, const char *where, const char *as_of, const uint64_t *log_index,
		   valori_when *out);
/* The same by the query, as the view of this exchange. */
bool exchange_moment(struct exchange *x);
void exchange_leave_past(struct exchange *x);
bool serve_pasts_init(struct node *node);
/* Nobody may be in. */
void serve_pasts_clear(struct node *node);
/* The same anew: behind a commit of this exchange. */
valori_view *exchange_view_again(struct exchange *x);
/*
 * A parameter of the query as a number. false: there, but none; then it is answered. out is untouched when it is not
 * there.
 */
bool exchange_number(struct exchange *x, const char *name, uint64_t max, uint64_t *out);
/* The text of a parameter of the query, NULL when it is not there. */
const char *exchange_text(struct exchange *x, const char *name);

/* ---- answers ---- */

/* An object in memory: members are written with tool_json_...; then reply_send. NULL: answered with 503. */
struct tool_json *reply_begin(struct exchange *x);
void reply_send(struct exchange *x, int status);
/* What a code of the library is in HTTP: 400, 404, 409, 507, ... and the sentence of the error. */
void fail(struct exchange *x, const valori_error *error);
void fail_with(struct exchange *x, int status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- what several routes do ---- */

/*
 * Commits a batch, counts it, measures it. false: answered. out and out_ids as in valori_commit. A request id that was
 * seen before gives the ids of then.
 */
bool serve_commit(struct exchange *x, valori_batch *batch, valori_receipt *out, uint64_t *out_ids);
/* The same for one op. */
bool serve_commit_one(struct exchange *x, const valori_op *op, valori_receipt *out, uint64_t *out_id);
/* The same, answered with {"success": true}. */
void serve_commit_success(struct exchange *x, const valori_op *op);
/* Room for so many more nodes and edges, to be given back behind the commit. false: answered with 507. */
bool serve_reserve(struct exchange *x, uint64_t nodes, uint64_t edges);
void serve_unreserve(struct exchange *x, uint64_t nodes, uint64_t edges);
/* Notes which index is in use, for /health; serve_index.c. */
void serve_note_index(struct node *node);

/* The collection with a name (NULL: default; then no view is opened). false: answered with status. */
bool serve_collection(struct exchange *x, const char *name, size_t size, int status, uint32_t *out);
/* A score as a JSON number, exact in nine places, and raw_score as text. */
void reply_score(struct tool_json *json, uint64_t score);
/* The components of a record as an array of exact decimals. */
void reply_vector(struct exchange *x, struct tool_json *json, const char *name, uint64_t id);
/* Metadata: JSON as it stands when it is JSON, else a string, else base64 under NAME_base64; null. */
void reply_metadata(struct tool_json *json, const char *name, const uint8_t *bytes, size_t size);

/* The bytes that member metadata of a memory is made of; NULL: there are none. */
const uint8_t *memory_metadata(struct exchange *x, uint64_t record, size_t *out_size);
/* Member metadata of a memory: the meta value of its name "rec:N", or else the record's own. */
void reply_memory(struct exchange *x, struct tool_json *json, uint64_t record);
/* Members nodes and edges: what is within depth edges of the roots, breadth first. false: answered. */
bool reply_subgraph(struct exchange *x, struct tool_json *json, const uint64_t *roots, size_t count, uint64_t depth);

/* ---- the routes, by file ---- */

typedef void serve_route(struct exchange *x);

/* serve_health.c */
serve_route route_health, route_metrics, route_version, route_openapi;
/* serve_records.c */
serve_route route_insert, route_record, route_record_find, route_record_metadata, route_record_metadata_delete,
	route_record_tag, route_delete, route_soft_delete;
/* serve_batch.c */
serve_route route_batch_insert;
/* serve_search.c */
serve_route route_search, route_memory_search, route_graphrag;
/* serve_graph.c */
serve_route route_node_create, route_node, route_node_delete, route_nodes, route_edge_create, route_edge_delete,
	route_edges, route_subgraph;
/* serve_memory.c */
serve_route route_memory_upsert, route_meta_set, route_meta_get, route_meta_delete, route_consolidate, route_contradict;
/* serve_snapshot.c */
serve_route route_snapshot_save, route_snapshot_download, route_snapshot_upload, route_snapshot_restore;
/* serve_index.c */
serve_route route_index_config, route_index_rebuild;
/* serve_proof.c */
serve_route route_proof_state, route_proof_event_log, route_proof_verify, route_timeline, route_namespace_create,
	route_namespaces, route_namespace_drop;
/* serve_replication.c */
serve_route route_replication_state, route_replication_events, route_replication_commit;

#endif
