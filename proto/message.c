/* SPDX-License-Identifier: MIT */
/* message.c - see message.h. The only file that sees protobuf types. */
#include "message.h"

#include <stdio.h>

#include "message-quick.h"
#include "npumm.pb-c.h"
#include "ring.h"

#define X(name, value, text)                                                                                 \
        static_assert((int)NPUMM__V1__STATUS__##name == STATUS_##name, "status.h and npumm.proto disagree");
STATUS_TABLE(X)
#undef X

static_assert((int)NPUMM__V1__OUTPUT__INT32 == OUTPUT_INT32, "output forms");
static_assert((int)NPUMM__V1__OUTPUT__INT8 == OUTPUT_INT8, "output forms");
static_assert((int)NPUMM__V1__OUTPUT__FLOAT32 == OUTPUT_FLOAT32, "output forms");
static_assert((int)NPUMM__V1__OUTPUT__TILE16_SHIFT7 == OUTPUT_TILE16_SHIFT7, "output forms");
static_assert((int)NPUMM__V1__ROUNDING__FLOOR == ROUNDING_FLOOR, "rounding");
static_assert((int)NPUMM__V1__ROUNDING__NEAREST_EVEN == ROUNDING_NEAREST_EVEN, "rounding");
static_assert((int)NPUMM__V1__CLASS__NORMAL == CLASS_NORMAL, "classes");
static_assert((int)NPUMM__V1__CLASS__INTERACTIVE == CLASS_INTERACTIVE, "classes");
static_assert((int)NPUMM__V1__CLASS__BULK == CLASS_BULK, "classes");

/*
 * The budget of one unpacked message. Version 1.2's largest takes about 700 bytes; the rest lets a newer peer
 * send fields that we do not know. A message that wants more (64 KiB of empty unknown fields would take 4 MiB
 * on the heap) is refused.
 */
#define UNPACK_BUDGET_BYTES 16384

struct budget {
        _Alignas(max_align_t) uint8_t bytes[UNPACK_BUDGET_BYTES];
        size_t used;
};

static void *budget_alloc(void *userdata, size_t size)
{
        struct budget *budget = userdata;
        size_t aligned = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
        void *p;

        if (size > sizeof budget->bytes || aligned > sizeof budget->bytes - budget->used)
                return NULL;
        p = budget->bytes + budget->used;
        budget->used += aligned;
        return p;
}

/* All of a message goes at once, with the stack frame that holds its budget. */
static void budget_free(void *userdata, void *p)
{
        (void)userdata;
        (void)p;
}

/* Unpacks into `budget`; NULL where the bytes are no such message or it wants more than its budget. */
static void *unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *control, size_t n_bytes,
                    struct budget *budget)
{
        ProtobufCAllocator allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = budget};

        budget->used = 0;
        return protobuf_c_message_unpack(descriptor, &allocator, n_bytes, control);
}

/* ---- requests ---- */

/* Puts what a stranger wrote into a form that is safe in a log line. */
static void printable_copy(const char *from, char *to, size_t to_bytes)
{
        size_t i = 0;

        for (; from[i] != '\0' && i + 1 < to_bytes; i++)
                to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
        to[i] = '\0';
}

/* A string of a request. One that is too long is refused, not cut: the rest of it may have mattered. */
static bool string_read(const char *name, const char *from, char *to, size_t to_bytes, struct fault *fault)
{
        if (strlen(from) >= to_bytes)
                return fault_set(fault, STATUS_INVALID, "%s is %zu bytes long; it may have %zu", name,
                                 strlen(from), to_bytes - 1);
        printable_copy(from, to, to_bytes);
        return true;
}

static bool hello_read(const void *message, uint64_t payload_bytes, struct request *request,
                       struct fault *fault)
{
        const Npumm__V1__Hello *hello = message;

        (void)payload_bytes;
        request->hello.version_minor = hello->version_minor;
        request->hello.features = hello->features;
        return string_read("client_name", hello->client_name, request->hello.client_name,
                           sizeof request->hello.client_name, fault);
}

