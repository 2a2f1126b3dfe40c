/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/audit_verify: whatever is done to a log is found, and where.
 *
 * Link with -Wl,--wrap=usleep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../examples/hsmsignd/audit_line.h"
#include "audit_fixture.h"

/* What somebody writes while the verifier waits, or NULL. */
static struct {
    const char *path, *text;
} late;

int __wrap_usleep(useconds_t us);

int __wrap_usleep(useconds_t us)
{
    (void)us;
    if (late.text != NULL)
        put_file(late.path, "a", late.text, strlen(late.text));
    late.text = NULL;
    return 0;
}

/* In place: what of the file does not change need not be written again. */
static void put_byte(int fd, size_t at, char byte)
{
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
}

static void test_audit_verify_finds_each_altered_byte(void **state)
{
    /* The first three flip bits, the others are put there. */
    static const unsigned char alterations[] = { 1, 0x20, 0x80, '\n', '"' };
    struct audit_fixture *f = *state;
    int fd;

    write_log(f);
    fd = open(f->path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t i = 0; i < f->len; i++) {
        char was = f->text[i];

        for (size_t j = 0; j < COUNT(alterations); j++) {
            char byte = (char)(j < 3 ? was ^ alterations[j] : alterations[j]);

            put_byte(fd, i, byte);
            if (byte != was && verify(f, f->path, NULL) != 1)
                fail_msg("byte %zu: %d was %d", i, byte, was);
        }
        put_byte(fd, i, was);
    }
    (void)close(fd);
    assert_good(f, f->path, NULL);
}

/* Put lines of the log together anew: '1' to '5', and others' for the rest. */
static void arrange(struct audit_fixture *f, const char *lines)
{
    put_file(f->path, "w", "", 0);
    for (; *lines != '\0'; lines++) {
        size_t i = (size_t)(*lines - '1');

        if (i < LINES)
            put_file(f->path, "a", f->text + f->begin[i],
                     f->begin[i + 1] - f->begin[i]);
        else if (*lines == 'x')
            put_file(f->path, "a", "{\"event\":\"x\"}\n", 14);
        else if (*lines == 'n')
            put_file(f->path, "a", "\n", 1);
        else if (*lines == 'c')
            put_file(f->path, "a", "{\"seq\":3,\"time\":\"2026\n", 22);
        else
            fail();
    }
}

static void test_audit_verify_finds_lines_moved(void **state)
{
    static const struct {
        const char *lines;
        unsigned reports; /* in all, with those that follow from it */
        const char *want;
    } rows[] = {
        { "1345", 1, "audit:2: removed: before it 1 line(s) from seq 2 on" },
        { "1245", 1, "audit:3: removed: before it 1 line(s) from seq 3 on" },
        { "1235", 1, "audit:4: removed: before it 1 line(s) from seq 4 on" },
        { "15", 1, "audit:2: removed: before it 3 line(s) from seq 2 on" },
        { "13245", 2, "audit:3: reordered or inserted: seq 2 comes after 3" },
        { "12354", 2, "audit:5: reordered or inserted: seq 4 comes after 5" },
        { "21345", 2, "audit:2: a new chain begins" },
        { "52341", 2, "audit:2: reordered or inserted: seq 2 comes after 5" },
        { "122345", 1, "audit:3: repeated" },
        { "123451", 1, "audit:6: a new chain begins" },
        { "123245", 1, "audit:4: reordered or inserted: seq 2 comes after 3" },
        { "1234523", 1, "audit:6: reordered or inserted: seq 2 comes after 5" },
        { "12x345", 1, "audit:3: inserted or altered: it is no line" },
        { "12n345", 1, "audit:3: inserted or altered: it is no line" },
        { "12345n", 1, "audit:6: inserted or altered: it is no line" },
        { "x12345", 1, "audit:1: inserted or altered: it is no line" },
        { "12x45", 1, "audit:3: inserted or altered: it is no line" },
        { "12c45", 1, "audit:3: altered: it is no whole line" },
        { "12345c", 1, "audit:6: torn or altered" },
        { "12cc5", 1, "audit:3: altered: it is no whole line" },
        { "12c5", 2, "audit:4: removed: before it 1 line(s)" },
        { "", 1, "audit:0: removed: the file is empty" },
    };
    struct audit_fixture *f = *state;

    write_log(f);
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned reports = 0;

        arrange(f, rows[i].lines);
        assert_broken(f, rows[i].want);
        for (const char *at = f->err; (at = strchr(at, '\n')) != NULL; at++)
            reports++;
        reports -= strstr(f->err, "(no fault)") != NULL;
        if (reports != rows[i].reports)
            fail_msg("%s: %s", rows[i].lines, f->err);
    }
    arrange(f, "12345");
    assert_good(f, f->path, NULL);
}

