/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rest of libcrypto's ways to a key and a signature that programs use:
 * EVP_Sign*, contexts copied by hand, recovery, certificates signed in memory.
 * The software twin is the measure.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

static const struct {
    const char *name, *md, *pad;
} keys[] = {
    { "rsa2048", "SHA256", NULL },
    { "rsa2048", "SHA256", "pss" },
    { "rsa3072", "SHA3-384", "pss" },
    { "p256", "SHA256", NULL },
    { "p384", "SHA384", NULL },
    { "secp256k1", "SHA3-256", NULL },
    { "brainpool512", "SHA512", NULL },
    { "ed25519", NULL, NULL },
    { "ed448", NULL, NULL },
};

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

static void test_key_belongs_to_us_and_can_sign(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = fixture_key(ctx, keys[i].name);
        EVP_PKEY *twin = fixture_twin(keys[i].name);

        assert_string_equal(
            OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "hsmsign");
        assert_string_equal(EVP_PKEY_get0_type_name(key),
                            EVP_PKEY_get0_type_name(twin));
        assert_int_equal(EVP_PKEY_can_sign(key), 1);
        assert_int_equal(EVP_PKEY_missing_parameters(key), 0);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
    }
}

static void test_ec_key_is_encoded_as_in_software(void **state)
{
    static const char *const names[] = { "p256",         "p521",    "secp256k1",
                                         "brainpool384", "ed25519", "ed448" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]);
        EVP_PKEY *twin = fixture_twin(names[i]);
        unsigned char *ours = NULL, *theirs = NULL;
        size_t len = EVP_PKEY_get1_encoded_public_key(twin, &theirs);

        /* 3.0 has it for EC keys alone. */
        assert_true(len > 0 || strncmp(names[i], "ed", 2) == 0);
        assert_int_equal(EVP_PKEY_get1_encoded_public_key(key, &ours), len);
        if (len > 0)
            assert_memory_equal(ours, theirs, len);
        assert_int_equal(EVP_PKEY_get_ec_point_conv_form(key),
                         EVP_PKEY_get_ec_point_conv_form(twin));
        assert_int_equal(EVP_PKEY_get_field_type(key),
                         EVP_PKEY_get_field_type(twin));
        OPENSSL_free(ours);
        OPENSSL_free(theirs);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
    }
    ERR_clear_error();
}

/* EVP_SignFinal: a digest, and then EVP_PKEY_sign. */
static void test_evp_sign_and_evp_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = fixture_key(ctx, keys[i].name);
        EVP_PKEY *public = fixture_public(keys[i].name);
        EVP_MD *md = NULL;
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        unsigned int len = 0;

        if (keys[i].md != NULL && keys[i].pad == NULL) {
            md = EVP_MD_fetch(ctx, keys[i].md, NULL);
            assert_int_equal(EVP_SignInit(mctx, md), 1);
            assert_int_equal(EVP_SignUpdate(mctx, fixture_message, 7), 1);
            assert_int_equal(EVP_SignFinal_ex(mctx, sig, &len, key, ctx, NULL),
                             1);
            assert_int_equal(EVP_VerifyInit(mctx, md), 1);
            assert_int_equal(EVP_VerifyUpdate(mctx, fixture_message, 7), 1);
            assert_int_equal(EVP_VerifyFinal_ex(mctx, sig, len, key, ctx, NULL),
                             1);
            assert_int_equal(EVP_VerifyFinal_ex(mctx, sig, len, public,
                                                fixture_software(), NULL),
                             1);
        }
        EVP_MD_free(md);
        EVP_MD_CTX_free(mctx);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

static void set_up(EVP_PKEY_CTX *pctx, size_t i)
{
    if (keys[i].md != NULL)
        assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "digest", keys[i].md) > 0);
    if (keys[i].pad != NULL)
        assert_true(
            EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", keys[i].pad) > 0);
}

static bool verifies(size_t i, const unsigned char *sig, size_t len,
                     const unsigned char *digest, size_t size)
{
    EVP_PKEY *public = fixture_public(keys[i].name);
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_pkey(fixture_software(), public, NULL);
    bool ok = false;

    assert_int_equal(EVP_PKEY_verify_init(pctx), 1);
    set_up(pctx, i);
    ok = EVP_PKEY_verify(pctx, sig, len, digest, size) == 1;
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(public);
    return ok;
}

static void test_copied_context_signs_and_verifies(void **state)
{
    static const unsigned char digest[64] = "not a digest of anything";

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = NULL;
        EVP_PKEY_CTX *pctx[2];
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t size = 0;

        if (keys[i].md == NULL)
            continue; /* EVP_PKEY_sign is not for Edwards keys */
        key = fixture_key(ctx, keys[i].name);
        size = (size_t)EVP_MD_get_size(EVP_get_digestbyname(keys[i].md));
        pctx[0] = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
        assert_int_equal(EVP_PKEY_sign_init(pctx[0]), 1);
        set_up(pctx[0], i);
        pctx[1] = EVP_PKEY_CTX_dup(pctx[0]);
        assert_non_null(pctx[1]);
        for (int n = 0; n < 2; n++) {
            size_t len = sizeof(sig);

            assert_int_equal(EVP_PKEY_sign(pctx[n], sig, &len, digest, size),
                             1);
            assert_true(verifies(i, sig, len, digest, size));
            EVP_PKEY_CTX_free(pctx[n]); /* the other lives on */
        }
        EVP_PKEY_free(key);
    }
}

