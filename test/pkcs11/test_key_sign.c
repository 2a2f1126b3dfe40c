/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/key: one signature is two calls, or three; and it succeeds although
 * the token lost session, login or handle, but never with another key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/login.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

#define EVERYTHING (FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES)

static const CK_BBOOL yes = CK_TRUE;

static void test_signature_is_two_calls(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;

    assert_signs(f);
    assert_calls(f, SIGN_CALLS);
    assert_true(fake_call(f->fake, "C_SignInit", 0, &call));
    assert_int_equal(call.mechanism, CKM_RSA_PKCS);
    assert_int_equal(call.object, fake_handle(f->fake, f->pair.private_key));
    for (int i = 0; i < 100; i++)
        assert_signs(f);
    assert_int_equal(fake_count(f->fake, NULL), 202);
}

/* SoftHSM, while another thread calls C_Logout; and when nobody did. */
static void test_general_error_of_who_is_logged_out_is_mended(void **state)
{
    struct fixture *f = *state;

    fake_lose(f->fake, FAKE_LOGIN);
    fake_fail(f->fake, "C_SignInit", CKR_GENERAL_ERROR, 1, 1);
    assert_signs(f);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
    fake_fail(f->fake, "C_SignInit", CKR_GENERAL_ERROR, 1, 1);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_GENERAL_ERROR);
    assert_int_equal(fake_count(f->fake, "C_Login"), 1);
}

static void lose_login(struct fake *fake, const char *function, void *arg)
{
    (void)arg;
    if (strcmp(function, "C_SignInit") == 0)
        fake_lose(fake, FAKE_LOGIN);
}

/* What is returned is what the error says, also where mending has its end. */
static void test_general_error_that_cannot_be_mended_is_said_so(void **state)
{
    struct fixture *f = *state;

    f->fake->before = lose_login;
    fake_fail(f->fake, "C_SignInit", CKR_GENERAL_ERROR, 1, 0);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_GENERAL_ERROR);
    assert_int_equal(f->err.rv, CKR_GENERAL_ERROR);
    assert_non_null(strstr(f->err.text, "CKR_GENERAL_ERROR"));
}

/* Make the key ask for the PIN each time, and load it anew. */
static void load_always_authenticate(struct fixture *f)
{
    fake_set_attribute(f->fake, f->pair.private_key, CKA_ALWAYS_AUTHENTICATE,
                       &yes, sizeof(yes));
    p11_key_free(f->key);
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
}

static void test_always_authenticate_is_three_calls(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;

    load_always_authenticate(f);
    assert_signs(f);
    assert_calls(f, "C_SignInit C_Login C_Sign");
    assert_true(fake_call(f->fake, "C_Login", 0, &call));
    assert_int_equal(call.user, CKU_CONTEXT_SPECIFIC);
    assert_true(call.pin_given);
    assert_signs(f);
    assert_calls(f, "C_SignInit C_Login C_Sign C_SignInit C_Login C_Sign");
}

static void test_always_authenticate_at_a_pin_pad_sends_no_pin(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;

    fixture_close(f);
    p11_key_free(f->key);
    f->key = NULL;
    f->fake->slots[0].flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    fixture_open(f);
    load_always_authenticate(f);
    assert_signs(f);
    assert_true(fake_call(f->fake, "C_Login", 0, &call));
    assert_false(call.pin_given);
}

/* Each would be one of the token's tries. */
static void
test_pin_for_one_signature_that_is_refused_is_not_sent_again(void **state)
{
    struct fixture *f = *state;

    load_always_authenticate(f);
    memcpy(f->fake->slots[0].pin, "9999", 5);
    for (int i = 0; i < 4; i++)
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_PIN_INCORRECT);
    assert_int_equal(f->fake->slots[0].bad_pins, 1);
    assert_null(strstr(f->err.text, PIN));
}

