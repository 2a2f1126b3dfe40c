/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/encoder: a key is written as the PEM file that names it, which is
 * read back as the same key; the public half as other providers write it.
 */
#include "fixture.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

static const char *const names[] = { "rsa2048", "p256",  "p521",
                                     "ed25519", "ed448", "p256-cert" };

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

static char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = OPENSSL_strndup(data, (size_t)len);

    assert_non_null(text);
    BIO_free(bio);
    return text;
}

static void test_private_key_is_written_as_its_wrapped_uri(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]), *again;
        EVP_PKEY *public = fixture_public(names[i]);
        BIO *bio = BIO_new(BIO_s_mem());
        char *data;

        assert_int_equal(
            PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        assert_true(BIO_get_mem_data(bio, &data) > 0);
        assert_memory_equal(data, "-----BEGIN PKCS#11 PROVIDER URI-----", 36);
        again = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
        assert_non_null(again);
        assert_int_equal(EVP_PKEY_eq(key, again), 1);
        assert_true(fixture_signs(ctx, again, public));
        EVP_PKEY_free(public);
        EVP_PKEY_free(again);
        EVP_PKEY_free(key);
        BIO_free(bio);
    }
}

static void test_text_shows_type_size_and_uri_without_pin(void **state)
{
    EVP_PKEY *key = fixture_load(ctx, FIXTURE_URI "rsa3072?pin-value=1234");
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    (void)state;
    assert_non_null(key);
    assert_int_equal(EVP_PKEY_print_private(bio, key, 0, NULL), 1);
    text = text_of(bio);
    assert_non_null(strstr(text, "(RSA, 3072 bit)\nURI: pkcs11:token=demo;"));
    assert_non_null(strstr(text, ";object=rsa3072;type=private;id=%11\n"));
    assert_non_null(strstr(text, "Public-Key: (3072 bit)"));
    assert_null(strstr(text, "1234"));
    assert_null(strstr(text, "pin"));
    OPENSSL_free(text);
    EVP_PKEY_free(key);
}

static void test_public_half_is_written_as_by_the_default_provider(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]);
        EVP_PKEY *public = fixture_public(names[i]);
        BIO *ours = BIO_new(BIO_s_mem()), *theirs = BIO_new(BIO_s_mem());
        char *text, *expected;

        assert_int_equal(PEM_write_bio_PUBKEY(ours, key), 1);
        assert_int_equal(PEM_write_bio_PUBKEY(theirs, public), 1);
        assert_int_equal(EVP_PKEY_print_public(ours, key, 0, NULL), 1);
        assert_int_equal(EVP_PKEY_print_public(theirs, public, 0, NULL), 1);
        text = text_of(ours);
        expected = text_of(theirs);
        assert_string_equal(text, expected);
        OPENSSL_free(text);
        OPENSSL_free(expected);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_key_is_written_as_its_wrapped_uri),
        cmocka_unit_test(test_text_shows_type_size_and_uri_without_pin),
        cmocka_unit_test(
            test_public_half_is_written_as_by_the_default_provider),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/encoder", tests, setup,
                                       teardown);
}
