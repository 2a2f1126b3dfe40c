/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/sigalg: signatures by a name that says the digest too, which
 * OpenSSL 3.4 and newer take with EVP_PKEY_sign_message_init() and its like.
 * These functions are looked up, so that one test runs on all versions; on
 * older ones all is skipped.
 */
#include "fixture.h"
#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

static struct {
    int (*sign_init_ex2)(EVP_PKEY_CTX *, EVP_SIGNATURE *, const OSSL_PARAM *);
    int (*sign_message_init)(EVP_PKEY_CTX *, EVP_SIGNATURE *,
                             const OSSL_PARAM *);
    int (*sign_message_update)(EVP_PKEY_CTX *, const unsigned char *, size_t);
    int (*sign_message_final)(EVP_PKEY_CTX *, unsigned char *, size_t *);
    int (*verify_init_ex2)(EVP_PKEY_CTX *, EVP_SIGNATURE *, const OSSL_PARAM *);
    int (*verify_message_init)(EVP_PKEY_CTX *, EVP_SIGNATURE *,
                               const OSSL_PARAM *);
    int (*verify_message_update)(EVP_PKEY_CTX *, const unsigned char *, size_t);
    int (*verify_message_final)(EVP_PKEY_CTX *);
    int (*set_signature)(EVP_PKEY_CTX *, const unsigned char *, size_t);
} evp;

static void look_up(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);

    memcpy(function, &symbol, sizeof(symbol));
}

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    (void)fixture_software();
    look_up("EVP_PKEY_sign_init_ex2", &evp.sign_init_ex2);
    look_up("EVP_PKEY_sign_message_init", &evp.sign_message_init);
    look_up("EVP_PKEY_sign_message_update", &evp.sign_message_update);
    look_up("EVP_PKEY_sign_message_final", &evp.sign_message_final);
    look_up("EVP_PKEY_verify_init_ex2", &evp.verify_init_ex2);
    look_up("EVP_PKEY_verify_message_init", &evp.verify_message_init);
    look_up("EVP_PKEY_verify_message_update", &evp.verify_message_update);
    look_up("EVP_PKEY_verify_message_final", &evp.verify_message_final);
    look_up("EVP_PKEY_CTX_set_signature", &evp.set_signature);
    return evp.set_signature == NULL;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

/* The names that the default provider has too, each of which must do. */
static const struct {
    const char *names[4];
    const char *key, *md; /* md NULL: the message itself */
} algs[] = {
    { { "RSA-SHA1", "RSA-SHA-1", "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.5" },
      "rsa2048",
      "SHA1" },
    { { "RSA-SHA2-224", "RSA-SHA224", "sha224WithRSAEncryption",
        "1.2.840.113549.1.1.14" },
      "rsa2048",
      "SHA224" },
    { { "RSA-SHA2-256", "RSA-SHA256", "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.11" },
      "rsa2048",
      "SHA256" },
    { { "RSA-SHA2-384", "RSA-SHA384", "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.12" },
      "rsa3072",
      "SHA384" },
    { { "RSA-SHA2-512", "RSA-SHA512", "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.13" },
      "rsa4096",
      "SHA512" },
    { { "RSA-SHA2-512/224", "RSA-SHA512-224", "sha512-224WithRSAEncryption",
        "1.2.840.113549.1.1.15" },
      "rsa2048",
      "SHA512-224" },
    { { "RSA-SHA2-512/256", "RSA-SHA512-256", "sha512-256WithRSAEncryption",
        "1.2.840.113549.1.1.16" },
      "rsa2048",
      "SHA512-256" },
    { { "RSA-SHA3-224", "id-rsassa-pkcs1-v1_5-with-sha3-224",
        "2.16.840.1.101.3.4.3.13", NULL },
      "rsa2048",
      "SHA3-224" },
    { { "RSA-SHA3-256", "id-rsassa-pkcs1-v1_5-with-sha3-256",
        "2.16.840.1.101.3.4.3.14", NULL },
      "rsa2048",
      "SHA3-256" },
    { { "RSA-SHA3-384", "id-rsassa-pkcs1-v1_5-with-sha3-384",
        "2.16.840.1.101.3.4.3.15", NULL },
      "rsa2048",
      "SHA3-384" },
    { { "RSA-SHA3-512", "id-rsassa-pkcs1-v1_5-with-sha3-512",
        "2.16.840.1.101.3.4.3.16", NULL },
      "rsa2048",
      "SHA3-512" },
    { { "ECDSA-SHA1", "ECDSA-SHA-1", "ecdsa-with-SHA1", "1.2.840.10045.4.1" },
      "p256",
      "SHA1" },
    { { "ECDSA-SHA2-224", "ECDSA-SHA224", "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.1" },
      "p224",
      "SHA224" },
    { { "ECDSA-SHA2-256", "ECDSA-SHA256", "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.2" },
      "p256",
      "SHA256" },
    { { "ECDSA-SHA2-384", "ECDSA-SHA384", "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.3" },
      "p384",
      "SHA384" },
    { { "ECDSA-SHA2-512", "ECDSA-SHA512", "ecdsa-with-SHA512",
        "1.2.840.10045.4.3.4" },
      "p521",
      "SHA512" },
    { { "ECDSA-SHA3-224", "ecdsa_with_SHA3-224", "id-ecdsa-with-sha3-224",
        "2.16.840.1.101.3.4.3.9" },
      "p256",
      "SHA3-224" },
    { { "ECDSA-SHA3-256", "ecdsa_with_SHA3-256", "id-ecdsa-with-sha3-256",
        "2.16.840.1.101.3.4.3.10" },
      "p256",
      "SHA3-256" },
    { { "ECDSA-SHA3-384", "ecdsa_with_SHA3-384", "id-ecdsa-with-sha3-384",
        "2.16.840.1.101.3.4.3.11" },
      "p384",
      "SHA3-384" },
    { { "ECDSA-SHA3-512", "ecdsa_with_SHA3-512", "id-ecdsa-with-sha3-512",
        "2.16.840.1.101.3.4.3.12" },
      "secp256k1",
      "SHA3-512" },
    { { "ED25519", "1.3.101.112", NULL, NULL }, "ed25519", NULL },
    { { "ED448", "1.3.101.113", NULL, NULL }, "ed448", NULL },
};

