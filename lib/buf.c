/* buf.c - a byte string that grows. */
#include "buf.h"

void vl_buf_init(struct vl_buf *buf, const struct vl_env *env)
{
	memset(buf, 0, sizeof(*buf));
	buf->env = env;
}

void vl_buf_free(struct vl_buf *buf)
{
	if (buf->env != NULL)
		vl_release(buf->env, buf->data, buf->capacity);
	buf->data = NULL;
	buf->size = buf->capacity = 0;
	buf->failed = false;
}

void vl_buf_clear(struct vl_buf *buf)
{
	buf->size = 0;
	buf->failed = false;
}

static bool grow(struct vl_buf *buf, size_t size)
{
	size_t capacity = buf->capacity < 128 ? 256 : buf->capacity;
	uint8_t *data;

	if (size > SIZE_MAX / 2 - buf->size)
		return false;
	while (capacity < buf->size + size)
		capacity += capacity / 2;
	data = vl_alloc(buf->env, capacity);
	if (data == NULL)
		return false;
	if (buf->size > 0)
		memcpy(data, buf->data, buf->size);
	vl_release(buf->env, buf->data, buf->capacity);
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

uint8_t *vl_buf_extend(struct vl_buf *buf, size_t size)
{
	uint8_t *added;

	if (buf->failed)
		return NULL;
	if (size > buf->capacity - buf->size || buf->data == NULL)
		buf->failed = !grow(buf, size);
	if (buf->failed)
		return NULL;
	added = buf->data + buf->size;
	buf->size += size;
	return added;
}

void vl_buf_put(struct vl_buf *buf, const void *data, size_t size)
{
	uint8_t *to = size > 0 ? vl_buf_extend(buf, size) : NULL;

	if (to != NULL)
		memcpy(to, data, size);
}

void vl_buf_put8(struct vl_buf *buf, uint8_t value)
{
	vl_buf_put(buf, &value, 1);
}

void vl_buf_put16(struct vl_buf *buf, uint16_t value)
{
	uint8_t *to = vl_buf_extend(buf, 2);

	if (to != NULL)
		vl_put16(to, value);
}

void vl_buf_put32(struct vl_buf *buf, uint32_t value)
{
	uint8_t *to = vl_buf_extend(buf, 4);

	if (to != NULL)
		vl_put32(to, value);
}

void vl_buf_put64(struct vl_buf *buf, uint64_t value)
{
	uint8_t *to = vl_buf_extend(buf, 8);

	if (to != NULL)
		vl_put64(to, value);
}

void vl_buf_zero(struct vl_buf *buf, size_t size)
{
	uint8_t *to = size > 0 ? vl_buf_extend(buf, size) : NULL;

	if (to != NULL)
		memset(to, 0, size);
}
