/* SPDX-License-Identifier: MIT */
/*
 * process.h - a real daemon for a test in C: started, watched, stopped.
 *
 * Role:   starts npumatmuld on a private socket in a directory of its own and waits for its READY=1;
 *         no sleeps.
 * Thread: one.
 * Owns:   the process, the directory.
 *
 * Whatever goes wrong here ends the test program with a line on stderr: there is nothing left to test.
 */
#ifndef TESTS_LIB_PROCESS_H
#define TESTS_LIB_PROCESS_H

#include "proto/base.h"

#include <sys/types.h>

struct daemon_process {
        pid_t pid;
        int notify_fd; /* owned */
        char directory[64];
        char socket_path[96];
        char notify_path[96];
};

/* Prints the message like printf, with the errno's text if `error` is not 0, and exits with 1. */
_Noreturn void die(int error, const char *format, ...) _printf_(2, 3);

/*
 * Starts `program` with --backend=cpu and, if `config_lines` is not NULL, a configuration file of these lines
 * ("key = value\n" each); returns when it is ready.
 */
void daemon_process_start(struct daemon_process *process, const char *program, const char *config_lines);

/* SIGTERM; it must exit with 0. Removes the directory. */
void daemon_process_stop(struct daemon_process *process);

/* What the kernel says of it now. */
struct process_usage {
        uint64_t rss_bytes; /* VmRSS, shared memory apart */
        uint64_t shmem_bytes;
        unsigned n_fds;
};
void process_usage_read(pid_t pid, struct process_usage *ret_usage);

#endif
