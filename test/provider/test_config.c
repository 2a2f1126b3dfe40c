/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/config: what each option takes, and what the environment gives
 * where the configuration is silent.
 *
 * The process has one log and keeps a login as long as a context holds the
 * module, so that every row has a context of its own.
 */
#include "fixture.h"
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *public; /* of p256 */

static int setup(void **state)
{
    (void)state;
    fixture_copy_token(); /* also for contexts by HSM_MODULE */
    public = fixture_public("p256");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(public);
    return 0;
}

static const char *const variables[] = { "HSM_MODULE", "HSM_PIN",
                                         "HSM_PIN_FILE", "HSMSIGN_LOG",
                                         "TEST_PIN" };

static int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    return 0;
}

static void assert_works(OSSL_LIB_CTX *ctx, const char *what)
{
    EVP_PKEY *key = fixture_load(ctx, FIXTURE_URI "p256");
    struct fixture_errors errors;

    fixture_take_errors("hsmsign", &errors);
    if (key == NULL)
        fail_msg("%s: %s", what, errors.all);
    assert_int_equal(errors.count, 0);
    assert_true(fixture_signs(ctx, key, public));
    EVP_PKEY_free(key);
}

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

static void test_every_option_takes_its_good_values(void **state)
{
    static const char *const options[] = {
        "",
        "pkcs11-module-cache-sessions = 0\n"
        "pkcs11-module-login-behavior = auto\n"
        "pkcs11-module-quirks = no-operation-state\n"
        "pkcs11-module-assume-fips = true\n"
        "hsmsign-deadline = 0\n"
        "hsmsign-verify = off\n"
        "hsmsign-max-sessions = 1\n",
        "pkcs11-module-cache-sessions = 5\n"
        "pkcs11-module-login-behavior = always\n"
        "pkcs11-module-quirks = no-session-callbacks, no-allowed-mechanisms\n"
        "pkcs11-module-assume-fips = No\n"
        "hsmsign-deadline = 3600000\n"
        "hsmsign-verify = Sample\n"
        "hsmsign-max-sessions = 4000000000\n",
        "pkcs11-module-load-behavior = early\n"
        "pkcs11-module-login-behavior = never\n"
        "pkcs11-module-assume-fips = 1\n"
        "hsmsign-verify = on\n"
        "hsmsign-log = off\n",
        "pkcs11-module-assume-fips = off\n"
        "hsmsign-log = syslog,error\n"
        "soft_load = yes\n",
        /* pkcs11-provider's, without meaning here. */
        "pkcs11-module-allow-export = 1\n"
        "pkcs11-module-block-operations = digest random\n"
        "pkcs11-module-cache-keys = false\n"
        "pkcs11-module-cache-pins = cache\n"
        "pkcs11-module-encode-provider-uri-to-pem = true\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        char all[512];
        OSSL_LIB_CTX *ctx = NULL;

        (void)snprintf(all, sizeof(all), FIXTURE_PIN "%s\n", options[i]);
        ctx = fixture_softhsm(all);
        assert_works(ctx, options[i]);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_pin_comes_from_file_variable_or_text(void **state)
{
    static const char *const values[] = { "file:", "env:TEST_PIN", "1234",
                                          "'1234'" };
    static const char *const files[] = { "1234\nnot the PIN\n", "1234\r\n" };

    (void)state;
    setenv("TEST_PIN", "1234", 1);
    for (size_t i = 0; i < COUNT(values) * COUNT(files); i++) {
        const char *value = values[i / COUNT(files)];
        char path[256], option[400];
        OSSL_LIB_CTX *ctx = NULL;

        fixture_write(path, "pin", files[i % COUNT(files)]);
        (void)snprintf(option, sizeof(option), "pkcs11-module-token-pin = %s%s",
                       value, strcmp(value, "file:") == 0 ? path : "");
        ctx = fixture_softhsm(option);
        assert_works(ctx, option);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_pin_source_that_fails_is_named(void **state)
{
    static const struct {
        const char *option, *word, *other_word;
    } rows[] = {
        { "pkcs11-module-token-pin = file:/nonexistent/pin", "/nonexistent/pin",
          "pkcs11-module-token-pin" },
        { "pkcs11-module-token-pin = file:/dev/null", "/dev/null", "empty" },
        { "pkcs11-module-token-pin = env:TEST_PIN", "TEST_PIN", "not set" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_LIB_CTX *ctx = fixture_softhsm(rows[i].option);

        assert_fails(ctx, "the PIN cannot be read", rows[i].word,
                     rows[i].other_word);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_environment_serves_where_options_are_silent(void **state)
{
    char file[256];
    OSSL_LIB_CTX *ctx = NULL;

    (void)state;
    setenv("HSM_MODULE", fixture_required("SOFTHSM2_MODULE"), 1);
    setenv("HSM_PIN", "1234", 1);
    ctx = fixture_context("hsmsign", "");
    assert_works(ctx, "HSM_MODULE, HSM_PIN");
    OSSL_LIB_CTX_free(ctx);
    unsetenv("HSM_PIN");
    fixture_write(file, "env-pin", "1234\n");
    setenv("HSM_PIN_FILE", file, 1);
    ctx = fixture_context("hsmsign", "");
    assert_works(ctx, "HSM_PIN_FILE");
    OSSL_LIB_CTX_free(ctx);
    /* HSM_PIN wins, and is always literal. */
    setenv("HSM_PIN", "file:/nonexistent/pin", 1);
    ctx = fixture_context("hsmsign", "");
    assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
    fixture_assert_error(0, "the PIN is wrong", "CKR_PIN_INCORRECT", NULL);
    OSSL_LIB_CTX_free(ctx);
}

static void test_options_count_more_than_the_environment(void **state)
{
    OSSL_LIB_CTX *ctx = NULL;

    (void)state;
    setenv("HSM_MODULE", "/nonexistent/module.so", 1);
    setenv("HSM_PIN", "9999", 1);
    ctx = fixture_softhsm(FIXTURE_PIN);
    assert_works(ctx, "options and environment");
    OSSL_LIB_CTX_free(ctx);
}

static void test_module_defaults_to_cloudhsms(void **state)
{
    OSSL_LIB_CTX *ctx = fixture_context("hsmsign", FIXTURE_PIN);

    (void)state;
    assert_fails(ctx, "the PKCS #11 module cannot be loaded",
                 "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so", "HSM_MODULE");
    OSSL_LIB_CTX_free(ctx);
}

static void test_log_is_written_and_has_no_pin(void **state)
{
    char option[512], line[2048], path[256];
    OSSL_LIB_CTX *ctx = NULL;
    FILE *log = NULL;
    int lines = 0, logins = 0;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/log", fixture_directory());
    (void)snprintf(option, sizeof(option),
                   FIXTURE_PIN "hsmsign-log = file:%s,debug\n", path);
    ctx = fixture_softhsm(option);
    assert_works(ctx, option);
    OSSL_LIB_CTX_free(ctx);
    log = fopen(path, "r");
    assert_non_null(log);
    while (fgets(line, sizeof(line), log) != NULL) {
        lines++;
        logins += strstr(line, "C_Login") != NULL;
        assert_null(strstr(line, " 1234"));
        assert_null(strstr(line, "Rechnung"));
    }
    (void)fclose(log);
    assert_int_equal(logins, 1);
    assert_in_range(lines, 5, 50);
}

#define TEST(name) cmocka_unit_test_teardown(name, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_option_takes_its_good_values),
        TEST(test_pin_comes_from_file_variable_or_text),
        TEST(test_pin_source_that_fails_is_named),
        TEST(test_environment_serves_where_options_are_silent),
        TEST(test_options_count_more_than_the_environment),
        TEST(test_module_defaults_to_cloudhsms),
        TEST(test_log_is_written_and_has_no_pin),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/config", tests, setup,
                                       teardown);
}
