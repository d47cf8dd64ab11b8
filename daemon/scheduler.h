/* SPDX-License-Identifier: MIT */
/*
 * scheduler.h - whose job is next.
 *
 * Role:   keeps the jobs that wait, and the order in which the device serves them: fair between users, then between
 *         the connections of a user, in predicted device time; by class; groups as they are complete.
 * In:     accepted jobs, and what each one that is taken will cost. Out: the job that the next slice is cut from.
 * Thread: loop. Pure: no clock, no I/O; time is an argument.
 * Owns:   one record a user. Jobs belong to the pipeline, flows to their clients.
 *
 * Order. Device time is a thing that users share equally, and connections share equally what their user gets: the
 * least served comes first, and is charged what its slice is predicted to add to the batch. One that was away starts
 * again at what the least served of the others has had: it is served at once, and can save nothing up. One that is new
 * starts at the most that anybody who has left had been served, so that leaving and coming back sheds no debt. (This is
 * start-time fair queueing. It bounds unfairness as deficit round robin does, by the largest single charge, but needs
 * no quantum, and who returns does not wait for a round to end.)
 *
 * Classes. A class orders a user's work and is no claim on others' share. INTERACTIVE comes before NORMAL: of its own
 * user always, and of all users as long as its user is not ahead of the others by more than `slack_ns`. BULK is served
 * when nothing else waits, and among itself fairly too. But none waits for ever: a class that has had nothing for
 * `aging_ns` comes once before all others, the one that has waited longest first; and so does, in a user's share, that
 * user's NORMAL before its INTERACTIVE.
 *
 * Groups. A job with `more` is *forming*: it cannot be taken until one without `more` has completed the group. Then
 * the whole group stands in one flow, side by side.
 */
#ifndef DAEMON_SCHEDULER_H
#define DAEMON_SCHEDULER_H

#include "daemon/job.h"

TAILQ_HEAD(job_list, job);

/* The jobs of one class of one connection, first come first served. */
struct scheduler_flow {
        struct scheduler_client *client; /* borrowed: embeds us */
        enum job_class class;
        double served_ns;
        double queued_ns; /* of its jobs */
        struct job_list jobs;
        TAILQ_ENTRY(scheduler_flow) link; /* scheduler_user::flows, while it has jobs */
};

TAILQ_HEAD(scheduler_flow_list, scheduler_flow);

/* INTERACTIVE and NORMAL share one account of what a user has had; BULK, which takes only what is left, another. */
enum scheduler_lane { LANE_FRONT = 0, LANE_BULK, LANE_MAX };

struct scheduler_user {
        uid_t uid;
        unsigned refs; /* by clients, and by jobs that may outlive them */
        struct {
                double served_ns;
                uint64_t n_jobs; /* that wait */
        } lanes[LANE_MAX];
        struct {
                struct scheduler_flow_list flows; /* least served first */
                double floor_ns; /* what the least served one had been served, at the last take */
                double gone_ns;  /* the most that one had been served whose connection has ended */
                double queued_ns;
                uint64_t starved_since_ns; /* when one of its jobs was last taken in turn, or began to wait */
        } classes[CLASS_MAX];
        uint64_t device_ns;               /* measured, so far; counted by the pipeline */
        TAILQ_ENTRY(scheduler_user) link; /* scheduler::users */
};

/* One connection. */
struct scheduler_client {
        struct scheduler_user *user; /* ref */
        struct scheduler_flow flows[CLASS_MAX];
        struct job_list forming; /* the group that is not complete */
};

struct scheduler {
        TAILQ_HEAD(, scheduler_user) users; /* owned; a handful on any real machine, so a list will do */
        /* What the least served user with jobs had been served at the last look, and the most that one had who left. */
        double floors_ns[LANE_MAX], gone_ns[LANE_MAX];
        struct job_list arrivals;  /* all jobs that wait or form, oldest first */
        struct job_list deadlines; /* those with a deadline, earliest first */
        size_t depth;              /* jobs that wait, without those that form */
        size_t class_depth[CLASS_MAX];
        /* When a job of each class was last taken in turn, or began to wait. */
        uint64_t starved_since_ns[CLASS_MAX];
        double queued_ns; /* of all that wait */
        uint64_t aging_ns;
        double slack_ns;
        uint64_t last_group;
};

void scheduler_init(struct scheduler *scheduler, uint64_t aging_ns, double slack_ns);

/* No client, no job and no user may be left. */
void scheduler_deinit(struct scheduler *scheduler);

/* Returns 0 or -ENOMEM. `client` stays where it is until its deinit. */
int scheduler_client_init(struct scheduler *scheduler, struct scheduler_client *client, uid_t uid);

/* None of its jobs may be in the scheduler. */
void scheduler_client_deinit(struct scheduler *scheduler, struct scheduler_client *client);

struct scheduler_user *scheduler_user_ref(struct scheduler_user *user);

/* Returns NULL; NULL is allowed. */
struct scheduler_user *scheduler_user_unref(struct scheduler *scheduler, struct scheduler_user *user);

/* Queues a job that has rows left, whose device time is predicted to be `queued_ns`. With `more` it forms. */
void scheduler_push(struct scheduler *scheduler, struct scheduler_client *client, struct job *job,
                    double queued_ns, uint64_t now_ns);

/* Completes the client's group as it is, if there is one. */
void scheduler_complete_group(struct scheduler *scheduler, struct scheduler_client *client, uint64_t now_ns);

/* The job whose rows come next; NULL if none waits. It stays queued. */
struct job *scheduler_next(struct scheduler *scheduler, uint64_t now_ns);

/* When the oldest job that waits came; 0: none waits. */
uint64_t scheduler_oldest_ns(const struct scheduler *scheduler);

/* Whether a class has waited so long that it comes before others. */
bool scheduler_is_starving(const struct scheduler *scheduler, enum job_class class, uint64_t now_ns);

/* The job behind `job` that belongs to the same group; NULL: it is the last. */
struct job *scheduler_next_of_group(const struct job *job);

/* From `job` on its group is none: each goes by itself, in the same order. */
void scheduler_split_group(struct job *job);

/*
 * `rows` rows of a job go to the device because it was its turn, and add `charge_ns` to their batch. A job with no rows
 * left leaves the scheduler.
 */
void scheduler_take(struct scheduler *scheduler, struct job *job, uint64_t rows, double charge_ns,
                    uint64_t now_ns);

/* The same out of turn: they add nothing to the batch, and whoever waits for a turn goes on waiting. */
void scheduler_take_along(struct scheduler *scheduler, struct job *job, uint64_t rows);

/* What was charged for a slice has turned out to be `ns` more, or less. `client`: NULL once it is gone. */
void scheduler_correct(struct scheduler_user *user, struct scheduler_client *client, enum job_class class,
                       double ns);

/* Takes a job out, if it is there. */
void scheduler_remove(struct scheduler *scheduler, struct job *job);

/*
 * How much of the device's time will have gone to others and to this client before `own_ns` more of its class are
 * done, as things stand: what is queued ahead of it in a fair order.
 */
double scheduler_ahead_ns(const struct scheduler *scheduler, const struct scheduler_client *client,
                          enum job_class class, double own_ns);

#endif
