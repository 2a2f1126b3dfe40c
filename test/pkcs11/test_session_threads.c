/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/session with more threads than sessions: nobody fails, nobody is
 * passed over, and never are more sessions open than allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../pkcs11/session.h"
#include "fixture.h"

#define THREADS 64

/* What the threads of a test have in common. */
static struct {
    size_t order[THREADS], next; /* under the fixture's lock */
    atomic_size_t most;          /* sessions seen open at once */
    struct latch latches[4];
} shared;

static int setup(void **state)
{
    memset(&shared, 0, sizeof(shared));
    return fixture_setup_open(state);
}

/* The fake's hook: how many sessions are open at the begin of each call. */
static void watch_sessions(struct fake *fake, const char *function, void *arg)
{
    size_t open = fake_open_sessions(fake), most = atomic_load(&shared.most);

    (void)function;
    (void)arg;
    while (open > most &&
           !atomic_compare_exchange_weak(&shared.most, &most, open))
        ;
}

static void sign_ten_times(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    (void)i;
    for (int n = 0; n < 10; n++) {
        if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
            fixture_failed(f, "sign", &err);
    }
}

static void sign_with_sessions(struct fixture *f, unsigned long ours,
                               unsigned long tokens)
{
    unsigned long allowed = ours < tokens ? ours : tokens;

    memset(&shared, 0, sizeof(shared));
    f->config.max_sessions = ours;
    f->fake->max_sessions = tokens;
    fixture_open(f);
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
    f->fake->before = watch_sessions;
    fixture_threads(f, THREADS, sign_ten_times);
    f->fake->before = NULL;
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Sign"), THREADS * 10);
    assert_int_equal(fake_count(f->fake, "C_SignInit"), THREADS * 10);
    assert_int_equal(fake_count(f->fake, "C_CloseSession"), 0);
    assert_true(shared.most <= allowed);
    assert_int_equal(fake_open_sessions(f->fake), fixture_slot(f)->open_count);
    assert_int_equal(fixture_slot(f)->lent_count, 0);
    p11_key_free(f->key);
    f->key = NULL;
    fixture_close(f);
}

static void test_threads_share_few_sessions_without_failure(void **state)
{
    static const unsigned long limits[] = { 16, 3, 2, 1 };
    struct fixture *f = *state;

    fixture_close(f);
    for (size_t i = 0; i < COUNT(limits); i++) {
        sign_with_sessions(f, limits[i], 1000); /* by configuration */
        sign_with_sessions(f, 1000, limits[i]); /* as the token says */
        sign_with_sessions(f, limits[i], limits[i]);
    }
}

static unsigned queued(struct p11_slot *slot);

/* Wait, and take down the order in which the session came to us. */
static void wait_in_queue(struct fixture *f, size_t i)
{
    struct p11_slot *slot = f->module->slots;
    struct p11_session *session = NULL;
    struct p11_error err = { 0 };

    if (i == 0) { /* holds the only session until all others wait */
        if (p11_session_borrow(slot, &session, &err) != CKR_OK)
            fixture_failed(f, "borrow", &err);
        latch_open(&shared.latches[0]);
        for (int ms = 0; ms < 5000 && queued(slot) < 8; ms++)
            (void)usleep(1000);
        p11_session_give_back(slot, session, CKR_OK);
        return;
    }
    (void)latch_wait(&shared.latches[0], 5000);
    for (int ms = 0; ms < 5000 && queued(slot) < i - 1; ms++)
        (void)usleep(1000);
    if (p11_session_borrow(slot, &session, &err) != CKR_OK)
        fixture_failed(f, "borrow", &err);
    pthread_mutex_lock(&f->lock);
    shared.order[shared.next++] = i;
    pthread_mutex_unlock(&f->lock);
    p11_session_give_back(slot, session, CKR_OK);
}

static unsigned queued(struct p11_slot *slot)
{
    unsigned n = 0;

    pthread_mutex_lock(&slot->lock);
    /* A waiter begins with the pointer to the next one. */
    for (void **at = (void **)slot->waiters; at != NULL; at = *at)
        n++;
    pthread_mutex_unlock(&slot->lock);
    return n;
}