/* A refused PIN leaves the signature active: that session is not lent again. */
static void test_session_with_a_refused_pin_is_not_lent_again(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session;
    CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };

    load_always_authenticate(f);
    fake_fail(f->fake, "C_Login", CKR_PIN_INCORRECT, 1, 1);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_PIN_INCORRECT);
    assert_rv(f, p11_session_borrow(fixture_slot(f), &session, &f->err),
              CKR_OK);
    assert_int_equal(
        f->fake->list.C_SignInit(session->handle, &mechanism,
                                 fake_handle(f->fake, f->pair.private_key)),
        CKR_OK);
    p11_session_give_back(fixture_slot(f), session, CKR_DEVICE_ERROR);
}

/* What a call may answer once, and the same signature succeeds. */
static const CK_RV mendable[] = {
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED,
    CKR_USER_NOT_LOGGED_IN,     CKR_KEY_HANDLE_INVALID,
    CKR_OBJECT_HANDLE_INVALID,  CKR_DEVICE_ERROR,
    CKR_DEVICE_REMOVED,         CKR_OPERATION_ACTIVE,
    CKR_FUNCTION_FAILED,        CKR_OPERATION_NOT_INITIALIZED,
};

static void sign_despite(struct fixture *f, const char *function, CK_RV rv)
{
    fake_calls_reset(f->fake);
    fake_fail(f->fake, function, rv, 1, 1);
    assert_signs(f);
    fake_fail_none(f->fake);
    assert_true(fake_count(f->fake, NULL) <= 16);
    assert_int_equal(fake_open_sessions(f->fake), 1);
    fake_calls_reset(f->fake);
    assert_signs(f); /* and the next one as if nothing had been */
    assert_int_equal(fake_count(f->fake, "C_Sign"), 1);
    assert_int_equal(fake_count(f->fake, "C_SignInit"), 1);
    assert_int_equal(fake_count(f->fake, "C_FindObjects"), 0);
}

static void test_signature_survives_one_failure_of_each_call(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(mendable); i++) {
        sign_despite(f, "C_SignInit", mendable[i]);
        sign_despite(f, "C_Sign", mendable[i]);
        f->fake->failed_sign_keeps_operation = true;
        sign_despite(f, "C_Sign", mendable[i]);
        f->fake->failed_sign_keeps_operation = false;
    }
}

static void test_always_authenticate_survives_them_too(void **state)
{
    struct fixture *f = *state;

    load_always_authenticate(f);
    for (size_t i = 0; i < COUNT(mendable); i++) {
        sign_despite(f, "C_SignInit", mendable[i]);
        sign_despite(f, "C_Sign", mendable[i]);
    }
}

static void test_signature_survives_every_loss(void **state)
{
    struct fixture *f = *state;

    for (unsigned what = 1; what <= EVERYTHING; what++) {
        fake_calls_reset(f->fake);
        fake_lose(f->fake, what);
        assert_signs(f);
        assert_true(fake_count(f->fake, "C_Login") <= 1);
        assert_int_equal(fake_open_sessions(f->fake), 1);
    }
}

static void test_signature_survives_every_loss_with_one_session(void **state)
{
    struct fixture *f = *state;

    f->fake->max_sessions = f->module->max_sessions = 1;
    for (unsigned what = 1; what <= EVERYTHING; what++) {
        fake_lose(f->fake, what);
        assert_signs(f);
    }
    for (size_t i = 0; i < COUNT(mendable); i++) {
        sign_despite(f, "C_SignInit", mendable[i]);
        sign_despite(f, "C_Sign", mendable[i]);
    }
}

/*
 * Several idle sessions, all dead; one key notices and begins a new epoch;
 * then another key, with one of the other dead sessions.
 */
