/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/object: lists of the objects of one class, what they cost, when a
 * login is made for them, and keys that come out of a list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/object.h"
#include "../../pkcs11/pin.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

#define SEARCH_CALLS "C_FindObjectsInit C_FindObjects C_FindObjectsFinal"
#define READ_CALL    "C_GetAttributeValue"

static const unsigned char der[] = { 0x30, 0x03, 0x02, 0x01, 0x05 };

/* A certificate "cert" with id 03; hidden: from who is not logged in. */
static size_t add_certificate(struct fixture *f, bool hidden)
{
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    const CK_BBOOL private = hidden ? CK_TRUE : CK_FALSE;
    const struct fake_attribute attributes[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_PRIVATE, &private, sizeof(private) },
        { CKA_ID, "\x03", 1 },
        { CKA_LABEL, "cert", 4 },
        { CKA_SUBJECT, "CN=cert", 7 },
        { CKA_VALUE, der, sizeof(der) },
    };

    return fake_add_object(f->fake, 0, attributes, COUNT(attributes));
}

static CK_RV search(struct fixture *f, CK_OBJECT_CLASS class, const char *text,
                    enum p11_login_when login, const char *pin,
                    struct p11_objects *found)
{
    struct p11_pin_source source = { 0 };
    struct p11_pin_request request = { .config = &source };
    struct p11_query query = { .class = class,
                               .login = login,
                               .request = &request };
    struct p11_slot *slot = fixture_slot(f);
    struct p11_uri *uri = NULL;
    CK_RV rv = p11_uri_parse(text, &uri, &f->err);

    assert_rv(f, rv, CKR_OK);
    if (pin != NULL)
        assert_rv(
            f,
            p11_pin_source_set(P11_PIN_LITERAL, pin, "test", &source, &f->err),
            CKR_OK);
    query.uri = uri;
    fake_calls_reset(f->fake);
    rv = p11_objects_search(slot, &query, found, &f->err);
    p11_pin_source_clear(&source);
    p11_uri_free(uri);
    return rv;
}

static void test_list_costs_three_calls_and_one_for_each_object(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };

    (void)fake_add_key(f->fake, 0, &fixture_ec);
    assert_rv(
        f,
        search(f, CKO_PUBLIC_KEY, "pkcs11:", P11_LOGIN_IF_NEEDED, PIN, &found),
        CKR_OK);
    assert_int_equal(found.count, 2);
    assert_true(found.without_login);
    assert_calls(f, "C_OpenSession " SEARCH_CALLS);
    fake_calls_reset(f->fake);
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < 2; i++)
            assert_rv(f, p11_objects_read(&found, i, &f->err), CKR_OK);
    }
    assert_calls(f, READ_CALL " " READ_CALL);
    assert_int_equal(fake_asked(f->fake, CKA_VALUE), 0);
    assert_non_null(p11_attrs_get(&found.object[0].attrs, CKA_MODULUS));
    assert_non_null(p11_attrs_get(&found.object[1].attrs, CKA_EC_POINT));
    p11_objects_clear(&found);
}

static void test_uri_and_more_narrow_the_search(void **state)
{
    static const struct {
        const char *uri;
        size_t count;
    } rows[] = {
        { "pkcs11:", 1 },
        { "pkcs11:object=cert", 1 },
        { "pkcs11:id=%03", 1 },
        { "pkcs11:object=cert;id=%03", 1 },
        { "pkcs11:object=cert;id=%04", 0 },
        { "pkcs11:object=signer", 0 },
    };
    struct fixture *f = *state;
    CK_ATTRIBUTE subject = { CKA_SUBJECT, "CN=cert", 7 };
    struct p11_query query = { .class = CKO_CERTIFICATE,
                               .login = P11_LOGIN_NEVER };

    (void)add_certificate(f, false);
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        struct p11_objects found = { 0 };
        struct p11_uri *uri = NULL;

        assert_rv(f, p11_uri_parse(rows[i / 2].uri, &uri, &f->err), CKR_OK);
        query.uri = uri;
        query.more = &subject;
        query.more_count = i % 2;
        assert_rv(f,
                  p11_objects_search(fixture_slot(f), &query, &found, &f->err),
                  CKR_OK);
        assert_int_equal(found.count, rows[i / 2].count);
        p11_objects_clear(&found);
        subject.pValue = "CN=nope";
        query.more_count = 1;
        assert_rv(f,
                  p11_objects_search(fixture_slot(f), &query, &found, &f->err),
                  CKR_OK);
        assert_int_equal(found.count, 0);
        p11_objects_clear(&found);
        subject.pValue = "CN=cert";
        p11_uri_free(uri);
    }
}

static void test_one_call_finds_256_objects(void **state)
{
    static const struct {
        size_t objects, calls;
    } rows[] = { { 255, 1 }, { 256, 2 }, { 257, 2 } };
    struct fixture *f = *state;
    size_t objects = 0;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct p11_objects found = { 0 };

        while (objects < rows[i].objects) {
            (void)add_certificate(f, false);
            objects++;
        }
        assert_rv(f,
                  search(f, CKO_CERTIFICATE, "pkcs11:", P11_LOGIN_NEVER, NULL,
                         &found),
                  CKR_OK);
        assert_int_equal(found.count, objects);
        assert_int_equal(fake_count(f->fake, "C_FindObjects"), rows[i].calls);
        assert_true(found.object[0].handle != found.object[objects - 1].handle);
        p11_objects_clear(&found);
    }
}

