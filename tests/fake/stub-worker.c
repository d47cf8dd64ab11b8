/* SPDX-License-Identifier: MIT */
/*
 * stub-worker.c - in the place of npumatmuld-xrt: the CPU's results, and whatever may go wrong with a worker.
 *
 * Role:   lets the daemon's end of daemon/xrt/wire.h be tested where there is no XRT.
 * In:     a script, the file that $STUB_WORKER names: each process takes its first line away and does what that says;
 *         no line, or no file: all goes well. ACTION, or ACTION@N for what happens at the N-th batch of the process:
 *           fail=CAUSE   says FAILED with that number of enum wire_cause, and exits
 *           exit         exits without a word       die      kills itself
 *           silent       does nothing any more      inside   the same, and within the gate
 *           garbage      sends what makes no sense  other    ends a batch that it was not given
 *           late         half a second passes       linger   says FAILED, and lives on
 *           close        closes its socket, and lives on
 *           old          says READY as another version does
 *         Without @N: before READY.
 * Out:    one line "PID ACTION" to the file $STUB_WORKER.log.
 * Thread: one.
 */
#include "daemon/device/portable.h"
#include "daemon/xrt/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "daemon/version.h"

#define REGIONS_MAX 4096

static struct {
        uint64_t id, size_bytes;
        uint8_t *memory;
} regions[REGIONS_MAX];

static struct wire_gate *gate;
static char action[64];
static uint64_t action_at; /* batch; 0: before READY */

_Noreturn static void confused(const char *by)
{
        (void)fprintf(stderr, "stub-worker: %s\n", by);
        abort();
}

static void say(const void *message, size_t n_bytes)
{
        if (send(WIRE_SOCKET_FD, message, n_bytes, MSG_NOSIGNAL) < 0)
                _exit(1);
}

/* ---- the script ---- */

/* Takes the first line away: processes come one after the other, or nearly so. */
static void script_take(void)
{
        const char *path = getenv("STUB_WORKER");
        char text[4096] = "", *end, *at;
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        ssize_t n;

        if (fd < 0)
                return;
        (void)flock(fd, LOCK_EX);
        n = read(fd, text, sizeof text - 1);
        end = n > 0 ? strchr(text, '\n') : NULL;
        if (end) {
                const size_t left = strlen(end + 1);

                *end = '\0';
                (void)snprintf(action, sizeof action, "%s", text);
                if (ftruncate(fd, 0) < 0 || pwrite(fd, end + 1, left, 0) != (ssize_t)left)
                        _exit(1);
        }
        (void)close(fd);
        at = strchr(action, '@');
        if (at) {
                action_at = strtoull(at + 1, NULL, 10);
                *at = '\0';
        }
}

static void log_line(void)
{
        const char *path = getenv("STUB_WORKER");
        char log_path[4096], line[128];
        int fd, n;

        if (!path)
                return;
        (void)snprintf(log_path, sizeof log_path, "%s.log", path);
        fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        n = snprintf(line, sizeof line, "%d %s\n", (int)getpid(), action[0] ? action : "well");
        if (fd < 0 || write(fd, line, (size_t)n) != n)
                _exit(1);
        (void)close(fd);
}

_Noreturn static void silent(void)
{
        for (;;)
                (void)pause();
}

static void failed_say(uint32_t cause)
{
        struct wire_failed failed = {.kind = WIRE_FAILED, .cause = cause};

        (void)snprintf(failed.text, sizeof failed.text, "by the script");
        say(&failed, sizeof failed);
}

static void act(void)
{
        const struct wire_done other = {.kind = WIRE_DONE, .number = 987654321};

        if (strncmp(action, "fail=", 5) == 0) {
                failed_say((uint32_t)strtoul(action + 5, NULL, 10));
                _exit(1);
        }
        if (strcmp(action, "exit") == 0)
                _exit(3);
        if (strcmp(action, "die") == 0)
                (void)raise(SIGKILL);
        if (strcmp(action, "garbage") == 0)
                say("what?", 5);
        if (strcmp(action, "other") == 0)
                say(&other, sizeof other);
        if (strcmp(action, "close") == 0)
                (void)close(WIRE_SOCKET_FD);
        if (strcmp(action, "late") == 0)
                (void)usleep(500000);
        if (strcmp(action, "inside") == 0)
                (void)wire_gate_enter(gate);
        if (strcmp(action, "linger") == 0)
                failed_say(WIRE_CAUSE_HUNG);
        if (strcmp(action, "silent") == 0 || strcmp(action, "inside") == 0 || strcmp(action, "linger") == 0 ||
            strcmp(action, "close") == 0)
                silent();
}

/* ---- work ---- */

