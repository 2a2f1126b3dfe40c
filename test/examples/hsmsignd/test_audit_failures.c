/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/audit when lines are not written whole, and when the file is
 * renamed, deleted or emptied: the chain goes on, and nothing that was written
 * is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit_fixture.h"

/* Cut at each byte of its last line, and opened again. */
static void test_audit_goes_on_behind_a_torn_line(void **state)
{
    struct audit_fixture *f = *state;
    size_t begin, line;
    char *whole;

    write_log(f);
    begin = f->begin[LINES - 1];
    line = f->len - begin;
    whole = strdup(f->text);
    assert_non_null(whole);
    for (size_t n = 1; n < line; n++) {
        bool torn = n < line - 1; /* or but the newline is missing */
        struct audit *a;

        put_file(f->path, "w", whole, begin + n);
        a = open_audit(f, false);
        assert_true(write_entry(a, 7, NULL));
        audit_close(a);
        assert_good(f, f->path, NULL);
        assert_int_equal(strstr(f->err, "audit:5: torn: not written") != NULL,
                         torn);
        assert_non_null(strstr(f->out, torn ? "seq 1 to 6, " : "seq 1 to 7, "));
        read_log(f);
        assert_memory_equal(f->text, whole, begin + n);
    }
    free(whole);
}

/* Nor may the torn line be altered, now that it is closed off. */
static void test_audit_covers_a_torn_line(void **state)
{
    struct audit_fixture *f = *state;
    size_t begin;

    write_log(f);
    begin = f->begin[LINES - 1];
    put_file(f->path, "w", f->text, begin + 100);
    assert_broken(f, "audit:5: torn or altered: it is no whole line");
    audit_close(open_audit(f, false));
    assert_good(f, f->path, NULL);
    read_log(f);
    for (size_t i = begin; i < begin + 101; i++) {
        f->text[i] ^= 1;
        put_file(f->path, "w", f->text, f->len);
        assert_broken(f, "audit:");
        f->text[i] ^= 1;
    }
    memmove(f->text + begin, f->text + begin + 101, f->len - begin - 101);
    put_file(f->path, "w", f->text, f->len - 101);
    assert_broken(f, "audit:5: altered or removed: what stood before this");
}

/* An altered line does not become a torn one by a restart. */
static void test_audit_does_not_excuse_an_altered_line(void **state)
{
    struct audit_fixture *f = *state;

    write_log(f);
    f->text[f->begin[LINES - 1] + 20] ^= 1;
    put_file(f->path, "w", f->text, f->len);
    assert_broken(f, "audit:5: altered: its hash is not that of what it says");
    audit_close(open_audit(f, false));
    assert_broken(f, "audit:5: altered: its hash is not that of what it says");
}

/* So much room there is in each file; SIZE_MAX: any. */
static void limit_files(size_t size)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size == SIZE_MAX ? limit.rlim_max : (rlim_t)size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void write_and_fail(struct audit *a, size_t size)
{
    int error;
    bool ok;

    limit_files(size);
    errno = 0;
    ok = write_entry(a, 1, NULL);
    error = errno;
    limit_files(SIZE_MAX);
    assert_false(ok);
    assert_true(error == EFBIG || error == ENOSPC);
}

/* Room for a part of the line, for no more, and for a part of the next. */
static void test_audit_goes_on_when_the_disk_was_full(void **state)
{
    struct audit_fixture *f = *state;
    struct audit_mark mark, before;
    size_t line, size;
    struct audit *a;

    write_log(f);
    line = f->begin[2] - f->begin[1];
    size = f->len;
    for (size_t n = 0; n < line - 1; n++) {
        put_file(f->path, "w", f->text, size);
        a = open_audit(f, false);
        audit_last(a, &before);
        read_log(f);
        write_and_fail(a, f->len + n);
        write_and_fail(a, f->len + n);
        write_and_fail(a, f->len + n + 10);
        assert_true(write_entry(a, 2, &mark));
        assert_int_equal(mark.seq, before.seq + 1);
        assert_true(write_entry(a, 3, &mark));
        audit_close(a);
        assert_good(f, f->path, NULL);
        assert_non_null(strstr(f->err, "torn: not written whole"));
    }
    put_file(f->path, "w", f->text, size);
    limit_files(size);
    assert_null(audit_open(f->path, false, f->error, sizeof(f->error)));
    limit_files(SIZE_MAX);
    assert_string_equal(f->error, "cannot be written: File too large");
}

