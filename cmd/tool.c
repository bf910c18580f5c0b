/* tool.c - what all tools do alike. */
#include "tool.h"
#include "mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

bool tool_quiet, tool_verbose, tool_json;

enum { OPTS_MAX = 64, HELP_COLUMN = 26, HELP_WIDTH = 80 };

/* The options every tool has, after its own; their indexes go on from OPTS_MAX. */
enum {
	COMMON_JSON = OPTS_MAX,
	COMMON_PROGRESS,
	COMMON_QUIET,
	COMMON_VERBOSE,
	COMMON_HELP,
	COMMON_VERSION,
	COMMON_END
};

static const struct tool_opt common[] = {
	{0, "json", NULL, NULL, "one JSON object per line on standard output"},
	{0, "progress", NULL, NULL, "report progress even when it is not a terminal"},
	{'q', "quiet", NULL, NULL, "say nothing but errors"},
	{'v', "verbose", NULL, NULL, "say what is done"},
	{'h', "help", NULL, NULL, "print this and leave"},
	{'V', "version", NULL, NULL, "print tool, library, formats and CPU kernels"},
};

static const struct tool_opt *given; /* the option whose value is being read, for messages */
static bool given_by_env;
static uint64_t seen; /* one bit per option of the tool: it was on the command line */

/* ---- messages ---- */

static bool line_open; /* a line of progress stands on the terminal */

static void line_clear(void)
{
	if (line_open)
		fputs("\r\033[K", stderr);
	line_open = false;
}

static void say(const char *prefix, const char *format, va_list arguments)
{
	line_clear();
	fprintf(stderr, "%s: %s", tool.name, prefix);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void tool_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say("", format, arguments);
	va_end(arguments);
	exit(TOOL_USAGE);
}

int tool_trouble(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say("", format, arguments);
	va_end(arguments);
	return status;
}

void tool_warn(const char *format, ...)
{
	va_list arguments;

	if (tool_quiet)
		return;
	va_start(arguments, format);
	say("warning: ", format, arguments);
	va_end(arguments);
}

void tool_say(const char *format, ...)
{
	va_list arguments;

	if (!tool_verbose || tool_quiet)
		return;
	va_start(arguments, format);
	say("", format, arguments);
	va_end(arguments);
}

static int status_of(valori_code code)
{
	switch (code) { /* no default: a new code must be given a status here */
	case VALORI_OK:
	case VALORI_END:
		return TOOL_OK;
	case VALORI_NOT_FOUND:
	case VALORI_MISMATCH:
	case VALORI_OTHER_LOG:
		return TOOL_NO;
	case VALORI_INVALID:
	case VALORI_DIMENSION:
	case VALORI_RANGE:
	case VALORI_DUPLICATE:
	case VALORI_TOO_LONG:
	case VALORI_CONFLICT:
		return TOOL_USAGE;
	case VALORI_DAMAGED:
	case VALORI_NOT_OURS:
	case VALORI_MISSING:
		return TOOL_DAMAGED;
	case VALORI_IO:
	case VALORI_NO_MEMORY:
	case VALORI_POISONED:
		return TOOL_SYSTEM;
	case VALORI_FULL:
		return TOOL_FULL;
	case VALORI_LOCKED:
		return TOOL_LOCKED;
	case VALORI_NEWER:
		return TOOL_NEWER;
	case VALORI_UNKNOWABLE:
		return TOOL_UNKNOWABLE;
	}
	return TOOL_SYSTEM;
}

