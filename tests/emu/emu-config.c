/* SPDX-License-Identifier: MIT */
/* emu-config.c - see emu-config.h. */
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-clock.h"
#include "tests/emu/emu-log.h"
#include "tests/emu/emu-tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

static struct emu_config config;
static bool is_active;

/* A copy: the environment may change. */
static char *path_of(const char *name)
{
        const char *value = getenv(name);

        return value && *value != '\0' ? strdup(value) : NULL;
}

static bool number_of(const char *name, uint64_t *ret_number)
{
        const char *value = getenv(name);
        char *end;

        if (!value || *value < '0' || *value > '9')
                return false;
        errno = 0;
        *ret_number = strtoull(value, &end, 0);
        return errno == 0 && *end == '\0';
}

static void read_profile(void)
{
        static const struct {
                const char *name;
                enum emu_profile profile;
                uint64_t tdr_ms; /* the drivers' own */
        } known[] = {{"xdna-1.8", EMU_XDNA_1_8, 2000}, {"mainline", EMU_MAINLINE, 60000}};
        const char *name = getenv("XDNAEMU_PROFILE");
        uint64_t tdr_ms;
        size_t i = 0;

        while (name && i < ARRAY_SIZE(known) && strcmp(known[i].name, name) != 0)
                i++;
        if (i == ARRAY_SIZE(known)) {
                emu_say("XDNAEMU_PROFILE: there is no \"%s\", but xdna-1.8 and mainline", name);
                abort();
        }
        config.profile = known[i].profile;
        config.profile_name = known[i].name;
        tdr_ms = known[i].tdr_ms;
        (void)number_of("XDNAEMU_TDR_MS", &tdr_ms);
        config.tdr_ns = tdr_ms * EMU_NS_PER_MS;
}

static void read_environment(void)
{
        const char *root = getenv("XDNAEMU_ROOT");
        int r;

        if (!root || *root == '\0')
                return;
        is_active = true;
        config.log = path_of("XDNAEMU_LOG");
        config.control = path_of("XDNAEMU_CONTROL");
        config.manifest = path_of("XDNAEMU_MANIFEST");
        config.is_strict = getenv("XDNAEMU_STRICT") && strcmp(getenv("XDNAEMU_STRICT"), "1") == 0;
        read_profile();
        if (!number_of("XDNAEMU_SEED", &config.seed) &&
            getrandom(&config.seed, sizeof config.seed, GRND_NONBLOCK) != sizeof config.seed)
                config.seed = 1;
        r = emu_tree_make(root, config.root);
        config.is_usable = r == 0;
        if (r < 0)
                emu_say("XDNAEMU_ROOT: %s: %s: there is no NPU", root, strerror(-r));
}

const struct emu_config *emu_config(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void)pthread_once(&once, read_environment);
        return is_active ? &config : NULL;
}
