/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/signature, provider/sign: every key signs every digest in every
 * way in which libcrypto asks for it.  What is signed here is verified by the
 * default provider, in a library context that does not know hsmsign, with the
 * public half of the software twin; deterministic signatures are compared
 * with the twin's own.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

enum { PKCS1 = RSA_PKCS1_PADDING, PSS = RSA_PKCS1_PSS_PADDING, NONE = 0 };

static const struct {
    const char *name;
    int pad; /* PKCS1, PSS; NONE for other keys */
} keys[] = {
    { "rsa2048", PKCS1 },     { "rsa3072", PKCS1 },
    { "rsa4096", PKCS1 },     { "rsa2048", PSS },
    { "rsa3072", PSS },       { "rsa4096", PSS },
    { "p256", NONE },         { "p384", NONE },
    { "p521", NONE },         { "p224", NONE },
    { "secp256k1", NONE },    { "brainpool256", NONE },
    { "brainpool384", NONE }, { "brainpool512", NONE },
};

static const char *const digests[] = {
    "SHA1",       "SHA224",   "SHA256",   "SHA384",   "SHA512",   "SHA512-224",
    "SHA512-256", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512",
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

/* A key, its twin and the twin's public half. */
struct trio {
    EVP_PKEY *key, *twin, *public;
};

static struct trio load(const char *name)
{
    struct trio t = { fixture_key(ctx, name), fixture_twin(name),
                      fixture_public(name) };

    ERR_clear_error();
    return t;
}

static void unload(struct trio *t)
{
    EVP_PKEY_free(t->key);
    EVP_PKEY_free(t->twin);
    EVP_PKEY_free(t->public);
}

/* A context that is ready to sign; the salt is as long as the digest. */
static EVP_MD_CTX *begin(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *md,
                         int pad)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;

    assert_non_null(mctx);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, md, libctx, NULL, key, NULL), 1);
    if (pad == PSS) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, PSS), 1);
        assert_int_equal(
            EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    return mctx;
}

static int verify(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *md, int pad,
                  const unsigned char *sig, size_t siglen,
                  const unsigned char *in, size_t len)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    int ok = 0;

    assert_non_null(mctx);
    assert_int_equal(
        EVP_DigestVerifyInit_ex(mctx, &pctx, md, libctx, NULL, key, NULL), 1);
    if (pad == PSS) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, PSS), 1);
        assert_int_equal(
            EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    ok = EVP_DigestVerify(mctx, sig, siglen, in, len);
    EVP_MD_CTX_free(mctx);
    return ok;
}

/* Right for this message, by both; and wrong for another one. */
static void assert_right(const struct trio *t, const char *md, int pad,
                         const unsigned char *sig, size_t siglen,
                         const unsigned char *in, size_t len)
{
    static const unsigned char other[] = "another message";
    OSSL_LIB_CTX *soft = fixture_software();

    assert_int_equal(verify(t->public, soft, md, pad, sig, siglen, in, len), 1);
    assert_int_equal(verify(t->key, ctx, md, pad, sig, siglen, in, len), 1);
    ERR_clear_error();
    assert_int_equal(
        verify(t->key, ctx, md, pad, sig, siglen, other, sizeof(other)), 0);
    ERR_clear_error();
}

/* PKCS #1 v1.5 and Ed25519 leave no choice: the twin signs the same bytes. */
static void assert_same_as_twin(const struct trio *t, const char *md,
                                const unsigned char *sig, size_t siglen)
{
    unsigned char twins[FIXTURE_SIGNATURE_MAX];
    size_t len = fixture_sign(fixture_software(), t->twin, md, twins);

    assert_int_equal(siglen, len);
    assert_memory_equal(sig, twins, len);
}

static void sign_one(const struct trio *t, const char *md, int pad)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);
    EVP_MD_CTX *mctx = begin(ctx, t->key, md, pad);

    assert_int_equal(
        EVP_DigestSign(mctx, sig, &len, fixture_message, fixture_message_len),
        1);
    assert_right(t, md, pad, sig, len, fixture_message, fixture_message_len);
    if (pad == PKCS1)
        assert_same_as_twin(t, md, sig, len);
    EVP_MD_CTX_free(mctx);
}

static void test_every_key_signs_every_digest(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct trio t = load(keys[i].name);

        for (size_t j = 0; j < COUNT(digests); j++)
            sign_one(&t, digests[j], keys[i].pad);
        fixture_assert_no_error();
        unload(&t);
    }
}

static const struct {
    const char *name, *type;
    size_t size;
} edwards[] = { { "ed25519", "ED25519", 64 }, { "ed448", "ED448", 114 } };

static void test_edwards_keys_sign_the_message_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(edwards); i++) {
        struct trio t = load(edwards[i].name);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = fixture_sign(ctx, t.key, NULL, sig);

        assert_int_equal(len, edwards[i].size);
        assert_right(&t, NULL, NONE, sig, len, fixture_message,
                     fixture_message_len);
        assert_same_as_twin(&t, NULL, sig, len);
        unload(&t);
    }
}

