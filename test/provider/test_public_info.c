/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An RSA key of which the token tells CKA_PUBLIC_KEY_INFO alone: without a
 * modulus that could be compared, or that could be measured beforehand.
 */
#include "fake_fixture.h"
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static EVP_PKEY *held; /* by the token */

static CK_RV sign(struct fake *fake, const struct fake_object *key,
                  const CK_MECHANISM *mechanism, const unsigned char *data,
                  size_t len, unsigned char *sig, size_t *siglen)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(held, NULL);
    bool ok = false;

    (void)fake;
    (void)key;
    *siglen = FAKE_MAX_SIGNATURE;
    ok = mechanism->mechanism == CKM_RSA_PKCS && EVP_PKEY_sign_init(ctx) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
         EVP_PKEY_sign(ctx, sig, siglen, data, len) > 0;
    EVP_PKEY_CTX_free(ctx);
    return ok ? CKR_OK : CKR_MECHANISM_INVALID;
}

/* The private object "info", with that as its CKA_PUBLIC_KEY_INFO. */
static struct fake_pair add(struct fake *fake, const EVP_PKEY *public)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(public, &der);
    struct fake_pair pair;

    assert_true(len > 0);
    pair = fake_add_key(
        fake, 0,
        &(struct fake_key){ .type = CKK_RSA,
                            .label = "info",
                            .id = { (const unsigned char *)"\x09", 1 },
                            .info = { der, (size_t)len },
                            .no_public = true });
    OPENSSL_free(der);
    return pair;
}

static void test_key_without_a_modulus_is_known_by_its_signature(void **state)
{
    EVP_PKEY *first = EVP_RSA_gen(2048), *second = EVP_RSA_gen(2048);
    struct fake *fake = fake_fixture();
    unsigned char sig[FIXTURE_SIGNATURE_MAX], *der = NULL;
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    struct fake_pair pair;
    int len;

    (void)state;
    fake->sign = sign;
    held = first;
    pair = add(fake, first);
    ctx = fake_context("");
    key = fake_key(ctx, "info");
    assert_true(fixture_signs(ctx, key, first));
    fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_true(fixture_signs(ctx, key, first));
    held = second;
    len = i2d_PUBKEY(second, &der);
    fake_set_attribute(fake, pair.private_key, CKA_PUBLIC_KEY_INFO, der,
                       (size_t)len);
    fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
        fixture_assert_error(0, "the URI now names another key", "info", NULL);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
}

/* A public key; that nobody knows its factors does no harm here. */
static EVP_PKEY *of_bits(const char *type, int bits)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    BIGNUM *n = BN_new(), *e = BN_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    assert_int_equal(BN_set_word(e, RSA_F4), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, "n", n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, "e", e), 1);
    params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params),
                     1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

/* As CKA_MODULUS; there is room for 16,384 bits where PSS is padded here. */
static void test_modulus_that_is_too_short_or_long_is_not_loaded(void **state)
{
    static const struct {
        const char *type;
        int bits;
        bool loads;
    } rows[] = {
        { "RSA", 504, false },       { "RSA", 512, true },
        { "RSA", 16384, true },      { "RSA", 16392, false },
        { "RSA", 96000, false },     { "RSA-PSS", 504, false },
        { "RSA-PSS", 512, true },    { "RSA-PSS", 16384, true },
        { "RSA-PSS", 16392, false }, { "RSA-PSS", 96000, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake *fake = fake_fixture();
        EVP_PKEY *public = of_bits(rows[i].type, rows[i].bits), *key = NULL;
        OSSL_LIB_CTX *ctx = NULL;

        (void)add(fake, public);
        ctx = fake_context("");
        key = fixture_load(ctx, FAKE_URI "info");
        if ((key != NULL) != rows[i].loads)
            fail_msg("%s %d", rows[i].type, rows[i].bits);
        if (key == NULL)
            fixture_assert_error(1, "the key's type or curve is not handled",
                                 "info", NULL);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
        OSSL_LIB_CTX_free(ctx);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_without_a_modulus_is_known_by_its_signature),
        cmocka_unit_test(test_modulus_that_is_too_short_or_long_is_not_loaded),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/public_info", tests, NULL,
                                       NULL);
}
