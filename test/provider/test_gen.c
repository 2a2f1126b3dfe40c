/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making keys through EVP: what is refused before a token is looked for, what
 * the token is asked for and how often (the fake), and the keys that come of
 * it (SoftHSM).  test_genpkey.sh looks at their attributes.
 */
#include "fake_fixture.h"
#include "../../pkcs11/rv.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#define NEW  FAKE_URI "new"
#define DEMO FIXTURE_URI

static struct fake *fake;
static OSSL_LIB_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    fake = fake_fixture();
    ctx = fake_context("");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

/* As openssl genpkey does it: parameters in text, NULL after the last pair. */
static EVP_PKEY *generate(const char *type, const char *const *options)
{
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_name(ctx, type, "provider=hsmsign");
    EVP_PKEY *key = NULL;
    bool ok;

    assert_non_null(pctx);
    assert_int_equal(EVP_PKEY_keygen_init(pctx), 1);
    for (ok = true; ok && *options != NULL; options += 2)
        ok = EVP_PKEY_CTX_ctrl_str(pctx, options[0], options[1]) > 0;
    if (ok)
        ok = EVP_PKEY_generate(pctx, &key) == 1;
    assert_int_equal(ok, key != NULL);
    EVP_PKEY_CTX_free(pctx);
    return key;
}

static EVP_PKEY *generate_at(const char *type, const char *uri)
{
    const char *options[] = { "pkcs11_uri", uri, NULL, NULL, NULL };

    if (strcmp(type, "EC") == 0) {
        options[2] = "ec_paramgen_curve";
        options[3] = "P-256";
    }
    return generate(type, options);
}

static void
test_what_is_wrong_is_refused_before_a_token_is_looked_for(void **state)
{
    static const char unsupported[] = "this is not offered";
    static const char parameter[] = "a parameter is not taken";
    static const char bad_uri[] = "the pkcs11: URI is not valid";
    static const struct {
        const char *type, *options[6 + 1];
        const char *reason, *text;
    } cases[] = {
        { "RSA", { NULL }, unsupported, "pkcs11_uri" },
        { "ED25519", { NULL }, unsupported, "stand before hsmsign" },
        { "RSA", { "pkcs11_uri", "file:key.pem", NULL }, bad_uri, "pkcs11:" },
        { "RSA",
          { "pkcs11_uri", "pkcs11:objekt=a", NULL },
          bad_uri,
          "did you mean \"object\"" },
        { "RSA",
          { "pkcs11_uri", "pkcs11:token=fake", NULL },
          parameter,
          "object=" },
        { "RSA",
          { "pkcs11_uri", NEW ";type=public", NULL },
          unsupported,
          "type=private" },
        { "RSA",
          { "pkcs11_uri", NEW "?module-path=/x.so", NULL },
          unsupported,
          "module-path" },
        { "RSA",
          { "pkcs11_uri", NEW, "rsa_keygen_bits", "1024", NULL },
          parameter,
          "2048 to 16384" },
        { "RSA",
          { "pkcs11_uri", NEW, "bits", "16385", NULL },
          parameter,
          "2048 to 16384" },
        { "RSA",
          { "pkcs11_uri", NEW, "pkcs11_key_usage",
            "digitalSignature keyAgreement", NULL },
          parameter,
          "digitalSignature" },
        { "EC", { "pkcs11_uri", NEW, NULL }, parameter, "ec_paramgen_curve" },
        { "EC",
          { "pkcs11_uri", NEW, "group", "P-255", NULL },
          parameter,
          "P-255" },
        { "EC",
          { "pkcs11_uri", NEW, "ec_param_enc", "explicit", NULL },
          parameter,
          "named_curve" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_null(generate(cases[i].type, cases[i].options));
        fixture_assert_error(0, cases[i].reason, cases[i].text, NULL);
    }
    assert_int_equal(fake_count(fake, "C_GetSlotList"), 0);
}

static void test_parameters_alone_are_not_generated(void **state)
{
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_name(ctx, "RSA-PSS", "provider=hsmsign");

    (void)state;
    assert_int_equal(EVP_PKEY_paramgen_init(pctx), 0);
    fixture_assert_error(1, "this is not offered", "default", NULL);
    EVP_PKEY_CTX_free(pctx);
}

static void test_without_property_query_default_makes_the_key(void **state)
{
    static const char *const types[] = { "RSA", "EC", "ED25519" };

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        EVP_PKEY *key =
            i == 0 ? EVP_PKEY_Q_keygen(ctx, NULL, types[i], (size_t)2048)
                   : EVP_PKEY_Q_keygen(ctx, NULL, types[i], "P-256");

        assert_non_null(key);
        assert_true(fixture_signs(ctx, key, key));
        EVP_PKEY_free(key);
    }
    assert_int_equal(fake_count(fake, NULL), 0);
}