const char *tool_errno(void)
{
	static char text[128];

	snprintf(text, sizeof text, "%s", errno ? strerror(errno) : "write error");
	if (text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a')
		text[0] = (char)(text[0] - 'A' + 'a');
	return text;
}

int tool_fail(const valori_error *error)
{
	return tool_trouble(status_of((valori_code)error->code), "%s", error->message);
}

/* Is there anything at path that could be a store, a log or a snapshot? An empty file could not. */
static bool is_there(const char *path)
{
	char live[PATH_MAX];
	struct stat status;

	if (strcmp(path, "-") == 0)
		return true;
	if (stat(path, &status) != 0)
		return false;
	if (S_ISDIR(status.st_mode) &&
	    (snprintf(live, sizeof live, "%s/events.log", path) >= (int)sizeof live || stat(live, &status) != 0))
		return false;
	return !S_ISREG(status.st_mode) || status.st_size != 0;
}

int tool_fail_open(const char *path, const valori_error *error)
{
	int status = tool_fail(error);

	return error->code == VALORI_NOT_FOUND && !is_there(path) ? TOOL_SYSTEM : status;
}

int tool_finish(int status)
{
	bool failed = ferror(stdout);

	line_clear();
	failed |= fflush(stdout) != 0;
	failed |= fclose(stdout) != 0;
	if (failed) {
		tool_trouble(TOOL_SYSTEM, "standard output: %s", tool_errno());
		return status <= TOOL_NO ? TOOL_SYSTEM : status;
	}
	return status;
}

void *tool_alloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (memory == NULL)
		exit(tool_finish(tool_trouble(TOOL_SYSTEM, "out of memory")));
	return memory;
}

void *tool_grow(void *array, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room + *room / 2 + 16, bytes;

	if (count <= *room)
		return array;
	if (wanted < count)
		wanted = count;
	if (!__builtin_mul_overflow(wanted, size, &bytes))
		array = realloc(array, bytes);
	else
		array = NULL;
	if (array == NULL)
		exit(tool_finish(tool_trouble(TOOL_SYSTEM, "out of memory")));
	*room = wanted;
	return array;
}

/* ---- --help and --version, both made from the table ---- */

/* Writes text in lines of at most HELP_WIDTH; the first starts at column, the others at indent. */
static void put_wrapped(const char *text, size_t column, size_t indent)
{
	bool space = false; /* one is due before the next word */

	while (*text != '\0') {
		size_t length = strcspn(text, " ");
		const char *bracket = *text == '[' ? strchr(text, ']') : NULL;

		if (bracket != NULL) { /* "[-k N]" is not torn apart */
			length = (size_t)(bracket - text);
			length += strcspn(bracket, " ");
		}
		if (space && column + 1 + length > HELP_WIDTH) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (space) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)length, text);
		column += length;
		text += length;
		space = *text == ' ';
		text += space;
	}
	putchar('\n');
}

static void help_option(const struct tool_opt *opt)
{
	char head[80], text[512];
	int length;

	if (opt->letter)
		length = snprintf(head, sizeof head, "  -%c, --%s", opt->letter, opt->name);
	else
		length = snprintf(head, sizeof head, "      --%s", opt->name);
	if (opt->argument != NULL)
		length += snprintf(head + length, sizeof head - (size_t)length, "=%s", opt->argument);
	snprintf(text, sizeof text, opt->env ? "%s [$%s]" : "%s", opt->help, opt->env);
	if (length + 2 > HELP_COLUMN)
		printf("%s\n%*s", head, HELP_COLUMN, "");
	else
		printf("%-*s", HELP_COLUMN, head);
	put_wrapped(text, HELP_COLUMN, HELP_COLUMN);
}

static bool has_common(int index)
{
	if (index == COMMON_JSON)
		return tool.has & TOOL_JSON;
	if (index == COMMON_PROGRESS)
		return tool.has & TOOL_PROGRESS;
	return true;
}

_Noreturn static void help(void)
{
	int column = printf("usage: %s ", tool.name);

	put_wrapped(tool.synopsis, (size_t)column, (size_t)column);
	put_wrapped(tool.summary, 0, 0);
	putchar('\n');
	for (const struct tool_opt *opt = tool.opts; opt->name != NULL; opt++)
		help_option(opt);
	for (int index = OPTS_MAX; index < COMMON_END; index++)
		if (has_common(index))
			help_option(&common[index - OPTS_MAX]);
	exit(tool_finish(TOOL_OK));
}

_Noreturn static void version(void)
{
	printf("%s %s (libvalori %s, log format %d, snapshot format %d, kernels %s)\n", tool.name,
	       VALORI_VERSION, valori_version(), VALORI_LOG_FORMAT, VALORI_SNAPSHOT_FORMAT, valori_cpu());
	exit(tool_finish(TOOL_OK));
}

