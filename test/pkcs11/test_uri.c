/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/uri: what is accepted and how it is decoded, what is refused and with
 * which words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../pkcs11/uri.h"

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define FIELD(name)   offsetof(struct p11_uri, name)
#define HASH          "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789"
#define BYTES(string) (string), sizeof(string) - 1

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

static void test_uri_scheme_is_known_in_any_case(void **state)
{
    (void)state;
    assert_true(p11_uri_has_scheme("pkcs11:"));
    assert_true(p11_uri_has_scheme("PkCs11:token=x"));
    assert_false(p11_uri_has_scheme("pkcs11"));
    assert_false(p11_uri_has_scheme("pkcs1"));
    assert_false(p11_uri_has_scheme(""));
    assert_false(p11_uri_has_scheme("pkcs11x:token=x"));
    assert_false(p11_uri_has_scheme(" pkcs11:"));
    assert_false(p11_uri_has_scheme("file:pkcs11:"));
}

static const struct {
    const char *text;
    size_t field;
    const char *bytes;
    size_t len;
} values[] = {
    { "pkcs11:token=demo", FIELD(token), BYTES("demo") },
    { "PKCS11:token=demo", FIELD(token), BYTES("demo") },
    { "pkcs11:token=", FIELD(token), BYTES("") },
    { "pkcs11:token=?", FIELD(token), BYTES("") },
    { "pkcs11:token=a%20b", FIELD(token), BYTES("a b") },
    { "pkcs11:token=%3b%3B%3f%25", FIELD(token), BYTES(";;?%") },
    { "pkcs11:token=Z%C3%BCrich", FIELD(token), BYTES("Z\xC3\xBCrich") },
    { "pkcs11:token=:[]@!$'()*+,=&-._~", FIELD(token),
      BYTES(":[]@!$'()*+,=&-._~") },
    { "pkcs11:token=a&object=b", FIELD(token), BYTES("a&object=b") },
    { "pkcs11:token=token=token", FIELD(token), BYTES("token=token") },
    { "pkcs11:object=%f0%9f%94%91", FIELD(object), BYTES("\xF0\x9F\x94\x91") },
    { "pkcs11:object=%ed%9f%bf%ee%80%80", FIELD(object),
      BYTES("\xED\x9F\xBF\xEE\x80\x80") },
    { "pkcs11:object=%f4%8f%bf%bf%e0%a0%80", FIELD(object),
      BYTES("\xF4\x8F\xBF\xBF\xE0\xA0\x80") },
    { "pkcs11:object=%0a", FIELD(object), BYTES("\n") },
    { "pkcs11:object=signer;type=private", FIELD(object), BYTES("signer") },
    { "pkcs11:type=private;object=signer", FIELD(object), BYTES("signer") },
    { "pkcs11:manufacturer=Snake%20Oil,%20Inc.", FIELD(manufacturer),
      BYTES("Snake Oil, Inc.") },
    { "pkcs11:serial=0123", FIELD(serial), BYTES("0123") },
    { "pkcs11:model=v2", FIELD(model), BYTES("v2") },
    { "pkcs11:library-manufacturer=m", FIELD(library_manufacturer),
      BYTES("m") },
    { "pkcs11:library-description=d", FIELD(library_description), BYTES("d") },
    { "pkcs11:slot-manufacturer=m", FIELD(slot_manufacturer), BYTES("m") },
    { "pkcs11:slot-description=d", FIELD(slot_description), BYTES("d") },
    { "pkcs11:id=", FIELD(id), BYTES("") },
    { "pkcs11:id=%00", FIELD(id), BYTES("\0") },
    { "pkcs11:id=%00%ff%80a%c3;token=t", FIELD(id),
      BYTES("\x00\xFF\x80\x61\xC3") },
    { "pkcs11:?module-name=m", FIELD(module_name), BYTES("m") },
    { "pkcs11:?module-path=/a/b?c|d", FIELD(module_path), BYTES("/a/b?c|d") },
    { "pkcs11:?module-path=%2Fa%26b%23", FIELD(module_path), BYTES("/a&b#") },
    { "pkcs11:token=t?module-name=m&module-path=/p", FIELD(module_path),
      BYTES("/p") },
    { "pkcs11:?spki-sha256=" HASH, FIELD(spki_sha256), BYTES(HASH) },
    { "pkcs11:?spki-sha256=" HASH "," HASH "&module-name=m", FIELD(spki_sha256),
      BYTES(HASH "," HASH) },
};