static void test_edwards_keys_refuse_a_digest_and_updates(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(edwards); i++) {
        struct trio t = load(edwards[i].name);
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();

        assert_int_equal(
            EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, t.key, NULL),
            0);
        fixture_assert_error(0, "the key cannot sign this digest or length",
                             edwards[i].type, NULL);
        EVP_MD_CTX_free(mctx);
        mctx = begin(ctx, t.key, NULL, NONE);
        assert_int_not_equal(EVP_DigestSignUpdate(mctx, fixture_message, 3), 1);
        fixture_assert_error(0, "a parameter is not taken", "EVP_DigestSign",
                             NULL);
        EVP_MD_CTX_free(mctx);
        unload(&t);
    }
}

/* With no digest named, RSA and EC keys take their default one: SHA-256. */
static void test_default_digest_is_sha256(void **state)
{
    static const char *const names[] = { "rsa2048", "p256", "p521" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct trio t = load(names[i]);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = fixture_sign(ctx, t.key, NULL, sig);

        assert_true(fixture_verify(t.public, "SHA256", sig, len));
        unload(&t);
    }
}

/* The ways to hand over a message: cut at these places, the last in one go. */
static void sign_in_pieces(const struct trio *t, const char *md, int pad,
                           const size_t *cuts, size_t n, bool one_shot)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig), done = 0;
    EVP_MD_CTX *mctx = begin(ctx, t->key, md, pad);

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(
            EVP_DigestSignUpdate(mctx, fixture_message + done, cuts[i]), 1);
        done += cuts[i];
    }
    if (one_shot) {
        assert_int_equal(EVP_DigestSign(mctx, sig, &len, fixture_message + done,
                                        fixture_message_len - done),
                         1);
        done = fixture_message_len;
    } else {
        assert_int_equal(EVP_DigestSignFinal(mctx, sig, &len), 1);
    }
    assert_right(t, md, pad, sig, len, fixture_message, done);
    EVP_MD_CTX_free(mctx);
}

static void test_message_may_come_in_pieces(void **state)
{
    static const struct {
        size_t n, cuts[4];
        bool one_shot;
    } ways[] = {
        { 0, { 0 }, false },  { 1, { 0 }, false },
        { 1, { 10 }, false }, { 4, { 1, 2, 0, 20 }, false },
        { 1, { 5 }, true },   { 3, { 1, 0, 7 }, true },
        { 1, { 0 }, true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct trio t = load(keys[i].name);

        for (size_t j = 0; j < COUNT(ways); j++)
            sign_in_pieces(&t, "SHA384", keys[i].pad, ways[j].cuts, ways[j].n,
                           ways[j].one_shot);
        unload(&t);
    }
}

static void test_empty_message_is_signed(void **state)
{
    static const struct {
        const char *name, *md;
        int pad;
    } rows[] = { { "rsa2048", "SHA256", PKCS1 },
                 { "rsa2048", "SHA256", PSS },
                 { "p384", "SHA384", NONE },
                 { "ed25519", NULL, NONE },
                 { "ed448", NULL, NONE } };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trio t = load(rows[i].name);
        EVP_MD_CTX *mctx = begin(ctx, t.key, rows[i].md, rows[i].pad);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);

        assert_int_equal(EVP_DigestSign(mctx, sig, &len, NULL, 0), 1);
        assert_right(&t, rows[i].md, rows[i].pad, sig, len,
                     (const unsigned char *)"", 0);
        EVP_MD_CTX_free(mctx);
        unload(&t);
    }
}

/* libcrypto allows a second EVP_DigestSignFinal, and more data after it. */
static void test_final_leaves_the_context_as_it_was(void **state)
{
    struct trio t = load("p256");
    EVP_MD_CTX *mctx = begin(ctx, t.key, "SHA256", NONE);
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = 0;

    (void)state;
    assert_int_equal(EVP_DigestSignUpdate(mctx, fixture_message, 9), 1);
    for (size_t i = 9; i <= 11; i++) {
        len = sizeof(sig);
        assert_int_equal(EVP_DigestSignFinal(mctx, sig, &len), 1);
        assert_right(&t, "SHA256", NONE, sig, len, fixture_message, i);
        assert_int_equal(EVP_DigestSignUpdate(mctx, fixture_message + i, 1), 1);
    }
    EVP_MD_CTX_free(mctx);
    unload(&t);
}

/* After the one-shot nothing is left to go on with: no signature of that. */
static void test_one_shot_ends_the_message(void **state)
{
    struct trio t = load("p256");
    EVP_MD_CTX *mctx = begin(ctx, t.key, "SHA256", NONE);
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);

    (void)state;
    assert_int_equal(EVP_DigestSign(mctx, sig, &len, fixture_message, 9), 1);
    len = sizeof(sig);
    assert_int_not_equal(EVP_DigestSign(mctx, sig, &len, fixture_message, 9),
                         1);
    ERR_clear_error();
    len = sizeof(sig);
    assert_int_not_equal(EVP_DigestSignFinal(mctx, sig, &len), 1);
    ERR_clear_error();
    EVP_MD_CTX_free(mctx);
    unload(&t);
}

