/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/spki: a key that is pinned, by the URI or the configuration, is
 * loaded if it is that one and the token proves it, and otherwise is not.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

#define REASON "the key is not the one that is pinned"
#define STRANGER                                                               \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* As "openssl pkey -pubin -outform DER | sha256sum" has it. */
static const char *pin_of(const char *name, bool upper)
{
    static char pin[65];
    EVP_PKEY *public = fixture_public(name);
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    int len = i2d_PUBKEY(public, &der);
    size_t n = 0;

    assert_true(len > 0);
    assert_int_equal(EVP_Q_digest(fixture_software(), "SHA256", NULL, der,
                                  (size_t)len, digest, &n),
                     1);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(pin + 2 * i, 3, upper ? "%02X" : "%02x", digest[i]);
    OPENSSL_free(der);
    EVP_PKEY_free(public);
    return pin;
}

static OSSL_LIB_CTX *pinning(OSSL_LIB_CTX *(*context)(const char *),
                             const char *pins)
{
    char options[512];

    (void)snprintf(options, sizeof(options),
                   FIXTURE_PIN "hsmsign-spki-sha256 = %s\n", pins);
    return context(options);
}

static EVP_PKEY *load(OSSL_LIB_CTX *ctx, const char *base, const char *key,
                      const char *pins)
{
    char uri[512];

    (void)snprintf(uri, sizeof(uri), "%s%s%s%s", base, key,
                   *pins != '\0' ? "?spki-sha256=" : "", pins);
    return fixture_load(ctx, uri);
}

static void assert_signs(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *name)
{
    EVP_PKEY *public = fixture_public(name);

    if (key == NULL || !fixture_signs(ctx, key, public)) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s", name);
    }
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

static void test_key_that_the_uri_pins_is_loaded_and_another_is_not(void **s)
{
    static const char *const keys[] = {
        "rsa2048",   "p256",       "p384",    "p256-bare",
        "p256-cert", "p256-label", "ed25519", "ed448",
    };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);

    (void)s;
    for (size_t i = 0; i < COUNT(keys); i++) {
        const char *pin = pin_of(keys[i], false);
        char two[200];

        assert_signs(ctx, load(ctx, FIXTURE_URI, keys[i], pin), keys[i]);
        (void)snprintf(two, sizeof(two), "%s,%s", pin, STRANGER);
        assert_signs(ctx, load(ctx, FIXTURE_URI, keys[i], two), keys[i]);
        pin = pin_of(keys[i], true);
        (void)snprintf(two, sizeof(two), STRANGER ",%s", pin);
        assert_signs(ctx, load(ctx, FIXTURE_URI, keys[i], two), keys[i]);
        assert_null(load(ctx, FIXTURE_URI, keys[i], STRANGER));
        fixture_assert_error(0, REASON,
                             "spki-sha256 in the URI is not for this key",
                             pin_of(keys[i], false), keys[i], NULL);
        assert_null(load(ctx, FIXTURE_URI, keys[i], STRANGER "," STRANGER));
        fixture_assert_error(0, REASON, keys[i], NULL);
    }
    OSSL_LIB_CTX_free(ctx);
}

static void test_option_lets_no_other_key_be_loaded(void **state)
{
    char pins[300];
    OSSL_LIB_CTX *ctx = NULL;
    int len = snprintf(pins, sizeof(pins), "%s,", pin_of("p256", true));

    (void)state;
    (void)snprintf(pins + len, sizeof(pins) - (size_t)len, "%s",
                   pin_of("ed25519", false));
    ctx = pinning(fixture_softhsm, pins);
    assert_signs(ctx, load(ctx, FIXTURE_URI, "p256", ""), "p256");
    assert_signs(ctx, load(ctx, FIXTURE_URI, "ed25519", ""), "ed25519");
    assert_signs(ctx, load(ctx, FIXTURE_URI, "p256", pin_of("p256", false)),
                 "p256");
    assert_null(load(ctx, FIXTURE_URI, "rsa2048", ""));
    fixture_assert_error(0, REASON, "hsmsign-spki-sha256 is not for this key",
                         pin_of("rsa2048", false), NULL);
    /* Both have to hold. */
    assert_null(load(ctx, FIXTURE_URI, "p384", pin_of("p384", false)));
    fixture_assert_error(0, REASON, "hsmsign-spki-sha256 is not for", NULL);
    assert_null(load(ctx, FIXTURE_URI, "p256", pin_of("ed25519", false)));
    fixture_assert_error(0, REASON, "spki-sha256 in the URI is not for", NULL);
    OSSL_LIB_CTX_free(ctx);
}

static void test_option_that_is_no_hash_is_refused(void **state)
{
    static const char *const pins[] = {
        "abcdef",     STRANGER "0",          STRANGER ",",
        "," STRANGER, STRANGER " " STRANGER, "g" STRANGER,
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pins); i++) {
        OSSL_LIB_CTX *ctx = pinning(fixture_softhsm, pins[i]);

        assert_null(load(ctx, FIXTURE_URI, "p256", ""));
        fixture_assert_error(0, "the configuration is wrong",
                             "hsmsign-spki-sha256", "64 hexadecimal digits",
                             NULL);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* It cannot be asked, nor told by signatures. */
static void test_pinned_key_without_public_half_is_not_loaded(void **state)
{
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);

    (void)state;
    assert_null(
        load(ctx, FIXTURE_URI, "ed25519-bare", pin_of("ed25519-bare", false)));
    fixture_assert_error(0, "the key's public half is not known",
                         "hsmsign-public-file", NULL);
    OSSL_LIB_CTX_free(ctx);
}

