/* SPDX-License-Identifier: MIT */
/* results.c - see matmul.h: what becomes of a job once it is sent. */
#include <errno.h>
#include <inttypes.h>

#include "client.h"
#include "job.h"
#include "matmul.h"
#include "text.h"

void jobs_init(struct jobs *jobs)
{
        *jobs = (struct jobs){0};
        TAILQ_INIT(&jobs->list);
        TAILQ_INIT(&jobs->news);
}

static void ranges_deinit(struct ranges *ranges)
{
        if (ranges->all != ranges->few)
                free(ranges->all);
}

void job_free(struct job *job)
{
        if (!job)
                return;
        ranges_deinit(&job->reported);
        ranges_deinit(&job->news);
        free(job);
}

void jobs_deinit(struct jobs *jobs)
{
        struct job *job;

        while ((job = TAILQ_FIRST(&jobs->list))) {
                TAILQ_REMOVE(&jobs->list, job, link);
                job_free(job); /* what it has staged goes with the arenas */
        }
        jobs_init(jobs);
}

struct job *job_find(const struct npumm_client *client, uint64_t id)
{
        struct job *job;

        TAILQ_FOREACH(job, &client->jobs.list, link)
                if (job->id == id)
                        return job;
        return NULL;
}

/* ---- lists of rows ---- */

static uint64_t range_end(const struct range *range)
{
        return range->first_row + range->rows;
}

/* Makes room for one more. */
static bool ranges_grow(struct ranges *ranges)
{
        const bool are_few = ranges->all == ranges->few;
        const size_t n_room = MAX(ranges->n_room * 2, (size_t)8);
        struct range *all;

        if (ranges->n < ranges->n_room)
                return true;
        if (!ranges->all) {
                ranges->all = ranges->few;
                ranges->n_room = ARRAY_SIZE(ranges->few);
                return true;
        }
        all = reallocarray(are_few ? NULL : ranges->all, n_room, sizeof *all);
        if (!all)
                return false;
        if (are_few)
                memcpy(all, ranges->few, sizeof ranges->few);
        ranges->all = all;
        ranges->n_room = n_room;
        return true;
}

static bool ranges_insert(struct ranges *ranges, size_t at, struct range range)
{
        if (!ranges_grow(ranges))
                return false;
        memmove(ranges->all + at + 1, ranges->all + at, (ranges->n - at) * sizeof *ranges->all);
        ranges->all[at] = range;
        ranges->n++;
        return true;
}

static void ranges_remove(struct ranges *ranges, size_t at)
{
        ranges->n--;
        memmove(ranges->all + at, ranges->all + at + 1, (ranges->n - at) * sizeof *ranges->all);
}

/* Where `row` belongs in an ascending list. From its end, as rows mostly come in order. */
static size_t ranges_find(const struct ranges *ranges, uint64_t row)
{
        size_t at = ranges->n;

        while (at > 0 && ranges->all[at - 1].first_row > row)
                at--;
        return at;
}

static bool ranges_overlap(const struct ranges *ranges, struct range range)
{
        const size_t at = ranges_find(ranges, range.first_row);

        return (at > 0 && range_end(&ranges->all[at - 1]) > range.first_row) ||
               (at < ranges->n && range_end(&range) > ranges->all[at].first_row);
}

/* Adds what overlaps nothing to an ascending list. False: no memory. */
static bool ranges_merge(struct ranges *ranges, struct range range)
{
        const size_t at = ranges_find(ranges, range.first_row);
        struct range *before = at > 0 ? &ranges->all[at - 1] : NULL;
        struct range *behind = at < ranges->n ? &ranges->all[at] : NULL;

        if (before && range_end(before) != range.first_row)
                before = NULL;
        if (behind && range_end(&range) != behind->first_row)
                behind = NULL;
        if (!before && !behind)
                return ranges_insert(ranges, at, range);
        if (!before) {
                behind->first_row = range.first_row;
                behind->rows += range.rows;
                return true;
        }
        before->rows += range.rows;
        if (behind) {
                before->rows += behind->rows;
                ranges_remove(ranges, at);
        }
        return true;
}

