/*
 * bench_serve.c - the node as its clients see it, over loopback: small searches beside a server that takes the same
 * bodies and answers {}, durable inserts beside the bare disk, batches of JSON, searches while a bulk insert runs, and
 * followers: what they cost the inserts, how far behind they are, and how fast one catches up.
 * The vectors are those of vectors_make, of length 1. "cpu" is the server's processor time by request: two servers that
 * share the machine with their clients cannot be further apart in requests than they are in this.
 *
 * It starts valori-serve from its own directory's parent, with a store in BENCH_DIR (default: the current directory).
 * Seconds of each measurement: BENCH_SECONDS (2). BENCH_ONLY: insert, search, batch or follow. BENCH_SYNC and
 * BENCH_INDEX: what --sync and --index take (always, hnsw).
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bytes.h"
#include "host.h"
#include "measure.h"
#include "net/http.h"
#include "vectors.h"

enum {
	CLIENTS_MAX = 64,
	SAMPLES = 1 << 20,
	DIFFERENT = 32 /* requests of a client, made before */
};

struct node {
	pid_t pid;
	unsigned port;
	char directory[512]; /* "": it has none */
};

static double seconds_each = 2;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- the node ---- */

static void start_node(struct node *node, const char *program, const char *dim)
{
	char log[600], line[128];
	int ends[2];
	FILE *said;

	if (pipe(ends) != 0 || mkdtemp(node->directory) == NULL)
		die("bench_serve");
	snprintf(log, sizeof(log), "%s/db", node->directory);
	node->pid = fork();
	if (node->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		execl(program, program, "-b", "127.0.0.1:0", "-l", log, "-d", dim, "--records-max=10000000", "--index",
		      getenv("BENCH_INDEX") != NULL ? getenv("BENCH_INDEX") : "hnsw", "--connections=128",
		      "--body-max=64M", "--sync", getenv("BENCH_SYNC") != NULL ? getenv("BENCH_SYNC") : "always",
		      (char *)NULL);
		die(program);
	}
	close(ends[1]);
	said = fdopen(ends[0], "r");
	if (said == NULL || fgets(line, sizeof(line), said) == NULL ||
	    sscanf(line, "listening on 127.0.0.1:%u", &node->port) != 1)
		die("valori-serve does not listen");
	fclose(said);
}

static void answer_nothing(void *context, struct http_request *request)
{
	(void)context;
	if (http_body(request))
		http_json(request, 200, "{}", 2);
}

/* A server that takes what the node takes, and has nothing to do. */
static void start_empty(struct node *node)
{
	struct http_options options = {.bind = "127.0.0.1:0",
				       .connections = 128,
				       .body_max = 64 << 20,
				       .bodies_max = UINT64_C(1) << 31,
				       .answer = answer_nothing};
	struct http_server *server;
	char message[512];
	int ends[2];

	node->directory[0] = 0;
	if (pipe(ends) != 0)
		die("pipe");
	node->pid = fork();
	if (node->pid == 0) {
		server = http_start(&options, message, sizeof(message));
		node->port = server != NULL ? http_port(server) : 0;
		if (write(ends[1], &node->port, sizeof(node->port)) != sizeof(node->port) || server == NULL)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], &node->port, sizeof(node->port)) != sizeof(node->port) || node->port == 0)
		die("an empty server does not listen");
	close(ends[0]);
}

static void stop_node(struct node *node)
{
	pid_t remover;

	kill(node->pid, SIGTERM);
	waitpid(node->pid, NULL, 0);
	if (node->directory[0] == 0)
		return;
	remover = fork();
	if (remover == 0) {
		execlp("rm", "rm", "-rf", node->directory, (char *)NULL);
		die("rm");
	}
	waitpid(remover, NULL, 0);
}