static void test_uri_decodes_values(void **state)
{
    const struct p11_uri_value *value;
    struct p11_uri *uri;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(values); i++) {
        uri = parse(values[i].text);
        value = (const void *)((const char *)uri + values[i].field);
        if (!value->present || value->len != values[i].len ||
            memcmp(value->bytes, values[i].bytes, values[i].len + 1) != 0)
            fail_msg("%s: decoded wrongly", values[i].text);
        p11_uri_free(uri);
    }
}

static void test_uri_of_nothing_has_nothing(void **state)
{
    static const char *const rows[] = { "pkcs11:", "pkcs11:?", "PKCS11:" };
    static const struct p11_uri nothing;
    struct p11_uri *uri;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i]);
        assert_memory_equal(uri, &nothing, sizeof(nothing));
        p11_uri_free(uri);
    }
    p11_uri_free(NULL);
}

/* What is no text is kept as its one spelling. */
static void test_uri_reads_types_and_numbers(void **state)
{
    static const struct {
        const char *text;
        size_t field;
        const char *value;
    } rows[] = {
        { "pkcs11:type=public", FIELD(type), "public" },
        { "pkcs11:type=private", FIELD(type), "private" },
        { "pkcs11:type=cert", FIELD(type), "cert" },
        { "pkcs11:type=secret-key", FIELD(type), "secret-key" },
        { "pkcs11:type=data", FIELD(type), "data" },
        { "pkcs11:slot-id=0", FIELD(slot_id), "0" },
        { "pkcs11:slot-id=00042;id=1", FIELD(slot_id), "42" },
        { "pkcs11:slot-id=2305843009213693953", FIELD(slot_id),
          "2305843009213693953" },
        { "pkcs11:slot-id=18446744073709551615", FIELD(slot_id),
          "18446744073709551615" },
        { "pkcs11:library-version=3", FIELD(library_version), "3.0" },
        { "pkcs11:library-version=2.6;slot-id=1", FIELD(library_version),
          "2.6" },
        { "pkcs11:library-version=255.255", FIELD(library_version), "255.255" },
        { "pkcs11:library-version=255", FIELD(library_version), "255.0" },
        { "pkcs11:library-version=0002.000", FIELD(library_version), "2.0" },
    };
    const struct p11_uri_value *value;
    struct p11_uri *uri;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i].text);
        value = (const void *)((const char *)uri + rows[i].field);
        assert_true(value->present);
        assert_int_equal(value->len, strlen(rows[i].value));
        assert_string_equal(value->bytes, rows[i].value);
        p11_uri_free(uri);
    }
}

static void test_uri_pin_value_is_literal(void **state)
{
    static const struct {
        const char *text;
        const char *pin;
    } rows[] = {
        { "pkcs11:?pin-value=1234", "1234" },
        { "pkcs11:token=t?pin-value=", "" },
        { "pkcs11:?pin-value=crypto_user:p%26w%3d%20%25&module-name=m",
          "crypto_user:p&w= %" },
        { "pkcs11:?module-name=m&pin-value=a=b/c?d|e", "a=b/c?d|e" },
        { "pkcs11:?pin-value=pin-value=1", "pin-value=1" },
        { "pkcs11:?pin-value=file:/etc/passwd", "file:/etc/passwd" },
        { "pkcs11:?pin-value=env:HOME", "env:HOME" },
        { "pkcs11:?pin-value=%c3%a9t%c3%a9", "\xC3\xA9t\xC3\xA9" },
    };
    struct p11_uri *uri;
    const unsigned char *pin;
    size_t i, len;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i].text);
        assert_int_equal(uri->pin.kind, P11_PIN_LITERAL);
        assert_string_equal(uri->pin.origin, "pin-value");
        pin = p11_pin_bytes(uri->pin.literal, &len);
        assert_int_equal(len, strlen(rows[i].pin));
        assert_memory_equal(pin, rows[i].pin, len);
        p11_uri_free(uri);
    }
}

static void test_uri_pin_source_is_a_file(void **state)
{
    static const char *const rows[] = {
        "pkcs11:?pin-source=file:/run/pin",
        "pkcs11:?pin-source=file:///run/pin",
        "pkcs11:?pin-source=file%3A%2Frun%2Fpin",
        "pkcs11:?pin-source=/run/pin&module-name=m",
    };
    struct p11_uri *uri;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        uri = parse(rows[i]);
        assert_int_equal(uri->pin.kind, P11_PIN_FILE);
        assert_string_equal(uri->pin.name, "/run/pin");
        p11_uri_free(uri);
    }
}