static void test_every_key_survives_a_loss_with_many_idle_sessions(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_session *sessions[3], *good;
    struct p11_key *ec;

    (void)fake_add_key(f->fake, 0, &fixture_ec);
    assert_rv(f, fixture_load(f, "pkcs11:object=ec", PIN, &ec, &f->err),
              CKR_OK);
    for (size_t i = 0; i < COUNT(sessions); i++)
        assert_rv(f, p11_session_borrow(slot, &sessions[i], &f->err), CKR_OK);
    for (size_t i = 0; i < COUNT(sessions); i++)
        p11_session_give_back(slot, sessions[i], CKR_OK);
    fake_lose(f->fake, EVERYTHING);
    assert_signs(f);
    assert_rv(f, p11_session_borrow(slot, &good, &f->err), CKR_OK);
    assert_rv(f, fixture_sign(ec, "ec", &f->err), CKR_OK);
    p11_session_give_back(slot, good, CKR_OK);
    p11_key_free(ec);
}

static void test_failure_that_stays_is_reported(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(mendable); i++) {
        fake_calls_reset(f->fake);
        fake_fail(f->fake, "C_Sign", mendable[i], 1, 0);
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), mendable[i]);
        assert_text(f, "C_Sign");
        assert_in_range(fake_count(f->fake, "C_Sign"), 2, 6);
        fake_fail_none(f->fake);
        assert_signs(f);
    }
}

static void test_fatal_failure_is_not_tried_again_and_names_all(void **state)
{
    static const struct {
        const char *function;
        CK_RV rv;
        const char *name;
    } rows[] = {
        { "C_SignInit", CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID" },
        { "C_Sign", CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE" },
        { "C_Sign", CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR" },
        { "C_Sign", CKR_VENDOR_DEFINED | 0x1234, "0x80001234" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_calls_reset(f->fake);
        fake_fail(f->fake, rows[i].function, rows[i].rv, 1, 1);
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), rows[i].rv);
        fake_fail_none(f->fake);
        assert_int_equal(fake_count(f->fake, rows[i].function), 1);
        assert_int_equal(f->err.rv, rows[i].rv);
        assert_text(f, rows[i].function);
        assert_text(f, rows[i].name);
        assert_text(f, "token \"fake\"");
        assert_text(f, "object=signer");
    }
}

static void test_failed_signature_does_not_spoil_the_next(void **state)
{
    struct fixture *f = *state;

    f->fake->failed_sign_keeps_operation = true;
    fake_fail(f->fake, "C_Sign", CKR_DATA_LEN_RANGE, 1, 1);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_DATA_LEN_RANGE);
    fake_calls_reset(f->fake);
    assert_signs(f);
    assert_calls(f, SIGN_CALLS);
}

static void test_caller_without_interest_in_the_reason_is_served(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_Sign", CKR_DEVICE_ERROR, 1, 1);
    assert_int_equal(fixture_sign(f->key, LABEL, NULL), CKR_OK);
    fake_fail_none(f->fake);
    fake_fail(f->fake, "C_Sign", CKR_DATA_INVALID, 1, 1);
    assert_int_equal(fixture_sign(f->key, LABEL, NULL), CKR_DATA_INVALID);
}

static void test_small_buffer_is_an_error_and_not_overrun(void **state)
{
    struct fixture *f = *state;
    CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
    unsigned char sig[9] = { [8] = 0x5a };
    size_t len = 8;

    assert_rv(f,
              p11_key_sign(f->key, &mechanism, (const unsigned char *)"data", 4,
                           sig, &len, &f->err),
              CKR_BUFFER_TOO_SMALL);
    assert_int_equal(sig[8], 0x5a);
    fake_calls_reset(f->fake);
    assert_signs(f);
    assert_calls(f, SIGN_CALLS);
}

static void test_another_key_under_the_name_does_not_sign(void **state)
{
    static const CK_ATTRIBUTE_TYPE differs[] = { CKA_MODULUS, CKA_ID };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(differs); i++) {
        fake_set_attribute(f->fake, f->pair.private_key, differs[i], "other",
                           5);
        fake_lose(f->fake, EVERYTHING);
        fake_calls_reset(f->fake);
        for (int n = 0; n < 3; n++) {
            assert_rv(f, fixture_sign(f->key, LABEL, &f->err), P11_KEY_CHANGED);
            assert_text(f, "object=signer");
        }
        assert_int_equal(fake_count(f->fake, "C_Sign"), 0);
        p11_key_free(f->key);
        assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
        assert_signs(f);
    }
}

