/* SPDX-License-Identifier: MIT */
/*
 * npumm.c - the entry points of libnpumm.
 *
 * Role:   for each function of npumm.h: may it be called now, are its arguments sound; then what it waits
 *         for, and the callbacks that become due meanwhile.
 * Thread: the caller's.
 * Owns:   the client, from npumm_connect() to npumm_close().
 */
#pragma GCC visibility push(                                                                                 \
        default) /* what npumm.h declares is what the library exports; all else is hidden */
#include "npumm.h"
#pragma GCC visibility pop

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "client.h"
#include "clock.h"
#include "entry.h"
#include "frames.h"
#include "question.h"
#include "rings.h"
#include "text.h"
#include "weights.h"

#define X(name, value, text)                                                                                 \
        static_assert((int)NPUMM_STATUS_##name == STATUS_##name, "npumm.h and status.h disagree");
STATUS_TABLE(X)
#undef X

#define CONNECT_TIMEOUT_MS 10000
#define STATUS_BYTES_MAX   ((uint64_t)1 << 20) /* a report is a few KiB */

/* The structs of the first version end with these fields. */
#define OPTIONS_BYTES_MIN END_OF(struct npumm_connect_options, flags)
#define MATMUL_BYTES_MIN  END_OF(struct npumm_matmul, bias)
#define WEIGHTS_BYTES_MIN END_OF(struct npumm_weights_spec, flags)

/* Padding at the end would be counted by `size`, and hold anything where a later version has a field. */
#if UINTPTR_MAX > UINT32_MAX /* where pointers are smaller the layout differs, and ends elsewhere */
static_assert(END_OF(struct npumm_connect_options, flags) == sizeof(struct npumm_connect_options), "padding");
static_assert(END_OF(struct npumm_info, transport) == sizeof(struct npumm_info), "padding");
static_assert(END_OF(struct npumm_matmul, reserved) == sizeof(struct npumm_matmul), "padding");
static_assert(END_OF(struct npumm_weights_spec, flags) == sizeof(struct npumm_weights_spec), "padding");
#endif

const char *npumm_strerror(int result)
{
        const char *text = NULL;

        if (result >= 0)
                text = status_text((unsigned)result);
        else if (result != INT_MIN) /* which has no negative */
                text = strerrordesc_np(-result);
        return text ? text : "an error that this system does not know";
}

/* ---- connecting ---- */

static void welcomed(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        (void)call;
        if (!reply)
                return;
        if (reply->type == FRAME_ERROR) {
                client_protocol_fault(client, "ERROR in answer to HELLO: %s", reply->outcome.text);
                return;
        }
        client->version_minor = reply->welcome.version_minor;
        client->features = reply->welcome.features;
        client->limits = reply->welcome.limits;
        memcpy(&client->info_text, &client->reply_text, sizeof client->info_text);
        client->info = (struct npumm_info){
                .size = sizeof client->info,
                .daemon_version = client->info_text.text[0],
                .backend = client->info_text.text[1],
                .arena_bytes_max = client->limits.arena_bytes,
                .uid_bytes_max = client->limits.uid_bytes,
                .inline_bytes_max = client->limits.payload_bytes,
                .jobs_max = client->limits.jobs,
                .arenas_max = client->limits.arenas,
                .transport = "socket",
        };
}

static int greet(struct npumm_client *client, const struct npumm_connect_options *options,
                 uint64_t deadline_ns)
{
        struct request hello = {
                .type = FRAME_HELLO,
                .hello = {.version_minor = FRAME_VERSION_MINOR,
                          .features = MESSAGE_FEATURE_LAST_ROWS |
                                      (options->flags & NPUMM_CONNECT_RING ? MESSAGE_FEATURE_RING : 0)},
        };
        struct call call = {.answer = FRAME_WELCOME, .answer_fn = welcomed};
        int r;

        if (options->client_name) {
                strncpy(hello.hello.client_name, options->client_name, MESSAGE_CLIENT_NAME_MAX);
                text_printable(hello.hello.client_name);
        }
        r = client_call(client, &hello, NULL, 0, &call);
        if (r < 0)
                channel_end(&client->channel, r, "no memory to greet the daemon");
        while (!client->info.daemon_version && !channel_has_ended(&client->channel))
                if (client_step(client, deadline_ns) == -ETIMEDOUT)
                        channel_end(&client->channel, -ETIMEDOUT,
                                    "the daemon at %s accepted the connection but did not answer in time",
                                    client->channel.path);
        if (!channel_has_ended(&client->channel) && (client->features & MESSAGE_FEATURE_RING) &&
            (options->flags & NPUMM_CONNECT_RING))
                rings_start(client, deadline_ns);
        if (client->channel.has_ring)
                client->info.transport = "ring";
        return channel_has_ended(&client->channel) ? client_fail_lost(client) : 0;
}

/* Which way frames are to take, where the program does not say. */
static int transport_read(uint32_t *flags, char *ret_text)
{
        const uint32_t both = NPUMM_CONNECT_RING | NPUMM_CONNECT_SOCKET;
        const char *given = secure_getenv("NPUMM_TRANSPORT");

        if ((*flags & ~both) != 0 || *flags == both) {
                text_set(ret_text,
                         "flags are %#" PRIx32
                         "; this library knows %#x (rings) and %#x (the socket), one of "
                         "them at a time",
                         *flags, (unsigned)NPUMM_CONNECT_RING, (unsigned)NPUMM_CONNECT_SOCKET);
                return NPUMM_STATUS_INVALID;
        }
        if (*flags != 0 || !given || given[0] == '\0')
                return 0;
        if (strcmp(given, "ring") == 0) {
                *flags = NPUMM_CONNECT_RING;
        } else if (strcmp(given, "socket") != 0) {
                text_set(ret_text, "NPUMM_TRANSPORT is \"%s\"; it may be \"socket\" or \"ring\"", given);
                return NPUMM_STATUS_INVALID;
        }
        return 0;
}

static int options_read(const struct npumm_connect_options *from, struct npumm_connect_options *ret_options,
                        char *ret_text)
{
        struct npumm_connect_options options = {0};

        if (from && !entry_read(from, from->size, OPTIONS_BYTES_MIN, &options, sizeof options)) {
                text_set(ret_text,
                         "struct npumm_connect_options: its size is %zu, or it asks for something that this "
                         "version of libnpumm cannot do",
                         from->size);
                return NPUMM_STATUS_INVALID;
        }
        if (options.timeout_ms < 0) {
                text_set(ret_text, "timeout_ms is %d; it must be 0 or more", options.timeout_ms);
                return NPUMM_STATUS_INVALID;
        }
        if (transport_read(&options.flags, ret_text) != 0)
                return NPUMM_STATUS_INVALID;
        if (options.timeout_ms == 0)
                options.timeout_ms = CONNECT_TIMEOUT_MS;
        if (!options.socket_path)
                options.socket_path = secure_getenv("NPUMM_SOCKET");
        if (!options.socket_path || options.socket_path[0] == '\0')
                options.socket_path = NPUMM_SOCKET_DEFAULT;
        *ret_options = options;
        return 0;
}

int npumm_connect(const struct npumm_connect_options *options, struct npumm_client **ret_client,
                  char *ret_text)
{
        struct npumm_connect_options given;
        struct npumm_client *client;
        char unwanted_text[NPUMM_TEXT_MAX];
        char *text = ret_text ? ret_text : unwanted_text;
        uint64_t deadline_ns;
        int r;

        r = options_read(options, &given, text);
        if (r != 0)
                return r;
        client = calloc(1, sizeof *client);
        if (!client) {
                text_set(text, "no memory for a connection");
                return -ENOMEM;
        }
        home_init(&client->home);
        TAILQ_INIT(&client->calls);
        arenas_init(&client->arenas);
        jobs_init(&client->jobs);
        deadline_ns = clock_deadline_ns(given.timeout_ms);
        r = channel_open(&client->channel, given.socket_path, deadline_ns, &frames_ops, client);
        if (r == 0)
                r = greet(client, &given, deadline_ns);
        if (r != 0) {
                text_set(text, "%s", client->channel.text);
                npumm_close(client);
                return r;
        }
        *ret_client = client;
        return 0;
}

void npumm_close(struct npumm_client *client)
{
        if (!client || client->in_callback)
                return;
        if (home_is_here(&client->home))
                channel_end(&client->channel, -ENOTCONN, "closed");
        else
                channel_disown(&client->channel);
        jobs_deinit(&client->jobs);
        arenas_deinit(&client->arenas);
        channel_deinit(&client->channel);
        home_deinit(&client->home);
        free(client);
}

const char *npumm_text(const struct npumm_client *client)
{
        return client->text;
}

const struct npumm_info *npumm_info(const struct npumm_client *client)
{
        return &client->info;
}

/* ---- memory ---- */

int npumm_alloc(struct npumm_client *client, size_t size_bytes, void **ret_memory)
{
        uint8_t *memory;
        int r;

        r = entry_begin(client, false);
        if (r != 0)
                return r;
        if (size_bytes == 0)
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "npumm_alloc: 0 bytes; ask for at least one");
        r = arenas_alloc(client, size_bytes, &memory);
        if (r == 0)
                *ret_memory = memory;
        return entry_end(client, r);
}

