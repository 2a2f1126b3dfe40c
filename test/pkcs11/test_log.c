/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/log: what a line looks like, which lines are written, and how the
 * log is asked for.  Where lines go is test_log_sink's.
 *
 * Link with -Wl,--wrap=clock_gettime: other days than today have to be right,
 * too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "log_fixture.h"

static const time_t *fake_time; /* NULL: the real one */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (fake_time == NULL)
        return __real_clock_gettime(clock, now);
    now->tv_sec = *fake_time;
    now->tv_nsec = 9999999;
    return 0;
}

static void test_log_is_off_by_default(void **state)
{
    static const enum p11_log_level all[] = { P11_LOG_OFF, P11_LOG_ERROR,
                                              P11_LOG_WARNING, P11_LOG_INFO,
                                              P11_LOG_DEBUG };

    (void)state;
    for (size_t i = 0; i < COUNT(all); i++)
        assert_false(p11_log_enabled(all[i]));
    p11_log(P11_LOG_ERROR, "nowhere");
}

static void test_log_line_has_time_process_thread_level_message(void **state)
{
    struct log_fixture *f = *state;
    int y, mo, d, h, mi, s, ms, n = 0;
    long pid, tid;
    char level[16], text[32];
    struct tm tm;
    time_t before = time(NULL), then;

    open_log(f->spec);
    p11_log(P11_LOG_WARNING, "value %d", 42);
    read_log(f);
    assert_int_equal(f->n_lines, 1);
    assert_int_equal(
        sscanf(f->lines[0],
               "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ hsmsign[%ld/%ld] %15[a-z]: "
               "%31[a-z 0-9]%n",
               &y, &mo, &d, &h, &mi, &s, &ms, &pid, &tid, level, text, &n),
        11);
    assert_int_equal(n, strlen(f->lines[0]));
    assert_int_equal(pid, getpid());
    assert_int_equal(tid, getpid()); /* the main thread's id */
    assert_string_equal(level, "warning");
    assert_string_equal(text, "value 42");
    memset(&tm, 0, sizeof(tm));
    tm.tm_year = y - 1900;
    tm.tm_mon = mo - 1;
    tm.tm_mday = d;
    tm.tm_hour = h;
    tm.tm_min = mi;
    tm.tm_sec = s;
    then = timegm(&tm);
    assert_true(then >= before && then <= time(NULL));
}

static void test_log_knows_the_calendar(void **state)
{
    static const struct {
        time_t seconds;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.009Z" },
        { 68169599, "1972-02-28T23:59:59.009Z" },
        { 68169600, "1972-02-29T00:00:00.009Z" },
        { 951782399, "2000-02-28T23:59:59.009Z" },
        { 951868799, "2000-02-29T23:59:59.009Z" },
        { 951868800, "2000-03-01T00:00:00.009Z" },
        { 1735689599, "2024-12-31T23:59:59.009Z" },
        { 1735689600, "2025-01-01T00:00:00.009Z" },
        { 1779494898, "2026-05-23T00:08:18.009Z" },
        { 4107542399, "2100-02-28T23:59:59.009Z" },
        { 4107542400, "2100-03-01T00:00:00.009Z" },
        { 13574563200, "2400-02-29T00:00:00.009Z" },
    };
    struct log_fixture *f = *state;

    open_log(f->spec);
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_time = &rows[i].seconds;
        p11_log(P11_LOG_ERROR, "message");
    }
    fake_time = NULL;
    read_log(f);
    assert_int_equal(f->n_lines, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        *strchr(f->lines[i], ' ') = '\0';
        assert_string_equal(f->lines[i], rows[i].text);
    }
}

static void test_log_writes_up_to_its_level(void **state)
{
    static const struct {
        const char *suffix;
        enum p11_log_level level;
    } rows[] = {
        { "", P11_LOG_WARNING },         { ",error", P11_LOG_ERROR },
        { ",warning", P11_LOG_WARNING }, { ",info", P11_LOG_INFO },
        { ",debug", P11_LOG_DEBUG },
    };
    struct log_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)unlink(f->path);
        (void)snprintf(f->spec, sizeof(f->spec), "file:%s%s", f->path,
                       rows[i].suffix);
        open_log(f->spec);
        for (int l = P11_LOG_ERROR; l <= P11_LOG_DEBUG; l++) {
            p11_log((enum p11_log_level)l, "message");
            assert_int_equal(p11_log_enabled((enum p11_log_level)l),
                             l <= (int)rows[i].level);
        }
        assert_false(p11_log_enabled(P11_LOG_OFF));
        p11_log_close();
        read_log(f);
        assert_int_equal(f->n_lines, (int)rows[i].level);
    }
}

