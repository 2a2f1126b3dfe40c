/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/pin: PINs from files, of every shape that a person, a secret manager
 * or a FIFO may give them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "../../pkcs11/log.h"
#include "pin_fixture.h"

/* No descriptor that a test opens is as high: see group_setup(). */
#define FD_LIMIT 256

static void write_file(const struct pin_fixture *f, const void *bytes,
                       size_t len, mode_t mode)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, mode);

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(close(fd), 0);
}

static void test_file_gives_its_first_line(void **state)
{
    static const struct {
        const char *content;
        size_t len;
        const char *pin;
        size_t pin_len;
    } rows[] = {
        { BYTES("1234\n"), BYTES("1234") },
        { BYTES("1234\r\n"), BYTES("1234") },
        { BYTES("1234"), BYTES("1234") },
        { BYTES("1234\n5678\n"), BYTES("1234") },
        { BYTES("1234\n\n"), BYTES("1234") },
        { BYTES(" 12 34 \n"), BYTES(" 12 34 ") },
        { BYTES("12\r34\r\r\n"), BYTES("12\r34\r") },
        { BYTES("1234\r"), BYTES("1234\r") },
        { BYTES("user:\xc3\xbc$#;\"'\\\n"), BYTES("user:\xc3\xbc$#;\"'\\") },
        { BYTES("12\00034\n"), BYTES("12\00034") },
    };
    struct pin_fixture *f = *state;

    pin_parse(f, "file:", f->path);
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_file(f, rows[i].content, rows[i].len, 0600);
        pin_reads(f, rows[i].pin, rows[i].pin_len);
    }
}

static void test_file_may_have_a_pin_of_the_greatest_length(void **state)
{
    static const char *const ends[] = { "", "\n", "\r\n", "\nmore", "\r\n\n" };
    static const char *const words[] = { ORIGIN, "longer than 1024" };
    struct pin_fixture *f = *state;
    char content[P11_PIN_MAX + 16];

    pin_parse(f, "file:", f->path);
    memset(content, 'Z', sizeof(content));
    for (size_t i = 0; i < COUNT(ends); i++) {
        memcpy(content + P11_PIN_MAX, ends[i], strlen(ends[i]));
        write_file(f, content, P11_PIN_MAX + strlen(ends[i]), 0600);
        pin_reads(f, content, P11_PIN_MAX);

        content[P11_PIN_MAX] = 'Z';
        memcpy(content + P11_PIN_MAX + 1, ends[i], strlen(ends[i]));
        write_file(f, content, P11_PIN_MAX + 1 + strlen(ends[i]), 0600);
        pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
        assert_null(strstr(f->err.text, "ZZZZZZZ"));
    }
    memset(content, 'Z', sizeof(content));
    write_file(f, content, sizeof(content), 0600);
    pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
}

static void test_file_whose_first_line_is_empty_is_refused(void **state)
{
    static const char *const contents[] = { "", "\n", "\r\n", "\n1234\n" };
    struct pin_fixture *f = *state;
    const char *const words[] = { ORIGIN, f->path, "empty" };

    pin_parse(f, "file:", f->path);
    for (size_t i = 0; i < COUNT(contents); i++) {
        write_file(f, contents[i], strlen(contents[i]), 0600);
        pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
    }
}

static void test_file_that_is_missing_or_a_directory_is_named(void **state)
{
    struct pin_fixture *f = *state;
    const char *const missing[] = { ORIGIN, f->path, strerror(ENOENT) };
    const char *const dir[] = { ORIGIN, f->dir, strerror(EISDIR) };

    pin_parse(f, "file:", f->path);
    pin_read_fails(f, P11_PIN_SOURCE, missing, COUNT(missing));
    pin_parse(f, "file:", f->dir);
    pin_read_fails(f, P11_PIN_SOURCE, dir, COUNT(dir));
}

/* The log's text, NUL-terminated; empty when there is none. */
static void read_log(const struct pin_fixture *f, char *buf, size_t size)
{
    FILE *file = fopen(f->log, "r");
    size_t len;

    assert_non_null(file);
    len = fread(buf, 1, size - 1, file);
    (void)fclose(file);
    buf[len] = '\0';
}

