/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/objects: what reaches the token for public keys, certificates and
 * lists; when a login is made for them; and lists of tokens that fail, are
 * several, or hold what is of no use here.
 */
#include "fake_fixture.h"
#include "letters.h"
#include <stdio.h>
#include <string.h>

static struct fake *fake;
static OSSL_LIB_CTX *fake_ctx; /* with a PIN */

/* For the fake, with these options. */
static void begin_fake(const char *options)
{
    fake = fake_fixture();
    fake_ctx = fake_context(options);
    fake_calls_reset(fake);
}

static int end_fake(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(fake_ctx);
    fake_ctx = NULL;
    return 0;
}

/* A certificate on the fake; hidden: from who is not logged in. */
static void add_certificate(size_t slot, const char *name, bool hidden)
{
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    const CK_BBOOL private = hidden ? CK_TRUE : CK_FALSE;
    X509 *cert = fixture_certificate(name);
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    const struct fake_attribute attributes[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_PRIVATE, &private, sizeof(private) },
        { CKA_ID, name, strlen(name) },
        { CKA_LABEL, name, strlen(name) },
        { CKA_VALUE, der, (size_t)len },
    };

    assert_in_range(len, 1, 4096);
    fake_add_object(fake, slot, attributes, COUNT(attributes));
    OPENSSL_free(der);
    X509_free(cert);
}

static void assert_calls(const char *expected)
{
    char calls[8192];

    assert_string_equal(fake_calls(fake, calls, sizeof(calls)), expected);
    fake_calls_reset(fake);
}

#define OPEN                                                                   \
    "C_GetFunctionList C_Initialize C_GetSlotList C_GetSlotList "              \
    "C_GetTokenInfo C_OpenSession "
#define SEARCH "C_FindObjectsInit C_FindObjects C_FindObjectsFinal"
#define READ   "C_GetAttributeValue"

static const struct {
    const char *uri;
    int expect;
    const char *letters, *calls;
} costs[] = {
    { FAKE_URI "rsa2048", PKEY, "k", OPEN "C_Login " SEARCH " " READ },
    { FAKE_URI "rsa2048", PUBKEY, "p", OPEN SEARCH " " READ },
    { FAKE_URI "rsa2048", CERT, "c", OPEN SEARCH " " READ },
    { FAKE_URI "rsa2048", 0, "kpc",
      OPEN "C_Login " SEARCH " " READ " " SEARCH " " READ " " SEARCH " " READ },
    { "pkcs11:token=fake", 0, "kkkppc",
      OPEN "C_Login " SEARCH " " READ " " READ " " SEARCH " " READ " " READ
           " " READ " " SEARCH " " READ },
    { "pkcs11:token=fake;type=cert", 0, "c", OPEN SEARCH " " READ },
    { "pkcs11:token=fake", CERT, "c", OPEN SEARCH " " READ },
};

/* One search for each class, and one call for each object. */
static void test_each_object_costs_one_call(void **state)
{
    for (size_t i = 0; i < COUNT(costs); i++) {
        char letters[64];

        begin_fake("");
        add_certificate(0, "rsa2048", false);
        assert_string_equal(
            everything(fake_ctx, costs[i].uri, costs[i].expect, letters),
            costs[i].letters);
        assert_calls(costs[i].calls);
        assert_int_equal(fake_asked_private(fake), 0);
        fixture_assert_no_error();
        (void)end_fake(state);
    }
}

static void test_program_that_stops_at_the_key_pays_for_the_key(void **state)
{
    begin_fake("");
    OSSL_STORE_INFO_free(first(fake_ctx, FAKE_URI "rsa2048", 0));
    assert_calls(OPEN "C_Login " SEARCH " " READ);
    (void)end_fake(state);
    begin_fake("");
    OSSL_STORE_INFO_free(first(fake_ctx, "pkcs11:token=fake", 0));
    assert_calls(OPEN "C_Login " SEARCH " " READ);
    (void)end_fake(state);
}

/* pkcs11-module-login-behavior, as pkcs11-provider has it. */
static const struct {
    const char *behavior;
    bool hidden;
    int expect;
    const char *letters;
    size_t logins;
} behaviors[] = {
    { "auto", false, CERT, "c", 0 },   { "auto", true, CERT, "c", 1 },
    { "always", false, CERT, "c", 1 }, { "always", true, CERT, "c", 1 },
    { "never", false, CERT, "c", 0 },  { "never", true, CERT, "!", 0 },
    { "never", true, PKEY, "k", 1 },
};

