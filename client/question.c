/* SPDX-License-Identifier: MIT */
/* question.c - see question.h. */
#include "question.h"

#include <errno.h>

#include "client.h"
#include "clock.h"
#include "entry.h"

struct question {
        struct call call;
        struct ending ending;
        uint8_t *staged; /* owned: arena memory; NULL: none */
        uint64_t weights;
        bool is_abandoned; /* nobody waits any more */
};

static void question_free(struct npumm_client *client, struct question *question)
{
        (void)arenas_free(client, question->staged);
        free(question->call.payload);
        free(question);
}

static void late_weights_released(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        (void)reply;
        question_free(client, container_of(call, struct question, call));
}

/* The answer that nobody wants any more has come, or never will. */
static void question_bury(struct npumm_client *client, struct question *question, const struct reply *reply)
{
        struct request release = {.type = FRAME_WEIGHTS_RELEASE};

        if (reply && reply->type == FRAME_WEIGHTS_LOADED) {
                release.weights_release.weights = reply->weights_loaded.weights;
                question->call =
                        (struct call){.answer = FRAME_WEIGHTS_RELEASED, .answer_fn = late_weights_released};
                if (client_call(client, &release, NULL, 0, &question->call) == 0)
                        return;
                /* No memory to say so: the daemon keeps them until we close. */
        }
        question_free(client, question);
}

static void question_answered(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        struct question *question = container_of(call, struct question, call);

        if (question->is_abandoned) {
                question_bury(client, question, reply);
        } else if (!reply) {
                ending_set(&question->ending, client->channel.result, client->channel.text);
        } else if (reply->type == FRAME_ERROR) {
                ending_set(&question->ending, client_outcome_result(&reply->outcome),
                           client_outcome_text(&reply->outcome));
        } else {
                if (reply->type == FRAME_WEIGHTS_LOADED)
                        question->weights = reply->weights_loaded.weights;
                ending_set(&question->ending, 0, "");
        }
}

static struct question *question_send(struct npumm_client *client, struct question_options *options)
{
        struct question *question = calloc(1, sizeof *question);

        if (!question) {
                (void)arenas_free(client, options->staged);
                return NULL;
        }
        question->staged = options->staged;
        question->call = (struct call){
                .answer = options->answer,
                .answer_fn = question_answered,
                .payload_bytes_max = options->payload_bytes_max,
        };
        if (client_call(client, &options->request, options->views, options->n_views, &question->call) == 0)
                return question;
        question_free(client, question);
        return NULL;
}

int question_ask(struct npumm_client *client, struct question_options *options,
                 struct question_answer *ret_answer)
{
        struct question *question = question_send(client, options);
        int r;

        if (!question)
                return client_fail(client, -ENOMEM, "no memory to ask the daemon");
        r = ending_await(client, &question->ending, clock_deadline_ns(options->timeout_ms));
        /* The payload is the program's again, also where the daemon has answered before all of it was out. */
        channel_blank(&client->channel, options->request.id);
        if (r < 0) {
                question->is_abandoned = true;
                return client_fail(client, r, "the daemon at %s did not answer within %d ms",
                                   client->channel.path, options->timeout_ms);
        }
        r = ending_result(client, &question->ending);
        if (r == 0 && ret_answer) {
                ret_answer->payload = steal(&question->call.payload);
                ret_answer->weights = question->weights;
        }
        question_free(client, question);
        return r;
}