/* ---- options ---- */

static struct option longs[OPTS_MAX + sizeof common / sizeof *common + 1];
static char shorts[2 * (OPTS_MAX + sizeof common / sizeof *common) + 2];
static volatile sig_atomic_t progress_asked;
static bool progress_on;
static uint64_t progress_next;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_usr1(int number)
{
	(void)number;
	progress_asked = 1;
}

/* A snapshot is mapped: if it is truncated while it is read, its name is worth more than "bus error". */
static void on_bus(int number, siginfo_t *info, void *context)
{
	char line[VL_MAPPED_NAME + 128], name[VL_MAPPED_NAME];
	const char *parts[] = {tool.name, ": ", name, ": was truncated while it was read\n"};
	size_t size = 0;

	(void)number, (void)context;
	if (!vl_mapped_name(info->si_addr, name)) {
		signal(SIGBUS, SIG_DFL);
		return;
	}
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		for (const char *at = parts[i]; *at != '\0' && size < sizeof line; at++)
			line[size++] = *at;
	if (write(2, line, size) < 0)
		_exit(TOOL_DAMAGED);
	_exit(TOOL_DAMAGED);
}

static const struct tool_opt *option_at(int index)
{
	return index >= OPTS_MAX ? &common[index - OPTS_MAX] : &tool.opts[index];
}

/* Long options answer 256 + index, letters themselves: so a message can name what was typed. */
static void add_option(int index, size_t *long_count, size_t *short_size)
{
	const struct tool_opt *opt = option_at(index);

	longs[*long_count].name = opt->name;
	longs[*long_count].has_arg = opt->argument ? required_argument : no_argument;
	longs[(*long_count)++].val = 256 + index;
	if (opt->letter) {
		shorts[(*short_size)++] = (char)opt->letter;
		if (opt->argument)
			shorts[(*short_size)++] = ':';
	}
}

/* Started with a standard descriptor closed, a program gets it back as its next file, and prints into it. */
static void hold_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			exit(TOOL_SYSTEM);
}

static void start(void)
{
	size_t long_count = 0, short_size = 0;
	struct sigaction action = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	struct sigaction bus = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};

	hold_standard_descriptors();
	shorts[short_size++] = ':';
	for (int index = 0; tool.opts[index].name != NULL; index++)
		add_option(index, &long_count, &short_size);
	for (int index = OPTS_MAX; index < COMMON_END; index++)
		if (has_common(index))
			add_option(index, &long_count, &short_size);
	opterr = 0;
	sigaction(SIGBUS, &bus, NULL);
	progress_next = now_ms() + 1000;
	if (tool.has & TOOL_PROGRESS) {
		sigaction(SIGUSR1, &action, NULL);
		progress_on = isatty(2) && tcgetpgrp(2) == getpgrp();
	}
}

static int index_of_letter(int letter)
{
	for (int index = 0; tool.opts[index].name != NULL; index++)
		if (tool.opts[index].letter == letter)
			return index;
	for (int index = OPTS_MAX; index < COMMON_END; index++)
		if (option_at(index)->letter == letter && has_common(index))
			return index;
	return -1;
}

/* What getopt could not use, in our words. */
_Noreturn static void refuse(int answer, const char *typed)
{
	if (answer == ':' && optopt < 256)
		tool_usage("-%c: needs a value (%s)", optopt, option_at(index_of_letter(optopt))->argument);
	if (answer == ':')
		tool_usage("--%s: needs a value (%s)", option_at(optopt - 256)->name,
			   option_at(optopt - 256)->argument);
	if (optopt >= 256)
		tool_usage("--%s: takes no value", option_at(optopt - 256)->name);
	if (optopt != 0)
		tool_usage("-%c: unknown option (see %s --help)", optopt, tool.name);
	tool_usage("%.*s: unknown option (see %s --help)", (int)strcspn(typed, "="), typed, tool.name);
}

