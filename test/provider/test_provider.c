/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/provider: what libcrypto is told of it, that its name does not
 * matter, and that several library contexts live side by side.
 */
#include "fake_fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

static EVP_PKEY *public; /* of p256 */

static int setup(void **state)
{
    (void)state;
    fixture_copy_token(); /* also for contexts with names of their own */
    public = fixture_public("p256");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(public);
    return 0;
}

static void test_provider_says_what_it_is(void **state)
{
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(ctx, "hsmsign");
    char *name = NULL, *version = NULL, *build = NULL;
    int status = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, &name, 0),
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, &version, 0),
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, &build, 0),
        OSSL_PARAM_construct_int(OSSL_PROV_PARAM_STATUS, &status),
        OSSL_PARAM_construct_end()
    };

    (void)state;
    assert_non_null(provider);
    assert_non_null(OSSL_PROVIDER_gettable_params(provider));
    assert_int_equal(OSSL_PROVIDER_get_params(provider, params), 1);
    assert_non_null(strstr(name, "hsmsign"));
    assert_string_equal(version, HSMSIGN_VERSION);
    assert_non_null(build);
    assert_int_equal(status, 1);
    assert_int_equal(OSSL_PROVIDER_unload(provider), 1);
    OSSL_LIB_CTX_free(ctx);
}

/* Digests and random numbers would call us from inside a token. */
static void test_only_what_a_key_needs_is_offered(void **state)
{
    static const struct {
        int operation;
        bool offered;
    } rows[] = {
        { OSSL_OP_KEYMGMT, true }, { OSSL_OP_SIGNATURE, true },
        { OSSL_OP_STORE, true },   { OSSL_OP_DECODER, true },
        { OSSL_OP_DIGEST, false }, { OSSL_OP_RAND, false },
        { OSSL_OP_CIPHER, false }, { OSSL_OP_MAC, false },
        { OSSL_OP_KDF, false },    { OSSL_OP_KEYEXCH, true },
    };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(ctx, "hsmsign");

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int no_cache = 0;
        const OSSL_ALGORITHM *offer = OSSL_PROVIDER_query_operation(
            provider, rows[i].operation, &no_cache);

        assert_int_equal(offer != NULL, rows[i].offered);
        for (; offer != NULL && offer->algorithm_names != NULL; offer++)
            assert_non_null(
                strstr(offer->property_definition, "provider=hsmsign"));
    }
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(ctx);
}

