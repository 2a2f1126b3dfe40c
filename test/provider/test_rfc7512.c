/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/store: every attribute of RFC 7512 finds what it names and nothing
 * else; which module is used is not the URI's to say; and the parameter "pin".
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake *fake;
static OSSL_LIB_CTX *ctx; /* on the fake, with a PIN */

/* Two tokens, with a key "signer" on each that differs in all. */
static int setup(void **state)
{
    struct fake_slot *slot = NULL;

    (void)state;
    fake = fake_fixture();
    ctx = fake_context("");
    (void)snprintf(fake->manufacturer, sizeof(fake->manufacturer),
                   "Library AG");
    (void)snprintf(fake->description, sizeof(fake->description), "A library");
    fake->library_version = (CK_VERSION){ 4, 7 };
    slot = &fake->slots[0];
    (void)snprintf(slot->manufacturer, sizeof(slot->manufacturer), "Token AG");
    (void)snprintf(slot->model, sizeof(slot->model), "one");
    (void)snprintf(slot->serial, sizeof(slot->serial), "0001");
    (void)snprintf(slot->description, sizeof(slot->description), "Slot 1");
    (void)snprintf(slot->slot_manufacturer, sizeof(slot->slot_manufacturer),
                   "Slot AG");
    slot->id = 17;
    slot = fake_add_slot(fake, "other", "0002");
    (void)snprintf(slot->manufacturer, sizeof(slot->manufacturer), "Other AG");
    (void)snprintf(slot->model, sizeof(slot->model), "two");
    (void)snprintf(slot->description, sizeof(slot->description), "Slot 2");
    (void)snprintf(slot->slot_manufacturer, sizeof(slot->slot_manufacturer),
                   "Other slot AG");
    slot->id = 18;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static EVP_PKEY *load(const char *uri, const char *pin)
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("pin", (char *)pin,
                                                             0),
                            OSSL_PARAM_construct_end() };
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(
        uri, ctx, NULL, NULL, NULL, pin != NULL ? params : NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;

    assert_non_null(store);
    assert_int_equal(OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY), 1);
    info = OSSL_STORE_load(store);
    if (info != NULL)
        key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

/* What names the first token, and what names none. */
static const struct {
    const char *good, *bad;
} places[] = {
    { "token=fake", "token=Fake" },
    { "manufacturer=Token%20AG", "manufacturer=Token" },
    { "serial=0001", "serial=1" },
    { "model=one", "model=on" },
    { "slot-id=17", "slot-id=1" },
    { "slot-id=017", "slot-id=19" },
    { "slot-manufacturer=Slot%20AG", "slot-manufacturer=Slot" },
    { "slot-description=Slot%201", "slot-description=Slot" },
    { "token=fake;library-manufacturer=Library%20AG",
      "token=fake;library-manufacturer=Library" },
    { "token=fake;library-description=A%20library",
      "token=fake;library-description=a%20library" },
    { "token=fake;library-version=4.7", "token=fake;library-version=4" },
};

static void test_place_is_found_by_every_attribute(void **state)
{
    EVP_PKEY *public = fixture_public("p256");

    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        char uri[160];
        EVP_PKEY *key = NULL;

        (void)snprintf(uri, sizeof(uri), "pkcs11:%s;object=p256",
                       places[i].good);
        key = load(uri, NULL);
        if (key == NULL)
            fail_msg("%s: %s", uri, ERR_error_string(ERR_peek_error(), NULL));
        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(key);
        (void)snprintf(uri, sizeof(uri), "pkcs11:%s;object=p256",
                       places[i].bad);
        assert_null(load(uri, NULL));
        fixture_assert_error(0, "no token matches the URI", "\"fake\"",
                             "\"other\"", NULL);
    }
    EVP_PKEY_free(public);
}

