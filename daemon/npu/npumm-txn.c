/* SPDX-License-Identifier: MIT */
/*
 * npumm-txn.c - instruction streams of the NPU, for people: look at them, check them, make them, tell what they take.
 *
 * Role:   subcommands, options, files. Needs no NPU and no daemon.
 * In:     argv; a stream as words in a file, or as hexadecimal text, one word after the other, as some tools write it.
 * Out:    text on stdout, an exit code of txn-tool.h, and one line on stderr for every failure.
 */
#include "daemon/npu/txn-tool.h"
#include "daemon/npu/txn-check.h"
#include "daemon/npu/txn-dump.h"
#include "daemon/version.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

__attribute__((visibility("default"))) const char *argp_program_version = "npumm-txn " DAEMON_VERSION;

#define FILE_BYTES_MAX (16u << 20) /* no stream comes near it */

enum txn_exit txn_tool_fail(enum txn_exit code, const char *format, ...)
{
        va_list args;

        (void)fputs("npumm-txn: ", stderr);
        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fputc('\n', stderr);
        return code;
}

/* ---- files ---- */

/* All of `path`, "-" being stdin, with a 0 behind it. */
static enum txn_exit file_read(const char *path, char **ret_bytes, size_t *ret_n)
{
        const bool is_stdin = strcmp(path, "-") == 0;
        _cleanup_(freep) char *bytes = malloc(FILE_BYTES_MAX + 1);
        FILE *file = is_stdin ? stdin : fopen(path, "rbe");
        size_t n = 0;
        bool failed;

        if (!bytes || !file) {
                const int error = errno;

                if (file && !is_stdin)
                        (void)fclose(file);
                return txn_tool_fail(TXN_FILE, "%s: %s", path, strerror(error));
        }
        n = fread(bytes, 1, FILE_BYTES_MAX + 1, file);
        failed = ferror(file) != 0;
        if (!is_stdin)
                (void)fclose(file);
        if (failed)
                return txn_tool_fail(TXN_FILE, "%s: cannot be read", path);
        if (n > FILE_BYTES_MAX)
                return txn_tool_fail(TXN_FILE, "%s: is larger than any stream: more than %u bytes", path,
                                     FILE_BYTES_MAX);
        bytes[n] = '\0';
        *ret_bytes = steal(&bytes);
        *ret_n = n;
        return TXN_DONE;
}

/* Every byte of a text of hexadecimal words is a digit, an x or a space; a binary stream has a 0 in its first word. */
static bool is_hex_text(const char *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!isxdigit((unsigned char)bytes[i]) && !isspace((unsigned char)bytes[i]) &&
                    bytes[i] != 'x')
                        return false;
        return n > 0;
}

static enum txn_exit words_from_text(const char *path, const char *text, uint32_t *words, size_t *ret_n)
{
        size_t n = 0;

        for (;;) {
                unsigned long long word;
                char *end;

                while (isspace((unsigned char)*text))
                        text++;
                if (*text == '\0')
                        break;
                word = strtoull(text, &end, 16);
                if (end == text || word > UINT32_MAX || (*end != '\0' && !isspace((unsigned char)*end)))
                        return txn_tool_fail(TXN_FAULTY,
                                             "%s: word %zu of the text is not one of 32 bits in hexadecimal",
                                             path, n);
                words[n++] = (uint32_t)word;
                text = end;
        }
        *ret_n = n;
        return TXN_DONE;
}

/* `ret_words` is the caller's to free. */
static enum txn_exit stream_read(const char *path, uint32_t **ret_words, size_t *ret_n)
{
        _cleanup_(freep) char *bytes = NULL;
        _cleanup_(freep) uint32_t *words = NULL;
        size_t n_bytes = 0;
        enum txn_exit r = file_read(path, &bytes, &n_bytes);

        if (r != TXN_DONE)
                return r;
        words = calloc(n_bytes + 1, sizeof *words); /* a word of text has a digit at least */
        if (!words)
                return txn_tool_fail(TXN_FILE, "%s: %s", path, strerror(ENOMEM));
        if (is_hex_text(bytes, n_bytes)) {
                r = words_from_text(path, bytes, words, ret_n);
                if (r != TXN_DONE)
                        return r;
        } else if (n_bytes % 4 != 0 || n_bytes == 0) {
                return txn_tool_fail(TXN_FAULTY, "%s: %zu bytes are no 32-bit words", path, n_bytes);
        } else {
                for (size_t i = 0; i < n_bytes / 4; i++)
                        words[i] = (uint32_t)get_le((const uint8_t *)bytes + 4 * i, 4);
                *ret_n = n_bytes / 4;
        }
        *ret_words = steal(&words);
        return TXN_DONE;
}

/* ---- dump, verify ---- */

static enum txn_exit command_dump(const char *path)
{
        _cleanup_(freep) uint32_t *words = NULL;
        size_t n = 0;
        const enum txn_exit r = stream_read(path, &words, &n);

        if (r != TXN_DONE)
                return r;
        (void)txn_dump(stdout, words, n);
        return TXN_DONE;
}

static enum txn_exit command_verify(const char *path)
{
        _cleanup_(freep) struct txn_check *check = calloc(1, sizeof *check);
        _cleanup_(freep) uint32_t *words = NULL;
        struct txn_fault fault;
        size_t n = 0;
        const enum txn_exit r = stream_read(path, &words, &n);

        if (r != TXN_DONE)
                return r;
        if (!check)
                return txn_tool_fail(TXN_FILE, "%s", strerror(ENOMEM));
        if (txn_check(check, words, n, &fault) != 0)
                return txn_tool_fail(TXN_FAULTY, "%s: word %zu: %s", path, fault.word, fault.text);
        (void)printf("%s: %zu words, %zu transfers: descriptors, queues and waits are right; what they carry "
                     "needs the "
                     "batch to tell\n",
                     path, n, check->n_transfers);
        return TXN_DONE;
}

