/* serve_snapshot.c - routes about snapshots: save, download, upload, restore; and the one that is due. */
#include "serve_body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOWNLOAD_KEEP_NS (UINT64_C(300) * 1000000000)

/* Where the snapshot is kept: as configured, or beside the log; NULL: nowhere. To be freed. */
static char *snapshot_path(const struct node *node)
{
	char *path = NULL, *directory = NULL;
	struct stat about;
	const char *slash;

	if (node->config.snapshot != NULL && node->config.snapshot[0] != 0)
		return strdup(node->config.snapshot);
	if (node->config.log == NULL)
		return NULL;
	if (stat(node->config.log, &about) == 0 && S_ISDIR(about.st_mode)) {
		directory = strdup(node->config.log);
	} else {
		slash = strrchr(node->config.log, '/');
		directory =
			slash == NULL ? strdup(".") : strndup(node->config.log, (size_t)(slash - node->config.log) + 1);
	}
	if (directory != NULL && asprintf(&path, "%s/snapshot.val", directory) < 0)
		path = NULL;
	free(directory);
	return path;
}

/*
 * Another file beside it. A name from outside is a name and nothing else: no directory, nothing hidden. NULL: it is
 * not, or memory.
 */
static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	char *made;

	if (name[0] == 0 || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > 200)
		return NULL;
	if (asprintf(&made, "%.*s%s", slash == NULL ? 0 : (int)(slash - path) + 1, path, name) < 0)
		return NULL;
	return made;
}

