/* SPDX-License-Identifier: MIT */
/* dispatch.c - see dispatch.h. */
#include "daemon/dispatch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/log.h"

struct dispatch {
        struct dispatch_context *context; /* borrowed: outlives us */
        struct peer peer;
        struct quota_charge charge; /* QUOTA_CONNECTIONS */
        struct connection connection;
        struct session session;
        uint64_t last_id;           /* the greatest request id seen */
        TAILQ_ENTRY(dispatch) link; /* dispatch_context::clients */
};

/* ---- what a connection may do, and when ---- */

/* The state that a frame type needs the session to be in. */
static const struct rule {
        enum frame_type type;
        bool greeted; /* after HELLO; false: it is the HELLO */
        bool own_id;  /* has a new request id; false: names an earlier request's */
} rules[] = {
        {FRAME_HELLO, false, true}, {FRAME_ARENA_CREATE, true, true}, {FRAME_ARENA_RELEASE, true, true},
        {FRAME_MATMUL, true, true}, {FRAME_CANCEL, true, false},      {FRAME_STATUS, true, true},
        {FRAME_PING, true, true},   {FRAME_WEIGHTS_LOAD, true, true}, {FRAME_WEIGHTS_RELEASE, true, true},
        {FRAME_SET, true, true},    {FRAME_RING_START, true, true},
};

static bool rule_check(struct dispatch *dispatch, const struct frame_header *header, struct fault *fault)
{
        const struct rule *rule = rules;

        while (rule->type != header->type) {
                rule++;
                assert(rule < rules + ARRAY_SIZE(rules)); /* the decoder let it through */
        }
        if (rule->greeted != dispatch->session.greeted)
                return fault_set(fault, STATUS_PROTOCOL,
                                 rule->greeted ? "%s came before HELLO; say HELLO first"
                                               : "%s came twice; it is the first frame and no other",
                                 frame_type_name(header->type));
        if (!rule->own_id)
                return true;
        if (header->request_id <= dispatch->last_id)
                return fault_set(fault, STATUS_PROTOCOL,
                                 "request id %" PRIu64 " of %s is not above the last one, %" PRIu64
                                 "; ids must increase and are never used twice",
                                 header->request_id, frame_type_name(header->type), dispatch->last_id);
        dispatch->last_id = header->request_id;
        return true;
}

static void breach(struct dispatch *dispatch, const struct fault *fault)
{
        log_event(LOG_LEVEL_INFO,
                  &(struct log_fields){
                          .has_client = true, .uid = dispatch->peer.uid, .pid = dispatch->peer.pid},
                  "connection ended with %s: %s", status_name(fault->status), fault->text);
        dispatch->context->stats->connections_faulted++;
        dispatch_bye(dispatch, fault->status, fault->text);
}

static void arena_release(void *arena)
{
        (void)arena_unref(arena);
}

/* The one request that is about the connection: the session lends the memory and knows no more of it. */
static void ring_start(struct dispatch *dispatch, const struct request *request)
{
        const struct request_ring_start *start = &request->ring_start;
        uint8_t bytes[REPLY_BYTES_MAX];
        struct arena *arena;
        struct fault fault;
        size_t n_bytes;
        int r;

        if (dispatch->connection.ring) {
                fault_set(&fault, STATUS_INVALID, "this connection has rings; there are none besides");
                session_refuse(&dispatch->session, request, &fault);
                return;
        }
        if (!session_ring_arena(&dispatch->session, start, &arena, &fault)) {
                session_refuse(&dispatch->session, request, &fault);
                return;
        }
        n_bytes = reply_encode(&(struct reply){.type = FRAME_RING_STARTED, .id = request->id}, 0, bytes);
        r = connection_ring_start(&dispatch->connection, arena->memory + start->offset_bytes,
                                  start->submission_bytes, start->completion_bytes, arena_release, arena,
                                  bytes, n_bytes);
        if (r < 0) {
                (void)arena_unref(arena);
                fault_set(&fault, STATUS_BUSY, "no rings: %s; go on without", strerror(-r));
                session_refuse(&dispatch->session, request, &fault);
        }
}

