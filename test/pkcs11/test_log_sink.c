/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/log: that lines arrive at a file, stderr and syslog, each in one
 * write, whole from threads and in a fork's child.
 *
 * Link with -Wl,--wrap=write: a signal must come when the test likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "log_fixture.h"

/* No descriptor that a test opens is as high: see group_setup(). */
#define FD_LIMIT 256

static struct {
    unsigned count;
    int priority;
    char text[2048];
} message;

/*
 * Instead of libc's, since there need not be a syslog where tests run.  With
 * _FORTIFY_SOURCE, syslog(3) is a macro for the second.
 */
#undef syslog
void syslog(int priority, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...);

static void keep_message(int priority, const char *format, va_list args)
{
    message.count++;
    message.priority = priority;
    (void)vsnprintf(message.text, sizeof(message.text), format, args);
    errno = ENOENT; /* nobody listens: that must not show */
}

void syslog(int priority, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    keep_message(priority, format, args);
    va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list args;

    (void)flag;
    va_start(args, format);
    keep_message(priority, format, args);
    va_end(args);
}

/* So many calls of write are interrupted before they write. */
static unsigned interruptions;

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    if (interruptions == 0)
        return __real_write(fd, buf, len);
    interruptions--;
    errno = EINTR;
    return -1;
}

static void test_log_appends_to_its_file(void **state)
{
    struct log_fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        open_log(f->spec);
        p11_log(P11_LOG_ERROR, "run %d", i);
        p11_log_close();
    }
    read_log(f);
    assert_int_equal(f->n_lines, 3);
    assert_non_null(strstr(f->lines[2], "run 2"));
}

/*
 * With a limit so low the few descriptors that there can be are looked at one
 * by one, which needs no /proc.
 */
static int group_setup(void **state)
{
    struct rlimit limit;

    (void)state;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    if (limit.rlim_cur > FD_LIMIT)
        limit.rlim_cur = FD_LIMIT;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

/* The descriptors of this process that are open on path. */
static int find_fd(const char *path, unsigned *count)
{
    struct stat want, have;
    int found = -1;

    assert_int_equal(stat(path, &want), 0);
    *count = 0;
    for (int fd = 0; fd < FD_LIMIT; fd++) {
        if (fstat(fd, &have) == 0 && have.st_dev == want.st_dev &&
            have.st_ino == want.st_ino) {
            found = fd;
            ++*count;
        }
    }
    return found;
}

static void test_log_file_is_private_and_not_inherited_by_exec(void **state)
{
    struct log_fixture *f = *state;
    mode_t mask = umask(0);
    struct stat st;
    unsigned count;
    int fd;

    open_log(f->spec);
    (void)umask(mask);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    fd = find_fd(f->path, &count);
    assert_int_equal(count, 1);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_APPEND) != 0);
    p11_log_close();
    (void)find_fd(f->path, &count);
    assert_int_equal(count, 0);
}

static void test_log_first_sink_stays(void **state)
{
    struct log_fixture *f = *state;
    char other[400], spec[420];

    (void)snprintf(other, sizeof(other), "%s.other", f->path);
    (void)snprintf(spec, sizeof(spec), "file:%s,error", other);
    open_log(f->spec);
    open_log(f->spec);
    open_log(spec);
    p11_log(P11_LOG_DEBUG, "message");
    read_log(f);
    assert_int_equal(f->n_lines, 1);
    assert_int_equal(access(other, F_OK), -1);
}

static void test_log_off_and_empty_open_none_and_close_none(void **state)
{
    static const char *const offs[] = { "off", "" };
    struct log_fixture *f = *state;

    for (size_t i = 0; i < COUNT(offs); i++) {
        open_log(offs[i]);
        assert_false(p11_log_enabled(P11_LOG_ERROR));
        open_log(f->spec);
        open_log(offs[i]);
        assert_true(p11_log_enabled(P11_LOG_DEBUG));
        p11_log_close();
        assert_false(p11_log_enabled(P11_LOG_ERROR));
    }
}

static void test_log_writes_a_line_in_spite_of_signals(void **state)
{
    struct log_fixture *f = *state;

    open_log(f->spec);
    interruptions = 3;
    p11_log(P11_LOG_ERROR, "message");
    assert_int_equal(interruptions, 0);
    read_log(f);
    assert_int_equal(f->n_lines, 1);
}

