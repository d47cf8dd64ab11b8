/* SPDX-License-Identifier: MIT */
/*
 * main.c - the smallest program of somebody else: built by install.sh against what was installed, nothing more.
 *
 * Out: exit status 0 when the library that it was linked with says what it should about a daemon that is not there.
 */
#include <errno.h>
#include <npumm.h>
#include <stdio.h>

int main(void)
{
        struct npumm_connect_options options = {.size = sizeof options, .socket_path = "/nonexistent/npumatmul.sock"};
        struct npumm_client *client = NULL;
        char text[NPUMM_TEXT_MAX] = "";

        int r = npumm_connect(&options, &client, text);
        printf("%s: %s\n", npumm_strerror(r), text);
        return r == -ENOENT && client == NULL && text[0] != '\0' ? 0 : 1;
}