static void test_key_that_is_gone_or_doubled_after_a_loss_is_told(void **state)
{
    struct fixture *f = *state;
    struct fake_pair second = fake_add_key(f->fake, 0, &fixture_rsa);

    fake_lose(f->fake, EVERYTHING);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), P11_MANY_KEYS);
    fake_remove_object(f->fake, second.private_key);
    assert_signs(f);
    fake_remove_object(f->fake, f->pair.private_key);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), P11_NO_KEY);
}

static void lose_login_before_the_first_search(struct fake *fake,
                                               const char *function, void *arg)
{
    bool *done = arg;

    if (*done || strcmp(function, "C_FindObjectsInit") != 0)
        return;
    *done = true;
    fake_lose(fake, FAKE_LOGIN);
}

/* Nothing is found, and nobody says that it is for the lack of a login. */
static void
test_key_is_not_called_missing_while_the_login_is_unknown(void **state)
{
    struct fixture *f = *state;
    bool done = false;

    f->fake->before = lose_login_before_the_first_search;
    f->fake->before_arg = &done;
    fake_lose(f->fake, EVERYTHING);
    fake_fail(f->fake, "C_GetSessionInfo", CKR_DEVICE_ERROR, 1, 1);
    assert_signs(f);
    assert_true(done);
    f->fake->before = NULL;
}

/* Another thread's part in a storm, played by the calls of this one. */
struct storm {
    struct fixture *f;
    struct p11_session session;
    bool lost, found; /* the login */
};

/*
 * All is lost, that thread has a session of its own, and the key signs.  What
 * became of the storm.
 */
static struct storm assert_signs_in_storm(struct fixture *f,
                                          fake_before_fn *hook)
{
    struct storm storm = { .f = f };

    fake_lose(f->fake, EVERYTHING);
    assert_int_equal(f->module->fl->C_OpenSession(fixture_slot(f)->id,
                                                  CKF_SERIAL_SESSION, NULL,
                                                  NULL, &storm.session.handle),
                     CKR_OK);
    fake_calls_reset(f->fake);
    f->fake->before = hook;
    f->fake->before_arg = &storm;
    assert_signs(f);
    f->fake->before = NULL;
    return storm;
}

static void lose_and_find_the_login(struct fake *fake, const char *function,
                                    void *arg)
{
    struct storm *storm = arg;
    struct p11_slot *slot = fixture_slot(storm->f);

    if (!storm->lost && strcmp(function, "C_GetAttributeValue") == 0) {
        storm->lost = true;
        fake_lose(fake, FAKE_LOGIN);
        fake_fail(fake, "C_Login", CKR_FUNCTION_FAILED, 1, 1);
        assert_int_not_equal(p11_slot_login(slot, &storm->session, NULL,
                                            p11_slot_epoch(slot), NULL),
                             CKR_OK);
    } else if (storm->lost && !storm->found &&
               strcmp(function, "C_FindObjectsFinal") == 0) {
        storm->found = true;
        assert_int_equal(p11_slot_login(slot, &storm->session, NULL, 0, NULL),
                         CKR_OK);
    }
}

/* It is there again when the search has ended, and was not while it ran. */
static void
test_key_is_not_called_missing_when_another_thread_logged_in(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_GetAttributeValue", CKR_FUNCTION_FAILED, 1, 1);
    assert_true(assert_signs_in_storm(f, lose_and_find_the_login).found);
}

/* The login goes before a search, and is there again when it is asked for. */
static void log_in_while_it_is_asked(struct fake *fake, const char *function,
                                     void *arg)
{
    struct storm *storm = arg;
    struct p11_slot *slot = fixture_slot(storm->f);

    if (!storm->lost && strcmp(function, "C_FindObjectsInit") == 0) {
        storm->lost = true;
        fake_lose(fake, FAKE_LOGIN);
    } else if (!storm->found && strcmp(function, "C_GetSessionInfo") == 0) {
        storm->found = true;
        assert_int_equal(p11_slot_login(slot, &storm->session, NULL,
                                        p11_slot_epoch(slot), NULL),
                         CKR_OK);
    }
}