static void
test_file_that_others_may_use_is_logged_without_the_pin(void **state)
{
    static const struct {
        mode_t mode;
        const char *shown; /* NULL: not logged */
    } rows[] = { { 0600, NULL },   { 0400, NULL },   { 0700, NULL },
                 { 0644, "0644" }, { 0640, "0640" }, { 0604, "0604" },
                 { 0620, "0620" } };
    struct pin_fixture *f = *state;
    char spec[400], text[4096];

    pin_parse(f, "file:", f->path);
    (void)snprintf(spec, sizeof(spec), "file:%s,debug", f->log);
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)unlink(f->log);
        assert_int_equal(p11_log_open(spec, &f->err), CKR_OK);
        write_file(f, BYTES("Secret-1234\n"), rows[i].mode);
        pin_reads(f, BYTES("Secret-1234"));
        p11_log_close();
        (void)unlink(f->path);
        read_log(f, text, sizeof(text));
        assert_null(strstr(text, "Secret"));
        assert_int_equal(strstr(text, "warning: ") != NULL,
                         rows[i].shown != NULL);
        if (rows[i].shown == NULL)
            continue;
        assert_non_null(strstr(text, rows[i].shown));
        assert_non_null(strstr(text, f->path));
        assert_non_null(strstr(text, ORIGIN));
    }
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

static size_t count_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < FD_LIMIT; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_file_is_closed_whatever_happens(void **state)
{
    static const char *const contents[] = { "1234\n", "" };
    struct pin_fixture *f = *state;
    size_t before = count_descriptors();
    struct p11_pin *pin = NULL;

    pin_parse(f, "file:", f->path);
    for (size_t i = 0; i < COUNT(contents); i++) {
        write_file(f, contents[i], strlen(contents[i]), 0600);
        if (pin_read(f, &pin, &f->err) == CKR_OK)
            p11_pin_free(pin);
        assert_int_equal(count_descriptors(), before);
    }
    pin_parse(f, "file:", f->dir);
    assert_int_equal(pin_read(f, &pin, &f->err), P11_PIN_SOURCE);
    assert_int_equal(count_descriptors(), before);
}

static void sleep_ms(long ms)
{
    struct timespec left = { 0, ms * 1000000 };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* The FIFO's reading end, or -1. */
static int find_reader(const char *path)
{
    struct stat want, have;

    if (stat(path, &want) != 0)
        return -1;
    for (int fd = 0; fd < FD_LIMIT; fd++) {
        if (fstat(fd, &have) == 0 && have.st_ino == want.st_ino &&
            have.st_dev == want.st_dev &&
            (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
            return fd;
    }
    return -1;
}

static atomic_bool reader_cloexec;

/* A slow writer that pauses before it opens, and in the middle of the PIN. */
static void *feed_fifo(void *arg)
{
    const struct pin_fixture *f = arg;
    int fd, reader = -1;

    sleep_ms(50);
    fd = open(f->path, O_WRONLY | O_CLOEXEC);
    /* The reader's open may not have returned yet; it then waits for us. */
    for (int i = 0; i < 1000 && (reader = find_reader(f->path)) < 0; i++)
        sleep_ms(10);
    atomic_store(&reader_cloexec,
                 reader >= 0 && (fcntl(reader, F_GETFD) & FD_CLOEXEC) != 0);
    for (const char *at = "12:34\n567"; fd >= 0 && *at != '\0'; at += 3) {
        sleep_ms(30);
        if (write(fd, at, 3) < 0)
            break;
    }
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}

static atomic_int alarms;

static void on_alarm(int signal)
{
    (void)signal;
    atomic_fetch_add(&alarms, 1);
}

/* Signals without SA_RESTART interrupt both open and read. */
static void test_fifo_is_read_in_pieces_and_through_signals(void **state)
{
    static const struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
    static const struct itimerval never;
    struct pin_fixture *f = *state;
    struct sigaction action = { 0 }, old;
    sigset_t alarm_only;
    pthread_t writer;

    assert_int_equal(mkfifo(f->path, 0600), 0);
    pin_parse(f, "file:", f->path);
    /* The writer inherits the mask, so that the signals hit the reader. */
    (void)sigemptyset(&alarm_only);
    (void)sigaddset(&alarm_only, SIGALRM);
    (void)signal(SIGPIPE, SIG_IGN); /* the reader leaves after the line */
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &alarm_only, NULL), 0);
    assert_int_equal(pthread_create(&writer, NULL, feed_fifo, f), 0);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL), 0);
    action.sa_handler = on_alarm;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    pin_reads(f, BYTES("12:34"));
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    (void)signal(SIGPIPE, SIG_DFL);
    assert_true(atomic_load(&alarms) > 3);
    assert_true(atomic_load(&reader_cloexec));
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, pin_setup, pin_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_file_gives_its_first_line),
        TEST(test_file_may_have_a_pin_of_the_greatest_length),
        TEST(test_file_whose_first_line_is_empty_is_refused),
        TEST(test_file_that_is_missing_or_a_directory_is_named),
        TEST(test_file_that_others_may_use_is_logged_without_the_pin),
        TEST(test_file_is_closed_whatever_happens),
        TEST(test_fifo_is_read_in_pieces_and_through_signals),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