/* Seconds of processor time that it has used. */
static double busy(const struct node *node)
{
	char path[64];
	unsigned long own = 0, system = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)node->pid);
	file = fopen(path, "r");
	if (file == NULL ||
	    fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &own, &system) != 2)
		die(path);
	fclose(file);
	return (double)(own + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- a client ---- */

static int connect_to(const struct node *node)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)node->port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* A request as it is sent; to be freed. */
static char *format_request(const char *method, const char *path, const char *body, size_t *size)
{
	size_t length = strlen(body);
	char *request = malloc(length + 256);

	if (request == NULL)
		die("malloc");
	*size = (size_t)snprintf(request, 256, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
				 method, path, length);
	memcpy(request + *size, body, length + 1);
	*size += length;
	return request;
}

static void ask(int fd, const char *request, size_t size)
{
	char answer[65536];
	size_t used = 0, length, total = SIZE_MAX;

	for (size_t sent = 0; sent < size;) {
		ssize_t part = write(fd, request + sent, size - sent);

		if (part <= 0)
			die("write");
		sent += (size_t)part;
	}
	while (used < total) {
		ssize_t part = read(fd, answer + used, sizeof(answer) - 1 - used);
		char *end;

		if (part <= 0)
			die("read");
		used += (size_t)part;
		answer[used] = 0;
		if (total == SIZE_MAX && (end = strstr(answer, "\r\n\r\n")) != NULL) {
			const char *field = strstr(answer, "Content-Length: ");

			length = field != NULL ? strtoull(field + 16, NULL, 10) : 0;
			total = (size_t)(end - answer) + 4 + length;
		}
	}
	if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "bench_serve: %s\n", answer);
		exit(1);
	}
}

/* ---- many clients ---- */

struct client {
	pthread_t thread;
	const struct node *node;
	const char *method, *path;
	char *(*body)(unsigned number, unsigned client); /* to be freed */
	unsigned number;
	double until; /* seconds, first from its start */
	float *samples;
	size_t count;
};

static void *run_client(void *context)
{
	struct client *client = context;
	int fd = connect_to(client->node);
	char *requests[DIFFERENT];
	size_t sizes[DIFFERENT];

	for (unsigned i = 0; i < DIFFERENT; i++) {
		char *body = client->body(i, client->number);

		requests[i] = format_request(client->method, client->path, body, &sizes[i]);
		free(body);
	}
	client->until += now();
	for (unsigned i = 0; now() < client->until; i++) {
		double began = now();

		ask(fd, requests[i % DIFFERENT], sizes[i % DIFFERENT]);
		if (client->count++ < SAMPLES / CLIENTS_MAX)
			client->samples[client->count - 1] = (float)(now() - began);
	}
	for (unsigned i = 0; i < DIFFERENT; i++)
		free(requests[i]);
	close(fd);
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	float one = *(const float *)a, other = *(const float *)b;

	return (one > other) - (one < other);
}

struct result {
	double rate, p50, p99;
};

