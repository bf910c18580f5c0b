/* sim_os.c - a machine in memory that loses power. */
#include "sim_os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_SIZE = 48, PAGES_TORN = 6, CUTS = 4, COUNTED = 32 };

struct blob { /* bytes that files share until one of them changes */
	unsigned references;
	size_t size, capacity;
	uint64_t digest; /* 0: not yet known */
	uint8_t *data;
};

struct change { /* of a file: a write, or a truncation (data NULL) */
	uint64_t offset;
	size_t size;
	uint8_t *data;
};

struct entry {
	char name[NAME_MAX_SIZE];
	unsigned inode;
};

struct entries {
	struct entry *items;
	unsigned count, capacity;
};

enum act { SET, REMOVE, MOVE };

struct action { /* of a directory */
	enum act act;
	char name[NAME_MAX_SIZE], to[NAME_MAX_SIZE];
	unsigned inode;
};

struct sim_inode {
	bool is_directory;
	/* A file: on the disk; in the cache when it was last clean; in the cache. */
	struct blob *disk, *clean, *cache;
	struct change *changes;
	unsigned change_count, change_capacity;
	/* A directory. */
	struct entries disk_entries, cache_entries;
	struct action *actions;
	unsigned action_count, action_capacity;
	unsigned *locked; /* bytes, with the handle that holds each: pairs */
	unsigned locked_count;
};

struct sim_handle {
	bool is_used;
	unsigned inode;
	uint64_t position;
};

/* ---- Small things ---- */

