/* SPDX-License-Identifier: MIT */
/*
 * fuzz-frame.c - any bytes at all as a stream, cut anywhere: the decoder says what a straight reading says.
 *
 * Role: reads the input once as the text of proto/README.md section 2 has it (the whole stream in memory,
 *       nothing incremental, no code of frame.c), and through the decoder in one piece and in pieces whose
 *       cuts follow from the input. All three must come to the same.
 */
#include <inttypes.h>
#include <stdio.h>

#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_summary(uint64_t n_runs);

#define PAYLOAD_BYTES_MAX 2000u /* small, so that lengths over it are likely */

static uint64_t n_frames_seen, n_results[16];

/* What a stream came to: everything that a caller could see of it, in one number. */
struct account {
        uint64_t digest;
        uint64_t n_frames; /* that have ended */
        int result;        /* FRAME_E_* */
        bool in_frame;     /* the stream stops in the middle of one */
};

static void account_bytes(struct account *account, const uint8_t *bytes, uint64_t n)
{
        for (uint64_t i = 0; i < n; i++)
                account->digest = (account->digest ^ bytes[i]) * 0x100000001b3; /* FNV-1a */
}

static void account_number(struct account *account, uint64_t number)
{
        for (unsigned i = 0; i < 8; i++)
                account->digest = (account->digest ^ ((number >> 8 * i) & 0xff)) * 0x100000001b3;
}

static uint64_t field(const uint8_t *header, unsigned offset, unsigned n_bytes)
{
        uint64_t value = 0;

        while (n_bytes-- > 0)
                value = value << 8 | header[offset + n_bytes];
        return value;
}

/* ---- the straight reading ---- */

static int straight_header(const uint8_t *header, bool from_client)
{
        const uint64_t type = field(header, 6, 2);
        const bool known = from_client ? type >= 1 && type <= 11 : type >= 65 && type <= 77;
        const bool has_payload = type == 4 || type == 8 || type == 68 || type == 70;

        if (header[0] != 'N' || header[1] != 'P' || header[2] != 'M' || header[3] != 'M')
                return FRAME_E_MAGIC;
        if (field(header, 4, 2) != 1)
                return FRAME_E_VERSION;
        if (field(header, 8, 4) != 0)
                return FRAME_E_FLAGS;
        if (!known)
                return FRAME_E_TYPE;
        if (field(header, 12, 4) > 65536)
                return FRAME_E_CONTROL;
        if (field(header, 16, 8) > 0 && !has_payload)
                return FRAME_E_NO_PAYLOAD;
        return field(header, 16, 8) > PAYLOAD_BYTES_MAX ? FRAME_E_PAYLOAD : 0;
}

static struct account straight(const uint8_t *data, uint64_t left, bool from_client)
{
        struct account account = {.digest = 1};

        while (left >= 32) {
                const uint64_t control_bytes = field(data, 12, 4);
                const uint64_t payload_bytes = field(data, 16, 8);

                account.in_frame = true;
                account.result = straight_header(data, from_client);
                if (account.result != 0 || left - 32 < control_bytes)
                        return account;
                account_number(&account, field(data, 6, 2));
                account_number(&account, control_bytes);
                account_number(&account, payload_bytes);
                account_number(&account, field(data, 24, 8));
                account_bytes(&account, data + 32, control_bytes);
                data += 32 + control_bytes;
                left -= 32 + control_bytes;
                account_bytes(&account, data, payload_bytes < left ? payload_bytes : left);
                if (left < payload_bytes)
                        return account;
                data += payload_bytes;
                left -= payload_bytes;
                account.n_frames++;
                account.in_frame = false;
        }
        account.in_frame = left > 0;
        return account;
}

/* ---- through the decoder ---- */

