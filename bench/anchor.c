/* anchor.c - asks another library. */
#include "anchor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "anchor: %s\n", what);
	exit(1);
}

int anchor_begin(struct anchor *anchor, const char *program, const char *base, const char *queries, const char *tags,
		 const char *const *names)
{
	const char *arguments[5 + ANCHOR_INDEXES] = {program, base, queries, tags};
	char line[256];
	int to[2], from[2];

	memset(anchor, 0, sizeof(*anchor));
	if (access(program, X_OK) != 0)
		return 0;
	for (size_t i = 0; i < ANCHOR_INDEXES && names[i] != NULL; i++)
		arguments[4 + i] = names[i];
	fflush(stdout);
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 || (anchor->process = fork()) < 0)
		fail("no process");
	if (anchor->process == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		/* It shares one core with nobody, and shall not think otherwise. */
		setenv("OMP_NUM_THREADS", "1", 1);
		setenv("OPENBLAS_NUM_THREADS", "1", 1);
		execv(program, (char *const *)(uintptr_t)arguments);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	anchor->in = fdopen(to[1], "w");
	anchor->out = fdopen(from[0], "r");
	if (anchor->in == NULL || anchor->out == NULL)
		fail("no pipe");
	while (fgets(line, sizeof(line), anchor->out) != NULL && strcmp(line, "ready\n") != 0) {
		size_t i = anchor->count++;

		if (i == ANCHOR_INDEXES || sscanf(line, "built %31s %lf %lf", anchor->built[i].name,
						  &anchor->built[i].seconds, &anchor->built[i].bytes) != 3)
			fail("not an answer of the other library");
	}
	if (feof(anchor->out))
		fail("the other library does not answer");
	return 1;
}

void anchor_ask(struct anchor *anchor, const char *name, uint32_t parameter, size_t together, size_t limit,
		uint32_t tag, uint32_t *rows, double *rate, double *p50, double *p99)
{
	char line[256];

	fprintf(anchor->in, "%s %u %zu %zu %u\n", name, parameter, together, limit, tag);
	fflush(anchor->in);
	if (fgets(line, sizeof(line), anchor->out) == NULL || sscanf(line, "%lf %lf %lf", rate, p50, p99) != 3 ||
	    fread(rows, (size_t)ANCHOR_K * 4, limit, anchor->out) != limit)
		fail("the other library does not answer");
}

void anchor_end(struct anchor *anchor)
{
	if (anchor->process <= 0)
		return;
	fclose(anchor->in);
	fclose(anchor->out);
	waitpid(anchor->process, NULL, 0);
	anchor->process = 0;
}
