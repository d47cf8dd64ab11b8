/* SPDX-License-Identifier: MIT */
/* crew.c - see crew.h. */
#include "tests/bench/crew.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/lib/process.h"

/* To a client. Its first answer is unasked: whether it is connected. */
struct order {
        size_t mode;
        uint64_t end_ns; /* work until then; 0: tell of all turns of the mode */
};

struct answer {
        bool is_connected;
        uint64_t n_jobs, end_ns, cpu_ns;
        double p50_us, p99_us; /* of the turn, or of the mode */
};

static void send_whole(int fd, const void *bytes, size_t n_bytes)
{
        if (send(fd, bytes, n_bytes, MSG_NOSIGNAL) != (ssize_t)n_bytes)
                die(errno, "a client of the crew");
}

/* False: the other end has gone. */
static bool receive_whole(int fd, void *ret_bytes, size_t n_bytes)
{
        const ssize_t n = recv(fd, ret_bytes, n_bytes, 0);

        if (n != 0 && n != (ssize_t)n_bytes)
                die(n < 0 ? errno : 0, "a client of the crew");
        return n != 0;
}

static void receive_answer(int fd, struct answer *ret_answer)
{
        if (!receive_whole(fd, ret_answer, sizeof *ret_answer))
                die(0, "a client of the crew has ended");
}

static struct answer work(struct load *load, const struct order *order, struct samples *all)
{
        struct samples turn;
        const uint64_t cpu_before_ns = cpu_ns(getpid());
        const size_t n_before = all->n;
        struct answer answer = {0};

        load_run(load, 1, order->end_ns, all);
        answer.end_ns = now_ns();
        answer.cpu_ns = cpu_ns(getpid()) - cpu_before_ns;
        turn = (struct samples){.values = all->values + n_before,
                                .n = all->n - n_before}; /* sorted in its place */
        answer.n_jobs = turn.n;
        answer.p50_us = samples_median(&turn);
        answer.p99_us = samples_quantile(&turn, 0.99);
        return answer;
}

static _Noreturn void client_run(int fd, int cpu, const struct load_spec *spec)
{
        struct samples samples[CREW_MODES] = {0};
        static struct load load;
        struct order order;
        struct answer answer = {0};
        bool is_connected;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        cpu_pin(cpu);
        answer.is_connected = is_connected = load_open(&load, spec);
        send_whole(fd, &answer, sizeof answer);
        while (receive_whole(fd, &order, sizeof order)) {
                struct samples *all = &samples[order.mode];

                if (order.end_ns > 0)
                        answer = work(&load, &order, all);
                else
                        answer = (struct answer){.p50_us = samples_median(all),
                                                 .p99_us = samples_quantile(all, 0.99)};
                send_whole(fd, &answer, sizeof answer);
        }
        if (is_connected)
                load_close(&load);
        _exit(0);
}

static void client_start(struct crew *crew, int cpu, const struct load_spec *spec)
{
        int fds[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                die(errno, "a pair of sockets");
        pid = fork();
        if (pid < 0)
                die(errno, "fork");
        if (pid == 0) {
                for (size_t i = 0; i < crew->n; i++)
                        (void)close(crew->fds[i]); /* or the others never see that they are told to end */
                (void)close(fds[0]);
                client_run(fds[1], cpu, spec);
        }
        (void)close(fds[1]);
        crew->pids[crew->n] = pid;
        crew->fds[crew->n++] = fds[0];
}

bool crew_start(struct crew *crew, size_t n, int cpu, const struct load_spec *spec)
{
        bool is_connected = true;

        crew->n = 0;
        while (crew->n < n)
                client_start(crew, cpu, spec);
        for (size_t i = 0; i < n; i++) {
                struct answer answer;

                receive_answer(crew->fds[i], &answer);
                is_connected = is_connected && answer.is_connected;
        }
        if (!is_connected)
                crew_stop(crew);
        return is_connected;
}

struct crew_turn crew_work(struct crew *crew, size_t mode, uint64_t turn_ns)
{
        const uint64_t start_ns = now_ns();
        const struct order order = {.mode = mode, .end_ns = start_ns + turn_ns};
        struct crew_turn turn = {0};
        uint64_t end_ns = start_ns;

        for (size_t i = 0; i < crew->n; i++)
                send_whole(crew->fds[i], &order, sizeof order);
        for (size_t i = 0; i < crew->n; i++) {
                struct answer answer;

                receive_answer(crew->fds[i], &answer);
                turn.n_jobs += answer.n_jobs;
                turn.client_cpu_ns += answer.cpu_ns;
                if (answer.end_ns > end_ns)
                        end_ns = answer.end_ns;
                if (answer.p99_us > turn.p99_us) {
                        turn.p50_us = answer.p50_us;
                        turn.p99_us = answer.p99_us;
                }
        }
        turn.seconds = (double)(end_ns - start_ns) / 1e9;
        return turn;
}

void crew_ask(struct crew *crew, size_t mode, struct crew_client *ret_clients)
{
        const struct order order = {.mode = mode};

        for (size_t i = 0; i < crew->n; i++) {
                struct answer answer;

                send_whole(crew->fds[i], &order, sizeof order);
                receive_answer(crew->fds[i], &answer);
                ret_clients[i] = (struct crew_client){.p50_us = answer.p50_us, .p99_us = answer.p99_us};
        }
}

void crew_stop(struct crew *crew)
{
        for (size_t i = 0; i < crew->n; i++)
                (void)close(crew->fds[i]);
        for (size_t i = 0; i < crew->n; i++) {
                int status;

                if (waitpid(crew->pids[i], &status, 0) < 0 || status != 0)
                        die(0, "a client of the crew has failed");
        }
        crew->n = 0;
}