static bool arena_create_read(const void *message, uint64_t payload_bytes, struct request *request,
                              struct fault *fault)
{
        const Npumm__V1__ArenaCreate *create = message;

        (void)payload_bytes;
        if (create->size_bytes == 0)
                return fault_set(fault, STATUS_INVALID, "size_bytes is 0; an arena has at least one byte");
        request->arena_create.size_bytes = create->size_bytes;
        return true;
}

static bool arena_release_read(const void *message, uint64_t payload_bytes, struct request *request,
                               struct fault *fault)
{
        const Npumm__V1__ArenaRelease *release = message;

        (void)payload_bytes;
        (void)fault;
        request->arena_release.arena = release->arena; /* whether it exists, the session knows */
        return true;
}

static struct place place_of(const Npumm__V1__Operand *operand)
{
        return (struct place){
                .arena = operand->arena,
                .offset_bytes = operand->offset_bytes,
                .ld_elems = operand->ld_elems,
                .extent_bytes = 1, /* given; the check derives the number */
        };
}

static bool vector_read(const char *name, const Npumm__V1__Operand *operand, struct place *ret_place,
                        struct fault *fault)
{
        if (!operand)
                return true;
        if (operand->ld_elems != 0)
                return fault_set(fault, STATUS_INVALID, "%s is a vector: its leading dimension must be 0",
                                 name);
        *ret_place = place_of(operand);
        return true;
}

static bool matmul_read(const void *message, uint64_t payload_bytes, struct request *request,
                        struct fault *fault)
{
        const Npumm__V1__Matmul *from = message;
        struct request_matmul *matmul = &request->matmul;

        matmul->more = from->more; /* also of a job that is refused: the group it is in needs to know */
        if (!from->a || !from->c)
                return fault_set(fault, STATUS_INVALID, "operand %s is missing", from->a ? "C" : "A");
        *matmul = (struct request_matmul){
                .m = from->m,
                .k = from->k,
                .n = from->n,
                .a = place_of(from->a),
                .b_transposed = from->b_transposed,
                .c = place_of(from->c),
                .form = (enum output_form)from->output,
                .shift = from->shift,
                .rounding = (enum rounding)from->rounding,
                .class = (enum job_class)from->class_,
                .deadline_us = from->deadline_us,
                .more = from->more,
        };
        switch (from->b_from_case) {
        case NPUMM__V1__MATMUL__B_FROM_B:
                matmul->b = place_of(from->b);
                break;
        case NPUMM__V1__MATMUL__B_FROM_WEIGHTS:
                matmul->b_is_weights = true;
                matmul->weights = from->weights;
                break;
        case NPUMM__V1__MATMUL__B_FROM__NOT_SET:
        default:
                return fault_set(fault, STATUS_INVALID, "B is missing: give an operand or a weights handle");
        }
        return vector_read("row_scale", from->row_scale, &matmul->row_scale, fault) &&
               vector_read("col_scale", from->col_scale, &matmul->col_scale, fault) &&
               vector_read("bias", from->bias, &matmul->bias, fault) &&
               message_check_matmul(matmul, payload_bytes, fault);
}

static bool weights_load_read(const void *message, uint64_t payload_bytes, struct request *request,
                              struct fault *fault)
{
        const Npumm__V1__WeightsLoad *load = message;

        if (!load->b)
                return fault_set(fault, STATUS_INVALID, "operand B is missing");
        request->weights_load = (struct request_weights_load){
                .k = load->k,
                .n = load->n,
                .b = place_of(load->b),
                .b_transposed = load->b_transposed,
        };
        return message_check_weights_load(&request->weights_load, payload_bytes, fault);
}

static bool weights_release_read(const void *message, uint64_t payload_bytes, struct request *request,
                                 struct fault *fault)
{
        const Npumm__V1__WeightsRelease *release = message;

        (void)payload_bytes;
        if (release->weights == 0)
                return fault_set(fault, STATUS_INVALID, "weights is 0, which no handle ever is");
        request->weights_release.weights = release->weights;
        return true;
}