static uint64_t ranges_sum(const struct ranges *ranges)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < ranges->n; i++)
                sum += ranges->all[i].rows;
        return sum;
}

/* ---- what the daemon reports ---- */

static void job_has_news(struct npumm_client *client, struct job *job)
{
        if (!job->has_news)
                TAILQ_INSERT_TAIL(&client->jobs.news, job, news_link);
        job->has_news = true;
}

static void job_end(struct npumm_client *client, struct job *job, int result, const char *text)
{
        job->is_over = true;
        job->result = result;
        text_copy(job->text, text);
        job_has_news(client, job);
}

void jobs_take_rows_head(struct npumm_client *client, const struct reply *reply, uint64_t payload_bytes,
                         struct channel_view *ret_sink)
{
        const struct reply_rows *rows = &reply->rows;
        const struct job *job = job_find(client, reply->id);
        struct channel_view sink;

        if (!job || job->is_over) {
                client_protocol_fault(client, "ROWS of job %" PRIu64 ", which is not running", reply->id);
                return;
        }
        if (rows->rows == 0 || rows->rows > job->m || rows->first_row > job->m - rows->rows ||
            ranges_overlap(&job->reported, (struct range){rows->first_row, rows->rows})) {
                client_protocol_fault(client,
                                      "ROWS of job %" PRIu64 ": %" PRIu64 " from %" PRIu64 " on, of %" PRIu64
                                      " with %" PRIu64 " reported before",
                                      job->id, rows->rows, rows->first_row, job->m,
                                      ranges_sum(&job->reported));
                return;
        }
        sink = rows_view(job->c.memory + rows->first_row * job->c.stride_bytes, rows->rows, job->c.row_bytes,
                         job->c.stride_bytes);
        if (payload_bytes != (job->is_inline ? sink.bytes : 0)) {
                client_protocol_fault(client,
                                      "ROWS of job %" PRIu64 ": %" PRIu64 " rows with a payload of %" PRIu64
                                      " bytes",
                                      job->id, rows->rows, payload_bytes);
                return;
        }
        if (job->is_inline)
                *ret_sink = sink;
}

/* Notes rows that have become final, and overlap none that were. */
static void rows_note(struct npumm_client *client, struct job *job, struct range range)
{
        struct range *last = job->news.n > job->told ? &job->news.all[job->news.n - 1] : NULL;
        bool is_kept = ranges_merge(&job->reported, range);

        if (is_kept && last && range_end(last) == range.first_row)
                last->rows += range.rows;
        else if (is_kept)
                is_kept = ranges_insert(&job->news, job->news.n, range);
        if (is_kept)
                job_has_news(client, job);
        else
                channel_end(&client->channel, -ENOMEM, "no memory to keep track of finished rows");
}

void jobs_take_rows(struct npumm_client *client, const struct reply *reply)
{
        rows_note(client, job_find(client, reply->id),
                  (struct range){reply->rows.first_row, reply->rows.rows});
}

static bool is_whole(const struct job *job)
{
        return job->reported.n == 1 && job->reported.all[0].rows == job->m;
}

/* The first rows that were not reported. */
static struct range first_gap(const struct job *job)
{
        const struct ranges *reported = &job->reported;
        const size_t behind = reported->n > 0 && reported->all[0].first_row == 0 ? 1 : 0;
        const uint64_t begin = behind == 1 ? reported->all[0].rows : 0;

        return (struct range){begin,
                              (behind < reported->n ? reported->all[behind].first_row : job->m) - begin};
}

/* A DONE that is well is the report of all rows that have had none; false: the connection has ended. */
static bool rows_complete(struct npumm_client *client, struct job *job)
{
        while (!is_whole(job) && !channel_has_ended(&client->channel))
                rows_note(client, job, first_gap(job));
        return !channel_has_ended(&client->channel);
}