static void test_first_to_wait_is_first_to_be_served(void **state)
{
    struct fixture *f = *state;

    f->module->max_sessions = 1;
    (void)fixture_slot(f);
    fixture_threads(f, 9, wait_in_queue);
    fixture_assert_no_failure(f);
    assert_int_equal(shared.next, 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(shared.order[i], i + 1);
}

static void hold_one_and_ask_for_more(struct fixture *f, size_t i)
{
    struct p11_slot *slot = f->module->slots;
    struct p11_session *session;
    struct p11_error err = { 0 };

    for (int n = 0; n < 20; n++) {
        if (p11_session_borrow(slot, &session, &err) != CKR_OK) {
            fixture_failed(f, "borrow", &err);
            continue;
        }
        (void)usleep((useconds_t)(500 * (i + 1)));
        p11_session_give_back(slot, session, CKR_OK);
    }
}

static void test_limit_is_learned_and_not_tried_at_every_wait(void **state)
{
    struct fixture *f = *state;
    struct timespec begin, end;
    size_t refused = 0;
    struct fake_call call;

    f->fake->max_sessions = 2;
    (void)fixture_slot(f);
    fake_calls_reset(f->fake);
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    fixture_threads(f, 6, hold_one_and_ask_for_more);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    fixture_assert_no_failure(f);
    for (size_t i = 0; fake_call(f->fake, "C_OpenSession", i, &call); i++)
        refused += call.rv == CKR_SESSION_COUNT;
    /* Each of the six at most once to learn, and one try in a second. */
    assert_true(refused >= 1);
    assert_true(refused <= 4 + (size_t)(end.tv_sec - begin.tv_sec) + 1);
    assert_int_equal(fixture_slot(f)->limit, 2);
}

static void test_limit_that_was_raised_is_found_out(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);

    f->fake->max_sessions = 2;
    fixture_threads(f, 6, hold_one_and_ask_for_more);
    assert_int_equal(slot->limit, 2);
    f->fake->max_sessions = 1000;
    slot->limit_at.tv_sec -= 2; /* instead of waiting for it */
    fixture_threads(f, 6, hold_one_and_ask_for_more);
    fixture_assert_no_failure(f);
    assert_true(fake_open_sessions(f->fake) > 2);
    assert_int_equal(fake_open_sessions(f->fake), slot->open_count);
}

static void test_who_waits_in_vain_is_told_so(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_session *session, *second;

    f->module->max_sessions = 1;
    assert_rv(f, p11_session_borrow(slot, &session, &f->err), CKR_OK);
    assert_rv(f, p11_session_borrow(slot, &second, &f->err), P11_SESSION_WAIT);
    assert_text(f, "token \"fake\"");
    assert_text(f, "hsmsign-max-sessions");
    p11_session_give_back(slot, session, CKR_OK);
    assert_null(slot->waiters);
    assert_rv(f, p11_session_borrow(slot, &session, &f->err), CKR_OK);
    p11_session_give_back(slot, session, CKR_OK);
}

/* The fake's hook: until a session is closed, both it and its successor are. */
static void close_slowly(struct fake *fake, const char *function, void *arg)
{
    if (strcmp(function, "C_CloseSession") == 0)
        (void)usleep(5000);
    watch_sessions(fake, function, arg);
}

static void borrow_and_fail(struct fixture *f, size_t i)
{
    struct p11_slot *slot = f->module->slots;
    struct p11_session *session;
    struct p11_error err = { 0 };

    for (size_t n = 0; n < 30; n++) {
        if (p11_session_borrow(slot, &session, &err) != CKR_OK) {
            fixture_failed(f, "borrow", &err);
            continue;
        }
        p11_session_give_back(slot, session,
                              (n + i) % 3 == 0 ? CKR_DATA_INVALID : CKR_OK);
    }
}

/* The place of the replacement counts too. */
static void test_replacing_never_opens_more_than_max_sessions(void **state)
{
    struct fixture *f = *state;

    f->module->max_sessions = 4;
    (void)fixture_slot(f);
    f->fake->before = close_slowly;
    fixture_threads(f, 3, borrow_and_fail);
    f->fake->before = NULL;
    fixture_assert_no_failure(f);
    assert_true(shared.most <= 4);
    assert_int_equal(fake_open_sessions(f->fake), fixture_slot(f)->open_count);
}