void npumm_free(struct npumm_client *client, void *memory)
{
        if (!home_is_here(&client->home))
                return;
        if (!arenas_free(client, memory))
                (void)client_fail(client, NPUMM_STATUS_INVALID,
                                  "npumm_free: %p is not what npumm_alloc() gave out", memory);
        (void)entry_end(client, 0);
}

/* ---- weights ---- */

int npumm_weights_load(struct npumm_client *client, const struct npumm_weights_spec *spec,
                       uint64_t *ret_weights)
{
        struct npumm_weights_spec given;
        int r;

        r = entry_begin(client, true);
        if (r != 0)
                return r;
        if (!entry_read(spec, spec->size, WEIGHTS_BYTES_MIN, &given, sizeof given))
                return client_fail(
                        client, NPUMM_STATUS_INVALID,
                        "struct npumm_weights_spec: its size is %zu, or it asks for something that "
                        "this version of libnpumm cannot do",
                        spec->size);
        return entry_end(client, weights_load(client, &given, ret_weights));
}

int npumm_weights_release(struct npumm_client *client, uint64_t weights)
{
        int r = entry_begin(client, true);

        return r != 0 ? r : entry_end(client, weights_release(client, weights));
}

/* ---- jobs ---- */

static int matmul_read(struct npumm_client *client, const struct npumm_matmul *matmul,
                       struct npumm_matmul *ret_given)
{
        if (entry_read(matmul, matmul->size, MATMUL_BYTES_MIN, ret_given, sizeof *ret_given))
                return 0;
        return client_fail(client, NPUMM_STATUS_INVALID,
                           "struct npumm_matmul: its size is %zu, or it asks for something that this version "
                           "of libnpumm cannot do",
                           matmul->size);
}