void jobs_take_done(struct npumm_client *client, const struct reply *reply)
{
        struct job *job = job_find(client, reply->id);
        const int result = client_outcome_result(&reply->outcome);

        if (!job || job->is_over) {
                client_protocol_fault(client, "DONE of job %" PRIu64 ", which is not running", reply->id);
                return;
        }
        if (result == 0 && (client->features & MESSAGE_FEATURE_LAST_ROWS) && !job->is_inline) {
                if ((job->rows_fn || job->staged_c) && !rows_complete(client, job))
                        return;
        } else if (result == 0 && !is_whole(job)) {
                client_protocol_fault(client,
                                      "DONE of job %" PRIu64 " with %" PRIu64 " of %" PRIu64 " rows reported",
                                      job->id, ranges_sum(&job->reported), job->m);
                return;
        }
        channel_blank(&client->channel, job->id);
        job_end(client, job, result, result == 0 ? "" : client_outcome_text(&reply->outcome));
}

void jobs_take_loss(struct npumm_client *client)
{
        struct job *job;

        TAILQ_FOREACH(job, &client->jobs.list, link)
                if (!job->is_over)
                        job_end(client, job, client->channel.result, client->channel.text);
}

/* ---- telling the caller ---- */

/*
 * Whether the arenas still held what the daemon had put there until this was called. Unless it stops in
 * order it clears them when a connection ends, but only after it has closed the socket: as long as that is
 * open to its side, what has been read is good. Other jobs may get news meanwhile.
 */
static bool arenas_are_intact(struct npumm_client *client)
{
        while (!channel_has_ended(&client->channel) && channel_peer_has_left(&client->channel))
                channel_pump(&client->channel);
        return !channel_has_ended(&client->channel) || client->daemon_has_stopped;
}

/* The product went with the arenas: no more is told of its rows, and the job has not ended well. */
static void job_spoil(const struct npumm_client *client, struct job *job)
{
        job->told = job->news.n = 0;
        if (job->result != 0)
                return;
        job->result = client->channel.result;
        text_copy(job->text, client->channel.text);
}

static void rows_tell(struct npumm_client *client, struct job *job)
{
        const struct range range = job->news.all[job->told++];
        const uint64_t row_bytes = job->c.row_bytes;

        if (job->told == job->news.n)
                job->told = job->news.n = 0;
        if (job->staged_c)
                rows_copy(job->c.memory + range.first_row * job->c.stride_bytes, job->c.stride_bytes,
                          job->staged_c + range.first_row * row_bytes, row_bytes, range.rows, row_bytes);
        else if (!job->rows_fn) /* nobody looks at them yet */
                return;
        if (!job->is_inline && !arenas_are_intact(client)) {
                job_spoil(client, job);
                return;
        }
        if (!job->rows_fn)
                return;
        client->in_callback = true;
        job->rows_fn(client, job->id, range.first_row, range.rows, job->userdata);
        client->in_callback = false;
}

static void done_tell(struct npumm_client *client, struct job *job)
{
        /* Rows that were staged have been copied while they were intact; others lie in an arena still. */
        if (job->result == 0 && !job->is_inline && !job->staged_c && !arenas_are_intact(client))
                job_spoil(client, job);
        TAILQ_REMOVE(&client->jobs.news, job, news_link);
        TAILQ_REMOVE(&client->jobs.list, job, link);
        client->jobs.n_jobs--;
        (void)arenas_free(client, job->staged); /* now, so that a job submitted in the callback can have it */
        text_copy(client->text, job->text);
        if (job->done_fn) {
                client->in_callback = true;
                job->done_fn(client, job->id, job->result, job->userdata);
                client->in_callback = false;
        }
        job_free(job);
}

static void news_tell(struct npumm_client *client)
{
        struct job *job;

        while ((job = TAILQ_FIRST(&client->jobs.news))) {
                if (job->news.n > job->told) {
                        rows_tell(client, job);
                } else if (job->is_over) {
                        done_tell(client, job);
                } else {
                        TAILQ_REMOVE(&client->jobs.news, job, news_link);
                        job->has_news = false;
                }
        }
}

void jobs_deliver(struct npumm_client *client)
{
        assert(!client->in_callback);
        do {
                news_tell(client);
                /* What the callbacks have submitted goes out together. That it cannot is news again. */
                channel_flush(&client->channel);
        } while (!TAILQ_EMPTY(&client->jobs.news));
}
