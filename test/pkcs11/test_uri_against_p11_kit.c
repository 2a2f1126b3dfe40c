/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our parser beside p11-kit's, over a fixed list, URIs made by the grammar and
 * mutations of good ones, the same in every run.
 *
 * What both accept must have the same values.  What p11-kit accepts and we do
 * not must be in one of the classes of uri_classes.c, and nothing in a class
 * may we accept.  What we accept and p11-kit does not must be one of its known
 * limits.  So each text has one right answer, which uri.c has no part in.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <p11-kit/uri.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../pkcs11/uri.h"
#include "uri_classes.h"
#include "uri_generator.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MADE         40000 /* texts of either kind of generator */

/* CK_VERSION's 255 is a number to us, to p11-kit it means "none". */
static bool version_255(const char *text)
{
    const char *at = strstr(text, "library-version=");
    unsigned long major, minor = 0;
    char *end;

    if (at == NULL)
        return false;
    major = strtoul(at + strlen("library-version="), &end, 10);
    if (*end == '.')
        minor = strtoul(end + 1, NULL, 10);
    return major == 255 || minor == 255;
}

/* CK_SLOT_ID is unsigned; p11-kit reads it as a long, in 0.24 wrapping. */
static bool slot_id_above_long(const char *text)
{
    const char *at = strstr(text, "slot-id=");

    return at != NULL &&
           strtoul(at + strlen("slot-id="), NULL, 10) > (unsigned long)LONG_MAX;
}

/* What p11-kit may refuse, with which answer, although it is good. */
static const struct {
    const char *name;
    bool (*applies)(const char *text);
    int answer;
} limits[] = {
    { "version 255", version_255, P11_KIT_URI_BAD_VERSION },
    { "slot-id above LONG_MAX", slot_id_above_long, P11_KIT_URI_BAD_SYNTAX },
};

static struct {
    size_t accepted;             /* by us */
    size_t none;                 /* accepted by neither */
    size_t class[URI_N_CLASSES]; /* refused by us for nothing but this */
    size_t limit[COUNT(limits)]; /* accepted by us */
} hits;

static bool same_field(const struct p11_uri_value *value,
                       const CK_UTF8CHAR *field, size_t size)
{
    CK_UTF8CHAR padded[64];

    /* p11-kit leaves absent fields all NUL, and pads the others. */
    memset(padded, value->present ? ' ' : '\0', sizeof(padded));
    if (value->present)
        memcpy(padded, value->bytes, value->len);
    return memcmp(padded, field, size) == 0;
}

static bool same_attribute(const struct p11_uri_value *value,
                           const CK_ATTRIBUTE *attr)
{
    if (attr == NULL || !value->present)
        return attr == NULL && !value->present;
    return attr->ulValueLen == value->len &&
           (value->len == 0 ||
            memcmp(attr->pValue, value->bytes, value->len) == 0);
}

static bool same_string(const struct p11_uri_value *value, const char *text)
{
    if (text == NULL || !value->present)
        return text == NULL && !value->present;
    return strcmp(value->bytes, text) == 0;
}

static bool same_pin(const struct p11_uri *uri, P11KitUri *kit)
{
    const char *value = p11_kit_uri_get_pin_value(kit);
    const char *source = p11_kit_uri_get_pin_source(kit);
    const unsigned char *pin;
    size_t len;

    switch (uri->pin.kind) {
    case P11_PIN_LITERAL:
        pin = p11_pin_bytes(uri->pin.literal, &len);
        return source == NULL && value != NULL && strlen(value) == len &&
               memcmp(value, pin, len) == 0;
    case P11_PIN_FILE:
        return value == NULL && source != NULL &&
               uri_pin_file(source) != NULL &&
               strcmp(uri_pin_file(source), uri->pin.name) == 0;
    default:
        return value == NULL && source == NULL;
    }
}

static bool same_type(const struct p11_uri_value *value, CK_ATTRIBUTE *attr)
{
    static const struct {
        const char *name;
        CK_OBJECT_CLASS class;
    } types[] = {
        { "public", CKO_PUBLIC_KEY }, { "private", CKO_PRIVATE_KEY },
        { "cert", CKO_CERTIFICATE },  { "secret-key", CKO_SECRET_KEY },
        { "data", CKO_DATA },
    };

    if (attr == NULL || !value->present)
        return attr == NULL && !value->present;
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcmp(types[i].name, value->bytes) == 0)
            return attr->ulValueLen == sizeof(types[i].class) &&
                   memcmp(attr->pValue, &types[i].class,
                          sizeof(types[i].class)) == 0;
    }
    return false;
}

