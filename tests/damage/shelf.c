/* shelf.c - a machine whose files lie in memory. */
#include "shelf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("Bail out! the shelf has no room: %s\n", what);
	exit(1);
}

/* ---- Names and files ---- */

static int find(const struct shelf *shelf, const char *path)
{
	for (int i = 0; i < SHELF_NAMES; i++)
		if (strcmp(shelf->names[i].path, path) == 0)
			return i;
	return -1;
}

static int name_new(struct shelf *shelf, const char *path, int file)
{
	int i = find(shelf, "");

	must(i >= 0 && strlen(path) < SHELF_PATH, path);
	snprintf(shelf->names[i].path, SHELF_PATH, "%s", path);
	shelf->names[i].file = file;
	if (file >= 0)
		shelf->files[file].names++;
	return i;
}

static bool is_open(const struct shelf *shelf, int file)
{
	for (int i = 0; i < SHELF_HANDLES; i++)
		if (shelf->handles[i].file == file)
			return true;
	return false;
}

static int file_new(struct shelf *shelf)
{
	int file = 0;

	while (file < SHELF_NAMES && (shelf->files[file].names > 0 || is_open(shelf, file)))
		file++;
	must(file < SHELF_NAMES, "files");
	shelf->files[file].size = 0;
	return file;
}

static void resize(struct shelf_file *file, size_t size)
{
	if (size > file->capacity) {
		file->capacity = size * 2 + 4096;
		file->data = realloc(file->data, file->capacity);
		must(file->data != NULL, "memory");
	}
	if (size > file->size)
		memset(file->data + file->size, 0, size - file->size);
	file->size = size;
}

static void name_drop(struct shelf *shelf, int name)
{
	if (shelf->names[name].file >= 0)
		shelf->files[shelf->names[name].file].names--;
	shelf->names[name].path[0] = '\0';
}

struct shelf_file *shelf_find(struct shelf *shelf, const char *path)
{
	int name = find(shelf, path);

	return name >= 0 && shelf->names[name].file >= 0 ? &shelf->files[shelf->names[name].file] : NULL;
}

void shelf_put(struct shelf *shelf, const char *path, const uint8_t *data, size_t size)
{
	int name = find(shelf, path);
	struct shelf_file *file;

	if (name < 0)
		name = name_new(shelf, path, file_new(shelf));
	file = &shelf->files[shelf->names[name].file];
	file->size = 0;
	resize(file, size);
	if (size > 0)
		memcpy(file->data, data, size);
}

void shelf_remove(struct shelf *shelf, const char *path)
{
	int name = find(shelf, path);

	if (name >= 0)
		name_drop(shelf, name);
}

void shelf_copy(struct shelf *shelf, const struct shelf *from)
{
	for (int i = 0; i < SHELF_HANDLES; i++)
		shelf->handles[i].file = -1;
	shelf->open = shelf->mapped = 0;
	for (int i = 0; i < SHELF_NAMES; i++)
		if (shelf->names[i].path[0] != '\0')
			name_drop(shelf, i);
	for (int i = 0; i < SHELF_NAMES; i++) {
		if (from->names[i].path[0] == '\0')
			continue;
		if (from->names[i].file < 0)
			name_new(shelf, from->names[i].path, -1);
		else
			shelf_put(shelf, from->names[i].path, from->files[from->names[i].file].data,
				  from->files[from->names[i].file].size);
	}
}

/* ---- The machine ---- */

static int handle_new(struct shelf *shelf, int file)
{
	int fd = 0;

	while (fd < SHELF_HANDLES && shelf->handles[fd].file >= 0)
		fd++;
	must(fd < SHELF_HANDLES, "descriptors");
	shelf->handles[fd].file = file;
	shelf->handles[fd].at = 0;
	shelf->handles[fd].has_lock = false;
	shelf->open++;
	return fd;
}

