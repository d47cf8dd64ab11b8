/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-crew.c - bench_measure(): client processes, and the one that watches over them.
 *
 * Role:   makes each B, forks the clients, opens the gate when all are ready, asks for the daemon's status on both
 *         sides of the interval, shows progress, adds up what the clients have written down.
 * In:     the plan; exits of clients; SIGINT and SIGTERM, which end the interval early.
 * Out:    a result, or one line of failure: the first client's that failed, or died without a word.
 * Thread: one in each process.
 * Owns:   the client processes: none of them is left when it returns, nor when it dies.
 */
#include "cli-bench.h"
#include "cli-bench-random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define START_DELAY_NS 20000000u   /* from the gate to the first job: all clients are awake by then */
#define TICK_NS        1000000000u /* from one progress line to the next */
#define REST_NS        100000000u  /* how long a wait may be that only a signal can end */
#define IMPATIENT_NS   500000000u  /* from a first signal to a second that is meant: some senders send two */

struct crew {
        const struct cli_common *common;
        const struct bench_plan *plan;
        struct bench_shared *shared; /* owned */
        size_t shared_bytes;
        int8_t **bs; /* owned, with what it points to: each B */
        pid_t *pids; /* owned; of each client; 0: none, or it has ended */
        size_t n_ready, n_running;
        int ready_fd, signal_fd; /* owned */
        int gate_fds[2];         /* owned; closing the second opens the gate */
        sigset_t old_signals;
        uint64_t interrupted_ns; /* when SIGINT or SIGTERM came; 0: it has not */
        bool shows_progress;
        uint64_t next_tick_ns;
        struct npumm_client *client; /* owned: of the watcher */
};

/* ---- progress ---- */

static uint64_t jobs_so_far(const struct crew *crew)
{
        uint64_t n = 0;

        for (size_t i = 0; i < crew->plan->clients; i++)
                n += crew->shared->tallies[i].jobs;
        return n;
}

static void progress_show(struct crew *crew, uint64_t now_ns)
{
        const struct bench_shared *shared = crew->shared;
        double s;

        if (!crew->shows_progress || now_ns < crew->next_tick_ns)
                return;
        crew->next_tick_ns = now_ns + TICK_NS;
        if (shared->measure_ns == 0) {
                (void)dprintf(STDERR_FILENO, "\r\033[K%zu of %" PRIu64 " clients are ready", crew->n_ready,
                              crew->plan->clients);
        } else if (now_ns >= shared->end_ns) {
                (void)dprintf(STDERR_FILENO,
                              "\r\033[Kwaiting for outstanding jobs of clients, %zu left; Ctrl-C %s gives up",
                              crew->n_running, crew->interrupted_ns != 0 ? "again" : "twice");
        } else if (now_ns < shared->measure_ns) {
                (void)dprintf(STDERR_FILENO, "\r\033[Kwarming up");
        } else {
                s = (double)(now_ns - shared->measure_ns) / 1e9;
                (void)dprintf(STDERR_FILENO, "\r\033[K%.0f of %.0f s: %" PRIu64 " jobs, %.1f jobs/s", s,
                              crew->plan->seconds, jobs_so_far(crew),
                              s > 0 ? (double)jobs_so_far(crew) / s : 0);
        }
}

static void progress_erase(const struct crew *crew)
{
        if (crew->shows_progress)
                (void)dprintf(STDERR_FILENO, "\r\033[K");
}

/* cli_fail on a line of its own. */
_printf_(3, 4) static enum cli_exit
        crew_fail(const struct crew *crew, enum cli_exit code, const char *format, ...)
{
        char text[NPUMM_TEXT_MAX];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        progress_erase(crew);
        return cli_fail(code, "%s", text);
}

/* ---- watching ---- */

static enum cli_exit client_ended(struct crew *crew, size_t number, int status)
{
        const struct bench_tally *tally = &crew->shared->tallies[number];