static const struct bad {
    const char *text;
    const char *fragment; /* of the error's text */
} bad[] = {
    { "", "does not begin with \"pkcs11:\"" },
    { "pkcs11", "does not begin with" },
    { "pkcs11foo:token=x", "does not begin with" },
    { "file:/x", "does not begin with" },

    { "pkcs11:tokn=x", "unknown attribute \"tokn\", did you mean \"token\"?" },
    { "pkcs11:Token=x", "\"Token\", did you mean \"token\"?" },
    { "pkcs11:objekt=x", "\"objekt\", did you mean \"object\"?" },
    { "pkcs11:opjekt=x", "\"opjekt\", did you mean \"object\"?" },
    { "pkcs11:ID=1", "\"ID\", did you mean \"id\"?" },
    { "pkcs11:slotid=1", "\"slotid\", did you mean \"slot-id\"?" },
    { "pkcs11:?pinvalue=1", "\"pinvalue\", did you mean \"pin-value\"?" },
    { "pkcs11:?x-pin-value=1", "did you mean \"pin-value\"?" },
    { "pkcs11:x-vendor=1", "unknown attribute \"x-vendor\"" },
    { "pkcs11:?vendor=1", "unknown attribute \"vendor\"" },
    { "pkcs11:library-manufacturer-and-so-on-and-on=1",
      "before the \"?\" stands something that is not NAME=VALUE" },
    { "pkcs11:to%6ben=x", "before the \"?\" stands something" },
    { "pkcs11: token=x", "before the \"?\" stands something" },
    { "pkcs11:=x", "before the \"?\" stands something" },
    { "pkcs11:?=x", "behind the \"?\" stands something" },
    { "pkcs11:?12345", "behind the \"?\" stands something" },
    { "pkcs11:\x1b[31m=x", "before the \"?\" stands something" },

    { "pkcs11:token=a?object=b", "object: belongs before the \"?\"" },
    { "pkcs11:token=a;module-name=b", "module-name: belongs behind the" },
    { "pkcs11:token=a;pin-value=1234", "pin-value: belongs behind the \"?\"" },
    { "pkcs11:pin-source=/a", "pin-source: belongs behind the \"?\"" },
    { "pkcs11:demo", "unknown attribute \"demo\"" },
    { "pkcs11:token", "token: has no \"=\"" },
    { "pkcs11:token=a;object", "object: has no \"=\"" },
    { "pkcs11:?pin-value", "pin-value: has no \"=\"" },

    { "pkcs11:;", "an attribute is empty: there is a \";\" too many" },
    { "pkcs11:;token=a", "an attribute is empty" },
    { "pkcs11:token=a;", "an attribute is empty" },
    { "pkcs11:token=a;;object=b", "an attribute is empty" },
    { "pkcs11:token=a;?module-name=b", "an attribute is empty" },
    { "pkcs11:?&module-name=b", "an attribute is empty: there is a \"&\"" },
    { "pkcs11:?module-name=b&", "an attribute is empty" },
    { "pkcs11:?module-name=b&&module-path=/c", "an attribute is empty" },

    { "pkcs11:token=a;token=a", "token: given twice" },
    { "pkcs11:token=;object=x;token=", "token: given twice" },
    { "pkcs11:id=%01;id=%02", "id: given twice" },
    { "pkcs11:type=private;type=private", "type: given twice" },
    { "pkcs11:slot-id=1;slot-id=1", "slot-id: given twice" },
    { "pkcs11:library-version=1;library-version=1", "given twice" },
    { "pkcs11:?module-name=a&module-name=b", "module-name: given twice" },
    { "pkcs11:?pin-value=1&pin-value=2", "pin-value: given twice" },
    { "pkcs11:?pin-source=/a&pin-source=/a", "pin-source: given twice" },
    { "pkcs11:?pin-value=1&2", "in a PIN write %26 for \"&\"" },
    { "pkcs11:?pin-value=1&", "in a PIN write %26" },
    { "pkcs11:?pin-value=1&token=2", "in a PIN write %26" },
    { "pkcs11:?pin-value=1&module-name", "in a PIN write %26" },
    { "pkcs11:?pin-value=1&pin-source=/a",
      "pin-value and pin-source exclude each other" },
    { "pkcs11:?pin-source=/a&pin-value=1",
      "pin-value and pin-source exclude each other" },

    { "pkcs11:token=a b", "token: all but letters, digits and -._~:[]@!$'()" },
    { "pkcs11:token=a/b", "must be percent-encoded" },
    { "pkcs11:token=a|b", "must be percent-encoded" },
    { "pkcs11:token=a#b", "must be percent-encoded" },
    { "pkcs11:token=a\"b", "must be percent-encoded" },
    { "pkcs11:token=a\\b", "must be percent-encoded" },
    { "pkcs11:token=a\nb", "must be percent-encoded" },
    { "pkcs11:token=a\x7f", "must be percent-encoded" },
    { "pkcs11:token=Z\xC3\xBCrich", "must be percent-encoded" },
    { "pkcs11:id=\x80", "id: all but letters, digits" },
    { "pkcs11:?module-name=a;b", "module-name: all but letters, digits and" },
    { "pkcs11:?module-path=/a#b", "module-path: all but" },
    { "pkcs11:?pin-value=a b", "pin-value: all but" },
    { "pkcs11:token=%", "token: \"%\" without two hexadecimal digits" },
    { "pkcs11:token=%4", "token: \"%\" without two" },
    { "pkcs11:token=%4;object=1", "token: \"%\" without two" },
    { "pkcs11:token=%;41=x", "token: \"%\" without two" },
    { "pkcs11:token=%4?module-name=1", "token: \"%\" without two" },
    { "pkcs11:token=%4g", "token: \"%\" without two" },
    { "pkcs11:token=%g4", "token: \"%\" without two" },
    { "pkcs11:token=%%41", "token: \"%\" without two" },
    { "pkcs11:token=% 41", "token: \"%\" without two" },
    { "pkcs11:id=%0x1", "id: \"%\" without two" },
    { "pkcs11:?pin-value=12%&module-name=3", "pin-value: \"%\" without two" },

    { "pkcs11:token=%00", "token: %00 is not text" },
    { "pkcs11:token=a%00b", "token: %00 is not text" },
    { "pkcs11:object=a%00", "object: %00 is not text" },
    { "pkcs11:?pin-value=a%00", "pin-value: %00 is not text" },
    { "pkcs11:?pin-source=/a%00", "pin-source: %00 is not text" },
    { "pkcs11:?module-path=/a%00.so", "module-path: %00 is not text" },
    { "pkcs11:token=%ff", "token: not UTF-8" },
    { "pkcs11:token=%c3", "token: not UTF-8" },
    { "pkcs11:token=%c3a", "token: not UTF-8" },
    { "pkcs11:token=%80", "token: not UTF-8" },
    { "pkcs11:token=%c0%80", "token: not UTF-8" },
    { "pkcs11:token=%e0%9f%bf", "token: not UTF-8" },
    { "pkcs11:token=%ed%a0%80", "token: not UTF-8" },
    { "pkcs11:token=%e2%82", "token: not UTF-8" },
    { "pkcs11:token=%e2%82a", "token: not UTF-8" },
    { "pkcs11:token=%f0%8f%80%80", "token: not UTF-8" },
    { "pkcs11:token=%f4%90%80%80", "token: not UTF-8" },
    { "pkcs11:token=%f1%80%80", "token: not UTF-8" },
    { "pkcs11:?pin-value=%ff", "pin-value: not UTF-8" },

    { "pkcs11:type=", "type: not one of public, private, cert, secret-key" },
    { "pkcs11:type=Private", "type: not one of" },
    { "pkcs11:type=%70rivate", "type: not one of" },
    { "pkcs11:type=private%20", "type: not one of" },
    { "pkcs11:type=secretkey", "type: not one of" },
    { "pkcs11:type=privat", "type: not one of" },
    { "pkcs11:slot-id=", "slot-id: not a decimal number, or one too large" },
    { "pkcs11:slot-id=0x1", "slot-id: not a decimal number" },
    { "pkcs11:slot-id=-1", "slot-id: not a decimal number" },
    { "pkcs11:slot-id=+1", "slot-id: not a decimal number" },
    { "pkcs11:slot-id=%31", "slot-id: not a decimal number" },
    { "pkcs11:slot-id=18446744073709551616", "slot-id: not a decimal number" },
    { "pkcs11:slot-id=99999999999999999999", "slot-id: not a decimal number" },
    { "pkcs11:library-version=", "library-version: not MAJOR or MAJOR.MINOR" },
    { "pkcs11:library-version=.1", "library-version: not MAJOR" },
    { "pkcs11:library-version=1.", "library-version: not MAJOR" },
    { "pkcs11:library-version=1.2.3", "library-version: not MAJOR" },
    { "pkcs11:library-version=256", "library-version: not MAJOR" },
    { "pkcs11:library-version=1.256", "library-version: not MAJOR" },
    { "pkcs11:library-version=4294967297", "library-version: not MAJOR" },
    { "pkcs11:library-version=v1", "library-version: not MAJOR" },
    { "pkcs11:?module-path=libfoo.so", "module-path: not an absolute path" },
    { "pkcs11:?module-path=", "module-path: not an absolute path" },

    { "pkcs11:token=a&pin-value=1234", "token: holds \"pin-value=\"" },
    { "pkcs11:type=private&pin-value=1234", "type: holds \"pin-value=\"" },
    { "pkcs11:id=%01,pin-value=1234", "id: holds \"pin-value=\"" },
    { "pkcs11:?module-path=/a?pin-value=1234", "module-path: holds" },
    { "pkcs11:?pin-source=/a?pin-value=1234", "pin-source: holds" },
};

