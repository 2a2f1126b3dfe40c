/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/key in many threads: every signature succeeds, with the right key,
 * although the token is lost meanwhile; and one PIN is sent for all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define THREADS    8
#define SIGNATURES 20
#define ROUNDS     20
#define EVERYTHING (FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES)

/* What the threads of a test have in common. */
static struct {
    struct p11_key *keys[THREADS]; /* each its own */
    unsigned lose;                 /* what is lost at signature lose_at */
    unsigned lose_at;
    atomic_uint signatures;
} shared;

static int setup(void **state)
{
    memset(&shared, 0, sizeof(shared));
    return fixture_setup_key(state);
}

/* The fake's hook: in the middle of the work the token loses something. */
static void lose_once(struct fake *fake, const char *function, void *arg)
{
    (void)arg;
    if (strcmp(function, "C_Sign") == 0 &&
        atomic_fetch_add(&shared.signatures, 1) + 1 == shared.lose_at)
        fake_lose(fake, shared.lose);
}

static void sign(struct fixture *f, struct p11_key *key, const char *label)
{
    struct p11_error err = { 0 };

    if (fixture_sign(key, label, &err) != CKR_OK)
        fixture_failed(f, "sign", &err);
}

static void sign_shared(struct fixture *f, size_t i)
{
    (void)i;
    for (int n = 0; n < SIGNATURES; n++)
        sign(f, f->key, LABEL);
}

static void sign_own(struct fixture *f, size_t i)
{
    char label[20];

    (void)snprintf(label, sizeof(label), "key-%zu", i);
    for (int n = 0; n < SIGNATURES; n++)
        sign(f, shared.keys[i], label);
}

/* That were needed: CKR_USER_ALREADY_LOGGED_IN costs no try of the PIN. */
static size_t logins(struct fixture *f)
{
    struct fake_call call;
    size_t n = 0;

    for (size_t i = 0; fake_call(f->fake, "C_Login", i, &call); i++)
        n += call.rv != CKR_USER_ALREADY_LOGGED_IN;
    return n;
}

/* Run the threads ROUNDS times, with a loss in the middle of each. */
static void lose_and_sign(struct fixture *f, unsigned what, fixture_thread *run)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        fake_calls_reset(f->fake);
        shared.lose = what;
        shared.lose_at = round * THREADS * SIGNATURES / ROUNDS + 1;
        atomic_store(&shared.signatures, 0);
        f->fake->before = lose_once;
        fixture_threads(f, THREADS, run);
        f->fake->before = NULL;
        fixture_assert_no_failure(f);
        assert_true(shared.signatures >= THREADS * SIGNATURES);
        assert_true(logins(f) <= 1);
        assert_true(fake_open_sessions(f->fake) <= fixture_slot(f)->open_count);
        assert_int_equal(fixture_slot(f)->lent_count, 0);
    }
}

static void test_threads_sign_with_one_key(void **state)
{
    struct fixture *f = *state;

    fixture_threads(f, THREADS, sign_shared);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Sign"), THREADS * SIGNATURES);
    assert_int_equal(fake_count(f->fake, "C_SignInit"), THREADS * SIGNATURES);
    assert_true(fake_open_sessions(f->fake) <= THREADS);
}

static void test_threads_survive_the_loss_of_everything(void **state)
{
    lose_and_sign(*state, EVERYTHING, sign_shared);
}

static void test_threads_survive_every_other_loss(void **state)
{
    for (unsigned what = 1; what < EVERYTHING; what++)
        lose_and_sign(*state, what, sign_shared);
}

static void test_threads_with_keys_of_their_own_survive_a_loss(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < THREADS; i++) {
        struct fake_key key = fixture_rsa;
        char label[20], uri[50];

        (void)snprintf(label, sizeof(label), "key-%zu", i);
        (void)snprintf(uri, sizeof(uri), "pkcs11:object=key-%zu", i);
        key.label = label;
        (void)fake_add_key(f->fake, 0, &key);
        assert_rv(f, fixture_load(f, uri, PIN, &shared.keys[i], &f->err),
                  CKR_OK);
    }
    lose_and_sign(f, EVERYTHING, sign_own);
    for (size_t i = 0; i < THREADS; i++)
        p11_key_free(shared.keys[i]);
}

static void test_threads_survive_a_loss_with_few_sessions(void **state)
{
    static const unsigned long limits[] = { 3, 2, 1 };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(limits); i++) {
        f->module->max_sessions = limits[i];
        lose_and_sign(f, EVERYTHING, sign_shared);
    }
}

/* Loads anew what others sign with, as a server does for each request. */
static void load_and_sign(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };
    struct p11_key *key;

    if (i % 2 == 0) {
        sign_shared(f, i);
        return;
    }
    for (int n = 0; n < SIGNATURES; n++) {
        if (fixture_load(f, URI, PIN, &key, &err) != CKR_OK) {
            fixture_failed(f, "load", &err);
            continue;
        }
        sign(f, key, LABEL);
        p11_key_free(key);
    }
}

static void test_loads_and_signatures_survive_a_loss(void **state)
{
    lose_and_sign(*state, EVERYTHING, load_and_sign);
}

/* The token numbers its objects anew, so that handles are other keys'. */
static void swap_handles(struct fake *fake, const char *function, void *arg)
{
    (void)arg;
    if (strcmp(function, "C_Sign") != 0 ||
        atomic_fetch_add(&shared.signatures, 1) + 1 != shared.lose_at)
        return;
    /* In one moment, or a handle found in between would be void already. */
    pthread_mutex_lock(&fake->lock);
    memset(fake->sessions, 0, sizeof(fake->sessions));
    fake->slots[0].logged_in = false;
    for (size_t i = 0; i + 2 < FAKE_MAX_OBJECTS && fake->objects[i + 2].present;
         i += 4) {
        CK_OBJECT_HANDLE handle = fake->objects[i].handle;

        fake->objects[i].handle = fake->objects[i + 2].handle;
        fake->objects[i + 2].handle = handle;
    }
    pthread_mutex_unlock(&fake->lock);
}

static void
test_no_thread_signs_with_a_handle_that_became_anothers(void **state)
{
    struct fixture *f = *state;
    struct fake_key other = fixture_rsa;

    other.label = "other"; /* objects: private, public, private, public */
    (void)fake_add_key(f->fake, 0, &other);
    for (unsigned round = 0; round < ROUNDS; round++) {
        shared.lose_at = 40;
        atomic_store(&shared.signatures, 0);
        f->fake->before = swap_handles;
        fixture_threads(f, THREADS, sign_shared);
        f->fake->before = NULL;
        fixture_assert_no_failure(f);
    }
}

#define KEY_TEST(name)                                                         \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEY_TEST(test_threads_sign_with_one_key),
        KEY_TEST(test_threads_survive_the_loss_of_everything),
        KEY_TEST(test_threads_survive_every_other_loss),
        KEY_TEST(test_threads_with_keys_of_their_own_survive_a_loss),
        KEY_TEST(test_threads_survive_a_loss_with_few_sessions),
        KEY_TEST(test_loads_and_signatures_survive_a_loss),
        KEY_TEST(test_no_thread_signs_with_a_handle_that_became_anothers),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
