/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/sigparams: parameters, however they are given, mean what they mean
 * to the default provider.  The salt length of a PSS signature is not taken
 * on trust: it is found out by verifying with each length in turn.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MGF1    OSSL_SIGNATURE_PARAM_MGF1_DIGEST
#define DIGEST  OSSL_SIGNATURE_PARAM_DIGEST
#define SALT    OSSL_SIGNATURE_PARAM_PSS_SALTLEN
#define PADDING OSSL_SIGNATURE_PARAM_PAD_MODE

static OSSL_LIB_CTX *ctx;
static EVP_PKEY *key, *twin, *public; /* rsa2048 */

/* RFC 8017, 9.1.1: what a modulus of 2048 bits leaves for the salt. */
enum { MODULUS = 256, MAX_SHA256 = MODULUS - 32 - 2 };

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    key = fixture_key(ctx, "rsa2048");
    twin = fixture_twin("rsa2048");
    public = fixture_public("rsa2048");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    EVP_PKEY_free(twin);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static bool verify_pss(const char *md, int salt, const unsigned char *sig,
                       size_t len)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = mctx != NULL &&
              EVP_DigestVerifyInit_ex(mctx, &pctx, md, fixture_software(), NULL,
                                      public, NULL) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) > 0 &&
              EVP_DigestVerify(mctx, sig, len, fixture_message,
                               fixture_message_len) == 1;

    EVP_MD_CTX_free(mctx);
    ERR_clear_error();
    return ok;
}

/* The salt length that a signature has, or -1: it is no PSS signature. */
static int salt_of(const char *md, const unsigned char *sig, size_t len)
{
    if (!verify_pss(md, RSA_PSS_SALTLEN_AUTO, sig, len))
        return -1;
    for (int salt = 0; salt <= MODULUS; salt++) {
        if (verify_pss(md, salt, sig, len))
            return salt;
    }
    return -1;
}

/* Sign with PSS under mctx; the salt length, or -1 with an error raised. */
static int sign_pss(EVP_MD_CTX *mctx, const char *md)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);

    if (EVP_DigestSign(mctx, sig, &len, fixture_message, fixture_message_len) !=
        1)
        return -1;
    return salt_of(md, sig, len);
}

/* PSS with a salt length as a ctrl string: the one used, -1 refused. */
static int sign_with_salt(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey, const char *md,
                          const char *salt)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    int used = -1;

    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, md, libctx, NULL, pkey, NULL), 1);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", "pss") > 0);
    if (salt == NULL ||
        EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", salt) > 0)
        used = sign_pss(mctx, md);
    EVP_MD_CTX_free(mctx);
    return used;
}

static void test_salt_length_is_what_was_asked_for(void **state)
{
    static const struct {
        const char *md, *salt;
        int used;
    } rows[] = {
        { "SHA256", "0", 0 },
        { "SHA256", "1", 1 },
        { "SHA256", "digest", 32 },
        { "SHA512", "digest", 64 },
        { "SHA256", "max", MAX_SHA256 },
        { "SHA1", "max", MODULUS - 20 - 2 },
        { "SHA256", "auto", MAX_SHA256 }, /* when signing: the maximum */
        { "SHA256", "127", 127 },
        { "SHA256", "128", 128 },
        { "SHA256", "222", 222 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(sign_with_salt(ctx, key, rows[i].md, rows[i].salt),
                         rows[i].used);
        assert_int_equal(
            sign_with_salt(fixture_software(), twin, rows[i].md, rows[i].salt),
            rows[i].used);
    }
}

/* 3.0 takes the maximum, later ones the digest's length: not our business. */
static void test_default_salt_is_the_default_providers(void **state)
{
    static const char *const mds[] = { "SHA1", "SHA256", "SHA512" };

    (void)state;
    for (size_t i = 0; i < COUNT(mds); i++) {
        int expected = sign_with_salt(fixture_software(), twin, mds[i], NULL);

        assert_in_range(expected, 0, MODULUS);
        assert_int_equal(sign_with_salt(ctx, key, mds[i], NULL), expected);
    }
}

static void test_salt_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        const char *md, *salt, *room;
    } rows[] = { { "SHA256", "223", "222" },
                 { "SHA512", "191", "190" },
                 { "SHA256", "65535", "222" } };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(
            sign_with_salt(fixture_software(), twin, rows[i].md, rows[i].salt),
            -1);
        ERR_clear_error();
        assert_int_equal(sign_with_salt(ctx, key, rows[i].md, rows[i].salt),
                         -1);
        fixture_assert_error(0, "a parameter is not taken", rows[i].salt,
                             rows[i].room, NULL);
    }
}

