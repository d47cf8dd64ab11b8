/* SPDX-License-Identifier: MIT */
/* xrt-process.c - see xrt-process.h. */
#include "daemon/device/xrt-process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/version.h"

/* A message that the socket has not taken yet. */
struct parcel {
        STAILQ_ENTRY(parcel) link;
        int fd; /* owned; -1: none */
        size_t n_bytes;
        uint8_t bytes[];
};

struct xrt_process {
        const struct xrt_process_events *events; /* borrowed: outlives us */
        void *userdata;
        uint64_t serial;
        uv_process_t process;
        uv_poll_t poll;
        int socket;             /* owned; -1: closed */
        struct wire_gate *gate; /* owned mapping of one page */
        STAILQ_HEAD(, parcel) parcels;
        unsigned n_handles; /* of libuv, that are open */
        bool is_ended, is_gone, is_left;
        int send_error; /* -errno: something could not be sent, and it is as good as dead; 0: all was */
};

/* ---- sending ---- */

static void parcel_free(struct parcel *parcel)
{
        if (parcel->fd >= 0)
                (void)close(parcel->fd);
        free(parcel);
}

/* 0, or -errno: -EAGAIN is for later. */
static int message_send(const struct xrt_process *process, const void *bytes, size_t n_bytes, int fd)
{
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n_bytes};
        struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (fd >= 0) {
                header.msg_control = control.bytes;
                header.msg_controllen = sizeof control.bytes;
                control.header = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        }
        do
                n = sendmsg(process->socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_start(struct xrt_process *process)
{
        const int writable = STAILQ_EMPTY(&process->parcels) ? 0 : UV_WRITABLE;

        (void)uv_poll_start(&process->poll, UV_READABLE | writable, on_poll);
}

/* It would wait for what it never gets. That is said in the loop's next turn, when the socket is found at its end. */
static void send_failed(struct xrt_process *process, int r)
{
        if (r == -EPIPE) /* by itself */
                return;
        process->send_error = r;
        (void)shutdown(process->socket, SHUT_RDWR);
}

static void parcels_send(struct xrt_process *process)
{
        struct parcel *parcel;
        int r = 0;

        while (r == 0 && (parcel = STAILQ_FIRST(&process->parcels))) {
                r = message_send(process, parcel->bytes, parcel->n_bytes, parcel->fd);
                if (r == -EAGAIN)
                        break;
                STAILQ_REMOVE_HEAD(&process->parcels, link);
                parcel_free(parcel);
                if (r < 0)
                        send_failed(process, r);
        }
        poll_start(process);
}

static void message_put(struct xrt_process *process, const void *message, size_t n_bytes, int fd)
{
        struct parcel *parcel;
        int r = -EAGAIN;

        if (process->is_ended || process->send_error != 0)
                return;
        if (STAILQ_EMPTY(&process->parcels))
                r = message_send(process, message, n_bytes, fd);
        if (r != -EAGAIN) {
                if (r < 0)
                        send_failed(process, r);
                return;
        }
        parcel = malloc(sizeof *parcel + n_bytes);
        if (!parcel) {
                send_failed(process, -ENOMEM);
                return;
        }
        parcel->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0 && parcel->fd < 0) {
                send_failed(process, -errno);
                free(parcel);
                return;
        }
        parcel->n_bytes = n_bytes;
        memcpy(parcel->bytes, message, n_bytes);
        STAILQ_INSERT_TAIL(&process->parcels, parcel, link);
        poll_start(process);
}

void xrt_process_send(struct xrt_process *process, const void *message, size_t n_bytes)
{
        message_put(process, message, n_bytes, -1);
}

void xrt_process_give(struct xrt_process *process, struct region *region)
{
        const struct wire_region message = {
                .kind = WIRE_REGION,
                .is_writable = region->is_writable,
                .id = region->id,
                .size_bytes = region->size_bytes,
        };

        if (region->known_to == process->serial)
                return;
        region->known_to = process->serial;
        message_put(process, &message, sizeof message, region->fd);
}

void xrt_process_forget(struct xrt_process *process, struct region *region)
{
        const struct wire_forget message = {.kind = WIRE_FORGET, .id = region->id};

        if (region->known_to != process->serial)
                return;
        region->known_to = 0;
        message_put(process, &message, sizeof message, -1);
}

/* ---- its end ---- */

static void free_if_over(struct xrt_process *process)
{
        if (process->n_handles > 0)
                return;
        if (!process->is_left)
                process->events->gone(process->userdata, process);
        (void)munmap(process->gate, (size_t)sysconf(_SC_PAGESIZE));
        free(process);
}

static void on_handle_closed(uv_handle_t *handle)
{
        struct xrt_process *process = handle->data;

        process->n_handles--;
        free_if_over(process);
}

