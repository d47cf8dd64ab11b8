/* SPDX-License-Identifier: MIT */
/* scheduler.c - see scheduler.h. */
#include "daemon/scheduler.h"

#include <errno.h>

/* Strict order of the classes within a user. */
static const enum job_class class_order[] = {CLASS_INTERACTIVE, CLASS_NORMAL, CLASS_BULK};

static enum scheduler_lane lane_of(enum job_class class)
{
        return class == CLASS_BULK ? LANE_BULK : LANE_FRONT;
}

void scheduler_init(struct scheduler *scheduler, uint64_t aging_ns, double slack_ns)
{
        *scheduler = (struct scheduler){.aging_ns = aging_ns, .slack_ns = slack_ns};
        TAILQ_INIT(&scheduler->users);
        TAILQ_INIT(&scheduler->arrivals);
        TAILQ_INIT(&scheduler->deadlines);
}

void scheduler_deinit(struct scheduler *scheduler)
{
        assert(TAILQ_EMPTY(&scheduler->arrivals) && TAILQ_EMPTY(&scheduler->users));
}

/* ---- users and clients ---- */

static struct scheduler_user *user_find(struct scheduler *scheduler, uid_t uid)
{
        struct scheduler_user *user;

        TAILQ_FOREACH(user, &scheduler->users, link)
                if (user->uid == uid)
                        return scheduler_user_ref(user);
        user = calloc(1, sizeof *user);
        if (!user)
                return NULL;
        user->uid = uid;
        user->refs = 1;
        for (size_t i = 0; i < CLASS_MAX; i++)
                TAILQ_INIT(&user->classes[i].flows);
        for (size_t i = 0; i < LANE_MAX; i++)
                user->lanes[i].served_ns = scheduler->gone_ns[i];
        TAILQ_INSERT_TAIL(&scheduler->users, user, link);
        return user;
}

struct scheduler_user *scheduler_user_ref(struct scheduler_user *user)
{
        user->refs++;
        return user;
}

struct scheduler_user *scheduler_user_unref(struct scheduler *scheduler, struct scheduler_user *user)
{
        if (!user || --user->refs > 0)
                return NULL;
        for (size_t i = 0; i < LANE_MAX; i++)
                scheduler->gone_ns[i] = MAX(scheduler->gone_ns[i], user->lanes[i].served_ns);
        TAILQ_REMOVE(&scheduler->users, user, link);
        free(user);
        return NULL;
}

int scheduler_client_init(struct scheduler *scheduler, struct scheduler_client *client, uid_t uid)
{
        *client = (struct scheduler_client){.user = user_find(scheduler, uid)};
        if (!client->user)
                return -ENOMEM;
        TAILQ_INIT(&client->forming);
        for (enum job_class class = 0; class < CLASS_MAX; class += 1) {
                client->flows[class].client = client;
                client->flows[class].class = class;
                client->flows[class].served_ns = client->user->classes[class].gone_ns;
                TAILQ_INIT(&client->flows[class].jobs);
        }
        return 0;
}

void scheduler_client_deinit(struct scheduler *scheduler, struct scheduler_client *client)
{
        assert(TAILQ_EMPTY(&client->forming));
        for (size_t i = 0; i < CLASS_MAX; i++) {
                double *gone_ns = &client->user->classes[i].gone_ns;

                assert(TAILQ_EMPTY(&client->flows[i].jobs));
                *gone_ns = MAX(*gone_ns, client->flows[i].served_ns);
        }
        client->user = scheduler_user_unref(scheduler, client->user);
}

/* ---- flows ---- */

/* From the end: who has just been served mostly belongs there. */
static void flow_insert(struct scheduler_flow *flow)
{
        struct scheduler_flow_list *list = &flow->client->user->classes[flow->class].flows;
        struct scheduler_flow *other = TAILQ_LAST(list, scheduler_flow_list);

        while (other && other->served_ns > flow->served_ns)
                other = TAILQ_PREV(other, scheduler_flow_list, link);
        if (other)
                TAILQ_INSERT_AFTER(list, other, flow, link);
        else
                TAILQ_INSERT_HEAD(list, flow, link);
}

static void flow_take_out(struct scheduler_flow *flow)
{
        TAILQ_REMOVE(&flow->client->user->classes[flow->class].flows, flow, link);
}

static void flow_charge(struct scheduler_flow *flow, double ns)
{
        const bool is_listed = !TAILQ_EMPTY(&flow->jobs);

        if (is_listed)
                flow_take_out(flow);
        flow->served_ns += ns;
        if (is_listed)
                flow_insert(flow);
}

