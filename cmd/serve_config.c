/* serve_config.c - what the node was told, by options and by the environment. */
#include "serve.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	OPT_LOG,
	OPT_SNAPSHOT,
	OPT_ARCHIVE,
	OPT_DIM,
	OPT_BIND,
	OPT_ADMIN_BIND,
	OPT_INDEX,
	OPT_RECORDS_MAX,
	OPT_NODES_MAX,
	OPT_EDGES_MAX,
	OPT_SNAPSHOT_INTERVAL,
	OPT_SYNC,
	OPT_SEGMENT_SIZE,
	OPT_TOKEN_FILE,
	OPT_INSECURE,
	OPT_THREADS,
	OPT_CONNECTIONS,
	OPT_BODY_MAX,
	OPT_MAX_FOLLOWERS,
	OPT_LOG_JSON,
	OPT_HEALTH_CHECK,
	OPT_CORS,
	OPT_FOLLOWER_OF,
	OPT_WAL
};

static const struct tool_opt opts[] = {
	[OPT_LOG] = TOOL_OPT_LOG,
	[OPT_SNAPSHOT] = TOOL_OPT_SNAPSHOT,
	[OPT_ARCHIVE] = TOOL_OPT_ARCHIVE,
	[OPT_DIM] = {'d', "dim", "N", "VALORI_DIM", "dimension of a new store (16)"},
	[OPT_BIND] = {'b', "bind", "ADDR", "VALORI_BIND", "listen there (127.0.0.1:3000)"},
	[OPT_ADMIN_BIND] = {0, "admin-bind", "ADDR", "VALORI_ADMIN_BIND",
			    "answer /health and /metrics there, too, however busy the node is"},
	[OPT_INDEX] = {'i', "index", "KIND", "VALORI_INDEX", "brute hnsw ivf auto (as the log says)"},
	[OPT_RECORDS_MAX] = {0, "records-max", "N", "VALORI_MAX_RECORDS", "refuse more live records (1024)"},
	[OPT_NODES_MAX] = {0, "nodes-max", "N", "VALORI_MAX_NODES", "refuse more graph nodes (1024)"},
	[OPT_EDGES_MAX] = {0, "edges-max", "N", "VALORI_MAX_EDGES", "refuse more graph edges (2048)"},
	[OPT_SNAPSHOT_INTERVAL] = {0, "snapshot-interval", "SECONDS", "VALORI_SNAPSHOT_INTERVAL",
				   "write the snapshot so often (never)"},
	[OPT_SYNC] = {0, "sync", "MODE", NULL, "always none (always): when a write is answered"},
	[OPT_SEGMENT_SIZE] = {0, "segment-size", "SIZE", "VALORI_EVENT_LOG_ROTATION_BYTES",
			      "begin a new file of the log at this size (256M)"},
	[OPT_TOKEN_FILE] = {0, "token-file", "FILE", NULL, "the token to ask for (VALORI_AUTH_TOKEN)"},
	[OPT_INSECURE] = {0, "insecure-no-auth", NULL, NULL, "listen for other machines without a token"},
	[OPT_THREADS] = {0, "threads", "N", "VALORI_THREADS", "requests that work at once (twice the processors)"},
	[OPT_CONNECTIONS] = {0, "connections", "N", "VALORI_CONNECTIONS", "connections at once (2304)"},
	[OPT_BODY_MAX] = {0, "body-max", "SIZE", "VALORI_BODY_MAX", "longest body of a request (32M)"},
	[OPT_MAX_FOLLOWERS] = {0, "max-followers", "N", "VALORI_MAX_FOLLOWERS", "streams of the log at once (64)"},
	[OPT_LOG_JSON] = {0, "log-json", NULL, NULL, "one JSON object per line on stderr"},
	[OPT_HEALTH_CHECK] = {0, "health-check", NULL, NULL, "ask the node at --bind; answer 0 when it is well"},
	[OPT_CORS] = {0, "cors-origin", "ORIGIN", "VALORI_CORS_ORIGIN", "pages of ORIGIN may ask in browsers (none)"},
	[OPT_FOLLOWER_OF] = {0, "follower-of", "URL", "VALORI_FOLLOWER_OF",
			     "follow the node at URL: its log is this node's, it takes what is written"},
	[OPT_WAL] = {0, "wal", "FILE", "VALORI_WAL_PATH", "refused: valori-ingest -f upstream imports such a file"},
	{0},
};

const struct tool tool = {
	.name = "valori-serve",
	.synopsis = "[-qv] [-l PATH] [-s FILE] [-d N] [-b ADDR] [-i KIND] [--records-max=N] "
		    "[--snapshot-interval=SECONDS] [--token-file=FILE] [--health-check]",
	.summary = "Serves a store over HTTP.",
	.opts = opts,
	.has = 0,
};

static valori_index_kind parse_index(const char *value)
{
	static const char *const names[] = {"auto", "brute", "hnsw", "ivf"};

	for (int i = 0; i < 4; i++)
		if (strcmp(value, names[i]) == 0)
			return (valori_index_kind)i;
	tool_usage("--index: %s: must be brute, hnsw, ivf or auto", value);
}