        crew->pids[number] = 0;
        crew->n_running--;
        if (tally->state == BENCH_FINISHED)
                return CLI_DONE;
        if (tally->state == BENCH_FAILED)
                return crew_fail(crew, tally->code, "%s", tally->text);
        if (WIFSIGNALED(status))
                return crew_fail(crew, CLI_FAILED,
                                 "client process %zu was killed by signal %d; the results are void", number,
                                 WTERMSIG(status));
        return crew_fail(crew, CLI_FAILED, "client process %zu ended by itself with %d; the results are void",
                         number, WEXITSTATUS(status));
}

static enum cli_exit clients_reap(struct crew *crew)
{
        for (size_t i = 0; i < crew->plan->clients; i++) {
                enum cli_exit r;
                int status;

                if (crew->pids[i] == 0 || waitpid(crew->pids[i], &status, WNOHANG) != crew->pids[i])
                        continue;
                r = client_ended(crew, i, status);
                if (r != CLI_DONE)
                        return r;
        }
        return CLI_DONE;
}

static enum cli_exit signals_take(struct crew *crew)
{
        struct signalfd_siginfo info;
        bool has_child = false;

        while (read(crew->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
                if (info.ssi_signo == SIGCHLD)
                        has_child = true;
                else if (crew->interrupted_ns == 0)
                        crew->next_tick_ns = crew->interrupted_ns =
                                bench_now_ns(); /* show that it was heard */
                else if (bench_now_ns() - crew->interrupted_ns > IMPATIENT_NS)
                        return crew_fail(crew, CLI_FAILED, "interrupted twice; nothing was reported");
        }
        return has_child ? clients_reap(crew) : CLI_DONE;
}

/* Until something has happened, or it is time; seeing to whatever has. */
static enum cli_exit crew_wait(struct crew *crew, uint64_t until_ns)
{
        struct pollfd fds[] = {
                {.fd = crew->signal_fd, .events = POLLIN},
                {.fd = crew->ready_fd, .events = POLLIN},
        };
        const uint64_t now_ns = bench_now_ns();
        const uint64_t left_ns = until_ns > now_ns ? MIN(until_ns - now_ns, (uint64_t)REST_NS) : 0;
        const struct timespec left = {.tv_nsec = (long)left_ns};
        uint64_t n;

        progress_show(crew, now_ns);
        if (ppoll(fds, ARRAY_SIZE(fds), &left, NULL) < 0 && errno != EINTR)
                return crew_fail(crew, CLI_FAILED, "cannot wait for the clients: %s", strerror(errno));
        if (read(crew->ready_fd, &n, sizeof n) == (ssize_t)sizeof n)
                crew->n_ready += n;
        return signals_take(crew);
}

/* ---- beginning ---- */

static enum cli_exit bs_make(struct crew *crew)
{
        const struct bench_shapes *shapes = &crew->plan->shapes;

