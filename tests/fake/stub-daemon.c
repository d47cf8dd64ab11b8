/* SPDX-License-Identifier: MIT */
/* stub-daemon.c - see stub-daemon.h. */
#include "tests/fake/stub-daemon.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PAGE_BYTES 4096u

static const struct limits ample_limits = {
        .control_bytes = FRAME_CONTROL_BYTES_MAX,
        .payload_bytes = 64 << 20,
        .arena_bytes = 1 << 30,
        .arenas = 8,
        .uid_bytes = UINT64_C(1) << 31,
        .jobs = 16,
};

/* ---- listening ---- */

static bool bytes_take(struct stub_daemon *stub, uint8_t *bytes, uint64_t n_bytes)
{
        while (n_bytes > 0) {
                const ssize_t n = recv(stub->fd, bytes, n_bytes, 0);

                if (n <= 0)
                        return false;
                bytes += n;
                n_bytes -= (uint64_t)n;
        }
        return true;
}

static void frame_finish(struct stub_daemon *stub)
{
        enum frame_event event;
        size_t consumed;
        const int r = frame_decoder_feed(&stub->decoder, NULL, 0, &consumed, &event);

        assert(r == 0 && event == FRAME_EVENT_END);
}

bool stub_take_head(struct stub_daemon *stub)
{
        struct stub_frame *frame = &stub->frame;
        enum frame_event event;
        struct fault fault;
        bool is_good;

        free(frame->payload);
        *frame = (struct stub_frame){0};
        do { /* byte by byte, so that the payload stays in the socket */
                size_t consumed;
                uint8_t byte;
                int r;

                if (!bytes_take(stub, &byte, 1))
                        return false;
                r = frame_decoder_feed(&stub->decoder, &byte, 1, &consumed, &event);
                assert(r == 0 && consumed == 1);
        } while (event != FRAME_EVENT_HEAD);
        frame->header = stub->decoder.header;
        is_good = message_read_request(&frame->header, stub->decoder.control, &frame->request, &fault);
        if (!is_good)
                (void)fprintf(stderr, "a request that no client should send: %s\n", fault.text);
        assert(is_good);
        if (frame->header.payload_bytes == 0)
                frame_finish(stub);
        return true;
}

bool stub_take_payload(struct stub_daemon *stub, uint8_t *ret_bytes, uint64_t n_bytes)
{
        if (!bytes_take(stub, ret_bytes, n_bytes))
                return false;
        frame_decoder_skip_payload(&stub->decoder, n_bytes);
        if (stub->decoder.payload_left == 0)
                frame_finish(stub);
        return true;
}

bool stub_take(struct stub_daemon *stub)
{
        struct stub_frame *frame = &stub->frame;

        if (!stub_take_head(stub))
                return false;
        if (frame->header.payload_bytes == 0)
                return true;
        frame->payload = malloc(frame->header.payload_bytes);
        assert(frame->payload);
        return stub_take_payload(stub, frame->payload, frame->header.payload_bytes);
}

void stub_take_all(struct stub_daemon *stub)
{
        uint8_t bytes[4096];

        while (recv(stub->fd, bytes, sizeof bytes, 0) > 0)
                ;
}

/* ---- speaking ---- */

/* Sends once; returns how much went out, 0 when the client has hung up. */
static size_t send_once(struct stub_daemon *stub, const uint8_t *bytes, size_t n_bytes, int fd)
{
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } ancillary = {0};
        const size_t drip_bytes = stub->options.drip_bytes;
        struct iovec iov = {
                .iov_base = (uint8_t *)bytes,
                .iov_len = drip_bytes > 0 ? MIN(drip_bytes, n_bytes) : n_bytes,
        };
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (fd >= 0) {
                message.msg_control = ancillary.bytes;
                message.msg_controllen = sizeof ancillary.bytes;
                ancillary.align = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&ancillary.align), &fd, sizeof fd);
        }
        n = sendmsg(stub->fd, &message, MSG_NOSIGNAL);
        return n < 0 ? 0 : (size_t)n;
}

static void bytes_send(struct stub_daemon *stub, const uint8_t *bytes, size_t n_bytes, int fd)
{
        while (n_bytes > 0) {
                const size_t n = send_once(stub, bytes, n_bytes, fd);

                if (n == 0)
                        return;
                bytes += n;
                n_bytes -= n;
                fd = -1; /* it goes with the first byte */
        }
}

