/* fuzz.c - what the fuzz targets share: memory that is watched, files that are not there, an input taken apart. */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "host.h"

void fuzz_broken(const char *file, int line, const char *promise)
{
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, promise);
	abort();
}

/* ---- memory ---- */

static void *memory_alloc(void *context, size_t size)
{
	struct fuzz_memory *memory = context;
	void *block;

	must(size <= memory->limit - memory->bytes);
	must(posix_memalign(&block, 64, size) == 0);
	memset(block, 0xa5, size < 4096 ? size : 4096);
	memory->bytes += size;
	memory->blocks++;
	return block;
}

static void memory_release(void *context, void *block, size_t size)
{
	struct fuzz_memory *memory = context;

	must(size <= memory->bytes && memory->blocks > 0);
	memory->bytes -= size;
	memory->blocks--;
	free(block);
}

void fuzz_memory_init(struct fuzz_memory *memory, const struct vl_kernels *kernels, uint64_t limit)
{
	*memory = (struct fuzz_memory){.limit = limit};
	memory->env = (struct vl_env){memory_alloc, memory_release, memory, kernels};
}

void fuzz_memory_check(const struct fuzz_memory *memory)
{
	must(memory->blocks == 0 && memory->bytes == 0);
}

const struct vl_kernels *fuzz_kernels(void)
{
	return vl_host_env()->kernels;
}

/* ---- files ---- */

static int find(const struct fuzz_disk *disk, const char *path)
{
	for (unsigned i = 0; i < disk->count; i++)
		if (strcmp(disk->files[i].path, path) == 0)
			return (int)i;
	return -ENOENT;
}

static int disk_open(void *context, const char *path, enum vl_os_open how)
{
	struct fuzz_disk *disk = context;
	int file = find(disk, path);

	if (file < 0)
		return file;
	if (how != VL_OS_READ)
		return -EROFS;
	for (int fd = 0; fd < FUZZ_FDS; fd++)
		if (!disk->fds[fd].is_open) {
			disk->fds[fd].is_open = true;
			disk->fds[fd].file = (unsigned)file;
			disk->fds[fd].at = 0;
			return fd;
		}
	return -EMFILE;
}

static const struct fuzz_file *file_of(const struct fuzz_disk *disk, int fd)
{
	must(fd >= 0 && fd < FUZZ_FDS && disk->fds[fd].is_open);
	return &disk->files[disk->fds[fd].file];
}

static int disk_close(void *context, int fd)
{
	struct fuzz_disk *disk = context;

	file_of(disk, fd);
	disk->fds[fd].is_open = false;
	return 0;
}

static int64_t disk_pread(void *context, int fd, void *data, size_t size, uint64_t offset)
{
	struct fuzz_disk *disk = context;
	const struct fuzz_file *file = file_of(disk, fd);

	if (offset >= file->size)
		return 0;
	if (size > file->size - offset)
		size = file->size - (size_t)offset;
	if (disk->piece != 0 && size > disk->piece)
		size = disk->piece;
	memcpy(data, file->data + offset, size);
	return (int64_t)size;
}

static int64_t disk_read(void *context, int fd, void *data, size_t size)
{
	struct fuzz_disk *disk = context;
	int64_t count = disk_pread(context, fd, data, size, disk->fds[fd].at);

	disk->fds[fd].at += (size_t)count;
	return count;
}

static int disk_stat(void *context, int fd, struct vl_os_stat *out)
{
	const struct fuzz_disk *disk = context;

	*out = (struct vl_os_stat){.size = file_of(disk, fd)->size, .device = 1, .is_regular = true};
	out->inode = disk->fds[fd].file + 1;
	return 0;
}

static bool is_below(const struct fuzz_file *file, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(file->path, directory, length) == 0 && file->path[length] == '/';
}

