/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/guard: a signature that the public key does not verify is not given
 * out where hsmsign-verify looks, and what is right is, of every kind.
 */
#include "fake_fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REASON "the signature does not verify"

/* The token's own signatures, of which those from wrong_from on are wrong. */
static struct {
    fake_sign_fn *right;
    atomic_ulong made, wrong_from, wrong_to;
} token;

static CK_RV sign_wrong(struct fake *fake, const struct fake_object *key,
                        const CK_MECHANISM *mechanism,
                        const unsigned char *data, size_t len,
                        unsigned char *sig, size_t *siglen)
{
    unsigned long n = atomic_fetch_add(&token.made, 1);
    CK_RV rv = token.right(fake, key, mechanism, data, len, sig, siglen);

    if (n >= token.wrong_from && n < token.wrong_to)
        sig[*siglen - 1] ^= 1;
    return rv;
}

static struct fake *wrong_fake(unsigned long from, unsigned long to)
{
    struct fake *fake = fake_fixture();

    token.right = fake->sign;
    atomic_store(&token.made, 0);
    atomic_store(&token.wrong_from, from);
    atomic_store(&token.wrong_to, to);
    fake->sign = sign_wrong;
    return fake;
}

/* Sign n times; returns those that were given out, all errors taken. */
static size_t sign_times(OSSL_LIB_CTX *ctx, EVP_PKEY *key, size_t n)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t good = 0;

    for (size_t i = 0; i < n; i++) {
        if (fixture_sign(ctx, key, "SHA256", sig) > 0)
            good++;
        else
            fixture_assert_error(0, REASON, "C_Sign: P11_BAD_SIGNATURE",
                                 "was not released", "out of service",
                                 "load the key anew", NULL);
    }
    return good;
}

