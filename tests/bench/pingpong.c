/* SPDX-License-Identifier: MIT */
/* pingpong.c - see pingpong.h. */
#include "tests/bench/pingpong.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/lib/process.h"

enum { BALL_BYTES = 64 };

/* Each side's word counts its strokes, on a cache line of its own. */
struct table {
        _Alignas(64) _Atomic uint32_t there;
        _Alignas(64) _Atomic uint32_t back;
};

struct pingpong {
        enum pingpong_kind kind;
        pid_t pid;
        int fd;              /* owned */
        struct table *table; /* owned: shared with the other process */
        uint32_t n_strokes;
};

static void word_wait(_Atomic uint32_t *word, uint32_t old)
{
        while (atomic_load(word) == old)
                (void)syscall(SYS_futex, word, FUTEX_WAIT, old, NULL, NULL,
                              0); /* woken, changed, or a signal */
}

static void word_set(_Atomic uint32_t *word, uint32_t value)
{
        atomic_store(word, value);
        (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* A stream may cut it. */
static void ball_catch(int fd)
{
        char ball[BALL_BYTES];

        for (size_t n = 0; n < sizeof ball;) {
                const ssize_t r = read(fd, ball + n, sizeof ball - n);

                if (r <= 0)
                        die(r < 0 ? errno : 0, "the other end of a socket has gone");
                n += (size_t)r;
        }
}

static void ball_throw(int fd)
{
        const char ball[BALL_BYTES] = {0};

        if (write(fd, ball, sizeof ball) != (ssize_t)sizeof ball)
                die(errno, "write to a socket");
}

static _Noreturn void other_side(const struct pingpong *pingpong, int fd)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint32_t i = 0;; i++) {
                if (pingpong->kind == PINGPONG_SOCKET) {
                        ball_catch(fd);
                        ball_throw(fd);
                } else {
                        word_wait(&pingpong->table->there, i);
                        word_set(&pingpong->table->back, i + 1);
                }
        }
}

struct pingpong *pingpong_new(enum pingpong_kind kind, int cpu)
{
        struct pingpong *pingpong = calloc(1, sizeof *pingpong);
        int fds[2];

        if (!pingpong || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                die(errno, "a pair of sockets");
        pingpong->kind = kind;
        pingpong->table = mmap(NULL, sizeof *pingpong->table, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (pingpong->table == MAP_FAILED)
                die(errno, "shared memory");
        pingpong->pid = fork();
        if (pingpong->pid < 0)
                die(errno, "fork");
        if (pingpong->pid == 0) {
                (void)close(fds[0]);
                cpu_pin(cpu);
                other_side(pingpong, fds[1]);
        }
        (void)close(fds[1]);
        pingpong->fd = fds[0];
        return pingpong;
}

struct pingpong *pingpong_free(struct pingpong *pingpong)
{
        if (pingpong) {
                (void)kill(pingpong->pid, SIGKILL);
                (void)waitpid(pingpong->pid, NULL, 0);
                (void)close(pingpong->fd);
                (void)munmap(pingpong->table, sizeof *pingpong->table);
                free(pingpong);
        }
        return NULL;
}

void pingpong_go(struct pingpong *pingpong)
{
        if (pingpong->kind == PINGPONG_SOCKET) {
                ball_throw(pingpong->fd);
                ball_catch(pingpong->fd);
        } else {
                word_set(&pingpong->table->there, pingpong->n_strokes + 1);
                word_wait(&pingpong->table->back, pingpong->n_strokes);
                pingpong->n_strokes++;
        }
}
