/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "systemd.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

int systemd_socket(void)
{
    /* There are no other threads yet.  NOLINTBEGIN(concurrency-mt-unsafe) */
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    /* NOLINTEND(concurrency-mt-unsafe) */

    if (pid == NULL || n == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return -1;
    if (strcmp(n, "1") != 0) {
        (void)fprintf(stderr,
                      "hsmsignd: LISTEN_FDS is %s: one socket is what "
                      "it takes\n",
                      n);
        return -2;
    }
    (void)fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
    /* One of our threads may take the connection that another one sees. */
    (void)fcntl(FIRST_FD, F_SETFL, O_NONBLOCK);
    return FIRST_FD;
}

/* A load that ends then has nothing more to say. */
static atomic_bool stopping;

void systemd_notify(const char *state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    /* Nobody sets it.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path != NULL ? strlen(path) : 0;
    char text[128];
    struct timespec now;
    int fd;

    if (len == 0 || len >= sizeof(address.sun_path) || atomic_load(&stopping))
        return;
    if (strcmp(state, "STOPPING=1") == 0)
        atomic_store(&stopping, true);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    /* A reload has to say when it began. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof(text), "%s\nMONOTONIC_USEC=%lld", state,
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL,
                 (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)close(fd);
}