static void test_a_name_that_is_taken_is_refused(void **state)
{
    static const struct {
        const char *uri, *by, *fix;
    } cases[] = {
        { FAKE_URI "rsa2048", "private key with this CKA_LABEL", "object=" },
        { FAKE_URI "rsa2048;id=%99", "private key with this CKA_LABEL",
          "object=" },
        { FAKE_URI "new;id=%01", "private key with this CKA_ID", "id=" },
        { "pkcs11:id=%01", "private key with this CKA_ID", "id=" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_null(generate_at("RSA", cases[i].uri));
        fixture_assert_error(0, "a key of that name exists already", "\"fake\"",
                             cases[i].by, cases[i].fix, NULL);
    }
    /* A public key alone takes a name as well. */
    for (size_t i = 0; i < FAKE_MAX_OBJECTS; i++) {
        const struct fake_object *object = &fake->objects[i];
        const CK_ATTRIBUTE *class;

        if (!object->present)
            continue;
        class = fake_attribute(object, CKA_CLASS);
        if (*(CK_OBJECT_CLASS *)class->pValue == CKO_PRIVATE_KEY)
            fake_remove_object(fake, object->number);
    }
    assert_null(generate_at("RSA", cases[0].uri));
    fixture_assert_error(0, "a key of that name exists already",
                         "public key with this CKA_LABEL", NULL);
    assert_int_equal(fake_count(fake, "C_GenerateKeyPair"), 0);
}

static void test_another_token_is_never_taken(void **state)
{
    (void)state;
    assert_null(generate_at("RSA", "pkcs11:token=nope;object=new"));
    fixture_assert_error(0, "no token matches the URI", "fake", NULL);
    assert_non_null(fake_add_slot(fake, "other", "2"));
    OSSL_LIB_CTX_free(ctx);
    ctx = fake_context("");
    assert_null(generate_at("RSA", "pkcs11:object=new"));
    fixture_assert_error(0, "several tokens match the URI", "other", NULL);
    assert_int_equal(fake_count(fake, "C_GenerateKeyPair"), 0);
    assert_int_equal(fake_count(fake, "C_Login"), 0);
}

static void test_a_token_is_asked_as_often_as_it_may_help(void **state)
{
    static const struct {
        const char *type;
        CK_RV rv;
        const char *name, *fix;
        size_t calls;
    } cases[] = {
        { "RSA", CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID",
          "makes no such keys", 2 },
        { "EC", CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID",
          "makes no such keys", 1 },
        { "EC", CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED", "P-256",
          1 },
        { "ED25519", CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID",
          "ED25519", 2 },
        { "RSA", CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", "RSA",
          3 },
        { "RSA", CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", "RSA", 1 },
        { "ED25519", CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID",
          "ED25519", 6 },
        { "RSA", CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", "RSA", 1 },
        { "RSA", CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", "RSA", 1 },
        { "RSA", CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID",
          "RSA", 1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fake_fail_none(fake);
        fake_calls_reset(fake);
        fake_fail(fake, "C_GenerateKeyPair", cases[i].rv, 1, 0);
        assert_null(generate_at(cases[i].type, NEW));
        fixture_assert_error(0, p11_rv_info(cases[i].rv)->reason,
                             "C_GenerateKeyPair", cases[i].name, "\"fake\"",
                             cases[i].fix, NULL);
        assert_int_equal(fake_count(fake, "C_GenerateKeyPair"), cases[i].calls);
    }
}

/* What was lost since the last use is mended before a key is asked for. */
static void test_a_lost_token_is_found_again_first(void **state)
{
    static const unsigned lost[] = {
        FAKE_SESSIONS,
        FAKE_LOGIN,
        FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES,
    };

    (void)state;
    EVP_PKEY_free(fake_key(ctx, "rsa2048"));
    for (size_t i = 0; i < COUNT(lost); i++) {
        fake_lose(fake, lost[i]);
        fake_calls_reset(fake);
        fake_fail(fake, "C_GenerateKeyPair", CKR_KEY_SIZE_RANGE, 1, 1);
        assert_null(generate_at("RSA", NEW));
        fixture_assert_error(0, p11_rv_info(CKR_KEY_SIZE_RANGE)->reason,
                             "C_GenerateKeyPair: CKR_KEY_SIZE_RANGE", NULL);
        assert_int_equal(fake_count(fake, "C_GenerateKeyPair"), 1);
        assert_true(fake_logged_in(fake, 0));
    }
    assert_int_equal(fake_violations(fake), 0);
}

static int setup_softhsm(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    return 0;
}

static void test_new_keys_sign(void **state)
{
    static const struct {
        const char *type, *label;
        int bits;
    } cases[] = {
        { "RSA", "gen rsa", 2048 },
        { "EC", "gen ec", 256 },
        { "ED25519", "gen ed", 256 },
    };
    char uri[256];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        EVP_PKEY *key, *again;

        (void)snprintf(uri, sizeof(uri), DEMO "gen%%20%s", cases[i].label + 4);
        key = generate_at(cases[i].type, uri);
        if (key == NULL)
            ERR_print_errors_fp(stderr);
        assert_non_null(key);
        fixture_assert_no_error();
        assert_int_equal(EVP_PKEY_is_a(key, cases[i].type), 1);
        assert_int_equal(EVP_PKEY_get_bits(key), cases[i].bits);
        /*
         * SoftHSM leaks a curve's name in C_SignInit, which the sanitizers
         * see: for Ed25519, test_genpkey.sh does this.
         */
        if (EVP_PKEY_is_a(key, "ED25519") == 0)
            assert_true(fixture_signs(ctx, key, key));
        again = fixture_load(ctx, uri);
        assert_non_null(again);
        assert_int_equal(EVP_PKEY_eq(key, again), 1);
        EVP_PKEY_free(again);
        EVP_PKEY_free(key);
    }
}

static void test_the_last_uri_counts(void **state)
{
    static const char *const options[] = {
        "pkcs11_uri",
        "pkcs11:bad",
        "pkcs11_uri",
        DEMO "gen%20last;id=%99",
        "group",
        "P-384",
        "group",
        "secp256k1",
        "ec_param_enc",
        "named_curve",
        "pkcs11_key_usage",
        "digitalSignature",
        NULL,
    };
    char group[32];
    EVP_PKEY *key = generate("EC", options), *again;

    (void)state;
    assert_non_null(key);
    assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL),
                     1);
    assert_string_equal(group, "secp256k1");
    again = fixture_load(ctx, "pkcs11:token=demo;id=%99");
    assert_non_null(again);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(again);
    EVP_PKEY_free(key);
}

/* A program may go on after a parameter that was refused. */
static void test_a_refused_parameter_leaves_nothing_behind(void **state)
{
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_name(ctx, "RSA", "provider=hsmsign");
    EVP_PKEY *key = NULL;

    (void)state;
    assert_int_equal(EVP_PKEY_keygen_init(pctx), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(pctx, 1024) <= 0);
    fixture_assert_error(0, "a parameter is not taken", "2048", NULL);
    assert_true(
        EVP_PKEY_CTX_ctrl_str(pctx, "pkcs11_uri", DEMO "refused%20bits") > 0);
    assert_int_equal(EVP_PKEY_generate(pctx, &key), 1);
    assert_int_equal(EVP_PKEY_get_bits(key), 2048);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(pctx);
}

/* How many calls the log has, from the last C_GenerateKeyPair on. */
static size_t count_calls(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[1024];
    size_t n = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, ": C_GenerateKeyPair ") != NULL)
            n = 0;
        n += strstr(line, ": C_") != NULL;
    }
    (void)fclose(file);
    return n;
}

