/* os_variable.c - the process environment. */
#include "os.h"

#include <stdlib.h>

const char *vl_os_variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}