static int do_open(void *context, const char *path, enum vl_os_open how)
{
	struct shelf *shelf = context;
	int name = find(shelf, path);

	if (name >= 0 && shelf->names[name].file < 0)
		return -EISDIR;
	if (name >= 0 && how == VL_OS_CREATE)
		return -EEXIST;
	if (name < 0 && (how == VL_OS_READ || how == VL_OS_WRITE))
		return -ENOENT;
	if (name < 0)
		name = name_new(shelf, path, file_new(shelf));
	return handle_new(shelf, shelf->names[name].file);
}

static int do_close(void *context, int fd)
{
	struct shelf *shelf = context;

	shelf->handles[fd].file = -1;
	shelf->open--;
	return 0;
}

static struct shelf_file *of(struct shelf *shelf, int fd)
{
	return &shelf->files[shelf->handles[fd].file];
}

static int64_t do_pread(void *context, int fd, void *data, size_t size, uint64_t offset)
{
	const struct shelf_file *file = of(context, fd);

	if (offset >= file->size)
		return 0;
	if (size > file->size - offset)
		size = file->size - (size_t)offset;
	memcpy(data, file->data + offset, size);
	return (int64_t)size;
}

static int64_t do_read(void *context, int fd, void *data, size_t size)
{
	struct shelf *shelf = context;
	int64_t count = do_pread(context, fd, data, size, shelf->handles[fd].at);

	shelf->handles[fd].at += (uint64_t)count;
	return count;
}

static int64_t do_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	struct shelf_file *file = of(context, fd);

	if (offset + size > file->size)
		resize(file, (size_t)offset + size);
	memcpy(file->data + offset, data, size);
	return (int64_t)size;
}

static int64_t do_write(void *context, int fd, const void *data, size_t size)
{
	struct shelf *shelf = context;
	int64_t count = do_pwrite(context, fd, data, size, shelf->handles[fd].at);

	shelf->handles[fd].at += (uint64_t)count;
	return count;
}

static int do_sync(void *context, int fd)
{
	(void)context;
	(void)fd;
	return 0;
}

static int do_sync_directory(void *context, const char *path)
{
	(void)context;
	(void)path;
	return 0;
}

static int do_truncate(void *context, int fd, uint64_t size)
{
	resize(of(context, fd), (size_t)size);
	return 0;
}

static void describe_file(const struct shelf *shelf, int file, struct vl_os_stat *out)
{
	*out = (struct vl_os_stat){.device = 1, .inode = (uint64_t)file + 2, .is_directory = file < 0};
	out->is_regular = file >= 0;
	out->size = file >= 0 ? shelf->files[file].size : 0;
}

static int do_stat(void *context, int fd, struct vl_os_stat *out)
{
	const struct shelf *shelf = context;

	describe_file(shelf, shelf->handles[fd].file, out);
	return 0;
}

static bool is_below(const char *path, const char *directory)
{
	size_t size = strlen(directory);

	return strncmp(path, directory, size) == 0 && path[size] == '/';
}

static int do_stat_path(void *context, const char *path, struct vl_os_stat *out)
{
	const struct shelf *shelf = context;
	int name = find(shelf, path);

	if (name >= 0) {
		describe_file(shelf, shelf->names[name].file, out);
		return 0;
	}
	for (int i = 0; i < SHELF_NAMES; i++)
		if (is_below(shelf->names[i].path, path)) {
			describe_file(shelf, -1, out);
			return 0;
		}
	return -ENOENT;
}

static int do_rename(void *context, const char *from, const char *to)
{
	struct shelf *shelf = context;
	int name = find(shelf, from);

	if (name < 0)
		return -ENOENT;
	shelf_remove(shelf, to);
	must(strlen(to) < SHELF_PATH, to);
	snprintf(shelf->names[name].path, SHELF_PATH, "%s", to);
	return 0;
}

static int do_link(void *context, const char *from, const char *to)
{
	struct shelf *shelf = context;
	int name = find(shelf, from);

	if (name < 0)
		return -ENOENT;
	if (find(shelf, to) >= 0)
		return -EEXIST;
	name_new(shelf, to, shelf->names[name].file);
	return 0;
}

