/* SPDX-License-Identifier: MIT */
/* ring-watch.c - see ring-watch.h. */
#include "daemon/ring-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define BELLS_MAX    64     /* taken from the epoll set at once; the rest comes in the next turn */
#define SPIN_LOOK_NS 5000   /* so often the loop's other business is looked at */
#define SPIN_LOOKS   32     /* between two looks at the clock */
#define SPIN_TURN_NS 500000 /* so long rings alone are served, before the loop has a turn */

static uint32_t cpu_now(void)
{
        const int cpu = sched_getcpu();

        return cpu < 0 ? RING_CPU_UNKNOWN : (uint32_t)cpu;
}

/* ---- awake and asleep ---- */

static void on_busy(uv_idle_t *busy)
{
        (void)busy; /* that it is there is enough */
}

static void stay_busy(struct ring_watch *watch)
{
        (void)uv_idle_start(&watch->busy, on_busy);
}

void ring_end_wake(struct ring_end *end)
{
        if (end->is_awake)
                return;
        end->is_awake = true;
        (void)ring_wake(&end->ring);
        TAILQ_INSERT_TAIL(&end->watch->awake, end, link);
}

static void take_out(struct ring_end *end)
{
        if (end->is_awake)
                TAILQ_REMOVE(&end->watch->awake, end, link);
        end->is_awake = false;
}

void ring_end_publish(struct ring_end *end)
{
        if (ring_publish(&end->ring, cpu_now()))
                (void)!write(end->client_bell_fds[1], "", 1); /* full: it has been rung often enough */
}

/* Each says that it sleeps, and is looked at once more: what came in between has rung no bell. */
static void sleep_all(struct ring_watch *watch)
{
        const uint64_t now_ns = uv_hrtime();
        struct ring_end *end, *next;

        for (end = TAILQ_FIRST(&watch->awake); end; end = next) {
                next = TAILQ_NEXT(end, link);
                if (!watch->ops->has_work(end)) {
                        ring_sleep(&end->ring, watch->ops->wants(end));
                        if (!watch->ops->has_work(end)) {
                                end->asleep_ns = now_ns;
                                take_out(end);
                                continue;
                        }
                        (void)ring_wake(&end->ring);
                }
                stay_busy(watch);
        }
}

static void on_bells(uv_poll_t *bells, int status, int events)
{
        struct ring_watch *watch = container_of(bells, struct ring_watch, bells);
        struct epoll_event rung[BELLS_MAX];
        const uint64_t now_ns = uv_hrtime();
        const int n = epoll_wait(watch->bells_fd, rung, BELLS_MAX, 0);

        (void)status;
        (void)events;
        for (int i = 0; i < n; i++) {
                struct ring_end *end = rung[i].data.ptr;

                if (!end->is_awake && watch->ops->has_work(end)) /* a bell for nothing gives no hope */
                        spin_rung(&watch->spin, now_ns - end->asleep_ns);
                ring_end_wake(end);
        }
}

static void look_at_all(struct ring_watch *watch)
{
        struct ring_end *end, *first_passed = NULL;

        watch->ops->start_turn(watch->userdata);
        TAILQ_FOREACH(end, &watch->awake,
                      link) /* looking takes none out: they go when their handles have closed */
                if (!watch->ops->look(end) && !first_passed)
                        first_passed = end;
        if (!first_passed)
                return;
        while ((end = TAILQ_FIRST(&watch->awake)) != first_passed) {
                TAILQ_REMOVE(&watch->awake, end, link);
                TAILQ_INSERT_TAIL(&watch->awake, end, link);
        }
}

static void on_after_wait(uv_check_t *check)
{
        struct ring_watch *watch = container_of(check, struct ring_watch, after_wait);

        (void)uv_idle_stop(&watch->busy);
        look_at_all(watch);
}

/* ---- spinning ---- */

