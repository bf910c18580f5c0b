/* serve_metrics.c - figures in the text format of Prometheus. */
#include "serve.h"

#include <stdlib.h>
#include <string.h>

/* 50 us to 10 s, and no end. */
static const uint64_t limits_us[HISTOGRAM_BUCKETS] = {50,     100,    250,     500,	1000,	 2500,
						      5000,   10000,  25000,   50000,	100000,	 250000,
						      500000, 750000, 1000000, 2500000, 5000000, 10000000};

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	size_t i = 0;

	while (i < HISTOGRAM_BUCKETS && ns > limits_us[i] * 1000)
		i++;
	atomic_fetch_add_explicit(&histogram->count[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

static void begin(FILE *file, const char *name, const char *type, const char *help)
{
	fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(FILE *file, const char *name, const char *type, const char *help, uint64_t value)
{
	begin(file, name, type, help);
	fprintf(file, "%s %llu\n", name, (unsigned long long)value);
}

/* value / whole, in six places. */
static void ratio(FILE *file, const char *name, const char *help, uint64_t value, uint64_t whole)
{
	uint64_t millionths = whole == 0 ? 0 : value * 1000000 / whole;

	begin(file, name, "gauge", help);
	fprintf(file, "%s %llu.%06llu\n", name, (unsigned long long)(millionths / 1000000),
		(unsigned long long)(millionths % 1000000));
}

static void seconds(FILE *file, uint64_t ns)
{
	fprintf(file, "%llu.%09llu\n", (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
}

static void histogram(FILE *file, const char *name, const char *help, struct histogram *histogram)
{
	uint64_t total = 0;

	begin(file, name, "histogram", help);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		total += atomic_load(&histogram->count[i]);
		fprintf(file, "%s_bucket{le=\"%llu.%06llu\"} %llu\n", name,
			(unsigned long long)(limits_us[i] / 1000000), (unsigned long long)(limits_us[i] % 1000000),
			(unsigned long long)total);
	}
	total += atomic_load(&histogram->count[HISTOGRAM_BUCKETS]);
	fprintf(file, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum ", name, (unsigned long long)total, name);
	seconds(file, atomic_load(&histogram->sum_ns));
	fprintf(file, "%s_count %llu\n", name, (unsigned long long)total);
}

static void replication(FILE *file, struct node *node, uint64_t height)
{
	struct follow_status *follow = &node->follow;
	uint64_t streams, commits, bytes, lag_ms, leader_height;
	bool is_synced;

	serve_follow_refresh(node);
	pthread_mutex_lock(&follow->mutex);
	lag_ms = follow->lag_ms;
	leader_height = follow->is_follower ? follow->leader_height : height;
	is_synced = strcmp(follow->status, "Synced") == 0;
	pthread_mutex_unlock(&follow->mutex);
	serve_replication_count(node, &streams, &commits, &bytes);
	ratio(file, "valori_replication_lag", "Seconds behind the leader; a leader is not.", lag_ms, 1000);
	number(file, "valori_replication_synced", "gauge", "1 while nothing is known that the leader has and this not.",
	       is_synced);
	number(file, "valori_replication_leader_height", "gauge", "Events of the leader, as last heard.",
	       leader_height);
	number(file, "valori_replication_followers", "gauge", "Open streams of the log.", streams);
	number(file, "valori_replication_commits_sent_total", "counter", "Commits sent to followers, each counted.",
	       commits);
	number(file, "valori_replication_bytes_sent_total", "counter", "Bytes of the commits sent to followers.",
	       bytes);
}

void route_metrics(struct exchange *x)
{
	struct node *node = x->node;
	const struct serve_config *config = &node->config;
	valori_info info = {.size = sizeof(info)};
	valori_error error;
	FILE *file;

	if (valori_get_info(node->store, &info, &error) != VALORI_OK) {
		fail(x, &error);
		return;
	}
	file = open_memstream(&x->reply, &x->reply_size);
	if (file == NULL) {
		fail_with(x, 503, "no_memory", "out of memory for the answer");
		return;
	}
	number(file, "valori_node_up", "gauge", "1 while the node runs.", 1);
	number(file, "valori_node_degraded", "gauge", "1 while nothing can be written: /health says why.",
	       node->read_only[0] != 0 || atomic_load(&node->has_fault));
	replication(file, node, info.height);
	number(file, "valori_dim", "gauge", "Components of a vector.", info.dim);
	number(file, "valori_records_live", "gauge", "Live records.", info.record_live);
	number(file, "valori_records_capacity", "gauge", "Live records there may be.", config->records_max);
	ratio(file, "valori_record_fill_ratio", "Live records by capacity.", info.record_live, config->records_max);
	number(file, "valori_nodes_live", "gauge", "Live graph nodes.", info.node_live);
	number(file, "valori_nodes_capacity", "gauge", "Live graph nodes there may be.", config->nodes_max);
	ratio(file, "valori_node_fill_ratio", "Live graph nodes by capacity.", info.node_live, config->nodes_max);
	number(file, "valori_edges_live", "gauge", "Live graph edges.", info.edge_live);
	number(file, "valori_edges_capacity", "gauge", "Live graph edges there may be.", config->edges_max);
	ratio(file, "valori_edge_fill_ratio", "Live graph edges by capacity.", info.edge_live, config->edges_max);
	if (info.has_log)
		number(file, "valori_event_log_height", "gauge", "Events in the log.", info.height);
	number(file, "valori_snapshot_size_bytes", "gauge", "Size of the last snapshot written.",
	       atomic_load(&node->snapshot_size));
	number(file, "valori_events_committed_total", "counter", "Events committed since the node started.",
	       atomic_load(&node->events_committed));
	number(file, "valori_proofs_generated_total", "counter", "Proofs of the state given since the node started.",
	       atomic_load(&node->proofs));
	begin(file, "valori_http_requests_total", "counter", "Requests answered, by class of status.");
	for (size_t i = 1; i < 6; i++)
		fprintf(file, "valori_http_requests_total{status=\"%zuxx\"} %llu\n", i,
			(unsigned long long)atomic_load(&node->requests[i]));
	histogram(file, "valori_http_request_duration_seconds", "From the head of a request to the end of its answer.",
		  &node->request_seconds);
	histogram(file, "valori_event_commit_duration_seconds", "Commits of one operation, until durable.",
		  &node->commit_seconds);
	histogram(file, "valori_batch_commit_duration_seconds", "Commits of several operations, until durable.",
		  &node->batch_seconds);
	histogram(file, "valori_search_duration_seconds", "Searches, without the answer's way.", &node->search_seconds);
	histogram(file, "valori_replay_duration_seconds", "Replays of the log at the start.", &node->replay_seconds);
	if (fclose(file) == 0)
		http_answer(x->http, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, x->reply, x->reply_size);
	else
		fail_with(x, 503, "no_memory", "out of memory for the answer");
}