int npumm_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                 npumm_done_fn done_fn, void *userdata, uint64_t *ret_job)
{
        struct npumm_matmul given;
        int r;

        r = entry_begin(client, false);
        if (r == 0)
                r = matmul_read(client, matmul, &given);
        if (r != 0)
                return r;
        return entry_end(client, jobs_submit(client, &given, rows_fn, done_fn, userdata, ret_job));
}

int npumm_cancel(struct npumm_client *client, uint64_t job)
{
        int r = entry_begin(client, false);

        return r != 0 ? r : entry_end(client, jobs_cancel(client, job));
}

size_t npumm_outstanding(const struct npumm_client *client)
{
        return home_is_here(&client->home) ? client->jobs.n_jobs : 0;
}

/* ---- waiting ---- */

static void matmul_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        (void)job;
        ending_set(userdata, result, client->text);
}

int npumm_matmul(struct npumm_client *client, const struct npumm_matmul *matmul)
{
        struct ending ending = {0};
        struct npumm_matmul given;
        int r;

        r = entry_begin(client, true);
        if (r == 0)
                r = matmul_read(client, matmul, &given);
        if (r != 0)
                return r;
        if (given.flags & NPUMM_MATMUL_MORE)
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "NPUMM_MATMUL_MORE in a blocking call, which would wait for ever: use "
                                   "npumm_submit()");
        r = jobs_submit(client, &given, NULL, matmul_done, &ending, NULL);
        if (r != 0)
                return entry_end(client, r);
        (void)ending_await(client, &ending, CLOCK_NEVER_NS);
        return entry_end(client, ending_result(client, &ending));
}

