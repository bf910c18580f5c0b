/* table.c - hash tables made of arrays. */
#include "table.h"

#include "bytes.h"

/* The largest power of two that is not above count, which is not 0. */
static uint64_t power_below(uint64_t count)
{
	return UINT64_C(1) << (63 - __builtin_clzll(count));
}

static uint64_t bucket_of(const struct vl_table *table, uint32_t hash)
{
	uint64_t buckets = table->buckets->count, power = power_below(buckets);

	return (hash & (2 * power - 1)) < buckets ? hash & (2 * power - 1) : hash & (power - 1);
}

static uint32_t hash_of(const struct vl_table *table, uint32_t link)
{
	return vl_get32(vl_array_get(table->hashes, link - 1) + table->hash_offset);
}

/* A link as it was read, or 0 when it leads nowhere. */
static uint32_t checked(const struct vl_table *table, uint32_t link)
{
	return link <= table->links->count && link <= table->hashes->count ? link : 0;
}

static uint32_t next_of(const struct vl_table *table, uint32_t link)
{
	return checked(table, vl_get32(vl_array_get(table->links, link - 1) + table->link_offset));
}

static uint32_t first_of(const struct vl_table *table, uint64_t bucket)
{
	return checked(table, vl_get32(vl_array_get(table->buckets, bucket)));
}

/* Lets the entry behind link, or the bucket when link is 0, lead to target. */
static bool lead(const struct vl_table *table, uint64_t bucket, uint32_t link, uint32_t target)
{
	uint8_t *at;

	if (link == 0) {
		at = vl_array_edit(table->buckets, bucket);
	} else {
		at = vl_array_edit(table->links, link - 1);
		if (at != NULL)
			at += table->link_offset;
	}
	if (at != NULL)
		vl_put32(at, target);
	return at != NULL;
}

bool vl_table_next(const struct vl_table *table, uint32_t hash, uint32_t *cursor, uint64_t *steps)
{
	uint32_t link;

	if (table->buckets->count == 0)
		return false;
	link = *cursor == 0 ? first_of(table, bucket_of(table, hash)) : next_of(table, *cursor);
	while (link != 0 && hash_of(table, link) != hash && (*steps)++ < table->links->count)
		link = next_of(table, link);
	if (link == 0 || (*steps)++ >= table->links->count)
		return false;
	*cursor = link;
	return true;
}

/* Adds a bucket and moves into it what now belongs there. */
static bool split(const struct vl_table *table)
{
	uint64_t added = table->buckets->count, power, steps = 0;
	uint32_t link, last[2] = {0, 0};

	if (vl_array_append(table->buckets) == NULL)
		return false;
	if (added == 0)
		return true;
	power = power_below(added);
	/* Only links at which the chain crosses from one bucket to the other are written. */
	link = first_of(table, added - power);
	for (unsigned side, before = 0; link != 0 && steps++ < table->links->count; before = side) {
		side = (hash_of(table, link) & (2 * power - 1)) == added;
		if (side != before && !lead(table, side ? added : added - power, last[side], link))
			return false;
		last[side] = link;
		link = next_of(table, link);
	}
	for (unsigned side = 0; side < 2; side++) {
		uint64_t bucket = side ? added : added - power;
		uint32_t end = last[side] == 0 ? first_of(table, bucket) : next_of(table, last[side]);

		if (end != 0 && !lead(table, bucket, last[side], 0))
			return false;
	}
	return true;
}

bool vl_table_insert(const struct vl_table *table, uint64_t entry, uint64_t entries)
{
	uint64_t bucket;
	uint32_t first, link = (uint32_t)entry + 1;

	if (table->buckets->count < entries && !split(table))
		return false;
	bucket = bucket_of(table, hash_of(table, link));
	first = first_of(table, bucket);
	return lead(table, bucket, link, first) && lead(table, bucket, 0, link);
}

bool vl_table_remove(const struct vl_table *table, uint64_t entry)
{
	uint64_t bucket, steps = 0;
	uint32_t link, before = 0, wanted = (uint32_t)entry + 1;

	if (table->buckets->count == 0)
		return true;
	bucket = bucket_of(table, hash_of(table, wanted));
	for (link = first_of(table, bucket); link != 0 && link != wanted; link = next_of(table, link)) {
		if (steps++ >= table->links->count)
			return true;
		before = link;
	}
	if (link == 0)
		return true;
	return lead(table, bucket, before, next_of(table, link)) && lead(table, bucket, link, 0);
}