/* getopt_long takes "--exp" for "--expect"; a script that relies on it breaks when an option is added. */
static void refuse_abbreviation(char **argv, const struct tool_opt *opt)
{
	const char *typed = argv[optind - 1];

	if (opt->argument && optarg == typed)
		typed = argv[optind - 2];
	if (strncmp(typed, "--", 2) != 0 || strcspn(typed + 2, "=") != strlen(opt->name))
		tool_usage("%.*s: unknown option, not written out (see %s --help)", (int)strcspn(typed, "="),
			   typed, tool.name);
}

static void take_common(int index)
{
	if (index == COMMON_JSON)
		tool_json = true;
	if (index == COMMON_PROGRESS)
		progress_on = true;
	if (index == COMMON_QUIET)
		tool_quiet = true;
	if (index == COMMON_VERBOSE)
		tool_verbose = true;
	if (index == COMMON_HELP)
		help();
	if (index == COMMON_VERSION)
		version();
}

static int next_from_env(const char **out_value)
{
	for (int index = 0; tool.opts[index].name != NULL; index++) {
		const struct tool_opt *opt = &tool.opts[index];
		const char *value = opt->env ? getenv(opt->env) : NULL;

		if (value == NULL || *value == '\0' || seen >> index & 1)
			continue;
		seen |= UINT64_C(1) << index;
		given = opt;
		given_by_env = true;
		*out_value = value;
		return index;
	}
	return -1;
}

int tool_next(int argc, char **argv, const char **out_value)
{
	if (longs[0].name == NULL)
		start();
	for (int answer; (answer = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
		int index = answer >= 256 ? answer - 256 : index_of_letter(answer);

		if (answer == '?' || answer == ':')
			refuse(answer, argv[optind - 1]);
		given = option_at(index);
		if (answer >= 256)
			refuse_abbreviation(argv, given);
		if (index >= OPTS_MAX) {
			take_common(index);
			continue;
		}
		seen |= UINT64_C(1) << index;
		*out_value = optarg;
		return index;
	}
	return next_from_env(out_value);
}

bool tool_parse_u64(const char *text, uint64_t *out)
{
	uint64_t number = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
			return false;
	}
	*out = number;
	return true;
}

_Noreturn static void refuse_value(const char *value, const char *fact)
{
	if (given_by_env)
		tool_usage("%s: %s: %s", given->env, value, fact);
	tool_usage("--%s: %s: %s", given->name, value, fact);
}

static void check_range(const char *value, uint64_t number, uint64_t min, uint64_t max)
{
	char fact[96];

	snprintf(fact, sizeof fact, "must be from %llu to %llu", (unsigned long long)min,
		 (unsigned long long)max);
	if (number < min || number > max)
		refuse_value(value, fact);
}

uint64_t tool_number(const char *value, uint64_t min, uint64_t max)
{
	uint64_t number;

	if (!tool_parse_u64(value, &number))
		refuse_value(value, "not a number below 2^64");
	check_range(value, number, min, max);
	return number;
}

uint64_t tool_size(const char *value, uint64_t min, uint64_t max)
{
	char digits[24];
	size_t length = strspn(value, "0123456789");
	unsigned shift = 0;
	uint64_t number;

	if (length < sizeof digits) {
		memcpy(digits, value, length);
		digits[length] = '\0';
	}
	if (value[length] != '\0' && value[length + 1] == '\0')
		shift = value[length] == 'K' ? 10 : value[length] == 'M' ? 20 : value[length] == 'G' ? 30 : 0;
	if (length >= sizeof digits || !tool_parse_u64(digits, &number) ||
	    (value[length] != '\0' && shift == 0) || number << shift >> shift != number)
		refuse_value(value, "not a size such as 4096, 64K, 256M or 1G");
	check_range(value, number << shift, min, max);
	return number << shift;
}

valori_when tool_when(const char *value)
{
	valori_when when = {0};

	if (valori_when_parse(value, &when, NULL) != VALORI_OK)
		refuse_value(value,
			     "not a moment "
			     "(a height, a state root, a time as 2026-11-20T12:00:00Z, or @milliseconds)");
	return when;
}

