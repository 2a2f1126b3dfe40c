/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/pss: what is padded here and then signed without padding verifies
 * as RSA-PSS, for moduli of any number of bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>
#include "provider/pss.h"

/* (bits - 1) modulo 8: 7, 0, 1, 6 */
static const unsigned moduli[] = { 1024, 1025, 1026, 1031 };

static const struct {
    const char *md, *mgf1;
    size_t size;
} digests[] = {
    { "SHA1", "SHA1", 20 },
    { "SHA256", "SHA256", 32 },
    { "SHA256", "SHA1", 32 },
    { "SHA1", "SHA512", 20 },
    { "SHA3-256", "SHA3-256", 32 },
    { "SHA3-384", "SHA256", 48 },
    { "SHA2-512/256", "SHA2-512/256", 32 },
};

static size_t raw_sign(EVP_PKEY *key, const unsigned char *block, size_t len,
                       unsigned char *sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t siglen = len;

    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, sig, &siglen, block, len), 1);
    EVP_PKEY_CTX_free(ctx);
    return siglen;
}

static void verify(EVP_PKEY *key, const char *md, const char *mgf1,
                   size_t salt_len, const unsigned char *digest, size_t len,
                   const unsigned char *sig, size_t siglen)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING),
                     1);
    assert_int_equal(EVP_PKEY_CTX_ctrl_str(ctx, "digest", md), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, mgf1, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)salt_len), 1);
    assert_int_equal(EVP_PKEY_verify(ctx, sig, siglen, digest, len), 1);
    EVP_PKEY_CTX_free(ctx);
}

static void pad_and_verify(EVP_PKEY *key, unsigned bits, size_t row,
                           size_t salt_len)
{
    EVP_MD *md = EVP_MD_fetch(NULL, digests[row].md, NULL);
    EVP_MD *mgf1 = EVP_MD_fetch(NULL, digests[row].mgf1, NULL);
    unsigned char digest[64], block[256], sig[256];
    size_t len = (bits + 7) / 8;

    memset(digest, 0x5a, sizeof(digest));
    assert_int_equal(
        prov_pss_pad(NULL, md, mgf1, digest, salt_len, bits, block), 1);
    verify(key, digests[row].md, digests[row].mgf1, salt_len, digest,
           digests[row].size, sig, raw_sign(key, block, len, sig));
    EVP_MD_free(md);
    EVP_MD_free(mgf1);
}

static void test_padded_here_verifies_elsewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(moduli) / sizeof(moduli[0]); i++) {
        EVP_PKEY *key = EVP_RSA_gen(moduli[i]);
        size_t em_len = (moduli[i] - 1 + 7) / 8;

        assert_non_null(key);
        for (size_t row = 0; row < sizeof(digests) / sizeof(digests[0]);
             row++) {
            pad_and_verify(key, moduli[i], row, 0);
            pad_and_verify(key, moduli[i], row, digests[row].size);
            pad_and_verify(key, moduli[i], row, em_len - digests[row].size - 2);
        }
        EVP_PKEY_free(key);
    }
}

static void test_salt_without_room_is_refused(void **state)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA512", NULL);
    unsigned char digest[64] = { 0 }, block[128];

    (void)state;
    assert_int_equal(prov_pss_pad(NULL, md, md, digest, 62, 1024, block), 1);
    assert_int_equal(prov_pss_pad(NULL, md, md, digest, 63, 1024, block), 0);
    assert_int_equal(prov_pss_pad(NULL, md, md, digest, 0, 512, block), 0);
    EVP_MD_free(md);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_padded_here_verifies_elsewhere),
        cmocka_unit_test(test_salt_without_room_is_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("provider/pss", tests, NULL, NULL);
}