static void copy_and_finish(const struct trio *t, const char *md, int pad)
{
    EVP_MD_CTX *mctx = begin(ctx, t->key, md, pad), *copy = EVP_MD_CTX_new();
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    unsigned char other[sizeof("Rechnung?")] = "Rechnung?";
    size_t len = sizeof(sig);

    assert_int_equal(EVP_DigestSignUpdate(mctx, fixture_message, 8), 1);
    assert_int_equal(EVP_MD_CTX_copy_ex(copy, mctx), 1);
    assert_int_equal(EVP_DigestSignUpdate(copy, other + 8, 1), 1);
    assert_int_equal(EVP_DigestSignUpdate(mctx, fixture_message + 8,
                                          fixture_message_len - 8),
                     1);
    assert_int_equal(EVP_DigestSignFinal(mctx, sig, &len), 1);
    assert_right(t, md, pad, sig, len, fixture_message, fixture_message_len);
    EVP_MD_CTX_free(mctx);
    /* The copy lives on by itself. */
    len = sizeof(sig);
    assert_int_equal(EVP_DigestSignFinal(copy, sig, &len), 1);
    assert_right(t, md, pad, sig, len, other, 9);
    EVP_MD_CTX_free(copy);
}

static void test_copy_in_mid_stream_finishes_by_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct trio t = load(keys[i].name);

        copy_and_finish(&t, "SHA256", keys[i].pad);
        unload(&t);
    }
}

static void test_copy_of_a_verification_finishes_by_itself(void **state)
{
    struct trio t = load("rsa2048");
    EVP_MD_CTX *mctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = fixture_sign(ctx, t.key, "SHA256", sig);

    (void)state;
    assert_int_equal(
        EVP_DigestVerifyInit_ex(mctx, NULL, "SHA256", ctx, NULL, t.key, NULL),
        1);
    assert_int_equal(EVP_DigestVerifyUpdate(mctx, fixture_message, 8), 1);
    assert_int_equal(EVP_MD_CTX_copy_ex(copy, mctx), 1);
    assert_int_equal(EVP_DigestVerifyUpdate(mctx, fixture_message + 8,
                                            fixture_message_len - 8),
                     1);
    assert_int_equal(EVP_DigestVerifyFinal(mctx, sig, len), 1);
    EVP_MD_CTX_free(mctx);
    assert_int_equal(EVP_DigestVerifyUpdate(copy, fixture_message + 8, 1), 1);
    assert_int_equal(EVP_DigestVerifyFinal(copy, sig, len), 0);
    EVP_MD_CTX_free(copy);
    unload(&t);
}

/* EVP_DigestSignInit(3): a NULL key initialises again with the one of before.
 */
static void test_null_key_begins_anew(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct trio t = load(keys[i].name);
        EVP_MD_CTX *mctx = begin(ctx, t.key, "SHA256", keys[i].pad);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);
        int pad = keys[i].pad == NONE ? NONE : PKCS1;

        assert_int_equal(EVP_DigestSignUpdate(mctx, "forgotten", 9), 1);
        assert_int_equal(
            EVP_DigestSignInit_ex(mctx, NULL, "SHA512", ctx, NULL, NULL, NULL),
            1);
        assert_int_equal(EVP_DigestSignUpdate(mctx, fixture_message, 4), 1);
        assert_int_equal(EVP_DigestSignFinal(mctx, sig, &len), 1);
        assert_right(&t, "SHA512", pad, sig, len, fixture_message, 4);
        EVP_MD_CTX_free(mctx);
        unload(&t);
    }
}

static void test_context_can_change_its_key(void **state)
{
    struct trio a = load("rsa2048"), b = load("p384");
    EVP_MD_CTX *mctx = begin(ctx, a.key, "SHA256", PSS);
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);

    (void)state;
    EVP_MD_CTX_reset(mctx);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, b.key, NULL), 1);
    EVP_PKEY_free(b.key); /* the context keeps it */
    assert_int_equal(
        EVP_DigestSign(mctx, sig, &len, fixture_message, fixture_message_len),
        1);
    assert_true(fixture_verify(b.public, "SHA256", sig, len));
    EVP_MD_CTX_free(mctx);
    b.key = NULL;
    unload(&a);
    unload(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_signs_every_digest),
        cmocka_unit_test(test_edwards_keys_sign_the_message_itself),
        cmocka_unit_test(test_edwards_keys_refuse_a_digest_and_updates),
        cmocka_unit_test(test_default_digest_is_sha256),
        cmocka_unit_test(test_message_may_come_in_pieces),
        cmocka_unit_test(test_empty_message_is_signed),
        cmocka_unit_test(test_final_leaves_the_context_as_it_was),
        cmocka_unit_test(test_one_shot_ends_the_message),
        cmocka_unit_test(test_copy_in_mid_stream_finishes_by_itself),
        cmocka_unit_test(test_copy_of_a_verification_finishes_by_itself),
        cmocka_unit_test(test_null_key_begins_anew),
        cmocka_unit_test(test_context_can_change_its_key),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/signature", tests, setup,
                                       teardown);
}
