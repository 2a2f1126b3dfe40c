/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/module: a module that has died as a whole is started anew once, while
 * nobody is inside, and the same signature succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../pkcs11/object.h"
#include "fixture.h"

#define THREADS 16

static int setup_patient(void **state)
{
    struct fixture *f;

    if (fixture_setup_key(state) != 0)
        return -1;
    f = *state;
    f->module->deadline = 60000;
    return 0;
}

#define TEST_PATIENT(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup_patient, fixture_teardown)

#define assert_restarts(f, n)                                                  \
    do {                                                                       \
        assert_int_equal(fake_count((f)->fake, "C_Finalize"), n);              \
        assert_int_equal(fake_violations((f)->fake), 0);                       \
    } while (0)

static void test_signature_survives_the_death_of_the_module(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 1; i <= 3; i++) {
        fake_kill(f->fake);
        assert_signs(f);
        assert_restarts(f, i);
        assert_int_equal(fake_count(f->fake, "C_Initialize"), i);
    }
    /* And all is as before. */
    fake_calls_reset(f->fake);
    assert_signs(f);
    assert_calls(f, SIGN_CALLS);
}

static void test_load_survives_the_death_of_the_module(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;

    fake_kill(f->fake);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), CKR_OK);
    p11_key_free(key);
    fake_kill(f->fake);
    assert_rv(f, fixture_load(f, "pkcs11:token=other", PIN, &key, &f->err),
              P11_NO_TOKEN);
    assert_restarts(f, 2);
}

static void test_list_survives_the_death_of_the_module(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };
    struct p11_uri *uri = NULL;
    struct p11_query query = { .class = CKO_PUBLIC_KEY };

    assert_rv(f, p11_uri_parse("pkcs11:", &uri, &f->err), CKR_OK);
    query.uri = uri;
    fake_kill(f->fake);
    assert_rv(f, p11_objects_search(fixture_slot(f), &query, &found, &f->err),
              CKR_OK);
    assert_int_equal(found.count, 1);
    assert_restarts(f, 1);
    p11_objects_clear(&found);
    p11_uri_free(uri);
}

static void sign_ten(struct fixture *f, size_t i)
{
    struct p11_error err;

    (void)i;
    for (int n = 0; n < 10; n++) {
        if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
            fixture_failed(f, "signature", &err);
        /* Whoever is first. */
        if (n == 5 && i == 0)
            fake_kill(f->fake);
    }
}

static void test_module_is_restarted_once_for_all_threads(void **state)
{
    struct fixture *f = *state;

    fake_kill(f->fake);
    fixture_threads(f, THREADS, sign_ten);
    fixture_assert_no_failure(f);
    /* At the beginning, and once more in their midst. */
    assert_restarts(f, 2);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 2);
}

/* The server is away for longer than one try. */
static void test_restart_is_tried_until_the_server_is_back(void **state)
{
    struct fixture *f = *state;

    fake_kill(f->fake);
    fake_fail(f->fake, "C_Initialize", CKR_DEVICE_ERROR, 1, 4);
    assert_signs(f);
    assert_restarts(f, 1);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 5);
}

static void test_threads_survive_a_server_that_is_away(void **state)
{
    struct fixture *f = *state;

    fake_kill(f->fake);
    fake_fail(f->fake, "C_Initialize", CKR_DEVICE_ERROR, 1, 20);
    fixture_threads(f, THREADS, sign_ten);
    fixture_assert_no_failure(f);
    assert_restarts(f, 2);
}

/* p11-kit's client, started while its server is away, has no slots at all. */
static void slots_at_the_third(struct fake *fake, const char *function,
                               void *arg)
{
    unsigned *calls = arg;

    if (strcmp(function, "C_Initialize") == 0)
        fake->n_slots = ++*calls < 3 ? 0 : 1;
}

static void
test_module_without_slots_is_restarted_until_it_has_some(void **state)
{
    struct fixture *f = *state;
    unsigned calls = 0;

    f->fake->before_arg = &calls;
    f->fake->before = slots_at_the_third;
    fake_kill(f->fake);
    assert_signs(f);
    assert_restarts(f, 3);
}

static void test_load_restarts_a_module_without_slots(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;
    unsigned calls = 1;

    fixture_close(f);
    p11_key_free(f->key);
    f->key = NULL;
    f->fake->n_slots = 0;
    fixture_open(f);
    f->module->deadline = 100;
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), P11_NO_TOKEN);
    assert_text(f, "(tried ");
    f->module->deadline = 60000;
    f->fake->before_arg = &calls;
    f->fake->before = slots_at_the_third;
    fake_calls_reset(f->fake);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), CKR_OK);
    p11_key_free(key);
    assert_restarts(f, 2);
}

static void test_deadline_ends_the_wait_for_a_server(void **state)
{
    struct fixture *f = *state;

    f->module->deadline = 100;
    fake_kill(f->fake);
    fake_fail(f->fake, "C_Initialize", CKR_DEVICE_ERROR, 1, 0);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_DEVICE_ERROR);
    assert_text(f, "C_Initialize: CKR_DEVICE_ERROR");
    assert_text(f, "(tried ");
    fake_fail_none(f->fake);
    assert_signs(f);
    assert_restarts(f, 1);
}

static void test_token_that_fails_alone_is_no_dead_module(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_SignInit", CKR_DEVICE_ERROR, 1, 8);
    assert_signs(f);
    assert_restarts(f, 0);
}