static void on_head(void *userdata, const struct frame_header *header, const uint8_t *control,
                    uint8_t **ret_payload)
{
        struct dispatch *dispatch = userdata;
        struct request request;
        struct fault fault;

        if (!rule_check(dispatch, header, &fault)) {
                breach(dispatch, &fault);
                return;
        }
        if (!message_read_request(header, control, &request, &fault)) {
                if (fault.status == STATUS_PROTOCOL || request.type == FRAME_HELLO)
                        breach(dispatch, &fault);
                else
                        session_refuse(&dispatch->session, &request, &fault);
                return;
        }
        if (request.type == FRAME_RING_START) {
                ring_start(dispatch, &request);
                return;
        }
        session_request(&dispatch->session, &request, header->payload_bytes, ret_payload);
        if (request.type == FRAME_HELLO) {
                connection_greeted(&dispatch->connection);
                log_event(LOG_LEVEL_DEBUG,
                          &(struct log_fields){
                                  .has_client = true, .uid = dispatch->peer.uid, .pid = dispatch->peer.pid},
                          "client \"%s\" has connected", request.hello.client_name);
        }
}

static void on_end(void *userdata)
{
        struct dispatch *dispatch = userdata;

        session_payload_done(&dispatch->session);
}

/* ---- what goes wrong below ---- */

static void fault_describe(const struct dispatch *dispatch, int r, const struct frame_header *header,
                           struct fault *ret_fault)
{
        const struct connection_set *set = dispatch->context->connections;

        switch (r) {
        case FRAME_E_MAGIC:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "the first bytes are not \"" FRAME_MAGIC
                          "\": this socket speaks npumatmul's protocol alone");
                break;
        case FRAME_E_VERSION:
                fault_set(
                        ret_fault, STATUS_VERSION,
                        "the client speaks protocol version %u, this daemon version %d; update the older one",
                        header->version_major, FRAME_VERSION_MAJOR);
                break;
        case FRAME_E_FLAGS:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "frame flags 0x%" PRIx32 " are unknown; version %d has none", header->flags,
                          FRAME_VERSION_MAJOR);
                break;
        case FRAME_E_TYPE:
                fault_set(ret_fault, STATUS_PROTOCOL, "frame type %u (%s) is not one that clients send",
                          header->type, frame_type_name(header->type));
                break;
        case FRAME_E_CONTROL:
                fault_set(ret_fault, STATUS_TOO_BIG,
                          "%s has a control part of %" PRIu32 " bytes; %u are allowed",
                          frame_type_name(header->type), header->control_bytes, FRAME_CONTROL_BYTES_MAX);
                break;
        case FRAME_E_NO_PAYLOAD:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "%s has a payload of %" PRIu64 " bytes; only MATMUL and WEIGHTS_LOAD may have one",
                          frame_type_name(header->type), header->payload_bytes);
                break;
        case FRAME_E_PAYLOAD:
                fault_set(ret_fault, STATUS_TOO_BIG,
                          "%s has a payload of %" PRIu64 " bytes, over the limit inline-bytes = %" PRIu64
                          "; put larger operands into an arena",
                          frame_type_name(header->type), header->payload_bytes, set->payload_bytes_max);
                break;
        case CONNECTION_E_FDS:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "file descriptors were passed; clients pass none: arenas are made by the daemon");
                break;
        case CONNECTION_E_HELLO_TIME:
                fault_set(ret_fault, STATUS_PROTOCOL, "no HELLO within %" PRIu64 " ms", set->times.hello_ms);
                break;
        case CONNECTION_E_FRAME_TIME:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "a frame was begun and not finished within %" PRIu64
                          " ms (and its payload at %" PRIu64 " bytes/s)",
                          set->times.frame_ms, set->times.payload_bytes_per_s);
                break;
        case CONNECTION_E_STALL_TIME:
                fault_set(ret_fault, STATUS_PROTOCOL, "no reply byte was accepted for %" PRIu64 " ms",
                          set->times.stall_ms);
                break;
        case CONNECTION_E_SOCKET:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "bytes came by the socket after RING_START; what there is to say goes by the ring");
                break;
        case CONNECTION_E_RING_TAIL:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "the submission ring's tail is not where bytes can have been written");
                break;
        case CONNECTION_E_RING_HEAD:
                fault_set(ret_fault, STATUS_PROTOCOL,
                          "the completion ring's head is not where bytes can have been read");
                break;
        default:
                assert(false && "a fault that the table above lacks");
        }
}