static void test_uri_refuses_bad_ones_by_name(void **state)
{
    struct p11_uri *uri;
    struct p11_error err;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        static struct p11_uri stale;

        uri = &stale;
        memset(&err, 0, sizeof(err));
        if (p11_uri_parse(bad[i].text, &uri, &err) != P11_URI_INVALID)
            fail_msg("%s: not refused", bad[i].text);
        if (uri != NULL || err.rv != P11_URI_INVALID)
            fail_msg("%s: result not clean", bad[i].text);
        if (strstr(err.text, bad[i].fragment) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].text, err.text,
                     bad[i].fragment);
        /* The text is wanted by most callers, but not by all. */
        assert_int_equal(p11_uri_parse(bad[i].text, &uri, NULL),
                         P11_URI_INVALID);
    }
}

static void test_uri_refuses_pin_source_that_is_no_file(void **state)
{
    static const char *const rows[] = {
        "pkcs11:?pin-source=",
        "pkcs11:?pin-source=|echo%201234",
        "pkcs11:?pin-source=prompt:",
    };
    struct p11_uri *uri;
    struct p11_error err;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        assert_int_equal(p11_uri_parse(rows[i], &uri, &err), P11_PIN_SOURCE);
        assert_null(uri);
        assert_non_null(strstr(err.text, "pin-source"));
    }
}