/* One call reads back what was made; then it is loaded like any key. */
static void test_a_new_key_costs_no_more_than_loading_it(void **state)
{
    static const char *const types[] = { "RSA", "EC" };
    char options[600], path[256], uri[256];

    (void)state;
    fixture_write(path, "log", "");
    (void)snprintf(options, sizeof(options),
                   FIXTURE_PIN "hsmsign-log = file:%s,debug\n", path);
    OSSL_LIB_CTX_free(ctx);
    ctx = fixture_softhsm(options);
    for (size_t i = 0; i < COUNT(types); i++) {
        EVP_PKEY *key;
        size_t made, loaded;

        (void)snprintf(uri, sizeof(uri), DEMO "calls%zu;id=%%b%zu", i, i);
        key = generate_at(types[i], uri);
        assert_non_null(key);
        EVP_PKEY_free(key);
        made = count_calls(path);
        key = fixture_load(ctx, uri);
        assert_non_null(key);
        EVP_PKEY_free(key);
        loaded = count_calls(path) - made;
        assert_in_range(loaded, 4, 8);
        assert_int_equal(made, 2 + loaded);
    }
}

#define FAKE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SOFTHSM(name)                                                          \
    cmocka_unit_test_setup_teardown(name, setup_softhsm, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE(test_what_is_wrong_is_refused_before_a_token_is_looked_for),
        FAKE(test_parameters_alone_are_not_generated),
        FAKE(test_without_property_query_default_makes_the_key),
        FAKE(test_a_name_that_is_taken_is_refused),
        FAKE(test_another_token_is_never_taken),
        FAKE(test_a_token_is_asked_as_often_as_it_may_help),
        FAKE(test_a_lost_token_is_found_again_first),
        SOFTHSM(test_new_keys_sign),
        SOFTHSM(test_the_last_uri_counts),
        SOFTHSM(test_a_refused_parameter_leaves_nothing_behind),
        SOFTHSM(test_a_new_key_costs_no_more_than_loading_it),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/gen", tests, NULL, NULL);
}