/* Whoever shares our CPU can say nothing as long as we look. */
static bool may_spin(const struct ring_watch *watch)
{
        const uint32_t cpu = cpu_now();
        const struct ring_end *end;

        if (TAILQ_EMPTY(&watch->awake) || !watch->ops->is_quiet(watch->userdata))
                return false;
        TAILQ_FOREACH(end, &watch->awake, link) {
                const uint32_t theirs = ring_peer_cpu(&end->ring);

                if (theirs == cpu || theirs == RING_CPU_UNKNOWN)
                        return false;
        }
        return true;
}

static bool any_has_work(const struct ring_watch *watch)
{
        struct ring_end *end;

        TAILQ_FOREACH(end, &watch->awake, link)
                if (watch->ops->has_work(end))
                        return true;
        return false;
}

/* Whether the loop has anything to do but for rings: timers, handles that are ready, whatever must not wait. */
static bool loop_is_wanted(uv_loop_t *loop)
{
        struct pollfd ready = {.fd = uv_backend_fd(loop), .events = POLLIN};

        uv_update_time(loop);
        return uv_backend_timeout(loop) == 0 || poll(&ready, 1, 0) != 0;
}

enum spin_end { SPIN_FOUND, SPIN_IN_VAIN, SPIN_BROKEN_OFF };

/* Looks some times; true: something has come. A look at the clock takes as long as one at a ring. */
static bool look_often(const struct ring_watch *watch)
{
        for (unsigned i = 0; i < SPIN_LOOKS; i++) {
                if (any_has_work(watch))
                        return true;
                spin_relax();
        }
        return false;
}

/* Looks until something comes, the time is over, or the loop is wanted elsewhere. *ret_now_ns: about when. */
static enum spin_end spin_once(struct ring_watch *watch, uint64_t *ret_now_ns)
{
        const uint64_t start_ns = uv_hrtime();
        uint64_t now_ns = start_ns, look_ns = start_ns + SPIN_LOOK_NS;
        enum spin_end end = SPIN_IN_VAIN;

        while (now_ns - start_ns < watch->spin.budget_ns) {
                if (look_often(watch)) {
                        end = SPIN_FOUND;
                        break;
                }
                now_ns = uv_hrtime();
                if (now_ns < look_ns)
                        continue;
                if (loop_is_wanted(watch->before_wait.loop)) {
                        end = SPIN_BROKEN_OFF;
                        break;
                }
                look_ns = now_ns + SPIN_LOOK_NS;
        }
        if (watch->spun_ns)
                *watch->spun_ns += now_ns - start_ns;
        *ret_now_ns = now_ns;
        return end;
}

/* True: the loop must not wait now. */
static bool spin(struct ring_watch *watch)
{
        const uint64_t start_ns = uv_hrtime();
        uint64_t now_ns;
        enum spin_end end;

        do {
                if (watch->meter)
                        loop_meter_pause(watch->meter);
                end = spin_once(watch, &now_ns);
                if (watch->meter)
                        loop_meter_resume(watch->meter, now_ns);
                if (end != SPIN_FOUND)
                        break;
                spin_succeeded(&watch->spin);
                look_at_all(watch);
                watch->ops->finish_turn(watch->userdata);
                if (uv_backend_timeout(watch->before_wait.loop) == 0 || uv_hrtime() - start_ns > SPIN_TURN_NS)
                        return true;
        } while (may_spin(watch));
        if (end == SPIN_IN_VAIN)
                spin_failed(&watch->spin);
        return end == SPIN_BROKEN_OFF;
}

static void on_before_wait(uv_prepare_t *prepare)
{
        struct ring_watch *watch = container_of(prepare, struct ring_watch, before_wait);

        if (TAILQ_EMPTY(&watch->awake))
                return;
        /* 0 also where the loop has handles to tell the kernel of: it would wait, but is not to be kept from that. */
        if (uv_backend_timeout(prepare->loop) == 0 ||
            (may_spin(watch) && spin_try(&watch->spin) && spin(watch)))
                stay_busy(watch);
        else
                sleep_all(watch);
}

/* ---- life ---- */

