/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/store: OSSL_STORE_find() by subject, by issuer and serial number,
 * and by alias; what cannot be searched for is refused, never passed over.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#define CERT OSSL_STORE_INFO_CERT
#define PKEY OSSL_STORE_INFO_PKEY

static OSSL_LIB_CTX *ctx;
static X509 *cert; /* of p256-cert, which is on the token as "other" */

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    cert = fixture_certificate("p256-cert");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(cert);
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

/* What a search finds, as letters: see test_objects.c.  Frees search. */
static const char *find(OSSL_LIB_CTX *lib, const char *uri, int expect,
                        OSSL_STORE_SEARCH *search, char letters[64])
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, lib, NULL, NULL, NULL, NULL, NULL, NULL);
    size_t n = 0;

    assert_non_null(store);
    assert_int_equal(OSSL_STORE_expect(store, expect), 1);
    assert_int_equal(OSSL_STORE_find(store, search), 1);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        int type = info != NULL ? OSSL_STORE_INFO_get_type(info) : 0;

        assert_in_range(n, 0, 62);
        if (info == NULL && OSSL_STORE_error(store))
            letters[n++] = '!';
        else if (type != 0)
            letters[n++] = type == CERT ? 'c' : type == PKEY ? 'k' : 'p';
        if (type == CERT && lib == ctx)
            assert_int_equal(X509_cmp(OSSL_STORE_INFO_get0_CERT(info), cert),
                             0);
        OSSL_STORE_INFO_free(info);
    }
    letters[n] = '\0';
    OSSL_STORE_close(store);
    OSSL_STORE_SEARCH_free(search);
    return letters;
}

static const struct {
    const char *uri;
    int expect;
} uris[] = {
    { "pkcs11:token=demo", 0 },
    { "pkcs11:token=demo", CERT },
    { "pkcs11:token=demo;type=cert", 0 },
    { "pkcs11:token=demo;object=other", CERT },
    { "pkcs11:type=cert", 0 },
};

static void test_subject_finds_the_certificate(void **state)
{
    X509 *other = fixture_certificate("p256");
    char letters[64];

    (void)state;
    for (size_t i = 0; i < COUNT(uris); i++) {
        assert_string_equal(
            find(ctx, uris[i].uri, uris[i].expect,
                 OSSL_STORE_SEARCH_by_name(X509_get_subject_name(cert)),
                 letters),
            "c");
        /* None is an answer. */
        assert_string_equal(
            find(ctx, uris[i].uri, uris[i].expect,
                 OSSL_STORE_SEARCH_by_name(X509_get_subject_name(other)),
                 letters),
            "");
        fixture_assert_no_error();
    }
    X509_free(other);
}

static void test_issuer_and_serial_number_find_the_certificate(void **state)
{
    X509 *other = fixture_certificate("p256");
    char letters[64];

    (void)state;
    for (size_t i = 0; i < COUNT(uris); i++) {
        assert_string_equal(
            find(ctx, uris[i].uri, uris[i].expect,
                 OSSL_STORE_SEARCH_by_issuer_serial(
                     X509_get_issuer_name(cert), X509_get0_serialNumber(cert)),
                 letters),
            "c");
        assert_string_equal(
            find(ctx, uris[i].uri, uris[i].expect,
                 OSSL_STORE_SEARCH_by_issuer_serial(
                     X509_get_issuer_name(cert), X509_get0_serialNumber(other)),
                 letters),
            "");
        assert_string_equal(
            find(ctx, uris[i].uri, uris[i].expect,
                 OSSL_STORE_SEARCH_by_issuer_serial(
                     X509_get_subject_name(cert), X509_get0_serialNumber(cert)),
                 letters),
            "");
        fixture_assert_no_error();
    }
    X509_free(other);
}

/* An INTEGER whose first bit is set has a zero before it. */
static void test_serial_number_is_searched_for_as_der(void **state)
{
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    static const struct {
        long serial;
        const char *der;
        size_t len;
    } rows[] = {
        { 1, "\x02\x01\x01", 3 },
        { 128, "\x02\x02\x00\x80", 4 },
        { 0x123456, "\x02\x03\x12\x34\x56", 5 },
    };
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *fake_ctx = fake_context("");
    /* A copy: 4.0 does not let change what is the certificate's. */
    X509_NAME *issuer = X509_NAME_dup(X509_get_issuer_name(cert));
    unsigned char *name = NULL, *der = NULL;
    int name_len = i2d_X509_NAME(issuer, &name);
    int len = i2d_X509(cert, &der);
    char letters[64];

    (void)state;
    assert_true(name_len > 0 && len > 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        const struct fake_attribute attributes[] = {
            { CKA_CLASS, &class, sizeof(class) },
            { CKA_ISSUER, name, (size_t)name_len },
            { CKA_SERIAL_NUMBER, rows[i].der, rows[i].len },
            { CKA_VALUE, der, (size_t)len },
        };

        assert_int_equal(ASN1_INTEGER_set(serial, rows[i].serial), 1);
        assert_string_equal(
            find(fake_ctx, "pkcs11:token=fake", 0,
                 OSSL_STORE_SEARCH_by_issuer_serial(issuer, serial), letters),
            "");
        fake_add_object(fake, 0, attributes, COUNT(attributes));
        assert_string_equal(
            find(fake_ctx, "pkcs11:token=fake", 0,
                 OSSL_STORE_SEARCH_by_issuer_serial(issuer, serial), letters),
            "c");
        ASN1_INTEGER_free(serial);
    }
    /* The issuer alone would find all, and a key has none. */
    assert_int_equal(fake_asked_private(fake), 0);
    X509_NAME_free(issuer);
    OPENSSL_free(name);
    OPENSSL_free(der);
    OSSL_LIB_CTX_free(fake_ctx);
    fixture_assert_no_error();
}