static void test_wrong_signature_is_released_only_where_nobody_looks(void **s)
{
    static const struct {
        const char *option, *key;
        unsigned long from, to; /* of the token's signatures: wrong */
        size_t signatures, good;
    } rows[] = {
        { "", "p256", 0, 1, 1, 1 },
        { "hsmsign-verify = off\n", "rsa2048", 0, 1, 1, 1 },
        { "hsmsign-verify = on\n", "p256", 0, 1, 3, 2 },
        { "hsmsign-verify = on\n", "rsa2048", 0, 2, 3, 1 },
        { "hsmsign-verify = on\n", "p256", 5, 6, 8, 7 },
        /* The first; and until one was right, all. */
        { "hsmsign-verify = sample\n", "p256", 0, 1, 2, 1 },
        { "hsmsign-verify = sample\n", "rsa2048", 0, 3, 5, 2 },
        /* Then the 64th of those behind it. */
        { "hsmsign-verify = sample\n", "p256", 1, 64, 64, 64 },
        { "hsmsign-verify = sample\n", "p256", 64, 65, 65, 64 },
        { "hsmsign-verify = sample\n", "p256", 128, 129, 129, 128 },
    };

    (void)s;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_LIB_CTX *ctx = NULL;
        EVP_PKEY *key = NULL;
        size_t good = 0;

        (void)wrong_fake(rows[i].from, rows[i].to);
        ctx = fake_context(rows[i].option);
        key = fake_key(ctx, rows[i].key);
        good = sign_times(ctx, key, rows[i].signatures);
        if (good != rows[i].good)
            fail_msg("row %zu: %zu signatures and not %zu", i, good,
                     rows[i].good);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_wrong_signature_leaves_nothing_in_the_buffer(void **state)
{
    static const unsigned char zero[FIXTURE_SIGNATURE_MAX];
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;

    (void)state;
    (void)wrong_fake(0, 1);
    ctx = fake_context("hsmsign-verify = on\n");
    key = fake_key(ctx, "rsa2048");
    memset(sig, 0x5a, sizeof(sig));
    assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
    assert_memory_equal(sig, zero, sizeof(sig));
    ERR_clear_error();
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_sample_looks_again_when_the_key_was_found_again(void **state)
{
    struct fake *fake = wrong_fake(2, 3);
    OSSL_LIB_CTX *ctx = fake_context("hsmsign-verify = sample\n");
    EVP_PKEY *key = fake_key(ctx, "rsa2048");

    (void)state;
    assert_int_equal(sign_times(ctx, key, 2), 2);
    fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_int_equal(sign_times(ctx, key, 1), 0);
    assert_int_equal(sign_times(ctx, key, 1), 1);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_verification_costs_no_call(void **state)
{
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("hsmsign-verify = on\n");
    EVP_PKEY *key = fake_key(ctx, "p256");
    char calls[256];

    (void)state;
    fake_calls_reset(fake);
    assert_int_equal(sign_times(ctx, key, 2), 2);
    assert_string_equal(fake_calls(fake, calls, sizeof(calls)),
                        "C_SignInit C_Sign C_SignInit C_Sign");
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

/* Its two signatures are verified by each other; and then it is known. */
static void test_public_half_that_is_not_known_is_learnt(void **state)
{
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("hsmsign-verify = on\n");
    EVP_PKEY *key = fake_key(ctx, "p256-bare");
    EVP_PKEY *public = fixture_public("p256-bare");

    (void)state;
    fake_calls_reset(fake);
    for (int i = 0; i < 3; i++)
        assert_true(fixture_signs(ctx, key, public));
    assert_int_equal(fake_count(fake, "C_Sign"), 5);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

/* A signature tells nothing of an Ed25519 key. */
static void test_what_cannot_be_verified_is_not_released(void **state)
{
    static const char *const options[] = { "on", "sample" };

    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        char option[80];
        OSSL_LIB_CTX *ctx = NULL;
        EVP_PKEY *key = NULL;

        (void)snprintf(option, sizeof(option),
                       FIXTURE_PIN "hsmsign-verify = %s\n", options[i]);
        ctx = fixture_softhsm(option);
        key = fixture_key(ctx, "ed25519-bare");
        for (int j = 0; j < 3; j++) {
            assert_int_equal(fixture_sign(ctx, key, NULL, sig), 0);
            fixture_assert_error(0, "the key's public half is not known",
                                 "hsmsign-verify: ", "hsmsign-public-file",
                                 NULL);
        }
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* A row: how EVP_PKEY_sign is told to; md NULL: none. */
struct kind {
    const char *key, *md, *pad, *salt, *mgf1;
    size_t len; /* of what is signed */
};

static bool set_kind(EVP_PKEY_CTX *pctx, const struct kind *kind)
{
    return (kind->pad == NULL ||
            EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", kind->pad) > 0) &&
           (kind->md == NULL ||
            EVP_PKEY_CTX_ctrl_str(pctx, "digest", kind->md) > 0) &&
           (kind->salt == NULL ||
            EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", kind->salt) > 0) &&
           (kind->mgf1 == NULL ||
            EVP_PKEY_CTX_ctrl_str(pctx, "rsa_mgf1_md", kind->mgf1) > 0);
}

static bool signs_kind(OSSL_LIB_CTX *ctx, const struct kind *kind)
{
    EVP_PKEY *key = fixture_key(ctx, kind->key);
    EVP_PKEY *public = fixture_public(kind->key);
    EVP_PKEY_CTX *signer = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    EVP_PKEY_CTX *verifier =
        EVP_PKEY_CTX_new_from_pkey(fixture_software(), public, NULL);
    unsigned char sig[FIXTURE_SIGNATURE_MAX], in[512];
    size_t len = sizeof(sig);
    bool ok = false;

    memset(in, 0x2a, sizeof(in));
    ok = EVP_PKEY_sign_init(signer) > 0 && set_kind(signer, kind) &&
         EVP_PKEY_sign(signer, sig, &len, in, kind->len) > 0 &&
         EVP_PKEY_verify_init(verifier) > 0 && set_kind(verifier, kind) &&
         EVP_PKEY_verify(verifier, sig, len, in, kind->len) == 1;
    EVP_PKEY_CTX_free(signer);
    EVP_PKEY_CTX_free(verifier);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    return ok;
}

static void test_right_signature_of_every_kind_is_released(void **state)
{
    static const struct kind kinds[] = {
        { "rsa2048", NULL, "pkcs1", NULL, NULL, 20 },
        { "rsa2048", "SHA1", "pkcs1", NULL, NULL, 20 },
        { "rsa2048", "SHA512", "pkcs1", NULL, NULL, 64 },
        { "rsa2048", "SHA3-384", "pkcs1", NULL, NULL, 48 },
        { "rsa2048", NULL, "none", NULL, NULL, 256 },
        { "rsa2048", "SHA256", "pss", "digest", NULL, 32 },
        { "rsa2048", "SHA256", "pss", "max", NULL, 32 },
        { "rsa2048", "SHA256", "pss", "0", NULL, 32 },
        { "rsa3072", "SHA384", "pss", "20", "SHA384", 48 },
        /* Padded here, as SoftHSM has none of these. */
        { "rsa2048", "SHA256", "pss", "digest", "SHA1", 32 },
        { "rsa2048", "SHA3-256", "pss", "digest", NULL, 32 },
        { "rsa2048", "SHA512-256", "pss", "max", NULL, 32 },
        { "p256", NULL, NULL, NULL, NULL, 32 },
        { "p256", "SHA512", NULL, NULL, NULL, 64 },
        { "p256", NULL, NULL, NULL, NULL, 48 },
        { "p384", "SHA384", NULL, NULL, NULL, 48 },
        { "p521", "SHA512", NULL, NULL, NULL, 64 },
        { "p224", "SHA256", NULL, NULL, NULL, 32 },
        { "p256-bare", "SHA256", NULL, NULL, NULL, 32 },
    };
    static const char *const messages[] = { "ed25519", "ed448" };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN "hsmsign-verify = on\n");

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (!signs_kind(ctx, &kinds[i])) {
            ERR_print_errors_fp(stderr);
            fail_msg("row %zu, %s", i, kinds[i].key);
        }
        fixture_assert_no_error();
    }
    for (size_t i = 0; i < COUNT(messages); i++) {
        EVP_PKEY *key = fixture_key(ctx, messages[i]);
        EVP_PKEY *public = fixture_public(messages[i]);

        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
    OSSL_LIB_CTX_free(ctx);
}

enum { THREADS = 8, ROUNDS = 40 };

struct work {
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *key, *public;
    atomic_int right, wrong, refused;
};

static void *sign_many(void *arg)
{
    struct work *work = arg;
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    for (int i = 0; i < ROUNDS; i++) {
        size_t len = fixture_sign(work->ctx, work->key, "SHA256", sig);

        if (len == 0)
            atomic_fetch_add(&work->refused, 1);
        else if (fixture_verify(work->public, "SHA256", sig, len))
            atomic_fetch_add(&work->right, 1);
        else
            atomic_fetch_add(&work->wrong, 1);
    }
    ERR_clear_error();
    return NULL;
}

/*
 * Also the first of each thread, since none of them was right before; with
 * "sample" what the others hold when the first right one is seen may pass.
 */
static void test_threads_get_no_wrong_signature(void **state)
{
    static const struct {
        const char *option;
        unsigned long from, to;
        int in_flight;
    } rows[] = { { "hsmsign-verify = on\n", 50, 150, 0 },
                 { "hsmsign-verify = sample\n", 0, 100, THREADS - 1 } };
    pthread_t threads[THREADS];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct work work = { .public = fixture_public("p256") };
        int bad = (int)(rows[i].to - rows[i].from), wrong;

        (void)wrong_fake(rows[i].from, rows[i].to);
        work.ctx = fake_context(rows[i].option);
        work.key = fake_key(work.ctx, "p256");
        for (int j = 0; j < THREADS; j++)
            assert_int_equal(
                pthread_create(&threads[j], NULL, sign_many, &work), 0);
        for (int j = 0; j < THREADS; j++)
            assert_int_equal(pthread_join(threads[j], NULL), 0);
        wrong = atomic_load(&work.wrong);
        assert_in_range(wrong, 0, rows[i].in_flight);
        assert_int_equal(atomic_load(&work.refused), bad - wrong);
        assert_int_equal(atomic_load(&work.right), THREADS * ROUNDS - bad);
        EVP_PKEY_free(work.key);
        EVP_PKEY_free(work.public);
        OSSL_LIB_CTX_free(work.ctx);
    }
}

/* A child finds the key again: its first is looked at, the parent's are not. */
static void test_child_verifies_its_first_signature(void **state)
{
    struct fake *fake = wrong_fake(1, 2);
    OSSL_LIB_CTX *ctx = fake_context("hsmsign-verify = sample\n");
    EVP_PKEY *key = fake_key(ctx, "rsa2048");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    pid_t pid = -1;

    (void)state;
    (void)fake;
    assert_int_equal(sign_times(ctx, key, 1), 1);
    pid = fork();
    if (pid == 0)
        _exit(fixture_sign(ctx, key, "SHA256", sig) == 0 &&
                      fixture_sign(ctx, key, "SHA256", sig) > 0
                  ? 0
                  : 1);
    assert_int_equal(fixture_wait(pid), 0);
    assert_int_equal(sign_times(ctx, key, 1), 1);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_value_that_is_no_choice_is_refused(void **state)
{
    static const char *const options[] = { "hsmsign-verify = sometimes\n",
                                           "hsmsign-verify =\n" };

    (void)state;
    (void)fake_fixture();
    for (size_t i = 0; i < COUNT(options); i++) {
        OSSL_LIB_CTX *ctx = fake_context(options[i]);

        assert_null(fixture_load(ctx, FAKE_URI "p256"));
        fixture_assert_error(0, "the configuration is wrong", "hsmsign-verify",
                             "off, sample or on", NULL);
        OSSL_LIB_CTX_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_wrong_signature_is_released_only_where_nobody_looks),
        cmocka_unit_test(test_wrong_signature_leaves_nothing_in_the_buffer),
        cmocka_unit_test(test_sample_looks_again_when_the_key_was_found_again),
        cmocka_unit_test(test_verification_costs_no_call),
        cmocka_unit_test(test_public_half_that_is_not_known_is_learnt),
        cmocka_unit_test(test_what_cannot_be_verified_is_not_released),
        cmocka_unit_test(test_right_signature_of_every_kind_is_released),
        cmocka_unit_test(test_threads_get_no_wrong_signature),
        cmocka_unit_test(test_value_that_is_no_choice_is_refused),
        cmocka_unit_test(test_child_verifies_its_first_signature),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/guard", tests,
                                       fixture_keep_provider, NULL);
}