static EVP_SIGNATURE *fetch(const char *name)
{
    return EVP_SIGNATURE_fetch(ctx, name, "provider=hsmsign");
}

static void test_names_are_the_default_providers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(algs); i++) {
        EVP_SIGNATURE *theirs =
            EVP_SIGNATURE_fetch(fixture_software(), algs[i].names[0], NULL);

        assert_non_null(theirs);
        for (size_t j = 0; j < COUNT(algs[i].names); j++) {
            const char *name = algs[i].names[j];
            EVP_SIGNATURE *ours = name != NULL ? fetch(name) : NULL;

            if (name == NULL)
                continue;
            assert_true(EVP_SIGNATURE_is_a(theirs, name));
            assert_non_null(ours);
            assert_true(EVP_SIGNATURE_is_a(ours, algs[i].names[0]));
            EVP_SIGNATURE_free(ours);
        }
        EVP_SIGNATURE_free(theirs);
    }
}

/* A key, its public half elsewhere, and a context for the algorithm. */
struct set {
    EVP_PKEY *key, *public;
    EVP_SIGNATURE *alg;
    EVP_PKEY_CTX *pctx;
};

static struct set load(size_t i)
{
    struct set s = { fixture_key(ctx, algs[i].key), fixture_public(algs[i].key),
                     fetch(algs[i].names[0]), NULL };

    assert_non_null(s.alg);
    s.pctx = EVP_PKEY_CTX_new_from_pkey(ctx, s.key, NULL);
    assert_non_null(s.pctx);
    return s;
}

static void unload(struct set *s)
{
    EVP_PKEY_CTX_free(s->pctx);
    EVP_SIGNATURE_free(s->alg);
    EVP_PKEY_free(s->key);
    EVP_PKEY_free(s->public);
    ERR_clear_error();
}

static void test_message_is_signed_in_one_go(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(algs); i++) {
        struct set s = load(i);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = 0;

        assert_int_equal(evp.sign_message_init(s.pctx, s.alg, NULL), 1);
        assert_int_equal(EVP_PKEY_sign(s.pctx, NULL, &len, fixture_message,
                                       fixture_message_len),
                         1);
        assert_int_equal(len, EVP_PKEY_get_size(s.public));
        assert_int_equal(EVP_PKEY_sign(s.pctx, sig, &len, fixture_message,
                                       fixture_message_len),
                         1);
        assert_true(fixture_verify(s.public, algs[i].md, sig, len));
        assert_int_equal(evp.verify_message_init(s.pctx, s.alg, NULL), 1);
        assert_int_equal(EVP_PKEY_verify(s.pctx, sig, len, fixture_message,
                                         fixture_message_len),
                         1);
        sig[len / 2] ^= 1;
        assert_int_equal(evp.verify_message_init(s.pctx, s.alg, NULL), 1);
        assert_int_not_equal(EVP_PKEY_verify(s.pctx, sig, len, fixture_message,
                                             fixture_message_len),
                             1);
        unload(&s);
    }
}

