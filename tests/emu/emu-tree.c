/* SPDX-License-Identifier: MIT */
/* emu-tree.c - see emu-tree.h. */
#include "tests/emu/emu-tree.h"
#include "tests/emu/emu-shared.h"
#include "tests/emu/emu-syscalls.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ADDRESS "0000:c5:00.1"
#define BRIDGE  "/sys/devices/pci0000:00/0000:00:08.2/"
#define DEVICE  BRIDGE ADDRESS

static const char *const folders[] = {
        DEVICE "/accel/accel0", "/sys/bus/pci/devices", "/sys/bus/pci/drivers/amdxdna",
        "/sys/module/amdxdna",  "/dev/accel",
};

static const struct {
        const char *path, *text;
} files[] = {
        {DEVICE "/device_type", "0\n"},
        {DEVICE "/vbnv", "RyzenAI-npu1\n"},
        {DEVICE "/vendor", "0x1022\n"},
        {DEVICE "/device", "0x1502\n"},
        {DEVICE "/subsystem_vendor", "0x1022\n"},
        {DEVICE "/subsystem_device", "0x1502\n"},
        {DEVICE "/revision", "0x00\n"},
        {DEVICE "/fw_version", "1.5.5.391\n"},
        {DEVICE "/resource", "0x0 0x0 0x0\n"},
        {"/sys/module/amdxdna/version", "2.25.0_emulated,0000\n"},
        {EMU_NODE, ""},
};

static const struct {
        const char *path, *to;
} links[] = {
        {"/sys/bus/pci/devices/" ADDRESS, "../../../devices/pci0000:00/0000:00:08.2/" ADDRESS},
        {"/sys/bus/pci/drivers/amdxdna/" ADDRESS, "../../../../devices/pci0000:00/0000:00:08.2/" ADDRESS},
};

bool emu_tree_has(const char *path)
{
        /* rpmsg and platform: XRT looks for devices there, too, and must find none that are real. */
        static const char *const prefixes[] = {
                "/sys/bus/pci",        "/sys/bus/rpmsg", "/sys/bus/platform",      "/sys/class/accel",
                "/sys/module/amdxdna", "/dev/accel",     "/sys/devices/pci0000:00"};

        for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
                const size_t n = strlen(prefixes[i]);

                if (strncmp(path, prefixes[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
                        return true;
        }
        return false;
}

/* The folder and all above it, as far as they are not there. */
static int make_folders(const char *path)
{
        char part[2 * PATH_MAX];

        (void)snprintf(part, sizeof part, "%s", path);
        for (char *at = part + 1; *at != '\0'; at++) {
                if (*at != '/')
                        continue;
                *at = '\0';
                (void)mkdir(part, 0755);
                *at = '/';
        }
        return mkdir(part, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

static int write_file(const char *path, const char *text)
{
        _cleanup_(emu_sys_closep) int fd = emu_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                return -errno;
        return 0;
}

static int fill(const char *root)
{
        char path[2 * PATH_MAX];
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++) {
                (void)snprintf(path, sizeof path, "%s%s", root, folders[i]);
                r = make_folders(path);
        }
        for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++) {
                (void)snprintf(path, sizeof path, "%s%s", root, files[i].path);
                r = write_file(path, files[i].text);
        }
        for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++) {
                (void)snprintf(path, sizeof path, "%s%s", root, links[i].path);
                if (symlink(links[i].to, path) != 0 && errno != EEXIST)
                        r = -errno;
        }
        return r;
}

/* The state comes last: where it is, everything is. */
int emu_tree_make(const char *root, char ret_root[PATH_MAX])
{
        _cleanup_(emu_sys_closep) int folder = -1;
        _cleanup_(freep) char *resolved = NULL;
        int r;

        r = make_folders(root);
        if (r < 0)
                return r;
        resolved = canonicalize_file_name(root);
        if (!resolved)
                return -errno;
        folder = emu_sys_open(resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (folder < 0 || flock(folder, LOCK_EX) != 0)
                return -errno;
        r = emu_shared_exists(resolved) ? 0 : fill(resolved);
        if (r == 0)
                r = emu_shared_map(resolved);
        if (r == 0)
                (void)snprintf(ret_root, PATH_MAX, "%s", resolved);
        return r;
}