/* Whatever it has not used while it was away is gone. */
static void flow_push(struct scheduler *scheduler, struct scheduler_flow *flow, struct job *job,
                      uint64_t now_ns)
{
        struct scheduler_user *user = flow->client->user;
        const enum scheduler_lane lane = lane_of(flow->class);

        if (user->lanes[lane].n_jobs++ == 0)
                user->lanes[lane].served_ns = MAX(user->lanes[lane].served_ns, scheduler->floors_ns[lane]);
        if (TAILQ_EMPTY(&user->classes[flow->class].flows))
                user->classes[flow->class].starved_since_ns = now_ns;
        if (scheduler->class_depth[flow->class] == 0)
                scheduler->starved_since_ns[flow->class] = now_ns;
        if (TAILQ_EMPTY(&flow->jobs)) {
                flow->served_ns = MAX(flow->served_ns, user->classes[flow->class].floor_ns);
                flow_insert(flow);
        }
        scheduler->class_depth[flow->class]++;
        TAILQ_INSERT_TAIL(&flow->jobs, job, queue_link);
        if (job->product.resident)
                TAILQ_INSERT_TAIL(&job->product.resident->waiting, job, waiting_link);
        job->flow = flow;
        job->is_forming = false;
        scheduler->depth++;
}

static void queued_add(struct scheduler *scheduler, struct job *job, double ns)
{
        job->queued_ns += ns;
        job->flow->queued_ns += ns;
        job->flow->client->user->classes[job->flow->class].queued_ns += ns;
        scheduler->queued_ns += ns;
}

static void flow_remove(struct scheduler *scheduler, struct job *job)
{
        struct scheduler_flow *flow = job->flow;
        struct scheduler_user *user = flow->client->user;

        queued_add(scheduler, job, -job->queued_ns);
        TAILQ_REMOVE(&flow->jobs, job, queue_link);
        if (job->product.resident)
                TAILQ_REMOVE(&job->product.resident->waiting, job, waiting_link);
        user->lanes[lane_of(flow->class)].n_jobs--;
        scheduler->class_depth[flow->class]--;
        scheduler->depth--;
        if (!TAILQ_EMPTY(&flow->jobs))
                return;
        flow_take_out(flow);
        flow->queued_ns = 0; /* sums of fractions: what is left of them is no work */
        if (TAILQ_EMPTY(&user->classes[flow->class].flows))
                user->classes[flow->class].queued_ns = 0;
        if (scheduler->depth == 0)
                scheduler->queued_ns = 0;
}

/* ---- coming and going ---- */

static void deadline_insert(struct scheduler *scheduler, struct job *job)
{
        struct job *other = TAILQ_LAST(&scheduler->deadlines, job_list);

        while (other && other->deadline_ns > job->deadline_ns)
                other = TAILQ_PREV(other, job_list, deadline_link);
        if (other)
                TAILQ_INSERT_AFTER(&scheduler->deadlines, other, job, deadline_link);
        else
                TAILQ_INSERT_HEAD(&scheduler->deadlines, job, deadline_link);
}

/* The group's class is that of the job that completes it. */
static void group_complete(struct scheduler *scheduler, struct scheduler_client *client, enum job_class class,
                           uint64_t now_ns)
{
        const uint64_t group = ++scheduler->last_group;
        struct job *job;

        while ((job = TAILQ_FIRST(&client->forming))) {
                const double queued_ns = job->queued_ns;

                TAILQ_REMOVE(&client->forming, job, queue_link);
                job->group = group;
                job->class = class;
                job->queued_ns = 0;
                flow_push(scheduler, &client->flows[class], job, now_ns);
                queued_add(scheduler, job, queued_ns);
        }
}

void scheduler_push(struct scheduler *scheduler, struct scheduler_client *client, struct job *job,
                    double queued_ns, uint64_t now_ns)
{
        assert(!job->flow && job_rows_left(job) > 0);
        job->arrived_ns = now_ns;
        TAILQ_INSERT_TAIL(&scheduler->arrivals, job, arrival_link);
        if (job->deadline_ns != 0)
                deadline_insert(scheduler, job);
        if (job->more || !TAILQ_EMPTY(&client->forming)) {
                job->flow = &client->flows[job->class];
                job->is_forming = true;
                job->queued_ns = queued_ns;
                TAILQ_INSERT_TAIL(&client->forming, job, queue_link);
                if (!job->more)
                        group_complete(scheduler, client, job->class, now_ns);
                return;
        }
        flow_push(scheduler, &client->flows[job->class], job, now_ns);
        queued_add(scheduler, job, queued_ns);
}

