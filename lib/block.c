/* block.c - memory that versions share. */
#include "block.h"

#include <string.h>

enum { HEAD = 64 }; /* keeps data aligned to 64 */

/* Lies before the data, in the same allocation. */
struct vl_shared {
	_Atomic size_t owners;
	const struct vl_env *env;
};

bool vl_block_new(struct vl_block *block, const struct vl_env *env, size_t size)
{
	struct vl_shared *shared = NULL;

	_Static_assert(sizeof(*shared) <= HEAD, "the head fits before the data");
	*block = (struct vl_block){NULL, 0, NULL};
	if (size <= SIZE_MAX - HEAD)
		shared = vl_alloc(env, HEAD + size);
	if (shared == NULL)
		return false;
	shared->owners = 1;
	shared->env = env;
	*block = (struct vl_block){(uint8_t *)shared + HEAD, size, shared};
	return true;
}

void vl_block_map(struct vl_block *block, const void *data, size_t size)
{
	/* The way out of const is a copy of the pointer: nobody writes to what is shared for ever. */
	*block = (struct vl_block){NULL, size, NULL};
	memcpy(&block->data, &data, sizeof(data));
}

struct vl_block vl_block_share(const struct vl_block *block)
{
	if (block->shared != NULL)
		block->shared->owners++;
	return *block;
}

/* Another block in the place of this one, with the first used bytes. */
static bool replace(struct vl_block *block, const struct vl_env *env, size_t used, size_t size)
{
	struct vl_block other;

	if (!vl_block_new(&other, env, size))
		return false;
	if (used > 0)
		memcpy(other.data, block->data, used);
	vl_block_free(block);
	*block = other;
	return true;
}

bool vl_block_own(struct vl_block *block, const struct vl_env *env, size_t used)
{
	if (block->data == NULL || (block->shared != NULL && block->shared->owners == 1))
		return true;
	return replace(block, env, used, block->size);
}

bool vl_block_reserve(struct vl_block *block, const struct vl_env *env, size_t used, size_t size)
{
	if (block->shared != NULL && block->size >= size)
		return true;
	return replace(block, env, used, size);
}

void vl_block_free(struct vl_block *block)
{
	struct vl_shared *shared = block->shared;

	if (shared != NULL && --shared->owners == 0)
		vl_release(shared->env, shared, HEAD + block->size);
	*block = (struct vl_block){NULL, 0, NULL};
}
