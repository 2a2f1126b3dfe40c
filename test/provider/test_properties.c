/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property queries: keys on the token sign whatever is preferred or asked for,
 * and software keys go on as before where "?provider=hsmsign" is the query for
 * everything.
 */
#include "fixture.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

static const char *const names[] = { "rsa2048", "p256", "p521", "ed25519",
                                     "ed448" };

/* For fetches where the caller gives none. */
static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    (void)fixture_software();
    assert_int_equal(EVP_set_default_properties(ctx, "?provider=hsmsign"), 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static EVP_PKEY *load(const char *name, const char *propq)
{
    char uri[256];
    OSSL_STORE_CTX *store = NULL;
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;

    (void)snprintf(uri, sizeof(uri), FIXTURE_URI "%s", name);
    store = OSSL_STORE_open_ex(uri, ctx, propq, NULL, NULL, NULL, NULL, NULL);
    assert_non_null(store);
    assert_int_equal(OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY), 1);
    info = OSSL_STORE_load(store);
    assert_non_null(info);
    key = OSSL_STORE_INFO_get1_PKEY(info);
    assert_non_null(key);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

static bool signs_digest(EVP_PKEY *key, EVP_PKEY *public, const char *propq)
{
    const char *md = fixture_digest(public);
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);
    bool ok =
        EVP_DigestSignInit_ex(mctx, NULL, md, ctx, propq, key, NULL) > 0 &&
        EVP_DigestSign(mctx, sig, &len, fixture_message, fixture_message_len) >
            0 &&
        fixture_verify(public, md, sig, len) &&
        EVP_DigestVerifyInit_ex(mctx, NULL, md, ctx, propq, key, NULL) > 0 &&
        EVP_DigestVerify(mctx, sig, len, fixture_message,
                         fixture_message_len) == 1;

    EVP_MD_CTX_free(mctx);
    return ok;
}

static void test_token_keys_sign_under_every_query(void **state)
{
    static const char *const queries[] = {
        NULL,
        "",
        "?provider=hsmsign",
        "provider=hsmsign",
        "?provider=default",
        "?provider = hsmsign , ?fips = yes",
        "provider!=legacy",
    };
    struct fixture_errors errors;

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *public = fixture_public(names[i]);

        for (size_t j = 0; j < COUNT(queries); j++) {
            EVP_PKEY *key = load(names[i], queries[j]);
            EVP_PKEY_CTX *pctx =
                EVP_PKEY_CTX_new_from_pkey(ctx, key, queries[j]);

            assert_true(signs_digest(key, public, queries[j]));
            assert_non_null(pctx);
            assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
            /* EdDSA is verified by EVP_DigestVerify alone. */
            if (fixture_digest(public) != NULL)
                assert_int_equal(EVP_PKEY_verify_init(pctx), 1);
            EVP_PKEY_CTX_free(pctx);
            EVP_PKEY_free(key);
        }
        EVP_PKEY_free(public);
    }
    fixture_take_errors("hsmsign", &errors);
    assert_int_equal(errors.ours, 0);
    /* 4.0 leaves that no digest is "provider=hsmsign", when all is done. */
    assert_true(errors.count == 0 || fixture_is_openssl(4, 0));
}