void scheduler_complete_group(struct scheduler *scheduler, struct scheduler_client *client, uint64_t now_ns)
{
        const struct job *last = TAILQ_LAST(&client->forming, job_list);

        if (last)
                group_complete(scheduler, client, last->class, now_ns);
}

void scheduler_remove(struct scheduler *scheduler, struct job *job)
{
        if (!job->flow)
                return;
        if (job->is_forming)
                TAILQ_REMOVE(&job->flow->client->forming, job, queue_link);
        else
                flow_remove(scheduler, job);
        TAILQ_REMOVE(&scheduler->arrivals, job, arrival_link);
        if (job->deadline_ns != 0)
                TAILQ_REMOVE(&scheduler->deadlines, job, deadline_link);
        job->flow = NULL;
        job->is_forming = false;
}

/* ---- order ---- */

/* The least served user with jobs of this class; `or_class` the same, to look for either. */
static struct scheduler_user *user_least_served(struct scheduler *scheduler, enum job_class class,
                                                enum job_class or_class)
{
        const enum scheduler_lane lane = lane_of(class);
        struct scheduler_user *user, *least = NULL;

        TAILQ_FOREACH(user, &scheduler->users, link) {
                if (TAILQ_EMPTY(&user->classes[class].flows) && TAILQ_EMPTY(&user->classes[or_class].flows))
                        continue;
                if (!least || user->lanes[lane].served_ns < least->lanes[lane].served_ns)
                        least = user;
        }
        return least;
}

bool scheduler_is_starving(const struct scheduler *scheduler, enum job_class class, uint64_t now_ns)
{
        return scheduler->class_depth[class] > 0 &&
               now_ns - scheduler->starved_since_ns[class] >= scheduler->aging_ns;
}

/* Of the classes that have waited too long the one that has waited longest. CLASS_MAX: none. */
static enum job_class class_starving(const struct scheduler *scheduler, uint64_t now_ns)
{
        enum job_class starving = CLASS_MAX;

        for (size_t i = 0; i < CLASS_MAX; i++)
                if (scheduler_is_starving(scheduler, (enum job_class)i, now_ns) &&
                    (starving == CLASS_MAX ||
                     scheduler->starved_since_ns[i] < scheduler->starved_since_ns[starving]))
                        starving = (enum job_class)i;
        return starving;
}

static struct job *first_job(const struct scheduler_user *user, enum job_class class)
{
        return TAILQ_FIRST(&TAILQ_FIRST(&user->classes[class].flows)->jobs);
}

/* The next of a user's jobs in the front lane; there is one. */
static struct job *user_first_job(const struct scheduler *scheduler, const struct scheduler_user *user,
                                  uint64_t now_ns)
{
        const bool has_normal = !TAILQ_EMPTY(&user->classes[CLASS_NORMAL].flows);
        const uint64_t normal_since_ns = user->classes[CLASS_NORMAL].starved_since_ns;
        const uint64_t interactive_since_ns = user->classes[CLASS_INTERACTIVE].starved_since_ns;

        if (TAILQ_EMPTY(&user->classes[CLASS_INTERACTIVE].flows))
                return first_job(user, CLASS_NORMAL);
        /* Where batches last longer than that both starve: turn and turn about. */
        if (has_normal && now_ns - normal_since_ns >= scheduler->aging_ns &&
            normal_since_ns <= interactive_since_ns)
                return first_job(user, CLASS_NORMAL);
        return first_job(user, CLASS_INTERACTIVE);
}

static struct job *next_in_front(struct scheduler *scheduler, uint64_t now_ns)
{
        struct scheduler_user *least = user_least_served(scheduler, CLASS_INTERACTIVE, CLASS_NORMAL);
        struct scheduler_user *interactive =
                user_least_served(scheduler, CLASS_INTERACTIVE, CLASS_INTERACTIVE);

        if (!least)
                return NULL;
        scheduler->floors_ns[LANE_FRONT] =
                MAX(scheduler->floors_ns[LANE_FRONT], least->lanes[LANE_FRONT].served_ns);
        if (interactive && interactive->lanes[LANE_FRONT].served_ns <=
                                   least->lanes[LANE_FRONT].served_ns + scheduler->slack_ns)
                least = interactive;
        return user_first_job(scheduler, least, now_ns);
}

static struct job *next_in_bulk(struct scheduler *scheduler)
{
        struct scheduler_user *least = user_least_served(scheduler, CLASS_BULK, CLASS_BULK);

