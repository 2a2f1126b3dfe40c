/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/objects: what a pkcs11: URI gives besides one private key: public
 * keys and certificates, one of each class, or a list.  test_objects_calls.c
 * has what that costs.
 */
#include "letters.h"
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

/*
 * On the token "demo": many keys, and a certificate with label "other" and id
 * 18, which is that of p256-cert.
 */
static const struct {
    const char *uri;
    int expect;
    const char *letters, *reason, *word;
} uris[] = {
    { "pkcs11:token=demo;object=p256", 0, "kp", NULL, NULL },
    { "pkcs11:token=demo;object=p256", PUBKEY, "p", NULL, NULL },
    { "pkcs11:token=demo;object=p256;type=public", PUBKEY, "p", NULL, NULL },
    { "pkcs11:token=demo;object=p256;type=public", 0, "p", NULL, NULL },
    { "pkcs11:token=demo;object=p256;type=private", 0, "k", NULL, NULL },
    { "pkcs11:token=demo;object=p256-bare", 0, "k", NULL, NULL },
    { "pkcs11:token=demo;object=other", 0, "c", NULL, NULL },
    { "pkcs11:token=demo;object=other", CERT, "c", NULL, NULL },
    { "pkcs11:token=demo;object=other;type=cert", 0, "c", NULL, NULL },
    { "pkcs11:token=demo;id=%18", 0, "kc", NULL, NULL },
    { "pkcs11:token=demo;id=%18", CERT, "c", NULL, NULL },
    { "pkcs11:token=demo;type=cert", 0, "c", NULL, NULL },
    { "pkcs11:token=demo", CERT, "c", NULL, NULL },
    { "pkcs11:type=cert", 0, "c", NULL, NULL },
    /* one reason each */
    { "pkcs11:token=demo;object=nope", 0, "!", "no object matches the URI",
      "object=nope" },
    { "pkcs11:token=demo;object=nope", CERT, "!", "no object matches the URI",
      "no certificate" },
    { "pkcs11:token=demo;object=nope", PUBKEY, "!", "no object matches the URI",
      "no public key" },
    { "pkcs11:token=demo;object=p256-bare", PUBKEY, "!",
      "no object matches the URI", "token \"demo\"" },
    { "pkcs11:token=demo;object=twin", 0, "!",
      "several private keys match the URI", "id=" },
    { "pkcs11:token=demo;object=twin;type=public", 0, "!",
      "several objects match the URI", "public key" },
    { "pkcs11:token=demo", PUBKEY, "!", "several objects match the URI",
      "object=" },
    { "pkcs11:token=nope", 0, "!", "no token matches the URI", "\"demo\"" },
    { "pkcs11:object=other", CERT, "!", "several tokens match the URI",
      "token=" },
    { "pkcs11:token=demo;object=p256;type=cert", PKEY, "!",
      "this is not offered", "type=cert" },
    { "pkcs11:token=demo;object=p256;type=private", PUBKEY, "!",
      "this is not offered", "public key is wanted" },
    { "pkcs11:token=demo;object=p256;type=data", 0, "!", "this is not offered",
      "private keys, public keys and certificates" },
};

static void test_uri_gives_one_of_each_class_or_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(uris); i++) {
        char letters[64];

        if (strcmp(everything(ctx, uris[i].uri, uris[i].expect, letters),
                   uris[i].letters) != 0)
            fail_msg("%s, %d: \"%s\", not \"%s\"", uris[i].uri, uris[i].expect,
                     letters, uris[i].letters);
        if (uris[i].reason != NULL)
            fixture_assert_error(0, uris[i].reason, uris[i].word, NULL);
        fixture_assert_no_error();
    }
}

/* What is on the token is make_token.sh's to say: see also test_store.sh. */
static void test_whole_token_is_listed_private_keys_first(void **state)
{
    static const struct {
        const char *type, *letter;
        size_t least;
    } rows[] = { { "private", "k", 12 },
                 { "public", "p", 10 },
                 { "cert", "c", 1 } };
    char all[64], some[64], uri[80];
    const char *at = everything(ctx, "pkcs11:token=demo", 0, all);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = strspn(at, rows[i].letter);

        (void)snprintf(uri, sizeof(uri), "pkcs11:token=demo;type=%s",
                       rows[i].type);
        assert_int_equal(strlen(everything(ctx, uri, 0, some)), n);
        assert_memory_equal(some, at, n);
        assert_in_range(n, rows[i].least, 60);
        at += n;
    }
    assert_string_equal(at, "");
    fixture_assert_no_error();
}