/* Its socket, and all that was to go there. */
static void talk_end(struct xrt_process *process)
{
        struct parcel *parcel;

        while ((parcel = STAILQ_FIRST(&process->parcels))) {
                STAILQ_REMOVE_HEAD(&process->parcels, link);
                parcel_free(parcel);
        }
        uv_close((uv_handle_t *)&process->poll, on_handle_closed);
        (void)close(steal_fd(&process->socket));
}

void xrt_process_end(struct xrt_process *process)
{
        if (process->is_ended)
                return;
        process->is_ended = true;
        talk_end(process);
        (void)wire_gate_close(process->gate);
        if (!process->is_gone)
                (void)uv_process_kill(&process->process, SIGKILL);
}

bool xrt_process_is_harmless(struct xrt_process *process)
{
        return process->is_gone || wire_gate_close(process->gate);
}

void xrt_process_leave(struct xrt_process *process)
{
        assert(process->is_ended);
        process->is_left = true;
        if (!process->is_gone)
                uv_close((uv_handle_t *)&process->process, on_handle_closed);
        process->is_gone = true;
}

static void fail(struct xrt_process *process, enum wire_cause cause, const char *text)
{
        xrt_process_end(process);
        process->events->failed(process->userdata, cause, text);
}

/* ---- receiving ---- */

static bool text_is_whole(const char text[WIRE_TEXT_MAX])
{
        return memchr(text, '\0', WIRE_TEXT_MAX) != NULL;
}

static bool ready_is_right(const struct wire_ready *ready)
{
        return text_is_whole(ready->build) && text_is_whole(ready->device) && text_is_whole(ready->driver) &&
               text_is_whole(ready->firmware) && text_is_whole(ready->power_mode);
}

/* A package may be upgraded under a daemon that runs. Of another version only the beginning is known. */
static bool ready_take(struct xrt_process *process, const struct wire_ready *ready, size_t n_bytes)
{
        const bool is_whole = n_bytes == sizeof *ready;
        char text[WIRE_TEXT_MAX];

        if (n_bytes < offsetof(struct wire_ready, version) + sizeof ready->version)
                return false;
        if (ready->version == WIRE_VERSION && (!is_whole || !ready_is_right(ready)))
                return false;
        if (ready->version != WIRE_VERSION || strcmp(ready->build, DAEMON_VERSION) != 0) {
                (void)snprintf(text, sizeof text, "it speaks version %u, and is of %.64s; this is %d, of %s",
                               ready->version, is_whole ? ready->build : "another build", WIRE_VERSION,
                               DAEMON_VERSION);
                fail(process, WIRE_CAUSE_BUILD, text);
                return true;
        }
        process->events->ready(process->userdata, ready);
        return true;
}

/* False: it makes no sense. */
static bool reply_take(struct xrt_process *process, const union wire_reply *reply, size_t n_bytes)
{
        if (n_bytes < sizeof reply->kind)
                return false;
        switch (reply->kind) {
        case WIRE_READY:
                return ready_take(process, &reply->ready, n_bytes);
        case WIRE_DONE:
                if (n_bytes != sizeof reply->done)
                        return false;
                process->events->done(process->userdata, &reply->done);
                return true;
        case WIRE_PONG:
                if (n_bytes != sizeof reply->pong)
                        return false;
                process->events->pong(process->userdata);
                return true;
        case WIRE_FAILED:
                if (n_bytes != sizeof reply->failed || !text_is_whole(reply->failed.text))
                        return false;
                fail(process,
                     reply->failed.cause < WIRE_CAUSE_MAX ? (enum wire_cause)reply->failed.cause
                                                          : WIRE_CAUSE_WORKER,
                     reply->failed.text);
                return true;
        default:
                return false;
        }
}

/* At the end of the socket, by whoever's doing. */
static void hung_up(struct xrt_process *process)
{
        char text[WIRE_TEXT_MAX];

        (void)uv_poll_stop(&process->poll);
        if (process->send_error == 0) {
                process->events->hung_up(process->userdata);
                return;
        }
        (void)snprintf(text, sizeof text, "a message could not be sent to it: %s",
                       strerror(-process->send_error));
        fail(process, WIRE_CAUSE_WORKER, text);
}

/* Until there is nothing more, or it has ended. */
static void replies_read(struct xrt_process *process)
{
        while (!process->is_ended) {
                union wire_reply reply;
                const ssize_t n = recv(process->socket, &reply, sizeof reply, MSG_DONTWAIT | MSG_TRUNC);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0) {
                        hung_up(process);
                        return;
                }
                if (!reply_take(process, &reply, (size_t)n))
                        fail(process, WIRE_CAUSE_WORKER, "it sent a message that makes no sense");
        }
}