static void start_clients(struct client *clients, unsigned count, const struct client *model, double seconds)
{
	for (unsigned i = 0; i < count; i++) {
		clients[i] = *model;
		clients[i].number = i;
		clients[i].until = seconds;
		clients[i].samples = calloc(SAMPLES / CLIENTS_MAX, sizeof(float));
		if (clients[i].samples == NULL ||
		    pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
			die("client");
	}
}

static struct result join_clients(struct client *clients, unsigned count, double seconds)
{
	float *all = calloc(SAMPLES, sizeof(*all));
	size_t used = 0, done = 0;
	struct result result;

	if (all == NULL)
		die("calloc");
	for (unsigned i = 0; i < count; i++) {
		pthread_join(clients[i].thread, NULL);
		done += clients[i].count;
		if (clients[i].count > SAMPLES / CLIENTS_MAX)
			clients[i].count = SAMPLES / CLIENTS_MAX;
		memcpy(all + used, clients[i].samples, clients[i].count * sizeof(*all));
		used += clients[i].count;
		free(clients[i].samples);
	}
	qsort(all, used, sizeof(*all), by_size);
	result = (struct result){(double)done / seconds, used > 0 ? all[used / 2] : 0,
				 used > 0 ? all[used - 1 - used / 100] : 0};
	free(all);
	return result;
}

static struct result measure(const char *name, unsigned count, const struct client *model)
{
	struct client clients[CLIENTS_MAX];
	struct result result;
	double began = busy(model->node);

	start_clients(clients, count, model, seconds_each);
	result = join_clients(clients, count, seconds_each);
	printf("%-38s %3u clients %8.0f/s  p50 %7.0f us  p99 %7.0f us  cpu %6.1f us\n", name, count, result.rate,
	       result.p50 * 1e6, result.p99 * 1e6, (busy(model->node) - began) / result.rate / seconds_each * 1e6);
	fflush(stdout);
	return result;
}

/* ---- bodies ---- */

enum { SET = 10000 };
static unsigned dim = 128, rows = 1000;
static struct vectors vectors;

static size_t put_vector(char *out, const uint8_t *vector)
{
	size_t used = 0;

	out[used++] = '[';
	for (unsigned i = 0; i < dim; i++)
		used += (size_t)snprintf(out + used, 13, "%s%.7f", i > 0 ? "," : "",
					 (int32_t)vl_get32(vector + 4 * i) / 65536.0);
	out[used++] = ']';
	return used;
}

static char *search_body(unsigned number, unsigned client)
{
	char *body = malloc(dim * 12 + 64);
	size_t used = (size_t)snprintf(body, 64, "{\"k\":10,\"query\":");

	used += put_vector(body + used,
			   vectors.queries + (number * CLIENTS_MAX + client) % vectors.queries_count * dim * 4);
	memcpy(body + used, "}", sizeof("}"));
	return body;
}

static char *insert_body(unsigned number, unsigned client)
{
	char *body = malloc(dim * 12 + 64);
	size_t used = (size_t)snprintf(body, 64, "{\"values\":");

	used += put_vector(body + used, vectors.base + (number * CLIENTS_MAX + client) % SET * dim * 4);
	memcpy(body + used, "}", sizeof("}"));
	return body;
}

static char *kept[CLIENTS_MAX]; /* a batch, the same each time: what is measured is not how it is made */

static char *batch_body(unsigned number, unsigned client)
{
	(void)number;
	if (kept[client] == NULL) {
		size_t used;

		kept[client] = malloc((size_t)rows * (dim * 12 + 4) + 64);
		used = (size_t)snprintf(kept[client], 64, "{\"batch\":[");
		for (unsigned i = 0; i < rows; i++) {
			if (i > 0)
				kept[client][used++] = ',';
			used += put_vector(kept[client] + used, vectors.base + (client * rows + i) % SET * dim * 4);
		}
		memcpy(kept[client] + used, "]}", sizeof("]}"));
	}
	return strdup(kept[client]);
}

/*
 * Writes of 4 KiB with fdatasync, a second: at the end of a file that grows, or, like the log, within one that has its
 * blocks already.
 */
static double raw_syncs(const char *directory, bool is_growing)
{
	enum { BLOCKS = 4096 };
	char path[600], block[4096] = {1};
	unsigned count = 0;
	double began;
	int fd;

	snprintf(path, sizeof(path), "%s/raw", directory);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die(path);
	for (unsigned i = 0; i < BLOCKS && !is_growing; i++)
		if (write(fd, block, sizeof(block)) != sizeof(block))
			die(path);
	if (fsync(fd) != 0)
		die(path);
	for (began = now(); now() - began < seconds_each; count++)
		if (pwrite(fd, block, sizeof(block), (off_t)(is_growing ? count : count % BLOCKS) * 4096) < 0 ||
		    fdatasync(fd) != 0)
			die(path);
	close(fd);
	unlink(path);
	return count / (now() - began);
}

/* ---- what is measured ---- */

static void start_with(struct node *node, const char *program, unsigned components)
{
	const char *where = getenv("BENCH_DIR") != NULL ? getenv("BENCH_DIR") : ".";
	char text[16];

	if (vectors.base == NULL || dim != components) {
		vectors_free(&vectors);
		vectors_make(&vectors, vl_host_env(), SET, components, DIFFERENT * CLIENTS_MAX, 0);
	}
	dim = components;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		free(kept[i]);
		kept[i] = NULL;
	}
	snprintf(text, sizeof(text), "%u", components);
	snprintf(node->directory, sizeof(node->directory), "%s/bench-serve-XXXXXX", where);
	start_node(node, program, text);
}

