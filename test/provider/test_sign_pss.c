/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/sign, RSA-PSS that a token refuses: SoftHSM, which takes SHA-1 and
 * SHA-2 with the same digest for MGF1 and nothing else, signs all of it; and
 * by the fake's call log, what that costs and when it is not tried.
 */
#include "fake_fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

static const char *const digests[] = {
    "SHA1",       "SHA224",   "SHA256",   "SHA384",   "SHA512",   "SHA512-224",
    "SHA512-256", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512",
};

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

static void set_pss(EVP_PKEY_CTX *pctx, const char *mgf1, int salt)
{
    assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) > 0);
    if (mgf1 != NULL)
        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, mgf1, NULL) > 0);
}

/* The length, 0 with an error raised. */
static size_t sign(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *md,
                   const char *mgf1, int salt,
                   unsigned char sig[FIXTURE_SIGNATURE_MAX])
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = FIXTURE_SIGNATURE_MAX;

    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, md, libctx, NULL, key, NULL), 1);
    set_pss(pctx, mgf1, salt);
    if (EVP_DigestSign(mctx, sig, &len, fixture_message, fixture_message_len) !=
        1)
        len = 0;
    EVP_MD_CTX_free(mctx);
    return len;
}

static int verify(EVP_PKEY *public, const char *md, const char *mgf1, int salt,
                  const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    int ok = 0;

    assert_int_equal(EVP_DigestVerifyInit_ex(mctx, &pctx, md,
                                             fixture_software(), NULL, public,
                                             NULL),
                     1);
    set_pss(pctx, mgf1, salt);
    ok = EVP_DigestVerify(mctx, sig, len, fixture_message, fixture_message_len);
    EVP_MD_CTX_free(mctx);
    return ok;
}

static void test_every_digest_goes_with_every_mgf1_digest(void **state)
{
    static const int salts[] = { 0, RSA_PSS_SALTLEN_DIGEST, 128 };
    OSSL_LIB_CTX *soft = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *key = fixture_key(soft, "rsa2048");
    EVP_PKEY *public = fixture_public("rsa2048");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(digests) * COUNT(digests); i++) {
        const char *md = digests[i / COUNT(digests)];
        const char *mgf1 = digests[i % COUNT(digests)];

        for (size_t j = 0; j < COUNT(salts); j++) {
            size_t len = sign(soft, key, md, mgf1, salts[j], sig);

            assert_int_equal(len, 256);
            assert_int_equal(verify(public, md, mgf1, salts[j], sig, len), 1);
        }
    }
    fixture_assert_no_error();
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(soft);
}

static void assert_calls(const char *expected)
{
    char calls[4096];

    assert_string_equal(fake_calls(fake, calls, sizeof(calls)), expected);
    fake_calls_reset(fake);
}

/* What a token answers to a mechanism or a parameter that it does not take. */
static const CK_RV refusals[] = { CKR_MECHANISM_PARAM_INVALID,
                                  CKR_MECHANISM_INVALID, CKR_ARGUMENTS_BAD };

static void test_refusal_costs_one_more_init_once(void **state)
{
    EVP_PKEY *public = fixture_public("rsa2048");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        EVP_PKEY *key = fake_key(ctx, "rsa2048");

        fake_calls_reset(fake);
        fake_fail(fake, "C_SignInit", refusals[i], 1, 1);
        for (int n = 0; n < 3; n++) {
            size_t len = sign(ctx, key, "SHA384", "SHA1", 20, sig);

            assert_int_equal(verify(public, "SHA384", "SHA1", 20, sig, len), 1);
            /* A session on which a call failed is not trusted. */
            assert_calls(n == 0 ? "C_SignInit C_OpenSession C_CloseSession "
                                  "C_SignInit C_Sign"
                                : "C_SignInit C_Sign");
        }
        /* Another pair of digests is another question. */
        assert_int_equal(sign(ctx, key, "SHA256", "SHA256", 20, sig), 256);
        assert_int_equal(verify(public, "SHA256", NULL, 20, sig, 256), 1);
        assert_calls("C_SignInit C_Sign");
        fixture_assert_no_error();
        fake_fail_none(fake);
        EVP_PKEY_free(key);
    }
    EVP_PKEY_free(public);
}

