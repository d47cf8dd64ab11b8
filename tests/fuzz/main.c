/* SPDX-License-Identifier: MIT */
/*
 * main.c - drives a fuzz target without libFuzzer: replays a corpus, then runs mutations of it.
 *
 * Role:   every fuzz-*.c has libFuzzer's entry point, so clang -fsanitize=fuzzer,address may link it without
 *         this file. This file needs no special compiler and no coverage, which is what an ordinary test run
 *         can afford: a million inputs in seconds.
 * In:     --runs=N (default 1,000,000; 0: replay alone), --seed=S (default: random), files, and directories
 *         whose files are taken. Files named *.hex are dumps as in tests/golden.
 * Out:    the seed; at the end how many inputs ran. When an input kills the target, it is left in
 *         crash-TARGET.bin in the current directory: give that file as an argument to see it again.
 * Thread: one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "hex.h"
#include "proto/base.h"

#define INPUT_BYTES_MAX  8192 /* longer ones find nothing new in headers, and cost time */
#define CORPUS_FILES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A target may say what it came to, and fail if that is nothing. */
int fuzz_summary(uint64_t n_runs) __attribute__((weak));

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct input {
        uint8_t *bytes; /* owned */
        size_t n_bytes;
};

static struct input corpus[CORPUS_FILES_MAX];
static size_t n_corpus;

/* ---- when it dies ---- */

static const uint8_t *current_bytes;
static size_t current_n_bytes;
static char crash_path[256];

static void crash_save(void)
{
        static const char said[] = "the input is left in ";
        int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ssize_t n = -1;

        if (fd >= 0) {
                n = write(fd, current_bytes, current_n_bytes);
                (void)close(fd);
        }
        if (n < 0)
                return;
        n = write(STDERR_FILENO, said, sizeof said - 1);
        n = write(STDERR_FILENO, crash_path, strlen(crash_path));
        n = write(STDERR_FILENO, "\n", 1);
        (void)n;
}

static void on_signal(int signal_number)
{
        crash_save();
        (void)raise(signal_number); /* SA_RESETHAND: this time it kills */
}

/* Sanitizers have better words of their own for all but an assertion. */
static void crash_watch(void)
{
        static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
        const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
        size_t n_signals = ARRAY_SIZE(signals);

        (void)snprintf(crash_path, sizeof crash_path, "crash-%s.bin", program_invocation_short_name);
        if (__sanitizer_set_death_callback) {
                __sanitizer_set_death_callback(crash_save);
                n_signals = 1;
        }
        for (size_t i = 0; i < n_signals; i++)
                (void)sigaction(signals[i], &action, NULL);
}

/* ---- numbers ---- */

static uint64_t random_state;