static void
test_key_is_not_called_missing_when_the_login_comes_back_at_once(void **state)
{
    struct fixture *f = *state;

    assert_true(assert_signs_in_storm(f, log_in_while_it_is_asked).found);
}

/* What was found is of an epoch that is over: the handle is not used. */
static void begin_an_epoch(struct fake *fake, const char *function, void *arg)
{
    struct storm *storm = arg;
    struct p11_slot *slot = fixture_slot(storm->f);

    (void)fake;
    if (storm->lost || strcmp(function, "C_GetAttributeValue") != 0)
        return;
    storm->lost = true;
    assert_int_equal(
        p11_slot_login(slot, &storm->session, NULL, p11_slot_epoch(slot), NULL),
        CKR_OK);
}

static void test_handle_of_an_epoch_that_ended_is_not_used(void **state)
{
    struct fixture *f = *state;

    assert_true(assert_signs_in_storm(f, begin_an_epoch).lost);
    assert_int_equal(fake_count(f->fake, "C_FindObjectsInit"), 2);
    assert_int_equal(fake_count(f->fake, "C_Sign"), 1);
}

/*
 * A restarted token numbers its objects anew: the handle of before may be
 * another key's.  The login may be there, made by another thread or the
 * application, or not be wanted, so that nothing else stops the signature.
 */
static void
test_handle_that_became_another_keys_is_not_signed_with(void **state)
{
    struct fixture *f = *state;
    struct fake_key other = fixture_rsa;
    struct fake_object *objects = f->fake->objects;
    CK_OBJECT_HANDLE handle;
    size_t theirs, ours = f->pair.private_key;

    other.label = "other";
    theirs = fake_add_key(f->fake, 0, &other).private_key;
    fake_lose(f->fake, FAKE_SESSIONS);
    handle = objects[ours].handle;
    objects[ours].handle = objects[theirs].handle;
    objects[theirs].handle = handle;
    assert_signs(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_KEY(test_signature_is_two_calls),
        TEST_KEY(test_general_error_of_who_is_logged_out_is_mended),
        TEST_KEY(test_general_error_that_cannot_be_mended_is_said_so),
        TEST_KEY(test_always_authenticate_is_three_calls),
        TEST_KEY(test_always_authenticate_at_a_pin_pad_sends_no_pin),
        TEST_KEY(test_pin_for_one_signature_that_is_refused_is_not_sent_again),
        TEST_KEY(test_session_with_a_refused_pin_is_not_lent_again),
        TEST_KEY(test_signature_survives_one_failure_of_each_call),
        TEST_KEY(test_always_authenticate_survives_them_too),
        TEST_KEY(test_signature_survives_every_loss),
        TEST_KEY(test_signature_survives_every_loss_with_one_session),
        TEST_KEY(test_every_key_survives_a_loss_with_many_idle_sessions),
        TEST_KEY(test_failure_that_stays_is_reported),
        TEST_KEY(test_fatal_failure_is_not_tried_again_and_names_all),
        TEST_KEY(test_failed_signature_does_not_spoil_the_next),
        TEST_KEY(test_caller_without_interest_in_the_reason_is_served),
        TEST_KEY(test_small_buffer_is_an_error_and_not_overrun),
        TEST_KEY(test_another_key_under_the_name_does_not_sign),
        TEST_KEY(test_key_that_is_gone_or_doubled_after_a_loss_is_told),
        TEST_KEY(test_key_is_not_called_missing_while_the_login_is_unknown),
        TEST_KEY(test_key_is_not_called_missing_when_another_thread_logged_in),
        TEST_KEY(
            test_key_is_not_called_missing_when_the_login_comes_back_at_once),
        TEST_KEY(test_handle_of_an_epoch_that_ended_is_not_used),
        TEST_KEY(test_handle_that_became_another_keys_is_not_signed_with),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
