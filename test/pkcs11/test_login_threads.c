/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/login with many threads: one asks for the PIN and logs in, the
 * others wait for what comes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define THREADS 16

/* What the threads of a test have in common. */
static struct {
    const char *pin;
    CK_RV want;
    atomic_uint asked;
    struct latch first, second;
} shared;

static int setup(void **state)
{
    memset(&shared, 0, sizeof(shared));
    return fixture_setup_open(state);
}

static void load_and_sign(struct fixture *f, size_t i)
{
    struct p11_key *key;
    struct p11_error err = { 0 };

    (void)i;
    if (fixture_load(f, URI, shared.pin, &key, &err) != shared.want)
        fixture_failed(f, "load", &err);
    if (key != NULL && fixture_sign(key, LABEL, &err) != CKR_OK)
        fixture_failed(f, "sign", &err);
    p11_key_free(key);
}

/* The fake's hook: a login takes its time, so that the others come. */
static void slow_login(struct fake *fake, const char *function, void *arg)
{
    (void)fake;
    (void)arg;
    if (strcmp(function, "C_Login") == 0)
        (void)usleep(50000);
}

static void test_loads_at_once_log_in_once(void **state)
{
    struct fixture *f = *state;

    f->fake->before = slow_login;
    shared.pin = PIN;
    fixture_threads(f, THREADS, load_and_sign);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
}

static void test_wrong_pin_of_many_threads_is_sent_once(void **state)
{
    struct fixture *f = *state;

    f->fake->before = slow_login;
    shared.pin = "4321";
    shared.want = CKR_PIN_INCORRECT;
    fixture_threads(f, THREADS, load_and_sign);
    fixture_threads(f, THREADS, load_and_sign);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
}

/* Half of them send one wrong PIN, half another one. */
static void load_with_either(struct fixture *f, size_t i)
{
    struct p11_key *key;
    struct p11_error err = { 0 };

    for (int n = 0; n < 5; n++) {
        if (fixture_load(f, URI, i % 2 == 0 ? "4321" : "5678", &key, &err) !=
            CKR_PIN_INCORRECT)
            fixture_failed(f, "load", &err);
        p11_key_free(key);
    }
}

static void test_two_wrong_pins_of_many_threads_are_sent_once_each(void **state)
{
    struct fixture *f = *state;

    fixture_threads(f, THREADS, load_with_either);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Login"), 2);
}

static bool ask(void *arg, const char *label, char *buf, size_t size,
                size_t *len)
{
    struct fixture *f = arg;

    (void)size;
    if (strcmp(label, "fake") != 0)
        fixture_failed(f, "label", NULL);
    atomic_fetch_add(&shared.asked, 1);
    (void)usleep(50000);
    *len = strlen(PIN);
    memcpy(buf, PIN, *len);
    return true;
}

static void load_with_prompt(struct fixture *f, size_t i)
{
    struct p11_pin_request request = { .prompt = ask, .prompt_arg = f };
    struct p11_uri *uri = NULL;
    struct p11_key *key = NULL;
    struct p11_error err = { 0 };

    (void)i;
    if (p11_uri_parse(URI, &uri, &err) != CKR_OK ||
        p11_key_load(f->module, uri, &request, &key, &err) != CKR_OK)
        fixture_failed(f, "load", &err);
    p11_key_free(key);
    p11_uri_free(uri);
}

static void test_many_threads_ask_one_person_once(void **state)
{
    struct fixture *f = *state;

    fixture_threads(f, THREADS, load_with_prompt);
    fixture_assert_no_failure(f);
    assert_int_equal(shared.asked, 1);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
}

static void sign_shared(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    (void)i;
    if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
        fixture_failed(f, "sign", &err);
}

static void test_login_that_is_lost_is_made_again_once(void **state)
{
    struct fixture *f = *state;

    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    for (int i = 0; i < 10; i++) {
        fake_calls_reset(f->fake);
        f->fake->before = slow_login;
        fake_lose(f->fake, FAKE_LOGIN);
        fixture_threads(f, THREADS, sign_shared);
        fixture_assert_no_failure(f);
        assert_int_equal(fake_count(f->fake, "C_Login"), 1);
        f->fake->before = NULL;
    }
}

static void sign_until_refused(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    (void)i;
    for (int n = 0; n < 5; n++) {
        if (fixture_sign(f->key, LABEL, &err) != CKR_PIN_INCORRECT)
            fixture_failed(f, "sign", &err);
    }
}

static void test_pin_that_was_changed_costs_one_try_in_all_threads(void **state)
{
    struct fixture *f = *state;

    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
    memcpy(f->fake->slots[0].pin, "9999", 5);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    f->fake->before = slow_login;
    fixture_threads(f, THREADS, sign_until_refused);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
}

static const CK_BBOOL yes = CK_TRUE;

