/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/sign through EVP_PKEY_sign: raw values and digests that the caller
 * made, sizes, buffers that are too small, and what is refused.  The default
 * provider with the software twin is the measure throughout.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

/* Not a digest of anything; as a number it is less than any modulus here. */
static const unsigned char digest[512] =
    "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDE";

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

static EVP_PKEY_CTX *begin(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *md,
                           int pad)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);

    assert_non_null(pctx);
    assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
    if (md != NULL)
        assert_int_equal(EVP_PKEY_CTX_ctrl_str(pctx, "digest", md), 1);
    if (pad != 0)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, pad), 1);
    return pctx;
}

static int verify(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *md, int pad,
                  const unsigned char *sig, size_t siglen, size_t len)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    int ok = 0;

    assert_non_null(pctx);
    assert_int_equal(EVP_PKEY_verify_init(pctx), 1);
    if (pad != 0)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, pad), 1);
    if (md != NULL)
        assert_int_equal(EVP_PKEY_CTX_ctrl_str(pctx, "digest", md), 1);
    ok = EVP_PKEY_verify(pctx, sig, siglen, digest, len);
    EVP_PKEY_CTX_free(pctx);
    return ok;
}

/* What EVP_PKEY_sign takes: len bytes, which are an md's if that is set. */
static const struct {
    const char *name, *md;
    int pad;
    size_t len;
} rows[] = {
    { "rsa2048", NULL, RSA_PKCS1_PADDING, 32 },
    { "rsa2048", NULL, RSA_PKCS1_PADDING, 1 },
    { "rsa2048", NULL, 0, 51 },
    { "rsa3072", "SHA256", RSA_PKCS1_PADDING, 32 },
    { "rsa4096", "SHA512", RSA_PKCS1_PADDING, 64 },
    { "rsa2048", "SHA1", RSA_PKCS1_PADDING, 20 },
    { "rsa2048", "SHA3-256", RSA_PKCS1_PADDING, 32 },
    { "rsa2048", "SHA256", RSA_PKCS1_PSS_PADDING, 32 },
    { "rsa4096", "SHA384", RSA_PKCS1_PSS_PADDING, 48 },
    { "rsa2048", NULL, RSA_NO_PADDING, 256 },
    { "rsa4096", NULL, RSA_NO_PADDING, 512 },
    { "p256", NULL, 0, 32 },
    { "p256", NULL, 0, 20 },
    { "p256", NULL, 0, 1 },
    { "p256", NULL, 0, 64 }, /* the leftmost 32 count */
    { "p256", "SHA256", 0, 32 },
    { "p256", "SHA512", 0, 64 },
    { "p384", "SHA512", 0, 64 },
    { "p521", NULL, 0, 64 },
    { "p521", "SHA1", 0, 20 },
    { "p224", "SHA512", 0, 64 }, /* the leftmost 28 count */
    { "secp256k1", "SHA256", 0, 32 },
    { "brainpool512", "SHA512", 0, 64 },
};

static void test_raw_values_and_digests_are_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_PKEY *key = fixture_key(ctx, rows[i].name);
        EVP_PKEY *public = fixture_public(rows[i].name);
        EVP_PKEY_CTX *pctx = begin(ctx, key, rows[i].md, rows[i].pad);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);

        assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, digest, rows[i].len),
                         1);
        assert_int_equal(verify(fixture_software(), public, rows[i].md,
                                rows[i].pad, sig, len, rows[i].len),
                         1);
        assert_int_equal(
            verify(ctx, key, rows[i].md, rows[i].pad, sig, len, rows[i].len),
            1);
        sig[len / 2] ^= 1;
        assert_int_not_equal(
            verify(ctx, key, rows[i].md, rows[i].pad, sig, len, rows[i].len),
            1);
        EVP_PKEY_CTX_free(pctx);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
        ERR_clear_error();
    }
}

static void test_raw_rsa_is_byte_for_byte_the_twins(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_PKEY *key = fixture_key(ctx, rows[i].name);
        EVP_PKEY *twin = fixture_twin(rows[i].name);
        EVP_PKEY_CTX *ours = begin(ctx, key, rows[i].md, rows[i].pad);
        EVP_PKEY_CTX *twins =
            begin(fixture_software(), twin, rows[i].md, rows[i].pad);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        unsigned char expected[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig), expected_len = sizeof(expected);

        if (rows[i].pad == RSA_PKCS1_PADDING || rows[i].pad == RSA_NO_PADDING) {
            assert_int_equal(
                EVP_PKEY_sign(ours, sig, &len, digest, rows[i].len), 1);
            assert_int_equal(EVP_PKEY_sign(twins, expected, &expected_len,
                                           digest, rows[i].len),
                             1);
            assert_int_equal(len, expected_len);
            assert_memory_equal(sig, expected, len);
        }
        EVP_PKEY_CTX_free(ours);
        EVP_PKEY_CTX_free(twins);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
    }
}

