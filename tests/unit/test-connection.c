/* SPDX-License-Identifier: MIT */
/*
 * test-connection.c - one socket's bytes, against a peer that passes descriptors.
 *
 * The listener has the kernel refuse passed descriptors where it can (Linux 6.16), so only here, over a socketpair, is
 * it certain on every kernel that those which do arrive end the connection and are closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon/connection.h"
#include "tests/unit/suite.h"

static uv_loop_t loop;
static struct connection_set set;
static struct connection connection;
static int peer_fd, n_heads, n_faults, last_fault, n_closed;

static void on_head(void *userdata, const struct frame_header *header, const uint8_t *control,
                    uint8_t **ret_payload)
{
        (void)userdata, (void)header, (void)control, (void)ret_payload;
        n_heads++;
}

static void on_end(void *userdata)
{
        (void)userdata;
}

static void on_fault(void *userdata, int fault, const struct frame_header *header)
{
        (void)userdata, (void)header;
        n_faults++;
        last_fault = fault;
        connection_finish(&connection);
}

static void on_closed(void *userdata)
{
        (void)userdata;
        n_closed++;
}

static const struct connection_ops ops = {
        .head = on_head, .end = on_end, .fault = on_fault, .closed = on_closed};

static void setup(void)
{
        const struct connection_times times = {
                .hello_ms = 60000, .frame_ms = 60000, .stall_ms = 60000, .payload_bytes_per_s = 1};
        int fds[2];

        n_heads = n_faults = last_fault = n_closed = 0;
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        peer_fd = fds[1];
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        connection_set_open(&set, &loop, &times, 1000, 1000, 0);
        ck_assert_int_eq(connection_open(&connection, &set, fds[0], &ops, NULL), 0);
}

static void teardown(void)
{
        connection_close(&connection);
        connection_set_close(&set);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(n_closed, 1);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        (void)close(peer_fd);
}

static void ping_send(size_t n_bytes, int fd, size_t n_fds)
{
        const struct frame_header header = {
                .version_major = FRAME_VERSION_MAJOR, .type = FRAME_PING, .request_id = 1};
        union {
                char bytes[CMSG_SPACE(8 * sizeof(int))];
                struct cmsghdr align;
        } ancillary = {{0}};
        uint8_t bytes[FRAME_HEADER_BYTES];
        struct iovec iov = {bytes, n_bytes};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        frame_header_encode(&header, bytes);
        if (n_fds > 0) {
                struct cmsghdr *cmsg;

                msg.msg_control = &ancillary;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof fd);
                cmsg = CMSG_FIRSTHDR(&msg);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof fd);
                for (size_t i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(cmsg) + i * sizeof fd, &fd, sizeof fd);
        }
        ck_assert_int_eq(sendmsg(peer_fd, &msg, MSG_NOSIGNAL), (ssize_t)n_bytes);
}

START_TEST(test_a_frame)
{
        ping_send(FRAME_HEADER_BYTES, -1, 0);
        (void)uv_run(&loop, UV_RUN_ONCE);
        ck_assert_int_eq(n_heads, 1);
        ck_assert_int_eq(n_faults, 0);
}
END_TEST

/* One, as many as there is room for, and more; with a whole frame and with a part of one. */
static const struct {
        size_t n_bytes, n_fds;
} passes[] = {{FRAME_HEADER_BYTES, 1}, {FRAME_HEADER_BYTES, 4}, {FRAME_HEADER_BYTES, 8}, {2, 1}, {2, 8}};

START_TEST(test_passed_descriptors)
{
        struct pollfd reader = {.events = POLLIN};
        int fds[2];

        ck_assert_int_eq(pipe(fds), 0);
        ping_send(passes[_i].n_bytes, fds[1], passes[_i].n_fds);
        (void)close(fds[1]);
        (void)uv_run(&loop, UV_RUN_ONCE);
        ck_assert_int_eq(n_heads, 0);
        ck_assert_int_eq(n_faults, 1);
        ck_assert_int_eq(last_fault, CONNECTION_E_FDS);
        reader.fd = fds[0];
        ck_assert_int_eq(poll(&reader, 1, 0), 1); /* nobody holds the other end any more */
        ck_assert(reader.revents & POLLHUP);
        (void)close(fds[0]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("connection");
        TCase *tcase = tcase_create("descriptors");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_a_frame);
        tcase_add_loop_test(tcase, test_passed_descriptors, 0, ARRAY_SIZE(passes));
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
