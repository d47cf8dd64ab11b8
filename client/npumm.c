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
#include "frames.h"
#include "text.h"

#define X(name, value, text)                                                                                 \
        static_assert((int)NPUMM_STATUS_##name == STATUS_##name, "npumm.h and status.h disagree");
STATUS_TABLE(X)
#undef X

#define CONNECT_TIMEOUT_MS 10000
#define STATUS_BYTES_MAX   ((uint64_t)1 << 20) /* a report is a few KiB */
#define STRUCT_BYTES_MAX   4096 /* of any version of a struct in npumm.h: a larger `size` was never set */

/* Where a struct would end if `field` were its last. */
#define END_OF(type, field) (offsetof(type, field) + sizeof((type *)0)->field)

/* The structs of the first version end with these fields. */
#define OPTIONS_BYTES_MIN END_OF(struct npumm_connect_options, flags)
#define MATMUL_BYTES_MIN  END_OF(struct npumm_matmul, bias)

/* Padding at the end would be counted by `size`, and hold anything where a later version has a field. */
#if UINTPTR_MAX > UINT32_MAX /* where pointers are smaller the layout differs, and ends elsewhere */
static_assert(END_OF(struct npumm_connect_options, flags) == sizeof(struct npumm_connect_options), "padding");
static_assert(END_OF(struct npumm_info, arenas_max) == sizeof(struct npumm_info), "padding");
static_assert(END_OF(struct npumm_matmul, bias) == sizeof(struct npumm_matmul), "padding");
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

/*
 * Copies a struct of the caller, which may be of an older version (fields that it does not have are 0) or
 * of a newer one (fields that we do not know must be 0, as we cannot do what they ask for).
 */
static bool struct_read(const void *from, size_t from_bytes, size_t min_bytes, void *to, size_t to_bytes)
{
        const uint8_t *bytes = from;

        if (from_bytes < min_bytes || from_bytes > STRUCT_BYTES_MAX)
                return false;
        for (size_t i = to_bytes; i < from_bytes; i++)
                if (bytes[i] != 0)
                        return false;
        memset(to, 0, to_bytes);
        memcpy(to, from, MIN(from_bytes, to_bytes));
        return true;
}

/* Whether a function may do anything now. `blocks`: it runs callbacks, and so must not be called from one. */
static int enter(struct npumm_client *client, bool blocks)
{
        if (client->pid != getpid())
                return client_fail(client, -EPERM,
                                   "this client belongs to process %jd: connect again after a fork",
                                   (intmax_t)client->pid);
        if (blocks && client->in_callback)
                return client_fail(client, -EDEADLK, "not from inside a callback: return from it first");
        if (channel_has_ended(&client->channel))
                return client_fail(client, -ENOTCONN, "not connected: %s", client->channel.text);
        return 0;
}

/* Sees to it that npumm_fd() is readable as long as there is something to tell. Returns `r`. */
static int leave(struct npumm_client *client, int r)
{
        const bool has_news = !TAILQ_EMPTY(&client->jobs.news);
        const bool has_loss = channel_has_ended(&client->channel) && !client->loss_is_told;

        if (!client->in_callback)
                channel_wake(&client->channel, has_news || has_loss);
        return r;
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
        };
}

static int greet(struct npumm_client *client, const struct npumm_connect_options *options,
                 uint64_t deadline_ns)
{
        struct request hello = {.type = FRAME_HELLO, .hello.version_minor = FRAME_VERSION_MINOR};
        struct call call = {.answer = FRAME_WELCOME, .answer_fn = welcomed};
        int r;

        if (options->client_name) {
                strncpy(hello.hello.client_name, options->client_name, MESSAGE_CLIENT_NAME_MAX);
                text_printable(hello.hello.client_name);
        }
        r = client_call(client, &hello, &call);
        if (r < 0)
                channel_end(&client->channel, r, "no memory to greet the daemon");
        while (!client->info.daemon_version && !channel_has_ended(&client->channel))
                if (client_step(client, deadline_ns) == -ETIMEDOUT)
                        channel_end(&client->channel, -ETIMEDOUT,
                                    "the daemon at %s accepted the connection but did not answer in time",
                                    client->channel.path);
        return channel_has_ended(&client->channel) ? client_fail_lost(client) : 0;
}

static int options_read(const struct npumm_connect_options *from, struct npumm_connect_options *ret_options,
                        char *ret_text)
{
        struct npumm_connect_options options = {0};

        if (from && !struct_read(from, from->size, OPTIONS_BYTES_MIN, &options, sizeof options)) {
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
        if (options.flags != 0) {
                text_set(ret_text, "flags are %#" PRIx32 "; this library knows none: set them to 0",
                         options.flags);
                return NPUMM_STATUS_INVALID;
        }
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
        client->pid = getpid();
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
        if (client->pid == getpid())
                channel_end(&client->channel, -ENOTCONN, "closed");
        else
                channel_disown(&client->channel);
        jobs_deinit(&client->jobs);
        arenas_deinit(&client->arenas);
        channel_deinit(&client->channel);
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

        r = enter(client, false);
        if (r != 0)
                return r;
        if (size_bytes == 0)
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "npumm_alloc: 0 bytes; ask for at least one");
        r = arenas_alloc(client, size_bytes, &memory);
        if (r == 0)
                *ret_memory = memory;
        return leave(client, r);
}

void npumm_free(struct npumm_client *client, void *memory)
{
        if (client->pid != getpid())
                return;
        if (!arenas_free(client, memory))
                (void)client_fail(client, NPUMM_STATUS_INVALID,
                                  "npumm_free: %p is not what npumm_alloc() gave out", memory);
        (void)leave(client, 0);
}

/* ---- jobs ---- */

