/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/keymgmt: a key on the token shows everything that its public half
 * shows, equals it in either order, and gives nothing of its private half to
 * anybody who asks.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

/* p256-cert: the public half is in a certificate; -label: by label alone. */
static const char *const names[] = {
    "rsa2048", "rsa3072",   "rsa4096",      "p256",         "p384",
    "p521",    "ed25519",   "p256-cert",    "p256-label",   "ed448",
    "p224",    "secp256k1", "brainpool256", "brainpool384", "brainpool512"
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

static void test_key_equals_its_public_half_in_either_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]);
        EVP_PKEY *again = fixture_key(ctx, names[i]);
        EVP_PKEY *public = fixture_public(names[i]);
        EVP_PKEY *twin = fixture_twin(names[i]);

        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_int_equal(EVP_PKEY_eq(public, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, twin), 1);
        assert_int_equal(EVP_PKEY_eq(twin, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, again), 1);
        assert_int_equal(EVP_PKEY_eq(key, key), 1);
        assert_int_equal(EVP_PKEY_parameters_eq(key, public),
                         EVP_PKEY_parameters_eq(twin, public));
        EVP_PKEY_free(key);
        EVP_PKEY_free(again);
        EVP_PKEY_free(public);
        EVP_PKEY_free(twin);
    }
}

static void test_key_differs_from_every_other_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]);

        for (size_t j = 0; j < COUNT(names); j++) {
            EVP_PKEY *other = fixture_key(ctx, names[j]);
            EVP_PKEY *public = fixture_public(names[j]);

            if (i != j) {
                assert_int_not_equal(EVP_PKEY_eq(key, other), 1);
                assert_int_not_equal(EVP_PKEY_eq(key, public), 1);
                assert_int_not_equal(EVP_PKEY_eq(public, key), 1);
            }
            EVP_PKEY_free(other);
            EVP_PKEY_free(public);
        }
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
}

static void test_certificate_is_matched_with_its_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        X509 *cert = fixture_certificate(names[i]);

        for (size_t j = 0; j < COUNT(names); j++) {
            EVP_PKEY *key = fixture_key(ctx, names[j]);

            assert_int_equal(X509_check_private_key(cert, key), i == j);
            EVP_PKEY_free(key);
        }
        X509_free(cert);
    }
    ERR_clear_error();
}

static const struct {
    const char *name, *type, *group;
    int bits, security_bits, size;
} facts[] = {
    { "rsa2048", "RSA", NULL, 2048, 112, 256 },
    { "rsa3072", "RSA", NULL, 3072, 128, 384 },
    { "rsa4096", "RSA", NULL, 4096, 152, 512 },
    { "p256", "EC", "prime256v1", 256, 128, 72 },
    { "p384", "EC", "secp384r1", 384, 192, 104 },
    { "p521", "EC", "secp521r1", 521, 256, 139 },
    { "p256-bare", "EC", "prime256v1", 256, 128, 72 },
    { "ed25519", "ED25519", NULL, 256, 128, 64 },
    { "ed448", "ED448", NULL, 456, 224, 114 },
    { "p224", "EC", "secp224r1", 224, 112, 64 },
    { "secp256k1", "EC", "secp256k1", 256, 128, 72 },
    { "brainpool256", "EC", "brainpoolP256r1", 256, 128, 72 },
    { "brainpool384", "EC", "brainpoolP384r1", 384, 192, 104 },
    { "brainpool512", "EC", "brainpoolP512r1", 512, 256, 137 },
};

