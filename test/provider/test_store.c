/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/store: how a pkcs11: URI names a private key, and the one error
 * that says what was asked and what to do.  test_objects.c has the other
 * classes, and lists.
 */
#include "fixture.h"
#include <openssl/err.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    (void)fixture_software();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static OSSL_STORE_CTX *open_store(const char *uri)
{
    return OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
}

static void test_uri_gives_one_private_key_and_then_the_end(void **state)
{
    static const struct {
        const char *uri;
        int expect;
    } rows[] = {
        { FIXTURE_URI "p256", OSSL_STORE_INFO_PKEY },
        { FIXTURE_URI "p256;type=private", OSSL_STORE_INFO_PKEY },
        { FIXTURE_URI "p256;type=private", 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_STORE_CTX *store = open_store(rows[i].uri);
        OSSL_STORE_INFO *info = NULL;

        assert_non_null(store);
        assert_int_equal(OSSL_STORE_expect(store, rows[i].expect), 1);
        assert_int_equal(OSSL_STORE_eof(store), 0);
        info = OSSL_STORE_load(store);
        assert_non_null(info);
        assert_int_equal(OSSL_STORE_INFO_get_type(info), OSSL_STORE_INFO_PKEY);
        assert_true(EVP_PKEY_is_a(OSSL_STORE_INFO_get0_PKEY(info), "EC"));
        OSSL_STORE_INFO_free(info);
        assert_int_equal(OSSL_STORE_error(store), 0);
        assert_int_equal(OSSL_STORE_eof(store), 1);
        assert_null(OSSL_STORE_load(store));
        assert_int_equal(OSSL_STORE_close(store), 1);
        fixture_assert_no_error();
    }
}

static void test_other_expectations_are_refused_with_a_reason(void **state)
{
    static const int expectations[] = { OSSL_STORE_INFO_PARAMS,
                                        OSSL_STORE_INFO_CRL };

    (void)state;
    for (size_t i = 0; i < COUNT(expectations); i++) {
        OSSL_STORE_CTX *store = open_store(FIXTURE_URI "p256");

        assert_int_equal(OSSL_STORE_expect(store, expectations[i]), 1);
        assert_null(OSSL_STORE_load(store));
        assert_int_equal(OSSL_STORE_error(store), 1);
        /* An error that is the end as well, storeutl would not count. */
        assert_int_equal(OSSL_STORE_eof(store), 0);
        assert_null(OSSL_STORE_load(store));
        assert_int_equal(OSSL_STORE_eof(store), 1);
        fixture_assert_error(0, "this is not offered", "private keys", NULL);
        OSSL_STORE_close(store);
    }
}

static void test_store_may_be_closed_unread(void **state)
{
    (void)state;
    assert_int_equal(OSSL_STORE_close(open_store(FIXTURE_URI "p256")), 1);
    assert_int_equal(OSSL_STORE_close(open_store("pkcs11:tokn=x")), 1);
    fixture_assert_no_error();
}

static const struct {
    const char *uri, *name;
} good[] = {
    { "pkcs11:token=demo;object=p256;type=private", "p256" },
    { "PKCS11:token=demo;object=p256", "p256" },
    { "pkcs11:object=p256;token=demo", "p256" },
    { "pkcs11:token=demo;id=%10", "rsa2048" },
    { "pkcs11:token=demo;id=%13;object=p256", "p256" },
    { "pkcs11:token=%64%65mo;object=%70256", "p256" },
    { "pkcs11:token=demo;id=%30", "twin" },
    { "pkcs11:token=demo;id=%31;object=twin", "twin" },
    { "pkcs11:token=demo;manufacturer=SoftHSM%20project;object=p384", "p384" },
    { "pkcs11:token=demo;object=p256?pin-value=1234", "p256" },
};

static void test_key_is_named_in_many_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        EVP_PKEY *public = fixture_public(good[i].name);
        EVP_PKEY *key = fixture_load(ctx, good[i].uri);

        if (key == NULL)
            fail_msg("%s: %s", good[i].uri,
                     ERR_error_string(ERR_peek_error(), NULL));
        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    fixture_assert_no_error();
}

