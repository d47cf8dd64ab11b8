/* SPDX-License-Identifier: MIT */
/*
 * test-golden.c - the golden frame streams, as files that another program wrote, against our codec.
 *
 * Role: decodes every stream of ../golden in one go, byte by byte, cut at every byte and at every pair of
 *       bytes, and compares what it read with the .txt beside the stream; encodes the same structs again and
 *       compares the bytes.
 */
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "hex.h"
#include "proto/message.h"
#include "tests/unit/suite.h"

#define PAYLOAD_BYTES_MAX 4096
#define PAIRS_BYTES_MAX   1024 /* n * n / 2 decodes: what is longer takes its time */

/* Like ck_assert, but for what is asked a million times: Check makes a note of each of its assertions. */
#define MUST(condition)                                                                                      \
        do {                                                                                                 \
                if (!(condition))                                                                            \
                        ck_abort_msg("%s", #condition);                                                      \
        } while (0)

static const struct stream {
        const char *name;
        bool from_client;
        bool canonical; /* encoding what was read gives the same bytes */
        unsigned n_frames;
} streams[] = {
        {"example-client", true, false, 2}, /* leading dimensions left at 0: the check fills them in */
        {"example-daemon", false, true, 3}, {"client-arenas", true, true, 3},
        {"client-forms", true, true, 3},    {"client-bare", true, true, 3},
        {"client-ring", true, true, 2},     {"client-ring-refused", true, false, 6},
        {"client-newer", true, false, 6},   {"client-refused", true, false, 5},
        {"daemon-arenas", false, true, 4},  {"daemon-ends", false, true, 11},
        {"daemon-bare", false, true, 2},    {"daemon-ring", false, true, 1},
        {"daemon-newer", false, false, 4},  {"client-weights", true, true, 7},
        {"daemon-weights", false, true, 5}, {"client-weights-refused", true, false, 13},
};

/* What reading a stream came to. */
struct reading {
        char text[8192]; /* in the words of the .txt files */
        size_t n_text;
        uint8_t again[4096]; /* the frames, encoded from the structs that were read */
        size_t n_again;
        uint8_t payload[PAYLOAD_BYTES_MAX]; /* of the frame in progress */
        size_t n_payload;
        uint8_t control_again[MESSAGE_WRITE_MAX];
        size_t n_control_again;
        unsigned n_frames;
        bool types_seen[256];
};

static void put(struct reading *reading, const char *format, ...) _printf_(2, 3);

static void put(struct reading *reading, const char *format, ...)
{
        const size_t room = sizeof reading->text - reading->n_text;
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(reading->text + reading->n_text, room, format, args);
        va_end(args);
        MUST(n >= 0 && (size_t)n < room);
        reading->n_text += (size_t)n;
}

static void put_place(struct reading *reading, const char *name, const struct place *place)
{
        if (place->extent_bytes > 0)
                put(reading, "  %s arena=%" PRIu32 " offset=%" PRIu64 " ld=%" PRIu64 " extent=%" PRIu64 "\n",
                    name, place->arena, place->offset_bytes, place->ld_elems, place->extent_bytes);
}

static void put_matmul(struct reading *reading, const struct request_matmul *matmul)
{
        put(reading,
            " m=%" PRIu64 " k=%" PRIu64 " n=%" PRIu64 " output=%d shift=%" PRIu32
            " rounding=%d b_transposed=%d\n",
            matmul->m, matmul->k, matmul->n, (int)matmul->form, matmul->shift, (int)matmul->rounding,
            matmul->b_transposed);
        if (matmul->class != CLASS_NORMAL || matmul->deadline_us != 0 || matmul->more)
                put(reading, "  class=%d deadline_us=%" PRIu64 " more=%d\n", (int)matmul->class,
                    matmul->deadline_us, matmul->more);
        put_place(reading, "a", &matmul->a);
        if (matmul->b_is_weights)
                put(reading, "  weights=%" PRIu64 "\n", matmul->weights);
        else
                put_place(reading, "b", &matmul->b);
        put_place(reading, "c", &matmul->c);
        put_place(reading, "row_scale", &matmul->row_scale);
        put_place(reading, "col_scale", &matmul->col_scale);
        put_place(reading, "bias", &matmul->bias);
}

static void put_request(struct reading *reading, const struct request *request)
{
        switch (request->type) {
        case FRAME_HELLO:
                put(reading, " version_minor=%" PRIu32 " features=0x%" PRIx64 " client_name=\"%s\"\n",
                    request->hello.version_minor, request->hello.features, request->hello.client_name);
                break;
        case FRAME_ARENA_CREATE:
                put(reading, " size_bytes=%" PRIu64 "\n", request->arena_create.size_bytes);
                break;
        case FRAME_ARENA_RELEASE:
                put(reading, " arena=%" PRIu32 "\n", request->arena_release.arena);
                break;
        case FRAME_MATMUL:
                put_matmul(reading, &request->matmul);
                break;
        case FRAME_WEIGHTS_LOAD:
                put(reading, " k=%" PRIu64 " n=%" PRIu64 " b_transposed=%d\n", request->weights_load.k,
                    request->weights_load.n, request->weights_load.b_transposed);
                put_place(reading, "b", &request->weights_load.b);
                break;
        case FRAME_WEIGHTS_RELEASE:
                put(reading, " weights=%" PRIu64 "\n", request->weights_release.weights);
                break;
        case FRAME_SET:
                put(reading, " key=\"%s\" value=\"%s\"\n", request->set.key, request->set.value);
                break;
        case FRAME_RING_START:
                put(reading,
                    " arena=%" PRIu32 " offset=%" PRIu64 " submission=%" PRIu32 " completion=%" PRIu32 "\n",
                    request->ring_start.arena, request->ring_start.offset_bytes,
                    request->ring_start.submission_bytes, request->ring_start.completion_bytes);
                break;
        default:
                put(reading, "\n");
        }
}

static void put_reply(struct reading *reading, const struct reply *reply)
{
        const struct limits *limits = &reply->welcome.limits;

        switch (reply->type) {
        case FRAME_WELCOME:
                put(reading,
                    " version_minor=%" PRIu32 " features=0x%" PRIx64
                    " daemon_version=\"%s\" backend=\"%s\"\n",
                    reply->welcome.version_minor, reply->welcome.features, reply->welcome.daemon_version,
                    reply->welcome.backend);
                put(reading,
                    "  control_bytes=%" PRIu32 " payload_bytes=%" PRIu64 " arena_bytes=%" PRIu64
                    " arenas=%" PRIu32 " uid_bytes=%" PRIu64 " jobs=%" PRIu32 "\n",
                    limits->control_bytes, limits->payload_bytes, limits->arena_bytes, limits->arenas,
                    limits->uid_bytes, limits->jobs);
                break;
        case FRAME_ARENA_CREATED:
                put(reading, " arena=%" PRIu32 " size_bytes=%" PRIu64 "\n", reply->arena_created.arena,
                    reply->arena_created.size_bytes);
                break;
        case FRAME_WEIGHTS_LOADED:
                put(reading, " weights=%" PRIu64 " charged_bytes=%" PRIu64 " shared=%d\n",
                    reply->weights_loaded.weights, reply->weights_loaded.charged_bytes,
                    reply->weights_loaded.shared);
                break;
        case FRAME_ROWS:
                put(reading, " first_row=%" PRIu64 " rows=%" PRIu64 "\n", reply->rows.first_row,
                    reply->rows.rows);
                break;
        case FRAME_DONE:
        case FRAME_ERROR:
        case FRAME_BYE:
                put(reading, " status=%s text=\"%s\"\n", status_name(reply->outcome.status),
                    reply->outcome.text);
                break;
        default:
                put(reading, "\n");
        }
}

static void read_head(struct reading *reading, const struct frame_decoder *decoder)
{
        struct request request;
        struct reply reply;
        struct message_text text;
        struct fault fault;

        MUST(decoder->header.type < ARRAY_SIZE(reading->types_seen));
        reading->types_seen[decoder->header.type] = true;
        reading->n_frames++;
        reading->n_payload = 0;
        reading->n_control_again = 0;
        put(reading, "%s id=%" PRIu64, frame_type_name(decoder->header.type), decoder->header.request_id);
        if (!decoder->from_client) {
                MUST(message_read_reply(&decoder->header, decoder->control, &text, &reply));
                put_reply(reading, &reply);
                reading->n_control_again = message_write_reply(&reply, reading->control_again);
        } else if (message_read_request(&decoder->header, decoder->control, &request, &fault)) {
                put_request(reading, &request);
                reading->n_control_again = message_write_request(&request, reading->control_again);
        } else {
                put(reading, " refused with %s\n", status_name(fault.status));
        }
}

static void append(struct reading *reading, const void *bytes, size_t n_bytes)
{
        MUST(n_bytes <= sizeof reading->again - reading->n_again);
        memcpy(reading->again + reading->n_again, bytes, n_bytes);
        reading->n_again += n_bytes;
}

static void read_end(struct reading *reading, const struct frame_header *read_header)
{
        struct frame_header header = {
                .version_major = FRAME_VERSION_MAJOR,
                .type = read_header->type,
                .control_bytes = (uint32_t)reading->n_control_again,
                .payload_bytes = reading->n_payload,
                .request_id = read_header->request_id,
        };
        uint8_t header_bytes[FRAME_HEADER_BYTES];

        MUST(reading->n_payload == read_header->payload_bytes);
        if (reading->n_payload > 0) {
                put(reading, "  payload ");
                for (size_t i = 0; i < reading->n_payload; i++)
                        put(reading, "%02x", reading->payload[i]);
                put(reading, "\n");
        }
        frame_header_encode(&header, header_bytes);
        append(reading, header_bytes, sizeof header_bytes);
        append(reading, reading->control_again, reading->n_control_again);
        append(reading, reading->payload, reading->n_payload);
}

/* Gives one piece of the stream to the decoder and writes down what comes out. */
static void read_piece(struct reading *reading, struct frame_decoder *decoder, const uint8_t *bytes,
                       size_t n_bytes)
{
        enum frame_event event;
        size_t consumed;

        do {
                MUST(frame_decoder_feed(decoder, bytes, n_bytes, &consumed, &event) == 0);
                MUST(consumed <= n_bytes);
                if (event == FRAME_EVENT_HEAD) {
                        read_head(reading, decoder);
                } else if (event == FRAME_EVENT_PAYLOAD) {
                        MUST(consumed <= sizeof reading->payload - reading->n_payload);
                        memcpy(reading->payload + reading->n_payload, bytes, consumed);
                        reading->n_payload += consumed;
                } else if (event == FRAME_EVENT_END) {
                        read_end(reading, &decoder->header);
                }
                bytes += consumed;
                n_bytes -= consumed;
        } while (event != FRAME_EVENT_MORE);
        MUST(n_bytes == 0);
}

/* Reads the stream in pieces that end at each of `cuts`, which ascend, and at its end. */
static void read_cut(const struct stream *stream, const uint8_t *bytes, size_t n_bytes, const size_t *cuts,
                     size_t n_cuts, struct reading *ret_reading)
{
        struct frame_decoder decoder;
        size_t at = 0;

        ret_reading->n_text = 0;
        ret_reading->n_again = 0;
        ret_reading->n_frames = 0;
        memset(ret_reading->types_seen, 0, sizeof ret_reading->types_seen);
        frame_decoder_init(&decoder, stream->from_client, PAYLOAD_BYTES_MAX);
        for (size_t i = 0; i < n_cuts; i++) {
                read_piece(ret_reading, &decoder, bytes + at, cuts[i] - at);
                at = cuts[i];
        }
        read_piece(ret_reading, &decoder, bytes + at, n_bytes - at);
        MUST(!frame_decoder_in_frame(&decoder));
        MUST(ret_reading->n_frames == stream->n_frames);
        frame_decoder_deinit(&decoder);
}

static void file_load(const char *name, const char *suffix, uint8_t **ret_bytes, size_t *ret_n_bytes)
{
        char path[4096];
        int r;

        (void)snprintf(path, sizeof path, "%s/%s%s", NPUMM_GOLDEN_DIR, name, suffix);
        r = hex_file_read(path, ret_bytes, ret_n_bytes);
        ck_assert_msg(r == 0, "%s: %s", path, strerror(-r));
        ck_assert_uint_gt(*ret_n_bytes, 0);
}

static void assert_text(const struct reading *reading, const uint8_t *expected, size_t n_expected)
{
        if (reading->n_text != n_expected || memcmp(reading->text, expected, n_expected) != 0)
                ck_abort_msg("read:\n%s\nexpected:\n%.*s", reading->text, (int)n_expected,
                             (const char *)expected);
}

START_TEST(test_every_cut_reads_the_same)
{
        const struct stream *stream = &streams[_i];
        static struct reading reading;
        uint8_t *bytes, *expected;
        size_t n_bytes, n_expected;
        size_t every[4096];

        file_load(stream->name, ".hex", &bytes, &n_bytes);
        file_load(stream->name, ".txt", &expected, &n_expected);
        read_cut(stream, bytes, n_bytes, NULL, 0, &reading);
        assert_text(&reading, expected, n_expected);

        ck_assert_uint_le(n_bytes, ARRAY_SIZE(every));
        for (size_t i = 0; i < n_bytes; i++)
                every[i] = i;
        read_cut(stream, bytes, n_bytes, every, n_bytes, &reading);
        assert_text(&reading, expected, n_expected);

        for (size_t i = 0; i <= n_bytes; i++) {
                read_cut(stream, bytes, n_bytes, &i, 1, &reading);
                assert_text(&reading, expected, n_expected);
        }
        for (size_t i = 0; i <= n_bytes && n_bytes <= PAIRS_BYTES_MAX; i++) {
                for (size_t j = i; j <= n_bytes; j++) {
                        read_cut(stream, bytes, n_bytes, (const size_t[]){i, j}, 2, &reading);
                        assert_text(&reading, expected, n_expected);
                }
        }
        free(expected);
        free(bytes);
}
END_TEST

START_TEST(test_encoding_again)
{
        const struct stream *stream = &streams[_i];
        static struct reading reading, second;
        uint8_t *bytes;
        size_t n_bytes;

        file_load(stream->name, ".hex", &bytes, &n_bytes);
        read_cut(stream, bytes, n_bytes, NULL, 0, &reading);
        if (stream->canonical) {
                ck_assert_uint_eq(reading.n_again, n_bytes);
                ck_assert_mem_eq(reading.again, bytes, n_bytes);
        } else if (strstr(reading.text, "refused") == NULL) {
                read_cut(stream, reading.again, reading.n_again, NULL, 0, &second);
                ck_assert_str_ne(reading.text, "");
                /* An unknown status is written as the first value that is not in the table: still unknown. */
                ck_assert_str_eq(second.text, reading.text);
        }
        free(bytes);
}
END_TEST

START_TEST(test_streams_cover_every_type)
{
        static const struct {
                unsigned type;
                const char *name;
        } types[] = {
#define X(name, wire, from_client, payload) {wire, #name},
                FRAME_TABLE(X)
#undef X
        };
        static struct reading reading;
        bool seen[256] = {false};

        for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
                uint8_t *bytes;
                size_t n_bytes;

                file_load(streams[i].name, ".hex", &bytes, &n_bytes);
                read_cut(&streams[i], bytes, n_bytes, NULL, 0, &reading);
                for (size_t type = 0; type < ARRAY_SIZE(seen); type++)
                        seen[type] |= reading.types_seen[type];
                free(bytes);
        }
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                ck_assert_msg(seen[types[i].type], "no golden stream has a frame %s", types[i].name);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("golden");
        TCase *tcase = tcase_create("streams");

        tcase_add_loop_test(tcase, test_every_cut_reads_the_same, 0, (int)ARRAY_SIZE(streams));
        tcase_add_loop_test(tcase, test_encoding_again, 0, (int)ARRAY_SIZE(streams));
        tcase_add_test(tcase, test_streams_cover_every_type);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