/* With and without a digest; the software twin recovers the same. */
static void test_what_was_signed_is_recovered(void **state)
{
    static const char *const mds[] = { NULL, "SHA256" };
    EVP_PKEY *pkeys[] = { fixture_key(ctx, "rsa2048"),
                          fixture_twin("rsa2048") };

    (void)state;
    for (size_t i = 0; i < COUNT(mds); i++) {
        static const unsigned char in[32] = "what was signed";
        unsigned char sig[FIXTURE_SIGNATURE_MAX], out[256];
        size_t len = sizeof(sig), size = 0;

        for (size_t j = 0; j < 2; j++) {
            EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(
                j == 0 ? ctx : fixture_software(), pkeys[j], NULL);

            if (j == 0) {
                assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
                if (mds[i] != NULL)
                    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "digest", mds[i]) >
                                0);
                assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, in, sizeof(in)),
                                 1);
            }
            assert_int_equal(EVP_PKEY_verify_recover_init(pctx), 1);
            if (mds[i] != NULL)
                assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "digest", mds[i]) > 0);
            assert_int_equal(
                EVP_PKEY_verify_recover(pctx, NULL, &size, sig, len), 1);
            assert_in_range(size, 32, 256);
            size = sizeof(out);
            assert_int_equal(
                EVP_PKEY_verify_recover(pctx, out, &size, sig, len), 1);
            assert_int_equal(size, sizeof(in));
            assert_memory_equal(out, in, size);
            sig[3] ^= 1;
            size = sizeof(out);
            assert_int_not_equal(
                EVP_PKEY_verify_recover(pctx, out, &size, sig, len), 1);
            sig[3] ^= 1;
            EVP_PKEY_CTX_free(pctx);
        }
    }
    ERR_clear_error();
    EVP_PKEY_free(pkeys[0]);
    EVP_PKEY_free(pkeys[1]);
}

/* A verification begins anew with a NULL key as a signature does. */
static void test_null_key_begins_a_verification_anew(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = fixture_key(ctx, keys[i].name);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = fixture_sign(ctx, key, keys[i].md, sig);
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();

        assert_int_equal(EVP_DigestVerifyInit_ex(mctx, NULL, keys[i].md, ctx,
                                                 NULL, key, NULL),
                         1);
        for (int n = 0; n < 2; n++) {
            assert_int_equal(EVP_DigestVerify(mctx, sig, len, fixture_message,
                                              fixture_message_len),
                             1);
            assert_int_equal(EVP_DigestVerifyInit_ex(mctx, NULL, keys[i].md,
                                                     ctx, NULL, NULL, NULL),
                             1);
        }
        EVP_MD_CTX_free(mctx);
        EVP_PKEY_free(key);
    }
}

/* An unsigned certificate for the key, by the key. */
static X509 *certificate_for(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    X509 *cert = X509_new_ex(libctx, NULL);
    X509_NAME *name = X509_NAME_new();
    static const unsigned char cn[] = "key";

    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, cn, -1, -1, 0),
        1);
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    X509_NAME_free(name);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    return cert;
}

/* 1: it verifies when it is read again without us; else what failed. */
static int sign_and_verify(OSSL_LIB_CTX *libctx, EVP_PKEY *key, size_t i)
{
    X509 *cert = certificate_for(libctx, key);
    X509 *read = X509_new_ex(fixture_software(), NULL);
    EVP_PKEY *public = fixture_public(keys[i].name);
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    unsigned char *der = NULL;
    const unsigned char *p = NULL;
    int result = -9, len = 0;

    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, keys[i].md, libctx, NULL, key, NULL),
        1);
    if (keys[i].pad != NULL)
        assert_true(
            EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", keys[i].pad) > 0);
    if (X509_sign_ctx(cert, mctx) > 0) {
        len = i2d_X509(cert, &der);
        p = der;
        assert_non_null(d2i_X509(&read, &p, len));
        assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(read), public), 1);
        assert_int_equal(X509_check_private_key(read, key), 1);
        result = X509_verify(read, public);
    }
    OPENSSL_free(der);
    EVP_MD_CTX_free(mctx);
    EVP_PKEY_free(public);
    X509_free(read);
    X509_free(cert);
    return result;
}

/* What libcrypto's X.509 does not know, it does not know of us either. */
static void test_certificate_is_signed_in_memory(void **state)
{
    int good = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = fixture_key(ctx, keys[i].name);
        EVP_PKEY *twin = fixture_twin(keys[i].name);
        int expected = sign_and_verify(fixture_software(), twin, i);

        assert_int_equal(sign_and_verify(ctx, key, i), expected);
        good += expected == 1;
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
    }
    assert_in_range(good, 7, COUNT(keys));
    ERR_clear_error();
}

/* EVP_get_digestbyname() of older ones takes the latter for digests' names. */
static void test_names_of_signatures_are_what_this_openssl_fetches(void **state)
{
    static const char *const names[] = { "HSMSIGN", "RSA-SHA256",
                                         "ECDSA-SHA256", "ED25519" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_SIGNATURE *alg =
            EVP_SIGNATURE_fetch(ctx, names[i], "provider=hsmsign");

        assert_int_equal(alg != NULL, i == 0 || fixture_is_openssl(3, 4));
        EVP_SIGNATURE_free(alg);
    }
    assert_ptr_equal(EVP_get_digestbyname("RSA-SHA256"), EVP_sha256());
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_belongs_to_us_and_can_sign),
        cmocka_unit_test(test_ec_key_is_encoded_as_in_software),
        cmocka_unit_test(test_evp_sign_and_evp_verify),
        cmocka_unit_test(test_copied_context_signs_and_verifies),
        cmocka_unit_test(test_what_was_signed_is_recovered),
        cmocka_unit_test(test_null_key_begins_a_verification_anew),
        cmocka_unit_test(test_certificate_is_signed_in_memory),
        cmocka_unit_test(
            test_names_of_signatures_are_what_this_openssl_fetches),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/evp", tests, setup, teardown);
}