void tool_need_stdin(void)
{
	if (isatty(0))
		tool_usage("nothing to read: name a file, or pipe something in (see %s --help)", tool.name);
}

/* ---- progress and signals ---- */

bool tool_progress_due(void)
{
	uint64_t now;

	if (progress_asked)
		return true;
	if (!progress_on || tool_quiet)
		return false;
	now = now_ms();
	if (now < progress_next)
		return false;
	progress_next = now + (isatty(2) ? 200 : 1000);
	return true;
}

void tool_progress(const char *format, ...)
{
	bool stays = progress_asked || !isatty(2);
	va_list arguments;

	progress_asked = 0;
	va_start(arguments, format);
	say("", format, arguments);
	va_end(arguments);
	if (!stays) {
		fputs("\033[A", stderr); /* back up: the next line is written over this one */
		line_open = true;
	}
}

static volatile sig_atomic_t stop, waiting;
static const char *volatile temporary; /* to be removed by a signal that ends the program */

static void on_stop(int number)
{
	(void)number;
	if (waiting)
		_exit(TOOL_OK);
	stop = 1;
}

void tool_catch_stop(void)
{
	struct sigaction action = {.sa_handler = on_stop};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool tool_stopped(void)
{
	return stop;
}

void tool_wait_begin(void)
{
	if (fflush(stdout) != 0)
		exit(tool_finish(TOOL_SYSTEM));
	waiting = 1;
	if (stop)
		exit(tool_finish(TOOL_OK));
}

void tool_wait_end(void)
{
	waiting = 0;
}

/* ---- data on stdout ---- */

void tool_tsv(FILE *file, const void *bytes, size_t size)
{
	const unsigned char *data = bytes;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = data[i];

		if (c >= ' ' && c != '\\' && c != 127)
			putc_unlocked(c, file);
		else if (c == '\t' || c == '\n' || c == '\r' || c == '\\')
			fprintf(file, "\\%c", c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\\');
		else
			fprintf(file, "\\x%02x", c);
	}
}

const char *tool_read_token(const char *path)
{
	static char token[4096];
	FILE *file = fopen(path, "re");
	size_t size;

	if (file == NULL)
		tool_usage("--token-file: %s: %s", path, tool_errno());
	size = fread(token, 1, sizeof(token) - 1, file);
	fclose(file);
	token[size] = 0;
	token[strcspn(token, "\r\n")] = 0;
	if (token[0] == 0)
		tool_usage("--token-file: %s: no token in its first line", path);
	return token;
}

void tool_base64(FILE *file, const void *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *data = bytes;

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t word = (uint32_t)data[i] << 16;

		word |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
		word |= left > 2 ? data[i + 2] : 0;
		putc_unlocked(digits[word >> 18], file);
		putc_unlocked(digits[word >> 12 & 63], file);
		putc_unlocked(left > 1 ? digits[word >> 6 & 63] : '=', file);
		putc_unlocked(left > 2 ? digits[word & 63] : '=', file);
	}
}

const char *tool_time(uint64_t time_ms, char out[32])
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm tm;

	if (time_ms > UINT64_C(253402300799999) || gmtime_r(&seconds, &tm) == NULL)
		snprintf(out, 32, "@%llu", (unsigned long long)time_ms);
	else
		snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)tm.tm_year % 10000 + 1900,
			 (unsigned)tm.tm_mon % 12 + 1, (unsigned)tm.tm_mday % 32, (unsigned)tm.tm_hour % 24,
			 (unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 61, (unsigned)(time_ms % 1000));
	return out;
}

/* The bytes of the character that text begins with; 0: it begins with none. */
static size_t utf8_length(const unsigned char *text, size_t size)
{
	unsigned char c = text[0];
	size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
	unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;

	if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || size <= more)
		return 0;
	for (size_t k = 1; k <= more; k++, low = 0x80, high = 0xbf)
		if (text[k] < low || text[k] > high)
			return 0;
	return more + 1;
}