/*
 * Two threads replace their sessions at the token's limit.  Thread 0 has
 * closed its bad one when thread 1, which still has its own, comes to open.
 */
static void take_the_place(struct fake *fake, const char *function, void *arg)
{
    static _Thread_local unsigned opens;

    (void)fake;
    (void)arg;
    if (strcmp(function, "C_OpenSession") == 0) {
        opens++;
        if (fixture_thread_number() == 0 && opens == 2) {
            latch_open(&shared.latches[0]);
            (void)latch_wait(&shared.latches[1], 500);
        }
        if (fixture_thread_number() == 1 && opens == 1)
            (void)latch_wait(&shared.latches[0], 500);
    }
    if (strcmp(function, "C_CloseSession") == 0 &&
        fixture_thread_number() == 1) {
        latch_open(&shared.latches[1]);
        (void)usleep(50000);
    }
}

static void sign_once(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
        fixture_failed(f, i == 0 ? "thread 0" : "thread 1", &err);
}

static void
test_replacing_at_the_limit_does_not_take_anothers_place(void **state)
{
    struct fixture *f = *state;
    struct p11_session *a, *b;
    struct p11_slot *slot = fixture_slot(f);

    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    assert_rv(f, p11_session_borrow(slot, &a, &f->err), CKR_OK);
    assert_rv(f, p11_session_borrow(slot, &b, &f->err), CKR_OK);
    p11_session_give_back(slot, a, CKR_OK);
    p11_session_give_back(slot, b, CKR_OK);
    f->fake->max_sessions = 2;
    f->fake->before = take_the_place;
    fake_fail(f->fake, "C_Sign", CKR_DEVICE_ERROR, 1, 2);
    fixture_threads(f, 2, sign_once);
    fixture_assert_no_failure(f);
}

/* Thread 0 is about to close a session, but has not done so yet. */
static void hold_close(struct fake *fake, const char *function, void *arg)
{
    (void)fake;
    (void)arg;
    if (strcmp(function, "C_CloseSession") == 0 &&
        fixture_thread_number() == 0) {
        latch_open(&shared.latches[0]);
        (void)latch_wait(&shared.latches[1], 500);
    }
}

static void return_or_borrow(struct fixture *f, size_t i)
{
    struct p11_slot *slot = f->module->slots;
    struct p11_session *sessions[2];
    struct p11_error err = { 0 };

    for (size_t n = 0; n < 2; n++) {
        if (i == 1 && n == 0)
            (void)latch_wait(&shared.latches[0], 2000);
        if (p11_session_borrow(slot, &sessions[n], &err) != CKR_OK)
            fixture_failed(f, "borrow", &err);
    }
    if (i == 1) {
        atomic_store(&shared.most, fake_open_sessions(f->fake));
        latch_open(&shared.latches[1]);
    }
    p11_session_give_back(slot, sessions[0], CKR_OK);
    p11_session_give_back(slot, sessions[1], CKR_OK);
}

static void test_session_counts_until_it_is_closed(void **state)
{
    struct fixture *f = *state;

    f->module->max_sessions = 2;
    f->module->max_idle = 1;
    (void)fixture_slot(f);
    f->fake->before = hold_close;
    fixture_threads(f, 2, return_or_borrow);
    fixture_assert_no_failure(f);
    assert_int_equal(shared.most, 2);
    assert_int_equal(fake_open_sessions(f->fake), 1);
}

#define POOL_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_threads_share_few_sessions_without_failure),
        POOL_TEST(test_first_to_wait_is_first_to_be_served),
        POOL_TEST(test_limit_is_learned_and_not_tried_at_every_wait),
        POOL_TEST(test_limit_that_was_raised_is_found_out),
        POOL_TEST(test_who_waits_in_vain_is_told_so),
        POOL_TEST(test_replacing_never_opens_more_than_max_sessions),
        POOL_TEST(test_replacing_at_the_limit_does_not_take_anothers_place),
        POOL_TEST(test_session_counts_until_it_is_closed),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
