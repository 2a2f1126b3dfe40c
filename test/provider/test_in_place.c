/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVP_PKEY_sign() whose signature goes where the digest is: what is signed is
 * still known when it is signed again, verified or logged.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DIGEST = 32 };

static const unsigned char digest[DIGEST] = "what is signed, in place, twice";
static fake_sign_fn *right;
static unsigned failures; /* that are to come */

/* Writes over its output, and fails. */
static CK_RV scribble(struct fake *fake, const struct fake_object *key,
                      const CK_MECHANISM *mechanism, const unsigned char *data,
                      size_t len, unsigned char *sig, size_t *siglen)
{
    CK_RV rv = right(fake, key, mechanism, data, len, sig, siglen);

    if (rv != CKR_OK || failures == 0)
        return rv;
    failures--;
    memset(sig, 0x42, *siglen);
    return CKR_FUNCTION_FAILED;
}

/* at: where in the buffer the signature goes, and from where it is made. */
static void sign_in_place(OSSL_LIB_CTX *ctx, const char *name, size_t to,
                          size_t from)
{
    EVP_PKEY *key = fake_key(ctx, name), *public = fixture_public(name);
    EVP_PKEY_CTX *signer = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    EVP_PKEY_CTX *verifier =
        EVP_PKEY_CTX_new_from_pkey(fixture_software(), public, NULL);
    unsigned char buf[FIXTURE_SIGNATURE_MAX + 64] = { 0 };
    size_t len = FIXTURE_SIGNATURE_MAX;
    bool rsa = strncmp(name, "rsa", 3) == 0;

    memcpy(buf + from, digest, DIGEST);
    assert_int_equal(EVP_PKEY_sign_init(signer), 1);
    assert_int_equal(EVP_PKEY_verify_init(verifier), 1);
    if (rsa) {
        assert_true(EVP_PKEY_CTX_set_signature_md(signer, EVP_sha256()) > 0);
        assert_true(EVP_PKEY_CTX_set_signature_md(verifier, EVP_sha256()) > 0);
    }
    if (EVP_PKEY_sign(signer, buf + to, &len, buf + from, DIGEST) != 1) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s is not signed", name);
    }
    assert_int_equal(EVP_PKEY_verify(verifier, buf + to, len, digest, DIGEST),
                     1);
    EVP_PKEY_CTX_free(signer);
    EVP_PKEY_CTX_free(verifier);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

static void sign_all(OSSL_LIB_CTX *ctx)
{
    static const char *const names[] = { "rsa2048", "p256" };

    for (size_t i = 0; i < COUNT(names); i++) {
        sign_in_place(ctx, names[i], 0, 0);
        sign_in_place(ctx, names[i], 16, 0);
        sign_in_place(ctx, names[i], 0, 48);
    }
}

static void test_signature_in_place_is_right(void **state)
{
    static const char *const options[] = { "", "hsmsign-verify = on\n" };

    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        OSSL_LIB_CTX *ctx = NULL;

        (void)fake_fixture();
        ctx = fake_context(options[i]);
        sign_all(ctx);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_signature_in_place_is_made_again_of_the_same(void **state)
{
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("hsmsign-deadline = 60000\n");

    (void)state;
    right = fake->sign;
    fake->sign = scribble;
    for (unsigned i = 1; i < 4; i++) {
        failures = i;
        sign_in_place(ctx, "p256", 0, 0);
        failures = i;
        sign_in_place(ctx, "rsa2048", 8, 0);
    }
    OSSL_LIB_CTX_free(ctx);
}

static void test_hash_in_the_log_is_of_what_was_signed(void **state)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char path[256], option[300], wanted[100], line[2048];
    OSSL_LIB_CTX *ctx = NULL;
    size_t lines = 0;
    FILE *file;

    (void)state;
    (void)fake_fixture();
    fixture_write(path, "in-place", "");
    assert_int_equal(unlink(path), 0);
    (void)snprintf(option, sizeof(option), "hsmsign-audit = file:%s\n", path);
    ctx = fake_context(option);
    sign_all(ctx);
    OSSL_LIB_CTX_free(ctx);
    assert_int_equal(
        EVP_Q_digest(NULL, "SHA256", NULL, digest, DIGEST, hash, NULL), 1);
    (void)snprintf(wanted, sizeof(wanted), "\"data_sha256\":\"");
    for (size_t i = 0; i < sizeof(hash); i++)
        (void)snprintf(wanted + 15 + 2 * i, 3, "%02x", hash[i]);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_non_null(strstr(line, wanted));
        lines++;
    }
    fclose(file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(lines, 6);
}

/* Nothing is where the signature goes, wherever its pointer points. */
static void test_empty_message_within_the_signature_is_signed(void **state)
{
    static const size_t from[] = { 0, 1, 63 };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *key = fixture_key(ctx, "ed25519");
    EVP_PKEY *public = fixture_public("ed25519");
    unsigned char buf[64];

    (void)state;
    for (size_t i = 0; i < COUNT(from); i++) {
        EVP_MD_CTX *signer = EVP_MD_CTX_new(), *verifier = EVP_MD_CTX_new();
        size_t len = sizeof(buf);

        assert_int_equal(
            EVP_DigestSignInit_ex(signer, NULL, NULL, ctx, NULL, key, NULL), 1);
        assert_int_equal(EVP_DigestSign(signer, buf, &len, buf + from[i], 0),
                         1);
        assert_int_equal(EVP_DigestVerifyInit_ex(verifier, NULL, NULL,
                                                 fixture_software(), NULL,
                                                 public, NULL),
                         1);
        assert_int_equal(
            EVP_DigestVerify(verifier, buf, len, (unsigned char *)"", 0), 1);
        EVP_MD_CTX_free(signer);
        EVP_MD_CTX_free(verifier);
    }
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature_in_place_is_right),
        cmocka_unit_test(test_signature_in_place_is_made_again_of_the_same),
        cmocka_unit_test(test_hash_in_the_log_is_of_what_was_signed),
        cmocka_unit_test(test_empty_message_within_the_signature_is_signed),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/in_place", tests, NULL, NULL);
}
