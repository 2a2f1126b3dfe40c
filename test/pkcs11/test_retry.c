/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/retry: a token that is busy or away is asked again, by a thread that
 * holds nothing meanwhile, until the deadline, and then the error says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "../../pkcs11/object.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

/* More often than a key is asked at once: it takes patience. */
#define MANY 6

static int setup_patient(void **state)
{
    struct fixture *f;

    if (fixture_setup_key(state) != 0)
        return -1;
    f = *state;
    f->module->deadline = 60000; /* no test waits that long, if all is well */
    return 0;
}

#define TEST_PATIENT(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup_patient, fixture_teardown)

static const CK_RV busy[] = {
    CKR_FUNCTION_FAILED,   CKR_DEVICE_ERROR,  CKR_OPERATION_ACTIVE,
    CKR_HOST_MEMORY,       CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED,
    CKR_TOKEN_NOT_PRESENT,
};

static void test_signature_is_tried_until_the_token_has_time(void **state)
{
    static const char *const calls[] = { "C_SignInit", "C_Sign" };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(busy); i++) {
        for (size_t j = 0; j < COUNT(calls); j++) {
            fake_fail(f->fake, calls[j], busy[i], 1, MANY);
            assert_signs(f);
            assert_true(fake_count(f->fake, calls[j]) >= MANY + 1);
            fake_calls_reset(f->fake);
            fake_fail_none(f->fake);
        }
    }
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 0);
}

static void test_load_is_tried_until_the_token_has_time(void **state)
{
    static const char *const calls[] = { "C_FindObjectsInit", "C_FindObjects",
                                         "C_FindObjectsFinal",
                                         "C_GetAttributeValue" };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(calls); i++) {
        struct p11_key *key;

        fake_fail(f->fake, calls[i], CKR_FUNCTION_FAILED, 1, MANY);
        assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), CKR_OK);
        p11_key_free(key);
        fake_fail_none(f->fake);
    }
}

static bool see_one(void *arg, const struct p11_attrs *attrs)
{
    (void)attrs;
    ++*(unsigned *)arg;
    return true;
}

static void
test_public_half_is_looked_for_until_the_token_has_time(void **state)
{
    struct fixture *f = *state;
    unsigned seen = 0;

    fake_fail(f->fake, "C_FindObjectsInit", CKR_FUNCTION_FAILED, 1, MANY);
    assert_rv(f,
              p11_key_find_public(f->key, P11_BY_ID, see_one, &seen, &f->err),
              CKR_OK);
    assert_int_equal(seen, 1);
}

/* CloudHSM: certificates are read ten times a second, or CKR_DEVICE_ERROR. */
static void
test_objects_are_listed_and_read_until_the_token_has_time(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };
    struct p11_uri *uri = NULL;
    struct p11_query query = { .class = CKO_PUBLIC_KEY };

    assert_rv(f, p11_uri_parse("pkcs11:", &uri, &f->err), CKR_OK);
    query.uri = uri;
    fake_fail(f->fake, "C_FindObjects", CKR_FUNCTION_FAILED, 1, MANY);
    assert_rv(f, p11_objects_search(fixture_slot(f), &query, &found, &f->err),
              CKR_OK);
    assert_int_equal(found.count, 1);
    fake_fail(f->fake, "C_GetAttributeValue", CKR_DEVICE_ERROR, 1, MANY);
    assert_rv(f, p11_objects_read(&found, 0, &f->err), CKR_OK);
    p11_objects_clear(&found);
    p11_uri_free(uri);
}

static void
test_error_after_the_deadline_says_how_long_it_was_tried(void **state)
{
    struct fixture *f = *state;
    struct timespec begin, end;

    f->module->deadline = 100;
    fake_fail(f->fake, "C_SignInit", CKR_FUNCTION_FAILED, 1, 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_FUNCTION_FAILED);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - begin.tv_sec) * 1000 +
                    (end.tv_nsec - begin.tv_nsec) / 1000000 >=
                99);
    assert_text(f, "C_SignInit: CKR_FUNCTION_FAILED (token \"fake\"");
    assert_text(f, "cloudhsm-pkcs11.log");
    assert_text(f, "(tried ");
    assert_text(f, " times in 0.");
}