/* Reason, and what the text has to name. */
static const struct {
    const char *uri, *reason, *word, *other_word;
} bad[] = {
    { "pkcs11:token=nope;object=p256", "no token matches the URI", "token=nope",
      "\"demo\"" },
    { "pkcs11:object=p256", "several tokens match the URI", "object=p256",
      "\"second\"" },
    { "pkcs11:type=private", "several tokens match the URI",
      "token=", "\"demo\"" },
    { "pkcs11:token=demo;object=nope", "no private key matches the URI",
      "object=nope", "token \"demo\"" },
    { "pkcs11:token=demo;id=%99", "no private key matches the URI", "id=%99",
      "token \"demo\"" },
    { "pkcs11:token=demo;object=p256;id=%99", "no private key matches the URI",
      "object=p256", "id=%99" },
    { "pkcs11:token=demo;object=twin", "several private keys match the URI",
      "object=twin", "id=" },
    { "pkcs11:token=demo", "several private keys match the URI", "token=demo",
      "object=" },
    { "pkcs11:tokn=demo;object=p256", "the pkcs11: URI is not valid", "tokn",
      "token" },
    { "pkcs11:token=demo;object=p256;type=privat",
      "the pkcs11: URI is not valid", "type", "" },
    { "pkcs11:token=demo;token=demo;object=p256",
      "the pkcs11: URI is not valid", "token", "" },
    { "pkcs11:token=demo;object=%zz", "the pkcs11: URI is not valid", "object",
      "" },
    { "pkcs11:token=demo;object=p256;", "the pkcs11: URI is not valid", "",
      "" },
    { "pkcs11:token=demo;object=p256;type=cert", "this is not offered", "type",
      "private" },
    { "pkcs11:token=demo;object=p256;type=public", "this is not offered",
      "type", "private" },
    { "pkcs11:token=demo;object=p256?module-path=/tmp/evil.so",
      "this is not offered", "module-path", "pkcs11-module-path" },
    { "pkcs11:token=demo;object=p256?module-name=evil", "this is not offered",
      "module-name", "" },
    { "pkcs11:token=demo;object=p256?pin-source=%7Cdate",
      "the PIN cannot be read", "pin-source", "" },
};

static void test_bad_uri_is_one_error_raised_by_the_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        OSSL_STORE_CTX *store = open_store(bad[i].uri);

        assert_non_null(store);
        fixture_assert_no_error();
        assert_int_equal(OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY), 1);
        assert_int_equal(OSSL_STORE_eof(store), 0);
        assert_null(OSSL_STORE_load(store));
        assert_int_equal(OSSL_STORE_error(store), 1);
        /* An error that is the end as well, storeutl would not count. */
        assert_int_equal(OSSL_STORE_eof(store), 0);
        assert_null(OSSL_STORE_load(store));
        assert_int_equal(OSSL_STORE_eof(store), 1);
        fixture_assert_error(0, bad[i].reason, bad[i].word, bad[i].other_word,
                             NULL);
        OSSL_STORE_close(store);
    }
}

/* Each token has its own PIN; one that is configured is not for the other. */
static void test_second_token_takes_its_pin_from_the_uri(void **state)
{
    char uri[512], path[256];
    EVP_PKEY *public = fixture_public("rsa2048"), *key = NULL;

    (void)state;
    fixture_path(path, sizeof(path), "second", ".pin");
    (void)snprintf(uri, sizeof(uri),
                   "pkcs11:token=second;object=rsa2048?pin-source=file:%s",
                   path);
    key = fixture_load(ctx, uri);
    assert_non_null(key);
    assert_true(fixture_signs(ctx, key, public));
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    fixture_assert_no_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_gives_one_private_key_and_then_the_end),
        cmocka_unit_test(test_other_expectations_are_refused_with_a_reason),
        cmocka_unit_test(test_store_may_be_closed_unread),
        cmocka_unit_test(test_key_is_named_in_many_ways),
        cmocka_unit_test(test_bad_uri_is_one_error_raised_by_the_load),
        cmocka_unit_test(test_second_token_takes_its_pin_from_the_uri),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/store", tests, setup,
                                       teardown);
}