/* Write seq i with its own hash right, behind prev of line number of. */
static void forge(struct audit_fixture *f, unsigned seq, unsigned of)
{
    struct audit_entry e = { .user = "mallory", .good = true };
    struct audit_line line;
    char text[AUDIT_LINE_MAX];
    size_t len;

    assert_int_equal(audit_line_read(f->text + f->begin[of - 1],
                                     f->begin[of] - f->begin[of - 1] - 1,
                                     &line),
                     AUDIT_LINE_GOOD);
    line.seq = seq;
    len = audit_line_make(&e, &line, text);
    assert_true(len > 0);
    put_file(f->path, "a", text, len);
}

static void append(struct audit_fixture *f, unsigned from)
{
    put_file(f->path, "a", f->text + f->begin[from - 1],
             f->len - f->begin[from - 1]);
}

static void test_audit_verify_finds_lines_with_a_hash_made_anew(void **state)
{
    struct audit_fixture *f = *state;

    write_log(f);
    arrange(f, "12");
    forge(f, 3, 3);
    append(f, 4);
    assert_broken(f, "audit:4: altered or inserted: the line before is not");
    arrange(f, "123");
    forge(f, 3, 3);
    append(f, 4);
    assert_broken(f, "audit:4: reordered or inserted: seq 3 comes after 3");
    arrange(f, "123");
    forge(f, 1000000, 4);
    append(f, 4);
    assert_broken(f, "audit:4: removed: before it 999996 line(s)");
    arrange(f, "");
    forge(f, 1, 2);
    append(f, 2);
    assert_broken(f, "audit:1: altered: it is the first line by seq or");
    arrange(f, "");
    forge(f, 2, 1);
    append(f, 3);
    assert_broken(f, "audit:1: altered: it is the first line by seq or");
}

/* What a file alone cannot tell, and what tells it. */
static void test_audit_verify_shows_where_a_chain_begins_and_ends(void **state)
{
    struct audit_fixture *f = *state;
    char *end;

    write_log(f);
    assert_int_equal(verify(f, f->path, NULL), 0);
    end = strdup(strstr(f->out, "chain from "));
    assert_non_null(end);
    arrange(f, "1234");
    assert_good(f, f->path, NULL);
    assert_string_equal(f->err, "");
    assert_null(strstr(f->out, end));
    free(end);
    arrange(f, "2345");
    assert_good(f, f->path, NULL);
    assert_non_null(strstr(f->out, ": 4 line(s), seq 2 to 5, chain from "));
    assert_non_null(strstr(f->err, "audit:1: the chain begins before it"));
}

