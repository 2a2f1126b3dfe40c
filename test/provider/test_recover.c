/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/recover: of the keys that a signature tells, one is the key that
 * made it; a second signature says which.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>
#include "provider/recover.h"

static const char *const curves[] = {
    "P-224",           "P-256",           "P-384",
    "P-521",           "secp256k1",       "brainpoolP256r1",
    "brainpoolP384r1", "brainpoolP512r1", "brainpoolP256t1",
};

static const char *const digests[] = { "SHA1", "SHA256", "SHA512" };

static size_t sign(EVP_PKEY *key, const unsigned char *digest, size_t len,
                   unsigned char *sig, size_t size)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, sig, &size, digest, len), 1);
    EVP_PKEY_CTX_free(ctx);
    return size;
}

static int verifies(EVP_PKEY *key, const unsigned char *digest, size_t len,
                    const unsigned char *sig, size_t siglen)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int ok;

    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    ok = EVP_PKEY_verify(ctx, sig, siglen, digest, len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* The number of keys that are told, all of which verify; *right: the key's. */
static size_t recover(EVP_PKEY *key, const char *md, const char *text,
                      size_t *right)
{
    EVP_PKEY *pkeys[PROV_RECOVER_MAX];
    unsigned char digest[64], sig[160];
    size_t len, siglen, count;

    assert_int_equal(
        EVP_Q_digest(NULL, md, NULL, text, strlen(text), digest, &len), 1);
    siglen = sign(key, digest, len, sig, sizeof(sig));
    count =
        prov_ecdsa_recover(NULL, NULL, key, digest, len, sig, siglen, pkeys);
    *right = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(verifies(pkeys[i], digest, len, sig, siglen));
        if (EVP_PKEY_eq(pkeys[i], key) == 1)
            (*right)++;
        EVP_PKEY_free(pkeys[i]);
    }
    return count;
}

static void test_signature_tells_the_key_that_made_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        EVP_PKEY *key = EVP_EC_gen(curves[i]);

        assert_non_null(key);
        for (size_t j = 0; j < sizeof(digests) / sizeof(digests[0]); j++) {
            size_t right, count = recover(key, digests[j], "a text", &right);

            assert_in_range(count, 2, PROV_RECOVER_MAX);
            assert_int_equal(right, 1);
        }
        EVP_PKEY_free(key);
    }
}

static void test_what_is_no_signature_tells_nothing(void **state)
{
    static const unsigned char zero[] = { 0x30, 6, 2, 1, 0, 2, 1, 1 };
    static const unsigned char negative[] = { 0x30, 6, 2, 1, 0xff, 2, 1, 1 };
    static const unsigned char cut[] = { 0x30, 6, 2, 1, 1 };
    static const struct {
        const unsigned char *sig;
        size_t len;
    } rows[] = {
        { zero, sizeof(zero) },
        { negative, sizeof(negative) },
        { cut, sizeof(cut) },
        { (const unsigned char *)"", 0 },
    };
    EVP_PKEY *key = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(1024);
    EVP_PKEY *pkeys[PROV_RECOVER_MAX];
    unsigned char digest[32] = { 1 };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(prov_ecdsa_recover(NULL, NULL, key, digest,
                                            sizeof(digest), rows[i].sig,
                                            rows[i].len, pkeys),
                         0);
    assert_int_equal(prov_ecdsa_recover(NULL, NULL, rsa, digest, sizeof(digest),
                                        zero, sizeof(zero), pkeys),
                     0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(rsa);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature_tells_the_key_that_made_it),
        cmocka_unit_test(test_what_is_no_signature_tells_nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("provider/recover", tests, NULL, NULL);
}