/* Programs that name no property get software keys from "default", not us. */
static void test_software_work_stays_with_the_default_provider(void **state)
{
    static const char *const types[] = { "RSA", "EC", "ED25519" };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(ctx, NULL, "EC", "P-256");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = 0;

    (void)state;
    assert_non_null(key);
    len = fixture_sign(ctx, key, "SHA256", sig);
    assert_true(fixture_verify(key, "SHA256", sig, len));
    for (size_t i = 0; i < COUNT(types); i++) {
        EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(ctx, types[i], NULL);

        assert_string_equal(
            OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(keymgmt)),
            "default");
        EVP_KEYMGMT_free(keymgmt);
    }
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_name_of_activation_does_not_matter(void **state)
{
    static const char *const names[] = { "token", "pkcs11", "default2" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct fixture_errors errors;
        char options[512];
        OSSL_LIB_CTX *ctx = NULL;
        EVP_PKEY *key = NULL;

        (void)snprintf(options, sizeof(options),
                       FIXTURE_PIN "pkcs11-module-path = %s\n",
                       fixture_required("SOFTHSM2_MODULE"));
        ctx = fixture_context(names[i], options);
        key = fixture_key(ctx, "p256");
        assert_true(fixture_signs(ctx, key, public));
        assert_null(fixture_load(ctx, FIXTURE_URI "nope"));
        fixture_take_errors(names[i], &errors);
        assert_int_equal(errors.ours, 1);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

static bool has_loader(OSSL_LIB_CTX *ctx, const char *properties)
{
    OSSL_STORE_LOADER *loader =
        OSSL_STORE_LOADER_fetch(ctx, "pkcs11", properties);
    bool found = loader != NULL;

    OSSL_STORE_LOADER_free(loader);
    ERR_clear_error();
    return found;
}

static void test_assume_fips_marks_the_algorithms(void **state)
{
    OSSL_LIB_CTX *plain = fixture_softhsm(FIXTURE_PIN);
    OSSL_LIB_CTX *fips =
        fixture_softhsm(FIXTURE_PIN "pkcs11-module-assume-fips = true\n");

    (void)state;
    assert_true(has_loader(plain, "provider=hsmsign"));
    assert_false(has_loader(plain, "fips=yes"));
    assert_true(has_loader(fips, "fips=yes"));
    assert_true(has_loader(fips, "provider=hsmsign,fips=yes"));
    OSSL_LIB_CTX_free(plain);
    OSSL_LIB_CTX_free(fips);
}

static void test_two_contexts_work_at_once(void **state)
{
    OSSL_LIB_CTX *a = fixture_softhsm(FIXTURE_PIN);
    OSSL_LIB_CTX *b = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *of_a = fixture_key(a, "p256"), *of_b = fixture_key(b, "p256");

    (void)state;
    assert_true(fixture_signs(a, of_a, public));
    assert_true(fixture_signs(b, of_b, public));
    assert_int_equal(EVP_PKEY_eq(of_a, of_b), 1);
    EVP_PKEY_free(of_a);
    OSSL_LIB_CTX_free(a);
    assert_true(fixture_signs(b, of_b, public));
    a = fixture_softhsm(FIXTURE_PIN);
    of_a = fixture_key(a, "p256");
    EVP_PKEY_free(of_b);
    OSSL_LIB_CTX_free(b);
    assert_true(fixture_signs(a, of_a, public));
    EVP_PKEY_free(of_a);
    OSSL_LIB_CTX_free(a);
    fixture_assert_no_error();
}

/* What one context asks of its token is not the other's business. */
static void test_two_contexts_have_two_modules(void **state)
{
    OSSL_LIB_CTX *a = fixture_softhsm(FIXTURE_PIN);
    OSSL_LIB_CTX *b = fake_context("");
    EVP_PKEY *key = fixture_key(a, "p256");

    (void)state;
    (void)fake_fixture();
    assert_null(fixture_load(b, FIXTURE_URI "p256"));
    fixture_assert_error(0, "no token matches the URI", "\"fake\"", NULL);
    assert_null(fixture_load(a, "pkcs11:token=fake;object=x"));
    fixture_assert_error(0, "no token matches the URI", "\"demo\"", NULL);
    OSSL_LIB_CTX_free(b);
    assert_true(fixture_signs(a, key, public));
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(a);
}

/* A caller's properties do not send us to ourselves, or nowhere. */
static void test_property_queries_of_the_caller_are_understood(void **state)
{
    static const char *const queries[] = {
        "provider=hsmsign", "?provider=hsmsign", "provider=hsmsign,fips!=yes",
        "fips!=yes,provider=hsmsign", "-provider, ?fips=yes"
    };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *key = fixture_key(ctx, "p256");

    (void)state;
    for (size_t i = 0; i < COUNT(queries); i++) {
        static const unsigned char digest[32];
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, queries[i]);

        assert_non_null(pctx);
        assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
        assert_int_equal(EVP_PKEY_CTX_ctrl_str(pctx, "digest", "SHA256"), 1);
        assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, digest, 32), 1);
        EVP_PKEY_CTX_free(pctx);
    }
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

/* EVP_get_digestbyname() of older ones takes them for digests' names. */
static void test_openssl_below_3_4_is_not_told_names_with_digests(void **state)
{
    static const char *const names[] = { "RSA-SHA256", "RSA-SHA2-512",
                                         "ECDSA-SHA384", "ED25519" };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    bool is_new =
        OPENSSL_version_major() > 3 ||
        (OPENSSL_version_major() == 3 && OPENSSL_version_minor() >= 4);

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_SIGNATURE *alg =
            EVP_SIGNATURE_fetch(ctx, names[i], "provider=hsmsign");

        assert_int_equal(alg != NULL, is_new);
        EVP_SIGNATURE_free(alg);
    }
    ERR_clear_error();
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provider_says_what_it_is),
        cmocka_unit_test(test_only_what_a_key_needs_is_offered),
        cmocka_unit_test(test_software_work_stays_with_the_default_provider),
        cmocka_unit_test(test_name_of_activation_does_not_matter),
        cmocka_unit_test(test_assume_fips_marks_the_algorithms),
        cmocka_unit_test(test_two_contexts_work_at_once),
        cmocka_unit_test(test_two_contexts_have_two_modules),
        cmocka_unit_test(test_property_queries_of_the_caller_are_understood),
        cmocka_unit_test(test_openssl_below_3_4_is_not_told_names_with_digests),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/provider", tests, setup,
                                       teardown);
}