/* hidden: the certificate is there for who is logged in. */
static const struct {
    bool hidden;
    enum p11_login_when login;
    const char *pin;
    CK_RV rv;
    size_t count;
    bool without_login;
    const char *calls;
} logins[] = {
    { false, P11_LOGIN_IF_NEEDED, PIN, CKR_OK, 1, true, SEARCH_CALLS },
    { false, P11_LOGIN_NEVER, PIN, CKR_OK, 1, true, SEARCH_CALLS },
    { false, P11_LOGIN_ALWAYS, PIN, CKR_OK, 1, false, "C_Login " SEARCH_CALLS },
    { true, P11_LOGIN_NEVER, PIN, CKR_OK, 0, true, SEARCH_CALLS },
    { true, P11_LOGIN_ALWAYS, PIN, CKR_OK, 1, false, "C_Login " SEARCH_CALLS },
    { true, P11_LOGIN_ALWAYS, NULL, P11_NO_PIN, 0, false, "" },
    { true, P11_LOGIN_IF_NEEDED, PIN, CKR_OK, 1, false,
      SEARCH_CALLS " C_Login " SEARCH_CALLS },
    { true, P11_LOGIN_IF_NEEDED, NULL, CKR_OK, 0, true, SEARCH_CALLS },
    { true, P11_LOGIN_IF_NEEDED, "4321", CKR_PIN_INCORRECT, 0, false,
      SEARCH_CALLS " C_Login" },
};

static void test_login_is_made_when_asked_for_or_needed(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(logins); i++) {
        char expected[200] = "C_OpenSession";
        struct p11_objects found = { 0 };

        if (logins[i].calls[0] != '\0') {
            strcat(expected, " ");
            strcat(expected, logins[i].calls);
        }
        /* A failed call costs the session, and a new one is made. */
        fixture_close(f);
        fixture_reset(f, &fake_standard);
        fixture_open(f);
        (void)add_certificate(f, logins[i].hidden);
        assert_rv(f,
                  search(f, CKO_CERTIFICATE, "pkcs11:", logins[i].login,
                         logins[i].pin, &found),
                  logins[i].rv);
        assert_int_equal(found.count, logins[i].count);
        if (logins[i].rv == CKR_PIN_INCORRECT)
            strcat(expected, " C_OpenSession C_CloseSession");
        else if (logins[i].rv == CKR_OK)
            assert_int_equal(found.without_login, logins[i].without_login);
        assert_calls(f, expected);
        p11_objects_clear(&found);
    }
}

static void test_token_that_wants_a_login_for_any_search_gets_one(void **state)
{
    static const struct {
        enum p11_login_when login;
        const char *pin;
        CK_RV rv;
        size_t count, logins;
    } rows[] = {
        { P11_LOGIN_NEVER, PIN, CKR_OK, 0, 0 },
        { P11_LOGIN_IF_NEEDED, NULL, P11_NO_PIN, 0, 0 },
        { P11_LOGIN_IF_NEEDED, PIN, CKR_OK, 1, 1 },
    };
    struct fixture *f = *state;

    (void)add_certificate(f, false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct p11_objects found = { 0 };

        fake_fail(f->fake, "C_FindObjectsInit", CKR_USER_NOT_LOGGED_IN, 1, 1);
        assert_rv(f,
                  search(f, CKO_CERTIFICATE, "pkcs11:", rows[i].login,
                         rows[i].pin, &found),
                  rows[i].rv);
        assert_int_equal(found.count, rows[i].count);
        assert_int_equal(fake_count(f->fake, "C_Login"), rows[i].logins);
        p11_objects_clear(&found);
        fake_fail_none(f->fake);
    }
}

static void test_lost_session_or_login_is_made_anew(void **state)
{
    static const struct {
        CK_OBJECT_CLASS class;
        enum p11_login_when login;
        unsigned lost;
    } rows[] = {
        { CKO_CERTIFICATE, P11_LOGIN_NEVER, FAKE_SESSIONS },
        { CKO_CERTIFICATE, P11_LOGIN_ALWAYS,
          FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES },
        { CKO_PRIVATE_KEY, P11_LOGIN_ALWAYS,
          FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES },
    };
    struct fixture *f = *state;

    (void)add_certificate(f, false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int again = 0; again < 2; again++) {
            struct p11_objects found = { 0 };

            assert_rv(
                f,
                search(f, rows[i].class, "pkcs11:", rows[i].login, PIN, &found),
                CKR_OK);
            assert_int_equal(found.count, 1);
            p11_objects_clear(&found);
            fake_lose(f->fake, rows[i].lost);
        }
    }
}

