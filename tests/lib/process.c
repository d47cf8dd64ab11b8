/* SPDX-License-Identifier: MIT */
/* process.c - see process.h. */
#include "tests/lib/process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define READY_TIMEOUT_MS 30000 /* sanitized programs on a loaded machine */

void die(int error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
        exit(1);
}

static void notify_open(struct daemon_process *process)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", process->notify_path);
        process->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (process->notify_fd < 0 ||
            bind(process->notify_fd, (const struct sockaddr *)&address, sizeof address) < 0)
                die(errno, "notify socket %s", process->notify_path);
}

static void ready_await(struct daemon_process *process)
{
        struct pollfd pollfds[] = {
                {.fd = process->notify_fd, .events = POLLIN},
                {.fd = (int)syscall(SYS_pidfd_open, process->pid, 0), .events = POLLIN},
        };
        char text[1024];
        ssize_t n;

        for (;;) {
                if (poll(pollfds, ARRAY_SIZE(pollfds), READY_TIMEOUT_MS) <= 0)
                        die(0, "the daemon has not said READY=1 within %d ms", READY_TIMEOUT_MS);
                if (!(pollfds[0].revents & POLLIN))
                        die(0, "the daemon has ended before it was ready");
                n = recv(process->notify_fd, text, sizeof text - 1, 0);
                if (n < 0)
                        die(errno, "notify socket");
                text[n] = '\0';
                if (strstr(text, "READY=1"))
                        break;
        }
        closep(&pollfds[1].fd);
}

static void config_write(const char *path, const char *lines)
{
        FILE *file = fopen(path, "we");

        if (!file)
                die(errno, "%s", path);
        (void)fprintf(file, "[npumatmuld]\n%s", lines ? lines : "");
        if (fclose(file) != 0)
                die(errno, "%s", path);
}

void daemon_process_start(struct daemon_process *process, const char *program, const char *config_lines)
{
        char config_path[96], config_option[128], socket_option[128];

        (void)snprintf(process->directory, sizeof process->directory, "/tmp/npumm-test.XXXXXX");
        if (!mkdtemp(process->directory))
                die(errno, "%s", process->directory);
        (void)snprintf(process->socket_path, sizeof process->socket_path, "%s/socket", process->directory);
        (void)snprintf(process->notify_path, sizeof process->notify_path, "%s/notify", process->directory);
        (void)snprintf(config_path, sizeof config_path, "%s/conf", process->directory);
        (void)snprintf(config_option, sizeof config_option, "--config=%s", config_path);
        (void)snprintf(socket_option, sizeof socket_option, "--socket=%s", process->socket_path);
        config_write(config_path, config_lines);
        notify_open(process);
        process->pid = fork();
        if (process->pid < 0)
                die(errno, "fork");
        if (process->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves no daemon behind */
                (void)setenv("NOTIFY_SOCKET", process->notify_path, 1);
                (void)execl(program, program, socket_option, config_option, "--backend=cpu",
                            "--log-level=warning", (char *)NULL);
                die(errno, "%s", program);
        }
        ready_await(process);
}

void daemon_process_stop(struct daemon_process *process)
{
        char path[128];
        int status;

        if (kill(process->pid, SIGTERM) < 0 || waitpid(process->pid, &status, 0) < 0)
                die(errno, "stopping the daemon");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                die(0, "the daemon ended with wait status 0x%x; it should exit with 0", (unsigned)status);
        (void)close(process->notify_fd);
        (void)unlink(process->notify_path);
        (void)snprintf(path, sizeof path, "%s/conf", process->directory);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s.lock", process->socket_path);
        (void)unlink(path);
        if (rmdir(process->directory) < 0)
                die(errno, "%s is not empty: the daemon has left something", process->directory);
}

static uint64_t status_kib(const char *text, const char *key)
{
        const char *line = strstr(text, key);
        uint64_t value = 0;

        if (!line || sscanf(line + strlen(key), "%" SCNu64, &value) != 1)
                die(0, "/proc/PID/status has no %s", key);
        return value;
}

void process_usage_read(pid_t pid, struct process_usage *ret_usage)
{
        char path[64], text[8192];
        size_t n;
        FILE *file;
        DIR *dir;

        (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        file = fopen(path, "re");
        if (!file)
                die(errno, "%s", path);
        n = fread(text, 1, sizeof text - 1, file);
        text[n] = '\0';
        (void)fclose(file);
        ret_usage->shmem_bytes = status_kib(text, "RssShmem:") * 1024;
        ret_usage->rss_bytes = status_kib(text, "VmRSS:") * 1024 - ret_usage->shmem_bytes;
        (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        if (!dir)
                die(errno, "%s", path);
        ret_usage->n_fds = 0;
        while (readdir(dir))
                ret_usage->n_fds++;
        (void)closedir(dir);
}
