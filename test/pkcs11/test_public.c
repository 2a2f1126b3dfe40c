/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/public: what may be a key's public half, by id, check value and
 * label; and that CKA_VALUE, which of a private or secret key is the secret
 * itself, is asked for of certificates alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/session.h"
#include "fixture.h"

#define SEARCH_CALLS "C_FindObjectsInit C_FindObjects C_FindObjectsFinal"
#define READ_CALL    " C_GetAttributeValue"

static const CK_OBJECT_CLASS certificate = CKO_CERTIFICATE,
                             secret_key = CKO_SECRET_KEY,
                             private_key = CKO_PRIVATE_KEY;
static const unsigned char der[] = { 0x30, 0x03, 0x02, 0x01, 0x05 };
/* Long enough not to fit at once. */
static const unsigned char long_der[9000] = { 0x30, 0x82, [8999] = 0x77 };

/* What was visited. */
struct visits {
    size_t n, stop_at; /* stop_at 0: never */
    CK_OBJECT_CLASS class[32];
    size_t value_len[32];
    unsigned char last[9000];
};

static bool visit(void *arg, const struct p11_attrs *attrs)
{
    struct visits *visits = arg;
    const CK_ATTRIBUTE *value = p11_attrs_get(attrs, CKA_VALUE);

    assert_true(visits->n < COUNT(visits->class));
    visits->class[visits->n] = p11_attrs_ulong(attrs, CKA_CLASS, 99);
    if (value != NULL) {
        assert_true(value->ulValueLen <= sizeof(visits->last));
        memcpy(visits->last, value->pValue, value->ulValueLen);
        visits->value_len[visits->n] = value->ulValueLen;
    }
    visits->n++;
    return visits->n == visits->stop_at;
}

static void find(struct fixture *f, enum p11_public_by by,
                 struct visits *visits)
{
    fake_calls_reset(f->fake);
    assert_rv(f, p11_key_find_public(f->key, by, visit, visits, &f->err),
              CKR_OK);
}

/* An object of that class with id 01, label "signer" and this value. */
static size_t add_object(struct fixture *f, const CK_OBJECT_CLASS *class,
                         const void *value, size_t len)
{
    static const CK_BBOOL no = CK_FALSE;
    const struct fake_attribute attributes[] = {
        { CKA_CLASS, class, sizeof(*class) },
        { CKA_ID, "\x01", 1 },
        { CKA_LABEL, LABEL, 6 },
        { CKA_CHECK_VALUE, "\xaa\xbb\xcc", 3 },
        { CKA_SENSITIVE, &no, sizeof(no) },
        { CKA_VALUE, value, len },
    };

    return fake_add_object(f->fake, 0, attributes, COUNT(attributes));
}

/* Who asks a key for its value sees the secret: the fake here gives it. */
static void assert_only_certificates_were_asked(struct fixture *f)
{
    assert_int_equal(fake_asked_private(f->fake), 0);
}

static void test_public_key_is_found_by_each_tie(void **state)
{
    static const enum p11_public_by ties[] = { P11_BY_ID, P11_BY_CHECK_VALUE,
                                               P11_BY_LABEL };
    struct fixture *f = *state;

    (void)fake_add_key(f->fake, 0, &fixture_ec); /* somebody else's */
    for (size_t i = 0; i < COUNT(ties); i++) {
        struct visits visits = { 0 };

        find(f, ties[i], &visits);
        assert_int_equal(visits.n, 1);
        assert_int_equal(visits.class[0], CKO_PUBLIC_KEY);
        assert_calls(f, SEARCH_CALLS READ_CALL);
        assert_int_equal(fake_asked(f->fake, CKA_VALUE), 0);
    }
}

static void test_attributes_of_the_public_key_are_given(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };
    struct fake_call call;

    find(f, P11_BY_ID, &visits);
    assert_int_equal(visits.n, 1);
    assert_true(fake_call(f->fake, "C_GetAttributeValue", 0, &call));
    assert_int_equal(fake_asked(f->fake, CKA_MODULUS), 1);
    assert_int_equal(fake_asked(f->fake, CKA_EC_POINT), 1);
}

