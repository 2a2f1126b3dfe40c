/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/log: that lines arrive at a file, stderr and syslog, each in one
 * write, whole from threads, in a fork's child, and while the log is closed.
 *
 * Link with -Wl,--wrap=sendto,--wrap=write: there need not be a syslog where
 * tests run, and a write must last as long as the test likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log_fixture.h"

static struct {
    unsigned count;
    char text[2048];
    size_t len;
    char path[128];
} datagram;

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
                      const struct sockaddr *to, socklen_t to_len);

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
                      const struct sockaddr *to, socklen_t to_len)
{
    (void)fd;
    datagram.count++;
    datagram.len = len;
    memcpy(datagram.text, buf,
           len < sizeof(datagram.text) ? len : sizeof(datagram.text) - 1);
    if (to_len == sizeof(struct sockaddr_un))
        (void)snprintf(datagram.path, sizeof(datagram.path), "%s",
                       ((const struct sockaddr_un *)to)->sun_path);
    if ((flags & MSG_NOSIGNAL) == 0 || to->sa_family != AF_UNIX)
        datagram.path[0] = '\0';
    errno = ENOENT; /* nobody listens: that must not show */
    return -1;
}

static struct {
    atomic_bool hold; /* write waits while this is so */
    atomic_bool entered;
} writing;

static void sleep_ms(long ms)
{
    struct timespec pause_for = { 0, ms * 1000000 };

    (void)nanosleep(&pause_for, NULL);
}

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    atomic_store(&writing.entered, true);
    while (atomic_load(&writing.hold))
        sleep_ms(1);
    return __real_write(fd, buf, len);
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

/* The descriptors of this process that are open on path. */
static int find_fd(const char *path, unsigned *count)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    struct stat want, have;
    int found = -1;

    assert_non_null(dir);
    assert_int_equal(stat(path, &want), 0);
    *count = 0;
    while ((entry = readdir(dir)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);

        if (entry->d_name[0] != '.' && fstat(fd, &have) == 0 &&
            have.st_dev == want.st_dev && have.st_ino == want.st_ino) {
            found = fd;
            ++*count;
        }
    }
    (void)closedir(dir);
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

static void test_log_off_and_empty_close_it(void **state)
{
    static const char *const offs[] = { "off", "" };
    struct log_fixture *f = *state;

    for (size_t i = 0; i < COUNT(offs); i++) {
        open_log(f->spec);
        assert_true(p11_log_enabled(P11_LOG_DEBUG));
        open_log(offs[i]);
        assert_false(p11_log_enabled(P11_LOG_ERROR));
        open_log(offs[i]);
    }
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

static void test_log_to_syslog_is_one_datagram_a_line(void **state)
{
    char begin[64];

    (void)state;
    memset(&datagram, 0, sizeof(datagram));
    open_log("syslog,info");
    errno = 0;
    p11_log(P11_LOG_WARNING, "one\ntwo");
    assert_int_equal(errno, 0);
    p11_log(P11_LOG_DEBUG, "not this one");
    assert_int_equal(datagram.count, 1);
    assert_string_equal(datagram.path, "/dev/log");
    /* RFC 5424, 6.2.1: facility user (1) times 8, plus severity warning (4) */
    (void)snprintf(begin, sizeof(begin), "<12>hsmsign[%ld]: ", (long)getpid());
    assert_memory_equal(datagram.text, begin, strlen(begin));
    assert_string_equal(strstr(datagram.text, "warning"), "warning: one?two");
    assert_int_equal(datagram.len, strlen(datagram.text));
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

static void *write_one(void *arg)
{
    (void)arg;
    p11_log(P11_LOG_ERROR, "held up");
    return NULL;
}

static void *release_later(void *arg)
{
    (void)arg;
    sleep_ms(100);
    atomic_store(&writing.hold, false);
    return NULL;
}

/* Start a thread that is inside write(2) when this returns. */
static pthread_t start_held_writer(struct log_fixture *f)
{
    pthread_t thread;

    open_log(f->spec);
    atomic_store(&writing.entered, false);
    atomic_store(&writing.hold, true);
    assert_int_equal(pthread_create(&thread, NULL, write_one, NULL), 0);
    while (!atomic_load(&writing.entered))
        sleep_ms(1);
    return thread;
}

/*
 * After close, the same descriptor is given to the next file that is opened:
 * a late writer must not write there.
 */
static void test_log_close_waits_for_writers(void **state)
{
    struct log_fixture *f = *state;
    pthread_t writer = start_held_writer(f), releaser;
    unsigned count;

    assert_int_equal(pthread_create(&releaser, NULL, release_later, NULL), 0);
    p11_log_close();
    assert_false(atomic_load(&writing.hold));
    (void)find_fd(f->path, &count);
    assert_int_equal(count, 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(pthread_join(releaser, NULL), 0);
    read_log(f);
    assert_int_equal(f->n_lines, 1);
}

static void test_log_close_leaves_the_file_to_a_writer_that_hangs(void **state)
{
    struct log_fixture *f = *state;
    pthread_t writer = start_held_writer(f);
    time_t before = time(NULL);
    unsigned count;
    int fd;

    p11_log_close();
    assert_in_range(time(NULL) - before, 1, 60);
    assert_true(atomic_load(&writing.hold));
    fd = find_fd(f->path, &count);
    assert_int_equal(count, 1);
    atomic_store(&writing.hold, false);
    assert_int_equal(pthread_join(writer, NULL), 0);
    (void)close(fd);
    read_log(f);
    assert_int_equal(f->n_lines, 1);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_log_appends_to_its_file),
        TEST(test_log_file_is_private_and_not_inherited_by_exec),
        TEST(test_log_first_sink_stays),
        TEST(test_log_off_and_empty_close_it),
        TEST(test_log_to_stderr_is_one_write_a_line),
        TEST(test_log_to_syslog_is_one_datagram_a_line),
        TEST(test_log_lines_of_threads_stay_whole),
        TEST(test_log_goes_on_in_a_forked_child),
        TEST(test_log_close_waits_for_writers),
        TEST(test_log_close_leaves_the_file_to_a_writer_that_hangs),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