/* ---- the command line ---- */

enum { OPTION_FLOW = 256, OPTION_STREAMED };

static const struct argp_option shape_options[] = {
        {"flow", OPTION_FLOW, "HOW", 0, "How pushes wait for room: poll or token (default: poll)", 0},
        {"streamed", OPTION_STREAMED, NULL, 0, "B is sent along with A (default: it is resident)", 0},
        {"output", 'o', "FILE", 0, "generate: write the stream there", 0},
        {0},
};

static bool shape_parse(const char *text, struct stream64_product *ret_product)
{
        uint64_t sides[3];

        for (size_t i = 0; i < 3; i++) {
                char *end;

                if (!isdigit((unsigned char)*text))
                        return false;
                errno = 0;
                sides[i] = strtoull(text, &end, 10);
                if (errno != 0 || sides[i] == 0 || sides[i] > INT32_MAX || *end != (i < 2 ? ',' : '\0'))
                        return false;
                text = end + 1;
        }
        *ret_product = (struct stream64_product){.m = sides[0], .k = sides[1], .n = sides[2]};
        return true;
}

static error_t shape_option_parse(int option, char *value, struct argp_state *state)
{
        struct txn_shapes *shapes = state->input;

        switch (option) {
        case OPTION_FLOW:
                if (strcmp(value, "poll") != 0 && strcmp(value, "token") != 0)
                        argp_error(state, "--flow=%s: poll and token are known", value);
                shapes->flow = strcmp(value, "token") == 0 ? STREAM64_TOKEN : STREAM64_POLL;
                return 0;
        case OPTION_STREAMED:
                shapes->sends_b = true;
                return 0;
        case 'o':
                shapes->output = value;
                return 0;
        case ARGP_KEY_ARG:
                if (strcmp(value, "tile16") == 0) {
                        shapes->tile16 = true;
                        return 0;
                }
                if (shapes->n == TXN_SHAPES_MAX)
                        argp_error(state, "more than %d shapes", TXN_SHAPES_MAX);
                if (!shape_parse(value, &shapes->products[shapes->n]))
                        argp_error(state, "\"%s\": a shape is M,K,N, each 1 to %d", value, INT32_MAX);
                shapes->n++;
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static enum txn_exit shapes_parse(int argc, char **argv, struct txn_shapes *shapes)
{
        static const struct argp argp = {
                .options = shape_options,
                .parser = shape_option_parse,
                .args_doc = "[M,K,N...]",
                .doc = "What batches a list of products makes, or the instruction stream of one.",
        };

        return argp_parse(&argp, argc, argv, 0, NULL, shapes) == 0 ? TXN_DONE : TXN_USAGE;
}

static enum txn_exit command_shapes(int argc, char **argv, enum txn_exit (*run)(struct txn_shapes *))
{
        _cleanup_(freep) struct txn_shapes *shapes = calloc(1, sizeof *shapes);

        if (!shapes)
                return txn_tool_fail(TXN_FILE, "%s", strerror(ENOMEM));
        if (shapes_parse(argc, argv, shapes) != TXN_DONE)
                return TXN_USAGE;
        return run(shapes);
}

static enum txn_exit command_file(int argc, char **argv, enum txn_exit (*run)(const char *))
{
        if (argc != 2)
                return txn_tool_fail(TXN_USAGE, "%s takes one FILE, \"-\" for stdin; see --help", argv[0]);
        return run(argv[1]);
}

static const struct command {
        const char *name;
        enum txn_exit (*of_file)(const char *path);
        enum txn_exit (*of_shapes)(struct txn_shapes *shapes);
} commands[] = {
        {"dump", .of_file = command_dump},
        {"verify", .of_file = command_verify},
        {"plan", .of_shapes = txn_tool_plan},
        {"generate", .of_shapes = txn_tool_generate},
};

static error_t option_parse(int option, char *value, struct argp_state *state)
{
        int *first = state->input;

        (void)value;
        if (option != ARGP_KEY_ARGS)
                return option == ARGP_KEY_NO_ARGS ? (argp_error(state, "which command?"), 0)
                                                  : ARGP_ERR_UNKNOWN;
        *first = state->next;
        return 0;
}

int main(int argc, char **argv)
{
        static const struct argp argp = {
                .parser = option_parse,
                .args_doc = "COMMAND ...",
                .doc = "Instruction streams of the NPU, without one.\v"
                       "dump FILE: what a stream does, in words.\n"
                       "verify FILE: whether it keeps the rules that need no batch.\n"
                       "plan [M,K,N...]: what products come to, and how long they would take, by a model.\n"
                       "generate -o FILE M,K,N...: the stream of one batch.\n",
        };
        enum txn_exit code = TXN_USAGE;
        int first = 0;
        bool found = false;

        argp_err_exit_status = TXN_USAGE;
        if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first) != 0)
                return TXN_USAGE;
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                if (strcmp(argv[first], commands[i].name) != 0)
                        continue;
                found = true;
                code = commands[i].of_file
                               ? command_file(argc - first, argv + first, commands[i].of_file)
                               : command_shapes(argc - first, argv + first, commands[i].of_shapes);
        }
        if (!found)
                code = txn_tool_fail(TXN_USAGE, "\"%s\" is no command; see --help", argv[first]);
        if (code == TXN_DONE && (fflush(stdout) != 0 || ferror(stdout)))
                code = txn_tool_fail(TXN_FILE, "cannot write to stdout: %s", strerror(errno));
        return (int)code;
}