static void test_login_behavior_is_for_public_objects(void **state)
{
    for (size_t i = 0; i < COUNT(behaviors); i++) {
        char option[80], letters[64];

        (void)snprintf(option, sizeof(option),
                       "pkcs11-module-login-behavior = %s\n",
                       behaviors[i].behavior);
        begin_fake(option);
        add_certificate(0, "rsa2048", behaviors[i].hidden);
        assert_string_equal(everything(fake_ctx, FAKE_URI "rsa2048",
                                       behaviors[i].expect, letters),
                            behaviors[i].letters);
        assert_int_equal(fake_count(fake, "C_Login"), behaviors[i].logins);
        if (behaviors[i].letters[0] == '!')
            fixture_assert_error(0, "no object matches the URI",
                                 "without a login", NULL);
        fixture_assert_no_error();
        (void)end_fake(state);
    }
}

/* The configured PIN is for one token; which, nobody has said. */
static void test_list_of_several_tokens_makes_no_login(void **state)
{
    static const struct {
        const char *uri;
        const char *letters;
        size_t logins;
    } rows[] = {
        { "pkcs11:", "ppc", 0 },
        { "pkcs11:type=public", "pp", 0 },
        { "pkcs11:type=private", "", 0 },
        { "pkcs11:?pin-value=1234", "kkkppcc", 2 },
        { "pkcs11:token=fake", "kkkppc", 1 },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char letters[64];

        begin_fake("");
        add_certificate(0, "rsa2048", false);
        (void)fake_add_slot(fake, "other", "2");
        add_certificate(1, "p256", true);
        assert_string_equal(everything(fake_ctx, rows[i].uri, 0, letters),
                            rows[i].letters);
        assert_int_equal(fake_count(fake, "C_Login"), rows[i].logins);
        fixture_assert_no_error();
        (void)end_fake(state);
    }
}

/* What cannot sign here does not keep the others from being listed. */
static void test_keys_that_are_not_handled_are_left_out(void **state)
{
    static const struct fake_key dsa = { .type = CKK_DSA,
                                         .label = "dsa",
                                         .id = { "dsa", 3 } };
    static const struct fake_key curveless = {
        .type = CKK_EC,
        .label = "curveless",
        .id = { "curveless", 9 },
        .ec_params = { "\x06\x01\x01", 3 },
        .ec_point = { "\x04\x01\x04", 3 },
    };
    char letters[64];

    begin_fake("");
    (void)fake_add_key(fake, 0, &dsa);
    (void)fake_add_key(fake, 0, &curveless);
    assert_string_equal(everything(fake_ctx, "pkcs11:token=fake", 0, letters),
                        "kkkpp");
    fixture_assert_no_error();
    assert_string_equal(everything(fake_ctx, FAKE_URI "dsa", PUBKEY, letters),
                        "!");
    fixture_assert_error(0, "the key's type or curve is not handled",
                         "key type 0x1", NULL);
    (void)end_fake(state);
}

/* What a key is for does not depend on the way by which it is loaded. */
static void test_key_for_pss_alone_is_one_in_a_list_too(void **state)
{
    static const CK_MECHANISM_TYPE pss = CKM_RSA_PKCS_PSS;
    static const char *const uris[] = { FAKE_URI "rsa2048",
                                        "pkcs11:token=fake" };

    for (size_t i = 0; i < COUNT(uris); i++) {
        OSSL_STORE_INFO *info = NULL;

        begin_fake("");
        fake_set_attribute(fake, 0, CKA_ALLOWED_MECHANISMS, &pss, sizeof(pss));
        info = first(fake_ctx, uris[i], 0);
        assert_true(EVP_PKEY_is_a(OSSL_STORE_INFO_get0_PKEY(info), "RSA-PSS"));
        OSSL_STORE_INFO_free(info);
        (void)end_fake(state);
    }
}

/* As when a reader was unplugged and comes back. */
static void test_token_is_found_again_in_another_slot(void **state)
{
    static const struct {
        const char *uri, *letters;
    } rows[] = { { FAKE_URI "rsa2048", "c" }, { "pkcs11:token=fake", "c" } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char letters[64];

        begin_fake("");
        add_certificate(0, "rsa2048", false);
        assert_string_equal(everything(fake_ctx, rows[i].uri, CERT, letters),
                            rows[i].letters);
        (void)fake_add_slot(fake, "fake", fake->slots[0].serial);
        add_certificate(1, "rsa2048", false);
        fake->slots[0].token_present = false;
        fake_lose(fake, FAKE_SESSIONS);
        assert_string_equal(everything(fake_ctx, rows[i].uri, CERT, letters),
                            rows[i].letters);
        fixture_assert_no_error();
        (void)end_fake(state);
    }
}