static void account_event(struct account *account, const struct frame_decoder *decoder,
                          enum frame_event event, const uint8_t *bytes, size_t consumed,
                          uint64_t *payload_seen)
{
        const struct frame_header *header = &decoder->header;

        if (event == FRAME_EVENT_HEAD) {
                assert(header->version_major == 1 && header->flags == 0);
                account_number(account, header->type);
                account_number(account, header->control_bytes);
                account_number(account, header->payload_bytes);
                account_number(account, header->request_id);
                account_bytes(account, decoder->control, header->control_bytes);
                *payload_seen = 0;
        } else if (event == FRAME_EVENT_PAYLOAD) {
                assert(consumed > 0);
                account_bytes(account, bytes, consumed);
                *payload_seen += consumed;
        } else if (event == FRAME_EVENT_END) {
                assert(consumed == 0 && *payload_seen == header->payload_bytes);
                account->n_frames++;
        }
        assert(event == FRAME_EVENT_HEAD || event == FRAME_EVENT_MORE ||
               decoder->payload_left == header->payload_bytes - *payload_seen);
}

/* Feeds one piece. Some of the payload may pass the decoder by. */
static int piece_read(struct account *account, struct frame_decoder *decoder, const uint8_t *bytes, size_t n,
                      bool pass_by, uint64_t *payload_seen)
{
        enum frame_event event;
        size_t consumed;
        int r;

        do {
                if (pass_by && decoder->payload_left > 0 && n > 0) {
                        const size_t part = (size_t)MIN(decoder->payload_left, (uint64_t)n / 2 + 1);

                        frame_decoder_skip_payload(decoder, part);
                        account_bytes(account, bytes, part);
                        *payload_seen += part;
                        bytes += part;
                        n -= part;
                }
                r = frame_decoder_feed(decoder, bytes, n, &consumed, &event);
                if (r != 0)
                        return r;
                assert(consumed <= n);
                account_event(account, decoder, event, bytes, consumed, payload_seen);
                bytes += consumed;
                n -= consumed;
        } while (event != FRAME_EVENT_MORE);
        assert(n == 0);
        return 0;
}

/* `cuts` 0: in one piece; else the state of a generator of pieces. */
static struct account decoded(const uint8_t *data, size_t size, bool from_client, uint64_t cuts)
{
        const uint64_t piece_max = cuts == 0 ? 0 : 1 + cuts % 3 * 40; /* 1: byte by byte */
        struct account account = {.digest = 1};
        struct frame_decoder decoder;
        uint64_t payload_seen = 0;
        size_t at = 0;

        frame_decoder_init(&decoder, from_client, PAYLOAD_BYTES_MAX);
        do {
                size_t n = size - at;

                if (cuts != 0) {
                        cuts = cuts * 6364136223846793005 + 1442695040888963407;
                        n = (size_t)MIN((uint64_t)n, piece_max == 1 ? 1 : (cuts >> 33) % piece_max);
                }
                account.result =
                        piece_read(&account, &decoder, data + at, n, (cuts >> 40) % 4 == 1, &payload_seen);
                at += n;
        } while (account.result == 0 && at < size);
        account.in_frame = frame_decoder_in_frame(&decoder);
        frame_decoder_deinit(&decoder);
        return account;
}

static void compare(const struct account *expected, const struct account *got)
{
        assert(got->result == expected->result);
        assert(got->n_frames == expected->n_frames);
        assert(got->digest == expected->digest);
        assert(got->in_frame == expected->in_frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        for (int from_client = 0; from_client < 2; from_client++) {
                const struct account expected = straight(data, size, from_client);
                const struct account whole = decoded(data, size, from_client, 0);
                const struct account pieces =
                        decoded(data, size, from_client, expected.digest | 1 | size << 1);

                compare(&expected, &whole);
                compare(&expected, &pieces);
                n_frames_seen += whole.n_frames;
                n_results[whole.result]++;
        }
        return 0;
}

int fuzz_summary(uint64_t n_runs)
{
        bool all = true;

        (void)printf("%" PRIu64 " frames decoded; streams by result:", n_frames_seen);
        for (int i = 0; i <= FRAME_E_NO_PAYLOAD; i++) {
                (void)printf(" %" PRIu64, n_results[i]);
                all = all && n_results[i] > 0;
        }
        (void)printf("\n");
        if (n_runs >= 100000 && (!all || n_frames_seen < n_runs / 100)) {
                (void)fprintf(stderr, "some outcome never came: the inputs do not reach the code\n");
                return 1;
        }
        return 0;
}