static void assert_mechanism(size_t n, CK_MECHANISM_TYPE mechanism)
{
    struct fake_call call;

    assert_true(fake_call(fake, "C_SignInit", n, &call));
    assert_int_equal(call.mechanism, mechanism);
}

static void test_mechanism_is_pss_unless_refused(void **state)
{
    EVP_PKEY *key = fake_key(ctx, "rsa2048");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    fake_calls_reset(fake);
    assert_int_equal(sign(ctx, key, "SHA256", NULL, 32, sig), 256);
    assert_mechanism(0, CKM_RSA_PKCS_PSS);
    /* PKCS #11 has no number for MGF1 with it: nothing to ask for. */
    assert_int_equal(sign(ctx, key, "SHA512-256", NULL, 32, sig), 256);
    assert_mechanism(1, CKM_RSA_X_509);
    assert_calls("C_SignInit C_Sign C_SignInit C_Sign");
    EVP_PKEY_free(key);
}

/* Without CKM_RSA_X_509 too: one reason, that names both. */
static void test_token_without_either_is_said_to_be_so(void **state)
{
    EVP_PKEY *key = fake_key(ctx, "rsa2048");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    for (int n = 0; n < 2; n++) {
        fake_calls_reset(fake);
        fake_fail(fake, "C_SignInit", CKR_MECHANISM_PARAM_INVALID, 1, 1);
        fake_fail(fake, "C_SignInit", CKR_MECHANISM_INVALID, 2, 1);
        assert_int_equal(sign(ctx, key, "SHA3-256", "SHA1", 32, sig), 0);
        fixture_assert_error(0, "the token lacks the mechanism", "SHA3-256",
                             "SHA1", "CKR_MECHANISM_PARAM_INVALID",
                             "CKM_RSA_X_509", "CKR_MECHANISM_INVALID", NULL);
        assert_int_equal(fake_count(fake, "C_SignInit"), 2);
        assert_int_equal(fake_count(fake, "C_Sign"), 0);
        fake_fail_none(fake);
    }
    EVP_PKEY_free(key);
}

/* What says nothing about PSS is an error as it always was. */
static void test_other_errors_are_not_tried_in_another_way(void **state)
{
    static const CK_RV others[] = { CKR_GENERAL_ERROR, CKR_FUNCTION_CANCELED,
                                    CKR_KEY_SIZE_RANGE,
                                    CKR_KEY_FUNCTION_NOT_PERMITTED };
    EVP_PKEY *key = fake_key(ctx, "rsa2048");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(others); i++) {
        fake_calls_reset(fake);
        fake_fail(fake, "C_SignInit", others[i], 1, 1);
        assert_int_equal(sign(ctx, key, "SHA256", NULL, 32, sig), 0);
        assert_int_equal(fake_count(fake, "C_SignInit"), 1);
        fake_fail_none(fake);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
}

/* The login in between may have been what was refused: the PIN counts. */
static void test_pin_of_an_always_authenticate_key_is_not_spent(void **state)
{
    static const CK_BBOOL yes = CK_TRUE;
    EVP_PKEY *key = NULL;
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    for (size_t i = 0; i < FAKE_MAX_OBJECTS; i++)
        if (fake->objects[i].present)
            fake_set_attribute(fake, i, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    key = fake_key(ctx, "rsa2048");
    fake_calls_reset(fake);
    fake_fail(fake, "C_Login", CKR_ARGUMENTS_BAD, 1, 0);
    assert_int_equal(sign(ctx, key, "SHA256", NULL, 32, sig), 0);
    assert_int_equal(fake_count(fake, "C_Login"), 1);
    ERR_clear_error();
    EVP_PKEY_free(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_digest_goes_with_every_mgf1_digest),
        TEST(test_refusal_costs_one_more_init_once),
        TEST(test_mechanism_is_pss_unless_refused),
        TEST(test_token_without_either_is_said_to_be_so),
        TEST(test_other_errors_are_not_tried_in_another_way),
        TEST(test_pin_of_an_always_authenticate_key_is_not_spent),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/sign_pss", tests, NULL, NULL);
}