static int submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                  npumm_done_fn done_fn, void *userdata, uint64_t *ret_job)
{
        struct npumm_matmul given;

        if (!struct_read(matmul, matmul->size, MATMUL_BYTES_MIN, &given, sizeof given))
                return client_fail(
                        client, NPUMM_STATUS_INVALID,
                        "struct npumm_matmul: its size is %zu, or it asks for something that this version "
                        "of libnpumm cannot do",
                        matmul->size);
        return jobs_submit(client, &given, rows_fn, done_fn, userdata, ret_job);
}

int npumm_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                 npumm_done_fn done_fn, void *userdata, uint64_t *ret_job)
{
        int r = enter(client, false);

        if (r != 0)
                return r;
        return leave(client, submit(client, matmul, rows_fn, done_fn, userdata, ret_job));
}

int npumm_cancel(struct npumm_client *client, uint64_t job)
{
        int r = enter(client, false);

        return r != 0 ? r : leave(client, jobs_cancel(client, job));
}

size_t npumm_outstanding(const struct npumm_client *client)
{
        return client->pid == getpid() ? client->jobs.n_jobs : 0;
}

/* ---- waiting ---- */

/* What a blocking function waits for. The text is kept: callbacks that run before it returns set others. */
struct ending {
        bool is_over;
        int result;
        char text[NPUMM_TEXT_MAX];
};

static void ending_set(struct ending *ending, int result, const char *text)
{
        ending->is_over = true;
        ending->result = result;
        text_set(ending->text, "%s", text);
}

/* Returns -ETIMEDOUT, or 0 when `ending` is over. */
static int wait_for(struct npumm_client *client, const struct ending *ending, uint64_t deadline_ns)
{
        while (!ending->is_over) {
                int r = client_step(client, deadline_ns);

                jobs_deliver(client);
                if (r == -ETIMEDOUT && !ending->is_over)
                        return r;
        }
        return 0;
}

static int ending_result(struct npumm_client *client, const struct ending *ending)
{
        if (ending->result == 0)
                return 0;
        return client_fail(client, ending->result, "%s", ending->text);
}

static void matmul_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        (void)job;
        ending_set(userdata, result, client->text);
}

int npumm_matmul(struct npumm_client *client, const struct npumm_matmul *matmul)
{
        struct ending ending = {0};
        int r;

        r = enter(client, true);
        if (r != 0)
                return r;
        r = submit(client, matmul, NULL, matmul_done, &ending, NULL);
        if (r != 0)
                return leave(client, r);
        (void)wait_for(client, &ending, CLOCK_NEVER_NS);
        return leave(client, ending_result(client, &ending));
}

int npumm_fd(const struct npumm_client *client)
{
        return client->pid == getpid() ? client->channel.epoll_fd : -1;
}

int npumm_dispatch(struct npumm_client *client, int timeout_ms)
{
        int r;

        r = enter(client, true);
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
        return leave(client, r);
}

/* ---- the daemon ---- */

/* A request that a blocking function waits for. It outlives the wait when that is given up. */
struct question {
        struct call call;
        struct ending ending;
        bool is_abandoned;
};

static void question_free(struct question *question)
{
        free(question->call.payload);
        free(question);
}

static void question_answered(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        struct question *question = container_of(call, struct question, call);

        if (question->is_abandoned)
                question_free(question);
        else if (!reply)
                ending_set(&question->ending, client->channel.result, client->channel.text);
        else if (reply->type == FRAME_ERROR)
                ending_set(&question->ending, client_outcome_result(&reply->outcome),
                           client_outcome_text(&reply->outcome));
        else
                ending_set(&question->ending, 0, "");
}

/* Asks a question without content and waits for its answer; `ret_payload` (or NULL) becomes the caller's. */
static int ask(struct npumm_client *client, enum frame_type type, enum frame_type answer,
               uint64_t payload_bytes_max, char **ret_payload)
{
        struct request request = {.type = type};
        struct question *question;
        int r;

        r = enter(client, true);
        if (r != 0)
                return r;
        question = calloc(1, sizeof *question);
        if (!question)
                return client_fail(client, -ENOMEM, "no memory to ask the daemon");
        question->call = (struct call){
                .answer = answer,
                .answer_fn = question_answered,
                .payload_bytes_max = payload_bytes_max,
        };
        r = client_call(client, &request, &question->call);
        if (r < 0) {
                question_free(question);
                return client_fail(client, r, "no memory to ask the daemon");
        }
        r = wait_for(client, &question->ending, clock_deadline_ns(CLIENT_ANSWER_TIMEOUT_MS));
        if (r < 0) {
                question->is_abandoned = true;
                return leave(client, client_fail(client, r, "the daemon at %s did not answer within %d ms",
                                                 client->channel.path, CLIENT_ANSWER_TIMEOUT_MS));
        }
        r = ending_result(client, &question->ending);
        if (r == 0 && ret_payload)
                *ret_payload = steal(&question->call.payload);
        question_free(question);
        return leave(client, r);
}

int npumm_ping(struct npumm_client *client, uint64_t *ret_ns)
{
        const uint64_t begin_ns = clock_now_ns();
        int r = ask(client, FRAME_PING, FRAME_PONG, 0, NULL);

        if (r == 0 && ret_ns)
                *ret_ns = clock_now_ns() - begin_ns;
        return r;
}

int npumm_daemon_status(struct npumm_client *client, char **ret_json)
{
        char *json;
        int r = ask(client, FRAME_STATUS, FRAME_STATUS_REPORT, STATUS_BYTES_MAX, &json);

        if (r != 0)
                return r;
        if (!json)
                return client_fail(client, NPUMM_STATUS_INTERNAL,
                                   "the daemon at %s sent an empty status report", client->channel.path);
        *ret_json = json;
        return 0;
}