/* An argument that cannot be read would end the process. */
static void test_log_does_not_look_at_arguments_when_off(void **state)
{
    struct log_fixture *f = *state;
    char *forbidden =
        mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(forbidden, MAP_FAILED);
    p11_log(P11_LOG_ERROR, "%s", forbidden);
    (void)snprintf(f->spec, sizeof(f->spec), "file:%s,info", f->path);
    open_log(f->spec);
    p11_log(P11_LOG_DEBUG, "%s", forbidden);
    read_log(f);
    assert_int_equal(f->n_lines, 0);
    (void)munmap(forbidden, 1);
}

static void test_log_keeps_errno(void **state)
{
    struct log_fixture *f = *state;

    open_log(f->spec);
    errno = EDOM;
    p11_log(P11_LOG_ERROR, "reason: %m");
    assert_int_equal(errno, EDOM);
    read_log(f);
    assert_non_null(strstr(f->lines[0], strerror(EDOM)));
    p11_log_close();
    errno = EDOM;
    p11_log(P11_LOG_ERROR, "off");
    assert_int_equal(errno, EDOM);
}

static void test_log_replaces_control_characters(void **state)
{
    struct log_fixture *f = *state;

    open_log(f->spec);
    p11_log(P11_LOG_ERROR, "%s", "a\nb\r\x1b[31m\x7f \xc3\xbc");
    read_log(f);
    assert_int_equal(f->n_lines, 1);
    assert_non_null(strstr(f->lines[0], ": a?b??[31m? \xc3\xbc"));
}

static void test_log_cuts_a_long_line_visibly(void **state)
{
    struct log_fixture *f = *state;
    char text[4096];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    open_log(f->spec);
    p11_log(P11_LOG_ERROR, "%s", text);
    p11_log(P11_LOG_ERROR, "next");
    read_log(f);
    assert_int_equal(f->n_lines, 2);
    assert_int_equal(strlen(f->lines[0]), 1023);
    assert_string_equal(f->lines[0] + 1023 - 5, "xx...");
    assert_non_null(strstr(f->lines[1], "next"));
}

static void test_log_refuses_what_it_does_not_understand(void **state)
{
    static const char *const bad[] = {
        "stdout",       "stderr,",     "stderr,all", "stderr,debug,info",
        "STDERR",       "file:",       "file:,info", "/var/log/hsmsign",
        "off,debug",    ",debug",      "syslog ",    "file:/no/such,debg",
        "stderr,DEBUG", "stderr, info"
    };
    struct p11_error err;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        memset(&err, 0, sizeof(err));
        assert_int_equal(p11_log_open(bad[i], &err), P11_CONFIG);
        assert_int_equal(err.rv, P11_CONFIG);
        assert_non_null(strstr(err.text, bad[i]));
        assert_non_null(strstr(err.text, "hsmsign-log"));
        assert_false(p11_log_enabled(P11_LOG_ERROR));
    }
}

static void test_log_says_why_a_file_cannot_be_opened(void **state)
{
    struct log_fixture *f = *state;
    struct p11_error err = { .text = "" };

    (void)snprintf(f->spec, sizeof(f->spec), "file:%s/none/log", f->dir);
    assert_int_equal(p11_log_open(f->spec, &err), P11_CONFIG);
    assert_non_null(strstr(err.text, f->spec));
    assert_non_null(strstr(err.text, strerror(ENOENT)));
    (void)snprintf(f->spec, sizeof(f->spec), "file:%s", f->dir);
    assert_int_equal(p11_log_open(f->spec, &err), P11_CONFIG);
    assert_non_null(strstr(err.text, strerror(EISDIR)));
    assert_false(p11_log_enabled(P11_LOG_ERROR));
    assert_int_equal(p11_log_open(f->spec, NULL), P11_CONFIG);
}

static void test_log_path_may_have_a_comma_when_a_level_follows(void **state)
{
    struct log_fixture *f = *state;
    char spec[400];

    (void)snprintf(f->path, sizeof(f->path), "%s/a,b", f->dir);
    (void)snprintf(spec, sizeof(spec), "file:%s,info", f->path);
    open_log(spec);
    p11_log(P11_LOG_INFO, "message");
    read_log(f);
    assert_int_equal(f->n_lines, 1);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_log_is_off_by_default),
        TEST(test_log_line_has_time_process_thread_level_message),
        TEST(test_log_knows_the_calendar),
        TEST(test_log_writes_up_to_its_level),
        TEST(test_log_does_not_look_at_arguments_when_off),
        TEST(test_log_keeps_errno),
        TEST(test_log_replaces_control_characters),
        TEST(test_log_cuts_a_long_line_visibly),
        TEST(test_log_refuses_what_it_does_not_understand),
        TEST(test_log_says_why_a_file_cannot_be_opened),
        TEST(test_log_path_may_have_a_comma_when_a_level_follows),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