static void test_public_key_verifies_what_its_twin_signed(void **state)
{
    static const char *const names[] = { "rsa2048", "p256", "p521", "ed25519" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *md = strcmp(names[i], "ed25519") == 0 ? NULL : "SHA256";
        EVP_PKEY *twin = fixture_twin(names[i]), *key = NULL;
        EVP_PKEY *public = fixture_public(names[i]);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = fixture_sign(fixture_software(), twin, md, sig);
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();
        OSSL_STORE_INFO *info = NULL;
        char uri[128];

        (void)snprintf(uri, sizeof(uri), FIXTURE_URI "%s;type=public",
                       names[i]);
        info = first(ctx, uri, PUBKEY);
        key = OSSL_STORE_INFO_get0_PUBKEY(info);
        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_int_equal(EVP_PKEY_eq(public, key), 1);
        assert_int_equal(
            EVP_DigestVerifyInit_ex(mctx, NULL, md, ctx, NULL, key, NULL), 1);
        for (int bad = 0; bad < 2; bad++) {
            assert_int_equal(
                EVP_DigestVerify(mctx, sig, len, fixture_message,
                                 fixture_message_len - (size_t)bad) == 1,
                !bad);
            ERR_clear_error();
            assert_int_equal(
                EVP_DigestVerifyInit_ex(mctx, NULL, md, ctx, NULL, key, NULL),
                1);
        }
        /* It has no private half to sign with. */
        assert_int_equal(fixture_sign(ctx, key, md, sig), 0);
        ERR_clear_error();
        EVP_MD_CTX_free(mctx);
        OSSL_STORE_INFO_free(info);
        EVP_PKEY_free(public);
        EVP_PKEY_free(twin);
    }
}

static void test_certificate_is_the_one_that_was_written(void **state)
{
    X509 *cert = fixture_certificate("p256-cert");
    OSSL_STORE_INFO *info =
        first(ctx, "pkcs11:token=demo;object=other;type=cert", CERT);

    (void)state;
    assert_int_equal(X509_cmp(OSSL_STORE_INFO_get0_CERT(info), cert), 0);
    OSSL_STORE_INFO_free(info);
    X509_free(cert);
    fixture_assert_no_error();
}

/* The first by its own CKA_EC_POINT, the others by CKA_ID. */
static void test_listed_keys_know_their_public_half_and_sign(void **state)
{
    static const char *const ids[] = { "rsa2048", "p256", "ed25519",
                                       "p256-cert" };
    size_t matched = 0;
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex("pkcs11:token=demo;type=private", ctx, NULL, NULL,
                           NULL, NULL, NULL, NULL);

    (void)state;
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        EVP_PKEY *key = info != NULL ? OSSL_STORE_INFO_get0_PKEY(info) : NULL;

        for (size_t i = 0; key != NULL && i < COUNT(ids); i++) {
            EVP_PKEY *public = fixture_public(ids[i]);

            if (EVP_PKEY_get_id(key) == EVP_PKEY_get_id(public) &&
                fixture_signs(ctx, key, public)) {
                matched++;
                assert_int_equal(EVP_PKEY_eq(key, public), 1);
            }
            EVP_PKEY_free(public);
            ERR_clear_error();
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    assert_int_equal(matched, COUNT(ids));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_gives_one_of_each_class_or_lists),
        cmocka_unit_test(test_whole_token_is_listed_private_keys_first),
        cmocka_unit_test(test_public_key_verifies_what_its_twin_signed),
        cmocka_unit_test(test_certificate_is_the_one_that_was_written),
        cmocka_unit_test(test_listed_keys_know_their_public_half_and_sign),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/objects", tests, setup,
                                       teardown);
}