/* Known without a token's help, and the same as in software. */
static void test_key_knows_its_size_and_group(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(facts); i++) {
        EVP_PKEY *key = fixture_key(ctx, facts[i].name);
        EVP_PKEY *twin = fixture_twin(facts[i].name);
        char digest[32] = "", twins[32] = "", group[32] = "";
        int rv = EVP_PKEY_get_default_digest_name(twin, twins, sizeof(twins));

        assert_true(EVP_PKEY_is_a(key, facts[i].type));
        assert_int_equal(EVP_PKEY_get_bits(key), facts[i].bits);
        assert_int_equal(EVP_PKEY_get_security_bits(key),
                         facts[i].security_bits);
        assert_int_equal(EVP_PKEY_get_size(key), facts[i].size);
        assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_get_base_id(twin));
        assert_int_equal(
            EVP_PKEY_get_default_digest_name(key, digest, sizeof(digest)), rv);
        assert_string_equal(digest, twins);
        assert_int_equal(
            EVP_PKEY_get_group_name(key, group, sizeof(group), NULL),
            facts[i].group != NULL);
        assert_string_equal(group,
                            facts[i].group != NULL ? facts[i].group : "");
        assert_int_equal(EVP_PKEY_get_size(twin), facts[i].size);
        assert_int_equal(EVP_PKEY_get_security_bits(twin),
                         facts[i].security_bits);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
    }
    ERR_clear_error();
}

/* SubjectPublicKeyInfo, and the text of "openssl pkey -text_pub". */
static void test_public_half_is_written_as_software_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *key = fixture_key(ctx, names[i]);
        EVP_PKEY *public = fixture_public(names[i]);
        unsigned char *der = NULL, *expected = NULL;
        int len = i2d_PUBKEY(key, &der);
        BIO *text = BIO_new(BIO_s_mem()), *expected_text = BIO_new(BIO_s_mem());
        char *p = NULL, *q = NULL;
        long n = 0;

        assert_int_equal(len, i2d_PUBKEY(public, &expected));
        assert_true(len > 0);
        assert_memory_equal(der, expected, (size_t)len);
        assert_int_equal(EVP_PKEY_print_public(text, key, 0, NULL), 1);
        assert_int_equal(EVP_PKEY_print_public(expected_text, public, 0, NULL),
                         1);
        n = BIO_get_mem_data(expected_text, &q);
        assert_int_equal(BIO_get_mem_data(text, &p), n);
        assert_memory_equal(p, q, (size_t)n);
        assert_int_equal(PEM_write_bio_PUBKEY(text, key), 1);
        OPENSSL_free(der);
        OPENSSL_free(expected);
        BIO_free(text);
        BIO_free(expected_text);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

static EVP_PKEY *from_data(OSSL_LIB_CTX *libctx, const char *type,
                           const char *propq, int selection, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(libctx, type, propq);
    EVP_PKEY *pkey = NULL;

    assert_non_null(pctx);
    assert_int_equal(EVP_PKEY_fromdata_init(pctx), 1);
    if (EVP_PKEY_fromdata(pctx, &pkey, selection, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(pctx);
    return pkey;
}

static void test_public_half_is_exported_and_imported(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(facts); i++) {
        EVP_PKEY *key = NULL, *copy = NULL, *ours = NULL, *public = NULL;
        OSSL_PARAM *params = NULL;
        unsigned char sig[FIXTURE_SIGNATURE_MAX];

        if (strcmp(facts[i].name, "p256-bare") == 0)
            continue;
        key = fixture_key(ctx, facts[i].name);
        public = fixture_public(facts[i].name);
        assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1);
        copy = from_data(fixture_software(), facts[i].type, NULL,
                         EVP_PKEY_PUBLIC_KEY, params);
        ours = from_data(ctx, facts[i].type, "provider=hsmsign",
                         EVP_PKEY_PUBLIC_KEY, params);
        assert_non_null(copy);
        assert_non_null(ours);
        assert_int_equal(EVP_PKEY_eq(copy, public), 1);
        assert_int_equal(EVP_PKEY_eq(ours, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, ours), 1);
        ERR_clear_error();
        assert_int_equal(fixture_sign(ctx, ours, NULL, sig), 0);
        /* libcrypto adds that there is no default digest. */
        fixture_assert_error(1, "a parameter is not taken", "public key", NULL);
        OSSL_PARAM_free(params);
        EVP_PKEY_free(copy);
        EVP_PKEY_free(ours);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}

static void assert_nothing_private(EVP_PKEY *key)
{
    static const char *const bns[] = { "d",
                                       "rsa-factor1",
                                       "rsa-factor2",
                                       "rsa-exponent1",
                                       "rsa-coefficient1",
                                       "priv" };
    OSSL_PARAM *params = NULL;
    unsigned char *der = NULL, raw[64];
    size_t len = sizeof(raw);
    BIO *bio = BIO_new(BIO_s_mem());

    assert_true(i2d_PrivateKey(key, &der) <= 0);
    assert_null(der);
    assert_int_not_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 1);
    assert_null(params);
    assert_int_not_equal(
        i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(BIO_pending(bio), 0);
    assert_int_not_equal(EVP_PKEY_get_raw_private_key(key, raw, &len), 1);
    for (size_t i = 0; i < COUNT(bns); i++) {
        BIGNUM *bn = NULL;

        assert_int_not_equal(EVP_PKEY_get_bn_param(key, bns[i], &bn), 1);
        assert_null(bn);
    }
    len = sizeof(raw);
    assert_int_not_equal(EVP_PKEY_get_octet_string_param(
                             key, OSSL_PKEY_PARAM_PRIV_KEY, raw, len, &len),
                         1);
    BIO_free(bio);
    ERR_clear_error();
}

static void test_private_half_is_given_to_nobody(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(facts); i++) {
        EVP_PKEY *key = fixture_key(ctx, facts[i].name);
        EVP_PKEY *public = fixture_public(facts[i].name);

        assert_nothing_private(key);
        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

static void test_software_private_key_is_not_let_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(facts); i++) {
        EVP_PKEY *twin = fixture_twin(facts[i].name);
        OSSL_PARAM *params = NULL;

        assert_int_equal(EVP_PKEY_todata(twin, EVP_PKEY_KEYPAIR, &params), 1);
        ERR_clear_error();
        assert_null(from_data(ctx, facts[i].type, "provider=hsmsign",
                              EVP_PKEY_KEYPAIR, params));
        fixture_assert_error(0, "this is not offered", "pkcs11:", NULL);
        OSSL_PARAM_free(params);
        EVP_PKEY_free(twin);
    }
}

