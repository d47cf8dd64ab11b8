/* SPDX-License-Identifier: MIT */
/* listener.c - see listener.h. */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define ACCEPTS_A_TURN 32 /* a storm of connections must not hold the loop */

#define PATH_PRINT 120 /* of a path in a message: longer than any that can be bound */

/* ---- opening ---- */

/* systemd's socket: 0 and ret_fd = -1 when there is none. */
static int systemd_socket(int *ret_fd, char ret_error[LISTENER_ERROR_MAX])
{
        const int n = sd_listen_fds(1);

        *ret_fd = -1;
        if (n == 0)
                return 0;
        if (n == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) > 0) {
                *ret_fd = SD_LISTEN_FDS_START;
                return 0;
        }
        (void)snprintf(ret_error, LISTENER_ERROR_MAX,
                       "systemd passed %d sockets; exactly one listening unix stream socket is wanted: "
                       "check the socket unit",
                       n);
        return n < 0 ? n : -EINVAL;
}

static int lock_take(const char *path, int *ret_fd, char ret_error[LISTENER_ERROR_MAX])
{
        char lock_path[sizeof((struct sockaddr_un *)0)->sun_path + sizeof ".lock"];
        _cleanup_(closep) int fd = -1;
        int r;

        (void)snprintf(lock_path, sizeof lock_path, "%s.lock", path);
        fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                r = -errno;
                (void)snprintf(
                        ret_error, LISTENER_ERROR_MAX,
                        "cannot open %.*s: %s; does its directory exist and may this user write there?",
                        PATH_PRINT, lock_path, strerror(-r));
                return r;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                r = -errno;
                (void)snprintf(ret_error, LISTENER_ERROR_MAX,
                               r == -EWOULDBLOCK
                                       ? "another npumatmuld serves %.*s; stop it or choose another --socket"
                                       : "cannot lock %.*s",
                               PATH_PRINT, path);
                return r;
        }
        *ret_fd = steal_fd(&fd);
        return 0;
}

/* Somebody listens at `path`. A full backlog (EAGAIN) is somebody, too. */
static bool is_served(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, path, strlen(path) + 1);
        return fd >= 0 &&
               (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno != ECONNREFUSED);
}

/*
 * Under the lock: removes the socket that a dead daemon has left. The lock tells of daemons like us; a socket of
 * systemd's has none, so it is asked as well.
 */
static int stale_remove(const char *path, char ret_error[LISTENER_ERROR_MAX])
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return 0; /* bind will say what is wrong, if anything */
        if (!S_ISSOCK(st.st_mode)) {
                (void)snprintf(ret_error, LISTENER_ERROR_MAX,
                               "%.*s exists and is not a socket; remove it or choose another --socket",
                               PATH_PRINT, path);
                return -EEXIST;
        }
        if (is_served(path)) {
                (void)snprintf(ret_error, LISTENER_ERROR_MAX,
                               "somebody listens at %.*s; stop it or choose another --socket", PATH_PRINT,
                               path);
                return -EADDRINUSE;
        }
        (void)unlink(path);
        return 0;
}

static int path_bind(const char *path, int *ret_fd, char ret_error[LISTENER_ERROR_MAX])
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_(closep) int fd = -1;
        mode_t mask;
        int r;

        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        mask = umask(0117); /* 0660: user and group may connect */
        r = bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
        (void)umask(mask);
        if (r == 0 && listen(fd, SOMAXCONN) < 0) {
                r = -errno;
                (void)unlink(path);
        }
        if (r < 0) {
                (void)snprintf(ret_error, LISTENER_ERROR_MAX, "cannot listen at %.*s: %s", PATH_PRINT, path,
                               strerror(-r));
                return r;
        }
        *ret_fd = steal_fd(&fd);
        return 0;
}

static int own_socket(struct listener *listener, const char *path, char ret_error[LISTENER_ERROR_MAX])
{
        _cleanup_(closep) int lock_fd = -1;
        _cleanup_(freep) char *copy = NULL;
        int r;

        if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
                (void)snprintf(ret_error, LISTENER_ERROR_MAX,
                               "the socket's path is %zu bytes long; a unix socket's may have %zu",
                               strlen(path), sizeof((struct sockaddr_un *)0)->sun_path - 1);
                return -ENAMETOOLONG;
        }
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        r = lock_take(path, &lock_fd, ret_error);
        if (r == 0)
                r = stale_remove(path, ret_error);
        if (r == 0)
                r = path_bind(path, &listener->fd, ret_error);
        if (r < 0)
                return r;
        listener->lock_fd = steal_fd(&lock_fd);
        listener->path = steal(&copy);
        return 0;
}

/* ---- accepting ---- */

static void turn_one_away(struct listener *listener)
{
        int fd;

        closep(&listener->reserve_fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
                dispatch_turn_away(
                        fd, STATUS_BUSY,
                        "the daemon is out of file descriptors; try again later, or raise LimitNOFILE");
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) /* else nobody was waiting: accept looks for a free fd first */
                listener->ops->exhausted(listener->userdata);
}

static void on_connections(uv_poll_t *poll, int status, int events)
{
        struct listener *listener = container_of(poll, struct listener, poll);

        (void)status; /* an error shows in accept */
        (void)events;
        for (int i = 0; i < ACCEPTS_A_TURN; i++) {
                struct ucred credentials;
                socklen_t length = sizeof credentials;
                int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE)
                                turn_one_away(listener);
                        if (errno == ECONNABORTED || errno == EINTR)
                                continue;
                        return;
                }
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) {
                        (void)close(fd);
                        continue;
                }
                listener->ops->accepted(listener->userdata, fd,
                                        &(struct peer){.uid = credentials.uid, .pid = credentials.pid});
        }
}

/* ---- life ---- */

static void release(struct listener *listener)
{
        if (listener->path)
                (void)unlink(listener->path); /* before the lock goes */
        closep(&listener->fd);
        closep(&listener->reserve_fd);
        closep(&listener->lock_fd);
        free(listener->path);
        listener->path = NULL;
}

int listener_open(struct listener *listener, uv_loop_t *loop, const char *path,
                  const struct listener_ops *ops, void *userdata, char ret_error[LISTENER_ERROR_MAX])
{
        int r;

        *listener = (struct listener){
                .fd = -1, .lock_fd = -1, .reserve_fd = -1, .ops = ops, .userdata = userdata};
        (void)snprintf(ret_error, LISTENER_ERROR_MAX, "cannot listen");
        r = systemd_socket(&listener->fd, ret_error);
        if (r == 0 && listener->fd < 0)
                r = own_socket(listener, path, ret_error);
        if (r < 0)
                return r;
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        /* Where the kernel can, it refuses passed fds at the sender, on all connections made here: closing a stranger's
           fd may sleep for as long as the stranger likes (a lingering socket, a FUSE file). Elsewhere they are closed
           and end the connection. */
        (void)setsockopt(listener->fd, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int));
        r = uv_poll_init(loop, &listener->poll, listener->fd); /* makes it non-blocking, too */
        if (r < 0) {
                release(listener);
                return r;
        }
        (void)uv_poll_start(&listener->poll, UV_READABLE, on_connections);
        return 0;
}

static void on_closed(uv_handle_t *handle)
{
        release(container_of((uv_poll_t *)handle, struct listener, poll));
}

void listener_close(struct listener *listener)
{
        if (uv_is_closing((uv_handle_t *)&listener->poll))
                return;
        uv_close((uv_handle_t *)&listener->poll, on_closed);
}