int npumm_fd(const struct npumm_client *client)
{
        /* From here on it may be waited at whenever the program is not in here. The object is none of a const one. */
        struct channel *channel = (struct channel *)&client->channel;

        if (!home_is_here(&client->home))
                return -1;
        if (!channel->fd_is_used) {
                channel->fd_is_used = true;
                if (channel_ring_rest(channel))
                        channel_wake(channel, true);
        }
        return channel->epoll_fd;
}

int npumm_dispatch(struct npumm_client *client, int timeout_ms)
{
        int r;

        r = entry_begin(client, true);
        if (r != 0 && (r != -ENOTCONN || client->loss_is_told))
                return r;
        if (!TAILQ_EMPTY(&client->jobs.news))
                timeout_ms = 0;
        r = client_step(client, clock_deadline_ns(timeout_ms));
        jobs_deliver(client);
        if (channel_has_ended(&client->channel)) {
                client->loss_is_told = true;
                r = client_fail_lost(client);
        } else {
                r = 0;
        }
        return entry_end(client, r);
}

/* ---- the daemon ---- */

/* Asks one question of its own kind; `question` has all but a time limit. */
static int ask(struct npumm_client *client, struct question_options *question,
               struct question_answer *ret_answer)
{
        int r = entry_begin(client, true);

        if (r != 0)
                return r;
        question->timeout_ms = CLIENT_ANSWER_TIMEOUT_MS;
        return entry_end(client, question_ask(client, question, ret_answer));
}

int npumm_ping(struct npumm_client *client, uint64_t *ret_ns)
{
        struct question_options ping = {.request.type = FRAME_PING, .answer = FRAME_PONG};
        const uint64_t begin_ns = clock_now_ns();
        int r = ask(client, &ping, NULL);

        if (r == 0 && ret_ns)
                *ret_ns = clock_now_ns() - begin_ns;
        return r;
}

int npumm_daemon_status(struct npumm_client *client, char **ret_json)
{
        struct question_options status = {
                .request.type = FRAME_STATUS,
                .answer = FRAME_STATUS_REPORT,
                .payload_bytes_max = STATUS_BYTES_MAX,
        };
        struct question_answer answer;
        int r = ask(client, &status, &answer);

        if (r != 0)
                return r;
        if (!answer.payload)
                return client_fail(client, NPUMM_STATUS_INTERNAL,
                                   "the daemon at %s sent an empty status report", client->channel.path);
        *ret_json = answer.payload;
        return 0;
}

/* What a setting or its value may look like: what the daemon would read differently is not sent at all. */
static int word_check(struct npumm_client *client, const char *name, const char *word, size_t least_bytes,
                      size_t most_bytes)
{
        size_t n_bytes;

        if (!word)
                return client_fail(client, NPUMM_STATUS_INVALID, "%s is NULL", name);
        n_bytes = strlen(word);
        if (n_bytes < least_bytes || n_bytes > most_bytes)
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "%s has %zu characters; it must have %zu to %zu", name, n_bytes,
                                   least_bytes, most_bytes);
        for (size_t i = 0; i < n_bytes; i++)
                if (word[i] < ' ' || word[i] > '~')
                        return client_fail(client, NPUMM_STATUS_INVALID,
                                           "%s '%s' is not made of printable ASCII characters alone", name,
                                           word);
        return 0;
}

int npumm_set(struct npumm_client *client, const char *key, const char *value)
{
        struct question_options set = {.request.type = FRAME_SET, .answer = FRAME_SET_DONE};
        int r;

        r = entry_begin(client, true);
        if (r == 0)
                r = word_check(client, "the key", key, 1, MESSAGE_KEY_MAX);
        if (r == 0)
                r = word_check(client, "the value", value, 0, MESSAGE_VALUE_MAX);
        if (r == 0)
                r = client_need_minor(client, 1, "settings at run time",
                                      "change its configuration and restart it");
        if (r != 0)
                return r;
        strcpy(set.request.set.key, key);
        strcpy(set.request.set.value, value);
        return ask(client, &set, NULL);
}