static void measure_inserts(struct node *node, const char *program)
{
	struct client insert = {.node = node, .method = "POST", .path = "/v1/records", .body = insert_body};
	struct result result;
	double growing, raw;

	start_with(node, program, 128);
	growing = raw_syncs(node->directory, true);
	raw = raw_syncs(node->directory, false);
	printf("%-38s %20.0f/s\n", "4 KiB and fdatasync, file that grows", growing);
	printf("%-38s %20.0f/s\n", "4 KiB and fdatasync, blocks are there", raw);
	result = measure("durable insert, 128 components", 1, &insert);
	printf("%-38s %20.2f\n", "  of a file that grows", result.rate / growing);
	printf("%-38s %20.2f\n", "  of one whose blocks are there", result.rate / raw);
	measure("durable insert, 128 components", 16, &insert);
	stop_node(node);
}

static void measure_searches(struct node *node, const char *program)
{
	struct node nothing;
	struct client idle = {.node = &nothing, .method = "POST", .path = "/", .body = search_body};
	struct client search = {.node = node, .method = "POST", .path = "/v1/search", .body = search_body};
	struct client batch = {.node = node, .method = "POST", .path = "/v1/vectors/batch-insert", .body = batch_body};
	struct client writer[1];
	struct result result, empty;
	size_t size;
	int fd;

	start_with(node, program, 128);
	fd = connect_to(node);
	for (unsigned i = 0; i < 10; i++) {
		char *body = batch_body(i, i), *request = format_request("POST", batch.path, body, &size);

		ask(fd, request, size);
		free(request);
		free(body);
	}
	close(fd);
	start_empty(&nothing);
	for (unsigned count = 1; count <= 16; count *= 16) {
		empty = measure("the same body, answered with {}", count, &idle);
		result = measure("search, 10,000 x 128, k 10", count, &search);
		printf("%-38s %20.2f\n", "  of {}", result.rate / empty.rate);
	}
	stop_node(&nothing);
	empty = measure("search, quiet", 2, &search);
	start_clients(writer, 1, &batch, seconds_each);
	result = measure("search during a bulk insert", 2, &search);
	join_clients(writer, 1, seconds_each);
	printf("%-38s %20.2f\n", "  p99 by quiet p99", result.p99 / empty.p99);
	stop_node(node);
}

static void measure_batches(struct node *node, const char *program)
{
	struct client batch = {.node = node, .method = "POST", .path = "/v1/vectors/batch-insert", .body = batch_body};
	struct result result;

	start_with(node, program, 384);
	for (unsigned count = 1; count <= 2; count++) {
		result = measure("batch of 1,000 x 384 (JSON)", count, &batch);
		printf("%-38s %20.0f vectors/s\n", "", result.rate * rows);
	}
	stop_node(node);
}

/* ---- followers ---- */

enum { COMMITS_MAX = 1 << 22, FOLLOWERS = 50 };
static double *acked, *arrived; /* by commit; when */

struct follower {
	pthread_t thread;
	const struct node *node;
	const char *accept;
	bool is_measured;
	unsigned long long height; /* from where */
	atomic_ullong bytes;
	int fd;
};