static bool set_read(const void *message, uint64_t payload_bytes, struct request *request,
                     struct fault *fault)
{
        const Npumm__V1__Set *set = message;
        struct request_set *to = &request->set;

        (void)payload_bytes;
        return string_read("key", set->key, to->key, sizeof to->key, fault) &&
               string_read("value", set->value, to->value, sizeof to->value, fault);
}

static bool ring_start_read(const void *message, uint64_t payload_bytes, struct request *request,
                            struct fault *fault)
{
        const Npumm__V1__RingStart *start = message;
        uint64_t end;

        (void)payload_bytes;
        if (!ring_size_is_valid(start->submission_bytes) || !ring_size_is_valid(start->completion_bytes))
                return fault_set(fault, STATUS_INVALID,
                                 "rings of %u and %u bytes; a ring has a power of two of them, %u to %u",
                                 start->submission_bytes, start->completion_bytes, RING_BYTES_MIN,
                                 RING_BYTES_MAX);
        if (start->offset_bytes % RING_ALIGN_BYTES != 0)
                return fault_set(fault, STATUS_INVALID, "offset_bytes of the rings is not a multiple of %u",
                                 RING_ALIGN_BYTES);
        if (!checked_add(start->offset_bytes,
                         ring_extent_bytes(start->submission_bytes, start->completion_bytes), &end))
                return fault_set(fault, STATUS_INVALID, "the rings end beyond 64 bits");
        request->ring_start = (struct request_ring_start){
                .arena = start->arena,
                .offset_bytes = start->offset_bytes,
                .submission_bytes = start->submission_bytes,
                .completion_bytes = start->completion_bytes,
        };
        return true;
}

typedef bool (*request_read_fn)(const void *message, uint64_t payload_bytes, struct request *request,
                                struct fault *fault);

/* NULL descriptor: the control part is empty. */
static const struct request_kind {
        enum frame_type type;
        const ProtobufCMessageDescriptor *descriptor;
        request_read_fn read;
} request_kinds[] = {
        {FRAME_HELLO, &npumm__v1__hello__descriptor, hello_read},
        {FRAME_ARENA_CREATE, &npumm__v1__arena_create__descriptor, arena_create_read},
        {FRAME_ARENA_RELEASE, &npumm__v1__arena_release__descriptor, arena_release_read},
        {FRAME_MATMUL, &npumm__v1__matmul__descriptor, matmul_read},
        {FRAME_CANCEL, NULL, NULL},
        {FRAME_STATUS, NULL, NULL},
        {FRAME_PING, NULL, NULL},
        {FRAME_WEIGHTS_LOAD, &npumm__v1__weights_load__descriptor, weights_load_read},
        {FRAME_WEIGHTS_RELEASE, &npumm__v1__weights_release__descriptor, weights_release_read},
        {FRAME_SET, &npumm__v1__set__descriptor, set_read},
        {FRAME_RING_START, &npumm__v1__ring_start__descriptor, ring_start_read},
};

bool message_read_request(const struct frame_header *header, const uint8_t *control,
                          struct request *ret_request, struct fault *ret_fault)
{
        const struct request_kind *kind = request_kinds;
        struct budget budget;
        const void *message;

        if (header->type == FRAME_MATMUL) {
                *ret_request = (struct request){.type = FRAME_MATMUL, .id = header->request_id};
                if (message_quick_read_matmul(control, header->control_bytes, &ret_request->matmul))
                        return message_check_matmul(&ret_request->matmul, header->payload_bytes, ret_fault);
        }
        while (kind->type != header->type) {
                kind++;
                assert(kind < request_kinds + ARRAY_SIZE(request_kinds)); /* the decoder let it through */
        }
        *ret_request = (struct request){.type = kind->type, .id = header->request_id};
        if (!kind->descriptor) {
                if (header->control_bytes != 0)
                        return fault_set(ret_fault, STATUS_PROTOCOL,
                                         "%s takes no control part, but has %u bytes",
                                         frame_type_name(kind->type), header->control_bytes);
                return true;
        }
        message = unpack(kind->descriptor, control, header->control_bytes, &budget);
        if (!message)
                return fault_set(ret_fault, STATUS_PROTOCOL,
                                 "the control part of %s (%u bytes) is not a valid message",
                                 frame_type_name(kind->type), header->control_bytes);
        return kind->read(message, header->payload_bytes, ret_request, ret_fault);
}