static int disk_stat_path(void *context, const char *path, struct vl_os_stat *out)
{
	const struct fuzz_disk *disk = context;
	int file = find(disk, path);

	for (unsigned i = 0; file < 0 && i < disk->count; i++)
		if (is_below(&disk->files[i], path)) {
			*out = (struct vl_os_stat){.device = 1, .inode = FUZZ_FILES + 1, .is_directory = true};
			return 0;
		}
	if (file < 0)
		return file;
	*out = (struct vl_os_stat){.size = disk->files[file].size, .device = 1, .is_regular = true};
	out->inode = (unsigned)file + 1;
	return 0;
}

static int disk_list(void *context, const char *path, int (*visit)(void *argument, const char *name), void *argument)
{
	const struct fuzz_disk *disk = context;
	const char *last = "";
	int code = 0;

	while (code == 0) {
		const char *next = NULL;

		for (unsigned i = 0; i < disk->count; i++) {
			const char *name = disk->files[i].path + strlen(path) + 1;

			if (is_below(&disk->files[i], path) && strcmp(name, last) > 0 &&
			    (next == NULL || strcmp(name, next) < 0))
				next = name;
		}
		if (next == NULL)
			break;
		last = next;
		code = visit(argument, next);
	}
	return code;
}

static int disk_map(void *context, int fd, uint64_t size, const uint8_t **out)
{
	struct fuzz_disk *disk = context;
	const struct fuzz_file *file = file_of(disk, fd);
	void *copy;

	must(size <= file->size);
	*out = NULL;
	if (size == 0)
		return 0;
	must(posix_memalign(&copy, 64, (size_t)size) == 0);
	memcpy(copy, file->data, (size_t)size);
	*out = copy;
	disk->mapped++;
	return 0;
}

static void disk_unmap(void *context, const uint8_t *data, uint64_t size)
{
	struct fuzz_disk *disk = context;

	(void)size;
	disk->mapped -= data != NULL;
	free((void *)(uintptr_t)data);
}

static uint64_t disk_time(void *context)
{
	(void)context;
	return UINT64_C(1700000000000);
}

static int disk_wait(void *context, int fd, unsigned milliseconds)
{
	(void)context;
	(void)fd;
	(void)milliseconds;
	return -EINTR; /* what is not there yet will never be */
}

/* What would change something is not there: a reader that called it would be found at once. */
static const struct vl_os calls = {
	.open = disk_open,
	.close = disk_close,
	.read = disk_read,
	.pread = disk_pread,
	.stat = disk_stat,
	.stat_path = disk_stat_path,
	.list = disk_list,
	.map = disk_map,
	.unmap = disk_unmap,
	.time_ms = disk_time,
	.monotonic_ms = disk_time,
	.wait = disk_wait,
};

void fuzz_disk_init(struct fuzz_disk *disk)
{
	*disk = (struct fuzz_disk){.os = calls};
	disk->os.context = disk;
}

void fuzz_disk_add(struct fuzz_disk *disk, const char *path, const uint8_t *data, size_t size)
{
	must(disk->count < FUZZ_FILES);
	disk->files[disk->count++] = (struct fuzz_file){path, data, size};
}

void fuzz_disk_check(const struct fuzz_disk *disk)
{
	for (unsigned fd = 0; fd < FUZZ_FDS; fd++)
		must(!disk->fds[fd].is_open);
	must(disk->mapped == 0);
}

/* ---- the input ---- */

uint8_t fuzz_take8(struct fuzz_input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

uint16_t fuzz_take16(struct fuzz_input *input)
{
	uint16_t low = fuzz_take8(input);

	return (uint16_t)(low | fuzz_take8(input) << 8);
}

uint64_t fuzz_take64(struct fuzz_input *input)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)fuzz_take8(input) << 8 * i;
	return value;
}

const uint8_t *fuzz_take(struct fuzz_input *input, size_t *size)
{
	const uint8_t *data = input->data;

	if (*size > input->size)
		*size = input->size;
	input->data += *size;
	input->size -= *size;
	return data;
}

uint64_t fuzz_mix(uint64_t digest, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	digest ^= size * UINT64_C(0x9fb21c651e98df25);
	for (size_t i = 0; i < size; i++)
		digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
	return digest ^ digest >> 29;
}