void stub_say_more(struct stub_daemon *stub, const struct reply *reply, const void *payload,
                   uint64_t payload_bytes, int fd)
{
        struct frame_header header = {
                .version_major = FRAME_VERSION_MAJOR,
                .type = reply->type,
                .payload_bytes = payload_bytes,
                .request_id = reply->id,
        };
        uint8_t control[MESSAGE_WRITE_MAX];
        uint8_t *bytes, *end;

        header.control_bytes = (uint32_t)message_write_reply(reply, control);
        bytes = end = malloc(FRAME_HEADER_BYTES + header.control_bytes + payload_bytes);
        assert(bytes);
        frame_header_encode(&header, end);
        end += FRAME_HEADER_BYTES;
        memcpy(end, control, header.control_bytes);
        end += header.control_bytes;
        if (payload_bytes > 0)
                memcpy(end, payload, payload_bytes);
        end += payload_bytes;
        bytes_send(stub, bytes, (size_t)(end - bytes), fd);
        free(bytes);
}

void stub_say(struct stub_daemon *stub, const struct reply *reply)
{
        stub_say_more(stub, reply, NULL, 0, -1);
}

void stub_say_rows(struct stub_daemon *stub, uint64_t job, uint64_t first_row, uint64_t rows,
                   const void *payload, uint64_t payload_bytes)
{
        const struct reply reply = {.type = FRAME_ROWS, .id = job, .rows = {first_row, rows}};

        stub_say_more(stub, &reply, payload, payload_bytes, -1);
}

void stub_say_outcome(struct stub_daemon *stub, enum frame_type type, uint64_t id, enum status status,
                      const char *text)
{
        stub_say(stub, &(struct reply){.type = type, .id = id, .outcome = {status, text}});
}

void stub_say_bytes(struct stub_daemon *stub, const void *bytes, size_t n_bytes)
{
        bytes_send(stub, bytes, n_bytes, -1);
}

void stub_say_header(struct stub_daemon *stub, const struct frame_header *header)
{
        uint8_t bytes[FRAME_HEADER_BYTES];

        frame_header_encode(header, bytes);
        stub_say_bytes(stub, bytes, sizeof bytes);
}

/* ---- ways to behave ---- */