/* A parameter that is not taken, and whether libcrypto hands it on at all. */
static void test_nonsense_is_refused(void **state)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        { "rsa_pss_saltlen", "-5" },
        { "rsa_padding_mode", "oaep" },
        { "rsa_padding_mode", "none" },
        { "rsa_padding_mode", "x931" },
        { "digest", "SHA512" },
        { "rsa_mgf1_md", "SHAKE256" },
        { "rsa_mgf1_md", "no-such-digest" },
        { "digest", "no-such-digest" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx = NULL;

        assert_int_equal(
            EVP_DigestSignInit_ex(mctx, &pctx, "SHA256", ctx, NULL, key, NULL),
            1);
        assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", "pss") > 0);
        assert_true(EVP_PKEY_CTX_ctrl_str(pctx, rows[i].name, rows[i].value) <=
                    0);
        ERR_clear_error();
        EVP_MD_CTX_free(mctx);
    }
}

static void test_pss_parameters_want_pss_padding(void **state)
{
    OSSL_PARAM salt[] = { OSSL_PARAM_construct_utf8_string(SALT, "32", 0),
                          OSSL_PARAM_construct_end() };
    OSSL_PARAM mgf1[] = { OSSL_PARAM_construct_utf8_string(MGF1, "SHA256", 0),
                          OSSL_PARAM_construct_end() };
    int none = -9;
    OSSL_PARAM negative[] = {
        OSSL_PARAM_construct_utf8_string(PADDING, "pss", 0),
        OSSL_PARAM_construct_int(SALT, &none), OSSL_PARAM_construct_end()
    };
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();

    (void)state;
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, key, salt), 0);
    fixture_assert_error(0, "a parameter is not taken", "pss", NULL);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, key, mgf1), 0);
    fixture_assert_error(0, "a parameter is not taken", "pss", NULL);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, key, negative),
        0);
    fixture_assert_error(0, "a parameter is not taken", "salt", NULL);
    EVP_MD_CTX_free(mctx);
}

/* Numbers as numbers, numbers as text, names; in any order; at init. */
static void test_parameters_count_at_init_in_every_form(void **state)
{
    int pad = RSA_PKCS1_PSS_PADDING, digest = RSA_PSS_SALTLEN_DIGEST, ten = 10;
    OSSL_PARAM forms[][4] = {
        { OSSL_PARAM_construct_int(PADDING, &pad),
          OSSL_PARAM_construct_int(SALT, &digest), OSSL_PARAM_construct_end() },
        { OSSL_PARAM_construct_int(SALT, &digest),
          OSSL_PARAM_construct_int(PADDING, &pad), OSSL_PARAM_construct_end() },
        { OSSL_PARAM_construct_utf8_string(SALT, "digest", 0),
          OSSL_PARAM_construct_utf8_string(PADDING, "pss", 0),
          OSSL_PARAM_construct_end() },
        { OSSL_PARAM_construct_utf8_string(PADDING, "pss", 0),
          OSSL_PARAM_construct_utf8_string(SALT, "32", 0),
          OSSL_PARAM_construct_end() },
        { OSSL_PARAM_construct_int(PADDING, &pad),
          OSSL_PARAM_construct_int(SALT, &ten), OSSL_PARAM_construct_end() },
        { OSSL_PARAM_construct_utf8_string(PADDING, "pss", 0),
          OSSL_PARAM_construct_utf8_string(SALT, "10", 0),
          OSSL_PARAM_construct_utf8_string(MGF1, "SHA256", 0),
          OSSL_PARAM_construct_end() },
    };
    static const int used[] = { 32, 32, 32, 32, 10, 10 };

    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();

        assert_int_equal(EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL,
                                               key, forms[i]),
                         1);
        assert_int_equal(sign_pss(mctx, "SHA256"), used[i]);
        EVP_MD_CTX_free(mctx);
    }
}