static void on_fault(void *userdata, int r, const struct frame_header *header)
{
        struct dispatch *dispatch = userdata;
        struct fault fault;

        /* A client that closes or dies is no fault of anybody's: this is the ordinary end. */
        if (r < 0 || r == CONNECTION_E_EOF) {
                if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                        log_event(LOG_LEVEL_WARNING,
                                  &(struct log_fields){.has_client = true,
                                                       .uid = dispatch->peer.uid,
                                                       .pid = dispatch->peer.pid},
                                  "connection ended: %s", strerror(-r));
                connection_close(&dispatch->connection);
                return;
        }
        fault_describe(dispatch, r, header, &fault);
        breach(dispatch, &fault);
        if (r == CONNECTION_E_STALL_TIME ||
            r == CONNECTION_E_RING_HEAD) /* it would not read its BYE either */
                connection_close(&dispatch->connection);
}

static void on_closed(void *userdata)
{
        struct dispatch *dispatch = userdata;
        struct dispatch_context *context = dispatch->context;

        session_deinit(&dispatch->session);
        TAILQ_REMOVE(&context->clients, dispatch, link);
        context->n_clients--;
        quota_discharge(&dispatch->charge);
        free(dispatch);
        context->client_gone(context->userdata);
}

static const struct connection_ops connection_ops = {
        .head = on_head,
        .end = on_end,
        .fault = on_fault,
        .closed = on_closed,
};

/* ---- life ---- */

int dispatch_open(struct dispatch_context *context, int fd, const struct peer *peer,
                  const struct quota_charge *charge)
{
        struct dispatch *dispatch = calloc(1, sizeof *dispatch);
        struct quota_charge owned = *charge;
        struct reply_sink sink;
        int r;

        if (!dispatch) {
                quota_discharge(&owned);
                (void)close(fd);
                return -ENOMEM;
        }
        sink = reply_sink_for(&dispatch->connection);
        r = session_init(&dispatch->session, context->sessions, &sink, peer->uid);
        if (r < 0) {
                (void)close(fd);
        } else {
                r = connection_open(&dispatch->connection, context->connections, fd, &connection_ops,
                                    dispatch);
                if (r < 0)
                        session_deinit(&dispatch->session);
        }
        if (r < 0) {
                quota_discharge(&owned);
                free(dispatch);
                return r;
        }
        dispatch->context = context;
        dispatch->peer = *peer;
        dispatch->charge = owned;
        TAILQ_INSERT_TAIL(&context->clients, dispatch, link);
        context->n_clients++;
        context->stats->connections_accepted++;
        return 0;
}

void dispatch_bye(struct dispatch *dispatch, enum status status, const char *text)
{
        const struct reply_sink sink = reply_sink_for(&dispatch->connection);

        sink.send(sink.userdata,
                  &(struct reply){.type = FRAME_BYE, .outcome = {.status = status, .text = text}}, NULL, -1);
        connection_finish(&dispatch->connection);
}

void dispatch_turn_away(int fd, enum status status, const char *text)
{
        uint8_t bytes[REPLY_BYTES_MAX];
        const size_t n_bytes = reply_encode(
                &(struct reply){.type = FRAME_BYE, .outcome = {.status = status, .text = text}}, 0, bytes);

        (void)send(fd, bytes, n_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)close(fd);
}

bool dispatch_shed(struct dispatch_context *context, const uid_t *uid)
{
        struct dispatch *dispatch;

        TAILQ_FOREACH(dispatch, &context->clients, link) {
                if (dispatch->session.greeted || dispatch->connection.closing ||
                    (uid && dispatch->peer.uid != *uid))
                        continue;
                context->stats->connections_refused++;
                quota_discharge(&dispatch->charge);
                connection_close(&dispatch->connection);
                return true;
        }
        return false;
}

size_t dispatch_report(const struct dispatch_context *context, struct stats_client *ret_clients, size_t n_max)
{
        const struct dispatch *dispatch;
        size_t n = 0;

        TAILQ_FOREACH(dispatch, &context->clients, link) {
                if (n == n_max)
                        break;
                if (!dispatch->session.greeted)
                        continue;
                ret_clients[n++] = (struct stats_client){
                        .uid = dispatch->peer.uid,
                        .pid = dispatch->peer.pid,
                        .name = dispatch->session.name,
                        .device_ns = dispatch->session.client.device_ns,
                        .jobs = dispatch->session.n_jobs,
                };
        }
        return n;
}

void dispatch_bye_all(struct dispatch_context *context, enum status status, const char *text)
{
        struct dispatch *dispatch;

        TAILQ_FOREACH(dispatch, &context->clients, link)
                dispatch_bye(dispatch, status, text);
}

void dispatch_close_all(struct dispatch_context *context)
{
        struct dispatch *dispatch;

        TAILQ_FOREACH(dispatch, &context->clients, link)
                connection_close(&dispatch->connection);
}