static void on_process_exit(uv_process_t *handle, int64_t status, int signal)
{
        struct xrt_process *process = handle->data;
        char text[WIRE_TEXT_MAX];

        process->is_gone = true;
        uv_close((uv_handle_t *)handle, on_handle_closed);
        if (!process->is_ended)
                replies_read(process); /* its last words may say more */
        if (process->is_ended)
                return;
        if (signal != 0)
                (void)snprintf(text, sizeof text, "killed by signal %d", signal);
        else
                (void)snprintf(text, sizeof text, "exited with %" PRId64, status);
        fail(process, WIRE_CAUSE_WORKER, text);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct xrt_process *process = poll->data;

        (void)status; /* whatever it is, reading tells */
        if (events & UV_WRITABLE)
                parcels_send(process);
        replies_read(process);
}

/* ---- its start ---- */

/* A gate that is open, in memory that the process can be given. */
static int gate_new(struct wire_gate **ret_gate, int *ret_fd)
{
        uint8_t *memory;
        int r = shared_memory_open("npumm-gate", (uint64_t)sysconf(_SC_PAGESIZE), ret_fd, &memory);

        if (r < 0)
                return r;
        *ret_gate = (struct wire_gate *)(void *)memory;
        return 0;
}

/* Its standard output is our standard error: XRT prints to either. */
static int spawn(uv_loop_t *loop, const struct xrt_settings *settings, struct xrt_process *process,
                 int socket, int gate_fd)
{
        char timeout[64], weights[64], check[64];
        char *args[] = {(char *)(uintptr_t)settings->worker_path, NULL, timeout, weights, check, NULL};
        uv_stdio_container_t stdio[5] = {
                {.flags = UV_IGNORE},
                {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
                {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
                [WIRE_SOCKET_FD] = {.flags = UV_INHERIT_FD, .data.fd = socket},
                [WIRE_GATE_FD] = {.flags = UV_INHERIT_FD, .data.fd = gate_fd},
        };
        const uv_process_options_t options = {
                .exit_cb = on_process_exit,
                .file = settings->worker_path,
                .args = args,
                .stdio_count = ARRAY_SIZE(stdio),
                .stdio = stdio,
        };
        _cleanup_(freep) char *manifest = NULL;
        int r;

        if (asprintf(&manifest, "--manifest=%s", settings->manifest_path) < 0)
                return -ENOMEM;
        args[1] = manifest;
        (void)snprintf(timeout, sizeof timeout, "--timeout-ms=%" PRIu64, settings->timeout_ns / 1000000);
        (void)snprintf(weights, sizeof weights, "--weights-bytes=%" PRIu64, settings->weights_bytes);
        (void)snprintf(check, sizeof check, "--check=%s", settings->check);
        process->n_handles++; /* also where it fails: libuv has made the handle */
        process->process.data = process;
        r = uv_spawn(loop, &process->process, &options);
        if (r < 0)
                uv_close((uv_handle_t *)&process->process, on_handle_closed);
        return r;
}

int xrt_process_start(uv_loop_t *loop, const struct xrt_settings *settings, uint64_t serial,
                      const struct xrt_process_events *events, void *userdata,
                      struct xrt_process **ret_process, char ret_text[WIRE_TEXT_MAX])
{
        _cleanup_(closep) int gate_fd = -1, theirs = -1;
        struct xrt_process *process = calloc(1, sizeof *process);
        int pair[2];
        int r;

        if (!process)
                return -ENOMEM;
        *process =
                (struct xrt_process){.events = events, .userdata = userdata, .serial = serial, .socket = -1};
        STAILQ_INIT(&process->parcels);
        r = gate_new(&process->gate, &gate_fd);
        if (r < 0) {
                (void)snprintf(ret_text, WIRE_TEXT_MAX, "no memory to share with it: %s", strerror(-r));
                free(process);
                return r;
        }
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                r = -errno;
                goto fail;
        }
        process->socket = pair[0];
        theirs = pair[1];
        r = uv_poll_init(loop, &process->poll, process->socket);
        if (r < 0)
                goto fail;
        process->n_handles++;
        process->poll.data = process;
        r = spawn(loop, settings, process, theirs, gate_fd);
        if (r < 0) {
                (void)snprintf(ret_text, WIRE_TEXT_MAX, "%.180s cannot be started: %s", settings->worker_path,
                               strerror(-r));
                process->is_ended = true;
                process->is_left = true;
                talk_end(process); /* its memory goes with the handles */
                return r;
        }
        poll_start(process);
        *ret_process = process;
        return 0;
fail:
        (void)snprintf(ret_text, WIRE_TEXT_MAX, "no socket for it: %s", strerror(-r));
        if (process->socket >= 0)
                (void)close(process->socket);
        (void)munmap(process->gate, (size_t)sysconf(_SC_PAGESIZE));
        free(process);
        return r;
}

int xrt_process_pid(const struct xrt_process *process)
{
        return process->process.pid;
}
