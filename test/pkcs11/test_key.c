/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/key: the one private key that a URI names, what finding it costs,
 * and what is never asked of it.  Signing is test_key_sign's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/session.h"
#include "fixture.h"

/* A load of this URI that ends with want. */
static void assert_load(struct fixture *f, const char *uri, CK_RV want)
{
    p11_key_free(f->key);
    f->err = (struct p11_error){ 0 };
    assert_rv(f, fixture_load(f, uri, PIN, &f->key, &f->err), want);
    if (want == CKR_OK) {
        assert_non_null(f->key);
        return;
    }
    assert_int_equal(f->err.rv, want);
    assert_null(f->key);
}

static void test_key_is_found_by_label_by_id_and_by_both(void **state)
{
    static const struct {
        const char *uri;
        CK_KEY_TYPE type;
    } rows[] = {
        { "pkcs11:object=signer", CKK_RSA },
        { "pkcs11:object=ec", CKK_EC },
        { "pkcs11:id=%02", CKK_EC },
        { "pkcs11:id=%01;object=signer;type=private", CKK_RSA },
        { "pkcs11:token=fake;serial=1;object=ec;type=private", CKK_EC },
    };
    struct fixture *f = *state;

    (void)fake_add_key(f->fake, 0, &fixture_ec);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_load(f, rows[i].uri, CKR_OK);
        assert_int_equal(p11_key_type(f->key), rows[i].type);
    }
}

static void test_only_key_of_a_token_needs_no_name(void **state)
{
    struct fixture *f = *state;

    assert_load(f, "pkcs11:token=fake", CKR_OK);
    assert_signs(f);
}

static void test_cold_load_costs_no_more_than_documented(void **state)
{
    struct fixture *f = *state;

    fake_calls_reset(f->fake);
    assert_load(f, URI, CKR_OK);
    assert_calls(f, "C_GetSlotList C_GetSlotList C_GetTokenInfo C_OpenSession "
                    "C_Login " LOAD_CALLS);
    fake_calls_reset(f->fake);
    assert_load(f, "pkcs11:id=%01", CKR_OK);
    assert_calls(f, LOAD_CALLS);
}

static void test_no_match_is_an_error_that_says_what_was_asked(void **state)
{
    static const char *const uris[] = {
        "pkcs11:object=Signer", "pkcs11:object=signer2",
        "pkcs11:object=signe",  "pkcs11:id=%01%01",
        "pkcs11:id=",           "pkcs11:object=signer;id=%02",
        "pkcs11:object=",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(uris); i++) {
        assert_load(f, uris[i], P11_NO_KEY);
        assert_text(f, "token \"fake\"");
        assert_text(f, uris[i]);
    }
    assert_load(f, URI, CKR_OK); /* the session is good for more */
}

static void test_several_matches_are_an_error_whatever_the_order(void **state)
{
    struct fixture *f = *state;
    struct fake_key other = fixture_rsa;

    other.id = (struct fake_bytes){ "\x09", 1 };
    (void)fake_add_key(f->fake, 0, &other);
    assert_load(f, URI, P11_MANY_KEYS);
    assert_text(f, "object=signer");
    assert_text(f, "id=");
    assert_load(f, "pkcs11:object=signer;id=%09", CKR_OK);
    assert_load(f, "pkcs11:object=signer;id=%01", CKR_OK);
}

static void test_public_keys_and_certificates_are_not_private_keys(void **state)
{
    static const CK_OBJECT_CLASS certificate = CKO_CERTIFICATE;
    const struct fake_attribute attributes[] = {
        { CKA_CLASS, &certificate, sizeof(certificate) },
        { CKA_LABEL, "alone", 5 },
    };
    struct fixture *f = *state;

    (void)fake_add_object(f->fake, 0, attributes, COUNT(attributes));
    assert_load(f, "pkcs11:object=alone", P11_NO_KEY);
}

static void test_other_types_are_refused_without_a_call(void **state)
{
    static const char *const uris[] = { "pkcs11:object=signer;type=public",
                                        "pkcs11:object=signer;type=cert",
                                        "pkcs11:object=signer;type=data",
                                        "pkcs11:type=secret-key" };
    struct fixture *f = *state;

    fake_calls_reset(f->fake);
    for (size_t i = 0; i < COUNT(uris); i++) {
        assert_load(f, uris[i], P11_UNSUPPORTED);
        assert_text(f, "type=private");
    }
    assert_no_call(f);
}

static void test_no_private_component_is_ever_asked_for(void **state)
{
    static const CK_ATTRIBUTE_TYPE never[] = {
        CKA_VALUE,      CKA_PRIVATE_EXPONENT, CKA_PRIME_1,    CKA_PRIME_2,
        CKA_EXPONENT_1, CKA_EXPONENT_2,       CKA_COEFFICIENT
    };
    static const char *const uris[] = { URI, "pkcs11:object=ec" };
    struct fixture *f = *state;

    (void)fake_add_key(f->fake, 0, &fixture_ec);
    for (size_t i = 0; i < COUNT(uris); i++) {
        assert_load(f, uris[i], CKR_OK);
        fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
        assert_rv(f, fixture_sign(f->key, i == 0 ? LABEL : "ec", &f->err),
                  CKR_OK);
    }
    assert_int_equal(fake_asked_private(f->fake), 0);
    for (size_t i = 0; i < COUNT(never); i++)
        assert_int_equal(fake_asked(f->fake, never[i]), 0);
    assert_int_equal(fake_asked(f->fake, CKA_MODULUS), 4);
}

