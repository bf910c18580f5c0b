/* foreign.c - files of the Rust system: found, mapped, read by upstream.h. */
#include "foreign.h"

#include <errno.h>
#include <stdlib.h>

#include "host.h"
#include "mapped.h"

enum {
	HEAD = 48,	/* bytes that tell what a file is */
	DIGITS_MIN = 6, /* of an old segment's number behind the name */
	DIGITS_MAX = 10,
	FILES_MAX = 1 << 16
};

struct valori_upstream {
	const struct vl_env *env;
	const struct vl_os *os;
	struct vl_upstream_file *files; /* names are ours */
	size_t count, capacity;
	struct vl_upstream_reader *reader;
};

static valori_code fail_system(valori_error *error, int result, const char *path)
{
	if (result == -ENOENT || result == -ENOTDIR)
		return vl_fail(error, VALORI_NOT_FOUND, "%s: there is no such file", path);
	vl_fail(error, VALORI_IO, "%s: %s", path, vl_os_error_text(result));
	if (error != NULL)
		error->system_errno = -result;
	return VALORI_IO;
}

static valori_code no_memory(valori_error *error)
{
	return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
}

/* What a file begins with: how many bytes, or -errno; 0 for what is no regular file. */
static int64_t look(const struct vl_os *os, const char *path, uint8_t head[HEAD])
{
	struct vl_os_stat stat;
	int fd, result = os->stat_path(os->context, path, &stat);
	int64_t size;

	if (result < 0)
		return result;
	if (!stat.is_regular) /* opening a FIFO would wait, and reading it would take what others want */
		return 0;
	fd = os->open(os->context, path, VL_OS_READ);
	if (fd < 0)
		return fd;
	size = vl_os_pread_all(os, fd, head, HEAD, 0);
	os->close(os->context, fd);
	return size;
}

valori_code valori_upstream_recognise(const char *path, uint32_t *out_kind, valori_error *error)
{
	uint8_t head[HEAD];
	int64_t size = look(&vl_os_real, path, head);

	*out_kind = VALORI_UPSTREAM_NONE;
	if (size < 0)
		return fail_system(error, (int)size, path);
	*out_kind = vl_upstream_recognise(head, (size_t)size);
	return VALORI_OK;
}

/* ---- mapping ---- */

static valori_code map_file(valori_upstream *upstream, const char *path, valori_error *error)
{
	const struct vl_os *os = upstream->os;
	struct vl_upstream_file *file;
	struct vl_os_stat stat;
	const uint8_t *data = NULL;
	char *name;
	int result, fd;

	if (upstream->count == upstream->capacity) {
		size_t capacity = upstream->capacity == 0 ? 8 : 2 * upstream->capacity;
		void *files = capacity > FILES_MAX ? NULL : realloc(upstream->files, capacity * sizeof(*file));

		if (files == NULL)
			return no_memory(error);
		upstream->files = files;
		upstream->capacity = capacity;
	}
	fd = os->open(os->context, path, VL_OS_READ);
	if (fd < 0)
		return fail_system(error, fd, path);
	result = os->stat(os->context, fd, &stat);
	if (result == 0 && !stat.is_regular) {
		os->close(os->context, fd);
		return vl_fail(error, VALORI_NOT_OURS, "%s: not a regular file", path);
	}
	if (result == 0 && stat.size > 0)
		result = os->map(os->context, fd, stat.size, &data);
	os->close(os->context, fd);
	if (result < 0)
		return fail_system(error, result, path);
	name = strdup(path);
	if (name == NULL) {
		if (data != NULL)
			os->unmap(os->context, data, stat.size);
		return no_memory(error);
	}
	if (data != NULL)
		vl_mapped_add(data, stat.size, name);
	/* An empty file has no bytes, but they have a place. */
	upstream->files[upstream->count++] =
		(struct vl_upstream_file){data != NULL ? data : (const uint8_t *)"", (size_t)stat.size, name};
	return VALORI_OK;
}

/* ---- old segments beside the live one: NAME.000000, and STEM.log.000000 for a log whose name ends otherwise ---- */

struct search {
	const char *base; /* what their names begin with */
	size_t base_size;
	char *names; /* one behind the other, each with its NUL */
	size_t size, count;
	bool failed;
};

static int visit(void *argument, const char *name)
{
	struct search *search = argument;
	size_t size = strlen(name), digits = size - search->base_size - 1;
	char *names;

	if (size < search->base_size + 1 + DIGITS_MIN || digits > DIGITS_MAX || search->count == FILES_MAX ||
	    memcmp(name, search->base, search->base_size) != 0 || name[search->base_size] != '.')
		return 0;
	for (size_t i = search->base_size + 1; i < size; i++)
		if (name[i] < '0' || name[i] > '9')
			return 0;
	names = realloc(search->names, search->size + size + 1);
	if (names == NULL) {
		search->failed = true;
		return 0;
	}
	memcpy(names + search->size, name, size + 1);
	search->names = names;
	search->size += size + 1;
	search->count++;
	return 0;
}

static char *join(const char *directory, size_t size, const char *name)
{
	char *path = malloc(size + strlen(name) + 2);

	if (path == NULL)
		return NULL;
	memcpy(path, directory, size);
	if (size > 0 && directory[size - 1] != '/')
		path[size++] = '/';
	memcpy(path + size, name, strlen(name) + 1);
	return path;
}