static void place_write(const struct place *place, Npumm__V1__Operand *ret_operand)
{
        npumm__v1__operand__init(ret_operand);
        ret_operand->arena = place->arena;
        ret_operand->offset_bytes = place->offset_bytes;
        ret_operand->ld_elems = place->ld_elems;
}

static size_t weights_load_write(const struct request_weights_load *load, uint8_t *ret_control)
{
        Npumm__V1__WeightsLoad to = NPUMM__V1__WEIGHTS_LOAD__INIT;
        Npumm__V1__Operand b;

        place_write(&load->b, &b);
        to.k = load->k;
        to.n = load->n;
        to.b = &b;
        to.b_transposed = load->b_transposed;
        return npumm__v1__weights_load__pack(&to, ret_control);
}

static size_t set_write(const struct request_set *set, uint8_t *ret_control)
{
        Npumm__V1__Set to = NPUMM__V1__SET__INIT;
        struct request_set copy = *set; /* protobuf-c's strings are not const */

        to.key = copy.key;
        to.value = copy.value;
        return npumm__v1__set__pack(&to, ret_control);
}

size_t message_write_request(const struct request *request, uint8_t ret_control[MESSAGE_WRITE_MAX])
{
        switch (request->type) {
        case FRAME_HELLO: {
                Npumm__V1__Hello to = NPUMM__V1__HELLO__INIT;
                char name[MESSAGE_CLIENT_NAME_MAX + 1];

                memcpy(name, request->hello.client_name, sizeof name);
                to.version_minor = request->hello.version_minor;
                to.features = request->hello.features;
                to.client_name = name;
                return npumm__v1__hello__pack(&to, ret_control);
        }
        case FRAME_ARENA_CREATE: {
                Npumm__V1__ArenaCreate to = NPUMM__V1__ARENA_CREATE__INIT;

                to.size_bytes = request->arena_create.size_bytes;
                return npumm__v1__arena_create__pack(&to, ret_control);
        }
        case FRAME_ARENA_RELEASE: {
                Npumm__V1__ArenaRelease to = NPUMM__V1__ARENA_RELEASE__INIT;

                to.arena = request->arena_release.arena;
                return npumm__v1__arena_release__pack(&to, ret_control);
        }
        case FRAME_MATMUL:
                return message_quick_write_matmul(&request->matmul, ret_control);
        case FRAME_WEIGHTS_LOAD:
                return weights_load_write(&request->weights_load, ret_control);
        case FRAME_WEIGHTS_RELEASE: {
                Npumm__V1__WeightsRelease to = NPUMM__V1__WEIGHTS_RELEASE__INIT;

                to.weights = request->weights_release.weights;
                return npumm__v1__weights_release__pack(&to, ret_control);
        }
        case FRAME_SET:
                return set_write(&request->set, ret_control);
        case FRAME_RING_START: {
                Npumm__V1__RingStart to = NPUMM__V1__RING_START__INIT;

                to.arena = request->ring_start.arena;
                to.offset_bytes = request->ring_start.offset_bytes;
                to.submission_bytes = request->ring_start.submission_bytes;
                to.completion_bytes = request->ring_start.completion_bytes;
                return npumm__v1__ring_start__pack(&to, ret_control);
        }
        default:
                return 0;
        }
}

/* ---- replies ---- */

static const char *text_keep(const char *from, char to[FAULT_TEXT_MAX])
{
        printable_copy(from, to, FAULT_TEXT_MAX);
        return to;
}