/* Notes when each commit came, of a stream of lines in whatever pieces. */
static void note_arrivals(char *text, size_t *used)
{
	char *at = text, *end;

	while ((end = memchr(at, '\n', *used - (size_t)(at - text))) != NULL) {
		char *number = strstr((*end = 0, at), "{\"commit\":");
		unsigned long long commit = number != NULL ? strtoull(number + 10, NULL, 10) : COMMITS_MAX;

		if (commit < COMMITS_MAX)
			arrived[commit] = now();
		at = end + 1;
	}
	*used -= (size_t)(at - text);
	memmove(text, at, *used);
}

static void *run_follower(void *context)
{
	struct follower *follower = context;
	static const size_t room = 1 << 20;
	char *text = malloc(room + 1), request[256];
	size_t used = 0;
	int size = snprintf(
		request, sizeof(request),
		"GET /v1/replication/events?start_offset=%llu HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n\r\n",
		follower->height, follower->accept);

	if (text == NULL || write(follower->fd, request, (size_t)size) != size)
		die("follower");
	for (;;) {
		ssize_t part = read(follower->fd, text + used, room - used);

		if (part <= 0)
			break;
		atomic_fetch_add(&follower->bytes, (unsigned long long)part);
		used = follower->is_measured ? used + (size_t)part : 0;
		if (used > 0)
			note_arrivals(text, &used);
	}
	free(text);
	return NULL;
}

static unsigned long long height_of(const struct node *node)
{
	static const char request[] = "GET /v1/proof/state HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char answer[4096], *found;
	int fd = connect_to(node);
	ssize_t size;

	if (write(fd, request, sizeof(request) - 1) < 0 || (size = read(fd, answer, sizeof(answer) - 1)) <= 0)
		die("height");
	answer[size] = 0;
	close(fd);
	found = strstr(answer, "\"committed_height\":");
	return found != NULL ? strtoull(found + 19, NULL, 10) : 0;
}

static void start_followers(struct follower *followers, unsigned count, const struct node *node, bool is_measured,
			    unsigned long long height)
{
	for (unsigned i = 0; i < count; i++) {
		followers[i].node = node;
		followers[i].height = height;
		followers[i].accept = i % 2 == 0 ? "application/x-ndjson" : "application/octet-stream";
		followers[i].is_measured = is_measured && i == 0;
		followers[i].fd = connect_to(node);
		if (pthread_create(&followers[i].thread, NULL, run_follower, &followers[i]) != 0)
			die("follower");
	}
}

static void stop_followers(struct follower *followers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		shutdown(followers[i].fd, SHUT_RDWR);
		pthread_join(followers[i].thread, NULL);
		close(followers[i].fd);
	}
	memset(followers, 0, count * sizeof(*followers));
}

struct pacer {
	pthread_t thread;
	const struct node *node;
	double rate, until;
	unsigned number;
};

/* Inserts at a rate; notes when each was acknowledged. */
static void *run_pacer(void *context)
{
	const struct pacer *pacer = context;
	char *body = insert_body(1, pacer->number), answer[4096];
	size_t size;
	char *request = format_request("POST", "/v1/records", body, &size);
	int fd = connect_to(pacer->node);
	double next = now();

	free(body);
	for (; now() < pacer->until; next += 1 / pacer->rate) {
		double wait = next - now();
		unsigned long long id;
		ssize_t part;

		if (wait > 0)
			nanosleep(&(struct timespec){(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)}, NULL);
		if (write(fd, request, size) != (ssize_t)size || (part = read(fd, answer, sizeof(answer) - 1)) <= 0)
			die("insert");
		answer[part] = 0;
		if (strstr(answer, "{\"id\":") == NULL)
			die(answer);
		id = strtoull(strstr(answer, "{\"id\":") + 6, NULL, 10);
		if (id < COMMITS_MAX)
			acked[id] = now();
	}
	free(request);
	close(fd);
	return NULL;
}

