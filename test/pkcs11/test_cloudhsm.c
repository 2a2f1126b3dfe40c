/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole way from a URI to a signature on a token that behaves as AWS
 * CloudHSM: the module's file name, read-write sessions only, no callback,
 * nothing seen before login, an empty CKA_ID, labels that differ, fewer
 * attributes, a login that outlives its sessions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../pkcs11/session.h"
#include "fixture.h"

#define HSM_PIN "user:password"
#define HSM_URI "pkcs11:token=hsm1;object=signer_private;type=private"
#define HSM_EC  "pkcs11:token=hsm1;object=ec_private;type=private"

static int setup(void **state)
{
    struct fixture *f;

    if (fixture_setup(state) != 0)
        return -1;
    f = *state;
    fixture_copy_module(f, "libcloudhsm_pkcs11.so");
    fixture_reset(f, &fake_cloudhsm);
    f->pair = fake_add_key(f->fake, 0, &fixture_rsa);
    (void)fake_add_key(f->fake, 0, &fixture_ec);
    fixture_open(f);
    return 0;
}

static void load(struct fixture *f, const char *uri)
{
    assert_rv(f, fixture_load(f, uri, HSM_PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
}

static CK_RV sign(struct fixture *f, const char *label)
{
    return fixture_sign(f->key, label, &f->err);
}

static bool count_visits(void *arg, const struct p11_attrs *attrs)
{
    unsigned *visits = arg;

    assert_int_equal(p11_attrs_ulong(attrs, CKA_CLASS, 99), CKO_PUBLIC_KEY);
    assert_non_null(p11_attrs_get(attrs, CKA_EC_POINT));
    (*visits)++;
    return false;
}

static unsigned find_public(struct fixture *f, enum p11_public_by by)
{
    unsigned visits = 0;

    assert_rv(f,
              p11_key_find_public(f->key, by, count_visits, &visits, &f->err),
              CKR_OK);
    return visits;
}

static void test_rsa_key_is_loaded_and_signs(void **state)
{
    struct fixture *f = *state;

    assert_rv(f, fixture_load(f, HSM_URI, HSM_PIN, &f->key, &f->err), CKR_OK);
    assert_string_equal(
        strstr(fixture_calls(f), "C_GetSlotList"),
        "C_GetSlotList C_GetSlotList C_GetTokenInfo C_OpenSession "
        "C_Login " LOAD_CALLS);
    assert_int_equal(p11_key_type(f->key), CKK_RSA);
    assert_true(p11_key_may_sign(f->key));
    assert_non_null(p11_attrs_get(p11_key_attrs(f->key), CKA_MODULUS));
    fake_calls_reset(f->fake);
    assert_rv(f, sign(f, "signer_private"), CKR_OK);
    assert_calls(f, SIGN_CALLS);
    assert_int_equal(fake_asked_private(f->fake), 0);
}

static void test_public_half_of_an_ec_key_is_found_by_check_value(void **state)
{
    struct fixture *f = *state;

    load(f, HSM_EC);
    assert_null(p11_attrs_get(p11_key_attrs(f->key), CKA_EC_POINT));
    assert_null(p11_attrs_get(p11_key_attrs(f->key), CKA_ID));
    assert_int_equal(find_public(f, P11_BY_ID), 0);
    assert_no_call(f); /* an empty id is never searched for */
    assert_int_equal(find_public(f, P11_BY_CHECK_VALUE), 1);
    assert_int_equal(find_public(f, P11_BY_LABEL), 0);
    assert_rv(f, sign(f, "ec_private"), CKR_OK);
}

static void test_pin_without_user_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;

    assert_rv(f, fixture_load(f, HSM_URI, "password", &key, &f->err),
              CKR_PIN_INVALID);
    assert_int_equal(fake_count(f->fake, "C_Login"), 0);
    load(f, HSM_URI);
}

static void test_wrong_password_is_sent_once(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;

    for (int i = 0; i < 10; i++)
        assert_rv(f, fixture_load(f, HSM_URI, "user:other", &key, &f->err),
                  CKR_PIN_INCORRECT);
    assert_int_equal(f->fake->slots[0].bad_pins, 1);
    assert_text(f, "not repeated");
    load(f, HSM_URI);
}

static void test_signature_survives_every_loss(void **state)
{
    struct fixture *f = *state;

    load(f, HSM_URI);
    for (unsigned what = 0; what <= 7; what++) {
        fake_lose(f->fake, what);
        assert_rv(f, sign(f, "signer_private"), CKR_OK);
    }
}

/* Busy, throttled, or "an HSM was just replaced" (CKR_FUNCTION_FAILED). */
static void test_busy_token_is_asked_again(void **state)
{
    static const char *const functions[] = { "C_SignInit", "C_Sign" };
    struct fixture *f = *state;

    load(f, HSM_URI);
    for (size_t i = 0; i < COUNT(functions); i++) {
        fake_fail(f->fake, functions[i], CKR_FUNCTION_FAILED, 1, 1);
        assert_rv(f, sign(f, "signer_private"), CKR_OK);
        fake_fail_none(f->fake);
    }
}

static void test_all_sessions_are_read_write(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;

    assert_rv(f, fixture_load(f, HSM_URI, HSM_PIN, &f->key, &f->err), CKR_OK);
    fake_lose(f->fake, FAKE_SESSIONS);
    assert_rv(f, sign(f, "signer_private"), CKR_OK);
    for (size_t i = 0; fake_call(f->fake, "C_OpenSession", i, &call); i++) {
        assert_int_equal(call.rv, CKR_OK);
        assert_int_equal(call.flags, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    }
    assert_int_equal(fake_count(f->fake, "C_OpenSession"), 2);
}

/* The login outlives the session: C_Login then answers 0x100. */
static void test_only_session_may_be_replaced(void **state)
{
    struct fixture *f = *state;

    f->fake->max_sessions = 1;
    load(f, HSM_URI);
    fake_fail(f->fake, "C_Sign", CKR_DEVICE_ERROR, 1, 1);
    assert_rv(f, sign(f, "signer_private"), CKR_OK);
    assert_int_equal(fake_open_sessions(f->fake), 1);
}

static void sign_some(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    (void)i;
    for (int n = 0; n < 20; n++) {
        if (fixture_sign(f->key, "signer_private", &err) != CKR_OK)
            fixture_failed(f, "sign", &err);
    }
}

static void test_threads_sign(void **state)
{
    struct fixture *f = *state;

    load(f, HSM_URI);
    f->fake->max_sessions = 4;
    fixture_threads(f, 8, sign_some);
    fixture_assert_no_failure(f);
    assert_int_equal(fake_count(f->fake, "C_Sign"), 160);
}

static void test_child_signs(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    pid_t pid;

    load(f, HSM_URI);
    pid = fork();
    if (pid == 0)
        _exit(sign(f, "signer_private") == CKR_OK &&
                      fake_count(f->fake, "C_Login") == 1
                  ? 0
                  : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_rv(f, sign(f, "signer_private"), CKR_OK);
    assert_calls(f, SIGN_CALLS);
}

static void test_module_is_left_in_order(void **state)
{
    struct fixture *f = *state;

    load(f, HSM_URI);
    p11_key_free(f->key);
    f->key = NULL;
    fixture_close(f);
    assert_calls(f, "C_CloseSession C_Finalize");
}

#define HSM_TEST(name)                                                         \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HSM_TEST(test_rsa_key_is_loaded_and_signs),
        HSM_TEST(test_public_half_of_an_ec_key_is_found_by_check_value),
        HSM_TEST(test_pin_without_user_is_not_sent),
        HSM_TEST(test_wrong_password_is_sent_once),
        HSM_TEST(test_signature_survives_every_loss),
        HSM_TEST(test_busy_token_is_asked_again),
        HSM_TEST(test_all_sessions_are_read_write),
        HSM_TEST(test_only_session_may_be_replaced),
        HSM_TEST(test_threads_sign),
        HSM_TEST(test_child_signs),
        HSM_TEST(test_module_is_left_in_order),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