static bool welcome_read(const void *message, struct message_text *text, struct reply *reply)
{
        const Npumm__V1__Welcome *welcome = message;

        if (!welcome->limits)
                return false;
        reply->welcome = (struct reply_welcome){
                .version_minor = welcome->version_minor,
                .features = welcome->features,
                .daemon_version = text_keep(welcome->daemon_version, text->text[0]),
                .backend = text_keep(welcome->backend, text->text[1]),
                .limits =
                        {
                                .control_bytes = welcome->limits->control_bytes,
                                .payload_bytes = welcome->limits->payload_bytes,
                                .arena_bytes = welcome->limits->arena_bytes,
                                .arenas = welcome->limits->arenas,
                                .uid_bytes = welcome->limits->uid_bytes,
                                .jobs = welcome->limits->jobs,
                        },
        };
        return true;
}

static bool arena_created_read(const void *message, struct message_text *text, struct reply *reply)
{
        const Npumm__V1__ArenaCreated *created = message;

        (void)text;
        reply->arena_created.arena = created->arena;
        reply->arena_created.size_bytes = created->size_bytes;
        return created->arena != 0 && created->size_bytes != 0;
}

static bool weights_loaded_read(const void *message, struct message_text *text, struct reply *reply)
{
        const Npumm__V1__WeightsLoaded *loaded = message;

        (void)text;
        reply->weights_loaded = (struct reply_weights_loaded){
                .weights = loaded->weights,
                .charged_bytes = loaded->charged_bytes,
                .shared = loaded->shared,
        };
        return loaded->weights != 0;
}

static bool rows_read(const void *message, struct message_text *text, struct reply *reply)
{
        const Npumm__V1__Rows *rows = message;

        (void)text;
        reply->rows.first_row = rows->first_row;
        reply->rows.rows = rows->rows;
        return true;
}

static bool outcome_read(const void *message, struct message_text *text, struct reply *reply)
{
        const Npumm__V1__Outcome *outcome = message;
        const unsigned status = (unsigned)outcome->status;

        reply->outcome.status = status < STATUS_MAX ? (enum status)status : STATUS_MAX;
        reply->outcome.text = text_keep(outcome->text, text->text[0]);
        return true;
}

typedef bool (*reply_read_fn)(const void *message, struct message_text *text, struct reply *reply);

static const struct reply_kind {
        enum frame_type type;
        const ProtobufCMessageDescriptor *descriptor;
        reply_read_fn read;
} reply_kinds[] = {
        {FRAME_WELCOME, &npumm__v1__welcome__descriptor, welcome_read},
        {FRAME_ARENA_CREATED, &npumm__v1__arena_created__descriptor, arena_created_read},
        {FRAME_ARENA_RELEASED, NULL, NULL},
        {FRAME_ROWS, &npumm__v1__rows__descriptor, rows_read},
        {FRAME_DONE, &npumm__v1__outcome__descriptor, outcome_read},
        {FRAME_STATUS_REPORT, NULL, NULL},
        {FRAME_PONG, NULL, NULL},
        {FRAME_ERROR, &npumm__v1__outcome__descriptor, outcome_read},
        {FRAME_BYE, &npumm__v1__outcome__descriptor, outcome_read},
        {FRAME_WEIGHTS_LOADED, &npumm__v1__weights_loaded__descriptor, weights_loaded_read},
        {FRAME_WEIGHTS_RELEASED, NULL, NULL},
        {FRAME_SET_DONE, NULL, NULL},
        {FRAME_RING_STARTED, NULL, NULL},
};

/* What each job brings; false: it is something else. */
static bool quick_read_reply(const struct frame_header *header, const uint8_t *control,
                             struct message_text *text, struct reply *ret_reply)
{
        struct reply reply = {.type = (enum frame_type)header->type, .id = header->request_id};