static const struct {
    const char *uri, *reason; /* NULL: it is found */
} objects[] = {
    { "object=p256", NULL },
    { "object=p256;type=private", NULL },
    { "id=p256", NULL },
    { "id=%70%32%35%36", NULL },
    { "object=p256;id=p256", NULL },
    { "object=P256", "no private key matches the URI" },
    { "object=p25", "no private key matches the URI" },
    { "id=p256-bare;object=p256", "no private key matches the URI" },
    { "object=", "no private key matches the URI" },
    { "type=private", "several private keys match the URI" },
    { "object=p256;type=public", "this is not offered" },
    { "object=p256;type=secret-key", "this is not offered" },
    { "object=p256?pin-value=1234", NULL },
    { "object=p256?pin-value=%31%32%33%34", NULL },
};

static void test_object_is_found_by_every_attribute(void **state)
{
    EVP_PKEY *public = fixture_public("p256");

    (void)state;
    for (size_t i = 0; i < COUNT(objects); i++) {
        char uri[160];
        EVP_PKEY *key = NULL;

        (void)snprintf(uri, sizeof(uri), "pkcs11:token=fake;%s",
                       objects[i].uri);
        key = load(uri, NULL);
        if ((key == NULL) != (objects[i].reason != NULL))
            fail_msg("%s", uri);
        if (key != NULL)
            assert_true(fixture_signs(ctx, key, public));
        else
            fixture_assert_error(0, objects[i].reason, NULL);
        EVP_PKEY_free(key);
    }
    EVP_PKEY_free(public);
}

