/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/config: what each option refuses.  A bad value never keeps the
 * provider from loading, which fixture_context() sees to each time; it is
 * raised at every use, while the default provider goes on working.
 */
#include "fixture.h"
#include <stdio.h>

/* Nothing of ours works, and each time with a reason; "default" does. */
static void assert_fails(OSSL_LIB_CTX *ctx, const char *reason,
                         const char *word, const char *other_word)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len = 0;

    for (int i = 0; i < 2; i++) {
        assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
        fixture_assert_error(0, reason, word, other_word, NULL);
    }
    assert_int_equal(EVP_Q_digest(ctx, "SHA256", NULL, "abc", 3, digest, &len),
                     1);
    assert_int_equal(len, 32);
}

static void test_every_option_refuses_bad_values_at_first_use(void **state)
{
    static const struct {
        const char *option, *name;
    } rows[] = {
        { "pkcs11-module-cache-sessions = many",
          "pkcs11-module-cache-sessions" },
        { "pkcs11-module-cache-sessions = -1", "pkcs11-module-cache-sessions" },
        { "pkcs11-module-cache-sessions = 5x", "pkcs11-module-cache-sessions" },
        { "pkcs11-module-cache-sessions = 99999999999999999999",
          "pkcs11-module-cache-sessions" },
        { "pkcs11-module-login-behavior = sometimes",
          "pkcs11-module-login-behavior" },
        { "pkcs11-module-load-behavior = late", "pkcs11-module-load-behavior" },
        { "pkcs11-module-quirks = no-such-quirk", "pkcs11-module-quirks" },
        { "pkcs11-module-quirks = no-deinit no-such", "pkcs11-module-quirks" },
        { "pkcs11-module-assume-fips = perhaps", "pkcs11-module-assume-fips" },
        { "hsmsign-max-sessions = 0", "hsmsign-max-sessions" },
        { "hsmsign-max-sessions = all", "hsmsign-max-sessions" },
        { "hsmsign-deadline = 3s", "hsmsign-deadline" },
        { "hsmsign-deadline = -1", "hsmsign-deadline" },
        { "hsmsign-deadline = 9223372036854775808", "hsmsign-deadline" },
        { "hsmsign-log = nowhere", "nowhere" },
        { "hsmsign-log = stderr,loud", "loud" },
        { "hsmsign-log = file:/nonexistent/log", "/nonexistent/log" },
        { "pkcs11-module-token-pin = file:", "pkcs11-module-token-pin" },
        { "pkcs11-module-token-pin = env:", "pkcs11-module-token-pin" },
        { "pkcs11-module-path =", "pkcs11-module-path" },
        { "hsmsign-public-file =", "hsmsign-public-file" },
        { "hsmsign-vendor-numbers = CKM_EDDSA", "hsmsign-vendor-numbers" },
        { "pkcs11-module-init-args =", "pkcs11-module-init-args" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_LIB_CTX *ctx = fixture_softhsm(rows[i].option);

        assert_fails(ctx, "the configuration is wrong", rows[i].name, "");
        OSSL_LIB_CTX_free(ctx);
    }
}

/* Also when the module is loaded early: init succeeds, the use says why. */
static void test_early_load_that_fails_is_told_at_first_use(void **state)
{
    OSSL_LIB_CTX *ctx = NULL;

    (void)state;
    ctx = fixture_module("/nonexistent/module.so",
                         "pkcs11-module-load-behavior = early");
    fixture_assert_no_error();
    assert_fails(ctx, "the PKCS #11 module cannot be loaded",
                 "/nonexistent/module.so", "pkcs11-module-path");
    OSSL_LIB_CTX_free(ctx);
}

static void test_module_must_be_a_pkcs11_module(void **state)
{
    const char *self = fixture_required("HSMSIGN_PROVIDER");
    OSSL_LIB_CTX *ctx = fixture_module("/nonexistent/module.so", FIXTURE_PIN);

    (void)state;
    assert_fails(ctx, "the PKCS #11 module cannot be loaded",
                 "/nonexistent/module.so", "HSM_MODULE");
    OSSL_LIB_CTX_free(ctx);
    ctx = fixture_module(self, FIXTURE_PIN);
    assert_fails(ctx, "the PKCS #11 module cannot be loaded", self,
                 "C_GetFunctionList");
    OSSL_LIB_CTX_free(ctx);
    ctx = fixture_module("/dev/null", FIXTURE_PIN);
    assert_fails(ctx, "the PKCS #11 module cannot be loaded", "/dev/null", "");
    OSSL_LIB_CTX_free(ctx);
}

/* A file of public keys is read when it is needed, and then has to be there. */
static void test_public_file_that_is_missing_is_named(void **state)
{
    OSSL_LIB_CTX *ctx = fixture_softhsm(
        FIXTURE_PIN "hsmsign-public-file = /nonexistent/public.pem\n");

    (void)state;
    assert_null(fixture_load(ctx, FIXTURE_URI "p256-bare"));
    fixture_assert_error(0, "the configuration is wrong",
                         "/nonexistent/public.pem", "hsmsign-public-file",
                         NULL);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_refuses_bad_values_at_first_use),
        cmocka_unit_test(test_early_load_that_fails_is_told_at_first_use),
        cmocka_unit_test(test_module_must_be_a_pkcs11_module),
        cmocka_unit_test(test_public_file_that_is_missing_is_named),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/config, bad values", tests,
                                       NULL, NULL);
}
