/* test_names.c - the table of refs: many names, taken names, and the same table again. */
#include "check.h"
#include "names.h"

static struct slice name_of(unsigned i, char text[16])
{
	return (struct slice){text, (size_t)snprintf(text, 16, "n%u", i * 2654435761u)};
}

int main(void)
{
	enum { COUNT = 50000 };
	struct names names = {0};
	char text[16];
	uint64_t value;
	unsigned wrong = 0;

	check(!names_find(&names, (struct slice){"a", 1}, &value), "an empty table has no names");
	for (unsigned i = 0; i < COUNT; i++)
		wrong += names_add(&names, name_of(i, text), i) != NAMES_ADDED;
	check(wrong == 0, "50,000 names are taken in");
	for (unsigned i = 0; i < COUNT; i++)
		wrong += !names_find(&names, name_of(i, text), &value) || value != i;
	check(wrong == 0, "each is found with its value");
	for (unsigned i = 0; i < COUNT; i++)
		wrong += names_add(&names, name_of(i, text), 0) != NAMES_TAKEN;
	check(wrong == 0, "each is taken");
	check(!names_find(&names, (struct slice){"n", 1}, &value) && !names_find(&names, (struct slice){"", 0}, &value),
	      "no other is found");
	names_clear(&names);
	for (unsigned i = 0; i < COUNT; i++)
		wrong += names_find(&names, name_of(i, text), &value);
	check(wrong == 0, "an emptied table has no names");
	check(names_add(&names, name_of(7, text), 9) == NAMES_ADDED && names_find(&names, name_of(7, text), &value) &&
		      value == 9,
	      "and takes them in again");
	names_free(&names);
	return check_done();
}
