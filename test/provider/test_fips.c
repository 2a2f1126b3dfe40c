/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FIPS provider in the place of the default one, and fips=yes asked of
 * everything: keys on the token sign, with digests, random numbers and
 * verification from there.  Skipped where libcrypto comes without it.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char module_config[256]; /* what fipsinstall wrote */

static void fips_module(char *path, size_t size)
{
    (void)snprintf(path, size, "%s/fips.so",
                   OPENSSL_info(OPENSSL_INFO_MODULES_DIR));
}

/* fipsinstall runs the self-tests and writes the module's checksum. */
static int setup(void **state)
{
    char module[4096];
    pid_t pid = 0;

    (void)state;
    fips_module(module, sizeof(module));
    (void)snprintf(module_config, sizeof(module_config), "%s/fipsmodule.cnf",
                   fixture_directory());
    pid = fork();
    if (pid == 0) {
        execlp("openssl", "openssl", "fipsinstall", "-quiet", "-module", module,
               "-out", module_config, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(fixture_wait(pid), 0);
    fixture_copy_token();
    (void)fixture_software();
    return 0;
}

/* fips and base instead of default; query: the default properties. */
static OSSL_LIB_CTX *context(const char *query, const char *options)
{
    char text[4096];
    int len = snprintf(
        text, sizeof(text),
        "openssl_conf = init\n"
        "[init]\nproviders = providers\nalg_section = algorithms\n"
        "[algorithms]\ndefault_properties = %s\n"
        "[providers]\nfips = fips_sect\nbase = base\nhsmsign = hsmsign\n"
        "[base]\nactivate = 1\n"
        "[hsmsign]\nmodule = %s\nactivate = 1\n" FIXTURE_PIN
        "pkcs11-module-path = %s\n%s"
        ".include = %s\n", /* last: it begins a section */
        query, fixture_required("HSMSIGN_PROVIDER"),
        fixture_required("SOFTHSM2_MODULE"), options, module_config);
    OSSL_LIB_CTX *ctx = NULL;

    assert_in_range(len, 1, sizeof(text) - 1);
    ctx = fixture_configured(text);
    assert_int_equal(OSSL_PROVIDER_available(ctx, "fips"), 1);
    assert_int_equal(OSSL_PROVIDER_available(ctx, "default"), 0);
    return ctx;
}

static const struct {
    const char *name, *md, *pad;
} keys[] = {
    { "rsa2048", "SHA256", NULL },    { "rsa3072", "SHA512", "pss" },
    { "rsa2048", "SHA3-256", "pss" }, /* padded here */
    { "p256", "SHA256", NULL },       { "p521", "SHA3-512", NULL },
    { "p256-cert", "SHA256", NULL },  { "p256-label", "SHA256", NULL },
    { "p256-bare", "SHA256", NULL },  { "rsa-pss", "SHA256", "pss" },
    { "ed25519", NULL, NULL },        { "ed448", NULL, NULL },
};

/* The public half verifies in libctx. */
static bool verifies(OSSL_LIB_CTX *libctx, EVP_PKEY *public, size_t i,
                     const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = EVP_DigestVerifyInit_ex(mctx, &pctx, keys[i].md, libctx, NULL,
                                      public, NULL) > 0 &&
              (keys[i].pad == NULL ||
               EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0) &&
              EVP_DigestVerify(mctx, sig, len, fixture_message,
                               fixture_message_len) == 1;

    EVP_MD_CTX_free(mctx);
    return ok;
}

static void sign_with_all(OSSL_LIB_CTX *ctx)
{
    for (size_t i = 0; i < COUNT(keys); i++) {
        EVP_PKEY *key = fixture_key(ctx, keys[i].name);
        EVP_PKEY *public = fixture_public(keys[i].name);
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx = NULL;
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = sizeof(sig);

        assert_int_equal(EVP_DigestSignInit_ex(mctx, &pctx, keys[i].md, ctx,
                                               NULL, key, NULL),
                         1);
        if (keys[i].pad != NULL)
            assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode",
                                              keys[i].pad) > 0);
        assert_int_equal(EVP_DigestSign(mctx, sig, &len, fixture_message,
                                        fixture_message_len),
                         1);
        assert_true(verifies(fixture_software(), public, i, sig, len));
        assert_true(verifies(ctx, key, i, sig, len));
        EVP_MD_CTX_free(mctx);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    fixture_assert_no_error();
}

static void test_keys_sign_with_the_fips_provider_alone(void **state)
{
    OSSL_LIB_CTX *ctx = context("", "");

    (void)state;
    sign_with_all(ctx);
    OSSL_LIB_CTX_free(ctx);
}

static void test_keys_sign_under_fips_yes_when_we_may_assume_it(void **state)
{
    static const char *const queries[] = { "fips=yes",
                                           "fips=yes,?provider=hsmsign" };

    (void)state;
    for (size_t i = 0; i < COUNT(queries); i++) {
        OSSL_LIB_CTX *ctx =
            context(queries[i], "pkcs11-module-assume-fips = true\n");

        assert_int_equal(EVP_default_properties_is_fips_enabled(ctx), 1);
        sign_with_all(ctx);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* Nobody said that the token is validated. */
static void test_keys_are_not_found_under_fips_yes_otherwise(void **state)
{
    static const char *const options[] = {
        "", "pkcs11-module-assume-fips = false\n"
    };

    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        OSSL_LIB_CTX *ctx = context("fips=yes", options[i]);

        assert_null(fixture_load(ctx, FIXTURE_URI "rsa2048"));
        assert_true(ERR_peek_error() != 0);
        ERR_clear_error();
        OSSL_LIB_CTX_free(ctx);
    }
}

/* What the FIPS provider lacks is refused with a reason. */
static void test_curve_that_fips_lacks_is_refused(void **state)
{
    OSSL_LIB_CTX *ctx = context("", "");

    (void)state;
    assert_null(fixture_load(ctx, FIXTURE_URI "secp256k1"));
    fixture_assert_error(0, "the key's type or curve is not handled",
                         "secp256k1", "libcrypto", NULL);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_sign_with_the_fips_provider_alone),
        cmocka_unit_test(test_keys_sign_under_fips_yes_when_we_may_assume_it),
        cmocka_unit_test(test_keys_are_not_found_under_fips_yes_otherwise),
        cmocka_unit_test(test_curve_that_fips_lacks_is_refused),
    };
    char module[4096];

    fips_module(module, sizeof(module));
    if (access(module, R_OK) != 0)
        return fixture_skip(tests, COUNT(tests),
                            "libcrypto comes without a FIPS provider here");
    fixture_begin();
    return cmocka_run_group_tests_name("provider/fips", tests, setup, NULL);
}
