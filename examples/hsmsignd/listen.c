/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "listen.h"
#include "log.h"
#include "systemd.h"

#define UNIX_PREFIX "unix:"
#define BACKLOG     1024

/* A socket in the file system. */
static const char *made;
static struct stat made_st;

static int fail(const struct options *o, int fd, const char *what, int error)
{
    char text[128] = "";

    log_event(LOG_ERROR, "listen", "{s:s, s:i, s:s, s:s}", "address", o->listen,
              "port", (int)o->port, "what", what, "reason",
              error != 0 ? strerror_r(error, text, sizeof(text))
                         : "it is no numeric IPv4 or IPv6 address, nor unix: "
                           "and a path");
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static const char *unix_path(const struct options *o)
{
    size_t len = strlen(UNIX_PREFIX);

    return strncmp(o->listen, UNIX_PREFIX, len) == 0 ? o->listen + len : NULL;
}

/* One that nobody listens on any more is in the way. */
static void remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        errno == ECONNREFUSED)
        (void)unlink(address->sun_path);
    if (fd >= 0)
        (void)close(fd);
}

static const struct passwd *find_user(const char *name)
{
    /* There are no other threads yet.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    return name != NULL ? getpwnam(name) : NULL;
}

/*
 * Two that start at once are not to take each other's socket for an old one.
 * Whoever may read the directory may hold the lock: it is not waited for long.
 */
static int lock_directory(const char *path)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)] = ".";
    const char *slash = strrchr(path, '/');
    int fd;

    if (slash != NULL)
        (void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path) + 1, path);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < 100; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            break;
        (void)usleep(10000);
    }
    return fd;
}

static int make_unix(const struct options *o, const char *path)
{
    const struct passwd *user = find_user(o->user);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return fail(o, fd, "socket", errno);
    if (strlen(path) >= sizeof(address.sun_path))
        return fail(o, fd, "bind", ENAMETOOLONG);
    memcpy(address.sun_path, path, strlen(path));
    remove_stale(&address);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return fail(o, fd, "bind", errno);
    /* Of its owner and the group; nobody can connect before listen(). */
    if (chmod(path, 0660) != 0)
        return fail(o, fd, "chmod", errno);
    if (user != NULL && lchown(path, user->pw_uid, user->pw_gid) != 0)
        return fail(o, fd, "chown", errno);
    /* Another start is to see that it is no old one, before this one serves. */
    if (listen(fd, BACKLOG) != 0 || lstat(path, &made_st) != 0)
        return fail(o, fd, "listen", errno);
    made = path;
    return fd;
}

static int open_unix(const struct options *o, const char *path)
{
    int lock = lock_directory(path), fd = make_unix(o, path);

    if (lock >= 0)
        (void)close(lock);
    return fd;
}

static bool parse_address(const struct options *o, struct sockaddr_storage *a,
                          socklen_t *len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)a;

    memset(a, 0, sizeof(*a));
    if (inet_pton(AF_INET, o->listen, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)o->port);
        *len = sizeof(*v4);
        return true;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)o->port);
    *len = sizeof(*v6);
    return inet_pton(AF_INET6, o->listen, &v6->sin6_addr) == 1;
}

int listen_open(const struct options *o)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    int fd = systemd_socket(), one = 1, zero = 0;

    if (fd != -1)
        return fd < 0 ? -1 : fd;
    if (unix_path(o) != NULL)
        return open_unix(o, unix_path(o));
    if (!parse_address(o, &address, &len))
        return fail(o, -1, "address", 0);
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                0);
    if (fd < 0)
        return fail(o, fd, "socket", errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* "::" is IPv4, too. */
    if (address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, (struct sockaddr *)&address, len) != 0)
        return fail(o, fd, "bind", errno);
    return fd;
}

bool listen_begin(int fd, const struct options *o)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    const void *at;
    char text[INET6_ADDRSTRLEN] = "";
    in_port_t port;

    memset(&address, 0, sizeof(address));
    if (listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        (void)fail(o, -1, "listen", errno);
        return false;
    }
    if (address.ss_family == AF_UNIX) {
        log_event(LOG_INFO, "listening", "{s:s}", "socket",
                  ((struct sockaddr_un *)&address)->sun_path);
        return true;
    }
    /* At the same place in both. */
    port = ((struct sockaddr_in *)&address)->sin_port;
    at = &((struct sockaddr_in *)&address)->sin_addr;
    if (address.ss_family == AF_INET6)
        at = &((struct sockaddr_in6 *)&address)->sin6_addr;
    (void)inet_ntop(address.ss_family, at, text, sizeof(text));
    log_event(LOG_INFO, "listening", "{s:s, s:i, s:i}", "address", text, "port",
              (int)ntohs(port), "workers", (int)o->workers);
    return true;
}

void listen_end(void)
{
    struct stat st;

    /* It may be another's by now. */
    if (made != NULL && lstat(made, &st) == 0 && st.st_dev == made_st.st_dev &&
        st.st_ino == made_st.st_ino)
        (void)unlink(made);
}

bool listen_drop(const char *user)
{
    const struct passwd *entry = find_user(user);
    const char *what = "there is no such user";

    if (user == NULL)
        return true;
    /* As is so where this program starts itself once more (trial.c). */
    if (entry != NULL && geteuid() == entry->pw_uid && getuid() == geteuid())
        return true;
    if (entry != NULL) {
        what = "its rights cannot be taken: start as root, or without --user";
        if (initgroups(user, entry->pw_gid) == 0 &&
            setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) == 0 &&
            setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) == 0)
            return true;
    }
    log_event(LOG_ERROR, "user", "{s:s, s:s}", "user", user, "reason", what);
    return false;
}