static const struct {
    const char *uri, *alias;
    int expect;
    const char *letters, *reason, *word;
} aliases[] = {
    { "pkcs11:token=demo", "p256", 0, "kp", NULL, NULL },
    { "pkcs11:token=demo", "p256", PKEY, "k", NULL, NULL },
    { "pkcs11:token=demo", "other", CERT, "c", NULL, NULL },
    { "pkcs11:token=demo", "other", 0, "c", NULL, NULL },
    { "pkcs11:token=demo;object=other", "other", 0, "c", NULL, NULL },
    { "pkcs11:token=demo", "nope", 0, "!", "no object matches the URI",
      "object=nope" },
    { "pkcs11:token=demo", "twin", PKEY, "!",
      "several private keys match the URI", "object=twin" },
    { "pkcs11:token=demo;object=p256", "other", 0, "!",
      "a parameter is not taken", "object=" },
};

static void test_alias_is_the_label(void **state)
{
    char letters[64];

    (void)state;
    for (size_t i = 0; i < COUNT(aliases); i++) {
        assert_string_equal(find(ctx, aliases[i].uri, aliases[i].expect,
                                 OSSL_STORE_SEARCH_by_alias(aliases[i].alias),
                                 letters),
                            aliases[i].letters);
        if (aliases[i].reason != NULL)
            fixture_assert_error(0, aliases[i].reason, aliases[i].word, NULL);
        fixture_assert_no_error();
    }
}

static void test_keys_are_not_searched_for_by_subject(void **state)
{
    static const struct {
        const char *uri;
        int expect;
        const char *word;
    } rows[] = {
        { "pkcs11:token=demo", PKEY, "only certificates" },
        { "pkcs11:token=demo", OSSL_STORE_INFO_PUBKEY, "only certificates" },
        { "pkcs11:token=demo;type=private", 0, "certificate is wanted" },
    };
    char letters[64];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(
            find(ctx, rows[i].uri, rows[i].expect,
                 OSSL_STORE_SEARCH_by_name(X509_get_subject_name(cert)),
                 letters),
            "!");
        fixture_assert_error(0, "this is not offered", rows[i].word, NULL);
    }
}

static void test_fingerprint_is_refused_with_the_reason(void **state)
{
    static const unsigned char digest[32];
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex("pkcs11:token=demo", ctx, NULL,
                                               NULL, NULL, NULL, NULL, NULL);
    EVP_MD *md = EVP_MD_fetch(ctx, "SHA256", NULL);
    OSSL_STORE_SEARCH *search =
        OSSL_STORE_SEARCH_by_key_fingerprint(md, digest, sizeof(digest));

    (void)state;
    assert_int_equal(
        OSSL_STORE_supports_search(store, OSSL_STORE_SEARCH_BY_KEY_FINGERPRINT),
        0);
    for (int type = OSSL_STORE_SEARCH_BY_NAME;
         type <= OSSL_STORE_SEARCH_BY_ALIAS; type++) {
        if (type != OSSL_STORE_SEARCH_BY_KEY_FINGERPRINT)
            assert_int_equal(OSSL_STORE_supports_search(store, type), 1);
    }
    ERR_clear_error();
    assert_int_equal(OSSL_STORE_find(store, search), 0);
    fixture_assert_error(0, "this is not offered", "fingerprint", NULL);
    OSSL_STORE_SEARCH_free(search);
    EVP_MD_free(md);
    OSSL_STORE_close(store);
}

static void test_last_search_counts(void **state)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex("pkcs11:token=demo", ctx, NULL,
                                               NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_SEARCH *searches[] = {
        OSSL_STORE_SEARCH_by_alias("p256"),
        OSSL_STORE_SEARCH_by_issuer_serial(X509_get_issuer_name(cert),
                                           X509_get0_serialNumber(cert)),
        OSSL_STORE_SEARCH_by_name(X509_get_subject_name(cert)),
    };
    OSSL_STORE_INFO *info = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(searches); i++) {
        assert_int_equal(OSSL_STORE_find(store, searches[i]), 1);
        OSSL_STORE_SEARCH_free(searches[i]);
    }
    info = OSSL_STORE_load(store);
    assert_non_null(info);
    assert_int_equal(OSSL_STORE_INFO_get_type(info), CERT);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    fixture_assert_no_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subject_finds_the_certificate),
        cmocka_unit_test(test_issuer_and_serial_number_find_the_certificate),
        cmocka_unit_test(test_serial_number_is_searched_for_as_der),
        cmocka_unit_test(test_alias_is_the_label),
        cmocka_unit_test(test_keys_are_not_searched_for_by_subject),
        cmocka_unit_test(test_fingerprint_is_refused_with_the_reason),
        cmocka_unit_test(test_last_search_counts),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/search", tests, setup,
                                       teardown);
}
