/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/audit when threads write at once, lines are not synced, and the
 * process is killed: what was told to be written is.
 *
 * Link with -Wl,--wrap=fdatasync.
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
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit_fixture.h"

#define THREADS 8

/* Calls of fdatasync(), which of them fails, and what the first waits for. */
static atomic_uint syncs, failing_sync;
static struct {
    struct audit *audit; /* or NULL */
    uint64_t seq;
} first_sync;
/* What the first calls were for, as it was at their beginning. */
static struct stat of_sync[8];

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    unsigned n = atomic_fetch_add(&syncs, 1) + 1;
    struct audit_mark mark = { .seq = 0 };

    if (n <= COUNT(of_sync))
        (void)fstat(fd, &of_sync[n - 1]);
    while (n == 1 && first_sync.audit != NULL && mark.seq < first_sync.seq) {
        audit_last(first_sync.audit, &mark);
        (void)usleep(1000);
    }
    if (n != atomic_load(&failing_sync))
        return __real_fdatasync(fd);
    errno = EIO;
    return -1;
}

static int setup(void **state)
{
    atomic_store(&syncs, 0);
    atomic_store(&failing_sync, 0);
    first_sync.audit = NULL;
    return audit_setup(state);
}

static void test_audit_tells_of_a_line_that_was_not_synced(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, true);

    atomic_store(&failing_sync, 3);
    assert_true(write_entry(a, 1, NULL));
    errno = 0;
    assert_false(write_entry(a, 2, NULL));
    assert_int_equal(errno, EIO);
    assert_true(write_entry(a, 3, NULL));
    assert_int_equal(atomic_load(&syncs), 4);
    audit_close(a);
    assert_good(f, f->path, NULL);
}

struct writer {
    struct audit *audit;
    unsigned lines, failed;
    int acks; /* descriptor of seqs that are written, or -1 */
};

static void *write_lines(void *arg)
{
    struct writer *w = arg;
    struct audit_mark mark;

    for (unsigned i = 0; i < w->lines; i++) {
        bool ok = write_entry(w->audit, i, &mark);

        w->failed += !ok;
        if (ok && w->acks >= 0 &&
            write(w->acks, &mark.seq, sizeof(mark.seq)) < 0)
            _exit(1);
    }
    return NULL;
}

/* Returns how many lines failed. */
static unsigned run_writers(struct audit *a, unsigned lines, int acks)
{
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    unsigned failed = 0;

    for (int i = 0; i < THREADS; i++) {
        writers[i] =
            (struct writer){ .audit = a, .lines = lines, .acks = acks };
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        failed += writers[i].failed;
    }
    return failed;
}

static void test_audit_lines_of_threads_are_a_chain(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, false);

    assert_int_equal(run_writers(a, 500, -1), 0);
    audit_close(a);
    assert_good(f, f->path, NULL);
    assert_non_null(strstr(f->out, ": 4001 line(s), seq 1 to 4001, "));
    assert_int_equal(atomic_load(&syncs), 0);
}

static void *reopen(void *arg)
{
    struct audit_fixture *f = ((void **)arg)[0];
    struct audit *a = ((void **)arg)[1];

    assert_int_equal(rename(f->path, f->other), 0);
    assert_true(audit_reopen(a, f->error, sizeof(f->error)));
    return NULL;
}

static void test_audit_goes_on_in_a_new_file_under_load(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, true);
    void *args[] = { f, a };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, reopen, args), 0);
    assert_int_equal(run_writers(a, 20, -1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    audit_close(a);
    assert_good(f, f->other, f->path);
}

/* One line is written while the old file is synced. */
static void test_audit_syncs_the_last_line_before_a_new_file(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, true);
    void *args[] = { f, a };
    struct audit_mark mark;
    struct stat old;
    pthread_t thread;
    off_t synced = 0;

    audit_last(a, &mark);
    first_sync.audit = a;
    first_sync.seq = mark.seq + 1;
    atomic_store(&syncs, 0);
    assert_int_equal(pthread_create(&thread, NULL, reopen, args), 0);
    while (atomic_load(&syncs) == 0)
        (void)usleep(1000);
    assert_true(write_entry(a, 1, NULL));
    assert_int_equal(pthread_join(thread, NULL), 0);
    first_sync.audit = NULL;
    audit_close(a);
    assert_good(f, f->other, f->path);
    assert_int_equal(stat(f->other, &old), 0);
    assert_in_range(atomic_load(&syncs), 1, COUNT(of_sync));
    for (unsigned i = 0; i < atomic_load(&syncs); i++) {
        if (of_sync[i].st_ino == old.st_ino && of_sync[i].st_size > synced)
            synced = of_sync[i].st_size;
    }
    assert_int_equal(synced, old.st_size);
    assert_non_null(strstr(f->out, "audit.1: 2 line(s), "));
}

