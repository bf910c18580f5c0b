/* ingest_answer.c - a thread that waits for the disk, and then prints the ids of what is on it. */
#include "ingest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { ANSWERS = 16 /* commits that may wait for the disk: of half a million small rows each, if it comes to that */ };

struct ingest_answers {
	struct ingest *run;
	pthread_t thread;
	struct ingest_answer ring[ANSWERS]; /* those from first to last are committed and wait */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under the lock */
	uint64_t first, last;
	uint64_t rows, commits, events; /* answered */
	bool is_over;
	int status; /* not TOOL_OK: nothing more is answered */
	bool has_error;
	valori_error error;
};

/* ---- one answer ---- */

static void print_id(uint64_t id)
{
	char digits[24], *p = digits + sizeof(digits);

	*--p = '\n';
	do
		*--p = (char)('0' + id % 10);
	while ((id /= 10) != 0);
	fwrite_unlocked(p, 1, (size_t)(digits + sizeof(digits) - p), stdout);
}

static void print_answer(uint64_t id, uint64_t row, const valori_receipt *receipt)
{
	struct tool_json json = {.file = stdout};

	if (!tool_json) {
		print_id(id);
		return;
	}
	tool_json_begin(&json);
	tool_json_u64(&json, "id", id);
	tool_json_u64(&json, "row", row);
	if (receipt->commit != VALORI_NONE)
		tool_json_u64(&json, "commit", receipt->commit);
	tool_json_end(&json);
}

/* An id on standard output is the acknowledgement: it is printed when its commit is durable, and flushed. */
static int print_answers(const struct ingest *run, const struct ingest_answer *answer, uint64_t *rows)
{
	*rows = 0;
	for (size_t i = 0; i < answer->count; i++) {
		if (answer->ids[i] == VALORI_NONE)
			continue;
		if (!run->dry_run)
			print_answer(answer->ids[i], answer->rows[i], &answer->receipt);
		++*rows;
	}
	if (fflush(stdout) == 0)
		return TOOL_OK;
	if (errno == EPIPE)
		ingest_stopped = SIGPIPE;
	return TOOL_SYSTEM; /* tool_finish says so */
}

/* ---- the thread ---- */

/* Answers those from first to last, which this thread alone looks at now. */
static void answer(struct ingest_answers *answers, uint64_t first, uint64_t last)
{
	valori_error error;
	bool has_error = answers->run->flushes && valori_flush(answers->run->store, &error) != VALORI_OK;
	int status = TOOL_OK;

	while (!has_error && status == TOOL_OK && first < last) {
		const struct ingest_answer *one = &answers->ring[first % ANSWERS];
		uint64_t rows;

		status = print_answers(answers->run, one, &rows);
		pthread_mutex_lock(&answers->lock);
		answers->rows += rows;
		if (one->receipt.commit != VALORI_NONE) {
			answers->commits++;
			answers->events += one->receipt.event_count;
		}
		answers->first = ++first;
		pthread_cond_broadcast(&answers->changed);
		pthread_mutex_unlock(&answers->lock);
	}
	pthread_mutex_lock(&answers->lock);
	answers->status = has_error ? TOOL_SYSTEM : status;
	answers->has_error = has_error;
	if (has_error)
		answers->error = error;
	pthread_cond_broadcast(&answers->changed);
	pthread_mutex_unlock(&answers->lock);
}

static void *run_answers(void *argument)
{
	struct ingest_answers *answers = argument;

	pthread_mutex_lock(&answers->lock);
	while (answers->status == TOOL_OK) {
		uint64_t first = answers->first, last = answers->last;

		if (first < last) {
			pthread_mutex_unlock(&answers->lock);
			answer(answers, first, last);
			pthread_mutex_lock(&answers->lock);
		} else if (answers->is_over) {
			break;
		} else {
			pthread_cond_wait(&answers->changed, &answers->lock);
		}
	}
	pthread_mutex_unlock(&answers->lock);
	return NULL;
}

/* ---- for the thread that commits ---- */

struct ingest_answers *ingest_answers_start(struct ingest *run)
{
	struct ingest_answers *answers = tool_alloc(1, sizeof(*answers));

	answers->run = run;
	pthread_mutex_init(&answers->lock, NULL);
	pthread_cond_init(&answers->changed, NULL);
	if (pthread_create(&answers->thread, NULL, run_answers, answers) == 0)
		return answers;
	tool_trouble(TOOL_SYSTEM, "no thread to print ids");
	free(answers);
	return NULL;
}

struct ingest_answer *ingest_answer(struct ingest_answers *answers, size_t count)
{
	struct ingest_answer *answer;
	int status;

	pthread_mutex_lock(&answers->lock);
	while (answers->status == TOOL_OK && answers->last - answers->first == ANSWERS)
		pthread_cond_wait(&answers->changed, &answers->lock);
	status = answers->status;
	answer = &answers->ring[answers->last % ANSWERS];
	pthread_mutex_unlock(&answers->lock);
	if (status != TOOL_OK)
		return NULL;
	if (count > answer->capacity) {
		free(answer->ids);
		free(answer->rows);
		answer->capacity = count;
		answer->ids = tool_alloc(count, sizeof(*answer->ids));
		answer->rows = tool_alloc(count, sizeof(*answer->rows));
	}
	answer->count = count;
	return answer;
}

void ingest_answers_add(struct ingest_answers *answers)
{
	pthread_mutex_lock(&answers->lock);
	answers->last++;
	pthread_cond_broadcast(&answers->changed);
	pthread_mutex_unlock(&answers->lock);
}

int ingest_answers_wait(struct ingest_answers *answers)
{
	int status;

	pthread_mutex_lock(&answers->lock);
	while (answers->status == TOOL_OK && answers->first < answers->last)
		pthread_cond_wait(&answers->changed, &answers->lock);
	status = answers->status;
	pthread_mutex_unlock(&answers->lock);
	return status;
}

uint64_t ingest_answers_rows(struct ingest_answers *answers)
{
	uint64_t rows;

	pthread_mutex_lock(&answers->lock);
	rows = answers->run->rows + answers->rows;
	pthread_mutex_unlock(&answers->lock);
	return rows;
}

bool ingest_answers_have_failed(struct ingest_answers *answers)
{
	bool have_failed;

	pthread_mutex_lock(&answers->lock);
	have_failed = answers->status != TOOL_OK;
	pthread_mutex_unlock(&answers->lock);
	return have_failed;
}

int ingest_answers_end(struct ingest_answers *answers)
{
	int status;

	pthread_mutex_lock(&answers->lock);
	answers->is_over = true;
	pthread_cond_broadcast(&answers->changed);
	pthread_mutex_unlock(&answers->lock);
	pthread_join(answers->thread, NULL);
	answers->run->rows += answers->rows;
	answers->run->commits += answers->commits;
	answers->run->events += answers->events;
	status = answers->has_error ? tool_fail(&answers->error) : answers->status;
	for (unsigned i = 0; i < ANSWERS; i++) {
		free(answers->ring[i].ids);
		free(answers->ring[i].rows);
	}
	pthread_mutex_destroy(&answers->lock);
	pthread_cond_destroy(&answers->changed);
	free(answers);
	return status;
}
