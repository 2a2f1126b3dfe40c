/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reaches the token, by the fake's call log: a signature is C_SignInit
 * and C_Sign and nothing else; whatever can be answered here is; and nobody
 * ever asks for a private component.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

static struct fake *fake;
static OSSL_LIB_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    fake = fake_fixture();
    ctx = fake_context("");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static void assert_calls(const char *expected)
{
    char calls[4096];

    assert_string_equal(fake_calls(fake, calls, sizeof(calls)), expected);
    fake_calls_reset(fake);
}

static void test_signature_is_two_calls(void **state)
{
    static const char *const names[] = { "rsa2048", "p256", "p256-bare" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fake_key(ctx, names[i]);
        EVP_PKEY *public = fixture_public(names[i]);

        fake_calls_reset(fake);
        for (int n = 0; n < 3; n++) {
            assert_true(fixture_signs(ctx, key, public));
            assert_calls("C_SignInit C_Sign");
        }
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

/* The first key of a process, and one more. */
static void test_load_makes_few_calls(void **state)
{
    (void)state;
    fake_calls_reset(fake);
    EVP_PKEY_free(fake_key(ctx, "rsa2048"));
    assert_calls("C_GetFunctionList C_Initialize C_GetSlotList C_GetSlotList "
                 "C_GetTokenInfo C_OpenSession C_Login C_FindObjectsInit "
                 "C_FindObjects C_FindObjectsFinal C_GetAttributeValue");
    EVP_PKEY_free(fake_key(ctx, "rsa2048"));
    assert_calls("C_FindObjectsInit C_FindObjects C_FindObjectsFinal "
                 "C_GetAttributeValue");
    EVP_PKEY_free(fake_key(ctx, "p256"));
    assert_calls("C_FindObjectsInit C_FindObjects C_FindObjectsFinal "
                 "C_GetAttributeValue "
                 "C_FindObjectsInit C_FindObjects C_FindObjectsFinal "
                 "C_GetAttributeValue");
}

static void test_each_further_slot_costs_one_call(void **state)
{
    size_t before;

    (void)state;
    fake_calls_reset(fake);
    EVP_PKEY_free(fake_key(ctx, "rsa2048"));
    before = fake_count(fake, NULL);
    OSSL_LIB_CTX_free(ctx);
    for (size_t i = 1; i <= 5; i++)
        (void)fake_add_slot(fake, "other", "2");
    ctx = fake_context("");
    fake_calls_reset(fake);
    EVP_PKEY_free(fake_key(ctx, "rsa2048"));
    assert_int_equal(fake_count(fake, "C_GetTokenInfo"), 6);
    assert_int_equal(fake_count(fake, NULL), before + 5);
}

static void test_opening_a_uri_and_init_make_no_call(void **state)
{
    (void)state;
    /* fake_context() has loaded the provider. */
    assert_int_equal(fake_count(fake, NULL), 0);
    assert_null(fixture_load(ctx, "pkcs11:tokn=misspelt"));
    assert_int_equal(fake_count(fake, NULL), 0);
    ERR_clear_error();
}

static void test_questions_that_need_no_token_make_no_call(void **state)
{
    EVP_PKEY *key = fake_key(ctx, "p256"), *public = fixture_public("p256");
    EVP_PKEY *dup = NULL;
    X509 *cert = fixture_certificate("p256");
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    unsigned char sig[FIXTURE_SIGNATURE_MAX], *der = NULL;
    size_t siglen = fixture_sign(ctx, key, "SHA256", sig), len = 0;

    (void)state;
    fake_calls_reset(fake);
    /* Sizes, and buffers that are too small. */
    assert_int_equal(EVP_PKEY_get_size(key), 72);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, key, NULL), 1);
    assert_int_equal(
        EVP_DigestSign(mctx, NULL, &len, fixture_message, fixture_message_len),
        1);
    assert_int_equal(EVP_DigestSignFinal(mctx, NULL, &len), 1);
    len = 10;
    assert_int_equal(EVP_DigestSignFinal(mctx, sig + 100, &len), 0);
    ERR_clear_error();
    /* The public half, whole or compared. */
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(EVP_PKEY_eq(key, public), 1);
    assert_true(i2d_PUBKEY(key, &der) > 0);
    assert_true(fixture_verify(key, "SHA256", sig, siglen));
    /* Copies, and the private half that is not given. */
    dup = EVP_PKEY_dup(key);
    assert_true(i2d_PrivateKey(key, &der) <= 0);
    EVP_PKEY_free(dup);
    EVP_PKEY_free(key);
    assert_calls("");
    OPENSSL_free(der);
    EVP_MD_CTX_free(mctx);
    EVP_PKEY_free(public);
    X509_free(cert);
    ERR_clear_error();
}

/* One trial signature, however often it is asked and answered "no". */
static void test_proof_costs_two_calls_once(void **state)
{
    EVP_PKEY *key = fake_key(ctx, "p256-bare");
    X509 *cert = fixture_certificate("p256-bare");
    X509 *foreign = fixture_certificate("p256");

    (void)state;
    fake_calls_reset(fake);
    assert_int_equal(X509_check_private_key(foreign, key), 0);
    assert_calls("C_SignInit C_Sign");
    assert_int_equal(X509_check_private_key(foreign, key), 0);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_check_private_key(foreign, key), 0);
    assert_calls("");
    EVP_PKEY_free(key);
    X509_free(cert);
    X509_free(foreign);
    ERR_clear_error();
}

static void test_private_components_are_never_asked_for(void **state)
{
    static const char *const names[] = { "rsa2048", "p256", "p256-bare" };
    static const CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
    struct fake_attribute attributes[] = {
        { CKA_CLASS, &secret, sizeof(secret) },
        { CKA_LABEL, "p256-bare", 9 },
        { CKA_ID, "p256-bare", 9 },
        { CKA_VALUE, "a secret", 8 },
    };

    (void)state;
    /* It has the id and the label of a key, and is found beside it. */
    fake_add_object(fake, 0, attributes, COUNT(attributes));
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fake_key(ctx, names[i]);
        EVP_PKEY *public = fixture_public(names[i]);
        unsigned char *der = NULL;

        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_true(fixture_signs(ctx, key, public));
        assert_true(i2d_PrivateKey(key, &der) <= 0);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    ERR_clear_error();
    assert_int_equal(fake_asked_private(fake), 0);
    assert_int_equal(fake_asked(fake, CKA_PRIVATE_EXPONENT), 0);
    assert_int_equal(fake_violations(fake), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_signature_is_two_calls),
        TEST(test_load_makes_few_calls),
        TEST(test_each_further_slot_costs_one_call),
        TEST(test_opening_a_uri_and_init_make_no_call),
        TEST(test_questions_that_need_no_token_make_no_call),
        TEST(test_proof_costs_two_calls_once),
        TEST(test_private_components_are_never_asked_for),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/calls", tests, NULL, NULL);
}