/* A copy has its parameters too, and changes only its own. */
static void test_copies_have_parameters_of_their_own(void **state)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;

    (void)state;
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, "SHA256", ctx, NULL, key, NULL), 1);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", "pss") > 0);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", "7") > 0);
    assert_int_equal(EVP_MD_CTX_copy_ex(copy, mctx), 1);
    pctx = EVP_MD_CTX_get_pkey_ctx(copy);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", "8") > 0);
    assert_int_equal(sign_pss(mctx, "SHA256"), 7);
    assert_int_equal(sign_pss(copy, "SHA256"), 8);
    EVP_MD_CTX_free(mctx);
    EVP_MD_CTX_free(copy);
}

/* EVP_DigestSignFinal signs with a copy; a new beginning forgets them. */
static void test_parameters_last_until_the_next_init(void **state)
{
    int fresh = sign_with_salt(fixture_software(), twin, "SHA256", NULL);
    OSSL_PARAM pss[] = { OSSL_PARAM_construct_utf8_string(PADDING, "pss", 0),
                         OSSL_PARAM_construct_end() };
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;

    (void)state;
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, "SHA256", ctx, NULL, key, pss), 1);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", "7") > 0);
    assert_int_equal(
        EVP_DigestSignUpdate(mctx, fixture_message, fixture_message_len), 1);
    assert_int_equal(EVP_DigestSignFinal(mctx, sig, &len), 1);
    assert_int_equal(salt_of("SHA256", sig, len), 7);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, "SHA256", ctx, NULL, NULL, pss), 1);
    assert_int_equal(sign_pss(mctx, "SHA256"), fresh);
    EVP_MD_CTX_free(mctx);
}

/* CMS with PSS reads these back from the context. */
static void read_back(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey, char answer[256])
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD *sha384 = EVP_MD_fetch(fixture_software(), "SHA384", NULL);
    const EVP_MD *signature_md = NULL, *mgf1_md = NULL;
    char md[32] = "", mgf1[32] = "", pad_name[32] = "", salt_name[32] = "";
    int pad = 0, salt = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(PADDING, pad_name, sizeof(pad_name)),
        OSSL_PARAM_construct_utf8_string(SALT, salt_name, sizeof(salt_name)),
        OSSL_PARAM_construct_utf8_string(DIGEST, md, sizeof(md)),
        OSSL_PARAM_construct_utf8_string(MGF1, mgf1, sizeof(mgf1)),
        OSSL_PARAM_construct_end()
    };

    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, "SHA384", libctx, NULL, pkey, NULL),
        1);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", "pss") > 0);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", "digest") > 0);
    assert_true(EVP_PKEY_CTX_get_rsa_padding(pctx, &pad) > 0);
    assert_true(EVP_PKEY_CTX_get_rsa_pss_saltlen(pctx, &salt) > 0);
    assert_true(EVP_PKEY_CTX_get_signature_md(pctx, &signature_md) > 0);
    assert_true(EVP_PKEY_CTX_get_rsa_mgf1_md(pctx, &mgf1_md) > 0);
    assert_true(EVP_PKEY_CTX_get_params(pctx, params) > 0);
    /* A digest has several names, of which any will do. */
    assert_true(EVP_MD_is_a(sha384, md));
    assert_true(EVP_MD_is_a(sha384, mgf1));
    (void)snprintf(answer, 256, "%d %d %s %s %d %d", pad, salt, pad_name,
                   salt_name, EVP_MD_get_type(signature_md),
                   EVP_MD_get_type(mgf1_md));
    EVP_MD_free(sha384);
    EVP_MD_CTX_free(mctx);
}

static void test_parameters_read_back_as_the_default_providers(void **state)
{
    char ours[256], theirs[256];

    (void)state;
    read_back(ctx, key, ours);
    read_back(fixture_software(), twin, theirs);
    assert_string_equal(ours, theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_salt_length_is_what_was_asked_for),
        cmocka_unit_test(test_default_salt_is_the_default_providers),
        cmocka_unit_test(test_salt_that_does_not_fit_is_refused),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_pss_parameters_want_pss_padding),
        cmocka_unit_test(test_parameters_count_at_init_in_every_form),
        cmocka_unit_test(test_copies_have_parameters_of_their_own),
        cmocka_unit_test(test_parameters_last_until_the_next_init),
        cmocka_unit_test(test_parameters_read_back_as_the_default_providers),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/sigparams", tests, setup,
                                       teardown);
}
