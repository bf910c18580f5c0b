/*
 * buf.h - a byte string that grows.
 *
 * Its first failure to grow sticks: put calls then do nothing, and the user checks `failed` once at the end.
 */
#ifndef VL_BUF_H
#define VL_BUF_H

#include <stdbool.h>

#include "bytes.h"
#include "env.h"

struct vl_buf {
	const struct vl_env *env;
	uint8_t *data;
	size_t size;     /* bytes in use */
	size_t capacity; /* bytes allocated */
	bool failed;
};

void vl_buf_init(struct vl_buf *buf, const struct vl_env *env);
void vl_buf_free(struct vl_buf *buf);
/* Empties it and forgets failures; keeps the memory. */
void vl_buf_clear(struct vl_buf *buf);
/* Room for size more bytes behind the end, which are then in use and not yet set; NULL when memory is out. */
uint8_t *vl_buf_extend(struct vl_buf *buf, size_t size);
void vl_buf_put(struct vl_buf *buf, const void *data, size_t size);
void vl_buf_put8(struct vl_buf *buf, uint8_t value);
void vl_buf_put16(struct vl_buf *buf, uint16_t value);
void vl_buf_put32(struct vl_buf *buf, uint32_t value);
void vl_buf_put64(struct vl_buf *buf, uint64_t value);
void vl_buf_zero(struct vl_buf *buf, size_t size);

#endif