static int do_unlink(void *context, const char *path)
{
	struct shelf *shelf = context;

	if (find(shelf, path) < 0)
		return -ENOENT;
	shelf_remove(shelf, path);
	return 0;
}

static int do_make_directory(void *context, const char *path)
{
	struct vl_os_stat found;

	if (do_stat_path(context, path, &found) == 0)
		return -EEXIST;
	name_new(context, path, -1);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int do_list(void *context, const char *path, int (*visit)(void *argument, const char *name), void *argument)
{
	const struct shelf *shelf = context;
	const char *found[SHELF_NAMES];
	char copy[SHELF_PATH];
	size_t count = 0;

	for (int i = 0; i < SHELF_NAMES; i++)
		if (is_below(shelf->names[i].path, path) &&
		    strchr(shelf->names[i].path + strlen(path) + 1, '/') == NULL)
			found[count++] = shelf->names[i].path + strlen(path) + 1;
	qsort(found, count, sizeof(found[0]), compare_names);
	for (size_t i = 0; i < count; i++) {
		int result;

		snprintf(copy, sizeof(copy), "%s", found[i]); /* which visit may remove */
		result = visit(argument, copy);
		if (result != 0)
			return result;
	}
	return 0;
}

/* The file itself: what changes under it is seen. */
static int do_map(void *context, int fd, uint64_t size, const uint8_t **out)
{
	struct shelf *shelf = context;

	*out = of(shelf, fd)->data;
	shelf->mapped++;
	return size <= of(shelf, fd)->size ? 0 : -EINVAL;
}

static void do_unmap(void *context, const uint8_t *data, uint64_t size)
{
	(void)data;
	(void)size;
	((struct shelf *)context)->mapped--;
}

static int do_lock(void *context, int fd, uint64_t byte)
{
	struct shelf *shelf = context;

	for (int i = 0; i < SHELF_HANDLES; i++)
		if (i != fd && shelf->handles[i].file == shelf->handles[fd].file && shelf->handles[i].has_lock &&
		    shelf->handles[i].locked == byte)
			return -EAGAIN;
	shelf->handles[fd].has_lock = true;
	shelf->handles[fd].locked = byte;
	return 0;
}

static uint64_t do_time(void *context)
{
	(void)context;
	return 1700000000000;
}

static int do_random(void *context, void *data, size_t size)
{
	(void)context;
	memset(data, 0x37, size);
	return 0;
}

static int do_wait(void *context, int fd, unsigned milliseconds)
{
	(void)context;
	(void)fd;
	(void)milliseconds;
	return 0;
}

static int do_describe(void *context, char *out, size_t size)
{
	(void)context;
	snprintf(out, size, "a test");
	return 0;
}

void shelf_init(struct shelf *shelf)
{
	memset(shelf, 0, sizeof(*shelf));
	for (int i = 0; i < SHELF_HANDLES; i++)
		shelf->handles[i].file = -1;
	shelf->os = (struct vl_os){
		.context = shelf,
		.open = do_open,
		.close = do_close,
		.read = do_read,
		.pread = do_pread,
		.pwrite = do_pwrite,
		.write = do_write,
		.sync = do_sync,
		.sync_directory = do_sync_directory,
		.truncate = do_truncate,
		.stat = do_stat,
		.stat_path = do_stat_path,
		.rename = do_rename,
		.link = do_link,
		.unlink = do_unlink,
		.make_directory = do_make_directory,
		.list = do_list,
		.map = do_map,
		.unmap = do_unmap,
		.lock = do_lock,
		.time_ms = do_time,
		.monotonic_ms = do_time,
		.random = do_random,
		.wait = do_wait,
		.describe = do_describe,
	};
}

void shelf_free(struct shelf *shelf)
{
	for (int i = 0; i < SHELF_NAMES; i++)
		free(shelf->files[i].data);
}