/* The default provider refuses the same. */
static const struct {
    const char *name, *md;
    int pad;
    size_t len;
    const char *reason, *word;
} refused[] = {
    { "rsa2048", "SHA256", RSA_PKCS1_PADDING, 31,
      "the key cannot sign this digest or length", "31" },
    { "rsa2048", "SHA256", RSA_PKCS1_PADDING, 33,
      "the key cannot sign this digest or length", "33" },
    { "rsa2048", "SHA256", RSA_PKCS1_PADDING, 0,
      "the key cannot sign this digest or length", "SHA2-256" },
    { "rsa2048", "SHA384", RSA_PKCS1_PSS_PADDING, 32,
      "the key cannot sign this digest or length", "SHA2-384" },
    { "rsa2048", NULL, RSA_NO_PADDING, 255,
      "the key cannot sign this digest or length", "256" },
    { "rsa2048", NULL, RSA_NO_PADDING, 257,
      "the key cannot sign this digest or length", "256" },
    { "p256", "SHA256", 0, 20, "the key cannot sign this digest or length",
      "20" },
    { "p384", "SHA256", 0, 48, "the key cannot sign this digest or length",
      "48" },
};

static void test_wrong_length_is_refused_with_the_key_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        EVP_PKEY *key = fixture_key(ctx, refused[i].name);
        EVP_PKEY *twin = fixture_twin(refused[i].name);
        EVP_PKEY_CTX *ours = begin(ctx, key, refused[i].md, refused[i].pad);
        EVP_PKEY_CTX *twins =
            begin(fixture_software(), twin, refused[i].md, refused[i].pad);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);

        assert_int_not_equal(
            EVP_PKEY_sign(twins, sig, &len, digest, refused[i].len), 1);
        ERR_clear_error();
        len = sizeof(sig);
        assert_int_not_equal(
            EVP_PKEY_sign(ours, sig, &len, digest, refused[i].len), 1);
        fixture_assert_error(0, refused[i].reason, refused[i].word, "demo",
                             refused[i].name, NULL);
        EVP_PKEY_CTX_free(ours);
        EVP_PKEY_CTX_free(twins);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
    }
}

/* In either order; the default provider refuses the same. */
static void test_no_padding_goes_with_no_digest(void **state)
{
    EVP_PKEY *keys[] = { fixture_key(ctx, "rsa2048"), fixture_twin("rsa2048") };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        EVP_PKEY_CTX *pctx =
            begin(i < 2 ? ctx : fixture_software(), keys[i / 2], NULL, 0);
        const char *const names[] = { "digest", "rsa_padding_mode" };
        const char *const values[] = { "SHA256", "none" };

        assert_int_equal(
            EVP_PKEY_CTX_ctrl_str(pctx, names[i % 2], values[i % 2]), 1);
        assert_true(EVP_PKEY_CTX_ctrl_str(pctx, names[1 - i % 2],
                                          values[1 - i % 2]) <= 0);
        if (i < 2)
            fixture_assert_error(0, "a parameter is not taken",
                                 "rsa_padding_mode", NULL);
        ERR_clear_error();
        EVP_PKEY_CTX_free(pctx);
    }
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}

/* RFC 8017, 9.2: eleven bytes of the modulus are padding. */
static void test_rsa_takes_all_that_fits_and_no_more(void **state)
{
    unsigned char in[256] = { 1 }, sig[FIXTURE_SIGNATURE_MAX];
    EVP_PKEY *key = fixture_key(ctx, "rsa2048");
    EVP_PKEY_CTX *pctx = begin(ctx, key, NULL, RSA_PKCS1_PADDING);
    size_t len = sizeof(sig);

    (void)state;
    assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, in, 245), 1);
    len = sizeof(sig);
    assert_int_not_equal(EVP_PKEY_sign(pctx, sig, &len, in, 246), 1);
    fixture_assert_error(0, "the key cannot sign this digest or length", "246",
                         NULL);
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(key);
}

static void test_pss_wants_a_digest(void **state)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    EVP_PKEY *key = fixture_key(ctx, "rsa2048");
    EVP_PKEY_CTX *pctx = begin(ctx, key, NULL, RSA_PKCS1_PSS_PADDING);
    size_t len = sizeof(sig);

    (void)state;
    assert_int_not_equal(EVP_PKEY_sign(pctx, sig, &len, digest, 32), 1);
    fixture_assert_error(0, "the key cannot sign this digest or length", "PSS",
                         NULL);
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(key);
}