        if (header->type == FRAME_ROWS) {
                if (!message_quick_read_rows(control, header->control_bytes, &reply.rows))
                        return false;
        } else if (header->type == FRAME_DONE && header->control_bytes == 0) { /* OK, and nothing to say */
                text->text[0][0] = '\0';
                reply.outcome = (struct reply_outcome){.status = STATUS_OK, .text = text->text[0]};
        } else {
                return false;
        }
        *ret_reply = reply;
        return true;
}

bool message_read_reply(const struct frame_header *header, const uint8_t *control, struct message_text *text,
                        struct reply *ret_reply)
{
        const struct reply_kind *kind = reply_kinds;
        struct budget budget;
        const void *message;

        if (quick_read_reply(header, control, text, ret_reply))
                return true;
        while (kind->type != header->type) {
                kind++;
                assert(kind < reply_kinds + ARRAY_SIZE(reply_kinds)); /* the decoder let it through */
        }
        *ret_reply = (struct reply){.type = kind->type, .id = header->request_id};
        if (!kind->descriptor)
                return header->control_bytes == 0;
        message = unpack(kind->descriptor, control, header->control_bytes, &budget);
        return message && kind->read(message, text, ret_reply);
}

static size_t welcome_write(const struct reply_welcome *welcome, uint8_t *ret_control)
{
        Npumm__V1__Welcome to = NPUMM__V1__WELCOME__INIT;
        Npumm__V1__Limits limits = NPUMM__V1__LIMITS__INIT;
        char daemon_version[FAULT_TEXT_MAX], backend[FAULT_TEXT_MAX];

        printable_copy(welcome->daemon_version, daemon_version, sizeof daemon_version);
        printable_copy(welcome->backend, backend, sizeof backend);
        limits.control_bytes = welcome->limits.control_bytes;
        limits.payload_bytes = welcome->limits.payload_bytes;
        limits.arena_bytes = welcome->limits.arena_bytes;
        limits.arenas = welcome->limits.arenas;
        limits.uid_bytes = welcome->limits.uid_bytes;
        limits.jobs = welcome->limits.jobs;
        to.version_minor = welcome->version_minor;
        to.features = welcome->features;
        to.daemon_version = daemon_version;
        to.backend = backend;
        to.limits = &limits;
        return npumm__v1__welcome__pack(&to, ret_control);
}

static size_t outcome_write(const struct reply_outcome *outcome, uint8_t *ret_control)
{
        Npumm__V1__Outcome to = NPUMM__V1__OUTCOME__INIT;
        char text[FAULT_TEXT_MAX];

        if (outcome->status == STATUS_OK && (!outcome->text || !outcome->text[0]))
                return 0;
        printable_copy(outcome->text ? outcome->text : "", text, sizeof text);
        to.status = (Npumm__V1__Status)outcome->status;
        to.text = text;
        return npumm__v1__outcome__pack(&to, ret_control);
}

size_t message_write_reply(const struct reply *reply, uint8_t ret_control[MESSAGE_WRITE_MAX])
{
        switch (reply->type) {
        case FRAME_WELCOME:
                return welcome_write(&reply->welcome, ret_control);
        case FRAME_ARENA_CREATED: {
                Npumm__V1__ArenaCreated to = NPUMM__V1__ARENA_CREATED__INIT;

                to.arena = reply->arena_created.arena;
                to.size_bytes = reply->arena_created.size_bytes;
                return npumm__v1__arena_created__pack(&to, ret_control);
        }
        case FRAME_WEIGHTS_LOADED: {
                Npumm__V1__WeightsLoaded to = NPUMM__V1__WEIGHTS_LOADED__INIT;

                to.weights = reply->weights_loaded.weights;
                to.charged_bytes = reply->weights_loaded.charged_bytes;
                to.shared = reply->weights_loaded.shared;
                return npumm__v1__weights_loaded__pack(&to, ret_control);
        }
        case FRAME_ROWS:
                return message_quick_write_rows(&reply->rows, ret_control);
        case FRAME_DONE:
        case FRAME_ERROR:
        case FRAME_BYE:
                return outcome_write(&reply->outcome, ret_control);
        default:
                return 0;
        }
}
