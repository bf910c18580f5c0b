/* log_head.c - the head file: what is acknowledged; and the lock: who may write. */
#include "log_private.h"

#include <errno.h>

#define HEAD_MAGIC "VALORIHD"

enum { HEAD_VERSION = 1, HEAD_CRC = 48, SLOT_ZERO = 104, SLOT_CRC = 124, READ_TRIES = 8 };

void vl_head_slot_encode(const struct vl_head *head, const struct vl_kernels *kernels, uint8_t out[VL_HEAD_SLOT_SIZE])
{
	memset(out, 0, VL_HEAD_SLOT_SIZE);
	vl_put64(out, head->commits);
	vl_put64(out + 8, head->height);
	vl_put64(out + 16, head->segment_first_event);
	vl_put64(out + 24, head->offset);
	memcpy(out + 32, head->tree_root, 32);
	memcpy(out + 64, head->state_root, 32);
	vl_put64(out + 96, head->time_ms);
	vl_put32(out + SLOT_CRC, vl_crc32c(kernels, 0, out, SLOT_CRC));
}

void vl_head_encode(const struct vl_head *head, const struct vl_kernels *kernels, uint8_t out[VL_HEAD_SIZE])
{
	memset(out, 0, VL_HEAD_SIZE);
	memcpy(out, HEAD_MAGIC, 8);
	vl_put32(out + 8, HEAD_VERSION);
	memcpy(out + 16, head->log_id, 32);
	vl_put32(out + HEAD_CRC, vl_crc32c(kernels, 0, out, HEAD_CRC));
	for (unsigned slot = 0; slot < VL_HEAD_SLOTS; slot++)
		vl_head_slot_encode(head, kernels, out + VL_HEAD_SLOT_FIRST * (slot + 1));
}

void vl_head_set(struct vl_head *head, const struct vl_position *position, uint64_t segment_first_event,
		 uint64_t offset, const struct vl_kernels *kernels)
{
	head->commits = position->frontier.size;
	head->height = position->height;
	head->segment_first_event = segment_first_event;
	head->offset = offset;
	head->time_ms = position->time_ms;
	head->is_partial = false;
	memcpy(head->log_id, position->log_id, 32);
	memcpy(head->state_root, position->state_root, 32);
	vl_frontier_root(&position->frontier, kernels, head->tree_root);
}

static bool slot_decode(const uint8_t *data, const struct vl_kernels *kernels, struct vl_head *out)
{
	if (vl_get32(data + SLOT_CRC) != vl_crc32c(kernels, 0, data, SLOT_CRC))
		return false;
	if (!vl_is_zero(data + SLOT_ZERO, SLOT_CRC - SLOT_ZERO) || vl_get64(data + 24) < VL_SEGMENT_HEADER)
		return false;
	out->commits = vl_get64(data);
	out->height = vl_get64(data + 8);
	out->segment_first_event = vl_get64(data + 16);
	out->offset = vl_get64(data + 24);
	memcpy(out->tree_root, data + 32, 32);
	memcpy(out->state_root, data + 64, 32);
	out->time_ms = vl_get64(data + 96);
	return true;
}

/*
 * The valid slot with more commits; of equals the one that is further on in the files (a rotation moves without
 * a commit).
 */
static bool slots_decode(const uint8_t *data, const struct vl_kernels *kernels, struct vl_head *out)
{
	unsigned found = 0;

	for (unsigned slot = 0; slot < VL_HEAD_SLOTS; slot++) {
		struct vl_head head = {0};

		if (!slot_decode(data + VL_HEAD_SLOT_FIRST * (slot + 1), kernels, &head))
			continue;
		found++;
		if (found > 1 && (head.commits < out->commits ||
			      (head.commits == out->commits && head.segment_first_event <= out->segment_first_event)))
			continue;
		memcpy(head.log_id, data + 16, 32);
		*out = head;
	}
	out->is_partial = found < VL_HEAD_SLOTS;
	return found > 0;
}

static bool gaps_are_zero(const uint8_t *data)
{
	uint32_t end = HEAD_CRC + 4;

	if (!vl_is_zero(data + 12, 4))
		return false;
	for (unsigned slot = 0; slot < VL_HEAD_SLOTS; slot++) {
		if (!vl_is_zero(data + end, VL_HEAD_SLOT_FIRST * (slot + 1) - end))
			return false;
		end = VL_HEAD_SLOT_FIRST * (slot + 1) + VL_HEAD_SLOT_SIZE;
	}
	return vl_is_zero(data + end, VL_HEAD_SIZE - end);
}