static bool same_numbers(const struct p11_uri *uri, P11KitUri *kit)
{
    const CK_VERSION *version =
        &p11_kit_uri_get_module_info(kit)->libraryVersion;
    char slot_id[32], library_version[16];

    /* p11-kit's words for "absent". */
    (void)snprintf(slot_id, sizeof(slot_id), "%lu",
                   p11_kit_uri_get_slot_id(kit));
    (void)snprintf(library_version, sizeof(library_version), "%u.%u",
                   version->major, version->minor);
    return strcmp(slot_id, uri->slot_id.present
                               ? uri->slot_id.bytes
                               : "18446744073709551615") == 0 &&
           strcmp(library_version, uri->library_version.present
                                       ? uri->library_version.bytes
                                       : "255.255") == 0 &&
           same_type(&uri->type, p11_kit_uri_get_attribute(kit, CKA_CLASS));
}

static bool same(const struct p11_uri *uri, P11KitUri *kit)
{
    const CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(kit);
    const CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(kit);
    const CK_INFO *library = p11_kit_uri_get_module_info(kit);

    return same_field(&uri->token, token->label, 32) &&
           same_field(&uri->manufacturer, token->manufacturerID, 32) &&
           same_field(&uri->model, token->model, 16) &&
           same_field(&uri->serial, token->serialNumber, 16) &&
           same_field(&uri->slot_manufacturer, slot->manufacturerID, 32) &&
           same_field(&uri->slot_description, slot->slotDescription, 64) &&
           same_field(&uri->library_manufacturer, library->manufacturerID,
                      32) &&
           same_field(&uri->library_description, library->libraryDescription,
                      32) &&
           same_attribute(&uri->object,
                          p11_kit_uri_get_attribute(kit, CKA_LABEL)) &&
           same_attribute(&uri->id, p11_kit_uri_get_attribute(kit, CKA_ID)) &&
           same_string(&uri->module_name, p11_kit_uri_get_module_name(kit)) &&
           same_string(&uri->module_path, p11_kit_uri_get_module_path(kit)) &&
           same_pin(uri, kit) && same_numbers(uri, kit);
}

/* We accept it, and p11-kit answers answer. */
static void check_accepted(const char *text, const struct p11_uri *uri,
                           P11KitUri *kit, int answer)
{
    bool limited = false;
    size_t i;

    for (i = 0; i < COUNT(limits); i++) {
        if (limits[i].applies(text)) {
            hits.limit[i]++;
            limited = limited || limits[i].answer == answer;
        }
    }
    if (limited)
        return;
    if (answer != P11_KIT_URI_OK)
        fail_msg("accepted, but p11-kit says \"%s\": %s",
                 p11_kit_uri_message(answer), text);
    if (p11_kit_uri_any_unrecognized(kit) && !uri->spki_sha256.present)
        fail_msg("accepted, but p11-kit does not know all of it: %s", text);
    if (!same(uri, kit))
        fail_msg("p11-kit has other values: %s", text);
}

/* We refuse it, and p11-kit takes it if taken. */
static void check_refused(const char *text, const struct p11_error *err,
                          uint32_t classes, bool taken)
{
    size_t i;

    if (taken && classes == 0)
        fail_msg("refused (%s) in no class: %s", err->text, text);
    if (!taken)
        hits.none++;
    for (i = 0; i < URI_N_CLASSES; i++) {
        if (classes == UINT32_C(1) << i && (taken || uri_class_is_mended(i)))
            hits.class[i]++;
    }
}

static void compare(const char *text)
{
    P11KitUri *kit = p11_kit_uri_new();
    uint32_t classes = uri_classify(text);
    int answer = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, kit);
    struct p11_uri *uri;
    struct p11_error err;
    size_t i;

    if (p11_uri_parse(text, &uri, &err) == CKR_OK) {
        for (i = 0; i < URI_N_CLASSES; i++) {
            if ((classes & UINT32_C(1) << i) != 0)
                fail_msg("accepted in spite of \"%s\": %s", uri_class_name(i),
                         text);
        }
        check_accepted(text, uri, kit, answer);
        hits.accepted++;
    } else {
        check_refused(text, &err, classes, answer == P11_KIT_URI_OK);
    }
    p11_uri_free(uri);
    p11_kit_uri_free(kit);
}