static void measure_lag(struct node *node, unsigned count, struct follower *followers, double rate)
{
	struct pacer pacers[8];
	float *lags = calloc(SAMPLES, sizeof(*lags));
	size_t used = 0;
	unsigned lost = 0, written = 0;

	memset(acked, 0, COMMITS_MAX * sizeof(*acked));
	memset(arrived, 0, COMMITS_MAX * sizeof(*arrived));
	start_followers(followers, count, node, true, height_of(node));
	usleep(500000);
	for (unsigned i = 0; i < 8; i++) {
		pacers[i] = (struct pacer){.node = node, .rate = rate / 8, .until = now() + seconds_each, .number = i};
		if (pthread_create(&pacers[i].thread, NULL, run_pacer, &pacers[i]) != 0)
			die("insert");
	}
	for (unsigned i = 0; i < 8; i++)
		pthread_join(pacers[i].thread, NULL);
	usleep(500000);
	stop_followers(followers, count);
	for (size_t i = 0; i < COMMITS_MAX; i++) {
		if (acked[i] == 0)
			continue;
		written++;
		lost += arrived[i] == 0;
		if (arrived[i] != 0 && used < SAMPLES)
			lags[used++] = (float)(arrived[i] > acked[i] ? arrived[i] - acked[i] : 0);
	}
	qsort(lags, used, sizeof(*lags), by_size);
	printf("%-30s %3u followers %9.0f/s   p50 %8.0f us   p99 %8.0f us   max %8.0f us, %u lost\n",
	       "lag behind the answer", count, written / seconds_each, used > 0 ? lags[used / 2] * 1e6 : 0,
	       used > 0 ? lags[used - 1 - used / 100] * 1e6 : 0, used > 0 ? lags[used - 1] * 1e6 : 0, lost);
	fflush(stdout);
	free(lags);
}

static void measure_followers(struct node *node, const char *program)
{
	struct client insert = {.node = node, .method = "POST", .path = "/v1/records", .body = insert_body};
	static struct follower followers[FOLLOWERS];
	static const unsigned counts[] = {0, 1, 0, 1, 0, 1, 0, 1, 0, FOLLOWERS};

	acked = calloc(COMMITS_MAX, sizeof(*acked));
	arrived = calloc(COMMITS_MAX, sizeof(*arrived));
	if (acked == NULL || arrived == NULL)
		die("calloc");
	start_with(node, program, 16);
	measure_lag(node, 1, followers, 5000);
	measure_lag(node, FOLLOWERS, followers, 5000);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		char name[64];

		start_followers(followers, counts[i], node, false, height_of(node));
		sleep(1);
		snprintf(name, sizeof(name), "durable insert, 16 components, %u followers", counts[i]);
		measure(name, 16, &insert);
		stop_followers(followers, counts[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		unsigned long long before = 0, bytes = 0;
		double began = now();

		start_followers(followers + i, 1, node, false, 0);
		while (now() - began < 30 && (bytes != before || bytes == 0)) {
			before = bytes;
			usleep(200000);
			bytes = atomic_load(&followers[i].bytes);
		}
		printf("%-44s %20.0f MB/s (%llu bytes)\n", "catching up, lines",
		       (double)bytes / (now() - began - 0.2) / 1e6, bytes);
		stop_followers(followers + i, 1);
	}
	stop_node(node);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *only = getenv("BENCH_ONLY");
	struct node node;
	char program[600];

	(void)argc;
	if (getenv("BENCH_SECONDS") != NULL)
		seconds_each = strtod(getenv("BENCH_SECONDS"), NULL);
	snprintf(program, sizeof(program), "%.*s/../valori-serve", slash != NULL ? (int)(slash - argv[0]) : 1,
		 slash != NULL ? argv[0] : ".");
	if (access(program, X_OK) != 0) {
		printf("valori-serve is off in this build\n");
		return 0;
	}
	if (only == NULL || strcmp(only, "insert") == 0)
		measure_inserts(&node, program);
	if (only == NULL || strcmp(only, "search") == 0)
		measure_searches(&node, program);
	if (only == NULL || strcmp(only, "batch") == 0)
		measure_batches(&node, program);
	if (only == NULL || strcmp(only, "follow") == 0)
		measure_followers(&node, program);
	return 0;
}
