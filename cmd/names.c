/* names.c - a table of names: open addressing, linear probing, at most half full. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

struct names_entry {
	uint64_t hash; /* never 0 in an entry that is used */
	uint64_t value;
	size_t place, size; /* of the name in text */
};

void names_clear(struct names *names)
{
	if (names->count != 0)
		memset(names->entries, 0, names->capacity * sizeof(*names->entries));
	names->count = 0;
	names->text_size = 0;
}

void names_free(struct names *names)
{
	free(names->entries);
	free(names->text);
	memset(names, 0, sizeof(*names));
}

/* FNV-1a: the names are those of one batch, and a batch has a limit. */
static uint64_t hash_of(struct slice name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.size; i++)
		hash = (hash ^ (uint8_t)name.text[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32 ^ (hash == 0);
}

/* The entry of this name, or the empty one where it belongs. */
static struct names_entry *look(const struct names *names, struct slice name, uint64_t hash)
{
	for (size_t i = hash & (names->capacity - 1);; i = (i + 1) & (names->capacity - 1)) {
		struct names_entry *entry = &names->entries[i];

		if (entry->hash == 0 || (entry->hash == hash && entry->size == name.size &&
					 memcmp(names->text + entry->place, name.text, name.size) == 0))
			return entry;
	}
}

static bool grow_entries(struct names *names)
{
	struct names larger = *names;

	larger.capacity = names->capacity == 0 ? 64 : 2 * names->capacity;
	larger.entries = calloc(larger.capacity, sizeof(*larger.entries));
	if (larger.entries == NULL)
		return false;
	for (size_t i = 0; i < names->capacity; i++) {
		const struct names_entry *entry = &names->entries[i];

		if (entry->hash != 0)
			*look(&larger, (struct slice){names->text + entry->place, entry->size}, entry->hash) = *entry;
	}
	free(names->entries);
	*names = larger;
	return true;
}

static bool grow_text(struct names *names, size_t size)
{
	size_t capacity = names->text_capacity == 0 ? 4096 : names->text_capacity;
	char *text;

	while (capacity - names->text_size < size)
		capacity *= 2;
	if (capacity == names->text_capacity)
		return true;
	text = realloc(names->text, capacity);
	if (text == NULL)
		return false;
	names->text = text;
	names->text_capacity = capacity;
	return true;
}

enum names_answer names_add(struct names *names, struct slice name, uint64_t value)
{
	uint64_t hash = hash_of(name);
	struct names_entry *entry;

	if (2 * names->count >= names->capacity && !grow_entries(names))
		return NAMES_NO_MEMORY;
	entry = look(names, name, hash);
	if (entry->hash != 0)
		return NAMES_TAKEN;
	if (!grow_text(names, name.size))
		return NAMES_NO_MEMORY;
	*entry = (struct names_entry){hash, value, names->text_size, name.size};
	memcpy(names->text + names->text_size, name.text, name.size);
	names->text_size += name.size;
	names->count++;
	return NAMES_ADDED;
}

bool names_find(const struct names *names, struct slice name, uint64_t *out)
{
	const struct names_entry *entry;

	if (names->count == 0)
		return false;
	entry = look(names, name, hash_of(name));
	if (entry->hash == 0)
		return false;
	*out = entry->value;
	return true;
}