bool tool_is_utf8(const void *bytes, size_t size)
{
	size_t length = 1;

	for (size_t i = 0; i < size && length > 0; i += length)
		length = utf8_length((const unsigned char *)bytes + i, size - i);
	return length > 0;
}

char *tool_make_utf8(char *text)
{
	size_t size = strlen(text), length;

	for (size_t i = 0; i < size; i += length > 0 ? length : 1) {
		length = utf8_length((const unsigned char *)text + i, size - i);
		if (length == 0)
			text[i] = '?';
	}
	return text;
}

static void put_string(FILE *file, const void *bytes, size_t size)
{
	const unsigned char *data = bytes;

	putc_unlocked('"', file);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = data[i];

		if (c >= ' ' && c != '"' && c != '\\' && c != 127)
			putc_unlocked(c, file);
		else if (c == '"' || c == '\\')
			fprintf(file, "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			fprintf(file, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		else
			fprintf(file, "\\u%04x", c);
	}
	putc_unlocked('"', file);
}

static void member(struct tool_json *json, const char *name)
{
	if (json->more)
		putc_unlocked(',', json->file);
	if (name != NULL) {
		put_string(json->file, name, strlen(name));
		putc_unlocked(':', json->file);
	}
	json->more = true;
}

void tool_json_begin(struct tool_json *json)
{
	putc_unlocked('{', json->file);
	json->more = false;
}

void tool_json_end(struct tool_json *json)
{
	fputs("}\n", json->file);
	json->more = false;
}

void tool_json_object(struct tool_json *json, const char *name)
{
	member(json, name);
	tool_json_begin(json);
}

void tool_json_object_end(struct tool_json *json)
{
	putc_unlocked('}', json->file);
	json->more = true;
}

void tool_json_array(struct tool_json *json, const char *name)
{
	member(json, name);
	putc_unlocked('[', json->file);
	json->more = false;
}

void tool_json_array_end(struct tool_json *json)
{
	putc_unlocked(']', json->file);
	json->more = true;
}

void tool_json_string(struct tool_json *json, const char *name, const void *bytes, size_t size)
{
	member(json, name);
	put_string(json->file, bytes, size);
}

void tool_json_text(struct tool_json *json, const char *name, const char *text)
{
	tool_json_string(json, name, text, strlen(text));
}

void tool_json_bytes(struct tool_json *json, const char *name, const void *bytes, size_t size)
{
	if (tool_is_utf8(bytes, size)) {
		tool_json_string(json, name, bytes, size);
		return;
	}
	if (json->more)
		putc_unlocked(',', json->file);
	fprintf(json->file, "\"%s_base64\":\"", name);
	tool_base64(json->file, bytes, size);
	putc_unlocked('"', json->file);
	json->more = true;
}

void tool_json_u64(struct tool_json *json, const char *name, uint64_t value)
{
	bool is_quoted = value > UINT64_C(1) << 53;
	char text[24], *end = text + sizeof(text), *at = end;

	if (is_quoted)
		*--at = '"';
	do
		*--at = (char)('0' + value % 10);
	while (value /= 10);
	if (is_quoted)
		*--at = '"';
	member(json, name);
	fwrite(at, 1, (size_t)(end - at), json->file);
}

void tool_json_i32(struct tool_json *json, const char *name, int32_t value)
{
	char text[12], *end = text + sizeof text, *at = end;
	uint32_t rest = value < 0 ? 0 - (uint32_t)value : (uint32_t)value;

	do
		*--at = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--at = '-';
	member(json, name);
	fwrite(at, 1, (size_t)(end - at), json->file);
}

void tool_json_bool(struct tool_json *json, const char *name, bool value)
{
	tool_json_raw(json, name, value ? "true" : "false");
}

void tool_json_raw(struct tool_json *json, const char *name, const char *text)
{
	member(json, name);
	fputs(text, json->file);
}

void tool_json_hash(struct tool_json *json, const char *name, const valori_hash *hash)
{
	char text[65];

	valori_hash_format(hash, text);
	tool_json_text(json, name, text);
}

