/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/uri_match: which libraries, slots and tokens a URI means, and how a
 * URI is shown.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/uri.h"
#include "uri_generator.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Parse what must be good. */
static struct p11_uri *parse(const char *text)
{
    struct p11_uri *uri = NULL;
    struct p11_error err = { 0 };

    if (p11_uri_parse(text, &uri, &err) != CKR_OK)
        fail_msg("%s: %s", text, err.text);
    assert_non_null(uri);
    return uri;
}

/* Fill a field of PKCS #11 with text and blanks. */
static void fill(CK_UTF8CHAR *field, size_t size, const char *text)
{
    memset(field, ' ', size);
    memcpy(field, text, strnlen(text, size));
}

static const char label32[] = "0123456789abcdef0123456789ABCDEF";

static void test_uri_matches_tokens(void **state)
{
    static const struct {
        const char *text;
        const char *label, *manufacturer, *model, *serial;
        bool match;
    } rows[] = {
        { "pkcs11:", "demo", "acme", "v2", "1", true },
        { "pkcs11:object=x;type=private;id=%01", "demo", "", "", "", true },
        { "pkcs11:token=demo", "demo", "acme", "v2", "1", true },
        { "pkcs11:token=demo%20%20", "demo", "", "", "", true },
        { "pkcs11:token=demo", "  demo", "", "", "", false },
        { "pkcs11:token=%20demo", " demo", "", "", "", true },
        { "pkcs11:token=my%20demo", "my demo", "", "", "", true },
        { "pkcs11:token=Demo", "demo", "", "", "", false },
        { "pkcs11:token=dem", "demo", "", "", "", false },
        { "pkcs11:token=demo2", "demo", "", "", "", false },
        { "pkcs11:token=", "demo", "", "", "", false },
        { "pkcs11:token=", "", "acme", "v2", "1", true },
        { "pkcs11:token=demo", "", "", "", "", false },
        { "pkcs11:token=0123456789abcdef0123456789ABCDEF", label32, "", "", "",
          true },
        { "pkcs11:token=0123456789abcdef0123456789ABCDE", label32, "", "", "",
          false },
        { "pkcs11:token=0123456789abcdef0123456789ABCDEx", label32, "", "", "",
          false },
        { "pkcs11:token=d;manufacturer=a;model=m;serial=s", "d", "a", "m", "s",
          true },
        { "pkcs11:token=x;manufacturer=a;model=m;serial=s", "d", "a", "m", "s",
          false },
        { "pkcs11:token=d;manufacturer=x;model=m;serial=s", "d", "a", "m", "s",
          false },
        { "pkcs11:token=d;manufacturer=a;model=x;serial=s", "d", "a", "m", "s",
          false },
        { "pkcs11:token=d;manufacturer=a;model=m;serial=x", "d", "a", "m", "s",
          false },
        { "pkcs11:serial=0123456789abcdef", "", "", "", "0123456789abcdef",
          true },
        { "pkcs11:model=0123456789abcdef", "", "", "0123456789abcdef", "",
          true },
    };
    CK_TOKEN_INFO info = { 0 };
    struct p11_uri *uri;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i].text);
        fill(info.label, sizeof(info.label), rows[i].label);
        fill(info.manufacturerID, sizeof(info.manufacturerID),
             rows[i].manufacturer);
        fill(info.model, sizeof(info.model), rows[i].model);
        fill(info.serialNumber, sizeof(info.serialNumber), rows[i].serial);
        if (p11_uri_matches_token(uri, 7, &info) != rows[i].match)
            fail_msg("%s: %smatched by \"%s\"", rows[i].text,
                     rows[i].match ? "not " : "", rows[i].label);
        p11_uri_free(uri);
    }
}

static void test_uri_matches_libraries(void **state)
{
    static const struct {
        const char *text;
        bool wants, match; /* of acme, tool, 2.6 */
    } rows[] = {
        { "pkcs11:token=x;manufacturer=y", false, true },
        { "pkcs11:library-manufacturer=acme", true, true },
        { "pkcs11:library-manufacturer=tool", true, false },
        { "pkcs11:library-manufacturer=", true, false },
        { "pkcs11:library-description=tool", true, true },
        { "pkcs11:library-description=acme", true, false },
        { "pkcs11:library-version=2.6", true, true },
        { "pkcs11:library-version=2", true, false },
        { "pkcs11:library-version=2.60", true, false },
        { "pkcs11:library-version=3.6", true, false },
    };
    CK_INFO info = { .libraryVersion = { 2, 6 } };
    struct p11_uri *uri;
    size_t i;

    (void)state;
    fill(info.manufacturerID, sizeof(info.manufacturerID), "acme");
    fill(info.libraryDescription, sizeof(info.libraryDescription), "tool");
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i].text);
        if (p11_uri_wants_library_info(uri) != rows[i].wants ||
            p11_uri_matches_library(uri, &info) != rows[i].match)
            fail_msg("%s: wrong", rows[i].text);
        p11_uri_free(uri);
    }
    /* A version without a minor is M.0 (RFC 7512, 2.3). */
    info.libraryVersion.minor = 0;
    uri = parse("pkcs11:library-version=2");
    assert_true(p11_uri_matches_library(uri, &info));
    p11_uri_free(uri);
}