/* Those of the log with a smaller number than the live segment's that are not there yet. */
static valori_code take_segment(valori_upstream *upstream, const char *directory, size_t directory_size,
				const char *name, uint32_t below, valori_error *error)
{
	char *path = join(directory, directory_size, name);
	uint8_t head[HEAD];
	valori_code code = VALORI_OK;
	int64_t size;
	uint32_t number = 0;
	bool is_wanted;

	if (path == NULL)
		return no_memory(error);
	size = look(upstream->os, path, head);
	is_wanted = size >= 16 && vl_upstream_recognise(head, (size_t)size) == VALORI_UPSTREAM_LOG;
	if (is_wanted && vl_get32(head) != 2)
		number = vl_get32(head + 12);
	for (size_t i = 1; is_wanted && i < upstream->count; i++) {
		const struct vl_upstream_file *other = &upstream->files[i];

		if ((vl_get32(other->data) == 2 ? 0 : vl_get32(other->data + 12)) == number)
			is_wanted = false;
	}
	if (size < 0)
		code = fail_system(error, (int)size, path);
	else if (is_wanted && number < below)
		code = map_file(upstream, path, error);
	free(path);
	return code;
}

static valori_code search_directory(valori_upstream *upstream, const char *directory, size_t directory_size,
				    const char *base, size_t base_size, uint32_t below, valori_error *error)
{
	struct search search = {.base = base, .base_size = base_size};
	char *listed = join(directory, directory_size, "");
	valori_code code = VALORI_OK;
	const char *name;
	int result;

	if (listed == NULL)
		return no_memory(error);
	result = upstream->os->list(upstream->os->context, listed[0] != '\0' ? listed : ".", visit, &search);
	if (result < 0)
		code = fail_system(error, result, directory_size > 0 ? listed : ".");
	else if (search.failed)
		code = no_memory(error);
	name = search.names;
	for (size_t i = 0; code == VALORI_OK && i < search.count; i++, name += strlen(name) + 1)
		code = take_segment(upstream, directory, directory_size, name, below, error);
	free(search.names);
	free(listed);
	return code;
}

static valori_code find_segments(valori_upstream *upstream, const char *path, const char *archive, valori_error *error)
{
	const uint8_t *head = upstream->files[0].data;
	const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path, *dot = strrchr(base, '.');
	size_t directory_size = (size_t)(base - path);
	uint32_t number = vl_get32(head) == 2 ? 0 : vl_get32(head + 12);
	valori_code code;
	char *other;

	if (number == 0)
		return VALORI_OK;
	code = search_directory(upstream, path, directory_size, base, strlen(base), number, error);
	if (code == VALORI_OK && archive != NULL)
		code = search_directory(upstream, archive, strlen(archive), base, strlen(base), number, error);
	if (code != VALORI_OK || dot == NULL || strcmp(dot, ".log") == 0)
		return code;
	/* Written under this name, and never found again by whoever wrote it. */
	other = malloc((size_t)(dot - base) + 5);
	if (other == NULL)
		return no_memory(error);
	memcpy(other, base, (size_t)(dot - base));
	memcpy(other + (dot - base), ".log", 5);
	code = search_directory(upstream, path, directory_size, other, strlen(other), number, error);
	free(other);
	return code;
}

/* ---- public ---- */

valori_code vl_foreign_open(const struct vl_env *env, const struct vl_os *os, const char *const *paths, size_t count,
			    const char *archive, valori_upstream **out, valori_error *error)
{
	valori_upstream *upstream;
	valori_code code = VALORI_OK;

	*out = NULL;
	if (count == 0)
		return vl_fail(error, VALORI_INVALID, "no file is named");
	upstream = calloc(1, sizeof(*upstream));
	if (upstream == NULL)
		return no_memory(error);
	upstream->env = env;
	upstream->os = os;
	for (size_t i = 0; code == VALORI_OK && i < count; i++)
		code = map_file(upstream, paths[i], error);
	if (code == VALORI_OK && count == 1 && upstream->files[0].size >= HEAD &&
	    vl_upstream_recognise(upstream->files[0].data, upstream->files[0].size) == VALORI_UPSTREAM_LOG)
		code = find_segments(upstream, paths[0], archive, error);
	if (code == VALORI_OK)
		code = vl_upstream_reader_new(env, upstream->files, upstream->count, &upstream->reader, error);
	if (code != VALORI_OK) {
		valori_upstream_close(upstream);
		return code;
	}
	*out = upstream;
	return VALORI_OK;
}

valori_code valori_upstream_open(const char *const *paths, size_t count, const char *archive, valori_upstream **out,
				 valori_error *error)
{
	return vl_foreign_open(vl_host_env(), &vl_os_real, paths, count, archive, out, error);
}

void valori_upstream_close(valori_upstream *upstream)
{
	if (upstream == NULL)
		return;
	vl_upstream_reader_free(upstream->reader);
	for (size_t i = 0; i < upstream->count; i++) {
		struct vl_upstream_file *file = &upstream->files[i];

		if (file->size > 0) {
			vl_mapped_remove(file->data);
			upstream->os->unmap(upstream->os->context, file->data, file->size);
		}
		free((char *)(uintptr_t)file->name);
	}
	free(upstream->files);
	free(upstream);
}

valori_code valori_upstream_next(valori_upstream *upstream, valori_upstream_event *out, valori_error *error)
{
	return vl_upstream_reader_next(upstream->reader, out, error);
}

void valori_upstream_get_report(valori_upstream *upstream, valori_upstream_report *out)
{
	vl_upstream_reader_report(upstream->reader, out);
}