static void test_attributes_of_the_key_are_there(void **state)
{
    struct fixture *f = *state;
    const CK_ATTRIBUTE *attr;

    assert_load(f, URI, CKR_OK);
    attr = p11_attrs_get(p11_key_attrs(f->key), CKA_MODULUS);
    assert_non_null(attr);
    assert_int_equal(attr->ulValueLen, fixture_rsa.modulus.len);
    assert_memory_equal(attr->pValue, fixture_rsa.modulus.data,
                        fixture_rsa.modulus.len);
    assert_non_null(p11_attrs_get(p11_key_attrs(f->key), CKA_ID));
    assert_null(p11_attrs_get(p11_key_attrs(f->key), CKA_EC_POINT));
    assert_non_null(strstr(p11_key_where(f->key), "token \"fake\""));
    assert_non_null(strstr(p11_key_where(f->key), "object=signer"));
}

static void test_key_that_may_not_sign_says_so(void **state)
{
    struct fixture *f = *state;
    struct fake_key no_sign = fixture_ec;

    no_sign.no_sign = true;
    (void)fake_add_key(f->fake, 0, &no_sign);
    assert_load(f, URI, CKR_OK);
    assert_true(p11_key_may_sign(f->key));
    /* A token that does not tell is believed to allow it. */
    fake_set_attribute(f->fake, f->pair.private_key, CKA_SIGN, NULL, 0);
    assert_load(f, URI, CKR_OK);
    assert_true(p11_key_may_sign(f->key));
    assert_load(f, "pkcs11:object=ec", CKR_OK);
    assert_false(p11_key_may_sign(f->key));
    assert_rv(f, fixture_sign(f->key, "ec", &f->err),
              CKR_KEY_FUNCTION_NOT_PERMITTED);
}

static void test_pin_of_the_uri_is_in_no_message(void **state)
{
    struct fixture *f = *state;

    assert_load(f, "pkcs11:object=nobody?pin-value=geheim", P11_NO_KEY);
    assert_null(strstr(f->err.text, "geheim"));
    assert_load(f, "pkcs11:object=signer?pin-value=geheim", CKR_OK);
    assert_null(strstr(p11_key_where(f->key), "geheim"));
}

/* Whichever call fails, no session and no memory is lost. */
static void test_load_that_fails_leaves_all_in_order(void **state)
{
    static const char *const functions[] = {
        "C_OpenSession",      "C_Login",
        "C_FindObjectsInit",  "C_FindObjects",
        "C_FindObjectsFinal", "C_GetAttributeValue",
        "C_GetSlotList",
    };
    struct fixture *f = *state;

    for (size_t i = COUNT(functions); i-- > 0;) {
        fake_fail(f->fake, functions[i], CKR_GENERAL_ERROR, 1, 0);
        assert_load(f, URI, CKR_GENERAL_ERROR);
        assert_text(f, functions[i]);
        fake_fail_none(f->fake);
        /* Find the slot, and before the last ones: nothing but the slot. */
        assert_int_equal(fixture_slot(f)->lent_count, 0);
        assert_int_equal(fixture_slot(f)->open_count,
                         fake_open_sessions(f->fake));
        fixture_close(f);
        fixture_open(f);
    }
    assert_load(f, URI, CKR_OK);
}

/*
 * Of what a running program may find: the token was restarted while no key
 * was loaded that could notice.
 */
static void test_load_after_any_loss_succeeds(void **state)
{
    struct fixture *f = *state;

    for (unsigned what = 0; what <= 7; what++) {
        assert_load(f, URI, CKR_OK);
        assert_signs(f);
        fake_lose(f->fake, what);
        assert_load(f, URI, CKR_OK);
        assert_signs(f);
    }
}

static void test_load_recovers_as_a_signature_does(void **state)
{
    static const CK_RV rvs[] = {
        CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_USER_NOT_LOGGED_IN,
        CKR_DEVICE_ERROR,           CKR_DEVICE_REMOVED, CKR_OPERATION_ACTIVE,
        CKR_FUNCTION_FAILED
    };
    struct fixture *f = *state;

    assert_load(f, URI, CKR_OK);
    for (size_t i = 0; i < COUNT(rvs); i++) {
        fake_fail(f->fake, "C_FindObjectsInit", rvs[i], 1, 1);
        assert_load(f, URI, CKR_OK);
        fake_fail_none(f->fake);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OPEN(test_key_is_found_by_label_by_id_and_by_both),
        TEST_OPEN(test_only_key_of_a_token_needs_no_name),
        TEST_OPEN(test_cold_load_costs_no_more_than_documented),
        TEST_OPEN(test_no_match_is_an_error_that_says_what_was_asked),
        TEST_OPEN(test_several_matches_are_an_error_whatever_the_order),
        TEST_OPEN(test_public_keys_and_certificates_are_not_private_keys),
        TEST_OPEN(test_other_types_are_refused_without_a_call),
        TEST_OPEN(test_no_private_component_is_ever_asked_for),
        TEST_OPEN(test_attributes_of_the_key_are_there),
        TEST_OPEN(test_key_that_may_not_sign_says_so),
        TEST_OPEN(test_pin_of_the_uri_is_in_no_message),
        TEST_OPEN(test_load_that_fails_leaves_all_in_order),
        TEST_OPEN(test_load_after_any_loss_succeeds),
        TEST_OPEN(test_load_recovers_as_a_signature_does),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