static void test_uri_limits_values_to_their_field(void **state)
{
    static const struct {
        const char *prefix;
        size_t max;
    } rows[] = {
        { "pkcs11:token=", 32 },
        { "pkcs11:manufacturer=", 32 },
        { "pkcs11:library-manufacturer=", 32 },
        { "pkcs11:library-description=", 32 },
        { "pkcs11:slot-manufacturer=", 32 },
        { "pkcs11:model=", 16 },
        { "pkcs11:serial=", 16 },
        { "pkcs11:slot-description=", 64 },
        { "pkcs11:?pin-value=", P11_PIN_MAX },
    };
    char text[64 + 3 * (P11_PIN_MAX + 1)];
    struct p11_uri *uri;
    struct p11_error err;
    size_t i, n, len;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        len = (size_t)snprintf(text, sizeof(text), "%s", rows[i].prefix);
        for (n = 0; n < rows[i].max; n++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%%41");
        p11_uri_free(parse(text));
        (void)snprintf(text + len, sizeof(text) - len, "A");
        assert_int_equal(p11_uri_parse(text, &uri, &err), P11_URI_INVALID);
        assert_non_null(strstr(err.text, ": longer than "));
        assert_null(strstr(err.text, "AA"));
    }
}

static void test_uri_is_at_most_8192_bytes_long(void **state)
{
    char text[P11_URI_MAX + 2];
    struct p11_uri *uri;
    struct p11_error err;

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "pkcs11:object=", strlen("pkcs11:object="));
    text[P11_URI_MAX] = '\0';
    uri = parse(text);
    assert_int_equal(uri->object.len, P11_URI_MAX - strlen("pkcs11:object="));
    p11_uri_free(uri);
    text[P11_URI_MAX] = 'a';
    text[P11_URI_MAX + 1] = '\0';
    assert_int_equal(p11_uri_parse(text, &uri, &err), P11_URI_INVALID);
    assert_non_null(strstr(err.text, "longer than 8192 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_scheme_is_known_in_any_case),
        cmocka_unit_test(test_uri_decodes_values),
        cmocka_unit_test(test_uri_of_nothing_has_nothing),
        cmocka_unit_test(test_uri_reads_types_and_numbers),
        cmocka_unit_test(test_uri_pin_value_is_literal),
        cmocka_unit_test(test_uri_pin_source_is_a_file),
        cmocka_unit_test(test_uri_refuses_bad_ones_by_name),
        cmocka_unit_test(test_uri_refuses_pin_source_that_is_no_file),
        cmocka_unit_test(test_uri_limits_values_to_their_field),
        cmocka_unit_test(test_uri_is_at_most_8192_bytes_long),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