/* Inside C_Sign until the other one has given up. */
static struct latch inside, gave_up;

static CK_RV hang(struct fake *fake, const struct fake_object *key,
                  const CK_MECHANISM *mechanism, const unsigned char *data,
                  size_t len, unsigned char *sig, size_t *siglen)
{
    latch_open(&inside);
    (void)latch_wait(&gave_up, 60000);
    return fake_sign_echo(fake, key, mechanism, data, len, sig, siglen);
}

static void hang_or_give_up(struct fixture *f, size_t i)
{
    struct p11_error err;

    if (i == 0) {
        (void)fixture_sign(f->key, LABEL, &err); /* whatever comes of it */
        return;
    }
    if (!latch_wait(&inside, 60000))
        fixture_failed(f, "nobody is inside", NULL);
    fake_kill(f->fake);
    if (fixture_sign(f->key, LABEL, &f->err) != CKR_DEVICE_ERROR)
        fixture_failed(f, "signed", &f->err);
    latch_open(&gave_up);
}

static void test_module_is_not_finalised_under_a_call(void **state)
{
    struct fixture *f = *state;

    f->module->deadline = 200;
    f->fake->sign = hang;
    fixture_threads(f, 2, hang_or_give_up);
    fixture_assert_no_failure(f);
    assert_text(f, "restart this program");
    assert_restarts(f, 0);
}

static void test_quirk_no_deinit_forbids_a_restart(void **state)
{
    struct fixture *f = *state;

    f->module->quirks |= P11_QUIRK_NO_DEINIT;
    f->module->deadline = 100;
    fake_kill(f->fake);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_DEVICE_ERROR);
    assert_text(f, "no-deinit");
    assert_restarts(f, 0);
    f->module->quirks = 0;
}

/* Of 64 that fail together one restarts it, five times a second at most. */
static void slots_at_the_fourth(struct fake *fake, const char *function,
                                void *arg)
{
    atomic_uint *calls = arg;

    if (strcmp(function, "C_Initialize") == 0)
        fake->n_slots = atomic_fetch_add(calls, 1) < 3 ? 0 : 1;
}

static void test_many_threads_make_no_storm_of_restarts(void **state)
{
    struct fixture *f = *state;
    atomic_uint calls = 0;

    f->fake->before_arg = &calls;
    f->fake->before = slots_at_the_fourth;
    fake_kill(f->fake);
    fixture_threads(f, 64, sign_ten);
    fixture_assert_no_failure(f);
    /* Four, and one that thread 0 makes in their midst. */
    assert_restarts(f, 5);
}

/* A failed C_Initialize has to be made up for; nobody waits for who waits. */
static void slots_after_failures(struct fake *fake, const char *function,
                                 void *arg)
{
    atomic_uint *calls = arg;

    if (strcmp(function, "C_Initialize") == 0)
        fake->n_slots = atomic_fetch_add(calls, 1) == 2 ? 0 : 1;
}

static void
test_no_signature_is_lost_when_restarts_fail_in_between(void **state)
{
    struct fixture *f = *state;
    atomic_uint calls = 0;

    f->module->deadline = 20000;
    f->fake->before_arg = &calls;
    f->fake->before = slots_after_failures;
    fake_fail(f->fake, "C_Initialize", CKR_DEVICE_ERROR, 1, 2);
    fake_kill(f->fake);
    fixture_threads(f, THREADS, sign_ten);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_violations(f->fake), 0);
}

static void test_module_of_the_application_is_not_restarted(void **state)
{
    struct fixture *f = *state;

    f->module->initialised = false; /* as if the application had done it */
    f->module->deadline = 100;
    fake_kill(f->fake);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_DEVICE_ERROR);
    assert_text(f, "another part of this program");
    assert_restarts(f, 0);
    f->fake->dead = false;
    f->module->initialised = true;
}

static void test_child_signs_after_a_restart_in_its_parent(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    pid_t pid;

    fake_kill(f->fake);
    assert_signs(f);
    pid = fork();
    if (pid == 0)
        _exit(fixture_sign(f->key, LABEL, &f->err) == CKR_OK ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATIENT(test_signature_survives_the_death_of_the_module),
        TEST_PATIENT(test_load_survives_the_death_of_the_module),
        TEST_PATIENT(test_list_survives_the_death_of_the_module),
        TEST_PATIENT(test_module_is_restarted_once_for_all_threads),
        TEST_PATIENT(test_restart_is_tried_until_the_server_is_back),
        TEST_PATIENT(test_threads_survive_a_server_that_is_away),
        TEST_PATIENT(test_module_without_slots_is_restarted_until_it_has_some),
        TEST_PATIENT(test_load_restarts_a_module_without_slots),
        TEST_PATIENT(test_deadline_ends_the_wait_for_a_server),
        TEST_PATIENT(test_token_that_fails_alone_is_no_dead_module),
        TEST_PATIENT(test_module_is_not_finalised_under_a_call),
        TEST_PATIENT(test_quirk_no_deinit_forbids_a_restart),
        TEST_PATIENT(test_many_threads_make_no_storm_of_restarts),
        TEST_PATIENT(test_no_signature_is_lost_when_restarts_fail_in_between),
        TEST_PATIENT(test_module_of_the_application_is_not_restarted),
        TEST_PATIENT(test_child_signs_after_a_restart_in_its_parent),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
