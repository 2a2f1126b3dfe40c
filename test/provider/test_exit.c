/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process exit: however a program ends, it ends with its own status, soon, and
 * without a signal; with SoftHSM, whose destructors are easily upset.
 *
 * Each scenario of exit_program.c is a test, run in a process of its own: this
 * program again, with the scenario's name as its argument.
 */
#include "exit_program.h"
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What waits for other threads at exit waits for two seconds, at most. */
enum { SECONDS = 20 };

static const char *program; /* this one: argv[0] */

static pid_t start(const char *name)
{
    pid_t pid = fork();

    if (pid == 0) {
        execl(program, program, name, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void test_scenario(void **state)
{
    const struct exit_scenario *scenario = *state;

    for (int i = 0; i < scenario->times; i++) {
        time_t begin = time(NULL);
        int status = fixture_wait(start(scenario->name));

        if (status >= 256)
            fail_msg("killed by signal %d", status - 256);
        assert_int_equal(status, 0);
        assert_in_range(time(NULL) - begin, 0, SECONDS);
    }
}

/* A scenario that ends badly is seen to: or the tests above show nothing. */
static void test_bad_end_is_noticed(void **state)
{
    (void)state;
    assert_int_equal(fixture_wait(start("no-such-scenario")), 2);
}

static int setup(void **state)
{
    char path[256], text[2048];

    (void)state;
    fixture_copy_token();
    (void)snprintf(text, sizeof(text),
                   "openssl_conf = init\n"
                   "[init]\nproviders = providers\n"
                   "[providers]\ndefault = others\nhsmsign = ours\n"
                   "[others]\nactivate = 1\n"
                   "[ours]\nmodule = %s\nactivate = 1\n"
                   "pkcs11-module-path = %s\n" FIXTURE_PIN,
                   fixture_required("HSMSIGN_PROVIDER"),
                   fixture_required("SOFTHSM2_MODULE"));
    fixture_write(path, "openssl.cnf", text);
    return setenv("OPENSSL_CONF", path, 1);
}

static int run_scenario(const char *name)
{
    for (size_t i = 0; i < exit_scenario_count; i++) {
        if (strcmp(exit_scenarios[i].name, name) == 0)
            return exit_scenarios[i].run();
    }
    return 2;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[64];
    size_t n = 0;

    if (argc == 2)
        return run_scenario(argv[1]);
    program = argv[0];
    fixture_begin();
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_bad_end_is_noticed);
    for (size_t i = 0; i < exit_scenario_count; i++)
        tests[n++] =
            (struct CMUnitTest){ .name = exit_scenarios[i].name,
                                 .test_func = test_scenario,
                                 .initial_state = (void *)&exit_scenarios[i] };
    return _cmocka_run_group_tests("provider/exit", tests, n, setup, NULL);
}