        crew->bs = calloc(shapes->n_bs, sizeof *crew->bs);
        for (size_t i = 0; crew->bs && i < shapes->n_bs; i++) {
                const uint64_t k = shapes->bs[i].k, n = shapes->bs[i].n;
                struct bench_random random = bench_random_of(crew->plan->seed, BENCH_RANDOM_B, k, n);

                crew->bs[i] = malloc(k * n);
                if (!crew->bs[i])
                        return cli_fail(CLI_FAILED,
                                        "out of memory: B needs %" PRIu64 " bytes; use smaller shapes",
                                        k * n);
                bench_random_fill(&random, crew->bs[i], k * n);
        }
        return crew->bs ? CLI_DONE : cli_fail(CLI_FAILED, "out of memory; use fewer shapes");
}

/* Signals are blocked rather than caught: they then wait to be read, and clients inherit that. */
static enum cli_exit files_open(struct crew *crew)
{
        sigset_t signals;

        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigaddset(&signals, SIGCHLD);
        crew->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        crew->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (crew->ready_fd < 0 || crew->signal_fd < 0 || pipe2(crew->gate_fds, O_CLOEXEC) < 0)
                return cli_fail(CLI_FAILED, "cannot set up the benchmark: %s", strerror(errno));
        (void)sigprocmask(SIG_BLOCK, &signals, &crew->old_signals);
        return CLI_DONE;
}

_Noreturn static void client_main(const struct crew *crew, size_t number, pid_t watcher)
{
        const struct bench_client_options options = {
                .plan = crew->plan,
                .common = crew->common,
                .shared = crew->shared,
                .number = number,
                .bs = crew->bs,
                .ready_fd = crew->ready_fd,
                .gate_fd = crew->gate_fds[0],
        };

        /* Nobody would read the results of a client whose watcher is gone. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != watcher)
                _exit(1);
        (void)prctl(PR_SET_TIMERSLACK, 1L); /* jobs are due to the microsecond */
        (void)close(crew->gate_fds[1]);     /* or the gate would never open */
        bench_client_run(&options);
        _exit(0);
}

static enum cli_exit clients_start(struct crew *crew)
{
        const pid_t watcher = getpid();

        crew->shared_bytes = sizeof *crew->shared + crew->plan->clients * sizeof crew->shared->tallies[0];
        crew->shared =
                mmap(NULL, crew->shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (crew->shared == MAP_FAILED)
                crew->shared = NULL;
        crew->pids = calloc(crew->plan->clients, sizeof *crew->pids);
        if (!crew->shared || !crew->pids)
                return cli_fail(CLI_FAILED, "out of memory; use fewer clients");
        crew->shared->end_ns = UINT64_MAX;
        (void)fflush(stdout);
        for (size_t i = 0; i < crew->plan->clients; i++) {
                const pid_t pid = fork();

                if (pid == 0)
                        client_main(crew, i, watcher);
                if (pid < 0)
                        return cli_fail(CLI_FAILED, "cannot fork: %s; use fewer clients", strerror(errno));
                crew->pids[i] = pid;
                crew->n_running++;
        }
        return CLI_DONE;
}

/* ---- the interval ---- */

static enum cli_exit status_take(struct crew *crew, char **ret_json)
{
        const int r = npumm_daemon_status(crew->client, ret_json);
        char text[NPUMM_TEXT_MAX];

        if (r == 0)
                return CLI_DONE;
        cli_explain(crew->client, r, &(struct cli_asked){0}, text);
        return crew_fail(crew, CLI_FAILED, "%s", text);
}

static enum cli_exit await_ready(struct crew *crew)
{
        while (crew->n_ready < crew->plan->clients && crew->interrupted_ns == 0) {
                const enum cli_exit r = crew_wait(crew, UINT64_MAX);

                if (r != CLI_DONE)
                        return r;
        }
        return CLI_DONE;
}

static void gate_open(struct crew *crew)
{
        struct bench_shared *shared = crew->shared;

        shared->start_ns = bench_now_ns() + START_DELAY_NS;
        shared->measure_ns = shared->start_ns + (uint64_t)(crew->plan->warmup_s * 1e9);
        shared->end_ns = shared->measure_ns + (uint64_t)(crew->plan->seconds * 1e9);
        (void)close(steal_fd(&crew->gate_fds[1]));
}

static enum cli_exit await_time(struct crew *crew, uint64_t ns)
{
        while (bench_now_ns() < ns && crew->interrupted_ns == 0) {
                const enum cli_exit r = crew_wait(crew, ns);

                if (r != CLI_DONE)
                        return r;
        }
        return CLI_DONE;
}

/* The clients are ready. Afterwards they send no more. */
static enum cli_exit interval_watch(struct crew *crew, struct bench_result *result)
{
        struct bench_shared *shared = crew->shared;
        enum cli_exit r;

