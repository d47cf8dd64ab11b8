/* SPDX-License-Identifier: MIT */
/* emu-faults.c - see emu-faults.h. */
#include "tests/emu/emu-faults.h"
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-log.h"
#include "tests/emu/emu-shared.h"
#include "tests/emu/emu-syscalls.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX 4096
#define SLOW_MS        130 /* what waking from autosuspend takes: 120 to 136 ms */
#define EVER           UINT64_MAX

const char *const emu_fault_names[EMU_FAULT_MAX] = {
        "none",  "error", "abort", "timeout", "hang", "stuck",     "nostate",    "dropped",
        "wedge", "slow",  "wrong", "lost",    "gone", "nocontext", "permission",
};

/* A line. */
struct rule {
        struct emu_fault fault;
        uint64_t at;    /* the first command; 0: any */
        uint64_t count; /* how many */
};

struct rules {
        size_t n;
        struct rule rules[EMU_RULES_MAX];
        uint64_t version; /* of the file: another one, or written anew, is another */
};

/* ---- reading ---- */

static bool number_read(const char *text, uint64_t *ret_number)
{
        char *end;

        if (*text < '0' || *text > '9')
                return false;
        *ret_number = strtoull(text, &end, 10);
        return *end == '\0';
}

static bool word_read(const char *word, struct rule *rule)
{
        if (*word == '@')
                return number_read(word + 1, &rule->at) && rule->at > 0;
        if (strcmp(word, "x*") == 0) {
                rule->count = EVER;
                return true;
        }
        if (*word == 'x')
                return number_read(word + 1, &rule->count) && rule->count > 0;
        return rule->fault.kind == EMU_FAULT_SLOW && number_read(word, &rule->fault.ms);
}

static bool line_read(char *line, struct rule *rule)
{
        char *rest, *word = strtok_r(line, " \t\r", &rest);
        unsigned kind = EMU_FAULT_NONE + 1;

        if (!word)
                return true;
        *rule = (struct rule){.count = 0};
        while (kind < EMU_FAULT_MAX && strcmp(emu_fault_names[kind], word) != 0)
                kind++;
        if (kind == EMU_FAULT_MAX)
                return false;
        rule->fault = (struct emu_fault){.kind = (enum emu_fault_kind)kind, .ms = SLOW_MS};
        while ((word = strtok_r(NULL, " \t\r", &rest)))
                if (!word_read(word, rule))
                        return false;
        if (rule->count == 0)
                rule->count = rule->at == 0 ? EVER : 1;
        return true;
}

/* Complains once of each version. */
static void complain(uint64_t version, size_t line)
{
        static _Atomic uint64_t complained;

        if (atomic_exchange(&complained, version) != version)
                emu_say("%s: line %zu is none that README.md knows", emu_config()->control, line);
}

static void text_read(char *text, struct rules *rules)
{
        size_t number = 0;
        char *line;

        while ((line = strsep(&text, "\n"))) {
                struct rule rule = {.fault = {.kind = EMU_FAULT_NONE}};

                number++;
                line[strcspn(line, "#")] = '\0';
                if (!line_read(line, &rule) || (rule.fault.kind && rules->n == EMU_RULES_MAX))
                        complain(rules->version, number);
                else if (rule.fault.kind)
                        rules->rules[rules->n++] = rule;
        }
}

static uint64_t mix(uint64_t h, uint64_t value)
{
        h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
        return h ^ h >> 29;
}

static void rules_read(struct rules *rules)
{
        const char *path = emu_config()->control;
        char text[FILE_BYTES_MAX];
        struct stat info;
        ssize_t n;

        rules->n = 0;
        rules->version = 0;
        if (!path)
                return;

        _cleanup_(emu_sys_closep) int fd = emu_sys_open(path, O_RDONLY | O_CLOEXEC, 0);

        if (fd < 0 || fstat(fd, &info) != 0)
                return;
        n = read(fd, text, sizeof text - 1);
        if (n <= 0)
                return;
        text[n] = '\0';
        rules->version = mix(1, info.st_ino);
        rules->version = mix(rules->version, (uint64_t)info.st_mtim.tv_sec);
        rules->version = mix(rules->version, (uint64_t)info.st_mtim.tv_nsec);
        for (ssize_t i = 0; i < n; i++)
                rules->version = mix(rules->version, (uint8_t)text[i]);
        text_read(text, rules);
}

/* ---- asking ---- */

bool emu_fault_is_on(enum emu_fault_kind kind)
{
        struct rules rules;

        rules_read(&rules);
        for (size_t i = 0; i < rules.n; i++)
                if (rules.rules[i].fault.kind == kind)
                        return true;
        return false;
}

/* A count without a place begins with the file's version. */
static bool rule_hits(const struct rule *rule, uint32_t *used, uint64_t number)
{
        if (rule->fault.kind >= EMU_FAULT_GONE)
                return false;
        if (rule->at > 0)
                return number >= rule->at && number - rule->at < rule->count;
        if (rule->count == EVER)
                return true;
        if (*used >= rule->count)
                return false;
        ++*used;
        return true;
}

struct emu_fault emu_fault_take(uint64_t number)
{
        struct emu_fault fault = {.kind = EMU_FAULT_NONE};
        struct emu_shared *shared = emu_shared();
        struct rules rules;

        rules_read(&rules);
        if (rules.n == 0)
                return fault;
        emu_shared_lock();
        if (shared->control_version != rules.version) {
                shared->control_version = rules.version;
                memset(shared->used, 0, sizeof shared->used);
        }
        for (size_t i = 0; i < rules.n && fault.kind == EMU_FAULT_NONE; i++)
                if (rule_hits(&rules.rules[i], &shared->used[i], number))
                        fault = rules.rules[i].fault;
        emu_shared_unlock();
        return fault;
}

bool emu_fault_is_unplugged(void)
{
        const uint32_t is = emu_fault_is_on(EMU_FAULT_GONE);
        struct emu_shared *shared = emu_shared();
        uint32_t was = !is;

        if (atomic_compare_exchange_strong(&shared->is_unplugged, &was, is) && is)
                shared->n_plugs++;
        return is;
}

bool emu_fault_is_wedged(void)
{
        struct emu_shared *shared = emu_shared();

        if (shared->is_wedged && !emu_fault_is_on(EMU_FAULT_WEDGE))
                shared->is_wedged = 0;
        return shared->is_wedged;
}