/* Another provider has no private half: it says so, and signs nothing. */
static void test_query_that_excludes_us_signs_nothing(void **state)
{
    static const char *const queries[] = { "provider=default",
                                           "provider!=hsmsign",
                                           "provider=no-such-provider" };
    EVP_PKEY *key = fixture_key(ctx, "rsa2048");
    EVP_PKEY *public = fixture_public("rsa2048");

    (void)state;
    for (size_t i = 0; i < COUNT(queries); i++) {
        assert_false(signs_digest(key, public, queries[i]));
        assert_true(ERR_peek_error() != 0);
        ERR_clear_error();
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

static BIO *open_key(const char *name, const char *end)
{
    char path[4096];
    BIO *bio = NULL;

    fixture_path(path, sizeof(path), name, end);
    bio = BIO_new_file(path, "r");
    assert_non_null(bio);
    return bio;
}

static void test_software_keys_go_on_as_before(void **state)
{
    static const char *const queries[] = { NULL, "?provider=hsmsign" };

    (void)state;
    for (size_t i = 0; i < COUNT(names) * COUNT(queries); i++) {
        const char *name = names[i / COUNT(queries)];
        const char *propq = queries[i % COUNT(queries)];
        BIO *bio = open_key(name, ".key");
        EVP_PKEY *key =
            PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, propq);
        EVP_PKEY *public = fixture_public(name);
        BIO *out = BIO_new(BIO_s_mem());

        if (key == NULL)
            ERR_print_errors_fp(stderr);
        assert_non_null(key);
        assert_true(signs_digest(key, public, propq));
        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_int_equal(
            PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
        assert_true(BIO_pending(out) > 0);
        BIO_free(out);
        BIO_free(bio);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    fixture_assert_no_error();
}

static void test_certificates_verify_as_before(void **state)
{
    BIO *bio = open_key("ca", ".pem");
    X509 *ca = X509_new_ex(ctx, "?provider=hsmsign");

    (void)state;
    assert_non_null(PEM_read_bio_X509(bio, &ca, NULL, NULL));
    BIO_free(bio);
    for (size_t i = 0; i < COUNT(names); i++) {
        X509 *cert = X509_new_ex(ctx, "?provider=hsmsign");
        EVP_PKEY *key = fixture_key(ctx, names[i]);

        bio = open_key(names[i], ".pem");
        assert_non_null(PEM_read_bio_X509(bio, &cert, NULL, NULL));
        assert_int_equal(X509_verify(cert, X509_get0_pubkey(ca)), 1);
        assert_int_equal(X509_check_private_key(cert, key), 1);
        BIO_free(bio);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    X509_free(ca);
    fixture_assert_no_error();
}

static EVP_PKEY *generate(EVP_PKEY_CTX *pctx, const char *curve)
{
    EVP_PKEY *pkey = NULL;

    assert_non_null(pctx);
    if (curve != NULL)
        assert_int_equal(EVP_PKEY_CTX_set_group_name(pctx, curve), 1);
    assert_int_equal(EVP_PKEY_generate(pctx, &pkey), 1);
    EVP_PKEY_CTX_free(pctx);
    return pkey;
}

static size_t agree(OSSL_LIB_CTX *libctx, EVP_PKEY *key, EVP_PKEY *peer,
                    unsigned char secret[128])
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    size_t len = 128;

    assert_int_equal(EVP_PKEY_derive_init(pctx), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(pctx, peer), 1);
    assert_int_equal(EVP_PKEY_derive(pctx, secret, &len), 1);
    EVP_PKEY_CTX_free(pctx);
    return len;
}

/* What is sent to the peer, in a key that has the curve alone. */
static void copy_public(EVP_PKEY *to, EVP_PKEY *from)
{
    unsigned char *point = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key(from, &point);

    assert_true(len > 0);
    assert_int_equal(EVP_PKEY_set1_encoded_public_key(to, point, len), 1);
    assert_int_equal(EVP_PKEY_eq(to, from), 1);
    OPENSSL_free(point);
}

/* Both sides as libssl does it: one of them is not this provider's. */
static void test_handshakes_agree(void **state)
{
    static const char *const curves[] = { "P-256", "P-384", "P-521" };

    (void)state;
    for (size_t i = 0; i < COUNT(curves); i++) {
        OSSL_LIB_CTX *other = fixture_software();
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(ctx, "EC", NULL);
        EVP_PKEY *mine, *theirs, *peer;
        unsigned char secret[128], expected[128];
        size_t len;

        assert_int_equal(EVP_PKEY_paramgen_init(pctx), 1);
        peer = generate(pctx, curves[i]);
        theirs = EVP_PKEY_Q_keygen(other, NULL, "EC", curves[i]);
        copy_public(peer, theirs);
        pctx = EVP_PKEY_CTX_new_from_pkey(ctx, peer, NULL);
        assert_int_equal(EVP_PKEY_keygen_init(pctx), 1);
        mine = generate(pctx, NULL);
        len = agree(ctx, mine, peer, secret);
        EVP_PKEY_free(peer);

        peer = EVP_PKEY_new();
        assert_int_equal(EVP_PKEY_copy_parameters(peer, theirs), 1);
        copy_public(peer, mine);
        assert_int_equal(agree(other, theirs, peer, expected), len);
        assert_memory_equal(secret, expected, len);
        EVP_PKEY_free(peer);
        peer = EVP_PKEY_new();
        assert_int_equal(EVP_PKEY_copy_parameters(peer, mine), 1);
        copy_public(peer, theirs);
        assert_int_equal(agree(ctx, mine, peer, secret), len);
        assert_memory_equal(secret, expected, len);
        EVP_PKEY_free(peer);
        EVP_PKEY_free(mine);
        EVP_PKEY_free(theirs);
    }
    fixture_assert_no_error();
}

/* Nobody gets a software key who wanted one on a token and named none. */
static void test_keys_of_handshakes_do_nothing_else(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(ctx, NULL, "EC", "P-256");
    EVP_PKEY *token = fixture_key(ctx, "p256");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, token, NULL);
    OSSL_PARAM *params = NULL;
    BIO *out = BIO_new(BIO_s_mem());

    (void)state;
    assert_non_null(key);
    assert_false(signs_digest(key, key, NULL));
    fixture_assert_error(1, "this is not offered", "pkcs11_uri", NULL);
    assert_int_equal(PEM_write_bio_PrivateKey_ex(out, key, NULL, NULL, 0, NULL,
                                                 NULL, ctx, NULL),
                     0);
    fixture_assert_error(1, "this is not offered", "pkcs11_uri", NULL);
    assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 0);
    assert_true(EVP_PKEY_derive_init(pctx) <= 0);
    fixture_assert_error(1, "this is not offered", "keys on a token sign",
                         NULL);
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(token);
    EVP_PKEY_free(key);
    BIO_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_keys_sign_under_every_query),
        cmocka_unit_test(test_query_that_excludes_us_signs_nothing),
        cmocka_unit_test(test_software_keys_go_on_as_before),
        cmocka_unit_test(test_certificates_verify_as_before),
        cmocka_unit_test(test_handshakes_agree),
        cmocka_unit_test(test_keys_of_handshakes_do_nothing_else),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/properties", tests, setup,
                                       teardown);
}
