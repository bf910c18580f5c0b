/* log_names.c - the names of a store's files, and which segments there are. */
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

static bool ends_in(const char *text, size_t size, const char *suffix)
{
	size_t suffix_size = strlen(suffix);

	return size > suffix_size && memcmp(text + size - suffix_size, suffix, suffix_size) == 0;
}

/* Appends pieces to *at, each with its NUL behind the last: returns where the string begins. */
static char *join(char **at, const char *directory, const char *stem, size_t stem_size, const char *suffix)
{
	char *begin = *at;
	size_t size = strlen(directory);

	memcpy(*at, directory, size);
	*at += size;
	if (directory[size - 1] != '/')
		*(*at)++ = '/';
	memcpy(*at, stem, stem_size);
	*at += stem_size;
	size = strlen(suffix) + 1;
	memcpy(*at, suffix, size);
	*at += size;
	return begin;
}

/* All strings, in one block that names->directory begins. */
static valori_code build(struct vl_names *names, const char *directory, size_t directory_size, const char *base,
			 size_t base_size, valori_error *error)
{
	size_t stem_size = ends_in(base, base_size, ".log") ? base_size - 4 : base_size;
	char *at = malloc(9 * (directory_size + base_size + 32));

	if (at == NULL)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	names->directory = at;
	memcpy(at, directory, directory_size);
	at[directory_size] = '\0';
	at += directory_size + 1;
	names->stem = at;
	memcpy(at, base, stem_size);
	at[stem_size] = '\0';
	at += stem_size + 1;
	names->live = join(&at, names->directory, base, base_size, "");
	names->head = join(&at, names->directory, base, stem_size, ".head");
	names->lock = join(&at, names->directory, base, stem_size, ".lock");
	names->torn = join(&at, names->directory, base, stem_size, ".torn");
	names->temporary = join(&at, names->directory, base, stem_size, ".new");
	names->snapshot = join(&at, names->directory, "snapshot.val", 12, "");
	names->restored = join(&at, names->directory, base, stem_size, ".restore.val");
	return VALORI_OK;
}

valori_code vl_names_init(struct vl_names *names, const struct vl_os *os, const char *path, valori_error *error)
{
	size_t size = strlen(path), base;
	struct vl_os_stat found;
	int code = os->stat_path(os->context, path, &found);

	memset(names, 0, sizeof(*names));
	if (size == 0)
		return vl_fail(error, VALORI_INVALID, "the log's path is empty");
	if (code < 0 && code != -ENOENT && code != -ENOTDIR)
		return vl_fail_system(error, code, path, "cannot be looked at");
	if (!(code == 0 && found.is_directory) && ((code == 0 && found.is_regular) || ends_in(path, size, ".log"))) {
		for (base = size; base > 0 && path[base - 1] != '/'; base--)
			;
		if (base == 0)
			return build(names, ".", 1, path, size, error);
		return build(names, path, base == 1 ? 1 : base - 1, path + base, size - base, error);
	}
	while (size > 1 && path[size - 1] == '/')
		size--;
	return build(names, path, size, "events.log", 10, error);
}

void vl_names_free(struct vl_names *names)
{
	free(names->directory);
	memset(names, 0, sizeof(*names));
}

char *vl_sealed_path(const struct vl_env *env, const char *directory, const char *stem, uint64_t first_event,
		     size_t *size)
{
	char digits[VL_SEALED_DIGITS + 1], *path;

	for (int i = VL_SEALED_DIGITS - 1; i >= 0; i--, first_event /= 10)
		digits[i] = (char)('0' + first_event % 10);
	digits[VL_SEALED_DIGITS] = '\0';
	*size = strlen(directory) + strlen(stem) + VL_SEALED_DIGITS + 8;
	path = vl_alloc(env, *size);
	if (path != NULL)
		vl_format(path, *size, "%s%s%s-%s.log", directory, directory[strlen(directory) - 1] == '/' ? "" : "/",
			  stem, digits);
	return path;
}

bool vl_sealed_name_parse(const char *name, const char *stem, uint64_t *out_first_event)
{
	size_t stem_size = strlen(stem);
	uint64_t value = 0;

	if (strlen(name) != stem_size + 1 + VL_SEALED_DIGITS + 4 || memcmp(name, stem, stem_size) != 0 ||
	    name[stem_size] != '-' || strcmp(name + stem_size + 1 + VL_SEALED_DIGITS, ".log") != 0)
		return false;
	for (size_t i = stem_size + 1; i < stem_size + 1 + VL_SEALED_DIGITS; i++) {
		unsigned digit = (unsigned)(unsigned char)name[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out_first_event = value;
	return true;
}

struct listing {
	const char *stem;
	struct vl_buf *out;
};

/* Names come in byte order: with a fixed number of digits that is the order of the numbers. */
static int visit(void *argument, const char *name)
{
	struct listing *listing = argument;
	uint64_t first_event;

	if (vl_sealed_name_parse(name, listing->stem, &first_event))
		vl_buf_put(listing->out, &first_event, sizeof(first_event));
	return 0;
}

valori_code vl_sealed_list(const struct vl_os *os, const char *directory, const char *stem, struct vl_buf *out,
			   valori_error *error)
{
	struct listing listing = {stem, out};
	int code;

	vl_buf_clear(out);
	code = os->list(os->context, directory, visit, &listing);
	if (code == -ENOENT)
		return VALORI_OK;
	if (code < 0)
		return vl_fail_system(error, code, directory, "cannot be listed");
	if (out->failed)
		return vl_fail(error, VALORI_NO_MEMORY, "out of memory");
	return VALORI_OK;
}

valori_code vl_fail_system(valori_error *error, int error_number, const char *path, const char *fact)
{
	if (error_number < 0)
		error_number = -error_number;
	vl_fail(error, VALORI_IO, "%s: %s: %s", path, fact, vl_os_error_text(error_number));
	if (error != NULL)
		error->system_errno = error_number;
	return VALORI_IO;
}
