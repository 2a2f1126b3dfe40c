/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/audit: what is written, where it goes on, and who may write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jansson.h>

#include "audit_fixture.h"

static void test_audit_lines_are_a_chain(void **state)
{
    struct audit_fixture *f = *state;

    write_log(f);
    assert_good(f, f->path, NULL);
    assert_string_equal(f->err, "");
    assert_non_null(strstr(f->out, ": 5 line(s), seq 1 to 5, chain from "
                                   "0000000000000000000000000000000000000000"
                                   "000000000000000000000000 to "));
}

static void test_audit_line_has_its_members_in_order(void **state)
{
    static const char *const names[] = {
        "seq",    "time", "id",     "user",        "profile",
        "action", "hash", "digest", "certificate", "status",
        "result", "ms",   "prev",   "this",
    };
    struct audit_fixture *f = *state;
    const char *name;
    size_t i = 0;
    json_t *line, *value;

    write_log(f);
    line =
        json_loadb(f->text + f->begin[2], f->begin[3] - f->begin[2], 0, NULL);
    json_object_foreach(line, name, value)
    {
        assert_true(i < COUNT(names));
        assert_string_equal(name, names[i++]);
    }
    assert_int_equal(i, COUNT(names));
    json_decref(line);
    assert_memory_equal(f->text, "{\"seq\":1,\"time\":\"20", 19);
    f->text[f->begin[3]] = '\0';
    assert_non_null(strstr(
        f->text + f->begin[2],
        ",\"id\":\"request-1\",\"user\":\"document-engine\",\"profile\":"
        "\"default\",\"action\":\"sign\",\"hash\":\"sha256\",\"digest\":"
        "\"abcd020000000000000000000000000000000000000000000000000000000000\","
        "\"certificate\":"
        "\"1200000000000000000000000000000000000000000000000000000000000000\","
        "\"status\":200,\"result\":\"signed\",\"ms\":2,\"prev\":\""));
}

static void test_audit_names_the_line_that_it_wrote(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, true);
    struct audit_mark mark, last;
    char text[80];

    assert_true(write_entry(a, 1, &mark));
    assert_int_equal(mark.seq, 2);
    audit_last(a, &last);
    assert_int_equal(last.seq, 2);
    assert_string_equal(last.hash, mark.hash);
    audit_close(a);
    assert_good(f, f->path, NULL);
    (void)snprintf(text, sizeof(text), " to %s\n", mark.hash);
    assert_non_null(strstr(f->out, text));
}

static void test_audit_goes_on_where_it_ended(void **state)
{
    struct audit_fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct audit *a = open_audit(f, false);

        /* More than the piece of the end that is read. */
        for (unsigned j = 0; j < 200; j++)
            assert_true(write_entry(a, j, NULL));
        audit_close(a);
    }
    assert_good(f, f->path, NULL);
    assert_non_null(strstr(f->out, ": 603 line(s), seq 1 to 603, "));
}

static void test_audit_keeps_a_line_whose_text_is_odd(void **state)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        { NULL, "\"user\":\"\"," },
        { "a\xff\x80z", "\"user\":\"a??z\"," },
        { "J\xc3\xbcrgen", "\"user\":\"J\\u00FCrgen\"," },
        { "\"}\n\x01\\", "\"user\":\"\\\"}\\n\\u0001\\\\\"," },
        { "\xf0\x9f\x94\x91", "\"user\":\"\\uD83D\\uDD11\"," },
    };
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, false);
    struct audit_entry e = { .digest_len = 32, .status = 500 };
    char lengthy[5000];

    for (size_t i = 0; i < COUNT(rows); i++) {
        e.user = rows[i].text;
        assert_true(audit_write(a, &e, NULL));
        read_log(f);
        if (strstr(f->text, rows[i].json) == NULL)
            fail_msg("%s is not in %s", rows[i].json, f->text);
    }
    memset(lengthy, '\x01', sizeof(lengthy));
    lengthy[sizeof(lengthy) - 1] = '\0';
    e.id = e.user = e.profile = e.action = e.hash = lengthy;
    assert_true(audit_write(a, &e, NULL));
    audit_close(a);
    assert_good(f, f->path, NULL);
    assert_non_null(strstr(f->text, "\"result\":\"failed\""));
}

static void test_audit_file_is_private(void **state)
{
    struct audit_fixture *f = *state;
    mode_t mask = umask(0);
    struct audit *a = open_audit(f, false);
    struct stat st, other;
    unsigned found = 0;

    (void)umask(mask);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    for (int fd = 0; fd < 64; fd++) {
        if (fstat(fd, &other) != 0 || other.st_ino != st.st_ino)
            continue;
        found++;
        /* Nor does a program have it that the service starts. */
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
    assert_int_equal(found, 1);
    audit_close(a);
}

static void refuse(struct audit_fixture *f, const char *path, const char *want)
{
    struct audit *a = audit_open(path, false, f->error, sizeof(f->error));

    assert_null(a);
    if (strstr(f->error, want) == NULL)
        fail_msg("%s: %s, not: %s", path, f->error, want);
}

static void test_audit_has_one_writer(void **state)
{
    struct audit_fixture *f = *state;
    struct audit *a = open_audit(f, false);

    refuse(f, f->path, "another process writes to it");
    assert_true(write_entry(a, 1, NULL));
    audit_close(a);
    audit_close(open_audit(f, false));
    assert_good(f, f->path, NULL);
}

static void test_audit_refuses_what_is_no_file(void **state)
{
    struct audit_fixture *f = *state;

    refuse(f, "/dev/full", "no regular file");
    refuse(f, f->dir, "cannot be written: Is a directory");
    refuse(f, "/nonexistent/audit", "cannot be written: No such file");
    assert_int_equal(symlink("/dev/null", f->path), 0);
    refuse(f, f->path, "no regular file");
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    refuse(f, f->path, "no regular file");
}

static void test_audit_leaves_other_files_alone(void **state)
{
    static const char *const texts[] = { "\n", "root:x:0:0\n",
                                         "{\"time\":\"2026\"}\n", "x" };
    struct audit_fixture *f = *state;
    char *lots = calloc(1, 100000);

    for (size_t i = 0; i < COUNT(texts); i++) {
        put_file(f->path, "w", texts[i], strlen(texts[i]));
        refuse(f, f->path, "something else than an audit log");
        read_log(f);
        assert_string_equal(f->text, texts[i]);
    }
    assert_non_null(lots);
    put_file(f->path, "w", lots, 100000);
    free(lots);
    refuse(f, f->path, "no whole line");
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_audit_lines_are_a_chain),
        TEST(test_audit_line_has_its_members_in_order),
        TEST(test_audit_names_the_line_that_it_wrote),
        TEST(test_audit_goes_on_where_it_ended),
        TEST(test_audit_keeps_a_line_whose_text_is_odd),
        TEST(test_audit_file_is_private),
        TEST(test_audit_has_one_writer),
        TEST(test_audit_refuses_what_is_no_file),
        TEST(test_audit_leaves_other_files_alone),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