        if (!least)
                return NULL;
        scheduler->floors_ns[LANE_BULK] =
                MAX(scheduler->floors_ns[LANE_BULK], least->lanes[LANE_BULK].served_ns);
        return first_job(least, CLASS_BULK);
}

struct job *scheduler_next(struct scheduler *scheduler, uint64_t now_ns)
{
        const enum job_class starving = class_starving(scheduler, now_ns);
        struct job *job;

        if (starving != CLASS_MAX)
                return first_job(user_least_served(scheduler, starving, starving), starving);
        job = next_in_front(scheduler, now_ns);
        return job ? job : next_in_bulk(scheduler);
}

struct job *scheduler_next_of_group(const struct job *job)
{
        struct job *next = TAILQ_NEXT(job, queue_link);

        return next && job->group != 0 && next->group == job->group ? next : NULL;
}

void scheduler_split_group(struct job *job)
{
        for (struct job *next; job; job = next) {
                next = scheduler_next_of_group(job);
                job->group = 0;
        }
}

void scheduler_take_along(struct scheduler *scheduler, struct job *job, uint64_t rows)
{
        const uint64_t rows_left = job_rows_left(job);

        assert(!job->is_forming && rows >= 1 && rows <= rows_left);
        queued_add(scheduler, job, -job->queued_ns * (double)rows / (double)rows_left);
        job->next_row += rows;
        if (job_rows_left(job) == 0)
                scheduler_remove(scheduler, job);
}

void scheduler_take(struct scheduler *scheduler, struct job *job, uint64_t rows, double charge_ns,
                    uint64_t now_ns)
{
        struct scheduler_flow *flow = job->flow;
        struct scheduler_user *user = flow->client->user;

        user->classes[flow->class].starved_since_ns = now_ns;
        scheduler->starved_since_ns[flow->class] = now_ns;
        user->classes[flow->class].floor_ns = MAX(user->classes[flow->class].floor_ns,
                                                  TAILQ_FIRST(&user->classes[flow->class].flows)->served_ns);
        user->lanes[lane_of(flow->class)].served_ns += charge_ns;
        flow_charge(flow, charge_ns);
        scheduler_take_along(scheduler, job, rows);
}

void scheduler_correct(struct scheduler_user *user, struct scheduler_client *client, enum job_class class,
                       double ns)
{
        user->lanes[lane_of(class)].served_ns += ns;
        if (client)
                flow_charge(&client->flows[class], ns);
}

/* ---- outlook ---- */

uint64_t scheduler_oldest_ns(const struct scheduler *scheduler)
{
        const struct job *job;

        TAILQ_FOREACH(job, &scheduler->arrivals, arrival_link)
                if (!job->is_forming)
                        return job->arrived_ns;
        return 0;
}

/*
 * What of a user's queue comes before a job of `class`: of another lane it does whatever anybody has had, of the same
 * lane in a fair order.
 */
static void earlier_classes(const struct scheduler_user *user, enum job_class class,
                            double *ret_other_lane_ns, double *ret_same_lane_ns)
{
        *ret_other_lane_ns = *ret_same_lane_ns = 0;
        for (size_t i = 0; class_order[i] != class; i++)
                *(lane_of(class_order[i]) == lane_of(class) ? ret_same_lane_ns : ret_other_lane_ns) +=
                        user->classes[class_order[i]].queued_ns;
}

/*
 * In a fair order nobody gets more than the one that waits until that one is done, and nobody gets more than it has
 * queued. So of each other connection at most as much comes first as of this one, and of each other user as of this
 * user. Before BULK comes all that is not BULK.
 */
double scheduler_ahead_ns(const struct scheduler *scheduler, const struct scheduler_client *client,
                          enum job_class class, double own_ns)
{
        const struct scheduler_flow *flow = &client->flows[class], *other;
        const double flow_ns = flow->queued_ns + own_ns;
        double user_ns = flow_ns, other_lane_ns, same_lane_ns, all_ns;
        const struct scheduler_user *user;

        TAILQ_FOREACH(other, &client->user->classes[class].flows, link)
                if (other != flow)
                        user_ns += MIN(other->queued_ns, flow_ns);
        earlier_classes(client->user, class, &other_lane_ns, &same_lane_ns);
        user_ns += same_lane_ns;
        all_ns = user_ns + other_lane_ns;
        TAILQ_FOREACH(user, &scheduler->users, link) {
                if (user == client->user)
                        continue;
                earlier_classes(user, class, &other_lane_ns, &same_lane_ns);
                all_ns += other_lane_ns + MIN(same_lane_ns + user->classes[class].queued_ns, user_ns);
        }
        return all_ns - own_ns;
}