static fake_sign_fn *right;

static CK_RV sign_wrong(struct fake *fake, const struct fake_object *key,
                        const CK_MECHANISM *mechanism,
                        const unsigned char *data, size_t len,
                        unsigned char *sig, size_t *siglen)
{
    CK_RV rv = right(fake, key, mechanism, data, len, sig, siglen);

    sig[*siglen - 1] ^= 1;
    return rv;
}

/* Whatever the token shows: the private key has to be there. */
static void test_pinned_key_has_to_sign_when_it_is_loaded(void **state)
{
    static const char *const keys[] = { "rsa2048", "p256" };
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("");

    (void)state;
    right = fake->sign;
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = NULL;

        fake->sign = right;
        fake_calls_reset(fake);
        key = load(ctx, FAKE_URI, keys[i], pin_of(keys[i], false));
        assert_non_null(key);
        assert_int_equal(fake_count(fake, "C_Sign"), 1);
        EVP_PKEY_free(key);
        fake->sign = sign_wrong;
        assert_null(load(ctx, FAKE_URI, keys[i], pin_of(keys[i], false)));
        fixture_assert_error(0, REASON, "signs with another one", keys[i],
                             NULL);
    }
    fake->sign = right;
    fake_fail(fake, "C_SignInit", CKR_KEY_FUNCTION_NOT_PERMITTED, 1, 0);
    assert_null(load(ctx, FAKE_URI, "p256", pin_of("p256", false)));
    fixture_assert_error(0, "the key may not sign", "C_SignInit",
                         "CKR_KEY_FUNCTION_NOT_PERMITTED", NULL);
    OSSL_LIB_CTX_free(ctx);
}

/* An RSA key's modulus is what the token says: here that is not enough. */
static void test_pinned_key_has_to_sign_when_it_is_found_again(void **state)
{
    static const char *const keys[] = { "rsa2048", "p256" };
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct fake *fake = fake_fixture();
        OSSL_LIB_CTX *ctx = fake_context("");
        EVP_PKEY *key = load(ctx, FAKE_URI, keys[i], pin_of(keys[i], false));

        assert_non_null(key);
        assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
        right = fake->sign;
        fake->sign = sign_wrong;
        fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
        assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
        fixture_assert_error(0, "the URI now names another key", keys[i], NULL);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* How many objects of each kind the URI gives. */
static void count_objects(OSSL_LIB_CTX *ctx, const char *uri, size_t found[3])
{
    static const int types[3] = { OSSL_STORE_INFO_PKEY, OSSL_STORE_INFO_PUBKEY,
                                  OSSL_STORE_INFO_CERT };
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);

    memset(found, 0, 3 * sizeof(found[0]));
    assert_non_null(store);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        for (size_t i = 0; info != NULL && i < 3; i++)
            found[i] += OSSL_STORE_INFO_get_type(info) == types[i];
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
}

static void test_pin_holds_for_public_objects_and_in_lists(void **state)
{
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    size_t found[3];
    char uri[256];

    (void)state;
    (void)snprintf(uri, sizeof(uri), "pkcs11:token=demo?spki-sha256=%s",
                   pin_of("p256", false));
    count_objects(ctx, uri, found);
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], 1);
    fixture_assert_no_error();
    (void)snprintf(uri, sizeof(uri),
                   "pkcs11:token=demo;object=p256;type=public?spki-sha256=%s",
                   STRANGER);
    count_objects(ctx, uri, found);
    assert_int_equal(found[1], 0);
    fixture_assert_error(0, REASON, "the public key", NULL);
    (void)snprintf(uri, sizeof(uri),
                   "pkcs11:token=demo;id=%%18;type=cert"
                   "?spki-sha256=%s",
                   STRANGER);
    count_objects(ctx, uri, found);
    assert_int_equal(found[2], 0);
    fixture_assert_error(0, REASON, "spki-sha256 in the URI", NULL);
    (void)snprintf(uri, sizeof(uri),
                   "pkcs11:token=demo;id=%%18;type=cert"
                   "?spki-sha256=%s",
                   pin_of("p256-cert", false));
    count_objects(ctx, uri, found);
    assert_int_equal(found[2], 1);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_key_that_the_uri_pins_is_loaded_and_another_is_not),
        cmocka_unit_test(test_option_lets_no_other_key_be_loaded),
        cmocka_unit_test(test_option_that_is_no_hash_is_refused),
        cmocka_unit_test(test_pinned_key_without_public_half_is_not_loaded),
        cmocka_unit_test(test_pinned_key_has_to_sign_when_it_is_loaded),
        cmocka_unit_test(test_pinned_key_has_to_sign_when_it_is_found_again),
        cmocka_unit_test(test_pin_holds_for_public_objects_and_in_lists),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/spki", tests,
                                       fixture_keep_provider, NULL);
}