/* All lines but the first ones are written while these are synced. */
static void test_audit_syncs_once_for_all_that_wait(void **state)
{
    struct audit_fixture *f = *state;

    for (unsigned fail = 0; fail <= 2; fail += 2) {
        struct audit *a = open_audit(f, true);
        struct audit_mark mark;
        unsigned failed;

        audit_last(a, &mark);
        atomic_store(&syncs, 0);
        atomic_store(&failing_sync, fail);
        first_sync.audit = a;
        first_sync.seq = mark.seq + THREADS;
        failed = run_writers(a, 1, -1);
        first_sync.audit = NULL;
        assert_in_range(atomic_load(&syncs), 1, 2);
        /* Whose lines the second was for are all told. */
        assert_int_equal(failed > 0, fail == atomic_load(&syncs));
        assert_in_range(failed, 0, THREADS - 1);
        atomic_store(&syncs, 2);
        audit_close(a);
        assert_good(f, f->path, NULL);
    }
}

/* It may be of any line that was written before it is told. */
static void test_audit_tells_of_a_failure_all_that_wrote_meanwhile(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, true);
    struct audit_mark mark;

    audit_last(a, &mark);
    atomic_store(&syncs, 0);
    atomic_store(&failing_sync, 1);
    first_sync.audit = a;
    first_sync.seq = mark.seq + THREADS;
    assert_int_equal(run_writers(a, 1, -1), THREADS);
    first_sync.audit = NULL;
    assert_int_equal(atomic_load(&syncs), 1);
    assert_true(write_entry(a, 1, NULL));
    audit_close(a);
    assert_good(f, f->path, NULL);
}

/* One process that writes until it is killed, after so many lines. */
static uint64_t write_until_killed(struct audit_fixture *f, unsigned lines)
{
    uint64_t seq, highest = 0;
    int acks[2], status;
    pid_t child;

    assert_int_equal(pipe(acks), 0);
    /* So that it waits for us, not thousands of lines ahead. */
    assert_true(fcntl(acks[0], F_SETPIPE_SZ, 4096) > 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct audit *a = audit_open(f->path, false, f->error, 0);

        (void)close(acks[0]);
        if (a != NULL)
            (void)run_writers(a, 1000000, acks[1]);
        _exit(1);
    }
    (void)close(acks[1]);
    while (read(acks[0], &seq, sizeof(seq)) == sizeof(seq)) {
        highest = seq > highest ? seq : highest;
        if (lines-- == 0)
            assert_int_equal(kill(child, SIGKILL), 0);
    }
    (void)close(acks[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return highest;
}

static void test_audit_has_each_line_that_was_told_after_kill_9(void **state)
{
    struct audit_fixture *f = *state;
    struct audit_mark mark;

    for (unsigned i = 0; i < 100; i++) {
        uint64_t told;
        struct audit *a;

        if (i % 4 == 0) /* thousands of lines take long to verify */
            (void)unlink(f->path);
        told = write_until_killed(f, i * 7 % 23);
        a = open_audit(f, false);
        audit_last(a, &mark);
        audit_close(a);
        /* The one for the opening, and one of each thread, are not told. */
        assert_in_range(mark.seq, told + 1, told + 1 + THREADS);
        assert_int_equal(verify(f, f->path, NULL), 0);
    }
    assert_good(f, f->path, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, audit_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_audit_tells_of_a_line_that_was_not_synced),
        TEST(test_audit_lines_of_threads_are_a_chain),
        TEST(test_audit_goes_on_in_a_new_file_under_load),
        TEST(test_audit_syncs_the_last_line_before_a_new_file),
        TEST(test_audit_syncs_once_for_all_that_wait),
        TEST(test_audit_tells_of_a_failure_all_that_wrote_meanwhile),
        TEST(test_audit_has_each_line_that_was_told_after_kill_9),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
