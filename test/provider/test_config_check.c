/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/config_check: a misspelt option in OpenSSL's default configuration
 * file is an error at the first pkcs11: URI, and names the option; what is not
 * ours, or not there, is none.
 */
#include "fixture.h"
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                                                   \
    "openssl_conf = init\n"                                                    \
    "[init]\nproviders = providers\n"                                          \
    "[providers]\ndefault = default_section\nhsmsign = ours\n"                 \
    "other = others\n"                                                         \
    "[default_section]\nactivate = 1\n"                                        \
    "[others]\nactivate = 1\npkcs11-of-another = 1\nhsmsign-x = 1\n"           \
    "[ours]\nmodule = /nonexistent.so\nactivate = 1\n"

/* Each test has one context: names are looked at once, at the first URI. */
static OSSL_LIB_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    setenv("OPENSSL_CONF", "/dev/null", 1);
    return 0;
}

/* Write it and make it OpenSSL's default configuration file. */
static void use_file(const char *text)
{
    char path[256];

    fixture_write(path, "openssl.cnf", text);
    setenv("OPENSSL_CONF", path, 1);
}

static void assert_loads(void)
{
    EVP_PKEY *key = fixture_key(ctx, "p256");

    EVP_PKEY_free(key);
    fixture_assert_no_error();
}

static void test_misspelt_option_is_named_with_the_nearest(void **state)
{
    static const struct {
        const char *line, *name, *nearest;
    } rows[] = {
        { "pkcs11-module-pth = x\n", "pkcs11-module-pth",
          "pkcs11-module-path" },
        { "pkcs11-module-path = x\npkcs11-module-token-pn = 1\n",
          "pkcs11-module-token-pn", "pkcs11-module-token-pin" },
        { "hsmsign-logg = stderr\n", "hsmsign-logg", "hsmsign-log" },
        { "PKCS.hsmsign-publicfile = x\n", "hsmsign-publicfile",
          "hsmsign-public-file" },
        { "pkcs11-a-name-that-is-much-longer-than-any-other-option-there-is-"
          "and-goes-on = 1\n",
          "pkcs11-a-name-that-is-much-longer", "pkcs11-" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[1024];

        (void)snprintf(text, sizeof(text), HEAD "%s", rows[i].line);
        use_file(text);
        assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
        fixture_assert_error(0, "the configuration is wrong", rows[i].name,
                             rows[i].nearest, "openssl.cnf", "[ours]", NULL);
    }
}

/* A value may be a PIN. */
static void test_values_are_not_shown(void **state)
{
    struct fixture_errors errors;

    (void)state;
    use_file(HEAD "pkcs11-module-token-pn = Geheim-4711\n");
    assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
    fixture_take_errors("hsmsign", &errors);
    assert_int_equal(errors.ours, 1);
    assert_null(strstr(errors.all, "Geheim"));
}

static void test_corrected_file_is_seen_without_a_restart(void **state)
{
    (void)state;
    use_file(HEAD "pkcs11-module-pth = x\n");
    assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
    ERR_clear_error();
    use_file(HEAD "pkcs11-module-path = x\n");
    assert_loads();
}

static void test_included_files_are_searched(void **state)
{
    char included[256], text[2048];

    (void)state;
    fixture_write(included, "included.cnf",
                  "[ours]\nhsmsign-max-session = 4\n");
    (void)snprintf(text, sizeof(text), HEAD ".include = %s\n", included);
    use_file(text);
    assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
    fixture_assert_error(0, "the configuration is wrong", "hsmsign-max-session",
                         "hsmsign-max-sessions", NULL);
}

/* Whatever it begins with: "hsmsgn-verify = on" must not be off. */
static void test_every_unknown_name_is_an_error(void **state)
{
    static const char *const names[] = { "hsmsgn-verify",  "hsmsign_verify",
                                         "HSMSIGN-verify", "verify",
                                         "modul",          "something-else" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char text[2048];

        (void)teardown(NULL);
        (void)setup(NULL);
        (void)snprintf(text, sizeof(text), HEAD "%s = on\n", names[i]);
        use_file(text);
        assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
        fixture_assert_error(0, "the configuration is wrong", names[i], NULL);
    }
}

static const char *const harmless[] = {
    HEAD,
    HEAD "pkcs11-module-path = x\npkcs11-module-init-args = x\n"
         "pkcs11-module-token-pin = x\npkcs11-module-cache-sessions = x\n"
         "pkcs11-module-login-behavior = x\npkcs11-module-load-behavior = x\n"
         "pkcs11-module-quirks = x\npkcs11-module-assume-fips = x\n"
         "pkcs11-module-allow-export = x\npkcs11-module-block-operations = x\n"
         "pkcs11-module-cache-keys = x\npkcs11-module-cache-pins = x\n"
         "pkcs11-module-encode-provider-uri-to-pem = x\nhsmsign-log = x\n"
         "hsmsign-max-sessions = x\nhsmsign-public-file = x\n",
    HEAD "identity = x\nsoft_load = yes\n",
    "",
    "openssl_conf = init\n",
    "openssl_conf = init\n[init]\nproviders = nowhere\n",
    "openssl_conf = init\n[init]\nproviders = p\n[p]\nhsmsign = nowhere\n",
    "this is = not\n[a configuration\n",
};

static void test_what_is_no_misspelling_is_no_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(harmless); i++) {
        (void)teardown(NULL);
        (void)setup(NULL);
        use_file(harmless[i]);
        assert_loads();
    }
    (void)teardown(NULL);
    (void)setup(NULL);
    setenv("OPENSSL_CONF", "/nonexistent/openssl.cnf", 1);
    assert_loads();
}

/* The section is the one of the name under which we are active. */
static void test_section_is_found_under_another_name(void **state)
{
    struct fixture_errors errors;
    char options[512];

    (void)state;
    OSSL_LIB_CTX_free(ctx);
    (void)snprintf(options, sizeof(options),
                   FIXTURE_PIN "pkcs11-module-path = %s\n",
                   fixture_required("SOFTHSM2_MODULE"));
    ctx = fixture_context("token", options);
    use_file(HEAD "pkcs11-module-pth = of hsmsign, not of token\n");
    assert_loads();
    OSSL_LIB_CTX_free(ctx);
    ctx = fixture_context("token", options);
    use_file("openssl_conf = init\n[init]\nproviders = p\n"
             "[p]\ntoken = mine\n[mine]\nhsmsign-lgo = x\n");
    assert_null(fixture_load(ctx, FIXTURE_URI "p256"));
    fixture_take_errors("token", &errors);
    assert_int_equal(errors.ours, 1);
    assert_int_equal(errors.count, 1);
    assert_non_null(strstr(errors.text, "hsmsign-lgo"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_misspelt_option_is_named_with_the_nearest),
        TEST(test_values_are_not_shown),
        TEST(test_corrected_file_is_seen_without_a_restart),
        TEST(test_included_files_are_searched),
        TEST(test_every_unknown_name_is_an_error),
        TEST(test_what_is_no_misspelling_is_no_error),
        TEST(test_section_is_found_under_another_name),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/config_check", tests, NULL,
                                       NULL);
}