static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void *need(void *memory)
{
	if (memory == NULL) {
		fputs("simulated machine: out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* Room for one more item of an array. */
static void *grow(void *items, unsigned count, unsigned *capacity, size_t size)
{
	if (count < *capacity)
		return items;
	*capacity = *capacity * 2 + 4;
	return need(realloc(items, *capacity * size));
}

static struct blob *blob_new(size_t capacity)
{
	struct blob *blob = need(calloc(1, sizeof(*blob)));

	blob->references = 1;
	blob->capacity = capacity;
	blob->data = need(malloc(capacity + 1));
	return blob;
}

static struct blob *blob_share(struct blob *blob)
{
	blob->references++;
	return blob;
}

static void blob_drop(struct blob *blob)
{
	if (blob == NULL || --blob->references > 0)
		return;
	free(blob->data);
	free(blob);
}

static struct blob *blob_copy(const struct blob *from, size_t capacity)
{
	struct blob *blob = blob_new(capacity > from->size ? capacity : from->size);

	memcpy(blob->data, from->data, from->size);
	blob->size = from->size;
	return blob;
}

/* *blob becomes one that is nobody else's, of this size; new bytes are zero. */
static void blob_resize(struct blob **blob, size_t size)
{
	if ((*blob)->references > 1) {
		struct blob *own = blob_copy(*blob, size);

		blob_drop(*blob);
		*blob = own;
	}
	(*blob)->digest = 0;
	if (size > (*blob)->capacity) {
		(*blob)->capacity = size + size / 2;
		(*blob)->data = need(realloc((*blob)->data, (*blob)->capacity + 1));
	}
	if (size > (*blob)->size)
		memset((*blob)->data + (*blob)->size, 0, size - (*blob)->size);
	(*blob)->size = size;
}

static void blob_write(struct blob **blob, const uint8_t *data, size_t size, uint64_t offset)
{
	size_t end = (size_t)offset + size;

	blob_resize(blob, end > (*blob)->size ? end : (*blob)->size);
	if (size > 0)
		memcpy((*blob)->data + offset, data, size);
}

/* ---- Directories ---- */

static unsigned find(const struct entries *entries, const char *name)
{
	unsigned i = 0;

	while (i < entries->count && strcmp(entries->items[i].name, name) != 0)
		i++;
	return i;
}

static void set_entry(struct entries *entries, const char *name, unsigned inode)
{
	unsigned i = find(entries, name);

	if (i == entries->count) {
		entries->items =
			grow(entries->items, entries->count, &entries->capacity, sizeof(*entries->items));
		snprintf(entries->items[i].name, NAME_MAX_SIZE, "%s", name);
		entries->count++;
	}
	entries->items[i].inode = inode;
}

static void remove_entry(struct entries *entries, const char *name)
{
	unsigned i = find(entries, name);

	if (i < entries->count)
		entries->items[i] = entries->items[--entries->count];
}

static void copy_entries(struct entries *to, const struct entries *from)
{
	to->count = to->capacity = from->count;
	to->items = need(malloc((from->count + 1) * sizeof(*to->items)));
	if (from->count > 0)
		memcpy(to->items, from->items, from->count * sizeof(*to->items));
}

static void act_on(struct entries *entries, const struct action *action)
{
	if (action->act != SET)
		remove_entry(entries, action->name);
	if (action->act != REMOVE)
		set_entry(entries, action->act == MOVE ? action->to : action->name, action->inode);
}

static void act(struct sim_inode *directory, enum act what, const char *name, const char *to, unsigned inode)
{
	struct action *action;

	directory->actions = grow(directory->actions, directory->action_count, &directory->action_capacity,
				  sizeof(*action));
	action = &directory->actions[directory->action_count++];
	memset(action, 0, sizeof(*action));
	action->act = what;
	action->inode = inode;
	snprintf(action->name, NAME_MAX_SIZE, "%s", name);
	if (to != NULL)
		snprintf(action->to, NAME_MAX_SIZE, "%s", to);
	act_on(&directory->cache_entries, action);
}

/* ---- Inodes and paths ---- */

static unsigned inode_new(struct sim *sim, bool is_directory)
{
	struct sim_inode *inode = need(calloc(1, sizeof(*inode)));

	inode->is_directory = is_directory;
	if (!is_directory) {
		inode->disk = blob_new(0);
		inode->clean = blob_share(inode->disk);
		inode->cache = blob_share(inode->disk);
	}
	sim->inodes = need(realloc(sim->inodes, (sim->inode_count + 1) * sizeof(*sim->inodes)));
	sim->inodes[sim->inode_count] = inode;
	return sim->inode_count++;
}

static void drop_changes(struct sim_inode *inode)
{
	for (unsigned i = 0; i < inode->change_count; i++)
		free(inode->changes[i].data);
	inode->change_count = 0;
}

static void inode_free(struct sim_inode *inode)
{
	if (inode == NULL)
		return;
	drop_changes(inode);
	blob_drop(inode->disk);
	blob_drop(inode->clean);
	blob_drop(inode->cache);
	free(inode->changes);
	free(inode->disk_entries.items);
	free(inode->cache_entries.items);
	free(inode->actions);
	free(inode->locked);
	free(inode);
}

/* The directory that holds the last component of path, which goes to name ("." of "/"); or -errno. */
static int look_up(const struct sim *sim, const char *path, char name[NAME_MAX_SIZE])
{
	unsigned directory = 0;

	snprintf(name, NAME_MAX_SIZE, ".");
	for (;;) {
		size_t size;
		unsigned i;

		while (*path == '/')
			path++;
		size = strcspn(path, "/");
		if (size == 0)
			return (int)directory;
		if (size >= NAME_MAX_SIZE)
			return -ENAMETOOLONG;
		if (strcmp(name, ".") != 0) {
			const struct entries *entries = &sim->inodes[directory]->cache_entries;

			i = find(entries, name);
			if (i == entries->count)
				return -ENOENT;
			directory = entries->items[i].inode;
			if (!sim->inodes[directory]->is_directory)
				return -ENOTDIR;
		}
		memcpy(name, path, size);
		name[size] = '\0';
		path += size;
	}
}

/* The inode at path: -errno. */
static int walk(const struct sim *sim, const char *path)
{
	char name[NAME_MAX_SIZE];
	int directory = look_up(sim, path, name);
	const struct entries *entries;
	unsigned i;

	if (directory < 0 || strcmp(name, ".") == 0)
		return directory;
	entries = &sim->inodes[directory]->cache_entries;
	i = find(entries, name);
	return i < entries->count ? (int)entries->items[i].inode : -ENOENT;
}

/* ---- What the disk may hold of a file ---- */

static bool touches(const struct change *change, uint64_t sector)
{
	if (change->data == NULL)
		return (sector + 1) * SIM_SECTOR > change->offset;
	return change->size > 0 && change->offset < (sector + 1) * SIM_SECTOR &&
	       change->offset + change->size > sector * SIM_SECTOR;
}

/* The size after the first count changes. */
static uint64_t size_after(const struct sim_inode *inode, unsigned count)
{
	uint64_t size = count == 0 ? inode->disk->size : inode->clean->size;

	for (unsigned i = 0; i < count; i++) {
		const struct change *change = &inode->changes[i];

		if (change->data == NULL)
			size = change->offset;
		else if (change->size > 0 && change->offset + change->size > size)
			size = change->offset + change->size;
	}
	return size;
}

static void take_sector(const struct blob *from, uint64_t sector, uint8_t out[SIM_SECTOR])
{
	uint64_t at = sector * SIM_SECTOR;
	size_t size = at >= from->size               ? 0
		      : from->size - at < SIM_SECTOR ? (size_t)(from->size - at)
						     : SIM_SECTOR;

	memset(out, 0, SIM_SECTOR);
	if (size > 0)
		memcpy(out, from->data + at, size);
}

/* The sector as the cache had it after the first `version` changes; as the disk has it when none touched it. */
static void make_sector(const struct sim_inode *inode, uint64_t sector, unsigned version,
			uint8_t out[SIM_SECTOR])
{
	uint64_t at = sector * SIM_SECTOR;
	unsigned first = 0;

	while (first < version && !touches(&inode->changes[first], sector))
		first++;
	take_sector(first < version ? inode->clean : inode->disk, sector, out);
	for (unsigned i = first; i < version; i++) {
		const struct change *change = &inode->changes[i];
		uint64_t begin = change->offset > at ? change->offset : at, end = at + SIM_SECTOR;

		if (!touches(change, sector))
			continue;
		if (change->data == NULL) {
			memset(out + (begin - at), 0, (size_t)(end - begin));
			continue;
		}
		if (change->offset + change->size < end)
			end = change->offset + change->size;
		memcpy(out + (begin - at), change->data + (begin - change->offset), (size_t)(end - begin));
	}
}

/* One way in which a file may come out: which version of each sector, and which size. */
struct outcome {
	enum {
		CUT,
		PER_SECTOR,
		PER_PAGE,
		WITHOUT,
		ONLY,
		SUBSET,
		PREFIX,
		SUFFIX,
		EVEN,
		ODD,
		ZEROS,
		OLD_SIZE
	} kind;
	unsigned number; /* of changes, of a change, of sectors */
	uint64_t seed;
	bool is_size_drawn;
};

/* The last change of those wanted that touches the sector, as a version. */
static unsigned version_by_change(const struct sim_inode *inode, const struct outcome *outcome,
				  uint64_t sector)
{
	for (unsigned i = inode->change_count; i > 0; i--) {
		uint64_t seed = outcome->seed ^ (uint64_t)i * UINT64_C(0xd6e8feb86659fd93);
		bool is_kept;

		if (!touches(&inode->changes[i - 1], sector))
			continue;
		if (outcome->kind == WITHOUT)
			is_kept = i - 1 != outcome->number;
		else if (outcome->kind == ONLY)
			is_kept = i - 1 == outcome->number;
		else
			is_kept = draw(&seed) % 2 == 0;
		if (is_kept)
			return i;
	}
	return 0;
}

static unsigned version_of(const struct sim_inode *inode, const struct outcome *outcome, uint64_t sector)
{
	unsigned all = inode->change_count;
	const struct change *last = &inode->changes[all - 1];
	uint64_t index = last->data != NULL && sector >= last->offset / SIM_SECTOR
				 ? sector - last->offset / SIM_SECTOR
				 : 0;
	uint64_t seed = outcome->seed;

	switch (outcome->kind) {
	case CUT:
		return outcome->number;
	case PER_SECTOR:
	case PER_PAGE:
		seed ^= (outcome->kind == PER_PAGE ? sector / (SIM_PAGE / SIM_SECTOR) : sector) *
			UINT64_C(0xd6e8feb86659fd93);
		return (unsigned)(draw(&seed) % (all + 1));
	case WITHOUT:
	case ONLY:
	case SUBSET:
		return version_by_change(inode, outcome, sector);
	/* Of the last write a part. */
	case PREFIX:
		return index < outcome->number ? all : all - 1;
	case SUFFIX:
		return index >= outcome->number ? all : all - 1;
	case EVEN:
		return sector % 2 == 0 ? all : 0;
	case ODD:
		return sector % 2 != 0 ? all : 0;
	case ZEROS:
		return 0;
	case OLD_SIZE:
		return all;
	}
	return 0;
}

static uint64_t size_of(const struct sim_inode *inode, const struct outcome *outcome)
{
	uint64_t seed = outcome->seed + 1;

	if (outcome->is_size_drawn)
		return size_after(inode, (unsigned)(draw(&seed) % (inode->change_count + 1)));
	if (outcome->kind == CUT)
		return size_after(inode, outcome->number);
	if (outcome->kind == OLD_SIZE)
		return inode->disk->size;
	if (outcome->kind == ONLY)
		return size_after(inode, outcome->number + 1);
	return size_after(inode, inode->change_count);
}

/* What the disk holds then. */
static struct blob *come_out(const struct sim_inode *inode, const struct outcome *outcome)
{
	uint64_t size = size_of(inode, outcome);
	struct blob *out;

	if (outcome->kind == CUT && outcome->number == 0 && !outcome->is_size_drawn)
		return blob_share(inode->disk);
	if (outcome->kind == CUT && outcome->number == inode->change_count && !outcome->is_size_drawn &&
	    inode->clean == inode->disk)
		return blob_share(inode->cache);
	out = blob_copy(inode->disk, size);
	blob_resize(&out, size);
	for (uint64_t sector = 0; sector * SIM_SECTOR < size; sector++) {
		unsigned version = version_of(inode, outcome, sector);
		uint8_t data[SIM_SECTOR];
		uint64_t at = sector * SIM_SECTOR;

		if (version == 0)
			continue;
		make_sector(inode, sector, version, data);
		memcpy(out->data + at, data, size - at < SIM_SECTOR ? (size_t)(size - at) : SIM_SECTOR);
	}
	return out;
}

/*
 * What has become of the writes of a file, judged by what the disk holds: a sector is like it was after some of the
 * changes; the last one that it must have seen is there, the first one that it cannot have seen is missing.
 */
static void count_what_came(const struct sim_inode *inode, const struct blob *out, struct sim_came *came)
{
	unsigned all = inode->change_count, latest = 0, earliest_lost = all + 1;
	bool is_torn = false, is_zeroed = false;

	for (int pass = 0; pass < 2; pass++)
		for (uint64_t sector = 0; sector * SIM_SECTOR < out->size; sector++) {
			uint8_t is[SIM_SECTOR], was[SIM_SECTOR];
			unsigned least = all + 1, most = 0;

			take_sector(out, sector, is);
			for (unsigned version = 0; version <= all; version++) {
				make_sector(inode, sector, version, was);
				if (memcmp(is, was, SIM_SECTOR) != 0)
					continue;
				least = version < least ? version : least;
				most = version;
			}
			if (least > all) /* the size has cut it */
				continue;
			if (pass == 0) {
				latest = least > latest ? least : latest;
				earliest_lost = most + 1 < earliest_lost ? most + 1 : earliest_lost;
				is_zeroed |= most < all && sector * SIM_SECTOR >= inode->disk->size;
			} else {
				is_torn |= most < all && most + 1 == latest;
			}
		}
	came->lost += earliest_lost <= all || out->size < inode->cache->size;
	came->torn += is_torn;
	came->reordered += earliest_lost < latest;
	came->zeroed += is_zeroed;
}

static bool are_same(const struct entries *a, const struct entries *b)
{
	for (unsigned i = 0; i < a->count; i++) {
		unsigned at = find(b, a->items[i].name);

		if (at == b->count || b->items[at].inode != a->items[i].inode)
			return false;
	}
	return a->count == b->count;
}

/* That is what the disk holds; nothing is left to be written. */
static void settle(struct sim_inode *inode, struct blob *disk)
{
	blob_drop(inode->disk);
	inode->disk = disk;
	drop_changes(inode);
}

static void draw_outcome(const struct sim_inode *inode, uint64_t seed, struct outcome *out)
{
	unsigned count = inode->change_count;

	memset(out, 0, sizeof(*out));
	out->seed = draw(&seed);
	switch (draw(&seed) % 10) {
	case 0:
	case 1:
		out->kind = CUT;
		out->number = draw(&seed) % 2 == 0 ? 0 : count;
		break;
	case 2:
		out->kind = CUT;
		out->number = (unsigned)(draw(&seed) % (count + 1));
		break;
	case 3:
	case 4:
		out->kind = PER_SECTOR;
		break;
	case 5:
		out->kind = PER_PAGE;
		break;
	case 6:
	case 7:
		out->kind = SUBSET;
		break;
	case 8:
		out->kind = draw(&seed) % 2 == 0 ? PREFIX : SUFFIX;
		out->number = 1 + (unsigned)(draw(&seed) % 8);
		break;
	default:
		out->kind = draw(&seed) % 2 == 0 ? ZEROS : draw(&seed) % 2 == 0 ? EVEN : ODD;
		break;
	}
	out->is_size_drawn = draw(&seed) % 4 == 0;
}

/* The sectors that the last change wrote. */
static unsigned last_sectors(const struct sim_inode *inode)
{
	const struct change *last = &inode->changes[inode->change_count - 1];

	if (last->data == NULL || last->size == 0)
		return 0;
	return (unsigned)((last->offset + last->size - 1) / SIM_SECTOR - last->offset / SIM_SECTOR + 1);
}

/* The outcome with this number of a list that is always the same; false: the list has ended. */
static bool list_outcome(const struct sim_inode *inode, unsigned number, struct outcome *out)
{
	unsigned count = inode->change_count, sectors = last_sectors(inode), step = 1, at;
	unsigned cuts = count < CUTS ? count : CUTS;

	memset(out, 0, sizeof(*out));
	out->kind = CUT;
	if (number < 2) {
		out->number = number == 0 ? count : 0;
		return true;
	}
	at = number - 2;
	if (at < cuts - 1) { /* the last few moments */
		out->number = count - 1 - at;
		return true;
	}
	at -= cuts - 1;
	if (count > 1 && at < 2 * cuts) {
		out->kind = at % 2 == 0 ? WITHOUT : ONLY;
		out->number = count - 1 - at / 2;
		return true;
	}
	at -= count > 1 ? 2 * cuts : 0;
	if (sectors > 2 * PAGES_TORN)
		step = (sectors + PAGES_TORN - 1) / PAGES_TORN;
	if (sectors > 1 && at < 2 * ((sectors - 1) / step)) {
		out->kind = at % 2 == 0 ? PREFIX : SUFFIX;
		out->number = (at / 2 + 1) * step;
		return true;
	}
	at -= sectors > 1 ? 2 * ((sectors - 1) / step) : 0;
	if (at < 2) {
		out->kind = at == 0 ? ZEROS : OLD_SIZE;
		return true;
	}
	at -= 2;
	if (sectors > 1 && at < 2) {
		out->kind = at == 0 ? EVEN : ODD;
		return true;
	}
	return false;
}

/* ---- What the disk may hold of a directory ---- */

enum { SUBSETS_OF = 4 };

static unsigned directory_outcomes(const struct sim_inode *directory)
{
	unsigned count = directory->action_count;

	return count <= SUBSETS_OF ? 1U << count : 2 + 3 * count;
}

/* Is action number i kept in the outcome with this number? */
static bool is_action_kept(const struct sim_inode *directory, unsigned number, unsigned i)
{
	unsigned count = directory->action_count, which = (number - 2) % count;

	if (number < 2)
		return number == 0;
	if (count <= SUBSETS_OF)
		return ((number - 1) >> i & 1) != 0;
	switch ((number - 2) / count) {
	case 0:
		return i <= which; /* in order, up to this one */
	case 1:
		return i == which;
	default:
		return i != which;
	}
}

/* ---- The crash ---- */

static bool is_pending(const struct sim_inode *inode)
{
	return inode != NULL && (inode->change_count > 0 || inode->action_count > 0);
}

static void reread(struct sim_inode *inode)
{
	if (inode->is_directory) {
		inode->action_count = 0;
		free(inode->cache_entries.items);
		copy_entries(&inode->cache_entries, &inode->disk_entries);
		return;
	}
	blob_drop(inode->clean);
	blob_drop(inode->cache);
	inode->clean = blob_share(inode->disk);
	inode->cache = blob_share(inode->disk);
}

static void mark(const struct sim *sim, unsigned inode, bool *is_reached)
{
	const struct entries *entries = &sim->inodes[inode]->disk_entries;

	if (is_reached[inode])
		return;
	is_reached[inode] = true;
	for (unsigned i = 0; sim->inodes[inode]->is_directory && i < entries->count; i++)
		mark(sim, entries->items[i].inode, is_reached);
}

/* Files without a name are gone. */
static void sweep(struct sim *sim)
{
	bool *is_reached = need(calloc(sim->inode_count, sizeof(*is_reached)));

	mark(sim, 0, is_reached);
	for (unsigned i = 0; i < sim->inode_count; i++)
		if (!is_reached[i]) {
			inode_free(sim->inodes[i]);
			sim->inodes[i] = NULL;
		}
	free(is_reached);
}

void sim_kill(struct sim *sim)
{
	for (unsigned i = 0; i < sim->inode_count; i++)
		if (sim->inodes[i] != NULL)
			sim->inodes[i]->locked_count = 0;
	for (unsigned i = 0; i < sim->handle_count; i++)
		sim->handles[i].is_used = false;
	memset(&sim->fault, 0, sizeof(sim->fault));
	sim->fault.room = UINT64_MAX;
	sim->is_dead = false;
	sim->open = sim->mapped = 0;
	sim->failed_syncs = sim->full_writes = 0;
	sim_reset_counts(sim);
}

void sim_power_off(struct sim *sim, uint64_t seed)
{
	bool is_counted = seed % 4 == 0;
	uint64_t whole = draw(&seed) % 8; /* now and then nothing is lost, or all */

	sim_kill(sim);
	for (unsigned i = 0; i < sim->inode_count; i++) {
		struct sim_inode *inode = sim->inodes[i];
		unsigned luck = (unsigned)(draw(&seed) % 4);

		if (!is_pending(inode))
			continue;
		if (inode->is_directory) {
			for (unsigned a = 0; a < inode->action_count; a++)
				if (whole == 0 ||
				    (whole != 1 && (luck == 0 || (luck != 1 && draw(&seed) % 2 == 0))))
					act_on(&inode->disk_entries, &inode->actions[a]);
			sim->came.names += !are_same(&inode->disk_entries, &inode->cache_entries);
		} else {
			struct outcome outcome;
			struct blob *out;

			draw_outcome(inode, draw(&seed), &outcome);
			if (whole < 2)
				outcome = (struct outcome){.kind = CUT,
							   .number = whole == 0 ? inode->change_count : 0};
			out = come_out(inode, &outcome);
			if (is_counted && inode->change_count <= COUNTED)
				count_what_came(inode, out, &sim->came);
			settle(inode, out);
		}
	}
	for (unsigned i = 0; i < sim->inode_count; i++)
		if (sim->inodes[i] != NULL)
			reread(sim->inodes[i]);
	sweep(sim);
}

unsigned sim_choices(const struct sim *sim, unsigned *counts, unsigned max)
{
	unsigned choices = 0;

	for (unsigned i = 0; i < sim->inode_count; i++) {
		const struct sim_inode *inode = sim->inodes[i];
		struct outcome outcome;
		unsigned count = 0;

		if (!is_pending(inode))
			continue;
		if (inode->is_directory)
			count = directory_outcomes(inode);
		else
			while (list_outcome(inode, count, &outcome))
				count++;
		if (choices < max)
			counts[choices] = count;
		choices++;
	}
	return choices;
}

void sim_power_off_to(struct sim *sim, const unsigned *alternatives)
{
	unsigned choice = 0;

	sim_kill(sim);
	for (unsigned i = 0; i < sim->inode_count; i++) {
		struct sim_inode *inode = sim->inodes[i];
		struct outcome outcome;
		unsigned number;

		if (!is_pending(inode))
			continue;
		number = alternatives[choice++];
		if (inode->is_directory) {
			for (unsigned a = 0; a < inode->action_count; a++)
				if (is_action_kept(inode, number, a))
					act_on(&inode->disk_entries, &inode->actions[a]);
		} else if (list_outcome(inode, number, &outcome)) {
			settle(inode, come_out(inode, &outcome));
		}
	}
	for (unsigned i = 0; i < sim->inode_count; i++)
		if (sim->inodes[i] != NULL)
			reread(sim->inodes[i]);
	sweep(sim);
}

/* ---- The calls ---- */

enum { DEAD = -EIO };

/* Counts a call; false: the process is dead, or has died just now. */
static bool begin(struct sim *sim, bool is_change)
{
	if (sim->is_dead)
		return false;
	sim->calls++;
	if (sim->fault.call_at != 0 && sim->calls >= sim->fault.call_at)
		sim->is_dead = true;
	if (is_change && ++sim->changes == sim->fault.power_at && sim->fault.power_effect == 0)
		sim->is_dead = true;
	return !sim->is_dead;
}

/* After a change: is it the last one of this process? */
static bool ends(struct sim *sim)
{
	if (sim->changes == sim->fault.power_at && sim->fault.power_at != 0)
		sim->is_dead = true;
	return sim->is_dead;
}

static struct sim_inode *of(const struct sim *sim, int fd)
{
	if (fd < 0 || (unsigned)fd >= sim->handle_count || !sim->handles[fd].is_used)
		return NULL;
	return sim->inodes[sim->handles[fd].inode];
}

static int sim_open(void *context, const char *path, enum vl_os_open how)
{
	struct sim *sim = context;
	char name[NAME_MAX_SIZE];
	int inode, directory;
	unsigned fd = 0;

	if (sim->is_dead)
		return DEAD;
	inode = walk(sim, path);
	if (!begin(sim, inode == -ENOENT && (how == VL_OS_CREATE || how == VL_OS_CREATE_ANY)))
		return DEAD;
	if (inode == -ENOENT && (how == VL_OS_CREATE || how == VL_OS_CREATE_ANY)) {
		directory = look_up(sim, path, name);
		if (directory < 0)
			return directory;
		inode = (int)inode_new(sim, false);
		act(sim->inodes[directory], SET, name, NULL, (unsigned)inode);
		if (ends(sim))
			return DEAD;
	} else if (inode >= 0 && how == VL_OS_CREATE) {
		return -EEXIST;
	}
	if (inode < 0)
		return inode;
	if (sim->inodes[inode]->is_directory && how != VL_OS_READ)
		return -EISDIR;
	while (fd < sim->handle_count && sim->handles[fd].is_used)
		fd++;
	if (fd == sim->handle_count) {
		sim->handles = need(realloc(sim->handles, (fd + 1) * sizeof(*sim->handles)));
		sim->handle_count++;
	}
	sim->handles[fd] = (struct sim_handle){true, (unsigned)inode, 0};
	sim->open++;
	return (int)fd;
}

static int sim_close(void *context, int fd)
{
	struct sim *sim = context;
	struct sim_inode *inode = of(sim, fd);

	if (inode == NULL)
		return -EBADF;
	for (unsigned i = 0; i < inode->locked_count; i += 2)
		if (inode->locked[i + 1] == (unsigned)fd) {
			inode->locked_count -= 2;
			inode->locked[i] = inode->locked[inode->locked_count];
			inode->locked[i + 1] = inode->locked[inode->locked_count + 1];
			i -= 2;
		}
	sim->handles[fd].is_used = false;
	sim->open--;
	return 0;
}

static int64_t sim_pread(void *context, int fd, void *data, size_t size, uint64_t offset)
{
	struct sim *sim = context;
	const struct sim_inode *inode = of(sim, fd);

	if (!begin(sim, false))
		return DEAD;
	if (inode == NULL)
		return -EBADF;
	if (inode->is_directory)
		return -EISDIR;
	if (offset >= inode->cache->size)
		return 0;
	if (size > inode->cache->size - offset)
		size = (size_t)(inode->cache->size - offset);
	memcpy(data, inode->cache->data + offset, size);
	return (int64_t)size;
}

static int64_t sim_read(void *context, int fd, void *data, size_t size)
{
	struct sim *sim = context;
	int64_t count =
		of(sim, fd) == NULL ? -EBADF : sim_pread(context, fd, data, size, sim->handles[fd].position);

	if (count > 0)
		sim->handles[fd].position += (uint64_t)count;
	return count;
}

static int64_t sim_pwrite(void *context, int fd, const void *data, size_t size, uint64_t offset)
{
	struct sim *sim = context;
	struct sim_inode *inode = of(sim, fd);
	struct change *change;
	size_t wanted = size;
	uint64_t growth;

	if (!begin(sim, true))
		return DEAD;
	if (inode == NULL)
		return -EBADF;
	if (size <= SIM_SECTOR)
		; /* nobody has seen one of these come out short */
	else if (sim->changes == sim->fault.power_at && sim->fault.power_effect == 2)
		size /= 2;
	else if (sim->fault.short_writes != 0 && draw(&sim->seed) % sim->fault.short_writes == 0)
		size = 1 + (size_t)(draw(&sim->seed) % (size - 1));
	sim->came.short_writes += size < wanted;
	growth = offset + size > inode->cache->size ? offset + size - inode->cache->size : 0;
	if (growth > sim->fault.room) {
		uint64_t missing = growth - sim->fault.room;

		if (missing >= size) {
			sim->full_writes++;
			sim->came.full_writes++;
			return ends(sim) ? DEAD : -ENOSPC;
		}
		size -= (size_t)missing;
		growth = sim->fault.room;
	}
	if (sim->fault.room != UINT64_MAX)
		sim->fault.room -= growth;
	if (size > 0) {
		inode->changes =
			grow(inode->changes, inode->change_count, &inode->change_capacity, sizeof(*change));
		change = &inode->changes[inode->change_count++];
		*change = (struct change){offset, size, need(malloc(size))};
		memcpy(change->data, data, size);
		blob_write(&inode->cache, data, size, offset);
	}
	return ends(sim) ? DEAD : (int64_t)size;
}

static int64_t sim_write(void *context, int fd, const void *data, size_t size)
{
	struct sim *sim = context;
	int64_t count =
		of(sim, fd) == NULL ? -EBADF : sim_pwrite(context, fd, data, size, sim->handles[fd].position);

	if (count > 0)
		sim->handles[fd].position += (uint64_t)count;
	return count;
}

static int sim_sync(void *context, int fd)
{
	struct sim *sim = context;
	struct sim_inode *inode = of(sim, fd);

	if (!begin(sim, true))
		return DEAD;
	if (inode == NULL || inode->is_directory)
		return -EBADF;
	if (++sim->syncs == sim->fault.sync_fails_at) {
		struct outcome outcome;

		sim->failed_syncs++;
		sim->came.failed_syncs++;
		if (inode->change_count > 0) {
			draw_outcome(inode, draw(&sim->seed), &outcome);
			settle(inode, come_out(inode, &outcome));
			blob_drop(inode->clean);
			inode->clean = blob_share(inode->cache);
		}
		ends(sim);
		return -EIO;
	}
	if (inode->change_count > 0) {
		struct outcome all = {.kind = CUT, .number = inode->change_count};

		settle(inode, come_out(inode, &all));
		blob_drop(inode->clean);
		inode->clean = blob_share(inode->cache);
	}
	return ends(sim) ? DEAD : 0;
}

static int sim_sync_directory(void *context, const char *path)
{
	struct sim *sim = context;
	struct sim_inode *directory;
	int inode;

	if (!begin(sim, true))
		return DEAD;
	inode = walk(sim, path);
	if (inode < 0)
		return inode;
	directory = sim->inodes[inode];
	if (!directory->is_directory)
		return -ENOTDIR;
	for (unsigned i = 0; i < directory->action_count; i++)
		act_on(&directory->disk_entries, &directory->actions[i]);
	directory->action_count = 0;
	return ends(sim) ? DEAD : 0;
}

static int sim_truncate(void *context, int fd, uint64_t size)
{
	struct sim *sim = context;
	struct sim_inode *inode = of(sim, fd);

	if (!begin(sim, true))
		return DEAD;
	if (inode == NULL)
		return -EBADF;
	inode->changes =
		grow(inode->changes, inode->change_count, &inode->change_capacity, sizeof(*inode->changes));
	inode->changes[inode->change_count++] = (struct change){size, 0, NULL};
	blob_resize(&inode->cache, (size_t)size);
	return ends(sim) ? DEAD : 0;
}

static void describe_inode(const struct sim *sim, unsigned number, struct vl_os_stat *out)
{
	const struct sim_inode *inode = sim->inodes[number];

	*out = (struct vl_os_stat){.device = 1, .inode = number + 1};
	out->is_directory = inode->is_directory;
	out->is_regular = !inode->is_directory;
	out->size = inode->is_directory ? 0 : inode->cache->size;
}

static int sim_stat(void *context, int fd, struct vl_os_stat *out)
{
	struct sim *sim = context;

	if (!begin(sim, false))
		return DEAD;
	if (of(sim, fd) == NULL)
		return -EBADF;
	describe_inode(sim, sim->handles[fd].inode, out);
	return 0;
}

static int sim_stat_path(void *context, const char *path, struct vl_os_stat *out)
{
	struct sim *sim = context;
	int inode;

	if (!begin(sim, false))
		return DEAD;
	inode = walk(sim, path);
	if (inode < 0)
		return inode;
	describe_inode(sim, (unsigned)inode, out);
	return 0;
}

static int sim_rename(void *context, const char *from, const char *to)
{
	struct sim *sim = context;
	char from_name[NAME_MAX_SIZE], to_name[NAME_MAX_SIZE];
	int directory, target, inode;

	if (!begin(sim, true))
		return DEAD;
	directory = look_up(sim, from, from_name);
	target = look_up(sim, to, to_name);
	inode = walk(sim, from);
	if (directory < 0 || target < 0 || inode < 0)
		return directory < 0 ? directory : target < 0 ? target : inode;
	if (directory != target) { /* nobody does: what a crash leaves of it would have to be thought about */
		fprintf(stderr, "simulated machine: rename from %s to %s\n", from, to);
		abort();
	}
	if (walk(sim, to) != inode)
		act(sim->inodes[directory], MOVE, from_name, to_name, (unsigned)inode);
	return ends(sim) ? DEAD : 0;
}

static int sim_link(void *context, const char *from, const char *to)
{
	struct sim *sim = context;
	char name[NAME_MAX_SIZE];
	int directory, inode;

	if (!begin(sim, true))
		return DEAD;
	directory = look_up(sim, to, name);
	inode = walk(sim, from);
	if (directory < 0 || inode < 0)
		return directory < 0 ? directory : inode;
	if (walk(sim, to) >= 0)
		return ends(sim) ? DEAD : -EEXIST;
	act(sim->inodes[directory], SET, name, NULL, (unsigned)inode);
	return ends(sim) ? DEAD : 0;
}

static int sim_unlink(void *context, const char *path)
{
	struct sim *sim = context;
	char name[NAME_MAX_SIZE];
	int directory, inode;

	if (sim->is_dead)
		return DEAD;
	inode = walk(sim, path);
	if (!begin(sim, inode >= 0))
		return DEAD;
	if (inode < 0)
		return inode;
	directory = look_up(sim, path, name);
	act(sim->inodes[directory], REMOVE, name, NULL, 0);
	return ends(sim) ? DEAD : 0;
}

static int sim_make_directory(void *context, const char *path)
{
	struct sim *sim = context;
	char name[NAME_MAX_SIZE];
	int directory;

	if (sim->is_dead)
		return DEAD;
	if (walk(sim, path) >= 0)
		return begin(sim, false) ? -EEXIST : DEAD;
	if (!begin(sim, true))
		return DEAD;
	directory = look_up(sim, path, name);
	if (directory < 0)
		return directory;
	act(sim->inodes[directory], SET, name, NULL, inode_new(sim, true));
	return ends(sim) ? DEAD : 0;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int sim_list(void *context, const char *path, int (*visit)(void *argument, const char *name),
		    void *argument)
{
	struct sim *sim = context;
	struct entries entries;
	int inode, code = 0;

	if (!begin(sim, false))
		return DEAD;
	inode = walk(sim, path);
	if (inode < 0)
		return inode;
	if (!sim->inodes[inode]->is_directory)
		return -ENOTDIR;
	copy_entries(&entries, &sim->inodes[inode]->cache_entries);
	if (entries.count > 0)
		qsort(entries.items, entries.count, sizeof(*entries.items), compare_entries);
	for (unsigned i = 0; code == 0 && i < entries.count; i++)
		code = visit(argument, entries.items[i].name);
	free(entries.items);
	return code;
}

static int sim_map(void *context, int fd, uint64_t size, const uint8_t **out)
{
	struct sim *sim = context;
	const struct sim_inode *inode = of(sim, fd);
	uint8_t *copy;

	*out = NULL;
	if (!begin(sim, false))
		return DEAD;
	if (inode == NULL)
		return -EBADF;
	if (size == 0)
		return 0;
	if (size > inode->cache->size)
		return -EINVAL; /* the real one would answer later, with SIGBUS */
	copy = need(aligned_alloc(64, ((size_t)size + 63) & ~(size_t)63));
	memcpy(copy, inode->cache->data, (size_t)size);
	sim->mapped++;
	*out = copy;
	return 0;
}

static void sim_unmap(void *context, const uint8_t *data, uint64_t size)
{
	struct sim *sim = context;

	(void)size;
	if (data == NULL)
		return;
	sim->mapped--;
	free((void *)(uintptr_t)data);
}

static int sim_lock(void *context, int fd, uint64_t byte)
{
	struct sim *sim = context;
	struct sim_inode *inode = of(sim, fd);

	if (!begin(sim, false))
		return DEAD;
	if (inode == NULL)
		return -EBADF;
	for (unsigned i = 0; i < inode->locked_count; i += 2)
		if (inode->locked[i] == byte)
			return inode->locked[i + 1] == (unsigned)fd ? 0 : -EAGAIN;
	inode->locked = need(realloc(inode->locked, (inode->locked_count + 2) * sizeof(*inode->locked)));
	inode->locked[inode->locked_count++] = (unsigned)byte;
	inode->locked[inode->locked_count++] = (unsigned)fd;
	return 0;
}

static uint64_t sim_monotonic_ms(void *context)
{
	struct sim *sim = context;

	sim->clock += draw(&sim->seed) % 24;
	return sim->clock;
}

static uint64_t sim_time_ms(void *context)
{
	return UINT64_C(1700000000000) + sim_monotonic_ms(context);
}

static int sim_random(void *context, void *data, size_t size)
{
	struct sim *sim = context;

	if (!begin(sim, false))
		return DEAD;
	for (size_t i = 0; i < size; i++)
		((uint8_t *)data)[i] = (uint8_t)draw(&sim->seed);
	return 0;
}

static int sim_wait(void *context, int fd, unsigned milliseconds)
{
	struct sim *sim = context;

	(void)fd;
	sim->clock += milliseconds;
	return begin(sim, false) ? 0 : DEAD;
}

static int sim_describe(void *context, char *out, size_t size)
{
	(void)context;
	snprintf(out, size, "pid 1 simulated");
	return 0;
}

/* ---- The machine ---- */

static const struct vl_os calls = {
	.open = sim_open,
	.close = sim_close,
	.read = sim_read,
	.pread = sim_pread,
	.pwrite = sim_pwrite,
	.write = sim_write,
	.sync = sim_sync,
	.sync_directory = sim_sync_directory,
	.truncate = sim_truncate,
	.stat = sim_stat,
	.stat_path = sim_stat_path,
	.rename = sim_rename,
	.link = sim_link,
	.unlink = sim_unlink,
	.make_directory = sim_make_directory,
	.list = sim_list,
	.map = sim_map,
	.unmap = sim_unmap,
	.lock = sim_lock,
	.time_ms = sim_time_ms,
	.monotonic_ms = sim_monotonic_ms,
	.random = sim_random,
	.wait = sim_wait,
	.describe = sim_describe,
};

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = need(calloc(1, sizeof(*sim)));

	sim->os = calls;
	sim->os.context = sim;
	sim->seed = seed;
	sim->fault.room = UINT64_MAX;
	inode_new(sim, true);
	return sim;
}

static struct sim_inode *inode_clone(const struct sim_inode *from)
{
	struct sim_inode *to = need(malloc(sizeof(*to)));

	*to = *from;
	if (from->is_directory) {
		copy_entries(&to->disk_entries, &from->disk_entries);
		copy_entries(&to->cache_entries, &from->cache_entries);
	} else {
		blob_share(from->disk);
		blob_share(from->clean);
		blob_share(from->cache);
	}
	to->changes = need(malloc((from->change_count + 1) * sizeof(*to->changes)));
	to->change_capacity = from->change_count;
	for (unsigned i = 0; i < from->change_count; i++) {
		to->changes[i] = from->changes[i];
		if (from->changes[i].data != NULL) {
			to->changes[i].data = need(malloc(from->changes[i].size));
			memcpy(to->changes[i].data, from->changes[i].data, from->changes[i].size);
		}
	}
	to->actions = need(malloc((from->action_count + 1) * sizeof(*to->actions)));
	to->action_capacity = from->action_count;
	if (from->action_count > 0)
		memcpy(to->actions, from->actions, from->action_count * sizeof(*to->actions));
	to->locked = NULL;
	to->locked_count = 0;
	return to;
}

struct sim *sim_clone(const struct sim *from)
{
	struct sim *sim = need(malloc(sizeof(*sim)));

	*sim = *from;
	sim->os.context = sim;
	sim->handles = NULL;
	sim->handle_count = 0;
	sim->open = sim->mapped = 0;
	sim->inodes = need(calloc(from->inode_count, sizeof(*sim->inodes)));
	for (unsigned i = 0; i < from->inode_count; i++)
		if (from->inodes[i] != NULL)
			sim->inodes[i] = inode_clone(from->inodes[i]);
	return sim;
}

void sim_free(struct sim *sim)
{
	if (sim == NULL)
		return;
	for (unsigned i = 0; i < sim->inode_count; i++)
		inode_free(sim->inodes[i]);
	free(sim->inodes);
	free(sim->handles);
	free(sim);
}

void sim_reset_counts(struct sim *sim)
{
	sim->calls = sim->changes = sim->syncs = 0;
}

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (; size >= 8; size -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
		hash ^= hash >> 32;
	}
	while (size-- > 0)
		hash = (hash ^ *bytes++) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t digest(const struct sim *sim, unsigned number)
{
	const struct sim_inode *inode = sim->inodes[number];
	uint64_t sum = 0;

	if (!inode->is_directory) {
		if (inode->disk->digest == 0)
			inode->disk->digest =
				mix(inode->disk->size, inode->disk->data, inode->disk->size) | 1;
		return inode->disk->digest;
	}
	for (unsigned i = 0; i < inode->disk_entries.count; i++) { /* in whatever order */
		const struct entry *entry = &inode->disk_entries.items[i];
		uint64_t hash = digest(sim, entry->inode);

		sum += mix(hash, entry->name, strlen(entry->name));
	}
	return sum * 2 + 1;
}

uint64_t sim_disk_digest(const struct sim *sim)
{
	return digest(sim, 0);
}

const uint8_t *sim_content(const struct sim *sim, const char *path, size_t *size)
{
	int inode = walk(sim, path);

	if (inode < 0 || sim->inodes[inode]->is_directory)
		return NULL;
	*size = sim->inodes[inode]->cache->size;
	return sim->inodes[inode]->cache->data;
}

static void print(const struct sim *sim, unsigned number, const char *path)
{
	const struct sim_inode *directory = sim->inodes[number];

	for (unsigned i = 0; i < directory->cache_entries.count; i++) {
		const struct entry *entry = &directory->cache_entries.items[i];
		const struct sim_inode *inode = sim->inodes[entry->inode];
		char below[512];
		unsigned on_disk = find(&directory->disk_entries, entry->name);

		snprintf(below, sizeof(below), "%s/%s", path, entry->name);
		printf("# %s%s", below,
		       on_disk < directory->disk_entries.count ? "" : " (name not on the disk)");
		if (!inode->is_directory)
			printf(" %zu bytes, %zu on the disk, %u changes", inode->cache->size,
			       inode->disk->size, inode->change_count);
		putchar('\n');
		if (inode->is_directory)
			print(sim, entry->inode, below);
	}
}

void sim_print(const struct sim *sim)
{
	print(sim, 0, "");
}
