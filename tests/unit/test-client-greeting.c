/* SPDX-License-Identifier: MIT */
/*
 * test-client-greeting.c - npumm_connect: nobody there, somebody else there, a daemon that does not want us.
 */
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/visit.h"
#include "tests/unit/wire.h"
#include "tests/unit/suite.h"

/* Returns what npumm_connect() does; on failure the client must be untouched and the text printable. */
static int try_connect(const char *path, int timeout_ms, char text[NPUMM_TEXT_MAX])
{
        const struct npumm_connect_options options = {
                .size = sizeof options, .socket_path = path, .timeout_ms = timeout_ms};
        struct npumm_client *const untouched = (void *)text;
        struct npumm_client *client = untouched;
        const int r = npumm_connect(&options, &client, text);

        if (r == 0) {
                npumm_close(client);
        } else {
                ck_assert_ptr_eq(client, untouched);
                expect_words(text, "");
        }
        return r;
}

/* ---- nobody there ---- */

START_TEST(test_no_socket)
{
        char text[NPUMM_TEXT_MAX];

        ck_assert_int_eq(try_connect("/nonexistent/x\x1b.sock", 0, text), -ENOENT);
        expect_words(text, "/nonexistent/x?.sock");
        expect_words(text, "is npumatmuld running?");
}
END_TEST

START_TEST(test_path_too_long)
{
        char text[NPUMM_TEXT_MAX], path[300];

        memset(path, 'a', sizeof path);
        path[0] = '/';
        path[sizeof path - 1] = '\0';
        ck_assert_int_eq(try_connect(path, 0, text), -ENAMETOOLONG);
        expect_words(text, "at most 107 bytes");
}
END_TEST

/* A socket in a directory of its own, bound and with room for `backlog` connections that nobody accepts. */
struct dead_end {
        int fd;
        char directory[48];
        struct sockaddr_un address;
};

static void dead_end_open(struct dead_end *end, int backlog)
{
        *end = (struct dead_end){.directory = "/tmp/npumm-test.XXXXXX", .address.sun_family = AF_UNIX};
        ck_assert_ptr_nonnull(mkdtemp(end->directory));
        (void)snprintf(end->address.sun_path, sizeof end->address.sun_path, "%s/socket", end->directory);
        end->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(end->fd, (const struct sockaddr *)&end->address, sizeof end->address), 0);
        ck_assert_int_eq(listen(end->fd, backlog), 0);
}

static void dead_end_close(struct dead_end *end)
{
        closep(&end->fd);
        (void)unlink(end->address.sun_path);
        (void)rmdir(end->directory);
}

START_TEST(test_nobody_listens)
{
        struct dead_end end;
        char text[NPUMM_TEXT_MAX];

        dead_end_open(&end, 1);
        ck_assert_int_eq(close(steal_fd(&end.fd)), 0);
        ck_assert_int_eq(try_connect(end.address.sun_path, 0, text), -ECONNREFUSED);
        expect_words(text, "is npumatmuld running?");
        dead_end_close(&end);
}
END_TEST

/* A daemon that hangs: its backlog is full and stays so. */
START_TEST(test_full_backlog)
{
        struct dead_end end;
        char text[NPUMM_TEXT_MAX];
        int fds[8], n_fds = 0, r;

        dead_end_open(&end, 0);
        do {
                ck_assert_int_lt(n_fds, ARRAY_SIZE(fds));
                fds[n_fds] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                r = connect(fds[n_fds++], (const struct sockaddr *)&end.address, sizeof end.address);
        } while (r == 0);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(try_connect(end.address.sun_path, 200, text), -ETIMEDOUT);
        expect_words(text, "accepts no connections");
        while (n_fds > 0)
                (void)close(fds[--n_fds]);
        dead_end_close(&end);
}
END_TEST