static bool ends_in(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* The file that a request means: its path member if it has one. NULL: answered. To be freed. */
static char *named_path(struct exchange *x)
{
	struct body_text name = {0};
	const struct body_member members[] = {{"path", BODY_TEXT, false, &name}};
	char *path, *named;
	const char *last;
	bool is_plain;

	if ((http_announced(x->http) > 0 || http_header(x->http, "Transfer-Encoding") != NULL) &&
	    !body_read(x, members, 1))
		return NULL;
	path = snapshot_path(x->node);
	if (path == NULL) {
		fail_with(x, 400, "invalid", "this node has no place for snapshots: start it with -s or -l");
		return NULL;
	}
	is_plain = name.text != NULL && strlen(name.text) == name.size;
	if (name.text == NULL || (is_plain && strcmp(name.text, path) == 0))
		return path;
	/* Its own directory may be named; no other is reachable from here. */
	last = strrchr(path, '/');
	if (last != NULL && strncmp(name.text, path, (size_t)(last - path) + 1) == 0)
		name.text += last - path + 1;
	named = is_plain ? beside(path, name.text) : NULL;
	free(path);
	if (named == NULL || ends_in(named, ".log") || strstr(named, "events.") != NULL) {
		free(named);
		fail_with(x, 400, "invalid",
			  "body: path: must be the name of a file beside the snapshot, without directory");
		return NULL;
	}
	return named;
}

valori_code serve_save(struct node *node, const char *path, valori_snapshot_info *out, valori_error *error)
{
	char *own = path == NULL ? snapshot_path(node) : NULL;
	valori_view *view;
	valori_code code;

	if (path == NULL)
		path = own;
	if (path == NULL)
		return VALORI_OK;
	*out = (valori_snapshot_info){.size = sizeof(*out)};
	pthread_mutex_lock(&node->snapshots);
	code = valori_view_open(node->store, &view, error);
	if (code == VALORI_OK) {
		code = valori_snapshot_write(view, path, out, error);
		valori_view_close(view);
	}
	if (code == VALORI_OK)
		atomic_store(&node->snapshot_size, out->file_size);
	pthread_mutex_unlock(&node->snapshots);
	free(own);
	return code;
}

void route_snapshot_save(struct exchange *x)
{
	char *path = named_path(x);
	valori_snapshot_info info;
	struct tool_json *json;
	valori_error error;
	const char *slash;

	if (path == NULL)
		return;
	if (serve_save(x->node, path, &info, &error) != VALORI_OK) {
		fail(x, &error);
	} else if ((json = reply_begin(x)) != NULL) {
		slash = strrchr(path, '/');
		tool_json_bool(json, "success", true);
		tool_json_text(json, "path", slash == NULL ? path : slash + 1);
		tool_json_u64(json, "height", info.height);
		tool_json_hash(json, "state_hash", &info.state_root);
		tool_json_u64(json, "size", info.file_size);
		reply_send(x, 200);
	}
	free(path);
}

/* A new file for one request, in the store's directory or that for temporary files; to be freed and removed. */
static char *scratch_file(struct exchange *x, int *out_fd)
{
	char *path = snapshot_path(x->node), *made = NULL;
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;

	if (path == NULL)
		made = strdup("/tmp/valori-XXXXXX");
	else if (asprintf(&made, "%.*s.transfer-XXXXXX", slash == NULL ? 0 : (int)(slash - path) + 1, path) < 0)
		made = NULL;
	free(path);
	*out_fd = made != NULL ? mkostemp(made, O_CLOEXEC) : -1;
	if (*out_fd >= 0)
		return made;
	fail_with(x, 500, "io", "a temporary file for the snapshot: %s", strerror(errno));
	free(made);
	return NULL;
}

/* ---- download ---- */

/* "bytes=FIRST-" or "bytes=FIRST-LAST" of size; false: none that we serve. */
static bool parse_range(const char *text, uint64_t size, uint64_t *first, uint64_t *last)
{
	char *end;

	if (text == NULL || strncmp(text, "bytes=", 6) != 0 || text[6] < '0' || text[6] > '9')
		return false;
	errno = 0;
	*first = strtoull(text + 6, &end, 10);
	if (errno != 0 || *end++ != '-')
		return false;
	*last = size - 1;
	if (*end != 0) {
		*last = strtoull(end, &end, 10);
		if (errno != 0 || *end != 0 || *last < *first)
			return false;
	}
	*last = *last < size ? *last : size - 1;
	return true;
}

/* A snapshot that went out, for who comes back for the rest of it; or one that nobody has asked for yet. */
static void download_clear(struct download *download)
{
	if (download->fd > 0)
		close(download->fd - 1);
	*download = (struct download){0};
}

void serve_downloads_expire(struct node *node, bool all)
{
	pthread_mutex_lock(&node->downloading);
	for (size_t i = 0; i < DOWNLOADS; i++)
		if (all || http_now_ns() - node->downloads[i].used_ns > DOWNLOAD_KEEP_NS)
			download_clear(&node->downloads[i]);
	pthread_mutex_unlock(&node->downloading);
}

/* A kept one with this tag or, when tag is NULL, of this state; its descriptor is the caller's to close. */
static bool find_download(struct node *node, const char *tag, const valori_info *now, struct download *out)
{
	bool is_found = false;

	pthread_mutex_lock(&node->downloading);
	for (size_t i = 0; i < DOWNLOADS && !is_found; i++) {
		struct download *kept = &node->downloads[i];

		if (kept->fd == 0 ||
		    (tag != NULL ? strcmp(tag, kept->tag) != 0
				 : memcmp(&kept->info.state_root, &now->state_root, sizeof(now->state_root)) != 0 ||
					   memcmp(&kept->info.tree_root, &now->tree_root, sizeof(now->tree_root)) != 0))
			continue;
		kept->used_ns = http_now_ns();
		*out = *kept;
		out->fd = fcntl(kept->fd - 1, F_DUPFD_CLOEXEC, 0) + 1;
		is_found = out->fd > 0;
	}
	pthread_mutex_unlock(&node->downloading);
	return is_found;
}

/* In place of the one that was not asked for longest. */
static void keep_download(struct node *node, const struct download *download)
{
	size_t oldest = 0;

	pthread_mutex_lock(&node->downloading);
	for (size_t i = 1; i < DOWNLOADS; i++)
		if (node->downloads[i].used_ns < node->downloads[oldest].used_ns)
			oldest = i;
	download_clear(&node->downloads[oldest]);
	node->downloads[oldest] = *download;
	node->downloads[oldest].fd = fcntl(download->fd - 1, F_DUPFD_CLOEXEC, 0) + 1;
	pthread_mutex_unlock(&node->downloading);
}

/* Its state alone does not tell its bytes, which have an index among them; its header does. */
static bool make_tag(struct download *download)
{
	char root[65], header_hash[65], header[8192];
	valori_hash hash;

	if (pread(download->fd - 1, header, sizeof(header), 0) != sizeof(header))
		return false;
	valori_hash_of(header, sizeof(header), &hash);
	valori_hash_format(&hash, header_hash);
	valori_hash_format(&download->info.state_root, root);
	snprintf(download->tag, sizeof(download->tag), "\"%s-%.16s\"", root, header_hash);
	return true;
}

/* A snapshot of the view. false: answered. */
static bool make_download(struct exchange *x, struct download *out)
{
	valori_error error;
	int fd;
	char *path = scratch_file(x, &fd);

	*out = (struct download){.info = {.size = sizeof(out->info)}, .used_ns = http_now_ns()};
	if (path == NULL)
		return false;
	close(fd);
	unlink(path);
	if (valori_snapshot_write(x->view, path, &out->info, &error) != VALORI_OK)
		fail(x, &error);
	else if ((out->fd = open(path, O_RDONLY | O_CLOEXEC) + 1) == 0 || !make_tag(out))
		fail_with(x, 500, "io", "the snapshot: %s", strerror(errno));
	unlink(path);
	free(path);
	if (x->http->status == 0)
		keep_download(x->node, out);
	else if (out->fd > 0)
		close(out->fd - 1);
	return x->http->status == 0;
}

static void send_file(struct exchange *x, const struct download *download, const char *range)
{
	const valori_snapshot_info *info = &download->info;
	char headers[640], root[65], log_id[65], data[1 << 15];
	uint64_t first = 0, last = info->file_size - 1;
	bool is_part = parse_range(range, info->file_size, &first, &last);
	int used;

	valori_hash_format(&info->state_root, root);
	valori_hash_format(&info->log_id, log_id);
	used = snprintf(headers, sizeof(headers),
			"X-Valori-Height: %llu\r\nX-Valori-State-Hash: %s\r\nX-Valori-Log-Id: %s\r\nETag: %s\r\n"
			"Accept-Ranges: bytes\r\n",
			(unsigned long long)info->height, root, log_id, download->tag);
	if (is_part && first >= info->file_size) {
		http_error(x->http, 416, headers, "range", "the snapshot has %llu bytes",
			   (unsigned long long)info->file_size);
		return;
	}
	if (is_part)
		snprintf(headers + used, sizeof(headers) - (size_t)used, "Content-Range: bytes %llu-%llu/%llu\r\n",
			 (unsigned long long)first, (unsigned long long)last, (unsigned long long)info->file_size);
	http_stream_begin(x->http, is_part ? 206 : 200, "application/octet-stream", headers, last - first + 1);
	while (first <= last) {
		size_t part = last - first + 1 < sizeof(data) ? (size_t)(last - first + 1) : sizeof(data);
		ssize_t got = pread(download->fd - 1, data, part, (off_t)first);

		if (got <= 0 || !http_stream_write(x->http, data, (size_t)got))
			return;
		first += (uint64_t)got;
	}
}

void route_snapshot_download(struct exchange *x)
{
	const char *range = http_header(x->http, "Range"), *if_range = http_header(x->http, "If-Range");
	const char *if_match = http_header(x->http, "If-Match"), *tag = if_match != NULL ? if_match : if_range;
	struct download download;
	valori_info now = {.size = sizeof(now)};
	valori_error error;
	char root[67];

	if (tag == NULL || strcmp(tag, "*") == 0 || !find_download(x->node, tag, NULL, &download)) {
		if (!exchange_enter(x) || exchange_view(x) == NULL)
			return;
		if (valori_view_info(x->view, &now, &error) != VALORI_OK) {
			fail(x, &error);
			return;
		}
		/* Made anew, it may be the same, bytes and all; of another state it is not. */
		root[0] = '"';
		valori_hash_format(&now.state_root, root + 1);
		download.tag[0] = 0;
		if ((if_match == NULL || strcmp(if_match, "*") == 0 || strncmp(if_match, root, 65) == 0) &&
		    !find_download(x->node, NULL, &now, &download) && !make_download(x, &download))
			return;
		exchange_leave(x);
		if (if_match != NULL && strcmp(if_match, "*") != 0 && strcmp(if_match, download.tag) != 0) {
			fail_with(x, 412, "mismatch", "that snapshot is not kept any more: begin anew");
			if (download.tag[0] != 0)
				close(download.fd - 1);
			return;
		}
		if (if_range != NULL && strcmp(if_range, download.tag) != 0)
			range = NULL;
	}
	send_file(x, &download, range);
	close(download.fd - 1);
}

/* ---- restore and upload ---- */

/*
 * The store begins anew from a snapshot that was checked. Nobody else asks it anything meanwhile; when it fails, the
 * old store is open again.
 */
static valori_code restore(struct node *node, const char *path, valori_error *error)
{
	valori_snapshot_info info = {.size = sizeof(info)};
	valori_code code = valori_snapshot_check(path, &info, error), restored;

	if (code != VALORI_OK)
		return code;
	if (info.dim != node->config.dim) {
		error->code = VALORI_DIMENSION;
		snprintf(error->message, sizeof(error->message), "the snapshot has dimension %u, this store has %u",
			 info.dim, node->config.dim);
		return VALORI_DIMENSION;
	}
	serve_pasts_clear(node);
	restored = valori_close(node->store, error);
	node->store = NULL;
	if (node->config.log != NULL && restored == VALORI_OK)
		restored = valori_restore(node->config.log, path, NULL, error);
	else if (node->config.log == NULL)
		node->restored_from = path;
	code = serve_open(node, restored == VALORI_OK ? error : &(valori_error){0});
	node->restored_from = NULL;
	if (node->store != NULL)
		serve_note_index(node);
	serve_committed(node);
	return restored != VALORI_OK ? restored : code;
}

static void answer_restore(struct exchange *x, const char *path, bool is_upload)
{
	struct tool_json *json;
	valori_error error;
	valori_code code;

	/* Before the wait for all others, give back what they could wait for. */
	exchange_leave(x);
	pthread_rwlock_wrlock(&x->node->swap);
	x->has_store = true;
	code = restore(x->node, path, &error);
	if (code != VALORI_OK)
		fail_with(x, code == VALORI_IO || code == VALORI_NO_MEMORY ? 500 : 400, valori_code_name(code), "%s",
			  error.message);
	else if (is_upload)
		http_answer(x->http, 200, NULL, NULL, "", 0);
	else if ((json = reply_begin(x)) != NULL) {
		tool_json_bool(json, "success", true);
		reply_send(x, 200);
	}
}

void route_snapshot_restore(struct exchange *x)
{
	char *path = named_path(x);

	if (path != NULL)
		answer_restore(x, path, false);
	free(path);
}

void route_snapshot_upload(struct exchange *x)
{
	char data[1 << 14], *path;
	int64_t got;
	int fd;
	bool written = true;

	path = scratch_file(x, &fd);
	if (path == NULL)
		return;
	while (written && (got = http_read(x->http, data, sizeof(data), UINT64_MAX - 1)) > 0)
		written = write(fd, data, (size_t)got) == got;
	close(fd);
	if (!written)
		fail_with(x, 500, "io", "the uploaded snapshot: %s", strerror(errno));
	else if (got == 0)
		answer_restore(x, path, true);
	unlink(path);
	free(path);
}
