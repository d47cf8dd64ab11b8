/* SPDX-License-Identifier: MIT */
/* device-worker.c - see device-worker.h. */
#include "daemon/device-worker.h"

static void batch_begin(struct batch *batch)
{
        batch->n_finished = 0;
        batch->n_begun = 0;
        batch->device_ns = 0;
}

/* ---- thread ---- */

/* Under the mutex: the oldest batch with slices left to run; waits for one. NULL: stop. */
static struct batch *batch_await(struct device_worker *worker)
{
        struct batch *batch;

        for (;;) {
                TAILQ_FOREACH(batch, &worker->inside, device_link)
                        if (batch->n_finished < batch->n_slices)
                                return batch;
                if (worker->stopping)
                        return NULL;
                uv_cond_wait(&worker->changed, &worker->mutex);
        }
}

static struct stack *stack_of(struct batch *batch, size_t slice)
{
        struct stack *stack = batch->stacks;

        while (stack->first + stack->n_slices <= slice)
                stack++;
        return stack;
}

/*
 * Under the mutex: the slices to run next, from batch->n_finished on, none beyond the end of their stack. Where some
 * were dropped they are done with, and the stack is run in pieces.
 */
static size_t slices_choose(struct batch *batch, struct stack **ret_stack)
{
        struct stack *stack = stack_of(batch, batch->n_finished);
        size_t end = batch->n_finished;

        while (end < stack->first + stack->n_slices && !batch->slices[end].is_dropped)
                batch->slices[end++].status = STATUS_OK;
        *ret_stack = stack;
        return end - batch->n_finished;
}

static void worker_thread(void *userdata)
{
        struct device_worker *worker = userdata;
        struct batch *batch;

        uv_mutex_lock(&worker->mutex);
        while ((batch = batch_await(worker))) {
                const struct slice *slices = &batch->slices[batch->n_finished];
                struct stack *stack;
                const size_t n = slices_choose(batch, &stack);
                uint64_t start_ns = 0, end_ns = 0;

                if (n == 0) {
                        batch->slices[batch->n_finished].status = STATUS_CANCELLED;
                } else {
                        batch->n_begun = batch->n_finished + n;
                        uv_mutex_unlock(&worker->mutex);
                        start_ns = uv_hrtime();
                        worker->run_fn(worker->userdata, stack, slices, n);
                        end_ns = uv_hrtime();
                        uv_mutex_lock(&worker->mutex);
                }
                batch->device_ns += end_ns - start_ns;
                batch->n_finished += MAX(n, (size_t)1);
                (void)uv_async_send(&worker->news);
        }
        uv_mutex_unlock(&worker->mutex);
}

/* ---- loop ---- */

static void on_news(uv_async_t *async)
{
        struct device_worker *worker = container_of(async, struct device_worker, news);

        for (;;) {
                struct batch *batch;
                size_t n_finished = 0;

                uv_mutex_lock(&worker->mutex);
                batch = TAILQ_FIRST(&worker->inside);
                if (batch)
                        n_finished = batch->n_finished;
                uv_mutex_unlock(&worker->mutex);
                if (!batch)
                        return;
                while (worker->n_reported < n_finished)
                        worker->events->slice_done(worker->userdata, batch, worker->n_reported++);
                if (n_finished < batch->n_slices)
                        return;
                uv_mutex_lock(&worker->mutex);
                TAILQ_REMOVE(&worker->inside, batch, device_link);
                uv_mutex_unlock(&worker->mutex);
                worker->n_reported = 0;
                worker->events->batch_done(worker->userdata, batch);
        }
}

int device_worker_open(struct device_worker *worker, uv_loop_t *loop, device_worker_run_fn run_fn,
                       const struct device_worker_events *events, void *userdata)
{
        int r;

        *worker = (struct device_worker){.run_fn = run_fn, .events = events, .userdata = userdata};
        TAILQ_INIT(&worker->inside);
        r = uv_mutex_init(&worker->mutex);
        if (r < 0)
                return r;
        r = uv_cond_init(&worker->changed);
        if (r < 0)
                goto fail_cond;
        /* The thread first: the async handle cannot be taken back without a turn of the loop. */
        r = uv_thread_create(&worker->thread, worker_thread, worker);
        if (r < 0)
                goto fail_thread;
        r = uv_async_init(loop, &worker->news, on_news);
        if (r < 0)
                goto fail_async;
        return 0;
fail_async:
        uv_mutex_lock(&worker->mutex);
        worker->stopping = true;
        uv_cond_signal(&worker->changed);
        uv_mutex_unlock(&worker->mutex);
        (void)uv_thread_join(&worker->thread);
fail_thread:
        uv_cond_destroy(&worker->changed);
fail_cond:
        uv_mutex_destroy(&worker->mutex);
        return r;
}

void device_worker_submit(struct device_worker *worker, struct batch *batch)
{
        batch_begin(batch);
        uv_mutex_lock(&worker->mutex);
        TAILQ_INSERT_TAIL(&worker->inside, batch, device_link);
        uv_cond_signal(&worker->changed);
        uv_mutex_unlock(&worker->mutex);
}

/*
 * Stacks are reported when all are computed: what a report brings about is not this batch's time. The thread sleeps
 * meanwhile; what either side sees of the other's work came with the lock.
 */
void device_worker_run(struct device_worker *worker, struct batch *batch)
{
        const uint64_t start_ns = uv_hrtime();

        assert(TAILQ_EMPTY(&worker->inside));
        batch_begin(batch);
        while (batch->n_finished < batch->n_slices) {
                const struct slice *slices = &batch->slices[batch->n_finished];
                struct stack *stack;
                const size_t n = slices_choose(batch, &stack);

                if (n == 0)
                        batch->slices[batch->n_finished].status = STATUS_CANCELLED;
                else
                        worker->run_fn(worker->userdata, stack, slices, n);
                batch->n_finished += MAX(n, (size_t)1);
        }
        batch->device_ns = uv_hrtime() - start_ns;
        for (size_t i = 0; i < batch->n_slices; i++)
                worker->events->slice_done(worker->userdata, batch, i);
        worker->events->batch_done(worker->userdata, batch);
}

void device_worker_drop(struct device_worker *worker, struct batch *batch, size_t index)
{
        uv_mutex_lock(&worker->mutex);
        if (index >= batch->n_begun)
                batch->slices[index].is_dropped = true;
        uv_mutex_unlock(&worker->mutex);
}

static void on_news_closed(uv_handle_t *handle)
{
        struct device_worker *worker = container_of((uv_async_t *)handle, struct device_worker, news);

        uv_cond_destroy(&worker->changed);
        uv_mutex_destroy(&worker->mutex);
        worker->events->closed(worker->userdata);
}

/* The lock outlives this call: it may come from within batch_done, and on_news then looks once more. */
void device_worker_close(struct device_worker *worker)
{
        assert(TAILQ_EMPTY(&worker->inside));
        uv_mutex_lock(&worker->mutex);
        worker->stopping = true;
        uv_cond_signal(&worker->changed);
        uv_mutex_unlock(&worker->mutex);
        (void)uv_thread_join(&worker->thread);
        uv_close((uv_handle_t *)&worker->news, on_news_closed);
}