START_TEST(test_options_that_make_no_sense)
{
        struct npumm_connect_options options = {.size = 8};
        struct npumm_client *client;
        char text[NPUMM_TEXT_MAX];

        ck_assert_int_eq(npumm_connect(&options, &client, text), NPUMM_STATUS_INVALID);
        expect_words(text, "its size is 8");
        options = (struct npumm_connect_options){.size = sizeof options, .timeout_ms = -5};
        ck_assert_int_eq(npumm_connect(&options, &client, text), NPUMM_STATUS_INVALID);
        expect_words(text, "timeout_ms is -5");
        options = (struct npumm_connect_options){.size = sizeof options, .flags = 4};
        ck_assert_int_eq(npumm_connect(&options, &client, text), NPUMM_STATUS_INVALID);
        expect_words(text, "flags are 0x4");
        options.flags = NPUMM_CONNECT_RING | NPUMM_CONNECT_SOCKET;
        ck_assert_int_eq(npumm_connect(&options, &client, text), NPUMM_STATUS_INVALID);
        expect_words(text, "flags are 0x3");
        options.flags = 0;
        (void)setenv("NPUMM_TRANSPORT", "pigeon", 1);
        ck_assert_int_eq(npumm_connect(&options, &client, text), NPUMM_STATUS_INVALID);
        expect_words(text, "NPUMM_TRANSPORT is \"pigeon\"");
        (void)unsetenv("NPUMM_TRANSPORT");
}
END_TEST

START_TEST(test_any_result_has_words)
{
        const int results[] = {INT_MIN, -4095, -ENOENT, 0, NPUMM_STATUS_TOO_BIG, 4711, INT_MAX};

        for (size_t i = 0; i < ARRAY_SIZE(results); i++)
                ck_assert_str_ne(npumm_strerror(results[i]), "");
        ck_assert_str_eq(npumm_strerror(INT_MIN), npumm_strerror(-4095));
        ck_assert_str_ne(npumm_strerror(INT_MIN), npumm_strerror(-ENOENT));
}
END_TEST

/* ---- somebody else there, or a daemon that does not want us ---- */

static void say_garbage(struct stub_daemon *stub)
{
        static const char words[] = "HTTP/1.1 400 Bad Request\r\n\r\nxxxxxxx";

        stub_say_bytes(stub, words, sizeof words - 1);
        stub_take_all(stub);
}

static void say_header_and_wait(struct stub_daemon *stub, const struct frame_header *header)
{
        stub_say_header(stub, header);
        stub_take_all(stub);
}

static void say_version_2(struct stub_daemon *stub)
{
        say_header_and_wait(stub, &(struct frame_header){.version_major = 2, .type = FRAME_BYE});
}

static void say_flags(struct stub_daemon *stub)
{
        say_header_and_wait(stub, &(struct frame_header){.version_major = 1, .type = FRAME_PONG, .flags = 7});
}

static void say_bye_version(struct stub_daemon *stub)
{
        stub_say_outcome(stub, FRAME_BYE, 0, STATUS_VERSION, "client speaks 1, daemon 2");
}

static void say_bye_busy(struct stub_daemon *stub)
{
        stub_say_outcome(stub, FRAME_BYE, 0, STATUS_BUSY, "256 connections of uid 0: close one");
}

static void hang_up_at_once(struct stub_daemon *stub)
{
        (void)stub;
}

static void hang_up_after_hello(struct stub_daemon *stub)
{
        (void)stub_take(stub);
}

static void hang_up_in_mid_frame(struct stub_daemon *stub)
{
        (void)stub_take(stub);
        stub_say_bytes(stub, "NPMM\1\0", 6);
}

static void say_pong(struct stub_daemon *stub)
{
        stub_say(stub, &(struct reply){.type = FRAME_PONG, .id = 1});
        stub_take_all(stub);
}

static void say_no_message(struct stub_daemon *stub)
{
        stub_say_header(stub, &(struct frame_header){.version_major = 1,
                                                     .type = FRAME_WELCOME,
                                                     .request_id = 1,
                                                     .control_bytes = 3});
        stub_say_bytes(stub, "\xff\xff\xff", 3);
        stub_take_all(stub);
}

static const struct {
        stub_script_fn script;
        int result;
        const char *words;
} greetings[] = {
        {say_garbage, NPUMM_STATUS_PROTOCOL, "not npumatmuld"},
        {say_version_2, NPUMM_STATUS_VERSION, "version 2, this library version 1"},
        {say_flags, NPUMM_STATUS_PROTOCOL, "flags 0x7"},
        {say_bye_version, NPUMM_STATUS_VERSION, "client speaks 1, daemon 2"},
        {say_bye_busy, NPUMM_STATUS_BUSY, "256 connections of uid 0"},
        {hang_up_at_once, -ECONNRESET, ""},
        {hang_up_after_hello, -ECONNRESET, "closed the connection;"},
        {hang_up_in_mid_frame, -ECONNRESET, "in the middle of a frame"},
        {say_pong, NPUMM_STATUS_PROTOCOL, "PONG"},
        {say_no_message, NPUMM_STATUS_PROTOCOL, "WELCOME"},
};