static void test_deadline_of_zero_never_waits(void **state)
{
    struct fixture *f = *state;

    f->module->deadline = 0;
    fake_fail(f->fake, "C_SignInit", CKR_FUNCTION_FAILED, 1, 0);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_FUNCTION_FAILED);
    assert_int_equal(fake_count(f->fake, "C_SignInit"), 3);
    assert_null(strstr(f->err.text, "(tried "));
}

static void test_what_waiting_does_not_mend_is_said_at_once(void **state)
{
    static const CK_RV fatal[] = {
        CKR_MECHANISM_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED,
        CKR_DATA_LEN_RANGE,    CKR_PIN_INCORRECT,
        CKR_PIN_LOCKED,        CKR_GENERAL_ERROR
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(fatal); i++) {
        fake_calls_reset(f->fake);
        fake_fail(f->fake, "C_SignInit", fatal[i], 1, 0);
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), fatal[i]);
        assert_int_equal(fake_count(f->fake, "C_SignInit"), 1);
        fake_fail_none(f->fake);
    }
}

/* Whether the token counts such a login as a try, nobody knows. */
static void
test_login_that_fails_without_a_reason_is_tried_three_times(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;

    fixture_close(f);
    p11_key_free(f->key);
    f->key = NULL;
    fixture_open(f);
    f->module->deadline = 60000;
    fake_calls_reset(f->fake);
    fake_fail(f->fake, "C_Login", CKR_FUNCTION_FAILED, 1, 0);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), P11_LOGIN);
    assert_text(f, "C_Login: CKR_FUNCTION_FAILED (token \"fake\")");
    assert_int_equal(fake_count(f->fake, "C_Login"), 3);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), P11_LOGIN);
    assert_int_equal(fake_count(f->fake, "C_Login"), 4);
    fake_fail_none(f->fake);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), CKR_OK);
    p11_key_free(key);
}

/* What a new login or handle does not mend, time does not either. */
static void test_handle_that_is_never_good_is_not_waited_for(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_SignInit", CKR_KEY_HANDLE_INVALID, 1, 0);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(fake_count(f->fake, "C_SignInit"), 6);
}

/* Busy for "signer" until "ec" has signed, through the one session there is. */
static struct latch signed_by_ec;

static CK_RV busy_for_one(struct fake *fake, const struct fake_object *key,
                          const CK_MECHANISM *mechanism,
                          const unsigned char *data, size_t len,
                          unsigned char *sig, size_t *siglen)
{
    fake_sign_fn *sign = fake->sign_arg;

    if (fake_attribute(key, CKA_LABEL)->ulValueLen == strlen(LABEL) &&
        !atomic_load(&signed_by_ec.open))
        return CKR_FUNCTION_FAILED;
    return sign(fake, key, mechanism, data, len, sig, siglen);
}

static struct p11_key *ec_key;

static void sign_with_both(struct fixture *f, size_t i)
{
    struct p11_error err;

    if (fixture_sign(i == 0 ? f->key : ec_key, i == 0 ? LABEL : "ec", &err) !=
        CKR_OK)
        fixture_failed(f, i == 0 ? "signer" : "ec", &err);
    if (i == 1)
        latch_open(&signed_by_ec);
}

static void test_who_waits_holds_no_session(void **state)
{
    struct fixture *f = *state;

    (void)fake_add_key(f->fake, 0, &fixture_ec);
    f->module->max_sessions = 1;
    assert_rv(f, fixture_load(f, "pkcs11:object=ec", PIN, &ec_key, &f->err),
              CKR_OK);
    f->fake->sign_arg = (void *)f->fake->sign;
    f->fake->sign = busy_for_one;
    fixture_threads(f, 2, sign_with_both);
    fixture_assert_no_failure(f);
    p11_key_free(ec_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATIENT(test_signature_is_tried_until_the_token_has_time),
        TEST_PATIENT(test_load_is_tried_until_the_token_has_time),
        TEST_PATIENT(test_public_half_is_looked_for_until_the_token_has_time),
        TEST_PATIENT(test_objects_are_listed_and_read_until_the_token_has_time),
        TEST_PATIENT(test_error_after_the_deadline_says_how_long_it_was_tried),
        TEST_PATIENT(test_deadline_of_zero_never_waits),
        TEST_PATIENT(test_what_waiting_does_not_mend_is_said_at_once),
        TEST_PATIENT(
            test_login_that_fails_without_a_reason_is_tried_three_times),
        TEST_PATIENT(test_handle_that_is_never_good_is_not_waited_for),
        TEST_PATIENT(test_who_waits_holds_no_session),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