int stub_memory(uint64_t size_bytes, int seals)
{
        const int fd = memfd_create("stub-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert(fd >= 0);
        if (ftruncate(fd, (off_t)size_bytes) < 0 || (seals != 0 && fcntl(fd, F_ADD_SEALS, seals) < 0))
                assert(false);
        return fd;
}

bool stub_welcome(struct stub_daemon *stub)
{
        const struct reply welcome = {
                .type = FRAME_WELCOME,
                .id = 1,
                .welcome = {.version_minor = stub->options.speaks_1_0 ? 0 : FRAME_VERSION_MINOR,
                            .daemon_version = "9.9",
                            .backend = "stub",
                            .limits = stub->options.limits},
        };

        if (!stub_take(stub))
                return false;
        assert(stub->frame.header.type == FRAME_HELLO && stub->frame.header.request_id == 1);
        stub_say(stub, &welcome);
        return true;
}

void stub_make_arena(struct stub_daemon *stub)
{
        const uint64_t id = stub->frame.header.request_id;
        uint64_t size_bytes;
        int fd;

        if (!checked_align(stub->frame.request.arena_create.size_bytes, PAGE_BYTES, &size_bytes))
                assert(false);
        if (stub->options.arena_bytes_max != 0 &&
            stub->arena_bytes + size_bytes > stub->options.arena_bytes_max) {
                stub_say_outcome(stub, FRAME_ERROR, id, STATUS_BUSY,
                                 "the stub's limit for arenas is reached");
                return;
        }
        assert(stub->n_arenas < STUB_ARENAS_MAX);
        stub->n_arenas++;
        stub->arena_size_bytes[stub->n_arenas] = size_bytes;
        stub->arena_bytes += size_bytes;
        fd = stub_memory(size_bytes, STUB_SEALS);
        stub_say_more(stub,
                      &(struct reply){.type = FRAME_ARENA_CREATED,
                                      .id = id,
                                      .arena_created = {stub->n_arenas, size_bytes}},
                      NULL, 0, fd);
        (void)close(fd);
}

static void arena_release(struct stub_daemon *stub)
{
        const uint32_t arena = stub->frame.request.arena_release.arena;

        stub->n_released++;
        if (arena <= stub->n_arenas) /* else the test has made it */
                stub->arena_bytes -= stub->arena_size_bytes[arena];
        stub_say(stub, &(struct reply){.type = FRAME_ARENA_RELEASED, .id = stub->frame.header.request_id});
}

static void matmul_end(struct stub_daemon *stub)
{
        const struct request_matmul *matmul = &stub->frame.request.matmul;
        const uint64_t id = stub->frame.header.request_id;
        const uint64_t n_bytes =
                matmul->c.arena != 0 ? 0 : matmul->m * matmul->n * output_elem_bytes(matmul->form);
        uint8_t *zeros = calloc(1, n_bytes + 1);

        assert(zeros);
        stub_say_rows(stub, id, 0, matmul->m, zeros, n_bytes);
        stub_say_outcome(stub, FRAME_DONE, id, STATUS_OK, "");
        free(zeros);
}

static void weights_load(struct stub_daemon *stub)
{
        const struct reply_weights_loaded loaded = {.weights = STUB_WEIGHTS + ++stub->n_loads};

        stub_say(stub, &(struct reply){.type = FRAME_WEIGHTS_LOADED,
                                       .id = stub->frame.header.request_id,
                                       .weights_loaded = loaded});
}

static void frame_answer(struct stub_daemon *stub)
{
        const uint64_t id = stub->frame.header.request_id;

        switch (stub->frame.header.type) {
        case FRAME_ARENA_CREATE:
                stub_make_arena(stub);
                break;
        case FRAME_ARENA_RELEASE:
                arena_release(stub);
                break;
        case FRAME_MATMUL:
                matmul_end(stub);
                break;
        case FRAME_CANCEL:
                stub_say_outcome(stub, FRAME_DONE, id, STATUS_CANCELLED, "");
                break;
        case FRAME_PING:
                stub_say(stub, &(struct reply){.type = FRAME_PONG, .id = id});
                break;
        case FRAME_WEIGHTS_LOAD:
                weights_load(stub);
                break;
        case FRAME_WEIGHTS_RELEASE:
                stub->n_loads_released++;
                stub_say(stub, &(struct reply){.type = FRAME_WEIGHTS_RELEASED, .id = id});
                break;
        case FRAME_SET:
                stub->n_sets++;
                stub_say(stub, &(struct reply){.type = FRAME_SET_DONE, .id = id});
                break;
        default:
                assert(false); /* only the test can know what to say to it */
        }
}

void stub_serve(struct stub_daemon *stub)
{
        while (stub_take(stub)) {
                if (stub->frame.header.type == FRAME_MATMUL)
                        stub->n_matmuls++;
                if (!stub->options.frame_fn || !stub->options.frame_fn(stub))
                        frame_answer(stub);
        }
}

void stub_obey(struct stub_daemon *stub)
{
        if (stub_welcome(stub))
                stub_serve(stub);
}

/* ---- life ---- */

static void semaphore_await(sem_t *semaphore)
{
        while (sem_wait(semaphore) < 0)
                assert(errno == EINTR);
}

static void semaphore_post(sem_t *semaphore)
{
        const int r = sem_post(semaphore);

        assert(r == 0);
}

void stub_await_go(struct stub_daemon *stub)
{
        semaphore_post(&stub->rests);
        semaphore_await(&stub->go);
}

void stub_go(struct stub_daemon *stub)
{
        semaphore_post(&stub->go);
}

void stub_await_rest(struct stub_daemon *stub)
{
        semaphore_await(&stub->rests);
}

static void *stub_main(void *userdata)
{
        struct stub_daemon *stub = userdata;

        stub->fd = accept4(stub->listener_fd, NULL, NULL, SOCK_CLOEXEC);
        if (stub->fd < 0)
                return NULL; /* stopped: nobody has come */
        stub->options.script(stub);
        closep(&stub->fd);
        return NULL;
}

static void listen_open(struct stub_daemon *stub)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        bool is_listening;

        (void)snprintf(stub->directory, sizeof stub->directory, "/tmp/npumm-stub.XXXXXX");
        if (!mkdtemp(stub->directory))
                assert(false);
        (void)snprintf(stub->socket_path, sizeof stub->socket_path, "%s/socket", stub->directory);
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", stub->socket_path);
        stub->listener_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        is_listening = stub->listener_fd >= 0 &&
                       bind(stub->listener_fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                       listen(stub->listener_fd, 1) == 0;
        assert(is_listening);
}

struct stub_daemon *stub_daemon_start(const struct stub_options *options)
{
        struct stub_daemon *stub = calloc(1, sizeof *stub);
        int r;

        assert(stub);
        stub->options = *options;
        if (!stub->options.script)
                stub->options.script = stub_obey;
        if (stub->options.limits.jobs == 0)
                stub->options.limits = ample_limits;
        frame_decoder_init(&stub->decoder, true, UINT64_MAX);
        listen_open(stub);
        r = sem_init(&stub->rests, 0, 0);
        assert(r == 0);
        r = sem_init(&stub->go, 0, 0);
        assert(r == 0);
        r = pthread_create(&stub->thread, NULL, stub_main, stub);
        assert(r == 0);
        return stub;
}

void stub_daemon_stop(struct stub_daemon *stub)
{
        int r;

        (void)shutdown(stub->listener_fd, SHUT_RDWR); /* wakes the thread where it waits for a client */
        r = pthread_join(stub->thread, NULL);
        assert(r == 0);
        (void)close(stub->listener_fd);
        (void)unlink(stub->socket_path);
        (void)rmdir(stub->directory);
        (void)sem_destroy(&stub->rests);
        (void)sem_destroy(&stub->go);
        frame_decoder_deinit(&stub->decoder);
        free(stub->frame.payload);
        free(stub);
}
