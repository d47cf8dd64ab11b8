/* SPDX-License-Identifier: MIT */
/* home.c - see home.h. */
#include "home.h"

#include <sys/mman.h>

static size_t page_bytes(void)
{
        return (size_t)sysconf(_SC_PAGESIZE);
}

void home_init(struct home *home)
{
        void *page = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        *home = (struct home){.pid = getpid()};
        if (page == MAP_FAILED)
                return;
        if (madvise(page, page_bytes(), MADV_WIPEONFORK) < 0) {
                (void)munmap(page, page_bytes());
                return;
        }
        home->mark = page;
        *home->mark = 1;
}

void home_deinit(struct home *home)
{
        if (home->mark)
                (void)munmap(home->mark, page_bytes());
        home->mark = NULL;
}