/* splitmix64. */
static uint64_t random_next(void)
{
        uint64_t z = (random_state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

static size_t random_below(size_t n)
{
        return (size_t)(random_next() % n);
}

/* Around the borders of what the code under test counts with. */
static uint64_t random_interesting(void)
{
        static const uint64_t numbers[] = {
                0,          1,          2,          7,          15,        16,         31,         32,
                63,         64,         127,        128,        255,       256,        4095,       4096,
                65535,      65536,      131071,     131072,     1u << 20,  1u << 24,   INT32_MAX,  1u << 31,
                UINT32_MAX, 1ull << 32, 1ull << 40, 1ull << 62, INT64_MAX, 1ull << 63, UINT64_MAX,
        };
        const uint64_t number = numbers[random_below(ARRAY_SIZE(numbers))];

        switch (random_below(4)) {
        case 0:
                return number + random_below(4);
        case 1:
                return number - random_below(4);
        default:
                return number;
        }
}

/* ---- mutations, each in place; `*n` is the length, at most INPUT_BYTES_MAX ---- */

typedef void (*mutate_fn)(uint8_t *bytes, size_t *n);

static void flip_bit(uint8_t *bytes, size_t *n)
{
        if (*n > 0)
                bytes[random_below(*n)] ^= (uint8_t)(1u << random_below(8));
}

static void set_byte(uint8_t *bytes, size_t *n)
{
        if (*n > 0)
                bytes[random_below(*n)] = (uint8_t)random_next();
}

static void set_number(uint8_t *bytes, size_t *n)
{
        const size_t width = (size_t)1 << random_below(4);

        if (*n >= width)
                put_le(bytes + random_below(*n - width + 1), random_interesting(), width);
}

/* A protobuf number over what stood there. */
static void set_varint(uint8_t *bytes, size_t *n)
{
        size_t at = *n > 0 ? random_below(*n) : 0;
        uint64_t value = random_interesting();

        for (; at < *n && value > 0x7f; value >>= 7)
                bytes[at++] = (uint8_t)(0x80 | (value & 0x7f));
        if (at < *n)
                bytes[at] = (uint8_t)value;
}

static void cut_end(uint8_t *bytes, size_t *n)
{
        (void)bytes;
        *n = random_below(*n + 1);
}

static void cut_out(uint8_t *bytes, size_t *n)
{
        size_t at, length;

        if (*n == 0)
                return;
        at = random_below(*n);
        length = 1 + random_below(MIN(*n - at, (size_t)16));
        memmove(bytes + at, bytes + at + length, *n - at - length);
        *n -= length;
}

/* Puts `length` bytes from elsewhere, or random ones, in between. */
static void insert_bytes(uint8_t *bytes, size_t *n, const uint8_t *from, size_t length)
{
        const size_t at = random_below(*n + 1);

        length = MIN(length, INPUT_BYTES_MAX - *n);
        memmove(bytes + at + length, bytes + at, *n - at);
        for (size_t i = 0; i < length; i++)
                bytes[at + i] = from ? from[i] : (uint8_t)random_next();
        *n += length;
}

static void insert_random(uint8_t *bytes, size_t *n)
{
        insert_bytes(bytes, n, NULL, 1 + random_below(16));
}

static void repeat(uint8_t *bytes, size_t *n)
{
        uint8_t piece[64];
        size_t at, length;

        if (*n == 0)
                return;
        at = random_below(*n);
        length = 1 + random_below(MIN(*n - at, sizeof piece));
        memcpy(piece, bytes + at, length);
        insert_bytes(bytes, n, piece, length);
}

/* The end of another input behind our beginning. */
static void graft(uint8_t *bytes, size_t *n)
{
        const struct input *other = &corpus[random_below(n_corpus)];
        const size_t from = random_below(other->n_bytes + 1);

        *n = random_below(*n + 1);
        if (other->n_bytes > from) {
                const size_t length = MIN(other->n_bytes - from, INPUT_BYTES_MAX - *n);

                memcpy(bytes + *n, other->bytes + from, length);
                *n += length;
        }
}

static void all_random(uint8_t *bytes, size_t *n)
{
        *n = random_below(128);
        for (size_t i = 0; i < *n; i++)
                bytes[i] = (uint8_t)random_next();
}

/* Some of them stand here twice: these find more. */
static const mutate_fn mutations[] = {
        flip_bit,   flip_bit, set_byte, set_byte,      set_number, set_number, set_number, set_varint,
        set_varint, cut_end,  cut_out,  insert_random, repeat,     graft,      graft,
};

static size_t input_make(uint8_t bytes[INPUT_BYTES_MAX])
{
        const struct input *seed = &corpus[random_below(n_corpus)];
        size_t n = MIN(seed->n_bytes, (size_t)INPUT_BYTES_MAX);
        size_t n_mutations = 1;

        if (random_below(64) == 0) {
                all_random(bytes, &n);
                return n;
        }
        memcpy(bytes, seed->bytes, n);
        while (n_mutations < 8 && random_below(2) == 0)
                n_mutations++;
        while (n_mutations-- > 0)
                mutations[random_below(ARRAY_SIZE(mutations))](bytes, &n);
        return n;
}

/* ---- running ---- */

/* From memory of exactly that size, so that sanitizers see every step outside. */
static void run(const uint8_t *bytes, size_t n_bytes)
{
        uint8_t *exact = malloc(n_bytes > 0 ? n_bytes : 1);

        if (!exact)
                abort();
        memcpy(exact, bytes, n_bytes);
        current_bytes = exact;
        current_n_bytes = n_bytes;
        (void)LLVMFuzzerTestOneInput(exact, n_bytes);
        free(exact);
}

static int corpus_add_file(const char *path)
{
        int r;

        if (n_corpus == CORPUS_FILES_MAX) {
                (void)fprintf(stderr, "%s: there is room for %d files in the corpus\n", path,
                              CORPUS_FILES_MAX);
                return -1;
        }
        r = hex_file_read(path, &corpus[n_corpus].bytes, &corpus[n_corpus].n_bytes);
        if (r < 0) {
                (void)fprintf(stderr, "%s: %s\n", path, strerror(-r));
                return r;
        }
        n_corpus++;
        return 0;
}

static int corpus_add(const char *path)
{
        struct dirent **entries;
        struct stat status;
        int n, r = 0;

        if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
                return corpus_add_file(path);
        n = scandir(path, &entries, NULL, alphasort); /* sorted: the same seed is the same run anywhere */
        for (int i = 0; i < n; i++) {
                char inside[4096];

                (void)snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
                if (r == 0 && entries[i]->d_name[0] != '.')
                        r = corpus_add_file(inside);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return n < 0 ? -1 : r;
}

static void fuzz(uint64_t n_runs)
{
        static uint8_t bytes[INPUT_BYTES_MAX];

        run(bytes, 0);
        for (size_t i = 0; i < n_corpus; i++)
                run(corpus[i].bytes, corpus[i].n_bytes);
        if (n_corpus == 0) { /* nothing to start from: zeros are as good as anything */
                corpus[0].bytes = calloc(1, 64);
                corpus[0].n_bytes = corpus[0].bytes ? 64 : 0;
                n_corpus = 1;
        }
        for (uint64_t i = 0; i < n_runs; i++)
                run(bytes, input_make(bytes));
}

static double now_s(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int usage(const char *name)
{
        (void)fprintf(stderr, "usage: %s [--runs=N] [--seed=S] [FILE|DIRECTORY]...\n", name);
        return 2;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {
                {"runs", required_argument, NULL, 'r'}, {"seed", required_argument, NULL, 's'}, {0}};
        uint64_t n_runs = 1000000, seed;
        const double begin_s = now_s();
        size_t n_files;
        int option, r = 0;

        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
                seed = (uint64_t)time(NULL);
        while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (option == 'r')
                        n_runs = strtoull(optarg, NULL, 0);
                else if (option == 's')
                        seed = strtoull(optarg, NULL, 0);
                else
                        return usage(argv[0]);
        }
        for (int i = optind; i < argc && r == 0; i++)
                r = corpus_add(argv[i]);
        if (r != 0)
                return 2;
        n_files = n_corpus;
        random_state = seed;
        (void)printf("%s: seed %" PRIu64 "\n", program_invocation_short_name, seed);
        (void)fflush(stdout);
        crash_watch();
        fuzz(n_runs);
        (void)printf("%zu corpus files and %" PRIu64 " mutations in %.1f s\n", n_files, n_runs,
                     now_s() - begin_s);
        if (fuzz_summary)
                r = fuzz_summary(n_runs);
        for (size_t i = 0; i < n_corpus; i++)
                free(corpus[i].bytes);
        return r;
}
