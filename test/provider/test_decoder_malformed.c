/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/decoder: what is not exactly a wrapped URI is refused, whatever is
 * wrong with it, and never crashes; AddressSanitizer watches.
 */
#include "wrap.h"
#include <openssl/err.h>

static OSSL_LIB_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static EVP_PKEY *read_der(const struct der *der)
{
    BIO *bio = pem(LABEL, der);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);

    BIO_free(bio);
    return key;
}

static void assert_refused(const struct der *der)
{
    EVP_PKEY *key = read_der(der);

    if (key != NULL)
        fail_msg("taken for a key: %.*s", (int)der->len, der->bytes);
    assert_int_not_equal(ERR_peek_error(), 0);
    ERR_clear_error();
}

static void test_malformed_blocks_are_refused(void **state)
{
    static const struct {
        const char *version, *uri;
        unsigned char tag1, tag2;
    } rows[] = {
        { "PKCS#11 Provider URI v1.1", P256, VISIBLE_STRING, UTF8_STRING },
        { "PKCS#11 Provider URI v1.0 ", P256, VISIBLE_STRING, UTF8_STRING },
        { "PKCS#11 Provider URI v1", P256, VISIBLE_STRING, UTF8_STRING },
        { "", P256, VISIBLE_STRING, UTF8_STRING },
        { VERSION, P256, UTF8_STRING, UTF8_STRING },
        { VERSION, P256, 0x13, UTF8_STRING }, /* PrintableString */
        { VERSION, P256, VISIBLE_STRING, VISIBLE_STRING },
        { VERSION, P256, VISIBLE_STRING, 0x04 }, /* OCTET STRING */
        { VERSION, P256, VISIBLE_STRING, 0x8c }, /* not universal */
        { VERSION, P256, VISIBLE_STRING, 0x2c }, /* constructed */
        { VERSION, "", VISIBLE_STRING, UTF8_STRING },
        { VERSION, "file:/etc/passwd", VISIBLE_STRING, UTF8_STRING },
        { VERSION, " " P256, VISIBLE_STRING, UTF8_STRING },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct der der;

        wrap(&der, rows[i].version, rows[i].tag1, rows[i].tag2, rows[i].uri,
             strlen(rows[i].uri));
        assert_refused(&der);
    }
}

static void test_primitive_sequence_is_refused(void **state)
{
    struct der der;

    (void)state;
    wrap_good(&der, P256);
    der.bytes[0] = SEQUENCE & ~0x20;
    assert_refused(&der);
}

/* A NUL would make two readers see two URIs. */
static void test_nul_in_the_uri_is_refused(void **state)
{
    static const char uris[][48] = { P256 "\0;type=cert", P256 "\0",
                                     "\0" P256 };
    static const size_t lengths[] = { sizeof(P256) + 9, sizeof(P256),
                                      sizeof(P256) };

    (void)state;
    for (size_t i = 0; i < COUNT(uris); i++) {
        struct der der;

        wrap(&der, VERSION, VISIBLE_STRING, UTF8_STRING, uris[i], lengths[i]);
        assert_refused(&der);
    }
}

static void test_truncated_blocks_are_refused(void **state)
{
    struct der der;

    (void)state;
    wrap_good(&der, P256);
    for (; der.len > 1; der.len--) {
        struct der cut = der;

        cut.len--;
        assert_refused(&cut);
    }
}

static void test_trailing_bytes_are_refused(void **state)
{
    struct der der, inside = { .len = 0 }, outside = { .len = 0 };

    (void)state;
    wrap_good(&der, P256);
    der.bytes[der.len++] = 0;
    assert_refused(&der);
    wrap_good(&der, P256);
    put(&der, UTF8_STRING, "x", 1);
    assert_refused(&der);
    put(&inside, VISIBLE_STRING, VERSION, strlen(VERSION));
    put(&inside, UTF8_STRING, P256, strlen(P256));
    put(&inside, UTF8_STRING, "x", 1);
    put(&outside, SEQUENCE, inside.bytes, inside.len);
    assert_refused(&outside);
}

/* X.690, 8.1.3.6: an end that is marked instead of counted is not DER. */
static void test_indefinite_length_is_refused(void **state)
{
    struct der der = { .len = 2, .bytes = { SEQUENCE, 0x80 } };

    (void)state;
    put(&der, VISIBLE_STRING, VERSION, strlen(VERSION));
    put(&der, UTF8_STRING, P256, strlen(P256));
    der.bytes[der.len++] = 0;
    der.bytes[der.len++] = 0;
    assert_refused(&der);
}

static void test_uri_that_is_too_long_is_refused(void **state)
{
    static char uri[10000];
    struct der der;

    (void)state;
    memset(uri, '/', sizeof(uri) - 1);
    memcpy(uri, P256 "?pin-source=", sizeof(P256 "?pin-source=") - 1);
    wrap_good(&der, uri);
    assert_refused(&der);
}

/* What comes out is the named key, or no key; whatever one bit does. */
static void test_no_flipped_bit_makes_another_key(void **state)
{
    EVP_PKEY *public = fixture_public("p256");
    struct der der;

    (void)state;
    wrap_good(&der, P256);
    for (size_t i = 0; i < 8 * der.len; i++) {
        struct der flipped = der;
        EVP_PKEY *key = NULL;

        flipped.bytes[i / 8] ^= (unsigned char)(1U << i % 8);
        key = read_der(&flipped);
        if (key != NULL) /* "PKCS11:", say */
            assert_int_equal(EVP_PKEY_eq(key, public), 1);
        EVP_PKEY_free(key);
        ERR_clear_error();
    }
    EVP_PKEY_free(public);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_blocks_are_refused),
        cmocka_unit_test(test_primitive_sequence_is_refused),
        cmocka_unit_test(test_nul_in_the_uri_is_refused),
        cmocka_unit_test(test_truncated_blocks_are_refused),
        cmocka_unit_test(test_trailing_bytes_are_refused),
        cmocka_unit_test(test_indefinite_length_is_refused),
        cmocka_unit_test(test_uri_that_is_too_long_is_refused),
        cmocka_unit_test(test_no_flipped_bit_makes_another_key),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/decoder, malformed", tests,
                                       setup, teardown);
}