/* A line of any bytes, and what is said of it. */
static void test_audit_verify_survives_any_line(void **state)
{
    static const char json[] = "{\"seq\":6,not JSON";
    struct audit_fixture *f = *state;
    const size_t size = (size_t)1 << 20;
    char *lots = calloc(1, size), text[256], hash[AUDIT_HASH];
    int len;

    assert_non_null(lots);
    write_log(f);
    put_file(f->path, "a", lots, size);
    assert_broken(f, "audit:6: inserted or altered: no line of hsmsignd is as");
    arrange(f, "123");
    put_file(f->path, "a", lots, AUDIT_LINE_MAX);
    put_file(f->path, "a", "\n", 1);
    append(f, 4);
    assert_broken(f, "audit:4: inserted or altered: no line of hsmsignd is as");
    assert_null(strchr(strchr(f->err, '\n') + 1, '\n')); /* is all */
    arrange(f, "123");
    put_file(f->path, "a", lots, AUDIT_LINE_MAX - 1);
    put_file(f->path, "a", "\n", 1);
    append(f, 4);
    assert_broken(f, "audit:4: inserted or altered: it is no line");
    free(lots);
    arrange(f, "12345");
    assert_true(audit_hash(json, sizeof(json) - 1, hash));
    len = snprintf(text, sizeof(text), "%s,\"this\":\"%s\"}\n", json, hash);
    put_file(f->path, "a", text, (size_t)len);
    assert_broken(f, "audit:6: altered");
}

static void test_audit_verify_reads_files_as_one_chain(void **state)
{
    struct audit_fixture *f = *state;

    write_log(f);
    put_file(f->other, "w", f->text, f->begin[3]);
    put_file(f->path, "w", f->text + f->begin[3], f->len - f->begin[3]);
    assert_good(f, f->other, f->path);
    assert_string_equal(f->err, "");
    assert_int_equal(verify(f, f->path, f->other), 1);
    put_file(f->path, "w", f->text + f->begin[4], f->len - f->begin[4]);
    assert_int_equal(verify(f, f->other, f->path), 1);
    assert_non_null(strstr(f->err, "audit:1: removed: before it 1 line(s)"));
    /* Nor is it excused when a part of that line is left, or all but a byte. */
    put_file(f->other, "a", f->text + f->begin[3], 100);
    assert_int_equal(verify(f, f->other, f->path), 1);
    assert_non_null(strstr(f->err, "audit:1: removed: before it 1 line(s)"));
    f->text[f->begin[3] + 20] ^= 1;
    put_file(f->other, "w", f->text, f->begin[4]);
    assert_int_equal(verify(f, f->other, f->path), 1);
    assert_non_null(strstr(f->err, "audit.1:4: altered: its hash is not"));
    assert_null(strstr(f->err, "removed"));
}

static void test_audit_verify_waits_for_the_rest_of_a_line(void **state)
{
    struct audit_fixture *f = *state;

    write_log(f);
    put_file(f->path, "w", f->text, f->begin[4] + 100);
    late.path = f->path;
    late.text = f->text + f->begin[4] + 100;
    assert_int_equal(verify(f, f->path, NULL), 0);
    assert_non_null(strstr(f->out, ": 5 line(s), seq 1 to 5, "));
    assert_string_equal(f->err, "");
}

static void test_audit_verify_reads_standard_input(void **state)
{
    struct audit_fixture *f = *state;

    write_log(f);
    assert_non_null(freopen(f->path, "r", stdin));
    assert_int_equal(verify(f, "-", NULL), 0);
    assert_non_null(strstr(f->out, "-: 5 line(s), seq 1 to 5, "));
}

static void test_audit_verify_tells_what_it_cannot_read(void **state)
{
    struct audit_fixture *f = *state;

    assert_int_equal(verify(f, f->path, NULL), 2);
    assert_non_null(strstr(f->err, ": No such file or directory\n"));
    assert_int_equal(verify(f, f->dir, NULL), 2);
    assert_non_null(strstr(f->err, ": Is a directory\n"));
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_audit_verify_finds_each_altered_byte),
        TEST(test_audit_verify_finds_lines_moved),
        TEST(test_audit_verify_finds_lines_with_a_hash_made_anew),
        TEST(test_audit_verify_shows_where_a_chain_begins_and_ends),
        TEST(test_audit_verify_survives_any_line),
        TEST(test_audit_verify_reads_files_as_one_chain),
        TEST(test_audit_verify_waits_for_the_rest_of_a_line),
        TEST(test_audit_verify_reads_standard_input),
        TEST(test_audit_verify_tells_what_it_cannot_read),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
