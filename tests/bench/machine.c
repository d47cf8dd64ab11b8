/* SPDX-License-Identifier: MIT */
/* machine.c - see machine.h; and a daemon in its place, see bench.h. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

#include "tests/lib/process.h"

enum { TEXT_MAX = 256, FLAGS_MAX = 8192 };

static uint64_t clock_read(clockid_t clock)
{
        struct timespec now;

        if (clock_gettime(clock, &now) < 0)
                die(errno, "a clock");
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void)
{
        return clock_read(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(pid_t pid)
{
        clockid_t clock;
        const int error = clock_getcpuclockid(pid, &clock);

        if (error != 0)
                die(error, "the CPU clock of process %d", (int)pid);
        return clock_read(clock);
}

/* Those that this process began with, also after it has been pinned. */
static const cpu_set_t *cpus_allowed(void)
{
        static cpu_set_t set;
        static bool is_known;

        if (!is_known && sched_getaffinity(0, sizeof set, &set) < 0)
                die(errno, "sched_getaffinity");
        is_known = true;
        return &set;
}

unsigned cpu_count(void)
{
        return (unsigned)CPU_COUNT(cpus_allowed());
}

void cpu_pin(int cpu)
{
        const cpu_set_t *allowed = cpus_allowed();
        cpu_set_t one;
        int left = cpu;

        CPU_ZERO(&one);
        for (size_t i = 0; i < CPU_SETSIZE && left >= 0; i++) {
                if (CPU_ISSET(i, allowed) && left-- == 0)
                        CPU_SET(i, &one);
        }
        if (sched_setaffinity(0, sizeof one, cpu == BENCH_ANY_CPU ? allowed : &one) < 0)
                die(errno, "there is no CPU %d for us", cpu);
}

/* The rest of the first line of the file that begins with `key`, or "". */
static void read_line(const char *path, const char *key, char *ret_text, size_t size)
{
        char line[FLAGS_MAX];
        FILE *file = fopen(path, "re");

        *ret_text = '\0';
        if (!file)
                return;
        while (fgets(line, sizeof line, file)) {
                if (strncmp(line, key, strlen(key)) == 0) {
                        const char *rest = line + strlen(key);

                        rest += strspn(rest, "\t :");
                        (void)snprintf(ret_text, size, "%.*s", (int)strcspn(rest, "\n"), rest);
                        break;
                }
        }
        (void)fclose(file);
}

/* Which of those that matter to int8 products it has. */
static void find_instructions(char *ret_text, size_t size)
{
        static const char *const names[] = {"avx512_vnni", "avx_vnni", "avx512bw", "avx2", "asimddp"};
        static char flags[FLAGS_MAX];
        char word[32];

        *ret_text = '\0';
        read_line("/proc/cpuinfo", "flags", flags + 1, sizeof flags - 2);
        if (flags[1] == '\0')
                read_line("/proc/cpuinfo", "Features", flags + 1, sizeof flags - 2);
        flags[0] = ' ';
        (void)strcat(flags, " ");
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                (void)snprintf(word, sizeof word, " %s ", names[i]);
                if (strstr(flags, word))
                        (void)snprintf(ret_text + strlen(ret_text), size - strlen(ret_text), "%s%s",
                                       *ret_text ? " " : "", names[i]);
        }
}

static bool is_virtual(void)
{
        static char flags[FLAGS_MAX];

        read_line("/proc/cpuinfo", "flags", flags, sizeof flags);
        return strstr(flags, "hypervisor") != NULL;
}

/* Since the machine started, in ticks: what all CPUs did for anybody, what the host took away, all there was. */
static void read_ticks(struct machine_ticks *ret_ticks)
{
        char line[FLAGS_MAX];
        unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;

        *ret_ticks = (struct machine_ticks){0};
        read_line("/proc/stat", "cpu ", line, sizeof line);
        if (sscanf(line, "%llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait,
                   &irq, &softirq, &steal) != 8)
                return;
        ret_ticks->busy = (double)(user + nice + system + irq + softirq);
        ret_ticks->stolen = (double)steal;
        ret_ticks->all = ret_ticks->busy + (double)(steal + idle + iowait);
}

/* Of this process and of those that it has waited for. */
static double own_ticks(void)
{
        struct tms tms;

        (void)times(&tms);
        return (double)(tms.tms_utime + tms.tms_stime + tms.tms_cutime + tms.tms_cstime);
}

void machine_begin(struct machine_ticks *ret_begin)
{
        read_ticks(ret_begin);
}

static double percent(double part, double whole)
{
        return whole > 0 && part > 0 ? 100 * part / whole : 0;
}

json_t *machine_describe(const struct machine_ticks *begin)
{
        struct machine_ticks end;
        char model[TEXT_MAX], isa[TEXT_MAX], governor[TEXT_MAX], load[TEXT_MAX], siblings[TEXT_MAX];
        const char *cap = getenv("NPUMM_ISA");
        struct utsname names;
        json_t *machine;

        if (uname(&names) < 0)
                die(errno, "uname");
        read_line("/proc/cpuinfo", "model name", model, sizeof model);
        find_instructions(isa, sizeof isa);
        read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", governor, sizeof governor);
        read_line("/proc/loadavg", "", load, sizeof load);
        read_line("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "", siblings,
                  sizeof siblings);
        machine = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "cpu", model, "isa",
                            isa, "isa_cap", cap ? cap : "none", "cpus", (int)cpu_count(), "core_of_cpu_0",
                            *siblings ? siblings : "unknown", "governor", *governor ? governor : "none",
                            "virtual", is_virtual(), "kernel", names.release, "compiler",
#ifdef __clang__
                            __VERSION__,
#else
                            "GCC " __VERSION__,
#endif
                            "build", NPUMM_BENCH_BUILD, "load_average", load);
        read_ticks(&end);
        end.all -= begin->all;
        if (!machine ||
            json_object_set_new(machine, "others_cpu_percent",
                                json_real(percent(end.busy - begin->busy - own_ticks(), end.all))) < 0 ||
            json_object_set_new(machine, "stolen_cpu_percent",
                                json_real(percent(end.stolen - begin->stolen, end.all))) < 0)
                die(ENOMEM, "the machine");
        return machine;
}

void bench_daemon_start(const struct bench *bench, struct daemon_process *process, int cpu,
                        const char *config_lines)
{
        cpu_set_t before;

        if (sched_getaffinity(0, sizeof before, &before) < 0)
                die(errno, "sched_getaffinity");
        cpu_pin(cpu);
        daemon_process_start(process, bench->daemon, config_lines);
        if (sched_setaffinity(0, sizeof before, &before) < 0)
                die(errno, "sched_setaffinity");
}
