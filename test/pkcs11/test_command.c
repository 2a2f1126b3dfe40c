/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11/command: programs run without a shell, and not for longer than told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pkcs11/command.h"

/* What the program prints, up to its end. */
static size_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len < size && (n = read(fd, buf + len, size - len)) > 0)
        len += (size_t)n;
    return len;
}

static const struct {
    const char *line, *prints;
    int status;
} runs[] = {
    { "/bin/echo 1234", "1234\n", 0 },
    { "  /bin/echo\ta   b ", "a b\n", 0 },
    { "/bin/echo $HOME;id|cat>x", "$HOME;id|cat>x\n", 0 },
    { "/bin/echo 'a b'", "'a b'\n", 0 },
    { "/bin/cat", "", 0 }, /* its input is empty */
    { "/bin/false", "", 1 },
};

static void test_program_runs_without_a_shell(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        struct p11_command command;
        char out[64];
        size_t len;

        assert_true(p11_command_start(&command, runs[i].line));
        len = read_all(command.fd, out, sizeof(out));
        assert_int_equal(p11_command_end(&command, 60000), runs[i].status);
        assert_int_equal(len, strlen(runs[i].prints));
        assert_memory_equal(out, runs[i].prints, len);
    }
}

static void test_what_cannot_run_says_why(void **state)
{
    static const struct {
        const char *line;
        int error;
    } rows[] = {
        { "", EINVAL },
        { "   ", EINVAL },
        { "echo 1234", EINVAL },
        { "./echo", EINVAL },
        { "/no/such/program", ENOENT },
        { "/dev/null", EACCES },
    };
    char many[256] = "/bin/echo";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct p11_command command;

        assert_false(p11_command_start(&command, rows[i].line));
        assert_int_equal(errno, rows[i].error);
    }
    for (int i = 0; i < 32; i++)
        strcat(many, " x");
    assert_false(p11_command_start(&(struct p11_command){ 0 }, many));
    assert_int_equal(errno, EINVAL);
}

/* The shell's own child would go on, and hold what it inherited. */
static void test_late_program_is_killed_with_its_children(void **state)
{
    char path[] = "/tmp/hsmsign-command-XXXXXX";
    static const char script[] = "#!/bin/sh\necho up\nsleep 1000\ntrue\n";
    struct p11_command command;
    int fd = mkstemp(path), held[2];
    char out[8];

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, sizeof(script) - 1), sizeof(script) - 1);
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(pipe(held), 0);
    assert_true(p11_command_start(&command, path));
    assert_int_equal(close(held[1]), 0);
    assert_int_equal(read(command.fd, out, sizeof(out)), 3);
    assert_int_equal(p11_command_end(&command, 20), P11_COMMAND_LATE);
    assert_int_equal(read(held[0], out, sizeof(out)), 0);
    assert_int_equal(close(held[0]), 0);
    assert_int_equal(unlink(path), 0);
}

/* A program that has its children reaped by the kernel signs all the same. */
static void test_application_may_ignore_its_children(void **state)
{
    struct p11_command command;
    char out[8];

    (void)state;
    (void)signal(SIGCHLD, SIG_IGN);
    assert_true(p11_command_start(&command, "/bin/echo 1234"));
    assert_int_equal(read_all(command.fd, out, sizeof(out)), 5);
    assert_int_equal(p11_command_end(&command, 60000), P11_COMMAND_UNKNOWN);
    (void)signal(SIGCHLD, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_runs_without_a_shell),
        cmocka_unit_test(test_what_cannot_run_says_why),
        cmocka_unit_test(test_late_program_is_killed_with_its_children),
        cmocka_unit_test(test_application_may_ignore_its_children),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pkcs11/command", tests, NULL, NULL);
}