/* Each signature sends it: the first one that is refused is the last. */
static void
test_changed_pin_for_one_signature_costs_one_try_in_all_threads(void **state)
{
    struct fixture *f = *state;

    fake_set_attribute(f->fake, f->pair.private_key, CKA_ALWAYS_AUTHENTICATE,
                       &yes, sizeof(yes));
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
    memcpy(f->fake->slots[0].pin, "9999", 5);
    f->fake->before = slow_login;
    fixture_threads(f, THREADS, sign_until_refused);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
}

/*
 * Thread 1 signs with such a key and a PIN that is refused now; thread 0 is at
 * that moment logging in again, with the same one.  Its answer is no news of
 * the PIN, whatever it is.
 */
static void hold_the_login(struct fake *fake, const char *function, void *arg)
{
    (void)fake;
    (void)arg;
    if (fixture_thread_number() == 0 && strcmp(function, "C_Login") == 0) {
        latch_open(&shared.first);
        (void)latch_wait(&shared.second, 300);
    }
    if (fixture_thread_number() == 1 && strcmp(function, "C_SignInit") == 0)
        (void)latch_wait(&shared.first, 2000);
}

static void sign_with_either(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    if (i == 0) {
        (void)fixture_sign(f->key, LABEL, &err);
        return;
    }
    if (fixture_sign(f->key, LABEL, &err) != CKR_PIN_INCORRECT)
        fixture_failed(f, "thread 1", &err);
    latch_open(&shared.second);
}

static void test_pin_has_one_owner_though_two_threads_send_it(void **state)
{
    static const CK_RV answers[] = { CKR_USER_ALREADY_LOGGED_IN,
                                     CKR_DEVICE_ERROR, CKR_PIN_INCORRECT };
    struct fixture *f = *state;

    fake_set_attribute(f->fake, f->pair.private_key, CKA_ALWAYS_AUTHENTICATE,
                       &yes, sizeof(yes));
    for (size_t i = 0; i < COUNT(answers); i++) {
        memset(&shared, 0, sizeof(shared));
        memcpy(f->fake->slots[0].pin, PIN, sizeof(PIN));
        assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
        memcpy(f->fake->slots[0].pin, "9999", 5);
        f->fake->before = hold_the_login;
        fake_fail(f->fake, "C_SignInit", CKR_USER_NOT_LOGGED_IN, 1, 1);
        fake_fail(f->fake, "C_Login", answers[i], 1, 1);
        fixture_threads(f, 2, sign_with_either);
        fixture_assert_no_failure(f);
        f->fake->before = NULL;
        fake_fail_none(f->fake);
        p11_key_free(f->key);
        assert_rv(f, fixture_load(f, URI, "9999", &f->key, &f->err), CKR_OK);
        assert_signs(f);
        p11_key_free(f->key);
        f->key = NULL;
        fixture_close(f);
        fixture_open(f);
    }
}

/*
 * Thread 0 signs with a key that wants the PIN each time; thread 1 is at that
 * moment logging in again.  The PIN is there for both.
 */
static void hold_both(struct fake *fake, const char *function, void *arg)
{
    (void)fake;
    (void)arg;
    if (fixture_thread_number() == 0 && strcmp(function, "C_SignInit") == 0) {
        latch_open(&shared.first);
        (void)latch_wait(&shared.second, 2000);
    }
    if (fixture_thread_number() == 1 && strcmp(function, "C_Login") == 0) {
        latch_open(&shared.second);
        (void)usleep(100000);
    }
}

static void sign_or_log_in_again(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    if (i == 1) {
        if (!latch_wait(&shared.first, 2000))
            fixture_failed(f, "thread 0 did not begin", NULL);
        /* The answer of this thread's C_SignInit: the other one is in its. */
        fake_fail(f->fake, "C_SignInit", CKR_USER_NOT_LOGGED_IN, 1, 1);
    }
    if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
        fixture_failed(f, i == 0 ? "thread 0" : "thread 1", &err);
}

static void test_pin_for_one_signature_is_there_during_a_login(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;

    fake_set_attribute(f->fake, f->pair.private_key, CKA_ALWAYS_AUTHENTICATE,
                       &yes, sizeof(yes));
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    f->fake->before = hold_both;
    fixture_threads(f, 2, sign_or_log_in_again);
    fixture_assert_no_failure(f);
    for (size_t i = 0; fake_call(f->fake, "C_Login", i, &call); i++)
        assert_true(call.pin_given);
}

#define LOGIN_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOGIN_TEST(test_loads_at_once_log_in_once),
        LOGIN_TEST(test_wrong_pin_of_many_threads_is_sent_once),
        LOGIN_TEST(test_two_wrong_pins_of_many_threads_are_sent_once_each),
        LOGIN_TEST(test_many_threads_ask_one_person_once),
        LOGIN_TEST(test_login_that_is_lost_is_made_again_once),
        LOGIN_TEST(test_pin_that_was_changed_costs_one_try_in_all_threads),
        LOGIN_TEST(
            test_changed_pin_for_one_signature_costs_one_try_in_all_threads),
        LOGIN_TEST(test_pin_has_one_owner_though_two_threads_send_it),
        LOGIN_TEST(test_pin_for_one_signature_is_there_during_a_login),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