/* The longest DER of r and s: exact, or callers cut or waste. */
static const struct {
    const char *name;
    size_t size;
    bool exact; /* each signature has it */
} sizes[] = {
    { "rsa2048", 256, true },       { "rsa3072", 384, true },
    { "rsa4096", 512, true },       { "p256", 72, false },
    { "p384", 104, false },         { "p521", 139, false },
    { "ed25519", 64, true },        { "ed448", 114, true },
    { "p224", 64, false },          { "secp256k1", 72, false },
    { "brainpool256", 72, false },  { "brainpool384", 104, false },
    { "brainpool512", 137, false },
};

static EVP_MD_CTX *begin_digest(EVP_PKEY *key)
{
    const char *md = fixture_digest(key);
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();

    assert_non_null(mctx);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, md, ctx, NULL, key, NULL), 1);
    return mctx;
}

static void test_size_query_answers_the_longest_signature(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        EVP_PKEY *key = fixture_key(ctx, sizes[i].name);
        EVP_MD_CTX *mctx = begin_digest(key);
        EVP_PKEY_CTX *pctx = begin(ctx, key, NULL, 0);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = 0;

        assert_int_equal(EVP_PKEY_get_size(key), sizes[i].size);
        assert_int_equal(EVP_PKEY_sign(pctx, NULL, &len, digest, 32), 1);
        assert_int_equal(len, sizes[i].size);
        len = 0;
        assert_int_equal(EVP_DigestSign(mctx, NULL, &len, digest, 32), 1);
        assert_int_equal(len, sizes[i].size);
        len = 0;
        assert_int_equal(EVP_DigestSignFinal(mctx, NULL, &len), 1);
        assert_int_equal(len, sizes[i].size);
        /* The query counts for nothing: the message is still empty. */
        assert_int_equal(EVP_DigestSign(mctx, sig, &len, digest, 32), 1);
        assert_true(sizes[i].exact ? len == sizes[i].size
                                   : len <= sizes[i].size);
        EVP_PKEY_CTX_free(pctx);
        EVP_MD_CTX_free(mctx);
        EVP_PKEY_free(key);
    }
}

/* A buffer of exactly that size is enough; AddressSanitizer watches its end. */
static void test_buffer_of_that_size_is_enough(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        EVP_PKEY *key = fixture_key(ctx, sizes[i].name);
        EVP_PKEY *public = fixture_public(sizes[i].name);
        unsigned char *sig = OPENSSL_malloc(sizes[i].size);

        assert_non_null(sig);
        for (int n = 0; n < 20; n++) {
            EVP_MD_CTX *mctx = begin_digest(key);
            const char *md = fixture_digest(key);
            size_t len = sizes[i].size;

            assert_int_equal(EVP_DigestSign(mctx, sig, &len, fixture_message,
                                            fixture_message_len),
                             1);
            assert_true(fixture_verify(public, md, sig, len));
            EVP_MD_CTX_free(mctx);
        }
        OPENSSL_free(sig);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

/*
 * Whether libcrypto hands a second EVP_DigestSign() to a provider at all: 3.0
 * does, 3.5 says "final error" after the first, whatever that returned.
 */
static bool libcrypto_signs_twice(void)
{
    EVP_PKEY *twin = fixture_twin("ed25519");
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);
    bool twice = false;

    assert_non_null(mctx);
    assert_int_equal(EVP_DigestSignInit_ex(mctx, NULL, NULL, fixture_software(),
                                           NULL, twin, NULL),
                     1);
    assert_int_equal(EVP_DigestSign(mctx, sig, &len, digest, 32), 1);
    len = sizeof(sig);
    twice = EVP_DigestSign(mctx, sig, &len, digest, 32) == 1;
    ERR_clear_error();
    EVP_MD_CTX_free(mctx);
    EVP_PKEY_free(twin);
    return twice;
}

/*
 * Refused before anything is spent, so that the caller can try again; where
 * libcrypto wants it, after it began anew with the key that is there.
 */