START_TEST(test_no_welcome)
{
        struct stub_daemon *stub = stub_daemon_start(&(struct stub_options){.script = greetings[_i].script});
        char text[NPUMM_TEXT_MAX];

        ck_assert_int_eq(try_connect(stub->socket_path, 0, text), greetings[_i].result);
        expect_words(text, greetings[_i].words);
        stub_daemon_stop(stub);
}
END_TEST

START_TEST(test_silence)
{
        struct stub_daemon *stub = stub_daemon_start(&(struct stub_options){.script = stub_take_all});
        char text[NPUMM_TEXT_MAX];

        ck_assert_int_eq(try_connect(stub->socket_path, 300, text), -ETIMEDOUT);
        expect_words(text, "did not answer");
        stub_daemon_stop(stub);
}
END_TEST

/* ---- a welcome ---- */

static void welcome_with_escapes(struct stub_daemon *stub)
{
        const struct wire *wire = stub->options.userdata;

        (void)stub_take(stub);
        stub_say_header(stub, &(struct frame_header){.version_major = 1,
                                                     .type = FRAME_WELCOME,
                                                     .request_id = 1,
                                                     .control_bytes = (uint32_t)wire->n});
        stub_say_bytes(stub, wire->bytes, wire->n);
        stub_take_all(stub);
}

/* Put together by hand, as proto/message.c would not write such a text. */
START_TEST(test_welcome_is_safe_to_print)
{
        struct wire wire = {0};
        struct visit visit;

        wire_string(&wire, 3, "9.9\x1b[31m");
        wire_string(&wire, 4, "st\nub");
        wire_bytes(&wire, 5, "", 0); /* limits: all of them 0 */
        visit = visit_begin(&(struct stub_options){.script = welcome_with_escapes, .userdata = &wire});
        ck_assert_str_eq(npumm_info(visit.client)->daemon_version, "9.9?[31m");
        ck_assert_str_eq(npumm_info(visit.client)->backend, "st?ub");
        visit_end(&visit);
}
END_TEST

START_TEST(test_welcome_is_kept)
{
        const struct limits limits = {
                .control_bytes = 65536,
                .payload_bytes = 1234567,
                .arena_bytes = 1 << 20,
                .arenas = 3,
                .uid_bytes = UINT64_C(1) << 40,
                .jobs = 17,
        };
        struct visit visit = visit_begin(&(struct stub_options){.limits = limits});
        const struct npumm_info *info = npumm_info(visit.client);

        ck_assert_int_eq(npumm_ping(visit.client, NULL),
                         0); /* what other frames bring does not overwrite it */
        ck_assert_str_eq(info->daemon_version, "9.9");
        ck_assert_str_eq(info->backend, "stub");
        ck_assert_uint_eq(info->inline_bytes_max, limits.payload_bytes);
        ck_assert_uint_eq(info->arena_bytes_max, limits.arena_bytes);
        ck_assert_uint_eq(info->uid_bytes_max, limits.uid_bytes);
        ck_assert_uint_eq(info->jobs_max, limits.jobs);
        ck_assert_uint_eq(info->arenas_max, limits.arenas);
        ck_assert_uint_eq(info->size, sizeof *info);
        ck_assert_str_eq(info->transport, "socket");
        visit_end(&visit);
}
END_TEST

/* A daemon that has none: the socket serves, and nothing but HELLO was said. */
START_TEST(test_rings_that_are_not_there)
{
        struct visit visit;

        (void)setenv("NPUMM_TRANSPORT", "ring", 1);
        visit = visit_begin(&(struct stub_options){.speaks_1_0 = true});
        (void)unsetenv("NPUMM_TRANSPORT");
        ck_assert_str_eq(npumm_info(visit.client)->transport, "socket");
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        ck_assert_uint_eq(visit.stub->n_arenas, 0);
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-greeting");
        TCase *tcase = tcase_create("greeting");

        tcase_add_test(tcase, test_no_socket);
        tcase_add_test(tcase, test_path_too_long);
        tcase_add_test(tcase, test_nobody_listens);
        tcase_add_test(tcase, test_full_backlog);
        tcase_add_test(tcase, test_options_that_make_no_sense);
        tcase_add_test(tcase, test_rings_that_are_not_there);
        tcase_add_test(tcase, test_any_result_has_words);
        tcase_add_loop_test(tcase, test_no_welcome, 0, ARRAY_SIZE(greetings));
        tcase_add_test(tcase, test_silence);
        tcase_add_test(tcase, test_welcome_is_safe_to_print);
        tcase_add_test(tcase, test_welcome_is_kept);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