static void test_certificate_is_read_in_two_calls(void **state)
{
    static const struct fake_bytes values[] = {
        { der, sizeof(der) },
        { long_der, sizeof(long_der) },
    };
    static const char *const calls[] = {
        SEARCH_CALLS READ_CALL READ_CALL,
        /* And a third where it is larger than most. */
        SEARCH_CALLS READ_CALL READ_CALL READ_CALL,
    };
    struct fixture *f = *state;

    fake_remove_object(f->fake, f->pair.public_key);
    for (size_t i = 0; i < COUNT(values); i++) {
        struct visits visits = { 0 };
        size_t object =
            add_object(f, &certificate, values[i].data, values[i].len);

        find(f, P11_BY_ID, &visits);
        assert_int_equal(visits.n, 1);
        assert_int_equal(visits.class[0], CKO_CERTIFICATE);
        assert_int_equal(visits.value_len[0], values[i].len);
        assert_memory_equal(visits.last, values[i].data, values[i].len);
        assert_calls(f, calls[i]);
        fake_remove_object(f->fake, object);
    }
}

/* All that there is of it is CKA_VALUE, which is a private key's secret. */
static void test_ml_dsa_public_key_is_read_in_two_calls(void **state)
{
    static const CK_OBJECT_CLASS public_key = CKO_PUBLIC_KEY;
    static const CK_KEY_TYPE type = CKK_ML_DSA;
    static const CK_OBJECT_CLASS *const classes[] = { &public_key,
                                                      &private_key };
    struct fixture *f = *state;

    fake_remove_object(f->fake, f->pair.public_key);
    for (size_t i = 0; i < COUNT(classes); i++) {
        struct visits visits = { 0 };
        size_t object = add_object(f, classes[i], long_der, 2592);

        fake_set_attribute(f->fake, object, CKA_KEY_TYPE, &type, sizeof(type));
        find(f, P11_BY_ID, &visits);
        assert_int_equal(visits.n, i == 0);
        assert_int_equal(visits.value_len[0], i == 0 ? 2592 : 0);
        assert_calls(f, i == 0 ? SEARCH_CALLS READ_CALL READ_CALL
                               : SEARCH_CALLS READ_CALL);
        assert_only_certificates_were_asked(f);
        fake_remove_object(f->fake, object);
    }
}

static void test_search_by_check_value_is_for_public_keys(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };
    struct fake_call call;

    (void)add_object(f, &certificate, der, sizeof(der));
    find(f, P11_BY_CHECK_VALUE, &visits);
    assert_int_equal(visits.n, 1);
    assert_int_equal(visits.class[0], CKO_PUBLIC_KEY);
    assert_true(fake_call(f->fake, "C_FindObjectsInit", 0, &call));
    assert_int_equal(call.n_types, 2);
    /* The other searches find public keys and certificates together. */
    find(f, P11_BY_LABEL, &visits);
    assert_true(fake_call(f->fake, "C_FindObjectsInit", 0, &call));
    assert_int_equal(call.n_types, 1);
    assert_int_equal(visits.n, 3);
}

static void
test_value_of_private_and_secret_keys_is_never_asked_for(void **state)
{
    static const enum p11_public_by ties[] = { P11_BY_ID, P11_BY_CHECK_VALUE,
                                               P11_BY_LABEL };
    struct fixture *f = *state;

    (void)add_object(f, &secret_key, "secret", 6);
    (void)add_object(f, &private_key, "secret", 6);
    for (size_t i = 0; i < COUNT(ties); i++) {
        struct visits visits = { 0 };

        find(f, ties[i], &visits);
        assert_int_equal(visits.n, 1);
        assert_int_equal(visits.class[0], CKO_PUBLIC_KEY);
        assert_int_equal(fake_asked(f->fake, CKA_VALUE), 0);
        assert_only_certificates_were_asked(f);
    }
}

static void test_own_object_is_passed_over_without_a_call(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };

    fake_remove_object(f->fake, f->pair.public_key);
    find(f, P11_BY_ID, &visits);
    assert_int_equal(visits.n, 0);
    assert_calls(f, SEARCH_CALLS);
}

static void test_object_without_class_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };
    size_t object = add_object(f, &certificate, der, sizeof(der));

    fake_set_attribute(f->fake, object, CKA_CLASS, NULL, 0);
    find(f, P11_BY_ID, &visits);
    assert_int_equal(visits.n, 1);
    assert_int_equal(fake_asked(f->fake, CKA_VALUE), 0);
}

static void test_visit_that_is_content_ends_the_search(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { .stop_at = 1 };

    (void)add_object(f, &certificate, der, sizeof(der));
    find(f, P11_BY_ID, &visits);
    assert_int_equal(visits.n, 1);
    assert_calls(f, SEARCH_CALLS READ_CALL);
    visits = (struct visits){ 0 };
    find(f, P11_BY_ID, &visits);
    assert_int_equal(visits.n, 2);
}

