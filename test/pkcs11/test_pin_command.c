/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/pin: PINs that a command prints, and how long one waits for a PIN.
 * Time passes as fast as a test wants: clock_gettime() is wrapped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pin_fixture.h"

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

/* How much later it is at each look at the clock, in seconds. */
static time_t step, later;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    int rc = __real_clock_gettime(clock, ts);

    later += step;
    ts->tv_sec += later;
    return rc;
}

/* A program of that text, without blanks in its path. */
static void write_script(const struct pin_fixture *f, const char *text)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0700);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void test_command_gives_the_first_line_that_it_prints(void **state)
{
    static const struct {
        const char *script, *pin;
    } rows[] = {
        { "printf '1234\\n'", "1234" },
        { "printf '1234'", "1234" },
        { "printf '1234\\r\\n'", "1234" },
        { "printf ' 12 34 \\nmore\\n'; yes | head -c 100000", " 12 34 " },
        { "printf 'user:p$w'; exec >&-; sleep 0.1", "user:p$w" },
        { "echo \"$1-$2-$#\"", "a-b-2" },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[200], command[400];

        (void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", rows[i].script);
        write_script(f, text);
        (void)snprintf(command, sizeof(command), "%s a b", f->path);
        pin_parse(f, "command:", command);
        pin_reads(f, rows[i].pin, strlen(rows[i].pin));
    }
}

static void test_command_that_fails_is_named_without_its_arguments(void **state)
{
    static const struct {
        const char *script, *word;
    } rows[] = {
        { "echo 1234; exit 3", "ended with status 3" },
        { "echo 1234; kill -TERM $$", "ended with status 143" },
        { "exit 0", "is empty" },
        { "echo; echo 1234", "is empty" },
        { "head -c 2000 /dev/zero | tr '\\0' x", "is longer than 1024 bytes" },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *words[] = { ORIGIN, f->path, rows[i].word };
        char text[200], command[400];

        (void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", rows[i].script);
        write_script(f, text);
        (void)snprintf(command, sizeof(command), "%s --secret s3cret", f->path);
        pin_parse(f, "command:", command);
        pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
        assert_null(strstr(f->err.text, "s3cret"));
    }
}

static void test_command_that_cannot_run_is_named(void **state)
{
    static const struct {
        const char *command, *words[3];
    } rows[] = {
        { "aws secretsmanager", { ORIGIN, "aws: ", "absolute path" } },
        { "/no/such/program x", { ORIGIN, "/no/such/program: ", "No such" } },
        { "  ", { ORIGIN, "cannot run", "absolute path" } },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        pin_parse(f, "command:", rows[i].command);
        pin_read_fails(f, P11_PIN_SOURCE, rows[i].words, 3);
    }
    p11_pin_source_clear(&f->source);
    assert_int_equal(
        p11_pin_source_parse("command:", ORIGIN, &f->source, &f->err),
        P11_CONFIG);
    assert_non_null(strstr(f->err.text, "names no command"));
}

/* Whether it prints nothing, or prints and stays. */
static void test_late_command_is_killed(void **state)
{
    static const char *const scripts[] = { "#!/bin/sh\nsleep 1000\n",
                                           "#!/bin/sh\necho 1\nsleep 1000\n",
                                           "#!/bin/sh\necho 1\nexec >&-\n"
                                           "sleep 1000\n" };
    struct pin_fixture *f = *state;
    const char *words[] = { ORIGIN, f->path, "within 10 seconds" };

    for (size_t i = 0; i < COUNT(scripts); i++) {
        write_script(f, scripts[i]);
        pin_parse(f, "command:", f->path);
        step = 20;
        pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
        step = 0;
    }
}

/* The writer may never come; that must not hang a server's start. */
static void test_fifo_without_writer_is_given_up(void **state)
{
    struct pin_fixture *f = *state;
    const char *words[] = { ORIGIN, f->path, "timed out" };

    assert_int_equal(mkfifo(f->path, 0600), 0);
    pin_parse(f, "file:", f->path);
    step = 20;
    pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
    step = 0;
}

#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, pin_setup, pin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_command_gives_the_first_line_that_it_prints),
        TEST(test_command_that_fails_is_named_without_its_arguments),
        TEST(test_command_that_cannot_run_is_named),
        TEST(test_late_command_is_killed),
        TEST(test_fifo_without_writer_is_given_up),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pkcs11/pin (command)", tests, NULL,
                                       NULL);
}