static valori_code head_decode(const uint8_t *data, const char *path, const struct vl_kernels *kernels,
			       struct vl_head *out, valori_error *error)
{
	if (memcmp(data, HEAD_MAGIC, 8) != 0)
		return vl_fail(error, VALORI_NOT_FOUND, "%s: is not used: it is no head file", path);
	if (vl_get32(data + HEAD_CRC) != vl_crc32c(kernels, 0, data, HEAD_CRC))
		return vl_fail(error, VALORI_NOT_FOUND, "%s: is not used: its checksum differs", path);
	if (vl_get32(data + 8) > HEAD_VERSION)
		return vl_fail(error, VALORI_NEWER, "%s: has format version %u, this is for %u", path,
			       vl_get32(data + 8), (unsigned)HEAD_VERSION);
	if (vl_get32(data + 8) != HEAD_VERSION || !gaps_are_zero(data))
		return vl_fail(error, VALORI_NOT_FOUND, "%s: is not used: unused bytes are not zero", path);
	if (!slots_decode(data, kernels, out))
		return vl_fail(error, VALORI_NOT_FOUND, "%s: is not used: the checksums of both slots differ", path);
	return VALORI_OK;
}

valori_code vl_head_read(const struct vl_os *os, const struct vl_kernels *kernels, const char *path,
			 struct vl_head *out, valori_error *error)
{
	uint8_t data[VL_HEAD_SIZE];
	valori_code code = VALORI_NOT_FOUND;
	bool is_whole = false;
	int fd = os->open(os->context, path, VL_OS_READ);

	if (fd == -ENOENT || fd == -ENOTDIR)
		return vl_fail(error, VALORI_NOT_FOUND, "%s: is missing", path);
	if (fd < 0)
		return vl_fail_system(error, fd, path, "cannot be opened");
	/* A writer may be storing a slot just now, and then the other one; a few looks, and both are whole. */
	for (int tries = 0; tries < READ_TRIES && !is_whole; tries++) {
		int64_t count = vl_os_pread_all(os, fd, data, sizeof(data), 0);

		if (count < 0)
			code = vl_fail_system(error, (int)count, path, "cannot be read");
		else if (count < VL_HEAD_SIZE)
			code = vl_fail(error, VALORI_NOT_FOUND, "%s: is not used: it is too short", path);
		else
			code = head_decode(data, path, kernels, out, error);
		is_whole = code == VALORI_OK ? !out->is_partial : code != VALORI_NOT_FOUND;
	}
	os->close(os->context, fd);
	return code;
}

/* ---- the lock ---- */

enum { LOCK_LINE = 64 }; /* one line of text per byte that can be locked: who holds it */

/* "events.log: locked by pid 123 valori-ingest": path is that of the lock, its line what the holder wrote. */
static valori_code locked(const struct vl_os *os, const char *path, int fd, uint64_t byte, valori_error *error)
{
	char line[LOCK_LINE];
	size_t path_size = strlen(path), size = 0;
	int64_t count = vl_os_pread_all(os, fd, line, sizeof(line), byte * LOCK_LINE);

	while (size < (size_t)(count > 0 ? count : 0) && line[size] != '\n' && line[size] != '\0')
		size++;
	while (size > 0 && line[size - 1] == ' ')
		size--;
	if (path_size > 5 && strcmp(path + path_size - 5, ".lock") == 0)
		path_size -= 5;
	if (size == 0)
		return vl_fail(error, VALORI_LOCKED, "%.*s.log: locked by another process", (int)path_size, path);
	return vl_fail(error, VALORI_LOCKED, "%.*s.log: locked by %.*s", (int)path_size, path, (int)size, line);
}

/* The text is for people: whoever cannot write it (a full disk) holds the lock all the same. */
static void sign(const struct vl_os *os, int fd, uint64_t byte)
{
	char who[LOCK_LINE], line[LOCK_LINE];
	size_t size;

	memset(who, 0, sizeof(who));
	os->describe(os->context, who, sizeof(who) - 1);
	size = strlen(who);
	memset(line, ' ', sizeof(line));
	memcpy(line, who, size);
	line[LOCK_LINE - 1] = '\n';
	(void)vl_os_pwrite_all(os, fd, line, sizeof(line), byte * LOCK_LINE);
}

valori_code vl_lock_take(const struct vl_os *os, const char *path, uint64_t byte, int *out_fd, valori_error *error)
{
	int fd = os->open(os->context, path, VL_OS_CREATE_ANY), code;
	valori_code result;

	*out_fd = -1;
	if (fd < 0)
		return vl_fail_system(error, fd, path, "cannot be opened");
	code = os->lock(os->context, fd, byte);
	if (code == 0) {
		sign(os, fd, byte);
		*out_fd = fd;
		return VALORI_OK;
	}
	if (code == -EAGAIN)
		result = locked(os, path, fd, byte, error);
	else
		result = vl_fail_system(error, code, path, "cannot be locked");
	os->close(os->context, fd);
	return result;
}

void vl_lock_release(const struct vl_os *os, int fd)
{
	if (fd >= 0)
		os->close(os->context, fd);
}