static int bells_make(struct ring_watch *watch)
{
        int r;

        if (watch->has_bells)
                return 0;
        watch->bells_fd = epoll_create1(EPOLL_CLOEXEC);
        if (watch->bells_fd < 0)
                return -errno;
        r = uv_poll_init(watch->busy.loop, &watch->bells, watch->bells_fd);
        if (r < 0) {
                (void)close(watch->bells_fd);
                return r;
        }
        (void)uv_poll_start(&watch->bells, UV_READABLE, on_bells);
        uv_unref((uv_handle_t *)&watch->bells);
        watch->has_bells = true;
        return 0;
}

void ring_watch_open(struct ring_watch *watch, uv_loop_t *loop, uint64_t spin_ns,
                     const struct ring_watch_ops *ops, void *userdata)
{
        *watch = (struct ring_watch){.ops = ops, .userdata = userdata, .spin.budget_ns = spin_ns};
        TAILQ_INIT(&watch->awake);
        (void)uv_check_init(loop, &watch->after_wait);
        (void)uv_check_start(&watch->after_wait, on_after_wait);
        (void)uv_prepare_init(loop, &watch->before_wait);
        (void)uv_prepare_start(&watch->before_wait, on_before_wait);
        (void)uv_idle_init(loop, &watch->busy);
        uv_unref((uv_handle_t *)&watch->after_wait);
        uv_unref((uv_handle_t *)&watch->before_wait);
        uv_unref((uv_handle_t *)&watch->busy);
        (void)bells_make(watch); /* else with the first ring, or that fails, too */
}

static void on_bells_closed(uv_handle_t *handle)
{
        struct ring_watch *watch = container_of((uv_poll_t *)handle, struct ring_watch, bells);

        (void)close(watch->bells_fd);
}

void ring_watch_close(struct ring_watch *watch)
{
        assert(TAILQ_EMPTY(&watch->awake));
        if (watch->has_bells)
                uv_close((uv_handle_t *)&watch->bells, on_bells_closed);
        uv_close((uv_handle_t *)&watch->after_wait, NULL);
        uv_close((uv_handle_t *)&watch->before_wait, NULL);
        uv_close((uv_handle_t *)&watch->busy, NULL);
}

static void bells_close(struct ring_end *end)
{
        closep(&end->bell_fd); /* leaves the epoll set, too, unless the client holds it: see ring_end_close */
        closep(&end->client_bell_fds[0]);
        closep(&end->client_bell_fds[1]);
}

static int bells_open(struct ring_end *end)
{
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = end};

        end->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (end->bell_fd < 0 || pipe2(end->client_bell_fds, O_CLOEXEC | O_NONBLOCK) < 0 ||
            epoll_ctl(end->watch->bells_fd, EPOLL_CTL_ADD, end->bell_fd, &event) < 0)
                return -errno;
        return 0;
}

int ring_end_open(struct ring_end *end, struct ring_watch *watch, uint8_t *memory, uint32_t submission_bytes,
                  uint32_t completion_bytes, void (*release_fn)(void *owner), void *owner, void *userdata)
{
        int r;

        *end = (struct ring_end){.watch = watch, .bell_fd = -1, .client_bell_fds = {-1, -1}};
        r = bells_make(watch);
        if (r == 0)
                r = bells_open(end);
        if (r < 0) {
                bells_close(end);
                return r;
        }
        end->release_fn = release_fn;
        end->owner = owner;
        end->userdata = userdata;
        ring_init_daemon(&end->ring, memory, submission_bytes, completion_bytes);
        ring_end_wake(end);
        return 0;
}

void ring_end_close(struct ring_end *end)
{
        take_out(end);
        if (!end->watch->leaves_rings)
                ring_shut(&end->ring);
        /* The client has the same open file: closing our descriptor would leave it in the set. */
        (void)epoll_ctl(end->watch->bells_fd, EPOLL_CTL_DEL, end->bell_fd, NULL);
        bells_close(end);
        end->release_fn(end->owner);
}
