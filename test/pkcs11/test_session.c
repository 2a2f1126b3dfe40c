/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/session as one thread sees it: what borrowing, giving back and
 * replacing a session costs, and how many are open.  Waiting for one is the
 * business of test_session_threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../pkcs11/session.h"
#include "fixture.h"

static struct p11_session *borrow(struct fixture *f)
{
    struct p11_session *session = NULL;

    assert_rv(f, p11_session_borrow(fixture_slot(f), &session, &f->err),
              CKR_OK);
    return session;
}

static void give_back(struct fixture *f, struct p11_session *session, CK_RV rv)
{
    p11_session_give_back(fixture_slot(f), session, rv);
}

/* Finds the slot, so that only calls on sessions follow in the log. */
static void begin(struct fixture *f)
{
    (void)fixture_slot(f);
    fake_calls_reset(f->fake);
}

/* What the pool believes is what the token has. */
static void assert_open(struct fixture *f, unsigned long n)
{
    assert_int_equal(fake_open_sessions(f->fake), n);
    assert_int_equal(fixture_slot(f)->open_count, n);
}

static void test_session_is_opened_when_needed_and_kept(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session;

    begin(f);
    assert_open(f, 0);
    for (int i = 0; i < 3; i++) {
        session = borrow(f);
        give_back(f, session, CKR_OK);
    }
    assert_calls(f, "C_OpenSession");
    assert_open(f, 1);
}

static void test_last_session_given_back_is_lent_first(void **state)
{
    struct fixture *f = *state;
    struct p11_session *a = borrow(f), *b = borrow(f), *c = borrow(f);
    CK_SESSION_HANDLE last = a->handle, before = c->handle;

    give_back(f, b, CKR_OK);
    give_back(f, c, CKR_OK);
    give_back(f, a, CKR_OK);
    a = borrow(f);
    assert_int_equal(a->handle, last);
    c = borrow(f);
    assert_int_equal(c->handle, before);
    give_back(f, a, CKR_OK);
    give_back(f, c, CKR_OK);
}

static void test_no_more_than_max_idle_are_kept(void **state)
{
    struct fixture *f = *state;
    struct p11_session *sessions[5];

    f->module->max_idle = 2;
    for (size_t i = 0; i < COUNT(sessions); i++)
        sessions[i] = borrow(f);
    assert_open(f, 5);
    fake_calls_reset(f->fake);
    for (size_t i = 0; i < COUNT(sessions); i++)
        give_back(f, sessions[i], CKR_OK);
    assert_calls(f, "C_CloseSession C_CloseSession C_CloseSession");
    assert_open(f, 2);
}

/* Closing the last session logs out (PKCS #11 v2.40, 5.6). */
static void test_last_session_is_never_closed(void **state)
{
    struct fixture *f = *state;

    f->module->max_idle = 0;
    for (int i = 0; i < 3; i++)
        give_back(f, borrow(f), CKR_OK);
    assert_int_equal(fake_count(f->fake, "C_CloseSession"), 0);
    assert_open(f, 1);
}

static void test_close_of_the_module_closes_all(void **state)
{
    struct fixture *f = *state;
    struct p11_session *a = borrow(f), *b = borrow(f);

    give_back(f, a, CKR_OK);
    give_back(f, b, CKR_OK);
    fake_calls_reset(f->fake);
    fixture_close(f);
    assert_calls(f, "C_CloseSession C_CloseSession C_Finalize");
}

static void
test_sessions_that_others_hold_all_are_an_error_at_once(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session;

    begin(f);
    f->fake->max_sessions = 0;
    assert_rv(f, p11_session_borrow(fixture_slot(f), &session, &f->err),
              CKR_SESSION_COUNT);
    assert_text(f, "C_OpenSession: CKR_SESSION_COUNT");
    assert_calls(f, "C_OpenSession");
    f->fake->max_sessions = 1;
    give_back(f, borrow(f), CKR_OK);
    assert_open(f, 1);
}

