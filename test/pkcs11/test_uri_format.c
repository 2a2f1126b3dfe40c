/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11/uri_format: what is written is read back as the same, here and there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <p11-kit/uri.h>
#include <string.h>
#include "pkcs11/uri.h"
#include "pkcs11/uri_format.h"

static CK_TOKEN_INFO token_info(const char *label, const char *serial)
{
    CK_TOKEN_INFO info;

    memset(&info, ' ', sizeof(info));
    memcpy(info.label, label, strlen(label));
    memcpy(info.serialNumber, serial, strlen(serial));
    return info;
}

static size_t format(const CK_TOKEN_INFO *token, const char *label,
                     const char *id, CK_OBJECT_CLASS class, char *buf,
                     size_t size)
{
    struct p11_attrs attrs = {
        .count = 2,
        .attr = { { CKA_LABEL, (char *)label, strlen(label) },
                  { CKA_ID, (char *)id, strlen(id) } },
    };

    return p11_uri_format(token, &attrs, class, buf, size);
}

static const struct {
    const char *token, *serial, *label, *id;
    CK_OBJECT_CLASS class;
    const char *uri;
} rows[] = {
    { "demo", "0a1b", "signer", "\x01\x41", CKO_PRIVATE_KEY,
      "pkcs11:token=demo;serial=0a1b;id=%01%41;object=signer;type=private" },
    { "my token", "", "a;b=c?d&e/f%41 \"$'", "", CKO_PUBLIC_KEY,
      "pkcs11:token=my%20token;object=a%3Bb%3Dc%3Fd%26e%2Ff%2541%20%22%24%27;"
      "type=public" },
    { "", "", "Schl\xc3\xbcssel", "\xff", CKO_CERTIFICATE,
      "pkcs11:id=%FF;object=Schl%C3%BCssel;type=cert" },
    { "", "", "", "", CKO_PRIVATE_KEY, "pkcs11:type=private" },
};

static void test_uri_names_what_it_was_made_from(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CK_TOKEN_INFO token = token_info(rows[i].token, rows[i].serial);
        char buf[256];
        size_t len = format(&token, rows[i].label, rows[i].id, rows[i].class,
                            buf, sizeof(buf));

        assert_string_equal(buf, rows[i].uri);
        assert_int_equal(len, strlen(buf));
    }
}

static void test_uri_is_read_back_as_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        P11KitUri *other = p11_kit_uri_new();
        struct p11_uri *uri;
        struct p11_error err;
        CK_ATTRIBUTE *attr;

        assert_int_equal(p11_uri_parse(rows[i].uri, &uri, &err), CKR_OK);
        assert_non_null(strstr(rows[i].uri, uri->type.bytes));
        assert_int_equal(uri->object.len, strlen(rows[i].label));
        if (uri->object.present)
            assert_memory_equal(uri->object.bytes, rows[i].label,
                                uri->object.len);
        p11_uri_free(uri);
        assert_int_equal(
            p11_kit_uri_parse(rows[i].uri, P11_KIT_URI_FOR_ANY, other),
            P11_KIT_URI_OK);
        attr = p11_kit_uri_get_attribute(other, CKA_ID);
        assert_int_equal(attr != NULL ? attr->ulValueLen : 0,
                         strlen(rows[i].id));
        p11_kit_uri_free(other);
    }
}

static void test_buffer_too_small_gives_no_uri(void **state)
{
    CK_TOKEN_INFO token = token_info("demo", "0a1b");
    char buf[256];
    size_t len =
        format(&token, "signer", "\x01", CKO_PRIVATE_KEY, buf, sizeof(buf));

    (void)state;
    assert_int_equal(
        format(&token, "signer", "\x01", CKO_PRIVATE_KEY, buf, len + 1), len);
    for (size_t size = 0; size <= len; size++)
        assert_int_equal(
            format(&token, "signer", "\x01", CKO_PRIVATE_KEY, buf, size), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_names_what_it_was_made_from),
        cmocka_unit_test(test_uri_is_read_back_as_the_same),
        cmocka_unit_test(test_buffer_too_small_gives_no_uri),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pkcs11/uri_format", tests, NULL, NULL);
}