static void region_take(const struct wire_region *region, int fd)
{
        size_t i = 0;

        while (regions[i].id != 0)
                i++;
        assert(i < REGIONS_MAX && fd >= 0);
        regions[i].id = region->id;
        regions[i].size_bytes = region->size_bytes;
        regions[i].memory = mmap(NULL, region->size_bytes,
                                 region->is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
        assert(regions[i].memory != MAP_FAILED);
        (void)close(fd);
}

static void region_forget(uint64_t id)
{
        for (size_t i = 0; i < REGIONS_MAX; i++)
                if (regions[i].id == id) {
                        (void)munmap(regions[i].memory, regions[i].size_bytes);
                        regions[i].id = 0;
                        return;
                }
        confused("a region that was not given");
}

static void *address_of(struct wire_place place)
{
        if (place.region == 0)
                return NULL;
        for (size_t i = 0; i < REGIONS_MAX; i++)
                if (regions[i].id == place.region) {
                        assert(place.offset_bytes < regions[i].size_bytes);
                        return regions[i].memory + place.offset_bytes;
                }
        confused("a region that was not given");
}

static struct product product_of(const struct wire_slice *s)
{
        assert(!s->b_stays || (s->b.offset_bytes == 0 && s->ldb == s->n && !s->b_transposed));
        return (struct product){
                .m = s->m,
                .k = s->k,
                .n = s->n,
                .a = address_of(s->a),
                .lda = s->lda,
                .b = address_of(s->b),
                .ldb = s->ldb,
                .b_transposed = s->b_transposed,
                .c = address_of(s->c),
                .ldc = s->ldc,
                .form = (enum output_form)s->form,
                .shift = s->shift,
                .rounding = (enum rounding)s->rounding,
                .row_scale = address_of(s->row_scale),
                .col_scale = address_of(s->col_scale),
                .bias = address_of(s->bias),
        };
}

static void batch_run(const struct wire_batch *batch)
{
        static struct product products[WIRE_SLICES_MAX];
        static struct slice slices[WIRE_SLICES_MAX];
        static uint64_t n_batches;
        struct wire_done done = {
                .kind = WIRE_DONE,
                .number = batch->number,
                .pack_ns = 1000,
                .device_ns = 1000,
                .counts = {.submissions = 1, .matrix_syncs = 2, .control_syncs = 2, .matrix_copies = 2}};

        if (++n_batches == action_at)
                act();
        for (size_t i = 0; i < batch->n_slices; i++) {
                products[i] = product_of(&batch->slices[i]);
                slices[i] = (struct slice){.product = &products[i],
                                           .first_row = batch->slices[i].first_row,
                                           .rows = batch->slices[i].rows};
        }
        if (!wire_gate_enter(gate))
                _exit(1);
        for (size_t first = 0; first < batch->n_slices;) {
                size_t end = first + 1;

                while (end < batch->n_slices && batch->slices[end].stack == batch->slices[first].stack)
                        end++;
                portable_run(&slices[first], end - first);
                first = end;
        }
        wire_gate_leave(gate);
        say(&done, sizeof done);
}

/* ---- messages ---- */

static union {
        uint32_t kind;
        struct wire_region region;
        struct wire_forget forget;
        struct wire_batch batch;
        struct wire_ping ping;
} message;

/* 0: the daemon has closed its end. */
static ssize_t message_read(int *ret_fd)
{
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = {.iov_base = &message, .iov_len = sizeof message};
        struct msghdr header = {.msg_iov = &iov,
                                .msg_iovlen = 1,
                                .msg_control = control.bytes,
                                .msg_controllen = sizeof control.bytes};
        const ssize_t n = recvmsg(WIRE_SOCKET_FD, &header, MSG_CMSG_CLOEXEC);

        *ret_fd = -1;
        if (n > 0 && header.msg_controllen > 0)
                memcpy(ret_fd, CMSG_DATA(&control.header), sizeof *ret_fd);
        return n;
}

int main(void)
{
        struct wire_ready ready = {.kind = WIRE_READY,
                                   .version = WIRE_VERSION,
                                   .build = DAEMON_VERSION,
                                   .open_ns = 1,
                                   .selftest_ns = 1,
                                   .clock_mhz = 1,
                                   .device = "a stub",
                                   .driver = "0",
                                   .firmware = "0",
                                   .power_mode = "none"};
        int fd;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        gate = mmap(NULL, sizeof *gate, PROT_READ | PROT_WRITE, MAP_SHARED, WIRE_GATE_FD, 0);
        assert(gate != MAP_FAILED);
        script_take();
        log_line();
        if (action_at == 0)
                act();
        if (strcmp(action, "old") == 0)
                ready.version--;
        say(&ready, sizeof ready);
        while (message_read(&fd) > 0) {
                switch (message.kind) {
                case WIRE_REGION:
                        region_take(&message.region, fd);
                        break;
                case WIRE_FORGET:
                        region_forget(message.forget.id);
                        break;
                case WIRE_BATCH:
                        batch_run(&message.batch);
                        break;
                case WIRE_PING:
                        message.ping.kind = WIRE_PONG;
                        say(&message.ping, sizeof message.ping);
                        break;
                default:
                        confused("a message that makes no sense");
                }
        }
        _exit(0);
}