static void test_failing_open_is_an_error_and_counts_nothing(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session;

    begin(f);
    f->module->max_sessions = 1;
    for (int i = 0; i < 3; i++) {
        fake_fail(f->fake, "C_OpenSession", CKR_DEVICE_REMOVED, 1, 1);
        assert_rv(f, p11_session_borrow(fixture_slot(f), &session, &f->err),
                  CKR_DEVICE_REMOVED);
        assert_text(f, "C_OpenSession: CKR_DEVICE_REMOVED (token \"fake\")");
        fake_fail_none(f->fake);
    }
    give_back(f, borrow(f), CKR_OK);
    assert_open(f, 1);
}

static void test_session_is_sound_after_what_is_not_its_fault(void **state)
{
    static const CK_RV rvs[] = { CKR_OK,     P11_NO_KEY,     P11_MANY_KEYS,
                                 P11_NO_PIN, P11_PIN_SOURCE, P11_KEY_CHANGED };
    struct fixture *f = *state;

    give_back(f, borrow(f), CKR_OK);
    fake_calls_reset(f->fake);
    for (size_t i = 0; i < COUNT(rvs); i++)
        give_back(f, borrow(f), rvs[i]);
    assert_no_call(f);
}

static void
test_replacement_is_opened_before_the_bad_one_is_closed(void **state)
{
    static const CK_RV rvs[] = { CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_ERROR,
                                 CKR_DATA_LEN_RANGE, CKR_OPERATION_ACTIVE,
                                 CKR_USER_NOT_LOGGED_IN };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rvs); i++) {
        struct p11_session *session = borrow(f);
        CK_SESSION_HANDLE handle = session->handle;

        fake_calls_reset(f->fake);
        give_back(f, session, rvs[i]);
        assert_calls(f, "C_OpenSession C_CloseSession");
        assert_open(f, 1);
        session = borrow(f);
        assert_int_not_equal(session->handle, handle);
        give_back(f, session, CKR_OK);
    }
}

static void test_at_our_limit_the_bad_one_is_closed_first(void **state)
{
    struct fixture *f = *state;
    struct p11_session *a, *b;

    f->module->max_sessions = 2;
    a = borrow(f);
    b = borrow(f);
    fake_calls_reset(f->fake);
    give_back(f, a, CKR_DEVICE_ERROR);
    assert_calls(f, "C_CloseSession C_OpenSession");
    assert_open(f, 2);
    give_back(f, b, CKR_OK);
}

static void test_at_the_tokens_limit_the_bad_one_is_closed_first(void **state)
{
    struct fixture *f = *state;
    struct p11_session *a = borrow(f), *b = borrow(f);

    f->fake->max_sessions = 2;
    fake_calls_reset(f->fake);
    give_back(f, a, CKR_DEVICE_ERROR);
    assert_calls(f, "C_OpenSession C_CloseSession C_OpenSession");
    assert_open(f, 2);
    give_back(f, b, CKR_OK);
}

/* Each handle is closed once: it may be another thread's afterwards. */
static void assert_closed_once(struct fixture *f)
{
    struct fake_call a, b;

    for (size_t i = 0; fake_call(f->fake, "C_CloseSession", i, &a); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(fake_call(f->fake, "C_CloseSession", j, &b));
            assert_int_not_equal(a.session, b.session);
        }
    }
}

static void test_session_without_replacement_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session = borrow(f);

    fake_calls_reset(f->fake);
    fake_fail(f->fake, "C_OpenSession", CKR_DEVICE_REMOVED, 1, 0);
    give_back(f, session, CKR_DEVICE_REMOVED);
    assert_open(f, 0);
    assert_closed_once(f);
    fake_fail_none(f->fake);
    give_back(f, borrow(f), CKR_OK);
    assert_open(f, 1);
}

static void
test_session_without_replacement_at_the_limit_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session;

    f->fake->max_sessions = f->module->max_sessions = 1;
    session = borrow(f);
    fake_calls_reset(f->fake);
    fake_fail(f->fake, "C_OpenSession", CKR_DEVICE_REMOVED, 1, 1);
    give_back(f, session, CKR_DEVICE_ERROR);
    assert_open(f, 0);
    assert_closed_once(f);
    give_back(f, borrow(f), CKR_OK);
    assert_open(f, 1);
}