static void test_message_is_signed_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(algs); i++) {
        struct set s = load(i);
        EVP_PKEY_CTX *copy = NULL;
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);

        assert_int_equal(evp.sign_message_init(s.pctx, s.alg, NULL), 1);
        if (algs[i].md == NULL) {
            assert_int_not_equal(
                evp.sign_message_update(s.pctx, fixture_message, 7), 1);
            unload(&s);
            continue;
        }
        assert_int_equal(evp.sign_message_update(s.pctx, fixture_message, 7),
                         1);
        copy = EVP_PKEY_CTX_dup(s.pctx);
        assert_non_null(copy);
        assert_int_equal(evp.sign_message_update(s.pctx, fixture_message + 7,
                                                 fixture_message_len - 7),
                         1);
        assert_int_equal(evp.sign_message_final(s.pctx, sig, &len), 1);
        assert_true(fixture_verify(s.public, algs[i].md, sig, len));
        len = sizeof(sig);
        assert_int_equal(evp.sign_message_update(copy, fixture_message + 7,
                                                 fixture_message_len - 7),
                         1);
        assert_int_equal(evp.sign_message_final(copy, sig, &len), 1);
        assert_true(fixture_verify(s.public, algs[i].md, sig, len));
        EVP_PKEY_CTX_free(copy);
        unload(&s);
    }
}

/* The signature comes first, the message in pieces, also in a copy. */
static void test_message_is_verified_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(algs); i++) {
        struct set s = load(i);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = fixture_sign(ctx, s.key, algs[i].md, sig);

        for (int n = 0; algs[i].md != NULL && n < 3; n++) {
            EVP_PKEY_CTX *copy = NULL;

            assert_int_equal(evp.verify_message_init(s.pctx, s.alg, NULL), 1);
            assert_int_equal(evp.set_signature(s.pctx, sig, len), 1);
            assert_int_equal(
                evp.verify_message_update(s.pctx, fixture_message, 7), 1);
            copy = n == 1 ? EVP_PKEY_CTX_dup(s.pctx) : NULL;
            assert_int_equal(evp.verify_message_update(
                                 n == 1 ? copy : s.pctx, fixture_message + 7,
                                 fixture_message_len - (n == 2 ? 8 : 7)),
                             1);
            assert_int_equal(
                evp.verify_message_final(n == 1 ? copy : s.pctx) == 1, n != 2);
            EVP_PKEY_CTX_free(copy);
        }
        unload(&s);
    }
}

/* The name says the digest; the caller made it. */
static void test_digest_is_signed_and_verified(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(algs); i++) {
        struct set s = load(i);
        unsigned char sig[FIXTURE_SIGNATURE_MAX], digest[64];
        size_t len = sizeof(sig), size = 0;

        if (algs[i].md == NULL) {
            assert_int_not_equal(evp.sign_init_ex2(s.pctx, s.alg, NULL), 1);
            unload(&s);
            continue;
        }
        assert_int_equal(EVP_Q_digest(fixture_software(), algs[i].md, NULL,
                                      fixture_message, fixture_message_len,
                                      digest, &size),
                         1);
        assert_int_equal(evp.sign_init_ex2(s.pctx, s.alg, NULL), 1);
        assert_int_equal(EVP_PKEY_sign(s.pctx, sig, &len, digest, size), 1);
        assert_true(fixture_verify(s.public, algs[i].md, sig, len));
        assert_int_equal(evp.verify_init_ex2(s.pctx, s.alg, NULL), 1);
        assert_int_equal(EVP_PKEY_verify(s.pctx, sig, len, digest, size), 1);
        digest[0] ^= 1;
        assert_int_not_equal(EVP_PKEY_verify(s.pctx, sig, len, digest, size),
                             1);
        assert_int_equal(evp.sign_init_ex2(s.pctx, s.alg, NULL), 1);
        len = sizeof(sig);
        assert_int_not_equal(EVP_PKEY_sign(s.pctx, sig, &len, digest, size - 1),
                             1);
        unload(&s);
    }
}

static void test_what_the_name_says_cannot_be_changed(void **state)
{
    EVP_PKEY *p256 = NULL;
    EVP_PKEY_CTX *other = NULL;
    struct set s;

    (void)state;
    s = load(2 /* RSA-SHA256 */);
    p256 = fixture_key(ctx, "p256");
    other = EVP_PKEY_CTX_new_from_pkey(ctx, p256, NULL);
    assert_int_equal(evp.sign_message_init(s.pctx, s.alg, NULL), 1);
    assert_true(EVP_PKEY_CTX_ctrl_str(s.pctx, "rsa_padding_mode", "pss") <= 0);
    assert_true(EVP_PKEY_CTX_ctrl_str(s.pctx, "digest", "SHA512") <= 0);
    assert_int_not_equal(evp.sign_message_init(other, s.alg, NULL), 1);
    EVP_PKEY_CTX_free(other);
    EVP_PKEY_free(p256);
    unload(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_the_default_providers),
        cmocka_unit_test(test_message_is_signed_in_one_go),
        cmocka_unit_test(test_message_is_signed_in_pieces),
        cmocka_unit_test(test_message_is_verified_in_pieces),
        cmocka_unit_test(test_digest_is_signed_and_verified),
        cmocka_unit_test(test_what_the_name_says_cannot_be_changed),
    };

    if (!fixture_is_openssl(3, 4))
        return fixture_skip(tests, COUNT(tests), "OpenSSL 3.4 or newer has it");
    fixture_begin();
    return cmocka_run_group_tests_name("provider/sigalg", tests, setup,
                                       teardown);
}