static void take(struct serve_config *config, int option, const char *value)
{
	switch (option) {
	case OPT_LOG: config->log = value; break;
	case OPT_SNAPSHOT: config->snapshot = value; break;
	case OPT_ARCHIVE: config->archive = value; break;
	case OPT_DIM: config->dim = (uint32_t)tool_number(value, 1, VALORI_DIM_MAX); break;
	case OPT_BIND: config->bind = value; break;
	case OPT_ADMIN_BIND: config->admin_bind = value; break;
	case OPT_INDEX: config->index = parse_index(value); break;
	case OPT_RECORDS_MAX: config->records_max = tool_number(value, 1, UINT32_MAX - 1); break;
	case OPT_NODES_MAX: config->nodes_max = tool_number(value, 0, UINT32_MAX - 1); break;
	case OPT_EDGES_MAX: config->edges_max = tool_number(value, 0, UINT32_MAX - 1); break;
	case OPT_SNAPSHOT_INTERVAL: config->snapshot_interval = tool_number(value, 1, UINT32_MAX); break;
	case OPT_SYNC:
		if (strcmp(value, "always") != 0 && strcmp(value, "none") != 0)
			tool_usage("--sync: %s: must be always or none", value);
		config->sync = value[0] == 'a' ? VALORI_SYNC_ALWAYS : VALORI_SYNC_NONE;
		break;
	case OPT_SEGMENT_SIZE: config->segment_size = tool_size(value, 64 << 10, UINT64_MAX); break;
	case OPT_TOKEN_FILE: config->token = tool_read_token(value); break;
	case OPT_INSECURE: config->insecure = true; break;
	case OPT_THREADS: config->threads = (uint32_t)tool_number(value, 1, 1024); break;
	case OPT_CONNECTIONS: config->connections = (uint32_t)tool_number(value, 1, 16384); break;
	case OPT_BODY_MAX: config->body_max = tool_size(value, 1024, (uint64_t)1 << 32); break;
	case OPT_MAX_FOLLOWERS: config->followers_max = (uint32_t)tool_number(value, 0, 16384); break;
	case OPT_CORS: config->cors_origin = value; break;
	case OPT_FOLLOWER_OF: config->follower_of = value; break;
	case OPT_LOG_JSON: config->log_json = true; break;
	case OPT_HEALTH_CHECK: config->health_check = true; break;
	default: /* OPT_WAL */
		tool_usage("VALORI_WAL_PATH: %s: the old log is not written here; valori-ingest -f upstream imports it "
			   "into an event log",
			   value);
	}
}

static bool is_loopback(const char *bind)
{
	return strncmp(bind, "127.", 4) == 0 || strncmp(bind, "localhost:", 10) == 0;
}

/* The Rust system says it with two variables. */
static void take_leader(struct serve_config *config)
{
	const char *mode = getenv("VALORI_REPLICATION_MODE"), *leader = getenv("VALORI_LEADER_URL");
	bool is_follower = mode != NULL && strcmp(mode, "follower") == 0;

	if (mode != NULL && !is_follower && strcmp(mode, "leader") != 0 && strcmp(mode, "none") != 0)
		tool_usage("VALORI_REPLICATION_MODE: %s: must be leader, follower or none", mode);
	if (is_follower && config->follower_of == NULL)
		config->follower_of = leader;
	if (is_follower && config->follower_of == NULL)
		tool_usage("VALORI_REPLICATION_MODE: follower: VALORI_LEADER_URL says of whom");
	if (leader != NULL && config->follower_of == NULL)
		tool_usage("VALORI_LEADER_URL: %s: is for VALORI_REPLICATION_MODE=follower", leader);
	if (mode != NULL && !is_follower && config->follower_of != NULL)
		tool_usage("VALORI_REPLICATION_MODE: %s: --follower-of says otherwise", mode);
	if (config->follower_of != NULL && leader != NULL && strcmp(config->follower_of, leader) != 0)
		tool_usage("VALORI_LEADER_URL: %s: --follower-of says %s: say it once", leader, config->follower_of);
}

