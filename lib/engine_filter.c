/*
 * engine_filter.c - which rows of the index a filter allows: looked up once for each version, tags and collections
 * alike.
 */
#include "engine_private.h"

enum { KEPT_MAX = 16 }; /* filters remembered for one version */

static bool is_of(const struct vl_filtered *filtered, const struct vl_schedule *schedule,
		  const struct vl_filter *filter)
{
	return filtered->since == schedule->since && filtered->boundary == schedule->boundary &&
	       filtered->filter.collection == filter->collection && filtered->filter.has_tag == filter->has_tag &&
	       (!filter->has_tag || filtered->filter.tag == filter->tag);
}

static void list_rows(struct vl_filtered *filtered, size_t words)
{
	size_t length = 0;

	for (size_t word = 0; word < words; word++)
		for (uint64_t rest = filtered->bits[word]; rest != 0; rest &= rest - 1)
			filtered->list[length++] = (uint32_t)(word * 64 + (unsigned)__builtin_ctzll(rest));
}

static struct vl_filtered *look_up(const valori_view *view, const struct vl_filter *filter)
{
	const struct vl_index *index = &view->round->index;
	const struct vl_env *env = view->store->env;
	struct vl_filtered *filtered = vl_alloc(env, sizeof(*filtered));
	size_t words = ((size_t)index->codes.count + 63) / 64;

	if (filtered == NULL)
		return NULL;
	*filtered = (struct vl_filtered){.filter = *filter,
					 .since = index->schedule.since,
					 .boundary = index->schedule.boundary,
					 .bits_size = words * 8};
	filtered->bits = vl_alloc(env, filtered->bits_size);
	if (filtered->bits == NULL)
		goto fail;
	filtered->matched = vl_index_allowed(index, &view->frozen->version.state, filter, filtered->bits);
	if (filtered->matched > VL_LIST_MAX)
		return filtered;
	filtered->list_size = (size_t)filtered->matched * sizeof(*filtered->list);
	filtered->list = vl_alloc(env, filtered->list_size);
	if (filtered->list == NULL)
		goto fail;
	list_rows(filtered, words);
	return filtered;
fail:
	vl_engine_free_filtered(env, filtered);
	return NULL;
}

const struct vl_filtered *vl_engine_filtered(const valori_view *view, const struct vl_filter *filter,
					     struct vl_filtered **out_own, valori_error *error)
{
	const struct vl_schedule *schedule = &view->round->index.schedule;
	struct vl_frozen *frozen = view->frozen;
	struct vl_filtered *filtered;
	unsigned kept = 0;

	*out_own = NULL;
	pthread_mutex_lock(&view->store->mutex);
	for (filtered = frozen->filtered; filtered != NULL && !is_of(filtered, schedule, filter);
	     filtered = filtered->next)
		kept++;
	pthread_mutex_unlock(&view->store->mutex);
	if (filtered != NULL)
		return filtered;
	filtered = look_up(view, filter);
	if (filtered == NULL) {
		vl_fail(error, VALORI_NO_MEMORY, "out of memory");
		return NULL;
	}
	if (kept >= KEPT_MAX) {
		*out_own = filtered;
		return filtered;
	}
	/* Somebody may have done the same meanwhile: twice the memory, and no harm. */
	pthread_mutex_lock(&view->store->mutex);
	filtered->next = frozen->filtered;
	frozen->filtered = filtered;
	pthread_mutex_unlock(&view->store->mutex);
	return filtered;
}

void vl_engine_free_filtered(const struct vl_env *env, struct vl_filtered *filtered)
{
	while (filtered != NULL) {
		struct vl_filtered *next = filtered->next;

		vl_release(env, filtered->bits, filtered->bits_size);
		vl_release(env, filtered->list, filtered->list_size);
		vl_release(env, filtered, sizeof(*filtered));
		filtered = next;
	}
}
