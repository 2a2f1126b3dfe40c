/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsignd/watch: what changes is seen, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "examples/hsmsignd/watch.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct fixture {
    char dir[256], path[320];
    struct watch watch;
};

static bool takes(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".pem") == 0;
}

static const char *path_of(struct fixture *f, const char *name)
{
    (void)snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
    return f->path;
}

/* More of it each time: its time may be the same. */
static void append(struct fixture *f, const char *name)
{
    FILE *file = fopen(path_of(f, name), "a");

    assert_non_null(file);
    assert_true(fputs("text", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void watch_anew(struct fixture *f)
{
    watch_clear(&f->watch);
    watch_add_directory(&f->watch, f->dir, takes);
    assert_false(watch_changed(&f->watch));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    const char *tmp = getenv("TMPDIR");

    *state = f;
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "%s/test_watch.XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    return mkdtemp(f->dir) == NULL;
}

static int teardown(void **state)
{
    static const char *const names[] = { "a.pem", "b.pem", "a.log", "b.log" };
    struct fixture *f = *state;

    watch_clear(&f->watch);
    for (size_t i = 0; i < COUNT(names); i++)
        (void)unlink(path_of(f, names[i]));
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static void test_file_that_changes_is_seen(void **state)
{
    struct fixture *f = *state;

    watch_add(&f->watch, path_of(f, "a.log")); /* it is to come */
    assert_false(watch_changed(&f->watch));
    append(f, "a.log");
    assert_true(watch_changed(&f->watch));
    watch_clear(&f->watch);
    assert_false(watch_changed(&f->watch));
    watch_add(&f->watch, path_of(f, "a.log"));
    append(f, "b.log");
    assert_false(watch_changed(&f->watch));
    append(f, "a.log");
    assert_true(watch_changed(&f->watch));
}

static void test_directory_is_seen_to_change_with_what_is_read(void **state)
{
    struct fixture *f = *state;
    char old[320];

    watch_anew(f);
    append(f, "a.pem");
    assert_true(watch_changed(&f->watch));
    watch_anew(f);
    append(f, "b.pem");
    assert_true(watch_changed(&f->watch));
    watch_anew(f);
    append(f, "a.pem");
    assert_true(watch_changed(&f->watch));
    watch_anew(f);
    memcpy(old, path_of(f, "a.pem"), sizeof(old));
    assert_int_equal(rename(old, path_of(f, "b.pem")), 0);
    assert_true(watch_changed(&f->watch));
    watch_anew(f);
    memcpy(old, path_of(f, "b.pem"), sizeof(old));
    assert_int_equal(rename(old, path_of(f, "a.pem")), 0);
    assert_true(watch_changed(&f->watch));
    watch_anew(f);
    assert_int_equal(unlink(path_of(f, "a.pem")), 0);
    assert_true(watch_changed(&f->watch));
}

static void test_directory_does_not_change_with_anything_else(void **state)
{
    struct fixture *f = *state;

    append(f, "a.pem");
    append(f, "b.pem");
    append(f, "a.log");
    watch_anew(f);
    append(f, "a.log");
    assert_false(watch_changed(&f->watch));
    append(f, "b.log");
    assert_false(watch_changed(&f->watch));
    assert_int_equal(unlink(path_of(f, "a.log")), 0);
    assert_false(watch_changed(&f->watch));
}

/* As a volume that is mounted late. */
static void test_directory_may_come_later(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rmdir(f->dir), 0);
    watch_anew(f);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    append(f, "a.pem");
    assert_true(watch_changed(&f->watch));
}

static void test_nothing_is_watched_as_well(void **state)
{
    struct fixture *f = *state;

    watch_add(&f->watch, NULL);
    watch_add_directory(&f->watch, NULL, takes);
    assert_int_equal(f->watch.n, 0);
    assert_false(watch_changed(&f->watch));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_file_that_changes_is_seen),
        TEST(test_directory_is_seen_to_change_with_what_is_read),
        TEST(test_directory_does_not_change_with_anything_else),
        TEST(test_directory_may_come_later),
        TEST(test_nothing_is_watched_as_well),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