/* A packet a write: the reader sees how many writes a line took. */
static void test_log_to_stderr_is_one_write_a_line(void **state)
{
    int pair[2], saved = dup(STDERR_FILENO);
    char text[2048];
    ssize_t n;

    (void)state;
    assert_true(saved >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_true(dup2(pair[0], STDERR_FILENO) >= 0);
    open_log("stderr,info");
    p11_log(P11_LOG_INFO, "%s %d", "first", 1);
    p11_log(P11_LOG_DEBUG, "not this one");
    p11_log(P11_LOG_ERROR, "second");
    p11_log_close();
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFD), 0); /* left open */
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(pair[0]);

    n = recv(pair[1], text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "] info: first 1\n"));
    assert_int_equal(strchr(text, '\n') - text, n - 1);
    n = recv(pair[1], text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "] error: second\n"));
    assert_int_equal(recv(pair[1], text, sizeof(text), 0), 0);
    (void)close(pair[1]);
}

static void test_log_to_syslog_is_one_message_a_line(void **state)
{
    char want[128];

    (void)state;
    memset(&message, 0, sizeof(message));
    open_log("syslog,info");
    errno = 0;
    p11_log(P11_LOG_WARNING, "one\ntwo %%s");
    assert_int_equal(errno, 0);
    p11_log(P11_LOG_DEBUG, "not this one");
    assert_int_equal(message.count, 1);
    assert_int_equal(message.priority, LOG_USER | LOG_WARNING);
    (void)snprintf(want, sizeof(want), "hsmsign[%ld/%ld] warning: one?two %%s",
                   (long)getpid(), (long)getpid());
    assert_string_equal(message.text, want);
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < 200; i++)
        p11_log(P11_LOG_INFO, "<thread %2d line %3d>", *(const int *)arg, i);
    return NULL;
}

static void test_log_lines_of_threads_stay_whole(void **state)
{
    struct log_fixture *f = *state;
    pthread_t threads[8];
    int ids[8], seen[8] = { 0 };

    open_log(f->spec);
    for (int i = 0; i < 8; i++) {
        ids[i] = i;
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    read_log(f);
    assert_int_equal(f->n_lines, 8 * 200);
    for (size_t i = 0; i < f->n_lines; i++) {
        const char *text = strchr(f->lines[i], '<');
        int thread, line, n = 0;

        assert_non_null(text);
        assert_int_equal(
            sscanf(text, "<thread %d line %d>%n", &thread, &line, &n), 2);
        assert_int_equal(n, strlen(text));
        assert_in_range(thread, 0, 7);
        assert_int_equal(line, seen[thread]++); /* in order, none missing */
    }
}

static void test_log_goes_on_in_a_forked_child(void **state)
{
    struct log_fixture *f = *state;
    char own[32], childs[32];
    int status;
    pid_t child;

    open_log(f->spec);
    p11_log(P11_LOG_INFO, "before");
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        p11_log(P11_LOG_INFO, "in the child");
        p11_log_close();
        _exit(p11_log_enabled(P11_LOG_ERROR) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    p11_log(P11_LOG_INFO, "after");
    read_log(f);
    assert_int_equal(f->n_lines, 3);
    (void)snprintf(own, sizeof(own), "[%ld/", (long)getpid());
    (void)snprintf(childs, sizeof(childs), "[%ld/", (long)child);
    assert_non_null(strstr(f->lines[0], own));
    assert_non_null(strstr(f->lines[1], childs));
    assert_non_null(strstr(f->lines[2], own));
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_log_appends_to_its_file),
        TEST(test_log_file_is_private_and_not_inherited_by_exec),
        TEST(test_log_first_sink_stays),
        TEST(test_log_off_and_empty_open_none_and_close_none),
        TEST(test_log_writes_a_line_in_spite_of_signals),
        TEST(test_log_to_stderr_is_one_write_a_line),
        TEST(test_log_to_syslog_is_one_message_a_line),
        TEST(test_log_lines_of_threads_stay_whole),
        TEST(test_log_goes_on_in_a_forked_child),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