static void test_uri_matches_slots(void **state)
{
    static const struct {
        const char *text;
        bool wants, match, id_match; /* of acme, 64 digits, slot 7 */
    } rows[] = {
        { "pkcs11:object=x;type=private", false, true, true },
        { "pkcs11:slot-manufacturer=acme", true, true, true },
        { "pkcs11:slot-manufacturer=Acme", true, false, true },
        { "pkcs11:slot-description=01234567890123456789012345678901"
          "23456789012345678901234567890123",
          true, true, true },
        { "pkcs11:slot-description=01234567890123456789012345678901", true,
          false, true },
        { "pkcs11:slot-description=", true, false, true },
        { "pkcs11:slot-id=7", false, true, true },
        { "pkcs11:slot-id=007", false, true, true },
        { "pkcs11:slot-id=0", false, true, false },
        { "pkcs11:slot-id=4294967303", false, true, false },
    };
    CK_SLOT_INFO info = { 0 };
    CK_TOKEN_INFO token = { 0 };
    struct p11_uri *uri;
    size_t i;

    (void)state;
    fill(info.manufacturerID, sizeof(info.manufacturerID), "acme");
    fill(info.slotDescription, sizeof(info.slotDescription),
         "0123456789012345678901234567890123456789012345678901234567890123");
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i].text);
        if (p11_uri_wants_slot_info(uri) != rows[i].wants ||
            p11_uri_matches_slot(uri, &info) != rows[i].match ||
            p11_uri_matches_token(uri, 7, &token) != rows[i].id_match)
            fail_msg("%s: wrong", rows[i].text);
        p11_uri_free(uri);
    }
}

static void test_uri_description_is_canonical(void **state)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        { "PKCS11:", "pkcs11:" },
        { "pkcs11:?module-name=m&pin-value=1234", "pkcs11:" },
        { "pkcs11:token=?", "pkcs11:token=" },
        { "pkcs11:type=private;object=signer;token=demo",
          "pkcs11:token=demo;object=signer;type=private" },
        { "pkcs11:token=%64emo%2d;id=a%b1", "pkcs11:token=demo-;id=%61%B1" },
        { "pkcs11:id=ab%ab%00;object=%61%3a%5b%5D%40",
          "pkcs11:object=a:[]@;id=%61%62%AB%00" },
        { "pkcs11:object=!$'()*+,=&-._~",
          "pkcs11:object=%21%24%27()*+,=&-._~" },
        { "pkcs11:object=%22%5c%60%3b%3f%2f%20%25%23%7c%0a%7f%c3%bc",
          "pkcs11:object=%22%5C%60%3B%3F%2F%20%25%23%7C%0A%7F%C3%BC" },
        { "pkcs11:slot-id=0018446744073709551615;library-version=007",
          "pkcs11:library-version=7.0;slot-id=18446744073709551615" },
        { "pkcs11:slot-id=0;slot-description=sd;slot-manufacturer=sm;id=%01;"
          "type=secret-key;object=o;library-version=255.255;"
          "library-description=ld;library-manufacturer=lm;model=mo;serial=s;"
          "manufacturer=ma;token=t?pin-source=/p&module-path=/m",
          "pkcs11:token=t;manufacturer=ma;serial=s;model=mo;"
          "library-manufacturer=lm;library-description=ld;"
          "library-version=255.255;object=o;type=secret-key;id=%01;"
          "slot-manufacturer=sm;slot-description=sd;slot-id=0" },
    };
    char shown[1024], again[1024];
    struct p11_uri *uri;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i].text);
        p11_uri_describe(uri, shown, sizeof(shown));
        assert_string_equal(shown, rows[i].shown);
        p11_uri_free(uri);
        uri = parse(shown);
        p11_uri_describe(uri, again, sizeof(again));
        assert_string_equal(again, shown);
        p11_uri_free(uri);
    }
}

static void test_uri_description_means_the_same(void **state)
{
    struct uri_generator gen = { .state = 2015 };
    char shown[2 * URI_GENERATED_SIZE], again[2 * URI_GENERATED_SIZE];
    struct p11_uri *uri;
    size_t i, good = 0;

    (void)state;
    for (i = 0; i < 10000; i++) {
        uri_generate(&gen);
        if (p11_uri_parse(gen.text, &uri, NULL) != CKR_OK)
            continue;
        good++;
        p11_uri_describe(uri, shown, sizeof(shown));
        p11_uri_free(uri);
        if (strpbrk(shown, "?!$'\"`\\ ") != NULL)
            fail_msg("%s: cannot be quoted: %s", gen.text, shown);
        uri = parse(shown);
        p11_uri_describe(uri, again, sizeof(again));
        p11_uri_free(uri);
        assert_string_equal(again, shown);
    }
    assert_true(good > 2000);
}

static void test_uri_description_fits_its_buffer(void **state)
{
    static const char full[] = "pkcs11:token=demo%20;object=%C3%BC;slot-id=42";
    char buf[sizeof(full) + 8];
    struct p11_uri *uri = parse(full);
    size_t size, kept, i;

    (void)state;
    for (size = 0; size <= sizeof(full) + 4; size++) {
        memset(buf, '#', sizeof(buf));
        p11_uri_describe(uri, buf, size);
        for (i = size; i < sizeof(buf); i++)
            assert_int_equal(buf[i], '#');
        if (size == 0)
            continue;
        if (size >= sizeof(full)) {
            assert_string_equal(buf, full);
            continue;
        }
        assert_int_equal(strlen(buf), size - 1);
        kept = size - 1 < 3 ? 0 : size - 4;
        assert_memory_equal(buf, full, kept);
        assert_memory_equal(buf + kept, "...", size - 1 - kept);
    }
    p11_uri_free(uri);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_matches_tokens),
        cmocka_unit_test(test_uri_matches_libraries),
        cmocka_unit_test(test_uri_matches_slots),
        cmocka_unit_test(test_uri_description_is_canonical),
        cmocka_unit_test(test_uri_description_means_the_same),
        cmocka_unit_test(test_uri_description_fits_its_buffer),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