static void test_audit_goes_on_in_a_new_file(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, true);

    assert_true(write_entry(a, 1, NULL));
    assert_true(audit_reopen(a, f->error, sizeof(f->error))); /* the same */
    assert_int_equal(rename(f->path, f->other), 0);
    assert_true(write_entry(a, 2, NULL));
    assert_true(audit_reopen(a, f->error, sizeof(f->error)));
    /* The new file has a line at once: a restart would begin a chain else. */
    audit_close(a);
    a = open_audit(f, true);
    assert_null(audit_open(f->path, false, f->error, sizeof(f->error)));
    assert_true(write_entry(a, 3, NULL));
    audit_close(a);
    assert_good(f, f->other, f->path);
    assert_non_null(strstr(f->out, "audit.1: 3 line(s), seq 1 to 3, "));
    assert_non_null(strstr(f->out, "audit: 3 line(s), seq 4 to 6, "));
    assert_int_equal(verify(f, f->path, f->other), 1);
}

/* Whatever of a line is in the old file, be it all but its newline. */
static void test_audit_goes_on_in_a_new_file_behind_a_torn_line(void **state)
{
    struct audit_fixture *f = *state;
    size_t line;

    write_log(f);
    line = f->begin[2] - f->begin[1];
    const size_t lengths[] = { 0, 1, 7, 8, 100, line - 2, line - 1 };

    for (size_t i = 0; i < COUNT(lengths); i++) {
        size_t n = lengths[i];
        struct audit *a;

        assert_int_equal(unlink(f->path), 0);
        a = open_audit(f, false);
        read_log(f);
        write_and_fail(a, f->len + n);
        assert_int_equal(rename(f->path, f->other), 0);
        assert_true(audit_reopen(a, f->error, sizeof(f->error)));
        assert_true(write_entry(a, 2, NULL));
        audit_close(a);
        assert_good(f, f->other, f->path);
        assert_int_equal(strstr(f->err, "audit.1:2: torn: not written") != NULL,
                         n > 0 && n < line - 1);
    }
}

/* And of the first line in the new file. */
static void test_audit_goes_on_in_a_new_file_on_a_full_disk(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, false);

    assert_true(write_entry(a, 1, NULL));
    read_log(f);
    write_and_fail(a, f->len + 50);
    assert_int_equal(rename(f->path, f->other), 0);
    limit_files(5);
    assert_false(audit_reopen(a, f->error, sizeof(f->error)));
    limit_files(SIZE_MAX);
    assert_string_equal(f->error, "cannot be written: No space left on device");
    assert_true(write_entry(a, 2, NULL));
    audit_close(a);
    assert_good(f, f->other, f->path);
    assert_non_null(strstr(f->err, "audit.1:3: torn: not written"));
    assert_non_null(strstr(f->err, "audit:1: torn: not written"));
    assert_non_null(strstr(f->out, "audit: 1 line(s), seq 3 to 3, "));
}

static void test_audit_keeps_the_old_file_if_the_new_one_is_bad(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a;

    write_log(f);
    assert_int_equal(rename(f->path, f->other), 0);
    a = open_audit(f, false);
    audit_close(a);
    assert_int_equal(unlink(f->path), 0);
    a = open_audit(f, false);
    assert_true(write_entry(a, 1, NULL));
    assert_int_equal(rename(f->other, f->path), 0);
    errno = 0;
    assert_false(write_entry(a, 2, NULL));
    assert_int_equal(errno, ENOENT); /* nobody would find it */
    assert_false(audit_reopen(a, f->error, sizeof(f->error)));
    assert_string_equal(f->error, "it has other lines: move it away");
    assert_int_equal(unlink(f->path), 0);
    assert_true(audit_reopen(a, f->error, sizeof(f->error)));
    assert_true(write_entry(a, 3, NULL));
    audit_close(a);
    assert_good(f, f->path, NULL);
    assert_non_null(strstr(f->out, ": 2 line(s), seq 3 to 4, "));
}

/* By logrotate's copytruncate. */
static void test_audit_goes_on_in_a_file_that_was_emptied(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, false);

    assert_true(write_entry(a, 1, NULL));
    read_log(f);
    put_file(f->other, "w", f->text, f->len);
    assert_int_equal(truncate(f->path, 0), 0);
    write_and_fail(a, 100);
    assert_int_equal(truncate(f->path, 0), 0);
    assert_true(write_entry(a, 2, NULL));
    audit_close(a);
    assert_good(f, f->other, f->path);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_audit_goes_on_behind_a_torn_line),
        TEST(test_audit_covers_a_torn_line),
        TEST(test_audit_does_not_excuse_an_altered_line),
        TEST(test_audit_goes_on_when_the_disk_was_full),
        TEST(test_audit_goes_on_in_a_new_file),
        TEST(test_audit_goes_on_in_a_new_file_behind_a_torn_line),
        TEST(test_audit_goes_on_in_a_new_file_on_a_full_disk),
        TEST(test_audit_keeps_the_old_file_if_the_new_one_is_bad),
        TEST(test_audit_goes_on_in_a_file_that_was_emptied),
    };

    (void)signal(SIGXFSZ, SIG_IGN);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