/* One that libcrypto cannot read is said to be one, and not the end. */
static void test_list_goes_on_behind_a_certificate_that_is_none(void **state)
{
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    static const struct fake_attribute garbage[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_LABEL, "garbage", 7 },
        { CKA_VALUE, "\x30\x00", 2 },
    };
    static const struct fake_attribute empty[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_LABEL, "empty", 5 },
        { CKA_VALUE, "", 0 },
    };
    char letters[64];

    begin_fake("");
    add_certificate(0, "p256", false);
    fake_add_object(fake, 0, garbage, COUNT(garbage));
    fake_add_object(fake, 0, empty, COUNT(empty));
    add_certificate(0, "rsa2048", false);
    assert_string_equal(
        everything(fake_ctx, "pkcs11:token=fake", CERT, letters), "c!c");
    fixture_assert_error(8, "this is not offered", "no X.509 certificate",
                         "\"fake\"", NULL);
    assert_string_equal(everything(fake_ctx, FAKE_URI "empty", CERT, letters),
                        "!");
    fixture_assert_error(0, "no object matches the URI", "has no value", NULL);
    (void)end_fake(state);
}

/* What fails ends the listing: who loads until the end must get there. */
static void test_error_ends_the_listing_with_one_reason(void **state)
{
    static const struct {
        const char *function;
        CK_RV rv;
        unsigned long first;
        const char *letters, *reason, *name;
    } rows[] = {
        { "C_GetSlotList", CKR_GENERAL_ERROR, 1, "!",
          "the PKCS #11 module gives no reason", "CKR_GENERAL_ERROR" },
        { "C_Login", CKR_PIN_INCORRECT, 1, "!", "the PIN is wrong",
          "CKR_PIN_INCORRECT" },
        { "C_FindObjects", CKR_DEVICE_MEMORY, 2, "kkk!",
          "the token is short of memory", "CKR_DEVICE_MEMORY" },
        { "C_GetAttributeValue", CKR_FUNCTION_FAILED, 3, "kk!",
          "the token could not do it", "CKR_FUNCTION_FAILED" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char letters[64];

        begin_fake("");
        /* p256 would look for its public half. */
        for (size_t n = 0; n < 16; n++) {
            if (fake->objects[n].present && n > 1)
                fake_remove_object(fake, n);
        }
        for (size_t n = 0; n < 2; n++) {
            static const char *const labels[] = { "two", "three" };
            struct fake_key key = { .type = CKK_RSA, .label = labels[n] };
            const struct fake_object *rsa = &fake->objects[0];
            const CK_ATTRIBUTE *modulus = fake_attribute(rsa, CKA_MODULUS);

            key.modulus.data = modulus->pValue;
            key.modulus.len = modulus->ulValueLen;
            key.exponent.data = "\x01\x00\x01";
            key.exponent.len = 3;
            (void)fake_add_key(fake, 0, &key);
        }
        fake_fail(fake, rows[i].function, rows[i].rv, rows[i].first, 0);
        assert_string_equal(
            everything(fake_ctx, "pkcs11:token=fake", 0, letters),
            rows[i].letters);
        fixture_assert_error(0, rows[i].reason, rows[i].name, NULL);
        (void)end_fake(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_each_object_costs_one_call, end_fake),
        cmocka_unit_test_teardown(
            test_program_that_stops_at_the_key_pays_for_the_key, end_fake),
        cmocka_unit_test_teardown(test_login_behavior_is_for_public_objects,
                                  end_fake),
        cmocka_unit_test_teardown(test_list_of_several_tokens_makes_no_login,
                                  end_fake),
        cmocka_unit_test_teardown(test_keys_that_are_not_handled_are_left_out,
                                  end_fake),
        cmocka_unit_test_teardown(test_key_for_pss_alone_is_one_in_a_list_too,
                                  end_fake),
        cmocka_unit_test_teardown(test_token_is_found_again_in_another_slot,
                                  end_fake),
        cmocka_unit_test_teardown(
            test_list_goes_on_behind_a_certificate_that_is_none, end_fake),
        cmocka_unit_test_teardown(test_error_ends_the_listing_with_one_reason,
                                  end_fake),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/objects, calls", tests, NULL,
                                       NULL);
}
