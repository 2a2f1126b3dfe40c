/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsignd/systemd: what a service manager is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "examples/hsmsignd/systemd.h"

/* A socket of the name that it is told in, in no file system. */
static int manager(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), len;

    len = snprintf(address.sun_path, sizeof(address.sun_path),
                   "@hsmsign-test-systemd-%d", (int)getpid());
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    address.sun_path[0] = '\0';
    assert_int_equal(
        bind(fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
        0);
    return fd;
}

/* NULL: nothing was said. */
static void assert_told(int fd, const char *state)
{
    char text[200] = "";
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

    if (state == NULL)
        assert_int_equal(n, -1);
    else
        assert_int_equal(strncmp(text, state, strlen(state)), 0);
}

static void test_nothing_is_said_once_it_stops(void **state)
{
    int fd = manager();

    (void)state;
    systemd_notify("READY=1");
    assert_told(fd, "READY=1\nMONOTONIC_USEC=");
    systemd_notify("RELOADING=1");
    assert_told(fd, "RELOADING=1\nMONOTONIC_USEC=");
    systemd_notify("STOPPING=1");
    assert_told(fd, "STOPPING=1\nMONOTONIC_USEC=");
    /* The reload has ended. */
    systemd_notify("READY=1");
    assert_told(fd, NULL);
    (void)close(fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_said_once_it_stops),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
