/* SPDX-License-Identifier: MIT */
/* port.c - see port.h. */
#include "daemon/xrt/port.h"

#include <errno.h>
#include <sys/socket.h>

static int descriptor_of(struct msghdr *header)
{
        const struct cmsghdr *control = CMSG_FIRSTHDR(header);
        int fd;

        if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
                return -1;
        memcpy(&fd, CMSG_DATA(control), sizeof fd);
        return fd;
}

int port_receive(int socket, void *message, size_t size, size_t *ret_n, int *ret_fd)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))]; /* of one: the kernel closes what else there may be */
        } control;
        struct iovec vector = {.iov_base = message, .iov_len = size};
        struct msghdr header = {.msg_iov = &vector,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof control};
        ssize_t n;

        do
                n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_TRUNC);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != ECONNRESET)
                return -errno;
        if (n <= 0)
                return PORT_E_CLOSED;
        *ret_n = (size_t)n;
        *ret_fd = descriptor_of(&header);
        return 0;
}

int port_send(int socket, const void *message, size_t n)
{
        ssize_t sent;

        do
                sent = send(socket, message, n, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
                return PORT_E_CLOSED;
        return sent < 0 ? -errno : 0;
}