/* The same within one signature, which ends with giving back once more. */
static void test_signature_closes_each_session_once(void **state)
{
    struct fixture *f = *state;

    f->fake->max_sessions = f->module->max_sessions = 1;
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
    fake_fail(f->fake, "C_Sign", CKR_DEVICE_ERROR, 1, 1);
    fake_fail(f->fake, "C_OpenSession", CKR_DEVICE_ERROR, 1, 1);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_DEVICE_ERROR);
    assert_closed_once(f);
    assert_signs(f);
    assert_open(f, 1);
}

/* PKCS #11 v2.40, 5.6: with the last session the login is gone. */
static void test_key_is_loaded_after_the_only_session_was_replaced(void **state)
{
    struct fixture *f = *state;
    struct p11_key *other;

    f->fake->max_sessions = f->module->max_sessions = 1;
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    give_back(f, borrow(f), CKR_DATA_LEN_RANGE);
    assert_rv(f, fixture_load(f, URI, PIN, &other, &f->err), CKR_OK);
    p11_key_free(other);
    assert_signs(f);
}

/* After a reset a token may number its sessions from the beginning. */
static void test_fresh_session_with_the_old_number_is_not_closed(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session;
    CK_SESSION_HANDLE old;

    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    session = borrow(f);
    old = session->handle;
    fake_lose(f->fake, FAKE_SESSIONS);
    f->fake->last_handle = old - 1;
    assert_rv(f, p11_session_replace(fixture_slot(f), session, &f->err),
              CKR_OK);
    assert_int_equal(session->handle, old);
    assert_open(f, 1);
    give_back(f, session, CKR_OK);
}

static void
test_paused_pool_waits_for_what_is_lent_until_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_session *session = borrow(f);
    struct timespec begin, deadline, end;

    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    deadline = begin;
    deadline.tv_sec += 1;
    assert_false(p11_session_pool_pause(slot, &deadline));
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(
        end.tv_sec > deadline.tv_sec ||
        (end.tv_sec == deadline.tv_sec && end.tv_nsec >= deadline.tv_nsec));
    give_back(f, session, CKR_OK);
    assert_true(p11_session_pool_pause(slot, &deadline)); /* nothing is lent */
    p11_session_pool_resume(slot);
    p11_session_pool_resume(slot); /* each pause has its own */
    give_back(f, borrow(f), CKR_OK);
}

/* In a process of its own, since exiting does not end. */
static int exit_and_resume(struct fixture *f)
{
    struct p11_slot *slot = fixture_slot(f);
    struct timespec now;
    struct p11_session *session;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    p11_module_set_exiting();
    p11_session_pool_pause(slot, &now);
    if (p11_session_borrow(slot, &session, &f->err) != P11_EXITING)
        return 1;
    /* The other end of a fork in another thread. */
    p11_session_pool_resume(slot);
    return p11_session_borrow(slot, &session, &f->err) == P11_EXITING ? 0 : 2;
}

static void
test_exiting_process_lends_no_more_not_even_after_a_fork(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(exit_and_resume(f));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OPEN(test_session_is_opened_when_needed_and_kept),
        TEST_OPEN(test_last_session_given_back_is_lent_first),
        TEST_OPEN(test_no_more_than_max_idle_are_kept),
        TEST_OPEN(test_last_session_is_never_closed),
        TEST_OPEN(test_close_of_the_module_closes_all),
        TEST_OPEN(test_sessions_that_others_hold_all_are_an_error_at_once),
        TEST_OPEN(test_failing_open_is_an_error_and_counts_nothing),
        TEST_OPEN(test_session_is_sound_after_what_is_not_its_fault),
        TEST_OPEN(test_replacement_is_opened_before_the_bad_one_is_closed),
        TEST_OPEN(test_at_our_limit_the_bad_one_is_closed_first),
        TEST_OPEN(test_at_the_tokens_limit_the_bad_one_is_closed_first),
        TEST_OPEN(test_session_without_replacement_is_given_up),
        TEST_OPEN(test_session_without_replacement_at_the_limit_is_given_up),
        TEST_OPEN(test_signature_closes_each_session_once),
        TEST_OPEN(test_key_is_loaded_after_the_only_session_was_replaced),
        TEST_OPEN(test_fresh_session_with_the_old_number_is_not_closed),
        TEST_OPEN(test_paused_pool_waits_for_what_is_lent_until_the_deadline),
        TEST_OPEN(test_exiting_process_lends_no_more_not_even_after_a_fork),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