void tool_print_facts(FILE *file, const struct tool_fact *facts, size_t count)
{
	struct tool_json json = {.file = file};

	if (tool_json)
		tool_json_begin(&json);
	for (const struct tool_fact *fact = facts; fact < facts + count; fact++)
		if (tool_json && fact->text != NULL) {
			tool_json_bytes(&json, fact->name, fact->text, strlen(fact->text));
		} else if (tool_json) {
			tool_json_u64(&json, fact->name, fact->value);
		} else if (fact->text != NULL) {
			fprintf(file, "%s\t", fact->name);
			tool_tsv(file, fact->text, strlen(fact->text));
			fputc('\n', file);
		} else {
			fprintf(file, "%s\t%llu\n", fact->name, (unsigned long long)fact->value);
		}
	if (tool_json)
		tool_json_end(&json);
}

const char *tool_history(uint64_t commits, const valori_hash *tree_root, char out[96])
{
	char root[65];

	valori_hash_format(tree_root, root);
	snprintf(out, 96, "tree:%llu:%s", (unsigned long long)commits, root);
	return out;
}

/* ---- output files ---- */

static void on_deadly(int number)
{
	if (temporary != NULL)
		unlink(temporary);
	signal(number, SIG_DFL);
	raise(number);
}

static void guard(const char *path)
{
	static const int deadly[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
	struct sigaction action = {.sa_handler = on_deadly}, old;

	temporary = path;
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		if (sigaction(deadly[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(deadly[i], &action, NULL);
}

static int sync_directory(const char *path)
{
	char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	int fd, result;

	if (copy == NULL)
		return -1;
	if (slash != NULL)
		slash[slash == copy] = '\0';
	fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -1;
	result = fsync(fd);
	close(fd);
	return result;
}

int tool_output_open(struct tool_output *output, const char *path)
{
	struct stat status;
	int fd = -1;

	*output = (struct tool_output){0};
	if (strcmp(path, "-") == 0) {
		output->file = stdout;
		return TOOL_OK;
	}
	/* A link stays a link: what it points to is replaced. A device or FIFO is written, not replaced. */
	output->path = realpath(path, NULL);
	if (output->path == NULL)
		output->path = strdup(path);
	if (output->path != NULL && stat(output->path, &status) == 0 && !S_ISREG(status.st_mode)) {
		output->file = fopen(output->path, "we");
	} else if (output->path != NULL) {
		size_t size = strlen(output->path) + 32;

		output->temporary = tool_alloc(size, 1);
		snprintf(output->temporary, size, "%s.tmp-%ld", output->path, (long)getpid());
		fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0) {
			guard(output->temporary);
			output->file = fdopen(fd, "w");
		}
	}
	if (output->file == NULL) {
		tool_trouble(TOOL_SYSTEM, "%s: %s", path, tool_errno());
		if (fd < 0) {
			free(output->temporary); /* not ours to remove */
			output->temporary = NULL;
		}
		tool_output_abandon(output);
		return TOOL_SYSTEM;
	}
	return TOOL_OK;
}

int tool_output_commit(struct tool_output *output)
{
	bool failed;

	if (output->file == stdout || output->file == NULL)
		return TOOL_OK; /* tool_finish checks stdout */
	failed = ferror(output->file) || fflush(output->file) != 0;
	if (output->temporary != NULL)
		failed = failed || fsync(fileno(output->file)) != 0;
	failed |= fclose(output->file) != 0;
	output->file = NULL;
	if (output->temporary != NULL)
		failed = failed || rename(output->temporary, output->path) != 0 ||
			 sync_directory(output->path) != 0;
	if (failed)
		tool_trouble(TOOL_SYSTEM, "%s: %s", output->path, tool_errno());
	tool_output_abandon(output);
	return failed ? TOOL_SYSTEM : TOOL_OK;
}

void tool_output_abandon(struct tool_output *output)
{
	if (output->file != NULL && output->file != stdout)
		fclose(output->file);
	if (output->temporary != NULL)
		unlink(output->temporary);
	temporary = NULL;
	free(output->temporary);
	free(output->path);
	*output = (struct tool_output){0};
}