        gate_open(crew);
        r = await_time(crew, shared->measure_ns);
        if (r == CLI_DONE && crew->interrupted_ns != 0)
                r = crew_fail(crew, CLI_FAILED, "interrupted before anything was measured");
        if (r == CLI_DONE)
                r = status_take(crew, &result->status_before);
        if (r == CLI_DONE)
                r = await_time(crew, shared->end_ns);
        if (crew->interrupted_ns != 0)
                shared->end_ns = bench_now_ns();
        result->seconds = (double)(shared->end_ns - shared->measure_ns) / 1e9;
        if (r == CLI_DONE)
                r = status_take(crew, &result->status_after);
        while (r == CLI_DONE && crew->n_running > 0)
                r = crew_wait(crew, UINT64_MAX);
        return r;
}

static void result_add(struct bench_result *result, const struct bench_tally *tally)
{
        result->jobs += tally->jobs;
        result->macs += tally->macs;
        result->refused += tally->refused;
        result->expired += tally->expired;
        result->unsent += tally->unsent;
        if (result->failed == 0)
                memcpy(result->failure, tally->failure, sizeof result->failure);
        result->failed += tally->failed;
        bench_latency_merge(&result->latency, &tally->latency);
}

static enum cli_exit crew_run(struct crew *crew, struct bench_result *result)
{
        enum cli_exit r;

        r = bs_make(crew);
        if (r == CLI_DONE)
                r = files_open(crew);
        if (r == CLI_DONE)
                r = clients_start(crew);
        if (r == CLI_DONE)
                r = await_ready(crew);
        if (r == CLI_DONE && crew->interrupted_ns != 0)
                r = crew_fail(crew, CLI_FAILED, "interrupted before anything was measured");
        progress_erase(crew);
        if (r == CLI_DONE)
                r = cli_connect(crew->common, &crew->client);
        if (r == CLI_DONE)
                r = interval_watch(crew, result);
        progress_erase(crew);
        for (size_t i = 0; r == CLI_DONE && i < crew->plan->clients; i++)
                result_add(result, &crew->shared->tallies[i]);
        return r;
}

static void crew_deinit(struct crew *crew)
{
        npumm_close(crew->client);
        for (size_t i = 0; crew->pids && i < crew->plan->clients; i++) {
                if (crew->pids[i] == 0)
                        continue;
                (void)kill(crew->pids[i], SIGKILL);
                (void)waitpid(crew->pids[i], NULL, 0);
        }
        for (size_t i = 0; crew->bs && i < crew->plan->shapes.n_bs; i++)
                free(crew->bs[i]);
        free(crew->bs);
        free(crew->pids);
        if (crew->shared)
                (void)munmap(crew->shared, crew->shared_bytes);
        closep(&crew->ready_fd);
        closep(&crew->signal_fd);
        closep(&crew->gate_fds[0]);
        closep(&crew->gate_fds[1]);
        (void)sigprocmask(SIG_SETMASK, &crew->old_signals, NULL);
}

enum cli_exit bench_measure(const struct cli_common *common, const struct bench_plan *plan,
                            struct bench_result *ret_result)
{
        struct crew crew = {
                .common = common,
                .plan = plan,
                .ready_fd = -1,
                .signal_fd = -1,
                .gate_fds = {-1, -1},
                .shows_progress = isatty(STDERR_FILENO) == 1,
                .next_tick_ns = bench_now_ns() + TICK_NS,
        };
        enum cli_exit r;

        *ret_result = (struct bench_result){0};
        (void)sigprocmask(SIG_BLOCK, NULL, &crew.old_signals);
        r = crew_run(&crew, ret_result);
        if (r != CLI_DONE)
                bench_result_deinit(ret_result);
        crew_deinit(&crew);
        return r;
}

void bench_result_deinit(struct bench_result *result)
{
        free(result->status_before);
        free(result->status_after);
        *result = (struct bench_result){0};
}