static void test_duplicate_is_a_key_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(facts); i++) {
        EVP_PKEY *key = fixture_key(ctx, facts[i].name);
        EVP_PKEY *public = fixture_public(facts[i].name);
        EVP_PKEY *dup = EVP_PKEY_dup(key);

        assert_non_null(dup);
        EVP_PKEY_free(key);
        assert_int_equal(EVP_PKEY_get_size(dup), facts[i].size);
        assert_true(fixture_signs(ctx, dup, public));
        assert_int_equal(EVP_PKEY_eq(dup, public), 1);
        assert_nothing_private(dup);
        EVP_PKEY_free(dup);
        EVP_PKEY_free(public);
    }
}

/* The token holds nothing but the private object: the key still signs. */
static void test_key_without_public_half_signs(void **state)
{
    EVP_PKEY *key = fixture_key(ctx, "ed25519-bare");
    EVP_PKEY *public = fixture_public("ed25519-bare");
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    unsigned char *der = NULL;

    (void)state;
    assert_true(fixture_signs(ctx, key, public));
    assert_true(i2d_PUBKEY(key, &der) <= 0);
    ERR_clear_error();
    assert_int_not_equal(
        EVP_DigestVerifyInit_ex(mctx, NULL, NULL, ctx, NULL, key, NULL), 1);
    fixture_assert_error(1, "the key's public half is not known",
                         "hsmsign-public-file", NULL);
    EVP_MD_CTX_free(mctx);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

/* ECDSA signatures tell the public key, to whoever asks for it first. */
static void test_ec_key_tells_its_public_half(void **state)
{
    EVP_PKEY *public = fixture_public("p256-bare");

    (void)state;
    for (int way = 0; way < 4; way++) {
        EVP_PKEY *key = fixture_key(ctx, "p256-bare");
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();
        unsigned char *der = NULL, point[65];
        size_t len = 0;

        if (way == 0)
            assert_true(i2d_PUBKEY(key, &der) > 0);
        else if (way == 1)
            assert_int_equal(
                EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY,
                                                point, sizeof(point), &len),
                1);
        else if (way == 2)
            assert_int_equal(EVP_DigestVerifyInit_ex(mctx, NULL, "SHA256", ctx,
                                                     NULL, key, NULL),
                             1);
        else
            len = EVP_PKEY_get1_encoded_public_key(key, &der);
        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_int_equal(way & 1, len == sizeof(point));
        EVP_MD_CTX_free(mctx);
        OPENSSL_free(der);
        EVP_PKEY_free(key);
    }
    EVP_PKEY_free(public);
    fixture_assert_no_error();
}