/* Variables of earlier versions and of the Rust system: they mean something here, or are refused with a sentence. */
static void take_environment(struct serve_config *config)
{
	static char bind[32];
	const char *port = getenv("VALORI_HTTP_PORT"), *word;
	const char *level = getenv("VALORI_LOG"), *quant = getenv("VALORI_QUANT"), *format = getenv("VALORI_FORMAT");
	uint64_t number;

	if (port != NULL) {
		if (!tool_parse_u64(port, &number) || number > 65535)
			tool_usage("VALORI_HTTP_PORT: %s: must be 0 to 65535", port);
		snprintf(bind, sizeof(bind), "127.0.0.1:%u", (unsigned)number);
		if (config->bind != NULL && strcmp(strrchr(config->bind, ':') != NULL ? strrchr(config->bind, ':') : "",
						   strchr(bind, ':')) != 0)
			tool_usage("VALORI_HTTP_PORT: %s: --bind says %s: say it once", port, config->bind);
		if (config->bind == NULL)
			config->bind = bind;
	}
	if (getenv("VALORI_CLUSTER_MEMBERS") != NULL)
		tool_usage("VALORI_CLUSTER_MEMBERS: %s: this version has no cluster", getenv("VALORI_CLUSTER_MEMBERS"));
	take_leader(config);
	if (quant != NULL && strcmp(quant, "none") != 0)
		tool_usage("VALORI_QUANT: %s: want none: codes of vectors are made where they help", quant);
	if (format != NULL && strcmp(format, "q16.16") != 0)
		tool_usage("VALORI_FORMAT: %s: want q16.16", format);
	if (level == NULL)
		level = getenv("RUST_LOG");
	if (level == NULL || tool_quiet || tool_verbose)
		return;
	/* "crate=debug,other=info": the last word counts. */
	word = level + strlen(level);
	while (word > level && word[-1] != '=' && word[-1] != ',')
		word--;
	tool_verbose = strcmp(word, "debug") == 0 || strcmp(word, "trace") == 0;
	tool_quiet = strcmp(word, "error") == 0 || strcmp(word, "off") == 0;
}

void serve_configure(int argc, char **argv, struct serve_config *out)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	const char *value;
	int option;

	*out = (struct serve_config){
		.records_max = 1024,
		.nodes_max = 1024,
		.edges_max = 2048,
		.body_max = 32 << 20,
		.connections = 2304,
		.followers_max = 64,
		.threads = processors > 0 ? 2 * (uint32_t)processors : 2,
		.index = VALORI_INDEX_LOGGED,
		.token = getenv("VALORI_AUTH_TOKEN"),
	};
	while ((option = tool_next(argc, argv, &value)) != -1)
		take(out, option, value);
	take_environment(out);
	if (out->bind == NULL)
		out->bind = "127.0.0.1:3000";
	if (optind < argc)
		tool_usage("%s: valori-serve takes no operands", argv[optind]);
	if (out->token != NULL && out->token[0] == 0)
		tool_usage("VALORI_AUTH_TOKEN: is empty: unset it, or give a token");
	if (out->snapshot_interval > 0 && out->snapshot == NULL && out->log == NULL)
		tool_usage("--snapshot-interval: needs -s or -l: there is nowhere to write the snapshot");
	if (out->cors_origin != NULL && strcmp(out->cors_origin, "*") == 0 && out->token != NULL)
		tool_usage("--cors-origin: *: every page could use the token of its reader: name one origin");
	if (out->cors_origin != NULL && strpbrk(out->cors_origin, "\r\n") != NULL)
		tool_usage("--cors-origin: must be one origin, such as https://example.com, or *");
	if (out->cors_origin != NULL)
		snprintf(out->cors_headers, sizeof(out->cors_headers),
			 "Access-Control-Allow-Origin: %.200s\r\nVary: Origin\r\n", out->cors_origin);
	if (out->follower_of != NULL && out->log == NULL)
		tool_usage("VALORI_FOLLOWER_OF: %s: needs -l: a follower keeps the leader's log", out->follower_of);
	out->is_loopback = is_loopback(out->bind);
	if (!out->is_loopback && out->token == NULL && !out->insecure && !out->health_check)
		tool_usage("--bind: %s: other machines can reach it: set VALORI_AUTH_TOKEN, or say --insecure-no-auth",
			   out->bind);
}

/* ---- who asks ---- */

/* Is it the name of this machine for itself, or an address? Not a name that somebody else may point here. */
static bool is_own_name(const char *host)
{
	size_t size = strcspn(host, ":");

	return (size == 9 && strncasecmp(host, "localhost", 9) == 0) || strspn(host, "0123456789.:") == strlen(host);
}

/*
 * A page in a browser can send requests here, with or without its user knowing: they have an Origin, or a Host that is
 * a name of the page's own server, which now leads here. A token keeps them out; this is for nodes without one, too.
 */
bool serve_is_welcome(struct exchange *x)
{
	const struct serve_config *config = &x->node->config;
	const char *origin = http_header(x->http, "Origin"), *host = http_header(x->http, "Host");

	if (origin != NULL && strncmp(origin, "http://", 7) == 0 && host != NULL && strcmp(origin + 7, host) == 0)
		origin = NULL; /* our own page */
	if (origin != NULL && (config->cors_origin == NULL ||
			       (strcmp(config->cors_origin, "*") != 0 && strcmp(config->cors_origin, origin) != 0))) {
		fail_with(x, 403, "forbidden", "pages of %.100s may not ask here: VALORI_CORS_ORIGIN names who may",
			  origin);
		return false;
	}
	if (origin != NULL)
		x->http->headers = config->cors_headers;
	if (config->token == NULL && config->is_loopback && host != NULL && !is_own_name(host)) {
		fail_with(x, 403, "forbidden", "host %.100s: this node listens for its own machine: ask localhost",
			  host);
		return false;
	}
	return true;
}