static void test_pin_source_is_a_file(void **state)
{
    char path[256], uri[400];
    OSSL_LIB_CTX *was = ctx;
    EVP_PKEY *key = NULL;

    (void)state;
    fixture_write(path, "pin", "1234\n");
    for (int i = 0; i < 2; i++) {
        ctx = fixture_module(fixture_required("HSMSIGN_FAKE"), "");
        fake_lose(fake, FAKE_LOGIN);
        (void)snprintf(uri, sizeof(uri), FAKE_URI "p256?pin-source=%s%s",
                       i == 0 ? "" : "file:", path);
        key = load(uri, NULL);
        assert_non_null(key);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
    ctx = was;
    assert_null(load(FAKE_URI "p256?pin-source=%7C/bin/echo%201234", NULL));
    fixture_assert_error(0, "the PIN cannot be read", "pin-source",
                         "commands are not run", NULL);
}

/* The module's own path, a link to it, its directory, and others. */
static void test_module_path_names_the_module_that_is_configured(void **state)
{
    const char *module = fixture_required("HSMSIGN_FAKE");
    char link[256], copy[256], directory[4096];
    EVP_PKEY *key = NULL;

    (void)state;
    (void)snprintf(link, sizeof(link), "%s/link.so", fixture_directory());
    (void)unlink(link);
    assert_int_equal(symlink(module, link), 0);
    (void)snprintf(directory, sizeof(directory), "%s", module);
    *strrchr(directory, '/') = '\0';
    fixture_write(copy, "copy.so", "not a module");
    {
        const struct {
            const char *path;
            bool good;
        } rows[] = { { module, true },
                     { link, true },
                     { directory, true },
                     { copy, false },
                     { fixture_directory(), false },
                     { "/nonexistent/module.so", false },
                     { "/", false } };

        for (size_t i = 0; i < COUNT(rows); i++) {
            char uri[5000];

            (void)snprintf(uri, sizeof(uri), FAKE_URI "p256?module-path=%s",
                           rows[i].path);
            key = load(uri, NULL);
            if ((key != NULL) != rows[i].good)
                fail_msg("%s", uri);
            if (key == NULL)
                fixture_assert_error(0, "this is not offered", "module-path",
                                     "pkcs11-module-path", module, NULL);
            EVP_PKEY_free(key);
        }
    }
    fixture_assert_no_error();
}

/* Its file is fake_module.so; a link makes it libfake_module.so.2. */
static void test_module_name_is_the_name_of_the_file_alone(void **state)
{
    static const struct {
        const char *name;
        bool good, good_for_lib;
    } rows[] = {
        { "fake_module", true, true },
        { "FAKE_Module", true, true },
        { "fake_module.so", true, false },
        { "libfake_module", false, true },
        { "fake", false, false },
        { "fake_modul", false, false },
        { "fake_module2", false, false },
        { "fake_module.s", false, false },
        { "", false, false },
        { ".so", false, false },
        { "softhsm2", false, false },
        { "%2ffake_module", false, false },
    };
    OSSL_LIB_CTX *was = ctx;
    char link[256];

    (void)state;
    (void)snprintf(link, sizeof(link), "%s/libfake_module.so.2",
                   fixture_directory());
    (void)unlink(link);
    assert_int_equal(symlink(fixture_required("HSMSIGN_FAKE"), link), 0);
    for (int lib = 0; lib < 2; lib++) {
        if (lib == 1)
            ctx = fixture_module(link, FIXTURE_PIN);
        for (size_t i = 0; i < COUNT(rows); i++) {
            bool good = lib == 0 ? rows[i].good : rows[i].good_for_lib;
            char uri[160];
            EVP_PKEY *key = NULL;

            (void)snprintf(uri, sizeof(uri), FAKE_URI "p256?module-name=%s",
                           rows[i].name);
            key = load(uri, NULL);
            if ((key != NULL) != good)
                fail_msg("%s, lib %d", uri, lib);
            if (key == NULL)
                fixture_assert_error(0, "this is not offered", "module-name",
                                     "pkcs11-module-path", NULL);
            EVP_PKEY_free(key);
        }
    }
    OSSL_LIB_CTX_free(ctx);
    ctx = was;
    fixture_assert_no_error();
}

/* uri's query, the option and the parameter: which is right; reason if none. */
static const struct {
    const char *query, *option, *parameter, *reason, *word;
} pins[] = {
    { "", "", "1234", NULL, NULL },
    { "", "pkcs11-module-token-pin = 4321\n", "1234", NULL, NULL },
    { "?pin-value=1234", "", "4321", NULL, NULL },
    { "", FIXTURE_PIN, NULL, NULL, NULL },
    { "", FIXTURE_PIN, "4321", "the PIN is wrong", "\"fake\"" },
    { "?pin-value=4321", "", "1234", "the PIN is wrong", "\"fake\"" },
    { "", FIXTURE_PIN, "", "the PIN cannot be read", "parameter \"pin\"" },
    { "", "", NULL, "the token wants a PIN and nothing gives one", "\"fake\"" },
};

static void test_pin_may_be_a_parameter(void **state)
{
    OSSL_LIB_CTX *was = ctx;

    (void)state;
    OSSL_LIB_CTX_free(was);
    for (size_t i = 0; i < COUNT(pins); i++) {
        char uri[160];
        EVP_PKEY *key = NULL;

        (void)setup(NULL);
        OSSL_LIB_CTX_free(ctx);
        ctx = fixture_module(fixture_required("HSMSIGN_FAKE"), pins[i].option);
        (void)snprintf(uri, sizeof(uri), FAKE_URI "p256%s", pins[i].query);
        key = load(uri, pins[i].parameter);
        if ((key == NULL) != (pins[i].reason != NULL))
            fail_msg("row %zu", i);
        if (key == NULL)
            fixture_assert_error(0, pins[i].reason, pins[i].word, NULL);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
    (void)setup(NULL);
}

static void test_pin_that_is_too_long_is_said_by_the_load(void **state)
{
    char pin[1100];

    (void)state;
    memset(pin, '7', sizeof(pin));
    pin[sizeof(pin) - 1] = '\0';
    assert_null(load(FAKE_URI "p256", pin));
    fixture_assert_error(0, "the configuration is wrong", "longer than 1024",
                         NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_is_found_by_every_attribute),
        cmocka_unit_test(test_object_is_found_by_every_attribute),
        cmocka_unit_test(test_pin_source_is_a_file),
        cmocka_unit_test(test_module_path_names_the_module_that_is_configured),
        cmocka_unit_test(test_module_name_is_the_name_of_the_file_alone),
        cmocka_unit_test(test_pin_may_be_a_parameter),
        cmocka_unit_test(test_pin_that_is_too_long_is_said_by_the_load),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/rfc7512", tests, setup,
                                       teardown);
}