static void test_what_the_key_lacks_is_not_searched_for(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };

    fake_set_attribute(f->fake, f->pair.private_key, CKA_ID, "", 0);
    fake_set_attribute(f->fake, f->pair.private_key, CKA_CHECK_VALUE, NULL, 0);
    (void)add_object(f, &certificate, der, sizeof(der));
    p11_key_free(f->key);
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    find(f, P11_BY_ID, &visits);
    assert_no_call(f);
    find(f, P11_BY_CHECK_VALUE, &visits);
    assert_no_call(f);
    assert_int_equal(visits.n, 0);
    find(f, P11_BY_LABEL, &visits);
    assert_int_equal(visits.n, 2);
}

static void test_many_candidates_are_cut_off(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };

    for (int i = 0; i < 30; i++)
        (void)add_object(f, &certificate, der, sizeof(der));
    find(f, P11_BY_ID, &visits);
    assert_true(visits.n >= 10 && visits.n <= 16);
    assert_int_equal(fake_count(f->fake, "C_FindObjects"), 1);
}

static void test_error_is_returned_and_the_session_given_up(void **state)
{
    static const char *const functions[] = { "C_FindObjectsInit",
                                             "C_FindObjects",
                                             "C_FindObjectsFinal",
                                             "C_GetAttributeValue" };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(functions); i++) {
        struct visits visits = { 0 };

        fake_fail(f->fake, functions[i], CKR_GENERAL_ERROR, 1, 1);
        assert_rv(
            f, p11_key_find_public(f->key, P11_BY_ID, visit, &visits, &f->err),
            CKR_GENERAL_ERROR);
        assert_text(f, functions[i]);
        assert_text(f, "object=signer");
        fake_fail_none(f->fake);
        assert_int_equal(visits.n, 0);
        find(f, P11_BY_ID, &visits);
        assert_int_equal(visits.n, 1);
        assert_int_equal(fixture_slot(f)->lent_count, 0);
    }
}

/* A token loses its logins with its sessions; not alone. */
static void test_search_after_a_loss_succeeds(void **state)
{
    static const CK_BBOOL yes = CK_TRUE;
    struct fixture *f = *state;

    fake_set_attribute(f->fake, f->pair.public_key, CKA_PRIVATE, &yes,
                       sizeof(yes)); /* as on CloudHSM */
    for (unsigned what = FAKE_SESSIONS; what <= 7; what += 2) {
        struct visits visits = { 0 };

        fake_lose(f->fake, what);
        find(f, P11_BY_ID, &visits);
        assert_int_equal(visits.n, 1);
        assert_only_certificates_were_asked(f);
    }
}

/* It is what the caller's patience goes by. */
static void test_loss_that_cannot_be_mended_has_that_as_its_reason(void **state)
{
    struct fixture *f = *state;
    struct visits visits = { 0 };

    fake_fail(f->fake, "C_FindObjectsInit", CKR_DEVICE_MEMORY, 1, 0);
    fake_fail(f->fake, "C_OpenSession", CKR_TOKEN_WRITE_PROTECTED, 1, 0);
    assert_rv(f,
              p11_key_find_public(f->key, P11_BY_ID, visit, &visits, &f->err),
              CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(f->err.rv, CKR_TOKEN_WRITE_PROTECTED);
    assert_text(f, "C_OpenSession");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_KEY(test_public_key_is_found_by_each_tie),
        TEST_KEY(test_attributes_of_the_public_key_are_given),
        TEST_KEY(test_certificate_is_read_in_two_calls),
        TEST_KEY(test_ml_dsa_public_key_is_read_in_two_calls),
        TEST_KEY(test_search_by_check_value_is_for_public_keys),
        TEST_KEY(test_value_of_private_and_secret_keys_is_never_asked_for),
        TEST_KEY(test_own_object_is_passed_over_without_a_call),
        TEST_KEY(test_object_without_class_is_passed_over),
        TEST_KEY(test_visit_that_is_content_ends_the_search),
        TEST_KEY(test_what_the_key_lacks_is_not_searched_for),
        TEST_KEY(test_many_candidates_are_cut_off),
        TEST_KEY(test_error_is_returned_and_the_session_given_up),
        TEST_KEY(test_search_after_a_loss_succeeds),
        TEST_KEY(test_loss_that_cannot_be_mended_has_that_as_its_reason),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
