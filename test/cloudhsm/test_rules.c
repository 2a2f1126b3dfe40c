/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's table of rules: each names a test that there is, and each
 * value is understood; what is not ends the process.
 */
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sim_test.h"

/* The tests of these files, as text. */
static char *read_tests(void)
{
    static const char *const names[] = { "session", "sign", "object",
                                         "cluster" };
    const char *source = secure_getenv("HSMSIGN_SOURCE");
    const size_t size = 256 * 1024;
    char *text = calloc(1, size);
    size_t len = 0;

    assert_non_null(source);
    assert_non_null(text);
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[PATH_MAX];
        FILE *file = NULL;

        assert_true(snprintf(path, sizeof(path), "%s/test/cloudhsm/test_%s.c",
                             source, names[i]) < (int)sizeof(path));
        file = fopen(path, "re");
        assert_non_null(file);
        len += fread(text + len, 1, size - len - 1, file);
        assert_true(len < size - 1);
        assert_int_equal(fclose(file), 0);
    }
    return text;
}

static void test_each_rule_is_shown_by_a_test(void **state)
{
    size_t n = 0;
    const struct sim_rule *rules = sim_rules(&n);
    char *text = read_tests();

    (void)state;
    assert_true(n > 40);
    for (size_t i = 0; i < n; i++) {
        char line[128];

        if (rules[i].test == NULL) {
            assert_int_equal(rules[i].kind, SIM_PATH);
            continue;
        }
        assert_true(snprintf(line, sizeof(line), "SIM_TEST(%s),",
                             rules[i].test) < (int)sizeof(line));
        if (strstr(text, line) == NULL)
            fail_msg("there is no %s", rules[i].test);
    }
    free(text);
}

static void test_each_switch_is_named_once(void **state)
{
    size_t n = 0;
    const struct sim_rule *rules = sim_rules(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; rules[i].name != NULL && j < i; j++) {
            if (rules[j].name == NULL)
                continue;
            assert_string_not_equal(rules[i].name, rules[j].name);
            assert_int_not_equal(rules[i].offset, rules[j].offset);
        }
    }
}

static void test_values_are_read(void **state)
{
    (void)state;
    sim_configure("");
    assert_int_equal(sim_config.busy, CKR_FUNCTION_FAILED);
    assert_int_equal(sim_config.latency_us, 200);
    assert_false(sim_config.lose_login);
    sim_configure("strict,busy=0x30,latency=3s,hsms=6,lose-login=off,"
                  "module=/x/y.so");
    assert_int_equal(sim_config.busy, CKR_DEVICE_ERROR);
    assert_int_equal(sim_config.latency_us, 3000000);
    assert_int_equal(sim_config.hsms, 6);
    assert_false(sim_config.lose_login);
    assert_true(sim_config.lose_handles);
    assert_string_equal(sim_config.module, "/x/y.so");
}

/* What a child that reads this says, and how it ends. */
static int configure_in_child(const char *switches, char *text, size_t size)
{
    int ends[2];
    int status = -1;
    ssize_t n = 0;
    pid_t pid = -1;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        sim_configure(switches);
        _exit(0);
    }
    assert_int_equal(close(ends[1]), 0);
    n = read(ends[0], text, size - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_what_is_not_understood_ends_the_process(void **state)
{
    static const struct {
        const char *switches, *says;
    } rows[] = {
        { "hsm=2", "\"hsm=2\" is not SWITCH=VALUE" },
        { "hsms", "is not SWITCH=VALUE" },
        { "hsms=2,strict", "is not SWITCH=VALUE" },
        { "strictly", "is not SWITCH=VALUE" },
        { "hsms=0", "at least 1" },
        { "hsms=two", "a number is expected" },
        { "hsms=2 ", "is not a number" },
        { "hsms=2,", "nothing after the last ','" },
        { ",hsms=2", "an item is empty" },
        { "latency=5", "ends with us, ms or s" },
        { "latency=5m", "ends with us, ms or s" },
        { "latency=1000000000s", "ends with us, ms or s" },
        { "lose-login=yes", "neither on nor off" },
        { "busy=CKR_BUSY", "there is no CKR_BUSY" },
        { "busy=FUNCTION_FAILED", "a number is expected" },
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int status = configure_in_child(rows[i].switches, text, sizeof(text));

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
            strstr(text, rows[i].says) == NULL)
            fail_msg("%s: status %d, said: %s", rows[i].switches, status, text);
    }
    assert_int_equal(configure_in_child("strict", text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_rule_is_shown_by_a_test),
        cmocka_unit_test(test_each_switch_is_named_once),
        cmocka_unit_test(test_values_are_read),
        cmocka_unit_test(test_what_is_not_understood_ends_the_process),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cloudhsm_rules", tests, NULL, NULL);
}