static int reset(void **state)
{
    (void)state;
    memset(&hits, 0, sizeof(hits));
    return 0;
}

/* Fail unless this run has met each class alone, and each limit. */
static void check_all_hit(void)
{
    size_t i;

    for (i = 0; i < URI_N_CLASSES; i++) {
        if (hits.class[i] == 0)
            fail_msg("class never met: %s", uri_class_name(i));
    }
    for (i = 0; i < COUNT(limits); i++) {
        if (hits.limit[i] == 0)
            fail_msg("limit never met: %s", limits[i].name);
    }
}

static const char *const list[] = {
    /* both accept */
    "pkcs11:",
    "pkcs11:?",
    "pkcs11:token=",
    "pkcs11:token=?",
    "PKCS11:token=demo",
    "pkcs11:token=a&b=c;object=:[]@!$'()*+,=",
    "pkcs11:id=%00%ff",
    "pkcs11:type=secret-key;library-version=3;slot-id=007",
    "pkcs11:?module-name=&module-path=/?a|b",
    "pkcs11:?pin-value=",
    "pkcs11:?pin-source=FILE://LocalHost/p",
    "pkcs11:?spki-sha256="
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    /* one for each class, in its order; the long one is below */
    "pkcs11:token=a b",
    "pkcs11:token=a;token=b",
    "pkcs11:?pin-value=1&pin-source=/a",
    "pkcs11:token=a;",
    "pkcs11:tokn=a",
    "pkcs11:?vendor=a",
    "pkcs11:pin-value=1",
    "pkcs11:token=a%00",
    "pkcs11:token=%ff",
    "pkcs11:serial=0123456789abcdefX",
    "pkcs11:type=secretkey",
    "pkcs11:slot-id=",
    "pkcs11:slot-id=18446744073709551617",
    "pkcs11:library-version=4294967297",
    "pkcs11:?pin-source=|cat",
    "pkcs11:token=a&pin-value=1",
    "pkcs11:?module-path=a.so",
    "pkcs11:?spki-sha256=0123456789",
    /* the limits */
    "pkcs11:library-version=255",
    "pkcs11:slot-id=18446744073709551615",
    /* none accepts */
    "",
    "pkcs11",
    "file:",
    "pkcs11x:token=a",
    "pkcs11:token",
    "pkcs11:=a",
    "pkcs11:token=%4",
    "pkcs11:?module-name=%zz",
    "pkcs11:slot-id=x",
    "pkcs11:library-version=1.",
    "pkcs11:?a",
};

static void test_uri_agrees_with_p11_kit_on_a_list(void **state)
{
    char text[P11_URI_MAX + 2];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(list); i++)
        compare(list[i]);
    memset(text, 'a', sizeof(text));
    memcpy(text, "pkcs11:id=", strlen("pkcs11:id="));
    text[P11_URI_MAX + 1] = '\0';
    compare(text);
    text[P11_URI_MAX] = '\0';
    compare(text);
    check_all_hit();
    assert_int_equal(hits.accepted, 15);
}

static void test_uri_agrees_with_p11_kit_on_made_ones(void **state)
{
    struct uri_generator gen = { .state = 7512 };
    size_t i;

    (void)state;
    for (i = 0; i < MADE; i++) {
        uri_generate(&gen);
        compare(gen.text);
    }
    /* That the texts are neither nearly all good nor nearly all bad. */
    assert_true(hits.accepted > MADE / 4 && hits.accepted < MADE * 3 / 4);
    assert_true(hits.none > MADE / 50 && hits.none < MADE / 2);
}

static void test_uri_agrees_with_p11_kit_on_mutations(void **state)
{
    struct uri_generator gen = { .state = 3986 };
    size_t i;

    (void)state;
    for (i = 0; i < MADE; i++) {
        uri_mutate(&gen);
        compare(gen.text);
    }
    assert_true(hits.accepted > MADE / 10 && hits.accepted < MADE * 3 / 4);
    assert_true(hits.none > MADE / 10 && hits.none < MADE * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_uri_agrees_with_p11_kit_on_a_list, reset),
        cmocka_unit_test_setup(test_uri_agrees_with_p11_kit_on_made_ones,
                               reset),
        cmocka_unit_test_setup(test_uri_agrees_with_p11_kit_on_mutations,
                               reset),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
