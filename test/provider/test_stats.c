/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/stats: the numbers that OSSL_PROVIDER_get_params() gives are those
 * of what happened at the token.
 */
#include "fake_fixture.h"
#include <openssl/params.h>
#include <openssl/provider.h>

static uint64_t number(OSSL_PROVIDER *provider, const char *name)
{
    uint64_t value = UINT64_MAX;
    OSSL_PARAM params[] = { OSSL_PARAM_uint64(name, &value), OSSL_PARAM_END };

    assert_non_null(
        OSSL_PARAM_locate_const(OSSL_PROVIDER_gettable_params(provider), name));
    assert_int_equal(OSSL_PROVIDER_get_params(provider, params), 1);
    assert_int_not_equal(value, UINT64_MAX);
    return value;
}

static void sign(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char signature[512];
    size_t len = sizeof(signature);

    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(
        EVP_PKEY_sign(ctx, signature, &len, (const unsigned char *)"digest", 6),
        1);
    EVP_PKEY_CTX_free(ctx);
}

static void test_numbers_are_of_what_happened(void **state)
{
    static const struct {
        CK_RV rv;
        const char *counts;
        unsigned times;
        bool paused; /* a new session alone did not mend it */
    } rows[] = {
        { CKR_SESSION_HANDLE_INVALID, "hsmsign-errors-session", 1, false },
        { CKR_FUNCTION_FAILED, "hsmsign-errors-busy", 6, true },
    };
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("hsmsign-deadline = 60000\n");
    EVP_PKEY *key = fake_key(ctx, "rsa2048");
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(ctx, "hsmsign");

    (void)state;
    sign(key);
    assert_int_equal(number(provider, "hsmsign-sessions"), 1);
    assert_int_equal(number(provider, "hsmsign-sessions-lent"), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t before = number(provider, rows[i].counts);
        uint64_t retries = number(provider, "hsmsign-retries");

        fake_fail(fake, "C_Sign", rows[i].rv, 1, rows[i].times);
        sign(key);
        assert_int_equal(number(provider, rows[i].counts),
                         before + rows[i].times);
        assert_int_equal(number(provider, "hsmsign-retries") > retries,
                         rows[i].paused);
    }
    assert_int_equal(number(provider, "hsmsign-errors-device"), 0);
    assert_int_equal(number(provider, "hsmsign-errors-pin"), 0);
    EVP_PKEY_free(key);
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(ctx);
}

/* An RSA key of SoftHSM lacks what every key is asked for; and so on. */
static void test_answers_that_are_no_failures_are_not_counted(void **state)
{
    static const char *const names[] = {
        "hsmsign-errors-session", "hsmsign-errors-busy",
        "hsmsign-errors-device", "hsmsign-errors-pin", "hsmsign-errors-other"
    };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(ctx, "hsmsign");
    EVP_PKEY *key = fixture_key(ctx, "rsa2048");

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(number(provider, names[i]), 0);
    EVP_PKEY_free(key);
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(ctx);
}

/* Before the first URI there is no module, and nothing to count. */
static void test_provider_without_a_module_has_no_sessions(void **state)
{
    OSSL_LIB_CTX *ctx = fake_context("");
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(ctx, "hsmsign");

    (void)state;
    assert_int_equal(number(provider, "hsmsign-sessions"), 0);
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provider_without_a_module_has_no_sessions),
        cmocka_unit_test(test_answers_that_are_no_failures_are_not_counted),
        cmocka_unit_test(test_numbers_are_of_what_happened),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