static void test_small_buffer_is_refused_and_the_next_try_works(void **state)
{
    bool twice = libcrypto_signs_twice();

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        EVP_PKEY *key = fixture_key(ctx, sizes[i].name);
        EVP_PKEY *public = fixture_public(sizes[i].name);
        EVP_MD_CTX *mctx = begin_digest(key);
        const char *md = fixture_digest(key);
        unsigned char sig[FIXTURE_SIGNATURE_MAX] = { 0 };
        static const unsigned char untouched[FIXTURE_SIGNATURE_MAX];
        struct fixture_errors errors;
        size_t len = sizes[i].size - 1;

        assert_int_equal(EVP_DigestSign(mctx, sig, &len, fixture_message,
                                        fixture_message_len),
                         0);
        fixture_take_errors("hsmsign", &errors);
        assert_int_equal(errors.count, 1);
        assert_int_equal(errors.ours, 1);
        /* It is the caller's fault, not the token's. */
        assert_null(strstr(errors.reason, "token"));
        assert_memory_equal(sig, untouched, sizeof(sig));
        len = sizeof(sig);
        if (!twice)
            assert_int_equal(
                EVP_DigestSignInit_ex(mctx, NULL, NULL, ctx, NULL, NULL, NULL),
                1);
        assert_int_equal(EVP_DigestSign(mctx, sig, &len, fixture_message,
                                        fixture_message_len),
                         1);
        assert_true(fixture_verify(public, md, sig, len));
        EVP_MD_CTX_free(mctx);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

/* Many, so that r and s that need a zero in front, or are short, occur. */
static void test_ecdsa_der_is_always_what_libcrypto_reads(void **state)
{
    static const char *const names[] = { "p256", "p384",      "p521",
                                         "p224", "secp256k1", "brainpool512" };
    bool longest = false;

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]);
        EVP_PKEY *public = fixture_public(names[i]);

        for (int n = 0; n < 100; n++) {
            unsigned char sig[FIXTURE_SIGNATURE_MAX];
            size_t len = fixture_sign(ctx, key, "SHA256", sig);

            assert_true(fixture_verify(public, "SHA256", sig, len));
            longest = longest || (i == 0 && len == 72);
        }
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    /* One of four has zeros in front of both: 100 without is impossible. */
    assert_true(longest);
}

/* The public half alone, as a key of ours. */
static EVP_PKEY *ours_without_private_half(EVP_PKEY *public)
{
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_name(ctx, "EC", "provider=hsmsign");
    OSSL_PARAM *params = NULL;
    EVP_PKEY *ours = NULL;

    assert_int_equal(EVP_PKEY_todata(public, EVP_PKEY_PUBLIC_KEY, &params), 1);
    assert_int_equal(EVP_PKEY_fromdata_init(pctx), 1);
    assert_int_equal(
        EVP_PKEY_fromdata(pctx, &ours, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(pctx);
    OSSL_PARAM_free(params);
    return ours;
}

/* libcrypto goes on with such a context when the digest was named. */
static void test_failed_init_leaves_nothing_to_work_with(void **state)
{
    EVP_PKEY *public = fixture_public("p256");
    EVP_PKEY *key = fixture_key(ctx, "rsa2048");
    EVP_PKEY *ours = ours_without_private_half(public);
    OSSL_PARAM oaep[] = { OSSL_PARAM_construct_utf8_string(
                              OSSL_SIGNATURE_PARAM_PAD_MODE, "oaep", 0),
                          OSSL_PARAM_construct_end() };

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        EVP_PKEY *pkey = i % 2 == 0 ? key : ours;
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);
        bool sign = i / 2 % 2 == 0;
        const char *md = sign ? "SHA256" : "no-such-digest";

        ERR_clear_error();
        if (sign)
            assert_int_equal(
                EVP_DigestSignInit_ex(mctx, NULL, md, ctx, NULL, pkey, oaep),
                0);
        else
            assert_int_equal(
                EVP_DigestVerifyInit_ex(mctx, NULL, md, ctx, NULL, pkey, NULL),
                0);
        if (i / 4 == 0)
            assert_int_not_equal(
                sign ? EVP_DigestSign(mctx, sig, &len, digest, 32)
                     : EVP_DigestVerify(mctx, sig, 64, digest, 32),
                1);
        else
            assert_int_not_equal(sign ? EVP_DigestSignFinal(mctx, sig, &len)
                                      : EVP_DigestVerifyFinal(mctx, sig, 64),
                                 1);
        EVP_MD_CTX_free(mctx);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    EVP_PKEY_free(ours);
    EVP_PKEY_free(public);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_values_and_digests_are_signed),
        cmocka_unit_test(test_raw_rsa_is_byte_for_byte_the_twins),
        cmocka_unit_test(test_wrong_length_is_refused_with_the_key_named),
        cmocka_unit_test(test_no_padding_goes_with_no_digest),
        cmocka_unit_test(test_rsa_takes_all_that_fits_and_no_more),
        cmocka_unit_test(test_pss_wants_a_digest),
        cmocka_unit_test(test_size_query_answers_the_longest_signature),
        cmocka_unit_test(test_buffer_of_that_size_is_enough),
        cmocka_unit_test(test_small_buffer_is_refused_and_the_next_try_works),
        cmocka_unit_test(test_ecdsa_der_is_always_what_libcrypto_reads),
        cmocka_unit_test(test_failed_init_leaves_nothing_to_work_with),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/sign", tests, setup, teardown);
}