static void test_key_without_public_half_refuses_a_foreign_one(void **state)
{
    static const char *const foreign[] = { "p256", "p256-cert", "p384",
                                           "rsa2048", "ed25519" };
    EVP_PKEY *key = fixture_key(ctx, "p256-bare");

    (void)state;
    for (size_t i = 0; i < COUNT(foreign); i++) {
        X509 *cert = fixture_certificate(foreign[i]);
        EVP_PKEY *public = fixture_public(foreign[i]);

        assert_int_equal(X509_check_private_key(cert, key), 0);
        assert_int_not_equal(EVP_PKEY_eq(key, public), 1);
        assert_int_not_equal(EVP_PKEY_eq(public, key), 1);
        X509_free(cert);
        EVP_PKEY_free(public);
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
}

/* What a certificate brings is proved by the token, and then remembered. */
static void test_key_without_public_half_adopts_its_own(void **state)
{
    X509 *cert = fixture_certificate("p256-bare");
    EVP_PKEY *public = fixture_public("p256-bare");

    (void)state;
    for (int way = 0; way < 3; way++) {
        EVP_PKEY *key = fixture_key(ctx, "p256-bare");
        unsigned char *der = NULL;
        OSSL_PARAM *params = NULL;

        if (way == 0)
            assert_int_equal(X509_check_private_key(cert, key), 1);
        else if (way == 1)
            assert_int_equal(EVP_PKEY_eq(key, public), 1);
        else
            assert_int_equal(EVP_PKEY_eq(public, key), 1);
        assert_true(i2d_PUBKEY(key, &der) > 0);
        assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1);
        assert_true(fixture_signs(ctx, key, public));
        assert_nothing_private(key);
        OPENSSL_free(der);
        OSSL_PARAM_free(params);
        EVP_PKEY_free(key);
    }
    X509_free(cert);
    EVP_PKEY_free(public);
    fixture_assert_no_error();
}

/* hsmsign-public-file: the right one is found among others, and proved. */
static void test_public_file_gives_the_public_half(void **state)
{
    static const struct {
        const char *file, *end;
        bool found;
    } rows[] = { { "ed25519-bare", ".pem", true },
                 { "ed25519-bare", ".pub", true },
                 { "ed25519", ".pem", false },
                 { "p384", ".pub", false },
                 { "ca", ".pem", false } };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[256], option[400];
        unsigned char *der = NULL;
        OSSL_LIB_CTX *own = NULL;
        EVP_PKEY *key = NULL;

        fixture_path(path, sizeof(path), rows[i].file, rows[i].end);
        (void)snprintf(option, sizeof(option),
                       FIXTURE_PIN "hsmsign-public-file = %s\n", path);
        own = fixture_softhsm(option);
        key = fixture_key(own, "ed25519-bare");
        assert_int_equal(i2d_PUBKEY(key, &der) > 0, rows[i].found);
        ERR_clear_error();
        OPENSSL_free(der);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_equals_its_public_half_in_either_order),
        cmocka_unit_test(test_key_differs_from_every_other_key),
        cmocka_unit_test(test_certificate_is_matched_with_its_key),
        cmocka_unit_test(test_key_knows_its_size_and_group),
        cmocka_unit_test(test_public_half_is_written_as_software_does),
        cmocka_unit_test(test_public_half_is_exported_and_imported),
        cmocka_unit_test(test_private_half_is_given_to_nobody),
        cmocka_unit_test(test_software_private_key_is_not_let_in),
        cmocka_unit_test(test_duplicate_is_a_key_of_its_own),
        cmocka_unit_test(test_key_without_public_half_signs),
        cmocka_unit_test(test_ec_key_tells_its_public_half),
        cmocka_unit_test(test_key_without_public_half_refuses_a_foreign_one),
        cmocka_unit_test(test_key_without_public_half_adopts_its_own),
        cmocka_unit_test(test_public_file_gives_the_public_half),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/keymgmt", tests, setup,
                                       teardown);
}