static void test_object_is_read_although_the_token_was_busy(void **state)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_CERTIFICATE,
                                               CKO_PRIVATE_KEY };
    static const CK_RV losses[] = { CKR_OPERATION_ACTIVE, CKR_FUNCTION_FAILED };
    struct fixture *f = *state;

    (void)add_certificate(f, false);
    for (size_t i = 0; i < COUNT(classes) * COUNT(losses); i++) {
        struct p11_objects found = { 0 };
        CK_OBJECT_CLASS class = classes[i % 2];

        assert_rv(f, search(f, class, "pkcs11:", P11_LOGIN_ALWAYS, PIN, &found),
                  CKR_OK);
        assert_int_equal(found.count, 1);
        fake_fail(f->fake, READ_CALL, losses[i / 2], 1, 1);
        if (class == CKO_CERTIFICATE) {
            assert_rv(f, p11_objects_read(&found, 0, &f->err), CKR_OK);
        } else {
            assert_rv(f,
                      p11_key_open(found.slot, found.object[0].handle,
                                   found.epoch, &f->key, &f->err),
                      CKR_OK);
            assert_signs(f);
            p11_key_free(f->key);
            f->key = NULL;
        }
        p11_objects_clear(&found);
        fake_fail_none(f->fake);
    }
}

/* A session is lost when a token starts anew: a handle may be another's. */
static void test_object_is_not_read_after_the_session_was_lost(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };

    (void)add_certificate(f, false);
    assert_rv(
        f, search(f, CKO_CERTIFICATE, "pkcs11:", P11_LOGIN_NEVER, NULL, &found),
        CKR_OK);
    fake_fail(f->fake, READ_CALL, CKR_SESSION_HANDLE_INVALID, 1, 1);
    assert_rv(f, p11_objects_read(&found, 0, &f->err),
              CKR_SESSION_HANDLE_INVALID);
    p11_objects_clear(&found);
}

static void test_object_that_went_is_not_found_by_its_handle(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };
    size_t object = add_certificate(f, false);

    assert_rv(
        f, search(f, CKO_CERTIFICATE, "pkcs11:", P11_LOGIN_NEVER, NULL, &found),
        CKR_OK);
    fake_remove_object(f->fake, object);
    for (int i = 0; i < 2; i++) {
        fake_calls_reset(f->fake);
        assert_rv(f, p11_objects_read(&found, 0, &f->err),
                  CKR_OBJECT_HANDLE_INVALID);
        assert_text(f, "C_GetAttributeValue");
        /* The token is not asked again. */
        assert_int_equal(fake_count(f->fake, "C_GetAttributeValue"), 1 - i);
    }
    p11_objects_clear(&found);
}

/* A handle of before may be that of another object now. */
static void test_list_of_before_a_restart_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };

    (void)add_certificate(f, false);
    assert_rv(
        f, search(f, CKO_CERTIFICATE, "pkcs11:", P11_LOGIN_NEVER, NULL, &found),
        CKR_OK);
    fixture_slot(f)->epoch++;
    fake_calls_reset(f->fake);
    assert_rv(f, p11_objects_read(&found, 0, &f->err), P11_STALE);
    assert_text(f, "restarted");
    assert_int_equal(fake_count(f->fake, "C_GetAttributeValue"), 0);
    p11_objects_clear(&found);
}

static void test_listed_key_signs_and_is_found_again(void **state)
{
    struct fixture *f = *state;
    struct p11_objects found = { 0 };

    assert_rv(
        f, search(f, CKO_PRIVATE_KEY, "pkcs11:", P11_LOGIN_ALWAYS, PIN, &found),
        CKR_OK);
    assert_int_equal(found.count, 1);
    fake_calls_reset(f->fake);
    assert_rv(f,
              p11_key_open(found.slot, found.object[0].handle, found.epoch,
                           &f->key, &f->err),
              CKR_OK);
    assert_calls(f, READ_CALL);
    assert_int_equal(fake_asked_private(f->fake), 0);
    fixture_assert_text(p11_key_where(f->key), "object=" LABEL);
    p11_objects_clear(&found);
    assert_signs(f);
    /* Another one whose label differs must not answer for it. */
    (void)fake_add_key(f->fake, 0, &fixture_ec);
    fake_lose(f->fake, FAKE_HANDLES);
    assert_signs(f);
    assert_int_equal(p11_key_times_found(f->key), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OPEN(test_list_costs_three_calls_and_one_for_each_object),
        TEST_OPEN(test_uri_and_more_narrow_the_search),
        TEST_OPEN(test_one_call_finds_256_objects),
        TEST_OPEN(test_login_is_made_when_asked_for_or_needed),
        TEST_OPEN(test_token_that_wants_a_login_for_any_search_gets_one),
        TEST_OPEN(test_lost_session_or_login_is_made_anew),
        TEST_OPEN(test_object_is_read_although_the_token_was_busy),
        TEST_OPEN(test_object_is_not_read_after_the_session_was_lost),
        TEST_OPEN(test_object_that_went_is_not_found_by_its_handle),
        TEST_OPEN(test_list_of_before_a_restart_is_not_read),
        TEST_OPEN(test_listed_key_signs_and_is_found_again),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pkcs11/object", tests, NULL, NULL);
}
